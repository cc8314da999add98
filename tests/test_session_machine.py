"""
Two nodes that talk over a bad wire, with slow and failing disks, and are killed at any time.

A machine of hypothesis does to them whatever it likes: all the rest is real, from the journals'
promises to TLS. What must never happen is looked for after each step, and in the end all is healed:
then everything that was said has to be there, once and in order.
"""

import gc
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface import implementer

from tests import strategies
from twistedchat.core.addresses import Address
from twistedchat.core.entries import TEXT, direct_room
from twistedchat.core.errors import NotSent, StoreError
from twistedchat.core.events import Event, ForkSeen, Progress, Sent, TextReceived
from twistedchat.core.trust import Contacts
from twistedchat.node import Node
from twistedchat.testing import (
    MemoryHost,
    MemoryJournal,
    MemoryNetwork,
    MemoryTransport,
    identity_of,
    make_node,
)

NAMES = ("ann", "bob")
HOSTS = ("198.51.100.1", "198.51.100.2")
PORT = 7070
KEYS = tuple(identity_of(name).key for name in NAMES)
ROOM = direct_room(*KEYS)

# How long to search is said there.
assert strategies.__all__

# Seconds in which two nodes find each other again after anything: a rest of half a minute, and a
# pause of five minutes in the worst case, each with its jitter.
LONGEST_HEALING = 1000.0

# Steps before all is healed again, so that one trouble can come upon another.
FEWEST_TROUBLES = 8

SIDES = st.integers(0, 1)

FULL = StoreError("The disk is full.")


@dataclass
class Side:
    """
    One of the two.

    Attributes:
        number: Which: 0 or 1.
        journal: What it has on its disk.
        machine: What it runs on.
        node: Its process, of which there are several one after the other.
        said: What was said, in order, and what became of it.
        shown: What was shown, in order.
        unseen: Numbers of the other's entries that were written and not shown when it was killed.
    """

    number: int
    journal: MemoryJournal
    machine: MemoryHost = field(init=False)
    node: Node = field(init=False)
    said: list[tuple[str, Deferred[Sent]]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)

    @property
    def key(self) -> object:
        """
        Who it is.
        """
        return KEYS[self.number]

    def stored(self, author: int) -> list[str]:
        """
        The texts of somebody that are on its disk.
        """
        return [
            entry.said.body
            for entry in self.journal.entries
            if entry.author == KEYS[author] and entry.said.kind == TEXT
        ]


@implementer(ILogObserver)
@dataclass
class FaultObserver:
    """
    Remembers what went wrong inside, and which rules the two think were broken.
    """

    faults: list[LogEvent]

    def __call__(self, event: LogEvent) -> None:
        """
        Look at one event of the log.
        """
        if event["log_level"] >= LogLevel.error or "code" in event:
            self.faults.append(event)


class TwoNodesMachine(RuleBasedStateMachine):
    """
    Two contacts, and everything that can happen to them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = MemoryNetwork()
        self.network.advance(1000)
        self.sides = [Side(number, MemoryJournal()) for number in range(2)]
        self.faults: list[LogEvent] = []
        self.count = 0
        self.troubles = 0
        self.observer = FaultObserver(self.faults)
        globalLogPublisher.addObserver(self.observer)

    @initialize()
    def begin(self) -> None:
        """
        Start both, and let them find each other.
        """
        for side in self.sides:
            self.start(side)
        self.pass_time(3.0)

    def start(self, side: Side) -> None:
        """
        Start a process with what is on the disk.
        """
        other = 1 - side.number
        contacts = Contacts()
        contacts.accept(KEYS[other], NAMES[other], 0.0)
        contacts.met(KEYS[other], NAMES[other], Address(HOSTS[other], PORT), 0.0)
        side.machine = MemoryHost(self.network, HOSTS[side.number])
        side.node = make_node(
            side.machine, PORT, NAMES[side.number], contacts=contacts, journal=side.journal
        )

        def observe(event: Event) -> None:
            assert not isinstance(event, ForkSeen), "an honest node was taken for a liar"
            if isinstance(event, TextReceived):
                assert event.text in side.stored(other), f"{event.text} was shown too early"
                side.shown.append(event.text)

        side.node.subscribe(observe)
        side.node.startService()

    # What can happen.

    @rule(number=SIDES, times=st.integers(1, 3), is_long=st.booleans(), arrives=st.booleans())
    def say(self, number: int, times: int, is_long: bool, arrives: bool) -> None:
        """
        Somebody says something, or several things in one turn; it may arrive at once.
        """
        side = self.sides[number]
        for _ in range(times):
            self.count += 1
            text = f"{NAMES[number]} {self.count} {'x' * 3000 if is_long else ''}"
            side.said.append((text, side.node.send_text(KEYS[1 - number], text)))
        if arrives:
            self.network.settle()

    @rule()
    def carry(self) -> None:
        """
        Everything happens that needs no time.
        """
        self.network.settle()

    @rule(seconds=st.sampled_from([3.0, 1.0, 0.3, 6.0, 15.0]))
    def wait(self, seconds: float) -> None:
        """
        Time goes by.
        """
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """
        Let time go by, and everything happen that it brings.
        """
        end = self.network.seconds() + seconds
        self.network.settle()
        while self.network.seconds() < end:
            calls = self.network.getDelayedCalls()
            then = min([end, *(call.getTime() for call in calls)])
            self.network.advance(max(0.0, then - self.network.seconds()))
            self.network.settle()

    def wire(self, index: int) -> tuple[MemoryTransport, MemoryTransport]:
        """
        One of the connections, as it comes.
        """
        wires = self.network.connections
        return wires[index % len(wires)]

    @precondition(lambda self: self.network.connections)
    @rule(
        index=st.integers(0, 3),
        fate=st.sampled_from(["drips", "breaks", "falls silent", "speaks again"]),
        is_back=st.booleans(),
        most=st.integers(1, 5000),
        seconds=st.sampled_from([3.0, 0.0]),
    )
    def treat_wire(self, index: int, fate: str, is_back: bool, most: int, seconds: float) -> None:
        """
        Something happens to a connection, of which some bytes may arrive before.

        One that falls silent and speaks again later is overtaken by those that come after it.
        """
        wire = self.wire(index)
        ours, theirs = wire[:: -1 if is_back else 1]
        if fate != "speaks again" and not theirs.is_paused:
            ours.carry_some_to(theirs, most)
        match fate:
            case "breaks":
                self.network.cut(wire)
                # There may be time to find each other again.
                self.pass_time(seconds)
            case "falls silent":
                self.network.hold(wire)
            case "speaks again":
                self.network.hold(wire, is_held=False)

    @rule(
        number=SIDES,
        fate=st.sampled_from(["slow", "slow", "working", "quick", "failing", "full", "mended"]),
    )
    def treat_disk(self, number: int, fate: str) -> None:
        """
        Something happens to a disk.

        A slow one does only what it is told to; a full one fails until it is mended.
        """
        journal = self.sides[number].journal
        match fate:
            case "slow":
                journal.is_slow = True
            case "working":
                journal.work(1)
            case "quick":
                journal.is_slow = False
                journal.work()
            case "failing":
                journal.error = FULL
                journal.work(1)
                journal.error = None
            case "full":
                journal.error = FULL
            case "mended":
                journal.error = None

    @rule(number=SIDES, written=st.integers(0, 3), seconds=st.sampled_from([3.0, 0.0]))
    def kill(self, number: int, written: int, seconds: float) -> None:
        """
        A process is killed and started again, with what its disk had finished.
        """
        side = self.sides[number]
        side.machine.switch_off()
        before, side.journal = side.journal, MemoryJournal(side.journal, written)
        side.journal.is_slow, side.journal.error = before.is_slow, before.error
        side.unseen.update(set(side.stored(1 - number)) - set(side.shown))
        for _, sending in side.said:
            sending.addErrback(lambda _: None)
        # So that nothing of the dead process wakes up when Python clears it away.
        doings: list[Deferred[Any]] = [*side.node._under_way, *side.node._sessions._dialling]
        for doing in doings:
            doing.cancel()
        self.start(side)
        self.pass_time(seconds)

    # What must always be so.

    @invariant()
    def nothing_is_shown_twice_or_out_of_order(self) -> None:
        """
        What is shown is what was said, in that order.
        """
        for side, other in self.pairs():
            texts = [text for text, _ in other.said]
            places = [texts.index(text) for text in side.shown]
            assert places == sorted(set(places)), f"{side.shown} of {texts}"

    @invariant()
    def what_is_acknowledged_is_on_the_disk(self) -> None:
        """
        Nobody believes that the other one has what it has not stored.
        """
        for side, other in self.pairs():
            held, _ = other.journal.stored_heads(ROOM).get(KEYS[side.number], (0, b""))
            assert side.journal.receipt(ROOM, KEYS[other.number]) <= held
            kept, arrived = set(side.stored(side.number)), set(other.stored(side.number))
            for text, sending in side.said:
                result = getattr(sending, "result", None)
                if isinstance(result, Sent):
                    assert text in kept, f"{text} was taken and not kept"
                    if result.progress is Progress.DELIVERED:
                        assert text in arrived, f"{text} did not arrive"

    @invariant()
    def nobody_is_at_fault(self) -> None:
        """
        No error was logged, and nobody was taken for one who breaks rules.
        """
        self.troubles += 1
        assert self.faults == []

    def pairs(self) -> list[tuple[Side, Side]]:
        """
        Both, each with the other.
        """
        ann, bob = self.sides
        return [(ann, bob), (bob, ann)]

    # The end.

    @override
    def teardown(self) -> None:
        """
        Heal everything, and see that nothing is lost.
        """
        try:
            self.heal()
            # Nothing more comes of it.
            self.pass_time(20)
            assert self.is_healed()
            self.nothing_is_shown_twice_or_out_of_order()
            gc.collect(0)
            self.nobody_is_at_fault()
        finally:
            globalLogPublisher.removeObserver(self.observer)

    @precondition(lambda self: self.troubles >= FEWEST_TROUBLES)
    @rule()
    def heal(self) -> None:
        """
        Let everything work again: in time, all that was said is where it should be.
        """
        self.troubles = 0
        for side in self.sides:
            side.journal.is_slow = False
            side.journal.error = None
            side.journal.work()
        for wire in self.network.connections:
            self.network.hold(wire, is_held=False)
        self.network.settle_until(self.is_healed, LONGEST_HEALING)
        self.nothing_is_shown_twice_or_out_of_order()
        self.what_is_acknowledged_is_on_the_disk()
        for side, other in self.pairs():
            kept = other.stored(other.number)
            assert set(kept) - set(side.shown) <= side.unseen
            for text, sending in other.said:
                if getattr(sending, "result", None) is not None and text not in kept:
                    # It was told as not sent.
                    sending.addErrback(lambda failure: failure.trap(NotSent) and None)
                    assert not isinstance(sending.result, Sent)

    def is_healed(self) -> bool:
        """
        Whether both have the same, know it of each other, and have one session.
        """
        return (
            all(self.sides[0].stored(author) == self.sides[1].stored(author) for author in range(2))
            and all(
                side.journal.receipt(ROOM, KEYS[other.number])
                == side.journal.stored_heads(ROOM).get(KEYS[side.number], (0, b""))[0]
                for side, other in self.pairs()
            )
            and all(len(side.node._sessions.live) == 1 for side in self.sides)
        )


class SessionMachineTests(SynchronousTestCase):
    """
    The machine.
    """

    def test_nothing_is_lost_doubled_or_shown_too_early(self) -> None:
        """
        Whatever happens to two nodes, in the end both have everything, once and in order.
        """
        run_state_machine_as_test(TwoNodesMachine, settings=settings(stateful_step_count=40))
