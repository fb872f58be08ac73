"""All links of a peer: whom it dials, whom it admits, one link for each pair, bans."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer import bans as bans_module
from dashp2p.peer import exchange as exchange_module
from dashp2p.peer.exchange import Address, Exchange, tcp_endpoint
from dashp2p.peer.fakenet import MemoryNetwork, MemoryTransport, advance
from dashp2p.peer.limits import (
    ADDRESS_BAN_KEYS,
    BAN_S,
    CALL_S,
    DIAL_TIMEOUT_S,
    DOUBTFUL_S,
    HANDSHAKE_EVERY_S,
    HANDSHAKES_BURST,
    LINKS_PER_ADDRESS,
    MAX_DIALS,
    MAX_LINKS,
    SHUN_S,
    WANTED_LINKS,
)
from dashp2p.peer.link import Link
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Event, GoAway, Got, Have, SegmentBlocks
from tests.peer.support import OTHER_SWARM, SWARM, OneProtocol, Remote, hello_of, id_of

PORT = 4001
NEWS = Got((SegmentBlocks(1, 1),))


class Events:
    """What an exchange told its engine."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.frames: list[Event] = []

    def link_opened(self, link: Link, have: Have) -> None:
        self.said.append(("opened", link.peer_id))

    def link_received(self, link: Link, events: list[Event]) -> None:
        self.frames += events

    def link_ready(self, link: Link) -> None:
        """Too often to be noted."""

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """Not looked at here."""

    def link_closed(self, link: Link) -> None:
        self.said.append(("closed", link.peer_id))


class ExchangeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.network = MemoryNetwork(self.clock)
        self.hosts: dict[str, str] = {}
        self.all: list[Exchange] = []
        self.me = self.exchange("me")
        self.events = Events()
        self.me.events = self.events

    def tearDown(self) -> None:
        for exchange in self.all:
            exchange.go_away()
            exchange.close()
        self.advance(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [], "a timer has outlived the exchange")

    def advance(self, seconds: float = 0.05) -> None:
        advance(self.clock, seconds)

    def exchange(self, name: str, swarm: bytes = SWARM) -> Exchange:
        host = self.hosts[name] = f"127.0.0.{len(self.hosts) + 1}"
        made = Exchange(
            self.clock,
            self.network.endpoint(host),
            id_of(name),
            lambda: hello_of(name, swarm),
            lambda: Have(4, 0),
        )
        self.network.listen(host, PORT, made)
        self.all.append(made)
        return made

    def address(self, name: str) -> Address:
        return Address(id_of(name), self.hosts[name], PORT)

    def stranger(self, host: str = "198.51.100.7", port: int = 5000) -> Remote | None:
        """Somebody who connects to us, by hand."""
        remote = Remote()
        address = IPv4Address("TCP", host, port)
        link = self.me.buildProtocol(address)
        if link is None:
            return None
        self.network.join(remote, link, address, IPv4Address("TCP", "127.0.0.1", PORT))
        return remote

    def guest(self, name: str) -> Remote:
        """Somebody who connects, and greets."""
        remote = self.stranger()
        assert remote is not None, "refused"
        remote.greet(self.clock, name)
        return remote


class AdmissionTests(ExchangeTestCase):
    def test_two_peers_of_a_swarm_link_up(self) -> None:
        other = self.exchange("other")
        self.me.dial([self.address("other")])
        self.advance()
        self.assertEqual(list(self.me.links), [id_of("other")])
        self.assertEqual(list(other.links), [id_of("me")])
        self.assertEqual(self.events.said, [("opened", id_of("other"))])

    def test_a_peer_of_another_swarm_is_refused(self) -> None:
        remote = self.stranger()
        assert remote is not None
        remote.greet(self.clock, "remote", OTHER_SWARM)
        self.advance()
        self.assertEqual(remote.errors, [Code.UNAUTHORISED])
        self.assertEqual(self.me.links, {})

    def test_our_own_key_is_refused_as_a_neighbour(self) -> None:
        remote = self.guest("me")
        self.advance()
        self.assertEqual(remote.errors, [Code.UNAUTHORISED])
        self.assertEqual(self.me.links, {})

    def test_a_peer_that_reaches_itself_by_another_address_hangs_up(self) -> None:
        self.me.dial([Address(id_of("somebody"), self.hosts["me"], PORT)])
        self.advance(3.0)
        self.assertEqual(self.me.links, {})
        self.assertFalse(self.network.connections[0][0].connected)

    def test_frames_of_open_links_only_reach_the_engine(self) -> None:
        guest = self.guest("guest")
        guest.send(NEWS)
        self.advance()
        self.assertEqual(self.events.frames, [NEWS])

    def test_the_engine_hears_when_a_neighbour_is_gone(self) -> None:
        guest = self.guest("guest")
        assert guest.transport is not None
        guest.transport.loseConnection()
        self.advance()
        self.assertEqual(self.events.said[-1], ("closed", id_of("guest")))
        self.assertEqual(self.me.links, {})

    def test_who_is_leaving_admits_nobody(self) -> None:
        early = self.stranger()
        assert early is not None
        self.me.go_away()
        self.assertIsNone(self.stranger())
        early.greet(self.clock, "early")
        self.assertEqual(early.errors, [Code.SHUTTING_DOWN])

    def test_neighbours_are_told_that_we_leave(self) -> None:
        guest = self.guest("guest")
        self.me.go_away()
        self.advance()
        self.assertEqual(guest.of(GoAway), [GoAway(Code.SHUTTING_DOWN)])
        self.assertIn(id_of("guest"), self.me.links, "what is owed may still be sent")

    def test_close_cuts_greeted_and_ungreeted_links(self) -> None:
        guest, stranger = self.guest("guest"), self.stranger()
        assert stranger is not None
        self.me.close()
        self.advance()
        self.assertTrue(guest.lost and stranger.lost)


class BoundTests(ExchangeTestCase):
    def test_links_are_bounded_in_all(self) -> None:
        self._fill()
        self.assertIsNone(self.stranger("203.0.113.9"))
        self.assertEqual(self.me.refused_links, 1)

    def test_a_neighbour_that_went_makes_room(self) -> None:
        guests = self._fill()
        assert guests[0].transport is not None
        guests[0].transport.loseConnection()
        self.advance()
        self.assertIsNotNone(self.stranger("203.0.113.9"))

    def test_who_says_nothing_keeps_nobody_out(self) -> None:
        silent = [self.stranger(f"198.51.100.{number}") for number in range(MAX_LINKS)]
        late = self.stranger("203.0.113.9")
        assert late is not None
        late.greet(self.clock, "late")
        self.assertEqual(list(self.me.links), [id_of("late")])
        self.assertEqual([each.lost for each in silent if each], [True] + [False] * (MAX_LINKS - 1))
        self.assertEqual(len(self.me._all), MAX_LINKS)

    def _fill(self) -> list[Remote]:
        """As many neighbours as there may be."""
        guests: list[Remote] = []
        for number in range(MAX_LINKS):
            guest = self.stranger(f"198.51.100.{number}")
            assert guest is not None
            guest.greet(self.clock, f"guest {number}")
            guests.append(guest)
        self.assertEqual(len(self.me.links), MAX_LINKS)
        return guests

    def test_how_often_one_address_may_connect_is_bounded(self) -> None:
        self.me.links_per_address = None
        self.patch(exchange_module, "MAX_LINKS", 10_000)
        for _ in range(HANDSHAKES_BURST):
            self.assertIsNotNone(self.stranger("198.51.100.7"))
        self.assertIsNone(self.stranger("198.51.100.7"))
        self.assertIsNotNone(self.stranger("198.51.100.8"))
        self.assertIsNotNone(self.stranger("127.0.0.1"))
        self.advance(HANDSHAKE_EVERY_S)
        self.assertIsNotNone(self.stranger("198.51.100.7"))
        self.assertIsNone(self.stranger("198.51.100.7"))

    def test_links_of_one_address_are_bounded(self) -> None:
        self.me.links_per_address = 3
        for _ in range(3):
            self.assertIsNotNone(self.stranger("198.51.100.7"))
        self.assertIsNone(self.stranger("198.51.100.7"))
        self.assertIsNotNone(self.stranger("198.51.100.8"))

    def test_of_ipv6_a_network_counts_as_one_address(self) -> None:
        self.me.links_per_address = 1
        self.assertIsNotNone(self.stranger("2001:db8::1"))
        self.assertIsNone(self.stranger("2001:db8::2"))
        self.assertIsNotNone(self.stranger("2001:db8:0:1::1"))

    def test_one_address_leaves_room_for_others_unless_it_may_take_all(self) -> None:
        for most, expected in ((LINKS_PER_ADDRESS, LINKS_PER_ADDRESS), (None, MAX_LINKS)):
            self.me.links_per_address = most
            made = [self.stranger("198.51.100.7") for _ in range(MAX_LINKS)]
            self.assertEqual(sum(each is not None for each in made), expected)
            self.me.close()
            self.advance(HANDSHAKE_EVERY_S * HANDSHAKES_BURST)

    def test_loopback_is_exempt_from_the_bound_by_address(self) -> None:
        self.me.links_per_address = 3
        for host in ("127.0.0.1", "::1"):
            for _ in range(5):
                self.assertIsNotNone(self.stranger(host))

    def test_whom_we_dialled_does_not_count_for_its_address(self) -> None:
        self.me.links_per_address = 1
        self.hosts["other"] = "203.0.113.9"
        self.network.listen("203.0.113.9", PORT, self.exchange("unused"))
        self.me.dial([Address(id_of("unused"), "203.0.113.9", PORT)])
        self.advance()
        self.assertIsNotNone(self.stranger("203.0.113.9"))

    def test_dials_under_way_are_bounded(self) -> None:
        self.me.dial(self._crowd(MAX_DIALS + 5))
        self.assertEqual(len(self.network.dialled), MAX_DIALS)

    def test_no_more_links_are_dialled_than_are_wanted(self) -> None:
        crowd = self._crowd(WANTED_LINKS + 8)
        for _ in range(4):
            self.me.dial(crowd)
            self.advance()
        self.assertEqual(len(self.me.links), WANTED_LINKS)
        self.assertEqual(len(self.network.dialled), WANTED_LINKS)

    def _crowd(self, size: int) -> list[Address]:
        for number in range(size):
            self.exchange(f"peer {number}")
        return [self.address(f"peer {number}") for number in range(size)]


class DialTests(ExchangeTestCase):
    def test_names_are_never_dialled(self) -> None:
        self.me._endpoint = tcp_endpoint(object())
        for host in ("evil.example", "localhost", "127.0.0.1.evil.example", ""):
            self.me.dial([Address(id_of("other"), host, PORT)])
        self.assertEqual(self.network.dialled, [])
        self.assertEqual(self.me._dialling, {})

    def test_an_address_is_dialled_within_a_time(self) -> None:
        endpoint = tcp_endpoint(self.clock)("203.0.113.9", PORT)
        self.assertEqual(endpoint._timeout, DIAL_TIMEOUT_S)  # type: ignore[attr-defined]

    def test_it_never_dials_itself(self) -> None:
        self.me.dial([self.address("me")])
        self.assertEqual(self.network.dialled, [])

    def test_who_is_linked_or_being_dialled_is_not_dialled_again(self) -> None:
        self.exchange("other")
        self.me.dial([self.address("other"), self.address("other")])
        self.me.dial([self.address("other")])
        self.advance()
        self.me.dial([self.address("other")])
        self.assertEqual(len(self.network.dialled), 1)

    def test_a_link_that_comes_about_is_not_dialled_once_more(self) -> None:
        silent = Remote()
        self.network.listen("203.0.113.9", PORT, OneProtocol(silent))
        for _ in range(3):
            self.me.dial([Address(id_of("other"), "203.0.113.9", PORT)])
            self.advance()
        self.assertEqual((len(self.network.dialled), self.me.coming_about), (1, 1))

    def test_who_is_calling_is_not_dialled_for_a_moment(self) -> None:
        self.assertIsNotNone(self.stranger("203.0.113.9"))
        other = Address(id_of("other"), "203.0.113.9", PORT)
        self.advance(CALL_S - 0.1)
        self.me.dial([other])
        self.assertEqual(self.network.dialled, [])
        self.advance(0.2)
        self.me.dial([other])
        self.assertEqual(len(self.network.dialled), 1)

    def test_a_call_from_elsewhere_keeps_nobody_from_being_dialled(self) -> None:
        self.assertIsNotNone(self.stranger("203.0.113.8"))
        self.me.dial([Address(id_of("other"), "203.0.113.9", PORT)])
        self.assertEqual(len(self.network.dialled), 1)

    def test_whoever_else_is_at_a_neighbours_address_is_dialled(self) -> None:
        remote = self.guest("neighbour")
        self.advance()
        self.assertEqual(remote.errors, [])
        self.me.dial([Address(id_of("other"), "198.51.100.7", PORT)])
        self.assertEqual(len(self.network.dialled), 1)

    def test_dials_connections_and_links_are_what_comes_about(self) -> None:
        self.exchange("other")
        self.me.dial([self.address("other")])
        self.assertEqual(self.me.coming_about, 1)
        self.advance()
        self.assertEqual(self.me.coming_about, 1)
        self.assertIsNotNone(self.stranger())
        self.assertEqual(self.me.coming_about, 2)

    def test_who_cannot_be_reached_is_tried_again_when_it_is_named_again(self) -> None:
        nobody = Address(id_of("nobody"), "203.0.113.9", PORT)
        self.me.dial([nobody])
        self.advance()
        self.me.dial([nobody])
        self.assertEqual(len(self.network.dialled), 2)

    def test_leaving_gives_dials_up(self) -> None:
        self.exchange("other")
        self.me.dial([self.address("other")])
        self.me.go_away()
        self.advance()
        self.assertEqual(self.network.connections, [])
        self.me.dial([self.address("other")])
        self.assertEqual(len(self.network.dialled), 1)

    def test_who_answers_in_anothers_place_is_refused(self) -> None:
        somebody = self.exchange("somebody")
        self.me.dial([Address(id_of("other"), self.hosts["somebody"], PORT)])
        self.advance(3.0)
        self.assertEqual((self.me.links, somebody.links), ({}, {}))


class DoubleLinkTests(ExchangeTestCase):
    """Two peers that dial each other at once keep one link: the one that the lower id dialled."""

    def test_of_two_links_at_once_the_lower_ids_own_stays(self) -> None:
        names = [f"other {number}" for number in range(8)]
        self.assertEqual({id_of("me") < id_of(name) for name in names}, {True, False})
        for name in names:
            other = self.exchange(name)
            self.me.dial([self.address(name)])
            other.dial([self.address("me")])
            self.advance(3.0)
            mine_is_lower = id_of("me") < id_of(name)
            self.assertEqual(self.me.links[id_of(name)].dialled, mine_is_lower)
            self.assertEqual(other.links[id_of("me")].dialled, not mine_is_lower)
        self.assertEqual(self._open_connections(), len(names))
        self.assertEqual(self.events.said[-1][0], "opened")

    def test_the_lower_ids_own_stays_whichever_is_greeted_first(self) -> None:
        lower = next(name for name in "abcdefgh" if id_of(name) < id_of("me"))
        for first in ("mine", "theirs"):
            with self.subTest(first=first):
                mine, theirs = Remote(), self.stranger()
                assert theirs is not None
                self.network.listen("127.0.0.9", PORT, OneProtocol(mine))
                self.me.dial([Address(id_of(lower), "127.0.0.9", PORT)])
                self.advance()
                for remote in (mine, theirs):
                    remote.send(hello_of(lower))
                self.advance()
                for remote in (mine, theirs) if first == "mine" else (theirs, mine):
                    remote.send(Have(4, 0))
                    self.advance()
                self.assertFalse(self.me.links[id_of(lower)].dialled)
                self.advance(3.0)
                self.assertEqual((mine.lost, theirs.lost), (True, False))
                self.me.close()
                self.advance()

    def test_it_is_the_same_when_one_link_was_there_before(self) -> None:
        for first in ("me", "other"):
            with self.subTest(first=first):
                self.setUp()
                other = self.exchange("other")
                by_name = {"me": self.me, "other": other}
                second = "other" if first == "me" else "me"
                by_name[first].dial([self.address(second)])
                self.advance()
                self._connect_again(second, first)
                self.advance(3.0)
                self.assertEqual(self._open_connections(), 1)
                lower, higher = sorted(("me", "other"), key=id_of)
                self.assertTrue(by_name[lower].links[id_of(higher)].dialled)
                self.tearDown()

    def test_a_second_link_by_the_same_dialler_is_refused(self) -> None:
        guest, again = self.guest("guest"), self.guest("guest")
        self.advance(3.0)
        self.assertEqual(again.errors, [Code.BUSY])
        self.assertTrue(again.lost)
        self.assertFalse(guest.lost)

    def test_who_lost_power_is_let_in_again_before_silence_has_ended_the_old_link(self) -> None:
        for lower in (True, False):
            with self.subTest(lower=lower):
                name = next(name for name in "abcdefgh" if (id_of(name) < id_of("me")) == lower)
                other = self.exchange(name)
                self.me.dial([self.address(name)])
                self.advance(DOUBTFUL_S + 0.5)
                for end in self.network.connections[-1]:
                    end.clog()
                again = self.guest(name)
                self.advance()
                self.assertEqual(again.errors, [])
                self.assertFalse(again.lost)
                self.assertFalse(self.me.links[id_of(name)].dialled)
                self.assertEqual(
                    self.events.said[-2:], [("closed", id_of(name)), ("opened", id_of(name))]
                )
                other.close()

    def test_news_of_the_link_that_went_does_not_end_the_one_that_stays(self) -> None:
        other = self.exchange("other")
        self.me.dial([self.address("other")])
        other.dial([self.address("me")])
        self.advance(3.0)
        self.me.links[id_of("other")].send(NEWS)
        other.links[id_of("me")].send(NEWS)
        self.advance()
        self.assertEqual(self.events.frames, [NEWS])

    def _connect_again(self, dialler: str, to: str) -> None:
        """As when a dial was under way while the other's came in."""
        exchange = next(each for each in self.all if each._peer_id == id_of(dialler))
        exchange._connect(self.address(to))

    def _open_connections(self) -> int:
        ends: list[MemoryTransport] = [near for near, _ in self.network.connections]
        return sum(end.connected for end in ends)


class BanTests(ExchangeTestCase):
    def test_a_banned_neighbour_is_told_and_cut(self) -> None:
        guest = self.guest("guest")
        self.me.ban(id_of("guest"))
        self.assertEqual(self.events.said[-1], ("closed", id_of("guest")))
        self.advance()
        self.assertEqual(guest.errors, [Code.INTEGRITY])
        self.assertTrue(guest.lost)

    def test_frames_in_flight_of_a_banned_neighbour_are_not_heard(self) -> None:
        guest = self.guest("guest")
        guest.send(NEWS)
        self.me.ban(id_of("guest"))
        self.advance()
        self.assertEqual(self.events.frames, [])

    def test_a_banned_key_is_refused_from_any_address(self) -> None:
        self.me.ban(id_of("guest"))
        for host in ("198.51.100.7", "203.0.113.9", "127.0.0.1"):
            remote = self.stranger(host)
            assert remote is not None
            remote.greet(self.clock, "guest")
            self.assertEqual(remote.errors, [Code.UNAUTHORISED])

    def test_another_key_from_the_same_address_is_admitted(self) -> None:
        self.guest("guest")
        self.me.ban(id_of("guest"))
        self.advance()
        self.guest("neighbour of the liar")
        self.assertEqual(list(self.me.links), [id_of("neighbour of the liar")])

    def test_a_banned_key_is_not_dialled(self) -> None:
        self.exchange("other")
        self.me.ban(id_of("other"))
        self.me.dial([self.address("other")])
        self.assertEqual(self.network.dialled, [])

    def test_an_address_is_banned_only_while_several_of_its_keys_are(self) -> None:
        for number in range(ADDRESS_BAN_KEYS):
            self.assertIsNotNone(self.stranger(), "too soon")
            self.guest(f"liar {number}")
            self.me.ban(id_of(f"liar {number}"))
            self.advance()
        self.assertIsNone(self.stranger("198.51.100.7"))
        self.assertIsNotNone(self.stranger("198.51.100.8"))
        self.me.dial([Address(id_of("somebody"), "198.51.100.7", PORT)])
        self.assertEqual(self.network.dialled, [])
        self.advance(BAN_S)
        self.assertIsNotNone(self.stranger("198.51.100.7"))

    def test_one_key_that_lies_often_does_not_ban_its_address(self) -> None:
        for _ in range(ADDRESS_BAN_KEYS):
            self.me.ban(id_of("liar"))
            self.advance()
        self.guest("liar")
        self.me.ban(id_of("liar"))
        self.assertIsNotNone(self.stranger())

    def test_this_machines_address_is_never_banned(self) -> None:
        for number in range(ADDRESS_BAN_KEYS):
            guest = self.stranger("127.0.0.1")
            assert guest is not None
            guest.greet(self.clock, f"liar {number}")
            self.me.ban(id_of(f"liar {number}"))
        self.assertIsNotNone(self.stranger("127.0.0.1"))

    def test_a_ban_ends(self) -> None:
        self.me.ban(id_of("guest"))
        self.assertEqual(self.me.banned, 1)
        self.advance(BAN_S - 1)
        self.assertTrue(self.me.is_banned(id_of("guest")))
        self.advance(2)
        self.assertFalse(self.me.is_banned(id_of("guest")))
        self.assertEqual(self.me.banned, 0)
        self.guest("guest")
        self.assertIn(id_of("guest"), self.me.links)

    def test_bans_are_bounded_and_the_oldest_goes_first(self) -> None:
        self.patch(bans_module, "MAX_BANS", 3)
        for name in ("a", "b", "c", "a", "d"):
            self.me.ban(id_of(name))
        self.assertEqual(self.me.banned, 3)
        self.assertFalse(self.me.is_banned(id_of("b")))
        self.assertTrue(self.me.is_banned(id_of("a")))


class ShunTests(ExchangeTestCase):
    """Who breaks his word is left alone for some minutes."""

    def test_the_link_ends_and_neither_side_opens_another(self) -> None:
        guest = self.guest("guest")
        self.me.shun(id_of("guest"), "a test")
        self.advance()
        self.assertEqual(guest.errors, [Code.BAD_REQUEST])
        again = self.stranger()
        assert again is not None
        again.greet(self.clock, "guest")
        self.assertEqual(again.errors, [Code.UNAUTHORISED])
        self.exchange("guest")
        self.me.dial([self.address("guest")])
        self.assertEqual(self.network.dialled, [])

    def test_it_ends(self) -> None:
        self.me.shun(id_of("guest"), "a test")
        self.assertEqual(self.me.shunned, 1)
        self.advance(SHUN_S - 1)
        self.assertTrue(self.me.is_banned(id_of("guest")))
        self.advance(2)
        self.assertEqual(self.me.shunned, 0)
        self.guest("guest")
        self.assertIn(id_of("guest"), self.me.links)

    def test_it_is_no_ban_and_the_address_does_not_suffer(self) -> None:
        for number in range(ADDRESS_BAN_KEYS):
            self.me.shun(id_of(f"liar {number}"), "a test")
        self.assertEqual(self.me.banned, 0)
        self.guest("somebody else")

    def test_it_does_not_shorten_a_ban(self) -> None:
        self.me.ban(id_of("guest"))
        self.me.shun(id_of("guest"), "a test")
        self.advance(SHUN_S + 1)
        self.assertTrue(self.me.is_banned(id_of("guest")))

    def test_those_shunned_are_bounded_and_the_oldest_goes_first(self) -> None:
        self.patch(bans_module, "MAX_BANS", 3)
        for name in ("a", "b", "c", "a", "d"):
            self.me.shun(id_of(name), "a test")
        self.assertEqual(self.me.shunned, 3)
        self.assertFalse(self.me.is_banned(id_of("b")))
        self.assertTrue(self.me.is_banned(id_of("a")))

    def test_a_link_that_was_replaced_blames_nobody(self) -> None:
        self.guest("guest")
        former = self.me.links[id_of("guest")]
        self.advance(DOUBTFUL_S + 1)
        self.guest("guest")
        self.me.silent(former)
        self.assertEqual(self.me.shunned, 0)
