"""/dash/...: what players ask for, from cache, swarm or origin, with the origin's manners."""

from __future__ import annotations

from urllib.parse import unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import AlreadyCalled
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from dashp2p.content.entry import Entry, Kind
from dashp2p.content.index import path_is_safe
from dashp2p.peer.body import DeliveryFailed, SegmentBody
from dashp2p.peer.engine import Engine
from dashp2p.peer.foresight import Foresight, Given, named_next
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.limits import INDEX_WAIT_S, MAX_PATH_CHARS
from dashp2p.peer.origin_client import OriginClient
from dashp2p.peer.presentation import Presentation
from dashp2p.peer.relay import pass_through
from dashp2p.peer.sessions import Session, Sessions
from dashp2p.store.errors import StoreError
from dashp2p.swarm.players import Hints
from dashp2p.web.cmcd import Cmcd, cmcd_of
from dashp2p.web.cmsd import cmsd_dynamic, set_cmsd
from dashp2p.web.conditional import select
from dashp2p.web.cors import CorsPolicy
from dashp2p.web.json import error_body
from dashp2p.web.media_types import media_type_of

log = Logger()

MEDIA = ("video", "audio")


class DashResource(Resource):
    """Every path below /dash/."""

    isLeaf = True

    def __init__(
        self,
        engine: Engine,
        presentation: Presentation,
        origin: OriginClient,
        sessions: Sessions,
        foresight: Foresight,
        cors: CorsPolicy,
        clock: IReactorTime,
        unsigned: bool = True,
    ) -> None:
        Resource.__init__(self)
        self._engine = engine
        self._presentation = presentation
        self._origin = origin
        self._sessions = sessions
        self._advice = foresight.advice
        self._cors = cors
        self._clock = clock
        self._unsigned = unsigned
        self._foresight = foresight
        engine.completed.append(self._completed)

    def render(self, request: Request) -> bytes | int:
        if request.method == b"OPTIONS":
            return self._cors.preflight(request)
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"Allow", b"GET, HEAD, OPTIONS")
            return error_body(request, 405, "use GET or HEAD")
        if not self._cors.apply(request):
            return error_body(
                request, 403, "pages of that site may not use this peer; --allow-origin adds it"
            )
        path = self._path_of(request)
        if path is None:
            return error_body(request, 404, "there is no such file")
        work = Deferred.fromCoroutine(self._answer(request, path))
        request.notifyFinish().addErrback(lambda reason: _cancel(work))
        work.addErrback(self._failed, request)
        return NOT_DONE_YET

    def _path_of(self, request: Request) -> str | None:
        try:
            path = unquote(b"/".join(request.postpath or []).decode("ascii"), errors="strict")
        except UnicodeDecodeError:
            return None
        return path if len(path) <= MAX_PATH_CHARS and path_is_safe(path) else None

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError):
            return
        log.failure("a player's request failed", failure=failure)
        if request.channel is not None and not request.finished:
            if request.startedWriting:
                request.loseConnection()
            else:
                request.write(error_body(request, 500, "this peer failed; its log says why"))
                request.finish()

    async def _answer(self, request: Request, path: str) -> None:
        if self._presentation.mode == "starting":
            settled = self._presentation.settled()
            settled.addTimeout(INDEX_WAIT_S, self._clock, onTimeoutCancel=lambda *_: None)
            await settled
        index = self._presentation.index
        entry = None if index is None else index.by_path(path)
        if entry is None and not self._unsigned:
            self._unproven(request, index is not None)
            return
        if entry is None:
            size = await pass_through(request, self._origin, path)
            self._engine.records.origin_bytes += size
            self._engine.records.delivered_bytes += size
            return
        await self._serve(request, entry)

    def _unproven(self, request: Request, indexed: bool) -> None:
        """Without an index another try may have one, with one this file will not be in it soon."""
        if indexed:
            body = error_body(request, 404, "the origin's index has no such file (--unsigned)")
        else:
            request.setHeader(b"Retry-After", b"2")
            why = self._presentation.message or "the index is not here yet"
            body = error_body(request, 503, f"nothing unproven is handed on (--unsigned). {why}")
        request.write(body)
        request.finish()

    # --- segments ---------------------------------------------------------------------------

    async def _serve(self, request: Request, entry: Entry) -> None:
        request.setHeader(b"Content-Type", media_type_of(entry.path).encode("ascii"))
        request.setHeader(b"Cache-Control", b"no-cache")
        cmcd = cmcd_of(request)
        kind = self._engine.kind_of(entry)
        session = self._session_of(request, cmcd, entry) if kind in MEDIA else None
        if session is None and cmcd.session_id is not None:
            self._sessions.asked(cmcd.session_id, self._clock.seconds())
        selection = select(request, entry.digest.hex()[:32], entry.size_bytes)
        if kind in MEDIA:
            self._advise(request, entry)
        if request.method == b"HEAD" or selection.code not in (200, 206):
            request.finish()
            return
        deadline_s = self._deadline(session, entry, kind, cmcd)
        given = self._given(request, session, entry, kind, cmcd, deadline_s)
        body = SegmentBody(request, self._engine, entry, selection.first, selection.size_bytes)
        pace_bps = self._pace_bps(session, entry, kind, cmcd, deadline_s)
        try:
            with self._engine.together():
                was_here = body.start(deadline_s, pace_bps)
                if not was_here:
                    self._foresee(entry)
                if was_here and given is not None:
                    self._foresight.segment_here(given, self._clock.seconds())
            whole = await body.done
        except (DeliveryFailed, StoreError) as error:
            self._unavailable(request, entry, str(error))
            whole = False
        else:
            self._account(entry, body.sent_bytes, was_here)
        now = self._clock.seconds()
        if session is not None and whole:
            session.player.delivered(entry, kind, now)
        elif session is not None:
            session.player.closed(now)
        if session is not None:
            session.ahead.answered(entry)
        if not whole:
            return
        request.finish()
        if was_here:  # he who waits for the manifest goes before what he will ask for then
            self._foresee(entry)
        if given is not None and not was_here and self._engine.is_here(entry):
            self._foresight.segment_here(given, now)

    def _foresee(self, entry: Entry) -> None:
        index = self._presentation.index
        if entry.kind is Kind.MANIFEST and index is not None:
            self._foresight.begin(index, self._clock.seconds())

    def _unavailable(self, request: Request, entry: Entry, why: str) -> None:
        log.warn("{path} cannot be had: {why}", path=entry.path, why=why)
        if request.channel is None:
            return
        if request.startedWriting:
            request.loseConnection()
            return
        for name in (b"Content-Length", b"Content-Range", b"ETag", b"Accept-Ranges"):
            request.responseHeaders.removeHeader(name)
        request.setHeader(b"Retry-After", b"1")
        if self._engine.kind_of(entry) in MEDIA:
            self._advise(request, entry, refused=True)
        body = error_body(request, 503, f"{entry.path} cannot be had now: {why}")
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def _account(self, entry: Entry, sent_bytes: int, was_here: bool) -> None:
        records = self._engine.records
        records.delivered_bytes += sent_bytes
        prefetched = records.asked(entry.path)
        if was_here and not prefetched:
            records.cache_bytes += sent_bytes
            if self._engine.kind_of(entry) == "video":
                self._advice.from_cache(entry.duration_s or 0.0)

    def _session_of(self, request: Request, cmcd: Cmcd, entry: Entry) -> Session:
        sid = cmcd.session_id
        if sid is None:
            agent = request.requestHeaders.getRawHeaders("User-Agent") or [""]
            client = request.getClientAddress()
            sid = self._sessions.nameless(str(getattr(client, "host", "")), agent[0])
        bitrate = self._engine.bitrate_of(entry) if self._engine.kind_of(entry) == "video" else None
        return self._sessions.seen(sid, cmcd, bitrate, self._clock.seconds())

    def _deadline(self, session: Session | None, entry: Entry, kind: str, cmcd: Cmcd) -> float:
        now = self._clock.seconds()
        if session is None:
            return now + self._sessions.policy.start_grace_s
        hints = _hints(cmcd) if cmcd.present else None
        deadline_s = session.player.requested(entry, kind, now, hints)
        self._foresight.asked(session, entry, kind, deadline_s)
        return deadline_s

    def _given(
        self,
        request: Request,
        session: Session | None,
        entry: Entry,
        kind: str,
        cmcd: Cmcd,
        deadline_s: float,
    ) -> Given | None:
        index = self._presentation.index
        if session is None or index is None:
            return None
        root = unquote(b"/".join([b"", *(request.prepath or []), b""]).decode("latin-1"))
        named = named_next(index, cmcd, root, entry.path)
        return Given(session, entry, kind, deadline_s, _hints(cmcd), named)

    def _pace_bps(
        self, session: Session | None, entry: Entry, kind: str, cmcd: Cmcd, deadline_s: float
    ) -> float | None:
        """How fast what is here already goes out; None: at once."""
        if session is None or kind != "video" or not self._sessions.policy.pacing:
            return None
        if cmcd.starved:
            return None
        slack_s = deadline_s - self._clock.seconds()
        return self._advice.pace_bps(entry.size_bytes, entry.duration_s or 0.0, slack_s)

    def _completed(self, entry: Entry, incoming: Incoming) -> None:
        """A segment came over the network: how fast, from when on somebody waited for it."""
        if self._engine.kind_of(entry) != "video":
            return
        hurried = incoming.hurried_at is not None
        since_s = incoming.started_at if incoming.hurried_at is None else incoming.hurried_at
        came_bytes = entry.size_bytes - incoming.hurried_bytes
        self._advice.delivered(came_bytes, self._clock.seconds() - since_s, hurried)

    def _advise(self, request: Request, entry: Entry, refused: bool = False) -> None:
        if not self._sessions.policy.advice:
            return
        reachable_bps = self._engine.reachable_rungs_bps(entry, refused)
        dynamic = cmsd_dynamic(
            "dashp2p",
            throughput_bps=self._advice.sustained_bps,
            max_bitrate_bps=self._advice.max_total_bps(reachable_bps),
        )
        set_cmsd(request, dynamic=dynamic)


def _hints(cmcd: Cmcd) -> Hints:
    return Hints(cmcd.deadline_s, cmcd.buffer_s, cmcd.startup, cmcd.starved)


def _cancel(work: Deferred[None]) -> None:
    try:
        work.cancel()
    except AlreadyCalled:
        log.debug("a request ended just as its player left")
