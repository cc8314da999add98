"""
The wires of a simulation: connections that can fail at any byte.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, cast

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IPushProducer,
    ITLSTransport,
)
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.identity import KEY_LENGTH, DeviceKey
from twistedchat.peers.tls import ALPN, ConnectionCreator
from twistedchat.simulator.ends import MOST_ON_THE_WAY, MemoryEnd

if TYPE_CHECKING:
    from twistedchat.simulator.network import Machine, Network

__all__ = ["DELAYS", "End", "Wire"]

# How a connection that is to become a session begins: as a TLS record of the handshake does.
HELLO = b"\x16"

# Seconds that a byte can take: a cable, a house, a continent, and a bad day.
DELAYS = (0.0005, 0.003, 0.05, 0.4)

# How often a connection is one that breaks, and after how many bytes at most it does so.
BREAKS = 0.35
LASTS = (100, 1_000, 5_000, 50_000)

# Seconds until an end finds out that a connection is broken. By the last it asks itself first.
FINDS_OUT = (0.0, 0.01, 1.0, 15.0)


class Wire:
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
        if not network.is_calm and chance.random() < BREAKS:
            self._lasts = chance.choice(LASTS) * chance.random()

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
            self.network.at(self.chance.choice(FINDS_OUT), partial(end.lose, ConnectionLost()))

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
class End(MemoryEnd):
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
        wire: Wire,
        machine: Machine,
        address: IPv4Address,
        peer: IPv4Address,
        *,
        is_client: bool,
    ) -> None:
        super().__init__(address, peer, is_client=is_client)
        self.wire = wire
        self.machine = machine
        self.host = machine.host
        self.protocol = None
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
        if self._is_choked and not self.on_the_way and self.producer is not None:
            self._is_choked = False
            self.producer.resumeProducing()

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
                if isinstance(self._tls, _OpenTls):
                    self._tls.notified()
            case "fin":
                self._read_all()
            case "alert":
                self.lose(SSL.Error([("SSL routines", "", "certificate unknown")]))
            case _:
                self.lose(ConnectionLost())

    def _read_all(self) -> None:
        # Some protocols can do so for a while only: Twisted asks each time, too.
        half_closeable: IHalfCloseableProtocol | None = IHalfCloseableProtocol(self.protocol, None)
        if half_closeable is None or self._is_half_closed:
            self.lose(ConnectionDone())
        elif not self._has_read_all:
            self._has_read_all = True
            half_closeable.readConnectionLost()

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
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        if self.protocol is not None:
            self.protocol.connectionLost(Failure(error))

    # The protocol calls these.

    @property
    def disconnecting(self) -> bool:
        """
        Whether the protocol has closed the connection, by Twisted's name.
        """
        return self.is_closing

    @override
    def write_raw(self, data: bytes) -> None:
        """
        Write bytes as they are to go over the wire.
        """
        if self._is_half_closed or self.is_closing or self.is_lost or self.is_aborted:
            return
        if not self.machine.is_on or self.is_cut:
            return
        self.on_the_way += data
        is_much = len(self.on_the_way) > MOST_ON_THE_WAY
        if self.producer is not None and is_much and not self._is_choked:
            self._is_choked = True
            self.producer.pauseProducing()
        self.wire.send(self)

    def sign(self, sign: str) -> None:
        """
        Let the other side know something, behind what is on its way.
        """
        if not self.is_cut and self.machine.is_on:
            self.signs.append(sign)
            self.wire.send(self)

    def loseWriteConnection(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Close for writing only.
        """
        if not (self._is_half_closed or self.is_closing or self.is_lost):
            self._is_half_closed = True
            self.sign("fin")

    @override
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

    def startTLS(  # noqa: N802
        self,
        contextFactory: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,  # noqa: N803
    ) -> None:
        """
        Go on with TLS, or with what stands for it.
        """
        assert self.protocol is not None  # noqa: S101 (who else starts it)
        if self.wire.network.is_tls_real:
            self.open_tls(contextFactory, self.machine)
        else:
            open_tls = _OpenTls(self, self.protocol, cast(ConnectionCreator, contextFactory))
            self._tls = open_tls
            self.protocol = cast(IProtocol, open_tls)
            open_tls.begin()

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
            self._end.write_raw(HELLO)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted calls it)
        """
        Go on with the handshake, or hand over what came.
        """
        if self._key is None:
            self._heard += data
            if not self._end.is_client and not self._has_answered:
                self._has_answered = True
                self._heard = self._heard.removeprefix(HELLO)
                self._end.write_raw(HELLO + self._end.machine.identity.key.raw)
            wanted = len(HELLO) * self._end.is_client + KEY_LENGTH
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
