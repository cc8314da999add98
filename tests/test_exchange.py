"""
The exchange: what two say to each other comes into both journals, once and in order.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from typing_extensions import override

from tests.people import MALLORY, PeopleTestCase, Person, SessionCaller, hello, wire_of
from tests.strategies import any_texts
from twistedchat.claims import LONGEST_RETURN, MOST_CLAIMS
from twistedchat.core import sync
from twistedchat.core.entries import (
    LARGEST_BODY,
    NOTHING,
    TEXT,
    Entry,
    Run,
    Said,
    direct_room,
    sign_run,
)
from twistedchat.core.errors import NotSent, StoreError
from twistedchat.core.events import (
    CaughtUp,
    Event,
    ForkSeen,
    OutOfStep,
    PeerAdded,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    StoreFailed,
    TextReceived,
    TextsDelivered,
    TextsRead,
)
from twistedchat.core.frames import (
    LARGEST_FRAME,
    Bye,
    Have,
    Knock,
    RunFrame,
    encode_frame,
    frame_of_run,
)
from twistedchat.core.identity import Identity
from twistedchat.core.roster import RoomId
from twistedchat.core.trust import Decision
from twistedchat.posting import LONGEST_RECEIPT, Posted
from twistedchat.testing import MemoryJournal, identity_of

FULL = StoreError("The disk is full.")


def room_of(one: Person, other: Person) -> bytes:
    """
    The room of two.
    """
    return direct_room(one.key, other.key)


def texts_in(journal: MemoryJournal) -> list[str]:
    """
    What is on a disk, in order.
    """
    return [entry.said.body for entry in journal.entries]


def fill(journal: MemoryJournal, author: Identity, room: bytes, *texts: str) -> list[Entry]:
    """
    Let somebody have said something, each a run of its own.
    """
    entries: list[Entry] = []
    for text in texts:
        seq, prev = journal.heads(room).get(author.key, (0, NOTHING))
        said = Said(journal.last_time(room) + 1, TEXT, text)
        _, more = sign_run(author, room, seq + 1, prev, (said,))
        journal.append(more)
        entries += more
    return entries


class ExchangeTestCase(PeopleTestCase):
    """
    Ann and Bob, who know each other and have a session.
    """

    @override
    def setUp(self) -> None:
        """
        Let them meet.
        """
        super().setUp()
        self.ann, self.bob = self.meet("ann", "bob")
        self.room = room_of(self.ann, self.bob)

    def post(self, text: str) -> Posted:
        """
        Let Ann say something to Bob without waiting for anything.
        """
        return self.ann.node._exchange.posting.post(self.room, text)

    def runs_to(self, person: Person, other: Person) -> list[RunFrame]:
        """
        The runs that come to somebody from now on.
        """
        heard: list[RunFrame] = []
        receive = person.node._exchange.run_received

        def listen(link: object, frame: RunFrame) -> None:
            heard.append(frame)
            receive(link, frame)  # type: ignore[arg-type]

        self.patch(person.node._exchange, "run_received", listen)
        return heard

    def haves_to(self, person: Person) -> list[Have]:
        """
        The tellings that come to somebody from now on.
        """
        heard: list[Have] = []
        receive = person.node._exchange.have_received

        def listen(link: object, frame: Have) -> None:
            heard.append(frame)
            receive(link, frame)  # type: ignore[arg-type]

        self.patch(person.node._exchange, "have_received", listen)
        return heard

    def work(self, *people: Person) -> None:
        """
        Let slow disks do all they have to do, and be quick from then on.
        """
        for person in people:
            person.journal.is_slow = False
            person.journal.work()
        self.network.settle()


class SayingTests(ExchangeTestCase):
    """
    What is said, and how it travels.
    """

    def test_text_is_stored_here_then_sent_then_shown_there(self) -> None:
        """
        Each step waits for the one before it, on both sides.
        """
        self.ann.journal.is_slow = self.bob.journal.is_slow = True
        runs = self.runs_to(self.bob, self.ann)
        sending = self.say(self.ann, self.bob, "hello")
        self.assertEqual([], runs)

        self.ann.journal.work()
        self.network.settle()
        self.assertEqual(1, len(runs))
        self.assertEqual([], self.bob.heard)
        self.assertNoResult(sending)

        self.bob.journal.work()
        self.assertEqual(["hello"], self.bob.heard)
        self.assertNoResult(sending)
        self.network.settle()

        sent = self.successResultOf(sending)
        self.assertEqual((Progress.DELIVERED, "bob", 1), (sent.progress, sent.name, sent.pieces))
        self.assertEqual(texts_in(self.ann.journal), texts_in(self.bob.journal))
        self.assertEqual(1, self.ann.journal.receipt(self.room, self.bob.key))

    def test_what_is_said_while_writing_goes_as_one_run(self) -> None:
        """
        Many texts at once take one signature, one commit and one frame, and each has its receipt.
        """
        self.ann.journal.is_slow = True
        runs = self.runs_to(self.bob, self.ann)
        sendings = [
            self.ann.node.send_text(self.bob.key, f"text {number}") for number in range(100)
        ]

        self.work(self.ann)
        self.network.settle()

        self.assertEqual([1, 99], [len(run.said) for run in runs])
        self.assertEqual([f"text {number}" for number in range(100)], self.bob.heard)
        self.assertEqual(2, sum(1 for entry in self.ann.journal.entries if entry.signature))
        for sending in sendings:
            self.assertEqual(Progress.DELIVERED, self.successResultOf(sending).progress)

    def test_more_than_a_frame_goes_in_several(self) -> None:
        """
        What is said while writing is cut into runs that fit, and nothing of it is held back.
        """
        self.ann.journal.is_slow = True
        runs = self.runs_to(self.bob, self.ann)
        texts = [f"{number:03} {'x' * 2000}" for number in range(60)]
        for text in texts:
            self.ann.node.send_text(self.bob.key, text)

        self.work(self.ann)

        self.assertEqual(texts, self.bob.heard)
        self.assertGreater(len(runs), 2)
        for run in runs:
            self.assertLessEqual(len(encode_frame(run)), LARGEST_FRAME)

    def test_long_text_comes_in_pieces(self) -> None:
        """
        Of 25,000 characters the pieces arrive in order, and together they are the text.
        """
        for text in (
            "x" * 25_000,
            "word " * 5_000,
            "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 1400,
        ):
            self.bob.events.clear()

            sent = self.sent(self.ann, self.bob, text)

            self.assertEqual(text, "".join(self.bob.heard))
            self.assertEqual(len(self.bob.heard), sent.pieces)
            self.assertGreater(sent.pieces, 2)
            for entry in self.ann.journal.entries:
                self.assertLessEqual(len(entry.said.body.encode()), LARGEST_BODY)

    def test_control_characters_come_as_they_are(self) -> None:
        """
        What takes six times its size on the wire fits too; how it looks is the faces' business.
        """
        text = "".join(map(chr, range(32))) + "\x00" * 25_000 + "\x7f\u202e\u2028"

        self.sent(self.ann, self.bob, text)

        self.assertEqual(text, "".join(self.bob.heard))

    def test_half_characters_are_replaced(self) -> None:
        """
        What no UTF-8 can hold is sent with a question mark, and disturbs nothing.
        """
        self.sent(self.ann, self.bob, "a\ud800b\udfffc")

        self.assertEqual(["a?b?c"], self.bob.heard)

    @settings(max_examples=50)
    @given(any_texts())
    def test_any_text_arrives(self, text: str) -> None:
        """
        Whatever somebody says is what the other one hears, and what both journals hold.
        """
        self.bob.events.clear()

        self.post(text)
        self.network.settle()

        self.assertEqual([text.encode("utf-8", "replace").decode()], self.bob.heard)
        self.assertEqual(texts_in(self.ann.journal), texts_in(self.bob.journal))

    def test_answer_never_stands_before_its_question(self) -> None:
        """
        Where our clock is behind, what we say is still later than what we have heard.
        """
        fill(self.bob.journal, self.bob.identity, self.room, "from the future")
        ahead = 20_000_000
        said = Said(ahead * 1_000_000, TEXT, "most of a year later")
        seq, prev = self.bob.journal.heads(self.room)[self.bob.key]
        self.bob.journal.append(sign_run(self.bob.identity, self.room, seq + 1, prev, (said,))[1])
        self.sent(self.bob, self.ann, "a question")

        self.sent(self.ann, self.bob, "an answer")

        times = [entry.said.time for entry in self.ann.journal.entries]
        self.assertEqual(times, sorted(set(times)))

    def test_said_while_the_session_opens_is_not_lost(self) -> None:
        """
        Somebody who greets every peer that comes onto the lists is heard by all of them.
        """
        self.stop(self.bob)

        def greet(event: Event) -> None:
            if isinstance(event, PeerAdded) and event.peer.key is not None:
                self.post("welcome")

        self.ann.node.subscribe(greet)
        bob = self.make("bob")
        self.acquaint(self.ann, bob)
        self.start(bob)
        self.network.settle_until(lambda: bool(self.ann.node._sessions.live))
        self.network.settle()

        self.assertEqual(["welcome"], bob.heard)

    def test_fault_of_ours_is_logged_and_told(self) -> None:
        """
        What should never happen is a line in the log, and no text is lost without a word.
        """
        self.patch(self.ann.journal, "append", lambda _, **__: fail(ZeroDivisionError("a fault")))

        failure = self.failureResultOf(self.say(self.ann, self.bob, "hello"), NotSent)

        self.assertEqual("Not kept, and so not sent: a fault", failure.getErrorMessage())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_both_talk_at_once(self) -> None:
        """
        What crosses on the wire comes into both journals.
        """
        for number in range(20):
            self.ann.node.send_text(self.bob.key, f"ann {number}")
            self.bob.node.send_text(self.ann.key, f"bob {number}")
        self.network.settle()

        self.assertEqual([f"bob {number}" for number in range(20)], self.ann.heard)
        self.assertEqual([f"ann {number}" for number in range(20)], self.bob.heard)
        self.assertEqual(sorted(texts_in(self.ann.journal)), sorted(texts_in(self.bob.journal)))


class WaitingTests(ExchangeTestCase):
    """
    What cannot be delivered now.
    """

    def come_back(self, before: Person) -> Person:
        """
        Start somebody's node again, with its journal and who it knows.
        """
        back = self.make(before.name, journal=MemoryJournal(before.journal))
        for contact in before.contacts.all():
            back.contacts.accept(contact.key, contact.name, 0.0)
            for address in contact.addresses:
                back.contacts.met(contact.key, contact.name, address, 0.0)
        self.start(back)
        return back

    def test_what_was_read_is_known_again_though_something_is_unread(self) -> None:
        """
        It is told in each session, and of what is unread nobody says that it was read.
        """
        self.sent(self.ann, self.bob, "seen")
        self.bob.node.looked_at([self.room])
        self.network.settle()
        self.sent(self.ann, self.bob, "not seen")

        for person in (self.ann, self.bob):
            self.stop(person)
        bob, ann = self.come_back(self.bob), self.come_back(self.ann)
        self.pass_time(3)

        lines = self.successResultOf(ann.node.history(self.room, 0.0, None, 9))
        told = {line.text: ann.node.progress_of(line) for line in lines}
        self.assertEqual({"seen": Progress.READ, "not seen": Progress.DELIVERED}, told)
        self.assertEqual([], ann.told(TextsRead))
        bob.node.looked_at([self.room])
        self.network.settle()
        self.assertEqual([Progress.READ] * 2, [ann.node.progress_of(line) for line in lines])
        self.assertEqual(1, len(ann.told(TextsRead)))

    def test_text_for_somebody_away_waits_and_is_delivered(self) -> None:
        """
        It is kept, told as waiting, and told once more when it has arrived.
        """
        self.stop(self.bob)

        sent = self.sent(self.ann, self.bob, "one")
        self.sent(self.ann, self.bob, "two")
        self.assertEqual((Progress.WAITING, "bob"), (sent.progress, sent.name))
        self.assertEqual([], self.ann.told(TextsDelivered))
        bob = self.come_back(self.bob)
        self.network.settle_until(lambda: bool(bob.heard))
        self.network.settle()

        self.assertEqual(["one", "two"], bob.heard)
        (delivered,) = self.ann.told(TextsDelivered)
        self.assertEqual((self.bob.key, 2), (delivered.contact.key, delivered.texts))

    def test_text_outlives_our_process(self) -> None:
        """
        What was kept is delivered by the next process too.
        """
        self.stop(self.bob)
        self.sent(self.ann, self.bob, "hello")
        self.kill(self.ann)

        ann = self.come_back(self.ann)
        bob = self.come_back(self.bob)
        self.network.settle_until(lambda: bool(bob.heard))
        self.network.settle()

        self.assertEqual(["hello"], bob.heard)
        self.assertEqual([1], [event.texts for event in ann.told(TextsDelivered)])

    def test_receipt_that_takes_long_is_told_later(self) -> None:
        """
        After five seconds the person is told that it waits; then, that it has arrived.
        """
        self.bob.journal.is_slow = True
        sending = self.say(self.ann, self.bob, "hello")
        self.pass_time(LONGEST_RECEIPT - 0.1)
        self.assertNoResult(sending)

        self.pass_time(0.2)
        self.assertEqual(Progress.WAITING, self.successResultOf(sending).progress)
        self.assertEqual([], self.ann.told(TextsDelivered))
        self.work(self.bob)

        self.assertEqual([1], [event.texts for event in self.ann.told(TextsDelivered)])

    def test_receipt_before_somebody_waits_for_it_is_not_lost(self) -> None:
        """
        Where the text has arrived before its sender looked, that is what it is told.
        """
        posting = self.ann.node._exchange.posting
        posted = self.post("hello")
        self.network.settle()

        self.assertTrue(self.successResultOf(posting.receipt_of(posted)))
        posting.wait_no_longer(posted)
        self.assertEqual([], self.ann.told(TextsDelivered))

    def test_stop_tells_those_who_wait(self) -> None:
        """
        Whoever waits for a receipt when the node stops is told in time that it is kept.
        """
        self.bob.journal.is_slow = True
        sending = self.say(self.ann, self.bob, "hello")
        self.assertNoResult(sending)

        self.stop(self.ann)

        self.assertEqual(Progress.WAITING, self.successResultOf(sending).progress)
        self.work(self.bob)
        self.assertEqual(["hello"], self.bob.heard)

    def test_whoever_cannot_keep_it_makes_nobody_wait(self) -> None:
        """
        With the session of somebody whose disk is full the wait is over, and the text is kept.
        """
        self.bob.journal.error = FULL

        sending = self.say(self.ann, self.bob, "hello")

        self.assertEqual(Progress.WAITING, self.successResultOf(sending).progress)
        self.assertEqual(["hello"], texts_in(self.ann.journal))
        self.bob.journal.error = None

    def test_somebody_who_stops_waiting_changes_nothing(self) -> None:
        """
        Who cancels a text that is kept already takes it back from nobody.
        """
        self.bob.journal.is_slow = True
        sending = self.say(self.ann, self.bob, "hello")

        sending.cancel()
        self.failureResultOf(sending, NotSent)
        self.work(self.bob)
        self.pass_time(LONGEST_RECEIPT + 1)

        self.assertEqual(["hello"], self.bob.heard)
        self.assertEqual([1], [event.texts for event in self.ann.told(TextsDelivered)])

    def test_commit_after_the_session_is_acknowledged_in_the_next(self) -> None:
        """
        What came over one session and is stored late is told in the one that took its place.
        """
        self.bob.journal.is_slow = True
        self.say(self.ann, self.bob, "hello")
        self.network.cut(self.wires_between(self.ann, self.bob)[0])
        self.pass_time(3)
        self.assertEqual(1, len(self.wires_between(self.ann, self.bob)))

        self.work(self.bob)

        self.assertEqual(["hello"], self.bob.heard)
        self.assertEqual(1, self.ann.journal.receipt(self.room, self.bob.key))

    def test_commit_after_the_last_session_is_acknowledged_when_they_meet(self) -> None:
        """
        Where there is no session by then, the next one begins with it.
        """
        self.bob.journal.is_slow = True
        self.say(self.ann, self.bob, "hello")
        self.network.cut(self.wires_between(self.ann, self.bob)[0])

        self.work(self.bob)
        self.assertEqual(["hello"], self.bob.heard)
        self.pass_time(3)

        self.assertEqual(1, self.ann.journal.receipt(self.room, self.bob.key))
        self.assertEqual(["hello"], self.bob.heard)

    def test_few_thousand_missed_entries_are_caught_up(self) -> None:
        """
        What was said while somebody was away comes in order, whichever of the two missed what.
        """
        self.stop(self.bob)
        texts = [f"text {number}" for number in range(3000)]
        self.ann.journal.is_slow = True
        posting = self.ann.node._exchange.posting
        posts = [self.post(text) for text in texts]
        self.work(self.ann)
        for posted in posts:
            posting.wait_no_longer(posted)
        fill(self.bob.journal, self.bob.identity, self.room, *(f"back {n}" for n in range(300)))

        bob = self.come_back(self.bob)
        self.network.settle_until(lambda: bool(bob.told(CaughtUp)))
        self.network.settle()

        # So many are not shown one by one, but told as a number when all of them are there.
        self.assertEqual([3000], [event.texts for event in bob.told(CaughtUp)])
        self.assertEqual([300], [event.texts for event in self.ann.told(CaughtUp)])
        self.assertEqual([], bob.heard + self.ann.heard)
        back = [f"back {number}" for number in range(300)]
        for journal in (self.ann.journal, bob.journal):
            for author, said in ((self.ann, texts), (self.bob, back)):
                entries = [entry for entry in journal.entries if entry.author == author.key]
                self.assertEqual(said, [entry.said.body for entry in entries])
        self.assertEqual(3000, sum(event.texts for event in self.ann.told(TextsDelivered)))

    def test_what_is_committed_together_is_caught_up_together(self) -> None:
        """
        Where one commit brings several runs, the last of them are not shown one by one.
        """
        self.stop(self.ann)
        long = "x" * 1000
        fill(self.ann.journal, self.ann.identity, self.room, *(f"{n} {long}" for n in range(100)))
        append, told = self.bob.journal.append, list[Callable[[], None]]()

        def append_with_others(entries: Sequence[Entry], *, is_urgent: bool) -> Deferred[None]:
            done: Deferred[None] = Deferred()
            append(entries, is_urgent=is_urgent).addCallback(
                lambda _: told.append(lambda: done.callback(None))
            )
            return done

        self.patch(self.bob.journal, "append", append_with_others)

        self.come_back(self.ann)
        self.network.settle_until(lambda: len(self.bob.journal.entries) == 100)
        self.assertGreater(len(told), 1)
        for tell in told:
            tell()
        self.network.settle()

        self.assertEqual([100], [event.texts for event in self.bob.told(CaughtUp)])
        self.assertEqual([], self.bob.heard)

    def test_lost_journal_comes_back_from_the_other_one(self) -> None:
        """
        Who has lost everything gets it back, its own words too, and goes on behind them.
        """
        for number in range(3):
            self.sent(self.ann, self.bob, f"ann {number}")
            self.sent(self.bob, self.ann, f"bob {number}")
        self.stop(self.bob)
        bob = self.make("bob")
        self.acquaint(self.ann, bob)
        self.start(bob)
        self.network.settle_until(lambda: bool(bob.heard))
        self.network.settle()

        self.assertEqual(sorted(texts_in(self.ann.journal)), sorted(texts_in(bob.journal)))
        self.assertEqual(["ann 0", "ann 1", "ann 2"], bob.heard)
        self.sent(bob, self.ann, "as before")
        self.assertEqual("as before", self.ann.heard[-1])
        self.assertEqual([], self.ann.told(ForkSeen) + self.ann.told(OutOfStep))


class WindowTests(ExchangeTestCase):
    """
    How much may be on its way.
    """

    def test_window_is_not_exceeded_and_moves_on(self) -> None:
        """
        With so much on its way nothing more goes, until the other side has stored some of it.
        """
        self.patch(sync, "MOST_IN_FLIGHT", 3000)
        self.bob.journal.is_slow = True
        runs = self.runs_to(self.bob, self.ann)
        texts = [f"{number:02} {'x' * 1000}" for number in range(12)]
        for text in texts:
            self.ann.node.send_text(self.bob.key, text)
        self.network.settle()
        self.assertEqual(3, len(runs))

        self.bob.journal.work(1)
        self.network.settle()
        self.assertLessEqual(len(self.bob.heard), 1)
        self.assertGreater(len(runs), 3)
        self.work(self.bob)

        self.assertEqual(texts, self.bob.heard)

    def test_choked_session_is_given_nothing_more(self) -> None:
        """
        Where the other side does not read, few bytes are on their way; all comes in the end.
        """
        (wire,) = self.wires_between(self.ann, self.bob)
        self.network.hold(wire)
        link = self.ann.link_to(self.bob)
        text = "x" * 8000
        for _ in range(60):
            self.post(text)
        self.network.settle()
        self.assertTrue(link.is_choked)
        ours = wire[0] if wire[0] is link.transport else wire[1]
        self.assertLess(ours.on_the_way, 150_000)

        self.network.hold(wire, is_held=False)
        self.network.settle()

        self.assertFalse(link.is_choked)
        self.assertEqual([text] * 60, self.bob.heard)

    def test_choked_session_is_told_the_latest_once(self) -> None:
        """
        Receipts that could not be said are one receipt when they can.
        """
        link = self.bob.link_to(self.ann)
        producer = link.transport.producer  # type: ignore[attr-defined]
        haves = self.haves_to(self.ann)
        producer.pauseProducing()
        for number in range(9):
            self.say(self.ann, self.bob, f"text {number}")
        self.assertEqual(9, len(self.bob.heard))
        self.assertEqual([], haves)

        producer.resumeProducing()
        self.network.settle()

        (have,) = haves
        seq, _ = have.rooms[self.room.hex()][str(self.ann.key)]
        self.assertEqual(9, seq)
        self.assertEqual(9, self.ann.journal.receipt(self.room, self.bob.key))

    def test_choked_session_that_ends_leaves_nothing(self) -> None:
        """
        What was to be said in a session that is over is said in the next.
        """
        link = self.bob.link_to(self.ann)
        link.transport.producer.pauseProducing()  # type: ignore[attr-defined]
        self.say(self.ann, self.bob, "hello")
        partners = self.bob.node._exchange._partners
        self.assertEqual([True], [partner.is_behind for partner in partners.values()])

        self.network.cut(wire_of(link, self.network))
        self.assertEqual({}, partners)
        self.pass_time(3)

        self.assertEqual(1, self.ann.journal.receipt(self.room, self.bob.key))

    def test_slow_reads_hold_up_one_chain_only_once(self) -> None:
        """
        While a chain is being read it is not read again; what is said meanwhile comes behind it.
        """
        self.patch(sync, "MOST_IN_FLIGHT", 1)
        for number in range(3):
            self.post(f"text {number}")
        self.ann.journal.is_slow = True
        self.network.settle()
        self.assertEqual(["text 0"], self.bob.heard)
        self.assertEqual(1, self.ann.journal.waiting)
        self.say(self.bob, self.ann, "hurry up")
        self.post("text 3")

        self.work(self.ann)

        self.assertEqual([f"text {number}" for number in range(4)], self.bob.heard)

    def test_read_that_ends_after_the_session_is_for_nothing(self) -> None:
        """
        What is read for a session that is over is not sent in another.
        """
        self.patch(sync, "MOST_IN_FLIGHT", 1)
        for number in range(3):
            self.post(f"text {number}")
        self.ann.journal.is_slow = True
        self.network.settle()
        self.network.cut(self.wires_between(self.ann, self.bob)[0])

        self.work(self.ann)
        self.pass_time(3)

        self.assertEqual(["text 0", "text 1", "text 2"], self.bob.heard)


class FailingDiskTests(ExchangeTestCase):
    """
    Disks that are full.
    """

    def test_text_that_cannot_be_kept_is_not_sent(self) -> None:
        """
        It is told with what it said, and the next one is tried again.
        """
        self.ann.journal.error = FULL

        failure = self.failureResultOf(self.say(self.ann, self.bob, "hello"), NotSent)

        self.assertEqual("Not kept, and so not sent: The disk is full.", failure.getErrorMessage())
        self.assertEqual("hello", failure.value.unsent)
        self.ann.journal.error = None
        self.sent(self.ann, self.bob, "again")
        self.assertEqual(["again"], self.bob.heard)

    def test_text_that_is_told_as_not_kept_is_not_kept(self) -> None:
        """
        Wherever the disk fails while a text is written, it is not there when that is told.
        """
        for done in range(3):
            self.ann.journal.is_slow = True
            sending = self.ann.node.send_text(self.bob.key, f"text {done}")
            self.ann.journal.work(done)
            self.ann.journal.error = FULL
            self.ann.journal.work(1)
            self.ann.journal.error = None
            self.work(self.ann)

            is_kept = f"text {done}" in texts_in(self.ann.journal)
            if is_kept:
                self.assertEqual(Progress.DELIVERED, self.successResultOf(sending).progress)
            else:
                self.failureResultOf(sending, NotSent)

        self.assertEqual(["text 2"], self.bob.heard)

    def test_what_waits_behind_a_failure_is_written_all_the_same(self) -> None:
        """
        A run that fails takes nothing with it that was said after it.
        """
        self.ann.journal.is_slow = True
        first = self.ann.node.send_text(self.bob.key, "one")
        second = self.ann.node.send_text(self.bob.key, "two")
        self.ann.journal.error = FULL
        self.ann.journal.work(1)
        self.ann.journal.error = None

        self.work(self.ann)

        self.failureResultOf(first, NotSent)
        self.assertEqual(Progress.DELIVERED, self.successResultOf(second).progress)
        self.assertEqual(["two"], self.bob.heard)

    def test_what_they_say_and_cannot_be_kept_is_delivered_later(self) -> None:
        """
        The person is told once, the session rests, and half a minute later it comes.
        """
        self.bob.journal.is_slow = True
        sendings = [self.ann.node.send_text(self.bob.key, f"text {n}") for n in range(5)]
        self.network.settle()
        self.bob.journal.error = FULL
        self.bob.journal.work()
        self.network.settle()

        self.assertEqual([StoreFailed("The disk is full.")], self.bob.told(StoreFailed))
        self.assertEqual([], self.bob.heard)
        self.assertEqual({}, self.bob.node._sessions.live)
        self.pass_time(10)
        self.assertEqual([], self.wires_between(self.ann, self.bob))
        for sending in sendings:
            self.assertEqual(Progress.WAITING, self.successResultOf(sending).progress)
        self.bob.journal.error = None
        self.bob.journal.is_slow = False
        self.pass_time(50)

        self.assertEqual([f"text {n}" for n in range(5)], self.bob.heard)
        self.assertEqual([5], [event.texts for event in self.ann.told(TextsDelivered)])

    def test_failure_after_the_session_is_told_and_ends_the_next(self) -> None:
        """
        What came over one session and fails in the next one makes that rest.
        """
        self.bob.journal.is_slow = True
        self.say(self.ann, self.bob, "hello")
        self.network.cut(self.wires_between(self.ann, self.bob)[0])
        self.pass_time(3)
        with capturedLogs() as events:
            self.bob.journal.error = FULL
            self.bob.journal.work()
            self.say(self.ann, self.bob, "hello again")
        self.assertEqual([], [event for event in events if "code" in event])
        self.assertEqual([StoreFailed("The disk is full.")], self.bob.told(StoreFailed))

        self.bob.journal.error = None
        self.bob.journal.is_slow = False
        self.pass_time(50)

        self.assertEqual(["hello", "hello again"], self.bob.heard)

    def test_what_comes_while_something_is_being_lost_is_no_gap(self) -> None:
        """
        A disk that fails with our own words has lost theirs too, which is not their fault.
        """
        self.bob.journal.is_slow = True
        self.bob.node.send_text(self.ann.key, "ours").addErrback(lambda _: None)
        self.say(self.ann, self.bob, "one")
        with capturedLogs() as events:
            self.bob.journal.error = FULL
            self.bob.journal.work(1)
            self.bob.journal.error = None
            self.say(self.ann, self.bob, "two")
            self.assertIn(self.ann.key, self.bob.node._sessions.live)
            self.bob.journal.work()
            self.network.settle()
        self.assertEqual([], [event for event in events if "code" in event])
        self.assertEqual(1, len(self.bob.told(StoreFailed)))

        self.bob.journal.is_slow = False
        self.pass_time(50)

        self.assertEqual(["one", "two"], self.bob.heard)
        self.assertEqual([], self.ann.heard)

    def test_failure_after_the_last_session_is_told(self) -> None:
        """
        So it is told when there is nobody there any more.
        """
        self.bob.journal.is_slow = True
        self.say(self.ann, self.bob, "hello")
        self.network.cut(self.wires_between(self.ann, self.bob)[0])

        self.bob.journal.error = FULL
        self.bob.journal.work()
        self.assertEqual([StoreFailed("The disk is full.")], self.bob.told(StoreFailed))
        self.bob.journal.error = None
        self.bob.journal.is_slow = False
        self.pass_time(5)

        self.assertEqual(["hello"], self.bob.heard)

    def test_journal_that_cannot_be_read_rests_the_session(self) -> None:
        """
        What waits for somebody and cannot be read is told, and sent when it can.
        """
        self.stop(self.bob)
        self.sent(self.ann, self.bob, "hello")
        bob = self.make("bob", journal=MemoryJournal(self.bob.journal))
        self.acquaint(self.ann, bob)
        self.ann.journal.error = FULL
        self.start(bob)
        self.pass_time(2)

        self.assertIn(StoreFailed("The disk is full."), self.ann.told(StoreFailed))
        self.assertEqual([], bob.heard)
        self.ann.journal.error = None
        self.pass_time(100)

        self.assertEqual(["hello"], bob.heard)

    def test_knock_that_cannot_be_read_rests_the_session(self) -> None:
        """
        So it is with what waits for somebody who does not know us any more.
        """
        self.stop(self.bob)
        self.sent(self.ann, self.bob, "hello")
        bob = self.make("bob")
        self.start(bob)
        self.ann.journal.error = FULL
        self.network.settle_until(lambda: bool(self.ann.told(StoreFailed)), 1000)
        self.network.settle()
        self.assertEqual([], bob.node.callers())
        self.ann.journal.error = None
        self.pass_time(60)

        self.assertEqual(["hello"], [caller.text for caller in bob.node.callers()])


class LettingInTests(PeopleTestCase):
    """
    What waits for somebody who does not know us.
    """

    def test_what_waits_knocks_by_itself(self) -> None:
        """
        Where we are not let in when we come back, our first word at the door is what waits.
        """
        ann, bob = self.make("ann"), self.make("bob")
        ann.contacts.accept(bob.key, "bob", 0.0)
        ann.contacts.met(bob.key, "bob", bob.address, 0.0)
        fill(ann.journal, ann.identity, room_of(ann, bob), "a word", "and more")
        self.start(ann, bob)
        self.pass_time(3)

        (caller,) = bob.node.callers()
        self.assertEqual("a word", caller.text)
        self.assertEqual([], bob.heard)
        bob.node.decide(caller.key, Decision.ACCEPT, caller)
        self.network.settle()
        self.assertEqual(["a word", "and more"], bob.heard)

    def test_connecting_with_what_waits_knocks_with_it(self) -> None:
        """
        Who only connects says what waits, and not nothing.
        """
        ann, bob = self.make("ann"), self.make("bob")
        ann.contacts.accept(bob.key, "bob", 0.0)
        ann.contacts.met(bob.key, "bob", bob.address, 0.0)
        fill(ann.journal, ann.identity, room_of(ann, bob), "a word")
        self.start(ann, bob)
        connecting = ann.node.connect(bob.key, manual=True)
        self.network.settle()
        self.successResultOf(connecting)

        self.assertEqual(["a word"], [caller.text for caller in bob.node.callers()])

    def test_second_text_at_the_door_waits(self) -> None:
        """
        There is one knock; the rest is said when they are let in.
        """
        ann, bob = self.make("ann"), self.make("bob")
        self.start(ann, bob)

        for text in ("one", "two", "three"):
            sent = self.sent(ann, bob.address, text)
            self.assertEqual(Progress.AT_THE_DOOR, sent.progress)

        (caller,) = bob.node.callers()
        self.assertEqual("one", caller.text)
        bob.node.decide(caller.key, Decision.ACCEPT, caller)
        self.network.settle()
        self.assertEqual(["one", "two", "three"], bob.heard)
        self.assertEqual([3], [event.texts for event in ann.told(TextsDelivered)])


class LiarTestCase(ExchangeTestCase):
    """
    Mallory, whom Ann knows.
    """

    @override
    def setUp(self) -> None:
        """
        Let Mallory in.
        """
        super().setUp()
        self.ann.contacts.accept(MALLORY.key, "Mallory", 0.0)
        self.ours = direct_room(self.ann.key, MALLORY.key)
        self.caller = self.come()

    def come(self, dial: int = 1) -> SessionCaller:
        """
        Let Mallory come with a session held by hand.
        """
        return self.greet(self.ann, MALLORY, hello(dial=dial, knows=True))

    def run_of(
        self,
        *texts: str,
        author: Identity = MALLORY,
        room: bytes = b"",
        seq: int = 1,
        prev: bytes = NOTHING,
    ) -> tuple[Run, tuple[Entry, ...]]:
        """
        What somebody could have said.
        """
        said = tuple(Said(seq + index, TEXT, text) for index, text in enumerate(texts))
        return sign_run(author, room or self.ours, seq, prev, said)

    def send(self, run: Run) -> None:
        """
        Send it to Ann.
        """
        self.caller.say(frame_of_run(run))
        self.network.settle()

    def told(self) -> dict[str, tuple[int, str]]:
        """
        What Ann told last that she holds.
        """
        have = next(frame for frame in reversed(self.caller.frames) if isinstance(frame, Have))
        return have.rooms[self.ours.hex()]

    def hold_nothing(self) -> None:
        """
        Let Mallory tell that she holds nothing of their room, and so wants all of it.
        """
        self.caller.say(Have(rooms={self.ours.hex(): {}}))
        self.network.settle()

    def say_here(self, *texts: str) -> None:
        """
        Let Ann have said something to Mallory.
        """
        for text in texts:
            self.ann.node._exchange.posting.post(self.ours, text)
        self.network.settle()


class LiarTests(LiarTestCase):
    """
    What a contact may not do.
    """

    def assert_broken(self, code: str, act: Callable[[], None]) -> None:
        """
        That breaks a rule: the session is over, nothing is shown, and Bob's goes on.
        """
        before = len(self.ann.heard)
        with capturedLogs() as events:
            act()
        self.assertEqual([code], [event["code"] for event in events if "code" in event])
        self.assertIsNotNone(self.caller.reason)
        self.assertEqual(before, len(self.ann.heard))
        self.assert_talk(self.ann, self.bob)

    def test_honest_run_is_shown_and_acknowledged(self) -> None:
        """
        As a measure for the rest: that is how it is done.
        """
        self.assertEqual({}, self.told())
        run, entries = self.run_of("hello", "world")

        self.send(run)

        self.assertEqual(["hello", "world"], self.ann.heard)
        self.assertEqual({str(MALLORY.key): (2, entries[-1].hash.hex())}, self.told())

    def test_replay_is_acknowledged_and_not_shown_again(self) -> None:
        """
        What comes again, as a whole, in part or longer, is told as held, and only news are shown.
        """
        first, entries = self.run_of("one", "two")
        longer, more = sign_run(
            MALLORY, self.ours, 1, NOTHING, (*first.said, Said(9, TEXT, "three"))
        )
        for run in (first, first, longer, first):
            before = len(self.caller.frames)
            self.send(run)
            self.assertEqual(1, len(self.caller.frames) - before)

        self.assertEqual(["one", "two", "three"], self.ann.heard)
        self.assertEqual((3, more[-1].hash.hex()), self.told()[str(MALLORY.key)])
        self.assertEqual(more[1].hash, entries[1].hash)
        self.caller.end.abortConnection()
        self.network.settle()
        self.caller = self.come(2)
        self.send(longer)
        self.assertEqual(["one", "two", "three"], self.ann.heard)

    def test_what_is_not_stored_yet_is_not_acknowledged(self) -> None:
        """
        A replay of what is just being written is told what is on the disk, and no more.
        """
        run, _ = self.run_of("hello")
        self.ann.journal.is_slow = True
        self.send(run)

        self.send(run)

        self.assertEqual({}, self.told())
        self.work(self.ann)
        self.assertEqual(1, self.told()[str(MALLORY.key)][0])
        self.assertEqual(["hello"], self.ann.heard)

    def test_other_rooms_are_not_taken(self) -> None:
        """
        Entries of a room that is not shared, ours with another or anything, are refused.
        """
        for room in (self.room, direct_room(MALLORY.key, self.bob.key), b"x" * 32):
            self.assert_broken("not-shared", partial(self.send, self.run_of("hi", room=room)[0]))
            self.caller = self.come(2)

    def test_other_authors_are_not_taken(self) -> None:
        """
        Nobody but the two has said anything in their room.
        """
        for number, author in enumerate((self.bob.identity, identity_of("x"))):
            run, _ = self.run_of("hi", author=author)
            self.assert_broken("not-shared", partial(self.send, run))
            self.caller = self.come(number + 2)

    def test_forged_words_of_ours_are_not_taken(self) -> None:
        """
        What we said comes back only as we signed it.
        """
        run, _ = self.run_of("I never said that")
        forged = Run(run.room, self.ann.key, run.seq, run.prev, run.said, run.signature)

        self.assert_broken("bad-signature", lambda: self.send(forged))

    def test_gap_is_not_taken(self) -> None:
        """
        What leaves something out ends the session.
        """
        run, _ = self.run_of("later", seq=5, prev=b"x" * 32)

        self.assert_broken("gap", lambda: self.send(run))

    def test_author_that_is_no_key_is_not_taken(self) -> None:
        """
        A key that anybody could sign for is nobody's.
        """
        frame = frame_of_run(self.run_of("hi")[0])
        bad = RunFrame(frame.room, "0" * 64, frame.seq, frame.prev, frame.said, frame.sig)

        def act() -> None:
            self.caller.say(bad)
            self.network.settle()

        self.assert_broken("bad-key", act)

    def test_good_run_behind_a_bad_one_is_not_taken(self) -> None:
        """
        With the first breach the session is over, also for what came in the same breath.
        """
        run, _ = self.run_of("good")
        bad = Run(run.room, run.author, run.seq, run.prev, run.said, bytes(64))

        def act() -> None:
            self.caller.say(frame_of_run(bad), frame_of_run(run), Knock(text="hello"))
            self.network.settle()

        self.assert_broken("bad-signature", act)

    def test_flipped_bit_in_any_field_shows_nothing(self) -> None:
        """
        Whatever one bit of a run is changed into, nothing of it is shown.

        What is a frame of a later version then is passed over; all else ends the session.
        """
        run, _ = self.run_of("hello", "world")
        line = encode_frame(frame_of_run(run))
        # A prime, so that every field and every bit of an octet comes its turn.
        for place in range(0, len(line), 3):
            flipped = bytearray(line)
            flipped[place] ^= 1 << (place % 8)
            if b"\n" in flipped:
                continue
            self.caller.end.write(bytes(flipped) + b"\n")
            self.network.settle()
            self.assertEqual([], self.ann.heard, bytes(flipped))
            if self.caller.reason is None:
                self.assertNotEqual("run", json.loads(flipped)["t"])
            else:
                self.caller = self.come(place + 2)

        self.send(run)
        self.assertEqual(["hello", "world"], self.ann.heard)

    def test_flipped_bit_on_the_wire_ends_the_session(self) -> None:
        """
        TLS notices each of them, wherever it is, and what was said comes in the next session.
        """
        for place in (0, 3, 5, 20, -1):
            self.network.settle()
            link = self.ann.link_to(self.bob)
            (wire,) = self.wires_between(self.ann, self.bob)
            end = wire[0] if wire[0] is link.transport else wire[1]
            heard = len(self.bob.heard)
            self.network.hold(wire)
            self.ann.node.send_text(self.bob.key, f"text {place}")
            self.network.settle()
            (data,) = end._on_the_way
            broken = bytearray(data)
            broken[place] ^= 1
            end._on_the_way[:] = [bytes(broken)]
            self.network.hold(wire, is_held=False)
            self.network.settle()

            self.assertEqual(heard, len(self.bob.heard))
            # Of a longer record the rest is waited for, until the session is dead.
            self.pass_time(40)
            self.assertEqual(f"text {place}", self.bob.heard[-1])
            self.assertEqual(heard + 1, len(self.bob.heard))

    def test_fork_is_kept_and_told_once(self) -> None:
        """
        Two histories under one key are proof, which is kept; what was shown first stays.
        """
        first, entries = self.run_of("one", "two")
        other, forked = self.run_of("one", "another")
        self.send(first)

        for _ in range(3):
            self.send(other)

        self.assertEqual(["one", "two"], self.ann.heard)
        self.assertEqual([forked[-1]], self.ann.journal.forks)
        (seen,) = self.ann.told(ForkSeen)
        self.assertEqual((MALLORY.key, 2), (seen.contact.key, seen.seq))
        self.assertIsNone(self.caller.reason)
        self.caller.end.abortConnection()
        self.network.settle()
        self.caller = self.come(2)
        self.send(other)
        self.assertEqual(1, len(self.ann.told(ForkSeen)))
        self.assertEqual(entries[-1].hash.hex(), self.told()[str(MALLORY.key)][1])

    def test_fork_does_no_harm_to_the_other_direction(self) -> None:
        """
        We can still talk to who has two histories.
        """
        self.send(self.run_of("one")[0])
        self.send(self.run_of("other")[0])
        self.hold_nothing()

        self.say_here("which one are you?")

        run = self.caller.frames[-1]
        assert isinstance(run, RunFrame)
        self.assertEqual("which one are you?", run.said[0].body)

    def test_fork_that_cannot_be_kept_rests_the_session(self) -> None:
        """
        A proof that is lost is no proof: it has to come again.
        """
        self.send(self.run_of("one")[0])
        self.ann.journal.error = FULL

        self.send(self.run_of("other")[0])

        self.assertEqual([StoreFailed("The disk is full.")], self.ann.told(StoreFailed))
        self.assertEqual(
            Bye(code="rest", text="Nothing can be stored here for now."), self.caller.frames[-1]
        )
        self.ann.journal.error = None

    def test_fork_of_who_is_forgotten_meanwhile_is_not_told(self) -> None:
        """
        Of somebody who is no contact there is nothing to tell.
        """
        self.send(self.run_of("one")[0])
        self.ann.contacts.forget(MALLORY.key)

        self.send(self.run_of("other")[0])

        self.assertEqual([], self.ann.told(ForkSeen))

    def test_text_of_who_is_forgotten_meanwhile_is_kept_and_not_shown(self) -> None:
        """
        What was under way when its author was forgotten disturbs nobody.
        """
        self.ann.journal.is_slow = True
        self.send(self.run_of("one")[0])
        self.ann.node.decide(MALLORY.key, Decision.FORGET)
        self.network.settle()
        self.come(2)

        self.work(self.ann)

        self.assertEqual([], self.ann.heard)
        self.assertEqual(["one"], texts_in(self.ann.journal))

    def test_other_kinds_are_kept_and_not_shown(self) -> None:
        """
        What a later version says is kept, handed on and acknowledged.
        """
        said = (Said(1, "reaction", "x"), Said(2, TEXT, "hello"))
        run, _ = sign_run(MALLORY, self.ours, 1, NOTHING, said)

        self.send(run)

        self.assertEqual(["hello"], self.ann.heard)
        self.assertEqual(2, self.told()[str(MALLORY.key)][0])

    def test_have_can_say_what_it_likes_of_other_rooms(self) -> None:
        """
        Of rooms that we do not share, and authors that we do not know, nothing is taken.
        """
        self.caller.say(
            Have(rooms={self.room.hex(): {str(self.ann.key): (9, "0" * 64)}, "0" * 64: {}}),
            Have(rooms={self.ours.hex(): {str(self.bob.key): (9, "0" * 64)}}),
        )
        self.network.settle()

        self.assertIsNone(self.caller.reason)
        self.assertEqual(0, self.ann.journal.receipt(self.room, MALLORY.key))


class OutOfStepTests(LiarTestCase):
    """
    Somebody who holds other entries of ours than we do.
    """

    def hold(self, seq: int, digest: bytes) -> None:
        """
        Let Mallory tell how far she holds what Ann said, all of which she may have seen.
        """
        ours, head = self.ours, self.ann.journal.stored_heads(self.ours).get(self.ann.key)
        if head is not None and self.ann.journal.error is None:
            self.ann.journal.offer(ours, *head)
        self.caller.say(Have(rooms={self.ours.hex(): {str(self.ann.key): (seq, digest.hex())}}))
        self.network.settle()

    def assert_out_of_step(self) -> None:
        """
        Ann is told once, and nothing that she says counts as received.
        """
        (told,) = self.ann.told(OutOfStep)
        self.assertEqual(MALLORY.key, told.contact.key)
        self.assertEqual(0, self.ann.journal.receipt(self.ours, MALLORY.key))
        before = len(self.caller.frames)
        self.say_here("anybody there?")
        self.assertEqual(before, len(self.caller.frames))
        self.assertIsNone(self.caller.reason)

    def test_another_last_entry_is_noticed(self) -> None:
        """
        The same number with another hash is none of ours.
        """
        self.say_here("one")

        for dial in (2, 3):
            self.hold(1, b"x" * 32)
            self.hold(1, b"x" * 32)
            self.assert_out_of_step()
            self.caller.end.abortConnection()
            self.network.settle()
            self.caller = self.come(dial)

    def test_another_entry_before_the_last_is_noticed(self) -> None:
        """
        What they begin with is compared with what we hold under that number.
        """
        self.say_here("one", "two", "three")

        self.hold(2, b"x" * 32)

        self.assert_out_of_step()

    def test_same_entry_before_the_last_is_fine(self) -> None:
        """
        Where it is the same, we go on behind it.
        """
        self.caller.end.abortConnection()
        self.network.settle()
        entries = fill(self.ann.journal, self.ann.identity, self.ours, "one", "two", "three")
        self.caller = self.come(2)

        self.hold(2, entries[1].hash)

        self.assertEqual([], self.ann.told(OutOfStep))
        self.assertEqual(2, self.ann.journal.receipt(self.ours, MALLORY.key))
        run = self.caller.frames[-1]
        assert isinstance(run, RunFrame)
        self.assertEqual(3, run.seq)

    def test_what_is_told_while_comparing_counts(self) -> None:
        """
        While a slow disk looks, the last of what they tell is remembered.
        """
        self.say_here("one", "two", "three")
        entries = [entry for entry in self.ann.journal.entries if entry.room == self.ours]
        self.ann.journal.offer(self.ours, 3, entries[2].hash)
        self.ann.journal.is_slow = True

        for entry in entries:
            self.hold(entry.seq, entry.hash)
        self.say_here("four")
        self.assertEqual(0, self.ann.journal.receipt(self.ours, MALLORY.key))
        self.work(self.ann)

        self.assertEqual(3, self.ann.journal.receipt(self.ours, MALLORY.key))
        self.assertEqual([], self.ann.told(OutOfStep))
        run = self.caller.frames[-1]
        assert isinstance(run, RunFrame)
        self.assertEqual("four", run.said[-1].body)

    def test_comparing_that_ends_after_the_session_is_for_nothing(self) -> None:
        """
        What is found out when they are gone says nothing about who comes next.
        """
        self.say_here("one", "two")
        self.ann.journal.is_slow = True
        self.hold(1, b"x" * 32)
        self.caller.end.abortConnection()
        self.network.settle()

        self.work(self.ann)

        self.assertEqual([], self.ann.told(OutOfStep))
        self.assertEqual({}, self.ann.node._exchange._comparing)

    def test_comparing_that_fails_rests_the_session(self) -> None:
        """
        What cannot be read cannot be compared.
        """
        entries = fill(self.ann.journal, self.ann.identity, self.ours, "one", "two")
        self.ann.journal.offer(self.ours, 2, entries[1].hash)
        self.ann.journal.error = FULL

        self.hold(1, b"x" * 32)

        self.assertEqual([StoreFailed("The disk is full.")], self.ann.told(StoreFailed))
        self.assertEqual({}, self.ann.node._exchange._comparing)
        self.ann.journal.error = None

    def test_more_than_we_ever_said_is_no_receipt(self) -> None:
        """
        Who claims to hold more than there is has not shown that it holds what there is.
        """
        self.say_here("one")

        self.hold(9, b"x" * 32)

        self.assertEqual(0, self.ann.journal.receipt(self.ours, MALLORY.key))
        self.assertEqual([], self.ann.told(OutOfStep))

    def test_other_words_of_ours_are_noticed(self) -> None:
        """
        Somebody with our key has said something else: that comes back, is proof, and is told.
        """
        self.hold_nothing()
        self.say_here("one")
        run, entries = sign_run(
            self.ann.identity, self.ours, 1, NOTHING, (Said(5, TEXT, "not here"),)
        )

        self.send(run)

        self.assertEqual([entries[-1]], self.ann.journal.forks)
        self.assertEqual([], self.ann.told(ForkSeen))
        self.assert_out_of_step()


class ClaimTests(LiarTestCase):
    """
    Somebody who claims to hold what we have said and do not hold.
    """

    def claim(self, seq: int) -> None:
        """
        Let Mallory say that she holds that much.
        """
        self.caller.say(Have(rooms={self.ours.hex(): {str(self.ann.key): (seq, "ab" * 32)}}))
        self.network.settle()

    def runs(self) -> list[RunFrame]:
        """
        What Mallory was sent.
        """
        return [frame for frame in self.caller.frames if isinstance(frame, RunFrame)]

    def test_nothing_is_shown_until_it_is_clear_that_it_does_not_come(self) -> None:
        """
        What would be a second version is written and waits, and goes to nobody else's harm.
        """
        self.claim(7)

        self.say_here("one")

        self.assertEqual([], self.runs())
        self.assertEqual(0, self.ann.journal.offered(self.ours))
        self.assertEqual(["one"], texts_in(self.ann.journal))
        self.assert_talk(self.ann, self.bob)
        self.network.advance(LONGEST_RETURN)
        self.network.settle()
        (told,) = self.ann.told(OutOfStep)
        self.assertEqual(MALLORY.key, told.contact.key)

    def test_claim_is_not_believed_for_ever(self) -> None:
        """
        Whoever has claimed what did not come, in session or out, keeps nobody waiting again.
        """
        for dial in range(MOST_CLAIMS):
            self.claim(7)
            self.claim(8)
            self.say_here(f"{dial}")
            self.assertEqual(0, self.ann.journal.offered(self.ours))
            if dial == 1:
                self.network.advance(LONGEST_RETURN)
            self.caller.end.abortConnection()
            self.network.settle()
            self.caller = self.come(dial + 2)

        self.claim(9)
        self.say_here("last")

        texts = [said.body for run in self.runs() for said in run.said]
        self.assertEqual(["0", "1", "2", "last"], texts)

    def test_gap_in_what_comes_back_is_passed_over(self) -> None:
        """
        Nothing is taken that does not follow, and it is told what is held.
        """
        run, entries = sign_run(
            self.ann.identity, self.ours, 1, NOTHING, (Said(1, TEXT, "one"), Said(2, TEXT, "two"))
        )
        rest, _ = sign_run(self.ann.identity, self.ours, 2, entries[0].hash, run.said[1:])
        self.claim(2)

        self.send(rest)

        self.assertEqual([], texts_in(self.ann.journal))
        self.assertIsNone(self.caller.reason)
        self.send(run)
        self.assertEqual(["one", "two"], texts_in(self.ann.journal))
        self.assertEqual((2, entries[1].hash.hex()), self.told()[str(self.ann.key)])


class TwoJournalsTests(PeopleTestCase):
    """
    One key with two journals, as when somebody goes back to an old copy.
    """

    def begin_again(self, bob: Person, ann: Person, journal: MemoryJournal) -> Person:
        """
        Let Bob go on with another journal.
        """
        if bob.node.running:
            self.stop(bob)
        back = self.make("bob", journal=journal)
        self.acquaint(ann, back)
        return back

    def assert_same(self, ann: Person, bob: Person, *texts: str) -> None:
        """
        All that Bob ever said is in both journals, in one order, was heard once, and goes on.
        """
        self.assertEqual(list(texts), ann.heard)
        for person in (ann, bob):
            ours = [one for one in person.journal.entries if one.author == bob.key]
            self.assertEqual([*range(1, len(texts) + 1)], [one.seq for one in ours])
            self.assertEqual(list(texts), [one.said.body for one in ours])
            self.assertEqual([], person.told(OutOfStep))
            self.assertEqual([], person.told(ForkSeen))
        room = room_of(ann, bob)
        self.assertEqual(len(texts), bob.journal.offered(room))
        self.assertEqual(len(texts), bob.journal.receipt(room, ann.key))
        self.sent(bob, ann, "and on it goes")
        self.assertEqual("and on it goes", ann.heard[-1])

    @given(
        before=st.integers(0, 3),
        lost=st.integers(0, 40),
        since=st.integers(0, 3),
        size=st.sampled_from([1, 5000]),
    )
    @settings(max_examples=20)
    def test_what_is_lost_comes_back_and_what_was_said_since_follows_it(
        self, before: int, lost: int, since: int, size: int
    ) -> None:
        """
        An old copy goes on where the other side knows that it was.
        """
        self.tearDown()
        self.setUp()
        ann, bob = self.meet("ann", "bob")
        texts = [f"{number} {'x' * size}" for number in range(before + lost + since)]
        for text in texts[:before]:
            self.sent(bob, ann, text)
        copy = MemoryJournal(bob.journal)
        for text in texts[before : before + lost]:
            self.sent(bob, ann, text)
        back = self.begin_again(bob, ann, copy)
        fill(copy, back.identity, room_of(ann, back), *texts[before + lost :])

        self.start(back)
        self.pass_time(3)

        self.assert_same(ann, back, *texts)

    def test_what_is_said_while_it_comes_back_follows_it(self) -> None:
        """
        It is written at once, shown to nobody, and written anew.
        """
        ann, bob = self.meet("ann", "bob")
        texts = [f"{number} {'x' * 5000}" for number in range(30)]
        for text in texts:
            self.sent(bob, ann, text)
        back = self.begin_again(bob, ann, MemoryJournal())
        back.journal.is_slow = True
        self.start(back)
        self.pass_time(1)
        sendings = [back.node.send_text(ann.key, text) for text in ("next", "last")]
        back.journal.work()
        self.assertEqual(texts, ann.heard)

        back.journal.is_slow = False
        for _ in range(10):
            back.journal.work()
            self.network.settle()
        self.pass_time(3)

        self.assert_same(ann, back, *texts, "next", "last")
        for sending in sendings:
            self.successResultOf(sending)

    def test_what_cannot_be_kept_comes_back_later(self) -> None:
        """
        A full disk loses nothing of it.
        """
        ann, bob = self.meet("ann", "bob")
        for text in ("one", "two"):
            self.sent(bob, ann, text)
        back = self.begin_again(bob, ann, MemoryJournal())
        fill(back.journal, back.identity, room_of(ann, back), "three")
        back.journal.error = FULL
        self.start(back)
        self.pass_time(3)
        self.assertEqual([StoreFailed("The disk is full.")], back.told(StoreFailed))
        self.assertEqual(["three"], texts_in(back.journal))

        back.journal.error = None
        self.pass_time(100)

        self.assert_same(ann, back, "one", "two", "three")

    def test_what_came_back_before_a_crash_is_not_said_again(self) -> None:
        """
        What is the same on both sides is the same, whether that was noted or not.
        """
        ann, bob = self.meet("ann", "bob")
        for text in ("one", "two", "three"):
            self.sent(bob, ann, text)
        copy = MemoryJournal()
        for entry in bob.journal.entries[:2]:
            copy.append([entry])
        back = self.begin_again(bob, ann, copy)
        fill(copy, back.identity, room_of(ann, back), "four")

        self.start(back)
        self.pass_time(3)

        self.assert_same(ann, back, "one", "two", "three", "four")

    def test_old_copy_that_goes_on_is_told_at_both_ends(self) -> None:
        """
        What is said after going back is not told as received, and both see that something is wrong.
        """
        ann, bob = self.meet("ann", "bob")
        self.sent(bob, ann, "one")
        copy = MemoryJournal(bob.journal)
        self.sent(bob, ann, "two")
        back = self.begin_again(bob, ann, copy)
        (other,) = fill(copy, back.identity, room_of(ann, back), "another two")
        # To somebody else, or to her on a day that was lost again.
        copy.offer(room_of(ann, back), 2, other.hash)
        self.start(back)
        self.pass_time(3)

        self.assertEqual(["one", "two"], ann.heard)
        self.assertTrue(back.told(OutOfStep))
        self.assertEqual([], back.told(TextsDelivered))
        sent = self.say(back, ann, "three")
        self.pass_time(LONGEST_RECEIPT)
        self.assertEqual(Progress.WAITING, self.successResultOf(sent).progress)
        self.assertEqual(["one", "two"], ann.heard)
        # The other direction is as it was.
        self.sent(ann, back, "are you well?")
        self.assertEqual(["are you well?"], back.heard)
        self.assertEqual([], [event for event in back.told(TextReceived) if event.text == "two"])


class RecallTests(ExchangeTestCase):
    """
    What is taken back, and what is not.
    """

    def recall(self) -> Deferred[str]:
        """
        Let Ann take back what she said last.
        """
        return self.ann.node.recall(self.bob.key)

    def test_what_is_said_meanwhile_is_not_taken_with_it(self) -> None:
        """
        A text that is said while it is looked for waits its turn, and is kept.
        """
        self.stop(self.bob)
        self.successResultOf(self.post("first").stored)
        self.ann.journal.is_slow = True
        recalled = self.recall()
        self.ann.journal.work(1)

        posted = self.post("second")
        self.assertEqual("try again.", self.failureResultOf(self.recall()).getErrorMessage()[-10:])
        self.work(self.ann)
        self.assertEqual("first", self.successResultOf(recalled))

        self.successResultOf(posted.stored)
        self.assertEqual(["second"], texts_in(self.ann.journal))
        self.assertEqual((1, 1), (posted.seq, self.ann.journal.heads(self.room)[self.ann.key][0]))
        bob = self.come_back(self.bob)
        self.pass_time(3)
        self.assertEqual(["second"], bob.heard)

    def test_one_who_waits_for_what_is_said_meanwhile_is_told(self) -> None:
        """
        What takes the number of the one that is gone is followed until it is there.
        """
        self.stop(self.bob)
        first = self.post("first")
        self.ann.journal.is_slow = True
        self.recall()
        posted = self.post("second")
        self.work(self.ann)
        received = self.ann.node._exchange.posting.receipt_of(posted, self.bob.key)

        self.come_back(self.bob)
        self.pass_time(3)

        self.assertTrue(self.successResultOf(received))
        self.assertFalse(first.received.called)

    def test_nothing_is_lost_where_there_is_nothing_to_take_back(self) -> None:
        """
        What waited for it is said all the same.
        """
        self.sent(self.ann, self.bob, "seen")
        self.ann.journal.is_slow = True
        recalled = self.recall()
        posted = self.post("second")

        self.work(self.ann)

        self.assertIn("nothing to take back", self.failureResultOf(recalled).getErrorMessage())
        self.successResultOf(posted.stored)
        self.assertEqual(["seen", "second"], self.bob.heard)

    def come_back(self, person: Person) -> Person:
        """
        Start somebody anew.
        """
        again = self.make(person.name, journal=MemoryJournal(person.journal))
        self.acquaint(again, self.ann)
        self.start(again)
        self.pass_time(5)
        return again

    def test_text_at_the_door_cannot_be_taken_back(self) -> None:
        """
        Whoever is asked to let us in has read the beginning of it; what is behind it they have not.
        """
        ann, cy = self.ann, self.make("cy")
        self.start(cy)
        ann.contacts.accept(cy.key, "cy", 0.0)
        ann.contacts.met(cy.key, "cy", cy.address, 0.0)
        self.sent(ann, cy, "my secret")
        self.assertEqual(["my secret"], [caller.text for caller in cy.node.callers()])

        message = self.failureResultOf(ann.node.recall(cy.key)).getErrorMessage()
        self.assertIn("seen already", message)

        self.sent(ann, cy, "and more")
        self.assertEqual("and more", self.successResultOf(ann.node.recall(cy.key)))

    def test_text_is_at_the_door_only_when_that_is_on_the_disk(self) -> None:
        """
        What is shown before it is known that it was shown could be taken back after a crash.
        """
        ann, cy = self.ann, self.make("cy")
        self.start(cy)
        ann.contacts.accept(cy.key, "cy", 0.0)
        ann.contacts.met(cy.key, "cy", cy.address, 0.0)
        ann.journal.is_slow = True
        self.say(ann, cy, "my secret")
        ann.journal.work(1)
        self.network.settle()
        self.assertEqual([], cy.node.callers())

        self.work(ann)

        self.assertEqual(["my secret"], [caller.text for caller in cy.node.callers()])
        self.assertEqual(1, ann.journal.offered(room_of(ann, cy)))

    def test_what_is_being_taken_back_is_not_shown_at_the_door(self) -> None:
        """
        They are asked without a word.
        """
        ann, cy = self.ann, self.make("cy")
        self.start(cy)
        ann.contacts.accept(cy.key, "cy", 0.0)
        self.successResultOf(ann.node._exchange.posting.post(room_of(ann, cy), "oops").stored)
        ann.journal.is_slow = True
        recalled = ann.node.recall(cy.key)
        ann.contacts.met(cy.key, "cy", cy.address, 0.0)
        ann.node.connect(cy.key, manual=True)
        self.network.settle()

        self.work(ann)

        self.assertEqual("oops", self.successResultOf(recalled))
        self.assertEqual([""], [caller.text for caller in cy.node.callers()])


class MemoryOfPostsTests(ExchangeTestCase):
    """
    What is remembered of what we said.
    """

    def test_what_nobody_waits_for_is_not_kept_in_memory(self) -> None:
        """
        Thousands of texts for somebody who is away are on the disk, and only there.
        """
        posting = self.ann.node._exchange.posting
        self.stop(self.bob)
        for number in range(50):
            self.ann.node.send_text(self.bob.key, f"text {number}")
        self.pass_time(30)

        self.assertEqual(50, len(self.ann.journal.entries))
        self.assertEqual({}, posting._unreceived)

    def test_what_is_answered_is_not_kept_in_memory(self) -> None:
        """
        Neither what was received, nor what was not in time.
        """
        posting = self.ann.node._exchange.posting
        self.sent(self.ann, self.bob, "hello")
        self.assertEqual({}, posting._unreceived)
        self.bob.journal.is_slow = True
        self.say(self.ann, self.bob, "slowly")
        self.assertNotEqual({}, posting._unreceived)

        self.pass_time(LONGEST_RECEIPT + 1)
        self.assertEqual({}, posting._unreceived)
        self.work(self.bob)

        self.assertEqual([1], [event.texts for event in self.ann.told(TextsDelivered)])


class HidingTests(LiarTestCase):
    """
    Somebody who claims to hold much of what they never said.
    """

    def claim(self) -> None:
        """
        Let Mallory say that there is much to come.
        """
        held = {str(MALLORY.key): (10**6, "ab" * 32)}
        self.caller.say(Have(rooms={self.ours.hex(): held}))
        self.network.settle()

    def test_claim_ends_with_its_session(self) -> None:
        """
        What has come is told then, and what comes in the next session is shown.
        """
        self.claim()
        run, entries = self.run_of("one", "two")
        self.send(run)
        self.assertEqual(([], []), (self.ann.heard, self.ann.told(CaughtUp)))

        self.caller.end.loseConnection()
        self.network.settle()

        self.assertEqual([2], [event.texts for event in self.ann.told(CaughtUp)])
        self.caller = self.come(2)
        self.send(self.run_of("three", seq=3, prev=entries[-1].hash)[0])
        self.assertEqual(["three"], self.ann.heard)


class RemovalTests(ExchangeTestCase):
    """
    What goes to somebody who is removed.
    """

    def test_what_is_said_right_behind_a_removal_is_not_for_the_removed(self) -> None:
        """
        They are told that they are out, and nothing that was said after it.
        """
        made = self.ann.node.make_room("garden")
        self.network.settle()
        room = RoomId(self.successResultOf(made).room)
        for doing in (
            lambda: self.ann.node.add_to(room, self.bob.key),
            lambda: self.bob.node.join(room),
        ):
            done = doing()
            self.pass_time(2)
            self.successResultOf(done)

        self.ann.journal.is_slow = True
        self.ann.node.send_text(room, "one")
        self.ann.node.remove_from(room, self.bob.key)
        self.ann.node.send_text(room, "now that Bob is gone")
        while self.ann.journal.waiting:
            self.ann.journal.work(1)
            self.network.settle()
        self.work(self.ann)
        self.pass_time(3)

        self.assertEqual(RoomChange.REMOVED, self.bob.told(RoomChanged)[-1].change)
        self.assertEqual(["one"], [event.text for event in self.bob.told(RoomTextReceived)])
        self.assertEqual("now that Bob is gone", texts_in(self.ann.journal)[-1])
        self.assertNotIn("now that Bob is gone", texts_in(self.bob.journal))
