"""Learning what there is to deliver: the signature from the origin, the index from the swarm.

The origin's key is the pinned one, or the first that this origin showed (remembered in the cache
folder). With no index at the origin the presentation is passed through, and nothing is shared.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dashp2p.content.index import SIGNATURE_NAME, Index, IndexRefused, IndexSignature, parse_index
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.limits import (
    INDEX_LATE_S,
    INDEX_LOOK_S,
    INDEX_RETRY_MAX_S,
    INDEX_RETRY_S,
    INDEX_SUSPECT_S,
    MAX_SIGNATURE_BYTES,
)
from dashp2p.peer.newest import NewestIndexes
from dashp2p.peer.origin_client import OriginClient, OriginError

log = Logger()

ABSENT = frozenset({403, 404, 410})
"""The statuses of a file that is not there; buckets whose files nobody may list say 403."""


class Presentation:
    """Fetches the signature until it has one; says what mode the peer is in.

    `signed` is called with a trusted signature; then the owner gets the index bytes and gives them
    to `take_index`. While they do not come, or are refused, the signature is asked for anew, and
    `signed` is called when it is another one: both may be in the middle of being replaced.
    Once the index is here the signature is looked at now and then: when another film has taken the
    place of this one, `signed` is called again, and everything starts anew. One that is refused (by
    another key, older than this one, expired) changes nothing then: the film that is here goes on.
    `mode` is one of starting, sharing, pass-through, no-origin.
    """

    def __init__(
        self,
        origin: OriginClient,
        known: KnownKeys,
        newest: NewestIndexes,
        pinned: bytes | None,
        clock: IReactorTime,
        rng: random.Random,
    ) -> None:
        self.mode = "starting"
        self.message: str | None = None
        self.refusal: str | None = None
        """Why the index that the origin showed last is refused, as a sentence."""
        self.signature: IndexSignature | None = None
        self.index: Index | None = None
        self.indexed_at: float | None = None
        self._origin = origin
        self._known = known
        self._newest = newest
        self._pinned = pinned
        self._clock = clock
        self._rng = rng
        self._retry: IDelayedCall | None = None
        self._job: Deferred[None] | None = None
        self._delay_s = INDEX_RETRY_S
        self._waiting: list[Deferred[None]] = []
        self._signed: Callable[[IndexSignature], None] = lambda signature: None
        self.late: Callable[[], None] = lambda: None
        """Called again and again while a trusted signature is here and its index is not."""
        self.taken: Callable[[Index], None] = lambda index: None
        """Called with an index that is trusted, before players that wait for it are answered."""

    def start(self, signed: Callable[[IndexSignature], None]) -> None:
        """Begin; `signed` hears of the signature."""
        self._signed = signed
        self._known.load()
        self._newest.load()
        self._try()

    def stop(self) -> None:
        """Stop trying."""
        self._stop_retry()
        if self._job is not None:
            self._job.cancel()

    def _stop_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None

    def settled(self) -> Deferred[None]:
        """Fires when it is known whether there is an index, at once if it is. Cancel it freely."""
        if self.mode != "starting":
            settled: Deferred[None] = Deferred()
            settled.callback(None)
            return settled
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    @property
    def awaited(self) -> bool:
        """Whether somebody waits until it is settled."""
        return bool(self._waiting)

    def _settle(self, mode: str, message: str | None) -> None:
        if mode != self.mode and message is not None:
            log.warn("{message}", message=message)
        self.mode, self.message = mode, message
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _try(self) -> None:
        self._retry = None
        self._job = Deferred.fromCoroutine(self._learn())
        self._job.addErrback(lambda failure: log.failure("learning the index", failure=failure))

    async def _learn(self) -> None:
        try:
            raw = await self._origin.fetch_small(SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
        except CancelledError:
            return
        except OriginError as error:
            if self.index is None:
                self._no_index(error)
                self._again()
            else:
                self._look_later()
            return
        try:
            signature = IndexSignature.parse(raw)
            self._check_key(signature)
            self._newest.check(self._origin.base_url, signature)
        except IndexRefused as error:
            self._not_trusted(error)
        else:
            if self.index is not None or signature != self.signature:
                self.refusal = None
            self._newest.learn(self._origin.base_url, signature)
            self._take_signature(signature)

    def _not_trusted(self, error: IndexRefused) -> None:
        if self.index is None:
            self._refuse(error)
            self._again()
            return
        refusal = f"The origin's index is refused: {error}. The film that is here goes on."
        if refusal != self.refusal:
            self.refusal = refusal
            log.warn("{refusal}", refusal=refusal)
        self._look_later()

    def _take_signature(self, signature: IndexSignature) -> None:
        if self.index is not None and self._is_held(signature):
            self.signature = signature
            self._look_later()
            return
        if self.index is not None:
            log.info("another film has taken this one's place at the origin")
            self.index = self.signature = None
            self.mode, self.message = "starting", None
            self._delay_s = INDEX_RETRY_S
        self._trust(signature)

    def _is_held(self, signature: IndexSignature) -> bool:
        """Whether it is of the very index that is here, though perhaps with a later stamp."""
        held = self.signature
        return held is not None and (held.swarm_id, held.index_digest) == (
            signature.swarm_id,
            signature.index_digest,
        )

    def suspect(self) -> None:
        """The origin's files do not fit the index: look soon whether it has another one."""
        if self.index is not None and self._retry is not None and self._retry.active():
            soon = self._clock.seconds() + INDEX_SUSPECT_S
            if self._retry.getTime() > soon:
                self._retry.reset(INDEX_SUSPECT_S)

    def _look_later(self) -> None:
        self._stop_retry()
        delay_s = INDEX_LOOK_S * (0.75 + self._rng.random() / 2)
        self._retry = self._clock.callLater(delay_s, self._try)

    def _trust(self, signature: IndexSignature) -> None:
        if self.signature is None:
            self._retry = self._clock.callLater(INDEX_LATE_S, self._late)
        else:
            self._again()
        if signature != self.signature:
            self.signature = signature
            self._signed(signature)
        else:
            self.late()

    def _late(self) -> None:
        self._settle(
            "pass-through",
            "The index that the origin signed has not come, so nothing is shared yet.",
        )
        self._try()

    def _no_index(self, error: OriginError) -> None:
        if error.status in ABSENT:
            self.refusal = None
            self._settle(
                "pass-through",
                "The origin has no index (index.sig), so nothing is shared: publish the film with "
                "segment.sh, or run python -m dashp2p.content.publish on its folder.",
            )
        else:
            why = str(error)
            self._settle("no-origin", f"{why[:1].upper()}{why[1:]}. Trying again.")

    def _refuse(self, error: IndexRefused) -> None:
        self.refusal = f"The origin's index is refused: {error}. Nothing is shared."
        self._settle("pass-through", self.refusal)

    def _again(self) -> None:
        delay_s = self._delay_s * (0.75 + self._rng.random() / 2)
        self._delay_s = min(INDEX_RETRY_MAX_S, self._delay_s * 2)
        self._stop_retry()
        self._retry = self._clock.callLater(delay_s, self._try)

    def _check_key(self, signature: IndexSignature) -> None:
        url = self._origin.base_url
        expected = self._pinned or self._known.key_of(url)
        if expected is None:
            log.info("learned the origin's key {key}", key=signature.public_key.hex())
            self._known.learn(url, signature.public_key)
        elif expected != signature.public_key:
            raise IndexRefused(
                "it is signed by another key than before; if the publisher changed it, give the "
                "new one with --origin-key"
            )

    def take_index(self, raw: bytes) -> Index | None:
        """The bytes at position 0 are here. None when they are refused after all."""
        signature = self.signature
        return None if signature is None else self.take_read(signature, read_index(raw, signature))

    def take_read(self, signature: IndexSignature, read: Index | IndexRefused) -> Index | None:
        """What `read_index` made of those bytes, perhaps in a thread; None when it is of no use."""
        if signature != self.signature:
            return None  # another film was published meanwhile
        if isinstance(read, IndexRefused):
            self._refuse(read)
            self._again()
            return None
        self.index, self.refusal = read, None
        self._look_later()
        self.indexed_at = self._clock.seconds()
        self.taken(read)
        self._settle("sharing", None)
        return self.index


def read_index(raw: bytes, signature: IndexSignature) -> Index | IndexRefused:
    """Any thread: the index in these bytes, or why there is none."""
    try:
        return parse_index(raw, signature)
    except IndexRefused as error:
        return error
