"""A real peer, killed with SIGKILL again and again while it fills its cache: what is left of it.

Each round starts the daemon on the same folder, waits until it is ready, asks for a few segments
that an earlier round left and for many new ones, and kills it at a random moment. Every byte that
it serves is compared, and after each kill every file of the cache is hashed.
"""

from __future__ import annotations

import http.client
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from attrs import define, field, frozen

from dashp2p.content.blocks import digest_of, hash_blocks
from dashp2p.content.entry import Kind
from dashp2p.lab.processes import python_environment
from dashp2p.peer.fakefilm import MemoryFilm
from dashp2p.peer.service import SEGMENTS_FOLDER

TWISTD = "from twisted.scripts.twistd import run; run()"
HOST = "127.0.0.1"
READY_S = 60.0
LONGEST_S = 1.0
"""A kill comes at any moment of the first so many seconds of filling."""
PLAYERS = 3
AGAIN = 3
"""Segments of earlier rounds that are asked for in each round."""
SEGMENTS = 1500
SEGMENT_BYTES = 65_000


class CrashTestFailed(Exception):  # it says what happened
    """A daemon did not start, or ended by itself."""


@frozen
class Round:
    """One kill. `delivered` counts the segments that players had whole by then, since the cache was
    last empty; `kept` those of them that were whole on the disk afterwards."""

    ready_s: float
    delivered: int
    kept: int
    torn: int
    """Files under a segment's name with other bytes: there may be none."""
    leftovers: int
    """Temporary files, which the next start removes."""


@define
class Tally:
    """All rounds, and what was ever wrong."""

    rounds: list[Round] = field(factory=list)
    served: int = 0
    different: int = 0
    """Responses that were whole and not what the origin published."""

    @property
    def kept_share(self) -> float:
        """Of the segments that players had whole, how many survived; over all kills."""
        delivered = sum(each.delivered for each in self.rounds)
        return sum(each.kept for each in self.rounds) / delivered if delivered else 1.0

    @property
    def most_lost(self) -> int:
        """Segments that one kill took at most."""
        return max((each.delivered - each.kept for each in self.rounds), default=0)

    @property
    def good(self) -> bool:
        """Whether nothing wrong was served or left under a segment's name."""
        return not self.different and not any(each.torn for each in self.rounds)

    def lines(self) -> list[str]:
        """For a terminal."""
        ready = sorted(each.ready_s for each in self.rounds)
        late = ready[min(len(ready) - 1, int(0.95 * len(ready)))]
        lost = [each.delivered - each.kept for each in self.rounds]
        return [
            f"{len(self.rounds)} kills; {self.served} segments served, {self.different} of them "
            "with other bytes than the origin's",
            f"started to ready: median {median(ready):.2f} s, 95 % within {late:.2f} s, "
            f"at most {ready[-1]:.2f} s",
            f"kept of what players had whole: {self.kept_share:.2%}; a kill took "
            f"{sum(lost) / len(lost):.2f} segments on average, {self.most_lost} at most",
            f"torn files: {sum(each.torn for each in self.rounds)}; temporary files left for the "
            f"next start to remove: {sum(each.leftovers for each in self.rounds)}",
        ]


def run(times: int, seed: int, tell: Callable[[Round], None] = lambda _: None) -> Tally:
    """Kill a peer so many times. Raises CrashTestFailed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dashp2p-crashes-")))
        bench = _Bench(folder, stack, random.Random(seed))
        for _ in range(times):
            bench.tally.rounds.append(bench.round())
            tell(bench.tally.rounds[-1])
        return bench.tally


class _Bench:
    def __init__(self, folder: Path, stack: ExitStack, rng: random.Random) -> None:
        self.tally = Tally()
        self._folder = folder
        self._stack = stack
        self._rng = rng
        self._film = MemoryFilm.make(segments=SEGMENTS, segment_bytes=SEGMENT_BYTES)
        media = [entry for entry in self._film.index.entries if entry.kind is Kind.MEDIA]
        self._by_digest = {entry.digest: entry.path for entry in media}
        self._paths = [entry.path for entry in media]
        self._delivered: set[str] = set()
        self._cache = folder / "cache"
        root = folder / "film"
        root.mkdir()
        for name, data in self._film.files.items():
            (root / name).write_bytes(data)
        self._origin = _free_port()
        self._start("dashp2p-origin", self._origin, "--root", str(root))
        _wait_ready(self._origin)

    def _start(self, plugin: str, port: int, *options: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._folder / f"{plugin}.log").open("ab"))
        listen = ("--listen", f"tcp:{port}:interface={HOST}")
        process = subprocess.Popen(
            [sys.executable, "-c", TWISTD, "-n", "--pidfile=", plugin, *listen, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=python_environment(),
        )
        self._stack.callback(_end, process)
        return process

    def round(self) -> Round:
        """Start, fill, kill, and look at what is left."""
        fresh = [path for path in self._paths if path not in self._delivered]
        if len(fresh) < len(self._paths) // 10:
            shutil.rmtree(self._cache)
            self._delivered.clear()
            fresh = list(self._paths)
        port = _free_port()
        began_at = time.monotonic()
        origin = f"http://{HOST}:{self._origin}/dash"
        process = self._start(
            *("dashp2p-peer", port, "--mode", "off", "--origin", origin),
            *("--cache", str(self._cache)),
        )
        _wait_ready(port, process)
        ready_s = time.monotonic() - began_at
        again = self._rng.sample(sorted(self._delivered), min(AGAIN, len(self._delivered)))
        self._fill(process, port, [*again, *fresh])
        return self._look(ready_s)

    def _fill(self, process: subprocess.Popen[bytes], port: int, paths: Sequence[str]) -> None:
        players = [
            threading.Thread(target=self._play, args=(port, paths[number::PLAYERS]))
            for number in range(PLAYERS)
        ]
        for player in players:
            player.start()
        time.sleep(self._rng.uniform(0.0, LONGEST_S))  # any moment will do: that is the test
        process.send_signal(signal.SIGKILL)
        process.wait()
        for player in players:
            player.join()

    def _play(self, port: int, paths: Sequence[str]) -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=READY_S)
        try:
            for path in paths:
                connection.request("GET", f"/dash/{path}")
                body = connection.getresponse().read()
                self.tally.served += 1
                self.tally.different += body != self._film.files[path]
                self._delivered.add(path)
        except (OSError, http.client.HTTPException):
            return  # it is dead, as it should be
        finally:
            connection.close()

    def _look(self, ready_s: float) -> Round:
        kept: set[str] = set()
        torn = leftovers = 0
        for file in (self._cache / SEGMENTS_FOLDER).iterdir():
            if file.suffix == ".part":
                leftovers += 1
            elif len(file.name) == 64:
                block_size = self._film.index.block_size_bytes
                found = digest_of(hash_blocks(file.read_bytes(), block_size))
                torn += found.hex() != file.name
                kept.add(self._by_digest.get(found, ""))
        delivered = len(self._delivered)
        self._delivered &= kept
        return Round(ready_s, delivered, len(self._delivered), torn, leftovers)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_ready(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise CrashTestFailed(f"a daemon ended with {process.returncode}")
        connection = http.client.HTTPConnection(HOST, port, timeout=READY_S)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(0.02)
    raise CrashTestFailed(f"a daemon was not ready within {READY_S:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
