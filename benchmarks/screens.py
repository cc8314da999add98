"""
The measurement of a line and its answer, from screen to screen: two nodes with a console each.

We are the people at both of them, and type on pipes. A round trip is a line that is typed here, is
drawn there, is answered there at once, and whose answer is drawn here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.machine import MeasureError, find_free_port, is_listening, pinned_to, wait_until
from benchmarks.people import NODE as NODE_NUMBER
from benchmarks.people import ROOM_NAME, STORED, WRITER, acquaint, fill_room, invite_to_room, say
from benchmarks.report import BARE, NODE, Goal, Row
from benchmarks.rounds import Shares, say_aloud, take_turns
from benchmarks.servers import (
    HERE,
    START_LIMIT,
    Lab,
    make_environment,
    node_options,
    stop_process,
)

__all__ = ["measure_screens"]

# Round trips before it counts, and the rest between two of them in seconds: people do not type a
# thousand lines in a second, and of those that do the screen draws some together.
WARM_UP_TRIPS = 200
REST = 0.01

# The longest wait for one line, and for all that was missed, in seconds.
LINE_LIMIT = 10.0
CATCH_UP_LIMIT = 120.0

# Enough of the latest output to find what may have come in two pieces, and to tell what went wrong.
TAIL = 400

READ_BYTES = 1 << 16

# What a node draws when it has got all that it missed in a room, or some of it; and what it draws
# of a text that it takes for news.
CAUGHT_UP = re.compile(rb"(\d+) texts? came in #%s " % ROOM_NAME.encode())
NEWS = re.compile(rb": %s\d{6}" % STORED.encode())


class Person:
    """
    Somebody at a console: they type, and look at what is drawn.

    Args:
        process: The program, on pipes.
        port: Where it listens.
        reply: What to type before each line, so that it goes to whoever spoke last.

    Attributes:
        process: The same.
        port: The same.
        caught_up: How many of the texts that were missed were drawn as a number alone.
        news: How many of them were drawn one by one.
        caught_up_at: When the last of them were, in seconds of the monotonic clock.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, reply: str) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process = process
        self.port = port
        self._reply = reply
        self._keyboard = process.stdin.fileno()
        self._paper = process.stdout.fileno()
        self._drawn = b""
        self.caught_up = self.news = 0
        self.caught_up_at = 0.0

    def type(self, text: str) -> None:
        """
        Type lines.

        Args:
            text: All of them; the last line has its end too.
        """
        os.write(self._keyboard, text.encode())

    def answer(self, text: str) -> None:
        """
        Type a line to whoever spoke last.

        Args:
            text: What to say.
        """
        self.type(f"{self._reply}{text}\n")

    def watch_for(self, text: str, limit: float = LINE_LIMIT) -> float:
        """
        Wait until something is drawn.

        Args:
            text: What, which was not drawn before.
            limit: The longest wait, in seconds.

        Returns:
            When it was, in seconds of the monotonic clock.

        Raises:
            MeasureError: It was not.
        """
        wanted = text.encode()
        deadline = time.monotonic() + limit
        while wanted not in self._drawn:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._paper], [], [], left)[0]:
                raise MeasureError(f"{text!r} was not drawn in {limit:.0f} s, but {self.tail!r}")
            chunk = os.read(self._paper, READ_BYTES)
            now = time.monotonic()
            if not chunk:
                raise MeasureError(f"the program ended: {self.tail!r}")
            self._drawn = self._drawn[-TAIL:] + chunk
            # Nothing that a node draws at one time comes in two pieces, if it is not very much.
            news = len(NEWS.findall(chunk))
            caught_up = sum(map(int, CAUGHT_UP.findall(chunk)))
            if news or caught_up:
                self.news += news
                self.caught_up += caught_up
                self.caught_up_at = now
        return time.monotonic()

    @property
    def tail(self) -> str:
        """
        The latest that was drawn.
        """
        return self._drawn[-TAIL:].decode(errors="replace")

    def close(self) -> None:
        """
        Leave the pipes of a process that has ended.
        """
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Pair:
    """
    Two people who talk.

    Args:
        here: Who speaks first.
        there: Who answers.
    """

    def __init__(self, here: Person, there: Person) -> None:
        self._here = here
        self._there = there
        self._trips = 0

    def begin(self, opening: str) -> None:
        """
        Say the first line, and have it answered.

        Args:
            opening: What to type before it, so that it goes to the other one.
        """
        self._here.type(f"{opening}Zfirstq\n")
        self._there.watch_for("Zfirstq")
        self._there.answer("Zanswerq")
        self._here.watch_for("Zanswerq")

    def go_round(self) -> float:
        """
        Say a line, and have it answered at once; then rest.

        Returns:
            Half of the time that it took, in milliseconds.
        """
        self._trips += 1
        text, answer = say("Zlineq", self._trips), say("Zbackq", self._trips)
        said_at = time.monotonic()
        self._here.answer(text)
        self._there.watch_for(text)
        self._there.answer(answer)
        delay = self._here.watch_for(answer) - said_at
        time.sleep(REST)
        return 500 * delay


@contextlib.contextmanager
def _run_person(
    cores: frozenset[int], make_command: Callable[[int, Path], Sequence[str]], reply: str
) -> Iterator[Person]:
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        folder, port = Path(name), find_free_port()
        with (folder / "errors").open("w+b") as errors, pinned_to(cores):
            process = subprocess.Popen(
                [sys.executable, *make_command(port, folder)],
                cwd=folder,
                env=make_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        person = Person(process, port, reply)
        try:
            yield person
        finally:
            stop_process(process)
            person.close()


def _wait_for_port(person: Person) -> None:
    wait_until(
        lambda: is_listening(person.port) or person.process.poll() is not None,
        START_LIMIT,
        lambda: f"nothing listens on port {person.port}",
    )


def _run_node(
    cores: frozenset[int], us: int, them: int, journal: Path, gaps: Path
) -> AbstractContextManager[Person]:
    def make_command(port: int, folder: Path) -> list[str]:
        acquaint(folder / "state", port, us=us, others=[them])
        shutil.copy(journal, folder / "state" / str(port))
        return ["-m", "benchmarks.watched", str(gaps), "-n", *node_options(port, folder)]

    return _run_person(cores, make_command, "r\n")


def _run_bare(cores: frozenset[int], kind: str, *port: int) -> AbstractContextManager[Person]:
    def make_command(free: int, folder: Path) -> list[str]:
        return [str(HERE / "bare_tls.py"), kind, *map(str, port or (free,))]

    return _run_person(cores, make_command, "")


def _longest(gaps: Path, since: float, until: float) -> tuple[float, float]:
    # How long, and how much of that it had no core, in milliseconds.
    seen = json.loads(gaps.read_text(encoding="ascii"))
    spans = [(1000 * gap, 1000 * waited) for at, gap, waited in seen if since < at < until]
    return max(spans, default=(0.0, 0.0))


def _ends(delays: list[float]) -> tuple[float, float]:
    delays = sorted(delays)
    return statistics.median(delays), delays[math.ceil(0.99 * len(delays)) - 1]


def measure_screens(lab: Lab) -> list[Row]:
    """
    Measure how long a line takes from one screen to another, as half of the way there and back.

    Then the same while whoever answers catches up on very much that the other one has said in a
    room; and how long the reactors of both are busy without a break meanwhile.

    Args:
        lab: What all measurements have in common.

    Returns:
        Rows for both, and for the longest time that a reactor was busy.
    """
    missed = lab.fewer(100_000, 10_000)
    trips = lab.fewer(1_000, 200)
    line, then = "a line from screen to screen", f"while catching up on {missed:,}"
    busy = "longest that the reactor was busy"
    rows = [
        Row(f"{line}, median: ms (bare: lines over TLS)", (Goal(1.0, False),), 3),
        Row(f"{line}, 99 %: ms", (Goal(5.0, False),), 3),
        Row(f"{line} {then}, median: ms", (), 2),
        Row(f"{line} {then}, 99 %: ms", (Goal(50.0, False),), 2),
        Row(f"{busy}, nothing else said: ms", (Goal(20.0, False),), 1),
        Row(f"{busy} {then}, who lacks them: ms", (Goal(20.0, False),), 1),
        Row(f"{busy} {then}, who holds them: ms", (Goal(20.0, False),), 1),
    ]
    beside = Shares()
    without = {row: Shares() for row in (4, 5, 6)}

    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        folders = [Path(name) / "holds", Path(name) / "lacks"]
        for folder in folders:
            folder.mkdir()
        say_aloud(f"{rows[2].title}: signing them")
        fill_room(folders[0], missed)
        invite_to_room(folders[1])
        (held,), (lacking,) = (list(folder.iterdir()) for folder in folders)
        gaps = {WRITER: Path(name) / "gaps-holds", NODE_NUMBER: Path(name) / "gaps-lacks"}

        def talk() -> dict[int, float]:
            delays: list[float] = []
            with (
                _run_node(lab.cores.load, WRITER, NODE_NUMBER, held, gaps[WRITER]) as here,
                _run_node(
                    lab.cores.server, NODE_NUMBER, WRITER, lacking, gaps[NODE_NUMBER]
                ) as there,
            ):
                for person in (here, there):
                    _wait_for_port(person)
                pair = Pair(here, there)
                pair.begin(f"1\n127.0.0.1:{there.port}\n")
                for _ in range(WARM_UP_TRIPS):
                    pair.go_round()
                quiet_at = time.monotonic()
                quiet = _ends([pair.go_round() for _ in range(trips)])
                busy_at = time.monotonic()
                there.type(f"room {ROOM_NAME}\nj\n")
                while there.caught_up + there.news < missed:
                    delays.append(pair.go_round())
                    if time.monotonic() - busy_at > CATCH_UP_LIMIT:
                        raise MeasureError(f"it has not caught up in {CATCH_UP_LIMIT:.0f} s")
                over_at = there.caught_up_at
            beside.add("drawn one by one", there.news)
            beside.add("round trips", len(delays))
            beside.add("entries/s", missed / (over_at - busy_at))
            # Their processes have ended, and told.
            longest = [
                max(_longest(file, quiet_at, busy_at) for file in gaps.values()),
                _longest(gaps[NODE_NUMBER], busy_at, over_at),
                _longest(gaps[WRITER], busy_at, over_at),
            ]
            for row, (_, waited) in enumerate(longest, 4):
                without[row].add("", waited)
            figures = [*quiet, *_ends(delays), *(gap for gap, _ in longest)]
            return dict(enumerate(figures))

        def talk_barely() -> dict[int, float]:
            with _run_bare(lab.cores.server, "chat") as there:
                _wait_for_port(there)
                with _run_bare(lab.cores.load, "call", there.port) as here:
                    pair = Pair(here, there)
                    pair.begin("")
                    for _ in range(WARM_UP_TRIPS):
                        pair.go_round()
                    return dict(enumerate(_ends([pair.go_round() for _ in range(trips)])))

        take_turns(rows, {NODE: talk, BARE: talk_barely}, lab.rounds)
    rows[2].notes.append(f"meanwhile: {beside.draw(',.0f')}")
    rows[4].notes.append("seen by a timer of 2 ms in each process")
    for row, waited in without.items():
        rows[row].notes.append(f"for so much of it another had its core, ms:{waited.draw('.1f')}")
    return rows
