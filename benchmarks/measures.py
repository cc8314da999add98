"""
The measurements: one function for each group of rows of the table.

Those in plain are here, those of sessions in ``secure``. Every program is started afresh for each
figure and has had a few messages before it counts.
"""

from __future__ import annotations

import math
import re
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks.load import LoadOrder, LoadReport, idle_connections
from benchmarks.machine import (
    MeasureError,
    count_descriptors,
    read_busy_seconds,
    wait_for_settled_kib,
    wait_until,
)
from benchmarks.past import measure_history, measure_search
from benchmarks.report import BARE, CEILING, NODE, THREADED, Goal, Row
from benchmarks.rooms import measure_room
from benchmarks.rounds import COUNTED, WARM_UP, Shares, Turn, say_aloud, take_turns
from benchmarks.screens import measure_screens
from benchmarks.secure import (
    measure_catch_up,
    measure_handshakes,
    measure_rest,
    measure_sessions,
    measure_texts,
    measure_turns,
)
from benchmarks.servers import (
    Lab,
    Runner,
    Server,
    Sink,
    TerminalNode,
    collect_load,
    run_bare,
    run_bare_client,
    run_bare_service,
    run_load,
    run_node,
    run_node_on_terminal,
    run_sink,
    run_threaded,
    start_load,
)
from benchmarks.sink import SinkOrder

__all__ = ["MEASURES", "Measure"]

Measure = Callable[[Lab], list[Row]]
"""Takes the figures of some rows."""

SERVERS: dict[str, Runner] = {NODE: run_node, BARE: run_bare, THREADED: run_threaded}
"""Those that are measured while messages arrive."""

# Messages before it counts. Python has specialised its bytecode by then.
WARM_UP_MESSAGES = 400

# How long one paced figure is taken, which is never more messages than this, in seconds. A time and
# not a number of messages: connections that a full backlog swallowed would hold up the last ones.
PACED_SECONDS, PACED_SECONDS_QUICK = 2.5, 0.8
PACED_MESSAGES = 500_000

# The longest time for the messages before it counts, and for those sent by a program, in seconds.
WARM_UP_LIMIT = 4.0
SEND_LIMIT = 15.0

# The longest wait until everything is shown, and the longest without one more, in seconds.
SHOW_LIMIT, SHOW_STALL = 10.0, 3.0

# How long a burst may take, and how long nothing more may be shown before we give up, in seconds.
# A connection attempt that a full backlog swallowed is repeated after 1 and then 2 more seconds.
BURST_LIMIT, BURST_STALL = 20.0, 3.0
BURST_SENDERS, BURST_EACH = 64, 50

# Idle connections from one address, and those that are open before it counts: the first ones load
# code and make tables, the next ones show what one more costs.
IDLE_EACH = 4
IDLE_BEFORE, IDLE_COUNTED = 200, 1000

# For how many seconds memory must have stood still to count as settled.
QUIET_IDLE, QUIET_REST = 0.2, 0.5

START_ROUNDS = 5

# The keys pressed while messages arrive: letters that are in no message, prompt or prior key, one
# column wide.
LETTERS = [chr(code) for code in range(0x10D0, 0x10F1)] + [chr(c) for c in range(0x13A0, 0x13F0)]
CLEAR_LINE = "\x15"
KEYS_ON_LINE = 20
KEY_PAUSE = 0.1
GOLDEN = 0.618
KEY_LIMIT = 3.0
ECHO_RATE = 200.0


def _warm_up(lab: Lab, server: Server, senders: int) -> None:
    """
    Send a server some messages before it counts, and wait until it has shown them.
    """
    server.console.look_for(WARM_UP)
    order = LoadOrder("paced", server.port, senders, WARM_UP_MESSAGES, WARM_UP, WARM_UP_LIMIT)
    report = run_load(lab, order)
    server.console.wait_shown(report.sent, SHOW_LIMIT, SHOW_STALL)
    server.console.look_for(COUNTED)


def _note_losses(row: Row, column: str, report: LoadReport, shown: int, repeated: int) -> None:
    """
    Write down whatever was not as it should be.
    """
    if report.failed:
        row.notes.append(f"{column}: {report.failed:,} connections refused or reset")
    if shown < report.sent:
        row.notes.append(f"{column}: {report.sent - shown:,} of {report.sent:,} not shown")
    if repeated:
        row.notes.append(f"{column}: {repeated:,} shown twice")


def _measure_paced(lab: Lab, senders: int, goals: tuple[Goal, ...]) -> Row:
    """
    Measure messages per second, where each sender waits for the server between its messages.
    """
    seconds = PACED_SECONDS_QUICK if lab.is_quick else PACED_SECONDS
    plural = "s" if senders > 1 else ""
    row = Row(f"paced, {senders} sender{plural}: messages/s", goals)
    busy = Shares()
    cost = Shares()

    def order(port: int) -> LoadOrder:
        return LoadOrder("paced", port, senders, PACED_MESSAGES, COUNTED, seconds)

    def serve(column: str, run: Runner) -> dict[int, float]:
        with run(lab) as server:
            _warm_up(lab, server, senders)
            before = read_busy_seconds(server.pid)
            report = run_load(lab, order(server.port))
            shown = server.console.wait_shown(report.sent, SHOW_LIMIT, SHOW_STALL)
            used = read_busy_seconds(server.pid) - before
        _note_losses(row, column, report, shown.count, shown.repeated)
        busy.add(column, report.busy)
        if column != THREADED:  # whose threads have ended, and their time with them
            cost.add(column, 1_000_000 * used / max(1, shown.count))
        # It is over when the last message can be read, not when the last sender is content.
        ended_at = max(report.ended_at, shown.last_at)
        return {0: shown.count / (ended_at - report.started_at)}

    def sink() -> dict[int, float]:
        with run_sink(lab.cores.server, SinkOrder(1, COUNTED, 0, is_spinning=True)) as server:
            report = run_load(lab, order(server.ports[0]))
        busy.add(CEILING, report.busy)
        return {0: report.sent / (report.ended_at - report.started_at)}

    turns = {column: partial(serve, column, run) for column, run in SERVERS.items()}
    take_turns([row], {**turns, CEILING: sink}, lab.rounds)
    row.notes.append(f"the generator was busy: {busy.draw('.0%')}")
    row.notes.append(f"processor time for a message, us: {cost.draw('.1f')}")
    return row


def measure_paced(lab: Lab) -> list[Row]:
    """
    Measure messages per second from 1, 4 and 64 senders.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for each.
    """
    goals = (Goal(3.5, is_least=True, column=THREADED), Goal(0.8, is_least=True, column=BARE))
    return [
        _measure_paced(lab, 1, ()),
        _measure_paced(lab, 4, goals),
        _measure_paced(lab, 64, ()),
    ]


def measure_burst(lab: Lab) -> list[Row]:
    """
    Measure what becomes of a burst: many senders at once, none of whom waits for anything.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for how many messages were shown, and one for the time until all were.
    """
    count = BURST_SENDERS * BURST_EACH
    rows = [
        Row(
            f"burst, {BURST_SENDERS} senders: shown of {count:,}",
            (Goal(count, is_least=True, is_for_all=True),),
        ),
        Row("burst: seconds until all are shown", (Goal(1.3, False, BARE),), 3),
    ]

    def serve(column: str, run: Runner) -> dict[int, float]:
        with run(lab) as server:
            _warm_up(lab, server, 4)
            order = LoadOrder("burst", server.port, BURST_SENDERS, count, COUNTED, BURST_LIMIT)
            process = start_load(lab, order)
            shown = server.console.wait_shown(count, BURST_LIMIT, BURST_STALL)
            if shown.count < count:
                process.terminate()
            report = collect_load(process, BURST_LIMIT)
        seconds = shown.last_at - report.started_at
        if report.failed:
            rows[0].notes.append(f"{column}: {report.failed:,} connections refused or reset")
        if shown.repeated:
            rows[0].notes.append(f"{column}: {shown.repeated:,} shown twice")
        if shown.count < count:
            rows[1].notes.append(
                f"{column}: {shown.count:,} of {count:,} after {seconds:.1f} s, then nothing for"
                f" {BURST_STALL:.0f} s or the time was over; {report.sent:,} had left"
            )
        return {0: shown.count, 1: seconds if shown.count == count else math.inf}

    def sink() -> dict[int, float]:
        with run_sink(lab.cores.server, SinkOrder(1, COUNTED, count, is_spinning=True)) as server:
            order = LoadOrder("burst", server.ports[0], BURST_SENDERS, count, COUNTED, BURST_LIMIT)
            report = run_load(lab, order)
            arrived = server.collect(SHOW_LIMIT)
        return {0: arrived.count, 1: arrived.last_at - report.started_at}

    turns = {column: partial(serve, column, run) for column, run in SERVERS.items()}
    take_turns(rows, {**turns, CEILING: sink}, lab.rounds)
    return rows


def measure_idle(lab: Lab) -> list[Row]:
    """
    Measure what a node costs to which nothing is said.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for connections on which nothing is said, and those of a node that holds much.
    """
    return [_measure_connections(lab), *measure_rest(lab)]


def _measure_connections(lab: Lab) -> Row:
    """
    Measure what it costs to keep a connection open on which nothing is said.
    """
    count = IDLE_COUNTED
    row = Row(f"memory for each of {count:,} idle connections: kB", (Goal(2.0, False),), 2)

    def hold(run: Runner) -> dict[int, float]:
        with run(lab) as server, ExitStack() as held:
            before = count_descriptors(server.pid)

            def open_more(first: int, more: int) -> int:
                def wait(opened: int) -> None:
                    wait_until(
                        lambda: count_descriptors(server.pid) >= before + first + opened,
                        5.0,
                        lambda: (
                            f"it took only {count_descriptors(server.pid) - before:,} of"
                            f" {first + opened:,} connections"
                        ),
                        pause=0.0005,
                    )

                held.enter_context(idle_connections(server.port, first, more, IDLE_EACH, wait))
                return wait_for_settled_kib(server.pid, QUIET_IDLE, limit=2.0)

            few = open_more(0, IDLE_BEFORE)
            many = open_more(IDLE_BEFORE, count)
            kept = count_descriptors(server.pid) - before
            if kept < IDLE_BEFORE + count:
                raise MeasureError(f"it kept only {kept:,} of {IDLE_BEFORE + count:,} connections")
            return {0: (many - few) * 1.024 / count}

    turns = {column: partial(hold, run) for column, run in SERVERS.items()}
    take_turns([row], turns, lab.rounds)
    return row


def measure_start(lab: Lab) -> list[Row]:
    """
    Measure the time from starting a program until it listens, and the memory it takes at rest.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the time and one for the memory.
    """
    rows = [
        Row(
            "start to listening: seconds (bare: a twistd service)",
            (Goal(2.0, False, BARE), Goal(1.0, False)),
            3,
        ),
        Row("memory at rest: MB (bare: a twistd service)", (Goal(60.0, False),), 1),
    ]

    def start(run: Runner) -> dict[int, float]:
        with run(lab) as server:
            kib = wait_for_settled_kib(server.pid, QUIET_REST)
            return {0: server.start_seconds, 1: kib * 1.024 / 1000}

    runners: dict[str, Runner] = {**SERVERS, BARE: run_bare_service}
    for column, run in runners.items():
        try:
            # Once unmeasured: this one compiles the modules and brings the files into memory.
            with run(lab):
                pass
        except (MeasureError, OSError):
            say_aloud(f"{column} does not start")
    turns = {column: partial(start, run) for column, run in runners.items()}
    take_turns(rows, turns, lab.fewer(max(lab.rounds, START_ROUNDS), 1))
    return rows


def _measure_sending(lab: Lab, port_count: int) -> Row:
    """
    Measure messages per second that a program sends on a person's behalf.
    """
    count = lab.fewer(4_000, 800)
    where = "one address" if port_count == 1 else f"{port_count} addresses in turn"
    row = Row(f"sending to {where}: messages/s")

    def text(serial: int) -> str:
        return f"{COUNTED}{serial:06d} and a few words more"

    def collect(column: str, sink: Sink) -> dict[int, float]:
        arrived = sink.collect(SEND_LIMIT)
        if arrived.count < 2:
            raise MeasureError(f"{arrived.count} of {count:,} messages arrived")
        if arrived.count < count:
            row.notes.append(f"{column}: {arrived.count:,} of {count:,} arrived in time")
        return {0: (arrived.count - 1) / (arrived.last_at - arrived.first_at)}

    def chat(column: str, run: Runner, address: str) -> dict[int, float]:
        with (
            run_sink(lab.cores.load, SinkOrder(port_count, COUNTED, count, False)) as sink,
            run(lab) as server,
        ):
            lines = []
            for serial in range(count):
                port = sink.ports[serial % port_count]
                lines.append(f"1\n{address.format(port)}\n{text(serial)}\n")
            server.type("".join(lines))
            return collect(column, sink)

    def bare() -> dict[int, float]:
        with (
            run_sink(lab.cores.load, SinkOrder(port_count, COUNTED, count, False)) as sink,
            run_bare_client(lab, count, COUNTED, sink.ports),
        ):
            return collect(BARE, sink)

    turns: dict[str, Turn] = {
        NODE: partial(chat, NODE, run_node, "127.0.0.1:{}"),
        BARE: bare,
        THREADED: partial(chat, THREADED, run_threaded, "127.0.0.1\n{}"),
    }
    take_turns([row], turns, lab.rounds)
    return row


def measure_sending(lab: Lab) -> list[Row]:
    """
    Measure how fast a program sends what is typed into it.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for one recipient, whose messages must keep their order, and one for several.
    """
    return [_measure_sending(lab, 1), _measure_sending(lab, 8)]


def measure_echo(lab: Lab) -> list[Row]:
    """
    Measure how long a pressed key takes to appear while messages arrive.

    Args:
        lab: What all measurements have in common.

    Returns:
        A row for the median key, one for the 95th of a hundred and one for the slowest.
    """
    conditions = f"at {ECHO_RATE:.0f} messages/s: ms"
    rows = [
        Row(f"echo, median key, {conditions}", (Goal(50.0, False),), 1),
        Row(f"echo, 95 % of keys, {conditions}", (Goal(50.0, False),), 1),
        Row(f"echo, slowest key, {conditions}", (Goal(50.0, False, is_for_all=True),), 1),
    ]
    keys = lab.fewer(50, 20)
    seconds = keys * KEY_PAUSE + 1.0
    count = int(ECHO_RATE * seconds)

    def press(node: TerminalNode, letter: str) -> float:
        pressed_at = time.monotonic()
        node.press(letter)
        seen_at = node.watch_for(letter, KEY_LIMIT)
        return math.inf if seen_at is None else 1000 * (seen_at - pressed_at)

    def type_keys() -> dict[int, float]:
        first, *letters = LETTERS[: keys + 1]
        delays: list[float] = []
        with run_node_on_terminal(lab) as node:
            if math.isinf(press(node, first)):
                raise MeasureError("the node does not echo a key")
            order = LoadOrder("steady", node.port, 4, count, COUNTED, 2 * seconds, ECHO_RATE)
            process = start_load(lab, order)
            try:
                if node.watch_for(COUNTED, KEY_LIMIT) is None:
                    raise MeasureError("the node shows no message")
                for index, letter in enumerate(letters):
                    if index % KEYS_ON_LINE == 0:
                        node.press(CLEAR_LINE)
                    # Never in step with the messages, which come every few milliseconds.
                    node.watch_during(KEY_PAUSE * (0.9 + 0.2 * (index * GOLDEN % 1)))
                    delays.append(press(node, letter))
                while process.poll() is None:
                    node.watch(0.01)
                node.watch_during(1.0)
            finally:
                process.terminate()
                report = collect_load(process, SHOW_LIMIT)
            shown = len(set(re.findall(COUNTED.encode() + rb"\d{6}", node.screen)))
        _note_losses(rows[0], NODE, report, shown, 0)
        delays.sort()
        return {
            0: statistics.median(delays),
            1: delays[math.ceil(0.95 * len(delays)) - 1],
            2: delays[-1],
        }

    take_turns(rows, {NODE: type_keys}, lab.rounds)
    return rows


MEASURES: dict[str, Measure] = {
    "paced": measure_paced,
    "burst": measure_burst,
    "idle": measure_idle,
    "start": measure_start,
    "sending": measure_sending,
    "echo": measure_echo,
    "handshakes": measure_handshakes,
    "texts": measure_texts,
    "turns": measure_turns,
    "sessions": measure_sessions,
    "catch-up": measure_catch_up,
    "room": measure_room,
    "screens": measure_screens,
    "search": measure_search,
    "history": measure_history,
}
"""Every measurement, by the name that the command line knows it by."""
