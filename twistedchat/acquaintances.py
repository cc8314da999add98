"""
Acquaintances: who is let in, who waits at the door, and what the person decides about them.

The rules are `twistedchat.core.trust`'s; here they are applied to the sessions, and what changes is
written down.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedchat.core.addresses import Address
from twistedchat.core.errors import ChatError, NotTrusted, StoreError
from twistedchat.core.events import CallerCame
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import (
    Caller,
    Contact,
    Contacts,
    Decision,
    Door,
    Reason,
    Standing,
    Verdict,
)
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.peers.registry import PeerRegistry
from twistedchat.peers.sessions import Sessions

__all__ = ["KEEP_AFTER", "MOST_CLAIMED", "Acquaintances"]

# Addresses at which callers say that they listen: as many as there can be contacts.
MOST_CLAIMED = 1024

# Seconds until it is written down where roommates are: a room of sixty that meets is written once,
# and whoever is killed before that loses only where somebody was.
KEEP_AFTER = 60.0


class Acquaintances:
    """
    Whom we know, as the sessions and the person tell.

    Args:
        clock: Tells the time.
        contacts: Whom we know.
        keep: Writes the contacts down; its Deferred fails with `StoreError`.
        sessions: Who is there.
        registry: The lists, which are kept true.
        is_roommate: Tells who is in a room with us, contact or not.
        let_in: Told of an open session whose peer has become known.
        released: Told of an address that is no longer a contact's.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        contacts: Contacts,
        keep: Callable[[list[Contact]], Deferred[None]],
        sessions: Sessions,
        registry: PeerRegistry,
        is_roommate: Callable[[DeviceKey], bool],
        let_in: Callable[[PeerProtocol], None],
        released: Callable[[Address], None],
    ) -> None:
        self._clock = clock
        self._contacts = contacts
        self._keep = keep
        self._kept_changes = contacts.changes
        self._keeping = DeferredLock()
        self._to_keep: IDelayedCall | None = None
        self._sessions = sessions
        self._registry = registry
        self._is_roommate = is_roommate
        self._let_in = let_in
        self._released = released
        self._door = Door()
        # Addresses about which the person has decided that the contact's key alone counts there.
        self._kept_old: set[tuple[DeviceKey, Address]] = set()
        # Strangers about whom they have decided that they are not who they seem.
        self._kept_out: set[DeviceKey] = set()
        # Where contacts say that they listen, who have called us.
        self._claimed: dict[Address, DeviceKey] = {}

    def callers(self) -> list[Caller]:
        """
        Those about whom the person has to decide, the one that came first first.
        """
        return self._door.all()

    def who_belongs_at(self, address: Address) -> Contact | None:
        """
        The contact that must not be spoken to in plain at an address.

        Args:
            address: Where.

        Returns:
            Whoever was reached there, or says that they listen there; ``None`` for nobody.
        """
        claims = self._claimed.get(address)
        contact = self._contacts.find(claims) if claims is not None else None
        is_known = contact is not None and not contact.is_blocked
        return self._contacts.at(address) or (contact if is_known else None)

    # What the sessions tell.

    def welcome(self, link: PeerProtocol, verdict: Verdict) -> str | None:
        """
        Somebody has said hello: decide whether they may stay.

        Args:
            link: The connection.
            verdict: What to make of the key.

        Returns:
            Why they may not, in words for a person; ``None`` where they may. A contact's session
            then lets them in; a stranger may knock.
        """
        session = link.session
        assert session is not None  # noqa: S101 (it is a session)
        assert session.their_hello is not None  # noqa: S101 (which has begun)
        key, name = session.their_key, session.their_hello.name
        match verdict.standing:
            case Standing.KNOWN:
                self._meet(link)
            case Standing.ROOMMATE:
                self._meet_roommate(link)
            case Standing.STRANGER if link.is_deliberate:
                # Trust on first use: the person chose that address, and nothing speaks against it.
                try:
                    self._contacts.accept(key, name, self._clock.seconds())
                except ChatError as error:
                    return str(error)
                session.lets_them_in = True
                self._meet(link)
            case Standing.STRANGER | Standing.NAMESAKE if link.dialled is None:
                pass
            case Standing.NAMESAKE | Standing.NEW_KEY if link.is_deliberate:
                return self._refuse(link, verdict, link.dialled)
            case _:
                return f"Not trusted: {key.short} is nobody we know."
        return None

    def choose(self, link: PeerProtocol, address: Address) -> None:
        """
        The person wants to talk to whoever is at an address, and this session is with them.

        Args:
            link: The connection, which may be one that they opened.
            address: The address that the person chose.

        Raises:
            NotTrusted: They could be taken for a contact, or there is no room.
        """
        session = link.session
        assert session is not None  # noqa: S101
        assert session.their_hello is not None  # noqa: S101
        key, name = session.their_key, session.their_hello.name
        verdict = self._contacts.judge(key, name, address)
        match verdict.standing:
            case Standing.STRANGER:
                # It waited at the door while the person went to theirs.
                try:
                    self._contacts.accept(key, name, self._clock.seconds())
                except ChatError as error:
                    raise NotTrusted(str(error)) from error
                self._became_known(key)
            case Standing.NAMESAKE | Standing.NEW_KEY:
                raise NotTrusted(self._refuse(link, verdict, address))
            case _:
                pass

    def rooms_changed(self) -> None:
        """
        Others may be in a room with us now, or no longer: remember where they are, and forget it.
        """
        if self._contacts.forget_roommates(self._is_roommate):
            self._save_later()
        for key, link in self._sessions.live.items():
            if self._contacts.find(key) is None and self._is_roommate(key):
                self._meet_roommate(link)

    def _meet_roommate(self, link: PeerProtocol) -> None:
        session, address = link.session, link.their_address
        assert session is not None  # noqa: S101
        assert address is not None  # noqa: S101
        if self._contacts.met_roommate(session.their_key, address):
            self._save_later()

    def _meet(self, link: PeerProtocol) -> None:
        session = link.session
        assert session is not None  # noqa: S101
        assert session.their_hello is not None  # noqa: S101
        key = session.their_key
        self._contacts.met(key, session.their_hello.name, link.dialled, self._clock.seconds())
        self._leave_door(key)
        for caller in self._door.all():
            # It proves itself again where it did not.
            if caller.key == key and caller.address == link.their_address:
                self._door.remove(caller)
        if link.dialled is None and link.their_address is not None:
            self._sessions.hint(key, (link.their_address,))
            self._claimed.pop(link.their_address, None)
            self._claimed[link.their_address] = key
            if len(self._claimed) > MOST_CLAIMED:
                del self._claimed[next(iter(self._claimed))]
        self.refresh(key)
        self._save_quietly()

    def _refuse(self, link: PeerProtocol, verdict: Verdict, address: Address | None) -> str:
        contact = verdict.contact
        assert contact is not None  # noqa: S101 (it is taken for somebody)
        is_namesake = verdict.standing is Standing.NAMESAKE
        reason = Reason.NAMESAKE if is_namesake else Reason.NEW_KEY
        caller = self._caller(link, reason, address, contact)
        self._call(caller)
        return (
            f"Not trusted: {caller.address} has the key {caller.key.short} and calls itself "
            f"{safe_text(caller.name)}, but the {safe_text(contact.name)} that you know has the "
            f"key {contact.key.short}. Type t and decide who it is."
        )

    def knocked(self, link: PeerProtocol, text: str) -> None:
        """
        A stranger asks to be let in.

        Args:
            link: From where.
            text: What it says.
        """
        session = link.session
        if session is None or session.their_hello is None:
            return
        if self._contacts.find(session.their_key) is not None:
            return
        if session.their_key in self._kept_out:
            return
        verdict = self._contacts.judge(session.their_key, session.their_hello.name, None)
        is_namesake = verdict.standing is Standing.NAMESAKE
        reason = Reason.NAMESAKE if is_namesake else Reason.KNOCK
        self._call(self._caller(link, reason, link.their_address, verdict.contact, text))

    def answered_strangely(self, key: DeviceKey, address: Address) -> None:
        """
        Where a contact was reached before, something else than a node answers.

        Args:
            key: The contact's.
            address: Where.
        """
        contact = self.who_belongs_at(address)
        if contact is None or contact.key != key or (key, address) in self._kept_old:
            return
        now = self._clock.seconds()
        self._call(Caller(Reason.DOWNGRADE, key, contact.name, address, now, contact=contact))

    def _caller(
        self,
        link: PeerProtocol,
        reason: Reason,
        address: Address | None,
        contact: Contact | None,
        text: str = "",
    ) -> Caller:
        session = link.session
        assert session is not None  # noqa: S101
        assert session.their_hello is not None  # noqa: S101
        assert address is not None  # noqa: S101
        key, name = session.their_key, session.their_hello.name
        return Caller(reason, key, name, address, self._clock.seconds(), text, contact)

    def _call(self, caller: Caller) -> None:
        if self._door.add(caller):
            # As it stands there: what it said earlier, or a graver reason, stays.
            at_the_door = self._door.find(caller.key)
            is_downgrade = caller.reason is Reason.DOWNGRADE
            self._registry.publish(CallerCame(caller if is_downgrade else at_the_door or caller))

    def refresh(self, key: DeviceKey, *, received: int = 0, sent: int = 0) -> None:
        """
        Write into the lists what is so now with a contact.

        Args:
            key: Whose.
            received: How many texts came just now.
            sent: How many arrived there.
        """
        contact = self._contacts.find(key)
        link = self._sessions.find(key)
        peer = self._registry.roster.find(key)
        address = link.their_address if link else peer.address if peer else None
        if contact is None or contact.is_blocked or address is None:
            return
        was_heard = link is not None and not sent
        self._registry.met(
            key,
            contact.name,
            address,
            is_connected=link is not None,
            is_verified=contact.is_verified,
            now=self._clock.seconds() if was_heard else None,
            received=received,
            sent=sent,
        )

    # What the person says.

    async def use_invite(self, invite: Invite) -> None:
        """
        Know whoever made an invite.

        Args:
            invite: What they gave to us.

        Raises:
            ChatError: It is a blocked one, there is no room, or it cannot be kept.
        """
        if self._contacts.is_blocked(invite.key):
            raise ChatError(
                f"The key of that invite, {invite.key.short}, is blocked: forget it with t first."
            )
        self._contacts.accept(invite.key, invite.name, self._clock.seconds(), is_verified=True)
        await self.save()
        self._became_known(invite.key)
        self._sessions.hint(invite.key, invite.addresses)

    def verify(self, key: DeviceKey) -> Deferred[None]:
        """
        The person has compared a key with its owner.

        Args:
            key: Whose.

        Returns:
            Fires when it has been kept, or fails with `StoreError`.
        """
        self._contacts.verify(key)
        self.refresh(key)
        return self.save()

    def decide(self, key: DeviceKey, decision: Decision, caller: Caller | None) -> Deferred[None]:
        """
        Do what the person says about a caller or a contact.

        Args:
            key: Whose key.
            decision: What they say.
            caller: The caller, where it was one.

        Returns:
            Fires when it has been kept, or fails with a `ChatError`.
        """
        now = self._clock.seconds()
        contact = self._contacts.find(key)
        name = caller.name if caller else contact.name if contact else ""
        reason = caller.reason if caller else None
        match decision:
            case Decision.ACCEPT:
                self._contacts.accept(key, name, now)
                self._became_known(key)
            case Decision.SOMEBODY_ELSE:
                if caller is not None and reason is not Reason.NAMESAKE:
                    self._contacts.release(caller.address)
                    self._claimed.pop(caller.address, None)
                    self._released(caller.address)
                if reason is not Reason.DOWNGRADE:
                    self._contacts.accept(key, name, now)
                    self._became_known(key)
            case Decision.NEW_KEY:
                if caller is not None and caller.contact is not None:
                    self._part(caller.contact.key)
                    self._contacts.supersede(caller.contact.key, key, name, now)
                    self._became_known(key)
            case Decision.BLOCK:
                self._contacts.block(key, name, now)
                self._clear(key)
            case Decision.FORGET:
                self._contacts.forget(key)
                self._clear(key)
            case Decision.KEEP_OLD if caller is not None and reason is Reason.DOWNGRADE:
                self._kept_old.add((key, caller.address))
            case Decision.KEEP_OLD:
                self._kept_out.add(key)
                self._part(key)
            case Decision.IGNORE:
                # It stays at the door, where it can still be let in.
                return self.save()
        if caller is not None:
            self._door.remove(caller)
        return self.save()

    def _part(self, key: DeviceKey) -> None:
        self._sessions.end(key, "stranger")
        self._registry.remove(key)

    def _clear(self, key: DeviceKey) -> None:
        self._part(key)
        for caller in self._door.all():
            if caller.key == key:
                self._door.remove(caller)

    def _became_known(self, key: DeviceKey) -> None:
        self._leave_door(key)
        link = self._sessions.let_in(key)
        if link is not None:
            self._meet(link)
            self._let_in(link)

    def _leave_door(self, key: DeviceKey) -> None:
        caller = self._door.find(key)
        if caller is not None:
            self._door.remove(caller)

    # Keeping.

    def save(self) -> Deferred[None]:
        """
        Write the contacts down, if anything has changed.

        Returns:
            Fires when that is done, or fails with `StoreError`.
        """
        if self._to_keep is not None:
            self._to_keep.cancel()
            self._to_keep = None
        return Deferred.fromCoroutine(self._save_in_turn())

    async def _save_in_turn(self) -> None:
        # Whoever comes while one is being written finds what they wanted to keep in the next.
        async with self._keeping:
            changes = self._contacts.changes
            if changes != self._kept_changes:
                await self._keep(self._contacts.to_keep())
                self._kept_changes = changes

    def _save_later(self) -> None:
        def save() -> None:
            self._to_keep = None
            self._save_quietly()

        if self._to_keep is None:
            self._to_keep = self._clock.callLater(KEEP_AFTER, save)

    def _save_quietly(self) -> None:
        def failed(failure: Failure) -> None:
            failure.trap(StoreError)
            self._log.warn("The contacts were not kept: {error}", error=failure.value)

        self.save().addErrback(failed)
