"""
End to end: the whole story of the assignment, with real nodes.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.classic_programs import Listener, header, say
from tests.processes import Stage, together


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


@pytest_twisted.ensureDeferred
async def test_team_among_classic_ones_lives_the_whole_story(stage: Stage) -> None:
    """
    A team sends, queries, connects by hand and to all, takes leave of one and quits.
    """
    one, two, three = await stage.node("One"), Listener(), Listener()
    for listener in (two, three):
        stage.afterwards(listener.stop)

    one.type("1", "127.0.0.1", str(two.port), "hello | from one")
    await one.line_with("Message sent to", two.address)
    await two.hears(header(one.port, "One", "hello | from one"))
    active, connected = await one.lists()
    assert [two.address in row and "plain" in row for row in active] == [True]
    assert not connected

    connect = header(two.port, "Two", "connection message")
    await deferToThread(say, one.port, connect)
    await one.line_with("[plain]", two.address, "Two connected to you (connection message)")
    await deferToThread(say, one.port, header(three.port, "Three", "hello from three"))
    await one.line_with(three.address, "Three: hello from three")
    active, connected = await one.lists()
    assert two.address in active[0]
    assert three.address in active[1]
    assert [two.address in row and "Two" in row for row in connected] == [True]

    one.type("3", "A")
    await one.line_with("Connected to", two.address)
    await one.line_with("Connected to", three.address)
    one.type("3", "M", "127.0.0.1", str(three.port))
    await one.line_with("Connected to", three.address, times=2)
    await two.has_heard(2)
    assert two.said[1] == header(one.port, "One", "connection message")
    await three.hears(
        header(one.port, "One", "connection message"),
        header(one.port, "One", "manual connection message"),
    )
    _, connected = await one.lists()
    assert len(connected) == 2

    one.type("1", two.address, "exit")
    await one.line_with("Said exit to", two.address)
    await two.has_heard(3)
    assert two.said[2] == header(one.port, "One", "exit")
    await deferToThread(say, one.port, header(three.port, "Three", "exit"))
    await one.line_with(three.address, "Three left")
    assert await one.lists() == ([], [])

    await deferToThread(say, one.port, header(three.port, "Three", "I am back"))
    await one.line_with(three.address, "Three: I am back")
    one.type("0")
    assert await one.ended() == 0
    await three.has_heard(3)
    assert three.said[2] == header(one.port, "One", "exit")
    assert len(two.said) == 3
    assert not one.errors


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
    await one.line_with("Message kept: Two\u00b7", "has not let you in yet")
    await two.line_with("[door] One\u00b7", one.address, 'knocks: "hello from one"')
    for question, answer in [
        ("Enter your choice:", "t"),
        ("Enter a number:", "1"),
        ("Enter your choice (a/i/b):", "a"),
    ]:
        await two.typing(question)
        two.type(answer)
    await two.line_with("Let in: One\u00b7")
    await one.line_with("[secure] Two\u00b7", "let you in.")
    await two.line_with("[secure] One\u00b7", ": hello from one")
    await one.line_with("1 text that waited is with Two\u00b7")

    await two.typing("Enter your choice:")
    two.type("3")
    await two.typing("Enter your choice (A/M):")
    two.type("a")
    await two.line_with("Connected to One\u00b7")
    one.type("2")
    await one.line_with("1. ", two.address, "Two\u00b7", "secure", times=2)
    two.type("r")
    await two.until(lambda: two.typed.startswith("Enter your reply to One\u00b7"), "the question")
    two.type("good to see you")
    await two.line_with("Message delivered to One\u00b7")
    await one.line_with("[secure] Two\u00b7", ": good to see you")
    two.type("0")
    await two.line_with("Exiting...")
    assert await two.ended() == 0
    await one.line_with("[secure] Two\u00b7", " left")
    await one.typing("Enter your choice:")
