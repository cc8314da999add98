"""
Dialling: what goes out, and what can go wrong on the way in words for a person.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from os import strerror
from socket import AI_ADDRCONFIG, SOCK_STREAM, gaierror, getaddrinfo

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IStreamClientEndpoint

from twistedchat.core.addresses import Address, is_host_name
from twistedchat.core.errors import (
    ConnectionReset,
    HostNotFound,
    HostUnreachable,
    InvalidKey,
    NoAnswer,
    NotSent,
    NotTrusted,
    PeerRefused,
)
from twistedchat.core.identity import DeviceKey, parse_key
from twistedchat.peers.doorman import Doorman
from twistedchat.peers.protocol import Call, Delivery, Dial, PeerFactory, PeerProtocol, Question

__all__ = ["DIAL_TIMEOUT", "MOST_DIALS", "Dialler", "addresses_of"]

# Seconds to connect, or to look up a name. The slowest healthy network answers in one or two; a
# person who waits longer has gone on already.
DIAL_TIMEOUT = 5.0

# Connections being made at one time: as many as senders that a whole class has, and few enough that
# addresses which never answer take up neither file descriptors nor a router's table.
MOST_DIALS = 64

# What a node answers to the empty question; later ones may have a higher number.
_ANSWER = re.compile(rb"TWISTEDCHAT/[0-9]{1,9} ([0-9a-f]{64})\s*\Z")


class Dialler:
    """
    Makes the connections that go out.

    Args:
        reactor: Connects.
        clock: Tells the time and calls back; the reactor itself, but in tests.
        ask: Looks a name up without blocking; usually `addresses_of` in a thread.
        doorman: What all connections share.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        ask: Callable[[str], Deferred[list[str]]],
        doorman: Doorman,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._ask = ask
        self._doorman = doorman
        self._lines = DeferredSemaphore(MOST_DIALS)

    async def look_up(self, host: str) -> list[str]:
        """
        Find the addresses of a name.

        Args:
            host: A host name, or an address, which is its own.

        Returns:
            IP addresses, without the same one twice; none where the name leads nowhere, or nobody
            answered in time.
        """
        if not is_host_name(host):
            return [host]
        try:
            return await self._ask(host).addTimeout(DIAL_TIMEOUT, self._clock)
        except DeferredTimeoutError:
            return []

    async def deliver(self, recipient: Address, write: Callable[[str], bytes]) -> Address:
        """
        Say one thing.

        Args:
            recipient: Where to.
            write: Gives the bytes, once it is known which address of ours the other side sees.

        Returns:
            The address that took it.

        Raises:
            NotSent: Nobody did; each kind of reason is a class of its own.
        """
        delivery = Delivery(write)
        try:
            async with self._lines:
                await self._connect(recipient, delivery)
                return await delivery.taken
        except _FAILURES as error:
            raise _in_words(recipient, error) from error

    async def ask_who(self, address: Address) -> DeviceKey | None:
        """
        Ask the empty question: connect, say nothing, and hear who it is.

        Args:
            address: Where to.

        Returns:
            The key that a node there calls its own, which proves nothing yet; ``None`` for any
            other program.

        Raises:
            NotSent: Nobody could be asked.
        """
        question = Question()
        try:
            async with self._lines:
                await self._connect(address, question)
                answer = _ANSWER.match(await question.answered)
        except _FAILURES as error:
            raise _in_words(address, error) from error
        if answer is None:
            return None
        try:
            return parse_key(answer[1].decode())
        except InvalidKey:
            return None

    async def open_session(self, dial: Dial) -> PeerProtocol:
        """
        Open a session with a node.

        Args:
            dial: Where to, and with whom.

        Returns:
            The connection; the other side has proven its key and said hello.

        Raises:
            NotSent: There is no session; `NotTrusted` where it is because of the key.
        """
        try:
            async with self._lines:
                await self._connect(dial.address, dial)
                return await dial.opened
        except _FAILURES as error:
            if dial.refused is not None:
                raise NotTrusted(
                    f"Not trusted: {dial.address} proved another key than it should have."
                ) from error
            raise _in_words(dial.address, error) from error

    async def _connect(self, address: Address, call: Call) -> None:
        await self._endpoint(address).connect(PeerFactory(self._doorman, call))

    def _endpoint(self, recipient: Address) -> IStreamClientEndpoint:
        host, port = recipient.host, recipient.port
        # HostnameEndpoint would take a third of a second to tell that a literal address refused.
        if is_host_name(host):
            return HostnameEndpoint(self._reactor, host.encode("idna"), port, DIAL_TIMEOUT)
        if ":" in host:
            return TCP6ClientEndpoint(self._reactor, host, port, DIAL_TIMEOUT)
        return TCP4ClientEndpoint(self._reactor, host, port, DIAL_TIMEOUT)


def addresses_of(host: str) -> list[str]:
    """
    Ask the system for the addresses of a name. Blocks: to be called in a thread.

    Args:
        host: A host name.

    Returns:
        IP addresses in the system's order of preference (RFC 6724), without the same one twice;
        none where the name leads nowhere.
    """
    try:
        found = getaddrinfo(host, None, type=SOCK_STREAM, flags=AI_ADDRCONFIG)
    except (gaierror, UnicodeError):
        return []
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


_UNREACHABLE = frozenset(
    {
        errno.EACCES,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EPERM,
    }
)


_FAILURES = (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    CancelledError,
    ConnectingCancelledError,
    SSL.Error,
)


def _in_words(recipient: Address, error: Exception) -> NotSent:
    match error:
        case ConnectionRefusedError():
            return PeerRefused(
                f"Refused: nobody listens on {recipient}. Is the program there running?"
            )
        case TimeoutError() | TCPTimedOutError():
            return NoAnswer(
                f"Timed out: {recipient.host} did not answer within {DIAL_TIMEOUT:.0f} seconds. "
                "Is the address right, and the machine on?"
            )
        case DNSLookupError():
            return HostNotFound(f"Unknown host: no address is known for {recipient.host}.")
        # The last is our own doing; to Twisted it is a kind of loss.
        case SSL.Error() | ConnectionDone() | ConnectionAborted():
            return NotTrusted(f"Turned away: {recipient} does not talk with us.")
        # The latter where the reset is faster than our first look at the connection.
        case ConnectionLost() | ConnectError(osError=errno.ECONNRESET):
            return ConnectionReset(
                f"Reset: {recipient} broke the connection off, and may not have read it."
            )
        case ConnectError(osError=int(code)) if code in _UNREACHABLE:
            return HostUnreachable(
                f"Unreachable: there is no way to {recipient.host} from here "
                f"({strerror(code).lower()})."
            )
        case CancelledError() | ConnectingCancelledError():
            return NotSent("The chat ended before it could be sent.")
        case _:
            return NotSent(f"The connection to {recipient} failed: {error}")
