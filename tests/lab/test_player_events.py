"""Tests of what the headless viewer reports: read as a peer reads it."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.playback import Playback
from dashp2p.lab.player_events import PENDING_MAX, Account, Reporter
from dashp2p.peer.viewing import Viewing
from dashp2p.web.cmcd_events import PlayerEvent, parse_events

BEGUN = 1_700_000_000.0


class ListeningPeer:
    """Both a clock of 1970's seconds and what a peer makes of the lines."""

    def __init__(self) -> None:
        self.events: list[PlayerEvent] = []
        self.viewing = Viewing(BEGUN)

    def hear(self, lines: list[str], now: float) -> None:
        events = parse_events("\n".join(lines))
        assert len(events) == len(lines), lines
        self.events += events
        for event in events:
            self.viewing.hear(event, now)

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(event.event, event.state) for event in self.events]


class AccountTests(SynchronousTestCase):
    """One viewing, looked at each half second."""

    def setUp(self) -> None:
        self.account = Account("viewer-1")
        self.peer = ListeningPeer()
        self.playback = Playback(("video",), 12.0, BEGUN)
        self.peer.hear(self.account.begun(BEGUN), BEGUN)

    def arrives(self, number: int, at_s: float, bitrate_bps: int = 1_000_000) -> None:
        start_s = 4.0 * number
        self.playback.arrived("video", start_s, start_s + 4.0, bitrate_bps, BEGUN + at_s)

    def look(self, *at_s: float) -> None:
        for each_s in at_s:
            self.playback.advance(BEGUN + each_s)
            self.peer.hear(self.account.lines(self.playback, BEGUN + each_s), BEGUN + each_s)

    def test_a_calm_viewing_is_told_from_its_wish_to_its_end(self) -> None:
        self.arrives(0, 0.3)
        self.arrives(1, 0.6)
        self.arrives(2, 0.9)
        self.look(1.0, 3.0, 5.9, 6.0, 8.0, 11.0)
        self.playback.advance(BEGUN + 12.3)
        now = BEGUN + 12.3
        self.peer.hear(self.account.over("e", self.playback, now), now)
        states = ["starting", "playing", "playing", "playing", "ended"]
        self.assertEqual(
            self.peer.told, list(zip(["ps", "ps", "t", "t", "ps"], states, strict=True))
        )
        qoe = self.peer.viewing.meter.qoe
        self.assertAlmostEqual(qoe.played_s, 12.0, 2)
        self.assertEqual((qoe.stalls, qoe.switches, qoe.mean_bitrate_bps), (0, 0, 1_000_000))
        self.assertEqual(self.peer.events[2].buffer_s, 6.4)

    def test_a_stall_lasts_as_long_as_it_did_however_seldom_one_looks(self) -> None:
        self.arrives(0, 0.5)
        self.look(1.0, 4.0)
        self.arrives(1, 6.75)
        self.look(8.0)
        self.assertEqual(self.peer.told[2:], [("ps", "stalled"), ("ps", "playing")])
        qoe = self.peer.viewing.meter.qoe
        self.assertEqual(qoe.stalls, 1)
        self.assertAlmostEqual(qoe.stalled_s, 2.25, 2)

    def test_a_stall_that_goes_on_is_told_at_once(self) -> None:
        self.arrives(0, 0.5)
        self.look(1.0, 5.0)
        self.assertEqual(self.peer.viewing.state, "stalled")

    def test_another_bitrate_on_screen_is_told_when_it_is_seen(self) -> None:
        self.arrives(0, 0.5)
        self.arrives(1, 0.6, 3_000_000)
        self.look(1.0, 4.0)
        self.assertNotIn("bc", [event.event for event in self.peer.events])
        self.look(4.5)
        self.assertEqual(self.peer.told[-1], ("bc", "playing"))
        self.assertEqual(self.peer.viewing.meter.bitrate_bps, 3_000_000)
        self.assertEqual(self.peer.viewing.meter.switches, 1)

    def test_each_event_is_told_once(self) -> None:
        self.arrives(0, 0.5)
        self.look(1.0, 1.1, 1.2)
        self.assertEqual(self.peer.told, [("ps", "starting"), ("ps", "playing")])

    def test_who_never_saw_a_picture_says_that_it_failed(self) -> None:
        self.peer.hear(self.account.over("f", None, BEGUN + 9), BEGUN + 9)
        self.assertEqual(self.peer.told, [("ps", "starting"), ("ps", "failed")])


class FakeReporter(Reporter):
    """Its posts stay here; each is answered by `answer`."""

    def __attrs_post_init__(self) -> None:
        self.posts: list[tuple[list[str], Deferred[int]]] = []

    async def _status(self, lines: bytes) -> int:
        waiting: Deferred[int] = Deferred()
        self.posts.append((lines.decode().split("\n"), waiting))
        return await waiting


class ReporterTests(SynchronousTestCase):
    """Posts that are answered late, badly or never."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(BEGUN)
        self.reporter = FakeReporter(self.clock, "http://127.0.0.1:1/cmcd", Account("one"))
        self.playback = Playback(("video",), 600.0, BEGUN)
        self.reporter.begin()

    def answer(self, status: int) -> list[str]:
        lines, waiting = self.reporter.posts.pop(0)
        waiting.callback(status)
        return [event.event for event in parse_events("\n".join(lines))]

    def pass_5_s(self) -> None:
        self.clock.advance(5.0)
        self.reporter.note(self.playback)

    def test_one_post_is_under_way_and_the_rest_follows_together(self) -> None:
        self.pass_5_s()
        self.pass_5_s()
        self.assertEqual(len(self.reporter.posts), 1)
        self.assertEqual(self.answer(204), ["ps"])
        self.assertEqual(self.answer(204), ["t", "t"])
        self.assertEqual(self.reporter.posts, [])

    def test_what_was_not_taken_goes_with_the_next_report(self) -> None:
        for status in (429, 503):
            self.answer(status)
            self.assertEqual(self.reporter.posts, [])
            self.pass_5_s()
        self.assertEqual(self.answer(204), ["ps", "t", "t"])

    def test_what_was_refused_for_good_is_not_sent_again(self) -> None:
        self.answer(415)
        self.pass_5_s()
        self.assertEqual(self.answer(204), ["t"])

    def test_what_waits_is_bounded_and_the_oldest_goes(self) -> None:
        self.answer(503)
        for _ in range(PENDING_MAX + 5):
            self.pass_5_s()
            lines = len(self.reporter.posts[0][0])
            self.answer(503)
        self.assertEqual(lines, PENDING_MAX)

    def test_the_end_waits_a_second_for_its_report_and_no_longer(self) -> None:
        self.answer(204)
        left: list[object] = []
        self.reporter.end("playing", self.playback).addBoth(left.append)
        self.clock.advance(0.9)
        self.assertEqual(left, [])
        self.clock.advance(0.2)
        self.assertEqual(left, [None])

    def test_the_end_is_told_by_the_viewers_state(self) -> None:
        for state, shown in (("ended", "ended"), ("failed", "failed"), ("playing", "quit")):
            reporter = FakeReporter(self.clock, "http://127.0.0.1:1/cmcd", Account("one"))
            left: list[object] = []
            reporter.end(state, None).addBoth(left.append)
            lines, waiting = reporter.posts.pop()
            self.assertEqual(parse_events("\n".join(lines))[-1].state, shown)
            waiting.callback(204)
            self.assertEqual(left, [None])
