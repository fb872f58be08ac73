"""What the tracker gives to whom: tickets to who proves its key, and nothing in anothers' name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.keys import load_or_create_key, peer_id, public_bytes
from dashp2p.content.tickets import (
    TICKET_LIFE_S,
    Ticket,
    read_ticket,
    read_token,
    sign_announce,
    sign_token,
)
from dashp2p.testing import MemoryFilm
from dashp2p.tracker import tickets as tickets_module
from dashp2p.tracker import token
from dashp2p.tracker.service import TrackerService
from dashp2p.web.listener import StartRefused
from tests.tracker.support import OTHER_SWARM, SWARM, Tracker, want
from tests.web.support import Answer

OWNER = Ed25519PrivateKey.from_private_bytes(b"owner".ljust(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(b"stranger".ljust(32))
CALLER = "203.0.113.9"


class Caller:
    """A peer with a key that calls the tracker."""

    def __init__(self, tracker: Tracker, name: str = "peer", token: str | None = None) -> None:
        self.tracker = tracker
        self.key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32))
        self.public_key = public_bytes(self.key)
        self.peer_id = peer_id(self.public_key)
        self.token = token
        self.ticket: str | None = None
        self.signed_ms = 0

    def body(self, **changes: Any) -> bytes:
        self.signed_ms += 1
        fields = {
            "v": 1,
            "swarm": SWARM.hex(),
            "peer": self.peer_id.hex(),
            "port": 4001,
            "event": "update",
            "ticket_key": self.public_key.hex(),
            "signed_ms": self.signed_ms,
            "token": self.token,
            **changes,
        }
        return json.dumps(
            {name: value for name, value in fields.items() if value is not None}
        ).encode()

    def send(self, body: bytes, signature: str | None, host: str = CALLER) -> Answer:
        headers = ["Content-Type: application/json"]
        if signature is not None:
            headers.append(f"Dashp2p-Signature: {signature}")
        return self.tracker.send("POST", "/announce", body, *headers, host=host)

    def announce(self, host: str = CALLER, **changes: Any) -> Answer:
        body = self.body(**changes)
        answer = self.send(body, sign_announce(self.key, body), host)
        if answer.code == 200:
            self.ticket = json.loads(answer.body)["ticket"]
        return answer

    def lease(self, ticket: str | None) -> Answer:
        fields = {"v": 1, "swarm": SWARM.hex(), "peer": self.peer_id.hex(), "want": [want(7)]}
        return self.tracker.post("/lease", {**fields, "ticket": ticket} if ticket else fields)


class TicketsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.key_file = Path(self.mktemp())
        self.tracker = self.started()
        self.peer = Caller(self.tracker)

    def started(self, **config: Any) -> Tracker:
        """A tracker, or the same again after a restart."""
        clock = MemoryReactorClock()
        if hasattr(self, "tracker"):
            clock.advance(self.tracker.clock.seconds())
        return Tracker(clock, ticket_key=self.key_file, **config)

    def read(self, text: str | None) -> Ticket:
        assert text is not None and self.tracker.service.api.tickets is not None
        return read_ticket(text, self.tracker.service.api.tickets.public_key)

    def refused(self, answer: Answer, sentence: str) -> None:
        self.assertEqual(answer.code, 403, answer.body)
        self.assertIn(sentence, json.loads(answer.body)["error"])


class IssueTests(TicketsTestCase):
    def test_whoever_proves_its_key_gets_a_ticket_and_what_to_check_others_by(self) -> None:
        answer = json.loads(self.peer.announce().body)
        self.read(answer["ticket"]).check(SWARM, self.peer.peer_id, self.tracker.wall())
        key = public_bytes(load_or_create_key(self.key_file))
        self.assertEqual(answer["ticket_key"], key.hex())
        self.assertEqual(answer["time"], int(self.tracker.wall()))

    def test_it_is_renewed_at_half_its_life(self) -> None:
        self.peer.announce()
        first = self.peer.ticket
        self.tracker.clock.advance(TICKET_LIFE_S / 2 - 1)
        self.peer.announce()
        self.assertEqual(self.peer.ticket, first)
        self.tracker.clock.advance(2)
        self.peer.announce()
        left_s = self.read(self.peer.ticket).expires_at - self.tracker.wall()
        self.assertAlmostEqual(left_s, TICKET_LIFE_S, delta=1)

    def test_who_proves_nothing_gets_none(self) -> None:
        body = self.peer.body()
        self.assertIsNone(json.loads(self.peer.send(body, None).body)["ticket"])
        body = self.peer.body(ticket_key=None)
        self.assertIsNone(json.loads(self.peer.send(body, "00" * 64).body)["ticket"])

    def test_a_signature_by_another_key(self) -> None:
        body = self.peer.body()
        self.refused(self.peer.send(body, sign_announce(STRANGER, body)), "not signed")

    def test_somebody_elses_id_with_ones_own_key(self) -> None:
        victim = Caller(self.tracker, "victim")
        self.refused(self.peer.announce(peer=victim.peer_id.hex()), "not signed")

    def test_the_key_outlives_a_restart_and_others_cannot_read_it(self) -> None:
        self.peer.announce()
        self.assertEqual(self.key_file.stat().st_mode & 0o777, 0o600)
        self.tracker = self.started()
        self.read(self.peer.ticket)

    def test_a_key_that_cannot_be_used_is_one_clear_line(self) -> None:
        self.key_file.chmod(0o644)
        service: TrackerService = self.tracker.service
        service.api.tickets = None
        error = self.assertRaises(StartRefused, service.privilegedStartService)
        self.assertIn("--ticket-key", str(error))


class ImpostorTests(TicketsTestCase):
    """Others' announces and leases in the name of a peer that has proven its key."""

    def setUp(self) -> None:
        TicketsTestCase.setUp(self)
        self.peer.announce()

    def test_it_is_not_announced_unsigned(self) -> None:
        for event in ("update", "stopped"):
            self.refused(self.peer.send(self.peer.body(event=event), None), "sign the announce")

    def test_its_announce_is_not_repeated(self) -> None:
        body = self.peer.body()
        signature = sign_announce(self.peer.key, body)
        self.assertEqual(self.peer.send(body, signature).code, 200)
        self.refused(self.peer.send(body, signature, "198.51.100.66"), "older")

    def test_who_shows_its_ticket_has_passed_until_the_next_is_due(self) -> None:
        body = self.peer.body(ticket=self.peer.ticket)
        self.assertEqual(self.peer.send(body, "00" * 64).code, 200)
        self.refused(self.peer.send(body, "00" * 64), "older")
        other = Caller(self.tracker, "other")
        other.announce()
        for wrong in (other.ticket, "a.b.c"):
            self.refused(self.peer.send(self.peer.body(ticket=wrong), "00" * 64), "not signed")
        self.tracker.clock.advance(TICKET_LIFE_S / 2 + 1)
        body = self.peer.body(ticket=self.peer.ticket)
        self.refused(self.peer.send(body, "00" * 64), "not signed")

    def test_nothing_is_leased_in_its_name(self) -> None:
        self.refused(self.peer.lease(None), "the ticket")
        other = Caller(self.tracker, "other")
        other.announce()
        self.refused(self.peer.lease(other.ticket), "somebody else's")
        self.refused(self.peer.lease("a.b.c"), "not signed")
        self.assertEqual(self.peer.lease(self.peer.ticket).code, 200)

    def test_its_former_ticket_is_good_until_it_ends(self) -> None:
        former = self.peer.ticket
        self.tracker.clock.advance(TICKET_LIFE_S / 2 + 1)
        self.peer.announce()
        self.assertNotEqual(self.peer.ticket, former)
        self.assertEqual(self.peer.lease(former).code, 200)
        self.tracker.clock.advance(TICKET_LIFE_S / 2 + 60)
        self.refused(self.peer.lease(former), "expired")

    def test_after_a_restart_its_ticket_proves_it_again(self) -> None:
        self.tracker = self.peer.tracker = self.started()
        self.assertEqual(self.peer.lease(self.peer.ticket).code, 200)
        self.refused(self.peer.lease(None), "the ticket")

    def test_who_is_long_gone_is_forgotten(self) -> None:
        self.tracker.clock.advance(TICKET_LIFE_S + 1)
        self.assertEqual(self.peer.send(self.peer.body(), None).code, 200)

    def test_what_is_remembered_is_bounded(self) -> None:
        self.patch(tickets_module, "MAX_TICKETS", 3)
        for number in range(5):
            Caller(self.tracker, f"peer {number}").announce()
        assert self.tracker.service.api.tickets is not None
        self.assertEqual(len(self.tracker.service.api.tickets._proven), 3)


class AdmissionTests(TicketsTestCase):
    def setUp(self) -> None:
        TicketsTestCase.setUp(self)
        self.tracker = self.started(owners=(public_bytes(STRANGER), public_bytes(OWNER)))

    def caller(self, key: Ed25519PrivateKey = OWNER, swarm: bytes | None = None) -> Caller:
        return Caller(self.tracker, "viewer", sign_token(key, swarm, self.tracker.wall(), 60))

    def test_a_token_of_the_owner_admits(self) -> None:
        for swarm in (None, SWARM):
            caller = self.caller(swarm=swarm)
            self.assertEqual(caller.announce().code, 200)
            self.assertEqual(caller.lease(caller.ticket).code, 200)
            self.tracker.clock.advance(TICKET_LIFE_S + 1)

    def test_without_one_a_sentence_says_what_to_do(self) -> None:
        self.refused(Caller(self.tracker).announce(), "--token-file")

    def test_one_for_another_film(self) -> None:
        self.refused(self.caller(swarm=OTHER_SWARM).announce(), "another film")

    def test_an_expired_one(self) -> None:
        caller = self.caller()
        self.assertEqual(caller.announce().code, 200)
        self.tracker.clock.advance(121)
        self.refused(caller.announce(), "expired")

    def test_one_by_somebody_else(self) -> None:
        nobody = Ed25519PrivateKey.from_private_bytes(b"nobody".ljust(32))
        self.refused(self.caller(nobody).announce(), "refused")

    def test_a_token_alone_is_not_enough(self) -> None:
        caller = self.caller()
        self.refused(caller.send(caller.body(), None), "sign the announce")

    def test_who_was_not_admitted_leases_nothing(self) -> None:
        self.refused(Caller(self.tracker).lease(None), "the ticket")

    def test_whose_token_has_ended_may_say_goodbye(self) -> None:
        caller = self.caller()
        caller.announce()
        self.tracker.clock.advance(121)
        self.assertEqual(caller.announce(event="stopped").code, 200)

    def test_tokens_remembered_are_bounded(self) -> None:
        self.patch(tickets_module, "MAX_TOKENS", 2)
        for seconds in range(4):
            text = sign_token(OWNER, None, self.tracker.wall(), 60 + seconds)
            Caller(self.tracker, f"viewer {seconds}", text).announce()
        assert self.tracker.service.api.tickets is not None
        self.assertEqual(len(self.tracker.service.api.tickets._tokens), 2)


class TokenProgramTests(SynchronousTestCase):
    """python -m dashp2p.tracker.token"""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.patch(sys, "stdout", self)
        self.key = Path(self.mktemp())

    def write(self, text: str) -> int:
        if text.strip():
            self.said.append(text.strip())
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def made(self, *arguments: str) -> str:
        token.main(["--key", str(self.key), *arguments])
        return self.said[-1]

    def test_a_token_for_all_films_that_the_printed_key_checks(self) -> None:
        made, shown = self.made(), self.made("--show-key")
        self.assertIsNone(read_token(made, bytes.fromhex(shown)).swarm)

    def test_for_one_film(self) -> None:
        film = MemoryFilm.make(segments=1)
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "index.sig").write_bytes(film.files["index.sig"])
        shown = bytes.fromhex(self.made("--show-key"))
        swarm = film.signature.swarm_id
        self.assertEqual(read_token(self.made("--folder", str(folder)), shown).swarm, swarm)
        self.assertEqual(read_token(self.made("--swarm", swarm.hex()), shown).swarm, swarm)

    def test_a_folder_without_a_film_is_one_clear_line(self) -> None:
        error = self.assertRaises(SystemExit, self.made, "--folder", self.mktemp())
        self.assertIn("index.sig", str(error))
