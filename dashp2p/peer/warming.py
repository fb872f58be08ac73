"""What every player asks for first, fetched before one comes.

The description of the film and the init segments are small. The beginning of the lowest rung is
what proxies keep of films that nobody watches yet (prefix caching: Sen, Rexford and Towsley,
INFOCOM 1999): one copy for the whole crowd, and whoever opens the film has a picture at once.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dashp2p.content.entry import Entry, Kind
from dashp2p.content.index import Index
from dashp2p.peer.engine import Engine
from dashp2p.peer.foresight import Foresight
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.limits import BEGINNING_AFTER_S
from dashp2p.peer.presentation import Presentation


class Warming:
    """Wants it, once the index is here; how the film begins only where it `begins`. `stop` it."""

    def __init__(
        self,
        engine: Engine,
        presentation: Presentation,
        foresight: Foresight,
        clock: IReactorTime,
        begins: bool,
    ) -> None:
        self._engine = engine
        self._presentation = presentation
        self._foresight = foresight
        self._clock = clock
        self._begins = begins
        self._cold = False
        """Whether the init segments are still to be wanted."""
        self._timer: IDelayedCall | None = None
        engine.completed.append(self._completed)

    def index_taken(self, index: Index) -> None:
        """It is known what there is.

        A player that waits already gets what it begins with first (foresight), and what it may need
        later then: a peer may have few leases at a time, and ten that start together have enough to
        do.
        """
        self.stop()
        self._cold = True
        if not self._presentation.awaited:
            self._warm(index)
        if self._begins:
            self._timer = self._clock.callLater(BEGINNING_AFTER_S, self._begin, index)

    def stop(self) -> None:
        """Want nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _warm(self, index: Index) -> None:
        self._cold = False
        deadline_s = self._foresight.soon(self._clock.seconds())
        with self._engine.together():
            for entry in index.entries:
                if entry.kind is Kind.INIT or entry.path.endswith(".mpd"):
                    self._foresight.want_unasked(entry, deadline_s)

    def _begin(self, index: Index) -> None:
        self._timer = None
        if self._foresight.advice.is_thin(self._engine.node.state.uplink_bps):
            return
        with self._engine.together():
            self._foresight.begin(index, self._clock.seconds())

    def _completed(self, entry: Entry, incoming: Incoming) -> None:
        index = self._presentation.index
        if index is None or entry.kind is not Kind.MEDIA:
            return
        if self._engine.kind_of(entry) == "video" and incoming.hurried_at is None:
            self._guess(incoming)
        coming = (incoming.entry.kind for incoming in self._engine.incoming.values())
        if self._cold and Kind.MEDIA not in coming:
            self._warm(index)

    def _guess(self, incoming: Incoming) -> None:
        """Nothing else tells yet how fast the network is."""
        rate_bps = incoming.delivery.rate_bps(self._clock.seconds())
        if rate_bps is not None and self._foresight.advice.sustained_bps is None:
            self._foresight.advice.recall(rate_bps)
