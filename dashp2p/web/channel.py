# ruff: noqa: N802  # Twisted's names
"""One HTTP connection, bounded: twisted.web's channel with the deadlines and caps it lacks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.http_headers import Headers

from dashp2p.web.limits import MAX_DISCARDED_BYTES, MAX_PIPELINED_PIECES
from dashp2p.web.patience import Patience
from dashp2p.web.unsent import unsent_bytes

if TYPE_CHECKING:
    from dashp2p.web.site import BoundedSite


class BoundedChannel(HTTPChannel):
    """Refuses what is too large before it is kept, and gives up who is too slow.

    A refusal is a whole HTTP answer with `Connection: close` and a JSON sentence; nothing that
    comes after it is looked at. Where the transport can, we close our half and read on for a
    moment, for a socket closed over unread bytes is reset, and the client would never see why.
    """

    site: BoundedSite
    transport: Any  # ITransport, and of tests' and TLS' kinds
    _refused = False
    _discarded_bytes = 0
    _held: Request | None = None
    """Answered, but not taken by the client: the next request waits until it is."""
    counted_under: str | None = None
    """The address group under which the site counts this connection; None when exempt."""

    def connectionMade(self) -> None:
        limits = self.site.limits
        self.maxHeaders = limits.header_count
        self.totalHeadersSize = self.MAX_LENGTH = limits.header_bytes
        self.timeOut = None  # Twisted's idle timer, which every byte resets, stays off
        self._patience = Patience(
            self.site.reactor,
            limits,
            unsent=lambda: unsent_bytes(self.transport),
            late=self._late,
            close=self.close,
            give_up=self.abort,
        )
        HTTPChannel.connectionMade(self)
        self._patience.idle()
        self.site.connected(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._patience.over()
        self.site.disconnected(self)
        HTTPChannel.connectionLost(self, reason)

    @property
    def answering(self) -> bool:
        """Whether a request is being answered."""
        return bool(self._handlingRequest)

    def close(self) -> None:
        """Close when the client has taken what was written."""
        self._patience.closing()
        HTTPChannel.loseConnection(self)

    def abort(self) -> None:
        """Close at once, and let the client see that the response is not whole."""
        self.transport.abortConnection()

    def refuse(self, code: int, message: str) -> None:
        """Answer the request that is being received with an error, and end the connection."""
        if self._refused:
            return
        self._refused = True
        phrase = HTTPStatus(code).phrase
        body = json.dumps({"v": 1, "error": message}).encode() + b"\n"
        head = (
            f"HTTP/1.1 {code} {phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._patience.wrote(len(head) + len(body))
        self.transport.writeSequence([head.encode("ascii"), body])
        HTTPChannel.clearLineBuffer(self)
        self._dataBuffer = []
        if ITCPTransport.providedBy(self.transport) and not HTTPChannel.isSecure(self):
            self._patience.lingering()
            self.transport.loseWriteConnection()
        else:
            self.close()

    def _late(self) -> None:
        self.refuse(408, f"the request did not come within {self.site.limits.receive_s:g} seconds")

    # What comes in.

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.abort()
            return
        if not self._handlingRequest:
            self._patience.receiving()
        HTTPChannel.dataReceived(self, data)
        if self._buffer and not self._handlingRequest:
            self._patience.receiving()  # read along with the last request: the start of another

    def rawDataReceived(self, data: bytes) -> None:
        if len(self._dataBuffer) >= MAX_PIPELINED_PIECES:
            # Twisted sums over the pieces with each one: thousands of tiny ones would be quadratic.
            self._dataBuffer = [b"".join(self._dataBuffer)]
        HTTPChannel.rawDataReceived(self, data)
        if sum(map(len, self._dataBuffer)) > self._optimisticEagerReadSize:
            # Twisted stops reading here too, but not while the transport is full: who read no
            # response could then send us without end. requestDone starts reading again.
            self._networkProducer.pauseProducing()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(431, f"request line and headers may take {self.totalHeadersSize} bytes")

    def headerReceived(self, line: bytes) -> bool:
        if self._refused:
            return False
        if self._receivedHeaderCount >= self.maxHeaders:
            self.refuse(431, f"a request may have {self.maxHeaders} headers")
            return False
        return bool(HTTPChannel.headerReceived(self, line))

    def allHeadersReceived(self) -> None:
        if self._refused:
            return
        limit = self.site.limits.body_bytes
        if self.length is not None and self.length > limit:
            # Before Twisted makes a place for the body, and before it says '100 Continue'.
            self.refuse(413, f"a request's body may have {limit} bytes")
            return
        HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:
        if self._refused:
            return
        self._patience.answering()
        HTTPChannel.allContentReceived(self)

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize:
            self.lineLengthExceeded(b"")
        else:
            self.refuse(400, "this is not a request in HTTP/1.1")

    # What goes out.

    def requestDone(self, request: Request) -> None:
        if self._waitingForTransport and self.persistent:
            # Twisted would go on to the next request. With thousands of them in one packet, the
            # responses to a client that reads none would pile up in memory.
            self._held = request
        elif self.persistent and not self.site.stopping:
            self._patience.idle()
            HTTPChannel.requestDone(self, request)
        else:
            self.persistent = False
            self._patience.closing()
            HTTPChannel.requestDone(self, request)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        # Twisted hands over some fifty pieces, and looks at each of them.
        lines = [b"%b %b %b" % (version, code, reason)]
        for name, values in headers.getAllRawHeaders():
            lines += [b"%b: %b" % (name, value) for value in values]
        self.write(b"\r\n".join([*lines, b"", b""]))

    def write(self, data: bytes) -> None:
        self._patience.wrote(len(data))
        HTTPChannel.write(self, data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        pieces = list(iovec)
        self._patience.wrote(sum(map(len, pieces)))
        HTTPChannel.writeSequence(self, pieces)

    def sent_beside(self, size_bytes: int) -> None:
        """Bytes went to the socket without passing through the transport."""
        self._patience.wrote(size_bytes)

    def pauseProducing(self) -> None:
        self._patience.paused()
        HTTPChannel.pauseProducing(self)

    def resumeProducing(self) -> None:
        self._patience.resumed()
        HTTPChannel.resumeProducing(self)
        held, self._held = self._held, None
        if held is not None:
            self.requestDone(held)
