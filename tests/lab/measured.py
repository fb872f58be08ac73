"""Runs made up for tests of reports: a small crowd with all that real ones leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve

from dashp2p.lab.figures import figures
from dashp2p.lab.measure import Sample
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.saved import Saved, save
from dashp2p.lab.scenario import Scenario, Targets, Variant, Visit, host_name

VIEWERS = 3
SEGMENTS = 3
VIDEO_BYTES, AUDIO_BYTES = 500_000, 60_000
FILM_BYTES = SEGMENTS * (VIDEO_BYTES + AUDIO_BYTES)
THREE = Scenario(
    "three", "three at once", 1, peers=VIEWERS, film_s=12.0, targets=Targets(cps_max=1.05)
)


def viewer_report(startup_ms: float = 300.0, stalls: int = 0, rate_bps: int = 1_000_000) -> Any:
    """As a headless viewer writes it."""
    segments = []
    for number in range(SEGMENTS):
        for track, size in (("video", VIDEO_BYTES), ("audio", AUDIO_BYTES)):
            asked_s = 4.0 * number + (0.1 if track == "audio" else 0.0)
            segments.append(
                {
                    "path": f"{track}_{number}.m4s",
                    "track": track,
                    "bitrate_bps": rate_bps if track == "video" else 128_000,
                    "size_bytes": size,
                    "complete": True,
                    "requested_s": asked_s,
                    "first_byte_s": asked_s + 0.1,
                    "done_s": asked_s + 0.3,
                    "buffer_s": 4.0 * number,
                }
            )
    return {
        "state": "ended",
        "startup_ms": startup_ms,
        "stalls": stalls,
        "stalled_ms": stalls * 500.0,
        "mean_bitrate_bps": rate_bps,
        "switches": 1,
        "position_s": 12.0,
        "played_s": 12.0,
        "qoe_per_segment": 0.9 - stalls * 0.7,
        "buffer": [[0.5 * step, min(4.0, 0.5 * step)] for step in range(24)],
        "standstills": [[3.0, 0.5]] * stalls,
        "segments": segments,
        "exit_status": 0,
    }


def peer_stats(report: Any, shares: dict[str, float]) -> Any:
    """/stats of a peer whose player wrote that report: `shares` of its bytes by source."""
    records = [
        {
            "path": one["path"],
            "kind": one["track"],
            "size_bytes": one["size_bytes"],
            "hedges": 0,
            **{source: int(one["size_bytes"] * share) for source, share in shares.items()},
        }
        for one in report["segments"]
    ]
    sums = {source: int(FILM_BYTES * share) for source, share in shares.items()}
    return {
        "bytes": {**sums, "delivered": FILM_BYTES, "uploaded": FILM_BYTES, "duplicate": 0},
        "segments": records,
    }


def measured(variant: Variant, seed: int = 1, copies: float = 1.0, **changes: Any) -> Saved:
    """One run in which `copies` of the film left the origin; `changes` are RunResult's fields."""
    crowd = 1 if variant is Variant.LONE else VIEWERS
    hosts = [host_name(number) for number in range(1, crowd + 1)]
    viewers = {host: viewer_report(300.0 + 10 * seed) for host in hosts}
    sources = {"origin": 1 / VIEWERS, "peers": 1 - 1 / VIEWERS, "cache": 0.0}
    stats = {host: peer_stats(viewers[host], sources) for host in hosts}
    sent = copies * FILM_BYTES
    whole: dict[str, Any] = {
        "scenario": THREE.name,
        "variant": variant,
        "seed": seed,
        "loopback": False,
        "ablations": (),
        "began_at": 1_780_000_000.0 + seed,
        "duration_s": 12.0,
        "egress": tuple(Sample(float(s), int(sent * min(s, 8) / 8)) for s in range(13)),
        "visits": tuple(Visit(host, 0.0) for host in hosts),
        "viewers": viewers,
        "stats": stats if variant is Variant.PEERS else {},
        "swarms": None,
        "cpu_s": {},
        "machine_busy": 0.3,
        "stage": {},
        "notes": (),
        "setting": Setting.LAB,
        "ladder_bps": (500_000, 1_000_000),
    }
    result = RunResult(**{**whole, **changes})
    return Saved(THREE, result, figures(THREE, result))


def with_targets(run: Saved, targets: Targets) -> Saved:
    """The same run of a scenario that asks for something else."""
    return evolve(run, scenario=evolve(run.scenario, targets=targets))


def write(run: Saved, folder: Path) -> Path:
    """As the lab leaves it: FOLDER/three/VARIANT-SEED/run.json."""
    place = f"{run.result.variant.value}{'-'.join(['', *run.result.ablations])}-{run.result.seed}"
    path = folder / run.scenario.name / place / "run.json"
    save(run.scenario, run.result, run.figures, path)
    return path


def whole_experiment() -> list[Saved]:
    """Two seeds of each way, and one ablation."""
    runs = []
    for seed in (1, 2):
        runs += [
            measured(Variant.PEERS, seed, 1.0 + 0.02 * seed),
            measured(Variant.PEERS, seed, 2.0, ablations=("no-lease",)),
            measured(Variant.PLAIN, seed, 3.0),
            measured(Variant.LONE, seed, 1.0),
        ]
    return runs
