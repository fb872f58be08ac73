"""The pins: each with a hash, none with a host, and all in step with each other."""

from __future__ import annotations

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import ROOT, wheel_text

LOCKS = ("demo.txt", "tests.txt", "ffmpeg.txt", "node.txt")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?: \\)?$")
LIBRARIES = ROOT / "scripts" / "page-libraries"
ALL_LIBRARIES = (LIBRARIES, ROOT / "scripts" / "test-libraries")


def entries(name: str) -> list[tuple[str, list[str]]]:
    """Each requirement line of a lock (with marker, without continuation) and its hash lines."""
    found: list[tuple[str, list[str]]] = []
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            found[-1][1].append(line.strip())
        else:
            found.append((line.rstrip(" \\"), []))
    return found


class RequirementsTests(SynchronousTestCase):
    """requirements/*.txt, made by scripts/lock.sh."""

    def test_every_requirement_is_pinned_and_has_hashes(self) -> None:
        for name in LOCKS:
            for requirement, hashes in entries(name):
                self.assertRegex(requirement, PIN, name)
                self.assertTrue(hashes, f"{name}: {requirement} has no hash")
                for line in hashes:
                    self.assertRegex(line, HASH, f"{name}: {requirement}")

    def test_no_file_names_a_host(self) -> None:
        files = [ROOT / "requirements" / name for name in LOCKS]
        # package-lock.json has links to its authors; that it names no registry, see below.
        files += [Path(ROOT, "pyproject.toml"), LIBRARIES / "package.json"]
        for path in files:
            self.assertNotRegex(path.read_text(), r"://|index-url|find-links", str(path))

    def test_the_tests_install_the_demos_very_pins(self) -> None:
        demo, tests = ({line for line, _ in entries(name)} for name in ("demo.txt", "tests.txt"))
        self.assertEqual(demo - tests, set())

    def test_every_dependency_of_the_package_is_pinned(self) -> None:
        asked = re.findall(r"(?m)^Requires-Dist: ([A-Za-z0-9._-]+)", wheel_text("METADATA"))
        pinned = {PIN.sub(r"\g<name>", line).split()[0] for line, _ in entries("demo.txt")}
        for name in asked:
            self.assertIn(re.sub(r"[-_.]+", "-", name).lower(), pinned)


class LibrariesTests(SynchronousTestCase):
    """What npm is asked for, and what of it the page and the tests get."""

    def test_every_package_is_pinned_by_sha512(self) -> None:
        for folder in ALL_LIBRARIES:
            locked = json.loads((folder / "package-lock.json").read_text())["packages"]
            for name, entry in locked.items():
                if name:
                    self.assertTrue(entry["integrity"].startswith("sha512-"), name)
                    self.assertNotIn("resolved", entry, name)

    def test_the_lock_holds_the_versions_that_are_asked_for(self) -> None:
        for folder in ALL_LIBRARIES:
            package = json.loads((folder / "package.json").read_text())
            asked = package.get("dependencies") or package["devDependencies"]
            locked = json.loads((folder / "package-lock.json").read_text())["packages"]
            for name, version in asked.items():
                self.assertEqual(locked[f"node_modules/{name}"]["version"], version)

    def test_each_library_comes_with_its_licence(self) -> None:
        for folder in ALL_LIBRARIES:
            rows = [line.split() for line in (folder / "files.sha256").read_text().splitlines()]
            licensed = {row[1].split("/")[0] for row in rows if "LICENSE" in row[1]}
            self.assertEqual(licensed, {row[1].split("/")[0] for row in rows})
