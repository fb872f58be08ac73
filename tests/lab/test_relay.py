"""The relay that stands for the origin's uplink where nobody is root."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.relay import SLICE_BYTES, Downlink, Pacer

RATE_BPS = 8e6  # a megabyte a second


class FakeConnection:
    """What the relay asks of a transport."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.paused = False
        self.closed = self.aborted = False
        self.producer: object | None = self

    def write(self, data: bytes) -> None:
        self.written += data

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.closed = True

    def abortConnection(self) -> None:
        self.aborted = True


class PacerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.pacer = Pacer(self.clock, RATE_BPS)

    def link(self) -> tuple[Any, Any, Any]:
        client, source = FakeConnection(), FakeConnection()
        link = Downlink(self.pacer, client)  # type: ignore[arg-type]
        link.source = source  # type: ignore[assignment]
        return link, client, source

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.001] * round(seconds * 1000))

    def test_it_keeps_the_rate(self) -> None:
        link, client, _ = self.link()
        link.received(bytes(2_000_000))
        self.run_for(1.0)
        self.assertApproximates(len(client.written), 1_000_000, 20_000)

    def test_time_without_traffic_is_not_made_up_for(self) -> None:
        link, client, _ = self.link()
        self.run_for(5.0)
        link.received(bytes(100_000))
        self.run_for(0.001)
        self.assertLessEqual(len(client.written), 5_000 + 2 * SLICE_BYTES)

    def test_connections_share_it_evenly(self) -> None:
        links = [self.link() for _ in range(4)]
        for link, _, _ in links:
            link.received(bytes(1_000_000))
        self.run_for(1.0)
        sent = [len(client.written) for _, client, _ in links]
        self.assertLessEqual(max(sent) - min(sent), 2 * SLICE_BYTES)  # the first came first

    def test_every_byte_arrives_in_order(self) -> None:
        link, client, _ = self.link()
        data = bytes(range(256)) * 100
        link.received(data[:10_000])
        link.received(data[10_000:])
        self.run_for(1.0)
        self.assertEqual(bytes(client.written), data)
        self.assertEqual(self.pacer.sent_bytes, len(data))

    def test_the_origin_waits_while_its_bytes_do(self) -> None:
        link, _, source = self.link()
        link.received(bytes(100_000))
        self.assertTrue(source.paused)
        self.run_for(1.0)
        self.assertFalse(source.paused)

    def test_a_client_that_reads_slowly_is_not_written_to(self) -> None:
        link, client, source = self.link()
        link.pauseProducing()
        link.received(bytes(100_000))
        self.run_for(1.0)
        self.assertEqual(len(client.written), 0)
        self.assertTrue(source.paused)
        link.resumeProducing()
        self.run_for(1.0)
        self.assertEqual(len(client.written), 100_000)

    def test_what_the_origin_sent_last_goes_out_before_the_end(self) -> None:
        link, client, _ = self.link()
        link.received(bytes(50_000))
        link.end()
        self.assertFalse(client.closed)
        self.run_for(1.0)
        self.assertEqual(len(client.written), 50_000)
        self.assertTrue(client.closed)

    def test_a_client_that_leaves_ends_its_fetch(self) -> None:
        link, client, source = self.link()
        link.received(bytes(1_000_000))
        link.stopProducing()
        before = len(client.written)
        self.run_for(0.5)
        self.assertEqual(len(client.written), before)
        self.assertTrue(source.aborted)

    def test_stopping_leaves_no_call_behind(self) -> None:
        link, _, _ = self.link()
        link.received(bytes(1_000_000))
        self.pacer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
