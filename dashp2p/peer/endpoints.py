"""How the peer reaches origin and tracker: with a refusal heard at once, not after 0.3 s for each
address, which is how long Twisted's agent otherwise lets an attempt stand before it looks again.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import isIPAddress
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from dashp2p.peer.limits import NEXT_ADDRESS_S, ORIGIN_CONNECT_S


@implementer(IAgentEndpointFactory)
class Endpoints:
    """For an agent: http, and https as `policy` has it."""

    def __init__(self, reactor: Any, policy: BrowserLikePolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802  # Twisted's name
        """Raises SchemeNotSupported."""
        endpoint = self._connecting(uri)
        if uri.scheme == b"http":
            return endpoint
        if uri.scheme == b"https":
            return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")

    def _connecting(self, uri: URI) -> IStreamClientEndpoint:
        if isIPAddress(uri.host.decode("ascii", "replace")):
            # What looks names up costs a millisecond of CPU time more, for nothing.
            host = uri.host.decode("ascii")
            return TCP4ClientEndpoint(self._reactor, host, uri.port, timeout=ORIGIN_CONNECT_S)
        return HostnameEndpoint(
            self._reactor,
            uri.host,
            uri.port,
            timeout=ORIGIN_CONNECT_S,
            attemptDelay=NEXT_ADDRESS_S,
        )
