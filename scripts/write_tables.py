"""Write the tables of options and metrics into docs/operations.md; see COMMAND below.

The options are those of the daemons' Options classes, the metrics those that the three daemons
answer on /metrics when they have just started (names and help texts don't depend on what happens).
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dashp2p.options import DaemonOptions, Option
from dashp2p.origin.tap import Options as OriginOptions
from dashp2p.peer.tap import Options as PeerOptions
from dashp2p.tracker.tap import Options as TrackerOptions

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "operations.md"
COMMAND = ".venv/bin/python scripts/write_tables.py"
DAEMONS: tuple[type[DaemonOptions], ...] = (OriginOptions, TrackerOptions, PeerOptions)
START_S = 60.0
_LOOK_EVERY_S = 0.1
_TWISTD = "from twisted.scripts.twistd import run; run()"
_FAMILY = re.compile(r"^# HELP (\S+) (.*)\n# TYPE \S+ (\w+)$", re.MULTILINE)


def options_table() -> str:
    """Every option of the three daemons; those that all have come first."""
    common = {row.name for row in DaemonOptions.options}
    parts = ["Every daemon:\n\n" + _rows(DaemonOptions.options)]
    for daemon in DAEMONS:
        own = [row for row in daemon.table() if row.name not in common]
        parts.append(f"`{daemon.program}`:\n\n" + _rows(own))
    return "\n\n".join(parts)


def _rows(options: tuple[Option, ...] | list[Option]) -> str:
    lines = ["| option | default | what for | environment |", "|---|---|---|---|"]
    for row in options:
        variables = ", ".join(f"`{name}`" for name in row.all_variables)
        lines.append(f"| `--{row.name}` | {_default(row)} | {_cell(_purpose(row))} | {variables} |")
    return "\n".join(lines)


def _default(row: Option) -> str:
    if row.required:
        return "needed"
    return f"`{row.default}`" if row.default else "off" if row.flag else ""


def _purpose(row: Option) -> str:
    form = f" {row.form[0].upper()}{row.form[1:]}." if row.form not in ("", "text") else ""
    repeat = " May be given several times." if row.repeat else ""
    return f"{row.help}{form}{repeat}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def metrics_table() -> str:
    """Every metric of our own, by daemon. Starts the daemons."""
    with tempfile.TemporaryDirectory(prefix="dashp2p-tables-") as folder, ExitStack() as running:
        urls = [running.enter_context(_daemon(daemon.program, Path(folder))) for daemon in DAEMONS]
        texts = [_fetch(f"{url}/metrics") for url in urls]
    lines = ["| metric | kind | what it counts |", "|---|---|---|"]
    for text in texts:
        for name, help_text, kind in _FAMILY.findall(text):
            if name.startswith("dashp2p_"):
                lines.append(f"| `{name}` | {kind} | {_cell(help_text)} |")
    return "\n".join(lines)


@contextmanager
def _daemon(program: str, folder: Path) -> Iterator[str]:
    """A daemon that serves and knows nothing; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", program]
    command += ["--listen", f"tcp:{port}:interface=127.0.0.1"]
    if program == OriginOptions.program:
        command += ["--root", str(folder)]
    if program == PeerOptions.program:
        command += ["--cache", str(folder / "cache"), "--exchange", "tcp:0:interface=127.0.0.1"]
        command += ["--origin", "http://127.0.0.1:9/dash"]
    log = folder / f"{program}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**_environment(), "XDG_CONFIG_HOME": str(folder)},  # where a tracker keeps its key
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait()


def _environment() -> dict[str, str]:
    """Without the options that somebody's shell has set for daemons of their own."""
    variables = {name for daemon in DAEMONS for row in daemon.table() for name in row.all_variables}
    return {name: value for name, value in os.environ.items() if name not in variables}


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            _fetch(f"{url}/healthz")
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")) from error
        time.sleep(_LOOK_EVERY_S)


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def tables() -> dict[str, str]:
    """Each table by the name that its place in the page has."""
    return {"options": options_table(), "metrics": metrics_table()}


def with_table(page: str, name: str, table: str) -> str:
    """The page with one table put in its place. ValueError where the page has no place for it."""
    begin, end = f"<!-- {name}: {COMMAND} -->", f"<!-- end of {name} -->"
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{PAGE.name} has no place for the table of {name}: {begin} ... {end}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def main() -> int:
    """Write the page anew."""
    page = PAGE.read_text()
    for name, table in tables().items():
        page = with_table(page, name, table)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
