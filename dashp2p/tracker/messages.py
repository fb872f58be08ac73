"""The calls of peers, read strictly: what is wrong is refused, what is unknown ignored."""

from __future__ import annotations

import enum
import json
import re

from attrs import field, frozen

from dashp2p.content.limits import JWT_MAX_CHARS
from dashp2p.swarm.leases import Want
from dashp2p.tracker import limits
from dashp2p.tracker.addresses import HostPort, private_address
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.fields import (
    VERSION,
    Fields,
    block_set,
    flag,
    hex_32,
    identity,
    integer,
    items,
    number,
    objects,
    read_object,
    text,
)

_SHORT_IDS = re.compile(r"(?:[0-9a-f]{16},)*")
_STAT_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Event(enum.Enum):
    """Why a peer announces."""

    STARTED = "started"
    UPDATE = "update"
    STOPPED = "stopped"


@frozen
class Announce:
    """A peer is here: how it is reached and how it fares."""

    swarm: bytes
    peer: bytes
    port: int
    """0: it does not listen, and nobody is told of it."""
    private: tuple[HostPort, ...]
    event: Event
    wanted: int
    upload_bps: int
    have: int
    """Segments that it holds."""
    stats: dict[str, float]
    ticket_key: bytes | None
    """The peer's public key, to which a ticket is bound."""
    served_by: dict[str, int] = field(factory=dict)
    """Bytes received, by the first 16 hex digits of the neighbours' ids."""
    token: str | None = None
    """Of the content's owner."""
    ticket: str | None = None
    """That of the answer to its last announce, which spares checking the signature."""
    signed_ms: int = 0
    """The sender's clock, by which a repeated announce is told from a new one."""


@frozen
class Progress:
    segment: int
    epoch: int
    blocks_done: int


@frozen
class Mark:
    """A segment and the epoch of the lease on it, 0 for none."""

    segment: int
    epoch: int


@frozen
class LeaseCall:
    """What a peer asks and tells about leases in one go."""

    swarm: bytes
    peer: bytes
    want: tuple[Want, ...]
    progress: tuple[Progress, ...]
    done: tuple[Mark, ...]
    release: tuple[Mark, ...]
    ticket: str | None = None


def unannounced(call: LeaseCall) -> Announce:
    """What a peer that leases without having announced itself says of itself: nothing."""
    return Announce(
        swarm=call.swarm,
        peer=call.peer,
        port=0,
        private=(),
        event=Event.UPDATE,
        wanted=0,
        upload_bps=0,
        have=0,
        stats={},
        ticket_key=None,
    )


def read_announce(body: bytes) -> Announce:
    """Raises Refused."""
    fields = read_object(body, limits.MAX_ANNOUNCE_BYTES)
    ticket_key = fields.get("ticket_key")
    return Announce(
        swarm=identity(fields, "swarm"),
        peer=identity(fields, "peer"),
        port=integer(fields, "port", 0, 65_535),
        private=_private(fields),
        event=_event(fields),
        wanted=integer(fields, "wanted", 0, limits.MAX_PEERS_TOLD, limits.MAX_PEERS_TOLD),
        upload_bps=integer(fields, "upload_bps", 0, limits.MAX_BPS, 0),
        have=integer(fields, "have", 0, limits.MAX_SEGMENT + 1, 0),
        stats=_stats(fields),
        ticket_key=None if ticket_key is None else hex_32(ticket_key, "ticket_key"),
        served_by=_served_by(fields),
        token=_jwt(fields, "token"),
        ticket=_jwt(fields, "ticket"),
        signed_ms=integer(fields, "signed_ms", 0, limits.MAX_SIGNED_MS, 0),
    )


def _jwt(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else text(value, name, JWT_MAX_CHARS)


def announce_body(announce: Announce) -> bytes:
    """The announce as a body that `read_announce` reads, without what proves who sent it."""
    fields = {
        "v": VERSION,
        "swarm": announce.swarm.hex(),
        "peer": announce.peer.hex(),
        "port": announce.port,
        "private": [str(address) for address in announce.private],
        "event": announce.event.value,
        "wanted": announce.wanted,
        "upload_bps": announce.upload_bps,
        "have": announce.have,
        "stats": announce.stats,
        "served_by": announce.served_by,
    }
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def _event(fields: Fields) -> Event:
    value = fields.get("event", Event.UPDATE.value)
    try:
        return Event(value)
    except ValueError:
        raise Refused('send "event" as "started", "update" or "stopped"') from None


def _private(fields: Fields) -> tuple[HostPort, ...]:
    found: list[HostPort] = []
    for item in items(fields, "private", limits.MAX_PRIVATE_ADDRESSES):
        try:
            address = private_address(text(item, "private", limits.MAX_ADDRESS_CHARS))
        except ValueError:
            raise Refused('send "private" as addresses such as "10.0.0.5:4001"') from None
        if address is not None and address not in found:
            found.append(address)
    return tuple(found)


def _stats(fields: Fields) -> dict[str, float]:
    stats = fields.get("stats")
    if stats is None:
        return {}
    if type(stats) is not dict or len(stats) > limits.MAX_STATS:
        raise Refused(f'send "stats" as an object of at most {limits.MAX_STATS} numbers')
    for name, value in stats.items():
        if len(name) > limits.MAX_STAT_NAME_CHARS or not _STAT_NAME.fullmatch(name):
            raise Refused('name each of "stats" with up to 40 of a-z, 0-9 and _')
        number(value, "stats", limits.MAX_STAT)
    return stats


def _served_by(fields: Fields) -> dict[str, int]:
    served_by = fields.get("served_by")
    if served_by is None:
        return {}
    if type(served_by) is not dict or len(served_by) > limits.MAX_SERVED_BY:
        raise Refused(f'send "served_by" as an object of at most {limits.MAX_SERVED_BY} numbers')
    # All at once: one by one they would cost as much as the rest of the announce.
    names = ",".join(served_by) + ","
    if served_by and (len(names) != 17 * len(served_by) or not _SHORT_IDS.fullmatch(names)):
        raise Refused('name each of "served_by" with 16 lower-case hex digits')
    for count in served_by.values():
        if type(count) is not int or not 0 <= count <= limits.MAX_STAT:
            raise Refused(f'send "served_by" as whole numbers from 0 to {limits.MAX_STAT}')
    return served_by


def read_lease(body: bytes) -> LeaseCall:
    """Raises Refused."""
    fields = read_object(body, limits.MAX_LEASE_BYTES)
    return LeaseCall(
        swarm=identity(fields, "swarm"),
        peer=identity(fields, "peer"),
        want=tuple(_want(item) for item in objects(fields, "want", limits.MAX_WANTS)),
        progress=tuple(
            Progress(
                _segment(item),
                integer(item, "epoch", 0, limits.MAX_EPOCH),
                integer(item, "blocks_done", 0, limits.MAX_BLOCKS),
            )
            for item in objects(fields, "progress", limits.MAX_PROGRESS)
        ),
        done=_marks(fields, "done", limits.MAX_DONE),
        release=_marks(fields, "release", limits.MAX_RELEASE),
        ticket=_jwt(fields, "ticket"),
    )


def _segment(item: Fields) -> int:
    return integer(item, "segment", 0, limits.MAX_SEGMENT)


def _marks(fields: Fields, name: str, most: int) -> tuple[Mark, ...]:
    return tuple(
        Mark(_segment(item), integer(item, "epoch", 0, limits.MAX_EPOCH, 0))
        for item in objects(fields, name, most)
    )


def _want(item: Fields) -> Want:
    blocks = integer(item, "blocks", 1, limits.MAX_BLOCKS)
    missing = item.get("missing")
    path = item.get("path")
    return Want(
        segment=_segment(item),
        blocks=blocks,
        size_bytes=integer(item, "size_bytes", 0, limits.MAX_SEGMENT_BYTES, 0),
        media_bps=integer(item, "media_bps", 0, limits.MAX_MEDIA_BPS, 0),
        missing=None if missing is None else block_set(missing, "missing", blocks),
        hedge=flag(item, "hedge"),
        slow=flag(item, "slow"),
        urgent=flag(item, "urgent"),
        refused=tuple(
            hex_32(peer, "refused") for peer in items(item, "refused", limits.MAX_REFUSED)
        ),
        path=None if path is None else text(path, "path", limits.MAX_PATH_CHARS),
    )
