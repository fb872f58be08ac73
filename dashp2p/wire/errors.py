"""What can go wrong on a link, and the codes that say so to the other side."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashp2p.wire.frames import Frame


class Code(enum.IntEnum):
    """Reasons carried by REJECT, ERROR and GOAWAY (docs/protocol.md, "Codes").

    A frame may carry a code that is not listed here: treat it as a refusal without a known reason.
    """

    BUSY = 1
    NOT_HERE = 2
    BAD_REQUEST = 3
    UNAUTHORISED = 4
    VERSION = 5
    TOO_LARGE = 6
    RATE_LIMITED = 7
    SHUTTING_DOWN = 8
    INTEGRITY = 9
    CANCELLED = 10


class ProtocolError(Exception):
    """The other side broke the protocol. The session has closed and queued an ERROR with `code`.

    `events` are the frames of the same call that were in order and came before the offence.
    """

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{text} (code {int(code)})")
        self.code = code
        self.text = text
        self.events: tuple[Frame, ...] = ()


class LocalProtocolError(Exception):
    """Our own side asked the session for something that the protocol forbids; nothing was sent."""
