"""
The links that this machine is on, and its addresses there.

The system is asked, which takes some tenths of a millisecond: for a thread.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from twistedchat.core.nearby import MOST_ADDRESSES

__all__ = ["MOST_LINKS", "Link", "find_links", "hosts_for_others"]

# Announcing costs a socket for each kind of address on each link. A machine with more links has
# them for its containers; the system numbers its own ones first, and lets a socket listen on no
# more than 20 (Linux: net.ipv4.igmp_max_memberships).
MOST_LINKS = 16


@dataclass(frozen=True, slots=True)
class Link:
    """
    A network that this machine is on.

    Attributes:
        index: The number that the system gave to it.
        hosts: Our IP addresses on it, at least one; those of one link alone without its name.
    """

    index: int
    hosts: tuple[str, ...]


def find_links(allowed: Collection[str] | None) -> tuple[Link, ...]:
    """
    Look for links over which others can reach us.

    Args:
        allowed: Which of our addresses count; ``None`` for all but loopback.

    Returns:
        The links, always in the same order; none where there is no network.
    """
    # Loads ctypes; not before there is a thread to do it.
    import ifaddr

    if allowed is not None:
        # They may have been given with their link.
        allowed = {host.partition("%")[0] for host in allowed}
    links = []
    for adapter in sorted(ifaddr.get_adapters(), key=lambda adapter: adapter.index or 0):
        # One that goes away meanwhile has no number any more.
        if adapter.index is None:
            continue
        hosts = []
        for ip in adapter.ips:
            host, scope = (ip.ip[0], ip.ip[2]) if isinstance(ip.ip, tuple) else (ip.ip, 0)
            if _is_suitable(host, allowed) and _is_usable(host, scope):
                hosts.append(host)
        if hosts:
            links.append(Link(adapter.index, tuple(sorted(hosts)[:MOST_ADDRESSES])))
    return tuple(links[:MOST_LINKS])


def hosts_for_others(links: Iterable[Link]) -> list[str]:
    """
    Choose the addresses at which somebody far away can reach us.

    Args:
        links: Our links.

    Returns:
        IP addresses; none that means something else on another link.
    """
    hosts = [host for link in links for host in link.hosts]
    return [
        host for host in hosts if not ipaddress.ip_address(host.partition("%")[0]).is_link_local
    ]


def _is_suitable(host: str, allowed: Collection[str] | None) -> bool:
    if allowed is not None:
        return host in allowed
    address = ipaddress.ip_address(host)
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def _is_usable(host: str, scope: int) -> bool:
    # An IPv6 address is listed before it may be used: for a second or two others are asked whether
    # they have it (RFC 4862 section 5.4). What is opened then cannot be bound to it.
    if ":" not in host:
        return True
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0, 0, scope))
        return True
    return False
