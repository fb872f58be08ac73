"""scripts/mutants.py takes out checks that are where it looks for them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

CHECKOUT = Path(__file__).resolve().parents[1]


class MutantTests(SynchronousTestCase):
    def test_the_text_of_each_is_once_in_its_file(self) -> None:
        wrong = [
            mutant.name
            for mutant in load().MUTANTS
            if (CHECKOUT / mutant.file).read_text("utf-8").count(mutant.old) != 1
        ]
        self.assertEqual(wrong, [], "change the table in scripts/mutants.py with the code")


def load() -> ModuleType:
    """The script, which is in no package."""
    name = "dashp2p_mutants"
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / "scripts" / "mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
