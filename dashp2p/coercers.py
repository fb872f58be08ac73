"""What an option's text may look like, and the value it becomes.

Each function takes the text that a person typed and returns the typed value, or raises ValueError
with a sentence that says what was expected. `coerceDoc` is what `--help` prints about the form.
Split from `dashp2p.options`, which says where the text comes from.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

MAX_TEXT_CHARS = 4096
"""The longest option or variable that is looked at: a path or an endpoint string fits easily."""

MAX_SIZE_BYTES = 1 << 60
MAX_RATE_BPS = 10**15
MAX_DURATION_S = 10.0 * 365 * 86400

_NUMBER = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")
_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZES |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_RATES = {"": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_DURATIONS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_TCP_PORT = re.compile(r"(?:tcp6?|ssl|tls):(?:port=)?([^:]*)")

Coerced = TypeVar("Coerced", covariant=True)


class Coercer(Protocol[Coerced]):
    """A function from an option's text to its value; ValueError says what was expected."""

    def __call__(self, text: str, /) -> Coerced: ...


def documented(doc: str) -> Callable[[Callable[[str], Coerced]], Callable[[str], Coerced]]:
    """Says of a coercer what `--help` prints about the form that it takes."""

    def mark(coerce: Callable[[str], Coerced]) -> Callable[[str], Coerced]:
        coerce.coerceDoc = doc  # type: ignore[attr-defined]  # the name that twisted.usage reads
        return coerce

    return mark


def _scaled(text: str, units: dict[str, float] | dict[str, int], expected: str) -> float:
    match = _NUMBER.fullmatch(text.strip())
    unit = None if match is None else units.get(match.group(2).lower())
    if match is None or unit is None:
        raise ValueError(f"{_shown(text)} is not {expected}")
    number = match.group(1)
    # A whole number stays an int: 2^53 bytes and more must not be rounded by a float.
    return (float(number) if "." in number else int(number)) * unit


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


@documented("a number of bytes, or with kB, MB, GB, KiB, MiB, GiB, TiB")
def byte_size(text: str) -> int:
    """'2GiB' -> 2147483648; '500MB' -> 500000000; '4096' -> 4096."""
    size = _scaled(text, _SIZES, "a size; write bytes or a number with MB, MiB or GiB, as in 2GiB")
    if size > MAX_SIZE_BYTES:
        raise ValueError(f"{_shown(text)} is more than any disk holds")
    return int(size)


@documented("bits per second, or with kbit, Mbit, Gbit")
def bit_rate(text: str) -> int:
    """'20Mbit' -> 20000000 bits per second; '800kbit', '2.5Mbit' and a plain number work too."""
    plain = re.sub(r"(?i)(bit)(?:/s|ps)$", r"\1", text.strip())
    rate = _scaled(plain, _RATES, "a rate; write a number with kbit, Mbit or Gbit, as in 20Mbit")
    if rate > MAX_RATE_BPS:
        raise ValueError(f"{_shown(text)} is more than any network carries")
    return int(rate)


@documented("seconds, or with ms, s, m, h, d")
def duration(text: str) -> float:
    """'30s' -> 30.0 seconds; '10m' -> 600.0; '500ms' -> 0.5; '2h', '1d' and plain seconds."""
    seconds = _scaled(text, _DURATIONS, "a duration; write a number with ms, s, m, h or d, as 10m")
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{_shown(text)} is longer than ten years")
    return float(seconds)


@documented("yes or no")
def truth(text: str) -> bool:
    """The environment's form of a flag: 1, true, yes, on; 0, false, no, off."""
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{_shown(text)} is neither yes nor no; write 1 or 0")


def integer(minimum: int, maximum: int) -> Coercer[int]:
    """A coercer for whole numbers from `minimum` to `maximum`, both included."""

    @documented(f"a whole number from {minimum} to {maximum}")
    def coerce(text: str) -> int:
        if not re.fullmatch(r"\s*-?[0-9]{1,18}\s*", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"{_shown(text)} is not a whole number from {minimum} to {maximum}")
        return int(text)

    return coerce


def number(minimum: float, maximum: float) -> Coercer[float]:
    """A coercer for numbers from `minimum` to `maximum`, both included."""

    @documented(f"a number from {minimum:g} to {maximum:g}")
    def coerce(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not minimum <= value <= maximum:  # also refuses nan
            raise ValueError(f"{_shown(text)} is not a number from {minimum:g} to {maximum:g}")
        return value

    return coerce


def choice(*words: str) -> Coercer[str]:
    """A coercer for one of a few words."""

    @documented("one of " + ", ".join(words))
    def coerce(text: str) -> str:
        if text.strip() not in words:
            raise ValueError(f"{_shown(text)} is not one of {', '.join(words)}")
        return text.strip()

    return coerce


def _endpoint(text: str, bare_port: str) -> str:
    text = text.strip()
    if text.isascii() and text.isdigit():
        text = bare_port.format(text)
    match = _TCP_PORT.match(text)
    if match is not None and not (match.group(1).isdigit() and int(match.group(1)) <= 65535):
        raise ValueError(f"{_shown(text)} names no port from 0 to 65535; write tcp:9000")
    # Imported here: twistd has chosen its reactor by the time that options are coerced.
    from twisted.internet import reactor
    from twisted.internet.endpoints import serverFromString

    try:
        serverFromString(reactor, text)
    except (ValueError, TypeError, LookupError, OSError) as error:
        raise ValueError(
            f"{_shown(text)} is not an endpoint ({error}); write tcp:9000, or "
            "tcp:9000:interface=127.0.0.1 for this machine only"
        ) from error
    return text


@documented("a Twisted endpoint such as tcp:9000 or tcp:9000:interface=127.0.0.1; a bare port too")
def endpoint(text: str) -> str:
    """A server endpoint string, checked; '9000' becomes 'tcp:9000' (all interfaces)."""
    return _endpoint(text, "tcp:{}")


@documented("a Twisted endpoint such as tcp:8001:interface=127.0.0.1; a bare port is loopback's")
def local_endpoint(text: str) -> str:
    """As `endpoint`, but a bare port listens on 127.0.0.1 only."""
    return _endpoint(text, "tcp:{}:interface=127.0.0.1")


@documented("a folder that can be read")
def readable_directory(text: str) -> Path:
    """An existing folder, made absolute; links are kept, for a root may be swapped by rename."""
    path = _path(text)
    if not path.is_dir():
        raise ValueError(f"{_shown(text)} is not a folder" if path.exists() else _missing(text))
    if not os.access(path, os.R_OK | os.X_OK):
        raise ValueError(f"the folder {_shown(text)} cannot be read; check its permissions")
    return path


@documented("a folder; it is made when missing")
def directory_to_fill(text: str) -> Path:
    """A folder that may be missing.

    Whether it can be written shows later, and may change: a disk that fails is no bad option.
    """
    path = _path(text)
    nearest = path
    while not os.path.exists(nearest):  # Path's own raises where one may not look
        nearest = nearest.parent
    if not nearest.is_dir():
        raise ValueError(f"{_shown(text)} is not a folder")
    return path


@documented("a file that can be read")
def readable_file(text: str) -> Path:
    """An existing file, made absolute."""
    path = _path(text)
    if not path.is_file():
        raise ValueError(f"{_shown(text)} is not a file" if path.exists() else _missing(text))
    if not os.access(path, os.R_OK):
        raise ValueError(f"the file {_shown(text)} cannot be read; check its permissions")
    return path


@documented("a file; it is made when missing")
def file_to_keep(text: str) -> Path:
    """A file that the daemon reads, or makes in a folder that exists and can be written."""
    path = _path(text)
    if path.exists():
        return readable_file(text)
    if not path.parent.is_dir():
        raise ValueError(f"the folder of {_shown(text)} does not exist")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(f"the folder of {_shown(text)} cannot be written; check its permissions")
    return path


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise ValueError(f"{_shown(text)} is not a path")
    return Path(os.path.abspath(os.path.expanduser(text)))


def _missing(text: str) -> str:
    return f"{_shown(text)} does not exist"


@documented("an http or https URL without user name or query")
def http_url(text: str) -> str:
    """A base URL without its last slash: 'http://host:9000/dash/' -> 'http://host:9000/dash'."""
    text = text.strip()
    example = "write one such as http://origin.example:9000/dash"
    if not text.isascii() or re.search(r"[\x00-\x20\\\"<>^`{|}\x7f]", text):
        raise ValueError(f"{_shown(text)} is not a URL; {example}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is not a URL ({error}); {example}") from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"{_shown(text)} is not an http or https URL; {example}")
    if "@" in parts.netloc:
        # Not shown: what stands before the @ is a password.
        raise ValueError(f"a URL with a user name or password is not taken; {example}")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError(f"{_shown(text)} has a query or fragment; {example}")
    _check_host(host)
    return text.rstrip("/")


@documented("an origin as browsers name it: https://site.example or http://10.0.0.5:8000")
def web_origin(text: str) -> str:
    """Scheme, host and port only, lower case, as a browser's Origin header has it."""
    url = http_url(text)
    parts = urlsplit(url)
    if parts.path:
        raise ValueError(f"{_shown(text)} has a path; write only scheme, host and port")
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


@documented("a host name or address, without port")
def host_name(text: str) -> str:
    """A host name, IPv4 or IPv6 address in lower case; IPv6 without brackets."""
    host = text.strip().lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    _check_host(host)
    return host.rstrip(".")


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if len(host) > 253 or not _HOST_NAME.fullmatch(host) or host.strip(".").isdigit():
            raise ValueError(f"{_shown(host)} is not a host name or address") from None


@documented("an IPv4 or IPv6 address")
def ip_address(text: str) -> str:
    """An address in its usual short form."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"{_shown(text)} is not an IPv4 or IPv6 address") from None


@documented("64 hexadecimal digits")
def hex_key(text: str) -> bytes:
    """A 32-byte key written as 64 hexadecimal digits."""
    word = text.strip()
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", word):
        raise ValueError(f"{_shown(text)} is not a key of 64 hexadecimal digits")
    return bytes.fromhex(word)


@documented("text")
def text(text: str) -> str:
    """Any text, as typed."""
    return text
