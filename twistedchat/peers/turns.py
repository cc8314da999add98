"""
One at a time, for each of many: whoever comes second waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from twisted.internet.defer import DeferredLock

__all__ = ["Turns"]

T = TypeVar("T", bound=Hashable)


class Turns(Generic[T]):
    """
    A lock for each thing that is being used, and none for the others.
    """

    def __init__(self) -> None:
        self._locks: dict[T, DeferredLock] = {}

    @asynccontextmanager
    async def of(self, thing: T) -> AsyncIterator[None]:
        """
        Wait until nobody else has a thing, and have it.

        Args:
            thing: Which.

        Yields:
            Nothing; it is let go of at the end.
        """
        lock = self._locks.setdefault(thing, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            # This may run the next one to its end, and that may have let go of the lock already.
            lock.release()
            if not lock.locked and self._locks.get(thing) is lock:
                del self._locks[thing]
