"""
A disk with little room on it, for the tests of what happens when there is none.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from unittest import SkipTest

__all__ = ["SmallDisk"]


class SmallDisk:
    """
    A disk of a megabyte, in memory. Only root may make one.

    Args:
        folder: Where to mount it; made if it is not there.

    Attributes:
        folder: The same.

    Raises:
        unittest.SkipTest: None can be mounted here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir(exist_ok=True)
        try:
            self._mount("-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs")
        except OSError as error:
            raise SkipTest(f"no disk can be mounted here: {error}") from error
        except subprocess.CalledProcessError as error:
            raise SkipTest(f"no disk can be mounted here: {error.stderr.strip()}") from error

    def _mount(self, *arguments: str) -> None:
        command = ["mount", *arguments, str(self.folder)]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def fill(self) -> None:
        """
        Take all the room that is left.
        """
        with self._filler.open("ab", buffering=0) as filler:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while filler.write(b"x" * size):
                        pass

    def make_room(self) -> None:
        """
        Give back what `fill` has taken.
        """
        self._filler.unlink()

    def protect(self) -> None:
        """
        Let nobody write there any more.
        """
        self._mount("-o", "remount,ro")

    def unmount(self) -> None:
        """
        Take it away.
        """
        subprocess.run(["umount", str(self.folder)], check=True)
