"""
What a node tells those who listen to it.

How a text arrived is its type, not a flag inside it: whoever draws it cannot take a plain one for
anything better. All text in here is as it came; it is shown through `twistedchat.core.safetext`.
Without any I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind
from twistedchat.core.roster import Peer

__all__ = [
    "ConnectReceived",
    "Event",
    "ExitReceived",
    "PeerAdded",
    "PeerChanged",
    "PeerRemoved",
    "PlainTextReceived",
    "Sent",
    "UnknownTextReceived",
]


@dataclass(frozen=True, slots=True)
class PlainTextReceived:
    """
    A classic peer said something: neither its name nor its words are proven by anything.

    Attributes:
        sender: Where it can be answered.
        name: The name it claims, where it claims one.
        dialect: The form it used.
        text: What it said.
        time: When it arrived, in seconds since the epoch.
    """

    sender: Address
    name: str | None
    dialect: Dialect
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class UnknownTextReceived:
    """
    Something arrived that fits no dialect; nobody can be answered.

    Attributes:
        host: The IP address it came from.
        text: What arrived.
        time: When it arrived, in seconds since the epoch.
    """

    host: str
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class ConnectReceived:
    """
    A classic peer sent a connect text.

    Attributes:
        sender: Where it can be answered.
        name: The name it claims, where it claims one.
        text: The connect text it used.
        time: When it arrived, in seconds since the epoch.
    """

    sender: Address
    name: str | None
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class ExitReceived:
    """
    A classic peer took its leave.

    Attributes:
        sender: Where it could be answered.
        name: The name it was last known by, where it had one.
        time: When it arrived, in seconds since the epoch.
    """

    sender: Address
    name: str | None
    time: float


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """
    A peer came onto the lists.
    """

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """
    A listed peer has another name or dialect, or became connected.
    """

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """
    A peer is on no list any more: it left, we left it, or there was no room.
    """

    peer: Peer


Event: TypeAlias = (
    PlainTextReceived
    | UnknownTextReceived
    | ConnectReceived
    | ExitReceived
    | PeerAdded
    | PeerChanged
    | PeerRemoved
)


@dataclass(frozen=True, slots=True)
class Sent:
    """
    A text went out and the other side took it.

    Attributes:
        recipient: The address that took it: an IP address, also where a host name was dialled.
        kind: What it asked for.
        pieces: In how many messages it went.
    """

    recipient: Address
    kind: Kind
    pieces: int
