"""A set whose members are drawn at random in constant time."""

from __future__ import annotations

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

    def draw(self, random: Random, most: int) -> list[Member]:
        """Different members at random, in random order and in time that grows with `most` only:
        all of a small pool, and of a large one about `most` (a place drawn twice counts once)."""
        members = self._members
        size = len(members)
        if size <= 2 * most:
            few = members.copy()
            random.shuffle(few)
            return few[:most]
        uniform = random.random
        places = dict.fromkeys([int(uniform() * size) for _ in range(most)])
        return [members[place] for place in places]
