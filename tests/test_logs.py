"""What three real daemons log about viewers, well-behaved and not: ids, and nothing else."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import urllib.request
from unittest import skipUnless
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.testing import MemoryFilm
from tests.processes import Daemon, Daemons, wait_until

FILM = MemoryFilm.make(segments=2, segment_bytes=200_000)
MEDIA = ["chunk_0_1.m4s", "chunk_0_2.m4s"]
PATIENCE_S = 20.0
PLAYER, STRANGER, CALLER = "127.0.0.33", "127.0.0.44", "127.0.0.55"
"""Other addresses of this machine, as Linux has them, so that they can be told apart in a log."""
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|::1")
AT_THE_START = ("starting on", "serves players on")
"""Lines that say where a daemon listens, as it was told to."""


@skipUnless(sys.platform == "linux", "other systems have one loopback address")
class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemons = Daemons(self)
        film = self.daemons.lay(FILM.files)
        self.origin, self.tracker = self.daemons.origin(film), self.daemons.tracker()
        self.origin.wait_ready()
        self.tracker.wait_ready()
        self.peers = [self.daemons.peer(n, self.origin, self.tracker) for n in (1, 2)]
        for peer in self.peers:
            peer.wait_ready()

    def ask(self, daemon: Daemon, source: str, method: str, path: str, body: bytes = b"") -> int:
        """A request from one of this machine's other addresses; its status."""
        connection = http.client.HTTPConnection(
            urlsplit(daemon.url).netloc, timeout=PATIENCE_S, source_address=(source, 0)
        )
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def garbage(self, daemon: Daemon, port: int | None = None) -> None:
        """Bytes that are no protocol of ours, until the daemon has had enough of them."""
        where = ("127.0.0.1", port or urlsplit(daemon.url).port or 0)
        with socket.create_connection(where, PATIENCE_S, source_address=(STRANGER, 0)) as wire:
            wire.sendall(b"\x16\x03\x01 nonsense \r\n" * 3)
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(4096):
                pass

    def exchange_port(self, peer: Daemon) -> int:
        ports = re.findall(r"starting on (\d+)", peer.log.read_text())
        [port] = {int(port) for port in ports} - {urlsplit(peer.url).port}
        return port

    def test_no_addresses_no_keys_no_tickets(self) -> None:
        one, two = self.peers
        for path in MEDIA:
            self.assertEqual(self.ask(one, PLAYER, "GET", f"/dash/{path}"), 200)
        wait_until("they know each other", lambda: two.stats()["neighbours"], PATIENCE_S)
        self.assertEqual(self.ask(two, PLAYER, "GET", f"/dash/{MEDIA[0]}"), 200)
        self.ask(two, PLAYER, "POST", "/qoe", b"nonsense")
        announce = {"v": 1, "swarm": "ab" * 32, "peer": "cd" * 32, "port": 9, "event": "started"}
        for body in (json.dumps(announce).encode(), b"nonsense"):
            self.ask(self.tracker, CALLER, "POST", "/announce", body)
            self.ask(self.tracker, CALLER, "POST", "/lease", body)
        for daemon in (self.origin, self.tracker, one):
            self.garbage(daemon)
        self.garbage(two, self.exchange_port(two))
        self.origin.kill()
        self.tracker.kill()
        self.ask(two, PLAYER, "GET", "/dash/unknown.m4s")
        with urllib.request.urlopen(f"{two.url}/dash/{MEDIA[1]}", timeout=PATIENCE_S) as answer:
            self.assertTrue(answer.read() == FILM.files[MEDIA[1]])
        one.kill()
        wait_until("its neighbour is missed", lambda: not two.stats()["neighbours"], PATIENCE_S)
        two.stop()
        secrets = [
            (self.daemons.folder / f"cache-{number}" / "peer.key").read_bytes().strip()
            for number in (1, 2)
        ]
        for daemon in self.daemons.started:
            for line in daemon.log.read_text().splitlines():
                self.check(daemon, line)
            for secret in secrets:
                self.assertNotIn(secret, daemon.log.read_bytes(), daemon.name)

    def check(self, daemon: Daemon, line: str) -> None:
        told = f"{daemon.name}: {line}"
        for source in (PLAYER, STRANGER, CALLER):
            self.assertNotIn(source, line, told)
        self.assertNotIn("eyJ", line, f"a ticket, {told}")
        for given in (self.origin, self.tracker):  # whom the peers were told to ask
            parts = urlsplit(given.url)
            for shown in (given.url, f"hostname=b'{parts.hostname}', port={parts.port}"):
                line = line.replace(shown, "")
        if not any(start in line for start in AT_THE_START):
            self.assertIsNone(ADDRESS.search(line), told)
