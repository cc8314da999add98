"""
How the chat puts things: every line that a person reads, as styled fragments.

A face draws the fragments as it can: a terminal in colours, a pipe as bare text. Everything from
outside passes through `twistedchat.core.safetext` here, and no line begins with it: nobody can
choose a name that makes a line of ours look like another one. Without any I/O.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias, assert_never

from wcwidth import wcswidth

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Kind
from twistedchat.core.events import (
    CallerCame,
    CaughtUp,
    ConnectReceived,
    Event,
    ExitReceived,
    ForkSeen,
    LetIn,
    NearbyChanged,
    OutOfStep,
    PeerAdded,
    PeerChanged,
    PeerRemoved,
    PlainNotKept,
    PlainTextReceived,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    Sent,
    SessionOpened,
    Speaker,
    StoreFailed,
    TextReceived,
    TextsDelivered,
    TextsRead,
    TextsStranded,
    UnknownTextReceived,
)
from twistedchat.core.history import LineOfHistory, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite, qr_lines
from twistedchat.core.nearby import Nearby
from twistedchat.core.roster import Peer, Recipient, RoomId
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import Caller, Contact, Decision, Reason

__all__ = [
    "MIDDLE_DOT",
    "Fragment",
    "Line",
    "Lists",
    "Quote",
    "Row",
    "caller_row",
    "contact_row",
    "decided_line",
    "decision_lines",
    "event_lines",
    "failed_connection_line",
    "given_back_lines",
    "history_lines",
    "invite_lines",
    "label_of",
    "late_lines",
    "lists_lines",
    "member_row",
    "name_of",
    "namesakes_lines",
    "nearby_row",
    "not_sent_lines",
    "notice",
    "passage_lines",
    "peer_row",
    "people_lines",
    "recalled_line",
    "refusal",
    "room_choice_lines",
    "room_label",
    "room_row",
    "rooms_lines",
    "sent_line",
    "shown_name",
    "still_late_lines",
    "trust_lines",
    "unlisted_row",
    "unread_line",
    "unread_lines",
    "verified_line",
    "waits_lines",
    "with_unread",
    "words_differ_lines",
    "words_lines",
]

# A style ("time", "address", "name", "text", "mark", "title", "good", "bad" or ""), and a text.
# Alone on their lines are "link", which is to be copied and so must not be broken, and "picture",
# which only eyes can read. Only the text of style "text" may hold line breaks.
Fragment: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Fragment, ...]

UNNAMED = "(no name)"

# Between a name and the short form of a key.
MIDDLE_DOT = "\u00b7"

# What in a name could be taken for the key behind it: a dot, or one that looks alike (Unicode TR
# 39, confusables.txt), with as many digits as a short form has.
_FALSE_SHORT = re.compile(
    "([\u00b7\u0387\u1427\u16eb\u2022\u2027\u2219\u22c5\u2e31\u30fb\ua78f\uff65\U00010101])"
    "(?=[0-9a-fA-F]{8})"
)

# What in the name of a room could be taken for the end of the brackets that it stands in.
_BRACKETS = {ord(bracket): f"<U+{ord(bracket):04X}>" for bracket in "[]"}

# Digits that tell two rooms of one name apart.
_SHORT_LENGTH = 8

# Stands before what belongs to the line above.
_INDENT = " " * 6


def notice(text: str) -> Line:
    """
    A line that tells something.
    """
    return (("", safe_text(text)),)


def refusal(text: str) -> Line:
    """
    A line that says what cannot be, and why.
    """
    return (("bad", safe_text(text)),)


def _title(text: str) -> Line:
    return (("title", f"--- {text} ---"),)


# --- what somebody is called ------------------------------------------------------------------


def shown_name(name: str | None) -> str:
    """
    A name as it is shown: safe, and never with something in it that looks like a key.

    Args:
        name: What somebody calls themselves, if anything.
    """
    if name is None:
        return UNNAMED
    return _FALSE_SHORT.sub(lambda dot: f"<U+{ord(dot[1]):04X}>", safe_text(name))


def label_of(name: str | None, key: DeviceKey) -> str:
    """
    What to call a secure peer: two of one name differ in the key.

    Args:
        name: What it calls itself, if that is known.
        key: Its key.

    Returns:
        ``name·1a2b3c4d``. Safe to show.
    """
    return f"{shown_name(name)}{MIDDLE_DOT}{key.short}"


def room_label(room: bytes, name: str | None, namesakes: Collection[bytes] = ()) -> str:
    """
    What to call a room.

    Args:
        room: Which.
        name: What its founder called it, if that is known.
        namesakes: The rooms that share their name with another one of ours.

    Returns:
        ``#name``; ``#name·1a2b3c4d`` where that is not enough. Safe to show, in brackets too.
    """
    label = f"#{shown_name(name).translate(_BRACKETS)}"
    is_enough = name is not None and room not in namesakes
    return label if is_enough else f"{label}{MIDDLE_DOT}{room.hex()[:_SHORT_LENGTH]}"


def name_of(recipient: Recipient, name: str | None, namesakes: Collection[bytes] = ()) -> str:
    """
    What to call a peer or a room in a sentence.

    Args:
        recipient: Who.
        name: What it calls itself, if that is known.
        namesakes: The rooms that share their name with another one of ours.

    Returns:
        ``name·key`` of a secure peer; ``#name`` of a room; otherwise ``name (host:port)``, or just
        the address. Safe to show.
    """
    match recipient:
        case DeviceKey():
            return label_of(name, recipient)
        case RoomId(room):
            return room_label(room, name, namesakes)
        case Address():
            return str(recipient) if name is None else f"{shown_name(name)} ({recipient})"
        case _:
            assert_never(recipient)


def _addressee(recipient: Recipient, name: str | None, namesakes: Collection[bytes] = ()) -> str:
    # Without the name that somebody claims at an address: it is no part of where a text went.
    return name_of(recipient, None if isinstance(recipient, Address) else name, namesakes)


def _label(name: str | None, key: DeviceKey) -> Line:
    # In two styles, so that in colours a name cannot look like a label.
    return (("name", shown_name(name)), ("address", f"{MIDDLE_DOT}{key.short}"))


def _level(is_verified: bool) -> str:
    return "verified" if is_verified else "secure"


# --- what the node tells ----------------------------------------------------------------------


def event_lines(event: Event, namesakes: Collection[bytes] = ()) -> list[Line]:
    """
    What to show for something that the node tells.

    Args:
        event: What happened.
        namesakes: The rooms that share their name with another one of ours.

    Returns:
        The lines; none for what is no news to a person.
    """
    match event:
        case PlainTextReceived():
            return [
                (
                    *_who(event.time, event.sender, event.name),
                    ("", ": "),
                    ("text", safe_text(event.text, keep_newlines=True)),
                )
            ]
        case UnknownTextReceived():
            return [
                (
                    ("time", _clock(event.time)),
                    ("", " "),
                    ("mark", "[plain]"),
                    ("", " "),
                    ("address", event.host),
                    ("", " unknown sender: "),
                    ("text", safe_text(event.text, keep_newlines=True)),
                )
            ]
        case ConnectReceived():
            return [
                (
                    *_who(event.time, event.sender, event.name),
                    ("good", " connected to you"),
                    ("", f" ({safe_text(event.text)})"),
                )
            ]
        case ExitReceived():
            return [(*_who(event.time, event.sender, event.name), ("bad", " left"))]
        case TextReceived(contact=contact):
            return [
                (
                    *_who(event.time, contact.key, contact.name, contact.is_verified),
                    ("", ": "),
                    ("text", safe_text(event.text, keep_newlines=True)),
                )
            ]
        case RoomTextReceived(room=room, speaker=speaker):
            return [
                (
                    ("time", _clock(event.time)),
                    ("", " "),
                    _room_mark(room_label(room.room, room.name, namesakes), speaker.is_verified),
                    ("", " "),
                    *_label(speaker.name, speaker.key),
                    ("", ": "),
                    ("text", safe_text(event.text, keep_newlines=True)),
                )
            ]
        case CaughtUp(place=place, texts=count):
            if isinstance(place, Contact):
                where = f"from {label_of(place.name, place.key)}"
            else:
                where = f"in {room_label(place.room, place.name, namesakes)}"
            texts, them = ("1 text", "it") if count == 1 else (f"{count} texts", "them")
            return [notice(f"{texts} came {where} while you were away: type y to read {them}.")]
        case RoomChanged():
            return [_room_changed_line(event, namesakes)]
        case TextsRead(contact=contact):
            return [notice(f"Read by {label_of(contact.name, contact.key)}.")]
        case SessionOpened(contact=contact):
            if event.is_ours:
                return []
            who = _who(event.time, contact.key, contact.name, contact.is_verified)
            return [(*who, ("good", " connected to you"))]
        case CallerCame(caller=caller):
            return _caller_lines(caller)
        case LetIn(contact=contact):
            return [
                (
                    ("good", f"[{_level(contact.is_verified)}]"),
                    ("", " "),
                    *_label(contact.name, contact.key),
                    ("good", " let you in."),
                )
            ]
        case TextsDelivered(contact=contact, texts=count):
            texts = "1 text that waited is" if count == 1 else f"{count} texts that waited are"
            return [(("good", f"{texts} with {label_of(contact.name, contact.key)} now."),)]
        case TextsStranded(contact=contact, texts=stranded):
            texts = "1 text" if len(stranded) == 1 else f"{len(stranded)} texts"
            label = label_of(contact.name, contact.key)
            return [
                refusal(f"Not sent: {texts} for an old key. Type a to send again, to {label}."),
                *(_with_text(f"{_INDENT}It was: ", text) for text in stranded),
            ]
        case ForkSeen(contact=contact):
            label = label_of(contact.name, contact.key)
            return [
                refusal(
                    f"Warning: {label} signed two different texts with one number, {event.seq}. "
                    "Two programs use its key, or it lies: ask it by another way."
                )
            ]
        case OutOfStep(contact=contact):
            label = label_of(contact.name, contact.key)
            return [
                refusal(
                    f"Warning: {label} holds something else in your conversation than this node. A "
                    "journal was lost, or a key is used by two programs: what one of you writes "
                    "does not reach the other. Go back to the folder that was used before, or "
                    "start anew with another one."
                )
            ]
        case StoreFailed(reason=reason):
            return [refusal(f"Not kept, and still with whoever said it: {reason}")]
        case PlainNotKept(reason=reason):
            told = "Plain texts are shown and sent, and are not in the history for now"
            return [refusal(f"{told}: {reason}")]
        case PeerAdded() | PeerChanged() | PeerRemoved() | NearbyChanged():
            return []
        case _:
            assert_never(event)


def _clock(time: float) -> str:
    return _minute(int(time // 60))


# A busy minute asks for the same text thousands of times.
@lru_cache(maxsize=4)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60).strftime("%H:%M")


def _who(time: float, sender: Recipient, name: str | None, is_verified: bool = False) -> Line:
    match sender:
        case Address():
            mark: Line = (("mark", "[plain]"),)
            who: Line = (("address", str(sender)), ("", " "), ("name", shown_name(name)))
        case DeviceKey():
            mark = (("good", f"[{_level(is_verified)}]"),)
            who = _label(name, sender)
        case RoomId():
            raise ValueError("a room says nothing: somebody in it does")
        case _:
            assert_never(sender)
    return (("time", _clock(time)), ("", " "), *mark, ("", " "), *who)


def _room_mark(label: str, is_verified: bool) -> Fragment:
    # The level comes first, where no name of a room can stand.
    return ("good", f"[verified {label}]" if is_verified else f"[{label}]")


def _room_changed_line(event: RoomChanged, namesakes: Collection[bytes]) -> Line:
    room, speaker = event.room, event.speaker
    label = room_label(room.room, room.name, namesakes)
    mark = _room_mark(label, speaker is not None and speaker.is_verified)
    who: Line = () if speaker is None else _label(speaker.name, speaker.key)
    match event.change:
        case RoomChange.INVITED:
            what: Line = (*who, ("good", " invites you."), ("", " Type m to join, or to decline."))
        case RoomChange.JOINED:
            what = (("good", "You are in it now."),)
        case RoomChange.LEFT:
            what = (("", "You are not in it any more. What you got of it stays in your history."),)
        case RoomChange.REMOVED:
            what = (("bad", "You were removed: nobody there gets what you write any more."),)
        case RoomChange.NOT_LET_IN:
            what = (("bad", "Warning: the invitation was not true. Nobody there has added you."),)
        case RoomChange.CAME:
            what = (*who, ("good", " was added"))
        case RoomChange.WENT:
            what = (*who, ("", " left, or was removed"))
        case _:
            assert_never(event.change)
    return (mark, ("", " "), *what)


def _caller_lines(caller: Caller) -> list[Line]:
    begin = (("time", _clock(caller.time)), ("", " "), ("mark", "[door]"), ("", " "))
    label = _label(caller.name, caller.key)
    where = (("", " ("), ("address", str(caller.address)), ("", ")"))
    match caller.reason:
        case Reason.KNOCK:
            said: Line = (("", "."),)
            if caller.text:
                said = (
                    ("", ': "'),
                    ("text", safe_text(caller.text, keep_newlines=True)),
                    ("", '"'),
                )
            return [
                (*begin, *label, *where, ("", " knocks"), *said, ("", "  Type t to let it in."))
            ]
        case Reason.NAMESAKE | Reason.NEW_KEY:
            what = " has the name of a contact, but another key."
            if caller.reason is Reason.NEW_KEY:
                what = " answers where a contact was, with another key."
            return [
                (*begin, *label, *where, ("bad", what)),
                *_evidence(caller),
                refusal(
                    f"{_INDENT}Nothing goes to it until you decide with t. Ask your contact by "
                    "another way whether this key is its own."
                ),
            ]
        case Reason.DOWNGRADE:
            return [
                (
                    *begin,
                    ("address", str(caller.address)),
                    ("bad", " answers without proving who it is, where you met "),
                    *label,
                    ("bad", "."),
                ),
                refusal(
                    f"{_INDENT}Nothing goes there until you decide with t: somebody else may have "
                    "that address now, or be between you."
                ),
            ]
        case _:
            assert_never(caller.reason)


def _evidence(caller: Caller) -> list[Line]:
    # What it said; and both keys one above the other, so that eyes can run along them.
    lines: list[Line] = []
    if caller.text:
        text = safe_text(caller.text, keep_newlines=True)
        lines.append((("", f'{_INDENT}It says: "'), ("text", text), ("", '"')))
    if caller.contact is not None and caller.contact.key != caller.key:
        known = caller.contact
        lines += [
            (
                ("", f"{_INDENT}The known key of "),
                *_label(known.name, known.key),
                ("", ", and below it this one:"),
            ),
            _fingerprint(known.key),
            _fingerprint(caller.key),
        ]
    return lines


def _fingerprint(key: DeviceKey) -> Line:
    # Alone on its line, so that a row of 80 columns holds it.
    return (("address", key.fingerprint),)


# --- what became of what was sent -------------------------------------------------------------


def sent_line(sent: Sent, namesakes: Collection[bytes] = ()) -> Line:
    """
    What to show when a text has been taken, or is kept.

    Args:
        sent: What became of it.
        namesakes: The rooms that share their name with another one of ours.
    """
    recipient = _addressee(sent.recipient, sent.name, namesakes)
    match sent.kind:
        case Kind.MESSAGE:
            return _message_line(sent, recipient)
        case Kind.CONNECT:
            return (("good", f"Connected to {recipient}"),)
        case Kind.EXIT:
            return (("good", f"Said exit to {recipient}: off the lists"),)
        case _:
            assert_never(sent.kind)


def _message_line(sent: Sent, recipient: str) -> Line:
    match sent.progress:
        case Progress.TAKEN:
            parts = f" in {sent.pieces} parts" if sent.pieces > 1 else ""
            return (("good", f"Message sent to {recipient}{parts}"),)
        case Progress.DELIVERED | Progress.READ:
            everybody = "everybody in " if isinstance(sent.recipient, RoomId) else ""
            return (("good", f"Message delivered to {everybody}{recipient}"),)
        case Progress.CARRIED:
            return (
                (
                    "good",
                    f"Message is with somebody in {recipient}; it reaches all of them also without "
                    "you.",
                ),
            )
        case Progress.WAITING if isinstance(sent.recipient, RoomId):
            return notice(
                f"Message kept: nobody else of {recipient} is here. It goes out when you meet one "
                "of them."
            )
        case Progress.WAITING:
            return notice(f"Message kept: {recipient} is away. It goes out when you meet.")
        case Progress.AT_THE_DOOR:
            return notice(
                f"Message kept: {recipient} has not let you in yet. Until then it is shown the "
                "beginning of your first text, and no more."
            )
        case _:
            assert_never(sent.progress)


def not_sent_lines(
    recipient: Recipient,
    reason: str,
    unsent: str,
    name: str | None = None,
    namesakes: Collection[bytes] = (),
    *,
    is_away: bool = False,
) -> list[Line]:
    """
    What to show when a text was not taken.

    Args:
        recipient: Whom it was for.
        reason: What happened.
        unsent: What of it is still to be sent.
        name: What a secure peer or a room is called, if that is known.
        namesakes: The rooms that share their name with another one of ours.
        is_away: Whether it may arrive when the recipient is back.

    Returns:
        The lines. They hold the text: nothing that was typed is lost.
    """
    who = _addressee(recipient, name, namesakes)
    later = [notice("Type w to have it sent when that peer is back.")]
    return [
        (("bad", f"Not sent to {who}. "), ("", safe_text(reason))),
        *(later if is_away and isinstance(recipient, Address) else []),
        _with_text("Type a to send it again. It was: ", unsent),
    ]


def _with_text(before: str, text: str) -> Line:
    return (("", before), ("text", safe_text(text, keep_newlines=True)))


def waits_lines(address: Address, text: str) -> list[Line]:
    """
    What to show when a text for a classic peer is to be sent as soon as that is back.
    """
    return [
        notice(
            f"Kept for {address}: tried every minute, and whenever that peer speaks, until this "
            "chat ends or you type w again."
        ),
        _with_text("It is: ", text),
    ]


def late_lines(sent: Sent, text: str) -> list[Line]:
    """
    What to show when a text that was kept for a classic peer has been sent after all.
    """
    return [sent_line(sent), _with_text(f"{_INDENT}It waited. It was: ", text)]


def given_back_lines(address: Address, text: str) -> list[Line]:
    """
    What to show when a text for a classic peer is not kept for its return any more.
    """
    return [_with_text(f"No longer kept for {address}. Type a to send it again. It is: ", text)]


def still_late_lines(late: Sequence[tuple[Address, str]]) -> list[Line]:
    """
    What to show at the end, when classic peers have not come back.

    Args:
        late: To whom what was to go.
    """
    if not late:
        return []
    texts = "1 text" if len(late) == 1 else f"{len(late)} texts"
    return [
        refusal(f"Not sent: {texts} for peers that did not come back."),
        *(_with_text(f"{_INDENT}To {address}: ", text) for address, text in late),
    ]


def recalled_line(label: str, text: str) -> Line:
    """
    What to show when a text has been taken back.

    Args:
        label: Whom it was for, safe to show.
        text: The text.
    """
    # Not that nobody has seen it: its beginning may have been shown at somebody's door.
    return (("good", f"Taken back: it does not go to {label}. "), *_with_text("It was: ", text))


def failed_connection_line(recipient: Recipient, reason: str, name: str | None = None) -> Line:
    """
    What to show when a peer could not be connected to.
    """
    who = _addressee(recipient, name)
    return (("bad", f"Failed to connect to {who}. "), ("", safe_text(reason)))


# --- lists ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """
    Somebody on a list.

    Attributes:
        recipient: Who it is: their key, or their address.
        address: Where they can be reached.
        name: What they are called.
        mark: What is proven about them.
        news: What else is to be told.
    """

    recipient: Recipient
    address: str
    name: Line
    mark: Fragment
    news: str


def peer_row(peer: Peer, now: float) -> Row:
    """
    The row of a peer that is on the lists.
    """
    heard = "not heard yet" if peer.last_heard is None else f"heard {_ago(peer.last_heard, now)}"
    address = str(peer.address)
    if peer.key is None:
        return Row(peer.id, address, (("name", shown_name(peer.name)),), ("mark", "plain"), heard)
    name = _label(peer.name, peer.key)
    return Row(peer.id, address, name, ("good", _level(peer.is_verified)), heard)


def unlisted_row(address: Address) -> Row:
    """
    The row of a classic peer that is on no list any more.

    Args:
        address: Where it was.
    """
    return Row(address, str(address), (("name", UNNAMED),), ("mark", "plain"), "not on the lists")


def contact_row(contact: Contact, now: float) -> Row:
    """
    The row of a contact that is away, or whose key alone matters.
    """
    return Row(
        contact.key,
        str(contact.addresses[0]) if contact.addresses else "-",
        _label(contact.name, contact.key),
        ("bad", "blocked") if contact.is_blocked else ("good", _level(contact.is_verified)),
        "not met yet" if contact.last_met is None else f"met {_ago(contact.last_met, now)}",
    )


def nearby_row(nearby: Nearby, contact: Contact | None) -> Row:
    """
    The row of a node that was found on the network.

    Args:
        nearby: What was found.
        contact: The contact that it hints to be; then that one is who is sent to.
    """
    address = nearby.addresses[0]
    if contact is None:
        return Row(address, str(address), (("", "unknown"),), ("mark", "-"), "never met")
    name = _label(contact.name, contact.key)
    mark = ("good", _level(contact.is_verified))
    return Row(contact.key, str(address), name, mark, "seems to be here")


def caller_row(caller: Caller, now: float) -> Row:
    """
    The row of somebody at the door.
    """
    news = f"{_REASONS[caller.reason]}, {_ago(caller.time, now)}"
    name = _label(caller.name, caller.key)
    return Row(caller.key, str(caller.address), name, ("mark", "door"), news)


def room_row(
    room: RoomRecord, people: int, inviter: str | None, namesakes: Collection[bytes] = ()
) -> Row:
    """
    The row of a room.

    Args:
        room: The room.
        people: How many are in it, as far as is known.
        inviter: What whoever invited us is called, if that is known.
        namesakes: The rooms that share their name with another one of ours.
    """
    label: Line = (("name", room_label(room.room, room.name, namesakes)),)
    if room.stay is Stay.INVITED:
        by = f"by {label_of(inviter, room.inviter)}"
        return Row(RoomId(room.room), "", label, ("mark", "invited"), by)
    if room.stay is Stay.LEFT:
        return Row(RoomId(room.room), "", label, ("bad", "left"), "only its history is here")
    # Until its entries have come nobody is known to be in it.
    news = f"{people} people" if people > 1 else "only you" if people else "nobody met yet"
    return Row(RoomId(room.room), "", label, ("good", "room"), news)


def member_row(member: Speaker, *, is_us: bool, is_founder: bool) -> Row:
    """
    The row of somebody in a room.
    """
    mark = ("good", "you" if is_us else _level(member.is_verified))
    label = _label(member.name, member.key)
    return Row(member.key, "", label, mark, "founded it" if is_founder else "")


def with_unread(row: Row, unread: int) -> Row:
    """
    A row that tells how many texts of somebody have not been read yet.
    """
    return replace(row, news=f"{row.news}, {unread} unread") if unread else row


_REASONS = {
    Reason.KNOCK: "asks to be let in",
    Reason.NAMESAKE: "has a contact's name",
    Reason.NEW_KEY: "has another key than a contact",
    Reason.DOWNGRADE: "shows no key any more",
}


@dataclass(frozen=True, slots=True)
class Lists:
    """
    Everybody there is.

    Attributes:
        active: The active peers.
        connected: The connected ones among them.
        away: The contacts that are not among them.
        nearby: The nodes that were found on the network.
        rooms: The rooms that we are in or are invited to.
        callers: Those at the door, to whom nothing can be sent.
    """

    active: Sequence[Row] = ()
    connected: Sequence[Row] = ()
    away: Sequence[Row] = ()
    nearby: Sequence[Row] = ()
    rooms: Sequence[Row] = ()
    callers: Sequence[Row] = ()

    @property
    def numbered(self) -> tuple[Recipient, ...]:
        """
        Those who can be sent to, each once, in the order of their numbers, which begin with 1.
        """
        rows = (*self.active, *self.connected, *self.away, *self.nearby, *self.rooms)
        return tuple(dict.fromkeys(row.recipient for row in rows))


_ROOMS = "Rooms (make, join, leave and more with m)"


def lists_lines(lists: Lists) -> list[Line]:
    """
    All lists, numbered; whoever is on several has one number.

    Args:
        lists: Who is there.

    Returns:
        The lines. That there are no active or no connected peers is said; what else is empty is
        left out.
    """
    sections = (
        ("Active peers (a message went either way)", lists.active, "No active peers."),
        (
            "Connected peers (one of you connected to the other)",
            lists.connected,
            "No connected peers.",
        ),
        ("Known, but away", lists.away, ""),
        ("Nearby (found on this network)", lists.nearby, ""),
        (_ROOMS, lists.rooms, ""),
        ("At the door (decide with t)", lists.callers, ""),
    )
    numbers = {recipient: number for number, recipient in enumerate(lists.numbered, start=1)}
    rows = [row for _, section, _ in sections for row in section]
    can_be_sent_to = len(rows) - len(lists.callers)
    drawn = iter(
        _rows(
            rows,
            [numbers[row.recipient] for row in rows[:can_be_sent_to]] + [None] * len(lists.callers),
        )
    )
    lines: list[Line] = []
    for title, section, nobody in sections:
        if section or nobody:
            lines.append(_title(title))
            lines.extend([next(drawn) for _ in section] or [notice(nobody)])
    return lines


def namesakes_lines(rows: Sequence[Row]) -> list[Line]:
    """
    Those who could be meant, numbered.

    Args:
        rows: At least two.
    """
    return [
        *_rows(rows, range(1, len(rows) + 1)),
        refusal(f"{len(rows)} could be meant: give the number or the address of the one."),
    ]


def _rows(rows: Sequence[Row], numbers: Sequence[int | None]) -> list[Line]:
    names = [sum(_width(text) for _, text in row.name) for row in rows]
    name_width = max(names, default=0)
    address_width = max((len(row.address) for row in rows), default=0)
    mark_width = len("verified")
    number_width = len(f"{max((number or 0 for number in numbers), default=0)}. ")
    return [
        (
            ("", (f"{number}." if number else "").ljust(number_width)),
            # Of those who have an address, or beside them.
            *((("address", row.address.ljust(address_width)), ("", "  ")) if address_width else ()),
            *row.name,
            ("", " " * (name_width - width) + "  "),
            (row.mark[0], row.mark[1].ljust(mark_width)),
            ("", "  "),
            ("time", row.news),
        )
        for row, number, width in zip(rows, numbers, names, strict=True)
    ]


def _width(text: str) -> int:
    # Without a control character in it, which a safe text never has, this is never negative.
    return wcswidth(text)


def _ago(time: float, now: float) -> str:
    # A clock that was set back must not show a time to come.
    ago = max(0, int(now - time))
    if ago < 60:
        return f"{ago} s ago"
    if ago < 3600:
        return f"{ago // 60} min ago"
    if ago < 86400:
        return f"{ago // 3600} h ago"
    return f"{ago // 86400} d ago"


# --- rooms ------------------------------------------------------------------------------------


def rooms_lines(rows: Sequence[Row]) -> list[Line]:
    """
    The rooms, numbered.

    Args:
        rows: Each; none where there are no rooms.
    """
    return [
        _title(_ROOMS),
        *(_rows(rows, range(1, len(rows) + 1)) or [notice("No rooms.")]),
    ]


def people_lines(label: str, rows: Sequence[Row]) -> list[Line]:
    """
    Who is in a room, numbered.

    Args:
        label: What the room is called, safe to show.
        rows: Each of them.
    """
    return [_title(f"People in {label}"), *_rows(rows, range(1, len(rows) + 1))]


def room_choice_lines(label: str, letters: str) -> list[Line]:
    """
    What can be done in a room.

    Args:
        label: What the room is called, safe to show.
        letters: The letters that can be typed.
    """
    return [
        notice(f"Choose what to do in {label}:"),
        *(notice(f"{letter} - {_IN_ROOM[letter]}") for letter in letters),
    ]


_IN_ROOM = {
    "w": "Write to everybody in it",
    "h": "Show what was said",
    "p": "Show who is in it",
    "a": "Add a contact: it gets all that was said there",
    "x": "Remove somebody: what they write from then on is no part of it",
    "j": "Join it",
    "l": "Leave it: what you got of it stays in your history",
    "d": "Decline to come",
}


# --- what was said ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quote:
    """
    A line of history, and what is known about it.

    Attributes:
        line: The line.
        recipient: To whom one would answer.
        name: What that one is called, if that is known.
        speaker: What the author is called.
        is_verified: Whether the key that proves who said it was compared; of our own, the
            recipient's.
        progress: How far it has come, if it is ours.
    """

    line: LineOfHistory
    recipient: Recipient
    name: str | None
    speaker: str
    is_verified: bool
    progress: Progress | None


_STATES = {
    Progress.TAKEN: "sent",
    Progress.WAITING: "kept",
    Progress.AT_THE_DOOR: "kept",
    Progress.CARRIED: "carried",
    Progress.DELIVERED: "delivered",
    Progress.READ: "read",
}


def history_lines(
    quotes: Iterable[Quote],
    after: LineOfHistory | None = None,
    namesakes: Collection[bytes] = (),
) -> list[Line]:
    """
    What was said, with a line of its own for each day.

    Args:
        quotes: What was said, in order.
        after: What stands right above it already, if anything.
        namesakes: The rooms that share their name with another one of ours.
    """
    lines: list[Line] = []
    day = None if after is None else _day(after.time)
    for quote in quotes:
        if _day(quote.line.time) != day:
            day = _day(quote.line.time)
            lines.append(_title(day))
        lines.append(_quoted(quote, namesakes))
    return lines


def passage_lines(
    quotes: Sequence[Quote], found: Collection[int], namesakes: Collection[bytes] = ()
) -> list[Line]:
    """
    Lines among which something was found, which are marked.

    Args:
        quotes: The lines, in order.
        found: The numbers of those that were looked for.
        namesakes: The rooms that share their name with another one of ours.
    """
    first = quotes[0]
    where = _addressee(first.recipient, first.name, namesakes)
    return [
        _title(f"{_day(first.line.time)}, {where}"),
        *(
            (("good", "> " if quote.line.number in found else "  "), *_quoted(quote, namesakes))
            for quote in quotes
        ),
    ]


def _quoted(quote: Quote, namesakes: Collection[bytes]) -> Line:
    line, recipient = quote.line, quote.recipient
    who: Line
    to: Line = (("", " to "), ("name", _addressee(recipient, quote.name)))
    if line.author is None:
        # What went in plain stays that, whoever has the address now.
        mark, address = ("mark", "[plain]"), ("address", str(line.place))
        who, to = (address, ("", " "), ("name", shown_name(line.name))), (("", " to "), address)
    elif isinstance(recipient, RoomId):
        mark = _room_mark(room_label(recipient.raw, quote.name, namesakes), quote.is_verified)
        who, to = _label(quote.speaker, line.author), ()
    else:
        mark = ("good", f"[{_level(quote.is_verified)}]")
        who = _label(quote.speaker, line.author)
    if line.is_ours:
        who = (("name", "you"), *to)
    state: Line = ()
    if quote.progress is not None:
        state = (("time", f" ({_STATES[quote.progress]})"),)
    return (
        ("time", _clock(line.time)),
        ("", " "),
        mark,
        ("", " "),
        *who,
        ("", ": "),
        ("text", safe_text(line.text, keep_newlines=True)),
        *state,
    )


def unread_line(unread: int, conversations: int) -> Line:
    """
    How much came that has not been read yet.

    Args:
        unread: How many texts, at least one.
        conversations: In how many conversations.
    """
    where = "1 conversation" if conversations == 1 else f"{conversations} conversations"
    them = "it" if unread == 1 else "them"
    return notice(f"{unread} unread in {where}: type y to read {them}.")


def unread_lines(rows: Sequence[Row]) -> list[Line]:
    """
    Where there is something unread, numbered.

    Args:
        rows: Each conversation.
    """
    return [_title("Unread"), *_rows(rows, range(1, len(rows) + 1))]


# --- trust ------------------------------------------------------------------------------------


def trust_lines(callers: Sequence[Caller], contacts: Sequence[Contact], now: float) -> list[Line]:
    """
    Those about whom something can be decided, numbered: first the callers, then the contacts.

    Args:
        callers: Those at the door.
        contacts: Those who are known, blocked or not.
        now: The time, in seconds since the epoch.
    """
    rows = [
        *(caller_row(caller, now) for caller in callers),
        *(
            replace(row, news=f"{row.news}, known since {_day(contact.since)}")
            for contact in contacts
            for row in [contact_row(contact, now)]
        ),
    ]
    drawn = _rows(rows, range(1, len(rows) + 1))
    lines: list[Line] = []
    if callers:
        lines.append(_title("At the door"))
        for caller, line in zip(callers, drawn, strict=False):
            lines += [line, *_evidence(caller)]
    if contacts:
        lines += [_title("Contacts"), *drawn[len(callers) :]]
    return lines


def _day(time: float) -> str:
    return datetime.fromtimestamp(time).strftime("%Y-%m-%d")


# What a person can say, and what is told when it has been done.
_DECISIONS = {
    Decision.ACCEPT: ("Let it in: it becomes a contact", "Let in: {label}."),
    Decision.IGNORE: (
        "Leave it at the door: decide later",
        "Left at the door: {label}. You can still decide with t.",
    ),
    Decision.BLOCK: ("Block it: keep it out for good", "Blocked: {label}."),
    Decision.NEW_KEY: (
        "It is the contact with a new key: the old one counts no longer",
        "Known by its new key from now on, and not verified: {label}.",
    ),
    Decision.SOMEBODY_ELSE: (
        "It is somebody else: let it in beside the contact",
        "Let in as somebody else: {label}.",
    ),
    Decision.KEEP_OLD: (
        "Keep the contact's old key only: this one stays outside",
        "Kept the old key only. Left outside: {label}.",
    ),
    Decision.FORGET: (
        "Forget it: it is a stranger again, and may knock",
        "Forgotten: {label}.",
    ),
}
# The same where no key was shown at all.
_DECISIONS_WITHOUT_KEY = {
    Decision.KEEP_OLD: (
        "Keep to the contact's key: nothing goes there in the clear",
        "Nothing goes to {address} without the key of {label}.",
    ),
    Decision.SOMEBODY_ELSE: (
        "Somebody else has that address now: speak with it in the clear",
        "The address {address} is somebody else's now, and no longer that of {label}.",
    ),
}


def decision_lines(
    subject: Caller | Contact, choices: Iterable[tuple[str, Decision | None]]
) -> list[Line]:
    """
    What can be said about a caller or a contact.

    Args:
        subject: Which.
        choices: The letters, and what each stands for; ``None`` is to verify it.
    """
    lines = [notice(f"Choose what to do about {label_of(subject.name, subject.key)}:")]
    for letter, decision in choices:
        text = "Verify it: compare six words with it"
        if decision is not None:
            text, _ = _texts(subject, decision)
        lines.append(notice(f"{letter} - {text}"))
    return lines


def decided_line(subject: Caller | Contact, decision: Decision) -> Line:
    """
    What to show when it has been done.

    Args:
        subject: Who was decided about.
        decision: What was said.
    """
    _, text = _texts(subject, decision)
    address = subject.address if isinstance(subject, Caller) else ""
    return (("good", text.format(label=label_of(subject.name, subject.key), address=address)),)


def _texts(subject: Caller | Contact, decision: Decision) -> tuple[str, str]:
    if isinstance(subject, Caller) and subject.reason is Reason.DOWNGRADE:
        return _DECISIONS_WITHOUT_KEY[decision]
    return _DECISIONS[decision]


def words_lines(label: str, words: Sequence[str], *, is_contact: bool) -> list[Line]:
    """
    The six words, and what to do with them.

    Args:
        label: Whom they are to be compared with, safe to show.
        words: The words.
        is_contact: Whether the next question is for what came of it; a caller is let in first.
    """
    lines = [
        notice(f"The six words for you and {label}:"),
        (("", _INDENT), ("title", " ".join(words))),
        notice(f"Compare them with {label} by another way: face to face, or on the telephone."),
    ]
    if not is_contact:
        lines.append(notice("If they are the same, let it in with t, and verify it with v."))
    return lines


def verified_line(label: str) -> Line:
    """
    What to show when a contact has been verified.
    """
    return (("good", f"Verified: {label}."),)


def words_differ_lines(label: str) -> list[Line]:
    """
    What it means that the words are not the same.
    """
    return [
        refusal(
            f"Warning: then somebody is between you and {label}, or it is not who you think it is. "
            "Write nothing secret to it, and block it with t. You can still meet by an invite that "
            "comes to you by another way."
        ),
    ]


def invite_lines(team: str, invite: Invite) -> list[Line]:
    """
    Who we are, and how to meet us.

    Args:
        team: Our team name.
        invite: Our invite.
    """
    picture = qr_lines(invite.link)
    return [
        notice(f"Your name: {team}"),
        notice("Your key:"),
        _fingerprint(invite.key),
        notice("Your invite: whoever pastes it as the recipient meets you, and nobody else."),
        (("link", invite.link),),
        *((("picture", line),) for line in picture),
    ]
