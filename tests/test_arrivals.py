"""
Arrivals: when texts are shown one by one, and when only their number is told.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.arrivals import (
    BELIEF_INTERVAL,
    BELIEVED_AT_ONCE,
    LONGEST_CATCH_UP,
    LONGEST_PAUSE,
    MOST_SHOWN,
    Arrivals,
)
from twistedchat.core.events import CaughtUp, Event, RoomTextReceived
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.trust import Contacts
from twistedchat.rooms import Rooms
from twistedchat.testing import MemoryJournal, identity_of

ANN, BOB, CY, MALLORY = (identity_of(name).key for name in ("ann", "bob", "cy", "mallory"))
HALL, ATTIC = (RoomRecord(name * 32, Stay.JOINED, "hall", BOB, BOB) for name in (b"h", b"a"))

# More than anybody ever said.
MUCH = 10**6


class ArrivalsTests(SynchronousTestCase):
    """
    Ann is in two rooms.
    """

    @override
    def setUp(self) -> None:
        """
        Let nothing have come yet.
        """
        self.clock = Clock()
        self.told: list[Event] = []
        journal = MemoryJournal()
        for record in (HALL, ATTIC):
            journal.keep_room(record)
        contacts = Contacts()
        rooms = Rooms(ANN, contacts, journal, self.told.append)
        self.arrivals = Arrivals(self.clock, rooms, contacts, self.told.append)
        self.seqs: dict[tuple[bytes, DeviceKey], int] = {}

    @override
    def tearDown(self) -> None:
        """
        See that nothing is left behind.
        """
        self.arrivals.close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def expect(self, key: DeviceKey, ends: dict[DeviceKey, int], room: RoomRecord = HALL) -> None:
        """
        Let somebody claim to hold something.
        """
        heads = {author: self.seqs.get((room.room, author), 0) for author in ends}
        lacking = sum(end - heads[author] for author, end in ends.items())
        self.arrivals.expect(room.room, key, ends, lacking)

    def come(self, author: DeviceKey, count: int = 1, room: RoomRecord = HALL) -> None:
        """
        Let texts come.
        """
        seq = self.seqs[room.room, author] = self.seqs.get((room.room, author), 0) + count
        texts = [str(number) for number in range(seq - count + 1, seq + 1)]
        self.arrivals.came(room.room, author, seq, texts)

    def seen(self) -> list[tuple[DeviceKey, str] | int]:
        """
        What was shown since the last time, and the numbers that were told.
        """
        seen: list[tuple[DeviceKey, str] | int] = []
        for event in self.told:
            if isinstance(event, RoomTextReceived):
                seen.append((event.speaker.key, event.text))
            elif isinstance(event, CaughtUp):
                seen.append(event.texts)
        self.told.clear()
        return seen

    def wait(self, seconds: float) -> None:
        """
        Let time go by.
        """
        self.clock.pump([0.25] * round(seconds * 4))

    def test_absence_is_one_number(self) -> None:
        """
        However much was missed, and of whomever, it is told once.
        """
        self.expect(BOB, {BOB: 100_000, CY: 30})
        for _ in range(1000):
            self.come(BOB, 100)
            self.wait(0.25 if self.seqs[HALL.room, BOB] % 10_000 == 0 else 0)
        self.assertEqual([], self.seen())

        self.come(CY, 30)

        self.assertEqual([100_030], self.seen())
        self.come(CY)
        self.assertEqual([(CY, "31")], self.seen())

    def test_whoever_talks_meanwhile_is_heard(self) -> None:
        """
        Texts of whom nothing is missing are shown at once, above the number.
        """
        self.expect(BOB, {BOB: 100})
        self.come(BOB, 50)
        self.come(CY)
        self.come(BOB, 50)
        self.come(BOB)

        self.assertEqual([(CY, "1"), 100, (BOB, "101")], self.seen())

    def test_claim_of_what_does_not_come_hides_nothing_for_long(self) -> None:
        """
        Neither does it last longer by what others say, or by more claims.
        """
        self.expect(MALLORY, {MALLORY: MUCH, BOB: MUCH})
        for _ in range(10):
            self.come(BOB)
            self.expect(MALLORY, {MALLORY: MUCH, BOB: MUCH + 1})
            self.wait(0.25)
        self.assertEqual([], self.seen())

        self.wait(LONGEST_PAUSE - 2.5)

        self.assertEqual([10], self.seen())
        for _ in range(10):
            self.come(BOB)
            self.wait(2)
        self.assertEqual([(BOB, str(number)) for number in range(11, 21)], self.seen())

    def test_claim_is_not_believed_for_ever(self) -> None:
        """
        Whoever claims again and again what does not come is believed a few times, and once later.
        """
        for _ in range(BELIEVED_AT_ONCE):
            self.expect(MALLORY, {BOB: MUCH})
            self.come(BOB)
            self.assertEqual([], self.seen())
            self.wait(LONGEST_PAUSE)
            self.assertEqual([1], self.seen())

        self.expect(MALLORY, {BOB: MUCH})
        self.come(BOB)
        self.assertEqual([(BOB, "4")], self.seen())
        # Others are, and in other rooms.
        self.expect(CY, {BOB: 100})
        self.come(BOB, 96)
        self.expect(MALLORY, {BOB: 100}, ATTIC)
        self.come(BOB, 100, ATTIC)
        self.assertEqual([96, 100], self.seen())

        self.wait(BELIEF_INTERVAL)
        self.expect(MALLORY, {BOB: 200})
        self.come(BOB, 100)
        self.assertEqual([100], self.seen())

    def test_claim_goes_with_its_session(self) -> None:
        """
        Whoever is gone sends nothing: what has come is told, and what comes is shown.
        """
        self.expect(BOB, {BOB: 100})
        self.expect(CY, {BOB: 100}, ATTIC)
        self.come(BOB, 50)
        self.arrivals.gone(CY)
        self.assertEqual([], self.seen())

        self.arrivals.gone(BOB)

        self.assertEqual([50], self.seen())
        self.come(BOB)
        self.assertEqual([(BOB, "51")], self.seen())

    def test_coming_and_going_is_not_believed_for_ever(self) -> None:
        """
        Whoever goes before anything came is as somebody of whom nothing came.
        """
        for _ in range(BELIEVED_AT_ONCE):
            self.expect(MALLORY, {BOB: MUCH})
            self.come(BOB)
            self.arrivals.gone(MALLORY)
        self.assertEqual([1] * BELIEVED_AT_ONCE, self.seen())

        self.expect(MALLORY, {BOB: MUCH})
        self.come(BOB)

        self.assertEqual([(BOB, "4")], self.seen())

    def test_connection_that_breaks_again_and_again_is_believed(self) -> None:
        """
        Of whoever something came each time the rest is told as a number too.
        """
        for part in range(1, 10):
            self.expect(BOB, {BOB: 1000})
            self.come(BOB, 100)
            self.assertEqual(100 * part, self.seqs[HALL.room, BOB])
            self.arrivals.gone(BOB)

        self.assertEqual([100] * 9, self.seen())

    def test_two_who_hold_the_same_are_one_absence(self) -> None:
        """
        It comes from either, and is told once; where one of them goes, from the other.
        """
        self.expect(BOB, {BOB: 100})
        self.expect(CY, {BOB: 100, CY: 30})
        self.come(BOB, 60)
        self.arrivals.gone(BOB)
        self.come(BOB, 40)
        self.assertEqual([], self.seen())

        self.come(CY, 30)

        self.assertEqual([130], self.seen())
        self.expect(BOB, {BOB: 200})
        self.expect(CY, {BOB: 200})
        self.come(BOB, 100)
        self.assertEqual([100], self.seen())

    def test_what_comes_slowly_is_shown_as_it_comes(self) -> None:
        """
        Less than a screenful in the time that a claim is waited for can be read.
        """
        self.expect(BOB, {BOB: 1000})
        for _ in range(3):
            self.come(BOB, MOST_SHOWN + 1)
            self.wait(LONGEST_PAUSE - 0.25)
        self.assertEqual([], self.seen())

        self.come(BOB, MOST_SHOWN)
        self.wait(0.25)
        self.come(BOB)

        self.assertEqual([4 * MOST_SHOWN + 3, (BOB, "84")], self.seen())

    def test_person_hears_of_an_endless_absence(self) -> None:
        """
        Where somebody writes as fast as a machine, and it is claimed that there is ever more.
        """
        self.expect(MALLORY, {BOB: MUCH})
        for _ in range(round(LONGEST_CATCH_UP) - 1):
            self.come(BOB, 30)
            self.wait(1)
        self.assertEqual([], self.seen())

        self.wait(1)
        self.come(BOB, 30)

        self.assertEqual([30 * round(LONGEST_CATCH_UP)], self.seen())
        self.come(BOB, 30)
        self.assertEqual([], self.seen())
        self.arrivals.close()
        self.assertEqual([30], self.seen())
