"""
The file of our own key, which makes us who we are.
"""

from __future__ import annotations

import os
import re
import shlex
from errno import ELOOP
from pathlib import Path
from stat import S_ISREG

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twistedchat.core.errors import ConfigError
from twistedchat.core.identity import Identity
from twistedchat.store.files import create_private

__all__ = ["open_identity"]

FILE = "identity.key"

_LABEL = "twistedchat-ed25519"
_LINE = re.compile(rf"{_LABEL} ([0-9a-f]{{64}})\n\Z".encode())
_LENGTH = len(_LABEL) + len(" ") + 64 + len("\n")

# What only the owner may do leaves these clear.
_OTHERS = 0o077


def open_identity(folder: Path) -> tuple[Identity, bool]:
    """
    Read our key, or make one where there is none.

    Args:
        folder: The node's own.

    Returns:
        Who we are, and whether that is new.

    Raises:
        ConfigError: The file is there but cannot be used; it stays as it is. Or it cannot be made.
    """
    file = folder / FILE
    try:
        try:
            return _read(file), False
        except FileNotFoundError:
            secret = Ed25519PrivateKey.generate()
        try:
            create_private(file, f"{_LABEL} {secret.private_bytes_raw().hex()}\n".encode())
        except FileExistsError:
            # Somebody was faster, and whoever is first is right.
            return _read(file), False
    except OSError as error:
        raise ConfigError(
            f"The key in {file} can be neither read nor made ({error.strerror}). Give yourself the "
            "right to, make room there, or choose another place with --state."
        ) from error
    return Identity(secret), True


def _read(file: Path) -> Identity:
    try:
        # A pipe of that name must not make us wait.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == ELOOP:
            raise _misplaced(file) from None
        raise
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise _misplaced(file)
        if status.st_uid != os.geteuid():
            raise ConfigError(
                f"The key in {file} belongs to another user (number {status.st_uid}). Start the "
                "chat as that user, or choose another place with --state."
            )
        if status.st_mode & _OTHERS:
            raise ConfigError(
                f"The key in {file} is open to other users. If none of them can have taken it, "
                f"close it with: chmod 600 {shlex.quote(str(file))}"
            )
        line = _LINE.match(os.read(descriptor, _LENGTH + 1))
    finally:
        os.close(descriptor)
    if line is None:
        # Nothing of what is in it may be told: it can be most of the secret.
        raise ConfigError(
            f"The key in {file} is damaged. Put back a copy of that file. Without it you are "
            "somebody else to everyone: deleting it makes a new key at the next start."
        )
    return Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(line[1].decode())))


def _misplaced(file: Path) -> ConfigError:
    return ConfigError(
        f"{file} is no regular file: the key has to be in one. Put back a copy of it. Without it "
        "you are somebody else to everyone: deleting it makes a new key at the next start."
    )
