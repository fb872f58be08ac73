"""What one viewer saw, from the report that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from attrs import field, frozen

from dashp2p.lab.crew import FALSE_BYTES_STATUS
from dashp2p.web.qoe import SEGMENT_S


@frozen
class Viewing:
    """One viewer's film."""

    startup_s: float | None
    """None: its film never began."""
    stalls: int
    stalled_s: float
    mean_bitrate_bps: float | None
    delivered: Mapping[str, int]
    """Files that it got whole, with their sizes in bytes."""
    finished: bool
    requested_s: Mapping[str, float] = field(factory=dict)
    """When each of these was asked for, in seconds from the viewer's beginning, where told."""
    came_s: Mapping[str, tuple[float, float]] = field(factory=dict)
    """When each of them was asked for and was whole, in the same seconds, where both were told."""
    false_bytes: bool = False
    """Something that it got differs from what the origin published."""
    switches: int = 0
    played_s: float = 0.0
    qoe: float | None = None
    """The linear score per segment; None where it was not told, or nothing was seen."""
    refused_s: tuple[float, ...] = ()
    """How long each 503 took that it got."""


def _score(report: Mapping[str, Any]) -> float | None:
    """By segment; older reports have only the sum, over segments of the usual length."""
    if report.get("qoe_per_segment") is not None:
        return float(report["qoe_per_segment"])
    position_s = float(report.get("position_s") or 0)
    if report.get("qoe_linear") is None or not position_s:
        return None
    return float(report["qoe_linear"]) / (position_s / SEGMENT_S)


def read_viewing(report: Mapping[str, Any]) -> Viewing:
    """Read a headless viewer's JSON report, to which the run added the program's `exit_status`."""
    startup_ms = report.get("startup_ms")
    return Viewing(
        startup_s=None if startup_ms is None else startup_ms / 1e3,
        stalls=int(report.get("stalls") or 0),
        stalled_s=float(report.get("stalled_ms") or 0) / 1e3,
        mean_bitrate_bps=report.get("mean_bitrate_bps"),
        delivered={
            str(one["path"]): int(one["size_bytes"])
            for one in report.get("segments") or ()
            if one.get("complete", True)
        },
        finished=report.get("state") == "ended",
        requested_s={
            str(one["path"]): float(one["requested_s"])
            for one in report.get("segments") or ()
            if one.get("requested_s") is not None
        },
        came_s={
            str(one["path"]): (float(one["requested_s"]), float(one["done_s"]))
            for one in report.get("segments") or ()
            if one.get("complete", True) and None not in (one.get("requested_s"), one.get("done_s"))
        },
        false_bytes=report.get("exit_status") == FALSE_BYTES_STATUS,
        switches=int(report.get("switches") or 0),
        played_s=float(report.get("played_s") or report.get("position_s") or 0),
        qoe=_score(report),
        refused_s=tuple(
            float(one["took_s"])
            for one in report.get("refusals") or ()
            if one.get("status") == HTTPStatus.SERVICE_UNAVAILABLE
        ),
    )
