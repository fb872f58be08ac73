"""A peer by hand on a blocking socket: it speaks the protocol, in TLS, and lies as it is told."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dashp2p.content.keys import public_bytes
from dashp2p.peer.link_tls import ALPN, certificate_of
from dashp2p.wire.errors import ProtocolError
from dashp2p.wire.frames import Error, Event, Frame, Have, Hello
from dashp2p.wire.session import Session
from tests.hostile.evil_member import evil_key
from tests.processes import HOST

SILENCE_S = 0.2
RECEIVE_BYTES = 1 << 16


def tls_context(key: Ed25519PrivateKey) -> ssl.SSLContext:
    """As a peer with that key dials; whoever answers is believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN.decode()])
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain.write_bytes(raw + certificate_of(key).public_bytes(Encoding.PEM))
        context.load_cert_chain(chain)
    return context


class EvilPeer:
    """Dials a peer's exchange port. `name` decides its key, and so who it is.

    Its `ticket` goes into HELLO; a peer whose tracker issues them listens to nobody without.
    """

    def __init__(
        self, port: int, name: str = "evil", tls: bool = True, ticket: str | None = None
    ) -> None:
        self.key = evil_key(name)
        self.ticket = (ticket or "").encode("ascii")
        self.session = Session()
        self.events: list[Event] = []
        self._unseen: list[Event] = []
        self.closed = False
        plain = socket.create_connection((HOST, port), timeout=10.0)
        self.socket: socket.socket = tls_context(self.key).wrap_socket(plain) if tls else plain
        self.socket.settimeout(SILENCE_S)

    def greet(self, swarm_id: bytes, positions: int, count: int) -> None:
        """HELLO and HAVE: from now on it is a neighbour, if it is let in."""
        self.hello(swarm_id)
        self.wait_for(Hello)
        if not self.closed:
            self.send(Have(count, positions))
            self.wait_for(Have)

    def hello(self, swarm_id: bytes) -> None:
        """It introduces itself; whether it is let in is seen later."""
        self.send(Hello(swarm_id, public_bytes(self.key), 4001, True, self.ticket))

    def send(self, *frames: Frame) -> None:
        """Frames, as the protocol has them."""
        for frame in frames:
            self.session.send(frame)
        self.raw(b"".join(self.session.data_to_send()))

    def raw(self, data: bytes) -> None:
        """Any bytes. That nobody takes them any more ends the connection."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def listen(self, briefly: bool = False) -> list[Event]:
        """What comes until it is quiet for a moment, or (`briefly`) until anything has come."""
        new: list[Event] = []
        while not (self.closed or (briefly and new)):
            try:
                data = self.socket.recv(RECEIVE_BYTES)
            except TimeoutError:
                break
            except OSError:
                self.closed = True
                break
            if not data:
                self.closed = True
                break
            try:
                new += self.session.receive_data(data)
            except ProtocolError as error:
                new += error.events
        self.events += new
        self._unseen += new
        self._flush()
        return new

    def _flush(self) -> None:
        parts = b"".join(self.session.data_to_send())
        if parts and not self.closed:
            self.raw(parts)

    def wait_for(self, kind: type[Event], patience_s: float = 10.0) -> Event | None:
        """The next such frame; None when the link ended instead, or nothing came."""
        until = time.monotonic() + patience_s
        while True:
            while self._unseen:
                event = self._unseen.pop(0)
                if isinstance(event, kind):
                    return event
            if self.closed or time.monotonic() > until:
                return None
            self.listen(briefly=True)

    def wait_closed(self, patience_s: float) -> bool:
        """Whether the other side ends the link in time."""
        until = time.monotonic() + patience_s
        while not self.closed and time.monotonic() < until:
            self.listen()
        return self.closed

    @property
    def codes(self) -> list[int]:
        """Of the ERRORs that it was sent."""
        return [event.code for event in self.events if isinstance(event, Error)]

    def hang_up(self) -> None:
        """End it."""
        self.socket.close()
