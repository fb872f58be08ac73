"""Links in TLS: who may link, what a stranger learns, and that back-pressure holds as without."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from dashp2p.content.keys import peer_id
from dashp2p.peer.exchange import Address, Exchange
from dashp2p.peer.fakenet import MemoryNetwork, advance
from dashp2p.peer.limits import HANDSHAKE_S
from dashp2p.peer.link import Link
from dashp2p.peer.link_tls import LinkTls, certificate_of
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Have, Hello
from tests.peer import test_link
from tests.peer.support import (
    OTHER_SWARM,
    SWARM,
    Remote,
    hello_of,
    id_of,
    in_tls,
    private_key,
    public_key,
)

PORT = 4001


class InTls:
    """The tests of a plain link again, with TLS between its two ends."""

    clock: Clock
    link: Link
    remote: Remote

    def ends(self) -> tuple[IProtocol, IProtocol]:
        return (
            in_tls(self.clock, self.link, "me", dials="remote"),
            in_tls(self.clock, self.remote, "remote"),
        )


class TlsGreetingTests(InTls, test_link.GreetingTests):
    pass


class TlsOpenLinkTests(InTls, test_link.OpenLinkTests):
    pass


class TlsBackPressureTests(InTls, test_link.BackPressureTests):
    pass


class TlsPingTests(InTls, test_link.PingTests):
    pass


class TlsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.network = MemoryNetwork(self.clock)
        self.all: list[Exchange] = []
        self.me = self.exchange("me")

    def tearDown(self) -> None:
        for exchange in self.all:
            exchange.go_away()
            exchange.close()
        self.advance(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [], "a timer has outlived the exchange")

    def advance(self, seconds: float = 0.05) -> None:
        advance(self.clock, seconds)

    def exchange(self, name: str, says: str | None = None, secured: bool = True) -> Exchange:
        """A peer with the key of that name, whose HELLO may claim to be another."""
        host = f"127.0.0.{len(self.all) + 1}"
        made = Exchange(
            self.clock,
            self.network.endpoint(host),
            id_of(name),
            lambda: hello_of(says or name),
            lambda: Have(4, 0),
            LinkTls(private_key(name), self.clock) if secured else None,
        )
        self.network.listen(host, PORT, made.answering)
        self.all.append(made)
        return made

    def where(self, exchange: Exchange, name: str) -> Address:
        return Address(id_of(name), f"127.0.0.{self.all.index(exchange) + 1}", PORT)

    def stranger(self, key: str = "stranger") -> Remote:
        """Somebody who dials us in TLS, and then does as the test says."""
        remote = Remote()
        answering = self.me.answering.buildProtocol(None)  # type: ignore[arg-type]
        self.network.join(in_tls(self.clock, remote, key, dials="me"), answering)
        self.advance()
        return remote

    def ends_of(self, number: int) -> tuple[bool, bool]:
        near, far = self.network.connections[number]
        return near.connected, far.connected


class IdentityTests(TlsTestCase):
    def test_two_peers_link_up_and_each_has_proven_its_key(self) -> None:
        other = self.exchange("other")
        self.me.dial([self.where(other, "other")])
        self.advance()
        self.assertEqual(self.me.links[id_of("other")].proven_key, public_key("other"))
        self.assertEqual(other.links[id_of("me")].proven_key, public_key("me"))

    def test_it_costs_a_few_round_trips_and_no_timer(self) -> None:
        other = self.exchange("other")
        self.me.dial([self.where(other, "other")])
        self.advance(0.009)
        self.assertIn(id_of("other"), self.me.links)

    def test_who_answers_with_another_key_is_refused_and_learns_not_who_we_are(self) -> None:
        impostor = self.exchange("impostor", says="other")
        link = Link(impostor, self.clock, dialled=False)
        self.patch(impostor, "_make", lambda dialled: link)
        self.me.dial([self.where(impostor, "other")])
        self.advance()
        self.assertEqual((self.me.links, impostor.links), ({}, {}))
        self.assertEqual(self.ends_of(0), (False, False))
        self.assertIsNone(link.proven_key)

    def test_who_claims_in_hello_to_be_another_is_refused(self) -> None:
        impostor = self.exchange("impostor", says="other")
        impostor.dial([self.where(self.me, "me")])
        self.advance(3.0)
        self.assertEqual((self.me.links, impostor.links), ({}, {}))
        self.assertEqual(self.ends_of(0), (False, False))

    def test_who_answers_and_claims_to_be_another_is_refused(self) -> None:
        impostor = self.exchange("impostor", says="other")
        self.me.dial([self.where(impostor, "impostor")])
        self.advance(3.0)
        self.assertEqual((self.me.links, impostor.links), ({}, {}))

    def test_a_banned_key_is_recognised_whatever_hello_says(self) -> None:
        self.me.ban(id_of("liar"))
        liar = self.exchange("liar", says="somebody new")
        liar.dial([self.where(self.me, "me")])
        self.advance(3.0)
        self.assertEqual(self.me.links, {})

    def test_a_certificate_holds_the_peers_key_and_its_id_and_no_date_that_matters(self) -> None:
        certificate = certificate_of(private_key("me"))
        self.assertEqual(certificate.not_valid_after_utc.year, 9999)
        [name] = certificate.subject
        self.assertEqual(name.value, peer_id(public_key("me")).hex())


class StrangerTests(TlsTestCase):
    def test_a_stranger_who_says_nothing_is_told_nothing_and_shown_out(self) -> None:
        stranger = self.stranger()
        self.advance(HANDSHAKE_S - 0.5)
        self.assertEqual(stranger.heard_bytes, 0)
        self.advance(3.0)
        self.assertTrue(stranger.lost)
        self.assertEqual(stranger.of(Hello) + stranger.of(Have), [])

    def test_whose_hello_is_refused_learns_neither_swarm_nor_ticket_nor_what_is_here(self) -> None:
        stranger = self.stranger()
        stranger.send(hello_of("stranger", OTHER_SWARM))
        self.advance(3.0)
        self.assertEqual(stranger.errors, [Code.UNAUTHORISED])
        self.assertEqual(stranger.of(Hello) + stranger.of(Have), [])

    def test_whose_hello_is_accepted_gets_hello_and_have(self) -> None:
        stranger = self.stranger()
        stranger.send(hello_of("stranger", SWARM))
        self.advance()
        self.assertEqual(stranger.events[:2], [hello_of("me"), Have(4, 0)])


class MismatchTests(TlsTestCase):
    """One side says --link-security off, the other does not."""

    def refused(self, dialler: Exchange, answerer: Exchange, name: str) -> None:
        dialler.dial([self.where(answerer, name)])
        self.advance(0.5)
        self.assertEqual((dialler.links, answerer.links), ({}, {}))
        self.assertEqual(self.ends_of(-1), (False, False), "it hangs")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_tls_dials_plain(self) -> None:
        plain = self.exchange("plain", secured=False)
        self.refused(self.me, plain, "plain")
        self.assertEqual((self.me.mismatches, plain.mismatches), (1, 1))

    def test_plain_dials_tls(self) -> None:
        plain = self.exchange("plain", secured=False)
        self.refused(plain, self.me, "me")
        self.assertEqual((self.me.mismatches, plain.mismatches), (1, 1))

    def test_it_is_told_once_with_what_to_do(self) -> None:
        said: list[str] = []

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            said.append(str(event.get("log_format")))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        plain = self.exchange("plain", secured=False)
        for _ in range(3):
            self.refused(self.me, plain, "plain")
        self.assertEqual(sum("--link-security" in line for line in said), 2, "once on each side")
