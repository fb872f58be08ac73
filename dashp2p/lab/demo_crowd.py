"""The demo's programs: which command starts each, when it is ready, and their end."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from attrs import define, field

from dashp2p.content.interrupts import uninterrupted
from dashp2p.lab import summary
from dashp2p.lab.demo_options import HOST, DemoOptions
from dashp2p.lab.processes import Program, Programs

READY_TIMEOUT_S = 90.0
"""Two hundred daemons on a small machine take their time; a broken one ends at once."""
POLL_S = 0.1
POLL_TIMEOUT_S = 2.0
VIEWER_STOP_S = 3.0
_DAEMON = "dashp2p.lab.daemon"
_VIEWER = "dashp2p.lab.viewer"
_LOG_LINES = 8
# They are on this machine: a proxy that the environment names has no way to them.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_OWN_VARIABLES = ("PORT", "ORIGIN", "TRACKER")
_OWN_PREFIX = "DASHP2P_"


class StartFailedError(Exception):
    """A daemon ended, or was not ready in time; the text has the end of its log."""


@define
class Member:
    """One program of the demo, as the table shows it."""

    name: str
    url: str
    program: Program


@define
class Crowd:
    """Everything that the demo starts."""

    options: DemoOptions
    presentation: Path
    programs: Programs
    members: list[Member] = field(factory=list)
    """Origin, tracker and peers, in this order."""
    viewers: dict[int, Program] = field(factory=dict)
    """By number of the peer that they play through."""
    _lost: set[str] = field(factory=set)
    _stopped: set[int] = field(factory=set)

    def start_daemons(self) -> None:
        """Start origin, tracker and peers, and wait until each is ready.

        Raises StartFailedError.
        """
        options = self.options
        self._start_daemon("origin", options.origin_port, "--root", str(self.presentation))
        ticket_key = str(options.state / "ticket.key")
        self._start_daemon("tracker", options.tracker_port, "--ticket-key", ticket_key)
        # Peers that start before the origin is there would learn of it only at their next try.
        self._wait_until_ready(self.members)
        for peer in range(1, options.peers + 1):
            self._start_daemon(
                f"peer-{peer}",
                options.port_of(peer),
                *("--exchange", f"tcp:0:interface={HOST}"),
                *("--origin", options.origin_url, "--tracker", options.tracker_url),
                *("--cache", str(self.cache_of(peer))),
            )
        self._wait_until_ready(self.members[2:])

    def cache_of(self, peer: int) -> Path:
        """The folder of a peer's segments and identity."""
        return self.options.state / "cache" / f"peer{peer}"

    def report_of(self, peer: int) -> Path:
        """Where the viewer on that peer leaves its figures."""
        return self.options.state / "viewers" / f"{peer}.json"

    def start_viewer(self, peer: int) -> None:
        """Have a silent viewer play through a peer from now on."""
        url = self.options.peer_url(peer)
        command = [sys.executable, "-m", _VIEWER, f"{url}/dash/dash.mpd", "--cmcd"]
        command += ["--buffer", "12", "--id", f"viewer-{peer}", "--report-to", f"{url}/cmcd"]
        command += ["--json", str(self.report_of(peer))]
        with uninterrupted():
            self.viewers[peer] = self.programs.start(f"viewer-{peer}", command, clean_environment())

    def stop_viewers(self) -> None:
        """End the viewers and give them time to leave their figures."""
        self._stopped.update(self.playing)
        for program in self.viewers.values():
            program.send(signal.SIGTERM)
        until_s = time.monotonic() + VIEWER_STOP_S
        while self.playing and time.monotonic() < until_s:
            time.sleep(POLL_S)

    @property
    def playing(self) -> list[int]:
        """The peers whose viewers are still at it."""
        return [peer for peer, program in self.viewers.items() if program.running]

    @property
    def failed_viewers(self) -> list[int]:
        """The peers whose viewers ended badly by themselves."""
        return [
            peer
            for peer, program in self.viewers.items()
            if program.process.returncode and peer not in self._stopped
        ]

    def newly_lost(self) -> Iterator[Member]:
        """Daemons that have ended since the last call, though nobody asked them to."""
        for member in self.members:
            if not member.program.running and member.name not in self._lost:
                self._lost.add(member.name)
                yield member

    @property
    def lost(self) -> int:
        """How many daemons have ended by themselves."""
        return len(self._lost)

    def peer_stats(self) -> dict[int, dict[str, Any]]:
        """/stats of each peer that answers, by its number."""
        answers = {
            peer: summary.fetch(self.options.peer_url(peer))
            for peer in range(1, self.options.peers + 1)
        }
        return {peer: stats for peer, stats in answers.items() if stats is not None}

    def origin_stats(self) -> dict[str, Any]:
        """/stats of the origin; empty when it does not answer."""
        return summary.fetch(f"http://{HOST}:{self.options.origin_port}") or {}

    def _start_daemon(self, name: str, port: int, *arguments: str) -> None:
        plugin = f"dashp2p-{name.partition('-')[0]}"
        command = [sys.executable, "-m", _DAEMON, "-n", "--pidfile=", plugin]
        command += ["--listen", f"tcp:{port}:interface={HOST}", *arguments]
        with uninterrupted():
            program = self.programs.start(name, command, clean_environment())
        self.members.append(Member(name, f"http://{HOST}:{port}", program))

    def _wait_until_ready(self, members: list[Member]) -> None:
        until_s = time.monotonic() + READY_TIMEOUT_S
        waiting = list(members)
        while waiting:
            waiting = [member for member in waiting if not answers(f"{member.url}/readyz")]
            for member in waiting:
                if not member.program.running:
                    raise StartFailedError(f"{member.name} did not start. {last_words(member)}")
                if time.monotonic() > until_s:
                    raise StartFailedError(
                        f"{member.name} was not ready after {READY_TIMEOUT_S:.0f} s. "
                        f"{last_words(member)}"
                    )
            if waiting:
                time.sleep(POLL_S)


def last_words(member: Member) -> str:
    """The end of a program's log, with its path."""
    return f"The end of {member.program.log}:\n{member.program.tail(_LOG_LINES)}"


def clean_environment() -> dict[str, str]:
    """Variables that would steer our daemons, emptied (which counts as absent): the demo's own
    command lines say everything, whatever the shell around it exports."""
    return {
        name: "" for name in os.environ if name.startswith(_OWN_PREFIX) or name in _OWN_VARIABLES
    }


def answers(url: str) -> bool:
    """Whether somebody says 200 there."""
    try:
        with _DIRECT.open(url, timeout=POLL_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (HTTPError, URLError, TimeoutError, ConnectionError):
        return False
