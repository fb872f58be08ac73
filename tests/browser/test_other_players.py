"""hls.js on the HLS playlists and Shaka on the MPD, in pages of another site, beside our own."""

from __future__ import annotations

from functools import partial
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.browser import Tab, open_page, require_libraries, shared_browser
from tests.browser.film import small_film
from tests.browser.sites import Site, require_players
from tests.processes import Daemons

FILM_S: Final = 12
END_S: Final = FILM_S + 60.0
ENDED: Final = (
    "(() => { const v = document.querySelector('video');"
    " return v.ended || (v.paused && v.duration - v.currentTime < 0.2) ? 1 : 0; })()"
)
"""dash.js parks a playhead that overshot 0.1 s before the end; the element has not ended then."""


class OtherPlayersTests(SynchronousTestCase):
    """One film, one swarm, three players."""

    def setUp(self) -> None:
        require_libraries()
        require_players()
        shared_browser()  # or skip before anything is started
        film = small_film(FILM_S)
        self.film_bytes = sum(path.stat().st_size for path in film.glob("*.m4s"))
        self.site = Site(self)
        daemons = Daemons(self)
        self.origin, tracker = daemons.origin(film), daemons.tracker()
        for daemon in (self.origin, tracker):
            daemon.wait_ready()
        self.peers = [
            daemons.peer(number, self.origin, tracker, "--allow-origin", self.site.url)
            for number in range(3)
        ]
        for peer in self.peers:
            peer.wait_ready()

    def test_dash_and_hls_viewers_are_one_swarm_and_tell_how_they_fare(self) -> None:
        ours, hls, shaka = self.peers
        tabs = [
            open_page(self, f"{ours.url}/client/"),
            open_page(self, f"{self.site.url}/hls.html?peer={hls.url}"),
            open_page(self, f"{self.site.url}/shaka.html?peer={shaka.url}"),
        ]
        for tab in tabs:
            tab.until("played to its end", partial(self.has_ended, tab), END_S)

        self.assertEqual([tab.errors for tab in tabs], [[]] * 3)
        self.assert_one_swarm()
        asked = [" ".join(tab.requested) for tab in tabs]
        self.assertIn("master.m3u8", asked[1])
        self.assertNotIn(".mpd", asked[1])
        self.assertIn("dash.mpd", asked[2])
        for tab, peer in zip(tabs, self.peers, strict=True):
            [told] = [session["qoe"] for session in peer.stats()["sessions"] if session["qoe"]]
            self.assertEqual(told["source"], "cmcd", tab.page.url)
            if peer is not shaka:  # whose build of 5.2.12 leaves out the state
                self.assertEqual(told["state"], "ended", tab.page.url)
                self.assertGreater(told["played_s"], FILM_S - 2, tab.page.url)

    def has_ended(self, tab: Tab) -> bool:
        return tab.number(ENDED) == 1

    def assert_one_swarm(self) -> None:
        """Each segment left the origin once, as far as it left at all; the others got it from who
        had it, whichever of the two manifests they played by."""
        stats = [peer.stats() for peer in self.peers]
        self.assertEqual({each["mode"] for each in stats}, {"sharing"})
        self.assertEqual({len(each["neighbours"]) for each in stats}, {2})
        from_origin = sum(each["bytes"]["origin"] for each in stats)
        from_peers = sum(each["bytes"]["peers"] for each in stats)
        self.assertGreater(from_peers, 0.5 * self.film_bytes)
        self.assertLess(from_origin, 1.3 * self.film_bytes)
