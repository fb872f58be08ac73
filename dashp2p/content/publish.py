"""Lay the signed index beside a finished DASH presentation: python -m dashp2p.content.publish.

Run it over a folder that nobody serves yet (segment.sh does, then swaps the folder in whole). Over
one that is being served it works too: a peer that reads an index.json whose index.sig is still the
old one refuses both, and finds the new pair when it asks again.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content import limits
from dashp2p.content.atomic import write_atomically
from dashp2p.content.blocks import hash_blocks
from dashp2p.content.build import BuiltIndex, FileFacts, RepresentationFacts, build_index
from dashp2p.content.entry import Representation
from dashp2p.content.index import Index, IndexRefused, parse_index, path_is_safe
from dashp2p.content.keys import (
    KeyRefused,
    load_or_create_key,
    public_bytes,
    signing_key_path,
)
from dashp2p.content.mpd import ManifestRepresentation, MpdRefused, read_mpd
from dashp2p.content.signature import BLOCKS_NAME, INDEX_NAME, SIGNATURE_NAME, IndexSignature

__all__ = ["MPD_NAME", "PublishRefused", "main", "publish"]

MPD_NAME: Final = "dash.mpd"
DAY_S: Final = 86_400.0
VALID_DAYS_MAX: Final = 36_500
_MANIFEST_SUFFIXES: Final = frozenset({".mpd", ".m3u8"})
_READ_BYTES: Final = 1 * limits.MIB
assert _READ_BYTES % limits.BLOCK_SIZE_BYTES == 0


class PublishRefused(Exception):  # noqa: N818 - it says what happened
    """A folder cannot be published; the text is one line that says why and what to do."""


def publish(
    folder: Path | str,
    key: Ed25519PrivateKey,
    now: float,
    valid_s: float | None = None,
    former: Path | None = None,
) -> Index:
    """Hash what `folder`/dash.mpd names and all playlists, and write the three index files.

    `now` is seconds since 1970, for the index's "issued"; with `valid_s` peers refuse it so much
    later. `former` is the published folder whose place this one takes (else `folder` itself): what
    is published now is always newer than that, even by a clock that was set back, and where the
    film is the same its index stays the same, byte by byte. index.sig comes last. Raises
    PublishRefused when the presentation is incomplete or out of bounds, OSError from the disk.
    """
    root = Path(folder)
    before = _Former.read(root if former is None else former)
    issued_s = max(now, (before.issued_ms(key) + 1) / 1000)
    try:
        manifest = read_mpd(_read_manifest(root))
        built = build_index(
            [_facts(root, path) for path in _manifest_paths(root)],
            [_representation_facts(root, item) for item in manifest.representations],
            key,
            issued_s,
            expires_s=None if valid_s is None else issued_s + valid_s,
        )
    except MpdRefused as error:
        raise PublishRefused(f"{root / MPD_NAME}: {error}") from error
    except IndexRefused as error:
        raise PublishRefused(f"{root} cannot be published: {error}") from error
    built = before.kept(built, key)
    write_atomically(root / INDEX_NAME, built.index_json)
    write_atomically(root / BLOCKS_NAME, built.index_blocks)
    write_atomically(root / SIGNATURE_NAME, built.signature.to_bytes())
    return built.index


@frozen
class _Former:
    """What was published in a folder before; nothing, where nothing can be read."""

    index_raw: bytes | None = field(default=None, repr=False)
    signature: IndexSignature | None = None

    @classmethod
    def read(cls, root: Path) -> "_Former":
        try:
            with (root / SIGNATURE_NAME).open("rb") as file:
                signature = IndexSignature.parse(file.read(limits.SIGNATURE_MAX_BYTES + 1))
        except (OSError, IndexRefused):
            return cls()
        try:
            with (root / INDEX_NAME).open("rb") as file:
                index_raw = file.read(limits.INDEX_MAX_BYTES + 1)
            parse_index(index_raw, signature)
        except (OSError, IndexRefused):
            return cls(None, signature)
        return cls(index_raw, signature)

    def issued_ms(self, key: Ed25519PrivateKey) -> int:
        """When that was, if it was with this key; else 0."""
        if self.signature is None or self.signature.public_key != public_bytes(key):
            return 0
        return self.signature.issued_ms

    def kept(self, built: BuiltIndex, key: Ed25519PrivateKey) -> BuiltIndex:
        """`built`, with the former index.json if they differ in nothing but when they were made.

        It is what peers of this swarm have; with another one they would have to change swarms.
        """
        if self.index_raw is None or not _same_but_issued(self.index_raw, built.index_json):
            return built
        new = built.signature
        signature = IndexSignature.sign(
            self.index_raw, new.presentation_id, key, new.issued_ms, new.expires_ms
        )
        return BuiltIndex(
            self.index_raw, built.index_blocks, signature, parse_index(self.index_raw, signature)
        )


def _same_but_issued(one: bytes, other: bytes) -> bool:
    documents = [{**json.loads(raw), "issued": None} for raw in (one, other)]
    return bool(documents[0] == documents[1])


def _read_manifest(root: Path) -> bytes:
    try:
        with (root / MPD_NAME).open("rb") as file:
            return file.read(limits.MPD_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise PublishRefused(f"{root} has no {MPD_NAME}: make one with ./segment.sh") from None


def _manifest_paths(root: Path) -> Iterator[str]:
    """dash.mpd first, then every other manifest or playlist, by name."""
    yield MPD_NAME
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix in _MANIFEST_SUFFIXES and name != MPD_NAME and path_is_safe(name):
            yield name


def _representation_facts(root: Path, item: ManifestRepresentation) -> RepresentationFacts:
    return RepresentationFacts(
        representation=Representation(
            id=item.id,
            media_type=item.media_type,
            bandwidth_bps=item.bandwidth_bps,
            codecs=item.codecs,
            width=item.width,
            height=item.height,
        ),
        init=_facts(root, item.init_path),
        media=[
            _facts(root, segment.path, segment.start_s, segment.duration_s)
            for segment in item.media
        ],
    )


def _facts(root: Path, name: str, start_s: float = 0.0, duration_s: float = 0.0) -> FileFacts:
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise PublishRefused(f"{path} is a link that leads out of the folder")
    size = 0
    hashes = []
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                size += len(data)
                if size > limits.FILE_MAX_BYTES:
                    raise PublishRefused(f"{path} is larger than {limits.FILE_MAX_BYTES} bytes")
                hashes.append(hash_blocks(data, limits.BLOCK_SIZE_BYTES))
    except FileNotFoundError:
        raise PublishRefused(f"{root / MPD_NAME} names {name}, which is not there") from None
    if not size:
        raise PublishRefused(f"{path} is empty")
    return FileFacts(name, size, b"".join(hashes), start_s, duration_s)


def describe(index: Index) -> str:
    """One paragraph for the person who published."""
    tracks = [item.media_type for item in index.representations]
    size_mb = sum(entry.size_bytes for entry in index.entries) / 1e6
    return (
        f"published {len(index.entries)} files, {size_mb:.1f} MB: "
        + ", ".join(f"{tracks.count(kind)} {kind}" for kind in dict.fromkeys(tracks))
        + f"\npresentation {index.presentation_id}\norigin key   {index.public_key.hex()}"
    )


def load_signing_key(folder: Path, key_path: Path) -> Ed25519PrivateKey:
    """The signing key, made on first use; never one that would be served with the film."""
    if key_path.resolve().is_relative_to(folder.resolve()):
        raise KeyRefused(f"the signing key {key_path} lies in the published folder: move it out")
    return load_or_create_key(key_path)


def add_valid_days(parser: argparse.ArgumentParser) -> None:
    """The option --valid-days, which segment.sh has too."""
    parser.add_argument(
        "--valid-days",
        type=_days,
        metavar="DAYS",
        help="peers refuse the index so long after, so that nobody can play an old one to them for "
        "ever; publish anew before (default: it has no end)",
    )


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= days <= VALID_DAYS_MAX:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {VALID_DAYS_MAX}")
    return days


def valid_s(options: argparse.Namespace) -> float | None:
    """What that option says, in seconds."""
    return None if options.valid_days is None else options.valid_days * DAY_S


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m dashp2p.content.publish",
        description="Write and sign the index of a finished DASH presentation.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder with dash.mpd")
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help=f"Ed25519 signing key, made on first use (default {signing_key_path()}; "
        "environment DASHP2P_SIGNING_KEY)",
    )
    add_valid_days(parser)
    options = parser.parse_args(arguments)
    now = datetime.datetime.now(datetime.timezone.utc).timestamp()
    try:
        key = load_signing_key(options.folder, options.key or signing_key_path())
        index = publish(options.folder, key, now, valid_s(options))
    except (PublishRefused, KeyRefused) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot publish {options.folder}: {error}", file=sys.stderr)
        return 1
    print(describe(index))
    return 0


if __name__ == "__main__":
    sys.exit(main())
