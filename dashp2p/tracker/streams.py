"""GET /live: the dashboard's figures, pushed as server-sent events, or asked for one by one.

A stream begins with a document that holds the last hour and goes on with one each two seconds
(WHATWG HTML, 9.2). Who cannot have a stream (too many from one address) gets 503 and asks for
/live?once=1 instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dashp2p.tracker import limits
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.live import Live
from dashp2p.web.addresses import address_group

SEND_EVERY_S = 2.0
WATCHED_FOR_S = 3 * SEND_EVERY_S
"""After a page asked once: it will ask again sooner than that."""
RETRY_MS = 3000

log = Logger()


@implementer(IPushProducer)
@define(eq=False)
class Stream:
    """One page that listens. What comes while it does not read is left out, not kept."""

    request: Request
    swarm: bytes | None
    site: str
    ended: Callable[[Stream], None]
    has_history: bool = False
    _paused: bool = False

    @property
    def reads(self) -> bool:
        return not self._paused

    def begin(self) -> None:
        request = self.request
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-store")
        request.registerProducer(self, True)
        request.notifyFinish().addErrback(self._gone)
        request.write(b"retry: %d\n\n" % RETRY_MS)

    def send(self, body: bytes) -> None:
        """One document in JSON."""
        self.request.write(b"data: " + body + b"\n\n")

    def end(self) -> None:
        """The tracker stops."""
        self.ended(self)
        self.request.unregisterProducer()
        self.request.finish()

    def _gone(self, _: Failure) -> None:
        self.ended(self)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False

    def stopProducing(self) -> None:
        self.ended(self)


@define(eq=False)
class Streams:
    """All pages that listen. Call `tick` each SEND_EVERY_S."""

    live: Live
    refused: int = field(default=0, init=False)
    """Streams not begun, being too many."""
    _streams: dict[Stream, None] = field(factory=dict, init=False)
    _by_site: Counter[str] = field(factory=Counter, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)
    _remembered_at: float = field(default=float("-inf"), init=False)

    def __len__(self) -> int:
        return len(self._streams)

    async def once(self, swarm: bytes | None, with_history: bool) -> bytes:
        """For a page that asks by itself."""
        self._asked_at = self.live.api.seconds()
        await self._hurry_peers()
        return as_json(await self.live.document(swarm, with_history))

    async def begin(self, request: Request, swarm: bytes | None) -> None:
        """Answer with a stream. Raises Refused."""
        site = address_group(request.getClientAddress())
        crowded = self._by_site[site] >= limits.MAX_STREAMS_PER_ADDRESS
        if crowded or len(self._streams) >= limits.MAX_STREAMS:
            self.refused += 1
            raise Refused("too many pages listen: ask for /live?once=1 instead", 503)
        stream = Stream(request, swarm, site, self._ended)
        self._streams[stream] = None
        self._by_site[site] += 1
        stream.begin()
        await self._hurry_peers()
        await self._send([stream])

    def _ended(self, stream: Stream) -> None:
        if self._streams.pop(stream, stream) is stream:
            return  # told before
        self._by_site[stream.site] -= 1
        if not self._by_site[stream.site]:
            del self._by_site[stream.site]

    async def tick(self) -> None:
        """Send every page its figures, and remember them now and then."""
        now = self.live.api.seconds()
        if now - self._remembered_at >= limits.HISTORY_EVERY_S:
            self._remembered_at = now
            await self.live.remember()
        await self._hurry_peers()
        by_swarm: dict[bytes | None, list[Stream]] = {}
        for stream in self._streams:
            by_swarm.setdefault(stream.swarm, []).append(stream)
        for streams in by_swarm.values():
            for had in (False, True):
                await self._send([one for one in streams if one.has_history is had])

    async def _send(self, streams: list[Stream]) -> None:
        """The same to each; all show one swarm, and all have the last hour, or none has."""
        reading = [stream for stream in streams if stream.reads]
        if not reading:
            return
        first = reading[0]
        body = as_json(await self.live.document(first.swarm, not first.has_history))
        for stream in reading:
            if stream in self._streams:  # it may have gone meanwhile
                stream.has_history = True
                stream.send(body)

    async def _hurry_peers(self) -> None:
        """Have peers announce themselves more often while somebody looks."""
        api = self.live.api
        now = api.seconds()
        if not self._streams and now - self._asked_at > WATCHED_FOR_S:
            api.watched_interval_s = None
            return
        peers = sum(swarm.peers for swarm in await api.registry.swarms(now))
        api.watched_interval_s = max(
            limits.WATCHED_INTERVAL_S, peers / limits.WATCHED_ANNOUNCES_PER_S
        )

    def stop(self) -> None:
        """End every stream."""
        for stream in list(self._streams):
            stream.end()


def as_json(document: dict[str, object]) -> bytes:
    """On one line, as a server-sent event needs it."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def send_all(streams: Streams) -> Deferred[None]:
    """A tick, for a timer: an error must not end the ticks."""
    ticking = Deferred.fromCoroutine(streams.tick())
    return ticking.addErrback(lambda why: log.failure("the dashboard's figures failed", why))
