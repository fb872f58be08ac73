"""Ending a command by a signal without leaving anything half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from attrs import define

__all__ = ["Interrupted", "interruptible", "uninterrupted"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked us to stop. Not an Exception, so nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


@define
class _State:
    held: int = 0
    pending: int | None = None


# One for the process, as signals are. (Masking them would not do: with a second thread, such as a
# progress bar's, the kernel hands them to that one, and Python runs the handler in the first.)
_state = _State()


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into one Interrupted; later ones then wait for the end."""

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # tidying up is not to be cut short
        if _state.held:
            _state.pending = number
        else:
            raise Interrupted(number)

    before = {each: signal.signal(each, handle) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Steps that belong together: an Interrupted comes right after them, not in between."""
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
        if not _state.held and _state.pending is not None:
            number, _state.pending = _state.pending, None
            raise Interrupted(number)
