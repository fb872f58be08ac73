"""From what runs measured to the figures of the table, and whether they are reached."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from dashp2p.lab import measure
from dashp2p.lab.check import Check
from dashp2p.lab.need import needed_in_windows
from dashp2p.lab.origin_checks import origin_checks
from dashp2p.lab.origin_end import Ended
from dashp2p.lab.result import RunResult
from dashp2p.lab.scenario import Scenario, Variant, Visit
from dashp2p.lab.summary import Summary, summarise
from dashp2p.lab.viewing import Viewing, read_viewing

WINDOW_S = 4.0
PATIENCE_S = 5.0
"""Who leaves sooner need not have seen a picture."""

USABLE_UPLINK = 0.85
"""Of the uplinks' sum, what a crowd with thin uplinks is expected to make use of."""


@frozen
class Figures:
    """One run in numbers. None where it can't be told, or the run has no such thing."""

    egress_bytes: int
    distinct_bytes: int
    delivered_bytes: int
    viewers: int
    needed_bytes: int
    """What had to leave the origin: files that nobody had or was getting who was there still. With
    churn more than the distinct ones, for the only holder of a file may go."""
    copies: float | None
    """Egress over the bytes of distinct files that some player got whole; headers and all."""
    offload: float | None
    startup_median_s: float | None
    startup_worst_s: float | None
    never_began: int
    unfinished: int
    false_bytes: int
    """Viewers that got something which the origin did not publish."""
    stalls: int
    stalled_s: float
    mean_bitrate_bps: float | None
    window_egress: tuple[int, ...]
    peak_window_over_need: float | None
    """In the worst four seconds, over what the origin had to send meanwhile; see lab.need."""
    waste_share: float | None
    takeovers: int | None
    liars_kept: int | None
    """Links that honest peers had with liars at the end; None where there were none."""
    origin_ended: Ended | None
    """How the origin was killed; None where it was not."""
    refused_worst_s: float | None
    """The longest that a viewer waited for a 503; None where none got any."""
    cpu_per_viewer: float | None
    """CPU that a peer's daemon used, as share of one core while its viewer watched; the median."""
    machine_busy: float | None
    crowd: Summary | None
    stall_ratio: float | None = None
    """Stalled time of all viewers by their stalled and played time."""
    switches: float | None = None
    """Changes of bitrate per viewer."""
    qoe: float | None = None
    """The linear score per segment of the median viewer; see dashp2p.web.qoe."""


def figures(scenario: Scenario, result: RunResult) -> Figures:
    """Boil one run down."""
    seen = {host: read_viewing(raw) for host, raw in result.viewers.items() if raw}
    stayed = {visit.host for visit in result.visits if visit.leaves_s is None}
    delivered_each = [sum(viewing.delivered.values()) for viewing in seen.values()]
    distinct = measure.distinct_bytes(viewing.delivered for viewing in seen.values())
    startups = [v.startup_s for v in seen.values() if v.startup_s is not None]
    # A crowd's bitrate is asked of those whose links are whole (they all are, but for one row).
    whole = [v for host, v in seen.items() if host in stayed and not _loses(scenario, host)]
    rates = [v.mean_bitrate_bps for v in whole if v.mean_bitrate_bps is not None]
    stats = [one for one in result.stats.values() if one]
    windows = measure.windows(_from_zero(result.egress), WINDOW_S)
    return Figures(
        egress_bytes=result.egress_bytes,
        distinct_bytes=distinct,
        delivered_bytes=sum(delivered_each),
        viewers=len(seen),
        needed_bytes=_needed_bytes(result.visits, seen),
        copies=measure.copies_per_segment(result.egress_bytes, distinct),
        offload=measure.offload(result.egress_bytes, sum(delivered_each)),
        startup_median_s=statistics.median(startups) if startups else None,
        startup_worst_s=max(startups, default=None),
        never_began=sum(_in_vain(visit, seen.get(visit.host)) for visit in result.visits),
        unfinished=0
        if scenario.churn  # who comes late doesn't see the film's end
        else sum(host in stayed and not v.finished for host, v in seen.items()),
        false_bytes=sum(viewing.false_bytes for viewing in seen.values()),
        stalls=sum(viewing.stalls for viewing in seen.values()),
        stalled_s=sum(viewing.stalled_s for viewing in seen.values()),
        mean_bitrate_bps=statistics.mean(rates) if rates else None,
        window_egress=tuple(windows),
        peak_window_over_need=_peak_over_need(scenario, result, windows, seen),
        waste_share=_waste_share(stats, seen.values(), result.egress_bytes),
        takeovers=_takeovers(result.swarms),
        liars_kept=_liars_kept(result.liar_ids, stats),
        origin_ended=result.origin_ended,
        refused_worst_s=max((s for v in seen.values() for s in v.refused_s), default=None),
        cpu_per_viewer=_cpu_per_viewer(result),
        machine_busy=result.machine_busy,
        crowd=summarise(stats) if stats else None,
        stall_ratio=_stall_ratio(seen.values()),
        switches=statistics.mean(v.switches for v in seen.values()) if seen else None,
        qoe=measure.median(v.qoe for v in whole),
    )


def checks(
    scenario: Scenario, runs: Mapping[Variant, Sequence[Figures]], variant: Variant = Variant.PEERS
) -> list[Check]:
    """The scenario's targets against the medians of all seeds; a stall in any run counts."""
    crowd, lone = runs.get(variant, ()), runs.get(Variant.LONE, ())
    targets = scenario.targets
    found: list[Check] = []

    def at_most(name: str, limit: float | None, value: float | None, form: str = ".2f") -> None:
        if limit is not None:
            good = None if value is None else value <= limit
            found.append(Check(name, f"<= {limit:{form}}", _shown(value, form), good))

    def at_least(name: str, limit: float | None, value: float | None, form: str = ".2f") -> None:
        if limit is not None:
            good = None if value is None else value >= limit
            found.append(Check(name, f">= {limit:{form}}", _shown(value, form), good))

    def median(of: Sequence[Figures], name: str) -> float | None:
        return measure.median(getattr(one, name) for one in of)

    def over_lone(name: str) -> float | None:
        return _ratio(median(crowd, name), median(lone, name))

    def behind_lone(name: str) -> float | None:
        ours, theirs = median(crowd, name), median(lone, "startup_median_s")
        return None if ours is None or theirs is None else ours - theirs

    at_most("copies per segment", targets.cps_max, over_lone("copies"))
    at_most("egress / lone", targets.egress_over_lone_max, over_lone("egress_bytes"))
    at_least("mean bitrate / lone", targets.mean_over_lone_min, over_lone("mean_bitrate_bps"))
    median_s, worst_s = behind_lone("startup_median_s"), behind_lone("startup_worst_s")
    at_most("start-up median - lone, s", targets.startup_median_over_lone_s, median_s)
    at_most("start-up worst - lone, s", targets.startup_worst_over_lone_s, worst_s)
    stalls = max((one.stalls for one in crowd), default=None)
    at_most("stalls", targets.stalls_max, stalls, "d")
    at_least("offload", targets.offload_min, _payload_offload(crowd, lone), ".3f")
    # Packet heads are taken off as from copies: by what a lone viewer's bytes show for themselves.
    peak = _ratio(median(crowd, "peak_window_over_need"), median(lone, "copies") or 1.0)
    at_most("egress in 4 s / need", targets.window_egress_over_need_max, peak)
    at_least("takeovers", targets.takeovers_min, median(crowd, "takeovers"), ".0f")
    kept = median(crowd, "liars_kept")
    at_most("links kept with liars", targets.liars_kept_max, kept, ".0f")
    if targets.refusal_s_max is not None:
        found += origin_checks(
            targets.refusal_s_max,
            [one.origin_ended for one in crowd],
            [one.refused_worst_s for one in crowd],
        )
    absent = max((one.never_began + one.unfinished for one in crowd), default=None)
    at_most("viewers that never began or ended", 0, absent, "d")
    deceived = max((one.false_bytes for one in crowd), default=None)
    at_most("viewers that got a false byte", 0, deceived, "d")
    return found


def guards(runs: Sequence[Figures]) -> list[Check]:
    """What is printed beside every run with peers: the price that the crowd paid."""

    def median(name: str) -> float | None:
        return measure.median(getattr(one.crowd, name) for one in runs if one.crowd)

    def own(name: str) -> float | None:
        return measure.median(getattr(one, name) for one in runs)

    def most(name: str, limit: float, value: float | None, form: str = ".1%") -> Check:
        good = None if value is None else value <= limit
        return Check(name, f"<= {limit:{form}}", _shown(value, form), good)

    fairness = median("upload_fairness")
    return [
        most("waste: fetched, never played", 0.03, own("waste_share")),
        most("duplicate bytes", 0.01, median("duplicate_share")),
        most("control and proof bytes", 0.015, median("control_share")),
        most("hedges", 0.05, median("hedge_share")),
        Check(
            "fairness of upload (Jain)",
            ">= 0.80",
            _shown(fairness, ".2f"),
            None if fairness is None else fairness >= 0.8,
        ),
        most("CPU of a peer, of one core", 0.02, own("cpu_per_viewer")),
    ]


def _payload_offload(crowd: Sequence[Figures], lone: Sequence[Figures]) -> float | None:
    """Offload with the packet headers taken off: by what a lone viewer's bytes show for
    themselves.
    """
    overhead = measure.median(one.copies for one in lone)
    found = [
        measure.offload(one.egress_bytes / overhead, one.delivered_bytes)
        for one in crowd
        if overhead
    ]
    return measure.median(found)


def _needed_bytes(visits: Sequence[Visit], seen: Mapping[str, Viewing]) -> int:
    come = {visit.host: visit for visit in visits}
    asked = sorted(
        (come[host].arrives_s + at_s, host, path)
        for host, viewing in seen.items()
        for path, at_s in viewing.requested_s.items()
    )
    holders: dict[str, list[Visit]] = {}
    needed = 0
    for at_s, host, path in asked:
        there = (
            one for one in holders.get(path, ()) if one.leaves_s is None or one.leaves_s > at_s
        )
        if next(there, None) is None:
            needed += seen[host].delivered[path]
        holders.setdefault(path, []).append(come[host])
    return needed


def _in_vain(visit: Visit, viewing: Viewing | None) -> bool:
    """Whether somebody came, stayed a while, and saw nothing."""
    stay_s = math.inf if visit.leaves_s is None else visit.leaves_s - visit.arrives_s
    return stay_s >= PATIENCE_S and (viewing is None or viewing.startup_s is None)


def _from_zero(samples: Sequence[measure.Sample]) -> list[measure.Sample]:
    """The readings from second 0 on, the last one before moved there."""
    before = [sample for sample in samples if sample.at_s <= 0]
    start = [measure.Sample(0.0, before[-1].value_bytes)] if before else []
    return start + [sample for sample in samples if sample.at_s > 0]


def _loses(scenario: Scenario, host: str) -> bool:
    return scenario.links.lossy_peers is not None and scenario.loses(int(host.lstrip("p")))


def _peak_over_need(
    scenario: Scenario, result: RunResult, windows: Sequence[int], seen: Mapping[str, Viewing]
) -> float | None:
    """The worst window's egress over what the origin had to send in it."""
    if not result.egress:
        return None
    end_s = result.egress[-1].at_s
    edges_s = [WINDOW_S * number for number in range(len(windows))] + [end_s]
    uplink_bps = scenario.links.uplink_bps * USABLE_UPLINK
    needed = needed_in_windows(result.visits, seen, uplink_bps, edges_s)
    if needed is None:
        return None
    return max(
        (sent / need for sent, need in zip(windows, needed, strict=True) if need > 0), default=None
    )


def _waste_share(
    stats: Sequence[Mapping[str, Any]], seen: Iterable[Viewing], egress_bytes: int
) -> float | None:
    if not stats:
        return None
    played = {path for viewing in seen for path in viewing.delivered}
    wasted = sum(
        int(record.get("origin") or 0)
        for one in stats
        for record in one.get("segments") or ()
        if record.get("kind") in ("video", "audio") and record.get("path") not in played
    )
    return measure.share(wasted, egress_bytes)


def _stall_ratio(seen: Iterable[Viewing]) -> float | None:
    told = [(one.stalled_s, one.played_s) for one in seen if one.played_s]
    stalled_s = sum(stalled for stalled, _ in told)
    return measure.share(stalled_s, stalled_s + sum(played for _, played in told))


def _takeovers(swarms: Any) -> int | None:
    if not swarms:
        return None
    return sum(int(swarm.get("takeovers") or 0) for swarm in swarms.get("swarms", ()))


def _liars_kept(liar_ids: Sequence[str | None], stats: Sequence[Mapping[str, Any]]) -> int | None:
    if not liar_ids or None in liar_ids:
        return None
    neighbours = [one["peer"] for answer in stats for one in answer.get("neighbours", ())]
    return sum(neighbours.count(liar) for liar in set(liar_ids))


def _cpu_per_viewer(result: RunResult) -> float | None:
    ends = {visit.host: visit.leaves_s or result.duration_s for visit in result.visits}
    used = [
        result.cpu_s[visit.host] / (ends[visit.host] - visit.arrives_s)
        for visit in result.visits
        if visit.host in result.cpu_s and ends[visit.host] > visit.arrives_s
    ]
    return statistics.median(used) if used else None


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
