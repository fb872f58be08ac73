"""One row of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
MISSING = "missing"
"""Something that was asked for will not work."""
OPTIONAL = "optional"
"""Not as it should be, but nothing that was asked for needs it."""
BY_SET_UP = "set-up"
"""Not there yet; ./run-demo.sh and ./run-tests.sh bring it by themselves."""
STATES = (OK, MISSING, OPTIONAL, BY_SET_UP)


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, what was seen, and what mends it."""

    area: str
    """What it is for: "programs", "machine", "lab" or "network"."""
    subject: str
    state: str
    """One of STATES."""
    found: str
    cure: str = ""
    """A command or a sentence; empty where nothing is to be done."""
