"""
The journal on a disk beside the one in memory that says what is meant: both always give the same.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

import tests.strategies  # noqa: F401 (says how long to search)
from tests.journals import OTHER_ROOM, ROOM, Author, Here
from twistedchat.core.addresses import Address
from twistedchat.core.entries import NOTHING, TEXT, Entry, Said
from twistedchat.core.errors import StoreError
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, Stay
from twistedchat.core.rooms import ADD
from twistedchat.store import database, reading, writing
from twistedchat.store import journal as journal_module
from twistedchat.store.journal import Journal
from twistedchat.testing import MemoryJournal, identity_of

T = TypeVar("T")

OWNER = "Netech"
OURS = identity_of(OWNER).key
NAMES = (OWNER, "Bob", "Carl")
ROOMS = (ROOM, OTHER_ROOM)
ADDRESSES = (Address("192.0.2.1", 7070), Address("2001:db8::1", 7071))
PLACES: tuple[Place, ...] = (*ROOMS, *ADDRESSES)

# Few, so that many of them meet.
words = st.lists(st.sampled_from(["a", "ab", "abc", "b", "bc", "cab"]), max_size=4).map(" ".join)
times = st.integers(0, 5).map(lambda number: number * 500_000 + number % 2)
said = st.builds(Said, times, st.sampled_from([TEXT, TEXT, TEXT, ADD, "other"]), words)
rooms = st.sampled_from(ROOMS)
places = st.sampled_from(PLACES)
anywhere = st.none() | places


def result_of(promised: Deferred[T]) -> T:
    """
    What has been promised, and is there already.
    """
    results: list[T] = []
    promised.addCallback(results.append)
    (result,) = results
    return result


def bare(lines: list[LineOfHistory]) -> list[tuple[object, ...]]:
    """
    Lines without their numbers, of which only the order means something.
    """
    return [
        (line.place, line.author, line.name, line.is_ours, line.seq, line.time, line.text)
        for line in lines
    ]


class JournalMachine(RuleBasedStateMachine):
    """
    Two journals, to which the same happens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.journal = self.open()
        self.model = MemoryJournal()
        self.model.owner = OURS

    def open(self) -> Journal:
        """
        Open the one on the disk.
        """
        return Journal(Here(), Path(self.folder.name), OURS, lambda _: Here())

    def author(self, name: str, room: bytes) -> Author:
        """
        Somebody who goes on where they are.
        """
        author = Author(name, room)
        author.seq, author.prev = self.model.heads(room).get(author.key, (0, NOTHING))
        return author

    @rule(name=st.sampled_from(NAMES), room=rooms, said=st.lists(said, min_size=1, max_size=5))
    def say(self, name: str, room: bytes, said: list[Said]) -> None:
        """
        Somebody says something in a room.
        """
        entries = self.author(name, room).says(*said)
        for journal in (self.journal, self.model):
            result_of(journal.append(entries))

    @rule(
        address=st.sampled_from(ADDRESSES),
        name=st.none() | st.just("Dan"),
        text=words,
        is_ours=st.booleans(),
        time=times,
    )
    def say_plain(
        self, address: Address, name: str | None, text: str, is_ours: bool, time: int
    ) -> None:
        """
        Something is said in plain.
        """
        for journal in (self.journal, self.model):
            journal.keep_plain(address, name, text, is_ours=is_ours, time=time / 1e6)

    @rule(said=said, address=st.sampled_from(ADDRESSES), place=places)
    def fail(self, said: Said, address: Address, place: Place) -> None:
        """
        While something else holds the file nothing is kept, but that the person has looked.
        """
        with contextlib.closing(sqlite3.connect(Path(self.folder.name) / "journal.sqlite")) as held:
            held.execute("BEGIN IMMEDIATE")
            lost = self.journal.append(self.author("Bob", ROOM).says(said))
            plain = self.journal.keep_plain(address, None, said.body, is_ours=False, time=1.0)
            self.journal.looked_at(place)
        self.model.looked_at(place)
        failures: list[type[Exception] | None] = []
        for promised in (lost, plain):
            promised.addErrback(lambda failure: failures.append(failure.check(StoreError)))
        assert failures == [StoreError, StoreError]

    @rule(room=rooms, stay=st.sampled_from(Stay), name=st.sampled_from(["Hall", "Attic"]))
    def keep_room(self, room: bytes, stay: Stay, name: str) -> None:
        """
        We have something to do with a room.
        """
        record = RoomRecord(room, stay, name, identity_of("Bob").key, OURS)
        for journal in (self.journal, self.model):
            result_of(journal.keep_room(record))

    @rule(place=places)
    def look(self, place: Place) -> None:
        """
        The person looks at a place.
        """
        for journal in (self.journal, self.model):
            journal.looked_at(place)

    @rule(room=rooms, part=st.floats(0, 1))
    def offer(self, room: bytes, part: float) -> None:
        """
        Others may see some of ours.
        """
        ours = [one for one in self.model.entries if (one.room, one.author) == (room, OURS)]
        seq = round(len(ours) * part)
        for journal in (self.journal, self.model):
            result_of(journal.offer(room, seq, ours[seq - 1].hash if seq else NOTHING))

    @rule(
        room=rooms,
        part=st.floats(0, 1),
        stay=st.lists(st.booleans(), max_size=20),
        is_shown=st.booleans(),
    )
    def replace(self, room: bytes, part: float, stay: list[bool], is_shown: bool) -> None:
        """
        We take back some of what nobody can have seen, and others may see some of the rest.
        """
        head, _ = self.model.heads(room).get(OURS, (0, NOTHING))
        after = round(self.model.offered(room) * part + head * (1 - part))
        ours = [one for one in self.model.entries if (one.room, one.author) == (room, OURS)]
        anew = Author(OWNER, room)
        if after:
            anew.seq, anew.prev = after, ours[after - 1].hash
        kept = [entry.said for entry, is_kept in zip(ours[after:], stay, strict=False) if is_kept]
        if after and not (kept or ours[after - 1].signature):
            return
        entries: Sequence[Entry] = anew.says(*kept) if kept else ()
        offered = self.model.offered(room)
        if entries and is_shown:
            offered = entries[0].seq
        for journal in (self.journal, self.model):
            result_of(journal.replace(room, after, entries, offered))

    @rule()
    def start_again(self) -> None:
        """
        The process ends, and another one goes on.
        """
        result_of(self.journal.close())
        self.journal = self.open()
        found = self.journal.membership()
        assert sorted(found, key=_place) == sorted(self.model.membership(), key=_place)

    # What is the same.

    @invariant()
    def the_same_is_known(self) -> None:
        """
        What is known without looking.
        """
        for room in ROOMS:
            assert self.journal.heads(room) == self.model.heads(room)
            assert self.journal.stored_heads(room) == self.model.stored_heads(room)
            assert self.journal.offered(room) == self.model.offered(room)
            assert self.journal.offered_head(room) == self.model.offered_head(room)
            for author in self.model.stored_heads(room).keys() - {OURS}:
                assert self.journal.read_to(room, author) == self.model.read_to(room, author)
            here = [one.said.time for one in self.model.entries if one.room == room]
            # What was there and is no more may count, or not.
            assert max(here, default=0) <= self.journal.last_time(room)
        assert self.journal.rooms() == self.model.rooms()
        for place in PLACES:
            assert self.journal.unread(place) == self.model.unread(place), place

    @rule(place=anywhere, since=times, most=st.integers(1, 4))
    def read_history(self, place: Place | None, since: int, most: int) -> None:
        """
        All that was said, page by page.
        """
        before: tuple[LineOfHistory | None, LineOfHistory | None] = (None, None)
        while True:
            pages = [
                result_of(journal.history(place, since / 1e6, line, most))
                for journal, line in zip((self.journal, self.model), before, strict=True)
            ]
            assert bare(pages[0]) == bare(pages[1])
            if not pages[0]:
                break
            before = (pages[0][-1], pages[1][-1])

    @rule(typed=words | st.just("?!"), place=anywhere, most=st.integers(1, 4))
    def search(self, typed: str, place: Place | None, most: int) -> None:
        """
        All texts with some words, page by page.
        """
        before: tuple[LineOfHistory | None, LineOfHistory | None] = (None, None)
        while True:
            pages = [
                result_of(journal.search(typed, place, line, most))
                for journal, line in zip((self.journal, self.model), before, strict=True)
            ]
            assert bare(pages[0]) == bare(pages[1])
            if not pages[0]:
                break
            before = (pages[0][-1], pages[1][-1])

    @rule(place=places, number=st.integers(0, 20), most=st.integers(0, 3))
    def look_around(self, place: Place, number: int, most: int) -> None:
        """
        What stands around some line.
        """
        ours, theirs = (
            result_of(journal.history(place, 0.0, None, 1000))
            for journal in (self.journal, self.model)
        )
        if ours:
            index = number % len(ours)
            around = result_of(self.journal.around(ours[index], most))
            assert ours[index] in around
            assert bare(around) == bare(result_of(self.model.around(theirs[index], most)))

    @override
    def teardown(self) -> None:
        """
        Everything is the same after one more start; and then it is tidied up.
        """
        try:
            self.start_again()
            self.the_same_is_known()
            for place in (None, *PLACES):
                self.read_history(place, 0, 1000)
                for typed in ("a", "bc", "c a"):
                    self.search(typed, place, 1000)
        finally:
            self.journal.close()
            self.folder.cleanup()


def _place(entry: Entry) -> tuple[bytes, bytes, int]:
    return entry.room, entry.author.raw, entry.seq


class ModelTests(SynchronousTestCase):
    """
    The machine.
    """

    def test_disk_and_memory_are_the_same(self) -> None:
        """
        Whatever is written and read, in whatever order, a journal gives what is meant.
        """
        # So that words are late and go into the index by and by, also in journals of a few texts.
        self.patch(database, "PATIENCE", 0)
        with (
            mock.patch.multiple(journal_module, LOT=4, MOST_BEHIND=6, MOST_MEMBERSHIP=3),
            mock.patch.object(writing, "LOT", 4),
            # So are longer words named in place of their beginnings, and sometimes too many.
            mock.patch.multiple(reading, SHORT=0, MOST_LONGER=2),
        ):
            run_state_machine_as_test(
                JournalMachine,
                settings=settings(
                    max_examples=settings().max_examples // 3, stateful_step_count=25
                ),
            )
