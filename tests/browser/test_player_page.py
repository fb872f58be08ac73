"""The page by itself, with a peer that a test may break: what viewers see, press and send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.viewing import Viewing
from tests.browser.browser import DESKTOP, PHONE, Tab, open_page
from tests.browser.fake_peer import FakePeer, record
from tests.browser.film import small_film

FILM_S: Final = 12
STATES: Final = {"starting", "playing", "paused", "stalled", "ended", "failed"}
VIDEO: Final = "document.querySelector('video')"


def complaints(tab: Tab, expected: Iterable[str] = ()) -> list[str]:
    """The page's errors, but for the browser's own lines about answers that a test spoilt."""
    return [error for error in tab.errors if not any(part in error for part in expected)]


class PlayerPageTestCase(SynchronousTestCase):
    """A fake peer for each test, and pages opened on it."""

    def setUp(self) -> None:
        self.peer = FakePeer(small_film(FILM_S)).start(self)

    def visit(
        self, path: str = "/client/", size: tuple[int, int] = DESKTOP, scheme: str = "light"
    ) -> Tab:
        return open_page(self, self.peer.url + path, size, scheme)

    def playing(self) -> Tab:
        tab = self.visit()
        tab.until_played(0.2)
        return tab


class Playing(PlayerPageTestCase):
    """Everything works."""

    def test_the_film_plays_without_a_complaint_or_a_word_to_another_host(self) -> None:
        tab = self.playing()
        tab.until_text("#headline", "88 % of what you watch came from other viewers")
        tab.until("both charts drawn", lambda: tab.page.locator(".uplot").count() == 2)
        self.assertEqual(complaints(tab), [])
        self.assertEqual(tab.hosts, {urlsplit(self.peer.url).netloc})

    def test_the_panel_tells_buffer_picture_startup_stalls_and_neighbours(self) -> None:
        tab = self.playing()
        tab.until_text("#stalls", "None")
        tab.until_text("#buffer", "s")
        self.assertRegex(tab.text("#buffer"), r"^\d+\.\d s$")
        self.assertRegex(tab.text("#startup"), r"^\d\.\d\d s$")
        tab.until_text("#picture", "p")
        self.assertRegex(tab.text("#picture-note"), r"(kbit|Mbit)/s · [12] of 2$")
        self.assertEqual(tab.text("#neighbours"), "3")
        self.assertEqual(tab.text("#neighbours-note"), "fastest: 3.0 Mbit/s")
        self.assertEqual(tab.text("#from-origin"), "6 % 60 B")
        self.assertEqual(tab.page.locator("#crowd-rows tr").count(), 3)

    def test_a_rate_that_was_never_measured_is_not_told(self) -> None:
        tab = self.playing()
        tab.until_text("#crowd-rows", "Mbit/s")
        busiest = [tab.text(f"#crowd-rows tr:first-child td:nth-child({n})") for n in (2, 3)]
        self.assertEqual(busiest, ["3.0 Mbit/s", "–"])

    def test_segments_are_asked_for_with_cmcd_of_one_session_and_no_content_id(self) -> None:
        tab = self.playing()
        tab.until("a report", lambda: self.peer.reports)
        asked = self.peer.cmcd()
        sid = self.peer.reports[0]["sid"]
        self.assertEqual({keys["sid"].strip('"') for keys in asked}, {sid})
        self.assertFalse(any("cid" in keys for keys in asked))
        self.assertTrue(any({"bl", "br", "d", "ot", "nor"} <= keys.keys() for keys in asked))
        self.assertEqual(len(asked), len(self.peer.asked("/dash/")))
        self.assertEqual(asked[0]["ot"], "m")

    def test_the_rung_that_the_swarm_can_carry_is_heeded(self) -> None:
        self.peer.maximum_kbps = 150
        tab = self.visit()
        tab.until("three segments of video", lambda: len(self.peer.asked("ot%3Dv%2C")) == 3)
        rates = [int(keys["br"]) for keys in self.peer.cmcd() if keys.get("ot") == "v"]
        # The first was chosen before the film's rungs were known.
        self.assertLessEqual(max(rates[1:]), 150)

    def test_a_rung_that_cannot_be_had_is_left_when_the_film_is_loaded_again(self) -> None:
        """The page asks for 14 s, as for a peer that is restarted, and then begins anew."""
        self.peer.refused = "chunk_0_"
        self.peer.advises = "chunk_"
        self.peer.maximum_kbps = 150
        tab = self.visit()
        tab.until("a refusal", lambda: self.peer.asked(f"/dash/{self.peer.refused}"))
        tab.until_played(0.2, patience_s=30)
        self.assertEqual(len(self.peer.asked(f"/dash/{self.peer.refused}")), 15)

    def test_it_polls_nothing_while_nobody_looks(self) -> None:
        tab = self.playing()
        hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
        changed = "document.dispatchEvent(new Event('visibilitychange'))"
        tab.page.evaluate(hide % "true" + changed)
        tab.page.wait_for_timeout(200)  # an answer may be on its way
        before = len(self.peer.asked("/stats"))
        tab.page.wait_for_timeout(1500)
        self.assertEqual(len(self.peer.asked("/stats")), before)
        tab.page.evaluate(hide % "false" + changed)
        tab.until("asking again", lambda: len(self.peer.asked("/stats")) > before)

    def test_the_end_is_told_and_the_film_starts_again_on_demand(self) -> None:
        tab = self.playing()
        tab.page.evaluate(f"{VIDEO}.currentTime = {FILM_S} - 0.5")
        tab.until_text("#notice", "You passed 8.2 MB of it on to other viewers.")
        tab.until("told", lambda: self.peer.reports[-1]["state"] == "ended")
        tab.page.get_by_role("button", name="Watch again").click()
        tab.until("at the start", lambda: tab.number(f"{VIDEO}.currentTime") < 5)
        tab.until("gone on", lambda: tab.page.locator("#notice").is_hidden())


class Reporting(PlayerPageTestCase):
    """POST /qoe and POST /cmcd."""

    def test_dash_js_reports_by_itself_under_the_same_session(self) -> None:
        tab = self.playing()
        tab.until("playing told", lambda: "playing" in [event.state for event in self.peer.events])
        tab.until("a beacon", lambda: self.peer.reports)
        self.assertEqual(
            {event.session_id for event in self.peer.events}, {self.peer.reports[0]["sid"]}
        )
        told = next(event for event in self.peer.events if event.state == "playing")
        self.assertGreater(told.bitrate_bps or 0, 0)
        self.assertGreater(told.at_s or 0, 1e9)
        tab.page.evaluate(f"{VIDEO}.pause()")
        tab.until("paused told", lambda: self.peer.events[-1].state == "paused")

    def test_a_stall_is_the_same_to_the_page_and_in_what_dash_js_reports(self) -> None:
        self.peer.held_back = "_3.m4s"
        tab = self.playing()
        tab.page.evaluate(f"{VIDEO}.currentTime = 5")
        tab.until("stalled", lambda: self._states()[-1:] == ["stalled"])
        tab.page.wait_for_timeout(1500)
        self.peer.released.set()
        tab.until("played on", lambda: tab.number(f"{VIDEO}.currentTime") > 9)
        tab.until("told", lambda: self._states()[-1:] == ["playing"])
        # Each reports in its own time, and a busy machine may stall again.
        tab.until("told by dash.js too, and the same", self._stalls_agree)
        self.assertGreater(self._told_by_dash_js()["stalled_ms"], 1400)

    def _stalls_agree(self) -> bool:
        """The page and dash.js have told of a stall that is over, and lasted as long. One of them
        may have seen a very short one more."""
        states = [event.state for event in self.peer.events if event.state is not None]
        seen, told = self.peer.reports[-1], self._told_by_dash_js()
        most = max(seen["stalls"], told["stalls"])
        return (
            "stalled" in states[:-1]
            and states[-1] != "stalled"  # it plays, or is at the end by now
            and min(seen["stalls"], told["stalls"]) > 0
            and abs(seen["stalled_ms"] - told["stalled_ms"]) < 250 * most
        )

    def _told_by_dash_js(self) -> dict[str, Any]:
        viewing = Viewing(began_at=0.0)
        for event in self.peer.events:
            viewing.hear(event, 1.0)
        return viewing.document()

    def test_reports_are_well_formed(self) -> None:
        tab = self.playing()
        tab.until("a report of playing", lambda: self._states()[-1:] == ["playing"])
        report = self.peer.reports[-1]
        self.assertEqual(
            set(report),
            {
                *("v", "sid", "state", "startup_ms", "stalls", "stalled_ms", "mean_bitrate_bps"),
                *("switches", "changed_bps", "played_s", "buffer_s", "position_s", "player"),
            },
        )
        self.assertEqual(report["v"], 1)
        self.assertLessEqual(len(report["sid"]), 64)
        self.assertIn(report["state"], STATES)
        self.assertIn("dash.js 5", report["player"])
        self.assertGreater(report["startup_ms"], 0)
        for name in ("stalls", "stalled_ms", "mean_bitrate_bps", "switches", "buffer_s"):
            self.assertGreaterEqual(report[name], 0, name)

    def test_a_pause_is_reported_and_is_no_stall(self) -> None:
        tab = self.playing()
        tab.page.evaluate(f"{VIDEO}.pause()")
        tab.until("told", lambda: self._states()[-1:] == ["paused"])
        self.assertEqual(self.peer.reports[-1]["stalls"], 0)

    def test_a_last_report_leaves_with_the_viewer(self) -> None:
        tab = self.playing()
        tab.until("a report of playing", lambda: self._states()[-1:] == ["playing"])
        before = len(self.peer.reports)
        tab.page.goto("about:blank")
        tab.until("one more", lambda: len(self.peer.reports) > before)

    def _states(self) -> list[str]:
        return [report["state"] for report in self.peer.reports]


class Broken(PlayerPageTestCase):
    """Every way to break has its sentence, and most mend themselves."""

    def test_a_missing_film_is_told_and_played_once_it_is_there(self) -> None:
        self.peer.mpd_status = 404
        self.peer.mpd_error = "The origin has no dash.mpd."
        tab = self.visit()
        tab.until_text("#notice", "There is no film here yet")
        self.assertIn("./segment.sh VIDEO", tab.text("#notice"))
        self.assertIn("The origin has no dash.mpd.", tab.text("#notice"))
        self.peer.mpd_status = 200
        tab.page.get_by_role("button", name="Look again now").click()
        tab.until_played(0.2)
        self.assertTrue(tab.page.locator("#notice").is_hidden())
        self.assertEqual(complaints(tab, ["404"]), [])

    def test_an_origin_that_is_away_is_told_apart_from_a_missing_film(self) -> None:
        self.peer.mpd_status = 503
        tab = self.visit()
        tab.until_text("#notice", "The film’s origin does not answer")
        self.peer.mpd_status = 200
        tab.until_played(0.2)  # by itself
        self.assertEqual(complaints(tab, ["503"]), [])

    def test_a_peer_that_is_away_is_told_and_playing_begins_when_it_is_back(self) -> None:
        self.peer.stats_answers = False
        tab = self.visit()
        tab.until_text("#notice", "The peer on this machine does not answer")
        self.assertIn("./run-demo.sh", tab.text("#notice"))
        self.assertEqual(tab.text("#mode"), "Peer away")
        self.peer.stats_answers = True
        tab.until_played(0.2)
        self.assertEqual(tab.text("#mode"), "Sharing")
        self.assertTrue(tab.page.locator("#banner").is_hidden())

    def test_a_peer_that_goes_while_the_film_plays_does_not_cover_the_picture(self) -> None:
        tab = self.playing()
        self.peer.stats_answers = False
        tab.until_text("#mode", "Peer away")
        self.assertTrue(tab.page.locator("#banner").is_visible())
        self.assertTrue(tab.page.locator("#notice").is_hidden())

    def test_segments_that_cannot_be_had_are_told_with_a_way_to_retry(self) -> None:
        self.peer.segment_status = 503
        tab = self.visit()
        tab.until("word of it", lambda: "notice" in tab.page.locator("#stage").inner_html())
        tab.until_text("#notice", "Playback stopped")
        self.assertNotIn("CMCD", tab.text("#notice"))
        self.peer.segment_status = 200
        tab.page.get_by_role("button", name="Retry").click()
        tab.until_played(0.2)

    def test_passing_through_is_said_in_the_peers_own_words(self) -> None:
        self.peer.mode = "pass-through"
        self.peer.message = "No signed index at the origin: nothing is shared."
        tab = self.playing()
        tab.until_text("#banner", "No signed index at the origin: nothing is shared.")
        self.assertEqual(tab.text("#mode"), "Passing through")
        self.assertIn("not shared", tab.text("#headline"))

    def test_a_film_on_another_host_is_refused(self) -> None:
        for address in ("//elsewhere.example/a.mpd", "http://elsewhere.example/a.mpd", "/\\e.x/a"):
            tab = self.visit(f"/client/?mpd={address}")
            tab.until_text("#notice", "That is no address of a film")
            self.assertEqual(tab.hosts, {urlsplit(self.peer.url).netloc})

    def test_another_film_on_this_peer_is_played(self) -> None:
        tab = self.visit("/client/client.html?mpd=/dash/./dash.mpd")
        tab.until_played(0.2)

    def test_a_page_without_its_player_library_says_how_to_fetch_it(self) -> None:
        self.peer.absent = frozenset({"/client/vendor/dash.all.min.js"})
        tab = self.visit()
        tab.until_text("#notice", "The player library is not here")

    def test_a_page_without_its_chart_library_plays_all_the_same(self) -> None:
        self.peer.absent = frozenset({"/client/vendor/uPlot.iife.min.js"})
        tab = self.playing()
        self.assertIn("chart library is not here", tab.text("#source-chart"))
        self.assertEqual(complaints(tab, ["404"]), [])


class Details(PlayerPageTestCase):
    """The second view."""

    def setUp(self) -> None:
        super().setUp()
        self.peer.segments = [record(number) for number in range(12)]
        self.peer.segments[2] |= {"peers": 0, "origin": 1_000_000}
        self.peer.segments[3] |= {"peers": 200_000, "origin": 800_000, "slack_ms": -400.0}
        self.peer.segments += [record(number, "audio") for number in range(12)]
        self.peer.segments += [record(0, "manifest", slack_ms=None)]

    def details(self, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Tab:
        tab = self.visit("/client/#details", size, scheme)
        tab.until("the cells", lambda: tab.page.locator("#cells .cell").count() == 25)
        return tab

    def test_each_segment_is_a_cell_whose_letter_tells_its_source_too(self) -> None:
        tab = self.details()
        tab.until_played(0.2)
        self.assertEqual(tab.text("#cells .cell-row >> nth=0").split()[1:5], ["V", "V", "O", "O"])
        late = tab.page.locator("#cells .cell.late")
        self.assertEqual(late.count(), 1)
        self.assertIn("0.40 s too late", " ".join(str(late.get_attribute("aria-label")).split()))
        tab.until("a point for each", lambda: tab.page.locator("#slack-chart .uplot").count() == 1)
        self.assertEqual(complaints(tab), [])
        tab.keep("details")

    def test_the_keyboard_walks_the_cells_by_one_stop_and_reads_them(self) -> None:
        tab = self.details()
        self.assertEqual(tab.page.locator("#cells .cell[tabindex='0']").count(), 1)
        tab.page.locator("#cells .cell[tabindex='0']").focus()
        tab.page.keyboard.press("Home")
        tab.page.keyboard.press("ArrowRight")
        tab.page.keyboard.press("ArrowRight")
        tab.until_text("#cell-told", "chunk_video_2.m4s, 1.0 MB; 100 % from the origin")
        self.peer.segments.append(record(12))
        tab.until("one more", lambda: tab.page.locator("#cells .cell").count() == 26)
        self.assertIn("chunk_video_2", tab.page.evaluate("document.activeElement.dataset.path"))

    def test_a_key_or_the_buttons_change_the_view_and_the_film_goes_on(self) -> None:
        tab = self.visit()
        tab.until_played(0.2)
        tab.page.keyboard.press("d")
        tab.until("shown", lambda: tab.page.locator("#inside").is_visible())
        self.assertTrue(tab.page.url.endswith("#details"))
        tab.page.get_by_role("button", name="Film", exact=True).click()
        self.assertTrue(tab.page.locator("#inside").is_hidden())
        self.assertIs(tab.page.evaluate(f"{VIDEO}.paused"), False)
        self.assertTrue(tab.page.locator(".charts").is_visible())

    def test_on_a_phone_nothing_scrolls_sideways(self) -> None:
        tab = self.details(PHONE, "dark")
        self.assertEqual(tab.number("document.documentElement.scrollWidth"), PHONE[0])
        tab.keep("details-phone", whole=True)


class Using(PlayerPageTestCase):
    """Keyboard, small screens, dark rooms."""

    def test_the_keyboard_pauses_seeks_and_turns_the_sound_on(self) -> None:
        tab = self.playing()
        keyboard = tab.page.keyboard
        keyboard.press("m")
        self.assertIs(tab.page.evaluate(f"{VIDEO}.muted"), False)
        keyboard.press("Space")
        self.assertIs(tab.page.evaluate(f"{VIDEO}.paused"), True)
        keyboard.press("ArrowRight")
        self.assertGreater(tab.number(f"{VIDEO}.currentTime"), 5)

    def test_the_keys_work_once_while_the_film_has_the_focus(self) -> None:
        tab = self.playing()
        tab.page.focus("video")
        tab.page.keyboard.press("m")
        self.assertIs(tab.page.evaluate(f"{VIDEO}.muted"), False)
        tab.page.keyboard.press("Space")
        tab.until("paused", lambda: tab.page.evaluate(f"{VIDEO}.paused"))

    def test_the_sound_button_is_reached_by_tab_and_worked_by_enter(self) -> None:
        tab = self.playing()
        tab.until("offered", lambda: tab.page.locator("#unmute").is_visible())
        for _ in range(12):  # the browser's own controls come first
            tab.page.keyboard.press("Tab")
            if tab.page.evaluate("document.activeElement.id") == "unmute":
                break
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        self.assertEqual(tab.page.evaluate(outline), "solid")
        tab.page.keyboard.press("Enter")
        self.assertIs(tab.page.evaluate(f"{VIDEO}.muted"), False)
        # The browser tells of the change of volume in its own time.
        tab.until("taken away", lambda: tab.page.locator("#unmute").is_hidden())
        tab.until("at the film", lambda: tab.page.evaluate("document.activeElement.id") == "video")

    def test_states_are_spoken_to_screen_readers(self) -> None:
        tab = self.playing()
        tab.page.evaluate(f"{VIDEO}.pause()")
        tab.until_text("#live", "Paused.")
        self.assertEqual(tab.page.locator("#live").get_attribute("aria-live"), "polite")

    def test_a_phone_never_scrolls_sideways(self) -> None:
        self.peer.neighbours = 12
        tab = self.visit(size=PHONE, scheme="dark")
        tab.until_played(0.2)
        self._assert_fits(tab)
        self.peer.mpd_status = 503
        self.peer.mpd_error = "http://a-rather-long-name.of-an-origin.example:9000/dash " * 4
        tab.page.reload()
        tab.until_text("#notice", "does not answer")
        self._assert_fits(tab)

    def test_a_phone_never_scrolls_sideways_for_what_the_peer_is_up_to(self) -> None:
        for self.peer.mode in ("no-origin", "pass-through"):
            tab = self.visit(size=PHONE)
            tab.until_text("#mode", "a")
            self._assert_fits(tab)
            tab.page.set_viewport_size({"width": 320, "height": 640})
            self.assertEqual(tab.number("document.documentElement.scrollWidth"), 320)

    def _assert_fits(self, tab: Tab) -> None:
        width = tab.number("document.documentElement.scrollWidth")
        self.assertEqual(width, PHONE[0])
