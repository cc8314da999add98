"""
How things are put: every line that a person reads.
"""

import re
from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import wcswidth

from tests.strategies import any_texts, peer_names
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind
from twistedchat.core.events import (
    CallerCame,
    CaughtUp,
    ConnectReceived,
    Event,
    ExitReceived,
    ForkSeen,
    LetIn,
    NearbyChanged,
    OutOfStep,
    PeerAdded,
    PeerChanged,
    PeerRemoved,
    PlainNotKept,
    PlainTextReceived,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    Sent,
    SessionOpened,
    Speaker,
    StoreFailed,
    TextReceived,
    TextsDelivered,
    TextsRead,
    TextsStranded,
    UnknownTextReceived,
)
from twistedchat.core.history import LineOfHistory, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite, qr_lines
from twistedchat.core.nearby import Nearby
from twistedchat.core.roster import Peer, RoomId
from twistedchat.core.trust import Caller, Contact, Decision, Reason
from twistedchat.core.wording import (
    Line,
    Lists,
    Quote,
    Row,
    caller_row,
    contact_row,
    decided_line,
    decision_lines,
    event_lines,
    failed_connection_line,
    given_back_lines,
    history_lines,
    invite_lines,
    label_of,
    late_lines,
    lists_lines,
    member_row,
    name_of,
    namesakes_lines,
    nearby_row,
    not_sent_lines,
    notice,
    passage_lines,
    peer_row,
    people_lines,
    recalled_line,
    refusal,
    room_choice_lines,
    room_label,
    room_row,
    rooms_lines,
    sent_line,
    shown_name,
    still_late_lines,
    trust_lines,
    unread_line,
    unread_lines,
    verified_line,
    waits_lines,
    with_unread,
    words_differ_lines,
    words_lines,
)

QUOKKA = Address("10.0.0.1", 6101)
PANDA = Address("fd00::2", 6202)
WHALE = DeviceKey(b"\x1a" * 32)
EVE = DeviceKey(b"\xee" * 32)
BLUE = Contact(WHALE, "Blue Whales", is_verified=True, addresses=(QUOKKA,))
LABEL = "Blue Whales\u00b71a1a1a1a"
CLASS = RoomRecord(b"\xc1" * 32, Stay.JOINED, "class", EVE, WHALE)
# Local time, as it is shown.
SIX_PAST_SIX = datetime(2026, 3, 4, 18, 6).timestamp()


def bare(line: Line) -> str:
    """
    A line as a pipe shows it.
    """
    return "".join(text for _, text in line)


def bares(lines: list[Line]) -> list[str]:
    """
    Lines as a pipe shows them, without the blanks that fill a column.
    """
    return [bare(line).rstrip() for line in lines]


class EventLinesTests(SynchronousTestCase):
    """
    `event_lines`.
    """

    def test_text_is_shown_with_time_and_sender(self) -> None:
        """
        A plain text is marked as one, and tells when it came, and from where.
        """
        event = PlainTextReceived(QUOKKA, "Quokka", Dialect.PLAIN, "see you", SIX_PAST_SIX)

        self.assertEqual(["18:06 [plain] 10.0.0.1:6101 Quokka: see you"], bares(event_lines(event)))

    def test_time_is_that_of_the_minute(self) -> None:
        """
        From its first second to its last a minute is told as itself, in any order.
        """
        for passed, told in [(0, "18:06"), (59.9, "18:06"), (60, "18:07"), (-0.1, "18:05")] * 2:
            event = UnknownTextReceived("10.0.0.1", "?", SIX_PAST_SIX + passed)

            self.assertEqual(told, bares(event_lines(event))[0][:5])

    def test_nameless_text_says_so(self) -> None:
        """
        Who claims no name is not shown with an empty one.
        """
        event = PlainTextReceived(PANDA, None, Dialect.PLAIN, "hi", SIX_PAST_SIX)

        self.assertEqual(["18:06 [plain] [fd00::2]:6202 (no name): hi"], bares(event_lines(event)))

    def test_unknown_text_has_no_port(self) -> None:
        """
        A text from nobody tells only the host it came from.
        """
        event = UnknownTextReceived("10.0.0.1", "GET /", SIX_PAST_SIX)

        self.assertEqual(
            ["18:06 [plain] 10.0.0.1 unknown sender: GET /"], bares(event_lines(event))
        )

    def test_connection_tells_the_text_it_came_by(self) -> None:
        """
        A connect text is no chat, but it is told.
        """
        event = ConnectReceived(QUOKKA, "Quokka", "manual connection message", SIX_PAST_SIX)

        self.assertEqual(
            ["18:06 [plain] 10.0.0.1:6101 Quokka connected to you (manual connection message)"],
            bares(event_lines(event)),
        )

    def test_exit_is_told(self) -> None:
        """
        A leave is told with the name that was last known.
        """
        event = ExitReceived(QUOKKA, "Quokka", SIX_PAST_SIX)

        self.assertEqual(["18:06 [plain] 10.0.0.1:6101 Quokka left"], bares(event_lines(event)))

    def test_changes_of_the_lists_are_no_news(self) -> None:
        """
        What only changes the lists is seen in them.
        """
        peer = Peer(QUOKKA)
        events: list[Event] = [
            PeerAdded(peer),
            PeerChanged(peer),
            PeerRemoved(peer),
            NearbyChanged(),
        ]
        for event in events:
            self.assertEqual([], event_lines(event))

    def test_text_keeps_its_lines_and_nothing_else_does(self) -> None:
        """
        Only the fragment that a face indents may hold line breaks.
        """
        event = PlainTextReceived(QUOKKA, "Quo\nkka", Dialect.PLAIN, "one\r\ntwo", SIX_PAST_SIX)

        [line] = event_lines(event)

        self.assertEqual(("name", "Quo\u240akka"), line[-3])
        self.assertEqual(("text", "one\ntwo"), line[-1])

    def test_secure_text_is_marked_by_what_is_proven(self) -> None:
        """
        A secure text tells from whom it is, and whether that was compared.
        """
        for contact, mark in [(BLUE, "verified"), (Contact(WHALE, "Blue Whales"), "secure")]:
            self.assertEqual(
                [f"18:06 [{mark}] {LABEL}: see you"],
                bares(event_lines(TextReceived(contact, "see you", SIX_PAST_SIX))),
            )

    def test_session_is_told_where_the_other_side_began_it(self) -> None:
        """
        What we opened ourselves is no news.
        """
        self.assertEqual(
            [f"18:06 [verified] {LABEL} connected to you"],
            bares(event_lines(SessionOpened(BLUE, False, SIX_PAST_SIX))),
        )
        self.assertEqual([], event_lines(SessionOpened(BLUE, True, SIX_PAST_SIX)))

    def test_exit_of_a_secure_peer_is_told(self) -> None:
        """
        Whoever leaves with a key is called by it.
        """
        for name, label in [("Blue Whales", LABEL), (None, "(no name)\u00b71a1a1a1a")]:
            self.assertEqual(
                [f"18:06 [secure] {label} left"],
                bares(event_lines(ExitReceived(WHALE, name, SIX_PAST_SIX))),
            )

    def test_fate_of_what_waited_is_told(self) -> None:
        """
        Being let in, what was delivered late, and what lost its recipient, in words.
        """
        told: list[tuple[Event, list[str]]] = [
            (LetIn(BLUE), [f"[verified] {LABEL} let you in."]),
            (TextsDelivered(BLUE, 1), [f"1 text that waited is with {LABEL} now."]),
            (TextsDelivered(BLUE, 2), [f"2 texts that waited are with {LABEL} now."]),
            (
                TextsStranded(BLUE, ("one",)),
                [
                    f"Not sent: 1 text for an old key. Type a to send again, to {LABEL}.",
                    "      It was: one",
                ],
            ),
            (
                TextsStranded(BLUE, ("one\x1b", "two")),
                [
                    f"Not sent: 2 texts for an old key. Type a to send again, to {LABEL}.",
                    "      It was: one\u241b",
                    "      It was: two",
                ],
            ),
            (
                StoreFailed("The disk is full."),
                ["Not kept, and still with whoever said it: The disk is full."],
            ),
            (
                PlainNotKept("The disk is full."),
                [
                    "Plain texts are shown and sent, and are not in the history for now: "
                    "The disk is full."
                ],
            ),
        ]
        for event, lines in told:
            self.assertEqual(lines, bares(event_lines(event)))

    def test_text_in_a_room_tells_the_room_and_the_speaker(self) -> None:
        """
        The room stands where else the level does; a verified speaker's level stands before it.
        """
        for speaker, told in [
            (Speaker(EVE, "Eve"), "18:06 [#class] Eve\u00b7eeeeeeee: see you"),
            (Speaker(WHALE, "Blue Whales", True), f"18:06 [verified #class] {LABEL}: see you"),
        ]:
            event = RoomTextReceived(CLASS, speaker, "see you", SIX_PAST_SIX)
            self.assertEqual([told], bares(event_lines(event)))
        [line] = event_lines(event, {CLASS.room})
        self.assertIn("[verified #class\u00b7c1c1c1c1]", bare(line))

    def test_what_came_while_away_is_one_line(self) -> None:
        """
        How many texts came, from whom or where, and how to read them.
        """
        places: list[tuple[Contact | RoomRecord, int, str]] = [
            (BLUE, 213, f"213 texts came from {LABEL} while you were away: type y to read them."),
            (CLASS, 1, "1 text came in #class while you were away: type y to read it."),
        ]
        for place, texts, told in places:
            self.assertEqual([told], bares(event_lines(CaughtUp(place, texts))))

    def test_every_change_of_a_room_has_its_words(self) -> None:
        """
        What happened, who did it, and what to do; what is bad news is loud.
        """
        eve, blue = Speaker(EVE, "Eve"), Speaker(WHALE, "Blue Whales", True)
        told = {
            RoomChanged(CLASS, RoomChange.INVITED, blue): f"[verified #class] {LABEL} invites you. "
            "Type m to join, or to decline.",
            RoomChanged(CLASS, RoomChange.INVITED, eve): "[#class] Eve\u00b7eeeeeeee invites you. "
            "Type m to join, or to decline.",
            RoomChanged(CLASS, RoomChange.JOINED, None): "[#class] You are in it now.",
            RoomChanged(CLASS, RoomChange.LEFT, None): "[#class] You are not in it any more. "
            "What you got of it stays in your history.",
            RoomChanged(CLASS, RoomChange.REMOVED, None): "[#class] You were removed: "
            "nobody there gets what you write any more.",
            RoomChanged(CLASS, RoomChange.NOT_LET_IN, None): "[#class] Warning: the invitation "
            "was not true. Nobody there has added you.",
            RoomChanged(CLASS, RoomChange.CAME, eve): "[#class] Eve\u00b7eeeeeeee was added",
            RoomChanged(CLASS, RoomChange.WENT, eve): "[#class] Eve\u00b7eeeeeeee left, or was "
            "removed",
        }
        for event, text in told.items():
            [line] = event_lines(event)
            self.assertEqual(text, bare(line))
            is_loud = event.change in (RoomChange.REMOVED, RoomChange.NOT_LET_IN)
            self.assertEqual(is_loud, any(style == "bad" for style, _ in line))
        self.assertEqual(set(RoomChange), {event.change for event in told})

    def test_reading_is_told_in_a_few_words(self) -> None:
        """
        Who has read what we wrote.
        """
        self.assertEqual([f"Read by {LABEL}."], bares(event_lines(TextsRead(BLUE))))

    def test_room_takes_no_leave(self) -> None:
        """
        Whatever is said is said by somebody, and a room is nobody.
        """
        event = ExitReceived(RoomId(CLASS.room), "class", SIX_PAST_SIX)

        self.assertRaises(ValueError, event_lines, event)

    def test_fork_is_a_warning(self) -> None:
        """
        Two texts with one number are told loudly, with whose they are.
        """
        [line] = event_lines(OutOfStep(BLUE))
        self.assertIn("a key is used by two programs", bare(line))
        [line] = event_lines(ForkSeen(BLUE, 7))

        self.assertEqual("bad", line[0][0])
        self.assertTrue(
            bare(line).startswith(
                f"Warning: {LABEL} signed two different texts with one number, 7."
            )
        )

    def test_knock_is_told_with_what_to_do(self) -> None:
        """
        A stranger is shown with address and text, if there is one.
        """
        said = Caller(Reason.KNOCK, EVE, "Eve", QUOKKA, SIX_PAST_SIX, "it's\nme")
        silent = Caller(Reason.KNOCK, EVE, "Eve", QUOKKA, SIX_PAST_SIX)

        [line] = event_lines(CallerCame(said))
        self.assertEqual(
            '18:06 [door] Eve\u00b7eeeeeeee (10.0.0.1:6101) knocks: "it\'s\nme"  '
            "Type t to let it in.",
            bare(line),
        )
        self.assertIn(("text", "it's\nme"), line)
        self.assertEqual(
            ["18:06 [door] Eve\u00b7eeeeeeee (10.0.0.1:6101) knocks.  Type t to let it in."],
            bares(event_lines(CallerCame(silent))),
        )

    def test_other_key_is_told_with_both(self) -> None:
        """
        A key that a contact could have is shown below the one that is known, loudly.
        """
        for reason, what in [
            (Reason.NAMESAKE, " has the name of a contact, but another key."),
            (Reason.NEW_KEY, " answers where a contact was, with another key."),
        ]:
            caller = Caller(reason, EVE, "Blue Whales", QUOKKA, SIX_PAST_SIX, "hi", BLUE)

            lines = event_lines(CallerCame(caller))

            self.assertEqual(
                [
                    f"18:06 [door] Blue Whales\u00b7eeeeeeee (10.0.0.1:6101){what}",
                    '      It says: "hi"',
                    f"      The known key of {LABEL}, and below it this one:",
                    WHALE.fingerprint,
                    EVE.fingerprint,
                    "      Nothing goes to it until you decide with t. Ask your contact by another "
                    "way whether this key is its own.",
                ],
                bares(lines),
            )
            self.assertEqual(("bad", what), lines[0][-1])
            self.assertEqual("bad", lines[-1][0][0])

    def test_missing_key_is_told(self) -> None:
        """
        An address that proves nothing any more is told loudly, with whose it was.
        """
        caller = Caller(Reason.DOWNGRADE, WHALE, "Blue Whales", QUOKKA, SIX_PAST_SIX, "", BLUE)

        lines = event_lines(CallerCame(caller))

        self.assertEqual(
            [
                "18:06 [door] 10.0.0.1:6101 answers without proving who it is, where you met "
                f"{LABEL}.",
                "      Nothing goes there until you decide with t: somebody else may have that "
                "address now, or be between you.",
            ],
            bares(lines),
        )
        self.assertEqual("bad", lines[1][0][0])

    def test_caller_without_a_contact_is_told_all_the_same(self) -> None:
        """
        Where the contact has been forgotten meanwhile, there is one key to show less.
        """
        caller = Caller(Reason.NAMESAKE, EVE, "Blue Whales", QUOKKA, SIX_PAST_SIX)

        self.assertEqual(2, len(event_lines(CallerCame(caller))))

    @given(peer_names(), any_texts(), st.sampled_from(Reason))
    def test_nobody_with_a_key_forges_a_line(self, name: str, text: str, reason: Reason) -> None:
        """
        Whatever a secure peer is called, its lines begin with ours, and the first key is its own.
        """
        contact = Contact(EVE, name)
        caller = Caller(reason, EVE, name, QUOKKA, SIX_PAST_SIX, text, BLUE)
        events: list[Event] = [
            TextReceived(contact, text, SIX_PAST_SIX),
            SessionOpened(contact, False, SIX_PAST_SIX),
            ExitReceived(EVE, name, SIX_PAST_SIX),
            LetIn(contact),
            TextsDelivered(contact, 1),
            TextsStranded(contact, (text,)),
            ForkSeen(contact, 1),
            CaughtUp(contact, 1),
            TextsRead(contact),
            OutOfStep(contact),
            CallerCame(caller),
        ]
        begins = (
            "18:06 [secure] ",
            "18:06 [door] ",
            "[secure] ",
            "1 text that waited is with ",
            "Not sent: 1 text ",
            "Warning: ",
            "1 text came from ",
            "Read by ",
            "      ",
            WHALE.fingerprint,
            EVE.fingerprint,
        )
        for event in events:
            lines = event_lines(event)
            first = re.search("\u00b7([0-9a-f]{8})", bare(lines[0]))
            assert first is not None
            self.assertEqual(EVE.short, first[1])
            for line in lines:
                self.assertTrue(bare(line).startswith(begins), bare(line))
                bare(line).encode()
                for style, fragment in line:
                    shown = fragment.replace("\n", "") if style == "text" else fragment
                    self.assertLessEqual(len(shown.splitlines()), 1)

    @given(
        peer_names(),
        any_texts(),
        any_texts() | st.just("class] Blue Whales\u00b71a1a1a1a: hi"),
        st.booleans(),
    )
    def test_nobody_in_a_room_forges_a_line(
        self, name: str, text: str, room_name: str, is_joined: bool
    ) -> None:
        """
        Whatever a room and those in it are called, nothing but ours stands before the true key.
        """
        stay = Stay.JOINED if is_joined else Stay.INVITED
        room = RoomRecord(CLASS.room, stay, room_name, EVE, EVE)
        events: list[Event] = [
            RoomTextReceived(room, Speaker(EVE, name), text, SIX_PAST_SIX),
            *(RoomChanged(room, change, Speaker(EVE, name)) for change in RoomChange),
            CaughtUp(room, 1),
        ]
        for event in events:
            [line] = event_lines(event)
            shown = bare(line)
            begin = "1 text came in #"
            if not isinstance(event, CaughtUp):
                begin = "18:06 [#" if isinstance(event, RoomTextReceived) else "[#"
                # Only our own brackets: so the first end is the end of the room's name.
                self.assertEqual(1, shown.partition("]")[0].count("["))
                self.assertEqual(" ", shown.partition("]")[2][:1])
            self.assertTrue(shown.startswith(begin), shown)
            shown.encode()
            for style, fragment in line:
                one = fragment.replace("\n", "") if style == "text" else fragment
                self.assertLessEqual(len(one.splitlines()), 1)
        [line] = event_lines(events[0])
        key = re.search("\u00b7([0-9a-f]{8})", bare(line).partition("]")[2])
        assert key is not None
        self.assertEqual(EVE.short, key[1])

    @given(st.none() | any_texts(), any_texts())
    def test_nobody_forges_a_line(self, name: str | None, text: str) -> None:
        """
        Whatever a peer says or is called, its line is one line, with its address at the beginning.
        """
        events: list[Event] = [
            PlainTextReceived(QUOKKA, name, Dialect.PLAIN, text, SIX_PAST_SIX),
            UnknownTextReceived(QUOKKA.host, text, SIX_PAST_SIX),
            ConnectReceived(QUOKKA, name, text, SIX_PAST_SIX),
            ExitReceived(QUOKKA, name, SIX_PAST_SIX),
        ]
        for event in events:
            [line] = event_lines(event)
            self.assertTrue(bare(line).startswith("18:06 [plain] 10.0.0.1"))
            bare(line).encode()
            for style, fragment in line:
                shown = fragment.replace("\n", "") if style == "text" else fragment
                self.assertLessEqual(len(shown.splitlines()), 1)
                self.assertGreaterEqual(wcswidth(shown), 0)


class NoticesTests(SynchronousTestCase):
    """
    Sentences: notices, refusals, and what became of a text.
    """

    def test_sentences_are_disarmed(self) -> None:
        """
        A sentence that quotes what was typed or said is safe to show.
        """
        self.assertEqual((("", "a\u241bb"),), notice("a\x1bb"))
        self.assertEqual((("bad", "a\u241bb\u240a"),), refusal("a\x1bb\n"))

    def test_name_of_peer_has_what_is_proven(self) -> None:
        """
        A name alone proves nothing: an address or a key stands with it.
        """
        self.assertEqual("Quo\u241bkka (10.0.0.1:6101)", name_of(QUOKKA, "Quo\x1bkka"))
        self.assertEqual("10.0.0.1:6101", name_of(QUOKKA, None))
        self.assertEqual(LABEL, name_of(WHALE, "Blue Whales"))
        self.assertEqual("(no name)\u00b71a1a1a1a", name_of(WHALE, None))
        self.assertEqual("#class", name_of(RoomId(CLASS.room), "class"))
        self.assertEqual("#class\u00b7c1c1c1c1", name_of(RoomId(CLASS.room), "class", {CLASS.room}))

    def test_room_is_told_from_its_namesakes(self) -> None:
        """
        A name that others have too, and one that is not known, has something unlike any other.
        """
        for name, namesakes, label in [
            ("class", set[bytes](), "#class"),
            ("class", {b"\0" * 32}, "#class"),
            ("class", {CLASS.room}, "#class\u00b7c1c1c1c1"),
            (None, set(), "#(no name)\u00b7c1c1c1c1"),
            ("class\u00b70b0b0b0b", set(), "#class<U+00B7>0b0b0b0b"),
            ("a [verified] b\x1b", set(), "#a <U+005B>verified<U+005D> b\u241b"),
        ]:
            self.assertEqual(label, room_label(CLASS.room, name, namesakes))

    def test_label_cannot_be_imitated(self) -> None:
        """
        What looks like a key inside a name is shown as what it is; any other dot stays.
        """
        for name, shown in [
            ("Blue Whales\u00b71a1a1a1a", "Blue Whales<U+00B7>1a1a1a1a\u00b7eeeeeeee"),
            ("Blue\u20221A1A1A1A: hi", "Blue<U+2022>1A1A1A1A: hi\u00b7eeeeeeee"),
            ("\u00b7\u00b71a1a1a1a", "\u00b7<U+00B7>1a1a1a1a\u00b7eeeeeeee"),
            ("Paral\u00b7lel \u2022 1a1a1a1a", "Paral\u00b7lel \u2022 1a1a1a1a\u00b7eeeeeeee"),
            ("\u00b71a1a1a1", "\u00b71a1a1a1\u00b7eeeeeeee"),
            ("E\x1bve", "E\u241bve\u00b7eeeeeeee"),
        ]:
            self.assertEqual(shown, label_of(name, EVE))
        self.assertEqual("(no name)", shown_name(None))

    def test_sent_text_is_confirmed(self) -> None:
        """
        What was taken is said, by whom, and in how many parts if not in one.
        """
        for sent, text in [
            (Sent(QUOKKA, Kind.MESSAGE, 1), "Message sent to 10.0.0.1:6101"),
            (Sent(QUOKKA, Kind.MESSAGE, 3), "Message sent to 10.0.0.1:6101 in 3 parts"),
            (Sent(PANDA, Kind.CONNECT, 1), "Connected to [fd00::2]:6202"),
            (Sent(QUOKKA, Kind.EXIT, 1), "Said exit to 10.0.0.1:6101: off the lists"),
            (
                Sent(WHALE, Kind.MESSAGE, 3, Progress.DELIVERED, "Blue Whales"),
                f"Message delivered to {LABEL}",
            ),
            (Sent(WHALE, Kind.CONNECT, 1, name="Blue Whales"), f"Connected to {LABEL}"),
            (
                Sent(WHALE, Kind.EXIT, 1, name="Blue Whales"),
                f"Said exit to {LABEL}: off the lists",
            ),
        ]:
            self.assertEqual((("good", text),), sent_line(sent))

    def test_kept_text_is_told_as_kept(self) -> None:
        """
        What has not arrived is not good news yet.
        """
        for progress, text in [
            (Progress.WAITING, f"Message kept: {LABEL} is away. It goes out when you meet."),
            (
                Progress.AT_THE_DOOR,
                f"Message kept: {LABEL} has not let you in yet. Until then it is shown the "
                "beginning of your first text, and no more.",
            ),
        ]:
            sent = Sent(WHALE, Kind.MESSAGE, 1, progress, "Blue Whales")
            self.assertEqual((("", text),), sent_line(sent))

    def test_text_in_a_room_tells_who_has_it(self) -> None:
        """
        Nobody yet, somebody who hands it on, or everybody.
        """
        for progress, style, text in [
            (Progress.DELIVERED, "good", "Message delivered to everybody in #class"),
            (
                Progress.CARRIED,
                "good",
                "Message is with somebody in #class; it reaches all of them also without you.",
            ),
            (
                Progress.WAITING,
                "",
                "Message kept: nobody else of #class is here. It goes out when you meet one of "
                "them.",
            ),
        ]:
            sent = Sent(RoomId(CLASS.room), Kind.MESSAGE, 1, progress, "class")
            self.assertEqual(((style, text),), sent_line(sent))
            self.assertIn("#class\u00b7c1c1c1c1", bare(sent_line(sent, {CLASS.room})))

    def test_text_for_a_plain_peers_return_is_told(self) -> None:
        """
        That it is kept, that it went, that it is not kept any more, and that it never went.
        """
        self.assertEqual(
            [
                "Kept for 10.0.0.1:6101: tried every minute, and whenever that peer speaks, until "
                "this chat ends or you type w again.",
                "It is: hi\u241b",
            ],
            bares(waits_lines(QUOKKA, "hi\x1b")),
        )
        self.assertEqual(
            ["Message sent to 10.0.0.1:6101", "      It waited. It was: hi\u241b"],
            bares(late_lines(Sent(QUOKKA, Kind.MESSAGE, 1), "hi\x1b")),
        )
        self.assertEqual(
            ["No longer kept for 10.0.0.1:6101. Type a to send it again. It is: hi\u241b"],
            bares(given_back_lines(QUOKKA, "hi\x1b")),
        )
        self.assertEqual([], still_late_lines([]))
        self.assertEqual(
            [
                "Not sent: 1 text for peers that did not come back.",
                "      To 10.0.0.1:6101: hi\u241b",
            ],
            bares(still_late_lines([(QUOKKA, "hi\x1b")])),
        )
        self.assertEqual(
            "Not sent: 2 texts for peers that did not come back.",
            bare(still_late_lines([(QUOKKA, "one"), (PANDA, "two")])[0]),
        )

    def test_recalled_text_is_given_back(self) -> None:
        """
        What was taken back is shown, with its lines; not that nobody has seen any of it.
        """
        line = recalled_line(LABEL, "one\ntwo\x1b")

        self.assertEqual(
            f"Taken back: it does not go to {LABEL}. It was: one\ntwo\u241b", bare(line)
        )
        self.assertEqual(("text", "one\ntwo\u241b"), line[-1])

    def test_unsent_text_is_given_back(self) -> None:
        """
        Nothing that was typed is lost, and what was typed is safe to show.
        """
        lines = not_sent_lines(QUOKKA, "Refused\x1b.", "one\ntwo\x1b", is_away=True)

        self.assertEqual(
            [
                "Not sent to 10.0.0.1:6101. Refused\u241b.",
                "Type w to have it sent when that peer is back.",
                "Type a to send it again. It was: one\ntwo\u241b",
            ],
            bares(lines),
        )
        self.assertEqual(("text", "one\ntwo\u241b"), lines[2][-1])
        # Where it would not help; and others than plain ones wait by themselves.
        for lines in [
            not_sent_lines(QUOKKA, "Not kept.", "hi"),
            not_sent_lines(WHALE, "Refused.", "hi", "Blue Whales", is_away=True),
            not_sent_lines(RoomId(CLASS.room), "Refused.", "hi", "class", {CLASS.room}),
        ]:
            self.assertEqual("Type a to send it again. It was: hi", bare(lines[1]))
        self.assertEqual("Not sent to #class\u00b7c1c1c1c1. Refused.", bare(lines[0]))

    def test_unsent_text_names_its_recipient(self) -> None:
        """
        A secure peer is called by name and key, a plain one by its address alone.
        """
        for lines in [
            not_sent_lines(WHALE, "Refused.", "x", "Blue Whales"),
            [failed_connection_line(WHALE, "Refused.", "Blue Whales")],
        ]:
            self.assertIn(f"to {LABEL}. Refused.", bare(lines[0]))
        for lines in [
            not_sent_lines(QUOKKA, "Refused.", "x", "Quokka"),
            [failed_connection_line(QUOKKA, "Refused.", "Quokka")],
        ]:
            self.assertIn("to 10.0.0.1:6101. Refused.", bare(lines[0]))

    def test_failed_connection_says_why(self) -> None:
        """
        The reason stands behind the address.
        """
        self.assertEqual(
            "Failed to connect to 10.0.0.1:6101. Refused\u240a",
            bare(failed_connection_line(QUOKKA, "Refused\n")),
        )


class ListsLinesTests(SynchronousTestCase):
    """
    `lists_lines`, and the rows of lists.
    """

    def test_empty_lists_say_so(self) -> None:
        """
        An empty list is told from one that is not shown; those that are not always there are not.
        """
        self.assertEqual(
            [
                "--- Active peers (a message went either way) ---",
                "No active peers.",
                "--- Connected peers (one of you connected to the other) ---",
                "No connected peers.",
            ],
            bares(lists_lines(Lists())),
        )

    def test_rows_are_numbered_and_aligned(self) -> None:
        """
        Everybody has one number and the same columns in each list; who is at the door has none.
        """
        rows = [
            peer_row(Peer(QUOKKA, "Quokka", Dialect.HEADER, last_heard=100.0), 105.0),
            peer_row(Peer(PANDA, "\u718a\u732b", key=EVE, last_heard=95.0), 105.0),
            peer_row(Peer(Address("10.0.0.3", 1)), 105.0),
        ]
        away = contact_row(replace(BLUE, last_met=45.0), 105.0)
        lists = Lists(
            rows,
            rows[1:2],
            [away, contact_row(Contact(DeviceKey(b"\0" * 32), "Zoe"), 105.0)],
            [
                nearby_row(Nearby("x", (Address("10.0.0.4", 2), QUOKKA)), None),
                nearby_row(Nearby("y", (Address("10.0.0.5", 3),), WHALE), BLUE),
            ],
            callers=[caller_row(Caller(Reason.NEW_KEY, EVE, "Eve", QUOKKA, 100.0), 105.0)],
        )

        self.assertEqual(
            [
                "--- Active peers (a message went either way) ---",
                "1. 10.0.0.1:6101   Quokka                plain     heard 5 s ago",
                "2. [fd00::2]:6202  \u718a\u732b\u00b7eeeeeeee         secure    heard 10 s ago",
                "3. 10.0.0.3:1      (no name)             plain     not heard yet",
                "--- Connected peers (one of you connected to the other) ---",
                "2. [fd00::2]:6202  \u718a\u732b\u00b7eeeeeeee         secure    heard 10 s ago",
                "--- Known, but away ---",
                f"4. 10.0.0.1:6101   {LABEL}  verified  met 1 min ago",
                "5. -               Zoe\u00b700000000          secure    not met yet",
                "--- Nearby (found on this network) ---",
                "6. 10.0.0.4:2      unknown               -         never met",
                f"4. 10.0.0.5:3      {LABEL}  verified  seems to be here",
                "--- At the door (decide with t) ---",
                "   10.0.0.1:6101   Eve\u00b7eeeeeeee          door      "
                "has another key than a contact, 5 s ago",
            ],
            bares(lists_lines(lists)),
        )
        self.assertEqual(
            (
                QUOKKA,
                EVE,
                Address("10.0.0.3", 1),
                WHALE,
                DeviceKey(b"\0" * 32),
                Address("10.0.0.4", 2),
            ),
            lists.numbered,
        )

    def test_many_rows_stay_aligned(self) -> None:
        """
        From ten on the numbers have two digits, and the columns stand where they stood.
        """
        rows = [peer_row(Peer(Address("10.0.0.1", port), "x"), 0.0) for port in range(1000, 1010)]

        lines = bares(lists_lines(Lists(rows)))

        self.assertEqual("1.  10.0.0.1:1000  x  plain     not heard yet", lines[1])
        self.assertEqual("10. 10.0.0.1:1009  x  plain     not heard yet", lines[10])

    def test_mark_tells_what_is_proven(self) -> None:
        """
        Plain, secure, verified and blocked are told apart, also by colour.
        """
        for row, mark in [
            (peer_row(Peer(QUOKKA, "Quokka"), 0.0), ("mark", "plain")),
            (peer_row(Peer(QUOKKA, "Eve", key=EVE), 0.0), ("good", "secure")),
            (peer_row(Peer(QUOKKA, "Eve", key=EVE, is_verified=True), 0.0), ("good", "verified")),
            (contact_row(Contact(EVE, "Eve"), 0.0), ("good", "secure")),
            (contact_row(BLUE, 0.0), ("good", "verified")),
            (contact_row(Contact(EVE, "Eve", is_blocked=True), 0.0), ("bad", "blocked")),
            (nearby_row(Nearby("x", (QUOKKA,)), None), ("mark", "-")),
        ]:
            self.assertEqual(mark, row.mark)

    def test_time_since_is_told_in_the_largest_unit(self) -> None:
        """
        Seconds, minutes, hours, days; and never a time to come.
        """
        for seconds, told in [
            (-50.0, "0 s"),
            (0.0, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (3599.0, "59 min"),
            (3600.0, "1 h"),
            (86399.0, "23 h"),
            (86400.0, "1 d"),
            (864000.0, "10 d"),
        ]:
            peer = Peer(QUOKKA, "Quokka", Dialect.PLAIN, last_heard=1e9)
            self.assertEqual(f"heard {told} ago", peer_row(peer, 1e9 + seconds).news)

    @given(st.lists(peer_names(), min_size=1, max_size=4))
    def test_columns_are_straight(self, names: list[str]) -> None:
        """
        Whatever peers are called, each has one row, and the rows line up.
        """
        rows: list[Row] = []
        for port, name in enumerate(names, start=1):
            peer = Peer(Address("10.0.0.1", port), name, Dialect.PLAIN, last_heard=0.0)
            rows.append(peer_row(peer, 0.0))

        lines = lists_lines(Lists(rows))[1 : 1 + len(names)]

        self.assertEqual(1, len({wcswidth(bare(line)) for line in lines}))
        for line in lines:
            self.assertEqual(1, len(bare(line).splitlines()))

    def test_namesakes_are_numbered(self) -> None:
        """
        Whoever could be meant has a number, and it is told what to do with it.
        """
        rows = [peer_row(Peer(QUOKKA, "Bob"), 0.0), peer_row(Peer(PANDA, "Bob", key=EVE), 0.0)]

        self.assertEqual(
            [
                "1. 10.0.0.1:6101   Bob           plain     not heard yet",
                "2. [fd00::2]:6202  Bob\u00b7eeeeeeee  secure    not heard yet",
                "2 could be meant: give the number or the address of the one.",
            ],
            bares(namesakes_lines(rows)),
        )


class RoomLinesTests(SynchronousTestCase):
    """
    What is shown of rooms.
    """

    def test_room_tells_what_we_have_to_do_with_it(self) -> None:
        """
        In it, with how many; invited, by whom; or left.
        """
        room = ("good", "room")
        for row, mark, news in [
            (room_row(CLASS, 0, None), room, "nobody met yet"),
            (room_row(CLASS, 1, None), room, "only you"),
            (room_row(CLASS, 2, None), room, "2 people"),
            (
                room_row(replace(CLASS, stay=Stay.INVITED), 0, "Blue Whales"),
                ("mark", "invited"),
                f"by {LABEL}",
            ),
            (
                room_row(replace(CLASS, stay=Stay.LEFT), 2, None),
                ("bad", "left"),
                "only its history is here",
            ),
        ]:
            self.assertEqual((mark, news), (row.mark, row.news))
            self.assertEqual((RoomId(CLASS.room), ""), (row.recipient, row.address))
            self.assertEqual("#class", bare(row.name))
        self.assertEqual("#class\u00b7c1c1c1c1", bare(room_row(CLASS, 1, None, {CLASS.room}).name))

    def test_unread_texts_are_counted_behind(self) -> None:
        """
        A row tells how many texts are unread, if there are any.
        """
        row = room_row(CLASS, 2, None)

        self.assertEqual("2 people, 3 unread", with_unread(row, 3).news)
        self.assertEqual(row, with_unread(row, 0))

    def test_rooms_are_numbered_without_a_column_of_addresses(self) -> None:
        """
        No room has an address; and that there are none is said.
        """
        self.assertEqual(
            [
                "--- Rooms (make, join, leave and more with m) ---",
                "1. #class  room      2 people",
            ],
            bares(rooms_lines([room_row(CLASS, 2, None)])),
        )
        self.assertEqual("No rooms.", bare(rooms_lines([])[1]))

    def test_people_are_told_apart(self) -> None:
        """
        Who founded it, who was verified, and who is us.
        """
        rows = [
            member_row(Speaker(WHALE, "Blue Whales", True), is_us=False, is_founder=True),
            member_row(Speaker(EVE, "Eve"), is_us=False, is_founder=False),
            member_row(Speaker(DeviceKey(b"\0" * 32), "Zoe", True), is_us=True, is_founder=False),
        ]

        self.assertEqual(
            [
                "--- People in #class ---",
                f"1. {LABEL}  verified  founded it",
                "2. Eve\u00b7eeeeeeee          secure",
                "3. Zoe\u00b700000000          you",
            ],
            bares(people_lines("#class", rows)),
        )

    def test_every_letter_in_a_room_has_its_words(self) -> None:
        """
        What can be done is told, each differently.
        """
        lines = bares(room_choice_lines("#class", "whpaxjld"))

        self.assertEqual("Choose what to do in #class:", lines[0])
        self.assertEqual([f"{letter} - " for letter in "whpaxjld"], [x[:4] for x in lines[1:]])
        self.assertEqual(8, len({line[4:] for line in lines[1:]}))

    def test_unread_texts_are_told(self) -> None:
        """
        How many there are, in how many conversations, and in which.
        """
        self.assertEqual("1 unread in 1 conversation: type y to read it.", bare(unread_line(1, 1)))
        self.assertEqual(
            "3 unread in 2 conversations: type y to read them.", bare(unread_line(3, 2))
        )
        self.assertEqual(
            ["--- Unread ---", "1. #class  room      2 people, 3 unread"],
            bares(unread_lines([with_unread(room_row(CLASS, 2, None), 3)])),
        )


def quote(
    text: str = "hi",
    *,
    number: int = 1,
    is_ours: bool = False,
    is_verified: bool = False,
    progress: Progress | None = None,
    later: float = 0.0,
) -> Quote:
    """
    Something that was said between the Blue Whales and us.
    """
    author = EVE if is_ours else WHALE
    time = SIX_PAST_SIX + later
    line = LineOfHistory(number, b"room", author, None, is_ours, number, time, text)
    return Quote(line, WHALE, "Blue Whales", "Blue Whales", is_verified, progress)


def in_room(said: Quote, name: str | None = "class") -> Quote:
    """
    The same, said in a room.
    """
    return replace(
        said, line=replace(said.line, place=CLASS.room), recipient=RoomId(CLASS.room), name=name
    )


def in_plain(said: Quote, name: str | None = "Quokka") -> Quote:
    """
    The same, said in plain.
    """
    return replace(
        said, line=replace(said.line, place=QUOKKA, author=None, name=name), recipient=QUOKKA
    )


class HistoryLinesTests(SynchronousTestCase):
    """
    `history_lines` and `passage_lines`.
    """

    def test_line_tells_how_it_came_and_from_whom(self) -> None:
        """
        Each tells what was proven, who said it, and where.
        """
        for said, told in [
            (quote(), f"18:06 [secure] {LABEL}: hi"),
            (quote(is_verified=True), f"18:06 [verified] {LABEL}: hi"),
            (quote(is_ours=True), f"18:06 [secure] you to {LABEL}: hi"),
            (in_room(quote()), f"18:06 [#class] {LABEL}: hi"),
            (in_room(quote(is_verified=True)), f"18:06 [verified #class] {LABEL}: hi"),
            (in_room(quote(is_ours=True)), "18:06 [#class] you: hi"),
            (in_room(quote(), None), f"18:06 [#(no name)\u00b7c1c1c1c1] {LABEL}: hi"),
            (in_plain(quote()), "18:06 [plain] 10.0.0.1:6101 Quokka: hi"),
            (in_plain(quote(), None), "18:06 [plain] 10.0.0.1:6101 (no name): hi"),
            (in_plain(quote(is_ours=True)), "18:06 [plain] you to 10.0.0.1:6101: hi"),
            # Whoever has that address now has proven nothing then.
            (
                replace(in_plain(quote(is_verified=True)), recipient=WHALE),
                "18:06 [plain] 10.0.0.1:6101 Quokka: hi",
            ),
            (
                replace(in_plain(quote(is_ours=True)), recipient=WHALE, name="Blue Whales"),
                "18:06 [plain] you to 10.0.0.1:6101: hi",
            ),
        ]:
            self.assertEqual(["--- 2026-03-04 ---", told], bares(history_lines([said])))
        shown = history_lines([in_room(quote())], None, {CLASS.room})
        self.assertEqual(f"18:06 [#class\u00b7c1c1c1c1] {LABEL}: hi", bare(shown[1]))

    def test_ours_tells_how_far_it_has_come(self) -> None:
        """
        Every state has its word.
        """
        for progress, state in {
            Progress.TAKEN: "sent",
            Progress.WAITING: "kept",
            Progress.AT_THE_DOOR: "kept",
            Progress.CARRIED: "carried",
            Progress.DELIVERED: "delivered",
            Progress.READ: "read",
        }.items():
            said = quote(is_ours=True, progress=progress)
            self.assertEqual(
                f"18:06 [secure] you to {LABEL}: hi ({state})", bare(history_lines([said])[1])
            )

    def test_day_stands_where_it_changes(self) -> None:
        """
        On the first line, unless that goes on with a day, and wherever a line is of another one.
        """
        quotes = [quote("one"), quote("two", later=86400), quote("three", later=86400)]

        self.assertEqual(
            ["--- 2026-03-04 ---", "one", "--- 2026-03-05 ---", "two", "three"],
            [line.rpartition(": ")[2] for line in bares(history_lines(quotes))],
        )
        self.assertEqual(
            ["one", "--- 2026-03-05 ---", "two", "three"],
            [line.rpartition(": ")[2] for line in bares(history_lines(quotes, quotes[0].line))],
        )

    def test_hits_are_marked_in_their_passage(self) -> None:
        """
        The day and the place stand above; what was looked for is marked, what is around it not.
        """
        quotes = [quote("one", number=1), quote("two", number=2)]

        self.assertEqual(
            [
                f"--- 2026-03-04, {LABEL} ---",
                f"  18:06 [secure] {LABEL}: one",
                f"> 18:06 [secure] {LABEL}: two",
            ],
            bares(passage_lines(quotes, {2})),
        )
        for said, place in [
            (in_room(quote()), "#class\u00b7c1c1c1c1"),
            (in_plain(quote()), "10.0.0.1:6101"),
        ]:
            lines = passage_lines([said], {1}, {CLASS.room})
            self.assertEqual(f"--- 2026-03-04, {place} ---", bare(lines[0]))

    @given(peer_names(), any_texts(), any_texts(), st.booleans())
    def test_nobody_forges_a_line_of_history(
        self, name: str, text: str, room: str, is_hit: bool
    ) -> None:
        """
        Whatever was said by whoever, each line begins with ours and holds the true key or address.
        """
        said = replace(quote(text), name=name, speaker=name)
        for one, begin, true in [
            (said, "18:06 [secure] ", WHALE.short),
            (in_room(said, room), "18:06 [#", WHALE.short),
            (in_plain(said, name), "18:06 [plain] 10.0.0.1:6101 ", "10.0.0.1:6101"),
        ]:
            title, line = passage_lines([one], {1} if is_hit else set())
            self.assertTrue(bare(title).startswith("--- 2026-03-04, "))
            self.assertTrue(bare(line).startswith(("> " if is_hit else "  ") + begin), bare(line))
            self.assertIn(true, bare(line))
            for style, fragment in (*title, *line):
                shown = fragment.replace("\n", "") if style == "text" else fragment
                self.assertLessEqual(len(shown.splitlines()), 1)
                shown.encode()


class TrustLinesTests(SynchronousTestCase):
    """
    What is shown for deciding, verifying and inviting.
    """

    def test_callers_come_before_contacts(self) -> None:
        """
        All are numbered through; a caller has its text and the keys below it.
        """
        callers = [
            Caller(Reason.KNOCK, EVE, "Eve", QUOKKA, 100.0, "hello"),
            Caller(Reason.NAMESAKE, EVE, "Blue Whales", QUOKKA, 100.0, "", BLUE),
        ]
        since = datetime(2026, 3, 4, 18, 6).timestamp()
        contacts = [
            replace(BLUE, since=since, last_met=since),
            Contact(EVE, "Eve", is_blocked=True, since=since),
        ]

        self.assertEqual(
            [
                "--- At the door ---",
                "1. 10.0.0.1:6101  Eve\u00b7eeeeeeee          door      asks to be let in, 5 s ago",
                '      It says: "hello"',
                "2. 10.0.0.1:6101  Blue Whales\u00b7eeeeeeee  door      "
                "has a contact's name, 5 s ago",
                f"      The known key of {LABEL}, and below it this one:",
                WHALE.fingerprint,
                EVE.fingerprint,
            ],
            bares(trust_lines(callers, [], 105.0)),
        )
        self.assertEqual(
            [
                "--- Contacts ---",
                f"1. 10.0.0.1:6101  {LABEL}  verified  met 0 s ago, known since 2026-03-04",
                "2. -              Eve\u00b7eeeeeeee          blocked   "
                "not met yet, known since 2026-03-04",
            ],
            bares(trust_lines([], contacts, since)),
        )
        self.assertEqual("3. ", bare(trust_lines(callers, contacts, since)[-2])[:3])

    def test_every_decision_has_its_words(self) -> None:
        """
        Whatever can be said about whoever came, it is told before and after.
        """
        for reason in Reason:
            caller = Caller(reason, EVE, "{label}", QUOKKA, 0.0)
            choices = [("x", decision) for decision in caller.decisions]
            lines = bares(decision_lines(caller, choices))
            self.assertEqual("Choose what to do about {label}\u00b7eeeeeeee:", lines[0])
            self.assertEqual(len(choices), len({*lines[1:]}))
            for decision in caller.decisions:
                told = bare(decided_line(caller, decision))
                self.assertIn("{label}\u00b7eeeeeeee", told)
                self.assertNotIn("{address}", told)
        self.assertEqual(
            [
                f"Choose what to do about {LABEL}:",
                "v - Verify it: compare six words with it",
                "f - Forget it: it is a stranger again, and may knock",
            ],
            bares(decision_lines(BLUE, [("v", None), ("f", Decision.FORGET)])),
        )
        self.assertEqual((("good", f"Forgotten: {LABEL}."),), decided_line(BLUE, Decision.FORGET))

    def test_words_are_shown_with_what_to_do(self) -> None:
        """
        A caller has to be let in before it is verified; of a contact the next question is the end.
        """
        words = ("one", "two", "three", "four", "five", "six")

        lines = bares(words_lines(LABEL, words, is_contact=True))

        self.assertEqual("      one two three four five six", lines[1])
        self.assertEqual(3, len(lines))
        self.assertEqual(
            [*lines, "If they are the same, let it in with t, and verify it with v."],
            bares(words_lines(LABEL, words, is_contact=False)),
        )
        self.assertEqual((("good", f"Verified: {LABEL}."),), verified_line(LABEL))
        (line,) = words_differ_lines(LABEL)
        self.assertEqual("bad", line[0][0])
        self.assertIn(f"somebody is between you and {LABEL}", bare(line))

    def test_invite_is_a_link_and_a_picture(self) -> None:
        """
        What is to be copied and what is to be seen are alone on their lines.
        """
        invite = Invite(WHALE, "Blue Whales", (QUOKKA,))

        lines = invite_lines("Blue Whales", invite)

        self.assertEqual((("link", invite.link),), lines[4])
        self.assertEqual([(("picture", row),) for row in qr_lines(invite.link)], lines[5:])
        self.assertEqual((("address", WHALE.fingerprint),), lines[2])
        self.assertLess(len(WHALE.fingerprint), 80)
