"""
Real processes for the end-to-end tests: nodes on pipes and on terminals.

Nothing in here sleeps. Whoever waits is woken by what happens, and gives up after `PATIENCE`
seconds with an error that shows all that the process has written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import select
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import pyte
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from typing_extensions import override

from twistedchat.core.identity import DeviceKey
from twistedchat.core.wording import label_of
from twistedchat.store.identity import open_identity

CHECKOUT = Path(__file__).resolve().parent.parent

# Seconds for anything to happen: far beyond what a slow machine under load needs, so that only
# what never happens fails.
PATIENCE = 30.0

# Below the range from which systems take ports by themselves, so that no connection is in the way.
PORTS = range(20000, 32000)

PROMPT = "Enter your choice:"

T = TypeVar("T")

_handed_out: set[int] = set()


def free_port() -> int:
    """
    Find a port that nobody listens on, and hand it out once.

    Returns:
        The port.
    """
    while True:
        port = random.choice(PORTS)
        if port in _handed_out:
            continue
        _handed_out.add(port)
        with contextlib.suppress(OSError), contextlib.closing(socket.socket()) as probe:
            probe.bind(("", port))
            return port


def has_ipv6() -> bool:
    """
    Find out whether this machine can be reached over IPv6, at least by itself.

    Returns:
        Whether it can.
    """
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def wait_for_end(pid: int) -> bool:
    """
    Wait for a process that is no child of ours. Blocks: to be called in a thread.

    Args:
        pid: Its process ID.

    Returns:
        Whether it ended in time.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], PATIENCE)[0])
    finally:
        os.close(process)


async def ended(pid: int) -> None:
    """
    Wait for a process that is no child of ours.

    Args:
        pid: Its process ID.
    """
    assert await deferToThread(wait_for_end, pid), f"process {pid} did not end"


@contextlib.contextmanager
def killed_on_failure(pid: int) -> Iterator[None]:
    """
    See to it that a process that is no child of ours does not outlive a failing test.

    Args:
        pid: Its process ID.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise


async def together(*doings: Coroutine[Any, Any, T]) -> list[T]:
    """
    Wait for several things that go on at the same time.

    Args:
        doings: Coroutines that have not begun yet.

    Returns:
        What each of them gave.
    """
    return await gatherResults([Deferred.fromCoroutine(doing) for doing in doings])


class Watched:
    """
    Something whose doings can be waited for.
    """

    def __init__(self) -> None:
        self._waiting: dict[Deferred[None], Callable[[], object]] = {}

    def happened(self) -> None:
        """
        Wake those whose wish has come true; to be called whenever anything has changed.
        """
        for waiting, is_so in list(self._waiting.items()):
            if is_so():
                del self._waiting[waiting]
                waiting.callback(None)

    def told(self) -> str:
        """
        What to show of it when a test fails.
        """
        return ""

    async def until(self, is_so: Callable[[], object], what: str) -> None:
        """
        Wait until something is so.

        Args:
            is_so: Asked now, and again whenever anything has happened.
            what: What is waited for, in words.

        Raises:
            AssertionError: It did not become so in time.
        """
        from twisted.internet import reactor

        if is_so():
            return
        waiting: Deferred[None] = Deferred()
        self._waiting[waiting] = is_so
        try:
            await waiting.addTimeout(PATIENCE, reactor)
        except DeferredTimeoutError:
            raise AssertionError(f"Waited in vain: {what}\n{self.told()}") from None
        finally:
            self._waiting.pop(waiting, None)


class Program(Watched, ProcessProtocol):
    """
    A process whose standard input, output and error are pipes.

    Attributes:
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
        status: Its exit status, or the negative number of the signal that ended it; ``None`` while
            it runs.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        super().__init__()
        self.output = b""
        self.errors = b""
        self.status: int | None = None
        self._is_over = False

    # The reactor calls these.

    @override
    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == 1:
            self.output += data
        else:
            self.errors += data
        self.happened()

    @override
    def processExited(self, reason: Failure) -> None:
        # Either a ProcessDone or a ProcessTerminated.
        outcome: Any = reason.value
        self.status = int(-outcome.signal if outcome.signal else outcome.exitCode)
        self.happened()

    @override
    def processEnded(self, reason: Failure) -> None:
        self._is_over = True
        self.happened()

    # Tests call these.

    @override
    def told(self) -> str:
        return f"status: {self.status}\noutput: {self.text}\nerrors: {self.errors.decode()}"

    @property
    def pid(self) -> int:
        """
        Its process ID.
        """
        pid = self.transport.pid
        assert pid is not None, "it has ended"
        return int(pid)

    @property
    def text(self) -> str:
        """
        What it wrote to standard output, decoded.
        """
        return self.output.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        """
        What it wrote to standard output, in lines.
        """
        return self.text.split("\n")

    def find(self, *parts: str) -> list[str]:
        """
        The lines that hold all of these.
        """
        return [line for line in self.lines if all(part in line for part in parts)]

    async def line_with(self, *parts: str, times: int = 1) -> str:
        """
        Wait for a line of output.

        Args:
            parts: What it holds.
            times: How many such lines there must be.

        Returns:
            The last of them.
        """
        await self.until(
            lambda: len(self.find(*parts)) >= times, f"{times} line(s) with {', '.join(parts)}"
        )
        return self.find(*parts)[-1]

    async def error_line_with(self, *parts: str) -> None:
        """
        Wait for a text on standard error.
        """
        await self.until(
            lambda: all(part.encode() in self.errors for part in parts), f"errors with {parts}"
        )

    def write(self, data: bytes) -> None:
        """
        Give it bytes to read.
        """
        self.transport.write(data)

    def type(self, *lines: str) -> None:
        """
        Type whole lines.
        """
        self.write("".join(line + "\n" for line in lines).encode())

    def end_input(self) -> None:
        """
        Let its standard input end.
        """
        self.transport.closeStdin()

    def send_signal(self, number: signal.Signals) -> None:
        """
        Send it a signal.
        """
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """
        Wait until it has ended and everything that it wrote has been read.

        Returns:
            Its status.
        """
        await self.until(lambda: self._is_over, "the end of the process")
        return cast(int, self.status)

    async def killed(self) -> None:
        """
        End it by force, where it runs.
        """
        if self.status is None:
            self.send_signal(signal.SIGKILL)
        await self.until(lambda: self.status is not None, "a killed process")
        if not self._is_over:
            self.transport.loseConnection()
            await self.until(lambda: self._is_over, "the pipes of a killed process")


class Node(Program):
    """
    A node on pipes.

    Args:
        team: Its team name.
        port: Its port.
    """

    def __init__(self, team: str, port: int) -> None:
        super().__init__()
        self.team = team
        self.port = port

    @property
    def address(self) -> str:
        """
        Where it listens.
        """
        return f"127.0.0.1:{self.port}"

    async def ready(self) -> None:
        """
        Wait until it listens and shows its menu.
        """
        await self.until(lambda: self.find(PROMPT) or self.status is not None, "the menu")
        assert self.status is None, self.told()

    async def sections(self) -> dict[str, list[str]]:
        """
        Query the peers.

        Returns:
            The rows of each list, by the beginning of its title.
        """
        start = len(self.output)
        answer = re.compile(rb"--- Active peers.*?\n(?=" + PROMPT.encode() + rb")", re.DOTALL)
        self.type("2")
        await self.until(lambda: answer.search(self.output, start), "the lists of peers")
        found = answer.search(self.output, start)
        assert found is not None
        sections: dict[str, list[str]] = {}
        for row in found[0].decode().splitlines():
            title = re.match(r"--- (.*?) (?:\(|---)", row)
            if title:
                rows = sections[title[1]] = []
            elif not row.startswith("No "):
                rows.append(row)
        return sections

    async def lists(self) -> tuple[list[str], list[str]]:
        """
        Query the peers.

        Returns:
            The rows of the active and of the connected ones.
        """
        sections = await self.sections()
        return sections["Active peers"], sections["Connected peers"]


class _Screen(pyte.Screen):
    """
    A terminal emulator that answers questions, and keeps what was scrolled off.
    """

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        self.scrolled: list[str] = []
        self._answer = answer
        super().__init__(columns, rows)

    @override
    def index(self) -> None:
        if self.cursor.y == self.lines - 1:
            self.scrolled.append(self.display[0])
        super().index()

    @override
    def write_process_input(self, data: str) -> None:
        self._answer(data)

    @property
    def rows(self) -> list[str]:
        """
        Every row, from the first that was scrolled off to the last that is seen.
        """
        return [row.rstrip() for row in (*self.scrolled, *self.display)]


class TerminalNode(Node):
    """
    A node on a pseudo-terminal, with a screen that is drawn as a terminal would.

    Attributes:
        screen: The screen.
    """

    def __init__(self, team: str, port: int, columns: int = 80, rows: int = 24) -> None:
        super().__init__(team, port)
        self._master, slave = os.openpty()
        self._size(columns, rows)
        # The process's transport closes its own; this one shows the terminal's modes to the end.
        self._watch = os.dup(self._master)
        self.pty = (self._master, slave, os.ttyname(slave))
        self.screen = _Screen(columns, rows, lambda answer: self.write(answer.encode()))
        self._stream = pyte.ByteStream(self.screen)

    def _size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @override
    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._stream.feed(data)
        super().childDataReceived(childFD, data)

    @override
    def told(self) -> str:
        return "\n".join([*self.screen.rows, repr(self.output[-2000:])])

    @property
    @override
    def lines(self) -> list[str]:
        return self.screen.rows

    @override
    def type(self, *lines: str) -> None:
        self.write("".join(line + "\r" for line in lines).encode())

    @property
    def modes(self) -> list[Any]:
        """
        The terminal's modes, as `termios.tcgetattr` gives them.
        """
        return termios.tcgetattr(self._watch)

    @property
    def typed(self) -> str:
        """
        The row where the cursor is.
        """
        return self.screen.display[self.screen.cursor.y].rstrip()

    async def typing(self, row: str) -> None:
        """
        Wait until the cursor is in a row.

        Args:
            row: The whole of it.
        """
        await self.until(lambda: self.typed == row, f"{row!r} with the cursor in it")

    def resize(self, columns: int, rows: int) -> None:
        """
        Make the window larger or smaller. The system tells the process.
        """
        self._size(columns, rows)
        # A terminal lets go of rows at the top, and the cursor stays where the text is.
        gone = max(0, self.screen.lines - rows)
        self.screen.resize(rows, columns)
        self.screen.cursor.y = max(0, self.screen.cursor.y - gone)

    def hang_up(self) -> None:
        """
        Close the window.
        """
        self.close_watch()
        self.transport.loseConnection()

    def close_watch(self) -> None:
        """
        Let go of the terminal.
        """
        if self._watch >= 0:
            os.close(self._watch)
            self._watch = -1

    @override
    async def killed(self) -> None:
        await super().killed()
        self.close_watch()


async def meet(one: Node, other: Node) -> None:
    """
    Have two nodes let each other in, and say hello.

    Args:
        one: Who goes to the other.
        other: Who lets it in.
    """
    one.type("1", other.address, "hello")
    await other.line_with(f"[door] {one.team}", one.address, 'knocks: "hello"')
    other.type("t", "1", "a")
    # Said when it has been kept, which can take longer than to hear what the other says.
    await other.line_with(f"Let in: {one.team}")
    await other.line_with(f"[secure] {one.team}", ": hello")
    await one.line_with(f"1 text that waited is with {other.team}")


async def refused(program: Program) -> str:
    """
    Wait for the end of a process that cannot start.

    Args:
        program: The process.

    Returns:
        The one line in which it says so.
    """
    assert await program.ended() == 1
    lines = program.errors.decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("p2pchat: ")
    return lines[0]


async def quits(node: Node) -> None:
    """
    Have a node take leave, and wait until it has ended.

    Args:
        node: Which.
    """
    node.type("0")
    assert await node.ended() == 0
    assert not node.errors


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """
    What a process is started with: ours, without what would change how it looks.

    Args:
        changes: Variables to set, or with ``None`` to leave out.

    Returns:
        All variables.
    """
    standard = {
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": None,
        "PYTHONPATH": str(CHECKOUT),
        # No question to a name server leaves the machine.
        "RES_OPTIONS": "attempts:0",
        "TERM": "xterm-256color",
    }
    wanted = {**os.environ, **standard, **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def twistd(*arguments: str) -> list[str]:
    """
    The command that runs twistd, the one beside this Python.
    """
    return [sys.executable, str(Path(sys.executable).with_name("twistd")), *arguments]


class Stage:
    """
    Where a test's processes run, and are ended.

    Args:
        folder: An empty folder for their files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs: list[Program] = []
        self._others: list[Callable[[], object]] = []

    @property
    def state(self) -> Path:
        """
        The folder in which the nodes remember.
        """
        return self.folder / "state"

    def afterwards(self, do: Callable[[], object]) -> None:
        """
        Have something done when the test has ended.
        """
        self._others.append(do)

    def spawn(
        self,
        program: Program,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        stdin: str | int | None = "w",
    ) -> None:
        """
        Start a process.

        Args:
            program: What watches it.
            command: The executable, and its arguments.
            env: Changes to the environment.
            stdin: A pipe (``"w"``), a file descriptor, or ``None`` for a closed one.
        """
        from twisted.internet import reactor

        self._programs.append(program)
        files: dict[int, int | str] = {1: "r", 2: "r"}
        if stdin is not None:
            files[0] = stdin
        terminal = program.pty if isinstance(program, TerminalNode) else None
        reactor.spawnProcess(
            program,
            command[0],
            command,
            environment(env or {}),
            str(self.folder),
            # The interface knows only yes and no; the reactor takes an open terminal too.
            usePTY=cast(bool, terminal),
            childFDs=None if terminal else files,
        )

    def command(
        self, *options: str, before: Iterable[str] = ("-n",), within: Sequence[str] = ()
    ) -> list[str]:
        """
        The command that starts ``twistd p2pchat`` with these options and `state`.

        It announces itself nowhere but in a laboratory: see `tests.namespaces`.

        Args:
            options: For ``p2pchat``.
            before: For twistd itself.
            within: What to put before the command, to run it elsewhere.

        Returns:
            The executable, and its arguments.
        """
        state = () if "--state" in options else ("--state", str(self.state))
        lan = () if within else ("--no-lan",)
        return [*within, *twistd(*before, "p2pchat", *options, *state, *lan)]

    def run(
        self,
        *options: str,
        before: Iterable[str] = ("-n",),
        within: Sequence[str] = (),
        program: Program | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: str | int | None = "w",
    ) -> Program:
        """
        Start ``twistd p2pchat`` with these options and `state`.

        Args:
            options: For ``p2pchat``.
            before: As with `command`.
            within: As with `command`.
            program: What watches it; pipes, where none is given.
            env: Changes to the environment.
            stdin: As with `spawn`.

        Returns:
            The process.
        """
        program = program or Program()
        command = self.command(*options, before=before, within=within)
        self.spawn(program, command, env=env, stdin=stdin)
        return program

    async def node(
        self,
        team: str = "Netech",
        *options: str,
        port: int | None = None,
        within: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        stdin: str | int | None = "w",
    ) -> Node:
        """
        Start a node on pipes, and wait until it is there.
        """
        node = Node(team, port or free_port())
        self.run(
            *("-t", team, "-p", str(node.port), *options),
            within=within,
            program=node,
            env=env,
            stdin=stdin,
        )
        await node.ready()
        return node

    async def terminal(
        self,
        team: str = "Netech",
        *options: str,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str | None] | None = None,
    ) -> TerminalNode:
        """
        Start a node on a terminal, and wait until it is there.
        """
        node = TerminalNode(team, free_port(), columns, rows)
        self.run("-t", team, "-p", str(node.port), *options, program=node, env=env)
        await node.ready()
        return node

    def key(self, node: Node) -> DeviceKey:
        """
        The key of a node that has been started.
        """
        identity, is_new = open_identity(self.state / str(node.port))
        assert not is_new
        return identity.key

    def label(self, node: Node) -> str:
        """
        What others call a node that has been started: its name, and the short form of its key.
        """
        return label_of(node.team, self.key(node))

    async def clear(self) -> None:
        """
        End whatever still runs.
        """
        for program in self._programs:
            await program.killed()
        for do in reversed(self._others):
            do()
