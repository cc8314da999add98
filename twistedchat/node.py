"""
A node: one running chat.

It composes the services, carries every message between the network and the lists, and is the one
object that the faces talk to, through `twistedchat.interfaces.INode`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from twistedchat.acquaintances import Acquaintances
from twistedchat.core.addresses import Address
from twistedchat.core.classic import (
    ClassicMessage,
    Dialect,
    Kind,
    UnknownText,
    connect_message,
    encode,
    exit_message,
    kind_of,
    split_text,
    text_message,
)
from twistedchat.core.errors import (
    ChatError,
    HostNotFound,
    NotSent,
    NotTrusted,
    RemoteProtocolError,
    TooMuchToSend,
)
from twistedchat.core.events import (
    ConnectReceived,
    Event,
    ExitReceived,
    LetIn,
    NearbyChanged,
    PlainTextReceived,
    Progress,
    Sent,
    SessionOpened,
    TextsStranded,
    UnknownTextReceived,
)
from twistedchat.core.frames import Frame, Have, Knock, Met, RunFrame, Seek
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.invites import Invite
from twistedchat.core.nearby import Nearby, Record
from twistedchat.core.roster import PeerList, Recipient
from twistedchat.core.trust import (
    MOST_ADDRESSES,
    Caller,
    Contact,
    ContactList,
    Contacts,
    Decision,
    Verdict,
)
from twistedchat.core.words import verification_words
from twistedchat.exchange import Exchange
from twistedchat.interfaces import IJournal, INode
from twistedchat.peers.dialling import Dialler
from twistedchat.peers.doorman import Doorman
from twistedchat.peers.protocol import PeerFactory, PeerProtocol
from twistedchat.peers.registry import PeerRegistry
from twistedchat.peers.sessions import Sessions
from twistedchat.peers.turns import Turns
from twistedchat.whereabouts import Whereabouts

__all__ = ["LONGEST_GOODBYE", "MOST_LEARNED", "MOST_WAITING", "Node", "Store", "Surroundings"]

# Texts waiting to go out. Beyond what anybody types; at 64 KiB each, at most 64 MiB.
MOST_WAITING = 1024

# Seconds in which exit is said to everybody. Whoever quits waits for it.
LONGEST_GOODBYE = 2.0

# Addresses of which we remember what answers there: as many as there are peers on the lists.
MOST_LEARNED = 1024

Compose = Callable[[Dialect], ClassicMessage]


@dataclass(frozen=True, slots=True)
class Store:
    """
    What of a node outlives its process.

    Attributes:
        identity: Who we are.
        contacts: Whom we know.
        keep_contacts: Writes them down; its Deferred fails with `StoreError`.
        journal: Where entries are kept.
    """

    identity: Identity
    contacts: Contacts
    keep_contacts: Callable[[list[Contact]], Deferred[None]]
    journal: IJournal


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a node finds on the machine it runs on.

    Attributes:
        reactor: Makes the outgoing connections.
        clock: Tells the time and calls back; the reactor itself, but in tests.
        ask: Looks a host name up without blocking.
        randomness: Gives so many random octets.
        in_thread: Does work that takes long without blocking.
        our_hosts: Tells the IP addresses that this machine has.
    """

    reactor: IReactorTCP
    clock: IReactorTime
    ask: Callable[[str], Deferred[list[str]]]
    randomness: Callable[[int], bytes]
    in_thread: Callable[[Callable[[], tuple[str, ...]]], Deferred[tuple[str, ...]]]
    our_hosts: Callable[[], list[str]]


@implementer(INode)
class Node(MultiService):
    """
    One node: it listens, remembers who is there, and sends.

    Args:
        surroundings: The machine.
        store: What we keep.
        endpoints: Where to listen.
        team: Our team name.
        port: The port that we listen on, as it stands in our messages.
        dialect: How to speak with a classic peer that was never heard.
        secure_only: Whether to speak with secure peers alone.
    """

    _log = Logger()

    def __init__(
        self,
        surroundings: Surroundings,
        store: Store,
        endpoints: Iterable[IStreamServerEndpoint],
        *,
        team: str,
        port: int,
        dialect: Dialect = Dialect.HEADER,
        secure_only: bool = False,
    ) -> None:
        super().__init__()
        self.team = team
        self.port = port
        self.key = store.identity.key
        clock = surroundings.clock
        self._clock = clock
        self._surroundings = surroundings
        self._dialect = dialect
        self._secure_only = secure_only
        self._journal = store.journal
        self._contacts = store.contacts
        self.registry = PeerRegistry()
        self.registry.setServiceParent(self)
        self._doorman = Doorman(clock, self._heard)
        self._dialler = Dialler(surroundings.reactor, clock, surroundings.ask, self._doorman)
        self._sessions = Sessions(
            clock,
            store.identity,
            store.contacts,
            self._doorman,
            self._dialler,
            self,
            lambda: int.from_bytes(surroundings.randomness(4), "big") / 2**32,
            team=team,
            port=port,
        )
        self._sessions.setServiceParent(self)
        self._exchange = Exchange(
            clock,
            store.identity,
            store.journal,
            self._sessions,
            store.contacts,
            self.registry.publish,
            lambda key, received, sent: self._acquaintances.refresh(
                key, received=received, sent=sent
            ),
        )
        self._acquaintances = Acquaintances(
            clock,
            store.contacts,
            store.keep_contacts,
            self._sessions,
            self.registry,
            self._let_in,
            self._unlearn,
        )
        self._whereabouts = Whereabouts(
            clock, surroundings.randomness, store.contacts, self._sessions
        )
        for endpoint in endpoints:
            listening = StreamServerEndpointService(endpoint, PeerFactory(self._doorman))
            listening.setServiceParent(self)
        # Addresses at which a classic program was, the one that was learned last last.
        self._learned: dict[Address, None] = {}
        self._turns: Turns[Address] = Turns()
        self._under_way: set[Deferred[Sent]] = set()
        self._goodbye: Deferred[None] | None = None

    @property
    def peers(self) -> PeerList:
        """
        Who is there.
        """
        return self.registry.roster

    @property
    def contacts(self) -> ContactList:
        """
        Whom we know.
        """
        return self._contacts

    @override
    def startService(self) -> None:
        super().startService()
        self._log.info(
            "Listening on port {port} as {team!r}, key {key}",
            port=self.port,
            team=self.team,
            key=self.key,
        )

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

    # Whom we know.

    def callers(self) -> list[Caller]:
        """
        Those about whom the person has to decide: see `INode`.
        """
        return self._acquaintances.callers()

    def nearby(self) -> list[Nearby]:
        """
        Nodes that were found on the network: see `INode`.
        """
        return self._whereabouts.nearby()

    def records_changed(self, records: list[Record]) -> None:
        """
        Other nodes have announced themselves on the network, or went.

        Args:
            records: All that are there now.
        """
        self._whereabouts.records_changed(records)
        self.registry.publish(NearbyChanged())

    def invite(self) -> Invite:
        """
        What to give to somebody: see `INode`.
        """
        hosts = self._surroundings.our_hosts()[:MOST_ADDRESSES]
        return Invite(self.key, self.team, tuple(Address(host, self.port) for host in hosts))

    def use_invite(self, invite: Invite) -> Deferred[DeviceKey]:
        """
        Know whoever made an invite: see `INode`.
        """

        async def used() -> DeviceKey:
            if invite.key == self.key:
                raise ChatError("That is your own invite: give it to somebody else.")
            await self._acquaintances.use_invite(invite)
            return invite.key

        return Deferred.fromCoroutine(used())

    def words(self, key: DeviceKey) -> Deferred[tuple[str, ...]]:
        """
        The six words that both ends see: see `INode`.
        """
        return self._surroundings.in_thread(lambda: verification_words(self.key, key))

    def verify(self, key: DeviceKey) -> Deferred[None]:
        """
        The person has compared the words: see `INode`.
        """
        return self._acquaintances.verify(key)

    def decide(
        self, key: DeviceKey, decision: Decision, caller: Caller | None = None
    ) -> Deferred[None]:
        """
        Do what the person says: see `INode`.
        """

        async def decided() -> None:
            stranded: list[str] = []
            if decision is Decision.NEW_KEY and caller is not None and caller.contact is not None:
                stranded = await self._exchange.texts_that_wait(caller.contact.key)
            await self._acquaintances.decide(key, decision, caller)
            contact = self._contacts.find(key)
            if stranded and contact is not None:
                self.registry.publish(TextsStranded(contact, tuple(stranded)))

        return Deferred.fromCoroutine(decided())

    # The sessions call these: see `SessionEvents`.

    def session_opened(self, link: PeerProtocol, verdict: Verdict) -> str | None:
        """
        Somebody has said hello: see `SessionEvents`.
        """
        session = link.session
        assert session is not None  # noqa: S101 (it has said hello)
        before = self.peers.find(session.their_key)
        refusal = self._acquaintances.welcome(link, verdict)
        if refusal is not None:
            return refusal
        if link.their_address is not None:
            # Whatever was there before, now it is a node.
            self._unlearn(link.their_address)
        self._exchange.session_opened(link)
        contact = self._contacts.find(session.their_key)
        if session.lets_them_in and contact is not None:
            # One that takes the place of another is no news.
            if before is None or not before.is_connected:
                now = self._clock.seconds()
                is_ours = link.dialled is not None
                self.registry.publish(SessionOpened(contact, is_ours=is_ours, time=now))
            self._let_in(link)
        return None

    def _let_in(self, link: PeerProtocol) -> None:
        self._exchange.let_in(link)
        self._whereabouts.seek(link)

    def frame_received(self, link: PeerProtocol, frame: Frame) -> None:
        """
        A frame came: see `SessionEvents`.
        """
        match frame:
            case Knock(text=text):
                self._acquaintances.knocked(link, text)
            case Have():
                self._have_received(link, frame)
            case RunFrame():
                try:
                    self._exchange.run_received(link, frame)
                except RemoteProtocolError as error:
                    link.broke_rule(error)
            case Seek():
                self._whereabouts.seek_received(link, frame)
            case Met():
                self._whereabouts.met_received(link, frame)
            case _:
                pass

    def _have_received(self, link: PeerProtocol, frame: Have) -> None:
        session = link.session
        contact = self._contacts.find(session.their_key) if session else None
        if session is not None and session.is_first_have and contact is not None:
            if session.have_knocked:
                self.registry.publish(LetIn(contact))
            self._whereabouts.seek(link)
        self._exchange.have_received(link, frame)

    def session_replaced(self, link: PeerProtocol) -> None:
        """
        Another session takes the place of one: see `SessionEvents`.
        """
        self._exchange.session_lost(link)
        self._whereabouts.forget(link)

    def session_lost(self, link: PeerProtocol, code: str | None) -> None:
        """
        A session is over: see `SessionEvents`.
        """
        self.session_replaced(link)
        assert link.session is not None  # noqa: S101 (it is over)
        key = link.session.their_key
        if code != "exit":
            self._acquaintances.refresh(key)
            return
        peer = self.registry.remove(key)
        if peer is not None and not self._sessions.has_left(key):
            self.registry.publish(ExitReceived(key, peer.name, self._clock.seconds()))

    def went_on(self, link: PeerProtocol) -> None:
        """
        A peer reads again: see `SessionEvents`.
        """
        self._exchange.went_on(link)

    def answered_strangely(self, key: DeviceKey, address: Address) -> None:
        """
        Where a contact was reached before, something else answers: see `SessionEvents`.
        """
        self._acquaintances.answered_strangely(key, address)

    def not_reached(self, key: DeviceKey) -> None:
        """
        A contact cannot be found: see `SessionEvents`.
        """
        self._whereabouts.seek_everywhere()

    # Sending.

    def send_text(self, recipient: Recipient, text: str) -> Deferred[Sent]:
        """
        Send a text: see `INode`.
        """
        if isinstance(recipient, DeviceKey):
            return self._follow(self._send_secure(recipient, text), text)
        return self._follow(
            self._send_in_turn(
                recipient,
                lambda dialect: text_message(dialect, self.port, self.team, text),
                lambda key: self._send_secure(key, text),
            ),
            text,
        )

    def connect(self, recipient: Recipient, *, manual: bool) -> Deferred[Sent]:
        """
        Send a connect text, or open a session: see `INode`.
        """
        if isinstance(recipient, DeviceKey):
            return self._follow(self._connect_secure(recipient))
        return self._follow(
            self._send_in_turn(
                recipient,
                lambda dialect: connect_message(dialect, self.port, self.team, manual=manual),
                self._connect_secure,
            )
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

    def _follow(self, sending: Coroutine[Any, Any, Sent], typed: str = "") -> Deferred[Sent]:
        following = Deferred.fromCoroutine(self._send_or_say_why(sending, typed))
        self._under_way.add(following)

        def done(result: Sent) -> Sent:
            self._under_way.discard(following)
            return result

        return following.addBoth(done)

    async def _send_or_say_why(self, sending: Coroutine[Any, Any, Sent], typed: str) -> Sent:
        try:
            if len(self._under_way) >= MOST_WAITING:
                sending.close()
                raise TooMuchToSend(
                    f"{MOST_WAITING} texts are waiting to be sent already: wait for some of them."
                )
            return await sending
        except CancelledError as error:
            ended = NotSent("The chat ended before it could be sent.")
            ended.unsent = typed
            raise ended from error
        except NotSent as error:
            # What failed before its first piece is left as a whole.
            error.unsent = (error.unsent or typed) if typed else ""
            raise

    async def _send_secure(self, key: DeviceKey, text: str) -> Sent:
        contact = self._contacts.find(key)
        if contact is None or contact.is_blocked:
            raise NotTrusted(f"Not sent: {key.short} is not a contact. Let it in with t first.")
        match kind_of(text):
            case Kind.EXIT:
                self._sessions.end(key, "exit")
                self.registry.remove(key)
                return Sent(key, Kind.EXIT, 1, Progress.TAKEN, contact.name)
            case Kind.CONNECT:
                return await self._connect_secure(key)
            case Kind.MESSAGE:
                pass
        posted = self._exchange.post(key, text)
        await posted.stored
        link = self._sessions.find(key)
        if link is None or link.is_closed:
            link = await self._sessions.reach(key)
        progress = Progress.WAITING
        if link is not None and link.session is not None and not link.session.lets_us_in:
            self._exchange.knock(link, posted.texts[0])
            progress = Progress.AT_THE_DOOR
        if link is None or progress is Progress.AT_THE_DOOR:
            self._exchange.wait_no_longer(posted)
        elif await self._exchange.receipt_of(posted):
            progress = Progress.DELIVERED
        contact = self._contacts.find(key) or contact
        return Sent(key, Kind.MESSAGE, len(posted.texts), progress, contact.name)

    async def _connect_secure(self, key: DeviceKey) -> Sent:
        contact = self._contacts.find(key)
        link = self._sessions.find(key)
        if link is None or link.is_closed:
            link = await self._sessions.reach(key)
        if contact is None or link is None:
            where = ", ".join(map(str, contact.addresses)) if contact else ""
            raise NotSent(
                f"Not reached: {key.short} answers at none of its addresses"
                f"{f' ({where})' if where else ''}. It is connected as soon as it is back."
            )
        self._exchange.knock_if_stranger(link)
        return Sent(key, Kind.CONNECT, 1, Progress.TAKEN, contact.name)

    async def _send_in_turn(
        self,
        recipient: Address,
        compose: Compose,
        secure: Callable[[DeviceKey], Coroutine[Any, Any, Sent]],
    ) -> Sent:
        async with self._turns.of(recipient):
            hosts = await self._dialler.look_up(recipient.host)
            if not hosts:
                raise HostNotFound(f"Unknown host: no address is known for {recipient.host}.")
            addresses = [Address(host, recipient.port) for host in hosts]
            key = await self._who_is_at(recipient, addresses)
            if key is None:
                return await self._send_plain(recipient, addresses, compose)
            # Begun in turn, which gives its entries their order, and waited for without holding up
            # anybody.
            sending = Deferred.fromCoroutine(secure(key))
        return await sending

    async def _who_is_at(self, recipient: Address, addresses: list[Address]) -> DeviceKey | None:
        """
        Find out whether a node is at an address, and have a session with it.

        Args:
            recipient: The address as it was typed.
            addresses: Those that it leads to.

        Returns:
            The key of a contact; ``None`` for a classic program, which may be spoken to in plain.

        Raises:
            NotSent: Nobody is there, or somebody that must not be spoken to.
        """
        candidates = [recipient, *addresses]
        belongs = self._acquaintances.who_belongs_at
        # Where somebody belongs, that address counts, by whatever name it was typed.
        place = next(filter(belongs, candidates), recipient)
        pinned = belongs(place)
        if pinned is not None and self._sessions.find(pinned.key) is not None:
            return pinned.key
        if pinned is None and any(address in self._learned for address in candidates):
            self._check_plain(recipient)
            return None
        try:
            answer = await self._dialler.ask_who(place)
        except NotSent:
            if pinned is None:
                raise
            # Away, or elsewhere: what is said to it waits.
            return pinned.key
        if answer == self.key:
            raise NotSent(f"Not sent: {recipient} is this node itself.")
        if answer is None:
            if pinned is not None:
                self._acquaintances.answered_strangely(pinned.key, place)
                raise NotTrusted(
                    f"Not sent: {place} was {pinned.name!r} ({pinned.key.short}), and now does not "
                    "prove to be. It is never spoken to in plain. Decide with t who it is."
                )
            self._learn(recipient)
            self._check_plain(recipient)
            return None
        if self._contacts.is_blocked(answer):
            raise NotTrusted(f"Not sent: {recipient} is blocked ({answer.short}).")
        self._acquaintances.choose(await self._sessions.open(place, answer), place)
        return answer

    def _check_plain(self, recipient: Address) -> None:
        if self._secure_only:
            raise NotSent(
                f"Not sent: {recipient} speaks only plain, and this node was told --secure-only."
            )

    def _learn(self, address: Address) -> None:
        self._learned.pop(address, None)
        self._learned[address] = None
        if len(self._learned) > MOST_LEARNED:
            del self._learned[next(iter(self._learned))]

    async def _send_plain(
        self, recipient: Address, addresses: list[Address], compose: Compose
    ) -> Sent:
        known = [peer for address in addresses if (peer := self.peers.find(address))]
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
                # Something else may be there the next time.
                self._unlearn(typed, recipient)
                error.unsent = "".join(left.text for left in pieces[number:])
                raise
            if message.kind is Kind.EXIT:
                self._unlearn(typed, taken_by)
                self.registry.remove(taken_by)
            else:
                connects = message.kind is Kind.CONNECT
                self.registry.sent(taken_by, messages=1, connects=connects)
        return Sent(taken_by, message.kind, len(pieces))

    def _unlearn(self, *addresses: Address) -> None:
        for address in addresses:
            self._learned.pop(address, None)

    # Hearing in plain.

    def _heard(self, host: str, messages: list[ClassicMessage | UnknownText]) -> None:
        if self._secure_only:
            self._log.info("Did not hear {host}: it spoke plain", host=host)
            return
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
                self._unlearn(sender)
                peer = self.registry.remove(sender)
                if peer is not None:
                    name = message.name or peer.name
                    self.registry.publish(ExitReceived(sender, name, now))
            case Kind.CONNECT:
                self._learn(sender)
                peer = self.registry.heard(
                    sender, message.name, message.dialect, now, connects=True
                )
                self.registry.publish(ConnectReceived(sender, peer.name, message.text, now))
            case Kind.MESSAGE:
                self._learn(sender)
                peer = self.registry.heard(
                    sender, message.name, message.dialect, now, connects=False
                )
                self.registry.publish(
                    PlainTextReceived(sender, peer.name, message.dialect, message.text, now)
                )

    # Leaving.

    async def _say_exit(self) -> None:
        # What is still under way goes first, since turns are kept; the last heard are told first,
        # since they are the likeliest to be there.
        peers = sorted(self.peers.active(), key=lambda peer: peer.last_heard or 0, reverse=True)
        for peer in peers:
            # What claims to be where a contact was met is not answered in plain.
            if peer.key is None and self._acquaintances.who_belongs_at(peer.address) is None:
                self._follow(self._exit_plain(peer.address)).addErrback(
                    lambda failure: failure.trap(NotSent) and None
                )
        for key in self._sessions.live:
            self._sessions.end(key, "exit", "Goodbye.")
        # When the time is up, the list cancels what is still in it.
        ending: list[Deferred[Any]] = [*self._under_way, self._sessions.parted()]
        await DeferredList(ending).addTimeout(LONGEST_GOODBYE, self._clock)

    async def _exit_plain(self, address: Address) -> Sent:
        async with self._turns.of(address):
            return await self._send_plain(
                address, [address], lambda dialect: exit_message(dialect, self.port, self.team)
            )

    async def _stop(self) -> None:
        await self.leave()
        # What somebody began to send after that.
        for sending in list(self._under_way):
            sending.cancel()
        await DeferredList([MultiService.stopService(self)])
        self._exchange.close()
        self._doorman.close()
        await DeferredList([self._acquaintances.save()], consumeErrors=True)
        await self._journal.close()
