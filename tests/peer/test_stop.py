"""How real daemons end: in order and soon, or at once when they are told twice."""

from __future__ import annotations

import http.client
import signal
import threading
import urllib.error
import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.testing import MemoryFilm
from tests.processes import Daemon, Daemons, get_json, slow_reader, wait_until

FILM = MemoryFilm.make(segments=2, segment_bytes=7_000_000)
"""More than the kernel takes for a player that does not read."""
MEDIA = ["chunk_0_1.m4s", "chunk_0_2.m4s"]
PATIENCE_S = 20.0
PATIENT = "?CMCD=bl%3D20000%2Cdl%3D20000"
"""A player with 20 s in its buffer: no reason to turn to the origin."""


def get(daemon: Daemon, path: str) -> bytes:
    with urllib.request.urlopen(f"{daemon.url}/dash/{path}", timeout=PATIENCE_S) as answer:
        body: bytes = answer.read()
        return body


def status(daemon: Daemon, path: str) -> int:
    try:
        with urllib.request.urlopen(f"{daemon.url}{path}", timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except http.client.RemoteDisconnected:
        return 0  # it had asked nothing when the stop began, so it was idle: ask again


class StopTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemons = Daemons(self)
        film = self.daemons.lay(FILM.files)
        self.origin, self.tracker = self.daemons.origin(film), self.daemons.tracker()
        self.origin.wait_ready()
        self.tracker.wait_ready()


class OrderTests(StopTestCase):
    def test_a_peer_ends_its_uploads_and_responses_and_says_so(self) -> None:
        giver = self.daemons.peer(1, self.origin, self.tracker, "--upload-rate", "40Mbit")
        giver.wait_ready()
        for path in MEDIA:
            self.assertTrue(get(giver, path) == FILM.files[path])
        taker = self.daemons.peer(2, self.origin, self.tracker)
        taker.wait_ready()
        wait_until("they know each other", lambda: taker.stats()["neighbours"], PATIENCE_S)
        response = slow_reader(self, f"{giver.url}/dash/{MEDIA[0]}")
        uploaded = giver.stats()["bytes"]["uploaded"]
        came: list[bytes] = []
        asking = threading.Thread(target=lambda: came.append(get(taker, MEDIA[1] + PATIENT)))
        asking.start()
        self.addCleanup(asking.join)
        wait_until(
            "an upload is under way",
            lambda: giver.stats()["bytes"]["uploaded"] > uploaded + 100_000,
            PATIENCE_S,
        )
        giver.process.send_signal(signal.SIGTERM)
        wait_until("it is not ready", lambda: status(giver, "/readyz") == 503, PATIENCE_S)
        self.assertEqual(status(giver, "/healthz"), 200)
        self.assertEqual(status(giver, f"/dash/{MEDIA[0]}"), 503)
        swarms = f"{self.tracker.url}/swarms"
        wait_until(
            "the tracker knows", lambda: get_json(swarms)["swarms"][0]["peers"] == 1, PATIENCE_S
        )
        asking.join()
        self.assertTrue(came == [FILM.files[MEDIA[1]]])
        sent, got = giver.stats()["bytes"], taker.stats()["bytes"]
        came_bytes = got["peers"] + got["duplicate"]
        self.assertLessEqual(sent["uploaded"], came_bytes, "an upload was cut off")
        self.assertTrue(response.read() == FILM.files[MEDIA[0]])
        self.assertEqual(giver.process.wait(PATIENCE_S), 0, giver.last_words())
        self.assertNotIn("Traceback", giver.log.read_text())

    def test_a_player_that_reads_slowly_gets_its_segment_whole(self) -> None:
        peer = self.daemons.peer(1, self.origin, self.tracker)
        peer.wait_ready()
        response = slow_reader(self, f"{peer.url}/dash/{MEDIA[0]}")
        peer.process.send_signal(signal.SIGINT)
        wait_until("it is not ready", lambda: status(peer, "/readyz") == 503, PATIENCE_S)
        self.assertTrue(response.read() == FILM.files[MEDIA[0]])
        self.assertEqual(peer.process.wait(PATIENCE_S), 0, peer.last_words())

    def test_a_tracker_stops_with_status_zero(self) -> None:
        self.tracker.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.tracker.process.wait(PATIENCE_S), 0)


class TwiceTests(StopTestCase):
    def test_a_second_signal_ends_a_peer_at_once(self) -> None:
        peer = self.daemons.peer(1, self.origin, self.tracker)
        peer.wait_ready()
        response = slow_reader(self, f"{peer.url}/dash/{MEDIA[0]}")
        peer.process.send_signal(signal.SIGTERM)
        wait_until("it is not ready", lambda: status(peer, "/readyz") == 503, PATIENCE_S)
        peer.process.send_signal(signal.SIGINT)
        self.assertEqual(peer.process.wait(3.0), 128 + signal.SIGINT)
        response.close()
