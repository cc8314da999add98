"""
Rooms: people who talk with each other, in memory.
"""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.people import MALLORY, PeopleTestCase, SessionCaller, hello
from twistedchat import exchange, rooms
from twistedchat.asking import ASK_AFTER
from twistedchat.core import rooms as core_rooms
from twistedchat.core.addresses import Address
from twistedchat.core.entries import NOTHING, TEXT, Entry, Run, Said, sign_run
from twistedchat.core.errors import ChatError, NotSent
from twistedchat.core.events import (
    CaughtUp,
    Event,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    TextReceived,
    TextsRead,
)
from twistedchat.core.frames import Card, Have, RunFrame, frame_of_run
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import adding, founding, leaving, room_of
from twistedchat.core.roster import RoomId
from twistedchat.core.trust import Contacts, Decision
from twistedchat.node import Node
from twistedchat.posting import LONGEST_RECEIPT
from twistedchat.testing import LOOPBACK, MemoryJournal, MemoryNetwork, identity_of, make_node

NAMES = ("ann", "bob", "cy")


class Person:
    """
    Somebody with a node.

    Attributes:
        node: It.
        contacts: Whom they know.
        events: What it told.
    """

    def __init__(self, network: MemoryNetwork, name: str, knows: tuple[str, ...]) -> None:
        self.contacts = contacts = Contacts()
        for other in knows:
            contacts.accept(identity_of(other).key, other, 0)
        self.journal = MemoryJournal()
        self.node: Node = make_node(
            network, 7070 + NAMES.index(name), name, contacts=contacts, journal=self.journal
        )
        self.events: list[Event] = []
        self.node.subscribe(self.events.append)
        self.node.startService()

    @property
    def heard(self) -> list[tuple[str, str]]:
        """
        What was said in rooms, and by whom.
        """
        return [
            (event.speaker.name, event.text)
            for event in self.events
            if isinstance(event, RoomTextReceived)
        ]

    @property
    def changes(self) -> list[RoomChange]:
        """
        What happened to rooms.
        """
        return [event.change for event in self.events if isinstance(event, RoomChanged)]


class RoomsTestCase(SynchronousTestCase):
    """
    Ann knows Bob and Cy, who do not know each other. Ann has founded a room.
    """

    @override
    def setUp(self) -> None:
        """
        Start everybody.
        """
        self.network = MemoryNetwork()
        self.network.advance(1000)
        self.ann = Person(self.network, "ann", ("bob", "cy"))
        self.bob = Person(self.network, "bob", ("ann",))
        self.cy = Person(self.network, "cy", ("ann",))
        for port in (7071, 7072):
            self.done(self.ann.node.connect(Address(LOOPBACK, port), manual=True))
        self.record: RoomRecord = self.done(self.ann.node.make_room("class"))
        self.room = RoomId(self.record.room)

    def wait(self, seconds: float = 3.0) -> None:
        """
        Let time go by.
        """
        end = self.network.seconds() + seconds
        self.network.settle()
        while self.network.seconds() < end:
            self.network.advance(0.25)
            self.network.settle()

    def done(self, doing: Deferred[Any]) -> Any:  # noqa: ANN401 (whatever it was to give)
        """
        Wait for something.
        """
        self.wait()
        return self.successResultOf(doing)

    def refused(self, doing: Deferred[Any], kind: type[Exception] = ChatError) -> str:
        """
        Wait for something that cannot be.
        """
        self.wait()
        message: str = self.failureResultOf(doing, kind).getErrorMessage()
        return message

    def invite(self, *people: Person) -> None:
        """
        Let Ann add people, who come.
        """
        for person in people:
            self.done(self.ann.node.add_to(self.room, person.node.key))
            self.done(person.node.join(self.room))
        self.wait()


class TalkTests(RoomsTestCase):
    """
    What is said in a room.
    """

    def test_invited_come_and_get_all_that_was_said(self) -> None:
        """
        Whoever joins has the history, and sees who is there.
        """
        self.done(self.ann.node.send_text(self.room, "first"))
        self.done(self.ann.node.add_to(self.room, self.bob.node.key))
        (record,) = self.bob.node.rooms()
        self.assertEqual((Stay.INVITED, "class"), (record.stay, record.name))
        self.assertEqual([], self.bob.heard)

        self.done(self.bob.node.join(self.room))

        self.assertEqual([RoomChange.INVITED, RoomChange.JOINED], self.bob.changes)
        self.assertEqual([("ann", "first")], self.bob.heard)
        names = [speaker.name for speaker in self.bob.node.members(self.room)]
        self.assertEqual(["ann", "bob"], names)
        self.assertIn(RoomChange.CAME, self.ann.changes)

    def test_text_reaches_everybody(self) -> None:
        """
        What one says the others hear, and its author is told how far it has come.
        """
        self.invite(self.bob, self.cy)

        sent = self.done(self.ann.node.send_text(self.room, "hello"))

        self.assertEqual(Progress.DELIVERED, sent.progress)
        self.assertEqual([("ann", "hello")], self.bob.heard)
        self.assertEqual([("ann", "hello")], self.cy.heard)
        (line,) = self.done(self.ann.node.history(self.record.room, 0, None, 9))
        self.assertEqual(Progress.DELIVERED, self.ann.node.progress_of(line))
        self.assertEqual("ann", self.ann.node.speaker_of(line))
        self.assertEqual(self.room, self.ann.node.recipient_of(line))

    def test_member_hands_on_what_another_wrote(self) -> None:
        """
        Bob and Cy have no session; what Bob says gets to Cy by Ann, in his name.
        """
        self.invite(self.bob, self.cy)

        sent = self.done(self.bob.node.send_text(self.room, "by way of Ann"))

        self.wait(10)
        self.assertEqual(Progress.CARRIED, sent.progress)
        self.assertEqual([("bob", "by way of Ann")], self.cy.heard)
        entry = self.cy.journal.entries[-1]
        self.assertEqual(self.bob.node.key, entry.author)

    def test_much_that_was_missed_is_told_in_one_line(self) -> None:
        """
        After an absence a storm of texts is one event.
        """
        for number in range(40):
            self.ann.node.send_text(self.room, f"text {number}")
        self.wait()

        self.invite(self.bob)

        (caught,) = [event for event in self.bob.events if isinstance(event, CaughtUp)]
        self.assertEqual(40, caught.texts)
        self.assertEqual([], self.bob.heard)
        self.assertEqual(40, self.bob.node.unread(self.record.room))
        self.bob.node.looked_at([self.record.room])
        self.assertEqual(0, self.bob.node.unread(self.record.room))

    def test_nobody_there_keeps_a_text_that_can_be_taken_back(self) -> None:
        """
        What nobody can have seen is recalled, once.
        """
        self.done(self.ann.node.send_text(self.room, "first"))
        sent = self.done(self.ann.node.send_text(self.room, "second"))
        self.assertEqual(Progress.WAITING, sent.progress)

        self.assertEqual("second", self.done(self.ann.node.recall(self.room)))

        lines = self.done(self.ann.node.history(self.record.room, 0, None, 9))
        self.assertEqual(["first"], [line.text for line in lines])
        self.invite(self.bob)
        self.assertEqual([("ann", "first")], self.bob.heard)
        self.refused(self.ann.node.recall(self.room))

    def test_found_by_a_word_and_what_stands_around_it(self) -> None:
        """
        Search finds what was said, newest first, and where.
        """
        for text in ("one apple", "two pears", "three apples"):
            self.done(self.ann.node.send_text(self.room, text))

        found = self.done(self.ann.node.search("app", None, None, 9))

        self.assertEqual(["three apples", "one apple"], [line.text for line in found])
        around = self.done(self.ann.node.around(found[1], 1))
        self.assertEqual(["one apple", "two pears"], [line.text for line in around])


class LargeRoomTests(RoomsTestCase):
    """
    A room in which not everybody has a session with everybody.
    """

    @override
    def setUp(self) -> None:
        """
        Take two for many.
        """
        super().setUp()
        self.patch(rooms, "FULL_MESH", 2)
        self.patch(rooms, "NEIGHBOURS", 1)

    def test_what_went_past_somebody_comes_within_minutes(self) -> None:
        """
        Now and then one after the other is told all that we hold, and asked the same.
        """
        self.invite(self.bob, self.cy)
        for person in (self.bob, self.cy):
            # As if there were a fault that makes them forget.
            self.patch(person.node._exchange, "run_received", lambda *_: None)
        sending = self.ann.node.send_text(self.room, "hello")
        self.wait(LONGEST_RECEIPT + 2 * ASK_AFTER)
        self.assertEqual(Progress.WAITING, self.successResultOf(sending).progress)
        for person in (self.bob, self.cy):
            self.patch(
                person.node._exchange,
                "run_received",
                partial(exchange.Exchange.run_received, person.node._exchange),
            )
        self.wait(exchange.REPEAT_AFTER / 2)
        self.assertEqual([], self.bob.heard + self.cy.heard)

        self.wait(2 * exchange.REPEAT_AFTER)

        self.assertEqual([("ann", "hello")], self.bob.heard)
        self.assertEqual([("ann", "hello")], self.cy.heard)

    def test_nothing_is_repeated_in_a_small_room(self) -> None:
        """
        Where everybody has a session with everybody, no timer is left when all is said.
        """
        self.patch(rooms, "FULL_MESH", 64)
        self.invite(self.bob, self.cy)

        self.wait(2)

        for person in (self.ann, self.bob, self.cy):
            self.assertIsNone(person.node._exchange._repeating)


class MembersTests(RoomsTestCase):
    """
    Who comes and goes.
    """

    def test_whoever_leaves_while_many_talk_knows_that_it_was_heard(self) -> None:
        """
        Later there is no turn in which they would be told.
        """
        self.patch(exchange, "QUICK_SESSIONS", 1)
        self.invite(self.bob, self.cy)
        for person in (self.ann, self.cy):
            person.node.send_text(self.room, "hello")
        self.network.settle()

        self.done(self.bob.node.leave_room(self.room))

        left = self.bob.node._rooms.membership(self.record.room).left_with(self.bob.node.key)
        receipt = self.bob.journal.receipt(self.record.room, self.ann.node.key)
        self.assertEqual((1, 1), (left, receipt))

    def test_whoever_spoke_while_they_were_removed_can_be_added_again(self) -> None:
        """
        They are invited in the same session.
        """
        self.invite(self.bob)
        self.ann.journal.is_slow = True
        self.ann.node.remove_from(self.room, self.bob.node.key)
        self.network.settle()
        self.bob.node.send_text(self.room, "hello")
        self.network.settle()
        self.ann.journal.is_slow = False
        self.ann.journal.work()
        self.wait()

        self.invite(self.bob)
        self.done(self.ann.node.send_text(self.room, "welcome back"))

        self.assertEqual(("ann", "welcome back"), self.bob.heard[-1])

    def test_removed_hears_and_says_nothing_more(self) -> None:
        """
        What is said after somebody was removed does not reach them, nor what they say the others.
        """
        self.invite(self.bob, self.cy)

        self.done(self.ann.node.remove_from(self.room, self.cy.node.key))
        self.done(self.ann.node.send_text(self.room, "without Cy"))

        self.assertIn(RoomChange.REMOVED, self.cy.changes)
        self.assertEqual([], self.cy.heard)
        self.assertEqual([("ann", "without Cy")], self.bob.heard)
        self.assertIn("not in", self.refused(self.cy.node.send_text(self.room, "hey"), NotSent))
        self.assertIn(RoomChange.WENT, self.bob.changes)

    def test_only_the_founder_removes(self) -> None:
        """
        Nobody else can, and nobody who is not there can be removed.
        """
        self.invite(self.bob)

        self.refused(self.bob.node.remove_from(self.room, self.ann.node.key))
        self.refused(self.ann.node.remove_from(self.room, self.cy.node.key))

    def test_whoever_leaves_is_gone_for_all(self) -> None:
        """
        The others are told; what was said stays with who left.
        """
        self.invite(self.bob)
        self.done(self.ann.node.send_text(self.room, "stay"))

        self.done(self.bob.node.leave_room(self.room))
        self.done(self.ann.node.send_text(self.room, "gone?"))

        self.assertIn(RoomChange.WENT, self.ann.changes)
        self.assertEqual([("ann", "stay")], self.bob.heard)
        self.assertEqual([Stay.LEFT], [record.stay for record in self.bob.node.rooms()])

    def test_strangers_and_members_are_not_added(self) -> None:
        """
        Only contacts can be added, and nobody twice.
        """
        self.invite(self.bob)

        self.refused(self.ann.node.add_to(self.room, identity_of("nobody").key))
        self.refused(self.ann.node.add_to(self.room, self.bob.node.key))
        self.refused(self.ann.node.make_room(" "))
        self.refused(self.cy.node.add_to(self.room, self.ann.node.key))

    def test_nothing_of_a_room_goes_to_whoever_is_not_in_it(self) -> None:
        """
        A contact who was not added holds nothing of it.
        """
        self.invite(self.bob)
        self.done(self.ann.node.send_text(self.room, "secret"))

        self.assertEqual([], self.cy.node.rooms())
        rooms = {entry.room for entry in self.cy.journal.entries}
        self.assertNotIn(self.record.room, rooms)


class ReadingTests(RoomsTestCase):
    """
    Whether somebody has read.
    """

    def test_read_is_told_to_who_wrote(self) -> None:
        """
        In a conversation of two, looking at it tells the other side.
        """
        self.done(self.ann.node.send_text(self.bob.node.key, "read me"))
        place = self.bob.node.place_of(self.ann.node.key)
        self.assertEqual(1, self.bob.node.unread(place))

        self.bob.node.looked_at([place])
        self.wait()

        self.assertEqual(1, len([one for one in self.ann.events if isinstance(one, TextsRead)]))
        (line,) = self.done(self.ann.node.history(place, 0, None, 9))
        self.assertEqual(Progress.READ, self.ann.node.progress_of(line))
        self.assertEqual(self.bob.node.key, self.ann.node.recipient_of(line))


class RoommatesTests(RoomsTestCase):
    """
    Bob and Cy, between whom is nothing but a room.
    """

    def test_roommate_who_knocks_is_let_in_by_the_person(self) -> None:
        """
        To talk outside of the room they have to be accepted, as everybody has.
        """
        self.invite(self.bob, self.cy)
        self.done(self.bob.node.connect(Address(LOOPBACK, 7072), manual=True))

        sent = self.done(self.bob.node.send_text(self.cy.node.key, "in private"))

        self.assertEqual(Progress.AT_THE_DOOR, sent.progress)
        (caller,) = self.cy.node.callers()
        self.assertEqual((self.bob.node.key, "bob"), (caller.key, caller.name))
        self.done(self.cy.node.decide(caller.key, Decision.ACCEPT, caller))
        self.wait()
        heard = [event.text for event in self.cy.events if isinstance(event, TextReceived)]
        self.assertEqual(["in private"], heard)


class InviterGoneTests(RoomsTestCase):
    """
    Cy, who was added to Bob's room by Ann, who has left it since then.
    """

    @override
    def setUp(self) -> None:
        """
        Let Bob found it.
        """
        super().setUp()
        self.record = self.done(self.bob.node.make_room("club"))
        self.room = RoomId(self.record.room)
        self.done(self.bob.node.add_to(self.room, self.ann.node.key))
        self.done(self.ann.node.join(self.room))
        self.done(self.ann.node.add_to(self.room, self.cy.node.key))
        self.done(self.ann.node.leave_room(self.room))
        self.done(self.ann.node.stopService())

    def test_whoever_comes_late_is_let_in_by_the_founder(self) -> None:
        """
        They do not know each other, and the founder is looked for.
        """
        self.done(self.cy.node.join(self.room))
        self.assertEqual([RoomChange.INVITED], self.cy.changes)

        self.cy.node._sessions.hint(self.bob.node.key, (Address(LOOPBACK, 7071),))
        self.wait()

        self.assertIn(RoomChange.JOINED, self.cy.changes)
        self.done(self.bob.node.send_text(self.room, "welcome"))
        self.assertEqual([("bob", "welcome")], self.cy.heard)

    def test_whoever_has_not_come_yet_tells_the_founder_nothing(self) -> None:
        """
        Whether they do is for the person to say.
        """
        self.cy.node._sessions.hint(self.bob.node.key, (Address(LOOPBACK, 7071),))
        self.wait()

        self.assertIsNone(self.cy.node._sessions.find(self.bob.node.key))
        self.assertEqual([RoomChange.INVITED], self.cy.changes)


class RoomLiarTestCase(PeopleTestCase):
    """
    Ann and Bob, who are in a room, and Mallory, whom Ann knows and who does as she likes.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann found it, and Mallory call.
        """
        super().setUp()
        self.ann, self.bob = self.meet("ann", "bob")
        self.ann.contacts.accept(MALLORY.key, "Mallory", 0.0)
        self.record: RoomRecord = self.done(self.ann.node.make_room("class"))
        self.room = self.record.room
        self.add(self.ann.node.key, self.bob.node.key)
        self.done(self.bob.node.join(RoomId(self.room)))
        self.dials = 0
        self.caller = self.come()

    def done(self, doing: Deferred[Any]) -> Any:  # noqa: ANN401 (whatever it was to give)
        """
        Wait for something.
        """
        self.pass_time(3)
        return self.successResultOf(doing)

    def come(self, identity: Identity = MALLORY) -> SessionCaller:
        """
        Let somebody open a session with Ann's node.
        """
        self.dials += 1
        return self.greet(self.ann, identity, hello(dial=self.dials, knows=True))

    def come_again(self) -> None:
        """
        Let Mallory open another session.
        """
        self.caller.end.abortConnection()
        self.network.settle()
        self.caller = self.come()

    def add(self, by: DeviceKey, whom: DeviceKey) -> None:
        """
        Let Ann, or Bob, add somebody to the room.
        """
        adder = self.ann if by == self.ann.key else self.bob
        self.done(adder.node.add_to(RoomId(self.room), whom))

    def come_in(self) -> None:
        """
        Let Mallory be a member who holds nothing yet.
        """
        self.add(self.ann.key, MALLORY.key)
        self.hold()

    def hold(self, room: bytes = b"", **told: tuple[int, bytes]) -> None:
        """
        Let Mallory tell how far she holds what some people said in the room.
        """
        keys = {"ann": self.ann.key, "bob": self.bob.key, "mallory": MALLORY.key}
        held = {str(keys[name]): (seq, digest.hex()) for name, (seq, digest) in told.items()}
        self.caller.say(Have(rooms={(room or self.room).hex(): held}))
        self.pass_time(3)

    def send(self, *runs: Run) -> None:
        """
        Let Mallory send something.
        """
        self.caller.say(*map(frame_of_run, runs))
        self.pass_time(3)

    def write(self, author: Identity, *said: tuple[str, str], room: bytes = b"") -> Run:
        """
        What somebody could say next, for all that Ann knows.
        """
        place = room or self.room
        seq, prev = self.ann.journal.heads(place).get(author.key, (0, NOTHING))
        saying = tuple(Said(1, kind, body) for kind, body in said)
        return sign_run(author, place, seq + 1, prev, saying)[0]

    def served(self, room: bytes = b"") -> list[RunFrame]:
        """
        What of the room has come to Mallory in this session.
        """
        name = (room or self.room).hex()
        frames = self.caller.frames
        return [one for one in frames if isinstance(one, RunFrame) and one.room == name]

    def bodies(self) -> list[str]:
        """
        The texts of it.
        """
        return [said.body for run in self.served() for said in run.said if said.kind == TEXT]

    def told(self, room: bytes = b"") -> list[dict[str, tuple[int, str]]]:
        """
        What Mallory was told to be held of the room in this session.
        """
        name = (room or self.room).hex()
        haves = [one for one in self.caller.frames if isinstance(one, Have)]
        return [have.rooms[name] for have in haves if name in have.rooms]

    def entries(self, room: bytes = b"") -> list[Entry]:
        """
        What Ann holds of the room.
        """
        return [one for one in self.ann.journal.entries if one.room == (room or self.room)]

    def heard(self) -> list[str]:
        """
        What Ann and Bob were shown of rooms.
        """
        return [
            event.text for person in (self.ann, self.bob) for event in person.told(RoomTextReceived)
        ]


class RefusedTests(RoomLiarTestCase):
    """
    What nobody may do who is not in a room, or is not any more.
    """

    def say_something(self, text: str) -> None:
        """
        Let Ann say something in the room.
        """
        self.done(self.ann.node.send_text(RoomId(self.room), text))

    def test_member_who_asks_is_served(self) -> None:
        """
        As a measure for the rest: that is what members get.
        """
        self.say_something("hello")

        self.come_in()

        self.assertEqual(["hello"], self.bodies())
        authors = {run.author for run in self.served()}
        self.assertEqual({str(self.ann.key)}, authors)
        self.assertEqual({str(self.ann.key)}, set(self.told()[-1]))

    def test_contact_who_is_no_member_is_not_served(self) -> None:
        """
        Whatever a contact claims to hold, of a room that they are not in they get nothing.
        """
        self.say_something("hello")
        head = self.ann.journal.heads(self.room)[self.ann.key]

        self.hold()
        self.hold(ann=(1, bytes(32)))
        self.hold(ann=head)
        self.caller.say(Have(rooms={self.room.hex(): {}}, again=True))
        self.pass_time(3)

        self.assertEqual(([], []), (self.served(), self.told()))
        self.assertIsNone(self.caller.reason)
        self.assertEqual([], [one for one in self.caller.frames if isinstance(one, Card)])

    def test_stranger_is_not_served(self) -> None:
        """
        Nor does whoever is at the door.
        """
        self.say_something("hello")
        self.caller = self.come(identity_of("nobody"))

        self.hold()

        self.assertEqual(([], []), (self.served(), self.told()))

    def test_removed_member_is_served_no_more(self) -> None:
        """
        They get the word that removes them, in this session or the next, and nothing behind it.
        """
        self.come_in()
        self.done(self.ann.node.remove_from(RoomId(self.room), MALLORY.key))
        (*_, last) = self.served()
        self.assertEqual("remove", last.said[-1].kind)
        tellings, runs = len(self.told()), len(self.served())

        self.say_something("without Mallory")
        self.hold()
        self.hold(ann=(1, self.entries()[0].hash))

        self.assertEqual(tellings, len(self.told()))
        self.assertNotIn("without Mallory", self.bodies())
        self.assertEqual({"remove"}, {run.said[-1].kind for run in self.served()[runs:]})
        self.come_again()
        self.hold()
        self.hold()
        self.assertEqual(([], []), (self.bodies(), self.told()))
        self.assertEqual(["remove"], [run.said[-1].kind for run in self.served()][-1:])
        self.assertIsNone(self.caller.reason)

    def test_removed_member_says_nothing_more(self) -> None:
        """
        What they sign beyond their end, with whatever time, is dropped without ado.
        """
        self.come_in()
        self.send(self.write(MALLORY, (TEXT, "one")))
        self.assertEqual(["one"], self.heard()[:1])
        self.done(self.ann.node.remove_from(RoomId(self.room), MALLORY.key))
        before = self.entries()

        self.send(self.write(MALLORY, (TEXT, "two"), adding(identity_of("x").key, "x")))
        self.come_again()
        self.send(self.write(MALLORY, (TEXT, "two")))

        self.assertEqual(before, self.entries())
        self.assertEqual(["one", "one"], self.heard())
        self.assertIsNone(self.caller.reason)

    def test_whoever_left_is_served_no_more(self) -> None:
        """
        So it is with those who left by themselves.
        """
        self.come_in()
        self.send(self.write(MALLORY, leaving(bytes(16))))
        runs = len(self.served())

        self.say_something("without Mallory")
        self.come_again()
        self.hold()

        self.assertEqual(([], []), (self.served(), self.told()))
        self.assertGreater(runs, 0)

    def test_entries_of_who_is_no_member_are_not_taken(self) -> None:
        """
        Neither by their author nor by way of a member; nor do they make themselves members.
        """
        stranger = identity_of("x")
        said = [(TEXT, "let me in"), adding(MALLORY.key, "Mallory"), adding(stranger.key, "x")]
        before = self.entries()
        self.send(*(self.write(MALLORY, one) for one in said))
        self.assertEqual(before, self.entries())
        self.assertEqual(2, len(self.ann.node.members(RoomId(self.room))))

        self.come_in()
        before = self.entries()
        self.send(*(self.write(stranger, one) for one in said))

        self.assertEqual(before, self.entries())
        self.assertEqual([], self.heard())
        self.assertIsNone(self.caller.reason)

    def test_run_of_a_room_that_is_not_known_ends_the_session(self) -> None:
        """
        Nobody can make a room here by sending its entries.
        """
        room = room_of(MALLORY.key, bytes(16))

        with capturedLogs() as events:
            self.send(self.write(MALLORY, founding("mine", bytes(16), "Mallory"), room=room))

        self.assertEqual(["not-shared"], [event["code"] for event in events if "code" in event])
        self.assertIsNotNone(self.caller.reason)
        self.assertEqual([], self.entries(room))

    def test_entry_replayed_into_another_room_ends_the_session(self) -> None:
        """
        What somebody said in one room, or to somebody, they have not said in another.
        """
        other: RoomRecord = self.done(self.ann.node.make_room("other"))
        for key in (self.bob.key, MALLORY.key):
            self.done(self.ann.node.add_to(RoomId(other.room), key))
        self.done(self.bob.node.join(RoomId(other.room)))
        self.done(self.bob.node.send_text(RoomId(self.room), "I agree"))
        self.done(self.bob.node.send_text(self.ann.key, "I agree"))
        self.come_in()
        agreed = [one for one in self.ann.journal.entries if one.said.body == "I agree"]
        self.assertEqual(2, len(agreed))
        for entry in agreed:
            self.come_again()
            replayed = Run(other.room, entry.author, 1, NOTHING, (entry.said,), entry.signature)
            with capturedLogs() as events:
                self.send(replayed)

            codes = [event["code"] for event in events if "code" in event]
            self.assertEqual(["bad-signature"], codes)
            self.assertIsNotNone(self.caller.reason)
        self.assertNotIn("I agree", [one.said.body for one in self.entries(other.room)])

    def test_forged_founding_is_none(self) -> None:
        """
        The room of somebody cannot be founded by another, nor a second time.
        """
        self.come_in()
        nonce = bytes.fromhex(self.card(self.room).nonce)
        before = self.ann.node.members(RoomId(self.room))

        self.send(self.write(MALLORY, founding("mine", nonce, "Mallory")))

        self.assertEqual("class", self.ann.node.rooms()[0].name)
        self.assertEqual(before, self.ann.node.members(RoomId(self.room)))

    def card(self, room: bytes) -> Card:
        """
        The card that Mallory was given.
        """
        cards = [one for one in self.caller.frames if isinstance(one, Card)]
        (card, *_) = [card for card in cards if card.room == room.hex()]
        return card

    def invite(
        self, founder: DeviceKey, *, room: bytes = b"", nonce: bytes = bytes(16), name: str = "club"
    ) -> bytes:
        """
        Let Mallory say that Ann is in a room.
        """
        place = room or room_of(founder, nonce)
        card = Card(room=place.hex(), name=name, founder=str(founder), nonce=nonce.hex())
        self.caller.say(card)
        self.pass_time(3)
        return place

    def test_forged_invitations_are_passed_over(self) -> None:
        """
        A card of which the room is not made, or that somebody else than a contact shows, is none.
        """
        self.invite(MALLORY.key, room=b"x" * 32)
        self.invite(self.bob.key, room=room_of(MALLORY.key, bytes(16)))
        self.invite(MALLORY.key, room=self.room, name="mine")
        self.caller.say(
            Card(
                room=room_of(MALLORY.key, bytes(16)).hex(),
                name="x",
                founder="0" * 64,
                nonce="0" * 32,
            )
        )
        self.pass_time(3)

        self.assertEqual([self.record], self.ann.node.rooms())
        self.assertIsNone(self.caller.reason)

    def test_roommate_who_is_no_contact_does_not_invite(self) -> None:
        """
        Whoever is only in a room with somebody cannot ask them into others.
        """
        self.come_in()
        self.done(self.ann.node.decide(MALLORY.key, Decision.FORGET))
        self.come_again()
        self.assertNotEqual([], self.told())

        self.invite(MALLORY.key)

        self.assertEqual([self.record], self.ann.node.rooms())

    def test_invitation_by_who_does_not_show_it_stays_empty(self) -> None:
        """
        Into the room of somebody else nobody is let by who is not in it, and nothing comes of it.
        """
        room = self.invite(self.bob.key)
        self.assertEqual([Stay.JOINED, Stay.INVITED], [one.stay for one in self.ann.node.rooms()])
        self.assertEqual([], self.told(room))

        self.done(self.ann.node.join(RoomId(room)))
        self.assertEqual([{}], self.told(room))
        self.hold(room)
        self.send(
            self.write(MALLORY, founding("club", bytes(16), "Mallory"), room=room),
            self.write(MALLORY, adding(self.ann.key, "ann"), room=room),
        )

        self.assertEqual([], self.entries(room))
        self.assertEqual([], self.ann.node.members(RoomId(room)))
        self.failureResultOf(self.ann.node.send_text(RoomId(room), "hello?"), NotSent)

    def test_invitation_that_does_not_add_is_told(self) -> None:
        """
        Who comes and sees, in all that the inviter holds, that they were not added, is out again.
        """
        room = self.invite(MALLORY.key)
        self.done(self.ann.node.join(RoomId(room)))
        run = self.write(MALLORY, founding("club", bytes(16), "Mallory"), room=room)
        ((_, digest),) = [self.head_of(run)]

        self.hold(room, mallory=(1, digest))
        self.assertNotIn(RoomChange.NOT_LET_IN, self.changes())
        self.send(run)

        self.assertIn(RoomChange.NOT_LET_IN, self.changes())
        self.assertEqual([Stay.JOINED, Stay.LEFT], [one.stay for one in self.ann.node.rooms()])
        self.assertIsNone(self.caller.reason)

    def head_of(self, run: Run) -> tuple[int, bytes]:
        """
        The number and the hash of the last entry of a run.
        """
        _, entries = sign_run(MALLORY, run.room, run.seq, run.prev, run.said)
        return entries[-1].seq, entries[-1].hash

    def changes(self) -> list[RoomChange]:
        """
        What happened to Ann's rooms.
        """
        return [event.change for event in self.ann.told(RoomChanged)]

    def test_invitation_that_does_not_know_of_the_leaving_is_none(self) -> None:
        """
        Who left is asked again only by somebody who has seen that they left.
        """
        room = self.invite(MALLORY.key)
        self.done(self.ann.node.leave_room(RoomId(room)))
        (said,) = self.entries(room)
        self.assertEqual("leave", said.said.kind)

        self.invite(MALLORY.key)
        self.assertEqual([Stay.JOINED, Stay.LEFT], [one.stay for one in self.ann.node.rooms()])
        self.hold(room)
        self.assertEqual(["leave"], [one.said[0].kind for one in self.served(room)])

        self.caller.say(
            Card(
                room=room.hex(),
                name="club",
                founder=str(MALLORY.key),
                nonce=bytes(16).hex(),
                seen=1,
            )
        )
        self.pass_time(3)
        self.assertEqual([Stay.JOINED, Stay.INVITED], [one.stay for one in self.ann.node.rooms()])


class ComingBackTests(RoomsTestCase):
    """
    Who is added, gone and added again.
    """

    def test_whoever_left_is_let_in_again_by_who_has_seen_it(self) -> None:
        """
        They are asked, come, and talk as before; and can leave again.
        """
        self.invite(self.bob, self.cy)
        for _ in range(2):
            self.done(self.bob.node.leave_room(self.room))
            self.assertNotIn(self.bob.node.key, self.members_of(self.ann))

            self.done(self.ann.node.add_to(self.room, self.bob.node.key))
            self.done(self.bob.node.join(self.room))
            self.done(self.bob.node.send_text(self.room, "back"))

        self.assertEqual(2 * [("bob", "back")], self.cy.heard)
        self.done(self.bob.node.leave_room(self.room))
        self.assertNotIn(self.bob.node.key, self.members_of(self.cy))

    def test_whoever_has_left_for_good_is_not_added(self) -> None:
        """
        Whoever tries is told why.
        """
        self.patch(core_rooms, "MOST_LEAVES", 1)
        self.invite(self.bob)
        self.done(self.bob.node.leave_room(self.room))

        message = self.refused(self.ann.node.add_to(self.room, self.bob.node.key))

        self.assertEqual("bob has left class for good: nobody can let them in again.", message)

    def test_whom_the_founder_removed_others_do_not_add(self) -> None:
        """
        They are told who can, and the founder can.
        """
        self.invite(self.bob, self.cy)
        self.done(self.ann.node.remove_from(self.room, self.cy.node.key))
        self.bob.contacts.accept(self.cy.node.key, "cy", 0)
        self.assertIn("only who founded", self.refused(self.add_cy(self.bob)))
        self.refused(self.ann.node.remove_from(self.room, self.cy.node.key))

        self.done(self.add_cy(self.ann))

        self.assertIn(self.cy.node.key, self.members_of(self.bob))

    def test_full_room_takes_nobody_until_the_founder_makes_room(self) -> None:
        """
        Whoever left keeps a place; the founder is told to remove somebody, and can remove them.
        """
        self.patch(core_rooms, "MOST_MEMBERS", 2)
        self.invite(self.bob)
        self.done(self.bob.node.leave_room(self.room))
        self.assertIn("by removing somebody", self.refused(self.add_cy(self.ann)))
        self.refused(self.ann.node.remove_from(self.room, self.ann.node.key))

        self.done(self.ann.node.remove_from(self.room, self.bob.node.key))
        self.done(self.add_cy(self.ann))

        self.assertIn(self.cy.node.key, self.members_of(self.ann))

    def test_add_and_removal_that_would_not_be_heard_are_refused(self) -> None:
        """
        Whoever has said as many as are remembered is told, and what was said before holds.
        """
        self.patch(core_rooms, "MOST_BY_FOUNDER", 1)
        self.invite(self.bob)
        self.assertIn("ask another member to add cy", self.refused(self.add_cy(self.ann)))
        for _ in range(2):
            self.done(self.ann.node.remove_from(self.room, self.bob.node.key))
            self.assertNotIn(self.bob.node.key, self.members_of(self.ann))
            self.done(self.ann.node.add_to(self.room, self.bob.node.key))
            self.assertIn(self.bob.node.key, self.members_of(self.ann))
        self.done(self.bob.node.join(self.room))
        self.bob.contacts.accept(self.cy.node.key, "cy", 0)
        self.done(self.add_cy(self.bob))
        self.done(self.ann.node.remove_from(self.room, self.bob.node.key))

        message = self.refused(self.ann.node.remove_from(self.room, self.cy.node.key))

        self.assertIn("You have removed as many people from class as can be", message)

    def add_cy(self, by: Person) -> Deferred[None]:
        """
        Let somebody add Cy.
        """
        return by.node.add_to(self.room, self.cy.node.key)

    def members_of(self, person: Person) -> list[DeviceKey]:
        """
        Who is in the room, as somebody knows it.
        """
        return [speaker.key for speaker in person.node.members(self.room)]


class HostileMemberTests(RoomLiarTestCase):
    """
    Mallory is in the room of Ann and Bob, before Cy, and adds whom and what she likes.
    """

    @override
    def setUp(self) -> None:
        """
        Let her be added, and Cy after her, to a room that holds six.
        """
        super().setUp()
        self.come_in()
        self.patch(core_rooms, "MOST_MEMBERS", 6)
        self.cy = identity_of("cy").key
        self.ann.contacts.accept(self.cy, "cy", 0.0)
        self.add(self.ann.key, self.cy)

    def members(self) -> set[DeviceKey]:
        """
        Who is in the room, as Ann and Bob know it.
        """
        both = [
            {speaker.key for speaker in one.node.members(RoomId(self.room))}
            for one in (self.ann, self.bob)
        ]
        self.assertEqual(*both)
        return both[0]

    def test_whoever_fills_a_room_throws_nobody_out_and_goes_with_all(self) -> None:
        """
        However early her adds are dated; and whom she added goes with her.
        """
        honest = {self.ann.key, self.bob.key, self.cy}
        sybils = [identity_of(f"sybil {number}").key for number in range(6)]
        said = tuple(Said(1, *adding(key, "x")) for key in sybils)
        self.send(sign_run(MALLORY, self.room, 1, NOTHING, said)[0])
        self.pass_time(3)
        self.assertEqual({*honest, MALLORY.key, *sybils[:2]}, self.members())

        self.done(self.ann.node.remove_from(RoomId(self.room), MALLORY.key))

        self.assertEqual(honest, self.members())

    def test_nobody_is_kept_from_leaving(self) -> None:
        """
        What says that it has seen a leave that was not there yet undoes none.
        """
        kind, body = adding(self.bob.key, "bob")
        self.send(
            self.write(MALLORY, adding(self.bob.key, "bob", "ab" * 16)),
            self.write(MALLORY, (kind, f'{body[:-1]},"seq":{2**53 - 1}}}')),
        )
        self.pass_time(3)

        self.done(self.bob.node.leave_room(RoomId(self.room)))
        self.pass_time(60)

        self.assertNotIn(
            self.bob.key, [one.key for one in self.ann.node.members(RoomId(self.room))]
        )
        self.assertIs(Stay.LEFT, self.bob.node.rooms()[0].stay)
