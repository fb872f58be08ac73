"""The configuration for nginx in deploy/, under a real nginx: its manners, and peers on it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from unittest import SkipTest

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.testing import MemoryFilm
from dashp2p.web.cors import ACCEPTED
from tests.processes import HOST, ROOT, Daemon, Daemons, free_port, wait_until

CONFIGURATION = ROOT / "deploy" / "nginx" / "dashp2p-origin.conf"
FILM = MemoryFilm.make(segments=4, segment_bytes=300_000)
MEDIA = [f"chunk_0_{number}.m4s" for number in range(1, 5)]
TIMEOUT_S = 20.0
MAIN = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/origin.conf;
}}
"""
SAME_HEADERS = (
    *("Content-Type", "Content-Length", "Content-Range", "Cache-Control"),
    *("Access-Control-Allow-Origin", "Timing-Allow-Origin", "Cross-Origin-Resource-Policy"),
    "X-Content-Type-Options",
)


@frozen
class Got:
    """An HTTP answer, of any status."""

    code: int
    headers: Message
    body: bytes


def ask(url: str, method: str = "GET", **headers: str) -> Got:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return Got(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Got(error.code, error.headers, error.read())


class NginxTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if nginx is None:
            raise SkipTest("nginx is not installed (on Debian: apt install nginx-light)")
        self.nginx_program = nginx
        self.daemons = Daemons(self)
        self.site = self.daemons.folder / "srv"
        self.film = self.daemons.lay(FILM.files, "srv/dash")
        self.nginx = self.start_nginx()

    def start_nginx(self) -> Daemon:
        """The shipped server block, with this test's port and folder."""
        folder, port = self.daemons.folder, free_port()
        text = CONFIGURATION.read_text()
        for shipped, own in (
            ("listen 9000;", f"listen {HOST}:{port};"),
            ("listen [::]:9000;", ""),
            ("root /srv/dashp2p;", f"root {self.site};"),
        ):
            self.assertIn(shipped, text)
            text = text.replace(shipped, own)
        (folder / "origin.conf").write_text(text)
        # nginx that root starts gives up its rights, and temporary folders are the owner's alone.
        user = "user root;" if os.geteuid() == 0 else ""
        main = folder / "nginx.conf"
        main.write_text(MAIN.format(folder=folder, user=user))
        log = folder / "nginx.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.nginx_program, "-e", str(folder / "error.log"), "-c", str(main)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        daemon = Daemon("nginx", f"http://{HOST}:{port}", log, process)
        self.daemons.started.append(daemon)
        wait_until("nginx answers", lambda: self.answers(daemon), TIMEOUT_S)
        return daemon

    def answers(self, daemon: Daemon) -> bool:
        self.assertTrue(daemon.running, daemon.log.read_text())
        try:
            return ask(f"{daemon.url}/healthz").code == 200
        except OSError:
            return False


class MannersTests(NginxTestCase):
    """What players and peers notice of a server."""

    def ask(self, path: str, method: str = "GET", **headers: str) -> Got:
        return ask(f"{self.nginx.url}/dash/{path}", method, **headers)

    def test_files_their_heads_and_their_parts_are_as_dashp2p_origin_has_them(self) -> None:
        origin = self.daemons.origin(self.film)
        origin.wait_ready()
        asked = [(path, "GET", "") for path in ("dash.mpd", "index.json", "index.blocks", MEDIA[0])]
        asked += [(path, "HEAD", "") for path in ("index.sig", MEDIA[0])]
        asked += [(MEDIA[0], "GET", f"bytes={part}") for part in ("0-99", "100000-199999", "-16")]
        for path, method, part in asked:
            headers = {"Range": part} if part else {}
            theirs = self.ask(path, method, **headers)
            ours = ask(f"{origin.url}/dash/{path}", method, **headers)
            told = f"{method} {path} {part}"
            self.assertEqual((theirs.code, theirs.body), (ours.code, ours.body), told)
            for name in SAME_HEADERS:
                self.assertEqual(theirs.headers[name], ours.headers[name], f"{name} of {told}")

    def test_who_has_it_gets_no_body(self) -> None:
        first = self.ask(MEDIA[0])
        self.assertEqual(first.headers["Accept-Ranges"], "bytes")
        again = self.ask(MEDIA[0], If_None_Match=first.headers["ETag"])
        self.assertEqual((again.code, again.body), (304, b""))

    def test_what_is_being_written_is_not_there(self) -> None:
        for name in (".hidden", "half.m4s.tmp", "half.part", "old~"):
            (self.film / name).write_bytes(b"half")
            self.assertEqual(self.ask(name).code, 404, name)
        self.assertEqual(self.ask("nothing.m4s").code, 404)

    def test_nobody_writes(self) -> None:
        for method in ("POST", "PUT", "DELETE"):
            self.assertEqual(self.ask("dash.mpd", method).code, 405)

    def test_a_page_of_another_site_may_ask_with_cmcd_headers(self) -> None:
        answer = self.ask(MEDIA[0], "OPTIONS", Origin="https://site.example")
        self.assertEqual(answer.code, 204)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertEqual(answer.headers["Access-Control-Allow-Headers"], ACCEPTED)


class PeersTests(NginxTestCase):
    """Three peers and a tracker whose origin is nginx."""

    def setUp(self) -> None:
        super().setUp()
        tracker = self.daemons.tracker()
        tracker.wait_ready()
        self.peers = [self.daemons.peer(number, self.nginx, tracker) for number in range(3)]
        for peer in self.peers:
            peer.wait_ready()

    def test_all_get_the_origins_bytes_and_one_copy_leaves_it(self) -> None:
        wait_until("all have neighbours", self.all_linked, TIMEOUT_S)
        for peer in self.peers:
            for name in MEDIA:
                body = ask(f"{peer.url}/dash/{name}").body
                self.assertEqual(digest(body), digest(FILM.files[name]), name)
        sums = [peer.stats()["bytes"] for peer in self.peers]
        media = sum(len(FILM.files[name]) for name in MEDIA)
        self.assertGreater(sum(each["peers"] for each in sums), 1.5 * media)
        self.assertLess(sum(each["origin"] for each in sums), 1.5 * media)
        self.assertEqual({peer.stats()["mode"] for peer in self.peers}, {"sharing"})

    def all_linked(self) -> bool:
        return all(len(peer.stats()["neighbours"]) == 2 for peer in self.peers)

    def test_a_file_that_was_changed_at_nginx_is_never_served(self) -> None:
        name = MEDIA[2]
        path: Path = self.film / name
        path.write_bytes(bytes(len(FILM.files[name])))
        got = ask(f"{self.peers[0].url}/dash/{name}")
        self.assertNotEqual((got.code, got.body), (200, path.read_bytes()))


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
