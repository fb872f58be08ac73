"""One run: a crowd on its stage, from the origin's start to the last viewer's end."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from attrs import define, evolve, field

from dashp2p.lab import leftovers
from dashp2p.lab.agenda import Agenda
from dashp2p.lab.company import Company, RunFailedError
from dashp2p.lab.crew import Crew
from dashp2p.lab.film import Film
from dashp2p.lab.forking import ForkServer
from dashp2p.lab.machine_load import MachineLoad
from dashp2p.lab.measure import Sample
from dashp2p.lab.netns import LabUnavailableError
from dashp2p.lab.processes import Programs
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.scenario import Ablation, Lie, Scenario, Variant, Visit, host_name
from dashp2p.lab.stage import TRACKER, AnyStage, LoopbackStage, NamespaceStage
from dashp2p.lab.troubles import Troubles

SAMPLE_S = 0.25
HEAD_START_S = 1.0
"""Between the last preparation and the first viewer: what preparation stirred up has settled."""

DAEMON_LEAD_S = 5.0
"""How long before its viewer somebody who joins later starts a peer, on a busy machine."""

VIEWER_LEAD_S = 4.0
TAIL_S = 30.0
"""After the film should be over for all, how long a viewer may still stall before the run ends."""


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
    _company: Company = field(init=False)
    _troubles: Troubles = field(init=False)
    _agenda: Agenda = field(init=False, factory=Agenda)
    _samples: list[Sample] = field(init=False, factory=list)
    _egress_base: int = field(init=False, default=0)

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
            forks = stack.enter_context(ForkServer(self.folder))
            programs = Programs(self.folder)
            stack.callback(programs.close)
            crew = Crew(self._stage, self.scenario, self.film, work, self.ablations)
            with_peers = self.variant is Variant.PEERS
            cold = self.scenario.cold
            self._company = Company(self._stage, crew, forks, programs, with_peers, cold)
            self._troubles = Troubles(
                self.scenario, self.film, self._visits, self._company, self._agenda
            )
            self._prepare()
            busy = MachineLoad()
            self._watch()
            return self._collect(began_at, busy.share())

    # Preparation

    def _prepare(self) -> None:
        self._company.start_servers(self._liars())
        self._egress_base = self._stage.egress_bytes()
        early = [visit for visit in self._visits if self._comes_early(visit)]
        self._company.start_crowd([visit.host for visit in early])
        self._agenda.begin_in(HEAD_START_S)
        self._agenda.at(0.0, self._company.note_first_cpu)
        for visit in self._visits:
            if visit in early:
                self._let_begin(visit)
            else:
                self._plan_arrival(visit)
        self._troubles.plan()

    def _liars(self) -> dict[str, Lie]:
        """The liars' hosts, which come after the crowd's; none where there are no peers."""
        lies = self.scenario.liars if self.variant is Variant.PEERS else ()
        return {host_name(len(self._visits) + nth): lie for nth, lie in enumerate(lies, 1)}

    def _comes_early(self, visit: Visit) -> bool:
        return self.scenario.churn is None or visit.arrives_s <= 0

    def _plan_arrival(self, visit: Visit) -> None:
        if self._company.with_peers:
            start = partial(self._company.start_peer, visit.host)
            self._agenda.at(visit.arrives_s - DAEMON_LEAD_S, start)

        def viewer() -> None:
            self._company.start_viewer(visit.host)
            self._let_begin(visit)

        self._agenda.at(visit.arrives_s - VIEWER_LEAD_S, viewer)

    def _let_begin(self, visit: Visit) -> None:
        self._company.let_begin(visit, time.time() - self._agenda.now_s + visit.arrives_s)

    # The film

    def _watch(self) -> None:
        last_arrival_s = max(visit.arrives_s for visit in self._visits)
        # With churn the film's length is the experiment's: who comes last need not see the end.
        length_s = self.scenario.film_s * (1.0 if self.scenario.churn else 1.5)
        start_s = 0.0 if self.scenario.churn else last_arrival_s
        deadline_s = start_s + length_s + (0.0 if self.scenario.churn else TAIL_S)
        agenda = self._agenda
        next_sample_s = agenda.now_s
        while agenda.now_s < deadline_s:
            agenda.catch_up()
            if agenda.now_s >= next_sample_s:
                self._sample()
                next_sample_s += SAMPLE_S
                if self._all_done():
                    return
            time.sleep(max(0.0, agenda.next_s(next_sample_s) - agenda.now_s))
        if not self.scenario.churn:
            late = ", ".join(self._company.playing)
            self._company.notes.append(f"still playing when the run's time was over: {late}")

    def _all_done(self) -> bool:
        expected = len(self._company.viewers) == len(self._visits)
        return expected and not self._company.playing

    def _sample(self) -> None:
        level = self._stage.egress_bytes() - self._egress_base
        self._samples.append(Sample(self._agenda.now_s, level))
        self._company.note_viewers_cpu()

    # The end

    def _collect(self, began_at: float, machine_busy: float | None) -> RunResult:
        self._sample()
        company, left = self._company, self._troubles.left
        company.note_deaths(set(left))
        liar_ids = [(company.ask(host, "/stats") or {}).get("peer") for host in self._liars()]
        for host in company.peers:
            if host not in left:
                company.take_stats(host)
        swarms = company.ask(TRACKER, "/swarms") if company.with_peers else None
        company.end_viewers()
        cpu_s, stage = company.cpu_s(), self._stage.report()
        viewers = company.reports()
        return RunResult(
            scenario=self.scenario.name,
            variant=self.variant,
            seed=self.seed,
            loopback=self.loopback,
            ablations=tuple(sorted(ablation.value for ablation in self.ablations)),
            began_at=began_at,
            duration_s=self._agenda.now_s,
            egress=tuple(self._samples),
            visits=tuple(self._as_it_went(visit) for visit in self._visits),
            viewers=viewers,
            stats=company.stats,
            liar_ids=tuple(liar_ids),
            origin_ended=self._troubles.origin_ended,
            swarms=swarms,
            cpu_s=cpu_s,
            machine_busy=machine_busy,
            stage=stage,
            notes=tuple(company.notes),
            setting=Setting.LOOPBACK if self.loopback else Setting.LAB,
            ladder_bps=self.film.ladder_bps,
            presentation=self.film.index.presentation_id,
        )

    def _as_it_went(self, visit: Visit) -> Visit:
        left_s, ending = self._troubles.left.get(visit.host, (None, visit.ending))
        return evolve(visit, leaves_s=left_s, ending=ending)


__all__ = ["LabUnavailableError", "Run", "RunFailedError"]
