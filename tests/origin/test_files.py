"""/dash/...: what is served and what never is."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.origin import lookup
from dashp2p.origin.counters import OriginCounters
from dashp2p.origin.files import FilesResource
from dashp2p.origin.names import KINDS, kind_of, safe_names
from dashp2p.web.media_types import media_type_of
from dashp2p.web.site import BoundedSite
from dashp2p.web.tree import Tree
from tests.web.support import STRANGER, Answer, Connection

SEGMENT = bytes(range(256)) * 2000


class FilesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.top = Path(self.mktemp())
        self.root = self.top / "dash"
        self.root.mkdir(parents=True)
        self.put("dash.mpd", b"<MPD/>")
        self.put("chunk_0_1.m4s", SEGMENT)
        (self.top / "secret.key").write_bytes(b"secret")
        self.counters = OriginCounters()
        self.site = BoundedSite(Tree({"dash": FilesResource(self.root, self.counters)}), Clock())

    def put(self, name: str, content: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def client(self) -> Connection:
        client = Connection(self.site, STRANGER)
        self.addCleanup(client.transport.abortConnection)
        return client

    def get(self, path: str, *headers: str, method: str = "GET") -> Answer:
        client = self.client()
        client.get(path, *headers, method=method)
        return Answer.of(client)


class ServingTests(FilesTestCase):
    def test_a_segment_arrives_whole(self) -> None:
        answer = self.get("/dash/chunk_0_1.m4s")
        self.assertEqual((answer.code, answer.body), (200, SEGMENT))
        self.assertEqual(answer.headers["content-type"], "video/iso.segment")
        self.assertEqual(answer.headers["content-length"], str(len(SEGMENT)))

    def test_a_query_changes_nothing(self) -> None:
        self.assertEqual(self.get("/dash/chunk_0_1.m4s?CMCD=bl%3D100").body, SEGMENT)

    def test_a_part_of_a_segment_arrives(self) -> None:
        for header, part in {
            "bytes=100-199": SEGMENT[100:200],
            "bytes=511000-": SEGMENT[511000:],
            "bytes=-300": SEGMENT[-300:],
        }.items():
            answer = self.get("/dash/chunk_0_1.m4s", f"Range: {header}")
            self.assertEqual((answer.code, answer.body), (206, part))

    def test_a_part_beyond_the_end_is_refused(self) -> None:
        answer = self.get("/dash/chunk_0_1.m4s", "Range: bytes=512000-")
        self.assertEqual((answer.code, answer.body), (416, b""))
        self.assertEqual(answer.headers["content-range"], "bytes */512000")

    def test_head_has_the_headers_and_no_body(self) -> None:
        answer = self.get("/dash/chunk_0_1.m4s", method="HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], "512000")
        self.assertIn("etag", answer.headers)

    def test_who_has_a_file_is_not_sent_it_again(self) -> None:
        tag = self.get("/dash/dash.mpd").headers["etag"]
        answer = self.get("/dash/dash.mpd", f"If-None-Match: {tag}")
        self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(answer.headers["etag"], tag)
        self.assertEqual(answer.headers["cache-control"], "no-cache")

    def test_an_empty_file_is_served(self) -> None:
        self.put("empty.vtt", b"")
        answer = self.get("/dash/empty.vtt")
        self.assertEqual((answer.code, answer.headers["content-length"]), (200, "0"))

    def test_a_folder_below_the_root_is_served_from(self) -> None:
        self.put("video/init 0.mp4", b"init")
        self.assertEqual(self.get("/dash/video/init%200.mp4").body, b"init")

    def test_caches_ask_each_time(self) -> None:
        for name in ("dash.mpd", "chunk_0_1.m4s"):
            answer = self.get(f"/dash/{name}")
            self.assertEqual(answer.headers["cache-control"], "no-cache")
            self.assertNotIn("last-modified", answer.headers)

    def test_any_page_may_read_it(self) -> None:
        answer = self.get("/dash/dash.mpd", "Origin: https://site.example")
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["timing-allow-origin"], "*")

    def test_a_preflight_is_answered(self) -> None:
        answer = self.get("/dash/chunk_0_1.m4s", "Origin: https://a.example", method="OPTIONS")
        self.assertEqual((answer.code, answer.body), (204, b""))
        self.assertIn("Range", answer.headers["access-control-allow-headers"])

    def test_nobody_may_change_anything(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
            answer = self.get("/dash/dash.mpd", method=method)
            self.assertEqual((answer.code, answer.headers["allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_an_error_can_be_read_by_a_page(self) -> None:
        answer = self.get("/dash/none.m4s")
        self.assertEqual(answer.code, 404)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["cache-control"], "no-store")


class SwapTests(FilesTestCase):
    def swap(self, content: bytes) -> None:
        """Put a whole new folder in the root's place, as segment.sh does."""
        new = self.top / "new"
        new.mkdir()
        (new / "chunk_0_1.m4s").write_bytes(content)
        self.root.rename(self.top / "old")
        new.rename(self.root)

    def test_a_new_film_under_old_names_is_another(self) -> None:
        tag = self.get("/dash/chunk_0_1.m4s").headers["etag"]
        self.swap(SEGMENT[::-1])
        answer = self.get("/dash/chunk_0_1.m4s", f"If-None-Match: {tag}")
        self.assertEqual((answer.code, answer.body), (200, SEGMENT[::-1]))

    def test_a_new_film_of_the_same_size_and_time_is_another(self) -> None:
        tag = self.get("/dash/chunk_0_1.m4s").headers["etag"]
        times = os.stat(self.root / "chunk_0_1.m4s")
        self.swap(SEGMENT[::-1])
        os.utime(self.root / "chunk_0_1.m4s", ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertEqual(self.get("/dash/chunk_0_1.m4s", f"If-None-Match: {tag}").code, 200)

    def test_a_part_of_the_new_film_is_not_added_to_the_old(self) -> None:
        tag = self.get("/dash/chunk_0_1.m4s").headers["etag"]
        self.swap(SEGMENT[::-1])
        answer = self.get("/dash/chunk_0_1.m4s", "Range: bytes=1000-", f"If-Range: {tag}")
        self.assertEqual((answer.code, answer.body), (200, SEGMENT[::-1]))

    def test_a_response_that_has_begun_stays_with_the_old_film(self) -> None:
        client = self.client()
        client.reading = False
        client.get("/dash/chunk_0_1.m4s")
        self.swap(b"new")
        client.reading = True
        self.assertEqual(Answer.of(client).body, SEGMENT)

    def test_between_the_renames_the_client_is_asked_to_wait(self) -> None:
        self.root.rename(self.top / "old")
        answer = self.get("/dash/dash.mpd")
        self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "1"))

    def test_a_root_that_is_a_link_may_be_pointed_elsewhere(self) -> None:
        self.root.rename(self.top / "v1")
        self.root.symlink_to("v1")
        self.assertEqual(self.get("/dash/dash.mpd").body, b"<MPD/>")
        (self.top / "v2").mkdir()
        (self.top / "v2" / "dash.mpd").write_bytes(b"<MPD2/>")
        self.root.unlink()
        self.root.symlink_to("v2")
        self.assertEqual(self.get("/dash/dash.mpd").body, b"<MPD2/>")


class NeverTests(FilesTestCase):
    def assert_not_served(self, *paths: str) -> None:
        for path in paths:
            answer = self.get(path)
            self.assertEqual(answer.code, 404, path)
            self.assertNotIn(b"secret", answer.body)

    def test_a_file_that_is_being_written_is_not_there(self) -> None:
        for name in (".chunk.m4s", "chunk_0_2.m4s.tmp", "chunk_0_2.m4s.part", "chunk_0_2.m4s~",
                     "a.TMP", ".hidden/x.m4s"):  # fmt: skip
            self.put(name, b"half")
            self.assert_not_served(f"/dash/{name}")

    def test_a_file_that_is_written_to_is_not_taken_for_whole(self) -> None:
        client = self.client()
        client.reading = False
        client.get("/dash/chunk_0_1.m4s")
        os.utime(self.root / "chunk_0_1.m4s", ns=(1, 1))
        client.transport.take_all()
        self.assertTrue(client.aborted)
        self.assertLess(len(client.transport.taken), len(SEGMENT))
        self.assertEqual(self.counters.cut_off, 1)

    def test_a_file_that_grows_is_served_as_it_was(self) -> None:
        real = lookup._regular

        def grow_after(descriptor: int) -> lookup.OpenFile | None:
            found = real(descriptor)
            with open(self.root / "chunk_0_1.m4s", "ab") as file:
                file.write(b"more")
            times = os.stat(self.root / "chunk_0_1.m4s")
            self.assertGreater(times.st_size, len(SEGMENT))
            return found

        self.patch(lookup, "_regular", grow_after)
        client = self.client()
        client.get("/dash/chunk_0_1.m4s")
        self.assertIn(b"Content-Length: 512000\r\n", client.received())
        self.assertTrue(client.aborted)

    def test_nothing_outside_the_root_is_served(self) -> None:
        self.assert_not_served(
            "/dash/../secret.key", "/dash/%2e%2e/secret.key", "/dash/..%2fsecret.key",
            "/dash/x/../../secret.key", "/dash/%2e%2e%2fsecret.key", "/dash/..%5csecret.key",
            "/dash//../secret.key", "/dash/" + str(self.top.absolute()) + "/secret.key",
            "/dash/%2fetc%2fpasswd", "/dash//etc/passwd", "/dash/....//secret.key", "/secret.key",
            "/dash/%252e%252e/secret.key", "/dash/dash.mpd%00.m4s", "/dash/%00", "/dash/%ff.m4s",
            "/dash/" + "a/" * 20 + "x", "/dash/" + "a" * 300,
        )  # fmt: skip

    def test_folders_are_not_served(self) -> None:
        self.put("video/a.m4s", b"a")
        self.assert_not_served("/dash", "/dash/", "/dash/video", "/dash/video/", "/dash/dash.mpd/",
                               "/dash/dash.mpd/x", "/", "//")  # fmt: skip

    def test_a_link_out_of_the_root_is_not_followed(self) -> None:
        (self.root / "film.m4s").symlink_to("../secret.key")
        (self.root / "absolute.m4s").symlink_to(self.top.absolute() / "secret.key")
        (self.root / "up").symlink_to("..")
        (self.root / "loop.m4s").symlink_to("loop.m4s")
        self.assert_not_served("/dash/film.m4s", "/dash/absolute.m4s", "/dash/up/secret.key",
                               "/dash/loop.m4s")  # fmt: skip

    def test_a_link_that_stays_inside_is_followed(self) -> None:
        (self.root / "same.mpd").symlink_to("dash.mpd")
        self.assertEqual(self.get("/dash/same.mpd").body, b"<MPD/>")

    def test_a_folder_with_the_roots_name_as_its_beginning_is_outside(self) -> None:
        (self.top / "dash-secret").mkdir()
        (self.top / "dash-secret" / "x.m4s").write_bytes(b"secret")
        (self.root / "x.m4s").symlink_to("../dash-secret/x.m4s")
        self.assert_not_served("/dash/x.m4s")

    def test_a_link_put_in_a_files_place_meanwhile_is_not_followed(self) -> None:
        real = os.path.realpath(self.root / "chunk_0_1.m4s")
        root = os.path.realpath(self.root)
        (self.root / "chunk_0_1.m4s").unlink()
        (self.root / "chunk_0_1.m4s").symlink_to("../secret.key")
        answers = {str(self.root): root}
        self.patch(os.path, "realpath", lambda path: answers.get(str(path), real))
        self.assertIsNone(lookup.open_below(self.root, ["chunk_0_1.m4s"]))

    def test_a_pipe_does_not_hold_the_daemon(self) -> None:
        os.mkfifo(self.root / "pipe.m4s")
        self.assert_not_served("/dash/pipe.m4s")

    def test_no_descriptor_is_left_open(self) -> None:
        (self.root / "link.m4s").symlink_to("../secret.key")
        os.mkfifo(self.root / "pipe.m4s")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            for path in ("dash.mpd", "none", "link.m4s", "pipe.m4s", "dash.mpd/x", "chunk_0_1.m4s"):
                self.get(f"/dash/{path}")
                self.get(f"/dash/{path}", method="HEAD")
        client = self.client()
        client.reading = False
        client.get("/dash/chunk_0_1.m4s")
        client.transport.abortConnection()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_too_many_open_files_is_no_404(self) -> None:
        def fail(*args: object, **kwargs: object) -> int:
            raise OSError(24, "Too many open files")

        self.patch(os, "open", fail)
        self.assertEqual(self.get("/dash/dash.mpd").code, 503)


class CounterTests(FilesTestCase):
    def test_requests_and_bytes_are_counted_by_kind(self) -> None:
        self.put("init_0.m4s", b"init")
        self.put("index.json", b"{}")
        for path in ("dash.mpd", "init_0.m4s", "index.json", "chunk_0_1.m4s", "none.m4s", "x"):
            self.get(f"/dash/{path}")
        self.get("/dash/chunk_0_1.m4s", "Range: bytes=0-99")
        self.get("/dash/chunk_0_1.m4s", method="HEAD")
        self.get("/dash/%2e%2e/x")
        stats = self.counters.as_json()
        self.assertEqual(
            stats["requests"],
            {
                "manifest": {"200": 1},
                "init": {"200": 1},
                "media": {"200": 2, "206": 1, "404": 1},
                "index": {"200": 1},
                "other": {"404": 2},
            },
        )
        self.assertEqual(
            stats["bytes"],
            {"manifest": 6, "init": 4, "media": len(SEGMENT) + 100, "index": 2, "other": 0},
        )

    def test_copies_are_bytes_sent_over_bytes_there_are(self) -> None:
        self.assertIsNone(self.counters.copies("media"))
        for _ in range(3):
            self.get("/dash/chunk_0_1.m4s")
        self.assertEqual(self.counters.copies("media"), 3.0)
        self.get("/dash/chunk_0_1.m4s", "Range: bytes=0-255999")
        self.assertEqual(self.counters.copies("media"), 3.5)

    def test_the_memory_of_what_was_served_is_bounded(self) -> None:
        self.patch(__import__("dashp2p.origin.counters").origin.counters, "MAX_DISTINCT_FILES", 2)
        for number in range(5):
            self.counters.sent("media", f"{number}", "tag", 10, 10, True)
        self.assertEqual(self.counters.distinct_bytes["media"], 20)

    def test_a_response_that_is_cut_off_counts_what_was_sent(self) -> None:
        client = self.client()
        client.reading = False
        client.get("/dash/chunk_0_1.m4s")
        client.transport.abortConnection()
        self.assertEqual(self.counters.cut_off, 1)
        self.assertGreater(self.counters.sent_bytes["media"], 0)
        self.assertLess(self.counters.sent_bytes["media"], len(SEGMENT))


class NameTests(SynchronousTestCase):
    def test_media_types(self) -> None:
        for name, found in {
            "dash.mpd": "application/dash+xml",
            "master.m3u8": "application/vnd.apple.mpegurl",
            "a.m4s": "video/iso.segment",
            "a.mp4": "video/mp4",
            "index.json": "application/json",
            "index.sig": "application/json",
            "index.blocks": "application/octet-stream",
            "page.html": "application/octet-stream",
            "A.MPD": "application/dash+xml",
        }.items():
            self.assertEqual(media_type_of(name), found)

    def test_kinds(self) -> None:
        for name, kind in {
            "dash.mpd": "manifest", "media_0.m3u8": "manifest", "init_0.m4s": "init",
            "init-stream0.m4s": "init", "video_init.mp4": "init", "chunk_0_1.m4s": "media",
            "initial_1.m4s": "media", "index.json": "index", "index.blocks": "index",
            "index.sig": "index", "readme.txt": "other", "init": "other",
        }.items():  # fmt: skip
            self.assertEqual(kind_of(name), kind, name)
            self.assertIn(kind, KINDS)

    @given(st.lists(st.binary(max_size=20), max_size=18))
    def test_safe_names_never_step_out(self, segments: list[bytes]) -> None:
        names = safe_names(segments)
        if names is not None:
            path = os.path.normpath(os.path.join("/root/dash", *names))
            self.assertEqual(path, "/".join(("/root/dash", *names)))
