"""Options of twistd dashp2p-peer: defaults, variables, refusals, and the service they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.service import PeerService
from dashp2p.peer.tap import Options, ablations, makeService
from dashp2p.swarm.policy import ABLATIONS


class TapTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.environ: dict[str, str] = {}

    def options(self, *argv: str) -> Options:
        """As read from a command line and this test's environment."""
        options = Options()
        options.environ = {"DASHP2P_CACHE": str(self.folder), **self.environ}
        options.parseOptions(list(argv))
        return options

    def refusal(self, *argv: str) -> str:
        return str(self.assertRaises(UsageError, self.options, *argv))

    def service(self, *argv: str) -> PeerService:
        service: Any = makeService(self.options(*argv), MemoryReactorClock())
        assert isinstance(service, PeerService)
        return service


class OptionsTests(TapTestCase):
    def test_defaults(self) -> None:
        options = self.options()
        self.assertEqual(options["listen"], "tcp:8001:interface=127.0.0.1")
        self.assertEqual(options["exchange"], "tcp:0")
        self.assertEqual(options["origin"], "http://127.0.0.1:9000/dash")
        self.assertEqual(options["cache-size"], 2 << 30)
        for name in ("tracker", "admin", "upload-rate", "origin-key", "ca", "client"):
            self.assertIsNone(options[name], name)
        for name in ("allow-host", "allow-origin"):
            self.assertEqual(options[name], (), name)

    def test_caps_by_address_are_options(self) -> None:
        settings = self.service().settings
        self.assertEqual((settings.links_per_address, settings.connections_per_address), (32, 64))
        caps = ("--links-per-address", "0", "--connections-per-address", "7")
        settings = self.service(*caps).settings
        self.assertEqual((settings.links_per_address, settings.connections_per_address), (None, 7))

    def test_what_is_shared_is_an_option(self) -> None:
        self.assertEqual(self.service().settings.mode, "full")
        self.environ["DASHP2P_MODE"] = "download-only"
        self.assertEqual(self.service().settings.mode, "download-only")
        self.assertIn("off", self.refusal("--mode", "none"))

    def test_the_command_line(self) -> None:
        options = self.options(
            *("--listen", "tcp:8002:interface=127.0.0.1", "--exchange", "tcp:4001"),
            *("--origin", "https://o.example/dash", "--tracker", "http://t.example:7000"),
            *("--cache-size", "500MiB", "--upload-rate", "20Mbit", "--origin-key", "ab" * 32),
            *("--allow-host", "tv.local", "--allow-host", "10.0.0.5"),
            *("--allow-origin", "https://films.example"),
        )
        self.assertEqual(options["cache-size"], 500 << 20)
        self.assertEqual(options["upload-rate"], 20_000_000)
        self.assertEqual(options["origin-key"], bytes.fromhex("ab" * 32))
        self.assertEqual(options["allow-host"], ("tv.local", "10.0.0.5"))
        self.assertEqual(options["allow-origin"], ("https://films.example",))

    def test_the_variables_of_the_first_prototypes_compose_file(self) -> None:
        self.environ = {
            "PORT": "8005",
            "TRACKER": "http://tracker:7000",
            "ORIGIN": "http://origin:9000/dash",
        }
        options = self.options()
        self.assertIn("8005", options["listen"])
        self.assertEqual(options["tracker"], "http://tracker:7000")
        self.assertEqual(options["origin"], "http://origin:9000/dash")

    def test_our_own_variables_and_the_command_line_before_them(self) -> None:
        self.environ = {"DASHP2P_ORIGIN": "http://a.example/dash", "ORIGIN": "http://b.example/d"}
        self.assertEqual(self.options()["origin"], "http://a.example/dash")
        options = self.options("--origin", "http://c.example/dash")
        self.assertEqual(options["origin"], "http://c.example/dash")

    def test_bad_values_are_refused_by_name(self) -> None:
        for name, value in (
            ("listen", "tcp:http"),
            ("exchange", "carrier-pigeon:4001"),
            ("origin", "ftp://o.example/dash"),
            ("origin", "o.example"),
            ("tracker", "7000"),
            ("cache-size", "much"),
            ("upload-rate", "-1Mbit"),
            ("origin-key", "ab"),
            ("ca", "/nowhere/ca.pem"),
            ("allow-host", "http://tv.local/"),
            ("allow-origin", "films.example/path"),
            ("client", "/nowhere"),
            ("ablate", "no-such-thing"),
        ):
            why = self.refusal(f"--{name}", value)
            self.assertIn(f"--{name}", why)
            self.assertNotIn("\n", why)

    def test_a_bad_variable_is_refused_by_name(self) -> None:
        self.environ = {"TRACKER": "7000"}
        self.assertIn("TRACKER", self.refusal())

    def test_every_ablation_has_its_name(self) -> None:
        for name in ABLATIONS:
            self.assertEqual(self.options("--ablate", name)["ablate"], name)
        together = self.options("--ablate", "no-lease, no-hedge")["ablate"]
        self.assertEqual(ablations(together), {"no-lease", "no-hedge"})
        self.assertEqual(ablations(""), frozenset())
        self.assertEqual(ablations(" , ,"), frozenset())

    def test_help_names_options_and_variables(self) -> None:
        told = str(self.options())
        for name in ("--listen=", "--tracker=", "--cache=", "--ablate=", "DASHP2P_CACHE_SIZE"):
            self.assertIn(name, told)


class ServiceTests(TapTestCase):
    def test_the_options_are_its_settings(self) -> None:
        settings = self.service(
            *("--tracker", "http://t.example:7000", "--upload-rate", "8Mbit"),
            *("--ablate", "no-cmsd", "--allow-host", "tv.local", "--admin", "tcp:9100"),
        ).settings
        self.assertEqual(settings.tracker_url, "http://t.example:7000")
        self.assertEqual(settings.upload_bps, 8_000_000)
        self.assertEqual(settings.ablations, {"no-cmsd"})
        self.assertEqual(settings.allow_hosts, ("tv.local",))
        self.assertEqual(settings.admin, "tcp:9100")
        self.assertEqual(settings.cache, self.folder)

    def test_making_it_touches_neither_disk_nor_network(self) -> None:
        service = self.service()
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertFalse(service.running)

    def test_a_tracker_is_not_needed(self) -> None:
        self.assertIsNone(self.service().settings.tracker_url)
