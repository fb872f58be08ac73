"""Passing a file of the origin through, unverified and unshared: when there is no index for it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse
from twisted.web.server import Request
from zope.interface import implementer

from dashp2p.peer.limits import ORIGIN_PATIENCE_S
from dashp2p.peer.origin_client import LEAST_BYTES, OriginClient, OriginError
from dashp2p.peer.plain_agent import encoding_of
from dashp2p.web.json import error_body

log = Logger()

ASKED = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")
ANSWERED = (
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Cache-Control",
)


@implementer(IPushProducer)
class _Relay(Protocol):
    """From the origin's connection to the player's, at the player's pace.

    An origin that brings less than LEAST_BYTES in ORIGIN_PATIENCE_S, though the player would take
    more, is given up: a byte now and then would hold two connections for ever.
    """

    transport: Any

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self.done: Deferred[int] = Deferred()
        self.size_bytes = 0
        self._request = request
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._came_bytes = 0
        """Since the timer was started."""
        self._gone = False
        request.notifyFinish().addErrback(self._player_left)

    def connectionMade(self) -> None:
        self._wait()
        self._request.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self._gone:
            return
        self._came_bytes += len(data)
        self.size_bytes += len(data)
        self._request.write(data)

    def pauseProducing(self) -> None:
        """The player does not keep up."""
        self._stop_waiting()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The player reads on."""
        self._wait()
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The player's connection is gone."""
        self._stop_waiting()
        self.transport.stopProducing()

    def _wait(self) -> None:
        self._stop_waiting()
        self._came_bytes = 0
        self._timer = self._clock.callLater(ORIGIN_PATIENCE_S, self._look)

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._came_bytes < LEAST_BYTES:
            self.transport.stopProducing()
        else:
            self._wait()

    def _player_left(self, reason: Failure) -> None:
        self._gone = True
        self._stop_waiting()
        if self.transport is not None:
            self.transport.stopProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        if not self._gone:
            self._request.unregisterProducer()
        if reason.check(ResponseDone, PotentialDataLoss) and not self._gone:
            self.done.callback(self.size_bytes)
        else:
            self.done.errback(OriginError("the origin or the player broke off"))


async def pass_through(request: Request, origin: OriginClient, path: str) -> int:
    """Answer `request` with the origin's file; answers the body's size in bytes.

    Never raises: what fails is told to the player, or ends its connection.
    """
    headers: dict[str, str] = {}
    for name in ASKED:
        values = request.requestHeaders.getRawHeaders(name)
        if values:
            headers[name] = values[0]
    method = request.method.decode("ascii")
    try:
        response: IResponse = await origin.open(path, headers, method)
    except OriginError as error:
        log.warn("{path} cannot be passed through: {why}", path=path, why=str(error))
        request.write(error_body(request, 503, "the origin does not answer; try again soon"))
        request.finish()
        return 0
    if 300 <= response.code < 400 and response.code != 304:
        origin.discard(response)
        request.write(
            error_body(request, 502, "the origin redirects elsewhere, which is not followed")
        )
        request.finish()
        return 0
    request.setResponseCode(response.code)
    if encoding := encoding_of(response):
        # Unasked: for whoever asked here it stays as it came, and nothing inflates on the way.
        request.setHeader(b"Content-Encoding", encoding.encode("latin-1"))
    for name in ANSWERED:
        values = response.headers.getRawHeaders(name)
        if values:
            request.setHeader(name.encode("ascii"), values[0].encode("latin-1"))
    if method == "HEAD" or response.code == 304:
        origin.discard(response)
        request.finish()
        return 0
    relay = _Relay(request, origin.clock)
    response.deliverBody(relay)
    try:
        size = await relay.done
    except OriginError as error:
        log.info("{path}: {why}", path=path, why=str(error))
        if request.channel is not None:
            request.loseConnection()
        return relay.size_bytes
    request.finish()
    return size
