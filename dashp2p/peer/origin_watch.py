"""Whether the origin answers: asked when a neighbour seems to have lost it, and, while it is away,
now and then until it is back.

Players are steered to what the swarm holds meanwhile, so nothing else may ask it for long.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.peer.limits import (
    MAX_SIGNATURE_BYTES,
    ORIGIN_SUSPECT_EVERY_S,
    ORIGIN_SUSPECT_S,
    ORIGIN_WATCH_MAX_S,
    ORIGIN_WATCH_S,
)
from dashp2p.peer.origin_client import OriginClient, OriginError

log = Logger()


class OriginWatch:
    """`found` hears of each look whether the origin answered. `rng` keeps a crowd apart."""

    def __init__(
        self,
        origin: OriginClient,
        found: Callable[[bool], None],
        clock: IReactorTime,
        rng: random.Random,
    ) -> None:
        self._origin = origin
        self._found = found
        self._clock = clock
        self._rng = rng
        self._delay_s = ORIGIN_WATCH_S
        self._suspect_again_at = 0.0
        self._timer: IDelayedCall | None = None
        self._job: Deferred[None] | None = None

    def begin(self) -> None:
        """The origin did not answer. Nothing happens where it is watched already."""
        if self._timer is None and self._job is None:
            self._wait()

    def suspect(self) -> None:
        """It may be away: look soon, where that is not done anyway or was done a moment ago."""
        now = self._clock.seconds()
        if self._timer is None and self._job is None and now >= self._suspect_again_at:
            self._suspect_again_at = now + ORIGIN_SUSPECT_EVERY_S
            self._timer = self._clock.callLater(self._rng.random() * ORIGIN_SUSPECT_S, self._look)

    def end(self) -> None:
        """It answers, or nobody wants to know any more."""
        self._delay_s = ORIGIN_WATCH_S
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def _wait(self) -> None:
        delay_s = self._delay_s * (0.75 + self._rng.random() / 2)
        self._delay_s = min(ORIGIN_WATCH_MAX_S, self._delay_s * 2)
        self._timer = self._clock.callLater(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        job = Deferred.fromCoroutine(self._ask())
        self._job = None if job.called else job
        job.addErrback(self._failed)

    async def _ask(self) -> None:
        try:
            await self._origin.fetch_small(SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
            answers = True
        except OriginError as error:
            answers = error.answered
        self._job = None
        self._found(answers)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            log.failure("looking for the origin failed", failure=failure)
