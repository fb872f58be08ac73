"""An origin and a tracker that fail in every way that a server can."""

from __future__ import annotations

import json
import random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.iweb import IResponse

from dashp2p.peer.fakenet import MemoryNetwork
from dashp2p.peer.fakeweb import Answer, Asked, MemoryOrigin, MemoryResponse
from dashp2p.testing import MemoryTracker

ORIGIN_MOODS = ("away", "silent", "cut", "hang", "trickle", "error", "false", "page", "no-range")
TRACKER_MOODS = ("away", "silent", "error", "noise", "lies", "huge", "forgetful")
TRACKER_HOST = "10.0.1.1"
TRICKLE_S = 0.5
TRICKLE_BYTES = 2000
HUGE_BYTES = 1 << 20
LIES_MAX = 40


class FaultyOrigin(MemoryOrigin):
    """`mood` is one of ORIGIN_MOODS, or None; half of the requests meet it."""

    def __init__(self, clock: Clock, files: dict[str, bytes], rng: random.Random) -> None:
        MemoryOrigin.__init__(self, clock, files)
        self.mood: str | None = None
        self.faults = 0
        self._rng = rng

    def __call__(self, asked: Asked) -> Answer:
        mood = self.mood
        if mood is None or self._rng.random() < 0.5:
            return MemoryOrigin.__call__(self, asked)
        self.faults += 1
        if mood == "away":
            return None
        if mood == "silent":
            return Deferred()
        response = self._respond(asked)
        if mood == "no-range":
            headers = asked.headers.copy()
            headers.removeHeader("Range")
            response = self._respond(Asked(asked.method, asked.path, headers))
        return self._spoilt(mood, response)

    def _spoilt(self, mood: str, response: MemoryResponse) -> MemoryResponse:
        body = response._body
        at = self._rng.randrange(len(body) + 1)
        match mood:
            case "cut":
                response._cut_at = at
            case "hang":
                response._hangs_at = at
            case "trickle":
                response._chunk_s, response._chunk_bytes = TRICKLE_S, TRICKLE_BYTES
            case "error":
                return MemoryResponse(self._clock, 500, b"out of order")
            case "page":
                return MemoryResponse(self._clock, 200, b"<html>log in first</html>")
            case "false" if body:
                response._body = flipped(body, self._rng)
        return response


def flipped(data: bytes, rng: random.Random) -> bytes:
    """The data with one byte changed."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]


class FaultyTracker(MemoryTracker):
    """`mood` is one of TRACKER_MOODS, or None; half of the calls meet it."""

    def __init__(self, clock: Clock, network: MemoryNetwork, rng: random.Random) -> None:
        dial = network.endpoint(TRACKER_HOST)
        MemoryTracker.__init__(
            self, clock, rng.randrange(1 << 30), lambda address: dial(address.host, address.port)
        )
        self.mood: str | None = None
        self.faults = 0
        self._rng = rng

    def _answer(self, asked: Asked, host: str) -> Answer:
        mood = self.mood
        if mood is None or self._rng.random() < 0.5:
            return MemoryTracker._answer(self, asked, host)
        self.faults += 1
        if mood == "away":
            return None
        if mood == "silent":
            return Deferred()
        if mood == "forgetful":
            self.registry = self._api.registry = type(self.registry)(random=self._rng)
            return MemoryTracker._answer(self, asked, host)
        return self._lied(mood, asked)

    def _lied(self, mood: str, asked: Asked) -> Answer:
        body = self._rng.randbytes(40)
        if mood == "huge":
            body = b" " * HUGE_BYTES
        elif mood == "lies":
            body = json.dumps(self._lie(json.loads(asked.body))).encode()
        code = 500 if mood == "error" else 200
        answer: Deferred[IResponse] = Deferred(lambda _: call.cancel())
        response = MemoryResponse(self._clock, code, body)
        call = self._clock.callLater(0.001, answer.callback, response)
        return answer

    def _lie(self, asked: dict[str, list[dict[str, int]]]) -> dict[str, object]:
        """Well formed and false: everybody leads everything, and nobody is where it says."""
        rng = self._rng
        nobody = [
            {
                "peer": rng.randbytes(32).hex(),
                "host": f"10.0.{rng.randint(0, 1)}.{rng.randint(1, 9)}",
                "port": rng.choice((1, 4001, 65535)),
            }
            for _ in range(rng.randrange(LIES_MAX))
        ]
        leases: list[dict[str, object]] = []
        for want in asked.get("want", []):
            blocks = int(want["blocks"])
            if rng.random() < 0.5:
                first = rng.randrange(blocks)
                leases.append(
                    {
                        "segment": want["segment"],
                        "granted": True,
                        "epoch": rng.randrange(1 << 32),
                        "expires_s": rng.random() * 5,
                        "first": first,
                        "count": rng.randint(1, 4096 - first),
                    }
                )
            else:
                leases.append(
                    {
                        "segment": want["segment"],
                        "granted": False,
                        "epoch": rng.randrange(9),
                        "leader": rng.randbytes(32).hex(),
                        "holders": [],
                        "retry_s": rng.random() * 9,
                    }
                )
        return {
            "v": 1,
            "interval_s": rng.random() * 1e4,
            "ttl_s": 1,
            "address": "127.0.0.1",
            "peers": nobody,
            "swarm_peers": rng.randrange(1 << 20),
            "ticket": None,
            "leases": leases,
            "announce": rng.random() < 0.2,
        }
