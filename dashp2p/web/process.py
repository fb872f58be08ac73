"""What a daemon does to its own process: open files, a clock that is never set, and its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from dashp2p.web.supervisor import Supervisor

log = Logger()

ENOUGH_OPEN_FILES = 1 << 16
LAST_RESORT_S = 14.0
"""After the first signal: if the orderly end hangs (a disk that never answers), the system ends
the process. More than any daemon's own deadlines, less than the 15 s that supervisors give."""
STOPPED_AT_ONCE = b"a second signal: leaving at once\n"


def prepare_process(reactor: Any) -> None:
    """Call this from makeService: it is for a whole process, not for a service in a test."""
    raise_open_files_limit()
    use_monotonic_time(reactor)
    reactor.callWhenRunning(stop_on_signals, reactor)
    Supervisor(reactor, os.environ).attend()


def monotonic_clock() -> Callable[[], float]:
    """Seconds that only ever grow.

    Where the system tells, they count sleep too: a laptop that wakes must see that its links and
    leases are old.
    """
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot_time is None else partial(time.clock_gettime, boot_time)


def use_monotonic_time(reactor: Any) -> None:
    """Let a reactor's timers run by a clock that nobody sets.

    Twisted's run by the time of day: set back by an hour, they would all be an hour late. Timers
    that are set already keep their distance.
    """
    before = reactor.seconds()
    waiting = [(call, call.getTime() - before) for call in reactor.getDelayedCalls()]
    reactor.seconds = monotonic_clock()
    for call, left_s in waiting:
        call.seconds = reactor.seconds
        call.reset(max(0.0, left_s))


def stop_on_signals(reactor: Any) -> None:
    """Let SIGTERM and SIGINT stop the services and end the process with status 0.

    Twisted stops too, but then kills itself with the same signal, so that whoever supervises it
    (docker, systemd, run-demo.sh) cannot tell an orderly stop from a death. A second signal ends
    the process there and then: nothing that it holds needs an orderly end to be whole.
    """
    asked = False

    def stop() -> None:
        with suppress(ReactorNotRunning):  # it is ending for another reason
            reactor.stop()

    def signalled(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os.write(2, STOPPED_AT_ONCE)
            os._exit(128 + number)
        asked = True
        if hasattr(signal, "setitimer"):  # not on Windows
            signal.setitimer(signal.ITIMER_REAL, LAST_RESORT_S)
        reactor.callFromThread(stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signalled)


def raise_open_files_limit() -> None:
    """Raise the soft limit to what is enough or allowed, where the system has such limits.

    The usual soft limit of 1024 is less than the connections that a listener takes. Logs what came
    of it and never fails: a daemon with fewer files serves fewer at a time.
    """
    try:
        import resource
    except ImportError:  # pragma: no cover  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warn("at most {soft} files may be open ({error})", soft=soft, error=str(error))
    else:
        log.debug("up to {wanted} files may be open", wanted=wanted)
