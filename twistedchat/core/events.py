"""
What a node tells those who listen to it.

How a text arrived is its type, not a flag inside it: whoever draws it cannot take a plain one for
anything better. All text in here is as it came; it is shown through `twistedchat.core.safetext`.
Without any I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind
from twistedchat.core.roster import Peer, Recipient
from twistedchat.core.trust import Caller, Contact

__all__ = [
    "CallerCame",
    "ConnectReceived",
    "Event",
    "ExitReceived",
    "ForkSeen",
    "LetIn",
    "NearbyChanged",
    "OutOfStep",
    "PeerAdded",
    "PeerChanged",
    "PeerRemoved",
    "PlainTextReceived",
    "Progress",
    "Sent",
    "SessionOpened",
    "StoreFailed",
    "TextReceived",
    "TextsDelivered",
    "TextsStranded",
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
    A peer took its leave.

    Attributes:
        sender: Where it could be answered; of a secure peer its key, which proves it.
        name: The name it was last known by, where it had one.
        time: When it arrived, in seconds since the epoch.
    """

    sender: Recipient
    name: str | None
    time: float


@dataclass(frozen=True, slots=True)
class TextReceived:
    """
    A contact said something, encrypted on the way and signed.

    Attributes:
        contact: Who.
        text: What it said.
        time: When it arrived, in seconds since the epoch.
    """

    contact: Contact
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class CallerCame:
    """
    There is somebody that the person has to decide about.

    A stranger who knocks, a key that is not the one that was known, or a contact's address that no
    longer proves whose it is.
    """

    caller: Caller


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """
    A session with a contact began.

    Attributes:
        contact: With whom.
        is_ours: Whether we opened the connection.
        time: When, in seconds since the epoch.
    """

    contact: Contact
    is_ours: bool
    time: float


@dataclass(frozen=True, slots=True)
class LetIn:
    """
    A contact for whom we were a stranger until now has let us in.
    """

    contact: Contact


@dataclass(frozen=True, slots=True)
class TextsDelivered:
    """
    Texts that had been waiting are with their recipient now.

    Attributes:
        contact: Who has them.
        texts: How many.
    """

    contact: Contact
    texts: int


@dataclass(frozen=True, slots=True)
class TextsStranded:
    """
    Texts that waited for a key which its owner has replaced: they can be sent again to the new one.

    Attributes:
        contact: The contact with its new key.
        texts: What they say, in order.
    """

    contact: Contact
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForkSeen:
    """
    A contact signed two different entries with one number: two programs use its key, or it lies.

    Attributes:
        contact: Who.
        seq: The number.
    """

    contact: Contact
    seq: int


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """
    A contact holds other entries than we do, under the same numbers.

    One of us has lost a journal, or two programs use one key.

    Attributes:
        contact: Who; what we write does not get there.
    """

    contact: Contact


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """
    Something could not be kept: what was not is still with whoever said it.

    Attributes:
        reason: What happened, in words for a person.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class NearbyChanged:
    """
    Other nodes were found on the network, or went.
    """


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
    | TextReceived
    | CallerCame
    | SessionOpened
    | LetIn
    | TextsDelivered
    | TextsStranded
    | ForkSeen
    | OutOfStep
    | StoreFailed
    | NearbyChanged
    | PeerAdded
    | PeerChanged
    | PeerRemoved
)


class Progress(Enum):
    """
    How far a text has come.
    """

    TAKEN = "a classic program took the connection"
    DELIVERED = "the recipient has stored it"
    WAITING = "it is kept here until the recipient can be reached"
    AT_THE_DOOR = "it is kept here until the recipient lets us in"


@dataclass(frozen=True, slots=True)
class Sent:
    """
    A text went out, or is kept until it can.

    Attributes:
        recipient: Who has it, or is to have it: the IP address that took it, also where a host name
            was dialled; the key of a secure peer.
        kind: What it asked for.
        pieces: In how many messages it went.
        progress: How far it has come.
        name: What the recipient is called, where it has a name.
    """

    recipient: Recipient
    kind: Kind
    pieces: int
    progress: Progress = Progress.TAKEN
    name: str | None = None
