"""
What was said, as it is kept and looked up again: signed entries and plain messages side by side.

Without any I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from twistedchat.core.addresses import Address
from twistedchat.core.entries import Entry
from twistedchat.core.identity import DeviceKey

__all__ = ["LineOfHistory", "Place", "RoomRecord", "Stay", "line_of"]

# Where something was said: in a room, a direct conversation included; or between a classic peer and
# us, which is told by its address.
Place: TypeAlias = bytes | Address


@dataclass(frozen=True, slots=True)
class LineOfHistory:
    """
    One thing that was said.

    Attributes:
        number: Its place in the order in which everything came here, from 1.
        place: Where it was said.
        author: By whom; ``None`` in plain, where nothing proves it.
        name: The name that a classic peer claimed; ``None`` where it claimed none, or is a contact.
        is_ours: Whether we said it.
        seq: Its number among its author's entries in the room; 0 in plain.
        time: When it was said, in seconds since the epoch: by the room's clock, or by ours.
        text: What was said.
    """

    number: int
    place: Place
    author: DeviceKey | None
    name: str | None
    is_ours: bool
    seq: int
    time: float
    text: str


def line_of(number: int, entry: Entry, owner: DeviceKey | None) -> LineOfHistory:
    """
    Tell what an entry says as a line.

    Args:
        number: Its place in the order in which everything came.
        entry: A text.
        owner: Whose history it is; ``None`` for nobody's.

    Returns:
        The line.
    """
    said = entry.said
    is_ours = entry.author == owner
    time = said.time / 1_000_000
    return LineOfHistory(
        number, entry.room, entry.author, None, is_ours, entry.seq, time, said.body
    )


class Stay(Enum):
    """
    What we have to do with a room.
    """

    INVITED = "invited"
    JOINED = "joined"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """
    What we know of a room beside its entries.

    Attributes:
        room: The 32 octets that name it.
        stay: What we have to do with it.
        name: What it is called.
        founder: Who founded it.
        inviter: Who told us of it; ourselves where we founded it.
    """

    room: bytes
    stay: Stay
    name: str
    founder: DeviceKey
    inviter: DeviceKey
