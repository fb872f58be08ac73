"""A segment as a response's body: as blocks come, as the player reads, and what if he leaves."""

from __future__ import annotations

from dashp2p.peer.limits import PLAYER_CHUNK_BYTES, PLAYER_STALLED_S
from dashp2p.store.limits import KIB
from dashp2p.testing import FakeDisk, MemoryFilm, MemorySwarm
from tests.peer.proxies import Proxy, ProxyTestCase
from tests.peer.swarms import DATA, ENTRY, SEGMENT, SwarmTestCase
from tests.web.support import FULL_BYTES, Answer, Connection

URL = f"/dash/{SEGMENT}"
SIZE = len(DATA)
BLOCK = ENTRY.block_size_bytes
BUFFERED_BYTES = FULL_BYTES + PLAYER_CHUNK_BYTES + 1024


class StreamTests(ProxyTestCase):
    def test_blocks_are_sent_on_as_they_come(self) -> None:
        self.origin.chunk_s = 0.1
        connection = self.proxy.ask(URL)
        sizes = [len(self.proxy.watch(connection, 0.2)) for _ in range(4)]
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertTrue(all(size % BLOCK == 0 for size in sizes), sizes)
        self.assertLess(sizes[-1], SIZE)
        self.assertEqual(self.proxy.watch(connection, 2.0), DATA)

    def test_bytes_go_out_in_order_whatever_the_order_of_blocks(self) -> None:
        connection = self.proxy.ask(URL)
        self.swarm.advance(0.0)
        [incoming] = self.peer.engine.incoming.values()
        for block in (2, 0):
            start = ENTRY.block_offset(block)
            incoming.assembly.put(block, DATA[start : start + BLOCK])
            incoming.tell()
        self.assertEqual(connection.received().partition(b"\r\n\r\n")[2], DATA[:BLOCK])
        incoming.assembly.put(1, DATA[BLOCK : 2 * BLOCK])
        incoming.tell()
        self.assertEqual(connection.received().partition(b"\r\n\r\n")[2], DATA[: 3 * BLOCK])

    def test_a_part_begins_as_soon_as_its_own_blocks_are_here(self) -> None:
        self.origin.chunk_s = 0.1
        connection = self.proxy.ask(URL, f"Range: bytes=10-{SIZE - 1}")
        body = self.proxy.watch(connection, 0.5)
        self.assertTrue(0 < len(body) < SIZE)
        self.assertEqual(body, DATA[10 : 10 + len(body)])

    def test_no_header_goes_out_before_the_first_byte(self) -> None:
        self.origin.chunk_s = 0.5
        connection = self.proxy.ask(URL)
        self.assertEqual(self.proxy.watch(connection, 0.3), b"")
        self.assertEqual(connection.transport.taken, b"")


class BackPressureTests(ProxyTestCase):
    """A player that stops reading."""

    def stalled(self) -> Connection:
        connection = self.proxy.ask(URL, reading=False)
        self.swarm.advance(2.0)
        return connection

    def test_no_more_is_written_to_it(self) -> None:
        connection = self.stalled()
        transport = connection.transport
        self.assertTrue(self.peer.has(SEGMENT), "the cache gets it all the same")
        self.assertGreater(len(transport.dataBuffer), 0)
        self.assertLess(len(transport.dataBuffer), SIZE)
        self.assertLess(transport.most_buffered, BUFFERED_BYTES)

    def test_it_goes_on_where_it_stopped(self) -> None:
        connection = self.stalled()
        self.swarm.advance(PLAYER_STALLED_S / 2)
        connection.reading = True
        self.proxy.watch(connection, 0.5)
        self.assertEqual(Answer.of(connection).body, DATA)

    def test_a_slow_reader_gets_every_byte_in_order(self) -> None:
        connection = self.stalled()
        while connection.transport.dataBuffer:
            connection.transport.take(7000)
            self.swarm.advance(0.01)
        self.assertEqual(Answer(connection.transport.taken).body, DATA)
        self.assertLess(connection.transport.most_buffered, BUFFERED_BYTES)

    def test_it_is_given_up_in_the_end(self) -> None:
        connection = self.stalled()
        self.swarm.advance(1.5 * PLAYER_STALLED_S)
        self.assertTrue(connection.gone)
        self.assertEqual(self.waiters(), [])
        [session] = self.proxy.sessions
        self.assertEqual(session.player._open, 0)

    def test_it_holds_up_nobody_else(self) -> None:
        self.stalled()
        other = self.proxy.ask(URL)
        self.proxy.watch(other, 0.5)
        self.assertEqual(Answer.of(other).body, DATA)


class BigSegmentTests(SwarmTestCase):
    def test_memory_stays_flat_however_many_players_stall(self) -> None:
        self.swarm = MemorySwarm(MemoryFilm.make(segments=1, segment_bytes=2000 * KIB))
        self.origin = self.swarm.origin
        proxy = Proxy(self.swarm, self.swarm.add_peer())
        proxy.learn()
        stalled = [proxy.ask(URL, reading=False) for _ in range(20)]
        self.swarm.advance(3.0)
        buffered = [connection.transport.most_buffered for connection in stalled]
        self.assertLess(max(buffered), BUFFERED_BYTES)
        self.assertLess(self.origin.sent_bytes(SEGMENT), 2001 * KIB)
        for connection in stalled:
            connection.transport.abortConnection()
        proxy.stop()
        proxy.site.drain(0.1)
        self.swarm.advance(0.2)


class LeavingTests(ProxyTestCase):
    """The player gives up (design D6): nothing is left behind, and nothing is fetched twice."""

    def leave_after(self, seconds: float) -> None:
        self.origin.chunk_s = 0.05
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, seconds)
        connection.transport.abortConnection()

    def test_early_on_the_delivery_is_dropped(self) -> None:
        self.leave_after(0.2)
        sent = self.origin.sent_bytes(SEGMENT)
        self.swarm.advance(3.0)
        self.assertLess(sent, SIZE / 2)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), sent)
        self.assertEqual((self.waiters(), self.listeners()), ([], 0))

    def test_late_it_is_finished_for_the_cache(self) -> None:
        self.leave_after(0.5)
        self.assertEqual((self.waiters(), self.listeners()), ([0], 0))
        self.swarm.advance(3.0)
        self.assertTrue(self.peer.has(SEGMENT))
        self.assertEqual(self.origin.sent_bytes(SEGMENT), SIZE)

    def test_another_player_still_gets_it(self) -> None:
        self.origin.chunk_s = 0.05
        other = self.proxy.ask(URL)
        self.leave_after(0.2)
        self.assertEqual(self.proxy.watch(other, 3.0), DATA)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), SIZE)

    def test_its_session_knows(self) -> None:
        self.leave_after(0.2)
        [session] = self.proxy.sessions
        self.assertEqual(session.player._open, 0)

    def test_before_the_first_byte(self) -> None:
        self.origin.silent = True
        connection = self.proxy.ask(URL)
        self.swarm.advance(0.1)
        connection.transport.abortConnection()
        self.swarm.advance(0.1)
        self.assertEqual((self.waiters(), self.listeners()), ([], 0))

    def test_when_all_is_written_but_not_read(self) -> None:
        self.proxy.answer(URL)
        connection = self.proxy.ask("/dash/init_0.m4s", reading=False)
        self.swarm.advance(0.2)
        connection.transport.abortConnection()
        self.swarm.advance(0.2)


class DamagedTests(SwarmTestCase):
    """The cache's files are watched: what somebody changed is never served."""

    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        self.disk = FakeDisk()
        self.peer = self.swarm.add_peer(disk=self.disk)
        self.proxy = Proxy(self.swarm, self.peer)
        self.proxy.learn()
        self.assertEqual(self.proxy.answer(URL).body, DATA)
        self.peer.store._memory.discard(ENTRY.digest)

    def tearDown(self) -> None:
        self.proxy.stop()
        self.proxy.site.drain(0.1)
        self.swarm.advance(0.2)
        SwarmTestCase.tearDown(self)

    def test_from_disk_without_the_origin(self) -> None:
        self.origin.away = True
        self.assertEqual(self.proxy.answer(URL).body, DATA)

    def test_a_damaged_file_is_had_from_the_origin_again(self) -> None:
        self.disk.advance(60.0)
        self.disk.corrupt(ENTRY.digest.hex(), 5)
        self.assertEqual(self.proxy.answer(URL).body, DATA)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), 2 * SIZE)

    def test_a_file_that_was_deleted_is_had_from_the_origin_again(self) -> None:
        self.disk.remove(ENTRY.digest.hex())
        self.assertEqual(self.proxy.answer(URL).body, DATA)

    def test_without_the_origin_a_damaged_file_is_not_served_at_all(self) -> None:
        self.disk.advance(60.0)
        self.disk.corrupt(ENTRY.digest.hex(), 5)
        self.origin.away = True
        self.assertEqual(self.proxy.answer(URL, wait_s=12.0).code, 503)
