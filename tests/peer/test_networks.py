"""How fast the films of an origin came is remembered from one run to the next."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.limits import MAX_NETWORKS, MAX_RATE_BPS
from dashp2p.peer.networks import NETWORKS_FILE, remembered_networks
from tests.peer.test_service import SEGMENT, ServiceTestCase

URL = "http://origin.test/dash"


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())

    def known_bps(self) -> float | None:
        networks = remembered_networks(self.file)
        networks.load()
        return networks.get(URL)

    def test_a_rate_is_kept(self) -> None:
        self.assertIsNone(self.known_bps())
        remembered_networks(self.file).learn(URL, 4_321_000.6)
        self.assertEqual(self.known_bps(), 4_321_001)

    def test_what_is_no_rate_counts_as_none(self) -> None:
        wrong: list[object] = [0, -5, int(MAX_RATE_BPS) + 1, True, 1.5, "9", None, {}]
        for value in wrong:
            self.file.write_text(json.dumps({URL: value}))
            with capturedLogs() as events:
                self.assertIsNone(self.known_bps(), value)
            self.assertIn("the rates of networks", formatEvent(events[0]))

    def test_only_so_many_are_kept(self) -> None:
        networks = remembered_networks(self.file)
        for number in range(MAX_NETWORKS + 1):
            networks.learn(f"{URL}/{number}", 1e6)
        self.assertEqual(len(json.loads(self.file.read_text())), MAX_NETWORKS)


class RestartTests(ServiceTestCase):
    def kept(self) -> object:
        file = self.cache / NETWORKS_FILE
        return json.loads(file.read_text()) if file.exists() else None

    def test_a_peer_remembers_how_fast_its_network_was(self) -> None:
        self.origin.chunk_s = 0.02
        first = self.start(0.2)
        self.ask(first, f"/dash/{SEGMENT}", 3.0)
        measured_bps = first.advice.measured_bps
        assert measured_bps is not None
        self.stop(first)
        second = self.start()
        self.assertEqual(second.advice.etp_bps, round(measured_bps))
        self.assertIsNone(second.advice.measured_bps)

    def test_of_another_origin_nothing_is_known(self) -> None:
        self.cache.mkdir(parents=True)
        (self.cache / NETWORKS_FILE).write_text(json.dumps({"http://other.test/dash": 1_000_000}))
        self.assertIsNone(self.start(0.2).advice.etp_bps)

    def test_a_run_that_measured_nothing_leaves_it_as_it_was(self) -> None:
        self.stop(self.start())
        self.assertIsNone(self.kept())
