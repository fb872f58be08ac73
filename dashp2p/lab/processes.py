"""The programs of one run: started, told when to begin, and ended, whatever becomes of the run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from attrs import define, field

import dashp2p

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """From now on the kernel ends this process when the one that started it ends, so that a run
    that is itself killed leaves nothing behind. Only Linux has this; elsewhere a killed run's
    programs are found by their ports.
    """
    if sys.platform != "linux":
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def python_environment() -> dict[str, str]:
    """This environment, with this very dashp2p (and its twistd plugins) first to be imported."""
    root = str(Path(dashp2p.__file__).parent.parent)
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


class Process(Protocol):
    """What a program's handle has to do: subprocess.Popen, or a fork of an interpreter."""

    @property
    def pid(self) -> int: ...

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def returncode(self) -> int | Any:
        """None while it runs; negative: the signal that ended it."""

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int:
        """subprocess.TimeoutExpired when it doesn't end in time."""

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


@define(eq=False)
class Program:
    """One running program. Its output goes to a file, which is what to read when it failed."""

    name: str
    process: Process
    log: Path
    cpu_s: float = 0.0

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def begin(self, at_s: float) -> None:
        """Tell a program under `starter` when to begin (seconds since the epoch)."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{at_s:.6f}\n".encode())
            self.process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        if self.running:
            self.note_cpu()
            self.process.send_signal(number)

    def note_cpu(self) -> float:
        """CPU seconds used so far, as the kernel counts; the last known once it is gone."""
        ended_cpu_s = getattr(self.process, "cpu_s", None)  # a fork's is told when it ends
        if ended_cpu_s is not None:
            self.cpu_s = ended_cpu_s
            return self.cpu_s
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            self.cpu_s = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        return self.cpu_s

    def said(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def tail(self, lines: int = 8) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@define
class Programs:
    """All programs of a run; `close` ends them, the gentle way first."""

    logs: Path
    started: list[Program] = field(factory=list)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Program:
        log = self.logs / f"{name}.log"
        output: IO[bytes]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.logs,
                env={**python_environment(), **(environment or {})},
                start_new_session=True,  # Ctrl-C is for the run, which then ends these
                preexec_fn=die_with_parent,
            )
        return self.adopt(Program(name, process, log))

    def adopt(self, program: Program) -> Program:
        """End that one too, in its time."""
        self.started.append(program)
        return program

    def close(self, patience_s: float = 5.0) -> None:
        """SIGTERM to all, and SIGKILL to what is left after `patience_s`."""
        for program in self.started:
            program.send(signal.SIGCONT)
            program.send(signal.SIGTERM)
        until = time.monotonic() + patience_s
        for program in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(max(0.0, until - time.monotonic()))
        for program in self.started:
            if program.running:
                program.process.kill()
            program.process.wait()
            if program.process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    program.process.stdin.close()
        self.started.clear()
