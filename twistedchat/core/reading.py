"""
Reading what was said: since when, in which order, and with what around it.

A journal tells what stands before a line, the newest first. A person reads it a page at a time from
the newest page backwards, a program all of it from the oldest line on. Without any I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from twistedchat.core.errors import ChatError
from twistedchat.core.history import LineOfHistory

__all__ = ["BATCH", "Hit", "Passage", "Stream", "cut_since", "passages_of"]

# Lines that a program gets at once: a write of some twenty kilobytes; of the longest texts a dozen
# megabytes.
BATCH = 200

# A text that was found, and what stands around it, itself included.
Hit: TypeAlias = tuple[LineOfHistory, Sequence[LineOfHistory]]

_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_AGO = re.compile(r"(\d{1,5})(min|h|d)", re.ASCII)
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def cut_since(typed: str, now: float) -> tuple[str, float | None]:
    """
    Cut a moment off the end of what was typed.

    Args:
        typed: Whose history is meant, if anybody's in particular, and since when, if that is said:
            ``2026-11-24``, ``14:30``, ``20min``, ``2h``, ``3d``, ``today`` or ``yesterday``.
        now: The time, in seconds since the epoch.

    Returns:
        What stands before it; and the moment, or ``None`` where there is none.

    Raises:
        ChatError: It has the form of a moment, but there is no such.
    """
    words = typed.rsplit(None, 1)
    moment = _moment(words[-1].casefold(), now) if words else None
    if moment is None:
        return typed, None
    before = words[0].rstrip() if len(words) > 1 else ""
    if before.casefold() == "since" or before.casefold().endswith(" since"):
        before = before[: -len("since")].rstrip()
    return before, moment


def _moment(word: str, now: float) -> float | None:
    present = datetime.fromtimestamp(now)
    midnight = present.replace(hour=0, minute=0, second=0, microsecond=0)
    if word == "today":
        return midnight.timestamp()
    if word == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    if ago := _AGO.fullmatch(word):
        return now - int(ago[1]) * _UNITS[ago[2]].total_seconds()
    try:
        if _DATE.fullmatch(word):
            return datetime.strptime(word, "%Y-%m-%d").timestamp()
        if clock := _CLOCK.fullmatch(word):
            moment = midnight.replace(hour=int(clock[1]), minute=int(clock[2]))
            # The last time that a clock showed it.
            return (moment if moment <= present else moment - timedelta(days=1)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ChatError(
            f"Invalid time {word[:20]!r}: it is 2026-11-24, 14:30, 20min, 2h, 3d, today or "
            "yesterday."
        ) from None
    return None


class Stream:
    """
    All of a history, from the oldest line on, a batch at a time.

    First it goes back to the beginning, and remembers only where each batch ends; then it comes
    forward and reads each again. So of a million lines there are never more than a few batches in
    memory.
    """

    def __init__(self) -> None:
        self._is_going_back = True
        self._newest: list[LineOfHistory] = []
        # Of each batch its oldest line, the newest batch first.
        self._marks: list[LineOfHistory] = []

    def take(
        self, lines: Sequence[LineOfHistory]
    ) -> tuple[list[LineOfHistory], tuple[LineOfHistory, int] | None]:
        """
        Take what was read.

        Args:
            lines: The newest first: at first `BATCH` from the newest on, then what was asked for.

        Returns:
            The next lines, the oldest first; and before which line to read how many next, or
            ``None`` where that was all.
        """
        if self._is_going_back:
            self._newest = self._newest or list(lines)
            if len(lines) == BATCH:
                # It tells only where it stands.
                self._marks.append(replace(lines[-1], text=""))
                return [], (self._marks[-1], BATCH)
            self._is_going_back = False
            if not self._marks:
                return list(reversed(lines)), None
        else:
            # What was put between them meanwhile belongs to them.
            last = self._marks.pop().number
            index = next((i for i, line in enumerate(lines) if line.number == last), len(lines))
            lines = lines[: index + 1]
        if len(self._marks) > 1:
            return list(reversed(lines)), (self._marks[-2], 2 * BATCH)
        # What came since the newest batch was read has been told otherwise.
        return [*reversed(lines), *reversed(self._newest)], None


@dataclass(frozen=True, slots=True)
class Passage:
    """
    Consecutive lines in which something was found.

    Attributes:
        lines: The lines, in the order of the place where they were said.
        found: The numbers of those that were found; the others stand around them.
    """

    lines: tuple[LineOfHistory, ...]
    found: frozenset[int]


def passages_of(hits: Sequence[Hit]) -> list[Passage]:
    """
    Put together what was found with what stands around it; where passages touch they are one.

    Args:
        hits: What was found, the newest first.

    Returns:
        The passages, in the order of the first that was found in each.
    """
    passages: list[Passage] = []
    for hit, around in hits:
        lines = {line.number: line for line in around}
        touched = next(
            (
                index
                for index, passage in enumerate(passages)
                if any(line.number in lines for line in passage.lines)
            ),
            None,
        )
        if touched is None:
            passages.append(_passage(lines.values(), frozenset({hit.number})))
        else:
            there = passages[touched]
            lines |= {line.number: line for line in there.lines}
            passages[touched] = _passage(lines.values(), there.found | {hit.number})
    return passages


def _passage(lines: Iterable[LineOfHistory], found: frozenset[int]) -> Passage:
    return Passage(tuple(sorted(lines, key=_order)), found)


def _order(line: LineOfHistory) -> tuple[float, bytes, int, int]:
    author = b"" if line.author is None else line.author.raw
    return line.time, author, line.seq, line.number
