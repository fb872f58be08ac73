"""Tests of what an experiment's and a rehearsal's players are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.crew import Crew
from dashp2p.lab.demo_crowd import Crowd
from dashp2p.lab.demo_options import parse
from dashp2p.lab.film import Film
from dashp2p.lab.processes import Programs
from dashp2p.lab.rehearse.crowd import RehearsalCrowd
from dashp2p.lab.rows import ROWS
from dashp2p.lab.scenario import Scenario
from dashp2p.lab.stage import Stage
from dashp2p.lab.viewer_options import options
from tests.lab.test_rehearse import NEEDED, planned


class FakePrograms:
    """Starts nothing and keeps the commands."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []

    def start(self, name: str, command: Sequence[str], environment: Any = None) -> None:
        self.commands.append(command)

    @property
    def told(self) -> Programs:
        return cast(Programs, self)

    @property
    def reports_to(self) -> str | None:
        (command,) = self.commands
        if "--report-to" not in command:
            return None
        return command[command.index("--report-to") + 1]


class FakeStage:
    """Addresses and no hosts."""

    origin_url = "http://10.0.0.1:9000"

    def base_url(self, host: str) -> str:
        return f"http://{host}:8001"

    def namespace(self, host: str) -> str | None:
        return None


class ViewersTests(SynchronousTestCase):
    """Whom silent viewers tell how they fare."""

    def test_the_demos_tell_their_own_peer(self) -> None:
        programs = FakePrograms()
        Crowd(parse(["2", "--peer-port", "8100"]), Path("/film"), programs.told).start_viewer(2)
        self.assertEqual(programs.reports_to, "http://127.0.0.1:8101/cmcd")

    def test_a_rehearsals_tell_their_own_peer(self) -> None:
        programs = FakePrograms()
        plan = planned("--peers", "1", "--name", "pc", *NEEDED)
        crowd = RehearsalCrowd(plan, Path("/tmp"), programs.told)
        crowd.ports["pc-01"] = 8100
        crowd.start_viewer("pc-01")
        self.assertEqual(programs.reports_to, "http://127.0.0.1:8100/cmcd")

    def test_who_plays_from_an_origin_tells_nobody(self) -> None:
        programs = FakePrograms()
        plan = evolve(planned("--peers", "1", "--name", "pc", *NEEDED), with_peers=False)
        RehearsalCrowd(plan, Path("/tmp"), programs.told).start_viewer("pc-01")
        self.assertIsNone(programs.reports_to)

    def test_all_but_the_last_may_want_less_than_they_could_have(self) -> None:
        scenario = Scenario("two", "two viewers", peers=2, most_bps=3e6)
        for crowd, last in ((scenario, "p02"), (scenario.alone(), "p01")):
            crew = Crew(cast(Stage, FakeStage()), crowd, Film(Path("/film")), Path("/tmp"))
            self.assertNotIn("--most", crew.viewer(last, True).arguments)
        crew = Crew(cast(Stage, FakeStage()), scenario, Film(Path("/film")), Path("/tmp"))
        arguments = crew.viewer("p01", True).arguments
        most = arguments[arguments.index("--most") + 1]
        self.assertEqual(options(["http://a/dash/b.mpd", "--most", most]).most, 3e6)

    def test_those_of_measured_scenarios_tell_nobody(self) -> None:
        for scenario in ROWS:
            crew = Crew(cast(Stage, FakeStage()), scenario, Film(Path("/film")), Path("/tmp"))
            for through_peer in (True, False):
                self.assertNotIn("--report-to", crew.viewer("p01", through_peer).arguments)
