"""What is copied from neighbours so that more than one or two hold it."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.entry import Entry
from dashp2p.swarm.commands import Abandoned, Ask, CallTracker, FetchOrigin, Replicate, Withdraw
from dashp2p.swarm.neighbour import Neighbour
from dashp2p.swarm.policy import Policy
from dashp2p.swarm.replicas import MOST_FOLLOWED, MOST_UPCOMING, Followed, followed
from tests.swarm.support import Bench, entry, peer

LAST = 12
POLICY = Policy()


def film() -> dict[int, Entry]:
    """Segments of one rung by position, from 1."""
    return {position: entry(position) for position in range(1, LAST + 1)}


class ReplicasTestCase(SynchronousTestCase):
    """Our player asks for segment 1 of twelve, 4 s each, and has 10 s left."""

    def setUp(self) -> None:
        self.bench = Bench(*film().values(), policy=POLICY)
        self.ahead = self.join("ahead", 1, 2)

    def join(self, name: str, *segments: int) -> Neighbour:
        return self.bench.join(name, sum(1 << segment for segment in segments))

    def followed(self, number: int = 1, slack_s: float = 10.0) -> Followed:
        bench = self.bench

        def following(after: Entry) -> Entry | None:
            return bench.entries.get(after.position + 1)

        current = bench.entries[number]
        return followed(POLICY, following, current, bench.now + slack_s, bench.now)

    def follow(self, number: int = 1, slack_s: float = 10.0, track: str = "a video") -> None:
        found = self.followed(number, slack_s)
        self.bench.node.replicas.follow(track, found, self.bench.now)

    def copied(self) -> list[int]:
        """The segments that are to be copied, and are on their way from now on."""
        found = self.bench.take(Replicate)
        for each in found:
            self.bench.node.want(each.entry, each.deadline_s, self.bench.now, False, spare=True)
        return [each.entry.position for each in found]


class ChoiceTests(ReplicasTestCase):
    def test_what_a_single_neighbour_has_is_copied_by_when_our_player_needs_it(self) -> None:
        self.follow()
        [copy] = self.bench.take(Replicate)
        self.assertEqual(copy.entry.position, 2)
        self.assertAlmostEqual(copy.deadline_s, self.bench.now + 14.0)

    def test_so_is_what_it_fetches_from_the_origin(self) -> None:
        self.follow()
        self.assertEqual(self.copied(), [2])
        self.bench.getting("ahead", distance=0, segment=3)
        self.assertEqual(self.copied(), [3])

    def test_and_what_it_has_fetched(self) -> None:
        self.follow()
        self.assertEqual(self.copied(), [2])
        self.bench.got("ahead", -1, segment=3)
        self.assertEqual(self.copied(), [3])

    def test_what_is_only_wanted_or_comes_from_others_has_no_source(self) -> None:
        self.follow()
        self.assertEqual(self.copied(), [2])
        self.bench.getting("ahead", distance=255, blocks=0, segment=3)
        self.bench.getting("ahead", distance=1, segment=4)
        self.follow()
        self.assertEqual(self.copied(), [])

    def test_what_enough_neighbours_have_or_want_is_left_alone(self) -> None:
        self.join("second", 2)
        self.join("third")
        self.bench.getting("third", distance=1, segment=2)
        self.follow()
        self.assertEqual(self.copied(), [])
        self.bench.node.left(peer("second"), self.bench.now)
        self.follow()
        self.assertEqual(self.copied(), [2])

    def test_who_has_told_nothing_for_long_does_not_count(self) -> None:
        self.join("second", 2)
        self.join("third", 2)
        self.bench.later(POLICY.replica_silent_s + 0.1)
        self.bench.got("ahead", -1, segment=1)
        self.follow()
        self.assertEqual(self.copied(), [2])

    def test_nor_does_who_leaves_or_does_not_give(self) -> None:
        self.join("second", 2)
        self.bench.join("third", 1 << 2, uploads=False)
        self.bench.node.leaving(peer("second"), self.bench.now)
        self.follow()
        self.assertEqual(self.copied(), [2])
        self.bench.node.leaving(peer("ahead"), self.bench.now)
        self.bench.got("ahead", -1, segment=3)
        self.assertEqual(self.copied(), [])

    def test_what_is_here_or_under_way_is_not_copied_again(self) -> None:
        self.ahead.whole |= 0b11110
        self.bench.node.hold([2])
        self.bench.want(self.bench.entries[3])
        self.follow()
        self.assertEqual(self.copied(), [4])
        self.follow()
        self.assertEqual(self.copied(), [])

    def test_what_is_needed_much_later_is_not_copied_yet(self) -> None:
        self.ahead.whole |= (1 << LAST + 1) - 1
        soon = [upcoming.entry.position for upcoming in self.followed(slack_s=12.0).upcoming]
        self.assertEqual(soon, [2, 3, 4, 5, 6, 7, 8])
        later = [upcoming.entry.position for upcoming in self.followed(slack_s=37.0).upcoming]
        self.assertEqual(later, [])

    def test_of_very_short_segments_only_so_many_are_looked_at(self) -> None:
        short = evolve(entry(1), duration_s=0.1)
        found = followed(POLICY, lambda after: short, short, 0.0, 0.0)
        self.assertEqual(len(found.upcoming), MOST_UPCOMING)


class TurnTests(ReplicasTestCase):
    def test_whoever_is_nearer_goes_first(self) -> None:
        self.ahead.whole |= 1 << 3
        self.join("between", 1, 2)
        self.bench.node.hold([2])
        self.follow()
        self.assertEqual(self.copied(), [])
        due_at = self.bench.now + POLICY.replica_step_s
        self.assertEqual(self.bench.node.next_wake(self.bench.now), due_at)
        self.bench.now = due_at
        self.assertEqual(self.copied(), [3])

    def test_and_who_hears_that_enough_have_begun_leaves_it(self) -> None:
        self.ahead.whole |= 1 << 3
        for name in ("between", "also"):
            self.join(name, 1, 2)
        self.bench.node.hold([2])
        self.follow()
        self.assertEqual(self.copied(), [])
        for name in ("between", "also"):
            self.bench.getting(name, distance=1, segment=3)
        self.bench.later(1.0)
        self.assertEqual(self.copied(), [])

    def test_of_those_who_are_as_near_others_come_first_each_time(self) -> None:
        for segment in range(2, 6):
            self.ahead.whole |= 1 << segment
        self.join("beside", 1)
        self.follow()
        at_once = self.copied()
        self.bench.later(POLICY.replica_step_s + 0.05)
        self.assertTrue(at_once)
        self.assertTrue(self.copied())

    def test_only_so_many_are_under_way_at_a_time(self) -> None:
        self.ahead.whole |= (1 << LAST) - 1
        self.follow()
        self.assertEqual(self.copied(), [2, 3, 4, 5])
        self.bench.later(1.0)
        self.assertEqual(self.copied(), [])
        self.bench.arrive("ahead", (1 << 10) - 1, self.bench.entries[2])
        self.bench.later(POLICY.replica_step_s + 0.05)
        self.assertEqual(self.copied(), [6])


class FollowTests(ReplicasTestCase):
    def test_nothing_is_copied_for_nobody(self) -> None:
        self.bench.got("ahead", -1, segment=3)
        self.assertEqual(self.copied(), [])

    def test_nor_when_it_is_not_known_where_the_player_goes(self) -> None:
        self.follow()
        self.bench.node.replicas.leave("a video")
        self.assertEqual(self.copied(), [])

    def test_nor_when_it_has_not_asked_for_the_next_by_the_time_that_it_needed_it(self) -> None:
        self.follow()
        self.assertEqual(self.copied(), [2])
        self.bench.later(14.5)
        self.bench.got("ahead", -1, segment=3)
        self.assertEqual(self.copied(), [])

    def test_nor_of_another_film(self) -> None:
        self.follow()
        self.bench.node.forget()
        self.assertEqual(self.copied(), [])

    def test_nor_while_the_tracker_is_away(self) -> None:
        self.bench.node.state.tracker_away = True
        self.follow()
        self.assertEqual(self.copied(), [])

    def test_nor_by_who_does_not_give(self) -> None:
        self.bench.node.state.uploads = False
        self.follow()
        self.assertEqual(self.copied(), [])

    def test_of_many_players_those_who_came_last_are_followed(self) -> None:
        self.bench.node.hold([2, 3])
        self.follow(1, track="first")
        for number in range(MOST_FOLLOWED):
            self.follow(9, track=f"later {number}")
        self.assertFalse(self.bench.node.replicas.is_upcoming(2))
        self.assertTrue(self.bench.node.replicas.is_upcoming(10))

    def test_who_asks_again_is_not_who_came_first(self) -> None:
        self.follow(1, track="first")
        for number in range(MOST_FOLLOWED - 2):
            self.follow(9, track=f"later {number}")
        self.follow(1, track="first")
        for name in ("last but one", "last"):
            self.follow(9, track=name)
        self.assertTrue(self.bench.node.replicas.is_upcoming(2))


class SpareTests(ReplicasTestCase):
    """A delivery that is only to be held by one more peer."""

    def begin(self) -> None:
        self.follow()
        self.assertEqual(self.copied(), [2])

    def test_it_is_asked_of_the_neighbour(self) -> None:
        self.begin()
        [ask] = self.bench.take(Ask)
        self.assertEqual((ask.peer_id, ask.entry.position), (peer("ahead"), 2))

    def test_it_costs_the_origin_nothing_when_the_neighbour_goes(self) -> None:
        self.begin()
        self.bench.take(Ask)
        self.bench.node.left(peer("ahead"), self.bench.now)
        self.bench.later(5.0)
        said = self.bench.node.take_commands(self.bench.now)
        self.assertEqual([one for one in said if isinstance(one, (CallTracker, FetchOrigin))], [])

    def test_until_a_player_asks_for_it(self) -> None:
        self.begin()
        self.bench.take(Ask)
        self.bench.node.left(peer("ahead"), self.bench.now)
        self.bench.quiet()
        self.bench.want(self.bench.entries[2])
        [call] = self.bench.take(CallTracker)
        self.assertEqual([want.entry.position for want in call.wants], [2])

    def test_what_a_player_waits_for_is_no_spare(self) -> None:
        self.bench.want(self.bench.entries[2])
        node, now = self.bench.node, self.bench.now
        delivery = node.want(self.bench.entries[2], now + 10, now, False, spare=True)
        self.assertFalse(delivery.spare)

    def test_whoever_is_asked_for_it_is_not_late(self) -> None:
        self.begin()
        self.bench.take(Ask)
        for _ in range(6):
            self.bench.later(1.0)
            self.bench.got("ahead", -1, segment=1)  # it says something
        said = self.bench.node.take_commands(self.bench.now)
        self.assertEqual([one for one in said if isinstance(one, (Ask, Withdraw))], [])
        self.assertFalse(self.ahead.suspect)

    def test_but_who_says_nothing_is_left_and_not_blamed(self) -> None:
        self.begin()
        self.bench.take(Ask)
        self.join("also", 2)
        self.bench.later(POLICY.replica_silent_s - 0.5)
        self.bench.got("also", -1, segment=1)
        self.bench.quiet()
        self.bench.later(0.6)
        asked = {ask.peer_id for ask in self.bench.take(Ask)}
        self.assertEqual((asked, self.ahead.suspect), ({peer("also")}, False))

    def test_who_sends_blocks_says_something(self) -> None:
        self.begin()
        self.bench.take(Ask)
        self.bench.later(POLICY.replica_silent_s - 0.5)
        self.bench.arrive("ahead", 0b1, self.bench.entries[2])
        self.bench.later(1.0)
        self.assertEqual(self.bench.take(Withdraw), [])

    def test_who_is_asked_for_it_has_time_from_when_a_player_waits_for_it(self) -> None:
        self.begin()
        self.bench.take(Ask)
        self.bench.later(5.0)
        self.bench.want(self.bench.entries[2])
        self.bench.later(POLICY.late_floor_s - 0.1)
        self.assertEqual(self.bench.take(Withdraw), [])
        self.assertEqual(self.bench.take(CallTracker), [])
        self.bench.later(0.2)
        self.assertEqual(len(self.bench.take(Withdraw)), 1)

    def test_it_leaves_most_of_the_link_to_players(self) -> None:
        large = entry(13, blocks=200)
        self.bench.entries[13] = large
        self.ahead.whole |= 1 << 13
        self.bench.node.want(large, self.bench.now + 10, self.bench.now, False, spare=True)
        asked = sum(ask.blocks.bit_count() for ask in self.bench.take(Ask))
        self.assertTrue(POLICY.spare_window_blocks <= asked < POLICY.spread_window_blocks / 2)

    def test_it_is_given_up_when_no_player_has_asked(self) -> None:
        self.begin()
        self.bench.arrive("ahead", 0b1111111, self.bench.entries[2])  # more than half
        self.bench.later(14.0 + POLICY.unasked_s - 0.5)
        self.assertEqual(self.bench.take(Abandoned), [])
        self.bench.later(1.0)
        self.assertEqual({one.entry.position for one in self.bench.take(Abandoned)}, {2})

    def test_and_when_the_tracker_goes_away(self) -> None:
        self.begin()
        self.bench.node.state.tracker_away = True
        self.bench.later(0.1)
        self.assertEqual({one.entry.position for one in self.bench.take(Abandoned)}, {2})
