import os
from hashlib import sha256
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.keys import (
    KeyRefused,
    load_or_create_key,
    peer_id,
    public_bytes,
    signing_key_path,
)


class KeyFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "keys" / "origin.key"

    def test_a_key_is_made_on_first_use_and_stays_the_same(self) -> None:
        first = public_bytes(load_or_create_key(self.path))
        self.assertEqual(public_bytes(load_or_create_key(self.path)), first)
        self.assertEqual(len(first), 32)

    def test_only_its_owner_can_read_a_new_key(self) -> None:
        load_or_create_key(self.path)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(os.listdir(self.path.parent), ["origin.key"])

    def test_a_key_that_others_can_read_is_refused(self) -> None:
        load_or_create_key(self.path)
        self.path.chmod(0o644)
        error = self.assertRaises(KeyRefused, load_or_create_key, self.path)
        self.assertIn("chmod 600", str(error))

    def test_two_that_start_at_once_get_the_same_key(self) -> None:
        """The other one's key appears after we've looked and before ours is in place."""
        winner: list[bytes] = []

        def link(draft: Path, path: Path) -> None:
            if not winner:
                winner.append(b"")
                winner[0] = public_bytes(load_or_create_key(path))
            real_link(draft, path)

        real_link = os.link
        with mock.patch.object(os, "link", link):
            loser = public_bytes(load_or_create_key(self.path))
        self.assertEqual([loser], winner)
        self.assertEqual(os.listdir(self.path.parent), ["origin.key"])

    def test_a_file_that_is_no_key_is_refused_and_left_alone(self) -> None:
        self.path.parent.mkdir(parents=True)
        for content in (b"", b"hello", b"x" * 10_000):
            self.path.write_bytes(content)
            self.path.chmod(0o600)
            self.assertRaises(KeyRefused, load_or_create_key, self.path)
            self.assertEqual(self.path.read_bytes(), content)

    def test_a_key_of_another_kind_is_refused(self) -> None:
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(pem)
        self.path.chmod(0o600)
        error = self.assertRaises(KeyRefused, load_or_create_key, self.path)
        self.assertIn("not an Ed25519 key", str(error))

    def test_a_place_that_cannot_be_written_is_refused(self) -> None:
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.write_bytes(b"a file where a folder should be")
        self.assertRaises(KeyRefused, load_or_create_key, self.path)


class NameTests(SynchronousTestCase):
    def test_a_peer_is_named_by_the_hash_of_its_public_key(self) -> None:
        self.assertEqual(peer_id(b"k" * 32), sha256(b"k" * 32).digest())

    def test_the_signing_key_is_kept_with_the_users_configuration(self) -> None:
        home = {"XDG_CONFIG_HOME": "/home/me/.config"}
        self.assertEqual(signing_key_path(home), Path("/home/me/.config/dashp2p/origin.key"))
        self.assertEqual(signing_key_path({}), Path.home() / ".config" / "dashp2p" / "origin.key")

    def test_the_environment_may_name_another(self) -> None:
        self.assertEqual(signing_key_path({"DASHP2P_SIGNING_KEY": "/k"}), Path("/k"))
