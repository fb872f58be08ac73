"""What a peer learns of addresses and keeps across restarts: small JSON files beside its cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import define, field
from twisted.logger import Logger

from dashp2p.content.atomic import write_atomically

log = Logger()
Value = TypeVar("Value")


@define(eq=False)
class Remembered(Generic[Value]):
    """Values by address, at most `most`: who was learned of first is forgotten first.

    `file` None: for this run only. `read` raises anything that a wrong document provokes; `what` is
    for the log.
    """

    file: Path | None
    most: int
    read: Callable[[Any], Value]
    to_json: Callable[[Value], object]
    what: str
    _values: dict[str, Value] = field(factory=dict)

    def load(self) -> None:
        """Read what earlier runs learned. A file that cannot be read counts as none."""
        if self.file is None or not self.file.exists():
            return
        try:
            told = json.loads(self.file.read_bytes())
            self._values = {str(url): self.read(value) for url, value in told.items()}
        except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
            log.warn("{what} cannot be read: learned anew: {why!r}", what=self.what, why=error)

    def get(self, url: str) -> Value | None:
        """What is known of that address."""
        return self._values.get(url)

    def learn(self, url: str, value: Value) -> None:
        """Remember it, as the latest."""
        self._values.pop(url, None)
        if len(self._values) >= self.most:
            self._values.pop(next(iter(self._values)))
        self._values[url] = value
        if self.file is None:
            return
        told = {known: self.to_json(one) for known, one in self._values.items()}
        try:
            write_atomically(self.file, json.dumps(told).encode())
        except OSError as error:
            log.warn("{what} cannot be kept: {why}", what=self.what, why=str(error))
