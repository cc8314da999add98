"""
A long past: the journal of a node to which very much has been said, and the same texts barely kept.

Half of it was said in one room of eight, the rest in conversations of two. Who is in the room and
whom the node knows stands in its state folder, as always.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count as count_from
from itertools import cycle
from pathlib import Path

from benchmarks.people import NODE, acquaint, identity_of, open_journal
from benchmarks.texts import EVERY_SHORT, make_texts
from twistedchat.core.entries import NOTHING, TEXT, Entry, Said, direct_room, sign_run
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import Identity
from twistedchat.core.rooms import NONCE_LENGTH, adding, founding, room_of
from twistedchat.store.journal import LARGEST_GROUP

__all__ = ["BARE_TABLES", "MATES", "ROOM", "SMALL_MATE", "fill_archive", "fill_bare", "place_of"]

# Those with whom the node is in the room, who talk to it alone too; and one with whom it has spoken
# only now and then.
MATES = range(2000, 2007)
SMALL_MATE = 2007

# How many of these things are said in which place, in turn: eight in the room, seven to or by each
# of the mates alone. The last one says something every so many times that.
ROUND = 16
SMALL_EVERY = 25

# What stands between two signatures: what people type while a commit goes on, or send while nobody
# is there.
RUN = 4

# When the first text was said, and how long after each the next, in microseconds since the epoch:
# a million of them are some years.
FIRST_TIME, STEP = 1_600_000_000_000_000, 150_000_000

_NONCE = bytes(NONCE_LENGTH)

ROOM = room_of(identity_of(NODE).key, _NONCE)
"""The room of eight."""

BARE_TABLES = """
CREATE TABLE bare_texts (id INTEGER PRIMARY KEY, place INTEGER, time INTEGER, body TEXT);
CREATE INDEX bare_by_time ON bare_texts (place, time);
CREATE TABLE bare_places (id INTEGER PRIMARY KEY, name BLOB);
CREATE VIRTUAL TABLE bare_words USING fts5 (body);
"""
"""The least that keeps texts, finds words in them, and the texts of one place in order."""


@dataclass(slots=True)
class _Voice:
    """
    One author in one place.
    """

    identity: Identity
    room: bytes
    seq: int = 0
    prev: bytes = NOTHING
    unsigned: list[Said] = field(default_factory=list)

    def says(self, said: Said) -> tuple[Entry, ...]:
        self.unsigned.append(said)
        return self.sign() if len(self.unsigned) >= RUN else ()

    def sign(self) -> tuple[Entry, ...]:
        if not self.unsigned:
            return ()
        _, entries = sign_run(
            self.identity, self.room, self.seq + 1, self.prev, tuple(self.unsigned)
        )
        self.seq, self.prev = entries[-1].seq, entries[-1].hash
        self.unsigned.clear()
        return entries


def place_of(mate: int) -> bytes:
    """
    The conversation of somebody and the node.

    Args:
        mate: Who, by number.
    """
    return direct_room(identity_of(NODE).key, identity_of(mate).key)


def _entries(count: int) -> Iterator[Entry]:
    # All that was said, in the order in which it came.
    us = identity_of(NODE)
    founder = _Voice(us, ROOM)
    said = [founding("archive", _NONCE, "bench")]
    said += [adding(identity_of(mate).key, f"contact{mate}") for mate in MATES]
    for number, (kind, body) in enumerate(said, 1):
        yield from founder.says(Said(number, kind, body))
    yield from founder.sign()
    in_room = [founder, *(_Voice(identity_of(mate), ROOM) for mate in MATES)]
    alone = [_Voice(who, place_of(mate)) for mate in MATES for who in (identity_of(mate), us)]
    small = _Voice(identity_of(SMALL_MATE), place_of(SMALL_MATE))
    room_turns, turns = cycle(in_room), cycle(alone)
    for number, text in zip(count_from(), make_texts(count), strict=False):
        # By fours, so that what one says at a time stands together.
        if number % (ROUND * SMALL_EVERY) == 0:
            voice = small
        elif number % RUN == 0 or voice is small:
            voice = next(room_turns if number // RUN % 2 else turns)
        yield from voice.says(Said(FIRST_TIME + STEP * number, TEXT, text))
    for voice in (*in_room, *alone, small):
        yield from voice.sign()


def _is_late(folder: Path) -> bool:
    (file,) = folder.glob("journal*.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (is_late,) = connection.execute(
            "SELECT coalesce((SELECT max(last) FROM lots), 0) < (SELECT max(id) FROM entries)"
        ).fetchone()
    return bool(is_late)


def fill_archive(state: Path, port: int, count: int) -> None:
    """
    Make the state folder of a node to which very much has been said.

    Args:
        state: The folder.
        port: Where the node is to listen.
        count: How many texts; a few hundred more follow at the end.
    """
    acquaint(state, port, us=NODE, others=[*MATES, SMALL_MATE])
    us = identity_of(NODE).key
    journal = open_journal(state / str(port), us)
    journal.keep_room(RoomRecord(ROOM, Stay.JOINED, "archive", us, us))
    group: list[Entry] = []
    for entry in _entries(count):
        group.append(entry)
        if len(group) >= LARGEST_GROUP and entry.signature:
            journal.append(group)
            group = []
    journal.append(group)
    # Texts go into the index by the hundred, and the newest may not be there yet. What is looked
    # for in those is found at once: here there are none, so that nothing is found for that reason.
    small = _Voice(
        identity_of(SMALL_MATE),
        place_of(SMALL_MATE),
        *journal.heads(place_of(SMALL_MATE)).get(identity_of(SMALL_MATE).key, (0, NOTHING)),
    )
    last = FIRST_TIME + STEP * count
    while _is_late(state / str(port)):
        last += STEP
        small.unsigned.append(Said(last, TEXT, EVERY_SHORT))
        journal.append(small.sign())
    # All of it has been read: counting what has not is nothing that happens at every start.
    for place in (ROOM, *map(place_of, (*MATES, SMALL_MATE))):
        journal.looked_at(place)
    journal.close()


def fill_bare(file: Path, state: Path, port: int) -> None:
    """
    Keep the same texts barely, under the same numbers.

    Args:
        file: Where: a new database.
        state: The state folder with the journal.
        port: Where its node listens.
    """
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(f"BEGIN; {BARE_TABLES}")
        (journal,) = (state / str(port)).glob("journal*.sqlite")
        connection.execute("COMMIT")
        connection.execute("ATTACH ? AS journal", (str(journal),))
        connection.executescript(
            """
            BEGIN;
            INSERT INTO bare_places SELECT id, name FROM journal.rooms;
            INSERT INTO bare_texts
            SELECT id, room, time, body FROM journal.entries WHERE kind = 'text';
            INSERT INTO bare_words (rowid, body) SELECT id, body FROM bare_texts ORDER BY id;
            COMMIT;
            """
        )
