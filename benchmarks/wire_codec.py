"""How many bytes and frames a CPU second carries through the wire room, encoding and decoding.

    python benchmarks/wire_codec.py

DATA frames come in reads of 64 KiB, as a Twisted transport delivers them, without hashing.
Figures are the best of several rounds: others on the machine only ever make one slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dashp2p.wire.blockset import from_range
from dashp2p.wire.frames import Data, Got, Have, Hello, Ping, Request, SegmentBlocks
from dashp2p.wire.session import Session

BLOCK_BYTES = 16 * 1024
READ_BYTES = 64 * 1024
ROUNDS = 5
DATA_BYTES_PER_ROUND = 128 * 1024 * 1024
SMALL_FRAMES_PER_ROUND = 20_000


def open_pair() -> tuple[Session, Session]:
    """Two sessions that have said HELLO and HAVE to each other."""
    one, other = Session(), Session()
    for session in (one, other):
        session.send(Hello(bytes(32), bytes(32), 4001))
    carry(one, other)
    carry(other, one)
    for session in (one, other):
        session.send(Have(100, 0))
    carry(one, other)
    carry(other, one)
    return one, other


def carry(sender: Session, receiver: Session) -> int:
    """Hand over what is queued; answers the number of events it made."""
    return len(receiver.receive_data(b"".join(sender.data_to_send())))


def in_reads(stream: bytes, size: int = READ_BYTES) -> list[bytes]:
    """A stream as a transport delivers it."""
    return [stream[at : at + size] for at in range(0, len(stream), size)]


def best(work: Callable[[], float]) -> float:
    """The least CPU time of several rounds, in seconds."""
    return min(work() for _ in range(ROUNDS))


def data_round(blocks: int) -> tuple[float, float]:
    """CPU seconds to encode and to decode one round of DATA frames of this many blocks."""
    asker, holder = open_pair()
    payload = bytes(blocks * BLOCK_BYTES)
    encoding = decoding = 0.0
    moved = 0
    while moved < DATA_BYTES_PER_ROUND:
        ids = [asker.send(Request(1, from_range(0, blocks))) for _ in range(16)]
        carry(asker, holder)
        started = time.process_time()
        for request_id in ids:
            assert request_id is not None
            holder.send(Data(request_id, 1, 0, blocks, payload))
        parts = holder.data_to_send()
        encoding += time.process_time() - started
        reads = in_reads(b"".join(parts))
        started = time.process_time()
        events = 0
        for read in reads:
            events += len(asker.receive_data(read))
        decoding += time.process_time() - started
        assert events == len(ids)
        moved += events * len(payload)
    return encoding / moved, decoding / moved


def report_data(blocks: int) -> None:
    """Print one line for DATA frames of this many blocks."""
    rounds = [data_round(blocks) for _ in range(ROUNDS)]
    encode = 1e-9 / max(min(encoding for encoding, _ in rounds), 1e-15)
    decode = 1e-9 / min(decoding for _, decoding in rounds)
    size = blocks * BLOCK_BYTES // 1024
    print(f"DATA {size:4d} KiB   encode {encode:8.1f} GB/CPU-s   decode {decode:6.2f} GB/CPU-s")


def report_small(name: str, frame: Ping | Got, count: int = SMALL_FRAMES_PER_ROUND) -> None:
    """Print one line for a small frame sent many times."""

    def encode() -> float:
        sender, _ = open_pair()
        started = time.process_time()
        for _ in range(count):
            sender.send(frame)
        return time.process_time() - started

    def decode() -> float:
        sender, receiver = open_pair()
        for _ in range(count):
            sender.send(frame)
        reads = in_reads(b"".join(sender.data_to_send()))
        started = time.process_time()
        for read in reads:
            receiver.receive_data(read)
        return time.process_time() - started

    print(
        f"{name:13s}   encode {count / best(encode):8.0f} /CPU-s   "
        f"decode {count / best(decode):8.0f} /CPU-s"
    )


def main() -> None:
    """Print the table."""
    for blocks in (1, 4, 16):
        report_data(blocks)
    report_small("PING (answered)", Ping(1))
    report_small("GOT of 1", Got((SegmentBlocks(7, from_range(3, 16)),)))
    report_small(
        "GOT of 64",
        Got(tuple(SegmentBlocks(n, from_range(3, 120)) for n in range(64))),
        SMALL_FRAMES_PER_ROUND // 20,
    )


if __name__ == "__main__":
    main()
