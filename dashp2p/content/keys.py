"""Ed25519 keys on disk: the origin's signing key and a peer's identity are kept alike."""

import contextlib
import os
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

__all__ = [
    "KeyRefused",
    "load_or_create_key",
    "peer_id",
    "public_bytes",
    "signing_key_path",
    "ticket_key_path",
]

KEY_MAX_BYTES = 4096


class KeyRefused(Exception):  # noqa: N818 - it says what happened
    """A key file cannot be used; the text is one line that says why and what to do."""


def signing_key_path(environ: dict[str, str] | None = None) -> Path:
    """Where the origin's signing key is kept: never inside a folder that is published.

    DASHP2P_SIGNING_KEY, or else dashp2p/origin.key in the user's configuration folder.
    """
    env = os.environ if environ is None else environ
    if named := env.get("DASHP2P_SIGNING_KEY"):
        return Path(named)
    return _configuration_folder(env) / "origin.key"


def ticket_key_path(environ: Mapping[str, str]) -> Path:
    """Where a tracker keeps the key of its tickets, unless it was told another place."""
    return _configuration_folder(environ) / "ticket.key"


def _configuration_folder(environ: Mapping[str, str]) -> Path:
    config = environ.get("XDG_CONFIG_HOME")
    home = Path(config) if config and Path(config).is_absolute() else Path.home() / ".config"
    return home / "dashp2p"


def load_or_create_key(path: Path | str) -> Ed25519PrivateKey:
    """The Ed25519 key in the PEM file `path`, made (mode 0600) on first use.

    Two processes that start at once get the same key. Raises KeyRefused if the file is no Ed25519
    key, is readable by others, or can neither be read nor written.
    """
    path = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            return _load(path)
        _create(path)
        return _load(path)
    except OSError as error:
        raise KeyRefused(f"cannot use the key file {path}: {error.strerror or error}") from error


def _load(path: Path) -> Ed25519PrivateKey:
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise KeyRefused(f"the key file {path} is readable by others: chmod 600 {path}")
        pem = file.read(KEY_MAX_BYTES + 1)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyRefused(f"{path} is not an unencrypted PEM key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(f"{path} is not an Ed25519 key")
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    # Written in full under another name, then linked: nobody ever reads half a key, and whoever
    # comes second keeps the first one's key instead of replacing it.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw 32-byte public half."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def peer_id(public_key: bytes) -> bytes:
    """Who someone is: the SHA-256 (32 bytes) of the raw public key."""
    return sha256(public_key).digest()
