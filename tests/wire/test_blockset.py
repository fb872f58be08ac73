"""Sets of blocks: arithmetic, and how they stand in frames."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import blockset
from dashp2p.wire.blockset import EMPTY, WHOLE
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.limits import MAX_BLOCKSET_BYTES, MAX_SEGMENT_BLOCKS
from tests.wire.strategies import block_sets, plain_sets


class Arithmetic(SynchronousTestCase):
    @given(st.sets(st.integers(0, MAX_SEGMENT_BLOCKS - 1)))
    def test_a_set_has_the_blocks_it_was_made_of(self, blocks: set[int]) -> None:
        mask = blockset.from_blocks(blocks)
        self.assertEqual(list(blockset.iter_blocks(mask)), sorted(blocks))
        self.assertEqual(blockset.count(mask), len(blocks))

    @given(plain_sets())
    def test_runs_are_maximal_and_make_up_the_set(self, mask: int) -> None:
        runs = list(blockset.iter_runs(mask))
        self.assertEqual(sum(blockset.from_range(*run) for run in runs), mask)
        for (first, size), (following, _) in itertools.pairwise(runs):
            self.assertGreater(following, first + size)

    def test_whole_is_made_plain_by_the_block_count(self) -> None:
        self.assertEqual(blockset.resolve(WHOLE, 3), 0b111)
        self.assertEqual(blockset.resolve(0b10, 3), 0b10)

    def test_whole_covers_every_set(self) -> None:
        self.assertEqual(WHOLE & 0b1011, 0b1011)

    def test_a_set_fits_only_a_segment_with_all_its_blocks(self) -> None:
        self.assertTrue(blockset.fits(0b111, 3))
        self.assertFalse(blockset.fits(0b1000, 3))
        self.assertTrue(blockset.fits(WHOLE, 3))
        self.assertFalse(blockset.fits(WHOLE & ~1, 3))

    def test_whole_has_no_numbers_and_no_size(self) -> None:
        self.assertRaises(ValueError, list, blockset.iter_blocks(WHOLE))
        self.assertRaises(ValueError, blockset.count, WHOLE)


class Encoding(SynchronousTestCase):
    @given(block_sets(), st.binary(max_size=3), st.binary(max_size=3))
    def test_a_set_comes_back_from_the_middle_of_a_payload(
        self, mask: int, before: bytes, after: bytes
    ) -> None:
        raw = blockset.encode_blocks(mask)
        self.assertLessEqual(len(raw), MAX_BLOCKSET_BYTES)
        decoded = blockset.decode_blocks(before + raw + after, len(before))
        self.assertEqual(decoded, (mask, len(before) + len(raw)))

    @given(st.binary(max_size=MAX_BLOCKSET_BYTES + 2))
    def test_any_bytes_are_a_set_within_the_limit_or_refused(self, raw: bytes) -> None:
        try:
            mask, end = blockset.decode_blocks(raw, 0)
        except ProtocolError:
            return
        self.assertTrue(blockset.fits(mask, MAX_SEGMENT_BLOCKS))
        self.assertLessEqual(end, len(raw))

    def test_a_block_beyond_4095_is_not_encoded(self) -> None:
        for mask in (1 << MAX_SEGMENT_BLOCKS, -2, WHOLE & ~1):
            self.assertRaises(LocalProtocolError, blockset.encode_blocks, mask)

    def test_a_block_beyond_4095_is_not_decoded(self) -> None:
        error = self.assertRaises(
            ProtocolError, blockset.decode_blocks, bytes.fromhex("0fff000240"), 0
        )
        self.assertEqual(error.code, Code.TOO_LARGE)

    def test_a_set_that_is_cut_short_is_not_decoded(self) -> None:
        for raw in ("0000000980", "00000009", "000000", ""):
            self.assertRaises(ProtocolError, blockset.decode_blocks, bytes.fromhex(raw), 0)

    def test_an_empty_set_is_four_bytes(self) -> None:
        self.assertEqual(blockset.encode_blocks(EMPTY), bytes(4))
