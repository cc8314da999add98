"""
What the journal knows of rooms: records, membership, and how far our own words can be taken back.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from typing_extensions import override

from tests.journals import OTHER_ROOM, ROOM, Author, Here, Later, bodies, is_whole
from tests.test_store_history import HistoryTestCase, texts
from tests.test_store_journal import BOB, CARL, OWNER, PLENTY
from twistedchat.core.entries import NOTHING, TEXT, Entry, Said
from twistedchat.core.errors import StoreError
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.rooms import MEMBERSHIP
from twistedchat.store import journal as journal_module
from twistedchat.store.journal import Journal
from twistedchat.testing import identity_of

HALL = RoomRecord(ROOM, Stay.JOINED, "Hall", OWNER, OWNER)
ATTIC = RoomRecord(OTHER_ROOM, Stay.INVITED, "Attic \N{BLACK CHESS QUEEN}", BOB, CARL)


class RecordTests(HistoryTestCase):
    """
    `Journal.rooms` and `Journal.keep_room`.
    """

    def test_rooms_are_found_again(self) -> None:
        """
        With all that is known of them, and no other rooms.
        """
        self.append(Author("Bob", bytes(32)).says("in a direct conversation"))
        for record in (ATTIC, HALL):
            self.assertIsNone(self.result(self.journal.keep_room(record)))

        self.assertEqual([ATTIC, HALL], self.journal.rooms())
        self.reopen()
        self.assertEqual([ATTIC, HALL], self.journal.rooms())

    def test_replaced_keeps_its_place(self) -> None:
        """
        The room to which we came first stays the first.
        """
        left = replace(ATTIC, stay=Stay.LEFT, name="Loft", inviter=OWNER)
        for record in (ATTIC, HALL, left):
            self.result(self.journal.keep_room(record))

        self.assertEqual([left, HALL], self.journal.rooms())
        self.reopen()
        self.assertEqual([left, HALL], self.journal.rooms())

    def test_room_counts_when_it_is_on_the_disk(self) -> None:
        """
        What cannot be written is told, and changes nothing.
        """
        self.result(self.journal.keep_room(HALL))
        other = self.hold()
        self.assertIn("another program holds it", self.refuse(self.journal.keep_room(ATTIC)))
        other.rollback()

        self.assertEqual([HALL], self.journal.rooms())
        self.reopen()
        self.assertEqual([HALL], self.journal.rooms())

    def test_nothing_is_taken_any_more_at_the_end(self) -> None:
        """
        What comes after the end is refused.
        """
        self.result(self.journal.close())

        for promised in (
            self.journal.keep_room(HALL),
            self.journal.offer(ROOM, 1, NOTHING),
            self.journal.replace(ROOM, 0, (), 2),
        ):
            self.assertIn("is closed", self.refuse(promised))


class MembershipTests(HistoryTestCase):
    """
    `Journal.membership`.
    """

    def make(self) -> list[Entry]:
        """
        Have some entries of membership among others.
        """
        entries = [
            *self.author.says(Said(1, "found", "{}"), Said(2, TEXT, "hello")),
            *self.bob.says("hello", Said(2, "leave", ""), "hello", Said(4, "add", "{}")),
            *self.author.says(Said(3, "remove", "{}"), Said(4, "reaction", "x")),
            *Author("Bob", OTHER_ROOM).says(Said(1, "add", "{}")),
        ]
        self.append(entries)
        return [entry for entry in entries if entry.said.kind in MEMBERSHIP]

    def test_what_was_there_at_the_opening_is_told(self) -> None:
        """
        As it was signed, of each author and room in order; what comes later is not.
        """
        entries = self.make()
        self.assertEqual([], self.journal.membership())
        self.reopen()
        self.append(self.bob.says(Said(9, "leave", "")))

        found = self.journal.membership()

        self.assertEqual(5, len(found))
        self.assertCountEqual(entries, found)
        for author in (self.author, self.bob):
            chain = [entry for entry in entries if (entry.room, entry.author) == (ROOM, author.key)]
            there = [entry for entry in found if (entry.room, entry.author) == (ROOM, author.key)]
            self.assertEqual(chain, there)

    def test_what_is_given_out_is_a_copy(self) -> None:
        """
        Who changes it changes nothing here.
        """
        self.make()
        self.reopen().membership().clear()

        self.assertEqual(5, len(self.journal.membership()))

    def test_many_are_read_again(self) -> None:
        """
        Where they are many, they are the same without staying in memory.
        """
        self.make()
        few = self.reopen().membership()
        self.patch(journal_module, "MOST_MEMBERSHIP", 4)
        self.reopen()
        self.append(self.bob.says(Said(9, "leave", "")))

        self.assertEqual(few, self.journal.membership())
        self.file.unlink()
        error = self.assertRaises(StoreError, self.journal.membership)
        self.assertIn("it cannot be opened", str(error))


class OfferTests(HistoryTestCase):
    """
    `Journal.offered` and `Journal.offer`.
    """

    @override
    def setUp(self) -> None:
        """
        Say something that nobody has seen.
        """
        super().setUp()
        self.append(self.author.says("one", "two", "three"))

    def test_offered_is_known_for_good(self) -> None:
        """
        In each room by itself, and never less than before.
        """
        self.assertEqual(0, self.journal.offered(ROOM))
        self.result(self.journal.offer(ROOM, 2, NOTHING))
        self.result(self.journal.offer(ROOM, 1, NOTHING))

        self.assertEqual([2, 0], [self.journal.offered(room) for room in (ROOM, OTHER_ROOM)])
        self.reopen()
        self.assertEqual([2, 0], [self.journal.offered(room) for room in (ROOM, OTHER_ROOM)])

    def test_offered_head_is_what_others_may_know(self) -> None:
        """
        The last that they may have seen, and nothing that is not on the disk, now and later.
        """
        entries = self.read(self.author)
        self.assertEqual((0, NOTHING), self.journal.offered_head(ROOM))
        for seq, shown in ((2, 2), (5, 3)):
            digest = entries[seq - 1].hash if seq < 5 else NOTHING
            self.result(self.journal.offer(ROOM, seq, digest))

            for _ in range(2):
                self.assertEqual((shown, entries[shown - 1].hash), self.journal.offered_head(ROOM))
                self.assertEqual((0, NOTHING), self.journal.offered_head(OTHER_ROOM))
                self.reopen()

    def test_offered_head_is_of_what_was_kept(self) -> None:
        """
        A kill or a full disk can come between an offer and what was offered: that is not its hash.
        """
        for seq, goes_on in (4, lambda: None), (6, self.reopen):
            self.result(self.journal.offer(ROOM, seq, sha256(b"never kept").digest()))
            goes_on()
            self.assertEqual((seq - 1, self.author.prev), self.journal.offered_head(ROOM))

            self.append(self.author.says("kept"))
            kept = self.author.head
            self.assertEqual(kept, self.journal.offered_head(ROOM))
            self.append(self.author.says("not offered"))
            for _ in range(2):
                self.assertEqual(kept, self.journal.offered_head(ROOM))
                self.reopen()

    def test_offered_is_on_the_disk_first(self) -> None:
        """
        It counts when it is written, also for those who ask for the same while it is.
        """
        later = Later()
        self.journal = self.open(later)
        offers = [self.journal.offer(ROOM, seq, NOTHING) for seq in (2, 1, 3, 2)]
        later.work()

        self.assertEqual(0, self.journal.offered(ROOM))
        for offer in offers:
            self.assertNoResult(offer)
        later.tell()
        self.assertEqual(3, self.journal.offered(ROOM))
        for offer in [*offers, self.journal.offer(ROOM, 3, NOTHING)]:
            self.assertIsNone(self.result(offer))
        self.assertEqual(0, len(later.jobs))

    def test_what_was_not_written_was_not_offered(self) -> None:
        """
        Nobody may see it, and it is written when it is tried again.
        """
        other = self.hold()
        self.assertIn("another program holds it", self.refuse(self.journal.offer(ROOM, 2, NOTHING)))
        self.assertEqual(0, self.journal.offered(ROOM))
        other.rollback()

        self.result(self.journal.offer(ROOM, 1, NOTHING))

        self.assertEqual(1, self.journal.offered(ROOM))
        self.reopen()
        self.assertEqual(1, self.journal.offered(ROOM))


class ReplaceTests(HistoryTestCase):
    """
    `Journal.replace`.
    """

    @override
    def setUp(self) -> None:
        """
        Say something, of which others may have seen the beginning.
        """
        super().setUp()
        self.append(self.bob.says("theirs"))
        self.append(self.author.says("one", "two"))
        self.append(self.author.says("three tea", "four"))
        self.append(self.author.says(Said(9_000_000, TEXT, "five tea")))
        self.result(self.journal.offer(ROOM, 2, NOTHING))
        self.before = self.author.head

    def anew(self, after: int) -> Author:
        """
        The author as of some entry of theirs.
        """
        author = Author()
        if after:
            author.seq = after
            author.prev = self.read(author)[after - 1].hash
        return author

    def replace(self, after: int, *said: str | Said) -> Author:
        """
        Write something anew.
        """
        author = self.anew(after)
        entries = author.says(*said) if said else ()
        self.assertIsNone(self.result(self.journal.replace(ROOM, after, entries, 2)))
        return author

    def check(self, author: Author, ours: Sequence[str]) -> None:
        """
        See that all of the journal is of one opinion, now and after the next start.
        """
        for _ in range(2):
            entries = self.read(author)
            self.assertEqual(ours, bodies(entries))
            self.assertTrue(is_whole(entries))
            heads = {self.bob.key: self.bob.head}
            if ours:
                heads[author.key] = author.head
            self.assertEqual(heads, self.journal.heads(ROOM))
            self.assertEqual(heads, self.journal.stored_heads(ROOM))
            self.assertCountEqual(["theirs", *ours], texts(self.history(ROOM)))
            self.assertCountEqual(["theirs", *ours], texts(self.history(None)))
            for word in ("one", "two", "three", "four", "five", "tea", "theirs", "other"):
                found = [text for text in ("theirs", *ours) if word in text]
                self.assertCountEqual(found, self.search(word), word)
            self.assertEqual(1, self.journal.unread(ROOM))
            self.reopen()

    def test_rest_is_written_anew(self) -> None:
        """
        What comes after goes on from there.
        """
        author = self.replace(2, "four", "five tea", "other")
        self.check(author, ["one", "two", "four", "five tea", "other"])

        self.append(author.says("six"))

        self.check(author, ["one", "two", "four", "five tea", "other", "six"])

    def test_what_others_know_can_come_before_it(self) -> None:
        """
        What comes back is offered with the same commit that keeps it, and the rest is not.
        """
        author = self.anew(2)
        back, rest = author.says("other", "tea"), author.says("five tea")
        self.result(self.journal.replace(ROOM, 2, [*back, *rest], 4))

        for _ in range(2):
            self.assertEqual(4, self.journal.offered(ROOM))
            self.assertEqual((4, back[-1].hash), self.journal.offered_head(ROOM))
            self.assertRaises(ValueError, self.journal.replace, ROOM, 3, (), 4)
            self.check(author, ["one", "two", "other", "tea", "five tea"])

    def test_what_is_not_there_cannot_be_offered(self) -> None:
        """
        What others know then is one of those that are written: anything else is a mistake.
        """
        entries = self.anew(2).says("other")
        for offered in (1, 4):
            self.assertRaises(ValueError, self.journal.replace, ROOM, 2, entries, offered)

        self.check(self.author, ["one", "two", "three tea", "four", "five tea"])

    def test_rest_can_be_nothing(self) -> None:
        """
        Then what stays is the end, and is gone on from.
        """
        author = self.replace(4)
        self.check(author, ["one", "two", "three tea", "four"])

        self.append(author.says("other"))

        self.check(author, ["one", "two", "three tea", "four", "other"])

    def test_all_can_be_taken_back(self) -> None:
        """
        Where nobody has seen anything, nothing is left; and one can begin again.
        """
        room = Author(room=OTHER_ROOM)
        self.append(room.says("tea", "tea"))
        self.result(self.journal.replace(OTHER_ROOM, 0, (), 0))
        self.assertEqual({}, self.journal.heads(OTHER_ROOM))
        self.assertEqual({}, self.journal.stored_heads(OTHER_ROOM))
        self.reopen()
        self.assertEqual({}, self.journal.heads(OTHER_ROOM))
        self.assertEqual([], self.history(OTHER_ROOM))

        room = Author(room=OTHER_ROOM)
        self.append(room.says("coffee"))

        self.assertEqual({room.key: room.head}, self.journal.heads(OTHER_ROOM))
        self.assertEqual(["coffee"], texts(self.history(OTHER_ROOM)))
        self.assertEqual([], self.search("tea", OTHER_ROOM))

    def test_room_of_others_can_be_left_alone(self) -> None:
        """
        Where we have said nothing, there is nothing to do.
        """
        self.result(self.journal.replace(OTHER_ROOM, 0, (), 0))

        self.assertEqual({}, self.journal.heads(OTHER_ROOM))
        self.assertEqual({}, self.journal.stored_heads(OTHER_ROOM))

    def test_words_in_the_index_are_taken_out(self) -> None:
        """
        Nothing that is gone is found, whether its words were in the index or not.
        """
        self.patch(journal_module, "LOT", 3)
        self.append(self.author.says("one tea", "two tea"))

        author = self.replace(3, "other tea", "four")

        self.check(author, ["one", "two", "three tea", "other tea", "four"])
        self.result(self.journal.close())
        found = self.ask("SELECT count(*) FROM words WHERE words MATCH 'five'")
        self.assertEqual([(0,)], found)
        self.do_outside("INSERT INTO words (words) VALUES ('integrity-check')")

    def test_words_that_are_late_are_forgotten(self) -> None:
        """
        What is gone takes the place of nothing in an answer, though it was found just before.
        """
        self.assertEqual(["five tea", "three tea"], self.search("tea"))
        self.replace(4)

        self.assertEqual(["three tea"], self.search("tea", most=1))

    def test_times_are_those_of_what_is_there(self) -> None:
        """
        A time that was seen may count until the next start, and no longer.
        """
        self.replace(2, Said(3_000_000, TEXT, "other"))
        self.assertEqual(9_000_000, self.journal.last_time(ROOM))
        self.reopen()
        self.assertEqual(3_000_000, self.journal.last_time(ROOM))

        author = self.anew(2)
        entries = author.says(Said(8_000_000, TEXT, "other"))
        self.result(self.journal.replace(ROOM, 2, entries, 2))

        self.assertEqual(8_000_000, self.journal.last_time(ROOM))

    def test_what_others_may_have_seen_stays(self) -> None:
        """
        To change it would be a fork: a mistake of the caller's.
        """
        for after in (-1, 0, 1):
            self.assertRaises(ValueError, self.journal.replace, ROOM, after, (), 2)
        self.reopen()
        self.assertRaises(ValueError, self.journal.replace, ROOM, 1, (), 2)

        self.check(self.author, ["one", "two", "three tea", "four", "five tea"])

    def test_what_others_are_being_shown_stays(self) -> None:
        """
        That it is not yet on the disk is nobody's mistake.
        """
        later = Later()
        self.journal = self.open(later)
        offer = self.journal.offer(ROOM, 3, NOTHING)
        replaced = self.journal.replace(ROOM, 2, (), 2)
        self.assertIn("just being shown", self.refuse(replaced))
        later.settle()
        self.result(offer)

        self.assertRaises(ValueError, self.journal.replace, ROOM, 2, (), 3)
        self.journal.replace(ROOM, 4, (), 3)
        later.settle()
        self.assertEqual(4, self.journal.heads(ROOM)[OWNER][0])

    def test_what_does_not_fit_is_a_mistake(self) -> None:
        """
        What is to be written is ours, of that room, follows what stays, and is signed.
        """
        anew = self.anew(2)
        good = anew.says("a", "b")
        other = self.anew(3)
        for entries in (
            good[:1],
            good[1:],
            other.says("a"),
            [*good, good[1]],
            [replace(good[0], room=OTHER_ROOM), good[1]],
            [good[0], replace(good[1], author=BOB)],
            Author().says("a"),
        ):
            self.assertRaises(ValueError, self.journal.replace, ROOM, 2, entries, 2)
        self.assertRaises(ValueError, self.journal.replace, ROOM, 6, (), 2)
        self.assertRaises(ValueError, self.journal.replace, OTHER_ROOM, 1, (), 0)

        self.check(self.author, ["one", "two", "three tea", "four", "five tea"])

    def test_what_does_not_follow_is_told(self) -> None:
        """
        What stays is on the disk, so that is where it is seen; then nothing changes.
        """
        author = Author()
        author.seq, author.prev = 2, bytes(31) + b"\1"
        # Where the last one that stays is not signed, nobody vouches for it.
        for after, entries in ((2, author.says("a")), (3, ())):
            told = self.refuse(self.journal.replace(ROOM, after, entries, 2))

            self.assertIn("this program has a fault", told)
            self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
            self.check(self.author, ["one", "two", "three tea", "four", "five tea"])

    def test_nobody_has_nothing_to_take_back(self) -> None:
        """
        Where nobody owns the journal, nothing in it is ours.
        """
        here = Here()
        journal = Journal(here, None, None, lambda _: here)

        self.assertRaises(ValueError, journal.replace, ROOM, 0, (), 0)
        self.result(journal.close())

    def test_failure_changes_nothing(self) -> None:
        """
        What could not be written anew is as it was, and can be tried again.
        """
        other = self.hold()
        told = self.refuse(self.journal.replace(ROOM, 2, self.anew(2).says("other"), 2))
        self.assertIn("another program holds it", told)
        other.rollback()
        self.check(self.author, ["one", "two", "three tea", "four", "five tea"])

        self.check(self.replace(2, "other"), ["one", "two", "other"])

    def test_nothing_follows_what_is_being_written_anew(self) -> None:
        """
        Until it is, the heads are the old ones, ours get no longer, and others say what they like.
        """
        later = Later()
        self.journal = self.open(later)
        heads = self.journal.heads(ROOM)
        anew = Author()
        anew.seq, anew.prev = 2, self.result_of_reading(later)[1].hash
        entries = anew.says("other")
        replaced = self.journal.replace(ROOM, 2, entries, 2)

        self.assertEqual(heads, self.journal.heads(ROOM))
        self.assertRaises(ValueError, self.journal.append, self.author.says("six"))
        self.assertRaises(ValueError, self.journal.replace, ROOM, 2, entries, 2)
        done = [
            self.journal.append(self.bob.says("more")),
            self.journal.append(Author(room=OTHER_ROOM).says("elsewhere")),
        ]
        later.settle()
        for promised in (replaced, *done):
            self.assertIsNone(self.result(promised))
        self.assertEqual(
            {OWNER: anew.head, self.bob.key: self.bob.head}, self.journal.stored_heads(ROOM)
        )
        done = [self.journal.append(anew.says("six"))]
        later.settle()
        self.assertIsNone(self.result(done[0]))

    def result_of_reading(self, later: Later) -> list[Entry]:
        """
        All entries of the author's, as soon as they are read.
        """
        reading = self.journal.read(ROOM, OWNER, 0, PLENTY)
        later.settle()
        return self.result(reading)

    def test_what_waits_before_it_is_written_before_it(self) -> None:
        """
        What was appended is replaced, though neither was on the disk when it was asked for.
        """
        later = Later()
        self.journal = self.open(later)
        done = [
            self.journal.append(self.author.says("six")),
            self.journal.replace(ROOM, 5, (), 2),
            self.journal.append(self.bob.says("after")),
        ]
        later.settle()

        for promised in done:
            self.assertIsNone(self.result(promised))
        self.assertEqual(self.before, self.journal.stored_heads(ROOM)[OWNER])
        self.journal = self.open(Here())
        self.assertEqual(self.before, self.journal.heads(ROOM)[OWNER])
        self.assertEqual(["five tea"], self.search("five") + self.search("six"))

    def test_replaced_is_not_the_first_failure(self) -> None:
        """
        What waits for what was not written is not written either, and ours can be said again.
        """
        later = Later()
        self.journal = self.open(later)
        other = self.hold()
        done = [
            self.journal.append(self.bob.says("lost")),
            self.journal.replace(ROOM, 2, (), 2),
            self.journal.offer(ROOM, 5, NOTHING),
        ]
        later.settle()
        other.rollback()

        for promised in done:
            self.assertIn("another program holds it", self.refuse(promised))
        self.assertEqual(self.before, self.journal.heads(ROOM)[OWNER])
        again = self.journal.append(self.author.says("six"))
        later.settle()
        self.assertIsNone(self.result(again))

    def test_number_and_receipts_of_others_stay(self) -> None:
        """
        What others hold of ours, and what they said, is not touched.
        """
        self.journal.keep_receipt(ROOM, BOB, 2)
        self.replace(2, "other")

        self.assertEqual(2, self.journal.receipt(ROOM, BOB))
        self.assertEqual(2, self.journal.offered(ROOM))
        self.assertEqual(["theirs"], bodies(self.read(self.bob)))
        self.assertEqual(NOTHING, self.read(self.bob)[0].prev)
        self.assertNotIn(identity_of("Carl").key, self.journal.heads(ROOM))
