"""
Nodes without a console, put together as ``twistd p2pchat`` does, for processes of our own.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from twistedchat.node import Node
from twistedchat.tap import Chat, Options, makeService

__all__ = ["make_node", "run_alone", "running_node"]


def make_node(state: str, port: int, team: str) -> tuple[Chat, Node]:
    """
    Put a node together.

    Args:
        state: Its state folder.
        port: Where it listens, on 127.0.0.1.
        team: What it is called.

    Returns:
        The service to start, and the node in it.
    """
    options = Options()
    where = ["--no-lan", "--interface", "127.0.0.1", "--port", str(port)]
    options.parseOptions([*where, "--team", team, "--state", state])
    options["in_foreground"] = False
    chat = makeService(options)
    (node,) = (service for service in chat if isinstance(service, Node))
    return chat, node


@asynccontextmanager
async def running_node(state: str, port: int, team: str) -> AsyncIterator[Node]:
    """
    Run a node for a while.

    Args:
        state: Its state folder.
        port: Where it listens, on 127.0.0.1.
        team: What it is called.

    Yields:
        The node, started.
    """
    chat, node = make_node(state, port, team)
    chat.startService()
    try:
        yield node
    finally:
        await cast(Deferred[None], chat.stopService())


def run_alone(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """
    Run the reactor until some work is done. Warnings go to standard error.

    Args:
        work: What to do in it.

    Raises:
        Exception: Whatever the work failed with.
    """
    from twisted.internet import reactor  # epoll, which is Twisted's choice on Linux

    core = cast(IReactorCore, reactor)
    warnings = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)]
    )
    globalLogBeginner.beginLoggingTo([warnings], redirectStandardIO=False, discardBuffer=True)

    failures: list[Failure] = []

    def start() -> None:
        working = Deferred.fromCoroutine(work())
        working.addErrback(failures.append).addCallback(lambda _: core.stop())

    core.callWhenRunning(start)
    core.run()
    for failure in failures:
        failure.raiseException()
