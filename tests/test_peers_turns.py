"""
Turns: one at a time, for each of many.
"""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.peers.turns import Turns

# More than the stack could hold, if each stood on the one before it.
MANY = 2000


class TurnsTests(SynchronousTestCase):
    """
    `Turns`.
    """

    @override
    def setUp(self) -> None:
        """
        Let nobody wait.
        """
        self.turns: Turns[str] = Turns()
        self.begun: list[int] = []
        self.ended: list[int] = []

    def use(self, number: int, until: Deferred[None] | None) -> Deferred[None]:
        """
        Have a thing until something happens, or just for a moment.
        """

        async def use() -> None:
            async with self.turns.of("it"):
                self.begun.append(number)
                self.assertEqual(self.begun[:-1], self.ended)
                if until is not None:
                    await until
                self.ended.append(number)

        return Deferred.fromCoroutine(use())

    def test_second_waits_for_the_first(self) -> None:
        """
        One thing is had by one at a time, in the order in which they came.
        """
        ends: list[Deferred[None]] = [Deferred() for _ in range(3)]
        uses = [self.use(number, until) for number, until in enumerate(ends)]

        self.assertEqual([0], self.begun)
        ends[0].callback(None)
        self.assertEqual([0, 1], self.begun)
        self.use(3, None)
        ends[1].callback(None)
        ends[2].callback(None)

        self.assertEqual([0, 1, 2, 3], self.ended)
        for using in uses:
            self.successResultOf(using)

    def test_things_do_not_wait_for_each_other(self) -> None:
        """
        Somebody else's thing is free.
        """
        self.use(0, Deferred())

        async def use_another() -> str:
            async with self.turns.of("another"):
                return "done"

        self.assertEqual("done", self.successResultOf(Deferred.fromCoroutine(use_another())))

    def test_many_who_wait_and_are_done_at_once_all_have_their_turn(self) -> None:
        """
        However many wait, the last one goes on as the first did.
        """
        end: Deferred[None] = Deferred()
        first = self.use(0, end)
        others = [self.use(number, None) for number in range(1, MANY)]

        end.callback(None)

        self.assertEqual(list(range(MANY)), self.ended)
        for using in (first, *others):
            self.successResultOf(using)

    def test_one_who_comes_while_others_have_it_in_turn_waits(self) -> None:
        """
        Where one is done at once and the next is not, whoever comes then is the one after that.
        """
        first_end: Deferred[None] = Deferred()
        third_end: Deferred[None] = Deferred()
        self.use(0, first_end)
        self.use(1, None)
        self.use(2, third_end)
        first_end.callback(None)

        late = self.use(3, None)

        self.assertEqual([0, 1, 2], self.begun)
        self.assertNoResult(late)
        third_end.callback(None)
        self.successResultOf(late)

    def test_one_who_gives_up_is_passed_over(self) -> None:
        """
        Whoever is cancelled while waiting does not get it, and holds up nobody.
        """
        end: Deferred[None] = Deferred()
        self.use(0, end)
        second, third = self.use(1, None), self.use(2, None)
        second.cancel()
        self.failureResultOf(second, CancelledError)

        end.callback(None)

        self.successResultOf(third)
        self.assertEqual([0, 2], self.ended)

    def test_failure_lets_go(self) -> None:
        """
        Whatever happens to whoever has it, the next one gets it.
        """
        end: Deferred[None] = Deferred()
        first, second = self.use(0, end), self.use(1, None)
        # It ends, though not well.
        self.ended.append(0)

        end.errback(ValueError("no"))

        self.failureResultOf(first, ValueError)
        self.successResultOf(second)
        self.assertEqual([0, 1], self.begun)
