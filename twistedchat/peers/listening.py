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

__all__ = ["open_port", "raise_file_limit"]

# Connections that wait to be accepted: a burst of everybody at once must not be refused, and the
# system cuts this to what it allows (net.core.somaxconn).
BACKLOG = 1024

# File descriptors beside those of accepted connections: 64 dials, the store, the log, the terminal.
OTHER_FILES = 256


def open_port(interface: str | None, port: int) -> socket.socket:
    """
    Open the listening port, before anything else is started.

    Doing it here and not in the reactor makes a port in use an error that a person sees in one
    line, also when the process is going to be a daemon.

    Args:
        interface: The IP address to listen on; ``None`` for all of them, IPv4 and IPv6.
        port: 1 to 65535.

    Returns:
        A listening socket.

    Raises:
        ConfigError: The port cannot be had.
    """
    try:
        if interface is None and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        family = socket.AF_INET6 if interface and ":" in interface else socket.AF_INET
        return socket.create_server((interface or "", port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"port {port}" if interface is None else f"port {port} of {interface}"
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
