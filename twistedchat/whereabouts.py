"""
Whereabouts: where those whom we know may be, as the network and other people tell.

All of it are hints where to dial, and none proves anything: whoever is dialled has to prove the key
that was hinted at.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from twisted.internet.interfaces import IReactorTime

from twistedchat.core.addresses import Address, is_host_name, parse_host_port
from twistedchat.core.buckets import TokenBuckets
from twistedchat.core.errors import AddressError
from twistedchat.core.frames import MOST_SOUGHT, MOST_TOLD, Met, Seek
from twistedchat.core.hints import SALT_LENGTH, hint_of, who_is_meant
from twistedchat.core.identity import DeviceKey
from twistedchat.core.nearby import Nearby, Record, recognise
from twistedchat.core.trust import ContactList
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.peers.sessions import Sessions

__all__ = ["SEEKS_AT_ONCE", "SEEK_INTERVAL", "Whereabouts"]

# Seconds between two times that we ask the same peer for those we cannot find, and how often a peer
# may ask us: answering costs a hash for every contact, and what is answered is dialled. It may be
# so a few times at once, since a session that breaks is opened again.
SEEK_INTERVAL = 60.0
SEEKS_AT_ONCE = 4


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
        contacts: ContactList,
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
        # What we asked each peer last: the salt, for whom, and when.
        self._sought: dict[PeerProtocol, tuple[bytes, list[DeviceKey], float]] = {}
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

    # From those who know the same people.

    def seek(self, link: PeerProtocol) -> None:
        """
        Ask a peer for those whom we know and cannot find.

        Args:
            link: A session in which both have let each other in; any other is not asked.
        """
        session = link.session
        if session is None or not (session.lets_us_in and session.lets_them_in):
            return
        now = self._clock.seconds()
        _, _, last = self._sought.get(link, (b"", [], now - SEEK_INTERVAL))
        live = self._sessions.live
        away = [key for key in self._known() if key not in live][:MOST_SOUGHT]
        if not away or link.is_choked or now - last < SEEK_INTERVAL:
            return
        if not self._asked.take(session.their_key, now):
            return
        salt = self._randomness(SALT_LENGTH)
        self._sought[link] = (salt, away, now)
        link.say(Seek(salt=salt.hex(), hints=tuple(hint_of(key, salt) for key in away)))

    def seek_everywhere(self) -> None:
        """
        Ask everybody who is there.
        """
        for link in self._sessions.live.values():
            self.seek(link)

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
        salt, away, last = self._sought.get(link, (b"", [], 0.0))
        if bytes.fromhex(frame.salt) != salt:
            return
        self._sought[link] = (b"", [], last)
        for hint, key in who_is_meant(frame.peers, salt, away).items():
            addresses = tuple(filter(None, map(_told_address, frame.peers[hint])))
            if addresses:
                self._sessions.hint(key, addresses)

    def _known(self) -> list[DeviceKey]:
        contacts = {contact.key: contact for contact in self._contacts.all()}
        known = dict.fromkeys((*contacts, *self._roommates()))
        return [key for key in known if key not in contacts or not contacts[key].is_blocked]

    def _where(self, key: DeviceKey) -> tuple[str, ...]:
        contact = self._contacts.find(key)
        addresses = contact.addresses if contact else ()
        link = self._sessions.find(key)
        if link is not None and link.their_address is not None:
            addresses = (link.their_address, *addresses)
        told = [str(address) for address in addresses if _is_for_others(address.host)]
        return tuple(dict.fromkeys(told))[:MOST_TOLD]


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
