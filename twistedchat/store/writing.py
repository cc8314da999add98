"""
What is written into the journal, in groups, each of them all or nothing.

Every group takes few statements, as is said in `twistedchat.store.journal`. All of it is done in
one thread, which nothing here looks at.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from twisted.internet.defer import Deferred

from twistedchat.core.addresses import Address
from twistedchat.core.entries import NOTHING, Entry
from twistedchat.core.history import Place, RoomRecord
from twistedchat.core.identity import DeviceKey

__all__ = [
    "LOT",
    "MOST_BEHIND",
    "STATEMENT_SIZES",
    "Append",
    "Aside",
    "Chain",
    "Fork",
    "Head",
    "Item",
    "Look",
    "Numbers",
    "Offer",
    "Plain",
    "Receipt",
    "Record",
    "Replace",
    "Writer",
]

T = TypeVar("T", bound=bytes | Address)

# Rows in one statement: as many as there are, up to the first; what is left over is one more, so
# that a group takes few statements and they stay prepared. SQLite takes 32766 values in one
# (https://www.sqlite.org/limits.html), and a row has nine.
STATEMENT_SIZES = (500, 100)

# Texts whose words go into the index together. That many share the cost of a commit, which is no
# longer felt then; and a search goes through as many that are not in the index in a millisecond.
LOT = 256

# Texts that may wait for their words to go into the index while there is something else to write. A
# search takes some ten milliseconds more then.
MOST_BEHIND = 5000

_INTO_ROOMS = "INSERT INTO rooms (id, name)"
_INTO_KEYS = "INSERT INTO keys (id, key)"
_INTO_ADDRESSES = "INSERT INTO addresses (id, host, port)"
_INTO_ENTRIES = "INSERT INTO entries (id, room, author, seq, time, kind, body, hash, signature)"
_INTO_PLAIN = "INSERT INTO plain (id, address, is_ours, time, name, body)"
_INTO_RECEIPTS = "INSERT OR REPLACE INTO receipts (room, holder, seq)"
_INTO_FORKS = (
    "INSERT OR IGNORE INTO forks (room, author, seq, time, kind, body, hash, signature, prev) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# It keeps its place in the order in which we came to rooms.
_INTO_RECORDS = """
INSERT INTO records (room, stay, name, founder, inviter) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (room) DO UPDATE SET
    stay = excluded.stay, name = excluded.name,
    founder = excluded.founder, inviter = excluded.inviter
"""
_OFFER = "UPDATE rooms SET offered = ? WHERE id = ?"
_LOOK_AT_ROOM = "UPDATE rooms SET seen = ? WHERE id = ?"
_LOOK_AT_ADDRESS = "UPDATE addresses SET seen = ? WHERE id = ?"

_INTO_WORDS = """
INSERT INTO words (rowid, place, body)
SELECT id, place, body FROM texts WHERE id > :first AND id <= :last ORDER BY id
"""
_INTO_LOTS = """
INSERT OR REPLACE INTO lots (last, latest)
SELECT :last, max(
    coalesce((SELECT max(latest) FROM lots), 0),
    coalesce((SELECT max(time) FROM texts WHERE id > :first AND id <= :last), 0)
)
"""

# Some of an author's entries in a room: those after a number.
_AFTER = "WHERE room = :room AND author = :author AND seq > :after"
# The index holds no texts, and has to be told what is to be forgotten.
_OUT_OF_WORDS = f"""
INSERT INTO words (words, rowid, place, body)
SELECT 'delete', id, 'r' || room, body FROM entries {_AFTER} AND kind = 'text' AND id <= :indexed
"""  # noqa: S608 (all of it stands here)
_OUT_OF_ENTRIES = f"DELETE FROM entries {_AFTER}"  # noqa: S608
_LAST_TO_STAY = """
SELECT hash, signature IS NOT NULL FROM entries
WHERE room = :room AND author = :author AND seq = :after
"""

Head: TypeAlias = tuple[int, bytes]
Chain: TypeAlias = tuple[bytes, DeviceKey]
Statement: TypeAlias = tuple[str, Sequence[Any] | dict[str, Any]]


# What waits to be written. Each has the number of failures that were known when it came.


@dataclass(frozen=True, slots=True)
class Append:
    """
    Entries to be kept.

    Attributes:
        number: That of the first in the order of arrival.
        ends: The last entry of each chain.
    """

    generation: int
    number: int
    entries: Sequence[Entry]
    ends: dict[Chain, Entry]
    done: Deferred[None]


@dataclass(frozen=True, slots=True)
class Plain:
    """
    A classic message to be kept; the time is in microseconds.
    """

    generation: int
    number: int
    address: Address
    name: str | None
    text: str
    is_ours: bool
    time: int
    done: Deferred[None]


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    How far another node holds our entries.
    """

    room: bytes
    holder: DeviceKey
    seq: int


@dataclass(frozen=True, slots=True)
class Look:
    """
    Up to which number the person has seen what came to a place.
    """

    place: Place
    number: int


@dataclass(frozen=True, slots=True)
class Offer:
    """
    How far our entries in a room may be seen by others from now on.
    """

    generation: int
    room: bytes
    head: Head
    done: Deferred[None]


@dataclass(frozen=True, slots=True)
class Record:
    """
    What we have to do with a room.
    """

    generation: int
    record: RoomRecord
    done: Deferred[None]


@dataclass(slots=True, eq=False)
class Fork:
    """
    The proof that somebody signed two entries with one number.

    Attributes:
        is_news: Whether there was none yet; once it is written.
    """

    generation: int
    entry: Entry
    done: Deferred[bool]
    is_news: bool = False


@dataclass(slots=True, eq=False)
class Replace:
    """
    Our entries in a room after some number, to be written anew.

    Attributes:
        number: That of the first in the order of arrival.
        shown: The last one that others may have seen then; ``None`` where that stays the same.
        head: How far the chain reaches then; once it is written.
    """

    generation: int
    number: int
    chain: Chain
    after: int
    entries: Sequence[Entry]
    shown: Head | None
    done: Deferred[None]
    head: Head = field(default=(0, NOTHING))


Item: TypeAlias = Append | Plain | Offer | Record | Fork | Replace

# What nobody waits for.
Aside: TypeAlias = Receipt | Look


@lru_cache(maxsize=128)
def _insertion(into: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{into} VALUES {', '.join([row] * count)}"


def _insertions(into: str, width: int, values: list[Any]) -> Iterator[Statement]:
    start = 0
    while start < len(values):
        left = (len(values) - start) // width
        count = next((size for size in STATEMENT_SIZES if size <= left), left)
        yield _insertion(into, width, count), values[start : start + count * width]
        start += count * width


class Numbers(Generic[T]):
    """
    The small numbers that stand for octets or addresses in the tables.

    Args:
        into: What new ones are written with.
        known: Those that there are.
    """

    def __init__(self, into: str, known: Iterable[tuple[int, T]]) -> None:
        self._into = into
        self._known = {name: number for number, name in known}
        self._last = max(self._known.values(), default=0)
        self._new: list[T] = []

    def number(self, name: T) -> int:
        """
        The number of these; a new one, which is still to be written, where there is none.
        """
        number = self._known.get(name)
        if number is None:
            self._last += 1
            number = self._known[name] = self._last
            self._new.append(name)
        return number

    def statements(self) -> Iterator[Statement]:
        """
        What writes the new ones.
        """
        values: list[Any] = []
        for name in self._new:
            values.append(self._known[name])
            values += name if isinstance(name, Address) else (name,)
        return _insertions(self._into, len(values) // max(1, len(self._new)), values)

    def written(self) -> None:
        """
        The new ones are on the disk.
        """
        self._new.clear()

    def not_written(self) -> None:
        """
        The new ones are not, so that they mean nothing.
        """
        for name in self._new:
            del self._known[name]
        self._last -= len(self._new)
        self._new.clear()


class Writer:
    """
    What the writing thread alone touches.

    All of its methods raise ``sqlite3.Error`` where something cannot be written.

    Args:
        open_again: Opens the journal.
        connection: Open now, to see what stands there.
        last: The last number in the order of arrival.
        offers: How far others may have seen our entries, where that does not stand there.
    """

    def __init__(
        self,
        open_again: Callable[[], sqlite3.Connection],
        connection: sqlite3.Connection,
        last: int,
        offers: dict[bytes, int],
    ) -> None:
        self._open_again = open_again
        self._opened: sqlite3.Connection | None = None
        self._is_synchronous = True
        self._rooms = Numbers(_INTO_ROOMS, connection.execute("SELECT id, name FROM rooms"))
        self._keys = Numbers(_INTO_KEYS, connection.execute("SELECT id, key FROM keys"))
        addresses = connection.execute("SELECT id, host, port FROM addresses")
        self._addresses = Numbers(
            _INTO_ADDRESSES, ((number, Address(host, port)) for number, host, port in addresses)
        )
        self._last = last
        self._indexed: int = connection.execute(
            "SELECT coalesce(max(last), 0) FROM lots"
        ).fetchone()[0]
        # What nobody waits for.
        self._receipts: dict[Chain, int] = {}
        self._looks: dict[Place, int] = {}
        self._offers = offers

    @property
    def behind(self) -> int:
        """
        How many numbers there are whose words are not in the index.
        """
        return self._last - self._indexed

    def note(self, asides: Iterable[Aside]) -> None:
        """
        Remember what nobody waits for.

        Args:
            asides: What, the latest last.
        """
        for aside in asides:
            match aside:
                case Receipt():
                    self._receipts[aside.room, aside.holder] = aside.seq
                case Look():
                    self._looks[aside.place] = aside.number
                case _:
                    assert_never(aside)

    def write_noted(self) -> None:
        """
        Write what was noted. If that fails it is still to be written.

        A receipt comes again when the two next meet, and a text can be seen twice. Both outlive
        this process in any case, and a power cut together with the next entry, which they need not
        keep waiting for the disk.
        """
        noted = list(self._noted())
        with self._numbered():
            self._commit([*self._names(), *noted], is_synchronous=False)
        self._receipts.clear()
        self._looks.clear()

    def write(self, group: Sequence[Item]) -> None:
        """
        Write a group, all of it or nothing; what is to be written anew is a group by itself.

        Args:
            group: What was queued. Each fork is told whether it is news.
        """
        with self._numbered():
            match group:
                case [Replace() as replace]:
                    self._replace(replace)
                case _:
                    self._write(group)

    @contextlib.contextmanager
    def _numbered(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            for numbers in (self._rooms, self._keys, self._addresses):
                numbers.not_written()
            raise
        for numbers in (self._rooms, self._keys, self._addresses):
            numbers.written()

    def _write(self, group: Sequence[Item]) -> None:
        entries: list[Any] = []
        plain: list[Any] = []
        records: list[Statement] = []
        forks: list[Fork] = []
        offers = dict(self._offers)
        last = self._last
        for item in group:
            match item:
                case Append():
                    for number, entry in enumerate(item.entries, item.number):
                        entries += (number, *self._columns(entry))
                    last = item.number + len(item.entries) - 1
                case Plain():
                    plain += self._plain_columns(item)
                    last = item.number
                case Offer():
                    offers[item.room] = item.head[0]
                case Record():
                    records.append((_INTO_RECORDS, self._record_columns(item.record)))
                case Fork():
                    forks.append(item)
                case Replace():
                    # A group by itself.
                    pass
                case _:
                    assert_never(item)
        statements = [
            *_insertions(_INTO_ENTRIES, 9, entries),
            *_insertions(_INTO_PLAIN, 6, plain),
            *records,
            *((_OFFER, (seq, self._rooms.number(room))) for room, seq in offers.items()),
            *((_INTO_FORKS, [*self._columns(fork.entry), fork.entry.prev]) for fork in forks),
        ]
        changed = self._commit([*self._names(), *statements], is_synchronous=True)
        for fork, count in zip(reversed(forks), reversed(changed), strict=False):
            fork.is_news = count == 1
        self._offers.clear()
        self._last = last

    def _names(self) -> Iterator[Statement]:
        yield from self._rooms.statements()
        yield from self._keys.statements()
        yield from self._addresses.statements()

    def _noted(self) -> Iterator[Statement]:
        receipts = [
            value
            for (room, holder), seq in self._receipts.items()
            for value in (self._rooms.number(room), self._keys.number(holder.raw), seq)
        ]
        yield from _insertions(_INTO_RECEIPTS, 3, receipts)
        for place, number in self._looks.items():
            if isinstance(place, Address):
                yield _LOOK_AT_ADDRESS, (number, self._addresses.number(place))
            else:
                yield _LOOK_AT_ROOM, (number, self._rooms.number(place))

    def _columns(self, entry: Entry) -> tuple[Any, ...]:
        return (
            self._rooms.number(entry.room),
            self._keys.number(entry.author.raw),
            entry.seq,
            entry.said.time,
            entry.said.kind,
            entry.said.body,
            entry.hash,
            entry.signature or None,
        )

    def _plain_columns(self, plain: Plain) -> tuple[Any, ...]:
        return (
            plain.number,
            self._addresses.number(plain.address),
            plain.is_ours,
            plain.time,
            plain.name,
            plain.text,
        )

    def _record_columns(self, record: RoomRecord) -> tuple[Any, ...]:
        return (
            self._rooms.number(record.room),
            record.stay.value,
            record.name,
            self._keys.number(record.founder.raw),
            self._keys.number(record.inviter.raw),
        )

    def _replace(self, replace: Replace) -> None:
        room, author = replace.chain
        which = {
            "room": self._rooms.number(room),
            "author": self._keys.number(author.raw),
            "after": replace.after,
            "indexed": self._indexed,
        }
        entries = replace.entries
        with self._transaction(is_synchronous=True) as connection:
            found = connection.execute(_LAST_TO_STAY, which).fetchone()
            # Nothing stands before the first entry, and nobody has to have signed that.
            prev, is_signed = found or (NOTHING, replace.after == 0)
            if entries[0].prev != prev if entries else not is_signed:
                raise ValueError("what is written anew does not follow what stays")
            values: list[Any] = []
            for number, entry in enumerate(entries, replace.number):
                values += (number, *self._columns(entry))
            statements: list[Statement] = [
                (_OUT_OF_WORDS, which),
                (_OUT_OF_ENTRIES, which),
                *self._names(),
                *_insertions(_INTO_ENTRIES, 9, values),
            ]
            if replace.shown is not None:
                statements.append((_OFFER, (replace.shown[0], which["room"])))
            for statement in statements:
                connection.execute(*statement)
            last = replace.number + len(entries) - 1
            # Nobody who has indexed some of them in memory can overlook that they are gone.
            self._into_words(connection, last)
        self._last = self._indexed = last
        replace.head = (entries[-1].seq, entries[-1].hash) if entries else (replace.after, prev)

    def index(self, most: int) -> None:
        """
        Put the words of some texts into the index.

        The texts are on the disk already, and a search finds them there if this is lost.

        Args:
            most: Of how many at most.
        """
        last = min(self._last, self._indexed + most)
        with self._transaction(is_synchronous=False) as connection:
            self._into_words(connection, last)
        self._indexed = last

    def _into_words(self, connection: sqlite3.Connection, last: int) -> None:
        which = {"first": self._indexed, "last": last}
        connection.execute(_INTO_WORDS, which)
        connection.execute(_INTO_LOTS, which)

    def _connection(self, *, is_synchronous: bool) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open_again()
            self._is_synchronous = True
        if is_synchronous != self._is_synchronous:
            level = "FULL" if is_synchronous else "NORMAL"
            self._opened.execute(f"PRAGMA synchronous = {level}")
            self._is_synchronous = is_synchronous
        return self._opened

    @contextlib.contextmanager
    def _transaction(self, *, is_synchronous: bool) -> Iterator[sqlite3.Connection]:
        connection = self._connection(is_synchronous=is_synchronous)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # Of some errors SQLite has rolled back already.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _commit(self, statements: Sequence[Statement], *, is_synchronous: bool) -> list[int]:
        if len(statements) == 1:
            # A transaction by itself, and one wait instead of three.
            connection = self._connection(is_synchronous=is_synchronous)
            return [connection.execute(*statements[0]).rowcount]
        with self._transaction(is_synchronous=is_synchronous) as connection:
            return [connection.execute(*statement).rowcount for statement in statements]

    def close(self) -> None:
        """
        Let go of the file, after one more try to write what was noted.
        """
        with contextlib.suppress(sqlite3.Error):
            if self._receipts or self._looks:
                self.write_noted()
        if self._opened is not None:
            with contextlib.suppress(sqlite3.Error):
                self._opened.close()
