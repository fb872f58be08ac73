"""HTTP in memory, for clients made with treq, and an origin in it: `memory_client(MemoryWeb())`."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import define
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IConsumer, IDelayedCall, IProtocol, IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from dashp2p.peer.plain_agent import PlainAgent

__all__ = [
    "Answer",
    "Asked",
    "MemoryOrigin",
    "MemoryResponse",
    "MemoryWeb",
    "Site",
    "memory_client",
]

CHUNK_BYTES = 16_000
"""Not a multiple of a block: blocks arrive torn, as from a socket."""


@define(eq=False)
class Asked:
    """A request, and how many bytes of its answer's body went out so far."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""
    code: int = 0
    sent_bytes: int = 0

    def header(self, name: str) -> str | None:
        """The first value of a request header."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None


@implementer(IResponse)
class MemoryResponse:
    """A response whose body comes in chunks, one each `chunk_s`, while the reader takes them.

    `cut_at`: the connection breaks after so many bytes of the body. `hangs_at`: nothing more comes.
    """

    version = (b"HTTP", 1, 1)
    request: Any = None
    previousResponse: Any = None  # noqa: N815  # Twisted's name

    def __init__(
        self,
        clock: IReactorTime,
        code: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        asked: Asked | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        chunk_s: float = 0.0,
        cut_at: int | None = None,
        hangs_at: int | None = None,
    ) -> None:
        self.code = code
        self.phrase = RESPONSES.get(code, b"")
        self.headers = Headers({name: [value] for name, value in (headers or {}).items()})
        self.length = len(body)
        self.closed = False
        """The reader closed the connection before the body's end."""
        self.disconnecting = False
        self._clock = clock
        self._asked = asked
        self._body = body
        self._offset = 0
        self._chunk_bytes = chunk_bytes
        self._chunk_s = chunk_s
        self._cut_at = cut_at
        self._hangs_at = hangs_at
        self._protocol: IProtocol | None = None
        self._paused = False
        self._call: IDelayedCall | None = None

    def setPreviousResponse(self, response: IResponse) -> None:  # noqa: N802  # Twisted's name
        self.previousResponse = response

    def deliverBody(self, protocol: IProtocol) -> None:  # noqa: N802  # Twisted's name
        self._protocol = protocol
        # As in Twisted's own client: of a transport a body has pause, resume and lose only.
        protocol.makeConnection(self)  # type: ignore[arg-type]
        self._go_on()

    def _go_on(self) -> None:
        if self._call is None and self._protocol is not None and not self._paused:
            self._call = self._clock.callLater(self._chunk_s, self._give)

    def _give(self) -> None:
        self._call = None
        protocol = self._protocol
        if protocol is None or self._paused:
            return
        end = min(
            len(self._body) if self._cut_at is None else self._cut_at,
            len(self._body),
        )
        if self._hangs_at is not None and self._offset >= self._hangs_at:
            return
        chunk = self._body[self._offset : min(end, self._offset + self._chunk_bytes)]
        if chunk:
            self._offset += len(chunk)
            if self._asked is not None:
                self._asked.sent_bytes += len(chunk)
            protocol.dataReceived(chunk)
            self._go_on()
        elif end < len(self._body):
            self._lose(ResponseFailed([Failure(ConnectionDone())], self))
        else:
            self._lose(ResponseDone())

    def _lose(self, why: Exception) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(why))

    # The transport of the body, as its reader sees it.

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        if self._protocol is not None and not self.closed:
            self.closed = True
            self._paused = True
            if self._call is not None:
                self._call.cancel()
                self._call = None
            self._clock.callLater(0, self._lose, ResponseFailed([Failure(ConnectionDone())], self))


Answer = MemoryResponse | Deferred[IResponse] | None
Site = Callable[[Asked], Answer]
"""Answers a request, now or later; None: the connection is refused."""


@implementer(IAgent)
class MemoryWeb:
    """Sites by `host:port`. Who is not there refuses connections."""

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # Twisted's name
    ) -> Deferred[IResponse]:
        parts = urlsplit(uri.decode("ascii"))
        site = self.sites.get(parts.netloc)
        body = BytesIO()
        if bodyProducer is not None:
            bodyProducer.startProducing(_Sink(body))
        asked = Asked(method.decode(), unquote(parts.path), headers or Headers(), body.getvalue())
        answer = None if site is None else site(asked)
        if answer is None:
            return fail(ConnectionRefusedError())
        if isinstance(answer, Deferred):
            return answer
        asked.code = answer.code
        return succeed(answer)


@implementer(IConsumer)
class _Sink:
    def __init__(self, body: BytesIO) -> None:
        self._body = body

    def write(self, data: bytes) -> None:
        self._body.write(data)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Bodies of bytes come at once."""

    def unregisterProducer(self) -> None:
        """Nothing to do."""


@implementer(IBodyProducer)
class _Body:
    """Written at once; treq's own would wait for the real reactor."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is over before."""

    def resumeProducing(self) -> None:
        """As above."""

    def stopProducing(self) -> None:
        """As above."""


def memory_client(web: MemoryWeb) -> HTTPClient:
    """A client as the daemon makes it, but for the sockets."""
    return HTTPClient(PlainAgent(web), data_to_body_producer=_Body)


class MemoryOrigin:
    """Files below `/dash/`, with ranges and with faults.

    `away` refuses connections, `silent` never answers; `cut_at` and `hangs_at` break bodies off, or
    let them stop, after so many bytes; `ignores_range` is an origin that knows no Range, and
    `missing_code` the status of what is not there. `files` may be changed at any time. `log` has
    every request.
    """

    def __init__(self, clock: IReactorTime, files: dict[str, bytes]) -> None:
        self.files = files
        self.away = False
        self.silent = False
        self.cut_at: int | None = None
        self.hangs_at: int | None = None
        self.ignores_range = False
        self.missing_code = 404
        self.latency_s = 0.001
        self.chunk_s = 0.0
        self.log: list[Asked] = []
        self.responses: list[MemoryResponse] = []
        self._clock = clock

    def asked_for(self, path: str) -> list[Asked]:
        """The requests for a file."""
        return [asked for asked in self.log if asked.path == f"/dash/{path}"]

    def sent_bytes(self, path: str) -> int:
        """How much of a file has left the origin, all requests together."""
        return sum(asked.sent_bytes for asked in self.asked_for(path))

    def __call__(self, asked: Asked) -> Answer:
        if self.away:
            return None
        self.log.append(asked)
        if self.silent:
            return Deferred()
        answer: Deferred[IResponse] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(self.latency_s, lambda: answer.callback(self._respond(asked)))
        return answer

    def _respond(self, asked: Asked) -> MemoryResponse:
        data = self.files.get(asked.path.removeprefix("/dash/"))
        if data is None:
            return self._response(asked, self.missing_code, b"no such file")
        span = None if self.ignores_range else asked.header("Range")
        if span is None:
            told = {} if self.ignores_range else {"Accept-Ranges": "bytes"}
            return self._response(asked, 200, data, told)
        first, last = _span(span, len(data))
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return self._response(asked, 206, data[first : last + 1], headers)

    def _response(
        self, asked: Asked, code: int, body: bytes, headers: dict[str, str] | None = None
    ) -> MemoryResponse:
        response = MemoryResponse(
            self._clock,
            code,
            b"" if asked.method == "HEAD" else body,
            {"Content-Length": str(len(body)), **(headers or {})},
            asked=asked,
            chunk_s=self.chunk_s,
            cut_at=self.cut_at,
            hangs_at=self.hangs_at,
        )
        self.responses.append(response)
        return response


def _span(value: str, size: int) -> tuple[int, int]:
    first, _, last = value.removeprefix("bytes=").partition("-")
    return int(first), min(int(last or size), size - 1)
