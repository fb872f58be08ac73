"""Segments of a lease table as bytes, for trackers that share them.

JSON: an operator who looks into the store can read it. Sets of blocks are hex digits, "*" the whole
segment. The reader trusts the writer (a tracker), not the store: what is no such value is an error.
"""

from __future__ import annotations

import json
from typing import Any

from dashp2p.swarm.lease_rules import WHOLE
from dashp2p.swarm.lease_segment import Lease, SegmentLeases

__all__ = ["segment_from_bytes", "segment_to_bytes"]

_NUMBERS = (
    "epoch",
    "first",
    "count",
    "size_bytes",
    "duration_s",
    "granted_at",
    "expires_at",
    "advanced_at",
    "last_at",
    "blocks_done",
)


def segment_to_bytes(segment: SegmentLeases) -> bytes:
    """All of a segment but its position."""
    fields = {
        "epoch": segment.epoch,
        "path": segment.path,
        "leases": [_lease_fields(lease) for lease in segment.leases.values()],
        "holders": [[peer.hex(), _hex(blocks)] for peer, blocks in segment.holders.items()],
        "ended": [
            [epoch, peer.hex(), _hex(blocks)] for epoch, (peer, blocks) in segment.ended.items()
        ],
        "parts": [[peer.hex(), at] for peer, at in segment.parts_at.items()],
        "asked_at": max(segment.asked_at, 0.0),
        "lost": _hex(segment.lost),
        "lost_by": segment.lost_by.hex(),
        "size_bytes": segment.size_bytes,
        "fetched_bytes": segment.fetched_bytes,
        "takeovers": segment.takeovers,
    }
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def segment_from_bytes(position: int, raw: bytes) -> SegmentLeases:
    """The segment again. Raises ValueError for bytes that are none."""
    try:
        fields = json.loads(raw)
        leases = [_lease(position, each) for each in fields["leases"]]
        return SegmentLeases(
            position=position,
            epoch=int(fields["epoch"]),
            path=fields["path"],
            leases={lease.epoch: lease for lease in leases},
            holders={bytes.fromhex(peer): _mask(blocks) for peer, blocks in fields["holders"]},
            ended={
                int(epoch): (bytes.fromhex(peer), _mask(blocks))
                for epoch, peer, blocks in fields["ended"]
            },
            parts_at={bytes.fromhex(peer): float(at) for peer, at in fields["parts"]},
            asked_at=float(fields["asked_at"]),
            lost=_mask(fields["lost"]),
            lost_by=bytes.fromhex(fields["lost_by"]),
            size_bytes=int(fields["size_bytes"]),
            fetched_bytes=int(fields["fetched_bytes"]),
            takeovers=int(fields["takeovers"]),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"these are not a segment's leases: {error!r}") from error


def _lease_fields(lease: Lease) -> dict[str, Any]:
    return {
        **{name: getattr(lease, name) for name in _NUMBERS},
        "peer": lease.peer.hex(),
        "would_hold": _hex(lease.would_hold),
        "hedge": lease.hedge,
    }


def _lease(position: int, fields: dict[str, Any]) -> Lease:
    return Lease(
        segment=position,
        peer=bytes.fromhex(fields["peer"]),
        would_hold=_mask(fields["would_hold"]),
        hedge=bool(fields["hedge"]),
        **{name: fields[name] for name in _NUMBERS},
    )


def _hex(blocks: int) -> str:
    return "*" if blocks == WHOLE else f"{blocks:x}"


def _mask(text: str) -> int:
    return WHOLE if text == "*" else int(text, 16)
