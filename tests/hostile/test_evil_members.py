"""Who joined the swarm as any peer does, and now abuses what the tracker gives: real daemons."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from dashp2p.content.keys import public_bytes
from dashp2p.tracker.limits import ANNOUNCES_BURST, MAX_PEERS_TOLD
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Have
from tests.hostile.evil_member import EvilMember
from tests.hostile.evil_peer import EvilPeer
from tests.hostile.support import COUNT, FILM, SEGMENT, HostileTestCase
from tests.processes import HOST

SWARM = FILM.signature.swarm_id
OTHER_SWARM = bytes(range(32))
CROWD = 60
CLOSED_S = 5.0
SQUATTED_S = 10.0
"""A player's patience while somebody sits on a lease: it needs no more than its deadline."""


def forged(
    header: dict[str, object],
    claims: dict[str, object],
    sign: Callable[[bytes], bytes] = lambda _: b"",
) -> str:
    """A JWT by hand."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()) for each in (header, claims)]
    signed = b".".join(part.rstrip(b"=") for part in parts)
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()


class TicketTests(HostileTestCase):
    def refused(self, ticket: str | None, what: str) -> None:
        """Who shows it is cut, and has learned nothing."""
        evil = EvilPeer(self.exchange_port, ticket=ticket)
        self.addCleanup(evil.hang_up)
        evil.hello(SWARM)
        self.assertTrue(evil.wait_closed(CLOSED_S), what)
        self.assertEqual(evil.codes, [Code.UNAUTHORISED], what)
        self.assertFalse([event for event in evil.events if isinstance(event, Have)], what)

    def test_tickets_that_are_missing_forged_foreign_or_borrowed(self) -> None:
        """Outcome: ERROR 4 within 5 s for each; neither HELLO nor HAVE of the peer is seen."""
        peer = self.swarm()
        member = self.member()
        code, answer = member.announce(event="update")
        self.assertEqual(code, 200)
        key = bytes.fromhex(answer["ticket_key"])
        now = int(time.time())
        claims: dict[str, object] = {"aud": SWARM.hex(), "sub": member.peer.hex()}
        claims |= {"iat": now, "exp": now + 600}
        kind = {"typ": "dashp2p-ticket+jwt"}
        own = base64.urlsafe_b64encode(public_bytes(member.key)).rstrip(b"=").decode()
        embedded = {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": own}}
        elsewhere = EvilMember(self.tracker_url, OTHER_SWARM).join()
        assert member.ticket is not None
        head, _, rest = member.ticket.partition(".")
        for what, ticket in {
            "none": None,
            "noise": "\x00" * 100,
            "alg none": forged({"alg": "none", **kind}, claims),
            "HMAC by the public key": forged(
                {"alg": "HS256", **kind}, claims, lambda text: hmac.digest(key, text, sha256)
            ),
            "a key that it brings along": forged(
                {"alg": "Ed25519", **embedded, **kind}, claims, member.key.sign
            ),
            "another's": self.member("somebody else").ticket,
            "another swarm's": elsewhere.ticket,
            "another header": head[:-2] + "AA." + rest,
            "longer than may be": member.ticket + "A" * 3000,
        }.items():
            self.refused(ticket, what)
        self.assertEqual(peer.stats()["neighbours"], [])
        self.evil(member=member)

    def test_who_has_no_token_of_the_owner_gets_no_ticket_and_no_lease(self) -> None:
        """Outcome: 403 with a sentence; the tracker names nobody; the peer is not disturbed."""
        tracker = self.daemons.tracker("--admission", "token", "--admission-key", "ab" * 32)
        tracker.wait_ready()
        rider = EvilMember(tracker.url, SWARM)
        for token in (None, "x.y.z", forged({"alg": "none"}, {})):
            code, answer = rider.announce(**({} if token is None else {"token": token}))
            self.assertEqual(code, 403)
            self.assertNotIn("peers", answer)
        code, _ = rider.lease(3)
        self.assertEqual(code, 403)


class TrackerTests(HostileTestCase):
    def test_harvesting_addresses(self) -> None:
        """Outcome: 30 peers an answer; a key that asks on and on gets 429 after its burst."""
        tracker = self.daemons.tracker()
        tracker.wait_ready()
        for number in range(CROWD):
            code, answer = EvilMember(tracker.url, SWARM, f"sybil {number}").announce(
                port=10_000 + number, private=[f"{HOST}:{10_000 + number}"], wanted=30
            )
            self.assertEqual(code, 200)
            self.assertLessEqual(len(answer["peers"]), MAX_PEERS_TOLD)
        harvester = EvilMember(tracker.url, SWARM, "harvester")
        codes = [
            harvester.announce(signed_ms=int(time.time() * 1000) + number)[0]
            for number in range(ANNOUNCES_BURST + 5)
        ]
        self.assertEqual(codes[: ANNOUNCES_BURST // 2], [200] * (ANNOUNCES_BURST // 2))
        self.assertIn(429, codes)
        self.assertEqual(harvester.announce(wanted=1000)[0], 400)
        # And without any key, for a swarm that it guesses: nobody.
        code, answer = EvilMember(tracker.url, OTHER_SWARM, "guesser").announce()
        self.assertEqual((code, answer["peers"]), (200, []))

    def test_addresses_of_others(self) -> None:
        """Outcome: neither the victim's nor any inner address is told, nor dialled by anybody."""
        with socket.create_server(("127.0.0.2", 0)) as canary:
            canary.settimeout(2.0)
            port = canary.getsockname()[1]
            peer = self.swarm()
            victim = f"127.0.0.2:{port}"
            spoofs: list[dict[str, Any]] = [
                {"private": [victim]},
                {"private": ["169.254.169.254:8080", "10.0.0.1:22", "0.0.0.0:4001"]},
                {"private": ["localhost:4001"]},
                {"private": ["[::1]:4001", "224.0.0.1:4001"]},
                {"ip": "127.0.0.2", "ipv4": "127.0.0.2", "address": "127.0.0.2"},
            ]
            for number, changes in enumerate(spoofs):
                spoofer = EvilMember(self.tracker_url, SWARM, f"spoofer {number}")
                spoofer.headers = {"X-Forwarded-For": "127.0.0.2", "Forwarded": "for=127.0.0.2"}
                spoofer.announce(port=port, **changes)
            code, answer = EvilMember(self.tracker_url, SWARM, "asker").announce()
            self.assertEqual(code, 200)
            told = {item["host"] for item in answer["peers"]}
            self.assertLessEqual(told, {HOST}, answer)
            self.assertRaises(TimeoutError, canary.accept)
            self.assert_plays(peer)

    def test_an_announce_that_is_played_again_or_altered(self) -> None:
        """Outcome: 403 for each; the member stays as it was."""
        self.swarm()
        member = self.member()
        self.assertEqual(member.repeat()[0], 403)
        signature = member.signature
        member.announce(event="update")
        member.body = member.body.replace(b"update", b"stopped")
        self.assertEqual(member.repeat()[0], 403)
        thief = EvilMember(self.tracker_url, SWARM, "thief")
        code, _ = thief.announce(peer=member.peer.hex(), event="stopped")
        self.assertEqual(code, 403)
        member.signature = signature
        self.assertEqual(member.repeat()[0], 403)
        code, _ = thief.lease(3, peer=member.peer.hex())
        self.assertEqual(code, 403)

    def test_leases_that_are_squatted(self) -> None:
        """Outcome: 4 of them at most; the player waits no longer than 10 s for what they hold."""
        peer = self.swarm()
        squatter = self.member("squatter")
        code, answer = squatter.lease(*(range(1, COUNT)))
        self.assertEqual(code, 200)
        granted = [lease for lease in answer["leases"] if lease["granted"]]
        self.assertLessEqual(len(granted), 4)
        self.assertTrue(granted)
        held = FILM.index.entries[granted[-1]["segment"]].path
        began_s = time.monotonic()
        self.assert_plays(peer, held)
        self.assert_plays(peer, SEGMENT)
        self.assertLess(time.monotonic() - began_s, SQUATTED_S)

    def test_bodies_that_are_no_calls(self) -> None:
        """Outcome: 4xx for each, within 24 MiB; the tracker serves on."""
        tracker = self.daemons.tracker()
        tracker.wait_ready()
        member = EvilMember(tracker.url, SWARM)
        deep = b"[" * 60_000
        many = json.dumps({"want": [{}] * 20_000}).encode()

        def attack() -> None:
            for path in ("/announce", "/lease"):
                for body in (b"", b"{", deep, many, b"\xff" * 5000, b"{}", b"1" * 60_000):
                    code, _ = member.post(path, body, {})
                    self.assertTrue(400 <= code < 500, (path, body[:20], code))

        self.grows_little(tracker, attack)
        self.assertEqual(member.announce()[0], 200)
