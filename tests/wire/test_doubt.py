"""Who answers PING after PING and not the CANCEL before them is silent; nobody else is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire.doubt import SILENT_ROUNDS, Doubt
from dashp2p.wire.ledger import Ledger


def asked(cancelled: int = 0b11) -> Ledger:
    """Blocks 0 to 3 of segment 5, asked for by request 1."""
    ledger = Ledger()
    ledger.open(1, 5, 0b1111, False)
    ledger.cancel(1, 5, cancelled)
    return ledger


class DoubtTests(SynchronousTestCase):
    def doubt(self, ledger: Ledger) -> Doubt:
        found = Doubt.of(ledger)
        assert found is not None
        return found

    def test_blocks_that_are_only_asked_for_are_in_nobodys_doubt(self) -> None:
        self.assertIsNone(Doubt.of(asked(cancelled=0)))

    def test_nor_are_cancelled_ones_that_were_answered(self) -> None:
        ledger = asked()
        ledger.reject(1, 5, 0b01)
        ledger.data(1, 5, 0b10)
        self.assertIsNone(Doubt.of(ledger))

    def test_a_cancel_that_stays_unanswered_is_silence_after_some_pings(self) -> None:
        ledger = asked()
        doubt = self.doubt(ledger)
        for _ in range(SILENT_ROUNDS - 1):
            self.assertTrue(doubt.look(ledger))
            self.assertFalse(doubt.silent)
        self.assertTrue(doubt.look(ledger))
        self.assertTrue(doubt.silent)

    def test_an_answer_ends_the_doubt(self) -> None:
        ledger = asked()
        doubt = self.doubt(ledger)
        doubt.look(ledger)
        ledger.reject(1, 5, 0b11)
        self.assertFalse(doubt.look(ledger))
        self.assertFalse(doubt.silent)

    def test_who_answers_each_cancel_in_turn_is_never_silent(self) -> None:
        """What was cancelled later is another doubt: a busy link has always something open."""
        ledger = asked(0b01)
        doubt = self.doubt(ledger)
        for _ in range(SILENT_ROUNDS):
            ledger.cancel(1, 5, 0b10)
            if doubt.rounds == 0:
                ledger.reject(1, 5, 0b01)
            self.assertFalse(doubt.look(ledger))
        self.assertFalse(doubt.silent)
