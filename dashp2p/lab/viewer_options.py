"""The headless viewer's command line."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from dashp2p.coercers import http_url


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dashp2p.lab.viewer",
        description="Play a DASH film without showing it, and report how it went.",
    )
    parser.add_argument("url", help="e.g. http://127.0.0.1:8001/dash/dash.mpd")
    parser.add_argument("--buffer", type=float, default=12.0, metavar="S", help="default 12")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--id", default="viewer", type=_name, help="a name, also CMCD's session id")
    parser.add_argument("--cmcd", action="store_true", help="tell the server what is needed when")
    parser.add_argument("--cmsd", action="store_true", help="heed what the server advises")
    parser.add_argument(
        "--report-to",
        type=_url,
        metavar="URL",
        help="post CMCD events there as it plays, e.g. http://127.0.0.1:8001/cmcd",
    )
    parser.add_argument(
        "--most",
        type=float,
        metavar="BPS",
        help="the highest bitrate of the picture that is wanted, whatever the line carries",
    )
    parser.add_argument(
        "--from-first-byte",
        action="store_true",
        help="measure throughput from the first byte on, as dash.js does, not from the request",
    )
    parser.add_argument(
        "--verify-against", type=Path, metavar="FOLDER", help="compare each file with that folder's"
    )
    return parser.parse_args(arguments)


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,64}", text, re.ASCII):
        raise argparse.ArgumentTypeError("up to 64 letters, digits and any of . _ -")
    return text


def _url(text: str) -> str:
    try:
        return http_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
