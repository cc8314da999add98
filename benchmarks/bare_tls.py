"""
The yardstick for what is secure: the least that Twisted needs to speak lines over TLS.

TLS 1.3, and both sides show an Ed25519 certificate of the size of a node's; whose it is nobody
asks. Nothing is signed, stored or limited, and nothing of ours is imported. Run as a script:

- ``bare_tls.py serve PORT``: answer each line with the same.
- ``bare_tls.py count PORT``: answer each `BATCH` lines with how many have come.
- ``bare_tls.py chat PORT``: say to whoever calls what is typed, and print what they say.
- ``bare_tls.py call PORT``: call that one, and do the same.
- ``bare_tls.py turns PORT WARM_UP COUNT LINE``: say a line, wait for its echo, and so on.
- ``bare_tls.py stream PORT WARM_UP COUNT LINE``: say lines, each with a write of its own, and have
  at most `WINDOW` on their way that the other side has not counted.

All are on 127.0.0.1. The last two speak to the first two; what comes before it counts is the
warm-up. When all is over they print, in JSON, how many seconds it took, for how many of them they
used a core, and how many each turn took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    ITLSTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

# A crowd that comes at once fits, so that no connection attempt is dropped.
BACKLOG = 4096

# Lines that are counted together, and the most that may be on their way: a node takes no more than
# 1024 texts at a time from whoever writes.
BATCH = 500
WINDOW = 1000


def make_certificate(secret: Ed25519PrivateKey) -> x509.Certificate:
    """
    Make a certificate of the same size as a node's.

    Args:
        secret: Its key.

    Returns:
        The certificate, signed by itself.
    """
    digits = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, digits)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        .sign(secret, None)
    )


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class MutualTls:
    """
    What Twisted makes connections with.

    It has the options that ``twisted.internet.ssl.CertificateOptions`` would set: no tickets, and
    no buffers for those who say nothing. That class itself wants to know who signs certificates.
    """

    def __init__(self) -> None:
        secret = Ed25519PrivateKey.generate()
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_3_VERSION)
        self._context.use_certificate(make_certificate(secret))
        self._context.use_privatekey(secret)
        both = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        self._context.set_verify(both, lambda *_: True)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
        self._context.set_mode(SSL.MODE_RELEASE_BUFFERS)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803 (Twisted calls it)
        """
        Make the side that opens the handshake.
        """
        return SSL.Connection(self._context, None)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        """
        Make the side that answers it.
        """
        return SSL.Connection(self._context, None)


class BareLines(LineReceiver):
    """
    Lines over TLS, which leave without delay.
    """

    transport: ITLSTransport
    delimiter = b"\n"

    @override
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)


class Echo(BareLines):
    """
    Answers each line with the same.
    """

    @override
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Counter(BareLines):
    """
    Tells how many lines have come, each time that it was a batch.
    """

    count = 0

    @override
    def lineReceived(self, line: bytes) -> None:
        self.count += 1
        if self.count % BATCH == 0:
            self.sendLine(b"%d" % self.count)


@implementer(IHandshakeListener)
class Talker(BareLines):
    """
    Says lines, and takes the time.

    Args:
        warm_up: How many before it counts.
        count: How many then.
        line: What to say.
        done: Called when all is over.
    """

    def __init__(self, warm_up: int, count: int, line: bytes, done: Callable[[], None]) -> None:
        self._warm_up = warm_up
        self._total = warm_up + count
        self._line = line + b"\n"
        self._done = done
        self._said = 0
        self._answered = 0
        self._started_at = 0.0
        self._busy_at = 0.0
        self._delays: list[float] = []

    def handshakeCompleted(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Begin.
        """
        self._go_on()

    def _go_on(self) -> None:
        raise NotImplementedError

    def _has_answered(self, answered: int) -> None:
        self._answered = answered
        if answered == self._warm_up:
            self._started_at = time.perf_counter()
            self._busy_at = time.process_time()
        if answered < self._total:
            self._go_on()
            return
        report = {
            "seconds": time.perf_counter() - self._started_at,
            "busy": time.process_time() - self._busy_at,
            "delays": self._delays,
        }
        print(json.dumps(report), flush=True)
        self._done()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._answered < self._total:
            print(f"lost the connection: {reason.getErrorMessage()}", file=sys.stderr)
            self._done()


class TurnTaker(Talker):
    """
    Says a line when the one before has come back.
    """

    _said_at = 0.0

    @override
    def _go_on(self) -> None:
        self._said_at = time.perf_counter()
        self.transport.write(self._line)

    @override
    def lineReceived(self, line: bytes) -> None:
        if self._answered >= self._warm_up:
            self._delays.append(time.perf_counter() - self._said_at)
        self._has_answered(self._answered + 1)


class Streamer(Talker):
    """
    Says as many lines as may be on their way.
    """

    @override
    def _go_on(self) -> None:
        # The warm-up ends before anything else is said.
        end = self._warm_up if self._answered < self._warm_up else self._total
        while self._said < min(end, self._answered + WINDOW):
            self._said += 1
            self.transport.write(self._line)

    @override
    def lineReceived(self, line: bytes) -> None:
        self._has_answered(int(line))


class Typist(LineReceiver):
    """
    Standard input and output.

    Args:
        line: What is typed goes there.
    """

    delimiter = b"\n"

    def __init__(self, line: ChatLine) -> None:
        self._line = line

    @override
    def lineReceived(self, line: bytes) -> None:
        self._line.sendLine(line)


class ChatLine(BareLines):
    """
    One side of a conversation between two people at their keyboards.
    """

    @override
    def connectionMade(self) -> None:
        super().connectionMade()
        self._typist = Typist(self)
        StandardIO(self._typist)

    @override
    def lineReceived(self, line: bytes) -> None:
        self._typist.sendLine(line)


class OneFactory(ClientFactory):
    """
    Makes the one connection of somebody.

    Args:
        one: Who it is.
    """

    noisy = False

    def __init__(self, one: BareLines) -> None:
        self._one = one

    @override
    def buildProtocol(self, addr: object) -> BareLines:
        return self._one


def main() -> None:
    """
    Do what the command line orders, until all is said or a signal comes.
    """
    from twisted.internet import reactor  # epoll, which is Twisted's choice on Linux

    kind, port = sys.argv[1], int(sys.argv[2])
    tls = MutualTls()
    serving = {"serve": Echo, "count": Counter, "chat": ChatLine}
    if kind in serving:
        factory = Factory.forProtocol(serving[kind])
        factory.noisy = False
        endpoint = TCP4ServerEndpoint(reactor, port, BACKLOG)
        endpoint.listen(TLSMemoryBIOFactory(tls, False, factory))
    elif kind == "call":
        chat = OneFactory(ChatLine())
        reactor.connectTCP("127.0.0.1", port, TLSMemoryBIOFactory(tls, True, chat))
    else:
        warm_up, count, line = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5].encode()
        make = TurnTaker if kind == "turns" else Streamer
        talker = OneFactory(make(warm_up, count, line, reactor.stop))
        reactor.connectTCP("127.0.0.1", port, TLSMemoryBIOFactory(tls, True, talker))
    reactor.run()


if __name__ == "__main__":
    main()
