"""Who leaves when, and how: killed, stopped or cut off, and best in the middle of a fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from dashp2p.lab.scenario import Ending

if TYPE_CHECKING:
    from dashp2p.lab.sim.simulation import Seat, Simulation

AIM_S = 2.0
"""How long a departure waits for somebody to lead a fetch, looking every AIM_EVERY_S."""
AIM_EVERY_S = 0.1


@define(eq=False)
class Departures:
    """As the lab's: with churn, who leads a fetch goes first, and swaps his time with another."""

    sim: Simulation
    _swapped: dict[Seat, Seat] = field(factory=dict)

    def plan(self, seat: Seat) -> None:
        """Let it leave when its visit ends."""
        sim, leaves_s = self.sim, seat.visit.leaves_s
        if leaves_s is None:
            return
        at = sim.opens_at + leaves_s
        churn = sim.settings.scenario.churn
        if churn is not None and churn.aimed:
            sim.clock.post(at, self._if_leading, seat, at + AIM_S)
        else:
            sim.clock.post(at, self.leave, seat, seat.visit.ending)

    def _if_leading(self, seat: Seat, until: float) -> None:
        clock = self.sim.clock
        due = self._swapped.get(seat, seat)
        if due.left:
            return
        victim = self._leading()
        if victim is None and clock.now < until:
            clock.post(clock.now + AIM_EVERY_S, self._if_leading, seat, until)
            return
        victim = victim or due
        if victim is not due:
            self._swapped[victim] = due
        self.leave(victim, seat.visit.ending)

    def _leading(self) -> Seat | None:
        """Somebody who holds a lease now and whose viewer watches."""
        leases, now = self.sim.tracker.leases, self.sim.clock.now
        watching = {
            seat.peer.peer_id: seat
            for seat in self.sim.seats
            if seat.peer is not None and seat.player is not None and not seat.left
        }
        if not leases.live_leases:
            return None
        for entry in self.sim.film.entries:
            told = leases.whereabouts(entry.position, now)
            if told is not None and told.leader in watching:
                return watching[told.leader]
        return None

    def leave(self, seat: Seat, ending: Ending) -> None:
        """It is gone, from now on, and says nothing."""
        seat.left = True
        if seat.player is not None:
            seat.player.stop()
        match ending:
            case Ending.KILL:
                if seat.peer is not None:
                    seat.peer.vanish()
                seat.host.kill()
            case Ending.STOP:
                seat.host.frozen = True
            case Ending.CUT:
                seat.host.cut = True
