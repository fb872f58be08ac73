"""What the tracker does with a call: limits its rate, asks the registry, words the answer.

No HTTP here beyond the bytes of bodies; `resources` has the routes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from dashp2p.swarm.leases import Answer, Granted
from dashp2p.tracker import limits
from dashp2p.tracker.addresses import HostPort, Whereabouts, whereabouts
from dashp2p.tracker.dialback import DialBack
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.messages import Announce, Event, read_announce, read_lease
from dashp2p.tracker.registry import LeaseAnswer, Registry, Welcome
from dashp2p.tracker.tickets import Tickets
from dashp2p.web.rates import Rates

log = Logger()


@define(eq=False)
class TrackerApi:
    """Announces and leases. `seconds` is a monotonic clock."""

    registry: Registry
    dialback: DialBack
    seconds: Callable[[], float]
    tickets: Tickets | None = None
    """Without them there are no tickets, and nobody's word is checked."""
    announces_of_peer: Rates[tuple[bytes, bytes]] = field(
        factory=lambda: Rates(limits.ANNOUNCE_EVERY_S, limits.ANNOUNCES_BURST, limits.MAX_BUCKETS)
    )
    leases_of_peer: Rates[tuple[bytes, bytes]] = field(
        factory=lambda: Rates(limits.LEASES_EVERY_S, limits.LEASES_BURST, limits.MAX_BUCKETS)
    )
    calls_of_site: Rates[str] = field(
        factory=lambda: Rates(limits.ADDRESS_EVERY_S, limits.ADDRESS_BURST, limits.MAX_BUCKETS)
    )
    announces: Counter[str] = field(factory=Counter, init=False)
    """By event."""
    lease_calls: int = field(default=0, init=False)
    refused: Counter[int] = field(factory=Counter, init=False)
    """Calls not served, by HTTP status."""
    watched_interval_s: float | None = field(default=None, init=False)
    """How often peers are to announce themselves while somebody looks at the dashboard."""
    _logged: Rates[str] = field(factory=lambda: Rates(10.0, 6, 16), init=False)
    _running: set[Deferred[None]] = field(factory=set, init=False)

    async def announce(self, body: bytes, host: str, signature: str | None = None) -> bytes:
        """Answer an announce that came from the address `host`, with its signature, if it had one.
        Raises Refused.
        """
        now = self.seconds()
        at = self._admit(host, now)
        announce = read_announce(body)
        stopped = announce.event is Event.STOPPED
        if not stopped:  # who leaves is never held up
            _pace(self.announces_of_peer.take((announce.swarm, announce.peer), now))
        ticket = None
        if self.tickets is not None:
            ticket = self.tickets.admit(announce, body, signature)
        # A loopback address is told to nobody but this machine's own peers: nothing to find out.
        dials = announce.port > 0 and not stopped and not at.loopback
        public = HostPort(at.host, announce.port)
        reached = self.dialback.known(public) if dials else None
        welcome = await self.registry.announce(announce, at, now, reached)
        self.announces[announce.event.value] += 1
        if announce.event is Event.STARTED and welcome.swarm_peers == 1 and self._may_log("new"):
            log.info("a swarm begins: {swarm}", swarm=announce.swarm.hex())
        if dials and reached is None:
            self.dialback.check(public, at.site, partial(self._dialled, announce, at))
        watched_s = self.watched_interval_s
        if watched_s is not None and watched_s < welcome.interval_s:
            welcome = evolve(welcome, interval_s=watched_s)
        return _welcome_json(welcome, at, ticket, self.tickets)

    async def lease(self, body: bytes, host: str) -> bytes:
        """Answer a call about leases. Raises Refused."""
        now = self.seconds()
        at = self._admit(host, now)
        call = read_lease(body)
        _pace(self.leases_of_peer.take((call.swarm, call.peer), now))
        if self.tickets is not None:
            self.tickets.check_lease(call)
        answer = await self.registry.lease(call, at, now)
        self.lease_calls += 1
        return _lease_json(answer, self.watched_interval_s)

    def count_refused(self, status: int) -> None:
        """A call was not served."""
        self.refused[status] += 1
        if status == 503 and self._may_log("full"):
            log.warn("the tracker is full and turns away swarms; --max-swarms or --max-peers")

    def _may_log(self, cause: str) -> bool:
        """Strangers decide how often these things happen."""
        return self._logged.take(cause, self.seconds()) == 0

    def stop(self) -> None:
        self.dialback.stop()
        for running in list(self._running):
            running.cancel()

    def _admit(self, host: str, now: float) -> Whereabouts:
        """Pace an address before its call is even read; this machine's peers are exempt."""
        at = whereabouts(host)
        if not at.loopback:
            _pace(self.calls_of_site.take(at.site, now))
        return at

    def _dialled(self, announce: Announce, at: Whereabouts, reached: bool) -> None:
        noting = Deferred.fromCoroutine(
            self.registry.dialled(announce.swarm, announce.peer, at, announce.port, reached)
        )
        self._running.add(noting)
        noting.addErrback(lambda why: log.failure("a dialled peer could not be noted", why))
        noting.addCallback(lambda _: self._running.discard(noting))


def _pace(wait_s: float) -> None:
    if wait_s > 0:
        raise Refused("too many calls: wait as long as Retry-After says", 429, retry_after_s=wait_s)


def _welcome_json(
    welcome: Welcome, at: Whereabouts, ticket: str | None, tickets: Tickets | None
) -> bytes:
    """By hand: each neighbour's object is kept as bytes, for it is told to many."""
    return (
        b'{"v":1,"interval_s":%.1f,"ttl_s":%.1f,"address":"%s","peers":[%s],"swarm_peers":%d,'
        b'"ticket":%s%s}'
        % (
            welcome.interval_s,
            welcome.ttl_s,
            at.host.encode("ascii"),
            b",".join([peer.to_json() for peer in welcome.peers]),
            welcome.swarm_peers,
            b"null" if ticket is None else b'"%s"' % ticket.encode("ascii"),
            b"" if tickets is None else _keys_json(tickets),
        )
    )


def _keys_json(tickets: Tickets) -> bytes:
    """What tickets are checked by: the key, and the time here, for viewers' clocks may be off."""
    key = tickets.public_key.hex().encode("ascii")
    return b',"ticket_key":"%s","time":%d' % (key, tickets.wall())


def _lease_json(answer: LeaseAnswer, watched_interval_s: float | None) -> bytes:
    leases = json.dumps([_lease_fields(each) for each in answer.answers], separators=(",", ":"))
    peers = b",".join([peer.to_json() for peer in answer.peers])
    return b'{"v":1,"leases":%s,"peers":[%s]%s%s}' % (
        leases.encode("ascii"),
        peers,
        b',"announce":true' if answer.unannounced else b"",
        b"" if watched_interval_s is None else b',"interval_s":%.1f' % watched_interval_s,
    )


def _lease_fields(answer: Answer) -> dict[str, object]:
    if isinstance(answer, Granted):
        return {
            "segment": answer.segment,
            "granted": True,
            "epoch": answer.epoch,
            "expires_s": round(answer.expires_s, 3),
            "first": answer.first,
            "count": answer.count,
        }
    return {
        "segment": answer.segment,
        "granted": False,
        "epoch": answer.epoch,
        "leader": None if answer.leader is None else answer.leader.hex(),
        "holders": [peer.hex() for peer in answer.holders],
        "retry_s": round(max(answer.retry_s, 0.05), 3),
    }
