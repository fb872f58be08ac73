"""Which rungs can be had while the origin is away."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.fakefilm import MemoryFilm
from dashp2p.swarm.reach import AHEAD_SEGMENTS, reachable_bps
from tests.swarm.support import Bench, peer

FILM = MemoryFilm.make(segments=8, segment_bytes=1000, rungs=3, audio=True)
ALL = range(1, 9)


def held(*runs: tuple[int, range]) -> int:
    """The index positions of some segments (from 1) of each rung."""
    paths = [f"chunk_{rung}_{number}.m4s" for rung, numbers in runs for number in numbers]
    return sum(1 << FILM.entry(path).position for path in paths)


def reachable(positions: int, asked: str) -> tuple[int, ...]:
    return reachable_bps(FILM.index, positions, FILM.entry(asked))


class Held(SynchronousTestCase):
    def test_what_is_here_and_at_neighbours_who_give(self) -> None:
        bench = Bench()
        bench.node.hold([1])
        bench.join("a", whole=0b100)
        bench.join("b", whole=0b1000, uploads=False)
        bench.join("c", whole=0b10000)
        bench.node.leaving(peer("c"), bench.now)
        self.assertEqual(bench.node.state.whole_nearby, 0b110)


class Reach(SynchronousTestCase):
    def test_a_rung_of_which_the_next_segments_are_held(self) -> None:
        positions = held((0, ALL), (1, range(3, 3 + AHEAD_SEGMENTS)))
        self.assertEqual(reachable(positions, "chunk_0_2.m4s"), (1_000_000, 2_000_000))

    def test_who_was_refused_a_segment_needs_that_one_still(self) -> None:
        positions = held((0, range(1, 4)), (1, range(2, 9)))
        refused = FILM.entry("chunk_2_1.m4s")
        self.assertEqual(reachable_bps(FILM.index, positions, refused, refused=True), (1_000_000,))
        self.assertEqual(reachable_bps(FILM.index, positions, refused), (2_000_000,))

    def test_where_none_goes_on_for_long_the_one_that_goes_on_longest(self) -> None:
        positions = held((0, range(3, 4)), (1, range(3, 5)), (2, range(4, 9)))
        self.assertEqual(reachable(positions, "chunk_0_2.m4s"), (2_000_000,))
        positions = held((0, range(3, 4)), (1, range(3, 4)), (2, range(4, 9)))
        self.assertEqual(reachable(positions, "chunk_0_2.m4s"), (1_000_000, 2_000_000))

    def test_not_one_that_lacks_one_of_them(self) -> None:
        for missing in range(3, 3 + AHEAD_SEGMENTS):
            numbers = [number for number in ALL if number != missing]
            positions = held((0, ALL)) | sum(held((1, range(n, n + 1))) for n in numbers)
            self.assertEqual(reachable(positions, "chunk_0_2.m4s"), (1_000_000,))

    def test_what_was_played_before_is_of_no_use(self) -> None:
        self.assertEqual(reachable(held((1, range(1, 3))), "chunk_0_2.m4s"), ())

    def test_sound_is_no_rung_and_goes_along_with_the_picture_of_its_time(self) -> None:
        positions = held((3, ALL), (1, range(3, 9)))
        self.assertEqual(reachable(positions, "chunk_3_2.m4s"), (2_000_000,))
        self.assertEqual(reachable(positions, "chunk_3_1.m4s"), ())

    def test_at_the_end_only_what_is_left_counts(self) -> None:
        self.assertEqual(reachable(held((2, range(8, 9))), "chunk_0_7.m4s"), (3_000_000,))
        self.assertEqual(len(reachable(0, "chunk_0_8.m4s")), 3)
