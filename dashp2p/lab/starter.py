"""Have a program imported and ready, and run it at a moment that someone else gives.

Twenty Python programs that start at once keep two cores busy for seconds; what is measured then is
their import. `python -m dashp2p.lab.starter --import dashp2p.lab.viewer dashp2p.lab.viewer ARGS...`
imports, prints one line, waits for a line on stdin with the time to begin (seconds since the
epoch), then runs the module as `python -m` would. With --listening HOST:PORT it begins as soon
after that time as something accepts connections there, which is how a player behaves whose peer
is just starting.
"""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import socket
import sys
import time

READY = "ready"
_STDIN = 0
_RETRY_S = 0.02
_LISTEN_TIMEOUT_S = 60.0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dashp2p.lab.starter", description=__doc__)
    parser.add_argument("--import", dest="imports", action="append", default=[], metavar="MODULE")
    parser.add_argument("--listening", metavar="HOST:PORT")
    parser.add_argument("module")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    for name in options.imports:
        importlib.import_module(name)
    await_beginning()
    if options.listening:
        await_listening(options.listening)
    sys.argv = [options.module, *options.rest]
    runpy.run_module(options.module, run_name="__main__", alter_sys=True)


def await_beginning() -> None:
    """Say that this program is ready, and return at the time that stdin then gives."""
    print(READY, flush=True)
    time.sleep(max(0.0, _read_time() - time.time()))


def _read_time() -> float:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(_STDIN, 1)
        if not byte:
            sys.exit("the run ended before this program was to begin")
        line += byte
    return float(line)


def await_listening(address: str) -> None:
    """Return once something accepts connections at HOST:PORT; SystemExit when nothing ever does."""
    host, _, port = address.rpartition(":")
    give_up = time.monotonic() + _LISTEN_TIMEOUT_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() > give_up:
                sys.exit(f"nothing listens on {address}")
            time.sleep(_RETRY_S)


if __name__ == "__main__":
    main()
