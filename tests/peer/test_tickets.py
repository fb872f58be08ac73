"""Whose ticket counts with a peer, while the tracker is there and while it is not."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.tickets import SKEW_S, TICKET_LIFE_S, sign_ticket, sign_token
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.limits import TICKET_GRACE_S
from dashp2p.peer.tickets import Tickets
from dashp2p.peer.tracker_client import Announced
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Hello
from tests.peer.support import OTHER_SWARM, SWARM, id_of, private_key, public_key

URL = "http://tracker.test"
WALL_S = 1_800_000_000.0


class Book:
    """A peer's Tickets, with the tracker at hand. The viewer's clock is years behind."""

    def __init__(self, file: Path | None = None, pinned: bytes | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.tickets = Tickets(URL, KnownKeys(file), pinned, self.clock, lambda: 1_000_000.0)
        self.tickets.load()

    @property
    def now(self) -> float:
        """The tracker's time."""
        return WALL_S + self.clock.seconds()

    def ticket(self, name: str = "other", swarm: bytes = SWARM, signer: str = "tracker") -> str:
        return sign_ticket(private_key(signer), swarm, id_of(name), self.now)

    def answer(self, signer: str | None = "tracker", ticket: bool = True) -> None:
        """The tracker answers an announce of ours."""
        issued = self.ticket("me", signer=signer) if signer and ticket else None
        key = None if signer is None else public_key(signer)
        answer = Announced(30.0, 2, "127.0.0.1", (), issued, key, self.now)
        self.tickets.answered(SWARM, id_of("me"), answer)

    def judge(self, ticket: str, name: str = "other", swarm: bytes = SWARM) -> Code | None:
        return self.tickets.judge(
            id_of(name), Hello(swarm, public_key(name), 4001, True, ticket.encode())
        )


class JudgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.book = Book()
        self.book.answer()

    def test_a_fresh_ticket_of_that_peer_counts(self) -> None:
        self.assertIsNone(self.book.judge(self.book.ticket()))
        self.assertEqual(self.book.tickets.refused, 0)

    def test_nothing_else_does(self) -> None:
        book = self.book
        for wrong in (
            "",
            book.ticket("somebody"),
            book.ticket(swarm=OTHER_SWARM),
            book.ticket(signer="another tracker"),
            book.ticket()[:-8],
            sign_token(private_key("tracker"), None, book.now, 60),
            "é",
        ):
            self.assertEqual(book.judge(wrong), Code.UNAUTHORISED)
        self.assertEqual(book.tickets.refused, 7)

    def test_time_is_the_trackers_for_a_viewers_clock_may_be_years_off(self) -> None:
        ticket = self.book.ticket()
        self.book.clock.advance(TICKET_LIFE_S + SKEW_S - 1)
        self.assertIsNone(self.book.judge(ticket))
        self.book.clock.advance(2)
        self.assertEqual(self.book.judge(ticket), Code.UNAUTHORISED)

    def test_while_the_tracker_is_away_expired_tickets_count_for_a_film(self) -> None:
        ticket = self.book.ticket()
        self.book.clock.advance(TICKET_LIFE_S + TICKET_GRACE_S - 1)
        self.assertEqual(self.book.judge(ticket), Code.UNAUTHORISED)
        self.book.tickets.unanswered()
        self.assertIsNone(self.book.judge(ticket))
        self.book.clock.advance(2)
        self.assertEqual(self.book.judge(ticket), Code.UNAUTHORISED)

    def test_when_it_is_back_they_do_not_any_more(self) -> None:
        ticket = self.book.ticket()
        self.book.tickets.unanswered()
        self.book.clock.advance(2 * TICKET_LIFE_S)
        self.assertIsNone(self.book.judge(ticket))
        self.book.answer()
        self.assertEqual(self.book.judge(ticket), Code.UNAUTHORISED)

    def test_a_ticket_or_an_address_is_never_logged(self) -> None:
        ticket = self.book.ticket("somebody")
        with capturedLogs() as events:
            self.book.judge(ticket)
        self.assertEqual(len(events), 1)
        self.assertNotIn(ticket[:20], str(formatEvent(events[0])))


class KeyTests(SynchronousTestCase):
    def told(self, book: Book, signer: str | None, times: int = 2) -> list[str]:
        with capturedLogs() as events:
            for _ in range(times):
                book.answer(signer)
        return [str(formatEvent(event)) for event in events]

    def test_before_the_tracker_has_answered_nobody_is_taken(self) -> None:
        book = Book()
        self.assertEqual(book.judge(book.ticket()), Code.BUSY)

    def test_the_first_key_is_learned_and_kept(self) -> None:
        file = Path(self.mktemp())
        first = Book(file)
        first.answer()
        again = Book(file)
        self.assertEqual(again.tickets.key, public_key("tracker"))
        self.assertEqual(again.judge(""), Code.UNAUTHORISED)

    def test_another_key_later_is_not_believed_and_told_once(self) -> None:
        book = Book()
        book.answer()
        told = self.told(book, "another tracker")
        self.assertEqual(sum("--tracker-key" in line for line in told), 1)
        self.assertEqual(book.tickets.key, public_key("tracker"))
        self.assertEqual(book.judge(book.ticket(signer="another tracker")), Code.UNAUTHORISED)

    def test_a_pinned_key_goes_before_a_learned_one(self) -> None:
        file = Path(self.mktemp())
        Book(file).answer("liar")
        book = Book(file, public_key("tracker"))
        self.assertIsNone(
            book.judge(sign_ticket(private_key("tracker"), SWARM, id_of("a"), 1e6), "a")
        )

    def test_a_tracker_without_tickets_takes_everybody_and_it_is_told_once(self) -> None:
        book = Book()
        told = self.told(book, None)
        self.assertEqual(sum("no tickets" in line for line in told), 1)
        self.assertIsNone(book.judge(""))

    def test_with_a_pinned_key_a_tracker_without_tickets_takes_nobody(self) -> None:
        book = Book(pinned=public_key("tracker"))
        book.answer(None)
        self.assertEqual(book.judge(""), Code.UNAUTHORISED)

    def test_our_own_goes_with_the_swarm(self) -> None:
        book = Book()
        book.answer()
        self.assertTrue(book.tickets.own)
        book.tickets.left()
        self.assertEqual(book.tickets.own, b"")


class TicketMachine(RuleBasedStateMachine):
    """Tickets of all kinds, shown at all times, against a model that knows how each was made."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.book.answer()
        self.away = False
        self.made: list[tuple[str, bool, float]] = []

    @rule(
        name=st.sampled_from(["other", "somebody"]),
        swarm=st.sampled_from([SWARM, OTHER_SWARM]),
        signer=st.sampled_from(["tracker", "another tracker"]),
    )
    def issue(self, name: str, swarm: bytes, signer: str) -> None:
        good = (name, swarm, signer) == ("other", SWARM, "tracker")
        ticket = self.book.ticket(name, swarm, signer)
        self.made.append((ticket, good, float(int(self.book.now)) + TICKET_LIFE_S))

    @rule(data=st.data())
    def tamper(self, data: st.DataObject) -> None:
        if not self.made:
            return
        ticket, _, ends_at = data.draw(st.sampled_from(self.made))
        at = data.draw(st.integers(0, len(ticket) - 2))
        changed = ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :]
        self.made.append((changed, False, ends_at))

    @rule(seconds=st.sampled_from([1.0, 59.0, 300.0, 601.0, 3600.0, TICKET_GRACE_S]))
    def wait(self, seconds: float) -> None:
        self.book.clock.advance(seconds)

    @rule()
    def tracker_goes(self) -> None:
        self.away = True
        self.book.tickets.unanswered()

    @rule()
    def tracker_answers_and_renews(self) -> None:
        self.away = False
        self.book.answer()

    @invariant()
    def only_good_tickets_count_and_all_of_them(self) -> None:
        late_s = TICKET_GRACE_S if self.away else SKEW_S
        for ticket, good, ends_at in self.made[-8:]:
            fits = good and self.book.now <= ends_at + late_s
            self.assert_judged(ticket, None if fits else Code.UNAUTHORISED)

    def assert_judged(self, ticket: str, expected: Code | None) -> None:
        assert self.book.judge(ticket) is expected, (ticket, expected)


class MachineTests(SynchronousTestCase):
    def test_tickets_against_a_model(self) -> None:
        run_state_machine_as_test(
            TicketMachine, settings=settings(max_examples=40, stateful_step_count=20, deadline=None)
        )
