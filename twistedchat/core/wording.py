"""
How the chat puts things: every line that a person reads, as styled fragments.

A face draws the fragments as it can: a terminal in colours, a pipe as bare text. Everything from
outside passes through `twistedchat.core.safetext` here. Without any I/O.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TypeAlias, assert_never

from wcwidth import wcswidth

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Kind
from twistedchat.core.events import (
    ConnectReceived,
    Event,
    ExitReceived,
    PeerAdded,
    PeerChanged,
    PeerRemoved,
    PlainTextReceived,
    Sent,
    UnknownTextReceived,
)
from twistedchat.core.roster import Peer, PeerList
from twistedchat.core.safetext import safe_text

__all__ = [
    "Fragment",
    "Line",
    "event_lines",
    "failed_connection_line",
    "lists_lines",
    "name_of",
    "not_sent_lines",
    "notice",
    "refusal",
    "sent_line",
]

# A style ("time", "address", "name", "text", "mark", "title", "good", "bad" or ""), and a text.
# Only the text of style "text" may hold line breaks.
Fragment: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Fragment, ...]

UNNAMED = "(no name)"


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


def name_of(peer: Peer | None, address: Address) -> str:
    """
    What to call a peer in a sentence.

    Args:
        peer: What is known of it.
        address: Where it listens.

    Returns:
        ``name (host:port)``, or just the address. Safe to show.
    """
    if peer is None or peer.name is None:
        return str(address)
    return f"{safe_text(peer.name)} ({address})"


def event_lines(event: Event) -> list[Line]:
    """
    What to show for something that the node tells.

    Args:
        event: What happened.

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
        case PeerAdded() | PeerChanged() | PeerRemoved():
            return []
        case _:
            assert_never(event)


def _clock(time: float) -> str:
    return _minute(int(time // 60))


# A busy minute asks for the same text thousands of times.
@lru_cache(maxsize=4)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60).strftime("%H:%M")


def _who(time: float, sender: Address, name: str | None) -> Line:
    return (
        ("time", _clock(time)),
        ("", " "),
        ("mark", "[plain]"),
        ("", " "),
        ("address", str(sender)),
        ("", " "),
        ("name", UNNAMED if name is None else safe_text(name)),
    )


def sent_line(sent: Sent) -> Line:
    """
    What to show when a text has been taken.
    """
    recipient = str(sent.recipient)
    match sent.kind:
        case Kind.MESSAGE:
            parts = f" in {sent.pieces} parts" if sent.pieces > 1 else ""
            return (("good", f"Message sent to {recipient}{parts}"),)
        case Kind.CONNECT:
            return (("good", f"Connected to {recipient}"),)
        case Kind.EXIT:
            return (("good", f"Said exit to {recipient}: off the lists"),)
        case _:
            assert_never(sent.kind)


def not_sent_lines(recipient: Address, reason: str, unsent: str) -> list[Line]:
    """
    What to show when a text was not taken.

    Args:
        recipient: Whom it was for.
        reason: What happened.
        unsent: What of it is still to be sent.

    Returns:
        The lines. They hold the text: nothing that was typed is lost.
    """
    return [
        (("bad", f"Not sent to {recipient}. "), ("", safe_text(reason))),
        (
            ("", "Type a to send it again. It was: "),
            ("text", safe_text(unsent, keep_newlines=True)),
        ),
    ]


def failed_connection_line(address: Address, reason: str) -> Line:
    """
    What to show when a peer could not be connected to.
    """
    return (("bad", f"Failed to connect to {address}. "), ("", safe_text(reason)))


def lists_lines(peers: PeerList, now: float) -> list[Line]:
    """
    Both lists, numbered; a peer that is on both has one number.

    Args:
        peers: Who is there.
        now: The time, in seconds since the epoch.

    Returns:
        The lines.
    """
    active = peers.active()
    lines: list[Line] = [(("title", "--- Active peers (a message went either way) ---"),)]
    rows = dict(zip((peer.address for peer in active), _rows(active, now), strict=True))
    lines.extend(rows.values())
    if not active:
        lines.append(notice("No active peers."))
    lines.append((("title", "--- Connected peers (one of you connected to the other) ---"),))
    connected = [rows[peer.address] for peer in active if peer.is_connected]
    lines.extend(connected or [notice("No connected peers.")])
    return lines


def _rows(peers: list[Peer], now: float) -> list[Line]:
    names = [UNNAMED if peer.name is None else safe_text(peer.name) for peer in peers]
    addresses = [str(peer.address) for peer in peers]
    name_width = max(map(_width, names), default=0)
    address_width = max(map(len, addresses), default=0)
    return [
        (
            ("", f"{number}. "),
            ("address", address.ljust(address_width)),
            ("", "  "),
            ("name", name + " " * (name_width - _width(name))),
            ("", "  "),
            ("mark", f"{peer.dialect.value if peer.dialect else '-':<10}"),
            ("", "  "),
            ("time", _when(peer.last_heard, now)),
        )
        for number, (peer, name, address) in enumerate(
            zip(peers, names, addresses, strict=True), start=1
        )
    ]


def _width(text: str) -> int:
    # Without a control character in it, which a safe text never has, this is never negative.
    return wcswidth(text)


def _when(last_heard: float | None, now: float) -> str:
    if last_heard is None:
        return "not heard yet"
    # A clock that was set back must not show a time to come.
    ago = max(0, int(now - last_heard))
    if ago < 60:
        return f"heard {ago} s ago"
    if ago < 3600:
        return f"heard {ago // 60} min ago"
    if ago < 86400:
        return f"heard {ago // 3600} h ago"
    return f"heard {ago // 86400} d ago"
