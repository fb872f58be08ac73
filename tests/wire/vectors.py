"""Reads the hex vectors and tables of docs/protocol.md; makes frames of their JSON and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from dashp2p.wire import frames
from dashp2p.wire.blockset import EMPTY, WHOLE, from_range, iter_runs
from dashp2p.wire.frames import Frame

PROTOCOL_MD = Path(__file__).parents[2] / "docs" / "protocol.md"
FRAME_CLASSES: dict[str, type[Any]] = {
    cls.__name__.upper(): cls
    for cls in (
        *(frames.Hello, frames.Have, frames.Got, frames.Getting, frames.Gone, frames.Request),
        *(frames.Data, frames.Hashes, frames.Reject, frames.Cancel, frames.Ping, frames.Pong),
        *(frames.Error, frames.GoAway),
    )
}
_BYTES = {"swarm_id", "public_key", "ticket", "data", "hashes"}
_SETS = {"blocks", "positions"}


@frozen
class Vector:
    """One entry of a fence: its title, its bytes, and the line that says what they mean."""

    title: str
    raw: bytes
    meaning: str


def read_vectors(kind: str, text: str | None = None) -> list[Vector]:
    """All entries of the fences marked `kind` in docs/protocol.md."""
    text = PROTOCOL_MD.read_text() if text is None else text
    entries = []
    for fence in re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S):
        for entry in fence.strip().split("\n\n"):
            title, *middle, meaning = entry.split("\n")
            entries.append(Vector(title, bytes.fromhex("".join(middle)), meaning))
    return entries


def blocks_from_text(text: str) -> int:
    """`0-2,5`, `whole` or nothing, as a set."""
    if text == "whole":
        return WHOLE
    blocks = EMPTY
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        blocks |= from_range(int(first), int(last or first) - int(first) + 1)
    return blocks


def blocks_to_text(blocks: int) -> str:
    """Inverse of `blocks_from_text`."""
    if blocks == WHOLE:
        return "whole"
    runs = ((first, first + count - 1) for first, count in iter_runs(blocks))
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def _values(cls: type[Any], fields: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "news":
            entry = frames.Fetching if cls is frames.Getting else frames.SegmentBlocks
            values[name] = tuple(_values(entry, item) for item in value)
        elif name in _SETS:
            values[name] = blocks_from_text(value)
        elif name in _BYTES and not isinstance(value, bool):
            values[name] = bytes.fromhex(value)
        else:
            values[name] = value
    return cls(**values)


def frame_from_json(line: str) -> Frame:
    """The frame that a vector's last line describes."""
    fields = json.loads(line)
    frame: Frame = _values(FRAME_CLASSES[fields.pop("type")], fields)
    return frame


def frame_to_json(frame: Frame) -> str:
    """Inverse of `frame_from_json`."""

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, tuple):
            return [fields_of(item) for item in value]
        return blocks_to_text(value) if name in _SETS else value

    def fields_of(thing: Any) -> dict[str, Any]:
        pairs = ((item.name, getattr(thing, item.name)) for item in attrs.fields(type(thing)))
        return {name: plain(name, value) for name, value in pairs}

    return json.dumps({"type": type(frame).__name__.upper(), **fields_of(frame)})


def table_rows(heading: str) -> list[list[str]]:
    """The cells of all table rows in the section of docs/protocol.md with this heading."""
    section = PROTOCOL_MD.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = (line for line in section.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
