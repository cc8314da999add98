"""
One node for each folder.
"""

import fcntl
import os
import signal
import subprocess
import sys
from errno import ENOLCK, ENOSPC

from typing_extensions import override

from tests.processes import CHECKOUT
from tests.test_store_files import FileTestCase
from twistedchat.core.errors import ConfigError
from twistedchat.store.lock import LONGEST_PID, lock_folder

# Takes the folder, and tells what came of it; then waits for the end of its input. With "daemon" it
# goes on as a child of which the first process knows nothing any more, as twistd does.
HOLDER = """
import os, sys
from pathlib import Path
from twistedchat.core.errors import ConfigError
from twistedchat.store.lock import lock_folder

try:
    lock = lock_folder(Path(sys.argv[1]))
except ConfigError as error:
    print(error)
    sys.exit(1)
if "daemon" in sys.argv and os.fork():
    os._exit(0)
if "sign" in sys.argv:
    lock.sign()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


class LockTests(FileTestCase):
    """
    `lock_folder`.
    """

    @override
    def setUp(self) -> None:
        """
        Name the file.
        """
        super().setUp()
        self.file = self.folder / "lock"

    def hold(self, *options: str) -> tuple[subprocess.Popen[str], str]:
        """
        Let another process take the folder.

        Returns:
            The process, and what it told.
        """
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.folder), *options],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(holder.__exit__, None, None, None)
        assert holder.stdout is not None
        return holder, holder.stdout.readline().strip()

    def refuse(self) -> str:
        """
        Ask for the folder in vain, and give what is said about it.
        """
        return str(self.assertRaises(ConfigError, lock_folder, self.folder))

    def test_lock_is_private_and_signed(self) -> None:
        """
        The file says who has the folder, and is for nobody else.
        """
        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)

        self.assertEqual(f"{os.getpid()}\n", self.file.read_text())
        self.assertEqual(0o600, self.mode(self.file))

    def test_second_node_is_refused(self) -> None:
        """
        A folder is for one node, also within one process.
        """
        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)

        told = self.refuse()

        self.assertEqual(
            f"The folder {self.folder} is used by another node (process {os.getpid()}). Quit that "
            "one first, or choose another port or another place with --state.",
            told,
        )
        self.assertEqual(f"{os.getpid()}\n", self.file.read_text())

    def test_released_folder_is_free(self) -> None:
        """
        Whoever lets go of a folder leaves it to the next one.
        """
        lock_folder(self.folder).release()

        lock_folder(self.folder).release()

    def test_longer_signature_leaves_nothing_behind(self) -> None:
        """
        What stood in the file before does not make another number of ours.
        """
        self.file.write_text("1234567890123456789\n")

        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)

        self.assertEqual(f"{os.getpid()}\n", self.file.read_text())

    def test_folder_of_another_process_is_refused(self) -> None:
        """
        Another process's folder is not ours, and that process is named.
        """
        holder, told = self.hold()
        self.assertEqual(str(holder.pid), told)

        self.assertIn(f"another node (process {holder.pid})", self.refuse())

    def test_other_process_is_refused_our_folder(self) -> None:
        """
        And the other way round.
        """
        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)

        holder, told = self.hold()

        self.assertIn(f"another node (process {os.getpid()})", told)
        self.assertEqual(1, holder.wait())

    def test_folder_of_a_killed_process_is_free(self) -> None:
        """
        Nothing is left to be cleared away after a crash.
        """
        holder, _ = self.hold()
        holder.kill()
        holder.wait()

        lock_folder(self.folder).release()

    def test_forked_off_process_keeps_the_folder(self) -> None:
        """
        A daemon has the folder after the process that took it has ended, until it ends itself.
        """
        holder, told = self.hold("daemon", "sign")
        # The first process is gone; its child answers in its place.
        self.assertEqual(0, holder.wait())
        self.assertNotEqual(str(holder.pid), told)

        self.assertIn(f"another node (process {told})", self.refuse())

        daemon = os.pidfd_open(int(told))
        self.addCleanup(os.close, daemon)
        signal.pidfd_send_signal(daemon, signal.SIGKILL)
        assert holder.stdout is not None
        # The end of its output, which nobody else holds open, is the end of the process.
        self.assertEqual("", holder.stdout.read())
        lock_folder(self.folder).release()

    def test_unsigned_lock_names_nobody(self) -> None:
        """
        A file in which no number stands is no reason to name a process.
        """
        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)
        for text in ("", "\n", "somebody\n", "-5\n"):
            self.file.write_text(text)

            self.assertIn("is used by another node. Quit", self.refuse())

    def test_signature_is_read_so_far_and_no_further(self) -> None:
        """
        Whatever else is in the file, and however much of it, is not shown.
        """
        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)
        for text in ("1" * LONGEST_PID, "1" * LONGEST_PID + "23456789\n"):
            self.file.write_text(text)

            self.assertIn(f"another node (process {'1' * LONGEST_PID}). Quit", self.refuse())

    def test_full_disk_locks_all_the_same(self) -> None:
        """
        The signature is for the words only.
        """

        def full(*_: object) -> int:
            raise OSError(ENOSPC, "No space left on device")

        self.patch(os, "pwrite", full)
        lock = lock_folder(self.folder)
        self.addCleanup(lock.release)

        self.assertIn("is used by another node. Quit", self.refuse())

    def test_system_without_locks_is_told(self) -> None:
        """
        Where nothing can be locked there is no telling who else writes there.
        """

        def flock(*_: object) -> None:
            raise OSError(ENOLCK, "No locks available")

        self.patch(fcntl, "flock", flock)

        self.assertEqual(
            f"The folder {self.folder} cannot be locked for this node (No locks available). "
            "Choose another place with --state.",
            self.refuse(),
        )

    def test_what_is_no_file_is_told(self) -> None:
        """
        A link to elsewhere or a folder is no lock.
        """
        self.file.symlink_to(self.folder / "elsewhere")
        self.assertIn("cannot be locked for this node (", self.refuse())
        self.file.unlink()
        self.file.mkdir()
        self.assertIn("cannot be locked for this node (Is a directory)", self.refuse())
