"""Environments that have our dependencies but not us, and our package built for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "dashp2p", "twisted", "public/client")
TIMEOUT_S = 120
TWISTD = "from twisted.scripts.twistd import run; run()"


def copy_sources(target: Path) -> Path:
    """What the build needs, in a folder that the build may litter."""
    junk = shutil.ignore_patterns("__pycache__", "dropin.cache", "*.egg-info")
    for name in SOURCES:
        source = ROOT / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=junk)
        else:
            shutil.copy(source, target / name)
    return target


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command elsewhere than here, without what this environment adds to Python's path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def clean_environment(folder: Path) -> Path:
    """A virtual environment that sees this one's packages without the .pth files among them, so
    not us; returns its Python. No network is needed for it.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    asked = run([str(python), "-c", "import site; print(site.getsitepackages()[0])"], folder)
    lenders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(asked.stdout.strip(), "lent.pth").write_text("\n".join(sorted(lenders)) + "\n")
    return python


def pip(python: Path, *arguments: str) -> None:
    """Run pip there, offline and with the build tools that are here."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    command = [str(python), "-m", "pip", *arguments, *options]
    done = run(command, python.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@lru_cache
def _keep() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dashp2p-wheel-")


@lru_cache
def built_wheel() -> Path:
    """The wheel of this checkout, built once for all tests of this process."""
    folder = Path(_keep().name)
    sources = copy_sources(folder / "sources")
    pip(Path(sys.executable), "wheel", "--no-build-isolation", "-w", str(folder), str(sources))
    (wheel,) = folder.glob("*.whl")
    return wheel


@lru_cache
def wheel_names() -> frozenset[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(built_wheel()) as archive:
        return frozenset(archive.namelist())


def wheel_text(suffix: str) -> str:
    """The text of the one file of the wheel whose name ends so."""
    (name,) = (name for name in wheel_names() if name.endswith(suffix))
    with zipfile.ZipFile(built_wheel()) as archive:
        return archive.read(name).decode()
