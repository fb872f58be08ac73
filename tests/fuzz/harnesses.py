"""What is fuzzed, with what to begin, and what must hold whatever comes.

A harness takes any bytes. It fails by raising: what a reader may raise it swallows, all else is a
fault, and so is an answer that breaks the reader's promise.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import frozen

from dashp2p.content import limits as content_limits
from dashp2p.content.index import IndexSignature, parse_index, path_is_safe
from dashp2p.content.mpd import MpdRefused, read_mpd
from dashp2p.content.strict import IndexRefused
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.messages import read_announce, read_lease
from dashp2p.web.cmcd import parse_cmcd
from dashp2p.web.ranges import RangeError, requested_range
from dashp2p.wire import limits as wire_limits
from dashp2p.wire.errors import ProtocolError
from dashp2p.wire.frames import Got, Ping, Request, SegmentBlocks
from dashp2p.wire.session import Session
from dashp2p.wire.states import State
from tests.content.presentations import KEY, built
from tests.wire.helpers import HAVE, HELLO, STATES, deliver, receiver_in, stream_of
from tests.wire.vectors import read_vectors


@frozen
class Harness:
    """One reader: a sentence on it, inputs to begin with, and the check itself."""

    about: str
    seeds: Callable[[], list[bytes]]
    check: Callable[[bytes], None]
    max_bytes: int = 4096


def _check_frames(data: bytes) -> None:
    """The first byte says in which state the session is, the second where the stream is cut."""
    if len(data) < 2:
        return
    state, cut, stream = STATES[data[0] % len(STATES)], data[1], data[2:]
    at = cut * len(stream) // 255
    whole = deliver(receiver_in(state), [stream])
    pieces = deliver(receiver_in(state), [stream[:at], stream[at:]])
    assert whole == pieces, "cutting the stream made a difference"
    bound = wire_limits.HEADER_BYTES + wire_limits.MAX_FRAME_BYTES
    assert max(whole.buffered, pieces.buffered) <= bound
    _check_closed(state, stream)


def _check_closed(state: str, stream: bytes) -> None:
    session = receiver_in(state)
    try:
        session.receive_data(stream)
    except ProtocolError:
        assert session.state is State.CLOSED
        assert session.receive_data(stream) == []
        assert session.buffered_bytes == 0, "a closed session keeps nothing"


def _frame_seeds() -> list[bytes]:
    opening = Session()
    opening.send(HELLO)
    stream = b"".join(opening.data_to_send())
    news = stream_of(
        [HAVE, Request(1, 0b11, request_id=1, hashes=True), Got((SegmentBlocks(3, 0b1),)), Ping(7)]
    )
    seeds = [bytes([0, 128]) + stream + news, bytes([3, 0]) + news]
    for vector in (*read_vectors("valid"), *read_vectors("invalid")):
        seeds += [bytes([state, 77]) + vector.raw for state in range(len(STATES))]
    return seeds


def _check_index(data: bytes) -> None:
    """The publisher signs whatever this is: only so does the reader get to see it."""
    if not data:
        return
    presentation = data[-64:].hex()[:32].ljust(32, "0")
    try:
        presentation = json.loads(data)["presentation"]
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    else:
        presentation = presentation if isinstance(presentation, str) else "0" * 32
    try:
        index = parse_index(data, IndexSignature.sign(data, presentation, KEY))
    except IndexRefused:
        return
    assert 1 <= len(index.entries) <= content_limits.ENTRIES_MAX + 1
    for position, entry in enumerate(index.entries):
        assert entry.position == position
        assert path_is_safe(entry.path)
        assert 0 < entry.size_bytes <= content_limits.FILE_MAX_BYTES
        assert 0 < entry.block_count <= content_limits.FILE_MAX_BLOCKS
        assert sum(map(entry.block_length, range(entry.block_count))) == entry.size_bytes
    assert len({entry.path for entry in index.entries}) == len(index.entries)


def _check_signature(data: bytes) -> None:
    try:
        signature = IndexSignature.parse(data)
    except IndexRefused:
        return
    assert IndexSignature.parse(signature.to_bytes()) == signature
    assert signature.index_entry().size_bytes <= content_limits.INDEX_MAX_BYTES


def _check_mpd(data: bytes) -> None:
    try:
        manifest = read_mpd(data)
    except MpdRefused:
        return
    count = 0
    for item in manifest.representations:
        assert path_is_safe(item.init_path)
        for segment in item.media:
            count += 1
            assert path_is_safe(segment.path)
            assert segment.duration_s > 0
    assert count <= content_limits.ENTRIES_MAX


_MPD = b"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT12.5S"
 minBufferTime="PT2S"><Period><AdaptationSet contentType="video">
<SegmentTemplate timescale="1000" duration="4000" startNumber="1"
 initialization="init_$RepresentationID$.m4s" media="chunk_$RepresentationID$_$Number%05d$.m4s"/>
<Representation id="0" mimeType="video/mp4" codecs="avc1.640028" bandwidth="800000" width="640"
 height="360"/></AdaptationSet><AdaptationSet mimeType="audio/mp4"><Representation id="4"
 bandwidth="128000" codecs="mp4a.40.2"><BaseURL>a/</BaseURL><SegmentTemplate timescale="48000"
 initialization="i.m4s" media="c_$Time$.m4s"><SegmentTimeline><S t="0" d="192000" r="2"/>
<S d="24000"/></SegmentTimeline></SegmentTemplate></Representation></AdaptationSet></Period></MPD>
"""
_ENTITIES = (
    b'<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><MPD>&b;</MPD>',
    b'<!DOCTYPE m SYSTEM "file:///etc/passwd"><MPD/>',
)


def _check_range(data: bytes) -> None:
    """Four bytes say how large the file is, the rest is the header."""
    total = int.from_bytes(data[:4], "big")
    try:
        span = requested_range(data[4:].decode("latin-1"), total)
    except RangeError as error:
        assert error.content_range == f"bytes */{total}"
        return
    if span is not None:
        assert span.first >= 0
        assert 0 < span.size_bytes <= total - span.first


def _range_seeds() -> list[bytes]:
    headers = ("bytes=0-", "bytes=5-9", "bytes=-7", "bytes=0-1,4-5", "bytes=9-1", "items=1-2")
    return [bytes((0, 0, 3, 232)) + header.encode() for header in headers]


def _check_cmcd(data: bytes) -> None:
    said = parse_cmcd([data.decode("latin-1")])
    path = said.next_path("/dash/a/b.m4s")
    assert path is None or (path.startswith("/") and ".." not in path.split("/"))


def _check_tracker(data: bytes) -> None:
    for read in (read_announce, read_lease):
        try:
            read(data)
        except Refused:
            continue


def _tracker_seeds() -> list[bytes]:
    who = {"v": 1, "swarm": "ab" * 32, "peer": "cd" * 32}
    announce = {"port": 4001, "private": ["10.0.0.5:4001"], "event": "started", "wanted": 30}
    want = {"segment": 3, "blocks": 9, "path": "a", "missing": "1f", "hedge": False}
    mark = {"segment": 2, "epoch": 1}
    held = {**mark, "blocks_done": 3}
    lease = {"want": [want], "progress": [held], "done": [mark], "release": []}
    return [json.dumps({**who, **rest}).encode() for rest in (announce, lease)]


HARNESSES = {
    "frames": Harness("the decoder of frames between peers", _frame_seeds, _check_frames),
    "index": Harness("the index", lambda: [built().index_json], _check_index, 8192),
    "signature": Harness(
        "the index's signature", lambda: [built().signature.to_bytes()], _check_signature
    ),
    "mpd": Harness("the MPD", lambda: [_MPD, *_ENTITIES], _check_mpd),
    "range": Harness("the Range header", _range_seeds, _check_range, 200),
    "cmcd": Harness(
        "what a player says of itself",
        lambda: [b'bl=2100,br=800,dl=1900,nor="..%2Fb.m4s",nrr="0-9",sid="a",su,ot=v'],
        _check_cmcd,
        600,
    ),
    "tracker": Harness("announces and lease calls", _tracker_seeds, _check_tracker),
}
