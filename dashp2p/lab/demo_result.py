"""The demo as a run that reports can be written of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashp2p.lab.crowd_log import CrowdLog
from dashp2p.lab.demo_summary import viewing_of
from dashp2p.lab.demo_watch import JOIN_INTERVAL_S
from dashp2p.lab.figures import figures
from dashp2p.lab.measure import Sample
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.saved import Saved
from dashp2p.lab.scenario import Player, Scenario, Variant, Visit


def demo_run(
    log: CrowdLog,
    reports: Mapping[str, Mapping[str, Any]],
    joined: Mapping[str, float],
    sent_bytes: int,
    running_s: float,
    began_at: float,
    machine_busy: float | None,
) -> Saved:
    """One run of all that is known. By name of the peer: `reports` of silent viewers, and when
    they `joined`; of other players their peer tells. `sent_bytes`: what the origin counted, 0 where
    it was not asked.
    """
    stats = log.stats
    viewers: dict[str, Any] = {}
    visits: list[Visit] = []
    for name, one in stats.items():
        report = reports.get(name)
        if report is None:
            report = _player_report(one, running_s)
        if report is not None:
            viewers[name] = report
            visits.append(Visit(name, joined.get(name, 0.0)))
    egress = [*log.samples, Sample(running_s, max(sent_bytes, log.origin_bytes))]
    scenario = Scenario(
        "demo",
        f"{len(viewers)} viewers in a demo" if len(viewers) != 1 else "one viewer in a demo",
        peers=len(viewers),
        spacing_s=JOIN_INTERVAL_S,
        film_s=round(running_s, 1),
        player=Player.CMCD,
    )
    result = RunResult(
        scenario=scenario.name,
        variant=Variant.PEERS,
        seed=1,
        loopback=False,
        ablations=(),
        began_at=began_at,
        duration_s=running_s,
        egress=tuple(egress),
        visits=tuple(visits),
        viewers=viewers,
        stats=stats,
        swarms=None,
        cpu_s={},
        machine_busy=machine_busy,
        stage={},
        notes=(),
        setting=Setting.DEMO,
        presentation=log.presentation,
    )
    return Saved(scenario, result, figures(scenario, result))


def _player_report(stats: Mapping[str, Any], running_s: float) -> dict[str, Any] | None:
    """What a page or another player did, as far as its peer knows; None where nobody played."""
    # The peer was there before the crowd began: its clock is ahead of the crowd's.
    ahead_s = float(stats.get("uptime_s") or 0) - running_s
    segments = [
        {
            "path": one["path"],
            "track": one["kind"],
            "bitrate_bps": one.get("bitrate_bps"),
            "size_bytes": one["size_bytes"],
            "complete": True,
            "requested_s": max(0.0, one["at_s"] - one["took_ms"] / 1e3 - ahead_s),
            "done_s": max(0.0, one["at_s"] - ahead_s),
        }
        for one in stats.get("segments") or ()
        if one.get("kind") in ("video", "audio")
    ]
    if not segments:
        return None
    told = viewing_of(stats, None)
    names = ("state", "startup_ms", "stalls", "stalled_ms", "mean_bitrate_bps", "switches")
    return {**{name: told.get(name) for name in names}, "segments": segments}
