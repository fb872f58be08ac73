"""The $Identifiers$ in the names of a SegmentTemplate (ISO/IEC 23009-1, 5.3.9.4.4)."""

import re
from collections.abc import Mapping
from typing import Final

from dashp2p.content import limits

__all__ = ["TemplateRefused", "expand"]

_IDENTIFIER: Final = re.compile(r"([A-Za-z]*)(?:%0?(\d{1,2})d)?\Z", re.ASCII)
WIDTH_MAX_DIGITS: Final = 20


class TemplateRefused(Exception):  # noqa: N818 - it says what happened
    """A template cannot be expanded."""


def expand(template: str, values: Mapping[str, str | int]) -> str:
    """Replace each `$Name$` or `$Name%05d$` in `template`; `$$` is a dollar sign.

    A width goes with a number only. Raises TemplateRefused for a name that `values` lacks and for
    anything malformed or too long.
    """
    if len(template) > limits.PATH_MAX_CHARS:
        raise TemplateRefused("a template is too long")
    parts = template.split("$")
    if len(parts) % 2 == 0:
        raise TemplateRefused("a template has an odd number of dollar signs")
    for position in range(1, len(parts), 2):
        parts[position] = _replacement(parts[position], values)
    return "".join(parts)


def _replacement(identifier: str, values: Mapping[str, str | int]) -> str:
    if not identifier:
        return "$"
    match = _IDENTIFIER.match(identifier)
    value = None if match is None else values.get(match[1])
    if match is None or value is None:
        raise TemplateRefused(f"a template has the unknown identifier {identifier[:32]!r}")
    if match[2] is None:
        return str(value)
    width = int(match[2])
    if not isinstance(value, int) or width > WIDTH_MAX_DIGITS:
        raise TemplateRefused("a template gives a width that cannot be used")
    return f"{value:0{width}d}"
