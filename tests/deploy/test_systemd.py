"""The units in deploy/systemd: systemd finds nothing wrong with them, and little to attack."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.origin.tap import Options as OriginOptions
from dashp2p.peer.tap import Options as PeerOptions
from dashp2p.tracker.tap import Options as TrackerOptions
from dashp2p.web.process import LAST_RESORT_S
from tests.processes import ROOT

UNITS = ROOT / "deploy" / "systemd"
OPTIONS = {"origin": OriginOptions, "tracker": TrackerOptions, "peer": PeerOptions}
PROGRAM = "/opt/dashp2p/bin/twistd"
EXPOSURE_MOST = 20
"""In tenths, as systemd-analyze's --threshold has it; 15 was measured."""
TIMEOUT_S = 60


class UnitTests(SynchronousTestCase):
    """Read, and given to systemd-analyze."""

    def text(self, name: str) -> str:
        return (UNITS / f"dashp2p-{name}.service").read_text()

    def setting(self, name: str, key: str) -> list[str]:
        return re.findall(rf"(?m)^{key}=(.*)$", self.text(name))

    def analyze(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """systemd-analyze over all units, with a program that is there in place of ours."""
        program = shutil.which("systemd-analyze")
        if program is None:
            raise SkipTest("systemd-analyze is not installed")
        with tempfile.TemporaryDirectory() as scratch:
            units = []
            for name in OPTIONS:
                unit = Path(scratch) / f"dashp2p-{name}.service"
                unit.write_text(self.text(name).replace(PROGRAM, sys.executable))
                units.append(str(unit))
            return subprocess.run(
                [program, *arguments, *units],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )

    def test_there_is_one_for_each_daemon(self) -> None:
        names = {f"dashp2p-{name}.service" for name in OPTIONS}
        self.assertEqual({path.name for path in UNITS.iterdir()}, names)

    def test_systemd_finds_nothing_wrong(self) -> None:
        done = self.analyze("verify", "--man=no")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_there_is_little_to_attack(self) -> None:
        done = self.analyze("security", "--offline=true", f"--threshold={EXPOSURE_MOST}")
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_each_starts_its_daemon_with_variables_that_it_knows(self) -> None:
        for name, options in OPTIONS.items():
            [start] = self.setting(name, "ExecStart")
            self.assertEqual(start, f"{PROGRAM} -n --pidfile= dashp2p-{name}")
            given = " ".join(self.setting(name, "Environment"))
            known = {variable for row in options.table() for variable in row.all_variables}
            self.assertEqual(set(re.findall(r"\bDASHP2P_\w+", given)) - known, set())

    def test_the_values_of_those_variables_are_good_ones(self) -> None:
        for name, options in OPTIONS.items():
            given = " ".join(self.setting(name, "Environment"))
            pairs = dict(word.split("=", 1) for word in given.split())
            with tempfile.TemporaryDirectory() as folder:
                for variable in ("DASHP2P_ROOT", "DASHP2P_CACHE"):
                    if variable in pairs:
                        pairs[variable] = folder
                if "DASHP2P_TICKET_KEY" in pairs:
                    pairs["DASHP2P_TICKET_KEY"] = f"{folder}/ticket.key"
                parsed = options()
                parsed.environ = pairs
                parsed.parseOptions([])
            self.assertEqual(parsed["listen"], pairs["DASHP2P_LISTEN"])

    def test_systemd_waits_for_the_orderly_end(self) -> None:
        for name in OPTIONS:
            self.assertGreater(float(self.setting(name, "TimeoutStopSec")[0]), LAST_RESORT_S)
            self.assertEqual(self.setting(name, "Type"), ["notify"])
            self.assertTrue(self.setting(name, "WatchdogSec"))
