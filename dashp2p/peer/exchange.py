"""All links of a peer: listening, dialling, one link for each pair, bans by key."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Protocol as Seam

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from dashp2p.peer.bans import Bans
from dashp2p.peer.limits import (
    CALL_S,
    DIAL_TIMEOUT_S,
    DOUBTFUL_S,
    HANDSHAKE_EVERY_S,
    HANDSHAKES_BURST,
    LINKS_PER_ADDRESS,
    MAX_CALLERS,
    MAX_DIALS,
    MAX_LINKS,
    WANTED_LINKS,
)
from dashp2p.peer.link import Link
from dashp2p.web.addresses import address_group, is_loopback
from dashp2p.web.rates import Rates
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Event, GoAway, Have, Hello

log = Logger()


@frozen
class Address:
    """Where the tracker says that a peer listens: an IP address, never a name."""

    peer_id: bytes
    host: str
    port: int


class LinkEvents(Seam):
    """What the exchange tells the engine about."""

    def link_opened(self, link: Link, have: Have) -> None: ...
    def link_received(self, link: Link, events: list[Event]) -> None: ...
    def link_ready(self, link: Link) -> None: ...
    def link_measured(self, link: Link, rtt_s: float) -> None: ...
    def link_closed(self, link: Link) -> None: ...


class LinkSecurity(Seam):
    """Wraps the factories of links in what protects them; see link_tls."""

    def dialling(self, factory: IProtocolFactory, peer_id: bytes) -> IProtocolFactory: ...
    def answering(self, factory: IProtocolFactory) -> IProtocolFactory: ...


def tcp_endpoint(reactor: object) -> Callable[[str, int], IStreamClientEndpoint]:
    """Dial IP addresses by TCP; a name is refused before it is looked up."""

    def endpoint(host: str, port: int) -> IStreamClientEndpoint:
        if ipaddress.ip_address(host).version == 4:
            # A third of the work of the other, which is made to look up names.
            return TCP4ClientEndpoint(reactor, host, port, timeout=DIAL_TIMEOUT_S)
        return HostnameEndpoint(reactor, host, port, timeout=DIAL_TIMEOUT_S)

    return endpoint


class Exchange(Factory):
    """Owner of the links. `hello` and `have` say what this peer tells new neighbours.

    Without `security` links are plain TCP, and who somebody is rests on his word. Listen with
    `answering`, which is this factory, in TLS where there is TLS.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: Callable[[str, int], IStreamClientEndpoint],
        peer_id: bytes,
        hello: Callable[[], Hello],
        have: Callable[[], Have],
        security: LinkSecurity | None = None,
    ) -> None:
        self.links: dict[bytes, Link] = {}
        self.events: LinkEvents | None = None
        self.judge: Callable[[bytes, Hello], Code | None] = lambda peer_id, hello: None
        """Says of a peer with that id and HELLO whether it may link; a code says no."""
        self.refused_links = 0
        self.links_per_address: int | None = LINKS_PER_ADDRESS
        """Links that one address may dial to us; None: as many as it likes."""
        self.mismatches = 0
        """Connections on which one side spoke TLS and the other did not."""
        self.hello = hello
        self.have = have
        self._clock = clock
        self._endpoint = endpoint
        self._peer_id = peer_id
        self._security = security
        self._mismatch_told = False
        self._all: dict[Link, None] = {}
        """Every connection, the oldest first."""
        self._bans = Bans()
        self._callers: Rates[str] = Rates(HANDSHAKE_EVERY_S, HANDSHAKES_BURST, MAX_CALLERS)
        self._dialling: dict[bytes, Deferred[IProtocol]] = {}
        self._stopping = False

    # --- connecting -------------------------------------------------------------------------

    @property
    def answering(self) -> IProtocolFactory:
        """What listens for links that others dial."""
        return self if self._security is None else self._security.answering(self)

    def buildProtocol(self, addr: IAddress | None) -> Link | None:
        """A link for somebody who dials us."""
        now = self._clock.seconds()
        if self._stopping or self._crowds(addr) or self._bans.has_address(addr, now):
            self.refused_links += 1
            return None
        if not is_loopback(addr) and self._callers.take(address_group(addr), now) > 0:
            self.refused_links += 1
            return None
        if len(self._all) >= MAX_LINKS and not self._gives_way():
            self.refused_links += 1
            return None
        return self._make(dialled=False)

    def _gives_way(self) -> bool:
        """Whether a stranger who has not greeted yet, the one who waits longest, made room: whoever
        holds connections open and says nothing keeps nobody out.
        """
        for link in self._all:
            if not (link.dialled or link.is_open or link.is_closed):
                del self._all[link]
                link.abort()
                return True
        return False

    def _crowds(self, addr: IAddress | None) -> bool:
        """Whether this address holds as many links as it may."""
        most = self.links_per_address
        if most is None or len(self._all) < most or is_loopback(addr):
            return False
        group = address_group(addr)
        callers = [link for link in self._all if not link.dialled]
        same = sum(1 for link in callers if address_group(link.transport.getPeer()) == group)
        return same >= most

    @property
    def coming_about(self) -> int:
        """Links that there are, and connections and dials that may become some."""
        pending = sum(not (link.is_open or link.is_closed) for link in self._all)
        return len(self.links) + pending + len(self._dialling)

    def _make(self, dialled: bool, expects: bytes | None = None) -> Link:
        link = Link(self, self._clock, dialled, expects)
        self._all[link] = None
        return link

    def dial(self, addresses: Iterable[Address]) -> None:
        """Connect to these peers, as far as links are wanted."""
        for address in addresses:
            if len(self.links) + len(self._dialling) >= WANTED_LINKS:
                return
            if len(self._dialling) >= MAX_DIALS or self._stopping:
                return
            if self._may_dial(address):
                self._connect(address)

    def _may_dial(self, address: Address) -> bool:
        return (
            address.peer_id != self._peer_id
            and address.peer_id not in self.links
            and address.peer_id not in self._dialling
            and not self._comes_about(address)
            and not self.is_banned(address.peer_id)
            and not self._bans.has_address(
                IPv4Address("TCP", address.host, address.port), self._clock.seconds()
            )
        )

    def _comes_about(self, address: Address) -> bool:
        """Whether a link with that peer seems to be on its way. In a crowd that joins at once each
        pair would else make two or three, and a handshake is most of what a link costs.

        Who calls has not said who he is. If it is somebody else at that address, the next announce
        names this one again.
        """
        for link in self._all:
            if link.is_open or link.is_closed:
                continue
            if link.dialled and link.expects == address.peer_id:
                return True
            if not link.dialled and link.address == address.host and link.quiet_s < CALL_S:
                return True
        return False

    def _connect(self, address: Address) -> None:
        try:
            endpoint = self._endpoint(address.host, address.port)
        except ValueError:
            log.warn("the tracker gave no address of {peer}", peer=address.peer_id.hex())
            return
        plain = Factory.forProtocol(lambda: self._make(True, address.peer_id))
        plain.noisy = False
        factory: IProtocolFactory = plain
        if self._security is not None:
            factory = self._security.dialling(plain, address.peer_id)
        dialling = endpoint.connect(factory)
        self._dialling[address.peer_id] = dialling

        def done(result: object) -> None:
            self._dialling.pop(address.peer_id, None)
            if isinstance(result, Failure):
                log.debug("{peer} cannot be reached", peer=address.peer_id.hex()[:12])
                result.trap(ConnectError, Exception)

        dialling.addBoth(done)

    # --- what links ask and tell ------------------------------------------------------------

    def admits(self, link: Link, hello: Hello) -> Code | None:
        """Whether to go on after the other's HELLO; a code says no."""
        if self._stopping:
            return Code.SHUTTING_DOWN
        if hello.swarm_id != self.hello().swarm_id or link.peer_id == self._peer_id:
            return Code.UNAUTHORISED
        if self.is_banned(link.peer_id):
            return Code.UNAUTHORISED
        refusal = self.judge(link.peer_id, hello)
        if refusal is not None:
            return refusal
        existing = self.links.get(link.peer_id)
        if existing is None:
            return None
        same = existing.dialled == link.dialled or self._dialler(existing) < self._dialler(link)
        if same and existing.quiet_s < DOUBTFUL_S:
            return Code.BUSY
        existing.close(Code.BUSY, "one link is enough")
        self._forget(existing)
        return None

    def _dialler(self, link: Link) -> bytes:
        """Of two links between the same peers, the one that the lower id dialled stays."""
        return self._peer_id if link.dialled else link.peer_id

    def opened(self, link: Link, have: Have) -> None:
        """A link is ready for use."""
        existing = self.links.get(link.peer_id)
        if existing is not None and existing is not link:
            if self._dialler(existing) <= self._dialler(link):
                link.close(Code.BUSY, "one link is enough")
                return
            existing.close(Code.BUSY, "one link is enough")
            self._forget(existing)
        self.links[link.peer_id] = link
        if self.events is not None:
            self.events.link_opened(link, have)

    def received(self, link: Link, events: list[Event]) -> None:
        """Frames came on an open link."""
        if self.events is not None and self.links.get(link.peer_id) is link:
            self.events.link_received(link, events)

    def ready(self, link: Link) -> None:
        """A link has taken what it was given."""
        if self.events is not None and self.links.get(link.peer_id) is link:
            self.events.link_ready(link)

    def measured(self, link: Link, rtt_s: float) -> None:
        """A ping came back."""
        if self.events is not None and self.links.get(link.peer_id) is link:
            self.events.link_measured(link, rtt_s)

    def silent(self, link: Link) -> None:
        """The other side lives, and leaves what it is asked unanswered."""
        if self.links.get(link.peer_id) is link:
            self.shun(link.peer_id, "requests are left unanswered")

    def mismatched(self, link: Link, theirs: str) -> None:
        """The other side's links are secured in another way than ours: no link comes about."""
        self.mismatches += 1
        if self._mismatch_told:
            return
        self._mismatch_told = True
        log.warn(
            "a peer's links have {theirs} and ours have {ours}, so we share nothing with it: start "
            "all peers of a swarm with the same --link-security (tls, unless they all say off)",
            theirs=theirs,
            ours="no TLS" if self._security is None else "TLS",
        )

    def closed(self, link: Link) -> None:
        """A connection is gone."""
        self._all.pop(link, None)
        self._forget(link)

    def _forget(self, link: Link) -> None:
        if self.links.get(link.peer_id) is link:
            del self.links[link.peer_id]
            if self.events is not None:
                self.events.link_closed(link)

    # --- bans -------------------------------------------------------------------------------

    def ban(self, peer_id: bytes) -> None:
        """Nothing to do with that key for an hour."""
        link = self.links.get(peer_id)
        address = None if link is None else link.transport.getPeer()
        self._bans.ban(peer_id, address, self._clock.seconds())
        if link is not None:
            link.close(Code.INTEGRITY, "a block that you sent is not what the origin published")
            self._forget(link)

    def shun(self, peer_id: bytes, why: str) -> None:
        """Nothing to do with that key for some minutes: it breaks its word."""
        self._bans.shun(peer_id, self._clock.seconds())
        link = self.links.get(peer_id)
        if link is not None:
            log.info("{peer} is left alone for a while: {why}", peer=link.name, why=why)
            link.close(Code.BAD_REQUEST, why)
            self._forget(link)

    def is_banned(self, peer_id: bytes) -> bool:
        """Whether we have nothing to do with that key for now: it is banned, or shunned."""
        return self._bans.has_key(peer_id, self._clock.seconds())

    @property
    def banned(self) -> int:
        """How many keys are banned."""
        return self._bans.count(self._clock.seconds())

    @property
    def shunned(self) -> int:
        """How many keys are shunned."""
        return self._bans.shunned(self._clock.seconds())

    # --- the end ----------------------------------------------------------------------------

    def go_away(self) -> None:
        """Take no more links and tell neighbours not to ask for more."""
        self._stopping = True
        for dialling in list(self._dialling.values()):
            dialling.cancel()
        for link in self.links.values():
            if not link.is_closed and link.is_open:
                link.send(GoAway(int(Code.SHUTTING_DOWN)))

    def close(self) -> None:
        """Close all links."""
        for link in list(self._all):
            link.abort()
