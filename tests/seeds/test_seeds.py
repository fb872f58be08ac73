"""Two hundred storms: safe while they last, and every player at the end when they are over."""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.__main__ import main
from dashp2p.lab.seeds import command, storm
from dashp2p.lab.seeds.faults import NAMES
from dashp2p.lab.seeds.storm import Broken, weather
from dashp2p.peer import exchange, fetches
from dashp2p.peer.proof import Proof, Source, Verdict

BATCHES = 8
"""So that several workers may share them."""
SEEDS = max(BATCHES, int(os.environ.get("DASHP2P_SEEDS", "200")))
LIAR_SEED = 1
ENOUGH = 20
"""In so many storms every kind of fault has its turn."""


class Storms(SynchronousTestCase):
    """Each batch has its own seeds; together they are the first DASHP2P_SEEDS of them."""

    def batch(self, number: int) -> None:
        tally = command.run(range(1 + number, 1 + SEEDS, BATCHES), print)
        self.assertEqual([str(broken) for broken in tally.broken], [])
        if tally.seeds >= ENOUGH:
            self.assertEqual(set(NAMES) - tally.happened.keys(), set(), "a fault never happened")
            for what in ("bans", "write failures", "given up", "bytes from peers"):
                self.assertGreater(tally.reached[what], 0, f"{what}: the storms are too mild")


def _batch(number: int) -> Callable[[Storms], None]:
    return lambda self: self.batch(number)


for _number in range(BATCHES):
    setattr(Storms, f"test_no_storm_breaks_a_promise_batch_{_number + 1}", _batch(_number))


class Checks(SynchronousTestCase):
    """The storms see what they are for."""

    def broken(self, seed: int) -> str:
        return str(self.assertRaises(Broken, weather, seed))

    def seeds_broken(self, seeds: range) -> int:
        return len(command.run(seeds, lambda text: None).broken)

    def test_a_failing_seed_says_how_to_run_it_again(self) -> None:
        self.patch(storm, "CALM_S", -1.0)
        self.assertIn(f"python -m dashp2p.lab seeds 1 --from {LIAR_SEED}", self.broken(LIAR_SEED))

    def test_the_same_seed_is_the_same_storm(self) -> None:
        self.assertEqual(weather(5), weather(5))

    def test_without_the_blocks_check_false_bytes_are_seen(self) -> None:
        def credulous(proof: Proof, source: Source, block: int, data: bytes) -> Verdict:
            return Verdict(source, block, data, True)

        self.patch(Proof, "_judge", credulous)
        self.assertIn("false bytes", self.broken(LIAR_SEED))

    def test_without_bans_a_link_to_the_banned_is_seen(self) -> None:
        self.patch(exchange.Exchange, "_forget", lambda self, link: None)
        self.assertGreater(self.seeds_broken(range(1, 8)), 0)

    def test_an_error_that_nobody_was_ready_for_is_seen(self) -> None:
        self.patch(fetches.OriginFetches, "_origin_answers", _raises)
        self.assertIn("logged: KeyError", self.broken(LIAR_SEED))
        self.flushLoggedErrors(KeyError)

    def test_the_command_answers_0_when_nothing_broke_and_1_otherwise(self) -> None:
        self.assertEqual(main(["seeds", "1", "--from", "3"]), 0)
        self.patch(storm, "CALM_S", -1.0)
        self.assertEqual(main(["seeds", "1", "--from", "3"]), 1)


def _raises(self: object, reachable: bool) -> None:
    raise KeyError("an error that nobody was ready for")
