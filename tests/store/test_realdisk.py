"""Tests of the store in a real folder, with real processes where it takes one."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from dashp2p.store.disk import RealDisk
from dashp2p.store.errors import (
    SegmentDamaged,
    SegmentMissing,
    SegmentUnverified,
    StoreBusy,
    StoreUnavailable,
)
from dashp2p.store.files import TEMPORARY_NAME, temporary_name
from dashp2p.store.segments import SegmentStore
from tests.store import BLOCK, digest, segment, writer

KILLS = int(os.environ.get("DASHP2P_KILLS", "4"))
"""How often the writing process is killed."""


class RealDiskTestCase(SynchronousTestCase):
    """A folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "deep" / "cache"

    def open(self, quota_bytes: int = 1 << 30) -> SegmentStore:
        store = SegmentStore(RealDisk(self.folder), quota_bytes, free_floor_bytes=0)
        store.open_folder(0.0)
        self.addCleanup(store.close)
        return store

    def put(self, store: SegmentStore, seed: int, size_bytes: int = 100) -> bytes:
        data = segment(seed, size_bytes)
        store.put(digest(data), data, BLOCK, 0.0)
        return digest(data)

    def path(self, seed: int) -> Path:
        return self.folder / digest(segment(seed)).hex()


class FolderTests(RealDiskTestCase):
    """What the operating system sees."""

    def test_a_missing_folder_is_made_for_its_owner_only(self) -> None:
        store = self.open()
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        wanted = self.put(store, 1)
        self.assertEqual(stat.S_IMODE((self.folder / wanted.hex()).stat().st_mode), 0o600)
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([wanted.hex(), "lock"]))

    def test_a_reader_gives_ranges_and_a_descriptor(self) -> None:
        store = self.open()
        reader = store.open(self.put(store, 1, 3000), 0.0)
        self.assertEqual(reader.read(1000, 1500), segment(1, 3000)[1000:2500])
        self.assertEqual(os.pread(reader.fileno(), 3000, 0), segment(1, 3000))
        reader.close()

    def test_a_store_found_again_serves_after_verification(self) -> None:
        first = self.open()
        wanted = self.put(first, 1)
        first.close()
        second = self.open()
        self.assertRaises(SegmentUnverified, second.open, wanted, 0.0)
        self.assertIsNotNone(second.verify(wanted, BLOCK))
        reader = second.open(wanted, 3600.0)
        self.assertEqual(reader.read(0, 100), segment(1))
        reader.close()

    def test_the_order_of_use_survives_and_reading_does_not_disturb_it(self) -> None:
        first = self.open(300)
        for seed in (1, 2, 3):
            self.put(first, seed)
            os.utime(self.path(seed), ns=(seed * 10**9, self.path(seed).stat().st_mtime_ns))
        first.used(digest(segment(1)))
        first.close()
        second = self.open(300)
        for seed in (3, 2, 1):
            self.assertIsNotNone(second.verify(digest(segment(seed)), BLOCK))
        second.close()
        third = self.open(300)
        self.assertEqual(
            [wanted for wanted, _ in third.segments(verified=False)],
            [digest(segment(seed)) for seed in (2, 3, 1)],
        )

    def test_tampering_is_noticed(self) -> None:
        def write(path: Path) -> None:
            with path.open("r+b") as file:
                file.seek(50)
                file.write(b"!")

        def write_and_hide(path: Path) -> None:
            before = path.stat()
            write(path)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        def replace(path: Path) -> None:
            copy = path.with_suffix(".copy")
            shutil.copy2(path, copy)
            write(copy)
            shutil.copystat(path, copy)
            copy.replace(path)

        for tamper in (write, write_and_hide, replace, lambda path: os.truncate(path, 99)):
            store = self.open()
            wanted = self.put(store, 1)
            tamper(self.path(1))
            self.assertRaises(SegmentUnverified, store.open, wanted, 0.0)
            self.assertIsNone(store.verify(wanted, BLOCK))
            self.assertFalse(self.path(1).exists())
            store.close()

    def test_what_is_deleted_while_it_is_served_is_served_to_the_end(self) -> None:
        store = self.open(100)
        wanted = self.put(store, 1)
        reader = store.open(wanted, 0.0)
        self.path(1).unlink()
        self.assertEqual(reader.read(0, 100), segment(1))
        self.assertRaises(SegmentMissing, store.open, wanted, 0.0)
        reader.close()

    def test_what_is_overwritten_while_it_is_served_is_not_served_on(self) -> None:
        store = self.open()
        reader = store.open(self.put(store, 1), 0.0)
        self.path(1).write_bytes(segment(2))
        self.assertRaises(SegmentDamaged, reader.read, 0, 10)
        reader.close()

    def test_links_pipes_and_folders_under_our_names_are_left_alone(self) -> None:
        store = self.open()
        wanted = [self.put(store, seed) for seed in (1, 2, 3)]
        for seed in (1, 2, 3):
            self.path(seed).unlink()
        secret = self.folder / "secret"
        secret.write_bytes(segment(1))
        self.path(1).symlink_to(secret)
        os.mkfifo(self.path(2))
        self.path(3).mkdir()
        for one in wanted:
            self.assertRaises(SegmentMissing, store.open, one, 0.0)
        store.close()
        again = self.open()
        self.assertEqual(again.count, 0)
        self.assertTrue(secret.exists() and self.path(1).is_symlink() and self.path(3).is_dir())

    def test_a_folder_lost_while_running_is_made_again(self) -> None:
        store = self.open()
        self.put(store, 1)
        shutil.rmtree(self.folder)
        self.assertRaises(StoreUnavailable, self.put, store, 2)
        self.assertIsNotNone(store.degraded_reason)
        data = segment(2)
        store.put(digest(data), data, BLOCK, 600.0)
        self.assertTrue(self.path(2).exists())
        self.assertIsNone(store.degraded_reason)

    def test_a_file_in_place_of_the_folder_degrades(self) -> None:
        self.folder.parent.mkdir(parents=True)
        self.folder.write_bytes(b"")
        store = self.open()
        self.assertIn(str(self.folder), store.degraded_reason or "")

    def test_a_folder_of_somebody_else_degrades_and_is_served_from(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can hand a folder to somebody else")
        store = self.open()
        wanted = self.put(store, 1)
        store.close()
        folder = Path("/tmp") / f"dashp2p-test-{os.getpid()}"
        shutil.copytree(self.folder, folder)
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setuid(65534)
                code = self.serve_from(folder, wanted)
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    @staticmethod
    def serve_from(folder: Path, wanted: bytes) -> int:
        store = SegmentStore(RealDisk(folder), 1000, free_floor_bytes=0)
        store.open_folder(0.0)
        if "can't be written" not in (store.degraded_reason or ""):
            return 2
        if store.verify(wanted, BLOCK) is None:
            return 3
        reader = store.open(wanted, 0.0)
        return 0 if reader.read(0, 100) == segment(1) else 4


class ProcessTests(RealDiskTestCase):
    """With a second process."""

    def start_writer(self, first: int) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, writer.__file__, str(self.folder), str(first)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        return process

    def test_two_processes_do_not_share_a_folder(self) -> None:
        self.folder = self.folder.absolute()
        store = self.open()
        second = self.start_writer(0)
        output, _ = second.communicate(timeout=20)
        self.assertIn("--cache", output)
        self.assertEqual(second.returncode, 3)
        store.close()
        third = self.start_writer(0)
        assert third.stdout is not None
        self.assertEqual(third.stdout.readline(), "open\n")
        self.assertRaises(StoreBusy, self.open)
        third.kill()
        third.wait()
        self.open()

    def test_kill_9_at_any_moment_loses_only_what_was_not_committed(self) -> None:
        self.folder = self.folder.absolute()
        rng = Random(9)
        committed: list[int] = []
        restarts_s = []
        for _ in range(KILLS):
            process = self.start_writer(committed[-1] + 2 if committed else 0)
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "open\n")
            first = process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.05))
            process.kill()
            committed += [int(line) for line in (first + process.stdout.read()).splitlines()]
            process.wait()
            began = time.monotonic()
            store = self.open()
            restarts_s.append(time.monotonic() - began)
            self.check(store, committed)
            store.close()
            # So that a long run with many kills neither fills the disk nor takes for ever.
            del committed[:-20]
        if KILLS > 4:
            print(f"{KILLS} kills, restart {max(restarts_s) * 1000:.1f} ms at most")

    def check(self, store: SegmentStore, committed: list[int]) -> None:
        """All committed are whole; of the others at most the one in flight is there, whole."""
        left = [name for name in os.listdir(self.folder) if TEMPORARY_NAME.fullmatch(name)]
        self.assertEqual(left, [])
        self.assertIsNone(store.degraded_reason)
        for number in committed[-20:]:
            data = writer.content(number)
            wanted = writer.digest(data)
            self.assertIsNotNone(store.verify(wanted, writer.BLOCK_SIZE_BYTES))
            reader = store.open(wanted, 0.0)
            self.assertEqual(reader.read(0, len(data)), data)
            reader.close()
        for wanted, _ in list(store.segments(verified=False)):
            self.assertIsNotNone(store.verify(wanted, writer.BLOCK_SIZE_BYTES))

    def test_a_leftover_of_a_killed_process_is_removed(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / temporary_name(b"d" * 32, 7)).write_bytes(b"half")
        store = self.open()
        self.assertEqual(store.counters.leftovers, 1)
        self.assertEqual(os.listdir(self.folder), ["lock"])
