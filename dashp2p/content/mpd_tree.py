"""An MPD as a tree of bounded size without a DTD, and the values of its attributes."""

import re
from typing import Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from dashp2p.content import limits

__all__ = ["NAMESPACE", "MpdRefused", "checked_integer", "duration_in_s", "integer", "parse_tree"]

NAMESPACE: Final = "{urn:mpeg:dash:schema:mpd:2011}"
_DURATION: Final = re.compile(
    r"P(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,8})M)?"
    r"(?:(?P<seconds>\d{1,10}(?:\.\d{1,9})?)S)?)?\Z",
    re.ASCII,
)
_DURATION_MAX_CHARS: Final = 64
_INTEGER: Final = re.compile(r"-?\d{1,18}\Z", re.ASCII)


class MpdRefused(Exception):  # noqa: N818 - it says what happened
    """An MPD cannot be used; the text is one line that says why."""


class _BoundedBuilder:
    """A target for the XML parser that counts before it builds."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > limits.MPD_MAX_DEPTH:
            raise MpdRefused(f"the MPD is nested more than {limits.MPD_MAX_DEPTH} deep")
        if self._elements > limits.MPD_MAX_ELEMENTS:
            raise MpdRefused(f"the MPD has more than {limits.MPD_MAX_ELEMENTS} elements")
        return self._builder.start(tag, attributes)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return self._builder.end(tag)

    def data(self, text: str) -> None:
        self._builder.data(text)

    def close(self) -> Element:
        return self._builder.close()


def parse_tree(raw: bytes) -> Element:
    """The root element of an MPD of at most MPD_MAX_BYTES. Raises MpdRefused."""
    if len(raw) > limits.MPD_MAX_BYTES:
        raise MpdRefused(f"the MPD has {len(raw)} bytes, the limit is {limits.MPD_MAX_BYTES}")
    parser = DefusedXMLParser(target=_BoundedBuilder(), forbid_dtd=True)
    try:
        parser.feed(raw)
        root: Element = parser.close()
    except DefusedXmlException as error:
        raise MpdRefused("the MPD has a DTD or entities, which no MPD needs") from error
    except (ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise MpdRefused(f"the MPD is not well-formed XML: {error}") from error
    if root.tag != NAMESPACE + "MPD":
        raise MpdRefused("the document is no MPD")
    return root


def duration_in_s(text: str) -> float:
    """Seconds of an xs:duration (days at most: months have no fixed length)."""
    match = _DURATION.match(text.strip()[:_DURATION_MAX_CHARS])
    if match is None or not any(match.groups()):
        raise MpdRefused("a duration is not of the form PT1H2M3.4S")
    days, hours, minutes, seconds = (float(group or 0) for group in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > limits.START_MAX_S:
        raise MpdRefused("a duration is too long")
    return total


def integer(element: Element, name: str, low: int, high: int) -> int | None:
    """An attribute as an integer from `low` to `high`; None where it is missing."""
    text = element.get(name)
    return None if text is None else checked_integer(text, name, low, high)


def checked_integer(text: str, name: str, low: int, high: int) -> int:
    """`text` as an integer from `low` to `high`. Raises MpdRefused."""
    if not _INTEGER.match(text):
        raise MpdRefused(f"{name} is not an integer")
    value = int(text)
    if not low <= value <= high:
        raise MpdRefused(f"{name} is {value}, not from {low} to {high}")
    return value
