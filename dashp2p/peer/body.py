"""A segment as a response's body: streamed as verified blocks come, no faster than it is read."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dashp2p.content.entry import Entry
from dashp2p.peer.engine import Engine
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.limits import PLAYER_CHUNK_BYTES
from dashp2p.peer.pace import Pace
from dashp2p.store.errors import StoreError
from dashp2p.store.reader import Reader
from dashp2p.web.sendfile import SocketSender, socket_sender

log = Logger()


@implementer(IPushProducer)
class SegmentBody:
    """Writes bytes `first` to `first + size_bytes - 1` of a segment.

    `done` fires with True when all of them were written, False when the player left (cancelling it
    says that he did), and fails with DeliveryFailed when the segment cannot be had. Nothing is
    written before the first bytes are here, so that the caller can still answer with an error. What
    is in a file of the cache, the kernel sends (dashp2p.web.sendfile), unless it goes at a pace.
    """

    def __init__(
        self,
        request: Request,
        engine: Engine,
        entry: Entry,
        first: int,
        size_bytes: int,
    ) -> None:
        self.done: Deferred[bool] = Deferred(lambda _: self._end(False))
        self.sent_bytes = 0
        self._request = request
        self._engine = engine
        self._entry = entry
        self._offset = first
        self._left = size_bytes
        self._incoming: Incoming | None = None
        self._deadline_s = 0.0
        self._lost_once = False
        self._paused = False
        self._writing = False
        self._registered = False
        self._reader: Reader | None = None
        self._sender: SocketSender | None = None
        self._pace: Pace | None = None
        self._ready_bytes = 0
        """What lay ready when it began."""
        self._timer: IDelayedCall | None = None

    def start(self, deadline_s: float, pace_bps: float | None = None) -> bool:
        """Begin. True: the segment was here already. What lies ready goes at `pace_bps`, if that is
        given; what comes later goes as it comes."""
        self._ready_bytes = self._engine.readable_bytes(self._entry, self._offset)
        if pace_bps is not None and self._ready_bytes:
            self._pace = Pace(pace_bps, self._engine.now)
        self._request.notifyFinish().addErrback(self._player_left)
        self._deadline_s = deadline_s
        self._incoming = self._engine.want(self._entry, deadline_s, self._more)
        was_here = self._incoming is None
        if was_here and self._pace is None:
            self._send_file()
        self._more()
        return was_here

    def _send_file(self) -> None:
        """Let the kernel send, where the segment is in a file and the connection allows it."""
        if self._request.channel is None:
            return
        try:
            self._reader = self._engine.open(self._entry)
        except StoreError as error:
            self._lost(error)
            return
        if self._reader is None:
            return
        self._sender = socket_sender(
            self._request,
            self._reader.fileno,
            self._offset,
            self._left,
            unchanged=self._reader.unchanged,
            ended=self._file_sent,
        )
        if self._sender is None:
            self._close_file()
        else:
            self._register()

    def _file_sent(self, size_bytes: int) -> None:
        self._sender = None
        self._close_file()
        self._count(size_bytes)
        self._write()

    def _close_file(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def pauseProducing(self) -> None:
        """The player does not keep up."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The player reads on."""
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        """The connection is gone; notifyFinish tells."""
        self._paused = True

    def _more(self) -> None:
        if self._incoming is not None and self._incoming.failed is not None:
            self._end(Failure(DeliveryFailed(self._incoming.failed)))
        else:
            self._write()

    def _write(self) -> None:
        if self._writing or self._sender is not None or self.done.called:
            return
        self._writing = True
        try:
            while not self._paused and self._left and not self.done.called:
                if not self._write_chunk():
                    return
            if not self._left:
                self._end(True)
        finally:
            self._writing = False

    def _write_chunk(self) -> bool:
        readable = self._engine.readable_bytes(self._entry, self._offset)
        size = min(readable, self._left, PLAYER_CHUNK_BYTES)
        if size > 0 and self._pace is not None:
            size = min(size, self._allowed_bytes(self._pace, readable))
        if size <= 0:
            return False
        try:
            data = self._engine.read(self._entry, self._offset, size)
        except StoreError as error:
            self._lost(error)
            return False
        self._register()
        self._count(size)
        self._request.write(data)
        return True

    def _allowed_bytes(self, pace: Pace, readable: int) -> int:
        """How many bytes may go now; if none, it goes on by itself when some may."""
        if self._timer is not None:
            return 0
        now = self._engine.now
        came_bytes = self.sent_bytes + readable - self._ready_bytes
        allowed_bytes = pace.allowed_bytes(now) + came_bytes - self.sent_bytes
        if allowed_bytes <= 0:
            wait_s = pace.wait_s(self.sent_bytes + self._left, now)
            self._timer = self._engine.call_later(wait_s, self._go_on)
        return allowed_bytes

    def _go_on(self) -> None:
        self._timer = None
        self._write()

    def _register(self) -> None:
        if not self._registered:
            self._registered = True
            self._request.registerProducer(self, True)

    def _count(self, size_bytes: int) -> None:
        self._offset += size_bytes
        self._left -= size_bytes
        self.sent_bytes += size_bytes

    def _lost(self, error: StoreError) -> None:
        """What was here is not any more (damaged on disk, say): get it anew, once."""
        log.warn("{path} is not readable: {why}", path=self._entry.path, why=str(error))
        if self._lost_once or self._incoming is not None:
            self._end(Failure(DeliveryFailed(str(error))))
            return
        self._lost_once = True
        try:
            self._incoming = self._engine.want(self._entry, self._deadline_s, self._more)
        except StoreError as again:
            self._end(Failure(DeliveryFailed(str(again))))

    def _player_left(self, reason: Failure) -> None:
        self._end(False)

    def _end(self, result: bool | Failure) -> None:
        if self.done.called:
            return
        if self._sender is not None:
            self._count(self._sender.stop())
            self._sender = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_file()
        if self._registered:
            self._registered = False
            if self._request.channel is not None:
                self._request.unregisterProducer()
        done = self.done
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)
        if self._incoming is not None:
            self._engine.unwant(self._incoming, self._more)


class DeliveryFailed(Exception):
    """Neither the origin nor any neighbour has it."""
