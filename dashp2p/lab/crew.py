"""What an experiment's programs are given: the daemons as anybody starts them, and players."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from dashp2p.lab.film import MPD_NAME, Film
from dashp2p.lab.forking import Job
from dashp2p.lab.scenario import Ablation, Lie, Player, Scenario
from dashp2p.lab.stage import ORIGIN, TRACKER, Stage

DAEMON = "dashp2p.lab.daemon"
STARTER = "dashp2p.lab.starter"
VIEWER = "dashp2p.lab.viewer"
LIAR = "dashp2p.lab.liar"
BROWSER = "dashp2p.lab.browser"
FALSE_BYTES_STATUS = 3
"""How a viewer ends that got a byte which the origin did not publish."""

ABLATE_VARIABLE = "DASHP2P_ABLATE"


@frozen
class Crew:
    """Who runs with which arguments in one run; all files below `folder`."""

    stage: Stage
    scenario: Scenario
    film: Film
    folder: Path
    ablations: frozenset[Ablation] = frozenset()

    def origin(self) -> Job:
        arguments = ["--listen", self.stage.listen(ORIGIN), "--root", str(self.film.folder)]
        return self._daemon(ORIGIN, "dashp2p-origin", arguments)

    def tracker(self) -> Job:
        return self._daemon(TRACKER, "dashp2p-tracker", ["--listen", self.stage.listen(TRACKER)])

    def peer(self, host: str, prepared: bool) -> Job:
        """`prepared`: under the starter, so that it begins when it is told."""
        return self._daemon(host, "dashp2p-peer", self._peer_options(host), prepared)

    def liar(self, host: str, lie: Lie) -> Job:
        """A peer that does not play fair."""
        arguments = [lie.value, *self._peer_options(host)]
        return Job(LIAR, arguments, self.stage.namespace(host))

    def _peer_options(self, host: str) -> list[str]:
        return [
            *("--listen", self.stage.listen(host)),
            *("--exchange", self.stage.exchange(host)),
            *("--origin", f"{self.stage.origin_url}/dash"),
            *("--tracker", self.stage.tracker_url),
            *("--cache", str(self.folder / f"cache-{host}")),
            *("--cache-size", "2GiB"),
            *("--upload-rate", f"{self.scenario.links.uplink_bps / 1e6:g}Mbit"),
        ]

    def tracker_environment(self) -> dict[str, str]:
        """Its keys go away with the run."""
        return {"DASHP2P_TICKET_KEY": str(self.folder / "ticket-key")}

    def peer_environment(self) -> dict[str, str]:
        names = ",".join(sorted(ablation.value for ablation in self.ablations))
        return {ABLATE_VARIABLE: names}  # empty too: a shell's own must not steer the run

    def viewer(self, host: str, through_peer: bool) -> Job:
        """A headless viewer, imported and waiting; behind the host's peer or straight at the
        origin.
        """
        base = self.stage.base_url(host) if through_peer else self.stage.origin_url
        if self.scenario.player is Player.DASHJS:
            return self._browser(host, base, through_peer)
        extra = ["--cmcd", "--cmsd"] if self.scenario.player is Player.CMCD else []
        if (most_bps := self.scenario.wanted_bps(host)) is not None:
            extra += ["--most", f"{most_bps:g}"]
        if through_peer:
            extra += ["--verify-against", str(self.film.folder)]
        # The reactor too, or the import of its kind, a tenth of a second in a crowd, is measured.
        options = ["--import", VIEWER, "--import", "twisted.internet.reactor"]
        if self.scenario.cold and through_peer:
            options += ["--listening", base.removeprefix("http://")]
        return self._prepared(
            host,
            options,
            VIEWER,
            [
                f"{base}/dash/{MPD_NAME}",
                *("--buffer", f"{self.scenario.buffer_s:g}"),
                *("--json", str(self.viewer_result(host))),
                *("--id", host),
                *extra,
            ],
        )

    def _browser(self, host: str, base: str, through_peer: bool) -> Job:
        """The peer's own page, or dash.js as it comes in front of the origin."""
        where = [f"{base}/client/"] if through_peer else [f"{base}/dash/{MPD_NAME}", "--bare"]
        if self.scenario.cold and through_peer:
            where += ["--listening", base.removeprefix("http://")]
        where += ["--film", str(self.film.folder), "--json", str(self.viewer_result(host))]
        return Job(BROWSER, [*where, "--id", host], self.stage.namespace(host))

    def viewer_result(self, host: str) -> Path:
        return self.folder / f"viewer-{host}.json"

    def _daemon(self, host: str, plugin: str, arguments: list[str], prepared: bool = False) -> Job:
        arguments = ["-n", "--pidfile=", plugin, *arguments]
        if prepared:
            imports = ["--import", f"{plugin.replace('-', '.')}.service"]
            return self._prepared(host, imports, DAEMON, arguments)
        return Job(DAEMON, arguments, self.stage.namespace(host))

    def _prepared(self, host: str, options: list[str], module: str, arguments: list[str]) -> Job:
        """A program that waits to be told when to begin."""
        return Job(STARTER, [*options, module, *arguments], self.stage.namespace(host))
