"""
A node: one running chat.

It composes the services, carries every message between the network and the lists, and is the one
object that the faces talk to, through `twistedchat.interfaces.INode`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredLock
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.addresses import Address
from twistedchat.core.classic import (
    ClassicMessage,
    Dialect,
    Kind,
    UnknownText,
    connect_message,
    encode,
    exit_message,
    split_text,
    text_message,
)
from twistedchat.core.errors import HostNotFound, NotSent, TooMuchToSend
from twistedchat.core.events import (
    ConnectReceived,
    Event,
    ExitReceived,
    PlainTextReceived,
    Sent,
    UnknownTextReceived,
)
from twistedchat.core.roster import PeerList
from twistedchat.interfaces import INode
from twistedchat.peers.dialling import Dialler
from twistedchat.peers.doorman import Doorman
from twistedchat.peers.protocol import PeerFactory
from twistedchat.peers.registry import PeerRegistry

__all__ = ["LONGEST_GOODBYE", "MOST_WAITING", "Node"]

# Texts waiting to go out. Beyond what anybody types; at 64 KiB each, at most 64 MiB.
MOST_WAITING = 1024

# Seconds in which exit is said to everybody. Whoever quits waits for it.
LONGEST_GOODBYE = 2.0

Compose = Callable[[Dialect], ClassicMessage]


@implementer(INode)
class Node(MultiService):
    """
    One node: it listens, remembers who is there, and sends.

    Args:
        reactor: Makes the outgoing connections.
        clock: Tells the time and calls back; the reactor itself, but in tests.
        endpoints: Where to listen.
        ask: Looks a host name up without blocking.
        team: Our team name.
        port: The port that we listen on, as it stands in our messages.
        dialect: How to speak with a peer that was never heard.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        endpoints: Iterable[IStreamServerEndpoint],
        ask: Callable[[str], Deferred[list[str]]],
        *,
        team: str,
        port: int,
        dialect: Dialect = Dialect.HEADER,
    ) -> None:
        super().__init__()
        self.team = team
        self.port = port
        self._clock = clock
        self._dialect = dialect
        self.registry = PeerRegistry()
        self.registry.setServiceParent(self)
        self._doorman = Doorman(clock, self._heard)
        self._dialler = Dialler(reactor, clock, ask, self._doorman)
        for endpoint in endpoints:
            listening = StreamServerEndpointService(endpoint, PeerFactory(self._doorman))
            listening.setServiceParent(self)
        self._turns: dict[Address, DeferredLock] = {}
        self._under_way: set[Deferred[Sent]] = set()
        self._goodbye: Deferred[None] | None = None

    @property
    def peers(self) -> PeerList:
        """
        Who is there.
        """
        return self.registry.roster

    @override
    def startService(self) -> None:
        super().startService()
        self._log.info("Listening on port {port} as {team!r}", port=self.port, team=self.team)

    @override
    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def subscribe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        """
        Be told of everything that happens: see `INode`.
        """
        return self.registry.subscribe(observer)

    def look_up(self, host: str) -> Deferred[bool]:
        """
        Find out whether a host name leads to any address: see `INode`.
        """

        async def found() -> bool:
            return bool(await self._dialler.look_up(host))

        return Deferred.fromCoroutine(found())

    def send_text(self, recipient: Address, text: str) -> Deferred[Sent]:
        """
        Send a text: see `INode`.
        """
        return self._send(
            recipient, lambda dialect: text_message(dialect, self.port, self.team, text), text
        )

    def connect(self, address: Address, *, manual: bool) -> Deferred[Sent]:
        """
        Send a connect text: see `INode`.
        """
        return self._send(
            address,
            lambda dialect: connect_message(dialect, self.port, self.team, manual=manual),
        )

    def leave(self) -> Deferred[None]:
        """
        Say exit to every peer: see `INode`.
        """
        if self._goodbye is None:
            self._goodbye = Deferred.fromCoroutine(self._say_exit())
        # Each caller has its own: what one does to it is nothing to the others.
        left: Deferred[None] = Deferred()
        self._goodbye.addBoth(lambda _: left.callback(None))
        return left

    def _heard(self, host: str, messages: list[ClassicMessage | UnknownText]) -> None:
        now = self._clock.seconds()
        for message in messages:
            match message:
                case UnknownText(text):
                    self.registry.publish(UnknownTextReceived(host, text, now))
                case ClassicMessage():
                    self._heard_message(Address(host, message.port), message, now)

    def _heard_message(self, sender: Address, message: ClassicMessage, now: float) -> None:
        match message.kind:
            case Kind.EXIT:
                peer = self.registry.remove(sender)
                if peer is not None:
                    name = message.name or peer.name
                    self.registry.publish(ExitReceived(sender, name, now))
            case Kind.CONNECT:
                peer = self.registry.heard(
                    sender, message.name, message.dialect, now, connects=True
                )
                self.registry.publish(ConnectReceived(sender, peer.name, message.text, now))
            case Kind.MESSAGE:
                peer = self.registry.heard(
                    sender, message.name, message.dialect, now, connects=False
                )
                self.registry.publish(
                    PlainTextReceived(sender, peer.name, message.dialect, message.text, now)
                )

    def _send(self, recipient: Address, compose: Compose, typed: str = "") -> Deferred[Sent]:
        sending = Deferred.fromCoroutine(self._send_in_turn(recipient, compose, typed))
        self._under_way.add(sending)

        def done(result: Sent) -> Sent:
            self._under_way.discard(sending)
            return result

        return sending.addBoth(done)

    async def _send_in_turn(self, recipient: Address, compose: Compose, typed: str) -> Sent:
        try:
            if len(self._under_way) >= MOST_WAITING:
                raise TooMuchToSend(
                    f"{MOST_WAITING} texts are waiting to be sent already: wait for some of them."
                )
            async with self._turn(recipient):
                return await self._send_now(recipient, compose)
        except CancelledError as error:
            ended = NotSent("The chat ended before it could be sent.")
            ended.unsent = typed
            raise ended from error
        except NotSent as error:
            # What failed before its first piece is left as a whole.
            error.unsent = (error.unsent or typed) if typed else ""
            raise

    @asynccontextmanager
    async def _turn(self, recipient: Address) -> AsyncIterator[None]:
        # Each message is a connection of its own: two at one time could arrive in either order.
        lock = self._turns.setdefault(recipient, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            # This may run the next one to its end, and that may have let go of the lock already.
            lock.release()
            if not lock.locked and self._turns.get(recipient) is lock:
                del self._turns[recipient]

    async def _send_now(self, recipient: Address, compose: Compose) -> Sent:
        hosts = await self._dialler.look_up(recipient.host)
        if not hosts:
            raise HostNotFound(f"Unknown host: no address is known for {recipient.host}.")
        addresses = [Address(host, recipient.port) for host in hosts]
        known = [peer for address in addresses if (peer := self.peers.find(address))]
        if known:
            recipient = known[0].address
        dialect = (known[0].dialect if known else None) or self._dialect
        name = known[0].name if known else None
        message = compose(dialect)
        when = datetime.fromtimestamp(self._clock.seconds())
        pieces = split_text(message, recipient=recipient, recipient_name=name, when=when)
        for number, piece in enumerate(pieces):

            def write(our_host: str, piece: ClassicMessage = piece) -> bytes:
                return encode(
                    piece,
                    our_host=our_host,
                    recipient=recipient,
                    recipient_name=name,
                    when=when,
                )

            try:
                taken_by = await self._dialler.deliver(recipient, write)
            except NotSent as error:
                error.unsent = "".join(left.text for left in pieces[number:])
                raise
            if message.kind is Kind.EXIT:
                self.registry.remove(taken_by)
            else:
                connects = message.kind is Kind.CONNECT
                self.registry.sent(taken_by, messages=1, connects=connects)
        return Sent(taken_by, message.kind, len(pieces))

    async def _say_exit(self) -> None:
        # What is still under way goes first, since turns are kept; the last heard are told first,
        # since they are the likeliest to be there.
        peers = sorted(self.peers.active(), key=lambda peer: peer.last_heard or 0, reverse=True)
        for peer in peers:
            self._send(
                peer.address, lambda dialect: exit_message(dialect, self.port, self.team)
            ).addErrback(lambda failure: failure.trap(NotSent) and None)
        # When the time is up, the list cancels what is still in it.
        await DeferredList(list(self._under_way)).addTimeout(LONGEST_GOODBYE, self._clock)

    async def _stop(self) -> None:
        await self.leave()
        # What somebody began to send after that.
        for sending in list(self._under_way):
            sending.cancel()
        await DeferredList([MultiService.stopService(self)])
        self._doorman.close()
