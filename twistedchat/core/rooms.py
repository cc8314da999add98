"""
Rooms: who founded one, who is in it, and whose words count there.

All of that is told by the entries of the room itself, so that everybody who holds the same entries
finds the same. The founder's first entry names the room. Every member may add others; the founder
alone may remove somebody, and says how much of what they wrote still counts; everybody may leave.
Specified in ``docs/protocol-secure.md``. Without any I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from twistedchat.core.entries import LARGEST_NUMBER, Entry
from twistedchat.core.errors import InvalidKey
from twistedchat.core.identity import DeviceKey, parse_key

__all__ = [
    "ADD",
    "FOUND",
    "LEAVE",
    "LONGEST_NAME",
    "MEMBERSHIP",
    "MOST_ADDS",
    "MOST_BRACKETS",
    "MOST_MEMBERS",
    "NONCE_LENGTH",
    "REMOVE",
    "Member",
    "Membership",
    "adding",
    "founding",
    "leaving",
    "order_of",
    "removing",
    "room_of",
]

# The kinds of entries that tell who is in a room.
FOUND = "found"
ADD = "add"
REMOVE = "remove"
LEAVE = "leave"
MEMBERSHIP = frozenset({FOUND, ADD, REMOVE, LEAVE})

# Characters of a room's name, and of a member's: as of a team name.
LONGEST_NAME = 64

# Octets of what makes a room's name unlike any other.
NONCE_LENGTH = 16

# People who were ever in one room: more than any hall holds, and what each node of a room tells of
# all of them fits into one frame.
MOST_MEMBERS = 300

# Times that one member may add somebody: as many as there can be, and what one that floods a room
# makes everybody keep.
MOST_ADDS = MOST_MEMBERS

# Opening brackets in what says who is in a room. Two names have at most half of these, and a reader
# that goes into each would come to the end of its stack, on one node sooner than on another.
MOST_BRACKETS = 256

_Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
# Not "$" at the end, which a line break may follow.
_Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]


class _Founding(msgspec.Struct, frozen=True):
    name: _Name
    nonce: Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * NONCE_LENGTH}}}\Z")]
    by: _Name


class _Adding(msgspec.Struct, frozen=True, omit_defaults=True):
    key: _Key
    name: _Name
    seq: _Count = 0


class _Removing(msgspec.Struct, frozen=True):
    key: _Key
    seq: _Count


_Body = TypeVar("_Body", _Founding, _Adding, _Removing)


@dataclass(frozen=True, slots=True)
class Member:
    """
    Somebody who is in a room, or was.

    Attributes:
        key: Who.
        name: What the one who added them called them.
        is_in: Whether they are in the room now.
        last: The number of their last entry that counts; ``None`` where there is no end.
    """

    key: DeviceKey
    name: str
    is_in: bool
    last: int | None


def room_of(founder: DeviceKey, nonce: bytes) -> bytes:
    """
    The room that somebody founds.

    Args:
        founder: Who.
        nonce: `NONCE_LENGTH` random octets.

    Returns:
        The 32 octets that name it: nobody else can found the same.
    """
    return sha256(b"twistedchat room 1\n" + founder.raw + nonce).digest()


def founding(name: str, nonce: bytes, by: str) -> tuple[str, str]:
    """
    What the first entry of a room says.

    Args:
        name: What the room is called.
        nonce: What it was made with.
        by: What the founder is called.

    Returns:
        The kind and the body of an entry.
    """
    return _said(FOUND, _Founding(name, nonce.hex(), by))


def adding(key: DeviceKey, name: str, seq: int = 0) -> tuple[str, str]:
    """
    Add somebody, or let somebody in again.

    Args:
        key: Whom.
        name: What they are called.
        seq: The number of their last entry that we hold: if they left with it, or before, they are
            back. No clock tells which came first.

    Returns:
        The kind and the body of an entry.
    """
    return _said(ADD, _Adding(str(key), name, seq))


def removing(key: DeviceKey, seq: int) -> tuple[str, str]:
    """
    Remove somebody, as the founder.

    Args:
        key: Whom.
        seq: The number of their last entry that still counts.

    Returns:
        The kind and the body of an entry.
    """
    return _said(REMOVE, _Removing(str(key), seq))


def leaving() -> tuple[str, str]:
    """
    Leave.

    Returns:
        The kind and the body of an entry.
    """
    return LEAVE, ""


def _said(kind: str, body: msgspec.Struct) -> tuple[str, str]:
    return kind, msgspec.json.encode(body).decode()


def _read(body: str, kind: type[_Body]) -> _Body:
    if body.count("[") + body.count("{") > MOST_BRACKETS:
        raise msgspec.DecodeError("too many brackets")
    return msgspec.json.decode(body, type=kind)


def order_of(entry: Entry) -> tuple[int, bytes, int]:
    """
    Where an entry stands among all of its room: total, causal, and the same for everybody.

    Args:
        entry: Which.

    Returns:
        What to sort by: the hybrid logical clock, then the author, then the number.
    """
    return entry.said.time, entry.author.raw, entry.seq


@dataclass(frozen=True, slots=True)
class _Added:
    by: DeviceKey
    seq: int
    time: int
    key: DeviceKey
    name: str
    seen: int


class Membership:
    """
    Who is in a room, found from its entries in whatever order they come.

    A removal says how far the entries of the removed still count, and so does leaving; what they
    write after that, with whatever time, is no part of the room. The founder's word about somebody
    is the last: whom they removed only they can add again; and what they say counts to its end,
    also when they have left. Otherwise it would depend on the order in which entries come.

    Args:
        room: The 32 octets that name it.

    Attributes:
        room: The same.
        founder: Who founded it; ``None`` while that has not been told.
        name: What it is called; empty likewise.
        nonce: What it was made with; ``None`` likewise.
    """

    def __init__(self, room: bytes) -> None:
        self.room = room
        self.founder: DeviceKey | None = None
        self.name = ""
        self.nonce: bytes | None = None
        self._founder_name = ""
        self._added: list[_Added] = []
        self._adds: Counter[DeviceKey] = Counter()
        # Of those who left: the numbers of the entries that say so, in order.
        self._left: dict[DeviceKey, list[int]] = {}
        # Whom the last word of the removers was to remove, by who says so: how far their entries
        # still count, and the number of the entry that says so.
        self._removed: dict[DeviceKey, dict[DeviceKey, tuple[int, int]]] = {}
        self._members: dict[DeviceKey, Member] = {}

    def take(self, entries: Iterable[Entry]) -> bool:
        """
        Learn from entries; those of other kinds tell nothing.

        Args:
            entries: Of this room, checked; of each author in order.

        Returns:
            Whether anything is known now that was not.
        """
        before = self._members
        learnt = [self._learn(entry) for entry in entries]
        if any(learnt):
            self._members = self._evaluate()
        return self._members != before

    def members(self) -> list[Member]:
        """
        Everybody who is in the room or ever was, the founder first, then as they were added.
        """
        return list(self._members.values())

    def is_member(self, key: DeviceKey) -> bool:
        """
        Whether somebody is in the room now.
        """
        member = self._members.get(key)
        return member is not None and member.is_in

    def find(self, key: DeviceKey) -> Member | None:
        """
        Somebody who is in the room, or was.
        """
        return self._members.get(key)

    def left_with(self, key: DeviceKey) -> int:
        """
        The number of the last entry with which somebody left; 0 where they never did.
        """
        return self._left.get(key, [0])[-1]

    def removed_by(self, key: DeviceKey) -> int:
        """
        The number of the founder's entry that has removed somebody; 0 where there is none.
        """
        return self._removals.get(key, (0, 0))[1]

    @property
    def _removals(self) -> dict[DeviceKey, tuple[int, int]]:
        # Nobody else can remove anybody.
        return self._removed.get(self.founder, {}) if self.founder is not None else {}

    def counts(self, author: DeviceKey, seq: int) -> bool:
        """
        Whether an entry is part of the room.

        Args:
            author: Whose.
            seq: Its number.

        Returns:
            Whether its author was in the room, and is not beyond their end.
        """
        member = self._members.get(author)
        return member is not None and (member.last is None or seq <= member.last)

    def _learn(self, entry: Entry) -> bool:
        said, author = entry.said, entry.author
        try:
            match said.kind:
                case "found":
                    return self._found(entry, _read(said.body, _Founding))
                case "add":
                    adding = _read(said.body, _Adding)
                    key = parse_key(adding.key)
                    self._adds[author] += 1
                    if self._adds[author] > MOST_ADDS:
                        return False
                    self._added.append(
                        _Added(author, entry.seq, said.time, key, adding.name, adding.seq)
                    )
                    self._removed.get(author, {}).pop(key, None)
                case "remove":
                    removing = _read(said.body, _Removing)
                    key = parse_key(removing.key)
                    self._removed.setdefault(author, {})[key] = (removing.seq, entry.seq)
                case "leave":
                    self._left.setdefault(author, []).append(entry.seq)
                case _:
                    return False
        except (msgspec.DecodeError, UnicodeError, InvalidKey):
            # Signed nonsense: kept as an entry, and no part of anything.
            return False
        return True

    def _found(self, entry: Entry, founding: _Founding) -> bool:
        nonce = bytes.fromhex(founding.nonce)
        if entry.seq != 1 or room_of(entry.author, nonce) != self.room:
            return False
        self.founder = entry.author
        self.name = founding.name
        self.nonce = nonce
        self._founder_name = founding.by
        return True

    def _evaluate(self) -> dict[DeviceKey, Member]:
        if self.founder is None:
            return {}
        names = {self.founder: self._founder_name}
        # How much of what somebody said had been seen by whoever let them in last.
        seen: dict[DeviceKey, int] = {}
        # Adding makes members, whose adding makes more, or lets somebody back in; it never takes
        # anybody out, so this comes to an end.
        waiting = sorted(self._added, key=lambda add: (add.time, add.by.raw, add.seq))
        while True:
            still: list[_Added] = []
            for add in waiting:
                last = self._last_of(add.by, seen)
                if add.by not in names or (last is not None and add.seq > last):
                    still.append(add)
                elif len(names) < MOST_MEMBERS or add.key in names:
                    names[add.key] = names.get(add.key) or add.name
                    seen[add.key] = max(add.seen, seen.get(add.key, 0))
            if len(still) == len(waiting):
                break
            waiting = still
        return {
            key: Member(key, name, last is None and self._end_of(key, seen) is None, last)
            for key, name in names.items()
            for last in [self._last_of(key, seen)]
        }

    def _last_of(self, key: DeviceKey, seen: dict[DeviceKey, int]) -> int | None:
        if key == self.founder:
            return None
        ends = (self._removals.get(key, (None, 0))[0], self._end_of(key, seen))
        return min((end for end in ends if end is not None), default=None)

    def _end_of(self, key: DeviceKey, seen: dict[DeviceKey, int]) -> int | None:
        # With what they left, if nobody has let them in again after that.
        return next((seq for seq in self._left.get(key, ()) if seq > seen.get(key, 0)), None)
