"""Sessions in a wished-for state, and streams delivered in pieces."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from attrs import field, frozen

from dashp2p.wire.codec import encode
from dashp2p.wire.errors import Code, ProtocolError
from dashp2p.wire.frames import Event, Frame, Have, Hello, Request
from dashp2p.wire.session import Session

HELLO = Hello(swarm_id=bytes(32), public_key=bytes(range(32)), listening_port=4001)
HAVE = Have(count=10, positions=0b101)
SEGMENT = 5
ASKED_BLOCKS = 0b1111

STATES = ("preface", "hello", "have", "open", "asked", "asked hashes", "owing")
"""As docs/protocol.md names the receivers of its invalid vectors."""


def carry(sender: Session, receiver: Session) -> list[Event]:
    """Hand over all that is queued."""
    return receiver.receive_data(b"".join(sender.data_to_send()))


def open_pair(first_have: Have = HAVE) -> tuple[Session, Session]:
    """Two sessions past HELLO and HAVE; the first one's HAVE is `first_have`."""
    one, other = Session(), Session()
    for frames in ((HELLO, HELLO), (first_have, HAVE)):
        one.send(frames[0])
        other.send(frames[1])
        carry(one, other)
        carry(other, one)
    return one, other


def asked_pair(blocks: int = ASKED_BLOCKS, *, hashes: bool = False) -> tuple[Session, Session, int]:
    """An open asker and its holder, who has the asker's REQUEST of `blocks`, and its id."""
    asker, holder = open_pair()
    request_id = asker.send(Request(SEGMENT, blocks, hashes=hashes))
    carry(asker, holder)
    assert request_id is not None
    return asker, holder, request_id


def receiver_in(state: str) -> Session:
    """A session whose other side must send next what `state` says (see STATES)."""
    if state in ("preface", "hello", "have"):
        receiver, sender = Session(), Session()
        receiver.send(HELLO)
        if state == "hello":
            carry(sender, receiver)
        elif state == "have":
            sender.send(HELLO)
            carry(sender, receiver)
            receiver.send(HAVE)
        receiver.data_to_send()
        return receiver
    receiver, sender = open_pair()
    if state.startswith("asked"):
        receiver.send(Request(SEGMENT, ASKED_BLOCKS, hashes=state == "asked hashes"))
    elif state == "owing":
        sender.send(Request(SEGMENT, ASKED_BLOCKS))
        carry(sender, receiver)
    receiver.data_to_send()
    return receiver


@frozen
class Outcome:
    """What a session made of a stream: events, the code it closed with, bytes it answered."""

    events: list[Event]
    code: Code | None
    answer: bytes
    buffered: int = field(eq=False)
    """The most that it kept of an incomplete frame."""


def deliver(session: Session, pieces: Sequence[bytes]) -> Outcome:
    """Feed a session; an error of any kind but ProtocolError is a failure of the test."""
    events: list[Event] = []
    buffered = 0
    code = None
    for piece in pieces:
        try:
            events += session.receive_data(piece)
        except ProtocolError as error:
            events += error.events
            code = error.code
            break
        buffered = max(buffered, session.buffered_bytes)
    return Outcome(events, code, b"".join(session.data_to_send()), buffered)


def cut(raw: bytes, places: Sequence[int]) -> list[bytes]:
    """A stream cut at these places."""
    borders = [0, *sorted(place for place in places if 0 < place < len(raw)), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(borders)]


def ways_to_deliver(raw: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Whole, byte by byte, and cut at a few random places (the same ones in each run)."""
    yield "whole", [raw]
    yield "byte by byte", [raw[at : at + 1] for at in range(len(raw))]
    dice = random.Random(len(raw))
    for attempt in range(3):
        places = [dice.randrange(len(raw) + 1) for _ in range(4)]
        yield f"cut {attempt}", cut(raw, places)


def stream_of(frames: Sequence[Frame]) -> bytes:
    """Frames as bytes, whatever a session would say to their order."""
    return b"".join(part for frame in frames for part in encode(frame))
