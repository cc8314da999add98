"""
End to end: what a person reads when a text cannot be sent, and how it is sent after all.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted

from tests.classic_programs import FullQueue, Listener, header, reset
from tests.processes import Stage, free_port


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


@pytest_twisted.ensureDeferred
async def test_refused_text_arrives_when_the_peer_has_come_up(stage: Stage) -> None:
    """
    Nobody listens: the person reads so, and sends the text again with a when somebody does.
    """
    node = await stage.node()
    port = free_port()

    node.type("1", f"127.0.0.1:{port}", "good morning, are you there?")
    await node.line_with(f"Not sent to 127.0.0.1:{port}. Refused: nobody listens on")
    await node.line_with("Type a to send it again. It was: good morning, are you there?")
    node.type("a")
    await node.line_with(f"Not sent to 127.0.0.1:{port}. Refused", times=2)
    assert await node.lists() == ([], [])
    listener = Listener(port=port)
    stage.afterwards(listener.stop)
    node.type("a")

    await listener.hears(header(node.port, "Netech", "good morning, are you there?"))
    await node.line_with("Message sent to", listener.address)
    node.type("a")
    await node.line_with("There is nothing to send again.")


@pytest.mark.alone
@pytest_twisted.ensureDeferred
async def test_machine_that_does_not_answer_holds_nobody_up(stage: Stage) -> None:
    """
    Meanwhile the menu goes on and others are reached; then the text is offered again, and arrives.
    """
    node = await stage.node()
    silent, other = FullQueue(), Listener()
    stage.afterwards(other.stop)

    node.type("1", f"127.0.0.1:{silent.port}", "into the dark")
    node.type("1", other.address, "meanwhile")
    await other.hears(header(node.port, "Netech", "meanwhile"))
    assert not node.find("Timed out")
    await node.line_with("Timed out: 127.0.0.1 did not answer within 5 seconds")
    await node.line_with("Type a to send it again. It was: into the dark")
    silent.stop()
    listener = Listener(port=silent.port)
    stage.afterwards(listener.stop)
    node.type("a")

    await listener.hears(header(node.port, "Netech", "into the dark"))


@pytest.mark.alone
@pytest_twisted.ensureDeferred
async def test_quitting_waits_for_no_machine_that_does_not_answer(stage: Stage) -> None:
    """
    0 ends the node although a peer does not take its exit.
    """
    node = await stage.node()
    port = free_port()
    listener = Listener(port=port)
    node.type("1", listener.address, "hello")
    await node.line_with("Message sent to", listener.address)
    listener.stop()
    silent = FullQueue(port)
    stage.afterwards(silent.stop)

    node.type("0")

    assert await node.ended() == 0
    assert not node.errors


@pytest_twisted.ensureDeferred
async def test_each_reason_is_told_and_all_is_offered_again(stage: Stage) -> None:
    """
    Reset, unreachable, unknown, invalid: each is told in words, and what was written is kept.
    """
    node = await stage.node()
    breaking = Listener(reset, reads=False)
    stage.afterwards(breaking.stop)
    port = free_port()

    node.type("1", breaking.address, "text one")
    await node.line_with(f"Not sent to {breaking.address}. Reset: ")
    # TCP to a broadcast address is refused by the system itself, with no packet sent.
    node.type("1", f"127.255.255.255:{port}", "text two")
    await node.line_with(f"Not sent to 127.255.255.255:{port}. Unreachable: there is no way to")
    node.type("1", f"127.0.0.1:{port}", "text three")
    await node.line_with(f"Not sent to 127.0.0.1:{port}. Refused")
    for text in ("one", "two", "three"):
        await node.line_with(f"Type a to send it again. It was: text {text}")
    listener = Listener(port=port)
    stage.afterwards(listener.stop)
    node.type("a")

    await listener.hears(header(node.port, "Netech", "text three"))
    await node.line_with("Reset", times=2)
    await node.line_with("Unreachable", times=2)


@pytest_twisted.ensureDeferred
async def test_bad_addresses_are_told_before_the_text_is_asked(stage: Stage) -> None:
    """
    An address that cannot be dialled is refused where it was typed, and the menu comes back.
    """
    node = await stage.node()

    for answers, reason in [
        (["256.1.1.1"], "Invalid IP address '256.1.1.1': an IPv4 address is four numbers"),
        (["1.2.3"], "Invalid IP address '1.2.3'"),
        (["0.0.0.0:80"], "Invalid IP address 0.0.0.0: no single host has it."),
        (["::1::"], "Invalid IP address '::1::'"),
        (["127.0.0.1", "70000"], "Invalid port number 70000: a port is a number from 1 to 65535"),
        (["127.0.0.1", "abc"], "Invalid port number 'abc'"),
        (["127.0.0.1:0"], "Invalid port number 0"),
        (["nobody.invalid"], "Unknown: no host named 'nobody.invalid' can be found, and no peer"),
        (["two words"], "'two words' is neither a peer that is known here nor an address"),
        (["1"], "A number is one from the list: show it with 2 first."),
        ([""], "There is no address: nothing was typed."),
    ]:
        node.type("1", *answers)
        await node.line_with(reason)
        node.type("3", "M", *answers)
        await node.line_with(reason, times=2)
    assert await node.lists() == ([], [])


@pytest_twisted.ensureDeferred
async def test_host_name_is_looked_up_and_listed_by_address(stage: Stage) -> None:
    """
    A name leads to an address, which is what the lists show.
    """
    node, listener = await stage.node(), Listener()
    stage.afterwards(listener.stop)

    node.type("1", f"localhost:{listener.port}", "by name", "1", "localhost")
    node.type(str(listener.port), "by name and port")

    await listener.hears(
        *(header(node.port, "Netech", text) for text in ("by name", "by name and port"))
    )
    await node.line_with("Message sent to", listener.address, times=2)
    active, _ = await node.lists()
    assert len(active) == 1
    assert listener.address in active[0]


@pytest_twisted.ensureDeferred
async def test_refused_connect_is_told(stage: Stage) -> None:
    """
    A connect that fails is told, and puts nobody on the lists.
    """
    node = await stage.node()
    port = free_port()

    node.type("3", "M", "127.0.0.1", str(port))

    await node.line_with(f"Failed to connect to 127.0.0.1:{port}. Refused: nobody listens on")
    assert await node.lists() == ([], [])


@pytest_twisted.ensureDeferred
async def test_empty_lists_are_told(stage: Stage) -> None:
    """
    With nobody there, what needs somebody says so.
    """
    node = await stage.node()

    for answers, reason in [
        (["3", "A"], "No active peers to connect to."),
        (["b"], "No connected peers to broadcast to"),
        (["r"], "Nobody has spoken yet"),
        (["a"], "There is nothing to send again."),
        (["9"], "Invalid choice. Please try again"),
        (["3", "x"], "it is A or M"),
    ]:
        node.type(*answers)
        await node.line_with(reason)
