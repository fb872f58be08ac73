"""Dockerfile and docker-compose.yml, read as far as tests need it; nothing here needs an engine."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from attrs import define, field, frozen

from tests.packaging.support import ROOT

_FROM = re.compile(r"(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)


@frozen
class Step:
    """One instruction: its word, and what follows, with continued lines joined."""

    word: str
    text: str

    def words(self) -> list[str]:
        """The JSON form of an ENTRYPOINT, CMD or HEALTHCHECK, else as a shell would split it."""
        begin = self.text.find("[")
        if begin >= 0:
            items: list[str] = json.loads(self.text[begin:])
            return items
        return shlex.split(self.text)


@define
class Stage:
    """From one FROM to the next."""

    image: str
    name: str
    steps: list[Step] = field(factory=list)

    def all(self, word: str) -> list[Step]:
        return [step for step in self.steps if step.word == word]

    def only(self, word: str) -> Step:
        [step] = self.all(word)
        return step


def read_dockerfile(path: Path = ROOT / "Dockerfile") -> list[Stage]:
    """The stages in their order; the last is the image."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    stages: list[Stage] = []
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            match = _FROM.fullmatch(rest.strip())
            assert match is not None, line
            stages.append(Stage(match["image"], match["name"] or ""))
        else:
            stages[-1].steps.append(Step(word, rest.strip()))
    return stages


def compose_command(service: str, path: Path = ROOT / "docker-compose.yml") -> list[str]:
    """The words under a service's `command:`."""
    block = re.search(rf"(?ms)^  {service}:\n(.*?)(?=^  \w|^\w|\Z)", path.read_text())
    assert block is not None, service
    command = re.search(r"(?m)^    command:\n((?:      - .*\n)+)", block[1])
    assert command is not None, service
    return [line.strip().removeprefix("- ") for line in command[1].splitlines()]
