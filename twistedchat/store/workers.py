"""
Threads that do one job after another, so that the reactor's own waits for no disk.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorFromThreads
from typing_extensions import override
from zope.interface import implementer

__all__ = ["NoThread", "ThreadWorker", "Worker"]


class Worker(Protocol):
    """
    Does jobs in the order in which they were given.
    """

    def do(self, job: Callable[[], None]) -> None:
        """
        Have something done, after all that was given before.

        Args:
            job: What to do. It raises nothing.
        """

    def end(self) -> None:
        """
        Wait until all that was given is done, and do nothing more.
        """


class ThreadWorker:
    """
    Does jobs in a thread of its own.

    The thread begins with the first job, since a thread does not outlive the fork by which twistd
    becomes a daemon; and it ends with the process.

    Args:
        name: The thread's, for whoever looks at the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def do(self, job: Callable[[], None]) -> None:
        """
        Have something done: see `Worker`.
        """
        self._jobs.put(job)
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """
        Wait until all is done: see `Worker`.
        """
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        for job in iter(self._jobs.get, None):
            job()


@implementer(IReactorFromThreads)
class NoThread:
    """
    Does each job at once, where it was given, and hands results over there too: for tests.
    """

    def do(self, job: Callable[[], None]) -> None:
        """
        Do it.
        """
        job()

    def end(self) -> None:
        """
        Nothing is left to be done.
        """

    @override
    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """
        Hand a result over.
        """
        function(*args, **kwargs)
