"""A peer that does not play fair, for the experiments about such peers.

`python -m dashp2p.lab.liar KIND OPTIONS`: the shipped daemon with its options, whose ears are
exchanged for worse ones. See `Lie` for the kinds.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.scenario import SQUAT_EVERY_S, SQUATTED_AT_ONCE, Lie
from dashp2p.peer.link import Link
from dashp2p.peer.neighbourhood import Neighbourhood
from dashp2p.peer.service import PeerService, PeerSettings
from dashp2p.peer.tap import Options, settings_of
from dashp2p.swarm.commands import CallTracker, Want
from dashp2p.wire.blockset import iter_runs
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Data, Event, Fetching, Getting, Have, Reject, Request

log = Logger()

DATA_BLOCKS = 16


class LyingEars(Neighbourhood):
    """Hears what neighbours tell like anybody, and answers their requests in its own way."""

    def __init__(self, service: LyingPeer) -> None:
        super().__init__(service.engine)
        self._service = service

    def link_received(self, link: Link, events: list[Event]) -> None:
        """Requests are answered by the lie; the rest is heard as it should be."""
        for event in events:
            if isinstance(event, Request):
                self._service.answer(link, event)
        super().link_received(link, [one for one in events if not isinstance(one, Request)])


class LyingPeer(PeerService):
    """The daemon, with one kind of lie."""

    def __init__(self, lie: Lie, settings: PeerSettings, reactor: Any, rng: random.Random) -> None:
        super().__init__(settings, reactor, rng)
        self.lie = lie
        self._squatting = LoopingCall(self._squat)
        self._squatting.clock = reactor

    def _build(self) -> None:
        super()._build()
        self.exchange.events = LyingEars(self)

    def startService(self) -> None:
        """Begin like anybody, and to squat."""
        super().startService()
        if self.lie is Lie.SQUAT:
            self._own(self._squatting.start(SQUAT_EVERY_S, now=False))

    def stopService(self) -> Deferred[None]:
        """No more squatting."""
        if self._squatting.running:
            self._squatting.stop()
        return super().stopService()

    def _have(self) -> Have:
        index = self.presentation.index
        count = 0 if index is None else len(index.entries)
        return Have(count, (1 << count) - 1)

    def answer(self, link: Link, request: Request) -> None:
        """What a neighbour gets for a request."""
        entry = self.engine.entry_of(request.segment)
        if entry is None or self.lie is Lie.EMPTY:
            link.send(
                Reject(request.request_id, request.segment, request.blocks, int(Code.NOT_HERE))
            )
        elif self.lie is Lie.FALSE:
            for first, count in iter_runs(request.blocks):
                self._send_false(link, request, entry, first, count)

    def _send_false(
        self, link: Link, request: Request, entry: Entry, first: int, count: int
    ) -> None:
        for begin in range(first, first + count, DATA_BLOCKS):
            blocks = range(begin, min(begin + DATA_BLOCKS, first + count))
            size = sum(entry.block_length(block) for block in blocks)
            data = Data(request.request_id, entry.position, begin, len(blocks), bytes(size))
            link.send(data)

    def _squat(self) -> Deferred[None] | None:
        index = self.presentation.index
        if index is None:
            return None
        media = [entry for entry in index.entries if entry.kind is Kind.MEDIA]
        media.sort(key=lambda entry: entry.start_s or 0.0)
        lacking = [one for one in media if one.digest not in self.store]
        wants = tuple(
            Want(entry, (1 << entry.block_count) - 1, hedge=False)
            for entry in self._rng.sample(lacking, min(SQUATTED_AT_ONCE, len(lacking)))
        )
        squatting = Deferred.fromCoroutine(self._take(CallTracker(wants, (), (), ())))
        return squatting.addErrback(_not_squatted)

    async def _take(self, call: CallTracker) -> None:
        for grant in await self._lease(call):
            entry = self.engine.entry_of(grant.segment)
            if grant.granted and entry is not None:
                whole = (1 << entry.block_count) - 1
                news = Getting((Fetching(grant.segment, grant.epoch, 0, whole),))
                for link in list(self.exchange.links.values()):
                    link.send(news)


def _not_squatted(failure: Failure) -> None:
    log.info("no lease to squat: {why}", why=failure.getErrorMessage())


def main(arguments: Sequence[str] | None = None, reactor: Any = None) -> None:
    """Run one until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m dashp2p.lab.liar", description=__doc__)
    parser.add_argument("lie", choices=[lie.value for lie in Lie])
    parser.add_argument("options", nargs=argparse.REMAINDER, help="those of dashp2p-peer")
    parsed = parser.parse_args(arguments)
    if reactor is None:
        from twisted.internet import reactor as global_reactor

        reactor = global_reactor
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
    options = Options()
    options.parseOptions(parsed.options)
    service = LyingPeer(Lie(parsed.lie), settings_of(options), reactor, random.Random())
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
