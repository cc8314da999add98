"""
Invites: a link that makes the first contact a verified one.

Without any I/O. The QR code of a link is drawn by `twistedchat.core.wording`.
"""

from __future__ import annotations

from dataclasses import dataclass

from twistedchat.core.addresses import Address
from twistedchat.core.identity import DeviceKey

__all__ = ["Invite"]


@dataclass(frozen=True, slots=True)
class Invite:
    """
    What somebody gives to another, so that they meet exactly that node.

    Attributes:
        key: The node's key.
        name: The name it gives itself.
        addresses: Where it may be reached; hints.
    """

    key: DeviceKey
    name: str
    addresses: tuple[Address, ...] = ()
