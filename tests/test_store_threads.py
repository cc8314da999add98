"""
The journal with real threads, and in processes that are killed.
"""

import contextlib
import random
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads

from tests.journal_program import AUTHORS
from tests.journals import ROOM, Author, bodies, is_whole
from tests.processes import Program, Stage
from twistedchat.core.entries import Entry
from twistedchat.store.journal import Journal

PLENTY = 10**9


@pytest_twisted.async_yield_fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """
    A journal in a folder of its own.
    """
    journal = open_journal(tmp_path)
    yield journal
    await journal.close()


@pytest_twisted.async_yield_fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """
    Where this test's processes run.
    """
    stage = Stage(tmp_path)
    yield stage
    await stage.clear()


def open_journal(folder: Path) -> Journal:
    """
    Open a journal on the reactor.
    """
    from twisted.internet import reactor

    return Journal(cast(IReactorFromThreads, reactor), folder, None)


async def read_all(journal: Journal, author: Author) -> list[Entry]:
    """
    Read everything that somebody said.
    """
    entries: list[Entry] = []
    while more := await journal.read(ROOM, author.key, len(entries), PLENTY):
        entries += more
    return entries


async def told_until_killed(stage: Stage, folder: Path, number: int) -> list[str]:
    """
    Let a process fill a journal, and kill it when it has told so many lines or a few more.

    Returns:
        Its lines.
    """
    program = Program()
    stage.spawn(program, [sys.executable, "-m", "tests.journal_program", str(folder)])
    await program.until(lambda: program.output.count(b"\n") >= number, f"{number} lines")
    await program.killed()
    assert program.errors == b"", program.told()
    # The last one may have been cut.
    return program.lines[:-1]


def our_threads() -> set[str]:
    """
    The names of the journal's threads.
    """
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("journal-")}


@pytest_twisted.ensureDeferred
async def test_results_come_in_the_thread_of_the_reactor(journal: Journal) -> None:
    """
    Whoever appends and reads is called where it called.
    """
    author = Author()
    threads: list[int] = []
    appended = journal.append(author.says("hello"))
    read = journal.read(ROOM, author.key, 0, PLENTY)
    fork = journal.keep_fork(Author().says("other")[0])
    promises: list[Deferred[None]] = []
    for promised in (appended, read, fork):
        promises.append(promised.addCallback(lambda _: threads.append(threading.get_ident())))
    assert our_threads() == {"journal-reader", "journal-writer"}

    await gatherResults(promises)

    assert set(threads) == {threading.get_ident()}
    assert len(threads) == 3


@pytest_twisted.ensureDeferred
async def test_threads_begin_late_and_end_with_the_journal(tmp_path: Path) -> None:
    """
    Opening starts no thread, and closing leaves none.
    """
    journal = open_journal(tmp_path)
    assert our_threads() == set()
    author = Author()
    await journal.append(author.says("hello"))
    assert our_threads() == {"journal-writer"}
    await journal.read(ROOM, author.key, 0, PLENTY)
    await journal.close()

    assert our_threads() == set()
    assert [file.name for file in tmp_path.iterdir()] == ["journal.sqlite"]


@pytest_twisted.ensureDeferred
async def test_unused_journal_can_be_closed(tmp_path: Path) -> None:
    """
    A node that ends at once ends cleanly.
    """
    await open_journal(tmp_path).close()

    assert our_threads() == set()


@pytest_twisted.ensureDeferred
async def test_reading_does_not_wait_for_writing(journal: Journal, tmp_path: Path) -> None:
    """
    While a commit has to wait, what is on the disk can be read.
    """
    author = Author()
    await journal.append(author.says("before"))
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        appended = journal.append(author.says("meanwhile"))

        assert bodies(await read_all(journal, author)) == ["before"]
        assert not appended.called

    await appended
    assert bodies(await read_all(journal, author)) == ["before", "meanwhile"]


@pytest_twisted.ensureDeferred
async def test_much_at_the_same_time_is_kept_in_order(journal: Journal, tmp_path: Path) -> None:
    """
    Thousands of appends by several authors fire in order, while others read whole chains and find.
    """
    chance = random.Random(4)
    authors = [Author(name) for name in AUTHORS]
    said: dict[str, list[str]] = {name: [] for name in AUTHORS}
    fired: list[int] = []
    promises: list[Deferred[None]] = []
    for number in range(3000):
        index = chance.randrange(len(authors))
        texts = [f"{number} {part}" for part in range(chance.randrange(1, 4))]
        said[AUTHORS[index]] += texts
        done = journal.append(authors[index].says(*texts))
        promises.append(done.addCallback(lambda _, number: fired.append(number), number))
        if number % 500 == 0:
            for author in authors:
                stored, _ = journal.stored_heads(ROOM).get(author.key, (0, b""))
                entries = await read_all(journal, author)
                assert len(entries) >= stored
                assert is_whole(entries)
            # Found once, whether their words are in the index, late, or just on their way there.
            kept = len(fired)
            lines = await journal.search("0", ROOM, None, PLENTY)
            numbers = [line.number for line in lines]
            assert numbers == sorted(set(numbers), reverse=True)
            assert len(numbers) >= kept

    await gatherResults(promises)
    await journal.close()

    assert fired == list(range(3000))
    again = open_journal(tmp_path)
    for name, author in zip(AUTHORS, authors, strict=True):
        assert again.heads(ROOM)[author.key] == author.head
        assert bodies(await read_all(again, author)) == said[name]
    await again.close()


@pytest_twisted.ensureDeferred
async def test_killed_process_loses_nothing_that_was_kept(stage: Stage) -> None:
    """
    Whenever a process is killed, what it was told to be on the disk is there, whole, and found.
    """
    chance = random.Random(9)
    folder = stage.folder / "node"
    folder.mkdir()
    before: dict[str, int] = dict.fromkeys(AUTHORS, 0)
    for _ in range(6):
        kept = dict(before)
        for line in await told_until_killed(stage, folder, chance.randrange(1, 600)):
            name, seq = line.split()
            assert int(seq) > kept[name], "told twice"
            kept[name] = int(seq)
        journal = open_journal(folder)
        for name in AUTHORS:
            entries = await read_all(journal, Author(name))
            assert is_whole(entries)
            assert len(entries) >= kept[name]
            assert journal.heads(ROOM)[entries[-1].author][0] == len(entries)
            assert len(await journal.search(name, ROOM, None, PLENTY)) == len(entries)
            before[name] = len(entries)
        await journal.close()
