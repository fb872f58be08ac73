"""Hosts, private resources, CORS, JSON, health and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from dashp2p.web.cors import CorsPolicy
from dashp2p.web.health import HealthResource, ReadyResource
from dashp2p.web.hosts import AdminGuard, HostGuard
from dashp2p.web.json import BadRequestError, ErrorResource, json_body, not_allowed, read_json
from dashp2p.web.metrics import Family, Histogram, Metrics, MetricsResource
from dashp2p.web.private import PrivateResource
from dashp2p.web.site import BoundedSite
from tests.web.support import LOOPBACK, STRANGER, Answer, Connection, Recorder, ask, v6


def hello(request: Request) -> bytes:
    return b"hello"


class HostTests(SynchronousTestCase):
    def code(self, *headers: str, names: Iterable[str] = ()) -> int:
        client = Connection(BoundedSite(Recorder(hello), Clock(), guard=HostGuard(names)))
        lines = ["GET / HTTP/1.1", *headers, "", ""]
        client.send("\r\n".join(lines).encode("latin-1"))
        return Answer.of(client).code

    def test_loopback_names_are_answered_on_any_port(self) -> None:
        for name in (
            "localhost",
            "LOCALHOST:8001",
            "127.0.0.1:8001",
            "[::1]:80",
            "[::1]",
            "localhost.",
        ):
            self.assertEqual(self.code(f"Host: {name}"), 200, name)

    def test_other_names_are_not(self) -> None:
        for name in ("evil.example", "evil.example:8001", "localhost.evil.example",
                     "127.0.0.1.nip.io", "", "localhost:", "localhost:80:80", "::1",
                     "127.0.0.2", "0.0.0.0", "localhost@evil.example", "a b", "[::1"):  # fmt: skip
            self.assertEqual(self.code(f"Host: {name}"), 421, name)

    def test_no_name_and_two_names_are_refused(self) -> None:
        self.assertEqual(self.code(), 421)
        self.assertEqual(self.code("Host: localhost", "Host: localhost"), 421)

    def test_a_name_that_was_allowed_is_answered(self) -> None:
        self.assertEqual(self.code("Host: TV.lan:8001", names=["tv.lan"]), 200)


class AdminHostTests(HostTests):
    """The --admin listener: what a page cannot bear as its own name is answered."""

    def code(self, *headers: str, names: Iterable[str] = ()) -> int:
        client = Connection(BoundedSite(Recorder(hello), Clock(), guard=AdminGuard(names)))
        lines = ["GET / HTTP/1.1", *headers, "", ""]
        client.send("\r\n".join(lines).encode("latin-1"))
        return Answer.of(client).code

    def test_other_names_are_not(self) -> None:
        for name in ("evil.example", "10.0.0.5.nip.io:9100", "", "a b", "[evil.example]:9100"):
            self.assertEqual(self.code(f"Host: {name}"), 421, name)

    def test_addresses_and_plain_names_are_answered(self) -> None:
        for name in ("10.0.0.5:9100", "[fd00::5]:9100", "tracker:9100", "peer-1"):
            self.assertEqual(self.code(f"Host: {name}"), 200, name)


class PrivateTests(SynchronousTestCase):
    def ask(self, *headers: str, **options: object) -> Answer:
        return ask(PrivateResource(Recorder(hello)), "/", *headers, **options)  # type: ignore[arg-type]

    def test_this_machine_may_see(self) -> None:
        self.assertEqual(self.ask(peer=LOOPBACK).body, b"hello")
        self.assertEqual(self.ask(peer=v6("::1")).code, 200)

    def test_others_may_not(self) -> None:
        answer = self.ask(peer=STRANGER)
        self.assertEqual(answer.code, 403)
        self.assertIn("--admin", json.loads(answer.body)["error"])

    def test_whom_a_proxy_here_speaks_for_may_not(self) -> None:
        for header in (
            "X-Forwarded-For: 198.51.100.7",
            "Forwarded: for=a",
            "Via: 1.1 p",
            "X-Real-IP: a",
        ):
            self.assertEqual(self.ask(header).code, 403, header)

    def test_a_page_that_rebinds_its_name_may_not(self) -> None:
        client = Connection(BoundedSite(PrivateResource(Recorder(hello)), Clock()))
        client.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        self.assertEqual(Answer.of(client).code, 403)

    def test_everybody_may_on_the_admin_listener(self) -> None:
        site = BoundedSite(PrivateResource(Recorder(hello)), Clock(), private=True)
        client = Connection(site, STRANGER)
        client.send(b"GET / HTTP/1.1\r\nHost: metrics.example\r\n\r\n")
        self.assertEqual(Answer.of(client).code, 200)

    def test_an_address_that_counts_as_this_machine_may_and_no_other(self) -> None:
        for text, code in ((STRANGER.host, 200), ("198.51.100.8", 403)):
            local = frozenset({text})
            site = BoundedSite(PrivateResource(Recorder(hello)), Clock(), as_local=local)
            client = Connection(site, STRANGER)
            client.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n\r\n")
            self.assertEqual(Answer.of(client).code, code)

    def test_counting_as_this_machine_does_not_help_a_page_that_rebinds_its_name(self) -> None:
        local = frozenset({STRANGER.host})
        site = BoundedSite(PrivateResource(Recorder(hello)), Clock(), as_local=local)
        client = Connection(site, STRANGER)
        client.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        self.assertEqual(Answer.of(client).code, 403)

    def test_what_lies_below_is_private_too(self) -> None:
        inner = Resource()
        inner.putChild(b"deep", Recorder(hello))
        self.assertEqual(ask(PrivateResource(inner), "/deep").code, 200)
        self.assertEqual(ask(PrivateResource(inner), "/deep", peer=STRANGER).code, 403)


class CorsTests(SynchronousTestCase):
    site = CorsPolicy(frozenset({"https://site.example"}), methods=("GET", "HEAD", "POST"))

    def ask(self, policy: CorsPolicy, *headers: str, method: str = "GET") -> Answer:
        def answer(request: Request) -> bytes:
            if request.method == b"OPTIONS":
                return policy.preflight(request)
            return b"yes" if policy.apply(request) else b"no"

        return ask(Recorder(answer), "/", *headers, method=method)

    def test_a_public_resource_may_be_read_and_timed_by_any_page(self) -> None:
        answer = self.ask(CorsPolicy(), "Origin: https://any.example")
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["timing-allow-origin"], "*")
        self.assertIn("CMSD-Dynamic", answer.headers["access-control-expose-headers"])
        self.assertIn("Content-Range", answer.headers["access-control-expose-headers"])

    def test_a_preflight_tells_what_may_be_asked(self) -> None:
        answer = self.ask(CorsPolicy(), "Origin: https://any.example", method="OPTIONS")
        self.assertEqual(answer.code, 204)
        self.assertEqual(answer.headers["access-control-allow-methods"], "GET, HEAD")
        self.assertIn("CMCD-Request", answer.headers["access-control-allow-headers"])
        self.assertNotIn("access-control-allow-private-network", answer.headers)

    def test_a_site_on_the_list_may_read(self) -> None:
        answer = self.ask(self.site, "Origin: https://site.example")
        self.assertEqual(answer.body, b"yes")
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://site.example")
        self.assertEqual(answer.headers["vary"], "Origin")

    def test_another_site_is_refused(self) -> None:
        for origin in ("https://evil.example", "null", "http://site.example", "", "*",
                       "https://site.example.evil.example"):  # fmt: skip
            answer = self.ask(self.site, f"Origin: {origin}")
            self.assertEqual(answer.body, b"no", origin)
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_our_own_page_may_do_all(self) -> None:
        answer = self.ask(self.site, "Origin: http://localhost:8001")
        self.assertEqual(answer.body, b"yes")

    def test_players_that_are_no_pages_may_do_all(self) -> None:
        self.assertEqual(self.ask(self.site).body, b"yes")

    def test_media_that_another_page_loads_without_cors_is_refused(self) -> None:
        headers = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")
        self.assertEqual(self.ask(self.site, *headers).body, b"no")
        self.assertEqual(self.ask(self.site, "Sec-Fetch-Site: same-origin").body, b"yes")

    def test_a_link_from_another_page_may_be_followed(self) -> None:
        headers = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
        self.assertEqual(self.ask(self.site, *headers).body, b"yes")

    def test_a_preflight_of_another_site_is_refused(self) -> None:
        answer = self.ask(self.site, "Origin: https://evil.example", method="OPTIONS")
        self.assertEqual(answer.code, 403)
        self.assertNotIn("access-control-allow-methods", answer.headers)

    def test_a_site_on_the_list_may_reach_into_the_private_network(self) -> None:
        answer = self.ask(
            self.site,
            "Origin: https://site.example",
            "Access-Control-Request-Private-Network: true",
            method="OPTIONS",
        )
        self.assertEqual(answer.headers["access-control-allow-private-network"], "true")


class JsonTests(SynchronousTestCase):
    def post(self, body: bytes, media_type: str = "application/json", most: int = 1000) -> object:
        found: list[object] = []

        def answer(request: Request) -> bytes:
            try:
                found.append(read_json(request, most))
            except BadRequestError as error:
                found.append(error.code)
            return b""

        client = Connection(BoundedSite(Recorder(answer), Clock()))
        head = (
            f"POST / HTTP/1.1\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.send(head.encode() + body)
        return found[0]

    def test_an_object_is_read(self) -> None:
        self.assertEqual(self.post('{"a":[1,2.5,"é",null]}'.encode()), {"a": [1, 2.5, "é", None]})
        self.assertEqual(self.post(b"{}", "Application/JSON; charset=utf-8"), {})

    def test_the_type_must_say_json(self) -> None:
        for media_type in (
            "text/plain",
            "",
            "application/x-www-form-urlencoded",
            "application/jsonp",
        ):
            self.assertEqual(self.post(b"{}", media_type), 415, media_type)

    def test_what_is_no_json_is_refused(self) -> None:
        for body in (b"", b"{", b"{'a':1}", b"\xff{}", b'{"a":NaN}', b'{"a":Infinity}',
                     b'{"a":1e999}', b'{"a":"\\ud800"}', b"[]", b"1",
                     b'{"a":' + b"9" * 5000 + b"}"):  # fmt: skip
            self.assertEqual(self.post(body, most=10_000), 400, body)

    def test_deep_nesting_is_refused(self) -> None:
        self.assertEqual(self.post(b'{"a":' + b"[" * 15 + b"]" * 15 + b"}"), {"a": self.deep(15)})
        self.assertEqual(self.post(b'{"a":' + b"[" * 16 + b"]" * 16 + b"}"), 400)
        self.assertEqual(self.post(b'{"a":' + b"[" * 20_000, most=30_000), 400)

    def deep(self, depth: int) -> list[object]:
        return [self.deep(depth - 1)] if depth > 1 else []

    def test_a_long_body_is_refused(self) -> None:
        self.assertEqual(self.post(b'{"a":"' + b"x" * 100 + b'"}', most=100), 413)

    @given(st.binary(max_size=50))
    def test_any_bytes_are_an_object_or_refused(self, body: bytes) -> None:
        self.assertIn(type(self.post(body)), (dict, int))

    def test_a_response_is_not_kept(self) -> None:
        answer = ask(Recorder(lambda request: json_body(request, {"v": 1})), "/")
        self.assertEqual(answer.body, b'{"v":1}\n')
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_an_error_is_a_sentence(self) -> None:
        answer = ask(ErrorResource(404, "there is no such segment"), "/x/y")
        self.assertEqual(answer.code, 404)
        self.assertEqual(json.loads(answer.body), {"v": 1, "error": "there is no such segment"})

    def test_a_method_that_is_not_allowed_learns_which_are(self) -> None:
        answer = ask(Recorder(lambda request: not_allowed(request, "GET", "HEAD")), "/")
        self.assertEqual((answer.code, answer.headers["allow"]), (405, "GET, HEAD"))


class HealthTests(SynchronousTestCase):
    def test_alive_is_alive(self) -> None:
        self.assertEqual(ask(HealthResource(), "/", peer=STRANGER).code, 200)

    def test_ready_without_reasons_against_it(self) -> None:
        reasons: list[str] = []
        resource = ReadyResource(lambda: reasons)
        self.assertEqual(ask(resource, "/").code, 200)
        reasons.append("the cache is full")
        answer = ask(resource, "/")
        self.assertEqual(answer.code, 503)
        self.assertEqual(json.loads(answer.body)["reasons"], ["the cache is full"])

    def test_other_methods_are_not_allowed(self) -> None:
        self.assertEqual(ask(HealthResource(), "/", method="POST").code, 405)
        self.assertEqual(ask(ReadyResource(lambda: []), "/", method="POST").code, 405)


class MetricsTests(SynchronousTestCase):
    def test_counters_gauges_and_histograms(self) -> None:
        waits = Histogram("dashp2p_wait_seconds", "Waits.", bounds=(0.1, 1.0))
        for value in (0.05, 0.1, 0.5, 5.0):
            waits.observe(value)
        metrics = Metrics(
            lambda: [
                Family(
                    "dashp2p_x_total", "X.", "counter", [({"kind": 'a"b'}, 3), ({"kind": "c"}, 0)]
                ),
                Family.of("dashp2p_now", "Now.", "gauge", 1.5),
                waits,
            ]
        )
        answer = ask(MetricsResource(metrics), "/")
        lines = answer.body.decode().splitlines()
        for line in (
            "# TYPE dashp2p_x_total counter",
            'dashp2p_x_total{kind="a\\"b"} 3.0',
            'dashp2p_x_total{kind="c"} 0.0',
            "dashp2p_now 1.5",
            'dashp2p_wait_seconds_bucket{le="0.1"} 2.0',
            'dashp2p_wait_seconds_bucket{le="1"} 3.0',
            'dashp2p_wait_seconds_bucket{le="+Inf"} 4.0',
            "dashp2p_wait_seconds_sum 5.65",
        ):
            self.assertIn(line, lines)
        self.assertTrue(any(line.startswith("process_resident_memory_bytes") for line in lines))
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))

    def test_values_are_those_of_the_moment(self) -> None:
        count = [1]
        metrics = Metrics()
        metrics.add(lambda: [Family.of("dashp2p_n", "N.", "gauge", count[0])])
        self.assertIn(b"dashp2p_n 1.0", metrics.render())
        count[0] = 2
        self.assertIn(b"dashp2p_n 2.0", metrics.render())

    def test_a_family_without_values_is_no_error(self) -> None:
        self.assertIn(
            b"dashp2p_none", Metrics(lambda: [Family("dashp2p_none", "-", "gauge", [])]).render()
        )

    def test_two_daemons_in_one_process_do_not_meet(self) -> None:
        one = Metrics(lambda: [Family.of("dashp2p_n", "N.", "gauge", 1)])
        two = Metrics(lambda: [Family.of("dashp2p_n", "N.", "gauge", 2)])
        self.assertIn(b"dashp2p_n 1.0", one.render())
        self.assertIn(b"dashp2p_n 2.0", two.render())
