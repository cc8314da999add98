"""
Token buckets.
"""

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import pauses
from twistedchat.core.buckets import TokenBuckets


class TokenBucketsTests(SynchronousTestCase):
    """
    `TokenBuckets`, of three tokens each, one of which comes back every two seconds.
    """

    def make(self, most: int = 10) -> TokenBuckets:
        """
        Make some.
        """
        return TokenBuckets(0.5, 3, most)

    def test_full_bucket_holds_its_burst(self) -> None:
        """
        So many can be taken at once, and no more.
        """
        buckets = self.make()

        self.assertEqual([True] * 3 + [False] * 2, [buckets.take("a", 10.0) for _ in range(5)])

    def test_looking_takes_nothing(self) -> None:
        """
        To ask whether there is one leaves it there.
        """
        buckets = self.make()

        self.assertTrue(all(buckets.has_left("a", 10.0) for _ in range(9)))
        for _ in range(3):
            buckets.take("a", 10.0)
        self.assertFalse(buckets.has_left("a", 10.0))

    def test_tokens_come_back_in_time(self) -> None:
        """
        An empty bucket has one again after its time, and never more than it can hold.
        """
        buckets = self.make()
        for _ in range(3):
            buckets.take("a", 10.0)

        self.assertFalse(buckets.take("a", 11.9))
        self.assertTrue(buckets.take("a", 12.0))
        self.assertFalse(buckets.has_left("a", 13.9))
        self.assertEqual([True] * 3 + [False], [buckets.take("a", 9999.0) for _ in range(4)])

    def test_refused_costs_nothing(self) -> None:
        """
        Whoever asks for nothing again and again waits no longer for it.
        """
        buckets = self.make()
        for _ in range(3):
            buckets.take("a", 10.0)

        for tenth in range(1, 20):
            self.assertFalse(buckets.take("a", 10.0 + tenth / 10))

        self.assertTrue(buckets.take("a", 12.0))

    def test_buckets_are_apart(self) -> None:
        """
        What one takes is not missing in another's.
        """
        buckets = self.make()
        for _ in range(3):
            buckets.take("a", 10.0)

        self.assertTrue(buckets.take("b", 10.0))

    def test_clock_that_goes_back_takes_nothing_away(self) -> None:
        """
        A clock that is set back neither empties a bucket nor fills it.
        """
        buckets = self.make()
        buckets.take("a", 10.0)

        self.assertEqual([True] * 2 + [False], [buckets.take("a", 5.0) for _ in range(3)])

    def test_too_many_forget_the_one_used_longest_ago(self) -> None:
        """
        Beyond the bound the bucket that nobody touched longest is taken for full again.
        """
        buckets = self.make(most=2)
        for key in "ab":
            for _ in range(3):
                buckets.take(key, 10.0)
        self.assertFalse(buckets.take("a", 10.0))

        self.assertTrue(buckets.take("c", 10.0))

        self.assertFalse(buckets.has_left("a", 10.0))
        self.assertTrue(buckets.has_left("b", 10.0))

    @given(pauses())
    def test_never_more_than_burst_and_rate(self, waits: list[float]) -> None:
        """
        However it is timed, nobody gets more than a full bucket and what came back.
        """
        buckets = self.make()
        now = 0.0
        taken: list[float] = []
        for wait in waits:
            now += wait
            if buckets.take("a", now):
                taken.append(now)

        for first, start in enumerate(taken):
            for last, end in enumerate(taken[first:], start=1):
                self.assertLessEqual(last, 3 + 0.5 * (end - start) + 1e-6)
