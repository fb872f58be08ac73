"""Staying in the swarm: announces, often while neighbours are few, and dialling whom they name."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dashp2p.content.keys import peer_id as peer_id_of
from dashp2p.content.tickets import TICKET_LIFE_S
from dashp2p.peer.exchange import Exchange
from dashp2p.peer.limits import OVERSLEPT_S, WANTED_LINKS
from dashp2p.peer.tickets import Tickets
from dashp2p.peer.tracker_client import Announced, TrackerClient, TrackerError, TrackerRefused

log = Logger()

EAGER_DELAYS_S = (0.15, 0.5, 1.0, 2.0, 4.0)
"""A crowd that joins in one second must still find itself."""
WAITING_ROUNDS = 2
"""So many of them who is getting links as it is leaves out: there is enough to do."""
ENOUGH_LINKS = 8
LONELY_LINKS = 2
"""Who has no more asks again, however few the tracker knew of."""
PEERS_FRESH_S = 26.0
"""Who has links enough is told of more peers no sooner than this."""
RETRY_MAX_S = 60.0


def local_address_towards(url: str) -> str | None:
    """The address of this machine that packets to `url`'s host would carry. Sends nothing."""
    parts = urlsplit(url)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((parts.hostname or "", parts.port or 80))
            return str(probe.getsockname()[0])
    except OSError:
        return None


class Membership:
    """Announces until stopped. Reconnects with jittered back-off, which a success resets."""

    def __init__(
        self,
        tracker: TrackerClient,
        exchange: Exchange,
        clock: IReactorTime,
        rng: random.Random,
        swarm_id: bytes,
        public_key: bytes,
        port: int,
        private: list[str],
        upload_bps: int,
        have: Callable[[], int],
        stats: Callable[[], Mapping[str, float]],
        served_by: Callable[[], Mapping[str, int]],
        tickets: Tickets | None = None,
    ) -> None:
        self.announced_at: float | None = None
        self.reachable: bool | None = None
        self.swarm_peers = 0
        self.refusal: str | None = None
        """Why the tracker will not have us, if so."""
        self._tracker = tracker
        self._exchange = exchange
        self._clock = clock
        self._rng = rng
        self._swarm_id = swarm_id
        self._public_key = public_key
        self._port = port
        self._private = private
        self._upload_bps = upload_bps
        self._have = have
        self._stats = stats
        self._served_by = served_by
        self._told_of_peers_at = float("-inf")
        self._tickets = tickets
        self._timer: IDelayedCall | None = None
        self._job: Deferred[None] | None = None
        self._failures = 0
        self._eager = 0
        self._stopped = False

    def start(self) -> Deferred[None]:
        """Announce for the first time; fires when that was tried."""
        return self._begin("started")

    def again_soon(self) -> None:
        """The tracker does not know us (it was started anew): announce now."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
            self._begin("started")

    def sooner(self, interval_s: float) -> None:
        """Somebody looks at the tracker's dashboard: tell our figures so often."""
        if self._timer is not None and self._timer.active():
            delay_s = interval_s * (0.9 + self._rng.random() / 5)
            if self._timer.getTime() - self._clock.seconds() > interval_s * 1.1:
                self._timer.reset(delay_s)

    async def stop(self) -> None:
        """Tell the tracker that we leave, if it answers soon."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._job is not None:
            self._job.cancel()
        if self.announced_at is not None:
            try:
                await self._announce("stopped")
            except TrackerError as error:
                log.info("the tracker does not hear that we leave: {why}", why=str(error))

    def _due(self, event: str, at: float) -> None:
        if self._clock.seconds() - at > OVERSLEPT_S:
            self._eager = 0  # its neighbours are gone: it has to find new ones, as at the start
        if 0 < self._eager <= WAITING_ROUNDS and self._finds_itself():
            self._eager += 1
            self._again(event, self._eager_delay_s())
            return
        self._begin(event)

    def _finds_itself(self) -> bool:
        """Whether links come about with as many as we know of. Who announced after us was told of
        us, and calls; whom nobody has called yet asks again."""
        known = max(self.swarm_peers - 1, LONELY_LINKS)
        return self._exchange.coming_about >= min(ENOUGH_LINKS, known)

    def _eager_delay_s(self) -> float:
        return EAGER_DELAYS_S[self._eager - 1] * (0.75 + self._rng.random() / 2)

    def _begin(self, event: str) -> Deferred[None]:
        self._timer = None
        self._job = Deferred.fromCoroutine(self._round(event))
        return self._job

    async def _round(self, event: str) -> None:
        try:
            answer = await self._announce(event)
        except CancelledError:
            return
        except TrackerError as error:
            self._failures += 1
            self._not_announced(error)
            delay_s = min(RETRY_MAX_S, 1.5**self._failures) * (0.5 + self._rng.random())
            self._again("started" if self.announced_at is None else "update", delay_s)
            return
        self._failures = 0
        self.reachable = True
        self.refusal = None
        if self._tickets is not None:
            self._tickets.answered(self._swarm_id, peer_id_of(self._public_key), answer)
        self.announced_at = self.announced_at or self._clock.seconds()
        self.swarm_peers = answer.swarm_peers
        self._exchange.dial(answer.peers)
        self._again("update", self._interval_s(answer))

    def _not_announced(self, error: TrackerError) -> None:
        if isinstance(error, TrackerRefused):
            self.reachable = True
            if self.refusal is None:
                log.warn("{why}. Until then all comes from the origin", why=str(error))
            self.refusal = f"{error}. Until then all comes from the origin."
            return
        if self.reachable is not False:
            log.warn("{why}; trying again", why=str(error))
        self.reachable = False
        if self._tickets is not None:
            self._tickets.unanswered()

    def _interval_s(self, answer: Announced) -> float:
        wanted = min(ENOUGH_LINKS, answer.swarm_peers - 1)
        few = len(self._exchange.links) < wanted or answer.swarm_peers <= LONELY_LINKS
        if few and self._eager < len(EAGER_DELAYS_S):
            self._eager += 1
            return self._eager_delay_s()
        # At half its life a ticket is renewed, with every announce that comes after.
        return min(answer.interval_s, TICKET_LIFE_S / 2) * (0.9 + self._rng.random() / 5)

    def _again(self, event: str, delay_s: float) -> None:
        if not self._stopped:
            due_at = self._clock.seconds() + delay_s
            self._timer = self._clock.callLater(delay_s, self._due, event, due_at)

    async def _announce(self, event: str) -> Announced:
        return await self._tracker.announce(
            swarm_id=self._swarm_id,
            event=event,
            port=self._port,
            private=self._private,
            wanted=self._wanted(event),
            upload_bps=self._upload_bps,
            have=self._have(),
            public_key=self._public_key,
            stats=self._stats(),
            served_by=self._served_by(),
        )

    def _wanted(self, event: str) -> int:
        """The answer names so many peers. Some 3 KB each time: not for figures alone."""
        few = len(self._exchange.links) < min(ENOUGH_LINKS, self.swarm_peers - 1)
        now = self._clock.seconds()
        fresh = now - self._told_of_peers_at < PEERS_FRESH_S and self.swarm_peers > 0
        if event == "stopped" or (fresh and not few):
            return 0
        self._told_of_peers_at = now
        return WANTED_LINKS
