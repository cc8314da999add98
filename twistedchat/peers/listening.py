"""
The port that we listen on.
"""

from __future__ import annotations

import os
import resource
import socket
from errno import EACCES, EADDRINUSE

from twistedchat.core.errors import ConfigError
from twistedchat.peers.doorman import MOST_CONNECTIONS

__all__ = ["open_ports", "raise_file_limit"]

# Connections that wait to be accepted. Whoever finds no place tries again a second later: this is
# more than a class sends at once (64 of them, 50 messages each), and Linux allows no more unless it
# is told to (net.core.somaxconn).
BACKLOG = 4096

# File descriptors beside those of accepted connections: 64 dials, the store, the log, the terminal.
OTHER_FILES = 256


def open_ports(interface: str | None, port: int) -> list[socket.socket]:
    """
    Open the listening port, before anything else is started.

    Doing it here and not in the reactor makes a port in use an error that a person sees in one
    line, also when the process is going to be a daemon. IPv4 and IPv6 have a socket each: on one
    for both, every IPv4 address would be told in its IPv6 form, which costs a tenth of the speed.

    Args:
        interface: The IP address to listen on; ``None`` for all of them, IPv4 and IPv6.
        port: 1 to 65535.

    Returns:
        Listening sockets: one, or one for IPv4 and one for IPv6.

    Raises:
        ConfigError: The port cannot be had.
    """
    if interface is not None:
        return [_listen(interface, port)]
    opened = [_listen("0.0.0.0", port)]  # noqa: S104 (that is what leaving --interface out means)
    if _has_ipv6():
        try:
            opened.append(_listen("::", port))
        except ConfigError:
            opened[0].close()
            raise
    return opened


def _has_ipv6() -> bool:
    # Compiled in, and not switched off on this machine.
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        everywhere = host in ("0.0.0.0", "::")  # noqa: S104 (compared, not listened on)
        where = f"port {port}" if everywhere else f"port {port} of {host}"
        raise ConfigError(f"Cannot listen on {where}: {_in_words(error)}") from error


def _in_words(error: OSError) -> str:
    code = error.errno or 0
    # A resolver's numbers, which are negative, are not the system's.
    reason = os.strerror(code).lower() if code > 0 else "no such address"
    if code == EADDRINUSE:
        return f"{reason}. End the program that has it, or choose another with --port."
    if code == EACCES:
        return f"{reason}. Choose a port above 1023 with --port."
    return f"{reason}. Give --interface an address that this machine has, or leave it out."


def raise_file_limit() -> None:
    """
    Ask the system for as many open files as our bound on connections needs.

    Where it grants fewer, Twisted turns the connections away that do not fit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
