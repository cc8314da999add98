"""
Private files that are there whole or not at all.
"""

import os
from errno import EINVAL, ENOSPC
from pathlib import Path
from stat import S_IMODE, S_ISDIR
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.store.files import (
    create_private,
    draft_beside,
    remove_drafts,
    sync_folder,
    write_private,
)


class FileTestCase(SynchronousTestCase):
    """
    A folder of its own for each test, in which the system takes no permission away.
    """

    @override
    def setUp(self) -> None:
        """
        Make it.
        """
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "some.txt"
        self.addCleanup(os.umask, os.umask(0))

    def mode(self, file: Path) -> int:
        """
        The permissions of a file.
        """
        return S_IMODE(file.stat().st_mode)

    def fill_disk(self, *, but_folders: bool = False) -> None:
        """
        Let nothing reach the disk any more.
        """

        def full(descriptor: int) -> None:
            if not (but_folders and S_ISDIR(os.fstat(descriptor).st_mode)):
                raise OSError(ENOSPC, "No space left on device")

        self.patch(os, "fsync", full)


class WritePrivateTests(FileTestCase):
    """
    `write_private`.
    """

    def test_written_is_private_and_alone(self) -> None:
        """
        The file holds what was written last, is for nobody else, and no draft stays behind.
        """
        write_private(self.file, b"before")
        write_private(self.file, b"after")

        self.assertEqual(b"after", self.file.read_bytes())
        self.assertEqual(0o600, self.mode(self.file))
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_open_file_is_closed_to_others(self) -> None:
        """
        What others could read before they cannot read afterwards.
        """
        self.file.touch(0o644)

        write_private(self.file, b"secret")

        self.assertEqual(0o600, self.mode(self.file))

    def test_file_and_then_its_name_reach_the_disk(self) -> None:
        """
        The draft is forced out before it takes the place, and the folder's names after that.
        """
        write_private(self.file, b"before")
        seen: list[tuple[bool, bytes]] = []

        def look(descriptor: int) -> None:
            is_folder = S_ISDIR(os.fstat(descriptor).st_mode)
            seen.append((is_folder, self.file.read_bytes()))

        self.patch(os, "fsync", look)
        write_private(self.file, b"after")

        self.assertEqual([(False, b"before"), (True, b"after")], seen)

    def test_full_disk_keeps_what_was_there(self) -> None:
        """
        What cannot be written changes nothing, and its draft goes.
        """
        write_private(self.file, b"before")
        self.fill_disk()

        self.assertRaises(OSError, write_private, self.file, b"after")

        self.assertEqual(b"before", self.file.read_bytes())
        self.assertEqual([self.file], list(self.folder.iterdir()))


class CreatePrivateTests(FileTestCase):
    """
    `create_private`.
    """

    def test_new_file_is_private_and_alone(self) -> None:
        """
        The file is for nobody else, and no draft stays behind.
        """
        create_private(self.file, b"secret")

        self.assertEqual(b"secret", self.file.read_bytes())
        self.assertEqual(0o600, self.mode(self.file))
        self.assertEqual([self.file], list(self.folder.iterdir()))
        self.assertEqual(1, self.file.stat().st_nlink)

    def test_existing_file_stays_as_it_is(self) -> None:
        """
        What is there already is not replaced, whatever it is.
        """
        self.file.write_bytes(b"before")

        self.assertRaises(FileExistsError, create_private, self.file, b"after")

        self.assertEqual(b"before", self.file.read_bytes())
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_full_disk_leaves_nothing(self) -> None:
        """
        There is no half of a file, under any name.
        """
        self.fill_disk()

        self.assertRaises(OSError, create_private, self.file, b"secret")

        self.assertEqual([], list(self.folder.iterdir()))


class DraftTests(FileTestCase):
    """
    `draft_beside`.
    """

    def test_draft_is_private_from_the_first_moment(self) -> None:
        """
        Nobody else can open it even while it is empty.
        """
        with draft_beside(self.file) as draft:
            self.assertEqual(0o600, self.mode(draft))
            self.assertEqual(self.folder, draft.parent)
            self.assertEqual(b"", draft.read_bytes())

        self.assertEqual([], list(self.folder.iterdir()))


class RemoveDraftsTests(FileTestCase):
    """
    `remove_drafts`.
    """

    def test_what_a_killed_process_left_goes_and_nothing_else(self) -> None:
        """
        Drafts of the file go, and of the copies beside it, with what a database keeps beside them.
        """
        for name in ("some.txt", "some-v1.txt"):
            with draft_beside(self.folder / name) as draft:
                left = draft.rename(self.folder / "kept")
            left.rename(draft)
            draft.with_name(f"{draft.name}-journal").touch()
        others = ["some.txt", ".some", ".some-notes.txt", "some-1.draft", ".others-1.draft"]
        for name in others:
            (self.folder / name).touch()
        self.assertEqual(4 + len(others), len(list(self.folder.iterdir())))

        remove_drafts(self.file)

        self.assertEqual(set(others), {file.name for file in self.folder.iterdir()})


class SyncFolderTests(FileTestCase):
    """
    `sync_folder`.
    """

    def fail_with(self, number: int) -> None:
        """
        Let forcing out fail.
        """
        self.asked = 0

        def fsync(descriptor: int) -> None:
            self.asked += 1
            raise OSError(number, os.strerror(number))

        self.patch(os, "fsync", fsync)

    def test_folder_that_cannot_be_forced_out_is_left(self) -> None:
        """
        Some network file systems have no such thing, and that is no error.
        """
        self.fail_with(EINVAL)

        sync_folder(self.folder)

        self.assertEqual(1, self.asked)

    def test_failing_disk_is_told(self) -> None:
        """
        Everything else is an error.
        """
        self.fail_with(ENOSPC)

        self.assertRaises(OSError, sync_folder, self.folder)

    def test_no_file_is_left_open(self) -> None:
        """
        The folder is closed again, also after an error.
        """
        before = len(list(Path("/dev/fd").iterdir()))
        sync_folder(self.folder)
        self.fail_with(ENOSPC)
        self.assertRaises(OSError, sync_folder, self.folder)

        self.assertEqual(before, len(list(Path("/dev/fd").iterdir())))
