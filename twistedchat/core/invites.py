"""
Invites: a link that makes the first contact a verified one, and its QR code.

Whoever has the link knows the key before the first connection, so that nobody can take the owner's
place in it. Without any I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

import segno

from twistedchat.core.addresses import Address, parse_host_port
from twistedchat.core.classic import LONGEST_NAME
from twistedchat.core.errors import AddressError, InvalidInvite, InvalidKey
from twistedchat.core.identity import DeviceKey, parse_key
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import MOST_ADDRESSES

__all__ = ["LONGEST_LINK", "Invite", "is_invite", "parse_invite", "qr_lines"]

# Characters of a link: more than ever are needed, and they still fit into a QR code, which holds
# 2,953 (ISO/IEC 18004, version 40 with error correction level L).
LONGEST_LINK = 2_000

# Light modules around a QR code, by which readers find it: ISO/IEC 18004 wants four.
QUIET_ZONE = 4

_SCHEME = "p2pchat:"

# Two modules, the upper and the lower one, by whether they are dark.
_BLOCKS = {
    (False, False): "\N{FULL BLOCK}",
    (False, True): "\N{UPPER HALF BLOCK}",
    (True, False): "\N{LOWER HALF BLOCK}",
    (True, True): " ",
}


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

    @property
    def link(self) -> str:
        """
        The invite as a link, with as many of the addresses as it may hold.
        """
        link = f"{_SCHEME}{self.key}?name={quote(self.name, safe='')}"
        for address in self.addresses[:MOST_ADDRESSES]:
            longer = f"{link}&at={quote(str(address), safe=':')}"
            if len(longer) <= LONGEST_LINK:
                link = longer
        return link


def is_invite(text: str) -> bool:
    """
    Whether a line is meant as an invite, good or not.

    Args:
        text: What was typed or pasted; outer white space does not count.
    """
    return text.strip()[: len(_SCHEME)].lower() == _SCHEME


def parse_invite(text: str) -> Invite:
    """
    Read an invite.

    Args:
        text: What was typed or pasted: a link, of which parameters that are not known are passed
            over, so that later nodes can say more. Outer white space does not count.

    Returns:
        The invite.

    Raises:
        InvalidInvite: It is none.
    """
    link = text.strip()
    if not is_invite(link):
        raise InvalidInvite(f"That is no invite: one begins with {_SCHEME}")
    if len(link) > LONGEST_LINK:
        raise InvalidInvite(
            f"Invalid invite: it has {len(link)} characters, and at most {LONGEST_LINK} are "
            "allowed."
        )
    digits, _, query = link[len(_SCHEME) :].partition("?")
    try:
        key = parse_key(digits)
    except InvalidKey as error:
        raise InvalidInvite(
            f"Invalid invite: after {_SCHEME} comes a device key, of 64 digits and small letters "
            "from a to f. Copy it whole."
        ) from error
    parameters = [parameter.partition("=") for parameter in query.split("&")]
    names = [_unquoted(written) for field, _, written in parameters if field == "name"]
    places = [_unquoted(written) for field, _, written in parameters if field == "at"]
    if len(names) != 1:
        raise InvalidInvite("Invalid invite: it does not say the one name of who made it.")
    if len(places) > MOST_ADDRESSES:
        raise InvalidInvite(
            f"Invalid invite: it has {len(places)} addresses, and at most {MOST_ADDRESSES} are "
            "allowed."
        )
    return Invite(key, _checked_name(names[0]), tuple(_parse_address(place) for place in places))


def _unquoted(written: str) -> str:
    try:
        return unquote(written, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidInvite("Invalid invite: it holds characters that are not UTF-8.") from error


def _checked_name(name: str) -> str:
    if not name or len(name) > LONGEST_NAME:
        raise InvalidInvite(
            f"Invalid invite: its name has {len(name)} characters, and 1 to {LONGEST_NAME} are "
            "allowed."
        )
    if name != safe_text(name).strip():
        raise InvalidInvite(
            f"Invalid invite: its name {safe_text(name)} holds characters that cannot be shown, or "
            "outer white space."
        )
    return name


def _parse_address(written: str) -> Address:
    try:
        host, port = parse_host_port(written)
        if port is None:
            raise AddressError("There is no port.")
    except AddressError as error:
        raise InvalidInvite(
            f"Invalid invite: its address {safe_text(written[:60])} is no IP address or host name "
            "with a port."
        ) from error
    return Address(host, port)


def qr_lines(text: str) -> list[str]:
    """
    Draw a QR code (ISO/IEC 18004) with characters of which each holds two modules.

    What is written here are its light modules, as it is right where a terminal writes light on
    dark. On a light terminal all is the other way round, which the standard allows too (reflectance
    reversal) and some readers refuse: a face that can choose its colours writes light on dark.

    Args:
        text: What to say with it, such as a link.

    Returns:
        The lines, all of the same length.

    Raises:
        InvalidInvite: It is too long for a QR code.
    """
    try:
        # The lowest level of error correction makes the smallest code: with a short name and one
        # IPv4 address it fits on 80 by 24 characters. Where there is space left in a code of that
        # size, segno takes a higher level.
        code = segno.make_qr(text, error="l")
    except segno.DataOverflowError as error:
        raise InvalidInvite("The invite is too long for a QR code.") from error
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]
    # The number of rows is odd, and what is below the last one is not part of the code.
    rows.append([True] * len(rows[0]))
    return [
        "".join(_BLOCKS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]
