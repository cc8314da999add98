"""
The generator: sends messages as the programs of the family do, one connection for each.

All senders live in one process and one epoll loop. Of the time that a message takes here, nine
tenths are the kernel's (opening, closing and the loopback itself), so more processes on the same
core, or another language, would send no more. Every report says how busy the process was, and the
table says how much it can send to a server that costs nothing.

Each sender has an address of its own, 127.0.0.2 and up, as people have. So no limit for one address
is met by accident, and neither are the 28,000 ephemeral ports that there are for one address while
closed connections linger for a minute.

Run as ``python -m benchmarks.load ORDER``, where ORDER is a ``LoadOrder`` in JSON; it prints a
``LoadReport`` in JSON. SIGTERM ends it early, with a report.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

__all__ = ["LoadOrder", "LoadReport", "idle_connections", "make_source"]

# Found in <linux/in.h>; Python names it only since 3.12. The port is chosen when connecting, when
# the other end is known, and may then be one that is in use towards another end.
IP_BIND_ADDRESS_NO_PORT = 24

# A nonblocking connection attempt has begun, or was already over.
BEGUN = (0, errno.EINPROGRESS)

# How many connections may be under way when a burst looks whether any waiting one got through.
BURST_TURN = 64

# The longest wait of one blocking step of the steady load, in seconds.
STEADY_STEP = 2.0


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """
    What to send.

    Attributes:
        kind: "paced": a sender's next message follows when the server has closed the connection
            of the one before. "burst": a sender's next message follows as soon as the one before
            has left. "steady": messages leave at a fixed rate.
        port: Where to, on 127.0.0.1.
        senders: How many senders, each with an address, port and name of its own.
        count: How many messages in all.
        token: What each text begins with; a number of six digits follows.
        limit: The longest time to take, in seconds.
        rate: Messages per second, for "steady" only.
    """

    kind: str
    port: int
    senders: int
    count: int
    token: str
    limit: float
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """
    What was sent.

    Attributes:
        sent: How many messages left, and (when paced) were taken by the server to their end.
        failed: How many connections were refused or reset.
        started_at: When the first connection was begun, in seconds of the monotonic clock.
        ended_at: When the last one was over.
        busy: The share of that time in which the generator used its core, 0 to 1.
    """

    sent: int
    failed: int
    started_at: float
    ended_at: float
    busy: float


class _OrderedToStop(Exception):
    """
    A signal came: report what was done so far.
    """


def make_source(index: int) -> str:
    """
    Make the address of a sender.

    Args:
        index: Counts the senders from 0, to 63,999.

    Returns:
        A loopback address of its own, 127.0.0.2 for the first.
    """
    high, low = divmod(index, 250)
    return f"127.0.{high}.{low + 2}"


class _Wire:
    """
    Opens connections and puts messages on them.
    """

    def __init__(self, order: LoadOrder) -> None:
        self.target = ("127.0.0.1", order.port)
        self.sources = [(make_source(index), 0) for index in range(order.senders)]
        self.heads = [
            f"LISTENING_PORT:{9000 + index}|TEAM_NAME:sender{index}|{order.token}".encode()
            for index in range(order.senders)
        ]

    def open(self, sender: int) -> socket.socket | None:
        """
        Begin a connection.

        Args:
            sender: Whose.

        Returns:
            It, or None where it was refused.
        """
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind(self.sources[sender])
        if connection.connect_ex(self.target) in BEGUN:
            return connection
        connection.close()
        return None

    def put(self, connection: socket.socket, sender: int, serial: int) -> None:
        """
        Send a message and the end of the connection, in one segment.

        Over the loopback a connection is open as soon as it is begun, unless the server's backlog
        is full.

        Args:
            connection: Where to.
            sender: Who says it.
            serial: The number of the message.

        Raises:
            BlockingIOError: The connection is not open yet; try again when it is writable.
            OSError: It was refused or reset.
        """
        message = b"%s%06d and a few words more" % (self.heads[sender], serial)
        connection.send(message, socket.MSG_MORE)
        connection.shutdown(socket.SHUT_WR)


class _Tally:
    """
    Counts what was sent, and the time.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.failed = 0
        self._started_at = time.monotonic()
        self._cpu_at = time.process_time()

    def report(self) -> LoadReport:
        """
        Sum up.

        Returns:
            What was done from the making of this tally until now.
        """
        now = time.monotonic()
        busy = (time.process_time() - self._cpu_at) / max(now - self._started_at, 1e-9)
        return LoadReport(self.sent, self.failed, self._started_at, now, busy)


def _send_paced(order: LoadOrder, tally: _Tally) -> None:
    """
    Send each sender's next message when the server has closed the connection of the one before.
    """
    wire = _Wire(order)
    poller = select.epoll()
    deadline = time.monotonic() + order.limit
    # By descriptor: the connection, whose it is, and the message if it has not left yet.
    live: dict[int, tuple[socket.socket, int, int | None]] = {}
    serials = iter(range(order.count))

    def begin(sender: int) -> None:
        for serial in serials:
            if (connection := wire.open(sender)) is None:
                tally.failed += 1
                continue
            descriptor = connection.fileno()
            try:
                wire.put(connection, sender, serial)
            except BlockingIOError:
                live[descriptor] = (connection, sender, serial)
                poller.register(descriptor, select.EPOLLOUT)
                return
            except OSError:
                tally.failed += 1
                connection.close()
                continue
            live[descriptor] = (connection, sender, None)
            poller.register(descriptor, select.EPOLLIN)
            return

    for sender in range(order.senders):
        begin(sender)
    while live and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poller.poll(left):
            connection, sender, waiting = live[descriptor]
            try:
                if waiting is not None:
                    wire.put(connection, sender, waiting)
                    live[descriptor] = (connection, sender, None)
                    poller.modify(descriptor, select.EPOLLIN)
                    continue
                if connection.recv(4096):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                tally.failed += 1
            else:
                tally.sent += 1
            del live[descriptor]
            connection.close()
            begin(sender)


def _send_burst(order: LoadOrder, tally: _Tally) -> None:
    """
    Send each sender's next message as soon as the one before has left.
    """
    wire = _Wire(order)
    poller = select.epoll()
    deadline = time.monotonic() + order.limit
    waiting: dict[int, tuple[socket.socket, int, int]] = {}
    # The messages of one sender leave in order, and all senders take turns.
    shares = [iter(range(index, order.count, order.senders)) for index in range(order.senders)]
    ready = deque(range(order.senders))

    def put(connection: socket.socket, sender: int, serial: int) -> bool:
        try:
            wire.put(connection, sender, serial)
        except BlockingIOError:
            return False
        except OSError:
            tally.failed += 1
        else:
            tally.sent += 1
        connection.close()
        ready.append(sender)
        return True

    while (ready or waiting) and (left := deadline - time.monotonic()) > 0:
        for _ in range(min(len(ready), BURST_TURN)):
            sender = ready.popleft()
            if (serial := next(shares[sender], None)) is None:
                continue
            if (connection := wire.open(sender)) is None:
                tally.failed += 1
                ready.append(sender)
            elif not put(connection, sender, serial):
                waiting[connection.fileno()] = (connection, sender, serial)
                poller.register(connection, select.EPOLLOUT)
        if waiting:
            for descriptor, _ in poller.poll(0 if ready else left):
                if put(*waiting[descriptor]):
                    del waiting[descriptor]


def _send_steadily(order: LoadOrder, tally: _Tally) -> None:
    """
    Send messages at a fixed rate, whatever becomes of them.
    """
    wire = _Wire(order)
    start = time.monotonic()
    for serial in range(order.count):
        due = start + serial / order.rate
        now = time.monotonic()
        if now > start + order.limit:
            return
        time.sleep(max(0.0, due - now))
        sender = serial % order.senders
        if (connection := wire.open(sender)) is None:
            tally.failed += 1
            continue
        with connection:
            connection.settimeout(STEADY_STEP)
            try:
                wire.put(connection, sender, serial)
            except OSError:
                tally.failed += 1
            else:
                tally.sent += 1


@contextlib.contextmanager
def idle_connections(
    port: int, first: int, count: int, each: int, wait: Callable[[int], None]
) -> Iterator[None]:
    """
    Hold connections open on which nothing is sent.

    Args:
        port: Where to, on 127.0.0.1.
        first: The number of the first connection, which chooses its address.
        count: How many.
        each: How many come from one address, and are opened in one go.
        wait: Called after each go with the number of connections opened so far; returns when the
            server has accepted them, so that a short backlog never overflows.

    Yields:
        Nothing, while they are open.

    Raises:
        OSError: One was refused.
    """
    with contextlib.ExitStack() as connections:
        for opened in range(count):
            source = (make_source((first + opened) // each), 0)
            connections.enter_context(socket.create_connection(("127.0.0.1", port), 5, source))
            if (opened + 1) % each == 0 or opened + 1 == count:
                wait(opened + 1)
        yield


KINDS: dict[str, Callable[[LoadOrder, _Tally], None]] = {
    "paced": _send_paced,
    "burst": _send_burst,
    "steady": _send_steadily,
}


def main() -> None:
    """
    Do what the command line orders and print the report.
    """

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _OrderedToStop

    order = LoadOrder(**json.loads(sys.argv[1]))
    tally = _Tally()
    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(_OrderedToStop):
        KINDS[order.kind](order, tally)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(json.dumps(dataclasses.asdict(tally.report())), flush=True)


if __name__ == "__main__":
    main()
