"""The image's own steps, run without an engine: what it installs starts, and is seen to live."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.dockerfile import Stage, Step, compose_command, read_dockerfile
from tests.packaging.support import ROOT
from tests.processes import Daemon, free_port, without_pythonpath

INSTALLED = "/opt/dashp2p"
TIMEOUT_S = 240
DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
DAEMONS = {"origin": 9000, "tracker": 7000, "peer": 8001}
OFFLINE = ("Failed to establish a new connection", "Temporary failure in name", "timed out")

_keep: list[tempfile.TemporaryDirectory[str]] = []


class Built:
    """What the stage `build` makes, in a folder of its own instead of the root of an image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed = folder / "opt" / "dashp2p"
        self.source = folder / "src"
        tools = folder / "bin"
        tools.mkdir()
        self.source.mkdir()
        # As in the base image: a python, which has pip.
        python = tools / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "DASHP2P_", "VIRTUAL_ENV"))
        }
        self.environment = {**kept, "PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder)}

    def mapped(self, text: str) -> str:
        return text.replace(INSTALLED, str(self.installed))

    def take(self, step: Step) -> None:
        """RUN or COPY one step of the stage."""
        if step.word == "RUN":
            self.run(step.text)
        elif step.word == "COPY":
            self.copy(step)

    def run(self, command: str) -> None:
        done = subprocess.run(
            ["sh", "-c", self.mapped(command)],
            cwd=self.source,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        said = done.stdout + done.stderr
        if done.returncode and any(reason in said for reason in OFFLINE):
            raise SkipTest("no network, so the image's packages cannot be fetched")
        assert done.returncode == 0, f"{command}\n{said}"

    def copy(self, step: Step) -> None:
        words = step.text.split()
        if words[0].startswith("--from="):
            vendor = ROOT / "public" / "client" / "vendor"
            if not vendor.is_dir():
                raise SkipTest("the page's libraries are not there: ./run-tests.sh fetches them")
            names, root = [str(vendor)], Path()
        else:
            names, root = words[:-1], ROOT
        target = self.source / words[-1]
        for name in names:
            source = root / name
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "dropin.cache", "vendor")
                shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / source.name)


@lru_cache
def built() -> Built:
    """Built once for all tests of this process. Raises SkipTest."""
    _keep.append(tempfile.TemporaryDirectory(prefix="dashp2p-image-"))
    made = Built(Path(_keep[-1].name))
    for step in stage("build").steps:
        made.take(step)
    return made


def stage(name: str) -> Stage:
    [found] = [stage for stage in read_dockerfile() if stage.name == name]
    return found


class StartTests(SynchronousTestCase):
    """The commands of docker-compose.yml, in what the build stage has made."""

    def setUp(self) -> None:
        self.image = built()
        self.final = read_dockerfile()[-1]
        self.ports = {name: free_port() for name in DAEMONS}
        scratch = tempfile.TemporaryDirectory(prefix="dashp2p-container-")
        self.addCleanup(scratch.cleanup)
        self.state = Path(scratch.name)

    def environment(self, service: str) -> dict[str, str]:
        """Nothing but what ENV says."""
        told = dict(word.split("=", 1) for word in self.final.only("ENV").text.split())
        told["PATH"] = self.image.mapped(told["PATH"]).replace("$PATH", "/usr/bin:/bin")
        # Where the image's home is cannot be written: its file system is read-only.
        return {**told, "HOME": "/dev/null/home", "PORT": str(self.ports[service])}

    def command(self, service: str) -> list[str]:
        """ENTRYPOINT and the service's command, with ports, hosts and folders of this test's."""
        words = [*self.final.only("ENTRYPOINT").words(), *compose_command(service)]
        text = "\n".join(words)
        for name, port in DAEMONS.items():
            own = f"{self.ports[name]}:interface=127.0.0.1"
            text = text.replace(f"--listen=tcp:{port}", f"--listen=tcp:{own}")
            text = text.replace(f"http://{name}:{port}", f"http://127.0.0.1:{self.ports[name]}")
        text = re.sub(r"=tcp:(9100|4001)", "=tcp:0:interface=127.0.0.1", text)
        text = text.replace("/film", str(self.state)).replace("/var/lib/dashp2p", str(self.state))
        return text.splitlines()

    def start(self, service: str) -> Daemon:
        log = self.state / f"{service}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(service),
                executable=str(self.image.installed / "bin" / "twistd"),
                cwd=self.state,
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        daemon = Daemon(service, f"http://127.0.0.1:{self.ports[service]}", log, process)
        self.addCleanup(daemon.stop)
        return daemon

    def health(self, service: str) -> int:
        """What HEALTHCHECK's command says."""
        return subprocess.run(
            self.final.only("HEALTHCHECK").words(),
            executable=str(self.image.installed / "bin" / "python"),
            env=self.environment(service),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
        ).returncode

    def test_each_daemon_starts_is_healthy_and_stops_with_status_0(self) -> None:
        running = {name: self.start(name) for name in DAEMONS}
        for name, daemon in running.items():
            self.until_healthy(name, daemon)
        for name, daemon in running.items():
            daemon.process.send_signal(signal.Signals[self.final.only("STOPSIGNAL").text])
            self.assertEqual(daemon.process.wait(TIMEOUT_S), 0, daemon.last_words())
            self.assertEqual(self.health(name), 1)

    def until_healthy(self, name: str, daemon: Daemon) -> None:
        while self.health(name):
            self.assertTrue(daemon.running, daemon.last_words())

    def test_the_page_and_its_libraries_are_in_it(self) -> None:
        page = self.image.installed / "share" / "dashp2p" / "client"
        for name in ("client.html", "vendor/dash.all.min.js", "vendor/uPlot.iife.min.js"):
            self.assertTrue((page / name).is_file(), name)

    def test_it_holds_no_tools_of_the_build(self) -> None:
        for name in ("pip", "setuptools", "mypy", "playwright", "imageio_ffmpeg"):
            self.assertEqual(list(self.image.installed.glob(f"lib/*/site-packages/{name}")), [])

    def test_the_plugins_are_known_before_the_start(self) -> None:
        caches = list(self.image.installed.glob("lib/*/site-packages/twisted/plugins/dropin.cache"))
        self.assertEqual(len(caches), 1)


class DockerfileTests(SynchronousTestCase):
    """What it promises."""

    def test_every_base_is_pinned_by_tag_and_digest(self) -> None:
        for stage in read_dockerfile():
            self.assertRegex(stage.image, rf"^{DIGEST.pattern}$")

    def test_the_image_runs_as_nobody_in_particular(self) -> None:
        self.assertEqual(read_dockerfile()[-1].only("USER").text, "10001")

    def test_what_is_copied_is_let_in_by_dockerignore(self) -> None:
        rules = (ROOT / ".dockerignore").read_text().split()
        let_in = [rule[1:] for rule in rules if rule.startswith("!")]
        for stage in read_dockerfile():
            for step in stage.all("COPY"):
                for name in step.text.split()[:-1]:
                    if step.text.startswith("--from="):
                        continue
                    good = any(name.rstrip("/").startswith(rule) for rule in let_in)
                    self.assertTrue(good, f"{name} is kept out by .dockerignore")
                    self.assertTrue((ROOT / name).exists(), name)

    def test_the_libraries_of_the_page_are_taken_by_their_digests(self) -> None:
        """The page stage with an npm that brings other files."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            shutil.copytree(ROOT / "scripts" / "page-libraries", folder, dirs_exist_ok=True)
            npm = folder / "bin" / "npm"
            npm.parent.mkdir()
            rows = (folder / "files.sha256").read_text().splitlines()
            sources = [row.split()[1] for row in rows if row]
            made = "; ".join(
                f"mkdir -p node_modules/{os.path.dirname(name)}; echo x > node_modules/{name}"
                for name in sources
            )
            npm.write_text(f"#!/bin/sh\n{made}\n")
            npm.chmod(0o755)
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", stage("page").only("RUN").text],
                cwd=folder,
                env={**os.environ, "PATH": f"{npm.parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("FAILED", done.stdout)

    def test_hadolint_finds_nothing(self) -> None:
        hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.defpath}")
        hadolint = hadolint or shutil.which("hadolint")
        if hadolint is None:
            raise SkipTest("hadolint is not here: ./run-tests.sh brings it where PyPI has it")
        done = subprocess.run(
            [hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        self.assertEqual(done.stdout + done.stderr, "")


class ComposeTests(SynchronousTestCase):
    """docker-compose.yml."""

    def test_compose_takes_it_without_a_word_of_warning(self) -> None:
        if (compose := shutil.which("docker-compose")) is None:
            raise SkipTest(
                "docker-compose is not installed (on Debian: apt install docker-compose)"
            )
        done = subprocess.run(
            [compose, "--profile", "figures", "config"],
            cwd=ROOT,
            env=without_pythonpath(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for service in (*DAEMONS, "prometheus", "grafana"):
            self.assertIn(f"\n  {service}:\n", done.stdout)

    def test_the_options_of_each_daemon_are_such(self) -> None:
        from tests.packaging.test_tables import load

        tables = {daemon.program: daemon.table() for daemon in load().DAEMONS}
        for service in DAEMONS:
            program, *options = compose_command(service)
            known = {f"--{row.name}" for row in tables[program]}
            self.assertEqual({word.partition("=")[0] for word in options} - known, set())
