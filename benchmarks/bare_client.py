"""
The yardstick for sending: the fastest simple Twisted client with one connection per message.

Run as a script: ``bare_client.py MESSAGE_COUNT TOKEN PORT...``. To each port it sends one message
after the other, each on a connection of its own, and to all ports at the same time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from twisted.internet.interfaces import IAddress, IReactorTCP
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override


class OneMessage(Protocol):
    """
    One connection, which is one message.
    """

    def __init__(self, sender: Sender) -> None:
        self.sender = sender

    @override
    def connectionMade(self) -> None:
        """
        Say it and go.
        """
        assert self.transport is not None
        self.transport.write(self.sender.message)
        self.transport.loseConnection()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Go on with the next message.
        """
        self.sender.send_next()


class Sender(ClientFactory):
    """
    Sends messages to one port, in order.
    """

    noisy = False

    def __init__(self, reactor: IReactorTCP, port: int, messages: Iterator[bytes]) -> None:
        self.reactor = reactor
        self.port = port
        self.messages = messages
        self.message = b""

    @override
    def buildProtocol(self, addr: IAddress | None) -> OneMessage:
        """
        Make the connection of the next message.
        """
        return OneMessage(self)

    def send_next(self) -> None:
        """
        Send the next message, if there is one.
        """
        message = next(self.messages, None)
        if message is not None:
            self.message = message
            self.reactor.connectTCP("127.0.0.1", self.port, self)


def main() -> None:
    """
    Send everything, then wait for a signal: who started the process decides when it is over.
    """
    from twisted.internet import reactor  # epoll, which is Twisted's choice on Linux

    count, token, ports = int(sys.argv[1]), sys.argv[2].encode(), [int(p) for p in sys.argv[3:]]
    for index, port in enumerate(ports):
        serials = range(index, count, len(ports))
        messages = (b"LISTENING_PORT:9000|TEAM_NAME:bench|%s%06d" % (token, n) for n in serials)
        reactor.callWhenRunning(Sender(reactor, port, messages).send_next)
    reactor.run()


if __name__ == "__main__":
    main()
