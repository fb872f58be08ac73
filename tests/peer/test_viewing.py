"""Tests of viewings added up from players' CMCD reports."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.viewing import LONGEST_STEP_S, Viewing
from dashp2p.web.cmcd_events import parse_events

BEGAN_S = 1_700_000_000.0


class ViewingTests(SynchronousTestCase):
    """A player whose clock shows BEGAN_S when ours shows 100."""

    def setUp(self) -> None:
        self.viewing = Viewing(began_at=100.0)

    def hear(self, at_s: float, state: str, *more: str, event: str = "ps") -> None:
        stamp = f"ts={int((BEGAN_S + at_s) * 1000)}"
        [heard] = parse_events(",".join(['sid="a"', f"e={event}", stamp, f"sta={state}", *more]))
        self.viewing.hear(heard, 100.0 + at_s)

    def test_start_up_lasts_from_the_first_request_until_it_plays(self) -> None:
        self.hear(0.3, "s")
        self.assertIsNone(self.viewing.document()["startup_ms"])
        self.hear(0.8, "p")
        self.hear(2.0, "a")
        self.hear(3.0, "p")
        self.assertEqual(self.viewing.document()["startup_ms"], 800)

    def test_of_one_that_is_first_heard_of_playing_the_players_own_word_is_taken(self) -> None:
        self.viewing = Viewing(began_at=100.8)
        self.hear(0.8, "p", "msd=650")
        self.assertEqual(self.viewing.document()["startup_ms"], 650)

    def test_of_one_that_tells_no_states_the_start_up_is_all_that_is_known(self) -> None:
        for line in ('e=t,sid="a",ts=1000,msd=650', 'e=t,sid="a",ts=9000,br=(1000;v)'):
            [event] = parse_events(line)
            self.viewing.hear(event, 101.0)
        told = self.viewing.document()
        self.assertEqual((told["startup_ms"], told["played_s"]), (650, 0.0))
        self.assertFalse(self.viewing.tells_states)

    def test_playing_from_which_it_ran_dry_is_a_stall_as_long_as_the_player_says(self) -> None:
        self.hear(1.0, "p")
        self.hear(11.0, "r")
        self.hear(13.5, "p")
        self.hear(15.5, "p", event="t")
        told = self.viewing.document()
        self.assertEqual((told["stalls"], told["stalled_ms"], told["played_s"]), (1, 2500, 12.0))
        self.assertEqual(told["state"], "playing")

    def test_a_stall_that_goes_on_counts_so_far(self) -> None:
        self.hear(1.0, "p")
        self.hear(11.0, "r")
        self.hear(14.0, "r", event="t")
        told = self.viewing.document()
        self.assertEqual((told["state"], told["stalls"], told["stalled_ms"]), ("stalled", 1, 3000))

    def test_a_word_that_was_overtaken_by_a_later_one_changes_nothing(self) -> None:
        """As dash.js seeks on a busy machine."""
        self.hear(1.0, "p")
        self.hear(4.000, "k")
        self.hear(4.017, "p")
        self.hear(4.002, "w")
        self.assertEqual(self.viewing.document()["state"], "playing")
        self.hear(7.0, "r")
        self.hear(8.8, "p")
        told = self.viewing.document()
        self.assertEqual((told["stalls"], told["stalled_ms"]), (1, 1800))
        self.assertEqual(told["played_s"], 5.983)

    def test_what_has_ended_is_over_until_it_plays_again(self) -> None:
        """dash.js parks a playhead that overshot, by a seek and a pause."""
        self.hear(1.0, "p")
        for at_s, state in ((13.0, "e"), (13.1, "k"), (13.2, "w"), (13.3, "a")):
            self.hear(at_s, state)
        self.assertEqual(self.viewing.document()["state"], "ended")
        self.hear(20.0, "p")
        self.assertEqual(self.viewing.document()["state"], "playing")

    def test_a_clock_that_is_put_back_is_no_such_word(self) -> None:
        self.hear(100.0, "p")
        self.hear(40.0, "r")
        self.assertEqual(self.viewing.document()["state"], "stalled")

    def test_waiting_for_what_was_sought_or_for_the_first_picture_is_no_stall(self) -> None:
        self.hear(0.1, "r")
        self.hear(1.0, "p")
        self.hear(5.0, "k")
        self.hear(5.1, "r")
        self.hear(7.0, "p")
        self.assertEqual(self.viewing.document()["stalls"], 0)

    def test_a_repaint_that_came_late_is_no_stall(self) -> None:
        self.hear(1.0, "p")
        self.hear(5.0, "r")
        self.hear(5.03, "p")
        self.assertEqual(self.viewing.document()["stalls"], 0)

    def test_a_pause_is_neither_played_nor_stalled(self) -> None:
        self.hear(1.0, "p")
        self.hear(5.0, "a")
        self.hear(60.0, "p")
        told = self.viewing.document()
        self.assertEqual((told["played_s"], told["stalled_ms"]), (4.0, 0))

    def test_bitrates_are_weighed_by_time_and_changes_counted(self) -> None:
        self.hear(1.0, "p", "br=(1000;v 128;a)")
        self.hear(9.0, "p", "br=(3000;v 128;a)", event="bc")
        self.hear(17.0, "p", "br=(3000;v 128;a)", event="t")
        told = self.viewing.document()
        self.assertEqual((told["mean_bitrate_bps"], told["switches"]), (2_000_000, 1))
        self.assertEqual(told["changed_bps"], 2_000_000)

    def test_fast_playing_shows_more_film(self) -> None:
        self.hear(1.0, "p", "pr=2")
        self.hear(5.0, "e")
        self.assertEqual(self.viewing.document()["played_s"], 8.0)

    def test_a_machine_that_slept_has_not_played_and_no_clock_goes_back(self) -> None:
        self.hear(1.0, "p")
        self.hear(1.0 + LONGEST_STEP_S + 1, "p", event="t")
        self.hear(2.0, "p", event="t")
        self.assertEqual(self.viewing.document()["played_s"], 0.0)
