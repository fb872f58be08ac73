"""The origin daemon's addresses, options and listeners."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.application.service import MultiService
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.origin.service import OriginService
from dashp2p.origin.tap import Options, makeService
from dashp2p.web.listener import DRAIN_S, StartRefused
from dashp2p.web.site import BoundedSite
from tests.web.support import LOOPBACK, STRANGER, Answer, Connection, code_under


class ServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()
        (self.root / "dash.mpd").write_bytes(b"<MPD/>")
        self.reactor = MemoryReactorClock()

    def options(self, *argv: str) -> Options:
        options = Options()
        options.environ = {}
        options.parseOptions(["--root", str(self.root), *argv])
        return options

    def service(self, *argv: str) -> OriginService:
        service = makeService(self.options(*argv), self.reactor)
        assert isinstance(service, OriginService)
        return service

    def get(self, path: str, *, stranger: bool = False, site: BoundedSite | None = None) -> Answer:
        client = Connection(
            self.service().files.site if site is None else site, STRANGER if stranger else LOOPBACK
        )
        client.get(path)
        return Answer.of(client)

    def test_the_options_have_defaults(self) -> None:
        options = self.options()
        self.assertEqual(options["listen"], "tcp:9000")
        self.assertIsNone(options["admin"])
        self.assertEqual(options["connections-per-address"], 256)

    def test_a_bad_root_is_named(self) -> None:
        with self.assertRaises(usage.UsageError) as caught:
            self.options("--root", str(self.root / "none"))
        self.assertIn("--root (or DASHP2P_ROOT)", str(caught.exception))

    def test_files_are_below_dash(self) -> None:
        self.assertEqual(self.get("/dash/dash.mpd", stranger=True).body, b"<MPD/>")

    def test_other_addresses_are_not_there(self) -> None:
        for path in ("/", "/dash.mpd", "/favicon.ico", "/*"):
            answer = self.get(path)
            self.assertEqual(answer.code, 404, path)
            self.assertEqual(answer.headers["content-type"], "application/json")

    def test_health_answers_everybody(self) -> None:
        self.assertEqual(self.get("/healthz", stranger=True).code, 200)
        self.assertEqual(self.get("/readyz", stranger=True).code, 200)

    def test_without_a_film_it_is_not_ready(self) -> None:
        (self.root / "dash.mpd").unlink()
        answer = self.get("/readyz")
        self.assertEqual(answer.code, 503)
        self.assertIn("segment.sh", json.loads(answer.body)["reasons"][0])

    def test_without_its_root_it_is_not_ready(self) -> None:
        service = self.service()
        (self.root / "dash.mpd").unlink()
        self.root.rmdir()
        self.assertEqual(service.reasons(), ["the root folder cannot be read"])

    def test_figures_answer_this_machine_only(self) -> None:
        for path in ("/stats", "/metrics"):
            self.assertEqual(self.get(path).code, 200)
            self.assertEqual(self.get(path, stranger=True).code, 403)

    def test_stats_tell_what_was_served(self) -> None:
        service = self.service()
        self.get("/dash/dash.mpd", site=service.files.site)
        stats = json.loads(self.get("/stats", site=service.files.site).body)
        self.assertEqual((stats["v"], stats["bytes"]["manifest"]), (1, 6))
        metrics = self.get("/metrics", site=service.files.site).body.decode()
        self.assertIn('dashp2p_origin_sent_bytes_total{kind="manifest"} 6.0', metrics)
        self.assertIn("dashp2p_origin_connections 3.0", metrics)

    def test_the_admin_listener_shows_figures_to_everybody_and_no_files(self) -> None:
        service = self.service("--admin", "tcp:9100:interface=10.0.0.5")
        assert service.admin is not None
        self.assertEqual(self.get("/metrics", stranger=True, site=service.admin.site).code, 200)
        self.assertEqual(self.get("/healthz", stranger=True, site=service.admin.site).code, 200)
        self.assertEqual(self.get("/dash/dash.mpd", site=service.admin.site).code, 404)

    def test_the_admin_listener_heeds_under_which_name_it_is_asked(self) -> None:
        service = self.service("--admin", "tcp:9100", "--admin-host", "ops.example")
        assert service.admin is not None
        site = service.admin.site
        self.assertEqual(code_under(site, "evil.example:9100"), 421)
        self.assertEqual(code_under(site, "ops.example:9100"), 200)
        self.assertEqual(code_under(site, "10.0.0.5:9100"), 200)

    def test_it_listens_where_it_is_told(self) -> None:
        service = self.service("--listen", "tcp:9001:interface=127.0.0.1", "--admin", "9100")
        MultiService.privilegedStartService(service)
        MultiService.startService(service)
        self.assertEqual(
            [(port, interface) for port, _, _, interface in self.reactor.tcpServers],
            [(9001, "127.0.0.1"), (9100, "")],
        )
        self.successResultOf(MultiService.stopService(service))

    def test_a_taken_port_names_itself_and_its_option(self) -> None:
        def taken(*args: object, **kwargs: object) -> None:
            raise CannotListenError("", 9000, OSError(98, "Address already in use"))

        self.patch(self.reactor, "listenTCP", taken)
        with self.assertRaises(StartRefused) as caught:
            MultiService.privilegedStartService(self.service())
        line = str(caught.exception.code)
        self.assertIn("tcp:9000", line)
        self.assertIn("Address already in use", line)
        self.assertIn("--listen", line)
        self.assertNotIn("\n", line)

    def test_stopping_waits_for_responses_and_then_cuts_them_off(self) -> None:
        (self.root / "chunk.m4s").write_bytes(b"x" * 1_000_000)
        service = self.service()
        MultiService.startService(service)
        client = Connection(service.files.site, STRANGER)
        client.reading = False
        client.get("/dash/chunk.m4s")
        done = MultiService.stopService(service)
        self.assertNoResult(done)
        self.reactor.advance(DRAIN_S)
        self.successResultOf(done)
        self.assertTrue(client.aborted)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_response_may_end_while_it_stops(self) -> None:
        (self.root / "chunk.m4s").write_bytes(b"x" * 1_000_000)
        service = self.service()
        MultiService.startService(service)
        client = Connection(service.files.site, STRANGER)
        client.reading = False
        client.get("/dash/chunk.m4s")
        done = MultiService.stopService(service)
        client.reading = True
        self.assertEqual(len(Answer.of(client).body), 1_000_000)
        self.successResultOf(done)
        self.assertFalse(client.aborted)
