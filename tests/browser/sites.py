"""Another site's page with another player: hls.js or Shaka, told of a peer by its address alone."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from unittest import SkipTest, TestCase

from attrs import define, field

VENDOR: Final = Path(__file__).parent / "vendor"
LIBRARIES: Final = ("hls.min.js", "shaka-player.compiled.js")
HOST: Final = "127.0.0.1"

PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A site</title>
<link rel="icon" href="data:,"><video muted autoplay></video>
<script src="/vendor/{library}"></script><script>
const video = document.querySelector("video");
const peer = new URLSearchParams(location.search).get("peer");
{script}
</script>"""

# As docs/players.md has them; a test compares.
HLS: Final = """const hls = new Hls({
  maxBufferLength: 12,
  cmcd: {
    version: 2,
    sessionId: crypto.randomUUID(),
    eventTargets: [{
      url: peer + "/cmcd", events: ["ps", "bc", "t", "e"], interval: 5, batchSize: 1,
    }],
  },
});
hls.loadSource(peer + "/dash/master.m3u8");
hls.attachMedia(video);"""

SHAKA: Final = """const player = new shaka.Player();
player.configure({
  streaming: { bufferingGoal: 12 },
  cmsd: { enabled: true, applyMaximumSuggestedBitrate: true, estimatedThroughputWeightRatio: 1 },
  cmcd: {
    enabled: true,
    version: 2,
    sessionId: crypto.randomUUID(),
    eventTargets: [{
      enabled: true, mode: "event", url: peer + "/cmcd", useHeaders: false,
      events: ["ps", "bc", "t", "e"], interval: 5, batchSize: 1, includeKeys: [],
    }],
  },
});
player.attach(video).then(() => player.load(peer + "/dash/dash.mpd"));"""

PAGES: Final = {
    "/hls.html": PAGE.replace("{library}", "hls.min.js").replace("{script}", HLS),
    "/shaka.html": PAGE.replace("{library}", "shaka-player.compiled.js").replace("{script}", SHAKA),
}


def require_players() -> None:
    """Raises SkipTest where npm could not bring them."""
    absent = [name for name in LIBRARIES if not (VENDOR / name).is_file()]
    if absent:
        reason = f"tests/browser/vendor/ lacks {', '.join(absent)}: run ./run-tests.sh which"
        raise SkipTest(f"{reason} fetches them, where npm can be reached")


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:  # http.server's name
        page = PAGES.get(self.path.partition("?")[0])
        if page is None:
            super().do_GET()
            return
        body = page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@define(eq=False)
class Site:
    """A web server of somebody else, on this machine for the test."""

    case: TestCase
    url: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        handler: Any = partial(_Handler, directory=str(VENDOR.parent))
        server = ThreadingHTTPServer((HOST, 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.url = f"http://{HOST}:{server.server_address[1]}"

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        self.case.addCleanup(stop)
