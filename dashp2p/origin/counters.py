"""What the origin has served: requests, bytes, and how many copies of what there is."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from dashp2p.origin.limits import MAX_DISTINCT_FILES
from dashp2p.origin.names import KINDS
from dashp2p.web.metrics import Family


@define
class OriginCounters:
    """Plain counters since the start. Kinds are those of dashp2p.origin.names."""

    requests: Counter[tuple[str, int]] = field(factory=Counter)
    """By kind and status."""
    sent_bytes: Counter[str] = field(factory=Counter)
    """Bodies, by kind."""
    distinct_bytes: Counter[str] = field(factory=Counter)
    """Sizes of the different files of which anything was sent, by kind."""
    cut_off: int = 0
    """Responses that ended early: the client left, stalled, or the file changed."""
    _seen: set[tuple[str, str]] = field(factory=set)

    def answered(self, kind: str, code: int) -> None:
        """Count a request."""
        self.requests[kind, code] += 1

    def sent(
        self, kind: str, path: str, etag: str, file_bytes: int, sent_bytes: int, whole: bool
    ) -> None:
        """Count the end of a body."""
        self.sent_bytes[kind] += sent_bytes
        self.cut_off += not whole
        if sent_bytes and (path, etag) not in self._seen and len(self._seen) < MAX_DISTINCT_FILES:
            self._seen.add((path, etag))
            self.distinct_bytes[kind] += file_bytes

    def copies(self, kind: str) -> float | None:
        """How often each byte of a kind has left, on average; None before the first has."""
        distinct = self.distinct_bytes[kind]
        return self.sent_bytes[kind] / distinct if distinct else None

    def as_json(self) -> dict[str, object]:
        """For /stats."""
        by_kind: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
        for (kind, code), count in sorted(self.requests.items()):
            by_kind[kind][str(code)] = count
        return {
            "requests": by_kind,
            "bytes": {kind: self.sent_bytes[kind] for kind in KINDS},
            "distinct_bytes": {kind: self.distinct_bytes[kind] for kind in KINDS},
            "copies": {kind: self.copies(kind) for kind in KINDS},
            "cut_off": self.cut_off,
        }

    def families(self) -> list[Family]:
        """For /metrics."""
        return [
            Family(
                "dashp2p_origin_requests_total",
                "Requests for files, by kind of file and status.",
                "counter",
                [
                    ({"kind": kind, "code": str(code)}, count)
                    for (kind, code), count in sorted(self.requests.items())
                ],
            ),
            Family(
                "dashp2p_origin_sent_bytes_total",
                "Bytes of response bodies, by kind of file.",
                "counter",
                [({"kind": kind}, self.sent_bytes[kind]) for kind in KINDS],
            ),
            Family(
                "dashp2p_origin_distinct_bytes",
                "Sizes of the different files that were sent, by kind: sent/distinct is copies.",
                "gauge",
                [({"kind": kind}, self.distinct_bytes[kind]) for kind in KINDS],
            ),
            Family.of(
                "dashp2p_origin_cut_off_total",
                "Responses that ended before their body was whole.",
                "counter",
                self.cut_off,
            ),
        ]
