"""Makes a token that admits to a tracker: python -m dashp2p.tracker.token --help."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dashp2p.coercers import duration, hex_key
from dashp2p.content.index import SIGNATURE_NAME, IndexRefused, IndexSignature
from dashp2p.content.keys import KeyRefused, load_or_create_key, public_bytes, signing_key_path
from dashp2p.content.tickets import sign_token

SIGNATURE_MAX_BYTES = 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a token, or the public key that the tracker checks it by."""
    options = _parser().parse_args(arguments)
    try:
        key = load_or_create_key(options.key or signing_key_path())
        if options.show_key:
            print(public_bytes(key).hex())
            return
        swarm = options.swarm if options.folder is None else _swarm_of(options.folder)
    except (KeyRefused, IndexRefused, OSError) as error:
        sys.exit(f"dashp2p.tracker.token: {error}")
    print(sign_token(key, swarm, time.time(), options.valid))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dashp2p.tracker.token",
        description="Prints a token. Whoever has it may take part where the tracker was started "
        "with --admission token and this key's public half (--show-key) as --admission-key.",
    )
    films = parser.add_mutually_exclusive_group()
    films.add_argument("--folder", type=Path, help="for the film published in this folder only")
    films.add_argument(
        "--swarm", type=_checked(hex_key), metavar="HEX", help="for this swarm only; else for all"
    )
    parser.add_argument(
        "--valid", type=_checked(duration), default="30d", help="how long: 12h, 30d (default)"
    )
    parser.add_argument(
        "--key", type=Path, help="the owner's key; without it the one that signs the films"
    )
    parser.add_argument("--show-key", action="store_true", help="print the public key only")
    return parser


def _checked(coerce: Callable[[str], object]) -> Callable[[str], object]:
    """argparse hides the text of a ValueError, but shows that of its own error."""

    def check(text: str) -> object:
        try:
            return coerce(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return check


def _swarm_of(folder: Path) -> bytes:
    with (folder / SIGNATURE_NAME).open("rb") as file:
        return IndexSignature.parse(file.read(SIGNATURE_MAX_BYTES)).swarm_id


if __name__ == "__main__":
    main()
