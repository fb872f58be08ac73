"""Talking to the tracker: what is sent, and that no answer, whatever it is, does harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.exchange import Address
from dashp2p.peer.fakenet import advance
from dashp2p.peer.fakeweb import Answer, Asked, MemoryResponse, MemoryWeb, memory_client
from dashp2p.peer.limits import MAX_PEERS_TAKEN, MAX_TRACKER_BYTES, TRACKER_TIMEOUT_S
from dashp2p.peer.tracker_client import Announced, TrackerClient, TrackerError
from dashp2p.swarm.commands import CallTracker, Held, Want
from dashp2p.swarm.leading import Grant
from tests.peer.support import SWARM, id_of
from tests.swarm.support import entry

ME, OTHER = id_of("me"), id_of("other")
DEEP = b"[" * 100_000

PEER = {"peer": OTHER.hex(), "host": "192.0.2.7", "port": 4001}
ANNOUNCED = {
    "v": 1,
    "interval_s": 30.0,
    "ttl_s": 75.0,
    "address": "198.51.100.7",
    "peers": [PEER],
    "swarm_peers": 2,
    "ticket": None,
}
GRANTED = {"segment": 1, "granted": True, "epoch": 7, "expires_s": 2.0, "first": 0, "count": 10}
ELSEWHERE = {
    "segment": 2,
    "granted": False,
    "epoch": 3,
    "leader": OTHER.hex(),
    "holders": [OTHER.hex()],
    "retry_s": 0.25,
}


class TrackerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.asked: list[Asked] = []
        self.answer: Answer = None
        web = MemoryWeb()
        web.sites["tracker.test"] = self._site
        self.tracker = TrackerClient(memory_client(web), self.clock, "http://tracker.test/", ME)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [], "a timer has outlived its call")

    def _site(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.answer

    def says(self, body: object, code: int = 200, **how: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = MemoryResponse(self.clock, code, raw, **how)

    @property
    def sent(self) -> dict[str, Any]:
        """The last call's JSON."""
        sent: dict[str, Any] = json.loads(self.asked[-1].body)
        return sent

    def announcing(self) -> Deferred[Announced]:
        return Deferred.fromCoroutine(
            self.tracker.announce(
                swarm_id=SWARM,
                event="started",
                port=4001,
                private=["10.0.0.5:4001"],
                wanted=30,
                upload_bps=20_000_000,
                have=3,
                public_key=b"k" * 32,
                stats={"peers_bytes": 5.0},
                served_by={"ab" * 8: 7},
            )
        )

    def announce(self) -> Announced:
        job = self.announcing()
        advance(self.clock, 1.0)
        return self.successResultOf(job)

    def leasing(self, call: CallTracker) -> Deferred[list[Grant]]:
        return Deferred.fromCoroutine(self.tracker.lease(SWARM, call))

    def lease(self, *wants: Want) -> list[Grant]:
        job = self.leasing(CallTracker(wants, (), (), ()))
        advance(self.clock, 1.0)
        return self.successResultOf(job)

    def refused(self, job: Deferred[Any]) -> str:
        advance(self.clock, 60.0)
        return str(self.failureResultOf(job, TrackerError).value)


def want(position: int = 1, missing: int = 0b11_1111_1111) -> Want:
    return Want(entry(position), missing, hedge=False)


def but(fields: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {**fields, **changes}


def without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


class AnnounceTests(TrackerTestCase):
    def test_it_tells_who_where_and_what(self) -> None:
        self.says(ANNOUNCED)
        self.announce()
        self.assertEqual(self.asked[0].path, "/announce")
        self.assertEqual(self.asked[0].method, "POST")
        self.assertEqual(self.asked[0].header("Content-Type"), "application/json")
        self.assertEqual(
            self.sent,
            {
                "v": 1,
                "swarm": SWARM.hex(),
                "peer": ME.hex(),
                "ticket_key": (b"k" * 32).hex(),
                "port": 4001,
                "private": ["10.0.0.5:4001"],
                "event": "started",
                "wanted": 30,
                "upload_bps": 20_000_000,
                "have": 3,
                "stats": {"peers_bytes": 5.0},
                "served_by": {"abababababababab": 7},
            },
        )

    def test_it_learns_of_others(self) -> None:
        self.says(ANNOUNCED)
        answer = self.announce()
        self.assertEqual(answer.peers, (Address(OTHER, "192.0.2.7", 4001),))
        self.assertEqual((answer.interval_s, answer.swarm_peers), (30.0, 2))

    def test_unknown_fields_are_ignored(self) -> None:
        self.says(but(ANNOUNCED, colour="red", peers=[but(PEER, mood="calm")]))
        self.assertEqual(len(self.announce().peers), 1)

    def test_the_interval_is_kept_within_reason(self) -> None:
        for told, kept in ((0, 1.0), (-5, 1.0), (1e9, 600.0), (45, 45.0)):
            self.says(but(ANNOUNCED, interval_s=told))
            self.assertEqual(self.announce().interval_s, kept)

    def test_no_more_peers_are_taken_than_the_bound(self) -> None:
        self.says(but(ANNOUNCED, peers=[PEER] * 500))
        self.assertEqual(len(self.announce().peers), MAX_PEERS_TAKEN)

    def test_malformed_answers_are_refused(self) -> None:
        for spoilt in (
            without(ANNOUNCED, "peers"),
            without(ANNOUNCED, "interval_s"),
            but(ANNOUNCED, peers=None),
            but(ANNOUNCED, peers={"a": 1}),
            but(ANNOUNCED, peers="abc"),
            but(ANNOUNCED, peers=[None]),
            but(ANNOUNCED, peers=["x"]),
            but(ANNOUNCED, peers=[without(PEER, "host")]),
            but(ANNOUNCED, peers=[without(PEER, "port")]),
            but(ANNOUNCED, peers=[without(PEER, "peer")]),
            but(ANNOUNCED, peers=[but(PEER, host="evil.example")]),
            but(ANNOUNCED, peers=[but(PEER, host="localhost")]),
            but(ANNOUNCED, peers=[but(PEER, host="")]),
            but(ANNOUNCED, peers=[but(PEER, host=2130706433)]),
            but(ANNOUNCED, peers=[but(PEER, host=None)]),
            but(ANNOUNCED, peers=[but(PEER, port=0)]),
            but(ANNOUNCED, peers=[but(PEER, port=65536)]),
            but(ANNOUNCED, peers=[but(PEER, port=-1)]),
            but(ANNOUNCED, peers=[but(PEER, port="http")]),
            but(ANNOUNCED, peers=[but(PEER, port=None)]),
            but(ANNOUNCED, peers=[but(PEER, peer="zz" * 32)]),
            but(ANNOUNCED, peers=[but(PEER, peer="00" * 31)]),
            but(ANNOUNCED, peers=[but(PEER, peer=7)]),
            but(ANNOUNCED, interval_s="soon"),
            but(ANNOUNCED, interval_s=None),
            but(ANNOUNCED, swarm_peers="many"),
            but(ANNOUNCED, swarm_peers=float("inf")),
            but(ANNOUNCED, interval_s=float("nan")),
        ):
            with self.subTest(spoilt=str(spoilt)):
                self.says(spoilt)
                self.refused(self.announcing())


class AnswerTests(TrackerTestCase):
    """Whatever comes instead of an answer is a TrackerError, so that whoever calls tries again."""

    def test_no_json(self) -> None:
        for body in (b"", b"<html>", b"\xff\xfe", b"{", b"nul", DEEP, b"9" * 10_000):
            self.says(body)
            self.refused(self.announcing())

    def test_json_that_is_no_object(self) -> None:
        others: tuple[object, ...] = (None, [], "x", 5, True)
        for body in others:
            self.says(body)
            self.refused(self.announcing())

    def test_an_error_is_told_with_its_sentence(self) -> None:
        self.says({"v": 1, "error": "too many calls"}, code=429)
        why = self.refused(self.announcing())
        self.assertIn("429", why)
        self.assertIn("too many calls", why)

    def test_an_error_page_of_some_proxy_is_told_with_its_status(self) -> None:
        self.says(b"<html>bad gateway</html>", code=502)
        self.assertIn("502", self.refused(self.announcing()))

    def test_an_answer_without_end_is_cut(self) -> None:
        raw = json.dumps(ANNOUNCED).encode()
        self.says(raw + b" " * (MAX_TRACKER_BYTES - len(raw) + 1))
        self.refused(self.announcing())

    def test_an_answer_up_to_the_bound_is_read(self) -> None:
        raw = json.dumps(ANNOUNCED).encode()
        self.says(raw + b" " * (MAX_TRACKER_BYTES - len(raw)))
        self.announce()

    def test_redirects_are_not_followed(self) -> None:
        for code in (302, 303, 307):
            self.says({}, code=code, headers={"Location": "http://tracker.test/elsewhere"})
            self.refused(self.announcing())
        self.assertEqual({asked.path for asked in self.asked}, {"/announce"})

    def test_a_tracker_that_is_away(self) -> None:
        self.assertIn("does not answer", self.refused(self.announcing()))

    def test_a_silent_tracker_is_given_up(self) -> None:
        self.answer = Deferred()
        job = self.announcing()
        advance(self.clock, TRACKER_TIMEOUT_S - 0.1)
        self.assertNoResult(job)
        advance(self.clock, 0.2)
        self.failureResultOf(job, TrackerError)

    def test_a_tracker_that_falls_silent_in_its_answer_is_given_up(self) -> None:
        self.says(ANNOUNCED, hangs_at=5, chunk_bytes=5)
        self.refused(self.announcing())

    def test_a_tracker_that_trickles_is_given_up_soon(self) -> None:
        self.says(ANNOUNCED, chunk_bytes=1, chunk_s=2.0)
        job = self.announcing()
        advance(self.clock, 3 * TRACKER_TIMEOUT_S)
        self.failureResultOf(job, TrackerError)
        advance(self.clock, 1.0)

    def test_a_call_can_be_cancelled(self) -> None:
        self.answer = Deferred()
        job = self.announcing()
        job.cancel()
        self.failureResultOf(job, CancelledError)


class LeaseTests(TrackerTestCase):
    def test_how_often_to_announce_is_passed_on_and_bounded(self) -> None:
        heard: list[float] = []
        self.tracker.hurried = heard.append
        for told in (5.0, 0.001, 1e9, "5", None, True):
            self.says({"v": 1, "leases": [GRANTED], "interval_s": told})
            self.lease(want())
        self.assertEqual(heard, [5.0, 1.0, 600.0])

    def test_a_want_says_what_and_how_much(self) -> None:
        self.says({"v": 1, "leases": [GRANTED]})
        self.lease(want())
        segment = entry(1)
        self.assertEqual(self.asked[0].path, "/lease")
        self.assertEqual(
            self.sent["want"],
            [
                {
                    "segment": 1,
                    "blocks": 10,
                    "path": segment.path,
                    "hedge": False,
                    "size_bytes": segment.size_bytes,
                    "media_bps": int(segment.size_bytes * 8 / 4.0),
                }
            ],
        )

    def test_missing_blocks_and_those_that_refused_are_told_when_there_are_some(self) -> None:
        self.says({"v": 1, "leases": [GRANTED]})
        self.lease(Want(entry(1), 0b11_0000_0001, True, (OTHER,)))
        [told] = self.sent["want"]
        self.assertEqual((told["missing"], told["hedge"]), ("301", True))
        self.assertEqual(told["refused"], [OTHER.hex()])

    def test_that_neighbours_bring_it_too_slowly_is_told(self) -> None:
        self.says({"v": 1, "leases": [GRANTED]})
        self.lease(Want(entry(1), 0b11, False, slow=True))
        self.assertIs(self.sent["want"][0]["slow"], True)

    def test_progress_ends_and_releases_are_told(self) -> None:
        self.says({"v": 1, "leases": []})
        call = CallTracker((), (Held(1, 7, 4),), (Held(2, 8, 10),), (Held(3, 9),))
        job = self.leasing(call)
        advance(self.clock, 1.0)
        self.assertEqual(self.successResultOf(job), [])
        self.assertEqual(self.sent["progress"], [{"segment": 1, "epoch": 7, "blocks_done": 4}])
        self.assertEqual(self.sent["done"], [{"segment": 2, "epoch": 8}])
        self.assertEqual(self.sent["release"], [{"segment": 3, "epoch": 9}])

    def test_grants_are_read(self) -> None:
        self.says({"v": 1, "leases": [GRANTED, ELSEWHERE]})
        self.assertEqual(
            self.lease(want(1), want(2)),
            [
                Grant(1, True, 7, 0, 10),
                Grant(2, False, 3, leader=OTHER, retry_s=0.25, holders=(OTHER,)),
            ],
        )

    def test_it_is_told_where_leader_and_holders_are(self) -> None:
        heard: list[tuple[Address, ...]] = []
        self.tracker.named = heard.append
        peers = [{"peer": OTHER.hex(), "host": "10.0.0.9", "port": 4001}]
        self.says({"v": 1, "leases": [ELSEWHERE], "peers": peers})
        self.lease(want(2))
        self.assertEqual(heard, [(Address(OTHER, "10.0.0.9", 4001),)])

    def test_names_instead_of_addresses_are_refused(self) -> None:
        peers = [{"peer": OTHER.hex(), "host": "evil.example", "port": 4001}]
        self.says({"v": 1, "leases": [ELSEWHERE], "peers": peers})
        self.refused(self.leasing(CallTracker((want(2),), (), (), ())))

    def test_it_is_told_when_the_tracker_has_forgotten_this_peer(self) -> None:
        heard: list[bool] = []
        self.tracker.forgotten = lambda: heard.append(True)
        self.says({"v": 1, "leases": [GRANTED], "announce": True})
        self.lease(want(1))
        self.assertEqual(heard, [True])

    def test_nobody_may_lead(self) -> None:
        self.says({"v": 1, "leases": [but(ELSEWHERE, leader=None)]})
        self.assertIsNone(self.lease(want(2))[0].leader)

    def test_the_time_to_wait_is_kept_within_reason(self) -> None:
        for told, kept in ((-1, 0.0), (1e9, 5.0), (0.3, 0.3)):
            self.says({"v": 1, "leases": [but(ELSEWHERE, retry_s=told)]})
            self.assertEqual(self.lease(want(2))[0].retry_s, kept)

    def test_malformed_answers_are_refused(self) -> None:
        answers: tuple[object, ...] = (
            without(GRANTED, "segment"),
            without(GRANTED, "granted"),
            without(GRANTED, "first"),
            without(GRANTED, "count"),
            but(GRANTED, first=-1),
            but(GRANTED, count=0),
            but(GRANTED, count=-1),
            but(GRANTED, count=4097),
            but(GRANTED, first=4090, count=10),
            but(GRANTED, first=10**12),
            but(GRANTED, first="x"),
            but(GRANTED, segment=2),
            but(GRANTED, segment="one"),
            but(GRANTED, epoch=-1),
            but(GRANTED, epoch=2**32),
            but(GRANTED, epoch=None),
            but(GRANTED, epoch=float("inf")),
            but(ELSEWHERE, segment=1, leader="zz"),
            but(ELSEWHERE, segment=1, leader=5),
            but(ELSEWHERE, segment=1, retry_s="x"),
            but(ELSEWHERE, segment=1, epoch=2**40),
            None,
            "x",
            [],
        )
        for spoilt in answers:
            with self.subTest(spoilt=str(spoilt)):
                self.says({"v": 1, "leases": [spoilt]})
                self.refused(self.leasing(CallTracker((want(1),), (), (), ())))

    def test_answers_to_something_else_are_refused(self) -> None:
        others: tuple[object, ...] = ([], [GRANTED, GRANTED], [ELSEWHERE], None, {}, "x")
        for leases in others:
            with self.subTest(leases=str(leases)):
                self.says({"v": 1, "leases": leases})
                self.refused(self.leasing(CallTracker((want(1),), (), (), ())))
