"""scripts/mutants.py keeps up with the code: running it takes minutes, so here only its table."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import ROOT


def load() -> ModuleType:
    """scripts/ is no package."""
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module


class MutantsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.mutants = load().MUTANTS

    def test_each_takes_out_one_check_that_is_there(self) -> None:
        for mutant in self.mutants:
            text = (ROOT / mutant.file).read_text()
            self.assertEqual(text.count(mutant.old), 1, mutant.name)
            self.assertNotEqual(mutant.old, mutant.new, mutant.name)
            compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")

    def test_the_tests_that_must_notice_are_there(self) -> None:
        for mutant in self.mutants:
            for name in mutant.tests.split():
                path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
                self.assertTrue(path.is_file(), f"{mutant.name}: {name}")

    def test_no_two_have_one_name(self) -> None:
        names = [mutant.name for mutant in self.mutants]
        self.assertEqual(len(names), len(set(names)))
