"""Playback sessions: bounded in number, and of what pages report only what makes sense."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.limits import MAX_SESSIONS
from dashp2p.peer.sessions import (
    LATELY_S,
    NULLABLE,
    NUMBERS,
    STATES,
    QoeRefused,
    Sessions,
    read_qoe,
)
from dashp2p.swarm.policy import Policy
from dashp2p.web.cmcd import Cmcd
from dashp2p.web.cmcd_events import parse_events

BEACON: dict[str, Any] = {
    "v": 1,
    "sid": "a-session",
    "state": "playing",
    "startup_ms": 420.5,
    "stalls": 1,
    "stalled_ms": 300,
    "mean_bitrate_bps": 2_500_000,
    "switches": 2,
    "buffer_s": 12.5,
    "position_s": 61.0,
    "player": "dash.js 5.1.1",
}


def but(**changes: Any) -> dict[str, Any]:
    return {**BEACON, **changes}


class QoeTests(SynchronousTestCase):
    def refused(self, beacon: dict[str, Any]) -> str:
        return str(self.assertRaises(QoeRefused, read_qoe, beacon))

    def test_a_beacon_is_kept_but_for_its_version(self) -> None:
        kept = read_qoe(BEACON)
        self.assertEqual({"v": 1, **kept}, BEACON)

    def test_unknown_fields_are_not_kept(self) -> None:
        self.assertNotIn("cookie", read_qoe(but(cookie="x" * 1000)))

    def test_every_state_is_known(self) -> None:
        for state in STATES:
            self.assertEqual(read_qoe(but(state=state))["state"], state)

    def test_before_the_start_there_is_no_start_up_time(self) -> None:
        self.assertIsNone(read_qoe(but(startup_ms=None))["startup_ms"])

    def test_the_player_need_not_be_named(self) -> None:
        beacon = {name: value for name, value in BEACON.items() if name != "player"}
        self.assertEqual(read_qoe(beacon)["player"], "")

    def test_other_versions(self) -> None:
        for version in (None, 0, 2, "1", [1]):
            self.assertIn("v must be 1", self.refused(but(v=version)))

    def test_session_ids(self) -> None:
        for sid in (None, "", "x" * 65, 7, ["a"], "a\nb", "a\x00"):
            self.assertIn("sid", self.refused(but(sid=sid)))
        self.assertEqual(read_qoe(but(sid="x" * 64))["sid"], "x" * 64)

    def test_states(self) -> None:
        for state in (None, "", "bored", 1, ["playing"], {"playing": 1}):
            self.assertIn("state", self.refused(but(state=state)))

    def test_players(self) -> None:
        for player in (None, 5, "x" * 65, ["dash.js"]):
            self.assertIn("player", self.refused(but(player=player)))

    def test_numbers(self) -> None:
        for name, limit in NUMBERS.items():
            wrong: list[Any] = [-1, limit * 2, float("nan"), float("inf"), "1", [1], True, {}]
            for value in wrong if name in NULLABLE else [*wrong, None]:
                self.assertIn(name, self.refused(but(**{name: value})))
            for value in (0, limit):
                self.assertEqual(read_qoe(but(**{name: value}))[name], value)

    def test_numbers_may_not_be_missing(self) -> None:
        for name in NUMBERS:
            if name not in NULLABLE:
                beacon = {key: value for key, value in BEACON.items() if key != name}
                self.assertIn(name, self.refused(beacon))

    @given(
        st.dictionaries(
            st.sampled_from(sorted(BEACON)),
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]),
        )
    )
    def test_whatever_comes_is_kept_in_bounds_or_refused(self, changes: dict[str, Any]) -> None:
        try:
            kept = read_qoe(but(**changes))
        except QoeRefused:
            return
        for name, limit in NUMBERS.items():
            self.assertTrue(kept[name] is None or 0 <= kept[name] <= limit)
        self.assertTrue(0 < len(kept["sid"]) <= 64)


class SessionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sessions = Sessions(Policy())

    @property
    def sids(self) -> list[str]:
        return [session.sid for session in self.sessions]

    def test_a_report_is_kept_with_its_session(self) -> None:
        before = self.sessions.seen("a-session", Cmcd(), 1_000_000, 10.0)
        self.sessions.report(BEACON, 11.0)
        [session] = self.sessions
        self.assertIs(session, before)
        assert session.qoe is not None
        self.assertEqual(session.qoe["stalls"], 1)
        self.assertEqual((session.buffer_s, session.last_seen), (12.5, 11.0))
        self.assertEqual(session.bitrate_bps, 1_000_000)

    def test_a_report_may_come_before_the_first_segment(self) -> None:
        self.sessions.report(BEACON, 10.0)
        self.assertEqual(self.sids, ["a-session"])

    def test_a_refused_report_makes_no_session(self) -> None:
        self.assertRaises(QoeRefused, self.sessions.report, but(state="bored"), 10.0)
        self.assertEqual(self.sids, [])

    def test_what_a_request_does_not_tell_stays_as_it_was(self) -> None:
        self.sessions.seen("a", Cmcd(buffer_s=4.0), 1_000_000, 10.0)
        session = self.sessions.seen("a", Cmcd(), None, 11.0)
        self.assertEqual((session.buffer_s, session.bitrate_bps), (4.0, 1_000_000))

    def test_sessions_are_bounded_and_the_least_lately_seen_goes(self) -> None:
        for number in range(MAX_SESSIONS):
            self.sessions.session(f"s{number}", float(number))
        self.sessions.session("s0", 1000.0)
        self.sessions.session("new", 1001.0)
        self.assertEqual(len(self.sids), MAX_SESSIONS)
        self.assertIn("s0", self.sids)
        self.assertNotIn("s1", self.sids)

    def test_start_up_counts_from_the_request_for_the_mpd(self) -> None:
        self.sessions.asked("a", 10.0)
        self.assertEqual(self.sids, [])
        self.sessions.seen("a", Cmcd(), None, 10.5)
        self.sessions.hear(parse_events('e=ps,sid="a",sta=p'), 11.25)
        [session] = self.sessions
        assert session.qoe is not None
        self.assertEqual(session.qoe["startup_ms"], 1250)

    def test_of_one_that_reports_before_it_asks_it_counts_from_that_report(self) -> None:
        self.sessions.hear(parse_events('e=t,sid="a"'), 10.0)
        self.sessions.asked("a", 10.1)
        self.sessions.hear(parse_events('e=ps,sid="a",sta=p,msd=3'), 11.25)
        [session] = self.sessions
        assert session.qoe is not None
        self.assertEqual(session.qoe["startup_ms"], 1250)

    def test_a_page_is_believed_before_a_player_that_tells_no_states(self) -> None:
        self.sessions.report(BEACON, 10.0)
        self.sessions.hear(parse_events('e=t,sid="a-session",br=(1000;v)'), 11.0)
        [session] = self.sessions
        assert session.qoe is not None
        self.assertEqual((session.qoe["source"], session.qoe["stalls"]), ("beacon", 1))

    def test_those_who_only_asked_for_the_mpd_are_bounded_too(self) -> None:
        for number in range(MAX_SESSIONS + 1):
            self.sessions.asked(f"s{number}", float(number))
        first = self.sessions.session("s0", 1000.0)
        last = self.sessions.session(f"s{MAX_SESSIONS}", 1000.0)
        self.assertIsNone(first.first_request_at)
        self.assertEqual(last.first_request_at, float(MAX_SESSIONS))

    def test_a_page_that_says_how_long_it_played_gets_a_score(self) -> None:
        self.sessions.report(but(played_s=40.0, changed_bps=2e6, stalls=0, stalled_ms=0), 10.0)
        [session] = self.sessions
        assert session.qoe is not None
        mean_mbit = BEACON["mean_bitrate_bps"] / 1e6
        self.assertAlmostEqual(session.qoe["score"], round(10 * mean_mbit - 2, 2))

    def test_a_page_that_does_not_gets_none(self) -> None:
        self.sessions.report(BEACON, 10.0)
        [session] = self.sessions
        self.assertNotIn("score", session.qoe or {})

    def test_totals_grow_and_never_shrink(self) -> None:
        for played_s in (4.0, 9.0, 3.0, 10.0):
            self.sessions.report(but(played_s=played_s), 10.0)
        self.assertEqual(self.sessions.totals["played_s"], 10.0)
        self.assertEqual(sum(self.sessions.startups.counts), 1)

    def test_who_was_silent_or_has_ended_is_not_active(self) -> None:
        self.sessions.report(but(sid="playing", state="playing"), 100.0)
        self.sessions.report(but(sid="over", state="ended"), 100.0)
        self.assertEqual([one.sid for one in self.sessions.active(130.0)], ["playing"])
        self.assertEqual(self.sessions.active(100.1 + LATELY_S), [])
