"""The segment store against a dict, with crashes, faults and vandals, as a state machine."""

import contextlib
import errno
from collections.abc import Iterator
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.store.errors import (
    SegmentDamaged,
    SegmentMissing,
    SegmentUnverified,
    StoreUnavailable,
)
from dashp2p.store.files import Reservation, Written
from dashp2p.store.reader import Reader
from dashp2p.store.segments import SegmentStore
from dashp2p.testing import FakeDisk
from tests.store import BLOCK, digest, segment

QUOTA_BYTES = 250
TRUTH = {digest(data): data for data in (segment(n, 40 + 20 * n) for n in range(5))}
ERRORS = st.sampled_from([errno.EIO, errno.ENOSPC, errno.EROFS])
DIGESTS = st.sampled_from(sorted(TRUTH))


class StoreMachine(RuleBasedStateMachine):
    """`kept` is the model: what was committed and neither evicted nor tampered with."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = FakeDisk(capacity_bytes=2000)
        self.now = 0.0
        self.readers: list[tuple[bytes, Reader]] = []
        self.reserved: list[Reservation] = []
        self.written: list[Written] = []
        self.kept: set[bytes] = set()
        self.tampered: set[bytes] = set()
        self.ever_tampered: set[bytes] = set()
        self.faulty = False

    @initialize()
    def open_store(self) -> None:
        self.store = SegmentStore(self.disk, QUOTA_BYTES, free_floor_bytes=100)
        self.store.open_folder(self.now)
        if not self.faulty and self.store.counters.evicted == 0:
            found = {digest for digest, _ in self.store.segments(verified=False)}
            assert self.kept <= found, "a committed segment was lost"
        self.forget_evicted()

    def forget_evicted(self) -> None:
        for wanted, _ in self.readers:
            # One that was tampered with and written anew isn't the file that the reader holds.
            if wanted in self.kept and wanted not in self.ever_tampered:
                assert wanted in self.store, "evicted while being served"
        self.kept = {digest for digest in self.kept if digest in self.store}
        self.store.take_lost()

    # A life

    @rule(many=st.lists(DIGESTS, min_size=1, max_size=5, unique=True))
    def put_many(self, many: list[bytes]) -> None:
        for wanted in many:
            self.put(wanted)

    def put(self, wanted: bytes) -> None:
        written = self.store.counters.written
        try:
            self.store.put(wanted, TRUTH[wanted], BLOCK, self.now)
        except StoreUnavailable:
            self.kept.discard(wanted)
        if self.store.counters.written > written:
            assert self.store.is_verified(wanted)
            self.kept.add(wanted)
            self.tampered.discard(wanted)
        self.forget_evicted()

    @rule(wanted=DIGESTS)
    def reserve(self, wanted: bytes) -> None:
        try:
            reservation = self.store.reserve(wanted, len(TRUTH[wanted]), self.now)
        except StoreUnavailable:
            reservation = None
        if reservation is not None:
            self.reserved.append(reservation)
        self.forget_evicted()

    @precondition(lambda self: self.reserved)
    @rule()
    def write(self) -> None:
        reservation = self.reserved.pop(0)
        try:
            self.written.append(self.store.write(reservation, TRUTH[reservation.digest], BLOCK))
        except StoreUnavailable as error:
            self.kept.discard(reservation.digest)
            self.store.fail(reservation, error, self.now)

    @precondition(lambda self: self.written)
    @rule()
    def commit(self) -> None:
        written = self.written.pop(0)
        self.store.commit(written, self.now)
        if written.reservation.digest not in self.tampered:
            self.kept.add(written.reservation.digest)

    @rule(wanted=DIGESTS)
    def verify(self, wanted: bytes) -> None:
        if self.store.is_verified(wanted):
            return
        try:
            hashes = self.store.verify(wanted, BLOCK)
        except (StoreUnavailable, SegmentUnverified):
            assert self.faulty
            return
        if wanted in self.kept and not self.faulty:
            assert hashes is not None, "a committed segment was lost"
        if hashes is None:
            self.kept.discard(wanted)

    @rule(many=st.lists(DIGESTS, min_size=1, max_size=3, unique=True))
    def open_many(self, many: list[bytes]) -> None:
        for wanted in many:
            self.open(wanted)

    def open(self, wanted: bytes) -> None:
        verified = self.store.is_verified(wanted)
        try:
            reader = self.store.open(wanted, self.now)
        except SegmentMissing:
            assert wanted not in self.kept
        except (SegmentUnverified, StoreUnavailable):
            assert not verified or self.faulty or wanted in self.tampered
        else:
            assert verified
            if len(self.readers) < 3:
                self.readers.append((wanted, reader))
            else:
                reader.close()

    @precondition(lambda self: self.readers)
    @rule(offset=st.integers(0, 200), length=st.integers(0, 200))
    def read(self, offset: int, length: int) -> None:
        wanted, reader = self.readers[0]
        offset = min(offset, reader.size_bytes)
        length = min(length, reader.size_bytes - offset)
        try:
            data = reader.read(offset, length)
        except SegmentDamaged:
            assert self.faulty or wanted in self.ever_tampered
        else:
            assert data == TRUTH[wanted][offset : offset + length], "wrong bytes were served"

    @precondition(lambda self: self.readers)
    @rule()
    def close_reader(self) -> None:
        self.readers.pop(0)[1].close()

    @rule(seconds=st.sampled_from([0.001, 1.0, 61.0, 301.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.disk.advance(seconds)

    # Its ends

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        how = data.draw(st.sampled_from(["stop", "crash", "crash", "failure"]))
        if how == "stop":
            self.stop_and_start()
        elif how == "crash":
            seed = data.draw(st.none() | st.integers(0, 1000))
            self.disk.crash(None if seed is None else Random(seed))
            self.start_anew()
        else:
            self.disk.crash()
            with self.faults():
                self.disk.fail_call(data.draw(st.integers(1, 12)), data.draw(ERRORS))
                self.start_anew()
        for wanted in sorted(TRUTH) if data.draw(st.booleans()) else ():
            self.verify(wanted)

    def stop_and_start(self) -> None:
        for reservation in self.reserved:
            self.store.fail(reservation, RuntimeError("stopping"), self.now)
        for written in self.written:
            self.store.commit(written, self.now)
        self.store.close()
        assert not self.disk.locked
        self.start_anew()

    def start_anew(self) -> None:
        self.readers.clear()
        self.reserved.clear()
        self.written.clear()
        self.open_store()

    # Faults and vandals

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """Within, the model doesn't ask why something failed; after, the disk is well again."""
        self.faulty = True
        yield
        self.faulty = False
        self.disk.mend()
        self.disk.capacity_bytes = 2000
        self.now += 301.0

    @rule(wanted=DIGESTS, nth=st.integers(1, 12), number=ERRORS)
    def put_with_a_failure(self, wanted: bytes, nth: int, number: int) -> None:
        with self.faults():
            self.disk.fail_call(nth, number)
            self.put(wanted)

    @rule(wanted=DIGESTS, nth=st.integers(1, 5), number=ERRORS)
    def verify_with_a_failure(self, wanted: bytes, nth: int, number: int) -> None:
        with self.faults():
            self.disk.fail_call(nth, number)
            self.verify(wanted)

    @rule(wanted=DIGESTS, read_only=st.booleans(), spare_bytes=st.integers(0, 100))
    def put_on_an_unwilling_disk(self, wanted: bytes, read_only: bool, spare_bytes: int) -> None:
        with self.faults():
            self.disk.read_only = read_only
            self.disk.capacity_bytes -= self.disk.free_bytes() - spare_bytes
            self.put(wanted)

    @rule(wanted=DIGESTS, how=st.sampled_from(["corrupt", "truncate", "remove"]))
    def tamper(self, wanted: bytes, how: str) -> None:
        if self.disk.info(wanted.hex()) is None:
            return
        if how == "corrupt":
            self.disk.corrupt(wanted.hex(), len(self.disk.content(wanted.hex())) // 2)
        elif how == "truncate":
            self.disk.truncate(wanted.hex(), len(self.disk.content(wanted.hex())) // 2)
        else:
            self.disk.remove(wanted.hex())
        self.tampered.add(wanted)
        self.ever_tampered.add(wanted)
        self.kept.discard(wanted)

    @rule(one=DIGESTS, other=DIGESTS)
    def swap(self, one: bytes, other: bytes) -> None:
        if self.disk.info(one.hex()) is None or self.disk.info(other.hex()) is None:
            return
        self.disk.swap(one.hex(), other.hex())
        self.tampered |= {one, other}
        self.ever_tampered |= {one, other}
        self.kept -= {one, other}

    # What always holds

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "store"):
            return
        held = [size for flag in (True, False) for _, size in self.store.segments(verified=flag)]
        assert self.store.used_bytes == sum(held)
        if not self.faulty:
            assert self.store.used_bytes <= QUOTA_BYTES

    @rule()
    def read_everything(self) -> None:
        for wanted, data in TRUTH.items():
            if not self.store.is_verified(wanted):
                continue
            try:
                reader = self.store.open(wanted, self.now)
            except (SegmentMissing, SegmentUnverified, StoreUnavailable):
                continue
            try:
                assert reader.read(0, reader.size_bytes) == data
            except SegmentDamaged:
                pass
            finally:
                reader.close()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.read_everything()


class StoreMachineTests(SynchronousTestCase):
    """Runs the machine."""

    def test_nothing_wrong_is_served_and_a_crash_loses_only_what_was_not_committed(self) -> None:
        run_state_machine_as_test(
            StoreMachine, settings=settings(max_examples=200, stateful_step_count=60)
        )
