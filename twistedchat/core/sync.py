"""
Keeping two journals in step: what one session still has to carry, and what to make of what comes.

Both sides tell each other how far they hold each author's entries (`Have`), and each sends what the
other lacks, in runs; what has been stored is told again, which is the receipt. On the wire an entry
can come twice, in the journal it is once. Without any I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from twistedchat.core.entries import NOTHING, Entry, Run, Said
from twistedchat.core.errors import RemoteProtocolError
from twistedchat.core.frames import ROOM_IN_RUN, size_of
from twistedchat.core.identity import DeviceKey

__all__ = [
    "MOST_IN_FLIGHT",
    "Chain",
    "Forked",
    "Heads",
    "Outbox",
    "chain_of",
    "how_many_fit",
    "run_from",
    "take_run",
]

# Whose entries, and in which room.
Chain: TypeAlias = tuple[bytes, DeviceKey]

# Of each author the number and the hash of the last entry.
Heads: TypeAlias = Mapping[DeviceKey, tuple[int, bytes]]

# Chains that are remembered as objects: those of a node's dozens of rooms with their members.
MOST_CHAINS = 10_000

# Bytes of frames that may be on their way in one session before the other side has told that it has
# stored some of them: enough that a fast peer hardly ever waits for a commit, little enough that a
# slow one makes us keep no more. What a person says meanwhile waits behind them on its way, and so
# does the answer before it is on the other side's disk: some thirty milliseconds each. With four
# times as much, catching up was up to a quarter faster, and a line took twice as long.
MOST_IN_FLIGHT = 128 * 1024


@lru_cache(maxsize=MOST_CHAINS)
def chain_of(room: bytes, author: DeviceKey) -> Chain:
    """
    Name a chain: with the same object each time, since each session has tables of all of them.

    Args:
        room: Where.
        author: Whose.

    Returns:
        The chain.
    """
    return room, author


@dataclass(frozen=True, slots=True)
class Forked:
    """
    Proof that an author has signed two different entries with one number.

    Attributes:
        entry: The signed one that does not fit to what is in the journal.
    """

    entry: Entry


def take_run(entries: tuple[Entry, ...], heads: Heads) -> tuple[Entry, ...] | Forked:
    """
    Decide what is new in a run.

    Args:
        entries: What came, checked.
        heads: How far the journal reaches in that room.

    Returns:
        The entries to append, none where all are held already; or a proof that its author lies.

    Raises:
        RemoteProtocolError: It leaves out what we had told that we lack.
    """
    first, last = entries[0], entries[-1]
    head, head_hash = heads.get(first.author, (0, NOTHING))
    if first.seq > head + 1:
        raise RemoteProtocolError("gap", f"Entries from {first.seq} on, where {head} were held.")
    if last.seq < head:
        return ()
    at_head = first.prev if first.seq == head + 1 else entries[head - first.seq].hash
    if at_head != head_hash:
        return Forked(last)
    return entries[head + 1 - first.seq :]


def how_many_fit(said: Sequence[Said]) -> int:
    """
    How many things can go in one run.

    Args:
        said: What is to be said, at least one.

    Returns:
        At least 1: any single one fits.
    """
    room = ROOM_IN_RUN
    for count, one in enumerate(said):
        room -= size_of(one)
        if room < 0:
            return max(1, count)
    return len(said)


def run_from(entries: Sequence[Entry]) -> Run:
    """
    Make a run of what the journal holds.

    Args:
        entries: Consecutive ones of one chain, the last of them signed.

    Returns:
        As many of them, from the first on, as fit into one frame and end with a signature.
    """
    fitting = how_many_fit([entry.said for entry in entries])
    # What stands between two signatures came, or was made, in one frame, so it fits again.
    last = next((index for index in range(fitting - 1, -1, -1) if entries[index].signature), None)
    if last is None:
        last = next(index for index, entry in enumerate(entries) if entry.signature)
    first = entries[0]
    said = tuple(entry.said for entry in entries[: last + 1])
    return Run(first.room, first.author, first.seq, first.prev, said, entries[last].signature)


class Outbox:
    """
    How much of what we hold the other side of a session has, and what is on its way there.
    """

    def __init__(self) -> None:
        self._theirs: dict[Chain, int] = {}
        self._sent: dict[Chain, int] = {}
        # The number of the last entry of each run, and its size.
        self._on_the_way: dict[Chain, deque[tuple[int, int]]] = {}
        self._in_flight = 0
        self._given_up: set[Chain] = set()
        self._paused: set[Chain] = set()

    def has(self, chain: Chain) -> int:
        """
        How far the other side has told to hold a chain.

        Args:
            chain: Which.

        Returns:
            The number of the last entry; 0 where it has none.
        """
        return self._theirs.get(chain, 0)

    def has_sent(self, chain: Chain) -> bool:
        """
        Whether something of a chain went to the other side.

        Args:
            chain: Which.
        """
        return chain in self._sent

    def told(self, chain: Chain, seq: int) -> None:
        """
        The other side told how far it holds a chain.

        Args:
            chain: Which.
            seq: The number of the last entry that it has stored.
        """
        seq = self._theirs[chain] = max(seq, self._theirs.get(chain, 0))
        # A chain's runs are stored in the order in which they went.
        runs = self._on_the_way.get(chain)
        while runs and runs[0][0] <= seq:
            self._in_flight -= runs.popleft()[1]

    def rewind(self, chain: Chain) -> None:
        """
        What was sent beyond what the other side has told to hold is to be sent again.

        Args:
            chain: Of which chain.
        """
        self._paused.discard(chain)
        self._sent.pop(chain, None)
        self._let_go(chain)

    def pause(self, chain: Chain) -> None:
        """
        The other side has dropped what was sent, and wants no more until it is rewound.

        Args:
            chain: Of which chain.
        """
        self._paused.add(chain)
        self._let_go(chain)

    def forget(self, room: bytes) -> None:
        """
        A room is not shared with the other side any more: what is on its way will not be answered.

        Args:
            room: Which.
        """
        for chain in [chain for chain in self._theirs if chain[0] == room]:
            del self._theirs[chain]
        for chain in {chain for chain in (*self._sent, *self._paused) if chain[0] == room}:
            self.rewind(chain)

    def has_room(self, coming: int = 0) -> bool:
        """
        Whether something more can be sent.

        Args:
            coming: Bytes that are going to be, as soon as they are read.
        """
        return self._in_flight + coming < MOST_IN_FLIGHT

    def next_after(self, chain: Chain, head: int) -> int | None:
        """
        What to send next of a chain.

        Args:
            chain: Which.
            head: How far we hold it, on the disk.

        Returns:
            The number after which to go on; ``None`` where there is nothing to send, or enough on
            its way.
        """
        if chain in self._given_up or chain in self._paused or not self.has_room():
            return None
        after = max(self._sent.get(chain, 0), self._theirs.get(chain, 0))
        return after if after < head else None

    def went(self, chain: Chain, last: int, size: int) -> None:
        """
        A run was sent.

        Args:
            chain: Of which.
            last: The number of its last entry.
            size: Bytes of its frame.
        """
        self._sent[chain] = last
        self._on_the_way.setdefault(chain, deque()).append((last, size))
        self._in_flight += size

    def has_given_up(self, chain: Chain) -> bool:
        """
        Whether the two sides hold different entries in a chain.

        Args:
            chain: Which.
        """
        return chain in self._given_up

    def give_up(self, chain: Chain) -> None:
        """
        Send nothing more of a chain: the two sides hold different ones.

        Args:
            chain: Which.
        """
        self._given_up.add(chain)
        self._let_go(chain)

    def _let_go(self, chain: Chain) -> None:
        self._in_flight -= sum(size for _, size in self._on_the_way.pop(chain, ()))
