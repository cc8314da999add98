"""
Claims: others hold what we said and have lost, and it is waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from twistedchat.core.identity import DeviceKey
from twistedchat.peers.timeouts import TimeoutQueue

__all__ = ["LONGEST_RETURN", "MOST_CLAIMS", "Claims"]

# Seconds in which nothing comes back of what we said and somebody claims to hold, after which it is
# not waited for any more: a network that loses a packet sends it again within one or two. And how
# often that is believed of somebody of whom nothing comes: a connection can break, but hardly so
# often at the wrong time. Whoever lies could else keep us from saying anything in a room.
LONGEST_RETURN = 3.0
MOST_CLAIMS = 3


class Claims:
    """
    Who claims to hold more of what we said than anybody can have seen.

    Args:
        clock: Calls back.
        begins: Told of a room where something is waited for.
        ends: Told of a room where nothing is waited for any more.
        fails: Told of a room, and somebody of whom nothing came.
    """

    def __init__(
        self,
        clock: IReactorTime,
        begins: Callable[[bytes], None],
        ends: Callable[[bytes], None],
        fails: Callable[[bytes, DeviceKey], None],
    ) -> None:
        self._begins = begins
        self._ends = ends
        self._fails = fails
        # How far each claims to hold ours in a room; and how often nothing came of it.
        self._claims: dict[bytes, dict[DeviceKey, int]] = {}
        self._empty: Counter[tuple[bytes, DeviceKey]] = Counter()
        self._returns: TimeoutQueue[bytes] = TimeoutQueue(clock, LONGEST_RETURN, self._nothing_came)

    def close(self) -> None:
        """
        Wait for nothing any more.
        """
        self._returns.stop()

    def claim(self, room: bytes, key: DeviceKey, seq: int) -> None:
        """
        Somebody tells that they hold more of ours than was ever offered.

        Args:
            room: Where we said it.
            key: Who.
            seq: The number of the last.
        """
        if self._empty[room, key] >= MOST_CLAIMS:
            return
        if room not in self._claims:
            self._claims[room] = {}
            self._returns.restart(room)
            self._begins(room)
        self._claims[room][key] = seq

    def came(self, room: bytes, key: DeviceKey, seq: int) -> None:
        """
        Somebody has sent some of it, and it is on our disk.

        Args:
            room: Where we said it.
            key: Who.
            seq: The number of the last.
        """
        del self._empty[room, key]
        if room in self._claims:
            self._returns.restart(room)
        if self._claims.get(room, {}).get(key, seq + 1) <= seq:
            self.drop(room, key)

    def drop(self, room: bytes, key: DeviceKey) -> None:
        """
        Nothing of it is waited for any more from somebody, who may be believed the next time.

        Args:
            room: Where we said it.
            key: Who.
        """
        claims = self._claims.get(room, {})
        if claims.pop(key, None) is not None and not claims:
            del self._claims[room]
            self._returns.cancel(room)
            self._ends(room)

    def gone(self, key: DeviceKey) -> None:
        """
        The session with somebody is over.

        Args:
            key: Who.
        """
        for room in [room for room, claims in self._claims.items() if key in claims]:
            self._disbelieve(room, key)

    def _nothing_came(self, room: bytes) -> None:
        for key in list(self._claims[room]):
            self._fails(room, key)
            self._disbelieve(room, key)

    def _disbelieve(self, room: bytes, key: DeviceKey) -> None:
        self._empty[room, key] += 1
        self.drop(room, key)
