"""
TLS 1.3 between two nodes: both show a certificate of their own, and all that counts is its key.

RFC 8446; the certificates are those of `twistedchat.core.identity`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from weakref import WeakKeyDictionary

from cryptography.x509 import InvalidVersion
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from twistedchat.core.errors import InvalidKey
from twistedchat.core.identity import DeviceKey, Identity, key_of_certificate

__all__ = ["ALPN", "ConnectionCreator", "Tls"]

# What both sides have to name in the handshake (RFC 7301), so that nothing else that speaks TLS is
# taken for a node. A server that does not know it goes on all the same: see
# `PeerProtocol.handshakeCompleted`.
ALPN = b"p2pchat/2"

KeyCheck = Callable[[DeviceKey], bool]


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class ConnectionCreator:
    """
    Makes the TLS half of one connection, for ``startTLS``.

    Args:
        tls: What all connections share.
        accepts: Told the other side's key inside the handshake, decides whether that goes on.
    """

    def __init__(self, tls: Tls, accepts: KeyCheck) -> None:
        self._tls = tls
        self._accepts = accepts

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803 (Twisted calls it)
        """
        Make the side that opens the handshake.
        """
        return self._tls.make_connection(self._accepts)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        """
        Make the side that answers it.
        """
        return self._tls.make_connection(self._accepts)


class Tls:
    """
    One TLS context for all connections of a node, in both directions.

    Args:
        identity: Who we are.
    """

    def __init__(self, identity: Identity) -> None:
        # Twisted keeps things of its own in the place that OpenSSL has for ours.
        self._checks: WeakKeyDictionary[SSL.Connection, KeyCheck] = WeakKeyDictionary()
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate(identity.certificate())
        context.use_privatekey(identity.secret)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        context.set_alpn_protos([ALPN])
        context.set_alpn_select_callback(_choose_protocol)
        # Every session is a full handshake: with a ticket the key would not be shown again.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
        # An idle session keeps no buffers: it takes 43 kB in place of 67.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        self._context = context

    def creator(self, accepts: KeyCheck) -> ConnectionCreator:
        """
        What ``startTLS`` wants to have.

        Args:
            accepts: Decides about the other side's key.

        Returns:
            The maker of one connection.
        """
        return ConnectionCreator(self, accepts)

    def make_connection(self, accepts: KeyCheck) -> SSL.Connection:
        """
        Make one half of a connection, for a memory BIO.

        Args:
            accepts: Decides about the other side's key.

        Returns:
            The connection.
        """
        connection = SSL.Connection(self._context, None)
        self._checks[connection] = accepts
        return connection

    def _verify(
        self, connection: SSL.Connection, certificate: X509, code: int, depth: int, is_fine: int
    ) -> bool:
        # The certificate is the key and nothing else: what OpenSSL makes of who signed it, and of
        # its dates, says nothing. A chain of several is none of ours.
        if depth != 0:
            return False
        try:
            key = key_of_certificate(certificate.to_cryptography())
        except (InvalidKey, InvalidVersion, ValueError):
            # The latter two where it cannot even be read.
            return False
        return self._checks[connection](key)


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    # pyOpenSSL cannot end the handshake here; whoever did not offer ours is turned away after it.
    return ALPN if ALPN in offered else cast(bytes, SSL.NO_OVERLAPPING_PROTOCOLS)
