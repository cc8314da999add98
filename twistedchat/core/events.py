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
from twistedchat.core.history import RoomRecord
from twistedchat.core.identity import DeviceKey
from twistedchat.core.roster import Peer, Recipient
from twistedchat.core.trust import Caller, Contact

__all__ = [
    "CallerCame",
    "CaughtUp",
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
    "PlainNotKept",
    "PlainTextReceived",
    "Progress",
    "RoomChange",
    "RoomChanged",
    "RoomTextReceived",
    "Sent",
    "SessionOpened",
    "Speaker",
    "StoreFailed",
    "TextReceived",
    "TextsDelivered",
    "TextsRead",
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
class Speaker:
    """
    Somebody who says something in a room, whether we know them or not.

    Attributes:
        key: Who.
        name: What they are called: as our contact, or else by whoever added them.
        is_verified: Whether they are a contact whose key the person has compared.
    """

    key: DeviceKey
    name: str
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class RoomTextReceived:
    """
    A member of a room said something there.

    Attributes:
        room: The room.
        speaker: Who.
        text: What.
        time: When it arrived, in seconds since the epoch.
    """

    room: RoomRecord
    speaker: Speaker
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """
    Much that had been said while we were away has come, too much to show each line.

    Attributes:
        place: Where: a contact, or a room.
        texts: How many.
    """

    place: Contact | RoomRecord
    texts: int


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """
    We were invited to a room, joined or left one, or somebody came or went there.

    Attributes:
        room: The room.
        change: What happened.
        speaker: Who came or went, or invited us; ``None`` for ourselves.
    """

    room: RoomRecord
    change: RoomChange
    speaker: Speaker | None


class RoomChange(Enum):
    """
    What can happen to a room.
    """

    INVITED = "we are invited"
    JOINED = "we are in it now"
    LEFT = "we have left it"
    REMOVED = "we were removed"
    NOT_LET_IN = "the invitation was not true: nobody there has added us"
    CAME = "somebody was added"
    WENT = "somebody left, or was removed"


@dataclass(frozen=True, slots=True)
class TextsRead:
    """
    Somebody has read what we wrote to them.

    Attributes:
        contact: Who.
    """

    contact: Contact


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
    Somebody signed two different entries with one number: two programs use their key, or they lie.

    Attributes:
        contact: Who.
        seq: The number.
    """

    contact: Contact | Speaker
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
class PlainNotKept:
    """
    Texts in plain could not be kept: they were shown or sent, and nobody says them again.

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
    | RoomTextReceived
    | CaughtUp
    | RoomChanged
    | TextsRead
    | CallerCame
    | SessionOpened
    | LetIn
    | TextsDelivered
    | TextsStranded
    | ForkSeen
    | OutOfStep
    | StoreFailed
    | PlainNotKept
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
    DELIVERED = "the recipient has stored it, or everybody in the room has"
    READ = "the recipient has read it"
    CARRIED = "somebody in the room has it and hands it on: we may switch off"
    WAITING = "it is kept here until the recipient can be reached"
    AT_THE_DOOR = "it is kept here until the recipient lets us in"


@dataclass(frozen=True, slots=True)
class Sent:
    """
    A text went out, or is kept until it can.

    Attributes:
        recipient: Who has it, or is to have it: the IP address that took it, also where a host name
            was dialled; the key of a secure peer; a room.
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
