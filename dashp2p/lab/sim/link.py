"""One side of a link between two peers: the shipped session over a simulated connection.

Control frames travel as the bytes that they are. A DATA frame carries one byte for each block
(1: true, 0: false) through the session, and its blocks' declared size over the network.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from dashp2p.content.keys import peer_id as peer_id_of
from dashp2p.lab.sim.clock import Clock, Timer
from dashp2p.lab.sim.connection import End
from dashp2p.peer.limits import DOUBT_PING_S, HANDSHAKE_S, PING_S, SILENCE_S, WRITE_QUEUE_BYTES
from dashp2p.wire.doubt import Doubt
from dashp2p.wire.errors import Code, LocalProtocolError
from dashp2p.wire.frames import Data, Error, Event, Frame, Have, Hello, Ping, Pong
from dashp2p.wire.session import Session


class LinkOwner(Protocol):
    """Whom a link reports to: the exchange."""

    @property
    def clock(self) -> Clock: ...
    def connected(self, link: Link) -> None: ...
    def hello(self) -> Hello: ...
    def have(self) -> Have: ...
    def admits(self, link: Link, hello: Hello) -> Code | None: ...
    def link_opened(self, link: Link, have: Have) -> None: ...
    def link_received(self, link: Link, events: list[Event]) -> None: ...
    def link_ready(self, link: Link) -> None: ...
    def link_measured(self, link: Link, rtt_s: float) -> None: ...
    def silent(self, link: Link) -> None: ...
    def link_closed(self, link: Link) -> None: ...
    def dirty(self, link: Link) -> None: ...


@define(eq=False)
class Link:
    """As the daemon's link: greets, pings, passes frames on. Breaches of the protocol raise."""

    owner: LinkOwner
    dialled: bool
    called: bytes = b""
    """Whom we dialled."""
    end: End | None = None
    session: Session = field(factory=Session)
    peer_id: bytes = b""
    uploads: bool = True
    is_open: bool = False
    is_closed: bool = False
    sent_bytes: int = 0
    """Declared bytes of blocks sent."""
    _timer: Timer | None = None
    _heard_at: float = 0.0
    _ping_at: float = 0.0
    _ping_token: int = 0
    _doubt: Doubt | None = None

    # --- the connection ---------------------------------------------------------------------

    def opened(self, end: End) -> None:
        """The connection is there."""
        self.end = end
        self.owner.connected(self)
        self._timer = self.owner.clock.call_later(HANDSHAKE_S, self.abort)
        self.send(self.owner.hello())

    def lost(self) -> None:
        """The other side closed, or is no more."""
        self._stop_timer()
        self.is_closed = True
        self.owner.link_closed(self)

    def writable(self) -> None:
        """The kernel takes the next frame."""
        if self.is_open and not self.is_closed:
            self.owner.link_ready(self)

    def close(self, code: Code | None = None, text: str = "") -> None:
        """End the link, with a reason if there is one; what is queued may still leave."""
        if self.is_closed:
            return
        self.is_closed = True
        self._stop_timer()
        if self.end is None:
            return
        if code is not None:
            try:
                self.session.send(Error(int(code), text))
                self._write(0)
            except LocalProtocolError:
                pass  # it was closed before it could be told
        self.end.close()
        self.owner.link_closed(self)

    def abort(self) -> None:
        """Cut the link at once."""
        self.is_closed = True
        self._stop_timer()
        if self.end is not None:
            self.end.abort()
        self.owner.link_closed(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- sending ----------------------------------------------------------------------------

    def send(self, frame: Frame, declared_bytes: int = 0) -> int | None:
        """Queue a frame; `declared_bytes` is what a Data frame's blocks weigh."""
        if self.is_closed or self.end is None:
            return None
        request_id = self.session.send(frame)
        extra = declared_bytes - frame.count if isinstance(frame, Data) else 0
        self.sent_bytes += declared_bytes
        self._write(extra)
        if isinstance(frame, Data):
            self.end.out.ask_writable()
        return request_id

    def _write(self, extra_bytes: int) -> None:
        parts = self.session.data_to_send()
        if not parts or self.end is None:
            return
        raw = b"".join(parts)
        self.end.send(raw, len(raw) + extra_bytes)
        self.owner.dirty(self)

    def flush(self) -> None:
        """Set on its way what was queued; a link that does not read is dropped."""
        if self.end is None or self.end.closed:
            return
        self.end.flush()
        if self.end.out.unsent_bytes > WRITE_QUEUE_BYTES and not self.is_closed:
            self.abort()

    # --- receiving --------------------------------------------------------------------------

    def arrived(self, raw: bytes) -> None:
        """Bytes came."""
        if self.is_closed:
            return
        self._heard_at = self.owner.clock.now
        events = self.session.receive_data(raw)
        self._write(0)
        if self.is_open and len(events) == 1 and not isinstance(events[0], (Ping, Pong, Error)):
            self.owner.link_received(self, events)
            return
        self._take(events)

    def _take(self, events: list[Event]) -> None:
        passed: list[Event] = []
        for event in events:
            if self.is_closed:
                return
            if not self.is_open:
                self._greet(event)
            elif isinstance(event, Pong):
                self.owner.link_measured(self, self.owner.clock.now - self._ping_at)
            elif isinstance(event, Error):
                self.owner.link_received(self, passed)
                self.close()
                return
            elif not isinstance(event, Ping):
                passed.append(event)
        self.owner.link_received(self, passed)
        ponged = any(isinstance(event, Pong) for event in events)
        if ponged and self._doubt is not None and not self.is_closed:
            self._look_at(self._doubt)

    def doubt(self) -> None:
        """Blocks were late and are cancelled: see whether the other side answers that."""
        if self._doubt is None and self.is_open and not self.is_closed:
            self._doubt = Doubt.of(self.session.asked)
            if self._doubt is not None:
                self._stop_timer()
                self._ping()

    def _look_at(self, doubt: Doubt) -> None:
        if not doubt.look(self.session.asked):
            self._doubt = None
        elif doubt.silent:
            self.owner.silent(self)
        else:
            self._stop_timer()
            self._timer = self.owner.clock.call_later(DOUBT_PING_S, self._ping)

    def _greet(self, event: Event) -> None:
        if isinstance(event, Hello):
            self.peer_id = peer_id_of(event.public_key)
            self.uploads = event.uploads
            refusal = self.owner.admits(self, event)
            if refusal is not None:
                self.close(refusal)
            else:
                self.send(self.owner.have())
        elif isinstance(event, Have):
            self.is_open = True
            self._stop_timer()
            self._ping()
            self.owner.link_opened(self, event)
        elif isinstance(event, Error):
            self.close()

    def _ping(self) -> None:
        clock = self.owner.clock
        self._timer = None
        if clock.now - self._heard_at > SILENCE_S:
            self.abort()
            return
        self._ping_token += 1
        self._ping_at = clock.now
        self.send(Ping(self._ping_token))
        if not self.is_closed:
            self._timer = clock.call_later(PING_S, self._ping)
        self.flush()
