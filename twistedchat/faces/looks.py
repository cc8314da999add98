"""
What a person has seen, so that it counts as read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twistedchat.core.history import LineOfHistory, Place
from twistedchat.core.roster import Recipient
from twistedchat.interfaces import INode

__all__ = ["LOOK_DELAY", "Looks"]

# Seconds in which the looks of a program are put together: of thousands of texts in a second not
# each one has to be told to be read.
LOOK_DELAY = 0.1


class Looks:
    """
    Tells a node where all that came has been looked at.

    What was shown is taken for seen when the person gives a sign of life. Whoever reads the history
    of a place has looked there, however far they read. Otherwise a place counts only when all its
    unread texts have been shown: of what came while nobody was there a single line may have told.

    Args:
        node: Is told.
        clock: Calls back.
        is_program: Whether what is shown is seen, without a sign.
    """

    def __init__(self, node: INode, clock: IReactorTime, *, is_program: bool) -> None:
        self._node = node
        self._clock = clock
        self._is_program = is_program
        self._next: IDelayedCall | None = None
        # How many of the unread texts of each place have been shown: as they came, and by what is
        # being read, where there can be no more than were unread when that began.
        self._came: Counter[Place] = Counter()
        self._reread: Counter[Place] = Counter()
        self._most: dict[Place, int] = {}

    def came(self, speaker: Recipient) -> None:
        """
        A text was shown as it came.

        Args:
            speaker: To whom one would answer it.
        """
        place = self._node.place_of(speaker)
        self._came[place] += 1
        if place in self._most:
            self._most[place] += 1
            self._reread[place] += 1
        self._shown()

    def read(self, place: Place | None, lines: Iterable[LineOfHistory], *, is_first: bool) -> None:
        """
        History was shown.

        Args:
            place: Of which place; ``None`` for everywhere.
            lines: Which lines.
            is_first: Whether they are the first of what is being read.
        """
        if is_first:
            self._reread.clear()
            self._most.clear()
            if place is not None:
                self._most[place] = self._reread[place] = self._node.unread(place)
        theirs = Counter(line.place for line in lines if not line.is_ours)
        for place, texts in theirs.items():
            most = self._most.setdefault(place, self._node.unread(place))
            self._reread[place] = min(self._reread[place] + texts, most)
        self._shown()

    def look(self) -> None:
        """
        The person is there, and has seen what was shown.
        """
        shown = self._came | self._reread
        seen = [place for place, texts in shown.items() if self._node.unread(place) <= texts]
        for place in seen:
            del self._came[place], self._reread[place]
            if place in self._most:
                self._most[place] = 0
        if seen:
            self._node.looked_at(seen)

    def close(self) -> None:
        """
        See no more.
        """
        self._is_program = False
        if self._next is not None:
            self._next.cancel()
            self._look_now()

    def _shown(self) -> None:
        if self._is_program and self._next is None:
            self._next = self._clock.callLater(LOOK_DELAY, self._look_now)

    def _look_now(self) -> None:
        self._next = None
        self.look()
