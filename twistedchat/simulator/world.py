"""
The world of a simulation: people with nodes, what happens to them, and what has to be so at the end.
"""

from __future__ import annotations

import gc
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
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from twistedchat.core.addresses import Address
from twistedchat.core.entries import TEXT, Entry, direct_room
from twistedchat.core.errors import ChatError
from twistedchat.core.events import (
    CaughtUp,
    Event,
    ForkSeen,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    Sent,
    StoreFailed,
    TextReceived,
)
from twistedchat.core.history import Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import LEAVE, MEMBERSHIP, Membership
from twistedchat.core.roster import Recipient, RoomId
from twistedchat.core.trust import Contact, Contacts
from twistedchat.node import Node, Store, Surroundings
from twistedchat.simulator.disk import Disk, SimulatedJournal
from twistedchat.simulator.network import START, Machine, Network

__all__ = ["Outcome", "Person", "Step", "World", "simulate_steps"]

# Seconds after which everybody has to hold the same: twice the longest wait until somebody is dialled
# again, with all that may be added to it by chance.
LONGEST_QUIET = 1000.0

# Seconds between two looks whether they do; and how long it has to stay so.
LOOK_EVERY = 2.0
STAYS_FOR = 12.0

# Seconds for nodes to come to their end.
LONGEST_STOP = 10.0

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
            What became of it, in a word; empty where it is plain.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How a simulation ended.

    Attributes:
        trace: What happened, a line for each step.
        fault: What was not as it should be; empty where all was.
        digest: The same for the same run.
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
    # What was shown, by place: each text, and how many more were told as a number.
    shown: Counter[tuple[Place, DeviceKey, str]] = field(default_factory=Counter)
    caught_up: Counter[Place] = field(default_factory=Counter)
    # How many texts had come, and were shown, when the node began.
    came_before: Counter[Place] = field(default_factory=Counter)
    shown_before: Counter[Place] = field(default_factory=Counter)
    waits: int = 0

    @property
    def key(self) -> DeviceKey:
        """
        Who they are.
        """
        return self.identity.key

    def shown_in(self, place: Place) -> int:
        """
        How many texts they were told of in a place.
        """
        lines = sum(count for (where, *_), count in self.shown.items() if where == place)
        return lines + self.caught_up[place]


class SimulatedNode(Node):
    """
    A node that can be made to say what it should not.
    """

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
    Somebody's key: always the same for the same name.
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
        faults: What was not as it should be.
    """

    def __init__(
        self,
        seed: str,
        names: Sequence[str],
        liars: Iterable[str] = (),
        strangers: Iterable[tuple[str, str]] = (),
        *,
        is_tls_real: bool,
    ) -> None:
        self.network = Network(seed, is_tls_real=is_tls_real)
        self.people: dict[str, Person] = {}
        self._strangers = {frozenset(pair) for pair in strangers}
        self.rooms: dict[int, bytes] = {}
        self.founders: dict[int, str] = {}
        self.void: set[str] = set()
        self.recalled: set[str] = set()
        self.faults: list[str] = []
        self._trace: list[str] = []
        self._boots = 0
        self._seed = seed
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
                if other is not person and not self._are_strangers(person, other)
            ]

    def _are_strangers(self, one: Person, other: Person) -> bool:
        return frozenset((one.name, other.name)) in self._strangers

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
        """
        if isinstance(where, int):
            room = self.rooms.get(where)
            return RoomId(room) if room is not None else None
        return self.people[where].key if where in self.people and where != name else None

    def honest(self) -> list[Person]:
        """
        Those whose nodes do what they should, each of whom has one with all that it ever had.
        """
        return [one for one in self.people.values() if one.is_honest and not one.is_forked]

    def may_rule(self, name: str) -> bool:
        """
        Whether somebody may say who is in a room: not where they say different things to different
        people, so that there is no truth to be found.
        """
        return any(one.name == name for one in self.honest())

    def blame(self, fault: str) -> None:
        """
        Something is not as it should be.
        """
        self.faults.append(fault)

    # What happens.

    def start(self, person: Person) -> None:
        """
        Switch somebody's machine on, and start the node there.
        """
        if person.machine is not None:
            return
        self._boots += 1
        chance = self.chance(f"boot {self._boots} {person.name}")
        machine = self.network.boot(person.host, person.identity, person.ahead)
        person.machine = machine
        person.journal = SimulatedJournal(
            machine,
            person.disk,
            person.key,
            chance,
            lambda entries: self._committed(person, entries),
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
        store = Store(
            person.identity,
            Contacts(person.disk.contacts),
            person.journal.keep_contacts,
            person.journal,
        )
        person.node = SimulatedNode(
            surroundings,
            store,
            [TCP4ServerEndpoint(machine, PORT, interface=person.host)],
            team=person.name,
            port=PORT,
        )
        person.came_before = Counter(
            {place: person.disk.texts(place, person.key) for place in self._places(person)}
        )
        person.shown_before = Counter(
            {place: person.shown_in(place) for place in self._places(person)}
        )
        person.waits = 0
        node = person.node
        node.subscribe(lambda event: self._told(person, node, event))
        node.startService()

    def kill(self, person: Person, *, is_power_cut: bool) -> None:
        """
        End somebody's node from one instant to the next.
        """
        if person.machine is None:
            return
        self._check_shown(person, was_killed=True)
        person.machine.switch_off(is_power_cut=is_power_cut)
        self._let_go(person)

    def _let_go(self, person: Person) -> None:
        if person.machine is not None and person.node is not None and person.journal is not None:
            self._killed.append((person.machine, person.node, person.journal))
        person.machine = person.node = person.journal = None
        person.is_stopping = False

    def restore(self, person: Person) -> bool:
        """
        Put back what somebody's disk held at some time; the node has to be killed for that.

        Returns:
            Whether that was done: not if it would make them say two things about who is in a room.
        """
        backup = person.backup
        if backup is None or self._has_ruled(person, backup):
            return False
        self.kill(person, is_power_cut=False)
        person.disk = backup.copy()
        person.is_forked = True
        return True

    def _has_ruled(self, person: Person, backup: Disk) -> bool:
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
        if name in self.people or not person.is_honest:
            return
        twin = Person(name, f"10.0.1.{len(self.people)}", person.identity, person.disk.copy())
        twin.is_forked = person.is_forked = twin.is_twin = True
        self.people[name] = twin
        self.start(twin)

    def stop(self, person: Person) -> None:
        """
        Let somebody leave in order.
        """
        node, machine = person.node, person.machine
        if node is None or machine is None or person.is_stopping:
            return
        person.is_stopping = True
        stopped = node.stopService()

        def done(_: object) -> None:
            if person.machine is machine:
                self._check_shown(person, was_killed=False)
                self.network.at(5.0, lambda: self._left(person, machine))

        stopped.addCallback(done).addErrback(self._blame_failure)

    def _left(self, person: Person, machine: Machine) -> None:
        if person.machine is not machine:
            return
        left = [str(call) for call in machine.getDelayedCalls()]
        if left or machine.wires or machine.ports:
            self.blame(
                f"{person.name} left behind {left}, {machine.wires} connections, "
                f"{len(machine.ports)} ports"
            )
        machine.switch_off(is_power_cut=False)
        self._let_go(person)

    def _blame_failure(self, failure: Failure) -> None:
        self.blame(failure.getTraceback())

    def send(self, person: Person, recipient: Recipient, text: str) -> None:
        """
        Let somebody say something.
        """
        node, machine = person.node, person.machine
        assert node is not None  # noqa: S101 (it is running)
        person.waits += 1

        def sent(result: Sent) -> None:
            if person.machine is machine:
                person.waits -= 1
                self._check_sent(person, recipient, text, result)

        def not_sent(failure: Failure) -> None:
            if person.machine is machine:
                person.waits -= 1
                failure.trap(ChatError)
                self.network.note("not sent", str(failure.value))

        node.send_text(recipient, text).addCallbacks(sent, not_sent).addErrback(self._blame_failure)

    def try_to(self, doing: Deferred[Any]) -> None:
        """
        Let somebody do what may be refused.
        """
        doing.addErrback(lambda failure: failure.trap(ChatError) and None)
        doing.addErrback(self._blame_failure)

    def _told(self, person: Person, node: Node, event: Event) -> None:
        if person.node is not node:
            return
        self.network.note(person.name, type(event).__name__)
        match event:
            case TextReceived(contact=contact, text=text):
                self._count_shown(person, direct_room(person.key, contact.key), contact.key, text)
            case RoomTextReceived(room=record, speaker=speaker, text=text):
                self._count_shown(person, record.room, speaker.key, text)
            case CaughtUp(place=place, texts=texts):
                where = place.room if isinstance(place, RoomRecord) else None
                person.caught_up[where or direct_room(person.key, place.key)] += texts  # type: ignore[union-attr]
            case ForkSeen(contact=speaker):
                forked = [one.key for one in self.people.values() if one.is_forked]
                if speaker.key not in forked:
                    self.blame(f"{person.name} was told that {speaker.name} has forked")
            case StoreFailed(reason=reason):
                if person.journal is None or not (person.disk.is_full or person.journal.fails):
                    self.blame(f"{person.name} was told that the store failed: {reason}")
            case RoomChanged(room=record, change=RoomChange.INVITED):
                self._think_about(person, node, record)
            case _:
                pass

    def _count_shown(self, person: Person, place: Place, author: DeviceKey, text: str) -> None:
        one = (place, author, text)
        person.shown[one] += 1
        if person.shown[one] > 1 and not person.is_forked:
            self.blame(f"{person.name} was shown {text[:40]!r} twice")

    def _think_about(self, person: Person, node: Node, record: RoomRecord) -> None:
        chance = self.chance(f"join {person.name} {record.room.hex()}")
        joins = chance.random() < 0.9

        def decide() -> None:
            if person.node is node and not person.is_stopping:
                room = RoomId(record.room)
                self.try_to(node.join(room) if joins else node.leave_room(room))

        self.network.at(chance.choice((0.0, 0.1, 5.0)), decide)

    # What has to be so at any time.

    def _places(self, person: Person) -> set[bytes]:
        return {room for room, _ in person.disk.chains}

    def _committed(self, person: Person, entries: Sequence[Entry]) -> None:
        authors = {one.key: one for one in self.honest()}
        for entry in entries:
            author = authors.get(entry.author)
            if author is None or author is person:
                continue
            theirs = author.disk.chains.get((entry.room, entry.author), [])
            if len(theirs) < entry.seq or theirs[entry.seq - 1].hash != entry.hash:
                self.blame(
                    f"{person.name} holds entry {entry.seq} of {author.name}, who does not"
                )

    def _check_sent(self, person: Person, recipient: Recipient, text: str, result: Sent) -> None:
        node = person.node
        if node is None:
            return
        self.network.note("sent", result.progress.name)
        place = node.place_of(recipient)
        assert isinstance(place, bytes)  # noqa: S101 (nobody here is classic)
        holders = [person]
        if result.progress is Progress.DELIVERED:
            keys = [recipient]
            if isinstance(recipient, RoomId):
                keys = [one.key for one in node.members(recipient)]
            holders += [one for one in self.honest() if one.key in keys]
        for holder in holders:
            entries = holder.disk.chains.get((place, person.key), [])
            body = "".join(one.said.body for one in entries if one.said.kind == TEXT)
            was_recalled = any(piece in text for piece in self.recalled)
            if text not in body and not person.is_forked and not was_recalled:
                self.blame(
                    f"{person.name} was told {result.progress.name} of {text[:40]!r}, "
                    f"and {holder.name} has it not"
                )

    def _check_receipts(self) -> None:
        honest = {one.key: one for one in self.honest()}
        for person in honest.values():
            for (room, key), seq in person.disk.receipts.items():
                holder = honest.get(key)
                if holder is None or not seq:
                    continue
                ours = person.disk.chains.get((room, person.key), [])
                theirs = holder.disk.chains.get((room, person.key), [])
                if len(theirs) < seq or theirs[seq - 1].hash != ours[seq - 1].hash:
                    self.blame(f"{person.name} has a receipt of {holder.name} for {seq}: not true")

    def _check_shown(self, person: Person, *, was_killed: bool) -> None:
        if person not in self.honest():
            return
        for place in self._places(person):
            came = person.disk.texts(place, person.key) - person.came_before[place]
            shown = person.shown_in(place) - person.shown_before[place]
            void = self._void_texts(person, place)
            if shown > came or (shown < came - void and not was_killed):
                where = [number for number, room in self.rooms.items() if room == place]
                self.blame(
                    f"{person.name} was shown {shown} of {came} texts in {where or 'a direct one'}"
                )

    def _void_texts(self, person: Person, room: bytes) -> int:
        # Texts that came and are no part of the room, such as those of somebody who had left.
        if room not in self.rooms.values():
            return 0
        entries = person.disk.entries(room)
        membership = Membership(room)
        membership.take(entries)
        return sum(
            one.said.kind == TEXT and not membership.counts(one.author, one.seq)
            for one in entries
            if one.author != person.key
        )

    # The end.

    def calm_down(self) -> None:
        """
        Let nothing go wrong any more, and everybody be there.
        """
        self.network.is_calm = True
        self.network.reunite()
        for person in self.people.values():
            person.disk.is_full = False
            if person.journal is not None:
                person.journal.trap_at = None
            if not person.is_twin:
                self.start(person)
        for person in self.people.values():
            if person.is_twin:
                self.stop(person)

    def differences(self) -> list[str]:
        """
        What is not the same for everybody yet.
        """
        found: list[str] = []
        people = [one for one in self.people.values() if one.is_honest and not one.is_twin]
        for person in people:
            if person.node is None or person.is_stopping:
                found.append(f"{person.name} is away")
            elif person.waits:
                found.append(f"{person.name} waits for {person.waits} answers")
        for one in people:
            for other in people:
                if one.key < other.key:
                    room = direct_room(one.key, other.key)
                    for author in (one, other):
                        if self._are_strangers(one, other) or author.is_forked:
                            continue
                        chain = (room, author.key)
                        held, there = (len(who.disk.chains.get(chain, ())) for who in (one, other))
                        if held != there:
                            found.append(
                                f"of {author.name} {one.name} has {held} and {other.name} {there}"
                            )
        for number in self.rooms:
            found += self._differences_in(number)
        return found

    def _differences_in(self, number: int) -> Iterator[str]:
        room = self.rooms[number]
        stays = {
            one: {record.room: record.stay for record in one.node.rooms()}
            for one in self.people.values()
            if one.node is not None and one.is_honest and not one.is_twin
        }
        joined = [one for one in stays if stays[one].get(room) is Stay.JOINED]
        seen = {
            one: {who.key for who in one.node.members(RoomId(room))} if one.node else set()
            for one in joined
        }
        # All that those hold together who take themselves for members.
        longest: dict[DeviceKey, list[Entry]] = {}
        for person in joined:
            if person.key in seen[person]:
                for (of, author), entries in person.disk.chains.items():
                    if of == room and len(entries) > len(longest.get(author, ())):
                        longest[author] = entries
        truth = Membership(room)
        truth.take([entry for entries in longest.values() for entry in entries])
        members = {one.key for one in truth.members() if one.is_in}
        forked = {one.key for one in self.people.values() if one.is_forked}
        for person in stays:
            if person.is_forked:
                continue
            ours = person.disk.chains.get((room, person.key), [])
            has_left = room not in stays[person] and ours and ours[-1].said.kind == LEAVE
            if person.key in members and has_left:
                yield f"{person.name} has left {number}, and nobody knows"
        inside = [one for one in joined if one.key in members]
        held = {
            one: {
                (author, count)
                for (of, author), entries in one.disk.chains.items()
                if of == room and author not in forked
                for count in [sum(truth.counts(author, entry.seq) for entry in entries)]
                if count
            }
            for one in inside
        }
        wanted = {
            author: max(count for counts in held.values() for who, count in counts if who == author)
            for author in {who for counts in held.values() for who, _ in counts}
        }
        for person in inside:
            if held[person] != set(wanted.items()):
                yield f"{person.name} in {number}: {self._in_words(held[person] ^ set(wanted.items()))}"
            if seen[person] - forked != members - forked:
                yield f"{person.name} sees {len(seen[person])} of {len(members)} in {number}"

    def _in_words(self, counts: Iterable[tuple[DeviceKey, int]]) -> str:
        names = {one.key: one.name for one in self.people.values()}
        return ", ".join(sorted(f"{count} of {names.get(key, '?')}" for key, count in counts))

    def check_end(self) -> None:
        """
        See whether all is as it should be when everybody holds the same.
        """
        self._check_receipts()
        self._check_histories()
        self._check_strangers()
        for person in self.honest():
            if person.node is not None:
                self._check_shown(person, was_killed=False)

    def _check_strangers(self) -> None:
        for pair in self._strangers:
            one, other = (self.people[name] for name in sorted(pair))
            room = direct_room(one.key, other.key)
            for person in (one, other):
                if room in self._places(person):
                    self.blame(f"{one.name} and {other.name} do not know each other, and talked")

    def _check_histories(self) -> None:
        for person in self.honest():
            node = person.node
            if node is None:
                continue
            for room in self.rooms.values():
                lines: list[str] = []
                node.history(room, 0.0, None, 10_000).addCallback(
                    lambda found, lines=lines: lines.extend(line.text for line in found)
                )
                if void := self.void.intersection(lines):
                    self.blame(f"{person.name} takes {min(void)!r} for a part of a room")

    # All of it.

    def run(self, steps: Iterable[tuple[float, Step]]) -> Outcome:
        """
        Let it all happen.

        Args:
            steps: What happens, each after so many seconds.

        Returns:
            How it ended.
        """
        with self._watched():
            try:
                self._run(steps)
            except Exception:  # noqa: BLE001 (whatever it is, it is what was looked for)
                self.blame(format_exc())
            digest = self.network.digest
            if self.faults:
                for person in self.people.values():
                    self.kill(person, is_power_cut=True)
            self._bury()
        fault = self.faults[0] if self.faults else ""
        return Outcome(tuple(self._trace), fault, digest)

    def _run(self, steps: Iterable[tuple[float, Step]]) -> None:
        for pause, step in steps:
            self.network.run(pause, lambda: bool(self.faults))
            if self.faults:
                return
            became = step.apply(self)
            self.note(f"{step}{' - ' if became else ''}{became}")
            self._check_receipts()
        self.note("all is calm")
        self.calm_down()
        end = self.network.now + LONGEST_QUIET
        while not self.faults and self.differences() and self.network.now < end:
            self.network.run(LOOK_EVERY, lambda: bool(self.faults))
            for person in self.people.values():
                if not person.is_twin:
                    self.start(person)
        if self.faults:
            return
        if left := self.differences():
            self.blame(f"after {LONGEST_QUIET:.0f} seconds: {left[0]}")
            return
        self.note("all hold the same")
        self.network.run(STAYS_FOR, lambda: bool(self.faults))
        self.network.run(LONGEST_STOP, lambda: bool(self.faults) or not self._is_busy())
        self.check_end()
        if self.faults:
            return
        for person in self.people.values():
            self.stop(person)
        self.network.run(LONGEST_STOP, lambda: all(not one.machine for one in self.people.values()))
        for person in self.people.values():
            if person.machine is not None:
                self.blame(f"{person.name} did not come to an end")

    def _is_busy(self) -> bool:
        return any(one.journal is not None and one.journal.is_busy for one in self.people.values())

    def _bury(self) -> None:
        # What waits in a killed node would be woken when it is let go of, and wonder. So it is ended
        # in order, on a machine that nobody can reach.
        for number, (machine, node, journal) in enumerate(self._killed):
            machine.is_on = True
            self.network.machines[f"grave {number}"] = machine
            journal.bury()
            node.stopService()
        self.network.run(LONGEST_STOP)

    def note(self, what: str) -> None:
        """
        Write a line of the trace.
        """
        self._trace.append(f"{self.network.now - START:10.3f} {what}")
        self.network.note(what)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        def watch(event: LogEvent) -> None:
            level = event.get("log_level")
            if "log_failure" in event or level in (LogLevel.error, LogLevel.critical):
                failure = event.get("log_failure")
                trace = failure.getTraceback() if failure is not None else ""
                self.blame(f"logged: {formatEvent(event)}\n{trace}")
            elif "broke the rules" in event.get("log_format", ""):
                source = event["log_source"]
                told = {one.key for one in self.honest()}
                person = {one.host: one for one in self.people.values()}.get(event["host"])
                if person is not None and person.is_honest and source.session.our_key in told:
                    self.blame(f"logged: {formatEvent(event)} ({person.name})")

        globalLogPublisher.addObserver(watch)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(watch)


def simulate_steps(
    seed: str,
    names: Sequence[str],
    steps: Iterable[tuple[float, Step]],
    liars: Iterable[str] = (),
    strangers: Iterable[tuple[str, str]] = (),
    *,
    is_tls_real: bool = False,
) -> Outcome:
    """
    Let something happen to some people.

    Args:
        seed: What chance begins with.
        names: Who there is.
        steps: What happens, each after so many seconds.
        liars: Who of them lies.
        strangers: Pairs of those who do not know each other.
        is_tls_real: Whether connections are really encrypted.

    Returns:
        How it ended.
    """
    return World(seed, names, liars, strangers, is_tls_real=is_tls_real).run(steps)
