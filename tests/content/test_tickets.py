"""Tickets, tokens and signed announces: what counts, and that nothing else does."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.content.limits import JWT_MAX_CHARS
from dashp2p.content.tickets import (
    SKEW_S,
    TICKET_LIFE_S,
    TICKET_TYPE,
    TicketRefused,
    announce_is_signed,
    read_ticket,
    read_token,
    sign_announce,
    sign_ticket,
    sign_token,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PUBLIC = public_bytes(KEY)
SWARM, OTHER_SWARM = b"S" * 32, b"T" * 32
PEER, OTHER_PEER = b"P" * 32, b"Q" * 32
NOW = 1_800_000_000.0
TICKET = sign_ticket(KEY, SWARM, PEER, NOW)


class TicketCase(SynchronousTestCase):
    def refused(self, text: str, key: bytes = PUBLIC) -> str:
        return str(self.assertRaises(TicketRefused, read_ticket, text, key))

    def unfit(self, swarm: bytes = SWARM, peer: bytes = PEER, now: float = NOW) -> str:
        ticket = read_ticket(TICKET, PUBLIC)
        return str(self.assertRaises(TicketRefused, ticket.check, swarm, peer, now))


class TicketTests(TicketCase):
    def test_it_says_who_may_take_part_where_and_how_long(self) -> None:
        ticket = read_ticket(TICKET, PUBLIC)
        self.assertEqual((ticket.swarm, ticket.peer), (SWARM, PEER))
        self.assertEqual((ticket.issued_at, ticket.expires_at), (NOW, NOW + TICKET_LIFE_S))
        ticket.check(SWARM, PEER, NOW)

    def test_another_swarm(self) -> None:
        self.assertIn("another swarm", self.unfit(swarm=OTHER_SWARM))

    def test_another_peer(self) -> None:
        self.assertIn("somebody else's", self.unfit(peer=OTHER_PEER))

    def test_it_expires_but_for_what_clocks_may_be_apart(self) -> None:
        end = NOW + TICKET_LIFE_S + SKEW_S
        read_ticket(TICKET, PUBLIC).check(SWARM, PEER, end)
        self.assertIn("expired", self.unfit(now=end + 1))

    def test_it_does_not_count_before_its_time(self) -> None:
        read_ticket(TICKET, PUBLIC).check(SWARM, PEER, NOW - SKEW_S)
        self.assertIn("future", self.unfit(now=NOW - SKEW_S - 1))

    def test_a_grace_is_given_only_by_who_asks_for_it(self) -> None:
        read_ticket(TICKET, PUBLIC).check(SWARM, PEER, NOW + 3600, grace_s=4000)

    def test_another_trackers(self) -> None:
        self.refused(sign_ticket(OTHER_KEY, SWARM, PEER, NOW))

    def test_none_and_rubbish(self) -> None:
        for text in ("", ".", "..", "a.b.c", "\ufffd", TICKET + ".x", TICKET[:-4], "." * 1000):
            self.refused(text)

    def test_one_that_is_too_long_is_not_even_read(self) -> None:
        self.assertIn("characters", self.refused("a" * (JWT_MAX_CHARS + 1)))

    @given(st.integers(0, len(TICKET) - 1), st.sampled_from("ABCxyz019-_."))
    def test_one_that_was_changed_anywhere(self, at: int, to: str) -> None:
        changed = TICKET[:at] + to + TICKET[at + 1 :]
        # Of the last character, base64url without padding leaves some bits unused.
        if changed == TICKET or at == len(TICKET) - 1:
            return
        self.assertRaises(TicketRefused, read_ticket, changed, PUBLIC)

    def test_no_algorithm_but_ours(self) -> None:
        claims = {"aud": SWARM.hex(), "sub": PEER.hex(), "iat": int(NOW), "exp": int(NOW) + 9}
        secret = OctKey.import_key(PUBLIC)  # the public key as a shared secret: CVE-2022-29217
        curve = ECKey.generate_key("P-256")
        other_curve = OKPKey.generate_key("Ed448")
        for algorithm, key in (("HS256", secret), ("ES256", curve), ("Ed448", other_curve)):
            header = {"alg": algorithm, "typ": TICKET_TYPE}
            self.refused(jwt.encode(header, claims, key, algorithms=[algorithm]))
        head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"dashp2p-ticket+jwt"}').rstrip(b"=")
        self.refused(f"{head.decode()}.{TICKET.split('.')[1]}.")

    def test_claims_that_are_not_as_they_should_be(self) -> None:
        good: dict[str, Any] = dict(json.loads(_part(TICKET, 1)))
        wrong: dict[str, list[Any]] = {
            "aud": [None, "*", "ab", "g" * 64, [SWARM.hex()], 7],
            "sub": [None, "", "é" * 64],
            "exp": [None, "9999999999", 1.5, True, -1, 1 << 40],
            "iat": [None, [], 2**70],
        }
        for name, values in wrong.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    self.refused(_signed({**good, name: value}))

    def test_claims_that_are_no_object(self) -> None:
        header = {"alg": "Ed25519", "typ": TICKET_TYPE}
        for claims in (b"[1]", b"7", b"null", b"", b"{", b'"aud"'):
            key = OKPKey.import_key(KEY)
            self.refused(jws.serialize_compact(header, claims, key, algorithms=["Ed25519"]))

    def test_a_token_is_no_ticket_though_the_same_key_signed_it(self) -> None:
        self.assertIn("another kind", self.refused(sign_token(KEY, SWARM, NOW, 60)))


class TokenTests(SynchronousTestCase):
    def refused(self, text: str, swarm: bytes = SWARM, now: float = NOW) -> str:
        def use() -> None:
            read_token(text, PUBLIC).check(swarm, now)

        return str(self.assertRaises(TicketRefused, use))

    def test_for_one_film(self) -> None:
        token = sign_token(KEY, SWARM, NOW, 60)
        read_token(token, PUBLIC).check(SWARM, NOW)
        self.assertIn("another film", self.refused(token, OTHER_SWARM))

    def test_for_all_films(self) -> None:
        for swarm in (SWARM, OTHER_SWARM):
            read_token(sign_token(KEY, None, NOW, 60), PUBLIC).check(swarm, NOW)

    def test_it_expires(self) -> None:
        self.assertIn("expired", self.refused(sign_token(KEY, None, NOW, 60), now=NOW + 121))

    def test_another_owners(self) -> None:
        self.refused(sign_token(OTHER_KEY, None, NOW, 60))

    def test_a_ticket_is_no_token(self) -> None:
        self.assertIn("another kind", self.refused(TICKET))


class SignedAnnounceTests(SynchronousTestCase):
    BODY = b'{"v":1}'
    ID = peer_id(PUBLIC)

    def signed(self, **changes: Any) -> bool:
        parts: dict[str, Any] = {
            "public_key": PUBLIC,
            "peer": self.ID,
            "body": self.BODY,
            "signature": sign_announce(KEY, self.BODY),
        }
        return announce_is_signed(**{**parts, **changes})

    def test_by_whoever_has_the_key_of_that_peer(self) -> None:
        self.assertTrue(self.signed())

    def test_another_body(self) -> None:
        self.assertFalse(self.signed(body=b'{"v":1 }'))

    def test_a_key_that_is_not_the_peers(self) -> None:
        self.assertFalse(self.signed(peer=OTHER_PEER))
        other = public_bytes(OTHER_KEY)
        self.assertFalse(self.signed(public_key=other, peer=peer_id(other)))

    def test_no_signature_at_all(self) -> None:
        for signature in ("", "00" * 64, "zz" * 64, "0" * 127, "é" * 128):
            self.assertFalse(self.signed(signature=signature))

    def test_something_else_that_the_key_signed(self) -> None:
        self.assertFalse(self.signed(signature=KEY.sign(self.BODY).hex()))


def _part(token: str, number: int) -> bytes:
    part = token.split(".")[number]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _signed(claims: dict[str, Any]) -> str:
    header = {"alg": "Ed25519", "typ": TICKET_TYPE}
    return jwt.encode(header, claims, OKPKey.import_key(KEY), algorithms=["Ed25519"])
