"""The tracker as a Twisted service: its parts put together, the clock's ticks, an orderly end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

from attrs import field, frozen
from twisted.application.internet import TimerService
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from dashp2p.content.keys import KeyRefused, load_or_create_key
from dashp2p.tracker import limits
from dashp2p.tracker.addresses import HostPort
from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.awake import AwakeClock
from dashp2p.tracker.dialback import Dial, DialBack
from dashp2p.tracker.live import Live
from dashp2p.tracker.memory import MemoryRegistry, RegistryRules
from dashp2p.tracker.redis_address import RedisAddress
from dashp2p.tracker.redis_store import RedisStore
from dashp2p.tracker.registry import Registry
from dashp2p.tracker.resources import Root
from dashp2p.tracker.shared import SharedRegistry
from dashp2p.tracker.streams import SEND_EVERY_S, Streams, send_all
from dashp2p.tracker.tickets import Tickets
from dashp2p.web.hosts import AdminGuard
from dashp2p.web.limits import SiteLimits
from dashp2p.web.listener import HttpListener, StartRefused
from dashp2p.web.metrics import Family
from dashp2p.web.rates import Rates
from dashp2p.web.site import BoundedSite

EXPIRE_EVERY_S = 1.0
DRAIN_S = 2.0
"""Calls are answered in milliseconds; this is for clients that read slowly."""

log = Logger()


@frozen
class TrackerConfig:
    """How a tracker is set up. `listen` and `admin` are endpoint strings."""

    listen: str
    admin: str | None = None
    admin_hosts: tuple[str, ...] = ()
    registry: RegistryRules = field(factory=RegistryRules)
    shared: RedisAddress | None = None
    """Where several trackers keep their registry; None: this one keeps its own, in memory."""
    calls_per_address: float = 1 / limits.ADDRESS_EVERY_S
    """Calls a second in the long run."""
    connections_per_address: int | None = None
    as_local: frozenset[str] = frozenset()
    """Addresses that count as this machine where figures are asked for."""
    ticket_key: Path | None = None
    """The file of the key that signs tickets, made when missing; None: no tickets."""
    owners: tuple[bytes, ...] | None = None
    """Public keys of owners whose tokens admit; None: everybody is admitted."""


class TrackerService(MultiService):
    """Everything of one tracker process; `listeners` are that of --listen and that of --admin.

    `reactor` provides time, listening and dialling. `seconds` is the clock of peers and leases,
    monotonic, `wall` that of tickets, since 1970; `random` chooses whom a peer is told of; `dial`
    makes endpoints to dial back with.
    """

    def __init__(
        self,
        config: TrackerConfig,
        reactor: Any,
        *,
        seconds: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        dial: Dial | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        MultiService.__init__(self)
        self._config = config
        self._stopping = False
        self._seconds = awake = AwakeClock(seconds)
        self._wall = wall
        self.registry = self._registry(config, reactor, Random() if random is None else random)
        self.api = TrackerApi(
            self.registry,
            DialBack(_dialler(reactor) if dial is None else dial, reactor, awake),
            awake,
            calls_of_site=Rates(
                1 / config.calls_per_address, limits.ADDRESS_BURST, limits.MAX_BUCKETS
            ),
        )
        self.streams = Streams(Live(self.api))
        self.root = Root(self.api, self.streams, self.reasons, self._connections)
        site_limits = SiteLimits(
            body_bytes=limits.MAX_LEASE_BYTES,
            connections=limits.MAX_CONNECTIONS,
            connections_per_address=config.connections_per_address,
        )
        self.listeners: list[HttpListener] = []
        for option, where in (("listen", config.listen), ("admin", config.admin)):
            if where is not None:
                private = option == "admin"
                guard = AdminGuard(config.admin_hosts) if private else None
                site = BoundedSite(
                    self.root,
                    reactor,
                    limits=site_limits,
                    guard=guard,
                    private=private,
                    as_local=config.as_local,
                )
                self.listeners.append(HttpListener(option, where, site, reactor, DRAIN_S))
                Service.setServiceParent(self.listeners[-1], self)
        for every_s, work in (
            (EXPIRE_EVERY_S, self._tick),
            (SEND_EVERY_S, lambda: send_all(self.streams)),
        ):
            timer = TimerService(every_s, work)
            timer.clock = reactor
            Service.setServiceParent(timer, self)

    def privilegedStartService(self) -> None:
        """Read or make the key of tickets, and take the ports. Raises StartRefused."""
        self._load_key()
        MultiService.privilegedStartService(self)

    def startService(self) -> None:
        """As above, where nobody called it."""
        self._load_key()
        MultiService.startService(self)

    def _load_key(self) -> None:
        path = self._config.ticket_key
        if path is None or self.api.tickets is not None:
            return
        try:
            key = load_or_create_key(path)
        except KeyRefused as error:
            raise StartRefused(f"{error}; --ticket-key FILE names another one") from None
        self.api.tickets = Tickets(key, self._config.owners, self._wall)
        log.info("tickets are signed by {key}", key=self.api.tickets.public_key.hex())

    def _registry(self, config: TrackerConfig, reactor: Any, random: Random) -> Registry:
        if config.shared is None:
            # Epochs after a restart are to be above those before it; nothing else needs the date.
            epoch_offset = int(time.time() - self._seconds())
            return MemoryRegistry(config.registry, random, epoch_offset)
        rules, address = config.registry, config.shared
        dial_s = limits.SHARED_ANSWER_S
        endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout=dial_s)
        bounds = (rules.peers_per_swarm, rules.swarms)
        store = RedisStore(address, endpoint, reactor, bounds, os.urandom)
        Service.setServiceParent(store, self)
        return SharedRegistry(rules, store, os.urandom(8).hex(), random)

    def stopService(self) -> Deferred[None]:
        """Not ready; listen no more; let calls end; give up what is under way."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopping = True
        self.streams.stop()
        await maybeDeferred(MultiService.stopService, self)
        self.api.stop()

    def reasons(self) -> list[str]:
        """What keeps the tracker from its work."""
        return [*(["the tracker is stopping"] if self._stopping else []), *self.registry.reasons()]

    def _connections(self) -> Iterable[Family]:
        sites = [listener.site for listener in self.listeners]
        prefix = "dashp2p_tracker_"
        yield Family.of(
            prefix + "connections",
            "Open HTTP connections.",
            "gauge",
            sum(site.connections for site in sites),
        )
        yield Family.of(
            prefix + "refused_connections_total",
            "HTTP connections closed at once, being too many.",
            "counter",
            sum(site.refused_connections for site in sites),
        )
        yield Family.of(
            prefix + "dashboards", "Pages that are sent figures.", "gauge", len(self.streams)
        )
        yield Family.of(
            prefix + "refused_dashboards_total",
            "Pages that had to ask by themselves, there being too many.",
            "counter",
            self.streams.refused,
        )

    def _tick(self) -> Deferred[None]:
        self._seconds.look()
        expiring = Deferred.fromCoroutine(self.registry.expire(self._seconds()))
        # An error must not end the ticks (TimerService stops at the first one).
        return expiring.addErrback(lambda why: log.failure("expiring failed", why))


def _dialler(reactor: Any) -> Dial:
    def dial(address: HostPort) -> IStreamClientEndpoint:
        endpoint = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
        return endpoint(reactor, address.host, address.port, timeout=limits.DIAL_S)

    return dial
