"""
Keeping two journals in step.
"""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedchat.core.entries import (
    LARGEST_BODY,
    NOTHING,
    TEXT,
    Entry,
    Said,
    check_run,
    direct_room,
    sign_run,
)
from twistedchat.core.errors import RemoteProtocolError
from twistedchat.core.frames import (
    LARGEST_FRAME,
    ROOM_IN_RUN,
    encode_frame,
    frame_of_run,
    size_of,
)
from twistedchat.core.sync import (
    MOST_IN_FLIGHT,
    Forked,
    Outbox,
    chain_of,
    how_many_fit,
    run_from,
    take_run,
)
from twistedchat.testing import identity_of

ANN, BOB = identity_of("ann"), identity_of("bob")
ROOM = direct_room(ANN.key, BOB.key)
CHAIN = (ROOM, ANN.key)
BACK = (ROOM, BOB.key)


def chain(*runs: int, size: int = 5, first: str = "") -> list[Entry]:
    """
    What Ann said, in runs of so many entries.
    """
    entries: list[Entry] = []
    for count in runs:
        seq, prev = (entries[-1].seq, entries[-1].hash) if entries else (0, NOTHING)
        said = tuple(Said(seq + index, TEXT, first + "x" * size) for index in range(count))
        _, more = sign_run(ANN, ROOM, seq + 1, prev, said)
        entries += more
    return entries


class ChainTests(SynchronousTestCase):
    """
    `chain_of`: one object for each chain.
    """

    def test_chain_is_the_same_object_each_time(self) -> None:
        """
        The tables of many sessions hold one and the same.
        """
        self.assertEqual(CHAIN, chain_of(*CHAIN))
        self.assertIs(chain_of(*CHAIN), chain_of(bytes(bytearray(ROOM)), ANN.key))


class TakeRunTests(SynchronousTestCase):
    """
    `take_run`: what is new.
    """

    def take(self, entries: list[Entry], held: list[Entry]) -> tuple[Entry, ...] | Forked:
        """
        Take entries where others are held.
        """
        heads = {ANN.key: (held[-1].seq, held[-1].hash)} if held else {}
        return take_run(tuple(entries), heads)

    def test_first_run_is_new(self) -> None:
        """
        Where nothing is held, everything from the first on is new.
        """
        entries = chain(3)

        self.assertEqual(tuple(entries), self.take(entries, []))

    def test_next_run_is_new(self) -> None:
        """
        What follows what is held is new.
        """
        entries = chain(2, 3)

        self.assertEqual(tuple(entries[2:]), self.take(entries[2:], entries[:2]))

    def test_what_is_held_is_not_new(self) -> None:
        """
        Of what is held already in part the rest is taken, and of what is held as a whole nothing.
        """
        entries = chain(2, 3)

        self.assertEqual(tuple(entries[3:]), self.take(entries, entries[:3]))
        self.assertEqual((), self.take(entries, entries))
        self.assertEqual((), self.take(entries[:2], entries))

    def test_gap_is_refused(self) -> None:
        """
        Nobody may leave out what we had told that we lack.
        """
        entries = chain(2, 2, 2)

        for held in ([], entries[:2]):
            error = self.assertRaises(RemoteProtocolError, self.take, entries[4:], held)
            self.assertEqual("gap", error.code)

    def test_other_history_is_a_fork(self) -> None:
        """
        What continues, repeats or overlaps another history proves that its author has two.
        """
        ours, theirs = chain(2, 2), chain(2, 2, first="other ")

        for entries, held in (
            (theirs[2:], ours[:2]),
            (theirs[:2], ours[:2]),
            (theirs, ours[:3]),
            (theirs, ours[:1]),
        ):
            self.assertEqual(Forked(entries[-1]), self.take(entries, held))


class RunFromTests(SynchronousTestCase):
    """
    `run_from` and `how_many_fit`: what goes into one frame.
    """

    def test_everything_that_fits_goes_at_once(self) -> None:
        """
        Short runs are put together under the last signature.
        """
        entries = chain(1, 2, 3)

        run = run_from(entries)

        self.assertEqual((1, 6), (run.seq, len(run.said)))
        self.assertEqual(entries[-1].signature, run.signature)
        check_run(run)

    def test_what_does_not_fit_ends_with_a_signature(self) -> None:
        """
        What is too much for one frame is cut behind a signed entry, and its frame is small enough.
        """
        entries = chain(*[3] * 12, size=6000)

        run = run_from(entries)

        self.assertEqual(9, len(run.said))
        self.assertEqual(entries[8].signature, run.signature)
        encode_frame(frame_of_run(run))

    def test_one_run_is_never_cut(self) -> None:
        """
        Between two signatures nothing can be cut, so a run goes as it came.
        """
        entries = chain(3, 1, size=5000)

        run = run_from(entries[1:])

        self.assertEqual((2, 3), (run.seq, len(run.said)))

    def test_run_larger_than_we_would_make_goes_whole(self) -> None:
        """
        Entries without a signature in the first frame's worth go as far as the next one.
        """
        entries = chain(12, size=6000)

        run = run_from(entries)

        self.assertEqual(12, len(run.said))

    def test_all_that_fits_fits(self) -> None:
        """
        At least one fits, and what fits is not cut.
        """
        small = Said(1, TEXT, "x")

        self.assertEqual(7, how_many_fit([small] * 7))
        self.assertEqual(1, how_many_fit([small]))
        most = ROOM_IN_RUN // size_of(small)
        self.assertEqual(most, how_many_fit([small] * (most + 5)))

    @given(
        st.lists(
            st.builds(
                lambda letter, length: Said(2**53 - 1, "k" * 32, letter * length),
                st.sampled_from(["x", "\x01", '"', "ä", "\U0001f600"]),
                st.integers(0, LARGEST_BODY // 4),
            ),
            min_size=1,
            max_size=40,
        )
    )
    def test_whatever_is_said_the_frame_is_small_enough(self, said: list[Said]) -> None:
        """
        So many things as are told to fit make a frame that is not too large.
        """
        count = how_many_fit(said)

        run, _ = sign_run(ANN, ROOM, 2**53 - 1 - 40, bytes([255] * 32), tuple(said[:count]))

        self.assertLessEqual(len(encode_frame(frame_of_run(run))), LARGEST_FRAME)


class OutboxTests(SynchronousTestCase):
    """
    `Outbox`: what the other side has, and what is on its way.
    """

    def test_sends_what_the_other_side_lacks(self) -> None:
        """
        It goes on behind what was told and behind what was sent, whichever is further.
        """
        outbox = Outbox()

        self.assertEqual(0, outbox.next_after(CHAIN, 9))
        self.assertIsNone(outbox.next_after(CHAIN, 0))
        outbox.told(CHAIN, 3)
        self.assertEqual(3, outbox.next_after(CHAIN, 9))
        outbox.went(CHAIN, 5, 100)
        self.assertEqual(5, outbox.next_after(CHAIN, 9))
        outbox.told(CHAIN, 9)
        self.assertIsNone(outbox.next_after(CHAIN, 9))
        self.assertEqual(9, outbox.has(CHAIN))
        self.assertEqual(0, outbox.has(BACK))

    def test_nobody_loses_what_they_had(self) -> None:
        """
        An older telling that comes late takes nothing back.
        """
        outbox = Outbox()

        outbox.told(CHAIN, 5)
        outbox.told(CHAIN, 3)

        self.assertEqual(5, outbox.has(CHAIN))

    def test_full_window_waits(self) -> None:
        """
        With so much on its way nothing more is sent, until some of it is told to have been stored.
        """
        outbox = Outbox()
        for seq in range(1, 9):
            self.assertEqual(seq - 1, outbox.next_after(CHAIN, 99))
            outbox.went(CHAIN, seq, MOST_IN_FLIGHT // 8)
        self.assertIsNone(outbox.next_after(CHAIN, 99))
        self.assertIsNone(outbox.next_after(BACK, 99))

        outbox.told(CHAIN, 1)

        self.assertEqual(8, outbox.next_after(CHAIN, 99))
        self.assertEqual(0, outbox.next_after(BACK, 99))

    def test_chains_are_told_each_for_itself(self) -> None:
        """
        What is not answered of one chain is not in the way of what is told of another.
        """
        outbox = Outbox()
        outbox.went(CHAIN, 1, MOST_IN_FLIGHT // 2)
        outbox.went(BACK, 1, MOST_IN_FLIGHT // 2)
        self.assertIsNone(outbox.next_after(BACK, 2))

        outbox.told(BACK, 1)

        self.assertEqual(1, outbox.next_after(CHAIN, 2))
        self.assertEqual(1, outbox.next_after(BACK, 2))

    def test_what_is_going_to_be_sent_takes_room(self) -> None:
        """
        It counts as if it were on its way.
        """
        outbox = Outbox()
        outbox.went(CHAIN, 1, MOST_IN_FLIGHT // 2)

        self.assertTrue(outbox.has_room(MOST_IN_FLIGHT // 2 - 1))
        self.assertFalse(outbox.has_room(MOST_IN_FLIGHT // 2))

    def test_paused_is_sent_when_it_is_asked_for_again(self) -> None:
        """
        What was dropped takes no room, and nothing more of it goes until then.
        """
        outbox = Outbox()
        outbox.told(CHAIN, 1)
        outbox.went(CHAIN, 5, MOST_IN_FLIGHT)

        outbox.pause(CHAIN)

        self.assertTrue(outbox.has_room())
        self.assertIsNone(outbox.next_after(CHAIN, 9))
        outbox.told(CHAIN, 1)
        self.assertIsNone(outbox.next_after(CHAIN, 9))
        outbox.rewind(CHAIN)
        self.assertEqual(1, outbox.next_after(CHAIN, 9))
        outbox.pause(CHAIN)
        outbox.forget(CHAIN[0])
        self.assertEqual(0, outbox.next_after(CHAIN, 9))

    def test_given_up_is_sent_no_more(self) -> None:
        """
        A chain of which both hold another one takes no room and is left alone.
        """
        outbox = Outbox()
        outbox.went(CHAIN, 1, MOST_IN_FLIGHT)
        outbox.went(BACK, 1, 10)

        outbox.give_up(CHAIN)

        self.assertIsNone(outbox.next_after(CHAIN, 9))
        self.assertEqual(1, outbox.next_after(BACK, 9))
        outbox.told(BACK, 1)
        self.assertEqual(1, outbox.has(BACK))

    def test_rewound_is_sent_again(self) -> None:
        """
        What the other side could not take goes again, and is in nobody's way.
        """
        outbox = Outbox()
        outbox.told(CHAIN, 1)
        outbox.went(CHAIN, 5, MOST_IN_FLIGHT)
        self.assertIsNone(outbox.next_after(CHAIN, 9))

        outbox.rewind(CHAIN)

        self.assertEqual(1, outbox.next_after(CHAIN, 9))

    def test_forgotten_room_is_as_if_never_told(self) -> None:
        """
        Of a room that is shared again nothing is known any more; others stay.
        """
        other = (bytes(32), CHAIN[1])
        outbox = Outbox()
        for known in (CHAIN, other):
            outbox.told(known, 1)
            outbox.went(known, 5, 10)

        outbox.forget(CHAIN[0])

        self.assertEqual(0, outbox.next_after(CHAIN, 9))
        self.assertEqual(5, outbox.next_after(other, 9))


@dataclass
class Copy:
    """
    One journal, reduced to what sync sees of it.
    """

    entries: list[Entry] = field(default_factory=list)

    def take(self, entries: tuple[Entry, ...]) -> None:
        """
        Take what came.
        """
        head = self.entries[-1] if self.entries else None
        taken = take_run(entries, {ANN.key: (head.seq, head.hash)} if head else {})
        assert not isinstance(taken, Forked)
        self.entries += taken


class ConvergenceTests(SynchronousTestCase):
    """
    Two journals become the same, whatever the wire does to what is sent again and again.
    """

    @given(
        st.lists(st.integers(1, 4), min_size=1, max_size=8),
        st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40),
    )
    def test_journals_converge(self, runs: list[int], fates: list[tuple[bool, bool]]) -> None:
        """
        Lost runs end a session, runs that come twice are taken once; in the end all is there.
        """
        ours = chain(*runs)
        theirs = Copy()
        outbox = Outbox()
        for is_lost, is_doubled in [*fates, *[(False, False)] * len(ours)]:
            after = outbox.next_after(CHAIN, len(ours))
            if after is None:
                break
            run = run_from(ours[after:])
            outbox.went(CHAIN, run.seq + len(run.said) - 1, 10)
            if is_lost:
                outbox = Outbox()
            else:
                for _ in range(1 + is_doubled):
                    theirs.take(check_run(run))
            outbox.told(CHAIN, len(theirs.entries))

        self.assertEqual([entry.hash for entry in ours], [entry.hash for entry in theirs.entries])
