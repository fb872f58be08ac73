"""Staying in the swarm: often while alone, calmly later, patiently while the tracker is away."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.exchange import Address, Exchange
from dashp2p.peer.fakenet import MemoryNetwork, advance
from dashp2p.peer.fakeweb import Answer, Asked, MemoryResponse, MemoryWeb, memory_client
from dashp2p.peer.limits import TRACKER_TIMEOUT_S, WANTED_LINKS
from dashp2p.peer.membership import (
    EAGER_DELAYS_S,
    RETRY_MAX_S,
    WAITING_ROUNDS,
    Membership,
    local_address_towards,
)
from dashp2p.peer.tracker_client import TrackerClient
from dashp2p.wire.frames import Have
from tests.peer.support import SWARM, hello_of, id_of

INTERVAL_S = 30.0


class MembershipTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.times: list[float] = []
        self.calls: list[dict[str, Any]] = []
        self.away = False
        self.silent = False
        self.spoilt = False
        self.swarm_peers = 2
        self.peers: list[Address] = []
        web = MemoryWeb()
        web.sites["tracker.test"] = self._site
        tracker = TrackerClient(memory_client(web), self.clock, "http://tracker.test", id_of("me"))
        self.network = MemoryNetwork(self.clock)
        self.exchange = Exchange(
            self.clock,
            self.network.endpoint("127.0.0.1"),
            id_of("me"),
            lambda: hello_of("me"),
            lambda: Have(4, 0),
        )
        self.membership = Membership(
            tracker,
            self.exchange,
            self.clock,
            random.Random(3),
            SWARM,
            b"k" * 32,
            4001,
            ["10.0.0.5:4001"],
            20_000_000,
            lambda: 7,
            lambda: {"uptime_s": 1.0},
            lambda: {"ab" * 8: 7},
        )

    def tearDown(self) -> None:
        self.away = True
        Deferred.fromCoroutine(self.membership.stop())
        self.exchange.close()
        advance(self.clock, 5.0)
        self.assertEqual(self.clock.getDelayedCalls(), [], "it goes on after the end")

    def _site(self, asked: Asked) -> Answer:
        self.times.append(round(self.clock.seconds() - 500.0, 3))
        self.calls.append(json.loads(asked.body))
        if self.away:
            return None
        if self.silent:
            return Deferred()
        peers = [
            {"peer": peer.peer_id.hex(), "host": peer.host, "port": peer.port}
            for peer in self.peers
        ]
        answer = {"v": 1, "interval_s": INTERVAL_S, "peers": peers, "swarm_peers": self.swarm_peers}
        raw = b"[" * 50_000 if self.spoilt else json.dumps(answer).encode()
        return MemoryResponse(self.clock, 200, raw)

    def start(self, seconds: float = 0.05) -> None:
        self.membership.start()
        advance(self.clock, seconds)

    @property
    def gaps(self) -> list[float]:
        """The time between announces."""
        return [round(after - before, 3) for before, after in pairwise(self.times)]

    @property
    def events(self) -> list[str]:
        return [call["event"] for call in self.calls]

    def neighbour(self, name: str, port: int) -> Address:
        """Another peer of the swarm that answers."""
        other = Exchange(
            self.clock,
            self.network.endpoint("127.0.0.2"),
            id_of(name),
            lambda: hello_of(name),
            lambda: Have(4, 0),
        )
        self.network.listen("127.0.0.2", port, other)
        self.addCleanup(other.close)
        return Address(id_of(name), "127.0.0.2", port)


class WatchedTests(MembershipTestCase):
    """Somebody looks at the tracker's dashboard."""

    def setUp(self) -> None:
        MembershipTestCase.setUp(self)
        self.peers = [self.neighbour(f"n{number}", 5000 + number) for number in range(1)]
        self.start(20.0)  # beyond the eager first seconds
        self.calls.clear()
        self.times.clear()

    def test_it_announces_as_soon_as_it_is_asked_to(self) -> None:
        self.membership.sooner(5.0)
        advance(self.clock, 6.0)
        self.assertEqual(len(self.times), 1)

    def test_to_be_asked_again_and_again_does_not_put_it_off(self) -> None:
        for _ in range(8):
            self.membership.sooner(5.0)
            advance(self.clock, 1.0)
        self.assertEqual(len(self.times), 1)

    def test_figures_alone_ask_for_no_peers(self) -> None:
        for _ in range(10):
            self.membership.sooner(5.0)
            advance(self.clock, 6.0)
        wanted = [call["wanted"] for call in self.calls]
        self.assertEqual((len(wanted), wanted.count(30), wanted.count(0)), (10, 2, 8))

    def test_after_the_end_it_is_not_hurried(self) -> None:
        Deferred.fromCoroutine(self.membership.stop())
        self.membership.sooner(5.0)
        advance(self.clock, 20.0)
        self.assertEqual(self.events, ["stopped"])


class CalmTests(MembershipTestCase):
    def test_the_first_announce_goes_out_at_once(self) -> None:
        started = self.membership.start()
        advance(self.clock, 0.05)
        self.successResultOf(started)
        self.assertEqual((self.times, self.events), ([0.0], ["started"]))
        self.assertEqual(self.membership.announced_at, 500.0)
        self.assertTrue(self.membership.reachable)

    def test_it_tells_what_it_has(self) -> None:
        self.start()
        call = self.calls[0]
        self.assertEqual(call["port"], 4001)
        self.assertEqual(call["private"], ["10.0.0.5:4001"])
        self.assertEqual((call["have"], call["upload_bps"]), (7, 20_000_000))
        self.assertEqual(call["wanted"], WANTED_LINKS)

    def test_whom_the_tracker_names_is_dialled(self) -> None:
        self.peers = [self.neighbour("other", 4001)]
        self.start()
        self.assertEqual(list(self.exchange.links), [id_of("other")])

    def test_who_finds_few_asks_again_soon_and_then_less_and_less(self) -> None:
        self.start(60.0)
        eager = self.gaps[: len(EAGER_DELAYS_S)]
        for gap, delay_s in zip(eager, EAGER_DELAYS_S, strict=True):
            self.assertTrue(0.74 * delay_s <= gap <= 1.26 * delay_s, self.gaps)
        for gap in self.gaps[len(EAGER_DELAYS_S) :]:
            self.assertTrue(0.89 * INTERVAL_S <= gap <= 1.11 * INTERVAL_S, self.gaps)
        self.assertEqual(set(self.events[1:]), {"update"})

    def test_who_has_enough_neighbours_keeps_to_the_trackers_interval(self) -> None:
        self.swarm_peers = 3
        self.peers = [self.neighbour("one", 4001), self.neighbour("two", 4002)]
        self.start()
        self.times.clear()
        advance(self.clock, 20.0)
        self.assertLessEqual(len(self.times), 1)

    def test_who_is_getting_links_asks_again_a_little_later(self) -> None:
        self.swarm_peers = 3
        self.peers = [self.neighbour("one", 4001), self.neighbour("two", 4002)]
        self.start(3.0)
        self.assertEqual(len(self.gaps), 1)
        left_out_s = sum(EAGER_DELAYS_S[: WAITING_ROUNDS + 1])
        self.assertTrue(0.74 * left_out_s <= self.gaps[0] <= 1.26 * left_out_s, self.gaps)

    def test_who_misses_one_of_few_asks_again_at_once(self) -> None:
        self.swarm_peers = 3
        self.peers = [self.neighbour("one", 4001), Address(id_of("gone"), "127.0.0.2", 4009)]
        self.start(0.3)
        self.assertTrue(self.gaps[0] <= 1.26 * EAGER_DELAYS_S[0], self.gaps)

    def test_a_link_with_the_only_other_is_not_enough(self) -> None:
        self.peers = [self.neighbour("one", 4001)]
        self.start(0.3)
        self.assertEqual(len(self.gaps), 1)

    def test_intervals_differ_so_that_a_crowd_does_not_march_in_step(self) -> None:
        self.start(600.0)
        calm = self.gaps[len(EAGER_DELAYS_S) :]
        self.assertGreater(len(set(calm)), len(calm) // 2)

    def test_after_a_sleep_it_looks_for_neighbours_as_at_the_start(self) -> None:
        self.start(100.0)
        self.times.clear()
        self.clock.advance(8 * 3600.0)
        advance(self.clock, 20.0)
        self.assertGreaterEqual(len(self.times), len(EAGER_DELAYS_S))
        self.assertLess(len(self.times), 2 * len(EAGER_DELAYS_S))

    def test_a_late_second_is_no_sleep(self) -> None:
        self.start(100.0)
        self.times.clear()
        self.clock.advance(INTERVAL_S)
        advance(self.clock, 20.0)
        self.assertLessEqual(len(self.times), 2)


class StormTests(MembershipTestCase):
    def test_retries_back_off_with_jitter_up_to_a_minute(self) -> None:
        self.away = True
        self.start(1500.0)
        self.assertIs(self.membership.reachable, False)
        self.assertIsNone(self.membership.announced_at)
        for number, gap in enumerate(self.gaps, start=1):
            middle = min(RETRY_MAX_S, 1.5**number)
            self.assertTrue(0.49 * middle <= gap <= 1.51 * middle, (number, gap))
        self.assertGreater(max(self.gaps), 30.0)

    def test_the_first_announce_is_repeated_as_such_until_it_is_heard(self) -> None:
        self.away = True
        self.start(10.0)
        self.away = False
        advance(self.clock, 60.0)
        heard = self.events.index("update")
        self.assertEqual(set(self.events[:heard]), {"started"})
        self.assertEqual(set(self.events[heard:]), {"update"})

    def test_a_success_makes_the_next_retry_quick_again(self) -> None:
        self.away = True
        self.start(300.0)
        self.away = False
        advance(self.clock, 90.0)
        self.assertTrue(self.membership.reachable)
        self.away = True
        self.times.clear()
        advance(self.clock, 90.0)
        self.assertLess(self.gaps[0], 2.3)

    def test_a_failed_start_is_told_to_who_waits_for_it(self) -> None:
        self.away = True
        started = self.membership.start()
        advance(self.clock, 0.05)
        self.successResultOf(started)

    def test_a_tracker_that_hangs_is_tried_again(self) -> None:
        self.silent = True
        self.start(3 * TRACKER_TIMEOUT_S + 10)
        self.assertGreater(len(self.times), 2)
        self.silent = False
        advance(self.clock, 30.0)
        self.assertTrue(self.membership.reachable)

    def test_a_tracker_that_talks_rubbish_is_tried_again(self) -> None:
        self.spoilt = True
        self.start(10.0)
        self.assertGreater(len(self.times), 2)

    def test_the_outage_is_logged_once(self) -> None:
        messages = self._warnings_while_away()
        self.assertEqual(len(messages), 1, messages)

    def _warnings_while_away(self) -> list[str]:
        from twisted.logger import LogEvent, capturedLogs, formatEvent

        self.away = True
        with capturedLogs() as events:
            self.start(200.0)
        found: list[LogEvent] = [e for e in events if e["log_level"].name == "warn"]
        return [formatEvent(event) for event in found]


class LeavingTests(MembershipTestCase):
    def test_the_tracker_is_told(self) -> None:
        self.start()
        leaving = Deferred.fromCoroutine(self.membership.stop())
        advance(self.clock, 0.05)
        self.successResultOf(leaving)
        self.assertEqual(self.events[-1], "stopped")
        self.assertEqual(self.calls[-1]["wanted"], 0)
        advance(self.clock, 300.0)
        self.assertEqual(self.events.count("stopped"), 1)
        self.assertEqual(self.events[-1], "stopped")

    def test_who_was_never_heard_has_nothing_to_tell(self) -> None:
        self.away = True
        self.start()
        leaving = Deferred.fromCoroutine(self.membership.stop())
        self.successResultOf(leaving)
        self.assertNotIn("stopped", self.events)

    def test_a_tracker_that_is_away_does_not_hold_us_up(self) -> None:
        self.start()
        self.away = True
        leaving = Deferred.fromCoroutine(self.membership.stop())
        advance(self.clock, 0.05)
        self.successResultOf(leaving)

    def test_a_tracker_that_hangs_holds_us_up_for_seconds_only(self) -> None:
        self.start()
        self.silent = True
        leaving = Deferred.fromCoroutine(self.membership.stop())
        advance(self.clock, TRACKER_TIMEOUT_S + 0.1)
        self.successResultOf(leaving)

    def test_an_announce_under_way_is_given_up(self) -> None:
        self.silent = True
        self.membership.start()
        leaving = Deferred.fromCoroutine(self.membership.stop())
        advance(self.clock, 300.0)
        self.successResultOf(leaving)
        self.assertEqual(self.events, ["started"])


class LocalAddressTests(SynchronousTestCase):
    def test_it_is_the_one_that_packets_to_the_tracker_carry(self) -> None:
        self.assertEqual(local_address_towards("http://127.0.0.1:7000"), "127.0.0.1")

    def test_there_is_none_towards_nowhere(self) -> None:
        self.assertIsNone(local_address_towards("http://255.255.255.255:7000"))
