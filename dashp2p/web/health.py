"""/healthz: the daemon's loop runs. /readyz: it can do its work, or what keeps it from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.web.resource import Resource
from twisted.web.server import Request

from dashp2p.web.json import json_body, not_allowed
from dashp2p.web.limits import MAX_READY_REASONS

Reasons = Callable[[], Sequence[str]]
"""What keeps a daemon from its work: short sentences without paths or addresses; empty: nothing."""


def healthz(request: Request) -> bytes:
    """200, from any route, with no look at disk or network: a restart would not mend those."""
    return json_body(request, {"v": 1, "status": "alive"})


def readyz(request: Request, reasons: Sequence[str]) -> bytes:
    """200 when there are no reasons, else 503 with them."""
    if not reasons:
        return json_body(request, {"v": 1, "status": "ready"})
    shown = list(reasons[:MAX_READY_REASONS])
    return json_body(request, {"v": 1, "status": "not ready", "reasons": shown}, 503)


class HealthResource(Resource):
    """The resource of /healthz."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, "GET", "HEAD")
        return healthz(request)


class ReadyResource(Resource):
    """The resource of /readyz; `reasons` is called for each request."""

    isLeaf = True

    def __init__(self, reasons: Reasons) -> None:
        Resource.__init__(self)
        self._reasons = reasons

    def render(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, "GET", "HEAD")
        return readyz(request, self._reasons())
