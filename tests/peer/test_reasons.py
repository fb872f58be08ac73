"""Tests of telling people why a server did not answer."""

from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from dashp2p.peer.reasons import MAX_REASON_CHARS, reason


class ReasonTests(SynchronousTestCase):
    def test_what_befalls_beginners_has_words(self) -> None:
        self.assertEqual(reason(ConnectionRefusedError()), "nothing listens at its address")
        self.assertEqual(reason(TimeoutError()), "it took too long")
        self.assertEqual(reason(DeferredTimeoutError(15, "Deferred")), "it took too long")

    def test_a_wrapped_cause_is_unwrapped(self) -> None:
        wrapped = ResponseNeverReceived([Failure(ConnectionRefusedError())])
        self.assertEqual(reason(wrapped), "nothing listens at its address")

    def test_all_else_is_told_in_its_own_words_on_one_line(self) -> None:
        self.assertEqual(
            reason(DNSLookupError("no such\n name.")), "DNS lookup failed: no such name"
        )
        self.assertEqual(reason(ValueError()), "ValueError")
        self.assertEqual(len(reason(ValueError("x" * 999))), MAX_REASON_CHARS)
