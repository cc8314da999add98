"""
Finding each other on the local network, with a zeroconf that does what the test says.

There are no sockets and no threads: what would run in a thread runs at once, or when the test lets
it.
"""

import socket
from collections.abc import Callable, Collection, Sequence
from typing import Any

import zeroconf
from hypothesis import given
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zeroconf import ServiceInfo

from tests.strategies import lan_doings
from twistedchat.core.addresses import Address
from twistedchat.core.hints import SALT_LENGTH, hint_of
from twistedchat.core.identity import DeviceKey
from twistedchat.core.nearby import MOST_ADDRESSES, Record, write_properties
from twistedchat.discovery.lan import (
    LONGEST_GOODBYE,
    LOOK_INTERVAL,
    MOST_NEARBY,
    REPEAT_INTERVAL,
    SETTLING_TIME,
    TELL_INTERVAL,
    Lan,
)
from twistedchat.discovery.links import Link
from twistedchat.discovery.presence import (
    LONGEST_ANSWER,
    MOST_GAPS,
    MOST_QUESTIONS,
    RECORD_LIFE,
    SERVICE_TYPE,
)

SALT = bytes(range(SALT_LENGTH))
OURS, PANDA, NUMBAT = (DeviceKey(bytes([number]) * 32) for number in (11, 22, 33))
PORT = 7070
HOME = (Link(3, ("10.0.0.1",)),)
CAFE = (Link(3, ("192.168.7.1",)),)


def full_name(service: str) -> str:
    """
    What a service is called on the network.
    """
    return f"{service}.{SERVICE_TYPE}"


def announcement(
    service: str,
    *hosts: str,
    key: DeviceKey = PANDA,
    port: int = 6101,
    link: int | None = None,
    properties: dict[bytes, bytes | None] | None = None,
) -> ServiceInfo:
    """
    What zeroconf tells of a node.
    """
    return ServiceInfo(
        SERVICE_TYPE,
        full_name(service),
        port=port,
        properties=write_properties(key, SALT) if properties is None else properties,
        parsed_addresses=list(hosts or ("10.0.0.7",)),
        interface_index=link,
    )


def record(service: str, *hosts: str, key: DeviceKey = PANDA, port: int = 6101) -> Record:
    """
    What is told of the same node.
    """
    addresses = tuple(Address(host, port) for host in hosts or ("10.0.0.7",))
    return Record(service, SALT, hint_of(key, SALT), addresses)


class FakeReactor(Clock):
    """
    Time that a test advances; whatever another thread hands over runs at once.
    """

    def callFromThread(  # noqa: N802 (Twisted's name)
        self, function: Callable[..., object], *arguments: object
    ) -> None:
        """
        Run it.
        """
        function(*arguments)


class Threads:
    """
    What runs things in threads: at once, or where they are slow when the test lets them.
    """

    def __init__(self) -> None:
        self.are_slow = False
        self.waiting: list[Callable[[], None]] = []

    def run(
        self, function: Callable[..., Any], /, *arguments: object, **options: object
    ) -> Deferred[Any]:
        """
        Call a function.
        """
        if not self.are_slow:
            return maybeDeferred(function, *arguments, **options)
        result: Deferred[Any] = Deferred()

        def do() -> None:
            maybeDeferred(function, *arguments, **options).chainDeferred(result)

        self.waiting.append(do)
        return result

    def finish(self) -> None:
        """
        Let the one that has waited longest run to its end.
        """
        self.waiting.pop(0)()


class FakeZeroconf:
    """
    One zeroconf, as far as we use it. It is its own event loop, too.

    Attributes:
        interfaces: What it was opened on.
        ours: What was registered and not taken back.
        repeats: How many times that was announced again.
        is_closed: Whether it was closed.
    """

    def __init__(self, network: "FakeNetwork", interfaces: list[str | int]) -> None:
        self.interfaces = interfaces
        self.ours: list[ServiceInfo] = []
        self.repeats = 0
        self.is_closed = False
        self.loop = self
        self._network = network

    def call_soon_threadsafe(self, function: Callable[[], object]) -> None:
        """
        Run something in its thread.
        """
        function()

    def add_service_listener(self, kind: str, listener: Any) -> None:  # noqa: ANN401 (as zeroconf)
        """
        Begin to listen: who is there answers at once.
        """
        assert kind == SERVICE_TYPE
        self._network.listener = listener
        for name in self._network.there:
            listener.add_service(self, kind, name)

    def register_service(self, info: ServiceInfo, *, cooperating_responders: bool) -> None:
        """
        Announce us; we hear that too.
        """
        assert cooperating_responders
        if self._network.refusal is not None:
            raise self._network.refusal
        self.ours.append(info)
        self._network.listener.add_service(self, SERVICE_TYPE, info.name)

    def update_service(self, info: ServiceInfo) -> None:
        """
        Announce us again.
        """
        assert info in self.ours
        self.repeats += 1

    def generate_unregister_all_services(self) -> None:
        """
        Take back what was announced, and say nothing.
        """
        self.ours.clear()

    def get_service_info(self, kind: str, name: str, timeout: int) -> ServiceInfo | None:
        """
        Tell what was heard of somebody; with a timeout they are asked.
        """
        assert kind == SERVICE_TYPE
        if isinstance(self._network.trouble, Exception):
            raise self._network.trouble
        info = self._network.there.get(name)
        if info is None and timeout:
            self._network.asked.append(name)
            if timeout >= self._network.answers_after.get(name, timeout + 1):
                return announcement(name.partition(".")[0])
        return info

    def close(self) -> None:
        """
        Say goodbye for whatever is still announced, and end.
        """
        if self._network.is_stuck:
            raise zeroconf.EventLoopBlocked
        self._network.goodbyes += [info.name for info in self.ours]
        self.is_closed = True


class FakeNetwork:
    """
    A network, and the zeroconfs that we open on it.

    Attributes:
        links: The links that this machine is on.
        allowed: Which addresses were asked for.
        there: What others announced; ``None`` where not all of it has been heard.
        opened: Every zeroconf that was opened.
        goodbyes: Whom a goodbye was said for.
        asked: Who was asked for what was missing.
        answers_after: Milliseconds after which some of them answer.
        refusal: Why nothing can be announced.
        trouble: Why nothing can be read.
        is_stuck: Whether closing fails.
    """

    listener: Any

    def __init__(self) -> None:
        self.links: tuple[Link, ...] = HOME
        self.allowed: list[Collection[str] | None] = []
        self.there: dict[str, ServiceInfo | None] = {}
        self.opened: list[FakeZeroconf] = []
        self.goodbyes: list[str] = []
        self.asked: list[str] = []
        self.answers_after: dict[str, int] = {}
        self.refusal: Exception | None = None
        self.trouble: Exception | None = None
        self.is_stuck = False

    def find_links(self, allowed: Collection[str] | None) -> tuple[Link, ...]:
        """
        Tell the links.
        """
        self.allowed.append(allowed)
        return self.links

    def open(self, interfaces: list[str | int]) -> Any:  # noqa: ANN401 (instead of a Zeroconf)
        """
        Open a zeroconf.
        """
        self.opened.append(FakeZeroconf(self, interfaces))
        return self.opened[-1]

    def announce(self, service: str, info: ServiceInfo | None) -> None:
        """
        Have somebody come, or say something else than before.
        """
        name = full_name(service)
        is_new = name not in self.there
        self.there[name] = info
        tell = self.listener.add_service if is_new else self.listener.update_service
        tell(self.opened[-1], SERVICE_TYPE, name)

    def withdraw(self, service: str) -> None:
        """
        Have somebody go.
        """
        name = full_name(service)
        del self.there[name]
        self.listener.remove_service(self.opened[-1], SERVICE_TYPE, name)

    @property
    def ours(self) -> ServiceInfo:
        """
        What we announce.
        """
        (info,) = self.opened[-1].ours
        return info


class LanTestCase(SynchronousTestCase):
    """
    A node's `Lan` on a `FakeNetwork`.
    """

    @override
    def setUp(self) -> None:
        """
        Have a network, and see what is logged.
        """
        self.begin()
        self.log = EventLoggingObserver()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)

    def begin(self) -> None:
        """
        Have a network on which nothing has happened.
        """
        self.reactor = FakeReactor()
        self.threads = Threads()
        self.network = FakeNetwork()
        self.told: list[list[Record]] = []

    def make(self, interfaces: Sequence[str] | None = None) -> Lan:
        """
        Make one that has not been started.
        """
        return Lan(
            self.reactor,
            OURS,
            PORT,
            self.told.append,
            salt=SALT,
            interfaces=interfaces,
            zeroconf_factory=self.network.open,
            find_links=self.network.find_links,
            run_in_thread=self.threads.run,
        )

    def start(self, interfaces: Sequence[str] | None = None) -> Lan:
        """
        Start one, and let it look round for the first time.
        """
        lan = self.make(interfaces)
        lan.startService()
        self.reactor.advance(0)
        return lan

    def stop(self, lan: Lan) -> None:
        """
        Stop it, and see that nothing is left.
        """
        self.assertIsNone(self.successResultOf(lan.stopService()))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def logged(self, level: Any) -> list[str]:  # noqa: ANN401 (constantly has no types)
        """
        What was logged.
        """
        return [formatEvent(event) for event in self.log if event["log_level"] is level]


class AnnouncingTests(LanTestCase):
    """
    What a `Lan` says.
    """

    def test_starting_does_not_wait(self) -> None:
        """
        Starting opens nothing: that begins when the reactor runs, and in a thread.
        """
        lan = self.make()
        self.threads.are_slow = True

        lan.startService()
        self.assertEqual([], self.threads.waiting)
        self.reactor.advance(0)

        self.assertEqual([], self.network.opened)
        self.threads.finish()
        self.assertEqual(1, len(self.network.opened))
        self.threads.are_slow = False
        self.stop(lan)

    def test_we_are_announced(self) -> None:
        """
        The port, all addresses, the version, the salt and the hint.
        """
        self.network.links = (Link(3, ("10.0.0.1", "fd00::1", "fe80::1")), Link(4, ("10.1.0.1",)))

        lan = self.start()

        ours = self.network.ours
        self.assertEqual((SERVICE_TYPE, PORT), (ours.type, ours.port))
        self.assertEqual(write_properties(OURS, SALT), ours.properties)
        self.assertEqual(
            ["10.0.0.1", "10.1.0.1", "fd00::1", "fe80::1"], sorted(ours.parsed_addresses())
        )
        self.stop(lan)

    def test_names_are_random(self) -> None:
        """
        The names of service and host tell nothing, and are others after each start.
        """
        names = set()
        for _ in range(3):
            lan = self.start()
            ours = self.network.ours
            service = ours.name.removesuffix("." + SERVICE_TYPE)
            self.assertRegex(service, r"\A[0-9a-f]{16}\Z")
            self.assertEqual(f"{service}.local.", ours.server)
            names.add(service)
            self.stop(lan)

        self.assertEqual(3, len(names))

    def test_every_link_is_spoken_on(self) -> None:
        """
        Once over IPv4 and once over IPv6, from a link-local address where there is one.
        """
        self.network.links = (
            Link(3, ("10.0.0.1", "10.0.0.2", "fd00::1", "fe80::1", "fe80::2")),
            Link(4, ("10.1.0.1",)),
            Link(5, ("fd00:5::1",)),
            Link(6, ("fe80::1",)),
        )

        lan = self.start()

        self.assertEqual(
            ["10.0.0.1", "fe80::1", "10.1.0.1", 5, 6], self.network.opened[0].interfaces
        )
        self.stop(lan)

    def test_addresses_are_bounded(self) -> None:
        """
        Not more than others would take.
        """
        self.network.links = tuple(
            Link(link, tuple(f"10.0.{link}.{host}" for host in range(1, 9))) for link in range(1, 9)
        )

        lan = self.start()

        self.assertEqual(MOST_ADDRESSES, len(self.network.ours.parsed_addresses()))
        self.stop(lan)

    def test_given_interfaces_are_the_only_ones(self) -> None:
        """
        Which addresses may be used is known to whoever finds the links.
        """
        lan = self.start(["10.0.0.1"])

        self.assertEqual([["10.0.0.1"]], self.network.allowed)
        self.stop(lan)

    def test_announcement_is_repeated(self) -> None:
        """
        Once, soon: some may not have heard it, or have kept what it was to replace.
        """
        lan = self.start()
        self.assertEqual(0, self.network.opened[0].repeats)

        self.reactor.advance(REPEAT_INTERVAL)
        self.assertEqual(1, self.network.opened[0].repeats)
        for _ in range(3):
            self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual(1, self.network.opened[0].repeats)
        self.stop(lan)

    def test_node_that_says_no_goodbye_is_there_for_a_while(self) -> None:
        """
        What we announce is forgotten by others, if it is not said again, after so many seconds.
        """
        lan = self.start()

        pointer = self.network.ours.dns_pointer()
        end = pointer.created + RECORD_LIFE * 1000

        self.assertFalse(pointer.is_expired(end - 1))
        self.assertTrue(pointer.is_expired(end))
        self.stop(lan)

    def test_goodbye_is_said(self) -> None:
        """
        At the end, for what we announced.
        """
        lan = self.start()
        name = self.network.ours.name

        self.stop(lan)

        self.assertEqual([name], self.network.goodbyes)
        self.assertTrue(self.network.opened[0].is_closed)

    def test_goodbye_waits_for_work(self) -> None:
        """
        What goes on in a thread is let go on, and nothing of it is told.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.threads.are_slow = True
        self.reactor.advance(TELL_INTERVAL)

        left = lan.stopService()
        self.threads.finish()
        self.assertNoResult(left)
        self.assertFalse(self.network.opened[0].is_closed)
        self.threads.finish()

        self.assertIsNone(self.successResultOf(left))
        self.assertTrue(self.network.opened[0].is_closed)
        self.assertEqual([], self.told)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_goodbye_is_bounded(self) -> None:
        """
        Nobody waits for a goodbye that cannot be said; that it is said later harms nobody.
        """
        lan = self.start()
        self.threads.are_slow = True

        left = lan.stopService()
        self.reactor.advance(LONGEST_GOODBYE - 0.01)
        self.assertNoResult(left)
        self.reactor.advance(0.01)

        self.assertIsNone(self.successResultOf(left))
        self.threads.finish()
        self.assertEqual(1, len(self.network.goodbyes))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_failing_goodbye_is_logged(self) -> None:
        """
        Leaving never fails.
        """
        lan = self.start()
        self.network.is_stuck = True

        self.stop(lan)

        self.assertEqual(1, len(self.flushLoggedErrors(zeroconf.EventLoopBlocked)))


class FindingTests(LanTestCase):
    """
    What a `Lan` hears.
    """

    def settle(self) -> None:
        """
        Let everything be read that was heard, and once more.
        """
        for _ in range(3):
            self.reactor.advance(LOOK_INTERVAL)

    def test_somebody_is_found(self) -> None:
        """
        Who comes is told soon.
        """
        lan = self.start()

        self.network.announce("panda", announcement("panda", "10.0.0.7", "fd00::7"))
        self.assertEqual([], self.told)
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda", "10.0.0.7", "fd00::7")]], self.told)
        self.stop(lan)

    def test_somebody_is_there_already(self) -> None:
        """
        Who was there before us answers at once.
        """
        self.network.there[full_name("panda")] = announcement("panda")

        lan = self.start()
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda")]], self.told)
        self.stop(lan)

    def test_several_are_told_together(self) -> None:
        """
        A class that starts at once is a few calls, and each has everybody, the first one first.
        """
        lan = self.start()
        self.network.announce("zebra", announcement("zebra", "10.0.0.9"))
        self.reactor.advance(TELL_INTERVAL)
        for number in range(16):
            self.network.announce(f"n{number}", announcement(f"n{number}", f"10.0.1.{number}"))
            self.reactor.advance(TELL_INTERVAL / 8)

        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([1, 9, 17], [len(told) for told in self.told])
        self.assertEqual("zebra", self.told[-1][0].service)
        self.stop(lan)

    def test_nothing_new_is_not_told(self) -> None:
        """
        Somebody who says the same again, or whom nobody knew and who goes.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda", "10.0.0.7", "fd00::7"))
        self.network.announce("nobody", None)
        self.reactor.advance(TELL_INTERVAL)

        self.network.announce("panda", announcement("panda", "fd00::7", "10.0.0.7"))
        self.network.withdraw("nobody")
        self.settle()

        self.assertEqual(1, len(self.told))
        self.stop(lan)

    def test_somebody_goes(self) -> None:
        """
        A goodbye is told soon, too.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.network.announce("numbat", announcement("numbat", "10.0.0.8", key=NUMBAT))
        self.reactor.advance(TELL_INTERVAL)

        self.network.withdraw("panda")
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([record("numbat", "10.0.0.8", key=NUMBAT)], self.told[-1])
        self.stop(lan)

    def test_somebody_who_goes_while_being_read_is_not_told(self) -> None:
        """
        What a thread finds out about somebody may be over by then.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.threads.are_slow = True
        self.reactor.advance(TELL_INTERVAL)
        read = announcement("panda")

        self.network.withdraw("panda")
        self.network.there[full_name("panda")] = read
        self.threads.are_slow = False
        self.threads.finish()
        self.settle()

        self.assertEqual([], self.told)
        self.stop(lan)

    def test_changed_address_is_told(self) -> None:
        """
        The new one soon; the old one, which still counts for a second, goes with the next look.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda", "10.0.0.7"))
        self.settle()

        self.network.announce("panda", announcement("panda", "10.0.0.8", "10.0.0.7"))
        self.reactor.advance(TELL_INTERVAL)
        self.network.there[full_name("panda")] = announcement("panda", "10.0.0.8")
        self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual(
            [
                [record("panda", "10.0.0.7")],
                [record("panda", "10.0.0.7", "10.0.0.8")],
                [record("panda", "10.0.0.8")],
            ],
            self.told,
        )
        self.stop(lan)

    def test_look_right_after_a_change_is_not_the_last(self) -> None:
        """
        While the old address still counts, a look at it would be for nothing.
        """
        lan = self.start()
        self.reactor.advance(LOOK_INTERVAL - SETTLING_TIME / 2 - TELL_INTERVAL)
        self.network.announce("panda", announcement("panda", "10.0.0.8", "10.0.0.7"))
        self.reactor.advance(TELL_INTERVAL)

        self.reactor.advance(SETTLING_TIME / 2)
        self.network.there[full_name("panda")] = announcement("panda", "10.0.0.8")
        self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual([record("panda", "10.0.0.8")], self.told[-1])
        self.stop(lan)

    def test_we_are_not_told(self) -> None:
        """
        Neither what we announce, in whatever case, nor what we did before our last end.
        """
        lan = self.start()
        service = self.network.ours.name.removesuffix("." + SERVICE_TYPE)

        self.network.announce(service, announcement(service, key=NUMBAT))
        self.network.announce(service.upper(), announcement(service.upper(), key=NUMBAT))
        self.network.announce("before", announcement("before", key=OURS))
        self.settle()

        self.assertEqual([], self.told)
        self.stop(lan)

    def test_successor_replaces_who_ended_without_goodbye(self) -> None:
        """
        At one port of one machine there is one node: the last that was heard.
        """
        lan = self.start()
        self.network.announce("before", announcement("before", "10.0.0.7", "fd00::7"))
        self.reactor.advance(TELL_INTERVAL)

        self.network.announce("after", announcement("after", "fd00::7", "10.0.0.7", key=NUMBAT))
        self.network.announce("other", announcement("other", "10.0.0.7", port=6102))
        self.settle()

        self.assertEqual(
            [
                record("after", "10.0.0.7", "fd00::7", key=NUMBAT),
                record("other", "10.0.0.7", port=6102),
            ],
            self.told[-1],
        )
        self.stop(lan)

    def test_broken_announcements_are_dropped(self) -> None:
        """
        They are not told, and one line of the log is about all of them.
        """
        lan = self.start()
        self.network.announce("a\x1b[2J", announcement("a", properties={}))
        self.network.announce("b", announcement("b", port=0))
        self.network.announce("c", announcement("c", "127.0.0.1", "fe80::1"))

        self.settle()

        self.assertEqual([], self.told)
        self.assertEqual(
            [
                "Dropped 3 announcements that are of no use, such as "
                "a\N{SYMBOL FOR ESCAPE}[2J._p2pchat._tcp.local."
            ],
            self.logged(LogLevel.debug),
        )
        self.stop(lan)

    def test_names_of_other_things_are_dropped(self) -> None:
        """
        What zeroconf itself refuses to look up harms nobody else.
        """
        lan = self.start()
        real = FakeZeroconf.get_service_info

        def refuse(fake: FakeZeroconf, kind: str, name: str, timeout: int) -> ServiceInfo | None:
            if name.startswith("odd"):
                raise zeroconf.BadTypeInNameException
            if name.startswith("long"):
                raise zeroconf.NamePartTooLongException
            return real(fake, kind, name, timeout)

        self.patch(FakeZeroconf, "get_service_info", refuse)

        for service in ("odd", "long", "panda"):
            self.network.announce(service, announcement(service))
        self.settle()

        self.assertEqual([[record("panda")]], self.told)
        self.assertEqual([], self.logged(LogLevel.warn))
        self.stop(lan)

    def test_announcement_that_comes_in_parts_is_found(self) -> None:
        """
        Who says the rest later is read again, and told then.
        """
        lan = self.start()
        self.network.announce("panda", None)
        self.reactor.advance(TELL_INTERVAL)
        self.assertEqual([], self.told)

        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda")]], self.told)
        self.assertEqual([], self.network.asked)
        self.stop(lan)

    def test_who_does_not_say_all_is_asked(self) -> None:
        """
        At the next look; a few of them, and none of them for ever.
        """
        lan = self.start()
        for number in range(10):
            self.network.announce(f"n{number}", None)
        self.reactor.advance(TELL_INTERVAL)
        self.assertEqual([], self.network.asked)

        self.settle()

        self.assertEqual(MOST_QUESTIONS, len(self.network.asked))
        self.assertEqual([], self.told)
        self.stop(lan)

    def test_who_is_asked_is_waited_for_a_moment(self) -> None:
        """
        An answer just in time is told; one that is late is not, and is asked for again.
        """
        lan = self.start()
        for service, delay in (("numbat", LONGEST_ANSWER), ("panda", LONGEST_ANSWER + 1)):
            self.network.answers_after[full_name(service)] = delay
            self.network.announce(service, None)

        self.settle()

        self.assertEqual([[record("numbat")]], self.told)
        self.assertEqual({full_name("numbat"), full_name("panda")}, set(self.network.asked))
        self.stop(lan)

    def test_what_is_heard_for_a_moment_incomplete_keeps_its_place(self) -> None:
        """
        A part of an announcement that has to be heard again is no goodbye.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.settle()

        self.network.announce("panda", None)
        self.reactor.advance(TELL_INTERVAL)
        self.network.there[full_name("panda")] = announcement("panda")
        self.settle()

        self.assertEqual([[record("panda")]], self.told)
        self.stop(lan)

    def test_links_have_their_names(self) -> None:
        """
        An address that counts on one link names it, as addresses do that are typed.
        """
        number, name = socket.if_nameindex()[0]
        lan = self.start()

        self.network.announce("panda", announcement("panda", "fe80::7", link=number))
        self.network.announce("numbat", announcement("numbat", "fe80::8", link=999_999, key=NUMBAT))
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual(
            [
                record("numbat", "fe80::8%999999", key=NUMBAT),
                record("panda", f"fe80::7%{name}"),
            ],
            self.told[-1],
        )
        self.stop(lan)

    def test_loopback_is_found_only_where_we_are_there(self) -> None:
        """
        Nobody else gets us to dial what only this machine reaches.
        """
        for interfaces, expected in [
            (None, []),
            (["10.0.0.1"], []),
            (["127.0.0.1"], [[record("panda", "127.0.0.1")]]),
        ]:
            self.network.there = {full_name("panda"): announcement("panda", "127.0.0.1")}
            lan = self.start(interfaces)
            self.settle()

            self.assertEqual(expected, self.told, interfaces)
            self.stop(lan)

    def test_nothing_is_told_after_the_end(self) -> None:
        """
        What zeroconf's thread handed over before it ended comes too late.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))

        self.stop(lan)
        self.network.announce("numbat", announcement("numbat"))
        self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual([], self.told)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_observer_that_fails_is_logged(self) -> None:
        """
        A mistake elsewhere does not end the looking.
        """
        lan = self.start()
        self.patch(lan, "_changed", lambda records: 1 // 0)
        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

        self.patch(lan, "_changed", self.told.append)
        self.network.announce("numbat", announcement("numbat", "10.0.0.8", key=NUMBAT))
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual(2, len(self.told[-1]))
        self.stop(lan)

    @given(lan_doings())
    def test_in_the_end_it_is_told_who_is_there(self, doings: list[tuple[str, str, float]]) -> None:
        """
        However they come, change and go: who announces something good is told, and nobody else.
        """
        self.begin()
        lan = self.start()
        subnets = {"panda": 1, "numbat": 2, "zebra": 3, "emu": 4}
        for service, doing, pause in doings:
            here, elsewhere = (f"10.{net}.0.{subnets[service]}" for net in (1, 2))
            if doing == "gone":
                if full_name(service) in self.network.there:
                    self.network.withdraw(service)
            else:
                said = {
                    "whole": announcement(service, here),
                    "moved": announcement(service, elsewhere),
                    "part": None,
                    "broken": announcement(service, here, properties={}),
                }
                self.network.announce(service, said[doing])
            self.reactor.advance(pause)
        self.settle()

        there = {
            name: info
            for name, info in self.network.there.items()
            if info is not None and info.properties
        }
        told = {
            full_name(found.service): [address.host for address in found.addresses]
            for found in (self.told[-1] if self.told else [])
        }
        self.assertEqual({name: info.parsed_addresses() for name, info in there.items()}, told)
        self.stop(lan)


class BoundTests(LanTestCase):
    """
    What strangers cannot do to a `Lan`.
    """

    def test_list_is_bounded(self) -> None:
        """
        Who comes beyond the bound is not told, which is logged once, until somebody goes.
        """
        lan = self.start()
        for number in range(MOST_NEARBY):
            host = f"10.1.{number // 200}.{number % 200 + 1}"
            self.network.announce(f"n{number}", announcement(f"n{number}", host))
        self.reactor.advance(TELL_INTERVAL)
        for service, host in (("panda", "10.0.0.7"), ("numbat", "10.0.0.8")):
            self.network.announce(service, announcement(service, host))
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(MOST_NEARBY, len(self.told[-1]))
        self.assertNotIn(record("panda"), self.told[-1])

        self.network.withdraw("n7")
        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual(MOST_NEARBY, len(self.told[-1]))
        self.assertIn(record("panda"), self.told[-1])
        (line,) = self.logged(LogLevel.warn)
        self.assertIn("More than 256 nodes", line)
        self.stop(lan)

    def test_junk_does_not_keep_others_out(self) -> None:
        """
        Thousands of names with nothing behind them push out each other.
        """
        lan = self.start()
        for number in range(10 * MOST_NEARBY):
            self.network.announce(f"junk{number}", None)
        self.network.announce("panda", announcement("panda"))

        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda")]], self.told)
        self.stop(lan)

    def test_flood_is_forgotten(self) -> None:
        """
        A zeroconf that was flooded is replaced; that is not told, and is no goodbye.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        for number in range(MOST_GAPS + 1):
            self.network.announce(f"junk{number}", None)
        self.reactor.advance(TELL_INTERVAL)
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(1, len(self.network.opened))
        self.network.there = {full_name("panda"): announcement("panda")}

        self.reactor.advance(LOOK_INTERVAL)
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([True, False], [one.is_closed for one in self.network.opened])
        self.assertEqual([], self.network.goodbyes)
        self.assertEqual([[record("panda")]], self.told)
        self.stop(lan)

    def test_few_gaps_are_no_flood(self) -> None:
        """
        Some programs that never say all are left alone.
        """
        lan = self.start()
        for number in range(MOST_GAPS):
            self.network.announce(f"junk{number}", None)

        for _ in range(3):
            self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual(1, len(self.network.opened))
        self.stop(lan)


class MovingTests(LanTestCase):
    """
    A `Lan` whose machine changes its addresses, or has none.
    """

    def test_changed_addresses_are_announced(self) -> None:
        """
        Within a look, under the name that we had, and without a goodbye.
        """
        lan = self.start()
        name = self.network.ours.name

        self.network.links = CAFE
        self.reactor.advance(LOOK_INTERVAL)

        self.assertTrue(self.network.opened[0].is_closed)
        self.assertEqual(["192.168.7.1"], self.network.opened[1].interfaces)
        self.assertEqual(["192.168.7.1"], self.network.ours.parsed_addresses())
        self.assertEqual(name, self.network.ours.name)
        self.assertEqual([], self.network.goodbyes)
        self.stop(lan)
        self.assertEqual([name], self.network.goodbyes)

    def test_same_addresses_are_left_alone(self) -> None:
        """
        An idle node opens and says nothing.
        """
        lan = self.start()

        for _ in range(100):
            self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual(1, len(self.network.opened))
        self.assertEqual(1, len(self.reactor.getDelayedCalls()))
        self.stop(lan)

    def test_those_who_are_still_there_are_not_told_again(self) -> None:
        """
        Who is heard on the new network as on the old one was never gone.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)

        self.network.links = (*HOME, Link(4, ("10.9.0.1",)))
        self.reactor.advance(LOOK_INTERVAL)
        self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual(2, len(self.network.opened))
        self.assertEqual([[record("panda")]], self.told)
        self.stop(lan)

    def test_those_who_are_not_there_are_told_to_be_gone(self) -> None:
        """
        Another network has other people.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)

        self.network.links = CAFE
        self.network.there = {full_name("numbat"): announcement("numbat", key=NUMBAT)}
        self.reactor.advance(LOOK_INTERVAL)
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda")], [record("numbat", key=NUMBAT)]], self.told)
        self.stop(lan)

    def test_no_network_is_waited_for(self) -> None:
        """
        Without one nothing is opened, which is logged once; with one everything begins.
        """
        self.network.links = ()
        lan = self.start()
        self.reactor.advance(LOOK_INTERVAL)
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual([], self.network.opened)
        (line,) = self.logged(LogLevel.warn)
        self.assertIn("nobody finds us: there is no network.", line)

        self.network.links = HOME
        self.network.there = {full_name("panda"): announcement("panda")}
        self.reactor.advance(LOOK_INTERVAL)
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda")]], self.told)
        self.stop(lan)

    def test_lost_network_is_told(self) -> None:
        """
        Without a network nobody is there, and leaving is no trouble.
        """
        lan = self.start()
        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)

        self.network.links = ()
        self.reactor.advance(LOOK_INTERVAL)
        self.reactor.advance(TELL_INTERVAL)

        self.assertEqual([[record("panda")], []], self.told)
        self.assertEqual(1, len(self.logged(LogLevel.warn)))
        self.stop(lan)

    def test_taken_port_is_tried_again_when_the_addresses_change(self) -> None:
        """
        It is logged once until it has gone well, and what was half opened is closed.
        """
        self.network.refusal = OSError("Address already in use")
        lan = self.start()
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual([True], [one.is_closed for one in self.network.opened])

        self.network.links = CAFE
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(2, len(self.network.opened))
        (line,) = self.logged(LogLevel.warn)
        self.assertIn("nobody finds us: Address already in use.", line)

        self.network.refusal = None
        self.network.links = HOME
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(3, len(self.network.opened))
        self.network.refusal = zeroconf.NotRunningException()
        self.network.links = CAFE
        self.reactor.advance(LOOK_INTERVAL)

        self.assertIn("nobody finds us: NotRunningException.", self.logged(LogLevel.warn)[-1])
        self.assertEqual(2, len(self.logged(LogLevel.warn)))
        self.stop(lan)

    def test_unread_announcements_are_read_later(self) -> None:
        """
        A zeroconf that does not answer is logged once, and read again at the next look.
        """
        lan = self.start()
        self.network.trouble = zeroconf.EventLoopBlocked("blocked")
        self.network.announce("panda", announcement("panda"))
        self.reactor.advance(TELL_INTERVAL)
        self.network.announce("numbat", announcement("numbat", "10.0.0.8", key=NUMBAT))
        self.reactor.advance(TELL_INTERVAL)
        self.assertEqual(1, len(self.logged(LogLevel.warn)))

        self.network.trouble = None
        self.reactor.advance(LOOK_INTERVAL)

        self.assertEqual(2, len(self.told[-1]))
        self.stop(lan)
