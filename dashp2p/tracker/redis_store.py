"""The store that trackers share, in Redis 5 or newer.

Each of `load` and `save` is one script (redis_scripts), which Redis runs as one step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dashp2p.tracker import limits
from dashp2p.tracker.redis_address import RedisAddress
from dashp2p.tracker.redis_scripts import GENERATION, LOAD, SAVE
from dashp2p.tracker.shared_store import (
    EMPTY,
    VERSION_BYTES,
    Change,
    Figures,
    Kept,
    Loaded,
    Seen,
    StoreAwayError,
)

log = Logger()


class RedisStore(Service):
    """Implements `SharedStore`; keeps one connection, and opens it anew with growing, jittered
    pauses. `bounds` are the most peers of a swarm and the most swarms; `token` makes random bytes.
    """

    def __init__(
        self,
        address: RedisAddress,
        endpoint: IStreamClientEndpoint,
        clock: Any,
        bounds: tuple[int, int],
        token: Callable[[int], bytes],
    ) -> None:
        # Here and not above: the library imports the global reactor.
        from txredisapi import RedisProtocol

        self._address = address
        self._clock = clock
        self._bounds = bounds
        self._token = token
        self._protocol: Any = None
        self._endpoint = endpoint
        self._why = f"the registry at {address} has not answered yet"
        self._factory = Factory.forProtocol(
            lambda: RedisProtocol(charset=None, convertNumbers=False)
        )
        self._pause_s = backoffPolicy(0.2, limits.SHARED_BACKOFF_S, 1.6)
        self._connecting: Deferred[None] | None = None

    def startService(self) -> None:
        """Connect, and stay connected."""
        Service.startService(self)
        self._connecting = Deferred.fromCoroutine(self._stay_connected())
        self._connecting.addErrback(lambda why: why.trap(CancelledError))
        self._connecting.addErrback(lambda why: log.failure("the registry's client died", why))

    def stopService(self) -> None:
        """Close the connection, and open no other."""
        Service.stopService(self)
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()

    def away(self) -> str | None:
        """See SharedStore."""
        return None if self._protocol is not None else self._why

    async def _stay_connected(self) -> None:
        failures = 0
        while self.running:
            try:
                protocol: Any = await self._endpoint.connect(self._factory)
            except CancelledError:
                raise
            except Exception as error:
                self._away(f"the registry at {self._address} cannot be reached: {error}")
                failures += 1
            else:
                gone: Deferred[Any] = protocol.whenDisconnected()
                try:
                    failures = 0 if await self._greet(protocol) else failures + 1
                    await gone
                finally:
                    self._protocol = None
                    protocol.transport.abortConnection()
                if not failures:
                    self._away(f"the registry at {self._address} was lost")
            if self.running:  # an endpoint that is cancelled fails with an error of its own
                await deferLater(self._clock, self._pause_s(failures))

    async def _greet(self, protocol: Any) -> bool:
        """Whether the connection can be used; if not, it is being closed."""
        address = self._address
        commands: list[tuple[object, ...]] = [("SELECT", address.database), ("GET", GENERATION)]
        if address.password is not None:
            commands.insert(0, ("AUTH", address.password))
        try:
            for command in commands:
                asked: Deferred[Any] = protocol.execute_command(*command)
                asked.addTimeout(limits.SHARED_ANSWER_S, self._clock)
                await asked
        except CancelledError:
            raise
        except Exception as error:
            self._away(f"the registry at {address} refuses: {error}")
            protocol.transport.abortConnection()
            return False
        self._protocol = protocol
        self._why = ""
        log.info("the shared registry at {address} answers", address=str(address))
        return True

    def _away(self, why: str) -> None:
        if why != self._why:
            log.warn("{why}", why=why)
        self._why = why

    async def _ask(self, *command: object) -> Any:
        """Run one command. Whatever goes wrong, the store is away."""
        protocol = self._protocol
        if protocol is None:
            raise StoreAwayError(self._why)
        try:
            asked: Deferred[Any] = protocol.execute_command(*command)
        except Exception as error:  # the connection was lost a moment ago
            asked = fail(error)
        asked.addTimeout(limits.SHARED_ANSWER_S, self._clock)
        try:
            return await asked
        except CancelledError:
            raise
        except Exception as error:
            if _is_missing_script(error):
                raise
            if not isinstance(error, _redis_error()):
                # Late answers would be taken for those of later questions.
                protocol.transport.abortConnection()
            raise StoreAwayError(f"the registry at {self._address} failed: {error}") from error

    async def _run(self, script: str, swarm: bytes, *arguments: object) -> Any:
        key = f"dashp2p:{swarm.hex()}:"
        name = hashlib.sha1(script.encode()).hexdigest()
        try:
            return await self._ask("EVALSHA", name, 1, key, *arguments)
        except StoreAwayError:
            raise
        except Exception:
            return await self._ask("EVAL", script, 1, key, *arguments)

    async def load(
        self, swarm: bytes, peer: bytes, since_s: float, positions: Sequence[int]
    ) -> Loaded:
        """See SharedStore."""
        answer = await self._run(
            LOAD,
            swarm,
            peer.hex(),
            round(since_s * 1000),
            limits.SEEN_PER_LOAD,
            self._token(VERSION_BYTES).hex(),
            swarm.hex(),
            *positions,
        )
        generation, now_ms, count, led, others = answer[:5]
        seen = answer[5 : 5 + 3 * count]
        segments = answer[5 + 3 * count :]
        return Loaded(
            generation=generation,
            now_s=int(now_ms) / 1000,
            seen=[
                Seen(bytes.fromhex(seen[at].decode()), int(seen[at + 1]) / 1000, seen[at + 2])
                for at in range(0, len(seen), 3)
            ],
            segments={
                position: _kept(raw) for position, raw in zip(positions, segments, strict=True)
            },
            led=_kept(led),
            other_swarms=others,
        )

    async def save(
        self,
        swarm: bytes,
        generation: bytes,
        peer: bytes,
        changes: Sequence[Change],
        record: bytes | None,
        counts: Mapping[str, int] = EMPTY,
    ) -> bool:
        """See SharedStore."""
        most_peers, most_swarms = self._bounds
        arguments: list[object] = []
        for change in changes:
            arguments += [
                "led" if change.position is None else "segments",
                peer.hex() if change.position is None else change.position,
                change.before.version,
                self._token(VERSION_BYTES) + change.data if change.data else b"",
                change.path or b"",
            ]
        for name, count in counts.items():
            arguments += ["counts", name, b"", count, b""]
        answer = await self._run(
            SAVE,
            swarm,
            generation,
            peer.hex(),
            record or b"",
            swarm.hex(),
            limits.SHARED_TTL_S,
            limits.SHARED_SEGMENTS,
            most_peers,
            most_swarms,
            *arguments,
        )
        return bool(answer)

    async def swarms(self) -> list[bytes]:
        """See SharedStore."""
        most = self._bounds[1]
        names = await self._ask("ZREVRANGE", "dashp2p:swarms", 0, most - 1)
        return [bytes.fromhex(name.decode()) for name in names]

    async def position(self, swarm: bytes, path: str) -> int | None:
        """See SharedStore."""
        found = await self._ask("HGET", f"dashp2p:{swarm.hex()}:paths", path)
        return None if found is None else int(found)

    async def figures(self, swarm: bytes) -> Figures:
        """See SharedStore."""
        segments = int(await self._ask("HLEN", f"dashp2p:{swarm.hex()}:segments"))
        led = await self._ask("HVALS", f"dashp2p:{swarm.hex()}:led")
        counts = await self._ask("HGETALL", f"dashp2p:{swarm.hex()}:counts")
        return Figures(
            segments,
            [_kept(raw).data for raw in led],
            {
                name.decode(): int(count)
                for name, count in zip(counts[::2], counts[1::2], strict=True)
            },
        )

    async def latest(self, swarm: bytes, most: int) -> list[int]:
        """See SharedStore."""
        found = await self._ask("ZREVRANGE", f"dashp2p:{swarm.hex()}:touched", 0, most - 1)
        return [int(position) for position in found]


def _kept(raw: bytes) -> Kept:
    return Kept(raw[:VERSION_BYTES], raw[VERSION_BYTES:])


def _redis_error() -> type[Exception]:
    from txredisapi import ResponseError

    found: type[Exception] = ResponseError
    return found


def _is_missing_script(error: Exception) -> bool:
    return isinstance(error, _redis_error()) and str(error).startswith("NOSCRIPT")
