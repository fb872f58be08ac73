"""What a daemon does to its own process: more open files, and a clean exit on SIGTERM."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

log = Logger()

ENOUGH_OPEN_FILES = 1 << 16


def prepare_process(reactor: Any) -> None:
    """Call this from makeService: it is for a whole process, not for a service in a test."""
    raise_open_files_limit()
    reactor.callWhenRunning(stop_on_sigterm, reactor)


def stop_on_sigterm(reactor: Any) -> None:
    """Let SIGTERM stop the services and end the process with status 0.

    Twisted stops too, but then kills itself with the same signal, so that whoever supervises it
    (docker, systemd, run-demo.sh) cannot tell an orderly stop from a death.
    """

    def stop() -> None:
        with suppress(ReactorNotRunning):  # the second SIGTERM, while the first still drains
            reactor.stop()

    signal.signal(signal.SIGTERM, lambda number, frame: reactor.callFromThread(stop))


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
