"""A listening port that fails loudly and stops gently."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from dashp2p.web.site import BoundedSite

log = Logger()

DRAIN_S = 10.0


class StartRefused(SystemExit, Exception):  # noqa: N818  # it is an exit
    """The daemon cannot start, and says why in one line on stderr; the status is 1.

    A SystemExit, so that no traceback is printed; and an Exception, so that twistd removes its pid
    file, and tells a waiting parent process, on the way out.
    """


class Listener(Service):
    """Listens on an endpoint that an option gave, for any factory.

    `option` is the option's name without dashes: when the port is taken, or not ours to use, the
    line on stderr names it. Twisted's own service for this would only log the failure and run on,
    deaf, but for a private flag.
    """

    def __init__(
        self, option: str, description: str, factory: IProtocolFactory, reactor: Any
    ) -> None:
        self._option = option
        self._description = description
        self._factory = factory
        self._reactor = reactor
        self._listening: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Listen: this comes before twistd gives up root's rights. Raises StartRefused."""
        Service.privilegedStartService(self)
        endpoint = serverFromString(self._reactor, self._description)
        failures: list[Failure] = []
        waiting = maybeDeferred(endpoint.listen, self._factory)
        waiting.addCallback(self._listens)
        if waiting.called:
            waiting.addErrback(failures.append)
        if failures:
            error = failures[0].value
            reason = getattr(error, "socketError", error)
            raise StartRefused(
                f"cannot listen on {self._description}: {reason}; "
                f"--{self._option} ENDPOINT chooses another"
            )
        # TCP, TLS and UNIX sockets are listened on at once; for others there is only the log.
        waiting.addErrback(lambda failure: log.failure("cannot listen", failure=failure))

    def _listens(self, port: IListeningPort) -> None:
        self._listening = port

    def startService(self) -> None:
        """Listen, where nobody called privilegedStartService before."""
        Service.startService(self)
        if self._listening is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """Listen no more. Connections that there are go on."""

        async def stop() -> None:
            Service.stopService(self)
            listening, self._listening = self._listening, None
            if listening is not None:
                await maybeDeferred(listening.stopListening)

        return Deferred.fromCoroutine(stop())

    @property
    def port(self) -> int | None:
        """The number of the port that is listened on; None when not, and for a UNIX socket."""
        if self._listening is None:
            return None
        number: int | None = getattr(self._listening.getHost(), "port", None)
        return number


class HttpListener(Listener):
    """A Listener for a site: on stop, responses under way have `drain_s` to end.

    The port stays open meanwhile, so that /readyz can say that the daemon stops.
    """

    def __init__(
        self,
        option: str,
        description: str,
        site: BoundedSite,
        reactor: Any,
        drain_s: float = DRAIN_S,
    ) -> None:
        Listener.__init__(self, option, description, site, reactor)
        self.site = site
        self._drain_s = drain_s

    def drain(self) -> Deferred[None]:
        """Begin nothing new; fires when what was being answered has ended."""
        return self.site.drain(self._drain_s)

    def stopService(self) -> Deferred[None]:
        """Wait for what is being answered (unless `drain` has), then listen no more."""

        async def stop() -> None:
            if not self.site.stopping:
                await self.drain()
            await Listener.stopService(self)
            self.site.close()

        return Deferred.fromCoroutine(stop())
