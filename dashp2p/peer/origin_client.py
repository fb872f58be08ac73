"""Fetching from the origin: parts of files, within bounds, given up when the origin trickles."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from dashp2p.peer.limits import (
    MAX_REDIRECTS,
    ORIGIN_CONNECT_S,
    ORIGIN_PATIENCE_S,
    ORIGIN_SILENCE_S,
    ORIGIN_SLOWEST_BPS,
)
from dashp2p.peer.plain_agent import encoding_of
from dashp2p.peer.reasons import reason

LEAST_BYTES = round(ORIGIN_SLOWEST_BPS / 8 * ORIGIN_PATIENCE_S)
"""What a body must bring in each ORIGIN_PATIENCE_S, or end."""
GZIP_WBITS = 31
"""That zlib is to read gzip's header, too."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})


class OriginError(Exception):
    """The origin did not give what was asked. `status` is its HTTP status, if it answered."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status

    @property
    def answered(self) -> bool:
        """Whether it is there and gave its word on what was asked. What stands in front of an
        origin that is away, or does not know for the moment, answers with 5xx (RFC 9110, 15.6)."""
        return self.status is not None and self.status < 500


class OriginFalteredError(OriginError):
    """It began to answer, and broke off or became too slow: it is there, or was a moment ago."""


class _Body(Protocol):
    """Hands a body on piece by piece; gives up when it comes too slowly, or beyond the size.

    With `stops_full` a body may be longer: it is read up to the size, and then closed. What was
    compressed unasked is inflated, but never beyond the size. `wait_s`, if any, is asked after each
    piece, with the bytes that came so far, for how many seconds to take nothing more.
    """

    transport: Any
    """A body's has pause, resume and lose, and Twisted has no interface of that."""

    def __init__(
        self,
        take: Callable[[bytes], None],
        limit_bytes: int,
        clock: IReactorTime,
        stops_full: bool = False,
        encoding: str = "",
        wait_s: Callable[[int], float] | None = None,
    ) -> None:
        self.done: Deferred[int] = Deferred(self._cancel)
        self._wait_s = wait_s
        self._paused: IDelayedCall | None = None
        self._inflater = zlib.decompressobj(GZIP_WBITS) if encoding == "gzip" else None
        self._take = take
        self._left = limit_bytes
        self._stops_full = stops_full
        self._size = 0
        self._size_before = 0
        self._clock = clock
        self._timer: IDelayedCall | None = clock.callLater(ORIGIN_PATIENCE_S, self._look)
        self._failure: OriginError | None = None
        self._cancelled = False

    def dataReceived(self, data: bytes) -> None:
        if self._failure is not None or self._cancelled or self.done.called:
            return
        if self._inflater is not None:
            try:
                data = self._inflater.decompress(data, self._left + 1)
            except zlib.error as error:
                self._fail(OriginError(f"what the origin compressed is broken: {error}"))
                return
        if len(data) > self._left:
            if not self._stops_full:
                self._fail(OriginError("the origin sent more than was asked for"))
                return
            data = data[: self._left]
        self._left -= len(data)
        self._size += len(data)
        self._take(data)
        if self._stops_full and not self._left and not self.done.called:
            self.done.callback(self._size)
            self._stop()
        elif self._left and self._wait_s is not None:
            self._pause(self._wait_s(self._size))

    def _pause(self, wait_s: float) -> None:
        if wait_s > 0 and self._paused is None and self.transport is not None:
            self.transport.pauseProducing()
            self._paused = self._clock.callLater(wait_s, self._go_on)

    def _go_on(self) -> None:
        self._paused = None
        if self.transport is not None:
            self.transport.resumeProducing()

    def _look(self) -> None:
        self._timer = None
        came, self._size_before = self._size - self._size_before, self._size
        if came < LEAST_BYTES:
            slow = OriginFalteredError("the origin trickles")
            self._fail(slow if came else OriginError("the origin went silent"))
        else:
            self._timer = self._clock.callLater(ORIGIN_PATIENCE_S, self._look)

    def _fail(self, error: OriginError) -> None:
        self._failure = error
        self._stop()

    def _cancel(self, done: Deferred[int]) -> None:
        self._cancelled = True  # the Deferred fails with CancelledError: no fault of the origin's
        self._stop()

    def _stop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for timer in (self._timer, self._paused):
            if timer is not None and timer.active():
                timer.cancel()
        if self.done.called or self._cancelled:
            return
        if self._failure is not None:
            self.done.errback(self._failure)
        elif reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(self._size)
        else:
            self.done.errback(OriginFalteredError("the origin broke off"))


class OriginClient:
    """`base_url` is the folder of the presentation, as in http://origin:9000/dash."""

    def __init__(self, http: HTTPClient, clock: IReactorTime, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self.gives_ranges = True
        """Whether it gives parts of files, as far as its answers tell."""
        self._was_asked_for_ranges = False
        self._http = http

    def url(self, path: str) -> str:
        """The address of a file of the presentation."""
        return f"{self.base_url}/{quote(path, safe='/-._~!$&()*+,;=:@')}"

    async def open(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> IResponse:
        """A response whose body has not been read. Raises OriginError when there is none.

        A few redirects are followed, but only to the same scheme, host and port: nobody makes this
        machine ask addresses of his choosing. One that leads elsewhere is the answer.
        """
        url = self.url(path)
        for _ in range(MAX_REDIRECTS):
            response = await self._ask(method, url, headers or {})
            target = _within_origin(url, response)
            if target is None:
                self._note_ranges(response, "Range" in (headers or {}))
                return response
            self.discard(response)
            url = target
        raise OriginError("the origin redirects again and again")

    def _note_ranges(self, response: IResponse, asked: bool) -> None:
        """What it did when it was asked for a range counts; until then, what it says
        (Accept-Ranges; RFC 9110, 14.3)."""
        if asked and response.code in (200, 206):
            self._was_asked_for_ranges = True
            self.gives_ranges = response.code == 206
        elif response.code == 200 and not self._was_asked_for_ranges:
            told = response.headers.getRawHeaders("Accept-Ranges") or []
            self.gives_ranges = "bytes" in " ".join(told).lower()

    async def _ask(self, method: str, url: str, headers: Mapping[str, str]) -> IResponse:
        try:
            response: IResponse = await self._http.request(
                method,
                url,
                headers=Headers({name: [value] for name, value in headers.items()}),
                unbuffered=True,
                allow_redirects=False,
            ).addTimeout(ORIGIN_CONNECT_S + ORIGIN_SILENCE_S, self.clock, _too_late)
        except CancelledError:
            raise
        except Exception as error:
            # Twisted wraps it when the request had left already; it is us who gave up, not the
            # origin that failed.
            causes = [failure.value for failure in getattr(error, "reasons", ())]
            if any(isinstance(cause, CancelledError) for cause in causes):
                raise CancelledError from error
            raise OriginError(f"the origin does not answer: {reason(error)}") from error
        return response

    async def fetch(
        self,
        path: str,
        first: int,
        size: int,
        whole: bool,
        take: Callable[[bytes], None],
        wait_s: Callable[[int], float] | None = None,
    ) -> None:
        """`size` bytes from offset `first`, handed to `take` as they come. Raises OriginError.

        `whole` says that this is the whole file, so that no Range is needed. `wait_s` is asked for
        how long to take nothing more, given how much came.
        """
        headers = {} if whole else {"Range": f"bytes={first}-{first + size - 1}"}
        response = await self.open(path, headers)
        if response.code == 200 and not whole:
            # It knows no Range (RFC 9110, 14.2, lets it): the part is taken out of the whole file.
            got = await self.read(response, first + size, _skipping(take, first), stops_full=True)
            got -= first
        else:
            self._check(response, first, size, whole)
            got = await self.read(response, size, take, wait_s=wait_s)
        if got != size:
            raise OriginError(f"the origin gave {max(0, got)} bytes of {size}")

    def _check(self, response: IResponse, first: int, size: int, whole: bool) -> None:
        if response.code != (200 if whole else 206):
            self.discard(response)
            raise OriginError(_unwanted(response.code), response.code)
        values = response.headers.getRawHeaders("Content-Range") or [""]
        if not whole and not values[0].startswith(f"bytes {first}-{first + size - 1}/"):
            self.discard(response)
            raise OriginError("the origin answered with another range")

    async def fetch_small(self, path: str, limit_bytes: int) -> bytes:
        """A whole small file. Raises OriginError, with its status when it is not 200."""
        response = await self.open(path)
        if response.code != 200:
            self.discard(response)
            raise OriginError(_unwanted(response.code), response.code)
        pieces: list[bytes] = []
        await self.read(response, limit_bytes, pieces.append)
        return b"".join(pieces)

    async def read(
        self,
        response: IResponse,
        limit_bytes: int,
        take: Callable[[bytes], None],
        stops_full: bool = False,
        wait_s: Callable[[int], float] | None = None,
    ) -> int:
        """The body, piece by piece; answers its size. Raises OriginError. Cancel to stop it.

        A body beyond the limit is an error, or with `stops_full` read up to it.
        """
        encoding = encoding_of(response)
        if encoding not in ("", "gzip"):
            self.discard(response)
            raise OriginError("the origin compressed the answer, which it was not asked for")
        body = _Body(take, limit_bytes, self.clock, stops_full, encoding, wait_s)
        response.deliverBody(body)
        return await body.done

    def discard(self, response: IResponse) -> None:
        """Close a response whose body is of no use."""
        body = _Body(lambda data: None, 0, self.clock)
        body.done.addErrback(lambda failure: failure.trap(OriginError, CancelledError))
        response.deliverBody(body)
        if not body.done.called:
            body.done.cancel()


def _too_late(result: object, after_s: float) -> Failure:
    """The reason of a request that its timeout has cancelled, however that was wrapped."""
    return Failure(DeferredTimeoutError(f"no answer in {after_s:g} s"))


def _within_origin(url: str, response: IResponse) -> str | None:
    """Where a redirect leads, if that is at the same origin (RFC 6454, 4); else None."""
    locations = response.headers.getRawHeaders("Location") or [""]
    if response.code not in REDIRECTS or not locations[0]:
        return None
    try:
        target = urljoin(url, locations[0])
        same = _origin_of(target) == _origin_of(url)
    except ValueError:
        return None
    return urldefrag(target).url if same else None


def _origin_of(url: str) -> tuple[str, str | None, int | None, bool]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, "@" in parts.netloc


def _unwanted(code: int) -> str:
    if code in REDIRECTS:
        return (
            f"the origin redirects elsewhere ({code}), which is not followed: give --origin the "
            "address that it leads to"
        )
    return f"the origin answered {code}"


def _skipping(take: Callable[[bytes], None], skip: int) -> Callable[[bytes], None]:
    left = skip

    def take_after(data: bytes) -> None:
        nonlocal left
        if left >= len(data):
            left -= len(data)
        else:
            take(data[left:])
            left = 0

    return take_after
