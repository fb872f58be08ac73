"""SECURITY.md keeps its word: each promise and each attack names a test, and each test is there."""

from __future__ import annotations

import importlib
import re
from unittest import TestCase

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import ROOT

NAMED = re.compile(r"`(tests\.[A-Za-z0-9_.]+)`")
PAGE = ROOT / "SECURITY.md"


def rows() -> list[str]:
    """The lines of all tables, without their heads."""
    lines = PAGE.read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and not line.endswith("| test |")]


def is_there(name: str) -> bool:
    module, case, test = name.rsplit(".", 2)
    found = getattr(importlib.import_module(module), case, None)
    return isinstance(found, type) and issubclass(found, TestCase) and hasattr(found, test)


class SecurityTests(SynchronousTestCase):
    def test_every_promise_and_every_attack_names_its_tests(self) -> None:
        self.assertGreater(len(rows()), 40)
        for row in rows():
            self.assertRegex(row.rpartition("|")[0].rpartition("|")[2], NAMED, row)

    def test_every_test_that_is_named_is_there(self) -> None:
        names = {name for row in rows() for name in NAMED.findall(row)}
        missing = sorted(name for name in names if not is_there(name))
        self.assertEqual(missing, [])

    def test_a_name_that_is_not_there_would_be_missed(self) -> None:
        self.assertFalse(is_there("tests.packaging.test_security.SecurityTests.test_nothing"))
        self.assertFalse(is_there("tests.packaging.test_security.NoTests.test_nothing"))
