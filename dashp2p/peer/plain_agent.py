"""HTTP without compression and cookies, which treq's client adds to any request."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

_CAME_AS = "Dashp2p-Came-As"


@implementer(IAgent)
class PlainAgent:
    """Give it to treq's HTTPClient in place of the agent that it wraps.

    Files are asked for as they are: treq would offer gzip besides, a part of a compressed file is
    not the part that a Range names, and what is inflated has no length to check first. A server may
    compress unasked all the same. Then treq, which would inflate a thousandfold whatever one read
    of the socket brought, does not see it; `encoding_of` tells, and the reader decides. And a jar
    of cookies, kept for all requests, would grow by whatever an origin or tracker likes to set.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # Twisted's name
    ) -> Deferred[IResponse]:
        """As IAgent's."""
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("Accept-Encoding", ["identity"])
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return answer.addCallback(_as_it_came)


def encoding_of(response: IResponse) -> str:
    """How the body is compressed, as Content-Encoding (RFC 9110, 8.4) said; empty: not at all."""
    return ", ".join(response.headers.getRawHeaders(_CAME_AS) or [])


def _as_it_came(response: IResponse) -> IResponse:
    response.headers.removeHeader("Set-Cookie")
    encodings = response.headers.getRawHeaders("Content-Encoding") or []
    response.headers.removeHeader("Content-Encoding")
    response.headers.setRawHeaders(_CAME_AS, [each for each in encodings if each != "identity"])
    return response
