"""
The journal's file: made, opened, looked over and brought up to date.

What is in it is `twistedchat.store.journal`'s affair, and described in the files in ``schema/``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from twistedchat.core.errors import ConfigError
from twistedchat.store.files import draft_beside, remove_drafts, sync_folder

__all__ = ["connect", "explain", "open_database", "schema_steps"]

# How many files there are in ``schema/``.
VERSION = 2

# Tells our files from other programs' (https://www.sqlite.org/fileformat.html section 1.3.15).
APPLICATION_ID = int.from_bytes(b"twch")

# Seconds to wait for another program that has the file open, such as one that copies it.
PATIENCE = 5.0

_DAMAGED = (
    "it is damaged",
    "Put back a copy of it. If there is none, move it away: then an empty one is made, and what "
    "the others still hold comes back from them",
)

# What went wrong and what to do about it, by SQLite's result codes.
_TROUBLES = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Make room there, and try again"),
    sqlite3.SQLITE_IOERR: ("the disk fails", "Make room there, and see whether the disk is sound"),
    sqlite3.SQLITE_READONLY: (
        "it can only be read",
        "Give yourself the right to write there, and try again",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "See whether it is there, and give yourself the right to use it",
    ),
    sqlite3.SQLITE_BUSY: ("another program holds it", "Close that program, and try again"),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


def explain(place: Path | str, error: sqlite3.Error) -> str:
    """
    Put an error of SQLite's into words.

    Args:
        place: The file.
        error: What happened.

    Returns:
        What is wrong and what to do.
    """
    # The lowest octet is the kind; the others tell what SQLite was doing.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    what, remedy = _TROUBLES.get(code, (str(error), "See whether the disk is sound"))
    if "no such module" in what:
        remedy = "Use a Python whose SQLite has full-text search (FTS5)"
    return f"The journal {place} cannot be used: {what}. {remedy}."


def schema_steps() -> list[str]:
    """
    Read the SQL that makes a journal: the first version, and each step to a later one.
    """
    schema = files("twistedchat.store") / "schema"
    return [
        (schema / f"journal-v{number}.sql").read_text("utf-8") for number in range(1, VERSION + 1)
    ]


def connect(file: Path) -> sqlite3.Connection:
    """
    Open a database that is there.

    Args:
        file: Which.

    Returns:
        A connection for this thread alone. It begins transactions only where it is told to, and
        what it commits is on the disk.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    # By this mode a file that somebody removed is not made anew, and empty.
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def open_database(file: Path | None, steps: Sequence[str]) -> sqlite3.Connection:
    """
    Open the journal's file; make it where there is none, or bring it up to date.

    It is not read through to the end, which would take seconds when there are millions of entries,
    at every start: damage that SQLite does not notice here is told when it is met.

    Args:
        file: Which, in a folder that nobody else uses; ``None`` for one in memory, which any thread
            may use.
        steps: What `schema_steps` gives.

    Returns:
        A connection, as of `connect`.

    Raises:
        ConfigError: It cannot be used, and stays as it is.
    """
    if file is None:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _take_steps(connection, steps, 0)
        return connection
    try:
        # Each can be as large as the journal, and nobody would ever look for them.
        remove_drafts(file)
        if not file.exists():
            _create(file, steps)
        connection = connect(file)
        try:
            _look_over(connection, file, steps)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise ConfigError(explain(file, error)) from error
    except OSError as error:
        raise ConfigError(
            f"The journal {file} cannot be made ({error.strerror}). "
            "Make room there, or choose another place with --state."
        ) from error
    return connection


def _create(file: Path, steps: Sequence[str]) -> None:
    # Elsewhere first, so that a file without anything in it is never one of ours.
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        # SQLite would write what is in there into any new file.
        raise ConfigError(
            f"The journal {file} is gone, but {log.name} beside it is there. Put both back from a "
            "copy. If there is none, move that one away too: then an empty journal is made."
        )
    with draft_beside(file) as draft:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            _take_steps(connection, steps, 0)
        file.hardlink_to(draft)
    sync_folder(file.parent)


def _look_over(connection: sqlite3.Connection, file: Path, steps: Sequence[str]) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version < 1:
        raise ConfigError(
            f"The journal {file} cannot be used: that is none, or it is damaged. {_DAMAGED[1]}."
        )
    if version > len(steps):
        raise ConfigError(
            f"The journal {file} was written by a newer version of twistedchat. "
            "Use that version, or choose another place with --state."
        )
    if version < len(steps):
        # So rarely that reading everything is worth it: nothing damaged is written anew.
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise ConfigError(f"The journal {file} cannot be used: {_DAMAGED[0]}. {_DAMAGED[1]}.")
        _back_up(connection, file, version)
        _take_steps(connection, steps, version)
    # So a reader and a writer do not wait for each other. The file remembers it.
    connection.execute("PRAGMA journal_mode = WAL")
    # What cannot be written to is better told now than after the first message: SQLite also opens
    # what can only be read, and only the first thing that is written fails.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {len(steps)}")
    connection.execute("ROLLBACK")


def _back_up(connection: sqlite3.Connection, file: Path, version: int) -> None:
    backup = file.with_name(f"{file.stem}-v{version}{file.suffix}")
    with draft_beside(backup) as draft:
        with contextlib.closing(sqlite3.connect(draft)) as copy:
            connection.backup(copy)
        draft.replace(backup)
    sync_folder(file.parent)


def _take_steps(connection: sqlite3.Connection, steps: Sequence[str], version: int) -> None:
    try:
        connection.executescript(
            "\n".join(
                (
                    "BEGIN IMMEDIATE;",
                    *steps[version:],
                    f"PRAGMA application_id = {APPLICATION_ID};",
                    f"PRAGMA user_version = {len(steps)};",
                    "COMMIT;",
                )
            )
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
