"""
Reads what a program prints, and knows which of the numbered messages it has shown, and when.

A message is recognised by a token that occurs nowhere else, followed by its number of six digits:
what else stands on the line is the program's own affair.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from dataclasses import dataclass

__all__ = ["Console", "Shown"]

# How long the reader rests between two reads, in seconds. A pipe that holds a megabyte does not
# fill up meanwhile, and waking for every line would take the core away from the generator.
REST = 0.002
PIPE_BYTES = 1 << 20

# Enough of the latest output to tell what went wrong, in bytes.
TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Shown:
    """
    Which messages have been shown.

    Attributes:
        count: How many different messages.
        repeated: How many lines showed a message that had been shown before.
        last_at: When the latest one was first shown, in seconds of the monotonic clock.
    """

    count: int
    repeated: int
    last_at: float


class Console:
    """
    The reading end of a program's standard output, drained by a thread of its own.

    Args:
        descriptor: The pipe; the caller closes it after the program has ended.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._half_line = b""
        self._tail = b""
        self._pattern: re.Pattern[bytes] | None = None
        self._serials: set[bytes] = set()
        self._repeated = 0
        self._last_at = 0.0
        self._has_ended = False
        with contextlib.suppress(OSError):  # there is a limit for those who are not root
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def look_for(self, token: str) -> None:
        """
        Forget what was shown and count another token from now on.

        Args:
            token: What the new messages begin with.
        """
        with self._changed:
            self._pattern = re.compile(re.escape(token.encode()) + rb"(\d{6})")
            self._serials = set()
            self._repeated = 0
            self._last_at = time.monotonic()

    def wait_shown(self, count: int, limit: float, stall: float) -> Shown:
        """
        Wait until so many different messages have been shown.

        Args:
            count: How many are expected.
            limit: The longest wait, in seconds.
            stall: The longest wait without one more message, in seconds.

        Returns:
            What was shown by then, which may be less.
        """
        deadline = time.monotonic() + limit
        with self._changed:
            seen, seen_at = len(self._serials), time.monotonic()
            while len(self._serials) < count and not self._has_ended:
                until = min(deadline, seen_at + stall)
                if time.monotonic() >= until:
                    break
                self._changed.wait(until - time.monotonic())
                if len(self._serials) > seen:
                    seen, seen_at = len(self._serials), time.monotonic()
            return Shown(len(self._serials), self._repeated, self._last_at)

    def join(self) -> None:
        """
        Wait until the program's output has been read to its end.
        """
        self._thread.join(timeout=5)

    @property
    def tail(self) -> str:
        """
        The latest output, for a complaint.
        """
        with self._changed:
            return self._tail.decode(errors="replace")

    def _drain(self) -> None:
        """
        Read to the end, with rests.
        """
        while chunk := os.read(self._descriptor, PIPE_BYTES):
            now = time.monotonic()
            with self._changed:
                self._take(chunk, now)
            time.sleep(REST)
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _take(self, chunk: bytes, now: float) -> None:
        """
        Count the messages in the lines that have become complete.

        Args:
            chunk: The output.
            now: When it was read, in seconds of the monotonic clock.
        """
        self._tail = (self._tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
        lines, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            self._half_line += chunk
            return
        lines, self._half_line = self._half_line + lines, rest
        if self._pattern is None:
            return
        found = self._pattern.findall(lines)
        before = len(self._serials)
        self._serials.update(found)
        fresh = len(self._serials) - before
        self._repeated += len(found) - fresh
        if fresh:
            self._last_at = now
            self._changed.notify_all()
