"""A TCP connection between two hosts, opened by a round trip, ended by close, reset or silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field

from dashp2p.lab.sim.flow import Flow, Path
from dashp2p.lab.sim.pipes import Host, Wiring

SYN_BYTES = 60
_SYN = object()
_FIN = object()


class Side(Protocol):
    """What uses one end of a connection."""

    def opened(self, end: End) -> None: ...
    def arrived(self, message: Any) -> None: ...
    def writable(self) -> None: ...
    def lost(self) -> None: ...


@define(eq=False)
class End:
    """One end of a connection: send here, and `side` is told what comes."""

    out: Flow
    side: Side | None = None
    other: End = field(init=False)
    closed: bool = False

    def send(self, message: Any, size_bytes: int) -> None:
        """Queue a message for the other end."""
        if not self.closed:
            self.out.send(message, size_bytes)

    def flush(self) -> None:
        """Set what is queued on its way."""
        self.out.flush()

    def close(self) -> None:
        """End it: what was sent still arrives, and then the other end hears."""
        if self.closed:
            return
        self.closed = True
        self.out.send(_FIN, SYN_BYTES)
        self.out.flush()

    def abort(self) -> None:
        """End it at once; the other end hears when the reset reaches it."""
        if self.closed and self.out.closed:
            return
        self.closed = True
        self.out.close()
        self.out.source.ends.pop(self, None)
        if not self.out.source.cut:
            clock = self.out.path.clock
            clock.post(clock.now + self.out.delay_s, self.other.end)

    def end(self) -> None:
        """The other end has closed."""
        if self.out.source.cut or self.out.source.frozen:
            return
        was_closed, self.closed = self.closed, True
        self.out.close()
        self.out.source.ends.pop(self, None)
        self.other.out.source.ends.pop(self.other, None)
        self.other.out.close()
        if not was_closed and self.side is not None and self.out.source.alive:
            self.side.lost()

    def take(self, message: Any) -> None:
        """What the flow from the other end delivers."""
        if message is _FIN:
            self.end()
        elif not self.closed and self.side is not None:
            self.side.arrived(message)

    def tell_writable(self) -> None:
        """The flow from here takes more."""
        if not self.closed and self.side is not None:
            self.side.writable()


def pair(path: Path, wiring: Wiring, one: Host, other: Host) -> tuple[End, End]:
    """Two ends of a connection that is there already."""
    delay_s = wiring.delay_s(one, other)
    there = End(Flow(path, one, other, delay_s, deliver=lambda message: None))
    back = End(Flow(path, other, one, delay_s, deliver=lambda message: None))
    there.other, back.other = back, there
    there.out.deliver, back.out.deliver = back.take, there.take
    one.ends[there] = None
    other.ends[back] = None
    there.out.writable, back.out.writable = there.tell_writable, back.tell_writable
    return there, back


@define(eq=False)
class Dial:
    """An attempt to connect: `accept` makes the other side, or None to refuse."""

    path: Path
    wiring: Wiring
    caller: Host
    called: Host
    caller_side: Side
    accept: Callable[[], Side | None]
    failed: Callable[[], None]
    timeout_s: float
    done: bool = False

    def start(self) -> None:
        """Send the first packet."""
        there, back = pair(self.path, self.wiring, self.caller, self.called)
        there.out.deliver = lambda message: self._called(there, back)
        there.send(_SYN, SYN_BYTES)
        there.flush()
        clock = self.path.clock
        clock.post(clock.now + self.timeout_s, self._late, there)

    def _called(self, there: End, back: End) -> None:
        side = self.accept() if self.called.alive else None
        if side is None:
            self.called.ends.pop(back, None)
            self.caller.ends.pop(there, None)
            clock = self.path.clock
            clock.post(clock.now + there.out.delay_s, self._fail)
            return
        there.out.deliver = back.take
        back.out.deliver = lambda message: self._answered(there, back)
        back.side = side
        back.send(_SYN, SYN_BYTES)
        back.flush()
        side.opened(back)

    def _answered(self, there: End, back: End) -> None:
        back.out.deliver = there.take
        if self.done:
            there.abort()
            return
        self.done = True
        there.side = self.caller_side
        self.caller_side.opened(there)

    def _late(self, there: End) -> None:
        if not self.done:
            there.abort()
            self._fail()

    def _fail(self) -> None:
        if not self.done and self.caller.running:
            self.done = True
            self.failed()
