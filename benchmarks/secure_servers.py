"""
Starts and stops what takes part in secure measurements: see ``servers``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.callers import CallOrder, CallReport
from benchmarks.machine import MeasureError, find_free_port, pinned_to
from benchmarks.people import FIRST_CALLER, NODE, WRITER, acquaint, say
from benchmarks.servers import (
    HERE,
    LOAD_GRACE,
    ROOT,
    STOP_LIMIT,
    Lab,
    Server,
    make_environment,
    run_node,
    run_server,
    stop_process,
)
from benchmarks.writer import WriteOrder, WriteReport

__all__ = [
    "Talk",
    "Writer",
    "keep_sessions",
    "open_sessions",
    "run_bare_tls",
    "run_called_node",
    "run_read_node",
    "run_writer",
    "talk_barely",
]

# The longest wait until a writer has started, in seconds: it may have a long journal.
START_LIMIT = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Talk:
    """
    What is to be said, in the end.

    Attributes:
        kind: "turns" or "stream": see ``bare_tls`` and ``writer``.
        count: How many texts count.
        warm_up: How many are said before.
        warm_up_token: What the latter begin with.
        token: What the former begin with.
        limit: The longest time for all of it, in seconds.
    """

    kind: str
    count: int
    warm_up: int
    warm_up_token: str
    token: str
    limit: float


def run_called_node(lab: Lab, callers: int) -> contextlib.AbstractContextManager[Server]:
    """
    Run a node that knows those who will call.

    Args:
        lab: Says on which core.
        callers: How many there are.

    Returns:
        The context in which it runs.
    """
    known = range(FIRST_CALLER, FIRST_CALLER + callers)
    return run_node(lab, partial(acquaint, us=NODE, others=known))


def run_read_node(lab: Lab) -> contextlib.AbstractContextManager[Server]:
    """
    Run a node that knows who will write to it.

    Args:
        lab: Says on which core.

    Returns:
        The context in which it runs.
    """
    return run_node(lab, partial(acquaint, us=NODE, others=[WRITER]))


def run_bare_tls(lab: Lab, kind: str) -> contextlib.AbstractContextManager[Server]:
    """
    Run the bare TLS server.

    Args:
        lab: Says on which core.
        kind: What it does: "serve" or "count", see ``bare_tls``.

    Returns:
        The context in which it runs.
    """
    script = str(HERE / "bare_tls.py")
    return run_server(lab, lambda port, _: [sys.executable, script, kind, str(port)])


def _start(lab: Lab, command: Sequence[str]) -> subprocess.Popen[bytes]:
    with pinned_to(lab.cores.load):
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=make_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )


def _read_line(process: subprocess.Popen[bytes], limit: float, what: str) -> bytes:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], limit)[0]:
        raise MeasureError(f"{what} says nothing for {limit:.0f} s")
    line = process.stdout.readline()
    if not line:
        raise MeasureError(f"{what} ended with status {process.wait(STOP_LIMIT)}")
    return line


def _read_report(process: subprocess.Popen[bytes], limit: float, what: str) -> WriteReport:
    return WriteReport(**json.loads(_read_line(process, limit, what)))


def _let_end(process: subprocess.Popen[bytes]) -> None:
    # It has reported and ends by itself, which a signal would disturb.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT)


@contextlib.contextmanager
def _call(lab: Lab, order: CallOrder) -> Iterator[CallReport]:
    process = _start(lab, ["-m", "benchmarks.callers", json.dumps(dataclasses.asdict(order))])
    assert process.stdin is not None and process.stdout is not None
    try:
        line = _read_line(process, order.limit + LOAD_GRACE, "the caller")
        yield CallReport(**json.loads(line))
    finally:
        process.stdin.close()
        stop_process(process)
        process.stdout.close()


def open_sessions(lab: Lab, port: int, callers: int, seconds: float) -> CallReport:
    """
    Have sessions opened and closed.

    Args:
        lab: Says on which core.
        port: Where.
        callers: By how many at a time.
        seconds: For how long.

    Returns:
        What was opened.

    Raises:
        MeasureError: Nothing was reported, or no session opened.
    """
    with _call(lab, CallOrder("open", port, 0, callers, seconds)) as report:
        if not report.opened:
            raise MeasureError(f"no session opened: {report.reason or 'nothing came'}")
        return report


@contextlib.contextmanager
def keep_sessions(lab: Lab, port: int, first: int, callers: int, limit: float) -> Iterator[None]:
    """
    Have sessions opened, and keep them.

    Args:
        lab: Says on which core.
        port: Where.
        first: The number of the first caller.
        callers: How many call.
        limit: How long opening them may take, in seconds.

    Yields:
        Nothing, while they are open.

    Raises:
        MeasureError: Not all of them opened.
    """
    with _call(lab, CallOrder("keep", port, first, callers, limit)) as report:
        if report.opened < callers:
            raise MeasureError(
                f"only {report.opened:,} of {callers:,} sessions opened: {report.reason}"
            )
        yield


class Writer:
    """
    A running writer, ready to begin.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        _read_line(process, START_LIMIT, "the writer")

    @property
    def pid(self) -> int:
        """
        The process number.
        """
        return self._process.pid

    def write(self, limit: float) -> WriteReport:
        """
        Have it write, and wait until all has been received.

        Args:
            limit: The longest wait, in seconds.

        Returns:
            What it did.

        Raises:
            MeasureError: It took longer, or failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return _read_report(self._process, limit, "the writer")


@contextlib.contextmanager
def run_writer(lab: Lab, to: int, talk: Talk, journal: Path | None = None) -> Iterator[Writer]:
    """
    Run somebody who writes to a node, and whom that knows.

    Args:
        lab: Says on which core.
        to: Where the node listens.
        talk: What is to be said.
        journal: The journal that it has already; else it has none.

    Yields:
        The writer.
    """
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        state, port = Path(name) / "state", find_free_port()
        acquaint(state, port, us=WRITER, others=[NODE])
        if journal is not None:
            (state / str(port) / journal.name).write_bytes(journal.read_bytes())
        order = WriteOrder(
            talk.kind,
            str(state),
            port,
            to,
            talk.count,
            talk.warm_up,
            talk.warm_up_token,
            talk.token,
        )
        words = json.dumps(dataclasses.asdict(order))
        process = _start(lab, ["-m", "benchmarks.writer", words])
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Writer(process)
            _let_end(process)
        finally:
            stop_process(process)
            process.stdout.close()
            with contextlib.suppress(OSError):
                process.stdin.close()


def talk_barely(lab: Lab, port: int, talk: Talk) -> WriteReport:
    """
    Say the same to the bare TLS server, all texts alike.

    Args:
        lab: Says on which core.
        port: Where that listens.
        talk: What is to be said.

    Returns:
        How long it took.

    Raises:
        MeasureError: It took longer than it may, or failed.
    """
    words = [talk.kind, port, talk.warm_up, talk.count, say(talk.token, 0)]
    process = _start(lab, [str(HERE / "bare_tls.py"), *map(str, words)])
    assert process.stdin is not None and process.stdout is not None
    try:
        report = _read_report(process, talk.limit, "the bare client")
        _let_end(process)
        return report
    finally:
        stop_process(process)
        process.stdout.close()
        process.stdin.close()
