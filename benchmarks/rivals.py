"""What the benchmarks share: CPU time of processes, rounds with medians and spread, the film."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Process:
    """A program of its own; its CPU time, user and system, as the kernel counts it.

    With the time of its threads and, given `children`, of those processes too.
    """

    def __init__(self, command: list[str], *, env: dict[str, str] | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self.popen = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        self.name = command[0]

    def cpu_s(self) -> float:
        """So far, of the process and its children: nginx works in one."""
        return sum(map(_cpu_s, [self.popen.pid, *_children(self.popen.pid)]))

    def resident_mb(self) -> float:
        """Its memory now."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> None:
        """Ask it to end, and make it end."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def wait_for(self, url: str, patience_s: float = 30.0) -> None:
        """Return when it answers there; SystemExit when it ends or stays silent."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if self.popen.poll() is not None:
                raise SystemExit(f"{self.name} ended before it answered at {url}")
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        self.stop()
        raise SystemExit(f"{self.name} does not answer at {url}")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def twistd(daemon: str, *arguments: str) -> Process:
    """One of our daemons."""
    program = str(Path(sys.executable).parent / "twistd")
    return Process([program, "-n", "--pidfile=", daemon, *arguments])


def in_turns(rounds: int, works: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each work once a round, so that what else the machine does falls upon all alike."""
    figures: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            figures[name].append(work())
    return figures


def table(figures: dict[str, list[float]], unit: str, rival: str, digits: int = 2) -> Iterable[str]:
    """A line each: median, spread, and the ratio to the rival's median where there is one."""
    base = statistics.median(figures[rival]) if rival in figures else None
    for name, values in figures.items():
        median = statistics.median(values)
        ratio = "" if base is None or name == rival else f"   {median / base:4.2f} x {rival}"
        yield (
            f"{name:34} {median:9.{digits}f} {unit}   "
            f"({min(values):.{digits}f} to {max(values):.{digits}f}, {len(values)} rounds){ratio}"
        )
