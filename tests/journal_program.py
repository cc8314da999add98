"""
A process that fills a journal until it is killed: the tests of crashes run it.

It takes a folder, goes on where the journal in it ends, and writes a line to standard output for
everything that has been kept: whose, and how far that reaches.
"""

import os
import sys
from itertools import count
from pathlib import Path

from twisted.internet.interfaces import IReactorFromThreads

from tests.journals import ROOM, Author
from twistedchat.core.entries import NOTHING
from twistedchat.store.journal import Journal

AUTHORS = ("Ann", "Bob", "Carl")

# What each author has under way: enough that every commit has several appends.
AT_ONCE = 5


class Talker:
    """
    Somebody who always has something to say.
    """

    def __init__(self, name: str, journal: Journal) -> None:
        self.name = name
        self.journal = journal
        self.author = Author(name)
        self.author.seq, self.author.prev = journal.heads(ROOM).get(self.author.key, (0, NOTHING))
        self.numbers = count()

    def talk(self) -> None:
        """
        Say the next thing, and when it is kept the one after.
        """
        number = next(self.numbers)
        texts = [f"{self.name} {number} " + "x" * (number % 7 * 300)] * (1 + number % 4)
        self.journal.append(self.author.says(*texts)).addCallback(self.kept, self.author.seq)

    def kept(self, _: None, seq: int) -> None:
        """
        Tell it, in one step and at once: what stands there must be on the disk.
        """
        os.write(1, f"{self.name} {seq}\n".encode())
        self.talk()


def main() -> None:
    """
    Run until somebody ends it.
    """
    from twisted.internet import reactor

    assert IReactorFromThreads.providedBy(reactor)
    journal = Journal(reactor, Path(sys.argv[1]), None)
    for name in AUTHORS:
        talker = Talker(name, journal)
        for _ in range(AT_ONCE):
            reactor.callWhenRunning(talker.talk)
    reactor.run()


if __name__ == "__main__":
    main()
