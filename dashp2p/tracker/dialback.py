"""Dialling back: does a peer's public address answer, so that strangers may be sent there?

Only the address that an announce came from is ever dialled, so the tracker cannot be made to knock
at a third party's door. Dials are bounded in number, for each site too, and their results are kept
for a while.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from dashp2p.tracker import limits
from dashp2p.tracker.addresses import HostPort

log = Logger()

Dial = Callable[[HostPort], IStreamClientEndpoint]
Told = Callable[[bool], None]


class _HangUp(Protocol):
    """That it answers is all we want to know."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


def _hang_up() -> Factory[_HangUp]:
    factory = Factory.forProtocol(_HangUp)
    factory.noisy = False
    return factory


@define(eq=False)
class _Check:
    address: HostPort
    site: str
    told: list[Told]


@define(eq=False)
class _Site:
    """The checks of one site: those that wait, and how many are under way."""

    waiting: deque[_Check] = field(factory=deque)
    under_way: int = 0


@define(eq=False)
class DialBack:
    """Dials public addresses of peers, each once in a while.

    `dial` makes the endpoint of an address, `clock` bounds each attempt. Call `stop` at the end.
    """

    dial: Dial
    clock: IReactorTime
    seconds: Callable[[], float]
    succeeded: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    turned_away: int = field(default=0, init=False)
    """Checks not made because too many waited; the peer's next announce asks again."""
    _results: OrderedDict[HostPort, tuple[bool, float]] = field(factory=OrderedDict, init=False)
    """Did it answer, and until when is that good."""
    _checks: dict[HostPort, _Check] = field(factory=dict, init=False)
    _sites: dict[str, _Site] = field(factory=dict, init=False)
    _ready: OrderedDict[str, None] = field(factory=OrderedDict, init=False)
    """Sites with something to dial and room to do it, in turn."""
    _under_way: dict[HostPort, Deferred[IProtocol]] = field(factory=dict, init=False)
    _stopped: bool = field(default=False, init=False)

    def known(self, address: HostPort) -> bool | None:
        """Whether the address answered; None where it must be dialled (again)."""
        result = self._results.get(address)
        if result is None or result[1] <= self.seconds():
            return None
        return result[0]

    def check(self, address: HostPort, site: str, told: Told) -> None:
        """Dial the address when its turn comes, and call `told` with the result."""
        if self._stopped:
            return
        check = self._checks.get(address)
        if check is not None:
            if len(check.told) < limits.MAX_TOLD_PER_DIAL:
                check.told.append(told)
            return
        place = self._sites.get(site)
        crowded = place is not None and len(place.waiting) >= limits.MAX_DIALS_WAITING_PER_SITE
        if crowded or len(self._checks) >= limits.MAX_DIALS_WAITING:
            self.turned_away += 1
            return
        check = self._checks[address] = _Check(address, site, [told])
        self._sites.setdefault(site, _Site()).waiting.append(check)
        self._ready_if_room(site)
        self._next()

    def stop(self) -> None:
        """Give up every dial; nobody is told of anything more."""
        self._stopped = True
        for connecting in list(self._under_way.values()):
            connecting.cancel()
        self._checks.clear()
        self._sites.clear()
        self._ready.clear()

    def _ready_if_room(self, site: str) -> None:
        place = self._sites[site]
        if place.waiting and place.under_way < limits.MAX_DIALS_PER_SITE:
            self._ready[site] = None
        elif not place.waiting and not place.under_way:
            del self._sites[site]

    def _next(self) -> None:
        while self._ready and len(self._under_way) < limits.MAX_DIALS:
            site, _ = self._ready.popitem(last=False)
            place = self._sites[site]
            check = place.waiting.popleft()
            place.under_way += 1
            self._ready_if_room(site)
            self._start(check)

    def _start(self, check: _Check) -> None:
        connecting = self.dial(check.address).connect(_hang_up())
        self._under_way[check.address] = connecting
        connecting.addTimeout(limits.DIAL_S, self.clock)

        def ended(result: IProtocol | Failure) -> None:
            self._ended(check, reached=not isinstance(result, Failure))

        connecting.addBoth(ended)
        connecting.addErrback(lambda why: log.failure("a result of dialling back was lost", why))

    def _ended(self, check: _Check, reached: bool) -> None:
        self._under_way.pop(check.address, None)
        if self._stopped:
            return
        self.succeeded += reached
        self.failed += not reached
        good_for_s = limits.REACHED_FOR_S if reached else limits.UNREACHED_FOR_S
        self._results[check.address] = (reached, self.seconds() + good_for_s)
        self._results.move_to_end(check.address)
        if len(self._results) > limits.MAX_DIALLED:
            self._results.popitem(last=False)
        del self._checks[check.address]
        self._sites[check.site].under_way -= 1
        self._ready_if_room(check.site)
        self._next()
        for told in check.told:
            told(reached)
