"""One run: a crowd on its stage, from the origin's start to the last viewer's end."""

from __future__ import annotations

import heapq
import json
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from dashp2p.lab import leftovers
from dashp2p.lab.aim import Aim
from dashp2p.lab.crew import Crew
from dashp2p.lab.film import Film
from dashp2p.lab.forking import ForkServer, Job
from dashp2p.lab.machine_load import MachineLoad
from dashp2p.lab.measure import Sample
from dashp2p.lab.netns import LabUnavailableError
from dashp2p.lab.processes import Program, Programs
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.scenario import Ablation, Ending, Lie, Scenario, Variant, Visit, host_name
from dashp2p.lab.stage import (
    ORIGIN,
    TRACKER,
    AnyStage,
    LoopbackStage,
    NamespaceStage,
    wait_for,
)
from dashp2p.lab.starter import READY

SAMPLE_S = 0.25
HEAD_START_S = 1.0
"""Between the last preparation and the first viewer: what preparation stirred up has settled."""

READY_TIMEOUT_S = 90.0
START_AT_ONCE = 6
DAEMON_LEAD_S = 5.0
"""How long before its viewer somebody who joins later starts a peer, on a busy machine."""

VIEWER_LEAD_S = 4.0
AIM_S = 2.0
"""How long a departure waits for somebody to lead a fetch, looking every AIM_EVERY_S."""

AIM_EVERY_S = 0.1
TAIL_S = 30.0
"""After the film should be over for all, how long a viewer may still stall before the run ends."""


class RunFailedError(Exception):
    """The run could not be carried out; what the program in question last said is in the text."""


@define(eq=False)
class Run:
    """One scenario, once. `folder` keeps logs and reports; caches live in memory and go away."""

    scenario: Scenario
    variant: Variant
    seed: int
    film: Film
    folder: Path
    loopback: bool = False
    ablations: frozenset[Ablation] = frozenset()
    _visits: list[Visit] = field(init=False)
    _stage: AnyStage = field(init=False)
    _forks: ForkServer = field(init=False)
    _programs: Programs = field(init=False)
    _crew: Crew = field(init=False)
    _peers: dict[str, Program] = field(init=False, factory=dict)
    _viewers: dict[str, Program] = field(init=False, factory=dict)
    _left: dict[str, tuple[float, Ending]] = field(init=False, factory=dict)
    _swapped: dict[str, str] = field(init=False, factory=dict)
    _peer_ids: dict[str, str] = field(init=False, factory=dict)
    _aim: Aim = field(init=False)
    _stats: dict[str, Any] = field(init=False, factory=dict)
    _samples: list[Sample] = field(init=False, factory=list)
    _events: list[tuple[float, int, Callable[[], None]]] = field(init=False, factory=list)
    _order: count[int] = field(init=False, factory=count)
    _notes: list[str] = field(init=False, factory=list)
    _begin: float = field(init=False, default=0.0)
    _egress_base: int = field(init=False, default=0)
    _killed: set[str] = field(init=False, factory=set)
    _first_cpu_s: dict[str, float] = field(init=False, factory=dict)

    def run(self) -> RunResult:
        """Carry it out; blocks for the film's length and some seconds. RunFailedError says why
        not.
        """
        if self.variant is Variant.LONE:
            self.scenario = self.scenario.alone()
        self._visits = self.scenario.visits(self.variant, self.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        began_at = time.time()
        with ExitStack() as stack:
            work = leftovers.make_folder()
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            hosts = len(self._visits) + len(self._liars())
            if self.loopback:
                self._stage = stack.enter_context(LoopbackStage(self.scenario, hosts, self.seed))
            else:
                self._stage = stack.enter_context(NamespaceStage(self.scenario, hosts, self.seed))
            self._forks = stack.enter_context(ForkServer(self.folder))
            self._programs = Programs(self.folder)
            stack.callback(self._programs.close)
            self._aim = Aim(len(self.film.index.entries))
            self._crew = Crew(self._stage, self.scenario, self.film, work, self.ablations)
            self._prepare()
            busy = MachineLoad()
            self._watch()
            return self._collect(began_at, busy.share())

    # Preparation

    def _prepare(self) -> None:
        origin = self._start(ORIGIN, self._crew.origin())
        self._await_daemon(ORIGIN, origin)
        if self.variant is Variant.PEERS:
            environment = self._crew.tracker_environment()
            tracker = self._start(TRACKER, self._crew.tracker(), environment)
            self._await_daemon(TRACKER, tracker)
        for host, lie in self._liars().items():
            self._await_daemon(host, self._start(host, self._crew.liar(host, lie)))
        self._egress_base = self._stage.egress_bytes()
        early = [visit for visit in self._visits if self._comes_early(visit)]
        if self.variant is Variant.PEERS:
            for batch in _batches(early):
                for visit in batch:
                    self._start_peer(visit.host)
                for visit in batch:
                    self._await_peer(visit.host)
        for batch in _batches(early):
            for visit in batch:
                self._start_viewer(visit.host)
            for visit in batch:
                self._await_prepared(self._viewers[visit.host])
        self._begin = time.monotonic() + HEAD_START_S
        self._at(0.0, self._note_first_cpu)
        self._plan(early)

    def _liars(self) -> dict[str, Lie]:
        """The liars' hosts, which come after the crowd's; none where there are no peers."""
        lies = self.scenario.liars if self.variant is Variant.PEERS else ()
        return {host_name(len(self._visits) + nth): lie for nth, lie in enumerate(lies, 1)}

    def _comes_early(self, visit: Visit) -> bool:
        return self.scenario.churn is None or visit.arrives_s <= 0

    def _plan(self, early: list[Visit]) -> None:
        for visit in self._visits:
            if visit in early:
                self._let_begin(visit)
            else:
                self._plan_arrival(visit)
            if visit.leaves_s is not None:
                self._plan_leaving(visit, visit.leaves_s)
        if self.variant is not Variant.PEERS:
            return
        if self.scenario.tracker_killed_at_s is not None:
            self._at(self.scenario.tracker_killed_at_s, self._kill_tracker)
        if self.scenario.origin_killed_when_held:
            self._at(1.0, self._kill_origin_when_held)

    def _plan_arrival(self, visit: Visit) -> None:
        if self.variant is Variant.PEERS:
            self._at(visit.arrives_s - DAEMON_LEAD_S, lambda: self._start_peer(visit.host))

        def viewer() -> None:
            self._start_viewer(visit.host)
            self._let_begin(visit)

        self._at(visit.arrives_s - VIEWER_LEAD_S, viewer)

    def _start(self, name: str, job: Job, environment: Mapping[str, str] | None = None) -> Program:
        return self._programs.adopt(self._forks.start(name, job, environment))

    def _start_peer(self, host: str) -> None:
        job = self._crew.peer(host, prepared=self.scenario.cold)
        self._peers[host] = self._start(host, job, self._crew.peer_environment())

    def _start_viewer(self, host: str) -> None:
        job = self._crew.viewer(host, self.variant is Variant.PEERS)
        self._viewers[host] = self._start(f"viewer-{host}", job)

    def _await_peer(self, host: str) -> None:
        if self.scenario.cold:
            self._await_prepared(self._peers[host])
        else:
            self._await_daemon(host, self._peers[host])

    def _await_daemon(self, host: str, program: Program) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        while program.running and time.monotonic() < until:
            if wait_for(self._stage, host, "/readyz", time.monotonic() + 1.0):
                return
        raise RunFailedError(f"{host} was not ready in time; it last said:\n{program.tail()}")

    def _await_prepared(self, program: Program) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        while not program.said(READY):
            if not program.running or time.monotonic() > until:
                raise RunFailedError(f"{program.name} did not start:\n{program.tail()}")
            time.sleep(0.05)

    def _let_begin(self, visit: Visit) -> None:
        at_s = time.time() + self._begin - time.monotonic() + visit.arrives_s
        if self.scenario.cold and visit.host in self._peers:
            self._peers[visit.host].begin(at_s)
        self._viewers[visit.host].begin(at_s)

    # The film

    def _at(self, at_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._begin + at_s, next(self._order), action))

    def _watch(self) -> None:
        last_arrival_s = max(visit.arrives_s for visit in self._visits)
        # With churn the film's length is the experiment's: who comes last need not see the end.
        length_s = self.scenario.film_s * (1.0 if self.scenario.churn else 1.5)
        start_s = 0.0 if self.scenario.churn else last_arrival_s
        deadline = self._begin + start_s + length_s + (0.0 if self.scenario.churn else TAIL_S)
        next_sample = time.monotonic()
        while time.monotonic() < deadline:
            while self._events and self._events[0][0] <= time.monotonic():
                heapq.heappop(self._events)[2]()
            if time.monotonic() >= next_sample:
                self._sample()
                next_sample += SAMPLE_S
                if self._all_done():
                    return
            wake = min(next_sample, self._events[0][0] if self._events else next_sample)
            time.sleep(max(0.0, wake - time.monotonic()))
        if not self.scenario.churn:
            late = [host for host, viewer in self._viewers.items() if viewer.running]
            self._notes.append(f"still playing when the run's time was over: {', '.join(late)}")

    def _all_done(self) -> bool:
        expected = len(self._viewers) == len(self._visits)
        return expected and not any(viewer.running for viewer in self._viewers.values())

    def _sample(self) -> None:
        level = self._stage.egress_bytes() - self._egress_base
        self._samples.append(Sample(time.monotonic() - self._begin, level))
        for viewer in self._viewers.values():
            viewer.note_cpu()  # it may be gone when the run ends

    def _plan_leaving(self, visit: Visit, at_s: float) -> None:
        aimed = self.variant is Variant.PEERS and self.scenario.churn and self.scenario.churn.aimed
        if aimed:
            self._at(at_s, partial(self._leave_if_leading, visit, at_s + AIM_S))
        else:
            self._at(at_s, partial(self._leave, visit.host, visit.ending))

    def _leave_if_leading(self, visit: Visit, until_s: float) -> None:
        """Let a peer leave that leads a fetch; its own time to leave falls to `visit`'s host."""
        due = self._swapped.get(visit.host, visit.host)
        if due in self._left:
            return
        victim = self._leading_host()
        now_s = time.monotonic() - self._begin
        if victim is None and now_s < until_s:
            self._at(now_s + AIM_EVERY_S, partial(self._leave_if_leading, visit, until_s))
            return
        victim = victim or due
        if victim != due:
            self._swapped[victim] = due
        self._leave(victim, visit.ending)

    def _leading_host(self) -> str | None:
        """Some host whose peer holds a lease now and whose viewer watches, or None."""
        now_s = time.monotonic() - self._begin
        come = {visit.host for visit in self._visits if visit.arrives_s <= now_s}
        living = [host for host in self._peers if host in come and host not in self._left]
        for host in living:
            if host not in self._peer_ids.values() and (stats := self._ask(host, "/stats")):
                self._peer_ids[stats["peer"]] = host
        for leader in self._aim.leaders(lambda path: self._ask(TRACKER, path)):
            if self._peer_ids.get(leader) in living:
                return self._peer_ids[leader]
        return None

    def _leave(self, host: str, ending: Ending) -> None:
        self._left[host] = (time.monotonic() - self._begin, ending)
        viewer, peer = self._viewers[host], self._peers.get(host)
        if peer is not None:
            self._take_stats(host)
        viewer.send(signal.SIGTERM)
        if peer is None:
            return
        match ending:
            case Ending.KILL:
                peer.send(signal.SIGKILL)
            case Ending.STOP:
                peer.send(signal.SIGSTOP)
            case Ending.CUT:
                self._stage.connect(host, False)

    def _note_first_cpu(self) -> None:
        self._first_cpu_s = {one.name: one.note_cpu() for one in self._programs.started}

    def _kill_tracker(self) -> None:
        self._kill(TRACKER)

    def _kill_origin_when_held(self) -> None:
        """Once every segment of the rungs in use is with some peer, the origin goes."""
        stats = [answer for host in self._peers if (answer := self._ask(host, "/stats"))]
        if stats and _all_held(stats, self.film):
            self._notes.append(f"origin killed at {time.monotonic() - self._begin:.1f} s")
            self._kill(ORIGIN)
        else:
            self._at(time.monotonic() - self._begin + 0.5, self._kill_origin_when_held)

    def _kill(self, name: str) -> None:
        self._killed.add(name)
        for program in self._programs.started:
            if program.name == name:
                program.send(signal.SIGKILL)

    # The end

    def _collect(self, began_at: float, machine_busy: float | None) -> RunResult:
        self._sample()
        self._note_deaths()
        liar_ids = [(self._ask(host, "/stats") or {}).get("peer") for host in self._liars()]
        for host in self._peers:
            if host not in self._left:
                self._take_stats(host)
        swarms = self._ask(TRACKER, "/swarms") if self.variant is Variant.PEERS else None
        for viewer in self._viewers.values():
            viewer.send(signal.SIGTERM)
        for viewer in self._viewers.values():
            viewer.process.wait(10.0)
        cpu_s = {
            one.name: one.note_cpu() - self._first_cpu_s.get(one.name, 0.0)
            for one in self._programs.started
        }
        stage = self._stage.report()
        return RunResult(
            scenario=self.scenario.name,
            variant=self.variant,
            seed=self.seed,
            loopback=self.loopback,
            ablations=tuple(sorted(ablation.value for ablation in self.ablations)),
            began_at=began_at,
            duration_s=time.monotonic() - self._begin,
            egress=tuple(self._samples),
            visits=tuple(self._as_it_went(visit) for visit in self._visits),
            viewers={host: self._viewer_report(host) for host in self._viewers},
            stats=self._stats,
            liar_ids=tuple(liar_ids),
            swarms=swarms,
            cpu_s=cpu_s,
            machine_busy=machine_busy,
            stage=stage,
            notes=tuple(self._notes),
            setting=Setting.LOOPBACK if self.loopback else Setting.LAB,
            ladder_bps=self.film.ladder_bps,
            presentation=self.film.index.presentation_id,
        )

    def _as_it_went(self, visit: Visit) -> Visit:
        left_s, ending = self._left.get(visit.host, (None, visit.ending))
        return evolve(visit, leaves_s=left_s, ending=ending)

    def _note_deaths(self) -> None:
        """What ended without having been told to, or with a traceback, is worth a look."""
        for program in self._programs.started:
            expected = program.name in self._left or program in self._viewers.values()
            if not expected and not program.running and program.name not in self._killed:
                status = program.process.returncode
                self._notes.append(f"{program.name} ended by itself with {status}")

    def _viewer_report(self, host: str) -> Any:
        path = self._crew.viewer_result(host)
        try:
            status = self._viewers[host].process.returncode
            return {**json.loads(path.read_text()), "exit_status": status}
        except (OSError, ValueError):
            self._notes.append(f"{host}'s viewer left no report: {self._viewers[host].tail(1)}")
            return None

    def _take_stats(self, host: str) -> None:
        self._stats[host] = self._ask(host, "/stats")

    def _ask(self, host: str, path: str) -> Any:
        try:
            answer = self._stage.get(host, path)
            return answer.json() if answer.status == 200 else None
        except (OSError, ValueError) as error:
            note = f"{host} did not answer {path}: {error}"
            if note not in self._notes:
                self._notes.append(note)
            return None


def _batches(visits: Sequence[Visit]) -> list[Sequence[Visit]]:
    """So many that their interpreters' starts don't make each other late."""
    return [visits[at : at + START_AT_ONCE] for at in range(0, len(visits), START_AT_ONCE)]


def _all_held(stats: list[Any], film: Film) -> bool:
    """Whether the crowd holds all media of each representation that somebody has played from."""
    held = {record["path"] for one in stats for record in one.get("segments", ())}
    return bool(held) and film.siblings(held) <= held


__all__ = ["LabUnavailableError", "Run", "RunFailedError"]
