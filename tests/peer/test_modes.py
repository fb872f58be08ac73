"""What real daemons share in each mode: all, nothing of theirs, or nothing at all."""

from __future__ import annotations

import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.testing import MemoryFilm
from tests.processes import Daemon, Daemons, get_json, wait_until

FILM = MemoryFilm.make(segments=3, segment_bytes=300_000)
MEDIA = [f"chunk_0_{number}.m4s" for number in range(1, 4)]
WHOLE = sum(len(FILM.files[path]) for path in MEDIA)
PATIENCE_S = 20.0
PATIENT = "?CMCD=bl%3D20000%2Cdl%3D20000"


class ModeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemons = Daemons(self)
        film = self.daemons.lay(FILM.files)
        self.origin, self.tracker = (
            self.daemons.origin(film),
            self.daemons.tracker("--interval", "2s"),
        )
        self.origin.wait_ready()
        self.tracker.wait_ready()

    def peer(self, number: int, *mode: str) -> Daemon:
        peer = self.daemons.peer(number, self.origin, self.tracker, *mode)
        peer.wait_ready()
        return peer

    def watch(self, peer: Daemon) -> None:
        for path in MEDIA:
            with urllib.request.urlopen(f"{peer.url}/dash/{path}{PATIENT}", timeout=20.0) as answer:
                self.assertTrue(answer.read() == FILM.files[path])

    def meets(self, peer: Daemon) -> bool:
        return len(peer.stats()["neighbours"]) == 2

    def known(self) -> int:
        """Peers that the tracker knows."""
        return sum(swarm["peers"] for swarm in get_json(f"{self.tracker.url}/swarms")["swarms"])

    def test_one_gives_one_takes_and_one_keeps_to_itself(self) -> None:
        giver = self.peer(1, "--mode", "full")
        self.watch(giver)
        taker, recluse = self.peer(2, "--mode", "download-only"), self.peer(3, "--mode", "off")
        other = self.peer(4)
        wait_until("all have met", lambda: self.meets(taker) and self.meets(other), PATIENCE_S)
        self.watch(taker)
        self.watch(recluse)
        self.assertGreaterEqual(taker.stats()["bytes"]["peers"], WHOLE)
        self.assertEqual(recluse.stats()["bytes"]["peers"], 0)
        self.assertEqual(recluse.stats()["neighbours"], [])
        self.assertEqual(self.known(), 3)

        giver.kill()
        before = other.stats()["bytes"]["peers"]
        self.watch(other)
        self.assertEqual(other.stats()["bytes"]["peers"], before)
        self.assertEqual(len(other.stats()["neighbours"]), 1)
        for peer in (taker, recluse):
            self.assertEqual(peer.stats()["bytes"]["uploaded"], 0)
