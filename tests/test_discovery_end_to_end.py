"""
End to end: programs that find each other by multicast DNS, on networks of their own.
"""

import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from tests.namespaces import Machine, network, require_namespaces
from tests.processes import Program, Stage, together
from twistedchat.core.addresses import Address
from twistedchat.core.hints import hint_of
from twistedchat.core.identity import Identity

# Seconds from the start of a program until it and those who were there have found each other.
LONGEST_SEARCH = 3.0

pytestmark = pytest.mark.alone

# Takes the port of multicast DNS for itself alone, and says when it has it.
HOG = """
import socket, sys
hog = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hog.bind(("", 5353))
print("taken", flush=True)
sys.stdin.read()
"""


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run, if there can be networks for them.
    """
    require_namespaces()
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


class Looker(Program):
    """
    A program that looks for others: see `tests.lan_program`.

    Args:
        number: Which one it is; no two have the same key or port.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        secret = bytes([number]) * 32
        self.port = 7000 + number
        self.identity = Identity(Ed25519PrivateKey.from_private_bytes(secret))
        self.command = (sys.executable, "-m", "tests.lan_program", str(self.port), secret.hex())

    @property
    def found(self) -> list[tuple[str, bytes, list[str]]]:
        """
        What it said last about who is there: the hint, the salt and the addresses of each.
        """
        said = [line for line in self.lines[:-1] if line]
        told = json.loads(said[-1]) if said else []
        return [(hint, bytes.fromhex(salt), addresses) for hint, salt, addresses in told]

    def sees(self, other: "Looker", *hosts: str) -> bool:
        """
        Whether it has found another one, and nobody else.

        Args:
            other: Whom.
            hosts: The IP addresses at which it can be dialled, all of them.
        """
        expected = {str(Address(host, other.port)) for host in hosts}
        return len(self.found) == 1 and all(
            hint == hint_of(other.identity.key, salt) and set(addresses) == expected
            for hint, salt, addresses in self.found
        )

    async def until_sees(self, other: "Looker", *hosts: str) -> None:
        """
        Wait until it has.
        """
        await self.until(lambda: self.sees(other, *hosts), f"{hosts} in sight")

    @override
    def told(self) -> str:
        return f"port: {self.port}\n{super().told()}"


def look(stage: Stage, machine: Machine, number: int, *interfaces: str) -> Looker:
    """
    Start a program that looks for others.
    """
    looker = Looker(number)
    stage.spawn(looker, [*machine.within, *looker.command, *interfaces])
    return looker


def hosts_of(machine: Machine) -> list[str]:
    """
    Where a machine can be dialled.
    """
    return [host for host in (machine.ipv4, machine.ipv6, machine.link_local) if host]


async def meet(first: Looker, here: Machine, second: Looker, there: Machine) -> None:
    """
    Wait until two have found each other, which has to be soon: the second one has just started.
    """
    from twisted.internet import reactor

    started = reactor.seconds()
    await together(
        first.until_sees(second, *hosts_of(there)), second.until_sees(first, *hosts_of(here))
    )
    assert reactor.seconds() - started < LONGEST_SEARCH


@pytest_twisted.ensureDeferred
async def test_nodes_find_each_other_within_seconds(stage: Stage) -> None:
    """
    Two that start at once, and one that comes where somebody is; who goes says so.
    """
    with network(2) as (here, there):
        first = look(stage, here, 1)
        second = look(stage, there, 2)
        await meet(first, here, second, there)

        second.send_signal(signal.SIGTERM)
        await first.until(lambda: not first.found, "a goodbye")
        await second.ended()

        third = look(stage, there, 3)
        await meet(first, here, third, there)


@pytest_twisted.ensureDeferred
async def test_link_local_addresses_are_enough(stage: Stage) -> None:
    """
    A network without any addresses but those that IPv6 gives by itself.
    """
    with network(2, ipv4=False, ipv6=False) as (here, there):
        first = look(stage, here, 1)
        second = look(stage, there, 2)

        await meet(first, here, second, there)

        assert first.found[0][2] == [f"[{there.link_local}]:{second.port}"]


@pytest_twisted.ensureDeferred
async def test_changed_addresses_are_followed(stage: Stage) -> None:
    """
    Both move at once: the new ones are found and the old ones forgotten, and nobody was gone.
    """
    with network(2) as (here, there):
        first = look(stage, here, 1)
        second = look(stage, there, 2)
        await meet(first, here, second, there)
        before = len(second.lines)

        there.cut()
        here.change_addresses()
        there.change_addresses()
        there.mend()
        await together(
            first.until_sees(second, *hosts_of(there)), second.until_sees(first, *hosts_of(here))
        )

        assert "[]" not in first.lines
        assert "[]" not in second.lines[before:]


@pytest_twisted.ensureDeferred
async def test_taken_port_is_told_and_tried_again(stage: Stage) -> None:
    """
    Where another program keeps the port of multicast DNS to itself, we wait for other addresses.
    """
    with network(2) as (here, there):
        hog = Program()
        stage.spawn(hog, [*there.within, sys.executable, "-c", HOG])
        await hog.line_with("taken")
        first = look(stage, here, 1)
        second = look(stage, there, 2)
        await second.error_line_with("nobody finds us: [Errno 98] Address already in use.")

        hog.end_input()
        await hog.ended()
        there.change_addresses()

        await together(
            first.until_sees(second, *hosts_of(there)), second.until_sees(first, *hosts_of(here))
        )


@pytest_twisted.ensureDeferred
async def test_two_on_one_machine_find_each_other(stage: Stage) -> None:
    """
    Where they may use nothing but loopback, nobody else finds them.
    """
    with network(2) as (here, there):
        stranger = look(stage, there, 3)
        first = look(stage, here, 1, "127.0.0.1")
        second = look(stage, here, 2, "127.0.0.1")
        await together(first.until_sees(second, "127.0.0.1"), second.until_sees(first, "127.0.0.1"))

        visitor = look(stage, here, 4)
        await stranger.until_sees(visitor, *hosts_of(here))
