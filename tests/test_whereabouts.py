"""
Whereabouts: finding each other by what the network and others tell.
"""

from twisted.internet.defer import Deferred
from typing_extensions import override

from tests.people import MALLORY, PORT, Impostor, PeopleTestCase, Person, SessionCaller, hello
from twistedchat import rooms
from twistedchat.core.addresses import Address
from twistedchat.core.events import NearbyChanged
from twistedchat.core.frames import MOST_SOUGHT, MOST_TOLD, Have, Met, Seek
from twistedchat.core.hints import hint_of, who_is_meant
from twistedchat.core.history import RoomRecord
from twistedchat.core.identity import DeviceKey
from twistedchat.core.nearby import Nearby, Record
from twistedchat.core.roster import RoomId
from twistedchat.testing import LOOPBACK, OUTSIDE, identity_of
from twistedchat.whereabouts import SEEK_INTERVAL, SEEKS_AT_ONCE

ELSEWHERE = Address(OUTSIDE, PORT)
SALT = bytes(range(16))


class ThreeTests(PeopleTestCase):
    """
    Ann, Bob and Carol: who knows both tells one where the other is.
    """

    def know(self, one: Person, other: Person, *addresses: Address) -> None:
        """
        Let one know another, at these addresses.
        """
        one.contacts.accept(other.key, other.name, 0.0)
        for address in addresses:
            one.contacts.met(other.key, other.name, address, 0.0)

    def settle(self) -> None:
        """
        Give them time to find each other.
        """
        self.pass_time(5)

    def have_met(self, one: Person, other: Person) -> bool:
        """
        Whether two have a session.
        """
        return bool(self.wires_between(one, other))

    def test_common_friend_tells_where_somebody_is(self) -> None:
        """
        Ann has lost Carol; Bob, who knows and has both, tells her, and she dials.
        """
        ann, bob, carol = (self.make(name) for name in ("ann", "bob", "carol"))
        self.acquaint(ann, bob)
        self.acquaint(bob, carol)
        self.know(ann, carol, Address("203.0.113.9", PORT))
        self.know(carol, ann)
        self.network.silent_hosts.add("203.0.113.9")
        self.start(bob, carol)
        self.settle()

        self.start(ann)
        self.pass_time(15)

        self.assertTrue(self.have_met(ann, carol))
        self.assertIn(carol.address, ann.contacts.find(carol.key).addresses)  # type: ignore[union-attr]
        self.assert_talk(ann, carol)

    def test_nobody_is_told_of_whom_they_do_not_know(self) -> None:
        """
        Bob's other friends are not told to Ann, who does not ask for them, nor she to them.
        """
        ann, bob, carol = (self.make(name) for name in ("ann", "bob", "carol"))
        self.acquaint(ann, bob)
        self.acquaint(bob, carol)
        self.start(ann, bob, carol)

        self.pass_time(200)

        self.assertFalse(self.have_met(ann, carol))
        self.assertEqual({}, ann.node._sessions._hints.get(carol.key, {}))
        self.assertEqual([], carol.node.callers())

    def test_nobody_is_told_to_whom_we_have_blocked(self) -> None:
        """
        Whom Bob has blocked he does not tell about, and does not talk to.
        """
        ann, bob, carol = (self.make(name) for name in ("ann", "bob", "carol"))
        self.acquaint(ann, bob)
        self.know(ann, carol)
        self.acquaint(bob, carol)
        bob.contacts.block(carol.key, "carol", 0.0)
        self.start(ann, bob, carol)

        self.pass_time(200)

        self.assertFalse(self.have_met(ann, carol))

    def test_told_address_proves_nothing(self) -> None:
        """
        Where somebody else answers at a told address, nothing is said to them.
        """
        ann, bob = self.meet("ann", "bob")
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        carol = identity_of("carol").key
        ann.contacts.accept(carol, "carol", 0.0)
        bob.contacts.accept(carol, "carol", 0.0)
        bob.contacts.met(carol, "carol", ELSEWHERE, 0.0)

        ann.node.not_reached(carol)
        self.pass_time(2)

        self.assertIn(ELSEWHERE, self.network.dialled)
        self.assertEqual([], impostor.sessions)
        self.assertEqual([], ann.node.callers())
        self.assert_talk(ann, bob)


class SeekingTests(PeopleTestCase):
    """
    What is asked and answered, with one who holds the other end by hand.
    """

    @override
    def setUp(self) -> None:
        """
        Let Mallory be a friend of Ann's, who also knows Carol, and does not find her.
        """
        super().setUp()
        self.ann = self.make("ann")
        self.carol = identity_of("carol").key
        self.ann.contacts.accept(MALLORY.key, "Mallory", 0.0)
        self.ann.contacts.accept(self.carol, "carol", 1.0)
        self.start(self.ann)

    def come(self, dial: int = 1, *, knows: bool = True) -> SessionCaller:
        """
        Let Mallory come.
        """
        return self.greet(self.ann, MALLORY, hello(dial=dial, knows=knows))

    def asked(self, caller: SessionCaller) -> list[Seek]:
        """
        What Ann asked.
        """
        return [frame for frame in caller.frames if isinstance(frame, Seek)]

    def told(self, caller: SessionCaller) -> list[Met]:
        """
        What Ann told.
        """
        return [frame for frame in caller.frames if isinstance(frame, Met)]

    def tell(self, caller: SessionCaller, key: DeviceKey, *places: str) -> None:
        """
        Answer Ann's last question.
        """
        salt = bytes.fromhex(self.asked(caller)[-1].salt)
        caller.say(Met(salt=salt.hex(), peers={hint_of(key, salt): places}))
        self.network.settle()

    def seek(self, caller: SessionCaller, *keys: DeviceKey, salt: bytes = SALT) -> None:
        """
        Ask Ann for somebody.
        """
        caller.say(Seek(salt=salt.hex(), hints=tuple(hint_of(key, salt) for key in keys)))
        self.network.settle()

    def test_those_who_are_away_are_asked_for_by_hints(self) -> None:
        """
        With the first session Ann asks, in a way that only who knows Carol understands.
        """
        caller = self.come()

        (seek,) = self.asked(caller)
        self.assertEqual((hint_of(self.carol, bytes.fromhex(seek.salt)),), seek.hints)
        self.assertNotIn(str(self.carol).encode(), caller.heard)

    def test_who_has_not_let_us_in_is_asked_when_they_do(self) -> None:
        """
        A stranger's question would break the rules; it is asked when they let us in.
        """
        caller = self.come(knows=False)
        self.assertEqual([], self.asked(caller))

        caller.say(Have(rooms={}))
        self.network.settle()

        self.assertEqual(1, len(self.asked(caller)))

    def test_nobody_away_asks_nothing(self) -> None:
        """
        Where everybody is there, there is nobody to ask for.
        """
        self.ann.contacts.forget(self.carol)

        self.assertEqual([], self.asked(self.come()))

    def test_blocked_ones_are_not_looked_for(self) -> None:
        """
        Whom we keep out we do not want to find.
        """
        self.ann.contacts.block(self.carol, "carol", 0.0)

        self.assertEqual([], self.asked(self.come()))

    def test_same_peer_is_asked_once_a_minute(self) -> None:
        """
        However often somebody is not found, the same one is not bothered more.
        """
        caller = self.come()
        for _ in range(5):
            self.ann.node.not_reached(self.carol)
        self.network.settle()
        self.assertEqual(1, len(self.asked(caller)))

        self.pass_time(SEEK_INTERVAL / 2)
        caller.say(Have(rooms={}))
        self.pass_time(SEEK_INTERVAL / 2)
        caller = self.come(2)
        self.ann.node.not_reached(self.carol)
        self.network.settle()

        # A new session is asked anew, and that one only once too.
        self.assertEqual(1, len(self.asked(caller)))

    def test_sessions_that_come_again_and_again_are_not_all_asked(self) -> None:
        """
        Whoever opens one session after another is asked a few times, and answers no more often.
        """
        asked = 0
        for number in range(SEEKS_AT_ONCE + 5):
            asked += len(self.asked(self.come(number + 1)))

        self.assertEqual(SEEKS_AT_ONCE, asked)

    def make_friends(self, number: int) -> list[DeviceKey]:
        """
        Let Ann know so many who are away, Carol among them.
        """
        friends = [identity_of(f"friend {one}").key for one in range(number - 1)]
        for key in friends:
            self.ann.contacts.accept(key, "x", 2.0)
        return [self.carol, *friends]

    def meant(self, seek: Seek, keys: list[DeviceKey]) -> set[DeviceKey]:
        """
        For whom Ann asked.
        """
        return set(who_is_meant(seek.hints, bytes.fromhex(seek.salt), keys).values())

    def test_so_many_are_asked_for_at_a_time_and_everybody_in_turn(self) -> None:
        """
        One question has a bound, and the next one goes on behind it, until all were asked for.
        """
        friends = self.make_friends(3 * MOST_SOUGHT - 10)
        caller = self.come()
        asked: list[set[DeviceKey]] = []
        for _ in range(3):
            (seek,) = self.asked(caller)[len(asked) :]
            self.assertEqual(MOST_SOUGHT, len(seek.hints))
            asked.append(self.meant(seek, friends))
            # Whether there was an answer makes no difference.
            self.tell(caller, friends[0], "192.0.2.9:1")
            end = self.network.seconds() + SEEK_INTERVAL
            while self.network.seconds() < end:
                self.pass_time(4)
                caller.say(Have(rooms={}))
            self.ann.node.not_reached(self.carol)
            self.network.settle()

        self.assertEqual(set(friends), set().union(*asked))

    def test_short_sessions_do_not_always_ask_for_the_same_ones(self) -> None:
        """
        Where each session brings one question, it does not always begin with the same.
        """
        friends = self.make_friends(1000)

        asked = [
            self.meant(self.asked(self.come(number + 1))[0], friends)
            for number in range(SEEKS_AT_ONCE)
        ]

        self.assertGreater(len(set().union(*asked)), MOST_SOUGHT)

    def test_whoever_is_known_no_longer_is_no_place_to_go_on_from(self) -> None:
        """
        Then it goes on anywhere.
        """
        friends = self.make_friends(3)
        caller = self.come()
        (first,) = self.asked(caller)
        last = who_is_meant(first.hints[-1:], bytes.fromhex(first.salt), friends)
        self.ann.contacts.forget(last[first.hints[-1]])
        end = self.network.seconds() + SEEK_INTERVAL
        while self.network.seconds() < end:
            self.pass_time(4)
            caller.say(Have(rooms={}))

        self.ann.node.not_reached(self.carol)
        self.network.settle()

        _, second = self.asked(caller)
        self.assertEqual(set(friends) - set(last.values()), self.meant(second, friends))

    def test_who_does_not_read_is_not_asked(self) -> None:
        """
        A session in which much waits already gets nothing more.
        """
        caller = self.come(knows=False)
        link = self.ann.node._sessions.find(MALLORY.key)
        assert link is not None
        link.is_choked = True

        caller.say(Have(rooms={}))
        self.network.settle()
        self.seek(caller, self.carol)

        self.assertEqual([], self.asked(caller))
        self.assertEqual([], self.told(caller))

    def test_answer_is_dialled(self) -> None:
        """
        What was asked for is tried where it was told to be.
        """
        caller = self.come()
        self.network.dialled.clear()

        self.tell(caller, self.carol, f"{OUTSIDE}:{PORT}", "[2001:db8::5]:7070")
        self.pass_time(0.1)

        self.assertEqual({ELSEWHERE, Address("2001:db8::5", 7070)}, set(self.network.dialled))

    def test_second_answer_does_not_count(self) -> None:
        """
        One question has one answer: nobody has us dial the whole world.
        """
        caller = self.come()
        self.tell(caller, self.carol, "192.0.2.9:1")
        self.pass_time(0.1)
        self.network.dialled.clear()

        for port in range(2, 50):
            self.tell(caller, self.carol, f"192.0.2.9:{port}")
        self.pass_time(0.1)

        self.assertEqual([], self.network.dialled)
        # Nor does it let us ask more often.
        self.ann.node.not_reached(self.carol)
        self.network.settle()
        self.assertEqual(1, len(self.asked(caller)))

    def test_answers_that_nobody_asked_for_do_not_count(self) -> None:
        """
        Another salt, another key, or no question at all: nothing of it is dialled.
        """
        caller = self.come()
        self.ann.contacts.accept(identity_of("dave").key, "dave", 3.0)
        self.network.dialled.clear()
        other = bytes(16)

        caller.say(Met(salt=other.hex(), peers={hint_of(self.carol, other): ("192.0.2.9:1",)}))
        self.network.settle()
        self.tell(caller, identity_of("dave").key, "192.0.2.9:2")
        self.tell(caller, identity_of("nobody").key, "192.0.2.9:3")
        self.pass_time(0.1)

        self.assertEqual([], self.network.dialled)
        self.assertIsNone(caller.reason)

    def test_addresses_that_lead_back_to_us_are_not_believed(self) -> None:
        """
        Loopback and link-local addresses, names and nonsense mean nothing from somebody else.
        """
        caller = self.come()
        self.network.dialled.clear()

        self.tell(
            caller,
            self.carol,
            "127.0.0.1:22",
            "[::1]:22",
            "169.254.1.1:80",
            "[fe80::1%eth0]:80",
            "[::ffff:127.0.0.1]:22",
            "router.lan:80",
            "192.0.2.9",
            "<nowhere>",
        )
        self.pass_time(0.1)

        self.assertEqual([], self.network.dialled)
        self.assertEqual({}, self.ann.node._sessions._hints.get(self.carol, {}))

    def test_question_is_answered_with_where_they_were_reached(self) -> None:
        """
        Whoever knows a friend of ours is told where we have reached them, and where they are now.
        """
        self.ann.contacts.met(self.carol, "carol", Address("203.0.113.5", 1), 0.0)
        self.ann.contacts.met(self.carol, "carol", Address("2001:db8::5", 2), 0.0)
        there = self.greet(
            self.ann, identity_of("carol"), hello("carol", 3, knows=True), host="203.0.113.6"
        )
        caller = self.come()

        self.seek(caller, self.carol, identity_of("nobody").key)

        (met,) = self.told(caller)
        self.assertEqual(
            {hint_of(self.carol, SALT): ("203.0.113.6:3", "[2001:db8::5]:2", "203.0.113.5:1")},
            met.peers,
        )
        self.assertEqual(SALT.hex(), met.salt)
        self.assertIsNone(there.reason)

    def test_what_means_nothing_elsewhere_is_not_told(self) -> None:
        """
        Loopback and link-local addresses and names stay here, and of one not too many are told.
        """
        for host in (LOOPBACK, "::1", "169.254.1.1", "fe80::1%eth0", "carol.lan"):
            self.ann.contacts.met(self.carol, "carol", Address(host, 1), 0.0)
        caller = self.come()
        self.seek(caller, self.carol)
        self.assertEqual([], self.told(caller))
        dave = identity_of("dave").key
        self.ann.contacts.accept(dave, "dave", 0.0)
        for number in range(20):
            self.ann.contacts.met(dave, "dave", Address("203.0.113.5", number + 1), 0.0)

        self.seek(caller, dave)

        (met,) = self.told(caller)
        (places,) = met.peers.values()
        self.assertEqual(MOST_TOLD, len(places))

    def test_asker_is_not_told_of_itself(self) -> None:
        """
        Nobody has to be told where they are.
        """
        self.ann.contacts.met(MALLORY.key, "Mallory", ELSEWHERE, 0.0)
        caller = self.come()

        self.seek(caller, MALLORY.key)

        self.assertEqual([], self.told(caller))

    def test_too_many_questions_are_not_answered(self) -> None:
        """
        A few at once are, and then one each minute, over all the sessions that somebody opens.
        """
        self.ann.contacts.met(self.carol, "carol", ELSEWHERE, 0.0)
        told = 0
        for number in range(SEEKS_AT_ONCE):
            caller = self.come(number + 1)
            self.seek(caller, self.carol)
            self.seek(caller, self.carol)
            told += len(self.told(caller))
        self.assertEqual(SEEKS_AT_ONCE, told)

        while self.network.seconds() < 1000 + SEEK_INTERVAL:
            self.pass_time(4)
            caller.say(Have(rooms={}))
        self.network.settle()
        self.seek(caller, self.carol)

        self.assertEqual(1, len(self.told(caller)))
        self.assertIsNone(caller.reason)

    def test_who_has_not_let_us_in_is_not_answered(self) -> None:
        """
        Friends are told to those alone to whom we are one.
        """
        self.ann.contacts.met(self.carol, "carol", ELSEWHERE, 0.0)
        caller = self.come(knows=False)

        self.seek(caller, self.carol)

        self.assertEqual([], self.told(caller))


class LargeRoomTests(PeopleTestCase):
    """
    Asking for those in a large room, of whom only some are wanted.
    """

    def test_others_whose_place_nobody_told_are_asked_for_after_the_neighbours(self) -> None:
        """
        Neighbours who are away are named always, others as long as nobody has told where they are.
        """
        self.patch(rooms, "FULL_MESH", 2)
        self.patch(rooms, "NEIGHBOURS", 1)
        ann = self.make("ann")
        ann.contacts.accept(MALLORY.key, "Mallory", 0.0)
        self.start(ann)
        making: Deferred[RoomRecord] = ann.node.make_room("garden")
        self.network.settle()
        room = RoomId(self.successResultOf(making).room)
        others = [identity_of(name).key for name in ("bob", "carol", "dave", "eve", "mallet")]
        for key in others:
            ann.contacts.accept(key, "x", 0.0)
            ann.node.add_to(room, key)
            self.network.settle()
        for key in others:
            ann.contacts.forget(key)
        blocked, told, *_ = sorted(key for key in others if key > ann.key) + sorted(others)
        ann.contacts.block(blocked, "x", 0.0)
        self.network.silent_hosts.add(OUTSIDE)
        ann.node._sessions.hint(told, (ELSEWHERE,))

        caller = self.greet(ann, MALLORY, hello(knows=True))

        (seek,) = (frame for frame in caller.frames if isinstance(frame, Seek))
        asked = [hint_of(key, bytes.fromhex(seek.salt)) for key in others if key != blocked]
        self.assertEqual(sorted(asked), sorted(seek.hints))
        # The neighbour is asked for although somebody has told where it is.
        self.assertEqual(hint_of(told, bytes.fromhex(seek.salt)), seek.hints[0])


class NearbyTests(PeopleTestCase):
    """
    Nodes that were found on the network.
    """

    def record(self, key: DeviceKey, *addresses: Address) -> Record:
        """
        What a node announced.
        """
        return Record("service", SALT, hint_of(key, SALT), addresses)

    def test_friend_that_is_announced_is_dialled(self) -> None:
        """
        Whom we know is met where the network shows them; strangers are shown and left alone.
        """
        ann, bob, carol = (self.make(name) for name in ("ann", "bob", "carol"))
        ann.contacts.accept(bob.key, "bob", 0.0)
        bob.contacts.accept(ann.key, "ann", 0.0)
        self.start(ann, bob, carol)
        records = [self.record(bob.key, bob.address), self.record(carol.key, carol.address)]

        ann.node.records_changed(records)
        self.pass_time(0.1)

        self.assertEqual(
            [Nearby("service", (bob.address,), bob.key), Nearby("service", (carol.address,))],
            ann.node.nearby(),
        )
        self.assertEqual([NearbyChanged()], ann.told(NearbyChanged))
        self.assert_talk(ann, bob)
        self.assertEqual([], self.wires_between(ann, carol))

    def test_who_becomes_known_is_recognised(self) -> None:
        """
        What is known now decides, not what was known when they were found.
        """
        ann, bob = self.make("ann"), self.make("bob")
        self.start(ann)
        ann.node.records_changed([self.record(bob.key, bob.address)])
        self.assertEqual([None], [nearby.key for nearby in ann.node.nearby()])

        ann.contacts.accept(bob.key, "bob", 0.0)

        self.assertEqual([bob.key], [nearby.key for nearby in ann.node.nearby()])
        ann.node.records_changed([])
        self.assertEqual([], ann.node.nearby())

    def test_who_was_announced_before_they_were_known_is_dialled(self) -> None:
        """
        Whoever is not found where they were is looked for among those who are near.
        """
        ann, bob = self.make("ann"), self.make("bob")
        bob.contacts.accept(ann.key, "ann", 0.0)
        self.start(ann, bob)
        ann.node.records_changed([self.record(bob.key, bob.address)])

        ann.contacts.accept(bob.key, "bob", 0.0)
        ann.node.not_reached(bob.key)
        self.pass_time(0.1)

        self.assert_talk(ann, bob)

    def test_announced_address_proves_nothing(self) -> None:
        """
        Who repeats another one's hint is asked who it is, and told nothing.
        """
        ann = self.make("ann")
        bob = identity_of("bob").key
        ann.contacts.accept(bob, "bob", 0.0)
        self.start(ann)
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)

        ann.node.records_changed([self.record(bob, ELSEWHERE)])
        self.pass_time(1)

        self.assertTrue(impostor.calls)
        self.assertEqual([], impostor.sessions)
        self.assertEqual([], ann.node.callers())
