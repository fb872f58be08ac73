"""Which segment is fetched before its player asks for it."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.entry import Entry, Kind
from dashp2p.swarm.ahead import Ahead
from dashp2p.swarm.commands import Abandoned
from dashp2p.swarm.players import Hints
from dashp2p.swarm.policy import Policy
from dashp2p.wire.frames import Request
from tests.swarm.support import Bench, entry, full, peer

POLICY = Policy()
PLENTY = Hints(deadline_s=8.0, buffer_s=8.0)


def steady(policy: Policy = POLICY) -> Ahead:
    """A player that has got two segments of one rung."""
    ahead = Ahead(policy)
    for number in (1, 2):
        ahead.asked(entry(number), "video", 108.0)
        ahead.answered(entry(number))
    return ahead


def other_rung(position: int, number: int) -> Entry:
    return evolve(entry(position), representation_id="1", number=number)


class NextTests(SynchronousTestCase):
    """Is what a player names as next one to begin with?"""

    def due(self, named: Entry, hints: Hints = PLENTY, ahead: Ahead | None = None) -> float | None:
        return (ahead or steady()).deadline_of(named, entry(2), "video", 108.0, hints)

    def test_it_is_due_when_the_one_before_has_been_played(self) -> None:
        self.assertEqual(self.due(entry(3)), 112.0)

    def test_a_buffer_alone_is_told_enough(self) -> None:
        self.assertEqual(self.due(entry(3), Hints(buffer_s=8.0)), 112.0)

    def test_it_may_be_of_another_rung(self) -> None:
        self.assertEqual(self.due(other_rung(13, 2)), 112.0)

    def test_only_the_very_next_is(self) -> None:
        for named in (entry(1), entry(2), entry(4), other_rung(14, 3)):
            self.assertIsNone(self.due(named), named.path)

    def test_only_media_is(self) -> None:
        self.assertIsNone(self.due(evolve(entry(3), kind=Kind.INIT)))
        self.assertIsNone(self.due(evolve(entry(3), number=None)))

    def test_who_starts_or_ran_dry_or_tells_no_buffer_is_not_believed(self) -> None:
        for hints in (
            Hints(8.0, 8.0, startup=True),
            Hints(8.0, 8.0, starved=True),
            Hints(),
        ):
            self.assertIsNone(self.due(entry(3), hints), hints)

    def test_who_just_came_is_not_believed(self) -> None:
        ahead = Ahead(POLICY)
        ahead.asked(entry(2), "video", 108.0)
        self.assertIsNone(self.due(entry(3), ahead=ahead))

    def test_who_has_just_changed_its_rung_is_not_believed(self) -> None:
        ahead = Ahead(POLICY)
        ahead.asked(other_rung(11, 0), "video", 108.0)
        ahead.asked(entry(2), "video", 108.0)
        self.assertIsNone(self.due(entry(3), ahead=ahead))

    def test_who_has_just_sought_is_not_believed(self) -> None:
        ahead = steady()
        ahead.asked(entry(9), "video", 108.0)
        self.assertIsNone(ahead.deadline_of(entry(10), entry(9), "video", 108.0, PLENTY))

    def test_no_more_than_one_is(self) -> None:
        ahead = steady()
        ahead.foreseen["video"] = entry(3)
        self.assertIsNone(self.due(entry(3), ahead=ahead))
        ahead.foreseen = {"audio": entry(3)}
        self.assertEqual(self.due(entry(3), ahead=ahead), 112.0)

    def test_nothing_is_where_it_is_turned_off(self) -> None:
        policy = Policy.without(frozenset({"no-prefetch"}))
        self.assertIsNone(self.due(entry(3), ahead=steady(policy)))


class TimeTests(SynchronousTestCase):
    def test_with_time_to_spare_it_may_begin(self) -> None:
        self.assertTrue(steady().may_begin(108.0, 112.0, 100.0))

    def test_while_the_player_has_hardly_anything_it_may_not(self) -> None:
        now = 108.0 - POLICY.urgent_s
        self.assertTrue(steady().may_begin(108.0, 112.0, now))
        self.assertFalse(steady().may_begin(108.0, 112.0, now + 0.01))

    def test_while_the_player_waits_for_anything_urgent_it_may_not(self) -> None:
        ahead = steady()
        ahead.asked(entry(7), "audio", 101.0)
        self.assertFalse(ahead.may_begin(108.0, 112.0, 100.0))
        ahead.answered(entry(7))
        self.assertTrue(ahead.may_begin(108.0, 112.0, 100.0))

    def test_what_is_due_much_later_need_not_begin(self) -> None:
        now = 112.0 - POLICY.prefetch_within_s
        self.assertTrue(steady().may_begin(108.0, 112.0, now))
        self.assertFalse(steady().may_begin(108.0, 112.0, now - 0.01))


class VainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ahead = steady()
        self.ahead.foreseen["video"] = entry(3)

    def test_what_is_asked_for_was_not_in_vain(self) -> None:
        self.assertIsNone(self.ahead.asked(entry(3), "video", 112.0))
        self.assertEqual(self.ahead.foreseen, {})

    def test_what_another_was_asked_for_instead_of_was(self) -> None:
        self.assertEqual(self.ahead.asked(other_rung(13, 2), "video", 112.0), entry(3))
        self.assertEqual(self.ahead.foreseen, {})

    def test_the_same_once_more_leaves_it_as_it_is(self) -> None:
        self.assertIsNone(self.ahead.asked(entry(2), "video", 108.0))
        self.assertEqual(self.ahead.foreseen, {"video": entry(3)})

    def test_another_track_leaves_it_as_it_is(self) -> None:
        self.assertIsNone(self.ahead.asked(entry(20), "audio", 108.0))
        self.assertEqual(self.ahead.foreseen, {"video": entry(3)})


class UnaskedTests(SynchronousTestCase):
    """What nobody waits for is not kept under way for ever."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.delivery = self.bench.node.want(self.bench.entry, 104.0, 100.0, waiting=False)
        self.bench.quiet()

    def given_up(self, at: float) -> list[Abandoned]:
        said: list[Abandoned] = []
        while self.bench.now < at:
            self.bench.now = min(at, self.bench.now + 1.0)
            self.bench.node.tick(self.bench.now)
            said += self.bench.take(Abandoned)
        return said

    def test_it_is_given_up_some_time_after_its_deadline(self) -> None:
        due = 104.0 + POLICY.unasked_s
        self.assertEqual(self.given_up(due), [])
        [command] = self.given_up(due + 0.1)
        self.assertEqual(command.entry, self.bench.entry)

    def test_unless_a_player_waits_for_it(self) -> None:
        self.delivery.waiters = 1
        self.assertEqual(self.given_up(120.0), [])

    def test_or_more_than_half_is_here(self) -> None:
        self.bench.node.blocks_arrived(None, self.bench.entry, full(6), 101.0)
        self.assertEqual(self.given_up(120.0), [])

    def test_or_a_neighbour_was_promised_it(self) -> None:
        self.delivery.origin = self.delivery.full
        self.bench.node.joined(peer("a"), True, 0, 100.0)
        request = Request(self.bench.entry.position, full(10), 8000)
        self.bench.node.requested(peer("a"), request, 101.0)
        self.assertEqual(self.given_up(120.0), [])

    def test_who_will_not_ask_takes_no_waiter_away(self) -> None:
        self.delivery.waiters = 1
        self.bench.node.unwant(self.bench.entry, 101.0, waiting=False)
        self.assertEqual(self.delivery.waiters, 1)
        self.assertIn(self.bench.entry.position, self.bench.node.state.deliveries)
