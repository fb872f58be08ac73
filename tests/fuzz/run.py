"""Fuzz one reader, for as long as you like.

    python -m tests.fuzz.run frames --seconds 600
    python -m tests.fuzz.run mpd --seconds 60 --engine plain
    python -m tests.fuzz.run frames --input crash-0123abcd    run one input again

With atheris (Linux on x86-64, in requirements/tests.txt) the search follows coverage; without it,
inputs are mutated blindly. Exits 1 on a crash, whose input stays in a file; the last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MEMORY_MB = 1024
INPUT_S = 10
"""An input that takes longer is a fault too."""


def have_atheris() -> bool:
    """Whether the search can follow coverage here."""
    try:
        importlib.import_module("atheris")
    except ImportError:
        return False
    return True


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", help="frames, index, signature, mpd, range, cmcd or tracker")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--engine", choices=("auto", "atheris", "plain"), default="auto")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="a folder of inputs, read and added to")
    parser.add_argument("--input", type=Path, help="run this one input and nothing else")
    return parser.parse_args(argv)


def _report(name: str, engine: str, executions: int, took_s: float, crashed: bool) -> int:
    result = {
        "target": name,
        "engine": engine,
        "executions": executions,
        "seconds": round(took_s, 1),
        "crashed": crashed,
    }
    print(json.dumps(result), flush=True)
    return 1 if crashed else 0


def _plain(harness: Any, options: argparse.Namespace) -> int:
    from tests.fuzz import mutations

    began_at = time.monotonic()
    try:
        done = mutations.run(
            harness.check,
            harness.seeds(),
            harness.max_bytes,
            seed=options.seed,
            seconds=options.seconds,
        )
    except AssertionError as error:
        print(error, file=sys.stderr)
        return _report(options.name, "plain", 0, time.monotonic() - began_at, True)
    return _report(options.name, "plain", done, time.monotonic() - began_at, False)


def _atheris(options: argparse.Namespace) -> int:
    """Ends the process itself: libFuzzer would, and without a word."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["dashp2p"]):
        harness = _harness(options.name)
    if harness is None:
        return 2
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus: Path = options.corpus or scratch
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(harness.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    began_at = time.monotonic()
    done = 0

    def end(crashed: bool) -> int:
        shutil.rmtree(scratch, ignore_errors=True)
        return _report(options.name, "atheris", done, time.monotonic() - began_at, crashed)

    def check(data: bytes) -> None:
        nonlocal done
        done += 1
        try:
            harness.check(data)
        except BaseException:
            end(True)
            raise
        if time.monotonic() - began_at > options.seconds:
            os._exit(end(False))

    limits = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={INPUT_S}", f"-max_len={harness.max_bytes}"]
    quiet = ["-verbosity=0", f"-seed={options.seed}"]
    atheris.Setup([sys.argv[0], *limits, *quiet, str(corpus)], check)
    atheris.Fuzz()
    return end(True)


def _harness(name: str) -> Any:
    from tests.fuzz.harnesses import HARNESSES

    if name not in HARNESSES:
        print(f"no target {name}: one of {', '.join(HARNESSES)}", file=sys.stderr)
    return HARNESSES.get(name)


def main(argv: list[str] | None = None) -> int:
    """What the command does; its exit code."""
    options = _arguments(argv)
    if options.input is None and options.engine != "plain" and have_atheris():
        return _atheris(options)
    if options.engine == "atheris":
        print("atheris is not installed: it has no wheel for this machine", file=sys.stderr)
        return 2
    harness = _harness(options.name)
    if harness is None:
        return 2
    if options.input is not None:
        harness.check(options.input.read_bytes())
        return 0
    return _plain(harness, options)


if __name__ == "__main__":
    sys.exit(main())
