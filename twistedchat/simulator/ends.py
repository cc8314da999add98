"""
What all ends of connections in memory have in common, whatever becomes of their bytes.

`twistedchat.simulator.wires` has those that fail, `twistedchat.testing` those that a test moves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Protocol as TypedProtocol
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

__all__ = ["MOST_ON_THE_WAY", "MemoryEnd", "TlsLayer"]

# Bytes on their way from one end to the other after which whoever writes them is told to wait: as
# many as Twisted has for a socket.
MOST_ON_THE_WAY = 64 * 1024


class TlsLayer(TypedProtocol):
    """
    TLS above an end, or what stands for it.
    """

    def write(self, data: bytes) -> None:
        """
        Write what is to be encrypted.
        """

    def loseConnection(self) -> None:  # noqa: N802 (Twisted's name)
        """
        Close, having said goodbye.
        """


class MemoryEnd:
    """
    One end of a connection in memory: what a protocol has for a transport.

    Args:
        host: Our address.
        peer: The other side's address.
        is_client: Whether this end opened the connection.

    Attributes:
        protocol: Whose end it is; the TLS layer, where there is a real one.
        producer: Told when too much is on its way, and when it has arrived.
    """

    protocol: IProtocol | None

    def __init__(
        self,
        host: IPv4Address | IPv6Address,
        peer: IPv4Address | IPv6Address,
        *,
        is_client: bool,
    ) -> None:
        self.is_client = is_client
        self.producer: IPushProducer | None = None
        self._host = host
        self._peer = peer
        self._tls: TlsLayer | None = None

    @abstractmethod
    def write_raw(self, data: bytes) -> None:
        """
        Write bytes as they are to go over the wire.
        """

    @abstractmethod
    def close(self) -> None:
        """
        Close without regard to TLS.
        """

    def open_tls(
        self,
        creator: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,
        clock: IReactorTime | None,
    ) -> None:
        """
        Go on with TLS: real, in memory.

        Args:
            creator: Makes the state of it.
            clock: Calls back.
        """
        factory = TLSMemoryBIOFactory(creator, self.is_client, Factory.forProtocol(Protocol), clock)
        tls = factory.protocol(factory, self.protocol, False)
        self._tls = self.protocol = tls
        tls.makeConnection(_BelowTls(self))

    # The protocol calls these.

    def write(self, data: bytes) -> None:
        """
        Write bytes, which are dropped after a close as a real transport does.
        """
        if self._tls is not None:
            self._tls.write(data)
        else:
            self.write_raw(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:  # noqa: N802 (Twisted calls it)
        """
        Write bytes as one.
        """
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:  # noqa: N802
        """
        Close once everything has been written.
        """
        if self._tls is not None:
            self._tls.loseConnection()
        else:
            self.close()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:  # noqa: N802
        """
        Have somebody to tell when too much is on its way.
        """
        if isinstance(self._tls, TLSMemoryBIOProtocol):
            self._tls.registerProducer(producer, streaming)
        else:
            self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        """
        Have nobody to tell any more.
        """
        if isinstance(self._tls, TLSMemoryBIOProtocol):
            self._tls.unregisterProducer()
        else:
            self.producer = None

    def stopProducing(self) -> None:  # noqa: N802
        """
        Close.
        """
        self.loseConnection()

    def getPeer(self) -> IPv4Address | IPv6Address:  # noqa: N802
        """
        The other side's address.
        """
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:  # noqa: N802
        """
        Our address.
        """
        return self._host

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
    An end as its own TLS layer sees it.
    """

    def __init__(self, end: MemoryEnd) -> None:
        self._end = end

    def __getattr__(self, name: str) -> object:
        """
        What makes no difference is the end's.
        """
        return cast(object, getattr(self._end, name))

    def write(self, data: bytes) -> None:
        """
        Write what is encrypted already.
        """
        self._end.write_raw(data)

    def loseConnection(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Close, TLS having said goodbye.
        """
        self._end.close()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:  # noqa: N802
        """
        Have somebody to tell when too much is on its way.
        """
        self._end.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        """
        Have nobody to tell any more.
        """
        self._end.producer = None
