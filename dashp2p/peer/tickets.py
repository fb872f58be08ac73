"""The ticket that this peer shows, and what it thinks of others' tickets.

The tracker's key is the pinned one, or the first that this tracker showed (remembered in the cache
folder). Tickets are judged by the tracker's clock, which each answer tells, for viewers' clocks are
often wrong. While the tracker does not answer, nobody's ticket can be renewed: then expired ones
count for GRACE_S longer, so that a swarm lives on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dashp2p.content.tickets import SKEW_S, TicketRefused, read_ticket
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.limits import TICKET_GRACE_S
from dashp2p.peer.tracker_client import Announced
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Hello

log = Logger()


@define(eq=False)
class Tickets:
    """`url` is the tracker's, by which its key is remembered; `wall` tells seconds since 1970."""

    url: str
    known: KnownKeys
    pinned: bytes | None
    clock: IReactorTime
    wall: Callable[[], float] = time.time
    own: bytes = b""
    """Goes into HELLO and lease calls."""
    refused: int = 0
    """HELLOs whose ticket did not count."""
    _key: bytes | None = field(default=None, init=False)
    _answered: bool = field(default=False, init=False)
    _away: bool = field(default=False, init=False)
    _ahead_s: float | None = field(default=None, init=False)
    """The tracker's clock minus that of the reactor."""
    _told: set[str] = field(factory=set, init=False)

    def load(self) -> None:
        """Read the tracker's key, where an earlier run learned it."""
        self.known.load()
        self._key = self.pinned or self.known.key_of(self.url)

    @property
    def key(self) -> bytes | None:
        """The key that a ticket must be signed by, as far as it is known."""
        return self._key

    @property
    def now(self) -> float:
        """The tracker's time, or ours until it has told its own."""
        return self.wall() if self._ahead_s is None else self.clock.seconds() + self._ahead_s

    def left(self) -> None:
        """Another swarm is joined: the ticket was for the former one."""
        self.own = b""

    def answered(self, swarm: bytes, peer: bytes, answer: Announced) -> None:
        """The tracker has answered an announce."""
        self._answered, self._away = True, False
        if answer.time is not None:
            self._ahead_s = answer.time - self.clock.seconds()
        if self._key is None and answer.ticket_key is not None:
            self._key = answer.ticket_key
            log.info("learned the tracker's key {key}", key=self._key.hex())
            self.known.learn(self.url, self._key)
        self.own = b"" if answer.ticket is None else answer.ticket.encode("ascii", "replace")
        if self._key is None:
            self._tell("the tracker issues no tickets: whoever knows the film may link to us")
            return
        try:
            read_ticket(answer.ticket or "", self._key).check(swarm, peer, self.now)
        except TicketRefused as why:
            self._tell(
                f"the tracker's ticket does not fit its key ({why}), so others that know this key "
                "will not link to us: if the tracker changed its key, give the new one with "
                "--tracker-key"
            )

    def unanswered(self) -> None:
        """The tracker does not answer."""
        self._away = True

    def judge(self, peer: bytes, hello: Hello) -> Code | None:
        """Whether a link goes on after the other's HELLO; a code says no.

        Without a key that tickets could be checked by, there is no link before the tracker has
        answered once; and if it then has issued no tickets, everybody is taken.
        """
        if self._key is None:
            return None if self._answered else Code.BUSY
        try:
            ticket = read_ticket(hello.ticket.decode("ascii", "replace"), self._key)
            grace_s = TICKET_GRACE_S if self._away else SKEW_S
            ticket.check(hello.swarm_id, peer, self.now, grace_s)
        except TicketRefused as why:
            self.refused += 1
            log.info("a link to {peer} is refused: {why}", peer=peer.hex()[:12], why=str(why))
            return Code.UNAUTHORISED
        return None

    def _tell(self, text: str) -> None:
        """Say it once."""
        if text not in self._told:
            self._told.add(text)
            log.warn("{text}", text=text)
