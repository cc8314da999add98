"""
The generator for sessions: people who call a node, or a bare server, over TLS.

All of them live in one process and one epoll loop, straight on OpenSSL, the same one that the
servers use. Each has an address and a key of its own, and says one line as soon as its handshake
allows. The session counts when the first line of the other side has come: only then has that looked
at the caller's certificate.

Run as ``python -m benchmarks.callers ORDER``, where ORDER is a ``CallOrder`` in JSON; it prints a
``CallReport`` in JSON. Sessions that are kept then stay open until its standard input ends.
"""

from __future__ import annotations

import dataclasses
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from OpenSSL import SSL

from benchmarks.load import BEGUN, IP_BIND_ADDRESS_NO_PORT, make_source
from benchmarks.people import FIRST_CALLER, identity_of
from twistedchat.core.frames import Hello, Ping, Pong, encode_frame
from twistedchat.peers.tls import ALPN

__all__ = ["CallOrder", "CallReport"]

READ_BYTES = 65_536

# Sessions being opened at one time where they are to be kept: a crowd, and less than any backlog.
OPENING = 16

_PING, _PONG = encode_frame(Ping()), encode_frame(Pong()) + b"\n"


@dataclass(frozen=True, slots=True)
class CallOrder:
    """
    Whom to call.

    Attributes:
        kind: "open": each caller opens a session, closes it when it counts, waits until the other
            side has closed as well, and begins again. "keep": each opens one, and keeps it.
        port: Where to, on 127.0.0.1.
        first: The number of the first caller.
        callers: How many there are.
        limit: For how many seconds sessions are opened; where they are kept, at most.
    """

    kind: str
    port: int
    first: int
    callers: int
    limit: float


@dataclass(frozen=True, slots=True)
class CallReport:
    """
    What was opened.

    Attributes:
        opened: How many sessions counted.
        failed: How many connections ended before.
        reason: Why the first of those did.
        seconds: How long it took.
        busy: The share of that time in which this process used its core, 0 to 1.
    """

    opened: int
    failed: int
    reason: str
    seconds: float
    busy: float


class _Caller:
    """
    One of those who call, on one connection after the other.
    """

    def __init__(self, number: int, port: int) -> None:
        identity = identity_of(FIRST_CALLER + number)
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate(identity.certificate())
        context.use_privatekey(identity.secret)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.set_alpn_protos([ALPN])
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        self._context = context
        self._number = number
        self._target = ("127.0.0.1", port)
        self._source = (make_source(number), 0)
        self._has_greeted = False

    def dial(self) -> int:
        """
        Begin a connection.

        Returns:
            Its descriptor, to wait for until it can be written to.

        Raises:
            OSError: It was refused.
        """
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind(self._source)
        error = self.socket.connect_ex(self._target)
        if error not in BEGUN:
            self.socket.close()
            raise OSError(error, "refused")
        self.tls = SSL.Connection(self._context, self.socket)
        self.tls.set_connect_state()
        self._has_greeted = False
        return self.socket.fileno()

    def read(self) -> bytes:
        """
        Go on with the handshake, say hello at its end, and read.

        Returns:
            What has come; nothing where the other side has closed.

        Raises:
            SSL.WantReadError: Nothing has come.
            SSL.Error: The connection broke.
        """
        if not self._has_greeted:
            self.tls.do_handshake()
            self._has_greeted = True
            # The number has to grow from one to the next.
            dial = int(time.time() * 1_000_000)
            hello = Hello(v=2, name=f"contact{self._number}", port=9000, dial=dial, knows=True)
            self.tls.send(encode_frame(hello) + b"\n")
        try:
            return self.tls.recv(READ_BYTES)
        except SSL.ZeroReturnError:
            return b""


def _call(order: CallOrder) -> Iterator[CallReport]:
    """
    Call, report, and answer pings until standard input ends.
    """
    poller = select.epoll()
    idle = iter([_Caller(order.first + number, order.port) for number in range(order.callers)])
    is_kept = order.kind == "keep"
    live: dict[int, _Caller] = {}
    has_answered: set[int] = set()
    opened, failed, reason, is_told = 0, 0, "", False
    started_at, cpu_at = time.monotonic(), time.process_time()
    deadline = started_at + order.limit

    def dial(caller: _Caller | None) -> None:
        if caller is not None:
            descriptor = caller.dial()
            live[descriptor] = caller
            poller.register(descriptor, select.EPOLLOUT)

    for _ in range(min(OPENING, order.callers) if is_kept else order.callers):
        dial(next(idle))
    while live or not is_told:
        is_over = opened + failed >= order.callers if is_kept else not live
        if not is_told and (is_over or time.monotonic() >= deadline):
            seconds = time.monotonic() - started_at
            busy = (time.process_time() - cpu_at) / seconds
            yield CallReport(opened, failed, reason, seconds, busy)
            is_told = True
            if not is_kept:
                return
            poller.register(sys.stdin, select.EPOLLIN)
        wait = None if is_told else max(0.0, deadline - time.monotonic())
        for descriptor, _ in poller.poll(wait):
            caller = live.get(descriptor)
            if caller is None:
                return
            try:
                while data := caller.read():
                    if descriptor not in has_answered and b"\n" in data:
                        has_answered.add(descriptor)
                        opened += 1
                        if is_kept:
                            dial(next(idle, None))
                        else:
                            caller.tls.shutdown()
                    if _PING in data:
                        caller.tls.send(_PONG)
            except SSL.WantReadError:
                poller.modify(descriptor, select.EPOLLIN)
                continue
            except SSL.Error as error:
                reason = reason or f"{type(error).__name__} {error}"
            if descriptor not in has_answered:
                failed += 1
            has_answered.discard(descriptor)
            del live[descriptor]
            caller.socket.close()
            if not is_kept and time.monotonic() < deadline:
                dial(caller)


def main() -> None:
    """
    Do what the command line orders.
    """
    for report in _call(CallOrder(**json.loads(sys.argv[1]))):
        print(json.dumps(dataclasses.asdict(report)), flush=True)


if __name__ == "__main__":
    main()
