"""
The plain screen: one line for each event, on pipes, files and terminals that cannot do more.

Made for scripts and screen readers.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.menu import LARGEST_TEXT
from twistedchat.core.wording import Line
from twistedchat.faces.screens import IOperator, IScreen

__all__ = [
    "LONGEST_CLOSE",
    "LONGEST_LINE",
    "MOST_AT_ONCE",
    "MOST_UNREAD",
    "WRITE_INTERVAL",
    "LineScreen",
]

# Bytes of one typed line: enough for the menu to say of a pasted novel how long it is.
LONGEST_LINE = 16 * LARGEST_TEXT

# Bytes that wait to be read on the other side of a pipe before lines are left out: a reader that
# stopped for a minute of the fastest chat finds all of it, one that sleeps costs no more than this.
MOST_UNREAD = 4 * 1024 * 1024

# Lines that are written at once in so many seconds: a question, an answer and what comes between
# them go without delay. Of thousands in a second the rest of each interval goes together, which
# costs a tenth of as many writes.
MOST_AT_ONCE = 8
WRITE_INTERVAL = 0.005

# Seconds for the last lines to be read when the chat ends.
LONGEST_CLOSE = 2.0


@implementer(IPushProducer)
class _Flow:
    """
    Hears from the transport whether the reader keeps up.
    """

    def __init__(self, screen: LineScreen) -> None:
        self._screen = screen

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted calls it)
        self._screen.reader_stopped()

    def resumeProducing(self) -> None:  # noqa: N802
        self._screen.reader_went_on()

    def stopProducing(self) -> None:  # noqa: N802
        self._screen.reader_stopped()


@implementer(IScreen, IHalfCloseableProtocol)
class LineScreen(LineReceiver):
    """
    Standard input and output as lines of text.

    Args:
        operator: Who answers what is typed.
        clock: Tells the time and calls back.
        is_interactive: Whether that is a person at a terminal that can do nothing else.

    Attributes:
        is_interactive: The same.
    """

    transport: StandardIO
    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE

    def __init__(
        self, operator: IOperator, clock: IReactorTime, *, is_interactive: bool = False
    ) -> None:
        self.is_interactive = is_interactive
        self._operator = operator
        self._clock = clock
        self._is_blocked = False
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._busy_since = 0.0
        self._writes = 0
        self._next_write: IDelayedCall | None = None
        self._left_out = 0
        self._closed: Deferred[None] | None = None
        self._is_lost = False
        self._taken: list[Deferred[None]] = []

    # The transport calls these.

    @override
    def connectionMade(self) -> None:
        self.transport.registerProducer(_Flow(self), True)

    @override
    def lineReceived(self, line: bytes) -> None:
        self._operator.line_typed(line.decode("utf-8", "replace").rstrip("\r"))

    @override
    def lineLengthExceeded(self, line: bytes) -> None:
        seen, newline, rest = line.partition(self.delimiter)
        self._operator.line_too_long(len(seen))
        if newline:
            # Not before this one is done with: it is called in the middle of dataReceived.
            self._clock.callLater(0, self.dataReceived, rest)
        else:
            self.setRawMode()

    @override
    def rawDataReceived(self, data: bytes) -> None:
        # The rest of a line that was too long.
        _, newline, rest = data.partition(self.delimiter)
        if newline:
            self.setLineMode(rest)

    def readConnectionLost(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        The input has ended; its last line may have no end.
        """
        if self.line_mode and (last := self.clearLineBuffer()):
            self.lineReceived(last)
        self._operator.input_ended()

    def writeConnectionLost(self) -> None:  # noqa: N802
        """
        Nobody reads any more.
        """
        self._is_lost = True
        self._operator.output_lost()
        self._tell_taken()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_lost = True
        self._tell_taken()
        if self._closed is not None:
            closed, self._closed = self._closed, None
            closed.callback(None)

    # The console calls these.

    def show(self, lines: Sequence[Line]) -> None:
        """
        Draw lines: see `IScreen`.
        """
        for line in lines:
            if line and line[0][0] == "picture":
                # A script can do nothing with it, and a screen reader would read out every block.
                continue
            # A text with line breaks in it is still one event, so it stays one line.
            text = "".join([text for _, text in line]).replace("\n", "\N{SYMBOL FOR LINE FEED}")
            self._write(text.encode() + b"\n")

    def ask(self, prompt: str, draft: str = "") -> None:
        """
        Say what the next line answers: see `IScreen`. Nothing can be edited here.
        """
        self._write(prompt.rstrip().encode() + b"\n")

    def taken(self) -> Deferred[None]:
        """
        Wait until there is room for more: see `IScreen`.
        """
        taken: Deferred[None] = Deferred()
        self._taken.append(taken)
        if self._next_write is not None:
            # Together with what else comes it would be no fewer writes.
            self._next_write.cancel()
            self._flush()
        self._tell_taken()
        return taken

    def window(self) -> tuple[int, int]:
        """
        How much can be seen at once: see `IScreen`.
        """
        size = shutil.get_terminal_size()
        return size.lines, size.columns

    def offer(self, words: Sequence[str]) -> None:
        """
        Do nothing: there is no completion without a terminal.
        """

    def pause(self) -> None:
        """
        Hand over no typed line until `resume`.
        """
        self.pauseProducing()

    def resume(self) -> None:
        """
        Hand over typed lines again.
        """
        self.resumeProducing()

    def close(self) -> Deferred[None]:
        """
        Write what is still to be written: see `IScreen`.
        """
        closed: Deferred[None] = Deferred()
        if self._is_lost:
            closed.callback(None)
            return closed
        self._closed = closed
        self.transport.unregisterProducer()
        self.reader_went_on()
        if self._next_write is not None:
            self._next_write.cancel()
            self._flush()
        self.transport.loseConnection()
        return closed.addTimeout(LONGEST_CLOSE, self._clock).addErrback(
            lambda failure: failure.trap(DeferredTimeoutError) and None
        )

    # The reader on the other side.

    def reader_stopped(self) -> None:
        """
        What was written is not read for now.
        """
        self._is_blocked = True

    def reader_went_on(self) -> None:
        """
        What was written has been read.
        """
        self._is_blocked = False
        if self._unwritten and self._next_write is None:
            self._flush()
        self._tell_taken()

    def _write(self, data: bytes) -> None:
        if self._is_lost:
            return
        if self._next_write is not None and self._unwritten_bytes + len(data) > MOST_UNREAD:
            # It waits for its moment, and not for a reader.
            self._next_write.cancel()
            self._flush()
        if self._unwritten_bytes + len(data) > MOST_UNREAD or self._left_out:
            self._left_out += 1
            return
        self._unwritten.append(data)
        self._unwritten_bytes += len(data)
        if self._is_blocked or self._next_write is not None:
            return
        now = self._clock.seconds()
        if now - self._busy_since >= WRITE_INTERVAL:
            self._busy_since = now
            self._writes = 0
        if self._writes < MOST_AT_ONCE:
            self._writes += 1
            self._flush()
        else:
            rest = max(0, self._busy_since + WRITE_INTERVAL - now)
            self._next_write = self._clock.callLater(rest, self._flush)

    def _flush(self) -> None:
        self._next_write = None
        if self._is_blocked or self._is_lost:
            return
        if self._left_out:
            self._unwritten.append(b"(%d lines were left out: nobody read them)\n" % self._left_out)
            self._left_out = 0
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        self._unwritten_bytes = 0
        self.transport.write(data)
        self._tell_taken()

    def _tell_taken(self) -> None:
        if self._is_lost or not (self._is_blocked or self._unwritten):
            waiting, self._taken = self._taken, []
            for taken in waiting:
                taken.callback(None)
