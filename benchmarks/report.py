"""
What has been measured, what it should reach, and the table of both. Without any I/O.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["BARE", "CEILING", "NODE", "THREADED", "Goal", "Row", "draw_table"]

NODE, BARE, THREADED, CEILING = "node", "bare", "threaded", "ceiling"

COLUMNS = (NODE, BARE, THREADED, CEILING)
RATIOS = (THREADED, BARE)
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Goal:
    """
    A figure for the node to reach.

    Attributes:
        bound: The figure; or how many times another column's it is.
        is_least: Whether it must be at least that, or else at most.
        column: The other column, None for a plain figure.
        is_for_all: Whether every round has to reach it, or else the median of all rounds.
    """

    bound: float
    is_least: bool
    column: str | None = None
    is_for_all: bool = False

    @property
    def words(self) -> str:
        """
        The goal as the table says it.
        """
        sign = ">=" if self.is_least else "<="
        times = f" x {self.column}" if self.column else ""
        return f"{sign} {self.bound:,.12g}{times}"

    def is_reached(self, samples: Mapping[str, Sequence[float]]) -> bool | None:
        """
        Compare.

        Args:
            samples: What was measured, by column.

        Returns:
            Whether the node reached it; None if something was not measured.
        """
        ours = samples.get(NODE)
        theirs = samples.get(self.column) if self.column else [1.0]
        if not ours or not theirs:
            return None
        if self.is_for_all:
            figure = min(ours) if self.is_least else max(ours)
        else:
            figure = statistics.median(ours)
        bound = self.bound * statistics.median(theirs)
        return figure >= bound if self.is_least else figure <= bound


@dataclass(slots=True)
class Row:
    """
    One row of the table.

    Attributes:
        title: What was measured, with its unit.
        goals: What the node should reach.
        digits: How many digits to print after the point.
        samples: What was measured: for each column one figure from each round.
        notes: What else there is to say, each a short sentence.
    """

    title: str
    goals: tuple[Goal, ...] = ()
    digits: int = 0
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, column: str, figure: float) -> None:
        """
        Take one more figure.

        Args:
            column: Whose.
            figure: It; infinity for what did not come to an end.
        """
        self.samples.setdefault(column, []).append(figure)

    def find_ratio(self, column: str) -> float | None:
        """
        Divide the node's figure by another's.

        Args:
            column: Whose.

        Returns:
            The ratio of the medians, None where one of them is missing or not a number.
        """
        if not self.samples.get(NODE) or not self.samples.get(column):
            return None
        ours = statistics.median(self.samples[NODE])
        theirs = statistics.median(self.samples[column])
        if not theirs or math.isinf(ours) or math.isinf(theirs):
            return None
        return ours / theirs


def _draw_figure(figure: float, digits: int) -> str:
    """
    Write a figure down.
    """
    return "never" if math.isinf(figure) else f"{figure:,.{digits}f}"


def _draw_row(row: Row) -> list[list[str]]:
    """
    Write a row down as lines of cells: the medians, and below them the least and the most.
    """
    medians, ranges = [row.title], [""]
    for column in COLUMNS:
        figures = row.samples.get(column)
        if not figures:
            medians.append(NOTHING)
            ranges.append("")
            continue
        medians.append(_draw_figure(statistics.median(figures), row.digits))
        least, most = (_draw_figure(end(figures), row.digits) for end in (min, max))
        ranges.append("" if least == most else f"{least}..{most}")
    for column in RATIOS:
        ratio = row.find_ratio(column)
        medians.append(NOTHING if ratio is None else f"{ratio:.2f}")
        ranges.append("")
    goals = [(goal.words, goal.is_reached(row.samples)) for goal in row.goals] or [("", None)]
    verdicts = {True: "reached", False: "not reached", None: "not measured"}
    lines = [medians, ranges] + [[""] * len(medians) for _ in goals[2:]]
    for index, line in enumerate(lines):
        words, is_reached = goals[index] if index < len(goals) else ("", None)
        line += [words, verdicts[is_reached] if words else ""]
    return [line for line in lines if any(line)]


def draw_table(rows: Sequence[Row]) -> str:
    """
    Draw the table.

    Args:
        rows: Its rows.

    Returns:
        Lines of plain text.
    """
    head = ["", *COLUMNS, *(f"{NODE}/{column}" for column in RATIOS), "to reach", ""]
    blocks = [[head], *map(_draw_row, rows)]
    widths = [max(len(line[i]) for block in blocks for line in block) for i in range(len(head))]
    last_figure = len(COLUMNS) + len(RATIOS)
    drawn: list[str] = []
    for block in blocks:
        for line in block:
            cells = [
                cell.rjust(width) if 0 < index <= last_figure else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            drawn.append("  ".join(cells).rstrip())
        if block[0] is head:
            drawn.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    notes = [f"* {row.title}: {note}" for row in rows for note in row.notes]
    return "\n".join([*drawn, *([""] if notes else []), *notes])
