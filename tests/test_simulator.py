"""
The simulator: hundreds of lives of nodes, and that it finds what is wrong with them.
"""

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat import exchange, posting, rooms
from twistedchat.core.entries import TEXT, Entry
from twistedchat.core.errors import StoreError
from twistedchat.core.frames import Card
from twistedchat.core.identity import DeviceKey
from twistedchat.core.rooms import Membership
from twistedchat.core.sync import Chain, Outbox
from twistedchat.peers.timeouts import TimeoutQueue
from twistedchat.posting import Posting
from twistedchat.rooms import Rooms
from twistedchat.simulator import Schedule, replay, report, schedule_of, shrink, simulate
from twistedchat.simulator.disk import AFTER, BEFORE, BETWEEN, SimulatedJournal
from twistedchat.simulator.lies import Lie
from twistedchat.simulator.steps import (
    Add,
    Break,
    FillDisk,
    Found,
    Kill,
    KillAt,
    Leave,
    Remove,
    Reunite,
    Say,
    Separate,
    Start,
    Stop,
    Twin,
)

# Seeds that are tried each time; `make simulate` tries more.
SEEDS = range(300)

# So many of them are measured. What the code does with the others it does with these.
MEASURED = 20

# Others, for rooms that are too large for a full mesh.
SOME_HUNDRED_SEEDS = range(300, 400)

# Seeds within which a planted bug has to be found. It takes a few of them.
ENOUGH_SEEDS = range(100)

# Some of each kind: few people and many, with liars, and with real TLS.
SOME_SEEDS = (0, 7, 9, 16, 19)


@contextlib.contextmanager
def at_full_speed() -> Iterator[None]:
    """
    Run without measuring what is reached, which takes twice as long as the seeds themselves do.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def first_fault(seeds: Sequence[int]) -> int | None:
    """
    Try seeds until something is wrong.

    Args:
        seeds: Which, and in which order.

    Returns:
        The first with which something is; ``None`` where all is as it should be.
    """
    return next((seed for seed in seeds if simulate(seed).fault), None)


class SimulationTests(SynchronousTestCase):
    """
    What nodes live through.
    """

    def try_all(self, seeds: Sequence[int]) -> None:
        """
        See that nothing is wrong with any of these seeds; where something is, tell of it.
        """
        seed = first_fault(seeds[:MEASURED])
        if seed is None:
            with at_full_speed():
                seed = first_fault(seeds[MEASURED:])
        if seed is not None:
            schedule = shrink(schedule_of(seed))
            self.fail(report(schedule, replay(schedule)))

    def test_any_seed_all_is_as_it_should_be(self) -> None:
        """
        Whatever fails, nothing is lost, shown twice, or different for different people.
        """
        self.try_all(SEEDS)

    def test_rooms_without_a_full_mesh_are_the_same(self) -> None:
        """
        Where each dials one other alone, everything goes from one to the next.
        """
        self.patch(rooms, "FULL_MESH", 2)
        self.patch(rooms, "NEIGHBOURS", 1)

        self.try_all(SOME_HUNDRED_SEEDS)

    def test_same_seed_is_the_same_run(self) -> None:
        """
        A seed brings the same again, to the byte.
        """
        for seed in SOME_SEEDS:
            self.assertEqual(simulate(seed), simulate(seed))

    def test_same_seed_in_another_process_is_the_same_run(self) -> None:
        """
        What one process finds, another finds too: no order is left to Python's hashes.
        """
        script = (
            "from twistedchat.simulator import simulate\n"
            f"print([simulate(seed).digest for seed in {SOME_SEEDS}])"
        )
        found = [
            subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for hash_seed in ("1", "2")
        ]

        self.assertEqual(found[0], found[1])
        self.assertEqual(f"{[simulate(seed).digest for seed in SOME_SEEDS]}\n", found[0])

    def test_another_seed_is_another_run(self) -> None:
        """
        Seeds differ, or trying many would be trying one.
        """
        with at_full_speed():
            digests = {simulate(seed).digest for seed in range(50)}

        self.assertEqual(50, len(digests))


class FoundTests(SynchronousTestCase):
    """
    What was found by many seeds, as it was shown then.
    """

    def test_inviter_who_leaves_is_not_taken_to_have_told_all(self) -> None:
        """
        Whoever was added by somebody else waits for what that one said.
        """
        steps = (
            (0.5, Start("ann", 94295)),
            (0.5, Start("bob", -211947)),
            (0.5, Start("cy", 0)),
            (3.0, Found("ann", 0)),
            (0.3, Add("ann", 0, "cy")),
            (52.0, Add("cy", 0, "bob")),
            (0.3, Leave("ann", 0)),
        )
        schedule = Schedule(60464, ("ann", "bob", "cy"), (), (), is_tls_real=True, steps=steps)

        self.assertEqual("", replay(schedule).fault)

    def test_whoever_declines_again_in_one_session_is_known_to_have(self) -> None:
        """
        Who shares a room anew with somebody hears what they hold, also where those never parted.
        """
        steps = (
            (0.0, Start("ann", 0)),
            (0.0, Start("bob", -178484)),
            (0.0, Start("cy", 192115)),
            (0.0, Start("dee", 0)),
            (3.0, Found("ann", 0)),
            (0.3, Add("ann", 0, "bob")),
            (2.6, KillAt("bob", AFTER)),
            (0.02, Kill("ann", is_power_cut=False)),
            (0.32, Start("ann", 0)),
            (22.02, Add("ann", 0, "bob")),
            (80.02, Separate(("dee", "bob"))),
            (40.3, Stop("cy")),
            (10.0, Add("ann", 0, "cy")),
        )
        names = ("ann", "bob", "cy", "dee")
        strangers = (("ann", "cy"), ("ann", "dee"), ("bob", "dee"))
        schedule = Schedule(2292, names, (), strangers, is_tls_real=False, steps=steps)

        self.assertEqual("", replay(schedule).fault)

    def test_invitation_that_cannot_be_kept_comes_again(self) -> None:
        """
        With a full disk nobody is invited to anything, and whoever has room again is.
        """
        steps = (
            (0.5, Start("ann", 0)),
            (0.5, Start("bob", -68743)),
            (0.5, Start("cy", 0)),
            (0.1, Found("ann", 0)),
            (2.0, Add("ann", 0, "bob")),
            (2.0, Add("ann", 0, "cy")),
            (21.2, Leave("cy", 0)),
            (2.02, FillDisk("cy", is_full=True)),
            (0.02, Add("bob", 0, "cy")),
            (84.62, Leave("ann", 0)),
        )
        schedule = Schedule(2910, ("ann", "bob", "cy"), (), (), is_tls_real=False, steps=steps)

        self.assertEqual("", replay(schedule).fault)

    def test_whoever_left_before_being_known_there_has_left(self) -> None:
        """
        A node killed when only that they leave was on the disk does not wait to be let in.
        """
        steps = (
            (0.0, Start("ann", -6)),
            (0.0, Start("bob", 0)),
            (1.1, Found("ann", 0)),
            (0.3, Add("ann", 0, "bob")),
            (8.72, KillAt("ann", BEFORE)),
            (22.42, KillAt("bob", BETWEEN)),
            (2.02, Leave("bob", 0)),
            (13.34, Start("ann", 1)),
            (45.26, Say("ann", 0, "ann56", 30, 0)),
        )
        names = ("ann", "bob", "cy", "dee", "eve")
        strangers = tuple(pair for pair in combinations(names, 2) if "bob" not in pair)
        schedule = Schedule(21659, names, (), strangers, is_tls_real=False, steps=steps)

        self.assertEqual("", replay(schedule).fault)

    def test_whoever_comes_when_the_inviter_has_left_hears_it_from_the_founder(self) -> None:
        """
        They know nobody else there, and would wait for ever.
        """
        steps = (
            (0.5, Start("ann", -7)),
            (0.0, Start("bob", 0)),
            (0.0, Start("cy", -514799)),
            (3.0, Found("ann", 0)),
            (0.3, Add("ann", 0, "bob")),
            (4.0, Add("bob", 0, "cy")),
            (2.94, Leave("bob", 0)),
            (10.0, KillAt("bob", BETWEEN)),
        )
        names, strangers = ("ann", "bob", "cy"), (("ann", "cy"),)
        schedule = Schedule(80137, names, (), strangers, is_tls_real=False, steps=steps)

        self.assertEqual("", replay(schedule).fault)

    def test_what_ceases_to_count_while_it_is_read_is_not_sent(self) -> None:
        """
        It was asked for before its author was removed.
        """
        steps = (
            (0.5, Start("ann", -4)),
            (0.0, Start("bob", 455405)),
            (0.0, Start("cy", 0)),
            (0.0, Start("dee", 0)),
            (3.0, Found("ann", 0)),
            (2.0, Add("ann", 0, "bob")),
            (2.0, Add("ann", 0, "cy")),
            (2.0, Add("ann", 0, "dee")),
            (0.02, Break("bob", "cy")),
            (0.0, Leave("cy", 0)),
            (0.02, Remove(0, "cy")),
        )
        names = ("ann", "bob", "cy", "dee")
        schedule = Schedule(22824, names, (), (), is_tls_real=True, steps=steps)

        self.assertEqual("", replay(schedule).fault)

    def test_old_copy_of_a_journal_hears_anew_that_somebody_left(self) -> None:
        """
        What they told before that they went back to it does not hold any more.
        """
        steps = (
            (0.0, Start("ann", 10)),
            (0.0, Start("bob", -5)),
            (0.0, Start("cy", 3)),
            (0.1, Found("ann", 0)),
            (0.3, Add("ann", 0, "bob")),
            (0.6, Twin("ann")),
            (40.0, Stop("ann")),
            (2.0, Add("bob", 0, "cy")),
            (40.0, Leave("bob", 0)),
            (10.0, Reunite()),
        )
        schedule = Schedule(24513, ("ann", "bob", "cy"), (), (), is_tls_real=False, steps=steps)

        self.assertEqual("", replay(schedule).fault)


class PlantedBugTests(SynchronousTestCase):
    """
    That the simulator would find it, if something were wrong.
    """

    def find(self) -> int:
        """
        Try seeds until one fails; what is logged then is part of what was planted.

        Returns:
            The seed.
        """
        with at_full_speed():
            seed = first_fault(ENOUGH_SEEDS)
        assert seed is not None, "the planted bug was not found"
        # Once more, to measure what finds it.
        self.assertTrue(simulate(seed).fault)
        self.flushLoggedErrors()
        return seed

    def test_acknowledged_before_commit_is_found(self) -> None:
        """
        What is told to be held has to be on the disk.
        """
        self.patch(SimulatedJournal, "stored_heads", SimulatedJournal.heads)

        self.find()

    def test_entries_stored_twice_are_found(self) -> None:
        """
        What is held already is not taken again.
        """
        self.patch(exchange, "take_run", lambda entries, _: entries)
        self.patch(exchange.Exchange, "_can_take", lambda *_: True)

        self.find()

    def test_cut_that_is_not_honoured_is_found(self) -> None:
        """
        What somebody wrote after they were removed is no part of a room, whoever took it before.
        """
        steps = (
            (0.0, Start("ann", 0)),
            (0.0, Start("bob", 0)),
            (0.0, Start("cy", 0)),
            (10.0, Found("ann", 0)),
            (2.0, Add("ann", 0, "bob")),
            (2.0, Add("ann", 0, "cy")),
            (30.0, Say("cy", 0, "in time", 1, 0)),
            (10.0, Separate(("ann",))),
            (2.0, Remove(0, "cy")),
            (2.0, Say("cy", 0, "too late", 1, 0)),
            (20.0, Reunite()),
        )
        # One in which the invitations are accepted, and no connection breaks at the wrong time.
        schedule = Schedule(3, ("ann", "bob", "cy"), (), (), is_tls_real=False, steps=steps)
        counts: Callable[[Rooms, bytes, DeviceKey, int], bool] = Rooms.counts
        self.assertEqual("", replay(schedule).fault)

        self.patch(Rooms, "counts", lambda rooms, room, author, _: counts(rooms, room, author, 1))

        self.assertIn("bob reads another history", replay(schedule).fault)

    def test_seen_text_that_is_recalled_is_found(self) -> None:
        """
        What others may have seen is not taken back.
        """
        self.patch(Posting, "_offered", lambda *_: 0)

        self.find()

    def test_signature_that_is_not_checked_is_found(self) -> None:
        """
        What somebody has not signed is not theirs.
        """
        self.patch(DeviceKey, "has_signed", lambda *_: True)

        self.find()

    def test_entries_that_are_not_caught_up_on_are_found(self) -> None:
        """
        What was said while somebody was away comes to them when they are back.
        """
        self.patch(exchange.Exchange, "_pump_room", lambda *_: None)

        self.find()

    def test_text_shown_at_every_arrival_is_found(self) -> None:
        """
        A text that comes again is not shown again.
        """
        shown = exchange.Exchange._show

        def show_twice(self: exchange.Exchange, *args: object) -> None:
            shown(self, *args)  # type: ignore[arg-type]
            shown(self, *args)  # type: ignore[arg-type]

        self.patch(exchange.Exchange, "_show", show_twice)

        self.find()

    def test_receipt_that_never_comes_is_found(self) -> None:
        """
        What others hold is known in the end to whoever said it.
        """
        self.patch(exchange.Exchange, "_acknowledged", lambda *_: None)

        self.find()

    def test_others_who_are_told_nothing_are_found(self) -> None:
        """
        Whoever has something from somebody else lets its author know.
        """

        def tell_nobody(self: exchange.Exchange) -> None:
            self._telling = None
            self._to_tell.clear()

        self.patch(exchange.Exchange, "_tell_others", tell_nobody)

        self.find()

    def test_text_that_overtakes_another_is_found(self) -> None:
        """
        What somebody types stands in the order in which they typed it.
        """
        write = Posting._write

        def write_last_first(self: Posting, room: bytes) -> None:
            self._unsaid.get(room, deque()).reverse()
            write(self, room)

        self.patch(Posting, "_write", write_last_first)

        self.find()

    def test_answer_before_its_question_is_found(self) -> None:
        """
        However wrong a clock is, what was read stands before what is said then.
        """
        self.patch(posting, "next_time", lambda now, _: int(now * 1_000_000))

        self.find()

    def test_entries_of_a_room_of_others_are_found(self) -> None:
        """
        Nobody keeps what belongs to a room to which nobody has added them.
        """
        counts, shared = Rooms.counts, Rooms.shared_with

        class Everywhere(list[bytes]):
            @override
            def __contains__(self, _: object) -> bool:
                return True

        def counts_or_is_none(rooms: Rooms, room: bytes, author: DeviceKey, seq: int) -> bool:
            return rooms.find(room) is None or counts(rooms, room, author, seq)

        self.patch(Rooms, "shared_with", lambda rooms, key: Everywhere(shared(rooms, key)))
        self.patch(Rooms, "counts", counts_or_is_none)

        self.find()

    def test_entries_that_are_not_handed_on_are_found(self) -> None:
        """
        What one has of somebody who has gone, the others get from them.
        """
        self.patch(exchange.Exchange, "_ask", lambda *_: None)

        self.find()

    def test_window_that_never_opens_again_is_found(self) -> None:
        """
        However much is to be sent in one session, all of it is.
        """

        def only_note(self: Outbox, chain: Chain, seq: int) -> None:
            self._theirs[chain] = max(seq, self._theirs.get(chain, 0))

        self.patch(Outbox, "told", only_note)

        self.find()

    def test_text_that_is_shown_and_does_not_count_is_found(self) -> None:
        """
        What is kept of somebody who was removed meanwhile is not shown.
        """
        steps = (
            (0.5, Start("ann", 1)),
            (0.5, Start("cy", 1)),
            (0.1, Found("ann", 0)),
            (2.3, Add("ann", 0, "cy")),
            (90.02, Lie("cy", "ann", 0, "forks", "lie8")),
            (0.0, Remove(0, "cy")),
        )
        # One in which the lie arrives before the removal is on the disk.
        names, strangers = ("ann", "bob", "cy"), (("bob", "cy"),)
        schedule = Schedule(171, names, ("cy",), strangers, is_tls_real=False, steps=steps)
        self.assertEqual("", replay(schedule).fault)

        def show_all(self: exchange.Exchange, room: bytes, entries: tuple[Entry, ...]) -> None:
            texts = [entry.said.body for entry in entries if entry.said.kind == TEXT]
            self._arrivals.came(room, entries[0].author, entries[-1].seq, texts)

        self.patch(exchange.Exchange, "_show", show_all)

        self.assertIn("which does not count", replay(schedule).fault)

    def test_whoever_was_removed_and_is_served_is_found(self) -> None:
        """
        Nobody sends anything of a room to those who are not there any more.
        """

        def all_ever(rooms: Rooms, room: bytes) -> list[DeviceKey]:
            return [key for key, _ in rooms.authors(room) if key != rooms._our_key]

        self.patch(Rooms, "others", all_ever)

        self.find()

    def test_whoever_left_and_goes_on_telling_is_found(self) -> None:
        """
        Nobody tells those of whom they know that they know of it of a room that they have left.
        """
        self.patch(Rooms, "_mates_in", lambda rooms, record: rooms.others(record.room))

        self.find()

    def test_invitation_of_who_is_not_in_a_room_is_found(self) -> None:
        """
        Nobody is invited to a room by those who know that they are not there.
        """
        card = Rooms.card

        def card_for_anybody(rooms: Rooms, room: bytes, key: DeviceKey) -> Card | None:
            with mock.patch.object(Membership, "is_member", return_value=True):
                return card(rooms, room, key)

        self.patch(Rooms, "card", card_for_anybody)

        self.find()

    def test_fork_that_is_not_proven_is_found(self) -> None:
        """
        Where two have met to whom somebody said different things, that is kept.
        """
        self.patch(exchange.Exchange, "_forked", lambda *_: None)

        self.find()

    def test_fork_that_is_not_told_is_found(self) -> None:
        """
        Whoever keeps the proof of a fork is told of it.
        """

        def keep_silently(self: exchange.Exchange, _: object, entry: Entry) -> None:
            self._journal.keep_fork(entry).addErrback(lambda failure: failure.trap(StoreError))

        self.patch(exchange.Exchange, "_forked", keep_silently)

        self.find()

    def test_timer_that_is_left_is_found(self) -> None:
        """
        A node that has stopped leaves nothing behind.
        """
        self.patch(TimeoutQueue, "stop", lambda _: [])

        self.find()

    def test_failing_schedule_is_made_shorter(self) -> None:
        """
        What makes no difference is left out, and what is left still fails and is told.
        """
        self.patch(SimulatedJournal, "stored_heads", SimulatedJournal.heads)
        schedule = schedule_of(self.find())

        shorter = shrink(schedule)
        outcome = replay(shorter)
        lines = report(shorter, outcome).splitlines()

        self.flushLoggedErrors()
        self.assertTrue(outcome.fault)
        self.assertLess(len(shorter.steps), len(schedule.steps))
        self.assertEqual(replace(schedule, steps=shorter.steps), shorter)
        for _, step in shorter.steps:
            self.assertTrue(any(str(step) in line for line in lines), lines)
        self.assertTrue(lines[0].startswith(f"Seed {schedule.seed}: "))

    def test_schedule_without_fault_stays_as_it_is(self) -> None:
        """
        Where nothing is wrong, nothing can be left out.
        """
        schedule = schedule_of(1)

        self.assertEqual(schedule, shrink(schedule, 20))
        self.assertIn("All was as it should be.", report(schedule, replay(schedule)))
