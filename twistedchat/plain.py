"""
Talking in plain: with the classic programs, which know neither keys nor sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

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
from twistedchat.core.errors import NotSent, StoreError
from twistedchat.core.events import (
    ConnectReceived,
    ExitReceived,
    PlainNotKept,
    PlainTextReceived,
    Sent,
    UnknownTextReceived,
)
from twistedchat.interfaces import IJournal
from twistedchat.peers.dialling import Dialler
from twistedchat.peers.registry import PeerRegistry

__all__ = ["MOST_LEARNED", "Compose", "PlainTalk"]

# Addresses of which we remember what answers there: as many as there are peers on the lists.
MOST_LEARNED = 1024

# Makes a message, once it is known in which dialect.
Compose = Callable[[Dialect], ClassicMessage]


class PlainTalk:
    """
    What is said in plain, both ways.

    Args:
        clock: Tells the time.
        registry: Who is there; told of what is heard.
        journal: Where it is kept.
        dialler: Brings messages to addresses.
        team: Our team name.
        port: The port that we listen on, as it stands in our messages.
        dialect: How to speak with a classic peer that was never heard.
        is_refused: Whether to speak and to hear nothing.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        registry: PeerRegistry,
        journal: IJournal,
        dialler: Dialler,
        *,
        team: str,
        port: int,
        dialect: Dialect,
        is_refused: bool,
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._journal = journal
        self._dialler = dialler
        self._team = team
        self._port = port
        self._dialect = dialect
        self._is_refused = is_refused
        # Addresses at which a classic program was, the one that was learned last last.
        self._learned: dict[Address, None] = {}
        # Whether the person was told that nothing is kept, and nothing has been since then.
        self._is_failing = False

    # What answers where.

    def is_at(self, addresses: Iterable[Address]) -> bool:
        """
        Whether a classic program was at one of some addresses when it was last asked, or heard.
        """
        return any(address in self._learned for address in addresses)

    def learn(self, address: Address) -> None:
        """
        A classic program is there.
        """
        self._learned.pop(address, None)
        self._learned[address] = None
        if len(self._learned) > MOST_LEARNED:
            del self._learned[next(iter(self._learned))]

    def unlearn(self, *addresses: Address) -> None:
        """
        Something else may be there the next time.
        """
        for address in addresses:
            self._learned.pop(address, None)

    # Speaking.

    def check_allowed(self, recipient: Address) -> None:
        """
        See whether somebody may be spoken to in plain.

        Raises:
            NotSent: Nobody may.
        """
        if self._is_refused:
            raise NotSent(
                f"Not sent: {recipient} speaks only plain, and this node was told --secure-only."
            )

    def text(self, text: str) -> Compose:
        """
        Something that the person says.
        """
        return lambda dialect: text_message(dialect, self._port, self._team, text)

    def connect(self, *, manual: bool) -> Compose:
        """
        That we connect, by the person's wish or by itself.
        """
        return lambda dialect: connect_message(dialect, self._port, self._team, manual=manual)

    def exit(self) -> Compose:
        """
        That we leave.
        """
        return lambda dialect: exit_message(dialect, self._port, self._team)

    async def send(
        self, recipient: Address, addresses: Iterable[Address], compose: Compose
    ) -> Sent:
        """
        Send a message, in as many pieces as it takes.

        Args:
            recipient: The address as it was typed.
            addresses: Those that it leads to.
            compose: Makes the message.

        Returns:
            Who took it.

        Raises:
            NotSent: Nobody did, or not all of it: what is left is in ``unsent``.
        """
        known = [peer for at in addresses if (peer := self._registry.roster.find(at))]
        typed = recipient
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
                self.unlearn(typed, recipient)
                error.unsent = "".join(left.text for left in pieces[number:])
                raise
            if message.kind is Kind.MESSAGE:
                self._keep(taken_by, None, piece.text, self._clock.seconds(), is_ours=True)
            if message.kind is Kind.EXIT:
                self.unlearn(typed, taken_by)
                self._registry.remove(taken_by)
            else:
                connects = message.kind is Kind.CONNECT
                self._registry.sent(taken_by, messages=1, connects=connects)
        return Sent(taken_by, message.kind, len(pieces))

    # Keeping both.

    def _keep(
        self, address: Address, name: str | None, text: str, time: float, *, is_ours: bool
    ) -> None:
        self._journal.keep_plain(address, name, text, is_ours=is_ours, time=time).addCallbacks(
            self._kept, self._not_kept
        ).addErrback(lambda failure: self._log.failure("Keeping a plain text failed", failure))

    def _kept(self, _: None) -> None:
        self._is_failing = False

    def _not_kept(self, failure: Failure) -> None:
        failure.trap(StoreError)
        if not self._is_failing:
            self._is_failing = True
            self._registry.publish(PlainNotKept(failure.getErrorMessage()))

    # Hearing.

    def heard(self, host: str, messages: Iterable[ClassicMessage | UnknownText]) -> None:
        """
        Somebody has said something in plain.

        Args:
            host: From where.
            messages: What.
        """
        if self._is_refused:
            self._log.info("Did not hear {host}: it spoke plain", host=host)
            return
        now = self._clock.seconds()
        for message in messages:
            match message:
                case UnknownText(text):
                    self._registry.publish(UnknownTextReceived(host, text, now))
                case ClassicMessage():
                    self._heard_message(Address(host, message.port), message, now)

    def _heard_message(self, sender: Address, message: ClassicMessage, now: float) -> None:
        registry = self._registry
        match message.kind:
            case Kind.EXIT:
                self.unlearn(sender)
                peer = registry.remove(sender)
                if peer is not None:
                    registry.publish(ExitReceived(sender, message.name or peer.name, now))
            case Kind.CONNECT:
                self.learn(sender)
                peer = registry.heard(sender, message.name, message.dialect, now, connects=True)
                registry.publish(ConnectReceived(sender, peer.name, message.text, now))
            case Kind.MESSAGE:
                self.learn(sender)
                peer = registry.heard(sender, message.name, message.dialect, now, connects=False)
                self._keep(sender, peer.name, message.text, now, is_ours=False)
                registry.publish(
                    PlainTextReceived(sender, peer.name, message.dialect, message.text, now)
                )
