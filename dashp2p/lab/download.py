"""The headless viewer's HTTP: files over kept connections, and when their bytes came."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

__all__ = ["Download", "DownloadError", "Downloader"]

CONNECT_S = 5.0
SILENCE_S = 20.0
"""An answer of which nothing came for so long is given up."""
BODY_LIMIT_BYTES = 64 * 1024 * 1024
CONNECTIONS = 4


class DownloadError(Exception):
    """A file did not come; the text says why. `status` and `headers` are of the answer, if any."""

    def __init__(
        self, why: str, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers or {}


@frozen
class Download:
    """A whole file. Times on the reactor's clock."""

    size_bytes: int
    sha256: str
    data: bytes | None
    requested_at: float
    first_byte_at: float
    done_at: float
    headers: Mapping[str, str]
    """Names in lower case; the last value of each."""


class _Body(Protocol):
    """Takes a body in. `done` fires with None, or fails with DownloadError; cancelling it drops the
    connection."""

    def __init__(self, keep: bool, clock: IReactorTime) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._give_up("it is not wanted any more"))
        self.size_bytes = 0
        self.first_at: float | None = None
        self.hash = hashlib.sha256()
        self.pieces: list[bytes] | None = [] if keep else None
        self._clock = clock
        self._gave_up: str | None = None
        self._silence = clock.callLater(SILENCE_S, self._give_up, "nothing came for too long")

    def dataReceived(self, data: bytes) -> None:
        if self.first_at is None:
            self.first_at = self._clock.seconds()
        self.size_bytes += len(data)
        if self.size_bytes > BODY_LIMIT_BYTES:
            self._give_up("it is too large")
            return
        if self._silence.active():
            self._silence.reset(SILENCE_S)
        self.hash.update(data)
        if self.pieces is not None:
            self.pieces.append(data)

    def _give_up(self, why: str) -> None:
        if self._gave_up is None:
            self._gave_up = why
            if self.transport is not None:
                self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._silence.active():
            self._silence.cancel()
        if self.done.called:
            return
        # Not PotentialDataLoss, which is a body of unknown length: it may be half a segment.
        if self._gave_up is None and reason.check(ResponseDone):
            self.done.callback(None)
        else:
            self.done.errback(DownloadError(self._gave_up or "the answer broke off"))


def _told(response: IResponse) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): values[-1].decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }


class Downloader:
    """Fetches files below one URL."""

    def __init__(self, reactor: Any, base_url: str) -> None:
        self._reactor = reactor
        self._base = base_url.rstrip("/")
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = CONNECTIONS
        self._agent = Agent(reactor, connectTimeout=CONNECT_S, pool=self._pool)

    async def get(self, path: str, query: str = "", keep: bool = False) -> Download:
        """A whole file, with its bytes if they are to be kept. Raises DownloadError."""
        url = f"{self._base}/{quote(path)}" + (f"?{query}" if query else "")
        requested_at = self._reactor.seconds()
        headers = Headers({"User-Agent": ["dashp2p-viewer"]})
        response = await self._answer(self._agent.request(b"GET", url.encode("ascii"), headers))
        body = _Body(keep, self._reactor)
        response.deliverBody(body)
        await body.done
        told = _told(response)
        if response.code != 200:
            raise DownloadError(f"status {response.code}", response.code, told)
        now = self._reactor.seconds()
        return Download(
            size_bytes=body.size_bytes,
            sha256=body.hash.hexdigest(),
            data=None if body.pieces is None else b"".join(body.pieces),
            requested_at=requested_at,
            first_byte_at=body.first_at if body.first_at is not None else now,
            done_at=now,
            headers=told,
        )

    async def _answer(self, asked: Deferred[IResponse]) -> IResponse:
        silence = self._reactor.callLater(SILENCE_S, asked.cancel)
        try:
            return await asked
        except Exception as error:
            reasons = [one.value for one in getattr(error, "reasons", ())] or [error]
            cancelled = any(isinstance(one, CancelledError) for one in reasons)
            if cancelled and silence.active():
                # Not the silence: whoever waits for this file doesn't any more.
                raise CancelledError from error
            why = "it took too long" if cancelled else "; ".join(map(str, reasons))
            raise DownloadError(f"no answer: {why}") from error
        finally:
            if silence.active():
                silence.cancel()

    def close(self) -> Deferred[Any]:
        """Close the connections that were kept."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed
