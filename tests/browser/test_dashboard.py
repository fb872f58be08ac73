"""The tracker's dashboard, with a real tracker and peers that only announce themselves."""

from __future__ import annotations

import json
import urllib.request
from hashlib import sha256
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.browser import (
    DESKTOP,
    PHONE,
    Tab,
    new_profile,
    open_in,
    open_page,
    require_libraries,
    shared_browser,
)
from tests.processes import Daemons

SWARM: Final = "ab" * 32
MB: Final = 1_000_000
HIDE: Final = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
CHANGED: Final = "document.dispatchEvent(new Event('visibilitychange'))"


def peer_of(number: int) -> str:
    return sha256(b"%d" % number).hexdigest()


class DashboardTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        require_libraries()
        shared_browser()  # or skip before anything is started
        self.daemons = Daemons(self)
        self.tracker = self.daemons.tracker()
        self.tracker.wait_ready(60.0)

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        body = json.dumps({"v": 1, "swarm": SWARM, **fields}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.tracker.url + path, body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def announce(self, count: int) -> None:
        """A swarm of which the first peer fetched 10 MB from the origin and served all others."""
        peers = [peer_of(number) for number in range(count)]
        for number, peer in enumerate(peers):
            mine = 10 * MB
            stats = {"viewers": 1, "bitrate_bps": 2_500_000, "buffer_s": 9.5, "neighbours": 3}
            stats |= {"delivered_bytes": mine, "player_played_ms_total": 40_000}
            stats |= {"origin_bytes" if number == 0 else "peers_bytes": mine}
            served_by = {} if number == 0 else {peers[0][:16]: mine - MB}
            if number == 2:
                served_by[peers[1][:16]] = MB
            common = {"peer": peer, "port": 4000 + number, "have": 1, "wanted": 0}
            self.post("/announce", **common, stats=stats, served_by=served_by)
        want = {"segment": 1, "blocks": 611, "path": "chunk_0_1.m4s", "size_bytes": 10 * MB}
        [lease] = self.post("/lease", peer=peers[0], want=[want])["leases"]
        self.post("/lease", peer=peers[0], done=[{"segment": 1, "epoch": lease["epoch"]}])

    def visit(self, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Tab:
        return open_page(self, self.tracker.url, size, scheme)


class StateTests(DashboardTestCase):
    def test_it_waits_for_peers_shows_them_and_says_when_the_tracker_is_gone(self) -> None:
        tab = self.visit()
        tab.until_text("#empty", "No peer has announced itself yet")
        self.announce(3)
        tab.until_text("#viewers", "3")
        self.assertEqual(tab.text("#offload"), "67 %")
        self.assertEqual((tab.text("#copies"), tab.text("#saved")), ("1.00", "20.0 MB"))
        self.assertEqual((tab.text("#bitrate"), tab.text("#stalls")), ("2.5 Mbit/s", "None"))
        self.assertEqual(tab.page.locator("#peers tbody tr").count(), 3)
        self.assertIn("chunk_0_1.m4s 10.0 MB 1 1.00 none", tab.text("#segments tbody"))
        tab.until("both charts", lambda: tab.page.locator(".uplot").count() == 2)
        self.assertEqual(tab.errors, [])
        self.assertEqual(tab.hosts, {self.tracker.url.removeprefix("http://")})
        self.tracker.stop()
        tab.until_text("#banner", "The tracker does not answer")
        self.assertEqual(tab.text("#mode"), "Tracker away")
        self.assertEqual(tab.text("#viewers"), "3")

    def test_figures_are_called_old_until_one_peer_has_told_anew(self) -> None:
        tab = self.visit()
        old = [[], [{"seen_s": 29}, {"seen_s": 11}], [{"seen_s": 29}, {"seen_s": 1}]]
        called = "lists => import('/ui/feed.js').then(feed => lists.map(feed.areOld))"
        self.assertEqual(tab.page.evaluate(called, old), [False, True, False])

    def test_the_graph_shows_who_served_whom_and_works_by_keyboard(self) -> None:
        self.announce(3)
        tab = self.visit()
        tab.until("three lines", lambda: tab.page.locator("#graph .edge").count() == 3)
        order = tab.focusable_order()
        self.assertEqual(order[:3], ["g.peer", "DIV.scroll", "DIV.scroll"])
        self.assertEqual(order[3:], ["A.null"] * 3)
        tab.page.locator("#graph .peer[tabindex='0']").focus()
        ids = sorted(peer_of(number) for number in range(3))
        at = ids.index(peer_of(2))
        tab.page.keyboard.press("Home")
        for _ in range(at):
            tab.page.keyboard.press("ArrowRight")
        tab.page.keyboard.press("Enter")
        first, second = peer_of(0)[:8], peer_of(1)[:8]
        tab.until_text("#graph-said", f"got 9.0 MB from {first}, 1.0 MB from {second}")
        self.assertEqual(tab.page.locator("#graph .edge.strong").count(), 2)
        chosen = tab.page.locator("#peers tr[data-chosen='true'] th").inner_text()
        self.assertEqual(chosen, peer_of(2)[:8])
        tab.page.keyboard.press("Escape")
        self.assertEqual(tab.page.locator("#graph .edge.strong").count(), 0)

    def test_fifty_peers_fit_on_a_phone_and_nothing_scrolls_sideways(self) -> None:
        self.announce(50)
        tab = self.visit(PHONE, "dark")
        tab.until("fifty drawn", lambda: tab.page.locator("#graph .peer").count() == 50)
        self.assertEqual(tab.number("document.documentElement.scrollWidth"), PHONE[0])
        self.assertEqual(tab.errors, [])
        tab.keep("dashboard-phone", whole=True)


class ManyTabsTests(DashboardTestCase):
    """A browser opens six connections to a host, and each stream takes one."""

    def test_eight_in_one_browser_all_show_figures_over_one_stream(self) -> None:
        self.announce(3)
        context = new_profile(self)
        tabs = [open_in(context, self.tracker.url) for _ in range(8)]
        for tab in tabs:
            tab.until_text("#viewers", "3")
        asked = [url for tab in tabs for url in tab.requested if "/live" in url]
        self.assertEqual(len(asked), 1, asked)
        self.announce(4)
        for tab in tabs:
            tab.until_text("#viewers", "4")
        self.assertEqual([tab.errors for tab in tabs], [[]] * 8)
        # Whoever had it goes: another tab goes on with it.
        tabs[0].page.close()
        self.announce(5)
        for tab in tabs[1:]:
            tab.until_text("#viewers", "5")

    def test_a_hidden_page_lets_its_stream_go_and_takes_it_up_again(self) -> None:
        self.announce(3)
        tab = self.visit()
        tab.until_text("#viewers", "3")
        tab.page.evaluate(HIDE % "true" + CHANGED)
        self.announce(4)
        tab.page.wait_for_timeout(4500)
        self.assertEqual(tab.text("#viewers"), "3")
        tab.page.evaluate(HIDE % "false" + CHANGED)
        tab.until_text("#viewers", "4")

    def test_where_no_stream_is_left_it_asks_by_itself(self) -> None:
        self.announce(3)
        tabs = [self.visit() for _ in range(5)]  # profiles of their own share nothing
        for tab in tabs:
            tab.until_text("#viewers", "3")
        self.assertTrue(all("503" in error for error in tabs[-1].errors), tabs[-1].errors)
        self.announce(4)
        tabs[-1].until_text("#viewers", "4")
        # Not asked before: five pages may take so long to open that the first figures are old.
        self.assertEqual(tabs[-1].text("#mode"), "Live, every 4 s")
