"""
What two nodes say to each other in a session: one JSON object (RFC 8259) a line.

Unknown frames and unknown members are passed over, so that later nodes can say more; what is broken
ends the session. Specified in ``docs/protocol-secure.md``. Without any I/O.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from twistedchat.core.entries import LARGEST_NUMBER, Run, Said
from twistedchat.core.errors import InvalidKey, LocalProtocolError, RemoteProtocolError
from twistedchat.core.identity import parse_key
from twistedchat.core.safetext import safe_text

__all__ = [
    "LARGEST_FRAME",
    "LONGEST_KNOCK",
    "PROTOCOL_VERSION",
    "ROOM_IN_RUN",
    "Bye",
    "Card",
    "Frame",
    "Have",
    "Hello",
    "Knock",
    "Met",
    "Ping",
    "Pong",
    "RunFrame",
    "Seek",
    "decode_frame",
    "encode_frame",
    "frame_of_run",
    "run_of_frame",
    "size_of",
]

PROTOCOL_VERSION = 2

# Bytes of one frame, without its line end: a run of hundreds of entries, which one signature and
# one commit serve; and what a stranger can make us keep before anything of it is understood.
LARGEST_FRAME = 64 * 1024

# Characters that a stranger may say at the door: two sentences, as in a text message.
LONGEST_KNOCK = 280

# Bytes in the frame of a run for what it says. The rest, rounded up, is for 64 digits of each of
# three hashes, 128 of the signature, two numbers, and the names of all of them.
ROOM_IN_RUN = LARGEST_FRAME - 512

# Rooms in one `have`, and authors in each. An author takes up to 153 bytes and a room 70 more: so
# 64 conversations of two fit into a frame, or one room of 400; more takes several frames.
MOST_ROOMS = 64
MOST_AUTHORS = 400

# Peers that can be asked for, and addresses that can be told for each, in one frame: it holds so
# many IP addresses, and about half as many host names of the longest kind.
MOST_SOUGHT = 64
MOST_TOLD = 8

# Characters of what is said about a broken frame: enough for what and where, and little where its
# sender had a hand in it.
LONGEST_REASON = 200

_Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
# Not "$" at the end, which a line break may follow.
_Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Hint = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Signature = Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z")]
_Word = Annotated[str, Meta(pattern=r"^[a-z][a-z-]{0,31}\Z")]
_AddressText = Annotated[str, Meta(max_length=300)]


class _Tagged(msgspec.Struct, frozen=True, tag_field="t", omit_defaults=True):
    pass


class Hello(_Tagged, frozen=True, tag="hello"):
    """
    The first frame of each side.

    Attributes:
        v: The version of the protocol: `PROTOCOL_VERSION` or later.
        name: The sender's team name.
        port: Where it listens.
        dial: From who opened the connection: a number that grows with each one it opens, in
            microseconds since the epoch where its clock allows. From the other side 0.
        knows: Whether the sender has let the other side in already.
        features: What it can do beyond this version, each in a word.
    """

    v: Annotated[int, Meta(ge=PROTOCOL_VERSION, le=LARGEST_NUMBER)]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    dial: _Count = 0
    knows: bool = False
    features: Annotated[tuple[_Word, ...], Meta(max_length=32)] = ()


class Knock(_Tagged, frozen=True, tag="knock"):
    """
    What a stranger says at the door.
    """

    text: Annotated[str, Meta(max_length=LONGEST_KNOCK)]


class Have(_Tagged, frozen=True, tag="have"):
    """
    How far the sender holds each author's entries, by room.

    For each the number and the hash of the last one it has stored. Said to those alone whom it has
    let in, so it also says that they are; and said again when more has been stored, as a receipt:
    then only what has changed.

    Attributes:
        rooms: What is held; a room that is there at all is shared with the other side.
        read: How far a person has read, where they let others know.
        again: Whether what went on in these rooms before has gone past the sender: all is to be
            told again, and sent from what is told here on.
        dropped: Whether what the other side has sent beyond what is told here was not kept, and no
            more of it is wanted for now.
        asks: Whether the other side is to send all that it holds now of these, from what is told
            here on, whoever said it.
    """

    rooms: Annotated[
        dict[_Hash, Annotated[dict[_Hash, tuple[_Count, _Hash]], Meta(max_length=MOST_AUTHORS)]],
        Meta(max_length=MOST_ROOMS),
    ]
    read: Annotated[
        dict[_Hash, Annotated[dict[_Hash, _Count], Meta(max_length=MOST_AUTHORS)]],
        Meta(max_length=MOST_ROOMS),
    ] = msgspec.field(default_factory=dict)
    again: bool = False
    dropped: bool = False
    asks: bool = False


class Card(_Tagged, frozen=True, tag="card"):
    """
    An invitation: the other side is a member of a room that it does not know of.

    Whoever has the founder's key and the nonce can see that they belong to the room; that the
    receiver is a member has to be seen from the entries. Whoever left, or was removed, sees from
    the numbers whether the sender knew of that when it said that they are a member.

    Attributes:
        room: Which room.
        name: What it is called.
        founder: Who founded it.
        nonce: What it was made with.
        seen: The number of the receiver's last entry there that the sender holds.
        word: The number of the founder's.
        mine: The number of the sender's own.
    """

    room: _Hash
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    founder: _Hash
    nonce: _Hint
    seen: _Count = 0
    word: _Count = 0
    mine: _Count = 0


class RunFrame(_Tagged, frozen=True, tag="run"):
    """
    Consecutive entries of one author in one room: a `twistedchat.core.entries.Run`.
    """

    room: _Hash
    author: _Hash
    seq: Annotated[int, Meta(ge=1, le=LARGEST_NUMBER)]
    prev: _Hash
    said: Annotated[tuple[Said, ...], Meta(min_length=1)]
    sig: _Signature


class Seek(_Tagged, frozen=True, tag="seek"):
    """
    Whom the sender knows and cannot reach.

    Said by salted hints, which only those understand who know the same keys
    (`twistedchat.core.hints`).
    """

    salt: _Hint
    hints: Annotated[tuple[_Hint, ...], Meta(max_length=MOST_SOUGHT)]


class Met(_Tagged, frozen=True, tag="met"):
    """
    The answer to `Seek`: where the sender last reached those of them that it knows too.
    """

    salt: _Hint
    peers: Annotated[
        dict[_Hint, Annotated[tuple[_AddressText, ...], Meta(max_length=MOST_TOLD)]],
        Meta(max_length=MOST_SOUGHT),
    ]


class Ping(_Tagged, frozen=True, tag="ping"):
    """
    Are you there?
    """


class Pong(_Tagged, frozen=True, tag="pong"):
    """
    Yes.
    """


class Bye(_Tagged, frozen=True, tag="bye"):
    """
    The last frame, where there is time for one.

    Attributes:
        code: Why, in a word: ``exit`` where somebody took their leave.
        text: The same for people.
    """

    code: _Word
    text: Annotated[str, Meta(max_length=300)] = ""


Frame: TypeAlias = Hello | Knock | Have | Card | RunFrame | Seek | Met | Ping | Pong | Bye


class _Tag(msgspec.Struct, frozen=True):
    t: str


_TAGS = frozenset({"hello", "knock", "have", "card", "run", "seek", "met", "ping", "pong", "bye"})
_FRAME: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_TAG = msgspec.json.Decoder(_Tag)
_ENCODER = msgspec.json.Encoder()


def encode_frame(frame: Frame) -> bytes:
    """
    Write a frame.

    Args:
        frame: What to say.

    Returns:
        One line without its end, and without a line break in it.

    Raises:
        LocalProtocolError: It is longer than `LARGEST_FRAME`, or holds half a character, which
            has no UTF-8.
    """
    try:
        line = _ENCODER.encode(frame)
    except UnicodeEncodeError as error:
        raise LocalProtocolError("A frame with half a character: it has no UTF-8.") from error
    if len(line) > LARGEST_FRAME:
        raise LocalProtocolError(f"A frame of {len(line)} bytes: {LARGEST_FRAME} is the most.")
    return line


def decode_frame(line: bytes) -> Frame | None:
    """
    Read a frame.

    Args:
        line: Any bytes, without a line end.

    Returns:
        The frame, or ``None`` for one that a later version may know.

    Raises:
        RemoteProtocolError: It is broken.
    """
    if len(line) > LARGEST_FRAME:
        raise RemoteProtocolError("large-frame", f"A frame of more than {LARGEST_FRAME} bytes.")
    try:
        return _FRAME.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError) and _is_unknown(line):
            return None
        # What is reported can hold a piece of the frame.
        reason = safe_text(str(error)[:LONGEST_REASON])[:LONGEST_REASON]
        raise RemoteProtocolError("broken-frame", f"A broken frame: {reason}.") from error


def _is_unknown(line: bytes) -> bool:
    try:
        return _TAG.decode(line).t not in _TAGS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def frame_of_run(run: Run) -> RunFrame:
    """
    How a run travels.

    Args:
        run: The run.

    Returns:
        Its frame.
    """
    return RunFrame(
        room=run.room.hex(),
        author=str(run.author),
        seq=run.seq,
        prev=run.prev.hex(),
        said=run.said,
        sig=run.signature.hex(),
    )


def size_of(said: Said) -> int:
    """
    How much room something takes in the frame of its run.

    Args:
        said: What is said.

    Returns:
        Bytes, with the comma behind it.
    """
    return len(_ENCODER.encode(said)) + 1


def run_of_frame(frame: RunFrame) -> Run:
    """
    The run that came in a frame, not checked yet.

    Args:
        frame: The frame.

    Returns:
        The run.

    Raises:
        RemoteProtocolError: Its author's key is none.
    """
    try:
        author = parse_key(frame.author)
    except InvalidKey as error:
        raise RemoteProtocolError("bad-key", str(error)) from error
    return Run(
        room=bytes.fromhex(frame.room),
        author=author,
        seq=frame.seq,
        prev=bytes.fromhex(frame.prev),
        said=frame.said,
        signature=bytes.fromhex(frame.sig),
    )
