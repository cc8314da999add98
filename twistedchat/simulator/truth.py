"""
What has to be so in a simulation: at any time, and when all is calm.

At any time:

- Whoever holds an entry, its author holds it too: nothing is sent before it is on the own disk, and
  nothing that was sent is taken back.
- What somebody has a receipt for is on the disk that it is of, and so is what the person was told
  to be delivered.
- No text is shown twice; and none is kept without being shown one by one or told of as a number,
  but where the node was killed between the two. What that swallowed is on the disk, and unread.
- An answer stands behind its question: a text has a larger time than all that was on the disk of
  whoever said it.
- Nobody is shown a text that does not count, as far as they know who is in the room; and nobody is
  sent anything of a room who is not in it, as far as the sender knows.
- Nobody is told of a fork where there is none, nothing is logged as a fault, and no honest node
  breaks a rule in the eyes of another.

When all is calm, the members of each room see the same members, and hold the same entries, in the
same order; nobody takes for a member whoever has left; and nothing that was said by somebody who
was not in the room, or no longer, is a part of it. Everybody knows who holds what they have said,
which stands in the order in which they did. Where somebody said different things to two who have
met, that is proven and told. Nobody holds anything of a room to which nobody has added them. And if
somebody is still away, the others have it all from each other as far as one of them has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import json
from twisted.internet.defer import Deferred

from twistedchat.core.entries import MOST_AHEAD, TEXT, Entry, direct_room
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
from twistedchat.core.frames import Card, Frame, Have, RunFrame
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, parse_key
from twistedchat.core.rooms import ADD, FOUND, LEAVE, REMOVE, Membership
from twistedchat.core.roster import Recipient, RoomId
from twistedchat.core.trust import Contact

if TYPE_CHECKING:
    from twistedchat.simulator.world import Person, SimulatedNode, World

__all__ = ["Truth"]

# How many entries of each author somebody holds.
_Held: TypeAlias = dict[DeviceKey, int]


class Truth:
    """
    Sees whether all is as it should be.

    Args:
        world: Where.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def _trusted(self) -> list[Person]:
        return [person for person in self._world.people.values() if person.is_trusted]

    # At any time.

    def check_committed(self, person: Person, entries: Sequence[Entry]) -> None:
        """
        Entries are on somebody's disk: their author has to hold them, too.

        Args:
            person: Whose disk.
            entries: Which.
        """
        authors = {one.key: one for one in self._trusted()}
        self._check_times(person, entries)
        for entry in entries:
            author = authors.get(entry.author)
            if author is not None and author is not person and not _holds(author, entry):
                self._world.blame(
                    f"{person.name} holds entry {entry.seq} of {author.name}, who does not"
                )

    def note_typed(self, person: Person, recipient: Recipient, text: str) -> None:
        """
        Somebody says something.

        Args:
            person: Who.
            recipient: To whom.
            text: What.
        """
        node, machine = person.node, person.machine
        assert node is not None  # noqa: S101 (whoever says something is there)
        assert machine is not None  # noqa: S101
        place = _room(node.place_of(recipient))
        end = int(machine.seconds() * 1_000_000) + MOST_AHEAD
        times = [
            entry.said.time
            for chain, entries in person.disk.chains.items()
            if chain[0] == place
            for entry in entries
            if entry.said.time <= end
        ]
        person.typed.setdefault(_first_word(text), max(times, default=-1))

    def _check_times(self, person: Person, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.author != person.key or entry.said.kind != TEXT or not person.is_honest:
                continue
            word = _first_word(entry.said.body)
            if entry.said.time <= person.typed.get(word, -1):
                self._world.blame(f"{person.name} said {word!r} before what they had read")

    def check_said(self, person: Person, node: SimulatedNode, key: DeviceKey, frame: Frame) -> None:
        """
        A node says something: it has to be for whom it says it to.

        Args:
            person: Whose node.
            node: The node.
            key: To whom.
            frame: What.
        """
        if not person.is_honest:
            return
        match frame:
            case RunFrame(room=name, author=by, seq=seq):
                room, author = bytes.fromhex(name), parse_key(by)
                is_forked = author in self._forked()
                if room != direct_room(person.key, key) and not _may_be_sent(
                    node, key, room, author, seq, is_forked=is_forked
                ):
                    self._blame_said(person, key, f"entry {seq} of a room")
            case Card(room=name) if not node.membership(bytes.fromhex(name)).is_member(key):
                self._blame_said(person, key, "an invitation to a room")
            case Have(rooms=rooms):
                for name in rooms:
                    room = bytes.fromhex(name)
                    left = node.membership(room).left_with(person.key)
                    if left and node.stay_in(room) is Stay.LEFT and node.receipt(room, key) >= left:
                        self._blame_said(person, key, "what they hold of a room they have left")
            case _:
                pass

    def _blame_said(self, person: Person, key: DeviceKey, what: str) -> None:
        names = [one.name for one in self._world.people.values() if one.key == key]
        self._world.blame(f"{person.name} sent {names[0]} {what}, who is not there")

    def check_sent(
        self, person: Person, node: SimulatedNode, recipient: Recipient, text: str, result: Sent
    ) -> None:
        """
        Somebody was told what became of a text: it has to be so.

        Args:
            person: Who.
            node: Their node.
            recipient: To whom it was.
            text: What they had said.
            result: What they were told.
        """
        world = self._world
        world.network.note("sent", result.progress.name)
        place = node.place_of(recipient)
        holders = [person]
        if result.progress is Progress.DELIVERED:
            keys = {recipient}
            if isinstance(recipient, RoomId):
                keys = {one.key for one in node.members(recipient)}
            holders += [one for one in self._trusted() if one.key in keys]
        is_recalled = any(recalled in text for recalled in world.recalled)
        if person.is_forked or is_recalled or person.recalls:
            return
        for holder in holders:
            entries = holder.disk.chains.get((_room(place), person.key), [])
            if text not in "".join(one.said.body for one in entries if one.said.kind == TEXT):
                world.blame(
                    f"{person.name} was told {result.progress.name} of {text[:40]!r}, and "
                    f"{holder.name} has it not"
                )

    def check_receipts(self) -> None:
        """
        What others are known to hold has to be there.
        """
        by_key = {person.key: person for person in self._trusted()}
        for person in by_key.values():
            for (room, key), seq in person.disk.receipts.items():
                holder = by_key.get(key)
                ours = person.disk.chains.get((room, person.key), [])
                if holder is None or not seq:
                    continue
                if len(ours) < seq or not _holds(holder, ours[seq - 1]):
                    self._world.blame(
                        f"{person.name} has a receipt of {holder.name} for entry {seq}, which is "
                        "not so"
                    )

    def check_event(self, person: Person, event: Event) -> None:
        """
        Somebody is told something.

        Args:
            person: Who.
            event: What.
        """
        match event:
            case TextReceived(contact=contact, text=text):
                self._shown(person, direct_room(person.key, contact.key), contact.key, text)
            case RoomTextReceived(room=record, speaker=speaker, text=text):
                self._shown(person, record.room, speaker.key, text)
                self._check_counts(person, record.room, speaker.key, text)
            case CaughtUp(place=RoomRecord(room=room), texts=texts):
                person.caught_up[room] += texts
            case CaughtUp(place=Contact(key=key), texts=texts):
                person.caught_up[direct_room(person.key, key)] += texts
            case ForkSeen(contact=speaker):
                person.forks_told.add(speaker.key)
                if speaker.key in {one.key for one in self._trusted()}:
                    self._world.blame(f"{person.name} was told that {speaker.name} has forked")
            case RoomChanged(room=record, change=RoomChange.NOT_LET_IN):
                for inviter in self._trusted():
                    # The founder may have told them of more than their inviter has heard.
                    membership = _membership(record.room, [inviter, person])
                    if inviter.key == record.inviter and membership.is_member(person.key):
                        self._world.blame(f"{person.name} was not let in, and is by {inviter.name}")
            case StoreFailed(reason=reason) if not person.is_stopping:
                has_failed = person.journal is not None and person.journal.fails
                if not (person.disk.is_full or has_failed):
                    self._world.blame(f"{person.name} was told that the store fails: {reason}")
            case _:
                pass

    def _shown(self, person: Person, place: Place, author: DeviceKey, text: str) -> None:
        person.shown[place, author, text] += 1
        if person.shown[place, author, text] > 1 and person.is_trusted:
            self._world.blame(f"{person.name} was shown {text[:40]!r} twice")

    def _check_counts(self, person: Person, room: bytes, author: DeviceKey, text: str) -> None:
        node = person.node
        assert node is not None  # noqa: S101 (it has just told this)
        membership = node.membership(room)
        if person.is_trusted and not any(
            entry.said.body == text and membership.counts(author, entry.seq)
            for entry in person.disk.chains.get((room, author), [])
        ):
            self._world.blame(f"{person.name} was shown {text[:40]!r}, which does not count")

    def check_shown(self, person: Person, *, was_killed: bool) -> None:
        """
        Somebody has to have been shown what came since their node was started.

        Args:
            person: Who.
            was_killed: Whether it was just killed, so that something can be lacking.
        """
        if not person.is_trusted:
            return
        for place in person.places:
            came = person.disk.texts(place, person.key) - person.came_before[place]
            shown = person.shown_in(place) - person.shown_before[place]
            least = 0 if was_killed else came - self._void_texts(person, place)
            if not least <= shown <= came:
                where = [number for number, room in self._world.rooms.items() if room == place]
                self._world.blame(
                    f"{person.name} was shown {shown} of {came} texts in {where or 'a direct one'}"
                )

    def _void_texts(self, person: Person, room: bytes) -> int:
        # Texts that came and were no part of the room, at that time or for good: those of somebody
        # who had left or was removed.
        if room not in self._world.rooms.values():
            return 0
        entries = person.disk.entries(room)
        membership = _membership(room, [person])
        gone = {str(one.author) for one in entries if one.said.kind == LEAVE}
        gone |= {json.decode(one.said.body)["key"] for one in entries if one.said.kind == REMOVE}
        return sum(
            str(one.author) in gone or not membership.counts(one.author, one.seq)
            for one in entries
            if one.author != person.key and one.said.kind == TEXT
        )

    # When all is calm.

    def differences_without(self, away: str) -> list[str]:
        """
        Find what is not the same yet for all who are there.

        Args:
            away: Who is not.

        Returns:
            It, in words.
        """
        found: list[str] = []
        people = self._people(away)
        for one in people:
            if one.node is None or one.is_stopping:
                found.append(f"{one.name} is away")
            for other in people:
                if one.key < other.key:
                    found += self._differences_between(one, other)
                    for number, room in self._world.rooms.items():
                        found += self._differences_of_two(number, room, one, other)
        return found

    def _people(self, away: str = "") -> list[Person]:
        people = self._world.people.values()
        return [one for one in people if one.is_honest and not one.is_twin and one.name != away]

    def _differences_of_two(
        self, number: int, room: bytes, one: Person, other: Person
    ) -> Iterator[str]:
        # Whoever brought in one of them can be away, and then the other may not know them.
        if not (_sees(room, one, other) and _sees(room, other, one)):
            return
        forked = self._forked()
        membership = _membership(room, [one, other])
        held, there = (_counting(who, membership, forked) for who in (one, other))
        if held != there:
            differing = self._in_words(held.items() ^ there.items())
            yield f"{one.name} and {other.name} hold different entries in {number}: {differing}"

    def _forked(self) -> set[DeviceKey]:
        return {one.key for one in self._world.people.values() if one.is_forked}

    def differences(self) -> list[str]:
        """
        Find what is not the same for everybody yet.

        Returns:
            It, in words.
        """
        found: list[str] = []
        people = self._people()
        for person in people:
            if person.node is None or person.is_stopping:
                found.append(f"{person.name} is away")
            elif person.waits:
                found.append(f"{person.name} waits for {person.waits} answers")
        for one in people:
            for other in people:
                if one.key < other.key and not self._world.are_strangers(one, other):
                    found += self._differences_between(one, other)
        for number in self._world.rooms:
            found += self._differences_in(number, people)
        if not found:
            # That costs more to find out.
            for person in self._trusted():
                found += self._receipts_lacking(person)
            found += self._forks_unproven(people)
        return found

    def _receipts_lacking(self, person: Person) -> Iterator[str]:
        node = person.node
        assert node is not None  # noqa: S101 (everybody is there)
        trusted = {one.key: one for one in self._trusted() if one is not person}
        for other in trusted.values():
            room = direct_room(person.key, other.key)
            held = len(other.disk.chains.get((room, person.key), ()))
            known = node.receipt(room, other.key)
            if held != known and not self._world.are_strangers(person, other):
                yield f"{other.name} holds {held} of {person.name}, who knows of {known}"
        for number, room in self._world.rooms.items():
            members = {one.key for one in node.members(RoomId(room))}
            others = [trusted[key] for key in members if key in trusted]
            is_common = len(others) == len(members) - 1 and all(
                _sees(room, other, person) and node.is_with(other.key) for other in others
            )
            if not (others and is_common and person.key in members):
                # Some do not want to know what is said there, or have it from somebody else.
                continue
            lines = _now(node.history(room, 0.0, None, len(person.disk.entries(room)) + 1))
            last = next((line for line in lines if line.is_ours), None)
            if last is not None and node.progress_of(last) is not Progress.DELIVERED:
                yield f"{person.name} does not know that all in {number} hold {last.text[:40]!r}"

    def _forks_unproven(self, people: list[Person]) -> Iterator[str]:
        for number, room in self._world.rooms.items():
            for one in people:
                for other in people:
                    if not (one.key < other.key and _have_met(room, one, other)):
                        continue
                    for author in _forks_between(room, one, other):
                        has_proof = any((room, author) in who.disk.forks for who in people)
                        if not (has_proof and any(author in who.forks_told for who in people)):
                            name = self._in_words([(author, 0)]).split()[0]
                            yield f"nobody in {number} was told that {name} has forked"

    def _in_order(self, person: Person) -> None:
        place = {word: number for number, word in enumerate(person.typed)}
        for (_, author), entries in person.disk.chains.items():
            if author != person.key:
                continue
            words = [_first_word(one.said.body) for one in entries if one.said.kind == TEXT]
            order = [place[word] for word in words if word in place]
            if order != sorted(order):
                self._world.blame(f"{person.name} said something in another order than they did")

    def _check_holders(self, person: Person) -> None:
        people = self._world.people.values()
        for room, author in person.disk.chains:
            mates = [one.key for one in people if direct_room(person.key, one.key) == room]
            if mates:
                is_theirs = author in (person.key, mates[0])
            else:
                is_theirs = person.key in self._world.misled or _was_added(room, person.key, people)
            if not is_theirs:
                self._world.blame(f"{person.name} holds entries of a room that is not theirs")

    def _differences_between(self, one: Person, other: Person) -> Iterator[str]:
        room = direct_room(one.key, other.key)
        for author in (one, other):
            held, there = (len(who.disk.chains.get((room, author.key), ())) for who in (one, other))
            if held != there and author.is_trusted:
                yield f"of {author.name} {one.name} has {held} and {other.name} has {there}"

    def _differences_in(self, number: int, people: list[Person]) -> Iterator[str]:
        room = self._world.rooms[number]
        stays = {
            person: {record.room: record.stay for record in person.node.rooms()}
            for person in people
            if person.node is not None
        }
        joined = [person for person in stays if stays[person].get(room) is Stay.JOINED]
        seen = {
            person: {one.key for one in person.node.members(RoomId(room))} if person.node else set()
            for person in joined
        }
        membership = _membership(room, [one for one in joined if one.key in seen[one]])
        members = {one.key for one in membership.members() if one.is_in}
        for person in stays:
            said = person.disk.chains.get((room, person.key), [])
            is_out = stays[person].get(room, Stay.LEFT) is Stay.LEFT
            has_left = is_out and bool(said) and said[-1].said.kind == LEAVE
            # A twin can have heard of it, and that counts as if whoever they are had.
            can_be_known = all(one.is_trusted for one in stays)
            # By strangers nobody is invited, and whoever knew them may be gone.
            can_be_known &= any(
                one.key in members and not self._world.are_strangers(one, person) for one in joined
            )
            if person.key in members and has_left and can_be_known:
                yield f"{person.name} has left {number}, and nobody knows"
        # What these say is not the same for everybody.
        forked = self._forked()
        inside = [person for person in joined if person.key in members]
        held = {person: _counting(person, membership, forked) for person in inside}
        wanted: _Held = {}
        for counts in held.values():
            for author, count in counts.items():
                wanted[author] = max(count, wanted.get(author, 0))
        for person in inside:
            if held[person] != wanted:
                lacks = wanted.items() - held[person].items()
                yield f"{person.name} lacks in {number} what others have: {self._in_words(lacks)}"
            if seen[person] - forked != members - forked:
                yield f"{person.name} sees {len(seen[person])} of {len(members)} in {number}"

    def _in_words(self, counts: Iterable[tuple[DeviceKey, int]]) -> str:
        names = {person.key: person.name for person in self._world.people.values()}
        return ", ".join(sorted(f"{names.get(key, '?')} up to {count}" for key, count in counts))

    def check_end(self) -> None:
        """
        See whether the rest is as it should be, when everybody holds the same.
        """
        self.check_receipts()
        self._check_strangers()
        for person in self._people():
            self._check_holders(person)
        for person in self._trusted():
            self._in_order(person)
            if person.node is not None:
                for number in self._world.rooms:
                    self._check_history(person, person.node, number)

    def _check_strangers(self) -> None:
        people = list(self._world.people.values())
        for one in people:
            for other in people:
                room = direct_room(one.key, other.key)
                if self._world.are_strangers(one, other) and room in one.places:
                    self._world.blame(f"{one.name} and {other.name} have talked, not being let in")

    def _check_history(self, person: Person, node: SimulatedNode, number: int) -> None:
        room = self._world.rooms[number]
        entries = person.disk.entries(room)
        membership = _membership(room, [person])
        wanted = [
            (entry.author, entry.seq)
            for entry in entries
            if entry.said.kind == TEXT and membership.counts(entry.author, entry.seq)
        ]
        lines = _now(node.history(room, 0.0, None, len(entries) + 1))
        if [(line.author, line.seq) for line in reversed(lines)] != wanted:
            self._world.blame(f"{person.name} reads another history of {number} than there is")
        if void := self._world.void.intersection(line.text for line in lines):
            self._world.blame(f"{person.name} takes {min(void)!r} for a part of {number}")


def _room(place: Place) -> bytes:
    assert isinstance(place, bytes)  # noqa: S101 (nobody here is classic)
    return place


def _first_word(text: str) -> str:
    # Of a long text each piece begins with a word of its own, which has the first one in it.
    return text.strip().split(" ", 1)[0].split(":", 1)[0]


def _may_be_sent(
    node: SimulatedNode,
    key: DeviceKey,
    room: bytes,
    author: DeviceKey,
    seq: int,
    *,
    is_forked: bool,
) -> bool:
    membership = node.membership(room)
    if membership.is_member(key):
        # Others may stand behind that one, where one signature proves them all. Beyond the end of
        # somebody who has forked an entry can still go, as the proof.
        return is_forked or author == node.key or membership.counts(author, seq)
    if not membership.is_member(node.key):
        # Whoever says that we are there is told if we are not.
        return author == node.key and key in node.hosts(room)
    # Whoever is removed is shown that, and what stands before it.
    return author == membership.founder and seq <= membership.removed_by(key)


def _sees(room: bytes, one: Person, other: Person) -> bool:
    node = one.node
    if node is None or node.stay_in(room) is not Stay.JOINED:
        return False
    membership = node.membership(room)
    return membership.is_member(one.key) and membership.is_member(other.key)


def _have_met(room: bytes, one: Person, other: Person) -> bool:
    is_common = _sees(room, one, other) and _sees(room, other, one)
    return is_common and one.node is not None and one.node.is_with(other.key)


def _forks_between(room: bytes, one: Person, other: Person) -> Iterator[DeviceKey]:
    membership = _membership(room, [one, other])
    for (where, author), ours in one.disk.chains.items():
        theirs = other.disk.chains.get((where, author), [])
        if where == room and any(
            here.hash != there.hash and membership.counts(author, here.seq)
            for here, there in zip(ours, theirs, strict=False)
        ):
            yield author


def _was_added(room: bytes, key: DeviceKey, people: Iterable[Person]) -> bool:
    # Whether it counted or not: whoever did it may have thought so.
    return any(
        (entry.said.kind == FOUND and author == key)
        or (entry.said.kind == ADD and json.decode(entry.said.body)["key"] == str(key))
        for one in people
        for (where, author), entries in one.disk.chains.items()
        if where == room
        for entry in entries
    )


def _holds(person: Person, entry: Entry) -> bool:
    entries = person.disk.chains.get((entry.room, entry.author), [])
    return len(entries) >= entry.seq and entries[entry.seq - 1].hash == entry.hash


def _membership(room: bytes, people: list[Person]) -> Membership:
    # As it is found from all that these hold together.
    longest: dict[DeviceKey, list[Entry]] = {}
    for person in people:
        for (where, author), entries in person.disk.chains.items():
            if where == room and len(entries) > len(longest.get(author, ())):
                longest[author] = entries
    membership = Membership(room)
    for entries in longest.values():
        membership.take(entries)
    return membership


def _counting(person: Person, membership: Membership, forked: set[DeviceKey]) -> _Held:
    held: _Held = {}
    for (room, author), entries in person.disk.chains.items():
        count = sum(membership.counts(author, entry.seq) for entry in entries)
        if room == membership.room and author not in forked and count:
            held[author] = count
    return held


def _now(reading: Deferred[list[LineOfHistory]]) -> list[LineOfHistory]:
    lines: list[LineOfHistory] = []
    reading.addCallback(lines.extend)
    return lines
