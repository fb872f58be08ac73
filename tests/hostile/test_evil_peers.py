"""Neighbours that lie, flood, dawdle or say nothing: over TLS, as anybody can dial."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time

from dashp2p.content.blocks import HASH_BYTES
from dashp2p.content.index import BLOCKS_NAME
from dashp2p.peer.limits import HANDSHAKE_S, MAX_LINKS
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Data, Fetching, Getting, Hashes, Hello, Request
from tests.hostile.evil_peer import EvilPeer
from tests.hostile.support import FILM, SEGMENT, HostileTestCase
from tests.processes import HOST, Daemon, wait_until

COUNT = len(FILM.index.entries)
SWARM = FILM.signature.swarm_id
ENTRY = FILM.entry(SEGMENT)
EVERYTHING = (1 << COUNT) - 1
CLOSED_S = 5.0
ROUNDS = 200


def true_hashes() -> bytes:
    first = FILM.index.hashes_offset(ENTRY.position)
    return FILM.files[BLOCKS_NAME][first : first + ENTRY.block_count * HASH_BYTES]


class EvilPeerTests(HostileTestCase):
    def setUp(self) -> None:
        HostileTestCase.setUp(self)
        self.peer: Daemon = self.victim(f"{self.origin().url}/dash")

    def evil(self, name: str = "evil", has: int = EVERYTHING) -> EvilPeer:
        """A neighbour that is let in."""
        evil = EvilPeer(self.exchange_port, name)
        self.addCleanup(evil.hang_up)
        evil.greet(SWARM, has, COUNT)
        self.assertFalse(evil.closed, evil.events)
        return evil

    def neighbours(self) -> int:
        return len(self.peer.stats()["neighbours"])

    def test_false_blocks_are_never_played_and_ban_their_sender(self) -> None:
        """Outcome: the player gets the film; the liar is cut with code 9 and not let in again."""
        self.evil_answers_false()
        again = EvilPeer(self.exchange_port)
        self.addCleanup(again.hang_up)
        again.send(Hello(SWARM, again.key.public_key().public_bytes_raw(), 4001))
        self.assertTrue(again.wait_closed(CLOSED_S))
        self.assertIn(Code.UNAUTHORISED, again.codes)
        other = self.evil("another key at the same address")
        self.assertFalse(other.closed)

    def evil_answers_false(self) -> None:
        evil = self.evil()
        player = _Player(self, self.peer)
        request = evil.wait_for(Request)
        assert isinstance(request, Request), "the peer asked the origin and not its neighbour"
        if request.hashes:
            evil.send(Hashes(request.request_id, ENTRY.position, true_hashes()))
        first = (request.blocks & -request.blocks).bit_length() - 1
        lie = bytes(ENTRY.block_length(first))
        evil.send(Data(request.request_id, request.segment, first, 1, lie))
        self.assertTrue(evil.wait_closed(CLOSED_S))
        self.assertIn(Code.INTEGRITY, evil.codes)
        player.join()

    def test_promises_without_a_block_hold_no_player_up(self) -> None:
        """Outcome: 1 that has everything, 3 that lead everything, none sends; plays within 10 s."""
        crowd = [self.evil("holder"), *(self.evil(f"leader {n}", 0) for n in range(3))]
        news = tuple(Fetching(entry.position, 1, 0, -1) for entry in FILM.index.entries[1:])
        for leader in crowd[1:]:
            leader.send(Getting(news))
        began_s = time.monotonic()
        self.assert_plays(self.peer)
        self.assertLess(time.monotonic() - began_s, 10.0)

    def test_whoever_breaks_the_protocol_is_cut_and_costs_nothing(self) -> None:
        """Outcome: each is closed within 5 s with a code; 200 of them add no memory."""
        huge = struct.pack(">IBBI", 0xFFFF_FFFF, 7, 0, 1)
        breaches = {
            "no preface": b"GET / HTTP/1.1\r\n\r\n",
            "no HELLO": b"DSHP\x01\x01\0\0\0\0" + huge,
            "noise": random.Random(1).randbytes(4096),
        }
        for name, data in breaches.items():
            evil = EvilPeer(self.exchange_port)
            evil.raw(data)
            self.assertTrue(evil.wait_closed(CLOSED_S), name)
        for name, data in {
            "giant frame": huge,
            "unasked data": struct.pack(">IBBI", 100, 7, 0, 9) + bytes(100),
            "unknown critical frame": struct.pack(">IBBI", 0, 200, 1, 0),
        }.items():
            evil = self.evil(name)
            evil.raw(data)
            self.assertTrue(evil.wait_closed(CLOSED_S), name)
            self.assertTrue(evil.codes, name)
        stranger = EvilPeer(self.exchange_port, "stranger")
        stranger.greet(bytes(32), EVERYTHING, COUNT)
        self.assertTrue(stranger.wait_closed(CLOSED_S))
        self.assertEqual(stranger.codes, [Code.UNAUTHORISED])
        self.grows_little(self.peer, self._breach_often)
        self.assert_plays(self.peer)

    def _breach_often(self) -> None:
        for _ in range(ROUNDS):
            evil = EvilPeer(self.exchange_port, tls=False)
            evil.raw(random.Random(2).randbytes(10_000))
            evil.hang_up()

    def test_more_requests_than_allowed_end_the_link(self) -> None:
        """Outcome: 200 in one packet: the 65th that is outstanding ends the link, with code 7."""
        self.assert_plays(self.peer)
        evil = self.evil(has=0)
        frame = struct.pack(">IBIHHB", ENTRY.position, 0, 9_000_000, 0, 1, 0x80)
        head = struct.Struct(">IBBI")
        flood = b"".join(head.pack(len(frame), 6, 0, n) + frame for n in range(1, ROUNDS))
        evil.raw(flood)
        self.assertTrue(evil.wait_closed(CLOSED_S))
        self.assertIn(Code.RATE_LIMITED, evil.codes)

    def test_neighbours_that_never_read_cost_their_write_queues_at_most(self) -> None:
        """Outcome: 10 ask for 24 MB and read nothing: memory stays within 24 MiB."""
        for number in range(1, 5):
            self.assert_plays(self.peer, f"chunk_0_{number}.m4s")
        entries = [FILM.entry(f"chunk_0_{number}.m4s") for number in range(1, 5)]

        def attack() -> None:
            for number in range(10):
                evil = self.evil(f"deaf {number}", 0)
                for entry in entries * 2:
                    blocks = (1 << entry.block_count) - 1
                    evil.send(Request(entry.position, blocks, deadline_ms=1, urgent=True))
            time.sleep(2.0)

        self.grows_little(self.peer, attack)
        self.assert_plays(self.peer)

    def test_connections_that_say_nothing_end_and_let_others_in(self) -> None:
        """Outcome: at most 50 are taken; after 10 s they are cut, and a true peer gets in."""
        with contextlib.ExitStack() as stack:
            for _ in range(MAX_LINKS + 10):
                silent = socket.create_connection((HOST, self.exchange_port), 5.0)
                stack.enter_context(silent)
            self.assert_plays(self.peer)

            def let_in() -> bool:
                try:
                    evil = EvilPeer(self.exchange_port, "late")
                except OSError:
                    return False
                evil.greet(SWARM, 0, COUNT)
                closed = evil.closed
                evil.hang_up()
                return not closed

            wait_until("a new neighbour is let in", let_in, HANDSHAKE_S + 20.0)


class _Player:
    """A player that waits in a thread while the test is its peer's neighbour."""

    def __init__(self, case: HostileTestCase, peer: Daemon) -> None:
        self._case = case
        self._answer: tuple[int, bytes] = (0, b"")
        self._thread = threading.Thread(target=self._play, args=(peer,))
        self._thread.start()

    def _play(self, peer: Daemon) -> None:
        self._answer = self._case.play(peer)

    def join(self) -> None:
        """It was given the film."""
        self._thread.join(30.0)
        self._case.assertEqual(self._answer[0], 200)
        self._case.assertTrue(self._answer[1] == FILM.files[SEGMENT], "false bytes were played")
