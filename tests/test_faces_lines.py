"""
The plain screen: standard input and output as lines.
"""

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface.verify import verifyObject

from twistedchat.faces import lines
from twistedchat.faces.lines import (
    LONGEST_CLOSE,
    LONGEST_LINE,
    MOST_AT_ONCE,
    WRITE_INTERVAL,
    LineScreen,
)
from twistedchat.faces.screens import IScreen
from twistedchat.testing import RecordingOperator


class LineScreenTestCase(SynchronousTestCase):
    """
    A screen on a transport in memory.
    """

    @override
    def setUp(self) -> None:
        """
        Connect it.
        """
        self.clock = Clock()
        self.clock.advance(1000)
        self.operator = RecordingOperator()
        self.screen = LineScreen(self.operator, self.clock)
        self.transport = StringTransport()
        self.screen.makeConnection(self.transport)

    def written(self) -> str:
        """
        What was written since the last time, with what waits for its moment.
        """
        self.clock.advance(WRITE_INTERVAL)
        value: bytes = self.transport.value()
        self.transport.clear()
        return value.decode()

    @property
    def flow(self) -> IPushProducer:
        """
        What the transport tells how the reading goes.
        """
        return IPushProducer(self.transport.producer)

    def stop_reading(self) -> None:
        """
        Let the other side stop reading.
        """
        self.flow.pauseProducing()

    def go_on_reading(self) -> None:
        """
        Let the other side go on reading.
        """
        self.flow.resumeProducing()


class TypingTests(LineScreenTestCase):
    """
    What comes in.
    """

    def test_screen_is_one(self) -> None:
        """
        It gives all that is promised, and can be half closed.
        """
        self.assertTrue(verifyObject(IScreen, self.screen))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.screen))

    def test_lines_are_handed_over(self) -> None:
        """
        Lines come as they were typed, however they arrive, without their ends.
        """
        for piece in (b"one\ntw", b"o\n", b" three \r\n\n"):
            self.screen.dataReceived(piece)

        self.assertEqual(["one", "two", " three ", ""], self.operator.typed)

    def test_invalid_utf8_is_read_with_replacements(self) -> None:
        """
        Bytes that are no text are no reason to end.
        """
        self.screen.dataReceived(b"na\xefve\n")

        self.assertEqual(["na\ufffdve"], self.operator.typed)

    def test_paused_hands_nothing_over(self) -> None:
        """
        Lines that have arrived wait until they are wanted, and reading stops.
        """
        self.screen.pause()
        self.screen.dataReceived(b"one\ntwo\n")
        self.assertEqual([], self.operator.typed)
        self.assertEqual("paused", self.transport.producerState)

        self.screen.resume()

        self.assertEqual(["one", "two"], self.operator.typed)
        self.assertEqual("producing", self.transport.producerState)

    def test_paused_by_a_line_holds_the_next(self) -> None:
        """
        A line that pauses the screen keeps those behind it waiting, though they have arrived.
        """
        screen, typed = self.screen, self.operator.typed

        class Pausing(RecordingOperator):
            """
            Lets no further line come.
            """

            @override
            def line_typed(self, line: str) -> None:
                typed.append(line)
                screen.pause()

        screen._operator = Pausing()
        screen.dataReceived(b"one\ntwo\nthree\n")
        self.assertEqual(["one"], typed)

        screen.resume()

        self.assertEqual(["one", "two"], typed)

    def test_line_that_is_too_long_is_passed_over(self) -> None:
        """
        A line of any length is told once, and the lines behind it are handed over.
        """
        for _ in range(3):
            self.screen.dataReceived(b"a" * LONGEST_LINE)
        self.screen.dataReceived(b"the end\nnext\n")

        self.assertEqual(1, len(self.operator.too_long))
        self.assertGreater(self.operator.too_long[0], LONGEST_LINE)
        self.assertEqual(["next"], self.operator.typed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_line_that_is_too_long_in_one_piece_is_passed_over(self) -> None:
        """
        The same where its end arrives with it, and others behind it.
        """
        self.screen.dataReceived(b"first\n" + b"a" * (LONGEST_LINE + 1) + b"\nnext\nlast\n")
        self.clock.advance(0)

        self.assertEqual([LONGEST_LINE + 1], self.operator.too_long)
        self.assertEqual(["first", "next", "last"], self.operator.typed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_longest_line_is_handed_over(self) -> None:
        """
        A line of exactly `LONGEST_LINE` bytes is left to the menu to judge.
        """
        self.screen.dataReceived(b"a" * LONGEST_LINE + b"\n")

        self.assertEqual(["a" * LONGEST_LINE], self.operator.typed)
        self.assertEqual([], self.operator.too_long)

    def test_last_line_without_its_end_counts(self) -> None:
        """
        What was typed before the end of the input is a line, and comes before the end is told.
        """
        self.screen.dataReceived(b"one\ntwo")
        self.assertEqual(["one"], self.operator.typed)

        self.screen.readConnectionLost()

        self.assertEqual(["one", "two"], self.operator.typed)
        self.assertEqual(1, self.operator.inputs_ended)

    def test_end_of_input_tells_no_empty_line(self) -> None:
        """
        An input that ends with a whole line, or in one that is too long, has no last line.
        """
        self.screen.dataReceived(b"one\n")
        self.screen.readConnectionLost()
        self.assertEqual(["one"], self.operator.typed)

        self.screen.dataReceived(b"a" * (LONGEST_LINE + 1))
        self.screen.dataReceived(b"the rest")
        self.screen.readConnectionLost()

        self.assertEqual(["one"], self.operator.typed)
        self.assertEqual(2, self.operator.inputs_ended)


class ShowingTests(LineScreenTestCase):
    """
    What goes out.
    """

    def test_pictures_are_left_out(self) -> None:
        """
        What only eyes can read is nothing for a script; what says the same in words is.
        """
        self.screen.show([(("link", "p2pchat:1"),), (("picture", "\u2588\u2580"),), ()])

        self.assertEqual("p2pchat:1\n\n", self.written())

    def test_lines_are_written_without_styles(self) -> None:
        """
        Each line is one line, in plain text.
        """
        self.screen.show([(("time", "12:00"), ("", " "), ("text", "hé")), (("", "next"),)])

        self.assertEqual("12:00 hé\nnext\n", self.written())

    def test_line_breaks_stay_inside_a_line(self) -> None:
        """
        A text with line breaks is one event, and so one line.
        """
        self.screen.show([(("text", "one\ntwo"),)])

        self.assertEqual("one␊two\n", self.written())

    def test_question_is_a_line(self) -> None:
        """
        Whoever reads lines gets the question as one.
        """
        self.screen.ask("Enter your choice: ")

        self.assertEqual("Enter your choice:\n", self.written())

    def test_words_are_not_written(self) -> None:
        """
        There is nothing to complete.
        """
        self.screen.offer(["Ann"])

        self.assertEqual("", self.written())

    def test_reader_that_stops_gets_it_later(self) -> None:
        """
        What nobody reads is kept, and written in order when it is read again.
        """
        self.screen.ask("one")
        self.stop_reading()
        self.screen.ask("two")
        self.screen.ask("three")
        self.assertEqual("one\n", self.written())

        self.go_on_reading()
        self.screen.ask("four")

        self.assertEqual("two\nthree\nfour\n", self.written())

    def test_reader_that_stops_between_two_writes_gets_it_later(self) -> None:
        """
        What waits for its moment when the reader stops waits for the reader then.
        """
        self.patch(lines, "MOST_AT_ONCE", 1)
        self.screen.ask("one")
        self.screen.ask("two")
        self.stop_reading()
        self.assertEqual("one\n", self.written())

        self.go_on_reading()

        self.assertEqual("two\n", self.written())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_few_lines_are_written_at_once(self) -> None:
        """
        Nobody waits for a line that comes alone, or with a few others.
        """
        for _ in range(2):
            for _ in range(MOST_AT_ONCE):
                self.screen.ask("one")
            self.assertEqual(MOST_AT_ONCE * b"one\n", self.transport.value())
            self.transport.clear()
            self.clock.advance(2 * WRITE_INTERVAL)

        self.assertEqual([], self.clock.getDelayedCalls())

    def test_many_lines_are_written_together(self) -> None:
        """
        Of many lines in a moment the first ones go at once, and the others in one write.
        """
        self.patch(lines, "MOST_AT_ONCE", 1)
        writes: list[bytes] = []
        self.patch(self.transport, "write", writes.append)

        for word in ("one", "two", "three"):
            self.screen.ask(word)
        self.assertEqual([b"one\n"], writes)
        self.clock.advance(WRITE_INTERVAL)

        self.assertEqual([b"one\n", b"two\nthree\n"], writes)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_burst_for_a_reader_that_keeps_up_is_written_whole(self) -> None:
        """
        Nothing is left out while somebody reads, however much comes in one moment.
        """
        self.patch(lines, "MOST_AT_ONCE", 1)
        self.patch(lines, "MOST_UNREAD", 10)

        for word in ("12345", "789", "abcdef", "x"):
            self.screen.ask(word)

        self.assertEqual("12345\n789\nabcdef\nx\n", self.written())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_too_much_unread_is_left_out_and_told(self) -> None:
        """
        Beyond the bound lines are left out, whatever their length; how many is told at the end.
        """
        self.patch(lines, "MOST_UNREAD", 10)
        self.stop_reading()
        for word in ("12345", "789", "abcdef", "x"):
            self.screen.ask(word)

        self.go_on_reading()

        self.assertEqual("12345\n789\n(2 lines were left out: nobody read them)\n", self.written())
        self.stop_reading()
        self.screen.ask("again")
        self.go_on_reading()
        self.assertEqual("again\n", self.written())


class TakenTests(LineScreenTestCase):
    """
    `LineScreen.taken`.
    """

    def test_reader_that_keeps_up_has_taken_all(self) -> None:
        """
        What was written at once has been taken.
        """
        self.screen.ask("one")

        self.successResultOf(self.screen.taken())

    def test_what_waits_for_its_moment_is_written_now(self) -> None:
        """
        Whoever has very much to show is not held up for the sake of fewer writes.
        """
        for _ in range(MOST_AT_ONCE + 1):
            self.screen.ask("one")

        self.successResultOf(self.screen.taken())

        self.assertEqual((MOST_AT_ONCE + 1) * b"one\n", self.transport.value())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_reader_that_stopped_has_taken_when_it_goes_on(self) -> None:
        """
        With something left to write, or nothing, nobody is told to go on before the reader does.
        """
        for words in [[], ["one"]]:
            self.stop_reading()
            for word in words:
                self.screen.ask(word)
            first, second = self.screen.taken(), self.screen.taken()
            self.clock.advance(60)
            self.assertNoResult(first)
            self.assertNoResult(second)

            self.go_on_reading()

            self.successResultOf(first)
            self.successResultOf(second)

    def test_write_that_fills_the_pipe_is_not_taken(self) -> None:
        """
        A transport that says stop in the middle of a write is believed.
        """
        self.patch(self.transport, "write", lambda data: self.stop_reading())
        self.screen.ask("one")
        taken = self.screen.taken()

        self.assertNoResult(taken)
        self.go_on_reading()
        self.successResultOf(taken)

    def test_lost_output_takes_no_more(self) -> None:
        """
        Whoever waits when the reader is lost is not left waiting, nor whoever comes later.
        """
        for lose in [LineScreen.writeConnectionLost, LineScreen.connectionLost]:
            self.setUp()
            self.stop_reading()
            taken = self.screen.taken()
            lose(self.screen)
            self.successResultOf(taken)
            self.successResultOf(self.screen.taken())

    def test_person_at_a_poor_terminal_is_one(self) -> None:
        """
        Whether a person sits there is known by whoever made the screen.
        """
        self.assertFalse(self.screen.is_interactive)
        screen = LineScreen(self.operator, self.clock, is_interactive=True)
        self.assertTrue(screen.is_interactive)


class EndTests(LineScreenTestCase):
    """
    How it ends.
    """

    def test_close_writes_what_is_left(self) -> None:
        """
        What nobody has read yet is written before the end, and what was left out is told.
        """
        self.patch(lines, "MOST_UNREAD", 10)
        self.stop_reading()
        for word in ("12345", "789", "abcdef"):
            self.screen.ask(word)

        closed = self.screen.close()

        self.assertEqual("12345\n789\n(1 lines were left out: nobody read them)\n", self.written())
        self.assertIsNone(self.transport.producer)
        self.assertTrue(self.transport.disconnecting)
        self.assertNoResult(closed)
        self.screen.connectionLost()
        self.successResultOf(closed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_close_writes_what_waits_for_its_moment(self) -> None:
        """
        The last lines are written before the end, and not after it.
        """
        self.patch(lines, "MOST_AT_ONCE", 1)
        for word in ("one", "two", "three"):
            self.screen.ask(word)

        closed = self.screen.close()

        self.assertEqual(b"one\ntwo\nthree\n", self.transport.value())
        self.screen.connectionLost()
        self.successResultOf(closed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_close_waits_two_seconds_at_most(self) -> None:
        """
        A reader that never comes back does not keep the chat.
        """
        closed = self.screen.close()

        self.clock.advance(LONGEST_CLOSE)

        self.successResultOf(closed)
        self.screen.connectionLost()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost_output_is_told(self) -> None:
        """
        When nobody reads any more that is told, nothing more is written, and the end is at once.
        """
        self.screen.ask("one")
        self.screen.ask("two")
        self.transport.clear()
        self.screen.writeConnectionLost()
        self.screen.ask("three")

        self.assertEqual(1, self.operator.outputs_lost)
        self.assertEqual("", self.written())
        self.successResultOf(self.screen.close())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost_connection_closes_at_once(self) -> None:
        """
        A screen that is lost already has nothing to wait for.
        """
        self.screen.connectionLost(Failure(ConnectionLost()))

        self.screen.ask("one")

        self.assertEqual("", self.written())
        self.successResultOf(self.screen.close())

    def test_transport_that_ends_stops_the_writing(self) -> None:
        """
        A transport that is lost says so to what writes to it: nothing more is written.
        """
        self.flow.stopProducing()

        self.screen.ask("one")

        self.assertEqual("", self.written())
