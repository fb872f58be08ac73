"""Frames to bytes and payloads to frames. Layouts: docs/protocol.md, "Frames".

Encoders raise LocalProtocolError, decoders ProtocolError; neither knows what state a link is in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from dashp2p.wire import frames, limits
from dashp2p.wire.blockset import (
    EMPTY,
    WHOLE,
    bitmap,
    decode_blocks,
    encode_blocks,
    from_bitmap,
)
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.frames import Frame, FrameType

HEADER: Final = struct.Struct(">IBBI")
CRITICAL: Final = 0x01
"""Header flag: a receiver that does not know the type must close instead of skipping."""

DATA_HEAD: Final = struct.Struct(">IHB")
HASH_BYTES: Final = 32
_HELLO: Final = struct.Struct(">32s32sHBH")
_COUNT: Final = struct.Struct(">I")
_NEWS_COUNT: Final = struct.Struct(">H")
_SEGMENT: Final = struct.Struct(">I")
_FETCHING: Final = struct.Struct(">IIB")
_REQUEST: Final = struct.Struct(">IBI")
_REJECT: Final = struct.Struct(">BI")
_TOKEN: Final = struct.Struct(">Q")
_CODE: Final = struct.Struct(">B")

_UPLOADS: Final = 0x01
_SPREAD: Final = 0x01
_URGENT: Final = 0x02
_HASHES: Final = 0x04

MAX_PAYLOAD_BYTES: Final[dict[FrameType, int]] = {
    FrameType.HELLO: limits.MAX_HELLO_BYTES,
    FrameType.HAVE: _COUNT.size + (limits.MAX_POSITIONS + 7) // 8,
    FrameType.GOT: 2 + limits.MAX_NEWS * (_SEGMENT.size + limits.MAX_BLOCKSET_BYTES),
    FrameType.GETTING: 2 + limits.MAX_NEWS * (_FETCHING.size + limits.MAX_BLOCKSET_BYTES),
    FrameType.GONE: 2 + limits.MAX_NEWS * (_SEGMENT.size + limits.MAX_BLOCKSET_BYTES),
    FrameType.REQUEST: _REQUEST.size + limits.MAX_BLOCKSET_BYTES,
    FrameType.DATA: DATA_HEAD.size + limits.MAX_DATA_BYTES,
    FrameType.HASHES: _SEGMENT.size + limits.MAX_SEGMENT_BLOCKS * HASH_BYTES,
    FrameType.REJECT: _REJECT.size + limits.MAX_BLOCKSET_BYTES,
    FrameType.CANCEL: _SEGMENT.size + limits.MAX_BLOCKSET_BYTES,
    FrameType.PING: _TOKEN.size,
    FrameType.PONG: _TOKEN.size,
    FrameType.ERROR: _CODE.size + limits.MAX_ERROR_TEXT_BYTES,
    FrameType.GOAWAY: _CODE.size,
}
"""Longest payload by type; a longer one is refused at its header."""

WITH_REQUEST_ID: Final = frozenset(
    {FrameType.REQUEST, FrameType.DATA, FrameType.HASHES, FrameType.REJECT, FrameType.CANCEL}
)
"""Types whose header carries a request id; in all others it is 0."""

ANSWERS: Final = frozenset({FrameType.DATA, FrameType.HASHES, FrameType.REJECT})
"""Types that answer a REQUEST; without one they are refused at their header."""


# --- encoding ---------------------------------------------------------------------------------


def _insist(condition: bool, text: str) -> None:
    if not condition:
        raise LocalProtocolError(text)


def _segment(segment: int) -> int:
    _insist(0 <= segment < limits.MAX_POSITIONS, "a segment is not an index position")
    return segment


def _hello(frame: frames.Hello) -> bytes:
    _insist(len(frame.swarm_id) == 32, "a swarm id has 32 bytes")
    _insist(len(frame.public_key) == 32, "a public key has 32 bytes")
    _insist(len(frame.ticket) <= limits.MAX_TICKET_BYTES, "the ticket is too long for a HELLO")
    mode = _UPLOADS if frame.uploads else 0
    fixed = (frame.swarm_id, frame.public_key, frame.listening_port, mode, len(frame.ticket))
    return _HELLO.pack(*fixed) + frame.ticket


def _have(frame: frames.Have) -> bytes:
    _insist(0 <= frame.count <= limits.MAX_POSITIONS, "a HAVE covers more than an index can hold")
    _insist(frame.positions >> frame.count == 0, "a HAVE names positions beyond its count")
    return _COUNT.pack(frame.count) + bitmap(frame.positions, frame.count)


def _news(frame: frames.Got | frames.Gone) -> bytes:
    _insist(1 <= len(frame.news) <= limits.MAX_NEWS, "a news frame has 1 to 64 entries")
    parts = [_NEWS_COUNT.pack(len(frame.news))]
    for entry in frame.news:
        _insist(entry.blocks != EMPTY, "GOT and GONE name at least one block")
        parts += (_SEGMENT.pack(_segment(entry.segment)), encode_blocks(entry.blocks))
    return b"".join(parts)


def _getting(frame: frames.Getting) -> bytes:
    _insist(1 <= len(frame.news) <= limits.MAX_NEWS, "a news frame has 1 to 64 entries")
    parts = [_NEWS_COUNT.pack(len(frame.news))]
    for entry in frame.news:
        fixed = _FETCHING.pack(_segment(entry.segment), entry.epoch, entry.distance)
        parts += (fixed, encode_blocks(entry.blocks))
    return b"".join(parts)


def _request(frame: frames.Request) -> bytes:
    _insist(frame.blocks != WHOLE, "a REQUEST names its blocks")
    _insist(frame.blocks != EMPTY or frame.hashes, "a REQUEST asks for blocks or for hashes")
    flags = (_SPREAD * frame.spread) | (_URGENT * frame.urgent) | (_HASHES * frame.hashes)
    fixed = _REQUEST.pack(_segment(frame.segment), flags, frame.deadline_ms)
    return fixed + encode_blocks(frame.blocks)


def _data_head(frame: frames.Data) -> bytes:
    wrong = _data_fault(frame.first, frame.count, len(frame.data))
    _insist(wrong is None, f"DATA: {wrong}")
    return DATA_HEAD.pack(_segment(frame.segment), frame.first, frame.count)


def _hashes(frame: frames.Hashes) -> bytes:
    number, rest = divmod(len(frame.hashes), HASH_BYTES)
    _insist(rest == 0 and 1 <= number <= limits.MAX_SEGMENT_BLOCKS, "HASHES has 1 to 4096 hashes")
    return _SEGMENT.pack(_segment(frame.segment)) + frame.hashes


def _reject(frame: frames.Reject) -> bytes:
    return _REJECT.pack(frame.code, _segment(frame.segment)) + encode_blocks(frame.blocks)


def _cancel(frame: frames.Cancel) -> bytes:
    return _SEGMENT.pack(_segment(frame.segment)) + encode_blocks(frame.blocks)


def _error(frame: frames.Error) -> bytes:
    # Diagnostics are not worth failing for: a long text is cut, at a character's border.
    text = frame.text.encode("utf-8", "replace")[: limits.MAX_ERROR_TEXT_BYTES]
    return _CODE.pack(frame.code) + text.decode("utf-8", "ignore").encode()


_ENCODERS: Final[dict[type[Any], tuple[FrameType, Callable[[Any], bytes]]]] = {
    frames.Hello: (FrameType.HELLO, _hello),
    frames.Have: (FrameType.HAVE, _have),
    frames.Got: (FrameType.GOT, _news),
    frames.Getting: (FrameType.GETTING, _getting),
    frames.Gone: (FrameType.GONE, _news),
    frames.Request: (FrameType.REQUEST, _request),
    frames.Data: (FrameType.DATA, _data_head),
    frames.Hashes: (FrameType.HASHES, _hashes),
    frames.Reject: (FrameType.REJECT, _reject),
    frames.Cancel: (FrameType.CANCEL, _cancel),
    frames.Ping: (FrameType.PING, lambda frame: _TOKEN.pack(frame.token)),
    frames.Pong: (FrameType.PONG, lambda frame: _TOKEN.pack(frame.token)),
    frames.Error: (FrameType.ERROR, _error),
    frames.GoAway: (FrameType.GOAWAY, lambda frame: _CODE.pack(frame.code)),
}


def type_of(frame: Frame) -> FrameType:
    """The type byte of a frame."""
    return _ENCODERS[type(frame)][0]


def encode(frame: Frame) -> list[bytes]:
    """A frame as bytes to be written one after the other; DATA's blocks are the caller's object.

    Raises LocalProtocolError for a value that the layout cannot carry or a limit forbids.
    """
    frame_type, encoder = _ENCODERS[type(frame)]
    request_id = getattr(frame, "request_id", 0)
    try:
        payload = encoder(frame)
        if isinstance(frame, frames.Data):
            length = len(payload) + len(frame.data)
            return [HEADER.pack(length, frame_type, 0, request_id) + payload, frame.data]
        return [HEADER.pack(len(payload), frame_type, 0, request_id) + payload]
    except struct.error as error:
        raise LocalProtocolError(f"{frame_type.name}: a number is out of range: {error}") from error


# --- decoding ---------------------------------------------------------------------------------


def _bad(text: str) -> ProtocolError:
    return ProtocolError(Code.BAD_REQUEST, text)


def _unpack(layout: struct.Struct, payload: bytes, offset: int = 0) -> tuple[Any, ...]:
    if len(payload) < offset + layout.size:
        raise _bad("a frame is shorter than its fields")
    return layout.unpack_from(payload, offset)


def _end(payload: bytes, offset: int) -> None:
    if offset != len(payload):
        raise _bad("a frame is longer than its fields")


def _known_segment(segment: int) -> int:
    if segment >= limits.MAX_POSITIONS:
        raise _bad("a segment number is beyond any index")
    return segment


def _data_fault(first: int, count: int, length: int) -> str | None:
    """What is wrong with the numbers of a DATA frame, or None."""
    if not 1 <= count <= limits.MAX_DATA_BLOCKS:
        return "a DATA frame carries 1 to 16 blocks"
    if not 0 <= first <= limits.MAX_SEGMENT_BLOCKS - count:
        return "a block is beyond 4095"
    if not count <= length <= limits.MAX_DATA_BYTES:
        return "the length does not fit the number of blocks"
    return None


def _read_hello(payload: bytes, request_id: int) -> frames.Hello:
    swarm_id, public_key, port, mode, ticket_length = _unpack(_HELLO, payload)
    _end(payload, _HELLO.size + ticket_length)
    return frames.Hello(swarm_id, public_key, port, bool(mode & _UPLOADS), payload[_HELLO.size :])


def _read_have(payload: bytes, request_id: int) -> frames.Have:
    (count,) = _unpack(_COUNT, payload)
    if count > limits.MAX_POSITIONS:
        raise ProtocolError(Code.TOO_LARGE, "a HAVE covers more than an index can hold")
    _end(payload, _COUNT.size + (count + 7) // 8)
    return frames.Have(count, from_bitmap(payload[_COUNT.size :], count))


def _news_count(payload: bytes) -> int:
    (number,) = _unpack(_NEWS_COUNT, payload)
    if number > limits.MAX_NEWS:
        raise ProtocolError(Code.TOO_LARGE, "a news frame has at most 64 entries")
    if number == 0:
        raise _bad("a news frame has at least one entry")
    return int(number)


def _read_news(payload: bytes) -> tuple[frames.SegmentBlocks, ...]:
    news, offset = [], _NEWS_COUNT.size
    for _ in range(_news_count(payload)):
        (segment,) = _unpack(_SEGMENT, payload, offset)
        blocks, offset = decode_blocks(payload, offset + _SEGMENT.size)
        if blocks == EMPTY:
            raise _bad("GOT and GONE name at least one block")
        news.append(frames.SegmentBlocks(_known_segment(segment), blocks))
    _end(payload, offset)
    return tuple(news)


def _read_getting(payload: bytes, request_id: int) -> frames.Getting:
    news, offset = [], _NEWS_COUNT.size
    for _ in range(_news_count(payload)):
        segment, epoch, distance = _unpack(_FETCHING, payload, offset)
        blocks, offset = decode_blocks(payload, offset + _FETCHING.size)
        news.append(frames.Fetching(_known_segment(segment), epoch, distance, blocks))
    _end(payload, offset)
    return frames.Getting(tuple(news))


def _read_request(payload: bytes, request_id: int) -> frames.Request:
    segment, flags, deadline_ms = _unpack(_REQUEST, payload)
    blocks, end = decode_blocks(payload, _REQUEST.size)
    _end(payload, end)
    hashes = bool(flags & _HASHES)
    if blocks == WHOLE:
        raise _bad("a REQUEST names its blocks")
    if blocks == EMPTY and not hashes:
        raise _bad("a REQUEST asks for nothing")
    return frames.Request(
        segment=_known_segment(segment),
        blocks=blocks,
        deadline_ms=deadline_ms,
        spread=bool(flags & _SPREAD),
        urgent=bool(flags & _URGENT),
        hashes=hashes,
        request_id=request_id,
    )


def _read_hashes(payload: bytes, request_id: int) -> frames.Hashes:
    (segment,) = _unpack(_SEGMENT, payload)
    hashes = payload[_SEGMENT.size :]
    if not hashes or len(hashes) % HASH_BYTES:
        raise _bad("HASHES does not carry whole hashes")
    return frames.Hashes(request_id, _known_segment(segment), hashes)


def _read_reject(payload: bytes, request_id: int) -> frames.Reject:
    code, segment = _unpack(_REJECT, payload)
    blocks, end = decode_blocks(payload, _REJECT.size)
    _end(payload, end)
    return frames.Reject(request_id, _known_segment(segment), blocks, code)


def _read_cancel(payload: bytes, request_id: int) -> frames.Cancel:
    (segment,) = _unpack(_SEGMENT, payload)
    blocks, end = decode_blocks(payload, _SEGMENT.size)
    _end(payload, end)
    return frames.Cancel(request_id, _known_segment(segment), blocks)


def _read_token(payload: bytes) -> int:
    (token,) = _unpack(_TOKEN, payload)
    _end(payload, _TOKEN.size)
    return int(token)


def _read_error(payload: bytes, request_id: int) -> frames.Error:
    (code,) = _unpack(_CODE, payload)
    return frames.Error(code, payload[_CODE.size :].decode("utf-8", "replace"))


def _read_goaway(payload: bytes, request_id: int) -> frames.GoAway:
    (code,) = _unpack(_CODE, payload)
    _end(payload, _CODE.size)
    return frames.GoAway(code)


_DECODERS: Final[dict[FrameType, Callable[[bytes, int], Frame]]] = {
    FrameType.HELLO: _read_hello,
    FrameType.HAVE: _read_have,
    FrameType.GOT: lambda payload, _: frames.Got(_read_news(payload)),
    FrameType.GETTING: _read_getting,
    FrameType.GONE: lambda payload, _: frames.Gone(_read_news(payload)),
    FrameType.REQUEST: _read_request,
    FrameType.HASHES: _read_hashes,
    FrameType.REJECT: _read_reject,
    FrameType.CANCEL: _read_cancel,
    FrameType.PING: lambda payload, _: frames.Ping(_read_token(payload)),
    FrameType.PONG: lambda payload, _: frames.Pong(_read_token(payload)),
    FrameType.ERROR: _read_error,
    FrameType.GOAWAY: _read_goaway,
}


def decode(frame_type: FrameType, request_id: int, payload: bytes) -> Frame:
    """The frame in a payload, for every type but DATA. Raises ProtocolError."""
    return _DECODERS[frame_type](payload, request_id)


def decode_data(request_id: int, head: bytes, data: bytes) -> frames.Data:
    """A DATA frame from its head and its block bytes (apart, so that those are not copied).

    Raises ProtocolError.
    """
    segment, first, count = DATA_HEAD.unpack(head)
    wrong = _data_fault(first, count, len(data))
    if wrong is not None:
        raise _bad(wrong)
    return frames.Data(request_id, _known_segment(segment), first, count, data)
