"""
Arrivals: what others said, shown as it comes, or as one number after an absence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from twisted.internet.interfaces import IReactorTime

from twistedchat.core.buckets import TokenBuckets
from twistedchat.core.events import CaughtUp, Event, RoomTextReceived, TextReceived
from twistedchat.core.identity import DeviceKey
from twistedchat.core.trust import ContactList
from twistedchat.peers.timeouts import TimeoutQueue
from twistedchat.rooms import Rooms

__all__ = [
    "BELIEF_INTERVAL",
    "BELIEVED_AT_ONCE",
    "LONGEST_CATCH_UP",
    "LONGEST_PAUSE",
    "MOST_SHOWN",
    "Arrivals",
]

# Texts that come at once, after an absence, and are still shown line by line: a screenful.
MOST_SHOWN = 20

# Seconds in which less than a screenful of what somebody claims to hold comes, after which it is
# not waited for: a network that loses a packet sends it again within one or two, and what comes so
# slowly can be read as it comes. Whoever claims to hold what there is not can keep texts from being
# shown one by one, but for no longer than this.
LONGEST_PAUSE = 3.0

# How often that is believed of somebody of whom nothing comes, in one room: a connection can break,
# but hardly more often at the wrong time. And then once in so many seconds.
BELIEVED_AT_ONCE = 3
BELIEF_INTERVAL = 600.0

# Seconds after which the number is told though there is more to come: in so many a million texts
# do. However much is claimed, and however fast somebody writes, the person hears of it.
LONGEST_CATCH_UP = 60.0

_Claim: TypeAlias = tuple[bytes, DeviceKey]


@dataclass(slots=True, eq=False)
class _Claimed:
    """
    What somebody claims to hold in a room, and we lack.

    Attributes:
        ends: How far, by author.
        texts: How many texts of it have come since it was last given time.
        has_come: Whether that was a screenful at any time.
    """

    ends: dict[DeviceKey, int] = field(default_factory=dict)
    texts: int = 0
    has_come: bool = False


@dataclass(slots=True, eq=False)
class _CatchUp:
    """
    Much is to come in a room: it is told as a number when it has.

    Attributes:
        since: When it began, or when the number was last told.
        claims: Who is going to send what.
        texts: How many texts of it have come.
    """

    since: float
    claims: dict[DeviceKey, _Claimed] = field(default_factory=dict)
    texts: int = 0


class Arrivals:
    """
    Tells the person what others said.

    What is to be caught up is one number at the end. Everybody of whom nothing is missing is shown
    at once meanwhile: they talk now, and stand above the number as they stood before it.

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
        self._pauses: TimeoutQueue[_Claim] = TimeoutQueue(
            clock, LONGEST_PAUSE, lambda claim: self._did_not_come(*claim)
        )
        self._beliefs = TokenBuckets(1 / BELIEF_INTERVAL, BELIEVED_AT_ONCE)

    def close(self) -> None:
        """
        Wait for nothing any more, and tell what has come.
        """
        self._pauses.stop()
        for room in list(self._catch_ups):
            self._caught_up(room)

    def expect(
        self, room: bytes, key: DeviceKey, ends: Mapping[DeviceKey, int], entries: int
    ) -> None:
        """
        Somebody holds what we lack, and is going to send it.

        Args:
            room: Where.
            key: Who.
            ends: The number of the last entry to come, by author.
            entries: How many entries there are to come.
        """
        now = self._clock.seconds()
        if entries <= MOST_SHOWN or not self._beliefs.has_left((room, key), now):
            return
        catch_up = self._catch_ups.setdefault(room, _CatchUp(now))
        claimed = catch_up.claims.get(key)
        if claimed is None:
            claimed = catch_up.claims[key] = _Claimed()
            # Not with each further claim: that costs nothing, and nothing has come of it yet.
            self._pauses.restart((room, key))
        for author, end in ends.items():
            claimed.ends[author] = max(end, claimed.ends.get(author, 0))

    def came(self, room: bytes, author: DeviceKey, seq: int, texts: Sequence[str]) -> None:
        """
        Entries are in the journal now.

        Args:
            room: Where.
            author: Whose.
            seq: The number of the last of them.
            texts: What is to be shown of them.
        """
        now = self._clock.seconds()
        catch_up = self._catch_ups.get(room)
        claims = catch_up.claims if catch_up is not None else {}
        concerned = [key for key, claimed in claims.items() if author in claimed.ends]
        if catch_up is None or not concerned:
            for text in texts:
                self._show(room, author, text, now)
            return
        catch_up.texts += len(texts)
        # Several may hold the same, and each of them sends some of it.
        for key in concerned:
            claimed = claims[key]
            claimed.texts += len(texts)
            if claimed.texts > MOST_SHOWN:
                claimed.texts = 0
                claimed.has_come = True
                self._pauses.restart((room, key))
            # What is committed together is told one run after the other: what is stored is not
            # enough.
            if claimed.ends[author] <= seq:
                del claimed.ends[author]
            if not claimed.ends:
                self._drop(room, key)
        if now - catch_up.since >= LONGEST_CATCH_UP and room in self._catch_ups:
            catch_up.since = now
            self._tell(room, catch_up)

    def gone(self, key: DeviceKey) -> None:
        """
        The session with somebody is over: nothing comes of what they claimed to hold.

        Args:
            key: Who.
        """
        for room, catch_up in list(self._catch_ups.items()):
            if key in catch_up.claims:
                self._did_not_come(room, key)

    def _did_not_come(self, room: bytes, key: DeviceKey) -> None:
        if not self._catch_ups[room].claims[key].has_come:
            self._beliefs.take((room, key), self._clock.seconds())
        self._drop(room, key)

    def _drop(self, room: bytes, key: DeviceKey) -> None:
        self._pauses.cancel((room, key))
        claims = self._catch_ups[room].claims
        del claims[key]
        if not claims:
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
        self._tell(room, self._catch_ups.pop(room))

    def _tell(self, room: bytes, catch_up: _CatchUp) -> None:
        texts, catch_up.texts = catch_up.texts, 0
        mate = self._rooms.mate_of(room)
        place = self._rooms.find(room) or (self._contacts.find(mate) if mate else None)
        if texts and place is not None:
            self._publish(CaughtUp(place, texts))
