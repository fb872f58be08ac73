# ruff: noqa: N802  # Twisted's names
"""A listener without sockets: a site, and clients of it that read as fast as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocolFactory, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from dashp2p.web.channel import BoundedChannel
from dashp2p.web.limits import SiteLimits
from dashp2p.web.site import BoundedSite

FULL_BYTES = 1 << 16
"""Above this a Twisted transport pauses its producer; it resumes it when all is taken."""

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 50000)
STRANGER = IPv4Address("TCP", "198.51.100.7", 50000)


def v6(host: str) -> IPv6Address:
    return IPv6Address("TCP", host, 50000)


@implementer(ITCPTransport)
class SlowTransport(StringTransport):
    """A transport with twisted.internet.abstract's buffer, emptied when the test says so."""

    def __init__(self, peer: IAddress, protocol: BoundedChannel | None = None) -> None:
        StringTransport.__init__(self, peerAddress=peer)
        self.client = protocol
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0
        self.taken = b""
        self.most_buffered = 0
        self.half_closed = False
        self.lost = False
        self.reads = True
        self._full = False

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.lost:
            return
        self.dataBuffer += data
        self.most_buffered = max(self.most_buffered, len(self.dataBuffer))
        if len(self.dataBuffer) > FULL_BYTES and self.producer is not None:
            self._full = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def take(self, size: int | None = None) -> bytes:
        """The client reads up to `size` bytes of what waits; returns them."""
        size = len(self.dataBuffer) if size is None else size
        taken, self.dataBuffer = self.dataBuffer[:size], self.dataBuffer[size:]
        self.taken += taken
        if not self.dataBuffer:
            if self._full and self.producer is not None:
                self._full = False
                self.producer.resumeProducing()
            elif self.disconnecting:
                self.lose(ConnectionDone())
        return taken

    def take_all(self) -> bytes:
        """The client reads until nothing comes any more; returns all it ever got."""
        while self.dataBuffer or (self.disconnecting and not self.lost):
            self.take()
        return self.taken

    def lose(self, why: Exception) -> None:
        """The connection is gone."""
        if self.lost or self.client is None:
            return
        self.lost = True
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        self.client.connectionLost(Failure(why))

    def loseConnection(self) -> None:
        StringTransport.loseConnection(self)
        if not self.dataBuffer:
            self.lose(ConnectionDone())

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.lose(ConnectionAborted())

    def pauseProducing(self) -> None:
        self.reads = False

    def resumeProducing(self) -> None:
        self.reads = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to set."""

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to set."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def loseReadConnection(self) -> None:
        """Not used."""


class Connection:
    """One client of a site. Reads all as it comes, unless `reading` is turned off."""

    def __init__(self, site: BoundedSite, peer: IAddress = LOOPBACK) -> None:
        channel = site.buildProtocol(peer)
        assert channel is not None, "refused"
        self.channel = channel
        self.transport = SlowTransport(peer, channel)
        self.reading = True
        Protocol.makeConnection(channel, self.transport)

    def send(self, data: bytes, step: int | None = None) -> None:
        """Send bytes, all at once or in pieces of `step`."""
        step = step or max(1, len(data))
        for start in range(0, len(data), step):
            if self.transport.lost:
                return
            self.channel.dataReceived(data[start : start + step])
            if self.reading:
                self.transport.take_all()

    def get(self, path: str, *headers: str, method: str = "GET") -> None:
        """Send a whole request without a body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost:8001", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def received(self) -> bytes:
        """All that the client has read, after reading what waits."""
        return self.transport.take_all() if self.reading else self.transport.taken

    @property
    def gone(self) -> bool:
        return self.transport.lost

    @property
    def aborted(self) -> bool:
        return bool(getattr(self.transport, "aborted", False))


class Answer:
    """A response, taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(status.split()[1])
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    @classmethod
    def of(cls, connection: Connection) -> Answer:
        return cls(connection.received())


class Recorder(Resource):
    """Keeps the requests that reach it; answers by `answer`, or leaves them open."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes | int] | None = None) -> None:
        Resource.__init__(self)
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.answer = answer

    def render(self, request: Request) -> bytes | int:
        self.requests.append(request)
        content = request.content
        assert content is not None
        self.bodies.append(content.read())
        content.seek(0)
        if self.answer is None:
            return NOT_DONE_YET
        return self.answer(request)


def site_of(
    resource: IResource, clock: Clock | None = None, limits: SiteLimits | None = None
) -> BoundedSite:
    """A site on a clock of its own."""
    return BoundedSite(resource, Clock() if clock is None else clock, limits=limits)


def ask(
    resource: IResource, path: str, *headers: str, method: str = "GET", peer: IAddress = LOOPBACK
) -> Answer:
    """One request to a resource, through a whole site."""
    connection = Connection(site_of(resource), peer)
    connection.get(path, *headers, method=method)
    return Answer.of(connection)


def code_under(site: IProtocolFactory, host: str, path: str = "/metrics") -> int:
    """The status of a stranger's request under some name."""
    assert isinstance(site, BoundedSite)
    connection = Connection(site, STRANGER)
    connection.send(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    return Answer.of(connection).code
