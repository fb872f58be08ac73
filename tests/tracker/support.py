"""A tracker without sockets: its service on a clock, and calls to it from any address."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from dashp2p.tracker.addresses import HostPort, Whereabouts, whereabouts
from dashp2p.tracker.messages import Announce, Event
from dashp2p.tracker.service import TrackerConfig, TrackerService
from dashp2p.web.site import BoundedSite
from tests.web.support import Answer, Connection

SWARM = b"S" * 32
OTHER_SWARM = b"T" * 32


def peer_id(number: int) -> bytes:
    return number.to_bytes(32, "big")


def announce_of(number: int, **changes: Any) -> Announce:
    announce = Announce(
        swarm=SWARM,
        peer=peer_id(number),
        port=4000 + number % 60_000,
        private=(),
        event=Event.UPDATE,
        wanted=30,
        upload_bps=0,
        have=0,
        stats={},
        ticket_key=None,
    )
    return evolve(announce, **changes)


def at(host: str) -> Whereabouts:
    return whereabouts(host)


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """An address to dial: the test says what becomes of it."""

    def __init__(self, address: HostPort) -> None:
        self.address = address
        self.cancelled = False
        self.connecting: Deferred[IProtocol] = Deferred(self._cancel)

    def _cancel(self, connecting: Deferred[IProtocol]) -> None:
        self.cancelled = True

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        self.factory = protocolFactory
        return self.connecting

    def answer(self) -> None:
        protocol = self.factory.buildProtocol(IPv4Address("TCP", self.address.host, 1))
        assert protocol is not None
        self.connecting.callback(protocol)

    def refuse(self) -> None:
        self.connecting.errback(ConnectionRefusedError())


class Dialler:
    """Hands out FakeEndpoints and keeps them."""

    def __init__(self) -> None:
        self.endpoints: list[FakeEndpoint] = []

    def __call__(self, address: HostPort) -> FakeEndpoint:
        self.endpoints.append(FakeEndpoint(address))
        return self.endpoints[-1]

    @property
    def dialled(self) -> list[str]:
        return [str(endpoint.address) for endpoint in self.endpoints]


class Tracker:
    """A whole TrackerService on a memory reactor."""

    def __init__(self, clock: Clock | None = None, **config: Any) -> None:
        self.clock: Clock = MemoryReactorClock() if clock is None else clock
        self.dialler = Dialler()
        config = {"listen": "tcp:7000", "admin": "tcp:7001", **config}
        self.service = TrackerService(
            TrackerConfig(**config),
            self.clock,
            seconds=self.clock.seconds,
            random=Random(1),
            dial=self.dialler,
            wall=self.wall,
        )
        self.service.startService()
        self.site: BoundedSite = self.service.listeners[0].site
        self.admin: BoundedSite = self.service.listeners[-1].site

    def wall(self) -> float:
        """Seconds since 1970, as its clock has them."""
        return 1_800_000_000.0 + self.clock.seconds()

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *headers: str,
        host: str = "127.0.0.1",
        admin: bool = False,
    ) -> Answer:
        connection = Connection(
            self.admin if admin else self.site, IPv4Address("TCP", host, 50_000)
        )
        lines = [f"{method} {path} HTTP/1.1", *headers]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("Host: localhost:7000")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        connection.send("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        return Answer.of(connection)

    def post(self, path: str, fields: object, host: str = "127.0.0.1") -> Answer:
        body = json.dumps(fields).encode()
        return self.send("POST", path, body, "Content-Type: application/json", host=host)

    def call(self, path: str, fields: object, host: str = "127.0.0.1") -> dict[str, Any]:
        answer = self.post(path, fields, host)
        assert answer.code == 200, (answer.code, answer.body)
        fields = json.loads(answer.body)
        assert isinstance(fields, dict)
        return fields

    def get(self, path: str, *headers: str, host: str = "127.0.0.1", admin: bool = False) -> Answer:
        return self.send("GET", path, b"", *headers, host=host, admin=admin)

    def announce(self, number: int, host: str = "127.0.0.1", **changes: Any) -> dict[str, Any]:
        return self.call("/announce", announce_fields(number, **changes), host)

    def lease(self, number: int, host: str = "127.0.0.1", **lists: Any) -> list[dict[str, Any]]:
        answer = self.call("/lease", lease_fields(number, **lists), host)
        found: list[dict[str, Any]] = answer["leases"]
        return found


def announce_fields(number: int, **changes: Any) -> dict[str, Any]:
    fields = {
        "v": 1,
        "swarm": SWARM.hex(),
        "peer": peer_id(number).hex(),
        "port": 4000 + number,
        "event": "update",
    }
    return {**fields, **changes}


def lease_fields(number: int, **lists: Any) -> dict[str, Any]:
    return {"v": 1, "swarm": SWARM.hex(), "peer": peer_id(number).hex(), **lists}


def want(segment: int, **changes: Any) -> dict[str, Any]:
    fields = {"segment": segment, "blocks": 20, "size_bytes": 327_680, "media_bps": 655_360}
    return {**fields, **changes}
