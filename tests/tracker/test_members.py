"""Whom a peer is told of, and by which address."""

from __future__ import annotations

import json
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker.addresses import private_address
from dashp2p.tracker.members import Member, Members, Neighbour
from dashp2p.tracker.pool import Pool
from tests.tracker.support import at, peer_id


def member(
    number: int, host: str, *private: str, reached: bool | None = None, port: int = 4001
) -> Member:
    addresses = tuple(address for text in private if (address := private_address(text)))
    return Member(peer_id(number), at(host), port, addresses, reached=reached)


class SeenTests(SynchronousTestCase):
    """One peer's view of another."""

    def seen(self, other: Member, asker: Member) -> list[str]:
        neighbour = other.seen_from(asker)
        if neighbour is None:
            return []
        first = f"{neighbour.host}:{neighbour.port}"
        return [first, *(str(address) for address in neighbour.also)]

    def test_a_stranger_is_told_the_public_address_that_answered(self) -> None:
        other = member(1, "198.51.100.7", "10.0.0.5:4001", reached=True)
        self.assertEqual(self.seen(other, member(2, "203.0.113.9")), ["198.51.100.7:4001"])

    def test_a_stranger_is_not_told_of_who_was_not_reached(self) -> None:
        other = member(1, "198.51.100.7", "10.0.0.5:4001")
        self.assertEqual(self.seen(other, member(2, "203.0.113.9")), [])

    def test_who_shares_the_public_address_is_told_the_private_ones(self) -> None:
        other = member(1, "198.51.100.7", "10.0.0.5:4001")
        asker = member(2, "198.51.100.7", "10.0.0.6:4001")
        self.assertEqual(self.seen(other, asker), ["10.0.0.5:4001"])

    def test_the_network_that_both_are_in_comes_first(self) -> None:
        other = member(
            1, "198.51.100.7", "172.17.0.1:4001", "10.9.9.9:4001", "192.168.1.5:4001", reached=True
        )
        asker = member(2, "198.51.100.7", "172.17.0.1:4001", "192.168.1.6:4001")
        self.assertEqual(
            self.seen(other, asker),
            ["192.168.1.5:4001", "172.17.0.1:4001", "10.9.9.9:4001", "198.51.100.7:4001"],
        )

    def test_behind_one_nat_with_nothing_private_only_an_address_that_answered_helps(self) -> None:
        asker = member(2, "198.51.100.7")
        self.assertEqual(self.seen(member(1, "198.51.100.7"), asker), [])
        reached = member(1, "198.51.100.7", reached=True)
        self.assertEqual(self.seen(reached, asker), ["198.51.100.7:4001"])

    def test_on_one_machine_the_sockets_address_is_told_without_dial_back(self) -> None:
        other = member(1, "127.0.0.1", "10.0.0.5:4001")
        self.assertEqual(self.seen(other, member(2, "127.0.0.1")), ["127.0.0.1:4001"])

    def test_a_loopback_address_is_told_to_nobody_outside(self) -> None:
        other = member(1, "127.0.0.1", reached=True)
        self.assertEqual(self.seen(other, member(2, "10.0.0.6")), [])
        self.assertEqual(self.seen(other, member(2, "203.0.113.9")), [])

    def test_in_a_lan_with_the_tracker_the_sockets_address_is_told_in_the_lan_only(self) -> None:
        other = member(1, "10.0.0.5", reached=True)
        self.assertEqual(self.seen(other, member(2, "10.0.0.6")), ["10.0.0.5:4001"])
        self.assertEqual(self.seen(other, member(2, "127.0.0.1")), ["10.0.0.5:4001"])
        self.assertEqual(self.seen(other, member(2, "203.0.113.9")), [])

    def test_there_it_is_told_before_it_was_dialled_but_not_once_that_failed(self) -> None:
        asker = member(2, "10.0.0.6")
        self.assertEqual(self.seen(member(1, "10.0.0.5"), asker), ["10.0.0.5:4001"])
        self.assertEqual(self.seen(member(1, "10.0.0.5", reached=False), asker), [])

    def test_in_one_ipv6_64_the_sockets_address_is_told_without_dial_back(self) -> None:
        other = member(1, "2001:db8::5")
        neighbour = other.seen_from(member(2, "2001:db8::6"))
        assert neighbour is not None
        self.assertEqual((neighbour.host, neighbour.port), ("2001:db8::5", 4001))
        self.assertIsNone(other.seen_from(member(2, "2001:db8:0:1::6")))

    def test_who_does_not_listen_is_told_to_nobody(self) -> None:
        other = member(1, "127.0.0.1", port=0)
        self.assertEqual(self.seen(other, member(2, "127.0.0.1")), [])

    def test_a_neighbour_is_json(self) -> None:
        addresses = [private_address("10.0.0.5:4001"), private_address("[fd00::5]:4001")]
        neighbour = Neighbour(peer_id(1), "198.51.100.7", 4001, tuple(a for a in addresses if a))
        self.assertEqual(
            json.loads(neighbour.to_json()),
            {
                "peer": peer_id(1).hex(),
                "host": "198.51.100.7",
                "port": 4001,
                "also": ["10.0.0.5:4001", "[fd00::5]:4001"],
            },
        )
        plain = Neighbour(peer_id(1), "2001:db8::5", 4001)
        self.assertEqual(
            json.loads(plain.to_json()),
            {"peer": peer_id(1).hex(), "host": "2001:db8::5", "port": 4001},
        )


class ChoiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.members = Members()
        self.random = Random(7)

    def put(self, *members: Member) -> None:
        for each in members:
            self.members.put(each)

    def told(self, asker: Member, wanted: int = 30) -> list[bytes]:
        found = self.members.neighbours(asker, wanted, self.random)
        peers = [each.peer for each in found]
        self.assertEqual(len(peers), len(set(peers)))
        self.assertLessEqual(len(peers), wanted)
        self.assertNotIn(asker.peer, peers)
        return peers

    def test_a_small_swarm_is_told_whole_but_for_oneself(self) -> None:
        peers = [member(n, "127.0.0.1") for n in range(10)]
        self.put(*peers)
        self.assertEqual(len(self.told(peers[3])), 9)

    def test_no_more_are_told_than_wanted(self) -> None:
        peers = [member(n, "127.0.0.1") for n in range(100)]
        self.put(*peers)
        self.assertEqual(len(self.told(peers[0], 30)), 30)
        self.assertEqual(len(self.told(peers[0], 5)), 5)
        self.assertEqual(self.told(peers[0], 0), [])

    def test_near_peers_come_first_and_a_third_is_random(self) -> None:
        near = [member(n, f"198.51.100.{n}", reached=True) for n in range(1, 101)]
        far = [member(1000 + n, f"203.0.{n >> 8}.{n & 255}", reached=True) for n in range(1000)]
        self.put(*near, *far)
        told = self.told(near[0])
        close = {each.peer for each in near}
        self.assertGreaterEqual(sum(peer in close for peer in told), 20)
        self.assertGreaterEqual(sum(peer not in close for peer in told), 5)

    def test_ones_own_private_network_comes_before_the_rest_of_the_site(self) -> None:
        here = [member(n, "198.51.100.7", f"10.0.1.{n}:4001") for n in range(1, 31)]
        there = [member(500 + n, "198.51.100.7", f"10.0.2.{n}:4001") for n in range(1, 201)]
        self.put(*here, *there)
        told = self.told(here[0])
        classroom = {each.peer for each in here}
        self.assertGreaterEqual(sum(peer in classroom for peer in told), 20)
        self.assertGreaterEqual(sum(peer not in classroom for peer in told), 5)
        self.assertEqual(len(told), 30)

    def test_with_few_near_the_list_is_filled_from_everywhere(self) -> None:
        asker = member(0, "198.51.100.7", reached=True)
        far = [member(n, f"203.0.113.{n}", reached=True) for n in range(1, 101)]
        self.put(asker, *far)
        self.assertEqual(len(self.told(asker)), 30)

    def test_every_peer_is_told_to_somebody(self) -> None:
        peers = [member(n, f"203.{n >> 8}.{n & 255}.9", reached=True) for n in range(300)]
        self.put(*peers)
        told = {peer for asker in peers[:60] for peer in self.told(asker)}
        self.assertGreater(len(told), 290)

    def test_who_left_is_not_told_of_anymore(self) -> None:
        peers = [member(n, "198.51.100.7", f"10.0.0.{n}:4001", reached=True) for n in range(1, 6)]
        self.put(*peers)
        self.members.remove(peers[1].peer)
        self.assertNotIn(peers[1].peer, self.told(peers[0]))
        for each in peers:
            self.members.remove(each.peer)
        self.assertEqual((len(self.members), self.members.listed), (0, 0))
        self.assertEqual(
            (self.members._sites, self.members._lans, self.members._networks), ({}, {}, {})
        )

    def test_who_moved_is_told_at_its_new_address_only(self) -> None:
        asker = member(0, "203.0.113.1", reached=True)
        self.put(asker, member(1, "198.51.100.7", reached=True))
        self.put(member(1, "198.51.100.8", reached=True))
        found = self.members.neighbours(asker, 30, self.random)
        self.assertEqual([each.host for each in found], ["198.51.100.8"])

    def test_who_can_no_longer_be_reached_is_not_told_to_strangers(self) -> None:
        asker, other = member(0, "203.0.113.1"), member(1, "198.51.100.7", reached=True)
        self.put(asker, other)
        self.members.set_reached(other, False)
        self.assertEqual(self.told(asker), [])
        self.members.set_reached(other, True)
        self.assertEqual(self.told(asker), [other.peer])

    def test_a_choice_costs_the_same_in_a_large_swarm(self) -> None:
        """Counted in peers looked at, not in seconds."""
        looked_at = []

        class Counting(Member):
            def seen_from(self, asker: Member) -> Neighbour | None:
                looked_at.append(self)
                return Member.seen_from(self, asker)

        for n in range(20_000):
            self.members.put(Counting(peer_id(n), at("127.0.0.1"), 4001))
        self.told(self.members.by_peer[peer_id(5)])
        self.assertLess(len(looked_at), 100)


class PoolTests(SynchronousTestCase):
    def test_members_are_drawn_without_those_that_left(self) -> None:
        pool: Pool[int] = Pool()
        for n in range(100):
            pool.add(n)
            pool.add(n)
        for n in range(0, 100, 2):
            pool.discard(n)
            pool.discard(n)
        self.assertEqual(len(pool), 50)
        drawn = pool.draw(Random(1), 1000)
        self.assertEqual(sorted(drawn), list(range(1, 100, 2)))
        self.assertEqual((99 in pool, 98 in pool), (True, False))

    def test_every_member_is_as_likely(self) -> None:
        pool: Pool[int] = Pool()
        for n in range(100):
            pool.add(n)
        random = Random(2)
        times = [0] * 100
        for _ in range(2000):
            for n in pool.draw(random, 10):
                times[n] += 1
        self.assertTrue(all(120 < each < 260 for each in times), times)
