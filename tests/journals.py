"""
What the tests of the journal share: somebody who says things, and threads that are none.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads
from twisted.internet.task import Clock
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.entries import NOTHING, TEXT, Entry, Said, sign_run, written_form
from twistedchat.testing import identity_of

ROOM = sha256(b"a room").digest()
OTHER_ROOM = sha256(b"another room").digest()


class Author:
    """
    Somebody who says things in one room, each after the last.

    Args:
        name: Whose key it is.
        room: Where.
    """

    def __init__(self, name: str = "Netech", room: bytes = ROOM) -> None:
        self.identity = identity_of(name)
        self.key = self.identity.key
        self.room = room
        self.seq = 0
        self.prev = NOTHING

    def says(self, *said: str | Said) -> tuple[Entry, ...]:
        """
        Say something: one run, of which the last entry is signed.

        Args:
            said: Bodies; of bare text the time is the entry's number.
        """
        things = tuple(
            one if isinstance(one, Said) else Said(self.seq + number, TEXT, one)
            for number, one in enumerate(said, start=1)
        )
        _, entries = sign_run(self.identity, self.room, self.seq + 1, self.prev, things)
        self.seq, self.prev = entries[-1].seq, entries[-1].hash
        return entries

    @property
    def head(self) -> tuple[int, bytes]:
        """
        How far its entries reach.
        """
        return self.seq, self.prev


def is_whole(entries: Sequence[Entry]) -> bool:
    """
    Whether entries are an author's from the first on, none left out and none altered.
    """
    prev = NOTHING
    for seq, entry in enumerate(entries, start=1):
        form = written_form(entry.room, entry.author, entry.seq, entry.prev, entry.said)
        if (entry.seq, entry.prev, entry.hash) != (seq, prev, sha256(form).digest()):
            return False
        if entry.signature and not entry.author.has_signed(entry.signature, form):
            return False
        prev = entry.hash
    return not entries or bool(entries[-1].signature)


@implementer(IReactorFromThreads)
class Here:
    """
    A reactor and a worker in one: everything is done at once, where it was given.

    Attributes:
        hops: How often a result came back.
        done: How many jobs were done.
    """

    def __init__(self) -> None:
        self.hops = 0
        self.done = 0

    def do(self, job: Callable[[], None]) -> None:
        """
        Do it.
        """
        self.done += 1
        job()

    def end(self) -> None:
        """
        Nothing is left to do.
        """

    def callFromThread(  # noqa: N802 (Twisted's name)
        self, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        """
        Take a result.
        """
        self.hops += 1
        callable(*args, **kwargs)

    def callLater(  # noqa: N802 (Twisted's name)
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> IDelayedCall | None:
        """
        Do not wait; so there is nothing to be called off.
        """
        callable(*args, **kwargs)
        return None


class Later(Here):
    """
    The same, but jobs are done when a test says so, and results wait until then too.

    Attributes:
        clock: Tells it when to call back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.jobs: deque[Callable[[], None]] = deque()
        self.results: deque[Callable[[], object]] = deque()

    @override
    def do(self, job: Callable[[], None]) -> None:
        """
        Remember it.
        """
        self.jobs.append(job)

    @override
    def callFromThread(
        self, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        """
        Remember a result.
        """
        self.results.append(lambda: super(Later, self).callFromThread(callable, *args, **kwargs))

    @override
    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> IDelayedCall | None:
        """
        Wait for the clock.
        """
        return self.clock.callLater(delay, callable, *args, **kwargs)

    def work(self) -> None:
        """
        Do all jobs that wait.
        """
        _run_all(self.jobs)

    def tell(self) -> None:
        """
        Hand over all results that wait.
        """
        _run_all(self.results)

    def settle(self) -> None:
        """
        Do both until nothing is left, and nothing is waited for.
        """
        while self.jobs or self.results or self.clock.getDelayedCalls():
            self.clock.advance(1)
            self.work()
            self.tell()


def _run_all(waiting: deque[Callable[[], object]] | deque[Callable[[], None]]) -> None:
    for _ in range(len(waiting)):
        waiting.popleft()()


def bodies(entries: Iterable[Entry]) -> list[str]:
    """
    What entries say.
    """
    return [entry.said.body for entry in entries]
