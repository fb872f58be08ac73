"""What a throughput rule can reach in row 10, were the crowd's network ideal.

    python benchmarks/thin_uplinks.py

Nothing of ours runs: the origin's uplink and the shares of the peers' uplinks that are used are one
tap, which fills all who want a segment at the same pace, at once and without loss. Only the lab's
rule for rungs, its film and its buffer are real. Whoever came last has nothing that others lack, so
its uplink does not count. A real crowd can be better only where its shares are unequal.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attrs import define, field

from dashp2p.lab import rows
from dashp2p.lab.abr import ThroughputAbr
from dashp2p.lab.sim.film import LADDER_BPS, Film, make_film

STEP_S = 0.01
LONGEST_S = 120.0


@define(eq=False)
class Viewer:
    """One playback at a tap."""

    film: Film
    comes_s: float
    buffer_s: float
    abr: ThroughputAbr = field(factory=lambda: ThroughputAbr(LADDER_BPS))
    number: int = 0
    left_bits: float = 0.0
    asked_at: float = 0.0
    held_s: float = 0.0
    stalled_s: float = 0.0
    rungs: list[tuple[int, float]] = field(factory=list)
    """(bitrate, seconds) of what came."""

    @property
    def over(self) -> bool:
        return self.left_bits <= 0 and self.film.media(self.film.video[0], self.number) is None

    def ask(self, now: float) -> None:
        """Ask for the next segment, sound with it, if there is room for it."""
        if now < self.comes_s or self.left_bits > 0 or self.over or self.held_s > self.buffer_s:
            return
        rate = self.abr.choose()
        rung = next(each for each in self.film.video if each.bandwidth_bps == rate)
        entry = self.film.media(rung, self.number)
        assert entry is not None and entry.duration_s is not None
        self.left_bits = entry.size_bytes * 8 + self.film.audio.bandwidth_bps * entry.duration_s
        self.asked_at, self.number = now, self.number + 1
        self.rungs.append((rate, entry.duration_s))

    def take(self, bits: float, now: float) -> None:
        """So much came."""
        if self.left_bits <= 0:
            return
        self.left_bits -= bits
        if self.left_bits <= 0:
            rate, duration_s = self.rungs[-1]
            self.abr.measured(int(rate * duration_s / 8), now - self.asked_at)
            self.held_s += duration_s

    def play(self) -> None:
        """Time passes."""
        if self.held_s > 0:
            self.held_s = max(0.0, self.held_s - STEP_S)
        elif len(self.rungs) > 1 and not self.over:
            self.stalled_s += STEP_S

    @property
    def mean_bps(self) -> float:
        return sum(rate * length for rate, length in self.rungs) / self.film.duration_s


def watch(count: int, uplinks_used: float) -> Sequence[Viewer]:
    """Row 10 with so many viewers, with this share of the peers' uplinks in use."""
    [row] = rows.find("10")
    film = make_film(1, row.film_s, LADDER_BPS)
    viewers = [Viewer(film, row.spacing_s * number, row.buffer_s) for number in range(count)]
    now = 0.0
    while now < LONGEST_S and not all(viewer.over for viewer in viewers):
        for viewer in viewers:
            viewer.ask(now)
        giving = max(0, sum(viewer.comes_s <= now for viewer in viewers) - 1)
        tap_bps = row.links.origin_uplink_bps + giving * row.links.uplink_bps * uplinks_used
        waiting = sum(viewer.left_bits > 0 for viewer in viewers)
        share_bps = min(row.links.downlink_bps, tap_bps / waiting) if waiting else 0.0
        now += STEP_S
        for viewer in viewers:
            viewer.take(share_bps * STEP_S, now)
            viewer.play()
    return viewers


def main() -> None:
    [row] = rows.find("10")
    lone_bps = watch(1, 1.0)[0].mean_bps
    print(f"{row.title}; a viewer alone: {lone_bps / 1e6:.2f} Mbit/s")
    for used in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        viewers = watch(row.peers, used)
        mean = statistics.mean(viewer.mean_bps for viewer in viewers) / lone_bps
        stalled_s = sum(viewer.stalled_s for viewer in viewers)
        print(f"  uplinks used to {used:4.0%}: mean {mean:.2f} of it, stalled {stalled_s:.1f} s")


if __name__ == "__main__":
    main()
