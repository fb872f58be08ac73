"""Bounds of every HTTP listener: what a stranger may make a daemon hold, and for how long.

twisted.web itself bounds the header's size, but spools request bodies of any size to disk (twisted
issues 4898, 10191), and its idle timer starts anew with every byte that comes.
"""

from __future__ import annotations

from attrs import frozen

KIB = 1 << 10

MAX_BODY_BYTES = 64 * KIB
MAX_HEADER_BYTES = 16 * KIB
"""Request line and header lines together."""
MAX_HEADERS = 100
MAX_DISCARDED_BYTES = 1024 * KIB
"""What is read and thrown away after a refusal, so that the client comes to read the answer."""
MAX_PIPELINED_PIECES = 64
"""In how many pieces later requests wait while one is being answered, before they are joined."""

RECEIVE_S = 30.0
IDLE_S = 75.0
"""More than the 60 s for which common proxies keep an idle connection, so that they close first."""
STALLED_S = 60.0
LINGER_S = 2.0
ASLEEP_S = 5.0
"""A timer that is so late shows that the machine slept."""
STALL_CHECKS = 6
"""How often in one stall time the socket is looked at."""

MAX_CONNECTIONS = 4096
MAX_CONNECTIONS_PER_ADDRESS = 64

FILE_CHUNK_BYTES = 128 * KIB
"""Read from disk and handed to the transport at a time: as much as it sends in one go."""

MIN_SENDFILE_BYTES = 64 * KIB
"""Smaller bodies go through the transport: one write does for them."""
SENDFILE_TURN_BYTES = 1024 * KIB
"""What the kernel may send in one turn, before other connections have theirs."""

MAX_JSON_DEPTH = 16
MAX_CMCD_CHARS = 4096
MAX_CMCD_KEYS = 64
MAX_CMCD_EVENTS = 64
"""Reports that are read of one post."""
MAX_OBJECT_NAME_CHARS = 1024
MAX_RANGE_CHARS = 40
"""Of the byte range that a player says it will ask for next."""
MAX_SESSION_ID_CHARS = 64
MAX_READY_REASONS = 16
MAX_S = 86400.0
"""Of a buffer or deadline that a player tells (CMCD)."""
MAX_BPS = 10**11
MAX_PLAYBACK_RATE = 64.0
MAX_TIME_S = 1e11
"""Of the player's clock: beyond the year 5000."""
MAX_EVENT_CHARS = 8
"""Of the name of an event that it reports."""
MAX_ETAGS_CHARS = 4096
"""Of If-Match, If-None-Match and If-Range; what comes beyond is not looked at."""


@frozen
class SiteLimits:
    """The bounds of one listener; the defaults suit the tracker and the origin."""

    body_bytes: int = MAX_BODY_BYTES
    header_bytes: int = MAX_HEADER_BYTES
    header_count: int = MAX_HEADERS
    receive_s: float = RECEIVE_S
    """For a whole request, header and body, from its first byte."""
    idle_s: float = IDLE_S
    """For a connection on which no request has begun."""
    stalled_s: float = STALLED_S
    """For a client that takes no byte of a response. A player that pauses takes none for minutes:
    give its listener minutes."""
    connections: int = MAX_CONNECTIONS
    connections_per_address: int | None = MAX_CONNECTIONS_PER_ADDRESS
    """By IPv4 address or IPv6 /64; loopback is exempt. None: as many as they like."""
