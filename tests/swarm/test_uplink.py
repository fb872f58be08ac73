"""Serving neighbours."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.commands import Refuse, Send
from dashp2p.swarm.leading import Grant
from dashp2p.wire.errors import Code
from tests.swarm.support import BLOCK, Bench, entry, full, peer


def holding(*names: str, blocks: int = 10, limit_bps: float | None = None) -> Bench:
    """A node that has segment 1, and neighbours."""
    bench = Bench(entry(blocks=blocks), upload_limit_bps=limit_bps)
    bench.node.hold([1])
    for name in names:
        bench.join(name)
    bench.quiet()
    return bench


def drain(bench: Bench, rounds: int = 200) -> list[tuple[bytes, int]]:
    """Let every link take all that it gets: (neighbour, block) in order of sending."""
    sent: list[tuple[bytes, int]] = []
    for _ in range(rounds):
        sends = bench.take(Send)
        if not sends:
            return sent
        for send in sends:
            sent.extend((send.peer_id, send.first + step) for step in range(send.count))
            bench.node.link_ready(send.peer_id, bench.now)
    raise AssertionError("it never ends")


class Serving(SynchronousTestCase):
    def test_a_request_is_answered_block_by_block_and_only_once(self) -> None:
        bench = holding("a")
        bench.ask("a", full(10))
        self.assertEqual(sorted(block for _, block in drain(bench)), list(range(10)))

    def test_what_is_neither_here_nor_coming_is_refused(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.ask("a", 0b11)
        [refusal] = bench.take(Refuse)
        self.assertEqual((refusal.blocks, refusal.code), (0b11, Code.NOT_HERE))

    def test_blocks_beyond_the_segment_are_a_bad_request(self) -> None:
        bench = holding("a")
        bench.ask("a", 1 << 10)
        [refusal] = bench.take(Refuse)
        self.assertEqual(refusal.code, Code.BAD_REQUEST)

    def test_more_than_may_be_outstanding_is_refused_as_busy(self) -> None:
        bench = holding("a", blocks=400)
        bench.ask("a", full(128))
        bench.ask("a", full(128) << 128, request_id=2)
        self.assertIn(Code.BUSY, [refusal.code for refusal in bench.take(Refuse)])

    def test_a_peer_that_does_not_upload_refuses(self) -> None:
        bench = Bench(uploads=False)
        bench.node.hold([1])
        bench.join("a")
        bench.ask("a", 1)
        [refusal] = bench.take(Refuse)
        self.assertEqual(refusal.code, Code.NOT_HERE)

    def test_who_is_closing_sends_what_it_owes_and_takes_on_no_more(self) -> None:
        bench = holding("a")
        bench.ask("a", full(4))
        bench.node.uplink.closing = True
        bench.ask("a", full(10) & ~full(4), request_id=2)
        said = bench.node.take_commands(bench.now)
        refused = [command for command in said if isinstance(command, Refuse)]
        self.assertEqual([(each.request_id, each.code) for each in refused], [(2, 8)])
        bench.node.link_ready(peer("a"), bench.now)
        first = sum(command.count for command in said if isinstance(command, Send))
        self.assertEqual(first + len(drain(bench)), 4)

    def test_a_block_on_its_way_is_sent_when_it_comes(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        bench.node.take_commands(bench.now)  # and so has told that they are on their way
        bench.ask("a", 0b1)
        self.assertEqual(bench.take(Send), [])
        bench.arrive("leader", 0b1)
        [send] = bench.take(Send)
        self.assertEqual((send.peer_id, send.first), (peer("a"), 0))

    def test_a_block_that_will_not_come_is_refused(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        bench.ask("a", 0b1)
        bench.node.stop_delivery(bench.entry, bench.now)
        [refusal] = bench.take(Refuse)
        self.assertEqual((refusal.peer_id, refusal.code), (peer("a"), Code.NOT_HERE))

    def test_a_cancelled_block_is_answered_and_not_sent(self) -> None:
        bench = holding("a")
        bench.node.uplink.outlets[peer("a")].ready = False
        bench.ask("a", 0b11)
        bench.node.cancelled(peer("a"), 1, 1, 0b01)
        [refusal] = bench.take(Refuse)
        self.assertEqual((refusal.blocks, refusal.code), (0b01, Code.CANCELLED))
        bench.node.link_ready(peer("a"), bench.now)
        self.assertEqual([block for _, block in drain(bench)], [1])

    def test_one_frame_at_a_time_until_the_link_has_taken_it(self) -> None:
        bench = holding("a", blocks=100)
        bench.ask("a", full(100))
        self.assertEqual(len(bench.take(Send)), 1)
        bench.node.uplink.pump(bench.now)
        self.assertEqual(bench.take(Send), [])

    def test_a_frame_holds_at_most_a_twentieth_of_a_second(self) -> None:
        bench = holding("a", blocks=100)
        bench.node.uplink.outlets[peer("a")].rate.rate_bps = 8e6
        bench.ask("a", full(100))
        [send] = bench.take(Send)
        self.assertLessEqual(send.count * BLOCK * 8, 8e6 * 0.05)

    def test_urgent_requests_go_first(self) -> None:
        bench = holding("a", blocks=10)
        outlet = bench.node.uplink.outlets[peer("a")]
        outlet.ready = False
        bench.ask("a", 0b1, request_id=1)
        bench.ask("a", 0b10, request_id=2, urgent=True)
        bench.node.link_ready(peer("a"), bench.now)
        self.assertEqual([block for _, block in drain(bench)], [1, 0])


class Spreading(SynchronousTestCase):
    def test_a_lone_holder_sends_each_block_once_before_any_twice(self) -> None:
        bench = holding("a", "b", "c", blocks=12)
        for name in "abc":
            bench.ask(name, full(12), spread=True)
        sent = [block for _, block in drain(bench)]
        self.assertEqual(sorted(sent), list(range(12)))

    def test_a_block_sent_to_one_is_sent_to_the_other_when_he_still_wants_it_later(self) -> None:
        bench = holding("a", "b", blocks=2)
        bench.ask("a", full(2), spread=True)
        bench.ask("b", full(2), spread=True)
        drain(bench)
        bench.later(1.0)
        self.assertEqual(drain(bench), [], "with slack the two have time to swap")
        bench.later(1.5)
        self.assertTrue(drain(bench))

    def test_turns_are_longer_with_ample_slack(self) -> None:
        for deadline_ms, most in ((3000, 2), (5000, 8)):
            bench = holding("a", "b", blocks=64)
            for name in "ab":
                bench.node.uplink.outlets[peer(name)].ready = False
                bench.node.uplink.outlets[peer(name)].rate.rate_bps = 1e9
                bench.ask(name, full(64), deadline_ms=deadline_ms, spread=True)
            bench.node.link_ready(peer("a"), bench.now)
            self.assertEqual([send.count for send in bench.take(Send)], [most])

    def test_without_slack_he_has_it_soon(self) -> None:
        bench = holding("a", "b", blocks=2)
        bench.ask("a", full(2), spread=True, urgent=True)
        bench.ask("b", full(2), spread=True, urgent=True)
        drain(bench)
        bench.later(0.2)
        self.assertEqual(drain(bench), [])
        bench.later(0.3)
        self.assertTrue(drain(bench))

    def test_on_a_busy_machine_swapping_takes_longer(self) -> None:
        bench = holding("a", "b", blocks=2)
        bench.node.state.lag_s = 0.1
        bench.ask("a", full(2), spread=True, urgent=True)
        bench.ask("b", full(2), spread=True, urgent=True)
        drain(bench)
        bench.later_on_a_busy_machine(ticks=3)
        self.assertEqual(drain(bench), [])

    def test_without_the_mark_nothing_is_withheld(self) -> None:
        bench = holding("a", "b", blocks=4)
        bench.ask("a", full(4))
        bench.ask("b", full(4))
        self.assertEqual(len(drain(bench)), 8)


class Leading(SynchronousTestCase):
    """What is led comes block by block; with ample slack it goes out in runs."""

    def leading(self, deadline_ms: int = 5000) -> Bench:
        """It fetches ten blocks from the origin, and another waits for them."""
        bench = Bench()
        bench.join("a")
        bench.want()
        bench.node.lease_answered([Grant(1, True, 1, 0, 10)], bench.now)
        bench.ask("a", full(10), deadline_ms=deadline_ms, spread=True)
        bench.quiet()
        return bench

    def test_a_block_waits_for_the_next_with_ample_slack(self) -> None:
        bench = self.leading()
        bench.node.blocks_arrived(None, bench.entry, 0b1, bench.now)
        self.assertEqual(drain(bench), [])

    def test_not_for_long(self) -> None:
        bench = self.leading()
        bench.node.blocks_arrived(None, bench.entry, 0b1, bench.now)
        bench.later(0.06)
        self.assertEqual([block for _, block in drain(bench)], [0])

    def test_not_when_it_is_the_last(self) -> None:
        bench = self.leading()
        bench.node.blocks_arrived(None, bench.entry, 1 << 9, bench.now)
        self.assertEqual([block for _, block in drain(bench)], [9])

    def test_not_with_less_slack(self) -> None:
        bench = self.leading(deadline_ms=3000)
        bench.node.blocks_arrived(None, bench.entry, 0b1, bench.now)
        self.assertEqual([block for _, block in drain(bench)], [0])


class Limits(SynchronousTestCase):
    def test_the_rate_limit_holds_within_five_per_cent(self) -> None:
        bench = holding("a", "b", blocks=2000, limit_bps=8e6)
        begin = bench.now
        sent = 0
        asked: dict[str, int] = {"a": 0, "b": 0}
        while bench.now < begin + 10.0:
            for name in "ab":
                if not bench.node.uplink.outlets[peer(name)].owed:
                    asked[name] += 1
                    bench.ask(name, full(64), request_id=asked[name])
            for send in bench.take(Send):
                sent += send.count * BLOCK
                bench.node.link_ready(send.peer_id, bench.now)
            bench.now += 0.005
            bench.node.tick(bench.now)
        on_the_line = sent * (1 + 66 / 1448)
        self.assertLess(abs(on_the_line * 8 / 10.0 / 8e6 - 1.0), 0.05)

    def test_the_line_is_left_room_for_words_and_acknowledgements(self) -> None:
        """Or its own buffer fills and never drains, and all wait in it behind bulk."""
        bench = holding("a", blocks=2000, limit_bps=8e6)
        sent = request_id = 0
        while bench.now < 110.0:
            if not bench.node.uplink.outlets[peer("a")].owed:
                request_id += 1
                bench.ask("a", full(64), request_id=request_id)
            for send in bench.take(Send):
                sent += send.count * BLOCK
                bench.node.link_ready(send.peer_id, bench.now)
            bench.now += 0.001
            bench.node.tick(bench.now)
        packets = sent / 1448
        self.assertLess((sent + 66 * packets) * 8, 10.0 * 8e6 * 0.98)

    def test_what_leaves_at_once_after_a_rest_is_a_twentieth_of_a_second(self) -> None:
        bench = holding("a", blocks=2000, limit_bps=40e6)
        bench.now += 10.0
        bench.ask("a", full(64))
        sent = sum(1 for _ in drain(bench)) * BLOCK
        self.assertLessEqual(sent * 8, 0.07 * 40e6)

    def test_slack_requests_take_turns_within_the_slots(self) -> None:
        bench = holding(*"abcdefgh", blocks=10)
        for name in "abcdefgh":
            bench.ask(name, full(10))
        bench.node.uplink.pump(bench.now)
        first = {peer_id for peer_id, _ in drain(bench, 1000)[:4]}
        self.assertLessEqual(len(first), 4)

    def test_everybody_is_served_in_the_end(self) -> None:
        bench = holding(*"abcdefgh", blocks=10)
        for name in "abcdefgh":
            bench.ask(name, full(10))
        self.assertEqual(len({peer_id for peer_id, _ in drain(bench)}), 8)

    def test_whose_links_take_nothing_keep_no_slots(self) -> None:
        bench = holding(*"abcde", blocks=100)
        for name in "abcde":
            bench.ask(name, full(100))
        self.assertEqual(len(bench.take(Send)), 5)
        bench.node.link_ready(peer("e"), bench.now)
        self.assertEqual(bench.take(Send), [])
        bench.later(bench.node.policy.slot_s + 0.1)
        self.assertEqual([send.peer_id for send in bench.take(Send)], [peer("e")])

    def test_urgent_requests_bypass_the_slots(self) -> None:
        bench = holding(*"abcdefgh", blocks=10)
        for name in "abcdefgh":
            bench.ask(name, full(10), urgent=True)
        self.assertEqual(len(bench.take(Send)), 8)
