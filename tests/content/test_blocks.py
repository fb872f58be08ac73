from hashlib import sha256

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.blocks import (
    HASH_BYTES,
    BlockHashes,
    check_block,
    check_whole,
    digest_of,
    hash_blocks,
)
from dashp2p.content.entry import Entry, Kind


def entry_for(data: bytes, block_size: int = 1024) -> Entry:
    return Entry(
        position=1,
        path="a",
        size_bytes=len(data),
        digest=digest_of(hash_blocks(data, block_size)),
        kind=Kind.MANIFEST,
        representation_id=None,
        number=None,
        start_s=None,
        duration_s=None,
        block_size_bytes=block_size,
    )


def block_of(entry: Entry, data: bytes, block: int) -> bytes:
    offset = entry.block_offset(block)
    return data[offset : offset + entry.block_length(block)]


class EntryTests(SynchronousTestCase):
    @given(st.binary(min_size=1, max_size=5000))
    def test_the_blocks_of_a_file_put_together_are_the_file(self, data: bytes) -> None:
        entry = entry_for(data)
        blocks = [block_of(entry, data, block) for block in range(entry.block_count)]
        self.assertEqual(b"".join(blocks), data)
        self.assertTrue(all(len(block) == 1024 for block in blocks[:-1]))

    def test_a_block_outside_the_file_has_neither_offset_nor_length(self) -> None:
        entry = entry_for(bytes(2048))
        for block in (-1, 2):
            self.assertRaises(IndexError, entry.block_offset, block)
            self.assertRaises(IndexError, entry.block_length, block)

    def test_a_run_is_as_long_as_its_blocks(self) -> None:
        entry = entry_for(bytes(2500))
        for first, count, size_bytes in ((0, 1, 1024), (0, 3, 2500), (1, 2, 1476), (2, 1, 452)):
            self.assertEqual(entry.run_length(first, count), size_bytes)

    def test_a_run_that_is_not_all_within_the_file_has_no_length(self) -> None:
        entry = entry_for(bytes(2500))
        for first, count in ((-1, 1), (0, 0), (0, 4), (2, 2), (3, 1), (1, -1)):
            self.assertRaises(IndexError, entry.run_length, first, count)


class HashingTests(SynchronousTestCase):
    def test_a_hash_is_the_sha_256_of_each_block_and_the_digest_that_of_all_hashes(self) -> None:
        hashes = hash_blocks(b"a" * 1024 + b"b", 1024)
        expected = sha256(b"a" * 1024).digest() + sha256(b"b").digest()
        self.assertEqual(hashes, expected)
        self.assertEqual(digest_of(hashes), sha256(expected).digest())

    def test_hashes_of_another_file_do_not_match(self) -> None:
        entry = entry_for(b"a" * 3000)
        self.assertTrue(BlockHashes.of(b"a" * 3000, 1024).matches(entry))
        self.assertFalse(BlockHashes.of(b"b" * 3000, 1024).matches(entry))

    def test_hashes_that_are_too_few_do_not_match_whatever_the_digest(self) -> None:
        hashes = hash_blocks(b"a" * 3000, 1024)[:HASH_BYTES]
        entry = evolve(entry_for(b"a" * 3000), digest=digest_of(hashes))
        self.assertFalse(BlockHashes(hashes).matches(entry))


class CheckTests(SynchronousTestCase):
    @given(st.binary(min_size=1, max_size=4000), st.data())
    def test_a_block_with_one_byte_changed_is_refused(self, data: bytes, draw: st.DataObject) -> None:  # fmt: skip # noqa: E501
        entry = entry_for(data)
        hashes = BlockHashes.of(data, 1024)
        block = draw.draw(st.integers(0, entry.block_count - 1))
        good = block_of(entry, data, block)
        at = draw.draw(st.integers(0, len(good) - 1))
        bad = good[:at] + bytes([good[at] ^ draw.draw(st.integers(1, 255))]) + good[at + 1 :]
        self.assertTrue(check_block(entry, hashes, block, good))
        self.assertFalse(check_block(entry, hashes, block, bad))

    def test_a_good_block_in_another_ones_place_is_refused(self) -> None:
        data = b"a" * 1024 + b"b" * 1024
        hashes = BlockHashes.of(data, 1024)
        self.assertFalse(check_block(entry_for(data), hashes, 1, b"a" * 1024))

    def test_a_block_that_the_file_does_not_have_is_refused(self) -> None:
        data = bytes(2048)
        hashes = BlockHashes.of(data, 1024)
        for block in (-1, 2):
            self.assertFalse(check_block(entry_for(data), hashes, block, bytes(1024)))
            self.assertFalse(hashes.check(block, bytes(1024)))

    def test_a_block_longer_or_shorter_than_its_length_is_refused(self) -> None:
        data = bytes(1500)
        hashes = BlockHashes.of(data, 1024)
        for length in (0, 475, 477):
            self.assertFalse(check_block(entry_for(data), hashes, 1, bytes(length)))

    def test_a_file_of_one_block_needs_no_hashes(self) -> None:
        entry = entry_for(b"short")
        self.assertTrue(check_block(entry, None, 0, b"short"))
        self.assertFalse(check_block(entry, None, 0, b"shorT"))

    def test_a_longer_file_without_hashes_is_never_accepted(self) -> None:
        self.assertFalse(check_block(entry_for(bytes(2048)), None, 0, bytes(1024)))

    def test_a_whole_file_is_checked_for_size_and_content(self) -> None:
        entry = entry_for(b"a" * 3000)
        self.assertTrue(check_whole(entry, b"a" * 3000))
        self.assertFalse(check_whole(entry, b"a" * 2999))
        self.assertFalse(check_whole(entry, b"a" * 2999 + b"b"))
