"""
Posting: what we say ourselves, into our journal first, and followed until others have it.

What is on the disk is never lost; what others may have seen is never changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedchat.core.entries import (
    LARGEST_BODY,
    NOTHING,
    TEXT,
    Entry,
    Said,
    next_time,
    sign_run,
)
from twistedchat.core.errors import ChatError, NotSent, RemoteProtocolError, StoreError
from twistedchat.core.frames import size_of
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.pieces import cut_text
from twistedchat.core.rooms import MEMBERSHIP
from twistedchat.core.sync import Forked, how_many_fit, take_run
from twistedchat.interfaces import IJournal
from twistedchat.peers.timeouts import TimeoutQueue

__all__ = ["LONGEST_RECEIPT", "MOST_READ", "Posted", "Posting"]

# Seconds for a receipt before the person is told that a text is still on its way: a stored text is
# acknowledged in milliseconds, and after this they have gone on already.
LONGEST_RECEIPT = 5.0

# Bytes of what is said that are read from the journal at one time: a full frame's worth.
MOST_READ = 48 * 1024

_Returned: TypeAlias = tuple[Entry, ...] | Forked


@dataclass(slots=True, eq=False)
class Posted:
    """
    Something of ours that is on its way into the journals of others.

    Attributes:
        room: Where.
        said: What, by kind and body, at least one.
        seq: The number of the last of it, once it is in our journal.
        stored: Fires then, or fails with `NotSent`.
        received: Fires with whether all who were there have it: ``False`` when the time is up.
        waits_for: Those who have not acknowledged it yet.
        is_awaited: Whether somebody waits for that already.
    """

    room: bytes
    said: Sequence[tuple[str, str]]
    seq: int = 0
    stored: Deferred[None] = field(default_factory=Deferred)
    received: Deferred[bool] = field(default_factory=Deferred)
    waits_for: set[DeviceKey] = field(default_factory=set)
    is_awaited: bool = False


@dataclass(slots=True, eq=False)
class _ComingBack:
    """
    Some of what we said, which somebody else has kept.
    """

    entries: tuple[Entry, ...]
    taken: Deferred[_Returned] = field(default_factory=Deferred)


class Posting:
    """
    Writes what we say.

    Args:
        clock: Tells the time and calls back.
        identity: Who we are.
        journal: Where entries are kept.
        there: Tells who shares a room with us in a session right now.
        wrote: Told of entries of ours that are on the disk, to send them.
        rewrote: Told of a room in which ours were written anew.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        identity: Identity,
        journal: IJournal,
        there: Callable[[bytes], set[DeviceKey]],
        wrote: Callable[[list[Entry]], None],
        rewrote: Callable[[bytes], None],
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._our_key = identity.key
        self._journal = journal
        self._there = there
        self._wrote = wrote
        self._rewrote = rewrote
        # How far ours are going to be offered to others, and where some are being written anew:
        # what somebody may see must not be changed, and what is being changed nobody may see.
        self._offering: dict[bytes, int] = {}
        self._rewriting: set[bytes] = set()
        # Where others hold more of what we said than we do, which comes back: see `take_back`.
        self._awaited: set[bytes] = set()
        self._coming_back: dict[bytes, deque[_ComingBack]] = {}
        # What is to be said in each room, while something else is being written there.
        self._unsaid: dict[bytes, deque[Posted]] = {}
        self._writing: set[bytes] = set()
        # Ours that somebody waits to have acknowledged, by room, in order. What is told as waiting
        # is not among them: it can be years until somebody is back.
        self._unreceived: dict[bytes, dict[Posted, None]] = {}
        self._receipts: TimeoutQueue[Posted] = TimeoutQueue(
            clock, LONGEST_RECEIPT, lambda posted: self._answer(posted, False)
        )

    def close(self) -> None:
        """
        Wait for nothing any more.
        """
        for posted in self._receipts.stop():
            self._answer(posted, False)

    def post(self, room: bytes, text: str) -> Posted:
        """
        Say something: write it into our journal, and send it to those who are there.

        What is said while something else is being written goes with the next run: one signature and
        one commit for all of it.

        Args:
            room: Where.
            text: What.

        Returns:
            The text on its way.
        """
        # What no UTF-8 can hold has no written form either.
        sayable = text.encode("utf-8", "replace").decode()
        pieces = cut_text(sayable, LARGEST_BODY, _size)
        return self.post_entries(room, [(TEXT, piece) for piece in pieces])

    def post_entries(self, room: bytes, said: Sequence[tuple[str, str]]) -> Posted:
        """
        Say something of any kind.

        Args:
            room: Where.
            said: Kinds and bodies.

        Returns:
            What is on its way.
        """
        posted = Posted(room, said)
        self._unsaid.setdefault(room, deque()).append(posted)
        if room not in self._writing:
            self._write(room)
        return posted

    def receipt_of(self, posted: Posted, *came: DeviceKey) -> Deferred[bool]:
        """
        Wait until those who are there have something.

        Args:
            posted: What, which has been stored.
            came: Who is there only since then, or has not told yet what they hold.

        Returns:
            Fires with whether they do, within a few seconds. Never fails.
        """
        posted.is_awaited = True
        if not posted.received.called:
            posted.waits_for.update(came)
            if posted.waits_for:
                self._receipts.restart(posted)
            else:
                self._answer(posted, False)
        return posted.received

    def wait_no_longer(self, posted: Posted) -> None:
        """
        Nobody waits for something to be received: when it is, that is told as an event.

        Args:
            posted: What, which has been stored.
        """
        if not posted.received.called:
            self._answer(posted, False)

    async def texts_that_wait(self, room: bytes, key: DeviceKey) -> list[str]:
        """
        Read what somebody has not received yet.

        Args:
            room: Where it was said.
            key: Who.

        Returns:
            The texts, in order.

        Raises:
            StoreError: They cannot be read.
        """
        entries = await self._read_all(room, self._journal.receipt(room, key))
        return [entry.said.body for entry in entries if entry.said.kind == TEXT]

    async def recall(self, room: bytes) -> str:
        """
        Take back our last text in a room that nobody can have seen.

        Args:
            room: Which.

        Returns:
            The text.

        Raises:
            ChatError: There is none.
            StoreError: It cannot be written.
        """
        if room in self._writing or self._unsaid.get(room):
            raise ChatError("Something is being written there just now: try again.")
        # From here on: what is said while it is read would not be among what is written anew.
        with self._writing_anew(room):
            offered = self._offered(room)
            entries = await self._read_all(room, offered)
            last = next((one for one in reversed(entries) if one.said.kind == TEXT), None)
            if last is None or self._offered(room) != offered:
                raise ChatError(
                    "There is nothing to take back: all of it may have been seen already."
                )
            if any(one.said.kind in MEMBERSHIP and one.seq > last.seq for one in entries):
                raise ChatError("It cannot be taken back: members were added or removed after it.")
            said = [entry.said for entry in entries if entry is not last]
            anew = self._signed(room, offered, entries[0].prev, said)
            await self._journal.replace(room, offered, anew, offered)
            # Before something else has its number.
            for posted in list(self._unreceived.get(room, ())):
                if posted.seq == last.seq:
                    self._forget(posted)
                elif posted.seq > last.seq:
                    posted.seq -= 1
        return last.said.body

    @contextmanager
    def _writing_anew(self, room: bytes) -> Iterator[None]:
        self._writing.add(room)
        self._rewriting.add(room)
        try:
            yield
        finally:
            self._rewriting.discard(room)
            self._writing.discard(room)
            self._go_on(room)
            self._rewrote(room)

    def _go_on(self, room: bytes) -> None:
        # What came back goes first: what is to be said follows it.
        if self._coming_back.get(room):
            self._begin_taking_back(room)
        else:
            self._write(room)

    def await_back(self, room: bytes) -> None:
        """
        Somebody holds more of what we said than we do: show nobody what would be a second version.

        Args:
            room: Where.
        """
        self._awaited.add(room)

    def no_longer_awaited(self, room: bytes) -> None:
        """
        It has come back, or will not.

        Args:
            room: Where.
        """
        if room in self._awaited:
            self._awaited.discard(room)
            self._rewrote(room)

    def take_back(self, room: bytes, entries: tuple[Entry, ...]) -> Deferred[_Returned]:
        """
        Keep what we said once and do not hold any more, where a journal was lost or is an old copy.

        What we have said since, and nobody can have seen, is written anew behind it.

        Args:
            room: Where we said it.
            entries: What somebody else has kept of it, checked.

        Returns:
            Fires with those that were lacking, when they are on the disk; or with the proof that we
            have said something else with these numbers, which others may have seen. Fails with
            `StoreError`.
        """
        coming = _ComingBack(entries)
        self._coming_back.setdefault(room, deque()).append(coming)
        if room not in self._writing:
            self._begin_taking_back(room)
        return coming.taken

    def _begin_taking_back(self, room: bytes) -> None:
        coming = self._coming_back[room].popleft()
        if not self._coming_back[room]:
            del self._coming_back[room]
        Deferred.fromCoroutine(self._take_back(room, coming.entries)).addCallbacks(
            coming.taken.callback, coming.taken.errback
        )

    async def _take_back(self, room: bytes, entries: tuple[Entry, ...]) -> _Returned:
        with self._writing_anew(room):
            head = self._journal.stored_heads(room).get(self._our_key, (0, NOTHING))
            offered = min(self._offered(room), head[0])
            ours = await self._read_all(room, offered)
            last = ours[0].prev if ours else head[1]
            try:
                taken = take_run(entries, {self._our_key: (offered, last)})
            except RemoteProtocolError:
                # What came before it could not be kept.
                return ()
            if not taken or isinstance(taken, Forked):
                return taken
            # As far as it is the same it is there already.
            common = sum(
                1 for one, other in zip(ours, taken, strict=False) if one.hash == other.hash
            )
            ours = ours[common:]
            end = taken[-1]
            if not ours:
                fresh = taken[common:]
                await self._journal.offer(room, end.seq, end.hash)
                if fresh:
                    await self._journal.append(fresh)
                return fresh
            if any(one.said.kind in MEMBERSHIP for one in ours):
                # Others' words tell of its number.
                return Forked(end)
            anew = self._signed(room, end.seq, end.hash, [one.said for one in ours])
            await self._journal.replace(room, offered, [*taken, *anew], end.seq)
            for posted in self._unreceived.get(room, ()):
                if posted.seq > offered + common:
                    posted.seq += end.seq - offered - common
            return taken

    def _offered(self, room: bytes) -> int:
        return max(self._journal.offered(room), self._offering.get(room, 0))

    def may_offer(self, room: bytes) -> bool:
        """
        Whether ours in a room may be shown to others now: not while some are written anew.

        Args:
            room: Which.
        """
        return room not in self._rewriting and room not in self._awaited

    def offer(self, room: bytes, seq: int, digest: bytes) -> Deferred[None]:
        """
        Remember that others may see ours from now on, before they do.

        Args:
            room: Where.
            seq: The number of the last one that they may see.
            digest: Its hash.

        Returns:
            Fires when it is on the disk, or fails with `StoreError`.
        """
        if self._journal.offered(room) >= seq:
            return succeed(None)
        self._offering[room] = max(seq, self._offering.get(room, 0))

        def done(result: Failure | None) -> Failure | None:
            if self._offering.get(room) == seq:
                del self._offering[room]
            return result

        return self._journal.offer(room, seq, digest).addBoth(done)

    def offer_all(self, room: bytes) -> Deferred[None]:
        """
        Remember that others may see all of ours that is kept now, before they see any of it.

        Args:
            room: Where.

        Returns:
            Fires when it is on the disk, or fails with `StoreError`.
        """
        head = self._journal.stored_heads(room).get(self._our_key, (0, NOTHING))
        return self.offer(room, *head)

    async def _read_all(self, room: bytes, after: int) -> list[Entry]:
        entries: list[Entry] = []
        while more := await self._journal.read(room, self._our_key, after, MOST_READ):
            entries += more
            after = more[-1].seq
        return entries

    def _signed(self, room: bytes, seq: int, prev: bytes, said: Sequence[Said]) -> list[Entry]:
        entries: list[Entry] = []
        rest = list(said)
        while rest:
            count = how_many_fit(rest)
            _, more = sign_run(self._identity, room, seq + 1, prev, tuple(rest[:count]))
            entries += more
            seq, prev = more[-1].seq, more[-1].hash
            rest = rest[count:]
        return entries

    def _write(self, room: bytes) -> None:
        waiting = self._unsaid.get(room)
        if not waiting:
            self._unsaid.pop(room, None)
            return
        last = self._journal.last_time(room)
        said: list[Said] = []
        going: list[Posted] = []
        budget = MOST_READ
        seq, prev = self._journal.heads(room).get(self._our_key, (0, NOTHING))
        while waiting and budget > 0:
            posted = waiting.popleft()
            going.append(posted)
            for kind, body in posted.said:
                last = next_time(self._clock.seconds(), last)
                said.append(Said(last, kind, body))
                budget -= size_of(said[-1])
            posted.seq = seq + len(said)
            if any(kind in MEMBERSHIP for kind, _ in posted.said):
                # Whoever is removed by it is shown it, with all that is proven by the same
                # signature: what is said next is none of their business.
                break
        entries = self._signed(room, seq, prev, said)
        self._writing.add(room)
        there = self._there(room) if self.may_offer(room) else set()
        writing: list[Deferred[None]] = []
        if there:
            # Before anybody can see it, as is said in `IJournal.offer`; and before it is kept: a
            # failure takes with it what is written behind it, and nothing that was before.
            writing.append(self.offer(room, entries[-1].seq, entries[-1].hash))
        writing.append(self._journal.append(entries))

        def stored(_: object) -> None:
            self._writing.discard(room)
            # Whoever came meanwhile is sent it as part of what they lack.
            for posted in going:
                posted.waits_for = there & self._there(room)
                if not posted.received.called:
                    self._unreceived.setdefault(room, {})[posted] = None
            self._wrote(entries)
            self._go_on(room)
            for posted in going:
                posted.stored.callback(None)

        def failed(failure: Failure) -> None:
            self._writing.discard(room)
            # What failed is inside: see `gatherResults`.
            reason = cast(FirstError, failure.value).subFailure
            for posted in going:
                error = NotSent(f"Not kept, and so not sent: {reason.getErrorMessage()}")
                posted.stored.errback(error)
            reason.trap(StoreError)
            self._go_on(room)

        gatherResults(writing, consumeErrors=True).addCallbacks(stored, failed).addErrback(
            lambda failure: self._log.failure("Posting failed", failure)
        )

    def acknowledged(self, room: bytes, key: DeviceKey, seq: int) -> int:
        """
        Somebody told how far they hold what we said.

        Args:
            room: Where.
            key: Who.
            seq: The number of the last entry they hold.

        Returns:
            How many entries they have got that nobody was waiting for.
        """
        before = self._journal.receipt(room, key)
        if seq <= before:
            return 0
        self._journal.keep_receipt(room, key, seq)
        waited = seq - before
        for posted in list(self._unreceived.get(room, ())):
            if posted.seq > seq:
                break
            if posted.seq <= before:
                continue
            if not posted.received.called:
                # Somebody may have waited no longer, and cancelled that.
                waited -= len(posted.said)
            posted.waits_for.discard(key)
            if not posted.waits_for:
                self._answer(posted, True)
        return waited

    def went(self, key: DeviceKey) -> None:
        """
        Somebody is not there any more: nobody waits for them.

        Args:
            key: Who.
        """
        for unreceived in list(self._unreceived.values()):
            for posted in [posted for posted in unreceived if key in posted.waits_for]:
                posted.waits_for.discard(key)
                # Whoever does not wait yet may reach them again before that.
                if posted.is_awaited and not (posted.waits_for or posted.received.called):
                    self._answer(posted, False)

    def _answer(self, posted: Posted, is_received: bool) -> None:
        self._receipts.cancel(posted)
        self._forget(posted)
        posted.received.callback(is_received)

    def _forget(self, posted: Posted) -> None:
        unreceived = self._unreceived.get(posted.room, {})
        unreceived.pop(posted, None)
        if not unreceived:
            self._unreceived.pop(posted.room, None)


def _size(text: str) -> int:
    return len(text.encode())
