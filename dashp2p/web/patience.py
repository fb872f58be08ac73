"""How long a connection may take: one timer for each, and what it waits for at the moment.

A connection is idle, or receives a request, or answers one, or is being closed. Receiving has one
deadline that later bytes do not move. Answering may last as long as it likes while the client takes
bytes, or while we have none to give; a client that takes none for `stalled_s` is given up.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dashp2p.web.limits import ASLEEP_S, LINGER_S, STALL_CHECKS, SiteLimits


class Phase(enum.Enum):
    """What a connection does."""

    IDLE = "idle"
    RECEIVING = "receiving"
    ANSWERING = "answering"
    LINGERING = "lingering"
    CLOSING = "closing"
    OVER = "over"


class Patience:
    """Calls `late` when a request has not come whole in time, `close` when a connection has been
    idle (or has lingered) long enough, and `give_up` when the client has stalled.

    `unsent` tells the bytes that the client has not taken; None where that cannot be known: then
    only the transport's pauses count. Time comes from `clock`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: SiteLimits,
        *,
        unsent: Callable[[], int | None],
        late: Callable[[], None],
        close: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._unsent = unsent
        self._late = late
        self._close = close
        self._give_up = give_up
        self._timer: IDelayedCall | None = None
        self._paused = False
        self._draining = False
        self._written_bytes = 0
        self._taken_bytes = 0
        self._progress_s = 0.0
        self._due_s = 0.0
        self.phase = Phase.OVER

    def idle(self) -> None:
        """No request has begun."""
        self._enter(Phase.IDLE, self._limits.idle_s)

    def receiving(self) -> None:
        """A byte of a request has come; only the first one starts the deadline."""
        if self.phase is Phase.IDLE:
            self._enter(Phase.RECEIVING, self._limits.receive_s)

    def answering(self) -> None:
        """The request is whole; what follows is ours."""
        self._enter(Phase.ANSWERING, self._limits.stalled_s / STALL_CHECKS)

    def lingering(self) -> None:
        """A refusal has been written; its reader has a moment to see it."""
        self._enter(Phase.LINGERING, LINGER_S)

    def closing(self) -> None:
        """The connection closes as soon as the client has taken what was written."""
        self._enter(Phase.CLOSING, self._limits.stalled_s / STALL_CHECKS)

    def over(self) -> None:
        """The connection is gone."""
        self.phase = Phase.OVER
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def wrote(self, size_bytes: int) -> None:
        """So many more bytes wait for the client."""
        self._written_bytes += size_bytes

    def paused(self) -> None:
        """The transport is full."""
        self._paused = True

    def resumed(self) -> None:
        """The client has taken all."""
        self._paused = False
        self._progress_s = self._clock.seconds()

    def _enter(self, phase: Phase, wait_s: float) -> None:
        self.phase = phase
        self._draining = False
        self._progress_s = self._clock.seconds()
        self._arm(wait_s)

    def _arm(self, wait_s: float) -> None:
        self._due_s = self._clock.seconds() + wait_s
        if self._timer is not None and self._timer.active():
            self._timer.reset(wait_s)
        else:
            self._timer = self._clock.callLater(wait_s, self._expired)

    def _expired(self) -> None:
        self._timer = None
        late_s = self._clock.seconds() - self._due_s
        if late_s > ASLEEP_S:
            self._progress_s += late_s  # this machine slept, and with it perhaps the client
        waiting = self._waiting_bytes()
        if self.phase is Phase.RECEIVING:
            self._late()
        elif self.phase is Phase.IDLE and waiting == 0 and self._draining:
            self.idle()  # the last response is taken only now: idleness begins
        elif self.phase in (Phase.IDLE, Phase.LINGERING) and waiting == 0:
            self._close()
        elif self._has_stalled(waiting):
            self._give_up()
        else:
            self._draining = waiting > 0
            self._arm(self._limits.stalled_s / STALL_CHECKS)

    def _waiting_bytes(self) -> int:
        unsent = self._unsent()
        return int(self._paused) if unsent is None else unsent

    def _has_stalled(self, waiting: int) -> bool:
        now = self._clock.seconds()
        taken = self._written_bytes - waiting
        # While answering, an empty buffer means that the client waits for us.
        if taken > self._taken_bytes or (waiting == 0 and self.phase is Phase.ANSWERING):
            self._taken_bytes = max(taken, self._taken_bytes)
            self._progress_s = now
            return False
        return now - self._progress_s >= self._limits.stalled_s
