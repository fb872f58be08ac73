"""A stand-in for the peer: the page's files, a film, /stats and /qoe, and faults on demand."""

from __future__ import annotations

import json
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from unittest import TestCase
from urllib.parse import parse_qs, urlsplit

from attrs import define, field

from dashp2p.web.cmcd_events import PlayerEvent, parse_events
from tests.browser.browser import CLIENT

# The peer's policy: nothing but this very server.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mpd": "application/dash+xml",
    ".m4s": "video/iso.segment",
}
HELD_S: Final = 30.0
PEER_ID: Final = "3fa2c981" + "0" * 56


def neighbour(number: int) -> dict[str, object]:
    """A neighbour as /stats describes it: it has sent something, and asked for nothing yet."""
    return {
        "peer": f"{number:08x}" + "0" * 56,
        "rtt_ms": 12.5,
        "download_bps": 1_000_000.0 * number,
        "download_measured": True,
        "upload_bps": 8_000_000.0,
        "upload_measured": False,
        "received_bytes": 1_000_000 * number,
        "sent_bytes": 0,
        "segments": 3,
    }


def record(number: int, kind: str = "video", **changes: Any) -> dict[str, Any]:
    """A segment as /stats describes it: all of it from other viewers, in time."""
    made: dict[str, Any] = {
        "path": f"chunk_{kind}_{number}.m4s",
        "kind": kind,
        "bitrate_bps": 1_000_000,
        "number": number,
        "size_bytes": 1_000_000,
        "cache": 0,
        "peers": 1_000_000,
        "origin": 0,
        "at_s": 1.0 + number / 10,
        "first_byte_ms": 12.0,
        "took_ms": 240.0,
        "slack_ms": 3500.0,
        "hedges": 0,
        "duplicate_bytes": 0,
    }
    return {**made, **changes}


@define(eq=False)
class FakePeer:
    """A peer whose answers a test decides, also while the page runs."""

    film: Path
    stats_answers: bool = True
    mpd_status: int = 200
    mpd_error: str = "The origin answered with an error."
    segment_status: int = 200
    absent: frozenset[str] = frozenset()
    """Paths that are 404."""
    refused: str | None = None
    """The beginning of the names of segments that nobody has, with the origin away."""
    maximum_kbps: int = 5000
    advises: str = ""
    """The beginning of the names of files whose answers carry `maximum_kbps`."""
    mode: str = "sharing"
    message: str | None = None
    neighbours: int = 3
    sources: dict[str, int] = field(factory=lambda: {"cache": 60, "peers": 880, "origin": 60})
    """Bytes by source in /stats."""
    held_back: str | None = None
    """The end of a segment's name: it comes once `released` is set."""
    released: threading.Event = field(factory=threading.Event)
    segments: list[dict[str, Any]] = field(factory=list)
    """The records of /stats; `record` makes one."""
    reports: list[dict[str, Any]] = field(factory=list)
    """What came to /qoe: the JSON bodies."""
    events: list[PlayerEvent] = field(factory=list)
    """What dash.js posted to /cmcd."""
    requests: list[str] = field(factory=list)
    """Paths with queries, as they came."""
    url: str = ""
    _began_s: float = field(factory=time.monotonic)

    def start(self, case: TestCase) -> FakePeer:
        """Serve on a free port until `case` ends."""
        server = _Server(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        case.addCleanup(thread.join, 5)
        case.addCleanup(server.server_close)
        case.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        return self

    def asked(self, part: str) -> list[str]:
        """Requests whose path contains `part`."""
        return [path for path in self.requests if part in path]

    def cmcd(self) -> list[dict[str, str]]:
        """The CMCD keys of each request that carried some; flags have the value "", and lists that
        of their first member."""
        queries = [parse_qs(urlsplit(path).query).get("CMCD", []) for path in self.requests]
        return [_members(query[0]) for query in queries if query]

    def stats(self) -> dict[str, object]:
        """The JSON of GET /stats."""
        counts = {"delivered": 1000, "uploaded": 8_200_000, "duplicate": 0, "wasted": 0}
        return {
            "v": 1,
            "peer": PEER_ID,
            "uptime_s": time.monotonic() - self._began_s,
            "presentation": "ab" * 16,
            "mode": self.mode,
            "message": self.message,
            "bytes": {**self.sources, **counts, "control": 10},
            "neighbours": [neighbour(number + 1) for number in range(self.neighbours)],
            "sessions": [],
            "segments": self.segments,
            "cache": {"bytes": 1, "quota_bytes": 2, "segments": 1},
            "tracker": {"reachable": True},
            "origin": {"reachable": self.mode != "no-origin"},
            "start": {"announced_s": 0.1, "indexed_s": 0.2},
        }


def _members(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {key: value.lstrip("(").partition(";")[0].rstrip(")") for key, _, value in pairs}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that closes cuts its connections: no news. Anything else is a broken test."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(peer: FakePeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what came is kept in FakePeer.requests."""

        def do_GET(self) -> None:  # http.server's name
            peer.requests.append(self.path)
            path = urlsplit(self.path).path
            if path == "/stats":
                if peer.stats_answers:
                    self._json(HTTPStatus.OK, peer.stats())
                else:
                    self._hang_up()
            elif path in peer.absent:
                self._json(HTTPStatus.NOT_FOUND, {"v": 1, "error": "Not here."})
            elif path.startswith("/client/"):
                self._file(CLIENT, path.removeprefix("/client/") or "client.html")
            elif path.startswith("/dash/"):
                self._film(path.removeprefix("/dash/"))
            else:
                self._json(HTTPStatus.NOT_FOUND, {"v": 1, "error": "Not here."})

        def do_POST(self) -> None:  # http.server's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not peer.stats_answers:
                self._hang_up()
            elif self.path == "/cmcd" and self.headers["Content-Type"] == "application/cmcd":
                peer.events += parse_events(body.decode())
                self._answer(HTTPStatus.NO_CONTENT, b"", "text/plain")
            elif self.path == "/qoe" and self.headers["Content-Type"] == "application/json":
                peer.reports.append(json.loads(body))
                self._answer(HTTPStatus.NO_CONTENT, b"", "text/plain")
            else:
                self._json(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"v": 1, "error": "Send JSON."})

        def _film(self, name: str) -> None:
            if peer.held_back is not None and name.endswith(peer.held_back):
                peer.released.wait(HELD_S)
            status = peer.mpd_status if name.endswith(".mpd") else peer.segment_status
            if not peer.stats_answers:
                self._hang_up()
            elif status != HTTPStatus.OK:
                self._json(status, {"v": 1, "error": peer.mpd_error})
            elif peer.refused is not None and name.startswith(peer.refused):
                self._json(HTTPStatus.SERVICE_UNAVAILABLE, {"v": 1, "error": "Nobody has it."})
            else:
                self._file(peer.film, name)

        def _file(self, folder: Path, name: str) -> None:
            path = folder / name
            if not path.is_file():
                self._json(HTTPStatus.NOT_FOUND, {"v": 1, "error": f"No {name} here."})
                return
            kind = TYPES.get(path.suffix, "application/octet-stream")
            self._answer(HTTPStatus.OK, path.read_bytes(), kind)

        def _json(self, status: int, value: object) -> None:
            self._answer(status, json.dumps(value).encode(), "application/json")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-cache")
            self.send_header("Content-Security-Policy", POLICY)
            if f"/{peer.advises}" in self.path:
                self.send_header("CMSD-Dynamic", f'"dashp2p";etp=5000;mb={peer.maximum_kbps}')
            self.end_headers()
            self.wfile.write(body)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.close()

    return Handler
