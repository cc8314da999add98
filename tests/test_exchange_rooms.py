"""
The exchange in rooms: where there is much to send, and where somebody says two things.
"""

from typing_extensions import override

from tests.people import MALLORY, PORT, Person, SessionCaller, hello
from tests.test_rooms import RoomLiarTestCase
from twistedchat.arrivals import MOST_SHOWN
from twistedchat.core.entries import NOTHING, TEXT, Entry, Run, Said, check_run, sign_run
from twistedchat.core.events import (
    CallerCame,
    CaughtUp,
    ForkSeen,
    OutOfStep,
    Progress,
    RoomTextReceived,
)
from twistedchat.core.frames import Have, RunFrame, frame_of_run
from twistedchat.core.history import Stay
from twistedchat.core.identity import Identity
from twistedchat.core.rooms import adding, leaving
from twistedchat.core.roster import RoomId
from twistedchat.core.sync import MOST_IN_FLIGHT
from twistedchat.core.trust import Decision
from twistedchat.exchange import MOST_TOLD
from twistedchat.posting import MOST_READ
from twistedchat.testing import identity_of

DEE = identity_of("Dee")
EVE = identity_of("Eve")


class NewcomerTests(RoomLiarTestCase):
    """
    Somebody who has all of a room to catch up on.
    """

    @override
    def setUp(self) -> None:
        """
        Let a third one be there, whom all know.
        """
        super().setUp()
        (self.cy,) = self.meet("cy")
        for other in (self.ann, self.bob):
            self.acquaint(self.cy, other)
        self.pass_time(3)

    def heads(self, person: Person) -> dict[str, int]:
        """
        How much somebody holds of each.
        """
        heads = person.journal.stored_heads(self.room)
        return {str(key): seq for key, (seq, _) in heads.items()}

    def test_more_than_fits_on_the_way_comes_though_some_cannot_be_taken_yet(self) -> None:
        """
        What comes before the word that makes its author a member is in nobody's way.
        """
        for number in range(80):
            self.ann.node.send_text(RoomId(self.room), f"{number} {'x' * 9000}")
        self.pass_time(5)
        # Told after all of that, so that what they say stands before what makes them members.
        self.ann.contacts.accept(DEE.key, "Dee", 0.0)
        self.add(self.ann.key, DEE.key)
        run, prev = sign_run(DEE, self.room, 1, NOTHING, (Said(1, TEXT, "y" * 9000),))
        dee = self.come(DEE)
        dee.say(Have(rooms={self.room.hex(): {}}), frame_of_run(run))
        for number in range(2, 12):
            said = (Said(number, TEXT, "y" * 9000),)
            run, prev = sign_run(DEE, self.room, number, prev[-1].hash, said)
            dee.say(frame_of_run(run))
        self.pass_time(3)
        self.stop(self.bob)

        self.add(self.ann.key, self.cy.key)
        self.done(self.cy.node.join(RoomId(self.room)))
        self.pass_time(20)

        self.assertEqual(self.heads(self.ann), self.heads(self.cy))
        self.assertEqual(11, self.heads(self.cy)[str(DEE.key)])
        sent = self.done(self.ann.node.send_text(self.cy.key, "are you there?"))
        self.assertEqual(Progress.DELIVERED, sent.progress)

    def test_little_from_each_of_many_is_told_as_one_number(self) -> None:
        """
        It is not the authors that make a screenful.
        """
        authors = [identity_of(f"member {number}") for number in range(MOST_SHOWN + 1)]
        for author in authors:
            self.ann.contacts.accept(author.key, "x", 0.0)
            self.ann.node.add_to(RoomId(self.room), author.key)
        self.come_in()
        said = [
            sign_run(author, self.room, 1, NOTHING, (Said(1, TEXT, "hello"),)) for author in authors
        ]
        held = {str(entry.author): (1, entry.hash.hex()) for _, (entry,) in said}
        self.caller.say(Have(rooms={self.room.hex(): held}))
        self.network.settle()

        self.send(*(run for run, _ in said))

        self.assertEqual([], self.heard())
        self.assertEqual([len(authors)], [event.texts for event in self.ann.told(CaughtUp)])

    def test_what_is_read_to_be_sent_counts_as_on_its_way(self) -> None:
        """
        Of however many somebody asks for, no more is read for them than may be on its way.
        """
        authors = [identity_of(f"member {number}") for number in range(40)]
        for author in authors:
            self.ann.contacts.accept(author.key, "x", 0.0)
            self.ann.node.add_to(RoomId(self.room), author.key)
        self.pass_time(3)
        entries: list[Entry] = []
        for author in authors:
            entries += sign_run(author, self.room, 1, NOTHING, (Said(1, TEXT, "x" * 9000),))[1]
        self.ann.journal.append(entries)
        self.come_in()
        self.ann.journal.is_slow = True
        before = len(self.ann.node._exchange._reading)

        asked = {str(author.key): (0, NOTHING.hex()) for author in authors}
        self.caller.say(Have(rooms={self.room.hex(): asked}, asks=True))
        self.network.settle()

        reading = len(self.ann.node._exchange._reading) - before
        self.assertLessEqual(reading, MOST_IN_FLIGHT // MOST_READ + 1)
        self.assertGreater(reading, 1)
        self.ann.journal.is_slow = False
        self.ann.journal.work()
        self.network.settle()
        # The rest comes as she tells that she has the first.
        for entry in entries:
            held = {str(entry.author): (1, entry.hash.hex())}
            self.caller.say(Have(rooms={self.room.hex(): held}))
            self.network.settle()
        sent = {frame.author for frame in self.caller.frames if isinstance(frame, RunFrame)}
        self.assertLessEqual({str(author.key) for author in authors}, sent)


class AskingTests(RoomLiarTestCase):
    """
    Mallory holds what Dee said, who is in the room and not here.
    """

    @override
    def setUp(self) -> None:
        """
        Let both be members.
        """
        super().setUp()
        self.come_in()
        self.ann.contacts.accept(DEE.key, "Dee", 0.0)
        self.add(self.ann.key, DEE.key)
        self.word, entries = sign_run(DEE, self.room, 1, NOTHING, (Said(1, TEXT, "hello"),))
        held = {str(DEE.key): (1, entries[-1].hash.hex())}
        self.have = Have(rooms={self.room.hex(): held})

    def asked(self) -> list[Have]:
        """
        What Mallory was asked.
        """
        return [one for one in self.caller.frames if isinstance(one, Have) and one.asks]

    def test_somebody_who_holds_more_is_asked_for_it(self) -> None:
        """
        For nothing but that, from what is held on.
        """
        self.caller.say(self.have)
        self.network.settle()

        (asked,) = self.asked()
        self.assertEqual({self.room.hex(): {str(DEE.key): (0, NOTHING.hex())}}, asked.rooms)
        self.send(self.word)
        self.assertEqual(["hello"], self.heard()[:1])

    def test_somebody_who_did_not_read_is_asked_when_they_do(self) -> None:
        """
        What cannot be said now is not forgotten.
        """
        link = self.ann.node._sessions.live[MALLORY.key]
        producer = link.transport.producer  # type: ignore[attr-defined]
        producer.pauseProducing()
        self.caller.say(self.have)
        self.network.settle()
        self.assertEqual([], self.asked())

        producer.resumeProducing()
        self.network.settle()

        self.assertEqual(1, len(self.asked()))

    def test_what_came_is_acknowledged_though_it_could_not_be_said_at_once(self) -> None:
        """
        Else it would count as on its way for ever, though she has told of the same herself.
        """
        self.caller.say(self.have)
        self.network.settle()
        link = self.ann.node._sessions.live[MALLORY.key]
        producer = link.transport.producer  # type: ignore[attr-defined]
        producer.pauseProducing()
        self.caller.say(frame_of_run(self.word))
        self.network.settle()

        producer.resumeProducing()
        self.network.settle()

        told = [authors[str(DEE.key)] for authors in self.told() if str(DEE.key) in authors]
        self.assertEqual(1, told[-1][0])

    def test_whoever_leaves_is_told_though_somebody_else_brought_it(self) -> None:
        """
        What they send of it themselves is dropped, and would be on its way for ever.
        """
        caller = self.come(DEE)
        caller.say(Have(rooms={self.room.hex(): {}}))
        self.network.settle()

        self.send(self.write(DEE, leaving(bytes(16))))

        haves = [one.rooms for one in caller.frames if isinstance(one, Have)]
        (told,) = [rooms for rooms in haves if str(DEE.key) in rooms.get(self.room.hex(), {})]
        self.assertEqual([str(DEE.key)], list(told[self.room.hex()]))

    def test_whoever_leaves_and_does_not_read_is_told_when_they_do(self) -> None:
        """
        They share that room no more by then, and wait for nothing else.
        """
        caller = self.come(DEE)
        caller.say(Have(rooms={self.room.hex(): {}}))
        self.network.settle()
        link = self.ann.node._sessions.live[DEE.key]
        producer = link.transport.producer  # type: ignore[attr-defined]
        producer.pauseProducing()
        caller.say(frame_of_run(self.write(DEE, leaving(bytes(16)))))
        self.network.settle()
        before = len(caller.frames)

        producer.resumeProducing()
        self.network.settle()

        haves = [one.rooms for one in caller.frames[before:] if isinstance(one, Have)]
        (told,) = [rooms[self.room.hex()] for rooms in haves if self.room.hex() in rooms]
        self.assertEqual({str(DEE.key): 1}, {name: seq for name, (seq, _) in told.items()})

    def test_what_came_too_early_is_asked_for_once(self) -> None:
        """
        Of those who hold it one is asked, and not whoever sent it beside them.
        """
        self.send_too_early()

        self.ann.node.add_to(RoomId(self.room), EVE.key)
        self.network.settle()

        self.assertEqual([(0, NOTHING.hex())], self.asked_of_eve())

    def test_what_came_too_early_from_who_does_not_read_is_asked_for_when_they_do(self) -> None:
        """
        Also where they have only sent it, and not told that they hold it.
        """
        for is_told in (True, False):
            with self.subTest(is_told=is_told):
                self.come_again()
                self.hold()
                self.send_too_early(is_told=is_told)
                link = self.ann.node._sessions.live[MALLORY.key]
                producer = link.transport.producer  # type: ignore[attr-defined]
                producer.pauseProducing()
                self.add(self.ann.key, EVE.key)
                self.assertEqual([], self.asked_of_eve())

                producer.resumeProducing()
                self.network.settle()

                self.assertEqual([(0, NOTHING.hex())], self.asked_of_eve())
                self.done(self.ann.node.remove_from(RoomId(self.room), EVE.key))

    def test_author_who_said_something_too_early_is_asked_for_it(self) -> None:
        """
        They say nothing more until they are, though others hold it, too.
        """
        self.send_too_early()
        caller = self.come(EVE)
        caller.say(frame_of_run(sign_run(EVE, self.room, 1, NOTHING, (Said(1, TEXT, "hello"),))[0]))
        self.network.settle()

        self.ann.node.add_to(RoomId(self.room), EVE.key)
        self.network.settle()

        asked = [one.rooms for one in caller.frames if isinstance(one, Have) and one.asks]
        self.assertEqual([{self.room.hex(): {str(EVE.key): (0, NOTHING.hex())}}], asked)

    def send_too_early(self, *, is_told: bool = True) -> None:
        """
        Let Mallory send what Eve says, who is going to be added.
        """
        self.ann.contacts.accept(EVE.key, "Eve", 0.0)
        run, (entry,) = sign_run(EVE, self.room, 1, NOTHING, (Said(1, TEXT, "hello"),))
        if is_told:
            held = {str(EVE.key): (1, entry.hash.hex())}
            self.caller.say(Have(rooms={self.room.hex(): held}))
        self.send(run)

    def asked_of_eve(self) -> list[tuple[int, str]]:
        """
        What Mallory was asked of what Eve said.
        """
        rooms = [have.rooms.get(self.room.hex(), {}) for have in self.asked()]
        return [told[str(EVE.key)] for told in rooms if str(EVE.key) in told]

    def test_those_who_are_added_again_are_asked_for(self) -> None:
        """
        What was said before they were removed is part of the room once more.
        """
        self.caller.say(self.have)
        self.network.settle()
        self.done(self.ann.node.remove_from(RoomId(self.room), DEE.key))
        before = len(self.asked())

        self.add(self.ann.key, DEE.key)

        self.assertGreater(len(self.asked()), before)

    def test_those_who_are_added_late_are_asked_for(self) -> None:
        """
        However many others somebody else has invented before.
        """
        self.come_again()
        zed, eve = identity_of("zed"), identity_of("eve")
        self.ann.contacts.accept(zed.key, "Zed", 0.0)
        self.add(self.ann.key, zed.key)
        nobody = {f"{number:064x}": (1, "1" * 64) for number in range(9, MOST_TOLD + 9)}
        self.caller.say(Have(rooms={self.room.hex(): nobody}))
        caller = self.come(zed)
        _, (word,) = sign_run(eve, self.room, 1, NOTHING, (Said(1, TEXT, "hello"),))
        held = {str(eve.key): (1, word.hash.hex())}
        caller.say(Have(rooms={self.room.hex(): {}}), Have(rooms={self.room.hex(): held}))
        self.network.settle()

        caller.say(frame_of_run(self.write(zed, adding(eve.key, "Eve"))))
        self.network.settle()

        asked = [one.rooms for one in caller.frames if isinstance(one, Have) and one.asks]
        self.assertEqual([{self.room.hex(): {str(eve.key): (0, NOTHING.hex())}}], asked)


class InvitedTests(RoomLiarTestCase):
    """
    Those who are added, and those who go.
    """

    def test_whoever_does_not_know_us_yet_is_asked(self) -> None:
        """
        An invitation cannot be said to a stranger: so we knock, and say it when we are let in.
        """
        (cy,) = self.meet("cy")
        self.ann.contacts.accept(cy.key, "cy", 0.0)
        self.ann.node._sessions.hint(cy.key, (cy.address,))
        self.pass_time(3)
        self.assertIsNotNone(self.ann.link_to(cy))
        before = cy.told(CallerCame)

        self.add(self.ann.key, cy.key)

        self.assertEqual(1, len(cy.told(CallerCame)) - len(before))
        cy.node.decide(self.ann.key, Decision.ACCEPT)
        self.pass_time(3)
        (record,) = cy.node.rooms()
        self.assertEqual(Stay.INVITED, record.stay)

    def test_what_all_had_before_they_went_is_delivered(self) -> None:
        """
        Nobody takes a receipt with them.
        """
        sent = self.done(self.ann.node.send_text(RoomId(self.room), "hello"))
        self.assertEqual(Progress.DELIVERED, sent.progress)

        self.done(self.bob.node.leave_room(RoomId(self.room)))
        self.done(self.ann.node.send_text(RoomId(self.room), "is anybody there?"))

        last, first = self.done(self.ann.node.history(self.room, 0, None, 9))
        self.assertEqual(Progress.DELIVERED, self.ann.node.progress_of(first))
        self.assertEqual(Progress.WAITING, self.ann.node.progress_of(last))


class ForkTests(RoomLiarTestCase):
    """
    A member who says different things to different people.
    """

    @override
    def setUp(self) -> None:
        """
        Let her be a member, and have a session with each of them.
        """
        super().setUp()
        self.bob.contacts.accept(DEE.key, "Dee", 0.0)
        self.ann.contacts.accept(DEE.key, "Dee", 0.0)
        self.add(self.ann.key, DEE.key)
        self.to_ann, self.to_bob = self.call_by_hand(self.ann), self.call_by_hand(self.bob)
        run, entries = self.says([], "hello")
        self.tell(run, self.to_ann, self.to_bob)
        self.pass_time(3)
        self.base = entries

    def call_by_hand(self, person: Person, identity: Identity = DEE) -> SessionCaller:
        """
        Open a session with somebody.
        """
        caller = self.greet(person, identity, hello("Dee", PORT + 1, dial=7, knows=True))
        caller.say(Have(rooms={self.room.hex(): {}}))
        self.network.settle()
        return caller

    def says(self, before: list[Entry], *texts: str) -> tuple[Run, list[Entry]]:
        """
        What she says after something.
        """
        prev = before[-1].hash if before else NOTHING
        said = tuple(Said(number, TEXT, text) for number, text in enumerate(texts, 10))
        run, entries = sign_run(DEE, self.room, len(before) + 1, prev, said)
        return run, [*before, *entries]

    def tell(self, run: Run, *callers: SessionCaller) -> None:
        """
        Tell some of them, before they can tell each other.
        """
        for caller in callers:
            caller.say(frame_of_run(run))
        self.network.settle()

    def assert_both_know(self) -> None:
        """
        Both have the proof, know who did it, and go on with each other.
        """
        for person in (self.ann, self.bob):
            self.assertEqual([DEE.key], [event.contact.key for event in person.told(ForkSeen)])
            (proof,) = person.journal.forks
            held = [one for one in person.journal.entries if one.author == DEE.key]
            said = (proof.said,)
            check_run(Run(self.room, DEE.key, proof.seq, proof.prev, said, proof.signature))
            self.assertNotIn(proof.hash, {one.hash for one in held})
            self.assertEqual([], person.told(OutOfStep))
        for one, other in ((self.ann, self.bob), (self.bob, self.ann)):
            for recipient in (other.key, RoomId(self.room)):
                sent = self.done(one.node.send_text(recipient, "do you see this?"))
                self.assertIn(sent.progress, (Progress.DELIVERED, Progress.CARRIED))
            self.assertIn("do you see this?", other.heard)
            heard = [event.text for event in other.told(RoomTextReceived)]
            self.assertIn("do you see this?", heard)

    def test_two_words_of_somebody_who_was_removed_are_proven_to_both(self) -> None:
        """
        Though neither lacks anything of hers that the other one holds.
        """
        self.stop(self.bob)
        one, _ = self.says(self.base, "no")
        self.tell(one, self.to_ann)
        _, other = self.says(self.base, "yes")
        _, other = self.says(other, "yes indeed")
        self.bob.journal.append(other[len(self.base) :])
        self.done(self.ann.node.remove_from(RoomId(self.room), DEE.key))

        self.bob = self.make("bob", journal=self.bob.journal)
        self.acquaint(self.ann, self.bob)
        self.start(self.bob)
        self.pass_time(60)

        self.assert_both_know()

    def test_two_last_words_are_proven_to_both(self) -> None:
        """
        Each shows the other what they were told.
        """
        one, _ = self.says(self.base, "yes")
        other, _ = self.says(self.base, "no")
        self.tell(one, self.to_ann)
        self.tell(other, self.to_bob)

        self.pass_time(60)

        self.assert_both_know()

    def test_much_more_said_to_one_is_in_nobodys_way(self) -> None:
        """
        What the other cannot take of it is dropped, and its place is free again.
        """
        one, _ = self.says(self.base, "short")
        self.tell(one, self.to_ann)
        longer = self.base
        for number in range(15):
            other, longer = self.says(longer, *(f"{number} {'z' * 9000}" for _ in range(5)))
            self.tell(other, self.to_bob)

        self.pass_time(60)

        self.assert_both_know()

    def test_fork_that_is_found_when_they_meet_is_proven_to_both(self) -> None:
        """
        Whatever was said while they could not talk.
        """
        self.stop(self.bob)
        one, branch = self.says(self.base, "yes", "yes indeed")
        self.tell(one, self.to_ann)
        more, _ = self.says(branch, "quite so")
        self.tell(more, self.to_ann)
        _, other = self.says(self.base, "no")
        self.bob.journal.append(other[len(self.base) :])
        self.bob = self.make("bob", journal=self.bob.journal)
        self.acquaint(self.ann, self.bob)

        self.start(self.bob)
        self.pass_time(60)

        self.assert_both_know()
