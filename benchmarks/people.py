"""
Those who take part in secure measurements: keys, and state folders in which people know each other.

The keys are made from numbers, so that every process finds the same ones by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from twistedchat.core.entries import NOTHING, TEXT, Entry, Said, direct_room, sign_run
from twistedchat.core.identity import Identity
from twistedchat.core.trust import Contact
from twistedchat.store.contacts import ContactsFile
from twistedchat.store.identity import open_identity
from twistedchat.store.journal import LARGEST_GROUP, Journal

__all__ = ["FIRST_CALLER", "NODE", "WRITER", "acquaint", "fill_journal", "identity_of", "say"]

# Who they are, by number: the node that is measured, the one that writes to it, and the first of
# those who call it.
NODE, WRITER, FIRST_CALLER = 0, 1, 1000

# When the first entry of a filled journal was written, in microseconds since the epoch: long ago.
FIRST_TIME = 1_700_000_000_000_000


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
class _Here:
    """
    A reactor and a thread in one: everything is done at once.
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


def fill_journal(folder: Path, count: int) -> None:
    """
    Fill a journal with what the writer has said to the node: every entry was typed by itself.

    Args:
        folder: An empty folder for it.
        count: How many entries.
    """
    here = _Here()
    author = identity_of(WRITER)
    journal = Journal(here, folder, author.key, lambda _: here)
    room = direct_room(author.key, identity_of(NODE).key)
    prev = NOTHING
    group: list[Entry] = []
    for seq in range(1, count + 1):
        said = Said(FIRST_TIME + seq, TEXT, say("Zstored", seq - 1))
        _, entries = sign_run(author, room, seq, prev, (said,))
        prev = entries[-1].hash
        group += entries
        if len(group) == LARGEST_GROUP or seq == count:
            journal.append(group)
            group = []
    journal.close()
