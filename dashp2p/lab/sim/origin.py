"""The origin, and how peers fetch from it: a pool of kept HTTP connections for each peer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field

from dashp2p.lab.sim.clock import Timer
from dashp2p.lab.sim.connection import Dial, End
from dashp2p.lab.sim.flow import Path
from dashp2p.lab.sim.pipes import Host, Wiring

REQUEST_BYTES = 220
RESPONSE_HEAD_BYTES = 260
CONNECT_S = 3.0
SILENCE_S = 8.0


@define(eq=False)
class Fetch:
    """Pieces of one file on their way: `pieces` are (key, size in bytes) in order."""

    name: str
    pieces: list[tuple[int, int]]
    took: Callable[[int], None]
    """Called with each piece's key when it is here."""
    ended: Callable[[bool], None]
    """Called once, at the end; whether it failed. Not called when it was cancelled."""
    over: bool = False
    connection: _Client | None = None

    @property
    def size_bytes(self) -> int:
        """All pieces together."""
        return sum(size for _, size in self.pieces)


@define(eq=False)
class Origin:
    """Serves whatever it is asked for."""

    host: Host
    queued_bytes: dict[str, int] = field(factory=dict)
    """Of bodies, by file name: what was written to connections, also if it did not leave."""
    requests: int = 0

    def accept(self) -> _Served | None:
        """A connection comes in."""
        return _Served(self) if self.host.running else None


@define(eq=False)
class _Served:
    """One connection as the origin sees it: bodies go out a little at a time."""

    origin: Origin
    end: End | None = None
    _left: deque[tuple[str, int, int]] = field(factory=deque)

    def opened(self, end: End) -> None:
        self.end = end

    def arrived(self, message: Fetch) -> None:
        assert self.end is not None
        self.origin.requests += 1
        self.end.send(None, RESPONSE_HEAD_BYTES)
        self._left.extend((message.name, key, size) for key, size in message.pieces)
        self.writable()

    def writable(self) -> None:
        end = self.end
        assert end is not None
        counts = self.origin.queued_bytes
        while self._left and end.out.unsent_bytes <= 2 * end.out.path.quantum_bytes:
            name, key, size = self._left.popleft()
            counts[name] = counts.get(name, 0) + size
            end.send(key, size)
            end.flush()
        end.flush()
        if self._left:
            end.out.ask_writable()
            end.flush()

    def lost(self) -> None:
        self._left.clear()


@define(eq=False)
class HttpClient:
    """A peer's connections to one server."""

    path: Path
    wiring: Wiring
    host: Host
    origin: Origin
    _idle: list[_Client] = field(factory=list)
    closed: bool = False

    def fetch(self, fetch: Fetch) -> None:
        """Begin it, on a connection that is free or on a new one."""
        while self._idle:
            client = self._idle.pop()
            if client.end is not None and not client.end.closed:
                client.begin(fetch)
                return
        client = _Client(self)
        fetch.connection = client
        client.fetch = fetch
        client.watch()
        Dial(
            self.path,
            self.wiring,
            self.host,
            self.origin.host,
            client,
            self.origin.accept,
            client.lost,
            CONNECT_S,
        ).start()

    def cancel(self, fetch: Fetch) -> None:
        """Nobody needs it any more; its connection is closed."""
        if not fetch.over:
            fetch.over = True
            if fetch.connection is not None:
                fetch.connection.drop()

    def free(self, client: _Client) -> None:
        """A connection has nothing to do."""
        if not self.closed:
            self._idle.append(client)


@define(eq=False)
class _Client:
    """One connection as the peer sees it."""

    pool: HttpClient
    end: End | None = None
    fetch: Fetch | None = None
    _left: int = 0
    _heard_at: float = 0.0
    _timer: Timer | None = None

    def opened(self, end: End) -> None:
        self.end = end
        fetch = self.fetch
        if fetch is None or fetch.over:
            end.abort()
        else:
            self.begin(fetch)

    def begin(self, fetch: Fetch) -> None:
        assert self.end is not None
        self.fetch = fetch
        fetch.connection = self
        self._left = len(fetch.pieces)
        self.watch()
        self.end.send(fetch, REQUEST_BYTES)
        self.end.flush()

    def watch(self) -> None:
        """Give up after a silence."""
        clock = self.pool.path.clock
        self._heard_at = clock.now
        if self._timer is None:
            self._timer = clock.call_later(SILENCE_S, self._silent)

    def _silent(self) -> None:
        self._timer = None
        clock = self.pool.path.clock
        if self.fetch is None or self.fetch.over or not self.pool.host.running:
            return
        left_s = self._heard_at + SILENCE_S - clock.now
        if left_s > 0:
            self._timer = clock.call_later(left_s, self._silent)
            return
        if self.end is not None:
            self.end.abort()
        self.lost()

    def arrived(self, message: Any) -> None:
        fetch = self.fetch
        self._heard_at = self.pool.path.clock.now
        if message is None or fetch is None or fetch.over:
            return
        self._left -= 1
        if self._left == 0:
            self._finish()
            fetch.took(message)
            if not fetch.over:
                fetch.over = True
                fetch.ended(False)
        else:
            fetch.took(message)

    def _finish(self) -> None:
        self.fetch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.pool.free(self)

    def writable(self) -> None:
        """Requests are small: nothing waits for that."""

    def drop(self) -> None:
        """Close it in the middle of a response."""
        self.fetch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.end is not None:
            self.end.abort()

    def lost(self) -> None:
        fetch, self.fetch = self.fetch, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if fetch is not None and not fetch.over:
            fetch.over = True
            fetch.ended(True)
