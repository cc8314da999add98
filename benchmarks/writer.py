"""
Somebody who writes to a node: a node of its own, put together as ``twistd p2pchat`` does.

It has no console: what is to be said goes straight to `INode.send_text`, as a face would hand it
over. Run as ``python -m benchmarks.writer ORDER``, where ORDER is a ``WriteOrder`` in JSON. It
prints an empty line when it has started, begins when a line comes on its standard input, and prints
a ``WriteReport`` in JSON when all has been acknowledged.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from benchmarks.alone import run_alone, running_node
from benchmarks.people import NODE, identity_of, say
from twistedchat.core.addresses import Address
from twistedchat.core.events import Event, Progress, Sent, TextsDelivered
from twistedchat.node import MOST_WAITING, Node

__all__ = ["WriteOrder", "WriteReport"]

# Texts that have been handed over and are not acknowledged: the most that a node takes.
WINDOW = MOST_WAITING - 1


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """
    What to say.

    Attributes:
        kind: "turns": each text when the one before has been received. "stream": as many at a time
            as a node takes. "catch-up": nothing new, but all that the journal holds.
        state: The writer's state folder.
        port: Where the writer listens.
        to: Where the node listens, on 127.0.0.1.
        warm_up: How many texts before it counts.
        count: How many then, or how many entries the journal holds.
        warm_up_token: What the former begin with.
        token: What the latter begin with.
    """

    kind: str
    state: str
    port: int
    to: int
    count: int
    warm_up: int = 0
    warm_up_token: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class WriteReport:
    """
    What was said.

    Attributes:
        seconds: From the first text until the last one was acknowledged.
        busy: For how many of them this process used a core.
        delays: How many seconds each turn took.
    """

    seconds: float
    busy: float
    delays: list[float] = field(default_factory=list)


class _Watch:
    """
    Takes the time, from its making on.
    """

    def __init__(self) -> None:
        self._started_at = time.perf_counter()
        self._busy_at = time.process_time()

    def report(self, delays: list[float] | None = None) -> WriteReport:
        seconds = time.perf_counter() - self._started_at
        return WriteReport(seconds, time.process_time() - self._busy_at, delays or [])


def _check(sent: Sent) -> None:
    if sent.progress is not Progress.DELIVERED:
        raise RuntimeError(f"a text is {sent.progress.name}")


async def _say_in_turns(node: Node, token: str, count: int) -> WriteReport:
    key = identity_of(NODE).key
    delays: list[float] = []
    watch = _Watch()
    for serial in range(count):
        said_at = time.perf_counter()
        _check(await node.send_text(key, say(token, serial)))
        delays.append(time.perf_counter() - said_at)
    return watch.report(delays)


async def _say_in_a_stream(node: Node, token: str, count: int) -> WriteReport:
    key = identity_of(NODE).key
    serials = iter(range(count))
    done: Deferred[None] = Deferred()
    left = count

    def say_next() -> None:
        for serial in serials:
            node.send_text(key, say(token, serial)).addCallback(taken).addErrback(failed)
            return

    def taken(sent: Sent) -> None:
        nonlocal left
        _check(sent)
        left -= 1
        if left:
            say_next()
        else:
            done.callback(None)

    def failed(failure: Failure) -> None:
        if not done.called:
            done.errback(failure)

    watch = _Watch()
    for _ in range(min(WINDOW, count)):
        say_next()
    await done
    return watch.report()


async def _catch_up(node: Node, address: Address, count: int) -> WriteReport:
    done: Deferred[None] = Deferred()
    left = count

    def happened(event: Event) -> None:
        nonlocal left
        if isinstance(event, TextsDelivered):
            left -= event.texts
            if not left:
                done.callback(None)

    node.subscribe(happened)
    watch = _Watch()
    await node.connect(address, manual=True)
    await done
    return watch.report()


async def _write(node: Node, order: WriteOrder) -> None:
    print(flush=True)
    await deferToThread(sys.stdin.readline)
    address = Address("127.0.0.1", order.to)
    if order.kind == "catch-up":
        report = await _catch_up(node, address, order.count)
    else:
        say_all = _say_in_turns if order.kind == "turns" else _say_in_a_stream
        await node.connect(address, manual=True)
        await say_all(node, order.warm_up_token, order.warm_up)
        report = await say_all(node, order.token, order.count)
    print(json.dumps(dataclasses.asdict(report)), flush=True)


async def _run(order: WriteOrder) -> None:
    async with running_node(order.state, order.port, "writer") as node:
        await _write(node, order)


def main() -> None:
    """
    Do what the command line orders.
    """
    order = WriteOrder(**json.loads(sys.argv[1]))
    run_alone(lambda: _run(order))


if __name__ == "__main__":
    main()
