"""
End to end: what a person sees on a real terminal, drawn by a terminal emulator.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.classic_programs import Listener, header, say
from tests.processes import Node, Stage, TerminalNode

BACKSPACE = b"\x7f"
LEFT = b"\x1b[D"
UP = b"\x1b[A"
TAB = b"\t"
PASTE = b"\x1b[200~", b"\x1b[201~"

# A party popper, and "hello" in Chinese: each two columns wide.
PARTY = "\N{PARTY POPPER}"
NIHAO = "\u4f60\u597d"

# What a hostile peer could try, and what of it must not come out again. Up by more rows than the
# windows of these tests have: what draws the question goes up itself, by fewer.
ATTACKS = {
    "title": "\x1b]0;stolen title\x07",
    "clear": "\x1b[2J\x1b[1;1H",
    "move": "up\x1b[99A\x1b[9Gover",
    "colour": "\x1b[31;5;7mred",
    "one-byte": "\x9b31m\x9d0;stolen title\x9c",
    "return": "nice\r12:00 [plain] 127.0.0.1:7 Bank: forged",
    "newline": "nice\n12:00 [plain] 127.0.0.1:7 Bank: forged",
    "separators": "nice\u2028\u2029\x85\x0b\x0c12:00 [plain] 127.0.0.1:7 Bank: forged",
    "backspace": "nice" + "\b" * 60 + "12:00 [plain] 127.0.0.1:7 Bank: forged",
    "bidi": "\u202e\u2066evil\u2069\u202c",
    "device": "\x1bP1000p\x1b\\\x1b[6n\x1b[c\x05",
}


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


def listening(stage: Stage) -> Listener:
    """
    A program to send to.
    """
    listener = Listener()
    stage.afterwards(listener.stop)
    return listener


async def writing_to(node: TerminalNode, listener: Listener) -> None:
    """
    Go through the questions, up to that for the message.
    """
    node.type("1")
    await node.typing("Enter the recipient's IP address:")
    node.type(listener.address)
    await node.typing("Enter your message:")


async def completing(node: TerminalNode, row: str) -> None:
    """
    Press Tab until it makes a row of the line: the words follow the lists a moment later.
    """
    for _ in range(100):
        meanwhile = f"meanwhile {len(node.output)}."
        node.write(TAB)
        await deferToThread(say, node.port, header(6101, "Emu", meanwhile))
        await node.line_with(meanwhile)
        if node.typed == row:
            return
    raise AssertionError(node.told())


@pytest_twisted.ensureDeferred
async def test_half_typed_line_stays_whole_while_messages_arrive(stage: Stage) -> None:
    """
    What arrives is drawn above a half-typed line, wide characters and all, which is then sent.
    """
    node, listener = await stage.terminal(), listening(stage)
    await writing_to(node, listener)

    for number, word in enumerate(["hello ", NIHAO, f" {PARTY}", " \u00e9t\u00e9", " there"]):
        node.write(word.encode())
        arriving = header(6101, "Quokka", f"meanwhile {number} {NIHAO} {PARTY}.")
        await deferToThread(say, node.port, arriving)
        await node.line_with(f"meanwhile {number} {NIHAO} {PARTY}.")
    text = f"hello {NIHAO} {PARTY} \u00e9t\u00e9 there"
    await node.typing(f"Enter your message: {text}")
    column = len("Enter your message: ") + len(text) + 3
    await node.until(lambda: node.screen.cursor.x == column, f"the cursor in column {column}")
    node.type("")

    await listener.hears(header(node.port, "Netech", text))
    await node.line_with("Message sent to", listener.address)
    shown = node.find("Quokka")
    assert [f"meanwhile {number}" in line for number, line in enumerate(shown)] == [True] * 5


@pytest_twisted.ensureDeferred
async def test_line_is_edited_by_characters(stage: Stage) -> None:
    """
    Backspace takes a wide character or an emoji whole, and the arrows step over one whole.
    """
    node, listener = await stage.terminal(), listening(stage)
    await writing_to(node, listener)

    node.write(f"ab{PARTY}{NIHAO}{PARTY}".encode() + BACKSPACE * 2)
    await node.typing(f"Enter your message: ab{PARTY}\u4f60")
    node.write(LEFT * 2 + b"X")
    await node.typing(f"Enter your message: abX{PARTY}\u4f60")
    node.write(BACKSPACE * 2 + "\u00e9".encode())
    await node.typing(f"Enter your message: a\u00e9{PARTY}\u4f60")
    node.type("")

    await listener.hears(header(node.port, "Netech", f"a\u00e9{PARTY}\u4f60"))


@pytest_twisted.ensureDeferred
async def test_up_brings_back_what_was_typed(stage: Stage) -> None:
    """
    Up goes through the lines that were typed before.
    """
    node, listener = await stage.terminal(), listening(stage)
    await writing_to(node, listener)
    node.type("a long thought")
    await listener.has_heard(1)
    await node.typing("Enter your choice:")
    node.write(UP)
    await node.typing("Enter your choice: a long thought")
    node.write(UP * 2)
    await node.typing("Enter your choice: 1")
    node.type("")
    await node.typing("Enter the recipient's IP address:")
    node.write(UP * 3)
    await node.typing(f"Enter the recipient's IP address: {listener.address}")


@pytest_twisted.ensureDeferred
async def test_tab_completes_names_and_addresses(stage: Stage) -> None:
    """
    Tab completes a peer's name, and its address.
    """
    node, listener = await stage.terminal(), listening(stage)
    hello = header(listener.port, "Red Pandas", "hello")
    await deferToThread(say, node.port, hello)
    await node.line_with("Red Pandas: hello")

    node.type("1")
    await node.typing("Enter the recipient's IP address:")
    node.write(b"red")
    await completing(node, "Enter the recipient's IP address: Red Pandas")
    node.type("")
    await node.typing(f"Enter your message to Red Pandas ({listener.address}):")
    node.type("by name", "1")
    await node.typing("Enter the recipient's IP address:")
    node.write(listener.address[:-1].encode())
    await completing(node, f"Enter the recipient's IP address: {listener.address}")
    node.type("")
    await node.typing("Enter your message:")
    node.type("by address")

    await listener.hears(*(header(node.port, "Netech", text) for text in ("by name", "by address")))


@pytest_twisted.ensureDeferred
async def test_typed_ahead_answers_are_all_taken(stage: Stage) -> None:
    """
    Whoever types faster than the questions come loses nothing.
    """
    node, listener = await stage.terminal(), listening(stage)

    node.type("1", listener.address, "one", "1", listener.address, "two", "3", "m")
    node.type(listener.address, "1", listener.address, "three", "2")

    await listener.hears(
        *(
            header(node.port, "Netech", text)
            for text in ("one", "two", "manual connection message", "three")
        )
    )
    await node.line_with("--- Connected peers")
    await node.typing("Enter your choice:")


@pytest_twisted.ensureDeferred
async def test_resized_window_is_redrawn(stage: Stage) -> None:
    """
    A window made narrower shows all of the half-typed line, and what comes then.
    """
    node, listener = await stage.terminal(), listening(stage)
    await writing_to(node, listener)
    text = "abcdefghij" * 4
    node.write(text.encode())
    await node.typing(f"Enter your message: {text}")

    node.resize(40, 20)

    first = f"Enter your message: {text[:20]}"
    await node.until(
        lambda: node.typed == text[20:] and first in node.screen.display, "the line on two rows"
    )
    await deferToThread(say, node.port, header(6101, "Q", "hey"))
    await node.line_with("Q: hey")
    await node.until(
        lambda: node.typed == text[20:] and first in node.screen.display, "the line on two rows"
    )
    node.resize(100, 30)
    await node.typing(f"Enter your message: {text}")
    node.type("")
    await listener.hears(header(node.port, "Netech", text))


@pytest_twisted.ensureDeferred
async def test_without_colours_none_are_drawn(stage: Stage) -> None:
    """
    With NO_COLOR the terminal is as it is but for colours; without it there are some.
    """
    colour = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]")
    plain = await stage.terminal("Plain", env={"NO_COLOR": "1"})
    coloured = await stage.terminal("Coloured")

    plain.type("1", coloured.address, "hello")
    await coloured.line_with("[door] Plain")
    coloured.type("t", "1", "a")
    await coloured.line_with("[secure] Plain", ": hello")
    coloured.type("r", "hello yourself")
    await plain.line_with("[secure] Coloured", ": hello yourself")
    await coloured.line_with("Message delivered to Plain")
    await plain.typing("Enter your choice:")

    assert colour.search(coloured.output)
    assert not colour.search(plain.output)


@pytest_twisted.ensureDeferred
async def test_hostile_texts_and_names_are_disarmed_on_a_terminal(stage: Stage) -> None:
    """
    No text and no name from outside moves the cursor, sets the title or forges a line.
    """
    node = await stage.terminal(columns=400, rows=50)
    node.write(b"half a line")
    await node.typing("Enter your choice: half a line")

    for name, attack in ATTACKS.items():
        data = header(6101, f"Eve{attack}Eve", f"<{name}> {attack} </{name}>")
        await deferToThread(say, node.port, data, f"unknown {attack} end of {name}".encode())
        await node.line_with(f"</{name}>")
        await node.line_with(f"end of {name}")
        await node.typing("Enter your choice: half a line")
    node.write(BACKSPACE * len("half a line"))
    await node.typing("Enter your choice:")
    node.type("2")
    await node.line_with("--- Connected peers")

    check_disarmed(node)
    assert node.screen.title == ""
    assert node.screen.icon_name == ""
    assert b"\x1b]" not in node.output
    assert b"\x1bP" not in node.output


@pytest.mark.parametrize("filling", [" ", "x", NIHAO[0]], ids=["spaces", "letters", "wide"])
@pytest_twisted.ensureDeferred
async def test_text_that_fills_its_row_forges_no_line(stage: Stage, filling: str) -> None:
    """
    A text made as long as the window is wide cannot put what follows at the beginning of a row.
    """
    node = await stage.terminal()
    forged = "12:00 [plain] 127.0.0.1:7 Bank: forged"

    for length in range(80):
        data = header(6101, "Eve", filling * length + forged + f" {length}.")
        await deferToThread(say, node.port, data)
    await deferToThread(say, node.port, header(6101, "Eve", "the end"))
    await node.line_with("Eve: the end")

    assert not [line for line in node.lines if line.startswith("12:00")]


@pytest_twisted.ensureDeferred
async def test_hostile_texts_and_names_are_disarmed_on_pipes(stage: Stage) -> None:
    """
    Nor on a pipe, where what is read may go to a terminal later: there is no control character.
    """
    node = await stage.node()

    for name, attack in ATTACKS.items():
        data = header(6101, f"Eve{attack}Eve", f"<{name}> {attack} </{name}>")
        await deferToThread(say, node.port, data, f"unknown {attack} end of {name}".encode())
        await node.line_with(f"</{name}>")
        await node.line_with(f"end of {name}")
    await node.lists()

    check_disarmed(node)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", node.text)


def check_disarmed(node: Node) -> None:
    """
    Check that no attack came out.
    """
    for forbidden in ("\x1b[2J", "\x1b[99A", "\x1b[31;5;7m", "\x9b", "\x9d", "\x05", "\u202e"):
        assert forbidden.encode() not in node.output
    assert not [line for line in node.lines if line.startswith("12:00")]
    assert node.find("forged")


@pytest_twisted.ensureDeferred
async def test_pasted_lines_are_one_message(stage: Stage) -> None:
    """
    A text of several lines that is pasted is one message, and no answer to other questions.
    """
    node, listener = await stage.terminal(), listening(stage)
    await writing_to(node, listener)

    node.write(PASTE[0] + b"first line\rsecond line\r0" + PASTE[1])
    await node.typing("0")
    node.type("")

    await listener.hears(header(node.port, "Netech", "first line\nsecond line\n0"))
    await node.typing("Enter your choice:")


@pytest_twisted.ensureDeferred
async def test_flood_leaves_the_line_intact_and_shows_all(stage: Stage) -> None:
    """
    Two hundred messages as fast as they come are all shown, above a line that goes on being typed.
    """
    node, listener = await stage.terminal(), listening(stage)
    await writing_to(node, listener)
    text = "typing on and on, whatever may come"

    flood = deferToThread(
        say, node.port, *(header(6101, "Quokka", f"flood {number}.") for number in range(200))
    )
    for number, character in enumerate(text):
        node.write(character.encode())
        await node.line_with("Quokka: flood", f"flood {number * 5}.")
    await flood

    await node.line_with("Quokka: flood", times=200)
    await node.typing(f"Enter your message: {text}")
    order = [int(number) for number in re.findall(r"flood (\d+)\.", "\n".join(node.lines))]
    assert order == list(range(200))
    assert len(node.find("Enter your message:")) == 1
    node.type("")
    await listener.hears(header(node.port, "Netech", text))


@pytest.mark.parametrize("columns", [20, 200])
@pytest_twisted.ensureDeferred
async def test_any_width_shows_the_story(stage: Stage, columns: int) -> None:
    """
    A very narrow or very wide window is as good as any.
    """
    node, listener = await stage.terminal(columns=columns), listening(stage)

    node.type("1", listener.address, "hello there")

    await listener.hears(header(node.port, "Netech", "hello there"))
    await node.line_with("Enter your choice:", times=1)


@pytest_twisted.ensureDeferred
async def test_dumb_terminal_gets_plain_lines(stage: Stage) -> None:
    """
    With TERM=dumb there is not one escape sequence, and each event is one line.
    """
    node, listener = await stage.terminal(env={"TERM": "dumb"}), listening(stage)

    await deferToThread(say, node.port, header(listener.port, "Quokka", "one\ntwo"))
    await node.line_with("Quokka: one\N{SYMBOL FOR LINE FEED}two")
    node.write(b"r\nhello yourself\n")
    await listener.hears(header(node.port, "Netech", "hello yourself"))
    await node.line_with("Message sent to")

    assert b"\x1b" not in node.output
