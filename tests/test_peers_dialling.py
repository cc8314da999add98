"""
Dialling, and what can go wrong in words.
"""

import socket
from errno import ECONNREFUSED, EHOSTUNREACH, EMFILE, ENETUNREACH, ETIMEDOUT

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionLost,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.people import MALLORY, Impostor
from twistedchat.core.addresses import Address
from twistedchat.core.errors import (
    ConnectionReset,
    HostNotFound,
    HostUnreachable,
    NoAnswer,
    NotSent,
    PeerRefused,
)
from twistedchat.core.identity import DeviceKey
from twistedchat.peers import dialling
from twistedchat.peers.dialling import DIAL_TIMEOUT, MOST_DIALS, Dialler, addresses_of
from twistedchat.peers.doorman import LONGEST_ANSWER, LONGEST_CLOSE, Doorman
from twistedchat.testing import LOOPBACK, MemoryNetwork

THEM = Address("192.0.2.1", 7001)


class DiallerTestCase(SynchronousTestCase):
    """
    A dialler on a network in memory.
    """

    @override
    def setUp(self) -> None:
        """
        Make one.
        """
        self.network = MemoryNetwork()
        self.asked: list[str] = []
        self.answer: Deferred[list[str]] = Deferred()
        self.doorman = Doorman(self.network, lambda host, messages: None)
        self.dialler = Dialler(self.network, self.network, self.ask, self.doorman)

    def ask(self, host: str) -> Deferred[list[str]]:
        """
        Look a name up, as the test wants it.
        """
        self.asked.append(host)
        return self.answer

    def deliver(self, recipient: Address = THEM, data: bytes = b"hello") -> Deferred[Address]:
        """
        Say something.
        """
        return Deferred.fromCoroutine(self.dialler.deliver(recipient, lambda our_host: data))

    def assert_nothing_left(self) -> None:
        """
        No connection, no dial and no timer is left.
        """
        self.doorman.close()
        self.network.settle()
        self.assertEqual([], self.network.getDelayedCalls())


class DeliverTests(DiallerTestCase):
    """
    `Dialler.deliver`.
    """

    def test_listening_peer_takes_it(self) -> None:
        """
        The bytes arrive, and the address that took them is told.
        """
        heard = self.network.listen_as(THEM)
        delivered = self.deliver()

        self.network.settle()

        self.assertEqual([b"hello"], heard)
        self.assertEqual(THEM, self.successResultOf(delivered))
        self.assert_nothing_left()

    def test_ipv6_peer_takes_it(self) -> None:
        """
        An IPv6 address is dialled as one.
        """
        them = Address("2001:db8::1", 7001)
        heard = self.network.listen_as(them)
        delivered = self.deliver(them)

        self.network.settle()

        self.assertEqual([b"hello"], heard)
        self.assertEqual(them, self.successResultOf(delivered))

    def test_name_is_dialled_at_its_address(self) -> None:
        """
        A name is resolved, and the address that took it is told, not the name.
        """
        there = Address(LOOPBACK, 7001)
        heard = self.network.listen_as(there)
        delivered = self.deliver(Address("peer.example", 7001))

        self.network.settle()

        self.assertEqual([b"hello"], heard)
        self.assertEqual(there, self.successResultOf(delivered))

    def test_our_address_is_told_to_the_writer(self) -> None:
        """
        The bytes are made when it is known which address of ours the other side sees.
        """
        heard = self.network.listen_as(THEM)
        delivered = Deferred.fromCoroutine(self.dialler.deliver(THEM, str.encode))

        self.network.settle()

        self.successResultOf(delivered)
        self.assertEqual([b"192.0.2.1"], heard)

    def test_peer_that_never_closes_takes_it_after_a_moment(self) -> None:
        """
        A program that leaves the close to us has the message.
        """
        heard = self.network.listen_as(THEM, closes=False)
        delivered = self.deliver()

        self.network.settle()
        self.assertNoResult(delivered)
        self.network.advance(LONGEST_CLOSE)
        self.network.settle()

        self.assertEqual(THEM, self.successResultOf(delivered))
        self.assertEqual([b"hello"], heard)
        self.assert_nothing_left()

    def test_many_dials_go_in_turns(self) -> None:
        """
        At most `MOST_DIALS` are under way; the next begins when one ends.
        """
        self.network.silent_hosts.add(THEM.host)
        deliveries = [self.deliver() for _ in range(MOST_DIALS + 2)]
        self.assertEqual(MOST_DIALS, len(self.network.dialled))

        self.network.advance(DIAL_TIMEOUT)

        self.assertEqual(MOST_DIALS + 2, len(self.network.dialled))
        for delivery in deliveries[:MOST_DIALS]:
            self.failureResultOf(delivery, NoAnswer)
        self.network.advance(DIAL_TIMEOUT)
        for delivery in deliveries[MOST_DIALS:]:
            self.failureResultOf(delivery, NoAnswer)
        self.assert_nothing_left()

    def test_cancelled_while_dialling_stops_it(self) -> None:
        """
        A dial that is not wanted any more ends at once, and gives its turn back.
        """
        self.network.silent_hosts.add(THEM.host)
        deliveries = [self.deliver() for _ in range(MOST_DIALS + 1)]

        deliveries[0].cancel()

        self.assertIs(NotSent, type(self.failureResultOf(deliveries[0]).value))
        self.assertEqual(MOST_DIALS + 1, len(self.network.dialled))
        self.assertEqual(MOST_DIALS, len(self.network.getDelayedCalls()))
        for delivery in deliveries[1:]:
            delivery.cancel()
            self.failureResultOf(delivery, NotSent)
        self.assert_nothing_left()

    def test_cancelled_while_dialling_a_name_stops_it(self) -> None:
        """
        The same with a name.
        """
        self.network.silent_hosts.add(LOOPBACK)
        delivered = self.deliver(Address("peer.example", 7001))
        self.network.settle()
        self.assertEqual([Address(LOOPBACK, 7001)], self.network.dialled)

        delivered.cancel()

        self.assertIs(NotSent, type(self.failureResultOf(delivered).value))
        self.assert_nothing_left()

    def test_cancelled_while_waiting_for_a_turn_is_told_in_words(self) -> None:
        """
        A dial that has not begun yet never begins.
        """
        self.network.silent_hosts.add(THEM.host)
        deliveries = [self.deliver() for _ in range(MOST_DIALS + 1)]

        deliveries[-1].cancel()

        failure = self.failureResultOf(deliveries[-1], NotSent)
        self.assertEqual("The chat ended before it could be sent.", failure.getErrorMessage())
        self.assertEqual(MOST_DIALS, len(self.network.dialled))
        for delivery in deliveries[:-1]:
            delivery.cancel()
            self.failureResultOf(delivery, NotSent)
        self.assert_nothing_left()

    def test_cancelled_while_waiting_for_the_close_ends_the_connection(self) -> None:
        """
        The message is out: who cancels then is told at once, and nothing is left open.
        """
        heard = self.network.listen_as(THEM, closes=False)
        delivered = self.deliver()
        self.network.settle()

        delivered.cancel()

        self.failureResultOf(delivered, NotSent)
        self.assertEqual([], heard)
        self.assert_nothing_left()
        self.assertEqual([b"hello"], heard)


class ErrorTests(DiallerTestCase):
    """
    What is told when nobody took it.
    """

    def told(self, recipient: Address, error: Exception | None = None) -> NotSent:
        """
        What a dial that fails is told as.
        """
        delivered = self.deliver(recipient)
        if error is not None:
            (dial,) = self.network.dials
            dial.fail(error)
        self.network.settle()
        failure = self.failureResultOf(delivered, NotSent)
        self.assert_nothing_left()
        assert isinstance(failure.value, NotSent)
        return failure.value

    def assert_told(self, kind: type[NotSent], words: str, error: NotSent) -> None:
        """
        Check the exact class and the words.
        """
        self.assertEqual((kind, words), (type(error), str(error)))
        self.assertEqual("", error.unsent)

    def test_nobody_listening_is_refused(self) -> None:
        """
        A port that nobody has is told as that.
        """
        self.assert_told(
            PeerRefused,
            "Refused: nobody listens on [2001:db8::1]:7001. Is the program there running?",
            self.told(Address("2001:db8::1", 7001)),
        )

    def test_silence_is_no_answer(self) -> None:
        """
        Five seconds are enough.
        """
        self.network.silent_hosts.add(THEM.host)
        delivered = self.deliver()

        self.network.advance(DIAL_TIMEOUT - 0.01)
        self.assertNoResult(delivered)
        self.network.advance(0.01)

        failure = self.failureResultOf(delivered, NoAnswer)
        self.assertEqual(
            "Timed out: 192.0.2.1 did not answer within 5 seconds. "
            "Is the address right, and the machine on?",
            failure.getErrorMessage(),
        )
        self.assert_nothing_left()

    def test_time_out_of_the_system_is_no_answer(self) -> None:
        """
        A system that gives up earlier says the same.
        """
        self.assertIs(NoAnswer, type(self.told(THEM, TCPTimedOutError(ETIMEDOUT, "timed out"))))

    def test_name_without_an_address_is_unknown(self) -> None:
        """
        A name that leads nowhere is told by its name.
        """
        self.assert_told(
            HostNotFound,
            "Unknown host: no address is known for 192.0.2.1.",
            self.told(THEM, DNSLookupError()),
        )

    def test_no_way_is_unreachable(self) -> None:
        """
        A network or host that cannot be reached is told with the system's reason.
        """
        self.assert_told(
            HostUnreachable,
            "Unreachable: there is no way to 192.0.2.1 from here (no route to host).",
            self.told(THEM, ConnectError(EHOSTUNREACH, "no route")),
        )
        self.assert_told(
            HostUnreachable,
            "Unreachable: there is no way to 192.0.2.1 from here (network is unreachable).",
            self.told(THEM, NoRouteError(ENETUNREACH, "unreachable")),
        )

    def test_anything_else_is_told_as_it_is(self) -> None:
        """
        What has no words of its own still says whom it was about.
        """
        for error in (
            ConnectBindError(EMFILE, "Too many open files"),
            ConnectError(ECONNREFUSED, "odd"),
        ):
            told = self.told(THEM, error)
            self.assert_told(NotSent, f"The connection to 192.0.2.1:7001 failed: {error}", told)

    def test_broken_off_is_reset(self) -> None:
        """
        A connection that ends before the message was read is told as that.
        """
        self.network.listen_as(THEM, closes=False)
        delivered = self.deliver()
        self.network.settle()
        ours, theirs = self.network.connections[0]

        theirs.abortConnection()
        self.network.settle()

        failure = self.failureResultOf(delivered, ConnectionReset)
        self.assertEqual(
            "Reset: 192.0.2.1:7001 broke the connection off, and may not have read it.",
            failure.getErrorMessage(),
        )
        self.assertIsInstance(failure.value.__cause__, ConnectionLost)
        self.assertTrue(ours.is_lost)
        self.assert_nothing_left()

    def test_every_reason_frees_its_turn(self) -> None:
        """
        However a dial ends, the next one can be made.
        """
        for _ in range(MOST_DIALS + 1):
            self.told(THEM)

        heard = self.network.listen_as(THEM)
        self.successResultOf(self.settled(self.deliver()))
        self.assertEqual([b"hello"], heard)

    def settled(self, delivered: Deferred[Address]) -> Deferred[Address]:
        """
        Let everything happen.
        """
        self.network.settle()
        return delivered


class AskWhoTests(DiallerTestCase):
    """
    `Dialler.ask_who`: the empty question.
    """

    def ask_who(self) -> Deferred[DeviceKey | None]:
        """
        Ask.
        """
        return Deferred.fromCoroutine(self.dialler.ask_who(THEM))

    def answer_with(self, answer: bytes, *, closes: bool = True) -> Deferred[DeviceKey | None]:
        """
        Ask somebody who answers like that.
        """
        impostor = Impostor()
        impostor.answer, impostor.closes = answer, closes
        self.network.listenTCP(THEM.port, impostor, interface=THEM.host)
        asked = self.ask_who()
        self.network.settle()
        self.assertEqual([b""], [call.heard for call in impostor.calls])
        self.network.unlisten(THEM)
        return asked

    def test_node_tells_its_key(self) -> None:
        """
        What a node of this or a later version answers is understood, with any end of line or none.
        """
        key = str(MALLORY.key).encode()
        for answer in (
            b"TWISTEDCHAT/2 %s\n" % key,
            b"TWISTEDCHAT/2 %s" % key,
            b"TWISTEDCHAT/999999999 %s\r\n" % key,
            b"TWISTEDCHAT/2 %s\nTWISTEDCHAT/2 %s\n" % (key, b"0" * 64),
        ):
            self.assertEqual(MALLORY.key, self.successResultOf(self.answer_with(answer)), answer)
        self.assert_nothing_left()

    def test_garbage_is_no_node(self) -> None:
        """
        Whatever else comes back tells of another program.
        """
        key = str(MALLORY.key).encode()
        for answer in (
            b"",
            b"\n",
            b"\x00\xff" * 50,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"TWISTEDCHAT/2 %s more\n" % key,
            b" TWISTEDCHAT/2 %s\n" % key,
            b"TWISTEDCHAT/x %s\n" % key,
            b"TWISTEDCHAT/1234567890 %s\n" % key,
            b"TWISTEDCHAT/2 %s\n" % key.upper(),
            b"TWISTEDCHAT/2 %s\n" % key[:-1],
            # A key that anybody could sign for.
            b"TWISTEDCHAT/2 %s\n" % (b"0" * 64),
            b"TWISTEDCHAT/2 " + b" " * 500 + key + b"\n",
        ):
            self.assertIsNone(self.successResultOf(self.answer_with(answer)), answer)
        self.assert_nothing_left()

    def test_silence_is_no_node_after_a_second(self) -> None:
        """
        Who neither answers nor closes is not waited for for long.
        """
        asked = self.answer_with(b"", closes=False)
        self.network.advance(LONGEST_ANSWER - 0.01)
        self.assertNoResult(asked)

        self.network.advance(0.01)
        self.network.settle()

        self.assertIsNone(self.successResultOf(asked))
        self.assert_nothing_left()

    def test_answer_after_a_second_is_too_late(self) -> None:
        """
        What would have been an answer is none then.
        """
        asked = self.answer_with(b"", closes=False)
        ((_, theirs),) = self.network.connections
        self.network.advance(LONGEST_ANSWER)
        theirs.write(b"TWISTEDCHAT/2 %s\n" % str(MALLORY.key).encode())
        self.network.settle()

        self.assertIsNone(self.successResultOf(asked))
        self.assert_nothing_left()

    def test_classic_program_hears_nothing(self) -> None:
        """
        A program that is no node has heard no message, whether it closes or not.
        """
        for closes in (True, False):
            heard = self.network.listen_as(THEM, closes=closes)
            asked = self.ask_who()
            self.network.settle()
            self.network.advance(LONGEST_ANSWER)
            self.network.settle()

            self.assertIsNone(self.successResultOf(asked))
            self.assertEqual([], heard)
        self.assert_nothing_left()

    def test_nobody_there_is_told_in_words(self) -> None:
        """
        Where nobody listens nobody can be asked; nor one who breaks off.
        """
        asked = self.ask_who()
        self.network.settle()
        self.failureResultOf(asked, PeerRefused)

        asked = self.answer_with(b"", closes=False)
        self.network.connections[0][1].abortConnection()
        self.network.settle()

        self.failureResultOf(asked, ConnectionReset)
        self.assert_nothing_left()


class LookUpTests(DiallerTestCase):
    """
    `Dialler.look_up`.
    """

    def look_up(self, host: str) -> Deferred[list[str]]:
        """
        Look a host up.
        """
        return Deferred.fromCoroutine(self.dialler.look_up(host))

    def test_address_is_its_own(self) -> None:
        """
        Nobody is asked for what is an address already.
        """
        for host in ("192.0.2.1", "2001:db8::1"):
            self.assertEqual([host], self.successResultOf(self.look_up(host)))
        self.assertEqual([], self.asked)

    def test_name_is_asked_for(self) -> None:
        """
        The addresses of a name are those that were found.
        """
        found = self.look_up("peer.example")
        self.assertNoResult(found)

        self.answer.callback(["192.0.2.1", "2001:db8::1"])

        self.assertEqual(["192.0.2.1", "2001:db8::1"], self.successResultOf(found))
        self.assertEqual(["peer.example"], self.asked)
        self.assertEqual([], self.network.getDelayedCalls())

    def test_no_answer_finds_nothing(self) -> None:
        """
        A resolver that takes longer than a person waits has found nothing.
        """
        found = self.look_up("peer.example")

        self.network.advance(DIAL_TIMEOUT)

        self.assertEqual([], self.successResultOf(found))
        self.answer.callback(["192.0.2.1"])
        self.assertEqual([], self.network.getDelayedCalls())


class AddressesOfTests(SynchronousTestCase):
    """
    `addresses_of`, with the system's resolver replaced.
    """

    def resolve(self, result: list[tuple[str, int]] | Exception) -> list[str]:
        """
        Ask for the addresses of a name that resolves to this.
        """

        def getaddrinfo(*arguments: object, **options: object) -> list[object]:
            if isinstance(result, Exception):
                raise result
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in result]

        self.patch(dialling, "getaddrinfo", getaddrinfo)
        return addresses_of("peer.example")

    def test_same_address_twice_is_told_once(self) -> None:
        """
        The order is the system's, without repetitions.
        """
        self.assertEqual(
            ["192.0.2.2", "192.0.2.1"],
            self.resolve([("192.0.2.2", 0), ("192.0.2.1", 0), ("192.0.2.2", 0)]),
        )

    def test_name_that_leads_nowhere_finds_nothing(self) -> None:
        """
        A name that nobody knows, or that cannot be asked for, has no address.
        """
        self.assertEqual([], self.resolve(socket.gaierror(socket.EAI_NONAME, "unknown")))
        self.assertEqual([], self.resolve(UnicodeError("label too long")))
