"""The process that carries every frame between the lab's hosts: a switch in user space over TAP
devices.

The kernel here has no netem, and on a host's own interface TCP would notice drops and queues that
on a real path lie beyond it. So each host's eth0 is a TAP device whose descriptor this process
holds; `fabric.Fabric` says when each frame leaves and arrives. Measured with ten hosts at 20 Mbit/s
each way, the whole machine needs as much CPU as with veth pairs, bridges and tbf, so all scenarios
share this one mechanism.

Run by `network.Network`: configuration is the first line on stdin (JSON), then one command a line,
one JSON answer a line; end of input ends the process, and its devices with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import struct
import sys
import time
from typing import Any

import attrs

from dashp2p.lab import netns
from dashp2p.lab.fabric import Delay, Fabric, PortSpec
from dashp2p.lab.loss import Loss

COALESCE_S = 0.0005
"""Under load, frames are moved in bundles this far apart: a wake-up costs as much as four
frames.
"""

TRANSMIT_QUEUE_FRAMES = 4000
"""What the kernel keeps for us between two turns; a drop there would be one that the sender's
TCP sees.
"""

_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_FRAME_BYTES = 2048
_FRAMES_A_TURN = 256
_STDIN = 0


def open_tap(namespace: str, device: str) -> int:
    """Make a TAP device inside a namespace and return our end of it."""
    with netns.inside(namespace):
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI)
        fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


class Switch:
    """Moves frames between descriptors as the fabric says."""

    def __init__(self, fabric: Fabric, descriptors: list[int]) -> None:
        self.fabric = fabric
        self.descriptors = descriptors
        self.running = True
        self.write_errors = 0
        self._port_of = {descriptor: index for index, descriptor in enumerate(descriptors)}
        self._poll = select.epoll()
        for descriptor in [*descriptors, _STDIN]:
            self._poll.register(descriptor, select.EPOLLIN)
        self._commands = b""

    def run(self) -> None:
        fabric, mono = self.fabric, time.monotonic
        busy = False
        while self.running:
            if busy or fabric.next_at() is not None:
                time.sleep(COALESCE_S)
                ready = self._poll.poll(0)
            else:
                ready = self._poll.poll(1.0)
            busy = bool(ready)
            for descriptor, _ in ready:
                if descriptor == _STDIN:
                    self._read_commands()
                else:
                    frames = self._read(descriptor)
                    fabric.accept(mono(), self._port_of[descriptor], frames)
            for index, frame in fabric.release(mono()):
                self._write(self.descriptors[index], frame)

    def _read(self, descriptor: int) -> list[bytes]:
        frames: list[bytes] = []
        read, append = os.read, frames.append
        try:
            for _ in range(_FRAMES_A_TURN):
                append(read(descriptor, _FRAME_BYTES))
        except OSError:  # nothing more, or the host has taken its interface down
            pass
        return frames

    def _write(self, descriptor: int, frame: bytes) -> None:
        try:
            os.write(descriptor, frame)
        except OSError:  # the host's interface is down, as a cable pulled at the far end
            self.write_errors += 1

    def _read_commands(self) -> None:
        chunk = os.read(_STDIN, 65536)
        if not chunk:
            self.running = False
            return
        *lines, self._commands = (self._commands + chunk).split(b"\n")
        for line in lines:
            print(json.dumps(self._obey(json.loads(line))), flush=True)

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "connect":
                self.fabric.connect(command["host"], command["connected"])
                return {}
            case "report":
                counters = {
                    key: attrs.asdict(value) for key, value in self.fabric.counters().items()
                }
                cpu_s = time.process_time()
                return {"ports": counters, "cpu_s": cpu_s, "write_errors": self.write_errors}
            case other:
                raise ValueError(f"unknown command {other!r}")


def read_configuration(line: str) -> tuple[Fabric, list[tuple[str, str]]]:
    """The fabric, and (namespace, device) of each port, from the configuration line."""
    raw = json.loads(line)
    specs = []
    places = []
    for port in raw["ports"]:
        places.append((port.pop("namespace"), port.pop("device")))
        specs.append(PortSpec(**{**port, "loss": Loss(**port["loss"])}))
    delays = tuple(Delay(**delay) for delay in raw["delays"])
    return Fabric(tuple(specs), delays, raw["seed"]), places


def _precede_others() -> None:
    # Twenty daemons want the same two cores: a frame that waits for them would be delay nobody
    # asked for.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))


def main() -> None:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(_STDIN, 1)  # not buffered: the commands behind it are for the loop
        if not byte:
            sys.exit("no configuration")
        line += byte
    fabric, places = read_configuration(line.decode())
    descriptors = [open_tap(namespace, device) for namespace, device in places]
    _precede_others()
    gc.collect()
    gc.disable()
    print(json.dumps({"ready": True}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        Switch(fabric, descriptors).run()


if __name__ == "__main__":
    main()
