"""Passing a file of the origin through, unverified and unshared: when there is no index for it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from dashp2p.peer.origin_client import OriginClient, OriginError
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


class _Relay(Protocol):
    """From the origin's connection to the player's, at the player's pace."""

    def __init__(self, request: Request) -> None:
        self.done: Deferred[int] = Deferred()
        self.size_bytes = 0
        self._request = request
        self._gone = False
        request.notifyFinish().addErrback(self._player_left)

    def connectionMade(self) -> None:
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        if not self._gone:
            self.size_bytes += len(data)
            self._request.write(data)

    def _player_left(self, reason: Failure) -> None:
        self._gone = True
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
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
        request.write(error_body(request, 502, "the origin redirects, which is not followed"))
        request.finish()
        return 0
    request.setResponseCode(response.code)
    for name in ANSWERED:
        values = response.headers.getRawHeaders(name)
        if values:
            request.setHeader(name.encode("ascii"), values[0].encode("latin-1"))
    if method == "HEAD" or response.code == 304:
        origin.discard(response)
        request.finish()
        return 0
    relay = _Relay(request)
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
