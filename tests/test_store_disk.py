"""
Disks that are full, and logs that a power cut has left unfinished.
"""

import contextlib
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from typing_extensions import override

from tests.disks import SmallDisk
from tests.journals import OTHER_ROOM, ROOM, Author, Here, Later, bodies, is_whole
from tests.test_store_files import FileTestCase
from twistedchat.core.entries import Entry, direct_room
from twistedchat.core.errors import ConfigError, NotSent, StoreError
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.trust import Contact
from twistedchat.posting import Posting
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

# After which groups ours are written anew: behind which of our runs, and how many entries.
REPLACEMENTS = {5: (2, 4), 9: (-2, 1), 12: (-3, 0)}

Heads: TypeAlias = dict[DeviceKey, tuple[int, bytes]]


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
        self.small = SmallDisk(self.folder / "disk")
        self.addCleanup(self.small.unmount)
        self.disk = self.small.folder
        self.here = Here()

    def open(self, owner: Author | None = None) -> Journal:
        """
        Open the journal on that disk.
        """
        journal = Journal(self.here, self.disk, owner.key if owner else None, lambda _: self.here)
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
        self.small.fill()
        seq, prev = author.head
        lost = journal.append(author.says("x" * 10_000, "y" * 10_000))
        self.failureResultOf(lost, StoreError)
        self.small.make_room()
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
        self.small.fill()
        self.successResultOf(journal.close())
        self.small.make_room()

        entries = self.read(self.open(), author)
        self.assertEqual([str(number) for number in range(20)], bodies(entries))

    def test_what_cannot_be_changed_stays_as_it_was(self) -> None:
        """
        Whatever is to be written beside entries, and fails, has changed nothing, then or later.
        """
        us, holder = Author(), identity_of("Bob").key
        journal = self.open(us)
        for number in range(20):
            self.successResultOf(journal.append(us.says(f"{number}")))
        self.successResultOf(journal.offer(ROOM, 5, b"5" * 32))
        hall = RoomRecord(OTHER_ROOM, Stay.JOINED, "Hall", us.key, holder)
        self.successResultOf(journal.keep_room(hall))
        kept = us.head
        self.small.fill()
        # What is left of the log's own room.
        while journal.heads(ROOM)[us.key] == us.head:
            kept = us.head
            journal.append(us.says("y" * 1000)).addErrback(lambda _: None)
        self.assertEqual(kept, journal.heads(ROOM)[us.key])
        us.seq, us.prev = kept
        anew = Author()
        anew.seq, anew.prev = 5, self.read(journal, us)[4].hash

        for trying in (
            journal.replace(ROOM, 5, anew.says(*["z" * 1000] * 9), 5),
            journal.offer(ROOM, 9, b"9" * 32),
            journal.keep_room(RoomRecord(ROOM, Stay.LEFT, "x" * 9000, us.key, holder)),
        ):
            self.assertIn("the disk is full", str(self.failureResultOf(trying, StoreError).value))
        journal.keep_receipt(ROOM, holder, 3)

        def check(journal: Journal) -> None:
            self.assertEqual(kept, journal.stored_heads(ROOM)[us.key])
            self.assertEqual(kept, journal.heads(ROOM)[us.key])
            self.assertEqual(5, journal.offered(ROOM))
            self.assertEqual([hall], journal.rooms())
            entries = self.read(journal, us)
            self.assertEqual([str(number) for number in range(20)], bodies(entries)[:20])
            self.assertTrue(is_whole(entries))
            self.assertEqual(1, len(self.successResultOf(journal.search("19", None, None, 9))))

        check(journal)
        self.successResultOf(journal.close())
        self.small.make_room()
        journal = self.open(us)
        check(journal)
        # And when there is room, all of it is done.
        anew.seq, anew.prev = 5, self.read(journal, us)[4].hash
        self.successResultOf(journal.replace(ROOM, 5, anew.says("other"), 5))
        self.successResultOf(journal.offer(ROOM, 6, b"6" * 32))
        journal.keep_receipt(ROOM, holder, 4)
        self.successResultOf(journal.close())
        journal = self.open(us)
        self.assertEqual(["0", "1", "2", "3", "4", "other"], bodies(self.read(journal, us)))
        self.assertEqual((6, 4), (journal.offered(ROOM), journal.receipt(ROOM, holder)))

    def test_recall_on_a_full_disk_takes_nothing_back(self) -> None:
        """
        The text is there, what is said when there is room follows it, and then it can be recalled.
        """
        us, holder = identity_of("Netech"), identity_of("Bob").key
        room = direct_room(us.key, holder)
        journal = self.open(Author())
        posting = Posting(Clock(), us, journal, lambda _: set(), lambda _: None, lambda _: None)
        said = [f"{number} " + "x" * 2000 for number in range(3)]
        for text in said:
            self.successResultOf(posting.post(room, text).stored)
        self.small.fill()
        lost = 0
        while not lost:
            posted = posting.post(room, "y" * 1000)
            if posted.seq != journal.stored_heads(room)[us.key][0]:
                self.failureResultOf(posted.stored, NotSent)
                lost += 1
        head = journal.heads(room)[us.key]

        recalled = Deferred.fromCoroutine(posting.recall(room))

        self.failureResultOf(recalled, StoreError)
        self.assertEqual(head, journal.stored_heads(room)[us.key])
        self.small.make_room()
        self.successResultOf(posting.post(room, "room again").stored)
        again = Deferred.fromCoroutine(posting.recall(room))
        self.assertEqual("room again", self.successResultOf(again))
        self.assertEqual(head, journal.stored_heads(room)[us.key])

    def test_full_disk_can_be_read(self) -> None:
        """
        What was said is read and found, also what is not in the index.
        """
        journal = self.open()
        author = Author()
        self.successResultOf(journal.append(author.says(*["hello"] * 20)))
        self.small.fill()

        for promised in (
            journal.history(ROOM, 0.0, None, 100),
            journal.search("hello", None, None, 100),
        ):
            self.assertEqual(20, len(self.successResultOf(promised)))

    def test_start_on_a_full_disk_is_told(self) -> None:
        """
        A node that can keep nothing says so at once.
        """
        self.small.fill()
        before = list(self.disk.iterdir())

        error = self.assertRaises(ConfigError, Journal, self.here, self.disk, None)
        self.assertIn("Make room there", str(error))
        self.assertEqual(before, list(self.disk.iterdir()))
        error = self.assertRaises(ConfigError, open_identity, self.disk)
        self.assertIn("(No space left on device)", str(error))
        self.assertEqual(before, list(self.disk.iterdir()))

    def test_small_files_stay_whole(self) -> None:
        """
        Contacts and settings are replaced whole or not at all, and the folder can be taken.
        """
        state = StateDirectory(self.disk)
        contacts = ContactsFile(self.disk)
        known = [Contact(identity_of("Bob").key, "Bob", since=1.5)]
        state.write_settings(Settings("us", 7070))
        contacts.write(known)
        self.small.fill()

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
        self.authors = [Author("Ann"), Author("Bob"), Author("Carl")]
        ann = self.authors[0]
        journal = Journal(here, self.folder, ann.key, lambda _: here)
        log = self.folder / "journal.sqlite-wal"
        # After each commit, how long the log was and how far everybody's entries reached.
        self.commits: list[tuple[int, Heads]] = [(0, {})]
        for number in range(14):
            if number in REPLACEMENTS:
                # Ours are written anew, and others stand in their place: more, fewer or none.
                stay, more = REPLACEMENTS[number]
                reading = journal.read(ROOM, ann.key, 0, PLENTY)
                here.settle()
                last = [one for one in self.successResultOf(reading) if one.signature][stay]
                ann.seq, ann.prev = last.seq, last.hash
                anew = ann.says(*["x anew"] * more) if more else ()
                journal.replace(ROOM, last.seq, anew, 0)
            else:
                for author in self.authors[: 1 + number % 3]:
                    journal.append(author.says(*["x" * (700 * (number % 4))] * (1 + number % 5)))
            here.work()
            here.tell()
            self.commits.append((log.stat().st_size, journal.stored_heads(ROOM)))
            # Their words go into the index when they are on the disk already.
            here.settle()
        self.cut = self.folder / "cut"
        self.cut.mkdir()
        self.base = (self.folder / "journal.sqlite").read_bytes()
        self.log = log.read_bytes()
        closed = journal.close()
        here.settle()
        self.successResultOf(closed)

    def found_after(self, log: bytes) -> Heads:
        """
        Open what was left, see that all is whole and found, and give how far the chains reach.
        """
        shutil.rmtree(self.cut)
        self.cut.mkdir()
        (self.cut / "journal.sqlite").write_bytes(self.base)
        (self.cut / "journal.sqlite-wal").write_bytes(log)
        here = Here()
        journal = Journal(here, self.cut, self.authors[0].key, lambda _: here)
        said = 0
        for author in self.authors:
            reading = journal.read(ROOM, author.key, 0, PLENTY)
            entries: list[Entry] = self.successResultOf(reading)
            self.assertTrue(is_whole(entries))
            self.assertEqual(len(entries), journal.heads(ROOM).get(author.key, (0,))[0])
            said += sum(entry.said.body != "" for entry in entries)
        lines = self.successResultOf(journal.search("x", None, None, PLENTY))
        self.assertEqual(said, len(lines))
        found = journal.heads(ROOM)
        self.successResultOf(journal.close())
        return found

    def committed_by(self, size: int) -> Heads:
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
