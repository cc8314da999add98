"""
The file of the contacts.
"""

import json

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tests.strategies import contacts
from tests.test_store_files import FileTestCase
from twistedchat.core.addresses import Address
from twistedchat.core.errors import ConfigError, StoreError
from twistedchat.core.trust import Contact
from twistedchat.store.contacts import ContactsFile
from twistedchat.testing import identity_of

ANN = Contact(
    identity_of("Ann").key,
    "Änn 你好",
    is_verified=True,
    addresses=(Address("192.0.2.7", 7070), Address("2001:db8::7", 7071), Address("ann.local", 1)),
    since=1700000000.25,
    last_met=1700000001.5,
)
BOB = Contact(identity_of("Bob").key, "", is_blocked=True, since=1.5)


class ContactsFileTests(FileTestCase):
    """
    `ContactsFile`.
    """

    @override
    def setUp(self) -> None:
        """
        Name the file.
        """
        super().setUp()
        self.file = self.folder / "contacts.json"
        self.contacts = ContactsFile(self.folder)

    def refuse(self, data: bytes) -> str:
        """
        Read what cannot be understood, and give what is said about it; the file stays as it is.
        """
        self.file.write_bytes(data)
        error = self.assertRaises(ConfigError, self.contacts.read)
        self.assertEqual(data, self.file.read_bytes())
        self.assertIn(str(self.file), str(error))
        return str(error)

    def changed(self, **changes: object) -> bytes:
        """
        A file with one contact in which something is different.
        """
        self.contacts.write([ANN])
        data = json.loads(self.file.read_bytes())
        data["contacts"][0].update(changes)
        return json.dumps(data).encode()

    def test_nothing_written_is_empty(self) -> None:
        """
        At the first start there is nobody, and that is no error.
        """
        self.assertEqual([], self.contacts.read())
        self.assertEqual([], list(self.folder.iterdir()))

    def test_written_is_read_again(self) -> None:
        """
        Everything that is known of a contact is found by the next start.
        """
        for those in ([ANN, BOB], [BOB], []):
            self.contacts.write(those)
            self.assertEqual(those, ContactsFile(self.folder).read())

    def test_written_is_private_and_alone(self) -> None:
        """
        The file is for nobody else, and no draft stays behind.
        """
        self.contacts.write([ANN])
        self.contacts.write([BOB])

        self.assertEqual([self.file], list(self.folder.iterdir()))
        self.assertEqual(0o600, self.mode(self.file))

    def test_file_says_its_version(self) -> None:
        """
        A person and a later version can read what is there.
        """
        self.contacts.write([BOB])

        self.assertEqual(
            {
                "version": 2,
                "contacts": [{"key": str(BOB.key), "name": "", "is_blocked": True, "since": 1.5}],
            },
            json.loads(self.file.read_bytes()),
        )

    def test_earlier_version_is_read(self) -> None:
        """
        Whoever was known before there were rooms is known still.
        """
        self.file.write_text(
            f'{{"version": 1, "contacts": [{{"key": "{BOB.key}", "name": "", "is_blocked": true, '
            '"since": 1.5}]}'
        )

        self.assertEqual([BOB], self.contacts.read())

    def test_roommate_is_read_as_one(self) -> None:
        """
        Somebody of whom only the address is kept is no contact by the next start either.
        """
        roommate = Contact(BOB.key, "", addresses=ANN.addresses[:1], is_roommate=True)

        self.contacts.write([ANN, roommate])

        self.assertEqual([ANN, roommate], self.contacts.read())

    def test_newer_version_is_told(self) -> None:
        """
        A file of a version that is not known is not understood by halves.
        """
        for data in (b'{"version": 3}', b'{"version": 4, "people": [], "contacts": 1}'):
            self.assertIn("by a newer version of twistedchat", self.refuse(data))

    def test_damaged_file_is_told(self) -> None:
        """
        What cannot be understood is neither guessed nor thrown away.
        """
        for damaged in (
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"version": 1}',
            b'{"version": "1", "contacts": []}',
            b'{"version": 1, "contacts": {}}',
            b'{"version": 1, "contacts": [], "more": 1}',
            b'{"version": 1, "contacts": [{}]}',
            self.changed(key="abc"),
            self.changed(key="0" * 64),
            self.changed(name=None),
            self.changed(addresses=[["192.0.2.7"]]),
            self.changed(addresses=[["192.0.2.7", 0]]),
            self.changed(addresses=[["192.0.2.7", 65536]]),
            self.changed(is_bloked=True),
            self.changed(is_blocked="true"),
            self.changed(name="x").replace(b'"x"', b'"\xff"'),
        ):
            told = self.refuse(damaged)

            self.assertIn(f"The contacts in {self.file} cannot be read (", told)
            self.assertIn("Mend that file or put back a copy", told)

    def test_contact_that_stands_there_twice_is_told(self) -> None:
        """
        Nobody is let in by a second line in which they are not blocked.
        """
        self.contacts.write([BOB, ANN, Contact(BOB.key, "Bob")])

        self.assertIn("somebody stands there twice", self.refuse(self.file.read_bytes()))

    def test_folder_in_the_place_of_the_file_is_told(self) -> None:
        """
        What cannot be read is told, and what cannot be replaced too.
        """
        self.file.mkdir()

        self.assertIn("(", str(self.assertRaises(ConfigError, self.contacts.read)))
        error = self.assertRaises(StoreError, self.contacts.write, [ANN])
        self.assertIn(f"cannot be written to {self.file} (Is a directory)", str(error))

    def test_full_disk_keeps_who_was_there(self) -> None:
        """
        When the disk does not take it, the old contacts are whole and no draft stays behind.
        """
        self.contacts.write([ANN])
        self.fill_disk()

        error = self.assertRaises(StoreError, self.contacts.write, [ANN, BOB])

        self.assertEqual(
            f"The contacts cannot be written to {self.file} (No space left on device). "
            "Make room there, and try again.",
            str(error),
        )
        self.assertEqual([ANN], self.contacts.read())
        self.assertEqual([self.file], list(self.folder.iterdir()))


class EveryContactTests(FileTestCase):
    """
    `ContactsFile`, whatever is in it.
    """

    @given(st.lists(contacts(), max_size=3, unique_by=lambda contact: contact.key))
    def test_any_contacts_are_read_again(self, those: list[Contact]) -> None:
        """
        What can be written can be read, and is the same.
        """
        file = ContactsFile(self.folder)

        file.write(those)

        self.assertEqual(those, file.read())

    @given(st.binary(max_size=60))
    def test_any_bytes_are_contacts_or_told(self, data: bytes) -> None:
        """
        There is one error, whatever is in the file.
        """
        self.file = self.folder / "contacts.json"
        self.file.write_bytes(data)

        self.assertRaises(ConfigError, ContactsFile(self.folder).read)
