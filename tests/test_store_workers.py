"""
Threads that do one job after another.
"""

import subprocess
import sys
import threading
from functools import partial
from queue import SimpleQueue

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.processes import CHECKOUT
from twistedchat.store.workers import SWITCH_INTERVAL, ThreadWorker

FORKED = """
import os
from twistedchat.store.workers import ThreadWorker

worker = ThreadWorker("a-worker")
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    worker.do(lambda: os.write(1, b"done"))
    worker.end()
"""


class ThreadWorkerTests(SynchronousTestCase):
    """
    `ThreadWorker`.
    """

    @override
    def setUp(self) -> None:
        """
        Make one, and leave Python as it was.
        """
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        self.worker = ThreadWorker("a-worker")
        self.addCleanup(self.worker.end)

    def threads(self) -> list[threading.Thread]:
        """
        The threads of that name.
        """
        return [thread for thread in threading.enumerate() if thread.name == "a-worker"]

    def test_jobs_are_done_in_order_and_elsewhere(self) -> None:
        """
        All jobs are done in one other thread, in the order in which they were given.
        """
        done: list[tuple[int, int]] = []
        for number in range(100):
            self.worker.do(partial(lambda it: done.append((it, threading.get_ident())), number))

        self.worker.end()

        self.assertEqual(list(range(100)), [number for number, _ in done])
        (thread,) = {thread for _, thread in done}
        self.assertNotEqual(threading.get_ident(), thread)

    def test_thread_begins_with_the_first_job(self) -> None:
        """
        Nothing is there that a fork could lose before anything is to be done.
        """
        self.assertEqual([], self.threads())
        self.worker.do(lambda: None)

        (thread,) = self.threads()
        self.assertTrue(thread.daemon)

    def test_end_ends_the_thread(self) -> None:
        """
        When everything is done the thread is gone.
        """
        self.worker.do(lambda: None)
        (thread,) = self.threads()

        self.worker.end()

        self.assertFalse(thread.is_alive())

    def test_end_without_a_job_does_nothing(self) -> None:
        """
        Where nothing was to be done there is nothing to wait for.
        """
        self.worker.end()

        self.assertEqual([], self.threads())

    def test_busy_thread_is_interrupted_sooner(self) -> None:
        """
        With the thread begins a shorter switch interval, and a still shorter one stays.
        """
        self.worker.do(lambda: None)
        self.assertAlmostEqual(SWITCH_INTERVAL, sys.getswitchinterval())

        sys.setswitchinterval(SWITCH_INTERVAL / 2)
        shorter = sys.getswitchinterval()
        other = ThreadWorker("another-worker")
        other.do(lambda: None)
        other.end()
        self.assertEqual(shorter, sys.getswitchinterval())

    def test_worker_outlives_a_fork(self) -> None:
        """
        A worker that was made before a fork works after it, as a daemon needs it to.
        """
        child = subprocess.run(
            [sys.executable, "-c", FORKED], cwd=CHECKOUT, capture_output=True, text=True
        )

        self.assertEqual(("done", "", 0), (child.stdout, child.stderr, child.returncode))

    def test_idle_thread_takes_the_next_job(self) -> None:
        """
        A thread that has nothing to do waits, and is woken by a job.
        """
        done: SimpleQueue[str] = SimpleQueue()
        for name in ("first", "second"):
            self.worker.do(partial(done.put, name))
            self.assertEqual(name, done.get(timeout=30))
