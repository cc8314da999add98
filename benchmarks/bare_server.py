"""
The yardstick: the fastest simple Twisted server that takes one message for each connection.

It collects what a connection brings until it ends, counts it and prints one line. It decodes
nothing, keeps nothing and limits nothing. Run as a script: ``bare_server.py PORT``.
"""

from __future__ import annotations

import sys

from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from typing_extensions import override

# A whole burst fits, so that no connection attempt is ever dropped and sent again a second later.
BACKLOG = 4096


class BareReceiver(LineReceiver):
    """
    One connection, which is one message.
    """

    received = 0

    @override
    def connectionMade(self) -> None:
        """
        Take bytes as they come: a message ends with its connection, not with a line.
        """
        self.parts: list[bytes] = []
        self.setRawMode()

    @override
    def rawDataReceived(self, data: bytes) -> None:
        """
        Keep a part of the message.
        """
        self.parts.append(data)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Print the message, if there was one.
        """
        if self.parts:
            BareReceiver.received += 1
            sys.stdout.buffer.write(b"%d %s\n" % (self.received, b"".join(self.parts)))
            sys.stdout.buffer.flush()


def main() -> None:
    """
    Listen on the port of the command line until a signal ends the process.
    """
    from twisted.internet import reactor  # epoll, which is Twisted's choice on Linux

    factory = ServerFactory()
    factory.protocol = BareReceiver
    factory.noisy = False
    reactor.listenTCP(int(sys.argv[1]), factory, backlog=BACKLOG)
    reactor.run()


if __name__ == "__main__":
    main()
