"""
How often somebody may do something: token buckets, one for each. Without any I/O.
"""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["MOST_BUCKETS", "TokenBuckets"]

# Those who have taken something lately. A full bucket need not be remembered, so only a flood from
# very many comes to this, and then the one that was used longest ago is taken for full again.
MOST_BUCKETS = 4096


class TokenBuckets:
    """
    A bucket for each key, full at first, refilled drop by drop.

    Args:
        rate: Tokens that come back in a second.
        burst: Tokens in a full bucket.
        most: How many buckets are kept.
    """

    def __init__(self, rate: float, burst: float, most: int = MOST_BUCKETS) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        # The level of each at a time, in the order of that time.
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def has_left(self, key: Hashable, now: float) -> bool:
        """
        Whether there is a whole token left.

        Args:
            key: Whose bucket.
            now: The time, in seconds.

        Returns:
            Whether `take` would succeed.
        """
        return self._level(key, now) >= 1

    def take(self, key: Hashable, now: float) -> bool:
        """
        Take a token.

        Args:
            key: Whose bucket.
            now: The time, in seconds.

        Returns:
            Whether there was one.
        """
        level = self._level(key, now)
        self._levels.pop(key, None)
        has_left = level >= 1
        self._levels[key] = (level - 1 if has_left else level, now)
        if len(self._levels) > self._most:
            del self._levels[next(iter(self._levels))]
        return has_left

    def _level(self, key: Hashable, now: float) -> float:
        level, then = self._levels.get(key, (self._burst, now))
        # A clock that was set back takes nothing away.
        return min(self._burst, level + max(0.0, now - then) * self._rate)
