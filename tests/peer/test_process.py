"""The real daemon under twistd, with real sockets and files: few tests, each a whole story."""

from __future__ import annotations

import http.server
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from unittest import SkipTest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.content.keys import public_bytes
from dashp2p.content.tickets import sign_token
from dashp2p.testing import MemoryFilm
from tests.processes import END_S, HOST, Daemon, Daemons, free_port, wait_until

FILM = MemoryFilm.make(segments=4, segment_bytes=300_000)
MEDIA = [f"chunk_0_{number}.m4s" for number in range(1, 5)]
IDLE_RSS_MB = 90.0
"""Loose: 65 MB were measured, of which twisted, klein and treq alone take 54."""
PATIENCE_S = 20.0


def get(daemon: Daemon, path: str) -> bytes:
    """The body of a file of the film, from a peer or the origin."""
    with urllib.request.urlopen(f"{daemon.url}/dash/{path}", timeout=PATIENCE_S) as answer:
        body: bytes = answer.read()
        return body


def resident_mb(process_id: int) -> float:
    """What a process holds in memory, as Linux tells."""
    status = Path(f"/proc/{process_id}/status")
    if not status.exists():
        raise SkipTest("this system has no /proc to tell the memory of a process")
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


class ProcessTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemons = Daemons(self)
        self.film = self.daemons.lay(FILM.files)

    def peer(self, name: str, origin_url: str, *arguments: str, port: int = 0) -> Daemon:
        """A peer without a tracker; its cache goes by its name."""
        return self.daemons.start(
            name,
            "dashp2p-peer",
            port or free_port(),
            *("--exchange", f"tcp:0:interface={HOST}"),
            *("--origin", origin_url),
            *("--cache", str(self.daemons.folder / f"cache-{name}")),
            *arguments,
        )

    def any_server(self) -> str:
        """The film on the server that comes with Python, which knows neither Range nor ETag."""
        handler = partial(_Quiet, directory=str(self.film))
        server = http.server.ThreadingHTTPServer((HOST, 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        self.addCleanup(stop)
        return f"http://{HOST}:{server.server_port}"

    def last_line(self, daemon: Daemon) -> str:
        """The one line with which a daemon that cannot start ends."""
        self.assertEqual(daemon.process.wait(PATIENCE_S), 1, daemon.last_words())
        output = daemon.log.read_text()
        self.assertNotIn("Traceback", output)
        news = ("#info] ", " [-] ")  # of Twisted: what it is, what it listens on
        lines = [line for line in output.splitlines() if not any(mark in line for mark in news)]
        self.assertEqual(len(lines), 1, output)
        return lines[0]


class LifeTests(ProcessTestCase):
    def test_alone_through_stop_restart_and_kill(self) -> None:
        origin = self.daemons.origin(self.film)
        origin.wait_ready()
        peer = self.peer("alone", f"{origin.url}/dash")
        peer.wait_ready()
        self.assertLess(resident_mb(peer.process.pid), IDLE_RSS_MB)
        for path in MEDIA:
            self.assertEqual(get(peer, path), FILM.files[path])
        self.assertFalse(peer.stats()["tracker"]["reachable"])

        taken = str(self.daemons.folder / "cache-alone")
        line = self.last_line(self.peer("rival", f"{origin.url}/dash", "--cache", taken))
        self.assertIn("another peer uses the cache folder", line)
        self.assertIn("--cache", line)

        peer.process.send_signal(signal.SIGTERM)
        self.assertEqual(peer.process.wait(END_S), 0, peer.last_words())
        again = self.restarted(origin, peer)
        again.kill()
        last = self.restarted(origin, peer)
        self.assertEqual(last.stop(), 0)
        self.assertNotIn("Traceback", peer.log.read_text())

    def restarted(self, origin: Daemon, before: Daemon) -> Daemon:
        """A new process on the same cache: it serves what the last one kept, once it is checked."""
        peer = self.peer("alone", f"{origin.url}/dash")
        peer.wait_ready()
        held = len(FILM.index.entries)
        wait_until(
            "all that was kept is checked",
            lambda: peer.stats()["cache"]["segments"] == held,
            PATIENCE_S,
        )
        for path in MEDIA:
            self.assertEqual(get(peer, path), FILM.files[path])
        figures = peer.stats()["bytes"]
        self.assertEqual(figures["cache"], sum(len(FILM.files[path]) for path in MEDIA))
        self.assertLess(figures["origin"], len(FILM.files[MEDIA[0]]))
        return peer


class CrowdTests(ProcessTestCase):
    def test_the_film_goes_on_without_the_origin_where_others_have_it(self) -> None:
        origin, tracker = self.daemons.origin(self.film), self.daemons.tracker()
        origin.wait_ready()
        tracker.wait_ready()
        one, two = (self.daemons.peer(number, origin, tracker) for number in (1, 2))
        for peer in (one, two):
            peer.wait_ready()
        for path in MEDIA:
            self.assertEqual(get(one, path), FILM.files[path])
        self.assertEqual(get(two, MEDIA[0]), FILM.files[MEDIA[0]])
        wait_until("they know each other", lambda: two.stats()["neighbours"], PATIENCE_S)
        origin.kill()
        for path in MEDIA[1:]:
            self.assertEqual(get(two, path), FILM.files[path])
        figures = two.stats()["bytes"]
        self.assertGreater(figures["peers"], sum(len(FILM.files[path]) for path in MEDIA[1:]) - 1)
        self.assertGreater(one.stats()["bytes"]["uploaded"], 0)
        self.assertEqual((one.stop(), two.stop()), (0, 0))
        for peer in (one, two):
            self.assertNotIn("Traceback", peer.log.read_text())


class UploadRateTests(ProcessTestCase):
    def test_no_more_is_sent_over_tls_than_was_allowed(self) -> None:
        rate_bytes_s = 4_000_000 / 8
        origin, tracker = self.daemons.origin(self.film), self.daemons.tracker()
        origin.wait_ready()
        tracker.wait_ready()
        one = self.daemons.peer(1, origin, tracker, "--upload-rate", "4Mbit")
        one.wait_ready()
        for path in MEDIA:
            get(one, path)
        two = self.daemons.peer(2, origin, tracker)
        two.wait_ready()
        wait_until("they know each other", lambda: two.stats()["neighbours"], PATIENCE_S)
        origin.kill()
        before, began = one.stats()["bytes"]["uploaded"], time.monotonic()
        for path in MEDIA:
            self.assertEqual(get(two, path), FILM.files[path])
        took_s, sent = time.monotonic() - began, one.stats()["bytes"]["uploaded"] - before
        self.assertGreater(sent, sum(len(FILM.files[path]) for path in MEDIA) - 1)
        self.assertLess(sent, rate_bytes_s * (took_s + 0.2))


class AdmissionTests(ProcessTestCase):
    def test_who_has_no_token_of_the_owner_plays_alone_and_is_told_why(self) -> None:
        token_file = self.daemons.folder / "token"
        owner = Ed25519PrivateKey.generate()
        token_file.write_text(sign_token(owner, FILM.signature.swarm_id, time.time(), 600) + "\n")
        origin = self.daemons.origin(self.film)
        tracker = self.daemons.tracker(
            "--admission", "token", "--admission-key", public_bytes(owner).hex()
        )
        origin.wait_ready()
        tracker.wait_ready()
        admitted = ("--token-file", str(token_file))
        one, two = (self.daemons.peer(number, origin, tracker, *admitted) for number in (1, 2))
        stranger = self.daemons.peer(3, origin, tracker)
        for peer in (one, two, stranger):
            peer.wait_ready()
        wait_until("the two have met", lambda: one.stats()["neighbours"], PATIENCE_S)
        self.assertEqual(get(stranger, MEDIA[0]), FILM.files[MEDIA[0]])
        self.assertEqual(get(one, MEDIA[0]), FILM.files[MEDIA[0]])
        stats = stranger.stats()
        self.assertEqual(stats["neighbours"], [])
        self.assertIn("--token-file", stats["message"])
        said = stranger.log.read_text()
        self.assertEqual(said.count("comes from the origin"), 1, said)
        self.assertNotIn(token_file.read_text().strip(), one.log.read_text())


class AnyOriginTests(ProcessTestCase):
    def test_a_server_without_ranges_is_origin_enough(self) -> None:
        peer = self.peer("simple", self.any_server())
        peer.wait_ready()
        self.assertEqual(peer.stats()["mode"], "sharing")
        for path in MEDIA:
            self.assertEqual(get(peer, path), FILM.files[path])

    def test_without_an_index_the_film_is_passed_through(self) -> None:
        (self.film / SIGNATURE_NAME).unlink()
        peer = self.peer("through", self.any_server())
        peer.wait_ready()
        stats = peer.stats()
        self.assertEqual(stats["mode"], "pass-through")
        self.assertIn("segment.sh", stats["message"])
        for path in MEDIA:
            self.assertEqual(get(peer, path), FILM.files[path])
        self.assertRaises(urllib.error.HTTPError, get, peer, "nothing.m4s")
        self.assertEqual(peer.stats()["cache"]["segments"], 0)


class RefusalTests(ProcessTestCase):
    def taken(self) -> int:
        """A port that somebody listens on."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind((HOST, 0))
        listener.listen()
        return int(listener.getsockname()[1])

    def test_taken_ports(self) -> None:
        port = self.taken()
        players = self.peer("players", "http://127.0.0.1:1/dash", port=port)
        exchange = self.peer(
            "exchange", "http://127.0.0.1:1/dash", "--exchange", f"tcp:{port}:interface={HOST}"
        )
        line = self.last_line(players)
        self.assertIn(f"cannot listen on tcp:{port}:interface={HOST}: ", line)
        self.assertIn("--listen ENDPOINT", line)
        self.assertIn("--exchange ENDPOINT", self.last_line(exchange))

    def test_bad_options(self) -> None:
        peers = {
            "--origin": self.peer("origin", "here"),
            "--ablate": self.peer("ablate", "http://127.0.0.1:1/dash", "--ablate", "gravity"),
        }
        for option, peer in peers.items():
            self.assertIn(option, self.last_line(peer))


if sys.platform == "win32":  # pragma: no cover
    del LifeTests  # no SIGTERM, no kill -9
