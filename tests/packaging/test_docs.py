"""The documents name only what is there."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import ROOT

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
COMMAND = re.compile(r"(?m)^ {4}(?:[A-Z_0-9]+=\S+ )*(\./[\w.-]+\.sh|scripts/[\w.-]+)")


def documents() -> list[Path]:
    """Everything that people read first."""
    return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("deploy/*.md")]


class DocumentsTests(SynchronousTestCase):
    """README, NEWS, CONTRIBUTING and docs/."""

    def test_every_link_to_a_file_leads_to_one(self) -> None:
        for document in documents():
            for target in LINK.findall(document.read_text()):
                self.assertTrue((document.parent / target).exists(), f"{document.name}: {target}")

    def test_every_script_that_is_to_be_typed_is_there(self) -> None:
        for document in documents():
            for script in COMMAND.findall(document.read_text()):
                self.assertTrue((ROOT / script).is_file(), f"{document.name}: {script}")

    def test_the_rooms_in_the_architecture_are_the_packages(self) -> None:
        told = re.findall(r"(?m)^  (\w+)/ ", (ROOT / "docs/architecture.md").read_text())
        there = {path.parent.name for path in (ROOT / "dashp2p").glob("*/__init__.py")}
        self.assertEqual(set(told), there)
