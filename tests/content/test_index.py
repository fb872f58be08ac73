import copy
import json
from hashlib import sha256
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content import limits
from dashp2p.content.blocks import HASH_BYTES, BlockHashes
from dashp2p.content.entry import Kind
from dashp2p.content.index import IndexRefused, IndexSignature, parse_index, path_is_safe
from dashp2p.content.keys import public_bytes
from tests.content.presentations import (
    KEY,
    built,
    content_of,
    document,
    files_of,
    read_signed,
    with_its_own_id,
)

BUILT = built()


class LookupTests(SynchronousTestCase):
    index = BUILT.index

    def test_positions_run_from_the_index_through_manifests_init_and_media(self) -> None:
        self.assertEqual(
            [entry.path for entry in self.index.entries],
            ["index.json", "dash.mpd", "master.m3u8"]
            + ["init_0.m4s"]
            + [f"chunk_0_{number}.m4s" for number in range(1, 5)]
            + ["init_4.m4s", "chunk_4_1.m4s", "chunk_4_2.m4s"],
        )
        positions = [entry.position for entry in self.index.entries]
        self.assertEqual(positions, list(range(11)))

    def test_the_index_itself_is_known_by_size_and_digest(self) -> None:
        entry = self.index.entries[0]
        self.assertEqual(entry.kind, Kind.INDEX)
        self.assertEqual(entry.size_bytes, len(BUILT.index_json))
        self.assertTrue(BlockHashes.of(BUILT.index_json, limits.BLOCK_SIZE_BYTES).matches(entry))

    def test_a_segment_is_found_by_its_path_and_by_its_number(self) -> None:
        entry = self.index.by_path("chunk_0_3.m4s")
        assert entry is not None
        self.assertIs(self.index.at("0", 2), entry)
        self.assertEqual((entry.start_s, entry.duration_s), (8.0, 4.0))

    def test_what_is_not_there_is_none(self) -> None:
        self.assertIsNone(self.index.by_path("chunk_9_1.m4s"))
        self.assertIsNone(self.index.at("0", 4))
        self.assertIsNone(self.index.at("0", -1))
        self.assertIsNone(self.index.at("9", 0))

    def test_after_a_segment_follows_the_next_of_the_same_representation(self) -> None:
        followed = {
            path: None if (entry := self.index.following(self.entry(path))) is None else entry.path
            for path in ("init_0.m4s", "chunk_0_3.m4s", "chunk_0_4.m4s", "dash.mpd", "index.json")
        }
        self.assertEqual(
            followed,
            {
                "init_0.m4s": "chunk_0_1.m4s",
                "chunk_0_3.m4s": "chunk_0_4.m4s",
                "chunk_0_4.m4s": None,
                "dash.mpd": None,
                "index.json": None,
            },
        )

    def entry(self, path: str) -> Any:
        entry = self.index.by_path(path)
        assert entry is not None
        return entry

    def test_the_blocks_file_holds_each_files_hashes_where_the_index_says(self) -> None:
        for entry in self.index.entries[1:]:
            offset = self.index.hashes_offset(entry.position)
            stored = BUILT.index_blocks[offset : offset + entry.block_count * HASH_BYTES]
            self.assertEqual(BlockHashes(stored), BlockHashes.of(content_of(entry.path), 16_384))
            self.assertTrue(BlockHashes(stored).matches(entry))
        self.assertEqual(self.index.hashes_size_bytes, len(BUILT.index_blocks))

    def test_the_blocks_file_holds_nothing_for_the_index_or_beyond_it(self) -> None:
        for position in (-1, 0, 11):
            self.assertRaises(IndexError, self.index.hashes_offset, position)

    def test_a_representation_is_known_by_its_id(self) -> None:
        self.assertEqual(self.index.representation("0").bandwidth_bps, 5_000_000)
        self.assertRaises(KeyError, self.index.representation, "9")

    def test_the_swarm_is_named_after_key_and_presentation_with_or_without_the_index(self) -> None:
        expected = sha256(
            b"dashp2p-swarm-v1\n" + public_bytes(KEY) + self.index.presentation_id.encode()
        ).digest()
        self.assertEqual(self.index.swarm_id, expected)
        self.assertEqual(BUILT.signature.swarm_id, expected)

    def test_another_film_under_the_same_names_has_another_id(self) -> None:
        spoilt = document()
        spoilt["representations"][0]["media"][0][2] = "ab" * 32
        other = read_signed(with_its_own_id(spoilt))
        self.assertNotEqual(other.presentation_id, self.index.presentation_id)


class SignatureTests(SynchronousTestCase):
    def test_the_side_file_survives_writing_and_reading(self) -> None:
        self.assertEqual(IndexSignature.parse(BUILT.signature.to_bytes()), BUILT.signature)

    def test_the_signature_covers_a_prefix_and_the_exact_bytes(self) -> None:
        KEY.public_key().verify(BUILT.signature.signature, b"dashp2p-index-v1\n" + BUILT.index_json)

    @given(st.data())
    def test_an_index_with_any_byte_changed_is_refused(self, draw: st.DataObject) -> None:
        raw = BUILT.index_json
        at = draw.draw(st.integers(0, len(raw) - 1))
        changed = raw[:at] + bytes([raw[at] ^ draw.draw(st.integers(1, 255))]) + raw[at + 1 :]
        self.assertRaises(IndexRefused, parse_index, changed, BUILT.signature)

    def test_an_index_with_every_byte_changed_in_turn_is_refused(self) -> None:
        raw = bytearray(BUILT.index_json)
        for at in range(len(raw)):
            raw[at] ^= 1
            self.assertRaises(IndexRefused, parse_index, bytes(raw), BUILT.signature)
            raw[at] ^= 1

    def test_a_truncated_or_longer_index_is_refused(self) -> None:
        for raw in (b"", BUILT.index_json[:-1], BUILT.index_json + b" "):
            self.assertRaises(IndexRefused, parse_index, raw, BUILT.signature)

    @given(st.data())
    def test_a_side_file_with_any_byte_changed_says_the_same_or_is_refused(
        self, draw: st.DataObject
    ) -> None:
        raw = BUILT.signature.to_bytes()
        at = draw.draw(st.integers(0, len(raw) - 1))
        changed = raw[:at] + bytes([raw[at] ^ draw.draw(st.integers(1, 255))]) + raw[at + 1 :]
        try:
            signature = IndexSignature.parse(changed)
            parse_index(BUILT.index_json, signature)
        except IndexRefused:
            return
        self.assertEqual(signature, BUILT.signature)  # white space

    def test_a_digest_alone_is_no_signature(self) -> None:
        """Red when the Ed25519 check is removed: size and digest fit, the key did not sign."""
        forged = evolve(BUILT.signature, signature=bytes(64))
        error = self.assertRaises(IndexRefused, parse_index, BUILT.index_json, forged)
        self.assertIn("not signed", error.reason)

    def test_a_signature_by_another_key_is_refused(self) -> None:
        other = Ed25519PrivateKey.from_private_bytes(bytes(32))
        presentation = BUILT.index.presentation_id
        forged = IndexSignature.sign(BUILT.index_json, presentation, other)
        for signature in (forged, evolve(forged, public_key=public_bytes(KEY))):
            self.assertRaises(IndexRefused, parse_index, BUILT.index_json, signature)

    def test_a_signature_that_names_another_presentation_is_refused(self) -> None:
        renamed = evolve(BUILT.signature, presentation_id="ab" * 16)
        self.assertRaises(IndexRefused, parse_index, BUILT.index_json, renamed)

    def test_an_index_above_the_limit_is_refused(self) -> None:
        self.patch(limits, "INDEX_MAX_BYTES", len(BUILT.index_json) - 1)
        error = self.assertRaises(IndexRefused, parse_index, BUILT.index_json, BUILT.signature)
        self.assertIn("limit", error.reason)

    def test_a_side_file_that_promises_too_large_an_index_is_refused(self) -> None:
        promised = evolve(BUILT.signature, index_size_bytes=limits.INDEX_MAX_BYTES + 1)
        self.assertRaises(IndexRefused, IndexSignature.parse, promised.to_bytes())

    def test_the_stamp_covers_all_that_it_names(self) -> None:
        stamped = IndexSignature.sign(
            BUILT.index_json, BUILT.index.presentation_id, KEY, 1_700_000_000_000, 1_800_000_000_000
        )
        self.assertEqual(IndexSignature.parse(stamped.to_bytes()), stamped)
        other = Ed25519PrivateKey.from_private_bytes(bytes(32))
        for changed in (
            evolve(stamped, presentation_id="ab" * 16),
            evolve(stamped, index_size_bytes=stamped.index_size_bytes + 1),
            evolve(stamped, index_digest=bytes(32)),
            evolve(stamped, public_key=public_bytes(other)),
            evolve(stamped, issued_ms=stamped.issued_ms + 1),
            evolve(stamped, expires_ms=None),
            evolve(stamped, expires_ms=1_900_000_000_000),
            evolve(stamped, stamp=stamped.signature),
            evolve(stamped, stamp=bytes(64)),
        ):
            error = self.assertRaises(IndexRefused, IndexSignature.parse, changed.to_bytes())
            self.assertIn("stamp", error.reason)

    def test_times_are_believed_by_a_stamp_only(self) -> None:
        value = json.loads(BUILT.signature.to_bytes())
        for name in ("issued_ms", "stamp"):
            lacking = {key: item for key, item in value.items() if key != name}
            self.assertRaises(IndexRefused, IndexSignature.parse, json.dumps(lacking).encode())
        unstamped = {key: item for key, item in value.items() if key not in ("issued_ms", "stamp")}
        self.assertEqual(IndexSignature.parse(json.dumps(unstamped).encode()).issued_ms, 0)

    def test_times_beyond_the_limit_are_refused(self) -> None:
        for issued_ms, expires_ms in (
            (limits.TIME_MAX_MS + 1, None),
            (1, limits.TIME_MAX_MS + 1),
            (1, 0),
            (-1, None),
        ):
            signed = IndexSignature.sign(
                BUILT.index_json, BUILT.index.presentation_id, KEY, issued_ms, expires_ms
            )
            error = self.assertRaises(IndexRefused, IndexSignature.parse, signed.to_bytes())
            self.assertIn("_ms is", error.reason)

    def test_a_side_file_above_the_limit_is_refused(self) -> None:
        raw = BUILT.signature.to_bytes() + b" " * limits.SIGNATURE_MAX_BYTES
        self.assertRaises(IndexRefused, IndexSignature.parse, raw)

    @given(st.binary(max_size=200))
    def test_no_bytes_make_the_side_file_reader_fail_otherwise(self, raw: bytes) -> None:
        self.assertRaises(IndexRefused, IndexSignature.parse, raw)

    @given(st.sampled_from(["v", "presentation", "index_size", "index_digest", "public_key"]))
    def test_a_side_file_that_lacks_a_field_is_refused(self, name: str) -> None:
        value = json.loads(BUILT.signature.to_bytes())
        del value[name]
        self.assertRaises(IndexRefused, IndexSignature.parse, json.dumps(value).encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../x", "/x", "a//b", "video", "manifest", "ab" * 32]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    found = [path]
    if isinstance(value, dict):
        for name in value:
            found += places(value[name], (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += places(item, (*path, number))
    return found


class AnyBytesTests(SynchronousTestCase):
    """The origin's key may have signed nonsense; the reader behind the signature must hold too."""

    @given(st.binary(max_size=300))
    def test_signed_bytes_of_any_kind_are_refused_and_nothing_worse(self, raw: bytes) -> None:
        signature = IndexSignature.sign(raw, "0" * 32, KEY)
        self.assertRaises(IndexRefused, parse_index, raw, signature)

    @given(st.data())
    def test_an_index_with_any_value_replaced_is_read_or_refused(self, draw: st.DataObject) -> None:
        value = document()
        path = draw.draw(st.sampled_from([place for place in places(value) if place]))
        parent: Any = value
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = draw.draw(JSON)
        try:
            read_signed(value)
        except IndexRefused as error:
            self.assertNotIn("\n", error.reason)

    def test_deep_nesting_is_refused(self) -> None:
        raw = b'{"v":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        signature = IndexSignature.sign(raw, "0" * 32, KEY)
        self.assertRaises(IndexRefused, parse_index, raw, signature)

    def test_an_endless_number_is_refused_before_it_is_converted(self) -> None:
        raw = b'{"v":' + b"1" * 5000 + b"}"
        signature = IndexSignature.sign(raw, "0" * 32, KEY)
        error = self.assertRaises(IndexRefused, parse_index, raw, signature)
        self.assertIn("too many digits", error.reason)

    def test_a_doubled_key_is_refused(self) -> None:
        raw = BUILT.index_json.replace(b'{"v":1,', b'{"v":1,"v":1,', 1)
        signature = IndexSignature.sign(raw, BUILT.index.presentation_id, KEY)
        error = self.assertRaises(IndexRefused, parse_index, raw, signature)
        self.assertIn("twice", error.reason)


class RefusalTests(SynchronousTestCase):
    """Each is a well-signed index with one thing wrong, and its id made to fit."""

    def refused(self, value: dict[str, Any], reason: str) -> None:
        error = self.assertRaises(IndexRefused, read_signed, value)
        self.assertIn(reason, error.reason)

    def spoil_file(self, field: int, bad: object, reason: str) -> None:
        for position in range(len(files_of(document()))):
            value = document()
            file = files_of(value)[position]
            file[field] = bad
            self.refused(value if field == 2 else with_its_own_id(value), reason)

    def test_the_document_used_here_is_accepted_unspoilt(self) -> None:
        self.assertEqual(read_signed(with_its_own_id(document())).entries[1:],
                         BUILT.index.entries[1:])  # fmt: skip

    def test_unknown_fields_are_ignored(self) -> None:
        value = document()
        value["title"] = "film"
        value["representations"][0]["language"] = "en"
        read_signed(value)

    def test_an_unknown_version_is_refused(self) -> None:
        for version in (0, 2, True, 1.0, "1", None):
            self.refused({**document(), "v": version}, "version")

    def test_a_presentation_id_that_is_not_that_of_the_digests_is_refused(self) -> None:
        self.refused({**document(), "presentation": "ab" * 16}, "not that of the digests")

    def test_another_public_key_than_the_signatures_is_refused(self) -> None:
        self.refused({**document(), "public_key": "ab" * 32}, "different keys")

    def test_unsafe_paths_are_refused(self) -> None:
        for path in UNSAFE_PATHS:
            self.spoil_file(0, path, "safe relative path")

    def test_a_path_that_is_no_string_is_refused(self) -> None:
        bad: tuple[object, ...] = (None, 1, ["a"], {})
        for path in bad:
            self.spoil_file(0, path, "safe relative path")

    def test_a_path_listed_twice_is_refused(self) -> None:
        value = document()
        value["files"][1][0] = "chunk_0_2.m4s"
        self.refused(with_its_own_id(value), "twice")

    def test_the_names_of_the_index_files_are_reserved(self) -> None:
        for name in ("index.json", "index.blocks", "index.sig"):
            self.spoil_file(0, name, "reserved")

    def test_a_size_out_of_bounds_is_refused(self) -> None:
        for size in (0, -1, limits.FILE_MAX_BYTES + 1):
            self.spoil_file(1, size, "size is")

    def test_a_size_that_is_no_integer_is_refused(self) -> None:
        for size in (True, 1.0, "1", None):
            self.spoil_file(1, size, "not an integer")

    def test_a_digest_that_is_not_64_lower_case_hex_digits_is_refused(self) -> None:
        for digest in ("ab" * 31, "ab" * 33, "AB" * 32, "xy" * 32, "ab" * 31 + " a", 1, None):
            self.spoil_file(2, digest, "digest")

    def test_a_kind_of_file_that_is_unknown_is_refused(self) -> None:
        value = document()
        value["files"][0][3] = "script"
        self.refused(value, "kind")

    def test_a_file_with_a_field_too_many_or_too_few_is_refused(self) -> None:
        for position in range(len(files_of(document()))):
            for length in (2, 6):
                value = document()
                file = files_of(value)[position]
                file[:] = [*file, 1, 1, 1, 1][:length]
                self.assertRaises(IndexRefused, read_signed, value)

    def test_a_block_size_that_is_no_power_of_two_or_out_of_bounds_is_refused(self) -> None:
        for size in (0, 512, 3000, 16_383, 524_288, True, 16384.0, "16384", None):
            self.refused({**document(), "block_size": size}, "block_size")

    def test_a_file_of_more_blocks_than_one_frame_can_prove_is_refused(self) -> None:
        value = {**document(), "block_size": 1024}
        files_of(value)[0][1] = 1024 * limits.FILE_MAX_BLOCKS + 1
        self.refused(value, "blocks")

    def test_more_files_than_the_limit_are_refused(self) -> None:
        self.patch(limits, "ENTRIES_MAX", 10)
        self.refused(document(), "more than 10 files")

    def test_more_representations_than_the_limit_are_refused(self) -> None:
        self.patch(limits, "REPRESENTATIONS_MAX", 1)
        self.refused(document(), "representations")

    def test_a_presentation_of_nothing_is_refused(self) -> None:
        self.refused({**document(), "representations": []}, "representations")
        value = document()
        value["representations"][0]["media"] = []
        self.refused(with_its_own_id(value), "media")

    def test_a_representation_id_used_twice_or_malformed_is_refused(self) -> None:
        for name in ("4", "", "a/b", "a b", "x" * 65, 0, None):
            value = document()
            value["representations"][0]["id"] = name
            self.refused(value, "id")

    def test_a_type_that_is_unknown_is_refused(self) -> None:
        bad: tuple[object, ...] = ("image", "", None, [], 1)
        for kind in bad:
            value = document()
            value["representations"][0]["type"] = kind
            self.refused(value, "type")

    def test_figures_of_a_representation_out_of_bounds_are_refused(self) -> None:
        for name, bad in (
            ("bandwidth", 0),
            ("bandwidth", limits.BANDWIDTH_MAX_BPS + 1),
            ("bandwidth", None),
            ("width", 0),
            ("height", limits.DIMENSION_MAX_PX + 1),
            ("width", True),
            ("codecs", "x" * 256),
            ("codecs", "a\nb"),
            ("codecs", None),
        ):
            value = document()
            value["representations"][0][name] = bad
            self.refused(value, name)

    def test_segments_out_of_order_or_without_a_time_are_refused(self) -> None:
        for field, bad in (
            (3, 0.0),
            (3, -1.0),
            (3, "4"),
            (3, True),
            (4, -4.0),
            (4, 1e9),
            (4, None),
        ):
            value = document()
            value["representations"][0]["media"][1][field] = bad
            self.assertRaises(IndexRefused, read_signed, value)

    def test_infinity_is_no_time(self) -> None:
        for text in ("1e999", "NaN", "Infinity"):
            raw = BUILT.index_json.replace(b",12.0,4.0]", f",12.0,{text}]".encode(), 1)
            self.assertNotEqual(raw, BUILT.index_json)
            signature = IndexSignature.sign(raw, BUILT.index.presentation_id, KEY)
            self.assertRaises(IndexRefused, parse_index, raw, signature)

    def test_a_date_that_is_none_is_refused(self) -> None:
        for date in ("yesterday", "2026-01-01", "2026-01-01T00:00:00+01:00", 1, None):
            self.refused({**document(), "issued": date}, "issued")

    def test_containers_of_another_kind_are_refused(self) -> None:
        for name in ("files", "representations"):
            wrong: tuple[object, ...] = (None, {}, "x", 1)
            for bad in wrong:
                self.refused({**copy.deepcopy(document()), name: bad}, name)


UNSAFE_PATHS = (
    "", ".", "..", "../a", "a/../b", "a/..", "/a", "a/", "a//b", "./a", "a/./b", ".hidden",
    "a\\b", "a\0b", "a\nb", "a b", "a?b", "a#b", "a%2e", "http://x/a", "a:b", "ä", "a\u202eb",
    "a" * 256,
)  # fmt: skip


class PathTests(SynchronousTestCase):
    def test_what_an_encoder_writes_is_safe(self) -> None:
        for path in ("dash.mpd", "chunk_0_1.m4s", "video/1/seg-00001.m4s", "a" * 255, "a..b"):
            self.assertTrue(path_is_safe(path), path)

    def test_what_could_lead_elsewhere_is_not(self) -> None:
        for path in UNSAFE_PATHS:
            self.assertFalse(path_is_safe(path), repr(path))

    @given(st.text(max_size=30))
    def test_a_safe_path_has_no_two_spellings(self, path: str) -> None:
        if path_is_safe(path):
            self.assertTrue(path.isascii())
            parts = path.split("/")
            self.assertFalse({"", ".", ".."} & set(parts))
            self.assertFalse(set(path) & set("\\%?#: "))
