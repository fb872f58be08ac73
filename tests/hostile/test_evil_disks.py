"""A cache folder that cannot be written, is full, or whose files somebody changes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from tests.hostile.support import FILM, SEGMENT, HostileTestCase
from tests.processes import Daemon, wait_until

MOUNT = 'folder=$1; shift; options=$1; shift; {0} && exec "$@"'
"""In a mount namespace of its own, as root of a user namespace: nobody else sees it."""
PATIENCE_S = 10.0


def mounted(folder: Path, options: str) -> list[str]:
    """The beginning of a command that sees `folder` so; SkipTest where that is not allowed."""
    how = 'mount --bind "$folder" "$folder" && mount -o "remount,bind,$options" "$folder"'
    if "size=" in options:
        how = 'mount -t tmpfs -o "$options" tmpfs "$folder"'
    unshare = shutil.which("unshare")
    if unshare is None:
        raise SkipTest("there is no unshare here")
    inside = [unshare, "-rm", "sh", "-c", MOUNT.format(how), "sh", str(folder), options]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        raise SkipTest("this machine lets nobody mount in a namespace of his own")
    return inside


class EvilDiskTests(HostileTestCase):
    """Outcome for all: the player gets the film, nothing false, within its time."""

    def setUp(self) -> None:
        HostileTestCase.setUp(self)
        self.cache = self.daemons.folder / "cache-victim"
        self.cache.mkdir(mode=0o700)
        self.origin_daemon = self.origin()
        self.url = f"{self.origin_daemon.url}/dash"

    def troubled(self, peer: Daemon, words: str) -> None:
        """It plays all the same, says what is wrong, and ends in order."""
        wait_until("it is here", lambda: self.readyz(peer), PATIENCE_S)
        for path in (SEGMENT, "chunk_0_2.m4s", SEGMENT):
            self.assert_plays(peer, path)
        told = self.readyz(peer)
        self.assertIn("the cache is not written to", told)
        self.assertIn(words, told)
        self.assertEqual(peer.stats()["mode"], "sharing")
        self.assertEqual(peer.stop(), 0)
        self.assertNotIn("Traceback", peer.log.read_text())

    def test_a_folder_that_is_read_only_from_the_start(self) -> None:
        inside = mounted(self.cache, "ro")
        self.troubled(self.victim(self.url, ready=False, inside=inside), "can't be written")

    def test_a_folder_that_became_read_only_is_served_from(self) -> None:
        before = self.victim(self.url)
        for path in (SEGMENT, "chunk_0_2.m4s"):
            self.assert_plays(before, path)
        name = before.stats()["peer"]
        self.assertEqual(before.stop(), 0)
        peer = self.victim(self.url, ready=False, inside=mounted(self.cache, "ro"))
        wait_until("its files are checked", lambda: self.held(peer) == 5, PATIENCE_S)
        self.assert_plays(peer)
        stats = peer.stats()
        self.assertEqual(stats["peer"], name)
        self.assertEqual(stats["bytes"]["cache"], len(FILM.files[SEGMENT]))
        self.troubled(peer, "can't be written")

    def held(self, peer: Daemon) -> int:
        """Files in its cache: index, MPD, init and what was played."""
        return int(peer.stats()["cache"]["segments"]) if self.readyz(peer) else 0

    def test_a_disk_that_is_full(self) -> None:
        inside = mounted(self.cache, "size=600k")
        self.troubled(self.victim(self.url, ready=False, inside=inside), "full")

    def test_files_that_are_changed_cut_or_swapped_meanwhile(self) -> None:
        paths = [f"chunk_0_{number}.m4s" for number in range(1, 5)]
        for running in (False, True):
            peer = self.victim(self.url)
            for path in paths:
                self.assert_plays(peer, path)
            if not running:
                self.assertEqual(peer.stop(), 0)
            self.spoil(*(self.cache / "segments" / FILM.entry(path).digest.hex() for path in paths))
            if not running:
                peer = self.victim(self.url)
            for path in paths:
                self.assert_plays(peer, path)
            self.assertEqual(peer.stop(), 0)

    def spoil(self, changed: Path, cut: Path, one: Path, other: Path) -> None:
        data = bytearray(changed.read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        cut.write_bytes(cut.read_bytes()[:-1])
        swap = one.with_name("swap")
        one.rename(swap)
        other.rename(one)
        swap.rename(other)
