"""
The sessions of a node: who is there right now, and how to get hold of those who are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from twistedchat.core.addresses import Address
from twistedchat.core.errors import NotSent, NotTrusted
from twistedchat.core.frames import PROTOCOL_VERSION, Bye, Frame, Hello, Ping, Pong
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.session import Session
from twistedchat.core.trust import Contacts, Standing, Verdict
from twistedchat.peers.dialling import Dialler
from twistedchat.peers.doorman import Doorman, SessionConnection
from twistedchat.peers.protocol import Dial, PeerProtocol
from twistedchat.peers.timeouts import TimeoutQueue
from twistedchat.peers.tls import ConnectionCreator, Tls
from twistedchat.peers.turns import Turns

__all__ = [
    "FIRST_REDIAL",
    "LONGEST_PROBE",
    "LONGEST_REDIAL",
    "LONGEST_STRANGER",
    "MOST_HINTED",
    "MOST_HINTS",
    "MOST_STRANGERS",
    "MOST_STRANGERS_PER_HOST",
    "SessionEvents",
    "Sessions",
]

# Seconds until a lost contact is dialled again, doubled each time up to the longest: somebody who
# comes back is found within minutes also where nothing announces them, and a thousand contacts who
# are away cost three or four dials in a second.
FIRST_REDIAL = 1.0
LONGEST_REDIAL = 300.0

# After which goodbyes there is no hurry: somebody left, cannot keep what is said for now, or does
# not let us in.
_REDIAL_AFTER = {
    "exit": 20.0,
    "full": 60.0,
    "later": LONGEST_REDIAL,
    "rest": 30.0,
    "stranger": LONGEST_REDIAL,
}

# Seconds for the older of two sessions to show that it is alive, before the newer takes its place.
LONGEST_PROBE = 2.0

# Sessions with nobody we know: in all, and from one address. A class comes to forty.
MOST_STRANGERS = 128
MOST_STRANGERS_PER_HOST = 64

# Seconds that a stranger may wait at the door. Its knock stays on the list, and it calls again.
LONGEST_STRANGER = 600.0

# Addresses that others told of one contact: enough for a laptop with all its networks. And of how
# many such are kept: as many as there can be contacts, and as many roommates. Of more those go that
# are no contacts, the one that was told of first first.
MOST_HINTS = 8
MOST_HINTED = 2048


class SessionEvents(Protocol):
    """
    Who wants to know what happens in the sessions.
    """

    def session_opened(self, link: PeerProtocol, verdict: Verdict) -> str | None:
        """
        Somebody has said hello.

        Args:
            link: The connection.
            verdict: What to make of the key.

        Returns:
            Why the session may not go on, in words for a person; ``None`` where it may.
        """

    def frame_received(self, link: PeerProtocol, frame: Frame) -> None:
        """
        A frame came that is no business of the session itself.

        Args:
            link: From where.
            frame: What it says.
        """

    def answered_strangely(self, key: DeviceKey, address: Address) -> None:
        """
        Where a contact was reached before, something else than a node answers.

        Args:
            key: The contact's.
            address: Where.
        """

    def not_reached(self, key: DeviceKey) -> None:
        """
        A contact or a roommate is at none of the addresses that we know.

        Args:
            key: Whose.
        """

    def roommates_changed(self) -> None:
        """
        Others may be in a room with us than before.
        """

    def went_on(self, link: PeerProtocol) -> None:
        """
        The other side, which did not read what we said, has caught up.
        """

    def session_replaced(self, link: PeerProtocol) -> None:
        """
        Another session takes the place of one that was told as opened: it is opened next.
        """

    def session_lost(self, link: PeerProtocol, code: str | None) -> None:
        """
        A session that was told as opened is over, and no other has taken its place.

        Args:
            link: Which.
            code: The reason that the other side gave, if it did.
        """


class Sessions(Service):
    """
    Opens, keeps, and opens again the sessions with everybody we know.

    Two nodes have one session. Where both dial at once, or one dials again before the other has
    noticed that the old session is dead, the one with the higher rank stays (`Session.rank`); a
    session is never given up for one of lower rank without asking whether it is alive.

    Args:
        clock: Tells the time and calls back.
        identity: Who we are.
        contacts: Whom we know.
        doorman: What all connections share.
        dialler: Opens connections.
        events: Who wants to know what happens.
        roommates: Tells who is in a room with us, contact or not.
        is_roommate: Tells whether somebody is.
        neighbours: Tells with whom of those we should have a session, by who is away.
        jitter: Gives random numbers from 0 to 1, so that a crowd does not dial at one time.
        team: Our team name.
        port: The port that we listen on.
    """

    name = "sessions"
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        identity: Identity,
        contacts: Contacts,
        doorman: Doorman,
        dialler: Dialler,
        events: SessionEvents,
        roommates: Callable[[], list[DeviceKey]],
        is_roommate: Callable[[DeviceKey], bool],
        neighbours: Callable[[Callable[[DeviceKey], bool]], list[DeviceKey]],
        jitter: Callable[[], float],
        *,
        team: str,
        port: int,
    ) -> None:
        self.answer = b"TWISTEDCHAT/%d %s\n" % (PROTOCOL_VERSION, str(identity.key).encode())
        self._clock = clock
        self._key = identity.key
        self._contacts = contacts
        self._dialler = dialler
        self._events = events
        self._roommates = roommates
        self._is_roommate = is_roommate
        self._neighbours = neighbours
        self._jitter = jitter
        self._team = team
        self._port = port
        self._tls = Tls(identity)
        self._last_dial = 0
        self._live: dict[DeviceKey, PeerProtocol] = {}
        self._strangers: dict[PeerProtocol, str] = {}
        # Each waits for the older one to show that it is alive.
        self._contenders: dict[PeerProtocol, PeerProtocol] = {}
        self._byes: dict[PeerProtocol, str] = {}
        self._hints: dict[DeviceKey, tuple[Address, ...]] = {}
        # Two of our own connections to one node at a time would only have to fight it out.
        self._turns: Turns[DeviceKey] = Turns()
        self._redials: dict[DeviceKey, tuple[IDelayedCall, float]] = {}
        # And those who are being dialled for that.
        self._redialling: set[DeviceKey] = set()
        # Those who were dialled in vain, as far as nobody has told of another address since.
        self._away: set[DeviceKey] = set()
        self._looking: IDelayedCall | None = None
        # Those that we took leave of: they are not dialled until somebody wants to, here or there.
        self._left: set[DeviceKey] = set()
        self._parted: list[Deferred[None]] = []
        self._dialling: set[Deferred[PeerProtocol | None]] = set()
        # Those whom the person wants and who are being dialled for that, with all who wait for it.
        self._wanted: dict[DeviceKey, list[Deferred[PeerProtocol | None]]] = {}
        self._waits: TimeoutQueue[PeerProtocol] = TimeoutQueue(
            clock, LONGEST_STRANGER, lambda link: link.part("later", "Nobody has let you in.")
        )
        self._probes: TimeoutQueue[PeerProtocol] = TimeoutQueue(
            clock, LONGEST_PROBE, lambda link: link.drop("a newer session took its place")
        )
        doorman.greeter = self

    # For the node.

    @property
    def live(self) -> dict[DeviceKey, PeerProtocol]:
        """
        The open session with each peer, strangers at the door included.
        """
        return dict(self._live)

    def find(self, key: DeviceKey) -> PeerProtocol | None:
        """
        The open session with a peer, if there is one.
        """
        return self._live.get(key)

    @override
    def startService(self) -> None:
        super().startService()
        self._events.roommates_changed()
        for key in self.wanted():
            self._redial(key, FIRST_REDIAL)

    @override
    def stopService(self) -> Deferred[None]:
        super().stopService()
        for timer, _ in self._redials.values():
            timer.cancel()
        self._redials.clear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._waits.stop()
        self._probes.stop()
        for dialling in list(self._dialling):
            dialling.cancel()
        for contender in list(self._contenders.values()):
            self._turn_down(contender)
        self._contenders.clear()
        for link in list(self._live.values()):
            link.part("stop", "The node is stopping.")
        return self.parted()

    def parted(self) -> Deferred[None]:
        """
        Wait for the sessions that are being closed.

        Returns:
            Fires when there is none left, or it is cancelled. Never fails.
        """

        def wait_no_longer(parted: Deferred[None]) -> None:
            self._parted.remove(parted)
            parted.callback(None)

        parted: Deferred[None] = Deferred(wait_no_longer)
        self._parted.append(parted)
        self._tell_parted()
        return parted

    def _tell_parted(self) -> None:
        if not self._live:
            waiting, self._parted = self._parted, []
            for parted in waiting:
                parted.callback(None)

    async def open(self, address: Address, key: DeviceKey) -> PeerProtocol:
        """
        Open a session with whoever the person wants to talk to at an address.

        Args:
            address: Where.
            key: The key that was told there.

        Returns:
            The connection with an open session.

        Raises:
            NotSent: There is none.
        """
        async with self._turns.of(key):
            live = self._live.get(key)
            if live is not None and not live.is_closed:
                return live
            return await self._dial(Dial(address, key, is_deliberate=True))

    def reach(self, key: DeviceKey) -> Deferred[PeerProtocol | None]:
        """
        Get hold of a contact whom the person wants, wherever it may be.

        Args:
            key: Whose.

        Returns:
            Fires with the connection, or with ``None`` where it is at none of its addresses, and is
            tried again later. Never fails but by being cancelled.
        """
        self._left.discard(key)
        reached: Deferred[PeerProtocol | None] = Deferred()
        waiting = self._wanted.get(key)
        if waiting is not None:
            # Ten texts to somebody whose machine is off are no reason to dial it ten times.
            waiting.append(reached)
            return reached
        waiting = self._wanted[key] = [reached]

        def tried(result: PeerProtocol | Failure | None) -> None:
            del self._wanted[key]
            if result is None:
                self._not_reached(key, FIRST_REDIAL)
            # One that was cancelled meanwhile passes over what it is told now.
            for one in waiting:
                one.callback(result)

        self._begin_to_reach(key).addBoth(tried)
        return reached

    def _begin_to_reach(self, key: DeviceKey) -> Deferred[PeerProtocol | None]:
        reaching = Deferred.fromCoroutine(self._reach(key))
        self._dialling.add(reaching)

        def done(result: PeerProtocol | None) -> PeerProtocol | None:
            self._dialling.discard(reaching)
            return result

        return reaching.addBoth(done)

    def hint(self, key: DeviceKey, addresses: tuple[Address, ...]) -> None:
        """
        Somebody tells where a contact or a roommate may be: try it, if it is wanted and away.

        Args:
            key: Whose.
            addresses: Where it may be dialled. They prove nothing.
        """
        if not self._is_known(key):
            return
        known = self._hints.pop(key, ())
        fresh = dict.fromkeys((*addresses, *known))
        self._hints[key] = tuple(fresh)[:MOST_HINTS]
        if len(self._hints) > MOST_HINTED:
            others = (one for one in self._hints if not self._contacts.is_known(one))
            del self._hints[next(others, next(iter(self._hints)))]
        if not set(addresses) - set(known) or key in self._live:
            return
        self._away.discard(key)
        if self._contacts.is_known(key) or key in self._redialling:
            self._redial(key, 0.0)
            return
        # Only neighbours are dialled, and who is one depends on all the others of whom we are told
        # in the same breath.
        self._stop_redialling(key)
        if self._looking is None and self.running:
            self._looking = self._clock.callLater(0, self._look_for_neighbours)

    def let_in(self, key: DeviceKey) -> PeerProtocol | None:
        """
        A peer that waited at the door is known from now on.

        Args:
            key: Whose.

        Returns:
            Its session, if it is there.
        """
        self._left.discard(key)
        link = self._live.get(key)
        if link is None:
            self._redial(key, 0.0)
            return None
        self._leave_door(link)
        if link.session is not None:
            link.session.lets_them_in = True
        return link

    def end(self, key: DeviceKey, code: str, text: str = "") -> None:
        """
        End the session with a peer, and do not dial it again by ourselves.

        Args:
            key: Whose.
            code: Why, in a word.
            text: The same for people.
        """
        self._left.add(key)
        self._stop_redialling(key)
        link = self._live.get(key)
        if link is not None:
            contender = self._contenders.pop(link, None)
            if contender is not None:
                self._probes.cancel(link)
                self._turn_down(contender)
            self._byes[link] = code
            link.part(code, text)

    def has_left(self, key: DeviceKey) -> bool:
        """
        Whether we took leave of a peer, and nobody has called since.

        Args:
            key: Whose.
        """
        return key in self._left

    def rest(self, key: DeviceKey) -> None:
        """
        End the session with a contact for a while, since we cannot keep what it says.

        Args:
            key: Whose.
        """
        link = self._live.get(key)
        if link is not None:
            self._byes[link] = "rest"
            link.part("rest", "Nothing can be stored here for now.")

    # The connections call these: see `Greeter`.

    def creator(self, peer: SessionConnection) -> ConnectionCreator:
        """
        What ``startTLS`` wants to have: see `Greeter`.
        """
        assert isinstance(peer, PeerProtocol)  # noqa: S101 (there are no others)
        call = peer.call

        def accepts(key: DeviceKey) -> bool:
            if key == self._key or self._contacts.is_blocked(key):
                return False
            if isinstance(call, Dial) and call.expected != key:
                call.refused = key
                return False
            return True

        return self._tls.creator(accepts)

    def shook_hands(self, peer: SessionConnection, key: DeviceKey) -> None:
        """
        Say hello: see `Greeter`.
        """
        assert isinstance(peer, PeerProtocol)  # noqa: S101
        is_ours = peer.call is not None
        peer.session = Session(self._key, key, is_ours=is_ours)
        peer.say(
            Hello(
                v=PROTOCOL_VERSION,
                name=self._team,
                port=self._port,
                dial=self._next_dial() if is_ours else 0,
                knows=self._contacts.is_known(key),
            )
        )

    def line_received(self, peer: SessionConnection, frame: Frame | None) -> None:
        """
        Act upon a frame, or hand it on: see `Greeter`.
        """
        assert isinstance(peer, PeerProtocol)  # noqa: S101
        contender = self._contenders.pop(peer, None)
        if contender is not None:
            self._probes.cancel(peer)
            self._turn_down(contender)
        match frame:
            case None | Pong():
                pass
            case Ping():
                # Where it does not read, it has more than enough to see that we are there.
                if not peer.is_choked:
                    peer.say(Pong())
            case Bye(code=code):
                self._byes[peer] = code
                peer.part(code)
            case Hello():
                self._greeted(peer)
            case _ if self._is_told(peer):
                self._events.frame_received(peer, frame)

    def went_on(self, peer: SessionConnection) -> None:
        """
        Tell that more can be said: see `Greeter`.
        """
        assert isinstance(peer, PeerProtocol)  # noqa: S101
        if peer.session is not None and self._is_told(peer):
            self._events.went_on(peer)

    def session_lost(self, peer: SessionConnection) -> None:
        """
        Give up a session, and dial again if it was a contact's: see `Greeter`.
        """
        assert isinstance(peer, PeerProtocol)  # noqa: S101
        code = self._byes.pop(peer, None)
        self._leave_door(peer)
        self._probes.cancel(peer)
        for older, contender in list(self._contenders.items()):
            if contender is peer:
                del self._contenders[older]
                self._probes.cancel(older)
        successor = self._contenders.pop(peer, None)
        if not self._is_told(peer):
            return
        key = _key_of(peer)
        del self._live[key]
        if successor is not None:
            self._events.session_replaced(peer)
            self._open(successor)
            successor.resumeProducing()
            return
        self._events.session_lost(peer, code)
        self._tell_parted()
        if code in _REDIAL_AFTER:
            self._away.add(key)
        # Whoever took leave comes back by itself; and so does the one that we left.
        self._redial(key, _REDIAL_AFTER.get(code or "", FIRST_REDIAL))

    def _greeted(self, link: PeerProtocol) -> None:
        key = _key_of(link)
        link.greeted(is_known=self._is_known(key))
        if not self.running:
            # It came while we say goodbye to the others.
            link.drop("the node is stopping")
            return
        older = self._live.get(key)
        if older is None:
            self._open(link)
            return
        assert older.session is not None  # noqa: S101 (it is live)
        assert link.session is not None  # noqa: S101
        rival = self._contenders.pop(older, None)
        if rival is not None:
            self._turn_down(rival)
        if link.session.rank > older.session.rank:
            self._probes.cancel(older)
            del self._live[key]
            self._leave_door(older)
            older.part("duplicate", "A newer session took its place.")
            self._events.session_replaced(older)
            self._open(link)
            return
        # It may be dead without our knowing, and then the other side is right to dial again.
        self._contenders[older] = link
        link.pauseProducing()
        if rival is None:
            self._probes.restart(older)
            older.say(Ping())

    def _turn_down(self, contender: PeerProtocol) -> None:
        contender.part("duplicate", "There is a session already.")
        # What it says now is not heard any more, but that it closes is.
        contender.resumeProducing()

    def _open(self, link: PeerProtocol) -> None:
        session = link.session
        assert session is not None  # noqa: S101
        assert session.their_hello is not None  # noqa: S101
        key = session.their_key
        dial = link.call if isinstance(link.call, Dial) else None
        verdict = self._contacts.judge(key, session.their_hello.name, link.dialled)
        may_stay = (Standing.KNOWN, Standing.ROOMMATE)
        if verdict.standing in (Standing.STRANGER, Standing.NAMESAKE) and self._is_roommate(key):
            # Their key was told by members of the room: whatever they are called, they may come.
            verdict = Verdict(Standing.ROOMMATE)
        if dial is None and verdict.standing not in may_stay and not self._has_room(link):
            link.part("full", "Too many strangers are at the door.")
            return
        self._live[key] = link
        session.lets_them_in = verdict.standing in may_stay
        refusal = self._events.session_opened(link, verdict)
        if refusal is not None:
            del self._live[key]
            link.part("stranger")
            if dial is not None and not dial.opened.called:
                dial.opened.errback(NotTrusted(refusal))
            return
        self._stop_redialling(key)
        self._away.discard(key)
        self._left.discard(key)
        if not session.lets_them_in:
            self._strangers[link] = link.host
            self._waits.restart(link)
        if dial is not None and not dial.opened.called:
            dial.opened.callback(link)

    def _has_room(self, link: PeerProtocol) -> bool:
        from_host = sum(1 for host in self._strangers.values() if host == link.host)
        return len(self._strangers) < MOST_STRANGERS and from_host < MOST_STRANGERS_PER_HOST

    def _leave_door(self, link: PeerProtocol) -> None:
        self._strangers.pop(link, None)
        self._waits.cancel(link)

    def _is_told(self, link: PeerProtocol) -> bool:
        return self._live.get(_key_of(link)) is link

    # Dialling.

    def _is_known(self, key: DeviceKey) -> bool:
        return self._contacts.is_known(key) or (
            self._is_roommate(key) and not self._contacts.is_blocked(key)
        )

    def rooms_changed(self) -> None:
        """
        Others may be in a room with us now: find those with whom we should have a session.
        """
        if self.running:
            self._events.roommates_changed()
        self._away = {key for key in self._away if self._is_known(key)}
        self._hints = {key: told for key, told in self._hints.items() if self._is_known(key)}
        self._dial_neighbours()
        for key, link in list(self._live.items()):
            if link.session is None or self._is_known(key) == link.session.lets_them_in:
                continue
            if link.session.lets_them_in:
                link.part("stranger", "We are in no room together any more.")
            else:
                self.let_in(key)

    def wanted(self) -> list[DeviceKey]:
        """
        Those with whom we should have a session: our contacts, and our neighbours in rooms.
        """
        contacts = [one.key for one in self._contacts.all() if not one.is_blocked]
        return list(dict.fromkeys((*contacts, *self._find_neighbours())))

    def lost(self) -> list[DeviceKey]:
        """
        Those who are in a room with us, and nobody has ever told us where.
        """
        return [
            key
            for key in self._roommates()
            if not (key in self._live or self._hints.get(key) or self._contacts.where(key))
            and not self._contacts.is_blocked(key)
        ]

    def _find_neighbours(self) -> list[DeviceKey]:
        neighbours = self._neighbours(
            lambda key: key in self._away or self._contacts.is_blocked(key)
        )
        return [key for key in neighbours if not self._contacts.is_blocked(key)]

    def _look_for_neighbours(self) -> None:
        self._looking = None
        self._dial_neighbours()

    def _dial_neighbours(self) -> None:
        for key in self._find_neighbours():
            if not (key in self._live or key in self._redials or key in self._redialling):
                self._redial(key, 0.0)

    def _next_dial(self) -> int:
        self._last_dial = max(self._last_dial + 1, int(self._clock.seconds() * 1_000_000))
        return self._last_dial

    async def _dial(self, dial: Dial) -> PeerProtocol:
        try:
            return await self._dialler.open_session(dial)
        except NotSent:
            # Where both dial at once, it can be theirs that stays.
            live = self._live.get(dial.expected)
            if live is None:
                raise
            return live

    async def _reach(self, key: DeviceKey) -> PeerProtocol | None:
        live = self._live.get(key)
        if live is not None and not live.is_closed:
            return live
        addresses = dict.fromkeys((*self._contacts.where(key), *self._hints.get(key, ())))
        tries = [Deferred.fromCoroutine(self._try(key, address)) for address in addresses]
        if not tries:
            return None
        try:
            # Nobody waits for what does not answer where something else does.
            await DeferredList(tries, fireOnOneCallback=True, consumeErrors=True)
        finally:
            for trying in tries:
                trying.cancel()
        return self._live.get(key)

    async def _try(self, key: DeviceKey, address: Address) -> None:
        try:
            # Any program may have that address by now, and a handshake could be its end.
            answer = await self._dialler.ask_who(address)
            if answer is None:
                self._events.answered_strangely(key, address)
            if answer != key:
                raise NotSent("Somebody else is there.")
            async with self._turns.of(key):
                live = self._live.get(key)
                if live is None or live.is_closed:
                    await self._dial(Dial(address, key, is_deliberate=False))
        except NotSent as error:
            self._log.debug("Not reached at {address}: {error}", address=address, error=error)
            raise

    def _redial(self, key: DeviceKey, delay: float) -> None:
        self._stop_redialling(key)
        if not self.running or not self._is_known(key) or key in self._live or key in self._left:
            return
        # Of a roommate others can tell where it is.
        if not (self._hints.get(key) or self._contacts.where(key) or self._is_roommate(key)):
            return
        timer = self._clock.callLater(
            delay * (0.5 + self._jitter()), self._redial_now, key, max(delay, FIRST_REDIAL)
        )
        self._redials[key] = (timer, delay)

    def _redial_now(self, key: DeviceKey, delay: float) -> None:
        del self._redials[key]
        if not (self._contacts.is_known(key) or key in self._find_neighbours()):
            # Others are back, and it is no neighbour any more.
            self._away.discard(key)
            return
        self._redialling.add(key)

        def tried(result: PeerProtocol | Failure | None) -> PeerProtocol | Failure | None:
            self._redialling.discard(key)
            if result is None:
                self._not_reached(key, min(2 * delay, LONGEST_REDIAL))
            return result

        reaching = self._begin_to_reach(key)
        reaching.addBoth(tried).addErrback(lambda failure: failure.trap(CancelledError))

    def _not_reached(self, key: DeviceKey, delay: float) -> None:
        if key not in self._redials:
            self._away.add(key)
            self._redial(key, delay)
            self._events.not_reached(key)
            # Somebody else can take its place.
            self._dial_neighbours()

    def _stop_redialling(self, key: DeviceKey) -> None:
        timer, _ = self._redials.pop(key, (None, 0.0))
        if timer is not None:
            timer.cancel()


def _key_of(link: PeerProtocol) -> DeviceKey:
    assert link.session is not None  # noqa: S101 (the handshake is over)
    return link.session.their_key
