"""
Programs that talk as classic peers do: blocking sockets, one connection for each message.

They run in threads of the test process. What they hear is handed to the reactor's thread, where a
test waits for it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, cast

from twisted.internet.interfaces import IReactorFromThreads
from typing_extensions import override

from tests.processes import PATIENCE, Watched, free_port

# How the programs read: once, and this much.
ONE_READ = 1024

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Heard:
    """
    What one connection brought.

    Attributes:
        data: What the only read of a classic program gave.
        rest: What it would have lost.
        was_closed: Whether the other side closed its connection in order.
    """

    data: bytes
    rest: bytes
    was_closed: bool


Manner: TypeAlias = Callable[[socket.socket], None]


def close(connection: socket.socket) -> None:
    """
    Close the connection, once the message has been read.
    """
    connection.close()


def never_close(_connection: socket.socket) -> None:
    """
    Leave the connection open for ever.
    """


def reset(connection: socket.socket) -> None:
    """
    Break the connection off, as happens when something unread is left.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def acknowledge(connection: socket.socket) -> None:
    """
    Answer on the same connection, as some programs do.
    """
    with contextlib.suppress(OSError):
        connection.sendall(b"ACK from 127.0.0.1:1 Connected")
    connection.close()


class Listener(Watched):
    """
    A classic program's listening half, which accepts one connection at a time.

    Args:
        manner: What it does with a connection, after the message.
        port: Where it listens.
        reads: Whether it reads at all before that.
    """

    def __init__(
        self, manner: Manner = close, *, port: int | None = None, reads: bool = True
    ) -> None:
        super().__init__()
        self._manner = manner
        self._reads = reads
        self.port = port or free_port()
        self.heard: list[Heard] = []
        self._kept: list[socket.socket] = []
        self._server = socket.create_server((HOST, self.port), backlog=5)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """
        Where it listens.
        """
        return f"{HOST}:{self.port}"

    @property
    def said(self) -> list[bytes]:
        """
        The messages that came.
        """
        return [heard.data for heard in self.heard]

    async def hears(self, *messages: bytes) -> None:
        """
        Wait for messages, and check that each came as a classic program needs it.

        Args:
            messages: All that were sent since the start.
        """
        await self.has_heard(len(messages))
        assert [Heard(message, b"", True) for message in messages] == self.heard

    async def has_heard(self, messages: int) -> None:
        """
        Wait for so many messages in all.
        """
        await self.until(lambda: len(self.heard) >= messages, f"{messages} messages")

    def stop(self) -> None:
        """
        End listening.
        """
        # Closing alone would leave the thread in accept().
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(PATIENCE)
        for connection in self._kept:
            connection.close()

    @override
    def told(self) -> str:
        return f"heard: {self.heard!r}"

    def _run(self) -> None:
        from twisted.internet import reactor

        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._kept.append(connection)
            connection.settimeout(PATIENCE)
            heard = _hear(connection) if self._reads else Heard(b"", b"", False)
            self._manner(connection)
            cast(IReactorFromThreads, reactor).callFromThread(self._add, heard)

    def _add(self, heard: Heard) -> None:
        if heard.data or not self._reads:
            self.heard.append(heard)
        self.happened()


def _hear(connection: socket.socket) -> Heard:
    data = rest = b""
    try:
        data = connection.recv(ONE_READ)
        while more := connection.recv(ONE_READ):
            rest += more
    except OSError:
        return Heard(data, rest, False)
    return Heard(data, rest, True)


def say(port: int, *messages: bytes, from_host: str = HOST) -> None:
    """
    Send messages as most programs do: connect, one write, close.

    Args:
        port: Where to.
        messages: What to say, each on a connection of its own.
        from_host: The address to speak from; over IPv6 where it is one of that kind.
    """
    host = "::1" if ":" in from_host else HOST
    for message in messages:
        with socket.create_connection((host, port), PATIENCE, (from_host, 0)) as connection:
            connection.sendall(message)


def say_and_wait(port: int, message: bytes) -> None:
    """
    Write, close one half, and wait until the other side has closed the other: it has heard.

    Args:
        port: Where to.
        message: What to say.
    """
    with socket.create_connection((HOST, port), PATIENCE) as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(ONE_READ)


def say_in_one(port: int, *writes: bytes, pause: float = 0.0) -> None:
    """
    Write several times on one connection.

    Args:
        port: Where to.
        writes: What to write.
        pause: Seconds between the writes.
    """
    with socket.create_connection((HOST, port), PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, data in enumerate(writes):
            if number and pause:
                time.sleep(pause)
            connection.sendall(data)


def say_and_reset(port: int, message: bytes) -> None:
    """
    Write, and break the connection off.

    Args:
        port: Where to.
        message: What to write.
    """
    connection = socket.create_connection((HOST, port), PATIENCE)
    connection.sendall(message)
    reset(connection)


def say_without_end(port: int, data: bytes) -> int:
    """
    Write until the other side has had enough.

    Args:
        port: Where to.
        data: What to write again and again.

    Returns:
        How many bytes the other side took.
    """
    taken = 0
    with (
        socket.create_connection((HOST, port), PATIENCE) as connection,
        contextlib.suppress(ConnectionError),
    ):
        # The system keeps a few megabytes on the way; what is beyond that somebody has read.
        while taken < 100_000_000:
            taken += connection.send(data)
    return taken


def probe(port: int) -> None:
    """
    Ask whether anybody listens, as some programs do: connect and close.

    Args:
        port: Where.
    """
    socket.create_connection((HOST, port), PATIENCE).close()


def say_at_once(port: int, senders: Iterable[Iterable[bytes]]) -> None:
    """
    Let many programs speak at the same time.

    Args:
        port: Where to.
        senders: What each of them says, one connection for each message.
    """
    threads = [threading.Thread(target=say, args=(port, *messages)) for messages in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)


def header(port: int, name: str, text: str) -> bytes:
    """
    A message as the reference program writes it.

    Args:
        port: The sender's port.
        name: The sender's team name.
        text: What it says.

    Returns:
        The bytes.
    """
    return f"LISTENING_PORT:{port}|TEAM_NAME:{name}|{text}".encode()


class FullQueue:
    """
    A machine that does not answer: connections to it are neither taken nor refused.

    Its queue holds one connection, which is ours; the system drops what else comes.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self._server = socket.create_server((HOST, self.port), backlog=0)
        self._first = socket.create_connection((HOST, self.port), PATIENCE)

    def stop(self) -> None:
        """
        Refuse connections from now on.
        """
        self._first.close()
        self._server.close()
