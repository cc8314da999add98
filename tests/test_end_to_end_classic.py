"""
End to end: a real node among programs that talk as classic peers do.
"""

import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from tests.classic_programs import (
    Listener,
    Manner,
    acknowledge,
    header,
    never_close,
    probe,
    reset,
    say,
    say_and_reset,
    say_at_once,
    say_in_one,
    say_without_end,
)
from tests.processes import Stage

STAMP = rb"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"

# A text as a program writes it, and what it must get for a text, a connect and an exit of ours;
# {p} is its port and {us} ours. In the answers {stamp} is any time.
DIALECTS = {
    "header": (
        "LISTENING_PORT:{p}|TEAM_NAME:Red Pandas|{text}",
        "LISTENING_PORT:{us}|TEAM_NAME:Net tech|{text}",
        "LISTENING_PORT:{us}|TEAM_NAME:Net tech|connection message",
        "LISTENING_PORT:{us}|TEAM_NAME:Net tech|exit",
    ),
    "plain": (
        "10.15.5.25:{p} Quokka {text}",
        "127.0.0.1:{us} Net_tech {text}",
        "127.0.0.1:{us} Net_tech connect",
        "127.0.0.1:{us} Net_tech exit",
    ),
    "angle": (
        "<192.168.7.21:{p}> Quokka {text}",
        "<127.0.0.1:{us}> Net_tech {text}",
        "<127.0.0.1:{us}> Net_tech CONNECT",
        "<127.0.0.1:{us}> Net_tech exit",
    ),
    "angle-end": (
        "<192.168.7.21:{p}> @ <Red Pandas>\n{text}\n<end>",
        "<127.0.0.1:{us}> @ <Net tech>\n{text}\n<end>",
        "<127.0.0.1:{us}> @ <Net tech>\nCONNECT\n<end>",
        "<127.0.0.1:{us}> DISCONNECT",
    ),
    "angle-time": (
        "<192.168.7.21:{p}> [2026-03-01 12:00:00] @ <Quokka>\n{text}\n",
        "<127.0.0.1:{us}> {stamp} @ <Net tech>\n{text}",
        "<127.0.0.1:{us}> {stamp} @ <Net tech>\nCONNECT",
        "<127.0.0.1:{us}> {stamp} DISCONNECT",
    ),
    "json": (
        '{{"type": "message", "content": "<1.2.3.4:5> <Us> {text}", '
        '"sender_name": "Quokka", "sender_port": {p}}}',
        '{{"type": "message", "content": "<127.0.0.1:{p}> <Quokka> {text}", '
        '"sender_name": "Net tech", "sender_port": {us}}}',
        '{{"type": "connect", "content": "<127.0.0.1:{p}> <Quokka> connect", '
        '"sender_name": "Net tech", "sender_port": {us}}}',
        '{{"type": "exit", "content": "<127.0.0.1:{p}> <Quokka> exit", '
        '"sender_name": "Net tech", "sender_port": {us}}}',
    ),
}


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


@pytest_twisted.ensureDeferred
async def test_every_dialect_is_shown_and_answered_in_itself(stage: Stage) -> None:
    """
    A program of each dialect is heard, and gets texts, connects and exits in its own, byte by byte.
    """
    node = await stage.node("Net tech")
    text = "see you at nine | \N{SNOWMAN} ok"

    listeners = {dialect: Listener() for dialect in DIALECTS}

    for dialect, listener in listeners.items():
        stage.afterwards(listener.stop)
        theirs = DIALECTS[dialect][0].format(p=listener.port, text=f"from {dialect}")
        await deferToThread(say, node.port, theirs.encode())
        await node.line_with("[plain]", listener.address, f": from {dialect}")
        node.type("1", listener.address, text)
        await listener.has_heard(1)
        node.type("3", "M", listener.address)
        await listener.has_heard(2)
    active, connected = await node.lists()
    assert len(active) == len(connected) == len(DIALECTS)
    for listener, row in zip(listeners.values(), active, strict=True):
        assert listener.address in row
        assert "plain" in row
    node.type("0")
    assert await node.ended() == 0

    for dialect, listener in listeners.items():
        await listener.has_heard(3)
        for heard, form in zip(listener.heard, DIALECTS[dialect][1:], strict=True):
            if dialect == "header":
                # What the reference program says where a person gave the address.
                form = form.replace("connection", "manual connection")
            wanted = form.format(p=listener.port, us=node.port, text=text, stamp="STAMP")
            pattern = re.escape(wanted.encode()).replace(b"STAMP", STAMP)
            assert re.fullmatch(pattern, heard.data), (heard.data, wanted)
            assert heard.rest == b""
            assert heard.was_closed


@pytest_twisted.ensureDeferred
async def test_automatic_connect_reaches_all_in_their_dialects(stage: Stage) -> None:
    """
    3 and A tells every active peer at once, each in its own dialect.
    """
    node = await stage.node("Net tech")
    listeners = {dialect: Listener() for dialect in ("header", "plain", "angle-end", "json")}
    for dialect, listener in listeners.items():
        stage.afterwards(listener.stop)
        theirs = DIALECTS[dialect][0]
        data = theirs.format(p=listener.port, text="hello").encode()
        await deferToThread(say, node.port, data)
        await node.line_with(listener.address, "hello")

    node.type("3", "a")

    for dialect, listener in listeners.items():
        wanted = DIALECTS[dialect][2].format(p=listener.port, us=node.port)
        await listener.hears(wanted.encode())


@pytest_twisted.ensureDeferred
async def test_strangers_are_spoken_to_in_the_chosen_dialect(stage: Stage) -> None:
    """
    With --dialect a program that was never heard is spoken to as that says.
    """
    listener = Listener()
    stage.afterwards(listener.stop)
    node = await stage.node("Netech", "--dialect", "plain")

    node.type("1", listener.address, "good morning")

    await listener.hears(f"127.0.0.1:{node.port} Netech good morning".encode())


@pytest_twisted.ensureDeferred
async def test_long_text_arrives_in_pieces_cut_between_words(stage: Stage) -> None:
    """
    What a classic program could not read at once comes as several messages, in order and whole.
    """
    node = await stage.node()
    words = [f"w\N{LATIN SMALL LETTER O WITH DIAERESIS}rd{number}" for number in range(400)]
    text = " ".join(words)

    for dialect in ("header", "plain", "angle-time", "json"):
        listener = Listener()
        stage.afterwards(listener.stop)
        theirs = DIALECTS[dialect][0].format(p=listener.port, text="tell me").encode()
        await deferToThread(say, node.port, theirs)
        await node.line_with(listener.address, "tell me")
        node.type("1", listener.address, text)
        sent = await node.line_with("Message sent to", listener.address, "parts")
        found = re.search(r"in (\d+) parts", sent)
        assert found is not None
        await listener.has_heard(int(found[1]))

        said = [data.decode() for data in listener.said]
        assert all(len(data) <= 1000 for data in listener.said)
        assert all(heard.was_closed and not heard.rest for heard in listener.heard)
        assert not any(data.endswith("\n") for data in said)
        assert re.findall(r"wörd\d+", " ".join(said)) == words


@pytest.mark.parametrize("manner", [never_close, acknowledge], ids=["never closing", "answering"])
@pytest_twisted.ensureDeferred
async def test_odd_listener_gets_every_message(stage: Stage, manner: Manner) -> None:
    """
    A program that never closes, or answers, gets all that is said, each on a connection we close.
    """
    listener = Listener(manner)
    stage.afterwards(listener.stop)
    node = await stage.node()

    for number in range(3):
        node.type("1", listener.address, f"message {number}")

    await listener.hears(*(header(node.port, "Netech", f"message {n}") for n in range(3)))
    await node.line_with("Message sent to", listener.address, times=3)
    assert not node.find("ACK")
    active, _ = await node.lists()
    assert len(active) == 1


@pytest_twisted.ensureDeferred
async def test_resets_on_the_way_in_lose_nothing(stage: Stage) -> None:
    """
    A message whose sender breaks the connection off is shown as any other.
    """
    node = await stage.node()

    for number in range(20):
        data = header(6101, "Quokka", f"message {number}.")
        await deferToThread(say_and_reset, node.port, data)

    for number in range(20):
        await node.line_with("127.0.0.1:6101 Quokka", f"message {number}.")


@pytest_twisted.ensureDeferred
async def test_probes_show_nothing_and_make_no_peer(stage: Stage) -> None:
    """
    A connection without a byte is nobody.
    """
    node = await stage.node()

    for _ in range(5):
        await deferToThread(probe, node.port)
    await deferToThread(say, node.port, header(6101, "Quokka", "after the probes"))

    await node.line_with("after the probes")
    assert len(node.find("[plain]")) == 1
    active, _ = await node.lists()
    assert len(active) == 1


@pytest_twisted.ensureDeferred
async def test_odd_senders_are_understood(stage: Stage) -> None:
    """
    Two writes, apart or together, single bytes, bad UTF-8, no dialect: all is shown as it is meant.
    """
    node = await stage.node()

    def message(text: str) -> bytes:
        return header(6101, "Quokka", text)

    programs: list[tuple[float, list[bytes]]] = [
        (0.2, [message("apart one"), message("apart two")]),
        (0.5, [message("far one"), message("far two")]),
        (0.0, [message("joined one") + message("joined two")]),
        (0.0, [bytes([byte]) for byte in message("byte by byte")]),
        (0.0, [header(6102, "Emu", "voil") + b"\xe0 and \xff\xfe"]),
        (0.0, [b"I speak no dialect"]),
        (0.0, [header(0, "Nobody", "port nought")]),
        (0.0, [header(99999, "Nobody", "port too large")]),
    ]
    await gatherResults(
        [deferToThread(say_in_one, node.port, *writes, pause=pause) for pause, writes in programs]
    )

    for text in ("apart one", "apart two", "far one", "far two", "joined one", "joined two"):
        line = await node.line_with("127.0.0.1:6101 Quokka", text)
        assert line.endswith(f"Quokka: {text}")
    await node.line_with("Quokka: byte by byte")
    await node.line_with("127.0.0.1:6102 Emu", "voil\N{REPLACEMENT CHARACTER} and ")
    await node.line_with("127.0.0.1 unknown sender", "I speak no dialect")
    await node.line_with("127.0.0.1 unknown sender", "port nought")
    await node.line_with("127.0.0.1 unknown sender", "port too large")
    active, _ = await node.lists()
    assert len(active) == 2


@pytest_twisted.ensureDeferred
async def test_address_is_that_of_the_socket(stage: Stage) -> None:
    """
    A peer is where its connection comes from, whatever address its message claims.
    """
    node = await stage.node()

    await deferToThread(say, node.port, b"10.9.8.7:6101 Quokka hello", from_host="127.0.0.2")
    await deferToThread(say, node.port, b"10.9.8.7:6101 Emu hello", from_host="127.0.0.3")
    await node.line_with("127.0.0.3:6101 Emu: hello")
    # Nobody can take another off the lists.
    await deferToThread(say, node.port, b"127.0.0.2:6101 Emu exit", from_host="127.0.0.3")

    await node.line_with("127.0.0.2:6101 Quokka: hello")
    await node.line_with("127.0.0.3:6101 Emu left")
    active, _ = await node.lists()
    assert len(active) == 1
    assert "127.0.0.2:6101" in active[0]


@pytest_twisted.ensureDeferred
async def test_giant_message_is_refused_and_others_are_heard(stage: Stage) -> None:
    """
    Whoever sends without end is cut off, and shows nothing; the node goes on.
    """
    node = await stage.node()
    giant = header(6101, "Quokka", "x" * 60_000)

    taken = await deferToThread(say_without_end, node.port, giant)
    await deferToThread(say, node.port, header(6102, "Emu", "still there?"))

    assert taken < 100_000_000
    await node.line_with("127.0.0.1:6102 Emu: still there?")
    assert not node.find("Quokka")


@pytest_twisted.ensureDeferred
async def test_silent_connection_blocks_nobody(stage: Stage) -> None:
    """
    Others are heard while somebody holds connections and says nothing.
    """
    node = await stage.node()
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(10)]

    await deferToThread(say, node.port, header(6101, "Quokka", "hello there"))

    await node.line_with("Quokka: hello there")
    for connection in silent:
        connection.close()
    active, _ = await node.lists()
    assert len(active) == 1


@pytest_twisted.ensureDeferred
async def test_sixty_four_senders_at_once_lose_nothing(stage: Stage) -> None:
    """
    Sixty-four programs say ten things each, all at once: all 640 are shown, each once.
    """
    node = await stage.node()
    everything = [
        [header(10000 + sender, f"Team{sender}", f"<{sender}/{number}>") for number in range(10)]
        for sender in range(64)
    ]

    await deferToThread(say_at_once, node.port, everything)

    await node.line_with("[plain] 127.0.0.1:1", times=640)
    shown = re.findall(r":(\d+) Team(\d+): <(\d+)/(\d+)>", node.text)
    assert len(shown) == len(set(shown)) == 640
    assert all(int(port) - 10000 == int(team) == int(sender) for port, team, sender, _ in shown)
    active, _ = await node.lists()
    assert len(active) == 64


@pytest_twisted.ensureDeferred
async def test_many_texts_to_a_slow_listener_arrive_in_order(stage: Stage) -> None:
    """
    A program that takes one connection at a time is never given two, and gets all in order.
    """
    listener = Listener()
    stage.afterwards(listener.stop)
    node = await stage.node()

    for number in range(50):
        node.type("1", listener.address, f"number {number}")

    await listener.hears(*(header(node.port, "Netech", f"number {n}") for n in range(50)))


@pytest_twisted.ensureDeferred
async def test_reset_by_listener_keeps_the_text(stage: Stage) -> None:
    """
    A program that breaks the connection off is named, and the text is offered again.
    """
    listener = Listener(reset, reads=False)
    stage.afterwards(listener.stop)
    node = await stage.node()

    node.type("1", listener.address, "did you get this?")

    await node.line_with(f"Not sent to {listener.address}", "Reset")
    await node.line_with("Type a to send it again", "did you get this?")
