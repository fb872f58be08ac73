"""A part of an open file as a response's body, read as fast as the client takes it.

`FileBody` lets the kernel send (dashp2p.web.sendfile). What the kernel does not, since the
connection or the size does not suit it, is read in chunks that are written to the request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dashp2p.web.limits import FILE_CHUNK_BYTES
from dashp2p.web.sendfile import SocketSender, socket_sender

log = Logger()


@frozen
class Sent:
    """How a body ended. Not `whole`: the client left, or the file changed and we aborted."""

    sent_bytes: int
    """Handed to the connection; the last of them may not have reached the client."""
    whole: bool


def send_file(
    request: Request,
    descriptor: int,
    first: int,
    size_bytes: int,
    *,
    unchanged: Callable[[], bool] = lambda: True,
) -> Deferred[Sent]:
    """Write `size_bytes` from offset `first` of an open file as the body of `request`.

    The caller has set the headers (Content-Length too), keeps the descriptor open until the
    Deferred fires, and then finishes the request if the body is whole. `unchanged` is asked before
    the last bytes go out: a file that was written to in the meantime makes a torn response, and
    the client must not take it for a whole one. The Deferred never fails; cancelling it stops.
    """
    return FileBody(request, descriptor, first, size_bytes, unchanged).start()


@implementer(IPushProducer)
class FileBody:
    """Sends by the kernel, then reads and writes one chunk after another, until the transport is
    full or all is out.

    Reads block, for at most a chunk: files are served in the order in which they were written or
    fetched, and are in the page cache or read ahead.
    """

    def __init__(
        self,
        request: Request,
        descriptor: int,
        first: int,
        size_bytes: int,
        unchanged: Callable[[], bool],
    ) -> None:
        self._request = request
        self._descriptor = descriptor
        self._offset = first
        self._left_bytes = size_bytes
        self._sent_bytes = 0
        self._unchanged = unchanged
        self._paused = False
        self._writing = False
        self._registered = False
        self._sender: SocketSender | None = None
        self._done: Deferred[Sent] | None = Deferred(lambda _: self._end(whole=False))

    def start(self) -> Deferred[Sent]:
        """Begin; the Deferred fires once."""
        done = self._done
        assert done is not None, "a body starts once"
        if self._request.channel is None:
            self._end(whole=False)
            return done
        self._request.notifyFinish().addErrback(self._client_left)
        self._request.registerProducer(self, True)
        self._registered = True
        self._sender = socket_sender(
            self._request,
            lambda: self._descriptor,
            self._offset,
            self._left_bytes,
            unchanged=self._unchanged,
            ended=self._kernel_sent,
        )
        self.resumeProducing()
        return done

    def _kernel_sent(self, size_bytes: int) -> None:
        self._sender = None
        self._count(size_bytes)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport takes more."""
        self._paused = False
        if self._writing or self._sender is not None:
            return  # called from our own write: the loop below goes on; or the kernel sends
        self._writing = True
        try:
            while not self._paused and self._done is not None:
                self._write_chunk()
        finally:
            self._writing = False

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._end(whole=False)

    def _client_left(self, reason: Failure) -> None:
        self._end(whole=False)

    def _write_chunk(self) -> None:
        if not self._left_bytes:
            self._end(whole=True)
            return
        try:
            data = os.pread(self._descriptor, min(self._left_bytes, FILE_CHUNK_BYTES), self._offset)
        except OSError:
            log.failure("a file cannot be read any more")
            data = b""
        is_last = len(data) == self._left_bytes
        if not data or (is_last and not self._unchanged()):
            log.warn("a file changed while it was sent: the response is aborted")
            self._abort()
            return
        self._count(len(data))
        self._request.write(data)

    def _count(self, size_bytes: int) -> None:
        self._offset += size_bytes
        self._left_bytes -= size_bytes
        self._sent_bytes += size_bytes

    def _abort(self) -> None:
        request = self._request
        self._end(whole=False)
        abort(request)

    def _end(self, *, whole: bool) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        if self._sender is not None:
            self._count(self._sender.stop())
            self._sender = None
        if self._registered and self._request.channel is not None:
            self._request.unregisterProducer()
        if not done.called:
            done.callback(Sent(self._sent_bytes, whole))


def abort(request: Request) -> None:
    """Drop the request's connection, for its response cannot be completed."""
    channel = request.channel
    if channel is not None:
        transport: Any = channel.transport
        transport.abortConnection()
