"""
The terminal screen, on a keyboard and a paper in memory.

The terminal's thread is run to its end where it is started, and what it hands over to the reactor
is run at once: everything happens in one thread, in one order.
"""

import asyncio
import io
import signal
import threading
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface.verify import verifyObject

from twistedchat.faces import terminal
from twistedchat.faces.screens import IScreen
from twistedchat.faces.terminal import (
    LONGEST_CLOSE,
    REDRAW_INTERVAL,
    TerminalScreen,
    _Words,
)
from twistedchat.testing import RecordingOperator


class InlineThread:
    """
    A thread that runs to its end in the one that starts it.
    """

    def __init__(self, target: Callable[[], None], name: str, daemon: bool) -> None:
        self.start = target


class InlineReactor:
    """
    What runs at once whatever another thread hands over.
    """

    def callFromThread(  # noqa: N802 (Twisted's name)
        self, function: Callable[..., object], *arguments: object
    ) -> None:
        """
        Run it.
        """
        function(*arguments)


class Answering(RecordingOperator):
    """
    An operator that answers each line as the test says, and closes the screen at the end.
    """

    screen: TerminalScreen

    def __init__(self, answer: Callable[[str], None]) -> None:
        super().__init__()
        self.answer = answer

    @override
    def line_typed(self, line: str) -> None:
        super().line_typed(line)
        self.answer(line)

    @override
    def had_enough(self) -> None:
        super().had_enough()
        self.screen.close()


class TerminalScreenTests(SynchronousTestCase):
    """
    `TerminalScreen`.
    """

    @override
    def setUp(self) -> None:
        """
        Make one whose operator answers nothing.
        """
        self.clock = Clock()
        self.drawn = io.StringIO()
        self.patch(terminal, "threading", SimpleNamespace(Lock=threading.Lock, Thread=InlineThread))
        self.resize: Callable[..., object] = self.fail
        self.patch(
            terminal,
            "signal",
            SimpleNamespace(SIGWINCH=signal.SIGWINCH, signal=self.remember_resize),
        )
        self.addCleanup(asyncio.set_event_loop, None)
        # An event loop that closes in this thread would take it from the reactor, which then hears
        # no longer of processes that end.
        self.addCleanup(signal.set_wakeup_fd, signal.set_wakeup_fd(-1))
        pipe = create_pipe_input()
        self.keyboard: PipeInput = pipe.__enter__()
        self.addCleanup(pipe.__exit__, None, None, None)
        self.operator = Answering(lambda line: None)
        self.screen = self.make_screen()

    def remember_resize(self, number: int, resized: Callable[..., object]) -> None:
        """
        Remember what is to be called when the terminal has another size.
        """
        self.assertEqual(signal.SIGWINCH, number)
        self.resize = resized

    def make_screen(self) -> TerminalScreen:
        """
        Make a screen that draws into memory.
        """
        paper = Vt100_Output(
            self.drawn, lambda: Size(rows=24, columns=80), term="xterm", enable_cpr=False
        )
        screen = TerminalScreen(
            self.operator,
            self.clock,
            cast(IReactorFromThreads, InlineReactor()),
            keyboard=self.keyboard,
            paper=paper,
        )
        self.addCleanup(screen._loop.close)
        self.operator.screen = screen
        return screen

    def run_with(self, typed: str) -> str:
        """
        Type something, run the terminal to its end, and tell what was drawn.
        """
        if not self.screen._prompt:
            self.screen.ask("Question: ")
        self.keyboard.send_text(typed)
        self.screen.start()
        self.successResultOf(self.screen.close())
        self.assertEqual([], self.clock.getDelayedCalls())
        return self.drawn.getvalue()

    def test_screen_is_one(self) -> None:
        """
        It gives all that is promised.
        """
        self.assertTrue(verifyObject(IScreen, self.screen))

    def test_lines_are_handed_over_in_order(self) -> None:
        """
        Lines that were typed ahead come one after the other, wide characters and edits included.
        """
        self.screen.ask("Enter your choice: ")

        drawn = self.run_with("one\r你好x\x7f\r\r\x04")

        self.assertEqual(["one", "你好", ""], self.operator.typed)
        self.assertEqual(1, self.operator.enoughs)
        self.assertEqual(0, self.operator.outputs_lost)
        self.assertIn("Enter your choice: ", drawn)

    def test_control_c_is_a_wish_to_leave(self) -> None:
        """
        Control-C is a wish to leave, whatever is half typed; so is Control-D on an empty line.
        """
        self.run_with("half a li\x03")

        self.assertEqual(([], 1), (self.operator.typed, self.operator.enoughs))
        self.assertEqual(0, self.operator.inputs_ended)

    def test_answers_are_drawn_once(self) -> None:
        """
        What is shown for a line is drawn, whether a question stands there or not.
        """
        self.operator.answer = lambda line: self.screen.show([(("", f"<{line}>"),)])
        self.screen.show([(("title", "first of all"),)])

        drawn = self.run_with("one\rtwo\r\x04")

        for text in ("first of all", "<one>", "<two>"):
            self.assertEqual(1, drawn.count(text), text)
        self.assertLess(drawn.index("first of all"), drawn.index("<one>"))
        self.assertLess(drawn.index("<one>"), drawn.index("<two>"))

    def test_lines_shown_at_the_end_are_drawn(self) -> None:
        """
        What is shown just before the close is still drawn.
        """
        screen = self.screen

        class Parting(Answering):
            """
            Says something at the end.
            """

            @override
            def had_enough(self) -> None:
                screen.show([(("", "Good bye"),)])
                super().had_enough()

        screen._operator = operator = Parting(lambda line: None)
        operator.screen = screen

        self.assertIn("Good bye", self.run_with("\x04"))

    def test_first_question_stands_below_the_greeting(self) -> None:
        """
        Nothing is drawn before the first question, and what was shown until then stands above it.
        """
        drawn: list[str] = []
        nothing_yet = self.drawn.getvalue()

        def greet() -> None:
            drawn.append(self.drawn.getvalue())
            self.screen.show([(("title", "Welcome"),), (("", "0. Quit"),)])
            self.screen.ask("choice? ")

        self.screen._session.app.after_render += lambda _: drawn.append(self.drawn.getvalue())
        self.screen._loop.call_soon(greet)
        self.keyboard.send_text("\x04")
        self.screen.start()

        self.assertEqual(nothing_yet, drawn[0])
        for text in ("Welcome", "0. Quit", "choice?"):
            self.assertEqual(1, drawn[1].count(text), text)
        self.assertLess(drawn[1].index("0. Quit"), drawn[1].index("choice?"))
        self.successResultOf(self.screen.close())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_closed_before_the_first_question_draws_what_there_is(self) -> None:
        """
        A chat that ends before it has asked anything still shows why.
        """
        self.screen.show([(("", "Good bye"),)])
        self.screen._loop.call_soon(self.screen.close)
        self.screen.start()

        self.assertIn("Good bye", self.drawn.getvalue())
        self.assertEqual(0, self.operator.enoughs)

    def test_whoever_leaves_still_sees_what_comes(self) -> None:
        """
        After Control-C lines are drawn until the screen is closed, though an answer may cross it.
        """
        screen = self.screen

        class Leaving(RecordingOperator):
            """
            Closes the screen a moment later.
            """

            @override
            def had_enough(self) -> None:
                screen.resume()
                screen._loop.call_later(0.01, self.take_leave)

            def take_leave(self) -> None:
                """
                Say so, and give that the time to be drawn.
                """
                screen.show([(("", "Waiting for 1"),)])
                screen._loop.call_later(0.1, self.go)

            def go(self) -> None:
                """
                Check that it was drawn, and close.
                """
                super().had_enough()
                self.typed.append(drawn.getvalue())
                screen.close()

        drawn = self.drawn
        screen._operator = operator = Leaving()

        self.run_with("\x03")

        self.assertEqual(1, operator.enoughs)
        self.assertIn("Waiting for 1", operator.typed[0])

    def test_redraws_keep_their_distance(self) -> None:
        """
        Many lines in a moment are drawn at most once in `REDRAW_INTERVAL`.
        """
        draws: list[float] = []

        def draw(lines: FormattedText) -> None:
            draws.append(self.screen._last_redraw)

        def show(count: int) -> None:
            self.screen.show([(("", f"line {count}"),)])
            if count:
                self.screen._loop.call_later(REDRAW_INTERVAL / 10, show, count - 1)
            else:
                self.screen._loop.call_later(2 * REDRAW_INTERVAL, self.screen.close)

        self.patch(self.screen, "_print", draw)
        self.screen._loop.call_soon(show, 20)
        self.run_with("")

        self.assertGreater(len(draws), 1)
        pauses = [after - before for before, after in pairwise(draws)]
        # The loop may be early by what its clock cannot tell.
        self.assertGreaterEqual(min(pauses), REDRAW_INTERVAL - 0.001)

    def test_changed_question_is_drawn(self) -> None:
        """
        The next line is asked for with the question that was set last.
        """
        self.screen.ask("first? ")
        self.operator.answer = lambda line: self.screen.ask("second? ")

        drawn = self.run_with("one\r\x04")

        self.assertLess(drawn.index("first? "), drawn.index("second? "))

    def test_draft_is_edited(self) -> None:
        """
        A question can come with the beginning of its answer, and the next one is empty again.
        """
        self.operator.answer = lambda line: self.screen.ask("text? ", "dra" if line == "x" else "")

        drawn = self.run_with("x\rft\rnext\r\x04")

        self.assertEqual(["x", "draft", "next"], self.operator.typed)
        self.assertIn("text? ", drawn)

    def test_draft_that_comes_in_the_middle_of_a_line_changes_nothing(self) -> None:
        """
        What is half typed is left alone, and begins no other line.
        """
        self.operator.answer = lambda line: self.screen.ask("next? ")
        self.screen._loop.call_later(0, self.screen.ask, "late? ", "x")
        self.screen.ask("first? ", "dra")
        self.run_with("ft\r\r\x04")

        self.assertEqual(["draft", ""], self.operator.typed)

    def test_person_takes_what_there_is(self) -> None:
        """
        Somebody sits there, and nobody has to wait for them.
        """
        self.assertTrue(self.screen.is_interactive)
        self.successResultOf(self.screen.taken())

    def test_paused_reads_no_further_line_until_resumed(self) -> None:
        """
        While it is paused the next line waits, and it comes when the screen is resumed.
        """
        order: list[str] = []

        def answer(line: str) -> None:
            order.append(line)
            if line == "one":
                self.screen.pause()
                self.screen._loop.call_soon(resume)

        def resume() -> None:
            order.append("resumed")
            self.screen.resume()

        self.operator.answer = answer

        self.run_with("one\rtwo\r\x04")

        self.assertEqual(["one", "resumed", "two"], order)

    def test_too_many_lines_are_left_out_and_told(self) -> None:
        """
        Of more lines than wait to be drawn the last ones are, and the number of others is told.
        """
        self.patch(terminal, "MOST_LINES", 2)
        self.screen.show([(("", f"line {number}."),) for number in range(4)])
        self.screen.show([(("", "line 4."),)])

        drawn = self.run_with("\x04")

        for text in ("(3 lines were too many to show)", "line 3.", "line 4."):
            self.assertIn(text, drawn)
        self.assertNotIn("line 2.", drawn)

    def test_close_ends_a_question_that_stands(self) -> None:
        """
        A half-typed line does not keep the chat, and does not count.
        """
        self.screen._loop.call_later(0, self.screen.close)

        self.run_with("half a li")

        self.assertEqual(([], 0), (self.operator.typed, self.operator.enoughs))

    def test_close_in_the_moment_of_return_ends_it(self) -> None:
        """
        A screen that is closed while a line is being finished does not wait for its answer.
        """
        waited: list[str] = []

        async def prompt(*arguments: object, **options: object) -> str:
            self.screen.pause()
            self.screen.close()
            # The close arrives here.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return "one"

        def go_on() -> None:
            waited.append("too long")
            self.screen.resume()

        self.patch(self.screen._session, "prompt_async", prompt)
        guard = self.screen._loop.call_later(5, go_on)
        self.run_with("")
        guard.cancel()

        self.assertEqual([], waited)
        self.assertEqual(["one"], self.operator.typed)

    def test_resized_terminal_is_drawn_anew(self) -> None:
        """
        When the terminal has another size the question that stands there is drawn again.
        """
        drawn: list[str] = []

        def rendered(app: object) -> None:
            drawn.append(self.drawn.getvalue())
            if len(drawn) == 1:
                self.resize(signal.SIGWINCH, None)
            elif len(drawn) == 2:
                self.keyboard.send_text("\x03")

        self.screen.ask("question? ")
        self.screen._session.app.after_render += rendered
        # Without the second drawing nobody would end it.
        guard = self.screen._loop.call_later(5, self.screen.close)
        self.run_with("")
        guard.cancel()

        self.assertEqual([1, 2], [text.count("question?") for text in drawn[:2]])
        self.resize(signal.SIGWINCH, None)

    def test_closed_screen_takes_calls_quietly(self) -> None:
        """
        After the end nothing that the console still says raises anything.
        """
        self.run_with("\x04")

        self.screen.show([(("", "late"),)])
        self.screen.ask("late? ")
        self.screen.pause()
        self.screen.resume()
        self.successResultOf(self.screen.close())

        self.assertNotIn("late", self.drawn.getvalue())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost_terminal_is_told(self) -> None:
        """
        A terminal that cannot be drawn on is lost output, not a crash.
        """

        def fail(text: str) -> int:
            raise OSError("Input/output error")

        self.patch(self.drawn, "write", fail)
        self.screen.ask("question? ")
        self.keyboard.send_text("one\r")
        self.screen.start()

        self.assertEqual(1, self.operator.outputs_lost)
        self.successResultOf(self.screen.close())

    def test_mistake_of_ours_is_logged_and_told(self) -> None:
        """
        Any other error is logged, and the person is not left alone with a dead terminal.
        """

        def fail(*arguments: object, **options: object) -> None:
            raise ValueError("broken")

        self.patch(self.screen._session, "prompt_async", fail)
        self.screen.ask("question? ")
        self.screen.start()

        self.assertEqual(1, self.operator.outputs_lost)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.successResultOf(self.screen.close())

    def test_terminal_that_does_not_end_is_left_in_time(self) -> None:
        """
        A thread that hangs holds the end up for two seconds, and may end later.
        """
        closed = self.screen.close()
        self.assertNoResult(closed)

        self.clock.advance(LONGEST_CLOSE)

        self.successResultOf(closed)
        self.screen.start()
        self.assertEqual([], self.clock.getDelayedCalls())


class WordsTests(SynchronousTestCase):
    """
    What can be completed.
    """

    def completions(self, typed: str) -> list[tuple[str, int]]:
        """
        The words for what is typed, and where each begins.
        """
        words = _Words()
        words.words = ["Ann", "Anna Lee", "Straße", "192.0.2.1:7001"]
        found = words.get_completions(Document(typed), CompleteEvent())
        return [(completion.text, completion.start_position) for completion in found]

    def test_beginnings_are_completed(self) -> None:
        """
        A word is offered in the place of its beginning, in any case.
        """
        self.assertEqual([("Ann", -2), ("Anna Lee", -2)], self.completions("an"))
        self.assertEqual([("Anna Lee", -5)], self.completions("  anna "))
        self.assertEqual([("Straße", -7)], self.completions("STRASSE"))
        self.assertEqual([("192.0.2.1:7001", -3)], self.completions("192"))

    def test_names_are_completed_behind_other_words(self) -> None:
        """
        Behind a command, or in the middle of a text, the most that a word begins with counts.
        """
        self.assertEqual([("Ann", -1), ("Anna Lee", -1)], self.completions("history a"))
        self.assertEqual([("Anna Lee", -6)], self.completions("hello  anna l"))
        self.assertEqual(4, len(self.completions("history ")))

    def test_nothing_typed_offers_everything(self) -> None:
        """
        An empty line can become any word; what no word begins with, none.
        """
        self.assertEqual(4, len(self.completions("")))
        self.assertEqual([], self.completions("x"))
        self.assertEqual([], self.completions("an x"))
