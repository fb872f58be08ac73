"""Hypothesis strategies for block sets and for every frame, within the limits of the protocol."""

from __future__ import annotations

from hypothesis import strategies as st

from dashp2p.wire import frames, limits
from dashp2p.wire.blockset import EMPTY, WHOLE, from_range
from dashp2p.wire.frames import Frame


def runs(block_count: int = limits.MAX_SEGMENT_BLOCKS) -> st.SearchStrategy[int]:
    """One run of blocks, not empty."""
    return st.integers(0, block_count - 1).flatmap(
        lambda first: st.integers(1, block_count - first).map(lambda size: from_range(first, size))
    )


def plain_sets(block_count: int = limits.MAX_SEGMENT_BLOCKS) -> st.SearchStrategy[int]:
    """Sets of blocks of a segment, not empty and not WHOLE."""
    scattered = st.integers(1, (1 << min(block_count, 40)) - 1)
    two_runs = st.tuples(runs(block_count), runs(block_count)).map(lambda pair: pair[0] | pair[1])
    return st.one_of(runs(block_count), scattered, two_runs)


def block_sets() -> st.SearchStrategy[int]:
    """Any set that a frame can carry."""
    return st.one_of(plain_sets(), st.just(WHOLE), st.just(EMPTY))


segments = st.integers(0, limits.MAX_POSITIONS - 1)
u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
u64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
request_ids = st.integers(1, 0xFFFF_FFFF)
keys = st.binary(min_size=32, max_size=32)

hellos = st.builds(
    frames.Hello,
    swarm_id=keys,
    public_key=keys,
    listening_port=u16,
    uploads=st.booleans(),
    ticket=st.one_of(st.binary(max_size=64), st.just(bytes(limits.MAX_TICKET_BYTES))),
)
haves = st.one_of(st.integers(0, 300), st.just(limits.MAX_POSITIONS)).flatmap(
    lambda count: st.builds(
        frames.Have, count=st.just(count), positions=st.integers(0, (1 << count) - 1)
    )
)
_named = st.one_of(plain_sets(), st.just(WHOLE))
_news = st.lists(
    st.builds(frames.SegmentBlocks, segment=segments, blocks=_named),
    min_size=1,
    max_size=limits.MAX_NEWS,
).map(tuple)
gots = st.builds(frames.Got, news=_news)
gones = st.builds(frames.Gone, news=_news)
gettings = st.builds(
    frames.Getting,
    news=st.lists(
        st.builds(frames.Fetching, segment=segments, epoch=u32, distance=u8, blocks=block_sets()),
        min_size=1,
        max_size=limits.MAX_NEWS,
    ).map(tuple),
)
requests = st.one_of(
    st.builds(
        frames.Request,
        segment=segments,
        blocks=plain_sets(),
        deadline_ms=u32,
        spread=st.booleans(),
        urgent=st.booleans(),
        hashes=st.booleans(),
        request_id=request_ids,
    ),
    st.builds(
        frames.Request,
        segment=segments,
        blocks=st.just(EMPTY),
        hashes=st.just(True),
        request_id=request_ids,
    ),
)
datas = st.integers(1, limits.MAX_DATA_BLOCKS).flatmap(
    lambda count: st.builds(
        frames.Data,
        request_id=request_ids,
        segment=segments,
        first=st.integers(0, limits.MAX_SEGMENT_BLOCKS - count),
        count=st.just(count),
        data=st.one_of(
            st.binary(min_size=count, max_size=300),
            st.integers(count, limits.MAX_DATA_BYTES).map(bytes),
        ),
    )
)
hashes = st.builds(
    frames.Hashes,
    request_id=request_ids,
    segment=segments,
    hashes=st.integers(1, limits.MAX_SEGMENT_BLOCKS).map(lambda number: bytes(32 * number)),
)
rejects = st.builds(
    frames.Reject, request_id=request_ids, segment=segments, blocks=block_sets(), code=u8
)
cancels = st.builds(frames.Cancel, request_id=request_ids, segment=segments, blocks=block_sets())
pings = st.builds(frames.Ping, token=u64)
pongs = st.builds(frames.Pong, token=u64)
errors = st.builds(frames.Error, code=u8, text=st.text(max_size=limits.MAX_ERROR_TEXT_BYTES // 4))
goaways = st.builds(frames.GoAway, code=u8)

any_frame: st.SearchStrategy[Frame] = st.one_of(
    hellos, haves, gots, gettings, gones, requests, datas, hashes, rejects, cancels, pings, pongs,
    errors, goaways,
)  # fmt: skip
"""Any frame that can be encoded, regardless of what a link would allow next."""

unasked_frames: st.SearchStrategy[Frame] = st.one_of(gots, gettings, gones, cancels, pings, pongs)
"""Frames that an open link takes at any time, in any number."""
