"""The peers of one swarm, and which of them a peer is told of: near ones first, some at random."""

from __future__ import annotations

from collections import OrderedDict
from random import Random
from typing import TypeVar

from attrs import define, field

from dashp2p.tracker.addresses import HostPort, Whereabouts, network_of
from dashp2p.tracker.pool import Pool

_Key = TypeVar("_Key")

SPARE = 8


@define(eq=False)
class Neighbour:
    """How one peer reaches another: `also` are further addresses of the same peer."""

    peer: bytes
    host: str
    port: int
    also: tuple[HostPort, ...] = ()
    _json: bytes = field(default=b"", init=False, repr=False)

    def to_json(self) -> bytes:
        """An object of the announce's answer; kept, for a peer is told of to many."""
        if not self._json:
            also = ",".join(f'"{address}"' for address in self.also)
            more = f',"also":[{also}]' if also else ""
            self._json = (
                f'{{"peer":"{self.peer.hex()}","host":"{self.host}","port":{self.port}{more}}}'
            ).encode("ascii")
        return self._json


@define(eq=False)
class Member:
    """A peer that announced lately."""

    peer: bytes
    at: Whereabouts
    port: int
    private: tuple[HostPort, ...] = ()
    upload_bps: int = 0
    have: int = 0
    stats: dict[str, float] = field(factory=dict)
    served_by: dict[str, int] = field(factory=dict)
    reached: bool | None = None
    """Whether its public address answered when it was dialled; None while that is not known."""
    announced_at: float = 0.0
    announced: bool = True
    """Else it is known by its lease calls only: it counts, and nobody is told of it."""
    public: Neighbour = field(init=False)
    lans: tuple[tuple[str, str], ...] = field(init=False)
    """Its private networks, each with the site that makes it a particular one."""

    def __attrs_post_init__(self) -> None:
        self.public = Neighbour(self.peer, self.at.host, self.port)
        self.lans = tuple({(self.at.site, network_of(each.host)) for each in self.private})

    def seen_from(self, asker: Member) -> Neighbour | None:
        """How the asker reaches this peer, or None where it is not to be told of it."""
        if self is asker or not self.port:
            return None
        if self.at.site == asker.at.site:
            return self._from_same_site(asker)
        # No stranger can be sent to a private address.
        return self.public if self.listed and (asker.at.local or not self.at.local) else None

    @property
    def listed(self) -> bool:
        """May peers of other sites be told of it? It must have answered a dial. In the tracker's
        own network it is enough that it did not fail one yet, so that a crowd that joins a LAN at
        once finds itself at once. Nobody outside can be sent to a loopback address."""
        reached = self.at.local if self.reached is None else self.reached
        return reached and not self.at.loopback

    def _from_same_site(self, asker: Member) -> Neighbour | None:
        """Without dial-back: the address is the asker's own site, and the link's key proves who
        answers there."""
        if self.at.local or self.at.site == self.at.network:
            # The socket's address is the peer's own: in a LAN, or in one IPv6 /64.
            if not self.private or self.at.loopback:
                return self.public
            return Neighbour(self.peer, self.at.host, self.port, self.private)
        if not self.private:
            return self.public if self.reached else None
        first, *rest = sorted(self.private, key=lambda address: _rank(address, asker))
        if self.reached:
            rest.append(HostPort(self.at.host, self.port))
        return Neighbour(self.peer, first.host, first.port, tuple(rest))


def _rank(address: HostPort, asker: Member) -> int:
    """An address in a network that the asker is in comes first. One that the asker has as well is
    this machine's, or a container bridge that every machine has: it comes after those."""
    if any(own.host == address.host for own in asker.private):
        return 1
    network = network_of(address.host)
    return 0 if any(network == lan for _, lan in asker.lans) else 2


@define(eq=False)
class Members:
    """All members of a swarm, with buckets for each question, so that no announce walks them."""

    by_peer: OrderedDict[bytes, Member] = field(factory=OrderedDict)
    """Who announced last is last."""
    _listed: Pool[Member] = field(factory=Pool)
    _sites: dict[str, Pool[Member]] = field(factory=dict)
    _lans: dict[tuple[str, str], Pool[Member]] = field(factory=dict)
    _networks: dict[str, Pool[Member]] = field(factory=dict)

    def __len__(self) -> int:
        return len(self.by_peer)

    @property
    def listed(self) -> int:
        """How many peers are told of to other sites."""
        return len(self._listed)

    def at_site(self, site: str) -> int:
        """How many peers share a public address."""
        return len(self._sites.get(site, ()))

    def put(self, member: Member) -> Member | None:
        """Add it, as the latest, or in the stead of the one of the same identity, returned."""
        before = self.remove(member.peer)
        self.by_peer[member.peer] = member
        _add(self._sites, member.at.site, member)
        for lan in member.lans:
            _add(self._lans, lan, member)
        if member.listed:
            self._tell_of(member)
        return before

    def remove(self, peer: bytes) -> Member | None:
        member = self.by_peer.pop(peer, None)
        if member is not None:
            _discard(self._sites, member.at.site, member)
            for lan in member.lans:
                _discard(self._lans, lan, member)
            self._keep_from(member)
        return member

    def touch(self, member: Member) -> None:
        self.by_peer.move_to_end(member.peer)

    def set_reached(self, member: Member, reached: bool) -> None:
        member.reached = reached
        if member.listed:
            self._tell_of(member)
        else:
            self._keep_from(member)

    def neighbours(self, asker: Member, wanted: int, random: Random) -> list[Neighbour]:
        """At most `wanted` peers: near ones first (same private network, same site, same /24 or
        /64), but a third at random."""
        found: dict[bytes, Neighbour] = {}
        near = [*(self._lans.get(lan) for lan in asker.lans)]
        near += [self._sites.get(asker.at.site), self._networks.get(asker.at.network)]
        self._gather(found, near, asker, wanted - wanted // 3, random)
        site = near[-2]
        self._gather(found, [self._listed, site, *near], asker, wanted, random)
        return list(found.values())

    def _gather(
        self,
        found: dict[bytes, Neighbour],
        pools: list[Pool[Member] | None],
        asker: Member,
        most: int,
        random: Random,
    ) -> None:
        """Fill `found` up to `most` from one pool after the other."""
        for pool in pools:
            if pool is None or len(found) >= most:
                continue
            # Some that are drawn are known already, or are not to be told: draw a few more.
            for member in pool.draw(random, most - len(found) + SPARE):
                if member.peer not in found and (seen := member.seen_from(asker)) is not None:
                    found[member.peer] = seen
                    if len(found) >= most:
                        break

    def _tell_of(self, member: Member) -> None:
        self._listed.add(member)
        _add(self._networks, member.at.network, member)

    def _keep_from(self, member: Member) -> None:
        self._listed.discard(member)
        _discard(self._networks, member.at.network, member)

    def oldest(self) -> Member:
        """Who was not heard of for longest. There must be one."""
        return next(iter(self.by_peer.values()))


def _add(pools: dict[_Key, Pool[Member]], key: _Key, member: Member) -> None:
    pools.setdefault(key, Pool()).add(member)


def _discard(pools: dict[_Key, Pool[Member]], key: _Key, member: Member) -> None:
    pool = pools.get(key)
    if pool is not None:
        pool.discard(member)
        if not pool:
            del pools[key]
