"""Open a page in the browser of whoever sits in front of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

WINDOWS_DRIVE = Path("/mnt/c")
"""Where WSL puts it: cmd.exe complains about any current folder that Windows can't name."""
_CMD = WINDOWS_DRIVE / "Windows" / "System32" / "cmd.exe"


def opener(
    url: str,
    environ: Mapping[str, str] = os.environ,
    system: str = platform.system(),
    release: str = platform.release(),
    which: Callable[[str], str | None] = shutil.which,
) -> list[str] | None:
    """The command that opens the page, or None where there is no screen to open it on."""
    if system == "Darwin":
        return ["open", url]
    if "microsoft" in release.lower():  # WSL: Windows' browser, which shares our loopback
        cmd = which("cmd.exe") or (str(_CMD) if _CMD.exists() else None)
        # start takes its first quoted argument for a title.
        return [cmd, "/c", "start", "", url] if cmd else None
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        found = which("xdg-open")
        return [found, url] if found else None
    return None


def open_page(url: str) -> bool:
    """Open it without waiting; False where that can't be done. It stays when the demo ends."""
    command = opener(url)
    if command is None:
        return False
    try:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=WINDOWS_DRIVE if WINDOWS_DRIVE.is_dir() else None,
            start_new_session=True,
        )
    except OSError:
        return False
    return True
