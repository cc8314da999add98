"""
What the parts promise each other.

The one way in which a face sees a node, and what a node needs of its journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from twistedchat.core.entries import Entry
from twistedchat.core.events import Event, Sent
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite
from twistedchat.core.nearby import Nearby
from twistedchat.core.roster import Recipient
from twistedchat.core.trust import Caller, Decision

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["IJournal", "INode"]


class INode(Interface):
    """
    A node: what a person or a program can ask of it.
    """

    team = Attribute("Our team name: a label, not a proof of anything.")
    port = Attribute("The port on which we listen.")
    key = Attribute("Our `twistedchat.core.identity.DeviceKey`: who we are.")
    peers = Attribute("Who is there: a `twistedchat.core.roster.PeerList`.")
    contacts = Attribute("Whom we know: a `twistedchat.core.trust.ContactList`.")

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

    def callers() -> list[Caller]:
        """
        Those about whom the person has to decide, the one that came first first.
        """

    def nearby() -> list[Nearby]:
        """
        Nodes that were found on the network, the one that was found first first.
        """

    def invite() -> Invite:
        """
        What to give to somebody so that they meet us and nobody else: our key, name and addresses.
        """

    def use_invite(invite: Invite) -> Deferred[DeviceKey]:
        """
        Know whoever made an invite: its key came from its owner, so it counts as verified.

        Args:
            invite: What they gave to us.

        Returns:
            Fires with their key, to send to. Fails with a `twistedchat.core.errors.ChatError` if it
            is our own, or a blocked one, or there is no room, or it cannot be kept.
        """

    def words(key: DeviceKey) -> Deferred[tuple[str, ...]]:
        """
        The six words that both ends see, if nobody is between them.

        Args:
            key: The other end's.

        Returns:
            Fires with them, after a tenth of a second of work in a thread. Never fails.
        """

    def verify(key: DeviceKey) -> Deferred[None]:
        """
        The person has compared the words with the key's owner.

        Args:
            key: A contact's.

        Returns:
            Fires when it has been kept, or fails with `twistedchat.core.errors.StoreError`.
        """

    def decide(key: DeviceKey, decision: Decision, caller: Caller | None = None) -> Deferred[None]:
        """
        Do what the person says about a caller or a contact.

        Args:
            key: Whose key.
            decision: What they say.
            caller: The caller that was decided about, where it was one: only then do ``NEW_KEY``,
                ``SOMEBODY_ELSE``, ``KEEP_OLD`` and ``IGNORE`` mean something.

        Returns:
            Fires when it has been kept, or fails with a `twistedchat.core.errors.ChatError`.
        """

    def send_text(recipient: Recipient, text: str) -> Deferred[Sent]:
        """
        Send a text. What goes to one recipient goes in order.

        A classic peer has taken it or it fails. For a secure peer it becomes a signed entry; if the
        peer cannot be reached now, the text is kept until it can.

        Args:
            recipient: To whom: a key; or an address, where whoever answers is asked first.
            text: What to say; a control text (such as ``exit``) acts as one.

        Returns:
            Fires when it has been taken or kept, and with ``Progress.DELIVERED`` where the other
            node has stored it by then. Fails with `twistedchat.core.errors.NotSent`, whose
            ``unsent`` is what is left of the text. Cancelling stops what has not gone out yet.
        """

    def connect(recipient: Recipient, *, manual: bool) -> Deferred[Sent]:
        """
        Send a connect text, or open a session.

        Args:
            recipient: To whom.
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


class IJournal(Interface):
    """
    Where entries are kept for good.

    It is the only one that writes: heads and receipts are known without reading the disk. All calls
    are made in the reactor's thread, and all results come there.
    """

    def heads(room: bytes) -> dict[DeviceKey, tuple[int, bytes]]:
        """
        How far each author's entries in a room reach: the number and hash of the last one.

        Entries count from `append` on, before they are on the disk.

        Args:
            room: Which.

        Returns:
            The heads; empty where there is nothing.
        """

    def stored_heads(room: bytes) -> dict[DeviceKey, tuple[int, bytes]]:
        """
        The same, counting only what is on the disk. This is what another node may be told.

        Args:
            room: Which.

        Returns:
            The heads; empty where there is nothing.
        """

    def last_time(room: bytes) -> int:
        """
        The largest time of any entry in a room, in microseconds; 0 where there is none.

        Args:
            room: Which.
        """

    def append(entries: Sequence[Entry]) -> Deferred[None]:
        """
        Keep entries.

        Args:
            entries: Each follows its author's head in its room, in order; the last one of each
                author and room is signed.

        Returns:
            Fires when all of them are on the disk, in the order of the calls. Fails with
            `twistedchat.core.errors.StoreError` and keeps none; then all that were appended after
            them fail too, and the heads are again what is on the disk.
        """

    def read(room: bytes, author: DeviceKey, after: int, most_bytes: int) -> Deferred[list[Entry]]:
        """
        Read consecutive entries from the disk.

        Args:
            room: Which.
            author: Whose.
            after: The number before the first.
            most_bytes: Stop before the bodies take more, but never before a signed entry has come.

        Returns:
            Fires with entries of which the last is signed; none where there are no more. Fails with
            `twistedchat.core.errors.StoreError`.
        """

    def receipt(room: bytes, holder: DeviceKey) -> int:
        """
        How far another node is known to hold our own entries in a room.

        Args:
            room: Which.
            holder: The other node.

        Returns:
            The number of the last one; 0 where nothing is known.
        """

    def keep_receipt(room: bytes, holder: DeviceKey, seq: int) -> None:
        """
        Remember how far another node holds our own entries; written soon, without waiting for it.

        Args:
            room: Which.
            holder: The other node.
            seq: The number of the last one that it holds.
        """

    def keep_fork(entry: Entry) -> Deferred[bool]:
        """
        Keep the proof that an author signed two entries with one number.

        Args:
            entry: The signed one that is not in the journal.

        Returns:
            Fires with whether this is news, when it is on the disk. Fails with
            `twistedchat.core.errors.StoreError`.
        """

    def close() -> Deferred[None]:
        """
        Write what is still to be written, and let go of the file.

        Returns:
            Fires when that is done. Never fails.
        """
