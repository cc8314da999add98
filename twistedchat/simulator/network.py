"""
The network of a simulation: machines with clocks of their own, and wires that can fail anywhere.

Nothing moves but in `Network.run`, and everything that is left to chance is drawn from the seed: for
each wire by itself, so that what happens on one does not change what happens on another.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any, cast
from zlib import crc32

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTCP,
    ITLSTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.identity import KEY_LENGTH, DeviceKey, Identity
from twistedchat.peers.tls import ALPN, ConnectionCreator

__all__ = ["START", "Machine", "Network"]

# When it begins, in seconds since the epoch. Times of this size and whole differences between the
# machines' clocks are added without rounding, so that no timer comes too early.
START = 1_700_000_000.0

# Bytes on their way from one end to the other after which whoever writes them is told to wait: as
# many as Twisted has for a socket.
MOST_ON_THE_WAY = 64 * 1024

# The first port of those that a system gives to outgoing connections (RFC 6335 section 6).
FIRST_EPHEMERAL_PORT = 49152

# How a connection that is to become a session begins: as a TLS record of the handshake does.
_HELLO = b"\x16"

# Seconds that a byte can take: a cable, a house, a continent, and a bad day.
DELAYS = (0.0005, 0.003, 0.05, 0.4)


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
    """

    def __init__(self, seed: str, *, is_tls_real: bool = False) -> None:
        self.now = START
        self.machines: dict[str, Machine] = {}
        self.cut_off: set[frozenset[str]] = set()
        self.is_calm = False
        self.is_tls_real = is_tls_real
        self.digest = 0
        self.links = 0
        self._seed = seed
        self._dials = 0
        self.certificates: dict[DeviceKey, X509] = {}
        self._wires: dict[int, _Wire] = {}
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

    def wires_of(self, host: str) -> list[_Wire]:
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
        wire = _Wire(self, self.links, chance)
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

    def forget(self, wire: _Wire) -> None:
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
        call = cast(DelayedCall, self.calls.pop(0))
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


class _Wire:
    """
    One connection.

    Args:
        network: What it is on.
        number: How many there were before.
        chance: What goes wrong with it.
    """

    ends: tuple[End, End]

    def __init__(self, network: Network, number: int, chance: Random) -> None:
        self.network = network
        self.number = number
        self.chance = chance
        self._pace = chance.choice(DELAYS)
        # After how many bytes it breaks, whatever they are.
        self._lasts = float("inf")
        if not network.is_calm and chance.random() < 0.35:
            self._lasts = chance.choice((100, 1_000, 5_000, 50_000)) * chance.random()

    def join(self, ours: End, theirs: End) -> None:
        """
        Give it its ends.
        """
        self.ends = (ours, theirs)
        ours.other, theirs.other = theirs, ours

    def touches(self, host: str) -> bool:
        """
        Whether one of its ends is there, and known.
        """
        return any(end.host == host for end in self.ends)

    def joins(self, one: str, other: str) -> bool:
        """
        Whether it is between these.
        """
        return {end.host for end in self.ends} == {one, other}

    def kick(self) -> None:
        """
        What is on its way may go on.
        """
        for end in self.ends:
            self.send(end)

    def send(self, end: End) -> None:
        """
        Something is on its way from one end.
        """
        if not end.is_due and (end.on_the_way or end.signs):
            end.is_due = True
            pause = self._pace * (0.5 + self.chance.random())
            if self.chance.random() < 0.02:
                pause *= 20
            self.network.at(pause, lambda: self._carry(end))

    def _carry(self, end: End) -> None:
        end.is_due = False
        other = end.other
        if self.network.is_separated(end.host, other.host) or not other.hears:
            # It goes on when it can.
            return
        if end.on_the_way:
            size = len(end.on_the_way)
            if self.chance.random() < 0.25:
                size = self.chance.randint(1, size)
            if size >= self._lasts and not self.network.is_calm:
                size = int(self._lasts)
                self.network.note("snap", self.number, size)
                end.deliver(size)
                self.snap()
                return
            self._lasts -= size
            end.deliver(size)
        if not end.on_the_way and end.signs:
            sign = end.signs.pop(0)
            self.network.note(sign, self.number, end.is_client)
            end.other.sign_came(sign)
        self.send(end)

    def snap(self) -> None:
        """
        Break: what is on its way is lost, and each end finds out at some time.
        """
        self.network.note("snapped", self.number)
        for end in self.ends:
            end.on_the_way.clear()
            end.signs.clear()
            end.is_cut = True
            when = self.chance.choice((0.0, 0.01, 1.0, 15.0))
            self.network.at(when, lambda end=end: end.lose(ConnectionLost()))  # type: ignore[misc]

    def refuse(self, ours: End) -> None:
        """
        The one who called does not want it any more.
        """
        ours.is_lost = True
        ours.signs = ["reset"]
        self.send(ours)

    def drop_end(self, host: str, *, is_silent: bool) -> None:
        """
        A machine is switched off.
        """
        for end in self.ends:
            if end.host == host and not end.is_lost:
                end.is_lost = True
                if not is_silent:
                    end.signs = [self.chance.choice(("fin", "reset"))]
                    self.send(end)
                else:
                    end.is_silent = True
        self.look()

    def forget_silently(self, host: str) -> None:
        """
        A machine that lost power is back, and knows nothing of this.
        """
        for end in self.ends:
            if end.host == host and end.is_silent:
                end.is_silent = False
                end.signs = ["reset"]
                self.send(end)

    def look(self) -> None:
        """
        See whether it is over.
        """
        if all(end.is_lost for end in self.ends):
            self.network.forget(self)


@implementer(ITLSTransport, IPushProducer)
class End:
    """
    One end of a connection: what a protocol has for a transport.

    Args:
        wire: The connection.
        machine: Where.
        address: Our address.
        peer: The other side's.
        is_client: Whether this end opened the connection.

    Attributes:
        on_the_way: Bytes from here that are not there yet.
        signs: What follows them: ``notify`` (TLS ends), ``fin``, ``reset``.
        is_due: Whether something of that is going to arrive.
        is_lost: Whether the protocol knows that the connection is, or would if it were there.
        is_cut: Whether nothing from here arrives any more.
        is_silent: Whether the machine is off without having closed it.
        is_closing: Whether the protocol has closed the connection.
        is_aborted: Whether it has broken it off.
    """

    other: End

    def __init__(
        self,
        wire: _Wire,
        machine: Machine,
        address: IPv4Address,
        peer: IPv4Address,
        *,
        is_client: bool,
    ) -> None:
        self.wire = wire
        self.machine = machine
        self.host = machine.host
        self.is_client = is_client
        self.protocol: IProtocol | None = None
        self.on_the_way = bytearray()
        self.signs: list[str] = []
        self.is_due = False
        self.is_lost = False
        self.is_cut = False
        self.is_silent = False
        self.is_closing = False
        self._is_half_closed = False
        self.is_aborted = False
        self._is_paused = False
        self._is_choked = False
        self._has_read_all = False
        self._producer: IPushProducer | None = None
        self._tls: TLSMemoryBIOProtocol | _OpenTls | None = None
        self._address = address
        self._peer = peer
        self._loss: Exception | None = None

    def connect(self, protocol: IProtocol) -> None:
        """
        Give the connection to a protocol.
        """
        self.protocol = protocol
        protocol.makeConnection(self)

    # The wire calls these.

    @property
    def hears(self) -> bool:
        """
        Whether what comes can be handed over, or thrown away.
        """
        if self.is_silent:
            return False
        return self.is_lost or (self.protocol is not None and not self._is_paused)

    def deliver(self, size: int) -> None:
        """
        Let some of what is on the way arrive.
        """
        data = bytes(self.on_the_way[:size])
        del self.on_the_way[:size]
        network, other = self.wire.network, self.other
        is_wanted = not (other.is_lost or other.is_aborted or other._is_over)
        network.note(self.wire.number, self.is_client, size if network.is_tls_real else data)
        if is_wanted and data:
            assert other.protocol is not None  # noqa: S101 (it hears)
            other.protocol.dataReceived(data)
        elif other.is_lost and "reset" not in other.signs:
            # Nobody is there: the system says so.
            other.signs.append("reset")
            self.wire.send(other)
        if self._is_choked and not self.on_the_way and self._producer is not None:
            self._is_choked = False
            self._producer.resumeProducing()

    @property
    def _is_over(self) -> bool:
        return self.is_closing and self._tls is None

    def sign_came(self, sign: str) -> None:
        """
        What followed the bytes has arrived.
        """
        if self.is_lost:
            return
        match sign:
            case "notify":
                if self._tls is not None:
                    cast(_OpenTls, self._tls).notified()
            case "fin":
                self._read_all()
            case "alert":
                self.lose(SSL.Error([("SSL routines", "", "certificate unknown")]))
            case _:
                self.lose(ConnectionLost())

    def _read_all(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol):
            if not self._has_read_all:
                self._has_read_all = True
                IHalfCloseableProtocol(self.protocol).readConnectionLost()
                if self._is_half_closed:
                    self.lose(ConnectionDone())
            return
        self.lose(ConnectionDone())

    def lose(self, error: Exception) -> None:
        """
        Tell the protocol that the connection is lost, unless it knows.
        """
        if self.is_lost or not self.machine.is_on:
            return
        if self._is_paused and not isinstance(error, ConnectionAborted):
            # Who does not read does not notice.
            self._loss = error
            return
        self.is_lost = True
        if not self.is_closing and isinstance(error, ConnectionDone) and not self.signs:
            self.signs.append("fin")
        self.wire.send(self)
        self.wire.look()
        if self._producer is not None:
            self._producer.stopProducing()
            self._producer = None
        if self.protocol is not None:
            self.protocol.connectionLost(Failure(error))

    # The protocol calls these.

    @property
    def disconnecting(self) -> bool:
        """
        Whether the protocol has closed the connection, by Twisted's name.
        """
        return self.is_closing

    def write(self, data: bytes) -> None:
        """
        Write bytes, which are dropped after a close as a real transport does.
        """
        if self._tls is not None:
            self._tls.write(data)
        else:
            self.write_raw(data)

    def write_raw(self, data: bytes) -> None:
        """
        Write bytes as they are to go over the wire.
        """
        if self._is_half_closed or self.is_closing or self.is_lost or self.is_aborted:
            return
        if not self.machine.is_on or self.is_cut:
            return
        self.on_the_way += data
        if self._producer is not None and not self._is_choked:
            if len(self.on_the_way) > MOST_ON_THE_WAY:
                self._is_choked = True
                self._producer.pauseProducing()
        self.wire.send(self)

    def sign(self, sign: str) -> None:
        """
        Let the other side know something, behind what is on its way.
        """
        if not self.is_cut and self.machine.is_on:
            self.signs.append(sign)
            self.wire.send(self)

    def writeSequence(self, iovec: list[bytes]) -> None:  # noqa: N802 (Twisted calls it)
        """
        Write bytes as one.
        """
        self.write(b"".join(iovec))

    def loseWriteConnection(self) -> None:  # noqa: N802
        """
        Close for writing only.
        """
        if not (self._is_half_closed or self.is_closing or self.is_lost):
            self._is_half_closed = True
            self.sign("fin")

    def loseConnection(self) -> None:  # noqa: N802
        """
        Close once everything has been written.
        """
        if self._tls is not None:
            self._tls.loseConnection()
        else:
            self.close()

    def close(self) -> None:
        """
        Close without regard to TLS.
        """
        if self.is_closing or self.is_lost or self.is_aborted:
            return
        self.is_closing = True
        if not self._is_half_closed:
            self.sign("fin")
        self.wire.network.at(0.0001, lambda: self.lose(ConnectionDone()))

    def abortConnection(self) -> None:  # noqa: N802
        """
        Break the connection off.
        """
        if self.is_lost or self.is_aborted:
            return
        self.is_aborted = True
        if self.wire.chance.random() < 0.5:
            # The system throws away what it has not sent, and what was not read.
            self.on_the_way.clear()
            self.signs.clear()
        self.sign("reset")
        self.wire.network.at(0.0, lambda: self.lose(ConnectionAborted()))

    def startTLS(self, contextFactory: ConnectionCreator) -> None:  # noqa: N802, N803
        """
        Go on with TLS, or with what stands for it.
        """
        assert self.protocol is not None  # noqa: S101 (who else starts it)
        if self.wire.network.is_tls_real:
            factory = TLSMemoryBIOFactory(
                contextFactory, self.is_client, Factory.forProtocol(Protocol), self.machine
            )
            tls = factory.protocol(factory, self.protocol, False)
            self._tls = self.protocol = tls
            tls.makeConnection(_BelowTls(self))
        else:
            self._tls = _OpenTls(self, self.protocol, contextFactory)
            self.protocol = cast(IProtocol, self._tls)
            self._tls.begin()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:  # noqa: N802
        """
        Have somebody to tell when too much is on its way.
        """
        if self._tls is not None and self.wire.network.is_tls_real:
            self._tls.registerProducer(producer, streaming)
        else:
            self._producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        """
        Have nobody to tell any more.
        """
        if self._tls is not None and self.wire.network.is_tls_real:
            self._tls.unregisterProducer()
        else:
            self._producer = None

    def pauseProducing(self) -> None:  # noqa: N802
        """
        Hand over nothing until `resumeProducing`.
        """
        self._is_paused = True

    def resumeProducing(self) -> None:  # noqa: N802
        """
        Hand over again what comes.
        """
        self._is_paused = False
        if self._loss is not None:
            loss = self._loss
            self.wire.network.at(0.0, lambda: self.lose(loss))
        self.wire.send(self.other)

    def stopProducing(self) -> None:  # noqa: N802
        """
        Close.
        """
        self.loseConnection()

    def getPeer(self) -> IPv4Address:  # noqa: N802
        """
        The other side's address.
        """
        return self._peer

    def getHost(self) -> IPv4Address:  # noqa: N802
        """
        Our address.
        """
        return self._address

    def getTcpNoDelay(self) -> bool:  # noqa: N802
        """
        Whether small packets are sent at once, which means nothing here.
        """
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        """
        Do nothing.
        """

    def getTcpKeepAlive(self) -> bool:  # noqa: N802
        """
        Whether a silent connection is probed, which means nothing here.
        """
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802
        """
        Do nothing.
        """


class _BelowTls:
    """
    An `End` as its own TLS layer sees it.
    """

    def __init__(self, end: End) -> None:
        self._end = end

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever it is)
        return getattr(self._end, name)

    def write(self, data: bytes) -> None:
        self._end.write_raw(data)

    def loseConnection(self) -> None:  # noqa: N802 (Twisted calls it)
        self._end.close()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:  # noqa: N802
        self._end._producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        self._end._producer = None


class _OpenTls:
    """
    What stands for TLS: each side shows its key, and nothing is encrypted.

    It begins and ends as TLS does: the side that called knows the other's key first, neither goes
    on with a key that it refuses, and each tells that it closes before it does.

    Args:
        end: What it is on.
        wrapped: Who is above it.
        creator: Knows which keys are accepted.
    """

    negotiatedProtocol = ALPN  # noqa: N815 (Twisted's name)

    def __init__(self, end: End, wrapped: IProtocol, creator: ConnectionCreator) -> None:
        self._end = end
        self._wrapped = wrapped
        self._accepts = creator._accepts
        self._heard = b""
        self._has_answered = False
        self._has_ended = False
        self._key: DeviceKey | None = None
        self.disconnecting = False

    def begin(self) -> None:
        """
        Open the handshake, where we called.
        """
        if self._end.is_client:
            self._end.write_raw(_HELLO)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted calls it)
        """
        Go on with the handshake, or hand over what came.
        """
        if self._key is None:
            self._heard += data
            if not self._end.is_client and not self._has_answered:
                self._has_answered = True
                self._heard = self._heard.removeprefix(_HELLO)
                self._end.write_raw(_HELLO + self._end.machine.identity.key.raw)
            wanted = len(_HELLO) * self._end.is_client + KEY_LENGTH
            if len(self._heard) < wanted:
                return
            data = self._heard[wanted:]
            self._shown(DeviceKey(self._heard[wanted - KEY_LENGTH : wanted]))
        if data and not self._end.is_aborted:
            self._wrapped.dataReceived(data)

    def _shown(self, key: DeviceKey) -> None:
        self._key = key
        if not self._accepts(key):
            self._end.sign("alert")
            self._end.lose(SSL.Error([("SSL routines", "", "certificate verify failed")]))
            return
        if self._end.is_client:
            self._end.write_raw(self._end.machine.identity.key.raw)
        if IHandshakeListener.providedBy(self._wrapped):
            IHandshakeListener(self._wrapped).handshakeCompleted()

    def getPeerCertificate(self) -> X509:  # noqa: N802 (Twisted's name)
        """
        The certificate that would have been shown.
        """
        assert self._key is not None  # noqa: S101 (asked at the end of the handshake)
        return self._end.wire.network.certificates[self._key]

    def write(self, data: bytes) -> None:
        """
        Say something, unless all was said.
        """
        if not self.disconnecting:
            self._end.write_raw(data)

    def loseConnection(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Tell that nothing more is said, and wait for the other side to tell the same.
        """
        if self.disconnecting:
            return
        self.disconnecting = True
        if self._key is None:
            self._end.abortConnection()
        else:
            self._notify()

    def _notify(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._end.sign("notify")

    def notified(self) -> None:
        """
        The other side has told that it says nothing more.
        """
        self._notify()
        self._end.close()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802 (Twisted calls it)
        """
        Tell whoever is above; an end that was not told is a loss.
        """
        is_rude = bool(reason.check(ConnectionDone)) and not self._has_ended
        self._wrapped.connectionLost(Failure(ConnectionLost()) if is_rude else reason)
