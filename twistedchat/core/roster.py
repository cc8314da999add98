"""
Who is there: the peers that we have exchanged something with.

*Active* is every peer that a message came from or went to; *connected* those among them where a
connect text went either way. Without any I/O: the time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Protocol

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect

__all__ = ["MOST_PEERS", "MOST_PEERS_PER_HOST", "Peer", "PeerList", "Roster"]

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
        address: Where it listens.
        name: The name it last claimed; ``None`` where it was never heard, or has none.
        dialect: The form in which it was last heard; ``None`` where it was never heard.
        first_heard: When it was first heard, in seconds since the epoch, if ever.
        last_heard: When it was last heard, likewise.
        is_connected: Whether a connect text went either way.
        received: Messages that came from it.
        sent: Messages that went to it.
    """

    address: Address
    name: str | None = None
    dialect: Dialect | None = None
    first_heard: float | None = None
    last_heard: float | None = None
    is_connected: bool = False
    received: int = 0
    sent: int = 0


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

    def find(self, address: Address) -> Peer | None:
        """
        The peer at an address, if there is one.
        """

    def named(self, name: str) -> list[Peer]:
        """
        The peers of that name, compared without case and outer white space.
        """


class Roster:
    """
    The lists of active and connected peers.

    Where there is no room, the least recently heard goes, a connected one last; a host that has its
    full share makes room among its own.

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
        self._peers: dict[Address, Peer] = {}
        # In the order of appearance, which does not change under a reader's eyes.
        self._listed: dict[Address, None] = {}
        self._per_host: Counter[str] = Counter()

    def __len__(self) -> int:
        """
        How many peers there are.
        """
        return len(self._peers)

    def active(self) -> list[Peer]:
        """
        Every peer, the one that has been listed longest first.
        """
        return [self._peers[address] for address in self._listed]

    def connected(self) -> list[Peer]:
        """
        The connected ones among them, in the same order.
        """
        return [peer for peer in self.active() if peer.is_connected]

    def find(self, address: Address) -> Peer | None:
        """
        The peer at an address, if there is one.
        """
        return self._peers.get(address)

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

    def remove(self, address: Address) -> Peer | None:
        """
        Take a peer off both lists.

        Args:
            address: Whom.

        Returns:
            The peer as it was, or ``None`` where it was not listed.
        """
        peer = self._peers.pop(address, None)
        if peer is not None:
            self._forget(address)
        return peer

    def _keep(self, peer: Peer) -> list[Peer]:
        gone: list[Peer] = []
        address = peer.address
        if address not in self._listed:
            if self._per_host[address.host] >= self._most_peers_per_host:
                gone.append(self._drop_one(address.host))
            elif len(self._peers) >= self._most_peers:
                gone.append(self._drop_one(None))
            self._listed[address] = None
            self._per_host[address.host] += 1
        self._peers[address] = peer
        return gone

    def _drop_one(self, host: str | None) -> Peer:
        candidates = [
            peer for peer in self._peers.values() if host is None or peer.address.host == host
        ]
        dropped = next((peer for peer in candidates if not peer.is_connected), candidates[0])
        del self._peers[dropped.address]
        self._forget(dropped.address)
        return dropped

    def _forget(self, address: Address) -> None:
        del self._listed[address]
        self._per_host[address.host] -= 1
        if not self._per_host[address.host]:
            del self._per_host[address.host]
