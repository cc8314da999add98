"""
The network of a simulation: machines with clocks of their own, and wires that can fail anywhere.

Nothing moves but in `Network.run`, and all that is left to chance is drawn from the seed: for
each wire by itself, so that what happens on one does not change what happens on another.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from zlib import crc32

from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
)
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.simulator.wires import DELAYS, End, Wire

__all__ = ["START", "Machine", "Network"]

# When it begins, in seconds since the epoch. Times of this size and whole differences between the
# machines' clocks are added without rounding, so that no timer comes too early.
START = 1_700_000_000.0

# The first port of those that a system gives to outgoing connections (RFC 6335 section 6).
FIRST_EPHEMERAL_PORT = 49152


class Network:
    """
    Time, and all that is connected.

    Args:
        seed: What chance begins with.
        is_tls_real: Whether TLS is; otherwise the keys are shown and nothing is encrypted, which is
            faster.

    Attributes:
        now: The true time, in seconds since the epoch.
        machines: Those that are switched on, by host.
        cut_off: Pairs of hosts between which nothing goes.
        is_calm: Whether connections do not fail any more by chance.
        digest: Changes with all that arrives anywhere, and when.
        links: How many connections there were.
        certificates: Those of all who ever had a machine there.
    """

    def __init__(self, seed: str, *, is_tls_real: bool = False) -> None:
        self.now = START
        self.machines: dict[str, Machine] = {}
        self.cut_off: set[frozenset[str]] = set()
        self.is_calm = False
        self.is_tls_real = is_tls_real
        self.digest = 0
        self.links = 0
        self.certificates: dict[DeviceKey, X509] = {}
        self._seed = seed
        self._dials = 0
        self._wires: dict[int, Wire] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def boot(self, host: str, identity: Identity, ahead: int) -> Machine:
        """
        Switch a machine on.

        Args:
            host: Its address.
            identity: Whose it is.
            ahead: Seconds that its clock is ahead.

        Returns:
            It, with nothing running.
        """
        if identity.key not in self.certificates:
            self.certificates[identity.key] = X509.from_cryptography(identity.certificate())
        machine = self.machines[host] = Machine(self, host, identity, ahead)
        # What is left of earlier connections is unknown to it.
        for wire in self.wires_of(host):
            wire.forget_silently(host)
        return machine

    def at(self, delay: float, call: Callable[[], None]) -> None:
        """
        Do something later.

        Args:
            delay: In how many seconds.
            call: What.
        """
        self._order += 1
        heapq.heappush(self._events, (self.now + delay, self._order, call))

    def run(self, seconds: float, is_enough: Callable[[], bool] = lambda: False) -> None:
        """
        Let time go by.

        Args:
            seconds: How much.
            is_enough: Asked after everything that happens.
        """
        until = self.now + seconds
        while not is_enough():
            machine = min(self.machines.values(), key=Machine.next_due, default=None)
            due = machine.next_due() if machine is not None else until + 1
            event = self._events[0][0] if self._events else until + 1
            if min(due, event) > until:
                break
            if event <= due:
                self.now, _, call = heapq.heappop(self._events)
                call()
            else:
                assert machine is not None  # noqa: S101 (something is due there)
                self.now = max(self.now, due)
                machine.run_due()
        self.now = until if not is_enough() else self.now

    def chance(self, what: str) -> Random:
        """
        Chance for one thing, which is the same whatever else happens.

        Args:
            what: For what.
        """
        return Random(f"{self._seed} {what}")  # noqa: S311 (nobody has to guess it)

    def note(self, *what: object) -> None:
        """
        Remember that something has happened, so that it can be seen whether it does again.

        Args:
            what: Numbers and texts.
        """
        self.digest = crc32(repr((self.now, what)).encode(), self.digest)

    # What can go wrong.

    def separate(self, one: str, other: str) -> None:
        """
        Let nothing go between two hosts; nobody is told.

        Args:
            one: One of them.
            other: The other one.
        """
        self.cut_off.add(frozenset((one, other)))

    def reunite(self) -> None:
        """
        Let everything go everywhere again, what was on its way too.
        """
        self.cut_off.clear()
        for wire in list(self._wires.values()):
            wire.kick()

    def break_links(self, one: str, other: str) -> None:
        """
        Break all connections between two hosts.

        Args:
            one: One of them.
            other: The other one.
        """
        for wire in self.wires_of(one):
            if wire.joins(one, other):
                wire.snap()

    def wires_of(self, host: str) -> list[Wire]:
        """
        The connections of a host.
        """
        return [wire for wire in self._wires.values() if wire.touches(host)]

    def is_separated(self, one: str, other: str) -> bool:
        """
        Whether nothing goes between two hosts.
        """
        return frozenset((one, other)) in self.cut_off

    # The machines call these.

    def dial(self, dial: _Dial, timeout: float) -> None:
        """
        Try to make a connection.
        """
        self._dials += 1
        chance = self.chance(f"dial {self._dials} {dial.machine.host} {dial.host}")
        dial.timer = dial.machine.callLater(timeout, dial.fail, TimeoutError())
        self.at(_delay(chance), lambda: self._answer(dial, chance))

    def _answer(self, dial: _Dial, chance: Random) -> None:
        machine = self.machines.get(dial.host)
        is_there = machine is not None and not self.is_separated(dial.machine.host, dial.host)
        if dial.is_over or machine is None or not is_there:
            # It runs into its time-out.
            return
        self.links += 1
        caller = IPv4Address("TCP", dial.machine.host, FIRST_EPHEMERAL_PORT + self.links % 10_000)
        callee = IPv4Address("TCP", dial.host, dial.port)
        factory = machine.ports.get(dial.port)
        answering = factory.buildProtocol(caller) if factory else None
        if answering is None:
            self.at(_delay(chance), lambda: dial.fail(ConnectionRefusedError()))
            return
        wire = Wire(self, self.links, chance)
        ours = End(wire, dial.machine, caller, callee, is_client=True)
        theirs = End(wire, machine, callee, caller, is_client=False)
        wire.join(ours, theirs)
        self._wires[wire.number] = wire
        theirs.connect(answering)
        self.at(_delay(chance), lambda: self._established(dial, ours))

    def _established(self, dial: _Dial, ours: End) -> None:
        if dial.is_over or not dial.machine.is_on or ours.is_lost:
            ours.wire.refuse(ours)
            return
        dial.finish()
        calling = dial.factory.buildProtocol(ours.getPeer())
        assert calling is not None  # noqa: S101 (an endpoint's factory always makes one)
        ours.connect(calling)
        ours.wire.kick()

    def forget(self, wire: Wire) -> None:
        """
        Neither end knows of a connection any more.
        """
        self._wires.pop(wire.number, None)


def _delay(chance: Random) -> float:
    return chance.choice(DELAYS) * (0.5 + chance.random())


@implementer(IReactorTCP)
class Machine(Clock):
    """
    A machine from the time that it is switched on until it is switched off.

    What runs there sees a reactor, whose clock may be wrong. When it is switched off, nothing there
    is told: whatever was going on goes on no further.

    Args:
        network: What it is on.
        host: Its address.
        identity: Whose it is.
        ahead: Seconds that its clock is ahead.

    Attributes:
        is_on: Whether it is.
        ports: Who listens on which port.
    """

    def __init__(self, network: Network, host: str, identity: Identity, ahead: int) -> None:
        super().__init__()
        self.network = network
        self.host = host
        self.identity = identity
        self.ahead = ahead
        self.is_on = True
        self.ports: dict[int, IProtocolFactory] = {}

    @override
    def seconds(self) -> float:
        return self.network.now + self.ahead

    def next_due(self) -> float:
        """
        When something is to be done there, in true time.
        """
        return self.calls[0].getTime() - self.ahead if self.calls else float("inf")

    def run_due(self) -> None:
        """
        Do what is due first.
        """
        call = self.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)

    def switch_off(self, *, is_power_cut: bool) -> None:
        """
        End everything here, as a killed process ends, or a machine without power.

        Args:
            is_power_cut: Whether nobody closes its connections, so that others have to find out.
        """
        self.is_on = False
        self.ports = {}
        self.network.machines.pop(self.host, None)
        for wire in self.network.wires_of(self.host):
            wire.drop_end(self.host, is_silent=is_power_cut)

    @property
    def wires(self) -> int:
        """
        How many connections it has.
        """
        ends = (end for wire in self.network.wires_of(self.host) for end in wire.ends)
        return sum(1 for end in ends if end.machine is self and not end.is_lost)

    def listenTCP(  # noqa: N802 (Twisted calls it)
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen at the machine's address.
        """
        self.ports[port] = factory
        return _Port(self, port)

    def connectTCP(  # type: ignore[override]  # noqa: N802 (its factory is generic to mypy only)
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: object = None,  # noqa: N803
    ) -> IConnector:
        """
        Connect from the machine's address.
        """
        dial = _Dial(self, host, port, factory)
        if self.is_on:
            factory.startedConnecting(dial)
            self.network.dial(dial, timeout)
        return dial


@implementer(IListeningPort)
class _Port:
    def __init__(self, machine: Machine, port: int) -> None:
        self._machine = machine
        self._port = port

    def startListening(self) -> None:  # noqa: N802 (Twisted calls it)
        pass

    def stopListening(self) -> None:  # noqa: N802
        self._machine.ports.pop(self._port, None)

    def getHost(self) -> IAddress:  # noqa: N802
        return IPv4Address("TCP", self._machine.host, self._port)


@implementer(IConnector)
class _Dial:
    def __init__(self, machine: Machine, host: str, port: int, factory: ClientFactory) -> None:
        self.machine = machine
        self.host = host
        self.port = port
        self.factory = factory
        self.timer: IDelayedCall | None = None
        self.is_over = False

    def finish(self) -> None:
        """
        It has come to its end, well or not.
        """
        self.is_over = True
        if self.timer is not None and self.timer.active():
            self.timer.cancel()

    def fail(self, error: Exception) -> None:
        """
        It comes to nothing, unless it has come to something already.
        """
        if not self.is_over and self.machine.is_on:
            self.finish()
            self.factory.clientConnectionFailed(self, Failure(error))

    def connect(self) -> None:
        pass

    def disconnect(self) -> None:
        self.finish()

    def stopConnecting(self) -> None:  # noqa: N802 (Twisted calls it)
        self.finish()

    def getDestination(self) -> IAddress:  # noqa: N802
        return IPv4Address("TCP", self.host, self.port)
