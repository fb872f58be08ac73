"""Tests of the segment store on a disk in memory."""

import contextlib
import errno

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.store.errors import (
    DigestMismatch,
    SegmentDamaged,
    SegmentMissing,
    SegmentUnverified,
    StoreBusy,
    StoreUnavailable,
)
from dashp2p.store.files import temporary_name
from dashp2p.store.limits import RETRY_FIRST_S, SEGMENT_MAX_BYTES, UNWRITTEN_MAX_BYTES
from dashp2p.store.segments import SegmentStore
from dashp2p.testing import FakeDisk
from tests.store import BLOCK, digest, segment

NOW = 100.0


class StoreTestCase(SynchronousTestCase):
    """A store of ten segments of 100 bytes."""

    def setUp(self) -> None:
        self.disk = FakeDisk()
        self.store = self.open()

    def open(self, quota_bytes: int = 1000, **options: int) -> SegmentStore:
        options.setdefault("free_floor_bytes", 0)
        store = SegmentStore(self.disk, quota_bytes, **options)
        store.open_folder(NOW)
        return store

    def reopened(self, quota_bytes: int = 1000, **options: int) -> SegmentStore:
        self.store.close()
        return self.open(quota_bytes, **options)

    def put(self, *seeds: int, store: SegmentStore | None = None, now: float = NOW) -> None:
        for seed in seeds:
            data = segment(seed)
            (store or self.store).put(digest(data), data, BLOCK, now)

    def read(self, seed: int, store: SegmentStore | None = None, now: float = NOW) -> bytes:
        reader = (store or self.store).open(digest(segment(seed)), now)
        try:
            return reader.read(0, reader.size_bytes)
        finally:
            reader.close()

    def held(self, store: SegmentStore | None = None) -> list[int]:
        here = store or self.store
        return [seed for seed in range(50) if digest(segment(seed)) in here]

    def name(self, seed: int) -> str:
        return digest(segment(seed)).hex()


class KeepingTests(StoreTestCase):
    """Segments in and out."""

    def test_what_was_put_is_read_again_in_any_range(self) -> None:
        self.put(1)
        reader = self.store.open(digest(segment(1)), NOW)
        self.assertEqual(reader.read(10, 25), segment(1)[10:35])
        self.assertEqual(reader.read(0, 100), segment(1))
        self.assertEqual(reader.read(100, 0), b"")
        for offset, length in ((-1, 2), (0, 101), (100, 1), (0, -1)):
            self.assertRaises(ValueError, reader.read, offset, length)
        reader.close()

    def test_an_absent_segment_is_missing(self) -> None:
        error = self.assertRaises(SegmentMissing, self.store.open, digest(b"other"), NOW)
        self.assertEqual(str(error), "not in the cache")

    def test_bytes_of_another_digest_are_not_stored(self) -> None:
        wrong = digest(segment(1))
        self.assertRaises(DigestMismatch, self.store.put, wrong, segment(2), BLOCK, NOW)
        self.assertNotIn(wrong, self.store)
        self.assertEqual(list(self.disk.names()), [])
        self.put(1)

    def test_hashes_of_another_segment_are_not_believed(self) -> None:
        reservation = self.store.reserve(digest(segment(1)), 100, NOW)
        assert reservation is not None
        self.assertRaises(
            DigestMismatch, self.store.write, reservation, segment(1), BLOCK, b"h" * 32
        )

    def test_a_segment_is_written_once(self) -> None:
        self.put(1)
        self.assertIsNone(self.store.reserve(digest(segment(1)), 100, NOW))
        self.assertIsNotNone(self.store.reserve(digest(segment(2)), 100, NOW))
        self.assertIsNone(self.store.reserve(digest(segment(2)), 100, NOW))

    def test_nothing_is_held_while_it_is_only_reserved_or_written(self) -> None:
        data = segment(1)
        reservation = self.store.reserve(digest(data), 100, NOW)
        assert reservation is not None
        written = self.store.write(reservation, data, BLOCK)
        self.assertFalse(self.store.is_verified(digest(data)))
        self.store.commit(written, NOW)
        self.assertTrue(self.store.is_verified(digest(data)))

    def test_a_reservation_given_back_leaves_room(self) -> None:
        for seed in range(10):
            reservation = self.store.reserve(digest(segment(seed)), 100, NOW)
            assert reservation is not None
            self.store.fail(reservation, RuntimeError("the peer is stopping"), NOW)
        self.assertIsNone(self.store.degraded_reason)
        self.put(*range(10))
        self.assertEqual(self.store.counters.evicted, 0)

    def test_a_second_store_on_the_folder_says_which_option_to_change(self) -> None:
        self.disk.locked_by_other = True
        store = SegmentStore(self.disk, 1000)
        error = self.assertRaises(StoreBusy, store.open_folder, NOW)
        self.assertIn("--cache", str(error))
        self.assertIn("/fake/cache", str(error))


class QuotaTests(StoreTestCase):
    """Bounds, and who gives way."""

    def test_the_least_recently_used_goes_first(self) -> None:
        self.put(*range(10))
        self.read(0)
        self.store.used(digest(segment(1)))
        self.put(10, 11)
        self.assertEqual(self.held(), [0, 1, *range(4, 12)])
        self.assertEqual(self.store.used_bytes, 1000)
        self.assertEqual(self.store.take_lost(), {digest(segment(2)), digest(segment(3))})
        self.assertEqual(self.store.take_lost(), set())

    def test_room_is_made_before_anything_is_written(self) -> None:
        self.put(*range(10))
        self.store.reserve(digest(segment(10)), 100, NOW)
        self.store.reserve(digest(segment(11)), 100, NOW)
        self.assertEqual(self.store.count, 8)
        self.assertEqual(len(list(self.disk.names())), 8)

    def test_a_segment_being_served_is_not_evicted(self) -> None:
        self.put(*range(10))
        reader = self.store.open(digest(segment(0)), NOW)
        self.put(*range(10, 20))
        self.assertEqual(self.held(), [0, *range(11, 20)])
        self.assertEqual(reader.read(0, 100), segment(0))
        reader.close()
        self.put(*range(20, 30))
        self.assertEqual(self.held(), list(range(20, 30)))

    def test_when_all_is_being_served_a_new_segment_is_not_kept(self) -> None:
        self.put(*range(10))
        readers = [self.store.open(digest(segment(seed)), NOW) for seed in range(10)]
        self.assertRaises(StoreUnavailable, self.put, 10)
        self.assertIsNone(self.store.degraded_reason)
        for reader in readers:
            reader.close()
            reader.close()
        self.put(10)

    def test_a_segment_larger_than_the_quota_evicts_nothing(self) -> None:
        self.put(1)
        error = self.assertRaises(StoreUnavailable, self.store.reserve, b"d" * 32, 1001, NOW)
        self.assertIn("--cache-size", str(error))
        self.assertEqual(self.held(), [1])

    def test_an_empty_or_too_large_segment_is_refused(self) -> None:
        store = self.reopened(2 * SEGMENT_MAX_BYTES)
        for size_bytes in (0, -1, SEGMENT_MAX_BYTES + 1):
            self.assertRaises(StoreUnavailable, store.reserve, b"d" * 32, size_bytes, NOW)
        self.assertIsNotNone(store.reserve(b"d" * 32, SEGMENT_MAX_BYTES, NOW))

    def test_what_waits_for_a_slow_disk_is_bounded(self) -> None:
        store = self.reopened(4 * UNWRITTEN_MAX_BYTES)
        store.reserve(b"d" * 32, UNWRITTEN_MAX_BYTES - 10, NOW)
        self.assertRaises(StoreUnavailable, store.reserve, b"e" * 32, 11, NOW)
        self.assertIsNone(store.degraded_reason)
        self.assertIsNotNone(store.reserve(b"e" * 32, 10, NOW))

    def test_the_number_of_files_is_bounded(self) -> None:
        store = self.reopened(1000, segments_max=3)
        self.put(*range(5), store=store)
        self.assertEqual(self.held(store), [2, 3, 4])

    def test_free_space_is_left_to_others(self) -> None:
        self.disk.capacity_bytes = 1000
        store = self.reopened(1000, free_floor_bytes=650)
        self.put(*range(5), store=store)
        self.assertEqual(self.held(store), [2, 3, 4])
        self.assertIsNone(store.degraded_reason)

    def test_when_others_fill_the_disk_nothing_is_evicted_in_vain(self) -> None:
        store = self.reopened(1000, free_floor_bytes=500)
        self.put(1, 2, store=store)
        self.disk.capacity_bytes = 500
        self.assertRaises(StoreUnavailable, self.put, 3, store=store)
        self.assertIn("full", store.degraded_reason or "")
        self.assertEqual(self.held(store), [1, 2])


class RestartTests(StoreTestCase):
    """What a new process finds."""

    def test_found_segments_are_served_only_once_verified(self) -> None:
        self.put(1)
        store = self.reopened()
        self.assertEqual(list(store.segments(verified=False)), [(digest(segment(1)), 100)])
        self.assertRaises(SegmentUnverified, self.read, 1, store)
        hashes = store.verify(digest(segment(1)), BLOCK)
        self.assertEqual(len(hashes or b""), 7 * 32)
        self.assertEqual(self.read(1, store), segment(1))
        self.assertEqual(list(store.segments(verified=True)), [(digest(segment(1)), 100)])

    def test_the_order_of_use_survives(self) -> None:
        for seed in range(10):
            self.disk.advance(1)
            self.put(seed)
        self.disk.advance(1)
        self.read(0)
        self.disk.advance(1)
        store = self.reopened()
        self.put(10, 11, store=store)
        self.assertEqual(self.held(store), [0, *range(3, 12)])

    def test_long_use_is_noted_even_if_the_process_is_killed(self) -> None:
        for seed in range(10):
            self.disk.advance(1)
            self.put(seed)
        self.disk.advance(60)
        self.assertEqual(self.read(0, now=NOW + 60), segment(0))
        self.assertEqual(self.read(0, now=NOW + 60), segment(0))
        self.disk.crash()
        store = self.open()
        self.put(10, store=store)
        self.assertEqual(self.held(store), [0, *range(2, 11)])

    def test_beyond_a_smaller_quota_the_oldest_go_at_the_start(self) -> None:
        for seed in range(10):
            self.disk.advance(1)
            self.put(seed)
        store = self.reopened(350)
        self.assertEqual(self.held(store), [7, 8, 9])
        self.assertEqual(store.used_bytes, 300)
        self.assertEqual(len(list(self.disk.names())), 3)

    def test_leftovers_of_a_crash_are_removed_and_strange_files_are_not(self) -> None:
        self.put(1)
        strange = ["notes.txt", "lock", "f" * 63, "F" * 64, f".{'a' * 64}.1.part.bak", "..part"]
        for name in (*strange, temporary_name(b"d" * 32, 7)):
            self.disk.plant(name, b"x")
        store = self.reopened()
        self.assertEqual(sorted(self.disk.names()), sorted([*strange, self.name(1)]))
        self.assertEqual(store.counters.leftovers, 1)
        self.assertEqual(self.held(store), [1])

    def test_a_crash_loses_nothing_that_was_committed(self) -> None:
        self.put(1, 2)
        reservation = self.store.reserve(digest(segment(3)), 100, NOW)
        assert reservation is not None
        self.disk.crash()
        store = self.open()
        for seed in (1, 2):
            self.assertIsNotNone(store.verify(digest(segment(seed)), BLOCK))
            self.assertEqual(self.read(seed, store), segment(seed))


class TamperTests(StoreTestCase):
    """Somebody else, or a bad disk, at work in the folder."""

    def assert_damaged(self, store: SegmentStore, seed: int) -> None:
        self.assertRaises(SegmentUnverified, self.read, seed, store)
        self.assertIsNone(store.verify(digest(segment(seed)), BLOCK))
        self.assertNotIn(self.name(seed), list(self.disk.names()))
        self.assertRaises(SegmentMissing, self.read, seed, store)
        self.assertIn(digest(segment(seed)), store.take_lost())
        self.assertGreater(store.counters.damaged, 0)
        self.put(seed, store=store)
        self.assertEqual(self.read(seed, store), segment(seed))

    def test_a_corrupted_segment_is_never_served(self) -> None:
        self.put(1)
        self.disk.corrupt(self.name(1), 99)
        self.assert_damaged(self.store, 1)

    def test_a_truncated_segment_is_never_served(self) -> None:
        for size_bytes in (0, 16, 99):
            self.put(1)
            self.disk.truncate(self.name(1), size_bytes)
            self.assert_damaged(self.store, 1)

    def test_a_write_in_the_same_tick_as_the_verification_is_noticed(self) -> None:
        self.disk.plant(self.name(1), segment(1))
        store = self.reopened()
        self.assertIsNotNone(store.verify(digest(segment(1)), BLOCK))
        self.disk.corrupt(self.name(1))
        self.assert_damaged(store, 1)

    def test_swapped_segments_are_never_served(self) -> None:
        self.put(1, 2)
        self.disk.swap(self.name(1), self.name(2))
        self.assert_damaged(self.store, 1)
        self.assert_damaged(self.store, 2)

    def test_damage_while_the_peer_was_away_is_found(self) -> None:
        self.put(1, 2, 3)
        self.disk.corrupt(self.name(1))
        self.disk.truncate(self.name(2), 50)
        self.disk.plant(self.name(3), segment(4))
        store = self.reopened()
        for seed in (1, 2, 3):
            self.assert_damaged(store, seed)
        self.assertEqual(store.counters.damaged, 3)

    def test_a_file_with_its_times_set_back_is_looked_at_again(self) -> None:
        self.put(1)
        inode = self.disk._names[self.name(1)]
        mtime_ns = inode.mtime_ns
        self.disk.advance(1)
        self.disk.corrupt(self.name(1))
        inode.mtime_ns = mtime_ns
        self.assert_damaged(self.store, 1)

    def test_a_write_while_it_is_served_ends_the_reading(self) -> None:
        self.put(1)
        reader = self.store.open(digest(segment(1)), NOW)
        self.assertEqual(reader.read(0, 10), segment(1)[:10])
        self.disk.corrupt(self.name(1), 50)
        self.assertRaises(SegmentDamaged, reader.read, 10, 10)
        self.assertRaises(SegmentDamaged, reader.check)
        reader.close()
        self.assert_damaged(self.store, 1)

    def test_a_write_just_before_a_use_is_noted_is_not_overlooked(self) -> None:
        self.put(1)
        open_file = self.disk.open

        def open_and_corrupt(name: str) -> object:
            file = open_file(name)
            touch = file.touch

            def corrupt_and_touch() -> None:
                self.disk.corrupt(name)
                touch()

            self.patch(file, "touch", corrupt_and_touch)
            return file

        self.patch(self.disk, "open", open_and_corrupt)
        self.assertRaises(SegmentUnverified, self.read, 1, now=NOW + 3600)

    def test_a_file_deleted_while_it_is_served_is_served_to_the_end(self) -> None:
        self.put(1)
        reader = self.store.open(digest(segment(1)), NOW)
        self.disk.remove(self.name(1))
        self.assertEqual(reader.read(0, 100), segment(1))
        self.assertRaises(SegmentMissing, self.read, 1)
        self.assertEqual(self.store.used_bytes, 0)
        reader.close()
        self.put(1)

    def test_a_segment_evicted_while_it_was_examined_is_not_admitted(self) -> None:
        self.put(*range(10))
        store = self.reopened()
        examined = store.examine(digest(segment(0)), BLOCK)
        self.disk.remove(self.name(0))
        self.assertIsNone(store.verify(digest(segment(0)), BLOCK))
        self.assertIsNone(store.admit(examined))
        self.assertNotIn(digest(segment(0)), store)

    def test_a_segment_written_anew_while_it_was_examined_stays(self) -> None:
        self.put(1)
        self.disk.corrupt(self.name(1))
        store = self.reopened()
        examined = store.examine(digest(segment(1)), BLOCK)
        self.put(1, store=store)
        self.assertIsNone(store.admit(examined))
        self.assertEqual(self.read(1, store), segment(1))

    def test_looking_at_a_segment_while_it_is_written_anew_does_not_disturb_it(self) -> None:
        self.put(1)
        store = self.reopened()
        reservation = store.reserve(digest(segment(1)), 100, NOW)
        assert reservation is not None
        written = store.write(reservation, segment(1), BLOCK)
        examined = store.examine(digest(segment(1)), BLOCK)
        store.commit(written, NOW)
        store.admit(examined)
        self.assertEqual(self.read(1, store), segment(1))

    def test_a_write_during_the_examination_proves_nothing(self) -> None:
        self.put(1)
        store = self.reopened()
        open_file = self.disk.open

        def open_and_corrupt(name: str) -> object:
            file = open_file(name)
            pread = file.pread

            def read_and_corrupt(length: int, offset: int) -> bytes:
                data = pread(length, offset)
                self.disk.corrupt(name)
                return data

            self.patch(file, "pread", read_and_corrupt)
            return file

        patched = self.patch(self.disk, "open", open_and_corrupt)
        self.assertRaises(SegmentUnverified, store.verify, digest(segment(1)), BLOCK)
        patched.restore()
        self.assert_damaged(store, 1)

    def test_without_descriptors_nothing_is_taken_for_damaged(self) -> None:
        self.put(1)
        store = self.reopened()
        self.disk.failing["open"] = errno.EMFILE
        self.assertRaises(StoreUnavailable, store.verify, digest(segment(1)), BLOCK)
        self.disk.failing.clear()
        store.verify(digest(segment(1)), BLOCK)
        self.disk.failing["open"] = errno.EMFILE
        self.assertRaises(StoreUnavailable, self.read, 1, store)
        self.disk.failing.clear()
        self.assertEqual(self.read(1, store), segment(1))

    def test_a_bad_sector_is_damage(self) -> None:
        self.put(1, 2)
        self.disk.failing["pread"] = errno.EIO
        self.assertRaises(SegmentDamaged, self.read, 1)
        self.assertRaises(SegmentUnverified, self.read, 1)
        self.assertIsNone(self.store.verify(digest(segment(1)), BLOCK))
        self.disk.failing.clear()
        self.assertEqual(self.held(), [2])
        self.assertEqual(self.read(2), segment(2))


class FailureTests(StoreTestCase):
    """Disks that don't take writes."""

    def test_a_full_disk_turns_writing_off_and_reading_goes_on(self) -> None:
        self.put(1)
        # Delayed allocation: the file system notices when it syncs.
        self.disk.failing["file_sync"] = errno.ENOSPC
        self.assertRaises(StoreUnavailable, self.put, 2)
        self.assertIn("full", self.store.degraded_reason or "")
        self.assertEqual(self.read(1), segment(1))
        self.assertEqual(list(self.disk.names()), [self.name(1)])
        self.assertEqual(self.store.counters.write_failures, 1)

    def test_a_disk_that_fills_up_in_the_middle_of_a_write_leaves_no_torn_file(self) -> None:
        self.put(1)
        free_bytes = self.disk.free_bytes
        self.patch(self.disk, "free_bytes", lambda: free_bytes() + 1000)
        self.disk.capacity_bytes = 150
        self.assertRaises(StoreUnavailable, self.put, 2)
        self.assertEqual(list(self.disk.names()), [self.name(1)])
        self.assertEqual(self.held(), [1])

    def test_writing_is_tried_again_after_a_wait_that_doubles(self) -> None:
        self.disk.failing["write"] = errno.EIO
        self.assertRaises(StoreUnavailable, self.put, 1)
        calls = self.disk.calls
        self.assertRaises(StoreUnavailable, self.put, 1, now=NOW + RETRY_FIRST_S - 0.1)
        self.assertEqual(self.disk.calls, calls)
        retry_s = NOW + RETRY_FIRST_S
        self.assertRaises(StoreUnavailable, self.put, 1, now=retry_s)
        self.assertGreater(self.disk.calls, calls)
        self.disk.failing.clear()
        self.assertRaises(StoreUnavailable, self.put, 1, now=retry_s + 2 * RETRY_FIRST_S - 0.1)
        self.put(1, now=retry_s + 2 * RETRY_FIRST_S)
        self.assertIsNone(self.store.degraded_reason)
        self.put(2, now=retry_s + 2 * RETRY_FIRST_S)

    def test_what_a_failed_write_replaced_is_not_counted_any_more(self) -> None:
        self.disk.plant(self.name(1), b"something else")
        store = self.reopened()
        self.disk.failing["sync"] = errno.EIO
        self.assertRaises(StoreUnavailable, self.put, 1, store=store)
        self.assertEqual(list(self.disk.names()), [])
        self.assertEqual((store.count, store.used_bytes), (0, 0))

    def test_a_degraded_disk_gets_one_trial_at_a_time(self) -> None:
        self.disk.failing["write"] = errno.EIO
        self.assertRaises(StoreUnavailable, self.put, 1)
        later = NOW + RETRY_FIRST_S
        self.assertIsNotNone(self.store.reserve(digest(segment(2)), 100, later))
        self.assertRaises(StoreUnavailable, self.store.reserve, digest(segment(3)), 100, later)

    def test_a_read_only_folder_is_found_at_the_start_and_served_from(self) -> None:
        self.put(1)
        self.store.close()
        self.disk.plant(temporary_name(b"d" * 32, 7), b"x")
        self.disk.read_only = True
        store = self.open()
        self.assertIn("can't be written", store.degraded_reason or "")
        self.assertIsNotNone(store.verify(digest(segment(1)), BLOCK))
        self.assertEqual(self.read(1, store, now=NOW + 3600), segment(1))
        self.assertRaises(StoreUnavailable, self.put, 2, store=store)
        store.close()

    def test_a_damaged_file_on_a_read_only_disk_is_not_served_either(self) -> None:
        self.put(1)
        self.store.close()
        self.disk.corrupt(self.name(1))
        self.disk.read_only = True
        store = self.open()
        self.assertIsNone(store.verify(digest(segment(1)), BLOCK))
        self.assertRaises(SegmentMissing, self.read, 1, store)

    def test_a_folder_that_cannot_be_made_degrades_until_it_can(self) -> None:
        self.put(1)
        self.store.close()
        self.disk.missing = True
        store = self.open()
        self.assertIsNotNone(store.degraded_reason)
        self.disk.missing = False
        self.put(2, store=store, now=NOW + RETRY_FIRST_S)
        self.assertEqual(self.held(store), [1, 2])

    def test_an_eviction_that_fails_loses_no_account(self) -> None:
        self.put(*range(10))
        self.disk.failing["unlink"] = errno.EIO
        self.assertRaises(StoreUnavailable, self.put, 10)
        self.disk.failing.clear()
        self.assertEqual(self.held(), list(range(10)))
        self.put(10, now=NOW + RETRY_FIRST_S)
        self.assertEqual(self.store.used_bytes, 1000)

    def test_whichever_call_fails_nothing_wrong_is_served_and_the_store_recovers(self) -> None:
        for number in (errno.EIO, errno.ENOSPC, errno.EROFS):
            nth, failed = 1, True
            while failed:
                self.disk = FakeDisk()
                failed = self.life_with_failure(nth, number)
                nth += 1
            self.assertGreater(nth, 20)

    def life_with_failure(self, nth: int, number: int) -> bool:
        """Start, verify, read, put, evict, close; the n-th call fails. Whether any failed."""
        self.store = self.open(300)
        self.put(1, 2)
        self.store.close()
        calls = self.disk.calls
        self.disk.fail_call(nth, number)
        store, now = self.open(300), NOW
        for seed in range(1, 6):
            now += 600
            try:
                self.put(seed, store=store, now=now)
            except StoreUnavailable:
                self.assertIsNotNone(store.degraded_reason)
            try:
                if not store.is_verified(digest(segment(seed))):
                    store.verify(digest(segment(seed)), BLOCK)
                self.assertEqual(self.read(seed, store, now=now), segment(seed))
            except (SegmentMissing, SegmentDamaged, SegmentUnverified, StoreUnavailable):
                self.assertGreaterEqual(self.disk.calls, calls + nth)
        healthy = False
        while not healthy:
            # The failure may fall in here, too; then there is none in the next round.
            now += 600
            with contextlib.suppress(StoreUnavailable, SegmentUnverified, SegmentDamaged):
                self.put(6, store=store, now=now)
                self.assertEqual(self.read(6, store, now=now), segment(6))
                healthy = True
        self.assertIsNone(store.degraded_reason)
        self.assertLessEqual(store.used_bytes, 300)
        store.close()
        return self.disk.calls >= calls + nth
