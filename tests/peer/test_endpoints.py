"""How soon a peer hears that origin or tracker refuse it."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.error import SchemeNotSupported

from dashp2p.peer.endpoints import Endpoints
from dashp2p.peer.limits import NEXT_ADDRESS_S, ORIGIN_CONNECT_S


class EndpointTests(SynchronousTestCase):
    """Every name has one address here."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.endpoints = Endpoints(self.reactor, BrowserLikePolicyForHTTPS())

    def connect(self, uri: bytes) -> Any:
        return self.endpoints.endpointForURI(URI.fromBytes(uri)).connect(Factory())

    def test_a_refusal_is_heard_soon(self) -> None:
        connected = self.connect(b"http://origin:9000/")
        factory = self.reactor.tcpClients[0][2]
        refusal = Failure(ConnectionRefusedError())
        factory.clientConnectionFailed(self.reactor.connectors[0], refusal)
        self.reactor.advance(NEXT_ADDRESS_S)
        self.failureResultOf(connected, ConnectionRefusedError)

    def test_who_does_not_answer_is_given_up_in_time(self) -> None:
        self.connect(b"https://origin/").addErrback(lambda failure: None)
        host, port, _, timeout_s, *_ = self.reactor.tcpClients[0]
        self.assertEqual((host, port, timeout_s), ("127.0.0.1", 443, ORIGIN_CONNECT_S))

    def test_other_schemes_are_refused(self) -> None:
        with self.assertRaises(SchemeNotSupported):
            self.endpoints.endpointForURI(URI.fromBytes(b"ftp://origin/"))

    def test_an_address_is_not_looked_up(self) -> None:
        self.reactor.installNameResolver(None)  # type: ignore[arg-type]
        for uri in (b"http://203.0.113.9:9000/", b"https://203.0.113.9:9000/"):
            self.connect(uri).addErrback(lambda failure: None)
        asked = [(host, timeout_s) for host, _, _, timeout_s, *_ in self.reactor.tcpClients]
        self.assertEqual(asked, [("203.0.113.9", ORIGIN_CONNECT_S)] * 2)
