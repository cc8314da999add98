"""
What liars say in a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from twistedchat.simulator.steps import CANNOT
from twistedchat.simulator.world import Person, SimulatedNode, World, identity_of

__all__ = ["LIES", "Lie"]

# Somebody who has a key, and is in no room.
OUTSIDER = "mallory"


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
            return CANNOT
        lies = _Lies(world, liar, node, world.rooms[self.room], self.name)
        lines = LIES[self.how](lies, world.people[self.whom])
        has_sent = [node.say_anything(world.people[self.whom].key, line) for line in lines]
        return "" if all(has_sent) else "nobody hears it"


class _Lies:
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

    def claims_what_is_not(self, whom: Person) -> list[bytes]:
        """
        That it holds what there is not, or something else with the same numbers.
        """
        author, entries = self._any_chain()
        told = (max(0, len(entries) + self._chance.choice((-1, 0, 1, 30, 10**6))), "ab" * 32)
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
            author, entries = whom.key, []
        text = f"{self._name} forged"
        self._world.void.add(text)
        seq = len(entries) + 1
        prev = entries[-1].hash if entries else NOTHING
        run = replace(self._next(self._liar.identity, text), author=author, seq=seq, prev=prev)
        return [encode_frame(frame_of_run(run))]

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
        return [encode_frame(frame_of_run(self._next(identity_of(OUTSIDER), text)))]

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
        # Who declines it says so there.
        self._world.misled.add(whom.key)
        is_real = self._chance.random() < 0.5
        founder = self._liar.key if is_real else whom.key
        nonce = bytes(range(NONCE_LENGTH))
        room = room_of(founder, nonce) if is_real else self._room
        return [_card(room, founder, nonce)]

    def invites_stranger(self, whom: Person) -> list[bytes]:
        """
        An invitation to a room in which it may be, and the other is not.
        """
        self._world.misled.add(whom.key)
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
        assert machine is not None  # noqa: S101 (the node is running)
        assert journal is not None  # noqa: S101
        ahead, machine.ahead = machine.ahead, int(time / 1_000_000 - self._world.network.now)
        journal.time_to_tell = time
        self._world.send(self._liar, RoomId(self._room), f"{self._name} when")
        machine.ahead, journal.time_to_tell = ahead, None
        return []


def _card(room: bytes, founder: DeviceKey, nonce: bytes) -> bytes:
    card = Card(
        room=room.hex(),
        name="a lie",
        founder=str(founder),
        nonce=nonce.hex(),
        seen=LARGEST_NUMBER,
        word=LARGEST_NUMBER,
    )
    return encode_frame(card)


# The ways of lying, by name.
LIES = {
    way.__name__: way
    for way in (
        _Lies.claims_what_is_not,
        _Lies.denies,
        _Lies.forges,
        _Lies.repeats,
        _Lies.moves,
        _Lies.speaks_elsewhere,
        _Lies.speaks_for_outsider,
        _Lies.speaks_after_end,
        _Lies.forks,
        _Lies.babbles,
        _Lies.invites_to_nowhere,
        _Lies.invites_stranger,
        _Lies.says_it_was_long_ago,
        _Lies.says_it_will_be,
    )
}
