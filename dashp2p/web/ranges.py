"""Byte ranges of RFC 9110, section 14: single, open and suffix ranges.

Parsed by werkzeug. Several ranges in one request, which no player needs and which cost a multipart
body, are answered with the whole, as the RFC allows.
"""

from __future__ import annotations

from attrs import frozen
from werkzeug.http import parse_range_header


@frozen
class ByteRange:
    """`size_bytes` bytes from offset `first`, of a representation of `total_bytes`; never empty."""

    first: int
    size_bytes: int
    total_bytes: int

    @property
    def content_range(self) -> str:
        """The value of the Content-Range header."""
        return f"bytes {self.first}-{self.first + self.size_bytes - 1}/{self.total_bytes}"


class RangeError(Exception):
    """The range lies outside of what there is: 416, with `content_range` in the answer."""

    def __init__(self, total_bytes: int) -> None:
        super().__init__(f"there are {total_bytes} bytes")
        self.content_range = f"bytes */{total_bytes}"


def requested_range(header: str | None, total_bytes: int) -> ByteRange | None:
    """The range that a Range header asks for; None for the whole.

    A header that is absent, malformed, in another unit or asks for several ranges means the whole.
    Raises RangeError.
    """
    parsed = parse_range_header(header)
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1:
        return None
    first, stop = parsed.ranges[0]
    if first < 0:
        # A suffix that is longer than all means all; werkzeug's own reading refuses it.
        first = max(0, total_bytes + first)
    stop = total_bytes if stop is None else min(stop, total_bytes)
    if first >= stop:
        raise RangeError(total_bytes)
    return ByteRange(first, stop - first, total_bytes)
