"""Parts of a peer for tests: links with somebody at the other end who does as the test says."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.peer.fakenet import advance
from dashp2p.peer.link import Link
from dashp2p.peer.link_tls import LinkTls
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Error, Event, Frame, Have, Hello
from dashp2p.wire.session import Session

SWARM = sha256(b"swarm").digest()
OTHER_SWARM = sha256(b"another swarm").digest()


@cache
def private_key(name: str) -> Ed25519PrivateKey:
    """A key for each name, always the same."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


@cache
def public_key(name: str) -> bytes:
    return public_bytes(private_key(name))


def id_of(name: str) -> bytes:
    return peer_id(public_key(name))


def hello_of(name: str, swarm: bytes = SWARM) -> Hello:
    return Hello(swarm, public_key(name), 4001)


@define(eq=False)
class Owner:
    """Whom a link reports to, without an exchange: it notes everything."""

    name: str = "me"
    refusal: Code | None = None
    opened_with: list[Have] = field(factory=list)
    events: list[Event] = field(factory=list)
    rtts_s: list[float] = field(factory=list)
    times_ready: int = 0
    times_closed: int = 0
    times_silent: int = 0
    mismatches: list[str] = field(factory=list)
    answers: list[Frame] = field(factory=list)
    """Sent as soon as anything is received, as an engine does."""

    def hello(self) -> Hello:
        return hello_of(self.name)

    def have(self) -> Have:
        return Have(8, 0b101)

    def admits(self, link: Link, hello: Hello) -> Code | None:
        return self.refusal

    def opened(self, link: Link, have: Have) -> None:
        self.opened_with.append(have)

    def received(self, link: Link, events: list[Event]) -> None:
        self.events += events
        for frame in self.answers:
            link.send(frame)

    def ready(self, link: Link) -> None:
        self.times_ready += 1

    def measured(self, link: Link, rtt_s: float) -> None:
        self.rtts_s.append(rtt_s)

    def silent(self, link: Link) -> None:
        self.times_silent += 1
        link.close()

    def closed(self, link: Link) -> None:
        self.times_closed += 1

    def mismatched(self, link: Link, theirs: str) -> None:
        self.mismatches.append(theirs)


class Remote(Protocol):
    """The other end of a link, by hand: a session whose frames the test chooses."""

    def __init__(self) -> None:
        self.session = Session()
        self.events: list[Event] = []
        self.lost = False
        self.heeds = True
        self.heard_bytes = 0

    def dataReceived(self, data: bytes) -> None:
        self.heard_bytes += len(data)
        if not self.heeds:
            return
        self.events += self.session.receive_data(data)
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True

    def send(self, *frames: Frame) -> None:
        """Frames that leave in one packet."""
        for frame in frames:
            self.session.send(frame)
        self.flush()

    def flush(self) -> None:
        parts = self.session.data_to_send()
        if parts and self.transport is not None:
            self.transport.writeSequence(parts)

    def raw(self, data: bytes) -> None:
        """Bytes of any kind, after what the session has queued."""
        assert self.transport is not None
        self.transport.write(b"".join([*self.session.data_to_send(), data]))

    def greet(self, clock: Clock, name: str = "remote", swarm: bytes = SWARM) -> None:
        """Both HELLOs and HAVEs."""
        self.send(hello_of(name, swarm))
        advance(clock, 0.01)
        if not self.lost and not self.errors:
            self.send(Have(8, 0))
            advance(clock, 0.01)

    def of(self, kind: type[Frame]) -> list[Frame]:
        """What it has received of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def errors(self) -> list[int]:
        """The codes of the ERRORs that it has received."""
        return [event.code for event in self.events if isinstance(event, Error)]


def in_tls(clock: Clock, protocol: Protocol, name: str, dials: str | None = None) -> IProtocol:
    """A protocol in TLS with the key of that name: it dials another name, or answers."""
    tls, factory = LinkTls(private_key(name), clock), OneProtocol(protocol)
    wrapped = tls.answering(factory) if dials is None else tls.dialling(factory, id_of(dials))
    made = wrapped.buildProtocol(IPv4Address("TCP", "198.51.100.7", 5000))
    assert made is not None
    return made


class OneProtocol(Factory):
    """Somebody who listens, and answers by hand."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self.made = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self.made


def host_of(address: IAddress | None) -> str:
    return str(getattr(address, "host", ""))
