"""What a container's health check asks, and what it makes of the answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.healthcheck import USUAL_PORTS, is_alive, main, urls
from tests.processes import Daemons, free_port


class HealthcheckTests(SynchronousTestCase):
    """Its addresses, and real answers."""

    def test_it_asks_the_port_that_the_environment_names(self) -> None:
        for told in (
            {"DASHP2P_LISTEN": "tcp:8123:interface=0.0.0.0", "PORT": "1"},
            {"DASHP2P_LISTEN": "tcp6:8123:interface=\\:\\:"},
            {"DASHP2P_LISTEN": "8123"},
            {"PORT": "8123"},
        ):
            self.assertEqual(urls([], told), ["http://127.0.0.1:8123/healthz"])

    def test_else_it_asks_the_usual_ports(self) -> None:
        self.assertEqual(urls([], {}), [f"http://127.0.0.1:{port}/healthz" for port in USUAL_PORTS])

    def test_an_address_that_was_given_is_the_only_one(self) -> None:
        self.assertEqual(urls(["http://a:1/readyz"], {"PORT": "2"}), ["http://a:1/readyz"])

    def test_a_daemon_that_runs_is_alive_and_its_missing_pages_are_not(self) -> None:
        tracker = Daemons(self).tracker()
        tracker.wait_ready()
        self.assertTrue(is_alive(f"{tracker.url}/healthz"))
        self.assertFalse(is_alive(f"{tracker.url}/nothing"))
        self.assertEqual(main([f"{tracker.url}/healthz"]), 0)

    def test_nobody_there_is_not_alive(self) -> None:
        self.assertEqual(main([f"http://127.0.0.1:{free_port()}/healthz"]), 1)
