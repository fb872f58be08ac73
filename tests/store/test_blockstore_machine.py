"""Memory and disk together against a dict: what is read is true, whatever fails, in its room."""

from __future__ import annotations

import errno

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.blocks import hash_blocks
from dashp2p.store.blockstore import BlockStore, Save
from dashp2p.store.errors import AssemblyRefused, StoreError, StoreUnavailable
from dashp2p.store.segments import SegmentStore
from dashp2p.testing import FakeDisk
from tests.store import BLOCK, digest, segment

TRUTH = {digest(data): data for data in (segment(n, 40 + 20 * n) for n in range(6))}
DIGESTS = st.sampled_from(sorted(TRUTH))
MEMORY_BYTES = 150
ASSEMBLIES_BYTES = 300
QUOTA_BYTES = 250


class BlockStoreMachine(RuleBasedStateMachine):
    """`coming` has the blocks put so far, `saves` what waits for the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = FakeDisk(capacity_bytes=2000)
        self.now = 0.0
        self.coming: dict[bytes, set[int]] = {}
        self.saves: list[Save] = []
        self.segments = SegmentStore(self.disk, QUOTA_BYTES, free_floor_bytes=100)
        self.segments.open_folder(self.now)
        self.store = BlockStore(self.segments, MEMORY_BYTES, ASSEMBLIES_BYTES)

    @rule(name=DIGESTS)
    def begin(self, name: bytes) -> None:
        if name in self.store:
            return
        size = len(TRUTH[name])
        held = sum(len(TRUTH[other]) for other in self.coming)
        try:
            self.store.begin(name, size, BLOCK)
        except AssemblyRefused:
            assert name not in self.coming and held + size > ASSEMBLIES_BYTES
        else:
            self.coming.setdefault(name, set())

    @rule(name=DIGESTS, pick=st.integers(0, 20))
    def put(self, name: bytes, pick: int) -> None:
        if name not in self.coming:
            return
        assembly = self.store.assembly(name)
        assert assembly is not None
        self._put(name, pick % assembly.block_count)

    @rule(name=DIGESTS)
    def deliver(self, name: bytes) -> None:
        self.begin(name)
        for block in range(-(-len(TRUTH[name]) // BLOCK)):
            if name in self.coming:
                self._put(name, block)
        self.write(-1)

    def _put(self, name: bytes, block: int) -> None:
        assembly = self.store.assembly(name)
        assert assembly is not None
        piece = TRUTH[name][block * BLOCK : (block + 1) * BLOCK]
        assert assembly.put(block, piece) is (block not in self.coming[name])
        self.coming[name].add(block)
        if assembly.complete:
            del self.coming[name]
            save = self.store.finish(name, hash_blocks(TRUTH[name], BLOCK), self.now)
            if save is not None:
                self.saves.append(save)

    @rule(name=DIGESTS)
    def abandon(self, name: bytes) -> None:
        self.coming.pop(name, None)
        self.store.abandon(name)

    @rule(pick=st.integers(0, 9))
    def write(self, pick: int) -> None:
        if not self.saves:
            return
        save = self.saves.pop(pick % len(self.saves))
        try:
            written = save.write()
        except StoreUnavailable as error:
            self.store.not_saved(save, error, self.now)
        else:
            self.store.saved(written, self.now)

    @rule(name=DIGESTS)
    def read_whole(self, name: bytes) -> None:
        self.read(name, 0, len(TRUTH[name]))

    @rule(name=DIGESTS, first=st.integers(0, 150), size=st.integers(0, 150))
    def read(self, name: bytes, first: int, size: int) -> None:
        truth = TRUTH[name]
        size = min(size, max(0, len(truth) - first))
        if first > len(truth):
            return
        try:
            data = self.store.read(name, first, size, self.now)
        except StoreError:
            return
        assert data == truth[first : first + size], "false bytes were read"

    @rule(name=DIGESTS)
    def examine(self, name: bytes) -> None:
        try:
            examined = self.segments.examine(name, BLOCK)
        except StoreError:
            return
        if self.store.verified(examined):
            assert self.store.hashes(name) == hash_blocks(TRUTH[name], BLOCK)

    @rule(nth=st.integers(1, 6), number=st.sampled_from([errno.EIO, errno.ENOSPC, errno.EROFS]))
    def break_the_disk(self, nth: int, number: int) -> None:
        self.disk.fail_call(nth, number)

    @rule(name=DIGESTS, at=st.integers(0, 200))
    def tamper(self, name: bytes, at: int) -> None:
        file = name.hex()
        if file in self.disk._names and self.disk.content(file):
            self.disk.advance(1.0)
            self.disk.corrupt(file, at % len(self.disk.content(file)))

    @rule(seconds=st.floats(0.1, 400.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.disk.mend()

    @rule()
    def take_lost(self) -> None:
        assert all(name not in self.store for name in self.store.take_lost())

    @invariant()
    def room_is_kept(self) -> None:
        store = self.store
        assert store._memory.used_bytes <= MEMORY_BYTES
        assert store._assemblies_bytes == sum(len(TRUTH[name]) for name in self.coming)
        assert store._assemblies_bytes <= ASSEMBLIES_BYTES
        assert self.segments.used_bytes <= QUOTA_BYTES
        assert store._unwritten.keys() == {save.reservation.digest for save in self.saves}

    @invariant()
    def what_is_coming_is_told_by_block(self) -> None:
        for name, blocks in self.coming.items():
            if name not in self.store:
                count = -(-len(TRUTH[name]) // BLOCK)
                assert self.store.have(name, count) == sum(1 << block for block in blocks)


class MachineTests(SynchronousTestCase):
    def test_whatever_fails_what_is_read_is_true(self) -> None:
        run_state_machine_as_test(
            BlockStoreMachine, settings=settings(max_examples=60, stateful_step_count=50)
        )
