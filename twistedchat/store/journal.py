"""
The journal: every entry that we hold, in SQLite, without the reactor ever waiting for a disk.

Two threads do the work, one that writes and one that reads. What is appended while a commit goes
on is committed together by the next one. What is known without looking (heads, times, receipts)
is in memory, and touched by the reactor's thread alone.

Each call into SQLite lets another thread run Python, and while the reactor is busy it takes a while
to get that right back. So neither of the two goes row by row: hundreds of rows are written by one
statement, and an answer is read as one value. Beside a busy reactor that is up to fifty times as
fast.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, assert_never

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedchat.core.entries import NOTHING, Entry, Said
from twistedchat.core.errors import ConfigError, StoreError
from twistedchat.core.identity import DeviceKey
from twistedchat.interfaces import IJournal
from twistedchat.store.database import connect, explain, open_database, schema_steps
from twistedchat.store.workers import ThreadWorker, Worker

__all__ = ["LARGEST_GROUP", "MOST_ENTRIES", "Journal"]

FILE = "journal.sqlite"

# Entries in one commit. By a thousand its cost is shared among so many that it no longer counts,
# and telling the reactor of them takes it a few milliseconds.
LARGEST_GROUP = 1000

# Entries in one answer. They are bounded by the size of their bodies, but some have none; and of
# very short ones a frame holds no more than twice as many.
MOST_ENTRIES = 1000

# Rows in one statement: as many as there are, up to the first; what is left over is one more, so
# that a group takes few statements and they stay prepared. SQLite takes 32766 values in one
# (https://www.sqlite.org/limits.html), and a row has eight.
STATEMENT_SIZES = (500, 100)

_INTO_ROOMS = "INSERT INTO rooms (id, name)"
_INTO_KEYS = "INSERT INTO keys (id, key)"
_INTO_ENTRIES = "INSERT INTO entries (room, author, seq, time, kind, body, hash, signature)"
_INTO_RECEIPTS = "INSERT OR REPLACE INTO receipts (room, holder, seq)"
_INTO_FORKS = (
    "INSERT OR IGNORE INTO forks (room, author, seq, time, kind, body, hash, signature, prev) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_HEADS = """
SELECT rooms.name, keys.key, entries.seq, entries.hash
FROM (SELECT room, author, max(seq) AS seq FROM entries GROUP BY room, author) AS heads
JOIN entries USING (room, author, seq)
JOIN rooms ON rooms.id = room
JOIN keys ON keys.id = author
"""
_TIMES = """
SELECT name, max_time
FROM (SELECT name, (SELECT max(time) FROM entries WHERE room = rooms.id) AS max_time FROM rooms)
WHERE max_time IS NOT NULL
"""
_RECEIPTS = """
SELECT rooms.name, keys.key, seq
FROM receipts
JOIN rooms ON rooms.id = room
JOIN keys ON keys.id = holder
"""

# Goes from entry to entry, and stops by itself where enough have come.
_READ = """
WITH RECURSIVE
    chain (room, author) AS (
        SELECT rooms.id, keys.id FROM rooms, keys WHERE rooms.name = :room AND keys.key = :author
    ),
    run (id, seq, size, has_signed) AS (
        SELECT NULL, :after, 0, FALSE FROM chain
        UNION ALL
        SELECT
            entries.id,
            entries.seq,
            size + length(CAST(body AS BLOB)),
            has_signed OR signature IS NOT NULL
        FROM run
        CROSS JOIN chain
        CROSS JOIN entries USING (room, author)
        WHERE entries.seq = run.seq + 1
        AND (NOT has_signed OR (size <= :most_bytes AND run.seq < :after + :most))
    )
SELECT
    (SELECT hash FROM entries JOIN chain USING (room, author) WHERE seq = :after),
    (
        SELECT CAST(
            json_group_array(json_array(size, time, kind, body, hex(hash), hex(signature))) AS BLOB
        )
        FROM run
        JOIN entries USING (id)
    )
"""
_Row = tuple[int, int, str, str, str, str]
_rows = msgspec.json.Decoder(list[_Row])

Head = tuple[int, bytes]
Chain = tuple[bytes, DeviceKey]


@dataclass(frozen=True, slots=True)
class _Append:
    generation: int
    entries: Sequence[Entry]
    ends: dict[Chain, Entry]
    done: Deferred[None]


@dataclass(frozen=True, slots=True)
class _Receipt:
    generation: int
    room: bytes
    holder: DeviceKey
    seq: int


@dataclass(frozen=True, slots=True)
class _Fork:
    generation: int
    entry: Entry
    done: Deferred[bool]


_Item = _Append | _Receipt | _Fork


@lru_cache(maxsize=128)
def _insertion(into: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{into} VALUES {', '.join([row] * count)}"


def _insertions(into: str, width: int, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    start = 0
    while start < len(values):
        left = (len(values) - start) // width
        count = next((size for size in STATEMENT_SIZES if size <= left), left)
        yield _insertion(into, width, count), values[start : start + count * width]
        start += count * width


class _Numbers:
    """
    The small numbers that stand for octets in the tables.
    """

    def __init__(self, into: str, known: Iterable[tuple[int, bytes]]) -> None:
        self._into = into
        self._known = {octets: number for number, octets in known}
        self._last = max(self._known.values(), default=0)
        self._new: list[bytes] = []

    def number(self, octets: bytes) -> int:
        """
        The number of these; a new one, which is still to be written, where there is none.
        """
        number = self._known.get(octets)
        if number is None:
            self._last += 1
            number = self._known[octets] = self._last
            self._new.append(octets)
        return number

    def statements(self) -> Iterator[tuple[str, list[Any]]]:
        """
        What writes the new ones.
        """
        values = [value for octets in self._new for value in (self._known[octets], octets)]
        return _insertions(self._into, 2, values)

    def written(self) -> None:
        """
        The new ones are on the disk.
        """
        self._new.clear()

    def not_written(self) -> None:
        """
        The new ones are not, so that they mean nothing.
        """
        for octets in self._new:
            del self._known[octets]
        self._last -= len(self._new)
        self._new.clear()


class _Writer:
    """
    What the writing thread alone touches.
    """

    def __init__(
        self, open_again: Callable[[], sqlite3.Connection], rooms: _Numbers, keys: _Numbers
    ) -> None:
        self._open_again = open_again
        self._connection: sqlite3.Connection | None = None
        self._rooms = rooms
        self._keys = keys
        self._receipts: dict[tuple[bytes, DeviceKey], int] = {}
        self._is_synchronous = True

    def note(self, group: Sequence[_Item]) -> None:
        """
        Remember the receipts in a group, to be written with whatever is written next.

        Args:
            group: What was queued.
        """
        for item in group:
            if isinstance(item, _Receipt):
                self._receipts[item.room, item.holder] = item.seq

    def write(self, group: Sequence[_Item]) -> list[bool]:
        """
        Write a group, all of it or nothing.

        Args:
            group: What was queued.

        Returns:
            Of each fork, whether it is news.

        Raises:
            sqlite3.Error: Nothing of it is there. The receipts go with the next group.
        """
        self.note(group)
        try:
            news = self._write(group)
        except BaseException:
            self._rooms.not_written()
            self._keys.not_written()
            raise
        self._rooms.written()
        self._keys.written()
        self._receipts.clear()
        return news

    def _write(self, group: Sequence[_Item]) -> list[bool]:
        entries: list[Any] = []
        forks: list[list[Any]] = []
        for item in group:
            match item:
                case _Append():
                    for entry in item.entries:
                        entries += self._columns(entry)
                case _Receipt():
                    pass
                case _Fork():
                    forks.append([*self._columns(item.entry), item.entry.prev])
                case _:
                    assert_never(item)
        receipts = [
            value
            for (room, holder), seq in self._receipts.items()
            for value in (self._rooms.number(room), self._keys.number(holder.raw), seq)
        ]
        statements = [
            *self._rooms.statements(),
            *self._keys.statements(),
            *_insertions(_INTO_ENTRIES, 8, entries),
            *_insertions(_INTO_RECEIPTS, 3, receipts),
            *((_INTO_FORKS, fork) for fork in forks),
        ]
        # A receipt comes again when the two next meet. It outlives this process in any case, and a
        # power cut together with the next entry, which it need not keep waiting for the disk.
        changed = self._commit(statements, is_synchronous=bool(entries or forks))
        return [count == 1 for count in changed[len(statements) - len(forks) :]]

    def _columns(self, entry: Entry) -> list[Any]:
        return [
            self._rooms.number(entry.room),
            self._keys.number(entry.author.raw),
            entry.seq,
            entry.said.time,
            entry.said.kind,
            entry.said.body,
            entry.hash,
            entry.signature or None,
        ]

    def _commit(
        self, statements: list[tuple[str, list[Any]]], *, is_synchronous: bool
    ) -> list[int]:
        if self._connection is None:
            self._connection = self._open_again()
            self._is_synchronous = True
        connection = self._connection
        try:
            if is_synchronous != self._is_synchronous:
                level = "FULL" if is_synchronous else "NORMAL"
                connection.execute(f"PRAGMA synchronous = {level}")
                self._is_synchronous = is_synchronous
            if len(statements) == 1:
                # A transaction by itself, and one wait instead of three: see above.
                return [connection.execute(*statements[0]).rowcount]
            connection.execute("BEGIN IMMEDIATE")
            changed = [connection.execute(*statement).rowcount for statement in statements]
            connection.execute("COMMIT")
        except BaseException:
            # Of some errors SQLite has rolled back already.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return changed

    def close(self) -> None:
        """
        Let go of the file.

        Raises:
            sqlite3.Error: What was committed is safe nonetheless.
        """
        if self._connection is not None:
            self._connection.close()


@implementer(IJournal)
class Journal:
    """
    Where entries are kept for good: see `twistedchat.interfaces.IJournal`.

    Making one opens the file, sees to it that it can be used, and closes it again. The threads and
    their connections begin with the first call that needs them: neither outlives the fork by which
    twistd becomes a daemon.

    When a commit fails, so does everything that has been appended by the time the reactor hears of
    it, in all rooms: it is the disk that fails, and one rule is easier to be sure of than two.

    Args:
        reactor: Runs what the threads hand over.
        folder: The node's own, or ``None`` to keep everything in memory.
        start_worker: Makes a worker with that name, for tests.

    Raises:
        ConfigError: The file cannot be used; it stays as it is.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFromThreads,
        folder: Path | None,
        start_worker: Callable[[str], Worker] = ThreadWorker,
    ) -> None:
        self._reactor = reactor
        self._place = ":memory:" if folder is None else str(folder / FILE)
        file = None if folder is None else folder / FILE
        connection = open_database(file, schema_steps())
        try:
            self._load(connection)
            rooms = _Numbers(_INTO_ROOMS, connection.execute("SELECT id, name FROM rooms"))
            keys = _Numbers(_INTO_KEYS, connection.execute("SELECT id, key FROM keys"))
        except sqlite3.Error as error:
            raise ConfigError(explain(self._place, error)) from error
        finally:
            if file is not None:
                connection.close()
        self._open_again = (lambda: connection) if file is None else partial(connect, file)
        self._writer = _Writer(self._open_again, rooms, keys)
        self._reading: sqlite3.Connection | None = None
        # What is in memory has one connection, which two threads must not use at a time.
        self._writes = start_worker("journal-writer")
        self._reads = self._writes if file is None else start_worker("journal-reader")
        # Filled by the reactor's thread and emptied by the writer's.
        self._waiting: deque[_Item] = deque()
        # Goes up with each failure. What was appended before the reactor heard of it has the old
        # number, and follows entries that are not there.
        self._generation = 0
        self._problem = ""
        self._is_failing = False
        # What failed last, for the writer's thread alone.
        self._failed: tuple[int, Failure] | None = None
        self._closing: list[Deferred[None]] = []
        self._is_closed = False

    def _load(self, connection: sqlite3.Connection) -> None:
        self._stored: dict[bytes, dict[DeviceKey, Head]] = {}
        for room, key, seq, digest in connection.execute(_HEADS):
            self._stored.setdefault(room, {})[DeviceKey(key)] = (seq, digest)
        self._heads = {room: dict(heads) for room, heads in self._stored.items()}
        self._times: dict[bytes, int] = dict(connection.execute(_TIMES))
        self._receipts: dict[tuple[bytes, DeviceKey], int] = {
            (room, DeviceKey(key)): seq for room, key, seq in connection.execute(_RECEIPTS)
        }

    # What is known without looking.

    def heads(self, room: bytes) -> dict[DeviceKey, Head]:
        """
        How far each author's entries reach: see `twistedchat.interfaces.IJournal`.
        """
        return dict(self._heads.get(room, ()))

    def stored_heads(self, room: bytes) -> dict[DeviceKey, Head]:
        """
        The same of what is on the disk: see `twistedchat.interfaces.IJournal`.
        """
        return dict(self._stored.get(room, ()))

    def last_time(self, room: bytes) -> int:
        """
        The largest time of any entry: see `twistedchat.interfaces.IJournal`.
        """
        return self._times.get(room, 0)

    def receipt(self, room: bytes, holder: DeviceKey) -> int:
        """
        How far another node holds our entries: see `twistedchat.interfaces.IJournal`.
        """
        return self._receipts.get((room, holder), 0)

    # What is written.

    def append(self, entries: Sequence[Entry]) -> Deferred[None]:
        """
        Keep entries: see `twistedchat.interfaces.IJournal`.

        Raises:
            ValueError: One does not follow its author's head, or is the last and not signed: a
                mistake of the caller's.
        """
        if self._closing:
            return fail(self._closed())
        ends: dict[Chain, Entry] = {}
        for entry in entries:
            chain = (entry.room, entry.author)
            before = ends.get(chain)
            head = (before.seq, before.hash) if before else self._head(chain)
            if (entry.seq - 1, entry.prev) != head:
                raise ValueError(f"entry {entry.seq} does not follow entry {head[0]}")
            ends[chain] = entry
        if not all(entry.signature for entry in ends.values()):
            raise ValueError("the last entry is not signed")
        for (room, author), entry in ends.items():
            self._heads.setdefault(room, {})[author] = (entry.seq, entry.hash)
        for entry in entries:
            # Not taken back if they cannot be kept: a time that was seen in vain does no harm.
            if entry.said.time > self._times.get(entry.room, 0):
                self._times[entry.room] = entry.said.time
        done: Deferred[None] = Deferred()
        self._put(_Append(self._generation, entries, ends, done))
        return done

    def _head(self, chain: Chain) -> Head:
        room, author = chain
        return self._heads.get(room, {}).get(author, (0, NOTHING))

    def keep_receipt(self, room: bytes, holder: DeviceKey, seq: int) -> None:
        """
        Remember how far another node holds our entries: see `twistedchat.interfaces.IJournal`.
        """
        if self.receipt(room, holder) == seq or self._closing:
            return
        self._receipts[room, holder] = seq
        self._put(_Receipt(self._generation, room, holder, seq))

    def keep_fork(self, entry: Entry) -> Deferred[bool]:
        """
        Keep the proof of a fork: see `twistedchat.interfaces.IJournal`.

        Of each author one is kept for each room: it proves everything, and more of them would be a
        way to fill the disk.
        """
        if self._closing:
            return fail(self._closed())
        done: Deferred[bool] = Deferred()
        self._put(_Fork(self._generation, entry, done))
        return done

    def _put(self, item: _Item) -> None:
        self._waiting.append(item)
        # One job for each item; all but the first find that it has been done already.
        self._writes.do(self._write)

    def _write(self) -> None:
        # In the writer's thread.
        group: list[_Item] = []
        size = 0
        while self._waiting and size < LARGEST_GROUP:
            item = self._waiting[0]
            if item.generation != (group[0] if group else item).generation:
                break
            group.append(self._waiting.popleft())
            size += len(item.entries) if isinstance(item, _Append) else 1
        if not group:
            return
        news: list[bool] = []
        failure: Failure | None = None
        generation = group[0].generation
        if self._failed is not None and generation <= self._failed[0]:
            failure = self._failed[1]
            self._writer.note(group)
        else:
            try:
                news = self._writer.write(group)
                self._failed = None
            except Exception:  # noqa: BLE001 (whatever it is, those who wait have to know)
                failure = Failure()
                self._failed = (generation, failure)
        self._reactor.callFromThread(self._settle, group, news, failure)

    def _settle(self, group: list[_Item], news: list[bool], failure: Failure | None) -> None:
        if failure is not None:
            self._not_written(group, failure)
            return
        self._is_failing = False
        for item in group:
            if isinstance(item, _Append):
                for (room, author), entry in item.ends.items():
                    self._stored.setdefault(room, {})[author] = (entry.seq, entry.hash)
        are_news = iter(news)
        for item in group:
            match item:
                case _Append():
                    item.done.callback(None)
                case _Fork():
                    item.done.callback(next(are_news))

    def _not_written(self, group: list[_Item], failure: Failure) -> None:
        if group[0].generation == self._generation:
            self._generation += 1
            self._heads = {room: dict(heads) for room, heads in self._stored.items()}
            self._problem = self._in_words(failure)
            if not self._is_failing:
                self._is_failing = True
                self._log.warn("{problem}", problem=self._problem)
        for item in group:
            if not isinstance(item, _Receipt):
                item.done.errback(StoreError(self._problem))

    def _in_words(self, failure: Failure) -> str:
        if isinstance(failure.value, sqlite3.Error):
            return explain(self._place, failure.value)
        self._log.failure("The journal failed", failure)
        return f"The journal {self._place} cannot be used: this program has a fault. See its log."

    # What is read.

    def read(
        self, room: bytes, author: DeviceKey, after: int, most_bytes: int
    ) -> Deferred[list[Entry]]:
        """
        Read consecutive entries: see `twistedchat.interfaces.IJournal`.

        They are `MOST_ENTRIES` at most, unless the first signed one comes later.
        """
        if self._closing:
            return fail(self._closed())
        done: Deferred[list[Entry]] = Deferred()

        def job() -> None:
            # In the reader's thread.
            try:
                entries = self._read(room, author, after, most_bytes)
            except Exception:  # noqa: BLE001 (as above)
                self._reactor.callFromThread(not_read, Failure())
            else:
                self._reactor.callFromThread(done.callback, entries)

        def not_read(failure: Failure) -> None:
            done.errback(StoreError(self._in_words(failure)))

        self._reads.do(job)
        return done

    def _read(self, room: bytes, author: DeviceKey, after: int, most_bytes: int) -> list[Entry]:
        if self._reading is None:
            self._reading = self._open_again()
        wanted = {
            "room": room,
            "author": author.raw,
            "after": after,
            "most_bytes": most_bytes,
            "most": MOST_ENTRIES,
        }
        ((prev, data),) = self._reading.execute(_READ, wanted).fetchall()
        try:
            rows = _rows.decode(data)
        except ValueError as error:
            raise sqlite3.DatabaseError(f"an entry in it cannot be read ({error})") from error
        entries: list[Entry] = []
        keep = 0
        prev = prev or NOTHING
        for seq, (size, time, kind, body, digest, signature) in enumerate(rows, start=after + 1):
            entry = Entry(
                room,
                author,
                seq,
                prev,
                Said(time, kind, body),
                bytes.fromhex(digest),
                bytes.fromhex(signature),
            )
            entries.append(entry)
            prev = entry.hash
            if entry.signature and (size <= most_bytes or not keep):
                keep = len(entries)
        return entries[:keep]

    # The end.

    def close(self) -> Deferred[None]:
        """
        Write what is left and let go of the file: see `twistedchat.interfaces.IJournal`.
        """
        if self._is_closed:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if len(self._closing) == 1:
            self._reads.do(self._close_reader)
        return closed

    def _close_reader(self) -> None:
        # In the reader's thread. The writer comes last: whoever does writes the log that SQLite
        # keeps beside the file into it.
        if self._reading is not None:
            with contextlib.suppress(sqlite3.Error):
                self._reading.close()
        self._reactor.callFromThread(self._writes.do, self._close_writer)

    def _close_writer(self) -> None:
        # In the writer's thread.
        with contextlib.suppress(sqlite3.Error):
            self._writer.close()
        self._reactor.callFromThread(self._let_go)

    def _let_go(self) -> None:
        self._reads.end()
        self._writes.end()
        self._is_closed = True
        for closed in self._closing:
            closed.callback(None)

    def _closed(self) -> StoreError:
        return StoreError(f"The journal {self._place} is closed: the chat is coming to its end.")
