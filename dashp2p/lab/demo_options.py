"""The demo's command line, and whether its ports are free: checked before anything is set up.

run-demo.sh runs this module with whatever Python is there, so it imports the standard library
alone. Exit status 0: go on; 1 or 2: refused, and said why; HELP_SHOWN: help was asked for.
"""

from __future__ import annotations

import argparse
import errno
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

PEERS_MAX = 200
SECONDS_MAX = 24 * 3600
HELP_SHOWN = 3
HOST = "127.0.0.1"
CONNECT_TIMEOUT_S = 0.2
DEFAULT_STATE = Path(__file__).resolve().parents[2] / "demo"


@dataclass(frozen=True)
class DemoOptions:
    """What was asked for, checked."""

    peers: int
    browser: bool
    viewers: bool
    video: Path | None
    seconds: float | None
    """How long to run; None: until all viewers have finished, or Ctrl-C."""
    origin_port: int
    tracker_port: int
    peer_port: int
    """Of peer 1; the others follow."""
    keep_cache: bool
    state: Path
    """Folder of logs, caches, the test film and the summary."""

    def port_of(self, peer: int) -> int:
        """The port that players of peer 1, 2, ... use."""
        return self.peer_port + peer - 1

    @property
    def origin_url(self) -> str:
        """Where the presentation lies, as peers are told."""
        return f"http://{HOST}:{self.origin_port}/dash"

    @property
    def tracker_url(self) -> str:
        """The tracker's base URL."""
        return f"http://{HOST}:{self.tracker_port}"

    def peer_url(self, peer: int) -> str:
        """A peer's base URL."""
        return f"http://{HOST}:{self.port_of(peer)}"

    def ports(self) -> Iterator[tuple[int, str, str]]:
        """Every port to be opened, whose it is, and the option that moves it."""
        yield self.origin_port, "the origin", "--origin-port"
        yield self.tracker_port, "the tracker", "--tracker-port"
        for peer in range(1, self.peers + 1):
            yield self.port_of(peer), f"peer {peer}", "--peer-port"


class _Parser(argparse.ArgumentParser):
    """One line and exit status 2, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str] | None = None) -> DemoOptions:
    """The options; anything wrong ends the program with one line and status 2."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not 1 <= given.peers <= PEERS_MAX:
        parser.error(f"N, the number of peers, must be from 1 to {PEERS_MAX}")
    if given.seconds is not None and not 0 < given.seconds <= SECONDS_MAX:
        parser.error(f"--seconds must be above 0 and at most {SECONDS_MAX}")
    if given.video is not None and not given.video.is_file():
        parser.error(f"--video: there is no file {given.video}")
    options = DemoOptions(
        peers=given.peers,
        browser=not given.no_browser,
        viewers=not given.no_viewers,
        video=given.video,
        seconds=given.seconds,
        origin_port=given.origin_port,
        tracker_port=given.tracker_port,
        peer_port=given.peer_port,
        keep_cache=given.keep_cache,
        state=given.state.absolute(),
    )
    owners: dict[int, str] = {}
    for port, owner, option in options.ports():
        if not 1 <= port <= 65535:
            parser.error(f"{option}: {owner} would get port {port}; ports are 1 to 65535")
        if port in owners:
            parser.error(f"{owners[port]} and {owner} would share port {port}: move one, {option}")
        owners[port] = owner
    return options


def taken_ports(options: DemoOptions) -> list[str]:
    """One line for each port that something else uses: whose it was to be, how to move it."""
    return [
        f"Port {port}, for {owner}, is taken: free it, or move the demo with {option} PORT."
        for port, owner, option in options.ports()
        if is_taken(port)
    ]


def is_taken(port: int) -> bool:
    """Whether something answers on this port of the loopback, or keeps us from listening there."""
    with socket.socket() as probe:
        # As Twisted listens: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EACCES:
                raise PermissionError(f"port {port}: this user may not listen there") from error
            return True
    # Some systems let one program have all addresses' port and another that of one address.
    with socket.socket() as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        return probe.connect_ex((HOST, port)) == 0


def _parser() -> _Parser:
    parser = _Parser(
        prog="run-demo.sh",
        description="A crowd on this machine: an origin, a tracker and N peers play one film. "
        "One page opens in your browser, silent viewers play through the other peers.",
        epilog="Ctrl-C, or S seconds, stops all. A film that you cut with ./segment.sh VIDEO is "
        "played; --video names another, and without either a test film is made once.",
    )
    parser.add_argument("peers", type=int, metavar="N", help="how many peers")
    parser.add_argument(
        "--no-browser", action="store_true", help="open no page: a viewer plays on peer 1 too"
    )
    parser.add_argument("--no-viewers", action="store_true", help="start no silent viewers")
    parser.add_argument("--video", type=Path, metavar="FILE", help="the film to play")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after S seconds")
    parser.add_argument("--keep-cache", action="store_true", help="let peers keep what they had")
    ports = (
        ("origin", 9000, "the origin's port"),
        ("tracker", 7000, "the tracker's port"),
        ("peer", 8001, "peer 1's port; the others follow it"),
    )
    for name, default, text in ports:
        parser.add_argument(
            f"--{name}-port", type=int, default=default, metavar="PORT", help=f"{text} ({default})"
        )
    parser.add_argument(
        "--state",
        type=Path,
        default=DEFAULT_STATE,
        metavar="DIR",
        help="where logs, caches and the summary go (demo/)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and say; see the module's first lines for the exit status."""
    try:
        options = parse(arguments)
        taken = taken_ports(options)
    except PermissionError as error:
        taken = [f"run-demo.sh: {error}"]
    except SystemExit as ended:
        return HELP_SHOWN if ended.code == 0 else int(ended.code or 0)
    if taken:
        print("\n".join(taken), "Nothing was started.", sep="\n", file=sys.stderr)
    return 1 if taken else 0


if __name__ == "__main__":
    sys.exit(main())
