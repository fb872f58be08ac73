"""Tests of reading what players report by themselves (CMCD version 2, event mode)."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.web.cmcd_events import parse_events
from dashp2p.web.limits import MAX_CMCD_CHARS, MAX_CMCD_EVENTS

# As dash.js 5.2.1 sent it.
LINE = (
    'bl=(7400;v 7300;a),br=(1000;v 128;a),e=ps,msd=3,pb=(800;v 128;a),sid="f00",sta=p,'
    "ts=1700000000123,v=2"
)


class ParseTests(SynchronousTestCase):
    def test_a_report_is_understood(self) -> None:
        [event] = parse_events(LINE + "\n")
        self.assertEqual((event.session_id, event.event, event.state), ("f00", "ps", "playing"))
        self.assertEqual((event.at_s, event.buffer_s), (1700000000.123, 7.4))
        self.assertEqual((event.bitrate_bps, event.startup_s), (800_000, 0.003))

    def test_the_picture_comes_before_the_sound_whatever_their_order(self) -> None:
        [event] = parse_events('e=t,sid="a",br=(128;a 1000;v)')
        self.assertEqual(event.bitrate_bps, 1_000_000)
        [event] = parse_events('e=t,sid="a",br=(128;a)')
        self.assertEqual(event.bitrate_bps, 128_000)

    def test_several_lines_are_several_reports(self) -> None:
        self.assertEqual(len(parse_events(f"{LINE}\r\n{LINE}\n\n")), 2)

    def test_a_line_without_session_or_event_is_left_out(self) -> None:
        for line in ("e=ps,sta=p", 'sid="a",sta=p', 'e=ps,sid="\\"', "", "garbage =", "é=1"):
            self.assertEqual(parse_events(line), [], line)

    def test_unknown_states_and_absurd_numbers_are_not_said(self) -> None:
        [event] = parse_events('e=ps,sid="a",sta=zz,ts=-5,pr=9999,bl=(-1;v)')
        self.assertEqual((event.state, event.at_s, event.playback_rate), (None, None, None))
        self.assertIsNone(event.buffer_s)

    def test_lines_are_bounded_in_number_and_length(self) -> None:
        self.assertEqual(
            len(parse_events("\n".join([LINE] * (MAX_CMCD_EVENTS + 5)))), MAX_CMCD_EVENTS
        )
        long = LINE + ',com.example-x="' + "x" * MAX_CMCD_CHARS + '"'
        self.assertEqual(parse_events(long), [])

    @given(st.text(max_size=200))
    def test_nothing_makes_it_raise(self, text: str) -> None:
        for event in parse_events(text + "\n" + LINE):
            self.assertTrue(0 < len(event.session_id) <= 64)
