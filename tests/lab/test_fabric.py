"""The lab's network: rates, queues, delay and loss of each frame."""

from __future__ import annotations

import itertools

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.fabric import Delay, Fabric, PortSpec
from dashp2p.lab.loss import Loss

A = PortSpec("a", "10.77.0.1")
B = PortSpec("b", "10.77.0.2")
C = PortSpec("c", "10.77.0.3", group="core")


def frame(sender: PortSpec, receiver: PortSpec, size: int = 1000, mark: int = 0) -> bytes:
    head = receiver.mac + sender.mac + b"\x08\x00"
    return head + mark.to_bytes(4, "big") + bytes(size - len(head) - 4)


def mark_of(sent: bytes) -> int:
    return int.from_bytes(sent[14:18], "big")


def fabric(*ports: PortSpec, delays: tuple[Delay, ...] = (), seed: int = 1) -> Fabric:
    return Fabric(ports, delays, seed)


class UplinkTests(SynchronousTestCase):
    def test_a_frame_takes_its_time_on_the_uplink(self) -> None:
        network = fabric(evolve(A, uplink_bps=8000), B)
        network.accept(0.0, 0, [frame(A, B)])
        self.assertEqual(network.next_at(), 1.0)
        self.assertEqual(network.release(0.999), [])
        self.assertEqual([index for index, _ in network.release(1.0)], [1])

    def test_frames_wait_for_those_before_them(self) -> None:
        network = fabric(evolve(A, uplink_bps=8000, queue_s=10), B)
        network.accept(0.0, 0, [frame(A, B, mark=number) for number in range(3)])
        self.assertEqual([mark_of(sent) for _, sent in network.release(2.0)], [0, 1])

    def test_an_idle_uplink_earns_no_credit(self) -> None:
        network = fabric(evolve(A, uplink_bps=8000), B)
        network.accept(100.0, 0, [frame(A, B)])
        self.assertEqual(network.next_at(), 101.0)

    def test_the_queue_drops_what_would_wait_too_long(self) -> None:
        network = fabric(evolve(A, uplink_bps=8e6, queue_s=0.2005), B)
        network.accept(0.0, 0, [frame(A, B)] * 300)  # 1 ms each
        self.assertEqual(len(network.release(10.0)), 201)
        self.assertEqual(network.counters()["a/lan"].uplink_drops, 99)

    def test_without_a_rate_frames_cross_at_once(self) -> None:
        network = fabric(A, B)
        network.accept(5.0, 0, [frame(A, B)] * 1000)
        self.assertEqual(len(network.release(5.0)), 1000)

    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(60, 1514)), max_size=40))
    def test_never_more_than_the_rate_leaves(self, sent: list[tuple[float, int]]) -> None:
        rate_bps = 1e6
        network = fabric(evolve(A, uplink_bps=rate_bps, queue_s=100), B)
        for at_s, size in sorted(sent):
            network.accept(at_s, 0, [frame(A, B, size)])
        for tenth in range(30):
            now = tenth / 10
            network.release(now)
            received = network.counters()["b/lan"].received_bytes
            self.assertLessEqual(received * 8, rate_bps * now + 1e-3)


class DownlinkTests(SynchronousTestCase):
    def test_two_senders_share_the_receivers_downlink(self) -> None:
        network = fabric(A, B, evolve(C, downlink_bps=8000, queue_s=10))
        network.accept(0.0, 0, [frame(A, C)])
        network.accept(0.0, 1, [frame(B, C)])
        self.assertEqual(len(network.release(1.0)), 1)
        self.assertEqual(len(network.release(2.0)), 1)

    def test_its_queue_drops_too(self) -> None:
        network = fabric(A, evolve(B, downlink_bps=8e6, queue_s=0.0105))
        network.accept(0.0, 0, [frame(A, B)] * 100)
        network.release(0.0)
        self.assertEqual(len(network.release(1.0)), 11)
        self.assertEqual(network.counters()["b/lan"].downlink_drops, 89)


class WayTests(SynchronousTestCase):
    def test_delay_goes_by_the_pair_of_groups_in_either_direction(self) -> None:
        delays = (Delay("peer", "core", 0.02), Delay("peer", "peer", 0.0005))
        network = fabric(A, B, C, delays=delays)
        network.accept(0.0, 0, [frame(A, C), frame(A, B)])
        self.assertEqual([index for index, _ in network.release(0.001)], [1])
        network.release(0.02)
        network.accept(1.0, 2, [frame(C, A)])
        self.assertEqual(network.next_at(), 1.02)

    @given(st.integers(0, 100))
    def test_jitter_never_reorders(self, seed: int) -> None:
        network = fabric(A, B, delays=(Delay("peer", "peer", 0.01, 0.02),), seed=seed)
        for number in range(50):
            network.accept(number * 0.001, 0, [frame(A, B, mark=number)])
        marks = [mark_of(sent) for _, sent in network.release(10.0)]
        self.assertEqual(marks, list(range(50)))

    def test_lans_do_not_see_each_other(self) -> None:
        network = fabric(A, evolve(B, lan="site"))
        network.accept(0.0, 0, [frame(A, B)])
        self.assertEqual(network.release(1.0), [])

    def test_a_broadcast_reaches_all_but_its_sender(self) -> None:
        network = fabric(A, B, C)
        network.accept(0.0, 1, [b"\xff" * 6 + B.mac + b"\x08\x00" + bytes(50)])
        self.assertEqual(sorted(index for index, _ in network.release(0.0)), [0, 2])

    def test_a_cut_link_carries_nothing_either_way_until_it_is_mended(self) -> None:
        network = fabric(A, B)
        network.connect("a", False)
        network.accept(0.0, 0, [frame(A, B)])
        network.accept(0.0, 1, [frame(B, A)])
        self.assertEqual(network.release(1.0), [])
        network.connect("a", True)
        network.accept(1.0, 0, [frame(A, B)])
        self.assertEqual(len(network.release(1.0)), 1)

    def test_what_is_on_its_way_to_a_cut_host_is_lost(self) -> None:
        network = fabric(A, B, delays=(Delay("peer", "peer", 0.5),))
        network.accept(0.0, 0, [frame(A, B)])
        network.connect("b", False)
        self.assertEqual(network.release(1.0), [])

    def test_cutting_an_unknown_host_is_an_error(self) -> None:
        self.assertRaises(KeyError, fabric(A).connect, "nobody", False)


class LossTests(SynchronousTestCase):
    def _pattern(self, loss: Loss, seed: int = 1, frames: int = 20_000) -> list[bool]:
        network = fabric(evolve(A, loss=loss), B, seed=seed)
        network.accept(0.0, 0, [frame(A, B, 60, mark=number) for number in range(frames)])
        arrived = {mark_of(sent) for _, sent in network.release(0.0)}
        return [number not in arrived for number in range(frames)]

    def test_independent_losses_have_their_rate(self) -> None:
        lost = self._pattern(Loss(0.02))
        self.assertApproximates(sum(lost) / len(lost), 0.02, 0.004)

    def test_bursts_have_their_rate_and_mean_length(self) -> None:
        lost = self._pattern(Loss(0.10, burst=4))
        runs = [len(list(run)) for bad, run in itertools.groupby(lost) if bad]
        self.assertApproximates(sum(lost) / len(lost), 0.10, 0.02)
        self.assertApproximates(sum(runs) / len(runs), 4, 0.5)

    def test_the_seed_decides_which(self) -> None:
        again = [self._pattern(Loss(0.1), seed, 500) for seed in (1, 1, 2)]
        self.assertEqual(again[0], again[1])
        self.assertNotEqual(again[0], again[2])

    def test_a_lost_frame_has_used_the_uplink_all_the_same(self) -> None:
        network = fabric(evolve(A, uplink_bps=8000, queue_s=1e9, loss=Loss(0.5)), B)
        network.accept(0.0, 0, [frame(A, B)] * 100)
        network.release(1e9)
        network.accept(50.0, 0, [frame(A, B)] * 10)
        after = network.next_at()
        self.assertTrue(after is None or after > 100.0)

    def test_a_rate_of_one_or_a_burst_below_one_is_refused(self) -> None:
        self.assertRaises(ValueError, Loss, 1.0)
        self.assertRaises(ValueError, Loss, 0.1, 0.5)
