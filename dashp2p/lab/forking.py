"""The run's end of the fork server: programs that start in milliseconds."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from attrs import define, field, frozen

from dashp2p.lab.processes import Program, python_environment

_START_TIMEOUT_S = 60.0


@frozen
class Job:
    """A module to run as `python -m` would, on a host (None: on this machine itself)."""

    module: str
    arguments: Sequence[str]
    namespace: str | None = None


@define(eq=False)
class ForkedProcess:
    """A child of the fork server, handled like a subprocess.Popen."""

    pid: int
    stdin: IO[bytes]
    returncode: int | None = None
    cpu_s: float | None = None
    _ended: threading.Event = field(factory=threading.Event)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        # The server has reaped it the moment it is known to have ended, so the number is its own,
        # or nobody's while that word is on its way.
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def ended(self, status: int, cpu_s: float) -> None:
        self.cpu_s = cpu_s
        self.returncode = status
        self._ended.set()


@define(eq=False)
class ForkServer:
    """Starts programs; ends with its context, and all that it started with it."""

    folder: Path
    """For logs, and the FIFOs that are the programs' stdin."""
    _server: subprocess.Popen[str] | None = None
    _started: queue.SimpleQueue[int | None] = field(factory=queue.SimpleQueue)
    _running: dict[int, ForkedProcess] = field(factory=dict)
    _early: dict[int, tuple[int, float]] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock)

    def __enter__(self) -> ForkServer:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "dashp2p.lab.forkserver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=python_environment(),
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self._server,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        server = self._server
        if server is not None:
            assert server.stdin is not None
            server.stdin.close()
            server.wait()
        for fifo in self.folder.glob(".*.stdin"):
            fifo.unlink()

    def start(self, name: str, job: Job, environment: Mapping[str, str] | None = None) -> Program:
        """Run a job. RuntimeError when the server is gone."""
        assert self._server is not None and self._server.stdin is not None
        log, fifo = self.folder / f"{name}.log", self.folder / f".{name}.stdin"
        log.unlink(missing_ok=True)
        fifo.unlink(missing_ok=True)
        log.touch()
        os.mkfifo(fifo, 0o600)
        # For both ways, it is there at once; the program opens its end when it gets so far.
        stdin = os.fdopen(os.open(fifo, os.O_RDWR | os.O_CLOEXEC), "wb", buffering=0)
        request = {
            "module": job.module,
            "arguments": list(job.arguments),
            "namespace": job.namespace,
            "environment": dict(environment or {}),
            "folder": str(self.folder.resolve()),
            "log": str(log.resolve()),
            "stdin": str(fifo.resolve()),
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        process_id = self._started.get(timeout=_START_TIMEOUT_S)
        if process_id is None:
            raise RuntimeError("the fork server died: its message is above")
        process = ForkedProcess(process_id, stdin)
        with self._lock:
            self._running[process_id] = process
            early = self._early.pop(process_id, None)
        if early is not None:
            process.ended(*early)
        return Program(name, process, log)

    def _listen(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        for line in server.stdout:
            told: dict[str, Any] = json.loads(line)
            if "started" in told:
                self._started.put(told["started"])
            else:
                self._note_end(told["ended"], told["status"], told["cpu_s"])
        self._started.put(None)

    def _note_end(self, process_id: int, status: int, cpu_s: float) -> None:
        with self._lock:
            process = self._running.pop(process_id, None)
            if process is None:
                self._early[process_id] = (status, cpu_s)
        if process is not None:
            process.ended(status, cpu_s)
