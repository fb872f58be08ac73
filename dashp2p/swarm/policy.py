"""The numbers of the crowd's behaviour, and the switches by which the lab turns a mechanism off.

docs/scheduling.md says why each number is what it is, and what its ablation cost.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

ABLATIONS: Final = (
    "no-lease",
    "store-and-forward",
    "no-hedge",
    "in-order",
    "no-cmsd",
    "no-pacing",
    "no-prefetch",
    "no-replicas",
)


@frozen
class Policy:
    """All times in seconds, sizes in bytes, rates in bits per second."""

    tick_s: float = 0.05
    """How often late things are looked for; everything else follows events."""
    news_delay_s: float = 0.008
    """How long blocks that arrived are gathered before neighbours are told of them."""
    news_fanout: int = 8
    """So many neighbours hear of blocks at a time; they have it from each other as from us."""
    promise_fanout: int = 16
    """So many neighbours hear that we want a segment, or that it comes to us from others."""
    news_slack_delay_s: float = 0.04
    """The same while the segment is not urgent: fewer and larger words cost less."""
    news_ample_delay_s: float = 0.1
    """The same with ample slack."""
    wish_delay_s: float = 0.05
    """How long a segment may have no source before neighbours are told that it is wanted."""
    turn_blocks: int = 2
    """While several wait for a segment, so many blocks go to one before the next has his turn."""
    turn_ample_blocks: int = 8
    """The same with ample slack: fewer and larger frames cost less."""
    run_wait_s: float = 0.05
    """With ample slack, so long after the last block a leader waits for a run of blocks to send."""
    spread_more_blocks: int = 16
    """With some on their way, no fewer are asked of who spreads them, unless he has no more."""
    pull_more_blocks: int = 4
    """The same of who is asked for them in order, with ample slack."""
    withdraw_delay_s: float = 0.02
    """How long blocks that are had elsewhere are gathered before who spreads them is told."""
    withdraw_ample_delay_s: float = 0.1
    """The same with ample slack."""
    hold_s: float = 0.3
    """How long a block sent to one asker is withheld from the next who can have it from him."""
    hold_slack_s: float = 2.0
    """The same with slack."""
    spread_window_blocks: int = 128
    """How many blocks may be asked of a parent at once: 2 MiB of 16 KiB blocks."""
    spread_holders: int = 3
    """From this many whole holders on, blocks are pulled from all of them instead of spread."""
    outstanding_bytes: int = 2 * 1024 * 1024
    """What may be outstanding on one link, both ways."""
    queue_s: float = 0.05
    """A neighbour's queue is its rate times (round trip + this), plus one block."""
    queue_slack_s: float = 0.1
    """The same with slack."""
    allowance_s: float = 0.6
    """On a busy machine others have so much longer at most."""
    asleep_s: float = 2.0
    """With so long between two ticks it was us who stood still (a laptop slept, a process was
    stopped): nobody else is blamed for it."""
    stale_s: float = 0.5
    """A delivery with no news for so long may ask for a hedge ..."""
    stale_share: float = 0.25
    """... but with slack it waits for this share of that: who lost packets goes on ..."""
    stale_most_s: float = 1.0
    """... and no longer than this."""
    most_hops: int = 12
    """Nobody promises blocks that would come over more neighbours. Where a source is lost and those
    who waited turn to each other, the promises rise hop by hop: here they end."""
    late_factor: float = 3.0
    """A block is late after so many times its expected time."""
    late_floor_s: float = 0.6
    """No block is late before this."""
    stranger_s: float = 0.1
    """While a player waits for what only strangers say to have, the tracker is asked after this."""
    late_untried_s: float = 0.25
    """Unless a player waits, and they were asked of somebody who never kept his word, or broke it
    last: he has so long."""
    gap_s: float = 0.08
    """In a hurry, with no block for so long: what others have too is no longer waited for."""
    start_grace_s: float = 1.2
    """The deadline of a request that a player waits for with nothing in its buffer."""
    guard_s: float = 0.3
    """What is left to spare when the last way out, the origin, is taken."""
    urgent_s: float = 1.5
    """With less slack than this, blocks are asked for in order and bypass the upload slots."""
    ample_s: float = 4.0
    """With more slack than this peers swap in coarser pieces. With less a player may still be
    climbing, and go by how fast a segment comes."""
    prefetch_within_s: float = 20.0
    """What a player names as next is begun if it is due so soon. Whoever has more in its buffer
    leaves time enough when it asks."""
    waste_share: float = 0.03
    """No more is begun unasked while so much of what players were given came for nothing."""
    replica_copies: int = 3
    """What fewer hold or want is copied from them, ..."""
    replica_step_s: float = 0.1
    """... so much later for each peer that is nearer to it, ..."""
    replica_within_s: float = 40.0
    """... if our player will need it so soon."""
    replica_silent_s: float = 8.0
    """Who told nothing for so long may be gone."""
    replicas_at_once: int = 4
    """So many such copies are under way at a time."""
    spare_window_blocks: int = 32
    """So much of a copy may be asked of a parent at once: the rest of the link is for players."""
    replica_share: float = 0.1
    """None is begun while so much of what players were given came as copies and was not played."""
    unasked_s: float = 4.0
    """What nobody waits for is given up so long after its deadline, if less than half is here."""
    rescue_refill_s: float = 4.0
    """One unleased fetch from the origin is earned each so many seconds."""
    rescue_burst: int = 4
    """How many unleased fetches may follow each other."""
    pace: float = 1.4
    """A segment that comes at less than so many times its own rate comes too slowly: a player that
    measures throughput would go down a rung."""
    pace_after_s: float = 0.2
    """So long it is waited for before its pace is judged."""
    progress_s: float = 0.4
    """How often a leader tells the tracker how far it is."""
    done_s: float = 0.03
    """How long fulfilled leases are gathered before the tracker hears of them: small files come
    together, and a call costs both ends more than to send such a file."""
    report_s: float = 1.0
    """How long completions are gathered before the tracker hears of them."""
    upload_slots: int = 4
    """How many neighbours are served with slack at a time; urgent requests bypass this."""
    slot_s: float = 0.5
    """Whose link has taken nothing for so long has no slot."""
    frame_s: float = 0.05
    """One DATA frame holds at most this much of the link's rate."""
    drop_after_broken: int = 4
    """A neighbour that was late so often in a row is dropped. It may come back: perhaps it stood
    still."""
    shun_after_refusals: int = 3
    """A neighbour that so often in a row refuses what it says that it has is dropped and shunned.
    What is evicted is taken back (GONE) before it is refused: an honest one hardly ever does it."""
    leases: bool = True
    cut_through: bool = True
    hedging: bool = True
    spreading: bool = True
    advice: bool = True
    pacing: bool = True
    prefetch: bool = True
    replicas: bool = True

    @classmethod
    def without(cls, ablations: frozenset[str]) -> Policy:
        """The policy with some mechanisms off. Raises ValueError for an unknown name."""
        unknown = ablations - frozenset(ABLATIONS)
        if unknown:
            raise ValueError(
                f"unknown ablation {', '.join(sorted(unknown))}; there are {', '.join(ABLATIONS)}"
            )
        return cls(
            leases="no-lease" not in ablations,
            cut_through="store-and-forward" not in ablations,
            hedging="no-hedge" not in ablations,
            spreading="in-order" not in ablations,
            advice="no-cmsd" not in ablations,
            pacing="no-pacing" not in ablations,
            prefetch="no-prefetch" not in ablations,
            replicas="no-replicas" not in ablations,
        )
