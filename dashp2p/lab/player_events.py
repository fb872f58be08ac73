"""What the headless viewer reports after the fact, if it reports: CMCD version 2 in event mode.

The lines (CTA-5004-B) are those that dash.js posts, a dictionary of structured fields each; so a
peer, its tracker's page and its metrics know how a silent viewer fares as they know it of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Protocol
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers

from dashp2p.lab.playback import Playback
from dashp2p.web.cmcd_events import MEDIA_TYPES

__all__ = ["Account", "Reporter"]

EVERY_S = 5.0
"""The longest silence while a film plays."""
PENDING_MAX = 64
"""Lines that wait for somebody who takes them; of more the oldest go."""
ANSWER_S = 5.0
FAREWELL_S = 1.0
"""How long a viewer's end waits for its last report to arrive."""
LETTERS = {"ended": "e", "failed": "f"}
"""`sta` at the end, by the viewer's state; of any other state the viewer quit."""
QUIT = "q"
LOST = (ConnectError, DNSLookupError, RequestTransmissionFailed, ResponseFailed, TimeoutError)
"""A report that did not arrive."""
TOO_MANY = 429
SERVER_FAILED = 500


@define(eq=False)
class Account:
    """Puts a playback into lines, each event once. `now` is in seconds since 1970, as the
    playback's own times are. `session_id` is quoted here and must hold no quote or backslash."""

    session_id: str
    _state: str = "s"
    _changes_told: int = 0
    _bitrate_bps: int | None = None
    _told_at: float = 0.0

    def begun(self, now: float) -> list[str]:
        """Somebody wishes to see the film."""
        return [self._line("ps", now, None)]

    def lines(self, playback: Playback, now: float) -> list[str]:
        """What has happened since the last call; `playback` has been advanced to `now`."""
        told = []
        changes = list(_changes(playback))
        for at, state in changes[self._changes_told :]:
            self._state = state
            told.append(self._line("ps", at, playback))
        self._changes_told = len(changes)
        bitrate_bps = playback.bitrate_bps
        if bitrate_bps != self._bitrate_bps and self._bitrate_bps is not None:
            told.append(self._line("bc", now, playback))
        self._bitrate_bps = bitrate_bps
        if not told and now - self._told_at >= EVERY_S:
            told.append(self._line("t", now, playback))
        return told

    def over(self, letter: str, playback: Playback | None, now: float) -> list[str]:
        """All that is left to tell; `letter` is the last state."""
        told = [] if playback is None else self.lines(playback, now)
        self._state = letter
        return [*told, self._line("ps", now, playback)]

    def _line(self, event: str, at: float, playback: Playback | None) -> str:
        self._told_at = at
        said = {"e": event, "sid": f'"{self.session_id}"', "sta": self._state}
        said |= {"ts": str(round(at * 1000)), "v": "2"}
        if playback is not None and playback.bitrate_bps is not None:
            said["pb"] = f"({playback.bitrate_bps // 1000};v)"
            said["bl"] = f"({round(max(0.0, playback.dry_in_s) * 1000)};v)"
        return ",".join(f"{key}={value}" for key, value in sorted(said.items()))


def _changes(playback: Playback) -> Iterator[tuple[float, str]]:
    """When it began to play, stood still, and went on, with the `sta` of each."""
    if playback.started_at is None:
        return
    yield playback.started_at, "p"
    last = len(playback.standstills) - 1
    for number, (began, length_s) in enumerate(playback.standstills):
        yield began, "r"
        if number < last or playback.playing or playback.ended:
            yield began + length_s, "p"


class _Unread(Protocol):
    """The body of an answer that says enough with its status. Left alone it would keep its
    connection for good."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


@define(eq=False)
class Reporter:
    """Posts an account to `url`. Playback never waits for it: what does not arrive goes with the
    next report, and is dropped when there is too much of it."""

    reactor: Any
    url: str
    account: Account
    _agent: Agent = field(init=False)
    _pending: list[str] = field(init=False, factory=list)
    _posting: Deferred[None] | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._agent = Agent(self.reactor, connectTimeout=ANSWER_S)

    def begin(self) -> None:
        """The viewer starts."""
        self._add(self.account.begun(self.reactor.seconds()))

    def note(self, playback: Playback) -> None:
        """To be called again and again while it plays."""
        self._add(self.account.lines(playback, self.reactor.seconds()))

    def end(self, state: str, playback: Playback | None) -> Deferred[None]:
        """Report the end, `state` being the viewer's; fires soon, whether or not it arrived."""
        letter = LETTERS.get(state, QUIT)
        told = self.account.over(letter, playback, self.reactor.seconds())
        leaving = Deferred.fromCoroutine(self._leave(told))
        leaving.addTimeout(FAREWELL_S, self.reactor)
        return leaving.addErrback(lambda why: why.trap(TimeoutError) and None)

    async def _leave(self, told: list[str]) -> None:
        self._add(told)
        if self._posting is not None:
            await self._posting

    def _add(self, lines: list[str]) -> None:
        self._pending = [*self._pending, *lines][-PENDING_MAX:]
        if lines and self._posting is None:
            self._posting = Deferred.fromCoroutine(self._post())
            self._posting.addBoth(self._posted)

    def _posted(self, result: None) -> None:
        self._posting = None
        return result

    async def _post(self) -> None:
        """Until all has arrived, or nobody takes it now."""
        while self._pending:
            sent = self._pending
            try:
                status = await self._status("\n".join(sent).encode("ascii"))
            except LOST:
                return
            if status == TOO_MANY or status >= SERVER_FAILED:
                return
            # There may be more by now, or, of very much, less.
            self._pending = [line for line in self._pending if line not in sent]

    async def _status(self, lines: bytes) -> int:
        body = FileBodyProducer(BytesIO(lines))
        headers = Headers({"Content-Type": [MEDIA_TYPES[0]], "User-Agent": ["dashp2p-viewer"]})
        asked = self._agent.request(b"POST", self.url.encode("ascii"), headers, body)
        asked.addTimeout(ANSWER_S, self.reactor)
        answer = await asked
        answer.deliverBody(_Unread())
        return int(answer.code)
