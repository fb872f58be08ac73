"""The tables of docs/operations.md are what the programs say."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import ROOT


def load() -> Any:
    """scripts/write_tables.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("write_tables", ROOT / "scripts/write_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class TablesTests(SynchronousTestCase):
    """What a changed option or metric leaves behind."""

    def setUp(self) -> None:
        self.tables = load()
        self.page = self.tables.PAGE.read_text()

    def assert_written(self, name: str, table: str) -> None:
        if self.tables.with_table(self.page, name, table) != self.page:
            self.fail(f"the table of {name} is not what the programs say: {self.tables.COMMAND}")

    def test_every_option_stands_in_its_table(self) -> None:
        self.assert_written("options", self.tables.options_table())

    def test_every_metric_stands_in_its_table(self) -> None:
        self.assert_written("metrics", self.tables.metrics_table())

    def test_a_stale_table_is_noticed_and_told_the_command(self) -> None:
        table = self.tables.options_table().replace("`--root`", "`--route`")
        error = self.assertRaises(self.failureException, self.assert_written, "options", table)
        self.assertIn(self.tables.COMMAND, str(error))

    def test_the_command_that_it_tells_is_there(self) -> None:
        self.assertTrue((ROOT / self.tables.COMMAND.split()[1]).is_file())

    def test_a_page_without_a_place_is_refused(self) -> None:
        error = self.assertRaises(ValueError, self.tables.with_table, "# no", "options", "")
        self.assertIn("no place", str(error))

    def test_what_stands_around_a_table_stays(self) -> None:
        once = self.tables.with_table(self.page, "options", "| new |")
        self.assertIn("| new |", once)
        self.assertTrue(once.startswith(self.page.partition("<!--")[0]))
        again = self.tables.with_table(once, "options", self.tables.options_table())
        self.assertEqual(again, self.page)
