"""What the tests among enemies share: a film, its daemons, and their bounds."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.index import BLOCKS_NAME, SIGNATURE_NAME
from dashp2p.content.signature import INDEX_NAME
from dashp2p.testing import MemoryFilm
from tests.hostile.evil_member import EvilMember
from tests.hostile.evil_peer import EvilPeer
from tests.peer.test_process import resident_mb
from tests.processes import HOST, Daemon, Daemons, free_port, wait_until

FILM = MemoryFilm.make(segments=4, segment_bytes=300_000)
OTHER_FILM = MemoryFilm.make(segments=4, segment_bytes=300_000, seed=2)
SEGMENT = "chunk_0_1.m4s"
COUNT = len(FILM.index.entries)
EVERYTHING = (1 << COUNT) - 1
PROOF = (INDEX_NAME, BLOCKS_NAME, SIGNATURE_NAME)
GROWTH_MB = 24.0
"""What an attack may add to a daemon's memory: a few connections' buffers."""
ANSWER_S = 20.0


class Answered(http.server.ThreadingHTTPServer):
    """A server of the test's own; `asked` has the request lines' paths and Host names."""

    daemon_threads = True

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.asked: list[str] = []
        http.server.ThreadingHTTPServer.__init__(self, (HOST, 0), handler)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """The daemon hangs up on it; that is what is wanted."""


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """Notes what it is asked; subclasses answer."""

    server: Answered

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.answer()

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer()

    def answer(self) -> None:
        """To be told by the test."""
        self.send_error(404)

    def give(self, body: bytes, code: int = 200, **headers: str) -> None:
        """A whole answer."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


class FilmOrigin(QuietHandler):
    """The true film, but for what `_spoil` does to segments."""

    files: ClassVar[dict[str, bytes]] = FILM.files

    def answer(self) -> None:
        path = self.path.removeprefix("/dash/")
        data = self.files.get(path)
        if data is None:
            self.send_error(404)
        elif path in PROOF or not path.endswith("1.m4s"):
            self.part(data)
        else:
            self.spoil(data)

    def part(self, data: bytes) -> None:
        """What was asked for of a file."""
        wanted = self.headers.get("Range")
        if wanted is None:
            self.give(data)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        self.give(part, 206, Content_Range=f"bytes {first}-{last}/{len(data)}")

    def spoil(self, data: bytes) -> None:
        """To be told by the test."""


class HeldOrigin(FilmOrigin):
    """Gives SEGMENT and its hashes only once the test lets it, so that neighbours come first."""

    let: ClassVar[threading.Event]

    def answer(self) -> None:
        if self.path.endswith((SEGMENT, BLOCKS_NAME)):
            self.let.wait(ANSWER_S)
        FilmOrigin.answer(self)

    def spoil(self, data: bytes) -> None:
        self.part(data)


class HostileTestCase(SynchronousTestCase):
    """A film in a folder, and daemons that end with the test."""

    def setUp(self) -> None:
        self.daemons = Daemons(self)
        self.film = self.daemons.lay(FILM.files)

    def origin(self) -> Daemon:
        """A true origin."""
        origin = self.daemons.origin(self.film)
        origin.wait_ready()
        return origin

    def victim(
        self, origin_url: str, *arguments: str, ready: bool = True, inside: Sequence[str] = ()
    ) -> Daemon:
        """A peer without a tracker; `exchange_port` is where others dial it."""
        self.exchange_port = free_port()
        peer = self.daemons.start(
            "victim",
            "dashp2p-peer",
            free_port(),
            *("--exchange", f"tcp:{self.exchange_port}:interface={HOST}"),
            *("--origin", origin_url),
            *("--cache", str(self.daemons.folder / "cache-victim")),
            *arguments,
            inside=inside,
        )
        if ready:
            peer.wait_ready()
        return peer

    def swarm(self, *arguments: str, origin_url: str | None = None) -> Daemon:
        """A peer, its tracker and its origin, all true; EvilMember gets tickets of that tracker."""
        tracker = self.daemons.tracker()
        tracker.wait_ready()
        self.tracker_url = tracker.url
        origin_url = origin_url or f"{self.origin().url}/dash"
        peer = self.victim(origin_url, "--tracker", tracker.url, *arguments)
        wait_until("it has joined", lambda: peer.stats()["start"]["announced_s"], ANSWER_S)
        return peer

    def member(self, name: str = "evil") -> EvilMember:
        """Somebody who joined as peers do, and has a ticket."""
        return EvilMember(self.tracker_url, FILM.signature.swarm_id, name).join()

    def evil(
        self, name: str = "evil", has: int = EVERYTHING, member: EvilMember | None = None
    ) -> EvilPeer:
        """A neighbour that is let in, by a ticket of its own."""
        ticket = (member or self.member(name)).ticket
        evil = EvilPeer(self.exchange_port, name, ticket=ticket)
        self.addCleanup(evil.hang_up)
        evil.greet(FILM.signature.swarm_id, has, COUNT)
        self.assertFalse(evil.closed, evil.events)
        return evil

    def server(self, handler: type[QuietHandler]) -> Answered:
        """A server that ends with the test."""
        server = Answered(handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        self.addCleanup(stop)
        return server

    def play(self, peer: Daemon, path: str = SEGMENT) -> tuple[int, bytes]:
        """Status and body, as a player sees them; 0 and what came when it broke off."""
        try:
            with urllib.request.urlopen(f"{peer.url}/dash/{path}", timeout=ANSWER_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except http.client.IncompleteRead as error:
            return 0, error.partial
        except OSError:
            return 0, b""

    def readyz(self, peer: Daemon) -> str:
        """What it answers, ready or not; nothing while nobody listens."""
        try:
            with urllib.request.urlopen(f"{peer.url}/readyz", timeout=ANSWER_S) as answer:
                return str(answer.read(), "utf-8")
        except urllib.error.HTTPError as error:
            with error:
                return str(error.read(), "utf-8")
        except OSError:
            return ""

    def assert_plays(self, peer: Daemon, path: str = SEGMENT) -> None:
        """The player gets the true bytes."""
        code, body = self.play(peer, path)
        self.assertEqual(code, 200, peer.last_words())
        self.assertTrue(body == FILM.files[path], f"{len(body)} bytes that are not the film's")

    def assert_never_false(self, peer: Daemon, path: str = SEGMENT) -> None:
        """Whatever the player gets is the beginning of the truth, or an honest error."""
        code, body = self.play(peer, path)
        if code in (0, 200):
            self.assertTrue(FILM.files[path].startswith(body), "false bytes were played")
        else:
            self.assertGreaterEqual(code, 500)

    def grows_little(self, peer: Daemon, attack: Callable[[], None]) -> None:
        """Memory stays what it was, within GROWTH_MB."""
        before = resident_mb(peer.process.pid)
        attack()
        time.sleep(0.1)
        grown = resident_mb(peer.process.pid) - before
        self.assertLess(grown, GROWTH_MB)

    def raw(self, peer: Daemon, data: bytes, patience_s: float = 5.0) -> bytes:
        """What a daemon's HTTP port answers to any bytes, until it hangs up or is silent."""
        port = int(peer.url.rpartition(":")[2])
        heard = b""
        with socket.create_connection((HOST, port), timeout=patience_s) as connection:
            connection.settimeout(0.5)
            try:
                connection.sendall(data)
                while piece := connection.recv(1 << 16):
                    heard += piece
            except OSError:
                return heard
        return heard

    def status_of(self, peer: Daemon, data: bytes) -> int:
        """The status of the answer; 0 for none."""
        words = self.raw(peer, data).split(b" ", 2)
        return int(words[1]) if len(words) > 1 else 0
