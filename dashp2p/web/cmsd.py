"""Common Media Server Data, CTA-5006: what we tell a player with each response.

`etp` is the rate that the swarm can sustain, and `mb` the highest bitrate worth asking for. A local
cache answers at gigabits; without these a player would take that for its network.
"""

from __future__ import annotations

import http_sf
from http_sf import Token
from http_sf.types import BareItemType
from twisted.web.server import Request

_TYPES = {"manifest": "m", "audio": "a", "video": "v", "muxed": "av", "init": "i", "other": "o"}


def cmsd_dynamic(
    identity: str,
    *,
    throughput_bps: float | None = None,
    max_bitrate_bps: float | None = None,
    round_trip_s: float | None = None,
    duress: bool = False,
) -> str:
    """The value of CMSD-Dynamic; '' when there is nothing to tell.

    `identity` names this server in visible ASCII. Rates are rounded down to kbit/s, at least 1.
    """
    told: dict[str, BareItemType] = {}
    if duress:
        told["du"] = True
    if throughput_bps is not None:
        told["etp"] = max(1, int(throughput_bps // 1000))
    if max_bitrate_bps is not None:
        told["mb"] = max(1, int(max_bitrate_bps // 1000))
    if round_trip_s is not None:
        told["rtt"] = max(0, round(round_trip_s * 1000))
    return http_sf.ser([(identity, told)]) if told else ""


def cmsd_static(
    *,
    object_type: str | None = None,
    bitrate_bps: float | None = None,
    duration_s: float | None = None,
    next_object: str | None = None,
    startup: bool = False,
) -> str:
    """The value of CMSD-Static; '' when there is nothing to tell.

    `object_type` is a word as in dashp2p.web.cmcd; `next_object` a percent-encoded relative path.
    """
    told: dict[str, BareItemType] = {}
    if bitrate_bps is not None:
        told["br"] = max(1, int(bitrate_bps // 1000))
    if duration_s is not None:
        told["d"] = max(0, round(duration_s * 1000))
    if next_object is not None:
        told["nor"] = next_object
    if object_type in _TYPES:
        told["ot"] = Token(_TYPES[object_type])
    if startup:
        told["su"] = True
    return http_sf.ser(dict(told)) if told else ""


def set_cmsd(request: Request, *, static: str = "", dynamic: str = "") -> None:
    """Set the headers that are not empty."""
    if static:
        request.setHeader(b"CMSD-Static", static.encode("ascii"))
    if dynamic:
        request.setHeader(b"CMSD-Dynamic", dynamic.encode("ascii"))
