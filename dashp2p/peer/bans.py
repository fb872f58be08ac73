"""Whom this peer has nothing to do with: keys that sent a false block, and addresses of several;
for a shorter time, keys that broke their word."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field
from twisted.internet.interfaces import IAddress

from dashp2p.peer.limits import ADDRESS_BAN_KEYS, BAN_S, MAX_BANS, SHUN_S
from dashp2p.web.addresses import address_group, is_loopback


@define(eq=False)
class Bans:
    """One false block bans a key for BAN_S. An address may be many peers behind a NAT: it is banned
    only while ADDRESS_BAN_KEYS of its keys are. This machine never is.
    """

    _keys: OrderedDict[bytes, tuple[float, str | None]] = field(factory=OrderedDict, init=False)
    """Until when, and from which address it came."""
    _shunned: OrderedDict[bytes, float] = field(factory=OrderedDict, init=False)
    """Until when."""

    def ban(self, peer_id: bytes, address: IAddress | None, now: float) -> None:
        """A proven lie."""
        group = None if address is None else address_group(address)
        self._keys[peer_id] = now + BAN_S, group
        self._keys.move_to_end(peer_id)
        if len(self._keys) > MAX_BANS:
            self._keys.popitem(last=False)

    def shun(self, peer_id: bytes, now: float) -> None:
        """It broke its word: nothing to do with it for SHUN_S. Its address does not suffer."""
        self._shunned[peer_id] = now + SHUN_S
        self._shunned.move_to_end(peer_id)
        if len(self._shunned) > MAX_BANS:
            self._shunned.popitem(last=False)

    def has_key(self, peer_id: bytes, now: float) -> bool:
        """Whether that key is banned, or shunned."""
        until, _ = self._keys.get(peer_id, (now, None))
        return now < max(until, self._shunned.get(peer_id, now))

    def has_address(self, address: IAddress | None, now: float) -> bool:
        """Whether whoever comes from there is refused unheard."""
        if not self._keys or address is None or is_loopback(address):
            return False
        group = address_group(address)
        liars = sum(1 for until, where in self._keys.values() if where == group and now < until)
        return liars >= ADDRESS_BAN_KEYS

    def count(self, now: float) -> int:
        """How many keys are banned."""
        return sum(1 for until, _ in self._keys.values() if now < until)

    def shunned(self, now: float) -> int:
        """How many keys are shunned."""
        return sum(1 for until in self._shunned.values() if now < until)
