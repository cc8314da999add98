"""
The terminal screen: what arrives is drawn above the half-typed line and never through it.

prompt_toolkit runs in a thread of its own with its own event loop, so that the reactor can be any,
and a slow terminal slows nobody. Everything crosses between the two as a message:
``callFromThread`` one way, ``call_soon_threadsafe`` the other.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.layout import laid_out
from twistedchat.core.wording import Line
from twistedchat.faces.screens import IOperator, IScreen

__all__ = ["LONGEST_CLOSE", "TerminalScreen"]

# Seconds between two redraws. Twenty in a second look immediate, and leave a terminal that gets
# hundreds of lines in one usable.
REDRAW_INTERVAL = 0.05

# Lines that wait to be drawn, while the terminal is stopped (Control-S) or cannot keep up: hours of
# a lively chat, in some ten megabytes, and drawn within a twentieth of a second.
MOST_LINES = 10_000

# Seconds for the terminal to be given back when the chat ends.
LONGEST_CLOSE = 2.0

STYLE = Style.from_dict(
    {
        "time": "ansibrightblack",
        "mark": "ansiyellow",
        "address": "ansicyan",
        "name": "bold",
        "title": "bold",
        "good": "ansigreen",
        "bad": "ansired",
        # A QR code is light on dark, whatever the terminal's own colours are.
        "picture": "#ffffff bg:#000000",
        "prompt": "bold",
    }
)


class _Words(Completer):
    """
    Completes the names and addresses of peers, also behind a command.
    """

    def __init__(self) -> None:
        self.words: Sequence[str] = ()

    @override
    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        typed = document.text_before_cursor.lstrip()
        # A name may have several words: the most that is the beginning of one counts.
        while True:
            words = [word for word in self.words if word.casefold().startswith(typed.casefold())]
            if words or " " not in typed:
                break
            typed = typed.partition(" ")[2].lstrip()
        for word in words:
            yield Completion(word, start_position=-len(typed))


@implementer(IScreen)
class TerminalScreen:
    """
    A terminal with line editing, history, completion and colours.

    Attributes:
        is_interactive: That a person sits there.

    Args:
        operator: Who answers what is typed.
        clock: Tells the time and calls back.
        threads: The reactor, which runs what the terminal's thread hands over.
        keyboard: Where keys come from; the process's own terminal where there is none.
        paper: Where lines are drawn, likewise.
    """

    is_interactive = True
    _log = Logger()

    def __init__(
        self,
        operator: IOperator,
        clock: IReactorTime,
        threads: IReactorFromThreads,
        *,
        keyboard: Input | None = None,
        paper: Output | None = None,
    ) -> None:
        self._operator = operator
        self._clock = clock
        self._threads = threads
        self._closed: Deferred[None] = Deferred()
        # Both threads touch these; the lock makes a batch of lines change hands as one.
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._left_out = 0
        self._prompt = ""
        self._draft = ""
        # The reactor's thread alone touches these.
        self._is_paused = False
        self._is_answered = True
        # The terminal's thread alone touches these, but for the start.
        self._words = _Words()
        self._is_ending = False
        self._next_redraw: asyncio.TimerHandle | None = None
        self._last_redraw = 0.0
        self._answered = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._session: PromptSession[str] = PromptSession(
            completer=self._words,
            complete_while_typing=False,
            history=InMemoryHistory(),
            input=keyboard or create_input(sys.__stdin__),
            output=paper or create_output(sys.__stdout__),
            style=STYLE,
            key_bindings=_bindings(),
            # Room for the list of completions; more would push the conversation up at each prompt.
            reserve_space_for_menu=4,
        )
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    def start(self) -> None:
        """
        Take the terminal.
        """
        # In a thread prompt_toolkit looks at the size twice a second, and misses what happens in
        # the first of these halves after each answer.
        self._session.app.terminal_size_polling_interval = None
        signal.signal(signal.SIGWINCH, lambda *_: self._tell(self._resized))
        self._thread.start()

    # In the reactor's thread.

    def show(self, lines: Sequence[Line]) -> None:
        """
        Draw lines: see `IScreen`.
        """
        with self._lock:
            was_empty = not self._lines
            self._lines.extend(lines)
            self._left_out += max(0, len(self._lines) - MOST_LINES)
            del self._lines[:-MOST_LINES]
        if was_empty:
            self._tell(self._schedule_redraw)

    def ask(self, prompt: str, draft: str = "") -> None:
        """
        Say what the next line answers: see `IScreen`.
        """
        # It is there before the next line is begun, and never in the middle of one.
        self._draft = draft
        is_first = not self._prompt
        if prompt != self._prompt:
            self._prompt = prompt
            self._tell(self._redraw_prompt)
        if is_first:
            self._go_on()

    def taken(self) -> Deferred[None]:
        """
        Do not wait: a person gets no more than a page.
        """
        return succeed(None)

    def window(self) -> tuple[int, int]:
        """
        How much can be seen at once: see `IScreen`.
        """
        size = self._session.output.get_size()
        return size.rows, size.columns

    def offer(self, words: Sequence[str]) -> None:
        """
        Tell which words may be completed: see `IScreen`.
        """
        self._words.words = words

    def pause(self) -> None:
        """
        Hand over no typed line until `resume`.
        """
        self._is_paused = True

    def resume(self) -> None:
        """
        Hand over typed lines again.
        """
        self._is_paused = False
        self._go_on()

    def close(self) -> Deferred[None]:
        """
        Give the terminal back: see `IScreen`.
        """
        self._tell(self._end)
        return self._closed.addTimeout(LONGEST_CLOSE, self._clock).addErrback(
            lambda failure: failure.trap(DeferredTimeoutError) and None
        )

    def _typed(self, line: str) -> None:
        self._is_answered = False
        self._operator.line_typed(line)
        self._is_answered = True
        self._go_on()

    def _go_on(self) -> None:
        if self._is_answered and not self._is_paused:
            self._tell(self._answered.set)

    def _tell(self, what: object) -> None:
        # After the end there is nobody to tell.
        try:
            self._loop.call_soon_threadsafe(what)  # type: ignore[arg-type]
        except RuntimeError:
            self._log.debug("The terminal is closed already")

    def _thread_ended(self) -> None:
        if not self._closed.called:
            self._closed.callback(None)

    # In the terminal's thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._read())
        except OSError as error:
            # The terminal is gone: closed, or hung up.
            self._log.info("The terminal is lost: {error}", error=error)
            self._threads.callFromThread(self._operator.output_lost)
        except Exception:  # noqa: BLE001 (whatever it is, the person must not be left alone)
            self._log.failure("The terminal failed")
            self._threads.callFromThread(self._operator.output_lost)
        finally:
            self._loop.close()
            self._threads.callFromThread(self._thread_ended)

    async def _read(self) -> None:
        # What there is to read before the first question stands above it.
        await self._answered.wait()
        self._draw()
        while not self._is_ending:
            try:
                draft, self._draft = self._draft, ""
                line = await self._session.prompt_async(
                    self._message, handle_sigint=False, default=draft
                )
            except (EOFError, KeyboardInterrupt):
                if not self._is_ending:
                    self._threads.callFromThread(self._operator.had_enough)
                # What is answered meanwhile is no reason to stop drawing.
                while not self._is_ending:
                    self._answered.clear()
                    await self._answered.wait()
                break
            self._answered.clear()
            self._threads.callFromThread(self._typed, line)
            # Whoever closed it in the moment in which Return was pressed has answered already.
            if not self._is_ending:
                await self._answered.wait()
        self._draw()

    def _message(self) -> FormattedText:
        return FormattedText([("class:prompt", self._prompt)])

    def _resized(self) -> None:
        app = self._session.app
        if app.is_running:
            app.renderer.erase(leave_alternate_screen=False)
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    def _redraw_prompt(self) -> None:
        self._session.app.invalidate()

    def _end(self) -> None:
        self._is_ending = True
        self._answered.set()
        app = self._session.app
        if app.is_running and not app.is_done:
            app.exit(exception=EOFError())

    def _schedule_redraw(self) -> None:
        if self._next_redraw is None:
            due = max(self._loop.time(), self._last_redraw + REDRAW_INTERVAL)
            self._next_redraw = self._loop.call_at(due, self._draw)

    def _draw(self) -> None:
        self._next_redraw = None
        self._last_redraw = self._loop.time()
        with self._lock:
            lines, self._lines = self._lines, []
            left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.insert(0, (("bad", f"({left_out} lines were too many to show)"),))
        if not lines:
            return
        columns = self._session.output.get_size().columns
        fragments = FormattedText(
            (f"class:{style}" if style else "", text)
            for line in lines
            for style, text in laid_out(line, columns)
        )
        app = self._session.app
        if app.is_running:
            # Not `run_in_terminal`, nor what uses it, as `shortcuts.print_formatted_text` does: it
            # gives the terminal back for a moment, and a key pressed just then would be echoed into
            # the middle of what is drawn, and Control-C would be a signal.
            app.renderer.erase()
            self._print(fragments)
            app.renderer.request_absolute_cursor_position()
            app.invalidate()
        else:
            self._print(fragments)

    def _print(self, fragments: FormattedText) -> None:
        print_formatted_text(self._session.output, fragments, STYLE)


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("c-z")
    def _(event: KeyPressEvent) -> None:
        run_in_terminal(_suspend)

    return bindings


def _suspend() -> None:
    # The whole job, `make` included, or the shell would not take the terminal back. That signal
    # reaches this process in another thread, a moment later; the second one stops this thread right
    # here, with the terminal in order, and is forgotten when the job is continued.
    os.kill(0, signal.SIGTSTP)
    signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
