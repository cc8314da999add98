"""
What can happen in a simulation, and what does by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from twistedchat.core.roster import RoomId
from twistedchat.simulator.disk import Trap
from twistedchat.simulator.world import Step, World

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
    count = chance.choice((10, 20, 30))
    for number in range(count):
        steps.append((chance.choice(PAUSES), _step(chance, names, number)))
    strangers = _strangers(chance, names) if chance.random() < 0.4 else ()
    return Schedule(seed, names, (), strangers, seed % 8 == 0, tuple(steps))


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


def _step(chance: Random, names: tuple[str, ...], number: int) -> Step:
    who, other = chance.sample(names, 2)
    room = 0 if chance.random() < 0.8 else 1
    where: str | int = other if chance.random() < 0.4 else room
    kind = chance.random()
    if kind < 0.4:
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
