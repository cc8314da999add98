"""
Those who take part in secure measurements: keys, and state folders in which people know each other.

The keys are made from numbers, so that every process finds the same ones by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import chain
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from zope.interface import implementer

from twistedchat.core.entries import NOTHING, TEXT, Entry, Said, direct_room, sign_run
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import NONCE_LENGTH, adding, founding, room_of
from twistedchat.core.trust import Contact
from twistedchat.store.contacts import ContactsFile
from twistedchat.store.identity import open_identity
from twistedchat.store.journal import LARGEST_GROUP, Journal

__all__ = [
    "FIRST_CALLER",
    "NODE",
    "ROOM_NAME",
    "STORED",
    "WRITER",
    "acquaint",
    "fill_journal",
    "fill_room",
    "identity_of",
    "invite_to_room",
    "open_journal",
    "say",
]

# Who they are, by number: the node that is measured, the one that writes to it, and the first of
# those who call it.
NODE, WRITER, FIRST_CALLER = 0, 1, 1000

# When the first entry of a filled journal was written, in microseconds since the epoch: long ago.
FIRST_TIME = 1_700_000_000_000_000

# What the texts begin with that a journal is filled with.
STORED = "Zstored"

# What the room of the two is called, and what it was made with.
ROOM_NAME = "garden"
_NONCE = bytes(NONCE_LENGTH)


def identity_of(number: int) -> Identity:
    """
    Make somebody's key.

    Args:
        number: Who.

    Returns:
        The key, the same each time.
    """
    seed = sha256(b"benchmark %d" % number).digest()
    return Identity(Ed25519PrivateKey.from_private_bytes(seed))


def say(token: str, serial: int) -> str:
    """
    Make a text as people write them.

    Args:
        token: What it begins with.
        serial: The number behind that, of six digits.

    Returns:
        About 70 characters.
    """
    return f"{token}{serial:06d} and a few words more, as many as people say at a time"


def acquaint(state: Path, port: int, us: int, others: Iterable[int]) -> None:
    """
    Make the state of a node that knows its contacts already.

    Args:
        state: Its state folder.
        port: Where it listens.
        us: Who it is.
        others: Whom it knows.
    """
    folder = state / str(port)
    folder.mkdir(mode=0o700, parents=True)
    key = identity_of(us).secret.private_bytes_raw().hex()
    (folder / "identity.key").write_text(f"twistedchat-ed25519 {key}\n", encoding="ascii")
    (folder / "identity.key").chmod(0o600)
    # The form of that file is for its own module to know: this sees that it is still as above.
    assert open_identity(folder)[0].key == identity_of(us).key
    ContactsFile(folder).write(
        Contact(identity_of(number).key, f"contact{number}") for number in others
    )


@implementer(IReactorFromThreads)
class _Here(Clock):
    """
    A reactor and a thread in one: everything is done at once, but for what has time.
    """

    def callFromThread(  # noqa: N802 (Twisted calls it)
        self,
        callable: Callable[..., object],
        *args: object,
        **kwargs: object,
    ) -> None:
        """
        Call a function.
        """
        callable(*args, **kwargs)

    def do(self, job: Callable[[], None]) -> None:
        """
        Do a job.
        """
        job()

    def end(self) -> None:
        """
        Do nothing: all is done.
        """


def open_journal(folder: Path, owner: DeviceKey) -> Journal:
    """
    Open a journal in which everything is done at once, and in this thread.

    Args:
        folder: Where it is, or is to be.
        owner: Whose it is.

    Returns:
        The journal.
    """
    here = _Here()
    return Journal(here, folder, owner, lambda _: here)


def fill_journal(folder: Path, count: int) -> None:
    """
    Fill a journal with what the writer has said to the node: every entry was typed by itself.

    Args:
        folder: An empty folder for it.
        count: How many entries.
    """
    author = identity_of(WRITER)
    journal = open_journal(folder, author.key)
    _say_all(journal, author, direct_room(author.key, identity_of(NODE).key), [], count)
    journal.close()


def _say_all(
    journal: Journal, author: Identity, room: bytes, first: Iterable[tuple[str, str]], count: int
) -> None:
    texts = ((TEXT, say(STORED, serial)) for serial in range(count))
    prev = NOTHING
    group: list[Entry] = []
    for seq, (kind, body) in enumerate(chain(first, texts), 1):
        _, entries = sign_run(author, room, seq, prev, (Said(FIRST_TIME + seq, kind, body),))
        prev = entries[-1].hash
        group += entries
        if len(group) == LARGEST_GROUP:
            journal.append(group)
            group = []
    journal.append(group)


def _record(stay: Stay) -> RoomRecord:
    founder = identity_of(WRITER).key
    return RoomRecord(room_of(founder, _NONCE), stay, ROOM_NAME, founder, founder)


def fill_room(folder: Path, count: int) -> None:
    """
    Fill a journal with a room of the writer and the node, where the writer has said much.

    Args:
        folder: The writer's folder.
        count: How many texts.
    """
    author = identity_of(WRITER)
    record = _record(Stay.JOINED)
    journal = open_journal(folder, author.key)
    journal.keep_room(record)
    first = [
        founding(ROOM_NAME, _NONCE, f"contact{WRITER}"),
        adding(identity_of(NODE).key, f"contact{NODE}"),
    ]
    _say_all(journal, author, record.room, first, count)
    journal.close()


def invite_to_room(folder: Path) -> None:
    """
    Make a journal in which nothing is but that the writer has invited the node to that room.

    Args:
        folder: The node's folder.
    """
    journal = open_journal(folder, identity_of(NODE).key)
    journal.keep_room(_record(Stay.INVITED))
    journal.close()
