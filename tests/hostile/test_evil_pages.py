"""A page of any site, and anybody on this machine, in front of a peer's HTTP port."""

from __future__ import annotations

import contextlib
import socket
import time

from tests.hostile.support import FILM, HostileTestCase, QuietHandler
from tests.processes import HOST, Daemon

REFUSED = (403, 421)
JSON = "Content-Type: application/json"
SWARM_HEX = FILM.signature.swarm_id.hex().encode()
FLOOD = 300
MIB = 1 << 20


def request(line: str, *headers: str, host: str = "localhost", body: bytes = b"") -> bytes:
    lines = [line, f"Host: {host}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class EvilPageTests(HostileTestCase):
    def peer(self) -> Daemon:
        return self.victim(f"{self.origin().url}/dash")

    def test_a_page_of_another_site_reads_and_changes_nothing(self) -> None:
        """Outcome: 403 or 421 for each, no header that lets the page read; nothing is noted."""
        peer = self.peer()
        ask = "GET /stats HTTP/1.1"
        self.assertEqual(self.status_of(peer, request(ask)), 200)
        for host in ("evil.example", "evil.example:8001", "127.0.0.1.evil.example", "", "[::2]"):
            self.assertIn(self.status_of(peer, request(ask, host=host)), (*REFUSED, 400), host)
        two = request(ask, "Host: evil.example")
        self.assertIn(self.status_of(peer, two), (*REFUSED, 400))
        foreign = ("Origin: https://evil.example", "Content-Type: application/json")
        qoe = b'{"v":1,"sid":"evil","state":"playing"}'
        length = f"Content-Length: {len(qoe)}"
        for line in ("GET /dash/dash.mpd HTTP/1.1", "POST /qoe HTTP/1.1", ask):
            body = qoe if line.startswith("POST") else b""
            extra = (*foreign, length) if body else foreign
            heard = self.raw(peer, request(line, *extra, body=body))
            self.assertIn(int(heard.split(b" ")[1]), REFUSED, line)
            self.assertNotIn(b"access-control-allow-origin", heard.lower(), line)
        plain = request("POST /qoe HTTP/1.1", "Content-Type: text/plain", length, body=qoe)
        self.assertEqual(self.status_of(peer, plain), 415)
        self.assertEqual(peer.stats()["sessions"], [])

    def test_it_is_no_proxy_to_other_places_and_tells_no_file(self) -> None:
        """Outcome: 4xx for each; the server that an attacker names is never asked."""
        canary = self.server(QuietHandler)
        peer = self.peer()
        for line in (
            f"GET {canary.url}/dash/secret HTTP/1.1",
            f"CONNECT {HOST}:{canary.server_port} HTTP/1.1",
            f"GET /dash/{canary.url}/secret HTTP/1.1",
            f"GET /dash//{HOST}:{canary.server_port}/secret HTTP/1.1",
            f"GET /dash/..%2f..%2f@{HOST}:{canary.server_port}/ HTTP/1.1",
            "GET /dash/../../../../etc/passwd HTTP/1.1",
            "GET /dash/%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
            "GET /dash/..%5c..%5cetc/passwd HTTP/1.1",
            "GET /dash/dash.mpd%00.m4s HTTP/1.1",
            "GET /client/../../peer.key HTTP/1.1",
            "GET /client/%2e%2e/%2e%2e/pyproject.toml HTTP/1.1",
        ):
            heard = self.raw(peer, request(line))
            code = int(heard.split(b" ", 2)[1]) if heard else 400
            self.assertTrue(400 <= code < 500, f"{line}: {heard[:200]!r}")
            self.assertNotIn(b"root:", heard)
        self.assertEqual(canary.asked, [])
        self.assert_plays(peer)

    def test_giant_bodies_and_headers_are_refused_before_they_are_kept(self) -> None:
        """Outcome: 413 and 431 within a second; 64 MiB sent all the same add nothing."""
        peer = self.peer()
        post = "POST /qoe HTTP/1.1"
        json = "Content-Type: application/json"

        def attack() -> None:
            big = request(post, json, "Content-Length: 99999999999")
            self.assertEqual(self.status_of(peer, big), 413)
            chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
            chunked = request(post, json, "Transfer-Encoding: chunked", body=chunk * 64)
            self.assertIn(self.status_of(peer, chunked), (413, 0))
            many = request("GET / HTTP/1.1", *(f"X-{n}: y" for n in range(5000)))
            self.assertIn(self.status_of(peer, many), (431, 400, 0))
            long = request("GET / HTTP/1.1", "X: " + "y" * 8 * MIB)
            self.assertIn(self.status_of(peer, long), (431, 400, 0))
            self.assertIn(self.status_of(peer, b"GET /" + b"a" * 8 * MIB), (431, 400, 414, 0))

        began_s = time.monotonic()
        self.grows_little(peer, attack)
        self.assertLess(time.monotonic() - began_s, 30.0)
        self.assert_plays(peer)

    def test_slow_and_greedy_clients_cost_little_and_hold_nobody_up(self) -> None:
        """Outcome: 300 half requests and 20 pipelines that read nothing; players are served."""
        peer = self.peer()
        port = int(peer.url.rpartition(":")[2])

        def attack() -> None:
            with contextlib.ExitStack() as stack:
                for number in range(FLOOD):
                    slow = stack.enter_context(socket.create_connection((HOST, port), 5.0))
                    with contextlib.suppress(OSError):
                        slow.sendall(b"GET /dash/dash.mpd HTTP/1.1\r\nHost: local")
                    if number % 15 == 0:
                        greedy = stack.enter_context(socket.create_connection((HOST, port), 5.0))
                        greedy.setblocking(False)
                        segment = b"GET /dash/chunk_0_1.m4s HTTP/1.1\r\nHost: localhost\r\n\r\n"
                        with contextlib.suppress(OSError):
                            greedy.send(segment * 2000)
                self.assert_plays(peer)

        self.grows_little(peer, attack)
        self.assert_plays(peer, "chunk_0_2.m4s")


class EvilPageElsewhereTests(HostileTestCase):
    """The same in front of the tracker and the origin, which answer to any name but for figures."""

    def test_what_tells_about_viewers_is_read_by_no_page(self) -> None:
        """Outcome: 403 for each under a name that is not this machine's, and through a proxy."""
        self.swarm()
        tracker, origin = self.daemons.started[0], self.daemons.started[1]
        for daemon, paths in (
            (tracker, ("/swarms", "/metrics", "/live", "/tracker?segment=1")),
            (origin, ("/metrics",)),
        ):
            for path in paths:
                line = f"GET {path} HTTP/1.1"
                heard = self.raw(daemon, request(line, host="evil.example"))
                self.assertIn(int(heard.split(b" ")[1]), REFUSED, path)
                for told in (SWARM_HEX, b"# HELP"):
                    self.assertNotIn(told, heard, path)
                proxied = request(line, "X-Forwarded-For: 203.0.113.9")
                self.assertIn(self.status_of(daemon, proxied), REFUSED, path)

    def test_giant_bodies_and_headers_cost_them_nothing(self) -> None:
        """Outcome: 4xx within a second, memory within 24 MiB; they serve on."""
        peer = self.swarm()
        for daemon in self.daemons.started[:2]:

            def attack(daemon: Daemon = daemon) -> None:
                big = request("POST /announce HTTP/1.1", JSON, "Content-Length: 99999999999")
                self.assertIn(self.status_of(daemon, big), (405, 413))
                chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
                chunked = ("POST /announce HTTP/1.1", JSON, "Transfer-Encoding: chunked")
                code = self.status_of(daemon, request(*chunked, body=chunk * 64))
                self.assertIn(code, (0, 405, 413))
                many = request("GET / HTTP/1.1", *(f"X-{n}: y" for n in range(5000)))
                self.assertIn(self.status_of(daemon, many), (0, 400, 431))

            self.grows_little(daemon, attack)
        self.assert_plays(peer)
