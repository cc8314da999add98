"""
One at a time, for each of many: whoever comes second waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, succeed

__all__ = ["Turns"]

T = TypeVar("T", bound=Hashable)


class _Turn:
    # Twisted's DeferredLock lets the next one go on from within the release of the one before: of a
    # hundred who wait and are done at once each stands on all before it, and that is too deep.

    def __init__(self) -> None:
        self._waiting: deque[Deferred[None]] = deque()
        self._is_taken = False
        self._is_granting = False

    @property
    def is_free(self) -> bool:
        return not self._is_taken and not self._waiting

    def take(self) -> Deferred[None]:
        if self.is_free:
            self._is_taken = True
            return succeed(None)
        taken: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(taken)
        return taken

    def let_go(self) -> None:
        self._is_taken = False
        if self._is_granting:
            return
        self._is_granting = True
        while self._waiting and not self._is_taken:
            self._is_taken = True
            self._waiting.popleft().callback(None)
        self._is_granting = False


class Turns(Generic[T]):
    """
    A lock for each thing that is being used, and none for the others.
    """

    def __init__(self) -> None:
        self._turns: dict[T, _Turn] = {}

    @asynccontextmanager
    async def of(self, thing: T) -> AsyncIterator[None]:
        """
        Wait until nobody else has a thing, and have it.

        Args:
            thing: Which.

        Yields:
            Nothing; it is let go of at the end.
        """
        turn = self._turns.setdefault(thing, _Turn())
        await turn.take()
        try:
            yield
        finally:
            turn.let_go()
            # Others may have had it since, to the last of them.
            if turn.is_free and self._turns.get(thing) is turn:
                del self._turns[thing]
