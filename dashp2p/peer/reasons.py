"""Why no answer came, in words for people: they stand on pages and in logs."""

from __future__ import annotations

from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectionRefusedError, TimeoutError

MAX_REASON_CHARS = 200


def reason(error: BaseException) -> str:
    """One short line without a full stop, of what a request to a server failed with."""
    causes = [failure.value for failure in getattr(error, "reasons", ())]
    cause = causes[0] if causes else error
    if isinstance(cause, (DeferredTimeoutError, TimeoutError)):
        return "it took too long"
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens at its address"
    text = " ".join(str(cause).split()).rstrip(".:")
    return text[:MAX_REASON_CHARS] or type(cause).__name__
