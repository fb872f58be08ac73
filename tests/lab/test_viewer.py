"""Tests of the headless viewer against an HTTP server: in this process, and as a program."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from dashp2p.lab import barred, download, patient
from dashp2p.lab.player_events import Account, Reporter
from dashp2p.lab.viewer import PlayError, Viewer
from dashp2p.lab.viewer_options import options
from dashp2p.web.cmcd import Cmcd, cmcd_of
from dashp2p.web.cmcd_events import PlayerEvent, parse_events
from tests.processes import environment

SEGMENT_S = 0.3
SEGMENTS = 4
MPD = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" minBufferTime="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-live:2011" mediaPresentationDuration="PT1.2S"><Period>
<AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="10" duration="3"
 initialization="init_$RepresentationID$.m4s" media="chunk_$RepresentationID$_$Number$.m4s"
 startNumber="1"/>
<Representation id="low" bandwidth="100000" codecs="avc1.640028" width="640" height="360"/>
<Representation id="high" bandwidth="400000" codecs="avc1.640028" width="1280" height="720"/>
</AdaptationSet>
<AdaptationSet contentType="audio" mimeType="audio/mp4"><SegmentTemplate timescale="10" duration="3"
 initialization="init_$RepresentationID$.m4s" media="chunk_$RepresentationID$_$Number$.m4s"
 startNumber="1"/>
<Representation id="sound" bandwidth="64000" codecs="mp4a.40.2"/></AdaptationSet>
</Period></MPD>"""


def film() -> dict[str, bytes]:
    """The MPD, and for each representation its segments, of as many bytes as it says."""
    files = {"dash.mpd": MPD.encode()}
    for name, bandwidth_bps in (("low", 100_000), ("high", 400_000), ("sound", 64_000)):
        files[f"init_{name}.m4s"] = name.encode() * 50
        for number in range(1, SEGMENTS + 1):
            size_bytes = int(bandwidth_bps / 8 * SEGMENT_S)
            files[f"chunk_{name}_{number}.m4s"] = bytes([number]) * size_bytes
    return files


class FilmServer(Resource):
    """Serves the film, and misbehaves as often as `faults` says for a name."""

    isLeaf = True

    def __init__(self, files: dict[str, bytes]) -> None:
        Resource.__init__(self)
        self.files = files
        self.faults: dict[str, list[str]] = {}
        self.heard: list[tuple[str, Cmcd]] = []
        self.reports: list[PlayerEvent] = []
        self.refusal = b""
        """The body of each answer to reports, if they are refused."""
        self.advice = ""
        self.refusal_advice = ""

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        assert request.getHeader("content-type") == "application/cmcd"
        self.reports += parse_events(request.content.read().decode())
        request.setResponseCode(503 if self.refusal else 204)
        return self.refusal

    def render_GET(self, request: Request) -> bytes | int:
        name = request.path.decode().rpartition("/")[2]
        self.heard.append((name, cmcd_of(request)))
        fault = self.faults[name].pop() if self.faults.get(name) else ""
        data = self.files[name]
        request.setHeader(b"content-length", str(len(data)))
        if self.advice:
            request.setHeader(b"cmsd-dynamic", self.advice)
        if fault == "silent":
            return NOT_DONE_YET
        if fault == "stuck":
            request.write(data[:10])
            return NOT_DONE_YET
        if fault == "broken":
            request.write(data[:-1])
            request.loseConnection()
            return NOT_DONE_YET
        if fault == "error":
            request.setResponseCode(503)
            if self.refusal_advice:
                request.setHeader(b"cmsd-dynamic", self.refusal_advice)
            request.setHeader(b"content-length", b"0")
            return b""
        return data


class ServedTestCase(TestCase):
    """A film on a loopback port."""

    timeout = 30
    reactor: Any = reactor

    def setUp(self) -> None:
        self.server = FilmServer(film())
        site = Site(self.server)
        site.displayTracebacks = False
        self.port: Any = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/dash/dash.mpd"
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        for name, data in self.server.files.items():
            (self.folder / name).write_bytes(data)


class ViewerTests(ServedTestCase):
    """The viewer's own parts, with a real clock and real sockets."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(patient, "RETRY_S", 0.01)

    def viewer(self, **given: Any) -> Viewer:
        made = Viewer(reactor, self.url, "one", 12.0, verify_against=self.folder, **given)
        self.addCleanup(made.close)
        return made

    async def test_it_plays_a_film_and_tells_how_it_went(self) -> None:
        one = self.viewer()
        await one.play()
        report = one.report()
        self.assertEqual(report["state"], "ended")
        self.assertEqual(report["stalls"], 0)
        self.assertLess(report["startup_ms"], 1000)
        self.assertAlmostEqual(report["position_s"], 1.2)
        self.assertGreater(report["mean_bitrate_bps"], 100_000)
        names = [segment["path"] for segment in report["segments"]]
        self.assertEqual(names.count("chunk_low_1.m4s"), 1)
        self.assertEqual(sum("sound" in name for name in names), SEGMENTS)
        self.assertEqual(len(names), 2 * SEGMENTS)
        first = report["segments"][0]
        self.assertLessEqual(first["requested_s"], first["first_byte_s"])
        self.assertLessEqual(first["first_byte_s"], first["done_s"])
        asked = Counter(name for name, _ in self.server.heard)
        self.assertEqual(max(asked.values()), 1)
        self.assertEqual(sum(len(self.server.files[name]) for name in asked), report["bytes"])
        self.assertFalse(any(heard.present for _, heard in self.server.heard))
        self.assertEqual(self.server.reports, [])

    async def test_it_reports_how_it_goes_if_asked_to(self) -> None:
        target = self.url.replace("/dash/dash.mpd", "/cmcd")
        one = self.viewer(reporter=Reporter(reactor, target, Account("one")))
        await one.play()
        await one.leave()
        states = [event.state for event in self.server.reports if event.event == "ps"]
        self.assertEqual(states, ["starting", "playing", "ended"])
        self.assertEqual({event.session_id for event in self.server.reports}, {"one"})

    async def test_a_refusal_of_reports_is_not_read_and_leaves_no_connection(self) -> None:
        self.server.refusal = b"no" * 500_000
        target = self.url.replace("/dash/dash.mpd", "/cmcd")
        one = self.viewer(reporter=Reporter(reactor, target, Account("one")))
        await one.play()
        await one.leave()
        self.assertEqual(one.report()["state"], "ended")
        self.assertEqual(self.server.reports[-1].state, "ended")

    async def test_reports_that_nobody_takes_hold_nothing_up(self) -> None:
        one = self.viewer(reporter=Reporter(reactor, "http://127.0.0.1:1/cmcd", Account("one")))
        await one.play()
        await one.leave()
        self.assertEqual((one.report()["state"], one.report()["stalls"]), ("ended", 0))

    async def test_it_keeps_no_more_than_its_buffer(self) -> None:
        one = self.viewer()
        one.buffer_s = 0.4
        await one.play()
        for segment in one.segments:
            self.assertLessEqual(segment["buffer_s"], 0.4 + 0.01)
        self.assertGreater(one.segments[-1]["requested_s"], 0.5)

    async def test_it_tells_what_it_needs_if_asked_to(self) -> None:
        await self.viewer(tells=True).play()
        heard = dict(self.server.heard)
        self.assertTrue(all(one.session_id == "one" for one in heard.values()))
        self.assertEqual(heard["dash.mpd"].object_type, "manifest")
        self.assertEqual(heard["init_low.m4s"].object_type, "init")
        video = heard["chunk_low_1.m4s"]
        self.assertTrue(video.startup)
        self.assertEqual(video.next_object, "chunk_low_2.m4s")
        self.assertEqual(video.top_bitrate_bps, 400_000)
        self.assertEqual(heard["chunk_sound_2.m4s"].object_type, "audio")

    def rungs(self, one: Viewer) -> list[int]:
        """The bitrates of the pictures that it played, in order."""
        return [s["bitrate_bps"] for s in one.segments if s["track"] == "video"]

    async def test_a_rung_that_does_not_come_is_left_alone_for_a_while(self) -> None:
        refused = [f"chunk_high_{number}.m4s" for number in range(1, SEGMENTS + 1)]
        self.server.faults = {name: ["error"] * 9 for name in refused}
        one = self.viewer()
        await one.play()
        self.assertEqual(one.report()["state"], "ended")
        self.assertEqual(self.rungs(one), [100_000] * SEGMENTS)
        asked = Counter(name for name, _ in self.server.heard)
        self.assertEqual([asked[name] for name in refused], [0, 2, 0, 0])
        self.assertEqual([told["path"] for told in one.report()["refusals"]], [refused[1]] * 2)
        self.assertEqual({told["status"] for told in one.refusals}, {503})

    async def test_after_that_while_it_is_tried_again(self) -> None:
        self.patch(barred, "BARRED_S", 0.0)
        self.server.faults = {"chunk_high_2.m4s": ["error"] * 2}
        one = self.viewer()
        await one.play()
        self.assertEqual(self.rungs(one)[1:], [400_000] * 3)

    async def test_a_rung_whose_beginning_does_not_come_is_left_too(self) -> None:
        self.server.faults = {"init_high.m4s": ["error"] * 9}
        one = self.viewer()
        await one.play()
        self.assertEqual(self.rungs(one), [100_000] * SEGMENTS)

    async def test_when_no_rung_is_left_it_asks_as_often_as_ever_and_then_fails(self) -> None:
        names = ["chunk_high_2.m4s", "chunk_low_2.m4s"]
        self.server.faults = {name: ["error"] * 9 for name in names}
        error = await self.failed(self.viewer())
        self.assertIn("chunk_low_2.m4s: status 503", str(error))
        asked = Counter(name for name, _ in self.server.heard)
        self.assertEqual([asked[name] for name in names], [2, 4])

    async def test_it_wants_no_more_than_it_was_told(self) -> None:
        one = self.viewer(most_bps=399_999.0)
        await one.play()
        self.assertEqual(self.rungs(one), [100_000] * SEGMENTS)

    async def test_it_heeds_advice_in_a_refusal_too(self) -> None:
        self.server.refusal_advice = '"peer";mb=170'
        self.server.faults = {"chunk_high_2.m4s": ["error"]}
        self.patch(patient, "RETRY_S", 0.2)
        one = self.viewer(heeds=True)
        await one.play()
        self.assertEqual(self.rungs(one)[1:], [400_000, 100_000, 100_000])
        self.assertEqual(one.refusals[0]["cmsd"], '"peer";mb=170')

    async def test_it_heeds_advice_if_asked_to(self) -> None:
        self.server.advice = '"cdn";etp=900000, "peer";etp=400;mb=170'
        one = self.viewer(heeds=True)
        await one.play()
        self.assertEqual(
            {s["bitrate_bps"] for s in one.segments if s["track"] == "video"}, {100_000}
        )
        self.server.advice = '"peer";etp=900000;mb=464'
        one = self.viewer(heeds=True)
        await one.play()
        self.assertIn(400_000, {segment["bitrate_bps"] for segment in one.segments})

    async def test_it_tries_again_as_players_do(self) -> None:
        self.patch(download, "SILENCE_S", 0.2)
        self.server.faults = {
            "chunk_sound_1.m4s": ["error", "error", "error"],
            "chunk_low_1.m4s": ["broken"],
            "dash.mpd": ["silent"],
            "init_sound.m4s": ["stuck"],
        }
        one = self.viewer()
        await one.play()
        self.assertEqual(one.report()["state"], "ended")
        asked = Counter(name for name, _ in self.server.heard)
        self.assertEqual(asked["chunk_sound_1.m4s"], 4)
        self.assertEqual([asked[name] for name in ("dash.mpd", "init_sound.m4s")], [2, 2])
        self.assertEqual(asked["chunk_low_1.m4s"], 2)

    async def test_what_never_comes_ends_the_film(self) -> None:
        self.server.faults = {"chunk_sound_2.m4s": ["error"] * 9}
        error = await self.failed(self.viewer())
        self.assertIn("chunk_sound_2.m4s: status 503", str(error))
        self.assertEqual(Counter(name for name, _ in self.server.heard)["chunk_sound_2.m4s"], 4)

    async def test_a_false_byte_ends_the_film_and_is_told(self) -> None:
        name = "chunk_sound_2.m4s"
        self.server.files[name] = b"!" + self.server.files[name][1:]
        one = self.viewer()
        error = await self.failed(one)
        self.assertIn(name, str(error))
        self.assertTrue(one.false_bytes)

    async def test_an_mpd_that_is_none_ends_the_film(self) -> None:
        self.server.files["dash.mpd"] = b"<html>"
        (self.folder / "dash.mpd").write_bytes(b"<html>")
        error = await self.failed(self.viewer())
        self.assertIn("cannot be played", str(error))

    async def test_it_can_be_stopped_at_any_moment(self) -> None:
        for name in ("dash.mpd", "init_low.m4s", "chunk_low_1.m4s"):
            for fault in ("silent", "stuck"):
                self.server.heard.clear()
                self.server.faults = {name: [fault]}
                one = self.viewer()
                playing = Deferred.fromCoroutine(one.play())
                while name not in dict(self.server.heard):
                    await deferLater(self.reactor, 0.005)
                playing.cancel()
                outcome: list[Any] = []
                playing.addBoth(outcome.append)
                await deferLater(self.reactor, 0.05)
                self.assertEqual(len(outcome), 1, f"still waiting for {name}, {fault}")

    async def failed(self, one: Viewer) -> PlayError:
        try:
            await one.play()
        except PlayError as error:
            return error
        raise AssertionError("it played")


class ProgramTests(ServedTestCase):
    """`python -m dashp2p.lab.viewer`."""

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "dashp2p.lab.viewer", self.url, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    async def ended(self, process: "subprocess.Popen[str]") -> tuple[int, str, str]:
        output, errors = await deferToThread(process.communicate, timeout=25)
        return process.returncode, output, errors

    async def test_sigterm_ends_it_with_its_report_written(self) -> None:
        self.server.faults = {"chunk_low_2.m4s": ["stuck"], "chunk_high_2.m4s": ["stuck"]}
        file = self.folder / "report.json"
        process = self.start("--json", str(file), "--id", "me")
        while not {"chunk_low_2.m4s", "chunk_high_2.m4s"} & set(dict(self.server.heard)):
            await deferLater(self.reactor, 0.02)
        await deferLater(self.reactor, 3 * SEGMENT_S)
        process.terminate()
        self.assertEqual(await self.ended(process), (0, "", ""))
        report = json.loads(file.read_text())
        self.assertEqual(report["id"], "me")
        self.assertEqual(report["state"], "stalled")
        self.assertEqual(report["stalls"], 1)
        self.assertEqual(self.server.reports, [])

    async def test_who_is_ended_says_goodbye(self) -> None:
        self.server.faults = {"chunk_low_2.m4s": ["stuck"], "chunk_high_2.m4s": ["stuck"]}
        target = self.url.replace("/dash/dash.mpd", "/cmcd")
        process = self.start("--json", str(self.folder / "report.json"), "--report-to", target)
        while "stalled" not in [event.state for event in self.server.reports]:
            await deferLater(self.reactor, 0.02)
        process.terminate()
        self.assertEqual(await self.ended(process), (0, "", ""))
        self.assertEqual(self.server.reports[-1].state, "quit")

    async def test_it_ends_after_the_seconds_given(self) -> None:
        self.server.faults = {"chunk_low_2.m4s": ["stuck"], "chunk_high_2.m4s": ["stuck"]}
        status, output, _ = await self.ended(self.start("--seconds", "2"))
        self.assertEqual(status, 0)
        report = json.loads(output)
        self.assertEqual(report["state"], "paused")
        self.assertGreater(report["position_s"], 0)

    async def test_false_bytes_have_an_exit_status_of_their_own(self) -> None:
        (self.folder / "chunk_sound_1.m4s").write_bytes(b"something else")
        process = self.start("--verify-against", str(self.folder))
        status, output, errors = await self.ended(process)
        self.assertEqual(status, 3)
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertEqual(json.loads(output)["state"], "failed")

    async def test_a_server_that_is_not_there_is_one_clear_line(self) -> None:
        await self.port.stopListening()
        status, _, errors = await self.ended(self.start())
        self.assertEqual(status, 1)
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("refused", errors)


class OptionTests(SynchronousTestCase):
    """The command line."""

    def test_the_defaults_are_a_plain_player(self) -> None:
        given = options(["http://x/dash.mpd"])
        self.assertEqual(given.buffer, 12.0)
        self.assertFalse(given.cmcd or given.cmsd or given.from_first_byte or given.report_to)

    def test_a_name_that_cmcd_could_not_carry_is_refused(self) -> None:
        self.patch(sys, "stderr", open("/dev/null", "w"))  # noqa: SIM115
        self.addCleanup(sys.stderr.close)
        self.assertRaises(SystemExit, options, ["http://x/dash.mpd", "--id", 'a"b'])

    def test_reports_go_to_a_url_of_the_web_and_nowhere_else(self) -> None:
        self.patch(sys, "stderr", open("/dev/null", "w"))  # noqa: SIM115
        self.addCleanup(sys.stderr.close)
        self.assertRaises(SystemExit, options, ["http://x/dash.mpd", "--report-to", "file:///x"])
