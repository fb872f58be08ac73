"""Every bound of the tracker on what strangers send, in one place. Each has its test."""

from __future__ import annotations

from typing import Final

from dashp2p.content.limits import BANDWIDTH_MAX_BPS, FILE_MAX_BYTES, PATH_MAX_CHARS
from dashp2p.wire.limits import MAX_POSITIONS, MAX_SEGMENT_BLOCKS

MAX_ANNOUNCE_BYTES: Final = 8 * 1024
MAX_LEASE_BYTES: Final = 64 * 1024

MAX_PEERS_TOLD: Final = 30
MAX_PRIVATE_ADDRESSES: Final = 8
MAX_ADDRESS_CHARS: Final = 56
"""[ipv6 address with a zone]:port and some."""
MIN_PRIVATE_PORT: Final = 1024
"""Below are the ports of routers, printers and servers, which no peer listens on."""

MAX_STATS: Final = 32
MAX_STAT_NAME_CHARS: Final = 40
MAX_STAT: Final = 2**53
"""Beyond this a JSON number is no longer exact, and no viewer has so many bytes."""
MAX_SERVED_BY: Final = 30
"""Neighbours whose bytes a peer tells with an announce."""
MAX_TOTALS: Final = 32
"""Names summed over a swarm."""

MAX_WANTS: Final = 64
MAX_PROGRESS: Final = 256
MAX_DONE: Final = 1024
"""A peer tells a tracker that was restarted all that it holds, in a few calls."""
MAX_RELEASE: Final = 256
MAX_REFUSED: Final = 64
LEASE_PEERS_PER_ANSWER: Final = 3
LEASE_PEERS_TOLD: Final = 8
"""Leaders and holders whose addresses a lease call's answer tells, for each want and in all."""
MAX_SEGMENT: Final = MAX_POSITIONS - 1
MAX_BLOCKS: Final = MAX_SEGMENT_BLOCKS
MAX_SEGMENT_BYTES: Final = FILE_MAX_BYTES
MAX_PATH_CHARS: Final = PATH_MAX_CHARS
MAX_BPS: Final = 1_000_000_000_000
MAX_MEDIA_BPS: Final = BANDWIDTH_MAX_BPS
MAX_EPOCH: Final = 2**32 - 1

PEERS_PER_SWARM: Final = 10_000
"""Beyond it the peer not heard of for longest is forgotten. Forgetting live peers costs a swarm its
leases, so this is far above the crowds that one tracker is for: some 2 KiB a peer."""
PEERS: Final = 50_000
SWARMS: Final = 1000
PEERS_PER_ADDRESS: Final = 0
"""Of one swarm behind one address; 0: no cap, for a school behind one NAT is one address."""
LEASE_CELLS: Final = 1_000_000
"""Segments and holders remembered in all swarms together, some 250 bytes each."""

INTERVAL_SHORTEST_S: Final = 30.0
INTERVAL_LONGEST_S: Final = 120.0
INTERVAL_GROWS_FROM: Final = 100
"""Peers of a swarm up to which the interval is the shortest."""
INTERVAL_GROWS_TO: Final = 1000
TTL_INTERVALS: Final = 2.5

ANNOUNCES_BURST: Final = 8
"""A peer's first announces come after 0, 1, 2 and 4 s, twice if it is started anew."""
ANNOUNCE_EVERY_S: Final = 4.0
"""How often it may announce in the long run."""
WATCHED_INTERVAL_S: Final = 5.0
"""How often peers announce while somebody looks at the dashboard ..."""
WATCHED_ANNOUNCES_PER_S: Final = 100.0
"""... as far as this is not passed: a large swarm's figures are fresh enough without."""
LEASES_BURST: Final = 100
LEASES_EVERY_S: Final = 0.05
ADDRESS_EVERY_S: Final = 0.01
"""Calls of one address in the long run: 100 a second, for a school may be behind it."""
ADDRESS_BURST: Final = 5000
MAX_BUCKETS: Final = 100_000
"""Peers, and addresses, whose rates are remembered."""

DIAL_S: Final = 2.0
MAX_DIALS: Final = 64
MAX_DIALS_PER_SITE: Final = 8
MAX_DIALS_WAITING: Final = 4096
MAX_DIALS_WAITING_PER_SITE: Final = 1024
MAX_TOLD_PER_DIAL: Final = 64
"""Peers that wait for one dial: different identities at one address and port."""
MAX_DIALLED: Final = 65_536
"""Results remembered."""
REACHED_FOR_S: Final = 600.0
UNREACHED_FOR_S: Final = 60.0

MAX_CONNECTIONS: Final = 20_000
MAX_STREAMS: Final = 64
MAX_STREAMS_PER_ADDRESS: Final = 4
"""Dashboards that are sent their figures. Browsers open six connections to a host: with more
streams than this, pages in other tabs could no longer be loaded. Others ask by themselves."""
MAX_SHOWN_SWARMS: Final = 50
MAX_SHOWN_PEERS: Final = 200
MAX_SHOWN_SEGMENTS: Final = 120
HISTORY_EVERY_S: Final = 10.0
HISTORY_POINTS: Final = 360
HISTORY_SWARMS: Final = 8
"""The largest ones' last hour is kept."""
MAX_QUERY_CHARS: Final = 512
"""Of GET /tracker's key."""

MAX_TICKETS: Final = PEERS
"""Peers whose key has been proven, some 600 bytes each."""
MAX_TOKENS: Final = 1024
"""Tokens whose signature need not be checked again."""
MAX_SIGNED_MS: Final = 2**53

SHARED_TRIES: Final = 8
"""How often a lease call is decided anew because another tracker wrote first."""
SHARED_RETRY_S: Final = 1.0
SHARED_ANSWER_S: Final = 2.0
"""How long the shared store may take to answer; peers wait 3 s for a tracker."""
SHARED_LOADS: Final = 50
"""Loads in a row to catch up with a swarm: a tracker that begins has all of its peers to read."""
SEEN_PER_LOAD: Final = 1000
SHARED_TTL_S: Final = 600
"""A swarm that nobody was heard of in for so long is dropped by the store; twice a peer's TTL."""
SHARED_SEGMENTS: Final = 20_000
"""Segments of one swarm that the store remembers, some 5 KiB each at most."""
SHARED_BACKOFF_S: Final = 5.0
"""The longest pause before a lost store is dialled again."""
