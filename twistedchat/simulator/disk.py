"""
The disk of a machine in a simulation, and the journal that a node keeps there.

What has been committed stays, whatever happens to the machine; what has not is gone with it.
Between a commit and the moment in which the node hears of it some time goes by, and it can be
killed then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from twistedchat.core.addresses import Address
from twistedchat.core.entries import MOST_AHEAD, NOTHING, TEXT, Entry
from twistedchat.core.errors import StoreError
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, line_of
from twistedchat.core.identity import DeviceKey
from twistedchat.core.rooms import MEMBERSHIP, order_of
from twistedchat.core.sync import Chain
from twistedchat.core.trust import Contact
from twistedchat.interfaces import IJournal
from twistedchat.simulator.network import Machine

__all__ = ["AFTER", "BEFORE", "BETWEEN", "TRAPS", "Disk", "SimulatedJournal"]

# Seconds that a commit takes: an SSD, a disk, and a busy one.
COMMITS = (0.0002, 0.01, 0.3)

Head = tuple[int, bytes]


@dataclass(slots=True)
class Disk:
    """
    What stays when a machine is switched off.

    Attributes:
        chains: The entries, by room and author, in order.
        rooms: What is known of the rooms beside them.
        receipts: How far others hold our entries, by room and holder.
        offers: How far our entries may have been seen, by room.
        forks: The proofs that authors have lied.
        looked: How many texts of others the person has seen, by place.
        contacts: Whom the node knows.
        is_full: Whether nothing can be written.
    """

    chains: dict[Chain, list[Entry]] = field(default_factory=dict)
    rooms: dict[bytes, RoomRecord] = field(default_factory=dict)
    receipts: dict[tuple[bytes, DeviceKey], int] = field(default_factory=dict)
    offers: dict[bytes, int] = field(default_factory=dict)
    forks: dict[Chain, Entry] = field(default_factory=dict)
    looked: dict[Place, int] = field(default_factory=dict)
    contacts: list[Contact] = field(default_factory=list)
    is_full: bool = False

    def copy(self) -> Disk:
        """
        A backup.
        """
        return deepcopy(self)

    def entries(self, room: bytes) -> list[Entry]:
        """
        All that was said in a room, in its order.
        """
        found = [one for chain, those in self.chains.items() if chain[0] == room for one in those]
        return sorted(found, key=order_of)

    def texts(self, room: bytes, but_of: DeviceKey) -> int:
        """
        How many texts of others there are in a room.

        Args:
            room: Which.
            but_of: Whose are not counted.
        """
        return sum(
            one.said.kind == TEXT
            for (of, author), those in self.chains.items()
            if of == room and author != but_of
            for one in those
        )


# Where a node can be killed, around its next commit.
BEFORE = "before its next commit"
BETWEEN = "after its next commit, before it hears of it"
AFTER = "when it has heard of its next commit"
TRAPS = (BEFORE, BETWEEN, AFTER)


@dataclass(slots=True)
class _Job:
    apply: Callable[[Disk], object]
    done: Callable[[object], None]
    fail: Callable[[StoreError], None]


@implementer(IJournal)
class SimulatedJournal:
    """
    A journal on a simulated disk: see `IJournal`.

    Args:
        machine: Where the node runs.
        disk: What it keeps.
        owner: Whose it is.
        chance: Tells how long things take.
        committed: Told of entries that are on the disk now.
        trap: Told when the node is to be killed.

    Attributes:
        trap_at: Where it is to be killed, if so.
        fails: How many commits have failed.
        time_to_tell: What `last_time` answers instead of the truth, for somebody who lies about it.
    """

    def __init__(
        self,
        machine: Machine,
        disk: Disk,
        owner: DeviceKey,
        chance: Random,
        committed: Callable[[Sequence[Entry]], None],
        trap: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._disk = disk
        self._owner = owner
        self._chance = chance
        self._pace = chance.choice(COMMITS)
        self._committed = committed
        self._trap = trap
        self.trap_at: str | None = None
        self.fails = 0
        self.time_to_tell: int | None = None
        self._waiting: list[_Job] = []
        self._undone: list[Callable[[], None]] = []
        self._is_writing = False
        self._closing: list[Deferred[None]] = []
        self._stored: dict[bytes, dict[DeviceKey, Head]] = {}
        self._times: dict[bytes, int] = {}
        self._texts: Counter[Place] = Counter()
        for (room, author), entries in disk.chains.items():
            if entries:
                self._stored.setdefault(room, {})[author] = (entries[-1].seq, entries[-1].hash)
                self._note_times(entries)
                self._count_texts(entries)
        self._heads = self._copy_of_stored()
        self._receipts = dict(disk.receipts)
        self._offers = dict(disk.offers)
        self._looked = dict(disk.looked)
        self._rooms = dict(disk.rooms)

    def _copy_of_stored(self) -> dict[bytes, dict[DeviceKey, Head]]:
        return {room: dict(heads) for room, heads in self._stored.items()}

    def _note_times(self, entries: Sequence[Entry]) -> None:
        latest = int(self._machine.seconds() * 1_000_000) + MOST_AHEAD
        for entry in entries:
            if entry.said.time <= latest:
                self._times[entry.room] = max(self._times.get(entry.room, 0), entry.said.time)

    def _count_texts(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.said.kind == TEXT and entry.author != self._owner:
                self._texts[entry.room] += 1

    @property
    def is_busy(self) -> bool:
        """
        Whether something is being written, or is written and the node does not know yet.
        """
        return bool(self._waiting) or self._is_writing

    # What is known without looking.

    def heads(self, room: bytes) -> dict[DeviceKey, Head]:
        """
        How far each author's entries reach: see `IJournal`.
        """
        return dict(self._heads.get(room, ()))

    def stored_heads(self, room: bytes) -> dict[DeviceKey, Head]:
        """
        How far they reach on the disk: see `IJournal`.
        """
        return dict(self._stored.get(room, ()))

    def last_time(self, room: bytes) -> int:
        """
        The largest time of any entry: see `IJournal`.
        """
        return self._times.get(room, 0) if self.time_to_tell is None else self.time_to_tell

    def receipt(self, room: bytes, holder: DeviceKey) -> int:
        """
        How far another node holds our entries: see `IJournal`.
        """
        return self._receipts.get((room, holder), 0)

    def offered(self, room: bytes) -> int:
        """
        How far ours may have been seen: see `IJournal`.
        """
        return self._offers.get(room, 0)

    def rooms(self) -> list[RoomRecord]:
        """
        The rooms: see `IJournal`.
        """
        return list(self._rooms.values())

    def membership(self) -> list[Entry]:
        """
        The entries that tell who is where: see `IJournal`.
        """
        return [
            entry
            for entries in self._disk.chains.values()
            for entry in entries
            if entry.said.kind in MEMBERSHIP
        ]

    def unread(self, place: Place) -> int:
        """
        How many texts came since the person looked: see `IJournal`.
        """
        return self._texts[place] - self._looked.get(place, 0)

    def read_to(self, room: bytes, author: DeviceKey) -> int:
        """
        How far the person has seen what the other one of two said: see `IJournal`.
        """
        head, _ = self._stored.get(room, {}).get(author, (0, NOTHING))
        said = self._disk.chains.get((room, author), ())
        texts = (entry.seq for entry in said if entry.said.kind == TEXT)
        first = next(islice(texts, self._looked.get(room, 0), None), head + 1)
        return min(first - 1, head)

    def addresses_unread(self) -> list[Address]:
        """
        Nowhere: nobody speaks plain in these lives. See `IJournal`.
        """
        return []

    # What is written.

    def append(self, entries: Sequence[Entry], *, is_urgent: bool = True) -> Deferred[None]:
        """
        Keep entries: see `IJournal`.

        Raises:
            ValueError: One does not follow its author's head, or the last is not signed.
        """
        for entry in entries:
            seq, last = self._heads.get(entry.room, {}).get(entry.author, (0, NOTHING))
            if (entry.seq - 1, entry.prev) != (seq, last):
                raise ValueError(f"entry {entry.seq} does not follow entry {seq}")
            self._heads.setdefault(entry.room, {})[entry.author] = (entry.seq, entry.hash)
        if not entries[-1].signature:
            raise ValueError("the last entry is not signed")
        self._note_times(entries)

        def apply(disk: Disk) -> None:
            for entry in entries:
                disk.chains.setdefault((entry.room, entry.author), []).append(entry)
            self._committed(entries)

        return self._put(apply, lambda _: self._now_stored(entries))

    def _now_stored(self, entries: Sequence[Entry]) -> None:
        self._count_texts(entries)
        for entry in entries:
            self._stored.setdefault(entry.room, {})[entry.author] = (entry.seq, entry.hash)

    def replace(
        self, room: bytes, after: int, entries: Sequence[Entry], offered: int
    ) -> Deferred[None]:
        """
        Write our own entries anew: see `IJournal`.
        """
        chain = (room, self._owner)

        def apply(disk: Disk) -> None:
            disk.chains[chain] = [*disk.chains[chain][:after], *entries]
            disk.offers[room] = offered
            self._committed(entries)

        def known(_: object) -> None:
            left = self._disk.chains.get(chain)
            for heads in (self._heads.setdefault(room, {}), self._stored.setdefault(room, {})):
                heads.pop(self._owner, None)
                if left:
                    heads[self._owner] = (left[-1].seq, left[-1].hash)
            self._offers[room] = offered

        return self._put(apply, known)

    def offered_head(self, room: bytes) -> Head:
        """
        The last of ours that is kept and may have been seen: see `IJournal`.
        """
        ours = self._disk.chains.get((room, self._owner), [])[: self.offered(room)]
        return (ours[-1].seq, ours[-1].hash) if ours else (0, NOTHING)

    def offer(self, room: bytes, seq: int, digest: bytes) -> Deferred[None]:
        """
        Others may see ours from now on: see `IJournal`.
        """

        def apply(disk: Disk) -> None:
            disk.offers[room] = max(seq, disk.offers.get(room, 0))

        def known(_: object) -> None:
            self._offers[room] = max(seq, self._offers.get(room, 0))

        return self._put(apply, known)

    def keep_receipt(self, room: bytes, holder: DeviceKey, seq: int) -> None:
        """
        Remember how far another node holds our entries: see `IJournal`.
        """
        self._receipts[room, holder] = seq
        self._put_quietly(lambda disk: disk.receipts.update({(room, holder): seq}))

    def keep_fork(self, entry: Entry) -> Deferred[bool]:
        """
        Keep the proof that an author lied: see `IJournal`.
        """
        chain = (entry.room, entry.author)

        def apply(disk: Disk) -> bool:
            is_news = chain not in disk.forks
            disk.forks.setdefault(chain, entry)
            return is_news

        return self._put(apply, lambda _: None)

    def keep_room(self, record: RoomRecord) -> Deferred[None]:
        """
        Remember a room: see `IJournal`.
        """

        def apply(disk: Disk) -> None:
            disk.rooms[record.room] = record

        return self._put(apply, lambda _: self._rooms.update({record.room: record}))

    def keep_contacts(self, contacts: list[Contact]) -> Deferred[None]:
        """
        Write the contacts down.
        """

        def apply(disk: Disk) -> None:
            disk.contacts = contacts

        return self._put(apply, lambda _: None)

    def keep_plain(
        self, address: Address, name: str | None, text: str, *, is_ours: bool, time: float
    ) -> Deferred[None]:
        """
        Keep no classic message: there is none here.
        """
        return succeed(None)

    def looked_at(self, place: Place) -> None:
        """
        The person has looked: see `IJournal`.
        """
        texts = self._looked[place] = self._texts[place]
        self._put_quietly(lambda disk: disk.looked.update({place: texts}))

    # When it is written.

    def _put_quietly(self, apply: Callable[[Disk], object]) -> None:
        self._put(apply, lambda _: None).addErrback(lambda failure: failure.trap(StoreError))

    def _put(
        self, apply: Callable[[Disk], object], known: Callable[[object], None]
    ) -> Deferred[Any]:
        if self._closing:
            return fail(StoreError("The journal is closed."))
        done: Deferred[Any] = Deferred()

        def told(result: object) -> None:
            known(result)
            done.callback(result)

        self._waiting.append(_Job(apply, told, done.errback))
        self._begin()
        return done

    def _begin(self) -> None:
        if self._waiting and not self._is_writing:
            self._is_writing = True
            self._later(self._write)

    def _later(self, call: Callable[[], None]) -> None:
        pause = self._pace * (0.2 + self._chance.random())

        def run() -> None:
            if self._machine.is_on:
                call()
            else:
                self._undone.append(call)

        self._machine.network.at(pause, run)

    def bury(self) -> None:
        """
        Let whoever waits in a killed node know that it was in vain; it is over in any case.
        """
        self._disk = Disk(is_full=True)
        self._is_writing = False
        for call in self._undone:
            call()
        self._begin()

    def _write(self) -> None:
        if self._disk.is_full:
            # All that was appended by now follows what is not there.
            group, self._waiting = self._waiting, []
            self._later(lambda: self._not_written(group))
            return
        trap, self.trap_at = self.trap_at, None
        if trap == BEFORE:
            self._trap()
            return
        count = len(self._waiting)
        if self._chance.random() < 0.3:
            count = self._chance.randint(1, count)
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        results = [job.apply(self._disk) for job in group]
        if trap == BETWEEN:
            self._undone.append(lambda: self._not_written(group))
            self._trap()
            return
        self._later(lambda: self._written(group, results, is_last=trap == AFTER))

    def _written(self, group: list[_Job], results: list[object], *, is_last: bool) -> None:
        for job, result in zip(group, results, strict=True):
            job.done(result)
        self._is_writing = False
        self._begin()
        if is_last:
            self._trap()
        self._close_if_done()

    def _not_written(self, group: list[_Job]) -> None:
        self.fails += 1
        group, self._waiting = [*group, *self._waiting], []
        self._is_writing = False
        self._heads = self._copy_of_stored()
        for job in group:
            job.fail(StoreError("The disk is full."))
        self._begin()
        self._close_if_done()

    # What is read.

    def read(
        self, room: bytes, author: DeviceKey, after: int, most_bytes: int
    ) -> Deferred[list[Entry]]:
        """
        Read consecutive entries: see `IJournal`.
        """
        done: Deferred[list[Entry]] = Deferred()

        def look() -> None:
            found: list[Entry] = []
            left = most_bytes
            for entry in self._disk.chains.get((room, author), [])[after:]:
                found.append(entry)
                left -= len(entry.said.body.encode())
                if entry.signature and left <= 0:
                    break
            while found and not found[-1].signature:
                found.pop()
            done.callback(found)

        self._later(look)
        return done

    def history(
        self, place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said in a room: see `IJournal`; of everywhere nothing is told here.
        """
        entries = self._disk.entries(place) if isinstance(place, bytes) else []
        lines = [
            line_of(number, entry, self._owner)
            for number, entry in enumerate(entries, start=1)
            if entry.said.kind == TEXT
        ]
        return succeed(lines[::-1][:most])

    def search(
        self, words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find nothing: nobody searches here.
        """
        return succeed([])

    def around(self, line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Find the line alone: nobody looks around here.
        """
        return succeed([line])

    def close(self) -> Deferred[None]:
        """
        Write what is left: see `IJournal`.
        """
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        self._close_if_done()
        return closed

    def _close_if_done(self) -> None:
        if self._closing and not (self._waiting or self._is_writing):
            closing, self._closing = self._closing, [Deferred()]
            for closed in closing:
                closed.callback(None)
