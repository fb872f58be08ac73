"""Talking to the tracker: announces and lease calls, as JSON over HTTP."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http_headers import Headers

from dashp2p.content.limits import JWT_MAX_CHARS
from dashp2p.content.tickets import sign_announce
from dashp2p.peer.exchange import Address
from dashp2p.peer.limits import (
    MAX_EPOCH,
    MAX_HOLDERS_TAKEN,
    MAX_PEERS_TAKEN,
    MAX_TIME_S,
    MAX_TRACKER_BYTES,
    MAX_WHY_CHARS,
    TRACKER_TIMEOUT_S,
)
from dashp2p.peer.origin_client import OriginClient
from dashp2p.peer.reasons import reason
from dashp2p.swarm.commands import CallTracker, Held, Want
from dashp2p.swarm.leading import Grant
from dashp2p.web.json import BadRequestError, parse_json

log = Logger()


class TrackerError(Exception):
    """The tracker did not answer, or not with what it should."""


class TrackerRefused(TrackerError):  # noqa: N818 - it says what happened
    """The tracker answered that it will not; the text says what to do about it."""


@frozen
class Announced:
    """The tracker's answer to an announce. `swarm_peers` counts this peer too."""

    interval_s: float
    swarm_peers: int
    address: str
    peers: tuple[Address, ...]
    ticket: str | None
    ticket_key: bytes | None = None
    """The public key of whoever signs its tickets."""
    time: float | None = None
    """Its clock, in seconds since 1970."""


class TrackerClient:
    """`base_url` is the tracker's, as in http://tracker:7000.

    With `key` announces are signed, which gets this peer a ticket. `token` is the film's owner's.
    """

    def __init__(
        self,
        http: HTTPClient,
        clock: IReactorTime,
        base_url: str,
        peer_id: bytes,
        key: Ed25519PrivateKey | None = None,
        token: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.named: Callable[[tuple[Address, ...]], None] = lambda addresses: None
        """Hears where leaders and holders are that a lease answer names."""
        self.hurried: Callable[[float], None] = lambda interval_s: None
        """Hears how often to announce while somebody looks at the tracker's dashboard."""
        self.forgotten: Callable[[], None] = lambda: None
        """Hears that the tracker does not know this peer (any more)."""
        self.ticket: Callable[[], bytes] = lambda: b""
        """What lease calls are made with."""
        self._key = key
        self._token = token
        self._wall = wall
        self._signed_ms = 0
        self._refused_ticket: bytes | None = None
        self._base_url = base_url.rstrip("/")
        self._http = http
        self._clock = clock
        self._reader = OriginClient(http, clock, base_url)
        self._peer_id = peer_id

    async def announce(
        self,
        swarm_id: bytes,
        event: str,
        port: int,
        private: list[str],
        wanted: int,
        upload_bps: int,
        have: int,
        public_key: bytes,
        stats: Mapping[str, float],
        served_by: Mapping[str, int],
    ) -> Announced:
        """Tell where we listen and learn of others. Raises TrackerError."""
        answer = await self._post(
            "/announce",
            {
                "v": 1,
                "swarm": swarm_id.hex(),
                "peer": self._peer_id.hex(),
                "ticket_key": public_key.hex(),
                "port": port,
                "private": private,
                "event": event,
                "wanted": wanted,
                "upload_bps": upload_bps,
                "have": have,
                "stats": dict(stats),
                "served_by": dict(served_by),
                **self._proof(),
            },
        )
        try:
            return _read_announced(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise TrackerError(f"the tracker's announce is malformed: {error!r}") from error

    def _proof(self) -> dict[str, object]:
        """What the tracker needs besides the signature, to tell new announces from repeated ones
        and to admit us.
        """
        proof: dict[str, object] = {} if self._token is None else {"token": self._token}
        if self._key is not None:
            self._signed_ms = max(self._signed_ms + 1, int(self._wall() * 1000))
            proof["signed_ms"] = self._signed_ms
            if ticket := self.ticket():
                proof["ticket"] = ticket.decode("ascii")
        return proof

    async def lease(self, swarm_id: bytes, call: CallTracker) -> list[Grant]:
        """Make a lease call; answers in the order of `call.wants`. Raises TrackerError."""
        ticket = self.ticket()
        try:
            answer = await self._post("/lease", self._lease_message(swarm_id, call, ticket))
        except TrackerRefused:
            # It may have been started anew with another key: once for each ticket, ask for another.
            if ticket and ticket != self._refused_ticket:
                self._refused_ticket = ticket
                self.forgotten()
            raise
        return self._grants(call, answer)

    def _lease_message(
        self, swarm_id: bytes, call: CallTracker, ticket: bytes
    ) -> dict[str, object]:
        message: dict[str, object] = {
            "v": 1,
            "swarm": swarm_id.hex(),
            "peer": self._peer_id.hex(),
            "want": [_want(want) for want in call.wants],
            "progress": [_held(held, True) for held in call.progress],
            "done": [_held(held) for held in call.done],
            "release": [_held(held) for held in call.release],
        }
        if ticket:
            message["ticket"] = ticket.decode("ascii")
        return message

    def _grants(self, call: CallTracker, answer: Mapping[str, Any]) -> list[Grant]:
        try:
            grants = [_read_grant(item) for item in answer["leases"]]
        except (KeyError, TypeError, ValueError) as error:
            raise TrackerError(f"the tracker's lease answer is malformed: {error!r}") from error
        try:
            named = tuple(_read_peer(item) for item in answer.get("peers", ())[:MAX_PEERS_TAKEN])
        except (KeyError, TypeError, ValueError) as error:
            raise TrackerError(f"the tracker names peers that cannot be: {error!r}") from error
        if [grant.segment for grant in grants] != [want.entry.position for want in call.wants]:
            raise TrackerError("the tracker answered for other segments")
        if named:
            self.named(named)
        interval_s = answer.get("interval_s")
        if isinstance(interval_s, float):
            self.hurried(_interval_s(interval_s))
        if answer.get("announce") is True:
            self.forgotten()
        return grants

    async def _post(self, path: str, message: Mapping[str, object]) -> dict[str, Any]:
        call = Deferred.fromCoroutine(self._exchange(path, message))
        try:
            code, raw = await call.addTimeout(TRACKER_TIMEOUT_S, self._clock)
        except CancelledError:
            raise
        except Exception as error:
            raise TrackerError(f"the tracker does not answer: {reason(error)}") from error
        try:
            answer = parse_json(raw)
        except BadRequestError:
            answer = None
        if code != 200 or not isinstance(answer, dict):
            why = answer.get("error") if isinstance(answer, dict) else "that is no JSON object"
            kind = TrackerRefused if code == 403 else TrackerError
            raise kind(f"the tracker answered {code}: {str(why)[:MAX_WHY_CHARS]}")
        return answer

    async def _exchange(self, path: str, message: Mapping[str, object]) -> tuple[int, bytes]:
        body = json.dumps(message, separators=(",", ":")).encode()
        headers = Headers({"Content-Type": ["application/json"]})
        if self._key is not None and path == "/announce":
            headers.setRawHeaders("Dashp2p-Signature", [sign_announce(self._key, body)])
        response = await self._http.post(
            self._base_url + path,
            data=body,
            headers=headers,
            unbuffered=True,
            allow_redirects=False,
        )
        pieces: list[bytes] = []
        await self._reader.read(response, MAX_TRACKER_BYTES, pieces.append)
        return response.code, b"".join(pieces)


def _want(want: Want) -> dict[str, object]:
    entry = want.entry
    item: dict[str, object] = {
        "segment": entry.position,
        "blocks": entry.block_count,
        "path": entry.path[:200],
        "hedge": want.hedge,
        "size_bytes": entry.size_bytes,
        "media_bps": int(entry.size_bytes * 8 / entry.duration_s) if entry.duration_s else 0,
    }
    if want.missing != (1 << entry.block_count) - 1:
        item["missing"] = f"{want.missing:x}"
    if want.slow:
        item["slow"] = True
    if want.urgent:
        item["urgent"] = True
    if want.refused:
        item["refused"] = [peer_id.hex() for peer_id in want.refused]
    return item


def _held(held: Held, with_blocks: bool = False) -> dict[str, int]:
    item = {"segment": held.segment, "epoch": held.epoch}
    if with_blocks:
        item["blocks_done"] = held.blocks_done
    return item


def _read_announced(answer: Mapping[str, Any]) -> Announced:
    ticket = answer.get("ticket")
    return Announced(
        interval_s=_interval_s(float(answer["interval_s"])),
        swarm_peers=int(answer.get("swarm_peers", 0)),
        address=str(answer.get("address", ""))[:64],
        peers=tuple(_read_peer(item) for item in answer["peers"][:MAX_PEERS_TAKEN]),
        ticket=ticket if isinstance(ticket, str) and len(ticket) <= JWT_MAX_CHARS else None,
        ticket_key=None if answer.get("ticket_key") is None else _id(answer["ticket_key"]),
        time=None if answer.get("time") is None else min(MAX_TIME_S, float(answer["time"])),
    )


def _interval_s(told: float) -> float:
    return min(600.0, max(1.0, told))


def _read_peer(item: Mapping[str, Any]) -> Address:
    host, port = item["host"], int(item["port"])
    if not isinstance(host, str):
        raise ValueError("a host that is no text")  # a number would pass for an IPv4 address
    ipaddress.ip_address(host)
    if not 0 < port < 65536:
        raise ValueError("a port out of range")
    return Address(_id(item["peer"]), host, port)


def _read_grant(item: Mapping[str, Any]) -> Grant:
    segment, epoch = int(item["segment"]), int(item.get("epoch", 0))
    if not 0 <= epoch <= MAX_EPOCH:
        raise ValueError("an epoch that cannot be")
    if item["granted"] is True:
        first, count = int(item["first"]), int(item["count"])
        if first < 0 or not 0 < count <= 4096 or first + count > 4096:
            raise ValueError("a lease over blocks that cannot be")
        return Grant(segment, True, epoch, first, count)
    leader = item.get("leader")
    return Grant(
        segment,
        False,
        epoch,
        leader=None if leader is None else _id(leader),
        retry_s=min(5.0, max(0.0, float(item.get("retry_s", 0.5)))),
        holders=tuple(_id(holder) for holder in item.get("holders", ())[:MAX_HOLDERS_TAKEN]),
    )


def _id(text: str) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) != 32:
        raise ValueError("a peer id that is not 32 bytes")
    return raw
