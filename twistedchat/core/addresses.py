"""
Where a peer can be dialled: hosts, ports, and how a person writes them.

Without any I/O: a host name is checked for its form here and looked up elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from typing_extensions import override

from twistedchat.core.errors import AddressError

__all__ = [
    "Address",
    "canonical_host",
    "is_host_name",
    "parse_host",
    "parse_host_port",
    "parse_port",
]

LARGEST_PORT = 65535

# RFC 1035 section 2.3.4: a name is at most 255 octets, of which 253 can be written.
LONGEST_NAME = 253

# RFC 1123 section 2.1, and the underscore that many LAN names have; letters of any script, since
# international names are written as their owners write them.
_LABEL = re.compile(r"[^\W](?:[\w-]{0,61}[^\W])?\Z")
# What only an IPv4 address ends in. "A numeric last label means IPv4" is how browsers decide too
# (WHATWG URL standard, "ends in a number checker"), so 1.2.3, 0x7f.1 and 300.1.1.1 are no names.
_NUMERIC = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")
_MAPPED = "::ffff:"
# The network interface of a link-local address (RFC 4007 section 11), at most IFNAMSIZ - 1 long.
_SCOPE = re.compile(r"[\w.-]{1,15}\Z", re.ASCII)


class Address(NamedTuple):
    """
    A host and a port that can be dialled.

    A tuple and no dataclass, since it is looked up several times for every message: its hash is
    made in C.

    Attributes:
        host: An IPv4 or IPv6 address in its canonical form, or a host name.
        port: 1 to 65535.
    """

    host: str
    port: int

    @override
    def __str__(self) -> str:
        """
        The address as a person writes it: ``host:port``, or ``[v6]:port``.
        """
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def canonical_host(host: str) -> str:
    """
    The one form of an address that a socket told us.

    Args:
        host: A numeric address as ``getpeername`` gives it. On a dual-stack socket an IPv4 peer
            appears as ``::ffff:a.b.c.d`` (RFC 4291 section 2.5.5.2).

    Returns:
        The same address, IPv4 where it is IPv4.
    """
    if host.startswith(_MAPPED) and "." in host:
        return host[len(_MAPPED) :]
    return host


def parse_port(text: str) -> int:
    """
    Read a port number.

    Args:
        text: What was typed; outer white space does not count.

    Returns:
        The port, 1 to 65535.

    Raises:
        AddressError: It is no number, or none that is a port.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()):
        raise AddressError(
            f"Invalid port number {digits[:60]!r}: a port is a number from 1 to 65535."
        )
    # The length comes first: int() of a very long number, even of zeros, is refused by Python.
    number = digits.lstrip("0")
    if not 1 <= len(number) <= len(str(LARGEST_PORT)) or int(number) > LARGEST_PORT:
        raise AddressError(
            f"Invalid port number {digits[:20]}: a port is a number from 1 to 65535."
        )
    return int(number)


def parse_host(text: str) -> str:
    """
    Read a host: an IPv4 address, an IPv6 address (with or without brackets), or a host name.

    Args:
        text: What was typed; outer white space does not count.

    Returns:
        The host in its canonical form; names in lower case.

    Raises:
        AddressError: It is none of them, or an address that no single host can have.
    """
    host = text.strip()
    if not host:
        raise AddressError("There is no address: nothing was typed.")
    if ":" in host or host.startswith("["):
        return _checked(_parse_ipv6(host.removeprefix("[").removesuffix("]")))
    name = host.removesuffix(".")
    if _NUMERIC.match(name.rpartition(".")[2]):
        try:
            return _checked(ipaddress.IPv4Address(host))
        except ValueError:
            raise AddressError(
                f"Invalid IP address {host[:60]!r}: an IPv4 address is four numbers from 0 to 255 "
                "with dots between them, such as 192.168.1.20."
            ) from None
    if len(name) > LONGEST_NAME or not all(_LABEL.match(label) for label in name.split(".")):
        raise AddressError(
            f"{host[:60]!r} is neither a peer that is known here nor an address: give an IP "
            "address or a host name."
        )
    return name.lower()


def _parse_ipv6(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(host)
        if address.scope_id and not _SCOPE.match(address.scope_id):
            raise ValueError(address.scope_id)
    except ValueError:
        raise AddressError(
            f"Invalid IP address {host[:60]!r}: it has colons, but is no IPv6 address. "
            "With a port it is written [address]:port."
        ) from None
    return address.ipv4_mapped or address


def _checked(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise AddressError(f"Invalid IP address {address}: no single host has it.")
    return str(address)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """
    Read an address in any form that a person writes it.

    Args:
        text: ``host``, ``host:port``, ``v6``, ``[v6]`` or ``[v6]:port``.

    Returns:
        The host in its canonical form, and the port, or ``None`` where there was none.

    Raises:
        AddressError: The host or the port is invalid.
    """
    address = text.strip()
    host, colon, port = address.rpartition(":")
    if colon and (host.endswith("]") or ":" not in host):
        return parse_host(host), parse_port(port)
    return parse_host(address), None


def is_host_name(host: str) -> bool:
    """
    Whether a host must be looked up before it can be dialled.

    Args:
        host: A host as `parse_host` gives it.

    Returns:
        True for a name, False for an IPv4 or IPv6 address.
    """
    return ":" not in host and not _NUMERIC.match(host.rpartition(".")[2])
