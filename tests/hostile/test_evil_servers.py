"""Origins and trackers that lie, break off, never end, or send elsewhere."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import zlib
from pathlib import Path
from typing import ClassVar

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.content.signature import INDEX_NAME, IndexSignature
from dashp2p.peer.limits import ORIGIN_PATIENCE_S
from dashp2p.testing import MemoryFilm
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Data, Request
from tests.hostile.evil_peer import EvilPeer
from tests.hostile.support import (
    FILM,
    GROWTH_MB,
    OTHER_FILM,
    SEGMENT,
    FilmOrigin,
    HostileTestCase,
    QuietHandler,
)
from tests.processes import HOST, Daemon, wait_until

ISSUED_S = 1_700_000_000.0
RECUT = MemoryFilm.make(segment_bytes=290_000, issued_s=ISSUED_S + 60)
EXPIRED_FILM = MemoryFilm.make(segment_bytes=300_000, issued_s=ISSUED_S, expires_s=ISSUED_S + 60)
YESTERDAY = MemoryFilm.make(segments=4, segment_bytes=300_000, issued_s=ISSUED_S - 86_400)
"""The same film and swarm; another index."""
ENDLESS_S = 4.0
LEARNED_S = 15.0


class EvilOriginTests(HostileTestCase):
    """Outcome for all: only true bytes are played, or an error; memory within its bound."""

    def serve(self, handler: type[QuietHandler]) -> None:
        server = self.server(handler)
        peer = self.victim(f"{server.url}/dash")
        wait_until("the index is here", lambda: peer.stats()["mode"] == "sharing", LEARNED_S)
        self.grows_little(peer, lambda: self.assert_never_false(peer))
        self.assert_plays(peer, "chunk_0_2.m4s")

    def test_false_bytes(self) -> None:
        class Untrue(FilmOrigin):
            def spoil(self, data: bytes) -> None:
                self.part(data[:-5000] + bytes(5000))

        self.serve(Untrue)

    def test_a_page_in_place_of_a_segment(self) -> None:
        class Page(FilmOrigin):
            def spoil(self, data: bytes) -> None:
                self.give(b"<html>please log in</html>", Content_Type="text/html")

        self.serve(Page)

    def test_a_wrong_length(self) -> None:
        class Short(FilmOrigin):
            def spoil(self, data: bytes) -> None:
                self.give(data[: len(data) // 2])

        self.serve(Short)

    def test_a_body_without_end(self) -> None:
        class Endless(FilmOrigin):
            def spoil(self, data: bytes) -> None:
                self.send_response(200)
                self.end_headers()
                until = time.monotonic() + ENDLESS_S
                with contextlib.suppress(OSError):
                    while time.monotonic() < until:
                        self.wfile.write(bytes(1 << 20))

        self.serve(Endless)

    def test_a_small_body_that_inflates_without_end(self) -> None:
        """Outcome: 1 MB that would become 1 GB is not inflated; memory peaks below 24 MiB more."""
        bomb = inflating(1 << 30)

        class Inflating(FilmOrigin):
            def answer(self) -> None:
                if self.path.endswith(("1.m4s", "not-listed.m4s")):
                    self.give(bomb, Content_Encoding="gzip")
                else:
                    FilmOrigin.answer(self)

        peer = self.victim(f"{self.server(Inflating).url}/dash")
        before = peak_mb(peer)
        self.assert_never_false(peer)
        _, body = self.play(peer, "not-listed.m4s")
        self.assertTrue(body in (b"", bomb), "it was inflated on the way")
        self.assertLess(peak_mb(peer) - before, GROWTH_MB)
        self.assert_plays(peer, "chunk_0_2.m4s")

    def test_a_trickle(self) -> None:
        """Outcome: whatever is passed through is given up after 5 to 10 s; others are served."""

        class Trickle(FilmOrigin):
            def answer(self) -> None:
                if not self.path.endswith("not-listed.m4s"):
                    FilmOrigin.answer(self)
                    return
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for _ in range(200):
                        self.wfile.write(b"x" * 100)
                        time.sleep(0.1)

        peer = self.victim(f"{self.server(Trickle).url}/dash")
        began_s = time.monotonic()
        _, body = self.play(peer, "not-listed.m4s")
        took_s = time.monotonic() - began_s
        self.assertLess(took_s, 2 * ORIGIN_PATIENCE_S + 1.0)
        self.assertLess(len(body), 20_000)
        self.assert_plays(peer, "chunk_0_2.m4s")

    def test_proof_without_end(self) -> None:
        """Outcome: index.sig of any length is read up to 4 KiB; passed through, within 24 MiB."""

        class Long(FilmOrigin):
            def answer(self) -> None:
                if self.path.endswith(SIGNATURE_NAME):
                    self.give(b"{" + b" " * (64 << 20) + b"}")
                else:
                    FilmOrigin.answer(self)

        server = self.server(Long)
        peer = self.victim(f"{server.url}/dash", ready=False)

        def asked() -> None:
            wait_until("it has asked", lambda: f"/dash/{SIGNATURE_NAME}" in server.asked, LEARNED_S)
            self.assert_plays(peer, "chunk_0_2.m4s")

        wait_until("it is here", lambda: self.readyz(peer), LEARNED_S)
        self.grows_little(peer, asked)
        self.assertNotEqual(peer.stats()["mode"], "sharing")

    def test_an_index_whose_paths_lead_out(self) -> None:
        """Outcome: though the right key signed it, it is refused; nothing is shared or written."""
        document = json.loads(FILM.files[INDEX_NAME])
        document["representations"][0]["media"][0][0] = "../../evil.m4s"
        raw = json.dumps(document).encode()
        signature = IndexSignature.sign(raw, FILM.index.presentation_id, MemoryFilm.key(), 1)

        class Leading(FilmOrigin):
            spoil = FilmOrigin.part
            files: ClassVar[dict[str, bytes]] = {
                **FILM.files,
                INDEX_NAME: raw,
                SIGNATURE_NAME: signature.to_bytes(),
            }

        peer = self.victim(f"{self.server(Leading).url}/dash", ready=False)
        wait_until("/readyz says so", lambda: "safe relative path" in self.readyz(peer), LEARNED_S)
        self.assertEqual(peer.stats()["mode"], "pass-through")
        self.assertEqual(list(self.daemons.folder.rglob("evil*")), [])
        self.assert_plays(peer)

    def test_a_film_larger_than_the_cache(self) -> None:
        """Outcome: the folder never holds more than --cache-size; all is played."""

        class Whole(FilmOrigin):
            spoil = FilmOrigin.part

        quota_bytes = 700_000
        arguments = ("--cache-size", f"{quota_bytes}B")
        peer = self.victim(f"{self.server(Whole).url}/dash", *arguments)
        for number in (1, 2, 3, 4, 1, 2):
            self.assert_plays(peer, f"chunk_0_{number}.m4s")
            files = (self.daemons.folder / "cache-victim" / "segments").iterdir()
            self.assertLessEqual(sum(size_of(file) for file in files), quota_bytes)

    def test_a_redirect_elsewhere_is_not_followed(self) -> None:
        canary = self.server(QuietHandler)

        class Elsewhere(FilmOrigin):
            def spoil(self, data: bytes) -> None:
                self.give(b"", 302, Location=f"{canary.url}/metadata")

        self.serve(Elsewhere)
        self.assertEqual(canary.asked, [])

    def test_an_index_by_another_key_is_refused(self) -> None:
        class Swapped(FilmOrigin):
            def spoil(self, data: bytes) -> None:
                self.part(data)

        Swapped.files = dict(FILM.files)
        server = self.server(Swapped)
        peer = self.victim(f"{server.url}/dash")
        self.assert_plays(peer, "chunk_0_2.m4s")
        Swapped.files = dict(OTHER_FILM.files)
        self.assertEqual(peer.stop(), 0)
        again = self.victim(f"{server.url}/dash", ready=False)
        wait_until("it says so", lambda: "refused" in again.log.read_text(), LEARNED_S)
        self.assertEqual(again.stats()["mode"], "pass-through")

    def test_an_older_index_is_refused_and_the_film_goes_on(self) -> None:
        """Outcome: refused within a look or two, told on /readyz; not shared after a restart."""

        class Yesterday(FilmOrigin):
            spoil = FilmOrigin.part

        Yesterday.files = dict(RECUT.files)
        origin_url = f"{self.server(Yesterday).url}/dash"
        peer = self.victim(origin_url)
        code, body = self.play(peer, "chunk_0_2.m4s")
        self.assertTrue((code, body) == (200, RECUT.files["chunk_0_2.m4s"]))
        Yesterday.files = dict(FILM.files)
        # Files that do not fit the index make it look at once.
        self.play(peer, "chunk_0_3.m4s")
        wait_until("/readyz says so", lambda: "older" in self.readyz(peer), LEARNED_S)
        stats = peer.stats()
        self.assertEqual(stats["mode"], "sharing")
        self.assertEqual(stats["presentation"], RECUT.index.presentation_id)
        code, body = self.play(peer, "chunk_0_2.m4s")
        self.assertTrue((code, body) == (200, RECUT.files["chunk_0_2.m4s"]))
        self.assertEqual(peer.stop(), 0)
        again = self.victim(origin_url, ready=False)
        wait_until("/readyz says so", lambda: "older" in self.readyz(again), LEARNED_S)
        self.assertEqual(again.stats()["mode"], "pass-through")

    def test_with_unsigned_refused_nothing_unproven_is_played(self) -> None:
        """Outcome: 503 for what another key signed, and where the index was taken away."""

        class Stripped(FilmOrigin):
            spoil = FilmOrigin.part

        Stripped.files = dict(FILM.files)
        origin_url = f"{self.server(Stripped).url}/dash"
        peer = self.victim(origin_url, "--unsigned", "refuse")
        self.assert_plays(peer)
        self.assertEqual(self.play(peer, "not-listed.m4s")[0], 404)
        self.assertEqual(peer.stop(), 0)
        for files in (OTHER_FILM.files, {SEGMENT: FILM.files[SEGMENT]}):
            Stripped.files = dict(files)
            self.refuses_all(self.victim(origin_url, "--unsigned", "refuse", ready=False))

    def refuses_all(self, peer: Daemon) -> None:
        wait_until("it is here", lambda: self.readyz(peer), LEARNED_S)
        wait_until("it knows", lambda: peer.stats()["mode"] == "pass-through", LEARNED_S)
        self.assertEqual(self.play(peer)[0], 503)
        self.assertEqual(peer.stop(), 0)

    def test_an_expired_index_is_refused(self) -> None:
        """Outcome: passed through, not shared; told on /readyz."""

        class Expired(FilmOrigin):
            spoil = FilmOrigin.part
            files: ClassVar[dict[str, bytes]] = EXPIRED_FILM.files

        peer = self.victim(f"{self.server(Expired).url}/dash", ready=False)
        wait_until("/readyz says so", lambda: "expired" in self.readyz(peer), LEARNED_S)
        self.assertEqual(peer.stats()["mode"], "pass-through")
        code, body = self.play(peer)
        self.assertTrue((code, body) == (200, EXPIRED_FILM.files[SEGMENT]))

    def test_a_neighbour_that_replays_yesterdays_index_is_banned(self) -> None:
        """Outcome: cut within 5 s; the true index is learned all the same."""
        slow = threading.Event()
        self.addCleanup(slow.set)

        class Slow(FilmOrigin):
            spoil = FilmOrigin.part

            def answer(self) -> None:
                if self.path.endswith(INDEX_NAME):
                    slow.wait(LEARNED_S)
                FilmOrigin.answer(self)

        peer = self.victim(f"{self.server(Slow).url}/dash", ready=False)
        entry = FILM.signature.index_entry()
        wait_until("it knows the swarm", lambda: peer_knows(peer), LEARNED_S)
        evil = EvilPeer(self.exchange_port)
        self.addCleanup(evil.hang_up)
        evil.greet(FILM.signature.swarm_id, 1, len(FILM.index.entries))
        request = evil.wait_for(Request)
        assert isinstance(request, Request), "it did not ask its neighbour for the index"
        self.assertEqual(request.segment, 0)
        replayed = YESTERDAY.files[INDEX_NAME][: entry.block_length(0)]
        evil.send(Data(request.request_id, 0, 0, 1, replayed))
        self.assertTrue(evil.wait_closed(5.0))
        self.assertIn(Code.INTEGRITY, evil.codes)
        slow.set()
        peer.wait_ready()
        self.assert_plays(peer)

    def test_a_film_of_one_key_with_the_index_of_another_film_is_not_shared(self) -> None:
        class Mixed(FilmOrigin):
            files: ClassVar[dict[str, bytes]] = {
                **FILM.files,
                INDEX_NAME: OTHER_FILM.files[INDEX_NAME],
            }

        server = self.server(Mixed)
        peer = self.victim(f"{server.url}/dash", ready=False)
        wait_until("it has asked", lambda: f"/dash/{INDEX_NAME}" in server.asked, LEARNED_S)
        self.assertNotEqual(peer.stats()["mode"], "sharing")


class EvilTrackerTests(HostileTestCase):
    """Outcome for all: the player is served from the origin in time; nobody named is resolved."""

    def play_with(self, handler: type[QuietHandler]) -> None:
        tracker = self.server(handler)
        peer = self.victim(f"{self.origin().url}/dash", "--tracker", tracker.url, ready=False)
        wait_until("the tracker was asked", lambda: tracker.asked, LEARNED_S)

        def play() -> None:
            for number in range(1, 5):
                self.assert_plays(peer, f"chunk_0_{number}.m4s")

        self.grows_little(peer, play)

    def test_names_and_hollow_addresses_in_place_of_peers(self) -> None:
        canary = self.server(QuietHandler)
        name = {"peer": "ab" * 32, "host": "localhost", "port": canary.server_port}
        hollow = [
            {"peer": f"{n:02x}" * 32, "host": host, "port": canary.server_port}
            for n, host in enumerate(("0.0.0.0", "127.0.0.2", "169.254.169.254", "255.255.255.255"))
        ]

        class Names(QuietHandler):
            def answer(self) -> None:
                peers = [name] if len(self.server.asked) % 2 else hollow
                self.give(json.dumps({**_WELCOME, "peers": peers, "leases": []}).encode())

        self.play_with(Names)
        self.assertEqual(canary.asked, [])

    def test_lists_without_end(self) -> None:
        class Lists(QuietHandler):
            def answer(self) -> None:
                one = {"peer": "cd" * 32, "host": HOST, "port": 9}
                self.give(json.dumps({**_WELCOME, "peers": [one] * 100_000}).encode())

        self.play_with(Lists)

    def test_leases_for_everybody_and_nobody(self) -> None:
        class Leases(QuietHandler):
            def answer(self) -> None:
                lead = {"segment": 3, "granted": False, "epoch": 1, "leader": "ef" * 32}
                self.give(json.dumps({**_WELCOME, "leases": [{**lead, "retry_s": 9999}]}).encode())

        self.play_with(Leases)

    def test_noise_and_silence(self) -> None:
        class Noise(QuietHandler):
            def answer(self) -> None:
                if len(self.server.asked) % 2:
                    self.give(b"\xff{" * 1000)
                else:
                    time.sleep(1.0)

        self.play_with(Noise)


def inflating(size_bytes: int) -> bytes:
    """A gzip file a thousandth as long."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    parts = [squeeze.compress(zeros) for _ in range(size_bytes >> 20)]
    return b"".join([*parts, squeeze.flush()])


def peak_mb(peer: Daemon) -> float:
    """The most memory that it ever had."""
    status = Path(f"/proc/{peer.process.pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def size_of(file: Path) -> int:
    """0 where it went meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def peer_knows(peer: Daemon) -> bool:
    """Whether it has read the signature, and so takes links."""
    try:
        return peer.stats()["presentation"] is not None
    except OSError:
        return False


_WELCOME = {"v": 1, "interval_s": 1, "ttl_s": 2, "address": "x", "peers": [], "swarm_peers": 99}
