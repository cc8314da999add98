"""
Somebody who looks things up in a long past, through `INode` and a reactor, as a console would.

And somebody who does the same in bare tables, with the plainest queries. Run as
``python -m benchmarks.questions ORDER``, where ORDER is an ``AskOrder`` in JSON; it prints an
``AskReport`` in JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import sys
import time
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.alone import run_alone, running_node
from benchmarks.archive import ROOM, SMALL_MATE, place_of
from benchmarks.texts import EVERY_LONG, EVERY_SHORT, make_words
from twistedchat.core.history import LineOfHistory, Place
from twistedchat.node import Node

__all__ = ["AskOrder", "AskReport"]

# Lines of an answer.
MOST = 20

# How long one question is asked again and again, in seconds, and how often at least and at most.
ASK_SECONDS, LEAST, MOST_TIMES = 0.5, 5, 200


@dataclass(frozen=True, slots=True)
class AskOrder:
    """
    What to ask.

    Attributes:
        kind: "search" or "history".
        count: How many texts there are.
        state: The state folder of the node that is asked; with none, bare tables are.
        port: Where that node listens.
        file: The bare tables.
    """

    kind: str
    count: int
    state: str
    port: int
    file: str


@dataclass(frozen=True, slots=True)
class AskReport:
    """
    How long the answers took.

    Attributes:
        delays: By the question, each answer's seconds.
        found: By the question, the numbers of the lines that were found.
    """

    delays: dict[str, list[float]]
    found: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class _Words:
    """
    Words to look for, and where; everywhere if that is not said.
    """

    words: str
    place: Place | None = None
    is_beginning: bool = False


@dataclass(frozen=True, slots=True)
class _Page:
    """
    A page of the past: of where, and whether of its middle or else of its end.
    """

    place: Place | None
    is_middle: bool


_Question: TypeAlias = _Words | _Page


def _words() -> dict[str, _Words]:
    words = make_words()
    # By their rank: of a million texts a word of rank 30 stands in a fiftieth, one of rank 1,000 in
    # a thousandth, and one near the end in a handful.
    short = next(word for word in words[20:] if len(word) <= 3)
    long = next(word for word in words[50:] if len(word) >= 6)
    once = words[1000:1002]
    rare = words[50_000]
    return {
        "a rare word": _Words(rare),
        "a common short word": _Words(short),
        "a common long word": _Words(long),
        "a short word of every text": _Words(EVERY_SHORT),
        "a long word of every text": _Words(EVERY_LONG),
        "two common words": _Words(f"{short} {long}"),
        "two words seldom together": _Words(" ".join(once)),
        "a rare word and one of every text": _Words(f"{rare} {EVERY_LONG}"),
        "one letter": _Words(short[0], is_beginning=True),
        "the beginning of some words": _Words(long[:5], is_beginning=True),
        "the beginning of a word of every text": _Words(EVERY_LONG[:5], is_beginning=True),
        "five words": _Words(" ".join([*words[20:23], long, EVERY_LONG])),
        "a word that was never said": _Words("xylophone"),
        "one never said and one of every text": _Words(f"xylophone {EVERY_LONG}"),
        "a common word in a small place": _Words(long, place_of(SMALL_MATE)),
        "a long word of every text in a small place": _Words(EVERY_LONG, place_of(SMALL_MATE)),
        "a common word in a large place": _Words(long, ROOM),
    }


def _pages() -> dict[str, _Page]:
    return {
        "the end of a room": _Page(ROOM, False),
        "the middle of a room": _Page(ROOM, True),
        "the end of a small place": _Page(place_of(SMALL_MATE), False),
        "the middle of a small place": _Page(place_of(SMALL_MATE), True),
        "the end of everything": _Page(None, False),
        "the middle of everything": _Page(None, True),
    }


def _questions(kind: str) -> dict[str, _Question]:
    return dict(_words() if kind == "search" else _pages())


def _is_enough(delays: list[float]) -> bool:
    return len(delays) >= LEAST and (sum(delays) >= ASK_SECONDS or len(delays) >= MOST_TIMES)


async def _ask_node(node: Node, order: AskOrder) -> AskReport:
    report = AskReport({}, {})

    async def ask(question: _Question, before: LineOfHistory | None, most: int) -> list[Any]:
        if isinstance(question, _Words):
            return await node.search(question.words, question.place, before, most)
        return await node.history(question.place, 0.0, before, most)

    # What the first question of a process has to wait for is a figure by itself.
    for name, question in {"the first": _Words(EVERY_LONG), **_questions(order.kind)}.items():
        before = None
        if isinstance(question, _Page) and question.is_middle:
            # Where nothing but its number is known of a line, it is looked for by that.
            middle = LineOfHistory(
                order.count // 2, question.place or b"", None, None, False, 0, 0.0, ""
            )
            (before,) = await ask(question, middle, 1)
        delays = report.delays[name] = []
        lines: list[LineOfHistory] = []
        while not _is_enough(delays):
            asked_at = time.perf_counter()
            lines = await ask(question, before, MOST)
            delays.append(time.perf_counter() - asked_at)
            if name == "the first":
                break
        report.found[name] = [line.number for line in lines]
    return report


def _ask_barely(order: AskOrder) -> AskReport:
    report = AskReport({}, {})
    with contextlib.closing(sqlite3.connect(order.file)) as connection:
        for name, question in _questions(order.kind).items():
            asked = _bare_query(connection, question, order.count)
            if asked is None:
                continue
            delays = report.delays[name] = []
            rows: list[tuple[Any, ...]] = []
            while not _is_enough(delays):
                asked_at = time.perf_counter()
                rows = connection.execute(*asked).fetchall()
                delays.append(time.perf_counter() - asked_at)
            report.found[name] = [row[0] for row in rows]
    return report


def _bare_query(
    connection: sqlite3.Connection, question: _Question, count: int
) -> tuple[str, tuple[Any, ...]] | None:
    if isinstance(question, _Words):
        if question.place is not None:
            return None
        words = question.words + ("*" if question.is_beginning else "")
        return (
            "SELECT rowid, body FROM bare_words WHERE bare_words MATCH ? "
            "ORDER BY rowid DESC LIMIT ?",
            (words, MOST),
        )
    before = count // 2 if question.is_middle else 2 * count
    if question.place is None:
        return (
            "SELECT id, place, time, body FROM bare_texts WHERE id < ? ORDER BY id DESC LIMIT ?",
            (before, MOST),
        )
    (place,) = connection.execute(
        "SELECT id FROM bare_places WHERE name = ?", (question.place,)
    ).fetchone()
    (time_before,) = connection.execute(
        "SELECT max(time) + 1 FROM bare_texts WHERE place = ? AND id < ?", (place, before)
    ).fetchone()
    return (
        "SELECT id, place, time, body FROM bare_texts WHERE place = ? AND time < ? "
        "ORDER BY time DESC LIMIT ?",
        (place, time_before, MOST),
    )


async def _ask(order: AskOrder) -> None:
    async with running_node(order.state, order.port, "bench") as node:
        print(json.dumps(dataclasses.asdict(await _ask_node(node, order))), flush=True)


def main() -> None:
    """
    Do what the command line orders.
    """
    order = AskOrder(**json.loads(sys.argv[1]))
    if order.state:
        run_alone(lambda: _ask(order))
    else:
        print(json.dumps(dataclasses.asdict(_ask_barely(order))), flush=True)


if __name__ == "__main__":
    main()
