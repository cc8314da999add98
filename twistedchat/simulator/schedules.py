"""
What happens in a simulation: made by chance, let happen, and made shorter where something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

from twistedchat.simulator.disk import TRAPS
from twistedchat.simulator.lies import LIES, Lie
from twistedchat.simulator.steps import (
    Add,
    Backup,
    Break,
    FillDisk,
    Found,
    Jump,
    Kill,
    KillAt,
    Leave,
    Look,
    Recall,
    Remove,
    Restore,
    Reunite,
    Say,
    Separate,
    Settle,
    Start,
    Stop,
    Twin,
)
from twistedchat.simulator.world import Outcome, Step, World

__all__ = ["MOST_TRIES", "Schedule", "replay", "report", "schedule_of", "shrink", "simulate"]

# Simulations to run while making a schedule shorter: half a minute.
MOST_TRIES = 500

NAMES = ("ann", "bob", "cy", "dee", "eve")

# How many people there are, how many steps they take, and how many seconds lie between two. Of ten
# seeds one is of the second kind, in which more happens at a time.
FEW = ((2, 3, 3, 4), (10, 20, 30), (0.0, 0.02, 0.3, 2.0, 10.0, 40.0))
MANY = ((4, 5), (60,), (0.0, 0.02, 0.02, 0.3, 2.0, 10.0))

# What is more than may be on its way in one session, as times and as words each time; and how often
# somebody says so much: it takes longest of all.
MUCH = (60, 1500)
HOW_OFTEN_MUCH = 0.03

# Seconds that a clock is wrong, at most; and those by which it is set while a node runs. Back by no
# more than a minute: as with Twisted's reactors, all that a node waits for comes later by that.
WEEK = 7 * 24 * 3600
JUMPS = (-60, -1, 1, 3600, WEEK)

_Steps: TypeAlias = tuple[tuple[float, Step], ...]


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
        last: Who comes last when all is calm, so that the others have to do without them; empty for
            nobody.
    """

    seed: int
    names: tuple[str, ...]
    liars: tuple[str, ...]
    strangers: tuple[tuple[str, str], ...]
    is_tls_real: bool
    steps: _Steps
    last: str = ""


def schedule_of(seed: int) -> Schedule:
    """
    Make up what happens.

    Args:
        seed: Any number.

    Returns:
        The schedule, always the same for the same number.
    """
    chance = Random(f"{seed} steps")  # noqa: S311 (nobody has to guess it)
    sizes, counts, pauses = MANY if seed % 10 == 9 else FEW
    names = NAMES[: chance.choice(sizes)]
    # The founder of the first room is honest: else nobody could say who is in it.
    liars = (chance.choice(names[1:]),) if chance.random() < 0.3 else ()
    strangers = _strangers(chance, names) if chance.random() < 0.4 else ()
    steps: list[tuple[float, Step]] = [
        (chance.choice((0.0, 0.5)), Start(name, _ahead(chance))) for name in names
    ]
    steps.append((chance.choice((0.1, 3.0)), Found(names[0], 0)))
    steps += [
        (chance.choice((0.3, 2.0)), Add(names[0], 0, name))
        for name in names[1:]
        if chance.random() < 0.8
    ]
    steps += [
        (chance.choice(pauses), _step(chance, names, liars, number))
        for number in range(chance.choice(counts))
    ]
    last = ""
    if seed % 5 == 2 and len(names) > 2 and not strangers:
        last, other = chance.sample([name for name in names if name not in liars], 2)
        steps += _last_words(chance, last, other)
    return Schedule(seed, names, liars, strangers, seed % 8 == 0, tuple(steps), last)


def _last_words(chance: Random, last: str, other: str) -> list[tuple[float, Step]]:
    # Heard by one alone, of whom the others have to get it.
    return [
        (chance.choice((2.0, 10.0)), Settle()),
        (chance.choice((2.0, 30.0, 100.0)), Separate((last,), (other,))),
        (0.3, Say(last, 0, f"{last}last", chance.choice((1, 3, 30)), 0)),
        (chance.choice((0.3, 2.0, 10.0)), Look(other, 0)),
    ]


def _strangers(chance: Random, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    # Everybody knows somebody, so that all hang together.
    known = {(chance.choice(names[:index]), name) for index, name in enumerate(names) if index}
    return tuple(
        (one, other)
        for index, other in enumerate(names)
        for one in names[:index]
        if (one, other) not in known and chance.random() < 0.7
    )


def _ahead(chance: Random) -> int:
    return chance.choice((0, 0, chance.randint(-10, 10), chance.randint(-WEEK, WEEK)))


def _step(chance: Random, names: tuple[str, ...], liars: tuple[str, ...], number: int) -> Step:
    who, other = chance.sample(names, 2)
    room = 0 if chance.random() < 0.8 else 1
    where: str | int = other if chance.random() < 0.4 else room
    kind = chance.random()
    if liars and kind < 0.25:
        whom = chance.choice([name for name in names if name not in liars])
        return Lie(liars[0], whom, room, chance.choice(tuple(LIES)), f"lie{number}")
    if kind < 0.5:
        # Most say one thing; some much at once, or so much that the other side cannot keep up.
        times, size = chance.choice(((1, 0), (1, 0), (1, 0), (3, 0), (30, 0), (1, 1500), (9, 1500)))
        if chance.random() < HOW_OFTEN_MUCH:
            times, size = MUCH
        speaker = f"{who}'" if chance.random() < 0.1 else who
        return Say(speaker, where, f"{speaker}{number}", times, size)
    some: list[Step] = [
        Start(who, _ahead(chance)),
        Start(who, _ahead(chance)),
        Start(who, _ahead(chance)),
        Stop(who),
        Kill(who, is_power_cut=chance.random() < 0.3),
        KillAt(who, chance.choice(TRAPS)),
        KillAt(who, chance.choice(TRAPS)),
        Jump(who, chance.choice(JUMPS)),
        FillDisk(who, is_full=True),
        FillDisk(who, is_full=False),
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
    return chance.choice(some)


def replay(schedule: Schedule) -> Outcome:
    """
    Let it happen.

    Args:
        schedule: What.

    Returns:
        How it ended, always the same for the same schedule.
    """
    world = World(
        str(schedule.seed),
        schedule.names,
        schedule.liars,
        schedule.strangers,
        is_tls_real=schedule.is_tls_real,
    )
    return world.run(schedule.steps, schedule.last)


def simulate(seed: int) -> Outcome:
    """
    Let something happen by chance.

    Args:
        seed: Any number.

    Returns:
        How it ended, always the same for the same number.
    """
    return replay(schedule_of(seed))


def shrink(schedule: Schedule, most: int = MOST_TRIES) -> Schedule:
    """
    Leave out of a schedule at the end of which something is wrong what makes no difference.

    Args:
        schedule: Which.
        most: How many simulations to run for that.

    Returns:
        A schedule at the end of which something is wrong too, with no more steps.
    """
    size = len(schedule.steps) // 2
    while size:
        for shorter in _without(schedule, size):
            most -= 1
            if most < 0:
                return schedule
            if replay(shorter).fault:
                schedule = shorter
                break
        else:
            size //= 2
    return schedule


def _without(schedule: Schedule, size: int) -> Iterator[Schedule]:
    # What comes after stays when it was: the time of what is left out goes to what follows.
    steps = schedule.steps
    for start in range(0, len(steps), size):
        end = start + size
        pause = sum(pause for pause, _ in steps[start:end])
        rest = steps[end:]
        if rest:
            rest = ((rest[0][0] + pause, rest[0][1]), *rest[1:])
        yield replace(schedule, steps=(*steps[:start], *rest))


def report(schedule: Schedule, outcome: Outcome) -> str:
    """
    Tell what happened.

    Args:
        schedule: What was to happen.
        outcome: How it ended.

    Returns:
        Text that tells who there was, the steps with their times, and what was wrong.
    """
    liars = f"; {', '.join(schedule.liars)} lies" if schedule.liars else ""
    pairs = "".join(f"; {one} and {other} are strangers" for one, other in schedule.strangers)
    tls = "; with real TLS" if schedule.is_tls_real else ""
    last = f"; {schedule.last} comes last" if schedule.last else ""
    head = f"Seed {schedule.seed}: {', '.join(schedule.names)}{liars}{pairs}{tls}{last}"
    return "\n".join((head, *outcome.trace, outcome.fault or "All was as it should be."))
