"""
What can happen to people and their nodes in a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

from twistedchat.core.history import RoomRecord
from twistedchat.core.roster import RoomId
from twistedchat.simulator.world import World

__all__ = [
    "Add",
    "Backup",
    "Break",
    "FillDisk",
    "Found",
    "Jump",
    "Kill",
    "KillAt",
    "Leave",
    "Look",
    "Recall",
    "Remove",
    "Restore",
    "Reunite",
    "Say",
    "Separate",
    "Settle",
    "Start",
    "Stop",
    "Twin",
]

# Said for a step that did not happen.
AWAY = "is away"
CANNOT = "cannot"


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
            return AWAY
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
            return AWAY
        machine.ahead += self.seconds
        # As with Twisted's reactors, what a node waits for comes later by that much.
        world.late_until = max(world.late_until, world.network.now - self.seconds)
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
    Nothing goes between some people and the others, but for some who are with both.
    """

    some: tuple[str, ...]
    with_both: tuple[str, ...] = ()

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        people = [one for one in world.people.values() if one.name not in self.with_both]
        for one in people:
            for other in people:
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
class Settle:
    """
    Nothing fails any more by chance, and everybody is there.
    """

    def apply(self, world: World) -> str:
        """
        See `Step`.
        """
        world.settle()
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
            return CANNOT
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
            return CANNOT
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
            return CANNOT
        world.recall(world.people[self.who], node, place)
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
            return CANNOT

        def founded(record: RoomRecord) -> None:
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
            return CANNOT
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
            return CANNOT
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
            return CANNOT
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
        return "" if world.restore(world.people[self.who]) else CANNOT


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
            return CANNOT
        world.begin_twin(world.people[self.who])
        return ""
