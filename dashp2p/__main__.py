"""`dashp2p COMMAND`, also `python -m dashp2p COMMAND`. The daemons are twistd's: see README.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dashp2p import __version__
from dashp2p.doctor import command as doctor

USAGE = """\
Usage: dashp2p doctor [options]    what this machine lacks, and how to get it
       dashp2p --version

The daemons: twistd -n --pidfile= dashp2p-origin, dashp2p-tracker or dashp2p-peer, each with --help.
Films:       python -m dashp2p.content.segment VIDEO FOLDER
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] == "doctor":
        return doctor.main(given[1:])
    if given in (["--version"], ["-V"]):
        print(f"dashp2p {__version__}")
        return 0
    if given and not given[0].startswith("-"):
        print(f"dashp2p: there is no command {given[0]}", file=sys.stderr)
    asked = given in (["--help"], ["-h"])
    print(USAGE, end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())
