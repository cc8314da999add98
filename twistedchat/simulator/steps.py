"""
What can happen in a simulation, and what does by chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from msgspec import json

from twistedchat.core.entries import (
    LARGEST_NUMBER,
    NOTHING,
    TEXT,
    Entry,
    Run,
    Said,
    direct_room,
    sign_run,
)
from twistedchat.core.frames import Card, Have, encode_frame, frame_of_run
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.rooms import FOUND, NONCE_LENGTH, room_of
from twistedchat.core.roster import RoomId
from twistedchat.core.sync import run_from
from twistedchat.simulator.disk import Trap
from twistedchat.simulator.world import Person, SimulatedNode, Step, World, identity_of

__all__ = ["Schedule", "schedule_of"]


@dataclass(frozen=True, slots=True)
class Start:
    """
    Somebody comes, with a clock that is wrong.
    """

    who: str
    ahead: int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        person = world.people[self.who]
        if person.machine is not None:
            return "is there"
        person.ahead = self.ahead
        world.start(person)
        return ""


@dataclass(frozen=True, slots=True)
class Stop:
    """
    Somebody leaves in order.
    """

    who: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        world.stop(world.people[self.who])
        return ""


@dataclass(frozen=True, slots=True)
class Kill:
    """
    A node is killed, or its machine loses power.
    """

    who: str
    is_power_cut: bool

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        world.kill(world.people[self.who], is_power_cut=self.is_power_cut)
        return ""


@dataclass(frozen=True, slots=True)
class KillAt:
    """
    A node is going to be killed around a commit.
    """

    who: str
    where: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        journal = world.people[self.who].journal
        if journal is None:
            return "is away"
        journal.trap_at = self.where
        return ""


@dataclass(frozen=True, slots=True)
class Jump:
    """
    A clock is set.
    """

    who: str
    seconds: int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        machine = world.people[self.who].machine
        if machine is None:
            return "is away"
        machine.ahead += self.seconds
        return ""


@dataclass(frozen=True, slots=True)
class FillDisk:
    """
    There is no room left on a disk, or there is again.
    """

    who: str
    is_full: bool

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        world.people[self.who].disk.is_full = self.is_full
        return ""


@dataclass(frozen=True, slots=True)
class Break:
    """
    All connections between two people break.
    """

    who: str
    other: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        world.network.break_links(world.people[self.who].host, world.people[self.other].host)
        return ""


@dataclass(frozen=True, slots=True)
class Separate:
    """
    Nothing goes between some people and the others.
    """

    some: tuple[str, ...]

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        for one in world.people.values():
            for other in world.people.values():
                if (one.name in self.some) != (other.name in self.some):
                    world.network.separate(one.host, other.host)
        return ""


@dataclass(frozen=True, slots=True)
class Reunite:
    """
    Everything goes everywhere again.
    """

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        world.network.reunite()
        return ""


@dataclass(frozen=True, slots=True)
class Say:
    """
    Somebody says something, once or many times.
    """

    who: str
    where: str | int
    name: str
    times: int
    size: int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        recipient = world.place_of(self.who, self.where)
        if self.who not in world.people or world.node_of(self.who) is None or recipient is None:
            return "cannot"
        for number in range(self.times):
            text = f"{self.name}.{number}"
            text += "".join(f" {text}:{more}" for more in range(self.size))
            world.send(world.people[self.who], recipient, text)
        return ""


@dataclass(frozen=True, slots=True)
class Look:
    """
    Somebody looks at what came.
    """

    who: str
    where: str | int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        node, place = world.node_of(self.who), world.place_of(self.who, self.where)
        if node is None or place is None:
            return "cannot"
        node.looked_at([node.place_of(place)])
        return ""


@dataclass(frozen=True, slots=True)
class Recall:
    """
    Somebody takes back what they said last.
    """

    who: str
    where: str | int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        node, place = world.node_of(self.who), world.place_of(self.who, self.where)
        if node is None or place is None:
            return "cannot"
        world.try_to(node.recall(place).addCallback(world.recalled.add))
        return ""


@dataclass(frozen=True, slots=True)
class Found:
    """
    Somebody founds a room.
    """

    who: str
    room: int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        node = world.node_of(self.who)
        if node is None or self.room in world.rooms or not world.may_rule(self.who):
            return "cannot"

        def founded(record: object) -> None:
            world.rooms[self.room] = record.room

        world.founders[self.room] = self.who
        world.try_to(node.make_room(f"room {self.room}").addCallback(founded))
        return ""


@dataclass(frozen=True, slots=True)
class Add:
    """
    Somebody adds somebody to a room.
    """

    who: str
    room: int
    whom: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        node, room = world.node_of(self.who), world.rooms.get(self.room)
        if node is None or room is None or self.who == self.whom or not world.may_rule(self.who):
            return "cannot"
        world.try_to(node.add_to(RoomId(room), world.people[self.whom].key))
        return ""


@dataclass(frozen=True, slots=True)
class Remove:
    """
    Somebody is removed from a room.
    """

    room: int
    whom: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        founder, room = world.founders.get(self.room, ""), world.rooms.get(self.room)
        node = world.node_of(founder)
        if node is None or room is None or not world.may_rule(founder):
            return "cannot"
        world.try_to(node.remove_from(RoomId(room), world.people[self.whom].key))
        return ""


@dataclass(frozen=True, slots=True)
class Leave:
    """
    Somebody leaves a room, or declines to come.
    """

    who: str
    room: int

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        node, room = world.node_of(self.who), world.rooms.get(self.room)
        if node is None or room is None or not world.may_rule(self.who):
            return "cannot"
        world.try_to(node.leave_room(RoomId(room)))
        return ""


@dataclass(frozen=True, slots=True)
class Backup:
    """
    Somebody copies their disk.
    """

    who: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        person = world.people[self.who]
        person.backup = person.disk.copy()
        return ""


@dataclass(frozen=True, slots=True)
class Restore:
    """
    Somebody puts the copy back, and says what they like before the others have told what is gone.
    """

    who: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        return "" if world.restore(world.people[self.who]) else "cannot"


@dataclass(frozen=True, slots=True)
class Twin:
    """
    Somebody starts a second node with a copy of their disk.
    """

    who: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        if world.node_of(self.who) is None:
            return "cannot"
        world.begin_twin(world.people[self.who])
        return ""


@dataclass(frozen=True, slots=True)
class Lie:
    """
    Somebody sends to somebody what an honest node never does.
    """

    who: str
    whom: str
    room: int
    how: str
    name: str

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        liar, node = world.people[self.who], world.node_of(self.who)
        if liar.is_honest or node is None or self.room not in world.rooms:
            return "cannot"
        lies = Lies(world, liar, node, world.rooms[self.room], self.name)
        lines = getattr(lies, self.how)(world.people[self.whom])
        has_sent = [node.say_anything(world.people[self.whom].key, line) for line in lines]
        return "" if all(has_sent) else "nobody hears it"


class Lies:
    """
    What a liar can say.

    Each way of lying gives the lines to send to somebody.

    Args:
        world: Where.
        liar: Who.
        node: Their node.
        room: In which room.
        name: What to call what they say.
    """

    ALL = (
        "claims_more",
        "denies",
        "forges",
        "repeats",
        "moves",
        "speaks_elsewhere",
        "speaks_for_outsider",
        "speaks_after_end",
        "forks",
        "babbles",
        "invites_to_nowhere",
        "invites_stranger",
        "says_it_was_long_ago",
        "says_it_will_be",
    )

    def __init__(
        self, world: World, liar: Person, node: SimulatedNode, room: bytes, name: str
    ) -> None:
        self._world = world
        self._liar = liar
        self._node = node
        self._room = room
        self._name = name
        self._chance = world.chance(name)

    def _chains(self, room: bytes) -> dict[DeviceKey, list[Entry]]:
        chains = self._liar.disk.chains.items()
        return {author: those for (of, author), those in chains if of == room and those}

    def _any_chain(self) -> tuple[DeviceKey, list[Entry]]:
        chains = self._chains(self._room)
        if not chains:
            return self._liar.key, []
        author = self._chance.choice(sorted(chains))
        return author, chains[author]

    def _next(self, author: Identity, text: str) -> Run:
        before = self._chains(self._room).get(author.key, [])
        prev = before[-1].hash if before else NOTHING
        said = (Said(int(self._world.network.now * 1_000_000), TEXT, text),)
        return sign_run(author, self._room, len(before) + 1, prev, said)[0]

    def claims_more(self, whom: Person) -> list[bytes]:
        """
        That it holds what there is not.
        """
        author, entries = self._any_chain()
        told = (len(entries) + self._chance.choice((1, 30, 10**6)), "ab" * 32)
        return [encode_frame(Have(rooms={self._room.hex(): {str(author): told}}))]

    def denies(self, whom: Person) -> list[bytes]:
        """
        That it holds anything.
        """
        held = {str(author): (0, "00" * 32) for author in self._chains(self._room)}
        return [encode_frame(Have(rooms={self._room.hex(): held}, again=True))]

    def forges(self, whom: Person) -> list[bytes]:
        """
        What somebody else has not said.
        """
        author, entries = self._any_chain()
        if author == self._liar.key:
            author, entries = self._world.people["ann"].key, []
        run = self._next(self._liar.identity, f"{self._name} forged")
        self._world.void.add(f"{self._name} forged")
        seq = len(entries) + 1
        prev = entries[-1].hash if entries else NOTHING
        return [encode_frame(frame_of_run(replace(run, author=author, seq=seq, prev=prev)))]

    def repeats(self, whom: Person) -> list[bytes]:
        """
        What it has said before.
        """
        _, entries = self._any_chain()
        return [encode_frame(frame_of_run(run_from(entries)))] * 2 if entries else []

    def moves(self, whom: Person) -> list[bytes]:
        """
        In another room what was said in one.
        """
        _, entries = self._any_chain()
        rooms = [room for room in self._world.rooms.values() if room != self._room]
        rooms.append(direct_room(self._liar.key, whom.key))
        if not entries:
            return []
        run = replace(run_from(entries), room=self._chance.choice(rooms))
        return [encode_frame(frame_of_run(run))]

    def speaks_elsewhere(self, whom: Person) -> list[bytes]:
        """
        In a room that is none, or that of two others.
        """
        others = [one.key for one in self._world.people.values() if one is not self._liar]
        rooms = [b"no room that anybody made before"[:32], direct_room(others[0], others[-1])]
        said = (Said(0, TEXT, f"{self._name} elsewhere"),)
        room = self._chance.choice(rooms)
        run, _ = sign_run(self._liar.identity, room, 1, NOTHING, said)
        return [encode_frame(frame_of_run(run))]

    def speaks_for_outsider(self, whom: Person) -> list[bytes]:
        """
        What somebody has really said, who is in no room.
        """
        text = f"{self._name} outside"
        self._world.void.add(text)
        return [encode_frame(frame_of_run(self._next(identity_of("mallory"), text)))]

    def speaks_after_end(self, whom: Person) -> list[bytes]:
        """
        Something, whether it may or not.
        """
        run = self._next(self._liar.identity, f"{self._name} after")
        # Two things with one number, if its node says something, too.
        self._liar.is_forked = True
        return [encode_frame(frame_of_run(run))]

    def forks(self, whom: Person) -> list[bytes]:
        """
        Two things with one number, one of them to whoever is there beside.
        """
        self._liar.is_forked = True
        one, other = (
            encode_frame(frame_of_run(self._next(self._liar.identity, f"{self._name} {which}")))
            for which in ("one", "other")
        )
        for person in self._world.people.values():
            if person is not whom:
                self._node.say_anything(person.key, other)
        return [one]

    def babbles(self, whom: Person) -> list[bytes]:
        """
        Nothing that means anything.
        """
        return [self._chance.choice((b"{}", b"\x00" * 100, b'{"t":"run"}', b'{"t":"hello"}'))]

    def invites_to_nowhere(self, whom: Person) -> list[bytes]:
        """
        An invitation to a room with another's name, or of somebody who has not founded it.
        """
        is_real = self._chance.random() < 0.5
        founder = self._liar.key if is_real else whom.key
        nonce = bytes(range(NONCE_LENGTH))
        room = room_of(founder, nonce) if is_real else self._room
        return [_card(room, founder, nonce)]

    def invites_stranger(self, whom: Person) -> list[bytes]:
        """
        An invitation to a room in which it may be, and the other is not.
        """
        for entry in self._liar.disk.entries(self._room):
            if entry.said.kind == FOUND:
                nonce = bytes.fromhex(json.decode(entry.said.body)["nonce"])
                return [_card(self._room, entry.author, nonce)]
        return []

    def says_it_was_long_ago(self, whom: Person) -> list[bytes]:
        """
        Something by its own node, with a time that is past.
        """
        return self._say_at(0)

    def says_it_will_be(self, whom: Person) -> list[bytes]:
        """
        Something by its own node, with the last time that there is.
        """
        return self._say_at(LARGEST_NUMBER - 1)

    def _say_at(self, time: int) -> list[bytes]:
        machine, journal = self._liar.machine, self._liar.journal
        if machine is None or journal is None:
            return []
        ahead, machine.ahead = machine.ahead, int(time / 1_000_000 - self._world.network.now)
        journal.time_to_tell = time
        self._world.send(self._liar, RoomId(self._room), f"{self._name} when")
        machine.ahead, journal.time_to_tell = ahead, None
        return []


def _card(room: bytes, founder: DeviceKey, nonce: bytes) -> bytes:
    numbers = {"seen": LARGEST_NUMBER, "word": LARGEST_NUMBER}
    card = Card(
        room=room.hex(), name="a lie", founder=str(founder), nonce=nonce.hex(), **numbers
    )
    return encode_frame(card)


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    What happens, and to whom.

    Attributes:
        seed: What chance begins with.
        names: Who there is.
        liars: Who of them lies.
        strangers: Pairs of those who do not know each other.
        is_tls_real: Whether connections are really encrypted.
        steps: What happens, each after so many seconds.
    """

    seed: int
    names: tuple[str, ...]
    liars: tuple[str, ...]
    strangers: tuple[tuple[str, str], ...]
    is_tls_real: bool
    steps: tuple[tuple[float, Step], ...]


NAMES = ("ann", "bob", "cy", "dee")
WEEK = 7 * 24 * 3600
PAUSES = (0.0, 0.02, 0.3, 2.0, 10.0, 40.0)


def schedule_of(seed: int) -> Schedule:
    """
    What happens with a seed.
    """
    chance = Random(f"{seed} steps")  # noqa: S311 (nobody has to guess it)
    names = NAMES[: chance.choice((2, 3, 3, 4))]
    steps: list[tuple[float, Step]] = [
        (chance.choice((0.0, 0.5)), Start(name, _offset(chance))) for name in names
    ]
    steps.append((chance.choice((0.1, 3.0)), Found("ann", 0)))
    for name in names[1:]:
        if chance.random() < 0.8:
            steps.append((chance.choice((0.3, 2.0)), Add("ann", 0, name)))
    liars = (chance.choice(names[1:]),) if chance.random() < 0.3 else ()
    count = chance.choice((10, 20, 30))
    for number in range(count):
        steps.append((chance.choice(PAUSES), _step(chance, names, liars, number)))
    strangers = _strangers(chance, names) if chance.random() < 0.4 else ()
    return Schedule(seed, names, liars, strangers, seed % 8 == 0, tuple(steps))


def _strangers(chance: Random, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    # Everybody knows somebody, so that all hang together.
    known = {(chance.choice(names[:index]), name) for index, name in enumerate(names) if index}
    return tuple(
        (one, other)
        for index, other in enumerate(names)
        for one in names[:index]
        if (one, other) not in known and chance.random() < 0.7
    )


def _offset(chance: Random) -> int:
    return chance.choice((0, 0, chance.randint(-10, 10), chance.randint(-WEEK, WEEK)))


def _step(
    chance: Random, names: tuple[str, ...], liars: tuple[str, ...], number: int
) -> Step:
    who, other = chance.sample(names, 2)
    room = 0 if chance.random() < 0.8 else 1
    where: str | int = other if chance.random() < 0.4 else room
    kind = chance.random()
    if liars and kind < 0.25:
        whom = chance.choice([name for name in names if name not in liars])
        return Lie(liars[0], whom, room, chance.choice(Lies.ALL), f"lie{number}")
    if kind < 0.5:
        if chance.random() < 0.1:
            who += "'"
        times = chance.choice((1, 1, 1, 3, 30))
        size = chance.choice((0, 0, 0, 0, 1500)) if times == 1 else 0
        return Say(who, where, f"{who}{number}", times, size)
    other_steps: list[Step] = [
        Start(who, _offset(chance)),
        Start(who, _offset(chance)),
        Start(who, _offset(chance)),
        Stop(who),
        Kill(who, chance.random() < 0.3),
        KillAt(who, chance.choice(Trap.ALL)),
        KillAt(who, chance.choice(Trap.ALL)),
        Jump(who, chance.choice((-60, -1, 1, 3600, WEEK))),
        FillDisk(who, True),
        FillDisk(who, False),
        Break(who, other),
        Separate((who,) if chance.random() < 0.6 else (who, other)),
        Reunite(),
        Reunite(),
        Look(who, where),
        Recall(who, where),
        Backup(who),
        Restore(who),
        Twin(who),
        Found(who, 1),
        Add(who, room, other),
        Add(who, room, other),
        Remove(room, other),
        Leave(who, room),
    ]
    return chance.choice(other_steps)
