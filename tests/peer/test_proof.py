"""Bytes and their proof: only what the origin published is called true."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.blocks import hash_blocks
from dashp2p.content.entry import Entry, Kind
from dashp2p.peer import proof as proof_module
from dashp2p.peer.proof import Proof, Verdict

BLOCK = 1024
GOOD, BAD = b"g" * 32, b"b" * 32


def content(blocks: int, last: int = BLOCK) -> bytes:
    return b"".join(
        bytes([number]) * (last if number == blocks - 1 else BLOCK) for number in range(blocks)
    )


def entry_of(data: bytes) -> Entry:
    hashes = hash_blocks(data, BLOCK)
    digest = sha256(hashes).digest()
    return Entry(1, "chunk_0_1.m4s", len(data), digest, Kind.MEDIA, "0", 0, 0.0, 4.0, BLOCK)


def block(data: bytes, number: int) -> bytes:
    return data[number * BLOCK : (number + 1) * BLOCK]


def judged(verdicts: list[Verdict] | None) -> list[tuple[int, bool]]:
    assert verdicts is not None, "the hashes were refused"
    return [(verdict.block, verdict.true) for verdict in verdicts]


class ProofTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.data = content(4, last=100)
        self.entry = entry_of(self.data)
        self.hashes = hash_blocks(self.data, BLOCK)
        self.proof = Proof(self.entry)

    def test_a_block_is_checked_against_its_own_hash(self) -> None:
        self.proof.learn(self.hashes)
        self.assertEqual(judged(self.proof.offer(GOOD, 2, block(self.data, 2))), [(2, True)])
        self.assertEqual(judged(self.proof.offer(BAD, 1, block(self.data, 2))), [(1, False)])

    def test_one_wrong_bit_makes_a_block_false(self) -> None:
        self.proof.learn(self.hashes)
        spoilt = bytearray(block(self.data, 0))
        spoilt[-1] ^= 1
        self.assertEqual(judged(self.proof.offer(BAD, 0, bytes(spoilt))), [(0, False)])

    def test_adjoining_blocks_are_judged_one_by_one(self) -> None:
        self.proof.learn(self.hashes)
        piece = block(self.data, 1) + b"x" * BLOCK + block(self.data, 3)
        self.assertEqual(
            judged(self.proof.offer(GOOD, 1, piece)), [(1, True), (2, False), (3, True)]
        )

    def test_blocks_that_come_before_the_hashes_wait_and_are_judged_with_them(self) -> None:
        self.assertEqual(self.proof.offer(GOOD, 0, block(self.data, 0)), [])
        self.assertEqual(self.proof.offer(BAD, 1, b"x" * BLOCK), [])
        verdicts = self.proof.learn(self.hashes)
        self.assertEqual(judged(verdicts), [(0, True), (1, False)])
        assert verdicts is not None
        self.assertEqual([verdict.source for verdict in verdicts], [GOOD, BAD])

    def test_what_waited_is_judged_once(self) -> None:
        self.proof.offer(GOOD, 0, block(self.data, 0))
        self.proof.learn(self.hashes)
        self.assertEqual(judged(self.proof.learn(self.hashes)), [])

    def test_false_hashes_are_refused_and_what_waits_goes_on_waiting(self) -> None:
        self.proof.offer(BAD, 0, b"x" * BLOCK)
        false = hash_blocks(b"x" * BLOCK + self.data[BLOCK:], BLOCK)
        self.assertIsNone(self.proof.learn(false))
        self.assertTrue(self.proof.needs_hashes)
        self.assertEqual(judged(self.proof.learn(self.hashes)), [(0, False)])

    def test_hashes_of_another_number_of_blocks_are_refused(self) -> None:
        for hashes in (b"", self.hashes[:-32], self.hashes + bytes(32), self.hashes[:-1]):
            self.assertIsNone(self.proof.learn(hashes))

    def test_what_waits_from_a_false_source_is_forgotten(self) -> None:
        self.proof.offer(BAD, 0, b"x" * BLOCK)
        self.proof.offer(GOOD, 1, block(self.data, 1))
        self.proof.forget(BAD)
        self.assertEqual(judged(self.proof.learn(self.hashes)), [(1, True)])

    def test_what_waits_is_bounded(self) -> None:
        self.patch(proof_module, "MAX_UNPROVEN_BYTES", 0)
        for _ in range(3):
            self.proof.offer(BAD, 0, self.data)
        self.assertEqual(len(judged(self.proof.learn(self.hashes))), 4)

    def test_forgetting_makes_room_again(self) -> None:
        self.patch(proof_module, "MAX_UNPROVEN_BYTES", 0)
        self.proof.offer(BAD, 0, self.data)
        self.proof.forget(BAD)
        self.proof.offer(GOOD, 0, self.data)
        self.assertEqual([true for _, true in judged(self.proof.learn(self.hashes))], [True] * 4)

    def test_pieces_that_are_no_whole_blocks_are_refused(self) -> None:
        for first, piece in (
            (0, b"x" * (BLOCK - 1)),
            (0, b"x" * (BLOCK + 1)),
            (3, b"x" * BLOCK),
            (3, b"x" * 99),
            (0, self.data + b"x"),
            (4, b"x" * 100),
            (400, b""),
        ):
            with self.assertRaises(ValueError, msg=f"{len(piece)} bytes at block {first}"):
                self.proof.offer(BAD, first, piece)

    def test_a_file_of_one_block_is_proven_by_its_digest_alone(self) -> None:
        data = b"init" * 20
        proof = Proof(entry_of(data))
        self.assertFalse(proof.needs_hashes)
        self.assertEqual(judged(proof.offer(BAD, 0, b"INIT" * 20)), [(0, False)])
        self.assertEqual(judged(proof.offer(GOOD, 0, data)), [(0, True)])
        self.assertEqual(proof.all_hashes(data), hash_blocks(data, BLOCK))

    def test_what_waits_can_be_read_for_a_file_that_holds_its_own_hashes(self) -> None:
        self.proof.offer(None, 1, block(self.data, 1))
        self.proof.offer(None, 0, block(self.data, 0))
        self.assertEqual(
            self.proof.waiting_blocks(), {0: block(self.data, 0), 1: block(self.data, 1)}
        )

    @given(st.integers(1, 6), st.integers(1, BLOCK), st.data())
    def test_nothing_but_the_published_bytes_is_ever_true(
        self, blocks: int, last: int, draw: st.DataObject
    ) -> None:
        data = content(blocks, last)
        proof = Proof(entry_of(data))
        proof.learn(hash_blocks(data, BLOCK))
        first = draw.draw(st.integers(0, blocks - 1))
        size = min(BLOCK, len(data) - first * BLOCK)
        piece = draw.draw(st.binary(min_size=size, max_size=size) | st.just(block(data, first)))
        [verdict] = proof.offer(BAD, first, piece)
        self.assertEqual(verdict.true, piece == block(data, first))
