"""
A node: one running chat.

It composes the services, carries every message between the network and the lists, and is the one
object that the faces talk to, through `twistedchat.interfaces.INode`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
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
    Dialect,
    Kind,
    kind_of,
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
    Event,
    ExitReceived,
    NearbyChanged,
    Progress,
    RoomChange,
    Sent,
    SessionOpened,
    Speaker,
    TextsStranded,
)
from twistedchat.core.frames import Card, Frame, Have, Knock, Met, RunFrame, Seek
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.invites import Invite
from twistedchat.core.nearby import Nearby, Record
from twistedchat.core.rooms import (
    LONGEST_NAME,
    MOST_MEMBERS,
    NONCE_LENGTH,
    adding,
    founding,
    leaving,
    removing,
    room_of,
)
from twistedchat.core.roster import PeerList, Recipient, RoomId
from twistedchat.core.safetext import safe_text
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
from twistedchat.plain import Compose, PlainTalk
from twistedchat.rooms import Rooms
from twistedchat.whereabouts import Whereabouts

__all__ = ["LONGEST_GOODBYE", "MOST_WAITING", "Node", "Store", "Surroundings"]

# Texts waiting to go out. Beyond what anybody types; at 64 KiB each, at most 64 MiB.
MOST_WAITING = 1024

# Seconds in which exit is said to everybody. Whoever quits waits for it.
LONGEST_GOODBYE = 2.0


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
        tells_reading: Whether contacts are told what the person has read.
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
        tells_reading: bool = True,
    ) -> None:
        super().__init__()
        self.team = team
        self.port = port
        self.key = store.identity.key
        clock = surroundings.clock
        self._clock = clock
        self._surroundings = surroundings
        self._journal = store.journal
        self._contacts = store.contacts
        self.registry = PeerRegistry()
        self.registry.setServiceParent(self)
        self._doorman = Doorman(clock, lambda host, messages: self._plain.heard(host, messages))
        self._dialler = Dialler(surroundings.reactor, clock, surroundings.ask, self._doorman)
        self._plain = PlainTalk(
            clock,
            self.registry,
            store.journal,
            self._dialler,
            team=team,
            port=port,
            dialect=dialect,
            is_refused=secure_only,
        )
        self._rooms = Rooms(self.key, store.contacts, store.journal, self.registry.publish)
        self._sessions = Sessions(
            clock,
            store.identity,
            store.contacts,
            self._doorman,
            self._dialler,
            self,
            self._rooms.mates,
            self._rooms.is_mate,
            self._rooms.neighbours,
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
            self._rooms,
            self.registry.publish,
            lambda key, received, sent: self._acquaintances.refresh(
                key, received=received, sent=sent
            ),
            tells_reading=tells_reading,
        )
        self._acquaintances = Acquaintances(
            clock,
            store.contacts,
            store.keep_contacts,
            self._sessions,
            self.registry,
            self._rooms.is_mate,
            self._let_in,
            self._plain.unlearn,
        )
        self._whereabouts = Whereabouts(
            clock, surroundings.randomness, store.contacts, self._rooms.mates, self._sessions
        )
        for endpoint in endpoints:
            listening = StreamServerEndpointService(endpoint, PeerFactory(self._doorman))
            listening.setServiceParent(self)
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
                stranded = await self._exchange.posting.texts_that_wait(
                    self._rooms.direct(caller.contact.key), caller.contact.key
                )
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
            self._plain.unlearn(link.their_address)
        self._exchange.session_opened(link)
        contact = self._contacts.find(session.their_key)
        if session.lets_them_in and contact is None:
            # A roommate: nothing but the room is between us.
            self._let_in(link)
        elif session.lets_them_in and contact is not None:
            # One that takes the place of another is no news.
            if before is None or not before.is_connected:
                now = self._clock.seconds()
                is_ours = link.dialled is not None
                self.registry.publish(SessionOpened(contact, is_ours=is_ours, time=now))
            self._let_in(link)
        return None

    def _let_in(self, link: PeerProtocol) -> None:
        self._exchange.let_in(link)
        self._exchange.pump(link)
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
            case Card():
                self._exchange.card_received(link, frame)
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
        self._exchange.have_received(link, frame)
        self._whereabouts.seek(link)

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
        Somebody cannot be found: see `SessionEvents`.
        """
        self._whereabouts.not_reached(key)

    def roommates_changed(self) -> None:
        """
        Others may be in a room with us: see `SessionEvents`.
        """
        self._acquaintances.rooms_changed()

    # Rooms.

    def rooms(self) -> list[RoomRecord]:
        """
        The rooms that we are in or are invited to: see `INode`.
        """
        return self._rooms.all()

    def members(self, room: RoomId) -> list[Speaker]:
        """
        Who is in a room: see `INode`.
        """
        return self._rooms.members(room.raw)

    def make_room(self, name: str) -> Deferred[RoomRecord]:
        """
        Found a room: see `INode`.
        """

        async def made() -> RoomRecord:
            self._rooms.check_room_for_more()
            checked = name.strip()
            if not 1 <= len(checked) <= LONGEST_NAME or safe_text(checked) != checked:
                raise ChatError(
                    f"A room has a name of 1 to {LONGEST_NAME} visible characters: "
                    f"{safe_text(checked[:LONGEST_NAME])!r} is none."
                )
            nonce = self._surroundings.randomness(NONCE_LENGTH)
            room = room_of(self.key, nonce)
            record = RoomRecord(room, Stay.JOINED, checked, self.key, self.key)
            await self._rooms.keep(record, RoomChange.JOINED)
            await self._say_in_room(room, founding(checked, nonce, self.team))
            return record

        return Deferred.fromCoroutine(made())

    def add_to(self, room: RoomId, key: DeviceKey) -> Deferred[None]:
        """
        Add a contact to a room: see `INode`.
        """

        async def added() -> None:
            record = self._rooms.get(room.raw)
            contact = self._contacts.find(key)
            if contact is None or contact.is_blocked:
                raise ChatError("Only a contact can be added: let them in with t first.")
            if key in self._rooms.others(room.raw):
                raise ChatError(
                    f"{safe_text(contact.name)} is in {safe_text(record.name)} already."
                )
            membership = self._rooms.membership(room.raw)
            name, place = safe_text(contact.name), safe_text(record.name)
            if membership.removed_by(key) and record.founder != self.key:
                raise ChatError(
                    f"{name} was removed: only who founded {place} can let them in again."
                )
            if not membership.has_place_for(key, self.key):
                raise ChatError(
                    f"{place} has {MOST_MEMBERS} members, those who left included: that is as many "
                    "as there can be. Only who founded it can make room, by removing somebody."
                )
            if not membership.may_add(key, self.key):
                raise ChatError(
                    f"You have added as many people to {place} as anybody may: "
                    f"ask another member to add {name}."
                )
            left = membership.left_saying(key)
            if left == "":
                raise ChatError(f"{name} has left {place} for good: nobody can let them in again.")
            await self._say_in_room(room.raw, adding(key, contact.name, left or ""))

        return Deferred.fromCoroutine(added())

    def remove_from(self, room: RoomId, key: DeviceKey) -> Deferred[None]:
        """
        Remove somebody from a room: see `INode`.
        """

        async def removed() -> None:
            record = self._rooms.get(room.raw)
            if record.founder != self.key:
                raise ChatError(f"Only who founded {safe_text(record.name)} can remove somebody.")
            membership = self._rooms.membership(room.raw)
            # Whoever has left keeps a place, and gives it back by this.
            is_there = membership.find(key) is not None and not membership.removed_by(key)
            if not is_there or key == self.key:
                raise ChatError(f"They are not in {safe_text(record.name)}.")
            if not membership.may_remove(key):
                raise ChatError(
                    f"You have removed as many people from {safe_text(record.name)} as can be: "
                    "found another room, and add those who are to be there."
                )
            last, _ = self._journal.stored_heads(room.raw).get(key, (0, b""))
            first = membership.brought_with(key)
            if membership.is_full and first:
                # Whoever fills a room goes with all whom they brought, or it stays full.
                last = min(last, first - 1)
            await self._say_in_room(room.raw, removing(key, last))

        return Deferred.fromCoroutine(removed())

    def join(self, room: RoomId) -> Deferred[None]:
        """
        Come into a room: see `INode`.
        """

        async def joined() -> None:
            self._rooms.check_room_for_more()
            record = self._rooms.with_stay(room.raw, Stay.JOINED)
            # That we are in it has to be seen from its entries.
            await self._rooms.keep(record, None)
            self._exchange.rooms_changed()

        return Deferred.fromCoroutine(joined())

    def leave_room(self, room: RoomId) -> Deferred[None]:
        """
        Leave a room, or decline to come: see `INode`.
        """

        async def left() -> None:
            record = self._rooms.with_stay(room.raw, Stay.LEFT)
            with self._rooms.leaving(room.raw):
                # Also whoever declines was added, and is waited for by the others.
                nonce = self._surroundings.randomness(NONCE_LENGTH)
                await self._say_in_room(room.raw, leaving(nonce))
                await self._rooms.keep(record, RoomChange.LEFT)
            self._exchange.rooms_changed()

        return Deferred.fromCoroutine(left())

    async def _say_in_room(self, room: bytes, said: tuple[str, str]) -> None:
        posted = self._exchange.posting.post_entries(room, [said])
        await posted.stored
        self._exchange.posting.wait_no_longer(posted)
        self._exchange.rooms_changed()

    # History.

    def place_of(self, recipient: Recipient) -> Place:
        """
        Where what is said between somebody and us is kept: see `INode`.
        """
        match recipient:
            case DeviceKey():
                return self._rooms.direct(recipient)
            case RoomId(room):
                return room
            case Address():
                return recipient

    def recipient_of(self, line: LineOfHistory) -> Recipient:
        """
        To whom one would answer a line: see `INode`.
        """
        if isinstance(line.place, Address):
            return line.place
        if self._rooms.find(line.place) is not None:
            return RoomId(line.place)
        return self._rooms.mate_of(line.place) or RoomId(line.place)

    def speaker_of(self, line: LineOfHistory) -> str:
        """
        What to call the author of a line: see `INode`.
        """
        if line.is_ours:
            return self.team
        if line.author is None or isinstance(line.place, Address):
            return line.name or ""
        return self._rooms.speaker(line.place, line.author).name

    def progress_of(self, line: LineOfHistory) -> Progress | None:
        """
        How far a line of ours has come: see `INode`.
        """
        if not line.is_ours:
            return None
        if isinstance(line.place, Address):
            return Progress.TAKEN
        held, others = self._exchange.holders(line.place, line.seq)
        if not held:
            return Progress.WAITING
        if held < others:
            return Progress.CARRIED
        is_read = self._exchange.is_read(line.place, line.seq)
        return Progress.READ if is_read else Progress.DELIVERED

    def unread(self, place: Place) -> int:
        """
        How many texts came to a place since the person last looked there: see `INode`.
        """
        return self._journal.unread(place)

    def addresses_unread(self) -> list[Address]:
        """
        Those of classic peers of whom there is something unread: see `INode`.
        """
        return self._journal.addresses_unread()

    def looked_at(self, places: Iterable[Place]) -> None:
        """
        The person has seen all that came to these places: see `INode`.
        """
        seen = [place for place in places if self._journal.unread(place)]
        for place in seen:
            self._journal.looked_at(place)
        self._exchange.looked_at([place for place in seen if isinstance(place, bytes)])

    def history(
        self, place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said: see `INode`.
        """
        return Deferred.fromCoroutine(
            self._filled(lambda last: self._journal.history(place, since, last, most), before, most)
        )

    def search(
        self, words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find texts: see `INode`.
        """
        return Deferred.fromCoroutine(
            self._filled(lambda last: self._journal.search(words, place, last, most), before, most)
        )

    def around(self, line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Read what stands around a line: see `INode`.
        """
        return self._journal.around(line, most).addCallback(self._counting)

    async def _filled(
        self,
        read: Callable[[LineOfHistory | None], Deferred[list[LineOfHistory]]],
        before: LineOfHistory | None,
        most: int,
    ) -> list[LineOfHistory]:
        # Fewer lines than were asked for would say that there are no more.
        found: list[LineOfHistory] = []
        while len(found) < most:
            lines = await read(before)
            found += self._counting(lines)
            if len(lines) < most:
                break
            before = lines[-1]
        return found[:most]

    def _counting(self, lines: list[LineOfHistory]) -> list[LineOfHistory]:
        # What somebody wrote after they had been removed is kept, and is no part of the room.
        return [
            line
            for line in lines
            if line.author is None
            or isinstance(line.place, Address)
            or self._rooms.find(line.place) is None
            or self._rooms.counts(line.place, line.author, line.seq)
        ]

    def recall(self, recipient: Recipient) -> Deferred[str]:
        """
        Take back the last text to somebody: see `INode`.
        """

        async def recalled() -> str:
            place = self.place_of(recipient)
            if isinstance(place, Address):
                raise ChatError("What was said in plain is out: it cannot be taken back.")
            return await self._exchange.posting.recall(place)

        return Deferred.fromCoroutine(recalled())

    # Sending.

    def send_text(self, recipient: Recipient, text: str) -> Deferred[Sent]:
        """
        Send a text: see `INode`.
        """
        if isinstance(recipient, DeviceKey):
            return self._follow(self._send_secure(recipient, text), text)
        if isinstance(recipient, RoomId):
            return self._follow(self._send_to_room(recipient.raw, text), text)
        in_turn = self._send_in_turn(
            recipient, self._plain.text(text), lambda key: self._send_secure(key, text)
        )
        return self._follow(in_turn, text)

    def connect(self, recipient: Recipient, *, manual: bool) -> Deferred[Sent]:
        """
        Send a connect text, or open a session: see `INode`.
        """
        if isinstance(recipient, DeviceKey):
            return self._follow(self._connect_secure(recipient))
        if isinstance(recipient, RoomId):
            raise TypeError("a room is joined, and not connected to")
        return self._follow(
            self._send_in_turn(recipient, self._plain.connect(manual=manual), self._connect_secure)
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
        posted = self._exchange.posting.post(self._rooms.direct(key), text)
        await posted.stored
        link = self._sessions.find(key)
        if link is None or link.is_closed:
            link = await self._sessions.reach(key)
        progress = Progress.WAITING
        if link is not None and not self._exchange.lets_us_in(link):
            self._exchange.knock(link, text)
            progress = Progress.AT_THE_DOOR
        if link is None or progress is Progress.AT_THE_DOOR:
            self._exchange.posting.wait_no_longer(posted)
        elif await self._exchange.posting.receipt_of(posted, key):
            progress = Progress.DELIVERED
        contact = self._contacts.find(key) or contact
        return Sent(key, Kind.MESSAGE, len(posted.said), progress, contact.name)

    async def _send_to_room(self, room: bytes, text: str) -> Sent:
        try:
            record = self._rooms.get(room)
        except ChatError as error:
            raise NotSent(f"Not sent: {error}") from error
        posted = self._exchange.posting.post(room, text)
        await posted.stored
        await self._exchange.posting.receipt_of(posted)
        held, others = self._exchange.holders(room, posted.seq)
        progress = Progress.WAITING
        if held:
            progress = Progress.DELIVERED if held == others else Progress.CARRIED
        return Sent(RoomId(room), Kind.MESSAGE, len(posted.said), progress, record.name)

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
                return await self._plain.send(recipient, addresses, compose)
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
        if pinned is None and self._plain.is_at(candidates):
            self._plain.check_allowed(recipient)
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
            self._plain.learn(recipient)
            self._plain.check_allowed(recipient)
            return None
        if self._contacts.is_blocked(answer):
            raise NotTrusted(f"Not sent: {recipient} is blocked ({answer.short}).")
        self._acquaintances.choose(await self._sessions.open(place, answer), place)
        return answer

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
            return await self._plain.send(address, [address], self._plain.exit())

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
