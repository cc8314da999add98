"""
The measurement of a full room: as many members as still have a session with everybody.

There is nothing bare beside it: what it has to reach is what people feel.
"""

from __future__ import annotations

import math
import resource
import tempfile

from benchmarks.crowd import CrowdOrder, CrowdReport
from benchmarks.machine import MeasureError
from benchmarks.report import NODE, Goal, Row
from benchmarks.rounds import Shares, take_turns
from benchmarks.servers import Lab, ask_process

__all__ = ["measure_room"]

# As many as have a full mesh, how many texts they write in a second together, for how many seconds;
# and how many they write at full speed after that.
MEMBERS, MEMBERS_QUICK = 64, 8
RATE = 50.0
SECONDS, SECONDS_QUICK = 20.0, 3.0
BURST, BURST_QUICK = 1_000, 100

# The longest time for all of it, in seconds: opening the sessions, writing, and waiting in vain.
LIMIT = 900.0

# Open files: each session has one at either end; each node has its ports, its log, its lock and the
# three files of its journal, the latter for each of its two threads.
FILES_EACH = 16


def _meet(cores: frozenset[int], order: CrowdOrder) -> CrowdReport:
    files = order.members * (order.members - 1 + FILES_EACH)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        raise MeasureError(f"{files:,} open files are needed, and {soft:,} are allowed")
    told = ask_process(cores, "benchmarks.crowd", order, "the room", LIMIT)
    return CrowdReport(**told)


def measure_room(lab: Lab) -> list[Row]:
    """
    Measure how long a text takes to everybody in a full room, and how many can be taken to all.

    All nodes are in one process, which no real one is: what a room of as many machines shares among
    as many cores has one here.

    Args:
        lab: What all measurements have in common.

    Returns:
        Rows for the time that a text takes, for the speed, and for the time to open all sessions.
    """
    members = lab.fewer(MEMBERS, MEMBERS_QUICK)
    seconds = SECONDS_QUICK if lab.is_quick else SECONDS
    burst = lab.fewer(BURST, BURST_QUICK)
    sessions = members * (members - 1) // 2
    where = f"room of {members}, {RATE:.0f} texts/s"
    rows = [
        Row(f"{where}: key to screen, median: ms", (), 1),
        Row(f"{where}: key to screen, 95 %: ms", (Goal(100.0, False),), 1),
        Row(f"{where}: key to screen, 99 %: ms", (), 1),
        Row(f"room of {members}, {burst:,} texts at full speed: deliveries/s"),
        Row(f"room of {members}: seconds to open {sessions:,} sessions", (), 1),
        Row(f"room of {members}: seconds until all have joined", (), 1),
    ]
    busy = Shares()

    def meet() -> dict[int, float]:
        with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as folder:
            order = CrowdOrder(folder, members, RATE, seconds, burst)
            # On all cores: the threads that wait for the disk need the reactor's for nothing.
            report = _meet(lab.cores.server | lab.cores.load, order)
        _note(rows, report, burst * (members - 1))
        busy.add("", report.busy)
        if not report.delays:
            raise MeasureError("no text was drawn by itself")
        delays = sorted(1000 * delay for delay in report.delays)
        delays += [math.inf] * report.missing
        middle, late, last = (
            delays[math.ceil(share * len(delays)) - 1] for share in (0.5, 0.95, 0.99)
        )
        drawn = report.burst_drawn + report.burst_summed_up
        return {
            0: middle,
            1: late,
            2: last,
            3: drawn / report.burst_seconds,
            4: report.opening,
            5: report.joining,
        }

    take_turns(rows, {NODE: meet}, lab.rounds)
    rows[0].notes.append("each member has a node, with TLS sessions and a journal on the disk")
    rows[0].notes.append(f"all of them together used, of a core:{busy.draw('.0%')}")
    return rows


def _note(rows: list[Row], report: CrowdReport, burst: int) -> None:
    drawn = report.burst_drawn + report.burst_summed_up
    for row, count, what in (
        (rows[0], report.summed_up, "were drawn as a number alone"),
        (rows[0], report.missing, "were not drawn in time"),
        (rows[0], report.repeated, "were drawn twice"),
        (rows[0], report.not_sent, "were refused"),
        (rows[3], report.burst_summed_up, "were drawn as a number alone"),
        (rows[3], burst - drawn, "were not drawn in time"),
    ):
        if count:
            row.notes.append(f"{count:,} {what}")
