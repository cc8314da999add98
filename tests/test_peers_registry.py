"""
Who is there, and who is told of it.
"""

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.events import Event, PeerAdded, PeerChanged, PeerRemoved, UnknownTextReceived
from twistedchat.core.roster import Peer, Roster
from twistedchat.peers.registry import PeerRegistry
from twistedchat.testing import identity_of

ANN = Address("192.0.2.1", 7001)
BOB = Address("192.0.2.2", 7002)
KEY = identity_of("ann").key
NEWS = UnknownTextReceived("192.0.2.9", "hello", 1.0)


class PeerRegistryTests(SynchronousTestCase):
    """
    `PeerRegistry`.
    """

    @override
    def setUp(self) -> None:
        """
        Make one, with an observer.
        """
        self.registry = PeerRegistry()
        self.events: list[Event] = []
        self.unsubscribe = self.registry.subscribe(self.events.append)

    def hear(
        self,
        address: Address = ANN,
        name: str | None = "Ann",
        dialect: Dialect = Dialect.PLAIN,
        *,
        connects: bool = False,
    ) -> Peer:
        """
        Let a message come.
        """
        return self.registry.heard(address, name, dialect, 5.0, connects=connects)

    def test_heard_first_is_added(self) -> None:
        """
        A peer that speaks for the first time comes onto the list.
        """
        peer = self.hear()

        self.assertEqual([PeerAdded(peer)], self.events)
        self.assertEqual([peer], self.registry.roster.active())

    def test_heard_again_is_no_news(self) -> None:
        """
        More of the same changes nothing that anybody would want to be told.
        """
        self.hear()
        self.events.clear()

        peer = self.hear()

        self.assertEqual([], self.events)
        self.assertEqual(2, peer.received)

    def test_changes_are_told(self) -> None:
        """
        Another name, another dialect and being connected are news.
        """
        self.hear()
        self.events.clear()

        changed = [
            self.hear(name="Anna"),
            self.hear(name="Anna", dialect=Dialect.JSON),
            self.hear(name="Anna", dialect=Dialect.JSON, connects=True),
            self.hear(name="Anna", dialect=Dialect.JSON, connects=False),
        ]

        self.assertEqual([PeerChanged(peer) for peer in changed[:3]], self.events)

    def test_sent_adds_and_connects(self) -> None:
        """
        A peer that we wrote to is listed; writing a connect text makes it connected.
        """
        first = self.registry.sent(BOB, messages=2, connects=False)
        second = self.registry.sent(BOB, messages=1, connects=True)

        self.assertEqual([PeerAdded(first), PeerChanged(second)], self.events)
        self.assertEqual([(3, True)], [(second.sent, second.is_connected)])

    def test_secure_peer_is_listed_and_its_changes_told(self) -> None:
        """
        What goes between a secure peer and us changes its entry; of its numbers nobody is told.
        """

        def meet(*, connected: bool = True, verified: bool = False, received: int = 0) -> Peer:
            return self.registry.met(
                KEY,
                "Ann",
                ANN,
                is_connected=connected,
                is_verified=verified,
                now=5.0,
                received=received,
            )

        changed = [
            meet(),
            meet(received=3),
            meet(verified=True),
            meet(verified=True, connected=False),
        ]

        self.assertEqual(
            [PeerAdded(changed[0]), PeerChanged(changed[2]), PeerChanged(changed[3])], self.events
        )
        self.assertEqual((KEY, 3), (changed[3].id, changed[3].received))
        self.assertEqual(changed[3], self.registry.remove(KEY))
        self.assertEqual(PeerRemoved(changed[3]), self.events[-1])

    def test_no_room_tells_who_went(self) -> None:
        """
        Whoever had to make room is told to have gone, before the new one is told.
        """
        registry = PeerRegistry(Roster(most_peers=1))
        events: list[Event] = []
        registry.subscribe(events.append)

        ann = registry.heard(ANN, "Ann", Dialect.PLAIN, 1.0, connects=False)
        bob = registry.sent(BOB, messages=1, connects=False)

        self.assertEqual([PeerAdded(ann), PeerRemoved(ann), PeerAdded(bob)], events)

    def test_removed_is_told_once(self) -> None:
        """
        Removing tells who went; removing nobody tells nothing.
        """
        peer = self.hear()
        self.events.clear()

        self.assertEqual(peer, self.registry.remove(ANN))
        self.assertIsNone(self.registry.remove(ANN))

        self.assertEqual([PeerRemoved(peer)], self.events)
        self.assertEqual([], self.registry.roster.active())

    def test_failing_observer_is_logged_and_the_others_are_told(self) -> None:
        """
        One that raises keeps nobody else from being told, and is not left out the next time.
        """
        calls: list[Event] = []

        def fail(event: Event) -> None:
            calls.append(event)
            raise ValueError("broken")

        after: list[Event] = []
        self.registry.subscribe(fail)
        self.registry.subscribe(after.append)

        self.registry.publish(NEWS)
        self.registry.publish(NEWS)

        self.assertEqual([[NEWS, NEWS]] * 3, [self.events, calls, after])
        self.assertEqual(2, len(self.flushLoggedErrors(ValueError)))

    def test_unsubscribed_is_told_no_more(self) -> None:
        """
        Ending it works, twice as well as once, and ends nobody else's.
        """
        others: list[Event] = []
        self.registry.subscribe(others.append)

        self.unsubscribe()
        self.unsubscribe()
        self.registry.publish(NEWS)

        self.assertEqual(([], [NEWS]), (self.events, others))

    def test_unsubscribed_by_another_observer_is_not_told_any_more(self) -> None:
        """
        Whom an observer unsubscribes does not get the event that is being told.
        """
        registry = PeerRegistry()
        told: list[Event] = []
        registry.subscribe(lambda _: unsubscribe())
        unsubscribe = registry.subscribe(told.append)

        registry.publish(NEWS)

        self.assertEqual([], told)

    def test_subscribed_while_telling_waits_for_the_next(self) -> None:
        """
        An observer that subscribes another one while it is told does not upset the telling.
        """
        late: list[Event] = []

        def invite(event: Event) -> None:
            self.registry.subscribe(late.append)

        unsubscribe = self.registry.subscribe(invite)

        self.registry.publish(NEWS)
        self.assertEqual([], late)
        unsubscribe()
        self.registry.publish(NEWS)

        self.assertEqual([NEWS], late)

    def test_same_observer_twice_is_told_twice(self) -> None:
        """
        Subscriptions are apart, even those of one function.
        """
        unsubscribe = self.registry.subscribe(self.events.append)
        self.registry.publish(NEWS)
        unsubscribe()
        self.registry.publish(NEWS)

        self.assertEqual([NEWS] * 3, self.events)
