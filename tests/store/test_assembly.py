"""Tests of a segment that is being delivered."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.store.assembly import Assembly
from dashp2p.store.errors import AssemblyRefused, BlocksMissing
from dashp2p.store.limits import BLOCKS_MAX, SEGMENT_MAX_BYTES
from tests.store import segment


def block(data: bytes, number: int, size: int) -> bytes:
    """One block of a segment."""
    return data[number * size : (number + 1) * size]


class AssemblyTests(SynchronousTestCase):
    """Segments of 100 bytes in blocks of 16: seven, the last of 4."""

    def setUp(self) -> None:
        self.data = segment(1)
        self.assembly = Assembly(100, 16)

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.assembly.put(number, block(self.data, number, 16))

    def test_blocks_are_readable_as_they_come(self) -> None:
        self.put(0, 1, 3)
        self.assertEqual(self.assembly.have, 0b1011)
        self.assertEqual(self.assembly.missing, 0b1110100)
        self.assertEqual(self.assembly.read(0, 2), self.data[:32])
        self.assertEqual(self.assembly.read_bytes(5, 27), self.data[5:32])
        self.assertEqual(self.assembly.read(3, 1), self.data[48:64])
        self.assertEqual(self.assembly.readable_bytes(5), 27)
        self.assertEqual(self.assembly.readable_bytes(40), 0)
        self.assertEqual(self.assembly.readable_bytes(100), 0)

    def test_bytes_that_are_not_here_are_never_read(self) -> None:
        self.put(0, 1, 3)
        for offset, length in ((0, 33), (32, 1), (47, 2), (60, 5)):
            self.assertRaises(BlocksMissing, self.assembly.read_bytes, offset, length)
        self.assertRaises(BlocksMissing, self.assembly.read, 2, 1)
        self.assertRaises(BlocksMissing, self.assembly.read, 1, 3)
        self.assertRaises(BlocksMissing, self.assembly.whole)

    def test_ranges_outside_the_segment_are_errors(self) -> None:
        self.put(*range(7))
        for offset, length in ((-1, 5), (0, 101), (99, 2), (5, -1)):
            self.assertRaises(ValueError, self.assembly.read_bytes, offset, length)
        for first, count in ((-1, 2), (0, 8), (7, 1), (0, 0)):
            self.assertRaises(ValueError, self.assembly.read, first, count)

    def test_a_block_of_the_wrong_size_or_place_is_refused(self) -> None:
        for number, size_bytes in ((0, 15), (0, 17), (6, 16), (6, 3), (7, 16), (-1, 16)):
            self.assertRaises(ValueError, self.assembly.put, number, bytes(size_bytes))
        self.assertEqual(self.assembly.have, 0)

    def test_a_block_that_is_here_is_not_replaced(self) -> None:
        self.assertTrue(self.assembly.put(0, self.data[:16]))
        self.assertFalse(self.assembly.put(0, bytes(16)))
        self.assertEqual(self.assembly.read(0, 1), self.data[:16])

    def test_once_complete_it_is_whole_and_changes_no_more(self) -> None:
        self.put(*reversed(range(7)))
        self.assertTrue(self.assembly.complete)
        self.assertEqual(self.assembly.whole(), self.data)
        self.assertEqual(self.assembly.read_bytes(0, 100), self.data)
        self.assertEqual(self.assembly.read(6, 1), self.data[96:])
        with self.assertRaises(TypeError):
            self.assembly.whole()[0] = 1

    def test_sizes_beyond_the_limits_are_refused_before_memory_is_taken(self) -> None:
        for size_bytes, block_size in (
            (0, 16),
            (-1, 16),
            (100, 0),
            (SEGMENT_MAX_BYTES + 1, 1 << 20),
            (1 << 60, 1 << 50),
            (BLOCKS_MAX + 1, 1),
        ):
            self.assertRaises(AssemblyRefused, Assembly, size_bytes, block_size)
        self.assertEqual(Assembly(BLOCKS_MAX, 1).block_count, BLOCKS_MAX)

    @given(st.data(), st.integers(1, 300), st.integers(1, 40))
    def test_whatever_is_readable_is_right(
        self, data: st.DataObject, size_bytes: int, block_size: int
    ) -> None:
        wanted = segment(3, 300)[:size_bytes]
        assembly = Assembly(size_bytes, block_size)
        numbers = st.integers(0, assembly.block_count - 1)
        here = bytearray(size_bytes)
        for number in data.draw(st.lists(numbers, max_size=20)):
            assembly.put(number, block(wanted, number, block_size))
            here[number * block_size : (number + 1) * block_size] = b"\1" * len(
                block(wanted, number, block_size)
            )
        offset = data.draw(st.integers(0, size_bytes - 1))
        run = len(here[offset:]) - len(here[offset:].lstrip(b"\1"))
        self.assertEqual(assembly.readable_bytes(offset), run)
        self.assertEqual(assembly.read_bytes(offset, run), wanted[offset : offset + run])
        if offset + run < size_bytes:
            self.assertRaises(BlocksMissing, assembly.read_bytes, offset, run + 1)
