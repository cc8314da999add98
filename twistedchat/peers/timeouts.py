"""
Many deadlines of one length, in one timer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["TimeoutQueue"]

T = TypeVar("T")


class TimeoutQueue(Generic[T]):
    """
    Tells which things have been left alone for too long.

    All deadlines are equally far away, so they expire in the order in which they were set: a
    dictionary and one timer of the reactor's serve thousands of connections. A timer for each, as
    ``twisted.protocols.policies.TimeoutMixin`` has it, would be set and cancelled twice for every
    message, and kept for every idle connection.

    Args:
        clock: Tells the time and calls back.
        delay: How long a thing may be left alone, in seconds.
        expired: Called with each one that was.
    """

    def __init__(self, clock: IReactorTime, delay: float, expired: Callable[[T], object]) -> None:
        self._clock = clock
        self._delay = delay
        self._expired = expired
        self._deadlines: dict[T, float] = {}
        self._timer: IDelayedCall | None = None

    def restart(self, thing: T) -> None:
        """
        Give a thing the full time from now on, whether it was waited for or not.

        Args:
            thing: Anything hashable.
        """
        self._deadlines.pop(thing, None)
        self._deadlines[thing] = self._clock.seconds() + self._delay
        if self._timer is None:
            self._timer = self._clock.callLater(self._delay, self._look)

    def cancel(self, thing: T) -> None:
        """
        Wait for a thing no longer.

        The timer is left to run out: cancelling it each time would cost more than one idle wake-up.

        Args:
            thing: What may have been waited for.
        """
        self._deadlines.pop(thing, None)

    def stop(self) -> list[T]:
        """
        Wait for nothing any more.

        Returns:
            What had been waited for.
        """
        left = list(self._deadlines)
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return left

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        due = []
        for thing, deadline in self._deadlines.items():
            if deadline > now:
                self._timer = self._clock.callLater(deadline - now, self._look)
                break
            due.append(thing)
        for thing in due:
            # One that expires may end others.
            if self._deadlines.pop(thing, None) is not None:
                self._expired(thing)
