"""Leases that several trackers share, as one of them sees them."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.lease_codec import segment_from_bytes
from dashp2p.swarm.lease_parts import LeaseMemory
from dashp2p.swarm.leases import Granted, LeaseRules, Want

PEER = b"p" * 32
NOW = 1000.0


def grant(memory: LeaseMemory, stored: dict[int, bytes]) -> tuple[int, dict[int, bytes]]:
    """A peer asks for segment 7: the epoch that it is granted, and what is stored then."""
    segments = [segment_from_bytes(position, raw) for position, raw in stored.items()]
    part = memory.part(segments, PEER, {}, NOW, lambda peer: True)
    answer = part.table.ask(PEER, Want(segment=7, blocks=8), NOW)
    assert isinstance(answer, Granted), answer
    part.table.release(PEER, 7, answer.epoch, NOW)
    part.settle()
    return answer.epoch, part.segments([7])


class Epochs(SynchronousTestCase):
    def test_a_lease_after_another_has_a_higher_epoch(self) -> None:
        memory = LeaseMemory(LeaseRules())
        first, stored = grant(memory, {})
        second, _ = grant(memory, stored)
        self.assertGreater(second, first)

    def test_also_where_the_store_lost_everything_within_the_same_second(self) -> None:
        memory = LeaseMemory(LeaseRules())
        first, _ = grant(memory, {})
        second, _ = grant(memory, {})
        self.assertGreater(second, first)
