"""A headless DASH viewer: plays a film in real time, shows nothing, and tells how it went.

    python -m dashp2p.lab.viewer http://127.0.0.1:8001/dash/dash.mpd --json viewer.json

It keeps --buffer seconds of each track, chooses rungs by throughput alone (dashp2p.lab.abr), and by
default tells and heeds nothing: no CMCD, no CMSD, nothing posted. SIGTERM ends it early with its
report written.
Exit status: 0 played, 1 failed, 3 a byte differed from --verify-against.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.internet.task import LoopingCall, deferLater, react

from dashp2p.content.mpd import Manifest, ManifestRepresentation, MpdRefused, read_mpd
from dashp2p.lab import viewer_report
from dashp2p.lab.abr import ThroughputAbr
from dashp2p.lab.barred import BarredRungs
from dashp2p.lab.buffer_log import INTERVAL_S, BufferLog
from dashp2p.lab.download import Download, Downloader, DownloadError
from dashp2p.lab.patient import PatientLoader
from dashp2p.lab.playback import Playback
from dashp2p.lab.player_events import Account, Reporter
from dashp2p.lab.told import Teller, cmcd_query
from dashp2p.lab.viewer_options import options

RETRIES = 3
RETRIES_OF_A_RUNG = 1
"""Where there is another rung to go to."""
MIN_SLEEP_S = 0.01
CMSD_VALUE = re.compile(r"\b(etp|mb)=(\d{1,9})\b")


class PlayError(Exception):
    """The film cannot be played on; the text says why."""


@define(eq=False)
class Viewer:
    """One playback. `play` runs it to its end; `report` tells at any time."""

    reactor: Any
    url: str
    name: str
    buffer_s: float
    tells: bool = False
    """Send CMCD."""
    heeds: bool = False
    """Apply CMSD."""
    from_first_byte: bool = False
    """Measure throughput without the wait for the first byte, as dash.js does."""
    most_bps: float | None = None
    """The highest bitrate of the picture that is wanted."""
    verify_against: Path | None = None
    reporter: Reporter | None = None
    """Told how it goes."""
    state: str = "starting"
    error: str | None = None
    false_bytes: bool = False
    playback: Playback | None = None
    segments: list[dict[str, Any]] = field(factory=list)
    bytes_total: int = 0
    buffer: BufferLog = field(factory=BufferLog)
    _abr: ThroughputAbr | None = None
    _barred: BarredRungs = field(factory=BarredRungs)
    _audio_bps: int = 0
    _stalls_told: int = 0
    begun_at: float = field(init=False)
    _mpd: str = field(init=False)
    _loader: Downloader = field(init=False)
    _patient: PatientLoader = field(init=False)
    _teller: Teller = field(init=False)

    def __attrs_post_init__(self) -> None:
        base, _, self._mpd = self.url.rpartition("/")
        self._loader = Downloader(self.reactor, base)
        self._teller = Teller(self.name)
        self.begun_at = self.reactor.seconds()
        self._patient = PatientLoader(self.reactor, self._loader, self._heed, self.begun_at)

    async def play(self) -> None:
        """Play the film. Raises PlayError."""
        self.begun_at = self._patient.begun_at = self.reactor.seconds()
        if self.reporter is not None:
            self.reporter.begin()
        try:
            got = await self._fetch(self._mpd, self._teller.manifest(), RETRIES, keep=True)
            manifest = read_mpd(got.data or b"")
        except DownloadError as error:
            raise PlayError(f"{self._mpd} does not come: {error}") from error
        except MpdRefused as error:
            raise PlayError(f"the MPD cannot be played: {error}") from error
        tracks = self._tracks(manifest)
        ends_s = [
            rungs[0].media[-1].start_s + rungs[0].media[-1].duration_s for rungs in tracks.values()
        ]
        duration_s = min(manifest.duration_s, *ends_s)
        self.playback = Playback(tuple(tracks), duration_s, self.begun_at)
        ladder_bps = [item.bandwidth_bps for item in tracks["video"]]
        self._abr = ThroughputAbr(ladder_bps, most_bps=self.most_bps)
        if "audio" in tracks:
            self._audio_bps = min(item.bandwidth_bps for item in tracks["audio"])
        loops = [Deferred.fromCoroutine(self._load(name, tracks[name])) for name in tracks]
        together = gatherResults(loops, consumeErrors=True)
        noting = LoopingCall(self._note)
        noting.clock = self.reactor
        noting.start(INTERVAL_S)
        try:
            await together
            await self._until_played()
        except Exception as error:
            for loop in loops:
                loop.cancel()
            raise _cause(error) from error
        finally:
            noting.stop()

    def _note(self) -> None:
        assert self.playback is not None
        now = self.reactor.seconds()
        self.playback.advance(now)
        self.buffer.note(now - self.begun_at, max(0.0, self.playback.dry_in_s))
        if self.reporter is not None:
            self.reporter.note(self.playback)

    def _tracks(self, manifest: Manifest) -> dict[str, list[ManifestRepresentation]]:
        tracks: dict[str, list[ManifestRepresentation]] = {}
        for media_type in ("video", "audio"):
            found = [item for item in manifest.representations if item.media_type == media_type]
            if found:
                first = found[0].adaptation_set
                tracks[media_type] = [item for item in found if item.adaptation_set == first]
        if "video" not in tracks:
            raise PlayError("the MPD has no video")
        return tracks

    # --- one track ----------------------------------------------------------------------------

    async def _load(self, track: str, rungs: list[ManifestRepresentation]) -> None:
        assert self.playback is not None
        inits: set[str] = set()
        for number in range(min(len(rung.media) for rung in rungs)):
            await self._room(track)
            loaded = False
            while not loaded:
                loaded = await self._load_somehow(track, rungs, number, inits)

    async def _load_somehow(
        self, track: str, rungs: list[ManifestRepresentation], number: int, inits: set[str]
    ) -> bool:
        """Load a segment of the rung that suits. False: it did not come, and another rung might."""
        left = self._barred.left(rungs, self.reactor.seconds())
        rung = self._choose(track, left)
        retries = RETRIES_OF_A_RUNG if len(left) > 1 else RETRIES
        path = rung.init_path
        try:
            if path not in inits:
                await self._fetch(path, self._teller.init(), retries)
                inits.add(path)
            path = rung.media[number].path
            await self._load_segment(track, rung, number, retries)
        except DownloadError as error:
            if len(left) == 1:
                raise PlayError(f"{path}: {error}") from error
            self._barred.bar(rung, self.reactor.seconds())
            return False
        return True

    def _choose(self, track: str, rungs: list[ManifestRepresentation]) -> ManifestRepresentation:
        if track != "video" or self._abr is None:
            return min(rungs, key=lambda item: item.bandwidth_bps)
        chosen = self._abr.choose([item.bandwidth_bps for item in rungs])
        return next(item for item in rungs if item.bandwidth_bps == chosen)

    async def _room(self, track: str) -> None:
        assert self.playback is not None
        while True:
            excess = self.playback.buffer_s(track, self.reactor.seconds()) - self.buffer_s
            if excess <= 0:
                return
            # Later by as much as playback stands still meanwhile; then it is asked again.
            await deferLater(self.reactor, max(MIN_SLEEP_S, excess))

    async def _load_segment(
        self, track: str, rung: ManifestRepresentation, number: int, retries: int
    ) -> None:
        assert self.playback is not None
        media = rung.media[number]
        before_s = self.playback.buffer_s(track, self.reactor.seconds())
        got = await self._fetch(media.path, self._told(rung, number, before_s), retries)
        end_s = media.start_s + media.duration_s
        self.playback.arrived(track, media.start_s, end_s, rung.bandwidth_bps, got.done_at)
        if self.state == "starting" and self.playback.started_at is not None:
            self.state = "playing"
        self._learn(track, got)
        self.segments.append(
            {
                "path": media.path,
                "track": track,
                "bitrate_bps": rung.bandwidth_bps,
                "size_bytes": got.size_bytes,
                "complete": True,
                "requested_s": round(got.requested_at - self.begun_at, 4),
                "first_byte_s": round(got.first_byte_at - self.begun_at, 4),
                "done_s": round(got.done_at - self.begun_at, 4),
                "buffer_s": round(before_s, 3),
            }
        )

    def _learn(self, track: str, got: Download) -> None:
        if track != "video" or self._abr is None:
            return
        said = self._heed(got.headers)
        etp = float(said["etp"]) * 1000 if "etp" in said else None
        since = got.first_byte_at if self.from_first_byte else got.requested_at
        self._abr.measured(got.size_bytes, got.done_at - since, etp)

    def _heed(self, headers: Mapping[str, str]) -> dict[str, str]:
        """What the server advises, if the viewer listens to it. Refusals carry it too."""
        said = dict(CMSD_VALUE.findall(headers.get("cmsd-dynamic", ""))) if self.heeds else {}
        if "mb" in said and self._abr is not None:
            # For both tracks together; so dash.js reads it.
            self._abr.cap_bps = float(said["mb"]) * 1000 - self._audio_bps
        return said

    def _told(
        self, rung: ManifestRepresentation, number: int, buffer_s: float
    ) -> dict[str, object]:
        assert self.playback is not None and self._abr is not None
        if self.playback.stalls > self._stalls_told:
            self._stalls_told = self.playback.stalls
            self._teller.stalled()
        return self._teller.media(
            rung,
            number,
            top_bps=max(self._abr.ladder_bps) if rung.media_type == "video" else self._audio_bps,
            buffer_s=buffer_s,
            throughput_bps=self._abr.estimate_bps,
        )

    # --- fetching -----------------------------------------------------------------------------

    async def _fetch(
        self, path: str, told: dict[str, object], retries: int, keep: bool = False
    ) -> Download:
        query = cmcd_query(told) if self.tells else ""
        got = await self._patient.get(path, query, retries, keep)
        self.bytes_total += got.size_bytes
        self._verify(path, got)
        return got

    def _verify(self, path: str, got: Download) -> None:
        if self.verify_against is None:
            return
        file = self.verify_against / path
        if hashlib.sha256(file.read_bytes()).hexdigest() != got.sha256:
            self.false_bytes = True
            raise PlayError(f"{path} is not what {file} holds")

    async def _until_played(self) -> None:
        assert self.playback is not None
        while True:
            self.playback.advance(self.reactor.seconds())
            if self.playback.ended or not self.playback.playing:
                self.state = "ended"
                return
            await deferLater(self.reactor, max(MIN_SLEEP_S, self.playback.dry_in_s))

    def close(self) -> Deferred[Any]:
        """Close the connections."""
        return self._loader.close()

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """What did not come; see PatientLoader."""
        return self._patient.refusals

    def leave(self) -> Deferred[None]:
        """Say goodbye to who is told how it goes; fires soon."""
        if self.reporter is None:
            return succeed(None)
        return self.reporter.end(self.state, self.playback)

    def report(self) -> dict[str, Any]:
        """How it went so far; see viewer_report."""
        return viewer_report.write(self)


def _cause(error: BaseException) -> BaseException:
    """What went wrong in a loop, out of gatherResults' wrapping."""
    inner = getattr(getattr(error, "subFailure", None), "value", None)
    return inner if isinstance(inner, BaseException) else error


def main(arguments: list[str] | None = None) -> None:
    """Run one viewer; see the module's text."""
    given = options(sys.argv[1:] if arguments is None else arguments)
    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, given)))


async def _run(reactor: Any, given: argparse.Namespace) -> None:
    viewer = Viewer(
        reactor,
        given.url,
        given.id,
        given.buffer,
        tells=given.cmcd,
        heeds=given.cmsd,
        from_first_byte=given.from_first_byte,
        most_bps=given.most,
        verify_against=given.verify_against,
        reporter=Reporter(reactor, given.report_to, Account(given.id)) if given.report_to else None,
    )
    playing = Deferred.fromCoroutine(viewer.play())
    timer = reactor.callLater(given.seconds, playing.cancel) if given.seconds else None
    reactor.addSystemEventTrigger("before", "shutdown", _write, viewer, given.json)
    reactor.addSystemEventTrigger("before", "shutdown", viewer.leave)
    status = 0
    try:
        await playing
    except CancelledError:
        viewer.state = "paused"
    except Exception as error:
        viewer.state, viewer.error = "failed", str(error) or repr(error)
        print(f"viewer {given.id}: {viewer.error}", file=sys.stderr)
        status = 3 if viewer.false_bytes else 1
    if timer is not None and timer.active():
        timer.cancel()
    await viewer.close()
    if status:
        raise SystemExit(status)


def _write(viewer: Viewer, file: Path | None) -> None:
    text = json.dumps(viewer.report(), indent=1)
    if file is None:
        print(text)
        return
    draft = file.with_name(f".{file.name}.tmp")
    draft.write_text(text)
    draft.replace(file)


if __name__ == "__main__":
    main()
