"""One direction of a TCP connection: a window over a pipe, in order, slowed by loss as TCP is.

The window opens by slow start, leaves it when the queue begins to show (as HyStart does), then
grows by a packet a round trip; a queue of 200 ms makes it back off. With a loss rate p it stays
below LOSS_WINDOW / sqrt(p) packets, and a lost packet holds up all behind it until it was sent
again: together that is as slow as the lab's cases, measured on a kernel, which is some 1.22 /
sqrt(p) packets a round trip (Mathis et al. 1997). Acknowledgements take no room on the way back.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field

from dashp2p.lab.sim.clock import Clock
from dashp2p.lab.sim.pipes import PACKET_BYTES, Host

INITIAL_WINDOW_BYTES = 10.0 * PACKET_BYTES
LOSS_WINDOW = 1.9
QUEUE_LIMIT_S = 0.2
IDLE_RESET_S = 0.25
"""After so long without sending, the window is the initial one again (RFC 2861)."""
UNSENT_LOW_BYTES = 32 * 1024
"""TCP_NOTSENT_LOWAT: the sender may write more once so little waits for the window."""
RECEIVE_BUFFER_BYTES = 256 * 1024
"""What the kernel of a frozen host takes before it closes the window."""
TIMEOUT_S = 0.2
"""The least time before a packet with none behind it is sent again."""


@define(eq=False)
class Path:
    """What all flows share."""

    clock: Clock
    rng: random.Random
    quantum_bytes: int = 16 * 1024
    """The largest piece that goes as one: smaller is truer, larger is faster."""


@define(eq=False)
class Flow:
    """Carries messages (any object, with a size) from `source` to `target`, in order.

    `deliver` gets each message when its last byte is there. `writable` is called once the flow
    takes more, if that was asked for with `ask_writable`.
    """

    path: Path
    source: Host
    target: Host
    delay_s: float
    deliver: Callable[[Any], None]
    writable: Callable[[], None] | None = None
    closed: bool = False
    unsent_bytes: int = 0
    sent_bytes: int = 0
    window: float = INITIAL_WINDOW_BYTES
    _threshold: float = math.inf
    _queue: deque[list[Any]] = field(factory=deque)
    """[bytes left, message] in order."""
    _flying: int = 0
    _acks: deque[tuple[float, int, float]] = field(factory=deque)
    """(when it comes, bytes, when they were sent), of pieces that arrived."""
    _last_arrival: float = 0.0
    _last_sent: float = 0.0
    _backed_off_at: float = -1.0
    _pump_at: float = -1.0
    _asked_writable: bool = False
    _unread: int = 0
    _cap: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        loss = self.source.loss_rate
        self._cap = (
            math.inf if loss <= 0 else max(2.0, LOSS_WINDOW / math.sqrt(loss)) * PACKET_BYTES
        )
        self.window = min(self.window, self._cap)

    def send(self, message: Any, size_bytes: int) -> None:
        """Queue a message; `flush` sets it on its way."""
        self._queue.append([size_bytes, message])
        self.unsent_bytes += size_bytes

    def ask_writable(self) -> None:
        """Call `writable` when the flow takes more: soon, when it does already."""
        self._asked_writable = True

    def close(self) -> None:
        """Nothing more is sent or delivered."""
        self.closed = True
        self._queue.clear()
        self.unsent_bytes = 0

    def flush(self) -> None:
        """Send what the window allows."""
        if self.closed or not self.source.running:
            return
        now = self.path.clock.now
        self._take_acks(now)
        if now - self._last_sent > IDLE_RESET_S and not self._flying:
            self.window = min(self.window, INITIAL_WINDOW_BYTES, self._cap)
        while self._queue:
            room = self.window - self._flying
            if self._flying and room < min(PACKET_BYTES, self._queue[0][0]):
                self._pump_on_ack()
                break
            self._send_piece(max(int(room), PACKET_BYTES), now)
        if self._asked_writable and self.unsent_bytes <= UNSENT_LOW_BYTES:
            self._asked_writable = False
            self.path.clock.post(now, self._tell_writable)

    def _tell_writable(self) -> None:
        if not self.closed and self.writable is not None and self.source.running:
            self.writable()

    def _send_piece(self, room: int, now: float) -> None:
        limit = min(room, self.path.quantum_bytes)
        size = 0
        whole: list[Any] = []
        queue = self._queue
        while queue and size < limit:
            head = queue[0]
            taken = min(head[0], limit - size)
            size += taken
            head[0] -= taken
            if not head[0]:
                whole.append(head[1])
                queue.popleft()
        self.unsent_bytes -= size
        self.sent_bytes += size
        self._flying += size
        self._last_sent = now
        if self.source.uplink.backlog_s(now) > QUEUE_LIMIT_S:
            self._back_off(now)
        arrival = self.source.uplink.enter(size, now) + self.delay_s
        if self.source.loss_rate:
            arrival += self._recovery_s(size, arrival - now)
        self._last_arrival = max(arrival, self._last_arrival)
        self.path.clock.post(self._last_arrival, self._arrive, whole, size, now)

    def _recovery_s(self, size: int, trip_s: float) -> float:
        """How much later a piece is there because packets of it were lost."""
        packets = -(-size // PACKET_BYTES)
        loss, draw = self.source.loss_rate, self.path.rng.random
        if draw() >= 1 - (1 - loss) ** packets:
            return 0.0
        round_trip_s = trip_s + self.delay_s
        lone = packets < 3 and not self._queue
        wait_s = 2 * round_trip_s + TIMEOUT_S if lone else round_trip_s
        while draw() < loss:  # the repair is lost too
            wait_s += max(TIMEOUT_S, 2 * round_trip_s)
        return wait_s

    def _arrive(self, whole: list[Any], size: int, sent_at: float) -> None:
        if self.closed or self.source.cut or self.target.cut:
            return
        now = self.path.clock.now
        downlink = self.target.downlink
        idle = downlink.free_at <= now
        leaves = downlink.enter(size, now)
        if idle and size <= PACKET_BYTES:
            self._come(whole, size, sent_at)
        else:
            self.path.clock.post(leaves, self._come, whole, size, sent_at)

    def _come(self, whole: list[Any], size: int, sent_at: float) -> None:
        target = self.target
        if self.closed or target.cut or self.source.cut:
            return
        if target.frozen:
            self._unread += size
            if self._unread > RECEIVE_BUFFER_BYTES:
                return
        now = self.path.clock.now
        self._acks.append((now + self.delay_s, size, sent_at))
        if self._queue or self._asked_writable:
            self._pump_on_ack()
        if target.running:
            for message in whole:
                if self.closed:
                    return
                self.deliver(message)

    # --- the window -------------------------------------------------------------------------

    def _pump_on_ack(self) -> None:
        if self._acks and self._pump_at < self.path.clock.now:
            self._pump_at = self._acks[0][0]
            self.path.clock.post(self._pump_at, self._pump)

    def _pump(self) -> None:
        self._pump_at = -1.0
        self.flush()

    def _take_acks(self, now: float) -> None:
        acks = self._acks
        while acks and acks[0][0] <= now:
            at, size, sent_at = acks.popleft()
            used = self._flying >= 0.5 * self.window or self._queue
            self._flying -= size
            if used and self.window < self._cap:
                self._grow(size, at - sent_at)

    def _grow(self, acked: int, round_trip_s: float) -> None:
        if self.window < self._threshold:
            base_s = 2 * self.delay_s
            limit_s = base_s + max(0.004, min(0.016, base_s / 8))
            if round_trip_s > limit_s and self.window >= 16 * PACKET_BYTES:
                self._threshold = self.window
            self.window += acked
        else:
            self.window += PACKET_BYTES * acked / self.window
        self.window = min(self.window, self._cap)

    def _back_off(self, now: float) -> None:
        if now - self._backed_off_at > QUEUE_LIMIT_S:
            self._backed_off_at = now
            self.window = max(2.0 * PACKET_BYTES, 0.7 * self.window)
            self._threshold = self.window
