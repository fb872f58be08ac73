"""Where an experiment takes place: hosts with links of their own, or this machine's loopback."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from attrs import define, field, frozen

from dashp2p.lab import netns
from dashp2p.lab.fabric import Delay, PortSpec
from dashp2p.lab.loss import Loss
from dashp2p.lab.netns import LabUnavailableError
from dashp2p.lab.network import Nat, Network
from dashp2p.lab.processes import python_environment
from dashp2p.lab.scenario import FAR_ROUND_TRIP_S, PEER_ROUND_TRIP_S, Scenario, host_name

ORIGIN = "origin"
TRACKER = "tracker"
ORIGIN_PORT = 9000
TRACKER_PORT = 7000
PLAYER_PORT = 8001
EXCHANGE_PORT = 4001

INTERNET = "198.18"
"""Addresses that nobody takes for private: the range for benchmarks (RFC 2544)."""
HOME = "10.77"
SITE = "10.78"

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 64 * 2**20


@frozen
class Answer:
    status: int
    body: bytes
    headers: http.client.HTTPMessage = field(factory=http.client.HTTPMessage)

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.body)


class Stage(Protocol):
    """What a run needs of the place, whichever it is."""

    @property
    def origin_url(self) -> str:
        """Where players and peers find the origin, without a path."""

    @property
    def tracker_url(self) -> str: ...

    def namespace(self, host: str) -> str | None:
        """The network namespace of a host's programs; None for this machine's own."""

    def listen(self, host: str) -> str:
        """What a daemon on that host listens on: an endpoint as Twisted writes it."""

    def exchange(self, host: str) -> str:
        """What a peer listens on for other peers."""

    def base_url(self, host: str) -> str:
        """Where programs on the same host find its daemon."""

    def get(self, host: str, path: str) -> Answer:
        """Ask that host's daemon, from the host itself. OSError when it doesn't answer."""

    def egress_bytes(self) -> int:
        """What has left the origin so far."""

    def connect(self, host: str, connected: bool) -> None:
        """Cut or mend a host's link."""

    def report(self) -> dict[str, Any]:
        """What the place itself counted."""


def get(connection: socket.socket, address: tuple[str, int], path: str) -> Answer:
    """GET by a socket that isn't connected yet. OSError when that fails in any way."""
    client = http.client.HTTPConnection(*address, timeout=_TIMEOUT_S)
    client.sock = connection  # closed with it
    try:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(address)
        client.request("GET", path)
        answer = client.getresponse()
        return Answer(answer.status, answer.read(_ANSWER_BYTES_MAX), answer.headers)
    except http.client.HTTPException as error:
        raise ConnectionError(f"{address}: {error!r}") from error
    finally:
        client.close()


@define
class NamespaceStage:
    """Each program on a host of its own: the links decide, and the kernel counts."""

    scenario: Scenario
    hosts: int
    seed: int
    _network: Network = field(init=False)

    def __attrs_post_init__(self) -> None:
        links = self.scenario.links
        ports = [
            _core_port(ORIGIN, f"{self._net}.0.1", links.origin_uplink_bps),
            _core_port(TRACKER, f"{self._net}.0.2", links.origin_uplink_bps),
        ]
        lan = "site" if links.nat else "internet"
        for number in range(1, self.hosts + 1):
            ports.append(
                PortSpec(
                    host_name(number),
                    self._peer_address(number),
                    lan=lan,
                    uplink_bps=links.uplink_bps,
                    downlink_bps=links.downlink_bps,
                    loss=links.loss if self.scenario.loses(number) else Loss(),
                )
            )
        nats = []
        if links.nat:
            inside = PortSpec("nat", f"{SITE}.0.1", lan=lan)
            nats.append(Nat("nat", inside, _core_port("nat", f"{self._net}.0.3", 0.0)))
        self._network = Network(ports, _delays(links.far), self.seed, nats)

    def __enter__(self) -> NamespaceStage:
        self._network.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._network.close()

    @property
    def _net(self) -> str:
        """The addresses of all that can reach each other: one network at home, or the internet."""
        public = self.scenario.links.far or self.scenario.links.nat
        return INTERNET if public else HOME

    def _peer_address(self, number: int) -> str:
        if self.scenario.links.nat:
            return f"{SITE}.1.{number}"
        # Who is far lives in a network of his own: nothing about his address says "neighbour".
        return f"{self._net}.{number}.10" if self.scenario.links.far else f"{self._net}.1.{number}"

    @property
    def origin_url(self) -> str:
        return f"http://{self._net}.0.1:{ORIGIN_PORT}"

    @property
    def tracker_url(self) -> str:
        return f"http://{self._net}.0.2:{TRACKER_PORT}"

    def namespace(self, host: str) -> str | None:
        return self._network.namespace(host)

    def listen(self, host: str) -> str:
        if host in (ORIGIN, TRACKER):
            return f"tcp:{_PORTS[host]}"
        return f"tcp:{PLAYER_PORT}:interface=127.0.0.1"

    def exchange(self, host: str) -> str:
        return f"tcp:{EXCHANGE_PORT}"

    def base_url(self, host: str) -> str:
        return f"http://127.0.0.1:{_PORTS.get(host, PLAYER_PORT)}"

    def get(self, host: str, path: str) -> Answer:
        with netns.inside(self._network.namespace(host)):
            connection = socket.socket()
        return get(connection, ("127.0.0.1", _PORTS.get(host, PLAYER_PORT)), path)

    def egress_bytes(self) -> int:
        """By the kernel's own counter of the origin's interface: frames with all their headers."""
        with netns.inside(self._network.namespace(ORIGIN)):
            text = Path("/proc/thread-self/net/dev").read_text()
        line = next(line for line in text.splitlines() if line.strip().startswith("eth0:"))
        return int(line.partition(":")[2].split()[8])

    def connect(self, host: str, connected: bool) -> None:
        self._network.connect(host, connected)

    def report(self) -> dict[str, Any]:
        return self._network.report()


@define
class LoopbackStage:
    """All programs on 127.0.0.1, the origin's uplink a relay: for machines where nobody is root.

    Only the origin's rate is modelled. Peers hand each other bytes as fast as the machine does (or
    their --upload-rate allows), nothing is delayed, lost or cut.
    """

    scenario: Scenario
    hosts: int
    seed: int
    _ports: dict[str, int] = field(init=False, factory=dict)
    _relay: subprocess.Popen[str] | None = field(init=False, default=None)
    _relay_port: int = field(init=False, default=0)
    _relayed_bytes: int = field(init=False, default=0)

    def __enter__(self) -> LoopbackStage:
        links = self.scenario.links
        if links.far or links.nat or links.loss.rate or self.scenario.churn is not None:
            raise LabUnavailableError(
                f"{self.scenario.name} needs delay, loss, cuts or a NAT, which loopback hasn't: "
                "run it as root, without --loopback."
            )
        names = [ORIGIN, TRACKER, *(host_name(number + 1) for number in range(self.hosts))]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        origin = f"127.0.0.1:{self._ports[ORIGIN]}"
        rate = f"{links.origin_uplink_bps:g}"
        self._relay = subprocess.Popen(
            [sys.executable, "-m", "dashp2p.lab.relay", "--to", origin, "--rate", rate],
            stdout=subprocess.PIPE,
            text=True,
            env=python_environment(),
            start_new_session=True,
        )
        assert self._relay.stdout is not None
        line = self._relay.stdout.readline()
        if not line:
            raise LabUnavailableError("the relay before the origin did not start: see above")
        self._relay_port = int(json.loads(line)["port"])
        threading.Thread(target=self._follow_relay, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._relay is not None:
            self._relay.terminate()
            self._relay.wait()

    @property
    def origin_url(self) -> str:
        return f"http://127.0.0.1:{self._relay_port}"

    @property
    def tracker_url(self) -> str:
        return self.base_url(TRACKER)

    def namespace(self, host: str) -> str | None:
        return None

    def listen(self, host: str) -> str:
        return f"tcp:{self._ports[host]}:interface=127.0.0.1"

    def exchange(self, host: str) -> str:
        return "tcp:0:interface=127.0.0.1"

    def base_url(self, host: str) -> str:
        return f"http://127.0.0.1:{self._ports[host]}"

    def get(self, host: str, path: str) -> Answer:
        return get(socket.socket(), ("127.0.0.1", self._ports[host]), path)

    def egress_bytes(self) -> int:
        """By the relay's count: payload of the origin's connections, without packet headers."""
        return self._relayed_bytes

    def connect(self, host: str, connected: bool) -> None:
        raise LabUnavailableError("loopback has no links to cut: run it as root")

    def report(self) -> dict[str, Any]:
        return {}

    def _follow_relay(self) -> None:
        assert self._relay is not None and self._relay.stdout is not None
        for line in self._relay.stdout:
            self._relayed_bytes = int(json.loads(line)["bytes"])


AnyStage = NamespaceStage | LoopbackStage

_PORTS = {ORIGIN: ORIGIN_PORT, TRACKER: TRACKER_PORT}


def wait_for(
    stage: Stage, host: str, path: str, until_s: float, status: int = 200
) -> Answer | None:
    """Poll until the daemon answers so, or until `until_s` (monotonic); then None."""
    while True:
        try:
            answer = stage.get(host, path)
            if answer.status == status:
                return answer
        except OSError:
            pass
        if time.monotonic() > until_s:
            return None
        time.sleep(0.1)


def _core_port(name: str, ip: str, uplink_bps: float) -> PortSpec:
    return PortSpec(name, ip, lan="internet", group="core", uplink_bps=uplink_bps)


def _delays(far: bool) -> list[Delay]:
    if not far:
        return []
    return [
        Delay("core", "peer", FAR_ROUND_TRIP_S / 2),
        Delay("peer", "peer", PEER_ROUND_TRIP_S / 2),
    ]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody used a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
