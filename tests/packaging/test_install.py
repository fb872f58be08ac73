"""Installed from the wheel or editable, the daemons are there from any folder."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging import support

TAPNAMES = ("dashp2p-origin", "dashp2p-tracker", "dashp2p-peer")
SITE = "share/dashp2p/client"


class InstallTests(SynchronousTestCase):
    """In environments that don't know us yet."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dashp2p-install-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.python = support.clean_environment(self.folder / "env")
        self.elsewhere = self.folder / "elsewhere"
        self.elsewhere.mkdir()

    def says(self, code: str, *arguments: str) -> str:
        """What Python code prints in the environment, run in another folder."""
        done = support.run([str(self.python), "-c", code, *arguments], self.elsewhere)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_twistd_lists_us(self) -> None:
        listed = self.says(support.TWISTD, "--help")
        for name in TAPNAMES:
            self.assertRegex(listed, rf"(?m)^\s+{name}\s")

    def test_without_an_install_twistd_does_not_know_us(self) -> None:
        self.assertNotIn("dashp2p", self.says(support.TWISTD, "--help"))

    def test_the_wheel_brings_the_daemons_and_the_page(self) -> None:
        support.pip(self.python, "install", "--ignore-installed", str(support.built_wheel()))
        where = self.says("import dashp2p; print(dashp2p.__file__)")
        self.assertTrue(where.startswith(str(self.folder / "env")), where)
        self.assert_twistd_lists_us()
        found = self.says("from dashp2p.places import client_folder; print(client_folder())")
        self.assertEqual(found.strip(), str(self.folder / "env" / SITE))

    def test_the_wheel_brings_a_doctor_who_finds_the_page_and_the_packages(self) -> None:
        support.pip(self.python, "install", "--ignore-installed", str(support.built_wheel()))
        program = str(self.folder / "env" / "bin" / "dashp2p")
        done = support.run([program, "doctor", "--json"], self.elsewhere)
        states = {item["subject"]: item["state"] for item in json.loads(done.stdout)["findings"]}
        self.assertEqual(states["packages"], "ok", done.stdout)
        libraries = (support.ROOT / "public/client/vendor/dash.all.min.js").is_file()
        self.assertEqual(states["page"], "ok" if libraries else "missing", done.stdout)
        self.assertEqual(done.returncode, 0 if libraries else 1, done.stderr)

    def test_an_editable_install_brings_the_daemons_and_follows_the_sources(self) -> None:
        sources = support.copy_sources(self.folder / "sources")
        support.pip(
            self.python,
            "install",
            "--ignore-installed",
            "--no-build-isolation",
            "--editable",
            str(sources),
        )
        where = self.says("import dashp2p; print(dashp2p.__file__)")
        self.assertEqual(where.strip(), str(sources / "dashp2p" / "__init__.py"))
        self.assert_twistd_lists_us()

    def test_each_daemon_explains_itself(self) -> None:
        support.pip(self.python, "install", "--ignore-installed", str(support.built_wheel()))
        for name in TAPNAMES:
            self.assertIn("--listen", self.says(support.TWISTD, name, "--help"))


class WheelTests(SynchronousTestCase):
    """Nothing is left behind in the checkout."""

    def test_every_module_and_data_file_is_in_it(self) -> None:
        mine = {
            str(path.relative_to(support.ROOT))
            for folder in ("dashp2p", "twisted")
            for path in (support.ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
        }
        self.assertEqual(mine - support.wheel_names(), set())

    def test_the_whole_player_page_is_in_it(self) -> None:
        page = support.ROOT / "public" / "client"
        mine = {
            f"{SITE}/{path.relative_to(page)}"
            for path in page.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        packed = {
            name.partition(".data/data/")[2] for name in support.wheel_names() if ".data/" in name
        }
        self.assertEqual(mine - packed, set())

    def test_it_asks_for_exactly_what_it_imports(self) -> None:
        from tests.test_architecture import distributions_imported

        metadata = support.wheel_text("dist-info/METADATA")
        asked = {
            name.lower().replace("_", "-")
            for name in re.findall(r"(?m)^Requires-Dist: ([A-Za-z0-9._-]+)", metadata)
        }
        self.assertEqual(asked, distributions_imported())
