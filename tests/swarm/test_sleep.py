"""A machine that slept: nobody is blamed for the time in which it could not listen."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.commands import Ask, CallTracker, Drop, FetchOrigin, Withdraw
from dashp2p.swarm.leading import Grant
from tests.swarm.support import Bench, entry, full, peer

NIGHT_S = 8 * 3600.0


class SleepTests(SynchronousTestCase):
    def bench(self) -> Bench:
        bench = Bench(entry(blocks=40))
        for name in "ab":
            bench.join(name, whole=0b10)
        bench.want()
        bench.later(0.2)
        bench.quiet()
        return bench

    def sleep(self, bench: Bench, seconds: float = NIGHT_S) -> None:
        """One jump of the clock, as the first tick after it sees it."""
        bench.now += seconds
        bench.node.tick(bench.now)

    def test_neighbours_that_owe_blocks_are_not_late(self) -> None:
        bench = self.bench()
        self.sleep(bench)
        said = bench.node.take_commands(bench.now)
        kinds = {type(command) for command in said}
        self.assertEqual(kinds & {Withdraw, Drop, FetchOrigin, CallTracker}, set())
        for neighbour in bench.node.state.neighbours.values():
            self.assertEqual(neighbour.broken, 0)

    def test_their_rate_is_that_of_the_time_awake(self) -> None:
        bench = self.bench()
        neighbour = bench.node.state.neighbours[peer("a")]
        before = neighbour.download.rate_bps
        self.sleep(bench)
        asked = bench.node.state.deliveries[1].asked[peer("a")]
        bench.arrive("a", asked)
        self.assertGreater(neighbour.download.rate_bps, before / 100)

    def test_who_is_late_after_that_is_late(self) -> None:
        bench = self.bench()
        self.sleep(bench)
        bench.later(3.0)
        self.assertTrue(any(each.broken for each in bench.node.state.neighbours.values()))

    def test_a_player_has_as_much_time_as_before(self) -> None:
        bench = self.bench()
        slack_s = bench.node.state.deliveries[1].deadline_s - bench.now
        self.sleep(bench)
        left_s = bench.node.state.deliveries[1].deadline_s - bench.now
        self.assertAlmostEqual(left_s, slack_s, 0)

    def test_leases_are_not_held_any_more(self) -> None:
        bench = Bench()
        bench.want()
        bench.quiet()
        bench.node.lease_answered([Grant(1, True, 1, 0, 10)], bench.now)
        bench.quiet()
        self.sleep(bench)
        bench.later(1.0)
        calls = bench.take(CallTracker)
        self.assertEqual([call.progress for call in calls if call.progress], [])

    def test_a_busy_second_is_no_sleep(self) -> None:
        bench = self.bench()
        self.sleep(bench, 1.5)
        self.assertEqual(bench.node.slept_s, 0.0)
        self.assertTrue(bench.take(Withdraw))

    def test_idle_time_is_no_sleep(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.quiet()
        bench.now += NIGHT_S
        bench.want()
        self.assertTrue(bench.take(Ask))
        bench.later(0.1)
        self.assertEqual(bench.node.slept_s, 0.0)
        self.assertEqual(bench.node.state.deliveries[1].missing, full(10))
