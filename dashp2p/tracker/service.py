"""The tracker as a Twisted service: its parts put together, the clock's ticks, an orderly end."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable
from random import Random
from typing import Any

from attrs import field, frozen
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.application.strports import service as listener
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from dashp2p.tracker import limits
from dashp2p.tracker.addresses import HostPort
from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.dialback import DialBack
from dashp2p.tracker.memory import MemoryRegistry, RegistryRules
from dashp2p.tracker.rates import Rates
from dashp2p.tracker.resources import Root
from dashp2p.web.limits import SiteLimits
from dashp2p.web.metrics import Family
from dashp2p.web.site import BoundedSite

PROGRAM = "dashp2p-tracker"
EXPIRE_EVERY_S = 1.0
DRAIN_S = 2.0
"""Calls are answered in milliseconds; this is for clients that read slowly."""
MAX_FILES = 65_536

log = Logger()


@frozen
class TrackerConfig:
    """How a tracker is set up. `listen` and `admin` are endpoint strings."""

    listen: str
    admin: str | None = None
    registry: RegistryRules = field(factory=RegistryRules)
    calls_per_address: float = 1 / limits.ADDRESS_EVERY_S
    """Calls a second in the long run."""
    connections_per_address: int | None = None


class TrackerService(MultiService):
    """Everything of one tracker process.

    `reactor` provides time, listening and dialling; `random` chooses whom a peer is told of.
    """

    def __init__(
        self,
        config: TrackerConfig,
        reactor: Any,  # IReactorTime, IReactorTCP and what an endpoint string asks for
        *,
        random: Random | None = None,
    ) -> None:
        MultiService.__init__(self)
        self.name = PROGRAM
        self._stopping = False
        self.registry = MemoryRegistry(
            config.registry,
            Random() if random is None else random,
            # Epochs after a restart are to be above those before it; nothing else needs the date.
            epoch_offset=int(time.time() - time.monotonic()),
        )

        def dial(address: HostPort) -> IStreamClientEndpoint:
            endpoint = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
            return endpoint(reactor, address.host, address.port, timeout=limits.DIAL_S)

        every_s = 1 / config.calls_per_address
        self.api = TrackerApi(
            self.registry,
            DialBack(dial, reactor, time.monotonic),
            time.monotonic,
            calls_of_site=Rates(every_s, limits.ADDRESS_BURST, limits.MAX_BUCKETS),
        )
        root = Root(self.api, self._not_ready, self._connections)
        site_limits = SiteLimits(
            body_bytes=limits.MAX_LEASE_BYTES,
            connections=limits.MAX_CONNECTIONS,
            connections_per_address=config.connections_per_address,
        )
        self.sites: list[BoundedSite] = []
        for description, private in ((config.listen, False), (config.admin, True)):
            if description is not None:
                site = BoundedSite(root, reactor, limits=site_limits, private=private)
                self.sites.append(site)
                listener(description, site, reactor=reactor).setServiceParent(self)
        timer = TimerService(EXPIRE_EVERY_S, self._tick)
        timer.clock = reactor
        timer.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Listen, or leave with one line and status 1."""
        try:
            MultiService.privilegedStartService(self)
        except CannotListenError as error:
            where = f"{error.interface or '*'}:{error.port}"
            why = getattr(error.socketError, "strerror", None) or error.socketError
            # Not through the log, whose lines nobody reads who has just mistyped a port.
            print(
                f"{PROGRAM}: cannot listen on {where}: {why}; "
                "--listen (or --admin) takes another port",
                file=sys.__stderr__,
            )
            raise SystemExit(1) from error

    def startService(self) -> None:
        raise_file_limit()
        MultiService.startService(self)

    def stopService(self) -> Deferred[None]:
        """Not ready; stop listening; let calls end; give up what is under way."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopping = True
        await maybeDeferred(MultiService.stopService, self)
        self.api.stop()
        await gatherResults([site.drain(DRAIN_S) for site in self.sites])

    def _not_ready(self) -> list[str]:
        if self._stopping:
            return ["the tracker is stopping"]
        return [] if self.running else ["the tracker is starting"]

    def _connections(self) -> Iterable[Family]:
        count = sum(site.connections for site in self.sites)
        refused = sum(site.refused_connections for site in self.sites)
        prefix = "dashp2p_tracker_"
        yield Family.of(prefix + "connections", "Open HTTP connections.", "gauge", count)
        yield Family.of(
            prefix + "refused_connections_total",
            "HTTP connections closed at once, being too many.",
            "counter",
            refused,
        )

    def _tick(self) -> Deferred[None]:
        expiring = Deferred.fromCoroutine(self.registry.expire(time.monotonic()))
        # An error must not end the ticks (TimerService stops at the first one).
        return expiring.addErrback(lambda why: log.failure("expiring failed", why))


def raise_file_limit(wanted: int = MAX_FILES) -> None:
    """Let this process open as many sockets as the system allows; a peer keeps one open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warn("the limit of open files stays at {soft}: {error}", soft=soft, error=error)
