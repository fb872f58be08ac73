"""A few things that only real sockets show."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection as TCPConnection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Request

from dashp2p.web.limits import SiteLimits
from dashp2p.web.site import BoundedSite
from dashp2p.web.unsent import buffered_bytes, unsent_bytes
from tests.web.support import Answer, Recorder

reactor: Any = global_reactor


class UnsentTests(SynchronousTestCase):
    """Against Twisted's own transport: its buffer has no public name."""

    def setUp(self) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            self.client = socket.create_connection(listening.getsockname())
            server, _ = listening.accept()
        self.addCleanup(self.client.close)
        self.addCleanup(server.close)
        self.transport = TCPConnection(server, Protocol(), MemoryReactor())
        self.transport.connected = 1

    def test_what_waits_in_the_transport_is_counted(self) -> None:
        self.transport.write(b"x" * 5_000_000)
        self.transport.writeSequence([b"y" * 10, b"z"])
        self.assertEqual(buffered_bytes(self.transport), 5_000_011)

    def test_what_waits_in_the_kernel_is_counted_too(self) -> None:
        self.transport.write(b"x" * 20_000_000)
        for _ in range(400):
            self.transport.doWrite()
        buffered = buffered_bytes(self.transport)
        assert buffered is not None
        self.assertLess(buffered, 20_000_000)
        unsent = unsent_bytes(self.transport)
        assert unsent is not None
        self.assertGreater(unsent, buffered)
        taken = len(self.client.recv(1 << 20))
        self.assertGreater(taken, 0)

    def test_other_transports_do_not_tell(self) -> None:
        self.assertIsNone(unsent_bytes(StringTransport()))


class Collect(Protocol):
    """A client that keeps what it gets, and may stop reading."""

    def __init__(self, send: bytes, reading: bool = True) -> None:
        self.received = b""
        self.over: Deferred[bytes] = Deferred()
        self._send = send
        self._reading = reading

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if not self._reading:
            transport.pauseProducing()
        transport.write(self._send)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        self.over.callback(self.received)


class SocketTests(TestCase):
    def connect(self, limits: SiteLimits, client: Collect, resource: Recorder) -> None:
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

        self.site = BoundedSite(resource, reactor, limits=limits)
        port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(lambda: self.site.drain(1.0))
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        connecting = connectProtocol(endpoint, client)
        connecting.addErrback(self.fail)

    async def test_a_client_that_sends_too_much_reads_why(self) -> None:
        resource = Recorder(lambda request: b"")
        body = b"x" * 400_000
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        client = Collect(head + body)
        self.connect(SiteLimits(), client, resource)
        answer = Answer(await client.over)
        self.assertEqual(answer.code, 413)
        self.assertEqual(resource.requests, [])

    async def test_a_stalled_reader_is_let_go(self) -> None:
        def large(request: Request) -> bytes:
            return b"x" * 30_000_000

        gone: Deferred[None] = Deferred()
        resource = Recorder(large)
        client = Collect(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", reading=False)
        self.connect(SiteLimits(stalled_s=0.6, idle_s=0.6), client, resource)
        forget = self.site.disconnected

        def disconnected(channel: Any) -> None:
            forget(channel)
            gone.callback(None)

        self.site.disconnected = disconnected  # type: ignore[method-assign]
        await gone.addTimeout(10, reactor)
        transport: Any = client.transport
        transport.resumeProducing()
        self.assertLess(len(await client.over), 30_000_000)
