"""The arithmetic of the lab's network: when each frame leaves a host's uplink, crosses, and
arrives.

No clock, no socket, no device: `accept` takes frames that a host sent, `release` yields those that
are due. A frame waits for its sender's uplink (rate, and a queue that drops at its tail), is then
perhaps lost, where the sender's TCP cannot see it, is delayed by the way between the two groups,
and waits for the receiver's downlink. Ports in different LANs don't see each other: a host that
routes has a port in each.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from heapq import heappop, heappush

from attrs import define, field, frozen

from dashp2p.lab.loss import Loss, LossModel

QUEUE_S = 0.2
"""What a home router's buffer holds: 200 ms at the link's rate."""


@frozen
class PortSpec:
    """One host's link. Rates in bits per second, 0 for no limit; group chooses the delay to
    others.
    """

    name: str
    ip: str
    lan: str = "lan"
    group: str = "peer"
    uplink_bps: float = 0.0
    downlink_bps: float = 0.0
    queue_s: float = QUEUE_S
    loss: Loss = field(factory=Loss)

    @property
    def mac(self) -> bytes:
        """An address of our own choosing (locally administered) that carries the IP: no learning
        needed.
        """
        return b"\x02\x00" + ip_bytes(self.ip)


@frozen
class Delay:
    """One-way delay between two groups (either order) and how much of it varies; order is kept."""

    a: str
    b: str
    delay_s: float
    jitter_s: float = 0.0


def ip_bytes(ip: str) -> bytes:
    return bytes(int(part) for part in ip.split("."))


@define
class Counters:
    """What happened to the frames of one port, in frames and bytes."""

    sent_frames: int = 0
    sent_bytes: int = 0
    received_frames: int = 0
    received_bytes: int = 0
    lost: int = 0
    uplink_drops: int = 0
    downlink_drops: int = 0
    cut: int = 0


@define
class _Port:
    spec: PortSpec
    index: int
    up_s_per_byte: float
    down_s_per_byte: float
    loss: LossModel | None
    connected: bool = True
    up_free: float = 0.0
    down_free: float = 0.0
    counters: Counters = field(factory=Counters)


@define
class Fabric:
    """All links of one network. Time is monotonic seconds and is handed in; chance comes from
    the seed.
    """

    specs: tuple[PortSpec, ...]
    delays: tuple[Delay, ...]
    seed: int
    _ports: list[_Port] = field(init=False, factory=list)
    _macs: dict[str, dict[bytes, int]] = field(init=False, factory=dict)
    _way: list[list[tuple[float, float]]] = field(init=False, factory=list)
    _last: dict[tuple[int, int], float] = field(init=False, factory=dict)
    _heap: list[tuple[float, int, int, bytes]] = field(init=False, factory=list)
    _sequence: int = field(init=False, default=0)
    _rng: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        for index, spec in enumerate(self.specs):
            # Each port draws from its own stream: one host's traffic must not move another's
            # losses.
            model = spec.loss.model(random.Random(f"{self.seed}/{spec.name}"))
            port = _Port(
                spec, index, _per_byte(spec.uplink_bps), _per_byte(spec.downlink_bps), model
            )
            self._ports.append(port)
            self._macs.setdefault(spec.lan, {})[spec.mac] = index
        ways = {frozenset((way.a, way.b)): (way.delay_s, way.jitter_s) for way in self.delays}
        for one in self.specs:
            row = [
                ways.get(frozenset((one.group, other.group)), (0.0, 0.0)) for other in self.specs
            ]
            self._way.append(row)

    def accept(self, now: float, index: int, frames: Iterable[bytes]) -> None:
        """Take what the host at port `index` sent at `now`."""
        port = self._ports[index]
        counters = port.counters
        free, per_byte, loss = port.up_free, port.up_s_per_byte, port.loss
        queue_s = port.spec.queue_s
        macs = self._macs[port.spec.lan]
        way, heap = self._way[index], self._heap
        for frame in frames:
            size = len(frame)
            counters.sent_frames += 1
            counters.sent_bytes += size
            if not port.connected:
                counters.cut += 1
                continue
            if free < now:
                free = now
            elif free - now > queue_s:
                counters.uplink_drops += 1
                continue
            free += size * per_byte
            if loss is not None and loss():
                counters.lost += 1
                continue
            other = macs.get(frame[:6])
            if other is not None:
                delay, jitter = way[other]
                at = free + delay
                if jitter:
                    at = self._jittered(index, other, at, jitter)
                self._sequence += 1
                heappush(heap, (at, self._sequence, other, frame))
            elif frame[0] & 1:
                for other in macs.values():
                    if other != index:
                        self._sequence += 1
                        heappush(heap, (free + way[other][0], self._sequence, other, frame))
        port.up_free = free

    def release(self, now: float) -> list[tuple[int, bytes]]:
        """The frames that have arrived by `now`, in order, with the port that each goes out of."""
        due: list[tuple[int, bytes]] = []
        heap, ports = self._heap, self._ports
        while heap and heap[0][0] <= now:
            at, sequence, index, frame = heappop(heap)
            if index < 0:  # it has waited for the downlink already
                index = ~index
                port = ports[index]
            else:
                port = ports[index]
                if port.down_s_per_byte:
                    free = port.down_free
                    if free < at:
                        free = at
                    elif free - at > port.spec.queue_s:
                        port.counters.downlink_drops += 1
                        continue
                    port.down_free = free = free + len(frame) * port.down_s_per_byte
                    if free > now:
                        heappush(heap, (free, sequence, ~index, frame))
                        continue
            if not port.connected:
                port.counters.cut += 1
                continue
            port.counters.received_frames += 1
            port.counters.received_bytes += len(frame)
            due.append((index, frame))
        return due

    def next_at(self) -> float | None:
        """When the next frame is due, or None while nothing is on its way."""
        return self._heap[0][0] if self._heap else None

    def connect(self, name: str, connected: bool) -> None:
        """Cut a host's link (what is on its way to it is lost too), or mend it. KeyError: no
        such host.
        """
        found = [port for port in self._ports if port.spec.name == name]
        if not found:
            raise KeyError(name)
        for port in found:
            port.connected = connected

    def counters(self) -> dict[str, Counters]:
        """Counters by host; a router's ports are told apart by their LAN."""
        return {f"{port.spec.name}/{port.spec.lan}": port.counters for port in self._ports}

    def _jittered(self, index: int, other: int, at: float, jitter: float) -> float:
        # Jitter that reorders would be taken for loss: a real path's queue keeps the order.
        at = max(at + self._rng.random() * jitter, self._last.get((index, other), 0.0))
        self._last[index, other] = at
        return at


def _per_byte(rate_bps: float) -> float:
    return 8 / rate_bps if rate_bps else 0.0
