"""Hosts in network namespaces, joined by the switch process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
from attrs import define, field, frozen

from dashp2p.lab import netns
from dashp2p.lab.fabric import Delay, PortSpec
from dashp2p.lab.processes import python_environment
from dashp2p.lab.switch import TRANSMIT_QUEUE_FRAMES

PREFIX_LENGTH = 16
_STOP_S = 3.0


@frozen
class Nat:
    """A router that hides the hosts of one LAN behind its own address in another."""

    name: str
    inside: PortSpec
    outside: PortSpec


@define
class Network:
    """Hosts with links, up while the context lasts. Needs root; LabUnavailableError says what is
    missing.
    """

    ports: Sequence[PortSpec]
    delays: Sequence[Delay] = ()
    seed: int = 1
    nats: Sequence[Nat] = ()
    congestion_control: str = "cubic"
    _switch: subprocess.Popen[str] | None = field(init=False, default=None)
    _namespaces: dict[str, str] = field(init=False, factory=dict)

    def __enter__(self) -> Network:
        netns.require_root()
        netns.allow_congestion_control(self.congestion_control)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def namespace(self, host: str) -> str:
        return self._namespaces[host]

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        return netns.command(self._namespaces[host], arguments)

    def connect(self, host: str, connected: bool) -> None:
        """Cut or mend one host's link, as pulling its cable does: nobody is told."""
        self._tell({"do": "connect", "host": host, "connected": connected})

    def report(self) -> dict[str, Any]:
        """The switch's counters by port and the CPU seconds it has used."""
        return self._tell({"do": "report"})

    def close(self) -> None:
        """End the switch and remove every namespace with what still runs in it."""
        switch, self._switch = self._switch, None
        if switch is not None:
            assert switch.stdin is not None
            switch.stdin.close()
            try:
                switch.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                switch.kill()
                switch.wait()
            assert switch.stdout is not None
            switch.stdout.close()
        for namespace in self._namespaces.values():
            netns.delete(namespace)
        self._namespaces.clear()

    def _start(self) -> None:
        placed: list[tuple[PortSpec, str]] = [(spec, "eth0") for spec in self.ports]
        for nat in self.nats:
            placed += [(nat.outside, "eth0"), (nat.inside, "eth1")]
        for spec, _ in placed:
            if spec.name not in self._namespaces:
                namespace = netns.name_of(spec.name)
                self._namespaces[spec.name] = namespace
                netns.create(namespace)
        self._start_switch(placed)
        for spec, device in placed:
            self._configure(spec, device, [other for other, _ in placed if other.lan == spec.lan])
        for nat in self.nats:
            self._masquerade(nat)

    def _start_switch(self, placed: list[tuple[PortSpec, str]]) -> None:
        ports = [
            {**attrs.asdict(spec), "namespace": self._namespaces[spec.name], "device": device}
            for spec, device in placed
        ]
        configuration = {
            "seed": self.seed,
            "ports": ports,
            "delays": [attrs.asdict(delay) for delay in self.delays],
        }
        self._switch = subprocess.Popen(
            [sys.executable, "-m", "dashp2p.lab.switch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=python_environment(),
            # Ctrl-C is for the run, which ends the switch last of all.
            start_new_session=True,
        )
        self._tell(configuration)

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        switch = self._switch
        if switch is None:
            raise RuntimeError("the network is not up")
        assert switch.stdin is not None and switch.stdout is not None
        switch.stdin.write(json.dumps(message) + "\n")
        switch.stdin.flush()
        line = switch.stdout.readline()
        if not line:
            raise RuntimeError("the switch process died: its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _configure(self, spec: PortSpec, device: str, lan: Sequence[PortSpec]) -> None:
        namespace = self._namespaces[spec.name]
        with netns.inside(namespace):
            netns.sysctl("net.ipv4.tcp_congestion_control", self.congestion_control)
            if Path("/proc/sys/net/ipv6").is_dir():
                netns.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
        batch = [
            f"link set {device} address {_text(spec.mac)} txqueuelen {TRANSMIT_QUEUE_FRAMES}",
            f"address add {spec.ip}/{PREFIX_LENGTH} dev {device}",
            "link set lo up",
            f"link set {device} up",
        ]
        # Written down, not asked for by ARP: no path across the internet has that in it, a lost
        # answer would stall a host for a second, and fifty hosts' tables exceed what the kernel
        # keeps for all namespaces together (gc_thresh3), which doesn't count permanent entries.
        batch += [
            f"neighbour add {other.ip} lladdr {_text(other.mac)} dev {device} nud permanent"
            for other in lan
            if other is not spec
        ]
        gateway = next((nat.inside.ip for nat in self.nats if nat.inside.lan == spec.lan), None)
        if gateway is not None and gateway != spec.ip:
            batch.append(f"route add default via {gateway}")
        netns.ip("-n", namespace, batch=batch)

    def _masquerade(self, nat: Nat) -> None:
        namespace = self._namespaces[nat.name]
        with netns.inside(namespace):
            netns.sysctl("net.ipv4.ip_forward", "1")
        rules = """
            table ip lab {
                chain out {
                    type nat hook postrouting priority 100
                    oifname "eth0" masquerade
                }
            }
        """
        subprocess.run(
            netns.command(namespace, ["nft", "-f", "-"]), input=rules, text=True, check=True
        )


def _text(mac: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in mac)
