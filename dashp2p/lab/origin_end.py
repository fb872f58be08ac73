"""The origin's end: killed once the crowd can do without it, and what peers say to that.

A rung is in use while it is the last of which a peer got picture or sound for its player; all that
it needs of it are the segments after that one. When peers have all of those, the origin is killed.
(All of a rung from its first segment on is held by nobody who changed rung on the way.) After that
two peers are asked for a segment that nobody has, of the highest bitrate that there is.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define, evolve, frozen

from dashp2p.content.entry import Entry
from dashp2p.content.index import Index
from dashp2p.lab.agenda import Agenda
from dashp2p.lab.company import Company
from dashp2p.lab.stage import ORIGIN
from dashp2p.swarm.reach import AHEAD_SEGMENTS, reachable_bps

FIRST_LOOK_S = 1.0
LOOK_EVERY_S = 0.5
MAX_BITRATE = re.compile(r";\s*mb=(\d{1,9})")

ASK_AFTER_S = ((0, 0.5), (0, 3.0), (1, 3.0))
"""Which peers are asked (in the order of hosts), and how long after the origin's end: the first one
before it can know of that, and again when it does."""


@frozen
class Refusal:
    """What a peer answered when asked for a segment that nobody has. Rates in bit/s."""

    host: str
    path: str
    status: int
    """0: no answer."""
    took_s: float
    retry_after: bool
    mb_bps: int | None
    """The highest rung worth asking for, with its sound, as the answer told it (CMSD)."""
    reachable_bps: int
    """The highest rung of which others hold the next segments, with its sound; 0 for none."""


@frozen
class Ended:
    """How the origin ended."""

    at_s: float
    held: bool
    """Whether the crowd held all that it needed of the rungs in use; else the time was up."""
    refusals: tuple[Refusal, ...] = ()


@define
class Holdings:
    """What peers' /stats tell of the film, by host."""

    index: Index
    stats: Mapping[str, Any]

    def held(self) -> set[str]:
        """The files that some peer got whole."""
        return {record["path"] for one in self.stats.values() for record in _records(one)}

    def needed(self) -> set[str]:
        """What is still to come of the rungs in use."""
        return {
            entry.path
            for one in self.stats.values()
            for kind in ("video", "audio")
            for entry in self._after(_newest(one, kind))
        }

    def _after(self, path: str | None) -> Sequence[Entry]:
        entry = None if path is None else self.index.by_path(path)
        if entry is None or entry.representation_id is None or entry.number is None:
            return ()
        return self.index.media(entry.representation_id)[entry.number + 1 :]

    def suffices(self) -> bool:
        """Whether somebody plays, and the crowd has all that is needed."""
        playing = any(_newest(one, "video") for one in self.stats.values())
        return playing and self.needed() <= self.held()

    def lost(self) -> Entry | None:
        """A segment that nobody has, nor those after it, of the highest rung of which there is such
        a one; among its own the first that leaves the highest rung to be had instead."""
        rungs = [one for one in self.index.representations if one.media_type == "video"]
        held = self.held()
        for rung in sorted(rungs, key=lambda one: -one.bandwidth_bps):
            media = self.index.media(rung.id)
            gone = [
                media[first]
                for first in range(len(media) - AHEAD_SEGMENTS)
                if not any(one.path in held for one in media[first : first + AHEAD_SEGMENTS + 1])
            ]
            if gone:
                return max(gone, key=self.reachable_bps)
        return None

    def reachable_bps(self, refused: Entry) -> int:
        """The highest rung to be had instead of that segment, with its sound; 0 where none is."""
        held = self.held()
        positions = sum(1 << one.position for one in self.index.entries if one.path in held)
        sounds = (r.bandwidth_bps for r in self.index.representations if r.media_type == "audio")
        found = reachable_bps(self.index, positions, refused, refused=True)
        return max(found) + max(sounds, default=0) if found else 0


@define(eq=False)
class OriginEnd:
    """Plans it into the agenda. At `latest_s` the origin is killed anyhow: a run has a verdict."""

    index: Index
    company: Company
    agenda: Agenda
    latest_s: float
    ended: Ended | None = None

    def plan(self) -> None:
        self.agenda.at(FIRST_LOOK_S, self._look)

    def _look(self) -> None:
        now_s = self.agenda.now_s
        held = self._holdings().suffices()
        if not held and now_s < self.latest_s:
            self.agenda.at(now_s + LOOK_EVERY_S, self._look)
            return
        self.company.kill(ORIGIN)
        self.ended = Ended(round(self.agenda.now_s, 2), held)
        hosts = list(self.company.peers)
        for number, after_s in ASK_AFTER_S:
            if number < len(hosts):
                self.agenda.at(now_s + after_s, partial(self._ask, hosts[number]))

    def _holdings(self) -> Holdings:
        asked = {host: self.company.ask(host, "/stats") for host in self.company.peers}
        return Holdings(self.index, {host: answer for host, answer in asked.items() if answer})

    def _ask(self, host: str) -> None:
        holdings = self._holdings()
        entry = holdings.lost()
        if entry is None or self.ended is None:
            return
        began_at = time.monotonic()
        status, told = 0, http.client.HTTPMessage()
        try:
            answer = self.company.stage.get(host, f"/dash/{entry.path}")
            status, told = answer.status, answer.headers
        except OSError as error:
            self.company.notes.append(f"{host} did not answer when asked for {entry.path}: {error}")
        took_s = time.monotonic() - began_at
        # The last item is of who is nearest, and is the one that players read.
        mb = MAX_BITRATE.search(told.get("CMSD-Dynamic", "").rpartition(",")[2])
        refusal = Refusal(
            host,
            entry.path,
            status,
            round(took_s, 3),
            "Retry-After" in told,
            None if mb is None else int(mb[1]) * 1000,
            holdings.reachable_bps(entry),
        )
        self.ended = evolve(self.ended, refusals=(*self.ended.refusals, refusal))


def _records(stats: Any) -> Iterator[Any]:
    yield from stats.get("segments") or ()


def _newest(stats: Any, kind: str) -> str | None:
    """The file of that kind that came last."""
    found = [record for record in _records(stats) if record.get("kind") == kind]
    return str(max(found, key=lambda record: record.get("at_s") or 0.0)["path"]) if found else None
