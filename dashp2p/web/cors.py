"""Which pages may read our responses (the Fetch standard's CORS protocol).

The origin's media is public: any page may read it, none may change anything. A peer lives on a
viewer's machine: only its own page and the sites that its viewer allowed may use it.
"""

from __future__ import annotations

from attrs import frozen
from twisted.web.server import Request

EXPOSED = (
    "Content-Length, Content-Range, Accept-Ranges, ETag, Date, Server-Timing, "
    "CMSD-Static, CMSD-Dynamic"
)
ACCEPTED = (
    "Range, If-Range, If-None-Match, Content-Type, "
    "CMCD-Request, CMCD-Object, CMCD-Status, CMCD-Session"
)
PREFLIGHT_AGE_S = 7200
"""The most that Chromium keeps a preflight's answer."""


@frozen
class CorsPolicy:
    """`origins` that may read, as browsers name them ("https://site.example"); None: any."""

    origins: frozenset[str] | None = None
    methods: tuple[str, ...] = ("GET", "HEAD")

    def apply(self, request: Request) -> bool:
        """Set the headers of a response; False when a page asks that may not, to be refused.

        Requests that no browser's page of another site made (players, scripts) are not refused:
        they send no Origin. Where the list is closed, that also covers pages that load media
        without CORS, as far as the browser tells (Sec-Fetch-Site).
        """
        if self.origins is None:
            request.setHeader(b"Access-Control-Allow-Origin", b"*")
            request.setHeader(b"Cross-Origin-Resource-Policy", b"cross-origin")
            self._expose(request, b"*")
            return True
        origin = _only(request, "Origin")
        request.setHeader(b"Vary", b"Origin")
        if origin is not None and origin in self.origins:
            name = origin.encode("ascii")
            request.setHeader(b"Access-Control-Allow-Origin", name)
            request.setHeader(b"Cross-Origin-Resource-Policy", b"cross-origin")
            self._expose(request, name)
            return True
        request.setHeader(b"Cross-Origin-Resource-Policy", b"same-origin")
        if origin is not None:
            return origin == own_origin(request)
        return not (
            _only(request, "Sec-Fetch-Site") in ("cross-site", "same-site")
            and _only(request, "Sec-Fetch-Mode") != "navigate"
        )

    def preflight(self, request: Request) -> bytes:
        """Answer an OPTIONS request, with an empty body."""
        allowed = self.apply(request)
        request.setResponseCode(204 if allowed else 403)
        request.setHeader(b"Allow", ", ".join((*self.methods, "OPTIONS")).encode("ascii"))
        if allowed:
            methods = ", ".join(self.methods).encode("ascii")
            request.setHeader(b"Access-Control-Allow-Methods", methods)
            request.setHeader(b"Access-Control-Allow-Headers", ACCEPTED.encode("ascii"))
            request.setHeader(b"Access-Control-Max-Age", b"%d" % PREFLIGHT_AGE_S)
            if _only(request, "Access-Control-Request-Private-Network") == "true":
                request.setHeader(b"Access-Control-Allow-Private-Network", b"true")
        return b""

    @staticmethod
    def _expose(request: Request, origin: bytes) -> None:
        # Without Timing-Allow-Origin a page sees zero for the transfer's times, and dash.js drops
        # the sample with its CMSD values.
        request.setHeader(b"Access-Control-Expose-Headers", EXPOSED.encode("ascii"))
        request.setHeader(b"Timing-Allow-Origin", origin)


def own_origin(request: Request) -> str:
    """The origin of pages that this very listener serves, as the request's Host has it."""
    scheme = "https" if request.isSecure() else "http"
    return f"{scheme}://{(_only(request, 'Host') or '').lower()}"


def _only(request: Request, name: str) -> str | None:
    """The value of a header that is there exactly once; '' when it is there more often."""
    values = request.requestHeaders.getRawHeaders(name)
    if not values:
        return None
    return values[0].strip() if len(values) == 1 else ""
