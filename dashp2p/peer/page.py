"""The player's own face of the peer, served by Klein: page, figures, QoE, health, metrics."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.static import File

from dashp2p.peer.limits import (
    MAX_CMCD_BYTES,
    MAX_QOE_BYTES,
    MAX_SESSIONS,
    REPORTS_BURST,
    REPORTS_EVERY_S,
)
from dashp2p.peer.sessions import QoeRefused, Sessions
from dashp2p.peer.stats import Stats
from dashp2p.web.cmcd_events import MEDIA_TYPES, parse_events
from dashp2p.web.cors import CorsPolicy
from dashp2p.web.health import Reasons, healthz, readyz
from dashp2p.web.json import BadRequestError, error_body, json_body, read_json
from dashp2p.web.metrics import Metrics
from dashp2p.web.private import REFUSAL, may_see
from dashp2p.web.rates import Rates

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)


TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
OTHER_TYPE = "application/octet-stream"
NO_ENCODINGS: dict[str, str] = {}


class ClientFolder(File):
    """The page's files, with the headers that keep foreign code out of it.

    Their types are named here: what the system's own table says of a script differs from machine
    to machine, and with a wrong one browsers do not run it (X-Content-Type-Options).
    """

    contentTypes = TYPES  # noqa: N815  # Twisted's name
    contentEncodings = NO_ENCODINGS  # noqa: N815

    def __init__(self, path: str, defaultType: str = OTHER_TYPE, *more: Any) -> None:  # noqa: N803
        File.__init__(self, path, defaultType, *more)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """What no file can be called is not there; Twisted would ask the system, and fail."""
        if b"\0" in path:
            missing: Resource = self.childNotFound
            return missing
        child: Resource = File.getChild(self, path, request)
        return child

    def render_GET(self, request: Request) -> Any:  # Twisted's name
        request.setHeader(b"Content-Security-Policy", POLICY)
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"Referrer-Policy", b"no-referrer")
        return File.render_GET(self, request)

    def directoryListing(self) -> Resource:  # noqa: N802  # Twisted's name
        child: Resource = self.childNotFound
        return child


class Page:
    """Routes of the player's listener besides /dash/."""

    app = Klein()

    def __init__(
        self,
        folder: Path | None,
        stats: Stats,
        sessions: Sessions,
        metrics: Metrics,
        ready: Reasons,
        cors: CorsPolicy,
    ) -> None:
        self._folder = folder
        self._stats = stats
        self._sessions = sessions
        self._metrics = metrics
        self._ready = ready
        self._cors = cors
        self._reports = Rates[str](REPORTS_EVERY_S, REPORTS_BURST, MAX_SESSIONS)

    def resource(self) -> Resource:
        """The routes as a resource."""
        made: Resource = self.app.resource()
        return made

    @app.route("/", methods=["GET", "HEAD"])
    def root(self, request: Request) -> bytes:
        """The page is at /client/."""
        request.setResponseCode(302)
        request.setHeader(b"Location", b"/client/")
        return b""

    @app.route("/client/", methods=["GET", "HEAD"], branch=True)
    def client(self, request: Request) -> Any:
        """The page and what belongs to it."""
        if self._folder is None:
            return error_body(
                request, 404, "the player page is not installed; --client FOLDER says where it lies"
            )
        folder = ClientFolder(str(self._folder))
        folder.indexNames = ["client.html"]
        return folder

    @app.route("/stats", methods=["GET", "HEAD"])
    def stats(self, request: Request) -> bytes:
        """The figures of this peer. What is watched here, and how, is told to this machine only: a
        phone that may use this peer sees what its page needs."""
        if not self._cors.apply(request):
            return error_body(request, 403, "pages of that site may not use this peer")
        if may_see(request):
            return json_body(request, self._stats.document())
        return json_body(request, self._stats.sums())

    @app.route("/qoe", methods=["POST"])
    def qoe(self, request: Request) -> bytes:
        """A page's report of how it plays."""
        if not self._cors.apply(request):
            return error_body(request, 403, "pages of that site may not use this peer")
        late = self._paced(request)
        if late is not None:
            return late
        try:
            self._sessions.report(read_json(request, MAX_QOE_BYTES), self._stats.engine.now)
        except BadRequestError as error:
            return error_body(request, error.code, str(error))
        except QoeRefused as error:
            return error_body(request, 400, str(error))
        request.setResponseCode(204)
        return b""

    @app.route("/cmcd", methods=["POST"])
    def cmcd(self, request: Request) -> bytes:
        """Players' own reports, CMCD version 2 in event mode: an address to write to, and no more.

        Their type keeps pages of other sites out: they cannot send it without a preflight.
        """
        if not self._cors.apply(request):
            return error_body(request, 403, "pages of that site may not use this peer")
        media_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            return error_body(request, 415, f"send the reports as Content-Type: {MEDIA_TYPES[0]}")
        late = self._paced(request)
        if late is not None:
            return late
        body = b"" if request.content is None else request.content.read(MAX_CMCD_BYTES + 1)
        if len(body) > MAX_CMCD_BYTES:
            return error_body(request, 413, f"the reports may have {MAX_CMCD_BYTES} bytes")
        events = parse_events(body.decode("latin-1"))
        self._sessions.hear(events, self._stats.engine.now)
        request.setResponseCode(204)
        return b""

    def _paced(self, request: Request) -> bytes | None:
        """The answer to a report that comes too soon after others; players send it again."""
        client = getattr(request.getClientAddress(), "host", "")
        wait_s = self._reports.take(str(client), self._stats.engine.now)
        if wait_s <= 0:
            return None
        request.setHeader(b"Retry-After", b"%d" % ceil(wait_s))
        return error_body(request, 429, "too many reports: wait as long as Retry-After says")

    @app.route("/cmcd", methods=["OPTIONS"])
    def cmcd_preflight(self, request: Request) -> bytes:
        """May another site's player report?"""
        return self._cors.preflight(request)

    @app.route("/qoe", methods=["OPTIONS"])
    def qoe_preflight(self, request: Request) -> bytes:
        """May another site's page report?"""
        return self._cors.preflight(request)

    @app.route("/healthz", methods=["GET", "HEAD"])
    def healthz(self, request: Request) -> bytes:
        """The daemon's loop runs."""
        return healthz(request)

    @app.route("/readyz", methods=["GET", "HEAD"])
    def readyz(self, request: Request) -> bytes:
        """It can do its work, or what keeps it from that."""
        return readyz(request, self._ready())

    @app.route("/metrics", methods=["GET", "HEAD"])
    def metrics(self, request: Request) -> bytes:
        """For Prometheus."""
        if not may_see(request):
            return error_body(request, 403, REFUSAL)
        request.setHeader(b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")
        return self._metrics.render()
