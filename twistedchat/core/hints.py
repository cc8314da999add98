"""
Naming somebody to those alone who know them already: salted hints of keys.

Whoever knows a key can compute its hint and compare; nobody else learns whose it is, and with
another salt it is another hint. Without any I/O: salts are random, so they come in as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from twistedchat.core.identity import DeviceKey

__all__ = ["SALT_LENGTH", "hint_of", "who_is_meant"]

# Octets of a salt: no two nodes ever take the same.
SALT_LENGTH = 16

# Octets of a hint: among all contacts of everybody no two keys have the same.
HINT_LENGTH = 16


def hint_of(key: DeviceKey, salt: bytes) -> str:
    """
    The hint of a key.

    Args:
        key: Whose.
        salt: `SALT_LENGTH` random octets.

    Returns:
        32 hexadecimal digits: half a SHA-256.
    """
    return sha256(b"twistedchat hint 1\n" + salt + key.raw).digest()[:HINT_LENGTH].hex()


def who_is_meant(
    hints: Iterable[str], salt: bytes, known: Iterable[DeviceKey]
) -> dict[str, DeviceKey]:
    """
    Find out which of those that are known are hinted at.

    Args:
        hints: What somebody said.
        salt: The salt it said with it.
        known: Whom to look for.

    Returns:
        Of the hints those that are understood, each with the key that is meant.
    """
    wanted = set(hints)
    return {hint: key for key in known if (hint := hint_of(key, salt)) in wanted}
