"""
Rooms: who founded one, who is in it, and whose words count there.

All of that is told by the entries of the room itself, so that everybody who holds the same entries
finds the same. The founder's first entry names the room. Every member may add others; the founder
alone may remove somebody, and says how much of what they wrote still counts; everybody may leave.
Specified in ``docs/protocol-secure.md``. Without any I/O.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
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
    "MOST_BY_FOUNDER",
    "MOST_LEAVES",
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

# Octets of what makes a room's name, or a leave, unlike any other.
NONCE_LENGTH = 16

# Places in one room, which those who left keep: more than any hall holds, and what each node of a
# room tells of all of them fits into one frame.
MOST_MEMBERS = 300

# Adds of one member that say something new: as many as there can be members, and what one that
# floods a room makes everybody keep.
MOST_ADDS = MOST_MEMBERS

# Those of the founder, and people who are removed at one time: of the founder everybody depends,
# so more than come and go in years.
MOST_BY_FOUNDER = 1000

# Times that one member may leave; with the last they are gone for good. It bounds what is kept of
# somebody who comes and goes.
MOST_LEAVES = 100

# Opening brackets in what says who is in a room. Two names have at most half of these, and a reader
# that goes into each would come to the end of its stack, on one node sooner than on another.
MOST_BRACKETS = 256

_Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
# Not "$" at the end, which a line break may follow.
_Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Nonce = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * NONCE_LENGTH}}}\Z")]
_Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]


class _Founding(msgspec.Struct, frozen=True):
    name: _Name
    nonce: _Nonce
    by: _Name


class _Adding(msgspec.Struct, frozen=True, omit_defaults=True):
    key: _Key
    name: _Name
    left: _Nonce = ""


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


def adding(key: DeviceKey, name: str, left: str = "") -> tuple[str, str]:
    """
    Add somebody, or let somebody in again.

    Args:
        key: Whom.
        name: What they are called.
        left: What their ``leave`` says that is undone by this, where they have left.

    Returns:
        The kind and the body of an entry.
    """
    return _said(ADD, _Adding(str(key), name, left))


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


def leaving(nonce: bytes) -> tuple[str, str]:
    """
    Leave.

    Args:
        nonce: `NONCE_LENGTH` random octets: nobody can undo a leave that they have not seen.

    Returns:
        The kind and the body of an entry.
    """
    return LEAVE, nonce.hex()


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
        What to sort by, which is the hybrid logical clock, then the author, then the number.
    """
    return entry.said.time, entry.author.raw, entry.seq


# What a leave says that can be undone.
_LEFT = re.compile(rf"[0-9a-f]{{{2 * NONCE_LENGTH}}}\Z")

# Behind the last number of anybody's entries.
_ENDLESS = LARGEST_NUMBER + 1


@dataclass(slots=True)
class _Words:
    """
    What one author says of who is in the room, in order. Keys are octets here, which compare fast.

    Attributes:
        brings: Whom they add, with the number of the first entry that does, and the name in it.
        adds: How many of their adds have said something new.
        leaves: The numbers of the entries with which they leave, and what these say.
        left: The number of the last of all.
    """

    brings: dict[bytes, tuple[int, str]] = field(default_factory=dict)
    adds: int = 0
    leaves: list[tuple[int, str]] = field(default_factory=list)
    left: int = 0


_NO_WORDS = _Words()


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
        self._words: dict[bytes, _Words] = {}
        # By whom somebody's leave is undone, and the number of the first entry that does it.
        self._undone: dict[tuple[bytes, str], dict[bytes, int]] = {}
        # Whom the founder's last word is to remove: how far their entries still count, and the
        # number of the entry that says so.
        self._removed: dict[bytes, tuple[int, int]] = {}
        self._members: dict[DeviceKey, Member] = {}
        self._reckoning: _Reckoning | None = None

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
            self._evaluate()
        return self._members != before

    def members(self) -> list[Member]:
        """
        Everybody who is in the room or ever was, in the order in which they were given places.
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
        return self._said_by(key).left

    def left_saying(self, key: DeviceKey) -> str | None:
        """
        What the ``leave`` says by which somebody is out.

        Args:
            key: Who.

        Returns:
            What an add has to repeat to let them in again; empty where none can; ``None`` where
            they have not left.
        """
        leaves = self._said_by(key).leaves
        undone = self._reckoning.undone.get(key.raw, 0) if self._reckoning else 0
        return leaves[undone][1] if undone < len(leaves) else None

    def removed_by(self, key: DeviceKey) -> int:
        """
        The number of the founder's entry that has removed somebody; 0 where there is none.
        """
        return self._removed.get(key.raw, (0, 0))[1]

    def brought_with(self, key: DeviceKey) -> int:
        """
        The number of the first entry with which somebody brought in anybody; 0 for none.
        """
        return self._reckoning.brought.get(key.raw, 0) if self._reckoning else 0

    @property
    def is_full(self) -> bool:
        """
        Whether all places are taken.
        """
        return self._reckoning is not None and self._reckoning.is_full

    def has_place_for(self, key: DeviceKey, by: DeviceKey) -> bool:
        """
        Whether somebody can be added.

        Args:
            key: Who.
            by: By whom.

        Returns:
            Whether there is a place for them. The founder's add finds one as long as the founder
            has not given them all; any other may take none from somebody who has it.
        """
        if by == self.founder:
            kept = self._said_by(by).brings.keys() - self._removed.keys() - {key.raw}
            return len(kept) < MOST_MEMBERS - 1
        return key in self._members or not self.is_full

    def may_add(self, key: DeviceKey, by: DeviceKey) -> bool:
        """
        Whether an add that somebody says next is heard.

        Args:
            key: Whom it adds.
            by: Who says it.

        Returns:
            Whether it is, or they have said so many that it is not.
        """
        words, left = self._said_by(by), self.left_saying(key) or ""
        is_back = by == self.founder and key.raw in self._removed and not left
        is_new = self._is_new(by.raw, words, key.raw, left)
        return is_back or not is_new or words.adds < self._most_adds(by)

    def may_remove(self, key: DeviceKey) -> bool:
        """
        Whether the founder's removal of somebody is heard: not where very many are removed.
        """
        return key.raw in self._removed or len(self._removed) < MOST_BY_FOUNDER

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

    def _said_by(self, key: DeviceKey) -> _Words:
        return self._words.get(key.raw, _NO_WORDS)

    def _most_adds(self, author: DeviceKey) -> int:
        return MOST_BY_FOUNDER if author == self.founder else MOST_ADDS

    def _learn(self, entry: Entry) -> bool:
        said, author = entry.said, entry.author
        try:
            match said.kind:
                case "found":
                    return self._found(entry, _read(said.body, _Founding))
                case "add":
                    return self._add(entry, _read(said.body, _Adding))
                case "remove" if author == self.founder:
                    # Nobody else can remove anybody, and who founded the room is known by then.
                    return self._remove(entry, _read(said.body, _Removing))
                case "leave":
                    return self._leave(entry)
                case _:
                    return False
        except (msgspec.DecodeError, UnicodeError, InvalidKey):
            # Signed nonsense: kept as an entry, and no part of anything.
            return False

    def _found(self, entry: Entry, founding: _Founding) -> bool:
        nonce = bytes.fromhex(founding.nonce)
        if entry.seq != 1 or room_of(entry.author, nonce) != self.room:
            return False
        self.founder = entry.author
        self.name = founding.name
        self.nonce = nonce
        self._founder_name = founding.by
        return True

    def _add(self, entry: Entry, adding: _Adding) -> bool:
        key, author = parse_key(adding.key).raw, entry.author
        is_founder = author == self.founder
        # However often the founder has added somebody: this takes no memory.
        is_back = is_founder and self._removed.pop(key, None) is not None
        words = self._words.setdefault(author.raw, _Words())
        is_new = self._is_new(author.raw, words, key, adding.left)
        if not is_new or words.adds >= self._most_adds(author):
            return is_back
        words.adds += 1
        words.brings.setdefault(key, (entry.seq, adding.name))
        if adding.left:
            undone = self._undone.setdefault((key, adding.left), {})
            undone.setdefault(author.raw, entry.seq)
        return True

    def _is_new(self, author: bytes, words: _Words, key: bytes, left: str) -> bool:
        is_undone = not left or author in self._undone.get((key, left), ())
        return key not in words.brings or not is_undone

    def _remove(self, entry: Entry, removing: _Removing) -> bool:
        key = parse_key(removing.key)
        if key == self.founder or not self.may_remove(key):
            return False
        self._removed[key.raw] = (removing.seq, entry.seq)
        return True

    def _leave(self, entry: Entry) -> bool:
        words = self._words.setdefault(entry.author.raw, _Words())
        words.left = entry.seq
        if len(words.leaves) >= MOST_LEAVES:
            return False
        can_be_undone = len(words.leaves) < MOST_LEAVES - 1 and _LEFT.match(entry.said.body)
        words.leaves.append((entry.seq, entry.said.body if can_be_undone else ""))
        return True

    def _evaluate(self) -> None:
        if self.founder is None:
            return
        found = _Reckoning(self.founder.raw, self._words, self._undone, self._removed)
        found.give_places(self._founder_name)
        self._reckoning = found
        self._members = {
            key: Member(key, name, found.is_in(raw), found.last_of(raw))
            for raw, name in found.names.items()
            for key in [DeviceKey(raw)]
        }


class _Reckoning:
    """
    Who is given a place, and whose leaves are undone; goes over each word once.

    The founder's adds come first. Those whom they add stand each at the head of a branch, with all
    whom they bring, and whom those bring; the branches take turns. So whoever brings many, or makes
    up people who bring more, takes places of their own branch, and none that another asks for.

    Args:
        founder: Who founded the room.
        words: What each author says.
        undone: Whose leaves are undone, by whom, and with which entry.
        removed: Who is removed, and how far their entries still count.

    Attributes:
        names: Everybody who has come in, in order, and what they are called.
        undone: How many of somebody's leaves are undone.
        brought: The number of somebody's first entry that brought in anybody.
    """

    def __init__(
        self,
        founder: bytes,
        words: dict[bytes, _Words],
        undone: dict[tuple[bytes, str], dict[bytes, int]],
        removed: dict[bytes, tuple[int, int]],
    ) -> None:
        self._founder = founder
        self._words = words
        self._undone_by = undone
        self._removed = removed
        self._places = 0
        self.names: dict[bytes, str] = {}
        self.undone: dict[bytes, int] = {}
        self.brought: dict[bytes, int] = {}
        # Whom somebody adds that had not come in when they did, the last first.
        self._still: dict[bytes, list[bytes]] = {}
        self._branch_of: dict[bytes, deque[bytes]] = {}
        # Whose leaves somebody would undo if they were in the room then: with which entry, whose,
        # and how many of those had been undone before.
        self._waiting: dict[bytes, list[tuple[int, bytes, int]]] = {}

    @property
    def is_full(self) -> bool:
        """
        Whether all places are taken. The removed take none.
        """
        return self._places >= MOST_MEMBERS

    def last_of(self, key: bytes) -> int | None:
        """
        The number of somebody's last entry that counts; ``None`` where there is no end.
        """
        end = self._end_of(key)
        return None if end == _ENDLESS else end

    def is_in(self, key: bytes) -> bool:
        """
        Whether somebody is in the room now.
        """
        return key not in self._removed and self._left_with(key) == _ENDLESS

    def give_places(self, founder_name: str) -> None:
        """
        Let everybody in for whom there is a place.
        """
        self._come(self._founder, founder_name)
        for key, (seq, name) in self._words.get(self._founder, _NO_WORDS).brings.items():
            if key not in self.names and (key in self._removed or not self.is_full):
                self._bring(self._founder, seq, key, name, deque())
        branches = list(self._branch_of.values())
        came = len(branches)
        while came:
            came = sum(self._take_turn(branch) for branch in branches if branch)

    def _take_turn(self, branch: deque[bytes]) -> bool:
        while branch and not self.is_full:
            # Those who came first bring all theirs first.
            adder = branch[0]
            brings = self._words.get(adder, _NO_WORDS).brings
            if adder not in self._still:
                new = brings.keys() - self.names.keys()
                self._still[adder] = [key for key in reversed(brings) if key in new] if new else []
            still, end = self._still[adder], self._end_of(adder)
            while still and brings[still[-1]][0] <= end:
                key = still.pop()
                if key not in self.names:
                    seq, name = brings[key]
                    self._bring(adder, seq, key, name, branch)
                    return True
            branch.popleft()
        return False

    def _bring(self, by: bytes, seq: int, key: bytes, name: str, branch: deque[bytes]) -> None:
        self.brought.setdefault(by, seq)
        self._branch_of[key] = branch
        branch.append(key)
        self._come(key, name)

    def _come(self, key: bytes, name: str) -> None:
        self.names[key] = name
        self._places += key not in self._removed
        self._undo_leaves(key)
        # By each whose words count further now, others may be back, whose words count then.
        further = [key]
        for one in further:
            waiting, end = self._waiting.pop(one, ()), self._end_of(one)
            for seq, whose, undone in waiting:
                if seq > end:
                    self._waiting.setdefault(one, []).append((seq, whose, undone))
                elif self.undone.get(whose, 0) == undone:
                    self.undone[whose] = undone + 1
                    self._undo_leaves(whose)
                    further.append(whose)
                    if whose in self._still:
                        self._branch_of[whose].append(whose)

    def _undo_leaves(self, key: bytes) -> None:
        leaves = self._words.get(key, _NO_WORDS).leaves
        for undone in range(self.undone.get(key, 0), len(leaves)):
            # One after the other: a leave behind one that holds does not count, and so is not held
            # by everybody.
            self.undone[key] = undone
            for by, seq in self._undone_by.get((key, leaves[undone][1]), {}).items():
                if by in self.names and seq <= self._end_of(by):
                    break
                self._waiting.setdefault(by, []).append((seq, key, undone))
            else:
                return
        self.undone[key] = len(leaves)

    def _end_of(self, key: bytes) -> int:
        if key == self._founder:
            return _ENDLESS
        cut, _ = self._removed.get(key, (_ENDLESS, 0))
        return min(cut, self._left_with(key))

    def _left_with(self, key: bytes) -> int:
        leaves = self._words.get(key, _NO_WORDS).leaves
        undone = self.undone.get(key, 0)
        return leaves[undone][0] if undone < len(leaves) else _ENDLESS
