"""
Whom we know, and what to make of a key: trust on first use, written once, for good.

A *contact* is a key that the person has let in, or has dialled themselves and nothing spoke against
it; or one that they have blocked. A *caller* is somebody at the door, about whom they have to
decide. Without any I/O: the contacts are kept by `twistedchat.store.contacts`, and the time comes
in as an argument.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Protocol

from twistedchat.core.addresses import Address
from twistedchat.core.errors import ChatError
from twistedchat.core.identity import DeviceKey

__all__ = [
    "MOST_ADDRESSES",
    "MOST_CALLERS",
    "MOST_CONTACTS",
    "MOST_ROOMMATES",
    "ROOMMATE_ADDRESSES",
    "Caller",
    "Contact",
    "ContactList",
    "Contacts",
    "Decision",
    "Door",
    "Reason",
    "Standing",
    "TooManyContacts",
    "Verdict",
]

# A thousand people are more than anybody talks with, and their file is read in a moment.
MOST_CONTACTS = 1024

# Addresses kept of each: home, work, a telephone's network, each over IPv4 and IPv6.
MOST_ADDRESSES = 8

# Those who are in a room with us and no contacts, of whom we remember where they were: as many as
# there can be contacts, for three large rooms. And of each, home and wherever else it was last.
MOST_ROOMMATES = 1024
ROOMMATE_ADDRESSES = 2

# Those who wait at the door. A class comes to thirty; of a flood the oldest go.
MOST_CALLERS = 64

_VARIATIONS = frozenset("\ufe0e\ufe0f")


class TooManyContacts(ChatError):
    """
    There is no room for another contact: forget one first.
    """


@dataclass(frozen=True, slots=True)
class Contact:
    """
    Somebody whose key is known.

    Attributes:
        key: Its key: who it is.
        name: The name it last gave itself: a label, as it came.
        is_verified: Whether the person has compared the key with its owner.
        is_blocked: Whether it is kept out.
        addresses: Where we have reached it ourselves, the last one first.
        since: When it was first met, in seconds since the epoch.
        last_met: When a session with it was last begun, if ever.
        is_roommate: Whether it is no contact at all, but in a room with us. Then nothing but where
            it was, or said that it listens, is kept, and none of that proves anything.
    """

    key: DeviceKey
    name: str
    is_verified: bool = False
    is_blocked: bool = False
    addresses: tuple[Address, ...] = ()
    since: float = 0.0
    last_met: float | None = None
    is_roommate: bool = False


class Standing(Enum):
    """
    What a key is to us.
    """

    KNOWN = "a contact"
    BLOCKED = "kept out"
    STRANGER = "never met"
    ROOMMATE = "in a room with us, but no contact"
    NAMESAKE = "never met, and has a contact's name"
    NEW_KEY = "never met, and answers at a contact's address"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What to make of a key.

    Attributes:
        standing: What it is to us.
        contact: The contact that it is, or that it could be taken for.
    """

    standing: Standing
    contact: Contact | None = None


class Reason(Enum):
    """
    Why the person has to decide.
    """

    KNOCK = "a stranger asks to be let in"
    NAMESAKE = "a stranger has the name of a contact"
    NEW_KEY = "another key answers at the address of a contact"
    DOWNGRADE = "a contact's address answers without proving who it is"


class Decision(Enum):
    """
    What a person can say about a caller or a contact.
    """

    ACCEPT = "let it in"
    IGNORE = "leave it outside for now"
    BLOCK = "keep it out for good"
    NEW_KEY = "it is the contact, with a new key"
    SOMEBODY_ELSE = "it is somebody else"
    KEEP_OLD = "keep the contact's old key only"
    FORGET = "know it no longer"


_IS_IT_THE_CONTACT = (
    Decision.NEW_KEY,
    Decision.SOMEBODY_ELSE,
    Decision.KEEP_OLD,
    Decision.BLOCK,
)
_DECISIONS = {
    Reason.KNOCK: (Decision.ACCEPT, Decision.IGNORE, Decision.BLOCK),
    Reason.NAMESAKE: _IS_IT_THE_CONTACT,
    Reason.NEW_KEY: _IS_IT_THE_CONTACT,
    Reason.DOWNGRADE: (Decision.KEEP_OLD, Decision.SOMEBODY_ELSE),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Somebody at the door.

    Attributes:
        reason: Why the person has to decide.
        key: Its key; of a downgrade the contact's.
        name: The name it gives itself; of a downgrade the contact's.
        address: Where it can be dialled, as far as is known, or where it answered.
        time: When it came last, in seconds since the epoch.
        text: What it said at the door.
        contact: Whom it could be taken for.
    """

    reason: Reason
    key: DeviceKey
    name: str
    address: Address
    time: float
    text: str = ""
    contact: Contact | None = None

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """
        What can be said about it.
        """
        return _DECISIONS[self.reason]


class ContactList(Protocol):
    """
    What may be read of the contacts.
    """

    def all(self) -> list[Contact]:
        """
        Every contact, blocked ones too, the one that was met first first.
        """

    def find(self, key: DeviceKey) -> Contact | None:
        """
        The contact with a key, blocked or not.
        """

    def named(self, name: str) -> list[Contact]:
        """
        The contacts of that name that are not blocked, compared as people read names.
        """

    def at(self, address: Address) -> Contact | None:
        """
        The contact that is not blocked and was last reached at an address.
        """


class Contacts:
    """
    The contacts, and where others were who are in a room with us.

    Args:
        contacts: Those that are known already, as `to_keep` gives them.
        most: How many there may be.

    Attributes:
        changes: How often anything changed that is to be kept.
    """

    def __init__(self, contacts: Iterable[Contact] = (), most: int = MOST_CONTACTS) -> None:
        self._most = most
        self._contacts: dict[DeviceKey, Contact] = {}
        # Who holds each of the contacts' addresses.
        self._at: dict[Address, DeviceKey] = {}
        # Beside them, where others were: nothing is concluded from that.
        self._roommates: dict[DeviceKey, tuple[Address, ...]] = {}
        self.changes = 0
        for contact in contacts:
            if contact.is_roommate:
                self._roommates[contact.key] = contact.addresses[:ROOMMATE_ADDRESSES]
            else:
                self._keep(contact)
        self.changes = 0

    def all(self) -> list[Contact]:
        """
        Every contact, blocked ones too, the one that was met first first.
        """
        return sorted(self._contacts.values(), key=lambda contact: (contact.since, contact.key))

    def find(self, key: DeviceKey) -> Contact | None:
        """
        The contact with a key, blocked or not.
        """
        return self._contacts.get(key)

    def is_known(self, key: DeviceKey) -> bool:
        """
        Whether a key is a contact's that is not blocked.
        """
        contact = self._contacts.get(key)
        return contact is not None and not contact.is_blocked

    def is_blocked(self, key: DeviceKey) -> bool:
        """
        Whether a key is kept out.
        """
        contact = self._contacts.get(key)
        return contact is not None and contact.is_blocked

    def named(self, name: str) -> list[Contact]:
        """
        The contacts of that name that are not blocked, compared as people read names.
        """
        wanted = _as_read(name)
        return [
            contact
            for contact in self.all()
            if not contact.is_blocked and _as_read(contact.name) == wanted
        ]

    def at(self, address: Address) -> Contact | None:
        """
        The contact that is not blocked and was last reached at an address.
        """
        key = self._at.get(address)
        return self._contacts[key] if key is not None and self.is_known(key) else None

    def where(self, key: DeviceKey) -> tuple[Address, ...]:
        """
        Where a contact or a roommate may be found, as far as we have seen ourselves.
        """
        contact = self._contacts.get(key)
        return contact.addresses if contact else self._roommates.get(key, ())

    def to_keep(self) -> list[Contact]:
        """
        All that is to be found by the next start: the contacts, and the roommates.
        """
        roommates = (
            Contact(key, "", addresses=addresses, is_roommate=True)
            for key, addresses in self._roommates.items()
        )
        return [*self.all(), *roommates]

    def judge(self, key: DeviceKey, name: str, dialled: Address | None) -> Verdict:
        """
        Decide what to make of somebody who has just proven a key.

        Args:
            key: The key.
            name: The name it gives itself.
            dialled: The address that we dialled, where we did.

        Returns:
            The verdict.
        """
        contact = self._contacts.get(key)
        if contact is not None:
            return Verdict(Standing.BLOCKED if contact.is_blocked else Standing.KNOWN, contact)
        if dialled is not None and (there := self.at(dialled)):
            return Verdict(Standing.NEW_KEY, there)
        if namesakes := self.named(name):
            return Verdict(Standing.NAMESAKE, namesakes[0])
        return Verdict(Standing.STRANGER)

    def accept(
        self, key: DeviceKey, name: str, now: float, *, is_verified: bool = False
    ) -> Contact:
        """
        Let somebody in.

        Args:
            key: Whom.
            name: What it calls itself.
            now: The time, in seconds since the epoch.
            is_verified: Whether the key came from its owner by another way.

        Returns:
            The contact.

        Raises:
            TooManyContacts: There is no room.
        """
        contact = self._contacts.get(key)
        if contact is None:
            return self._add(Contact(key, name, is_verified, since=now))
        return self._keep(
            replace(contact, is_blocked=False, is_verified=contact.is_verified or is_verified)
        )

    def block(self, key: DeviceKey, name: str, now: float) -> Contact:
        """
        Keep somebody out.

        Args:
            key: Whom.
            name: What it calls itself.
            now: The time, in seconds since the epoch.

        Returns:
            The contact.

        Raises:
            TooManyContacts: There is no room.
        """
        contact = self._contacts.get(key)
        if contact is None:
            return self._add(Contact(key, name, is_blocked=True, since=now))
        return self._keep(replace(contact, is_blocked=True))

    def forget(self, key: DeviceKey) -> Contact | None:
        """
        Know somebody no longer.

        Args:
            key: Whom.

        Returns:
            The contact as it was, if there was one.
        """
        contact = self._contacts.pop(key, None)
        if contact is not None:
            self.changes += 1
            for there in contact.addresses:
                del self._at[there]
        return contact

    def supersede(self, old: DeviceKey, new: DeviceKey, name: str, now: float) -> Contact:
        """
        A contact has a new key: the old one is known no longer.

        Args:
            old: The key that was known.
            new: The key that it has now.
            name: What it calls itself.
            now: The time, in seconds since the epoch.

        Returns:
            The contact. It is not verified by that, however well the old key was.

        Raises:
            TooManyContacts: There is no room, since the old key was none of a contact.
        """
        known = self._contacts.get(new)
        if known is None and old not in self._contacts:
            return self.accept(new, name, now)
        before = self.forget(old)
        contact = known or Contact(new, name, since=now)
        addresses = contact.addresses + (before.addresses if before else ())
        return self._keep(replace(contact, name=name, is_blocked=False, addresses=addresses))

    def verify(self, key: DeviceKey) -> Contact | None:
        """
        The person has compared a key with its owner.

        Args:
            key: Whose.

        Returns:
            The contact, if there is one.
        """
        contact = self._contacts.get(key)
        return contact and self._keep(replace(contact, is_verified=True))

    def met(self, key: DeviceKey, name: str, reached: Address | None, now: float) -> Contact | None:
        """
        A session with a contact has begun.

        Args:
            key: With whom.
            name: What it calls itself now.
            reached: The address that we dialled, where we did.
            now: The time, in seconds since the epoch.

        Returns:
            The contact, if there is one.
        """
        contact = self._contacts.get(key)
        if contact is None:
            return None
        addresses = contact.addresses
        if reached is not None:
            self.release(reached)
            addresses = (reached, *addresses)
        return self._keep(replace(contact, name=name, addresses=addresses, last_met=now))

    def release(self, address: Address) -> None:
        """
        An address is somebody else's now.

        Args:
            address: The address.
        """
        holder = self._at.get(address)
        if holder is not None:
            contact = self._contacts[holder]
            left = tuple(there for there in contact.addresses if there != address)
            self._keep(replace(contact, addresses=left))

    def met_roommate(self, key: DeviceKey, address: Address) -> bool:
        """
        A session with somebody who is in a room with us and no contact has begun.

        Args:
            key: With whom.
            address: Where they were reached, or say that they listen.

        Returns:
            Whether that is news. Of too many the one that was met longest ago is forgotten.
        """
        before = self._roommates.pop(key, ())
        is_news = address not in before
        after = (address, *before) if is_news else before
        self._roommates[key] = after[:ROOMMATE_ADDRESSES]
        if len(self._roommates) > MOST_ROOMMATES:
            del self._roommates[next(iter(self._roommates))]
        self.changes += is_news
        return is_news

    def forget_roommates(self, is_one: Callable[[DeviceKey], bool]) -> bool:
        """
        Forget where those were who are in no room with us any more.

        Args:
            is_one: Tells who still is.

        Returns:
            Whether anybody was forgotten.
        """
        gone = [key for key in self._roommates if not is_one(key)]
        for key in gone:
            del self._roommates[key]
        self.changes += bool(gone)
        return bool(gone)

    def _add(self, contact: Contact) -> Contact:
        if len(self._contacts) >= self._most:
            raise TooManyContacts(
                f"There are {len(self._contacts)} contacts already: forget one with t first."
            )
        return self._keep(contact)

    def _keep(self, contact: Contact) -> Contact:
        # An address has one holder, and a contact not too many addresses.
        if before := self._contacts.get(contact.key):
            for there in before.addresses:
                del self._at[there]
        free = (there for there in dict.fromkeys(contact.addresses) if there not in self._at)
        addresses = tuple(islice(free, MOST_ADDRESSES))
        self._at.update(dict.fromkeys(addresses, contact.key))
        contact = replace(contact, addresses=addresses)
        self._contacts[contact.key] = contact
        self._roommates.pop(contact.key, None)
        self.changes += 1
        return contact


# A stranger's name is compared with that of every contact, and theirs are always the same ones.
@lru_cache(maxsize=2 * MOST_CONTACTS)
def _as_read(name: str) -> str:
    # Without case, width, white space, and the joiners and variations that nobody sees: what else
    # looks alike is shown with the key beside it.
    seen = "".join(
        character
        for character in name
        if character not in _VARIATIONS and unicodedata.category(character) != "Cf"
    )
    return "".join(unicodedata.normalize("NFKC", seen).casefold().split())


# What any stranger can be at the door for; the rest takes an address of a contact's.
_BY_ANYBODY = frozenset({Reason.KNOCK, Reason.NAMESAKE})


class Door:
    """
    Those who wait for the person to decide.

    Of each key there is at most one that speaks for itself, and one downgrade, which speaks for the
    contact's address.

    Args:
        most: How many are kept; of more the oldest go, and first those that anybody can send.
    """

    def __init__(self, most: int = MOST_CALLERS) -> None:
        self._most = most
        self._callers: dict[tuple[DeviceKey, bool], Caller] = {}

    def all(self) -> list[Caller]:
        """
        Those who wait, the one that came first first.
        """
        return list(self._callers.values())

    def find(self, key: DeviceKey) -> Caller | None:
        """
        Who waits with a key of its own.
        """
        return self._callers.get((key, False))

    def add(self, caller: Caller) -> bool:
        """
        Somebody came, or came again.

        Args:
            caller: Who. What it said at the door when it was there before stays said, until it says
                something else; and a new key stays one, whatever it does.

        Returns:
            Whether that is news: it did not wait there already, saying the same.
        """
        place = _place(caller)
        before = self._callers.get(place)
        if before is None:
            self._make_room()
            self._callers[place] = caller
            return True
        caller = replace(caller, text=caller.text or before.text)
        if before.reason is Reason.NEW_KEY and caller.reason in _BY_ANYBODY:
            # Who answered at a contact's address does not become harmless by knocking too.
            caller = replace(
                caller, reason=before.reason, address=before.address, contact=before.contact
            )
        self._callers[place] = caller
        return caller != replace(before, time=caller.time, contact=caller.contact)

    def remove(self, caller: Caller) -> None:
        """
        Somebody waits no longer.

        Args:
            caller: Who.
        """
        self._callers.pop(_place(caller), None)

    def _make_room(self) -> None:
        # Strangers come as often as they like, with a new key each time. It pushes off no warning.
        if len(self._callers) >= self._most:
            strangers = (
                place for place, caller in self._callers.items() if caller.reason in _BY_ANYBODY
            )
            del self._callers[next(strangers, next(iter(self._callers)))]


def _place(caller: Caller) -> tuple[DeviceKey, bool]:
    return caller.key, caller.reason is Reason.DOWNGRADE
