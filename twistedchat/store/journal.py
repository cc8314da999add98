"""
The journal: all that was said and that we hold, in SQLite, without the reactor waiting for a disk.

Two threads do the work, one that writes and one that reads. What is appended while a commit goes
on is committed together by the next one. What is known without looking (heads, times, receipts,
how much is unread) is in memory, and touched by the reactor's thread alone.

Each call into SQLite lets another thread run Python, and while the reactor is busy it takes a while
to get that right back. So neither of the two goes row by row: hundreds of rows are written by one
statement, and an answer is read as one value. Beside a busy reactor that is up to fifty times as
fast.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedchat.core.addresses import Address
from twistedchat.core.entries import LARGEST_NUMBER, MOST_AHEAD, NOTHING, TEXT, Entry, Said
from twistedchat.core.errors import ConfigError, StoreError
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.rooms import MEMBERSHIP
from twistedchat.interfaces import IJournal
from twistedchat.store.database import connect, explain, open_database, schema_steps
from twistedchat.store.reading import Reader
from twistedchat.store.workers import ThreadWorker, Worker
from twistedchat.store.writing import (
    LOT,
    MOST_BEHIND,
    Append,
    Aside,
    Chain,
    Fork,
    Head,
    Item,
    Look,
    Offer,
    Plain,
    Receipt,
    Record,
    Replace,
    Writer,
)

__all__ = ["LARGEST_GROUP", "LONGEST_GATHERING", "LONGEST_PUT_BY", "MOST_MEMBERSHIP", "Journal"]

T = TypeVar("T")

FILE = "journal.sqlite"

# Entries in one commit. By hundreds its cost is shared among so many that it no longer counts; and
# what a person says while thousands come waits for one such commit, with as many words that go into
# the index behind it, and for the reactor, which is told of them in a millisecond or two.
LARGEST_GROUP = 500

# Seconds for which receipts, and what the person has seen, wait to be written together. In a busy
# room they come by the dozen, and what somebody says need not share its commit with them; and what
# is lost with the process comes again when two next meet, or is seen twice.
LONGEST_PUT_BY = 1.0

# Seconds for which entries that are not urgent wait for others to be written with. Where dozens of
# people talk at a time, two or three come meanwhile, and each commit costs four changes of thread.
LONGEST_GATHERING = 0.03

# Entries of membership that stay in memory, half a megabyte of them. Who asks for more than that
# lets the disk be read again.
MOST_MEMBERSHIP = 1000

# From chain to chain, without going through the entries of each.
_HEADS = """
WITH RECURSIVE chains (id) AS (
    SELECT * FROM (SELECT id FROM entries ORDER BY room, author LIMIT 1)
    UNION ALL
    SELECT coalesce(
        (
            SELECT id FROM entries AS next
            WHERE next.room = entries.room AND next.author > entries.author
            ORDER BY next.author LIMIT 1
        ),
        (
            SELECT id FROM entries AS next
            WHERE next.room > entries.room
            ORDER BY next.room, next.author LIMIT 1
        )
    )
    FROM chains
    JOIN entries USING (id)
)
SELECT rooms.name, keys.key, heads.seq, heads.hash
FROM chains
JOIN entries USING (id)
JOIN entries AS heads ON heads.id = (
    SELECT id FROM entries AS last
    WHERE last.room = entries.room AND last.author = entries.author
    ORDER BY last.seq DESC
    LIMIT 1
)
JOIN rooms ON rooms.id = entries.room
JOIN keys ON keys.id = entries.author
"""
_TIMES = """
SELECT name, max_time
FROM (
    SELECT name, (SELECT max(time) FROM entries WHERE room = rooms.id AND time <= ?) AS max_time
    FROM rooms
)
WHERE max_time IS NOT NULL
"""
_RECEIPTS = """
SELECT rooms.name, keys.key, seq
FROM receipts
JOIN rooms ON rooms.id = room
JOIN keys ON keys.id = holder
"""
_RECORDS = """
SELECT rooms.name, stay, records.name, founders.key, inviters.key
FROM records
JOIN rooms ON rooms.id = room
JOIN keys AS founders ON founders.id = founder
JOIN keys AS inviters ON inviters.id = inviter
ORDER BY records.id
"""
# What others said, and the person has not seen.
_UNREAD_IN_ROOM = """
SELECT count(*), min(seq) FROM entries
WHERE room = (SELECT id FROM rooms WHERE name = :room)
AND author = (SELECT id FROM keys WHERE key = :author)
AND kind = 'text'
AND id > (SELECT seen FROM rooms WHERE name = :room)
"""
_UNREAD_IN_PLAIN = """
SELECT host, port, seen, (
    SELECT count(*) FROM plain WHERE address = addresses.id AND NOT is_ours AND plain.id > seen
)
FROM addresses
"""
# No number is given again, whatever has become of what had it.
_LAST_NUMBER = """
SELECT max(coalesce(number, 0)) FROM (
    SELECT max(id) AS number FROM entries
    UNION ALL SELECT max(id) FROM plain
    UNION ALL SELECT max(last) FROM lots
    UNION ALL SELECT max(seen) FROM addresses
)
"""
# How far others may have seen what we said, with the hash of that; less than nothing where an
# earlier version has not kept it.
_OFFERS = """
SELECT name, offered, (
    SELECT hash FROM entries
    WHERE room = rooms.id
    AND author = (SELECT id FROM keys WHERE key = ?)
    AND seq = offered
)
FROM rooms
"""
_MEMBERSHIP = f"""
SELECT
    rooms.name, keys.key, entries.seq, before.hash,
    entries.time, entries.kind, entries.body, entries.hash, entries.signature
FROM entries
JOIN rooms ON rooms.id = entries.room
JOIN keys ON keys.id = entries.author
LEFT JOIN entries AS before
    ON before.room = entries.room
    AND before.author = entries.author
    AND before.seq = entries.seq - 1
WHERE entries.kind <> 'text'
AND entries.kind IN ({", ".join("?" * len(MEMBERSHIP))})
AND entries.id <= ?
ORDER BY entries.room, entries.author, entries.seq
"""  # noqa: S608 (nothing but question marks)


def _membership(connection: sqlite3.Connection, last: int) -> list[Entry]:
    return [
        Entry(
            room,
            DeviceKey(author),
            seq,
            before or NOTHING,
            Said(time, kind, body),
            digest,
            signature or b"",
        )
        for room, author, seq, before, time, kind, body, digest, signature in connection.execute(
            _MEMBERSHIP, (*MEMBERSHIP, last)
        )
    ]


@implementer(IJournal)
class Journal:
    """
    Where all that was said is kept for good: see `twistedchat.interfaces.IJournal`.

    Making one opens the file, sees to it that it can be used, and closes it again. The threads and
    their connections begin with the first call that needs them: neither outlives the fork by which
    twistd becomes a daemon.

    When a commit fails, so does everything that has been appended by the time the reactor hears of
    it, in all rooms: it is the disk that fails, and one rule is easier to be sure of than two.

    Args:
        reactor: Runs what the threads hand over, and calls back.
        folder: The node's own, or ``None`` to keep everything in memory.
        owner: Whose journal it is; ``None`` for nobody's, who says nothing.
        start_worker: Makes a worker with that name, for tests.
        now: Tells the time, in seconds since the epoch.

    Raises:
        ConfigError: The file cannot be used; it stays as it is.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFromThreads,
        folder: Path | None,
        owner: DeviceKey | None,
        start_worker: Callable[[str], Worker] = ThreadWorker,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._clock = cast(IReactorTime, reactor)
        self._owner = owner
        self._now = now
        self._place = ":memory:" if folder is None else str(folder / FILE)
        file = None if folder is None else folder / FILE
        connection = open_database(file, schema_steps())
        self._open_again = (lambda: connection) if file is None else partial(connect, file)
        try:
            self._load(connection)
            self._writer = Writer(self._open_again, connection, self._last, self._unwritten_offers)
        except sqlite3.Error as error:
            raise ConfigError(explain(self._place, error)) from error
        finally:
            if file is not None:
                connection.close()
        self._reader = Reader(self._open_again, owner)
        # What is in memory has one connection, which two threads must not use at a time.
        self._writes = start_worker("journal-writer")
        self._reads = self._writes if file is None else start_worker("journal-reader")
        # Filled by the reactor's thread and emptied by the writer's.
        self._waiting: deque[Item] = deque()
        self._asides: deque[Aside] = deque()
        # Rooms in which our entries are being written anew.
        self._replacing: set[bytes] = set()
        # Goes up with each failure. What was appended before the reactor heard of it has the old
        # number, and follows entries that are not there.
        self._generation = 0
        self._problem = ""
        self._is_failing = False
        self._is_putting_off = False
        # For the writer's thread alone: what failed last, and whether words are to go into the
        # index as soon as it comes to that.
        self._failed: tuple[int, Failure] | None = None
        self._is_to_index = False
        self._gathering: IDelayedCall | None = None
        self._putting_by: IDelayedCall | None = None
        self._closing: list[Deferred[None]] = []
        self._is_closed = False

    def _load(self, connection: sqlite3.Connection) -> None:
        self._stored: dict[bytes, dict[DeviceKey, Head]] = {}
        for room, key, seq, digest in connection.execute(_HEADS):
            self._stored.setdefault(room, {})[DeviceKey(key)] = (seq, digest)
        self._heads = self._copy_of_stored()
        self._times: dict[bytes, int] = dict(connection.execute(_TIMES, (self._latest(),)))
        self._receipts: dict[Chain, int] = {
            (room, DeviceKey(key)): seq for room, key, seq in connection.execute(_RECEIPTS)
        }
        self._records: dict[bytes, RoomRecord] = {
            room: RoomRecord(room, Stay(stay), name, DeviceKey(founder), DeviceKey(inviter))
            for room, stay, name, founder, inviter in connection.execute(_RECORDS)
        }
        # The number that was given last, and the last one of what is known to be on the disk.
        self._last: int = connection.execute(_LAST_NUMBER).fetchone()[0]
        self._settled = self._last
        self._at_opening = self._last
        self._load_unread(connection)
        entries = _membership(connection, self._last)
        self._membership = entries if len(entries) <= MOST_MEMBERSHIP else None
        self._load_offers(connection)

    def _load_unread(self, connection: sqlite3.Connection) -> None:
        self._unread: Counter[Place] = Counter()
        # The number of the first of them, by whom there is any.
        self._first_unread: dict[Chain, int] = {}
        for room, heads in self._stored.items():
            for author in heads.keys() - {self._owner}:
                which = {"room": room, "author": author.raw}
                ((count, first),) = connection.execute(_UNREAD_IN_ROOM, which)
                self._unread[room] += count
                if count:
                    self._first_unread[room, author] = first
        # How far the person has seen what came in plain.
        self._seen: dict[Address, int] = {}
        for host, port, seen, count in connection.execute(_UNREAD_IN_PLAIN):
            self._unread[Address(host, port)] = count
            self._seen[Address(host, port)] = seen

    def _load_offers(self, connection: sqlite3.Connection) -> None:
        self._offers: dict[bytes, Head] = {}
        self._unwritten_offers: dict[bytes, int] = {}
        owner = self._owner.raw if self._owner else b""
        for room, seq, digest in connection.execute(_OFFERS, (owner,)):
            self._offers[room] = (seq, digest or NOTHING)
            if seq < 0:
                # That is our last entry.
                head = self._head((room, self._owner)) if self._owner else (0, NOTHING)
                self._offers[room] = head
                self._unwritten_offers[room] = head[0]
        # The same with those that are still to be written.
        self._offering = dict(self._offers)

    def _copy_of_stored(self) -> dict[bytes, dict[DeviceKey, Head]]:
        return {room: dict(heads) for room, heads in self._stored.items()}

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

    def membership(self) -> list[Entry]:
        """
        The entries that tell who is in which room: see `twistedchat.interfaces.IJournal`.

        To be asked for before the reactor runs: where they are many, they are read again.

        Raises:
            StoreError: They cannot be.
        """
        if self._membership is not None:
            return list(self._membership)
        try:
            with contextlib.closing(self._open_again()) as connection:
                return _membership(connection, self._at_opening)
        except sqlite3.Error as error:
            raise StoreError(explain(self._place, error)) from error

    def rooms(self) -> list[RoomRecord]:
        """
        The rooms that we have to do with: see `twistedchat.interfaces.IJournal`.
        """
        return list(self._records.values())

    def unread(self, place: Place) -> int:
        """
        How many texts the person has not seen: see `twistedchat.interfaces.IJournal`.

        What came in plain counts at once, and what is signed as soon as it is on the disk.
        """
        return self._unread[place]

    def read_to(self, room: bytes, author: DeviceKey) -> int:
        """
        How far the person has seen what somebody said: see `twistedchat.interfaces.IJournal`.
        """
        head, _ = self._stored.get(room, {}).get(author, (0, NOTHING))
        return self._first_unread.get((room, author), head + 1) - 1

    def addresses_unread(self) -> list[Address]:
        """
        Where plain texts are that the person has not seen: see `twistedchat.interfaces.IJournal`.
        """
        return [at for at, count in self._unread.items() if count and isinstance(at, Address)]

    def offered(self, room: bytes) -> int:
        """
        How far others may have seen our entries: see `twistedchat.interfaces.IJournal`.
        """
        return self._offers.get(room, (0, NOTHING))[0]

    def offered_head(self, room: bytes) -> Head:
        """
        The last of ours that is kept and may have been seen: see `twistedchat.interfaces.IJournal`.
        """
        stored = self._stored.get(room, {})
        head = stored.get(self._owner, (0, NOTHING)) if self._owner else (0, NOTHING)
        return min(head, self._offers.get(room, (0, NOTHING)))

    # What is written.

    def append(self, entries: Sequence[Entry], *, is_urgent: bool = True) -> Deferred[None]:
        """
        Keep entries: see `twistedchat.interfaces.IJournal`.

        Raises:
            ValueError: One does not follow its author's head, or is the last and not signed, or
                what it follows is being written anew: a mistake of the caller's.
        """
        if self._closing:
            return fail(self._closed())
        ends: dict[Chain, Entry] = {}
        for entry in entries:
            chain = (entry.room, entry.author)
            before = ends.get(chain)
            _follow(entry, (before.seq, before.hash) if before else self._head(chain))
            ends[chain] = entry
        if not all(entry.signature for entry in ends.values()):
            raise ValueError("the last entry is not signed")
        if any(author == self._owner and room in self._replacing for room, author in ends):
            raise ValueError("what it follows is being written anew")
        for (room, author), entry in ends.items():
            self._heads.setdefault(room, {})[author] = (entry.seq, entry.hash)
        self._see_times(entries)
        done: Deferred[None] = Deferred()
        number = self._take_numbers(len(entries))
        item = Append(self._generation, number, entries, ends, done)
        if is_urgent:
            self._put(item)
        else:
            self._gather(item)
        return done

    def _head(self, chain: Chain) -> Head:
        room, author = chain
        return self._heads.get(room, {}).get(author, (0, NOTHING))

    def _latest(self) -> int:
        # A time that others may say and still be followed.
        return min(int(self._now() * 1_000_000) + MOST_AHEAD, LARGEST_NUMBER)

    def _see_times(self, entries: Sequence[Entry]) -> None:
        latest = self._latest()
        for entry in entries:
            # Not taken back if they cannot be kept: a time that was seen in vain does no harm.
            if self._times.get(entry.room, 0) < entry.said.time <= latest:
                self._times[entry.room] = entry.said.time

    def _take_numbers(self, count: int) -> int:
        number = self._last + 1
        self._last += count
        return number

    def keep_plain(
        self, address: Address, name: str | None, text: str, *, is_ours: bool, time: float
    ) -> Deferred[None]:
        """
        Keep a classic message: see `twistedchat.interfaces.IJournal`.
        """
        if self._closing:
            return fail(self._closed())
        done: Deferred[None] = Deferred()
        if not is_ours:
            self._unread[address] += 1
        self._put(
            Plain(
                self._generation,
                self._take_numbers(1),
                address,
                None if name is None else _writable(name),
                _writable(text),
                is_ours,
                round(time * 1_000_000),
                done,
            )
        )
        return done

    def looked_at(self, place: Place) -> None:
        """
        The person has seen all that came to a place: see `twistedchat.interfaces.IJournal`.
        """
        if self._closing or not self._unread.pop(place, 0):
            return
        number = self._settled
        if isinstance(place, Address):
            # All that was kept there has been told of.
            number = self._seen[place] = self._last
        else:
            for author in self._stored.get(place, ()):
                self._first_unread.pop((place, author), None)
        self._put_by(Look(place, number))

    def keep_receipt(self, room: bytes, holder: DeviceKey, seq: int) -> None:
        """
        Remember how far another node holds our entries: see `twistedchat.interfaces.IJournal`.
        """
        if self.receipt(room, holder) == seq or self._closing:
            return
        self._receipts[room, holder] = seq
        self._put_by(Receipt(room, holder, seq))

    def keep_fork(self, entry: Entry) -> Deferred[bool]:
        """
        Keep the proof of a fork: see `twistedchat.interfaces.IJournal`.

        Of each author one is kept for each room: it proves everything, and more of them would be a
        way to fill the disk.
        """
        if self._closing:
            return fail(self._closed())
        done: Deferred[bool] = Deferred()
        self._put(Fork(self._generation, entry, done))
        return done

    def keep_room(self, record: RoomRecord) -> Deferred[None]:
        """
        Remember what we have to do with a room: see `twistedchat.interfaces.IJournal`.
        """
        if self._closing:
            return fail(self._closed())
        done: Deferred[None] = Deferred()
        self._put(Record(self._generation, record, done))
        return done

    def offer(self, room: bytes, seq: int, digest: bytes) -> Deferred[None]:
        """
        Remember that others may see our entries: see `twistedchat.interfaces.IJournal`.
        """
        if self._closing:
            return fail(self._closed())
        head = max((seq, digest), self._offering.get(room, (0, NOTHING)))
        if head[0] == self.offered(room):
            return succeed(None)
        self._offering[room] = head
        done: Deferred[None] = Deferred()
        self._put(Offer(self._generation, room, head, done))
        return done

    def replace(
        self, room: bytes, after: int, entries: Sequence[Entry], offered: int
    ) -> Deferred[None]:
        """
        Write our own entries anew: see `twistedchat.interfaces.IJournal`.

        Until that is done the heads are what they were, and nothing can be appended to them.

        Raises:
            ValueError: Others may have seen what is to go, or it is not there, or what takes its
                place is none of our entries, or that is being done already: a mistake of the
                caller's.
        """
        if self._closing:
            return fail(self._closed())
        if self._owner is None or room in self._replacing:
            raise ValueError("nothing there can be written anew now")
        chain = (room, self._owner)
        if not self.offered(room) <= after <= self._head(chain)[0]:
            raise ValueError(f"what follows entry {after} cannot be written anew")
        head = (after, entries[0].prev if entries else NOTHING)
        for entry in entries:
            if (entry.room, entry.author) != chain:
                raise ValueError("an entry of somebody else's, or in another room")
            _follow(entry, head)
            head = (entry.seq, entry.hash)
        if entries and not entries[-1].signature:
            raise ValueError("the last entry is not signed")
        shown = next(((one.seq, one.hash) for one in entries if one.seq == offered), None)
        if shown is None and offered != self.offered(room):
            raise ValueError(f"entry {offered} is none of those that can be shown")
        if after < self._offering.get(room, (0, NOTHING))[0]:
            return fail(StoreError("Others are just being shown that. It cannot be changed now."))
        self._see_times(entries)
        self._replacing.add(room)
        done: Deferred[None] = Deferred()
        number = self._take_numbers(len(entries))
        self._put(Replace(self._generation, number, chain, after, entries, shown, done))
        return done

    def _put(self, item: Item) -> None:
        self._waiting.append(item)
        # One job for each item; all but the first find that it has been done already.
        self._writes.do(self._write)

    def _gather(self, item: Append) -> None:
        # It goes with what is written next.
        self._waiting.append(item)
        if self._gathering is None:
            self._gathering = self._clock.callLater(LONGEST_GATHERING, self._bring)

    def _bring(self) -> None:
        self._gathering = None
        if self._waiting:
            self._writes.do(self._write)

    def _put_by(self, aside: Aside) -> None:
        self._asides.append(aside)
        if self._putting_by is None:
            self._putting_by = self._clock.callLater(LONGEST_PUT_BY, self._bring_asides)

    def _bring_asides(self) -> None:
        self._putting_by = None
        self._writes.do(self._write_asides)

    def _write_asides(self) -> None:
        # In the writer's thread.
        self._note_asides()
        try:
            self._writer.write_noted()
        except Exception:  # noqa: BLE001 (as below)
            self._reactor.callFromThread(self._put_off, Failure())

    def _note_asides(self) -> None:
        # In the writer's thread.
        self._writer.note([self._asides.popleft() for _ in range(len(self._asides))])

    def _write(self) -> None:
        # In the writer's thread.
        group = self._next_group()
        if not group:
            return
        failure: Failure | None = None
        generation = group[0].generation
        if self._failed is not None and generation <= self._failed[0]:
            failure = self._failed[1]
        else:
            try:
                self._writer.write(group)
                self._failed = None
            except Exception:  # noqa: BLE001 (whatever it is, those who wait have to know)
                failure = Failure()
                self._failed = (generation, failure)
        self._reactor.callFromThread(self._settle, group, failure)
        self._index_soon()

    def _next_group(self) -> list[Item]:
        group: list[Item] = []
        size = 0
        while self._waiting and size < LARGEST_GROUP:
            item = self._waiting[0]
            if group and (item.generation != group[0].generation or isinstance(item, Replace)):
                break
            group.append(self._waiting.popleft())
            if isinstance(item, Replace):
                break
            size += len(item.entries) if isinstance(item, Append) else 1
        return group

    def _index_soon(self) -> None:
        # In the writer's thread. So many at a time that they cannot become more and more.
        if self._writer.behind > MOST_BEHIND:
            self._index(LARGEST_GROUP + LOT)
        if self._writer.behind >= LOT and not self._is_to_index:
            self._is_to_index = True
            self._writes.do(self._index_at_leisure)

    def _index_at_leisure(self) -> None:
        # In the writer's thread. What waits to be written comes first, and then back to this.
        self._is_to_index = False
        if not (self._closing or self._waiting) and self._index(LOT):
            self._index_soon()

    def _index(self, most: int) -> bool:
        # In the writer's thread.
        try:
            self._writer.index(most)
        except Exception:  # noqa: BLE001 (as above)
            self._reactor.callFromThread(self._put_off, Failure())
            return False
        return True

    def _put_off(self, failure: Failure) -> None:
        # Nothing is lost: it is tried again, and a search reads what is not in the index.
        if not self._is_putting_off:
            self._is_putting_off = True
            self._log.warn("{problem}", problem=self._in_words(failure))

    def _settle(self, group: list[Item], failure: Failure | None) -> None:
        if failure is not None:
            self._not_written(group, failure)
            return
        self._is_failing = False
        for item in group:
            self._written(item)
        for item in group:
            match item:
                case Append() | Plain() | Offer() | Record() | Replace():
                    item.done.callback(None)
                case Fork():
                    item.done.callback(item.is_news)

    def _written(self, item: Item) -> None:
        match item:
            case Append():
                for (room, author), entry in item.ends.items():
                    self._stored.setdefault(room, {})[author] = (entry.seq, entry.hash)
                for entry in item.entries:
                    if entry.author == self._owner:
                        if entry.seq == self.offered(entry.room):
                            # What was offered by that number may never have been kept.
                            self._offers[entry.room] = (entry.seq, entry.hash)
                    elif entry.said.kind == TEXT:
                        self._unread[entry.room] += 1
                        self._first_unread.setdefault((entry.room, entry.author), entry.seq)
                self._settled = item.number + len(item.entries) - 1
            case Plain():
                self._settled = item.number
            case Offer():
                self._offers[item.room] = item.head
            case Record():
                self._records[item.record.room] = item.record
            case Replace():
                room, author = item.chain
                self._replacing.discard(room)
                for known in (self._stored, self._heads):
                    heads = known.setdefault(room, {})
                    heads[author] = item.head
                    if item.head[0] == 0:
                        del heads[author]
                if item.shown is not None:
                    self._offers[room] = self._offering[room] = item.shown

    def _not_written(self, group: list[Item], failure: Failure) -> None:
        if group[0].generation == self._generation:
            self._generation += 1
            self._heads = self._copy_of_stored()
            self._offering = dict(self._offers)
            self._problem = self._in_words(failure)
            if not self._is_failing:
                self._is_failing = True
                self._log.warn("{problem}", problem=self._problem)
        for item in group:
            match item:
                case Plain():
                    if not item.is_ours and item.number > self._seen.get(item.address, 0):
                        self._unread[item.address] -= 1
                case Replace():
                    self._replacing.discard(item.chain[0])
        for item in group:
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
        return self._ask(lambda: self._reader.read(room, author, after, most_bytes))

    def history(
        self, place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said: see `twistedchat.interfaces.IJournal`.
        """
        return self._ask(lambda: self._reader.history(place, since, before, most))

    def search(
        self, words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find texts: see `twistedchat.interfaces.IJournal`.
        """
        return self._ask(lambda: self._reader.search(words, place, before, most))

    def around(self, line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Read what stands around a line: see `twistedchat.interfaces.IJournal`.
        """
        return self._ask(lambda: self._reader.around(line, most))

    def _ask(self, look: Callable[[], T]) -> Deferred[T]:
        if self._closing:
            return fail(self._closed())
        done: Deferred[T] = Deferred()

        def job() -> None:
            # In the reader's thread.
            try:
                answer = look()
            except Exception:  # noqa: BLE001 (as above)
                self._reactor.callFromThread(not_read, Failure())
            else:
                self._reactor.callFromThread(done.callback, answer)

        def not_read(failure: Failure) -> None:
            done.errback(StoreError(self._in_words(failure)))

        self._reads.do(job)
        return done

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
            for timer in (self._gathering, self._putting_by):
                if timer is not None:
                    timer.cancel()
            self._bring()
            self._reads.do(self._close_reader)
        return closed

    def _close_reader(self) -> None:
        # In the reader's thread. The writer comes last: whoever does writes the log that SQLite
        # keeps beside the file into it.
        self._reader.close()
        self._reactor.callFromThread(self._writes.do, self._close_writer)

    def _close_writer(self) -> None:
        # In the writer's thread.
        self._note_asides()
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


def _follow(entry: Entry, head: Head) -> None:
    if (entry.seq - 1, entry.prev) != head:
        raise ValueError(f"entry {entry.seq} does not follow entry {head[0]}")


def _writable(text: str) -> str:
    # Half a character has no UTF-8.
    return text.encode("utf-8", "replace").decode()
