"""What a headless viewer tells when it ends: figures, its buffer by time, each segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dashp2p.lab.buffer_log import BufferLog
from dashp2p.lab.playback import Playback


class Told(Protocol):
    """What a report is written of: the viewer."""

    reactor: Any
    name: str
    state: str
    error: str | None
    begun_at: float
    playback: Playback | None
    buffer: BufferLog
    bytes_total: int

    @property
    def segments(self) -> Sequence[dict[str, Any]]: ...

    @property
    def refusals(self) -> Sequence[dict[str, Any]]: ...


def write(viewer: Told) -> dict[str, Any]:
    """How it went so far. Times in seconds of this playback where not named otherwise."""
    playback = viewer.playback
    report: dict[str, Any] = {
        "v": 1,
        "id": viewer.name,
        "sid": viewer.name,
        "state": viewer.state,
        "error": viewer.error,
        "startup_ms": None,
        "stalls": 0,
        "stalled_ms": 0.0,
        "mean_bitrate_bps": 0.0,
        "switches": 0,
        "position_s": 0.0,
        "bytes": viewer.bytes_total,
        "qoe_linear": 0.0,
        "qoe_per_segment": None,
        "stall_ratio": 0.0,
        "played_s": 0.0,
        "standstills": [],
        "buffer": [list(sample) for sample in viewer.buffer.samples],
        "segments": viewer.segments,
        "refusals": list(viewer.refusals),
    }
    if playback is not None:
        report |= _seen(viewer, playback)
    return report


def _seen(viewer: Told, playback: Playback) -> dict[str, Any]:
    playback.advance(viewer.reactor.seconds())
    qoe = playback.qoe
    stalled = viewer.state == "playing" and not playback.playing
    return {
        "state": "stalled" if stalled else viewer.state,
        "startup_ms": None if qoe.startup_s is None else round(qoe.startup_s * 1000, 1),
        "stalls": qoe.stalls,
        "stalled_ms": round(qoe.stalled_s * 1000, 1),
        "mean_bitrate_bps": round(qoe.mean_bitrate_bps),
        "switches": qoe.switches,
        "position_s": round(playback.position_s, 3),
        "qoe_linear": round(qoe.linear, 3),
        "qoe_per_segment": round(qoe.linear_per_segment, 3) if qoe.played_s > 0 else None,
        "stall_ratio": round(qoe.stall_ratio, 5),
        "played_s": round(qoe.played_s, 3),
        "standstills": [
            [round(at - viewer.begun_at, 2), round(length_s, 2)]
            for at, length_s in playback.standstills
        ],
    }
