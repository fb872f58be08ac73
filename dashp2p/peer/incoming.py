"""One delivery's bytes: proof, assembly, and who waits for them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred

from dashp2p.content.entry import Entry
from dashp2p.peer.proof import Proof
from dashp2p.store.assembly import Assembly
from dashp2p.swarm.delivery import Delivery

Listener = Callable[[], None]


@define(eq=False)
class Incoming:
    """What the engine keeps of a delivery besides the node's own record of it."""

    entry: Entry
    delivery: Delivery
    assembly: Assembly
    proof: Proof
    started_at: float
    listeners: list[Listener] = field(factory=list)
    """Called when more is readable, when it is whole, and when it has failed."""
    fetches: list[Deferred[None]] = field(factory=list)
    """Fetches from the origin that are under way."""
    hashes_asked: bytes | None = None
    """The neighbour that was asked for the hashes with the first blocks."""
    hashes_asked_at: float = 0.0
    hashes_fetch: Deferred[None] | None = None
    failed: str | None = None
    deadline_s: float = 0.0
    hurried_at: float | None = None
    """Since when somebody waits for it; None: nobody ever did."""
    hurried_bytes: int = 0
    """What was here by then."""

    def hurry(self, now: float) -> None:
        """Somebody waits for it from now on."""
        self.hurried_at = now
        self.hurried_bytes = self.delivery.size_of(self.delivery.here)

    def tell(self) -> None:
        """Wake all who wait."""
        for listener in list(self.listeners):
            listener()
