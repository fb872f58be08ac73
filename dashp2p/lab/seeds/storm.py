"""One seed: a swarm, a storm, the checks while it lasts, and a good end after it."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import field, frozen
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from dashp2p.content.entry import Entry
from dashp2p.lab.seeds import checks
from dashp2p.lab.seeds.faults import EACH_S, FAULTS, Fault
from dashp2p.lab.seeds.peers import StormPeer
from dashp2p.lab.seeds.servers import FaultyOrigin, FaultyTracker, flipped
from dashp2p.lab.seeds.viewer import StormViewer
from dashp2p.store.fakedisk import FakeDisk
from dashp2p.testing import MemoryFilm, MemorySwarm

FILM = MemoryFilm.make(segments=6, segment_bytes=90_000)
PATHS = ["init_0.m4s", *(f"chunk_0_{number}.m4s" for number in range(1, 7))]
PEERS = (3, 5)
STORM_S = 9.0
CALM_S = 60.0
"""How long after the storm every player must have come to the end."""
SETTLED_S = 20.0
"""How long after that nothing may be under way any more."""
STEP_S = 0.1
LOOK_S = 0.5


class Broken(Exception):  # noqa: N818  # it says what happened
    """A promise was broken: `seed` breaks it again."""

    def __init__(self, seed: int, why: str, faults: list[str]) -> None:
        super().__init__(
            f"seed {seed}: {why}\n  faults: {', '.join(faults) or 'none'}\n"
            f"  again: python -m dashp2p.lab seeds 1 --from {seed}"
        )
        self.seed = seed


@frozen
class Outcome:
    """What a seed went through. `happened`: faults by name; `reached`: what they led to."""

    seed: int
    calm_s: float
    happened: dict[str, int] = field(factory=dict)
    reached: dict[str, int] = field(factory=dict)


class Storm(MemorySwarm):
    """See the module. `places` has the peer that is, or was, alive in each place."""

    def __init__(self, seed: int) -> None:
        MemorySwarm.__init__(self, FILM)
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.faulty_origin = FaultyOrigin(self.clock, dict(FILM.files), rng)
        self.faulty_tracker = FaultyTracker(self.clock, self.network, rng)
        self.origin, self.tracker = self.faulty_origin, self.faulty_tracker
        self.happened: dict[str, int] = {}
        self.reached: dict[str, int] = {}
        self.ill: set[int] = set()
        self.faults: list[Fault] = []
        self.failures: list[str] = []
        self.raging = True
        self.places = [self._make(number, FakeDisk()) for number in range(rng.randint(*PEERS))]
        self.viewers = [self._viewer(number) for number in range(len(self.places))]

    def host_of(self, number: int) -> str:
        """Machines of one private network: the tracker dials them back."""
        return f"10.0.0.{number + 1}"

    # --- who is there -------------------------------------------------------------------------

    def _make(self, number: int, disk: FakeDisk) -> StormPeer:
        peer = StormPeer(self, number, disk, self.rng.randrange(1 << 30))
        peer.watch_reads(lambda entry, offset, data: self._read(number, entry, offset, data))
        self.clock.callLater(self.rng.random(), self._start, peer)
        return peer

    def _start(self, peer: StormPeer) -> None:
        if peer.alive:
            peer.start()

    def _read(self, number: int, entry: Entry, offset: int, data: bytes) -> bytes:
        """All that a peer gives to players and neighbours comes by here."""
        if data != self.film.files[entry.path][offset : offset + len(data)]:
            self.failures.append(f"peer {number} read false bytes of {entry.path}")
        if number in self.ill and data and self.rng.random() < 0.5:
            return flipped(data, self.rng)
        return data

    def _viewer(self, number: int) -> StormViewer:
        viewer = StormViewer(
            lambda: self.places[number], self.film, PATHS, self.clock, random.Random(number)
        )
        self.clock.callLater(1.0 + 2 * self.rng.random(), viewer.start)
        return viewer

    # --- what faults do -----------------------------------------------------------------------

    def kill(self, number: int, power_cut: bool) -> None:
        """A peer dies, with its machine or alone."""
        peer = self.places[number]
        self._note_end(peer)
        if power_cut:
            for pair in self.network.connections:
                for end in pair:
                    if end.connected and end.getHost().host == peer.host:
                        end.clog()
            peer.disk.crash(self.rng)
        peer.stop()
        self.viewers[number].disconnect()
        if not power_cut:
            peer.disk.lives += 1
            peer.disk.locked = False

    def revive(self, number: int) -> None:
        """It is started again, on the same disk."""
        if not self.places[number].alive:
            self.places[number] = self._make(number, self.places[number].disk)

    def fall_ill(self, number: int) -> None:
        """From now on it spoils what it passes on."""
        self.ill.add(number)

    def set_impatient(self, impatient: bool) -> None:
        """Players give requests up, or not."""
        for viewer in self.viewers:
            viewer.impatient = impatient

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Raises Broken."""
        with self._log():
            try:
                self._rage()
                calm_s = self._calm()
                self._end()
            except AssertionError as error:
                names = [fault.name for fault in self.faults]
                raise Broken(self.seed, str(error), names) from error
        return Outcome(self.seed, calm_s, self.happened, self.reached)

    def _rage(self) -> None:
        kinds = self.rng.sample(FAULTS, self.rng.randint(2, 5))
        self.faults = [kind(self) for kind in kinds]
        for fault in self.faults:
            self.clock.callLater(self.rng.uniform(0, STORM_S / 2), self._begin, fault)
        self._watch(STORM_S)
        self.raging = False
        for fault in self.faults:
            fault.mend()

    def _begin(self, fault: Fault) -> None:
        if self.raging:
            fault.begin()
            self._step(fault)

    def _step(self, fault: Fault) -> None:
        if self.raging:
            fault.step()
            self.clock.callLater(self.rng.uniform(*EACH_S), self._step, fault)

    def _calm(self) -> float:
        began_at = self.clock.seconds()
        while not all(self._is_done(number) for number in range(len(self.places))):
            took_s = self.clock.seconds() - began_at
            stuck = [f"{n}: {v.played}" for n, v in enumerate(self.viewers) if not v.finished]
            assert took_s < CALM_S, f"{took_s:.0f} s after the storm, players are at {stuck}"
            self._watch(LOOK_S)
        took_s = self.clock.seconds() - began_at
        self._watch(SETTLED_S)
        return took_s

    def _is_done(self, number: int) -> bool:
        # A peer that spoils what it reads spoils what its own player gets: that one is not asked.
        return self.viewers[number].finished or number in self.ill

    def _watch(self, seconds: float) -> None:
        ends_at = self.clock.seconds() + seconds
        while self.clock.seconds() < ends_at:
            self.advance(min(STEP_S, ends_at - self.clock.seconds()) or STEP_S)
            self._check()

    def _check(self) -> None:
        assert not self.failures, "; ".join(self.failures[:3])
        now = self.clock.seconds()
        for number, viewer in enumerate(self.viewers):
            if number not in self.ill:
                assert not viewer.false, f"a player was given false bytes of {viewer.false}"
                checks.answered(number, viewer, now)
        for peer in self.places:
            if peer.alive:
                checks.bounds(peer)
        checks.queues(self.network)

    def _end(self) -> None:
        for number, peer in enumerate(self.places):
            if peer.alive and number not in self.ill:
                checks.settled(peer)
            self._note_end(peer)
        for viewer in self.viewers:
            self._note("failed requests", viewer.failures)
            self._note("given up", viewer.left)
        for peer in self.places:
            if peer.alive:
                peer.stop()
        self.advance(5.0)
        gc.collect(1)  # errors in Deferreds are told when those go
        assert not self.failures, "; ".join(self.failures[:3])

    def _note_end(self, peer: StormPeer) -> None:
        self._note("bans", peer.exchange.banned)
        records = peer.engine.records
        self._note("bytes from peers", records.peers_bytes)
        segments = peer.store.segments
        if segments is not None:
            self._note("write failures", segments.counters.write_failures)
            self._note("damaged files", segments.counters.damaged)

    def _note(self, what: str, count: int) -> None:
        self.reached[what] = self.reached.get(what, 0) + count

    @contextmanager
    def _log(self) -> Iterator[None]:
        """Whatever is logged as a failure is one: an error that nobody was ready for."""

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            failure = event.get("log_failure")
            if failure is not None:
                self.failures.append(f"logged: {failure.type.__name__}: {failure.value}")

        globalLogPublisher.addObserver(observe)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(observe)


def weather(seed: int) -> Outcome:
    """Run one seed. Raises Broken."""
    return Storm(seed).run()
