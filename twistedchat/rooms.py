"""
Rooms: where people talk, the conversation of two included, and who shares which with whom.

What is so in a room is told by its entries (`twistedchat.core.rooms`); what we have to do with it
is kept beside them.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedchat.core.buckets import TokenBuckets
from twistedchat.core.entries import NOTHING, Entry, direct_room
from twistedchat.core.errors import ChatError, InvalidKey, StoreError
from twistedchat.core.events import Event, RoomChange, RoomChanged, Speaker, StoreFailed
from twistedchat.core.frames import Card
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, parse_key
from twistedchat.core.rooms import MEMBERSHIP, Membership, room_of
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import ContactList
from twistedchat.interfaces import IJournal

__all__ = [
    "FULL_MESH",
    "INVITATIONS_AT_ONCE",
    "INVITATION_INTERVAL",
    "MOST_INVITATIONS",
    "MOST_ROOMS",
    "NEIGHBOURS",
    "Rooms",
]

# Rooms that we are in, and that we are invited to: more than anybody follows. Of invitations the
# oldest go.
MOST_ROOMS = 256
MOST_INVITATIONS = 32

# Invitations by one contact of which the person is told: some at once, as when somebody has made
# the rooms of a course, and then one in so many seconds. Others come with the next session.
INVITATIONS_AT_ONCE = 8
INVITATION_INTERVAL = 60.0

# Up to so many members everybody in a room has a session with everybody; in a larger one each dials
# so many, and is dialled by about as many.
FULL_MESH = 64
NEIGHBOURS = 8

NOBODY = "(unknown)"
YOURSELF = "(you)"


class Rooms:
    """
    The rooms that we are in.

    Args:
        our_key: Who we are.
        contacts: Whom we know.
        journal: Where rooms and entries are kept.
        publish: Tells an event.
    """

    def __init__(
        self,
        our_key: DeviceKey,
        contacts: ContactList,
        journal: IJournal,
        publish: Callable[[Event], None],
    ) -> None:
        self._our_key = our_key
        self._contacts = contacts
        self._journal = journal
        self._publish = publish
        self._direct: dict[DeviceKey, bytes] = {}
        self._mate_of: dict[bytes, DeviceKey] = {}
        self._records = {record.room: record for record in journal.rooms()}
        self._invitations = TokenBuckets(1 / INVITATION_INTERVAL, INVITATIONS_AT_ONCE)
        self._memberships: dict[bytes, Membership] = {}
        self._leaving: set[bytes] = set()
        # Those who say that we are in a room in which we are not, as far as we know, beside whoever
        # said it first.
        self._hosts: dict[bytes, dict[DeviceKey, None]] = {}
        told: dict[bytes, list[Entry]] = {}
        for entry in sorted(journal.membership(), key=lambda entry: entry.seq):
            told.setdefault(entry.room, []).append(entry)
        for room, entries in told.items():
            # All at once: what each says is gone over once for all.
            membership = self._memberships[room] = Membership(room)
            membership.take(entries)
        for record in list(self._records.values()):
            membership = self.membership(record.room)
            member = membership.find(our_key)
            # Where we do not know yet that we were let in, we know whether we have left.
            has_left = membership.left_saying(our_key) is not None
            is_out = has_left or (member is not None and not member.is_in)
            if record.stay is Stay.JOINED and is_out:
                # We ended in the middle of noting that we are not there any more.
                self._records[record.room] = replace(record, stay=Stay.LEFT)
        self._mates: dict[DeviceKey, list[bytes]] = {}
        self._find_mates()

    # Which there are.

    def all(self) -> list[RoomRecord]:
        """
        The rooms that we are in, are invited to or have left, the one we came to first first.
        """
        return list(self._records.values())

    def find(self, room: bytes) -> RoomRecord | None:
        """
        A room that is no conversation of two, whatever we have to do with it.
        """
        return self._records.get(room)

    def get(self, room: bytes) -> RoomRecord:
        """
        A room that we are in.

        Args:
            room: Which.

        Returns:
            What we know of it.

        Raises:
            ChatError: We are not in it.
        """
        record = self._records.get(room)
        is_there = record is not None and record.stay is Stay.JOINED and self.is_in(room)
        if record is None or not is_there or room in self._leaving:
            name = record.name if record else "that room"
            raise ChatError(f"You are not in {name}.")
        return record

    def is_in(self, room: bytes) -> bool:
        """
        Whether we are a member of a room, as its entries tell.
        """
        return self.membership(room).is_member(self._our_key)

    def is_awaited(self, room: bytes) -> bool:
        """
        Whether we have joined a room, and do not know yet that we are in it.
        """
        record = self._records.get(room)
        return record is not None and record.stay is Stay.JOINED and not self.is_in(room)

    def direct(self, key: DeviceKey) -> bytes:
        """
        The room of somebody and us.
        """
        room = self._direct.get(key)
        if room is None:
            room = self._direct[key] = direct_room(self._our_key, key)
            self._mate_of[room] = key
        return room

    def mate_of(self, room: bytes) -> DeviceKey | None:
        """
        With whom a conversation of two is; ``None`` for other rooms.
        """
        if room not in self._mate_of:
            for contact in self._contacts.all():
                self.direct(contact.key)
        return self._mate_of.get(room)

    # Who is in them.

    def membership(self, room: bytes) -> Membership:
        """
        What its entries tell of a room.
        """
        # What others only speak of is not kept.
        return self._memberships.get(room) or Membership(room)

    def members(self, room: bytes) -> list[Speaker]:
        """
        Who is in a room now, the founder first.
        """
        members = self.membership(room).members()
        return [self.speaker(room, member.key) for member in members if member.is_in]

    def others(self, room: bytes) -> list[DeviceKey]:
        """
        Everybody in a room but us.
        """
        if room not in self._records:
            mate = self.mate_of(room)
            return [mate] if mate is not None else []
        members = self.membership(room).members()
        return [one.key for one in members if one.is_in and one.key != self._our_key]

    def removed_by(self, room: bytes, key: DeviceKey) -> int:
        """
        The number of the founder's entry that has removed somebody from a room; 0 for none.
        """
        return self.membership(room).removed_by(key)

    def founder(self, room: bytes) -> DeviceKey | None:
        """
        Who founded a room, once that has been told.
        """
        return self.membership(room).founder

    def speaker(self, room: bytes, key: DeviceKey) -> Speaker:
        """
        What to call somebody in a room.

        Args:
            room: Where.
            key: Whom.

        Returns:
            Them, by the name that they give to us, or else by what whoever added them called them.
        """
        contact = self._contacts.find(key)
        if contact is not None:
            return Speaker(key, contact.name, contact.is_verified)
        member = self.membership(room).find(key)
        name = member.name if member else ""
        if not name and key == self._our_key:
            name = YOURSELF
        return Speaker(key, name or NOBODY)

    def counts(self, room: bytes, author: DeviceKey, seq: int) -> bool:
        """
        Whether an entry is part of its room.

        Args:
            room: Which.
            author: Whose entry.
            seq: Its number.

        Returns:
            Whether its author may say something there, and had not been removed or left before.
        """
        record = self._records.get(room)
        if record is None:
            return author == self._our_key or self.direct(author) == room
        membership = self.membership(room)
        if membership.founder is None:
            # The founder's own entries say who else there is.
            return author == record.founder
        return membership.counts(author, seq)

    def authors(
        self, room: bytes, some: Iterable[DeviceKey] | None = None
    ) -> list[tuple[DeviceKey, int | None]]:
        """
        Whose entries a room has: those first that tell who the others are.

        Args:
            room: Which.
            some: Only those who are among these, in this order.

        Returns:
            Each with the number of their last entry that counts, where there is one. Of a room that
            we are not in ours alone.
        """
        record = self._records.get(room)
        membership = self.membership(room)
        if record is not None and record.stay is Stay.JOINED and membership.founder is not None:
            if some is None:
                return [(member.key, member.last) for member in membership.members()]
            found = map(membership.find, some)
            return [(member.key, member.last) for member in found if member is not None]
        if record is None:
            authors = [self._our_key, *self.others(room)]
        elif record.stay is not Stay.JOINED:
            # That we left is all that we still have to tell there.
            authors = [self._our_key]
        else:
            authors = [record.founder]
        if some is not None:
            authors = [key for key in some if key in authors]
        return [(key, None) for key in authors]

    # With whom we share them.

    def shared_with(self, key: DeviceKey) -> list[bytes]:
        """
        The rooms of which somebody may be told.

        Args:
            key: Whom.

        Returns:
            The conversation with them, where they are a contact; and the rooms that both are in.
        """
        contact = self._contacts.find(key)
        if contact is not None and contact.is_blocked:
            return []
        return [*([self.direct(key)] if contact else []), *self._mates.get(key, ())]

    def is_mate(self, key: DeviceKey) -> bool:
        """
        Whether somebody is in a room with us.
        """
        return key in self._mates

    def mates(self) -> list[DeviceKey]:
        """
        Everybody who is in a room with us.
        """
        return list(self._mates)

    def is_large(self, room: bytes) -> bool:
        """
        Whether not everybody in a room has a session with everybody.
        """
        return len(self.others(room)) >= FULL_MESH

    def neighbours(self, is_away: Callable[[DeviceKey], bool]) -> list[DeviceKey]:
        """
        With whom we should have a session for the rooms' sake.

        Args:
            is_away: Tells of somebody whether they were dialled in vain.

        Returns:
            In small rooms everybody, and where we wait to be let in whoever founded it. In large
            ones a few, so that each node has about twice as many and all hang together, namely
            those that follow us in the order of keys, as on a ring. Those who are away among them
            are no help, and so do not count.
        """
        wanted: dict[DeviceKey, None] = {}
        for record in self._records.values():
            if record.stay is not Stay.JOINED:
                continue
            others = sorted(self.others(record.room))
            if len(others) >= FULL_MESH:
                after = bisect(others, self._our_key)
                others = others[after:] + others[:after]
                here = [place for place, key in enumerate(others, 1) if not is_away(key)]
                others = others[: here[NEIGHBOURS - 1] if len(here) >= NEIGHBOURS else None]
            if self.is_awaited(record.room) and record.founder != self._our_key:
                others.append(record.founder)
            wanted.update(dict.fromkeys(others))
        return list(wanted)

    def _find_mates(self) -> None:
        mates: dict[DeviceKey, list[bytes]] = {}
        for record in self._records.values():
            for key in self._mates_in(record):
                mates.setdefault(key, []).append(record.room)
        self._mates = mates

    def _mates_in(self, record: RoomRecord) -> list[DeviceKey]:
        membership, others = self.membership(record.room), self.others(record.room)
        if not membership.is_member(self._our_key):
            # Whoever invited us can tell us more, and so can all of whom we know already, and the
            # founder: whoever invited us may be gone.
            hosts = (*others, record.inviter, record.founder, *self._hosts.get(record.room, ()))
            others = [key for key in dict.fromkeys(hosts) if key != self._our_key]
        if record.stay is Stay.JOINED:
            return others
        # Those who do not know that we have left: they would wait for us for ever.
        last = membership.left_with(self._our_key)
        return [key for key in others if self._journal.receipt(record.room, key) < last]

    def acknowledged(self, room: bytes) -> bool:
        """
        Somebody has got what we said in a room.

        Args:
            room: Which.

        Returns:
            Whether we may share less with them now.
        """
        record = self._records.get(room)
        if record is None or record.stay is Stay.JOINED:
            return False
        self._find_mates()
        return True

    # What changes.

    def keep(
        self, record: RoomRecord, change: RoomChange | None, by: Speaker | None = None
    ) -> Deferred[None]:
        """
        Remember what we have to do with a room from now on.

        Args:
            record: The room.
            change: What has happened; ``None`` where it is not to be told yet.
            by: Who did it; ``None`` for ourselves.

        Returns:
            Fires when it is on the disk, and has been told; or fails with `StoreError`, and nothing
            has changed.
        """
        before = self._records.get(record.room)
        self._records[record.room] = record
        self._find_mates()

        def kept(_: None) -> None:
            if change is not None:
                self._publish(RoomChanged(record, change, by))

        def not_kept(failure: Failure) -> Failure:
            if self._records.get(record.room) is record:
                del self._records[record.room]
                if before is not None:
                    self._records[record.room] = before
                self._find_mates()
            return failure

        return self._journal.keep_room(record).addCallbacks(kept, not_kept)

    def stored(self, room: bytes, entries: Sequence[Entry]) -> bool:
        """
        Learn from entries that are in the journal now.

        Args:
            room: Of which room.
            entries: Of one author, in order.

        Returns:
            Whether somebody is in the room who was not, or the other way round.
        """
        record = self._records.get(room)
        if record is None or not any(entry.said.kind in MEMBERSHIP for entry in entries):
            return False
        membership = self._memberships.setdefault(room, Membership(room))
        before = {member.key for member in membership.members() if member.is_in}
        if not membership.take(entries):
            return False
        self._find_mates()
        after = {member.key for member in membership.members() if member.is_in}
        is_new = not before
        if self._our_key in before - after and entries[0].author != self._our_key:
            self.keep(replace(record, stay=Stay.LEFT), RoomChange.REMOVED).addErrback(
                self._tell_store_failed
            )
        for key in sorted(after - before - {self._our_key}):
            if not is_new:
                self._tell(record, RoomChange.CAME, key)
        for key in sorted(before - after - {self._our_key}):
            self._tell(record, RoomChange.WENT, key)
        if self._our_key in after - before and record.founder != self._our_key:
            self._publish(RoomChanged(record, RoomChange.JOINED, None))
        return True

    def _tell_store_failed(self, failure: Failure) -> None:
        failure.trap(StoreError)
        self._publish(StoreFailed(failure.getErrorMessage()))

    def _tell(self, record: RoomRecord, change: RoomChange, key: DeviceKey) -> None:
        self._publish(RoomChanged(record, change, self.speaker(record.room, key)))

    def card(self, room: bytes, key: DeviceKey) -> Card | None:
        """
        What to invite somebody with.

        Args:
            room: To which room.
            key: Whom.

        Returns:
            The invitation; ``None`` where they are not in it, or we do not know enough ourselves.
        """
        record = self._records.get(room)
        membership = self.membership(room)
        if record is None or membership.founder is None or membership.nonce is None:
            return None
        if record.stay is not Stay.JOINED or not membership.is_member(key):
            return None
        heads = self._journal.stored_heads(room)
        return Card(
            room=room.hex(),
            name=membership.name,
            founder=str(membership.founder),
            nonce=membership.nonce.hex(),
            seen=heads.get(key, (0, NOTHING))[0],
            word=heads.get(membership.founder, (0, NOTHING))[0],
            mine=heads.get(self._our_key, (0, NOTHING))[0],
        )

    def invited(self, card: Card, inviter: DeviceKey, now: float) -> bool:
        """
        Somebody says that we are a member of a room.

        It is remembered until the person answers, and not on the disk: with the next session it is
        said again.

        Args:
            card: The room.
            inviter: Who says so.
            now: The time, in seconds.

        Returns:
            Whether we may share more with them now.
        """
        room = bytes.fromhex(card.room)
        before = self._records.get(room)
        try:
            founder = parse_key(card.founder)
        except InvalidKey:
            return False
        if room_of(founder, bytes.fromhex(card.nonce)) != room:
            return False
        if before is not None and before.stay is not Stay.LEFT:
            return not self.is_in(room) and self._add_host(room, inviter)
        membership = self.membership(room)
        has_heard = card.seen >= membership.left_with(self._our_key)
        if not has_heard or card.word < membership.removed_by(self._our_key):
            # They do not know yet that we are not there any more, and so do not want us back.
            if before is None:
                # We ended in the middle of declining it, and have to tell them.
                self._records[room] = RoomRecord(room, Stay.LEFT, card.name, founder, inviter)
            if not has_heard:
                # Whatever they told before: their journal may be an old copy.
                self._journal.keep_receipt(room, inviter, card.seen)
            return self._add_host(room, inviter)
        if not self._invitations.take(inviter, now):
            return False
        self._hosts.pop(room, None)
        waiting = [one.room for one in self._records.values() if one.stay is Stay.INVITED]
        if len(waiting) >= MOST_INVITATIONS:
            oldest = waiting[0]
            del self._records[oldest]
            # It may be one that we had left.
            kept = [one for one in self._journal.rooms() if one.room == oldest]
            self._records.update((one.room, one) for one in kept)
        record = self._records[room] = RoomRecord(room, Stay.INVITED, card.name, founder, inviter)
        self._find_mates()
        self._publish(RoomChanged(record, RoomChange.INVITED, self.speaker(room, inviter)))
        return False

    def hosts(self, room: bytes) -> list[DeviceKey]:
        """
        Those who say that we are in a room, beside whoever said it first.
        """
        return list(self._hosts.get(room, ()))

    def _add_host(self, room: bytes, key: DeviceKey) -> bool:
        self._hosts.setdefault(room, {})[key] = None
        before = room in self._mates.get(key, ())
        self._find_mates()
        return not before and room in self._mates.get(key, ())

    @contextmanager
    def leaving(self, room: bytes) -> Iterator[None]:
        """
        Say nothing in a room any more, since it is being left.

        Args:
            room: Which.

        Yields:
            Nothing; if it has not been left at the end, things can be said there again.
        """
        self._leaving.add(room)
        try:
            yield
        finally:
            self._leaving.discard(room)

    def check_room_for_more(self) -> None:
        """
        See whether another room can be had.

        Raises:
            ChatError: There are too many.
        """
        joined = [one for one in self._records.values() if one.stay is Stay.JOINED]
        if len(joined) >= MOST_ROOMS:
            raise ChatError(f"You are in {len(joined)} rooms already: leave one first.")

    def with_stay(self, room: bytes, stay: Stay) -> RoomRecord:
        """
        A room's record, with something else that we have to do with it.

        Args:
            room: Which.
            stay: What.

        Returns:
            The record, to be kept.

        Raises:
            ChatError: It is not known, or that is so already.
        """
        record = self._records.get(room)
        if record is None or record.stay is Stay.LEFT:
            raise ChatError("There is no such room.")
        if stay is record.stay:
            raise ChatError(f"You are in {safe_text(record.name)} already.")
        return replace(record, stay=stay)
