"""
Asking: who is asked for what others hold and we lack, and when.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.asking import ASK_AFTER, LONGEST_WAIT, Asking
from twistedchat.core.identity import DeviceKey
from twistedchat.core.sync import Chain
from twistedchat.peers.doorman import Doorman
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.testing import identity_of

ROOM = b"r" * 32
ANN, BOB, CY = (identity_of(name).key for name in ("ann", "bob", "cy"))

# Shorter than any time that is measured here.
MOMENT = 0.001


class AskingTests(SynchronousTestCase):
    """
    Ann and Bob have said something, and others hold it.
    """

    @override
    def setUp(self) -> None:
        """
        Let nobody hold anything, and neither of them be here.
        """
        self.clock = Clock()
        self.heads: dict[Chain, int] = {}
        self.held: dict[PeerProtocol, dict[Chain, int]] = {}
        self.here: set[DeviceKey] = set()
        self.asked: list[tuple[PeerProtocol, list[Chain]]] = []
        doorman = Doorman(self.clock, lambda *_: None)
        self.first, self.second = (PeerProtocol(doorman, None) for _ in range(2))
        self.ann, self.bob = (ROOM, ANN), (ROOM, BOB)
        self.asking = Asking(
            self.clock,
            lambda chain: self.heads.get(chain, 0),
            self.holders,
            self.here.__contains__,
            lambda link, chains: self.asked.append((link, chains)),
        )

    @override
    def tearDown(self) -> None:
        """
        See that nothing is left behind.
        """
        self.asking.close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def holders(self, chain: Chain) -> dict[PeerProtocol, int]:
        """
        Who holds more of a chain than we do.
        """
        head = self.heads.get(chain, 0)
        return {link: held[chain] for link, held in self.held.items() if held.get(chain, 0) > head}

    def tell(self, link: PeerProtocol, **ends: int) -> None:
        """
        Let somebody tell how much they hold.
        """
        told = {(ROOM, {"ann": ANN, "bob": BOB}[name]): end for name, end in ends.items()}
        self.held.setdefault(link, {}).update(told)
        self.asking.lacking(told)

    def come(self, chain: Chain, head: int, link: PeerProtocol | None = None) -> None:
        """
        Let something come.
        """
        self.heads[chain] = head
        self.asking.came(chain, link)

    def leave(self, link: PeerProtocol) -> None:
        """
        Let a session end.
        """
        del self.held[link]
        self.asking.gone(link)

    def wait(self, seconds: float) -> None:
        """
        Let time pass, in steps.
        """
        for _ in range(round(seconds / ASK_AFTER)):
            self.clock.advance(ASK_AFTER)

    def test_what_authors_who_are_away_said_is_asked_for_at_once_and_together(self) -> None:
        """
        Nobody else brings it.
        """
        self.tell(self.first, ann=3, bob=2)

        self.assertEqual([(self.first, [self.ann, self.bob])], self.asked)

    def test_what_an_author_who_is_here_said_is_waited_for(self) -> None:
        """
        They send it themselves, and only if nothing comes is it asked for.
        """
        self.here.add(ANN)
        self.tell(self.first, ann=3)
        self.clock.advance(ASK_AFTER - MOMENT)
        self.assertEqual([], self.asked)

        self.clock.advance(2 * MOMENT)

        self.assertEqual([(self.first, [self.ann])], self.asked)

    def test_what_has_come_meanwhile_is_not_asked_for(self) -> None:
        """
        Once all is there nothing is waited for any more.
        """
        self.here.add(ANN)
        self.tell(self.first, ann=3)

        self.come(self.ann, 3)
        self.wait(ASK_AFTER)

        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.asked)

    def test_what_was_held_by_nobody_else_is_forgotten_when_they_go(self) -> None:
        """
        There is nobody left to be asked.
        """
        self.tell(self.first, ann=3)

        self.leave(self.first)

        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(1, len(self.asked))

    def test_what_is_coming_is_not_asked_for_again(self) -> None:
        """
        However slowly it comes.
        """
        self.tell(self.first, ann=30)
        self.tell(self.second, ann=30)
        for head in range(1, 20):
            self.clock.advance(ASK_AFTER / 2)
            self.come(self.ann, head)

        self.assertEqual([(self.first, [self.ann])], self.asked)

    def test_more_than_one_holds_is_asked_of_another(self) -> None:
        """
        As soon as all that the first one holds is there.
        """
        self.tell(self.first, ann=3)
        self.tell(self.second, ann=5)

        self.come(self.ann, 3)

        self.assertEqual([(self.first, [self.ann]), (self.second, [self.ann])], self.asked)

    def test_another_is_asked_when_nothing_comes(self) -> None:
        """
        After a while each of those who hold it is asked in turn, and then less and less often.
        """
        self.tell(self.first, ann=3)
        self.tell(self.second, ann=3)
        self.wait(3 * ASK_AFTER)
        links = [link for link, _ in self.asked]
        self.assertEqual([self.first, self.second, self.first], links)

        self.wait(10 * LONGEST_WAIT)
        self.asked.clear()
        self.wait(10 * LONGEST_WAIT)

        self.assertEqual(10, len(self.asked))

    def test_another_is_asked_when_one_goes(self) -> None:
        """
        At once, since nothing more comes of the first.
        """
        self.tell(self.first, ann=3)
        self.tell(self.second, ann=3)

        self.leave(self.first)

        self.assertEqual([(self.first, [self.ann]), (self.second, [self.ann])], self.asked)

    def test_others_who_go_change_nothing(self) -> None:
        """
        Whoever was not asked is not missed.
        """
        self.tell(self.first, ann=3)
        self.tell(self.second, ann=3)

        self.leave(self.second)

        self.assertEqual([(self.first, [self.ann])], self.asked)

    def test_somebody_else_who_holds_it_is_asked_soon(self) -> None:
        """
        However long those were waited for who claimed to hold it before.
        """
        self.tell(self.first, ann=10**6)
        self.wait(5 * LONGEST_WAIT)
        self.asked.clear()
        self.asking.lacking([self.ann])
        self.assertEqual([], self.asked)

        self.tell(self.second, ann=1)
        self.wait(ASK_AFTER)

        self.assertEqual([(self.second, [self.ann])], self.asked)

    def test_whoever_sends_other_chains_is_waited_for(self) -> None:
        """
        What is slow would be slower if everybody sent it.
        """
        self.tell(self.first, ann=9, bob=9)
        self.tell(self.second, ann=9, bob=9)
        for head in range(1, 9):
            self.clock.advance(ASK_AFTER / 2)
            self.come(self.ann, head, self.first)
        self.assertEqual([(self.first, [self.ann, self.bob])], self.asked)

        self.wait(2 * ASK_AFTER)

        self.assertEqual((self.second, [self.ann, self.bob]), self.asked[-1])

    def test_whoever_sends_other_chains_is_not_waited_for_for_ever(self) -> None:
        """
        They may never send the one that they said they hold.
        """
        self.tell(self.first, ann=10**6, bob=9)
        self.tell(self.second, bob=9)
        for head in range(1, round(LONGEST_WAIT / ASK_AFTER) + 3):
            self.clock.advance(ASK_AFTER)
            self.come(self.ann, head, self.first)

        self.assertIn((self.second, [self.bob]), self.asked)

    def test_what_nobody_told_of_may_come(self) -> None:
        """
        Most entries were never waited for.
        """
        self.come(self.bob, 7)

        self.assertEqual([], self.asked)
