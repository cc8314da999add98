"""
Rooms: who is in one, found from its entries.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.strategies import words_about_members
from twistedchat.core.entries import NOTHING, TEXT, Entry, Said, next_time, sign_run
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import (
    LEAVE,
    MOST_ADDS,
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
ANN, BOB, CY, DEE = (identity_of(name) for name in ("ann", "bob", "cy", "dee"))
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


class MembershipTests(SynchronousTestCase):
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

    def add(self, by: Author, whom: Identity, name: str, time: int, seen: int = 0) -> Entry:
        """
        Let somebody add somebody.
        """
        return by.say(*adding(whom.key, name, seen), time=time)

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
        left = self.bob.say(*leaving(), time=3)
        self.take(left)
        self.assertEqual(["ann"], self.who_is_in())
        self.assertEqual(left.seq, self.room.left_with(BOB.key))
        self.assertTrue(self.room.counts(BOB.key, left.seq))
        self.assertFalse(self.room.counts(BOB.key, left.seq + 1))

        self.take(self.add(self.ann, BOB, "bob", 4, seen=left.seq))

        self.assertEqual(["ann", "bob"], self.who_is_in())
        self.assertEqual(0, self.room.left_with(ANN.key))

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

    def test_flood_of_adds_is_bounded(self) -> None:
        """
        One member adds no more than a room holds, and a room holds no more than that.
        """
        self.take(self.founded, self.add(self.ann, BOB, "bob", 2))
        keys = [DeviceKey(number.to_bytes(32, "little")) for number in range(2, MOST_ADDS + 30)]
        for author in (self.bob, self.ann):
            for key in keys:
                self.take(author.say(*adding(key, "x", 0), time=5))

        self.assertEqual(MOST_MEMBERS, len(self.room.members()))

    @given(st.permutations(range(4)))
    def test_any_order_finds_the_same(self, order: list[int]) -> None:
        """
        Whatever order the chains come in, the same people are in the room.
        """
        ann, bob, cy, dee = map(Author, (ANN, BOB, CY, DEE))
        chains = [
            [
                ann.say(*founding("class", NONCE, "ann"), time=1),
                ann.say(*adding(BOB.key, "bob", 0), time=2),
                ann.say(*removing(CY.key, 1), time=9),
            ],
            [bob.say(*adding(CY.key, "cy", 0), time=3), bob.say(LEAVE, "", time=8)],
            [cy.say(*adding(DEE.key, "dee", 0), time=4), cy.say(*adding(BOB.key, "b", 2), time=9)],
            [dee.say(*adding(BOB.key, "bob", 2), time=10)],
        ]
        room = Membership(ROOM)
        for index in order:
            room.take(chains[index])

        self.assertEqual(
            {ANN.key, BOB.key, DEE.key}, {one.key for one in room.members() if one.is_in}
        )


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


def chains_of(words: list[tuple[int, str, int, int, int]]) -> list[list[Entry]]:
    """
    What four people say in a room that the first of them founded.

    Args:
        words: By whom, what, about whom, a number, and when.

    Returns:
        The entries of each.
    """
    identities = (ANN, BOB, CY, DEE)
    authors = [Author(identity) for identity in identities]
    chains: list[list[Entry]] = [[] for _ in authors]
    chains[0].append(authors[0].say(*founding("class", NONCE, "ann"), time=1))
    for who, kind, whom, number, time in words:
        key = identities[whom].key
        said = {
            "add": adding(key, f"by {who}", number),
            "remove": removing(key, number),
            "leave": leaving(),
        }.get(kind, (kind, "{"))
        chains[who].append(authors[who].say(*said, time=time))
    return chains


class AnyRoomTests(SynchronousTestCase):
    """
    Whatever four people say about who is in a room.
    """

    @given(words=st.lists(words_about_members(), max_size=25), data=st.data())
    def test_any_order_of_learning_finds_the_same(
        self, words: list[tuple[int, str, int, int, int]], data: st.DataObject
    ) -> None:
        """
        Everybody who holds the same finds the same, however and in what pieces it came.
        """
        chains = chains_of(words)
        at_once, in_pieces = Membership(ROOM), Membership(ROOM)
        at_once.take([entry for chain in chains for entry in chain])
        left = [list(chain) for chain in chains]

        while any(left):
            chain = data.draw(st.sampled_from([chain for chain in left if chain]))
            count = data.draw(st.integers(1, len(chain)))
            in_pieces.take(chain[:count])
            del chain[:count]

        self.assertEqual(at_once.members(), in_pieces.members())
        self.assertEqual((at_once.founder, at_once.name), (in_pieces.founder, in_pieces.name))

    @given(words=st.lists(words_about_members(), max_size=25))
    def test_what_counts_needs_nothing_of_what_does_not(
        self, words: list[tuple[int, str, int, int, int]]
    ) -> None:
        """
        Some nodes keep what does not count and some drop it: they find the same members.
        """
        chains = chains_of(words)
        room = Membership(ROOM)
        room.take([entry for chain in chains for entry in chain])
        others = Membership(ROOM)

        for chain in chains:
            others.take([entry for entry in chain if room.counts(entry.author, entry.seq)])

        self.assertEqual(room.members(), others.members())

    @given(words=st.lists(words_about_members(), max_size=25))
    def test_last_words_are_what_is_so(self, words: list[tuple[int, str, int, int, int]]) -> None:
        """
        Nobody is in whom the founder's last word removed, or who left unseen by who added them.
        """
        chains = chains_of(words)
        room = Membership(ROOM)
        room.take([entry for chain in chains for entry in chain])
        words_of_founder = {whom: kind for who, kind, whom, _, _ in words if who == 0}

        for index, identity in enumerate((ANN, BOB, CY, DEE)):
            said = words_of_founder.get(index)
            if index and said == "remove":
                self.assertFalse(room.is_member(identity.key))
            seen = [number for _, kind, whom, number, _ in words if (kind, whom) == ("add", index)]
            if room.left_with(identity.key) > max(seen, default=0):
                self.assertFalse(room.is_member(identity.key))
            for seq in range(1, 10):
                # What counts has no gaps.
                if room.counts(identity.key, seq + 1):
                    self.assertTrue(room.counts(identity.key, seq))


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
