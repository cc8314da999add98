"""
The one way in which a face sees a node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from twistedchat.core.addresses import Address
from twistedchat.core.events import Event, Sent

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["INode"]


class INode(Interface):
    """
    A node: what a person or a program can ask of it.
    """

    team = Attribute("Our team name: a label, not a proof of anything.")
    port = Attribute("The port on which we listen.")
    peers = Attribute("Who is there: a `twistedchat.core.roster.PeerList`.")

    def subscribe(observer: Callable[[Event], None]) -> Callable[[], None]:
        """
        Be told of everything that happens.

        Args:
            observer: Called with each event, in order, in the reactor's thread.

        Returns:
            A function that ends it.
        """

    def look_up(host: str) -> Deferred[bool]:
        """
        Find out whether a host name leads to any address.

        Args:
            host: A host name.

        Returns:
            Fires with the answer within five seconds; no answer in time is a no. Never fails.
        """

    def send_text(recipient: Address, text: str) -> Deferred[Sent]:
        """
        Send a text. What goes to one address goes in order, one connection at a time.

        Args:
            recipient: Where to.
            text: What to say; a control text (such as ``exit``) acts as one.

        Returns:
            Fires when it has been taken, or fails with `twistedchat.core.errors.NotSent`, whose
            ``unsent`` is what is left of the text. Cancelling stops what has not gone out yet.
        """

    def connect(address: Address, *, manual: bool) -> Deferred[Sent]:
        """
        Send a connect text.

        Args:
            address: Where to.
            manual: Whether a person chose the address.

        Returns:
            As with `send_text`.
        """

    def leave() -> Deferred[None]:
        """
        Say exit to every peer, at most for two seconds. Doing so twice says it once.

        Returns:
            Fires when it has been said, or the time is up. Never fails.
        """
