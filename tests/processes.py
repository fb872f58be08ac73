"""Real daemons for tests: started on free ports, waited for, and ended with the test.

Whoever waits says for what and how long, and a daemon that dies or dawdles shows its log.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from unittest import TestCase
from urllib.parse import urlsplit

from attrs import define, field

ROOT: Final = Path(__file__).parents[1]
TWISTD: Final = "from twisted.scripts.twistd import run; run()"
HOST: Final = "127.0.0.1"
READY_S: Final = 20.0
END_S: Final = 12.0
_LOOK_EVERY_S: Final = 0.05
_HTTP_TIMEOUT_S: Final = 5.0
_LOG_LINES: Final = 40

_given_out: set[int] = set()


def free_port() -> int:
    """A TCP port that nobody listens on, and that this process has not given out before."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in _given_out:
            _given_out.add(port)
            return port


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment with this checkout's packages and plugins, whatever the current folder,
    and without options that somebody's shell has set for daemons of their own.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DASHP2P_") and name not in {"PORT", "TRACKER", "ORIGIN"}
    }
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return {**kept, **(extra or {})}


def wait_until(what: str, holds: Callable[[], object], patience_s: float) -> None:
    """Ask `holds` again and again; AssertionError that names `what` when it stays false."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {patience_s:g} s not yet: {what}")
        time.sleep(_LOOK_EVERY_S)


def get_json(url: str) -> Any:
    """The JSON at `url`; OSError or ValueError where there is none."""
    with urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT_S) as answer:
        return json.load(answer)


def slow_reader(case: TestCase, url: str) -> http.client.HTTPResponse:
    """A client that has asked and reads only when told to. Its kernel takes little meanwhile."""
    parts = urlsplit(url)
    wire = socket.socket()
    case.addCleanup(wire.close)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    wire.settimeout(READY_S)
    wire.connect((parts.hostname, parts.port))
    connection = http.client.HTTPConnection(parts.netloc)
    connection.sock = wire
    connection.request("GET", parts.path)
    return connection.getresponse()


@define(eq=False)
class Daemon:
    """One running twistd."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self, patience_s: float = READY_S) -> None:
        """Until /readyz says so. AssertionError, with the log, if it ends or takes longer."""
        deadline = time.monotonic() + patience_s
        answer = "no answer"
        while self.running and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=_HTTP_TIMEOUT_S):
                    return
            except urllib.error.HTTPError as error:
                answer = f"{error.code} {error.read(500)!r}"
                error.close()
            except OSError as error:
                answer = str(error)
            time.sleep(_LOOK_EVERY_S)
        state = "not ready" if self.running else f"ended with {self.process.returncode}"
        raise AssertionError(f"{self.name} is {state} ({answer}):\n{self.last_words()}")

    def stats(self) -> Any:
        """A peer's GET /stats."""
        return get_json(f"{self.url}/stats")

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def stop(self) -> int:
        """SIGTERM, and SIGKILL to one that does not heed it. Returns its exit status."""
        if self.running:
            self.process.terminate()
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()


@define(eq=False)
class Daemons:
    """The daemons of one test, in a folder of their own; all end with the test."""

    case: TestCase
    folder: Path = field(init=False)
    started: list[Daemon] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="dashp2p-test-", ignore_cleanup_errors=True)
        self.case.addCleanup(scratch.cleanup)
        self.case.addCleanup(self.stop)
        self.folder = Path(scratch.name)

    def lay(self, files: Mapping[str, bytes], name: str = "film") -> Path:
        """Put a film's files into a folder of that name, and say where it is."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        for file_name, data in files.items():
            (folder / file_name).write_bytes(data)
        return folder

    def start(
        self, name: str, plugin: str, port: int, *arguments: str, inside: Sequence[str] = ()
    ) -> Daemon:
        """`twistd PLUGIN --listen` on `port`; not waited for.

        `inside` is the beginning of a command line whose end is ours, and which becomes it.
        """
        log = self.folder / f"{name}.log"
        listen = f"tcp:{port}:interface={HOST}"
        options = ["-n", "--pidfile=", plugin, "--listen", listen, *arguments]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*inside, sys.executable, "-c", TWISTD, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment({"XDG_CONFIG_HOME": str(self.folder / "config")}),
            )
        daemon = Daemon(name, f"http://{HOST}:{port}", log, process)
        self.started.append(daemon)
        return daemon

    def origin(self, root: Path, *arguments: str, port: int = 0) -> Daemon:
        """An origin that serves the folder `root` as /dash/."""
        port = port or free_port()
        return self.start("origin", "dashp2p-origin", port, "--root", str(root), *arguments)

    def tracker(self, *arguments: str, port: int = 0) -> Daemon:
        """A tracker."""
        return self.start("tracker", "dashp2p-tracker", port or free_port(), *arguments)

    def peer(
        self, number: int, origin: Daemon, tracker: Daemon, *arguments: str, port: int = 0
    ) -> Daemon:
        """Peer `number`, with a cache (and so an identity) of its own."""
        return self.start(
            f"peer-{number}",
            "dashp2p-peer",
            port or free_port(),
            *("--exchange", f"tcp:0:interface={HOST}"),
            *("--origin", f"{origin.url}/dash"),
            *("--tracker", tracker.url),
            *("--cache", str(self.folder / f"cache-{number}")),
            *("--cache-size", "256MiB"),
            *arguments,
        )

    def stop(self) -> None:
        """End all: the gentle way for each, then at once for the rest."""
        for daemon in self.started:
            if daemon.running:
                daemon.process.terminate()
        for daemon in self.started:
            daemon.stop()


def without_pythonpath() -> dict[str, str]:
    """This environment, but for what trial's workers are given to find their modules."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
