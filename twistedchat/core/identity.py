"""
Who somebody is: Ed25519 device keys, their certificates, and what they sign.

A device key is a peer's true name; the nickname beside it is only a label. Without any I/O: making
a key needs randomness, so that is done by `twistedchat.store.identity`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from typing_extensions import override

from twistedchat.core.errors import InvalidKey

__all__ = ["DeviceKey", "Identity", "find_key", "key_of_certificate", "parse_key"]

KEY_LENGTH = 32

# Digits of the short form: enough to tell the people in a room apart at a glance. It proves
# nothing, since somebody can search for a key that begins alike; the six words do.
SHORT_LENGTH = 8

_HEX = re.compile(r"[0-9a-f]{64}\Z")

# The prime of Curve25519, and the y coordinates of the eight points whose order divides eight (RFC
# 7748 section 4.1, RFC 8032 section 5.1). Under such a key signatures can be made by anybody.
_PRIME = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)

# "To indicate that a certificate has no well-defined expiration date" (RFC 5280 section 4.1.2.5).
_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class DeviceKey(NamedTuple):
    """
    An Ed25519 public key (RFC 8032).

    A tuple, since it is looked up in tables for every frame: a tuple is compared without Python.

    Attributes:
        raw: Its 32 octets. `parse_key` and `key_of_certificate` refuse those that are no good.
    """

    raw: bytes

    @override
    def __str__(self) -> str:
        """
        The key as it stands on the wire: 64 hexadecimal digits.
        """
        return self.raw.hex()

    @property
    def short(self) -> str:
        """
        The first eight digits, to tell people apart by.
        """
        return self.raw.hex()[:SHORT_LENGTH]

    @property
    def fingerprint(self) -> str:
        """
        The key for people: sixteen groups of four digits.
        """
        digits = self.raw.hex()
        return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        """
        Check a signature.

        Args:
            signature: 64 octets; any others are no signature.
            data: What is said to have been signed.

        Returns:
            Whether this key's owner signed exactly that.
        """
        try:
            _loaded(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


# Loading costs as much as a hash of a message; a node checks the same few keys all day.
@lru_cache(maxsize=1024)
def _loaded(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


def _checked(raw: bytes) -> DeviceKey:
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _PRIME or y in _SMALL_ORDER:
        raise InvalidKey("That is no device key: such a key proves nothing about its owner.")
    return DeviceKey(raw)


# A node reads the same few keys all day, and as one object each they take less room in tables.
@lru_cache(maxsize=4096)
def parse_key(text: str) -> DeviceKey:
    """
    Read a device key.

    Args:
        text: 64 lower-case hexadecimal digits.

    Returns:
        The key.

    Raises:
        InvalidKey: It has another form, or is a key that anybody could sign for.
    """
    if not _HEX.match(text):
        raise InvalidKey("That is no device key: it has 64 digits, 0 to 9 and a to f.")
    return _checked(bytes.fromhex(text))


def find_key(text: str) -> DeviceKey | None:
    """
    Read a device key that may be none: see `parse_key`.

    Args:
        text: Anything.

    Returns:
        The key, or ``None``.
    """
    try:
        return parse_key(text)
    except InvalidKey:
        return None


def key_of_certificate(certificate: x509.Certificate) -> DeviceKey:
    """
    Tell whose certificate it is.

    Args:
        certificate: Any; nothing in it counts but its key, which TLS has seen proven.

    Returns:
        The key.

    Raises:
        InvalidKey: It is of another kind than Ed25519, or no good.
    """
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        # Of a kind that is not known here, or broken.
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidKey("That is no device key: its certificate holds a key of another kind.")
    return _checked(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


class Identity:
    """
    Our own key: with it we prove who we are.

    Args:
        secret: The private key. It never leaves this process but into its file.
    """

    def __init__(self, secret: Ed25519PrivateKey) -> None:
        self.secret = secret
        self.key = DeviceKey(secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, data: bytes) -> bytes:
        """
        Sign.

        Args:
            data: What to sign.

        Returns:
            64 octets, always the same for the same data (RFC 8032 section 5.1.6).
        """
        return self.secret.sign(data)

    def certificate(self) -> x509.Certificate:
        """
        The certificate that TLS wants to have around a key.

        Its owner signs it, so it vouches for nothing but the key; it is the same each time.

        Returns:
            An X.509 certificate (RFC 5280, RFC 8410).
        """
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(self.key))])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.secret.public_key())
            .serial_number(1)
            .not_valid_before(_FROM)
            .not_valid_after(_FOREVER)
            .sign(self.secret, None)
        )
