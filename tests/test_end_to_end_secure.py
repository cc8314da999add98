"""
End to end: nodes that know each other by their keys, among each other and with classic programs.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.classic_programs import Listener, header, say, say_and_wait
from tests.processes import Node, Stage, meet, quits, together
from twistedchat.core.addresses import Address
from twistedchat.core.invites import Invite


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


def is_only(rows: list[str], *parts: str) -> bool:
    """
    Whether a list has exactly one row, and it holds these parts.
    """
    return len(rows) == 1 and all(part in rows[0] for part in parts)


@pytest_twisted.ensureDeferred
async def test_strangers_meet_talk_and_take_leave(stage: Stage) -> None:
    """
    One knocks and is let in; both talk, query and connect; one leaves for good, one for the day.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    our_label, their_label = stage.label(one), stage.label(two)

    one.type("1", "127.0.0.1", str(two.port), "See you at nine?")
    await one.line_with(f"Message kept: {their_label} has not let you in yet")
    await two.line_with(f'[door] {our_label} ({one.address}) knocks: "See you at nine?"')
    assert not two.find(": See you at nine?")
    sections = await two.sections()
    assert sections["Active peers"] == sections["Connected peers"] == []
    assert is_only(sections["At the door"], one.address, our_label, "door", "asks to be let in")

    two.type("t", "1", "a")
    await two.line_with(f"Let in: {our_label}.")
    await two.line_with(f"[secure] {our_label}: See you at nine?")
    await one.line_with(f"[secure] {their_label} let you in.")
    await one.line_with(f"1 text that waited is with {their_label} now.")
    two.type("r", "Half past: the train is late.")
    await two.line_with(f"Message delivered to {our_label}")
    await one.line_with(f"[secure] {their_label}: Half past: the train is late.")
    one.type("1", their_label, "by label", "1", "two", "by name", "1", two.address, "by address")
    for text in ("by label", "by name", "by address"):
        await two.line_with(f"[secure] {our_label}: {text}")
    await one.line_with(f"Message delivered to {their_label}", times=3)

    for node, row in (one, (two.address, their_label)), (two, (one.address, our_label)):
        sections = await node.sections()
        assert is_only(sections["Active peers"], *row, "secure", "heard 0 s ago")
        assert sections["Connected peers"] == sections["Active peers"]
        assert sections.keys() == {"Active peers", "Connected peers"}
    two.type("3", "A", "3", "M", our_label)
    await two.line_with(f"Connected to {our_label}", times=2)
    one.type("3", "M", "127.0.0.1", str(two.port))
    await one.line_with(f"Connected to {their_label}")

    two.type("1", our_label, "exit")
    await two.line_with(f"Said exit to {our_label}: off the lists")
    await one.line_with(f"[secure] {their_label} left")
    for node, label in (one, their_label), (two, our_label):
        sections = await node.sections()
        assert sections["Active peers"] == sections["Connected peers"] == []
        assert is_only(sections["Known, but away"], label, "secure")

    two.type("3", "M", one.address)
    await two.line_with(f"Connected to {our_label}", times=3)
    await one.line_with(f"[secure] {their_label} connected to you")
    assert all(is_only(rows, our_label) for rows in await two.lists())
    await quits(two)
    await one.line_with(f"[secure] {their_label} left", times=2)
    await quits(one)


@pytest_twisted.ensureDeferred
async def test_broadcast_reaches_classic_and_secure_peers(stage: Stage) -> None:
    """
    A broadcast, and a connect to all, go to each peer as it talks; so does the exit of who quits.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    listener = Listener()
    stage.afterwards(listener.stop)
    await meet(one, two)
    await deferToThread(say, one.port, header(listener.port, "Quokka", "hello from afar"))
    await one.line_with("[plain]", listener.address, "Quokka: hello from afar")

    one.type("3", "A")
    await one.line_with(f"Connected to {listener.address}")
    await one.line_with(f"Connected to {stage.label(two)}")
    one.type("b")
    one.type("to everybody")
    await two.line_with(f"[secure] {stage.label(one)}: to everybody")
    await one.line_with(f"Message sent to {listener.address}")
    await one.line_with(f"Message delivered to {stage.label(two)}")
    await one.line_with("Enter your message to 2 connected peers:")
    _, connected = await one.lists()
    assert [re.findall(r" (plain|secure) ", row) for row in connected] == [["secure"], ["plain"]]
    await quits(one)

    await listener.hears(
        *(header(one.port, "One", text) for text in ("connection message", "to everybody", "exit"))
    )
    await two.line_with(f"[secure] {stage.label(one)} left")


@pytest_twisted.ensureDeferred
async def test_text_to_who_is_off_arrives_after_restarts_of_both(stage: Stage) -> None:
    """
    What is said to a contact who is off is kept, and is there once, in order, when both are back.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    our_label, their_label = stage.label(one), stage.label(two)
    await meet(one, two)
    await quits(two)
    await one.line_with(f"[secure] {their_label} left")

    for number in range(3):
        one.type("1", their_label, f"while you were off: {number}.")
    await one.line_with(f"Message kept: {their_label} is away. It goes out when you meet.", times=3)
    await quits(one)
    two = await stage.node("Two", port=two.port)
    one = await stage.node("One", port=one.port)

    await two.line_with("while you were off", times=3)
    assert [line.partition(" ")[2] for line in two.find("[secure]")] == [
        f"[secure] {our_label} connected to you",
        *(f"[secure] {our_label}: while you were off: {number}." for number in range(3)),
    ]
    await one.line_with(f"3 texts that waited are with {their_label} now.")
    assert all(is_only(rows, their_label) for rows in await one.lists())
    two.type("r", "I am back.")
    await one.line_with(f"[secure] {their_label}: I am back.")


@pytest.mark.parametrize("dies_first", ["who dialled", "who was dialled"])
@pytest_twisted.ensureDeferred
async def test_killed_node_is_found_again(stage: Stage, dies_first: str) -> None:
    """
    Whichever side is killed, the session is there again when it has started, with all that waited.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    labels = {node.team: stage.label(node) for node in (one, two)}
    await meet(one, two)
    dead, alive = (one, two) if dies_first == "who dialled" else (two, one)
    await dead.killed()

    alive.type("1", labels[dead.team], "are you there?")
    await alive.line_with(f"Message kept: {labels[dead.team]} is away.")
    again = await stage.node(dead.team, port=dead.port)

    await again.line_with(f"[secure] {labels[alive.team]}: are you there?")
    await alive.line_with(f"1 text that waited is with {labels[dead.team]} now.")
    again.type("r", "here I am")
    await alive.line_with(f"[secure] {labels[dead.team]}: here I am")
    assert not alive.errors


@pytest_twisted.ensureDeferred
async def test_six_words_are_the_same_on_both_screens(stage: Stage) -> None:
    """
    Both see the same words; whoever says so has verified the other, also after a restart.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    labels = {one: stage.label(two), two: stage.label(one)}
    await meet(one, two)

    words: dict[Node, str] = {}
    for node, other in (one, two), (two, one):
        node.type("v", other.team)
        await node.line_with("Are they the same? (y/n):")
        title = node.lines.index(f"The six words for you and {labels[node]}:")
        words[node] = node.lines[title + 1].strip()
    assert words[one] == words[two]
    assert len(set(words[one].split())) > 1
    assert len(words[one].split()) == 6
    one.type("y")
    await one.line_with(f"Verified: {labels[one]}.")
    two.type("n")
    await two.line_with(f"Warning: then somebody is between you and {labels[two]},")
    two.type("1", labels[two], "I shall ask you on the telephone.")
    await one.line_with(f"[verified] {labels[one]}: I shall ask you on the telephone.")
    assert all(is_only(rows, "verified") for rows in await one.lists())
    assert all(is_only(rows, "secure") for rows in await two.lists())

    await quits(one)
    one = await stage.node("One", port=one.port)
    await two.line_with(f"[secure] {labels[two]} connected to you")
    assert all(is_only(rows, "verified") for rows in await one.lists())


@pytest_twisted.ensureDeferred
async def test_invite_leads_to_its_owner_and_nobody_else(stage: Stage) -> None:
    """
    Whoever pastes an invite has its owner verified at first; with another's key nobody is met.
    """
    one = await stage.node("One", "-i", "127.0.0.1")
    two, three = await together(*map(stage.node, ("Two", "Three")))
    our_label = stage.label(one)
    one.type("i")
    link = await one.line_with("p2pchat:")
    assert f"&at=127.0.0.1:{one.port}" in link
    await one.line_with(stage.key(one).fingerprint)

    two.type("1", link, "I have your invite.")
    await one.line_with(f'[door] {stage.label(two)} ({two.address}) knocks: "I have your invite."')
    await two.line_with(f"Message kept: {our_label} has not let you in yet")
    one.type("t", "1", "a")
    await two.line_with(f"[verified] {our_label} let you in.")
    await one.line_with(f"[secure] {stage.label(two)}: I have your invite.")
    assert all(is_only(rows, our_label, "verified") for rows in await two.lists())

    forged = Invite(stage.key(two), "One", (Address("127.0.0.1", one.port),)).link
    three.type("1", forged, "for two alone")
    await three.line_with(f"Message kept: One\u00b7{stage.key(two).short} is away.")
    three.type(link)
    await three.line_with(f"Connected to {our_label}")
    await one.line_with(f"[door] {stage.label(three)} ({three.address}) knocks.")
    assert not one.find("for two alone")
    assert not two.find("for two alone")
    one.type(link)
    await one.line_with("That is your own invite: give it to somebody else.")


@pytest_twisted.ensureDeferred
async def test_blocked_key_gets_a_closed_door(stage: Stage) -> None:
    """
    A blocked contact is shown no more, whatever it tries; forgotten, it is a stranger who knocks.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    our_label, their_label = stage.label(one), stage.label(two)
    await meet(one, two)

    two.type("t", "1", "b")
    await two.line_with(f"Blocked: {our_label}.")
    assert await two.lists() == ([], [])
    one.type("1", their_label, "do you hear me?")
    await one.line_with(f"Message kept: {their_label} is away.")
    one.type("1", two.address, "or at your address?")
    await one.line_with(f"Not sent to {two.address}. Turned away:")
    assert len(two.find("[door]")) == 1
    assert not two.find("do you hear me?")
    two.type("1", our_label)
    await two.line_with(f"Blocked: {our_label}. Forget it with t first.")

    two.type("t", "1", "f")
    await two.line_with(f"Forgotten: {our_label}.")
    one.type("3", "M", their_label)
    await two.line_with(f'[door] {our_label} ({one.address}) knocks: "do you hear me?"')
    assert not two.find(": do you hear me?")


@pytest_twisted.ensureDeferred
async def test_other_key_at_a_known_address_is_refused_loudly(stage: Stage) -> None:
    """
    Nothing goes to who has a contact's address but another key; both keys are shown until decided.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    old_label, old_key = stage.label(two), stage.key(two)
    await meet(one, two)
    await quits(two)
    one.type("1", "Two", "for your old key")
    await one.line_with(f"Message kept: {old_label} is away.")
    (stage.state / str(two.port)).rename(stage.folder / "moved away")
    impostor = await stage.node("Two", port=two.port)
    new_label, new_key = stage.label(impostor), stage.key(impostor)
    assert new_key != old_key

    one.type("1", two.address, "a secret")
    await one.line_with(f"Not sent to {two.address}. Not trusted: ", new_key.short, old_key.short)
    await one.line_with("Type a to send it again. It was: a secret")
    door = await one.line_with(f"[door] {new_label} ({two.address}) answers where a contact was,")
    place = one.lines.index(door)
    assert one.lines[place + 1].strip().startswith(f"The known key of {old_label}")
    assert one.lines[place + 2 : place + 4] == [old_key.fingerprint, new_key.fingerprint]
    assert not impostor.find("[")

    one.type("t", "1", "n")
    await one.line_with(f"Known by its new key from now on, and not verified: {new_label}.")
    await one.line_with(f"Not sent: 1 text for an old key. Type a to send again, to {new_label}.")
    one.type("a")
    await impostor.line_with(f"[door] {stage.label(one)} ({one.address}) knocks: ")
    impostor.type("t", "1", "a")
    await impostor.line_with(f"[secure] {stage.label(one)}: a secret")
    await impostor.line_with(f"[secure] {stage.label(one)}: for your old key")
    assert not impostor.errors + one.errors


@pytest_twisted.ensureDeferred
async def test_two_of_one_name_are_never_mixed_up(stage: Stage) -> None:
    """
    A stranger with a contact's name is told apart at the door, and by whoever sends to that name.
    """
    one, two, namesake = await together(*map(stage.node, ("One", "Two", "Two")))
    their_label, other_label = stage.label(two), stage.label(namesake)
    await meet(two, one)

    namesake.type("1", one.address, "It is me, Two!")
    await one.line_with(f"[door] {other_label} ({namesake.address}) has the name of a contact,")
    await one.line_with('It says: "It is me, Two!"')
    await one.line_with(stage.key(two).fingerprint)
    await one.line_with(stage.key(namesake).fingerprint)
    one.type("t", "1", "s")
    await one.line_with(f"Let in as somebody else: {other_label}.")
    await one.line_with(f"[secure] {other_label}: It is me, Two!")
    one.type("1", "two")
    await one.line_with("2 could be meant: give the number or the address of the one.")
    one.type(their_label, "for the first of you")
    await two.line_with(f"[secure] {stage.label(one)}: for the first of you")
    one.type("r", "for the second of you")

    await namesake.line_with(f"[secure] {stage.label(one)}: for the second of you")
    assert not namesake.find("first of you") + two.find("second of you")


@pytest_twisted.ensureDeferred
async def test_contact_that_speaks_plain_is_a_downgrade(stage: Stage) -> None:
    """
    A classic program where a contact was gets nothing, until the person says whose that place is.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    their_label = stage.label(two)
    await meet(one, two)
    await quits(two)
    await one.line_with(f"[secure] {their_label} left")
    listener = Listener(port=two.port)
    stage.afterwards(listener.stop)

    one.type("1", listener.address, "a secret")
    await one.line_with(f"Not sent to {listener.address}. Not sent: ", "It is never spoken to in")
    door = await one.line_with(f"[door] {listener.address} answers without proving who it is,")
    assert their_label in door
    one.type("1", their_label, "another secret", "3", "M", listener.address)
    await one.line_with(f"Message kept: {their_label} is away.")
    await one.line_with(f"Failed to connect to {listener.address}. Not sent: ")
    # It is not spoken to either because it speaks.
    claim = header(listener.port, "Two", "it is me!")
    await deferToThread(say, one.port, claim)
    await one.line_with("[plain]", listener.address, "Two: it is me!")
    one.type("r", "is it?")
    await one.line_with(f"Not sent to {listener.address}. Not sent: ", times=2)
    assert not listener.heard

    one.type("t", "1", "s")
    await one.line_with(f"The address {listener.address} is somebody else's now")
    one.type("1", listener.address, "good day, whoever you are")
    await listener.hears(header(one.port, "One", "good day, whoever you are"))


@pytest_twisted.ensureDeferred
async def test_secure_only_neither_speaks_nor_hears_plain(stage: Stage) -> None:
    """
    With --secure-only a classic program is nobody, and secure peers are as always.
    """
    one = await stage.node("One", "--secure-only")
    two = await stage.node("Two")
    listener = Listener()
    stage.afterwards(listener.stop)
    await meet(two, one)

    one.type("1", listener.address, "hello?")
    await one.line_with(f"Not sent to {listener.address}. ", "speaks only plain", "--secure-only")
    one.type("3", "M", listener.address)
    await one.line_with(f"Failed to connect to {listener.address}. ", "speaks only plain")
    for message in (header(listener.port, "Quokka", "plain talk"), b"no dialect at all"):
        await deferToThread(say_and_wait, one.port, message)
    two.type("1", "One", "secure talk")
    await one.line_with(f"[secure] {stage.label(two)}: secure talk")
    one.type("r", "and back")
    await two.line_with(f"[secure] {stage.label(one)}: and back")

    assert not one.find("plain talk") + one.find("no dialect at all") + one.find("[plain]")
    assert all(is_only(rows, stage.label(two)) for rows in await one.lists())
    await quits(one)
    assert not listener.heard


@pytest_twisted.ensureDeferred
async def test_knock_on_a_terminal_is_drawn_above_the_line_and_decided(stage: Stage) -> None:
    """
    On a terminal a knock leaves a half-typed line whole, and t leads through the decision.
    """
    one, two = await stage.node("One"), await stage.terminal("Two", columns=100)
    our_label = stage.label(one)
    two.write(b"half a line")
    await two.typing("Enter your choice: half a line")

    one.type("1", two.address, "May I come in?")
    await two.line_with(f'[door] {our_label} ({one.address}) knocks: "May I come in?"')
    await two.typing("Enter your choice: half a line")
    two.write(b"\x7f" * len("half a line") + b"t\r")
    await two.typing("Enter a number:")
    await two.line_with("--- At the door ---")
    await two.line_with(f"1. {one.address}  {our_label}  door")
    two.type("1")
    await two.typing("Enter your choice (a/i/b):")
    await two.line_with(f"Choose what to do about {our_label}:")
    two.type("a")
    await two.line_with(f"Let in: {our_label}.")
    await two.line_with(f"[secure] {our_label}: May I come in?")
    await one.line_with("let you in.")

    await two.typing("Enter your choice:")
    two.type("t")
    await two.line_with("--- Contacts ---")
    await two.line_with("1. ", f"{our_label}  secure", "known since")
    await two.typing("Enter a number:")
    two.type("")
    await two.typing("Enter your choice:")
    two.type("v", "One")
    await two.typing("Are they the same? (y/n):")
    two.type("y")
    await two.line_with(f"Verified: {our_label}.")
    await two.typing("Enter your choice:")
