"""The whole house: one film, an origin, a tracker, three peers, and three viewers in a browser."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.browser import Tab, open_page, require_libraries, shared_browser
from tests.browser.film import small_film
from tests.processes import Daemon, Daemons

if TYPE_CHECKING:
    from playwright.sync_api import Request

FILM_S: Final = 12
VIEWERS: Final = 3
END_S: Final = FILM_S + 30.0
MEDIA: Final = ".m4s"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Captured:
    """The bodies of all media that a page got, taken before the browser forgets them."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.digests: list[tuple[str, str]] = []
        """File name and SHA-256 of each answer."""
        self.refused: list[str] = []
        self._taken = 0

    def take(self) -> None:
        """Read what has come since the last time."""
        fresh = self.tab.finished[self._taken :]
        self._taken += len(fresh)
        for request in fresh:
            name = PurePosixPath(urlsplit(request.url).path).name
            if name.endswith(MEDIA):
                self._keep(name, request)

    def _keep(self, name: str, request: Request) -> None:
        response = request.response()
        assert response is not None
        if response.status == 200:
            self.digests.append((name, sha256(response.body())))
        else:
            self.refused.append(f"{name}: {response.status}")


class ThreeViewers(SynchronousTestCase):
    """Everything is real; only the origin's disk is known to the test."""

    def setUp(self) -> None:
        require_libraries()
        shared_browser()  # or skip before anything is started
        self.viewers: set[str] = set()
        self.seen = (False, 0)
        """Were all viewers there, and how many lines had the graph, when its picture was taken."""
        self.film = small_film(FILM_S)
        daemons = Daemons(self)
        origin, self.tracker = daemons.origin(self.film), daemons.tracker()
        tracker = self.tracker
        for daemon in (origin, tracker):
            daemon.wait_ready()
        self.peers = [daemons.peer(number + 1, origin, tracker) for number in range(VIEWERS)]
        for peer in self.peers:
            peer.wait_ready()

    def test_all_play_every_byte_is_the_origins_and_some_came_from_each_other(self) -> None:
        self.dashboard = open_page(self, self.tracker.url)
        tabs = [open_page(self, f"{peer.url}/client/") for peer in self.peers]
        captured = [Captured(tab) for tab in tabs]
        tabs[0].until("all have played the film", lambda: self._all_ended(tabs, captured), END_S)

        files = self._origin_files()
        for capture in captured:
            self.assertEqual(capture.refused, [])
            self.assertGreaterEqual(len(capture.digests), 2 + 2 * FILM_S // 4)  # inits, A and V
            for name, digest in capture.digests:
                self.assertEqual(digest, files[name], name)
        self.assertGreater(self._bytes_from_peers(), 0)
        self.assertEqual([tab.errors for tab in tabs], [[]] * VIEWERS)
        for tab, peer in zip(tabs, self.peers, strict=True):
            self.assertEqual(tab.hosts, {urlsplit(peer.url).netloc})
            self.assertNotEqual(tab.text("#neighbours"), "0")
            self._assert_session_known(peer)
        self._assert_dashboard_tells()

    def _all_ended(self, tabs: list[Tab], captured: list[Captured]) -> bool:
        for capture in captured:
            capture.take()
        self._watch_dashboard()
        ends = [tab.page.locator("#stage").get_attribute("data-notice") for tab in tabs]
        return ends == ["ended"] * len(tabs)

    def _watch_dashboard(self) -> None:
        """What it showed of viewers and of who served whom, while they came and went."""
        viewers = self.dashboard.text("#viewers")
        self.viewers.add(viewers)
        seen = (viewers == str(VIEWERS), self.dashboard.page.locator("#graph .edge").count())
        if seen > self.seen:
            self.seen = seen
            self.dashboard.keep("dashboard", whole=True)

    def _assert_dashboard_tells(self) -> None:
        """The tracker's page, which had nobody's figures but what peers announced."""
        tab = self.dashboard
        self.assertIn(str(VIEWERS), self.viewers)
        tab.until("a line in the graph", lambda: tab.page.locator("#graph .edge").count())
        tab.until("three peers", lambda: tab.page.locator("#peers tbody tr").count() == VIEWERS)
        self.assertRegex(tab.text("#copies"), r"^[12]\.\d\d$")
        self.assertNotEqual(tab.text("#saved"), "0 B")
        self.assertGreater(tab.page.locator("#segments tbody tr").count(), FILM_S // 4)
        self.assertEqual(tab.errors, [])

    def _origin_files(self) -> dict[str, str]:
        paths: list[Path] = sorted(self.film.glob(f"*{MEDIA}"))
        return {path.name: sha256(path.read_bytes()) for path in paths}

    def _bytes_from_peers(self) -> int:
        return sum(int(peer.stats()["bytes"]["peers"]) for peer in self.peers)

    def _assert_session_known(self, peer: Daemon) -> None:
        """The peer keeps what dash.js reported by itself, which fits what the page saw."""
        [session] = peer.stats()["sessions"]
        qoe = session["qoe"]
        self.assertEqual(qoe["source"], "cmcd")
        self.assertIn("dash.js", qoe["player"])
        self.assertGreater(qoe["startup_ms"], 0)
        self.assertLess(abs(qoe["played_s"] - FILM_S), 3.0)
        self.assertGreater(qoe["mean_bitrate_bps"], 50_000)
