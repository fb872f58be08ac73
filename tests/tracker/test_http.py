"""The tracker's HTTP face, through its whole service but without sockets."""

from __future__ import annotations

import json
import re

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker import limits
from dashp2p.tracker.memory import MemoryRegistry, RegistryRules
from tests.tracker.support import (
    OTHER_SWARM,
    SWARM,
    Tracker,
    announce_fields,
    lease_fields,
    peer_id,
    want,
)

JSON = "Content-Type: application/json"
OUTSIDE = "203.0.113.9"
NAT = "198.51.100.7"


class TrackerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.tracker = Tracker()


class AnnounceTests(TrackerCase):
    def test_the_first_peer_learns_its_address_and_when_to_announce_again(self) -> None:
        answer = self.tracker.announce(1, NAT)
        self.assertEqual(
            answer,
            {
                "v": 1,
                "interval_s": 30.0,
                "ttl_s": 75.0,
                "address": NAT,
                "peers": [],
                "swarm_peers": 1,
                "ticket": None,
            },
        )

    def test_two_peers_of_one_machine_learn_of_each_other(self) -> None:
        self.tracker.announce(1)
        answer = self.tracker.announce(2)
        self.assertEqual(
            answer["peers"], [{"peer": peer_id(1).hex(), "host": "127.0.0.1", "port": 4001}]
        )
        self.assertEqual(self.tracker.dialler.dialled, [])

    def test_peers_behind_one_nat_learn_their_private_addresses(self) -> None:
        self.tracker.announce(1, NAT, private=["10.0.0.5:4001"])
        answer = self.tracker.announce(2, NAT, private=["10.0.0.6:4001"])
        self.assertEqual(
            answer["peers"], [{"peer": peer_id(1).hex(), "host": "10.0.0.5", "port": 4001}]
        )

    def test_a_stranger_is_told_of_a_peer_once_it_answered_a_dial(self) -> None:
        self.tracker.announce(1, NAT, private=["10.0.0.5:4001"])
        self.assertEqual(self.tracker.announce(2, OUTSIDE)["peers"], [])
        self.assertEqual(self.tracker.dialler.dialled, [f"{NAT}:4001", f"{OUTSIDE}:4002"])
        self.tracker.dialler.endpoints[0].answer()
        self.assertEqual(
            self.tracker.announce(2, OUTSIDE)["peers"],
            [{"peer": peer_id(1).hex(), "host": NAT, "port": 4001}],
        )

    def test_a_peer_that_does_not_answer_a_dial_is_told_behind_its_nat_only(self) -> None:
        self.tracker.announce(1, NAT, private=["10.0.0.5:4001"])
        self.tracker.dialler.endpoints[0].refuse()
        self.assertEqual(self.tracker.announce(2, OUTSIDE)["peers"], [])
        self.assertEqual(len(self.tracker.announce(3, NAT)["peers"]), 1)

    def test_an_address_is_dialled_once_in_a_while_not_at_each_announce(self) -> None:
        for _ in range(4):
            self.tracker.announce(1, NAT)
        self.tracker.dialler.endpoints[0].answer()
        self.tracker.announce(1, NAT)
        self.assertEqual(self.tracker.dialler.dialled, [f"{NAT}:4001"])

    def test_who_stops_or_does_not_listen_is_not_dialled(self) -> None:
        self.tracker.announce(1, NAT, event="stopped")
        self.tracker.announce(2, NAT, port=0)
        self.assertEqual(self.tracker.dialler.dialled, [])

    def test_what_a_proxy_header_says_of_an_address_is_not_believed(self) -> None:
        body = json.dumps(announce_fields(1)).encode()
        answer = self.tracker.send(
            "POST",
            "/announce",
            body,
            JSON,
            "X-Forwarded-For: 8.8.8.8",
            "Forwarded: for=8.8.8.8",
            "X-Real-IP: 8.8.8.8",
            host=NAT,
        )
        self.assertEqual(json.loads(answer.body)["address"], NAT)
        self.assertEqual(self.tracker.dialler.dialled, [f"{NAT}:4001"])

    def test_who_stops_is_gone(self) -> None:
        self.tracker.announce(1)
        self.tracker.announce(1, event="stopped")
        self.assertEqual(self.tracker.announce(2)["peers"], [])

    def test_who_is_silent_is_forgotten_by_the_clock_alone(self) -> None:
        self.tracker.announce(1)
        self.tracker.clock.pump([1.0] * 76)
        swarms = json.loads(self.tracker.get("/swarms").body)["swarms"]
        self.assertEqual(swarms, [])


class PaceTests(TrackerCase):
    def test_a_peer_that_announces_too_often_is_told_when_to_come_again(self) -> None:
        for _ in range(limits.ANNOUNCES_BURST):
            self.tracker.announce(1)
        answer = self.tracker.post("/announce", announce_fields(1))
        self.assertEqual((answer.code, answer.headers["retry-after"]), (429, "4"))
        self.assertIn("Retry-After", json.loads(answer.body)["error"])
        self.tracker.announce(2)
        self.tracker.clock.advance(5.0)
        self.tracker.announce(1)

    def test_who_leaves_is_never_held_up(self) -> None:
        for _ in range(limits.ANNOUNCES_BURST):
            self.tracker.announce(1)
        self.assertEqual(self.tracker.announce(1, event="stopped")["swarm_peers"], 0)

    def test_a_peer_asks_for_leases_so_often(self) -> None:
        self.tracker.announce(1)
        for _ in range(limits.LEASES_BURST):
            self.tracker.lease(1)
        self.assertEqual(self.tracker.post("/lease", lease_fields(1)).code, 429)

    def test_an_address_is_paced_before_its_call_is_read_and_this_machine_is_not(self) -> None:
        self.patch(limits, "ADDRESS_BURST", 3)
        self.tracker = Tracker(calls_per_address=1)
        for n in (1, 2, 3):
            self.tracker.announce(n, NAT)
        answer = self.tracker.send("POST", "/announce", b"nonsense", JSON, host=NAT)
        self.assertEqual(answer.code, 429)
        self.tracker.announce(5, OUTSIDE)
        for n in range(6, 16):
            self.tracker.announce(n)


class LeaseTests(TrackerCase):
    def setUp(self) -> None:
        super().setUp()
        for n in (1, 2, 3):
            self.tracker.announce(n)

    def test_one_is_granted_and_the_next_learns_who_leads(self) -> None:
        (granted,) = self.tracker.lease(1, want=[want(7)])
        self.assertEqual(
            granted,
            {
                "segment": 7,
                "granted": True,
                "epoch": granted["epoch"],
                "expires_s": 1.0,
                "first": 0,
                "count": 20,
            },
        )
        (refused,) = self.tracker.lease(2, want=[want(7)])
        self.assertEqual(
            refused,
            {
                "segment": 7,
                "granted": False,
                "epoch": granted["epoch"],
                "leader": peer_id(1).hex(),
                "holders": [],
                "retry_s": 1.0,
            },
        )

    def test_answers_come_in_the_order_of_the_wants(self) -> None:
        self.tracker.lease(1, want=[want(5)])
        answers = self.tracker.lease(2, want=[want(9), want(5), want(2)])
        self.assertEqual(
            [(each["segment"], each["granted"]) for each in answers],
            [(9, True), (5, False), (2, True)],
        )

    def test_an_expired_lease_is_taken_over_under_a_higher_epoch(self) -> None:
        (first,) = self.tracker.lease(1, want=[want(7)])
        self.tracker.clock.advance(1.0)
        (second,) = self.tracker.lease(2, want=[want(7)])
        self.assertTrue(second["granted"])
        self.assertGreater(second["epoch"], first["epoch"])
        [swarm] = json.loads(self.tracker.get("/swarms").body)["swarms"]
        self.assertEqual(swarm["takeovers"], 1)

    def test_progress_keeps_it_and_done_makes_a_holder(self) -> None:
        (lease,) = self.tracker.lease(1, want=[want(7)])
        mark = {"segment": 7, "epoch": lease["epoch"]}
        for blocks_done in (1, 2, 3):
            self.tracker.clock.advance(0.8)
            self.tracker.lease(1, progress=[{**mark, "blocks_done": blocks_done}])
        self.assertFalse(self.tracker.lease(2, want=[want(7)])[0]["granted"])
        self.tracker.lease(1, done=[mark])
        (answer,) = self.tracker.lease(2, want=[want(7)])
        self.assertEqual((answer["leader"], answer["holders"]), (None, [peer_id(1).hex()]))

    def test_a_holder_tried_in_vain_frees_the_way(self) -> None:
        self.tracker.lease(1, done=[{"segment": 7, "epoch": 0}])
        (answer,) = self.tracker.lease(2, want=[want(7, refused=[peer_id(1).hex()])])
        self.assertTrue(answer["granted"])

    def test_who_was_forgotten_is_served_and_asked_to_announce_itself(self) -> None:
        answer = self.tracker.call("/lease", lease_fields(9, want=[want(7)]))
        self.assertTrue(answer["leases"][0]["granted"])
        self.assertIs(answer["announce"], True)
        self.tracker.announce(9)
        self.assertNotIn("announce", self.tracker.call("/lease", lease_fields(9)))

    def test_the_answer_says_how_the_leader_is_reached(self) -> None:
        self.tracker.lease(1, want=[want(7)])
        answer = self.tracker.call("/lease", lease_fields(2, want=[want(7)]))
        self.assertEqual(
            answer["peers"], [{"peer": peer_id(1).hex(), "host": "127.0.0.1", "port": 4001}]
        )


class RefusalTests(TrackerCase):
    def test_a_call_must_be_json_by_its_type(self) -> None:
        body = json.dumps(announce_fields(1)).encode()
        for headers in ((), ("Content-Type: text/plain",), ("Content-Type: application/jsonx",)):
            answer = self.tracker.send("POST", "/announce", body, *headers)
            self.assertEqual(answer.code, 415)
        typed = "Content-Type: Application/JSON; charset=utf-8"
        self.assertEqual(self.tracker.send("POST", "/announce", body, typed).code, 200)

    def test_an_announce_may_have_8_kib(self) -> None:
        body = b" " * limits.MAX_ANNOUNCE_BYTES + json.dumps(announce_fields(1)).encode()
        answer = self.tracker.send("POST", "/announce", body, JSON)
        self.assertEqual(answer.code, 413)

    def test_a_lease_call_may_have_64_kib(self) -> None:
        self.tracker.announce(1)
        done = [{"segment": n, "epoch": 123456789} for n in range(1000)]
        self.tracker.lease(1, done=done)
        body = b" " * limits.MAX_LEASE_BYTES + b"{}"
        self.assertEqual(self.tracker.send("POST", "/lease", body, JSON).code, 413)

    def test_each_refusal_says_what_to_do_in_json(self) -> None:
        for method, path, code in (
            ("POST", "/announce", 415),
            ("GET", "/announce", 405),
            ("PUT", "/lease", 405),
            ("POST", "/swarms", 405),
            ("GET", "/nothing/here", 404),
            ("GET", "/announce/more", 405),
            ("GET", "/tracker", 400),
            ("GET", "/tracker?segment=" + "x" * 600, 400),
            ("GET", "/tracker?segment=1&swarm=xyz", 400),
        ):
            answer = self.tracker.send(method, path)
            self.assertEqual(answer.code, code, path)
            fields = json.loads(answer.body)
            self.assertEqual(fields["v"], 1)
            self.assertRegex(fields["error"], r"^\w.{10,}")

    def test_an_error_of_ours_is_a_500_and_tells_nothing(self) -> None:
        async def fails(*args: object) -> None:
            raise ZeroDivisionError("a secret")

        self.patch(MemoryRegistry, "announce", fails)
        answer = self.tracker.post("/announce", announce_fields(1))
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_full_tracker_says_so(self) -> None:
        tracker = Tracker(registry=RegistryRules(swarms=1))
        tracker.announce(1)
        answer = tracker.post("/announce", announce_fields(2, swarm=OTHER_SWARM.hex()))
        self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "120"))


class LogTests(TrackerCase):
    def test_what_happens_is_logged_by_id_and_never_by_address(self) -> None:
        with capturedLogs() as events:
            self.tracker.announce(1, NAT, event="started", private=["10.0.0.5:4001"])
            self.tracker.dialler.endpoints[0].refuse()
            self.tracker.announce(2, OUTSIDE)
        text = " ".join(formatEvent(event) for event in events)
        self.assertIn(f"a swarm begins: {SWARM.hex()}", text)
        for address in (NAT, OUTSIDE, "10.0.0.5"):
            self.assertNotIn(address, text)

    def test_a_stranger_does_not_fill_the_log(self) -> None:
        self.tracker = Tracker(registry=RegistryRules(swarms=3))
        with capturedLogs() as events:
            for n in range(100):
                swarm = bytes([n]).hex() * 32
                self.tracker.post("/announce", announce_fields(n, swarm=swarm, event="started"))
        self.assertLess(len(events), 15)


class QuestionTests(TrackerCase):
    def setUp(self) -> None:
        super().setUp()
        self.tracker.announce(1, stats={"peers_bytes": 2_000_000, "buffer_s": 4.5}, have=2)
        self.tracker.announce(2)
        self.tracker.lease(1, want=[want(7, path="chunk_0_1.m4s")])
        self.tracker.lease(2, done=[{"segment": 7, "epoch": 0}])

    def test_people_may_ask_who_has_a_segment(self) -> None:
        for key in ("chunk_0_1.m4s", "7", f"7&swarm={SWARM.hex()}"):
            fields = json.loads(self.tracker.get(f"/tracker?segment={key}").body)
            self.assertEqual(fields["segment"], key.partition("&")[0])
            self.assertEqual(fields["position"], 7)
            self.assertEqual(fields["leader"], peer_id(1).hex())
            self.assertEqual(fields["holders"], [peer_id(2).hex()])
            self.assertEqual(fields["swarm"], SWARM.hex())

    def test_a_segment_that_nobody_asked_for_has_no_holders(self) -> None:
        fields = json.loads(self.tracker.get("/tracker?segment=none.m4s").body)
        self.assertEqual((fields["holders"], fields["leader"], fields["epoch"]), ([], None, 0))

    def test_swarms_are_told_in_figures(self) -> None:
        (swarm,) = json.loads(self.tracker.get("/swarms").body)["swarms"]
        self.assertEqual((swarm["swarm"], swarm["peers"]), (SWARM.hex(), 2))
        self.assertEqual((swarm["leases"], swarm["granted"], swarm["takeovers"]), (1, 1, 0))
        self.assertEqual((swarm["segments_held"], swarm["totals"]), (1, {"peers_bytes": 2_000_000}))
        self.assertNotIn("members", swarm)

    def test_one_swarm_is_told_with_its_peers_by_id(self) -> None:
        answer = self.tracker.get(f"/swarms?swarm={SWARM.hex()}")
        (swarm,) = json.loads(answer.body)["swarms"]
        self.assertEqual(
            [member["peer"] for member in swarm["members"]], [peer_id(2).hex(), peer_id(1).hex()]
        )
        self.assertEqual(swarm["members"][1]["stats"]["buffer_s"], 4.5)
        self.assertNotIn(b"127.0.0.1", answer.body)
        none = self.tracker.get(f"/swarms?swarm={OTHER_SWARM.hex()}")
        self.assertEqual(json.loads(none.body)["swarms"], [])

    def test_the_metrics_are_prometheus_text(self) -> None:
        self.tracker.post("/announce", {})
        text = self.tracker.get("/metrics").body.decode()
        for line in (
            "dashp2p_tracker_swarms 1.0",
            "dashp2p_tracker_peers 2.0",
            "dashp2p_tracker_leases 1.0",
            "dashp2p_tracker_leases_granted_total 1.0",
            'dashp2p_tracker_announces_total{event="update"} 2.0',
            "dashp2p_tracker_lease_calls_total 2.0",
            'dashp2p_tracker_refused_total{status="400"} 1.0',
            'dashp2p_tracker_dialbacks_total{result="answered"} 0.0',
        ):
            self.assertIn(line + "\n", text)
        names = set(re.findall(r"^# HELP (dashp2p_\w+) .+", text, re.MULTILINE))
        used = set(re.findall(r"^(dashp2p_\w+)", text, re.MULTILINE))
        self.assertEqual({name.removesuffix("_created") for name in used}, names)

    def test_what_tells_about_viewers_answers_this_machine_only(self) -> None:
        for path in ("/", "/swarms", "/tracker?segment=7", "/metrics", "/live?once=1"):
            self.assertEqual(self.tracker.get(path).code, 200, path)
            self.assertEqual(self.tracker.get(path, host=OUTSIDE).code, 403, path)
            self.assertEqual(self.tracker.get(path, host="10.0.0.5").code, 403, path)

    def test_nor_does_it_answer_a_page_that_rebinds_its_name_or_a_proxy(self) -> None:
        for header in ("Host: evil.example", "X-Forwarded-For: 203.0.113.9"):
            self.assertEqual(self.tracker.get("/swarms", header).code, 403)

    def test_on_the_admin_listener_it_answers_everyone(self) -> None:
        for path in ("/", "/swarms", "/tracker?segment=7", "/metrics"):
            answer = self.tracker.get(path, host=OUTSIDE, admin=True)
            self.assertEqual(answer.code, 200, path)

    def test_health_is_told_to_everyone(self) -> None:
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.tracker.get(path, host=OUTSIDE).code, 200)

    def test_head_is_answered_without_a_body(self) -> None:
        for path in ("/", "/swarms"):
            answer = self.tracker.send("HEAD", path)
            self.assertEqual((answer.code, answer.body), (200, b""))
            self.assertGreater(int(answer.headers["content-length"]), 10)
