"""
Finding each other on the local network: the part in the reactor's thread.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import token_hex
from typing import Any, Protocol, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from typing_extensions import override

from twistedchat.core.hints import hint_of
from twistedchat.core.identity import DeviceKey
from twistedchat.core.nearby import Record, write_properties
from twistedchat.core.safetext import safe_text
from twistedchat.discovery.links import Link, find_links
from twistedchat.discovery.presence import (
    Announcement,
    Presence,
    ZeroconfFactory,
    open_zeroconf,
)

__all__ = ["LONGEST_GOODBYE", "LOOK_INTERVAL", "MOST_NEARBY", "TELL_INTERVAL", "Lan"]

# Nodes that are listed. A class has 64; what comes beyond four times that is somebody who makes
# them up, and reading it takes a tenth of a second of one core.
MOST_NEARBY = 256

# Seconds between two looks at our addresses: a laptop that changes its network is found again
# before its person has found the menu. A look costs less than a millisecond, its thread included:
# a five-thousandth of a core. Being told by the system would be another way on each system.
LOOK_INTERVAL = 5.0

# Seconds between something heard and telling it: four times a second is enough for people, and
# several nodes that start together are told together.
TELL_INTERVAL = 0.25

# Seconds from announcing ourselves to the next look, which does it again: "at least one second"
# (RFC 6762 section 8.3), and half of one since the first time takes that long.
REPEAT_INTERVAL = 1.5

# Seconds after which what somebody announced is read once more, at the next look: by then they have
# said it again, and what it replaces, which counts for another second, does so no longer.
SETTLING_TIME = 4.0

# Seconds for the goodbye, which is said three times in a quarter of a second. Nobody waits for
# longer than that: those who do not hear it find out by dialling.
LONGEST_GOODBYE = 1.0

# Octets of the name of our service: among all nodes of a network no two ever have the same.
NAME_LENGTH = 8

T = TypeVar("T")


class _RunInThread(Protocol):
    def __call__(
        self, function: Callable[..., T], /, *arguments: object, **options: object
    ) -> Deferred[T]: ...


class Lan(Service):
    """
    Announces us on the local network by multicast DNS, and tells who else is there.

    Nothing that is found counts for anything: it is a hint where to dial, that anybody can give.

    Args:
        reactor: Tells the time, calls back, and has threads.
        key: Our own key, of which a hint is announced.
        port: Where we listen.
        changed: Called in the reactor's thread with all the nodes that are there (the one that was
            found first first), whenever that has changed, at most every `TELL_INTERVAL`.
        salt: Salts the hint: `twistedchat.core.hints.SALT_LENGTH` random octets.
        interfaces: Which of our own IP addresses to use, loopback too; ``None`` for all but
            loopback, also those that we get later.
        zeroconf_factory: Opens zeroconf.
        find_links: Tells the links that we are on.
        run_in_thread: Calls a function in a thread; the reactor's own, where none is given.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        key: DeviceKey,
        port: int,
        changed: Callable[[list[Record]], object],
        *,
        salt: bytes,
        interfaces: Sequence[str] | None = None,
        zeroconf_factory: ZeroconfFactory = open_zeroconf,
        find_links: Callable[[Sequence[str] | None], tuple[Link, ...]] = find_links,
        run_in_thread: _RunInThread | None = None,
    ) -> None:
        self._reactor = reactor
        self._key = key
        self._port = port
        self._changed = changed
        self._salt = salt
        self._interfaces = interfaces
        self._zeroconf_factory = zeroconf_factory
        self._find_links = find_links
        self._threads = cast(IReactorThreads, reactor)
        self._run_in_thread = run_in_thread or self._run_in_pool
        # There is either work that goes on or a timer for the next one, and a time from which on
        # that looks at our addresses too.
        self._timer: IDelayedCall | None = None
        self._work: Deferred[None] = succeed(None)
        self._next_look = 0.0
        # What has been logged, once.
        self._is_in_trouble = False
        self._is_full = False
        self._forget()

    def _forget(self) -> None:
        # Those of whom something was heard that has not been read; those who are being read; those
        # who have been and will be once more, with the time; and what they announced. Each holds at
        # most `MOST_NEARBY`, but that the second comes from the first and the third.
        self._unread: dict[str, None] = {}
        self._reading: set[str] = set()
        self._again: dict[str, float] = {}
        self._records: dict[str, Record] = {}
        self._told: list[Record] = []

    # The service's parent calls these.

    @override
    def startService(self) -> None:
        super().startService()
        self._presence = Presence(
            Announcement(
                token_hex(NAME_LENGTH), self._port, write_properties(self._key, self._salt)
            ),
            partial(self._threads.callFromThread, self._heard),
            find_links=partial(self._find_links, self._interfaces),
            zeroconf_factory=self._zeroconf_factory,
            loopback=any(ipaddress.ip_address(host).is_loopback for host in self._interfaces or ()),
        )
        self._next_look = self._reactor.seconds()
        self._timer = self._reactor.callLater(0, self._begin_work)

    @override
    def stopService(self) -> Deferred[None]:
        """
        Say goodbye.

        Returns:
            Fires when it has been said, or after `LONGEST_GOODBYE`. Never fails.
        """
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget()
        said: Deferred[None] = Deferred()
        self._work.addCallback(lambda _: self._run_in_thread(self._presence.leave))
        self._work.addErrback(
            lambda failure: self._log.failure("Leaving the local network failed", failure)
        )
        self._work.addCallback(said.callback)
        return said.addTimeout(LONGEST_GOODBYE, self._reactor, lambda *_: None)

    # Threads call this.

    def _run_in_pool(
        self, function: Callable[..., T], /, *arguments: object, **options: object
    ) -> Deferred[T]:
        pool: Any = self._threads.getThreadPool()
        return deferToThreadPool(self._threads, pool, function, *arguments, **options)

    # The rest happens in the reactor's thread.

    def _heard(self, name: str, is_there: bool) -> None:
        if not self.running:
            return
        if is_there:
            _put(self._unread, name, None)
        else:
            self._drop(name)
        if self._timer is not None:
            soon = self._reactor.seconds() + TELL_INTERVAL
            if self._timer.getTime() > soon:
                self._timer.reset(TELL_INTERVAL)

    def _drop(self, name: str) -> None:
        self._unread.pop(name, None)
        self._reading.discard(name)
        self._again.pop(name, None)
        self._records.pop(name, None)

    def _begin_work(self) -> None:
        self._timer = None
        self._work = Deferred.fromCoroutine(self._work_once())
        self._work.addErrback(
            lambda failure: self._log.failure("Looking round the local network failed", failure)
        )
        self._work.addCallback(lambda _: self._rest())

    def _rest(self) -> None:
        if not self.running:
            return
        pause = max(0.0, self._next_look - self._reactor.seconds())
        if self._unread or self._has_news():
            pause = min(pause, TELL_INTERVAL)
        self._timer = self._reactor.callLater(pause, self._begin_work)

    async def _work_once(self) -> None:
        now = self._reactor.seconds()
        looks = now >= self._next_look
        first, self._unread = set(self._unread), {}
        second: set[str] = set()
        if looks:
            self._next_look = now + LOOK_INTERVAL
            settled = [name for name, read in self._again.items() if now - read >= SETTLING_TIME]
            second = set(settled) - first
        self._reading = first | second
        findings = await self._run_in_thread(
            self._presence.update, sorted(self._reading), looks=looks
        )
        if not self.running:
            return
        if findings.is_anew:
            self._next_look = self._reactor.seconds() + REPEAT_INTERVAL
            # Those who are there still have been heard again.
            self._reading.clear()
            self._again.clear()
            self._records.clear()
        self._learn(findings.records, second)
        self._say_trouble(findings.trouble)
        # Who was there before is most likely there again, but has not been read yet.
        if self._has_news() and not findings.is_anew:
            self._told = list(self._records.values())
            self._changed(list(self._told))

    def _learn(self, records: Mapping[str, Record | None], second: set[str]) -> None:
        names, self._reading = sorted(self._reading), set()
        owners = {record.addresses: name for name, record in self._records.items()}
        useless = []
        for name in names:
            if name in second:
                self._again.pop(name, None)
            else:
                _put(self._again, name, self._reactor.seconds())
            record = records.get(name)
            if record is None:
                # At first it may not have come whole.
                if name in second:
                    self._drop(name)
                    useless.append(name)
            elif record.hint == hint_of(self._key, record.salt):
                # We ourselves, before our last end.
                self._drop(name)
            else:
                before = owners.get(record.addresses, name)
                if before != name:
                    # Whoever was there ended without a goodbye.
                    self._drop(before)
                self._list(name, record)
        if useless:
            # One line for all of them: whoever wants to fill the log has to wait for each look.
            self._log.debug(
                "Dropped {count} announcements that are of no use, such as {name}",
                count=len(useless),
                name=safe_text(useless[0]),
            )

    def _list(self, name: str, record: Record) -> None:
        if name in self._records or len(self._records) < MOST_NEARBY:
            self._records[name] = record
        elif not self._is_full:
            self._is_full = True
            self._log.warn(
                "More than {most} nodes announce themselves on the local network: others are not "
                "listed until some of them go",
                most=MOST_NEARBY,
            )

    def _has_news(self) -> bool:
        return self._told != list(self._records.values())

    def _say_trouble(self, trouble: str | None) -> None:
        if trouble is not None and not self._is_in_trouble:
            self._log.warn(
                "On the local network nobody is found, and nobody finds us: {trouble}. The chat "
                "goes on without; it is tried again when the addresses of this machine change.",
                trouble=trouble,
            )
        self._is_in_trouble = trouble is not None


def _put(names: dict[str, T], name: str, value: T) -> None:
    # Behind all others, of whom the first one goes where there are too many.
    names.pop(name, None)
    names[name] = value
    if len(names) > MOST_NEARBY:
        del names[next(iter(names))]
