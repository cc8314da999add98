"""
The tightest server there is: it reads each connection to its end, closes it and counts.

It shows how much the generator could send if the server cost nothing, and it is what programs
send to when their sending is measured. Run as ``python -m benchmarks.sink ORDER``, where ORDER is
a ``SinkOrder`` in JSON. It prints its ports as a JSON list in one line, and a ``SinkReport`` in a
second line once it has what it expects, or once its standard input has ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import socket
import sys
import time
from dataclasses import dataclass

__all__ = ["SinkOrder", "SinkReport", "serve"]

BACKLOG = 4096
READ_BYTES = 65_536

# How many connections to accept in one go before looking at those already accepted.
ACCEPTS = 64

# When the input has ended and nothing more has come for so long, all has come; in seconds.
QUIET = 0.2


@dataclass(frozen=True, slots=True)
class SinkOrder:
    """
    What a sink has to do.

    Attributes:
        port_count: How many ports to listen on.
        token: What a message must hold to be counted; connections without it are not.
        expected: How many messages to wait for; with 0, as many as come.
        is_spinning: Never sleep. Then nobody who sends has to wake the sink up, which costs the
            sender more than the sending; it takes a whole core.
    """

    port_count: int
    token: str
    expected: int
    is_spinning: bool


@dataclass(frozen=True, slots=True)
class SinkReport:
    """
    What has come.

    Attributes:
        count: How many messages.
        first_at: When the first one had been read, in seconds of the monotonic clock.
        last_at: The same for the last one.
    """

    count: int
    first_at: float
    last_at: float


def serve(order: SinkOrder) -> SinkReport:
    """
    Listen, print the ports, and take messages.

    Args:
        order: What to do.

    Returns:
        What has come when the expected number was reached or standard input had ended.
    """
    poller = select.epoll()
    listeners: dict[int, socket.socket] = {}
    for _ in range(order.port_count):
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        poller.register(listener, select.EPOLLIN)
    print(json.dumps([listener.getsockname()[1] for listener in listeners.values()]), flush=True)

    stdin = sys.stdin.fileno()
    poller.register(stdin, select.EPOLLIN)
    token = order.token.encode()
    expected = order.expected or sys.maxsize
    connections: dict[int, socket.socket] = {}
    count, first_at, last_at = 0, 0.0, 0.0
    is_ending = False

    while count < expected:
        timeout = 0.0 if order.is_spinning else None
        events = poller.poll(QUIET if is_ending else timeout)
        if is_ending and not events:
            break
        for descriptor, _ in events:
            if descriptor in listeners:
                accept = listeners[descriptor].accept
                fresh = []
                try:
                    for _ in range(ACCEPTS):
                        fresh.append(accept()[0])
                except BlockingIOError:
                    pass
                for connection in fresh:
                    connection.setblocking(False)
            elif descriptor == stdin:
                poller.unregister(stdin)
                is_ending = True
                continue
            else:
                fresh = [connections[descriptor]]
            for connection in fresh:
                try:
                    while data := connection.recv(READ_BYTES):
                        if token in data:
                            count += 1
                            last_at = time.monotonic()
                            first_at = first_at or last_at
                except BlockingIOError:
                    if connection.fileno() not in connections:
                        connections[connection.fileno()] = connection
                        poller.register(connection, select.EPOLLIN)
                    continue
                except ConnectionError:
                    pass
                connections.pop(connection.fileno(), None)
                connection.close()
    return SinkReport(count, first_at, last_at)


def main() -> None:
    """
    Do what the command line orders, then wait for the end of standard input.
    """
    report = serve(SinkOrder(**json.loads(sys.argv[1])))
    print(json.dumps(dataclasses.asdict(report)), flush=True)
    while os.read(sys.stdin.fileno(), READ_BYTES):
        pass


if __name__ == "__main__":
    main()
