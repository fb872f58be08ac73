"""Tests of the one place to ask for the bytes of a segment."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.blocks import hash_blocks
from dashp2p.store.blockstore import BlockStore, Save
from dashp2p.store.errors import (
    AssemblyRefused,
    BlocksMissing,
    SegmentMissing,
    SegmentUnverified,
    StoreUnavailable,
)
from dashp2p.store.memory import MemoryCache
from dashp2p.store.segments import SegmentStore
from dashp2p.testing import FakeDisk
from tests.store import BLOCK, digest, segment

NOW = 50.0


class BlockStoreTests(SynchronousTestCase):
    """Memory for two segments, disk for ten."""

    def setUp(self) -> None:
        self.disk = FakeDisk()
        self.blocks = self.open()

    def open(self, memory_bytes: int = 200) -> BlockStore:
        segments = SegmentStore(self.disk, 1000, free_floor_bytes=0)
        segments.open_folder(NOW)
        return BlockStore(segments, memory_bytes, assemblies_max_bytes=300)

    def deliver(self, seed: int) -> Save | None:
        data = segment(seed)
        assembly = self.blocks.begin(digest(data), len(data), BLOCK)
        for number in range(assembly.block_count):
            assembly.put(number, data[number * BLOCK : (number + 1) * BLOCK])
        return self.blocks.finish(digest(data), hash_blocks(data, BLOCK), NOW)

    def keep(self, seed: int) -> None:
        save = self.deliver(seed)
        assert save is not None
        self.blocks.saved(save.write(), NOW)

    def read(self, seed: int) -> bytes:
        return self.blocks.read(digest(segment(seed)), 0, 100, NOW)

    def test_a_delivery_is_readable_block_by_block(self) -> None:
        data = segment(1)
        assembly = self.blocks.begin(digest(data), 100, BLOCK)
        self.assertIs(self.blocks.begin(digest(data), 100, BLOCK), assembly)
        assembly.put(0, data[:BLOCK])
        self.assertEqual(self.blocks.read(digest(data), 0, 16, NOW), data[:16])
        self.assertRaises(BlocksMissing, self.blocks.read, digest(data), 0, 17, NOW)
        self.assertEqual(self.blocks.have(digest(data), 7), 1)
        self.assertNotIn(digest(data), self.blocks)
        self.assertRaises(BlocksMissing, self.blocks.finish, digest(data), b"", NOW)

    def test_what_was_delivered_is_served_before_and_after_it_is_on_disk(self) -> None:
        save = self.deliver(1)
        assert save is not None
        self.assertEqual(self.read(1), segment(1))
        self.assertEqual(self.blocks.have(digest(segment(1)), 7), 0b1111111)
        self.blocks.saved(save.write(), NOW)
        for seed in (2, 3):
            self.keep(seed)
        self.assertIsNone(self.blocks.whole(digest(segment(1))))
        self.assertEqual(self.read(1), segment(1))
        self.assertEqual(self.blocks.take_lost(), set())

    def test_what_waits_for_the_disk_is_served_though_memory_is_full(self) -> None:
        saves = [self.deliver(seed) for seed in (1, 2, 3, 4)]
        for seed in (1, 2, 3, 4):
            self.assertEqual(self.read(seed), segment(seed))
        assert saves[0] is not None
        error = StoreUnavailable("the disk failed")
        self.blocks.not_saved(saves[0], error, NOW)
        self.assertRaises(SegmentMissing, self.read, 1)
        self.assertEqual(self.blocks.take_lost(), {digest(segment(1))})
        self.assertEqual(self.blocks.segments and self.blocks.segments.degraded_reason, str(error))

    def test_an_abandoned_delivery_leaves_nothing(self) -> None:
        for seed in range(10):
            self.blocks.begin(digest(segment(seed)), 300, BLOCK)
            self.assertRaises(AssemblyRefused, self.blocks.begin, b"d" * 32, 1, BLOCK)
            self.blocks.abandon(digest(segment(seed)))
            self.blocks.abandon(digest(segment(seed)))
            self.assertRaises(SegmentMissing, self.read, seed)

    def test_without_a_disk_all_works_from_memory(self) -> None:
        self.blocks = BlockStore(None, 200)
        for seed in (1, 2, 3):
            self.assertIsNone(self.deliver(seed))
        self.assertRaises(SegmentMissing, self.read, 1)
        self.assertEqual(self.read(3), segment(3))
        self.assertEqual(self.blocks.take_lost(), {digest(segment(1))})
        self.blocks.close()

    def test_with_a_degraded_disk_all_works_from_memory(self) -> None:
        self.disk.failing["write"] = errno.EIO
        save = self.deliver(1)
        assert save is not None
        error = self.assertRaises(StoreUnavailable, save.write)
        self.blocks.not_saved(save, error, NOW)
        self.assertIsNone(self.deliver(2))
        self.assertEqual(self.read(1), segment(1))
        self.assertEqual(self.read(2), segment(2))

    def test_what_a_former_process_left_is_served_once_verified(self) -> None:
        self.keep(1)
        self.blocks.close()
        self.blocks = self.open()
        self.assertRaises(SegmentUnverified, self.read, 1)
        assert self.blocks.segments is not None
        self.assertIsNone(self.blocks.hashes(digest(segment(1))))
        examined = self.blocks.segments.examine(digest(segment(1)), BLOCK)
        self.assertTrue(self.blocks.verified(examined))
        self.assertEqual(self.read(1), segment(1))
        self.assertEqual(self.blocks.hashes(digest(segment(1))), hash_blocks(segment(1), BLOCK))

    def test_use_in_memory_counts_for_the_disk(self) -> None:
        for seed in range(10):
            self.keep(seed)
            self.read(0)
        # Memory holds 0 and 9; the disk's least recently used is 1.
        self.keep(10)
        self.assertEqual(self.blocks.take_lost(), {digest(segment(1))})

    def test_ranges_outside_a_segment_in_memory_are_errors(self) -> None:
        self.deliver(1)
        for offset, length in ((-1, 2), (0, 101), (0, -1)):
            self.assertRaises(ValueError, self.blocks.read, digest(segment(1)), offset, length, NOW)

    def test_a_segment_is_verified_again_in_vain_if_it_was_damaged(self) -> None:
        self.keep(1)
        self.blocks.close()
        self.disk.corrupt(digest(segment(1)).hex())
        self.blocks = self.open()
        assert self.blocks.segments is not None
        self.assertFalse(
            self.blocks.verified(self.blocks.segments.examine(digest(segment(1)), BLOCK))
        )
        self.assertRaises(SegmentMissing, self.read, 1)


class MemoryCacheTests(SynchronousTestCase):
    """Bytes within a bound."""

    def test_the_least_recently_used_go_first(self) -> None:
        cache = MemoryCache(10)
        self.assertEqual(cache.put(b"a", b"1234"), [])
        self.assertEqual(cache.put(b"b", b"1234"), [])
        self.assertEqual(cache.get(b"a"), b"1234")
        self.assertEqual(cache.put(b"c", b"123"), [b"b"])
        self.assertEqual(cache.used_bytes, 7)
        self.assertIsNone(cache.get(b"b"))

    def test_one_too_large_is_not_kept_and_evicts_nothing(self) -> None:
        cache = MemoryCache(10)
        cache.put(b"a", b"1234")
        self.assertEqual(cache.put(b"b", b"12345678901"), [b"b"])
        self.assertEqual(cache.get(b"a"), b"1234")

    def test_putting_again_replaces(self) -> None:
        cache = MemoryCache(10)
        cache.put(b"a", b"12345678")
        self.assertEqual(cache.put(b"a", b"123456789"), [])
        self.assertEqual(cache.used_bytes, 9)
        cache.discard(b"a")
        cache.discard(b"a")
        self.assertEqual(cache.used_bytes, 0)
