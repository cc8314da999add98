"""
A bare client for sessions: it keeps to the rules that a test wants it to keep to, and no others.

Everything here blocks, as the programs in `tests.classic_programs` do: a test runs it in a thread.
TLS is OpenSSL's, in memory, so that anything can be put on the wire before, between and behind what
it writes; and for what OpenSSL does not do there is a client made by hand.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from twistedchat.core.frames import (
    PROTOCOL_VERSION,
    Frame,
    Hello,
    decode_frame,
    encode_frame,
)
from twistedchat.core.identity import DeviceKey, Identity, key_of_certificate
from twistedchat.peers.tls import ALPN

__all__ = [
    "LONGEST_WAIT",
    "Impostor",
    "SecureClient",
    "client_hello",
    "connect",
    "context_of",
    "handshake_by_hand",
    "p256_credentials",
    "wait_for_close",
]

HOST = "127.0.0.1"

# Seconds to wait for the other side: more than its own longest deadline, which is 5.
LONGEST_WAIT = 10.0

ONE_READ = 64 * 1024

F = TypeVar("F", bound=Frame)

# Of several connections of one client the last one counts; see `Hello.dial`.
_dials = count(int(time.time() * 1_000_000))


def connect(port: int, from_host: str = HOST) -> socket.socket:
    """
    Connect to a node.

    Args:
        port: Where it listens.
        from_host: The address to connect from, any of 127.0.0.0/8.

    Returns:
        A socket whose reads give up after `LONGEST_WAIT`.
    """
    return socket.create_connection((HOST, port), LONGEST_WAIT, (from_host, 0))


def context_of(
    certificate: x509.Certificate | None,
    secret: Ed25519PrivateKey | EllipticCurvePrivateKey | None,
    *,
    alpn: Sequence[bytes] = (ALPN,),
    version: int = SSL.TLS1_3_VERSION,
) -> SSL.Context:
    """
    What OpenSSL is to do.

    Args:
        certificate: Ours, if any.
        secret: Its key.
        alpn: The protocols that we offer.
        version: The only version of TLS that we speak.

    Returns:
        A context, for which the other side's certificate is good in any case.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    if certificate is not None and secret is not None:
        context.use_certificate(certificate)
        context.use_privatekey(secret)
    if alpn:
        context.set_alpn_protos(list(alpn))
    return context


def p256_credentials() -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """
    A certificate as good as any on the web, but for another kind of key than a node's.
    """
    secret = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p256")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(secret, SHA256())
    )
    return certificate, secret


class SecureClient:
    """
    One connection to a node, with TLS inside as soon as `shake_hands` has been called.

    Args:
        port: Where the node listens.
        identity: Who we are; where a context is given that alone counts.
        from_host: The address to connect from.
        context: What OpenSSL is to do.
        name: What we call ourselves.
    """

    def __init__(
        self,
        port: int,
        identity: Identity,
        *,
        from_host: str = HOST,
        context: SSL.Context | None = None,
        name: str = "Mallory",
    ) -> None:
        self.key = identity.key
        self.name = name
        self._socket = connect(port, from_host)
        self._tls = SSL.Connection(
            context or context_of(identity.certificate(), identity.secret), None
        )
        self._tls.set_connect_state()
        self._heard = b""

    def __enter__(self) -> SecureClient:
        """
        Close it at the end.
        """
        return self

    def __exit__(self, *_: object) -> None:
        """
        Close it.
        """
        self._socket.close()

    @property
    def their_key(self) -> DeviceKey:
        """
        The key that the node has proven.
        """
        certificate = self._tls.get_peer_certificate()
        assert certificate is not None, "it has shown none"
        return key_of_certificate(certificate.to_cryptography())

    # On the wire.

    def write_raw(self, data: bytes) -> None:
        """
        Put something on the wire that is no TLS of ours.
        """
        self._socket.sendall(data)

    def begin_handshake(self) -> bytes:
        """
        Begin the handshake, but write nothing.

        Returns:
            What is to be written.
        """
        with contextlib.suppress(SSL.WantReadError):
            self._tls.do_handshake()
        return self._tls.bio_read(ONE_READ)

    def shake_hands(self) -> None:
        """
        Shake hands, as far as this side can see.

        Raises:
            SSL.Error: The node does not want to.
            ConnectionError: It has closed.
        """
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
                self._take()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            while data := self._tls.bio_read(ONE_READ):
                self._socket.sendall(data)

    def _take(self) -> None:
        data = self._socket.recv(ONE_READ)
        if not data:
            raise ConnectionError("It has closed.")
        self._tls.bio_write(data)

    # Inside.

    def write(self, data: bytes) -> None:
        """
        Say any bytes inside the session; what the node does not want to hear is dropped.

        Raises:
            ConnectionError: It has closed.
        """
        for start in range(0, len(data), ONE_READ):
            self._tls.sendall(data[start : start + ONE_READ])
            self._flush()

    def say(self, *frames: Frame) -> None:
        """
        Say frames, at one go.
        """
        self.write(b"".join(encode_frame(frame) + b"\n" for frame in frames))

    def greet(self, *frames: Frame, knows: bool = False) -> Hello:
        """
        Shake hands, say hello and more, and hear the node's hello.

        Args:
            frames: What to say behind the hello.
            knows: Whether we let the node in.

        Returns:
            The node's hello.
        """
        self.shake_hands()
        self.say(self.hello(knows=knows), *frames)
        return self.hear(Hello)

    def hello(self, *, knows: bool = False) -> Hello:
        """
        Our hello, a new one each time.
        """
        return Hello(PROTOCOL_VERSION, self.name, 9, next(_dials), knows)

    def hear(self, kind: type[F]) -> F:
        """
        Wait for a frame of a kind, and pass over all others.

        Raises:
            ConnectionError: The node has closed.
        """
        while True:
            line, has_end, rest = self._heard.partition(b"\n")
            if not has_end:
                self._heard += self._read()
                continue
            self._heard = rest
            frame = decode_frame(line)
            if isinstance(frame, kind):
                return frame

    def _read(self) -> bytes:
        while True:
            try:
                return self._tls.recv(ONE_READ)
            except SSL.WantReadError:
                self._flush()
                self._take()
            except (SSL.Error, SSL.ZeroReturnError) as error:
                raise ConnectionError("It has ended the session.") from error

    def hear_end(self) -> bytes:
        """
        Wait until the node has closed the connection.

        Returns:
            What it still said inside.

        Raises:
            TimeoutError: It has not.
        """
        try:
            while True:
                self._heard += self._read()
        except ConnectionError:
            # The end of TLS comes before that of the connection, and is to be answered.
            with contextlib.suppress(SSL.Error, ConnectionError):
                self._tls.shutdown()
                self._flush()
            wait_for_close(self._socket)
            return self._heard


def wait_for_close(connection: socket.socket) -> float:
    """
    Wait until the other side has closed a connection.

    Returns:
        The seconds that it took.

    Raises:
        TimeoutError: It has not.
    """
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while connection.recv(ONE_READ):
            pass
    return time.monotonic() - start


class Impostor:
    """
    A program that claims to be a node with some key, and hands on all TLS to another node.

    Args:
        key: The key that it claims.
        port: That of the other node, on this machine.
    """

    def __init__(self, key: DeviceKey, port: int) -> None:
        self._answer = f"TWISTEDCHAT/2 {key}\n".encode()
        self._target = port
        self._server = socket.create_server((HOST, 0))
        self._open = [self._server]
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        """
        Where it listens.
        """
        return f"{HOST}:{self._server.getsockname()[1]}"

    def stop(self) -> None:
        """
        End listening.
        """
        # Closing alone would leave the threads in accept() and recv().
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONGEST_WAIT)
        for one in self._open:
            one.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            first = connection.recv(ONE_READ)
            if first:
                other = connect(self._target)
                self._open.append(other)
                other.sendall(first)
                self._start(_carry, connection, other)
                self._start(_carry, other, connection)
            else:
                connection.sendall(self._answer)
                connection.close()

    def _start(self, carry: Callable[..., None], *ends: socket.socket) -> None:
        self._threads.append(threading.Thread(target=carry, args=ends, daemon=True))
        self._threads[-1].start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(ONE_READ):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


# --- a client made by hand --------------------------------------------------------------------

# Numbers of RFC 8446: the types of records, of handshake messages, and what we can.
_CHANGE_CIPHER_SPEC, _HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_CLIENT_HELLO, _CERTIFICATE, _CERTIFICATE_VERIFY, _FINISHED = 1, 11, 15, 20
_AES_128_GCM_SHA256, _X25519, _ED25519, _TLS_1_3 = 0x1301, 0x001D, 0x0807, 0x0304
_ALPN, _GROUPS, _SIGNATURES, _VERSIONS, _KEY_SHARE = 16, 10, 13, 43, 51


def _vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _vector(3, body)


def client_hello(share: bytes = bytes(range(32))) -> bytes:
    """
    The first message of a TLS 1.3 handshake, in its record.

    Args:
        share: Our half of the key agreement (X25519).
    """

    def extension(number: int, body: bytes) -> bytes:
        return struct.pack(">H", number) + _vector(2, body)

    extensions = b"".join(
        (
            extension(_VERSIONS, _vector(1, struct.pack(">H", _TLS_1_3))),
            extension(_GROUPS, _vector(2, struct.pack(">H", _X25519))),
            extension(_SIGNATURES, _vector(2, struct.pack(">H", _ED25519))),
            extension(_KEY_SHARE, _vector(2, struct.pack(">H", _X25519) + _vector(2, share))),
            extension(_ALPN, _vector(2, _vector(1, ALPN))),
        )
    )
    suites = _vector(2, struct.pack(">H", _AES_128_GCM_SHA256))
    body = b"\x03\x03" + os.urandom(32) + b"\0" + suites + b"\x01\0" + _vector(2, extensions)
    return b"\x16\x03\x01" + _vector(2, _message(_CLIENT_HELLO, body))


@dataclass
class _Direction:
    # The keys of one side, and the number of its next record.
    secret: bytes
    number: int = 0

    def _nonce(self) -> bytes:
        start = _expand(self.secret, b"iv", b"", 12)
        self.number += 1
        return (int.from_bytes(start, "big") ^ (self.number - 1)).to_bytes(12, "big")

    def _cipher(self) -> AESGCM:
        return AESGCM(_expand(self.secret, b"key", b"", 16))

    def seal(self, kind: int, data: bytes) -> bytes:
        head = b"\x17\x03\x03" + struct.pack(">H", len(data) + 1 + 16)
        return head + self._cipher().encrypt(self._nonce(), data + bytes([kind]), head)

    def open(self, head: bytes, data: bytes) -> tuple[int, bytes]:
        opened = self._cipher().decrypt(self._nonce(), data, head).rstrip(b"\0")
        return opened[-1], opened[:-1]


def _expand(secret: bytes, label: bytes, context: bytes, length: int = 32) -> bytes:
    info = struct.pack(">H", length) + _vector(1, b"tls13 " + label) + _vector(1, context)
    return HKDFExpand(SHA256(), length, info).derive(secret)


def _extract(salt: bytes, key: bytes) -> bytes:
    return hmac.digest(salt, key, "sha256")


def handshake_by_hand(
    port: int, certificate: x509.Certificate, secret: Ed25519PrivateKey, *frames: Frame
) -> list[Frame | None]:
    """
    Shake hands with any certificate, signing with any secret, whether they belong together or not.

    OpenSSL would not do that. This is the client's side of RFC 8446 with one cipher suite, one
    group and one kind of signature.

    Args:
        port: Where the node listens.
        certificate: What to show.
        secret: What to sign with.
        frames: What to say afterwards.

    Returns:
        What the node said until it had answered each frame with one of its own, or closed.
    """
    ours = X25519PrivateKey.generate()
    hello = client_hello(ours.public_key().public_bytes_raw())
    with connect(port) as wire:
        wire.sendall(hello)
        return _go_on(wire, ours, hello[5:], certificate, secret, frames)


def _go_on(
    wire: socket.socket,
    ours: X25519PrivateKey,
    transcript: bytes,
    certificate: x509.Certificate,
    secret: Ed25519PrivateKey,
    frames: Sequence[Frame],
) -> list[Frame | None]:
    def read(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = wire.recv(count - len(data))
            if not more:
                raise ConnectionError("It has closed.")
            data += more
        return data

    def record() -> tuple[bytes, bytes]:
        while True:
            head = read(5)
            data = read(int.from_bytes(head[3:], "big"))
            # For the sake of old machines on the way there may be one that means nothing.
            if head[0] != _CHANGE_CIPHER_SPEC:
                return head, data

    def derive(key: bytes, label: bytes, so_far: bytes = b"") -> bytes:
        return _expand(key, label, sha256(so_far).digest())

    head, server_hello = record()
    assert head[0] == _HANDSHAKE
    # Its key share is the last of its extensions or the last but one; it is found by its head.
    mark = struct.pack(">HHHH", _KEY_SHARE, 36, _X25519, 32)
    at = server_hello.index(mark) + len(mark)
    shared = ours.exchange(X25519PublicKey.from_public_bytes(server_hello[at : at + 32]))
    transcript += server_hello

    early = _extract(bytes(32), bytes(32))
    handshake = _extract(derive(early, b"derived"), shared)
    master = _extract(derive(handshake, b"derived"), bytes(32))
    client = _Direction(derive(handshake, b"c hs traffic", transcript))
    server = _Direction(derive(handshake, b"s hs traffic", transcript))

    messages = b""
    while not _has_finished(messages):
        kind, data = server.open(*record())
        assert kind == _HANDSHAKE
        messages += data
    transcript += messages
    client_later = _Direction(derive(master, b"c ap traffic", transcript))
    server_later = _Direction(derive(master, b"s ap traffic", transcript))

    shown = _vector(3, certificate.public_bytes(Encoding.DER)) + _vector(2, b"")
    answer = _message(_CERTIFICATE, b"\0" + _vector(3, shown))
    signed = b" " * 64 + b"TLS 1.3, client CertificateVerify\0"
    signature = secret.sign(signed + sha256(transcript + answer).digest())
    proof = struct.pack(">H", _ED25519) + _vector(2, signature)
    answer += _message(_CERTIFICATE_VERIFY, proof)
    finished = _expand(client.secret, b"finished", b"")
    digest = sha256(transcript + answer).digest()
    answer += _message(_FINISHED, hmac.digest(finished, digest, "sha256"))

    heard = b""
    # An alert may come under the keys of either time; nothing is lost by not reading it.
    with contextlib.suppress(ConnectionError, InvalidTag):
        wire.sendall(client.seal(_HANDSHAKE, answer))
        for frame in frames:
            line = encode_frame(frame) + b"\n"
            wire.sendall(client_later.seal(_APPLICATION_DATA, line))
        while heard.count(b"\n") < len(frames):
            kind, data = server_later.open(*record())
            if kind == _APPLICATION_DATA:
                heard += data
    return [decode_frame(line) for line in heard.splitlines()]


def _has_finished(messages: bytes) -> bool:
    while messages:
        size = int.from_bytes(messages[1:4], "big")
        if messages[0] == _FINISHED and len(messages) >= size + 4:
            return True
        messages = messages[size + 4 :]
    return False
