"""What cannot be beaten in a scenario: bounds from its links and its film alone.

One copy of what is watched has to leave the origin, so no scheme spares it more than 1 - 1/N. The
time to hand F bytes to N viewers is at least max(F/u_s, F/d, N F/(u_s + sum of u_i)) and the rate
that all can watch at most min(u_s, d, (u_s + sum of u_i)/N), where u are uplinks, d downlinks and s
the origin (Kumar and Ross, HOTWEB 2006; Kumar, Liu and Ross, INFOCOM 2007).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from dashp2p.lab.report.experiment import Case, Experiment
from dashp2p.lab.result import Setting
from dashp2p.lab.scenario import FAR_ROUND_TRIP_S, Links


@frozen
class Limits:
    """The best that any scheme could do; None where too little is known to say."""

    egress_bytes: float | None
    offload: float | None
    startup_s: float | None
    bitrate_bps: float | None
    copies: float = 1.0

    @property
    def score(self) -> float | None:
        """The linear quality score of a segment: the best bitrate, never stalled or changed."""
        return None if self.bitrate_bps is None else self.bitrate_bps / 1e6


def limits(experiment: Experiment) -> Limits:
    """The bounds for the crowd with peers, or for that without where there are no peers."""
    case = experiment.crowd or experiment.plain or experiment.cases[0]
    needed, delivered = case.median("needed_bytes"), case.median("delivered_bytes")
    top_bps = max(experiment.ladder_bps, default=None)
    rate_bps = _rate_bps(experiment)
    known = [rate for rate in (top_bps, rate_bps) if rate is not None]
    return Limits(
        egress_bytes=needed or None,
        offload=1 - needed / delivered if needed and delivered else None,
        startup_s=_startup_s(experiment, case),
        bitrate_bps=min(known) if top_bps is not None else None,
    )


def _uplinks_bps(experiment: Experiment) -> float | None:
    """All viewers' together; None where they are not limited, or not known."""
    if experiment.setting is not Setting.LAB:
        return None
    return experiment.scenario.links.uplink_bps * experiment.scenario.peers


def _rate_bps(experiment: Experiment) -> float | None:
    links, uplinks_bps = experiment.scenario.links, _uplinks_bps(experiment)
    if uplinks_bps is None:
        return links.origin_uplink_bps if experiment.setting is Setting.LOOPBACK else None
    shared_bps = (links.origin_uplink_bps + uplinks_bps) / experiment.scenario.peers
    return min(links.origin_uplink_bps, links.downlink_bps, shared_bps)


def _startup_s(experiment: Experiment, case: Case) -> float | None:
    reports = [report for report in case.runs[0].result.viewers.values() if report]
    sizes = [size for report in reports if (size := _first_bytes(report))]
    if not sizes or experiment.setting not in (Setting.LAB, Setting.LOOPBACK):
        return None
    bits = statistics.median(sizes) * 8
    links, uplinks_bps = experiment.scenario.links, _uplinks_bps(experiment)
    at_once = not experiment.scenario.spacing_s and experiment.scenario.churn is None
    if not at_once:
        # Who comes later may have it all from others.
        return bits / links.downlink_bps + _round_trip_s(links)
    times = [bits / links.origin_uplink_bps]
    if uplinks_bps is not None:
        crowd = experiment.scenario.peers
        times += [
            bits / links.downlink_bps,
            crowd * bits / (links.origin_uplink_bps + uplinks_bps),
        ]
    return max(times) + _round_trip_s(links)


def _round_trip_s(links: Links) -> float:
    """One at least passes between a question and its answer."""
    return FAR_ROUND_TRIP_S if links.far else 0.0


def _first_bytes(report: Mapping[str, Any]) -> int:
    """What a player has to have before it can begin: the first segment of each track."""
    first: dict[str, int] = {}
    for segment in report.get("segments") or ():
        first.setdefault(str(segment.get("track", "video")), int(segment["size_bytes"]))
    return sum(first.values())
