"""The rooms keep to themselves: what each may import, read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dashp2p"

FLOORS = (
    ("wire", "content"),
    ("swarm", "store"),
    ("web", "options", "coercers", "places", "healthcheck"),
    ("origin", "tracker", "peer"),
    ("testing",),
    ("lab", "doctor"),
    ("__main__",),
)
"""Who may import whom: only what lies on a lower floor, and itself."""

BESIDE = {("options", "coercers")}
"""Imports along one floor: these two are one subject in two files."""

FREE_OF_TWISTED = ("wire", "content", "swarm", "store")
FREE_OF_CLOCK_AND_NETWORK = ("wire", "swarm")
CLOCK_AND_NETWORK = {"asyncio", "datetime", "selectors", "socket", "ssl", "threading", "time"}
OPTIONAL = {"imageio_ffmpeg", "playwright"}
"""Imported where it is there, and done without where it isn't."""

NAMESPACES = {"zope": "zope.interface"}
"""Shared by several distributions: the one of which we import."""

STANDARD_LIBRARY_ALONE = (
    "__init__.py",
    "__main__.py",
    "healthcheck.py",
    "places.py",
    "lab/__init__.py",
    "lab/demo_options.py",
    *("doctor/__init__.py", "doctor/checks.py", "doctor/command.py", "doctor/finding.py"),
    *("doctor/lab.py", "doctor/machine.py", "doctor/report.py"),
)
"""Run before anything is installed (rich makes the doctor's table prettier where it is there)."""

DONE_WITHOUT = OPTIONAL | {"rich"}


def imported(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Every module that a file imports anywhere, by its absolute name, with the statement."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            yield base, node
            # `from dashp2p import lab` names a room in its second half.
            yield from ((f"{base}.{alias.name}", node) for alias in node.names)


def sources(*rooms: str) -> Iterator[Path]:
    """The Python files of the rooms, or of the whole package."""
    for room in rooms or ("",):
        found = sorted((PACKAGE / room).rglob("*.py"))
        assert found, f"no sources in {room}: this test looks in the wrong place"
        yield from found


def room_of(path: Path) -> str:
    """The room (or top-level module) that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def top_level(module: str) -> str:
    """The first part of a module's name."""
    return module.partition(".")[0]


def distributions_imported() -> set[str]:
    """The distributions that the package imports, as registries spell them."""
    modules = {top_level(name) for path in sources() for name, _ in imported(path)}
    foreign = modules - set(sys.stdlib_module_names) - OPTIONAL - {"dashp2p"}
    known = {
        path.parts[0].removesuffix(".py"): distribution.metadata["Name"]
        for distribution in distributions()
        for path in distribution.files or ()
    }
    names = {NAMESPACES.get(module) or known[module] for module in foreign}
    return {name.lower().replace("_", "-") for name in names}


class ArchitectureTests(SynchronousTestCase):
    """Each list is empty, or it says who broke the rule."""

    def test_rooms_import_only_downward(self) -> None:
        floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
        broken = []
        for path in sources():
            room = room_of(path)
            if room == "__init__":
                continue
            self.assertIn(room, floor_of, "a new room: give it a floor")
            for name, node in imported(path):
                parts = name.split(".")
                if parts[0] != "dashp2p" or len(parts) < 2 or parts[1] not in floor_of:
                    continue
                other = parts[1]
                if (
                    other != room
                    and floor_of[other] >= floor_of[room]
                    and (room, other) not in BESIDE
                ):
                    broken.append(f"{path.relative_to(ROOT)}:{_line(node)} imports {name}")
        self.assertEqual(broken, [])

    def test_the_rooms_of_bytes_and_decisions_know_no_twisted(self) -> None:
        self.assertEqual(self._importers(FREE_OF_TWISTED, {"twisted", "klein", "treq"}), [])

    def test_wire_and_swarm_know_no_clock_and_no_network(self) -> None:
        self.assertEqual(self._importers(FREE_OF_CLOCK_AND_NETWORK, CLOCK_AND_NETWORK), [])

    def test_the_reactor_is_imported_only_inside_functions(self) -> None:
        broken = [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for path in sources()
            for node in _at_module_level(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            and node.module == "twisted.internet"
            and any(alias.name == "reactor" for alias in node.names)
        ]
        self.assertEqual(broken, [])

    def test_what_runs_before_the_set_up_needs_nothing_installed(self) -> None:
        allowed = set(sys.stdlib_module_names) | DONE_WITHOUT | {"dashp2p"}
        for name in STANDARD_LIBRARY_ALONE:
            modules = {top_level(module) for module, _ in imported(PACKAGE / name)}
            self.assertEqual(modules - allowed, set(), name)

    def test_the_plugins_import_nothing_of_ours(self) -> None:
        plugins = ROOT / "twisted" / "plugins" / "dashp2p_plugins.py"
        modules = {top_level(module) for module, _ in imported(plugins)}
        self.assertEqual(modules, {"twisted"})

    def test_the_plugin_folders_are_no_packages(self) -> None:
        found = list((ROOT / "twisted").rglob("__init__.py"))
        self.assertEqual(found, [], "Twisted skips folders of plugins that have one")

    def _importers(self, rooms: tuple[str, ...], forbidden: set[str]) -> list[str]:
        return [
            f"{path.relative_to(ROOT)}:{_line(node)} imports {name}"
            for path in sources(*rooms)
            for name, node in imported(path)
            if top_level(name) in forbidden
        ]


def _at_module_level(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _at_module_level(node)


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))
