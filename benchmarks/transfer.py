"""Bytes that two peers verify and keep per CPU-second of both: ours, plain Twisted, libtorrent.

    python benchmarks/transfer.py [--megabytes 100] [--rounds 5] [--link-security off]

Ours: one peer has a film in its cache, another gets it over a link: read, framed, sent, checked
block by block, written, synced, and handed to a player that reads all of it. (Whoever asks for a
part has a part delivered: the rest is given up when less than half is here, and would be counted
without having been sent.) That every byte came over the link is looked at.

Plain Twisted: one process writes a file to a socket, another hashes each 16 KiB and writes them
down; it neither asks nor decides, and has no player. libtorrent: two sessions in one process, a
torrent of 16 KiB blocks, nothing but TCP between them, and no player either. It is installed from
PyPI into a folder of its own; where that fails a line says so and the others run alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from functools import partial
from pathlib import Path

from rivals import HOST, Process, free_port, in_turns, table, twistd

from dashp2p.testing import MemoryFilm

SEGMENT_BYTES = 2_500_000

PLAIN_SENDER = """
import sys
from twisted.internet import reactor, protocol
from twisted.protocols.basic import FileSender
class Send(protocol.Protocol):
    def connectionMade(self):
        done = FileSender().beginFileTransfer(open(sys.argv[1], "rb"), self.transport)
        done.addCallback(lambda _: self.transport.loseConnection())
factory = protocol.Factory.forProtocol(Send)
reactor.listenTCP(int(sys.argv[2]), factory, interface="127.0.0.1")
reactor.run()
"""

PLAIN_RECEIVER = """
import hashlib, os, resource, sys
from twisted.internet import reactor, protocol
class Receive(protocol.Protocol):
    def connectionMade(self):
        self.rest, self.file = b"", open(sys.argv[1], "wb")
    def dataReceived(self, data):
        self.rest += data
        while len(self.rest) >= 16384:
            block, self.rest = self.rest[:16384], self.rest[16384:]
            hashlib.sha256(block).digest()
            self.file.write(block)
    def connectionLost(self, reason):
        self.file.write(self.rest)
        self.file.flush()
        os.fsync(self.file.fileno())
        reactor.stop()
factory = protocol.ClientFactory.forProtocol(Receive)
reactor.connectTCP("127.0.0.1", int(sys.argv[2]), factory)
began = resource.getrusage(resource.RUSAGE_SELF)
reactor.run()
ended = resource.getrusage(resource.RUSAGE_SELF)
print(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
"""

LIBTORRENT = """
import os, resource, sys, time
import libtorrent as lt
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
files = lt.file_storage()
lt.add_files(files, source)
creator = lt.create_torrent(files)
lt.set_piece_hashes(creator, os.path.dirname(source))
info = lt.torrent_info(lt.bencode(creator.generate()))
settings = {"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
            "enable_incoming_utp": False, "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True}
def session(number):
    return lt.session({**settings, "listen_interfaces": f"127.0.0.1:{port + number}"})
one, other = session(0), session(1)
seed = one.add_torrent({"ti": info, "save_path": os.path.dirname(source)})
while not seed.status().is_seeding:
    time.sleep(0.05)
began = resource.getrusage(resource.RUSAGE_SELF)
leech = other.add_torrent({"ti": info, "save_path": target})
while not leech.status().is_seeding:
    leech.connect_peer(("127.0.0.1", port))
    time.sleep(0.1)
ended = resource.getrusage(resource.RUSAGE_SELF)
print(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
"""


class Film:
    """A film on disk, as one file too."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.segments = max(1, round(size_bytes / SEGMENT_BYTES))
        film = MemoryFilm.make(segments=self.segments, segment_bytes=SEGMENT_BYTES)
        self.root = folder / "film"
        self.root.mkdir()
        for path, data in film.files.items():
            (self.root / path).write_bytes(data)
        self.paths = [f"chunk_0_{number}.m4s" for number in range(1, self.segments + 1)]
        self.size_bytes = sum(len(film.files[path]) for path in self.paths)
        self.whole = folder / "whole"
        self.whole.write_bytes(b"".join(film.files[path] for path in self.paths))


class OurPeers:
    """Origin, tracker, and a peer that has the film; each round another peer gets it from that."""

    def __init__(self, folder: Path, film: Film, security: str) -> None:
        self.folder, self.film, self.security = folder, film, security
        self.origin_port, self.tracker_port = free_port(), free_port()
        self.round = 0
        self.ends: list[tuple[float, float]] = []
        """CPU-seconds a GB of the holder and of the taker, each round."""
        self.processes = [
            twistd("dashp2p-origin", *listen(self.origin_port), "--root", str(film.root)),
            twistd(
                "dashp2p-tracker",
                *listen(self.tracker_port),
                *("--ticket-key", str(folder / "ticket.key")),
            ),
        ]
        for process, port in zip(
            self.processes, (self.origin_port, self.tracker_port), strict=True
        ):
            process.wait_for(f"http://{HOST}:{port}/healthz")
        self.holder, port = self.peer("holder")
        for path in film.paths:
            read(port, path)

    def peer(self, name: str) -> tuple[Process, int]:
        """A peer with a cache of its own."""
        port = free_port()
        process = twistd(
            "dashp2p-peer",
            *listen(port),
            *("--exchange", f"tcp:0:interface={HOST}"),
            *("--origin", f"http://{HOST}:{self.origin_port}/dash"),
            *("--tracker", f"http://{HOST}:{self.tracker_port}"),
            *("--cache", str(self.folder / f"cache-{name}")),
            *("--link-security", self.security),
        )
        self.processes.append(process)
        process.wait_for(f"http://{HOST}:{port}/readyz")
        return process, port

    def transfer(self) -> float:
        """GB per CPU-second of both peers, once."""
        self.round += 1
        taker, port = self.peer(str(self.round))
        read(port, "init_0.m4s")
        time.sleep(1.5)  # they have found each other, and the index is here
        holder_s, taker_s = self.holder.cpu_s(), taker.cpu_s()
        for path in self.film.paths:
            read(port, path)
        holder_s, taker_s = self.holder.cpu_s() - holder_s, taker.cpu_s() - taker_s
        came = received_from_peers(port)
        taker.stop()
        if came < self.film.size_bytes:
            raise SystemExit(f"only {came} of {self.film.size_bytes} bytes came over the link")
        size_gb = self.film.size_bytes / 1e9
        self.ends.append((holder_s / size_gb, taker_s / size_gb))
        return size_gb / (holder_s + taker_s)

    def stop(self) -> None:
        """End all."""
        for process in self.processes:
            process.stop()


def listen(port: int) -> tuple[str, str]:
    """The option for a port of this machine alone."""
    return "--listen", f"tcp:{port}:interface={HOST}"


def read(port: int, path: str) -> None:
    """A file of the film from a peer, as a player reads it."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/dash/{path}", timeout=60) as answer:
        while answer.read(1 << 20):
            pass


def received_from_peers(port: int) -> int:
    """True bytes that a peer had from its neighbours."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/stats", timeout=60) as answer:
        return int(json.load(answer)["bytes"]["peers"])


def plain_twisted(folder: Path, film: Film) -> float:
    """GB per CPU-second of a sender and a receiver."""
    port = free_port()
    sender = Process([sys.executable, "-c", PLAIN_SENDER, str(film.whole), str(port)])
    try:
        time.sleep(1.5)
        before_s = sender.cpu_s()
        command = [sys.executable, "-c", PLAIN_RECEIVER, str(folder / "plain"), str(port)]
        cpu_s = float(subprocess.run(command, check=True, capture_output=True).stdout)
        return film.size_bytes / 1e9 / (cpu_s + sender.cpu_s() - before_s)
    finally:
        sender.stop()


def with_libtorrent(folder: Path, film: Film, python_path: Path) -> float:
    """GB per CPU-second of two sessions."""
    with tempfile.TemporaryDirectory(dir=folder) as target:
        command = [sys.executable, "-c", LIBTORRENT, str(film.whole), target, str(free_port())]
        environment = {"PYTHONPATH": str(python_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, check=True, capture_output=True, env=environment)
        return film.size_bytes / 1e9 / float(done.stdout)


def install_libtorrent(folder: Path) -> Path | None:
    """The folder that has it; None where it can't be had."""
    where = folder / "libtorrent"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(where)]
    if subprocess.run([*command, "libtorrent"], capture_output=True).returncode:
        print("libtorrent can't be installed here (no wheel, or no network): it is left out")
        return None
    return where


def main() -> None:
    """Read the options, run all in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--link-security", choices=("tls", "off"), default="off")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = Film(folder, options.megabytes * 1_000_000)
        libtorrent = install_libtorrent(folder)
        ours = OurPeers(folder, film, options.link_security)
        works = {
            f"dashp2p, link security {options.link_security}": ours.transfer,
            "plain Twisted": partial(plain_twisted, folder, film),
        }
        if libtorrent is not None:
            works["libtorrent"] = partial(with_libtorrent, folder, film, libtorrent)
        try:
            figures = in_turns(options.rounds, works)
        finally:
            ours.stop()
    print(f"{film.segments} segments, {film.size_bytes / 1e6:.0f} MB a round, CPU of both ends")
    for line in table(figures, "GB per CPU-s", "libtorrent"):
        print(line)
    holder_s, taker_s = map(statistics.median, zip(*ours.ends, strict=True))
    print(f"of ours the holder takes {holder_s:.1f} CPU-s a GB, the taker {taker_s:.1f}")


if __name__ == "__main__":
    main()
