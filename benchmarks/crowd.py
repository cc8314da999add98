"""
A room full of people, each with a node of their own: all of them in one process.

The nodes are put together as ``twistd p2pchat`` does: each has a port on 127.0.0.1, a TLS session
with every other one, a journal on the disk with its two threads, and a console. What a console
draws is taken by a `Paper`, which knows when each text was drawn. Run as ``python -m
benchmarks.crowd ORDER``, where ORDER is a ``CrowdOrder`` in JSON; it prints a ``CrowdReport`` in
JSON.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from typing_extensions import override

from benchmarks.alone import make_node, run_alone
from benchmarks.machine import MeasureError, find_free_port
from benchmarks.people import acquaint, say
from benchmarks.rounds import COUNTED, WARM_UP
from twistedchat.core.addresses import Address
from twistedchat.core.events import Event, RoomChanged, Sent
from twistedchat.core.history import Stay
from twistedchat.core.roster import RoomId
from twistedchat.core.wording import Line
from twistedchat.faces.console import Console
from twistedchat.faces.screens import IOperator, IScreen
from twistedchat.node import Node
from twistedchat.testing import RecordingScreen

__all__ = ["CrowdOrder", "CrowdReport"]

# The first of the members, by number.
FIRST_MEMBER = 3000

# Sessions that are being opened at one time. So none of them waits for so long that it is given up.
OPENING = 16

# The longest wait for all sessions, for everybody to be in the room, and for the last text to be
# shown to the last one, in seconds.
OPEN_LIMIT, JOIN_LIMIT, SHOW_LIMIT = 300.0, 300.0, 120.0

# Texts before it counts, at the same pace: Python has specialised its bytecode by then, and
# everybody has said something.
WARM_UP_SECONDS = 3.0

# What the texts at full speed begin with.
BURST = "Zburstq"

# What is drawn in their place, where many came at one time.
_SUM = re.compile(r"(\d+) texts? came in ")

_TEXT = re.compile(rf"({WARM_UP}|{COUNTED}|{BURST})(\d{{6}})")


@dataclass(frozen=True, slots=True)
class CrowdOrder:
    """
    What to do.

    Attributes:
        folder: Where the state folders go: an empty folder.
        members: How many people there are.
        rate: How many texts they write in each second, all together.
        seconds: For how long.
        burst: How many they write at full speed after that.
    """

    folder: str
    members: int
    rate: float
    seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class CrowdReport:
    """
    What became of it.

    Attributes:
        opening: How many seconds it took until everybody had a session with everybody.
        joining: How many until everybody was in the room.
        delays: Of the paced texts, from when each was due until it was drawn on each screen but the
            writer's.
        summed_up: How many of these were drawn as a number alone, as what comes after an absence.
        missing: How many were not drawn at all.
        repeated: How many of all texts were drawn twice.
        busy: The share of a core that all of it took meanwhile.
        burst_seconds: From the first of those at full speed until the last was drawn.
        burst_drawn: How often one of those was drawn.
        burst_summed_up: How many of those were drawn as a number alone.
        not_sent: How many of all texts were refused.
    """

    opening: float
    joining: float
    delays: list[float]
    summed_up: int
    missing: int
    repeated: int
    busy: float
    burst_seconds: float
    burst_drawn: int
    burst_summed_up: int
    not_sent: int


class Ledger:
    """
    Which texts are to be drawn, and when each was.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._written: dict[tuple[str, int], float] = {}
        self._delays: dict[str, list[float]] = {}
        self._drawn: set[tuple[int, str, int]] = set()
        self._last_at = 0.0
        self._awaited = ""
        self._left = 0
        self._all: Deferred[None] | None = None
        self._summed_up: Counter[str] = Counter()

    def write(self, token: str, serial: int, due: float) -> None:
        """
        Somebody writes a text.

        Args:
            token: What it begins with.
            serial: Its number.
            due: When they pressed the key.
        """
        self._written[token, serial] = due

    def draw(self, member: int, text: str) -> None:
        """
        Something was drawn.

        Args:
            member: On whose screen.
            text: What.
        """
        found = _TEXT.search(text)
        if found is None:
            if sum_of := _SUM.match(text):
                self._last_at = time.monotonic()
                self._summed_up[self._awaited] += int(sum_of[1])
                self._take(int(sum_of[1]))
            return
        token, serial = found[1], int(found[2])
        if (member, token, serial) in self._drawn:
            self.repeated += 1
            return
        self._drawn.add((member, token, serial))
        self._last_at = time.monotonic()
        self._delays.setdefault(token, []).append(self._last_at - self._written[token, serial])
        if token == self._awaited:
            self._take(1)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left <= 0 and self._all is not None and not self._all.called:
            self._all.callback(None)

    def expect(self, token: str, count: int) -> Deferred[None]:
        """
        Wait until the texts of a kind have been drawn.

        Args:
            token: What they begin with.
            count: How often one of them is to be drawn; none has been yet.

        Returns:
            Fires then.
        """
        self._awaited, self._left = token, count
        self._all = Deferred()
        return self._all

    def delays(self, token: str) -> list[float]:
        """
        How many seconds each text of a kind took, on each screen.
        """
        return self._delays.get(token, [])

    def summed_up(self, token: str) -> int:
        """
        How many texts of a kind were drawn as a number alone.
        """
        return self._summed_up[token]

    @property
    def last_at(self) -> float:
        """
        When the last text was drawn, in seconds of the monotonic clock.
        """
        return self._last_at


class Paper(RecordingScreen):
    """
    A screen that turns lines into the octets that a pipe would get, and notes when.

    Args:
        member: Whose it is.
        ledger: Where that is noted.
    """

    def __init__(self, member: int, ledger: Ledger) -> None:
        super().__init__(is_interactive=False)
        self._member = member
        self._ledger = ledger
        self.octets = 0

    @override
    def show(self, lines: Sequence[Line]) -> None:
        """
        Draw lines: see `RecordingScreen`. Nothing of them is kept.
        """
        for line in lines:
            text = "".join([text for _, text in line])
            self.octets += len(text.encode())
            self._ledger.draw(self._member, text)


@dataclass(frozen=True, slots=True)
class _Member:
    """
    Somebody, with their node.
    """

    number: int
    port: int
    node: Node


class Crowd:
    """
    The members of a room.

    Args:
        clock: Calls back.
        members: Who they are, their nodes running.
        ledger: Where it is noted what is drawn.
    """

    def __init__(self, clock: IReactorTime, members: Sequence[_Member], ledger: Ledger) -> None:
        self._clock = clock
        self._members = members
        self._ledger = ledger
        self._room = RoomId(b"")
        self.not_sent = 0

    async def open_sessions(self) -> None:
        """
        Have everybody dial those who stand before them.
        """
        lines = DeferredSemaphore(OPENING)
        dials: list[Deferred[Sent]] = []
        for index, member in enumerate(self._members):
            for other in self._members[:index]:
                address = Address("127.0.0.1", other.port)
                dials.append(lines.run(member.node.connect, address, manual=False))
        await self._all(dials, OPEN_LIMIT, "sessions opened")

    async def gather(self) -> None:
        """
        Have the first one found a room and add everybody, and everybody join.
        """
        first = self._members[0].node
        everybody: Deferred[None] = Deferred()
        outside = {member.number for member in self._members}
        joining: list[Deferred[None]] = []

        def follow(member: _Member) -> Callable[[Event], None]:
            def happened(event: Event) -> None:
                if not isinstance(event, RoomChanged):
                    return
                room = RoomId(event.room.room)
                if event.room.stay is Stay.INVITED:
                    joining.append(member.node.join(room))
                if len(member.node.members(room)) == len(self._members):
                    outside.discard(member.number)
                if not outside and not everybody.called:
                    everybody.callback(None)

            return happened

        endings = [member.node.subscribe(follow(member)) for member in self._members]
        record = await first.make_room("crowd")
        self._room = RoomId(record.room)
        for member in self._members[1:]:
            await first.add_to(self._room, member.node.key)
        # What it adds itself the first one is not told.
        if len(first.members(self._room)) == len(self._members):
            outside.discard(self._members[0].number)
        await self._in_time(everybody, JOIN_LIMIT, lambda: f"{len(outside)} are not in the room")
        await self._all(joining, JOIN_LIMIT, "members joined")
        for end in endings:
            end()

    async def write(self, token: str, count: int, rate: float) -> None:
        """
        Have texts written, each by another one, and wait until everybody has seen them.

        Args:
            token: What they begin with.
            count: How many.
            rate: How many in a second; 0 for all at once.
        """
        drawn = self._ledger.expect(token, count * (len(self._members) - 1))
        sending: list[Deferred[None]] = []
        begun_at = time.monotonic()
        for serial in range(count):
            due = begun_at + (serial / rate if rate else 0.0)
            self._ledger.write(token, serial, due)
            # A step that has nothing in common with their number, so that neighbours rest.
            writer = self._members[serial * 5 % len(self._members)]
            wait = max(0.0, due - time.monotonic()) if rate else 0.0
            sent: Deferred[None] = Deferred()
            sending.append(sent)
            self._clock.callLater(wait, self._send, writer, say(token, serial), sent)
        await drawn.addTimeout(count / (rate or count) + SHOW_LIMIT, self._clock).addErrback(
            lambda failure: failure.trap(DeferredTimeoutError) and None
        )
        # Nobody is told for longer than a few seconds that a text is still on its way.
        await DeferredList(sending)

    def _send(self, writer: _Member, text: str, sent: Deferred[None]) -> None:
        sending = writer.node.send_text(self._room, text).addErrback(self._refused)
        sending.addBoth(lambda _: sent.callback(None))

    def _refused(self, failure: Failure) -> None:
        if not self.not_sent:
            print(failure.getErrorMessage(), file=sys.stderr)
        self.not_sent += 1

    async def _all(self, results: Iterable[Deferred[Any]], limit: float, what: str) -> None:
        waiting = list(results)
        done = DeferredList(waiting, fireOnOneErrback=True, consumeErrors=True)
        await self._in_time(
            done,
            limit,
            lambda: f"only {sum(one.called for one in waiting):,} of {len(waiting):,} {what}",
        )

    async def _in_time(
        self, done: Deferred[Any], limit: float, complain: Callable[[], str]
    ) -> None:
        try:
            await done.addTimeout(limit, self._clock)
        except DeferredTimeoutError:
            raise MeasureError(complain()) from None


@asynccontextmanager
async def _running(order: CrowdOrder, ledger: Ledger) -> AsyncIterator[list[_Member]]:
    from twisted.internet import reactor

    numbers = range(FIRST_MEMBER, FIRST_MEMBER + order.members)
    members: list[_Member] = []
    chats = []
    for number in numbers:
        state, port = Path(order.folder) / str(number), find_free_port()
        # Nobody knows where anybody is, so that each pair is dialled once, and when we say so.
        acquaint(state, port, us=number, others=[one for one in numbers if one != number])
        chat, node = make_node(str(state), port, f"member{number}")

        def make_screen(_: IOperator, number: int = number) -> IScreen:
            return Paper(number, ledger)

        # As for a program that reads along: what was drawn has been seen.
        Console(
            node, cast(IReactorTime, reactor), make_screen, lambda: None, ends_with_input=True
        ).setServiceParent(chat)
        chat.startService()
        chats.append(chat)
        members.append(_Member(number, port, node))
    try:
        yield members
    finally:
        await DeferredList([chat.stopService() for chat in chats])


async def _meet(order: CrowdOrder) -> None:
    from twisted.internet import reactor

    ledger = Ledger()
    async with _running(order, ledger) as members:
        crowd = Crowd(cast(IReactorTime, reactor), members, ledger)
        started_at = time.monotonic()
        await crowd.open_sessions()
        opened_at = time.monotonic()
        await crowd.gather()
        joined_at = time.monotonic()
        await crowd.write(WARM_UP, round(WARM_UP_SECONDS * order.rate), order.rate)
        # A full pass of the garbage collector goes through all these nodes, and takes a third of a
        # second; each by itself would take a sixty-fourth of that.
        gc.collect()
        gc.freeze()
        count = round(order.rate * order.seconds)
        paced_at, busy_at = time.monotonic(), time.process_time()
        await crowd.write(COUNTED, count, order.rate)
        busy = (time.process_time() - busy_at) / (time.monotonic() - paced_at)
        burst_at = time.monotonic()
        await crowd.write(BURST, order.burst, 0)
        delays = ledger.delays(COUNTED)
        report = CrowdReport(
            opened_at - started_at,
            joined_at - opened_at,
            delays,
            ledger.summed_up(COUNTED),
            count * (order.members - 1) - len(delays) - ledger.summed_up(COUNTED),
            ledger.repeated,
            busy,
            ledger.last_at - burst_at,
            len(ledger.delays(BURST)),
            ledger.summed_up(BURST),
            crowd.not_sent,
        )
        print(json.dumps(dataclasses.asdict(report)), flush=True)


def main() -> None:
    """
    Do what the command line orders.
    """
    order = CrowdOrder(**json.loads(sys.argv[1]))
    run_alone(lambda: _meet(order))


if __name__ == "__main__":
    main()
