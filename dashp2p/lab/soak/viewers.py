"""Viewers that watch a film over and over, all in one process: `... FILM-URL FILM-URL ...`.

Prints a line of JSON when it is told to end (SIGTERM): films begun, broken off, stalls. One whose
peer is gone tries again, as a player's user would.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from dashp2p.lab.viewer import PlayError, Viewer

BUFFER_S = 12.0
AGAIN_S = 1.0


@define
class Count:
    """Of all viewers together."""

    films: int = 0
    broken: int = 0
    segments: int = 0
    media_bytes: int = 0


async def _watch(reactor: Any, url: str, name: str, count: Count) -> None:
    while True:
        viewer = Viewer(reactor, url, name, BUFFER_S, tells=True, heeds=True)
        count.films += 1
        try:
            await viewer.play()
        except CancelledError:
            return
        except PlayError:
            count.broken += 1
        finally:
            count.segments += len(viewer.segments)
            count.media_bytes += viewer.bytes_total
            await viewer.close()
        await deferLater(reactor, AGAIN_S)


async def _run(reactor: Any, urls: list[str]) -> None:
    count = Count()

    def tell() -> None:
        told = {name: getattr(count, name) for name in Count.__annotations__}
        print(json.dumps(told), flush=True)

    reactor.addSystemEventTrigger("before", "shutdown", tell)
    watching = [
        Deferred.fromCoroutine(_watch(reactor, url, f"soak-{number}", count))
        for number, url in enumerate(urls)
    ]
    for one in watching:
        await one


def main() -> None:
    """See the module."""
    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, sys.argv[1:])))


if __name__ == "__main__":
    main()
