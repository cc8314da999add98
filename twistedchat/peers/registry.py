"""
The service that knows who is there, and tells those who want to know.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.logger import Logger

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.events import Event, PeerAdded, PeerChanged, PeerRemoved
from twistedchat.core.identity import DeviceKey
from twistedchat.core.roster import Peer, Recipient, Roster

__all__ = ["PeerRegistry"]


class PeerRegistry(Service):
    """
    The active and connected peers, shared by everything in a node.

    Changes are told to subscribers as they happen. An observer that fails is logged, and keeps
    nobody else from being told.

    Args:
        roster: The lists; empty ones are made where there are none.
    """

    name = "peers"
    _log = Logger()

    def __init__(self, roster: Roster | None = None) -> None:
        self.roster = Roster() if roster is None else roster
        self._observers: dict[object, Callable[[Event], None]] = {}

    def subscribe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        """
        Be told of every event.

        Args:
            observer: Called with each, in order.

        Returns:
            A function that ends it; calling it twice does no harm.
        """
        key = object()
        self._observers[key] = observer
        return lambda: self._observers.pop(key, None) and None

    def publish(self, event: Event) -> None:
        """
        Tell the subscribers.

        Args:
            event: What happened.
        """
        for key, observer in list(self._observers.items()):
            # One that is told may end what another wanted.
            if key not in self._observers:
                continue
            try:
                observer(event)
            except Exception:  # noqa: BLE001 (an observer's bug is its own: the others are told)
                self._log.failure("An observer failed to hear of {event}", event=type(event))

    def heard(
        self, address: Address, name: str | None, dialect: Dialect, now: float, *, connects: bool
    ) -> Peer:
        """
        A message came from a peer.

        Args:
            address: Whom it came from.
            name: The name it claims, where it claims one.
            dialect: The form it used.
            now: The time, in seconds since the epoch.
            connects: Whether it was a connect text.

        Returns:
            The peer as it is now.
        """
        before = self.roster.find(address)
        peer, gone = self.roster.heard(address, name, dialect, now, connects=connects)
        self._tell(before, peer, gone)
        return peer

    def sent(self, address: Address, *, messages: int, connects: bool) -> Peer:
        """
        Messages went to a peer, and it took them.

        Args:
            address: Whom they went to.
            messages: How many.
            connects: Whether it was a connect text.

        Returns:
            The peer as it is now.
        """
        before = self.roster.find(address)
        peer, gone = self.roster.sent(address, messages=messages, connects=connects)
        self._tell(before, peer, gone)
        return peer

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
    ) -> Peer:
        """
        Something went between a secure peer and us: see `twistedchat.core.roster.Roster.met`.

        Returns:
            The peer as it is now.
        """
        before = self.roster.find(key)
        peer, gone = self.roster.met(
            key,
            name,
            address,
            is_connected=is_connected,
            is_verified=is_verified,
            now=now,
            received=received,
            sent=sent,
        )
        self._tell(before, peer, gone)
        return peer

    def remove(self, recipient: Recipient) -> Peer | None:
        """
        Take a peer off both lists.

        Args:
            recipient: Whom.

        Returns:
            The peer as it was, or ``None`` where it was not listed.
        """
        peer = self.roster.remove(recipient)
        if peer is not None:
            self.publish(PeerRemoved(peer))
        return peer

    def _tell(self, before: Peer | None, peer: Peer, gone: list[Peer]) -> None:
        for other in gone:
            self.publish(PeerRemoved(other))
        if before is None:
            self.publish(PeerAdded(peer))
        elif _shown(before) != _shown(peer):
            self.publish(PeerChanged(peer))


def _shown(peer: Peer) -> tuple[object, ...]:
    return peer.name, peer.dialect, peer.is_connected, peer.is_verified, peer.address
