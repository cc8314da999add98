r"""
The rules of a session: who may say what, and when.

It begins where the TLS handshake has ended, with both keys proven. ::

    GREETING --their hello--> OPEN --bye, or a broken rule--> CLOSED
        \--bye, or anything else--------------------------------^

In an open session a stranger may knock once; the rest is for those who have let each other in. One
way only: a session that is closed says and hears nothing more. Without any I/O.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from twistedchat.core.errors import LocalProtocolError, RemoteProtocolError
from twistedchat.core.frames import (
    Bye,
    Card,
    Frame,
    Have,
    Hello,
    Knock,
    Met,
    Ping,
    Pong,
    RunFrame,
    Seek,
    decode_frame,
    encode_frame,
)
from twistedchat.core.identity import DeviceKey

__all__ = ["Session", "SessionState", "rank_of"]


class SessionState(Enum):
    """
    How far a session has come.
    """

    GREETING = "the other side has not said hello yet"
    OPEN = "both may speak"
    CLOSED = "nobody says anything any more"


class Session:
    """
    One session, as one of its two sides sees it.

    Args:
        our_key: Who we are.
        their_key: Who the other side has proven to be.
        is_ours: Whether we opened the connection.

    Attributes:
        state: How far it has come.
        their_hello: What the other side said first; ``None`` before that.
        lets_them_in: Whether the other side is a contact of ours: set by whoever knows.
        lets_us_in: Whether we are a contact of theirs, as they have told.
        have_knocked: Whether we have knocked.
        is_first_have: Whether the last frame was the first `Have` of the other side.
    """

    def __init__(self, our_key: DeviceKey, their_key: DeviceKey, *, is_ours: bool) -> None:
        self.our_key = our_key
        self.their_key = their_key
        self.is_ours = is_ours
        self.state = SessionState.GREETING
        self.their_hello: Hello | None = None
        self.lets_them_in = False
        self.lets_us_in = False
        self._our_hello: Hello | None = None
        self._has_knocked = False
        self.have_knocked = False
        self.is_first_have = False
        self._has_told = False

    @property
    def rank(self) -> tuple[bool, int]:
        """
        Which of several sessions between the same two nodes stays: the one with the highest rank.

        Both sides find the same rank for each. The lexicographically higher key decides, and among
        connections that one side opened the last; as in foolscap's negotiation.
        """
        hello = self._our_hello if self.is_ours else self.their_hello
        return rank_of(
            self.our_key if self.is_ours else self.their_key,
            self.their_key if self.is_ours else self.our_key,
            hello.dial if hello else 0,
        )

    def send(self, frame: Frame) -> bytes:
        """
        Say something.

        Args:
            frame: What.

        Returns:
            The line to write, with its end.

        Raises:
            LocalProtocolError: It may not be said here and now.
        """
        if self.state is SessionState.CLOSED:
            raise LocalProtocolError(f"A closed session cannot say {type(frame).__name__}.")
        match frame:
            case Hello():
                if self._our_hello is not None:
                    raise LocalProtocolError("Hello is said once.")
                self._our_hello = frame
            case Knock():
                if self.have_knocked:
                    raise LocalProtocolError("A session has one knock.")
                self.have_knocked = True
            case Have() if not self.lets_them_in:
                raise LocalProtocolError("A stranger is told nothing.")
            case RunFrame() | Card() | Seek() | Met() if not (
                self.lets_us_in and self.lets_them_in
            ):
                raise LocalProtocolError(f"{type(frame).__name__} is for those who are let in.")
            case _:
                pass
        line = encode_frame(frame)
        if isinstance(frame, Bye):
            self.state = SessionState.CLOSED
        return line + b"\n"

    def receive_line(self, line: bytes) -> Frame | None:
        """
        Read what the other side said.

        Args:
            line: One line, without its end.

        Returns:
            The frame; ``None`` where there is nothing to do about it: it is not known in this
            version, or came when all was said already.

        Raises:
            RemoteProtocolError: It broke a rule; the session is closed with that.
        """
        if self.state is SessionState.CLOSED:
            return None
        try:
            frame = decode_frame(line)
            if frame is None:
                self._check_greeted()
            else:
                self._receive(frame)
        except RemoteProtocolError:
            self.state = SessionState.CLOSED
            raise
        return frame

    def _check_greeted(self) -> None:
        if self.state is SessionState.GREETING:
            raise RemoteProtocolError("no-hello", "It did not begin with hello.")

    def _receive(self, frame: Frame) -> None:
        match frame:
            case Bye():
                self.state = SessionState.CLOSED
                return
            case Hello():
                if self.state is SessionState.OPEN:
                    raise RemoteProtocolError("second-hello", "It said hello twice.")
                self.their_hello = frame
                self.lets_us_in = frame.knows
                self.state = SessionState.OPEN
                return
            case _:
                self._check_greeted()
        match frame:
            case Knock():
                if self._has_knocked:
                    raise RemoteProtocolError("second-knock", "It knocked twice.")
                self._has_knocked = True
            case Have():
                self.lets_us_in = True
                self.is_first_have = not self._has_told
                self._has_told = True
            case RunFrame() | Card() | Seek() | Met():
                if not self.lets_them_in:
                    raise RemoteProtocolError("not-let-in", "It said more than a stranger may.")
            case Ping() | Pong():
                pass
            case _:
                assert_never(frame)


def rank_of(dialler: DeviceKey, other: DeviceKey, dial: int) -> tuple[bool, int]:
    """
    The rank of a session among those between the same two nodes.

    Args:
        dialler: Who opened the connection.
        other: The other node.
        dial: The number in the dialler's hello.

    Returns:
        What to compare; the higher one stays.
    """
    return dialler > other, dial
