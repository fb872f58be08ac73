"""TCP in memory, with its back-pressure: for tests of links and of whole swarms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IProducer,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from dashp2p.peer.limits import DIAL_TIMEOUT_S

__all__ = ["MemoryNetwork", "MemoryTransport", "advance"]

FULL_BYTES = 1 << 16
"""Above this a Twisted transport pauses its push producer."""
KERNEL_BYTES = 1 << 18
"""What the system takes from a writer whose reader has paused."""
STEPS_MAX = 20_000
NEAR = IPv4Address("TCP", "127.0.0.1", 40_000)
FAR = IPv4Address("TCP", "127.0.0.2", 4001)


@implementer(ITransport, IConsumer)
class MemoryTransport:
    """One end of a connection. What is written arrives after the latency, in one piece.

    A reader that has paused (`pauseProducing`) is sent nothing: up to KERNEL_BYTES leave the writer
    all the same, the rest waits in it, and its producer is not asked for more.

    Knobs, to be set at any time: `latency_s`; `spoil`, which may change what is on its way; and
    `clog`, see there.
    """

    def __init__(
        self, clock: IReactorTime, latency_s: float, host: IPv4Address, peer: IPv4Address
    ) -> None:
        self.protocol: IProtocol | None = None
        self.other: MemoryTransport
        self.reading = True
        self.disconnecting = False
        self.connected = True
        self.most_waiting_bytes = 0
        self.latency_s = latency_s
        self.spoil: Callable[[bytes], bytes] | None = None
        self.spoilt = False
        self._clock = clock
        self._clogged = False
        self._held_back: Exception | None = None
        self._host = host
        self._peer = peer
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._arrived: list[bytes] = []
        self._arrived_bytes = 0
        self._sending = False
        self._producer: Any = None
        self._streaming = False
        self._paused = False

    def getHost(self) -> IPv4Address:  # noqa: N802  # Twisted's name
        return self._host

    def getPeer(self) -> IPv4Address:  # noqa: N802  # Twisted's name
        return self._peer

    # --- writing ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send `data`, sooner or later."""
        assert isinstance(data, bytes), "as Twisted's transports do, it takes bytes only"
        if not self.connected or (self.disconnecting and self._producer is None):
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self.most_waiting_bytes = max(self.most_waiting_bytes, self._waiting_bytes)
        if self._streaming and self._waiting_bytes > FULL_BYTES and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._send_soon()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send them all."""
        self.write(b"".join(iovec))

    def _send_soon(self) -> None:
        if not self._sending:
            self._sending = True
            self._clock.callLater(self.latency_s, self._send)

    def _send(self) -> None:
        self._sending = False
        if not self.connected:
            return
        other = self.other
        data, self._waiting = b"".join(self._waiting), []
        reads = other.reading and not self._clogged
        room = len(data) if reads else max(0, KERNEL_BYTES - other._arrived_bytes)
        if room < len(data):  # the other's resumeProducing goes on
            data, self._waiting = data[:room], [data[room:]]
        self._waiting_bytes -= len(data)
        if data:
            if self.spoil is not None:
                true, data = data, self.spoil(data)
                self.spoilt = self.spoilt or data != true
            other._arrived.append(data)
            other._arrived_bytes += len(data)
            other._deliver()
        if self._waiting or not self.connected:
            return
        if self._producer is not None and (not self._streaming or self._paused):
            self._paused = False
            self._producer.resumeProducing()
        elif self.disconnecting and self._producer is None:
            self._end(ConnectionDone())

    def _deliver(self) -> None:
        if not self.reading or self.other._clogged or not self._arrived:
            return
        data, self._arrived, self._arrived_bytes = b"".join(self._arrived), [], 0
        if self.protocol is not None and self.connected:
            self.protocol.dataReceived(data)

    # --- producers ----------------------------------------------------------------------------

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """One at a time, as in Twisted."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._paused = producer, streaming, False
        if not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """No more comes from it."""
        self._producer, self._streaming = None, False
        if self.connected and self.disconnecting:
            self._send_soon()

    # --- reading ------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Read no more."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read on."""
        self.reading = True
        self._deliver()
        if self.connected:
            self.other._send_soon()

    def stopProducing(self) -> None:
        """As Twisted's transports do."""
        self.loseConnection()

    # --- ending -------------------------------------------------------------------------------

    def loseConnection(self) -> None:
        """Close when everything has left and no producer is registered."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._send_soon()

    def abortConnection(self) -> None:
        """Close at once."""
        if self.connected:
            self.disconnecting = True
            self._clock.callLater(0, self._end, ConnectionAborted())

    def clog(self, clogged: bool = True) -> None:
        """Nothing written here arrives, nor does the end: a cable is out, or the other host is
        dead. What the system had taken arrives when it is over."""
        self._clogged = clogged
        if clogged:
            return
        self.other._deliver()
        held, self._held_back = self._held_back, None
        if held is not None:
            self.other._over(held)
        elif self.connected:
            self._send_soon()

    def _end(self, why: Exception) -> None:
        self._over(why)
        if self._clogged:
            self._held_back = ConnectionDone()
        else:
            self.other._over(ConnectionDone())

    def _over(self, why: Exception) -> None:
        if self.connected:
            self.connected = False
            self._clock.callLater(0, self._tell, why)

    def _tell(self, why: Exception) -> None:
        if self._producer is not None:
            self._producer.stopProducing()
            self._producer = None
        if self.protocol is not None:
            self.protocol.connectionLost(Failure(why))


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, network: MemoryNetwork, from_host: str, host: str, port: int) -> None:
        self._network = network
        self._from_host = from_host
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        return self._network.connect(self._from_host, self._host, self._port, protocolFactory)


class MemoryNetwork:
    """Hosts that listen and dial. `connections` has both ends of each, the dialling one first.

    `reachable` says whether packets pass between two hosts: who dials where they don't waits for
    `DIAL_TIMEOUT_S`. `joined` hears of every new connection.
    """

    def __init__(self, clock: IReactorTime, latency_s: float = 0.001) -> None:
        self.connections: list[tuple[MemoryTransport, MemoryTransport]] = []
        self.dialled: list[tuple[str, int]] = []
        self.reachable: Callable[[str, str], bool] = lambda one, other: True
        self.joined: Callable[[MemoryTransport, MemoryTransport], None] = lambda near, far: None
        self._clock = clock
        self._latency_s = latency_s
        self._listening: dict[tuple[str, int], IProtocolFactory] = {}
        self._ports = 40_000

    def listen(self, host: str, port: int, factory: IProtocolFactory) -> None:
        """Let a factory answer at an address."""
        self._listening[host, port] = factory

    def close(self, host: str, port: int) -> None:
        """Nobody answers there any more."""
        self._listening.pop((host, port), None)

    def endpoint(self, from_host: str) -> Callable[[str, int], IStreamClientEndpoint]:
        """What makes endpoints for one who dials from that host."""
        return lambda host, port: _Endpoint(self, from_host, host, port)

    def connect(
        self, from_host: str, host: str, port: int, factory: IProtocolFactory
    ) -> Deferred[IProtocol]:
        """Dial. Fails with ConnectionRefusedError where nobody listens."""
        self.dialled.append((host, port))
        if not self.reachable(from_host, host):
            waits: Deferred[IProtocol] = Deferred(lambda _: late.cancel())
            late = self._clock.callLater(DIAL_TIMEOUT_S, waits.errback, TimeoutError())
            return waits
        listening = self._listening.get((host, port))
        if listening is None:
            return fail(ConnectionRefusedError())
        connected: Deferred[IProtocol] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(
            self._latency_s, self._connect, connected, from_host, (host, port), factory, listening
        )
        return connected

    def _connect(
        self,
        connected: Deferred[IProtocol],
        from_host: str,
        to: tuple[str, int],
        factory: IProtocolFactory,
        listening: IProtocolFactory,
    ) -> None:
        self._ports += 1
        here = IPv4Address("TCP", from_host, self._ports)
        there = IPv4Address("TCP", *to)
        answering = listening.buildProtocol(here)
        calling = factory.buildProtocol(there)
        assert calling is not None
        self.join(calling, answering, here, there)
        connected.callback(calling)

    def join(
        self,
        calling: IProtocol,
        answering: IProtocol | None,
        here: IPv4Address = NEAR,
        there: IPv4Address = FAR,
    ) -> tuple[MemoryTransport, MemoryTransport]:
        """Connect two protocols. Without an answering one the connection ends at once."""
        near = MemoryTransport(self._clock, self._latency_s, here, there)
        far = MemoryTransport(self._clock, self._latency_s, there, here)
        near.other, far.other = far, near
        near.protocol, far.protocol = calling, answering
        self.connections.append((near, far))
        self.joined(near, far)
        if answering is None:
            far.abortConnection()
        else:
            answering.makeConnection(far)
        calling.makeConnection(near)
        return near, far


def advance(clock: Clock, seconds: float) -> None:
    """Let time pass, each call at its own moment. AssertionError where it never gets quiet."""
    end = clock.seconds() + seconds
    for _ in range(STEPS_MAX):
        times = [call.getTime() for call in clock.getDelayedCalls()]
        if not times or min(times) > end:
            clock.advance(end - clock.seconds())
            return
        clock.advance(max(0.0, min(times) - clock.seconds()))
    raise AssertionError(f"still busy after {STEPS_MAX} steps: something runs in circles")
