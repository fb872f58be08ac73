"""ffmpeg's readers of DASH and HLS, and a client that asks as VLC does, at peers of one swarm."""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.ffmpeg import FfmpegFailed, find_ffmpeg
from tests.browser.film import small_film
from tests.processes import HOST, Daemon, Daemons

FILM_S = 12
FRAMES = FILM_S * 25
TIMEOUT_S = 60
SEGMENT = "chunk_0_2.m4s"


class PlainPlayersTestCase(SynchronousTestCase):
    """An origin, a tracker and two peers."""

    def setUp(self) -> None:
        try:
            self.ffmpeg = find_ffmpeg()
        except FfmpegFailed as error:
            raise SkipTest(f"no film to play: {error}") from None
        self.film: Path = small_film(FILM_S)
        daemons = Daemons(self)
        origin, tracker = daemons.origin(self.film), daemons.tracker()
        for daemon in (origin, tracker):
            daemon.wait_ready()
        self.peers = [daemons.peer(number, origin, tracker) for number in range(2)]
        for peer in self.peers:
            peer.wait_ready()


class FfmpegTests(PlainPlayersTestCase):
    """As ffplay and mpv read: with no CMCD, and as fast as it comes."""

    def frames(self, url: str) -> int:
        """How many pictures ffmpeg reads of a film, without a complaint."""
        done = subprocess.run(
            [
                *(self.ffmpeg, "-nostdin", "-hide_banner", "-v", "error", "-stats", "-i", url),
                *("-map", "0:v:0", "-codec", "copy", "-f", "null", "-"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = re.findall(r"frame=\s*(\d+)", done.stderr)
        return int(counts[-1]) if counts else 0

    def test_it_plays_dash_and_hls_and_the_second_viewer_costs_the_origin_little(self) -> None:
        dash, hls = self.peers
        self.assertEqual(self.frames(f"{dash.url}/dash/dash.mpd"), FRAMES)
        self.assertEqual(self.frames(f"{hls.url}/dash/master.m3u8"), FRAMES)
        got = hls.stats()["bytes"]
        self.assertGreater(got["peers"], 0)
        whole = sum(path.stat().st_size for path in self.film.glob("*.m4s"))
        from_origin = sum(peer.stats()["bytes"]["origin"] for peer in self.peers)
        self.assertLess(from_origin, 1.3 * whole)


class VlcTests(PlainPlayersTestCase):
    """Heads, parts, one connection for everything, and a reader that stops."""

    def setUp(self) -> None:
        super().setUp()
        self.peer: Daemon = self.peers[0]
        self.port = int(self.peer.url.rpartition(":")[2])
        self.segment = (self.film / SEGMENT).read_bytes()

    def test_heads_and_parts_on_one_connection(self) -> None:
        connection = HTTPConnection(HOST, self.port, timeout=TIMEOUT_S)
        self.addCleanup(connection.close)
        size = len(self.segment)
        for method, part, code, body in (
            ("HEAD", "", 200, b""),
            ("GET", "bytes=0-", 206, self.segment),
            ("GET", "bytes=1000-1999", 206, self.segment[1000:2000]),
            ("GET", "bytes=-10", 206, self.segment[-10:]),
            ("GET", f"bytes={size}-", 416, None),
            ("GET", "", 200, self.segment),
        ):
            headers = {"Range": part} if part else {}
            connection.request(method, f"/dash/{SEGMENT}", headers=headers)
            answer = connection.getresponse()
            read = answer.read()
            self.assertEqual(answer.status, code, f"{method} {part}")
            if body is not None:
                self.assertEqual(read, body, f"{method} {part}")
        self.assertEqual(self.peer.stats()["bytes"]["origin"] // size, 1)

    def test_a_reader_that_stops_in_the_middle_gets_the_rest_and_holds_up_nobody(self) -> None:
        """(That it may stop for minutes is tested on a clock: tests/peer/test_body.py.)"""
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.settimeout(TIMEOUT_S)
            reader.connect((HOST, self.port))
            request = f"GET /dash/{SEGMENT} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
            reader.sendall(request.encode())
            begun = reader.recv(1000)
            with urllib.request.urlopen(f"{self.peer.url}/dash/{SEGMENT}", timeout=TIMEOUT_S) as it:
                self.assertEqual(it.read(), self.segment)
            parts = [begun]
            while part := reader.recv(65536):
                parts.append(part)
        self.assertEqual(b"".join(parts).partition(b"\r\n\r\n")[2], self.segment)
