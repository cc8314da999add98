"""
What the parts promise each other.

The one way in which a face sees a node, and what a node needs of its journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from twistedchat.core.addresses import Address
from twistedchat.core.entries import Entry
from twistedchat.core.events import Event, Progress, Sent, Speaker
from twistedchat.core.history import LineOfHistory, Place, RoomRecord
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite
from twistedchat.core.nearby import Nearby
from twistedchat.core.roster import Recipient, RoomId
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

    def rooms() -> list[RoomRecord]:
        """
        The rooms that we are in, are invited to or have left, the one we came to first first.
        """

    def members(room: RoomId) -> list[Speaker]:
        """
        Who is in a room now, the founder first; none where we do not know yet.

        Args:
            room: Which.
        """

    def make_room(name: str) -> Deferred[RoomRecord]:
        """
        Found a room, with nobody in it but us.

        Args:
            name: What it is called: 1 to 64 characters.

        Returns:
            Fires with it when it has been kept, or fails with a
            `twistedchat.core.errors.ChatError`.
        """

    def add_to(room: RoomId, key: DeviceKey) -> Deferred[None]:
        """
        Add a contact to a room that we are in: it is invited, and gets all that was said there.

        Args:
            room: Which.
            key: Whom.

        Returns:
            Fires when it has been kept, or fails with a
            `twistedchat.core.errors.ChatError`.
        """

    def remove_from(room: RoomId, key: DeviceKey) -> Deferred[None]:
        """
        Remove somebody from a room that we founded: what they write from now on is no part of it.

        Args:
            room: Which.
            key: Whom.

        Returns:
            As with `add_to`.
        """

    def join(room: RoomId) -> Deferred[None]:
        """
        Come into a room that we are invited to.

        Args:
            room: Which.

        Returns:
            As with `add_to`.
        """

    def leave_room(room: RoomId) -> Deferred[None]:
        """
        Leave a room, or decline to come; what was said there stays in our history.

        Args:
            room: Which.

        Returns:
            As with `add_to`.
        """

    def unread(place: Place) -> int:
        """
        How many texts came to a place since the person last looked there.

        Args:
            place: A room, a direct one too (see `place_of`); or a classic peer's address.
        """

    def addresses_unread() -> list[Address]:
        """
        Those of classic peers of whom there is something unread, on the lists or not.
        """

    def place_of(recipient: Recipient) -> Place:
        """
        Where what is said between somebody and us is kept.

        Args:
            recipient: Whom.
        """

    def speaker_of(line: LineOfHistory) -> str:
        """
        What to call the author of a line: as it came, to be shown through safe text.

        Args:
            line: Which.
        """

    def recipient_of(line: LineOfHistory) -> Recipient:
        """
        To whom one would answer a line.

        Args:
            line: Which.
        """

    def progress_of(line: LineOfHistory) -> Progress | None:
        """
        How far a line of ours has come.

        Args:
            line: Which.

        Returns:
            It; ``None`` for what others said.
        """

    def looked_at(places: Iterable[Place]) -> None:
        """
        The person has seen all that came to these places; contacts are told, unless that is off.

        Args:
            places: Which.
        """

    def history(
        place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said: see `IJournal.history`.
        """

    def search(
        words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find texts: see `IJournal.search`.
        """

    def around(line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Read what stands around a line: see `IJournal.around`.
        """

    def recall(recipient: Recipient) -> Deferred[str]:
        """
        Take back the last text to somebody that nobody can have seen yet.

        Args:
            recipient: To whom it was.

        Returns:
            Fires with the text when it is gone, or fails with a
            `twistedchat.core.errors.ChatError` that says why it cannot be.
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

        One that was more than `twistedchat.core.entries.MOST_AHEAD` ahead when it came does not
        count: it would hide all that are followed.

        Args:
            room: Which.
        """

    def append(entries: Sequence[Entry], *, is_urgent: bool = True) -> Deferred[None]:
        """
        Keep entries.

        Args:
            entries: Each follows its author's head in its room, in order; the last one of each
                author and room is signed.
            is_urgent: Whether they are written at once; otherwise they may wait for others, for
                less than anybody notices.

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

    def membership() -> list[Entry]:
        """
        The entries that tell who is in which room (`twistedchat.core.rooms.MEMBERSHIP`).

        Returns:
            All that were there at the opening, of each author and room in order.
        """

    def rooms() -> list[RoomRecord]:
        """
        The rooms that we founded, were invited to, joined or left; direct ones are none of them.
        """

    def keep_room(record: RoomRecord) -> Deferred[None]:
        """
        Remember what we have to do with a room.

        Args:
            record: It; what was known of the same room is replaced.

        Returns:
            Fires when it is on the disk, or fails with
            `twistedchat.core.errors.StoreError`.
        """

    def keep_plain(
        address: Address, name: str | None, text: str, *, is_ours: bool, time: float
    ) -> Deferred[None]:
        """
        Keep a classic message in the history; written soon, and nothing has to wait for it.

        Args:
            address: The classic peer's.
            name: The name it claimed, where it claimed one.
            text: What was said.
            is_ours: Whether we said it.
            time: When, in seconds since the epoch.

        Returns:
            Fires when it is on the disk, or fails with `twistedchat.core.errors.StoreError`: then
            it is lost.
        """

    def history(
        place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said: texts alone.

        Args:
            place: Where; ``None`` for everywhere.
            since: Only what was said then or later, in seconds since the epoch.
            before: Only what stands before this line; ``None`` to begin with the newest.
            most: How many lines.

        Returns:
            Fires with the lines, the newest first: of a room in the room's own order (time, author,
            number), of everywhere in the order in which they came. Fails with
            `twistedchat.core.errors.StoreError`.
        """

    def search(
        words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find texts that hold all of these words.

        Args:
            words: Words as a person types them; each may be the beginning of a longer one. Nothing
                in them is a command.
            place: Where; ``None`` for everywhere.
            before: Only what came before this line; ``None`` to begin with the newest.
            most: How many lines.

        Returns:
            Fires with the lines, the one that came last first. Fails with
            `twistedchat.core.errors.StoreError`.
        """

    def around(line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Read what stands around a line in the place where it was said.

        Args:
            line: Which.
            most: How many lines before it, and how many after.

        Returns:
            Fires with the lines in order, this one among them. Fails with
            `twistedchat.core.errors.StoreError`.
        """

    def unread(place: Place) -> int:
        """
        How many texts of others came to a place since the person last looked there.

        Args:
            place: Which.
        """

    def read_to(room: bytes, author: DeviceKey) -> int:
        """
        How far the person has seen what somebody else said.

        Args:
            room: Where.
            author: Who.

        Returns:
            The number of their last entry on the disk before the first text that was not seen.
        """

    def addresses_unread() -> list[Address]:
        """
        Those of classic peers of whom there is something that the person has not seen.
        """

    def looked_at(place: Place) -> None:
        """
        The person has seen all that came to a place; written soon, without waiting for it.

        Args:
            place: Which.
        """

    def replace(room: bytes, after: int, entries: Sequence[Entry], offered: int) -> Deferred[None]:
        """
        Write our own entries in a room anew, from some number on: how one is recalled.

        Args:
            room: Where.
            after: The number of the last one that stays, not below `offered`. It is signed.
            entries: What follows it now; all that did before is gone.
            offered: How far others may have seen them then, at least ``after``.

        Returns:
            Fires when it is on the disk, or fails with
            `twistedchat.core.errors.StoreError`, and nothing has changed.
        """

    def offered(room: bytes) -> int:
        """
        How far our entries in a room may have been seen by others: what is beyond can be recalled.

        Args:
            room: Which.

        Returns:
            The number of the last one; 0 where nobody can have seen any.
        """

    def offered_head(room: bytes) -> tuple[int, bytes]:
        """
        The last of our entries in a room that is on the disk and others may have seen.

        This is what they may be told that we hold: what is beyond can be written anew.

        Args:
            room: Which.

        Returns:
            Its number and hash; those of none where there is none.
        """

    def offer(room: bytes, seq: int, digest: bytes) -> Deferred[None]:
        """
        Remember that others may see our entries in a room, before they do.

        Args:
            room: Which.
            seq: The number of the last one that they may see.
            digest: Its hash.

        Returns:
            Fires when it is on the disk, or fails with
            `twistedchat.core.errors.StoreError`.
        """

    def close() -> Deferred[None]:
        """
        Write what is still to be written, and let go of the file.

        Returns:
            Fires when that is done. Never fails.
        """
