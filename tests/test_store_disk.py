"""
Disks that are full, and logs that a power cut has left unfinished.
"""

import contextlib
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from unittest import SkipTest

from typing_extensions import override

from tests.journals import ROOM, Author, Here, Later, bodies, is_whole
from tests.test_store_files import FileTestCase
from twistedchat.core.entries import Entry
from twistedchat.core.errors import ConfigError, StoreError
from twistedchat.core.trust import Contact
from twistedchat.store import journal as journal_module
from twistedchat.store.contacts import ContactsFile
from twistedchat.store.identity import open_identity
from twistedchat.store.journal import Journal
from twistedchat.store.lock import lock_folder
from twistedchat.store.state import Settings, StateDirectory
from twistedchat.testing import identity_of

PLENTY = 10**9

# How SQLite lays out its log (https://www.sqlite.org/fileformat.html section 4.1).
LOG_HEADER = 32
FRAME_HEADER = 24


class FullDiskTests(FileTestCase):
    """
    What is kept on a disk without room.
    """

    @override
    def setUp(self) -> None:
        """
        Mount a disk of a megabyte.
        """
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(self.disk)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except OSError as error:
            raise SkipTest(f"no disk can be mounted here: {error}") from error
        except subprocess.CalledProcessError as error:
            raise SkipTest(f"no disk can be mounted here: {error.stderr.strip()}") from error
        self.addCleanup(self.unmount)
        self.filler = self.disk / "filler"
        self.here = Here()

    def unmount(self) -> None:
        """
        Take the disk away.
        """
        subprocess.run(["umount", str(self.disk)], check=True)

    def fill(self) -> None:
        """
        Take all the room that is left.
        """
        with self.filler.open("ab", buffering=0) as filler:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while filler.write(b"x" * size):
                        pass

    def open(self) -> Journal:
        """
        Open the journal on that disk.
        """
        journal = Journal(self.here, self.disk, None, lambda _: self.here)
        self.addCleanup(journal.close)
        return journal

    def read(self, journal: Journal, author: Author) -> list[Entry]:
        """
        Read all that an author said.
        """
        entries: list[Entry] = []
        while True:
            reading = journal.read(author.room, author.key, len(entries), PLENTY)
            more: list[Entry] = self.successResultOf(reading)
            if not more:
                return entries
            entries += more

    def test_entries_that_fit_are_kept(self) -> None:
        """
        When there is no room for another entry that is told, and all before it are there.
        """
        journal = self.open()
        author = Author()
        kept = 0
        errors: list[str] = []
        while not errors:
            done = journal.append(author.says(f"{kept} " + "x" * 1000))
            done.addErrback(lambda failure: errors.append(failure.getErrorMessage()))
            kept += not errors

        file = self.disk / "journal.sqlite"
        what = f"The journal {file} cannot be used: the disk is full."
        self.assertEqual([f"{what} Make room there, and try again."], errors)
        self.assertGreater(kept, 10)
        self.assertEqual(kept, journal.heads(ROOM)[author.key][0])
        entries = self.read(journal, author)
        self.assertEqual(kept, len(entries))
        self.assertTrue(is_whole(entries))

    def test_one_goes_on_when_there_is_room_again(self) -> None:
        """
        Nothing has to be started anew, and nothing is lost.
        """
        journal = self.open()
        author = Author()
        self.successResultOf(journal.append(author.says("before")))
        self.fill()
        seq, prev = author.head
        lost = journal.append(author.says("x" * 10_000, "y" * 10_000))
        self.failureResultOf(lost, StoreError)
        self.filler.unlink()
        author.seq, author.prev = seq, prev

        self.successResultOf(journal.append(author.says("after")))

        self.successResultOf(journal.close())
        entries = self.read(self.open(), author)
        self.assertEqual(["before", "after"], bodies(entries))
        self.assertTrue(is_whole(entries))

    def test_node_that_ends_with_a_full_disk_loses_nothing(self) -> None:
        """
        What was kept before the disk was full is there when there is room again.
        """
        journal = self.open()
        author = Author()
        for number in range(20):
            self.successResultOf(journal.append(author.says(str(number))))
        self.fill()
        self.successResultOf(journal.close())
        self.filler.unlink()

        entries = self.read(self.open(), author)
        self.assertEqual([str(number) for number in range(20)], bodies(entries))

    def test_full_disk_can_be_read(self) -> None:
        """
        What was said is read and found, also what is not in the index.
        """
        journal = self.open()
        author = Author()
        self.successResultOf(journal.append(author.says(*["hello"] * 20)))
        self.fill()

        for promised in (
            journal.history(ROOM, 0.0, None, 100),
            journal.search("hello", None, None, 100),
        ):
            self.assertEqual(20, len(self.successResultOf(promised)))

    def test_start_on_a_full_disk_is_told(self) -> None:
        """
        A node that can keep nothing says so at once.
        """
        self.fill()

        error = self.assertRaises(ConfigError, Journal, self.here, self.disk, None)
        self.assertIn("Make room there", str(error))
        self.assertEqual([self.filler], list(self.disk.iterdir()))
        error = self.assertRaises(ConfigError, open_identity, self.disk)
        self.assertIn("(No space left on device)", str(error))
        self.assertEqual([self.filler], list(self.disk.iterdir()))

    def test_small_files_stay_whole(self) -> None:
        """
        Contacts and settings are replaced whole or not at all, and the folder can be taken.
        """
        state = StateDirectory(self.disk)
        contacts = ContactsFile(self.disk)
        known = [Contact(identity_of("Bob").key, "Bob", since=1.5)]
        state.write_settings(Settings("us", 7070))
        contacts.write(known)
        self.fill()

        self.assertRaises(ConfigError, state.write_settings, Settings("u" * 5000, 7070))
        more = [Contact(identity_of(str(n)).key, "x" * 64, since=1.5) for n in range(100)]
        error = self.assertRaises(StoreError, contacts.write, more)
        self.assertIn("(No space left on device)", str(error))
        self.assertEqual(Settings("us", 7070), state.read_settings())
        self.assertEqual(known, contacts.read())
        lock_folder(self.disk).release()


class FileSizeTests(FileTestCase):
    """
    A disk that takes no more at some point, on any system.
    """

    @contextlib.contextmanager
    def limited(self, size: int) -> Iterator[None]:
        """
        Let no file of this process grow beyond a size for a moment.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_failed_write_changes_nothing(self) -> None:
        """
        What was written by halves is undone, and what comes afterwards is kept.
        """
        later = Later()
        journal = Journal(later, self.folder, None, lambda _: later)
        author = Author()
        journal.append(author.says("before"))
        later.settle()
        head = author.head
        size = (self.folder / "journal.sqlite-wal").stat().st_size

        lost = journal.append(author.says(*["x" * 9000] * 10))
        with self.limited(size + 50_000):
            later.work()
        later.tell()

        self.assertIn("Make room there", str(self.failureResultOf(lost, StoreError).value))
        self.assertEqual({author.key: head}, journal.heads(ROOM))
        author.seq, author.prev = head
        done = journal.append(author.says("after"))
        reading = journal.read(ROOM, author.key, 0, PLENTY)
        closed = journal.close()
        later.settle()
        self.assertIsNone(self.successResultOf(done))
        self.assertIsNone(self.successResultOf(closed))
        read: list[Entry] = self.successResultOf(reading)
        self.assertEqual(["before", "after"], bodies(read))


class PowerCutTests(FileTestCase):
    """
    What is left in the log when the power fails.
    """

    @override
    def setUp(self) -> None:
        """
        Write some groups, and copy what is on the disk before anything is tidied up.
        """
        super().setUp()
        # So that some of the words are in the index, and some are late.
        self.patch(journal_module, "LOT", 7)
        here = Later()
        journal = Journal(here, self.folder, None, lambda _: here)
        self.authors = [Author("Ann"), Author("Bob"), Author("Carl")]
        log = self.folder / "journal.sqlite-wal"
        # After each commit, how long the log was and how far everybody's entries reached.
        self.commits: list[tuple[int, dict[bytes, int]]] = [(0, {})]
        for number in range(12):
            for author in self.authors[: 1 + number % 3]:
                journal.append(author.says(*["x" * (700 * (number % 4))] * (1 + number % 5)))
            here.work()
            here.tell()
            heads = journal.stored_heads(ROOM).items()
            self.commits.append(
                (log.stat().st_size, {author.raw: seq for author, (seq, _) in heads})
            )
            # Their words go into the index when they are on the disk already.
            here.settle()
        self.cut = self.folder / "cut"
        self.cut.mkdir()
        self.base = (self.folder / "journal.sqlite").read_bytes()
        self.log = log.read_bytes()
        closed = journal.close()
        here.settle()
        self.successResultOf(closed)

    def found_after(self, log: bytes) -> dict[bytes, int]:
        """
        Open what was left, see that all is whole and found, and give how far the chains reach.
        """
        shutil.rmtree(self.cut)
        self.cut.mkdir()
        (self.cut / "journal.sqlite").write_bytes(self.base)
        (self.cut / "journal.sqlite-wal").write_bytes(log)
        here = Here()
        journal = Journal(here, self.cut, None, lambda _: here)
        said = 0
        for author in self.authors:
            reading = journal.read(ROOM, author.key, 0, PLENTY)
            entries: list[Entry] = self.successResultOf(reading)
            self.assertTrue(is_whole(entries))
            self.assertEqual(len(entries), journal.heads(ROOM).get(author.key, (0,))[0])
            said += sum(entry.said.body != "" for entry in entries)
        lines = self.successResultOf(journal.search("x", None, None, PLENTY))
        self.assertEqual(said, len(lines))
        found = {key.raw: seq for key, (seq, _) in journal.heads(ROOM).items()}
        self.successResultOf(journal.close())
        return found

    def committed_by(self, size: int) -> dict[bytes, int]:
        """
        How far everybody's entries reached when the log was no longer than that.
        """
        return [heads for length, heads in self.commits if length <= size][-1]

    def frames(self) -> list[int]:
        """
        Where the pages in the log begin, and its end.
        """
        page = int.from_bytes(self.log[8:12])
        return list(range(LOG_HEADER, len(self.log) + 1, FRAME_HEADER + page))

    def test_log_has_what_it_takes(self) -> None:
        """
        The cuts below go through many pages, also of the index; every commit made the log longer.
        """
        self.assertGreater(len(self.frames()), 100)
        self.found_after(self.log)
        with contextlib.closing(sqlite3.connect(self.cut / "journal.sqlite")) as connection:
            ((late,),) = connection.execute(
                "SELECT count(*) FROM texts WHERE id > (SELECT max(last) FROM lots)"
            )
            (lots,) = connection.execute("SELECT count(*) FROM lots").fetchone()
        self.assertGreater(lots, 5)
        self.assertGreater(late, 0)
        lengths = [length for length, _ in self.commits]
        self.assertEqual(sorted(set(lengths)), lengths)
        self.assertLessEqual(lengths[-1], len(self.log))

    def test_log_that_ends_early_is_a_prefix(self) -> None:
        """
        Wherever the log was cut, all that was committed by then is there, and nothing by halves.
        """
        for frame in self.frames():
            for size in (max(frame - 2000, 0), frame, frame + 7):
                with self.subTest(size=size):
                    self.assertEqual(self.committed_by(size), self.found_after(self.log[:size]))

    def test_page_that_did_not_reach_the_disk_is_the_end(self) -> None:
        """
        A page of which something else is on the disk ends what is there, whatever follows.
        """
        for frame in self.frames()[:-1]:
            with self.subTest(frame=frame):
                data = bytearray(self.log)
                data[frame + FRAME_HEADER + 100] ^= 1
                self.assertEqual(self.committed_by(frame), self.found_after(bytes(data)))

    def test_log_of_nothing_is_the_beginning(self) -> None:
        """
        Without a log, or with an empty one, there is what was there before.
        """
        self.assertEqual({}, self.found_after(b""))
        self.assertEqual({}, self.found_after(b"\0" * len(self.log)))
        self.assertEqual(self.commits[-1][1], self.found_after(self.log))
