"""Who may take part: tickets of the tracker, and tokens of the content's owner.

Both are JWTs (RFC 7519) signed with Ed25519, and nothing else is accepted (RFC 8725, 3.1). Their
`typ` tells them apart, so that neither passes for the other where one key signs both (3.11). The
clock is the caller's: all times are seconds since 1970.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jwt
from joserfc.jwk import OKPKey

from dashp2p.content.keys import peer_id as peer_id_of
from dashp2p.content.limits import JWT_MAX_CHARS

__all__ = [
    "ANY_SWARM",
    "SKEW_S",
    "TICKET_LIFE_S",
    "Ticket",
    "TicketRefused",
    "Token",
    "announce_is_signed",
    "read_ticket",
    "read_token",
    "sign_announce",
    "sign_ticket",
    "sign_token",
]

ALGORITHM: Final = "Ed25519"
"""RFC 9864's name for what RFC 8037 calls EdDSA, which leaves the curve open."""
TICKET_TYPE: Final = "dashp2p-ticket+jwt"
TOKEN_TYPE: Final = "dashp2p-token+jwt"
ANY_SWARM: Final = "*"
TICKET_LIFE_S: Final = 600.0
"""A ticket cannot be called back: this is how long one that should be may last."""
SKEW_S: Final = 60.0
"""How far two clocks may be apart."""
_ANNOUNCE_DOMAIN: Final = b"dashp2p-announce-v1\n"


class TicketRefused(Exception):  # noqa: N818 - it says what happened
    """A ticket or token does not count; the text says why, in a few words and without it."""


@frozen
class Ticket:
    """The tracker lets the peer with this id take part in this swarm, for a while."""

    swarm: bytes
    peer: bytes
    issued_at: float
    expires_at: float

    def check(self, swarm: bytes, peer: bytes, now: float, grace_s: float = SKEW_S) -> None:
        """Raises TicketRefused. `grace_s` is how long after its end it still counts."""
        if self.swarm != swarm:
            raise TicketRefused("a ticket for another swarm")
        if self.peer != peer:
            raise TicketRefused("somebody else's ticket")
        if self.issued_at > now + SKEW_S:
            raise TicketRefused("a ticket from the future")
        if now > self.expires_at + grace_s:
            raise TicketRefused("an expired ticket")


@frozen
class Token:
    """The content's owner lets its bearer into a swarm, or any (None), until a time."""

    swarm: bytes | None
    expires_at: float

    def check(self, swarm: bytes, now: float) -> None:
        """Raises TicketRefused."""
        if self.swarm is not None and self.swarm != swarm:
            raise TicketRefused("a token for another film")
        if now > self.expires_at + SKEW_S:
            raise TicketRefused("an expired token")


def sign_ticket(
    key: Ed25519PrivateKey, swarm: bytes, peer: bytes, now: float, life_s: float = TICKET_LIFE_S
) -> str:
    """A ticket for the peer of that id; only who has its key can use it on a secured link."""
    claims = {"aud": swarm.hex(), "sub": peer.hex(), "iat": int(now), "exp": int(now + life_s)}
    return _sign(key, TICKET_TYPE, claims)


def read_ticket(text: str, public_key: bytes) -> Ticket:
    """A ticket that this key has signed; `check` comes next. Raises TicketRefused."""
    claims = _read(text, public_key, TICKET_TYPE)
    return Ticket(
        swarm=_hex_32(claims, "aud"),
        peer=_hex_32(claims, "sub"),
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
    )


def sign_token(key: Ed25519PrivateKey, swarm: bytes | None, now: float, life_s: float) -> str:
    """A token for a swarm, or for all (None) whose owner has this key."""
    audience = ANY_SWARM if swarm is None else swarm.hex()
    return _sign(key, TOKEN_TYPE, {"aud": audience, "iat": int(now), "exp": int(now + life_s)})


def read_token(text: str, public_key: bytes) -> Token:
    """A token that this key has signed; `check` comes next. Raises TicketRefused."""
    claims = _read(text, public_key, TOKEN_TYPE)
    swarm = None if claims.get("aud") == ANY_SWARM else _hex_32(claims, "aud")
    return Token(swarm, _time(claims, "exp"))


def sign_announce(key: Ed25519PrivateKey, body: bytes) -> str:
    """That who sends this body to a tracker has the key: 128 hex digits."""
    return key.sign(_ANNOUNCE_DOMAIN + body).hex()


def announce_is_signed(public_key: bytes, peer: bytes, body: bytes, signature: str) -> bool:
    """Whether the body comes from the peer of that id, whose key this is."""
    if peer_id_of(public_key) != peer:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(bytes.fromhex(signature), _ANNOUNCE_DOMAIN + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def _sign(key: Ed25519PrivateKey, kind: str, claims: dict[str, Any]) -> str:
    header = {"alg": ALGORITHM, "typ": kind}
    return jwt.encode(header, claims, OKPKey.import_key(key), algorithms=[ALGORITHM])


def _read(text: str, public_key: bytes, kind: str) -> dict[str, Any]:
    if len(text) > JWT_MAX_CHARS:
        raise TicketRefused(f"more than {JWT_MAX_CHARS} characters")
    try:
        key = OKPKey.import_key(Ed25519PublicKey.from_public_bytes(public_key))
        token = jwt.decode(text, key, algorithms=[ALGORITHM])
    except Exception as error:  # a stranger's text, read by a library: whatever comes of it
        raise TicketRefused(f"not signed by the right key ({type(error).__name__})") from error
    if token.header.get("typ") != kind:
        raise TicketRefused("another kind of token")
    return token.claims


def _hex_32(claims: dict[str, Any], name: str) -> bytes:
    value = claims.get(name)
    if type(value) is not str or len(value) != 64 or not value.isascii():
        raise TicketRefused(f'no "{name}" of 64 hex digits')
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise TicketRefused(f'no "{name}" of 64 hex digits') from None


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise TicketRefused(f'no "{name}" in seconds')
    return float(value)
