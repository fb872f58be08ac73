"""The rehearsal's command line."""

from __future__ import annotations

import argparse
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from dashp2p.coercers import bit_rate, http_url, integer, number

PEERS_MAX = 200
MINUTES_MIN, MINUTES_MAX = 0.1, 24 * 60
SECONDS_MAX = 600
EXCHANGE_PORT_MAX = 65535

Value = TypeVar("Value")

ABOUT = """\
Rehearse a crowd on the real network: N silent viewers, each behind a peer of its own on this
machine, play one film from an origin and a tracker that run already. At the end a report says in
sentences whether network and machines carry it, and draws each viewer's buffer, bitrate and
sources. Nothing is shown or kept but that: caches go away with the rehearsal.
"""

EXAMPLES = """\
examples:
  python -m dashp2p.lab rehearse --peers 10 --minutes 5 \\
      --origin http://media.example:9000/dash --tracker http://media.example:7000

  On several machines at once, which shows what lies between them, begin everywhere at the same
  time, then put together what each has written:
    python -m dashp2p.lab rehearse --peers 5 --minutes 5 --at 10:30 --out room-1 ...
    python -m dashp2p.lab rehearse --peers 5 --minutes 5 --at 10:30 --out room-2 ...
    python -m dashp2p.lab report room-1 room-2 -o rehearsal.html

  What the same crowd costs without peers, side by side in one report (mind the origin's line):
    python -m dashp2p.lab rehearse --peers 10 --minutes 5 --out with ...
    python -m dashp2p.lab rehearse --peers 10 --minutes 5 --out plain --without-peers ...
    python -m dashp2p.lab report with plain -o rehearsal.html

  Machines that can't reach each other can't help each other: peers connect to one another's
  exchange port, which --exchange-port fixes for firewalls.
"""


@frozen
class Plan:
    """What was asked for, checked."""

    peers: int
    seconds: float
    origin: str
    """URL of the folder with the MPD, without a slash at its end."""
    tracker: str
    with_peers: bool
    spacing_s: float
    buffer_s: float
    exchange_port: int | None
    """Of the first peer, the others follow; None: any free ones."""
    upload_bps: int | None
    name: str
    """This machine's, before each viewer's number."""
    at: float | None
    """Seconds since 1970; None: now."""
    out: Path
    peer_options: tuple[str, ...] = ()

    def host(self, number: int) -> str:
        """A viewer's name; numbers from 1."""
        return f"{self.name}-{number:02d}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ABOUT and EXAMPLES."""
    parser.add_argument(
        "--peers",
        type=_coerced(integer(1, PEERS_MAX)),
        required=True,
        metavar="N",
        help="how many viewers on this machine, each behind a peer of its own",
    )
    parser.add_argument(
        "--minutes",
        type=_coerced(number(MINUTES_MIN, MINUTES_MAX)),
        default=5.0,
        metavar="M",
        help="the longest that it lasts (5); a shorter film ends it earlier",
    )
    parser.add_argument(
        "--origin",
        type=_coerced(http_url),
        default=os.environ.get("DASHP2P_ORIGIN") or None,
        metavar="URL",
        help="the folder with dash.mpd, e.g. http://media.example:9000/dash; or $DASHP2P_ORIGIN",
    )
    parser.add_argument(
        "--tracker",
        type=_coerced(http_url),
        default=os.environ.get("DASHP2P_TRACKER") or None,
        metavar="URL",
        help="e.g. http://media.example:7000; or $DASHP2P_TRACKER",
    )
    parser.add_argument(
        "--without-peers",
        action="store_true",
        help="all viewers straight at the origin, to compare; needs no --tracker",
    )
    parser.add_argument(
        "--spacing",
        type=_coerced(number(0, SECONDS_MAX)),
        default=1.0,
        metavar="S",
        help="seconds between two viewers' coming (1); 0: all at once, which is hardest",
    )
    parser.add_argument(
        "--buffer",
        type=_coerced(number(1, SECONDS_MAX)),
        default=12.0,
        metavar="S",
        help="seconds of film in hand (12)",
    )
    parser.add_argument("--at", type=_clock, metavar="HH:MM[:SS]", help="begin then, not now")
    parser.add_argument(
        "--exchange-port",
        type=_coerced(integer(1, EXCHANGE_PORT_MAX)),
        metavar="PORT",
        help="where the first peer is reached by others; each further one has the next port",
    )
    parser.add_argument(
        "--upload-rate", type=_coerced(bit_rate), metavar="RATE", help="of each peer, e.g. 20Mbit"
    )
    parser.add_argument(
        "--name",
        type=_name,
        default=_own_name(),
        help="of this machine in the report (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for the report (default rehearsals/DATE-TIME)"
    )
    parser.add_argument(
        "peer_options",
        nargs="*",
        metavar="-- OPTION",
        help="after --: further options of each peer, e.g. -- --ca FILE",
    )


def plan(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Plan:
    """Anything that is missing or doesn't fit ends the program with one line."""
    if given.origin is None:
        parser.error("--origin URL is needed: where the film's dash.mpd lies")
    if given.tracker is None and not given.without_peers:
        parser.error("--tracker URL is needed (or --without-peers)")
    first = given.exchange_port
    if first is not None and first + given.peers - 1 > EXCHANGE_PORT_MAX:
        parser.error(f"--exchange-port {first} leaves no ports for {given.peers} peers")
    out = given.out or Path("rehearsals") / time.strftime("%Y%m%d-%H%M%S")
    return Plan(
        peers=given.peers,
        seconds=given.minutes * 60,
        origin=given.origin.rstrip("/"),
        tracker=(given.tracker or "").rstrip("/"),
        with_peers=not given.without_peers,
        spacing_s=given.spacing,
        buffer_s=given.buffer,
        exchange_port=first,
        upload_bps=given.upload_rate,
        name=given.name,
        at=given.at,
        out=out,
        peer_options=tuple(given.peer_options),
    )


def _coerced(coerce: Callable[[str], Value]) -> Callable[[str], Value]:
    def checked(text: str) -> Value:
        try:
            return coerce(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,48}", text, re.ASCII):
        raise argparse.ArgumentTypeError("up to 48 letters, digits and any of . _ -")
    return text


def _own_name() -> str:
    return (
        re.sub(r"[^\w-]", "-", socket.gethostname().partition(".")[0], flags=re.ASCII)[:48] or "pc"
    )


def _clock(text: str) -> float:
    """That time of day next, as seconds since 1970."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text, re.ASCII)
    hour, minute, second = (int(part or 0) for part in found.groups()) if found else (99, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise argparse.ArgumentTypeError("a time of day such as 10:30 or 10:30:00")
    now = time.time()
    today = time.localtime(now)
    wished = time.mktime((*today[:3], hour, minute, second, 0, 0, -1))
    return wished if wished > now else wished + 86400
