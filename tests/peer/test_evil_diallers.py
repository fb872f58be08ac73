"""Who dials a peer's port with bad intent, over real sockets: no certificate, a foreign one, an
older TLS, none at all. Each is cut at once, and learns nothing."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dashp2p.content.tickets import TICKET_LIFE_S, sign_ticket
from dashp2p.peer.exchange import Exchange, tcp_endpoint
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.link_tls import LinkTls, certificate_of
from dashp2p.peer.tickets import Tickets
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Error, Have, Hello
from dashp2p.wire.session import Session
from tests.peer.support import OTHER_SWARM, SWARM, hello_of, id_of, private_key, public_key

ALPN = "dashp2p/1"
HOST = "127.0.0.1"
PATIENCE_S = 5.0
reactor: Any = global_reactor


@frozen
class Outcome:
    """What a dialler has come to: how the handshake ended, and what it heard after it."""

    refused: str
    """The error by which it learned that it is cut; empty if the other just hung up."""
    heard: bytes
    reused: bool = False
    session: ssl.SSLSession | None = None

    @property
    def frames(self) -> list[object]:
        session = Session()
        session.send(Hello(SWARM, bytes(32), 0))
        return list(session.receive_data(self.heard))


def listen_to(connection: socket.socket) -> tuple[str, bytes]:
    heard = b""
    try:
        while data := connection.recv(1 << 16):
            heard += data
    except OSError as error:
        return str(error) or type(error).__name__, heard
    return "", heard


class EvilDiallerTests(TestCase):
    timeout = 20.0

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.exchange = Exchange(
            reactor,
            tcp_endpoint(reactor),
            id_of("me"),
            lambda: hello_of("me"),
            lambda: Have(4, 0),
            LinkTls(private_key("me"), reactor),
        )
        port = reactor.listenTCP(0, self.exchange.answering, interface=HOST)
        self.port: int = port.getHost().port
        self.addCleanup(port.stopListening)
        self.addCleanup(self.closed)

    async def closed(self) -> None:
        self.exchange.go_away()
        self.exchange.close()
        for _ in range(200):
            if not self.exchange._all:
                return
            ticked: Deferred[None] = Deferred()
            reactor.callLater(0.01, ticked.callback, None)
            await ticked
        raise AssertionError("a link outlives its exchange")

    def context(
        self, key: Any = None, *certificates: x509.Certificate, speaks: tuple[str, ...] = (ALPN,)
    ) -> ssl.SSLContext:
        """TLS as a stranger has it, who may have a key and certificates of any kind."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if speaks:
            context.set_alpn_protocols(list(speaks))
        if key is not None:
            pem = self.folder / "chain.pem"
            raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            pem.write_bytes(
                raw + b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
            )
            context.load_cert_chain(pem)
        return context

    async def dial(
        self,
        context: ssl.SSLContext | None,
        says: bytes = b"",
        session: ssl.SSLSession | None = None,
    ) -> Outcome:
        """Dial from a thread, say that, listen until it is over."""
        outcome: Outcome = await deferToThread(self._dial, context, says, session)
        self.assertEqual(self.exchange.links, {})
        self.assertEqual(self.flushLoggedErrors(), [])
        return outcome

    def _dial(
        self, context: ssl.SSLContext | None, says: bytes, session: ssl.SSLSession | None
    ) -> Outcome:
        with socket.create_connection((HOST, self.port), timeout=PATIENCE_S) as plain:
            if context is None:
                plain.sendall(says)
                return Outcome(*listen_to(plain))
            try:
                with context.wrap_socket(plain, session=session) as secured:
                    secured.sendall(says)
                    refused, heard = listen_to(secured)
                    return Outcome(refused, heard, bool(secured.session_reused), secured.session)
            except OSError as error:
                return Outcome(str(error), b"")

    def refused_at_once(self, outcome: Outcome, why: str = "") -> None:
        self.assertIn(why, outcome.refused)
        self.assertNotIn("timed out", outcome.refused)
        self.assertEqual(outcome.heard, b"")

    async def test_no_certificate(self) -> None:
        self.refused_at_once(await self.dial(self.context(), greeting("evil")), "required")

    async def test_an_rsa_certificate(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        outcome = await self.dial(self.context(key, signed_by(key, key)), greeting("evil"))
        self.refused_at_once(outcome, "alert")

    async def test_a_certificate_with_another_kind_of_curve(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        outcome = await self.dial(self.context(key, signed_by(key, key)), greeting("evil"))
        self.refused_at_once(outcome, "alert")

    async def test_a_chain_of_certificates(self) -> None:
        key = private_key("evil")
        authority = ec.generate_private_key(ec.SECP256R1())
        for chain in (
            [signed_by(key, authority), signed_by(authority, authority)],
            [certificate_of(key), signed_by(authority, authority)],
        ):
            outcome = await self.dial(self.context(key, *chain), greeting("evil"))
            self.refused_at_once(outcome)

    async def test_tls_of_an_older_version(self) -> None:
        context = self.context(private_key("evil"), certificate_of(private_key("evil")))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.refused_at_once(await self.dial(context, greeting("evil")), "protocol version")

    async def test_tls_for_another_protocol(self) -> None:
        key = private_key("evil")
        for speaks in (("http/1.1",), ()):
            context = self.context(key, certificate_of(key), speaks=speaks)
            self.refused_at_once(await self.dial(context, greeting("evil")))

    async def test_no_tls(self) -> None:
        self.refused_at_once(await self.dial(None, greeting("evil")))
        self.assertEqual(self.exchange.mismatches, 1)

    async def test_another_protocol_altogether(self) -> None:
        self.refused_at_once(await self.dial(None, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))

    async def test_somebody_elses_key_in_hello(self) -> None:
        context = self.context(private_key("evil"), certificate_of(private_key("evil")))
        outcome = await self.dial(context, greeting("a good peer"))
        [only] = outcome.frames
        assert isinstance(only, Error)
        self.assertEqual(only.code, Code.UNAUTHORISED)

    async def test_no_ticket_or_one_that_does_not_count(self) -> None:
        tickets = Tickets("http://tracker.test", KnownKeys(None), public_key("tracker"), reactor)
        tickets.load()
        self.exchange.judge = tickets.judge
        context = self.context(private_key("evil"), certificate_of(private_key("evil")))
        now = time.time()
        for ticket in (
            "",
            sign_ticket(private_key("tracker"), SWARM, id_of("evil"), now - 2 * TICKET_LIFE_S),
            sign_ticket(private_key("tracker"), SWARM, id_of("a good peer"), now),
            sign_ticket(private_key("tracker"), OTHER_SWARM, id_of("evil"), now),
            sign_ticket(private_key("evil"), SWARM, id_of("evil"), now),
        ):
            outcome = await self.dial(context, greeting("evil", ticket))
            [only] = outcome.frames
            assert isinstance(only, Error)
            self.assertEqual(only.code, Code.UNAUTHORISED)

    async def test_a_session_is_not_resumed(self) -> None:
        context = self.context(private_key("evil"), certificate_of(private_key("evil")))
        first = await self.dial(context, greeting("a good peer"))
        again = await self.dial(context, greeting("a good peer"), first.session)
        self.assertIsNotNone(first.session)
        self.assertFalse(again.reused)


def greeting(name: str, ticket: str = "") -> bytes:
    """Preface and HELLO of a peer."""
    session = Session()
    session.send(Hello(SWARM, public_key(name), 4001, True, ticket.encode()))
    return b"".join(session.data_to_send())


def signed_by(key: Any, signer: Any) -> x509.Certificate:
    """A certificate for one key by another."""
    now = datetime.now(timezone.utc)
    of = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "evil")])
    by = of if key is signer else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    builder = x509.CertificateBuilder(by, of, key.public_key(), 7, now, now + timedelta(days=1))
    return builder.sign(signer, SHA256())
