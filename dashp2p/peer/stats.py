"""What /stats, /metrics and announces tell, drawn from one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import asdict, define

from dashp2p.peer.engine import Engine
from dashp2p.peer.families import peer_families, player_families
from dashp2p.peer.limits import MAX_SERVED_BY
from dashp2p.peer.membership import Membership
from dashp2p.peer.presentation import Presentation
from dashp2p.peer.sessions import Sessions
from dashp2p.store.blockstore import BlockStore
from dashp2p.web.metrics import Family, Histogram


@define(eq=False)
class Stats:
    """Reads the peer's parts; `membership` is None until the swarm is known."""

    peer_id: bytes
    engine: Engine
    store: BlockStore
    presentation: Presentation
    sessions: Sessions
    membership: Membership | None = None
    share: str = "full"
    """The option --mode."""

    def document(self) -> dict[str, Any]:
        """The JSON of /stats."""
        engine = self.engine
        return {
            "v": 1,
            "peer": self.peer_id.hex(),
            "uptime_s": round(engine.uptime_s, 3),
            "presentation": self._presentation_id(),
            "mode": self.presentation.mode,
            "share": self.share,
            "message": self._message(),
            "bytes": self._bytes(),
            "neighbours": self._neighbours(),
            "sessions": self._sessions(),
            "segments": [asdict(record) for record in engine.records.segments],
            "leases": {
                "won": engine.node.leading.leases_won,
                "takeovers": engine.node.leading.takeovers,
                "hedges": engine.records.hedges,
                "rescues": engine.records.rescues,
                "deliveries": engine.records.deliveries,
            },
            "cache": self._cache(),
            "tracker": {
                "reachable": bool(self._tracker_reachable()),
                "asked": self._tracker_reachable() is not None,
            },
            "origin": {"reachable": self._origin_reachable()},
            "start": self._start(),
        }

    def sums(self) -> dict[str, Any]:
        """The same without what was played here, when and by whom."""
        return {**self.document(), "sessions": [], "segments": []}

    def _presentation_id(self) -> str | None:
        signature = self.presentation.signature
        return None if signature is None else signature.presentation_id

    def _bytes(self) -> dict[str, int]:
        records = self.engine.records
        links = list(self.engine.exchange.links.values())
        return {
            "cache": records.cache_bytes,
            "peers": records.peers_bytes,
            "origin": records.origin_bytes,
            "delivered": records.delivered_bytes,
            "uploaded": self.engine.node.uplink.total_bytes,
            "duplicate": records.duplicate_bytes,
            "wasted": records.wasted_bytes,
            "spare": sum(records.spares.values()),
            "control": records.proof_bytes
            + self.engine.closed_control_bytes
            + sum(link.session.control_bytes_received for link in links),
        }

    def _neighbours(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = []
        for peer_id, neighbour in self.engine.node.state.neighbours.items():
            outlet = self.engine.node.uplink.outlets.get(peer_id)
            shown.append(
                {
                    "peer": peer_id.hex(),
                    "rtt_ms": round(neighbour.rtt_s * 1000, 1),
                    "download_bps": round(neighbour.download.rate_bps),
                    "download_measured": neighbour.download.measured,
                    "upload_bps": 0 if outlet is None else round(outlet.rate.rate_bps),
                    "upload_measured": outlet is not None and outlet.rate.measured,
                    "received_bytes": neighbour.received_bytes,
                    "sent_bytes": 0 if outlet is None else outlet.sent_bytes,
                    "segments": neighbour.whole.bit_count(),
                }
            )
        return shown

    def _sessions(self) -> list[dict[str, Any]]:
        now = self.engine.now
        return [
            {
                "sid": session.sid,
                "last_seen_s": round(now - session.last_seen, 1),
                "buffer_s": session.buffer_s,
                "bitrate_bps": session.bitrate_bps,
                "qoe": session.qoe,
            }
            for session in self.sessions
        ]

    def _cache(self) -> dict[str, int]:
        segments = self.store.segments
        return {
            "bytes": 0 if segments is None else segments.used_bytes,
            "quota_bytes": 0 if segments is None else segments.quota_bytes,
            "segments": self.engine.node.state.have.bit_count(),
        }

    def _message(self) -> str | None:
        of_tracker = None if self.membership is None else self.membership.refusal
        return self.presentation.message or self.presentation.refusal or of_tracker

    def _origin_reachable(self) -> bool:
        """Whether it answered last, be it about segments or the index."""
        return self.engine.origin_reachable and self.presentation.mode != "no-origin"

    def _tracker_reachable(self) -> bool | None:
        return None if self.membership is None else self.membership.reachable

    def _start(self) -> dict[str, float | None]:
        started_at = self.engine.now - self.engine.uptime_s
        announced_at = None if self.membership is None else self.membership.announced_at
        indexed_at = self.presentation.indexed_at
        return {
            "announced_s": None if announced_at is None else round(announced_at - started_at, 3),
            "indexed_s": None if indexed_at is None else round(indexed_at - started_at, 3),
        }

    def for_announce(self) -> Mapping[str, float]:
        """Flat figures for the tracker's totals."""
        figures: dict[str, float] = {
            f"{name}_bytes": float(value) for name, value in self._bytes().items()
        }
        figures["neighbours"] = float(len(self.engine.exchange.links))
        figures["uptime_s"] = round(self.engine.uptime_s, 1)
        figures.update(self._of_players())
        return figures

    def _of_players(self) -> dict[str, float]:
        """How the players here fare: gauges of those seen lately, and totals of all."""
        active = self.sessions.active(self.engine.now)
        rates = [float(one.bitrate_bps) for one in active if one.bitrate_bps]
        buffers = [one.buffer_s for one in active if one.buffer_s is not None]
        totals = self.sessions.totals
        return {
            "viewers": float(len(active)),
            "bitrate_bps": float(round(sum(rates) / len(rates))) if rates else 0.0,
            "buffer_s": float(round(min(buffers), 1)) if buffers else 0.0,
            "player_stalls_total": float(totals["stalls"]),
            "player_stalled_ms_total": float(round(totals["stalled_s"] * 1000)),
            "player_played_ms_total": float(round(totals["played_s"] * 1000)),
        }

    def served_by(self) -> dict[str, int]:
        """Bytes received from neighbours, by the first 16 hex digits of their ids; the most."""
        received = [
            (neighbour.received_bytes, peer_id)
            for peer_id, neighbour in self.engine.node.state.neighbours.items()
            if neighbour.received_bytes
        ]
        most = sorted(received, reverse=True)[:MAX_SERVED_BY]
        return {peer_id.hex()[:16]: count for count, peer_id in most}

    def families(self) -> list[Family | Histogram]:
        """What /metrics shows."""
        return [
            *peer_families(
                self.engine,
                self._bytes(),
                self._cache(),
                self._tracker_reachable(),
                self._origin_reachable(),
            ),
            *player_families(self.sessions, self.engine.now),
        ]
