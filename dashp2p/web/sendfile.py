# ruff: noqa: N802  # Twisted's names
"""Bytes of an open file on their way to a client without passing through this process.

The kernel's sendfile copies from the page cache to the socket; reading a file and handing the bytes
to the transport costs three times the CPU time (benchmarks/reserve.py). It is for plain TCP on a
reactor that watches descriptors; elsewhere (TLS, Windows) `socket_sender` answers None and the
caller writes bytes as ever.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IWriteDescriptor
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dashp2p.web.limits import MIN_SENDFILE_BYTES, SENDFILE_TURN_BYTES
from dashp2p.web.request import BoundedRequest
from dashp2p.web.unsent import buffered_bytes


def socket_sender(
    request: Request,
    fileno: Callable[[], int],
    first: int,
    size_bytes: int,
    *,
    unchanged: Callable[[], bool],
    ended: Callable[[int], None],
) -> SocketSender | None:
    """Begin to send from offset `first` of the open file `fileno()` as the body of `request`.

    `unchanged` is asked before each turn, so that a client never takes a torn response for a whole
    one. `ended` is called once with the bytes that were sent, fewer than `size_bytes` where the
    file, the system or the connection did not allow more; never from within this call, and not
    after `stop`. The caller keeps the file open and writes nothing meanwhile, and stops the sender
    when the request ends early. None: not on this connection, or not worth it.
    """
    if size_bytes < MIN_SENDFILE_BYTES or not isinstance(request, BoundedRequest):
        return None
    channel = request.channel
    if channel is None or channel.isSecure() or not hasattr(os, "sendfile"):
        return None
    reactor, handle = channel.site.reactor, getattr(channel.transport, "getHandle", None)
    if handle is None or not IReactorFDSet.providedBy(reactor):
        return None
    connection = handle()
    if not isinstance(connection, socket.socket) or buffered_bytes(channel.transport) is None:
        return None
    request.write(b"")  # the headers go first, by the transport
    return SocketSender(request, reactor, connection, fileno(), first, size_bytes, unchanged, ended)


@implementer(IWriteDescriptor)
class SocketSender:
    """Sends whenever the socket takes more, through a second descriptor of it.

    The transport keeps its own: it still reads, and notices when the client leaves. While anything
    waits in the transport, that goes first.
    """

    def __init__(
        self,
        request: BoundedRequest,
        reactor: Any,
        connection: socket.socket,
        descriptor: int,
        first: int,
        size_bytes: int,
        unchanged: Callable[[], bool],
        ended: Callable[[int], None],
    ) -> None:
        self._request = request
        self._transport = request.channel.transport
        self._reactor = reactor
        self._file = descriptor
        self._offset = first
        self._left_bytes = size_bytes
        self._sent_bytes = 0
        self._unchanged = unchanged
        self._ended: Callable[[int], None] | None = ended
        self._socket = os.dup(connection.fileno())
        reactor.addWriter(self)

    def fileno(self) -> int:
        """The second descriptor; -1 once it is closed."""
        return self._socket

    def logPrefix(self) -> str:
        """For the log."""
        return "sendfile"

    def doWrite(self) -> None:
        """The socket takes more: give it some, and then others their turn."""
        if buffered_bytes(self._transport):
            return
        sent_bytes = self._send() if self._unchanged() else 0
        if sent_bytes is None:
            return
        self._offset += sent_bytes
        self._left_bytes -= sent_bytes
        self._sent_bytes += sent_bytes
        self._request.sent_beside(sent_bytes)
        if not sent_bytes or not self._left_bytes:
            self._end()

    def _send(self) -> int | None:
        """How many bytes went, 0 when no more will; None: the socket is full after all."""
        size_bytes = min(self._left_bytes, SENDFILE_TURN_BYTES)
        try:
            return os.sendfile(self._socket, self._file, self._offset, size_bytes)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            # A file system without sendfile, a disk that fails, a client that has left: the caller
            # meets all of them again when it goes on by itself, and knows what each means.
            return 0

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the connection gone; the transport tells its owner."""
        self._end()

    def stop(self) -> int:
        """Send no more, and tell nobody but the caller how many bytes were sent."""
        self._ended = None
        self._close()
        return self._sent_bytes

    def _end(self) -> None:
        self._close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._sent_bytes)

    def _close(self) -> None:
        if self._socket >= 0:
            self._reactor.removeWriter(self)
            os.close(self._socket)
            self._socket = -1
