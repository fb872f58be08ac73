"""Neighbours that lie, flood, dawdle or say nothing: over TLS, with tickets of the tracker."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time

from dashp2p.content.blocks import HASH_BYTES, hash_blocks
from dashp2p.content.index import BLOCKS_NAME
from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.peer.limits import CHEAP_FRAMES_BURST, HANDSHAKE_S, MAX_LINKS
from dashp2p.wire.codec import encode
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Fetching,
    Frame,
    Getting,
    Got,
    Hashes,
    Have,
    Hello,
    Ping,
    Request,
    SegmentBlocks,
)
from tests.hostile.evil_member import EvilMember
from tests.hostile.evil_peer import EvilPeer
from tests.hostile.support import COUNT, EVERYTHING, FILM, SEGMENT, HeldOrigin, HostileTestCase
from tests.processes import HOST, Daemon, wait_until

SWARM = FILM.signature.swarm_id
ENTRY = FILM.entry(SEGMENT)
CLOSED_S = 5.0
ROUNDS = 200


def true_hashes() -> bytes:
    first = FILM.index.hashes_offset(ENTRY.position)
    return FILM.files[BLOCKS_NAME][first : first + ENTRY.block_count * HASH_BYTES]


class LiarTests(HostileTestCase):
    """Neighbours who are asked before the origin has answered."""

    def setUp(self) -> None:
        HostileTestCase.setUp(self)
        self.let = HeldOrigin.let = threading.Event()
        self.addCleanup(self.let.set)
        self.peer: Daemon = self.swarm(origin_url=f"{self.server(HeldOrigin).url}/dash")

    def test_false_blocks_are_never_played_and_ban_their_sender(self) -> None:
        """Outcome: the player gets the film; the liar is cut with code 9 and not let in again."""
        member = self.member()
        self.evil_answers_false(member)
        again = EvilPeer(self.exchange_port, ticket=member.ticket)
        self.addCleanup(again.hang_up)
        again.hello(SWARM)
        self.assertTrue(again.wait_closed(CLOSED_S))
        self.assertIn(Code.UNAUTHORISED, again.codes)
        other = self.evil("another key at the same address")
        self.assertFalse(other.closed)

    def evil_answers_false(self, member: EvilMember) -> None:
        evil = self.evil(member=member)
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
        self.let.set()
        player.join()

    def test_the_liar_is_blamed_and_not_who_told_the_truth(self) -> None:
        """Outcome: two neighbours send blocks of one segment; only the liar is cut."""
        liar, honest = self.evil("liar"), self.evil("honest")
        player = _Player(self, self.peer)
        lied = False
        until_s = time.monotonic() + 10.0
        while not liar.closed and time.monotonic() < until_s:
            for evil in (liar, honest):
                for request in self.asked(evil):
                    lied |= evil is liar and self.answer(evil, request, true=evil is honest)
        self.assertTrue(lied, "the liar was not asked")
        self.assertIn(Code.INTEGRITY, liar.codes)
        self.let.set()
        for request in self.asked(honest):
            self.answer(honest, request, true=True)
        player.join()
        self.assertEqual([one["peer"] for one in self.peer.stats()["neighbours"]], [who(honest)])
        self.assertFalse(honest.closed, honest.events)

    def asked(self, evil: EvilPeer) -> list[Request]:
        return [event for event in evil.listen(briefly=True) if isinstance(event, Request)]

    def answer(self, evil: EvilPeer, request: Request, true: bool) -> bool:
        """All blocks that it asks for, with their hashes; whether there were any."""
        entry = FILM.index.entries[request.segment]
        if request.hashes:
            evil.send(Hashes(request.request_id, request.segment, true_hashes()))
        data = FILM.files[entry.path]
        for block in (n for n in range(entry.block_count) if request.blocks >> n & 1):
            start, size = entry.block_offset(block), entry.block_length(block)
            body = data[start : start + size] if true else bytes(size)
            evil.send(Data(request.request_id, request.segment, block, 1, body))
        return bool(request.blocks)

    def test_false_hashes_ban_their_sender(self) -> None:
        """Outcome: hashes that fit the false blocks do not help; cut within 5 s, the film plays."""
        evil = self.evil()
        player = _Player(self, self.peer)
        request = evil.wait_for(Request)
        assert isinstance(request, Request), "the peer asked the origin and not its neighbour"
        self.assertTrue(request.hashes)
        lie = bytes(ENTRY.size_bytes)
        hashes = hash_blocks(lie, ENTRY.block_size_bytes)
        evil.send(Hashes(request.request_id, ENTRY.position, hashes))
        self.assertTrue(evil.wait_closed(CLOSED_S))
        self.let.set()
        player.join()


class EvilPeerTests(HostileTestCase):
    def setUp(self) -> None:
        HostileTestCase.setUp(self)
        self.peer: Daemon = self.swarm()

    def neighbours(self) -> int:
        return len(self.peer.stats()["neighbours"])

    def test_a_crowd_of_one_attacker_around_a_peer(self) -> None:
        """Outcome: 60 keys with tickets fill the links and give nothing; plays within 10 s each."""
        crowd: list[EvilPeer] = []

        def attack() -> None:
            for number in range(MAX_LINKS + 10):
                ticket = self.member(f"sybil {number}").ticket
                evil = EvilPeer(self.exchange_port, f"sybil {number}", ticket=ticket)
                self.addCleanup(evil.hang_up)
                evil.socket.settimeout(0.02)
                evil.hello(SWARM)
                crowd.append(evil)
            for evil in crowd:
                if evil.wait_for(Hello, 0.5) is not None and not evil.closed:
                    evil.send(Have(COUNT, EVERYTHING))
            wait_until("they are its neighbours", lambda: self.neighbours() >= 20, 10.0)
            self.assertLessEqual(self.neighbours(), MAX_LINKS)

        self.grows_little(self.peer, attack)
        for path in (SEGMENT, "chunk_0_2.m4s"):
            began_s = time.monotonic()
            self.assert_plays(self.peer, path)
            self.assertLess(time.monotonic() - began_s, 10.0)

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
        ticket = self.member("stranger").ticket
        stranger = EvilPeer(self.exchange_port, "stranger", ticket=ticket)
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

    def test_floods_of_cheap_frames_end_the_link(self) -> None:
        """Outcome: cut with code 7 within 5 s, within 24 MiB, while a player is served."""
        self.assert_plays(self.peer)
        whole = (1 << ENTRY.block_count) - 1
        pairs = [
            encoded(Request(ENTRY.position, whole, request_id=number, deadline_ms=9_000_000))
            + encoded(Cancel(number, ENTRY.position, whole))
            for number in range(1, ROUNDS)
        ]
        many = CHEAP_FRAMES_BURST + 3000
        floods = {
            "pings": encoded(Ping(7)) * many,
            "unknown frames": struct.pack(">IBBI", 0, 200, 0, 0) * many,
            "news": encoded(Got((SegmentBlocks(ENTRY.position, 1),))) * many,
            "requests taken back at once": b"".join(pairs),
        }

        def attack() -> None:
            for name, flood in floods.items():
                evil = self.evil(name, 0)
                player = _Player(self, self.peer)
                evil.raw(flood)
                self.assertTrue(evil.wait_closed(CLOSED_S), name)
                self.assertIn(Code.RATE_LIMITED, evil.codes, name)
                player.join()

        self.grows_little(self.peer, attack)

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

            ticket = self.member("late").ticket

            def let_in() -> bool:
                try:
                    evil = EvilPeer(self.exchange_port, "late", ticket=ticket)
                except OSError:
                    return False
                evil.greet(SWARM, 0, COUNT)
                closed = evil.closed
                evil.hang_up()
                return not closed

            wait_until("a new neighbour is let in", let_in, HANDSHAKE_S + 20.0)


class FreeRiderTests(HostileTestCase):
    def test_who_takes_all_the_time_gets_no_more_than_was_allowed(self) -> None:
        """Outcome: 3 that take on and on get the upload limit between them; a player is served."""
        peer = self.swarm("--upload-rate", "8Mbit")
        self.assert_plays(peer)
        riders = [self.evil(f"rider {number}", 0) for number in range(3)]
        whole = (1 << ENTRY.block_count) - 1
        before = peer.stats()["bytes"]["uploaded"]
        began_s = time.monotonic()
        while time.monotonic() - began_s < 3.0:
            for rider in riders:
                while rider.session.can_request and len(rider.session.asked) < 3:
                    rider.send(Request(ENTRY.position, whole, deadline_ms=100, urgent=True))
                rider.listen()
        self.assert_plays(peer, "chunk_0_2.m4s")
        took_s = time.monotonic() - began_s
        sent = peer.stats()["bytes"]["uploaded"] - before
        self.assertGreater(sent, 500_000)
        self.assertLess(sent * 8 / took_s, 8e6 * 1.25)


def encoded(frame: Frame) -> bytes:
    return b"".join(encode(frame))


def who(evil: EvilPeer) -> str:
    return peer_id(public_bytes(evil.key)).hex()


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
