"""A rehearsal from its first peer to its report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dashp2p.content.interrupts import Interrupted, interruptible, uninterrupted
from dashp2p.lab import measure, saved
from dashp2p.lab.crowd_log import CrowdLog
from dashp2p.lab.figures import PATIENCE_S, figures
from dashp2p.lab.machine_load import MachineLoad
from dashp2p.lab.measure import Sample
from dashp2p.lab.processes import Programs
from dashp2p.lab.rehearse.crowd import RehearsalCrowd
from dashp2p.lab.rehearse.options import Plan
from dashp2p.lab.report import machines, page, words
from dashp2p.lab.report.experiment import gather
from dashp2p.lab.report.limits import limits
from dashp2p.lab.report.rehearsal import rehearsal_sentences
from dashp2p.lab.report.sentences import BAD
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.saved import Saved
from dashp2p.lab.scenario import Player, Scenario, Variant, Visit

TICK_S = 0.25
ASK_EVERY_S = 1.0
LINE_EVERY_S = 10.0
REPORT_NAME = "report.html"


class Crowd(Protocol):
    """What is watched: rehearse.crowd.RehearsalCrowd, or a test's."""

    @property
    def hosts(self) -> list[str]: ...

    @property
    def playing(self) -> int: ...

    def start_viewer(self, host: str) -> None: ...

    def stats(self) -> dict[str, dict[str, Any]]: ...


@define
class Watch:
    """Has viewers come and gathers what is seen, until the time is over or all have finished."""

    plan: Plan
    crowd: Crowd
    say: Callable[[float, str], None]
    """Told how long it has gone on, in seconds, and how it goes."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    log: CrowdLog = field(factory=CrowdLog)
    came: dict[str, float] = field(factory=dict)
    running_s: float = 0.0

    def run(self) -> None:
        """Returns when it is over; a signal goes through it, with all kept that was seen."""
        began_s, due_s = self.clock(), 0.0
        waiting = list(self.crowd.hosts)
        while True:
            self.running_s = self.clock() - began_s
            while waiting and self.running_s >= len(self.came) * self.plan.spacing_s:
                host = waiting.pop(0)
                self.came[host] = self.running_s
                self.crowd.start_viewer(host)
            if self.running_s >= self.plan.seconds or (not waiting and not self.crowd.playing):
                return
            if self.running_s >= due_s:
                self.look()
                due_s = self.clock() - began_s + ASK_EVERY_S
            self.sleep(TICK_S)

    def look(self) -> None:
        """Ask the peers, and say how it goes."""
        stats = self.crowd.stats()
        if stats:
            self.log.note(self.running_s, stats)
        self.say(self.running_s, self._line())

    def _line(self) -> str:
        parts = [f"{self.crowd.playing} of {self.plan.peers} viewers playing"]
        delivered = sum(int(one["bytes"].get("delivered") or 0) for one in self.log.stats.values())
        offload = measure.offload(self.log.origin_bytes, delivered)
        if offload is not None:
            parts.append(f"origin spared {max(0.0, offload):.0%}")
        return ", ".join(parts)


def rehearse(plan: Plan, console: Console) -> int:
    """Carry it out. Returns 0 when network and machines carried it, 1 when not.

    Raises LabUnavailableError where it cannot be done, and lets Interrupted through before anything
    was seen; afterwards a signal ends it early, with its report.
    """
    with ExitStack() as stack:
        stack.enter_context(interruptible())
        folder = Path(tempfile.mkdtemp(prefix="dashp2p-rehearsal-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        programs = Programs(folder)
        stack.callback(programs.close)
        crowd = RehearsalCrowd(plan, folder, programs)
        if plan.with_peers:
            console.print(f"Starting {words.count(plan.peers, 'peer')}")
        crowd.start_peers()
        _wait_for(plan, console)
        progress = stack.enter_context(_Bar(plan, console))
        watch, load, began_at = Watch(plan, crowd, progress.say), MachineLoad(), time.time()
        try:
            watch.run()
        except Interrupted:
            console.print("Stopping; what was seen so far is reported.")
        with uninterrupted():
            busy = load.share()
            crowd.stop_viewers()
            if plan.with_peers:
                watch.look()
            reports, said = crowd.reports(), crowd.last_words
            run = rehearsed(plan, watch, reports, crowd.cpu_s(), began_at, busy, said)
            progress.stop()
            return conclude(plan, run, console)


def _wait_for(plan: Plan, console: Console) -> None:
    if plan.at is not None and plan.at > time.time():
        clock = time.strftime("%H:%M:%S", time.localtime(plan.at))
        console.print(f"All is ready; waiting for {clock}. Ctrl-C ends it.", highlight=False)
        time.sleep(max(0.0, plan.at - time.time()))


def rehearsed(
    plan: Plan,
    watch: Watch,
    reports: Mapping[str, Any],
    cpu_s: Mapping[str, float],
    began_at: float,
    busy: float | None,
    last_words: Callable[[str], str] = lambda _: "",
) -> Saved:
    """All that was seen, as one run."""
    scenario = Scenario(
        "rehearsal",
        machines.title(plan.peers),
        peers=plan.peers,
        spacing_s=plan.spacing_s,
        film_s=plan.seconds,
        player=Player.CMCD,
        buffer_s=plan.buffer_s,
    )
    # Who came a moment before the end need not have seen a picture.
    came = {
        host: at_s
        for host, at_s in watch.came.items()
        if watch.running_s - at_s >= PATIENCE_S or _settled(reports.get(host) or {})
    }
    reports = {host: reports.get(host) for host in came}
    result = RunResult(
        scenario=scenario.name,
        variant=Variant.PEERS if plan.with_peers else Variant.PLAIN,
        seed=1,
        loopback=False,
        ablations=(),
        began_at=began_at,
        duration_s=watch.running_s,
        egress=tuple(watch.log.samples) if plan.with_peers else _taken(reports, came),
        visits=tuple(Visit(host, at_s) for host, at_s in came.items()),
        viewers=reports,
        stats=watch.log.stats,
        swarms=None,
        cpu_s=dict(cpu_s),
        machine_busy=busy,
        stage={"machines": [plan.name]},
        notes=tuple(_notes(reports, last_words)),
        setting=Setting.REHEARSAL,
        presentation=watch.log.presentation,
    )
    return Saved(scenario, result, figures(scenario, result))


def _settled(report: Mapping[str, Any]) -> bool:
    """Whether it is known how a viewer fared, however short its time was."""
    return report.get("startup_ms") is not None or bool(report.get("error"))


def _notes(reports: Mapping[str, Any], last_words: Callable[[str], str]) -> Iterator[str]:
    for host, report in reports.items():
        if report is None:
            yield f"{host}'s viewer left no report: {last_words(host)}"
        elif report.get("error"):
            yield f"{host}'s viewer gave up: {report['error']}"


def _taken(reports: Mapping[str, Any], came: Mapping[str, float]) -> tuple[Sample, ...]:
    """Bytes that viewers without peers took from the origin, by the time that each file was
    there."""
    files = sorted(
        (came[host] + float(one["done_s"]), int(one["size_bytes"]))
        for host, report in reports.items()
        for one in (report or {}).get("segments") or ()
    )
    samples, level = [Sample(0.0, 0)], 0
    for at_s, size_bytes in files:
        level += size_bytes
        samples.append(Sample(at_s, level))
    return tuple(samples)


def conclude(plan: Plan, run: Saved, console: Console) -> int:
    """Save the run and its report, and say what follows. 0: carried; 1: not."""
    way = "peers" if plan.with_peers else "plain"
    saved.save(run.scenario, run.result, run.figures, plan.out / f"{way}-{plan.name}" / "run.json")
    report = page.write([plan.out], plan.out / REPORT_NAME)
    (experiment,) = gather([run])
    told = rehearsal_sentences(experiment, limits(experiment))
    for one in told:
        style = {"good": "green", "bad": "red"}.get(one.tone)
        console.print(one.text, style=style, highlight=False, markup=False)
    for note in run.result.notes:
        console.print(note, style="dim", highlight=False, markup=False)
    console.print(f"Report: {report}", highlight=False, markup=False, soft_wrap=True)
    return 1 if told[0].tone == BAD else 0


class _Bar:
    """A progress bar, or where there is no terminal a line from time to time."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._seconds = plan.seconds
        self._console = console
        self._line_due_s = 0.0
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=plan.seconds)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take it off the screen."""
        self._bar.stop()

    def say(self, running_s: float, text: str) -> None:
        """How it goes."""
        self._bar.update(self._task, completed=running_s, description=text)
        if not self._console.is_terminal and running_s >= self._line_due_s:
            minutes, seconds = divmod(int(running_s), 60)
            line = f"{minutes}:{seconds:02d}, {text}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._line_due_s = running_s + LINE_EVERY_S
