"""Who owes what: the REQUESTs of one direction of a link, and which blocks are still unanswered.

Both ends keep the same book of each direction, so "exactly one answer for each block" is checked
where an answer is sent and again where it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define

from dashp2p.wire.blockset import EMPTY, WHOLE
from dashp2p.wire.errors import Code
from dashp2p.wire.limits import MAX_OUTSTANDING_REQUESTS


class BreachError(Exception):
    """A frame that does not fit the book; the session says whose fault that is."""

    def __init__(self, text: str, code: Code = Code.BAD_REQUEST) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


@define
class Outstanding:
    """A REQUEST not yet wholly answered."""

    request_id: int
    segment: int
    blocks: int
    """The blocks still to be answered."""
    hashes: bool
    """HASHES were asked for and have not come."""
    cancelled: int = EMPTY
    """Blocks that a CANCEL has named; an answer to them is due at once."""


class Ledger:
    """The outstanding REQUESTs of one direction, at most MAX_OUTSTANDING_REQUESTS."""

    def __init__(self, last_id: int = 0) -> None:
        self._open: dict[int, Outstanding] = {}
        self._last_id = last_id

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Outstanding]:
        return iter(tuple(self._open.values()))

    def get(self, request_id: int) -> Outstanding | None:
        """The request with this id, while any of it is unanswered."""
        return self._open.get(request_id)

    def free_id(self) -> int:
        """An id that no outstanding request has; ids go round after 2**32 - 1, leaving out 0."""
        while True:
            self._last_id = self._last_id % 0xFFFF_FFFF + 1
            if self._last_id not in self._open:
                return self._last_id

    def open(self, request_id: int, segment: int, blocks: int, hashes: bool) -> None:
        """Enter a REQUEST. Raises BreachError when its id or the number of requests forbids it."""
        if len(self._open) >= MAX_OUTSTANDING_REQUESTS:
            raise BreachError("more than 64 requests are outstanding", Code.RATE_LIMITED)
        if request_id == 0:
            raise BreachError("0 is not a request id")
        if request_id in self._open:
            raise BreachError("a request id is still in use")
        self._open[request_id] = Outstanding(request_id, segment, blocks, hashes)

    def data(self, request_id: int, segment: int, blocks: int) -> None:
        """Enter a DATA. Raises BreachError unless all its blocks are unanswered ones."""
        entry = self._find(request_id, segment)
        if blocks & ~entry.blocks:
            raise BreachError("a block was not asked for, or is answered already")
        if entry.hashes:
            raise BreachError("HASHES were asked for and go before the first DATA")
        self._answer(entry, blocks)

    def hashes(self, request_id: int, segment: int) -> None:
        """Enter a HASHES. Raises BreachError unless they were asked for and have not come."""
        entry = self._find(request_id, segment)
        if not entry.hashes:
            raise BreachError("HASHES were not asked for, or are answered already")
        entry.hashes = False
        self._answer(entry, EMPTY)

    def reject(self, request_id: int, segment: int, blocks: int) -> int:
        """Enter a REJECT; answers the set it rejects (WHOLE made plain). Raises BreachError."""
        entry = self._find(request_id, segment)
        if blocks == WHOLE:
            blocks = entry.blocks
        elif blocks & ~entry.blocks:
            raise BreachError("a block was not asked for, or is answered already")
        elif blocks == EMPTY and entry.blocks != EMPTY:
            raise BreachError("a REJECT names the blocks that it rejects")
        self._answer(entry, blocks)
        if entry.blocks == EMPTY:  # nothing is left that hashes could be needed for
            self._open.pop(request_id, None)
        return blocks

    def cancel(self, request_id: int, segment: int, blocks: int) -> int:
        """Which unanswered blocks a CANCEL means; EMPTY when it crossed with their answers.

        Nothing is struck out: every block still gets its answer. Raises BreachError when the
        request is for another segment.
        """
        entry = self._open.get(request_id)
        if entry is None:
            return EMPTY
        if entry.segment != segment:
            raise BreachError("a frame names another segment than its request")
        entry.cancelled |= blocks
        return entry.blocks & blocks

    def _find(self, request_id: int, segment: int) -> Outstanding:
        entry = self._open.get(request_id)
        if entry is None:
            raise BreachError("an answer to a request that is not outstanding")
        if entry.segment != segment:
            raise BreachError("a frame names another segment than its request")
        return entry

    def _answer(self, entry: Outstanding, blocks: int) -> None:
        entry.blocks &= ~blocks
        if entry.blocks == EMPTY and not entry.hashes:
            del self._open[entry.request_id]
