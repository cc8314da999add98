"""
Nodes that were found on the network: where, and perhaps who. Without any I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from twistedchat.core.addresses import Address
from twistedchat.core.identity import DeviceKey

__all__ = ["Nearby"]


@dataclass(frozen=True, slots=True)
class Nearby:
    """
    A node that announced itself. Nothing of it is proven: it is a hint where to dial.

    Attributes:
        service: The name under which it announced itself, which is no person's.
        addresses: Where it says it can be reached, at least one.
        key: The contact that it hints to be, where it is one.
    """

    service: str
    addresses: tuple[Address, ...]
    key: DeviceKey | None = None
