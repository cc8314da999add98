"""
Starts and stops everything that is measured, and everything that measures from outside.

Each program runs in a folder of its own, which is removed afterwards, and is ended by its process
number. The measured ones run on one core, the others on another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.console import Console
from benchmarks.load import LoadOrder, LoadReport
from benchmarks.machine import (
    Cores,
    MeasureError,
    find_free_port,
    is_listening,
    pinned_to,
    wait_until,
)
from benchmarks.sink import SinkOrder, SinkReport

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Lab",
    "Runner",
    "Server",
    "Sink",
    "TerminalNode",
    "ask_process",
    "collect_load",
    "make_environment",
    "node_options",
    "run_bare",
    "run_bare_client",
    "run_bare_service",
    "run_load",
    "run_node",
    "run_node_on_terminal",
    "run_server",
    "run_sink",
    "run_threaded",
    "start_load",
    "stop_process",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

# The longest wait until a program listens, and until it has ended after SIGTERM, in seconds.
START_LIMIT = 30.0
STOP_LIMIT = 10.0

# How much longer than its own limit the generator may take: it has to be loaded, too; in seconds.
LOAD_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Lab:
    """
    What all measurements have in common.

    Attributes:
        cores: What runs where.
        reference: The reference program, to be run in place of our imitation of its kind.
        rounds: How often each figure is taken.
        is_quick: Whether smaller loads will do, to try things out.
    """

    cores: Cores
    reference: Path | None
    rounds: int
    is_quick: bool

    def fewer(self, full: int, quick: int) -> int:
        """
        Choose the size of a load.

        Args:
            full: For figures that count.
            quick: For trying things out.

        Returns:
            One of them.
        """
        return quick if self.is_quick else full


class Server:
    """
    A running program that listens.

    Attributes:
        port: Where.
        console: What it prints.
        start_seconds: How long it took from its start until it listened.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, console: Console) -> None:
        self.process = process
        self.port = port
        self.console = console
        self.start_seconds = 0.0

    @property
    def pid(self) -> int:
        """
        The process number.
        """
        return self.process.pid

    def type(self, text: str) -> None:
        """
        Write to its standard input, without waiting until it has read.

        Args:
            text: What to write, with its line ends.
        """
        threading.Thread(target=self._type, args=(text.encode(),), daemon=True).start()

    def _type(self, data: bytes) -> None:
        """
        Write to its standard input until it has read everything or has ended.
        """
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(data)
            self.process.stdin.flush()


Runner = Callable[[Lab], contextlib.AbstractContextManager[Server]]
"""Starts a program, waits until it listens and yields it; afterwards it has ended."""


def make_environment(**more: str) -> dict[str, str]:
    """
    Make the environment of a child: ours, with this checkout in reach.

    Args:
        more: What else is in it.

    Returns:
        The environment.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
        **more,
    }
    # Each changes how programs print or start: installed ones are not compiled at every start.
    for name in ("PYTHONUNBUFFERED", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    return environment


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """
    End a process and wait until it has ended.

    Args:
        process: Which.
    """
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(words: str) -> str:
    """
    Choose what to quote of the last words of a program: tracebacks end with what matters.
    """
    lines = words.strip().splitlines()
    return lines[-1] if lines else "without a word"


def twistd() -> list[str]:
    """
    Make the command of twistd in this Python's environment.
    """
    return [sys.executable, str(Path(sys.executable).with_name("twistd")), "-n"]


@contextlib.contextmanager
def run_server(
    lab: Lab,
    make_command: Callable[[int, Path], Sequence[str]],
    make_opening: Callable[[int], str] = lambda _: "",
    may_listen: bool = True,
) -> Iterator[Server]:
    """
    Run a program.

    Args:
        lab: Says on which core.
        make_command: Makes its command line from the port it shall use and the folder it may use.
        make_opening: Makes what to type at its start.
        may_listen: Whether to wait until it listens.

    Yields:
        The running program.

    Raises:
        MeasureError: It did not come to listen.
    """
    with (
        tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name,
        (Path(name) / "errors").open("w+b") as errors,
    ):
        folder, port = Path(name), find_free_port()
        command = make_command(port, folder)
        with pinned_to(lab.cores.server):
            started_at = time.monotonic()
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=make_environment(BENCH_PORT=str(port)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdin is not None and process.stdout is not None
        server = Server(process, port, Console(process.stdout.fileno()))
        try:
            if opening := make_opening(port):
                server.type(opening)
            if may_listen:
                wait_until(
                    lambda: is_listening(port) or process.poll() is not None,
                    START_LIMIT,
                    lambda: f"{command[1]} does not listen",
                )
                server.start_seconds = time.monotonic() - started_at
            if process.poll() is not None:
                server.console.join()
                errors.seek(0)
                words = errors.read().decode(errors="replace") or server.console.tail
                raise MeasureError(f"{command[1]} ended: {_last_line(words)}")
            yield server
        finally:
            stop_process(process)
            server.console.join()
            process.stdout.close()
            with contextlib.suppress(OSError):  # what it never read cannot be flushed
                process.stdin.close()


def node_options(port: int, folder: Path) -> list[str]:
    """
    Make the options of a node, which keeps its state in that folder and to itself.
    """
    state = str(folder / "state")
    return ["p2pchat", "--no-lan", "--port", str(port), "--team", "bench", "--state", state]


def run_node(
    lab: Lab, prepare: Callable[[Path, int], None] | None = None
) -> contextlib.AbstractContextManager[Server]:
    """
    Run a node whose console is a pair of pipes.

    Args:
        lab: Says on which core.
        prepare: Makes its state folder, given the path and the port; else it knows nothing yet.

    Returns:
        The context in which it runs.
    """

    def make_command(port: int, folder: Path) -> list[str]:
        if prepare is not None:
            prepare(folder / "state", port)
        return [*twistd(), *node_options(port, folder)]

    return run_server(lab, make_command)


def run_bare(lab: Lab) -> contextlib.AbstractContextManager[Server]:
    """
    Run the bare Twisted server.

    Args:
        lab: Says on which core.

    Returns:
        The context in which it runs.
    """
    script = str(HERE / "bare_server.py")
    return run_server(lab, lambda port, _: [sys.executable, script, str(port)])


def run_bare_service(lab: Lab) -> contextlib.AbstractContextManager[Server]:
    """
    Run the bare service under twistd, as a node is.

    Args:
        lab: Says on which core.

    Returns:
        The context in which it runs.
    """
    script = str(HERE / "bare_service.tac")
    return run_server(lab, lambda _port, _folder: [*twistd(), "--pidfile=", "-y", script])


def run_threaded(lab: Lab) -> contextlib.AbstractContextManager[Server]:
    """
    Run the program with one thread per connection: the reference if we have it, or the imitation.

    Args:
        lab: Says which, and on which core.

    Returns:
        The context in which it runs.
    """
    program = str(lab.reference or HERE / "threaded_server.py")
    return run_server(
        lab,
        lambda _port, _folder: [sys.executable, str(HERE / "line_by_line.py"), program],
        lambda port: f"bench\n{port}\n",
    )


def run_bare_client(
    lab: Lab, count: int, token: str, ports: Sequence[int]
) -> contextlib.AbstractContextManager[Server]:
    """
    Run the bare Twisted client, which begins to send at once.

    Args:
        lab: Says on which core.
        count: How many messages in all.
        token: What each text begins with.
        ports: Where to.

    Returns:
        The context in which it runs; it does not listen.
    """
    command = [sys.executable, str(HERE / "bare_client.py"), str(count), token, *map(str, ports)]
    return run_server(lab, lambda _port, _folder: command, may_listen=False)


def start_load(lab: Lab, order: LoadOrder) -> subprocess.Popen[bytes]:
    """
    Start the generator.

    Args:
        lab: Says on which core.
        order: What to send.

    Returns:
        Its process, which prints a report when it is done or ordered to stop.
    """
    with pinned_to(lab.cores.load):
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load", json.dumps(dataclasses.asdict(order))],
            cwd=ROOT,
            env=make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )


def collect_load(process: subprocess.Popen[bytes], limit: float) -> LoadReport:
    """
    Wait for the generator's report.

    Args:
        process: The generator.
        limit: The longest wait, in seconds.

    Returns:
        What it has sent.

    Raises:
        MeasureError: It reported nothing.
    """
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise MeasureError("the generator does not come to an end") from None
    finally:
        process.kill()
        process.wait()
    if not output:
        raise MeasureError(f"the generator ended with status {process.returncode}")
    return LoadReport(**json.loads(output))


def run_load(lab: Lab, order: LoadOrder) -> LoadReport:
    """
    Run the generator to its end.

    Args:
        lab: Says on which core.
        order: What to send.

    Returns:
        What it has sent.

    Raises:
        MeasureError: It reported nothing.
    """
    return collect_load(start_load(lab, order), order.limit + LOAD_GRACE)


def ask_process(
    cores: frozenset[int], module: str, order: DataclassInstance, who: str, limit: float
) -> dict[str, Any]:
    """
    Have a process of its own carry out an order to its end.

    Args:
        cores: Where it runs.
        module: What it runs; the order is its argument, and it prints its report, both in JSON.
        order: The order.
        who: What to call it where it fails.
        limit: The longest wait, in seconds.

    Returns:
        The fields of its report.

    Raises:
        MeasureError: It has not come to a good end.
    """
    with pinned_to(cores):
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, json.dumps(dataclasses.asdict(order))],
                cwd=ROOT,
                env=make_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=limit,
                check=True,
            )
        except subprocess.TimeoutExpired:
            raise MeasureError(f"{who} has not come to an end in {limit:.0f} s") from None
        except subprocess.CalledProcessError as error:
            raise MeasureError(f"{who} ended with status {error.returncode}") from None
    report: dict[str, Any] = json.loads(done.stdout)
    return report


class Sink:
    """
    A running sink.

    Attributes:
        ports: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        self.ports: list[int] = json.loads(process.stdout.readline())

    def collect(self, limit: float) -> SinkReport:
        """
        Wait until what was expected has come; when the time is over, take what there is.

        Args:
            limit: The longest wait, in seconds.

        Returns:
            What has come.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        select.select([self.process.stdout], [], [], limit)
        self.process.stdin.close()
        return SinkReport(**json.loads(self.process.stdout.readline()))


@contextlib.contextmanager
def run_sink(cores: frozenset[int], order: SinkOrder) -> Iterator[Sink]:
    """
    Run a sink.

    Args:
        cores: Where to run it.
        order: What it has to do.

    Yields:
        The running sink.
    """
    with pinned_to(cores):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sink", json.dumps(dataclasses.asdict(order))],
            cwd=ROOT,
            env=make_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Sink(process)
    finally:
        stop_process(process)
        process.stdin.close()
        process.stdout.close()


class TerminalNode:
    """
    A node on a terminal of 80 columns and 24 rows, with us as the terminal and the person.

    Attributes:
        port: Where it listens.
        screen: Everything it has written so far.
    """

    # What a program asks to learn where the cursor is, and what we answer: at the bottom.
    _ASKED, _ANSWER = b"\x1b[6n", b"\x1b[24;1R"

    def __init__(self, pid: int, terminal: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self.screen = bytearray()
        self._terminal = terminal

    def press(self, keys: str) -> None:
        """
        Type.

        Args:
            keys: What the keys send.
        """
        os.write(self._terminal, keys.encode())

    def watch(self, seconds: float) -> bytes:
        """
        Wait for output.

        Args:
            seconds: The longest wait.

        Returns:
            The output, of which there may be none.
        """
        if not select.select([self._terminal], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            chunk = os.read(self._terminal, 1 << 16)
        except OSError:  # so Linux says that the other side of a terminal is gone
            chunk = b""
        if not chunk:
            words = self.screen.decode(errors="replace")
            raise MeasureError(f"the node left the terminal: {_last_line(words)!r}")
        # The question may come in two pieces.
        asked = (self.screen[-len(self._ASKED) + 1 :] + chunk).count(self._ASKED)
        if asked:
            os.write(self._terminal, self._ANSWER * asked)
        self.screen += chunk
        return chunk

    def watch_during(self, seconds: float) -> None:
        """
        Take the output for some time.

        Args:
            seconds: For how long.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.watch(left)

    def watch_for(self, text: str, limit: float) -> float | None:
        """
        Wait until the output holds a text that it did not hold before.

        Args:
            text: The text.
            limit: The longest wait, in seconds.

        Returns:
            When it came, in seconds of the monotonic clock; None if it did not.
        """
        wanted = text.encode()
        deadline = time.monotonic() + limit
        recent = b""
        while (left := deadline - time.monotonic()) > 0:
            recent = recent[-len(wanted) :] + self.watch(left)
            if wanted in recent:
                return time.monotonic()
        return None

    def stop(self) -> None:
        """
        End the node, reading on so that it cannot be held up by what it still has to say.
        """
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT
        while not os.waitpid(self.pid, os.WNOHANG)[0]:
            if time.monotonic() >= deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            try:
                self.watch(0.01)
            except MeasureError:
                time.sleep(0.01)
        os.close(self._terminal)


@contextlib.contextmanager
def run_node_on_terminal(lab: Lab) -> Iterator[TerminalNode]:
    """
    Run a node with its full console.

    Args:
        lab: Says on which core.

    Yields:
        The running node; it listens.

    Raises:
        MeasureError: It did not come to listen.
    """
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as name:
        folder, port = Path(name), find_free_port()
        command = [*twistd(), *node_options(port, folder)]
        # No thread of ours runs now: every console of a pipe has been read to its end.
        with pinned_to(lab.cores.server):
            pid, terminal = pty.fork()
            if pid == 0:
                try:
                    termios.tcsetwinsize(0, (24, 80))
                    os.chdir(folder)
                    os.execve(command[0], command, make_environment())
                finally:
                    os._exit(127)
        node = TerminalNode(pid, terminal, port)
        try:
            deadline = time.monotonic() + START_LIMIT
            while not is_listening(port):
                node.watch(0.01)
                if time.monotonic() >= deadline:
                    raise MeasureError("the node does not listen on its terminal")
            yield node
        finally:
            node.stop()
