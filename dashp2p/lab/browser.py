"""A viewer with dash.js in headless Chromium, judged from outside the page.

    python -m dashp2p.lab.browser http://127.0.0.1:8001/client/ --film FOLDER --json FILE

Start-up, stalls and end come from the video element's own events, bitrates and bytes from the
browser's requests: the page's account of itself is not asked. With --bare the page is not the
server's but one of the lab's with dash.js as it comes (12 s of buffer): what a plain DASH site has.
Needs the PyPI package playwright, Chromium, and dash.js in public/client/vendor. Waits for its
time to begin as programs under `starter` do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import define, field

from dashp2p.content.entry import Entry, Kind, Representation
from dashp2p.content.index import Index
from dashp2p.lab.film import MPD_NAME, Film
from dashp2p.lab.starter import await_beginning, await_listening
from dashp2p.places import client_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    # The bare page comes from the lab itself, its film from an address of the experiment's network.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
)
SHORTEST_STALL_S = 0.05
"""What nobody sees is no stall."""

NEAR_END_S = 0.3
_POLL_S = 0.25
_LIBRARY = "dash.all.min.js"

# Media events don't bubble, but a listener that captures hears them all the same.
_LISTEN = """
window.lab = [];
for (const name of ["playing", "waiting", "seeking", "ended", "error"])
  document.addEventListener(name, (event) => {
    if (event.target instanceof HTMLMediaElement)
      window.lab.push([name, (performance.timeOrigin + performance.now()) / 1000]);
  }, true);
"""
_LOOK = """() => {
  const video = document.querySelector("video");
  return { events: window.lab.splice(0), position: video ? video.currentTime : 0,
           duration: video && isFinite(video.duration) ? video.duration : null };
}"""
_BARE_PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<video id="video" muted controls></video><script src="/lab/dash.js"></script><script>
const player = dashjs.MediaPlayer().create();
player.initialize();
player.updateSettings({ streaming: { buffer: { bufferTimeDefault: 12, bufferTimeAtTopQuality: 12,
  bufferTimeAtTopQualityLongForm: 12 } } });
player.attachView(document.getElementById("video"));
player.setAutoPlay(true);
player.attachSource(MPD);
</script>"""


@define
class Watch:
    """What the video element and the requests tell, put together."""

    index: Index
    begun_at: float | None = None
    """The request for the MPD."""
    started_at: float | None = None
    stalls: int = 0
    stalled_s: float = 0.0
    position_s: float = 0.0
    ended: bool = False
    segments: dict[str, dict[str, Any]] = field(factory=dict)
    _stalled_at: float | None = None
    _seeking: bool = False

    def heard(self, name: str, at: float) -> None:
        """An event of the video element, at seconds since the epoch."""
        match name:
            case "playing":
                self.started_at = self.started_at or at
                self._seeking = False
                self._resumed(at)
            case "waiting" if self.started_at and not self._seeking and not self.ended:
                self._stalled_at = self._stalled_at or at
            case "seeking":
                self._seeking = True
            case "ended":
                self._resumed(at)
                self.ended = True

    def reached(self, position_s: float, duration_s: float | None) -> None:
        self.position_s = position_s
        if duration_s and position_s >= duration_s - NEAR_END_S:
            self.ended = True

    def requested(self, path: str, at: float) -> None:
        if path == MPD_NAME and self.begun_at is None:
            self.begun_at = at

    def received(self, path: str, size_bytes: int, at: float) -> None:
        entry = self.index.by_path(path)
        if entry is not None and entry.kind is Kind.MEDIA and size_bytes == entry.size_bytes:
            self.segments[path] = {
                "path": path,
                "track": self._rung(entry).media_type,
                "size_bytes": size_bytes,
                "complete": True,
                "done_s": at,
            }

    def report(self, name: str) -> dict[str, Any]:
        startup_ms: float | None = None
        if self.started_at is not None and self.begun_at is not None:
            startup_ms = (self.started_at - self.begun_at) * 1e3
        playing = "starting" if startup_ms is None else "playing"
        return {
            "v": 1,
            "id": name,
            "state": "ended" if self.ended else playing,
            "startup_ms": startup_ms,
            "stalls": self.stalls,
            "stalled_ms": self.stalled_s * 1e3,
            "mean_bitrate_bps": self._mean_bitrate_bps(),
            "switches": self._switches(),
            "position_s": self.position_s,
            "segments": list(self.segments.values()),
        }

    def _resumed(self, at: float) -> None:
        if self._stalled_at is not None and at - self._stalled_at >= SHORTEST_STALL_S:
            self.stalls += 1
            self.stalled_s += at - self._stalled_at
        self._stalled_at = None

    def _rung(self, entry: Entry) -> Representation:
        assert entry.representation_id is not None  # it is media
        return self.index.representation(entry.representation_id)

    def _played(self) -> list[Entry]:
        """The video segments in play, in the film's order; the last to come counts where one was
        fetched twice."""
        played: dict[int, Entry] = {}
        for path, record in self.segments.items():
            entry = self.index.by_path(path)
            if entry and record["track"] == "video" and entry.number is not None:
                played[entry.number] = entry
        return [entry for _, entry in sorted(played.items())]

    def _switches(self) -> int:
        rungs = [entry.representation_id for entry in self._played()]
        return sum(1 for one, other in pairwise(rungs) if one != other)

    def _mean_bitrate_bps(self) -> float:
        played = self._played()
        whole_s = sum(entry.duration_s or 0.0 for entry in played)
        bits = sum(self._rung(entry).bandwidth_bps * (entry.duration_s or 0.0) for entry in played)
        return bits / whole_s if whole_s else 0.0


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    from playwright.sync_api import sync_playwright  # not needed to run peers, so not required

    watch = Watch(Film(options.film).index)
    signal.signal(signal.SIGTERM, _leave)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 640, "height": 480})
        page.add_init_script(_LISTEN)
        page.on("request", lambda request: watch.requested(_file(request), time.time()))
        page.on("requestfinished", lambda request: _received(watch, request))
        address = options.url
        if options.bare:
            address = _serve_bare_page(page, options.url)
        await_beginning()
        if options.listening:
            await_listening(options.listening)
        try:
            page.goto(address, wait_until="commit")
            _look_until_ended(page, watch, options.seconds)
        finally:
            options.json.write_text(json.dumps(watch.report(options.id)))
            browser.close()


def _look_until_ended(page: Page, watch: Watch, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not watch.ended and time.monotonic() < until:
        page.wait_for_timeout(_POLL_S * 1000)
        seen = page.evaluate(_LOOK)
        for name, at in seen["events"]:
            watch.heard(name, at)
        watch.reached(seen["position"], seen["duration"])


def library_file() -> Path | None:
    """dash.js, if it is where the set-up puts it."""
    folder = client_folder()
    library = None if folder is None else folder / "vendor" / _LIBRARY
    return library if library is not None and library.is_file() else None


def _serve_bare_page(page: Page, mpd_url: str) -> str:
    """Have the lab's own page stand at the origin's address, so that its requests are plain
    ones.
    """
    library = library_file()
    assert library is not None
    parts = urlsplit(mpd_url)
    base = f"{parts.scheme}://{parts.netloc}/lab"
    text = _BARE_PAGE.replace("MPD", json.dumps(mpd_url))

    def library_route(route: Route) -> None:
        route.fulfill(path=library, content_type="text/javascript")

    page.route(f"{base}/dash.js", library_route)
    page.route(f"{base}/", lambda route: route.fulfill(body=text, content_type="text/html"))
    return f"{base}/"


def _received(watch: Watch, request: Request) -> None:
    path = _file(request)
    if watch.index.by_path(path) is not None:
        watch.received(path, int(request.sizes()["responseBodySize"]), time.time())


def _file(request: Request) -> str:
    return urlsplit(request.url).path.rpartition("/dash/")[2]


def _chromium() -> str:
    named = os.environ.get("DASHP2P_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        sys.exit("no Chromium: apt-get install chromium, or set DASHP2P_CHROMIUM")
    return found


def _leave(number: int, frame: object) -> None:
    raise SystemExit(0)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dashp2p.lab.browser", description=__doc__)
    parser.add_argument("url", help="the page, or with --bare the MPD")
    parser.add_argument("--bare", action="store_true", help="play the MPD in a page of the lab's")
    parser.add_argument("--film", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--id", default="browser")
    parser.add_argument("--seconds", type=float, default=600.0, help="at most so long")
    parser.add_argument("--listening", metavar="HOST:PORT", help="begin once that listens")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
