"""Back-pressure of links in TLS over real sockets: a neighbour that does not read."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from dashp2p.peer.exchange import Address, Exchange, tcp_endpoint
from dashp2p.peer.limits import WRITE_QUEUE_BYTES
from dashp2p.peer.link import Link
from dashp2p.peer.link_tls import LinkTls
from dashp2p.wire.frames import Event, Got, Have, SegmentBlocks
from tests.peer.support import hello_of, id_of, private_key

HOST = "127.0.0.1"
BIG_NEWS = Got(tuple(SegmentBlocks(segment, 1 | 1 << 4095) for segment in range(60)))
BIG_NEWS_BYTES = 60 * (4 + 4 + 512)
KERNEL_MOST_BYTES = 12 << 20
"""What both sockets' buffers hold at most on Linux, by its own limits."""
reactor: Any = global_reactor


class Pump:
    """An engine that sends the next frame when a link is ready for it, and else counts."""

    def __init__(self, sends: bool) -> None:
        self.sends = sends
        self.sent = 0
        self.asked = 0
        self.heard = 0
        self.link: Link | None = None
        self.opened: Deferred[Link] = Deferred()

    def link_opened(self, link: Link, have: Have) -> None:
        self.link = link
        self.opened.callback(link)

    def link_received(self, link: Link, events: list[Event]) -> None:
        self.heard += len(events)

    def link_ready(self, link: Link) -> None:
        self.asked += 1
        if self.sends and self.link is link:
            self.sent += 1
            link.send(BIG_NEWS)

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """Not looked at here."""

    def link_closed(self, link: Link) -> None:
        self.link = None


async def pause(seconds: float) -> None:
    waited: Deferred[None] = Deferred()
    reactor.callLater(seconds, waited.callback, None)
    await waited


class StalledReaderTests(TestCase):
    timeout = 30.0

    async def connected(self) -> tuple[Pump, Pump]:
        """A sender, and a reader that has just stopped reading."""
        sender, reader = Pump(sends=True), Pump(sends=False)
        there = self.exchange("sender", sender)
        port = reactor.listenTCP(0, there.answering, interface=HOST)
        self.addCleanup(port.stopListening)
        here = self.exchange("reader", reader)
        for exchange in (there, here):
            self.addCleanup(self.closed, exchange)
        here.dial([Address(id_of("sender"), HOST, port.getHost().port)])
        link = await reader.opened
        link._socket.pauseProducing()
        await sender.opened
        return sender, reader

    def exchange(self, name: str, events: Pump) -> Exchange:
        made = Exchange(
            reactor,
            tcp_endpoint(reactor),
            id_of(name),
            lambda: hello_of(name),
            lambda: Have(4, 0),
            LinkTls(private_key(name), reactor),
        )
        made.events = events
        return made

    async def closed(self, exchange: Exchange) -> None:
        exchange.close()
        while exchange._all:
            await pause(0.01)

    async def test_nothing_more_is_asked_for_until_it_reads_again(self) -> None:
        sender, reader = await self.connected()
        assert sender.link is not None and reader.link is not None
        stuck = -1
        while stuck != sender.sent:  # until the sockets are full
            stuck = sender.sent
            await pause(0.15)
        self.assertLess(stuck * BIG_NEWS_BYTES, KERNEL_MOST_BYTES)
        self.assertLess(sender.link._queued_bytes, 3 * BIG_NEWS_BYTES)
        reader.link._socket.resumeProducing()
        while sender.sent < stuck + 50:
            await pause(0.01)
        self.assertGreater(reader.heard, stuck - 1)

    async def test_an_idle_link_asks_for_nothing(self) -> None:
        sender, reader = await self.connected()
        assert reader.link is not None
        reader.link._socket.resumeProducing()
        sender.sends = False
        await pause(0.1)
        before = sender.asked
        await pause(0.3)
        self.assertEqual(sender.asked, before)

    async def test_who_goes_on_all_the_same_drops_it_at_the_queues_bound(self) -> None:
        sender, _ = await self.connected()
        sender.sends = False
        sent = 0
        while sender.link is not None and sent * BIG_NEWS_BYTES < 2 * KERNEL_MOST_BYTES:
            link = sender.link
            before = link._queued_bytes
            link.send(BIG_NEWS)
            sent += 1
            if before > WRITE_QUEUE_BYTES - BIG_NEWS_BYTES:
                await pause(0.01)
        self.assertIsNone(sender.link)
        self.assertGreater(sent * BIG_NEWS_BYTES, WRITE_QUEUE_BYTES)
