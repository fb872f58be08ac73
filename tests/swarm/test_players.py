"""When a player needs what it asks for."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.players import Hints, Player
from dashp2p.swarm.policy import Policy
from tests.swarm.support import entry

POLICY = Policy()


def start(now: float = 100.0) -> Player:
    """A player without CMCD whose first video and audio segments are here."""
    player = Player(POLICY)
    player.requested(entry(1), "video", now)
    player.requested(entry(1), "audio", now)
    player.delivered(entry(1), "video", now + 0.5)
    player.delivered(entry(1), "audio", now + 0.6)
    return player


class WithoutCmcd(SynchronousTestCase):
    def test_the_first_segment_is_due_at_once(self) -> None:
        due = Player(POLICY).requested(entry(1), "video", 100.0)
        self.assertEqual(due, 100.0 + POLICY.start_grace_s)

    def test_before_playback_begins_the_second_is_due_after_the_first(self) -> None:
        player = Player(POLICY)
        player.requested(entry(1), "video", 100.0)
        player.requested(entry(1), "audio", 100.0)
        player.delivered(entry(1), "video", 100.3)
        due = player.requested(entry(2), "video", 100.3)
        self.assertEqual(due, 100.3 + POLICY.start_grace_s + 4.0)

    def test_who_seeks_before_playback_begins_needs_that_segment_at_once(self) -> None:
        player = Player(POLICY)
        player.requested(entry(1), "video", 100.0)
        due = player.requested(entry(9), "video", 100.2)
        self.assertEqual(due, 100.2 + POLICY.start_grace_s)

    def test_after_a_seek_back_the_second_is_due_after_the_first(self) -> None:
        player = start()
        player.requested(entry(9), "video", 101.0)
        player.delivered(entry(9), "video", 101.5)
        player.requested(entry(9), "audio", 101.5)
        player.delivered(entry(9), "audio", 101.6)
        self.assertEqual(player.requested(entry(3), "video", 103.0), 103.0 + POLICY.start_grace_s)
        due = player.requested(entry(4), "video", 103.1)
        self.assertEqual(due, 103.1 + POLICY.start_grace_s + 4.0)

    def test_the_next_is_due_when_the_playhead_comes_to_it(self) -> None:
        player = start()
        due = player.requested(entry(2), "video", 101.0)
        self.assertEqual(round(due - 100.6, 3), 4.0)

    def test_a_full_buffer_means_much_slack(self) -> None:
        player = start()
        for position in (2, 3):
            player.requested(entry(position), "video", 101.0)
            player.delivered(entry(position), "video", 101.5)
        due = player.requested(entry(4), "video", 105.0)
        self.assertEqual(round(due - 100.6, 3), 12.0)

    def test_a_late_segment_stops_the_playhead_meanwhile(self) -> None:
        player = start()
        player.requested(entry(2), "video", 101.0)
        player.delivered(entry(2), "video", 107.6)
        due = player.requested(entry(3), "video", 107.6)
        self.assertEqual(round(due - 107.6, 3), 4.0)

    def test_a_pause_gives_time(self) -> None:
        player = start()
        player.requested(entry(2), "video", 101.0)
        player.delivered(entry(2), "video", 101.5)
        due = player.requested(entry(3), "video", 161.5)
        self.assertGreater(due, 161.5 + 3.0)

    def test_a_seek_starts_anew(self) -> None:
        player = start()
        due = player.requested(entry(9), "video", 103.0)
        self.assertEqual(due, 103.0 + POLICY.start_grace_s)

    def test_a_seek_back_starts_anew(self) -> None:
        player = start()
        player.requested(entry(2), "video", 101.0)
        due = player.requested(entry(1), "video", 103.0)
        self.assertEqual(due, 103.0 + POLICY.start_grace_s)

    def test_an_aborted_request_is_no_pause_and_no_delivery(self) -> None:
        player = start()
        player.requested(entry(2), "video", 101.0)
        player.closed(101.2)
        due = player.requested(entry(2), "video", 101.3)
        self.assertLess(due, 101.3 + 4.0)

    def test_no_deadline_lies_in_the_past(self) -> None:
        player = start()
        due = player.requested(entry(2), "video", 104.9)
        self.assertGreater(due, 104.9)


class WithCmcd(SynchronousTestCase):
    def test_the_deadline_is_what_the_player_says(self) -> None:
        due = start().requested(entry(2), "video", 101.0, Hints(deadline_s=7.5))
        self.assertEqual(due, 108.5)

    def test_the_buffer_serves_where_no_deadline_is_said(self) -> None:
        due = start().requested(entry(2), "video", 101.0, Hints(buffer_s=3.5))
        self.assertEqual(due, 104.5)

    def test_a_starving_player_is_urgent(self) -> None:
        hints = Hints(deadline_s=9.0, starved=True)
        due = start().requested(entry(2), "video", 101.0, hints)
        self.assertEqual(due, 101.0 + POLICY.start_grace_s)

    def test_a_starting_player_is_urgent(self) -> None:
        hints = Hints(deadline_s=9.0, startup=True)
        due = start().requested(entry(2), "video", 101.0, hints)
        self.assertEqual(due, 101.0 + POLICY.start_grace_s)
