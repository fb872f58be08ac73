"""One connection to another peer, by TCP or TLS: bytes to the session, its events to the exchange.

Who dialled speaks first. Who was dialled says nothing, not even HELLO, before it has accepted the
other's: a stranger who knocks learns neither the swarm nor our ticket.
"""

from __future__ import annotations

import socket
from typing import Any
from typing import Protocol as Seam

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IPullProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dashp2p.content.keys import peer_id as peer_id_of
from dashp2p.peer.limits import (
    CHEAP_FRAMES_BURST,
    CHEAP_FRAMES_PER_S,
    CLOSE_S,
    DOUBT_PING_S,
    HANDSHAKE_S,
    PING_S,
    SILENCE_S,
    UNSENT_LOW_WATER_BYTES,
    WRITE_QUEUE_BYTES,
)
from dashp2p.peer.link_tls import NOT_TLS, NotProven, proven_key, reasons_of
from dashp2p.swarm.meters import TokenBucket
from dashp2p.wire.doubt import Doubt
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.frames import (
    Data,
    Error,
    Event,
    Frame,
    Hashes,
    Have,
    Hello,
    Ping,
    Pong,
    Reject,
    Request,
)
from dashp2p.wire.session import Session
from dashp2p.wire.states import State

log = Logger()

RECEIVE_BYTES = 256 * 1024
SEND_BYTES = 512 * 1024
"""A frame of 16 blocks leaves in one turn, with what TLS adds; Twisted's 128 KiB make three."""
TLS_RECORDS = (0x15, 0x16)
"""The first byte of a TLS alert or handshake (RFC 8446, 5.1); a preface begins with a D."""


MOVES_BLOCKS = (Data, Hashes, Reject, Request)
"""Answers to what we asked, and what is asked of us: each is bounded by what is outstanding."""


class LinkOwner(Seam):
    """Whom a link reports to."""

    def hello(self) -> Hello: ...
    def have(self) -> Have: ...
    def admits(self, link: Link, hello: Hello) -> Code | None: ...
    def opened(self, link: Link, have: Have) -> None: ...
    def received(self, link: Link, events: list[Event]) -> None: ...
    def ready(self, link: Link) -> None: ...
    def measured(self, link: Link, rtt_s: float) -> None: ...
    def silent(self, link: Link) -> None: ...
    def closed(self, link: Link) -> None: ...
    def mismatched(self, link: Link, theirs: str) -> None: ...


@implementer(IPullProducer, IHandshakeListener)
class Link(Protocol):
    """`expects` is the id of the peer that we dialled, None when the other side called.

    The socket pulls: one frame of data at a time, the next when the last one has left. Over TLS too
    it is the socket below that pulls, since the layer between would ask without end.
    """

    transport: Any
    """TCP, or TLS over it: Twisted has no one interface of what both can do."""

    def __init__(
        self, owner: LinkOwner, clock: IReactorTime, dialled: bool, expects: bytes | None = None
    ) -> None:
        self.session = Session()
        self.dialled = dialled
        self.expects = expects
        self.proven_key: bytes | None = None
        """The key of the other's certificate; None without TLS."""
        self.peer_id = b""
        self.hello: Hello | None = None
        self.is_open = False
        self.is_closed = False
        self._is_lost = False
        self._owner = owner
        self._clock = clock
        self._queued_bytes = 0
        self._producing = False
        self._timer: IDelayedCall | None = None
        self._heard_at = 0.0
        self._pings: dict[int, float] = {}
        self._ping_token = 0
        self._cheap = TokenBucket(CHEAP_FRAMES_PER_S, CHEAP_FRAMES_BURST)
        self._doubt: Doubt | None = None

    # --- the connection ---------------------------------------------------------------------

    def connectionMade(self) -> None:
        self._tune()
        self._heard_at = self._clock.seconds()
        self._timer = self._clock.callLater(HANDSHAKE_S, self._late)
        self._socket.registerProducer(self, False)
        self._producing = True
        if not self._has_tls:
            self._begin()

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's name
        """TLS is up; who is it?"""
        try:
            connection = self.transport.getHandle()
            self.proven_key = proven_key(connection, self.dialled)
        except NotProven as error:
            log.warn("a link is refused: {why}", why=str(error))
            self.abort()
        else:
            self._begin()

    def _begin(self) -> None:
        if self.dialled:
            self.send(self._owner.hello())

    @property
    def _has_tls(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    @property
    def _socket(self) -> Any:
        """The transport that has the socket: below TLS, where there is TLS."""
        return self.transport.transport if self._has_tls else self.transport

    def _tune(self) -> None:
        transport = self._socket
        if not ITCPTransport.providedBy(self._socket):
            return
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        transport.bufferSize = RECEIVE_BYTES
        transport.SEND_LIMIT = SEND_BYTES
        handle = transport.getHandle()
        if isinstance(handle, socket.socket) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LOW_WATER_BYTES)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._producing = False
        self._is_lost = True
        self._stop_timer()
        if not self.is_closed:
            self.is_closed = True
            if self._has_tls and self.proven_key is None and isinstance(reason.value, SSL.Error):
                self._tell_failed_handshake(reasons_of(reason.value))
            elif self.dialled and not self._has_tls and self.session.version is None:
                # Hung up without a word: so does OpenSSL to whom it does not understand.
                self._owner.mismatched(self, "perhaps TLS")
        self._owner.closed(self)

    def _tell_failed_handshake(self, reasons: list[str]) -> None:
        if NOT_TLS.intersection(reasons):
            self._owner.mismatched(self, "no TLS")
        else:
            log.info("a TLS handshake failed: {why}", why=", ".join(reasons))

    def close(self, code: Code | None = None, text: str = "") -> None:
        """End the link, with a reason if there is one; what is queued may still leave."""
        if self.is_closed:
            return
        self.is_closed = True
        self._stop_timer()
        if code is not None:
            try:
                self.session.send(Error(int(code), text))
            except LocalProtocolError:
                log.debug("link to {peer} closed before it could be told", peer=self.name)
            self._flush()
        self._unregister()
        self.transport.loseConnection()
        self._timer = self._clock.callLater(CLOSE_S, self._abort)

    def abort(self) -> None:
        """Cut the link at once."""
        self.is_closed = True
        self._stop_timer()
        self._abort()

    def _abort(self) -> None:
        self._timer = None
        if self._is_lost:
            return
        self._unregister()
        self.transport.abortConnection()

    def _unregister(self) -> None:
        if self._producing:
            self._producing = False
            self._socket.unregisterProducer()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    @property
    def name(self) -> str:
        """The other side's id, shortened: for logs."""
        return self.peer_id.hex()[:12] or "?"

    @property
    def address(self) -> str:
        """The other side's host, for limits by address; never logged."""
        return str(getattr(self.transport.getPeer(), "host", ""))

    @property
    def quiet_s(self) -> float:
        """How long nothing has come."""
        return self._clock.seconds() - self._heard_at

    # --- sending ----------------------------------------------------------------------------

    def send(self, frame: Frame) -> int | None:
        """Send a frame; for a Request its id. Raises LocalProtocolError as the session does.

        Does nothing on a link that is over: what came in the packet that ended it may still be
        dealt with, and whoever does so need not know.
        """
        if self.is_closed or self.session.state is State.CLOSED:
            return None
        request_id = self.session.send(frame)
        if isinstance(frame, Reject):
            self._cheap.spend(1, self._clock.seconds())
        self._flush()
        return request_id

    def _flush(self) -> None:
        parts = self.session.data_to_send()
        if not parts:
            return
        self._queued_bytes += sum(map(len, parts))
        self.transport.writeSequence(parts)
        if self._queued_bytes > WRITE_QUEUE_BYTES and not self.is_closed:
            log.warn("link to {peer} dropped: it does not read", peer=self.name)
            self.abort()

    def resumeProducing(self) -> None:
        """The transport has taken everything: there is room for the next frame of data."""
        self._queued_bytes = 0
        if self._socket.disconnecting:
            # TLS has said goodbye, and the socket closes once nobody produces for it any more.
            self._unregister()
            return
        if self.is_open and not self.is_closed:
            self._owner.ready(self)

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""
        self._producing = False

    # --- receiving --------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self.is_closed:
            return
        self._heard_at = now = self._clock.seconds()
        known = self.session.frames_received
        try:
            events = self.session.receive_data(data)
        except ProtocolError as error:
            if self.session.version is None and data[0] in TLS_RECORDS and not self._has_tls:
                self._owner.mismatched(self, "TLS")
            log.warn("link to {peer} broke the protocol: {why}", peer=self.name, why=error.text)
            self._take(list(error.events))
            self._flush()
            self.close()
            return
        moving = sum(isinstance(event, MOVES_BLOCKS) for event in events)
        cheap = self.session.frames_received - known - moving
        if cheap and not self._cheap.take(cheap, now):
            log.warn("link to {peer} dropped: it floods us with frames", peer=self.name)
            self.close(Code.RATE_LIMITED, "a flood of frames")
            return
        self._take(events)
        self._flush()

    def _take(self, events: list[Event]) -> None:
        later: list[Event] = []
        for event in events:
            if self.is_closed:
                return
            if self.is_open:
                later.append(event)
            else:
                self._greet(event)
        if later:
            self._serve(later)

    def _greet(self, event: Event) -> None:
        if isinstance(event, Hello):
            self.peer_id = peer_id_of(event.public_key)
            self.hello = event
            refusal = self._refusal(event)
            if refusal is not None:
                self.close(refusal)
                return
            if not self.dialled:
                self.send(self._owner.hello())
            self.send(self._owner.have())
        elif isinstance(event, Have):
            self.is_open = True
            self._stop_timer()
            self._timer = self._clock.callLater(0, self._ping)
            self._owner.opened(self, event)
        elif isinstance(event, Error):
            self.close()

    def _refusal(self, hello: Hello) -> Code | None:
        if self.proven_key is not None and hello.public_key != self.proven_key:
            log.warn("a link is refused: HELLO has another key than the certificate")
            return Code.UNAUTHORISED
        if self.expects is not None and self.peer_id != self.expects:
            log.info("a link is refused: {peer} is not whom we dialled", peer=self.name)
            return Code.UNAUTHORISED
        return self._owner.admits(self, hello)

    def _serve(self, events: list[Event]) -> None:
        passed: list[Event] = []
        ponged = False
        for event in events:
            if isinstance(event, Pong):
                sent_at = self._pings.pop(event.token, None)
                if sent_at is not None:
                    ponged = True
                    self._owner.measured(self, self._clock.seconds() - sent_at)
            elif isinstance(event, Error):
                # In quotes, escaped: it is a stranger's text, on somebody's terminal.
                log.info("link to {peer} closed there: {why!r}", peer=self.name, why=event.text)
                self._owner.received(self, passed)
                self.close()
                return
            elif not isinstance(event, Ping):
                passed.append(event)
        if passed:
            self._owner.received(self, passed)
        if ponged and self._doubt is not None and not self.is_closed:
            self._look_at(self._doubt)

    # --- does it answer at all? -------------------------------------------------------------

    def doubt(self) -> None:
        """Blocks were late and are cancelled: see whether the other side answers that."""
        if self._doubt is None and self.is_open and not self.is_closed:
            self._doubt = Doubt.of(self.session.asked)
            if self._doubt is not None:
                self._stop_timer()
                self._ping()

    def _look_at(self, doubt: Doubt) -> None:
        if not doubt.look(self.session.asked):
            self._doubt = None
        elif doubt.silent:
            self._owner.silent(self)
        else:
            self._stop_timer()
            self._timer = self._clock.callLater(DOUBT_PING_S, self._ping)

    # --- time -------------------------------------------------------------------------------

    def _late(self) -> None:
        self._timer = None
        self.close(Code.BAD_REQUEST, "the handshake took too long")

    def _ping(self) -> None:
        now = self._clock.seconds()
        self._timer = None
        if now - self._heard_at > SILENCE_S:
            self.abort()
            return
        self._ping_token += 1
        self._pings = {self._ping_token: now}
        self.send(Ping(self._ping_token))
        if not self.is_closed:
            self._timer = self._clock.callLater(PING_S, self._ping)
