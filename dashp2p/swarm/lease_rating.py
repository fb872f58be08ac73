"""How many leases a peer may hold, by what it did with those it had."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from attrs import define, evolve, field

from dashp2p.swarm.lease_rules import LeaseRules


@define
class _Record:
    broken: int
    forgiven_at: float


@define
class LeaseRatings:
    """Broken leases by peer, forgiven one by one with time and with each lease fulfilled.

    The records outlive the peers' membership, or leaving and coming back would wash them clean;
    they are bounded by dropping whoever broke a lease longest ago.
    """

    rules: LeaseRules
    _records: OrderedDict[bytes, _Record] = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._records)

    def allowance(self, peer: bytes, now: float) -> int:
        """Unfulfilled leases that the peer may hold at once, 0 for a notorious breaker."""
        steps = self.broken(peer, now) // self.rules.broken_per_step
        return max(0, self.rules.most_live_per_peer - steps)

    def broken(self, peer: bytes, now: float) -> int:
        record = self._records.get(peer)
        if record is None:
            return 0
        forgiven = int((now - record.forgiven_at) / self.rules.forgive_after_s)
        if forgiven > 0:
            record.forgiven_at += forgiven * self.rules.forgive_after_s
            self._lower(peer, record, forgiven)
        return record.broken

    def broke(self, peer: bytes, now: float) -> None:
        self.broken(peer, now)  # what time has forgiven is forgiven before the new one counts
        record = self._records.setdefault(peer, _Record(0, now))
        record.broken = min(record.broken + 1, self.rules.most_broken)
        self._records.move_to_end(peer)
        if len(self._records) > self.rules.most_rated:
            self._records.popitem(last=False)

    def excerpt(self, peers: Iterable[bytes]) -> LeaseRatings:
        """A copy that knows of these peers only: what is done to it may come to nothing."""
        copy = LeaseRatings(self.rules)
        for peer in peers:
            if peer in self._records:
                copy._records[peer] = evolve(self._records[peer])
        return copy

    def take(self, excerpt: LeaseRatings, peers: Iterable[bytes]) -> None:
        """What was done to the excerpt of these peers shall hold."""
        for peer in peers:
            self._records.pop(peer, None)
            if peer in excerpt._records:
                self._records[peer] = excerpt._records[peer]
        while len(self._records) > self.rules.most_rated:
            self._records.popitem(last=False)

    def fulfilled(self, peer: bytes) -> None:
        record = self._records.get(peer)
        if record is not None:
            self._lower(peer, record, 1)

    def _lower(self, peer: bytes, record: _Record, by: int) -> None:
        record.broken = max(0, record.broken - by)
        if not record.broken:
            del self._records[peer]
