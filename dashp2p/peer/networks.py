"""How fast the films of each origin came to this peer, kept across restarts.

What a cache holds goes to players at the pace of the network. Without this a peer that has just
been started would know no pace, and its first answers would promise a line that is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dashp2p.peer.limits import MAX_NETWORKS, MAX_RATE_BPS
from dashp2p.peer.remembered import Remembered

NETWORKS_FILE = "networks.json"
"""In the cache folder."""


def remembered_networks(file: Path | None) -> Remembered[float]:
    """Bits per second by the origin's address."""
    return Remembered(file, MAX_NETWORKS, _read, round, "the rates of networks")


def _read(value: Any) -> float:
    if type(value) is not int or not 0 < value <= MAX_RATE_BPS:
        raise ValueError(f"{value!r} is no rate")
    return float(value)
