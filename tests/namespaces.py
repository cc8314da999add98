"""
A laboratory of machines on a network of their own, for the end-to-end tests.

Each machine is a network namespace of Linux, with one interface ``eth0`` that is joined by a cable
to a switch in one more namespace. Nothing in there can be reached from this machine or reach it,
so whatever is multicast stays among them. ::

    require_namespaces()
    with network(2) as (ours, theirs):
        stage.spawn(program, [*theirs.within, *command])
        theirs.cut()
        theirs.mend()
        theirs.change_addresses()

Only root may do this. Making a network takes some 50 ms for each machine, all
else a few; nobody has to wait for any of it, since what was done is in effect.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import pytest

__all__ = ["Machine", "has_namespaces", "network", "require_namespaces"]

# Whose namespaces they are, and of which process.
PREFIX = "twistedchat-"

_numbers = count(1)


def _ip(*arguments: str) -> str:
    outcome = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {outcome.stderr.strip()}")
    return outcome.stdout


class Machine:
    """
    A machine of a laboratory. It is made by `network`.

    Attributes:
        name: The name of its namespace.
        within: What to put before a command to run it on this machine: the process becomes the
            command, so signals and the process ID are the command's.
        ipv4: Its IPv4 address; empty where it has none.
        ipv6: Its IPv6 address; empty where it has none but `link_local`.
        link_local: Its IPv6 address on its only link, to be dialled by others as it is.
    """

    def __init__(self, switch: str, subnet: int, number: int) -> None:
        self.name = f"{switch}-{number}"
        self.within = [shutil.which("ip") or "ip", "netns", "exec", self.name]
        self.ipv4 = ""
        self.ipv6 = ""
        self.link_local = f"fe80::{number}%eth0"
        self._switch = switch
        self._subnet = subnet
        self._number = number
        self._port = f"port{number}"

    def run(self, *command: str) -> str:
        """
        Run a short command on it. Blocks until it has ended.

        Args:
            command: The executable, and its arguments.

        Returns:
            What it wrote.

        Raises:
            OSError: It failed.
        """
        return _ip("netns", "exec", self.name, *command)

    def cut(self) -> None:
        """
        Pull its cable out of the switch: it keeps its addresses, but nobody is there any more.
        """
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def mend(self) -> None:
        """
        Put its cable into the switch again.
        """
        _ip("-n", self._switch, "link", "set", self._port, "up")

    def change_addresses(self) -> None:
        """
        Have it lose its addresses, but for `link_local`, and get others of the same kinds.
        """
        _ip("-n", self.name, "addr", "flush", "dev", "eth0", "scope", "global")
        self._number += 64
        self._add_addresses(ipv4=bool(self.ipv4), ipv6=bool(self.ipv6))

    # `network` calls these.

    def make(self, *, ipv4: bool, ipv6: bool) -> None:
        """
        Begin to exist.
        """
        _ip("netns", "add", self.name)
        # An address can be used at once, and nobody is asked whether it is taken.
        for setting in ("all", "default"):
            self.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{setting}/accept_dad")
        _ip("-n", self.name, "link", "set", "lo", "up")
        cable = ("type", "veth", "peer", "name", self._port, "netns", self._switch)
        _ip("-n", self.name, "link", "add", "eth0", *cable)
        _ip("-n", self._switch, "link", "set", self._port, "master", "switch", "up")
        # The system would come up with a link-local address only after a moment.
        _ip("-n", self.name, "link", "set", "eth0", "addrgenmode", "none")
        _ip("-n", self.name, "link", "set", "eth0", "up")
        _ip("-n", self.name, "addr", "add", f"fe80::{self._number}/64", "dev", "eth0")
        self._add_addresses(ipv4=ipv4, ipv6=ipv6)

    def _add_addresses(self, *, ipv4: bool, ipv6: bool) -> None:
        if ipv4:
            self.ipv4 = f"10.99.{self._subnet}.{self._number}"
            _ip("-n", self.name, "addr", "add", f"{self.ipv4}/24", "dev", "eth0")
        if ipv6:
            self.ipv6 = f"fd00:99:{self._subnet}::{self._number}"
            _ip("-n", self.name, "addr", "add", f"{self.ipv6}/64", "dev", "eth0")


@contextlib.contextmanager
def network(machines: int = 2, *, ipv4: bool = True, ipv6: bool = True) -> Iterator[list[Machine]]:
    """
    Some machines on a network of their own, which ends with them and all that runs on them.

    Args:
        machines: How many, at most 63.
        ipv4: Whether they have IPv4 addresses, out of 10.99.0.0/16.
        ipv6: Whether they have IPv6 addresses, out of fd00:99::/32; they always have link-local
            ones.

    Yields:
        The machines.
    """
    _remove_leftovers()
    number = next(_numbers)
    switch = f"{PREFIX}{os.getpid()}-{number}"
    joined = [Machine(switch, number % 255, at) for at in range(1, machines + 1)]
    try:
        _ip("netns", "add", switch)
        # It hands everything on at once, also what is for a group that nobody has asked for.
        bridge = ("type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        _ip("-n", switch, "link", "add", "switch", *bridge)
        _ip("-n", switch, "link", "set", "switch", "up")
        for machine in joined:
            machine.make(ipv4=ipv4, ipv6=ipv6)
        yield joined
    finally:
        for name in _namespaces(switch):
            _remove(name)


@cache
def has_namespaces() -> bool:
    """
    Find out whether this machine lets us make a laboratory, by making one.

    Returns:
        Whether it does.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with network(1) as (machine,):
            machine.run("true")
    except OSError:
        return False
    return True


def require_namespaces() -> None:
    """
    Skip the test that runs where there can be no laboratory: the first thing in it, or a fixture.
    """
    if not has_namespaces():
        pytest.skip("network namespaces need Linux, root and iproute2")


def _namespaces(prefix: str) -> list[str]:
    # Where some have no number, a line is only the name.
    names = [line.split()[0] for line in _ip("netns", "list").splitlines() if line]
    return [name for name in names if name == prefix or name.startswith(prefix + "-")]


def _remove(name: str) -> None:
    for pid in _ip("netns", "pids", name).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "delete", name)


def _remove_leftovers() -> None:
    for name in _namespaces(PREFIX.rstrip("-")):
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                # Another test process may do the same.
                _remove(name)
