"""
End to end: what is said is lost by no kill, no full disk and no author who is gone.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest_twisted
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from typing_extensions import override

from tests.classic_programs import header, say
from tests.disks import SmallDisk
from tests.processes import PATIENCE, PROMPT, Node, Stage, meet, quits, refused, together
from twistedchat.arrivals import MOST_SHOWN
from twistedchat.core.identity import DeviceKey


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


def clock() -> IReactorTime:
    """
    The clock of this process.
    """
    from twisted.internet import reactor

    assert IReactorTime.providedBy(reactor)
    return reactor


class Quote(NamedTuple):
    """
    A line of history, as a console shows it.

    Attributes:
        who: The label of who said it; "you" for whoever reads it.
        text: What.
        state: How far it has come; empty for what others said.
    """

    who: str
    text: str
    state: str = ""


async def history_of(node: Node, whose: str) -> list[Quote]:
    """
    Ask a node for what was said.

    Args:
        node: Which.
        whose: With whom, or in which room.

    Returns:
        All of it, in order.
    """
    begin = len(node.output)
    shown = re.compile(rb"(?ms)^Reading \.\.\.\n(.*?)^" + PROMPT.encode() + rb"\n")
    node.type(f"history {whose}")
    await node.until(lambda: shown.search(node.output, begin), "the history")
    found = shown.search(node.output, begin)
    assert found is not None
    lines = found[1].decode()
    own = r"you(?: to [^:\n]*)?: (.*) \((\w+)\)"
    return [
        Quote("you", line[1], line[2]) if line[1] else Quote(line[3], line[4])
        for line in re.finditer(rf"(?m)^..:.. \[[^]\n]*\] (?:{own}|([^:\n]*): (.*))$", lines)
    ]


def texts_of(quotes: list[Quote]) -> list[tuple[str, str]]:
    """
    The same without the states.
    """
    return [(quote.who, quote.text) for quote in quotes]


# --- kills ------------------------------------------------------------------------------------

# How often each of two nodes is killed.
KILLS = 100

# Texts of one side that may wait for an answer: from what a person types to what a script does,
# most of which is still in the pipe when the end comes. Each life has one of these.
WINDOWS = (1, 8, 64)

# Texts in a row that are only kept: a side that is alone for a while does not go on for ever.
MOST_ALONE = 20

# Seconds at most from the talk that a life waits for to its end.
LONGEST_TALK = 0.05

# The share of the lives that end in their start, and of those that end as soon as anything has
# been said at all. The others wait until they hear of the other side.
IN_THE_START = 0.3
ALONE = 0.4


class Life(Node):
    """
    A node from its start to its end, which talks to one other without a pause.

    Attributes:
        window: How many of its texts may wait for an answer.
        typed: How many there were.
        answered: Of how many its console has said that they are kept, or delivered.
        delivered: Of how many it has said that they are delivered.
        heard: The numbers of the other's texts that were shown, in order.
        complaints: What the console should never say.
        listening_since: When it said that it listens; ``None`` until then.
    """

    def __init__(self, team: str, port: int, said_before: int, window: int) -> None:
        super().__init__(team, port)
        self.window = window
        self.typed = self.answered = self.delivered = 0
        self.heard: list[int] = []
        self.complaints: list[str] = []
        self.listening_since: float | None = None
        self._said_before = said_before
        self._to = ""
        self._alone = 0
        self._noted = 0

    def talk_to(self, label: str) -> None:
        """
        Begin to talk.

        Args:
            label: To whom.
        """
        self._to = label
        self._talk()

    async def gets_through_to(self, label: str) -> None:
        """
        Say one thing after the other, until one is delivered, and with it all that was before.

        Args:
            label: To whom.
        """
        give_up = clock().seconds() + PATIENCE
        while not self.delivered:
            assert clock().seconds() < give_up, self.told()
            self._say(label)
            await self.until(lambda: self.answered == self.typed, "an answer")

    def _say(self, label: str) -> None:
        self.typed += 1
        self.type("1", label, f"no. {self._said_before + self.typed}.")

    @override
    def happened(self) -> None:
        end = self.output.rfind(b"\n") + 1
        for line in self.output[self._noted : end].decode().splitlines():
            self._note(line)
        self._noted = max(end, self._noted)
        self._talk()
        super().happened()

    def _talk(self) -> None:
        may_talk = self._to and self.status is None and self._alone < MOST_ALONE
        while may_talk and self.typed - self.answered < self.window:
            self._say(self._to)

    def _note(self, line: str) -> None:
        if line.startswith("Message delivered to "):
            self.answered += 1
            self.delivered += 1
            self._alone = 0
        elif line.startswith("Message kept: "):
            self.answered += 1
            self._alone += 1
        elif re.match(r"\d+ texts? that waited ", line):
            self._alone = 0
        elif heard := re.fullmatch(r"..:.. \[secure\] .*: no\. (\d+)\.", line):
            self.heard.append(int(heard[1]))
        elif line.startswith("Listening on "):
            self.listening_since = clock().seconds()
        elif line.startswith(("Not ", "Warning: ", "Invalid ", "Unknown: ", "Failed ")):
            self.complaints.append(line)


class Side:
    """
    One of two who talk, through all lives of its node.

    Args:
        stage: Where it runs.
        node: A node that it has had.
        chance: Decides when the next ones are killed.

    Attributes:
        team: Its name.
        label: What the other calls it.
        said: How many texts were typed in the lives before the present one.
        life: The present life of its node, or the last one.
        sent: The numbers of the texts that its console has shown as sent: kept, or delivered.
        delivered: The same of those that it has shown as delivered.
        heard: The numbers of the other's texts that its console has shown, in order.
        in_mid_talk: How many of its lives ended while some of its texts had no answer yet.
    """

    life: Life

    def __init__(self, stage: Stage, node: Node, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self._port = node.port
        # When the present life began, and how long the last start took.
        self._born = self._start = 0.0
        self.team = node.team
        self.label = stage.label(node)
        self.said = 0
        self.sent: set[int] = set()
        self.delivered: set[int] = set()
        self.heard: list[int] = []
        self.in_mid_talk = 0

    def begin(self) -> Life:
        """
        Start the node.
        """
        self._born = clock().seconds()
        self.life = Life(self.team, self._port, self.said, self._chance.choice(WINDOWS))
        self._stage.run(
            *("-t", self.team, "-p", str(self._port)),
            program=self.life,
            # Who is killed tells nothing of what it has covered, and would start more slowly.
            env={"COVERAGE_PROCESS_CONFIG": None},
        )
        return self.life

    async def dies(self, times: int, other: Side) -> None:
        """
        Be killed at random instants and started again, and talk all the while.

        Args:
            times: How often.
            other: To whom.
        """
        for _ in range(times):
            await self.some_instant()
            await self.killed()
            self.begin().talk_to(other.label)

    async def some_instant(self) -> None:
        """
        Wait for some instant in the life of the node.

        That is any one of its start, or one soon after the first of its texts was answered, or
        after each side has heard the other.
        """
        life, chance = self.life, self._chance.random()
        longest = self._start
        if chance >= IN_THE_START:
            longest = LONGEST_TALK
            is_alone = chance < IN_THE_START + ALONE
            await life.until(
                lambda: (
                    (life.answered if is_alone else life.delivered and life.heard)
                    or life.status is not None
                ),
                f"talk of {self.team}",
            )
            assert life.listening_since is not None, life.told()
            self._start = life.listening_since - self._born
        # By nothing but the clock: every event is one at which something has just been done.
        await deferLater(clock(), self._chance.uniform(0, longest))

    async def killed(self) -> None:
        """
        Kill the node, and note what its console has shown until then.
        """
        life = self.life
        assert life.status is None, life.told()
        life.send_signal(signal.SIGKILL)
        assert await life.ended() == -signal.SIGKILL
        self.in_mid_talk += life.typed > life.answered
        self.note()

    def note(self) -> None:
        """
        Note what the console has shown in the present life.
        """
        life = self.life
        assert not life.complaints
        assert not life.errors
        # Texts go into a journal in the order in which they were typed: if as many of a life are
        # there as were answered, then those are the first ones.
        self.sent.update(range(self.said + 1, self.said + life.answered + 1))
        self.delivered.update(range(self.said + 1, self.said + life.delivered + 1))
        self.heard += life.heard
        self.said += life.typed

    def holds(self, author: Side) -> list[str]:
        """
        What is on its disk now that its node has ended. The files stay as they were left.

        Args:
            author: Whose texts.
        """
        with TemporaryDirectory(dir=self._stage.folder) as copy:
            shutil.copytree(self._stage.state / str(self._port), copy, dirs_exist_ok=True)
            return said_in(Path(copy), self._stage.key(author.life))


def said_in(folder: Path, author: DeviceKey) -> list[str]:
    """
    What somebody has said, in order, as it stands in a journal.

    Args:
        folder: That of the node which holds it, and which is not running.
        author: Who said it.
    """
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as journal:
        rows = journal.execute(
            "SELECT body FROM entries JOIN keys ON keys.id = author WHERE key = ? ORDER BY seq",
            (author.raw,),
        )
        return [body for (body,) in rows]


def numbers(bodies: list[str]) -> list[int]:
    """
    The numbers of the texts of a `Life`.
    """
    return [int(body[4:-1]) for body in bodies if body.startswith("no. ")]


def is_rising(numbers: list[int]) -> bool:
    """
    Whether each is there once, and in order.
    """
    return numbers == sorted(set(numbers))


@contextlib.contextmanager
def seeded() -> Iterator[int]:
    """
    Choose a seed, and tell it when the test fails. Another run takes it from the environment.
    """
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    try:
        yield seed
    except BaseException as error:
        error.add_note(f"This was with SEED={seed}")
        raise


async def who_call_each_other(stage: Stage) -> list[Node]:
    """
    Start two nodes that know each other, and each of which knows where to call the other.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    await meet(one, two)
    await quits(one)
    one = await stage.node("One", port=one.port)
    two.type("3", "M", one.address)
    await two.line_with("Connected to ")
    return [one, two]


@pytest_twisted.ensureDeferred
async def test_kills_at_any_instant_lose_and_double_nothing(stage: Stage) -> None:
    """
    Two talk and are killed 200 times: what was shown as sent is on both sides, once, in order.

    What is promised, wherever in its life a process is killed:

    - What the author's console has shown as kept is in the author's journal, and what it has shown
      as delivered is in the other's as well, though neither ever comes back.
    - When both have met again, both hold the same texts: all that were shown as sent, each once,
      in the order in which they were typed, and both histories show them alike. What was typed and
      had no answer yet is there like that, or not at all.
    - Over all lives a console shows no text of the other's twice, and all in order. It may never
      show one that came right before a kill: that stands in the history alone.
    """
    nodes = await who_call_each_other(stage)
    with seeded() as seed:
        one, two = (Side(stage, node, random.Random(f"{node.team} {seed}")) for node in nodes)
        for node in nodes:
            await quits(node)
        for side, other in (one, two), (two, one):
            side.begin().talk_to(other.label)
        await together(one.dies(KILLS - 1, two), two.dies(KILLS - 1, one))
        await together(one.some_instant(), two.some_instant())
        await together(one.killed(), two.killed())

        for author, other in (one, two), (two, one):
            own, theirs = numbers(author.holds(author)), numbers(other.holds(author))
            assert is_rising(own)
            assert is_rising(theirs)
            assert author.sent <= set(own)
            assert author.delivered <= set(theirs) <= set(own)

        await together(*(side.begin().ready() for side in (one, two)))
        for side, other in (one, two), (two, one):
            await side.life.gets_through_to(other.label)
        for side in one, two:
            side.note()
        told: list[list[tuple[str, str]]] = []
        for side, other in (one, two), (two, one):
            history = await history_of(side.life, other.label)
            assert {quote.state for quote in history} <= {"", "delivered", "read"}
            told.append([(side.label if who == "you" else who, text) for who, text, _ in history])
            await quits(side.life)

        assert told[0] == told[1]
        for author, other in (one, two), (two, one):
            said = [text for who, text in told[0] if who == author.label]
            assert said == author.holds(author) == other.holds(author)
            assert is_rising(numbers(said))
            assert author.sent <= set(numbers(said)) <= set(range(1, author.said + 1))
            assert is_rising(other.heard)
            assert set(other.heard) <= set(numbers(said))
            # Otherwise nothing of this was put to the test.
            assert author.in_mid_talk > KILLS / 2
            assert len(other.heard) > KILLS


# --- rooms ------------------------------------------------------------------------------------


async def join(node: Node, inviter: str) -> None:
    """
    Have a node join the room "garden", which has to be the first that it hears of.

    Args:
        node: Who.
        inviter: Who invites it.
    """
    await node.line_with(f"[#garden] {inviter} invites you.")
    node.type("m", "1", "j")
    await node.line_with("[#garden] You are in it now.")


def came_to_garden(node: Node) -> int:
    """
    How many texts in the room "garden" a node has told of: each by itself, or many in one line.
    """
    at_once = re.findall(r"(?m)^(\d+) texts? came in #garden ", node.text)
    return sum(map(int, at_once)) + len(re.findall(r"(?m)^..:.. \[#garden\] ", node.text))


@pytest_twisted.ensureDeferred
async def test_texts_of_an_author_who_is_gone_come_from_another_member(stage: Stage) -> None:
    """
    Whoever comes when the author is gone for good gets the texts from a member, as the author's.
    """
    ann, bob, carl = await together(*map(stage.node, ("Ann", "Bob", "Carl")))
    anns, bobs, carls = map(stage.label, (ann, bob, carl))
    await meet(ann, bob)
    await meet(ann, carl)
    # So that it is Carl who knows where to call, and does when he comes back.
    await meet(carl, bob)
    await quits(carl)
    ann.type("new garden", "a", bobs, "m", "1", "a", carls)
    await join(bob, anns)
    texts = [f"Row {number} needs water." for number in range(5)]
    ann.type(*(f"#garden {text}" for text in texts))
    await ann.line_with("Message is with somebody in #garden", times=len(texts))
    await ann.killed()
    bob.type("#garden I shall see to it.")
    await bob.line_with("Message kept: nobody else of #garden is here.")

    carl = await stage.node("Carl", port=carl.port)
    await join(carl, bobs)
    said = [*((anns, text) for text in texts), (bobs, "I shall see to it.")]
    for who, text in said:
        await carl.line_with(f"[#garden] {who}: {text}")
    assert texts_of(await history_of(carl, "#garden")) == said
    carl.type("#garden Thank you both.")
    await bob.line_with(f"[#garden] {carls}: Thank you both.")
    await carl.line_with("Message is with somebody in #garden")
    await quits(carl)
    held = said_in(stage.state / str(carl.port), stage.key(ann))
    assert [body for body in held if body in texts] == texts


@pytest_twisted.ensureDeferred
async def test_new_member_gets_all_that_was_said_before(stage: Stage) -> None:
    """
    Who joins late has the whole history, in the order that it has for the others.
    """
    one, two, three = await together(*map(stage.node, ("One", "Two", "Three")))
    ones, twos, threes = map(stage.label, (one, two, three))
    await meet(one, two)
    await meet(one, three)
    await meet(two, three)
    one.type("new garden", "a", twos)
    await join(two, ones)
    said: list[tuple[str, str]] = []
    # More than is shown line by line to who was away.
    for number in range(MOST_SHOWN + 1):
        for node, label, other in (one, ones, two), (two, twos, one):
            said.append((label, f"Plant no. {number}."))
            node.type(f"#garden Plant no. {number}.")
            await other.line_with(f"[#garden] {label}: Plant no. {number}.")
    one.type("m", "1", "a", threes)
    await join(three, ones)

    await three.until(lambda: came_to_garden(three) >= len(said), "all that was said")
    assert came_to_garden(three) == len(said)
    assert three.find("texts came in #garden while you were away: type y to read them.")
    for node, label in (three, threes), (one, ones), (two, twos):
        told = texts_of(await history_of(node, "#garden"))
        assert told == [("you" if who == label else who, text) for who, text in said]
    three.type("#garden Good to be here.")
    for node in one, two:
        await node.line_with(f"[#garden] {threes}: Good to be here.")


# --- disks and files --------------------------------------------------------------------------


@pytest_twisted.async_yield_fixture
async def small(tmp_path: Path) -> AsyncIterator[tuple[Stage, SmallDisk]]:
    """
    A disk with little room, and a stage for nodes that keep everything there.
    """
    disk = SmallDisk(tmp_path / "disk")
    stage = Stage(disk.folder)
    yield stage, disk
    await stage.clear()
    disk.unmount()


@pytest_twisted.ensureDeferred
async def test_chat_goes_on_without_room_and_with_room_again(
    stage: Stage, small: tuple[Stage, SmallDisk]
) -> None:
    """
    On a full disk nothing is said to be kept that is not, what can go on does, and all recovers.
    """
    full, disk = small
    us, them = await together(full.node("Us"), stage.node("Them"))
    ours, theirs = full.label(us), stage.label(them)
    await meet(us, them)
    us.type("1", theirs, "before")
    await us.line_with(f"Message delivered to {theirs}")
    disk.fill()
    reason = f"{us.port}/journal.sqlite cannot be used: the disk is full. Make room there, and try"

    us.type("1", theirs, "no room for this")
    await us.line_with(f"Not sent to {theirs}. Not kept, and so not sent: The journal ", reason)
    await us.line_with("Type a to send it again. It was: no room for this")
    them.type("1", ours, "do you hear?")
    await us.line_with("Not kept, and still with whoever said it: The journal ", reason)
    await deferToThread(say, us.port, header(6101, "Quokka", "hello from afar"))
    await us.line_with("[plain] 127.0.0.1:6101 Quokka: hello from afar")
    lost = "Plain texts are shown and sent, and are not in the history for now: The journal "
    await us.line_with(lost, reason)
    active, _ = await us.lists()
    assert len(active) == 2
    assert texts_of(await history_of(us, theirs)) == [("you", "hello"), ("you", "before")]
    assert not us.find("do you hear?")
    assert not them.find("no room for this")

    disk.make_room()
    us.type("a")
    await us.line_with(f"Message delivered to {theirs}", times=2)
    await them.line_with(f"[secure] {ours}: no room for this")
    await us.line_with(f"[secure] {theirs}: do you hear?")
    them.type("1", ours, "after")
    await us.line_with(f"[secure] {theirs}: after")
    await us.killed()
    us = await full.node("Us", port=us.port)
    told = texts_of(await history_of(us, theirs))
    assert [text for who, text in told if who == "you"] == ["hello", "before", "no room for this"]
    assert [text for who, text in told if who == theirs] == ["do you hear?", "after"]
    for node in us, them:
        await quits(node)


@pytest_twisted.ensureDeferred
async def test_state_that_cannot_be_written_is_told_at_the_start(
    small: tuple[Stage, SmallDisk],
) -> None:
    """
    Without room, or without the right to write, a node ends at once and says why in one line.
    """
    stage, disk = small
    node = await stage.node("Emu")
    await quits(node)
    options = ("-t", "Emu", "-p", str(node.port))

    disk.fill()
    told = await refused(stage.run(*options))
    assert f"{stage.state}/" in told
    assert "Make room there" in told
    disk.make_room()
    disk.protect()
    told = await refused(stage.run(*options))
    assert (
        f"The state directory {stage.state} cannot be written to. Give yourself the right" in told
    )


@pytest_twisted.ensureDeferred
async def test_journal_of_a_newer_version_is_told_and_left_alone(stage: Stage) -> None:
    """
    What a later version has written is not touched, and as good as before for that version.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    await meet(one, two)
    await quits(two)
    file = stage.state / str(two.port) / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as journal:
        (version,) = journal.execute("PRAGMA user_version").fetchone()
        journal.execute("PRAGMA user_version = 1000")
    before = file.read_bytes()

    told = await refused(stage.run("-t", "Two", "-p", str(two.port)))
    assert f"The journal {file} was written by a newer version of twistedchat. Use that" in told
    assert file.read_bytes() == before
    with contextlib.closing(sqlite3.connect(file)) as journal:
        journal.execute(f"PRAGMA user_version = {version}")
    two = await stage.node("Two", port=two.port)
    ones = stage.label(one)
    assert texts_of(await history_of(two, ones)) == [(ones, "hello")]


@pytest_twisted.ensureDeferred
async def test_damage_is_told_when_it_is_met_and_others_make_up_for_it(stage: Stage) -> None:
    """
    A damaged page stops no talk; without the file, all that was said comes back from the other.
    """
    one, two = await together(*map(stage.node, ("One", "Two")))
    await meet(one, two)
    ones, twos = map(stage.label, (one, two))
    texts = [f"no. {number} {'x' * 300}" for number in range(1, 61)]
    for text in texts:
        one.type("1", twos, text)
    await one.line_with(f"Message delivered to {twos}", times=len(texts))
    await quits(one)
    file = stage.state / str(one.port) / "journal.sqlite"
    data = bytearray(file.read_bytes())
    with contextlib.closing(sqlite3.connect(file)) as journal:
        (size,) = journal.execute("PRAGMA page_size").fetchone()
    page = data.index(texts[30].encode()) // size * size
    data[page : page + 8] = b"\xff" * 8
    file.write_bytes(data)

    one = await stage.node("One", port=one.port)
    for number, command in enumerate((f"history {twos}", "search 30"), start=1):
        one.type(command)
        await one.line_with(f"The journal {file} cannot be used: it is damaged.", times=number)
    one.type("1", twos, "Mine is damaged.")
    await two.line_with(f"[secure] {ones}: Mine is damaged.")
    two.type("1", ones, "Move it away, I have it all.")
    await one.line_with(f"[secure] {twos}: Move it away, I have it all.")
    await quits(one)

    file.rename(file.with_name("damaged"))
    one = await stage.node("One", port=one.port)
    await one.line_with(f"[secure] {twos}: Move it away, I have it all.")
    one.type("1", twos, "So it is.")
    await two.line_with(f"[secure] {ones}: So it is.")
    told = await history_of(one, twos)
    said = ["hello", *texts, "Mine is damaged.", "So it is."]
    assert [quote.text for quote in told if quote.who == "you"] == said
    told = await history_of(two, ones)
    assert [quote.text for quote in told if quote.who == ones] == said
    assert not one.find("Warning: ") + two.find("Warning: ")
