"""
End to end: the ways in which a node ends, and those in which it must not.
"""

import os
import re
import signal
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.classic_programs import FullQueue, Listener, header, say, say_and_wait
from tests.processes import (
    Node,
    Program,
    Stage,
    TerminalNode,
    ended,
    free_port,
    killed_on_failure,
)

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


async def met(node: Node, stage: Stage) -> Listener:
    """
    A program that the node has met, so that it has to take leave of it.
    """
    listener = Listener()
    stage.afterwards(listener.stop)
    await deferToThread(say, node.port, header(listener.port, "Quokka", "good evening"))
    await node.line_with("Quokka: good evening")
    return listener


async def hears_exit(listener: Listener, node: Node) -> None:
    """
    Wait until the node has taken leave.
    """
    await listener.hears(header(node.port, node.team, "exit"))


@pytest_twisted.ensureDeferred
async def test_typed_nought_says_exit_and_ends(stage: Stage) -> None:
    """
    0 takes leave of everyone and ends with status 0; what stands behind it is not done.
    """
    node = await stage.node()
    listener = await met(node, stage)

    node.type("0", "1", listener.address, "too late")

    assert await node.ended() == 0
    await hears_exit(listener, node)
    assert node.lines[-2:] == ["Exiting...", ""]
    assert not node.errors


@pytest_twisted.ensureDeferred
async def test_end_of_input_finishes_what_was_typed(stage: Stage) -> None:
    """
    A script is done to its end, last line without a newline included, before the node quits.
    """
    node = await stage.node()
    listener = Listener()
    stage.afterwards(listener.stop)

    node.type("1", listener.address, "first", "1", listener.address)
    node.write(b"last")
    node.end_input()

    assert await node.ended() == 0
    await node.line_with("Message sent to", times=2)
    await listener.hears(*(header(node.port, "Netech", text) for text in ("first", "last", "exit")))


@pytest_twisted.ensureDeferred
async def test_whole_script_from_a_file_is_done(stage: Stage) -> None:
    """
    Standard input may be a file that ends before the node has started.
    """
    listener = Listener()
    stage.afterwards(listener.stop)
    port = free_port()
    script = stage.folder / "script"
    script.write_text(f"Emu\n{port}\n1\n{listener.address}\nfrom a file\n2")
    with script.open("rb") as lines:
        program = stage.run(stdin=lines.fileno())

    assert await program.ended() == 0
    await listener.hears(*(header(port, "Emu", text) for text in ("from a file", "exit")))
    assert "--- Connected peers" in program.text


@pytest.mark.parametrize("stdin", ["null", "closed"])
@pytest_twisted.ensureDeferred
async def test_nobody_to_type_leaves_it_listening(stage: Stage, stdin: str) -> None:
    """
    With /dev/null for standard input, or with none, a node goes on and shows what comes.
    """
    with Path(os.devnull).open("rb") as nothing:
        node = await stage.node(stdin=nothing.fileno() if stdin == "null" else None)

    listener = await met(node, stage)
    node.send_signal(signal.SIGTERM)

    await hears_exit(listener, node)
    assert await node.ended() == -signal.SIGTERM
    assert not node.errors


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest_twisted.ensureDeferred
async def test_signal_on_pipes_says_exit_first(stage: Stage, number: signal.Signals) -> None:
    """
    A signal ends the node in order.
    """
    node = await stage.node()
    listener = await met(node, stage)

    node.send_signal(number)

    await hears_exit(listener, node)
    # A hang-up is a wish to quit; the others end a process as they always do.
    assert await node.ended() == (0 if number is signal.SIGHUP else -number)
    assert not node.errors


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest_twisted.ensureDeferred
async def test_signal_on_a_terminal_gives_it_back(stage: Stage, number: signal.Signals) -> None:
    """
    The same on a terminal, whose modes are then as they were.
    """
    node = TerminalNode("Netech", free_port())
    before = node.modes
    stage.run("-t", node.team, "-p", str(node.port), program=node)
    await node.ready()
    listener = await met(node, stage)
    assert node.modes != before
    node.write(b"half a sent")
    await node.typing("Enter your choice: half a sent")

    node.send_signal(number)

    await hears_exit(listener, node)
    assert await node.ended() == (0 if number is signal.SIGHUP else -number)
    assert node.modes == before
    # Bracketed paste is off again, the cursor shown.
    assert node.output.rfind(b"\x1b[?2004l") > node.output.rfind(b"\x1b[?2004h")
    assert not node.screen.cursor.hidden


@pytest.mark.parametrize("key", [b"\x03", b"\x04", b"0\r"], ids=["Control-C", "Control-D", "0"])
@pytest_twisted.ensureDeferred
async def test_key_on_a_terminal_quits(stage: Stage, key: bytes) -> None:
    """
    Control-C and Control-D quit as 0 does, and the terminal is given back.
    """
    node = TerminalNode("Netech", free_port())
    before = node.modes
    stage.run("-t", node.team, "-p", str(node.port), program=node)
    await node.ready()
    listener = await met(node, stage)

    node.write(key)

    await hears_exit(listener, node)
    assert await node.ended() == 0
    assert node.modes == before
    assert b"Traceback" not in node.output


@pytest.mark.alone
@pytest_twisted.ensureDeferred
async def test_control_c_gives_up_what_does_not_arrive(stage: Stage) -> None:
    """
    Control-C waits five seconds for what is on its way, and shows what became of it.
    """
    node = await stage.terminal()
    silent = FullQueue()
    stage.afterwards(silent.stop)
    address = f"127.0.0.1:{silent.port}"
    node.type("1", address, "one", "1", address, "two", "2")
    await node.line_with("--- Connected peers")
    await node.typing("Enter your choice:")

    node.write(b"\x03")

    await node.line_with("Waiting for 2 on the way, 5 seconds at most ...")
    assert await node.ended() == 0
    # The first of them was dialled before, so its own time is over first.
    assert len(node.find(f"Not sent to {address}. Timed out")) == 1
    assert len(node.find(f"Not sent to {address}. The chat ended before it could be sent.")) == 1


@pytest_twisted.ensureDeferred
async def test_closed_terminal_says_exit_and_ends(stage: Stage) -> None:
    """
    Closing the window ends the node in order.
    """
    node = await stage.terminal()
    listener = await met(node, stage)

    node.hang_up()

    await hears_exit(listener, node)
    assert await node.ended() == 0


@pytest_twisted.ensureDeferred
async def test_background_job_on_a_terminal_listens(stage: Stage) -> None:
    """
    A node that the shell runs in the background is not stopped, whatever is typed meanwhile.
    """
    node = TerminalNode("Netech", free_port())
    # A shell with job control: the job gets a process group of its own, and the terminal stays the
    # shell's. `read` takes what is typed, as the shell itself would.
    shell = 'set -m; "$@" & echo "job $!"; while read -r line; do echo "shell got $line"; done'
    command = stage.command("-t", node.team, "-p", str(node.port))
    stage.spawn(node, ["/bin/sh", "-c", shell, "sh", *command])
    found = re.search(r"job (\d+)", await node.line_with("job "))
    assert found is not None
    job = int(found[1])
    with killed_on_failure(job):
        await node.ready()
        listener = await met(node, stage)

        for number in range(3):
            node.type(f"line {number}")
            await node.line_with(f"shell got line {number}")
        await deferToThread(say, node.port, header(listener.port, "Quokka", "are you there?"))
        await node.line_with("Quokka: are you there?")
        os.kill(job, signal.SIGTERM)

        await hears_exit(listener, node)
        await ended(job)
    # The shell goes on, on a terminal that is as it was.
    node.type("the end")
    await node.line_with("shell got the end")


@pytest_twisted.ensureDeferred
async def test_output_that_nobody_reads_ends_it(stage: Stage) -> None:
    """
    When the reader of its output goes, as head does, the node takes leave and ends without a word.
    """
    node = Node("Netech", free_port())
    command = stage.command("-t", node.team, "-p", str(node.port))
    listener = Listener()
    stage.afterwards(listener.stop)
    # The statuses of a pipeline are told by its parts: sh has none but the last one's.
    pipeline = '{ "$@"; echo "status $?" >&2; } | head -n 1'
    stage.spawn(node, ["/bin/sh", "-c", pipeline, "sh", *command])
    await node.line_with(f"Listening on port {node.port}")

    await node.until(lambda: node.status is not None, "the end")

    assert await node.ended() == 0
    assert node.errors == b"status 0\n"
    assert len(node.text.splitlines()) == 1


@pytest_twisted.ensureDeferred
async def test_killed_node_starts_again_as_if_nothing_was(stage: Stage) -> None:
    """
    After SIGKILL in the middle of a burst the next start offers the remembered answers and hears.
    """
    port = free_port()
    first = Node("Emu", port)
    stage.run(program=first)
    first.type("Emu", str(port))
    await first.ready()
    sending = deferToThread(say, port, *(header(6101, "Quokka", f"no. {n}") for n in range(50)))
    await first.line_with("no. 5")
    await first.killed()
    sending.addErrback(lambda failure: failure.trap(ConnectionError) and None)
    await sending
    assert first.status == -signal.SIGKILL

    second = Node("Emu", port)
    stage.run(program=second)
    second.type("", "")

    await second.ready()
    assert second.lines[:2] == [
        "Enter your team name [Emu]:",
        f"Enter your port number [{port}]:",
    ]
    await deferToThread(say, port, header(6101, "Quokka", "are you back?"))
    await second.line_with("Quokka: are you back?")


@pytest_twisted.ensureDeferred
async def test_daemon_after_a_kill_starts_again(stage: Stage) -> None:
    """
    The pid file that a killed daemon leaves behind does not keep the next one from starting.
    """
    pid_file = stage.folder / "twistd.pid"
    port = free_port()
    gone = Program()
    stage.spawn(gone, ["/bin/sh", "-c", "echo $$"])
    assert await gone.ended() == 0
    pid_file.write_text(gone.text)

    starter = stage.run("-t", "Emu", "-p", str(port), before=())

    assert await starter.ended() == 0
    pid = int(pid_file.read_text())
    with killed_on_failure(pid):
        assert pid != int(gone.text)
        await deferToThread(say_and_wait, port, header(6101, "Quokka", "hello"))
        os.kill(pid, signal.SIGTERM)
        await ended(pid)
    assert b"Traceback" not in starter.errors


@pytest_twisted.ensureDeferred
async def test_dumb_terminal_is_left_as_it_was(stage: Stage) -> None:
    """
    A terminal that can do nothing but lines gets plain lines, and keeps its modes.
    """
    node = TerminalNode("Netech", free_port())
    before = node.modes
    stage.run("-t", node.team, "-p", str(node.port), program=node, env={"TERM": "dumb"})
    await node.ready()
    listener = await met(node, stage)
    assert node.modes[3] & termios.ECHO

    node.write(b"1\n" + listener.address.encode() + b"\nhello\n0\n")

    assert await node.ended() == 0
    await listener.hears(*(header(node.port, "Netech", text) for text in ("hello", "exit")))
    assert node.modes == before
    assert b"\x1b" not in node.output
