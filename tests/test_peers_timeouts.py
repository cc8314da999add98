"""
Many deadlines of one length, in one timer.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.peers.timeouts import TimeoutQueue


class TimeoutQueueTests(SynchronousTestCase):
    """
    `TimeoutQueue`, with ten seconds.
    """

    @override
    def setUp(self) -> None:
        """
        Make a queue that remembers what expired, and when.
        """
        self.clock = Clock()
        self.expired: list[tuple[str, float]] = []
        self.queue: TimeoutQueue[str] = TimeoutQueue(
            self.clock, 10.0, lambda thing: self.expired.append((thing, self.clock.seconds()))
        )

    def test_left_alone_expires_once(self) -> None:
        """
        A thing expires when its time is up, not before, and not again.
        """
        self.queue.restart("a")

        self.clock.advance(9.5)
        self.assertEqual([], self.expired)
        self.clock.advance(0.5)
        self.clock.advance(100)

        self.assertEqual([("a", 10.0)], self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_restarted_has_the_full_time_again(self) -> None:
        """
        Restarting counts from that moment on.
        """
        self.queue.restart("a")
        self.clock.advance(6)
        self.queue.restart("a")

        self.clock.pump([4, 6])

        self.assertEqual([("a", 16.0)], self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_several_expire_in_the_order_of_their_deadlines(self) -> None:
        """
        What was restarted goes behind what was set in between.
        """
        for thing in ("a", "b", "c"):
            self.queue.restart(thing)
            self.clock.advance(1)
        self.queue.restart("a")

        self.clock.pump([1] * 12)

        self.assertEqual([("b", 11.0), ("c", 12.0), ("a", 13.0)], self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_same_deadline_expires_in_the_order_of_setting(self) -> None:
        """
        What is due together is told together, first set first.
        """
        for thing in ("b", "a", "c"):
            self.queue.restart(thing)

        self.clock.advance(10)

        self.assertEqual([("b", 10.0), ("a", 10.0), ("c", 10.0)], self.expired)

    def test_cancelled_does_not_expire(self) -> None:
        """
        A cancelled thing is forgotten; cancelling what is not waited for does no harm.
        """
        self.queue.restart("a")
        self.queue.restart("b")

        self.queue.cancel("a")
        self.queue.cancel("never there")
        self.clock.advance(10)

        self.assertEqual([("b", 10.0)], self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_thousands_have_one_timer(self) -> None:
        """
        However many things there are, and however often restarted, the reactor has one timer.
        """
        for _ in range(3):
            for number in range(1000):
                self.queue.restart(str(number))
            self.clock.advance(0.5)

        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.queue.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_all_cancelled_leaves_no_timer_behind(self) -> None:
        """
        The timer of an empty queue runs out and is not set again.
        """
        self.queue.restart("a")
        self.queue.cancel("a")

        self.clock.advance(10)

        self.assertEqual([], self.clock.getDelayedCalls())

    def test_expiry_that_cancels_others_spares_them(self) -> None:
        """
        What is cancelled by one that expires is not told, though it was due as well.
        """
        expired: list[str] = []
        queue: TimeoutQueue[str]

        def end(thing: str) -> None:
            expired.append(thing)
            queue.cancel("b")

        queue = TimeoutQueue(self.clock, 1.0, end)
        for thing in ("a", "b", "c"):
            queue.restart(thing)

        self.clock.advance(1)

        self.assertEqual(["a", "c"], expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_expiry_that_restarts_itself_comes_again(self) -> None:
        """
        A thing may be given its time anew while it expires.
        """
        expired: list[float] = []
        queue: TimeoutQueue[str]

        def again(thing: str) -> None:
            expired.append(self.clock.seconds())
            if len(expired) < 3:
                queue.restart(thing)

        queue = TimeoutQueue(self.clock, 1.0, again)
        queue.restart("a")

        self.clock.pump([1.0] * 5)

        self.assertEqual([1.0, 2.0, 3.0], expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_expiry_that_stops_the_queue_ends_it(self) -> None:
        """
        A queue may be stopped by one that expires: the others are not told.
        """
        expired: list[str] = []
        queue: TimeoutQueue[str]

        def stop(thing: str) -> None:
            expired.append(thing)
            queue.stop()

        queue = TimeoutQueue(self.clock, 1.0, stop)
        queue.restart("a")
        queue.restart("b")
        self.clock.advance(0.5)
        queue.restart("c")

        self.clock.advance(0.5)

        self.assertEqual(["a"], expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stopped_tells_what_was_waited_for(self) -> None:
        """
        Stopping gives back what is left, expires nothing, and may be done twice.
        """
        self.queue.restart("a")
        self.queue.restart("b")

        self.assertEqual(["a", "b"], self.queue.stop())
        self.assertEqual([], self.queue.stop())

        self.clock.advance(100)
        self.assertEqual([], self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_restarted_after_a_stop_works_again(self) -> None:
        """
        A stopped queue is an empty one, not a broken one.
        """
        self.queue.restart("a")
        self.queue.stop()
        self.queue.restart("b")

        self.clock.advance(10)

        self.assertEqual([("b", 10.0)], self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())
