"""
The measurements of what is secure: sessions, signed texts and the journal.

What stands beside the node is bare: lines over the same TLS, and neither signed nor stored.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.bare_tls import BATCH
from benchmarks.machine import (
    MeasureError,
    count_descriptors,
    count_wake_ups,
    read_busy_seconds,
    read_peak_kib,
    read_resident_kib,
    reset_peak,
    wait_for_settled_kib,
)
from benchmarks.people import FIRST_CALLER, WRITER, acquaint, fill_journal, say
from benchmarks.people import NODE as NODE_NUMBER
from benchmarks.report import BARE, NODE, Goal, Row
from benchmarks.rounds import COUNTED, WARM_UP, Shares, Turn, say_aloud, take_turns
from benchmarks.secure_servers import (
    Talk,
    keep_sessions,
    open_sessions,
    run_bare_tls,
    run_called_node,
    run_read_node,
    run_writer,
    talk_barely,
)
from benchmarks.servers import Lab, Runner, run_node

__all__ = [
    "measure_catch_up",
    "measure_handshakes",
    "measure_rest",
    "measure_sessions",
    "measure_texts",
    "measure_turns",
]

# Callers who open one session after the other, and for how long they do, in seconds.
CALLERS = 16
HANDSHAKE_SECONDS, HANDSHAKE_SECONDS_QUICK = 3.0, 1.0
HANDSHAKE_WARM_UP = 0.5

# Texts before it counts: Python has specialised its bytecode by then.
WARM_UP_TEXTS = 2000
WARM_UP_TURNS = 300

# The longest time for texts, and until the last one is shown, in seconds.
TALK_LIMIT = 60.0
SHOW_LIMIT, SHOW_STALL = 10.0, 3.0

# Sessions that are open before it counts: the first ones load code and make tables.
SESSIONS_BEFORE, SESSIONS_COUNTED = 100, 500
OPEN_LIMIT = 20.0
QUIET = 0.3

# Idle sessions of a node that holds much, and for how many seconds it is watched: of a session that
# says nothing, one turn of the pings is five. They begin at different times.
IDLE_SESSIONS = 10
IDLE_SECONDS, IDLE_SECONDS_QUICK = 30.0, 6.0

MEGABYTE = 1000

# Commits of one row to see how fast the disk is.
COMMITS = 100


def measure_handshakes(lab: Lab) -> list[Row]:
    """
    Measure how many sessions can be opened, one after the other, by callers whom the node knows.

    A session counts once both sides have said a line.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the sessions in a second, and one for those in a second of work: that figure does
        not depend on who else uses the core, nor on how fast the callers are.
    """
    goals = (Goal(0.7, True, BARE),)
    rows = [
        Row(f"sessions opened and closed by {CALLERS} callers: sessions/s", goals),
        Row("the same for each second of processor time: sessions/s", goals),
    ]
    seconds = HANDSHAKE_SECONDS_QUICK if lab.is_quick else HANDSHAKE_SECONDS
    busy = Shares()

    def call(column: str, run: Runner) -> dict[int, float]:
        with run(lab) as server:
            open_sessions(lab, server.port, CALLERS, HANDSHAKE_WARM_UP)
            before = read_busy_seconds(server.pid)
            report = open_sessions(lab, server.port, CALLERS, seconds)
            used = read_busy_seconds(server.pid) - before
        busy.add(column, report.busy)
        if report.failed:
            rows[0].notes.append(f"{column}: {report.failed:,} sessions failed: {report.reason}")
        return {0: report.opened / report.seconds, 1: report.opened / used}

    turns: dict[str, Turn] = {
        NODE: partial(call, NODE, partial(run_called_node, callers=CALLERS)),
        BARE: partial(call, BARE, partial(run_bare_tls, kind="serve")),
    }
    take_turns(rows, turns, lab.rounds)
    rows[0].notes.append(f"the callers were busy: {busy.draw('.0%')}")
    return rows


def measure_texts(lab: Lab) -> list[Row]:
    """
    Measure how many texts go from one node to another, one way.

    Each is signed, stored by both, shown, and acknowledged to whoever said it.

    Args:
        lab: What all measurements have in common.

    Returns:
        The row.
    """
    row = Row(
        "texts one way, signed and stored: texts/s (bare: lines)",
        (Goal(0.5, True, BARE), Goal(4_000, True), Goal(10_000, True)),
    )
    count = lab.fewer(100_000, 10_000)
    talk = Talk("stream", count, WARM_UP_TEXTS, WARM_UP, COUNTED, TALK_LIMIT)
    cost = Shares()

    def write() -> dict[int, float]:
        with run_read_node(lab) as server, run_writer(lab, server.port, talk) as writer:
            server.console.look_for(COUNTED)
            before = read_busy_seconds(server.pid)
            report = writer.write(TALK_LIMIT)
            shown = server.console.wait_shown(count, SHOW_LIMIT, SHOW_STALL)
            used = read_busy_seconds(server.pid) - before
        cost.add("writer", 1_000_000 * report.busy / count)
        cost.add("reader", 1_000_000 * used / (WARM_UP_TEXTS + count))
        if shown.count < count or shown.repeated:
            row.notes.append(f"{shown.count:,} shown of {count:,}, {shown.repeated:,} twice")
        return {0: count / report.seconds}

    def write_barely() -> dict[int, float]:
        with run_bare_tls(lab, "count") as server:
            return {0: count / talk_barely(lab, server.port, talk).seconds}

    take_turns([row], {NODE: write, BARE: write_barely}, lab.rounds)
    row.notes.append(
        "bare: a LineReceiver at either end; a write for each line, so that TLS gathers many into"
        f" one record; one line back for {BATCH} lines"
    )
    row.notes.append(f"processor time for a text, us: {cost.draw('.1f')}")
    return [row]


def measure_turns(lab: Lab) -> list[Row]:
    """
    Measure how long it takes from a text to its receipt, where nothing else is said.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the median, one for the 99th of a hundred and one for the slowest.
    """
    rows = [
        Row(
            "a text and its receipt, median: ms (bare: a line and its echo)",
            (Goal(2.0, False), Goal(1.0, False)),
            3,
        ),
        Row("a text and its receipt, 99 %: ms", (Goal(5.0, False),), 3),
        Row("a text and its receipt, slowest: ms", (), 3),
    ]
    count = lab.fewer(3_000, 500)
    talk = Talk("turns", count, WARM_UP_TURNS, WARM_UP, COUNTED, TALK_LIMIT)

    def sum_up(delays: list[float]) -> dict[int, float]:
        delays = sorted(1000 * delay for delay in delays)
        late = delays[math.ceil(0.99 * len(delays)) - 1]
        return {0: statistics.median(delays), 1: late, 2: delays[-1]}

    commit = Shares()

    def write() -> dict[int, float]:
        commit.add("", 1000 * _time_commit())
        with run_read_node(lab) as server, run_writer(lab, server.port, talk) as writer:
            return sum_up(writer.write(TALK_LIMIT).delays)

    def write_barely() -> dict[int, float]:
        with run_bare_tls(lab, "serve") as server:
            return sum_up(talk_barely(lab, server.port, talk).delays)

    take_turns(rows, {NODE: write, BARE: write_barely}, lab.rounds)
    rows[0].notes.append(
        f"two commits are part of it, one on each side; here one of a single row took, ms:"
        f"{commit.draw('.2f')}"
    )
    return rows


def _time_commit() -> float:
    """
    Measure how long a commit takes that waits for the disk, in seconds.
    """
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        connection = sqlite3.connect(Path(name) / "commits.sqlite", isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE texts (text TEXT)")
            taken: list[float] = []
            for serial in range(COMMITS):
                started_at = time.perf_counter()
                connection.execute("INSERT INTO texts VALUES (?)", (say(COUNTED, serial),))
                taken.append(time.perf_counter() - started_at)
    return statistics.median(taken)


def measure_sessions(lab: Lab) -> list[Row]:
    """
    Measure what it costs to keep a session in which nothing is said.

    Args:
        lab: What all measurements have in common.

    Returns:
        The row.
    """
    count = lab.fewer(SESSIONS_COUNTED, 100)
    row = Row(f"memory for each of {count} idle sessions: kB", (Goal(60.0, False),), 1)
    everybody = SESSIONS_BEFORE + SESSIONS_COUNTED

    def keep(run: Runner) -> dict[int, float]:
        with run(lab) as server, ExitStack() as kept:
            before = count_descriptors(server.pid)
            kept.enter_context(keep_sessions(lab, server.port, 0, SESSIONS_BEFORE, OPEN_LIMIT))
            few = wait_for_settled_kib(server.pid, QUIET, limit=2.0)
            kept.enter_context(keep_sessions(lab, server.port, SESSIONS_BEFORE, count, OPEN_LIMIT))
            many = wait_for_settled_kib(server.pid, QUIET, limit=2.0)
            there = count_descriptors(server.pid) - before
            if there < SESSIONS_BEFORE + count:
                raise MeasureError(f"only {there:,} of {SESSIONS_BEFORE + count:,} sessions stayed")
        return {0: (many - few) * 1.024 / count}

    turns: dict[str, Turn] = {
        NODE: partial(keep, partial(run_called_node, callers=everybody)),
        BARE: partial(keep, partial(run_bare_tls, kind="serve")),
    }
    take_turns([row], turns, lab.rounds)
    return [row]


def measure_rest(lab: Lab) -> list[Row]:
    """
    Measure what a node costs that holds much, and has sessions in which nothing is said.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the memory, one for the time and one for how often it wakes up.
    """
    count = lab.fewer(100_000, 10_000)
    seconds = IDLE_SECONDS_QUICK if lab.is_quick else IDLE_SECONDS
    idle = f"idle, {count:,} entries and {IDLE_SESSIONS} sessions"
    rows = [
        Row(f"{idle}: MB (bare: nothing but the sessions)", (Goal(80.0, False),), 1),
        Row(f"{idle}, for {seconds:.0f} s: % of a core", (Goal(0.3, False),), 3),
        Row(f"{idle}: wake-ups/s", (), 1),
    ]

    def rest(run: Runner) -> dict[int, float]:
        with run(lab) as server, keep_sessions(lab, server.port, 0, IDLE_SESSIONS, OPEN_LIMIT):
            wait_for_settled_kib(server.pid, QUIET)
            started_at, busy = time.monotonic(), read_busy_seconds(server.pid)
            woken = count_wake_ups(server.pid)
            time.sleep(seconds)
            passed = time.monotonic() - started_at
            busy = read_busy_seconds(server.pid) - busy
            woken = count_wake_ups(server.pid) - woken
            kib = read_resident_kib(server.pid)
        return {0: kib * 1.024 / MEGABYTE, 1: 100 * busy / passed, 2: woken / passed}

    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        say_aloud(f"{rows[0].title}: signing them")
        fill_journal(Path(name), count)
        (journal,) = Path(name).iterdir()

        def prepare(state: Path, port: int) -> None:
            callers = range(FIRST_CALLER, FIRST_CALLER + IDLE_SESSIONS)
            acquaint(state, port, us=NODE_NUMBER, others=[WRITER, *callers])
            shutil.copy(journal, state / str(port))

        turns: dict[str, Turn] = {
            NODE: partial(rest, partial(run_node, prepare=prepare)),
            BARE: partial(rest, partial(run_bare_tls, kind="serve")),
        }
        take_turns(rows, turns, lab.rounds)
    return rows


def measure_catch_up(lab: Lab) -> list[Row]:
    """
    Measure how a node hands over all that somebody missed, and how it lives with that.

    Args:
        lab: What all measurements have in common.

    Returns:
        Rows for the speed, for the memory that it takes on both sides, and for the memory at rest
        and the start of a node that holds so much.
    """
    count = lab.fewer(100_000, 10_000)
    growth = "more memory while catching up"
    rows = [
        Row(f"catching up on {count:,} entries: entries/s", (Goal(20_000, True),)),
        Row(f"{growth}, who lacks them: MB", (Goal(40.0, False),), 1),
        Row(f"{growth}, who holds them: MB", (Goal(40.0, False),), 1),
        Row(f"memory at rest with {count:,} entries: MB", (Goal(80.0, False),), 1),
        Row(f"start with {count:,} entries: seconds", (Goal(1.0, False),), 3),
    ]
    talk = Talk("catch-up", count, 0, "", "", TALK_LIMIT)
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        say_aloud(f"{rows[0].title}: signing them")
        fill_journal(Path(name), count)
        (journal,) = Path(name).iterdir()

        def catch_up() -> dict[int, float]:
            with (
                run_read_node(lab) as server,
                run_writer(lab, server.port, talk, journal) as writer,
            ):
                before = {}
                for pid in (server.pid, writer.pid):
                    before[pid] = wait_for_settled_kib(pid, QUIET)
                    reset_peak(pid)
                report = writer.write(TALK_LIMIT)
                grown = {
                    pid: (read_peak_kib(pid) - kib) * 1.024 / MEGABYTE
                    for pid, kib in before.items()
                }
                figures = {
                    0: count / report.seconds,
                    1: grown[server.pid],
                    2: grown[writer.pid],
                }
            return {**figures, **rest()}

        def rest() -> dict[int, float]:
            def prepare(state: Path, port: int) -> None:
                acquaint(state, port, us=NODE_NUMBER, others=[WRITER])
                shutil.copy(journal, state / str(port))

            with run_node(lab, prepare) as server:
                wait_for_settled_kib(server.pid, QUIET)
                kib = read_resident_kib(server.pid)
                return {3: kib * 1.024 / MEGABYTE, 4: server.start_seconds}

        take_turns(rows, {NODE: catch_up}, lab.rounds)
    return rows
