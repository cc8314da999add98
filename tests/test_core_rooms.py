"""
Rooms: who is in one, found from its entries.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.strategies import words_about_members
from twistedchat.core import rooms as core_rooms
from twistedchat.core.entries import NOTHING, TEXT, Entry, Said, next_time, sign_run
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import (
    LEAVE,
    MOST_ADDS,
    MOST_LEAVES,
    MOST_MEMBERS,
    Membership,
    adding,
    founding,
    leaving,
    order_of,
    removing,
    room_of,
)
from twistedchat.testing import identity_of

NONCE = bytes(16)
EVERYBODY = tuple(identity_of(name) for name in ("ann", "bob", "cy", "dee", "eve", "fay"))
ANN, BOB, CY, DEE, EVE, FAY = EVERYBODY
ROOM = room_of(ANN.key, NONCE)


class Author:
    """
    Somebody who writes entries into the room.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.seq = 0
        self.prev = NOTHING

    def say(self, kind: str, body: str, time: int | None = None) -> Entry:
        """
        Say one thing.
        """
        said = Said(self.seq + 1 if time is None else time, kind, body)
        _, (entry,) = sign_run(self.identity, ROOM, self.seq + 1, self.prev, (said,))
        self.seq, self.prev = entry.seq, entry.hash
        return entry


class RoomTestCase(SynchronousTestCase):
    """
    A room that Ann founded.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann found it.
        """
        self.ann, self.bob, self.cy, self.dee = map(Author, (ANN, BOB, CY, DEE))
        self.founded = self.ann.say(*founding("class", NONCE, "ann"), time=1)
        self.room = Membership(ROOM)

    def take(self, *entries: Entry) -> bool:
        """
        Let the room learn.
        """
        return self.room.take(entries)

    def who_is_in(self) -> list[str]:
        """
        The names of those who are in it.
        """
        return [member.name for member in self.room.members() if member.is_in]

    def add(self, by: Author, whom: Identity, name: str, time: int, left: str = "") -> Entry:
        """
        Let somebody add somebody.
        """
        return by.say(*adding(whom.key, name, left), time=time)


class MembershipTests(RoomTestCase):
    """
    Who is in it, and whose words count.
    """

    def test_founder_is_in_their_room(self) -> None:
        """
        The founding entry names the room and who founded it.
        """
        self.assertEqual([], self.room.members())
        self.assertFalse(self.room.counts(ANN.key, 1))
        self.assertEqual(0, self.room.removed_by(ANN.key))

        self.assertTrue(self.take(self.founded))

        self.assertEqual("class", self.room.name)
        self.assertEqual(ANN.key, self.room.founder)
        self.assertEqual(NONCE, self.room.nonce)
        self.assertEqual(["ann"], self.who_is_in())
        self.assertTrue(self.room.is_member(ANN.key))
        self.assertTrue(self.room.counts(ANN.key, 7))
        self.assertFalse(self.room.is_member(BOB.key))
        self.assertIsNone(self.room.find(BOB.key))

    def test_founding_of_another_room_is_none(self) -> None:
        """
        Neither somebody else nor a later entry can have founded this one.
        """
        forged = self.bob.say(*founding("mine", NONCE, "bob"), time=1)
        late = self.ann.say(*founding("again", NONCE, "ann"), time=2)

        self.assertFalse(self.take(forged, late))

        self.assertIsNone(self.room.founder)

    def test_members_add_members(self) -> None:
        """
        Whoever is in it may add others, in whatever order that is learnt.
        """
        by_bob = self.add(self.bob, CY, "cy", 3)
        by_ann = self.add(self.ann, BOB, "bob", 2)

        self.assertFalse(self.take(by_bob))
        self.assertTrue(self.take(self.founded))
        self.assertTrue(self.take(by_ann))

        self.assertEqual(["ann", "bob", "cy"], self.who_is_in())
        self.assertTrue(self.room.counts(CY.key, 1))

    def test_strangers_add_nobody(self) -> None:
        """
        What somebody says who is not in it makes no member.
        """
        self.take(self.founded, self.add(self.bob, CY, "cy", 3))

        self.assertEqual(["ann"], self.who_is_in())

    def test_removed_counts_as_far_as_the_founder_says(self) -> None:
        """
        What a removed member wrote before stays, what they write after is no part of it.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))
        removal = self.ann.say(*removing(BOB.key, 4), time=9)
        self.take(removal, self.add(self.bob, CY, "cy", 3))
        late = [self.bob.say(TEXT, "x") for _ in range(4)]
        self.take(*late, self.add(self.bob, DEE, "dee", 4))

        self.assertEqual(["ann", "cy"], self.who_is_in())
        self.assertTrue(self.room.counts(BOB.key, 4))
        self.assertFalse(self.room.counts(BOB.key, 5))
        self.assertEqual(removal.seq, self.room.removed_by(BOB.key))
        self.assertFalse(self.room.is_member(BOB.key))

    def test_only_the_founder_removes(self) -> None:
        """
        Another member's removal says nothing, nor can the founder be removed.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))

        self.take(
            self.bob.say(*removing(ANN.key, 0), time=3), self.ann.say(*removing(ANN.key, 0), time=4)
        )

        self.assertEqual(["ann", "bob"], self.who_is_in())

    def test_founder_adds_again_whom_they_removed(self) -> None:
        """
        The founder's last word is what is so; nobody else's changes it.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2), self.add(self.ann, CY, "cy", 2))
        self.take(self.ann.say(*removing(BOB.key, 0), time=3))
        self.take(self.add(self.cy, BOB, "bob", 4))
        self.assertEqual(["ann", "cy"], self.who_is_in())

        self.take(self.add(self.ann, BOB, "bob", 5))

        self.assertEqual(["ann", "bob", "cy"], sorted(self.who_is_in()))

    def test_whoever_leaves_is_out_until_somebody_lets_them_in_again(self) -> None:
        """
        Leaving ends what counts of somebody; being added by who has seen it begins it anew.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))
        left = self.bob.say(*leaving(NONCE), time=3)
        self.take(left)
        self.assertEqual(["ann"], self.who_is_in())
        self.assertEqual(left.seq, self.room.left_with(BOB.key))
        self.assertTrue(self.room.counts(BOB.key, left.seq))
        self.assertFalse(self.room.counts(BOB.key, left.seq + 1))

        self.assertEqual(NONCE.hex(), self.room.left_saying(BOB.key))

        self.take(self.add(self.ann, BOB, "bob", 4, left=NONCE.hex()))

        self.assertEqual(["ann", "bob"], self.who_is_in())
        self.assertEqual(0, self.room.left_with(ANN.key))
        self.assertIsNone(self.room.left_saying(BOB.key))

    def test_signed_nonsense_is_passed_over(self) -> None:
        """
        Bodies that are broken, or hold no key, make nobody a member.
        """
        self.take(self.founded)

        learnt = self.take(
            self.ann.say("add", "{", time=2),
            self.ann.say("add", '{"key": "' + "0" * 64 + '", "name": "x"}', time=3),
            self.ann.say("remove", "[]", time=4),
            self.ann.say("new-kind", "", time=5),
        )

        self.assertFalse(learnt)
        self.assertEqual(["ann"], self.who_is_in())

    def test_leave_is_undone_only_by_who_has_seen_it(self) -> None:
        """
        Whatever was said before somebody left, they are out.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2), self.add(self.ann, CY, "cy", 3))
        kind, body = adding(BOB.key, "bob")
        self.take(self.cy.say(kind, f'{body[:-1]},"seq":{2**53 - 1}}}', time=4))
        self.take(self.add(self.cy, BOB, "bob", 4, left="ab" * 16))

        self.take(self.bob.say(*leaving(NONCE), time=5))

        self.assertFalse(self.room.is_member(BOB.key))

    def test_leave_behind_one_that_holds_is_not_undone(self) -> None:
        """
        Not everybody holds it, so nothing can depend on it until the one before it is undone.
        """
        one, other = "01" * 16, "02" * 16
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))
        self.take(self.bob.say(LEAVE, one), self.bob.say(LEAVE, other))

        self.take(self.add(self.ann, BOB, "bob", 4, left=other))
        self.assertEqual(
            (False, one), (self.room.is_member(BOB.key), self.room.left_saying(BOB.key))
        )
        self.assertEqual(2, self.room.left_with(BOB.key))

        self.take(self.add(self.ann, BOB, "bob", 5, left=one))
        self.assertTrue(self.room.is_member(BOB.key))

    def test_adds_behind_a_leave_count_once_it_is_undone(self) -> None:
        """
        Whoever is back has brought those whom they added then, and let in those who had left.
        """
        said = {key: f"{number:032x}" for number, key in enumerate((BOB.key, CY.key))}
        self.take(self.founded)
        self.take(self.add(self.ann, BOB, "bob", 2), self.add(self.ann, CY, "cy", 3))
        self.take(self.bob.say(LEAVE, said[BOB.key]), self.cy.say(LEAVE, said[CY.key]))
        self.take(self.add(self.bob, DEE, "dee", 4), self.add(self.bob, CY, "cy", 5, said[CY.key]))
        self.take(self.add(self.cy, EVE, "eve", 6))
        self.assertEqual(["ann"], self.who_is_in())

        self.take(self.add(self.cy, BOB, "bob", 7, said[BOB.key]))
        self.assertEqual(["ann"], self.who_is_in())

        self.take(self.add(self.ann, BOB, "bob", 8, said[BOB.key]))
        self.assertEqual(["ann", "bob", "cy", "dee", "eve"], self.who_is_in())

    def test_member_brings_on_as_a_leave_is_undone_in_another_branch(self) -> None:
        """
        Somebody whose turn is over goes on with what they said when they were back.
        """
        nonce = NONCE.hex()
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2), self.add(self.ann, CY, "cy", 2))
        self.take(self.bob.say(LEAVE, nonce), self.add(self.bob, EVE, "eve", 3))
        self.take(self.add(self.dee, BOB, "bob", 9, nonce))
        self.take(self.add(self.cy, DEE, "dee", 2))

        self.assertEqual(["ann", "bob", "cy", "dee", "eve"], self.who_is_in())

    def test_whoever_leaves_very_often_is_gone_for_good(self) -> None:
        """
        The last leave that is remembered cannot be undone, and no other is needed.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))
        for number in range(MOST_LEAVES):
            said = f"{number:032x}"
            self.assertTrue(self.room.is_member(BOB.key))
            self.take(self.bob.say(LEAVE, said), self.add(self.ann, BOB, "bob", 3, said))

        self.assertFalse(self.room.is_member(BOB.key))
        self.assertEqual("", self.room.left_saying(BOB.key))
        self.assertFalse(self.take(self.bob.say(LEAVE, "")))
        self.assertEqual(MOST_LEAVES + 1, self.room.left_with(BOB.key))

    def test_leave_that_says_anything_cannot_be_undone(self) -> None:
        """
        It is a leave all the same, whatever stands in it.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2), self.bob.say(LEAVE, "goodbye"))

        self.assertEqual("", self.room.left_saying(BOB.key))
        self.assertFalse(self.room.is_member(BOB.key))

    def test_flood_of_adds_is_bounded(self) -> None:
        """
        One member adds no more than a room holds, and a room holds no more than that.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))
        keys = [DeviceKey(number.to_bytes(32, "little")) for number in range(2, MOST_ADDS + 30)]
        for author in (self.bob, self.ann):
            self.take(*(author.say(*adding(key, "x"), time=5) for key in keys))

        self.assertEqual(MOST_MEMBERS, len(self.room.members()))
        self.assertTrue(self.room.is_full)

    @given(st.permutations(range(4)))
    def test_any_order_finds_the_same(self, order: list[int]) -> None:
        """
        Whatever order the chains come in, the same people are in the room.
        """
        ann, bob, cy, dee = map(Author, (ANN, BOB, CY, DEE))
        left = NONCE.hex()
        chains = [
            [
                ann.say(*founding("class", NONCE, "ann"), time=1),
                ann.say(*adding(BOB.key, "bob"), time=2),
                ann.say(*removing(CY.key, 1), time=9),
            ],
            [bob.say(*adding(CY.key, "cy"), time=3), bob.say(*leaving(NONCE), time=8)],
            [cy.say(*adding(DEE.key, "dee"), time=4), cy.say(*adding(BOB.key, "b", left), time=9)],
            [dee.say(*adding(BOB.key, "bob", left), time=10)],
        ]
        room = Membership(ROOM)
        for index in order:
            room.take(chains[index])

        self.assertEqual(
            {ANN.key, BOB.key, DEE.key}, {one.key for one in room.members() if one.is_in}
        )


class PlacesTests(RoomTestCase):
    """
    Who is given the places of a room that holds six.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann add Bob and Cy, and Bob fill the room, at a time before that of all the others.
        """
        super().setUp()
        self.patch(core_rooms, "MOST_MEMBERS", 6)
        self.sybils = [identity_of(f"sybil {number}") for number in range(9)]
        self.take(self.founded, self.add(self.ann, BOB, "bob", 5), self.add(self.ann, CY, "cy", 6))
        self.assertFalse(self.room.is_full)
        self.assertEqual(0, self.room.brought_with(BOB.key))
        self.take(*(self.add(self.bob, sybil, "sybil", 1) for sybil in self.sybils))

    def test_founder_comes_first(self) -> None:
        """
        Whom the founder adds is in, however full others have made the room.
        """
        self.assertEqual(["ann", "bob", "cy", *["sybil"] * 3], self.who_is_in())
        self.assertTrue(self.room.is_full)
        self.assertTrue(self.room.has_place_for(DEE.key, ANN.key))
        self.assertFalse(self.room.has_place_for(DEE.key, CY.key))
        self.assertTrue(self.room.has_place_for(BOB.key, CY.key))

        self.take(*(self.add(self.ann, one, "new", 9) for one in (DEE, EVE, FAY)))

        self.assertEqual(["ann", "bob", "cy", *["new"] * 3], self.who_is_in())
        self.assertFalse(self.room.has_place_for(self.sybils[0].key, ANN.key))

    def test_those_whom_the_founder_added_take_turns(self) -> None:
        """
        Who brings few keeps them, however many another brings, and those whom those bring.
        """
        made_up = [Author(sybil) for sybil in self.sybils]
        for one, other in zip(made_up, self.sybils[1:], strict=False):
            self.take(self.add(one, other, "sybil", 1))

        self.take(self.add(self.cy, DEE, "dee", 9))
        self.assertEqual(["ann", "bob", "cy", "sybil", "dee", "sybil"], self.who_is_in())
        self.take(self.add(self.dee, EVE, "eve", 9))

        self.assertEqual(["ann", "bob", "cy", "sybil", "dee", "sybil"], self.who_is_in())
        self.take(self.ann.say(*removing(self.sybils[0].key, 0), time=9))
        self.assertEqual(["ann", "bob", "cy", "dee", "sybil", "eve"], self.who_is_in())

    def test_whom_two_bring_takes_the_turn_of_the_first(self) -> None:
        """
        The other brings the next one instead.
        """
        self.take(*(self.add(self.cy, one, "new", 9) for one in (DEE, self.sybils[1], EVE)))
        self.take(self.ann.say(*removing(self.sybils[0].key, 0), time=9))

        self.assertEqual(["ann", "bob", "cy", "new", "sybil", "new"], self.who_is_in())

    def test_whoever_is_removed_takes_no_place(self) -> None:
        """
        Nor do those whom they brought by what does not count any more.
        """
        first = self.room.brought_with(BOB.key)
        self.assertEqual(1, first)

        self.take(self.ann.say(*removing(BOB.key, first - 1), time=9))

        self.assertEqual(["ann", "cy"], self.who_is_in())
        self.assertEqual(3, len(self.room.members()))
        self.assertFalse(self.room.is_full)
        self.take(*(self.add(self.cy, one, "new", 9) for one in (DEE, EVE, FAY)))
        self.take(self.add(self.cy, self.sybils[8], "last", 9))
        self.assertEqual(["ann", "cy", "new", "new", "new", "last"], self.who_is_in())

    def test_removed_are_bounded(self) -> None:
        """
        Whom the founder removes beyond that is still in, and whom they let in again frees it.
        """
        self.patch(core_rooms, "MOST_BY_FOUNDER", 2)
        for sybil in self.sybils[:3]:
            self.take(self.ann.say(*removing(sybil.key, 0), time=9))
        self.assertEqual(
            [False, False, True], [self.room.is_member(one.key) for one in self.sybils[:3]]
        )
        self.assertTrue(self.room.may_remove(self.sybils[0].key))
        self.assertFalse(self.room.may_remove(self.sybils[2].key))

        # No add of the founder's is heard any more, but who was removed comes back.
        self.assertTrue(self.room.may_add(self.sybils[0].key, ANN.key))
        self.take(self.add(self.ann, self.sybils[0], "x", 9))

        self.assertTrue(self.room.is_member(self.sybils[0].key))
        self.assertTrue(self.room.may_remove(self.sybils[2].key))

    def test_said_again_takes_nothing(self) -> None:
        """
        An add of somebody whom its author has added before is none of those that are counted.
        """
        self.patch(core_rooms, "MOST_ADDS", 2)
        for _ in range(3):
            self.assertTrue(self.room.may_add(DEE.key, CY.key))
            self.assertEqual(
                self.room.find(DEE.key) is None, self.take(self.add(self.cy, DEE, "dee", 9))
            )
        self.take(self.add(self.cy, EVE, "eve", 9))

        self.assertTrue(self.room.may_add(DEE.key, CY.key))
        self.assertFalse(self.room.may_add(FAY.key, CY.key))


class OrderTests(SynchronousTestCase):
    """
    The order of a room.
    """

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=8))
    def test_order_is_total_and_the_same_for_everybody(self, said: list[tuple[int, int]]) -> None:
        """
        Sorting finds one order, however the entries came; each author's keep theirs.
        """
        authors = [Author(ANN), Author(BOB)]
        entries = [authors[who].say(TEXT, "x", time=time) for time, who in sorted(said)]

        backwards = entries[::-1]
        ordered = sorted(entries, key=order_of)

        self.assertEqual(ordered, sorted(backwards, key=order_of))
        self.assertEqual(len(entries), len({order_of(entry) for entry in entries}))
        for identity in (ANN, BOB):
            mine = [entry.seq for entry in ordered if entry.author == identity.key]
            self.assertEqual(sorted(mine), mine)


def nonce_of(number: int) -> str:
    """
    One of a few things that a leave may say, or nothing.
    """
    return f"{number % 3:032x}" if number % 3 else ""


def chains_of(words: list[tuple[int, str, int, int, int]]) -> list[list[Entry]]:
    """
    What six people say in a room that the first of them founded.

    Args:
        words: By whom, what, about whom, a number, and when.

    Returns:
        The entries of each.
    """
    authors = [Author(identity) for identity in EVERYBODY]
    chains: list[list[Entry]] = [[] for _ in authors]
    chains[0].append(authors[0].say(*founding("class", NONCE, "ann"), time=1))
    for who, kind, whom, number, time in words:
        key = EVERYBODY[whom].key
        said = {
            "add": adding(key, f"by {who}", nonce_of(number)),
            "remove": removing(key, number),
            "leave": (LEAVE, nonce_of(number)),
        }.get(kind, (kind, "{"))
        chains[who].append(authors[who].say(*said, time=time))
    return chains


class AnyRoomTests(SynchronousTestCase):
    """
    Whatever six people say about who is in a room, which may be full of fewer.
    """

    @given(words=st.lists(words_about_members(), max_size=40), data=st.data())
    def test_any_order_of_learning_finds_the_same(
        self, words: list[tuple[int, str, int, int, int]], data: st.DataObject
    ) -> None:
        """
        Everybody who holds the same finds the same, however and in what pieces it came.
        """
        chains = chains_of(words)
        with self.bounds(data):
            at_once = self.room_of(chains)
            in_pieces = Membership(ROOM)
            left = [list(chain) for chain in chains]
            while any(left):
                chain = data.draw(st.sampled_from([chain for chain in left if chain]))
                count = data.draw(st.integers(1, len(chain)))
                in_pieces.take(chain[:count])
                del chain[:count]

        self.assertEqual(at_once.members(), in_pieces.members())
        self.assertEqual((at_once.founder, at_once.name), (in_pieces.founder, in_pieces.name))
        self.assertEqual(at_once.is_full, in_pieces.is_full)

    @given(words=st.lists(words_about_members(), max_size=40), data=st.data())
    def test_what_counts_needs_nothing_of_what_does_not(
        self, words: list[tuple[int, str, int, int, int]], data: st.DataObject
    ) -> None:
        """
        Some nodes keep what does not count and some drop it: they find the same members.
        """
        chains = chains_of(words)
        with self.bounds(data):
            room = self.room_of(chains)
            kept = []
            for chain in chains:
                counts = sum(room.counts(entry.author, entry.seq) for entry in chain)
                kept.append(chain[: data.draw(st.integers(counts, len(chain)))])
            others = self.room_of(kept)

        self.assertEqual(room.members(), others.members())

    @given(words=st.lists(words_about_members(), max_size=40), data=st.data())
    def test_last_words_are_what_is_so(
        self, words: list[tuple[int, str, int, int, int]], data: st.DataObject
    ) -> None:
        """
        Nobody is in whom the founder's last word removed, or who left unseen by who added them.
        """
        chains = chains_of(words)
        with self.bounds(data, most_by_founder=300):
            room = self.room_of(chains)
        words_of_founder = {
            whom: kind for who, kind, whom, _, _ in words if who == 0 and kind in {"add", "remove"}
        }

        for index, identity in enumerate(EVERYBODY):
            if index and words_of_founder.get(index) == "remove":
                self.assertFalse(room.is_member(identity.key))
            seen = {
                nonce_of(number)
                for _, kind, whom, number, _ in words
                if (kind, whom) == ("add", index)
            }
            said = {
                nonce_of(number)
                for who, kind, _, number, _ in words
                if (who, kind) == (index, "leave")
            }
            if said - (seen - {""}):
                self.assertFalse(room.is_member(identity.key))
            for seq in range(1, 10):
                # What counts has no gaps.
                if room.counts(identity.key, seq + 1):
                    self.assertTrue(room.counts(identity.key, seq))

    @given(words=st.lists(words_about_members(), max_size=40), data=st.data())
    def test_founder_always_lets_in_and_throws_out(
        self, words: list[tuple[int, str, int, int, int]], data: st.DataObject
    ) -> None:
        """
        Whatever the others have said, there is a place for whom the founder adds then.
        """
        chains = chains_of(words)
        whom = data.draw(st.sampled_from(EVERYBODY[1:])).key
        with self.bounds(data, most_by_founder=300):
            room = self.room_of(chains)
            places = sum(not room.removed_by(member.key) for member in room.members())
            self.assertLessEqual(places, core_rooms.MOST_MEMBERS)
            self.assertEqual(places == core_rooms.MOST_MEMBERS, room.is_full)
            left = room.left_saying(whom)
            is_possible = room.has_place_for(whom, ANN.key) and room.may_add(whom, ANN.key)
            seq = len(chains[0])
            for number, said in enumerate((adding(whom, "x", left or ""), removing(whom, 0)), 1):
                entry = Entry(ROOM, ANN.key, seq + number, NOTHING, Said(99, *said), NOTHING)
                room.take([entry])
                if number == 1 and is_possible and not left:
                    self.assertEqual(left is None, room.is_member(whom))

            self.assertTrue(is_possible or len(EVERYBODY) > core_rooms.MOST_MEMBERS)

        self.assertFalse(room.is_member(whom))
        self.assertFalse(room.counts(whom, 1))

    def room_of(self, chains: list[list[Entry]]) -> Membership:
        """
        What is found from all these at once.
        """
        room = Membership(ROOM)
        room.take([entry for chain in chains for entry in chain])
        return room

    @contextmanager
    def bounds(self, data: st.DataObject, most_by_founder: int = 0) -> Iterator[None]:
        """
        Bounds that are met by so few words.

        Yields:
            Nothing; while they hold.
        """
        most = {
            "MOST_MEMBERS": data.draw(st.integers(1, 6)),
            "MOST_ADDS": data.draw(st.integers(1, 4)),
            "MOST_BY_FOUNDER": most_by_founder or data.draw(st.integers(1, 5)),
            "MOST_LEAVES": data.draw(st.integers(1, 4)),
        }
        with ExitStack() as stack:
            for name, value in most.items():
                stack.enter_context(mock.patch.object(core_rooms, name, value))
            yield


class CausalityTests(SynchronousTestCase):
    """
    An answer never stands before its question.
    """

    @given(
        clocks=st.lists(st.integers(-7 * 86400, 7 * 86400), min_size=3, max_size=3),
        steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30),
    )
    def test_whatever_the_clocks_say_answers_come_after(
        self, clocks: list[int], steps: list[tuple[int, int]]
    ) -> None:
        """
        With clocks that are wrong by a week, what was heard stands before what is said then.
        """
        authors = [Author(identity) for identity in (ANN, BOB, CY)]
        heard: list[list[Entry]] = [[], [], []]
        for now, (who, other) in enumerate(steps):
            if who != other:
                heard[who] = list(
                    {entry.hash: entry for entry in heard[who] + heard[other]}.values()
                )
                continue
            last = max((entry.said.time for entry in heard[who]), default=0)
            time = next_time(1_700_000_000 + now + clocks[who], last)
            answer = authors[who].say(TEXT, "x", time=time)

            for question in heard[who]:
                self.assertLess(order_of(question), order_of(answer))
            heard[who].append(answer)
