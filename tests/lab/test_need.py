"""What the origin had to send while a crowd watched."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.need import needed_in_windows
from dashp2p.lab.scenario import Visit
from dashp2p.lab.viewing import Viewing, read_viewing

KB = 1000


def viewing(files: Mapping[str, tuple[float, float]], size_bytes: int = 4 * KB) -> Viewing:
    """Files by path: when each was asked for and was whole."""
    return read_viewing(
        {
            "segments": [
                {"path": path, "size_bytes": size_bytes, "requested_s": at_s, "done_s": done_s}
                for path, (at_s, done_s) in files.items()
            ]
        }
    )


def crowd(count: int, spacing_s: float = 0.0) -> list[Visit]:
    return [Visit(f"p{number}", spacing_s * number) for number in range(count)]


class NeedTests(SynchronousTestCase):
    def test_one_viewer_needs_what_it_gets_however_fast(self) -> None:
        seen = {"p0": viewing({"a": (0.0, 1.0), "b": (1.0, 2.0), "c": (6.0, 7.0)})}
        self.assertEqual(needed_in_windows(crowd(1), seen, 8e6, [0, 4, 8]), [8 * KB, 4 * KB])

    def test_a_crowd_with_enough_uplink_needs_one_copy(self) -> None:
        seen = {f"p{number}": viewing({"a": (0.0, 4.0)}) for number in range(10)}
        self.assertEqual(needed_in_windows(crowd(10), seen, 8e6, [0, 4]), [4 * KB])

    def test_a_crowd_with_too_little_needs_the_rest_too(self) -> None:
        seen = {f"p{number}": viewing({"a": (0.0, 4.0)}) for number in range(10)}
        # Ten get 40 kB in 4 s, and ten uplinks of 6 kbit/s carry 30 kB.
        self.assertEqual(needed_in_windows(crowd(10), seen, 6e3, [0, 4]), [10 * KB])

    def test_uplinks_count_from_when_their_owners_came(self) -> None:
        seen = {f"p{number}": viewing({"a": (0.0, 1.0)}) for number in range(2)}
        # The first is there for 4 s and the second for 1 s: 5 kB of 8 kB.
        self.assertEqual(needed_in_windows(crowd(2, 3.0), seen, 8e3, [0, 4]), [4 * KB])
        self.assertEqual(needed_in_windows(crowd(2, 3.0), seen, 4e3, [0, 4]), [5500])

    def test_uplinks_count_until_their_owners_left(self) -> None:
        visits = [Visit("p0", 0.0, 1.0), Visit("p1", 0.0)]
        seen = {host: viewing({"a": (0.0, 4.0)}) for host in ("p0", "p1")}
        self.assertEqual(needed_in_windows(visits, seen, 4e3, [0, 4]), [5500])

    def test_what_comes_over_two_windows_is_shared_out_by_time(self) -> None:
        seen = {"p0": viewing({"a": (3.0, 7.0)})}
        self.assertEqual(needed_in_windows(crowd(1), seen, 8e6, [0, 4, 8]), [1 * KB, 3 * KB])

    def test_what_one_had_before_need_not_leave_again(self) -> None:
        seen = {"p0": viewing({"a": (0.0, 1.0)}), "p1": viewing({"a": (5.0, 6.0)})}
        visits = [Visit("p0", 0.0), Visit("p1", 0.0)]
        [_, later] = needed_in_windows(visits, seen, 8e6, [0, 4, 8]) or []
        self.assertEqual(later, 4 * KB)  # the rate of who watches: one copy of it

    def test_without_times_it_can_not_be_told(self) -> None:
        seen = {"p0": read_viewing({"segments": [{"path": "a", "size_bytes": 5}]})}
        self.assertIsNone(needed_in_windows(crowd(1), seen, 8e6, [0, 4]))
