"""Pictures of both pages in use, on a desk and on a phone, taken by

    DASHP2P_SCREENSHOTS=pictures .venv/bin/python -m twisted.trial tests.browser.test_pictures

and left out otherwise: a minute of film that is nice to look at takes a while. The docs have
page.png and dashboard.png of them.
"""

from __future__ import annotations

import os
from typing import Final
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.browser import (
    PHONE,
    SCREENSHOTS_VARIABLE,
    open_page,
    require_libraries,
    shared_browser,
)
from tests.browser.film import small_film
from tests.processes import Daemons

FILM_S: Final = 60
AT_S: Final = 40.0
VIEWERS: Final = 4
WINDOW: Final = (1280, 740)
PATIENCE_S: Final = 180.0


class Pictures(SynchronousTestCase):
    def setUp(self) -> None:
        if not os.environ.get(SCREENSHOTS_VARIABLE):
            raise SkipTest(f"pictures are taken on demand: ${SCREENSHOTS_VARIABLE}")
        require_libraries()
        shared_browser()
        self.film = small_film(FILM_S, fine=True)
        daemons = Daemons(self)
        origin, self.tracker = daemons.origin(self.film), daemons.tracker()
        for daemon in (origin, self.tracker):
            daemon.wait_ready(PATIENCE_S)
        self.peers = [daemons.peer(number + 1, origin, self.tracker) for number in range(VIEWERS)]
        for peer in self.peers:
            peer.wait_ready(PATIENCE_S)

    def test_both_pages_in_use(self) -> None:
        dashboard = open_page(self, self.tracker.url, WINDOW)
        pages = [open_page(self, f"{peer.url}/client/", WINDOW) for peer in self.peers]
        for page in pages:
            page.until_played(AT_S, PATIENCE_S)
        dashboard.until_text("#viewers", str(VIEWERS))
        dashboard.keep("dashboard", whole=True)
        pages[-1].keep("page")
        pages[-1].page.keyboard.press("d")
        pages[-1].page.wait_for_timeout(2500)
        pages[-1].keep("details", whole=True)
        for tab in (dashboard, pages[-1]):
            tab.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            tab.page.wait_for_timeout(1500)
        dashboard.keep("dashboard-phone", whole=True)
        pages[-1].keep("details-phone", whole=True)
        pages[-1].page.keyboard.press("d")
        pages[-1].page.wait_for_timeout(1500)
        pages[-1].keep("page-phone", whole=True)
        self.assertEqual([tab.errors for tab in (dashboard, *pages)], [[]] * (VIEWERS + 1))
