"""A TCP relay that lets no more than a given rate through: the lab's origin uplink without root.

It models the rate of one shared uplink, fairly among connections, and nothing of what loss and
delay do to TCP: for those the lab needs network namespaces. Prints one JSON line when it listens
(`{"port": n}`) and the count of relayed bytes, with the time, four times a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from attrs import define, field
from twisted.internet import task
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

SLICE_BYTES = 4096
"""What one connection may send before the next has its turn: 1.6 ms at 20 Mbit/s."""

BURST_S = 0.005
"""How much unused time the link may make up for: a token bucket of 5 ms."""

REPORT_S = 0.25


@define(eq=False)
class Pacer:
    """Shares a rate among those that have something to send, one slice each in turn.

    Owns one delayed call, which `stop` cancels.
    """

    clock: IReactorTime
    rate_bps: float
    sent_bytes: int = 0
    _waiting: deque[Downlink] = field(factory=deque)
    _credit_bytes: float = 0.0
    _refilled_s: float = 0.0
    _call: IDelayedCall | None = None

    def want(self, link: Downlink) -> None:
        """The link has bytes to send: it gets its turns until it says otherwise."""
        if link not in self._waiting:
            self._waiting.append(link)
            self._turn()

    def forget(self, link: Downlink) -> None:
        if link in self._waiting:
            self._waiting.remove(link)

    def stop(self) -> None:
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        if self._call is not None:
            return
        now = self.clock.seconds()
        bytes_per_s = self.rate_bps / 8
        gained = (now - self._refilled_s) * bytes_per_s
        # Never less than one slice, or a slow link would not be allowed to send at all.
        most = max(BURST_S * bytes_per_s, SLICE_BYTES)
        self._credit_bytes = min(self._credit_bytes + gained, most)
        self._refilled_s = now
        while self._waiting and self._credit_bytes > 0:
            link = self._waiting.popleft()
            sent, more = link.send_slice()
            self._credit_bytes -= sent
            self.sent_bytes += sent
            if more:
                self._waiting.append(link)
        if self._waiting:
            pause_s = max(0.001, -self._credit_bytes / bytes_per_s)
            self._call = self.clock.callLater(pause_s, self._called)

    def _called(self) -> None:
        self._call = None
        self._turn()


@implementer(IPushProducer)
class Downlink:
    """Origin to client: holds at most what the origin sent in one read, until the pacer lets it
    go.
    """

    def __init__(self, pacer: Pacer, client: Connection) -> None:
        self.pacer = pacer
        self.client = client
        self.source: Connection | None = None
        self._held = bytearray()
        self._client_full = False
        self._ended = False

    def received(self, data: bytes) -> None:
        self._held += data
        self._pause_source(True)
        if not self._client_full:
            self.pacer.want(self)

    def end(self) -> None:
        """The origin has closed: what is held goes out first."""
        self._ended = True
        if not self._held:
            self._close_client()

    def send_slice(self) -> tuple[int, bool]:
        """Send one slice; how many bytes, and whether there is more that may go."""
        slice_ = bytes(self._held[:SLICE_BYTES])
        del self._held[:SLICE_BYTES]
        self.client.write(slice_)
        if not self._held:
            if self._ended:
                self._close_client()
            else:
                self._pause_source(False)
        return len(slice_), bool(self._held) and not self._client_full

    def resumeProducing(self) -> None:
        self._client_full = False
        if self._held:
            self.pacer.want(self)
        else:
            self._pause_source(False)

    def pauseProducing(self) -> None:
        self._client_full = True
        self.pacer.forget(self)
        self._pause_source(True)

    def stopProducing(self) -> None:
        self._held.clear()
        self.pacer.forget(self)
        if self.source is not None:
            self.source.abortConnection()

    def _pause_source(self, pause: bool) -> None:
        if self.source is None or self._ended:
            return
        if pause:
            self.source.pauseProducing()
        else:
            self.source.resumeProducing()

    def _close_client(self) -> None:
        self.client.unregisterProducer()
        self.client.loseConnection()


class ClientSide(Protocol):
    """One client's connection; dials the origin and reads no more until that is there."""

    transport: Connection

    def __init__(self, endpoint: HostnameEndpoint, pacer: Pacer) -> None:
        self.endpoint = endpoint
        self.pacer = pacer
        self.origin: OriginSide | None = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.pauseProducing()
        self.downlink = Downlink(self.pacer, self.transport)
        self.transport.registerProducer(self.downlink, True)
        factory = Factory.forProtocol(lambda: OriginSide(self.downlink))
        factory.noisy = False
        self._dial = self.endpoint.connect(factory)
        self._dial.addCallbacks(self._dialled, self._not_dialled)

    def dataReceived(self, data: bytes) -> None:
        assert self.origin is not None  # nothing is read before it is there
        self.origin.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._dial.cancel()
        self.downlink.stopProducing()

    def _dialled(self, origin: Protocol) -> None:
        assert isinstance(origin, OriginSide)
        self.origin = origin
        # Requests are small, but a client that sends faster than the origin reads must wait.
        origin.transport.registerProducer(self.transport, True)
        self.transport.resumeProducing()

    def _not_dialled(self, failure: Failure) -> None:
        self.transport.abortConnection()


class OriginSide(Protocol):
    """The connection to the origin that belongs to one client's."""

    transport: Connection

    def __init__(self, downlink: Downlink) -> None:
        self.downlink = downlink

    def connectionMade(self) -> None:
        self.downlink.source = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.downlink.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.downlink.end()


class RelayFactory(Factory):
    """Accepts clients; all of them share the pacer's rate."""

    noisy = False

    def __init__(self, endpoint: HostnameEndpoint, pacer: Pacer) -> None:
        self.endpoint = endpoint
        self.pacer = pacer

    def buildProtocol(self, addr: IAddress | None) -> ClientSide:
        return ClientSide(self.endpoint, self.pacer)

    def stopFactory(self) -> None:
        self.pacer.stop()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dashp2p.lab.relay", description=__doc__)
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the origin")
    parser.add_argument("--rate", type=float, required=True, metavar="BITS", help="bits per second")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    options = parser.parse_args(arguments)
    host, _, port = options.to.rpartition(":")
    from twisted.internet import reactor

    pacer = Pacer(reactor, options.rate)
    factory = RelayFactory(HostnameEndpoint(reactor, host, int(port)), pacer)
    listening = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1").listen(factory)

    def ready(bound: IListeningPort) -> None:
        _say({"port": cast(IPv4Address, bound.getHost()).port})

    def failed(failure: Failure) -> None:
        print(f"can't listen: {failure.getErrorMessage()}", file=sys.stderr)
        reactor.stop()

    listening.addCallbacks(ready, failed)
    report = task.LoopingCall(lambda: _say({"at": time.time(), "bytes": pacer.sent_bytes}))
    report.start(REPORT_S).addErrback(lambda _: reactor.stop())
    reactor.run()


def _say(message: dict[str, float]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
