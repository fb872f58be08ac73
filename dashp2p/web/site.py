# ruff: noqa: N802, N815  # Twisted's names
"""The listener of every daemon: twisted.web's Site with bounds, a Host check and an orderly end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from dashp2p.web.addresses import address_group, is_loopback
from dashp2p.web.channel import BoundedChannel
from dashp2p.web.json import ErrorResource
from dashp2p.web.limits import SiteLimits
from dashp2p.web.request import BoundedRequest

__all__ = ["BoundedChannel", "BoundedRequest", "BoundedSite", "Guard", "SiteLimits"]

log = Logger()

SERVER = b"dashp2p"

ANSWERED_TO_THE_END = frozenset({b"/healthz", b"/readyz", b"/metrics", b"/stats"})
"""What a stopping daemon still answers: how it is. Whoever asks for more is sent elsewhere."""
STOPPING = "this daemon is stopping; ask another, or try again soon"
RETRY_AFTER_S = 2

Guard = Callable[[BoundedRequest], "IResource | None"]
"""Looks at each request first; a resource that it returns answers in the site's stead."""


class BoundedSite(Site):
    """Serves `resource` within `limits`. Speaks HTTP/1.1 only, writes no access log.

    `guard` (dashp2p.web.hosts has one) may answer a request in the resource's stead: it is given
    the request and returns the resource to use, or None. `private` marks the --admin listener, on
    which what tells about viewers answers anyone (dashp2p.web.private); those at the addresses
    `as_local` are answered it on any listener, as if they asked from this machine.
    """

    protocol = BoundedChannel  # type: ignore[assignment]  # its own goes on to HTTP/2
    requestFactory = BoundedRequest

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        *,
        limits: SiteLimits | None = None,
        guard: Guard | None = None,
        private: bool = False,
        as_local: frozenset[str] = frozenset(),
    ) -> None:
        Site.__init__(self, resource, reactor=reactor)
        self.limits = SiteLimits() if limits is None else limits
        self.private = private
        self.as_local = as_local
        self.stopping = False
        self.refused_connections = 0
        self._guard = guard
        self._channels: set[BoundedChannel] = set()
        self._by_group: Counter[str] = Counter()
        self._ending: set[BoundedChannel] = set()
        self._drained: Deferred[None] | None = None

    def buildProtocol(  # type: ignore[override]  # no switch to HTTP/2 in between
        self, addr: IAddress | None
    ) -> BoundedChannel | None:
        """A channel for a new connection, or None when there are too many."""
        group = None if is_loopback(addr) else address_group(addr)
        limit = self.limits.connections_per_address
        crowded = group is not None and limit is not None and self._by_group[group] >= limit
        if crowded or len(self._channels) >= self.limits.connections:
            self.refused_connections += 1
            return None
        channel: BoundedChannel = Site.buildProtocol(self, addr)
        channel.counted_under = group
        return channel

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._channels)

    def connected(self, channel: BoundedChannel) -> None:
        """Count a connection; its channel calls this."""
        self._channels.add(channel)
        if channel.counted_under is not None:
            self._by_group[channel.counted_under] += 1

    def disconnected(self, channel: BoundedChannel) -> None:
        """Forget a connection; its channel calls this."""
        if channel not in self._channels:
            return
        self._channels.discard(channel)
        self._ending.discard(channel)  # whoever came after the stop began is not waited for
        group = channel.counted_under
        if group is not None:
            self._by_group[group] -= 1
            if not self._by_group[group]:
                del self._by_group[group]  # or the table would grow with every address ever seen
        self._tell_if_drained()

    def getResourceFor(self, request: BoundedRequest) -> IResource:
        """The resource that answers a request, after the guard has looked at it."""
        Request.setHeader(request, b"Server", SERVER)
        Request.setHeader(request, b"X-Content-Type-Options", b"nosniff")
        answer = None if self._guard is None else self._guard(request)
        if answer is None and self.stopping and request.path not in ANSWERED_TO_THE_END:
            Request.setHeader(request, b"Retry-After", b"%d" % RETRY_AFTER_S)
            answer = ErrorResource(503, STOPPING)
        if answer is None:
            answer = Site.getResourceFor(self, request)
        return answer

    def drain(self, grace_s: float) -> Deferred[None]:
        """Begin nothing new, close the idle connections, and let responses end for `grace_s`.

        Fires when what was being answered has ended. Until `close`, new connections are still
        taken, for whoever asks how the daemon is. Call it once.
        """
        self.stopping = True
        drained = self._drained = Deferred()
        self._ending = set(self._channels)
        for channel in list(self._channels):
            if not channel.answering:
                channel.close()
        timer = self.reactor.callLater(grace_s, self._cut_off)

        def stop_timer(result: object) -> object:
            if timer.active():
                timer.cancel()
            return result

        drained.addBoth(stop_timer)
        self._tell_if_drained()
        return drained

    def close(self) -> None:
        """End the connections that there are. Stop the listening port before."""
        for channel in list(self._channels):
            if channel.answering:
                channel.abort()
            else:
                channel.close()

    def _cut_off(self) -> None:
        log.info("{count} responses were cut off by the stop", count=len(self._ending))
        for channel in list(self._ending):
            channel.abort()

    def _tell_if_drained(self) -> None:
        if self._drained is not None and not self._ending:
            drained, self._drained = self._drained, None
            drained.callback(None)

    # No access log: it would hold addresses, and a clock tick each second for its dates. Daemons
    # count what they serve.

    def startFactory(self) -> None:
        """Nothing to open."""

    def stopFactory(self) -> None:
        """Nothing to close."""
