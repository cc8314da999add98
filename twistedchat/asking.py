"""
Asking: what others hold of what a third one said, and we lack, is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twistedchat.core.identity import DeviceKey
from twistedchat.core.sync import Chain
from twistedchat.peers.protocol import PeerProtocol

__all__ = ["ASK_AFTER", "LONGEST_WAIT", "Asking"]

# Seconds in which nothing comes of what somebody holds, after which it is asked for: its author, if
# they are here, sends it to everybody within milliseconds. And then it is asked for elsewhere.
ASK_AFTER = 1.0

# When all who hold it were asked in vain, they are asked again after twice the time, up to so many
# seconds: whoever claims to hold what there is not gets one small frame a minute for it.
LONGEST_WAIT = 60.0


@dataclass(slots=True, eq=False)
class _Wanted:
    """
    A chain of which somebody holds more than we do.

    Attributes:
        head: How far we held it when that was looked at.
        due: When it is to be looked at again.
        wait: How many seconds everybody who is asked is given.
        link: Who was asked last.
        since: When.
        goal: How far they hold it.
        asked: Who was asked since something came.
    """

    head: int
    due: float
    wait: float
    link: PeerProtocol | None = None
    since: float = 0.0
    goal: int = 0
    asked: set[PeerProtocol] = field(default_factory=set)


class Asking:
    """
    Asks one after the other of those who hold what we lack.

    Args:
        clock: Tells the time and calls back.
        head: Tells how far we hold a chain.
        holders: Tells who can be asked for more of it, and how far each holds it.
        is_here: Whether there is a session with an author, who sends by themselves.
        ask: Asks somebody for chains.
    """

    def __init__(
        self,
        clock: IReactorTime,
        head: Callable[[Chain], int],
        holders: Callable[[Chain], dict[PeerProtocol, int]],
        is_here: Callable[[DeviceKey], bool],
        ask: Callable[[PeerProtocol, list[Chain]], None],
    ) -> None:
        self._clock = clock
        self._head = head
        self._holders = holders
        self._is_here = is_here
        self._ask = ask
        self._wanted: dict[Chain, _Wanted] = {}
        self._timer: IDelayedCall | None = None
        # When something that was asked for last came from somebody.
        self._last_came: dict[PeerProtocol, float] = {}

    def close(self) -> None:
        """
        Wait for nothing any more.
        """
        self._wanted.clear()
        self._wait()

    def lacking(self, chains: Iterable[Chain]) -> None:
        """
        Somebody has told that they hold more of some chains than we do.

        Args:
            chains: Which.
        """
        now = self._clock.seconds()
        for chain in chains:
            if chain not in self._wanted:
                due = now + ASK_AFTER if self._is_here(chain[1]) else now
                self._wanted[chain] = _Wanted(self._head(chain), due, ASK_AFTER)
            elif not self._holders(chain).keys() <= self._wanted[chain].asked:
                # However long those were waited for who were asked in vain.
                wanted = self._wanted[chain]
                wanted.due = min(wanted.due, now + ASK_AFTER)
        self._look()

    def begin_anew(self, chains: Iterable[Chain]) -> None:
        """
        What came of some chains could not be taken, and can be now: forget who was asked for it.

        Args:
            chains: Which.
        """
        for chain in chains:
            self._wanted.pop(chain, None)

    def came(self, chain: Chain, link: PeerProtocol | None) -> None:
        """
        More of a chain is on our disk.

        Args:
            chain: Which.
            link: From whom, if they are still here.
        """
        wanted = self._wanted.get(chain)
        if wanted is None:
            return
        if link is not None:
            self._last_came[link] = self._clock.seconds()
        if not self._holders(chain):
            del self._wanted[chain]
        elif wanted.asked and self._head(chain) >= wanted.goal:
            # Somebody else holds more, or whoever was asked does by now.
            wanted.asked.clear()
            wanted.head, wanted.due = self._head(chain), self._clock.seconds()
            self._look()

    def gone(self, link: PeerProtocol) -> None:
        """
        A session is over: nothing more comes of what was asked for in it.

        Args:
            link: The connection.
        """
        self._last_came.pop(link, None)
        for wanted in self._wanted.values():
            if link in wanted.asked:
                wanted.asked.discard(link)
                wanted.due = self._clock.seconds()
        self._look()

    def _look(self) -> None:
        now = self._clock.seconds()
        asked: dict[PeerProtocol, list[Chain]] = {}
        for chain in [chain for chain, wanted in self._wanted.items() if wanted.due <= now]:
            wanted, holders = self._wanted[chain], self._holders(chain)
            head = self._head(chain)
            if not holders:
                del self._wanted[chain]
            elif head > wanted.head:
                # It is coming.
                wanted.head, wanted.wait, wanted.due = head, ASK_AFTER, now + ASK_AFTER
            elif wanted.link in holders and self._is_busy(wanted, now):
                wanted.due = now + ASK_AFTER
            else:
                if holders.keys() <= wanted.asked:
                    wanted.asked.clear()
                    wanted.wait = min(2 * wanted.wait, LONGEST_WAIT)
                link = next(link for link in holders if link not in wanted.asked)
                wanted.asked.add(link)
                wanted.link, wanted.since = link, now
                wanted.goal, wanted.due = holders[link], now + wanted.wait
                asked.setdefault(link, []).append(chain)
        for link, chains in asked.items():
            self._ask(link, chains)
        self._wait()

    def _is_busy(self, wanted: _Wanted, now: float) -> bool:
        # Whoever was asked sends other chains first. So slow a disk is not made faster by asking
        # everybody for the same.
        if wanted.link is None or wanted.link not in wanted.asked:
            return False
        last = self._last_came.get(wanted.link, wanted.since)
        return wanted.since < last >= now - ASK_AFTER and now - wanted.since < LONGEST_WAIT

    def _wait(self) -> None:
        due = min((wanted.due for wanted in self._wanted.values()), default=None)
        if self._timer is not None and self._timer.active():
            if due is not None and self._timer.getTime() <= due:
                return
            self._timer.cancel()
        self._timer = None
        if due is not None:
            self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._look)
