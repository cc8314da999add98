"""
What hypothesis draws from, named by the domain; and how long it searches.

By default every run tries the same examples, so that a change is the only reason for a test to
fail. ``HYPOTHESIS_PROFILE=search`` looks for new ones, and for longer.
"""

import os
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind, kind_of
from twistedchat.core.entries import LARGEST_NUMBER, Said
from twistedchat.core.frames import (
    LONGEST_KNOCK,
    Bye,
    Frame,
    Have,
    Hello,
    Knock,
    Met,
    Ping,
    Pong,
    RunFrame,
    Seek,
)
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.invites import Invite
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import MOST_ADDRESSES, Contact

__all__ = [
    "CONNECT_TEXTS",
    "EXIT_TEXTS",
    "addresses",
    "announced_hosts",
    "announced_properties",
    "any_texts",
    "contacts",
    "cut_prone_texts",
    "device_keys",
    "dialects",
    "frames",
    "identities",
    "invites",
    "ip_hosts",
    "lan_doings",
    "moments",
    "pauses",
    "peer_names",
    "ports",
    "said_things",
    "saying_texts",
    "socket_bytes",
    "team_names",
    "typed_lines",
    "wire_steps",
    "words_about_members",
    "writings",
]

# No deadlines and no complaints about speed: a busy machine is no defect.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("steady"), derandomize=False, max_examples=5000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

CONNECT_TEXTS = (
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
)
EXIT_TEXTS = ("exit", "quit", "disconnect", "disconnect_ack", "[peer_quit]")

# Of each kind of trouble some: ends of lines, escapes, marks, joiners, variations, directions,
# invisible ones, halves of pairs, flags, jamos, and what the dialects give a meaning to.
_TRAPS = (
    "\x00\t\n\x0b\r\x1b\x7f\x85\xa0\xad\u0300\u0301\u034f\u0489\u064b\u094d\u0dca\u115f"
    "\u180b\u200b\u200c\u200d\u200e\u2028\u2029\u202e\u2066\u2069\u20dd\u20e3\u2800\u3000\u3164"
    "\ud800\udfff\ufe00\ufe0e\ufe0f\ufeff\ufff9\uffff\U000e0001\U000e0100"
    "\U0001f468\U0001f469\U0001f3fd\U0001f1e9\U0001f1ea\u2764\u1100\u1161"
    'aZ09#* |<>@[]{}":\\_.,;%\u00e9\u0130\u00df\u0645\u0646\u0915\u0937\u4e2d'
)
_SCRIPTS = (
    "hello",
    "na\u00efve",
    "cafe\u0301",
    "\u4f60\u597d",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937\u093f",
    "\u043f\u0440\u0438\u0432\u0435\u0442",
    "\ud55c\uad6d\uc5b4",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f44b\U0001f3fd",
    "\U0001f1e9\U0001f1ea",
    "1\ufe0f\u20e3",
)


def ports() -> st.SearchStrategy[int]:
    """
    What a peer can listen on.
    """
    return st.integers(1, 65535)


def dialects() -> st.SearchStrategy[Dialect]:
    """
    Every form there is.
    """
    return st.sampled_from(Dialect)


def moments() -> st.SearchStrategy[datetime]:
    """
    Times at which a message can be written.
    """
    return st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))


def ip_hosts() -> st.SearchStrategy[str]:
    """
    Addresses of single hosts in their canonical form: IPv4, IPv6, and IPv6 of one link.
    """
    scoped = st.builds(
        "fe80::{:x}%{}".format,
        st.integers(1, 0xFFFF),
        st.sampled_from(["eth0", "1", "br-4a5b6c7d8e9f"]),
    )
    single = (
        st.ip_addresses()
        .map(lambda address: getattr(address, "ipv4_mapped", None) or address)
        .filter(lambda address: not (address.is_unspecified or address.is_multicast))
        .map(str)
        .filter(lambda host: host != "255.255.255.255")
    )
    return single | scoped


def addresses() -> st.SearchStrategy[Address]:
    """
    Where a peer can be dialled, as a node writes it.
    """
    names = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?(\.[a-z]{2,6}){0,2}", fullmatch=True)
    return st.builds(Address, ip_hosts() | names, ports())


def any_texts(max_size: int = 60) -> st.SearchStrategy[str]:
    """
    Everything that a string can hold, lone surrogates included, with a liking for trouble.
    """
    return st.text(st.sampled_from(_TRAPS) | st.characters(codec=None), max_size=max_size)


def peer_names() -> st.SearchStrategy[str]:
    """
    What a peer may call itself, and what is kept of it.
    """
    return any_texts(64).map(str.strip).filter(bool)


def team_names() -> st.SearchStrategy[str]:
    """
    What a node accepts as its own name: it can be shown as it is.
    """
    return peer_names().map(safe_text).map(lambda name: name[:64].strip()).filter(bool)


def saying_texts() -> st.SearchStrategy[str]:
    """
    Texts that are not empty, of all three kinds, as they are once they stand in UTF-8.
    """
    control_texts = st.sampled_from(CONNECT_TEXTS + EXIT_TEXTS)
    return (
        (any_texts() | writings() | control_texts | control_texts.map(str.upper))
        .map(lambda text: text.encode("utf-8", "replace").decode().strip())
        .filter(bool)
    )


def writings() -> st.SearchStrategy[str]:
    """
    What people write: words of many scripts, up to a few thousand bytes, and words without a space.
    """
    words = st.lists(st.sampled_from(_SCRIPTS), min_size=1, max_size=12)
    return st.builds(
        lambda words, space, times: space.join(words * times),
        words,
        st.sampled_from(["", " ", "  ", "\n", ", "]),
        st.integers(1, 60),
    )


def cut_prone_texts() -> st.SearchStrategy[str]:
    """
    Messages that are cut where it hurts: control texts, blanks and words about as long as a piece.
    """
    lengths = st.integers(1, 12) | st.integers(850, 1010) | st.integers(1900, 2010)
    parts = st.one_of(
        st.sampled_from(CONNECT_TEXTS + EXIT_TEXTS),
        lengths.map(lambda length: " " * length),
        lengths.map(lambda length: "x" * length),
        st.builds(lambda character, times: character * times, st.sampled_from(_TRAPS), lengths),
    )
    return (
        st.lists(parts, min_size=2, max_size=8)
        .map("".join)
        .map(str.strip)
        .filter(lambda text: bool(text) and kind_of(text) is Kind.MESSAGE)
    )


def socket_bytes(examples: list[bytes]) -> st.SearchStrategy[bytes]:
    """
    What a connection can bring: anything, and messages with parts replaced, lost and doubled.

    Args:
        examples: Messages to bend.
    """
    example = st.sampled_from(examples)
    cut = st.integers(0, 120)
    bent = st.builds(
        lambda one, other, start, end, between: one[:start] + between + other[end:],
        example,
        example,
        cut,
        cut,
        st.binary(max_size=8) | any_texts(8).map(lambda text: text.encode("utf-8", "replace")),
    )
    return st.binary(max_size=200) | bent | st.lists(bent, max_size=4).map(b"".join)


def typed_lines() -> st.SearchStrategy[str]:
    """
    What a person may type, with a liking for what the menu understands.
    """
    understood = st.sampled_from(
        [
            *(
                "",
                "0",
                "1",
                "2",
                "3",
                "a",
                "A",
                "b",
                "c",
                "C",
                "h",
                "M",
                "r",
                "1 ",
                "6101",
                "65536",
            ),
            *("10.0.0.7", "10.0.0.7:6101", "::1", "[::1]:6101", "lab-3", "lab-3:6101", "999.1.1.1"),
            *("Quokka", "quokka", "Panda", "hello", "exit", "connect"),
        ]
    )
    return understood | understood | any_texts()


def identities() -> st.SearchStrategy[Identity]:
    """
    Keys of our own.
    """
    return st.binary(min_size=32, max_size=32).map(
        lambda secret: Identity(Ed25519PrivateKey.from_private_bytes(secret))
    )


def device_keys() -> st.SearchStrategy[DeviceKey]:
    """
    Keys that somebody has.
    """
    return identities().map(lambda identity: identity.key)


def said_things() -> st.SearchStrategy[Said]:
    """
    What an entry can say, as it stands in UTF-8.
    """
    return st.builds(
        Said,
        st.integers(0, LARGEST_NUMBER),
        st.just("text") | st.from_regex(r"[a-z][a-z-]{0,31}", fullmatch=True),
        _utf8_texts(60) | writings().map(lambda text: text.encode()[:9000].decode(errors="ignore")),
    )


def frames() -> st.SearchStrategy[Frame]:
    """
    Everything that may be said in a session.
    """
    counts = st.integers(0, LARGEST_NUMBER)
    words = st.from_regex(r"[a-z][a-z-]{0,31}", fullmatch=True)
    hashes, hints = _hex_digits(64), _hex_digits(32)
    places = addresses().map(str) | _utf8_texts(60)
    return st.one_of(
        st.builds(
            Hello,
            v=st.integers(2, LARGEST_NUMBER),
            name=_utf8_texts(64).filter(bool),
            port=ports(),
            dial=counts,
            knows=st.booleans(),
            features=st.lists(words, max_size=4).map(tuple),
        ),
        st.builds(Knock, text=_utf8_texts(LONGEST_KNOCK)),
        st.builds(
            Have,
            rooms=st.dictionaries(
                hashes,
                st.dictionaries(hashes, st.tuples(counts, hashes), max_size=3),
                max_size=3,
            ),
        ),
        st.builds(
            RunFrame,
            room=hashes,
            author=hashes,
            seq=st.integers(1, LARGEST_NUMBER),
            prev=hashes,
            said=st.lists(said_things(), min_size=1, max_size=4).map(tuple),
            sig=_hex_digits(128),
        ),
        st.builds(Seek, salt=hints, hints=st.lists(hints, max_size=4).map(tuple)),
        st.builds(
            Met,
            salt=hints,
            peers=st.dictionaries(hints, st.lists(places, max_size=3).map(tuple), max_size=3),
        ),
        st.builds(Ping),
        st.builds(Pong),
        st.builds(Bye, code=words, text=_utf8_texts(60)),
    )


def invites() -> st.SearchStrategy[Invite]:
    """
    What a node gives to somebody who is to meet it.
    """
    return st.builds(
        Invite, device_keys(), team_names(), st.lists(addresses(), max_size=8).map(tuple)
    )


def pauses() -> st.SearchStrategy[list[float]]:
    """
    Seconds between things that somebody does.
    """
    return st.lists(st.floats(0, 5), max_size=60)


def wire_steps() -> st.SearchStrategy[list[tuple[int, bool, int]]]:
    """
    What arrives over several connections: on which, in which direction, and how many bytes.
    """
    step = st.tuples(st.integers(0, 7), st.booleans(), st.integers(1, 5000))
    return st.lists(step, max_size=40)


def _hex_digits(digits: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=digits // 2, max_size=digits // 2).map(bytes.hex)


def _utf8_texts(max_size: int) -> st.SearchStrategy[str]:
    return any_texts(max_size).map(lambda text: text.encode("utf-8", "replace").decode())


def announced_properties() -> st.SearchStrategy[dict[bytes, bytes | None]]:
    """
    What a node of any kind can announce about itself, with a liking for what we understand.
    """
    names = st.sampled_from([b"v", b"V", b"salt", b"hint", b"Hint"]) | st.binary(max_size=5)
    values = st.one_of(
        st.none(),
        st.just(b"2"),
        st.binary(min_size=16, max_size=16).map(bytes.hex).map(str.encode),
        st.binary(max_size=40),
    )
    whole = st.fixed_dictionaries({b"v": st.just(b"2"), b"salt": values, b"hint": values})
    return st.builds(
        lambda known, others: {**known, **others},
        whole,
        st.just({}) | st.dictionaries(names, values, max_size=4),
    )


def announced_hosts() -> st.SearchStrategy[str]:
    """
    What can stand for an IP address in an announcement.
    """
    special = st.sampled_from(
        ["127.0.0.1", "::1", "fe80::1", "0.0.0.0", "224.0.0.251", "ff02::fb", "::ffff:10.0.0.7"]
    )
    return ip_hosts() | special | any_texts(20)


def contacts() -> st.SearchStrategy[Contact]:
    """
    People whom we know, or keep out.
    """
    times = st.floats(0, 1e10, allow_subnormal=False)
    return st.builds(
        Contact,
        device_keys(),
        _utf8_texts(64),
        is_verified=st.booleans(),
        is_blocked=st.booleans(),
        addresses=st.lists(addresses(), max_size=MOST_ADDRESSES, unique=True).map(tuple),
        since=times,
        last_met=st.none() | times,
    )


def lan_doings() -> st.SearchStrategy[list[tuple[str, str, float]]]:
    """
    What nodes do on a network: who, what, and the seconds until the next thing happens.
    """
    who = st.sampled_from(["panda", "numbat", "zebra", "emu"])
    what = st.sampled_from(["whole", "moved", "part", "broken", "gone"])
    pause = st.sampled_from([0.0, 0.25, 1.0, 5.0])
    return st.lists(st.tuples(who, what, pause), max_size=12)


def words_about_members() -> st.SearchStrategy[tuple[int, str, int, int, int]]:
    """
    What one of six people may say about one of them, or of themselves.

    By whom, what kind of thing, about whom, what is undone or how far it counts, and when.
    """
    return st.tuples(
        st.integers(0, 5),
        st.sampled_from(["add", "add", "add", "remove", "leave", "text", "nonsense"]),
        st.integers(0, 5),
        st.integers(0, 6),
        st.integers(0, 20),
    )
