"""What peers told of themselves while a crowd watched: their /stats, asked again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from dashp2p.lab.measure import Sample

SAMPLES_MAX = 4096
SEGMENTS_MAX = 20_000
"""Of one peer; a peer itself remembers its last 120."""


@define(eq=False)
class CrowdLog:
    """By name of the peer. A peer that does not answer any more is remembered as it last was."""

    samples: list[Sample] = field(factory=list)
    """Bytes that all of them together had got from the origin."""
    _latest: dict[str, Mapping[str, Any]] = field(factory=dict)
    _segments: dict[str, dict[tuple[str, float], Any]] = field(factory=dict)

    def note(self, at_s: float, stats: Mapping[str, Mapping[str, Any]]) -> None:
        """One round of answers, `at_s` seconds after the beginning."""
        for name, one in stats.items():
            self._latest[name] = one
            known = self._segments.setdefault(name, {})
            for record in one.get("segments") or ():
                known[str(record.get("path")), float(record.get("at_s") or 0)] = record
            for key in list(known)[: max(0, len(known) - SEGMENTS_MAX)]:
                del known[key]
        if len(self.samples) >= SAMPLES_MAX:
            del self.samples[1::2]
        self.samples.append(Sample(at_s, self.origin_bytes))

    @property
    def origin_bytes(self) -> int:
        """What all of them together have got from the origin."""
        return sum(int(one.get("bytes", {}).get("origin") or 0) for one in self._latest.values())

    @property
    def stats(self) -> dict[str, dict[str, Any]]:
        """Each peer's last answer, with all segments that it ever told of."""
        return {
            name: {**one, "segments": list(self._segments[name].values())}
            for name, one in self._latest.items()
        }

    @property
    def presentation(self) -> str | None:
        """The film that they play, if they know."""
        found: Iterable[Any] = (one.get("presentation") for one in self._latest.values())
        return next((str(one) for one in found if one), None)
