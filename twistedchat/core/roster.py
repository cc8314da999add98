"""
Who is there: the peers that we have exchanged something with.

*Active* is every peer that a message came from or went to, or that a session was held with;
*connected* those among them where a connect text went either way, or a session is open. Without any
I/O: the time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.identity import DeviceKey

__all__ = [
    "MOST_PEERS",
    "MOST_PEERS_PER_HOST",
    "Peer",
    "PeerList",
    "Recipient",
    "RoomId",
    "Roster",
]


class RoomId(NamedTuple):
    """
    A room, as something to send to.

    Attributes:
        raw: The 32 octets that name it.
    """

    raw: bytes


# Whom something can be sent to: a classic peer, or one that was never met, by its address; a secure
# peer by its key, wherever it is; and a room.
Recipient: TypeAlias = Address | DeviceKey | RoomId

# A thousand is far more than a room or a lab, and takes less than a megabyte.
MOST_PEERS = 1024

# The port in a message is only claimed, so one host could fill the whole list with inventions. It
# gets a quarter: more than any lab starts on one machine, and never enough to push others off.
MOST_PEERS_PER_HOST = 256


@dataclass(frozen=True, slots=True)
class Peer:
    """
    What is known of a peer.

    Attributes:
        address: Where it listens; of a secure peer where it was last met.
        name: The name it last claimed; ``None`` where it was never heard, or has none.
        dialect: The form in which it was last heard; ``None`` where it was never heard, or is
            secure.
        first_heard: When it was first heard, in seconds since the epoch, if ever.
        last_heard: When it was last heard, likewise.
        is_connected: Whether a connect text went either way, or a session is open.
        received: Messages that came from it.
        sent: Messages that went to it.
        key: The key of a secure peer; ``None`` for a classic one.
        is_verified: Whether the person has compared the key with its owner.
    """

    address: Address
    name: str | None = None
    dialect: Dialect | None = None
    first_heard: float | None = None
    last_heard: float | None = None
    is_connected: bool = False
    received: int = 0
    sent: int = 0
    key: DeviceKey | None = None
    is_verified: bool = False

    @property
    def id(self) -> Recipient:
        """
        What it is told apart from all others by, and how something is sent to it.
        """
        return self.address if self.key is None else self.key


class PeerList(Protocol):
    """
    What may be read of a roster.
    """

    def active(self) -> list[Peer]:
        """
        Every peer, the one that has been listed longest first.
        """

    def connected(self) -> list[Peer]:
        """
        The connected ones among them, in the same order.
        """

    def find(self, recipient: Recipient) -> Peer | None:
        """
        The classic peer at an address, or the secure one with a key, if there is one.
        """

    def named(self, name: str) -> list[Peer]:
        """
        The peers of that name, compared without case and outer white space.
        """


class Roster:
    """
    The lists of active and connected peers.

    Where there is no room, the least recently heard goes, a connected one last, and secure peers
    after all classic ones, whom anybody can invent; a host that has its full share makes room among
    its own.

    Args:
        most_peers: How many peers are kept in all.
        most_peers_per_host: How many of them may have one host.
    """

    def __init__(
        self, most_peers: int = MOST_PEERS, most_peers_per_host: int = MOST_PEERS_PER_HOST
    ) -> None:
        self._most_peers = most_peers
        self._most_peers_per_host = most_peers_per_host
        # In the order of the last exchange, so that the first is the one to let go.
        self._peers: dict[Recipient, Peer] = {}
        # In the order of appearance, which does not change under a reader's eyes.
        self._listed: dict[Recipient, None] = {}
        self._per_host: Counter[str | None] = Counter()

    def __len__(self) -> int:
        """
        How many peers there are.
        """
        return len(self._peers)

    def active(self) -> list[Peer]:
        """
        Every peer, the one that has been listed longest first.
        """
        return [self._peers[listed] for listed in self._listed]

    def connected(self) -> list[Peer]:
        """
        The connected ones among them, in the same order.
        """
        return [peer for peer in self.active() if peer.is_connected]

    def find(self, recipient: Recipient) -> Peer | None:
        """
        The classic peer at an address, or the secure one with a key, if there is one.
        """
        return self._peers.get(recipient)

    def named(self, name: str) -> list[Peer]:
        """
        The peers of that name, compared without case and outer white space.
        """
        wanted = name.strip().casefold()
        return [peer for peer in self.active() if peer.name and peer.name.casefold() == wanted]

    def heard(
        self, address: Address, name: str | None, dialect: Dialect, now: float, *, connects: bool
    ) -> tuple[Peer, list[Peer]]:
        """
        A message came from a peer.

        Args:
            address: Whom it came from.
            name: The name it claims; ``None`` leaves the one it had.
            dialect: The form it used.
            now: The time, in seconds since the epoch.
            connects: Whether it was a connect text.

        Returns:
            The peer as it is now, and those that had to make room for it.
        """
        peer = self._peers.pop(address, None) or Peer(address)
        heard = Peer(
            address,
            name or peer.name,
            dialect,
            now if peer.first_heard is None else peer.first_heard,
            now,
            peer.is_connected or connects,
            peer.received + 1,
            peer.sent,
        )
        return heard, self._keep(heard)

    def sent(self, address: Address, *, messages: int, connects: bool) -> tuple[Peer, list[Peer]]:
        """
        Messages went to a peer, and it took them.

        Args:
            address: Whom they went to.
            messages: How many.
            connects: Whether it was a connect text.

        Returns:
            The peer as it is now, and those that had to make room for it.
        """
        peer = self._peers.pop(address, None) or Peer(address)
        told = replace(peer, sent=peer.sent + messages, is_connected=peer.is_connected or connects)
        return told, self._keep(told)

    def met(
        self,
        key: DeviceKey,
        name: str,
        address: Address,
        *,
        is_connected: bool,
        is_verified: bool,
        now: float | None = None,
        received: int = 0,
        sent: int = 0,
    ) -> tuple[Peer, list[Peer]]:
        """
        Something went between a secure peer and us.

        Args:
            key: Whose.
            name: What it is called.
            address: Where it can be dialled, as far as is known.
            is_connected: Whether a session with it is open.
            is_verified: Whether the person has compared its key.
            now: The time, in seconds since the epoch, if it was heard.
            received: How many texts came.
            sent: How many texts arrived there.

        Returns:
            The peer as it is now, and those that had to make room for it.
        """
        peer = self._peers.pop(key, None) or Peer(address, key=key)
        changed = replace(
            peer,
            address=address,
            name=name,
            first_heard=now if peer.first_heard is None else peer.first_heard,
            last_heard=peer.last_heard if now is None else now,
            is_connected=is_connected,
            is_verified=is_verified,
            received=peer.received + received,
            sent=peer.sent + sent,
        )
        return changed, self._keep(changed)

    def remove(self, recipient: Recipient) -> Peer | None:
        """
        Take a peer off both lists.

        Args:
            recipient: Whom.

        Returns:
            The peer as it was, or ``None`` where it was not listed.
        """
        peer = self._peers.pop(recipient, None)
        if peer is not None:
            self._forget(peer)
        return peer

    def _keep(self, peer: Peer) -> list[Peer]:
        gone: list[Peer] = []
        host = _claimed_host(peer)
        if peer.id not in self._listed:
            if self._per_host[host] >= self._most_peers_per_host:
                gone.append(self._drop_one(host))
            elif len(self._peers) >= self._most_peers:
                gone.append(self._drop_one(None))
            self._listed[peer.id] = None
            if host is not None:
                self._per_host[host] += 1
        self._peers[peer.id] = peer
        return gone

    def _drop_one(self, host: str | None) -> Peer:
        candidates = [
            peer for peer in self._peers.values() if host is None or _claimed_host(peer) == host
        ]
        dropped = min(candidates, key=lambda peer: (peer.key is not None, peer.is_connected))
        del self._peers[dropped.id]
        self._forget(dropped)
        return dropped

    def _forget(self, peer: Peer) -> None:
        del self._listed[peer.id]
        host = _claimed_host(peer)
        if host is None:
            return
        self._per_host[host] -= 1
        if not self._per_host[host]:
            del self._per_host[host]


def _claimed_host(peer: Peer) -> str | None:
    # Nobody can invent a contact, so those take no part of a host's share.
    return peer.address.host if peer.key is None else None
