"""Headless Chromium for tests: found on this machine, driven by Playwright, shared by a process.

`open_page` opens pages that need no cleaning up after; it raises SkipTest, with what to do about
it, where Chromium, Playwright or the page's libraries are missing.
"""

from __future__ import annotations

import atexit
import os
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest import SkipTest, TestCase
from urllib.parse import urlsplit

from attrs import define, field

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Error,
        Page,
        Request,
        Route,
    )

CHROMIUM_VARIABLE: Final = "DASHP2P_CHROMIUM"
CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS: Final = (
    "--no-sandbox",  # tests run as root in containers, where Chromium's own sandbox can't
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
ROOT: Final = Path(__file__).resolve().parents[2]
CLIENT: Final = ROOT / "public" / "client"
LIBRARIES: Final = ("dash.all.min.js", "uPlot.iife.min.js", "uPlot.min.css")
DESKTOP: Final = (1280, 800)
PHONE: Final = (390, 844)
SCREENSHOTS_VARIABLE: Final = "DASHP2P_SCREENSHOTS"
"""Names the folder that tests keep their pictures in: docs/images, to take new ones for docs."""
SCREENSHOTS: Final = Path("screenshots")
"""Where they go else: within trial's own folder."""
PATIENCE_S: Final = 30.0  # for a machine that has much else to do
_PLAYING: Final = (
    "(() => { const v = document.querySelector('video'); return v && { at: v.currentTime,"
    " of: v.duration, ready: v.readyState, paused: v.paused, buffered: v.buffered.length"
    " && v.buffered.end(v.buffered.length - 1), error: v.error && v.error.message }; })()"
)
"""What a test that waits in vain says of the page's video."""
_STEP_MS: Final = 50

_browser: Browser | None = None


def find_chromium() -> str | None:
    """The browser of $DASHP2P_CHROMIUM, or the first of CHROMIUM_NAMES on the path."""
    if named := os.environ.get(CHROMIUM_VARIABLE):
        return named
    found = (shutil.which(name) for name in CHROMIUM_NAMES)
    return next((path for path in found if path), None)


def require_libraries() -> None:
    """Raises SkipTest where what the page loads from vendor/ has not been fetched."""
    absent = [name for name in LIBRARIES if not (CLIENT / "vendor" / name).is_file()]
    if absent:
        reason = f"public/client/vendor/ lacks {', '.join(absent)}: run ./run-tests.sh which"
        raise SkipTest(f"{reason} fetches it")


def shared_browser() -> Browser:
    """One browser for all tests of this process (trial knows no class fixtures), ended with it.

    Playwright gives it a fresh user data directory. Raises SkipTest.
    """
    global _browser
    if _browser is None:
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise SkipTest("playwright is not installed: run ./run-tests.sh") from None
        chromium = find_chromium()
        if chromium is None:
            raise SkipTest(f"no Chromium: install one, or name it in ${CHROMIUM_VARIABLE}")
        driver = sync_playwright().start()
        atexit.register(driver.stop)
        _browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        atexit.register(_browser.close)  # exit handlers run last first
    return _browser


@define(eq=False, slots=False)  # Playwright marks the owners of handlers
class Tab:
    """A page in a profile of its own, with all that it said and asked for."""

    page: Page
    errors: list[str] = field(factory=list)
    """Console errors, uncaught exceptions and breaches of the content security policy."""
    requested: list[str] = field(factory=list)
    finished: list[Request] = field(factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def threw(self, error: Error) -> None:
        self.errors.append(str(error))

    def asked(self, request: Request) -> None:
        self.requested.append(request.url)

    def answered(self, request: Request) -> None:
        self.finished.append(request)

    @property
    def hosts(self) -> set[str]:
        """Whom it asked over the network (blob: and data: addresses have no host)."""
        return {urlsplit(url).netloc for url in self.requested if url.startswith(("http", "ws"))}

    def text(self, selector: str) -> str:
        """What an element reads, with plain spaces."""
        return " ".join(self.page.locator(selector).inner_text().split())

    def number(self, expression: str) -> float:
        """A number that the page computes."""
        value = self.page.evaluate(expression)
        assert isinstance(value, int | float), value
        return float(value)

    def keep(self, name: str, whole: bool = False) -> Path:
        """Keep a picture of what the window shows, or of the whole page; returns its file."""
        named = os.environ.get(SCREENSHOTS_VARIABLE)
        # Trial has a working folder of its own: what somebody named is meant from the checkout.
        folder = ROOT / named if named else SCREENSHOTS.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path

    def focusable_order(self, most: int = 40) -> list[str]:
        """What Tab reaches from the page's start: each element's id, else its tag and class."""
        found: list[str] = []
        self.page.evaluate("document.activeElement.blur()")
        name = (
            "(() => { const e = document.activeElement; if (e === document.body) return '';"
            " return e.id || `${e.tagName}.${e.getAttribute('class')}`; })()"
        )
        for _ in range(most):
            self.page.keyboard.press("Tab")
            reached = str(self.page.evaluate(name))
            if not reached or (found and reached == found[0]):
                break
            found.append(reached)
        return found

    def until(self, what: str, holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Wait while the browser works, until `holds()`; AssertionError that names `what` else.

        (Playwright's own wait_for_function evaluates text in the page, which its policy forbids.)
        """
        deadline = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"after {patience_s} s not yet: {what}; errors: {self.errors}; "
                    f"at {self.page.url}: {self.page.evaluate(_PLAYING)}"
                )
            self.page.wait_for_timeout(_STEP_MS)

    def until_text(self, selector: str, part: str) -> None:
        """Wait until an element's text contains `part`."""
        self.until(f"{part!r} in {selector}", lambda: part in self.text(selector))

    def until_played(self, seconds: float, patience_s: float = PATIENCE_S) -> None:
        """Wait until the playhead has passed `seconds`."""
        position = "document.querySelector('video').currentTime"
        self.until(
            f"playing beyond {seconds} s", lambda: self.number(position) > seconds, patience_s
        )


@cache
def module_page() -> Page:
    """A page that holds nothing and can import the player page's modules as /client/NAME.js.

    Shared by all tests: what runs there leaves nothing behind. Raises SkipTest.
    """
    page = shared_browser().new_page()
    page.route("**/*", _serve_client)
    page.goto("http://page.test/")
    return page


def _serve_client(route: Route) -> None:
    path = urlsplit(route.request.url).path
    if path.startswith("/client/") and path.endswith(".js"):
        route.fulfill(path=CLIENT / path.removeprefix("/client/"))
    else:
        route.fulfill(body="", content_type="text/html")


def open_page(
    case: TestCase, url: str, size: tuple[int, int] = DESKTOP, scheme: str = "light"
) -> Tab:
    """Open `url` in a fresh profile that closes when `case` ends. Raises SkipTest."""
    return open_in(new_profile(case, size, scheme), url)


def new_profile(
    case: TestCase, size: tuple[int, int] = DESKTOP, scheme: str = "light"
) -> BrowserContext:
    """A browser's profile that closes when `case` ends. Raises SkipTest."""
    require_libraries()
    context = shared_browser().new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    case.addCleanup(context.close)
    return context


def open_in(context: BrowserContext, url: str) -> Tab:
    """Open `url` in one more tab of a profile."""
    tab = Tab(context.new_page())
    page = tab.page
    page.on("console", tab.heard)
    page.on("pageerror", tab.threw)
    page.on("request", tab.asked)
    page.on("requestfinished", tab.answered)
    page.goto(url)
    return tab
