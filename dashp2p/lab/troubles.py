"""What befalls a crowd in a run: viewers that leave without a goodbye, servers that are killed."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import partial

from attrs import define, field

from dashp2p.lab.agenda import Agenda
from dashp2p.lab.aim import Aim
from dashp2p.lab.company import Company
from dashp2p.lab.film import Film
from dashp2p.lab.origin_end import Ended, OriginEnd
from dashp2p.lab.scenario import Ending, Scenario, Visit
from dashp2p.lab.stage import TRACKER

AIM_S = 2.0
"""How long a departure waits for somebody to lead a fetch, looking every AIM_EVERY_S."""

AIM_EVERY_S = 0.1


@define(eq=False)
class Troubles:
    """Plans them into the agenda. `left` says who left when and how, in seconds of the run."""

    scenario: Scenario
    film: Film
    visits: Sequence[Visit]
    company: Company
    agenda: Agenda
    left: dict[str, tuple[float, Ending]] = field(factory=dict)
    _aim: Aim = field(init=False)
    _origin_end: OriginEnd | None = None
    _swapped: dict[str, str] = field(init=False, factory=dict)
    _peer_ids: dict[str, str] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._aim = Aim(len(self.film.index.entries))

    def plan(self) -> None:
        """All that the scenario has."""
        for visit in self.visits:
            if visit.leaves_s is not None:
                self._plan_leaving(visit, visit.leaves_s)
        if not self.company.with_peers:
            return
        if self.scenario.tracker_killed_at_s is not None:
            kill = partial(self.company.kill, TRACKER)
            self.agenda.at(self.scenario.tracker_killed_at_s, kill)
        if self.scenario.origin_killed_when_held:
            latest_s = self.scenario.film_s
            self._origin_end = OriginEnd(self.film.index, self.company, self.agenda, latest_s)
            self._origin_end.plan()

    @property
    def origin_ended(self) -> Ended | None:
        """How the origin ended, where it was to end and has."""
        return None if self._origin_end is None else self._origin_end.ended

    def _plan_leaving(self, visit: Visit, at_s: float) -> None:
        churn = self.scenario.churn
        if self.company.with_peers and churn and churn.aimed:
            self.agenda.at(at_s, partial(self._leave_if_leading, visit, at_s + AIM_S))
        else:
            self.agenda.at(at_s, partial(self._leave, visit.host, visit.ending))

    def _leave_if_leading(self, visit: Visit, until_s: float) -> None:
        """Let a peer leave that leads a fetch; its own time to leave falls to `visit`'s host."""
        due = self._swapped.get(visit.host, visit.host)
        if due in self.left:
            return
        victim = self._leading_host()
        now_s = self.agenda.now_s
        if victim is None and now_s < until_s:
            self.agenda.at(now_s + AIM_EVERY_S, partial(self._leave_if_leading, visit, until_s))
            return
        victim = victim or due
        if victim != due:
            self._swapped[victim] = due
        self._leave(victim, visit.ending)

    def _leading_host(self) -> str | None:
        """Some host whose peer holds a lease now and whose viewer watches, or None."""
        now_s, ask = self.agenda.now_s, self.company.ask
        come = {visit.host for visit in self.visits if visit.arrives_s <= now_s}
        living = [host for host in self.company.peers if host in come and host not in self.left]
        for host in living:
            if host not in self._peer_ids.values() and (stats := ask(host, "/stats")):
                self._peer_ids[stats["peer"]] = host
        for leader in self._aim.leaders(partial(ask, TRACKER)):
            if self._peer_ids.get(leader) in living:
                return self._peer_ids[leader]
        return None

    def _leave(self, host: str, ending: Ending) -> None:
        self.left[host] = (self.agenda.now_s, ending)
        viewer, peer = self.company.viewers[host], self.company.peers.get(host)
        if peer is not None:
            self.company.take_stats(host)
        viewer.send(signal.SIGTERM)
        if peer is None:
            return
        match ending:
            case Ending.KILL:
                peer.send(signal.SIGKILL)
            case Ending.STOP:
                peer.send(signal.SIGSTOP)
            case Ending.CUT:
                self.company.stage.connect(host, False)
