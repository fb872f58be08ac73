"""A target and what it came to."""

from __future__ import annotations

from attrs import frozen


@frozen
class Check:
    """One target: what it is, what it came to, and whether it holds (None: could not be told)."""

    name: str
    target: str
    value: str
    good: bool | None
