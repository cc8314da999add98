"""
Private files that are there whole or not at all, even after a power cut.

All functions raise ``OSError``; what it means to a person is for the caller to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from pathlib import Path
from tempfile import NamedTemporaryFile

__all__ = ["create_private", "draft_beside", "remove_drafts", "sync_folder", "write_private"]

SUFFIX = ".draft"


@contextmanager
def draft_beside(file: Path) -> Iterator[Path]:
    """
    Have an empty file in the same folder, so that it can take another's place in one step.

    Args:
        file: The other.

    Yields:
        A file with mode 0600. What is still under that name at the end is removed.
    """
    with NamedTemporaryFile(
        dir=file.parent, prefix=f".{file.stem}-", suffix=SUFFIX, delete=False
    ) as made:
        draft = Path(made.name)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(file: Path) -> None:
    """
    Remove what processes that were killed have left of `draft_beside`.

    Args:
        file: The other; also drafts of files go whose names begin with its own and a hyphen. Nobody
            else may be making any now.
    """
    # A database that is being made has files of its own beside it.
    for left in file.parent.glob(f".{file.stem}-*{SUFFIX}*"):
        left.unlink()


def write_private(file: Path, data: bytes) -> None:
    """
    Write a file of mode 0600; what was there before is replaced whole, or not at all.

    Args:
        file: Which.
        data: What is in it afterwards.
    """
    with draft_beside(file) as draft:
        _fill(draft, data)
        draft.replace(file)
    sync_folder(file.parent)


def create_private(file: Path, data: bytes) -> None:
    """
    Write a file of mode 0600 that has never been there.

    Args:
        file: Which.
        data: What is in it.

    Raises:
        FileExistsError: It is there already, and stays as it is.
    """
    with draft_beside(file) as draft:
        _fill(draft, data)
        file.hardlink_to(draft)
    sync_folder(file.parent)


def _fill(draft: Path, data: bytes) -> None:
    with draft.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """
    See to it that the names in a folder outlive a power cut.

    Args:
        folder: Which.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do this for a folder, and keep its names anyway.
        if error.errno != EINVAL:
            raise
    finally:
        os.close(descriptor)
