"""
The measurements of what is looked up in a million texts: search and history.

What stands beside the node is bare: SQLite's own tables and full-text search, the same texts in
them, and the plainest queries.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import lru_cache, partial
from pathlib import Path

from benchmarks.archive import fill_archive, fill_bare
from benchmarks.machine import find_free_port
from benchmarks.questions import AskOrder, AskReport
from benchmarks.report import BARE, NODE, Goal, Row
from benchmarks.rounds import Shares, say_aloud, take_turns
from benchmarks.servers import Lab, ask_process

__all__ = ["measure_history", "measure_search"]

# How many texts there are.
TEXTS, TEXTS_QUICK = 1_000_000, 50_000

# The longest time for all answers, in seconds.
ASK_LIMIT = 120.0

# What a person does not notice, five times over; in milliseconds.
GOAL = 5.0


class _Past:
    """
    The journal of a long past, and the same texts barely kept; both go with this process.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.port = find_free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="p2pchat-bench-")
        self.state = Path(self._folder.name) / "state"
        self.bare = Path(self._folder.name) / "bare.sqlite"
        started_at = time.monotonic()
        fill_archive(self.state, self.port, count)
        filled_at = time.monotonic()
        fill_bare(self.bare, self.state, self.port)
        kept = sum(file.stat().st_size for file in self.state.rglob("*")) / 1e6
        self.words = (
            f"{count:,} texts: signed, written and indexed in {filled_at - started_at:.0f} s, "
            f"{kept:,.0f} MB; barely in {time.monotonic() - filled_at:.0f} s, "
            f"{self.bare.stat().st_size / 1e6:,.0f} MB"
        )


@lru_cache(maxsize=1)
def _past(count: int) -> _Past:
    say_aloud(f"writing {count:,} texts")
    return _Past(count)


def _measure(lab: Lab, kind: str, title: str) -> list[Row]:
    rows = [
        Row(f"{title}: the slowest of {{}} kinds, median: ms", (Goal(GOAL, False),), 2),
        Row(f"{title}: the slowest answer of all: ms", (), 2),
    ]
    past = _past(lab.fewer(TEXTS, TEXTS_QUICK))
    medians = {NODE: Shares(), BARE: Shares()}
    first = Shares()
    states = {NODE: str(past.state), BARE: ""}

    def ask(column: str) -> dict[int, float]:
        order = AskOrder(kind, past.count, states[column], past.port, str(past.bare))
        # Both of SQLite's threads and the reactor's own have one core, as everything measured has.
        told = ask_process(
            lab.cores.server, "benchmarks.questions", order, "who answers", ASK_LIMIT
        )
        report = AskReport(**told)
        if column == NODE:
            first.add("", 1000 * report.delays.pop("the first")[0])
        figures = {name: 1000 * statistics.median(taken) for name, taken in report.delays.items()}
        for name, figure in figures.items():
            medians[column].add(name, figure)
        rows[0].title = rows[0].title.format(len(figures))
        return {
            0: max(figures.values()),
            1: 1000 * max(max(taken) for taken in report.delays.values()),
        }

    take_turns(rows, {column: partial(ask, column) for column in states}, lab.rounds)
    rows[0].notes.append(past.words)
    rows[0].notes.append(f"the first question of a process, ms:{first.draw('.1f')}")
    rows[0].notes += [f"{column}, ms: {taken.draw('.2f')}" for column, taken in medians.items()]
    return rows


def measure_search(lab: Lab) -> list[Row]:
    """
    Measure how long it takes to find words: the newest twenty texts that hold them.

    A word may be the beginning of a longer one; the bare table is asked for whole words, which is
    less, but where a beginning is what was typed.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the kind of words that takes longest, and one for the slowest answer.
    """
    return _measure(lab, "search", f"search in {lab.fewer(TEXTS, TEXTS_QUICK):,}, newest 20")


def measure_history(lab: Lab) -> list[Row]:
    """
    Measure how long it takes to read a page of twenty lines of what was said.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the page that takes longest, and one for the slowest answer.
    """
    return _measure(lab, "history", f"history of {lab.fewer(TEXTS, TEXTS_QUICK):,}, 20 lines")
