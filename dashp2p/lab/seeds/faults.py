"""What goes wrong in a storm. Each fault begins, lasts, and is mended, by dice from the seed."""

from __future__ import annotations

import errno
import random
from typing import Protocol

from twisted.internet.task import Clock

from dashp2p.lab.seeds.peers import StormPeer
from dashp2p.lab.seeds.servers import (
    ORIGIN_MOODS,
    TRACKER_MOODS,
    FaultyOrigin,
    FaultyTracker,
    flipped,
)
from dashp2p.peer.fakenet import MemoryNetwork, MemoryTransport

SLOW_S = (0.01, 0.4)
EACH_S = (0.3, 2.0)
DOWN_S = (0.2, 4.0)
DISK_CALLS = ("create", "open", "rename", "unlink", "sync", "write", "file_sync", "pread", "info")


class Place(Protocol):
    """The swarm, as faults see it."""

    clock: Clock
    rng: random.Random
    network: MemoryNetwork
    faulty_origin: FaultyOrigin
    faulty_tracker: FaultyTracker
    places: list[StormPeer]
    happened: dict[str, int]

    def kill(self, number: int, power_cut: bool) -> None: ...
    def revive(self, number: int) -> None: ...
    def fall_ill(self, number: int) -> None: ...
    def set_impatient(self, impatient: bool) -> None: ...


class Fault:
    """One of a storm's. `step` happens again and again while it lasts."""

    name = ""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.rng = place.rng

    def begin(self) -> None:
        """It starts."""

    def step(self) -> None:
        """It goes on."""

    def mend(self) -> None:
        """It is over."""

    def count(self) -> None:
        """Note that it did happen."""
        happened = self.place.happened
        happened[self.name] = happened.get(self.name, 0) + 1

    def connections(self) -> list[tuple[MemoryTransport, MemoryTransport]]:
        """Those that are open."""
        return [pair for pair in self.place.network.connections if pair[0].connected]


class Slow(Fault):
    """Each link is as slow as it likes."""

    name = "latency"

    def step(self) -> None:
        self.count()
        for pair in self.connections():
            for side in pair:
                side.latency_s = self.rng.uniform(*SLOW_S)

    def mend(self) -> None:
        for pair in self.connections():
            for side in pair:
                side.latency_s = 0.001


class LostLinks(Fault):
    """A connection breaks."""

    name = "loss of links"

    def step(self) -> None:
        if pairs := self.connections():
            self.count()
            self.rng.choice(self.rng.choice(pairs)).abortConnection()


class HalfOpen(Fault):
    """A connection is dead and neither side is told, ever."""

    name = "half-open links"

    def step(self) -> None:
        if pairs := self.connections():
            self.count()
            sides = list(self.rng.choice(pairs))
            for side in sides if self.rng.random() < 0.5 else sides[:1]:
                side.clog()


class Corruption(Fault):
    """Bytes change on their way."""

    name = "corruption"

    def step(self) -> None:
        if pairs := self.connections():
            self.rng.choice(self.rng.choice(pairs)).spoil = self._spoil

    def _spoil(self, data: bytes) -> bytes:
        if self.rng.random() < 0.7:
            return data
        self.count()
        return flipped(data, self.rng)

    def mend(self) -> None:
        for pair in self.connections():
            for side in pair:
                side.spoil = None


class Partition(Fault):
    """The swarm falls into two parts; both still reach origin and tracker."""

    name = "partition"

    def begin(self) -> None:
        self.count()
        hosts = [peer.host for peer in self.place.places]
        side = set(self.rng.sample(hosts, len(hosts) // 2))
        self.place.network.reachable = lambda one, other: (one in side) == (other in side)
        self._cut = [
            end
            for pair in self.connections()
            for end in pair
            if (end.getHost().host in side) != (end.getPeer().host in side)
        ]
        for end in self._cut:
            end.clog()

    def mend(self) -> None:
        self.place.network.reachable = lambda one, other: True
        for end in self._cut:
            end.clog(False)


class Disk(Fault):
    """A disk is full, fails, or is written to by somebody else."""

    name = "disk"

    def step(self) -> None:
        self.count()
        rng = self.rng
        disk = rng.choice(self.place.places).disk
        names = sorted(disk._names)
        match rng.randrange(7):
            case 0:
                disk.failing[rng.choice(DISK_CALLS)] = rng.choice((errno.EIO, errno.ENOSPC))
            case 1:
                disk.fail_call(rng.randint(1, 20), rng.choice((errno.EIO, errno.EMFILE)))
            case 2:
                disk.read_only = True
            case 3:
                disk.capacity_bytes = rng.randrange(1 << 18)
            case 4 if names:
                name = rng.choice(names)
                if disk.content(name):
                    disk.advance(1)
                    disk.corrupt(name, rng.randrange(len(disk.content(name))))
            case 5 if names:
                name = rng.choice(names)
                disk.advance(1)
                disk.truncate(name, rng.randrange(len(disk.content(name)) + 1))
            case 6 if names:
                disk.remove(rng.choice(names))
            case _:
                disk.advance(1)

    def mend(self) -> None:
        for peer in self.place.places:
            peer.disk.mend()
            peer.disk.capacity_bytes = 1 << 30


class Origin(Fault):
    """The origin misbehaves in one way or another."""

    name = "origin"

    def step(self) -> None:
        self.count()
        self.place.faulty_origin.mood = self.rng.choice(ORIGIN_MOODS)

    def mend(self) -> None:
        self.place.faulty_origin.mood = None


class Tracker(Fault):
    """The tracker does."""

    name = "tracker"

    def step(self) -> None:
        self.count()
        self.place.faulty_tracker.mood = self.rng.choice(TRACKER_MOODS)

    def mend(self) -> None:
        self.place.faulty_tracker.mood = None


class Death(Fault):
    """A peer is killed, or its power cut, and comes back."""

    name = "kills"

    def step(self) -> None:
        number = self.rng.randrange(len(self.place.places))
        if self.place.places[number].alive:
            self.count()
            self.place.kill(number, self.rng.random() < 0.5)
            self.place.clock.callLater(self.rng.uniform(*DOWN_S), self.place.revive, number)


class Liar(Fault):
    """A neighbour spoils what it passes on."""

    name = "liar"

    def begin(self) -> None:
        self.count()
        self.place.fall_ill(self.rng.randrange(len(self.place.places)))


class Impatience(Fault):
    """Players give requests up."""

    name = "impatience"

    def begin(self) -> None:
        self.count()
        self.place.set_impatient(True)

    def mend(self) -> None:
        self.place.set_impatient(False)


FAULTS: tuple[type[Fault], ...] = (
    Slow,
    LostLinks,
    HalfOpen,
    Corruption,
    Partition,
    Disk,
    Origin,
    Tracker,
    Death,
    Liar,
    Impatience,
)
NAMES = tuple(kind.name for kind in FAULTS)
