"""The doctor's questions to this machine. Each has a bound in time, changes nothing, never raises.

Standard library alone: the doctor must run where nothing is installed yet.
"""

from __future__ import annotations

import email.utils
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

COMMAND_TIMEOUT_S = 15.0
HTTP_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 0.2
SBIN = ("/usr/sbin", "/sbin")
"""Where ip and nft are, which is not in everybody's PATH."""


@dataclass(frozen=True)
class Answer:
    """How a server answered: its status (0: not at all), why not, and how far its clock is off."""

    status: int
    reason: str = ""
    ahead_s: float | None = None
    """The server's clock minus ours."""


class Machine:
    """This machine; tests give another one."""

    environ: ClassVar[Mapping[str, str]] = os.environ

    @property
    def python(self) -> tuple[int, int]:
        """Version of the Python that runs."""
        return sys.version_info[0], sys.version_info[1]

    @property
    def is_environment(self) -> bool:
        """Whether that Python belongs to a virtual environment."""
        return sys.prefix != sys.base_prefix

    @property
    def system(self) -> str:
        """As "Linux", "Darwin" or "Windows"."""
        return platform.system()

    @property
    def kernel(self) -> str:
        """Its release, which names Microsoft under WSL."""
        return platform.release()

    @property
    def is_root(self) -> bool:
        return hasattr(os, "geteuid") and os.geteuid() == 0

    @property
    def now_s(self) -> float:
        """Seconds since the epoch, by our clock."""
        return time.time()

    def find(self, *names: str) -> str | None:
        """The path of the first of these programs."""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN))
        found = (shutil.which(name, path=path) for name in names)
        return next((program for program in found if program), None)

    def says(self, command: Sequence[str]) -> str | None:
        """What a command prints, or None where it cannot be run, fails or takes too long."""
        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    def can_import(self, module: str) -> bool:
        """Whether Python would find a module."""
        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            return False

    def packages_asked_for(self, distribution: str) -> list[str] | None:
        """Names in a distribution's dependencies, or None where it is not installed."""
        try:
            lines = importlib.metadata.requires(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        needed = (line for line in lines if "extra ==" not in line)
        return [_name_of(line) for line in needed]

    def is_installed(self, distribution: str) -> bool:
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    def imageio_ffmpeg(self) -> str | None:
        """The ffmpeg that a package of PyPI has brought."""
        try:
            import imageio_ffmpeg

            return str(imageio_ffmpeg.get_ffmpeg_exe())
        except (ImportError, RuntimeError):
            return None

    def can_read(self, path: str) -> bool:
        return os.access(path, os.R_OK)

    def free_bytes(self, folder: Path) -> int | None:
        """Free space on the disk where a folder is, or would be made."""
        nearest = folder.expanduser().absolute()
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        try:
            return shutil.disk_usage(nearest).free
        except OSError:
            return None

    def is_taken(self, port: int) -> bool:
        """Whether something answers on this port of the loopback."""
        with socket.socket() as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def open_files(self) -> int | None:
        """The hard limit of open files; None: no limit is known."""
        try:
            import resource
        except ImportError:  # Windows
            return None
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return None if hard == resource.RLIM_INFINITY else hard

    def has_ipv6(self) -> bool:
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            return False
        return True

    def ask(self, url: str) -> Answer:
        """GET an address and compare clocks."""
        try:
            with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as response:
                return Answer(response.status, "", self._ahead_s(response.headers.get("Date")))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, str(error.reason), self._ahead_s(error.headers["Date"]))
        except (OSError, ValueError) as error:
            return Answer(0, str(getattr(error, "reason", error)))

    def _ahead_s(self, date: str | None) -> float | None:
        try:
            return email.utils.parsedate_to_datetime(date or "").timestamp() - self.now_s
        except (TypeError, ValueError):
            return None


def _name_of(requirement: str) -> str:
    """The name at the start of "twisted[tls]>=24.11"."""
    end = next(
        (at for at, char in enumerate(requirement) if not (char.isalnum() or char in "-_.")),
        len(requirement),
    )
    return requirement[:end]
