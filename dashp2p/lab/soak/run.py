"""The soak: daemons on loopback, viewers, churn, and a look at every process again and again."""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen

from dashp2p.lab.film import Film
from dashp2p.lab.netns import LabUnavailableError
from dashp2p.lab.processes import Program, Programs
from dashp2p.lab.soak.samples import Life, look

HOST = "127.0.0.1"
SAMPLE_S = 2.0
READY_S = 90.0
CHURN_SHARE = 0.5
"""This part of the peers is killed again and again; the others live from beginning to end."""
CHURN_EACH_S = (4.0, 16.0)
DOWN_S = (0.5, 6.0)
FROZEN_S = (1.0, 12.0)
CACHE = "24MiB"
"""Little, so that there is always something to fetch."""
_DAEMON = "from twisted.scripts.twistd import run; run()"


@frozen
class Soak:
    """What to do."""

    peers: int
    minutes: float
    film: Film
    folder: Path
    seed: int = 1
    warm_up_s: float = 180.0


@define
class Place:
    """Where a peer lives, again and again."""

    name: str
    port: int
    program: Program | None = None
    life: Life | None = None
    back_at_s: float = 0.0
    thaw_at_s: float | None = None


@define
class Crew:
    """All processes of a soak."""

    soak: Soak
    programs: Programs
    tell: Callable[[str], None]
    places: list[Place] = field(factory=list)
    lives: list[Life] = field(factory=list)
    kills: int = 0
    freezes: int = 0
    deaths: list[str] = field(factory=list)
    _urls: dict[str, str] = field(factory=dict)

    def start(self) -> None:
        """Origin, tracker, then the peers. Raises LabUnavailableError when one does not start."""
        film = self.soak.film.folder
        for name, option in (("origin", ["--root", str(film)]), ("tracker", [])):
            place = Place(name, _free_port())
            self._start(place, option)
            self._urls[name] = f"http://{HOST}:{place.port}"
            self._await(place)
        for number in range(self.soak.peers):
            place = Place(f"peer-{number}", _free_port())
            self.places.append(place)
            self._start(place, self._peer_options(place))
        for place in self.places:
            self._await(place)
        urls = [f"http://{HOST}:{place.port}/dash/dash.mpd" for place in self.places]
        command = [sys.executable, "-m", "dashp2p.lab.soak.viewers", *urls]
        self.viewers = self.programs.start("viewers", command)

    viewers: Program = field(init=False)

    def _peer_options(self, place: Place) -> list[str]:
        return [
            *("--exchange", f"tcp:0:interface={HOST}"),
            *("--origin", f"{self._urls['origin']}/dash"),
            *("--tracker", self._urls["tracker"]),
            *("--cache", str(self._cache(place))),
            *("--cache-size", CACHE),
        ]

    def _cache(self, place: Place) -> Path:
        return self.soak.folder / "caches" / place.name

    def _start(self, place: Place, options: list[str]) -> None:
        plugin = f"dashp2p-{place.name.partition('-')[0]}"
        listen = f"tcp:{place.port}:interface={HOST}"
        command = [sys.executable, "-c", _DAEMON, "-n", "--pidfile=", plugin]
        keys = {"XDG_CONFIG_HOME": str(self.soak.folder / "config")}
        program = self.programs.start(place.name, [*command, "--listen", listen, *options], keys)
        place.program = program
        more = 0.0 if place in self.places else 2.0 * self.soak.peers
        place.life = Life(place.name, program.process.pid, more_descriptors=more)
        self.lives.append(place.life)

    def _await(self, place: Place) -> None:
        until_s = time.monotonic() + READY_S
        while not _answers(f"http://{HOST}:{place.port}/readyz"):
            assert place.program is not None
            if not place.program.running or time.monotonic() > until_s:
                raise LabUnavailableError(f"{place.name} is not ready:\n{place.program.tail()}")
            time.sleep(0.1)

    # --- while it runs ------------------------------------------------------------------------

    def sample(self, now_s: float) -> None:
        """Look at every process; note those that ended by themselves."""
        for life in self.lives:
            seen = look(life.process_id, now_s)
            if seen is not None:
                life.samples.append(seen)
        for place in self.places:
            program = place.program
            if program is not None and not program.running:
                self.deaths.append(f"{place.name} ended with {program.process.returncode}")
                self._gone(place, now_s)

    def churn(self, rng: random.Random, now_s: float) -> None:
        """Kill or freeze one of those that are for it, which some time later comes back."""
        victims = self.places[: int(len(self.places) * CHURN_SHARE)]
        alive = [place for place in victims if place.program and place.thaw_at_s is None]
        if not alive:
            return
        place = rng.choice(alive)
        assert place.program is not None
        if rng.random() < 0.3:
            place.program.send(signal.SIGSTOP)
            place.thaw_at_s = now_s + rng.uniform(*FROZEN_S)
            self.freezes += 1
            return
        place.program.process.kill()
        place.program.process.wait()
        self.kills += 1
        if rng.random() < 0.5:
            shutil.rmtree(self._cache(place), ignore_errors=True)
        self._gone(place, now_s + rng.uniform(*DOWN_S))

    def _gone(self, place: Place, back_at_s: float) -> None:
        assert place.program is not None
        self.programs.started.remove(place.program)
        if place.program.process.stdin is not None:
            place.program.process.stdin.close()
        place.program, place.back_at_s = None, back_at_s

    def revive(self, now_s: float) -> None:
        """Start who was killed, thaw who was frozen, when it is time."""
        for place in self.places:
            if place.program is None and now_s >= place.back_at_s:
                self._start(place, self._peer_options(place))
            elif place.thaw_at_s is not None and now_s >= place.thaw_at_s:
                place.thaw_at_s = None
                assert place.program is not None
                place.program.send(signal.SIGCONT)

    def watched(self) -> dict[str, int]:
        """What the viewers came to. Ends them."""
        self.viewers.process.send_signal(signal.SIGTERM)
        self.viewers.process.wait(20.0)
        lines = [line for line in self.viewers.log.read_text().splitlines() if line[:1] == "{"]
        found: dict[str, int] = json.loads(lines[-1]) if lines else {}
        return found


def run(soak: Soak, tell: Callable[[str], None]) -> dict[str, object]:
    """Soak, and answer the report that is written too. Raises LabUnavailableError."""
    if not Path("/proc/self/statm").exists():
        raise LabUnavailableError("the soak reads /proc, which this system has not")
    soak.folder.mkdir(parents=True, exist_ok=True)
    programs = Programs(soak.folder)
    crew = Crew(soak, programs, tell)
    rng = random.Random(soak.seed)
    try:
        crew.start()
        tell(f"{soak.peers} peers and their viewers for {soak.minutes:g} minutes")
        began_s = time.monotonic()
        _soak(crew, rng, began_s)
        viewers = crew.watched()
    finally:
        programs.close()
    report = _report(crew, viewers)
    (soak.folder / "soak.json").write_text(json.dumps(report, indent=1))
    return report


def _soak(crew: Crew, rng: random.Random, began_s: float) -> None:
    ends_s = crew.soak.minutes * 60
    churn_at_s = told_at_s = 0.0
    sample_at_s = 0.0
    while (now_s := time.monotonic() - began_s) < ends_s:
        if now_s >= sample_at_s:
            crew.sample(now_s)
            sample_at_s += SAMPLE_S * max(1.0, ends_s / 3600)
        if now_s >= churn_at_s:
            crew.churn(rng, now_s)
            churn_at_s = now_s + rng.uniform(*CHURN_EACH_S) * 8 / max(1, crew.soak.peers)
        crew.revive(now_s)
        if now_s >= told_at_s + 60:
            told_at_s = now_s
            crew.tell(f"{now_s / 60:.0f} min, {crew.kills} kills, {crew.freezes} freezes")
        time.sleep(0.1)


def _report(crew: Crew, viewers: dict[str, int]) -> dict[str, object]:
    told = [life.verdict(crew.soak.warm_up_s) for life in crew.lives]
    verdicts = [verdict for verdict in told if verdict is not None]
    growing = [str(verdict["name"]) for verdict in verdicts if not verdict["flat"]]
    return {
        "peers": crew.soak.peers,
        "minutes": crew.soak.minutes,
        "seed": crew.soak.seed,
        "warm_up_s": crew.soak.warm_up_s,
        "kills": crew.kills,
        "freezes": crew.freezes,
        "unexpected_ends": crew.deaths,
        "viewers": viewers,
        "judged": len(verdicts),
        "growing": growing,
        "flat": not growing and bool(verdicts) and not crew.deaths,
        "lives": verdicts,
        "samples": {
            f"{life.name} {life.process_id}": [
                [sample.at_s, sample.rss_mb, sample.descriptors, sample.threads]
                for sample in life.samples
            ]
            for life in crew.lives
        },
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
