"""A node with made-up segments and neighbours, for tests of its decisions."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import TypeVar

from dashp2p.content.entry import Entry, Kind
from dashp2p.swarm.commands import Command
from dashp2p.swarm.neighbour import Neighbour
from dashp2p.swarm.node import Node
from dashp2p.swarm.policy import Policy
from dashp2p.wire.frames import Fetching, Getting, Gone, Got, Request, SegmentBlocks

BLOCK = 16384
C = TypeVar("C")


def peer(name: str) -> bytes:
    """A peer id."""
    return sha256(name.encode()).digest()


def entry(position: int = 1, blocks: int = 10, short_by: int = 100) -> Entry:
    """A media segment of so many blocks, the last one shorter."""
    return Entry(
        position=position,
        path=f"chunk_0_{position}.m4s",
        size_bytes=blocks * BLOCK - short_by,
        digest=sha256(b"%d" % position).digest(),
        kind=Kind.MEDIA,
        representation_id="0",
        number=position - 1,
        start_s=4.0 * (position - 1),
        duration_s=4.0,
        block_size_bytes=BLOCK,
    )


def full(blocks: int) -> int:
    """All of so many blocks."""
    return (1 << blocks) - 1


class Bench:
    """A node, its segments and the commands that it gave."""

    def __init__(
        self,
        *segments: Entry,
        policy: Policy | None = None,
        upload_limit_bps: float | None = None,
        uploads: bool = True,
    ) -> None:
        self.entries = {segment.position: segment for segment in segments or (entry(),)}
        self.node = Node(
            peer("me"),
            self.entries.get,
            policy or Policy(),
            random.Random(1),
            upload_limit_bps,
            uploads,
        )
        self.now = 100.0
        self.said: list[Command] = []

    @property
    def entry(self) -> Entry:
        """The only segment."""
        return next(iter(self.entries.values()))

    def take(self, kind: type[C]) -> list[C]:
        """What the node has said of one kind since the last call; the rest is dropped."""
        self.said = self.node.take_commands(self.now)
        return [command for command in self.said if isinstance(command, kind)]

    def quiet(self) -> None:
        """Forget what was said so far."""
        self.node.take_commands(self.now)

    def join(self, name: str, whole: int = 0, uploads: bool = True) -> Neighbour:
        """A neighbour, with the segments of a bitmap."""
        return self.node.joined(peer(name), uploads, whole, self.now)

    def want(self, segment: Entry | None = None, slack_s: float = 10.0) -> None:
        """A player needs a segment."""
        self.node.want(segment or self.entry, self.now + slack_s, self.now)

    def got(self, name: str, blocks: int, segment: int = 1) -> None:
        """A neighbour has blocks."""
        self.node.told(peer(name), Got((SegmentBlocks(segment, blocks),)), self.now)

    def getting(
        self, name: str, distance: int = 0, blocks: int = -1, segment: int = 1, epoch: int = 1
    ) -> None:
        """A neighbour is getting blocks."""
        news = Fetching(segment, epoch, distance, blocks)
        self.node.told(peer(name), Getting((news,)), self.now)

    def gone(self, name: str, blocks: int = -1, segment: int = 1) -> None:
        """A neighbour has lost blocks."""
        self.node.told(peer(name), Gone((SegmentBlocks(segment, blocks),)), self.now)

    def ask(
        self,
        name: str,
        blocks: int,
        request_id: int = 1,
        segment: int = 1,
        deadline_ms: int = 5000,
        **kind: bool,
    ) -> None:
        """A neighbour requests blocks."""
        request = Request(segment, blocks, deadline_ms, request_id=request_id, **kind)
        self.node.requested(peer(name), request, self.now)

    def arrive(self, name: str | None, blocks: int, segment: Entry | None = None) -> bool:
        """Verified blocks come, from a neighbour or the origin."""
        source = None if name is None else peer(name)
        return self.node.blocks_arrived(source, segment or self.entry, blocks, self.now)

    def later(self, seconds: float) -> None:
        """Time passes in ticks."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + self.node.policy.tick_s)
            self.node.tick(self.now)

    def later_on_a_busy_machine(self, ticks: int) -> None:
        """Time passes in ticks that come 0.1 s late."""
        for _ in range(ticks):
            self.now += self.node.policy.tick_s + 0.1
            self.node.tick(self.now)
