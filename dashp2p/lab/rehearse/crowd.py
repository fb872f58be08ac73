"""A rehearsal's programs: real peers, each with a silent viewer, in temporary folders."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

from attrs import define, field

from dashp2p.content.interrupts import uninterrupted
from dashp2p.lab import demo_summary, summary
from dashp2p.lab.demo_crowd import answers
from dashp2p.lab.netns import LabUnavailableError
from dashp2p.lab.processes import Program, Programs
from dashp2p.lab.rehearse.options import Plan
from dashp2p.lab.stage import free_ports

READY_S = 60.0
MEET_S = 20.0
"""How long peers may take to get the index from the origin."""

POLL_S = 0.2
VIEWER_STOP_S = 5.0
_SPARE_S = 2.0
"""Viewers end by themselves a little after the rehearsal's end, should nobody tell them."""

_MPD = "dash.mpd"


@define
class RehearsalCrowd:
    """`folder` is temporary; `programs` ends all of them."""

    plan: Plan
    folder: Path
    programs: Programs
    peers: dict[str, Program] = field(factory=dict)
    viewers: dict[str, Program] = field(factory=dict)
    ports: dict[str, int] = field(factory=dict)
    """Of each peer's HTTP face."""
    _begun_cpu_s: dict[str, float] = field(factory=dict)

    @property
    def hosts(self) -> list[str]:
        return [self.plan.host(number) for number in range(1, self.plan.peers + 1)]

    def start_peers(self) -> None:
        """Start them and wait until they know the film. Raises LabUnavailableError."""
        if not self.plan.with_peers:
            return
        self.ports = dict(zip(self.hosts, free_ports(self.plan.peers), strict=True))
        for number, host in enumerate(self.hosts):
            self.peers[host] = self._start_peer(number, host)
        self._wait_until_ready()
        self._wait_until_shared()
        self._begun_cpu_s = {host: program.note_cpu() for host, program in self.peers.items()}

    def _start_peer(self, number: int, host: str) -> Program:
        plan = self.plan
        port = 0 if plan.exchange_port is None else plan.exchange_port + number
        command = [sys.executable, "-m", "dashp2p.lab.daemon", "-n", "--pidfile=", "dashp2p-peer"]
        command += ["--listen", f"tcp:{self.ports[host]}:interface=127.0.0.1"]
        command += ["--exchange", f"tcp:{port}", "--cache", str(self.folder / f"cache-{host}")]
        command += ["--origin", plan.origin, "--tracker", plan.tracker]
        if plan.upload_bps is not None:
            command += ["--upload-rate", str(plan.upload_bps)]
        with uninterrupted():
            # One listener of this name for all of them would let only the first one start.
            environment = {"DASHP2P_ADMIN": ""}
            return self.programs.start(host, [*command, *plan.peer_options], environment)

    def _wait_until_ready(self) -> None:
        until_s = time.monotonic() + READY_S
        waiting = list(self.peers)
        while waiting:
            waiting = [host for host in waiting if not answers(f"{self._url(host)}/healthz")]
            for host in waiting:
                program = self.peers[host]
                if not program.running or time.monotonic() > until_s:
                    raise LabUnavailableError(f"peer {host} did not start:\n{program.tail(5)}")
            if waiting:
                time.sleep(POLL_S)

    def _wait_until_shared(self) -> None:
        """Until the first peer has the index: a wrong address should not cost a rehearsal."""
        until_s, told = time.monotonic() + MEET_S, "it says nothing"
        while time.monotonic() < until_s:
            stats = summary.fetch(self._url(self.hosts[0])) or {}
            told = stats.get("message") or stats.get("mode") or told
            if stats.get("mode") in ("sharing", "pass-through"):
                return
            time.sleep(POLL_S)
        raise LabUnavailableError(f"no film at {self.plan.origin}; the first peer says: {told}")

    def start_viewer(self, host: str) -> None:
        """Have a silent viewer play from now on."""
        plan = self.plan
        base = f"{self._url(host)}/dash" if plan.with_peers else plan.origin
        command = [sys.executable, "-m", "dashp2p.lab.viewer", f"{base}/{_MPD}", "--id", host]
        command += ["--buffer", f"{plan.buffer_s:g}", "--json", str(self._report(host))]
        command += ["--seconds", f"{plan.seconds + _SPARE_S:g}"]
        if plan.with_peers:
            # Somebody else's origin or CDN may take a query for another file.
            command += ["--cmcd", "--report-to", f"{self._url(host)}/cmcd"]
        with uninterrupted():
            self.viewers[host] = self.programs.start(f"viewer-{host}", command)

    def stop_viewers(self) -> None:
        """End them and give them time to leave their figures."""
        for program in self.viewers.values():
            program.send(signal.SIGTERM)
        until_s = time.monotonic() + VIEWER_STOP_S
        while self.playing and time.monotonic() < until_s:
            time.sleep(POLL_S)

    @property
    def playing(self) -> int:
        """How many are still at it."""
        return sum(program.running for program in self.viewers.values())

    def stats(self) -> dict[str, dict[str, Any]]:
        """/stats of each peer that answers."""
        told = {host: summary.fetch(self._url(host)) for host in self.peers}
        return {host: one for host, one in told.items() if one is not None}

    def reports(self) -> dict[str, Any]:
        """Of all viewers that were started; None for one that left nothing."""
        found: dict[str, Any] = {}
        for host, program in self.viewers.items():
            report = demo_summary.read_report(self._report(host))
            status = program.process.returncode
            found[host] = None if report is None else {**report, "exit_status": status}
        return found

    def last_words(self, host: str) -> str:
        """The end of what a viewer said, for who left no report."""
        return self.viewers[host].tail(1)

    def cpu_s(self) -> dict[str, float]:
        """What each peer used since all were ready."""
        return {
            host: program.note_cpu() - self._begun_cpu_s.get(host, 0.0)
            for host, program in self.peers.items()
        }

    def _url(self, host: str) -> str:
        return f"http://127.0.0.1:{self.ports[host]}"

    def _report(self, host: str) -> Path:
        return self.folder / f"viewer-{host}.json"
