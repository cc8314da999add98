"""
Journals that earlier versions wrote.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from tests.journals import OTHER_ROOM, ROOM, Author, Here
from tests.strategies import said_things
from tests.test_store_history import HistoryTestCase, texts
from tests.test_store_journal import BOB, OWNER, PLENTY
from twistedchat.core.entries import NOTHING, TEXT, Entry, Said
from twistedchat.store import database
from twistedchat.store.database import connect, open_database, schema_steps
from twistedchat.store.journal import Journal
from twistedchat.store.writing import LOT


def make_first_version(file: Path, entries: Iterable[Entry]) -> None:
    """
    Make the file that the first version would have made, by that version's own SQL.
    """
    with contextlib.closing(open_database(file, schema_steps()[:1])) as connection:
        connection.execute("BEGIN")
        for entry in entries:
            connection.execute("INSERT OR IGNORE INTO rooms (name) VALUES (?)", (entry.room,))
            connection.execute("INSERT OR IGNORE INTO keys (key) VALUES (?)", (entry.author.raw,))
            connection.execute(
                "INSERT INTO entries (room, author, seq, time, kind, body, hash, signature) "
                "SELECT rooms.id, keys.id, ?, ?, ?, ?, ?, ? FROM rooms, keys "
                "WHERE name = ? AND key = ?",
                (
                    entry.seq,
                    entry.said.time,
                    entry.said.kind,
                    entry.said.body,
                    entry.hash,
                    entry.signature or None,
                    entry.room,
                    entry.author.raw,
                ),
            )
        connection.execute(
            "INSERT INTO receipts SELECT rooms.id, keys.id, 1 FROM rooms, keys WHERE key = ?",
            (BOB.raw,),
        )
        connection.execute("COMMIT")


class FirstVersionTests(HistoryTestCase):
    """
    A journal of the first version.
    """

    def upgrade(self, entries: list[Entry]) -> None:
        """
        Open a journal that the first version has left.
        """
        self.result(self.journal.close())
        self.file.unlink()
        make_first_version(self.file, entries)
        self.journal = self.open(self.here)

    def test_nothing_is_lost_and_all_is_found(self) -> None:
        """
        Entries, receipts, history and search; and the file as it was lies beside the new one.
        """
        entries = [
            *self.author.says("tea one", Said(2, "add", "{}"), "tea two"),
            *self.bob.says("tea three"),
            *Author("Bob", OTHER_ROOM).says("tea four"),
        ]
        self.upgrade(entries)

        self.assertEqual(entries[:3], self.read(self.author))
        self.assertEqual(entries[3:4], self.read(self.bob))
        heads = {OWNER: self.author.head, BOB: self.bob.head}
        self.assertEqual(heads, self.journal.heads(ROOM))
        self.assertEqual(1, self.journal.receipt(ROOM, BOB))
        self.assertEqual([entries[1]], self.journal.membership())
        said = ["tea four", "tea three", "tea two", "tea one"]
        self.assertEqual(said, texts(self.history(None)))
        self.assertEqual(said, self.search("tea"))
        self.assertEqual(said[1:], self.search("t", ROOM))
        self.assertEqual([], self.journal.rooms())
        self.do_outside("INSERT INTO words (words) VALUES ('integrity-check')")
        backup = self.folder / "journal-v1.sqlite"
        with contextlib.closing(sqlite3.connect(backup)) as connection:
            self.assertEqual((5,), connection.execute("SELECT count(*) FROM entries").fetchone())
            self.assertEqual((1,), connection.execute("PRAGMA user_version").fetchone())

    def test_old_entries_were_seen(self) -> None:
        """
        The first version showed everything at once; what comes after is news.
        """
        self.upgrade([*self.bob.says("one", "two")])
        self.assertEqual(0, self.journal.unread(ROOM))

        self.append(self.bob.says("three"))

        self.assertEqual(1, self.journal.unread(ROOM))
        self.reopen()
        self.assertEqual(1, self.journal.unread(ROOM))

    def test_old_entries_cannot_be_taken_back(self) -> None:
        """
        The first version sent everything at once; what comes after can be, as far as nobody sees.
        """
        self.upgrade([*self.author.says("one", "two"), *self.bob.says("theirs", "theirs")])
        self.assertEqual([2, 0], [self.journal.offered(room) for room in (ROOM, OTHER_ROOM)])
        self.reopen()
        self.assertEqual(2, self.journal.offered(ROOM))
        self.assertRaises(ValueError, self.journal.replace, ROOM, 1, (), 2)

        self.append(self.author.says("three"))
        self.append(self.author.says("four"))
        self.assertEqual(2, self.journal.offered(ROOM))
        self.result(self.journal.offer(ROOM, 3, NOTHING))
        self.append(self.bob.says("theirs"))
        self.reopen()
        self.assertEqual(3, self.journal.offered(ROOM))
        self.result(self.journal.replace(ROOM, 3, (), 3))

        self.assertEqual(3, self.journal.heads(ROOM)[OWNER][0])

    def test_history_of_long_ago_is_skipped(self) -> None:
        """
        Old entries are in lots as new ones are, so that nobody has to go through all of them.
        """
        old = [Said(number, TEXT, "old") for number in range(3 * LOT)]
        self.upgrade([*self.bob.says(*old[LOT:], Said(7_000_000, TEXT, "new"), *old[:LOT])])

        self.assertEqual(["new"], texts(self.history(None, since=5.0)))
        self.assertEqual(3 * LOT, len(self.search("old", most=PLENTY)))
        self.assertEqual(
            [
                (LOT - 1, 2 * LOT - 2),
                (2 * LOT - 1, 3 * LOT - 2),
                (3 * LOT - 1, 7_000_000),
                (3 * LOT + 1, 7_000_000),
            ],
            self.ask("SELECT last, latest FROM lots ORDER BY last"),
        )

    def test_empty_journal_is_upgraded(self) -> None:
        """
        Where nothing was said, something can be.
        """
        self.upgrade([])
        self.append(self.bob.says("hello"))

        self.assertEqual(["hello"], self.search("hello"))


class EveryFirstVersionTests(HistoryTestCase):
    """
    Whatever the first version has kept.
    """

    # Each makes two files, and every file waits for the disk.
    @settings(max_examples=settings().max_examples // 5)
    @given(st.lists(st.lists(said_things(), min_size=1, max_size=3), max_size=4))
    def test_any_entries_are_there_afterwards(self, runs: list[list[Said]]) -> None:
        """
        All of them, as entries and as lines, and the journal goes on.
        """
        bob = Author("Bob")
        entries = [entry for said in runs for entry in bob.says(*said)]
        with TemporaryDirectory() as name:
            folder = Path(name)
            make_first_version(folder / "journal.sqlite", entries)
            here = Here()
            journal = Journal(here, folder, OWNER, lambda _: here)
            more = bob.says("more")
            self.result(journal.append(more))

            self.assertEqual([*entries, *more], self.result(journal.read(ROOM, BOB, 0, PLENTY)))
            lines = self.result(journal.history(None, 0.0, None, PLENTY))
            said = [entry.said.body for entry in (*entries, *more) if entry.said.kind == TEXT]
            self.assertEqual(said[::-1], texts(lines))
            found = self.result(journal.search("more", None, None, 1))
            self.assertEqual(lines[:1], found)
            self.result(journal.close())


class KilledUpgradeTests(HistoryTestCase):
    """
    A process that is killed while it upgrades a journal.
    """

    TEXTS = 1000

    @override
    def setUp(self) -> None:
        """
        Leave a journal of the first version.
        """
        super().setUp()
        self.result(self.journal.close())
        self.file.unlink()
        self.bob_said = self.bob.says(
            *(f"word{n} hello " + "there " * 20 for n in range(self.TEXTS))
        )
        make_first_version(self.file, self.bob_said)
        self.left: list[Path] = []
        places = TemporaryDirectory()
        self.addCleanup(places.cleanup)
        self.places = Path(places.name)

    def leave(self) -> None:
        """
        Put by what a process that is killed now leaves.
        """
        self.left.append(self.places / str(len(self.left)))
        shutil.copytree(self.folder, self.left[-1])

    def watch(self, due: Callable[[int], bool]) -> None:
        """
        Put by what there is at some of the steps that SQLite takes.
        """
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1
            if due(steps):
                self.leave()

        def watched(file: Path) -> sqlite3.Connection:
            connection = connect(file)
            connection.set_progress_handler(step, 200)
            # So that what is not committed is on the disk already.
            connection.execute("PRAGMA cache_size = 10")
            return connection

        self.patch(database, "connect", watched)

    def check(self, folder: Path) -> None:
        """
        Start with what was left: all is there once and found, and nothing lies about.
        """
        here = Here()
        journal = Journal(here, folder, OWNER, lambda _: here)
        read: list[Entry] = []
        while len(read) < self.TEXTS:
            more: list[Entry] = self.result(journal.read(ROOM, BOB, len(read), PLENTY))
            self.assertNotEqual([], more)
            read += more
        self.assertEqual([*self.bob_said], read)
        found = self.result(journal.search("hello", None, None, PLENTY))
        self.assertEqual(self.TEXTS, len(found))
        self.result(journal.append(Author().says("more")))
        self.result(journal.close())
        names = sorted(file.name for file in folder.iterdir())
        self.assertEqual(["journal-v1.sqlite", "journal.sqlite"], names)

    def test_killed_between_two_steps_loses_nothing(self) -> None:
        """
        Wherever that was, the next start begins again, and ends as it should.
        """
        self.watch(lambda steps: steps % 24 == 0)
        open_database(self.file, schema_steps()).close()

        self.assertGreater(len(self.left), 10)
        # Many in the middle of what is written.
        logs = [(folder / "journal.sqlite-wal").stat().st_size for folder in self.left]
        self.assertGreater(len(set(logs)), 3)
        for folder in self.left:
            with self.subTest(folder=folder.name):
                self.check(folder)

    def test_killed_before_the_backup_has_its_name_leaves_no_copy(self) -> None:
        """
        A whole copy of the journal that nobody can see is removed by the next start.
        """
        replace = Path.replace

        def killed(draft: Path, target: Path) -> Path:
            self.leave()
            return replace(draft, target)

        self.patch(Path, "replace", killed)
        open_database(self.file, schema_steps()).close()

        (folder,) = self.left
        (draft,) = folder.glob(".*")
        self.assertGreater(draft.stat().st_size, 100_000)
        self.check(folder)
