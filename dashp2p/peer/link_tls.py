"""Links in TLS 1.3: each side shows a certificate that it made itself, and its key is who it is.

There is no authority, no name and no date to check. A certificate counts when it comes alone, holds
an Ed25519 key, and (for who dials) that key's SHA-256 is the peer id that the tracker named. What
the other side claims of itself in HELLO is compared with that key afterwards, by the link.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from dashp2p.content.keys import peer_id as peer_id_of
from dashp2p.content.keys import public_bytes

ALPN = b"dashp2p/1"
ALWAYS_VALID = (
    datetime(2000, 1, 1, tzinfo=timezone.utc),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc),
)
"""RFC 5280, 4.1.2.5: a date that means none. A viewer's clock may be years off."""


MUTUAL = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
NOT_TLS = frozenset({"wrong version number", "http request", "packet length too long"})
"""What OpenSSL says of bytes that are no TLS."""


class NotProven(Exception):  # noqa: N818 - it says what happened
    """The other side has not shown a key as a link needs it."""


def certificate_of(key: Ed25519PrivateKey) -> x509.Certificate:
    """A certificate for a peer's key, signed by that key itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, peer_id_of(public_bytes(key)).hex())])
    first, last = ALWAYS_VALID
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(first).not_valid_after(last).sign(key, None)


def key_in(certificate: X509 | None) -> bytes:
    """The raw Ed25519 key (32 bytes) of a certificate. Raises NotProven."""
    if certificate is None:
        raise NotProven("no certificate")
    try:
        key = certificate.to_cryptography().public_key()
    except Exception as error:  # whatever a stranger's certificate makes of its parser
        raise NotProven(f"a certificate that cannot be read ({error})") from error
    if not isinstance(key, Ed25519PublicKey):
        raise NotProven("a certificate with another kind of key than Ed25519")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def proven_key(connection: SSL.Connection, dialled: bool) -> bytes:
    """The key that the other side of a finished handshake holds. Raises NotProven."""
    if connection.get_alpn_proto_negotiated() != ALPN:
        raise NotProven("TLS for another protocol")
    # OpenSSL counts the other's own certificate in its chain only on the side that dialled.
    if len(connection.get_peer_cert_chain() or []) > (1 if dialled else 0):
        raise NotProven("more than one certificate")
    return key_in(connection.get_peer_certificate())


def reasons_of(error: SSL.Error) -> list[str]:
    """What OpenSSL says went wrong, as it words it."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return [str(entry[-1]) for entry in entries]


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class LinkTls:
    """Wraps the factories of links in TLS with one peer's key, either way."""

    def __init__(self, key: Ed25519PrivateKey, clock: IReactorTime) -> None:
        self._clock = clock
        self._context = context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        # No session is ever resumed: each link shows its key anew.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
        context.use_privatekey(PKey.from_cryptography_key(key))
        context.use_certificate(X509.from_cryptography(certificate_of(key)))
        context.set_verify(MUTUAL, _certificate_counts)
        context.set_alpn_protos([ALPN])
        context.set_alpn_select_callback(_choose_protocol)

    def dialling(self, factory: IProtocolFactory, peer_id: bytes) -> IProtocolFactory:
        """TLS for a link that we dial; it comes about only with the peer of that id."""
        return _TlsFactory(_Expecting(self, peer_id), True, factory, self._clock)

    def answering(self, factory: IProtocolFactory) -> IProtocolFactory:
        """TLS for links that others dial."""
        return _TlsFactory(self, False, factory, self._clock)

    def clientConnectionForTLS(  # noqa: N802  # Twisted's name
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: N803
    ) -> SSL.Connection:
        """As Twisted asks for it."""
        return SSL.Connection(self._context, None)

    def serverConnectionForTLS(  # noqa: N802  # Twisted's name
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: N803
    ) -> SSL.Connection:
        """As Twisted asks for it."""
        return SSL.Connection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class _Expecting:
    """Makes connections that refuse everybody but one peer, before we show who we are."""

    def __init__(self, tls: LinkTls, peer_id: bytes) -> None:
        self._tls = tls
        self._peer_id = peer_id

    def clientConnectionForTLS(  # noqa: N802  # Twisted's name
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: N803
    ) -> SSL.Connection:
        connection = self._tls.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(MUTUAL, self._is_expected)
        return connection

    def _is_expected(
        self, connection: SSL.Connection, certificate: X509, error: int, depth: int, good: int
    ) -> bool:
        try:
            return peer_id_of(key_in(certificate)) == self._peer_id
        except NotProven:
            return False


@implementer(IHandshakeListener)
class _Gathering(Protocol):
    """Between TLS and a link: what one read of the socket brought comes to the link in one piece.

    OpenSSL gives records of 16 KiB; taken one by one they doubled what a receiver's CPU had to do.
    """

    def __init__(self, link: IProtocol) -> None:
        self._link = link
        self._pieces: list[bytes] = []

    def makeConnection(self, transport: ITransport) -> None:
        Protocol.makeConnection(self, transport)
        self._link.makeConnection(transport)

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's name
        if IHandshakeListener.providedBy(self._link):
            self._link.handshakeCompleted()

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)

    def hand_on(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._link.dataReceived(b"".join(pieces))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.hand_on()
        self._link.connectionLost(reason)


class _TlsLink(TLSMemoryBIOProtocol):
    gathering: _Gathering

    # Without Twisted's gathering of small writes: a link writes whole frames, and the next frame is
    # due when the socket has taken the last one, so nothing may wait out of its sight.

    def dataReceived(self, data: bytes) -> None:
        TLSMemoryBIOProtocol.dataReceived(self, data)
        self.gathering.hand_on()


class _TlsFactory(TLSMemoryBIOFactory):
    protocol = _TlsLink

    def buildProtocol(self, addr: IAddress | None) -> _TlsLink | None:  # type: ignore[override]  # as Factory's
        wrapped = self.wrappedFactory.buildProtocol(addr)
        if wrapped is None:
            return None
        gathering = _Gathering(wrapped)
        made = self.protocol(self, gathering)
        made.gathering = gathering
        return made


def _certificate_counts(
    connection: SSL.Connection, certificate: X509, error: int, depth: int, good: int
) -> bool:
    """Whether the handshake goes on with that certificate: OpenSSL's own opinion, that nobody it
    knows has signed it, does not matter."""
    try:
        key_in(certificate)
    except NotProven:
        return False
    return True


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> Any:
    return ALPN if ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS
