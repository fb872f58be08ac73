"""Telling systemd that a daemon is up, still alive, and about to stop (sd_notify(3)).

systemd names a datagram socket in NOTIFY_SOCKET and, with WatchdogSec=, in WATCHDOG_USEC how long
it waits for a sign of life. Signs come from the reactor, so a daemon whose loop hangs gives none
and is restarted. Where nobody set the variables nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

log = Logger()

READY = b"READY=1"
ALIVE = b"WATCHDOG=1"
STOPPING = b"STOPPING=1"
SIGNS_PER_PERIOD = 3
"""One sign may be late, and one lost, before the supervisor takes us for dead."""


class Supervisor:
    """Speaks to the supervisor of `environ`, from a reactor's start to its end."""

    def __init__(self, reactor: Any, environ: Mapping[str, str]) -> None:
        self._reactor = reactor
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._period_s = _watchdog_period_s(environ)
        self._signs = LoopingCall(self._tell, ALIVE)
        self._signs.clock = reactor
        self._complained = False

    def attend(self) -> None:
        """Tell it all there is to tell, from when the reactor runs (and everything listens)."""
        if not self._address:
            return
        self._reactor.callWhenRunning(self._started)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._tell, STOPPING)
        self._reactor.addSystemEventTrigger("after", "shutdown", self._ended)

    def _started(self) -> None:
        self._tell(READY)
        if self._period_s is not None:
            self._signs.start(self._period_s / SIGNS_PER_PERIOD)

    def _ended(self) -> None:
        if self._signs.running:
            self._signs.stop()

    def _tell(self, message: bytes) -> None:
        # "@" stands for the NUL of Linux' abstract names.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto(message, address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warn("the supervisor hears nothing: {why}", why=str(error))


def _watchdog_period_s(environ: Mapping[str, str]) -> float | None:
    """How long the supervisor waits for a sign; None where it doesn't, or not for this process."""
    text, process_id = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if process_id not in ("", str(os.getpid())) or not text.isdecimal() or len(text) > 18:
        return None
    return int(text) / 1e6 or None
