"""
How things are put: every line that a person reads.
"""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import wcswidth

from tests.strategies import any_texts, peer_names
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind
from twistedchat.core.events import (
    ConnectReceived,
    Event,
    ExitReceived,
    PeerAdded,
    PeerChanged,
    PeerRemoved,
    PlainTextReceived,
    Sent,
    UnknownTextReceived,
)
from twistedchat.core.roster import Peer, Roster
from twistedchat.core.wording import (
    Line,
    event_lines,
    failed_connection_line,
    lists_lines,
    name_of,
    not_sent_lines,
    notice,
    refusal,
    sent_line,
)

QUOKKA = Address("10.0.0.1", 6101)
PANDA = Address("fd00::2", 6202)
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
        events: list[Event] = [PeerAdded(peer), PeerChanged(peer), PeerRemoved(peer)]
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

    def test_name_of_peer_has_its_address(self) -> None:
        """
        A name alone proves nothing.
        """
        self.assertEqual(
            "Quo\u241bkka (10.0.0.1:6101)", name_of(Peer(QUOKKA, "Quo\x1bkka"), QUOKKA)
        )
        self.assertEqual("10.0.0.1:6101", name_of(Peer(QUOKKA), QUOKKA))
        self.assertEqual("10.0.0.1:6101", name_of(None, QUOKKA))

    def test_sent_text_is_confirmed(self) -> None:
        """
        What was taken is said, by whom, and in how many parts if not in one.
        """
        for sent, text in [
            (Sent(QUOKKA, Kind.MESSAGE, 1), "Message sent to 10.0.0.1:6101"),
            (Sent(QUOKKA, Kind.MESSAGE, 3), "Message sent to 10.0.0.1:6101 in 3 parts"),
            (Sent(PANDA, Kind.CONNECT, 1), "Connected to [fd00::2]:6202"),
            (Sent(QUOKKA, Kind.EXIT, 1), "Said exit to 10.0.0.1:6101: off the lists"),
        ]:
            self.assertEqual((("good", text),), sent_line(sent))

    def test_unsent_text_is_given_back(self) -> None:
        """
        Nothing that was typed is lost, and what was typed is safe to show.
        """
        lines = not_sent_lines(QUOKKA, "Refused\x1b.", "one\ntwo\x1b")

        self.assertEqual(
            [
                "Not sent to 10.0.0.1:6101. Refused\u241b.",
                "Type a to send it again. It was: one\ntwo\u241b",
            ],
            bares(lines),
        )
        self.assertEqual(("text", "one\ntwo\u241b"), lines[1][-1])

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
    `lists_lines`.
    """

    def test_empty_lists_say_so(self) -> None:
        """
        An empty list is told from one that is not shown.
        """
        self.assertEqual(
            [
                "--- Active peers (a message went either way) ---",
                "No active peers.",
                "--- Connected peers (one of you connected to the other) ---",
                "No connected peers.",
            ],
            bares(lists_lines(Roster(), 0.0)),
        )

    def test_connected_peer_has_one_number(self) -> None:
        """
        In both lists a peer has the same row, aligned with the others.
        """
        roster = Roster()
        roster.heard(QUOKKA, "Quokka", Dialect.HEADER, 100.0, connects=False)
        roster.heard(PANDA, "\u718a\u732b", Dialect.ANGLE_TIME, 95.0, connects=True)
        roster.sent(Address("10.0.0.3", 1), messages=1, connects=False)

        self.assertEqual(
            [
                "--- Active peers (a message went either way) ---",
                "1. 10.0.0.1:6101   Quokka     header      heard 5 s ago",
                "2. [fd00::2]:6202  \u718a\u732b       angle-time  heard 10 s ago",
                "3. 10.0.0.3:1      (no name)  -           not heard yet",
                "--- Connected peers (one of you connected to the other) ---",
                "2. [fd00::2]:6202  \u718a\u732b       angle-time  heard 10 s ago",
            ],
            bares(lists_lines(roster, 105.0)),
        )

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
            roster = Roster()
            roster.heard(QUOKKA, "Quokka", Dialect.PLAIN, 1e9, connects=False)
            row = bares(lists_lines(roster, 1e9 + seconds))[1]
            self.assertTrue(row.endswith(f"heard {told} ago"), row)

    @given(st.lists(peer_names(), min_size=1, max_size=4))
    def test_columns_are_straight(self, names: list[str]) -> None:
        """
        Whatever peers are called, each has one row, and the rows line up.
        """
        roster = Roster()
        for port, name in enumerate(names, start=1):
            roster.heard(Address("10.0.0.1", port), name, Dialect.PLAIN, 0.0, connects=True)

        rows = lists_lines(roster, 0.0)[1 : 1 + len(names)]

        self.assertEqual(1, len({wcswidth(bare(row)) for row in rows}))
        for row in rows:
            self.assertEqual(1, len(bare(row).splitlines()))
