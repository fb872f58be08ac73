"""CPU time of a peer whose viewer watches at 5 Mbit/s, in a crowd on this machine.

    python benchmarks/peer_cpu.py [--peers 10] [--seconds 40] [--profile FILE]

Starts origin, tracker and peers as processes of their own. At each peer a viewer, in this process,
asks for a segment of 2.5 MB every 4 s, with CMCD as players send it, all within the first second of
each 4. What is measured begins with the third segment. A percentage is of one core, by the kernel's
count of user and system time. With --profile the first peer runs under cProfile, which makes it
slower, and writes what it found there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from rivals import HOST, Process, free_port, twistd

from dashp2p.testing import MemoryFilm

SEGMENT_S = 4.0
SEGMENT_BYTES = 2_500_000
WARM_SEGMENTS = 2

PROFILED = """
import atexit, cProfile, sys
from twisted.scripts.twistd import run
profile = cProfile.Profile()
atexit.register(lambda: (profile.disable(), profile.dump_stats({file!r})))
sys.argv = ["twistd", *sys.argv[1:]]
profile.enable()
run()
"""


class Viewer(threading.Thread):
    """Watches at the pace of the film."""

    def __init__(self, number: int, port: int, segments: int, began_s: float) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.port = port
        self.segments = segments
        self.began_s = began_s
        self.late = 0

    def run(self) -> None:
        """All segments, one every 4 s."""
        for number in range(self.segments):
            wait_s = self.began_s + number * SEGMENT_S + (self.number % 10) / 10 - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            cmcd = (
                f'bl=8000,dl=8000,sid="{self.number}",ot=v,br=5000,nor="chunk_0_{number + 2}.m4s"'
            )
            request = urllib.request.Request(
                f"http://{HOST}:{self.port}/dash/chunk_0_{number + 1}.m4s",
                headers={"CMCD-Request": cmcd},
            )
            asked_s = time.monotonic()
            with urllib.request.urlopen(request, timeout=30) as answer:
                while answer.read(1 << 18):
                    pass
            self.late += time.monotonic() - asked_s > SEGMENT_S


def main() -> None:
    """Read the options, run the crowd, print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--profile")
    parser.add_argument("--link-security", choices=("tls", "off"), default="tls")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), options)


def run(folder: Path, options: argparse.Namespace) -> None:
    """One crowd."""
    segments = round(options.seconds / SEGMENT_S) + WARM_SEGMENTS
    film = MemoryFilm.make(segments=segments + 1, segment_bytes=SEGMENT_BYTES)
    root = folder / "film"
    root.mkdir()
    for path, data in film.files.items():
        (root / path).write_bytes(data)
    ports = [free_port() for _ in range(options.peers + 2)]
    processes: list[Process] = []
    try:
        origin, tracker = start_servers(folder, ports, processes)
        for process, port in ((origin, ports[0]), (tracker, ports[1])):
            process.wait_for(f"http://{HOST}:{port}/healthz")
        for number, port in enumerate(ports[2:]):
            processes.append(start_peer(folder, number, port, ports, options))
        for process, port in zip(processes[2:], ports[2:], strict=True):
            process.wait_for(f"http://{HOST}:{port}/readyz")
        report(processes, ports, segments)
    finally:
        for process in processes:
            process.stop()


def start_servers(folder: Path, ports: list[int], processes: list[Process]) -> list[Process]:
    """Origin and tracker."""
    for daemon, port, more in (
        ("dashp2p-origin", ports[0], ("--root", str(folder / "film"))),
        ("dashp2p-tracker", ports[1], ("--ticket-key", str(folder / "ticket.key"))),
    ):
        processes.append(twistd(daemon, "--listen", f"tcp:{port}:interface={HOST}", *more))
    return processes


def start_peer(
    folder: Path, number: int, port: int, ports: list[int], options: argparse.Namespace
) -> Process:
    """One peer, the first perhaps under cProfile."""
    arguments = [
        *("--listen", f"tcp:{port}:interface={HOST}"),
        *("--exchange", f"tcp:0:interface={HOST}"),
        *("--origin", f"http://{HOST}:{ports[0]}/dash"),
        *("--tracker", f"http://{HOST}:{ports[1]}"),
        *("--cache", str(folder / f"cache-{number}")),
        *("--link-security", options.link_security),
    ]
    if number or not options.profile:
        return twistd("dashp2p-peer", *arguments)
    code = PROFILED.format(file=str(Path(options.profile).absolute()))
    return Process([sys.executable, "-c", code, "-n", "--pidfile=", "dashp2p-peer", *arguments])


def report(processes: list[Process], ports: list[int], segments: int) -> None:
    """Let the viewers watch, and print the share of a core of each daemon."""
    began_s = time.monotonic() + 1.0
    viewers = [Viewer(number, port, segments, began_s) for number, port in enumerate(ports[2:])]
    for viewer in viewers:
        viewer.start()
    time.sleep(max(0.0, began_s + WARM_SEGMENTS * SEGMENT_S - 0.5 - time.monotonic()))
    before, since_s = [process.cpu_s() for process in processes], time.monotonic()
    for viewer in viewers:
        viewer.join()
    time.sleep(max(0.0, began_s + segments * SEGMENT_S - 0.5 - time.monotonic()))
    span_s = time.monotonic() - since_s
    shares = [
        100 * (process.cpu_s() - cpu_s) / span_s
        for process, cpu_s in zip(processes, before, strict=True)
    ]
    figures = [stats(port)["bytes"] for port in ports[2:]]
    print(f"origin {shares[0]:.1f} %, tracker {shares[1]:.1f} % of a core")
    peers = sorted(shares[2:])
    print(
        f"{len(peers)} peers: median {statistics.median(peers):.1f} % of a core "
        f"({peers[0]:.1f} to {peers[-1]:.1f}), over {span_s:.0f} s"
    )
    origin = sum(each["origin"] for each in figures)
    peered = sum(each["peers"] for each in figures)
    print(
        f"copies {origin / (segments * SEGMENT_BYTES):.2f}; "
        f"{peered / 1e6:.0f} MB between peers; {sum(viewer.late for viewer in viewers)} late"
    )


def stats(port: int) -> dict[str, dict[str, int]]:
    """A peer's own figures."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/stats", timeout=10) as answer:
        found: dict[str, dict[str, int]] = json.load(answer)
        return found


if __name__ == "__main__":
    main()
