"""
Who may come in, for how long, and with how much.

Every bound on connections stands here, with its reason: no peer can take so much that others get
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twistedchat.core.buckets import TokenBuckets
from twistedchat.core.classic import ClassicMessage, UnknownText
from twistedchat.core.frames import Frame
from twistedchat.core.identity import DeviceKey
from twistedchat.peers.timeouts import TimeoutQueue
from twistedchat.peers.tls import ConnectionCreator

__all__ = [
    "DEAD_AFTER",
    "END_OF_MESSAGE",
    "LARGEST_MESSAGE",
    "LONGEST_ANSWER",
    "LONGEST_CLOSE",
    "LONGEST_HANDSHAKE",
    "LONGEST_IDLE",
    "MOST_BYTES",
    "MOST_CONNECTIONS",
    "MOST_CONNECTIONS_PER_HOST",
    "MOST_HANDSHAKES",
    "MOST_HANDSHAKES_PER_HOST",
    "PING_AFTER",
    "Connection",
    "Doorman",
    "Greeter",
    "Hearing",
]

# Connections in all. Each takes a file descriptor; with our own files and dials this stays below
# what `raise_file_limit` asks the system for, and 2 kB each are 8 MB.
MOST_CONNECTIONS = 4096

# Connections from one address at one time. A host may run a whole class's programs, and none of
# them waits for us: it says one thing on each connection and goes on. What the system has accepted
# for us meanwhile comes in faster than it is read: 64 senders of 50 messages each, all at once,
# were seen to have 730 open, and of 300 each 1,300. Half of all leaves room for everybody else.
MOST_CONNECTIONS_PER_HOST = 2048

# Seconds without a byte after which a message has ended. Some programs never close: this is what a
# person does not notice, and longer than the pause between two packets of one message.
END_OF_MESSAGE = 0.2

# Seconds after which a connection is dropped that has ended no message since: an idle one, or one
# that drips. A classic connection is for one message, so a minute is generous.
LONGEST_IDLE = 60.0

# Seconds that we wait for the other side to close after our last byte. Those that do so at all do
# it at once; of the others many accept one connection at a time, so ours must not stay.
LONGEST_CLOSE = 0.5

# Bytes in one message: what a person can type here, and sixty times what a classic program reads.
LARGEST_MESSAGE = 64 * 1024

# Bytes on one connection, which is meant for one message: sixteen of the largest.
MOST_BYTES = 16 * LARGEST_MESSAGE

# Seconds for the answer to the empty question. Any program that answers at all does so at once.
LONGEST_ANSWER = 1.0

# Seconds from the first byte of a TLS handshake to the hello inside: two round trips and some
# milliseconds of work, so five are a very slow network's.
LONGEST_HANDSHAKE = 5.0

# Handshakes that may be half finished, in all and from one address. Each costs a millisecond of
# work and some 100 kB. A class that meets at once comes to forty.
MOST_HANDSHAKES = 256
MOST_HANDSHAKES_PER_HOST = 64

# Handshakes that led to nobody we know, from one address: so many at once, for a class behind one
# router that meets for the first time, and one more each second.
STRANGERS_AT_ONCE = 64
STRANGERS_PER_SECOND = 1.0

# How often one address is logged whose handshakes are refused: so the log keeps what came before a
# flood of them.
REFUSALS_LOGGED_PER_SECOND = 1 / 60

# Seconds without a line after which a session is asked whether it is still there, and after which
# it is taken for dead: a person is told within a quarter of a minute, and an idle session costs two
# small packets every five seconds.
PING_AFTER = 5.0
DEAD_AFTER = 12.0

Hearing = Callable[[str, list[ClassicMessage | UnknownText]], None]


class Connection(Protocol):
    """
    A connection, as far as the doorman is concerned with it.
    """

    def fell_silent(self) -> None:
        """
        Nothing came for a moment: what had come is all that was said.
        """

    def waited_for_close(self) -> None:
        """
        The other side has not closed after our last byte.
        """

    def drop(self, reason: str) -> None:
        """
        End the connection at once.

        Args:
            reason: Why, for the log.
        """


class SessionConnection(Connection, Protocol):
    """
    A connection that is becoming a session, or is one.
    """

    def fell_quiet(self) -> None:
        """
        Nothing came for a while: ask whether the other side is still there.
        """


class Greeter(Protocol):
    """
    Who takes over the connections that become sessions.

    Attributes:
        answer: What the empty question is answered with: one line.
    """

    answer: bytes

    def creator(self, peer: SessionConnection) -> ConnectionCreator:
        """
        What ``startTLS`` wants to have for a connection.
        """

    def shook_hands(self, peer: SessionConnection, key: DeviceKey) -> None:
        """
        The TLS handshake of a connection is over, as far as can be seen from our side.

        Args:
            peer: The connection.
            key: The key that its other side has proven.
        """

    def line_received(self, peer: SessionConnection, frame: Frame | None) -> None:
        """
        A line came, and broke no rule.

        Args:
            peer: From where.
            frame: What it says; ``None`` for nothing that matters here.
        """

    def went_on(self, peer: SessionConnection) -> None:
        """
        The other side of a session reads again what we say.
        """

    def session_lost(self, peer: SessionConnection) -> None:
        """
        A connection is lost whose handshake was over.
        """


class Doorman:
    """
    What all connections of a node share: their bounds, their time-outs, and who hears them.

    Args:
        clock: Tells the time and calls back.
        hear: Called with the address (as `canonical_host` gives it) and what it said.
        most_connections: How many may be open in all.
        most_connections_per_host: How many of them may come from one address.

    Attributes:
        greeter: Who takes over those that become sessions; with nobody to do so there are none.
    """

    _log = Logger()
    greeter: Greeter | None = None

    def __init__(
        self,
        clock: IReactorTime,
        hear: Hearing,
        *,
        most_connections: int = MOST_CONNECTIONS,
        most_connections_per_host: int = MOST_CONNECTIONS_PER_HOST,
    ) -> None:
        self.hear = hear
        self._most_connections = most_connections
        self._most_connections_per_host = most_connections_per_host
        self._inside: set[Connection] = set()
        self._per_host: dict[str, int] = {}
        self._turned_away: set[str] = set()
        self.silences: TimeoutQueue[Connection] = TimeoutQueue(
            clock, END_OF_MESSAGE, self._fell_silent
        )
        self.idles: TimeoutQueue[Connection] = TimeoutQueue(
            clock, LONGEST_IDLE, lambda peer: peer.drop("it was idle, or spoke, for too long")
        )
        self.closes: TimeoutQueue[Connection] = TimeoutQueue(
            clock, LONGEST_CLOSE, lambda peer: peer.waited_for_close()
        )
        self.answers: TimeoutQueue[Connection] = TimeoutQueue(
            clock, LONGEST_ANSWER, lambda peer: peer.waited_for_close()
        )
        self.handshakes: TimeoutQueue[SessionConnection] = TimeoutQueue(
            clock, LONGEST_HANDSHAKE, lambda peer: peer.drop("its handshake took too long")
        )
        self.quiets: TimeoutQueue[SessionConnection] = TimeoutQueue(
            clock, PING_AFTER, lambda peer: peer.fell_quiet()
        )
        self.deaths: TimeoutQueue[SessionConnection] = TimeoutQueue(
            clock, DEAD_AFTER, lambda peer: peer.drop("it was silent for too long")
        )
        self._clock = clock
        self._shaking: dict[SessionConnection, str] = {}
        self._shaking_per_host: dict[str, int] = {}
        self._strangers = TokenBuckets(STRANGERS_PER_SECOND, STRANGERS_AT_ONCE)
        self._refusals = TokenBuckets(REFUSALS_LOGGED_PER_SECOND, 1)

    def admit(self, peer: Connection, host: str) -> bool:
        """
        Decide about a connection that has just been accepted.

        Args:
            peer: The connection.
            host: The address it comes from.

        Returns:
            Whether it may stay; it then has to be let `out` when it is lost. A refusal is logged
            once for an address until that has no connection any more.
        """
        from_host = self._per_host.get(host, 0)
        if from_host >= self._most_connections_per_host:
            reason = f"it has {from_host} connections already"
        elif len(self._inside) >= self._most_connections:
            reason = f"there are {len(self._inside)} connections already"
        else:
            self._per_host[host] = from_host + 1
            self._inside.add(peer)
            self.idles.restart(peer)
            return True
        # Those that have no connection at all when they are turned away (because all places are
        # taken) could be any number: they are logged as one.
        key = host if from_host else ""
        if key not in self._turned_away:
            self._turned_away.add(key)
            self._log.warn("Turned away {host}: {reason}", host=host, reason=reason)
        return False

    def out(self, peer: Connection, host: str) -> None:
        """
        An admitted connection is lost.

        Args:
            peer: The connection.
            host: The address it came from.
        """
        self._inside.discard(peer)
        self.idles.cancel(peer)
        from_host = self._per_host[host] - 1
        if from_host:
            self._per_host[host] = from_host
        else:
            del self._per_host[host]
            self._turned_away.discard(host)
        self._turned_away.discard("")

    def admit_handshake(self, peer: SessionConnection, host: str) -> str | None:
        """
        Decide about a connection that begins with TLS.

        Args:
            peer: The connection, which was admitted.
            host: The address it comes from.

        Returns:
            Why it may not go on; ``None`` where it may. It then has a few seconds until
            `handshake_over`, which has to be called in any case.
        """
        from_host = self._shaking_per_host.get(host, 0)
        if from_host >= MOST_HANDSHAKES_PER_HOST:
            return f"it has {from_host} unfinished handshakes already"
        if len(self._shaking) >= MOST_HANDSHAKES:
            return f"there are {len(self._shaking)} unfinished handshakes already"
        if not self._strangers.has_left(host, self._clock.seconds()):
            return "it led to too many sessions with nobody we know"
        self._shaking[peer] = host
        self._shaking_per_host[host] = from_host + 1
        self.idles.cancel(peer)
        self.handshakes.restart(peer)
        return None

    def is_refusal_news(self, host: str) -> bool:
        """
        Whether a refused handshake is to be logged: of a flood from one address few are.

        Args:
            host: The address it comes from.
        """
        return self._refusals.take(host, self._clock.seconds())

    def handshake_over(self, peer: SessionConnection, *, is_known: bool) -> None:
        """
        An admitted handshake has ended, well or not.

        Args:
            peer: Whose.
            is_known: Whether it led to somebody we know.
        """
        self.handshakes.cancel(peer)
        host = self._shaking.pop(peer, None)
        if host is None:
            return
        if not is_known:
            self._strangers.take(host, self._clock.seconds())
        from_host = self._shaking_per_host[host] - 1
        if from_host:
            self._shaking_per_host[host] = from_host
        else:
            del self._shaking_per_host[host]

    def heard_line(self, peer: SessionConnection) -> None:
        """
        A session is alive.

        Args:
            peer: Which.
        """
        self.quiets.restart(peer)
        self.deaths.restart(peer)

    def forget_session(self, peer: SessionConnection) -> None:
        """
        A session is lost, or is being closed.

        Args:
            peer: Which.
        """
        self.quiets.cancel(peer)
        self.deaths.cancel(peer)

    def _fell_silent(self, peer: Connection) -> None:
        self.idles.restart(peer)
        peer.fell_silent()

    def close(self) -> None:
        """
        End every connection, at once.
        """
        # Those that came in, and the sessions that we opened ourselves.
        open_ones = dict.fromkeys((*self._inside, *self.handshakes.stop(), *self.deaths.stop()))
        for peer in open_ones:
            peer.drop("the node is stopping")
        for peer in (*self.closes.stop(), *self.answers.stop()):
            peer.waited_for_close()
        for queue in (self.silences, self.idles, self.quiets):
            queue.stop()
