"""Fields of a JSON message from a stranger: exact types, bounded values, one kind of error."""

from __future__ import annotations

import json
import re
from typing import Any

from dashp2p.tracker.errors import Refused

VERSION = 1

_HEX_32 = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]+")

Fields = dict[str, Any]


def read_object(body: bytes, max_bytes: int) -> Fields:
    """The JSON object of a request's body, of a version that we speak. Raises Refused."""
    if len(body) > max_bytes:
        raise Refused(f"send at most {max_bytes} bytes; this call has {len(body)}", 413)
    try:
        fields = json.loads(body)
    except RecursionError:
        raise Refused("send JSON that is nested less deeply") from None
    except ValueError:  # bad UTF-8, bad JSON and numbers of thousands of digits alike
        raise Refused("send a JSON object in UTF-8") from None
    if type(fields) is not dict:
        raise Refused("send a JSON object")
    version = fields.get("v")
    if type(version) is not int or version != VERSION:
        raise Refused(f'send "v":{VERSION}; this tracker speaks no other version')
    return fields


def identity(fields: Fields, name: str) -> bytes:
    """A swarm's, a peer's or a key's 32 bytes."""
    return hex_32(fields.get(name), name)


def hex_32(value: object, name: str) -> bytes:
    if type(value) is not str or not _HEX_32.fullmatch(value):
        raise Refused(f'send "{name}" as 64 lower-case hex digits')
    return bytes.fromhex(value)


def integer(fields: Fields, name: str, low: int, high: int, default: int | None = None) -> int:
    """An int from `low` to `high`; true is none. Without a default it must be there."""
    value = fields.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise Refused(f'send "{name}" as a whole number from {low} to {high}')
    return value


def number(value: object, name: str, limit: float) -> float:
    """A finite number of at most `limit`, either way of zero."""
    # Compared, not converted: no float holds every int. Of nan no comparison is true.
    if (type(value) is not int and type(value) is not float) or not -limit <= value <= limit:
        raise Refused(f'send "{name}" as a number of at most {limit:g}')
    return value


def flag(fields: Fields, name: str) -> bool:
    value = fields.get(name, False)
    if type(value) is not bool:
        raise Refused(f'send "{name}" as true or false')
    return value


def items(fields: Fields, name: str, most: int) -> list[Any]:
    """A list of at most `most` items; empty where it is absent."""
    value = fields.get(name)
    if value is None:
        return []
    if type(value) is not list or len(value) > most:
        raise Refused(f'send "{name}" as a list of at most {most} items')
    return value


def objects(fields: Fields, name: str, most: int) -> list[Fields]:
    found = items(fields, name, most)
    if any(type(item) is not dict for item in found):
        raise Refused(f'send "{name}" as a list of objects')
    return found


def text(value: object, name: str, most: int) -> str:
    """Printable ASCII of 1 to `most` characters."""
    if (
        type(value) is not str
        or not 0 < len(value) <= most
        or not (value.isascii() and value.isprintable())
    ):
        raise Refused(f'send "{name}" as 1 to {most} printable ASCII characters')
    return value


def block_set(value: object, name: str, blocks: int) -> int:
    """A bitmask in hex, bit i for block i, that names at least one of `blocks` blocks."""
    digits = (blocks + 3) // 4
    if type(value) is not str or len(value) > digits or not _HEX.fullmatch(value):
        raise Refused(f'send "{name}" as 1 to {digits} lower-case hex digits')
    mask = int(value, 16)
    if not 0 < mask < 1 << blocks:
        raise Refused(f'send "{name}" with at least one of the {blocks} blocks and no other')
    return mask
