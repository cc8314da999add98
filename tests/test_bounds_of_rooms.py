"""
The bounds of rooms and of the journal: what happens just below each of them, and just above.
"""

from collections import Counter
from collections.abc import Container, Sequence
from itertools import count, pairwise

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.people import MALLORY, SessionCaller
from tests.test_rooms import RoomLiarTestCase
from twistedchat import exchange, rooms
from twistedchat.arrivals import LONGEST_PAUSE, MOST_SHOWN
from twistedchat.asking import ASK_AFTER
from twistedchat.core import rooms as core_rooms
from twistedchat.core.entries import NOTHING, TEXT, Entry, Run, Said, direct_room, sign_run
from twistedchat.core.errors import ChatError
from twistedchat.core.events import CaughtUp, RoomChanged, RoomTextReceived
from twistedchat.core.frames import Card, Have, frame_of_run
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import (
    LONGEST_NAME,
    MOST_ADDS,
    MOST_BRACKETS,
    MOST_BY_FOUNDER,
    MOST_LEAVES,
    MOST_MEMBERS,
    Membership,
    adding,
    founding,
    leaving,
    removing,
    room_of,
)
from twistedchat.core.roster import RoomId
from twistedchat.core.trust import Contacts
from twistedchat.exchange import ALL_EVERY, TELL_AFTER
from twistedchat.posting import MOST_READ
from twistedchat.rooms import (
    FULL_MESH,
    INVITATION_INTERVAL,
    INVITATIONS_AT_ONCE,
    NEIGHBOURS,
    Rooms,
)
from twistedchat.testing import MemoryJournal, identity_of

NONCE = bytes(16)
ANN, BOB, CY, DEE = (identity_of(name) for name in ("ann", "bob", "cy", "dee"))
ROOM = room_of(ANN.key, NONCE)

# Shorter than any time that is measured here.
MOMENT = 0.01


def some_keys(number: int) -> list[DeviceKey]:
    """
    Keys of people who never say anything.
    """
    return [DeviceKey(value.to_bytes(32, "little")) for value in range(2, number + 2)]


class MembershipBoundsTests(SynchronousTestCase):
    """
    How many can be in a room.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann found one, and add Bob.
        """
        self.seqs = {ANN.key: count(1), BOB.key: count(1)}
        self.clock = count(1)
        self.room = Membership(ROOM)
        self.say(ANN, *founding("class", NONCE, "ann"))
        self.say(ANN, *adding(BOB.key, "bob"))

    def say(self, author: Identity, kind: str, body: str) -> None:
        """
        Let somebody say something that makes members.
        """
        self.room.take([self.entry(author, kind, body)])

    def entry(self, author: Identity, kind: str, body: str) -> Entry:
        """
        What somebody says next.
        """
        seq = next(self.seqs[author.key])
        said = Said(next(self.clock), kind, body)
        return Entry(ROOM, author.key, seq, NOTHING, said, NOTHING)

    def test_room_that_is_full_takes_nobody_further(self) -> None:
        """
        The last place is given, and who comes then is no member, whoever adds them.
        """
        *others, last, further = some_keys(MOST_MEMBERS - 1)
        for key in others:
            self.say(ANN, *adding(key, "x"))
        self.assertEqual(MOST_MEMBERS - 1, len(self.room.members()))

        self.say(BOB, *adding(last, "last"))
        self.say(BOB, *adding(further, "further"))

        self.assertTrue(self.room.is_member(last))
        self.assertFalse(self.room.is_member(further))
        self.assertEqual(MOST_MEMBERS, len(self.room.members()))

    def test_member_adds_so_often_and_no_more(self) -> None:
        """
        The last add of many counts, and one that is beyond does not, also where there are places.
        """
        for number in range(MOST_ADDS - 1):
            self.say(BOB, *adding(ANN.key, "again", f"{number:032x}"))
            self.say(BOB, *adding(ANN.key, "said before", f"{number:032x}"))

        self.say(BOB, *adding(CY.key, "cy"))
        self.say(BOB, *adding(DEE.key, "dee"))

        self.assertTrue(self.room.is_member(CY.key))
        self.assertFalse(self.room.is_member(DEE.key))

    def test_founder_adds_more_and_no_more_than_that(self) -> None:
        """
        They add whom they removed, and others, as often as need be, up to a number of people.
        """
        *others, last, further = some_keys(MOST_BY_FOUNDER)
        self.room.take(
            self.entry(ANN, *said)
            for key in others
            for said in (adding(key, "x"), removing(key, 0), adding(key, "y"), removing(key, 0))
        )
        self.assertEqual(MOST_BY_FOUNDER, len(self.room.members()))

        for key in (last, further):
            self.assertEqual(key == last, self.room.may_add(key, ANN.key))
            self.say(ANN, *adding(key, "x"))
            self.assertEqual(key == last, self.room.is_member(key))

    def test_founder_removes_so_many_and_no_more(self) -> None:
        """
        Removals are kept up to a bound, and one that is beyond says nothing.
        """
        *others, last = some_keys(MOST_BY_FOUNDER)
        self.room.take(self.entry(ANN, *removing(key, 0)) for key in others)
        self.assertTrue(self.room.may_remove(BOB.key))
        self.say(ANN, *removing(last, 0))

        self.assertFalse(self.room.may_remove(BOB.key))
        self.say(ANN, *removing(BOB.key, 0))

        self.assertTrue(self.room.is_member(BOB.key))

    def test_member_leaves_so_often_and_no_more(self) -> None:
        """
        With the last time they are gone for good.
        """
        for number in range(MOST_LEAVES):
            self.assertTrue(self.room.is_member(BOB.key))
            self.say(BOB, *leaving(number.to_bytes(16)))
            self.say(ANN, *adding(BOB.key, "bob", number.to_bytes(16).hex()))

        self.assertFalse(self.room.is_member(BOB.key))

    def test_names_are_so_long_and_no_longer(self) -> None:
        """
        An add with a longer name, or with none, says nothing.
        """
        for name in ("x" * (LONGEST_NAME + 1), ""):
            self.say(ANN, *adding(CY.key, name))
            self.assertFalse(self.room.is_member(CY.key))

        self.say(ANN, *adding(CY.key, "x" * LONGEST_NAME))

        self.assertTrue(self.room.is_member(CY.key))

    def test_deep_bodies_say_nothing(self) -> None:
        """
        However deep the stack is already, all nodes find the same: nobody's comes to its end.
        """
        for depth in (4000, MOST_BRACKETS, MOST_BRACKETS - 1):
            kind, body = adding(CY.key, "cy")
            self.assertFalse(self.room.is_member(CY.key))
            self.say(ANN, kind, f'{body[:-1]},"x":{"[" * depth}{"]" * depth}}}')

        self.assertTrue(self.room.is_member(CY.key))


class NeighboursTests(SynchronousTestCase):
    """
    With whom those in a room have sessions.
    """

    def neighbours_of(
        self, identity: Identity, others: list[DeviceKey], away: Container[DeviceKey] = ()
    ) -> list[DeviceKey]:
        """
        With whom somebody wants to have a session who is in a room with Ann and some others.
        """
        journal = MemoryJournal()
        said = [founding("class", NONCE, "ann")]
        said += [adding(key, "x") for key in others]
        _, entries = sign_run(ANN, ROOM, 1, NOTHING, tuple(Said(1, *one) for one in said))
        journal.append(entries)
        journal.keep_room(RoomRecord(ROOM, Stay.JOINED, "class", ANN.key, ANN.key))
        return Rooms(identity.key, Contacts(), journal, lambda _: None).neighbours(
            away.__contains__
        )

    def test_small_rooms_are_a_full_mesh(self) -> None:
        """
        Up to its bound everybody has a session with everybody, and above it with a few.
        """
        others = some_keys(FULL_MESH)

        self.assertEqual(set(others[:-1]), set(self.neighbours_of(ANN, others[:-1])))
        self.assertEqual(NEIGHBOURS, len(self.neighbours_of(ANN, others)))

    def test_large_rooms_are_a_ring(self) -> None:
        """
        Everybody is dialled by as many as they dial, so that nobody is left out.
        """
        people = [identity_of(f"member {number}") for number in range(FULL_MESH)]
        keys = [one.key for one in people]
        ring = sorted([ANN.key, *keys])

        dialled = [key for one in (ANN, *people) for key in self.neighbours_of(one, keys)]

        self.assertEqual(set(ring), set(dialled))
        self.assertEqual({NEIGHBOURS}, set(Counter(dialled).values()))
        after = 2 * ring
        place = ring.index(ANN.key) + 1
        self.assertEqual(after[place : place + NEIGHBOURS], self.neighbours_of(ANN, keys))

    def test_neighbours_who_are_away_do_not_count(self) -> None:
        """
        Those behind them on the ring take their places, and they are still dialled.
        """
        keys = [identity_of(f"member {number}").key for number in range(FULL_MESH)]
        place = sorted([ANN.key, *keys]).index(ANN.key)
        after = (sorted(keys) * 2)[place : place + FULL_MESH]
        away = {*after[:3], after[5]}

        self.assertEqual(after[: NEIGHBOURS + 4], self.neighbours_of(ANN, keys, away))
        self.assertEqual(after, self.neighbours_of(ANN, keys, set(keys)))
        here = after[-(NEIGHBOURS - 1) :]
        self.assertEqual(after, self.neighbours_of(ANN, keys, set(keys) - set(here)))


class RoomsBoundsTests(RoomLiarTestCase):
    """
    How many rooms there can be.
    """

    def test_person_is_in_so_many_rooms_and_no_more(self) -> None:
        """
        Who is in too many is told to leave one first, and can come into another then.
        """
        self.patch(rooms, "MOST_ROOMS", 2)
        self.done(self.ann.node.make_room("second"))
        self.caller.say(self.card(3))
        self.network.settle()

        for coming in (self.ann.node.make_room("third"), self.ann.node.join(RoomId(self.club(3)))):
            message = self.failureResultOf(coming, ChatError).getErrorMessage()
            self.assertEqual("You are in 2 rooms already: leave one first.", message)

        self.done(self.ann.node.leave_room(RoomId(self.room)))
        self.done(self.ann.node.join(RoomId(self.club(3))))

    def club(self, number: int) -> bytes:
        """
        A room that Bob may have founded.
        """
        return room_of(self.bob.key, number.to_bytes(16))

    def card(self, number: int) -> Card:
        """
        An invitation to it.
        """
        nonce = number.to_bytes(16).hex()
        name = f"club {number}"
        founder = str(self.bob.key)
        return Card(room=self.club(number).hex(), name=name, founder=founder, nonce=nonce)

    def test_of_many_invitations_the_oldest_goes(self) -> None:
        """
        A contact cannot fill the list, nor the memory, nor the disk, with rooms.
        """
        self.patch(rooms, "MOST_INVITATIONS", 4)
        clubs = [self.club(number) for number in range(6)]
        self.caller.say(*(self.card(number) for number in range(4)))
        self.network.settle()
        self.assertEqual([self.room, *clubs[:4]], self.known())

        self.caller.say(self.card(4))
        self.network.settle()

        self.assertEqual([self.room, *clubs[1:5]], self.known())
        # One that was declined once is declined again, when it goes.
        self.done(self.ann.node.leave_room(RoomId(clubs[1])))
        self.caller.say(replace(self.card(1), seen=1), self.card(5))
        self.network.settle()
        stays = {one.room: one.stay for one in self.ann.node.rooms()}
        self.assertEqual({self.room, *clubs[1:]}, set(stays))
        self.assertIs(Stay.LEFT, stays.pop(clubs[1]))
        self.assertEqual([self.room, clubs[1]], [one.room for one in self.ann.journal.rooms()])

    def known(self) -> list[bytes]:
        """
        The rooms that Ann knows.
        """
        return [one.room for one in self.ann.node.rooms()]

    def test_contact_invites_so_often_and_no_more(self) -> None:
        """
        A flood of invitations is told as a few, and others can invite meanwhile.
        """
        self.ann.events.clear()
        self.caller.say(*(self.card(number) for number in range(50)))
        self.network.settle()
        invited = [event.room.room for event in self.ann.told(RoomChanged)]
        self.assertEqual([self.club(number) for number in range(INVITATIONS_AT_ONCE)], invited)

        record: RoomRecord = self.done(self.bob.node.make_room("another"))
        self.done(self.bob.node.add_to(RoomId(record.room), self.ann.key))
        self.network.settle()
        self.assertIn(record.room, self.known())
        self.pass_time(INVITATION_INTERVAL)
        self.come_again()
        self.caller.say(self.card(60), self.card(61))
        self.network.settle()

        self.assertIn(self.club(60), self.known())
        self.assertNotIn(self.club(61), self.known())

    def test_invitation_is_on_the_disk_once_it_is_answered(self) -> None:
        """
        Until then it comes again with the next session.
        """
        self.caller.say(self.card(1), self.card(2))
        self.network.settle()
        self.assertEqual([self.room, self.club(1), self.club(2)], self.known())
        self.done(self.ann.node.join(RoomId(self.club(2))))
        again = Rooms(self.ann.key, self.ann.contacts, self.ann.journal, lambda _: None)
        self.assertEqual([self.room, self.club(2)], [one.room for one in again.all()])

        self.assertFalse(again.invited(self.card(1), MALLORY.key, 0.0))

        self.assertEqual(self.club(1), again.all()[-1].room)

    def test_rooms_that_others_speak_of_are_not_kept(self) -> None:
        """
        Whoever tells of rooms that there are not takes no memory.
        """
        known = self.ann.node._rooms._memberships
        self.assertEqual([self.room], list(known))
        told: dict[str, dict[str, tuple[int, str]]] = {f"{number:064x}": {} for number in range(64)}

        self.caller.say(Have(rooms=told), *(self.card(number) for number in range(64)))
        self.network.settle()

        self.assertEqual([self.room], list(known))
        (cards,) = (
            partner.cards
            for partner in self.ann.node._exchange._partners.values()
            if partner.key == MALLORY.key
        )
        self.assertEqual({self.club(number) for number in range(INVITATIONS_AT_ONCE)}, {*cards})

    def test_strangers_take_no_memory(self) -> None:
        """
        Whoever comes to the door and tells what they hold is forgotten when they go.
        """
        stranger = identity_of("nobody")
        caller = self.come(stranger)

        caller.say(Have(rooms={direct_room(self.ann.key, stranger.key).hex(): {}}))
        self.network.settle()

        self.assertIsNone(caller.reason)
        self.assertNotIn(stranger.key, self.ann.node._rooms._direct)


class ExchangeBoundsTests(RoomLiarTestCase):
    """
    What is told, sent and shown, and when.
    """

    @override
    def setUp(self) -> None:
        """
        Let Mallory be in the room, and hold all that was said until now.
        """
        super().setUp()
        self.come_in()

    def texts(self, number: int) -> Run:
        """
        What Mallory could say, as one run.
        """
        return self.write(MALLORY, *((TEXT, f"text {one}") for one in range(number)))

    def promise(self, run: Run) -> None:
        """
        Let Mallory tell that she holds it.
        """
        _, entries = sign_run(MALLORY, run.room, run.seq, run.prev, run.said)
        held = {str(MALLORY.key): (entries[-1].seq, entries[-1].hash.hex())}
        self.caller.say(Have(rooms={self.room.hex(): held}))
        self.network.settle()

    def shown(self) -> list[str]:
        """
        What Ann was shown of the room.
        """
        return [event.text for event in self.ann.told(RoomTextReceived)]

    def caught_up(self) -> list[int]:
        """
        How many texts she was told of in one line.
        """
        return [event.texts for event in self.ann.told(CaughtUp)]

    def send_now(self, *runs: Run) -> None:
        """
        Let Mallory send something, which takes no time.
        """
        self.caller.say(*map(frame_of_run, runs))
        self.network.settle()

    def test_others_are_told_what_is_new_after_a_while_and_sent_it_when_they_ask(self) -> None:
        """
        What Bob says is told to Mallory by Ann after a delay, and sent to her when she asks.
        """
        self.bob.node.send_text(RoomId(self.room), "hello")
        self.network.settle()
        self.assertEqual(["hello"], self.shown())

        self.pass_time(TELL_AFTER - 2 * MOMENT)
        self.assertFalse(self.is_told())
        self.pass_time(2 * MOMENT)
        self.assertTrue(self.is_told())
        self.pass_time(2 * ASK_AFTER)
        self.assertEqual([], self.bodies())

        self.ask(0)
        self.assertEqual(["hello"], self.bodies())

    def test_whoever_has_told_the_same_is_not_told(self) -> None:
        """
        What Mallory holds already is no news to her.
        """
        self.bob.node.send_text(RoomId(self.room), "hello")
        self.network.settle()
        seq, digest = self.ann.journal.stored_heads(self.room)[self.bob.key]
        held = {str(self.bob.key): (seq, digest.hex())}
        self.caller.say(Have(rooms={self.room.hex(): held}))

        self.pass_time(2 * TELL_AFTER)

        self.assertFalse(self.is_told())

    def test_whoever_has_told_of_another_one_is_told(self) -> None:
        """
        Else nobody would see that there are two with one number.
        """
        held = {str(self.bob.key): (1, "0" * 64)}
        self.caller.say(Have(rooms={self.room.hex(): held}))
        self.network.settle()
        self.bob.node.send_text(RoomId(self.room), "hello")

        self.pass_time(2 * TELL_AFTER)

        self.assertTrue(self.is_told())

    def test_who_has_many_sessions_tells_one_after_the_other(self) -> None:
        """
        With more sessions than are quick, each of those who are to be told has a turn.
        """
        self.patch(exchange, "QUICK_SESSIONS", 1)
        callers: list[SessionCaller] = []
        for number in range(3):
            member = identity_of(f"member {number}")
            self.ann.contacts.accept(member.key, "x", 0.0)
            callers.append(self.come(member))
            self.add(self.ann.key, member.key)
        self.pass_time(10 * TELL_AFTER)
        for one in callers:
            one.say(Have(rooms={self.room.hex(): {}}))
            one.frames.clear()
        self.pass_time(10 * TELL_AFTER)
        self.bob.node.send_text(RoomId(self.room), "hello")

        told: list[int] = []
        for _ in range(len(callers) + 2):
            self.pass_time(TELL_AFTER)
            told.append(sum(self.knows_of(one, self.bob.key) for one in callers))

        self.assertEqual(len(callers), told[-1])
        self.assertLessEqual({after - before for before, after in pairwise([0, *told])}, {0, 1})

    def test_receipts_wait_where_many_talk(self) -> None:
        """
        Of more texts than there are turns, one receipt is said at once and the others later.
        """
        self.patch(exchange, "QUICK_SESSIONS", 1)
        self.send_now(self.texts(1))
        self.send_now(self.texts(1))
        self.assertEqual([1], self.receipts())

        self.pass_time(2 * TELL_AFTER)

        self.assertEqual([1, 2], self.receipts())

    def test_receipts_do_not_wait_where_much_comes(self) -> None:
        """
        Nobody has to stop before they may send more.
        """
        self.patch(exchange, "QUICK_SESSIONS", 1)
        self.patch(exchange, "MOST_UNANSWERED", 1000)
        for _ in range(3):
            self.send_now(self.write(MALLORY, (TEXT, "x" * 1000)))

        self.assertEqual([1, 2, 3], self.receipts())

    def test_where_many_talk_few_turns_tell_all(self) -> None:
        """
        Most tell their receiver alone how far what they said has come; when it is quiet, all do.
        """
        self.patch(exchange, "QUICK_SESSIONS", 1)
        bob, mallory = str(self.bob.key), str(MALLORY.key)
        for _ in range(4 * ALL_EVERY):
            self.bob.node.send_text(RoomId(self.room), "hello")
            self.send_now(self.texts(1))
            self.pass_time(TELL_AFTER)

        # Every other turn is Bob's.
        told = self.told()
        self.assertEqual(2, sum(bob in authors for authors in told))
        self.assertGreaterEqual(sum(mallory in authors for authors in told), 2 * ALL_EVERY)
        self.pass_time(2 * TELL_AFTER)
        self.assertEqual(4 * ALL_EVERY, self.told()[-1][bob][0])

    def test_where_many_talk_nothing_is_urgent(self) -> None:
        """
        Of what others say some waits to be written together, as soon as it is much.
        """
        self.patch(exchange, "QUICK_SESSIONS", 1)
        append = self.ann.journal.append
        urgent: list[bool] = []

        def watched(entries: Sequence[Entry], *, is_urgent: bool = True) -> Deferred[None]:
            urgent.append(is_urgent)
            return append(entries, is_urgent=is_urgent)

        self.patch(self.ann.journal, "append", watched)
        for _ in range(3):
            self.send_now(self.texts(1))

        self.assertEqual([True, True, False], urgent)

    def ask(self, seq: int) -> None:
        """
        Let Mallory ask for what Bob said after some number.
        """
        asked = {str(self.bob.key): (seq, "0" * 64)}
        self.caller.say(Have(rooms={self.room.hex(): asked}, asks=True))
        self.network.settle()

    def receipts(self) -> list[int]:
        """
        How far Mallory was told that Ann holds what she said.
        """
        key = str(MALLORY.key)
        return [authors[key][0] for authors in self.told() if key in authors]

    def knows_of(self, caller: SessionCaller, key: DeviceKey) -> bool:
        """
        Whether somebody was told of what another one said.
        """
        haves = [one for one in caller.frames if isinstance(one, Have)]
        return any(str(key) in have.rooms.get(self.room.hex(), {}) for have in haves)

    def is_told(self) -> bool:
        """
        Whether Mallory knows that Ann holds what Bob says.
        """
        return any(str(self.bob.key) in authors for authors in self.told())

    def test_screenful_is_shown_line_by_line(self) -> None:
        """
        Of one text more only the number is told.
        """
        run = self.texts(MOST_SHOWN)
        self.promise(run)
        self.send_now(run)
        self.assertEqual((MOST_SHOWN, []), (len(self.shown()), self.caught_up()))

        run = self.texts(MOST_SHOWN + 1)
        self.promise(run)
        self.send_now(run)

        self.assertEqual((MOST_SHOWN, [MOST_SHOWN + 1]), (len(self.shown()), self.caught_up()))

    def test_promised_texts_are_waited_for_so_long_and_no_longer(self) -> None:
        """
        Who claims to hold much, and sends little, keeps nothing from being shown for long.
        """
        self.promise(self.texts(100))
        self.send_now(self.texts(5))
        self.pass_time(LONGEST_PAUSE - MOMENT)
        self.assertEqual(([], []), (self.shown(), self.caught_up()))

        self.pass_time(2 * MOMENT)
        self.assertEqual(([], [5]), (self.shown(), self.caught_up()))
        self.send_now(self.texts(2))

        self.assertEqual(["text 0", "text 1"], self.shown())

    def test_much_is_told_in_several_frames(self) -> None:
        """
        One frame tells of so many authors, and of more another does.
        """
        for name in ("second", "third", "fourth"):
            record: RoomRecord = self.done(self.ann.node.make_room(name))
            self.done(self.ann.node.add_to(RoomId(record.room), MALLORY.key))
            self.hold(record.room)

        for most, frames in ((100, 1), (4, 3)):
            self.patch(exchange, "MOST_TOLD", most)
            self.come_again()
            haves = [one for one in self.caller.frames if isinstance(one, Have)]
            self.assertEqual(frames, len(haves))
            self.assertEqual(5, sum(len(have.rooms) for have in haves))
            for have in haves:
                self.assertLessEqual(sum(map(len, have.rooms.values())), most)

    def say_at(self, author: Identity, time: int, *said: tuple[str, str]) -> Run:
        """
        What somebody could say next at some time.
        """
        seq, prev = self.ann.journal.heads(self.room).get(author.key, (0, NOTHING))
        saying = tuple(Said(time, kind, body) for kind, body in said)
        return sign_run(author, self.room, seq + 1, prev, saying)[0]

    def test_authors_who_were_pushed_out_are_not_told(self) -> None:
        """
        However many were members once: those who are now are all that a frame has to hold.
        """
        self.patch(core_rooms, "MOST_MEMBERS", 5)
        sybils, others = ([identity_of(f"{what} {one}") for one in "12"] for what in ("x", "y"))
        self.send_now(self.say_at(MALLORY, 1, *(adding(one.key, "x") for one in sybils)))
        for one in sybils:
            self.send_now(self.say_at(one, 1, (TEXT, "hello")))
        for one in others:
            self.ann.contacts.accept(one.key, "y", 0.0)
            self.done(self.ann.node.add_to(RoomId(self.room), one.key))
            self.send_now(self.say_at(one, 1, (TEXT, "hello")))
        members = {speaker.key for speaker in self.ann.node.members(RoomId(self.room))}
        self.assertEqual(
            {self.ann.key, self.bob.key, MALLORY.key, *(one.key for one in others)}, members
        )
        self.assertEqual({*members, *(one.key for one in sybils)} - {self.bob.key}, self.authors())

        self.come_again()

        told = set(self.told()[0])
        self.assertEqual({str(key) for key in members - {self.bob.key}}, told)

    def authors(self) -> set[DeviceKey]:
        """
        Of whom Ann holds anything.
        """
        return {entry.author for entry in self.entries()}

    def test_dropped_chains_are_remembered_up_to_a_bound(self) -> None:
        """
        What follows something that was dropped is no gap, but for a chain beyond the bound it is.
        """
        self.patch(exchange, "MOST_DROPPED", 2)
        people = [identity_of(f"member {number}") for number in range(3)]
        for one in people:
            self.send_now(self.say_at(one, 1, (TEXT, "too early")))
            self.ann.contacts.accept(one.key, "x", 0.0)
        for one in people:
            self.ann.node.add_to(RoomId(self.room), one.key)
            self.network.settle()
        again = [one for one in self.caller.frames if isinstance(one, Have) and one.asks]
        self.assertEqual(2, len(again))

        with capturedLogs() as events:
            for one in people:
                self.assertIsNone(self.caller.reason)
                _, (entry,) = sign_run(one, self.room, 1, NOTHING, (Said(1, TEXT, "too early"),))
                later, _ = sign_run(one, self.room, 2, entry.hash, (Said(2, TEXT, "a gap"),))
                self.send_now(later)

        self.assertEqual(["gap"], [event["code"] for event in events if "code" in event])
        self.assertIsNotNone(self.caller.reason)

    def test_what_an_inviter_claims_to_hold_is_bounded(self) -> None:
        """
        Of a room that does not come to be, no more is kept than there can be in one.
        """
        self.patch(exchange, "MOST_TOLD", 3)
        room = room_of(MALLORY.key, NONCE)
        founder = str(MALLORY.key)
        self.caller.say(Card(room=room.hex(), name="club", founder=founder, nonce=NONCE.hex()))
        self.network.settle()
        self.ann.node.join(RoomId(room))
        self.network.settle()
        link = self.ann.node._sessions.live[MALLORY.key]
        partner = self.ann.node._exchange._partners[link]

        for number, key in enumerate(some_keys(5), 1):
            self.caller.say(Have(rooms={room.hex(): {str(key): (1, "0" * 64)}}))
            self.network.settle()
            self.assertEqual(min(number, 3), len(partner.promises[room]))

    def test_entries_are_read_and_written_by_the_frame(self) -> None:
        """
        A long catch-up, and much that is said at once, take no more memory than a frame or two.
        """
        read: list[int] = []
        reads = self.ann.journal.read

        def count_read(room: bytes, author: DeviceKey, after: int, most: int) -> object:
            return reads(room, author, after, most).addCallback(note)

        def note(entries: list[Entry]) -> list[Entry]:
            if entries[0].said.kind == TEXT:
                read.append(len(entries))
            return entries

        text = "x" * 8000
        enough = -(-MOST_READ // len(text))
        self.ann.journal.is_slow = True
        for _ in range(2 * enough):
            self.ann.node.send_text(RoomId(self.room), text)
        self.ann.journal.is_slow = False
        while self.ann.journal.waiting:
            self.ann.journal.work()
        texts = [entry for entry in self.entries() if entry.said.kind == TEXT]
        signed = [place for place, entry in enumerate(texts, 1) if entry.signature]
        self.assertEqual([1, 1 + enough, 2 * enough], signed)
        self.patch(self.ann.journal, "read", count_read)
        self.come_again()
        self.hold(ann=self.head_before(texts[0]))

        self.assertEqual([1 + enough, enough - 1], read)
        self.assertEqual(2 * [text], self.bodies()[-2:])

    def head_before(self, entry: Entry) -> tuple[int, bytes]:
        """
        How far somebody holds a chain who lacks an entry and all behind it.
        """
        return entry.seq - 1, entry.prev
