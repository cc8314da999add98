"""
End to end: the whole story of the assignment, with real nodes.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_twisted

from tests.processes import Node, Stage, together


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


def has(rows: list[str], node: Node) -> bool:
    """
    Whether a list has exactly one row, and it is that of this node.
    """
    return len(rows) == 1 and node.address in rows[0]


@pytest_twisted.ensureDeferred
async def test_three_teams_on_pipes_live_the_whole_story(stage: Stage) -> None:
    """
    Three teams send, query, connect by hand and to all, take leave of one and quit.
    """
    one, two, three = await together(*map(stage.node, ("One", "Two", "Three")))

    one.type("1", "127.0.0.1", str(two.port), "hello | from one")
    await one.line_with("Message sent to", two.address)
    await two.line_with(one.address, "One", "hello | from one")
    active, connected = await one.lists()
    assert has(active, two)
    assert not connected
    active, connected = await two.lists()
    assert has(active, one)
    assert not connected

    two.type("3", "A")
    await two.line_with("Connected to", one.address)
    await one.line_with(two.address, "Two", "connected to you", "(connection message)")
    assert all(has(rows, two) for rows in await one.lists())
    assert all(has(rows, one) for rows in await two.lists())

    three.type("3", "M", "127.0.0.1", str(one.port))
    await three.line_with("Connected to", one.address)
    await one.line_with(three.address, "Three", "connected to you", "(manual connection message)")
    active, connected = await one.lists()
    assert len(active) == len(connected) == 2
    assert "Three" in connected[1]
    assert "header" in connected[1]
    assert all(has(rows, one) for rows in await three.lists())

    two.type("1", one.address, "exit")
    await two.line_with("Said exit to", one.address)
    await one.line_with(two.address, "Two", "left")
    assert await two.lists() == ([], [])
    assert all(has(rows, three) for rows in await one.lists())

    two.type("1", "127.0.0.1", str(three.port), "I am back")
    await three.line_with(two.address, "I am back")
    three.type("0")
    assert await three.ended() == 0
    await one.line_with(three.address, "Three", "left")
    await two.line_with(three.address, "left")
    assert await one.lists() == ([], [])
    assert await two.lists() == ([], [])
    assert not one.errors + two.errors + three.errors


@pytest_twisted.ensureDeferred
async def test_two_teams_on_terminals_live_the_story(stage: Stage) -> None:
    """
    Two teams do the same as people do it: on terminals, question by question.
    """
    one, two = await together(*map(stage.terminal, ("One", "Two")))

    for question, answer in [
        ("Enter your choice:", "1"),
        ("Enter the recipient's IP address:", "127.0.0.1"),
        ("Enter the recipient's port number:", str(two.port)),
        ("Enter your message:", "hello from one"),
    ]:
        await one.typing(question)
        one.type(answer)
    await one.line_with("Message sent to", two.address)
    await two.line_with(one.address, "One: hello from one")
    two.type("3")
    await two.typing("Enter your choice (A/M):")
    two.type("a")
    await two.line_with("Connected to", one.address)
    await one.line_with(two.address, "Two connected to you")
    one.type("2")
    await one.line_with("1. ", two.address, "Two", times=2)
    two.type("r")
    await two.typing(f"Enter your reply to One ({one.address}):")
    two.type("good to see you")
    await one.line_with(two.address, "Two: good to see you")
    two.type("0")
    await two.line_with("Exiting...")
    assert await two.ended() == 0
    await one.line_with(two.address, "Two left")
    assert one.typed == "Enter your choice:"
