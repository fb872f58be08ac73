"""A byte stream cut into frames, holding at most one frame's payload, in linear time.

A payload that came in one read is sliced out of it; one that came in several is joined once, when
its last byte is here. DATA's block bytes are kept apart from its head for the same reason: 256 KiB
are not copied again to strip seven bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from dashp2p.wire.codec import HEADER
from dashp2p.wire.frames import FrameType
from dashp2p.wire.limits import DATA_HEAD_BYTES, HEADER_BYTES

_SMALL_PIECE: Final = 4096
"""Shorter pieces are gathered in one bytearray: an object for each byte would cost 50 times it."""


class Header(NamedTuple):
    """What a frame says before its payload."""

    length: int
    type: int
    flags: int
    request_id: int


class RawFrame(NamedTuple):
    """A frame of a known type, its payload not yet looked at; `head` is empty except for DATA."""

    type: FrameType
    request_id: int
    head: bytes
    body: bytes


class FrameReader:
    """Feed it what arrived, then take frames until there are none.

    `admit` sees each header before any of its payload is stored: it answers the type of a frame to
    be kept, None for one to be skipped, or raises ProtocolError.
    """

    def __init__(self, admit: Callable[[Header], FrameType | None]) -> None:
        self._admit = admit
        self._chunk = b""
        self._at = 0
        self._partial = bytearray()  # of a header, a preface or DATA's head
        self._header: Header | None = None
        self._type: FrameType | None = None
        self._head: bytes | None = None
        self._pieces: list[bytes | bytearray] = []
        self._gathered = 0
        self._to_skip = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of a frame that is not complete."""
        return len(self._partial) + len(self._head or b"") + self._gathered

    def feed(self, data: bytes) -> None:
        """Give it the next bytes, after `next_frame` said None to the last."""
        self._chunk = data
        self._at = 0

    def take(self, size: int) -> bytes | None:
        """Exactly `size` bytes (few: they are gathered), or None when they are not here yet."""
        end = self._at + size - len(self._partial)
        if end > len(self._chunk):
            self._partial += self._rest()
            return None
        taken = self._chunk[self._at : end]
        self._at = end
        if self._partial:
            taken = bytes(self._partial) + taken
            self._partial.clear()
        return taken

    def next_frame(self) -> RawFrame | None:
        """The next frame of a known type, or None when its end is not here yet.

        Raises whatever `admit` raises.
        """
        while self._header is None:
            if self._to_skip and not self._skip():
                return None
            header = self.take(HEADER_BYTES)
            if header is None:
                return None
            self._begin(Header._make(HEADER.unpack(header)))
        if self._head is None:
            self._head = self.take(DATA_HEAD_BYTES)
            if self._head is None:
                return None
        body = self._take_body(self._header.length - len(self._head))
        if body is None:
            return None
        assert self._type is not None
        frame = RawFrame(self._type, self._header.request_id, self._head, body)
        self._header = self._head = None
        return frame

    def _begin(self, header: Header) -> None:
        self._type = self._admit(header)
        if self._type is None:
            self._to_skip = header.length
            return
        self._header = header
        self._head = None if self._type is FrameType.DATA else b""

    def _skip(self) -> bool:
        """Pass over the payload of a skipped frame; True when past its end."""
        here = len(self._chunk) - self._at
        if here < self._to_skip:
            self._rest()
            self._to_skip -= here
            return False
        self._at += self._to_skip
        self._to_skip = 0
        return True

    def _take_body(self, size: int) -> bytes | None:
        end = self._at + size - self._gathered
        if end > len(self._chunk):
            self._gather(self._rest())
            return None
        body = self._chunk[self._at : end]
        self._at = end
        if self._pieces:
            body = b"".join([*self._pieces, body])
            self._pieces = []
            self._gathered = 0
        return body

    def _rest(self) -> bytes:
        """What is left of the chunk, which is let go."""
        rest = self._chunk[self._at :]
        self._chunk, self._at = b"", 0
        return rest

    def _gather(self, piece: bytes) -> None:
        self._gathered += len(piece)
        if not piece:
            return
        if len(piece) >= _SMALL_PIECE:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))
