"""Announces and leases that the tracker serves per CPU-second, with many live peers in state.

    python benchmarks/tracker_announce.py [--peers 10000] [--announces 20000] [--unsigned]

Starts the real daemon, its limits on, and speaks HTTP to it over loopback on 32 kept connections,
one call on each at a time. CPU time is the daemon's own, user and system, as the kernel counts it,
so that neither this client nor an idle moment adds to it. Announces are signed and leases carry
the ticket, as peers' do; --unsigned leaves both out, to see what they cost. Each round prints one
line; trust ratios of one run beside another on the same machine, not digits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.content.tickets import sign_announce

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def identity(kind: str, number: int) -> str:
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()


CONNECTIONS = 32

Call = tuple[str, dict[str, Any], Ed25519PrivateKey | None]


class Connection:
    """One kept connection; one call at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = port

    def send(self, path: str, fields: dict[str, Any], key: Ed25519PrivateKey | None) -> None:
        body = json.dumps(fields, separators=(",", ":")).encode()
        signature = "" if key is None else f"Dashp2p-Signature: {sign_announce(key, body)}\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{signature}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)

    def answer(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        headers, _, rest = data.partition(b"\r\n\r\n")
        length = int(headers.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(rest) < length:
            rest += self._more()
        if not headers.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{headers.splitlines()[0].decode()} {rest.decode()}")
        return rest

    def _more(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise SystemExit("the tracker closed the connection")
        return data


class Daemon:
    """The tracker as a process of its own."""

    def __init__(self, peers: int, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [
            str(Path(sys.executable).parent / "twistd"),
            "-n",
            "--pidfile=",
            "dashp2p-tracker",
            "--listen",
            f"tcp:{self.port}:interface=127.0.0.1",
            "--peers-per-swarm",
            str(peers),
            "--max-peers",
            str(max(peers, 1000)),
            "--ticket-key",
            str(folder / "ticket.key"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, cwd="/"
        )

    def connect(self) -> Connection:
        for _ in range(200):
            try:
                return Connection(self.port)
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    raise SystemExit("the tracker did not start") from None
                time.sleep(0.05)
        raise SystemExit("the tracker does not listen")

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def measured(
    daemon: Daemon,
    connections: list[Connection],
    what: str,
    calls: int,
    call: Callable[[int], Call],
    told: Callable[[int, bytes], None] = lambda number, answer: None,
) -> None:
    cpu_s = daemon.cpu_s()
    for first in range(0, calls, len(connections)):
        used = connections[: calls - first]
        for number, connection in enumerate(used, first):
            connection.send(*call(number))
        for number, connection in enumerate(used, first):
            told(number, connection.answer())
    cpu_s = daemon.cpu_s() - cpu_s
    print(
        f"{what:28} {calls:7} calls {cpu_s:7.2f} CPU-s {calls / cpu_s:7.0f} per CPU-s "
        f"{daemon.resident_mb():5.0f} MB resident"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--swarms", type=int, default=1)
    parser.add_argument("--announces", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--unsigned", action="store_true")
    options = parser.parse_args()
    peers = [
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(identity("peer", number)))
        for number in range(options.peers)
    ]
    swarms = [identity("swarm", number) for number in range(options.swarms)]
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(options.peers, Path(folder))
        try:
            run(daemon, options, peers, swarms)
        finally:
            daemon.stop()


def run(
    daemon: Daemon,
    options: argparse.Namespace,
    keys: list[Ed25519PrivateKey],
    swarms: list[str],
) -> None:
    signed = not options.unsigned
    public = [public_bytes(key) for key in keys]
    peers = [peer_id(key).hex() for key in public]
    tickets: dict[int, str] = {}
    times_ms = count(1)
    connections = [daemon.connect() for _ in range(CONNECTIONS)]
    stats = {f"{name}_bytes": 123_456_789 for name in ("cache", "peers", "origin", "uploaded")}

    def announce(number: int, event: str = "update") -> Call:
        number %= len(peers)
        proof = {"ticket_key": public[number].hex(), "signed_ms": next(times_ms)} if signed else {}
        if number in tickets:
            proof["ticket"] = tickets[number]
        return (
            "/announce",
            {
                "v": 1,
                "swarm": swarms[number % len(swarms)],
                "peer": peers[number],
                "port": 1024 + number % 60_000,
                "private": [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:4001"],
                "event": event,
                "wanted": 30,
                "upload_bps": 20_000_000,
                "have": 12,
                "stats": stats,
                **proof,
            },
            keys[number] if signed else None,
        )

    def first(number: int) -> Call:
        return announce(number, "started")

    def lease(number: int) -> Call:
        """A peer wants a segment, and tells that it holds the one before."""
        number %= len(peers)
        segment = number // 10 % 60_000
        return (
            "/lease",
            {
                "v": 1,
                "swarm": swarms[number % len(swarms)],
                "peer": peers[number],
                "want": [
                    {
                        "segment": segment,
                        "blocks": 153,
                        "size_bytes": 2_500_000,
                        "media_bps": 5_000_000,
                        "hedge": False,
                    }
                ],
                "done": [{"segment": max(0, segment - 1), "epoch": 0}],
                **({"ticket": tickets[number]} if signed else {}),
            },
            None,
        )

    def keep_ticket(number: int, answer: bytes) -> None:
        tickets[number] = json.loads(answer)["ticket"]

    measured(daemon, connections, "first announces", len(peers), first, keep_ticket)
    for _ in range(options.rounds):
        measured(daemon, connections, "announces", options.announces, announce)
        measured(daemon, connections, "leases: one want, one done", options.announces, lease)


if __name__ == "__main__":
    main()
