"""
What somebody said, for good: entries, the chain they form, and the signature that vouches for it.

Each author's entries in a room are numbered from 1, and each holds the hash of the one before it.
So a signature under one of them vouches for every entry before it, and entries travel as *runs*:
consecutive entries of one author, of which the last is signed. What is hashed and signed are not
the octets that travel but the *written form* below, of which every entry has exactly one. Specified
in ``docs/protocol-secure.md``. Without any I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

import msgspec

from twistedchat.core.errors import LocalProtocolError, RemoteProtocolError
from twistedchat.core.identity import DeviceKey, Identity

__all__ = [
    "LARGEST_BODY",
    "LARGEST_NUMBER",
    "MOST_AHEAD",
    "NOTHING",
    "TEXT",
    "Entry",
    "Run",
    "Said",
    "check_run",
    "direct_room",
    "next_time",
    "sign_run",
    "written_form",
]

HASH_LENGTH = 32

# The hash that stands before an author's first entry.
NOTHING = bytes(HASH_LENGTH)

# Bytes of what one entry says. As JSON a control character takes six times its size, so that any
# body of this size fits into a frame together with all that stands around it.
LARGEST_BODY = 10_000

# Sequence numbers and times: every JSON reader gets integers up to here right (RFC 7493 section
# 2.2). As microseconds that lasts until the year 2255.
LARGEST_NUMBER = 2**53 - 1

# Microseconds that another clock can be ahead of ours and still be followed: a year of them. Clocks
# that are set wrong are so by hours, days, or a year that was typed wrong; and without a bound one
# member could take the room's clock to its end, where no two things have an order any more.
MOST_AHEAD = 366 * 24 * 3600 * 1_000_000

# What a person said. Other kinds are kept and handed on, so that later nodes can have more.
TEXT = "text"

_KIND = re.compile(r"[a-z][a-z-]{0,31}\Z")
_DOMAIN = b"twistedchat entry 1\n"
_HEAD = Struct(f">Q{HASH_LENGTH}sQB")


class Said(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """
    What of an entry its place in a run does not tell.

    Attributes:
        time: When it was said: microseconds since the epoch by the room's clock (see `next_time`).
        kind: What the body means, such as `TEXT`: 1 to 32 lower-case letters and hyphens.
        body: The text, or what else the kind calls for; at most `LARGEST_BODY` bytes as UTF-8.
    """

    time: int
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One thing that somebody said.

    Attributes:
        room: Where: the 32 octets that name the room.
        author: By whom.
        seq: Its number among the author's entries in the room, from 1.
        prev: The hash of the author's entry before it, or `NOTHING`.
        said: The rest.
        hash: SHA-256 of its written form.
        signature: The author's, over its written form; empty for an entry that only a later one
            vouches for.
    """

    room: bytes
    author: DeviceKey
    seq: int
    prev: bytes
    said: Said
    hash: bytes
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Run:
    """
    Consecutive entries of one author in one room, the last of them signed.

    Attributes:
        room: Where.
        author: By whom.
        seq: The number of the first.
        prev: The hash before the first.
        said: What they say, at least one.
        signature: The author's, over the written form of the last.
    """

    room: bytes
    author: DeviceKey
    seq: int
    prev: bytes
    said: tuple[Said, ...]
    signature: bytes


def direct_room(one: DeviceKey, other: DeviceKey) -> bytes:
    """
    The room of two people, which both find by themselves.

    Args:
        one: One of them.
        other: The other one; the order makes no difference.

    Returns:
        The 32 octets that name it.
    """
    first, second = sorted((one.raw, other.raw))
    return sha256(b"twistedchat direct 1\n" + first + second).digest()


def next_time(now: float, last: int) -> int:
    """
    The time of a new entry: a hybrid logical clock in one number (Kulkarni and others, 2014).

    Args:
        now: The time, in seconds since the epoch.
        last: The largest time that was seen in the room, in microseconds.

    Returns:
        Now, in microseconds; or just after the last where our clock is behind, so that an answer
        never stands before its question. What is further ahead of our clock than `MOST_AHEAD` does
        not count.
    """
    ours = int(now * 1_000_000)
    seen = last if last <= ours + MOST_AHEAD else -1
    return min(max(ours, seen + 1, 0), LARGEST_NUMBER)


def written_form(room: bytes, author: DeviceKey, seq: int, prev: bytes, said: Said) -> bytes:
    """
    The octets of an entry that are hashed and signed.

    Args:
        room: Where.
        author: By whom.
        seq: Its number.
        prev: The hash before it.
        said: The rest.

    Returns:
        A fixed head, and the body at the end.
    """
    return b"".join(
        (
            _DOMAIN,
            room,
            author.raw,
            _HEAD.pack(seq, prev, said.time, len(said.kind)),
            said.kind.encode(),
            said.body.encode(),
        )
    )


def sign_run(
    identity: Identity, room: bytes, seq: int, prev: bytes, said: tuple[Said, ...]
) -> tuple[Run, tuple[Entry, ...]]:
    """
    Say something.

    Args:
        identity: Who says it.
        room: Where.
        seq: The number of the first entry.
        prev: The hash before the first.
        said: What, at least one.

    Returns:
        The run, and the same as entries.

    Raises:
        LocalProtocolError: `check_run` would refuse it.
    """
    if fault := _find_fault(seq, prev, said):
        raise LocalProtocolError(fault[1])
    forms, hashes = _chain(room, identity.key, seq, prev, said)
    run = Run(room, identity.key, seq, prev, said, identity.sign(forms[-1]))
    return run, _entries(run, hashes)


def check_run(run: Run) -> tuple[Entry, ...]:
    """
    See that a run is what its author has signed: one check for all its entries.

    Args:
        run: What came.

    Returns:
        The entries.

    Raises:
        RemoteProtocolError: The signature is not the author's, or something is out of bounds.
    """
    if fault := _find_fault(run.seq, run.prev, run.said):
        raise RemoteProtocolError(*fault)
    forms, hashes = _chain(run.room, run.author, run.seq, run.prev, run.said)
    if not run.author.has_signed(run.signature, forms[-1]):
        raise RemoteProtocolError("bad-signature", "An entry is not signed by its author.")
    return _entries(run, hashes)


def _find_fault(seq: int, prev: bytes, said: tuple[Said, ...]) -> tuple[str, str] | None:
    if not said:
        return "empty-run", "A run without entries."
    if not 1 <= seq <= LARGEST_NUMBER + 1 - len(said):
        return "bad-seq", "An entry with a number that there is not."
    # Nothing stands before the first entry, and something before each other. Else an author could
    # sign what nobody's journal can hold, and what would look like the proof of a fork.
    if (seq == 1) != (prev == NOTHING):
        return "bad-prev", "An entry that does not say what stands before it."
    for one in said:
        if not 0 <= one.time <= LARGEST_NUMBER:
            return "bad-time", "An entry with a time that there is not."
        if not _KIND.match(one.kind):
            return "bad-kind", "An entry with a kind that is no word."
        try:
            size = len(one.body if one.body.isascii() else one.body.encode())
        except UnicodeEncodeError:
            return "bad-text", "An entry with half a character: it has no UTF-8."
        if size > LARGEST_BODY:
            return "large-body", f"An entry of more than {LARGEST_BODY} bytes."
    return None


def _chain(
    room: bytes, author: DeviceKey, seq: int, prev: bytes, said: tuple[Said, ...]
) -> tuple[list[bytes], list[bytes]]:
    forms: list[bytes] = []
    hashes: list[bytes] = []
    for number, one in enumerate(said, start=seq):
        form = written_form(room, author, number, prev, one)
        prev = sha256(form).digest()
        forms.append(form)
        hashes.append(prev)
    return forms, hashes


def _entries(run: Run, hashes: list[bytes]) -> tuple[Entry, ...]:
    before = [run.prev, *hashes]
    last = len(hashes) - 1
    return tuple(
        Entry(
            run.room,
            run.author,
            run.seq + index,
            before[index],
            said,
            hashes[index],
            run.signature if index == last else b"",
        )
        for index, said in enumerate(run.said)
    )
