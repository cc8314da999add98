"""
The journal's file: made, opened, looked over and brought up to date.
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from typing_extensions import override

from tests.test_store_files import FileTestCase
from twistedchat.core.errors import ConfigError
from twistedchat.store import database
from twistedchat.store.database import explain, open_database, schema_steps

FIRST = ["CREATE TABLE people (name TEXT); -- the first version"]
SECOND = [*FIRST, "ALTER TABLE people ADD COLUMN age INTEGER; UPDATE people SET age = 7;"]
THIRD = [*SECOND, "CREATE TABLE places (name TEXT);"]
BROKEN = [*SECOND, "CREATE TABLE places (name TEXT); INSERT INTO nowhere VALUES (1);"]


class DatabaseTestCase(FileTestCase):
    """
    A database that can be opened with any steps.
    """

    @override
    def setUp(self) -> None:
        """
        Name the file.
        """
        super().setUp()
        self.file = self.folder / "journal.sqlite"

    def make(self, steps: Sequence[str] = FIRST, *statements: str) -> None:
        """
        Open the file, do something with it, and close it.
        """
        with contextlib.closing(open_database(self.file, steps)) as connection:
            for statement in statements:
                connection.execute(statement)

    def ask(self, question: str, file: Path | None = None) -> list[tuple[object, ...]]:
        """
        Look into the file, with bare SQLite.
        """
        with contextlib.closing(sqlite3.connect(file or self.file)) as connection:
            return connection.execute(question).fetchall()

    def refuse(self, steps: Sequence[str] = FIRST) -> str:
        """
        Open what cannot be opened, and give what is said about it; the file stays as it is.
        """
        before = self.file.read_bytes()
        error = self.assertRaises(ConfigError, open_database, self.file, steps)
        self.assertEqual(before, self.file.read_bytes())
        self.assertIn(f"The journal {self.file} ", str(error))
        return str(error)


class OpeningTests(DatabaseTestCase):
    """
    `open_database`.
    """

    def test_new_file_is_private_and_marked(self) -> None:
        """
        The file and what SQLite keeps beside it are for nobody else, and it says what it is.
        """
        connection = open_database(self.file, SECOND)
        self.addCleanup(connection.close)
        connection.execute("INSERT INTO people VALUES ('Ann', 3)")

        self.assertEqual(
            {"journal.sqlite": 0o600, "journal.sqlite-shm": 0o600, "journal.sqlite-wal": 0o600},
            {file.name: self.mode(file) for file in self.folder.iterdir()},
        )
        self.assertEqual(0x74776368, connection.execute("PRAGMA application_id").fetchone()[0])
        self.assertEqual(2, connection.execute("PRAGMA user_version").fetchone()[0])

    def test_commits_reach_the_disk(self) -> None:
        """
        SQLite writes ahead, and forces out each commit.
        """
        connection = open_database(self.file, FIRST)
        self.addCleanup(connection.close)

        self.assertEqual("wal", connection.execute("PRAGMA journal_mode").fetchone()[0])
        self.assertEqual(2, connection.execute("PRAGMA synchronous").fetchone()[0])

    def test_copy_by_other_means_will_do(self) -> None:
        """
        What SQLite's own tools copied is used like the file that it was.
        """
        self.make()
        copy = self.folder / "copy.sqlite"
        self.ask(f"VACUUM INTO '{copy}'")

        connection = open_database(copy, FIRST)
        self.addCleanup(connection.close)

        self.assertEqual("wal", connection.execute("PRAGMA journal_mode").fetchone()[0])

    def test_old_file_is_found_again(self) -> None:
        """
        What was written is there at the next start, and nothing lies beside it.
        """
        self.make(FIRST, "INSERT INTO people VALUES ('Ann')")

        with contextlib.closing(open_database(self.file, FIRST)) as connection:
            self.assertEqual([("Ann",)], connection.execute("SELECT * FROM people").fetchall())
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_any_folder_name_will_do(self) -> None:
        """
        Signs that mean something in a URI mean nothing in a folder's name.
        """
        folder = self.folder / "a b?mode=ro#c%20d é"
        folder.mkdir()
        self.file = folder / "journal.sqlite"

        self.make()

        self.assertEqual([self.file], list(folder.iterdir()))

    def test_memory_needs_no_file(self) -> None:
        """
        What is kept in memory has the same tables.
        """
        with contextlib.closing(open_database(None, SECOND)) as connection:
            self.assertEqual([], connection.execute("SELECT name, age FROM people").fetchall())
        self.assertEqual([], list(self.folder.iterdir()))

    def test_failing_disk_leaves_no_half_of_a_file(self) -> None:
        """
        The file has its name only when it is whole.
        """
        self.assertRaises(ConfigError, open_database, self.file, BROKEN)
        self.assertEqual([], list(self.folder.iterdir()))

        self.fill_disk()
        error = self.assertRaises(ConfigError, open_database, self.file, FIRST)

        self.assertIn("cannot be made (No space left on device)", str(error))
        self.assertEqual([self.file], list(self.folder.iterdir()))
        self.assertEqual([("ok",)], self.ask("PRAGMA quick_check"))
        self.assertEqual([(1,)], self.ask("PRAGMA user_version"))

    def test_missing_folder_is_told(self) -> None:
        """
        Where there is no folder there is no journal.
        """
        error = self.assertRaises(
            ConfigError, open_database, self.folder / "gone" / "journal.sqlite", FIRST
        )

        self.assertIn("cannot be made (No such file or directory)", str(error))
        self.assertIn("--state", str(error))

    def test_folder_in_its_place_is_told(self) -> None:
        """
        What is no file cannot be opened.
        """
        self.file.mkdir()

        error = self.assertRaises(ConfigError, open_database, self.file, FIRST)

        self.assertIn("it cannot be opened", str(error))

    def test_log_without_its_file_is_told(self) -> None:
        """
        What SQLite left beside a file that is gone is not written into a new one.
        """
        log = self.folder / "journal.sqlite-wal"
        log.write_bytes(b"whatever")

        error = self.assertRaises(ConfigError, open_database, self.file, FIRST)

        self.assertIn("is gone, but journal.sqlite-wal beside it is there", str(error))
        self.assertEqual([log], list(self.folder.iterdir()))

    def test_file_of_another_program_is_told(self) -> None:
        """
        A database that is none of ours is left alone.
        """
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute("CREATE TABLE people (name TEXT)")

        self.assertIn("that is none, or it is damaged. Put back a copy", self.refuse())

    def test_file_without_tables_is_told(self) -> None:
        """
        The mark alone does not make a journal.
        """
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute(f"PRAGMA application_id = {database.APPLICATION_ID}")

        self.assertIn("that is none, or it is damaged", self.refuse())

    def test_newer_file_is_told(self) -> None:
        """
        A later version may mean something else by the same tables.
        """
        self.make(THIRD)

        told = self.refuse(SECOND)

        self.assertIn("was written by a newer version of twistedchat. Use that version", told)
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_damaged_file_is_told(self) -> None:
        """
        A file that was emptied, cut or overwritten is not used, and not made anew.
        """
        people = ", ".join(f"('{number:0300}')" for number in range(200))
        self.make(FIRST, f"INSERT INTO people VALUES {people}")
        whole = self.file.read_bytes()
        for damaged in (
            b"",
            b"\0" * len(whole),
            whole[: len(whole) // 2],
            whole[:4096],
            b"x" * 100 + whole[100:],
            b"This was a journal once.\n",
        ):
            self.file.write_bytes(damaged)

            told = self.refuse()

            self.assertIn("damaged. Put back a copy of it.", told)

    def test_file_that_is_held_is_told(self) -> None:
        """
        Another program that writes to the file is waited for, but not for ever.
        """
        self.make()
        self.patch(database, "PATIENCE", 0)
        with contextlib.closing(sqlite3.connect(self.file)) as other:
            other.execute("BEGIN IMMEDIATE")

            error = self.assertRaises(ConfigError, open_database, self.file, FIRST)

        self.assertIn("another program holds it. Close that program", str(error))

    def test_no_file_is_left_open(self) -> None:
        """
        What is refused is closed again.
        """
        descriptors = Path("/dev/fd")
        self.make(SECOND)
        before = len(list(descriptors.iterdir()))

        self.refuse(FIRST)

        self.assertEqual(before, len(list(descriptors.iterdir())))


class ReadOnlyTests(DatabaseTestCase):
    """
    A file that can only be read, as `SQLite` opens it where it may not write.
    """

    def test_it_is_told_at_once(self) -> None:
        """
        Not when the first thing is to be kept.
        """

        def connect_to_read(file: Path) -> sqlite3.Connection:
            return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)

        # Another one has it open, as a killed one leaves it: there is a log beside it.
        with contextlib.closing(open_database(self.file, FIRST)):
            self.patch(database, "connect", connect_to_read)

            self.assertIn("it can only be read", self.refuse())


class UpgradeTests(DatabaseTestCase):
    """
    `open_database` of what an earlier version wrote.
    """

    @override
    def setUp(self) -> None:
        """
        Write the first version.
        """
        super().setUp()
        self.make(FIRST, "INSERT INTO people VALUES ('Ann')")
        self.backup = self.folder / "journal-v1.sqlite"

    def test_upgraded_keeps_everything(self) -> None:
        """
        All steps are taken, over what was there.
        """
        self.make(THIRD)

        self.assertEqual([("Ann", 7)], self.ask("SELECT * FROM people"))
        self.assertEqual([], self.ask("SELECT * FROM places"))
        self.assertEqual([(3,)], self.ask("PRAGMA user_version"))

    def test_upgrade_is_done_once(self) -> None:
        """
        At the next start there is nothing to do, and no step is taken twice.
        """
        self.make(SECOND)
        self.make(SECOND, "INSERT INTO people VALUES ('Bob', 8)")
        self.make(SECOND)

        self.assertEqual([("Ann", 7), ("Bob", 8)], self.ask("SELECT * FROM people"))

    def test_backup_is_what_was_there(self) -> None:
        """
        The file as it was lies beside it, private and whole, and an earlier version can use it.
        """
        self.make(SECOND)

        self.assertEqual({self.file, self.backup}, set(self.folder.iterdir()))
        self.assertEqual(0o600, self.mode(self.backup))
        self.file = self.backup
        self.make(FIRST)
        self.assertEqual([("Ann",)], self.ask("SELECT * FROM people"))

    def test_backup_holds_what_was_still_in_the_log(self) -> None:
        """
        After a crash the newest entries are in the log beside the file, and belong to it.
        """
        crashed = self.folder / "crashed"
        crashed.mkdir()
        with contextlib.closing(open_database(self.file, FIRST)) as connection:
            connection.execute("INSERT INTO people VALUES ('Bob')")
            for name in ("journal.sqlite", "journal.sqlite-wal"):
                (crashed / name).write_bytes((self.folder / name).read_bytes())
        self.file = crashed / "journal.sqlite"

        self.make(SECOND)

        self.assertEqual([("Ann", 7), ("Bob", 7)], self.ask("SELECT * FROM people"))
        self.assertEqual(
            [("Ann",), ("Bob",)],
            self.ask("SELECT * FROM people", crashed / "journal-v1.sqlite"),
        )

    def test_failed_step_changes_nothing(self) -> None:
        """
        All steps are taken or none, and the next version with a good step goes on from there.
        """
        error = self.assertRaises(ConfigError, open_database, self.file, BROKEN)

        self.assertIn("no such table: nowhere", str(error))
        self.assertEqual([("Ann",)], self.ask("SELECT * FROM people"))
        self.assertEqual([(1,)], self.ask("PRAGMA user_version"))
        self.make(THIRD)
        self.assertEqual([("Ann", 7)], self.ask("SELECT * FROM people"))

    def test_full_disk_changes_nothing(self) -> None:
        """
        Without a backup there is no upgrade.
        """
        self.fill_disk()

        error = self.assertRaises(ConfigError, open_database, self.file, SECOND)

        self.assertIn("(No space left on device)", str(error))
        self.assertEqual([(1,)], self.ask("PRAGMA user_version"))

    def test_damaged_file_is_not_upgraded(self) -> None:
        """
        Before everything is written anew it is read through.
        """
        people = ", ".join(f"('{number:0300}')" for number in range(200))
        self.make(FIRST, f"INSERT INTO people VALUES {people}")
        data = bytearray(self.file.read_bytes())
        # Somewhere in a page of rows: opening the file does not come by there.
        data[-4096:] = b"x" * 4096
        self.file.write_bytes(data)

        self.assertIn("damaged. Put back a copy of it.", self.refuse(SECOND))
        self.assertEqual([self.file], list(self.folder.iterdir()))


class SchemaTests(DatabaseTestCase):
    """
    The files that come with the package.
    """

    def test_every_file_is_a_step(self) -> None:
        """
        The steps are the files, in the order of their numbers.
        """
        schema = files("twistedchat.store") / "schema"
        names = sorted(file.name for file in schema.iterdir() if file.name.endswith(".sql"))

        self.assertEqual([f"journal-v{number + 1}.sql" for number in range(len(names))], names)
        self.assertEqual([(schema / name).read_text("utf-8") for name in names], schema_steps())

    def test_steps_make_a_sound_database(self) -> None:
        """
        The tables refer to each other as they should.
        """
        with contextlib.closing(open_database(self.file, schema_steps())) as connection:
            self.assertEqual("ok", connection.execute("PRAGMA integrity_check").fetchone()[0])
            self.assertEqual([], connection.execute("PRAGMA foreign_key_check").fetchall())


class ExplainTests(FileTestCase):
    """
    `explain`.
    """

    def test_every_trouble_says_what_to_do(self) -> None:
        """
        Whatever SQLite reports, with or without a code, becomes two sentences about the file.
        """
        told = {}
        for name in ("FULL", "IOERR_WRITE", "READONLY", "CANTOPEN", "BUSY", "CORRUPT", "NOTADB"):
            error = sqlite3.OperationalError("in SQLite's words")
            error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{name}")
            told[name] = explain(self.file, error)
            self.assertTrue(told[name].startswith(f"The journal {self.file} cannot be used: "))
            self.assertNotIn("SQLite", told[name])

        self.assertIn("the disk is full. Make room there, and try again.", told["FULL"])
        self.assertIn("the disk fails. Make room there, and see", told["IOERR_WRITE"])
        self.assertEqual(told["CORRUPT"], told["NOTADB"])
        self.assertEqual(6, len(set(told.values())))
        self.assertEqual(
            f"The journal {self.file} cannot be used: something else. "
            "See whether the disk is sound.",
            explain(self.file, sqlite3.ProgrammingError("something else")),
        )

    def test_missing_search_is_no_fault_of_the_disk(self) -> None:
        """
        An SQLite that was built without it cannot make or use the index.
        """
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            error = self.assertRaises(
                sqlite3.Error, connection.execute, "CREATE VIRTUAL TABLE words USING fts99 (body)"
            )

        self.assertIn("no such module: fts99. Use a Python whose", explain(self.file, error))

    def test_real_error_has_its_code(self) -> None:
        """
        What SQLite really raises is told as what it is.
        """
        self.file.write_bytes(os.urandom(4096))

        error = self.assertRaises(sqlite3.DatabaseError, self.ask)

        self.assertIn("it is damaged", explain(self.file, error))

    def ask(self) -> None:
        """
        Ask a file that is no database.
        """
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute("SELECT * FROM sqlite_master")
