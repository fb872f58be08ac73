"""The origin daemon: its addresses and its listeners."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService, Service
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from dashp2p.origin.counters import OriginCounters
from dashp2p.origin.files import FilesResource
from dashp2p.web.health import HealthResource, ReadyResource
from dashp2p.web.hosts import AdminGuard
from dashp2p.web.json import json_body, not_allowed
from dashp2p.web.limits import SiteLimits
from dashp2p.web.listener import HttpListener
from dashp2p.web.metrics import Family, Metrics, MetricsResource
from dashp2p.web.private import PrivateResource
from dashp2p.web.site import BoundedSite
from dashp2p.web.tree import Tree

MANIFEST = "dash.mpd"


@frozen
class OriginConfig:
    """What the options say."""

    root: Path
    listen: str
    admin: str | None = None
    admin_hosts: tuple[str, ...] = ()
    connections_per_address: int | None = None
    """None: as many as they like."""
    as_local: frozenset[str] = frozenset()
    """Addresses that count as this machine."""


class OriginService(MultiService):
    """The one service of the daemon; `files` and `admin` are its listeners."""

    def __init__(self, config: OriginConfig, reactor: Any) -> None:
        MultiService.__init__(self)
        self._root = config.root
        self._reactor = reactor
        self._started_s = reactor.seconds()
        self.counters = OriginCounters()
        self._metrics = Metrics(self.counters.families, self._families)
        limits = SiteLimits(connections_per_address=config.connections_per_address)
        site = BoundedSite(self.resource(), reactor, limits=limits, as_local=config.as_local)
        self.files = HttpListener("listen", config.listen, site, reactor)
        Service.setServiceParent(self.files, self)
        self.admin: HttpListener | None = None
        if config.admin is not None:
            private = BoundedSite(
                Tree(self._figures()), reactor, guard=AdminGuard(config.admin_hosts), private=True
            )
            self.admin = HttpListener("admin", config.admin, private, reactor)
            Service.setServiceParent(self.admin, self)

    def resource(self) -> IResource:
        """The public addresses; the figures among them answer this machine only."""
        return Tree({"dash": FilesResource(self._root, self.counters), **self._figures()})

    def _figures(self) -> dict[str, IResource]:
        return {
            "healthz": HealthResource(),
            "readyz": ReadyResource(self.reasons),
            "metrics": PrivateResource(MetricsResource(self._metrics)),
            "stats": PrivateResource(StatsResource(self)),
        }

    def reasons(self) -> list[str]:
        """What keeps the origin from its work."""
        if self.files.site.stopping:
            return ["the origin is stopping"]
        if not os.access(self._root, os.R_OK | os.X_OK):
            return ["the root folder cannot be read"]
        if not os.access(self._root / MANIFEST, os.R_OK):
            return [f"there is no {MANIFEST} in the root folder; segment.sh makes one"]
        return []

    def as_json(self) -> dict[str, object]:
        """For /stats."""
        return {
            "v": 1,
            "uptime_s": round(self._reactor.seconds() - self._started_s, 3),
            "connections": self.files.site.connections,
            "refused_connections": self.files.site.refused_connections,
            **self.counters.as_json(),
        }

    def _families(self) -> list[Family]:
        site = self.files.site
        return [
            Family.of("dashp2p_origin_connections", "Open connections.", "gauge", site.connections),
            Family.of(
                "dashp2p_origin_refused_connections_total",
                "Connections refused because there were too many.",
                "counter",
                site.refused_connections,
            ),
        ]


class StatsResource(Resource):
    """/stats: the counters as JSON."""

    isLeaf = True

    def __init__(self, service: OriginService) -> None:
        Resource.__init__(self)
        self._service = service

    def render(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, "GET", "HEAD")
        return json_body(request, self._service.as_json())
