"""
Whereabouts: where those whom we know may be, as the network and other people tell.

All of it are hints where to dial, and none proves anything: whoever is dialled has to prove the key
that was hinted at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from twisted.internet.interfaces import IReactorTime

from twistedchat.core.addresses import Address, is_host_name, parse_host_port
from twistedchat.core.buckets import TokenBuckets
from twistedchat.core.errors import AddressError
from twistedchat.core.frames import MOST_SOUGHT, MOST_TOLD, Met, Seek
from twistedchat.core.hints import SALT_LENGTH, hint_of, who_is_meant
from twistedchat.core.identity import DeviceKey
from twistedchat.core.nearby import Nearby, Record, recognise
from twistedchat.core.trust import Contacts
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.peers.sessions import Sessions

__all__ = ["SEEKS_AT_ONCE", "SEEK_INTERVAL", "Whereabouts"]

# Seconds between two times that we ask the same peer for those we cannot find, and how often a peer
# may ask us: answering costs a hash for every contact, and what is answered is dialled. It may be
# so a few times at once, since a session that breaks is opened again.
SEEK_INTERVAL = 60.0
SEEKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Question:
    """
    What we asked somebody last.

    Attributes:
        salt: Under which salt; none once it has been answered.
        keys: For whom.
        time: When.
    """

    salt: bytes
    keys: list[DeviceKey]
    time: float


class Whereabouts:
    """
    Gathers hints, and gives them to those who know the same people.

    Args:
        clock: Tells the time.
        randomness: Gives so many random octets.
        contacts: Whom we know.
        roommates: Tells who is in a room with us.
        sessions: Who is there; it is given the hints.
    """

    def __init__(
        self,
        clock: IReactorTime,
        randomness: Callable[[int], bytes],
        contacts: Contacts,
        roommates: Callable[[], list[DeviceKey]],
        sessions: Sessions,
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._contacts = contacts
        self._roommates = roommates
        self._sessions = sessions
        self._records: list[Record] = []
        # Recognising costs a hash for every record and contact: it is done when either has changed.
        self._nearby: list[Nearby] = []
        self._known_then: list[DeviceKey] | None = None
        self._sought: dict[PeerProtocol, _Question] = {}
        self._asked = TokenBuckets(1 / SEEK_INTERVAL, SEEKS_AT_ONCE)
        self._askers = TokenBuckets(1 / SEEK_INTERVAL, SEEKS_AT_ONCE)

    # On the network.

    def nearby(self) -> list[Nearby]:
        """
        Nodes that were found on the network, the one that was found first first.
        """
        known = self._known()
        if known != self._known_then:
            self._nearby = [recognise(record, known) for record in self._records]
            self._known_then = known
        return list(self._nearby)

    def records_changed(self, records: list[Record]) -> None:
        """
        Other nodes have announced themselves, or went.

        Args:
            records: All that are there now.
        """
        self._records = records
        self._known_then = None
        for nearby in self.nearby():
            if nearby.key is not None:
                self._sessions.hint(nearby.key, nearby.addresses)

    def not_reached(self, key: DeviceKey) -> None:
        """
        Somebody cannot be found: see whether they are near, and ask everybody who is there.

        Args:
            key: Whom.
        """
        for record in self._records:
            # They may have been announced before we knew them.
            if hint_of(key, record.salt) == record.hint:
                self._sessions.hint(key, record.addresses)
        for link in self._sessions.live.values():
            self.seek(link)

    # From those who know the same people.

    def seek(self, link: PeerProtocol) -> None:
        """
        Ask a peer for those whom we want and cannot find, and for others of whom we know nothing.

        Args:
            link: A session in which both have let each other in; any other is not asked.
        """
        session = link.session
        if session is None or not (session.lets_us_in and session.lets_them_in):
            return
        now = self._clock.seconds()
        before = self._sought.get(link)
        if link.is_choked or (before is not None and now - before.time < SEEK_INTERVAL):
            return
        live = self._sessions.live
        wanted = self._sessions.wanted()
        salt = self._randomness(SALT_LENGTH)
        # Of many who are away not always the same ones are asked for, in short sessions either.
        first = int.from_bytes(salt)
        if before is not None and before.keys[-1] in wanted:
            first = wanted.index(before.keys[-1]) + 1
        away = [key for key in _begun_at(first, wanted) if key not in live]
        # Nor do we want to know nobody when all our neighbours have gone.
        away += [key for key in _begun_at(first, self._sessions.lost()) if key not in away]
        away = away[:MOST_SOUGHT]
        if not away or not self._asked.take(session.their_key, now):
            return
        self._sought[link] = _Question(salt, away, now)
        link.say(Seek(salt=salt.hex(), hints=tuple(hint_of(key, salt) for key in away)))

    def forget(self, link: PeerProtocol) -> None:
        """
        A session is over.

        Args:
            link: Which.
        """
        self._sought.pop(link, None)

    def seek_received(self, link: PeerProtocol, frame: Seek) -> None:
        """
        Tell a peer where we have met those whom it looks for and we know too.

        Args:
            link: From where.
            frame: What it asked.
        """
        session = link.session
        if session is None or link.is_choked or not session.lets_us_in:
            return
        if not self._askers.take(session.their_key, self._clock.seconds()):
            return
        meant = who_is_meant(frame.hints, bytes.fromhex(frame.salt), self._known())
        peers = {
            hint: there
            for hint, key in meant.items()
            if key != session.their_key and (there := self._where(key))
        }
        if peers:
            link.say(Met(salt=frame.salt, peers=peers))

    def met_received(self, link: PeerProtocol, frame: Met) -> None:
        """
        A peer told where it met somebody.

        Args:
            link: From where.
            frame: What it said; what we did not ask for does not count, nor a second answer, or it
                could have us dial whatever it likes, as often as it likes.
        """
        question = self._sought.get(link)
        if question is None or bytes.fromhex(frame.salt) != question.salt:
            return
        self._sought[link] = replace(question, salt=b"")
        for hint, key in who_is_meant(frame.peers, question.salt, question.keys).items():
            addresses = tuple(filter(None, map(_told_address, frame.peers[hint])))
            if addresses:
                self._sessions.hint(key, addresses)

    def _known(self) -> list[DeviceKey]:
        contacts = {contact.key: contact for contact in self._contacts.all()}
        known = dict.fromkeys((*contacts, *self._roommates()))
        return [key for key in known if key not in contacts or not contacts[key].is_blocked]

    def _where(self, key: DeviceKey) -> tuple[str, ...]:
        addresses = self._contacts.where(key)
        link = self._sessions.find(key)
        if link is not None and link.their_address is not None:
            addresses = (link.their_address, *addresses)
        told = [str(address) for address in addresses if _is_for_others(address.host)]
        return tuple(dict.fromkeys(told))[:MOST_TOLD]


def _begun_at(first: int, keys: list[DeviceKey]) -> list[DeviceKey]:
    first %= max(1, len(keys))
    return keys[first:] + keys[:first]


def _is_for_others(host: str) -> bool:
    # A name, a loopback or a link-local address means something else to somebody else.
    if is_host_name(host):
        return False
    address = ip_address(host)
    return not (address.is_loopback or address.is_link_local)


def _told_address(text: str) -> Address | None:
    try:
        host, port = parse_host_port(text)
    except AddressError:
        return None
    return Address(host, port) if port is not None and _is_for_others(host) else None
