"""The headless viewer's patience: a file that does not come is asked for again, and noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.task import deferLater

from dashp2p.lab.download import Download, Downloader, DownloadError

RETRY_S = 1.0


@define(eq=False)
class PatientLoader:
    """`heed` gets the headers of each answer that was no file, as of any other."""

    reactor: Any
    loader: Downloader
    heed: Callable[[Mapping[str, str]], object]
    begun_at: float
    refusals: list[dict[str, Any]] = field(factory=list)
    """What was asked for in vain: when, in seconds since `begun_at`, with which answer how soon."""

    async def get(self, path: str, query: str, retries: int, keep: bool = False) -> Download:
        """A whole file. Raises DownloadError when it did not come at the last try either."""
        while True:
            asked_at = self.reactor.seconds()
            try:
                return await self.loader.get(path, query, keep)
            except DownloadError as error:
                self._note(path, error, asked_at)
                self.heed(error.headers)
                if not retries:
                    raise
            retries -= 1
            await deferLater(self.reactor, RETRY_S)

    def _note(self, path: str, error: DownloadError, asked_at: float) -> None:
        self.refusals.append(
            {
                "path": path,
                "status": error.status,
                "asked_s": round(asked_at - self.begun_at, 4),
                "took_s": round(self.reactor.seconds() - asked_at, 4),
                "cmsd": error.headers.get("cmsd-dynamic"),
            }
        )
