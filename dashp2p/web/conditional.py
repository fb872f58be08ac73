"""Which part of a representation a request wants, if any: preconditions and ranges of RFC 9110.

Entity tags are the only validators here. There is no Last-Modified: a new film under an old name
may well carry an older date, or one of the same second.
"""

from __future__ import annotations

from attrs import frozen
from twisted.web.server import Request
from werkzeug.http import parse_etags, quote_etag, unquote_etag

from dashp2p.web.limits import MAX_ETAGS_CHARS
from dashp2p.web.ranges import RangeError, requested_range


@frozen
class Selection:
    """The status to answer with, and the bytes that go into the body."""

    code: int
    first: int = 0
    size_bytes: int = 0
    """0 unless `code` is 200 or 206."""


def select(request: Request, etag: str, total_bytes: int) -> Selection:
    """Decide on If-Match, If-None-Match, Range and If-Range, and set the headers that follow.

    `etag` is without quotes, and strong. Sets the status, ETag, Accept-Ranges, Content-Range and
    Content-Length; the caller writes the body, unless the method is HEAD or the size 0.
    """
    selection = _decide(request, etag, total_bytes)
    request.setResponseCode(selection.code)
    request.setHeader(b"ETag", quote_etag(etag).encode("ascii"))
    request.setHeader(b"Accept-Ranges", b"bytes")
    if selection.code == 206:
        end = selection.first + selection.size_bytes - 1
        content_range = f"bytes {selection.first}-{end}/{total_bytes}"
        request.setHeader(b"Content-Range", content_range.encode("ascii"))
    elif selection.code == 416:
        request.setHeader(b"Content-Range", b"bytes */%d" % total_bytes)
    if selection.code != 304:
        request.setHeader(b"Content-Length", b"%d" % selection.size_bytes)
    return selection


def _decide(request: Request, etag: str, total_bytes: int) -> Selection:
    if_match = _header(request, "If-Match")
    if if_match is not None and not _matches(if_match, etag, weak=False):
        return Selection(412)
    if_none_match = _header(request, "If-None-Match")
    if if_none_match is not None and _matches(if_none_match, etag, weak=True):
        return Selection(304)
    whole = Selection(200, 0, total_bytes)
    if request.method != b"GET" or not _range_is_valid(_header(request, "If-Range"), etag):
        return whole
    try:
        part = requested_range(_header(request, "Range"), total_bytes)
    except RangeError:
        return Selection(416)
    return whole if part is None else Selection(206, part.first, part.size_bytes)


def _header(request: Request, name: str) -> str | None:
    values = request.requestHeaders.getRawHeaders(name)
    if not values:
        return None
    return ", ".join(values)[:MAX_ETAGS_CHARS]


def _matches(header: str, etag: str, *, weak: bool) -> bool:
    """Section 13.1: If-Match compares strongly, If-None-Match weakly; `*` is any that exists."""
    tags = parse_etags(header.strip())
    return tags.contains_weak(etag) if weak else tags.contains(etag)


def _range_is_valid(if_range: str | None, etag: str) -> bool:
    """Section 13.1.5: the tag compares strongly; a date never matches, for we send none."""
    if if_range is None:
        return True
    tag, is_weak = unquote_etag(if_range.strip())
    return tag == etag and not is_weak and '"' in if_range
