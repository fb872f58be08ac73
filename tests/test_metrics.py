"""All metrics of all daemons: named, explained and labelled as Prometheus' users expect, and those
that deploy/ draws are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.testing import MemoryReactorClock

from dashp2p.origin.tap import Options, makeService
from tests.peer.test_page import PageTestCase
from tests.peer.test_sessions import BEACON
from tests.tracker.support import Tracker, want
from tests.web.support import LOOPBACK, Answer, Connection

ROOT: Final = Path(__file__).parents[1]
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dashboards" / "dashp2p.json"
LABELS: Final = {"kind", "code", "status", "event", "result", "le"}
MOST_SAMPLES: Final = 64
NOT_BASE_UNITS: Final = re.compile(
    r"_(ms|milliseconds|s|sec|kb|kib|mb|mib|bits|bps|kbps|mbit|kbit|percent|minutes|hours)(_|$)"
)
SPELT_OUT: Final = "bits_per_second"
"""A bitrate in bytes would be nobody's word."""
PERSONAL: Final = re.compile(r"[0-9a-f]{16}|\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:]+")


def families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


class MetricsTests(PageTestCase):
    """Each daemon, with something to tell."""

    def setUp(self) -> None:
        super().setUp()
        self.texts = {
            "origin": self.origin_text(),
            "tracker": self.tracker_text(),
            "peer": self.peer_text(),
        }

    def origin_text(self) -> str:
        root = Path(self.mktemp())
        root.mkdir()
        (root / "dash.mpd").write_bytes(b"<MPD/>")
        options = Options()
        options.environ = {}
        options.parseOptions(["--root", str(root)])
        service: Any = makeService(options, MemoryReactorClock())
        for path in ("/dash/dash.mpd", "/metrics"):
            client = Connection(service.files.site, LOOPBACK)
            client.get(path)
        return Answer.of(client).body.decode()

    def tracker_text(self) -> str:
        tracker = Tracker()
        tracker.announce(1, stats={"viewers": 1, "origin_bytes": 5})
        tracker.lease(1, want=[want(1)])
        tracker.post("/announce", {})
        return tracker.get("/metrics").body.decode()

    def peer_text(self) -> str:
        self.report({**BEACON, "played_s": 10.0})
        return self.ask("/metrics").body.decode()

    def own(self) -> Iterable[tuple[str, Metric]]:
        for daemon, text in self.texts.items():
            for family in families(text):
                if family.name.startswith("dashp2p_"):
                    yield daemon, family

    def test_each_daemon_tells_of_itself_and_of_its_process(self) -> None:
        for daemon, text in self.texts.items():
            names = [family.name for family in families(text)]
            self.assertEqual(len(names), len(set(names)), daemon)
            self.assertIn("process_resident_memory_bytes", names)
            self.assertGreater(sum(name.startswith(f"dashp2p_{daemon}_") for name in names), 5)

    def test_names_say_whose_they_are_and_units_are_the_base_ones(self) -> None:
        for daemon, family in self.own():
            self.assertRegex(family.name, rf"^dashp2p_{daemon}_[a-z]+(_[a-z]+)*$")
            name = family.name.removesuffix(SPELT_OUT)
            self.assertIsNone(NOT_BASE_UNITS.search(name), family.name)

    def test_a_counter_ends_in_total_and_nothing_else_does(self) -> None:
        for _, family in self.own():
            self.assertIn(family.type, ("counter", "gauge", "histogram"), family.name)
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    self.assertEqual(sample.name.endswith("_total"), family.type == "counter")

    def test_each_has_a_sentence_of_help(self) -> None:
        for _, family in self.own():
            self.assertRegex(family.documentation, r"^[A-Z].{10,}\.$", family.name)

    def test_labels_are_few_and_tell_of_nobody(self) -> None:
        for _, family in self.own():
            self.assertLessEqual(len(family.samples), MOST_SAMPLES, family.name)
            for sample in family.samples:
                self.assertLessEqual(set(sample.labels), LABELS, family.name)
                for value in sample.labels.values():
                    self.assertIsNone(PERSONAL.search(value), family.name)

    def test_what_grafana_draws_is_told_by_a_daemon(self) -> None:
        told = {
            sample.name
            for text in self.texts.values()
            for family in families(text)
            for sample in family.samples
        }
        drawn = json.loads(DASHBOARD.read_text("utf-8"))
        expressions = [target["expr"] for panel in drawn["panels"] for target in panel["targets"]]
        self.assertGreater(len(expressions), 20)
        for expression in expressions:
            used = set(re.findall(r"\b(?:dashp2p|process)_\w+", expression))
            self.assertTrue(used, expression)
            self.assertEqual(used - told, set(), expression)

    def test_prometheus_asks_the_admin_listeners_that_compose_opens(self) -> None:
        asked = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8")
        compose = (ROOT / "docker-compose.yml").read_text("utf-8")
        self.assertEqual(compose.count("--admin=tcp:9100"), 3)
        for part in ('"origin:9100"', '"tracker:9100"', 'names: ["peer"]', "port: 9100"):
            self.assertIn(part, asked)
