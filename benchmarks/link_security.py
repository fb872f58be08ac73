"""What TLS on links costs: bytes per CPU-second between two peers, with it and without.

    python benchmarks/link_security.py [--rounds 5] [--megabytes 96]

Real daemons on this machine: one peer holds a film of random bytes, another that has nothing plays
it, so that each byte crosses the link, is hashed and compared, kept, and handed to a player. Both
kinds of link take turns, a new receiver each time; figures are medians of the processes' own CPU
time, system calls included. Below the table: what opening a link and checking a ticket cost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL
from twisted.internet.task import Clock

from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.content.tickets import read_ticket, sign_ticket
from dashp2p.peer.link_tls import LinkTls
from dashp2p.testing import MemoryFilm

HOST = "127.0.0.1"
SEGMENT_BYTES = 2_000_000
PLAYERS = 3
PATIENCE_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
KINDS = ("off", "tls")


@frozen
class Cost:
    """One transfer: what came from the other peer, and the CPU time of both processes."""

    bytes: int
    sender_s: float
    receiver_s: float


@frozen
class Daemon:
    """A running daemon and where it answers."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def cpu_s(self) -> float:
        """CPU time so far, as Linux counts it (proc(5), stat)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/stats", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


class Stage:
    """Daemons in a folder of their own, which end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[Daemon] = []

    def start(self, plugin: str, *arguments: str) -> Daemon:
        """A daemon, waited for until it is ready."""
        port = free_port()
        listen = ["--listen", f"tcp:{port}:interface={HOST}"]
        command = [sys.executable, "-m", "dashp2p.lab.daemon", "-n", "--pidfile=", plugin]
        with (self.folder / f"{plugin}-{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *listen, *arguments], stdout=log, stderr=log, cwd=self.folder
            )
        daemon = Daemon(process, f"http://{HOST}:{port}")
        self.running.append(daemon)
        until(f"{plugin} is ready", lambda: answers(f"{daemon.url}/readyz"))
        return daemon

    def peer(self, origin: Daemon, tracker: Daemon, kind: str) -> Daemon:
        cache = tempfile.mkdtemp(prefix="cache-", dir=self.folder)
        return self.start(
            "dashp2p-peer",
            *("--exchange", f"tcp:0:interface={HOST}", "--link-security", kind),
            *("--origin", f"{origin.url}/dash", "--tracker", tracker.url),
            *("--cache", cache, "--cache-size", "1GiB"),
        )

    def end(self, daemon: Daemon) -> None:
        daemon.process.terminate()
        daemon.process.wait()
        self.running.remove(daemon)

    def close(self) -> None:
        for daemon in list(self.running):
            self.end(daemon)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait. Ends the program when it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.05)


def play(peer: Daemon, paths: list[str]) -> None:
    """All files, by a few players at a time."""

    def get(path: str) -> None:
        with urllib.request.urlopen(f"{peer.url}/dash/{path}", timeout=PATIENCE_S) as answer:
            while answer.read(1 << 20):
                pass

    with ThreadPoolExecutor(PLAYERS) as players:
        list(players.map(get, paths))


def transfer(stage: Stage, origin: Daemon, tracker: Daemon, sender: Daemon, kind: str) -> Cost:
    """A new peer plays the film that the sender has."""
    paths = media(FILM)
    receiver = stage.peer(origin, tracker, kind)
    until("the two have met", lambda: receiver.stats()["neighbours"])
    sender_s, receiver_s = sender.cpu_s, receiver.cpu_s
    play(receiver, paths)
    cost = Cost(
        bytes=receiver.stats()["bytes"]["peers"],
        sender_s=sender.cpu_s - sender_s,
        receiver_s=receiver.cpu_s - receiver_s,
    )
    stage.end(receiver)
    return cost


def media(film: MemoryFilm) -> list[str]:
    return [name for name in film.files if name.startswith("chunk_")]


@contextlib.contextmanager
def a_stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="dashp2p-benchmark-") as folder:
        stage = Stage(Path(folder))
        try:
            yield stage
        finally:
            stage.close()


def transfers(rounds: int) -> dict[str, list[Cost]]:
    """Both kinds in turn."""
    costs: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
    with a_stage() as stage:
        root = stage.folder / "film"
        root.mkdir()
        for name, data in FILM.files.items():
            (root / name).write_bytes(data)
        origin = stage.start("dashp2p-origin", "--root", str(root))
        key = str(stage.folder / "ticket.key")
        pairs = {}
        for kind in KINDS:
            tracker = stage.start("dashp2p-tracker", "--ticket-key", key)
            sender = stage.peer(origin, tracker, kind)
            play(sender, media(FILM))
            pairs[kind] = tracker, sender
        for _ in range(rounds):
            for kind in KINDS:
                tracker, sender = pairs[kind]
                costs[kind].append(transfer(stage, origin, tracker, sender, kind))
    return costs


def handshake_s(times: int = 200) -> float:
    """CPU seconds of one TLS handshake, both ends together, without any socket."""
    keys = [Ed25519PrivateKey.generate() for _ in range(2)]
    here, there = (LinkTls(key, Clock()) for key in keys)
    began_s = time.process_time()
    for _ in range(times):
        # The protocol is of interest to Twisted's own makers of connections; ours does not look.
        client = here.clientConnectionForTLS(None)  # type: ignore[arg-type]
        server = there.serverConnectionForTLS(None)  # type: ignore[arg-type]
        client.set_connect_state()
        server.set_accept_state()
        for one, other in ((client, server), (server, client), (client, server)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            other.bio_write(one.bio_read(1 << 16))
        server.do_handshake()
    return (time.process_time() - began_s) / times


def ticket_s(times: int = 500) -> tuple[float, float]:
    """CPU seconds to issue a ticket, and to check one."""
    key = Ed25519PrivateKey.generate()
    public = public_bytes(key)
    began_s = time.process_time()
    for _ in range(times):
        ticket = sign_ticket(key, bytes(32), peer_id(public), 0.0)
    signed_s = time.process_time()
    for _ in range(times):
        read_ticket(ticket, public).check(bytes(32), peer_id(public), 0.0)
    return (signed_s - began_s) / times, (time.process_time() - signed_s) / times


def report(costs: dict[str, list[Cost]]) -> None:
    print("         MB per CPU-second      CPU-seconds per GB")
    print("links    sender    receiver     sender    receiver")
    for kind, found in costs.items():
        sent = median(cost.sender_s / cost.bytes for cost in found)
        received = median(cost.receiver_s / cost.bytes for cost in found)
        print(
            f"{kind:6}{1e-6 / sent:9.0f}{1e-6 / received:12.0f}"
            f"{1e9 * sent:11.2f}{1e9 * received:12.2f}"
        )
    share = min(cost.bytes for found in costs.values() for cost in found) / film_bytes()
    print(f"at least {share:.1%} of the film crossed the link; {len(costs['off'])} rounds of each")


def film_bytes() -> int:
    return sum(len(FILM.files[path]) for path in media(FILM))


def main() -> None:
    report(transfers(ARGUMENTS.rounds))
    issue_s, check_s = ticket_s()
    print(f"a handshake, both ends: {handshake_s() * 1e3:.1f} ms of CPU time")
    print(f"a ticket: {issue_s * 1e6:.0f} us to issue, {check_s * 1e6:.0f} us to check")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=96, help="size of the film")
    ARGUMENTS = parser.parse_args()
    FILM = MemoryFilm.make(
        segments=max(1, ARGUMENTS.megabytes * 1_000_000 // SEGMENT_BYTES),
        segment_bytes=SEGMENT_BYTES,
    )
    main()
