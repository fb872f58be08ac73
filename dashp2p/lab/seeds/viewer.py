"""A player: it reads its segments in order, at the pace of its film, and tries again on failure."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from dashp2p.content.entry import Entry
from dashp2p.lab.seeds.peers import StormPeer
from dashp2p.peer.body import DeliveryFailed, SegmentBody
from dashp2p.store.errors import StoreError
from dashp2p.testing import MemoryFilm

RETRY_S = 0.5
SEGMENT_S = 1.5
DEADLINE_S = 4.0
PAUSE_S = 1.0


class _Request:
    """What a SegmentBody wants of a twisted.web request; now and then it pauses."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.data = bytearray()
        self.channel: object | None = self
        self._clock = clock
        self._rng = rng
        self._finish: list[Deferred[None]] = []
        self._producer: Any = None

    def notifyFinish(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        done: Deferred[None] = Deferred()
        self._finish.append(done)
        return done

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        self.data += data
        if self._producer is not None and self._rng.random() < 0.1:
            self._producer.pauseProducing()
            self._clock.callLater(self._rng.random() * PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def leave(self) -> None:
        """The connection is gone."""
        self.channel = None
        finish, self._finish = self._finish, []
        for done in finish:
            done.errback(Failure(CancelledError()))


class StormViewer:
    """Plays through whichever peer is alive in its place. `false` counts segments that were not so.

    `asked_at` is when the request under way began; None between two.
    """

    def __init__(
        self,
        peer_now: Callable[[], StormPeer],
        film: MemoryFilm,
        paths: list[str],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.played = 0
        self.failures = 0
        self.left = 0
        self.false: list[str] = []
        self.asked_at: float | None = None
        self.impatient = False
        self._peer_now = peer_now
        self._film = film
        self._paths = paths
        self._clock = clock
        self._rng = rng
        self._began_at = 0.0
        self._request: _Request | None = None

    @property
    def finished(self) -> bool:
        """Whether it has come to the end."""
        return self.played == len(self._paths)

    def start(self) -> None:
        """Begin to watch."""
        self._began_at = self._clock.seconds()
        self._next()

    def disconnect(self) -> None:
        """Its peer died."""
        if self._request is not None:
            self._request.leave()

    def _next(self) -> None:
        if self.finished:
            return
        peer = self._peer_now()
        if not peer.alive or peer.engine.index is None:
            self._clock.callLater(RETRY_S, self._next)
            return
        path = self._paths[self.played]
        entry = self._film.entry(path)
        self.asked_at = self._clock.seconds()
        request = self._request = _Request(self._clock, self._rng)
        # Of a request it needs what ours has: to write, to be told of the end, to be paused.
        body = SegmentBody(request, peer.engine, entry, 0, entry.size_bytes)  # type: ignore[arg-type]
        try:
            body.start(self.asked_at + DEADLINE_S)
        except StoreError:
            body.done.addErrback(lambda failure: failure.trap(DeliveryFailed))
            self._failed()
            return
        if self.impatient and self._rng.random() < 0.3:
            self._clock.callLater(self._rng.random(), self._give_up, request)
        body.done.addCallbacks(self._ended, self._broke, callbackArgs=(request, entry))

    def _give_up(self, request: _Request) -> None:
        if self._request is request:
            self.left += 1
            request.leave()

    def _ended(self, whole: bool, request: _Request, entry: Entry) -> None:
        true = self._film.files[entry.path]
        if not true.startswith(bytes(request.data)):
            self.false.append(entry.path)
        self._request = self.asked_at = None
        if not whole:
            self._clock.callLater(RETRY_S, self._next)
            return
        if sha256(request.data).digest() != sha256(true).digest():
            self.false.append(entry.path)
        self.played += 1
        due = self._began_at + self.played * SEGMENT_S
        self._clock.callLater(max(0.0, due - self._clock.seconds()), self._next)

    def _broke(self, failure: Failure) -> None:
        failure.trap(DeliveryFailed)
        self._failed()

    def _failed(self) -> None:
        request, self._request, self.asked_at = self._request, None, None
        if request is not None and not self._film_has(bytes(request.data)):
            self.false.append(self._paths[self.played])
        self.failures += 1
        self._clock.callLater(RETRY_S, self._next)

    def _film_has(self, data: bytes) -> bool:
        return self._film.files[self._paths[self.played]].startswith(data)
