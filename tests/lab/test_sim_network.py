"""The simulator's network, tested on itself first: or its figures would prove nothing."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.selftest import CASES, ROUND_TRIP_S, UPLINK_BPS
from dashp2p.lab.sim.clock import Clock, LivelockError
from dashp2p.lab.sim.connection import Dial, End, pair
from dashp2p.lab.sim.flow import Flow, Path
from dashp2p.lab.sim.origin import Fetch, HttpClient, Origin
from dashp2p.lab.sim.pipes import Host, Pipe, Wiring

MESSAGE_BYTES = 16_384


def path(seed: int = 1) -> Path:
    return Path(Clock(), random.Random(seed))


def host(name: str, uplink_bps: float = 20e6, loss: float = 0.0, delay_s: float = 0.01) -> Host:
    return Host.make(name, uplink_bps, 50e6, delay_s, loss)


def bulk_rate_bps(flow: Flow, seconds: float) -> float:
    """What one flow carries that always has something to send."""
    came: list[int] = []
    clock = flow.path.clock

    def more() -> None:
        while flow.unsent_bytes < 4 * MESSAGE_BYTES:
            flow.send(MESSAGE_BYTES, MESSAGE_BYTES)
        flow.ask_writable()
        flow.flush()

    flow.deliver = came.append
    flow.writable = more
    more()
    clock.run_until(seconds)
    return sum(came) * 8 / seconds


class ClockTests(SynchronousTestCase):
    def test_things_happen_in_order_and_equals_as_they_were_asked_for(self) -> None:
        clock, seen = Clock(), list[str]()
        clock.post(2.0, seen.append, "c")
        clock.post(1.0, seen.append, "a")
        clock.post(1.0, seen.append, "b")
        clock.run_until(3.0)
        self.assertEqual((seen, clock.now), (["a", "b", "c"], 3.0))

    def test_what_is_cancelled_does_not_happen(self) -> None:
        clock, seen = Clock(), list[str]()
        timer = clock.call_later(1.0, lambda: seen.append("no"))
        timer.cancel()
        clock.run_until(2.0)
        self.assertEqual((seen, timer.active), ([], False))

    def test_nothing_beyond_the_end_happens(self) -> None:
        clock, seen = Clock(), list[str]()
        clock.post(2.5, seen.append, "late")
        clock.run_until(2.0)
        self.assertEqual((seen, clock.now), ([], 2.0))

    def test_time_that_stands_still_is_an_error(self) -> None:
        clock = Clock()

        def again() -> None:
            clock.post(clock.now, again)

        clock.post(1.0, again)
        self.assertRaises(LivelockError, clock.run_until, 2.0)


class FlowTests(SynchronousTestCase):
    def test_one_flow_is_as_slow_as_a_real_one_over_the_same_path(self) -> None:
        """The lab's own cases, measured on a kernel: 40 ms, and loss."""
        for case in CASES:
            made = []
            for seed in range(3):
                one = host("a", UPLINK_BPS, case.loss.rate)
                flow = Flow(path(seed), one, host("b"), ROUND_TRIP_S / 2, print)
                made.append(bulk_rate_bps(flow, 15.0))
            rate = sorted(made)[1]
            low, high = (case.expected_bps * (1 + sign * case.tolerance) for sign in (-1, 1))
            self.assertTrue(low <= rate <= high, f"{case.name}: {rate / 1e6:.2f} Mbit/s")

    def test_two_flows_share_an_uplink(self) -> None:
        shared, one = path(), host("a")
        counts: list[list[int]] = [[], []]
        for number, came in enumerate(counts):
            flow = Flow(shared, one, host(f"b{number}"), 0.005, came.append)
            for _ in range(200):
                flow.send(MESSAGE_BYTES, MESSAGE_BYTES)
            flow.flush()
        shared.clock.run_until(1.0)
        carried = [sum(came) * 8 for came in counts]
        self.assertTrue(18e6 < sum(carried) <= 20e6, carried)
        self.assertTrue(0.6 < carried[0] / carried[1] < 1.7, carried)

    def test_messages_come_whole_and_in_order_over_a_lossy_path(self) -> None:
        came: list[Any] = []
        flow = Flow(path(), host("a", loss=0.2), host("b"), 0.01, came.append)
        for number in range(50):
            flow.send(number, 3000)
        flow.flush()
        flow.path.clock.run_until(60.0)
        self.assertEqual(came, list(range(50)))

    def test_the_writer_is_called_when_little_is_left_unsent(self) -> None:
        flow = Flow(path(), host("a", uplink_bps=1e6), host("b"), 0.01, lambda message: None)
        unsent: list[int] = []
        flow.writable = lambda: unsent.append(flow.unsent_bytes)
        flow.send("data", 200_000)
        flow.ask_writable()
        flow.flush()
        self.assertGreater(flow.unsent_bytes, 100_000)
        flow.path.clock.run_until(5.0)
        self.assertEqual(len(unsent), 1)
        self.assertLessEqual(unsent[0], 32 * 1024)

    def test_a_frozen_host_takes_no_more_than_its_buffer(self) -> None:
        target = host("b")
        target.frozen = True
        flow = Flow(path(), host("a"), target, 0.001, lambda message: None)
        flow.send("data", 2_000_000)
        flow.flush()
        flow.path.clock.run_until(5.0)
        self.assertLess(flow.sent_bytes, 600_000)

    def test_a_pipe_keeps_its_rate(self) -> None:
        pipe = Pipe(8e6)
        self.assertAlmostEqual(pipe.enter(1448, 1.0), 1.0 + 1514 / 1e6)
        self.assertAlmostEqual(pipe.enter(1448, 1.0), 1.0 + 2 * 1514 / 1e6)


class Noted:
    """A side of a connection that only takes note."""

    def __init__(self) -> None:
        self.end: End | None = None
        self.came: list[Any] = []
        self.ended = 0

    def opened(self, end: End) -> None:
        self.end = end

    def arrived(self, message: Any) -> None:
        self.came.append(message)

    def writable(self) -> None:
        raise AssertionError("nobody asked")

    def lost(self) -> None:
        self.ended += 1


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = path()
        self.one, self.other = host("a"), host("b")
        self.caller, self.called = Noted(), Noted()
        self.failed: list[float] = []

    def dial(self, accepts: bool = True) -> None:
        Dial(
            self.path,
            Wiring(),
            self.one,
            self.other,
            self.caller,
            lambda: self.called if accepts else None,
            lambda: self.failed.append(self.path.clock.now),
            3.0,
        ).start()

    def run_for(self, seconds: float) -> None:
        self.path.clock.run_until(self.path.clock.now + seconds)

    def test_a_connection_takes_a_round_trip(self) -> None:
        self.dial()
        self.run_for(0.039)
        self.assertIsNone(self.caller.end)
        self.run_for(0.003)
        self.assertIsNotNone(self.caller.end)

    def test_a_refusal_is_told_and_a_cut_host_says_nothing_till_the_timeout(self) -> None:
        self.dial(accepts=False)
        self.run_for(0.1)
        self.other.cut = True
        self.dial()
        self.run_for(5.0)
        self.assertEqual([round(at, 1) for at in self.failed], [0.0, 3.1])

    def test_what_was_sent_before_a_close_arrives(self) -> None:
        self.dial()
        self.run_for(0.1)
        assert self.caller.end is not None
        self.caller.end.send("last words", 100_000)
        self.caller.end.close()
        self.run_for(1.0)
        self.assertEqual((self.called.came, self.called.ended), (["last words"], 1))

    def test_a_killed_host_resets_its_connections(self) -> None:
        self.dial()
        self.run_for(0.1)
        self.other.kill()
        self.run_for(0.1)
        self.assertEqual((self.caller.ended, self.called.ended), (1, 0))

    def test_a_cut_host_leaves_its_connections_as_they_were(self) -> None:
        self.dial()
        self.run_for(0.1)
        self.other.cut = True
        self.run_for(10.0)
        self.assertEqual(self.caller.ended, 0)


class OriginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = path()
        self.origin = Origin(host("origin"))
        self.client = HttpClient(self.path, Wiring(), host("a"), self.origin)
        self.came: list[int] = []
        self.ends: list[bool] = []

    def fetch(self, pieces: int) -> Fetch:
        sizes = [(number, MESSAGE_BYTES) for number in range(pieces)]
        fetch = Fetch("file", sizes, self.came.append, self.ends.append)
        self.client.fetch(fetch)
        return fetch

    def test_pieces_come_in_order_and_are_counted(self) -> None:
        self.fetch(10)
        self.path.clock.run_until(5.0)
        self.assertEqual((self.came, self.ends), (list(range(10)), [False]))
        self.assertEqual(self.origin.queued_bytes, {"file": 10 * MESSAGE_BYTES})

    def test_a_cancelled_fetch_does_not_cost_the_whole_file(self) -> None:
        fetch = self.fetch(200)
        self.path.clock.run_until(0.2)
        self.client.cancel(fetch)
        self.path.clock.run_until(5.0)
        self.assertLess(self.origin.host.uplink.payload_bytes, 100 * MESSAGE_BYTES)
        self.assertEqual(self.ends, [])

    def test_an_origin_that_dies_fails_the_fetch(self) -> None:
        self.fetch(200)
        self.path.clock.run_until(0.2)
        self.origin.host.kill()
        self.path.clock.run_until(1.0)
        self.assertEqual(self.ends, [True])

    def test_a_silent_origin_fails_it_too(self) -> None:
        self.fetch(200)
        self.path.clock.run_until(0.2)
        self.origin.host.cut = True
        self.path.clock.run_until(12.0)
        self.assertEqual(self.ends, [True])

    def test_a_connection_is_used_again(self) -> None:
        self.fetch(1)
        self.path.clock.run_until(1.0)
        began = self.path.clock.now
        self.fetch(1)
        # Two round trips, for a window and a little more; dialling would take a third.
        self.path.clock.run_until(began + 0.1)
        self.assertEqual(self.ends, [False, False])


class PairTests(SynchronousTestCase):
    def test_both_directions_are_their_own(self) -> None:
        one, other = pair(path(), Wiring(), host("a"), host("b"))
        sides = Noted(), Noted()
        one.side, other.side = sides
        one.send("there", 100)
        other.send("back", 100)
        one.flush()
        other.flush()
        one.out.path.clock.run_until(1.0)
        self.assertEqual((sides[0].came, sides[1].came), (["back"], ["there"]))
