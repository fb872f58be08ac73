"""Hosts and their access links: rate, queue, delay, loss, and what befalls them.

A pipe is a queue that drops nothing: what enters leaves when everything before it has left. That
several flows share it fairly follows from their windows, as with TCP on a plain queue.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

PACKET_BYTES = 1448
"""What one full packet carries of a TCP stream."""
HEADER_BYTES = 66
"""What goes with it: Ethernet, IPv4, TCP with time stamps."""
NEVER_BPS = 1e12


class Closable(Protocol):
    """One end of a connection."""

    def abort(self) -> None: ...


@define(eq=False)
class Pipe:
    """One direction of an access link."""

    rate_bps: float
    free_at: float = 0.0
    payload_bytes: int = 0
    wire_bytes: int = 0

    def enter(self, payload_bytes: int, now: float) -> float:
        """Queue so much; answers when its last bit leaves."""
        wire = payload_bytes + HEADER_BYTES * (-(-payload_bytes // PACKET_BYTES))
        self.payload_bytes += payload_bytes
        self.wire_bytes += wire
        start = self.free_at if self.free_at > now else now
        self.free_at = start + wire * 8.0 / self.rate_bps
        return self.free_at

    def backlog_s(self, now: float) -> float:
        """How long what enters now waits before its turn."""
        return max(0.0, self.free_at - now)


@define(eq=False)
class Host:
    """A machine on the network. `loss_rate` is the share of the packets it sends that get lost."""

    name: str
    uplink: Pipe
    downlink: Pipe
    delay_s: float
    """One way, between it and the middle of the network."""
    loss_rate: float = 0.0
    alive: bool = True
    """Dead: its kernel answers with resets."""
    frozen: bool = False
    """SIGSTOP: its kernel acknowledges what fits its buffers, and no program runs."""
    cut: bool = False
    """Nothing comes or goes, and nobody is told."""
    ends: dict[Closable, None] = field(factory=dict)
    """Its ends of open connections, in order: a set's order would differ from run to run."""

    @classmethod
    def make(
        cls, name: str, uplink_bps: float, downlink_bps: float, delay_s: float, loss: float = 0.0
    ) -> Host:
        """A host with fresh links."""
        return cls(name, Pipe(uplink_bps), Pipe(downlink_bps), delay_s, loss)

    def kill(self) -> None:
        """End its programs; its kernel resets all connections."""
        self.alive = False
        for end in list(self.ends):
            end.abort()

    def revive(self) -> None:
        """Start its programs anew."""
        self.alive = True

    @property
    def running(self) -> bool:
        """Whether programs run on it."""
        return self.alive and not self.frozen


@define(eq=False)
class Wiring:
    """Who is how far from whom: the sum of both hosts' delays, peers among themselves near."""

    peer_delay_s: float = 0.0005
    """One way between two peers."""
    peers: set[str] = field(factory=set)

    def delay_s(self, one: Host, other: Host) -> float:
        """One way, without queues."""
        if one.name in self.peers and other.name in self.peers:
            return self.peer_delay_s
        return one.delay_s + other.delay_s
