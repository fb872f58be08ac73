"""Does the other side answer at all? Asked of who was late, when its blocks have been taken back.

Each block of a CANCEL is answered at once (docs/protocol.md, Cancel), however busy the other side
is with data, and frames keep their order on a link. So who answers PING after PING that was sent
behind a CANCEL, and not the CANCEL, lives and reads, and leaves requests unanswered.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from dashp2p.wire.ledger import Ledger

SILENT_ROUNDS: Final = 3
"""So many PINGs, one after the other, are answered before somebody counts as silent."""


@define
class Doubt:
    """`open_blocks`: cancelled and unanswered, by request id. `rounds`: PINGs answered since."""

    open_blocks: dict[int, int]
    rounds: int = 0

    @classmethod
    def of(cls, asked: Ledger) -> Doubt | None:
        """About what is cancelled on a link; None where all of it is answered."""
        found = {one.request_id: due for one in asked if (due := one.blocks & one.cancelled)}
        return cls(found) if found else None

    def look(self, asked: Ledger) -> bool:
        """A PING was answered: whether any of the blocks is still unanswered."""
        self.rounds += 1
        for request_id, blocks in list(self.open_blocks.items()):
            outstanding = asked.get(request_id)
            if outstanding is None or not outstanding.blocks & blocks:
                del self.open_blocks[request_id]
        return bool(self.open_blocks)

    @property
    def silent(self) -> bool:
        """The verdict."""
        return bool(self.open_blocks) and self.rounds >= SILENT_ROUNDS
