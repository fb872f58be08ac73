"""Bounds of the peer daemon (design D10). Names carry their units."""

from __future__ import annotations

from typing import Final

MAX_LINKS: Final = 50
"""Open links, both ways."""
WANTED_LINKS: Final = 30
"""Links that we dial for; the rest is left to others who dial us."""
LINKS_PER_ADDRESS: Final = 32
"""Links that one address (in IPv6 a /64) may dial to us, unless an option says otherwise; loopback
is exempt. Behind a NAT many peers share one; the rest of MAX_LINKS is left to others."""
MAX_DIALS: Final = 16
"""Dials under way at a time."""
DIAL_TIMEOUT_S: Final = 3.0
HANDSHAKE_S: Final = 10.0
CALL_S: Final = 1.0
"""So long after its last word a caller who has not greeted yet is waited for, instead of dialling
whoever is said to be at its address."""
PING_S: Final = 30.0
DOUBT_PING_S: Final = 0.5
"""While it is in doubt whether the other side answers requests at all."""
SILENCE_S: Final = 90.0
DOUBTFUL_S: Final = 3.0
"""A link that was quiet for so long gives way to a new one with the same key: its other end has
lost power or changed networks, and would be turned away until the silence has ended the old one."""
WRITE_QUEUE_BYTES: Final = 2 * 1024 * 1024
"""What may wait for a neighbour that does not read, before it is dropped."""
CHEAP_FRAMES_BURST: Final = 20_000
CHEAP_FRAMES_PER_S: Final = 2_000.0
"""Frames of one neighbour that cost it nothing and move no block (PING, CANCEL, news, unknown
ones, REQUESTs that are rejected), at once and in the long run."""
UNSENT_LOW_WATER_BYTES: Final = 32 * 1024
"""What the kernel may hold unsent on a link: more would make urgent blocks queue behind others."""
CLOSE_S: Final = 2.0
"""How long a link may take to close."""
BAN_S: Final = 3600.0
SHUN_S: Final = 300.0
"""How long a key that broke its word is left alone. It may mend: who hung is restarted."""
MAX_BANS: Final = 4096
ADDRESS_BAN_KEYS: Final = 4
"""Banned keys of one address that get it banned too: a NAT is many peers, and few of them lie."""
HANDSHAKES_BURST: Final = 64
"""Connections that one address may open at once: a class behind one NAT that joins together."""
HANDSHAKE_EVERY_S: Final = 0.5
"""And in the long run; each costs this peer 1 ms of CPU time. Loopback is exempt."""
MAX_CALLERS: Final = 1024
"""Addresses whose rates are remembered."""
MAX_SIGNATURE_BYTES: Final = 4096
MAX_TRACKER_BYTES: Final = 256 * 1024
TRACKER_TIMEOUT_S: Final = 3.0
OVERSLEPT_S: Final = 10.0
"""An announce that is so late shows that this machine slept: its links may be gone."""
ORIGIN_CONNECT_S: Final = 3.0
NEXT_ADDRESS_S: Final = 0.1
"""How long an attempt at one address of a host stands before the next is tried beside it, and how
soon a refusal is heard (RFC 8305, 5: no less than 0.1 s)."""
ORIGIN_SILENCE_S: Final = 8.0
"""For the head of an answer."""
ORIGIN_PATIENCE_S: Final = 5.0
ORIGIN_SLOWEST_BPS: Final = 64_000
"""A fetch that brings less in so long is given up, and its lease with it: as long as a lease lasts
without progress, and slower than any rung. Else one byte a second would hold a segment for hours.
So is a file that is only passed through, while its player would take more."""
ORIGIN_WATCH_S: Final = 0.25
ORIGIN_WATCH_MAX_S: Final = 16.0
"""How long after it failed an origin is asked whether it is back: twice as long each time."""
ORIGIN_SUSPECT_S: Final = 0.1
"""Within so long it is asked whether it is there, when a neighbour seems to have lost it ..."""
ORIGIN_SUSPECT_EVERY_S: Final = 5.0
"""... but not again so soon: neighbours may have other reasons, or lie."""
ORIGIN_CONNECTIONS: Final = 8
MAX_REDIRECTS: Final = 4
"""Answers of the origin that are looked at before one must be no redirect."""
INDEX_INLINE_BYTES: Final = 128 * 1024
"""A longer index is read in a thread: one of 65 536 entries takes a second."""
INDEX_RETRY_S: Final = 2.0
INDEX_RETRY_MAX_S: Final = 30.0
INDEX_LATE_S: Final = 10.0
"""How long the index may take after its signature, before that is asked for again."""
INDEX_LOOK_S: Final = 60.0
"""How often a peer that shares looks whether another film has taken this one's place."""
INDEX_SUSPECT_S: Final = 2.0
"""How soon it looks when the origin's files do not fit the index."""
EXPIRY_SKEW_S: Final = 300.0
"""By how much this machine's clock may be ahead before it calls an index expired that is not."""
MAX_NEWEST: Final = 1024
"""Origins whose newest index is remembered."""
INDEX_WAIT_S: Final = 4.0
"""How long a player's request waits for the index before it is passed through."""
BEGINNING_AFTER_S: Final = 0.5
"""So long after the index the beginning of the film is fetched, if no player asked for it: by then
there are links, and it comes as fast as what follows."""
MAX_PATH_CHARS: Final = 1024
MAX_SESSIONS: Final = 64
MAX_RECORDS: Final = 120
MAX_SERVED_BY: Final = 30
"""Neighbours whose bytes an announce tells; the tracker takes as many."""
MAX_QOE_BYTES: Final = 8 * 1024
MAX_CMCD_BYTES: Final = 32 * 1024
"""Of one post of players' reports."""
REPORTS_BURST: Final = 60
REPORTS_EVERY_S: Final = 0.5
"""Posts of reports from one address, at once and in the long run."""
PLAYER_STALLED_S: Final = 600.0
"""A player that pauses takes no byte for minutes."""
PLAYER_CHUNK_BYTES: Final = 128 * 1024
MAX_NETWORKS: Final = 64
"""Origins of which it is remembered how fast their film came."""
MAX_RATE_BPS: Final = 1e12
"""More is no rate of a network."""
PACE_STEP_S: Final = 0.02
PACE_FIRST_BYTES: Final = 4 * 1024
"""An answer that is held back begins with so much, and goes on so often: players count from the
first byte to the last."""
HASHES_LATE_S: Final = 0.3
"""How long blocks wait for hashes asked of another before who sent the blocks is asked too."""
MAX_UNPROVEN_BYTES: Final = 4 * 1024 * 1024
"""Blocks of one segment that wait for the hashes to check them by."""
STOP_S: Final = 10.0
"""How long a stopping daemon lets responses and uploads that are under way end."""
HANG_UP_S: Final = 2.5
"""Then its links may take so long to close, and the cache to take what waits for the disk."""
TICKET_GRACE_S: Final = 4 * 3600.0
"""How long an expired ticket still counts while the tracker is away: longer than nearly all films,
so that whoever watches one when the tracker goes can be linked to until its end."""
MAX_PEERS_TAKEN: Final = 64
MAX_HOLDERS_TAKEN: Final = 16
"""Of one answer of the tracker's; what it says beyond is not looked at."""
MAX_EPOCH: Final = 2**32 - 1
"""As the frames that pass it on have room for."""
MAX_WHY_CHARS: Final = 200
"""Of what it says when it refuses."""
MAX_TIME_S: Final = 2.0**40
"""Of its clock."""
MAX_KNOWN_KEYS: Final = 1024
"""Origins, or trackers, whose keys are remembered."""
MAX_TEXT_CHARS: Final = 64
"""Of a session's or player's name in a report."""
