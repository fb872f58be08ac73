"""Runs as files: written where they were measured, read again by reports.

`run.json` holds the scenario, all that was measured, and the figures drawn from it. A report reads
the first two and reckons anew, so that old measurements and new definitions go together.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import frozen

from dashp2p.lab.figures import Figures, figures
from dashp2p.lab.loss import Loss
from dashp2p.lab.measure import Sample
from dashp2p.lab.origin_end import Ended, Refusal
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.scenario import (
    Churn,
    Ending,
    Lie,
    Links,
    Player,
    Scenario,
    Targets,
    Variant,
    Visit,
)

RUN_NAME = "run.json"
OUTCOME_NAME = "outcome.json"
_LISTS = ("ablations", "notes", "ladder_bps", "liar_ids")
FILE_BYTES_MAX = 512 * 2**20

Read = TypeVar("Read")


class UnreadableRunError(Exception):
    """A file or folder holds no run, or none that this program can read; the text says which."""


@frozen
class Saved:
    """One run that was read."""

    scenario: Scenario
    result: RunResult
    figures: Figures
    failures: tuple[str, ...] = ()
    """Runs of the same scenario that could not be carried out."""


def save(scenario: Scenario, result: RunResult, found: Figures, path: Path) -> None:
    """Everything that was measured, and what it boils down to. Makes the folder."""
    document = plain({"v": 1, "scenario": scenario, "figures": found, "run": result})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) + "\n")


def plain(value: Any) -> Any:
    """Attrs classes, enums, paths and tuples as JSON has them."""
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        return {one.name: plain(getattr(value, one.name)) for one in fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def find(given: Path) -> list[Path]:
    """The runs that a path stands for: a run.json, its folder, a scenario's, or a whole suite's.

    Raises UnreadableRunError where there is none.
    """
    if given.is_file():
        return find(given.parent) if given.name == OUTCOME_NAME else [given]
    patterns = (RUN_NAME, f"*/{RUN_NAME}", f"*/*/{RUN_NAME}")
    found = next((paths for pattern in patterns if (paths := sorted(given.glob(pattern)))), [])
    if not found:
        raise UnreadableRunError(f"{given} holds no {RUN_NAME}: name a folder that the lab wrote")
    return found


def load(path: Path) -> Saved:
    """Read one run.json. Raises UnreadableRunError."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ValueError(f"it is larger than {FILE_BYTES_MAX >> 20} MiB")
        document = json.loads(path.read_text())
        outcome = _outcome(path)
        told = document.get("scenario") or outcome.get("scenario")
        if told is None:
            raise ValueError(f"neither it nor an {OUTCOME_NAME} above it names the scenario")
        scenario, result = _scenario(told), _result(document["run"])
        alone = result.variant is Variant.LONE
        found = figures(scenario.alone() if alone else scenario, result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableRunError(f"{path} is no run that can be read: {error!r}") from error
    return Saved(scenario, result, found, tuple(map(str, outcome.get("failures") or ())))


def load_all(given: Sequence[Path]) -> list[Saved]:
    """All runs that these paths stand for, each once. Raises UnreadableRunError."""
    return list(_once(load(path) for one in given for path in find(one)))


def _once(runs: Iterator[Saved]) -> Iterator[Saved]:
    seen: set[tuple[Any, ...]] = set()
    for run in runs:
        of = run.result
        key = (of.scenario, of.variant, of.ablations, of.seed, of.began_at, of.setting)
        if key not in seen:
            seen.add(key)
            yield run


def _outcome(path: Path) -> Mapping[str, Any]:
    above = path.parent.parent / OUTCOME_NAME
    found = json.loads(above.read_text()) if above.is_file() else {}
    return found if isinstance(found, dict) else {}


def _scenario(told: Mapping[str, Any]) -> Scenario:
    links = dict(told["links"])
    churn = told.get("churn")
    if churn is not None:
        churn = _known(Churn, {**churn, "endings": tuple(map(Ending, churn["endings"]))})
    return _known(
        Scenario,
        {
            **told,
            "links": _known(Links, {**links, "loss": _known(Loss, links.get("loss") or {})}),
            "player": Player(told.get("player", Player.PLAIN.value)),
            "churn": churn,
            "liars": tuple(map(Lie, told.get("liars") or ())),
            "targets": _known(Targets, told.get("targets") or {}),
        },
    )


def _result(told: Mapping[str, Any]) -> RunResult:
    usual = Setting.LOOPBACK if told["loopback"] else Setting.LAB
    return _known(
        RunResult,
        {
            **told,
            "variant": Variant(told["variant"]),
            "setting": Setting(told.get("setting", usual.value)),
            "egress": tuple(_known(Sample, one) for one in told["egress"]),
            "origin_ended": _ended(told.get("origin_ended")),
            "visits": tuple(_visit(one) for one in told["visits"]),
            **{name: tuple(told.get(name) or ()) for name in _LISTS},
        },
    )


def _ended(told: Mapping[str, Any] | None) -> Ended | None:
    if told is None:
        return None
    refusals = tuple(_known(Refusal, one) for one in told.get("refusals") or ())
    return _known(Ended, {**told, "refusals": refusals})


def _visit(told: Mapping[str, Any]) -> Visit:
    return _known(Visit, {**told, "ending": Ending(told.get("ending", Ending.KILL.value))})


def _known(kind: type[Read], told: Mapping[str, Any]) -> Read:
    """An instance of what was told, without fields that this program doesn't know."""
    names = {one.name for one in attrs.fields(kind)}  # type: ignore[arg-type]  # all are attrs
    return kind(**{name: value for name, value in told.items() if name in names})
