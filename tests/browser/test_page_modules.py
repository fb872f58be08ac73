"""The page's own reckoning, without a film: stalls and start-up, shares, numbers as people read
them. The modules run in the browser that they are written for.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.browser.browser import module_page

RUN_METER: Final = """async (steps) => {
  const { QoeMeter } = await import("/client/qoe.js");
  let now = 0;
  const meter = new QoeMeter(() => now);
  for (const [after, name, ...given] of steps) { now += after; meter[name](...given); }
  return meter.report();
}"""
RECOVER: Final = """async ([events, paused]) => {
  const { Recovery } = await import("/client/recovery.js");
  const video = Object.assign(new EventTarget(), { currentTime: 0, paused });
  const shown = [], loads = [];
  const notice = { show: (kind) => shown.push(kind) };
  const stop = () => { video.currentTime = 0; video.dispatchEvent(new Event("timeupdate")); };
  const load = (...given) => loads.push(given);
  const recovery = new Recovery({ video, mpd: "/dash/dash.mpd", notice, stop, load });
  for (const [name, at] of events) {
    video.currentTime = at;
    video.dispatchEvent(new Event(name));
  }
  recovery.begin({ code: 27, message: "gone" });
  while (shown.length === 0) await new Promise((done) => setTimeout(done, 5));
  recovery.again();
  while (loads.length === 0) await new Promise((done) => setTimeout(done, 5));
  return { shown, loads };
}"""
CALL: Final = """async ([module, name, ...given]) =>
  (await import(`/client/${module}.js`))[name](...given)"""
STARTED: Final = [[0, "attached"], [400, "playing"]]


class ModuleTestCase(SynchronousTestCase):
    """A page that holds nothing, for modules to be imported into."""

    def setUp(self) -> None:
        self.page = module_page()

    def meter(self, *steps: list[object]) -> dict[str, Any]:
        """Run (milliseconds later, method, arguments...) on a QoeMeter; its report."""
        report = self.page.evaluate(RUN_METER, list(steps))
        assert isinstance(report, dict)
        return report

    def call(self, module: str, name: str, *given: object) -> Any:
        return self.page.evaluate(CALL, [module, name, *given])


class QoeMeter(ModuleTestCase):
    """Start-up, stalls, switches, mean bitrate."""

    def test_startup_lasts_from_attaching_to_the_first_playing(self) -> None:
        report = self.meter([100, "attached"], [50, "waiting"], [400, "playing"])
        self.assertEqual(report["startup_ms"], 450)
        self.assertEqual((report["stalls"], report["state"]), (0, "playing"))

    def test_a_load_that_is_tried_again_before_it_ever_played_starts_the_clock_anew(self) -> None:
        report = self.meter([0, "attached"], [9000, "failed"], [0, "attached"], [300, "playing"])
        self.assertEqual((report["startup_ms"], report["stalls"]), (300, 0))

    def test_running_dry_is_a_stall_until_it_plays(self) -> None:
        report = self.meter(*STARTED, [5000, "waiting"], [700, "playing"], [0, "waiting"])
        self.assertEqual((report["stalls"], report["stalled_ms"]), (1, 700))

    def test_a_stall_that_lasts_is_counted_before_it_is_over(self) -> None:
        report = self.meter(*STARTED, [5000, "waiting"], [700, "rendered", 1])
        self.assertEqual((report["stalls"], report["stalled_ms"]), (1, 700))
        self.assertEqual(report["state"], "stalled")

    def test_a_stall_is_over_when_the_picture_moves_though_nobody_says_playing(self) -> None:
        steps = [[1000, "progress", 1.0], [0, "waiting"], [300, "progress", 1.25]]
        report = self.meter(*STARTED, *steps, [900, "progress", 2.0])
        self.assertEqual((report["stalls"], report["stalled_ms"]), (1, 300))

    def test_a_hiccup_that_nobody_sees_is_no_stall(self) -> None:
        self.assertEqual(self.meter(*STARTED, [9, "waiting"], [20, "playing"])["stalls"], 0)

    def test_waiting_after_a_seek_is_no_stall(self) -> None:
        report = self.meter(*STARTED, [9, "seeking"], [0, "waiting"], [900, "playing"])
        self.assertEqual((report["stalls"], report["stalled_ms"]), (0, 0))

    def test_waiting_while_paused_is_no_stall(self) -> None:
        report = self.meter(*STARTED, [9, "paused"], [0, "waiting"], [900, "playing"])
        self.assertEqual((report["stalls"], report["state"]), (0, "playing"))

    def test_a_failure_is_a_stall_until_it_plays_again_whatever_the_element_says(self) -> None:
        undone = [[0, "paused"], [0, "seeking"], [5, "progress", 0.0], [0, "attached"]]
        report = self.meter(*STARTED, [10, "failed"], *undone, [995, "playing"])
        self.assertEqual((report["stalls"], report["stalled_ms"]), (1, 1000))
        self.assertEqual(report["startup_ms"], 400)

    def test_a_failure_while_paused_is_no_stall_and_leaves_it_paused(self) -> None:
        report = self.meter(*STARTED, [10, "paused"], [10, "failed"], [900, "restored"])
        self.assertEqual((report["stalls"], report["state"]), (0, "paused"))

    def test_a_failure_while_it_waits_is_the_same_stall(self) -> None:
        report = self.meter(*STARTED, [10, "waiting"], [500, "failed"], [500, "playing"])
        self.assertEqual((report["stalls"], report["stalled_ms"]), (1, 1000))

    def test_the_mean_bitrate_weighs_by_what_was_watched(self) -> None:
        steps: list[list[object]] = [[0, "rendered", 1000], [0, "progress", 1.0]]
        steps += [[0, "rendered", 4000], [0, "progress", 2.0], [0, "progress", 3.0]]
        steps += [[0, "seeking"], [0, "progress", 60.0], [0, "playing"], [0, "progress", 61.0]]
        report = self.meter(*STARTED, *steps)
        self.assertEqual(report["mean_bitrate_bps"], (1000 + 3 * 4000) / 4)
        self.assertEqual((report["switches"], report["position_s"]), (1, 61))


class Recovering(ModuleTestCase):
    """The viewer's place and wish survive a player that broke."""

    def recover(self, *events: list[object], paused: bool = False) -> dict[str, Any]:
        done = self.page.evaluate(RECOVER, [list(events), paused])
        assert isinstance(done, dict)
        return done

    def test_playing_goes_on_from_where_it_broke(self) -> None:
        done = self.recover(["timeupdate", 7.5])
        self.assertEqual(done["shown"], ["broken", "loading"])
        self.assertEqual(done["loads"], [[7.5, True]])

    def test_it_goes_on_from_where_the_viewer_had_just_sought(self) -> None:
        done = self.recover(["timeupdate", 5], ["seeking", 30])
        self.assertEqual(done["loads"], [[30, True]])

    def test_a_film_that_was_paused_stays_so(self) -> None:
        done = self.recover(["timeupdate", 5], paused=True)
        self.assertEqual(done["loads"], [[5, False]])


class Words(ModuleTestCase):
    """The headline is true whatever the figures."""

    def headline(self, neighbours: int = 2, mode: str = "sharing", **sources: int) -> str:
        stats = {"mode": mode, "neighbours": [{}] * neighbours, "bytes": sources}
        text = self.call("sources", "headline", stats)
        assert isinstance(text, str)
        return text.replace("\u202f", " ")

    def test_the_share_of_other_viewers_leads(self) -> None:
        said = self.headline(peers=920, cache=20, origin=60)
        self.assertEqual(said, "92 % of what you watch came from other viewers")

    def test_a_large_share_of_the_cache_is_not_claimed_for_the_viewers(self) -> None:
        said = self.headline(peers=350, cache=620, origin=30)
        self.assertEqual(
            said,
            "97 % of what you watch spared the origin: 35 % came from other viewers, "
            "62 % was already here",
        )

    def test_a_lone_viewer_is_told_so(self) -> None:
        self.assertIn("the only viewer so far", self.headline(neighbours=0, origin=10))

    def test_a_full_cache_is_told(self) -> None:
        self.assertEqual(
            self.headline(cache=10), "All of what you watch was already on this machine"
        )

    @settings(max_examples=40)
    @given(counts=st.tuples(*[st.integers(0, 10**12)] * 3))
    def test_percentages_add_up_and_hide_no_source(self, counts: tuple[int, int, int]) -> None:
        names = ("peers", "cache", "origin")
        share = self.call("sources", "shares", dict(zip(names, counts, strict=True)))
        parts = [share[name] for name in names]
        self.assertEqual(sum(parts), 100 if sum(counts) else 0)
        for part, count in zip(parts, counts, strict=True):
            self.assertEqual(part > 0, count > 0)

    def test_numbers_are_short_and_never_a_thousand_of_the_lesser_unit(self) -> None:
        read = {0: "0 B", 999: "999 B", 999_600: "1.0 MB", 8_200_000: "8.2 MB", 10**9: "1.0 GB"}
        for count, text in read.items():
            self.assertEqual(self.call("format", "bytes", count).replace("\u202f", " "), text)
        self.assertEqual(self.call("format", "rate", None), "–")
