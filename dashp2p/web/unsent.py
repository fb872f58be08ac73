"""How many bytes of what we wrote the client has not taken yet.

Twisted tells a producer only 'full' and 'empty'. To tell a slow reader from a stalled one, we look
at what waits in the transport and, where the system tells (Linux, macOS), at what waits in the
kernel's send queue, unacknowledged.
"""

from __future__ import annotations

import struct

from twisted.internet.interfaces import ITransport

try:
    import fcntl
    import termios
except ImportError:  # pragma: no cover  # Windows
    fcntl = termios = None  # type: ignore[assignment]


def unsent_bytes(transport: ITransport) -> int | None:
    """Bytes that wait for the client; None where the transport is of a kind that does not tell."""
    buffered = buffered_bytes(transport)
    return None if buffered is None else buffered + _queued_bytes(transport)


def buffered_bytes(transport: object) -> int | None:
    """Bytes in the transport's own buffer (for TLS: in that of the connection below it)."""
    # twisted.internet.abstract.FileDescriptor has no public accessor; a test with a real one goes
    # red should these names change, and other transports make the caller fall back.
    while hasattr(transport, "transport"):
        transport = transport.transport
    try:
        pending: int = len(transport.dataBuffer) - transport.offset  # type: ignore[attr-defined]
        pending += transport._tempDataLen  # type: ignore[attr-defined]
    except AttributeError:
        return None
    return pending


def _queued_bytes(transport: object) -> int:
    while hasattr(transport, "transport"):
        transport = transport.transport
    if fcntl is None or not hasattr(transport, "fileno"):
        return 0
    try:
        answer = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, ValueError, TypeError):
        return 0  # not a socket, or one that does not tell: the transport's own count must do
    queued: int = struct.unpack("i", answer)[0]
    return queued
