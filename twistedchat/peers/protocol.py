"""
One connection to a peer, whoever opened it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from typing_extensions import override

from twistedchat.core.addresses import Address, canonical_host
from twistedchat.core.classic import decode
from twistedchat.peers.doorman import LARGEST_MESSAGE, MOST_BYTES, Doorman

__all__ = ["Delivery", "PeerFactory", "PeerProtocol"]

# The first byte of every TLS connection: a handshake record (RFC 8446 section 5.1). No classic
# message begins with a control character.
_TLS_HANDSHAKE = 0x16


@dataclass(slots=True, eq=False)
class Delivery:
    """
    One message on its way out, on a connection of its own.

    Attributes:
        write: Gives the bytes, once it is known which address of ours the other side sees.
        taken: Fires with the address that took the message, or fails with the reason
            (``ConnectionLost``) for which the connection was broken off.
    """

    write: Callable[[str], bytes]
    taken: Deferred[Address] = field(default_factory=Deferred)


class PeerProtocol(LineReceiver):
    """
    A connection: one that was accepted and brings something, or one that we opened to say a thing.

    A classic message has no line ends, so a connection begins in raw mode. It ends at EOF, at a
    reset or after a moment of silence: whatever had come by then was said.

    Args:
        doorman: What all connections share.
        delivery: What to say, where we opened the connection.
    """

    transport: ITCPTransport
    _log = Logger()
    _host = ""
    _heard = b""
    _bytes = 0

    def __init__(self, doorman: Doorman, delivery: Delivery | None) -> None:
        self._doorman = doorman
        self._delivery = delivery

    @override
    def connectionMade(self) -> None:
        self.setRawMode()
        host = canonical_host(self.transport.getPeer().host)
        if self._delivery is not None:
            self._host = host
            self._deliver(self._delivery)
        elif self._doorman.admit(self, host):
            self._host = host
        else:
            self.transport.abortConnection()

    def _deliver(self, delivery: Delivery) -> None:
        self.transport.write(delivery.write(canonical_host(self.transport.getHost().host)))
        # Closed for writing only: closing both ways with an answer unread would make our system
        # reset the connection, and theirs could drop our message before it was read.
        self.transport.loseWriteConnection()
        self._doorman.closes.restart(self)

    @override
    def lineReceived(self, line: bytes) -> None:
        raise AssertionError("a classic connection has no lines")

    @override
    def rawDataReceived(self, data: bytes) -> None:
        if self._delivery is not None or not self._host:
            # An acknowledgement that some programs send, which is nothing that anybody said; or
            # the rest of what a connection brought that was turned away.
            return
        if not self._bytes and data[0] == _TLS_HANDSHAKE:
            self.drop("it speaks TLS, which this node does not")
            return
        self._bytes += len(data)
        self._heard += data
        if len(self._heard) > LARGEST_MESSAGE:
            self._heard = b""
            self.drop(f"it sent a message of more than {LARGEST_MESSAGE} bytes")
        elif self._bytes > MOST_BYTES:
            self.drop(f"it sent more than {MOST_BYTES} bytes over one connection")
        else:
            self._doorman.silences.restart(self)

    def fell_silent(self) -> None:
        """
        Nothing came for a moment: what had come is all that was said.
        """
        heard, self._heard = self._heard, b""
        if heard and (messages := decode(heard)):
            self._doorman.hear(self._host, messages)

    def waited_for_close(self) -> None:
        """
        The other side has not closed: our message is out, so we do.
        """
        self.transport.loseConnection()

    def drop(self, reason: str) -> None:
        """
        End the connection at once.

        Args:
            reason: Why, for the log.
        """
        self._log.info("Dropped a connection from {host}: {reason}", host=self._host, reason=reason)
        self.transport.abortConnection()

    @override
    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        if self._delivery is not None:
            self._doorman.closes.cancel(self)
            if reason.check(ConnectionDone):
                peer = self.transport.getPeer()
                self._delivery.taken.callback(Address(self._host, peer.port))
            else:
                self._delivery.taken.errback(reason)
        elif self._host:
            self._doorman.silences.cancel(self)
            self._doorman.out(self, self._host)
            self.fell_silent()


class PeerFactory(Factory):
    """
    Makes the protocols of both sides; which one we are is told by whether there is a delivery.

    Args:
        doorman: What all connections share.
        delivery: What to say on a connection that we open; ``None`` for those we accept.
    """

    noisy = False

    def __init__(self, doorman: Doorman, delivery: Delivery | None = None) -> None:
        self._doorman = doorman
        self._delivery = delivery

    @override
    def buildProtocol(self, addr: IAddress | None) -> PeerProtocol:
        return PeerProtocol(self._doorman, self._delivery)
