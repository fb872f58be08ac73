"""The programs of one run: started in order, awaited, asked, and told when to begin."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from dashp2p.lab.crew import Crew
from dashp2p.lab.forking import ForkServer, Job
from dashp2p.lab.processes import Program, Programs
from dashp2p.lab.scenario import Lie, Visit
from dashp2p.lab.stage import ORIGIN, TRACKER, AnyStage, wait_for
from dashp2p.lab.starter import READY

READY_TIMEOUT_S = 90.0
START_AT_ONCE = 6
VIEWER_END_S = 10.0


class RunFailedError(Exception):
    """The run could not be carried out; what the program in question last said is in the text."""


@define(eq=False)
class Company:
    """`cold`: peers begin with their players, not before."""

    stage: AnyStage
    crew: Crew
    forks: ForkServer
    programs: Programs
    with_peers: bool
    cold: bool
    peers: dict[str, Program] = field(factory=dict)
    viewers: dict[str, Program] = field(factory=dict)
    stats: dict[str, Any] = field(factory=dict)
    """Each peer's /stats by host, as last taken."""
    notes: list[str] = field(factory=list)
    _killed: set[str] = field(factory=set)
    _first_cpu_s: dict[str, float] = field(factory=dict)

    def start_servers(self, liars: Mapping[str, Lie]) -> None:
        """Origin and tracker, and whoever does not play fair. Raises RunFailedError."""
        self._await_daemon(ORIGIN, self._start(ORIGIN, self.crew.origin()))
        if self.with_peers:
            environment = self.crew.tracker_environment()
            self._await_daemon(TRACKER, self._start(TRACKER, self.crew.tracker(), environment))
        for host, lie in liars.items():
            self._await_daemon(host, self._start(host, self.crew.liar(host, lie)))

    def start_crowd(self, hosts: Sequence[str]) -> None:
        """Peers, then viewers that wait for their beginning. Raises RunFailedError."""
        if self.with_peers:
            for batch in _batches(hosts):
                for host in batch:
                    self.start_peer(host)
                for host in batch:
                    self._await_peer(host)
        for batch in _batches(hosts):
            for host in batch:
                self.start_viewer(host)
            for host in batch:
                self._await_prepared(self.viewers[host])

    def start_peer(self, host: str) -> None:
        job = self.crew.peer(host, prepared=self.cold)
        self.peers[host] = self._start(host, job, self.crew.peer_environment())

    def start_viewer(self, host: str) -> None:
        job = self.crew.viewer(host, self.with_peers)
        self.viewers[host] = self._start(f"viewer-{host}", job)

    def let_begin(self, visit: Visit, at_s: float) -> None:
        """Tell that host's viewer when to begin, in seconds since 1970."""
        if self.cold and visit.host in self.peers:
            self.peers[visit.host].begin(at_s)
        self.viewers[visit.host].begin(at_s)

    def _start(self, name: str, job: Job, environment: Mapping[str, str] | None = None) -> Program:
        return self.programs.adopt(self.forks.start(name, job, environment))

    def _await_peer(self, host: str) -> None:
        if self.cold:
            self._await_prepared(self.peers[host])
        else:
            self._await_daemon(host, self.peers[host])

    def _await_daemon(self, host: str, program: Program) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        while program.running and time.monotonic() < until:
            if wait_for(self.stage, host, "/readyz", time.monotonic() + 1.0):
                return
        raise RunFailedError(f"{host} was not ready in time; it last said:\n{program.tail()}")

    def _await_prepared(self, program: Program) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        while not program.said(READY):
            if not program.running or time.monotonic() > until:
                raise RunFailedError(f"{program.name} did not start:\n{program.tail()}")
            time.sleep(0.05)

    # While it runs

    @property
    def playing(self) -> list[str]:
        """Hosts whose viewers are still at it."""
        return [host for host, viewer in self.viewers.items() if viewer.running]

    def note_first_cpu(self) -> None:
        """From now on CPU counts."""
        self._first_cpu_s = {one.name: one.note_cpu() for one in self.programs.started}

    def note_viewers_cpu(self) -> None:
        """Viewers may be gone when the run ends."""
        for viewer in self.viewers.values():
            viewer.note_cpu()

    def ask(self, host: str, path: str) -> Any:
        """That daemon's JSON, or None, which is noted once for each path."""
        try:
            answer = self.stage.get(host, path)
            return answer.json() if answer.status == 200 else None
        except (OSError, ValueError) as error:
            note = f"{host} did not answer {path}: {error}"
            if note not in self.notes:
                self.notes.append(note)
            return None

    def take_stats(self, host: str) -> None:
        self.stats[host] = self.ask(host, "/stats")

    def kill(self, name: str) -> None:
        """End a daemon without a goodbye."""
        self._killed.add(name)
        for program in self.programs.started:
            if program.name == name:
                program.send(signal.SIGKILL)

    # The end

    def end_viewers(self) -> None:
        """Have all leave their reports."""
        for viewer in self.viewers.values():
            viewer.send(signal.SIGTERM)
        for viewer in self.viewers.values():
            viewer.process.wait(VIEWER_END_S)

    def cpu_s(self) -> dict[str, float]:
        """What each program used since note_first_cpu."""
        return {
            one.name: one.note_cpu() - self._first_cpu_s.get(one.name, 0.0)
            for one in self.programs.started
        }

    def reports(self) -> dict[str, Any]:
        """Each viewer's, with the status that its program ended with; None where it left none."""
        return {host: self._report(host) for host in self.viewers}

    def _report(self, host: str) -> Any:
        path = self.crew.viewer_result(host)
        try:
            status = self.viewers[host].process.returncode
            return {**json.loads(path.read_text()), "exit_status": status}
        except (OSError, ValueError):
            self.notes.append(f"{host}'s viewer left no report: {self.viewers[host].tail(1)}")
            return None

    def note_deaths(self, left: set[str]) -> None:
        """What ended without having been told to, or with a traceback, is worth a look."""
        for program in self.programs.started:
            expected = program.name in left or program in self.viewers.values()
            if not expected and not program.running and program.name not in self._killed:
                status = program.process.returncode
                self.notes.append(f"{program.name} ended by itself with {status}")


def _batches(hosts: Sequence[str]) -> list[Sequence[str]]:
    """So many that their interpreters' starts don't make each other late."""
    return [hosts[at : at + START_AT_ONCE] for at in range(0, len(hosts), START_AT_ONCE)]
