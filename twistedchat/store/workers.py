"""
Threads that do one job after another, so that the reactor's own waits for no disk.

Only one thread of a process runs Python at a time. Another one that wants to asks for it after
*switch interval* of waiting, and waits from the start again whenever the one that runs had let go
for a moment, as a reactor does in each of its turns. So with Python's own five milliseconds and
turns shorter than that it may get nothing done for seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

__all__ = ["ThreadWorker", "Worker"]

# Seconds. Shorter than the turns of a busy reactor, longer than it takes to change threads. It
# costs the reactor nothing while no thread has anything to do.
SWITCH_INTERVAL = 0.0001


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
    becomes a daemon; and it ends with the process. With it begins a shorter switch interval, for
    the whole process: see above.

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
            if sys.getswitchinterval() > SWITCH_INTERVAL:
                sys.setswitchinterval(SWITCH_INTERVAL)
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
