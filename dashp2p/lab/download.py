"""The headless viewer's HTTP: one file at a time over kept connections, with its times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

CONNECT_S = 5.0
BODY_LIMIT_BYTES = 64 * 1024 * 1024


class DownloadError(Exception):
    """A file did not come; the text says why."""


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


class _Body(Protocol):
    def __init__(self, keep: bool, clock: IReactorTime) -> None:
        self.done: Deferred[None] = Deferred()
        self.size_bytes = 0
        self.first_at: float | None = None
        self.hash = hashlib.sha256()
        self.pieces: list[bytes] | None = [] if keep else None
        self._clock = clock

    def dataReceived(self, data: bytes) -> None:
        if self.first_at is None:
            self.first_at = self._clock.seconds()
        self.size_bytes += len(data)
        self.hash.update(data)
        if self.pieces is not None:
            self.pieces.append(data)
        if self.size_bytes > BODY_LIMIT_BYTES and self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(None)
        else:
            self.done.errback(DownloadError("the answer broke off"))


class Downloader:
    """Fetches files below one URL."""

    def __init__(self, reactor: Any, base_url: str) -> None:
        self._reactor = reactor
        self._base = base_url.rstrip("/")
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = 4
        self._agent = Agent(reactor, connectTimeout=CONNECT_S, pool=self._pool)

    async def get(self, path: str, query: str = "", keep: bool = False) -> Download:
        """A whole file, with its bytes if they are to be kept. Raises DownloadError."""
        url = f"{self._base}/{quote(path)}" + (f"?{query}" if query else "")
        requested_at = self._reactor.seconds()
        headers = Headers({"User-Agent": ["dashp2p-viewer"]})
        try:
            response = await self._agent.request(b"GET", url.encode("ascii"), headers)
        except Exception as error:
            raise DownloadError(f"no answer: {error!r}") from error
        body = _Body(keep, self._reactor)
        response.deliverBody(body)
        await body.done
        if response.code != 200:
            raise DownloadError(f"status {response.code}")
        now = self._reactor.seconds()
        return Download(
            size_bytes=body.size_bytes,
            sha256=body.hash.hexdigest(),
            data=None if body.pieces is None else b"".join(body.pieces),
            requested_at=requested_at,
            first_byte_at=body.first_at if body.first_at is not None else now,
            done_at=now,
            headers={
                name.decode("latin-1").lower(): values[-1].decode("latin-1")
                for name, values in response.headers.getAllRawHeaders()
            },
        )

    def close(self) -> Deferred[Any]:
        """Close the connections that were kept."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed
