"""What the tracker issues and demands: tickets for peers, and tokens from them where it is set to.

Of a peer that has proven its key once, unsigned or repeated announces and lease calls without its
ticket are refused: nobody can move it, end it or lease in its name. Nothing here outlives the
process but the key; a ticket issued before a restart is recognised by its signature.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hmac import compare_digest

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content.keys import public_bytes
from dashp2p.content.tickets import (
    TICKET_LIFE_S,
    TicketRefused,
    Token,
    announce_is_signed,
    read_ticket,
    read_token,
    sign_ticket,
)
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.limits import MAX_TICKETS, MAX_TOKENS
from dashp2p.tracker.messages import Announce, Event, LeaseCall


@define
class _Proven:
    """A peer that has shown that it has its key."""

    ticket: str
    issued_at: float
    signed_ms: int


@define(eq=False)
class Tickets:
    """`owners` are the keys whose tokens admit; None: everybody is admitted. `wall` tells the time
    since 1970."""

    key: Ed25519PrivateKey
    owners: tuple[bytes, ...] | None
    wall: Callable[[], float]
    public_key: bytes = field(init=False)
    _proven: OrderedDict[tuple[bytes, bytes], _Proven] = field(factory=OrderedDict, init=False)
    _tokens: OrderedDict[str, Token] = field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        self.public_key = public_bytes(self.key)

    def admit(self, announce: Announce, body: bytes, signature: str | None) -> str | None:
        """The ticket for whoever sent this announce, None for one without a key. Raises Refused."""
        now = self.wall()
        leaves = announce.event is Event.STOPPED
        if not leaves:
            self._check_token(announce, now)
        proven = self._known(announce.swarm, announce.peer, now)
        if announce.ticket_key is None or signature is None:
            if proven is not None or self.owners is not None:
                raise Refused("sign the announce with the peer's key, as a peer of now does", 403)
            return None
        if proven is not None and announce.signed_ms <= proven.signed_ms:
            raise Refused("this announce is older than another one of the same peer", 403)
        due = proven is None or now - proven.issued_at > TICKET_LIFE_S / 2
        # Checking a signature doubles what an announce costs: who shows the ticket that its last
        # one got has passed already, until the next ticket is due.
        passed = not due and proven is not None and _same(proven.ticket, announce.ticket)
        key = announce.ticket_key
        if not passed and not announce_is_signed(key, announce.peer, body, signature):
            raise Refused("the announce is not signed by the key of the peer it names", 403)
        if due or proven is None:
            ticket = sign_ticket(self.key, announce.swarm, announce.peer, now)
            proven = self._note(announce.swarm, announce.peer, ticket, now)
        proven.signed_ms = announce.signed_ms
        return proven.ticket

    def check_lease(self, call: LeaseCall) -> None:
        """Raises Refused for a call in the name of a peer that others have proven to be."""
        now = self.wall()
        proven = self._known(call.swarm, call.peer, now)
        must = proven is not None or self.owners is not None
        if call.ticket is None:
            if must:
                raise Refused("lease with the ticket that the answer to your announce holds", 403)
            return
        if proven is not None and _same(proven.ticket, call.ticket):
            return
        try:
            ticket = read_ticket(call.ticket, self.public_key)
            ticket.check(call.swarm, call.peer, now)
        except TicketRefused as refused:
            if must:
                sentence = f"lease with the ticket of your last announce: {refused}"
                raise Refused(sentence, 403) from None
            return  # of a tracker that had another key: it is as good as none
        if proven is None:
            self._note(call.swarm, call.peer, call.ticket, ticket.issued_at)

    def _check_token(self, announce: Announce, now: float) -> None:
        if self.owners is None:
            return
        if announce.token is None:
            raise Refused(
                "this tracker admits only who has a token of the film's owner: ask for one and "
                "start the peer with --token-file",
                403,
            )
        try:
            self._read_token(announce.token).check(announce.swarm, now)
        except TicketRefused as refused:
            raise Refused(
                f"the token is refused ({refused}): ask the film's owner for another one", 403
            ) from None

    def _read_token(self, text: str) -> Token:
        """All viewers of a site may have the same: its signature is checked once."""
        known = self._tokens.get(text)
        if known is not None:
            self._tokens.move_to_end(text)
            return known
        why = TicketRefused("no owner's key is known")
        for owner in self.owners or ():
            try:
                token = self._tokens[text] = read_token(text, owner)
            except TicketRefused as refused:
                why = refused
            else:
                if len(self._tokens) > MAX_TOKENS:
                    self._tokens.popitem(last=False)
                return token
        raise why

    def _known(self, swarm: bytes, peer: bytes, now: float) -> _Proven | None:
        proven = self._proven.get((swarm, peer))
        if proven is not None and now - proven.issued_at > TICKET_LIFE_S:
            del self._proven[swarm, peer]
            return None
        return proven

    def _note(self, swarm: bytes, peer: bytes, ticket: str, issued_at: float) -> _Proven:
        former = self._proven.pop((swarm, peer), None)
        signed_ms = 0 if former is None else former.signed_ms
        proven = self._proven[swarm, peer] = _Proven(ticket, issued_at, signed_ms)
        if len(self._proven) > MAX_TICKETS:
            self._proven.popitem(last=False)
        return proven


def _same(ticket: str, shown: str | None) -> bool:
    return shown is not None and compare_digest(ticket, shown)
