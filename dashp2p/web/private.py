"""What tells about viewers answers this machine only, or on the --admin listener."""

from __future__ import annotations

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from dashp2p.web.addresses import is_at, is_loopback
from dashp2p.web.hosts import LOOPBACK_NAMES, host_of
from dashp2p.web.json import ErrorResource

_PROXIED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def may_see(request: Request) -> bool:
    """Whether a request may see what tells about viewers.

    It may on the --admin listener. Else it must come from this machine (or an address that counts
    as it, --as-local), under a loopback name (or a page could ask through DNS rebinding), and not
    through a proxy here that speaks for others.
    """
    if getattr(request.site, "private", False):
        return True
    client = request.getClientAddress()
    local: frozenset[str] = getattr(request.site, "as_local", frozenset())
    return (
        (is_loopback(client) or is_at(client, local))
        and host_of(request) in LOOPBACK_NAMES
        and not any(request.requestHeaders.hasHeader(name) for name in _PROXIED)
    )


REFUSAL = "this answers the daemon's own machine only; --admin ENDPOINT opens a listener for it"


class PrivateResource(Resource):
    """Stands before a resource that only `may_see` may reach."""

    def __init__(self, inner: IResource) -> None:
        Resource.__init__(self)
        self.inner = inner
        self.isLeaf = inner.isLeaf

    def getChildWithDefault(  # noqa: N802  # twisted's name
        self, path: bytes, request: Request
    ) -> IResource:
        if not may_see(request):
            return ErrorResource(403, REFUSAL)
        child: IResource = self.inner.getChildWithDefault(path, request)
        return child

    def render(self, request: Request) -> bytes | int:
        shown = self.inner if may_see(request) else ErrorResource(403, REFUSAL)
        body: bytes | int = shown.render(request)
        return body
