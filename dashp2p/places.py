"""Where what came with the program lies, in a checkout and beside an installed wheel."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = "client.html"


def client_folder() -> Path | None:
    """The folder of the player page, with the pages' libraries in vendor/; None: not installed."""
    places = (
        Path(__file__).resolve().parents[1] / "public" / "client",
        Path(sys.prefix) / "share" / "dashp2p" / "client",
    )
    return next((place for place in places if (place / PAGE).is_file()), None)
