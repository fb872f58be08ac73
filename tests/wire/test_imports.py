"""The wire room knows no reactor, no socket and no clock."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import dashp2p.wire

ALLOWED = {
    *("__future__", "collections", "enum", "struct", "typing"),  # of the standard library
    "attrs",
}


class Imports(SynchronousTestCase):
    def test_only_itself_and_pure_modules_are_imported(self) -> None:
        for path in Path(dashp2p.wire.__file__).parent.glob("*.py"):
            for name in self.imported(path):
                pure = name.partition(".")[0] in ALLOWED
                self.assertTrue(pure or name.startswith("dashp2p.wire"), f"{path.name}: {name}")

    def imported(self, path: Path) -> list[str]:
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names += (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                self.assertEqual(node.level, 0, f"{path.name} imports relatively")
                names.append(node.module or "")
        return names
