"""A set whose members are drawn at random in constant time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Generic, TypeVar

Member = TypeVar("Member")


class Pool(Generic[Member]):
    """Members in a list, with each one's place in it, so that none costs a walk."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._places: dict[Member, int] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._places

    def add(self, member: Member) -> None:
        if member not in self._places:
            self._places[member] = len(self._members)
            self._members.append(member)

    def discard(self, member: Member) -> None:
        place = self._places.pop(member, None)
        if place is None:
            return
        last = self._members.pop()
        if place < len(self._members):
            self._members[place] = last
            self._places[last] = place

    def draw(self, random: Random, most: int) -> Iterator[Member]:
        """Up to `most` different members, at random, in time that grows with `most` only."""
        members = self._members
        if len(members) <= 2 * most:
            few = members.copy()
            random.shuffle(few)
            yield from few[:most]
            return
        places: set[int] = set()
        while len(places) < most:  # more than half are free: two tries each on average, at most
            place = int(random.random() * len(members))
            if place not in places:
                places.add(place)
                yield members[place]
