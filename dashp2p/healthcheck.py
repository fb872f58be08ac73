"""Whether the daemon of this container is alive: python -m dashp2p.healthcheck [URL]

Without a URL it asks 127.0.0.1 on the port of DASHP2P_LISTEN or PORT, or else on the daemons' usual
ones: in a container there is only one of them. For an image that has no curl; the standard library
alone, for it runs every few seconds.
"""

from __future__ import annotations

import http.client
import os
import re
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

USUAL_PORTS = (9000, 7000, 8001)
TIMEOUT_S = 3.0


def urls(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The addresses to ask, in their order."""
    if arguments:
        return [arguments[0]]
    told = re.search(
        r"(?:^|:)(\d+)\b", environ.get("DASHP2P_LISTEN", "") or environ.get("PORT", "")
    )
    ports = (int(told.group(1)),) if told else USUAL_PORTS
    return [f"http://127.0.0.1:{port}/healthz" for port in ports]


def is_alive(url: str) -> bool:
    """Whether an address answers with 200 in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """0: alive; 1: not."""
    given = sys.argv[1:] if arguments is None else arguments
    asked = urls(given, os.environ)
    if any(is_alive(url) for url in asked):
        return 0
    print(f"no daemon answers at {' or '.join(asked)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
