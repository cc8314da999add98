"""
The classic protocol: the dialects of the programs that this chat grew out of.

Each message is one TCP connection; it ends where the connection ends or falls silent. Who speaks is
told by the socket's address and the port that the message claims: the addresses inside are wrong
half of the time, so they are read over. Specified in ``docs/protocol.md``. Without any I/O.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from json.encoder import encode_basestring
from typing import assert_never

from twistedchat.core.addresses import LARGEST_PORT, Address
from twistedchat.core.pieces import cut_text

__all__ = [
    "LARGEST_PIECE",
    "ClassicMessage",
    "Dialect",
    "Kind",
    "UnknownText",
    "connect_message",
    "decode",
    "encode",
    "exit_message",
    "fit_name",
    "kind_of",
    "split_text",
    "text_message",
]

# The programs read once, with recv(1024), and lose or misread the rest. 24 bytes are left for what
# a resolver, a proxy or a byte order mark of theirs may add.
LARGEST_PIECE = 1000

# What is kept of a name: longer than any team's, short enough that a thousand peers with the
# longest names and a screen line stay small.
LONGEST_NAME = 64

# The longest address that can stand in a message of ours: IPv6 with an IPv4 tail (45 characters,
# INET6_ADDRSTRLEN), brackets, and a scope.
_LONGEST_HOST = "[" + "f" * 61 + "]"


class Kind(Enum):
    """
    What a message asks for.
    """

    MESSAGE = "message"
    CONNECT = "connect"
    EXIT = "exit"


class Dialect(Enum):
    """
    The form in which a peer writes; ``angle`` has three.
    """

    HEADER = "header"
    PLAIN = "plain"
    ANGLE = "angle"
    ANGLE_END = "angle-end"
    ANGLE_TIME = "angle-time"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ClassicMessage:
    """
    One message, said by somebody who can be answered.

    Attributes:
        dialect: The form it has, or is to have.
        kind: What it asks for.
        port: The port on which its sender listens, as it claims: 1 to 65535.
        name: The sender's team name, at most 64 characters; ``None`` where it has none.
        text: What was said, without outer white space.
    """

    dialect: Dialect
    kind: Kind
    port: int
    name: str | None
    text: str


@dataclass(frozen=True, slots=True)
class UnknownText:
    """
    What fits no dialect: a text to show, from nobody who could be answered.
    """

    text: str


_CONNECT_TEXTS = frozenset(
    {
        "connection message",
        "manual connection message",
        "connect",
        "connecting",
        "connected",
        "connect_request",
        "connect_accepted",
        "connect_ack",
        "connection_request",
        "connection request",
        "connection established",
        "handshake",
    }
)
_EXIT_TEXTS = frozenset({"exit", "quit", "disconnect", "disconnect_ack", "[peer_quit]"})
_LONGEST_CONTROL_TEXT = max(map(len, _CONNECT_TEXTS | _EXIT_TEXTS))

_PORT = r"(?P<port>[0-9]{1,5})"
_STAMP = r"\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\]"
# An address must look like one, or every sentence with "cafe:80 with Bob" in front would be taken
# for a message from Bob.
_PLAIN_HOST = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|localhost|\[[0-9A-Fa-f]*:[\w.:%-]+\])"

_HEADER = re.compile(rf"(?P<head>LISTENING_PORT:{_PORT}\|TEAM_NAME:(?P<name>[^|]*)\|)")
_PLAIN = re.compile(rf"(?P<head>{_PLAIN_HOST}:{_PORT} (?P<name>\S+) )(?=.*\S)", re.DOTALL)
_ANGLE = re.compile(rf"(?P<head><[^<>\s]+:{_PORT}> (?P<name>[^\s@\[]\S*) )(?=.*\S)", re.DOTALL)
_ANGLE_LINES = re.compile(
    rf"(?P<address><[^<>\s]+:{_PORT}>) (?P<stamp>{_STAMP} )?"
    r"(?:@ <(?P<name>[^<>\r\n]*)>(?:\r?\n|\Z)|(?P<exit>DISCONNECT)\s*(?:\Z|(?=(?P=address))))"
)
_END_SPACE = len("<end>") + 4

_JSON_ADDRESSEE = re.compile(r"\s*<[^<>]*> <[^<>]*> ")
_JSON_ADDRESSEES = re.compile(r"(?:\s*<[^<>]*> (?:<[^<>]*>|\S+) )*")
_JSON_KINDS = {kind.value: kind for kind in Kind}
_JSON = json.JSONDecoder()


def kind_of(text: str) -> Kind:
    """
    What a text asks for: the control texts of every program of the family count in every dialect.

    Args:
        text: A text as it was said or typed.

    Returns:
        Its kind, compared without case and outer white space.
    """
    said = text.strip()
    # casefold() of a novel is not for nothing, and it never makes a text shorter.
    if len(said) > _LONGEST_CONTROL_TEXT:
        return Kind.MESSAGE
    folded = said.casefold()
    if folded in _CONNECT_TEXTS:
        return Kind.CONNECT
    if folded in _EXIT_TEXTS:
        return Kind.EXIT
    return Kind.MESSAGE


def text_message(dialect: Dialect, port: int, name: str, text: str) -> ClassicMessage:
    """
    What to send for a text that a person typed.

    Args:
        dialect: The recipient's dialect.
        port: Our listening port.
        name: Our team name.
        text: The text; a control text acts as one.

    Returns:
        The message, to be encoded.
    """
    return ClassicMessage(dialect, kind_of(text), port, name, text)


def connect_message(dialect: Dialect, port: int, name: str, *, manual: bool) -> ClassicMessage:
    """
    What to send to connect.

    Args:
        dialect: The recipient's dialect.
        port: Our listening port.
        name: Our team name.
        manual: Whether a person chose the address. The reference program says so in its text.

    Returns:
        The message, to be encoded.
    """
    match dialect:
        case Dialect.HEADER:
            text = "manual connection message" if manual else "connection message"
        case Dialect.PLAIN | Dialect.JSON:
            text = "connect"
        case Dialect.ANGLE | Dialect.ANGLE_END | Dialect.ANGLE_TIME:
            text = "CONNECT"
        case _:
            assert_never(dialect)
    return ClassicMessage(dialect, Kind.CONNECT, port, name, text)


def exit_message(dialect: Dialect, port: int, name: str) -> ClassicMessage:
    """
    What to send to take leave.

    Args:
        dialect: The recipient's dialect.
        port: Our listening port.
        name: Our team name.

    Returns:
        The message, to be encoded.
    """
    return ClassicMessage(dialect, Kind.EXIT, port, name, "exit")


def fit_name(dialect: Dialect, name: str) -> str:
    """
    Adapt a name to what can stand for one in a dialect.

    Args:
        dialect: The form it will stand in.
        name: A name that is not empty.

    Returns:
        The name with an underscore for each character that would end or bend it.
    """
    match dialect:
        case Dialect.HEADER:
            fitted = re.sub(r"[|\r\n]", "_", name)
        case Dialect.PLAIN:
            fitted = re.sub(r"\s", "_", name)
        case Dialect.ANGLE:
            fitted = re.sub(r"[\s<>@\[\]]", "_", name)
        case Dialect.ANGLE_END | Dialect.ANGLE_TIME | Dialect.JSON:
            fitted = re.sub(r"[<>\r\n]", "_", name)
        case _:
            assert_never(dialect)
    return fitted


def encode(
    message: ClassicMessage,
    *,
    our_host: str,
    recipient: Address,
    recipient_name: str | None,
    when: datetime,
) -> bytes:
    """
    Write a message as its dialect has it.

    Args:
        message: What to say, as ourselves. Its text is sent without outer white space.
        our_host: Our address as the recipient sees it; the ``plain`` and ``angle`` forms hold it.
        recipient: Whom it is for; ``json`` holds it.
        recipient_name: The recipient's name, where it is known.
        when: The local time, which the time form of ``angle`` holds.

    Returns:
        Valid UTF-8 without a newline at its end. Lone surrogates become question marks.
    """
    name = fit_name(message.dialect, message.name or "unknown")
    text = message.text.strip()
    ours = str(Address(our_host, message.port))
    is_exit = message.kind is Kind.EXIT
    match message.dialect:
        case Dialect.HEADER:
            line = f"LISTENING_PORT:{message.port}|TEAM_NAME:{name}|{text}"
        case Dialect.PLAIN:
            line = f"{ours} {name} {text}"
        case Dialect.ANGLE:
            line = f"<{ours}> {name} {text}"
        case Dialect.ANGLE_END:
            line = f"<{ours}> DISCONNECT" if is_exit else f"<{ours}> @ <{name}>\n{text}\n<end>"
        case Dialect.ANGLE_TIME:
            stamp = f"<{ours}> [{when:%Y-%m-%d %H:%M:%S}]"
            line = f"{stamp} DISCONNECT" if is_exit else f"{stamp} @ <{name}>\n{text}".rstrip()
        case Dialect.JSON:
            theirs = fit_name(Dialect.JSON, recipient_name or "unknown")
            line = json.dumps(
                {
                    "type": message.kind.value,
                    "content": f"<{recipient}> <{theirs}> {text}",
                    "sender_name": name,
                    "sender_port": message.port,
                },
                ensure_ascii=False,
            )
        case _:
            assert_never(message.dialect)
    return line.encode("utf-8", "replace")


def decode(data: bytes) -> list[ClassicMessage | UnknownText]:
    """
    Read all that one connection brought until it ended or fell silent.

    Two messages written one after the other can arrive as one piece. A new one begins where the
    same sender's head occurs again; ``json`` objects end by themselves.

    Args:
        data: Any bytes. What is no UTF-8 is read with replacement characters.

    Returns:
        What was said, in order; empty for nothing but white space.
    """
    text = data.decode("utf-8", "replace").strip()
    if not text:
        return []
    if head := _ANGLE_LINES.match(text):
        return _decode_angle_lines(text, head)
    if head := _HEADER.match(text) or _PLAIN.match(text) or _ANGLE.match(text):
        return _decode_one_liners(text, head)
    if text.startswith("{"):
        return _decode_json(text)
    return [UnknownText(text)]


def _claimed_port(digits: str) -> int | None:
    port = int(digits)
    return port if 1 <= port <= LARGEST_PORT else None


def _kept_name(name: str | None) -> str | None:
    return (name or "").strip()[:LONGEST_NAME].strip() or None


_ONE_LINERS = {_HEADER: Dialect.HEADER, _PLAIN: Dialect.PLAIN, _ANGLE: Dialect.ANGLE}


def _decode_one_liners(text: str, head: re.Match[str]) -> list[ClassicMessage | UnknownText]:
    port = _claimed_port(head["port"])
    if port is None:
        return [UnknownText(text)]
    dialect = _ONE_LINERS[head.re]
    name = _kept_name(head["name"])
    return [
        ClassicMessage(dialect, kind_of(said), port, name, said)
        for said in map(str.strip, text[head.end() :].split(head["head"]))
        if said or dialect is Dialect.HEADER  # only there an empty text is a form of its own
    ]


def _decode_angle_lines(text: str, head: re.Match[str]) -> list[ClassicMessage | UnknownText]:
    port = _claimed_port(head["port"])
    if port is None:
        return [UnknownText(text)]
    dialect = Dialect.ANGLE_TIME if head["stamp"] else Dialect.ANGLE_END
    heads = [head]
    name = head["name"]
    for again in _ANGLE_LINES.finditer(text, head.end()):
        same_form = bool(again["stamp"]) == bool(head["stamp"])
        same_name = name is None or again["name"] in (name, None)
        # A few characters are enough to see, and keep this linear in a text full of heads.
        before = text[again.start() - _END_SPACE : again.start()]
        if heads[-1]["exit"]:
            has_ended = True
        elif dialect is Dialect.ANGLE_END:
            has_ended = before.rstrip().endswith("<end>")
        else:
            has_ended = before.endswith("\n")
        if same_form and again["address"] == head["address"] and same_name and has_ended:
            heads.append(again)
            name = name or again["name"]
    ends = [again.start() for again in heads[1:]] + [len(text)]
    messages: list[ClassicMessage | UnknownText] = []
    for start, end in zip(heads, ends, strict=True):
        said = text[start.end() : end]
        if start["exit"]:
            messages.append(ClassicMessage(dialect, Kind.EXIT, port, None, start["exit"]))
            if said:
                messages.append(UnknownText(said.rstrip()))
            continue
        if dialect is Dialect.ANGLE_END:
            said = said.rstrip().removesuffix("<end>")
        said = said.strip()
        messages.append(
            ClassicMessage(dialect, kind_of(said), port, _kept_name(start["name"]), said)
        )
    return messages


def _decode_json(text: str) -> list[ClassicMessage | UnknownText]:
    messages: list[ClassicMessage | UnknownText] = []
    start = 0
    while start < len(text):
        try:
            said, end = _JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            # Broken, nested beyond reason, or a number too long for Python to read.
            said, end = None, start
        message = _read_json(said)
        if message is None:
            messages.append(UnknownText(text[start:]))
            break
        messages.append(message)
        while end < len(text) and text[end].isspace():
            end += 1
        start = end
    return messages


def _read_json(said: object) -> ClassicMessage | None:
    match said:
        case {
            "type": str(kind_name),
            "content": str(content),
            "sender_name": str(name),
            "sender_port": int(port),
        } if kind_name in _JSON_KINDS and not isinstance(port, bool) and 1 <= port <= LARGEST_PORT:
            kind = _JSON_KINDS[kind_name]
        case _:
            return None
    # JSON can hold lone surrogates (RFC 8259 section 8.2), which no UTF-8 can.
    content, name = (part.encode("utf-8", "replace").decode() for part in (content, name))
    # A search would meet white space again and again, and find addresses inside the text.
    addressee = (_JSON_ADDRESSEE if kind is Kind.MESSAGE else _JSON_ADDRESSEES).match(content)
    text = content[addressee.end() if addressee else 0 :].strip()
    if kind is Kind.MESSAGE:
        kind = kind_of(text)
    return ClassicMessage(Dialect.JSON, kind, port, _kept_name(name), text)


def split_text(
    message: ClassicMessage, *, recipient: Address, recipient_name: str | None, when: datetime
) -> list[ClassicMessage]:
    """
    Cut a message into pieces that a classic program reads whole.

    The cuts are between words; inside a word only where it is longer than a piece, and then between
    characters as people see them (Unicode UAX 29), unless one is longer than any that can be read.
    No piece is a control text unless the whole text is one: what would be one is cut in two.

    Args:
        message: What to say.
        recipient: Whom it is for.
        recipient_name: The recipient's name, where it is known.
        when: The local time.

    Returns:
        At least one message. Put together their texts are the message's text but for blank pieces,
        so that what is left of it when one of them fails can be sent again.
    """
    dialect = message.dialect
    shortest = encode(
        ClassicMessage(dialect, message.kind, message.port, message.name, "x"),
        our_host=_LONGEST_HOST,
        recipient=recipient,
        recipient_name=recipient_name,
        when=when,
    )
    room = LARGEST_PIECE - (len(shortest) - len("x"))
    if _size(dialect, message.text.strip()) <= room:
        return [message]
    pieces = cut_text(message.text, room, partial(_size, dialect))
    return [
        ClassicMessage(dialect, message.kind, message.port, message.name, part)
        for piece in pieces
        for part in _disarmed(piece)
        if part.strip()
    ]


def _disarmed(piece: str) -> tuple[str, ...]:
    # Alone, a control text acts. Without its last character it is none; nor is that character.
    if kind_of(piece) is Kind.MESSAGE:
        return (piece,)
    cut = len(piece.rstrip()) - 1
    return piece[:cut], piece[cut:]


def _size(dialect: Dialect, text: str) -> int:
    if dialect is Dialect.JSON:
        text = encode_basestring(text)[1:-1]
    return len(text.encode("utf-8", "replace"))
