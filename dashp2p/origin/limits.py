"""Bounds of the origin on what strangers send and on what it counts (design D10)."""

from __future__ import annotations

from typing import Final

MAX_DEPTH: Final = 16
"""Folders in a path that is asked for."""
MAX_NAME_BYTES: Final = 255
"""Of each of them."""
MAX_DISTINCT_FILES: Final = 1 << 18
"""Of so many files it is remembered that they were served; later ones add no distinct bytes."""
