"""
Nodes that were found on the network: where, and perhaps who. Without any I/O.

A node announces itself as a DNS-SD service (RFC 6763) that names nobody: in its TXT record stands
a hint of its key, which only those understand who know the key already.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from twistedchat.core.addresses import LARGEST_PORT, Address, is_host_name, parse_host
from twistedchat.core.errors import AddressError
from twistedchat.core.hints import SALT_LENGTH, hint_of, who_is_meant
from twistedchat.core.identity import DeviceKey

__all__ = [
    "LONGEST_SERVICE",
    "MOST_ADDRESSES",
    "Nearby",
    "Record",
    "read_record",
    "recognise",
    "write_properties",
]

# The version of the protocol that a node must speak to be of any use.
VERSION = b"2"

# Octets of the name of a service: one DNS label (RFC 6763 section 4.1.1).
LONGEST_SERVICE = 63

# Of one node: an IPv4 and a few IPv6 addresses on each of a few interfaces. A stranger who lists
# more wants to have many others dialled. All of them fit into one packet, with all else.
MOST_ADDRESSES = 16

# Halves of SHA-256 and salts are equally long, so one form serves both.
_HEX = re.compile(rb"[0-9a-f]{%d}\Z" % (2 * SALT_LENGTH))


@dataclass(frozen=True, slots=True)
class Record:
    """
    What a node announced.

    Attributes:
        service: The name of its service.
        salt: What it salted its hint with.
        hint: The hint of its key.
        addresses: Where it says it can be reached, at least one, in the order in which to try.
    """

    service: str
    salt: bytes
    hint: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Nearby:
    """
    A node that announced itself. Nothing of it is proven: it is a hint where to dial.

    Attributes:
        service: The name under which it announced itself, which is no person's.
        addresses: Where it says it can be reached, at least one.
        key: The contact that it hints to be, where it is one.
    """

    service: str
    addresses: tuple[Address, ...]
    key: DeviceKey | None = None


def write_properties(key: DeviceKey, salt: bytes) -> dict[bytes, bytes | None]:
    """
    Write what a node tells about itself.

    Args:
        key: Its key.
        salt: `SALT_LENGTH` random octets.

    Returns:
        The keys and values of a TXT record (RFC 6763 section 6).
    """
    return {b"v": VERSION, b"salt": salt.hex().encode(), b"hint": hint_of(key, salt).encode()}


def read_record(
    service: str,
    properties: Mapping[bytes, bytes | None],
    addresses: Iterable[str],
    port: int | None,
    *,
    loopback: bool = False,
) -> Record | None:
    """
    Read what somebody announced.

    Args:
        service: The name of the service.
        properties: The keys and values of its TXT record; those that are not known do not count.
        addresses: Its IP addresses; those that cannot be dialled from here do not count.
        port: Its port.
        loopback: Whether it may be on this machine: otherwise whoever announces a loopback address
            wants to have something dialled that only this machine reaches.

    Returns:
        The record; ``None`` where it is none of ours, or broken.
    """
    if not 0 < len(service.encode("utf-8", "replace")) <= LONGEST_SERVICE:
        return None
    told: dict[bytes, bytes | None] = {}
    for name, value in properties.items():
        # "Case is ignored", and of a name that comes twice the first one counts (RFC 6763 section
        # 6.4).
        told.setdefault(name.lower(), value)
    salt = told.get(b"salt") or b""
    hint = told.get(b"hint") or b""
    if told.get(b"v") != VERSION or not (_HEX.match(salt) and _HEX.match(hint)):
        return None
    if port is None or not 1 <= port <= LARGEST_PORT:
        return None
    hosts: set[str] = set()
    for text in addresses:
        host = _dialable(text, loopback)
        if host is not None and len(hosts) < MOST_ADDRESSES:
            hosts.add(host)
    if not hosts:
        return None
    # Always in the same order, so that one announcement is one record however it came: IPv4 first,
    # and last what leads somewhere on one link alone.
    return Record(
        service,
        bytes.fromhex(salt.decode()),
        hint.decode(),
        tuple(
            Address(host, port)
            for host in sorted(hosts, key=lambda host: ("%" in host, ":" in host, host))
        ),
    )


def _dialable(text: str, loopback: bool) -> str | None:
    try:
        host = parse_host(text)
    except AddressError:
        return None
    if is_host_name(host):
        return None
    address = ipaddress.ip_address(host)
    if address.is_loopback and not loopback:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        # Every link has such addresses, so without its link it leads nowhere.
        return host if address.scope_id else None
    return host


def recognise(record: Record, known: Iterable[DeviceKey]) -> Nearby:
    """
    Find out who somebody hints to be. It costs a hash for each key that is known.

    Args:
        record: What they announced.
        known: Whom to look for.

    Returns:
        The node, with a key where it is understood; anybody can repeat another one's hint.
    """
    meant = who_is_meant([record.hint], record.salt, known)
    return Nearby(record.service, record.addresses, meant.get(record.hint))
