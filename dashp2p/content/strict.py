"""Reading of JSON from strangers: exact types, bounded numbers, no doubled keys, one error."""

import json
import re
from typing import Any, Final, NoReturn

from dashp2p.content import limits

__all__ = ["IndexRefused", "integer", "lower_hex", "number", "parse_object", "sequence", "text"]

_LOWER_HEX: Final = re.compile(r"[0-9a-f]*\Z")


class IndexRefused(Exception):  # noqa: N818 - it says what happened
    """An index or its signature cannot be used. `reason` is one line for a log or an operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_object(raw: bytes, what: str, max_bytes: int) -> dict[str, Any]:
    """The JSON object in `raw` (UTF-8, at most `max_bytes`). Raises IndexRefused."""
    if len(raw) > max_bytes:
        raise IndexRefused(f"{what} has {len(raw)} bytes, the limit is {max_bytes}")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer_text,
            parse_constant=_constant,
        )
    except RecursionError:
        raise IndexRefused(f"{what} is nested too deeply") from None
    except ValueError as error:  # bad UTF-8 and bad JSON alike
        raise IndexRefused(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise IndexRefused(f"{what} is not a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise IndexRefused("a JSON object names a key twice")
    return result


def _integer_text(digits: str) -> int:
    # Before the conversion: it takes quadratic time on the Pythons that don't bound it themselves.
    if len(digits) > limits.INTEGER_MAX_DIGITS:
        raise IndexRefused("a number has too many digits")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise IndexRefused(f"{name} is no number")


def integer(value: object, what: str, low: int, high: int) -> int:
    """`value` if it is an int (a bool is none) from `low` to `high`."""
    if type(value) is not int:
        raise IndexRefused(f"{what} is not an integer")
    if not low <= value <= high:
        raise IndexRefused(f"{what} is {value}, not from {low} to {high}")
    return value


def number(value: object, what: str, low: float, high: float) -> float:
    """`value` as a float from `low` to `high` (so neither infinite nor NaN)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IndexRefused(f"{what} is not a number")
    result = float(value)
    if not low <= result <= high:
        raise IndexRefused(f"{what} is {result}, not from {low} to {high}")
    return result


def text(value: object, what: str, max_chars: int) -> str:
    """`value` if it is a string of at most `max_chars` printable ASCII characters."""
    if not isinstance(value, str):
        raise IndexRefused(f"{what} is not a string")
    if len(value) > max_chars:
        raise IndexRefused(f"{what} has {len(value)} characters, the limit is {max_chars}")
    if not (value.isascii() and value.isprintable()):
        raise IndexRefused(f"{what} has characters that are not printable ASCII")
    return value


def lower_hex(value: object, what: str, size_bytes: int) -> bytes:
    """The `size_bytes` bytes that the string `value` writes in lower-case hex."""
    if not isinstance(value, str) or len(value) != 2 * size_bytes or not _LOWER_HEX.match(value):
        raise IndexRefused(f"{what} is not {2 * size_bytes} lower-case hex digits")
    return bytes.fromhex(value)


def sequence(value: object, what: str, low: int, high: int) -> list[Any]:
    """`value` if it is a list of `low` to `high` items."""
    if not isinstance(value, list):
        raise IndexRefused(f"{what} is not a list")
    if not low <= len(value) <= high:
        raise IndexRefused(f"{what} has {len(value)} items, not from {low} to {high}")
    return value
