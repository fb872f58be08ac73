"""What may be sent when. Each direction of a link has a state of its own, and both obey one table.

docs/protocol.md, "States", is this table in words, and a test compares the two.
"""

from __future__ import annotations

import enum
from typing import Final

from dashp2p.wire.frames import FrameType


class State(enum.Enum):
    """What one direction of a link must carry next."""

    PREFACE = "preface"
    HELLO = "hello"
    HAVE = "have"
    OPEN = "open"
    CLOSED = "closed"


NEXT: Final[dict[State, dict[FrameType, State]]] = {
    State.PREFACE: {},
    State.HELLO: {
        FrameType.HELLO: State.HAVE,
        FrameType.ERROR: State.CLOSED,
        FrameType.GOAWAY: State.HELLO,
    },
    State.HAVE: {
        FrameType.HAVE: State.OPEN,
        FrameType.ERROR: State.CLOSED,
        FrameType.GOAWAY: State.HAVE,
    },
    State.OPEN: {
        FrameType.HAVE: State.OPEN,  # only as Direction.advance says
        FrameType.GOT: State.OPEN,
        FrameType.GETTING: State.OPEN,
        FrameType.GONE: State.OPEN,
        FrameType.REQUEST: State.OPEN,
        FrameType.DATA: State.OPEN,
        FrameType.HASHES: State.OPEN,
        FrameType.REJECT: State.OPEN,
        FrameType.CANCEL: State.OPEN,
        FrameType.PING: State.OPEN,
        FrameType.PONG: State.OPEN,
        FrameType.ERROR: State.CLOSED,
        FrameType.GOAWAY: State.OPEN,
    },
    State.CLOSED: {},
}


OPENING: Final = frozenset({FrameType.HELLO, FrameType.HAVE, FrameType.ERROR, FrameType.GOAWAY})
"""What a side may send before both HAVEs have passed."""


class Direction:
    """The state of one direction; raises nothing, answers whether a frame is in order."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._may_have_again = False

    def allows(self, frame_type: FrameType) -> bool:
        """Whether a frame of this type may come now."""
        if frame_type is FrameType.HAVE and self.state is State.OPEN:
            return self._may_have_again
        return frame_type in NEXT[self.state]

    def advance(self, frame_type: FrameType, have_count: int = 0) -> None:
        """Go on after a frame that `allows` allowed; `have_count` is the count of a HAVE."""
        if frame_type is FrameType.HAVE:
            self._may_have_again = self.state is State.HAVE and have_count == 0
        self.state = NEXT[self.state][frame_type]
