"""Announces and leases that a tracker serves per CPU-second, with many live peers in its state.

    python benchmarks/tracker_announce.py [--peers 10000] [--calls 5000] [--rounds 5]

Ours is the real daemon, its limits on; announces are signed, and leases carry the ticket, as
peers' do. To see what that costs it is also called without: each announce without its ticket, so
that each signature is checked; and a second daemon by peers that have no keys. Beside it, in turns:
bittorrent-tracker from npm, fetched into a folder of its own (left out, with a line, where that
fails), and a plain twisted.web Resource that does the least. All of them answer with 30 peers, and
what they answer is looked at.

They are spoken to over loopback on 32 kept connections, one call on each at a time. CPU time is
the tracker's own, user and system, as the kernel counts it. Trust ratios, not digits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from calls import Call, Server, Told, post, served
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rivals import HOST, free_port, in_turns, table, twistd
from tracker_rivals import BITTORRENT_TRACKER, BittorrentTracker, bittorrent_counts, plain_resource

from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.content.tickets import sign_announce

WANTED = 30
SWARM = hashlib.sha256(b"swarm").hexdigest()
STATS = {f"{name}_bytes": 123_456_789 for name in ("cache", "peers", "origin", "uploaded")}


class OurCrowd:
    """The calls of our peers, to any server that understands them."""

    def __init__(self, keys: list[Ed25519PrivateKey], port: int, signed: bool) -> None:
        self.keys = keys
        self.port = port
        self.signed = signed
        self.public = [public_bytes(key) for key in keys]
        self.peers = [peer_id(key).hex() for key in self.public]
        self.tickets: dict[int, str] = {}
        self.times_ms = count(1)

    def announce(self, number: int, event: str = "update", *, shows_ticket: bool = True) -> bytes:
        """A peer is still here."""
        fields: dict[str, Any] = {
            "v": 1,
            "swarm": SWARM,
            "peer": self.peers[number],
            "port": 1024 + number,
            "private": [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:4001"],
            "event": event,
            "wanted": WANTED,
            "upload_bps": 20_000_000,
            "have": 12,
            "stats": STATS,
        }
        if not self.signed:
            return post(self.port, "/announce", as_json(fields))
        fields |= {"ticket_key": self.public[number].hex(), "signed_ms": next(self.times_ms)}
        if shows_ticket and number in self.tickets:
            fields["ticket"] = self.tickets[number]
        body = as_json(fields)
        signature = f"Dashp2p-Signature: {sign_announce(self.keys[number], body)}\r\n"
        return post(self.port, "/announce", body, signature)

    def started(self, number: int) -> bytes:
        """A peer's first announce."""
        return self.announce(number, "started")

    def unproven(self, number: int) -> bytes:
        """An announce without the ticket that would spare checking its signature."""
        return self.announce(number, shows_ticket=False)

    def lease(self, number: int) -> bytes:
        """A peer wants a segment, and tells that it holds the one before."""
        segment = number // 10
        want = {
            "segment": segment,
            "blocks": 153,
            "size_bytes": 2_500_000,
            "media_bps": 5_000_000,
            "hedge": False,
        }
        fields = {
            "v": 1,
            "swarm": SWARM,
            "peer": self.peers[number],
            "want": [want],
            "done": [{"segment": max(0, segment - 1), "epoch": 0}],
            "ticket": self.tickets[number],
        }
        return post(self.port, "/lease", as_json(fields))

    def keep_ticket(self, number: int, answer: bytes) -> None:
        """Of the answer to an announce."""
        self.tickets[number] = json.loads(answer)["ticket"]


def as_json(fields: dict[str, Any]) -> bytes:
    """As peers write it."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def json_counts(answer: bytes) -> tuple[int, int]:
    """Peers in the swarm, and peers told, by an answer in JSON."""
    fields = json.loads(answer)
    return fields["swarm_peers"], len(fields["peers"])


def leased(number: int, answer: bytes) -> None:
    """One want, one answer."""
    if len(json.loads(answer)["leases"]) != 1:
        raise SystemExit(f"a want was not answered: {answer.decode()}")


def full(counts: Callable[[bytes], tuple[int, int]], peers: int) -> Told:
    """All peers are in its state, and of those as many were told as were wanted."""

    def look(number: int, answer: bytes) -> None:
        if counts(answer) != (peers, min(WANTED, peers)):
            raise SystemExit(f"(peers in state, peers told): {counts(answer)} of {peers}")

    return look


def our_tracker(folder: Path, peers: int) -> Server:
    """The daemon with room for so many peers."""
    port = free_port()
    process = twistd(
        "dashp2p-tracker",
        *("--listen", f"tcp:{port}:interface={HOST}"),
        *("--peers-per-swarm", str(peers), "--max-peers", str(max(peers, 1000))),
        *("--ticket-key", str(folder / "ticket.key")),
    )
    process.wait_for(f"http://{HOST}:{port}/healthz")
    return Server(process, port)


class Benchmark:
    """Servers, the calls that fill them, and the calls that are measured in turns."""

    def __init__(self, peers: int, calls: int) -> None:
        self.peers = peers
        self.calls = calls
        self.servers: dict[str, Server] = {}
        self.fillings: dict[str, Callable[[], float]] = {}
        self.works: dict[str, Callable[[], float]] = {}

    def fill(self, name: str, server: Server, started: Call, told: Told) -> None:
        """Bring every peer into the server's state, once."""
        self.servers[name] = server
        self.fillings[name] = lambda: served(server, range(self.peers), started, told)

    def add(self, name: str, server: Server, call: Call, told: Told) -> None:
        """Measure these calls, which go on through the peers from round to round."""
        rounds = count()

        def work() -> float:
            begin = next(rounds) * self.calls
            numbers = range(begin, begin + self.calls)
            return served(
                server,
                numbers,
                lambda number: call(number % self.peers),
                lambda number, answer: told(number % self.peers, answer),
            )

        self.works[name] = work


def run(folder: Path, options: argparse.Namespace, benchmark: Benchmark) -> None:
    """Start all, fill all, measure in turns."""
    keys = [
        Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"peer %d" % number).digest())
        for number in range(options.peers)
    ]
    told = full(json_counts, options.peers)
    ours = our_tracker(folder, options.peers)
    crowd = OurCrowd(keys, ours.port, signed=True)
    benchmark.fill("dashp2p", ours, crowd.started, crowd.keep_ticket)
    benchmark.add("dashp2p", ours, crowd.announce, told)
    benchmark.add("dashp2p, signatures checked", ours, crowd.unproven, told)
    benchmark.add("dashp2p, leases", ours, crowd.lease, leased)

    keyless = our_tracker(folder, options.peers)
    strangers = OurCrowd(keys, keyless.port, signed=False)
    benchmark.fill("dashp2p, unsigned", keyless, strangers.started, ignored)
    benchmark.add("dashp2p, unsigned", keyless, strangers.announce, told)

    plain = plain_resource()
    clients = OurCrowd(keys, plain.port, signed=False)
    benchmark.fill("plain Resource", plain, clients.started, ignored)
    benchmark.add("plain Resource", plain, clients.announce, told)

    bittorrent = BittorrentTracker.start(folder, options.peers)
    if bittorrent is not None:
        name = BITTORRENT_TRACKER
        benchmark.fill(name, bittorrent.server, bittorrent.started, ignored)
        looked = full(bittorrent_counts, options.peers)
        benchmark.add(name, bittorrent.server, bittorrent.announce, looked)

    report("first announces", in_turns(1, benchmark.fillings))
    report("announces and leases", in_turns(options.rounds, benchmark.works))
    for name, server in benchmark.servers.items():
        print(f"{name:34} {server.process.resident_mb():9.0f} MB resident")


def ignored(number: int, answer: bytes) -> None:
    """While the swarm fills, answers tell of as many as there are by then."""


def report(what: str, figures: dict[str, list[float]]) -> None:
    """A table with its head."""
    print(what)
    for line in table(figures, "per CPU-s", "plain Resource", digits=0):
        print(line)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not 1 <= options.peers <= 60_000:
        parser.error("--peers: 1 to 60000, for each has a port of its own")
    benchmark = Benchmark(options.peers, options.calls)
    with tempfile.TemporaryDirectory() as name:
        try:
            run(Path(name), options, benchmark)
        finally:
            for server in benchmark.servers.values():
                server.process.stop()


if __name__ == "__main__":
    main()
