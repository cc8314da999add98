"""
One connection: what is read from those that come in, and how one goes out.
"""

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.core.addresses import Address
from twistedchat.core.classic import ClassicMessage, Dialect, Kind, UnknownText
from twistedchat.peers.doorman import (
    END_OF_MESSAGE,
    LARGEST_MESSAGE,
    LONGEST_ANSWER,
    LONGEST_CLOSE,
    LONGEST_IDLE,
    MOST_BYTES,
    Doorman,
)
from twistedchat.peers.protocol import (
    LONGEST_ANSWER_LINE,
    Delivery,
    PeerFactory,
    PeerProtocol,
    Question,
)
from twistedchat.testing import MemoryTransport

HELLO = b"LISTENING_PORT:7001|TEAM_NAME:Ann|hello"
HEARD = ClassicMessage(Dialect.HEADER, Kind.MESSAGE, 7001, "Ann", "hello")
US = IPv4Address("TCP", "192.0.2.100", 7070)
LISTENER = IPv4Address("TCP", "192.0.2.1", 7001)
THEM = IPv4Address("TCP", "192.0.2.1", 50000)


class ProtocolTestCase(SynchronousTestCase):
    """
    What both sides have: a doorman, its clock, and a list of what was heard.
    """

    @override
    def setUp(self) -> None:
        """
        Make them.
        """
        self.clock = Clock()
        self.heard: list[tuple[str, list[ClassicMessage | UnknownText]]] = []
        self.doorman = Doorman(
            self.clock, lambda host, messages: self.heard.append((host, messages))
        )

    def assert_nothing_left(self) -> None:
        """
        After the end of the node there is no timer.
        """
        self.doorman.close()
        self.assertEqual([], self.clock.getDelayedCalls())


class IncomingTests(ProtocolTestCase):
    """
    `PeerProtocol` on a connection that was accepted.
    """

    def accept(self, peer: IPv4Address | IPv6Address = THEM) -> MemoryTransport:
        """
        Accept a connection.
        """
        protocol = PeerFactory(self.doorman).buildProtocol(peer)
        transport = MemoryTransport(protocol, US, peer)
        protocol.makeConnection(transport)
        return transport

    def test_end_ends_a_message(self) -> None:
        """
        What came before the other side closed was said, at that moment.
        """
        transport = self.accept()

        transport.protocol.dataReceived(HELLO)
        self.assertEqual([], self.heard)
        transport.lose()

        self.assertEqual([("192.0.2.1", [HEARD])], self.heard)
        self.assert_nothing_left()

    def test_silence_ends_a_message(self) -> None:
        """
        A sender that does not close is heard after a moment, and once.
        """
        transport = self.accept()

        transport.protocol.dataReceived(HELLO)
        self.clock.advance(END_OF_MESSAGE - 0.01)
        self.assertEqual([], self.heard)
        self.clock.advance(0.01)
        self.assertEqual([("192.0.2.1", [HEARD])], self.heard)
        transport.lose()

        self.assertEqual(1, len(self.heard))
        self.assert_nothing_left()

    def test_silence_between_messages_keeps_them_apart(self) -> None:
        """
        A sender may use one connection for several messages.
        """
        transport = self.accept()

        for _ in range(2):
            transport.protocol.dataReceived(HELLO)
            self.clock.advance(END_OF_MESSAGE)
        transport.lose()

        self.assertEqual([("192.0.2.1", [HEARD])] * 2, self.heard)
        self.assert_nothing_left()

    def test_split_message_is_put_together(self) -> None:
        """
        However a message is cut on its way, inside a character too, it is one.
        """
        text = HELLO + " 你好".encode()
        transport = self.accept()

        for byte in text:
            transport.protocol.dataReceived(bytes([byte]))
            self.clock.advance(END_OF_MESSAGE / 2)
        transport.lose()

        self.assertEqual(["hello 你好"], [message.text for message in self.heard[0][1]])
        self.assertEqual(1, len(self.heard))
        self.assert_nothing_left()

    def test_coalesced_messages_are_taken_apart(self) -> None:
        """
        Two messages that arrive as one piece are two.
        """
        transport = self.accept()

        transport.protocol.dataReceived(HELLO + HELLO)
        transport.lose()

        self.assertEqual([("192.0.2.1", [HEARD, HEARD])], self.heard)

    def test_reset_delivers_what_came(self) -> None:
        """
        A connection that is broken off after a message has brought it all the same.
        """
        transport = self.accept()

        transport.protocol.dataReceived(HELLO)
        transport.lose(ConnectionLost())

        self.assertEqual([("192.0.2.1", [HEARD])], self.heard)
        self.assert_nothing_left()

    def test_probe_is_nothing(self) -> None:
        """
        A connection without a byte, or with nothing but white space, says nothing.
        """
        self.accept().lose()
        transport = self.accept()
        transport.protocol.dataReceived(b" \r\n\t")
        transport.lose()

        self.assertEqual([], self.heard)
        self.assert_nothing_left()

    def test_nothing_is_ever_answered(self) -> None:
        """
        Nothing is written to a connection that was accepted.
        """
        transport = self.accept()

        transport.protocol.dataReceived(HELLO)
        self.clock.advance(END_OF_MESSAGE)
        transport.lose()

        self.assertEqual([], transport.written)

    def test_tls_is_dropped(self) -> None:
        """
        A first byte that begins a TLS handshake ends the connection, and says nothing.
        """
        transport = self.accept()

        with capturedLogs() as events:
            transport.protocol.dataReceived(b"\x16\x03\x01\x02\x00")

        self.assertTrue(transport.is_aborted)
        self.assertEqual("it speaks TLS, which this node does not", events[-1]["reason"])
        transport.lose()
        self.assertEqual([], self.heard)
        self.assert_nothing_left()

    def test_that_byte_later_is_no_tls(self) -> None:
        """
        Only the first byte of a connection tells.
        """
        transport = self.accept()

        transport.protocol.dataReceived(b"a")
        transport.protocol.dataReceived(b"\x16")
        transport.lose()

        self.assertFalse(transport.is_aborted)
        self.assertEqual([("192.0.2.1", [UnknownText("a\x16")])], self.heard)

    def test_largest_message_is_heard(self) -> None:
        """
        A message of exactly `LARGEST_MESSAGE` bytes is taken.
        """
        transport = self.accept()

        transport.protocol.dataReceived(b"a" * LARGEST_MESSAGE)
        transport.lose()

        self.assertEqual([("192.0.2.1", [UnknownText("a" * LARGEST_MESSAGE)])], self.heard)

    def test_larger_message_is_dropped(self) -> None:
        """
        One byte more ends the connection, and none of it was said.
        """
        transport = self.accept()

        transport.protocol.dataReceived(b"a" * LARGEST_MESSAGE)
        with capturedLogs() as events:
            transport.protocol.dataReceived(b"a")

        self.assertTrue(transport.is_aborted)
        self.assertEqual("it sent a message of more than 65536 bytes", events[-1]["reason"])
        transport.lose()
        self.assertEqual([], self.heard)
        self.assert_nothing_left()

    def test_endless_connection_is_dropped(self) -> None:
        """
        Many messages on one connection are taken up to `MOST_BYTES`, and no further.
        """
        transport = self.accept()
        message = b"a" * LARGEST_MESSAGE

        for _ in range(MOST_BYTES // LARGEST_MESSAGE):
            transport.protocol.dataReceived(message)
            self.clock.advance(END_OF_MESSAGE)
        self.assertFalse(transport.is_aborted)
        with capturedLogs() as events:
            transport.protocol.dataReceived(b"a")

        self.assertTrue(transport.is_aborted)
        self.assertEqual(
            "it sent more than 1048576 bytes over one connection", events[-1]["reason"]
        )
        self.assertEqual(16, len(self.heard))
        transport.lose()
        self.assert_nothing_left()

    def test_idle_is_dropped(self) -> None:
        """
        A minute without a message ends a connection, counted from the last one.
        """
        transport = self.accept()
        self.clock.advance(LONGEST_IDLE - 1)
        transport.protocol.dataReceived(HELLO)
        self.clock.advance(END_OF_MESSAGE)

        self.clock.pump([1] * int(LONGEST_IDLE - 1))
        self.assertFalse(transport.is_aborted)
        self.clock.advance(1)

        self.assertTrue(transport.is_aborted)
        transport.lose()
        self.assertEqual([("192.0.2.1", [HEARD])], self.heard)
        self.assert_nothing_left()

    def test_dripping_is_dropped(self) -> None:
        """
        Bytes that come too slowly ever to end a message keep a connection open for a minute only.
        """
        transport = self.accept()

        for _ in range(int(LONGEST_IDLE / END_OF_MESSAGE * 2) - 1):
            transport.protocol.dataReceived(b"a")
            self.clock.advance(END_OF_MESSAGE / 2)
        self.assertFalse(transport.is_aborted)
        self.clock.advance(END_OF_MESSAGE / 2 + 0.001)

        self.assertTrue(transport.is_aborted)
        transport.lose()
        self.assert_nothing_left()

    def test_invalid_utf8_is_read_with_replacements(self) -> None:
        """
        Bytes that are no UTF-8 are shown as far as they can be.
        """
        transport = self.accept()

        transport.protocol.dataReceived(HELLO + b" \xff\xfe\xe4")
        transport.lose()

        self.assertEqual("hello \ufffd\ufffd\ufffd", self.heard[0][1][0].text)

    def test_mapped_address_is_ipv4(self) -> None:
        """
        An IPv4 peer on a dual-stack socket is an IPv4 peer; an IPv6 one stays what it is.
        """
        for host in ("::ffff:192.0.2.1", "2001:db8::1"):
            transport = self.accept(IPv6Address("TCP", host, 50000))
            transport.protocol.dataReceived(HELLO)
            transport.lose()

        self.assertEqual(["192.0.2.1", "2001:db8::1"], [host for host, _ in self.heard])

    def test_turned_away_is_broken_off_and_not_heard(self) -> None:
        """
        Where the doorman refuses, the connection ends at once; what it brings is not read.
        """
        self.doorman = Doorman(
            self.clock,
            lambda host, messages: self.heard.append((host, messages)),
            most_connections=1,
        )
        inside = self.accept()

        refused = self.accept(IPv4Address("TCP", "192.0.2.2", 50000))
        self.assertTrue(refused.is_aborted)
        refused.protocol.dataReceived(HELLO)
        refused.lose()
        self.assertEqual([], self.heard)

        inside.lose()
        self.assertFalse(self.accept().is_aborted)
        self.assert_nothing_left()

    def test_line_of_nobody_is_passed_over(self) -> None:
        """
        A classic connection has no lines, nor has one that was turned away within its handshake.
        """
        protocol = PeerFactory(self.doorman).buildProtocol(THEM)

        protocol.lineReceived(b'{"t":"ping"}')

        self.assertEqual([], self.heard)
        self.assertTrue(protocol.is_closed)
        self.assertIsNone(protocol.their_address)
        self.assertIsNone(protocol.dialled)
        self.assertFalse(protocol.is_deliberate)

    def test_end_without_a_byte_is_not_answered_by_who_is_nobody(self) -> None:
        """
        A node without sessions has no answer to the empty question.
        """
        transport = self.accept()

        protocol = transport.protocol
        assert isinstance(protocol, PeerProtocol)
        protocol.readConnectionLost()

        self.assertEqual([], transport.written)
        self.assertTrue(transport.is_closing)
        transport.lose()
        self.assert_nothing_left()


class Answering:
    """
    What the doorman has of a node that knows who it is, as far as questions go.
    """

    answer = b"TWISTEDCHAT/2 me\n"


class EmptyQuestionTests(ProtocolTestCase):
    """
    The empty question: how it is answered, and how it is asked.
    """

    @override
    def setUp(self) -> None:
        """
        Know who we are.
        """
        super().setUp()
        self.doorman.greeter = Answering()  # type: ignore[assignment]

    def accept(self) -> tuple[MemoryTransport, PeerProtocol]:
        """
        Accept a connection.
        """
        protocol = PeerFactory(self.doorman).buildProtocol(THEM)
        transport = MemoryTransport(protocol, US, THEM)
        protocol.makeConnection(transport)
        return transport, protocol

    def ask(self) -> tuple[MemoryTransport, Deferred[bytes]]:
        """
        Ask.
        """
        question = Question()
        protocol = PeerFactory(self.doorman, question).buildProtocol(None)
        transport = MemoryTransport(protocol, US, LISTENER)
        protocol.makeConnection(transport)
        return transport, question.answered

    def test_end_without_a_byte_is_answered_with_one_line(self) -> None:
        """
        Who closes their side without a byte hears who we are, and nothing is heard of it.
        """
        transport, protocol = self.accept()

        protocol.readConnectionLost()

        self.assertEqual([b"TWISTEDCHAT/2 me\n"], transport.written)
        self.assertTrue(transport.is_closing)
        transport.lose()
        self.assertEqual([], self.heard)
        self.assert_nothing_left()

    def test_end_after_a_byte_is_not_answered(self) -> None:
        """
        Whoever said something has asked nothing.
        """
        for said in (HELLO, b" "):
            transport, protocol = self.accept()
            transport.protocol.dataReceived(said)

            protocol.readConnectionLost()

            self.assertEqual([], transport.written)
            self.assertTrue(transport.is_closing)
            transport.lose()
        self.assert_nothing_left()

    def test_turned_away_is_not_answered(self) -> None:
        """
        Whom the doorman refuses is told nothing.
        """
        self.doorman = Doorman(self.clock, self.doorman.hear, most_connections=0)
        self.doorman.greeter = Answering()  # type: ignore[assignment]
        transport, protocol = self.accept()

        protocol.readConnectionLost()

        self.assertEqual([], transport.written)
        transport.lose()
        self.assert_nothing_left()

    def test_question_is_a_half_close_without_a_byte(self) -> None:
        """
        Asking says nothing, and then waits.
        """
        transport, answered = self.ask()

        self.assertEqual([], transport.written)
        self.assertTrue(transport.is_half_closed)
        self.assertFalse(transport.is_closing)
        self.assertNoResult(answered)
        transport.lose()
        self.assertEqual(b"", self.successResultOf(answered))
        self.assert_nothing_left()

    def test_answer_is_one_line_however_it_is_cut(self) -> None:
        """
        With the line the connection is over; what comes behind it does not count.
        """
        transport, answered = self.ask()
        for byte in b"TWISTEDCHAT/2 you":
            transport.protocol.dataReceived(bytes([byte]))
        self.assertFalse(transport.is_closing)

        transport.protocol.dataReceived(b"\nand more\n")

        self.assertTrue(transport.is_closing)
        transport.lose()
        self.assertEqual(b"TWISTEDCHAT/2 you", self.successResultOf(answered))
        self.assert_nothing_left()

    def test_slow_answer_is_not_waited_for(self) -> None:
        """
        A second is enough, also for one that drips.
        """
        transport, answered = self.ask()
        for _ in range(7):
            self.clock.advance(LONGEST_ANSWER / 8)
            transport.protocol.dataReceived(b"T")
        self.assertFalse(transport.is_closing)

        self.clock.advance(LONGEST_ANSWER / 8)

        self.assertTrue(transport.is_closing)
        transport.lose()
        self.assertEqual(b"T" * 7, self.successResultOf(answered))
        self.assert_nothing_left()

    def test_endless_answer_is_not_read(self) -> None:
        """
        Two hundred bytes are more than any answer of ours has.
        """
        transport, answered = self.ask()
        transport.protocol.dataReceived(b"x" * LONGEST_ANSWER_LINE)
        self.assertFalse(transport.is_closing)

        transport.protocol.dataReceived(b"x")

        self.assertTrue(transport.is_closing)
        transport.lose()
        self.assertEqual(LONGEST_ANSWER_LINE + 1, len(self.successResultOf(answered)))
        self.assert_nothing_left()

    def test_broken_off_is_no_answer(self) -> None:
        """
        Who breaks the connection off has not told that they are anybody, or nobody.
        """
        transport, answered = self.ask()

        transport.lose(ConnectionLost())

        self.failureResultOf(answered, ConnectionLost)
        self.assert_nothing_left()

    def test_stop_ends_the_question(self) -> None:
        """
        A node that stops asks no more.
        """
        transport, answered = self.ask()

        self.doorman.close()

        self.assertTrue(transport.is_closing)
        transport.lose()
        self.successResultOf(answered)
        self.assertEqual([], self.clock.getDelayedCalls())


class OutgoingTests(ProtocolTestCase):
    """
    `PeerProtocol` on a connection that we opened.
    """

    @override
    def setUp(self) -> None:
        """
        Open one, to say hello.
        """
        super().setUp()
        self.told: list[str] = []
        self.delivery = Delivery(self.write)

    def write(self, our_host: str) -> bytes:
        """
        Give the bytes, and remember which address of ours was told.
        """
        self.told.append(our_host)
        return HELLO

    def open(
        self,
        ours: IPv4Address | IPv6Address = US,
        theirs: IPv4Address | IPv6Address = LISTENER,
    ) -> MemoryTransport:
        """
        Open the connection.
        """
        protocol = PeerFactory(self.doorman, self.delivery).buildProtocol(None)
        transport = MemoryTransport(protocol, ours, theirs)
        protocol.makeConnection(transport)
        return transport

    def test_message_is_one_write_and_a_half_close(self) -> None:
        """
        Everything goes in one write, then nothing more will come; reading goes on.
        """
        transport = self.open()

        self.assertEqual([HELLO], transport.written)
        self.assertTrue(transport.is_half_closed)
        self.assertFalse(transport.is_closing)
        self.assertEqual(["192.0.2.100"], self.told)
        self.assertNoResult(self.delivery.taken)
        transport.lose()
        self.assert_nothing_left()

    def test_end_means_taken(self) -> None:
        """
        The other side closes: it has the message.
        """
        transport = self.open()

        transport.lose()

        self.assertEqual(Address("192.0.2.1", 7001), self.successResultOf(self.delivery.taken))
        self.clock.advance(LONGEST_CLOSE)
        self.assertFalse(transport.is_closing)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_answers_are_ignored(self) -> None:
        """
        What comes back is not chat, whatever it is and however much.
        """
        transport = self.open()

        for answer in (HELLO, b"\x16\x03", b"a" * (LARGEST_MESSAGE + 1)):
            transport.protocol.dataReceived(answer)
        self.clock.advance(END_OF_MESSAGE)
        transport.lose()

        self.assertFalse(transport.is_aborted)
        self.assertEqual([], self.heard)
        self.successResultOf(self.delivery.taken)

    def test_reset_means_not_taken(self) -> None:
        """
        The other side breaks off: it may not have read it.
        """
        transport = self.open()

        transport.lose(ConnectionLost())

        self.failureResultOf(self.delivery.taken, ConnectionLost)
        self.clock.advance(LONGEST_CLOSE)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_other_side_never_closes_means_taken_after_a_moment(self) -> None:
        """
        Those that do not close are not waited for longer than `LONGEST_CLOSE`.
        """
        transport = self.open()

        self.clock.advance(LONGEST_CLOSE - 0.01)
        self.assertFalse(transport.is_closing)
        self.clock.advance(0.01)
        self.assertTrue(transport.is_closing)
        self.assertNoResult(self.delivery.taken)
        transport.lose()

        self.successResultOf(self.delivery.taken)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_answers_do_not_prolong_the_wait(self) -> None:
        """
        A side that goes on answering is not listened to for ever.
        """
        transport = self.open()

        for _ in range(5):
            self.clock.advance(LONGEST_CLOSE / 5)
            transport.protocol.dataReceived(b"ACK")

        self.assertTrue(transport.is_closing)
        transport.lose()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_mapped_addresses_are_ipv4(self) -> None:
        """
        Our address and theirs are told in their one form.
        """
        transport = self.open(
            IPv6Address("TCP", "::ffff:192.0.2.100", 50000),
            IPv6Address("TCP", "::ffff:192.0.2.1", 7001),
        )
        transport.lose()

        self.assertEqual(["192.0.2.100"], self.told)
        self.assertEqual(Address("192.0.2.1", 7001), self.successResultOf(self.delivery.taken))

    def test_outgoing_takes_no_place(self) -> None:
        """
        A connection of ours is not counted among those that come in.
        """
        self.doorman = Doorman(self.clock, self.doorman.hear, most_connections=0)

        transport = self.open()

        self.assertEqual([HELLO], transport.written)
        self.assertFalse(transport.is_aborted)
        transport.lose()
        self.assert_nothing_left()

    def test_cancelled_is_still_closed(self) -> None:
        """
        Nobody waits for the result any more: the connection ends all the same, without an error.
        """
        transport = self.open()

        self.delivery.taken.cancel()
        self.failureResultOf(self.delivery.taken, CancelledError)
        self.clock.advance(LONGEST_CLOSE)
        self.assertTrue(transport.is_closing)
        transport.lose()

        self.assertEqual([], self.clock.getDelayedCalls())
