"""How fast a leader takes its lease while others fetch too."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.courtesy import LONGEST_S, Courtesy
from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.policy import Policy
from tests.swarm.support import BLOCK, Bench, entry, full

TOP_BPS = 5_000_000
PACE_BPS = 8_000_000


class Paced(SynchronousTestCase):
    def setUp(self) -> None:
        self.bench = Bench(entry(1, blocks=100), entry(2, blocks=100))
        self.bench.join("other")

    def courtesy(self, slack_s: float = 20.0, policy: Policy | None = None) -> Courtesy | None:
        bench = self.bench
        delivery = Delivery(bench.entry, bench.now, bench.now + slack_s)
        if policy is not None:
            bench.node.state.policy = policy
        return Courtesy.of(bench.node.state, delivery, TOP_BPS)

    def waits(self, courtesy: Courtesy | None, came_blocks: int, after_s: float) -> float:
        """After the first bytes, and then so many blocks more within so long."""
        assert courtesy is not None
        size, now = 100 * BLOCK, self.bench.now
        self.assertEqual(courtesy.wait_s(0, size, now), 0.0)
        came = came_blocks * BLOCK
        return courtesy.wait_s(came, size - came, now + after_s)

    def test_while_another_fetches_it_takes_what_a_player_needs_to_see(self) -> None:
        self.bench.getting("other", distance=0, segment=2)
        fair_s = 10 * BLOCK * 8 / PACE_BPS
        self.assertGreater(self.waits(self.courtesy(), 10, fair_s / 2), 0.0)
        self.assertEqual(self.waits(self.courtesy(), 10, fair_s), 0.0)

    def test_it_looks_again_soon(self) -> None:
        self.bench.getting("other", distance=0, segment=2)
        self.assertEqual(self.waits(self.courtesy(), 90, 0.01), LONGEST_S)

    def test_alone_at_the_origin_it_takes_all_there_is(self) -> None:
        for distance, segment in ((1, 2), (0, 1)):  # waits for another, or helps with this one
            self.bench.getting("other", distance=distance, segment=segment)
            self.assertEqual(self.waits(self.courtesy(), 90, 0.01), 0.0)

    def test_sound_that_another_fetches_is_not_in_the_way(self) -> None:
        self.bench.getting("other", distance=0, segment=2, blocks=full(4))
        self.assertEqual(self.waits(self.courtesy(), 90, 0.01), 0.0)

    def test_in_a_hurry_it_takes_all_there_is(self) -> None:
        self.bench.getting("other", distance=0, segment=2)
        self.assertEqual(self.waits(self.courtesy(slack_s=2.0), 10, 0.01), 0.0)

    def test_what_came_while_nobody_else_fetched_is_not_held_against_it(self) -> None:
        courtesy = self.courtesy()
        self.assertEqual(self.waits(courtesy, 80, 0.01), 0.0)
        self.bench.getting("other", distance=0, segment=2)
        assert courtesy is not None
        self.assertEqual(courtesy.wait_s(81 * BLOCK, 19 * BLOCK, self.bench.now + 0.02), 0.0)

    def test_without_pacing_there_is_none(self) -> None:
        self.assertIsNone(self.courtesy(policy=Policy.without(frozenset({"no-pacing"}))))
