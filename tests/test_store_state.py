"""
The state directory.
"""

import os
from errno import ENOSPC
from pathlib import Path
from stat import S_IMODE
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.core.errors import ConfigError
from twistedchat.store.state import Settings, StateDirectory


class StateTestCase(SynchronousTestCase):
    """
    A folder of its own for each test.
    """

    @override
    def setUp(self) -> None:
        """
        Make it, and let the system take no permission away.
        """
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name) / "place"
        self.place.mkdir()
        self.addCleanup(os.umask, os.umask(0))

    def mode(self, path: Path) -> int:
        """
        The permissions of a file.
        """
        return S_IMODE(path.stat().st_mode)


class StateDirectoryTests(StateTestCase):
    """
    `StateDirectory`.
    """

    def test_missing_is_made_private(self) -> None:
        """
        The folder is made where there is none, for nobody else.
        """
        path = self.place / "deep" / "state"

        state = StateDirectory(path)

        self.assertEqual(path, state.path)
        self.assertEqual(0o700, self.mode(path))

    def test_existing_is_used_as_it_is(self) -> None:
        """
        A folder that is there keeps its permissions and what is in it.
        """
        self.place.chmod(0o750)
        (self.place / "kept").touch()

        StateDirectory(self.place)

        self.assertEqual(0o750, self.mode(self.place))
        self.assertTrue((self.place / "kept").exists())

    def test_folder_of_a_node_is_named_after_its_port(self) -> None:
        """
        Each node has a private folder of its own, the same at every start.
        """
        state = StateDirectory(self.place)

        folder = state.node_folder(7070)

        self.assertEqual(self.place / "7070", folder)
        self.assertEqual(0o700, self.mode(folder))
        self.assertEqual(folder, state.node_folder(7070))
        self.assertNotEqual(folder, state.node_folder(7071))

    def test_file_in_the_place_of_a_folder_is_told(self) -> None:
        """
        What cannot be made is told with what to do.
        """
        file = self.place / "file"
        file.touch()

        for path in (file, file / "below"):
            error = self.assertRaises(ConfigError, StateDirectory, path)
            self.assertIn(f"The state directory {path} cannot be made (", str(error))
            self.assertIn("--state", str(error))

    def test_file_in_the_place_of_a_node_is_told(self) -> None:
        """
        The same for the folder of a node.
        """
        (self.place / "7070").touch()
        state = StateDirectory(self.place)

        error = self.assertRaises(ConfigError, state.node_folder, 7070)

        self.assertIn("cannot be made (File exists)", str(error))

    def test_folder_that_cannot_be_written_to_is_told(self) -> None:
        """
        A folder without the right to write is told as that.
        """
        self.patch(os, "access", lambda path, mode: False)

        error = self.assertRaises(ConfigError, StateDirectory, self.place)

        self.assertEqual(
            f"The state directory {self.place} cannot be written to. "
            "Give yourself the right to, or choose another place with --state.",
            str(error),
        )


class SettingsTests(StateTestCase):
    """
    What is remembered.
    """

    @override
    def setUp(self) -> None:
        """
        Make a state directory.
        """
        super().setUp()
        self.state = StateDirectory(self.place)
        self.file = self.place / "settings.json"

    def test_nothing_remembered_is_empty(self) -> None:
        """
        The first start finds no settings, and that is no error.
        """
        self.assertEqual(Settings(None, None), self.state.read_settings())
        self.assertEqual([], list(self.place.iterdir()))

    def test_written_is_read_again(self) -> None:
        """
        What was remembered is found by the next start.
        """
        for settings in (Settings("Jürgen 你好", 7070), Settings(), Settings(port=1)):
            self.state.write_settings(settings)
            self.assertEqual(settings, StateDirectory(self.place).read_settings())

    def test_written_is_private_and_alone(self) -> None:
        """
        The file is for nobody else, and no draft stays behind.
        """
        self.state.write_settings(Settings("us", 7070))
        self.state.write_settings(Settings("us", 7071))

        self.assertEqual([self.file], list(self.place.iterdir()))
        self.assertEqual(0o600, self.mode(self.file))

    def test_unknown_settings_are_ignored(self) -> None:
        """
        A file from a later version can be read.
        """
        self.file.write_bytes(b'{"team": "us", "port": 7070, "colour": "blue"}')

        self.assertEqual(Settings("us", 7070), self.state.read_settings())

    def test_damaged_file_is_told(self) -> None:
        """
        What cannot be understood is neither guessed nor thrown away.
        """
        for damaged in (b"", b"{", b"[]", b'{"port": "7070"}', b'{"team": "\xff"}'):
            self.file.write_bytes(damaged)

            error = self.assertRaises(ConfigError, self.state.read_settings)

            self.assertIn(f"The settings in {self.file} cannot be read (", str(error))
            self.assertIn("Mend that file or delete it.", str(error))
            self.assertEqual(damaged, self.file.read_bytes())

    def test_folder_in_the_place_of_the_file_is_told(self) -> None:
        """
        What cannot be read is told, and what cannot be replaced too.
        """
        self.file.mkdir()

        self.assertIn(
            "cannot be read", str(self.assertRaises(ConfigError, self.state.read_settings))
        )
        error = self.assertRaises(ConfigError, self.state.write_settings, Settings("us", 7070))
        self.assertEqual(
            f"The settings cannot be written to {self.file} (Is a directory). "
            "Make room there, or choose another place with --state.",
            str(error),
        )
        self.assertEqual([self.file], list(self.place.iterdir()))

    def test_full_disk_keeps_what_was_there(self) -> None:
        """
        When the disk does not take it, the old settings are whole and no draft stays behind.
        """
        self.state.write_settings(Settings("us", 7070))

        def full(descriptor: int) -> None:
            raise OSError(ENOSPC, "No space left on device")

        self.patch(os, "fsync", full)
        error = self.assertRaises(ConfigError, self.state.write_settings, Settings("them", 1))

        self.assertIn("(No space left on device)", str(error))
        self.assertEqual(Settings("us", 7070), self.state.read_settings())
        self.assertEqual([self.file], list(self.place.iterdir()))

    def test_replaced_only_when_it_is_on_the_disk(self) -> None:
        """
        The draft is complete and forced out before it takes the place of the old file.
        """
        self.state.write_settings(Settings("us", 7070))
        seen: list[tuple[list[bytes], Settings]] = []

        def look(descriptor: int) -> None:
            drafts = [path.read_bytes() for path in self.place.iterdir() if path != self.file]
            seen.append((drafts, self.state.read_settings()))

        self.patch(os, "fsync", look)
        self.state.write_settings(Settings("them", 7071))

        first = ([b'{"team":"them","port":7071}'], Settings("us", 7070))
        # And the folder, which has the new name in it.
        self.assertEqual([first, ([], Settings("them", 7071))], seen)
        self.assertEqual(Settings("them", 7071), self.state.read_settings())

    def test_folder_that_is_gone_is_told(self) -> None:
        """
        A folder that somebody removed meanwhile is an error in words as well.
        """
        self.place.rmdir()

        error = self.assertRaises(ConfigError, self.state.write_settings, Settings("us", 7070))

        self.assertIn("(No such file or directory)", str(error))
