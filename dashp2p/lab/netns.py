"""Network namespaces: one per host of an experiment, named so that leftovers are found again.

A name is `dp2p-<process id of the run>-<host>`: `clean` may remove what belongs to a run that is no
more, and never touches another run that is under way on the same machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

PREFIX = "dp2p-"
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class LabUnavailableError(Exception):
    """This machine can't run the lab with namespaces; the text says why and what to do."""


def require_root() -> None:
    """Raise LabUnavailableError unless namespaces and TAP devices can be made here."""
    if os.geteuid() != 0:
        raise LabUnavailableError(
            "Hosts in network namespaces need root: use sudo, or --loopback without."
        )
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise LabUnavailableError(
            "/dev/net/tun can't be opened: load the tun module, or use --loopback."
        )
    if shutil.which("ip") is None:
        raise LabUnavailableError("The ip command is missing: install iproute2, or use --loopback.")


def name_of(host: str, owner: int | None = None) -> str:
    return f"{PREFIX}{owner or os.getpid()}-{host}"


def create(namespace: str) -> None:
    ip("netns", "add", namespace)


def delete(namespace: str) -> None:
    """Kill what still runs in it and remove it; nothing happens where it is gone already."""
    for process_id in processes(namespace):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("netns", "del", namespace)


def processes(namespace: str) -> list[int]:
    try:
        found = ip("netns", "pids", namespace)
    except subprocess.CalledProcessError:
        return []
    return [int(line) for line in found.split()]


def existing() -> list[str]:
    """The lab's namespaces on this machine, of every run."""
    if not _NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in _NAMESPACES.iterdir() if path.name.startswith(PREFIX))


def leftovers() -> list[str]:
    """Namespaces whose run is no more."""
    return [name for name in existing() if not owner_lives(name)]


def clean(everything: bool = False) -> list[str]:
    """Remove what killed runs left; with `everything`, also what belongs to runs under way."""
    names = existing() if everything else leftovers()
    for name in names:
        delete(name)
    return names


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread acts in the namespace: sockets and devices opened meanwhile belong there for
    good.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(there)
        os.close(home)


def enter(namespace: str) -> None:
    """This thread, and every process that it starts, belongs to the namespace from now on."""
    there = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    try:
        _setns(there)
    finally:
        os.close(there)


def command(namespace: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a program there; its process id is the program's own."""
    return ["ip", "netns", "exec", namespace, *arguments]


def ip(*arguments: str, batch: Sequence[str] = ()) -> str:
    """Run ip(8). CalledProcessError (with its stderr) when it fails."""
    line = ["ip", *arguments]
    if batch:
        line += ["-batch", "-"]
    done = subprocess.run(
        line, input="\n".join(batch), capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def sysctl(key: str, value: str) -> None:
    """Write one sysctl of the namespace that this thread is in."""
    Path("/proc/sys", key.replace(".", "/")).write_text(value)


def allow_congestion_control(name: str) -> None:
    """Let namespaces choose `name`: which ones they may take is decided in the root namespace."""
    available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    if name not in available:
        raise LabUnavailableError(
            f"This kernel has no congestion control {name}, only {available}."
        )
    path = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
    allowed = path.read_text().split()
    if name not in allowed:
        path.write_text(" ".join([*allowed, name]))


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def owner_lives(name: str) -> bool:
    """Whether the run that something is named for is still under way."""
    owner = name[len(PREFIX) :].split("-", 1)[0]
    return owner.isdigit() and Path("/proc", owner).exists()
