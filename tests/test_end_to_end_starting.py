"""
End to end: how a node starts, or says in one line why it does not.
"""

import getpass
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.classic_programs import Listener, header, say, say_and_wait
from tests.processes import (
    Node,
    Program,
    Stage,
    TerminalNode,
    ended,
    free_port,
    has_ipv6,
    killed_on_failure,
    refused,
    twistd,
)


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


@pytest_twisted.ensureDeferred
async def test_answers_on_a_pipe_are_remembered(stage: Stage) -> None:
    """
    Team and port are asked and offered again; what stands behind the answers is for the menu.
    """
    port = free_port()
    first = Node("Red Pandas", port)
    stage.run(program=first)
    first.type("Red Pandas", str(port), "2")
    await first.line_with(f"Listening on port {port} as Red Pandas")
    await first.line_with("No connected peers.")
    assert f"Enter your team name [{getpass.getuser()}]:" in first.lines
    assert "Enter your port number [7070]:" in first.lines
    first.type("0")
    assert await first.ended() == 0

    second = stage.run()
    second.type("", "", "0")

    assert await second.ended() == 0
    assert "Enter your team name [Red Pandas]:" in second.lines
    assert f"Enter your port number [{port}]:" in second.lines
    await second.line_with(f"Listening on port {port} as Red Pandas")
    assert not first.errors + second.errors


@pytest_twisted.ensureDeferred
async def test_answers_on_a_terminal_are_remembered(stage: Stage) -> None:
    """
    The same where a person types; and without a console the remembered ones are used unasked.
    """
    port = free_port()
    first = TerminalNode("Emu", port)
    stage.run(program=first)
    await first.line_with("Enter your team name [")
    first.type("Emu \N{SNOWMAN}")
    await first.line_with("Enter your port number [7070]:")
    first.type(str(port))
    await first.ready()
    await first.line_with(f"Listening on port {port} as Emu \N{SNOWMAN}")
    first.type("0")
    assert await first.ended() == 0

    with Path(os.devnull).open("rb") as nothing:
        second = stage.run(stdin=nothing.fileno())

    await second.line_with(f"Listening on port {port} as Emu \N{SNOWMAN}")
    assert "[" not in second.text


@pytest_twisted.ensureDeferred
async def test_given_answers_are_not_asked(stage: Stage) -> None:
    """
    What the command line says is not asked, and wins over what was remembered.
    """
    first = await stage.node("Emu")
    first.type("0")
    assert await first.ended() == 0
    port = free_port()

    second = stage.run("--port", str(port))
    second.type("Quokka")

    await second.line_with(f"Listening on port {port} as Quokka")
    assert second.lines[:2] == ["Enter your team name [Emu]:", second.find("Listening")[0]]


@pytest_twisted.ensureDeferred
async def test_nothing_known_without_console_takes_defaults(stage: Stage) -> None:
    """
    Nobody to ask and nothing remembered: the login name, and the port of the assignment's examples.
    """
    with Path(os.devnull).open("rb") as nothing:
        program = stage.run(stdin=nothing.fileno())

    await program.until(lambda: program.find("Listening") or program.status is not None, "a start")
    if program.find("Listening"):
        await program.line_with(f"Listening on port 7070 as {getpass.getuser()}")
    else:
        # Somebody else on this machine may have it.
        assert "Cannot listen on port 7070: address already in use" in await refused(program)


@pytest_twisted.ensureDeferred
async def test_port_in_use_is_told_in_one_line(stage: Stage) -> None:
    """
    Whoever has the port, on all addresses or on one, the second one says so and ends.
    """
    for interface in ("0.0.0.0", "127.0.0.1"):
        port = free_port()
        with closing(socket.create_server((interface, port))):
            told = await refused(stage.run("-t", "Emu", "-p", str(port)))
        assert f"Cannot listen on port {port}: address already in use." in told
        assert "--port" in told
    # What could not be used is not offered the next time, and has no folder.
    assert not list(stage.state.iterdir())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--port", "0"], "Invalid port number 0: a port is a number from 1 to 65535."),
        (["--port", "65536"], "Invalid port number 65536"),
        (["--port", "7o70"], "Invalid port number '7o70'"),
        (["--team", "  "], "The team name is empty"),
        (["--team", "x" * 65], "has 65 characters: at most 64 are allowed"),
        (["--team", "Emu\x1b[2J"], "Emu\N{SYMBOL FOR ESCAPE}[2J holds characters"),
        (["--dialect", "klingon"], "There is no dialect 'klingon': it is header, plain"),
        (["--interface", "localhost"], "--interface takes an IP address"),
        (["--interface", "192.0.2.1"], "of 192.0.2.1: "),
        (["--state", "/dev/null/here"], "The state directory /dev/null/here cannot be made"),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else "",
)
@pytest_twisted.ensureDeferred
async def test_bad_setting_is_told_in_one_line(
    stage: Stage, options: list[str], reason: str
) -> None:
    """
    A setting that cannot be ends the start with one line, status 1 and no traceback.
    """
    standard = ["--team", "Emu", "--port", str(free_port())]

    told = await refused(stage.run(*standard, *options))

    assert reason in told


@pytest_twisted.ensureDeferred
async def test_bad_answer_is_told_in_one_line(stage: Stage) -> None:
    """
    So does an answer that cannot be.
    """
    program = stage.run("--team", "Emu")

    program.type("seven")

    assert "Invalid port number 'seven'" in await refused(program)


@pytest_twisted.ensureDeferred
async def test_damaged_settings_are_told_in_one_line(stage: Stage) -> None:
    """
    So does a settings file that is none; it is left as it is.
    """
    stage.state.mkdir()
    settings = stage.state / "settings.json"
    settings.write_text('{"team": "Em')

    told = await refused(stage.run("-t", "Emu", "-p", str(free_port())))

    assert f"The settings in {settings} cannot be read" in told
    assert settings.read_text() == '{"team": "Em'


# What is done to a file in a node's folder, and what is said about it.
DAMAGES: dict[str, tuple[str, bytes | None, int, str]] = {
    "key cut short": (
        "identity.key",
        b"twistedchat-ed25519 00",
        0o600,
        "The key in {} is damaged. Put back a copy of that file.",
    ),
    "key open to others": (
        "identity.key",
        None,
        0o644,
        "The key in {} is open to other users. If none of them can have taken it, close it with: "
        "chmod 600 {}",
    ),
    "contacts cut short": (
        "contacts.json",
        b'{"version": 1, "contacts": [{"key"',
        0o600,
        "The contacts in {} cannot be read",
    ),
    "contacts of a later version": (
        "contacts.json",
        b'{"version": 1000, "people": []}',
        0o600,
        "The contacts in {} were written by a newer version of twistedchat.",
    ),
    "journal that is none": (
        "journal.sqlite",
        b"no journal at all, but long enough to have the head of one " * 100,
        0o600,
        "The journal {} cannot be used: it is damaged. Put back a copy of it.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest_twisted.ensureDeferred
async def test_damaged_file_is_told_in_one_line(stage: Stage, damage: str) -> None:
    """
    A file that cannot be used ends the start with one line and status 1, and stays as it is.
    """
    name, data, mode, reason = DAMAGES[damage]
    node = await stage.node("Emu")
    node.type("0")
    assert await node.ended() == 0
    file = stage.state / str(node.port) / name
    if data is not None:
        file.write_bytes(data)
    file.chmod(mode)
    before = file.read_bytes()

    told = await refused(stage.run("-t", "Emu", "-p", str(node.port)))

    assert reason.format(file, file) in told
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o777 == mode


@pytest_twisted.ensureDeferred
async def test_second_process_on_one_folder_is_told_in_one_line(stage: Stage) -> None:
    """
    Two nodes can have one port at two addresses, but not one folder; the first goes on.
    """
    port = free_port()
    first = await stage.node("Emu", "-i", "127.0.0.1", port=port)
    folder = stage.state / str(port)

    told = await refused(stage.run("-t", "Emu", "-p", str(port), "-i", "127.0.0.2"))

    assert f"The folder {folder} is used by another node (process {first.pid})." in told
    await deferToThread(say, port, header(6101, "Quokka", "are you still there?"))
    await first.line_with("Quokka: are you still there?")
    await first.killed()
    second = await stage.node("Emu", "-i", "127.0.0.2", port=port)
    second.type("0")
    assert await second.ended() == 0


@pytest_twisted.ensureDeferred
async def test_daemon_keeps_the_folder_to_itself(stage: Stage) -> None:
    """
    A node in the background holds its folder as any other, under the number of its own process.
    """
    port = free_port()
    options = ("-t", "Emu", "-p", str(port))
    starter = stage.run(*options, "-i", "127.0.0.1", before=())
    assert await starter.ended() == 0
    pid = int((stage.folder / "twistd.pid").read_text())
    with killed_on_failure(pid):
        await deferToThread(say_and_wait, port, header(6101, "Quokka", "hello"))

        told = await refused(stage.run(*options, "-i", "127.0.0.2"))

        assert f"is used by another node (process {pid})." in told
        os.kill(pid, signal.SIGTERM)
        await ended(pid)


@pytest_twisted.ensureDeferred
async def test_two_nodes_share_one_folder(stage: Stage) -> None:
    """
    Two nodes started in the same folder, with the same state, run side by side and talk.
    """
    one = await stage.node("One")
    two = await stage.node("Two")

    one.type("1", two.address, "hello")
    await two.line_with("[door] One", one.address, "hello")
    two.type("t", "1", "a")
    await two.line_with("[secure] One", ": hello")

    assert not (stage.folder / "twistd.pid").exists()
    for node in (one, two):
        node.type("0")
        assert await node.ended() == 0
        folder = stage.state / str(node.port)
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}
        names = ["contacts.json", "identity.key", "journal.sqlite", "lock", "p2pchat.log"]
        assert modes == dict.fromkeys(names, oct(0o600))
        assert folder.stat().st_mode & 0o777 == 0o700
    assert stage.state.stat().st_mode & 0o777 == 0o700


def udp_sockets(pid: int) -> set[str]:
    """
    Find what a process has open that could send to a whole network.

    Args:
        pid: Its process ID.

    Returns:
        The numbers of its UDP sockets.
    """
    process = Path("/proc") / str(pid)
    tables = [(process / "net" / name).read_text() for name in ("udp", "udp6")]
    # The tenth column; the first line is the heading.
    numbers = {line.split()[9] for table in tables for line in table.splitlines()[1:]}
    opened = {str(file.readlink()) for file in (process / "fd").iterdir() if file.is_symlink()}
    return {number for number in numbers if f"socket:[{number}]" in opened}


@pytest_twisted.ensureDeferred
async def test_without_lan_nothing_is_open_to_the_network(stage: Stage) -> None:
    """
    With --no-lan a node has no socket with which it could announce itself.
    """
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as ours:
        ours.bind(("127.0.0.1", 0))
        assert udp_sockets(os.getpid())

    node = await stage.node("Emu", "--no-lan")
    await deferToThread(say, node.port, header(6101, "Quokka", "hello"))
    await node.line_with("Quokka: hello")

    assert not udp_sockets(node.pid)


@pytest_twisted.ensureDeferred
async def test_both_kinds_of_address_are_heard_on_one_port(stage: Stage) -> None:
    """
    A node is reached over IPv4 and IPv6, and shows each address in its own form.
    """
    if not has_ipv6():
        pytest.skip("this system has no IPv6")
    node = await stage.node()

    await deferToThread(say, node.port, header(6101, "Emu", "over IPv4"))
    await deferToThread(say, node.port, header(6102, "Quokka", "over IPv6"), from_host="::1")

    await node.line_with("127.0.0.1:6101 Emu: over IPv4")
    await node.line_with("[::1]:6102 Quokka: over IPv6")


@pytest_twisted.ensureDeferred
async def test_daemon_listens_and_takes_leave(stage: Stage) -> None:
    """
    Without -n it goes to the background, writes where it is, hears, and says exit when ended.
    """
    listener = Listener()
    stage.afterwards(listener.stop)
    port = free_port()
    pid_file = stage.folder / "twistd.pid"

    starter = stage.run("-t", "Emu", "-p", str(port), before=())
    assert await starter.ended() == 0
    pid = int(pid_file.read_text())
    with killed_on_failure(pid):
        hello = f"10.0.0.1:{listener.port} Quokka hello".encode()
        await deferToThread(say_and_wait, port, hello)
        os.kill(pid, signal.SIGTERM)
        await listener.hears(f"127.0.0.1:{port} Emu exit".encode())
        await ended(pid)

    assert not pid_file.exists()
    assert not starter.output + starter.errors
    assert "Main loop terminated" in (stage.state / str(port) / "p2pchat.log").read_text()


@pytest_twisted.ensureDeferred
async def test_daemon_that_cannot_listen_says_so(stage: Stage) -> None:
    """
    A port in use is told before it goes to the background.
    """
    port = free_port()
    with closing(socket.create_server(("127.0.0.1", port))):
        told = await refused(stage.run("-t", "Emu", "-p", str(port), before=()))

    assert f"Cannot listen on port {port}" in told
    assert not (stage.folder / "twistd.pid").exists()


@pytest_twisted.ensureDeferred
async def test_log_goes_where_the_person_says(stage: Stage) -> None:
    """
    The -l of twistd wins over the log in the state folder, as a file and as standard output.
    """
    port = free_port()
    node = Node("Emu", port)
    stage.run("-t", "Emu", "-p", str(port), before=("-n", "-l", "my.log"), program=node)
    await node.ready()
    node.type("0")
    assert await node.ended() == 0
    assert f"Listening on port {port} as 'Emu'" in (stage.folder / "my.log").read_text()
    assert "[-]" not in node.text

    port = free_port()
    node = Node("Emu", port)
    stage.run("-t", "Emu", "-p", str(port), before=("-n", "-l", "-"), program=node)
    await node.line_with("twistedchat.node.Node#info", f"Listening on port {port} as 'Emu'")
    assert not (stage.state / str(port) / "p2pchat.log").exists()


@pytest_twisted.ensureDeferred
async def test_help_and_plugin_list_name_the_command(stage: Stage) -> None:
    """
    Of twistd's plugins p2pchat is one, and its help tells each option; no state is made by looking.
    """
    twistd_help, our_help = Program(), Program()
    stage.spawn(twistd_help, twistd("--help"))
    stage.spawn(our_help, twistd("p2pchat", "--help"))

    assert await twistd_help.ended() == 0
    assert await our_help.ended() == 0

    assert any("p2pchat" in line and "chat node" in line for line in twistd_help.lines)
    options = ("port", "team", "interface", "dialect", "state", "no-lan", "secure-only")
    for option in options:
        assert f"--{option}" in our_help.text


@pytest_twisted.ensureDeferred
async def test_control_d_at_a_question_ends_quietly(stage: Stage) -> None:
    """
    Whoever types Control-D or Control-C at the questions has changed their mind.
    """
    for key, status in (b"\x04", 0), (b"\x03", 130):
        node = TerminalNode("", 0)
        stage.run(program=node)
        await node.line_with("Enter your team name [")
        node.write(key)
        assert await node.ended() == status
        assert b"Traceback" not in node.output
