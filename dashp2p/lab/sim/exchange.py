"""All links of one simulated peer: dialling, one link for each pair, bans. As the daemon's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from attrs import define, field

from dashp2p.lab.sim.clock import Clock
from dashp2p.lab.sim.connection import Dial, Side
from dashp2p.lab.sim.flow import Path
from dashp2p.lab.sim.link import Link
from dashp2p.lab.sim.pipes import Host, Wiring
from dashp2p.peer.limits import (
    BAN_S,
    DIAL_TIMEOUT_S,
    MAX_DIALS,
    MAX_LINKS,
    SHUN_S,
    WANTED_LINKS,
)
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Event, Have, Hello


class ExchangeOwner(Protocol):
    """The peer above."""

    @property
    def peer_id(self) -> bytes: ...

    def hello(self) -> Hello: ...
    def have(self) -> Have: ...
    def link_opened(self, link: Link, have: Have) -> None: ...
    def link_received(self, link: Link, events: list[Event]) -> None: ...
    def link_ready(self, link: Link) -> None: ...
    def link_measured(self, link: Link, rtt_s: float) -> None: ...
    def link_closed(self, link: Link) -> None: ...


@define(eq=False)
class Listeners:
    """Who listens where: a peer is dialled by its id."""

    by_peer: dict[bytes, tuple[Host, Callable[[], Side | None]]] = field(factory=dict)


@define(eq=False)
class Exchange:
    """Owner of the links of one peer."""

    owner: ExchangeOwner
    path: Path
    wiring: Wiring
    host: Host
    listeners: Listeners
    links: dict[bytes, Link] = field(factory=dict)
    control_bytes: int = 0
    """Sent on links that are gone."""
    banned: dict[bytes, float] = field(factory=dict)
    stopped: bool = False
    _all: dict[Link, None] = field(factory=dict)
    _dialling: set[bytes] = field(factory=set)
    _dirty: dict[Link, None] = field(factory=dict)

    @property
    def clock(self) -> Clock:
        """Everybody's clock."""
        return self.path.clock

    def listen(self) -> None:
        """Take links from now on."""
        self.listeners.by_peer[self.owner.peer_id] = (self.host, self.accept)

    def accept(self) -> Link | None:
        """Somebody dials us."""
        if self.stopped or len(self._all) >= MAX_LINKS or not self.host.running:
            return None
        link = Link(self, dialled=False)
        self._all[link] = None
        return link

    def dial(self, peers: Iterable[bytes]) -> None:
        """Connect to these, as far as links are wanted."""
        for peer_id in peers:
            if len(self.links) + len(self._dialling) >= WANTED_LINKS:
                return
            if len(self._dialling) >= MAX_DIALS or self.stopped:
                return
            known = peer_id in self.links or peer_id in self._dialling
            if known or peer_id == self.owner.peer_id or self.is_banned(peer_id):
                continue
            self._connect(peer_id)

    def _connect(self, peer_id: bytes) -> None:
        where = self.listeners.by_peer.get(peer_id)
        if where is None:
            return
        host, accept = where
        self._dialling.add(peer_id)
        link = Link(self, dialled=True, called=peer_id)
        self._all[link] = None

        def failed() -> None:
            self._dialling.discard(peer_id)
            self._all.pop(link, None)

        Dial(self.path, self.wiring, self.host, host, link, accept, failed, DIAL_TIMEOUT_S).start()

    def connected(self, link: Link) -> None:
        """A connection is there; if we dialled it, the dial has ended."""
        self._dialling.discard(link.called)

    # --- what links ask and tell ------------------------------------------------------------

    def hello(self) -> Hello:
        """Our first frame."""
        return self.owner.hello()

    def have(self) -> Have:
        """Our second."""
        return self.owner.have()

    def admits(self, link: Link, hello: Hello) -> Code | None:
        """Whether to go on after the other's HELLO; a code says no."""
        if self.stopped:
            return Code.SHUTTING_DOWN
        if hello.swarm_id != self.hello().swarm_id or link.peer_id == self.owner.peer_id:
            return Code.UNAUTHORISED
        if self.is_banned(link.peer_id):
            return Code.UNAUTHORISED
        existing = self.links.get(link.peer_id)
        if existing is None:
            return None
        if existing.dialled == link.dialled or self._caller(existing) < self._caller(link):
            return Code.BUSY
        existing.close(Code.BUSY, "one link is enough")
        return None

    def _caller(self, link: Link) -> bytes:
        return self.owner.peer_id if link.dialled else link.peer_id

    def link_opened(self, link: Link, have: Have) -> None:
        """A link is ready for use."""
        existing = self.links.get(link.peer_id)
        if existing is not None and existing is not link:
            if self._caller(existing) <= self._caller(link):
                link.close(Code.BUSY, "one link is enough")
                return
            existing.close(Code.BUSY, "one link is enough")
        self.links[link.peer_id] = link
        self.owner.link_opened(link, have)

    def link_received(self, link: Link, events: list[Event]) -> None:
        """Frames came on an open link."""
        if self.links.get(link.peer_id) is link:
            self.owner.link_received(link, events)
        self.flush()

    def link_ready(self, link: Link) -> None:
        """A link takes more."""
        if self.links.get(link.peer_id) is link:
            self.owner.link_ready(link)

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """A ping came back."""
        if self.links.get(link.peer_id) is link:
            self.owner.link_measured(link, rtt_s)

    def link_closed(self, link: Link) -> None:
        """A connection is gone, or will be."""
        if link in self._all:
            self._all.pop(link, None)
            self.control_bytes += link.session.control_bytes_sent
        if self.links.get(link.peer_id) is link:
            del self.links[link.peer_id]
            self.owner.link_closed(link)

    # --- sending ----------------------------------------------------------------------------

    def dirty(self, link: Link) -> None:
        """Something was queued there."""
        self._dirty[link] = None

    def flush(self) -> None:
        """Write out what was queued, all frames of one moment in one go."""
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for link in dirty:
                link.flush()

    # --- bans and the end -------------------------------------------------------------------

    def ban(self, peer_id: bytes) -> None:
        """Nothing to do with that key for an hour."""
        self.banned[peer_id] = self.clock.now + BAN_S
        link = self.links.get(peer_id)
        if link is not None:
            link.close(Code.INTEGRITY, "a block that you sent is not what the origin published")

    def silent(self, link: Link) -> None:
        """The other side lives, and leaves what it is asked unanswered."""
        if self.links.get(link.peer_id) is link:
            self.shun(link.peer_id)

    def shun(self, peer_id: bytes) -> None:
        """Nothing to do with that key for some minutes: it breaks its word."""
        self.banned[peer_id] = max(self.banned.get(peer_id, 0.0), self.clock.now + SHUN_S)
        link = self.links.get(peer_id)
        if link is not None:
            link.close(Code.BAD_REQUEST, "it breaks its word")

    def is_banned(self, peer_id: bytes) -> bool:
        """Whether a ban is in force."""
        until = self.banned.get(peer_id)
        return until is not None and self.clock.now < until

    def all_control_bytes(self) -> int:
        """Control bytes sent on all links so far."""
        return self.control_bytes + sum(link.session.control_bytes_sent for link in self._all)

    def abort_all(self) -> None:
        """Close all links."""
        self.stopped = True
        for link in list(self._all):
            link.abort()
