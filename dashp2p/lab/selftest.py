"""Does the lab slow a flow down as a real path does? Asked before any of its figures is believed.

One cubic flow over a 20 Mbit/s uplink with 40 ms of round trip is known (measured once on this
kind of kernel, and near what Mathis's formula allows) to make some 18.7 Mbit/s without loss, 3.7 at
1 %, 2.5 at 2 % and 0.75 at 10 %. A lab in which loss costs less than that has drops that the
sender's TCP notices, or delay that isn't there.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable

from attrs import define, field, frozen

from dashp2p.lab import netns
from dashp2p.lab.fabric import Delay, PortSpec
from dashp2p.lab.loss import Loss
from dashp2p.lab.network import Network

UPLINK_BPS = 20e6
ROUND_TRIP_S = 0.040
FLOWS_A_CASE = 4
DURATION_S = 15.0
_PORT = 5001


@frozen
class Case:
    """What one flow ought to make: the median of several may be off by `tolerance` of it."""

    name: str
    loss: Loss
    expected_bps: float
    tolerance: float


CASES = (
    Case("no loss", Loss(), 18.7e6, 0.08),
    Case("1 % lost", Loss(0.01), 3.7e6, 0.35),
    Case("2 % lost", Loss(0.02), 2.5e6, 0.35),
    Case("10 % lost", Loss(0.10), 0.75e6, 0.45),
)


@frozen
class Finding:
    """One thing that was checked."""

    name: str
    expected: str
    measured: str
    good: bool


@define
class _Flow:
    """One TCP connection between two namespaces that sends as fast as it may."""

    sender: str
    receiver: str
    address: str
    received_bytes: int = 0
    connect_s: float = 0.0
    _threads: list[threading.Thread] = field(factory=list)

    def start(self, duration_s: float) -> None:
        with netns.inside(self.receiver):
            listener = socket.create_server(("", _PORT))
        listener.settimeout(5.0)
        self._spawn(lambda: self._receive(listener))
        self._spawn(lambda: self._send(duration_s))

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _receive(self, listener: socket.socket) -> None:
        with listener, listener.accept()[0] as connection:
            connection.settimeout(5.0)
            with contextlib.suppress(ConnectionResetError):  # how the sender ends its part
                while chunk := connection.recv(262144):
                    self.received_bytes += len(chunk)

    def _send(self, duration_s: float) -> None:
        with netns.inside(self.sender):
            connection = socket.socket()
        with connection:
            connection.settimeout(5.0)
            started = time.monotonic()
            connection.connect((self.address, _PORT))
            self.connect_s = time.monotonic() - started
            until = started + duration_s
            # Whatever is still unsent at the end would be time that the receiver counts as flow.
            with contextlib.suppress(TimeoutError):
                while time.monotonic() < until:
                    connection.send(b"\0" * 65536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def selftest(duration_s: float = DURATION_S, flows: int = FLOWS_A_CASE) -> list[Finding]:
    """Run it: root, some `duration_s` seconds. LabUnavailableError where namespaces can't be
    had.
    """
    ports: list[PortSpec] = []
    pairs: list[tuple[Case, PortSpec, PortSpec]] = []
    for case_number, case in enumerate(CASES):
        for number in range(flows):
            ip = f"10.77.{case_number + 1}.{2 * number + 1}"
            sender = PortSpec(
                f"s{case_number}{number}", ip, group="peer", uplink_bps=UPLINK_BPS, loss=case.loss
            )
            ip = f"10.77.{case_number + 1}.{2 * number + 2}"
            receiver = PortSpec(f"r{case_number}{number}", ip, group="core", uplink_bps=UPLINK_BPS)
            ports += [sender, receiver]
            pairs.append((case, sender, receiver))
    findings = []
    with Network(ports, [Delay("peer", "core", ROUND_TRIP_S / 2)], seed=1) as network:
        flying = [
            (case, _Flow(network.namespace(one.name), network.namespace(two.name), two.ip))
            for case, one, two in pairs
        ]
        for _, flow in flying:
            flow.start(duration_s)
        for _, flow in flying:
            flow.join()
        for case in CASES:
            made = [flow.received_bytes * 8 / duration_s for which, flow in flying if which is case]
            findings.append(_rate_finding(case, statistics.median(made)))
        connect_s = statistics.median(flow.connect_s for _, flow in flying)
        findings.append(_round_trip_finding(connect_s))
        findings.append(_cut_finding(network, ports[0], ports[1]))
        cpu_s = network.report()["cpu_s"]
    findings.append(_cpu_finding(cpu_s, sum(flow.received_bytes for _, flow in flying)))
    return findings


def _rate_finding(case: Case, rate_bps: float) -> Finding:
    low, high = case.expected_bps * (1 - case.tolerance), case.expected_bps * (1 + case.tolerance)
    return Finding(
        f"one flow, 40 ms, {case.name}",
        f"{case.expected_bps / 1e6:.2f} Mbit/s (± {case.tolerance:.0%})",
        f"{rate_bps / 1e6:.2f} Mbit/s",
        low <= rate_bps <= high,
    )


def _round_trip_finding(connect_s: float) -> Finding:
    good = ROUND_TRIP_S <= connect_s <= ROUND_TRIP_S + 0.015
    return Finding("a connection over 40 ms", "40 to 55 ms", f"{connect_s * 1e3:.1f} ms", good)


def _cut_finding(network: Network, one: PortSpec, two: PortSpec) -> Finding:
    network.connect(one.name, False)
    with netns.inside(network.namespace(one.name)):
        probe = socket.socket()
    with probe:
        probe.settimeout(0.5)
        try:
            probe.connect((two.ip, _PORT))
        except TimeoutError:
            outcome = "silence"
        except OSError as error:
            outcome = str(error)
        else:
            outcome = "connected"
    network.connect(one.name, True)
    return Finding("a cut link", "silence", outcome, outcome == "silence")


def _cpu_finding(cpu_s: float, carried_bytes: int) -> Finding:
    cost = cpu_s / (carried_bytes / 1e9)
    good = cost < 40  # 20 Mbit/s for each of ten hosts, one way, would then be a whole core
    return Finding("the switch's CPU", "< 40 s per GB carried", f"{cost:.1f} s per GB", good)
