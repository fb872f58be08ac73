"""A real peer killed at a few moments: the short form of `python -m dashp2p.lab crashes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import crashes
from dashp2p.lab.crashes import Round, Tally


class CrashTests(SynchronousTestCase):
    def test_kill_9_costs_what_was_in_flight_and_serves_nothing_wrong(self) -> None:
        tally = crashes.run(times=5, seed=7)
        self.assertTrue(tally.good, "\n".join(tally.lines()))
        self.assertGreater(tally.served, 0)
        self.assertLessEqual(tally.most_lost, 3 * crashes.PLAYERS)


class TallyTests(SynchronousTestCase):
    def test_what_is_wrong_is_not_good(self) -> None:
        whole = Round(1.0, delivered=10, kept=10, torn=0, leftovers=2)
        torn = Round(1.0, delivered=10, kept=9, torn=1, leftovers=0)
        self.assertTrue(Tally([whole], served=10).good)
        self.assertFalse(Tally([whole, torn], served=20).good)
        self.assertFalse(Tally([whole], served=10, different=1).good)

    def test_the_share_is_over_all_kills(self) -> None:
        tally = Tally([Round(1.0, 10, 9, 0, 0), Round(3.0, 30, 30, 0, 0)], served=30)
        self.assertEqual((tally.kept_share, tally.most_lost), (39 / 40, 1))
        self.assertIn("97.50%", tally.lines()[2])
