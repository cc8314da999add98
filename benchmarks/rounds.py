"""
How figures are taken: in rounds, in each of which every program has its turn.

So what slows the machine down for a while slows down all of them.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping

from benchmarks.machine import MeasureError
from benchmarks.report import Row

__all__ = ["COUNTED", "WARM_UP", "Shares", "Turn", "say_aloud", "take_turns"]

Turn = Callable[[], Mapping[int, float]]
"""Takes one program's figures of one round, by the index of their row."""

# What texts begin with: before it counts, and then. Neither occurs in anything else.
WARM_UP, COUNTED = "Zwarmq", "Zcountq"


def say_aloud(text: str) -> None:
    """
    Tell the person what is going on, apart from the table.

    Args:
        text: What to tell.
    """
    print(text, file=sys.stderr, flush=True)


def take_turns(rows: list[Row], turns: Mapping[str, Turn], rounds: int) -> None:
    """
    Take the figures of some rows.

    Args:
        rows: The rows.
        turns: What to do for each column: returns the figures by the index of their row.
        rounds: How often.
    """
    failed: set[str] = set()
    for number in range(1, rounds + 1):
        for column, turn in turns.items():
            if column in failed:
                continue
            try:
                figures = turn()
            except (MeasureError, OSError) as problem:
                rows[0].notes.append(f"{column}: {problem}")
                failed.add(column)
                say_aloud(f"{rows[0].title}: {column}: {problem}")
                continue
            for index, figure in figures.items():
                rows[index].add(column, figure)
                say_aloud(f"{rows[index].title}: round {number}: {column} {figure:,.3f}")


class Shares:
    """
    Figures that stand beside a row, in its notes: for each column one from each round.
    """

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = {}

    def add(self, column: str, figure: float) -> None:
        """
        Take one more figure.

        Args:
            column: Whose.
            figure: It.
        """
        self._taken.setdefault(column, []).append(figure)

    def draw(self, form: str) -> str:
        """
        Write the medians down.

        Args:
            form: How each is formatted.

        Returns:
            A list in words.
        """
        medians = {column: statistics.median(taken) for column, taken in self._taken.items()}
        return ", ".join(f"{column} {median:{form}}" for column, median in medians.items())
