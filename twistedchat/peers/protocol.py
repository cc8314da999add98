"""
One connection to a peer, whoever opened it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    ITLSTransport,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from twistedchat.core.addresses import Address, canonical_host
from twistedchat.core.classic import decode
from twistedchat.core.errors import RemoteProtocolError
from twistedchat.core.frames import LARGEST_FRAME, Bye, Frame, Ping
from twistedchat.core.identity import DeviceKey, key_of_certificate
from twistedchat.core.session import Session, SessionState
from twistedchat.peers.doorman import LARGEST_MESSAGE, MOST_BYTES, Doorman
from twistedchat.peers.tls import ALPN

__all__ = ["Call", "Delivery", "Dial", "PeerFactory", "PeerProtocol", "Question"]

# The first byte of every TLS connection: a handshake record (RFC 8446 section 5.1). No classic
# message begins with a control character.
_TLS_HANDSHAKE = 0x16

# Bytes of an answer to the empty question: twice what one of ours has.
LONGEST_ANSWER_LINE = 200


@dataclass(slots=True, eq=False)
class Delivery:
    """
    One classic message on its way out, on a connection of its own.

    Attributes:
        write: Gives the bytes, once it is known which address of ours the other side sees.
        taken: Fires with the address that took the message, or fails with the reason
            (``ConnectionLost``) for which the connection was broken off.
    """

    write: Callable[[str], bytes]
    taken: Deferred[Address] = field(default_factory=Deferred)


@dataclass(slots=True, eq=False)
class Question:
    """
    The empty question: who are you?

    Attributes:
        answered: Fires with what came back, without its line end; with nothing where nothing came.
            Fails with the reason (``ConnectionLost``) for which the connection was broken off.
    """

    answered: Deferred[bytes] = field(default_factory=Deferred)


@dataclass(slots=True, eq=False)
class Dial:
    """
    A session that we want to open.

    Attributes:
        address: Where to.
        expected: The only key that will do.
        is_deliberate: Whether the person chose that address.
        opened: Fires with the connection when the session is open, or fails with the reason for
            which it is not.
        refused: The key that was not the expected one.
    """

    address: Address
    expected: DeviceKey
    is_deliberate: bool
    opened: Deferred[PeerProtocol] = field(default_factory=Deferred)
    refused: DeviceKey | None = None


Call: TypeAlias = Delivery | Question | Dial


@implementer(IPushProducer)
class _Flow:
    """
    Hears from the transport whether the other side of a session reads what we say.
    """

    def __init__(self, link: PeerProtocol) -> None:
        self._link = link

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted calls it)
        self._link.is_choked = True

    def resumeProducing(self) -> None:  # noqa: N802
        self._link.went_on()

    def stopProducing(self) -> None:  # noqa: N802
        self._link.is_choked = True


@implementer(IHandshakeListener)
class PeerProtocol(LineReceiver):
    """
    A connection: one that was accepted and brings something, or one that we opened.

    A classic message has no line ends, so a connection begins in raw mode. It ends at EOF, at a
    reset or after a moment of silence: whatever had come by then was said. What begins with a TLS
    handshake becomes a session of lines, in place. What ends without a byte is the empty question.

    Args:
        doorman: What all connections share.
        call: What for, where we opened the connection.

    Attributes:
        call: The same.
        host: The other side's IP address, from `connectionMade` on; empty if it was turned away.
        session: The session, once the handshake is over.
        is_choked: Whether the other side does not read what we say: nothing more is to be said then
            that could grow without end.
    """

    transport: ITLSTransport
    delimiter = b"\n"
    MAX_LENGTH = LARGEST_FRAME
    _log = Logger()
    _heard = b""
    _bytes = 0
    _is_shaking = False
    host = ""
    session: Session | None = None
    is_choked = False

    def __init__(self, doorman: Doorman, call: Call | None) -> None:
        self.call = call
        self._doorman = doorman

    @property
    def dialled(self) -> Address | None:
        """
        The address that we dialled for a session, where we did.
        """
        return self.call.address if isinstance(self.call, Dial) else None

    @property
    def their_address(self) -> Address | None:
        """
        Where the other side of a session can be dialled, as far as we know.
        """
        if self.dialled is not None:
            return self.dialled
        hello = self.session.their_hello if self.session else None
        return Address(self.host, hello.port) if hello else None

    @property
    def is_deliberate(self) -> bool:
        """
        Whether the person chose that address.
        """
        return isinstance(self.call, Dial) and self.call.is_deliberate

    @property
    def is_closed(self) -> bool:
        """
        Whether there is no session in which anything can be said.
        """
        return self.session is None or self.session.state is SessionState.CLOSED

    # The transport calls these.

    def __conform__(self, interface: InterfaceClass) -> PeerProtocol | None:
        """
        Tell Twisted, at the end of what the other side says, whether we have something to add.

        One that was accepted and has brought a classic message has not: it ends there and then.
        Closing it by ourselves would take another turn of the reactor, and a seventh of the time
        that a message takes in all.
        """
        has_more_to_say = self.call is not None or not self._bytes
        return self if interface is IHalfCloseableProtocol and has_more_to_say else None

    @override
    def connectionMade(self) -> None:
        self.setRawMode()
        host = canonical_host(self.transport.getPeer().host)
        match self.call:
            case None:
                if not self._doorman.admit(self, host):
                    self.transport.abortConnection()
                    return
            case Delivery(write=write):
                self.transport.write(write(canonical_host(self.transport.getHost().host)))
                # Closed for writing only: closing both ways with an answer unread would make our
                # system reset the connection, and theirs could drop our message unread.
                self.transport.loseWriteConnection()
                self._doorman.closes.restart(self)
            case Question():
                self.transport.loseWriteConnection()
                self._doorman.answers.restart(self)
            case Dial():
                self.host = host
                self._is_shaking = True
                self._doorman.handshakes.restart(self)
                self._start_tls()
        self.host = host

    @override
    def rawDataReceived(self, data: bytes) -> None:
        match self.call:
            case None if self.host:
                self._hear(data)
            case Question():
                self._heard += data
                if b"\n" in self._heard or len(self._heard) > LONGEST_ANSWER_LINE:
                    self.transport.loseConnection()
            case _:
                # An acknowledgement that some programs send, which is nothing that anybody said; or
                # the rest of what a connection brought that was turned away.
                pass

    @override
    def lineReceived(self, line: bytes) -> None:
        if self.session is None or self.is_closed or self._doorman.greeter is None:
            # Turned away, at the end of the handshake or later; this came with the last part of it.
            return
        try:
            frame = self.session.receive_line(line)
        except RemoteProtocolError as error:
            self.broke_rule(error)
            return
        self._doorman.heard_line(self)
        self._doorman.greeter.line_received(self, frame)

    @override
    def lineLengthExceeded(self, line: bytes) -> None:
        self.drop(f"it sent a line of more than {LARGEST_FRAME} bytes")

    def handshakeCompleted(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        TLS is satisfied on our side; the other side may still turn us away.
        """
        tls = cast(TLSMemoryBIOProtocol, self.transport.protocol)  # type: ignore[attr-defined]
        if tls.negotiatedProtocol != ALPN:
            self.drop("it speaks TLS, but no protocol of ours")
            return
        certificate = cast(X509, tls.getPeerCertificate())
        greeter = self._doorman.greeter
        assert greeter is not None  # noqa: S101 (without one there is no TLS)
        # A line and its answer would take 40 ms.
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(_Flow(self), True)  # type: ignore[attr-defined]
        greeter.shook_hands(self, key_of_certificate(certificate.to_cryptography()))

    def readConnectionLost(self) -> None:  # noqa: N802
        """
        The other side has said all.
        """
        if self.call is None and not self._bytes and self.host and self._doorman.greeter:
            self.transport.write(self._doorman.greeter.answer)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:  # noqa: N802
        """
        Do nothing: we have closed it ourselves.
        """

    @override
    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        match self.call:
            case None:
                if self.host:
                    self._doorman.silences.cancel(self)
                    self._doorman.out(self, self.host)
                    self.fell_silent()
            case Delivery(taken=taken):
                self._doorman.closes.cancel(self)
                if reason.check(ConnectionDone):
                    taken.callback(Address(self.host, self.transport.getPeer().port))
                else:
                    taken.errback(reason)
            case Question(answered=answered):
                self._doorman.answers.cancel(self)
                if reason.check(ConnectionDone):
                    answered.callback(self._heard.partition(b"\n")[0])
                else:
                    # Whoever turns us away is no classic program by that.
                    answered.errback(reason)
            case Dial(opened=opened):
                if not opened.called:
                    opened.errback(reason)
        if self._is_shaking:
            self._is_shaking = False
            self._doorman.handshake_over(self, is_known=False)
        if self.session is not None and self._doorman.greeter is not None:
            self.session.state = SessionState.CLOSED
            self._doorman.forget_session(self)
            self._doorman.closes.cancel(self)
            self._doorman.greeter.session_lost(self)

    # Classic.

    def _hear(self, data: bytes) -> None:
        if not self._bytes and data[0] == _TLS_HANDSHAKE:
            self._bytes = len(data)
            self._answer_tls(data)
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
            self._doorman.hear(self.host, messages)

    def waited_for_close(self) -> None:
        """
        The other side has not closed: our message is out, so we do.
        """
        if self.session is not None:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def drop(self, reason: str) -> None:
        """
        End the connection at once.

        Args:
            reason: Why, for the log.
        """
        self._log.info("Dropped a connection with {host}: {reason}", host=self.host, reason=reason)
        self._break_off()

    def _break_off(self) -> None:
        if self.session is not None:
            # What has come already behind the last line is not listened to either.
            self.session.state = SessionState.CLOSED
        if isinstance(self.call, Dial) and not self.call.opened.called:
            # TLS would tell our own doing as a loss.
            self.call.opened.errback(ConnectionAborted())
        self.transport.abortConnection()

    # Sessions.

    def _answer_tls(self, data: bytes) -> None:
        if self._doorman.greeter is None:
            self.drop("it speaks TLS, which this node does not")
            return
        refusal = self._doorman.admit_handshake(self, self.host)
        if refusal is not None:
            if self._doorman.is_refusal_news(self.host):
                self.drop(refusal)
            else:
                self._break_off()
            return
        self._is_shaking = True
        self._start_tls()
        # Nothing came before these bytes, and nothing of them is left out.
        self.transport.protocol.dataReceived(data)  # type: ignore[attr-defined]

    def _start_tls(self) -> None:
        greeter = self._doorman.greeter
        assert greeter is not None  # noqa: S101 (who dials is one)
        self.setLineMode()
        self.transport.startTLS(greeter.creator(self))

    def broke_rule(self, error: RemoteProtocolError) -> None:
        """
        End the session at once: the other side does not keep to the rules.

        Args:
            error: Which it broke.
        """
        self._log.warn(
            "{host} broke the rules of a session ({code}): {error}",
            host=self.host,
            code=error.code,
            error=error,
        )
        self._break_off()

    def greeted(self, *, is_known: bool) -> None:
        """
        The other side has said hello: the session is open, and no longer bound to be quick.

        Args:
            is_known: Whether it is somebody we know.
        """
        if self._is_shaking:
            self._is_shaking = False
            self._doorman.handshake_over(self, is_known=is_known)

    def say(self, frame: Frame) -> None:
        """
        Say something in the session; nothing is said any more once it is closed.

        Args:
            frame: What.

        Raises:
            LocalProtocolError: It may not be said here and now.
        """
        if self.session is not None and not self.is_closed:
            self.transport.write(self.session.send(frame))

    def part(self, code: str, text: str = "") -> None:
        """
        Say goodbye and close; a connection that is not closed within a moment is broken off.

        Args:
            code: Why, in a word.
            text: The same for people.
        """
        self.say(Bye(code=code, text=text))
        self._doorman.forget_session(self)
        self._doorman.closes.restart(self)
        self.transport.unregisterProducer()  # type: ignore[attr-defined]
        self.transport.loseConnection()

    def went_on(self) -> None:
        """
        The other side reads again.
        """
        self.is_choked = False
        if self._doorman.greeter is not None:
            self._doorman.greeter.went_on(self)

    def fell_quiet(self) -> None:
        """
        Ask whether the other side is still there.
        """
        self.say(Ping())


class PeerFactory(Factory):
    """
    Makes the protocols of both sides; which one we are is told by whether there is a call.

    Args:
        doorman: What all connections share.
        call: What for, on a connection that we open; ``None`` for those we accept.
    """

    noisy = False

    def __init__(self, doorman: Doorman, call: Call | None = None) -> None:
        self._doorman = doorman
        self._call = call

    @override
    def buildProtocol(self, addr: IAddress | None) -> PeerProtocol:
        return PeerProtocol(self._doorman, self._call)
