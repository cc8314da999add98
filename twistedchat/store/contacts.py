"""
The file of the contacts: whom we know, and where those were who are in a room with us.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from twistedchat.core.addresses import LARGEST_PORT, Address
from twistedchat.core.errors import ConfigError, InvalidKey, StoreError
from twistedchat.core.identity import parse_key
from twistedchat.core.trust import Contact
from twistedchat.store.files import write_private

__all__ = ["ContactsFile"]

FILE = "contacts.json"

# To be raised when an older version could no longer read the file, or would do harm by doing so.
VERSION = 2


_Port = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PORT)]


class _Row(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    # A word that is not known is refused: "is_bloked" must not let somebody in.
    key: str
    name: str
    is_verified: bool = False
    is_blocked: bool = False
    addresses: tuple[tuple[str, _Port], ...] = ()
    since: float = 0.0
    last_met: float | None = None
    is_roommate: bool = False


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Rows(_Versioned, frozen=True, forbid_unknown_fields=True):
    contacts: tuple[_Row, ...]


class ContactsFile:
    """
    A file with all contacts, replaced whole each time.

    Args:
        folder: The node's own.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def read(self) -> list[Contact]:
        """
        Read the contacts.

        Returns:
            Those that were written last; none where nothing has been written yet.

        Raises:
            ConfigError: The file is there, but cannot be understood.
        """
        try:
            data = self._file.read_bytes()
            version = msgspec.json.decode(data, type=_Versioned).version
            rows = msgspec.json.decode(data, type=_Rows).contacts if version <= VERSION else ()
            contacts = [_contact(row) for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, InvalidKey) as error:
            raise self._unreadable(str(error)) from error
        if version > VERSION:
            raise ConfigError(
                f"The contacts in {self._file} were written by a newer version of twistedchat. "
                "Use that version, or choose another place with --state."
            )
        if len({contact.key for contact in contacts}) < len(contacts):
            # One of them may be blocked and the other not.
            raise self._unreadable("somebody stands there twice")
        return contacts

    def write(self, contacts: Iterable[Contact]) -> None:
        """
        Keep the contacts: the file is replaced whole, or not at all.

        Args:
            contacts: All of them.

        Raises:
            StoreError: The disk does not take it.
        """
        rows = _Rows(VERSION, tuple(_row(contact) for contact in contacts))
        try:
            write_private(self._file, msgspec.json.format(msgspec.json.encode(rows)))
        except OSError as error:
            raise StoreError(
                f"The contacts cannot be written to {self._file} ({error.strerror}). "
                "Make room there, and try again."
            ) from error

    def _unreadable(self, why: str) -> ConfigError:
        return ConfigError(
            f"The contacts in {self._file} cannot be read ({why}). Mend that file or put back a "
            "copy of it; without it everybody is a stranger again."
        )


def _contact(row: _Row) -> Contact:
    return Contact(
        parse_key(row.key),
        row.name,
        is_verified=row.is_verified,
        is_blocked=row.is_blocked,
        addresses=tuple(Address(host, port) for host, port in row.addresses),
        since=row.since,
        last_met=row.last_met,
        is_roommate=row.is_roommate,
    )


def _row(contact: Contact) -> _Row:
    return _Row(
        key=str(contact.key),
        name=contact.name,
        is_verified=contact.is_verified,
        is_blocked=contact.is_blocked,
        addresses=contact.addresses,
        since=contact.since,
        last_met=contact.last_met,
        is_roommate=contact.is_roommate,
    )
