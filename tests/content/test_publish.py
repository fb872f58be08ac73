import json
import os
import shutil
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content import limits, publish
from dashp2p.content.atomic import write_atomically
from dashp2p.content.blocks import HASH_BYTES, BlockHashes
from dashp2p.content.entry import Kind
from dashp2p.content.index import IndexSignature, parse_index
from dashp2p.content.keys import load_or_create_key, public_bytes
from tests.content.presentations import ISSUED_S, KEY
from tests.content.test_mpd import FFMPEG

SEGMENTS = ["init_0.m4s", "chunk_0_1.m4s", "chunk_0_2.m4s", "chunk_0_3.m4s"]
SEGMENTS += ["init_1.m4s", "chunk_1_1.m4s", "chunk_1_2.m4s"]


class PublishTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        (self.folder / "dash.mpd").write_bytes(FFMPEG)
        (self.folder / "master.m3u8").write_bytes(b"#EXTM3U\n")
        for number, name in enumerate(SEGMENTS):
            (self.folder / name).write_bytes(name.encode() * 3000 * (number + 1))

    def publish(self) -> None:
        self.index = publish.publish(self.folder, KEY, ISSUED_S)

    def refused(self, reason: str) -> None:
        error = self.assertRaises(publish.PublishRefused, self.publish)
        self.assertIn(reason, str(error))
        self.assertNotIn("\n", str(error))
        self.assertFalse((self.folder / "index.sig").exists())

    def test_what_is_written_is_what_a_peer_accepts(self) -> None:
        self.publish()
        signature = IndexSignature.parse((self.folder / "index.sig").read_bytes())
        self.assertEqual(signature.public_key, public_bytes(KEY))
        raw = (self.folder / "index.json").read_bytes()
        self.assertEqual(parse_index(raw, signature), self.index)

    def test_every_file_is_listed_with_the_hashes_of_its_blocks(self) -> None:
        self.publish()
        listed = [entry.path for entry in self.index.entries]
        self.assertEqual(listed, ["index.json", "dash.mpd", "master.m3u8", *SEGMENTS])
        blocks = (self.folder / "index.blocks").read_bytes()
        for entry in self.index.entries[1:]:
            data = (self.folder / entry.path).read_bytes()
            start = self.index.hashes_offset(entry.position)
            hashes = BlockHashes(blocks[start : start + entry.block_count * HASH_BYTES])
            self.assertTrue(hashes.matches(entry))
            self.assertEqual(hashes, BlockHashes.of(data, limits.BLOCK_SIZE_BYTES))
        self.assertEqual(len(blocks), self.index.hashes_size_bytes)

    def test_the_index_is_as_the_documents_say(self) -> None:
        self.publish()
        document = json.loads((self.folder / "index.json").read_bytes())
        self.assertEqual(document["v"], 1)
        self.assertEqual(document["block_size"], 16_384)
        self.assertEqual(document["issued"], "2023-11-14T22:13:20Z")
        self.assertEqual(document["files"][0][::3], ["dash.mpd", "manifest"])
        video = document["representations"][0]
        self.assertEqual(video["type"], "video")
        self.assertEqual(video["init"][0], "init_0.m4s")
        self.assertEqual(video["media"][2][3:], [8.0, 1.0])

    def test_playlists_count_as_manifests_and_strangers_are_not_listed(self) -> None:
        (self.folder / "notes.txt").write_bytes(b"private")
        (self.folder / ".draft.m3u8").write_bytes(b"#EXTM3U\n")
        self.publish()
        manifests = [e.path for e in self.index.entries if e.kind is Kind.MANIFEST]
        self.assertEqual(manifests, ["dash.mpd", "master.m3u8"])

    def test_the_signature_is_written_last(self) -> None:
        written: list[str] = []
        with mock.patch.object(
            publish, "write_atomically", lambda path, data: written.append(path.name)
        ):
            self.publish()
        self.assertEqual(written, ["index.json", "index.blocks", "index.sig"])

    def test_publishing_again_gives_the_same_presentation(self) -> None:
        self.publish()
        first = self.index.presentation_id
        self.publish()
        self.assertEqual(self.index.presentation_id, first)
        self.assertEqual(sum(name.startswith("index") for name in os.listdir(self.folder)), 3)

    def signature(self) -> IndexSignature:
        return IndexSignature.parse((self.folder / "index.sig").read_bytes())

    def test_publishing_again_is_newer_and_leaves_the_same_films_index_as_it_is(self) -> None:
        self.publish()
        raw, first = (self.folder / "index.json").read_bytes(), self.signature()
        publish.publish(self.folder, KEY, ISSUED_S + 100)
        self.assertEqual((self.folder / "index.json").read_bytes(), raw)
        self.assertEqual(self.signature().issued_ms, first.issued_ms + 100_000)

    def test_it_is_newer_even_by_a_clock_that_was_set_back(self) -> None:
        self.publish()
        first = self.signature()
        (self.folder / SEGMENTS[0]).write_bytes(b"changed")
        publish.publish(self.folder, KEY, ISSUED_S - 1_000_000, valid_s=60.0)
        again = self.signature()
        self.assertNotEqual(again.presentation_id, first.presentation_id)
        self.assertEqual(again.issued_ms, first.issued_ms + 1)
        self.assertEqual(again.expires_ms, again.issued_ms + 60_000)

    def test_it_is_newer_than_the_folder_whose_place_it_takes(self) -> None:
        self.publish()
        former, self.folder = self.folder, Path(self.mktemp())
        shutil.copytree(former, self.folder)
        for name in ("index.json", "index.blocks", "index.sig"):
            (self.folder / name).unlink()
        publish.publish(self.folder, KEY, ISSUED_S - 1, former=former)
        self.assertEqual(self.signature().issued_ms, round(ISSUED_S * 1000) + 1)

    def test_what_another_key_published_before_does_not_count(self) -> None:
        other = Ed25519PrivateKey.from_private_bytes(bytes(32))
        publish.publish(self.folder, other, ISSUED_S + 1_000_000)
        self.publish()
        self.assertEqual(self.signature().issued_ms, round(ISSUED_S * 1000))

    def test_an_index_that_is_spoilt_is_written_anew(self) -> None:
        self.publish()
        raw = (self.folder / "index.json").read_bytes()
        for spoilt in (b"", b"{", raw[:-1]):
            (self.folder / "index.json").write_bytes(spoilt)
            before = self.signature()
            self.publish()
            self.assertEqual((self.folder / "index.json").read_bytes(), raw)
            self.assertEqual(self.signature().issued_ms, before.issued_ms + 1)

    def test_a_folder_without_an_mpd_is_refused(self) -> None:
        (self.folder / "dash.mpd").unlink()
        self.refused("segment.sh")

    def test_a_broken_mpd_is_refused(self) -> None:
        (self.folder / "dash.mpd").write_bytes(FFMPEG[:-20])
        self.refused("XML")

    def test_a_missing_segment_is_refused(self) -> None:
        (self.folder / "chunk_0_3.m4s").unlink()
        self.refused("chunk_0_3.m4s")

    def test_an_empty_segment_is_refused(self) -> None:
        (self.folder / "chunk_0_3.m4s").write_bytes(b"")
        self.refused("is empty")

    def test_a_segment_above_the_limit_is_refused(self) -> None:
        with (self.folder / "chunk_0_3.m4s").open("wb") as file:
            file.truncate(limits.FILE_MAX_BYTES + 1)
        self.refused("is larger than")

    def test_a_link_out_of_the_folder_is_refused(self) -> None:
        outside = Path(self.mktemp())
        outside.write_bytes(b"secret")
        (self.folder / "chunk_0_3.m4s").unlink()
        (self.folder / "chunk_0_3.m4s").symlink_to(outside.resolve())
        self.refused("is a link")


class CommandTests(PublishTests):
    def command(self, *arguments: str) -> tuple[int, str, str]:
        out: list[str] = []
        err: list[str] = []
        with (
            mock.patch("sys.stdout.write", out.append),
            mock.patch("sys.stderr.write", err.append),
        ):
            status = publish.main([str(self.folder), *arguments])
        return status, "".join(out), "".join(err)

    def test_the_command_tells_presentation_and_key(self) -> None:
        key = Path(self.mktemp()) / "origin.key"
        status, out, err = self.command("--key", str(key))
        self.assertEqual((status, err), (0, ""))
        self.assertIn(public_bytes(load_or_create_key(key)).hex(), out)

    def test_the_command_takes_days(self) -> None:
        status, _, _ = self.command("--key", str(Path(self.mktemp())), "--valid-days", "30")
        signature = self.signature()
        assert signature.expires_ms is not None
        days = (signature.expires_ms - signature.issued_ms) / 86_400_000
        self.assertEqual((status, days), (0, 30.0))

    def test_days_that_are_none_are_refused(self) -> None:
        for days in ("0", "-1", "x", "1.5", "36501", "9" * 9, "²"):
            self.assertRaises(SystemExit, self.command, "--valid-days", days)

    def test_a_key_inside_the_published_folder_is_refused(self) -> None:
        status, _, err = self.command("--key", str(self.folder / "origin.key"))
        self.assertEqual(status, 1)
        self.assertIn("published folder", err)
        self.assertFalse((self.folder / "origin.key").exists())

    def test_a_failure_is_one_line_and_exit_1(self) -> None:
        (self.folder / "dash.mpd").unlink()
        status, out, err = self.command("--key", self.mktemp())
        self.assertEqual((status, out, err.count("\n")), (1, "", 1))


class AtomicWriteTests(SynchronousTestCase):
    def test_a_write_that_fails_leaves_the_old_file_and_no_other(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "index.sig"
        path.write_bytes(b"old")
        with mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device")):
            self.assertRaises(OSError, write_atomically, path, b"new")
        self.assertEqual(path.read_bytes(), b"old")
        self.assertEqual(os.listdir(folder), ["index.sig"])
