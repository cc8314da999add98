"""
The journal, without threads: what it promises, and what comes of errors.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs
from typing_extensions import override
from zope.interface.verify import verifyObject

from tests.journals import OTHER_ROOM, ROOM, Author, Here, Later, bodies, is_whole
from tests.strategies import said_things
from tests.test_store_files import FileTestCase
from twistedchat.core.addresses import Address
from twistedchat.core.entries import LARGEST_NUMBER, MOST_AHEAD, NOTHING, Entry, Said
from twistedchat.core.errors import ConfigError, StoreError
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.interfaces import IJournal
from twistedchat.store import database
from twistedchat.store import journal as journal_module
from twistedchat.store.journal import LARGEST_GROUP, LONGEST_GATHERING, LONGEST_PUT_BY, Journal
from twistedchat.store.reading import MOST_ENTRIES
from twistedchat.store.writing import STATEMENT_SIZES
from twistedchat.testing import identity_of

# More than any test needs.
PLENTY = 10**9

OWNER = identity_of("Netech").key
BOB = identity_of("Bob").key
CARL = identity_of("Carl").key


class JournalTestCase(FileTestCase):
    """
    A folder with a journal that does everything at once.
    """

    @override
    def setUp(self) -> None:
        """
        Make one, and somebody who writes into it.
        """
        super().setUp()
        self.file = self.folder / "journal.sqlite"
        # No test waits for another program in earnest.
        self.patch(database, "PATIENCE", 0)
        self.here = Here()
        self.journal = self.open(self.here)
        self.author = Author()

    def open(self, here: Here, folder: Path | None = None) -> Journal:
        """
        Open a journal.
        """
        journal = Journal(here, folder or self.folder, OWNER, lambda _: here)

        def close() -> None:
            closed = journal.close()
            if isinstance(here, Later):
                here.settle()
            self.successResultOf(closed)

        self.addCleanup(close)
        return journal

    def reopen(self) -> Journal:
        """
        Close the journal and open it again.
        """
        self.successResultOf(self.journal.close())
        self.journal = self.open(self.here)
        return self.journal

    def append(self, entries: Sequence[Entry]) -> None:
        """
        Keep entries.
        """
        self.assertIsNone(self.successResultOf(self.journal.append(entries)))

    def read(
        self,
        author: Author,
        after: int = 0,
        most_bytes: int = PLENTY,
        journal: Journal | None = None,
    ) -> list[Entry]:
        """
        Read an author's entries.
        """
        journal = journal or self.journal
        return self.successResultOf(journal.read(author.room, author.key, after, most_bytes))

    def ask(self, question: str) -> list[tuple[object, ...]]:
        """
        Look into the file, with bare SQLite.
        """
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(question).fetchall()

    def do_outside(self, statement: str) -> None:
        """
        Change the file behind the journal's back.
        """
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(statement)

    def hold(self) -> sqlite3.Connection:
        """
        Let another program hold the file, so that nothing can be written.
        """
        other = sqlite3.connect(self.file)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        return other

    def refuse(self, promised: Deferred[Any]) -> str:
        """
        What is said about something that cannot be done.
        """
        return str(self.failureResultOf(promised, StoreError).value)


class EmptyJournalTests(JournalTestCase):
    """
    A `Journal` in which nothing is yet.
    """

    def test_it_provides_the_interface(self) -> None:
        """
        It is what the node needs.
        """
        self.assertTrue(verifyObject(IJournal, self.journal))

    def test_nothing_is_known(self) -> None:
        """
        Of a room of which nothing is known there is nothing.
        """
        self.assertEqual({}, self.journal.heads(ROOM))
        self.assertEqual({}, self.journal.stored_heads(ROOM))
        self.assertEqual(0, self.journal.last_time(ROOM))
        self.assertEqual(0, self.journal.receipt(ROOM, BOB))
        self.assertEqual([], self.read(self.author))
        self.assertEqual([], self.read(self.author, after=5))

    def test_opening_leaves_no_file_open(self) -> None:
        """
        Nothing is there that a fork would tear apart, before the first call needs it.
        """
        descriptors = Path("/dev/fd")
        before = len(list(descriptors.iterdir()))

        self.open(Later())

        self.assertEqual(before, len(list(descriptors.iterdir())))
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_nothing_to_append_is_done_at_once(self) -> None:
        """
        Nothing is kept as easily as something.
        """
        self.append(())
        self.assertEqual({}, self.journal.heads(ROOM))

    def test_file_that_cannot_be_used_is_told(self) -> None:
        """
        A damaged file is an error before anything is started.
        """
        self.file.write_bytes(b"damaged")

        error = self.assertRaises(ConfigError, Journal, self.here, self.folder, OWNER)

        self.assertIn(f"The journal {self.file} cannot be used", str(error))

    def test_damage_in_the_heads_is_told(self) -> None:
        """
        So is one in what is read at the start.
        """
        self.do_outside("DROP TABLE receipts")

        error = self.assertRaises(ConfigError, Journal, self.here, self.folder, OWNER)

        self.assertIn(f"The journal {self.file} cannot be used: no such table", str(error))


class KeepingTests(JournalTestCase):
    """
    `Journal.append`, and what is known afterwards.
    """

    def test_appended_is_known_and_can_be_read(self) -> None:
        """
        What was kept is there, whole and in order.
        """
        first = self.author.says("hello", "dear", "world")
        second = self.author.says("again")

        self.append(first)
        self.append(second)

        self.assertEqual({self.author.key: self.author.head}, self.journal.heads(ROOM))
        self.assertEqual({self.author.key: self.author.head}, self.journal.stored_heads(ROOM))
        self.assertEqual([*first, *second], self.read(self.author))

    def test_everything_is_there_at_the_next_start(self) -> None:
        """
        The heads, times, receipts and entries of all rooms are found again.
        """
        other = Author("Other")
        elsewhere = Author(room=OTHER_ROOM)
        entries = {
            self.author: (*self.author.says("one"), *self.author.says("two", "three")),
            other: other.says(Said(99, "text", "four")),
            elsewhere: elsewhere.says("five"),
        }
        for those in entries.values():
            self.append(those)
        self.journal.keep_receipt(ROOM, BOB, 2)
        self.journal.keep_receipt(OTHER_ROOM, BOB, 1)

        journal = self.reopen()

        heads = {self.author.key: self.author.head, other.key: other.head}
        self.assertEqual(heads, journal.heads(ROOM))
        self.assertEqual(heads, journal.stored_heads(ROOM))
        self.assertEqual({elsewhere.key: elsewhere.head}, journal.heads(OTHER_ROOM))
        self.assertEqual(99, journal.last_time(ROOM))
        self.assertEqual(1, journal.last_time(OTHER_ROOM))
        self.assertEqual(2, journal.receipt(ROOM, BOB))
        self.assertEqual(1, journal.receipt(OTHER_ROOM, BOB))
        self.assertEqual(0, journal.receipt(ROOM, CARL))
        for author, those in entries.items():
            self.assertEqual(list(those), self.read(author))

    def test_one_goes_on_after_the_next_start(self) -> None:
        """
        A chain, a room and an author of before are the same as after.
        """
        before = self.author.says("before")
        self.append(before)
        self.reopen()
        after = self.author.says("after")
        new = Author("New", OTHER_ROOM)

        self.append(after)
        self.append(new.says("new"))

        self.reopen()
        self.assertEqual([*before, *after], self.read(self.author))
        self.assertEqual(["new"], bodies(self.read(new)))

    def test_entries_of_many_can_come_in_one_call(self) -> None:
        """
        One call keeps what several authors said in several rooms.
        """
        authors = [self.author, Author("Other"), Author(room=OTHER_ROOM)]
        entries = [entry for author in authors for entry in author.says("a", "b")]

        self.append([entries[index] for index in (0, 2, 4, 1, 3, 5)])

        for author in authors:
            self.assertEqual(["a", "b"], bodies(self.read(author)))

    def test_order_of_arrival_is_kept(self) -> None:
        """
        The rows of the table are in the order in which the entries came.
        """
        other = Author("Other")
        self.append(self.author.says("one"))
        self.append(other.says("two", "three"))
        self.append(self.author.says("four"))

        self.assertEqual(
            [("one",), ("two",), ("three",), ("four",)],
            self.ask("SELECT body FROM entries ORDER BY id"),
        )

    def test_any_number_is_kept(self) -> None:
        """
        However many rows one statement takes, none is lost and none is written twice.
        """
        for count in (
            STATEMENT_SIZES[1] - 1,
            STATEMENT_SIZES[1],
            STATEMENT_SIZES[0] + 2 * STATEMENT_SIZES[1] + 7,
            3 * STATEMENT_SIZES[0],
        ):
            author = Author(f"author of {count}")
            self.append(author.says(*map(str, range(count))))
            entries: list[Entry] = []
            while more := self.read(author, after=len(entries)):
                entries += more
            self.assertEqual([str(number) for number in range(count)], bodies(entries))
            self.assertTrue(is_whole(entries))

    def test_largest_time_counts(self) -> None:
        """
        The last time of a room is the largest, whoever's clock it was and whatever came later.
        """
        self.append(self.author.says(Said(5, "text", "")))
        self.append(Author("Other").says(Said(9, "text", ""), Said(3, "text", "")))

        self.assertEqual(9, self.journal.last_time(ROOM))
        self.assertEqual(0, self.journal.last_time(OTHER_ROOM))

    def test_time_that_nobody_follows_hides_none_that_all_follow(self) -> None:
        """
        One that is too far ahead is kept, and is not the room's, now or after the next start.
        """
        self.append(self.author.says(Said(5, "text", "")))
        self.append(Author("Other").says(Said(LARGEST_NUMBER, "text", "")))
        self.append(self.author.says(Said(6, "text", "")))

        for _ in range(2):
            self.assertEqual(6, self.journal.last_time(ROOM))
            self.reopen()

    def test_what_is_given_out_is_a_copy(self) -> None:
        """
        Nobody changes the heads but by keeping entries.
        """
        self.append(self.author.says("hello"))
        self.journal.heads(ROOM).clear()
        self.journal.stored_heads(ROOM).clear()

        self.assertEqual({self.author.key: self.author.head}, self.journal.heads(ROOM))
        self.assertEqual({self.author.key: self.author.head}, self.journal.stored_heads(ROOM))

    def test_files_are_private(self) -> None:
        """
        All that lies on the disk is for nobody else.
        """
        self.append(self.author.says("hello"))
        self.read(self.author)

        self.assertEqual(
            {"journal.sqlite": 0o600, "journal.sqlite-shm": 0o600, "journal.sqlite-wal": 0o600},
            {file.name: self.mode(file) for file in self.folder.iterdir()},
        )

    def test_memory_keeps_without_a_file(self) -> None:
        """
        Without a folder everything works, until it is closed.
        """
        journal = Journal(self.here, None, OWNER, lambda _: self.here)
        entries = self.author.says("hello", "world")

        self.successResultOf(journal.append(entries))
        journal.keep_receipt(ROOM, BOB, 1)

        self.assertEqual(list(entries), self.read(self.author, journal=journal))
        self.assertEqual(1, journal.receipt(ROOM, BOB))
        self.successResultOf(journal.close())
        self.assertEqual([], self.read(self.author))

    def test_entry_that_does_not_follow_is_a_mistake(self) -> None:
        """
        A gap, a repetition or another chain is refused at once, and nothing changes by it.
        """
        first, second, third = self.author.says("one", "two", "three")
        self.append(Author().says("one"))
        heads = self.journal.heads(ROOM)
        other = Author(room=OTHER_ROOM).says("one", "two")
        for wrong in ([third], [first], [second, second], [second], [*other, third], other[1:]):
            self.assertRaises(ValueError, self.journal.append, wrong)

            self.assertEqual(heads, self.journal.heads(ROOM))
            self.assertEqual({}, self.journal.heads(OTHER_ROOM))
        # The second is refused for its missing signature alone.
        self.append([second, third])

    def test_run_without_a_signature_is_a_mistake(self) -> None:
        """
        Of every author the last entry has to be signed.
        """
        first, _ = self.author.says("one", "two")
        signed = Author("Other").says("one")

        for wrong in ([first], [first, *signed], [*signed, first]):
            self.assertRaises(ValueError, self.journal.append, wrong)
        self.assertEqual({}, self.journal.heads(ROOM))


class ReadingTests(JournalTestCase):
    """
    `Journal.read`.
    """

    def test_reading_begins_after_a_number(self) -> None:
        """
        What is asked for is what comes after, with the hash before it.
        """
        self.append(self.author.says("a", "b"))
        self.append(self.author.says("c"))

        self.assertEqual(["b", "c"], bodies(self.read(self.author, after=1)))
        self.assertEqual(["c"], bodies(self.read(self.author, after=2)))
        self.assertEqual([], self.read(self.author, after=3))
        self.assertEqual([], self.read(self.author, after=4))
        self.assertEqual(2, self.read(self.author, after=1)[0].seq)
        whole = self.read(self.author)
        self.assertEqual(whole[0].hash, self.read(self.author, after=1)[0].prev)

    def test_bodies_are_bounded(self) -> None:
        """
        No more is read than was asked for, and the last is signed; but at least one signed one is.
        """
        for run in (("aaaa", "bb"), ("cccc",), ("dd", "ee", "ff")):
            self.append(self.author.says(*run))

        for most_bytes, read in (
            (0, "aaaa bb"),
            (5, "aaaa bb"),
            (6, "aaaa bb"),
            (9, "aaaa bb"),
            (10, "aaaa bb cccc"),
            (15, "aaaa bb cccc"),
            (16, "aaaa bb cccc dd ee ff"),
            (PLENTY, "aaaa bb cccc dd ee ff"),
        ):
            self.assertEqual(read, " ".join(bodies(self.read(self.author, 0, most_bytes))))

    def test_size_is_that_of_utf8(self) -> None:
        """
        Bytes are counted, not characters, and a NUL is one.
        """
        for body in ("你好", "a\0b", "end"):
            self.append(self.author.says(body))

        self.assertEqual(["你好"], bodies(self.read(self.author, 0, 8)))
        self.assertEqual(["你好", "a\0b"], bodies(self.read(self.author, 0, 9)))

    def test_number_of_entries_is_bounded(self) -> None:
        """
        Bodies without a byte do not let an answer grow for ever; all of them can be had.
        """
        for _ in range(3):
            self.append(self.author.says(*([""] * (MOST_ENTRIES // 2))))

        first = self.read(self.author)
        second = self.read(self.author, after=first[-1].seq)

        self.assertEqual(MOST_ENTRIES, len(first))
        self.assertEqual(MOST_ENTRIES // 2, len(second))
        self.assertTrue(is_whole([*first, *second]))

    def test_long_run_is_read_to_its_signature(self) -> None:
        """
        What cannot be checked without its end is not given without it.
        """
        self.append(self.author.says(*(["x"] * (MOST_ENTRIES + 10))))
        self.append(self.author.says("y"))

        self.assertEqual(MOST_ENTRIES + 10, len(self.read(self.author, 0, 1)))

    def test_everybody_is_read_alone(self) -> None:
        """
        Other authors and other rooms do not get in between.
        """
        other = Author("Other")
        elsewhere = Author(room=OTHER_ROOM)
        for author in (self.author, other, elsewhere, self.author):
            self.append(author.says(f"{author.seq}"))

        self.assertEqual(["0", "1"], bodies(self.read(self.author)))
        self.assertEqual(["0"], bodies(self.read(other)))
        self.assertEqual(["0"], bodies(self.read(elsewhere)))

    def test_damaged_row_is_told(self) -> None:
        """
        What was damaged on the disk is an error, not another text.
        """
        self.append(self.author.says("hello"))
        self.do_outside("UPDATE entries SET body = CAST(x'ff' AS TEXT)")

        told = self.refuse(self.journal.read(ROOM, self.author.key, 0, PLENTY))

        self.assertIn("something in it cannot be read", told)

    def test_missing_file_is_told(self) -> None:
        """
        A file that somebody removed is an error, and is not made anew.
        """
        self.file.unlink()

        told = self.refuse(self.journal.read(ROOM, self.author.key, 0, PLENTY))

        self.assertIn("it cannot be opened. See whether it is there", told)
        self.assertEqual([], list(self.folder.iterdir()))

    def test_fault_of_ours_is_told_and_logged(self) -> None:
        """
        A mistake in this program does not keep anybody waiting, and is found in the log.
        """
        told = self.refuse(self.journal.read(ROOM, self.author.key, 2**70, PLENTY))

        self.assertIn("this program has a fault. See its log.", told)
        self.assertEqual(1, len(self.flushLoggedErrors(OverflowError)))


class EveryEntryTests(FileTestCase):
    """
    `Journal`, whatever is said.
    """

    @given(st.lists(st.lists(said_things(), min_size=1, max_size=4), max_size=4))
    def test_any_entries_are_read_again(self, runs: list[list[Said]]) -> None:
        """
        Every entry that can be signed comes back as it was, and its chain is whole.
        """
        here = Here()
        now = 1_000.0
        journal = Journal(here, None, OWNER, lambda _: here, lambda: now)
        author = Author()
        appended: list[Entry] = []
        for said in runs:
            entries = author.says(*said)
            self.successResultOf(journal.append(entries))
            appended += entries

        read = self.successResultOf(journal.read(ROOM, author.key, 0, PLENTY))

        self.assertEqual(appended, read)
        self.assertTrue(is_whole(read))
        latest = int(now * 1_000_000) + MOST_AHEAD
        times = [entry.said.time for entry in appended if entry.said.time <= latest]
        self.assertEqual(max(times, default=0), journal.last_time(ROOM))
        self.successResultOf(journal.close())

    @given(
        st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), max_size=5),
        st.integers(0, 22),
        st.integers(0, 22),
    )
    def test_any_part_is_as_large_as_it_may_be(
        self, runs: list[list[int]], after: int, most_bytes: int
    ) -> None:
        """
        Reading gives the longest signed part that is not too large, or else the shortest one.
        """
        here = Here()
        journal = Journal(here, None, OWNER, lambda _: here)
        author = Author()
        entries: list[Entry] = []
        for sizes in runs:
            entries += author.says(*("x" * size for size in sizes))
        self.successResultOf(journal.append(entries))

        read = self.successResultOf(journal.read(ROOM, author.key, after, most_bytes))

        rest = entries[after:]
        parts = [rest[:end] for end in range(1, len(rest) + 1) if rest[end - 1].signature]
        fitting = [part for part in parts if sum(map(len, bodies(part))) <= most_bytes]
        self.assertEqual((fitting[-1:] or parts[:1] or [[]])[0], read)
        self.successResultOf(journal.close())


class GroupTests(JournalTestCase):
    """
    What is appended while something else is being written.
    """

    @override
    def setUp(self) -> None:
        """
        Make a journal that writes when it is told to.
        """
        super().setUp()
        self.later = Later()
        self.journal = self.open(self.later)

    def test_appended_counts_before_it_is_written(self) -> None:
        """
        Heads and times are ahead of the disk; what others may be told is not.
        """
        done = self.journal.append(self.author.says("hello"))

        self.assertEqual({self.author.key: self.author.head}, self.journal.heads(ROOM))
        self.assertEqual(1, self.journal.last_time(ROOM))
        self.assertEqual({}, self.journal.stored_heads(ROOM))
        self.assertNoResult(done)
        self.later.work()
        self.assertEqual({}, self.journal.stored_heads(ROOM))
        self.assertNoResult(done)
        self.later.tell()
        self.assertEqual({self.author.key: self.author.head}, self.journal.stored_heads(ROOM))
        self.assertIsNone(self.successResultOf(done))

    def test_what_waits_is_written_together(self) -> None:
        """
        All that is queued goes into one transaction, and its results come back together, in order.
        """
        fired: list[int] = []
        for number in range(50):
            done = self.journal.append(self.author.says(str(number)))
            done.addCallback(lambda _, number: fired.append(number), number)

        self.later.settle()

        self.assertEqual(1, self.later.hops)
        self.assertEqual(list(range(50)), fired)

    def test_what_comes_meanwhile_is_the_next_group(self) -> None:
        """
        What is appended after a group was taken is written by itself.
        """
        first = self.journal.append(self.author.says("first"))
        self.later.work()
        second = self.journal.append(self.author.says("second"))
        self.later.tell()

        self.assertIsNone(self.successResultOf(first))
        self.assertNoResult(second)
        self.assertEqual(1, self.journal.stored_heads(ROOM)[self.author.key][0])
        self.later.settle()
        self.assertIsNone(self.successResultOf(second))
        self.assertEqual(2, self.later.hops)

    def test_what_is_not_urgent_waits_for_others(self) -> None:
        """
        All that comes within a moment is written together.
        """
        for text in ("one", "two"):
            self.journal.append(self.author.says(text), is_urgent=False)
        self.assertEqual(0, len(self.later.jobs))
        self.later.clock.advance(LONGEST_GATHERING)
        self.later.settle()

        self.assertEqual(1, self.later.hops)
        self.assertEqual(2, self.journal.stored_heads(ROOM)[self.author.key][0])

    def test_what_is_not_urgent_goes_with_what_is(self) -> None:
        """
        Nothing is left to be written when its moment is over.
        """
        self.journal.append(self.author.says("one"), is_urgent=False)
        self.journal.append(self.author.says("two"))
        self.later.settle()
        self.assertEqual(2, self.journal.stored_heads(ROOM)[self.author.key][0])

        self.later.clock.advance(LONGEST_GATHERING)
        self.assertEqual(0, len(self.later.jobs))

    def test_what_is_not_urgent_is_written_when_the_journal_is_closed(self) -> None:
        """
        Whoever closes it does not have to wait for that moment.
        """
        done = self.journal.append(self.author.says("one"), is_urgent=False)
        self.journal.close()
        self.assertEqual([], self.later.clock.getDelayedCalls())
        self.later.settle()

        self.assertIsNone(self.successResultOf(done))

    def test_groups_are_bounded(self) -> None:
        """
        However much waits, the reactor is told in pieces, and all of it is written.
        """
        size = LARGEST_GROUP // 4
        for _ in range(9):
            self.journal.append(self.author.says(*(["x"] * size)))
        self.later.work()
        self.assertEqual(3, len(self.later.results))
        self.later.results.popleft()()

        self.assertEqual(4 * size, self.journal.stored_heads(ROOM)[self.author.key][0])
        self.later.tell()
        self.assertEqual(9 * size, self.journal.stored_heads(ROOM)[self.author.key][0])

    def test_reading_sees_what_is_on_the_disk(self) -> None:
        """
        What is not committed cannot be read.
        """
        read = self.journal.read(ROOM, self.author.key, 0, PLENTY)
        self.journal.append(self.author.says("hello"))
        self.later.settle()
        again = self.journal.read(ROOM, self.author.key, 0, PLENTY)
        self.later.settle()

        self.assertEqual([], self.successResultOf(read))
        entries: list[Entry] = self.successResultOf(again)
        self.assertEqual(["hello"], bodies(entries))

    def test_nobody_who_gave_up_is_told(self) -> None:
        """
        Cancelling gives up waiting; what was said is kept.
        """
        append = self.journal.append(self.author.says("hello"))
        read = self.journal.read(ROOM, self.author.key, 0, PLENTY)
        append.cancel()
        read.cancel()
        self.failureResultOf(append, CancelledError)
        self.failureResultOf(read, CancelledError)

        self.later.settle()

        self.assertEqual({self.author.key: self.author.head}, self.journal.stored_heads(ROOM))


class FailureTests(JournalTestCase):
    """
    What happens while nothing can be written.
    """

    @override
    def setUp(self) -> None:
        """
        Keep something, so that there is something to fall back on.
        """
        super().setUp()
        self.later = Later()
        self.journal = self.open(self.later)
        self.append_now(self.author.says("kept"))
        self.kept = {self.author.key: self.author.head}

    def append_now(self, entries: Sequence[Entry]) -> None:
        """
        Keep entries, and wait for it.
        """
        done = self.journal.append(entries)
        self.later.settle()
        self.assertIsNone(self.successResultOf(done))

    def continued(self) -> Author:
        """
        The author as the disk knows it.
        """
        author = Author()
        author.seq, author.prev = self.kept[author.key]
        return author

    def test_failure_is_told_and_nothing_is_kept(self) -> None:
        """
        The heads go back to what is on the disk.
        """
        self.hold()
        done = self.journal.append(self.author.says("lost"))
        self.assertEqual({self.author.key: self.author.head}, self.journal.heads(ROOM))

        self.later.settle()

        self.assertIn(
            f"The journal {self.file} cannot be used: another program holds it.", self.refuse(done)
        )
        self.assertEqual(self.kept, self.journal.heads(ROOM))
        self.assertEqual(self.kept, self.journal.stored_heads(ROOM))

    def test_one_goes_on_when_it_is_over(self) -> None:
        """
        As soon as the disk takes it again, entries follow those that were kept.
        """
        other = self.hold()
        lost = self.journal.append(self.author.says("lost"))
        self.later.settle()
        self.refuse(lost)
        other.rollback()

        author = self.continued()
        self.append_now(author.says("found"))

        reading = self.journal.read(ROOM, author.key, 0, PLENTY)
        self.later.settle()
        read: list[Entry] = self.successResultOf(reading)
        self.assertEqual(["kept", "found"], bodies(read))
        self.assertTrue(is_whole(read))

    def test_whatever_was_appended_before_it_was_known_fails_too(self) -> None:
        """
        Nothing is kept that follows an entry which is not there, though the disk would take it.
        """
        other = self.hold()
        new = Author("New", OTHER_ROOM)
        first = [self.journal.append(self.author.says("a")), self.journal.append(new.says("b"))]
        self.later.work()
        other.rollback()
        second = [self.journal.append(self.author.says("c")), self.journal.append(new.says("d"))]
        fork = self.journal.keep_fork(self.author.says("e")[0])
        self.later.work()
        self.later.tell()

        everything: list[Deferred[Any]] = [*first, *second, fork]
        for promised in everything:
            self.assertIn("another program holds it", self.refuse(promised))
        self.assertEqual(self.kept, self.journal.heads(ROOM))
        self.assertEqual({}, self.journal.heads(OTHER_ROOM))

    def test_what_is_appended_after_it_was_known_is_kept(self) -> None:
        """
        Between the news of a failure and that of what failed with it, entries are good again.
        """
        other = self.hold()
        first = self.journal.append(self.author.says("a"))
        self.later.work()
        other.rollback()
        second = self.journal.append(self.author.says("b"))
        self.later.tell()
        self.refuse(first)
        author = self.continued()
        third = self.journal.append(author.says("c"))
        # The second has been waiting in the same queue.
        self.later.settle()

        self.refuse(second)
        self.assertIsNone(self.successResultOf(third))
        self.assertEqual({author.key: author.head}, self.journal.heads(ROOM))
        self.assertEqual({author.key: author.head}, self.journal.stored_heads(ROOM))
        self.assertEqual([("kept",), ("c",)], self.ask("SELECT body FROM entries ORDER BY id"))

    def test_it_can_fail_again_and_again(self) -> None:
        """
        Each failure is told to those whom it concerns.
        """
        for _ in range(3):
            other = self.hold()
            lost = self.journal.append(self.continued().says("lost"))
            self.later.settle()
            self.refuse(lost)
            other.close()
            author = self.continued()
            self.append_now(author.says("kept too"))
            self.kept = {author.key: author.head}

        self.assertEqual([(4,)], self.ask("SELECT count(*) FROM entries"))

    def test_appending_again_in_the_errback_works(self) -> None:
        """
        Whoever is told of a failure finds the heads as they are.
        """
        other = self.hold()
        retried: list[Deferred[None]] = []

        def again(_: object) -> None:
            other.rollback()
            retried.append(self.journal.append(self.continued().says("again")))

        self.journal.append(self.author.says("lost")).addErrback(again)
        self.later.settle()

        self.assertIsNone(self.successResultOf(retried[0]))

    def test_names_of_what_failed_are_free_again(self) -> None:
        """
        A room and an author that were to be written first are written when it works.
        """
        other = self.hold()
        lost = self.journal.append(Author("Lost", OTHER_ROOM).says("lost"))
        self.later.settle()
        self.refuse(lost)
        other.rollback()
        new = Author("New", bytes(32))

        self.append_now(new.says("new"))
        found = Author("Lost", OTHER_ROOM)
        self.append_now(found.says("found"))

        journal = self.open(self.here)
        self.assertEqual({new.key: new.head}, journal.heads(new.room))
        self.assertEqual({found.key: found.head}, journal.heads(OTHER_ROOM))
        self.assertEqual(["found"], bodies(self.read(found, journal=journal)))

    def test_one_line_in_the_log_is_enough(self) -> None:
        """
        While it goes on failing the log does not grow; when it begins anew, that is told.
        """
        other = self.hold()
        with capturedLogs() as events:
            for _ in range(3):
                lost = self.journal.append(self.continued().says("lost"))
                self.later.settle()
                self.refuse(lost)
            self.assertEqual(1, len(events))
            self.assertIn("another program holds it", events[0]["problem"])
            other.rollback()
            author = self.continued()
            self.append_now(author.says("kept"))
            self.kept = {author.key: author.head}
            self.hold()
            lost = self.journal.append(author.says("lost"))
            self.later.settle()
            self.refuse(lost)
            self.assertEqual(2, len(events))

    def test_receipt_that_cannot_be_written_goes_with_the_next(self) -> None:
        """
        What nobody waits for is not lost by a failure.
        """
        other = self.hold()
        self.journal.keep_receipt(ROOM, BOB, 1)
        self.later.clock.advance(LONGEST_PUT_BY)
        self.later.settle()
        self.assertEqual(1, self.journal.receipt(ROOM, BOB))
        other.rollback()
        self.journal.keep_receipt(ROOM, CARL, 2)
        self.later.clock.advance(LONGEST_PUT_BY)
        self.later.settle()

        journal = self.open(self.here)
        self.assertEqual((1, 2), (journal.receipt(ROOM, BOB), journal.receipt(ROOM, CARL)))

    def test_fault_of_ours_is_told_and_logged(self) -> None:
        """
        A mistake in this program does not keep anybody waiting, and is found in the log.
        """
        entry = Entry(ROOM, BOB, 1, NOTHING, Said(2**70, "text", ""), bytes(32), bytes(64))
        lost = self.journal.append([entry])
        self.later.settle()

        self.assertIn("this program has a fault. See its log.", self.refuse(lost))
        self.assertEqual(1, len(self.flushLoggedErrors(OverflowError)))
        self.append_now(self.continued().says("kept"))


class ReceiptTests(JournalTestCase):
    """
    `Journal.keep_receipt`.
    """

    def levels(self) -> list[str]:
        """
        Listen to what SQLite is told about forcing commits out.
        """
        levels: list[str] = []

        def trace(statement: str) -> None:
            if statement.startswith("PRAGMA synchronous"):
                levels.append(statement)

        def connect(file: Path) -> sqlite3.Connection:
            connection = database.connect(file)
            connection.set_trace_callback(trace)
            return connection

        self.patch(journal_module, "connect", connect)
        self.reopen()
        return levels

    def test_newest_one_counts(self) -> None:
        """
        A holder tells what it has now, even if it is less than before.
        """
        for seq in (3, 7, 2):
            self.journal.keep_receipt(ROOM, BOB, seq)
            self.assertEqual(seq, self.journal.receipt(ROOM, BOB))
        self.journal.keep_receipt(ROOM, CARL, 9)

        self.reopen()

        self.assertEqual(2, self.journal.receipt(ROOM, BOB))
        self.assertEqual(9, self.journal.receipt(ROOM, CARL))
        self.assertEqual([(2,)], self.ask("SELECT count(*) FROM receipts"))

    def test_known_one_is_not_written(self) -> None:
        """
        What is known already costs nothing.
        """
        self.journal.keep_receipt(ROOM, BOB, 0)
        self.journal.keep_receipt(ROOM, BOB, 3)
        done = self.here.done
        self.journal.keep_receipt(ROOM, BOB, 3)

        self.assertEqual((1, done), (done, self.here.done))

    def test_many_at_once_are_written(self) -> None:
        """
        Whoever holds what, all of it is written in one group.
        """
        later = Later()
        journal = self.open(later)
        holders = [identity_of(f"holder {number}").key for number in range(150)]
        for seq in (1, 2):
            for holder in holders:
                journal.keep_receipt(ROOM, holder, seq)
        self.assertEqual(0, len(later.jobs))
        later.clock.advance(LONGEST_PUT_BY)
        self.assertEqual(1, len(later.jobs))
        later.settle()

        # Nobody waits to hear of it.
        self.assertEqual(0, later.hops)
        self.assertEqual([(2, 150)], self.ask("SELECT seq, count(*) FROM receipts GROUP BY seq"))

    def test_those_that_wait_are_written_when_the_journal_is_closed(self) -> None:
        """
        Nothing is called back after that.
        """
        later = Later()
        journal = self.open(later)
        journal.keep_receipt(ROOM, BOB, 3)

        journal.close()
        self.assertEqual([], later.clock.getDelayedCalls())
        later.settle()

        self.assertEqual([(3,)], self.ask("SELECT seq FROM receipts"))

    def test_receipt_alone_is_not_forced_out(self) -> None:
        """
        It does not keep an entry waiting for the disk; every entry is forced out all the same.
        """
        levels = self.levels()
        self.journal.keep_receipt(ROOM, BOB, 1)
        self.journal.keep_receipt(ROOM, BOB, 2)
        self.append(self.author.says("hello"))
        self.append(self.author.says("world"))
        self.journal.keep_receipt(ROOM, BOB, 3)
        self.journal.keep_fork(Author().says("other")[0])

        normal, full = ("PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL")
        self.assertEqual([normal, full, normal, full], levels)

    def test_whatever_somebody_waits_for_is_forced_out(self) -> None:
        """
        So is a classic message, which nobody tells again; that the person has looked is not.
        """
        self.append(self.author.says("hello"))
        levels = self.levels()
        record = RoomRecord(ROOM, Stay.JOINED, "Hall", OWNER, OWNER)
        address = Address("192.0.2.1", 7070)
        for write in (
            lambda: self.journal.keep_plain(address, None, "hi", is_ours=False, time=1.0),
            lambda: self.journal.keep_room(record),
            lambda: self.journal.offer(ROOM, 1, NOTHING),
            lambda: self.journal.replace(ROOM, 1, (), 1),
        ):
            self.journal.keep_receipt(ROOM, BOB, len(levels) + 1)
            write()
        self.journal.looked_at(address)

        normal, full = ("PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL")
        self.assertEqual([normal, full] * 4 + [normal], levels)


class ForkTests(JournalTestCase):
    """
    `Journal.keep_fork`.
    """

    def keep(self, entry: Entry) -> bool:
        """
        Keep a proof, and tell whether it is news.
        """
        return self.successResultOf(self.journal.keep_fork(entry))

    def test_first_proof_is_news(self) -> None:
        """
        Of each author one proof is kept for each room, and others are no news.
        """
        (ours,) = self.author.says("one thing")
        (theirs,) = Author().says("another thing")
        (third,) = Author().says("a third thing")
        elsewhere = Author(room=OTHER_ROOM).says("another thing")[0]
        other = Author("Other").says("another thing")[0]
        self.append([ours])

        self.assertTrue(self.keep(theirs))
        self.assertFalse(self.keep(theirs))
        self.assertFalse(self.keep(third))
        self.assertTrue(self.keep(elsewhere))
        self.assertTrue(self.keep(other))
        self.reopen()
        self.assertFalse(self.keep(theirs))

    def test_proof_is_whole(self) -> None:
        """
        All that was signed is kept, and the signature.
        """
        Author().says("before")
        liar = Author()
        liar.says("before")
        (entry,) = liar.says(Said(7, "odd-kind", "another thing"))
        self.keep(entry)

        self.assertEqual(
            [
                (
                    entry.seq,
                    entry.prev,
                    entry.said.time,
                    entry.said.kind,
                    entry.said.body,
                    entry.hash,
                    entry.signature,
                    entry.room,
                    entry.author.raw,
                )
            ],
            self.ask(
                "SELECT seq, prev, time, kind, body, hash, signature, name, key FROM forks "
                "JOIN rooms ON rooms.id = room JOIN keys ON keys.id = author"
            ),
        )

    def test_proof_disturbs_nothing(self) -> None:
        """
        The author's entries stay what they are, and go on.
        """
        self.append(self.author.says("one thing"))
        self.keep(Author().says("another thing")[0])
        self.append(self.author.says("a next thing"))

        self.assertEqual(["one thing", "a next thing"], bodies(self.read(self.author)))

    def test_news_are_told_to_whom_they_belong(self) -> None:
        """
        In a group with entries and several proofs each answer goes to its own question.
        """
        later = Later()
        self.journal = self.open(later)
        known = Author("Known").says("a")[0]
        self.journal.keep_fork(known)
        later.settle()
        self.journal.append(self.author.says("hello"))
        answers = [
            self.journal.keep_fork(entry)
            for entry in (known, Author("New").says("b")[0], known, Author("New").says("c")[0])
        ]
        self.journal.keep_receipt(ROOM, BOB, 1)
        later.settle()

        self.assertEqual(
            [False, True, False, False], [self.successResultOf(answer) for answer in answers]
        )


class ClosingTests(JournalTestCase):
    """
    `Journal.close`.
    """

    def test_closed_leaves_one_file(self) -> None:
        """
        What SQLite kept beside the file is in it.
        """
        self.append(self.author.says("hello"))
        self.read(self.author)

        self.successResultOf(self.journal.close())

        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_what_waits_is_written_first(self) -> None:
        """
        Everything that was appended before is on the disk when it is closed, and told.
        """
        later = Later()
        journal = self.open(later)
        appended = journal.append(self.author.says("hello"))
        read = journal.read(ROOM, self.author.key, 0, PLENTY)
        closed = [journal.close(), journal.close()]
        self.assertNoResult(closed[0])

        later.settle()

        for promised in (appended, *closed):
            self.assertIsNone(self.successResultOf(promised))
        entries: list[Entry] = self.successResultOf(read)
        self.assertEqual(["hello"], bodies(entries))
        self.assertIsNone(self.successResultOf(journal.close()))
        self.assertEqual({self.author.key: self.author.head}, self.reopen().heads(ROOM))

    def test_nothing_is_taken_any_more(self) -> None:
        """
        While it closes and afterwards, all that fails with words; a receipt is let go.
        """
        later = Later()
        journal = self.open(later)
        closed = journal.close()
        for _ in range(2):
            entries = Author().says("late")
            for promised in (
                journal.append(entries),
                journal.read(ROOM, self.author.key, 0, PLENTY),
                journal.keep_fork(entries[0]),
            ):
                self.assertIn("is closed: the chat is coming to its end.", self.refuse(promised))
            journal.keep_receipt(ROOM, BOB, 1)
            self.assertEqual({}, journal.heads(ROOM))
            later.settle()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(0, self.reopen().receipt(ROOM, BOB))

    def test_closing_never_fails(self) -> None:
        """
        What could not be written was told before; closing is done all the same.
        """
        self.hold()
        lost = self.journal.append(self.author.says("lost"))
        self.refuse(lost)

        self.assertIsNone(self.successResultOf(self.journal.close()))
