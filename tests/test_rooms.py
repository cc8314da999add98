"""
Rooms: people who talk with each other, in memory.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.core.addresses import Address
from twistedchat.core.errors import ChatError, NotSent
from twistedchat.core.events import (
    CaughtUp,
    Event,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    TextsRead,
)
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.roster import RoomId
from twistedchat.core.trust import Contacts
from twistedchat.node import Node
from twistedchat.testing import LOOPBACK, MemoryJournal, MemoryNetwork, identity_of, make_node

NAMES = ("ann", "bob", "cy")


class Person:
    """
    Somebody with a node.

    Attributes:
        node: It.
        events: What it told.
    """

    def __init__(self, network: MemoryNetwork, name: str, knows: tuple[str, ...]) -> None:
        contacts = Contacts()
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


class MembersTests(RoomsTestCase):
    """
    Who comes and goes.
    """

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
