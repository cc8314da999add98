"""
Arrivals: what others said, shown as it comes, or as one number after an absence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from twistedchat.core.events import CaughtUp, Event, RoomTextReceived, TextReceived
from twistedchat.core.identity import DeviceKey
from twistedchat.core.trust import ContactList
from twistedchat.peers.timeouts import TimeoutQueue
from twistedchat.rooms import Rooms

__all__ = ["LONGEST_PAUSE", "MOST_SHOWN", "Arrivals"]

# Texts that come at once, after an absence, and are still shown line by line: a screenful.
MOST_SHOWN = 20

# Seconds in which nothing of it comes, after which an absence is taken to be over: a network that
# loses a packet sends it again within one or two. Whoever claims to hold what there is not can keep
# texts from being shown one by one, but for no longer than this.
LONGEST_PAUSE = 3.0


@dataclass(slots=True, eq=False)
class _CatchUp:
    """
    Much is to come in a room: it is told as a number when it has.

    Attributes:
        ends: How far, by author.
        texts: How many texts have come.
    """

    ends: dict[DeviceKey, int] = field(default_factory=dict)
    texts: int = 0


class Arrivals:
    """
    Tells the person what others said.

    Args:
        clock: Tells the time and calls back.
        rooms: Where it was said.
        contacts: Whom we know.
        publish: Tells an event.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rooms: Rooms,
        contacts: ContactList,
        publish: Callable[[Event], None],
    ) -> None:
        self._clock = clock
        self._rooms = rooms
        self._contacts = contacts
        self._publish = publish
        self._catch_ups: dict[bytes, _CatchUp] = {}
        self._pauses: TimeoutQueue[bytes] = TimeoutQueue(clock, LONGEST_PAUSE, self._caught_up)

    def close(self) -> None:
        """
        Wait for nothing any more, and tell what has come.
        """
        for room in self._pauses.stop():
            self._caught_up(room)

    def expect(self, room: bytes, ends: Mapping[DeviceKey, int], entries: int) -> None:
        """
        Somebody holds what we lack, and is going to send it.

        Args:
            room: Where.
            ends: The number of the last entry to come, by author.
            entries: How many entries there are to come.
        """
        if entries > MOST_SHOWN or (ends and room in self._catch_ups):
            catch_up = self._catch_ups.setdefault(room, _CatchUp())
            for author, end in ends.items():
                catch_up.ends[author] = max(end, catch_up.ends.get(author, 0))
            self._pauses.restart(room)

    def came(self, room: bytes, author: DeviceKey, seq: int, texts: Sequence[str]) -> None:
        """
        Entries are in the journal now.

        Args:
            room: Where.
            author: Whose.
            seq: The number of the last of them.
            texts: What is to be shown of them.
        """
        catch_up = self._catch_ups.get(room)
        if catch_up is None:
            now = self._clock.seconds()
            for text in texts:
                self._show(room, author, text, now)
            return
        catch_up.texts += len(texts)
        # What is committed together is told one run after the other: what is stored is not enough.
        if catch_up.ends.get(author, 0) <= seq:
            catch_up.ends.pop(author, None)
        if catch_up.ends:
            self._pauses.restart(room)
        else:
            self._pauses.cancel(room)
            self._caught_up(room)

    def _show(self, room: bytes, author: DeviceKey, text: str, now: float) -> None:
        record = self._rooms.find(room)
        if record is not None:
            speaker = self._rooms.speaker(room, author)
            self._publish(RoomTextReceived(record, speaker, text, now))
            return
        contact = self._contacts.find(author)
        if contact is not None:
            self._publish(TextReceived(contact, text, now))

    def _caught_up(self, room: bytes) -> None:
        texts = self._catch_ups.pop(room).texts
        mate = self._rooms.mate_of(room)
        place = self._rooms.find(room) or (self._contacts.find(mate) if mate else None)
        if texts and place is not None:
            self._publish(CaughtUp(place, texts))
