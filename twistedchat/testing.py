"""
A kit for tests, ours and those of plug-ins.

It has fakes of what stands between the parts of a node, and real nodes that talk to each other in
memory. No sockets, no threads, no waiting: time is what a test says it is. ::

    with two_nodes() as pair:
        pair.ours.send_text(pair.their_address, "hello")
        pair.network.settle()
        assert pair.their_events[-1].text == "hello"
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHalfCloseableProtocol,
    IListeningPort,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    ITLSTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind, kind_of
from twistedchat.core.entries import MOST_AHEAD, NOTHING, TEXT, Entry
from twistedchat.core.errors import NotSent, StoreError
from twistedchat.core.events import Event, Progress, Sent, Speaker
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, line_of
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.invites import Invite
from twistedchat.core.nearby import Nearby
from twistedchat.core.rooms import MEMBERSHIP
from twistedchat.core.roster import PeerList, Recipient, RoomId, Roster
from twistedchat.core.trust import Caller, Contact, Contacts, Decision
from twistedchat.core.wording import Line
from twistedchat.faces.screens import IOperator, IScreen
from twistedchat.interfaces import IJournal, INode
from twistedchat.node import LONGEST_GOODBYE, Node, Store, Surroundings
from twistedchat.simulator import (
    Outcome,
    Schedule,
    replay,
    report,
    schedule_of,
    shrink,
    simulate,
)
from twistedchat.simulator.ends import MOST_ON_THE_WAY, MemoryEnd
from twistedchat.simulator.world import identity_of

__all__ = [
    "LOOPBACK",
    "OUTSIDE",
    "FakeNode",
    "MemoryDial",
    "MemoryHost",
    "MemoryJournal",
    "MemoryNetwork",
    "MemoryTransport",
    "Outcome",
    "Reading",
    "RecordingOperator",
    "RecordingScreen",
    "Schedule",
    "Searching",
    "Sending",
    "TwoNodes",
    "identity_of",
    "make_node",
    "replay",
    "report",
    "schedule_of",
    "shrink",
    "simulate",
    "two_nodes",
]

# Where nodes on a `MemoryNetwork` are, and where everybody else calls from (RFC 5737 section 3).
LOOPBACK = "127.0.0.1"
OUTSIDE = "192.0.2.7"

# Rounds of carrying bytes after which they are taken to go on for ever. A message needs two.
MOST_ROUNDS = 10_000

# The first port of those that a system gives to outgoing connections (RFC 6335 section 6).
FIRST_EPHEMERAL_PORT = 49152


# --- what stands between the parts of a node --------------------------------------------------


@implementer(IScreen)
class RecordingScreen:
    """
    A screen that remembers what it was told.

    Attributes:
        lines: What was drawn, as bare text.
        styled: The same with its styles.
        prompts: Every question, in order; repeated ones too.
        drafts: What each answer was to begin with.
        words: What may be completed.
        is_paused: Whether no typed line may be handed over.
        takings: What those wait for who have very much to show, where it does not fire by itself.
        closed: Fires when the screen has been closed; ``None`` before that is asked for.
        closes_at_once: Whether it fires by itself.
        takes_at_once: Whether all that is shown is taken at once.
        is_interactive: Whether a person sits there.
    """

    def __init__(
        self,
        *,
        closes_at_once: bool = True,
        takes_at_once: bool = True,
        is_interactive: bool = True,
    ) -> None:
        self.is_interactive = is_interactive
        self.takes_at_once = takes_at_once
        self.takings: list[Deferred[None]] = []
        self.styled: list[Line] = []
        self.prompts: list[str] = []
        self.drafts: list[str] = []
        self.words: list[str] = []
        self.is_paused = False
        self.closed: Deferred[None] | None = None
        self.closes_at_once = closes_at_once

    @property
    def lines(self) -> list[str]:
        """
        What was drawn, as bare text.
        """
        return ["".join(text for _, text in line) for line in self.styled]

    def show(self, lines: Sequence[Line]) -> None:
        """
        Draw lines: see `IScreen`.
        """
        self.styled.extend(lines)

    def ask(self, prompt: str, draft: str = "") -> None:
        """
        Say what the next line answers: see `IScreen`.
        """
        self.prompts.append(prompt)
        self.drafts.append(draft)

    def taken(self) -> Deferred[None]:
        """
        Wait until there is room for more: see `IScreen`.
        """
        if self.takes_at_once:
            return succeed(None)
        taken: Deferred[None] = Deferred()
        self.takings.append(taken)
        return taken

    def window(self) -> tuple[int, int]:
        """
        How much can be seen at once: see `IScreen`.
        """
        return 24, 80

    def offer(self, words: Sequence[str]) -> None:
        """
        Tell which words may be completed: see `IScreen`.
        """
        self.words = list(words)

    def pause(self) -> None:
        """
        Hand over no typed line: see `IScreen`.
        """
        self.is_paused = True

    def resume(self) -> None:
        """
        Hand over typed lines again: see `IScreen`.
        """
        self.is_paused = False

    def close(self) -> Deferred[None]:
        """
        Close: see `IScreen`.
        """
        self.closed = succeed(None) if self.closes_at_once else Deferred()
        return self.closed


@implementer(IOperator)
class RecordingOperator:
    """
    Somebody who answers nothing, and remembers what a screen handed over.

    Attributes:
        typed: The lines that were typed.
        too_long: The sizes of those that were too long.
        inputs_ended: How many times the input ended.
        enoughs: How many times the person wanted to leave.
        outputs_lost: How many times the output was lost.
    """

    def __init__(self) -> None:
        self.typed: list[str] = []
        self.too_long: list[int] = []
        self.inputs_ended = 0
        self.enoughs = 0
        self.outputs_lost = 0

    def line_typed(self, line: str) -> None:
        """
        A line was typed: see `IOperator`.
        """
        self.typed.append(line)

    def line_too_long(self, size: int) -> None:
        """
        A line was too long: see `IOperator`.
        """
        self.too_long.append(size)

    def input_ended(self) -> None:
        """
        Nothing more will be typed: see `IOperator`.
        """
        self.inputs_ended += 1

    def had_enough(self) -> None:
        """
        The person wants to leave: see `IOperator`.
        """
        self.enoughs += 1

    def output_lost(self) -> None:
        """
        Nothing more can be shown: see `IOperator`.
        """
        self.outputs_lost += 1


@dataclass(slots=True, eq=False)
class Sending:
    """
    Something that a `FakeNode` was asked to send.

    Attributes:
        recipient: Where to.
        text: The text; ``None`` for a connect text.
        is_manual: Whether a person chose the address of a connect text.
        result: What the asker waits for; cancelling it refuses it, as a node does.
    """

    recipient: Recipient
    text: str | None
    is_manual: bool
    result: Deferred[Sent] = field(init=False)

    def __post_init__(self) -> None:
        """
        Have it refused where the asker waits no longer.
        """
        ended = NotSent("The chat ended before it could be sent.")
        self.result = Deferred(lambda _: self.refuse(ended))

    def take(
        self, pieces: int = 1, progress: Progress = Progress.TAKEN, name: str | None = None
    ) -> None:
        """
        Take it, as the other side would, or keep it.

        Args:
            pieces: In how many messages it came.
            progress: How far it has come.
            name: What the recipient calls itself.
        """
        kind = Kind.CONNECT if self.text is None else kind_of(self.text)
        self.result.callback(Sent(self.recipient, kind, pieces, progress, name))

    def refuse(self, error: NotSent) -> None:
        """
        Do not take it.

        Args:
            error: Why.
        """
        self.result.errback(error)


@dataclass(slots=True, eq=False)
class Reading:
    """
    Some history that a `FakeNode` was asked to read.

    Attributes:
        place: Where; ``None`` for everywhere.
        since: From when on.
        before: Only what stands before this line.
        most: How many lines.
        result: What the asker waits for.
    """

    place: Place | None
    since: float
    before: LineOfHistory | None
    most: int
    result: Deferred[list[LineOfHistory]] = field(default_factory=Deferred)


@dataclass(slots=True, eq=False)
class Searching:
    """
    Some texts that a `FakeNode` was asked to find.

    Attributes:
        words: What they hold.
        place: Where; ``None`` for everywhere.
        before: Only what came before this line.
        most: How many lines.
        result: What the asker waits for.
    """

    words: str
    place: Place | None
    before: LineOfHistory | None
    most: int
    result: Deferred[list[LineOfHistory]] = field(default_factory=Deferred)


@implementer(INode)
class FakeNode:
    """
    A node without a network, for tests of faces: it does what the test says.

    Args:
        team: Our team name.
        port: Our port.

    Attributes:
        key: Our key.
        roster: Who is there; to be filled by the test.
        contacts: Whom we know, likewise.
        at_the_door: Those at the door, likewise.
        found: The nodes that were found on the network, likewise.
        sendings: What it was asked to send, each to be taken or refused by the test.
        look_ups: The names it was asked for, each with what the asker waits for.
        invites: The invites that it was given, each with what the asker waits for.
        word_searches: The keys whose six words it was asked for, likewise.
        verifications: The keys that were said to be compared, likewise.
        decisions: What was decided, and about whom, likewise.
        records: The rooms; to be filled by the test.
        people: Who is in each, likewise.
        new_rooms: The names of rooms it was to make, each with what the asker waits for.
        changes: What it was to change in rooms, and about whom, likewise.
        counts: How many unread texts there are in each place; to be filled by the test.
        looks: The places that were looked at, each time.
        names: What authors are called; to be filled by the test.
        progress: How far our own lines have come, by their numbers, likewise.
        readings: The history it was to read, each with what the asker waits for.
        searches: The texts it was to find, likewise.
        surroundings: The lines around which it was to read, likewise.
        recalls: From whom it was to take back a text, likewise.
        leavings: What those wait for who asked it to say exit.
    """

    def __init__(self, team: str = "ours", port: int = 7070) -> None:
        self.team = team
        self.port = port
        self.key = DeviceKey(bytes(range(32)))
        self.roster = Roster()
        self.contacts = Contacts()
        self.at_the_door: list[Caller] = []
        self.found: list[Nearby] = []
        self.sendings: list[Sending] = []
        self.look_ups: list[tuple[str, Deferred[bool]]] = []
        self.invites: list[tuple[Invite, Deferred[DeviceKey]]] = []
        self.word_searches: list[tuple[DeviceKey, Deferred[tuple[str, ...]]]] = []
        self.verifications: list[tuple[DeviceKey, Deferred[None]]] = []
        self.decisions: list[tuple[DeviceKey, Decision, Caller | None, Deferred[None]]] = []
        self.records: list[RoomRecord] = []
        self.people: dict[RoomId, list[Speaker]] = {}
        self.new_rooms: list[tuple[str, Deferred[RoomRecord]]] = []
        self.changes: list[tuple[str, RoomId, DeviceKey | None, Deferred[None]]] = []
        self.counts: dict[Place, int] = {}
        self.looks: list[list[Place]] = []
        self.names: dict[DeviceKey, str] = {}
        self.progress: dict[int, Progress] = {}
        self.readings: list[Reading] = []
        self.searches: list[Searching] = []
        self.surroundings: list[tuple[LineOfHistory, int, Deferred[list[LineOfHistory]]]] = []
        self.recalls: list[tuple[Recipient, Deferred[str]]] = []
        self.leavings: list[Deferred[None]] = []
        self._observers: list[Callable[[Event], None]] = []

    @property
    def peers(self) -> PeerList:
        """
        Who is there.
        """
        return self.roster

    @property
    def observers(self) -> int:
        """
        How many are told of what happens.
        """
        return len(self._observers)

    def happen(self, event: Event) -> None:
        """
        Tell everybody of an event.

        Args:
            event: What happened.
        """
        for observer in list(self._observers):
            observer(event)

    def subscribe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        """
        Be told of everything that happens: see `INode`.
        """
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def look_up(self, host: str) -> Deferred[bool]:
        """
        Find out whether a host name leads to any address: see `INode`.
        """
        found: Deferred[bool] = Deferred()
        self.look_ups.append((host, found))
        return found

    def callers(self) -> list[Caller]:
        """
        Those at the door: see `INode`.
        """
        return list(self.at_the_door)

    def nearby(self) -> list[Nearby]:
        """
        Nodes that were found on the network: see `INode`.
        """
        return list(self.found)

    def invite(self) -> Invite:
        """
        How to meet us: see `INode`.
        """
        return Invite(self.key, self.team, (Address("192.0.2.100", self.port),))

    def use_invite(self, invite: Invite) -> Deferred[DeviceKey]:
        """
        Know whoever made an invite: see `INode`.
        """
        known: Deferred[DeviceKey] = Deferred()
        self.invites.append((invite, known))
        return known

    def words(self, key: DeviceKey) -> Deferred[tuple[str, ...]]:
        """
        The six words that both ends see: see `INode`.
        """
        words: Deferred[tuple[str, ...]] = Deferred()
        self.word_searches.append((key, words))
        return words

    def verify(self, key: DeviceKey) -> Deferred[None]:
        """
        The words have been compared: see `INode`.
        """
        kept: Deferred[None] = Deferred()
        self.verifications.append((key, kept))
        return kept

    def decide(
        self, key: DeviceKey, decision: Decision, caller: Caller | None = None
    ) -> Deferred[None]:
        """
        Do what the person says about somebody: see `INode`.
        """
        kept: Deferred[None] = Deferred()
        self.decisions.append((key, decision, caller, kept))
        return kept

    def send_text(self, recipient: Recipient, text: str) -> Deferred[Sent]:
        """
        Send a text: see `INode`.
        """
        return self._send(Sending(recipient, text, False))

    def connect(self, recipient: Recipient, *, manual: bool) -> Deferred[Sent]:
        """
        Send a connect text, or open a session: see `INode`.
        """
        return self._send(Sending(recipient, None, manual))

    def rooms(self) -> list[RoomRecord]:
        """
        The rooms: see `INode`.
        """
        return list(self.records)

    def members(self, room: RoomId) -> list[Speaker]:
        """
        Who is in a room: see `INode`.
        """
        return list(self.people.get(room, ()))

    def make_room(self, name: str) -> Deferred[RoomRecord]:
        """
        Found a room: see `INode`.
        """
        made: Deferred[RoomRecord] = Deferred()
        self.new_rooms.append((name, made))
        return made

    def add_to(self, room: RoomId, key: DeviceKey) -> Deferred[None]:
        """
        Add a contact to a room: see `INode`.
        """
        return self._change("add", room, key)

    def remove_from(self, room: RoomId, key: DeviceKey) -> Deferred[None]:
        """
        Remove somebody from a room: see `INode`.
        """
        return self._change("remove", room, key)

    def join(self, room: RoomId) -> Deferred[None]:
        """
        Come into a room: see `INode`.
        """
        return self._change("join", room)

    def leave_room(self, room: RoomId) -> Deferred[None]:
        """
        Leave a room: see `INode`.
        """
        return self._change("leave", room)

    def unread(self, place: Place) -> int:
        """
        How many texts came to a place that have not been read: see `INode`.
        """
        return self.counts.get(place, 0)

    def addresses_unread(self) -> list[Address]:
        """
        Those of classic peers of whom there is something unread: see `INode`.
        """
        return [place for place in self.counts if isinstance(place, Address) and self.counts[place]]

    def place_of(self, recipient: Recipient) -> Place:
        """
        Where what is said between somebody and us is kept: see `INode`.
        """
        return recipient if isinstance(recipient, Address) else recipient.raw

    def speaker_of(self, line: LineOfHistory) -> str:
        """
        What to call the author of a line: see `INode`.
        """
        return (self.names.get(line.author) if line.author else line.name) or ""

    def recipient_of(self, line: LineOfHistory) -> Recipient:
        """
        To whom one would answer a line: see `INode`.
        """
        if isinstance(line.place, Address):
            return line.place
        is_room = any(record.room == line.place for record in self.records)
        return RoomId(line.place) if is_room else DeviceKey(line.place)

    def progress_of(self, line: LineOfHistory) -> Progress | None:
        """
        How far a line of ours has come: see `INode`.
        """
        return self.progress.get(line.number)

    def looked_at(self, places: Iterable[Place]) -> None:
        """
        The person has seen all that came to these places: see `INode`.
        """
        self.looks.append(list(places))
        for place in self.looks[-1]:
            self.counts.pop(place, None)

    def history(
        self, place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said: see `INode`.
        """
        self.readings.append(Reading(place, since, before, most))
        return self.readings[-1].result

    def search(
        self, words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find texts: see `INode`.
        """
        self.searches.append(Searching(words, place, before, most))
        return self.searches[-1].result

    def around(self, line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Read what stands around a line: see `INode`.
        """
        lines: Deferred[list[LineOfHistory]] = Deferred()
        self.surroundings.append((line, most, lines))
        return lines

    def recall(self, recipient: Recipient) -> Deferred[str]:
        """
        Take back the last text to somebody: see `INode`.
        """
        text: Deferred[str] = Deferred()
        self.recalls.append((recipient, text))
        return text

    def leave(self) -> Deferred[None]:
        """
        Say exit to every peer: see `INode`.
        """
        left: Deferred[None] = Deferred()
        self.leavings.append(left)
        return left

    def _change(self, what: str, room: RoomId, key: DeviceKey | None = None) -> Deferred[None]:
        kept: Deferred[None] = Deferred()
        self.changes.append((what, room, key, kept))
        return kept

    def _send(self, sending: Sending) -> Deferred[Sent]:
        self.sendings.append(sending)
        return sending.result


# --- a network in memory ----------------------------------------------------------------------


@implementer(ITLSTransport)
class MemoryTransport(MemoryEnd):
    """
    One end of a connection in memory.

    It does nothing by itself: a `MemoryNetwork`, or the test, carries what was written, and tells
    the protocol when the connection is lost.

    Args:
        protocol: Whose end it is.
        host: Our address.
        peer: The other side's address.
        clock: Calls back, where TLS is to be started.
        is_client: Whether this end opened the connection.

    Attributes:
        written: What was written, each write apart.
        is_half_closed: Whether nothing more will be written.
        is_closing: Whether the protocol has closed the connection.
        is_aborted: Whether it has broken it off.
        is_lost: Whether the protocol was told that the connection is lost.
        is_paused: Whether nothing is to be handed over to the protocol.
        is_held: Whether nothing arrives any more of what this end writes, as with a pulled cable.
    """

    protocol: IProtocol

    def __init__(
        self,
        protocol: IProtocol,
        host: IPv4Address | IPv6Address,
        peer: IPv4Address | IPv6Address,
        clock: IReactorTime | None = None,
        *,
        is_client: bool = False,
    ) -> None:
        super().__init__(host, peer, is_client=is_client)
        self.protocol = protocol
        self._clock = clock
        self.written: list[bytes] = []
        self.is_half_closed = False
        self.is_closing = False
        self.is_aborted = False
        self.is_lost = False
        self.is_paused = False
        self.is_held = False
        self._is_choked = False
        self._on_the_way: list[bytes] = []
        self._has_read_all = False

    @property
    def disconnecting(self) -> bool:
        """
        Whether the protocol has closed the connection, by Twisted's name.

        One that it broke off does not count: as with a real transport, what has been handed over is
        then read to its end.
        """
        return self.is_closing

    @override
    def write_raw(self, data: bytes) -> None:
        """
        Write bytes as they are to go over the wire.
        """
        if self.is_half_closed or self.is_closing or self.is_aborted or self.is_lost:
            return
        self.written.append(data)
        self._on_the_way.append(data)
        if self.producer is not None and not self._is_choked and self.on_the_way > MOST_ON_THE_WAY:
            self._is_choked = True
            self.producer.pauseProducing()

    def loseWriteConnection(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Close for writing only.
        """
        self.is_half_closed = True

    @override
    def close(self) -> None:
        """
        Close without regard to TLS.
        """
        self.is_closing = True

    def abortConnection(self) -> None:  # noqa: N802
        """
        Break the connection off.
        """
        self.is_aborted = True

    def startTLS(  # noqa: N802
        self,
        contextFactory: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,  # noqa: N803
    ) -> None:
        """
        Go on with TLS: real, in memory.
        """
        self.open_tls(contextFactory, self._clock)

    def pauseProducing(self) -> None:  # noqa: N802
        """
        Hand over nothing until `resumeProducing`.
        """
        self.is_paused = True

    def resumeProducing(self) -> None:  # noqa: N802
        """
        Hand over again what comes.
        """
        self.is_paused = False

    def lose(self, error: Exception | None = None) -> None:
        """
        Tell the protocol that the connection is lost, unless it knows.

        Args:
            error: Why; ``ConnectionDone`` where there is none.
        """
        if not self.is_lost:
            self.is_lost = True
            if self.producer is not None:
                self.producer.stopProducing()
                self.producer = None
            self.protocol.connectionLost(Failure(error or ConnectionDone()))

    @property
    def on_the_way(self) -> int:
        """
        How many bytes were written here and are not with the other end yet.
        """
        return sum(map(len, self._on_the_way))

    def carry_to(self, other: MemoryTransport) -> bool:
        """
        Hand to the other end what was written, and then that there is no more.

        Args:
            other: The other end.

        Returns:
            Whether there was anything to do.
        """
        if self.is_aborted and not self.is_lost:
            self.lose(ConnectionAborted())
            if not self.is_held:
                other.lose(ConnectionLost())
            return True
        if self.is_held or (other.is_paused and not other.is_lost):
            if self.is_closing and not self.is_lost:
                # The system will tell the other side, when it can.
                self.lose()
                return True
            return False
        if self.carry_some_to(other):
            return True
        if not (self.is_half_closed or self.is_closing or self.is_lost):
            return False
        has_moved = other._read_all(is_over=self.is_closing or self.is_lost)
        if self.is_closing and not self.is_lost:
            self.lose()
            return True
        return has_moved

    def carry_some_to(self, other: MemoryTransport, most: int | None = None) -> bool:
        """
        Hand to the other end some of what was written, also where it is held.

        Args:
            other: The other end.
            most: How many bytes at most; ``None`` for all of them.

        Returns:
            Whether anything arrived.
        """
        data = b"".join(self._on_the_way)
        self._on_the_way = [] if most is None else [data[most:]]
        arrived = data[:most]
        has_arrived = bool(arrived) and not (other.is_lost or other.is_closing or other.is_aborted)
        if has_arrived:
            other.protocol.dataReceived(arrived)
        if self._is_choked and not self.on_the_way and self.producer is not None:
            self._is_choked = False
            self.producer.resumeProducing()
        return has_arrived

    def _read_all(self, *, is_over: bool) -> bool:
        if self.is_lost:
            return False
        # As a real transport asks, at this moment.
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if is_over or protocol is None:
            self.lose()
            return True
        has_news = not self._has_read_all
        if has_news:
            self._has_read_all = True
            protocol.readConnectionLost()
        return has_news


@implementer(IConnector)
class MemoryDial:
    """
    A connection that somebody wants to make.

    Attributes:
        address: Where to.
        factory: Makes the protocol, or is told why there is no connection.
        caller: The host that wants it, where it has an address of its own.
        timer: What gives up, where nobody answers.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        address: Address,
        factory: ClientFactory,
        caller: str | None = None,
    ) -> None:
        self.address = address
        self.factory = factory
        self.caller = caller
        self.timer: IDelayedCall | None = None
        self._network = network

    def fail(self, error: Exception) -> None:
        """
        Let it come to nothing.

        Args:
            error: Why.
        """
        self.stopConnecting()
        self.factory.clientConnectionFailed(self, Failure(error))

    def connect(self) -> None:
        """
        Do nothing: no dial here is made twice.
        """

    def disconnect(self) -> None:
        """
        Stop trying.
        """
        self.stopConnecting()

    def stopConnecting(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Stop trying.
        """
        self._network.forget_dial(self)

    def getDestination(self) -> IAddress:  # noqa: N802
        """
        Where it leads.
        """
        return _socket_address(self.address.host, self.address.port)


@implementer(IListeningPort)
class _Port:
    """
    A port that somebody listens on.
    """

    def __init__(self, ports: dict[Address, IProtocolFactory], address: Address) -> None:
        self._ports = ports
        self._address = address

    def startListening(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Do nothing: it listens already.
        """

    def stopListening(self) -> None:  # noqa: N802
        """
        Listen no longer.
        """
        self._ports.pop(self._address, None)

    def getHost(self) -> IAddress:  # noqa: N802
        """
        Where it listens.
        """
        return _socket_address(self._address.host, self._address.port)


class _ClassicListener(Protocol):
    """
    What a classic program does with a connection: read to the end, answer nothing.
    """

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard
        self._data = b""

    @override
    def dataReceived(self, data: bytes) -> None:
        self._data += data

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Some of them probe each other with connections that are closed without a byte.
        if self._data:
            self._heard.append(self._data)


@implementer(IHalfCloseableProtocol)
class _NeverClosing(_ClassicListener):
    """
    A classic program that leaves it to the other side to close.
    """

    def readConnectionLost(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Do nothing about the end of what comes.
        """

    def writeConnectionLost(self) -> None:  # noqa: N802
        """
        Do nothing: nothing was written.
        """


class _ClassicFactory(Factory):
    """
    Makes what a classic program answers connections with.
    """

    noisy = False

    def __init__(self, heard: list[bytes], *, closes: bool) -> None:
        self._heard = heard
        self._closes = closes

    @override
    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return (_ClassicListener if self._closes else _NeverClosing)(self._heard)


class MemoryNetwork(MemoryReactorClock):
    """
    A reactor whose TCP connections lead to itself, and whose time goes on when a test says so.

    Attributes:
        silent_hosts: Hosts that never answer: whoever dials them runs into its time-out.
        dialled: Every address that was dialled, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.silent_hosts: set[str] = set()
        self.dialled: list[Address] = []
        self._ports: dict[Address, IProtocolFactory] = {}
        self._dials: list[MemoryDial] = []
        self._wires: list[tuple[MemoryTransport, MemoryTransport]] = []
        self._next_port = FIRST_EPHEMERAL_PORT

    @property
    def is_quiet(self) -> bool:
        """
        Whether nobody listens, nobody is connected or connecting, and nobody waits for the time.
        """
        return not (self._ports or self._dials or self._wires or self.getDelayedCalls())

    @property
    def dials(self) -> list[MemoryDial]:
        """
        The connections that are being made.
        """
        return list(self._dials)

    @property
    def connections(self) -> list[tuple[MemoryTransport, MemoryTransport]]:
        """
        The connections that there are, each as the end that called and the end that was called.
        """
        return list(self._wires)

    @override
    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        address = Address(interface or LOOPBACK, port)
        if address in self._ports:
            raise CannotListenError(interface, port, OSError("Address already in use"))
        self._ports[address] = factory
        return _Port(self._ports, address)

    @override
    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: object = None,
    ) -> IConnector:
        return self.dial(MemoryDial(self, Address(host, port), factory), timeout)

    def dial(self, dial: MemoryDial, timeout: float) -> MemoryDial:
        """
        Want to make a connection.

        Args:
            dial: Which.
            timeout: How many seconds to wait where nobody answers.

        Returns:
            The same.
        """
        self.dialled.append(dial.address)
        self._dials.append(dial)
        if dial.address.host in self.silent_hosts:
            dial.timer = self.callLater(timeout, dial.fail, TimeoutError())
        dial.factory.startedConnecting(dial)
        return dial

    def forget_dial(self, dial: MemoryDial) -> None:
        """
        Forget a connection that was to be made.
        """
        if dial in self._dials:
            self._dials.remove(dial)
        if dial.timer is not None and dial.timer.active():
            dial.timer.cancel()

    def settle(self) -> None:
        """
        Make connections and carry bytes until nothing moves; no time goes by.

        Raises:
            AssertionError: It would go on for ever.
        """
        for _ in range(MOST_ROUNDS):
            if not self._move():
                return
        raise AssertionError(f"after {MOST_ROUNDS} rounds there is still something to carry")

    def settle_until(self, is_done: Callable[[], bool], at_most: float = 60.0) -> None:
        """
        Make connections, carry bytes and let time go by until something is so.

        Args:
            is_done: Tells whether it is.
            at_most: How many seconds may go by.

        Raises:
            AssertionError: It did not become so in time, or nothing is left that could make it so.
        """
        deadline = self.seconds() + at_most
        self.settle()
        while not is_done():
            calls = self.getDelayedCalls()
            if not calls or calls[0].getTime() > deadline:
                raise AssertionError(f"it did not happen within {at_most} seconds")
            self.advance(max(0.0, calls[0].getTime() - self.seconds()))
            self.settle()

    def call(
        self,
        port: int,
        host: str = OUTSIDE,
        *,
        to: str = LOOPBACK,
        caller: IProtocol | None = None,
    ) -> MemoryTransport:
        """
        Connect to a port from outside.

        Args:
            port: A port that somebody listens on.
            host: The address that the call comes from.
            to: The address that is called.
            caller: What the caller does with the connection; ``None`` for nothing.

        Returns:
            The caller's end: write to it, close it, then `settle`.

        Raises:
            ConnectionRefusedError: Nobody listens there.
        """
        factory = self._ports.get(Address(to, port))
        protocol = factory.buildProtocol(_socket_address(host, port)) if factory else None
        if protocol is None:
            raise ConnectionRefusedError
        return self._join(caller or Protocol(), protocol, host, Address(to, port))

    def say(self, port: int, data: bytes, host: str = OUTSIDE) -> None:
        """
        Say something from outside, as a classic program does: connect, write once, close.

        Args:
            port: A port that somebody listens on.
            data: What to say.
            host: The address that the call comes from.
        """
        end = self.call(port, host)
        end.write(data)
        end.loseConnection()
        self.settle()

    def listen_as(self, address: Address, *, closes: bool = True) -> list[bytes]:
        """
        Be a classic program that listens.

        Args:
            address: Where.
            closes: Whether it closes a connection when the other side has.

        Returns:
            A list that grows by what each connection brought, when that is over.
        """
        heard: list[bytes] = []
        self._ports[address] = _ClassicFactory(heard, closes=closes)
        return heard

    def unlisten(self, address: Address) -> None:
        """
        Be that program no longer.

        Args:
            address: Where it listened.
        """
        del self._ports[address]

    def hold(self, wire: tuple[MemoryTransport, MemoryTransport], *, is_held: bool = True) -> None:
        """
        Pull the cable of a connection: nothing arrives any more, and nobody is told.

        Args:
            wire: One of `connections`.
            is_held: Whether it is pulled; otherwise what was on its way goes on.
        """
        for end in wire:
            end.is_held = is_held

    def cut(self, wire: tuple[MemoryTransport, MemoryTransport]) -> None:
        """
        Break a connection: what is on its way is lost, and both ends are told.

        Args:
            wire: One of `connections`.
        """
        for end in wire:
            end.lose(ConnectionLost())

    def _move(self) -> bool:
        has_moved = False
        for dial in self.dials:
            # Answering one may end another.
            if dial.timer is None and dial in self._dials:
                has_moved = True
                self._answer(dial)
        for wire in self.connections:
            ours, theirs = wire
            has_moved = ours.carry_to(theirs) or has_moved
            has_moved = theirs.carry_to(ours) or has_moved
            if ours.is_lost and theirs.is_lost:
                self._wires.remove(wire)
        if any(call.getTime() <= self.seconds() for call in self.getDelayedCalls()):
            has_moved = True
            self.advance(0)
        return has_moved

    def _answer(self, dial: MemoryDial) -> None:
        factory = self._ports.get(dial.address)
        answering = factory.buildProtocol(dial.getDestination()) if factory else None
        if answering is None:
            dial.fail(ConnectionRefusedError())
            return
        self.forget_dial(dial)
        calling = dial.factory.buildProtocol(dial.getDestination())
        assert calling is not None  # noqa: S101 (an endpoint's factory always makes one)
        host = dial.address.host
        ours = host if host == LOOPBACK else "::1" if ":" in host else "192.0.2.1"
        self._join(calling, answering, dial.caller or ours, dial.address)

    def _join(
        self, calling: IProtocol, answering: IProtocol, host: str, called: Address
    ) -> MemoryTransport:
        self._next_port += 1
        caller = _socket_address(host, self._next_port)
        callee = _socket_address(called.host, called.port)
        ours = MemoryTransport(calling, caller, callee, self, is_client=True)
        theirs = MemoryTransport(answering, callee, caller, self)
        self._wires.append((ours, theirs))
        answering.makeConnection(theirs)
        calling.makeConnection(ours)
        return ours


@implementer(IReactorTCP, IReactorTime)
class MemoryHost:
    """
    A machine on a `MemoryNetwork`: it has an address of its own, and can be switched off.

    Args:
        network: The network.
        host: Its address.
    """

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.network = network
        self.host = host
        self._calls: list[IDelayedCall] = []
        self._ports: list[IListeningPort] = []

    def seconds(self) -> float:
        """
        The time.
        """
        return self.network.seconds()

    def callLater(  # noqa: N802 (Twisted calls it)
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> IDelayedCall:
        """
        Call back, if the machine is still on.
        """
        self._calls = self.getDelayedCalls()
        call = self.network.callLater(delay, callable, *args, **kwargs)
        self._calls.append(call)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:  # noqa: N802
        """
        Whom to call back on this machine.
        """
        return [call for call in self._calls if call.active()]

    def listenTCP(  # noqa: N802
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen at the machine's address.
        """
        listening = self.network.listenTCP(port, factory, backlog, self.host)
        self._ports.append(listening)
        return listening

    def connectTCP(  # type: ignore[override]  # noqa: N802 (its factory is generic to mypy only)
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: object = None,  # noqa: N803
    ) -> IConnector:
        """
        Connect from the machine's address.
        """
        dial = MemoryDial(self.network, Address(host, port), factory, self.host)
        return self.network.dial(dial, timeout)

    def switch_off(self) -> None:
        """
        End everything on this machine, as a killed process ends: nobody there is told any more.

        Others find its connections closed, behind what is on its way to them.
        """
        for call in self.getDelayedCalls():
            call.cancel()
        for port in self._ports:
            port.stopListening()
        for dial in self.network.dials:
            if dial.caller == self.host:
                dial.stopConnecting()
        for wire in self.network.connections:
            for end in wire:
                if end.getHost().host == self.host:
                    end.is_lost = True


def _socket_address(host: str, port: int) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


# --- nodes ------------------------------------------------------------------------------------


@implementer(IJournal)
class MemoryJournal:
    """
    A journal that keeps everything in memory, at once or when a test says so.

    Args:
        before: That of a process which was killed: what it had stored is here.
        written: How much of what waited there was still written, though nobody was told.

    Attributes:
        entries: All that is on the disk, in the order in which it came.
        forks: The proofs that authors have lied, one for each.
        owner: Whose journal it is; ``None`` where that makes no difference.
        now: Tells the time; ``None`` where any time may be followed.
        error: What every call fails with that would write or read; ``None`` for none.
        is_slow: Whether what is to be written or read waits until `work`.
    """

    def __init__(self, before: MemoryJournal | None = None, written: int = 0) -> None:
        self.entries: list[Entry] = []
        self.forks: list[Entry] = []
        self.owner: DeviceKey | None = None
        self.now: Callable[[], float] | None = None
        self.error: StoreError | None = None
        self.is_slow = False
        self._rooms: dict[bytes, RoomRecord] = {}
        self._lines: list[LineOfHistory] = []
        # How many there ever were: no number is given twice, also when lines are gone.
        self._last_line = 0
        self._marks: dict[Place, int] = {}
        self._offers: dict[bytes, int] = {}
        self._heads: dict[bytes, dict[DeviceKey, tuple[int, bytes]]] = {}
        self._stored: dict[bytes, dict[DeviceKey, tuple[int, bytes]]] = {}
        self._times: dict[bytes, int] = {}
        self._receipts: dict[tuple[bytes, DeviceKey], int] = {}
        # What is to be written, as of which failure, and what is to be done.
        self._waiting: deque[tuple[Sequence[Entry], int, Callable[[], None]]] = deque()
        self._failures = 0
        if before is not None:
            self.owner = before.owner
            self._receipts.update(before._receipts)
            self._rooms.update(before._rooms)
            self._marks.update(before._marks)
            self._offers.update(before._offers)
            self.forks += before.forks
            self.entries += before.entries
            self._lines += before._lines
            self._last_line = before._last_line
            self._stored = before._copy_of_stored()
            for entries, failures, _ in islice(before._waiting, written):
                if failures == before._failures:
                    self._store(entries)
            self._heads = self._copy_of_stored()
            self._see_times(self.entries)

    def _see_times(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            time = entry.said.time
            if self.now is None or time <= int(self.now() * 1_000_000) + MOST_AHEAD:
                self._times[entry.room] = max(self.last_time(entry.room), time)

    def heads(self, room: bytes) -> dict[DeviceKey, tuple[int, bytes]]:
        """
        How far each author's entries reach: see `IJournal`.
        """
        return dict(self._heads.get(room, {}))

    def stored_heads(self, room: bytes) -> dict[DeviceKey, tuple[int, bytes]]:
        """
        How far they reach on the disk: see `IJournal`.
        """
        return dict(self._stored.get(room, {}))

    def last_time(self, room: bytes) -> int:
        """
        The largest time in a room: see `IJournal`.
        """
        return self._times.get(room, 0)

    def append(self, entries: Sequence[Entry], *, is_urgent: bool = True) -> Deferred[None]:
        """
        Keep entries: see `IJournal`.
        """
        for entry in entries:
            heads = self._heads.setdefault(entry.room, {})
            seq, last = heads.get(entry.author, (0, NOTHING))
            if (entry.seq, entry.prev) != (seq + 1, last):
                raise AssertionError(f"entry {entry.seq} does not follow entry {seq}")
            heads[entry.author] = (entry.seq, entry.hash)
            self._see_times([entry])
        if not entries[-1].signature:
            raise AssertionError(f"entry {entries[-1].seq} is the last and not signed")
        done: Deferred[None] = Deferred()
        failures = self._failures

        def write() -> None:
            if failures == self._failures and self.error is not None:
                self._failures += 1
                self._heads = self._copy_of_stored()
            if failures != self._failures:
                done.errback(self.error or StoreError("What comes before it was not kept."))
                return
            self._store(entries)
            done.callback(None)

        self._put(entries, write)
        return done

    def _store(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._stored.setdefault(entry.room, {})[entry.author] = (entry.seq, entry.hash)
            if entry.said.kind == TEXT:
                self._keep_line(entry)
        self.entries += entries

    def _keep_line(self, entry: Entry) -> None:
        self._last_line += 1
        self._lines.append(line_of(self._last_line, entry, self.owner))

    def _copy_of_stored(self) -> dict[bytes, dict[DeviceKey, tuple[int, bytes]]]:
        return {room: dict(heads) for room, heads in self._stored.items()}

    def _put(self, entries: Sequence[Entry], job: Callable[[], None]) -> None:
        self._waiting.append((entries, self._failures, job))
        if not self.is_slow:
            self.work()

    @property
    def waiting(self) -> int:
        """
        How much is still to be written or read.
        """
        return len(self._waiting)

    def work(self, most: int | None = None) -> None:
        """
        Write and read what waits.

        Args:
            most: How much of it at most; ``None`` for all there is now.
        """
        for _ in range(self.waiting if most is None else most):
            if self._waiting:
                _, _, job = self._waiting.popleft()
                job()

    def read(
        self, room: bytes, author: DeviceKey, after: int, most_bytes: int
    ) -> Deferred[list[Entry]]:
        """
        Read consecutive entries: see `IJournal`.
        """
        done: Deferred[list[Entry]] = Deferred()

        def look() -> None:
            if self.error is not None:
                done.errback(self.error)
            else:
                done.callback(self._read(room, author, after, most_bytes))

        self._put((), look)
        return done

    def _read(self, room: bytes, author: DeviceKey, after: int, most_bytes: int) -> list[Entry]:
        found: list[Entry] = []
        for entry in self.entries:
            if (entry.room, entry.author) == (room, author) and entry.seq > after:
                found.append(entry)
                most_bytes -= len(entry.said.body.encode())
                if entry.signature and most_bytes <= 0:
                    break
        return found

    def receipt(self, room: bytes, holder: DeviceKey) -> int:
        """
        How far another node holds our entries: see `IJournal`.
        """
        return self._receipts.get((room, holder), 0)

    def keep_receipt(self, room: bytes, holder: DeviceKey, seq: int) -> None:
        """
        Remember how far another node holds our entries: see `IJournal`.
        """
        self._receipts[room, holder] = seq

    def keep_fork(self, entry: Entry) -> Deferred[bool]:
        """
        Keep the proof that an author lied: see `IJournal`.
        """
        if self.error is not None:
            return fail(self.error)
        chains = [(fork.room, fork.author) for fork in self.forks]
        is_news = (entry.room, entry.author) not in chains
        if is_news:
            self.forks.append(entry)
        return succeed(is_news)

    def membership(self) -> list[Entry]:
        """
        The entries that tell who is where: see `IJournal`.
        """
        return [entry for entry in self.entries if entry.said.kind in MEMBERSHIP]

    def rooms(self) -> list[RoomRecord]:
        """
        The rooms that are known: see `IJournal`.
        """
        return list(self._rooms.values())

    def keep_room(self, record: RoomRecord) -> Deferred[None]:
        """
        Remember a room: see `IJournal`.
        """

        def keep() -> None:
            self._rooms[record.room] = record

        return self._do(keep)

    def _do(self, job: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        failures = self._failures

        def work() -> None:
            # It takes with it what is written behind it, and that takes it: there is one disk.
            if failures == self._failures and self.error is not None:
                self._failures += 1
                self._heads = self._copy_of_stored()
            if failures != self._failures:
                done.errback(self.error or StoreError("What comes before it was not kept."))
            else:
                job()
                done.callback(None)

        self._put((), work)
        return done

    def keep_plain(
        self, address: Address, name: str | None, text: str, *, is_ours: bool, time: float
    ) -> Deferred[None]:
        """
        Keep a classic message: see `IJournal`.
        """

        def keep() -> None:
            self._last_line += 1
            self._lines.append(
                LineOfHistory(self._last_line, address, None, name, is_ours, 0, time, text)
            )

        return self._do(keep)

    def history(
        self, place: Place | None, since: float, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Read what was said: see `IJournal`.
        """
        lines = [
            line
            for line in sorted(self._lines, key=_in_room if place else _as_it_came)
            if place in (None, line.place) and line.time >= since
        ]
        if before is not None:
            key = _in_room if place else _as_it_came
            lines = [line for line in lines if key(line) < key(before)]
        return succeed(lines[::-1][:most])

    def search(
        self, words: str, place: Place | None, before: LineOfHistory | None, most: int
    ) -> Deferred[list[LineOfHistory]]:
        """
        Find texts: see `IJournal`.
        """
        wanted = words.casefold().split()
        lines = [
            line
            for line in reversed(self._lines)
            if place in (None, line.place)
            and (before is None or line.number < before.number)
            and all(
                any(word.startswith(start) for word in line.text.casefold().split())
                for start in wanted
            )
        ]
        return succeed(lines[:most] if wanted else [])

    def around(self, line: LineOfHistory, most: int) -> Deferred[list[LineOfHistory]]:
        """
        Read what stands around a line: see `IJournal`.
        """
        lines = sorted(self._lines, key=_in_room)
        lines = [one for one in lines if one.place == line.place]
        index = lines.index(line)
        return succeed(lines[max(0, index - most) : index + most + 1])

    def unread(self, place: Place) -> int:
        """
        How many texts came since the person looked: see `IJournal`.
        """
        mark = self._marks.get(place, 0)
        return sum(
            1
            for line in self._lines
            if line.place == place and not line.is_ours and line.number > mark
        )

    def read_to(self, room: bytes, author: DeviceKey) -> int:
        """
        How far the person has seen what somebody said: see `IJournal`.
        """
        mark = self._marks.get(room, 0)
        head, _ = self._stored.get(room, {}).get(author, (0, NOTHING))
        unread = (
            line.seq
            for line in self._lines
            if (line.place, line.author) == (room, author) and line.number > mark
        )
        return min(unread, default=head + 1) - 1

    def addresses_unread(self) -> list[Address]:
        """
        Where plain texts are that the person has not seen: see `IJournal`.
        """
        places = dict.fromkeys(line.place for line in self._lines)
        return [place for place in places if isinstance(place, Address) and self.unread(place)]

    def looked_at(self, place: Place) -> None:
        """
        The person has looked: see `IJournal`.
        """
        self._marks[place] = self._last_line

    def offered(self, room: bytes) -> int:
        """
        How far others may have seen ours: see `IJournal`.
        """
        return self._offers.get(room, 0)

    def offered_head(self, room: bytes) -> tuple[int, bytes]:
        """
        The last of ours that is kept and may have been seen: see `IJournal`.
        """
        offered = self.offered(room)
        ours = (
            (one.seq, one.hash)
            for one in reversed(self.entries)
            if (one.room, one.author) == (room, self.owner) and one.seq <= offered
        )
        return next(ours, (0, NOTHING))

    def offer(self, room: bytes, seq: int, digest: bytes) -> Deferred[None]:
        """
        Others may see ours from now on: see `IJournal`.
        """

        def offer() -> None:
            self._offers[room] = max(seq, self.offered(room))

        return self._do(offer)

    def replace(
        self, room: bytes, after: int, entries: Sequence[Entry], offered: int
    ) -> Deferred[None]:
        """
        Write our own entries anew: see `IJournal`.
        """
        author = self.owner
        assert author is not None  # noqa: S101 (ours are somebody's)

        def replace() -> None:
            def goes(where: Place, who: DeviceKey | None, seq: int) -> bool:
                return (where, who) == (room, author) and seq > after

            self.entries = [one for one in self.entries if not goes(one.room, one.author, one.seq)]
            self._lines = [one for one in self._lines if not goes(one.place, one.author, one.seq)]
            stay = [one for one in self.entries if (one.room, one.author) == (room, author)]
            self._stored.setdefault(room, {}).pop(author, None)
            if stay:
                self._stored[room][author] = (stay[-1].seq, stay[-1].hash)
            self._store(entries)
            self._heads = self._copy_of_stored()
            self._offers[room] = offered

        return self._do(replace)

    def close(self) -> Deferred[None]:
        """
        Do nothing.
        """
        return succeed(None)


def _in_room(line: LineOfHistory) -> tuple[float, bytes, int, int]:
    author = line.author.raw if line.author else b""
    return line.time, author, line.seq, line.number


def _as_it_came(line: LineOfHistory) -> tuple[float, bytes, int, int]:
    return 0.0, b"", 0, line.number


def make_node(
    network: MemoryNetwork | MemoryHost,
    port: int,
    team: str,
    *,
    dialect: Dialect = Dialect.HEADER,
    ask: Callable[[str], Deferred[list[str]]] | None = None,
    secure_only: bool = False,
    contacts: Contacts | None = None,
    journal: IJournal | None = None,
    identity: Identity | None = None,
    keep_contacts: Callable[[list[Contact]], Deferred[None]] | None = None,
) -> Node:
    """
    Put a real node on a network in memory.

    Args:
        network: The network, or a machine on it.
        port: Where it will listen: on a machine at its address, and else on `LOOPBACK`.
        team: Its team name.
        dialect: How it speaks with a classic peer that was never heard.
        ask: Looks a host name up; ``None`` finds none.
        secure_only: Whether it speaks with secure peers alone.
        contacts: Whom it knows; ``None`` for nobody.
        journal: Where it keeps entries; ``None`` for one in memory.
        identity: Who it is; ``None`` for `identity_of` its name.
        keep_contacts: Writes its contacts down; ``None`` for nobody.

    Returns:
        The node, not started yet.
    """
    host = network.host if isinstance(network, MemoryHost) else LOOPBACK
    chance = Random(team)  # noqa: S311 (nobody has to guess it)
    surroundings = Surroundings(
        network,
        network,
        ask or (lambda _: succeed([])),
        chance.randbytes,
        lambda work: succeed(work()),
        lambda: [host],
    )
    store = Store(
        identity or identity_of(team),
        Contacts() if contacts is None else contacts,
        keep_contacts or (lambda _: succeed(None)),
        MemoryJournal() if journal is None else journal,
    )
    if isinstance(store.journal, MemoryJournal):
        store.journal.owner = store.identity.key
        store.journal.now = network.seconds
    return Node(
        surroundings,
        store,
        [TCP4ServerEndpoint(network, port, interface=host)],
        team=team,
        port=port,
        dialect=dialect,
        secure_only=secure_only,
    )


@dataclass(frozen=True, slots=True)
class TwoNodes:
    """
    Two nodes that can reach each other.

    Attributes:
        network: What they are on.
        ours: One of them.
        theirs: The other.
        our_events: What the first one told, in order.
        their_events: What the other one told.
    """

    network: MemoryNetwork
    ours: Node
    theirs: Node
    our_events: list[Event] = field(default_factory=list)
    their_events: list[Event] = field(default_factory=list)

    @property
    def our_address(self) -> Address:
        """
        Where the first one listens.
        """
        return Address(LOOPBACK, self.ours.port)

    @property
    def their_address(self) -> Address:
        """
        Where the other one listens.
        """
        return Address(LOOPBACK, self.theirs.port)


@contextmanager
def two_nodes(*, dialect: Dialect = Dialect.HEADER) -> Iterator[TwoNodes]:
    """
    Start two real nodes in memory: what one sends goes through the real connections of both.

    Args:
        dialect: How they speak with a peer that was never heard.

    Yields:
        The nodes, which listen; ``network.settle()`` makes things happen.

    Raises:
        AssertionError: At the end, if they do not stop in time, or leave something behind.
    """
    network = MemoryNetwork()
    pair = TwoNodes(
        network,
        make_node(network, 7070, "ours", dialect=dialect),
        make_node(network, 7071, "theirs", dialect=dialect),
    )
    pair.ours.subscribe(pair.our_events.append)
    pair.theirs.subscribe(pair.their_events.append)
    pair.ours.startService()
    pair.theirs.startService()
    yield pair
    for node in (pair.ours, pair.theirs):
        stopped = node.stopService()
        network.settle_until(lambda stopped=stopped: stopped.called, LONGEST_GOODBYE)  # type: ignore[misc]
    network.settle()
    if not network.is_quiet:
        raise AssertionError("the nodes left something behind")
