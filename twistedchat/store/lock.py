"""
One node for each folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from twistedchat.core.errors import ConfigError

__all__ = ["FolderLock", "lock_folder"]

FILE = "lock"

# Digits of a process ID, and more than any system has.
LONGEST_PID = 20


class FolderLock:
    """
    The right to use a folder, held until the last process that has it ends.

    A process that is forked off has it too, and keeps it when the first one ends: so a daemon does.

    Args:
        descriptor: The open lock file. It is closed by nothing but `release` and the system.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def sign(self) -> None:
        """
        Write down that this process is the one; to be done again by one that was forked off.
        """
        # Only for the words in which another node is refused: the lock holds without it.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """
        Let another node use the folder while this process lives on.
        """
        os.close(self._descriptor)


def lock_folder(folder: Path) -> FolderLock:
    """
    Take a folder for this node alone, without waiting for it.

    Args:
        folder: The node's own.

    Returns:
        The lock, signed.

    Raises:
        ConfigError: Another node has it, or the folder cannot be locked.
    """
    file = folder / FILE
    try:
        # No symbolic link, or it could be another folder's lock.
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise ConfigError(
                    f"The folder {folder} is used by another node{holder}. Quit that one first, "
                    "or choose another port or another place with --state."
                ) from None
            raise
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be locked for this node ({error.strerror}). "
            "Choose another place with --state."
        ) from error
    lock = FolderLock(descriptor)
    lock.sign()
    return lock


def _holder(descriptor: int) -> str:
    digits = os.pread(descriptor, LONGEST_PID, 0).strip()
    return f" (process {digits.decode()})" if digits.isdigit() else ""
