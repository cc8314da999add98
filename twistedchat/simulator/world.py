"""
The world of a simulation: people with nodes, and what happens to them.

What has to be so in it is looked after by `twistedchat.simulator.truth`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from random import Random
from traceback import format_exc
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.addresses import Address
from twistedchat.core.errors import ChatError
from twistedchat.core.events import Event, RoomChange, RoomChanged, Sent
from twistedchat.core.frames import Frame
from twistedchat.core.history import Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import MEMBERSHIP, Membership
from twistedchat.core.roster import Recipient, RoomId
from twistedchat.core.trust import Contact, Contacts, Verdict
from twistedchat.node import Node, Store, Surroundings
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.simulator.disk import Disk, SimulatedJournal
from twistedchat.simulator.network import START, Machine, Network
from twistedchat.simulator.truth import Truth

__all__ = ["Outcome", "Person", "SimulatedNode", "Step", "World", "identity_of"]

# Seconds of calm after which everybody has to hold the same: twice the longest wait until somebody
# is dialled again, with all that chance can add to it.
LONGEST_CALM = 1000.0

# Seconds between two looks whether they do; and how long it has to stay so.
LOOK_EVERY = 2.0
STAYS_FOR = 12.0

# Seconds for nodes to come to their end, and for their connections to do so after that.
LONGEST_STOP = 10.0
LONGEST_CLOSE = 5.0

PORT = 7070


class Step(Protocol):
    """
    One thing that happens.
    """

    def apply(self, world: World) -> str:
        """
        Let it happen.

        Args:
            world: Where.

        Returns:
            Why it did not; empty where it did.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How a simulation ended.

    Attributes:
        trace: What happened, a line for each step.
        fault: What was not as it should be; empty where all was.
        digest: Made of all that happened: another one means that something else did.
    """

    trace: tuple[str, ...]
    fault: str
    digest: int


@dataclass(eq=False)
class Person:
    """
    Somebody with a node.

    Attributes:
        name: What they are called.
        host: The address of their machine.
        identity: Their key.
        disk: What their machine keeps.
        is_honest: Whether their node says nothing but what it is made for.
        is_forked: Whether they may have said two things with one number: two nodes have their key,
            or their disk is not what it was.
        is_twin: Whether they have the key of somebody else.
        backup: What their disk held at some time.
        ahead: Seconds that their clock is ahead.
        machine: Their machine, where it is on.
        node: What runs there.
        journal: Where it keeps its entries.
        is_stopping: Whether the node is coming to its end.
        recalls: How many texts are just being taken back.
        waits: How many texts it was given without having told what became of them.
        shown: How often they were shown each text.
        caught_up: How many they were told of as a number, by place.
        came_before: How many texts were on the disk when the node was started, by place.
        shown_before: How many had been shown or told of.
        typed: What they said, by its first word, in the order in which they did; with the largest
            time that there was in the room by then.
        forks_told: Of whom they were told that they have forked, or would have been, had their node
            not been killed.
    """

    name: str
    host: str
    identity: Identity
    disk: Disk = field(default_factory=Disk)
    is_honest: bool = True
    is_forked: bool = False
    is_twin: bool = False
    backup: Disk | None = None
    ahead: int = 0
    machine: Machine | None = None
    node: SimulatedNode | None = None
    journal: SimulatedJournal | None = None
    is_stopping: bool = False
    recalls: int = 0
    waits: int = 0
    shown: Counter[tuple[Place, DeviceKey, str]] = field(default_factory=Counter)
    caught_up: Counter[Place] = field(default_factory=Counter)
    came_before: Counter[Place] = field(default_factory=Counter)
    shown_before: Counter[Place] = field(default_factory=Counter)
    typed: dict[str, int] = field(default_factory=dict)
    forks_told: set[DeviceKey] = field(default_factory=set)

    @property
    def key(self) -> DeviceKey:
        """
        Who they are.
        """
        return self.identity.key

    @property
    def is_trusted(self) -> bool:
        """
        Whether what their node says, and holds, is what it should.
        """
        return self.is_honest and not self.is_forked

    @property
    def places(self) -> list[bytes]:
        """
        Where they hold something that was said.
        """
        return list(dict.fromkeys(room for room, _ in self.disk.chains))

    def shown_in(self, place: Place) -> int:
        """
        How many texts they were told of in a place.
        """
        lines = sum(count for (where, *_), count in self.shown.items() if where == place)
        return lines + self.caught_up[place]


class SimulatedNode(Node):
    """
    A node that can be made to say what it should not, and listened to when it speaks.
    """

    _listener: Callable[[DeviceKey, Frame], None] | None = None

    def tell_what_is_said(self, listener: Callable[[DeviceKey, Frame], None]) -> None:
        """
        Have somebody hear what is said in all sessions.

        Args:
            listener: Told to whom something is going to be said, and what.
        """
        self._listener = listener

    @override
    def session_opened(self, link: PeerProtocol, verdict: Verdict) -> str | None:
        session, say = link.session, link.say

        def say_aloud(frame: Frame) -> None:
            if self._listener is not None and session is not None and not link.is_closed:
                self._listener(session.their_key, frame)
            say(frame)

        link.say = say_aloud  # type: ignore[method-assign]
        return super().session_opened(link, verdict)

    def membership(self, room: bytes) -> Membership:
        """
        Who is in a room, as the node knows it.
        """
        return self._rooms.membership(room)

    def stay_in(self, room: bytes) -> Stay | None:
        """
        What the node has to do with a room; ``None`` where it does not know it.
        """
        record = self._rooms.find(room)
        return record.stay if record is not None else None

    def receipt(self, room: bytes, key: DeviceKey) -> int:
        """
        How far somebody holds what the node has said in a room, as it knows.
        """
        return self._journal.receipt(room, key)

    def hosts(self, room: bytes) -> list[DeviceKey]:
        """
        Who has told the node that it is in a room, or could.
        """
        record = self._rooms.find(room)
        known = [] if record is None else [record.inviter, record.founder]
        return [*known, *self._rooms.hosts(room)]

    def is_with(self, key: DeviceKey) -> bool:
        """
        Whether there is a session with somebody.
        """
        link = self._sessions.find(key)
        return link is not None and not link.is_closed

    def say_anything(self, key: DeviceKey, line: bytes) -> bool:
        """
        Write a line into the session with somebody.

        Args:
            key: With whom.
            line: Anything.

        Returns:
            Whether there is a session.
        """
        link = self._sessions.find(key)
        if link is None or link.is_closed:
            return False
        link.transport.write(line + b"\n")
        return True


@lru_cache(maxsize=64)
def identity_of(name: str) -> Identity:
    """
    An identity for tests: the same for the same name, and known to everybody.

    Args:
        name: Any.

    Returns:
        It.
    """
    return Identity(Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()))


class World:
    """
    People, their machines and what is between them.

    Args:
        seed: What chance begins with.
        names: Who there is.
        liars: Who of them lies.
        strangers: Pairs of those who do not know each other.
        is_tls_real: Whether connections are really encrypted.

    Attributes:
        network: What is between them.
        people: Who there is, by name.
        rooms: The rooms that were founded, by the numbers that steps have for them.
        founders: Who founded them.
        void: Texts that nobody may take for a part of any room.
        recalled: Texts that were taken back.
        misled: Those to whom somebody has lied about who is in a room.
        late_until: Until when some node's timers come late, since its clock went back.
        faults: What was not as it should be.
    """

    def __init__(
        self,
        seed: str,
        names: Sequence[str],
        liars: Iterable[str] = (),
        strangers: Iterable[tuple[str, str]] = (),
        *,
        is_tls_real: bool = False,
    ) -> None:
        self.network = Network(seed, is_tls_real=is_tls_real)
        self.people: dict[str, Person] = {}
        self.rooms: dict[int, bytes] = {}
        self.founders: dict[int, str] = {}
        self.void: set[str] = set()
        self.recalled: set[str] = set()
        self.misled: set[DeviceKey] = set()
        self.late_until = START
        self.faults: list[str] = []
        self._truth = Truth(self)
        self._strangers = {frozenset(pair) for pair in strangers}
        self._trace: list[str] = []
        self._boots = 0
        # What was killed: see `_bury`.
        self._killed: list[tuple[Machine, Node, SimulatedJournal]] = []
        for number, name in enumerate(names, start=1):
            person = Person(name, f"10.0.0.{number}", identity_of(name))
            person.is_honest = name not in liars
            self.people[name] = person
        for person in self.people.values():
            person.disk.contacts = [
                Contact(other.key, other.name, addresses=(Address(other.host, PORT),), since=START)
                for other in self.people.values()
                if other is not person and not self.are_strangers(person, other)
            ]

    # What is so.

    def chance(self, what: str) -> Random:
        """
        Chance for one thing.
        """
        return self.network.chance(what)

    def node_of(self, name: str) -> SimulatedNode | None:
        """
        Somebody's node, where it runs.
        """
        person = self.people.get(name)
        return person.node if person is not None and not person.is_stopping else None

    def place_of(self, name: str, where: str | int) -> Recipient | None:
        """
        Whom a step means.

        Args:
            name: Who does something.
            where: A room's number, or a person's name.

        Returns:
            The room or the person, where there is one that can be meant.
        """
        if isinstance(where, int):
            room = self.rooms.get(where)
            return RoomId(room) if room is not None else None
        return self.people[where].key if where in self.people and where != name else None

    def may_rule(self, name: str) -> bool:
        """
        Whether somebody may say who is in a room.

        Those may not who say different things to different people: there would be no truth.
        """
        return name in self.people and self.people[name].is_trusted

    def are_strangers(self, one: Person, other: Person) -> bool:
        """
        Whether two do not know each other.
        """
        return frozenset((one.name, other.name)) in self._strangers

    def blame(self, fault: str) -> None:
        """
        Note that something is not as it should be.
        """
        self.faults.append(fault)

    def is_at_fault(self) -> bool:
        """
        Whether something is not.
        """
        return bool(self.faults)

    # What happens to nodes.

    def start(self, person: Person) -> None:
        """
        Switch somebody's machine on, and start the node there.
        """
        if person.machine is not None:
            return
        self._boots += 1
        chance = self.chance(f"boot {self._boots} {person.name}")
        machine = self.network.boot(person.host, person.identity, person.ahead)
        journal = SimulatedJournal(
            machine,
            person.disk,
            person.key,
            chance,
            lambda entries: self._truth.check_committed(person, entries),
            lambda: self.kill(person, is_power_cut=False),
        )
        surroundings = Surroundings(
            machine,
            machine,
            lambda _: succeed([]),
            chance.randbytes,
            lambda work: succeed(work()),
            lambda: [person.host],
        )
        contacts = Contacts(person.disk.contacts)
        node = SimulatedNode(
            surroundings,
            Store(person.identity, contacts, journal.keep_contacts, journal),
            [TCP4ServerEndpoint(machine, PORT, interface=person.host)],
            team=person.name,
            port=PORT,
        )
        person.machine, person.journal, person.node = machine, journal, node
        person.waits = person.recalls = 0
        person.came_before = Counter(
            {place: person.disk.texts(place, person.key) for place in person.places}
        )
        person.shown_before = Counter({place: person.shown_in(place) for place in person.places})
        node.tell_what_is_said(lambda key, frame: self._truth.check_said(person, node, key, frame))
        node.subscribe(lambda event: self._told(person, node, event))
        node.startService()

    def kill(self, person: Person, *, is_power_cut: bool) -> None:
        """
        End somebody's node from one instant to the next.

        Args:
            person: Whose.
            is_power_cut: Whether nobody closes its connections.
        """
        if person.machine is None:
            return
        self._truth.check_shown(person, was_killed=True)
        # Of what was kept and not told yet nobody is told any more.
        person.forks_told.update(author for _, author in person.disk.forks)
        person.machine.switch_off(is_power_cut=is_power_cut)
        self._let_go(person)

    def _let_go(self, person: Person) -> None:
        if person.machine is not None and person.node is not None and person.journal is not None:
            self._killed.append((person.machine, person.node, person.journal))
        person.machine = person.node = person.journal = None
        person.is_stopping = False

    def stop(self, person: Person) -> None:
        """
        Let somebody leave in order; nothing may be left behind.
        """
        node, machine = person.node, person.machine
        if node is None or machine is None or person.is_stopping:
            return
        person.is_stopping = True

        def done(_: object) -> None:
            if person.machine is machine:
                self._truth.check_shown(person, was_killed=False)
                self.network.at(LONGEST_CLOSE, lambda: self._left(person, machine))

        node.stopService().addCallback(done).addErrback(self.blame_failure)

    def _left(self, person: Person, machine: Machine) -> None:
        if person.machine is not machine:
            return
        timers = [str(call) for call in machine.getDelayedCalls()]
        if timers or machine.wires or machine.ports:
            self.blame(
                f"{person.name} left behind {machine.wires} connections, "
                f"{len(machine.ports)} ports, and {timers}"
            )
        machine.switch_off(is_power_cut=False)
        self._let_go(person)

    def restore(self, person: Person) -> bool:
        """
        Put back what somebody's disk held at some time; the node is killed for that.

        Args:
            person: Whose.

        Returns:
            Whether that was done: not if it would make them say two things about who is in a room.
        """
        backup = person.backup
        if backup is None or self._has_ruled_since(person, backup):
            return False
        self.kill(person, is_power_cut=False)
        person.disk = backup.copy()
        person.is_forked = True
        return True

    def _has_ruled_since(self, person: Person, backup: Disk) -> bool:
        return any(
            entry.said.kind in MEMBERSHIP
            for chain, entries in person.disk.chains.items()
            if chain[1] == person.key
            for entry in entries[len(backup.chains.get(chain, ())) :]
        )

    def begin_twin(self, person: Person) -> None:
        """
        Start a second node with the key, and all else that somebody has.
        """
        name = f"{person.name}'"
        is_busy = person.journal is None or person.journal.is_busy
        if name in self.people or not person.is_honest or is_busy:
            # Of what is being written just now one would know and the other would not.
            return
        twin = Person(name, f"10.0.1.{len(self.people)}", person.identity, person.disk.copy())
        twin.is_forked = person.is_forked = twin.is_twin = True
        self.people[name] = twin
        self.start(twin)

    # What people do.

    def send(self, person: Person, recipient: Recipient, text: str) -> None:
        """
        Let somebody say something.
        """
        node, machine = person.node, person.machine
        assert node is not None  # noqa: S101 (it is running)
        person.waits += 1
        self._truth.note_typed(person, recipient, text)

        def sent(result: Sent) -> None:
            if person.machine is machine:
                person.waits -= 1
                self._truth.check_sent(person, node, recipient, text, result)

        def not_sent(failure: Failure) -> None:
            if person.machine is machine:
                person.waits -= 1
                failure.trap(ChatError)
                self.network.note("not sent", str(failure.value))

        node.send_text(recipient, text).addCallbacks(sent, not_sent).addErrback(self.blame_failure)

    def recall(self, person: Person, node: SimulatedNode, recipient: Recipient) -> None:
        """
        Let somebody take back what they said last.
        """
        person.recalls += 1

        def done(result: str | Failure) -> str | Failure:
            if person.node is node:
                person.recalls -= 1
            return result

        self.try_to(node.recall(recipient).addCallback(self.recalled.add).addBoth(done))

    def try_to(self, doing: Deferred[Any]) -> None:
        """
        Let somebody do what may be refused.
        """
        doing.addErrback(lambda failure: failure.trap(ChatError) and None)
        doing.addErrback(self.blame_failure)

    def blame_failure(self, failure: Failure) -> None:
        """
        Note that something failed that must not.
        """
        self.blame(failure.getTraceback())

    def _told(self, person: Person, node: SimulatedNode, event: Event) -> None:
        if person.node is not node:
            return
        self.network.note(person.name, type(event).__name__)
        self._truth.check_event(person, event)
        if isinstance(event, RoomChanged) and event.change is RoomChange.INVITED:
            self._think_about(person, node, event.room)

    def _think_about(self, person: Person, node: SimulatedNode, record: RoomRecord) -> None:
        chance = self.chance(f"join {person.name} {record.room.hex()}")
        # Whoever may say different things to different people does not say that they left.
        joins = chance.random() < 0.9 or not person.is_trusted

        def decide() -> None:
            if person.node is node and not person.is_stopping:
                room = RoomId(record.room)
                self.try_to(node.join(room) if joins else node.leave_room(room))

        self.network.at(chance.choice((0.0, 0.1, 5.0)), decide)

    # All of it.

    def run(self, steps: Iterable[tuple[float, Step]], last: str = "") -> Outcome:
        """
        Let it all happen, and see whether all is as it should be in the end.

        Args:
            steps: What happens, each after so many seconds.
            last: Who comes when the others hold the same already; empty for nobody.

        Returns:
            How it ended.
        """
        with self._watched():
            try:
                self._run(steps, last)
            except Exception:  # noqa: BLE001 (whatever it is, it is what was looked for)
                self.blame(format_exc())
            digest = self.network.digest
            fault = self.faults[0] if self.faults else ""
            for person in self.people.values():
                self.kill(person, is_power_cut=True)
            self._bury()
        return Outcome(tuple(self._trace), fault, digest)

    def _run(self, steps: Iterable[tuple[float, Step]], last: str) -> None:
        for pause, step in steps:
            self.network.run(pause, self.is_at_fault)
            if self.faults:
                return
            hindrance = step.apply(self)
            self._note(f"{step}{' - ' if hindrance else ''}{hindrance}")
            self._truth.check_receipts()
        if last:
            self._note(f"all is calm, and {last} is away")
            self._calm_down(last)
            self._wait_while(lambda: self._truth.differences_without(last), last)
        if self.faults:
            return
        self._note("all is calm")
        self._calm_down()
        self._wait_while(self._truth.differences)
        if self.faults:
            return
        self._note("all hold the same")
        stays_for = max(STAYS_FOR, self.late_until + STAYS_FOR - self.network.now)
        self.network.run(stays_for, self.is_at_fault)
        self.network.run(LONGEST_STOP, lambda: self.is_at_fault() or not self._is_writing())
        self._truth.check_end()
        if not self.faults:
            self._stop_all()

    def _wait_while(self, differences: Callable[[], list[str]], away: str = "") -> None:
        end = self.network.now + LONGEST_CALM
        while not self.faults and differences() and self.network.now < end:
            self.network.run(LOOK_EVERY, self.is_at_fault)
            self._start_all(away)
        if not self.faults and (left := differences()):
            self.blame(f"after {LONGEST_CALM:.0f} seconds of calm: {left[0]}")

    def settle(self, away: str = "") -> None:
        """
        Let nothing fail any more by chance.

        Args:
            away: Who is not started; empty for nobody.
        """
        self.network.is_calm = True
        self.network.reunite()
        for person in self.people.values():
            person.disk.is_full = False
            if person.journal is not None:
                person.journal.trap_at = None
        self._start_all(away)

    def _calm_down(self, away: str = "") -> None:
        if away:
            self.kill(self.people[away], is_power_cut=False)
        self.settle(away)
        for person in self.people.values():
            if person.is_twin:
                self.stop(person)

    def _start_all(self, away: str = "") -> None:
        for person in self.people.values():
            if not person.is_twin and person.name != away:
                self.start(person)

    def _stop_all(self) -> None:
        for person in self.people.values():
            self.stop(person)
        self.network.run(
            LONGEST_STOP + LONGEST_CLOSE,
            lambda: all(person.machine is None for person in self.people.values()),
        )
        for person in self.people.values():
            if person.machine is not None:
                self.blame(f"{person.name} did not come to an end")

    def _is_writing(self) -> bool:
        return any(one.journal is not None and one.journal.is_busy for one in self.people.values())

    def _bury(self) -> None:
        # What waits in a killed node would be woken when Python lets go of it, in no order that it
        # can expect. So it is stopped, on a machine that nobody can reach.
        self.faults.clear()
        for number, (machine, node, journal) in enumerate(self._killed):
            machine.is_on = True
            self.network.machines[f"grave {number}"] = machine
            journal.bury()
            node.stopService()
        self.network.run(LONGEST_STOP)

    def _note(self, what: str) -> None:
        self._trace.append(f"{self.network.now - START:10.3f} {what}")
        self.network.note(what)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        @implementer(ILogObserver)
        class Watch:
            def __call__(_, event: LogEvent) -> None:  # noqa: N805 (self is the world)
                self._logged(event)

        watch = Watch()
        globalLogPublisher.addObserver(watch)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(watch)

    def _logged(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None or event.get("log_level") in (LogLevel.error, LogLevel.critical):
            trace = failure.getTraceback() if failure is not None else ""
            self.blame(f"logged: {formatEvent(event)}\n{trace}")
        elif "broke the rules" in event.get("log_format", ""):
            # What liars say, and what they take for a lie, tells nothing.
            by_host = {person.host: person for person in self.people.values()}
            by_key = {person.key: person for person in self.people.values() if person.is_trusted}
            speaker, listener = by_host[event["host"]], event["log_source"].session.our_key
            if speaker.is_honest and listener in by_key:
                self.blame(f"logged: {formatEvent(event)} ({speaker.name})")
