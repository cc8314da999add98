"""
The file of our own key.
"""

import os
import re
import traceback
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from tests.test_store_files import FileTestCase
from twistedchat.core.errors import ConfigError
from twistedchat.core.identity import Identity
from twistedchat.store.identity import open_identity

SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"  # RFC 8032 section 7.1
KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


class IdentityFileTests(FileTestCase):
    """
    `open_identity`.
    """

    @override
    def setUp(self) -> None:
        """
        Name the file.
        """
        super().setUp()
        self.file = self.folder / "identity.key"

    def write(self, data: bytes, mode: int = 0o600) -> None:
        """
        Put a file there.
        """
        self.file.touch()
        self.file.write_bytes(data)
        self.file.chmod(mode)

    def refuse(self) -> str:
        """
        Open what cannot be used, and give what is said about it, in which there is no secret.
        """
        error = self.assertRaises(ConfigError, open_identity, self.folder)
        told = "".join(traceback.format_exception(error))
        self.assertNotIn(SEED[:8], told)
        self.assertIn(str(self.file), str(error))
        return str(error)

    def test_first_start_makes_a_key(self) -> None:
        """
        Where there is none, a key is made and kept, for nobody else to read.
        """
        identity, is_new = open_identity(self.folder)

        self.assertTrue(is_new)
        self.assertEqual([self.file], list(self.folder.iterdir()))
        self.assertEqual(0o600, self.mode(self.file))
        found = re.fullmatch(r"twistedchat-ed25519 ([0-9a-f]{64})\n", self.file.read_text())
        assert found is not None
        secret = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(found[1]))
        self.assertEqual(identity.key, Identity(secret).key)

    def test_next_start_finds_it_again(self) -> None:
        """
        From then on we are the same.
        """
        first, _ = open_identity(self.folder)
        data = self.file.read_bytes()

        second, is_new = open_identity(self.folder)

        self.assertFalse(is_new)
        self.assertEqual(first.key, second.key)
        self.assertEqual(data, self.file.read_bytes())

    def test_two_folders_have_two_keys(self) -> None:
        """
        No two nodes are alike.
        """
        other = self.folder / "other"
        other.mkdir()

        first, _ = open_identity(self.folder)
        second, _ = open_identity(other)

        self.assertNotEqual(first.key, second.key)

    def test_known_seed_gives_the_known_key(self) -> None:
        """
        What stands in the file is the private key of RFC 8032.
        """
        self.write(f"twistedchat-ed25519 {SEED}\n".encode())

        identity, is_new = open_identity(self.folder)

        self.assertEqual((KEY, False), (str(identity.key), is_new))

    def test_file_that_only_its_owner_can_read_is_good(self) -> None:
        """
        Stricter permissions than ours are no reason to complain.
        """
        self.write(f"twistedchat-ed25519 {SEED}\n".encode(), 0o400)

        self.assertEqual(KEY, str(open_identity(self.folder)[0].key))

    def test_damaged_file_is_told_and_kept(self) -> None:
        """
        What is no key is neither guessed nor replaced nor told.
        """
        line = f"twistedchat-ed25519 {SEED}\n"
        for damaged in (
            "",
            "\n",
            line[:-1],
            line[:40],
            line + "\n",
            line + line,
            line.replace("\n", "\r\n"),
            line.upper(),
            " " + line,
            line.replace("9d61", "9d6g"),
            line.replace("9d61", "9d6"),
            line.replace("9d61", "9d611"),
            line.replace("ed25519", "ed448"),
            SEED + "\n",
            "\0" * len(line),
        ):
            self.write(damaged.encode())

            told = self.refuse()

            self.assertIn("is damaged. Put back a copy of that file.", told)
            self.assertIn("somebody else to everyone", told)
            self.assertEqual(damaged.encode(), self.file.read_bytes())

    def test_file_that_others_can_open_is_told(self) -> None:
        """
        Any permission for anybody else is refused, with the command that takes it away.
        """
        for mode in (0o640, 0o604, 0o620, 0o602, 0o601, 0o610, 0o644, 0o666, 0o777):
            self.write(f"twistedchat-ed25519 {SEED}\n".encode(), mode)

            told = self.refuse()

            self.assertIn("is open to other users", told)
            self.assertIn(f"chmod 600 {self.file}", told)
            self.assertEqual(mode, self.mode(self.file))

    def test_command_can_be_pasted(self) -> None:
        """
        A folder with a blank in its name does not make two words of the command.
        """
        folder = self.folder / "my chat"
        folder.mkdir()
        file = folder / "identity.key"
        file.touch(0o644)

        error = self.assertRaises(ConfigError, open_identity, folder)

        self.assertIn(f"chmod 600 '{file}'", str(error))

    def test_file_of_somebody_else_is_told(self) -> None:
        """
        A key that another user made is not ours to use.
        """
        self.write(f"twistedchat-ed25519 {SEED}\n".encode())
        owner = self.file.stat().st_uid
        self.patch(os, "geteuid", lambda: owner + 1)

        self.assertIn(f"belongs to another user (number {owner})", self.refuse())

    def test_what_is_no_regular_file_is_told(self) -> None:
        """
        A link, a folder or a pipe is refused, without waiting for what could come out of it.
        """
        elsewhere = self.folder / "elsewhere"
        elsewhere.write_text(f"twistedchat-ed25519 {SEED}\n")
        elsewhere.chmod(0o600)
        makers = (
            lambda: self.file.symlink_to(elsewhere),
            lambda: self.file.symlink_to(self.folder / "nowhere"),
            lambda: self.file.mkdir(0o700),
            lambda: os.mkfifo(self.file, 0o600),
        )
        for make in makers:
            make()

            self.assertIn("is no regular file", self.refuse())

            (self.file.rmdir if self.file.is_dir() else self.file.unlink)()

    def test_full_disk_is_told_and_leaves_nothing(self) -> None:
        """
        A key that cannot be kept is none: the next start makes another.
        """
        self.fill_disk()

        told = self.refuse()

        self.assertIn("can be neither read nor made (No space left on device)", told)
        self.assertIn("--state", told)
        self.assertEqual([], list(self.folder.iterdir()))

    def test_missing_folder_is_told(self) -> None:
        """
        A folder that somebody removed meanwhile is an error in words as well.
        """
        self.folder = self.folder / "gone"
        self.file = self.folder / "identity.key"

        self.assertIn("(No such file or directory)", self.refuse())

    def test_whoever_is_first_is_right(self) -> None:
        """
        If another process makes a key in the same moment, that one counts for both.
        """
        generate = Ed25519PrivateKey.generate

        def slow() -> Ed25519PrivateKey:
            if not self.file.exists():
                self.write(f"twistedchat-ed25519 {SEED}\n".encode())
            return generate()

        with mock.patch.object(Ed25519PrivateKey, "generate", slow):
            identity, is_new = open_identity(self.folder)

        self.assertEqual((KEY, False), (str(identity.key), is_new))
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_no_file_is_left_open(self) -> None:
        """
        Neither a good nor a bad file stays open.
        """
        descriptors = Path("/dev/fd")
        before = len(list(descriptors.iterdir()))
        open_identity(self.folder)
        open_identity(self.folder)
        self.write(b"damaged")
        self.refuse()

        self.assertEqual(before, len(list(descriptors.iterdir())))
