"""A real peer that is stopped in the middle of its work, as a laptop's lid does, and goes on."""

from __future__ import annotations

import signal
import threading
import time
import urllib.request
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.testing import MemoryFilm
from tests.processes import Daemon, Daemons, get_json, wait_until

FILM = MemoryFilm.make(segments=2, segment_bytes=6_000_000)
MEDIA = ["chunk_0_1.m4s", "chunk_0_2.m4s"]
PATIENCE_S = 30.0
ASLEEP_S = 6.0
PATIENT = "?CMCD=bl%3D30000%2Cdl%3D30000"


@skipUnless(hasattr(signal, "SIGSTOP"), "this system cannot stop a process")
class SleepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemons = Daemons(self)
        film = self.daemons.lay(FILM.files)
        self.origin, self.tracker = self.daemons.origin(film), self.daemons.tracker()
        self.origin.wait_ready()
        self.tracker.wait_ready()

    def get(self, peer: Daemon, path: str) -> bytes:
        with urllib.request.urlopen(f"{peer.url}/dash/{path}", timeout=PATIENCE_S) as answer:
            body: bytes = answer.read()
            return body

    def test_it_goes_on_where_it_was_and_blames_nobody(self) -> None:
        giver = self.daemons.peer(1, self.origin, self.tracker, "--upload-rate", "16Mbit")
        giver.wait_ready()
        for path in MEDIA:
            self.assertTrue(self.get(giver, path) == FILM.files[path])
        sleeper = self.daemons.peer(2, self.origin, self.tracker)
        sleeper.wait_ready()
        wait_until("they know each other", lambda: sleeper.stats()["neighbours"], PATIENCE_S)
        came: list[bytes] = []
        asking = threading.Thread(target=lambda: came.append(self.get(sleeper, MEDIA[0] + PATIENT)))
        asking.start()
        self.addCleanup(asking.join)
        wait_until(
            "a segment is on its way",
            lambda: sleeper.stats()["bytes"]["peers"] > 500_000,
            PATIENCE_S,
        )
        sleeper.process.send_signal(signal.SIGSTOP)
        time.sleep(ASLEEP_S)  # the point of this test is that time passes
        sleeper.process.send_signal(signal.SIGCONT)
        asking.join()
        self.assertTrue(came == [FILM.files[MEDIA[0]]])
        [record] = [each for each in sleeper.stats()["segments"] if each["path"] == MEDIA[0]]
        self.assertEqual((record["origin"], record["hedges"]), (0, 0))
        self.assertEqual(len(sleeper.stats()["neighbours"]), 1)
        self.assertNotIn("dropping", sleeper.log.read_text())
        [swarm] = get_json(f"{self.tracker.url}/swarms")["swarms"]
        self.assertEqual((swarm["peers"], swarm["takeovers"]), (2, 0))
