"""
A node: what it hears, what it says, and how it leaves.
"""

import gc

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import IReactorTCP, ITCPTransport
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface.verify import verifyObject

from tests.people import MALLORY, PORT, Impostor, PeopleTestCase, SessionCaller, hello
from twistedchat import plain
from twistedchat.core.addresses import Address
from twistedchat.core.classic import LARGEST_PIECE, Dialect, Kind, decode
from twistedchat.core.entries import NOTHING, Said, sign_run
from twistedchat.core.errors import (
    ConnectionReset,
    HostNotFound,
    NoAnswer,
    NotSent,
    PeerRefused,
    StoreError,
    TooMuchToSend,
)
from twistedchat.core.events import (
    ConnectReceived,
    Event,
    ExitReceived,
    PeerAdded,
    PeerChanged,
    PeerRemoved,
    PlainNotKept,
    PlainTextReceived,
    Progress,
    Sent,
    TextReceived,
    UnknownTextReceived,
)
from twistedchat.core.frames import Knock
from twistedchat.core.roster import Peer
from twistedchat.core.trust import Decision
from twistedchat.interfaces import IJournal, INode
from twistedchat.node import LONGEST_GOODBYE, MOST_WAITING
from twistedchat.peers.dialling import DIAL_TIMEOUT, MOST_DIALS
from twistedchat.peers.doorman import LONGEST_ANSWER, LONGEST_CLOSE
from twistedchat.testing import (
    OUTSIDE,
    MemoryHost,
    MemoryJournal,
    MemoryNetwork,
    identity_of,
    make_node,
    two_nodes,
)

ANN = Address(OUTSIDE, 7001)
BOB = Address("192.0.2.8", 7002)


class NodeTestCase(SynchronousTestCase):
    """
    One real node on a network in memory, at 1000 seconds since the epoch.
    """

    dialect = Dialect.HEADER

    @override
    def setUp(self) -> None:
        """
        Start it.
        """
        self.network = MemoryNetwork()
        self.network.advance(1000)
        self.answers: dict[str, Deferred[list[str]]] = {}
        self.journal = MemoryJournal()
        self.node = make_node(
            self.network,
            7070,
            "us",
            dialect=self.dialect,
            ask=lambda host: self.answers.get(host, succeed([])),
            journal=self.journal,
        )
        self.events: list[Event] = []
        self.node.subscribe(self.events.append)
        self.node.startService()

    def say(self, text: str, *, host: str = OUTSIDE) -> None:
        """
        Let somebody say something.
        """
        self.network.say(7070, text.encode(), host)

    def settled(self, sending: Deferred[Sent]) -> Deferred[Sent]:
        """
        Let everything happen that needs no time.
        """
        self.network.settle()
        return sending

    def send(self, recipient: Address, text: str) -> Deferred[Sent]:
        """
        Send a text, and let everything happen that needs no time.
        """
        return self.settled(self.node.send_text(recipient, text))

    def assert_nothing_unhandled(self) -> None:
        """
        No failure was left without anybody to take it.
        """
        # Such a failure is logged when the Deferred that holds it goes.
        gc.collect()
        self.assertEqual([], self.flushLoggedErrors())

    def stop(self) -> None:
        """
        Stop the node, which has to leave nothing behind.
        """
        stopped = self.node.stopService()
        self.network.settle_until(lambda: stopped.called, LONGEST_GOODBYE)
        self.successResultOf(stopped)
        self.network.settle()
        self.assertEqual([], self.network.getDelayedCalls())
        self.assertEqual([], self.network.dials)


class NodeTests(NodeTestCase):
    """
    What a node is.
    """

    def test_node_is_one(self) -> None:
        """
        A node gives all that `INode` promises.
        """
        self.assertTrue(verifyObject(INode, self.node))
        self.assertEqual(("us", 7070), (self.node.team, self.node.port))
        self.assertEqual([], self.node.peers.active())
        self.stop()

    def test_stopped_listens_no_more(self) -> None:
        """
        After the stop there is no port, no connection and no timer.
        """
        self.network.call(7070)
        self.network.settle()

        self.stop()

        self.assertTrue(self.network.is_quiet)

    def test_two_nodes_hear_each_other(self) -> None:
        """
        What one sends is what the other hears, both ways, once they have let each other in.
        """
        with two_nodes() as pair:
            there = pair.ours.send_text(pair.their_address, "hello")
            pair.network.settle()
            (caller,) = pair.theirs.callers()
            pair.theirs.decide(caller.key, Decision.ACCEPT, caller)
            pair.network.settle()
            back = pair.theirs.send_text(pair.our_address, "hello yourself")
            pair.network.settle()

            self.assertEqual(
                Sent(pair.theirs.key, Kind.MESSAGE, 1, Progress.AT_THE_DOOR, "theirs"),
                self.successResultOf(there),
            )
            self.assertEqual(
                Sent(pair.ours.key, Kind.MESSAGE, 1, Progress.DELIVERED, "ours"),
                self.successResultOf(back),
            )
            for events, text in (
                (pair.their_events, "hello"),
                (pair.our_events, "hello yourself"),
            ):
                (heard,) = (event for event in events if isinstance(event, TextReceived))
                self.assertEqual(text, heard.text)

    def test_every_dialect_carries_every_kind(self) -> None:
        """
        What a node says to a classic program in any dialect is understood by one.
        """
        for dialect in Dialect:
            with two_nodes(dialect=dialect) as pair:
                # So it is where a classic program was a moment ago.
                pair.ours._plain.learn(pair.their_address)
                pair.ours.send_text(pair.their_address, "hello")
                pair.ours.connect(pair.their_address, manual=True)
                pair.ours.send_text(pair.their_address, "exit")
                pair.network.settle()

                kinds = [type(event) for event in pair.their_events]
                self.assertEqual(
                    [
                        PeerAdded,
                        PlainTextReceived,
                        PeerChanged,
                        ConnectReceived,
                        PeerRemoved,
                        ExitReceived,
                    ],
                    kinds,
                )
                self.assertEqual([], pair.ours.peers.active())


class HearingTests(NodeTestCase):
    """
    What comes in.
    """

    def test_text_is_told_and_its_sender_active(self) -> None:
        """
        A text makes its sender active, and is told after that.
        """
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|hello")

        ann = Peer(ANN, "Ann", Dialect.HEADER, 1000.0, 1000.0, received=1)
        self.assertEqual(
            [PeerAdded(ann), PlainTextReceived(ANN, "Ann", Dialect.HEADER, "hello", 1000.0)],
            self.events,
        )
        self.assertEqual([ann], self.node.peers.active())
        self.assertEqual([], self.node.peers.connected())
        self.stop()

    def test_claimed_address_does_not_count(self) -> None:
        """
        A peer is where its connection came from, whatever address stands in its message.
        """
        self.say("203.0.113.5:7001 Ann hello")

        self.assertEqual([ANN], [peer.address for peer in self.node.peers.active()])

    def test_connect_text_connects(self) -> None:
        """
        A connect text makes its sender connected, and is told as that.
        """
        self.say("192.0.2.7:7001 Ann connect")

        self.assertEqual(ConnectReceived(ANN, "Ann", "connect", 1000.0), self.events[-1])
        self.assertEqual([ANN], [peer.address for peer in self.node.peers.connected()])

    def test_nameless_text_keeps_the_name(self) -> None:
        """
        A message without a name is told with the name that the peer had.
        """
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|hello")
        self.say("LISTENING_PORT:7001|TEAM_NAME:|again")
        self.say("LISTENING_PORT:7001|TEAM_NAME:|connect")

        self.assertEqual(
            PlainTextReceived(ANN, "Ann", Dialect.HEADER, "again", 1000.0), self.events[2]
        )
        self.assertEqual(ConnectReceived(ANN, "Ann", "connect", 1000.0), self.events[-1])

    def test_unknown_text_is_told_and_makes_no_peer(self) -> None:
        """
        What fits no dialect is shown, and its sender is on no list.
        """
        self.say("GET / HTTP/1.1")

        self.assertEqual([UnknownTextReceived(OUTSIDE, "GET / HTTP/1.1", 1000.0)], self.events)
        self.assertEqual([], self.node.peers.active())

    def test_probe_is_nothing(self) -> None:
        """
        A connection without a byte is no event and makes no peer.
        """
        self.say("")

        self.assertEqual([], self.events)

    def test_exit_takes_its_sender_off(self) -> None:
        """
        Whoever says exit is on no list any more, and may come back.
        """
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|connection message")
        self.events.clear()

        self.say("LISTENING_PORT:7001|TEAM_NAME:|exit")

        self.assertEqual([PeerRemoved, ExitReceived], [type(event) for event in self.events])
        self.assertEqual(ExitReceived(ANN, "Ann", 1000.0), self.events[-1])
        self.assertEqual([], self.node.peers.active())
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|back")
        self.assertEqual([ANN], [peer.address for peer in self.node.peers.active()])
        self.assertEqual([], self.node.peers.connected())

    def test_exit_from_another_address_counts_for_nobody(self) -> None:
        """
        Nobody can say exit for somebody else: neither from another host nor for another port.
        """
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|hello")
        self.events.clear()

        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|exit", host=BOB.host)
        self.say("LISTENING_PORT:7002|TEAM_NAME:Ann|exit")

        self.assertEqual([], self.events)
        self.assertEqual([ANN], [peer.address for peer in self.node.peers.active()])

    def test_several_messages_are_told_in_order(self) -> None:
        """
        Two messages that came as one piece are two events.
        """
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|one LISTENING_PORT:7001|TEAM_NAME:Ann|two")

        texts = [event.text for event in self.events if isinstance(event, PlainTextReceived)]
        self.assertEqual(["one", "two"], texts)


class NotKeptTests(NodeTestCase):
    """
    Plain texts that are heard and sent while nothing can be kept.
    """

    def told(self) -> list[str]:
        """
        What was told of texts that are not kept.
        """
        return [event.reason for event in self.events if isinstance(event, PlainNotKept)]

    def test_texts_that_are_not_kept_are_told_once(self) -> None:
        """
        They are shown and sent all the same, and of however many one is told.
        """
        self.network.listen_as(ANN)
        self.journal.error = StoreError("The disk is full.")

        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|one")
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|two")
        sent = self.send(ANN, "three")

        self.assertEqual(Sent(ANN, Kind.MESSAGE, 1), self.successResultOf(sent))
        texts = [event.text for event in self.events if isinstance(event, PlainTextReceived)]
        self.assertEqual(["one", "two"], texts)
        self.assertEqual(["The disk is full."], self.told())
        self.assertEqual([], self.successResultOf(self.node.history(ANN, 0.0, None, 9)))

    def test_sent_text_that_is_not_kept_is_told(self) -> None:
        """
        Whoever speaks to classic programs alone hears of it, too.
        """
        self.network.listen_as(ANN)
        self.journal.error = StoreError("The disk is full.")

        self.successResultOf(self.send(ANN, "hello"))

        self.assertEqual(["The disk is full."], self.told())

    def test_next_failure_is_told_again(self) -> None:
        """
        When something could be kept meanwhile it is another one.
        """
        for error in (StoreError("The disk is full."), None, StoreError("Somebody holds it.")):
            self.journal.error = error
            self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|hello")

        self.assertEqual(["The disk is full.", "Somebody holds it."], self.told())


class SendingTests(NodeTestCase):
    """
    What goes out.
    """

    def test_stranger_is_spoken_to_in_our_dialect(self) -> None:
        """
        A peer that was never heard gets the default, and is active once it has taken it.
        """
        heard = self.network.listen_as(ANN)

        sent = self.send(ANN, "hello")

        self.assertEqual(Sent(ANN, Kind.MESSAGE, 1), self.successResultOf(sent))
        self.assertEqual([b"LISTENING_PORT:7070|TEAM_NAME:us|hello"], heard)
        self.assertEqual([PeerAdded(Peer(ANN, sent=1))], self.events)
        self.stop()

    def test_peer_is_answered_in_its_last_dialect(self) -> None:
        """
        Each message uses the form in which the recipient was last heard.
        """
        heard = self.network.listen_as(ANN)
        self.say("192.0.2.7:7001 Ann hello")
        self.send(ANN, "one")
        self.say("<192.0.2.7:7001> Ann hello")
        self.send(ANN, "two")

        self.assertEqual([b"192.0.2.1:7070 us one", b"<192.0.2.1:7070> us two"], heard)

    def test_json_names_its_recipient(self) -> None:
        """
        The dialect that holds the recipient's name holds the one that it has.
        """
        heard = self.network.listen_as(ANN)
        self.say(
            '{"type": "message", "content": "<192.0.2.1:7070> <us> hello",'
            ' "sender_name": "Ann", "sender_port": 7001}'
        )

        self.send(ANN, "one")

        self.assertIn(b'"content": "<192.0.2.7:7001> <Ann> one"', heard[0])

    def test_connect_texts_tell_how_the_address_was_chosen(self) -> None:
        """
        Connecting sends the reference's two texts, and makes the peer connected.
        """
        heard = self.network.listen_as(ANN)

        first = self.settled(self.node.connect(ANN, manual=False))
        self.settled(self.node.connect(ANN, manual=True))

        self.assertEqual(Sent(ANN, Kind.CONNECT, 1), self.successResultOf(first))
        self.assertEqual(
            [
                b"LISTENING_PORT:7070|TEAM_NAME:us|connection message",
                b"LISTENING_PORT:7070|TEAM_NAME:us|manual connection message",
            ],
            heard,
        )
        self.assertEqual([ANN], [peer.address for peer in self.node.peers.connected()])

    def test_failed_connection_connects_nobody(self) -> None:
        """
        A peer that refused is on no list.
        """
        failed = self.settled(self.node.connect(ANN, manual=True))

        self.assertEqual("", self.failureResultOf(failed, PeerRefused).value.unsent)
        self.assertEqual([], self.node.peers.active())
        self.assertEqual([], self.events)

    def test_exit_sent_takes_the_recipient_off(self) -> None:
        """
        Saying exit to a peer takes it off our lists as well, once it has been taken.
        """
        heard = self.network.listen_as(ANN)
        self.say("192.0.2.7:7001 Ann connect")
        self.events.clear()

        sent = self.send(ANN, " Exit ")

        self.assertEqual(Sent(ANN, Kind.EXIT, 1), self.successResultOf(sent))
        self.assertEqual([b"192.0.2.1:7070 us Exit"], heard)
        self.assertEqual([PeerRemoved], [type(event) for event in self.events])
        self.assertEqual([], self.node.peers.active())

    def test_exit_not_taken_leaves_the_recipient_on(self) -> None:
        """
        A peer that could not be told stays.
        """
        self.say("192.0.2.7:7001 Ann connect")

        self.failureResultOf(self.send(ANN, "exit"), PeerRefused)

        self.assertEqual([ANN], [peer.address for peer in self.node.peers.active()])

    def test_texts_to_one_address_keep_their_order(self) -> None:
        """
        One connection at a time goes to an address: the next begins when the last has ended.
        """
        heard = self.network.listen_as(ANN, closes=False)
        sendings = [self.node.send_text(ANN, f"text {number}") for number in range(3)]
        self.network.settle_until(lambda: len(self.network.dialled) > 1, LONGEST_ANSWER)
        self.network.settle()
        self.assertEqual([ANN, ANN], self.network.dialled)

        self.network.settle_until(lambda: sendings[-1].called, 3 * LONGEST_CLOSE)
        self.assertEqual([ANN] * 4, self.network.dialled)

        texts = [message.text for data in heard for message in decode(data)]
        self.assertEqual(["text 0", "text 1", "text 2"], texts)
        for sending in sendings:
            self.successResultOf(sending)
        self.stop()

    def test_slow_recipient_holds_up_nobody_else(self) -> None:
        """
        Texts to different addresses do not wait for each other.
        """
        self.network.silent_hosts.add(ANN.host)
        heard = self.network.listen_as(BOB)
        waiting = self.node.send_text(ANN, "hello")

        self.successResultOf(self.send(BOB, "hello"))

        self.assertEqual(1, len(heard))
        self.assertNoResult(waiting)
        self.network.advance(DIAL_TIMEOUT)
        self.failureResultOf(waiting, NoAnswer)
        self.stop()

    def test_failure_lets_the_next_one_try(self) -> None:
        """
        A text that was refused is told with what is left of it; the one behind it goes its way.
        """
        first = self.node.send_text(ANN, "one")
        second = self.node.send_text(ANN, "two")

        self.network.settle()

        self.assertEqual("one", self.failureResultOf(first, PeerRefused).value.unsent)
        self.assertEqual("two", self.failureResultOf(second, PeerRefused).value.unsent)
        self.assertEqual([ANN, ANN], self.network.dialled)

    def test_long_text_goes_in_pieces(self) -> None:
        """
        What a classic program could not read whole goes as several messages, in order.
        """
        heard = self.network.listen_as(ANN)
        text = " ".join(f"word{number}" for number in range(500))

        sent = self.successResultOf(self.send(ANN, text))

        self.assertEqual(Sent(ANN, Kind.MESSAGE, len(heard)), sent)
        self.assertGreater(len(heard), 1)
        self.assertLessEqual(max(map(len, heard)), LARGEST_PIECE)
        words = [word for data in heard for word in decode(data)[0].text.split()]
        self.assertEqual(text.split(), words)
        peer = self.node.peers.find(ANN)
        assert peer is not None
        self.assertEqual(len(heard), peer.sent)

    def test_rest_of_a_long_text_is_told_when_it_fails(self) -> None:
        """
        When a piece is refused, exactly the pieces that nobody took are left to be sent again.
        """
        heard = self.network.listen_as(ANN, closes=False)
        text = " ".join(f"word{number}" for number in range(500))
        sending = self.node.send_text(ANN, text)
        self.network.settle_until(lambda: len(self.network.dialled) > 1, LONGEST_ANSWER)
        self.network.settle()

        self.network.unlisten(ANN)
        self.network.settle_until(lambda: sending.called, LONGEST_CLOSE)

        unsent = self.failureResultOf(sending, PeerRefused).value.unsent
        (taken,) = (decode(data)[0].text for data in heard)
        self.assertEqual(text.split(), taken.split() + unsent.split())
        # Something has gone there: that makes it active.
        self.assertEqual([PeerAdded(Peer(ANN, sent=1))], self.events)
        self.stop()

    def test_known_address_of_a_name_decides_the_dialect(self) -> None:
        """
        A name that leads to a peer that is known is dialled there, in its dialect.
        """
        heard = self.network.listen_as(ANN)
        self.say("192.0.2.7:7001 Ann hello")
        self.answers["ann.example"] = succeed(["2001:db8::7", "192.0.2.7"])

        sent = self.send(Address("ann.example", 7001), "hello")

        self.assertEqual(Sent(ANN, Kind.MESSAGE, 1), self.successResultOf(sent))
        self.assertEqual([b"192.0.2.1:7070 us hello"], heard)
        self.assertEqual([ANN], [peer.address for peer in self.node.peers.active()])

    def test_unknown_peer_behind_a_name_is_listed_by_its_address(self) -> None:
        """
        A name that nobody is known at is dialled as a name; the address that took it is listed.
        """
        there = Address("127.0.0.1", 7001)
        heard = self.network.listen_as(there)
        self.answers["bob.example"] = succeed(["127.0.0.1"])

        sent = self.send(Address("bob.example", 7001), "hello")

        self.assertEqual(there, self.successResultOf(sent).recipient)
        self.assertEqual(1, len(heard))
        self.assertEqual([there], [peer.address for peer in self.node.peers.active()])

    def test_name_that_leads_nowhere_is_told(self) -> None:
        """
        A name without an address is not dialled.
        """
        failed = self.send(Address("nobody.example", 7001), "hello")

        failure = self.failureResultOf(failed, HostNotFound)
        self.assertEqual(
            "Unknown host: no address is known for nobody.example.", failure.getErrorMessage()
        )
        self.assertEqual("hello", failure.value.unsent)
        self.assertEqual([], self.network.dialled)

    def test_names_that_fail_one_behind_the_other_both_tell_why(self) -> None:
        """
        The second of two texts may fail in the moment in which the first one lets it go.
        """
        answer: Deferred[list[str]] = Deferred()
        self.answers["nobody.example"] = answer
        first = self.node.send_text(Address("nobody.example", 7001), "one")
        second = self.node.send_text(Address("nobody.example", 7001), "two")
        self.answers["nobody.example"] = succeed([])

        answer.callback([])

        self.failureResultOf(first, HostNotFound)
        self.failureResultOf(second, HostNotFound)
        self.stop()

    def test_look_up_tells_whether_there_is_an_address(self) -> None:
        """
        A name with an address is found, one without is not.
        """
        self.answers["ann.example"] = succeed(["192.0.2.7"])

        self.assertTrue(self.successResultOf(self.node.look_up("ann.example")))
        self.assertFalse(self.successResultOf(self.node.look_up("nobody.example")))

    def test_too_much_waiting_is_refused(self) -> None:
        """
        Beyond `MOST_WAITING` texts nothing more is taken, until some have gone.
        """
        self.network.silent_hosts.add(ANN.host)
        waiting = [self.node.send_text(ANN, "hello") for _ in range(MOST_WAITING)]

        refused = self.failureResultOf(self.node.send_text(BOB, "hello"), TooMuchToSend)

        self.assertEqual(
            "1024 texts are waiting to be sent already: wait for some of them.",
            refused.getErrorMessage(),
        )
        self.assertEqual("hello", refused.value.unsent)
        waiting[0].cancel()
        self.failureResultOf(waiting[0], NotSent)
        self.failureResultOf(self.send(BOB, "hello"), PeerRefused)
        for sending in waiting[1:]:
            sending.cancel()
            self.failureResultOf(sending, NotSent)
        self.stop()

    def test_cancelled_in_the_queue_is_never_sent(self) -> None:
        """
        A text that still waits for its turn can be taken back; the ones around it go.
        """
        heard = self.network.listen_as(ANN, closes=False)
        sendings = [self.node.send_text(ANN, f"text {number}") for number in range(3)]

        sendings[1].cancel()

        failure = self.failureResultOf(sendings[1], NotSent)
        self.assertEqual("The chat ended before it could be sent.", failure.getErrorMessage())
        self.assertIsInstance(failure.value.__cause__, CancelledError)
        self.assertEqual("text 1", failure.value.unsent)
        self.network.settle_until(lambda: sendings[2].called, LONGEST_ANSWER + 2 * LONGEST_CLOSE)
        self.assertEqual(
            ["text 0", "text 2"], [message.text for data in heard for message in decode(data)]
        )
        self.stop()

    def test_cancelled_while_looking_up_is_never_sent(self) -> None:
        """
        The same while the name is being looked up.
        """
        self.answers["ann.example"] = Deferred()
        sending = self.node.send_text(Address("ann.example", 7001), "hello")

        sending.cancel()

        self.failureResultOf(sending, NotSent)
        self.stop()

    def test_sent_to_many_addresses_remembers_none_of_them(self) -> None:
        """
        What is kept for an address while something goes there is let go afterwards.
        """
        for number in range(1, 50):
            self.failureResultOf(self.send(Address(OUTSIDE, number), "hello"), PeerRefused)

        self.assertEqual({}, self.node._turns._turns)
        self.assertEqual({}, self.node._plain._learned)
        self.assertEqual(set(), self.node._under_way)


class QuestionTests(NodeTestCase):
    """
    Asking first who is at an address.
    """

    def listen(self, address: Address = ANN) -> Impostor:
        """
        Be somebody who answers the question, and otherwise hears what comes.
        """
        impostor = Impostor()
        impostor.answer = b""
        self.network.listenTCP(address.port, impostor, interface=address.host)
        return impostor

    def test_unknown_address_is_asked_before_anything_is_said(self) -> None:
        """
        The first connection brings nothing, and the second one the text.
        """
        there = self.listen()

        self.successResultOf(self.send(ANN, "hello"))

        said = b"LISTENING_PORT:7070|TEAM_NAME:us|hello"
        self.assertEqual([b"", said], [call.heard for call in there.calls])

    def test_answer_is_remembered(self) -> None:
        """
        Once it is known what is there, nobody asks again, by a name as little as by its address.
        """
        there = self.listen()
        self.answers["ann.example"] = succeed([ANN.host])
        self.send(ANN, "one")
        self.send(ANN, "two")

        self.send(Address("ann.example", ANN.port), "three")

        self.assertEqual(4, len(there.calls))

    def test_whoever_has_spoken_plain_is_not_asked(self) -> None:
        """
        A peer that was heard in plain is answered without a question.
        """
        there = self.listen()
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|hello")

        self.send(ANN, "hello")

        self.assertEqual(1, len(there.calls))

    def test_asked_again_after_an_exit(self) -> None:
        """
        Whoever left, or was left, may be replaced by another program.
        """
        there = self.listen()
        for leave in (
            lambda: self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|exit"),
            lambda: self.send(ANN, "exit"),
        ):
            self.send(ANN, "hello")
            leave()
            there.calls.clear()

            self.send(ANN, "hello")

            self.assertEqual(b"", there.calls[0].heard)
            self.assertEqual(2, len(there.calls))

    def test_asked_again_after_a_failure(self) -> None:
        """
        So may whoever could not be reached.
        """
        there = self.listen()
        self.send(ANN, "hello")
        self.network.unlisten(ANN)
        self.failureResultOf(self.send(ANN, "hello"), PeerRefused)
        there = self.listen()

        self.send(ANN, "hello")

        self.assertEqual(b"", there.calls[0].heard)
        self.assertEqual(2, len(there.calls))

    def test_asked_again_when_a_node_calls_from_there(self) -> None:
        """
        Where a classic program was and a node is now, nothing is said in plain any more.
        """
        there = self.listen()
        self.send(ANN, "hello")
        caller = SessionCaller()
        self.network.call(7070, ANN.host, caller=caller)
        caller.shake_hands()
        caller.say(hello("Ann", ANN.port))
        self.network.settle()
        there.answer = b"TWISTEDCHAT/2 %s\n" % str(MALLORY.key).encode()

        sent = self.successResultOf(self.send(ANN, "for you"))

        self.assertEqual((MALLORY.key, Progress.AT_THE_DOOR), (sent.recipient, sent.progress))
        self.assertNotIn(b"for you", b"".join(call.heard for call in there.calls))
        self.assertEqual(Knock(text="for you"), caller.frames[-1])

    def test_reset_is_not_taken_for_an_answer(self) -> None:
        """
        Whoever breaks the question off is not spoken to in plain for that.
        """
        there = self.listen()
        there.closes = False
        sending = self.send(ANN, "hello")
        there.calls[0].end.abortConnection()

        self.network.settle()

        failure = self.failureResultOf(sending, ConnectionReset)
        self.assertEqual("hello", failure.value.unsent)
        self.assertEqual([b""], [call.heard for call in there.calls])

    def test_memory_has_a_bound(self) -> None:
        """
        Of very many addresses the one that was learned first is asked again.
        """
        self.patch(plain, "MOST_LEARNED", 2)
        there = self.listen()
        self.send(ANN, "hello")
        for port in (7003, 7004):
            self.say(f"LISTENING_PORT:{port}|TEAM_NAME:x|hello")
        there.calls.clear()

        self.send(ANN, "hello")

        self.assertEqual(2, len(there.calls))
        self.assertEqual(2, len(self.node._plain._learned))

    def test_being_asked_makes_no_peer(self) -> None:
        """
        Whoever asks us is told our key, in one line, and is on no list.
        """
        asker = SessionCaller()
        end = self.network.call(7070, caller=asker)
        end.loseWriteConnection()
        self.network.settle()

        self.assertEqual(f"TWISTEDCHAT/2 {self.node.key}\n".encode(), asker.heard)
        self.assertIsNotNone(asker.reason)
        self.assertEqual([], self.events)
        self.assertEqual([], self.node.peers.active())
        self.assertEqual([], self.node.callers())

    def test_this_node_itself_is_not_sent_to(self) -> None:
        """
        Our own address is told as that, also by a name.
        """
        self.answers["here.example"] = succeed(["127.0.0.1"])
        for host in ("127.0.0.1", "here.example"):
            failed = self.send(Address(host, 7070), "hello")

            failure = self.failureResultOf(failed, NotSent)
            self.assertEqual(
                f"Not sent: {host}:7070 is this node itself.", failure.getErrorMessage()
            )
        self.assertEqual([], self.node.peers.active())


class SecureTests(PeopleTestCase):
    """
    What is the same for the person, whatever the peer is.
    """

    def test_exit_counts_for_its_key_alone(self) -> None:
        """
        Whoever says exit in a session is off the lists, and nobody else.
        """
        ann, bob, carol = self.meet("ann", "bob", "carol")

        sent = self.sent(bob, ann, "exit")

        self.assertEqual((Kind.EXIT, "ann"), (sent.kind, sent.name))
        self.assertEqual([carol.key], [peer.key for peer in ann.node.peers.active()])
        self.assertEqual([bob.key], [event.sender for event in ann.told(ExitReceived)])
        self.assertEqual([carol.key], [peer.key for peer in bob.node.peers.active()])
        self.assertEqual([], carol.told(ExitReceived))
        self.assert_talk(ann, carol)
        self.assert_talk(bob, carol)

    def test_plain_exit_from_a_secure_peers_address_counts_for_nobody(self) -> None:
        """
        What is said in plain takes no secure peer off the lists.
        """
        ann, bob = self.meet("ann", "bob")
        said = f"LISTENING_PORT:{PORT}|TEAM_NAME:bob|exit".encode()

        end = self.network.call(PORT, bob.machine.host, to=ann.machine.host)
        end.write(said)
        end.loseConnection()
        self.network.settle()

        self.assertEqual([bob.key], [peer.key for peer in ann.node.peers.connected()])
        self.assertEqual([], ann.told(ExitReceived))
        self.assert_talk(ann, bob)

    def test_connecting_opens_a_session(self) -> None:
        """
        Connecting to an address or a key is a session, and told as a connection.
        """
        ann, bob = self.make("ann"), self.make("bob")
        self.acquaint(ann, bob)
        self.start(ann, bob)
        for recipient in (bob.address, bob.key):
            connecting = ann.node.connect(recipient, manual=True)
            self.network.settle()

            self.assertEqual(
                Sent(bob.key, Kind.CONNECT, 1, Progress.TAKEN, "bob"),
                self.successResultOf(connecting),
            )
        self.assertEqual([bob.key], [peer.key for peer in ann.node.peers.connected()])
        sent = self.sent(ann, bob, "connect")
        self.assertEqual(Kind.CONNECT, sent.kind)
        self.assertEqual([], bob.heard)

    def test_connecting_to_somebody_away_is_told_with_their_addresses(self) -> None:
        """
        Who is nowhere to be found is told with where they were looked for.
        """
        ann, bob = self.make("ann"), self.make("bob")
        self.acquaint(ann, bob)
        self.start(ann)

        connecting = ann.node.connect(bob.key, manual=False)
        self.network.settle()

        failure = self.failureResultOf(connecting, NotSent)
        self.assertEqual(
            f"Not reached: {bob.key.short} answers at none of its addresses ({bob.address}). "
            "It is connected as soon as it is back.",
            failure.getErrorMessage(),
        )
        self.start(bob)
        self.pass_time(10)
        self.assert_talk(ann, bob)

    def test_texts_to_one_address_keep_their_order(self) -> None:
        """
        What is said to an address in one breath is heard in that order.
        """
        ann, bob = self.make("ann"), self.make("bob")
        self.acquaint(ann, bob)
        self.start(ann, bob)
        texts = [f"text {number}" for number in range(20)]

        sendings = [ann.node.send_text(bob.address, text) for text in texts]
        self.network.settle()

        self.assertEqual(texts, bob.heard)
        for sending in sendings:
            self.assertEqual(Progress.DELIVERED, self.successResultOf(sending).progress)

    def test_two_with_one_name_are_never_mixed_up(self) -> None:
        """
        Two people with one nickname are two peers, each with their own words.
        """
        ann, bob = self.meet("ann", "bob")
        ann.contacts.accept(MALLORY.key, "bob", 0.0)
        self.greet(ann, MALLORY, hello("bob", knows=True))

        self.assertEqual(2, len(ann.node.peers.named("bob")))
        self.sent(ann, bob, "for the first")
        self.assertEqual(["for the first"], bob.heard)
        self.assertEqual({bob.key, MALLORY.key}, {peer.key for peer in ann.node.peers.active()})

    def test_node_away_keeps_its_contact_and_the_text(self) -> None:
        """
        An address where a contact was and nobody is now: what is said waits for that key.
        """
        ann, bob = self.meet("ann", "bob")
        self.stop(bob)

        sent = self.sent(ann, bob.address, "hello")

        self.assertEqual((bob.key, Progress.WAITING), (sent.recipient, sent.progress))

    def test_secure_only_speaks_no_plain(self) -> None:
        """
        With ``--secure-only`` a classic program gets nothing but the question.
        """
        ann = self.make("ann", secure_only=True)
        self.start(ann)
        heard = self.network.listen_as(ANN)
        for _ in range(2):
            failure = self.failureResultOf(self.say(ann, ANN, "hello"), NotSent)
            self.assertEqual(
                f"Not sent: {ANN} speaks only plain, and this node was told --secure-only.",
                failure.getErrorMessage(),
            )
            self.assertEqual("hello", failure.value.unsent)
        self.assertEqual([], heard)

    def test_secure_only_hears_no_plain(self) -> None:
        """
        Nor is a classic program heard; the log says that there was one.
        """
        ann = self.make("ann", secure_only=True)
        self.start(ann)
        end = self.network.call(PORT, to=ann.machine.host)
        end.write(b"LISTENING_PORT:7001|TEAM_NAME:Ann|hello")
        with capturedLogs() as events:
            end.loseConnection()
            self.network.settle()

        self.assertEqual([], ann.events)
        self.assertEqual([], ann.node.peers.active())
        formats = [event.get("log_format") for event in events]
        self.assertIn("Did not hear {host}: it spoke plain", formats)

    def test_secure_only_speaks_with_nodes(self) -> None:
        """
        Other nodes make no difference.
        """
        ann, bob = self.make("ann", secure_only=True), self.make("bob")
        self.acquaint(ann, bob)
        self.start(ann, bob)

        self.sent(ann, bob.address, "hello")

        self.assertEqual(["hello"], bob.heard)
        self.assert_talk(ann, bob)

    def test_leaving_says_exit_to_everybody(self) -> None:
        """
        A node that stops has said exit in plain to the classic ones, and in sessions to the others.
        """
        ann, bob = self.meet("ann", "bob")
        heard = self.network.listen_as(ANN)
        self.sent(ann, ANN, "hello")
        heard.clear()

        self.stop(ann)

        self.assertEqual(1, len(heard))
        self.assertEqual([ann.key], [event.sender for event in bob.told(ExitReceived)])
        self.assertEqual([], bob.node.peers.active())


class PlainStrangersTests(NodeTestCase):
    """
    A node that was told to speak `plain` with strangers.
    """

    dialect = Dialect.PLAIN

    def test_stranger_is_spoken_to_in_the_chosen_dialect(self) -> None:
        """
        A stranger gets the chosen dialect until it is heard in another.
        """
        heard = self.network.listen_as(ANN)

        self.send(ANN, "hello")
        self.say("LISTENING_PORT:7001|TEAM_NAME:Ann|hello")
        self.send(ANN, "hello")

        self.assertEqual(
            [b"192.0.2.1:7070 us hello", b"LISTENING_PORT:7070|TEAM_NAME:us|hello"], heard
        )


class LeavingTests(NodeTestCase):
    """
    `Node.leave` and the stop.
    """

    def test_alone_leaves_at_once(self) -> None:
        """
        Where there is nobody, there is nobody to wait for.
        """
        self.successResultOf(self.node.leave())
        self.stop()

    def test_every_peer_is_told_in_its_dialect_once(self) -> None:
        """
        Exit goes to all active peers; leaving, or stopping after it, says nothing more.
        """
        ann, bob = self.network.listen_as(ANN), self.network.listen_as(BOB)
        self.say("192.0.2.7:7001 Ann hello")
        self.say("LISTENING_PORT:7002|TEAM_NAME:Bob|hello", host=BOB.host)

        first, second = self.node.leave(), self.node.leave()
        self.assertNoResult(first)
        self.network.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.node.leave())
        self.stop()

        self.assertEqual(
            [[b"192.0.2.1:7070 us exit"], [b"LISTENING_PORT:7070|TEAM_NAME:us|exit"]], [ann, bob]
        )

    def test_last_heard_is_told_first(self) -> None:
        """
        Whoever was heard last is the likeliest to be there; who was never heard comes last.
        """
        never = Address("192.0.2.9", 7003)
        self.network.listen_as(never)
        self.send(never, "hello")
        self.say("192.0.2.7:7001 Ann hello")
        self.network.advance(1)
        self.say("192.0.2.8:7002 Bob hello", host=BOB.host)
        self.network.dialled.clear()

        self.node.leave()

        self.assertEqual([BOB, ANN, never], self.network.dialled)

    def test_nobody_answers_leaves_within_two_seconds(self) -> None:
        """
        More peers than can be dialled at a time, all of them dead, hold nobody up; nothing is left.
        """
        for number in range(MOST_DIALS + 20):
            host = f"198.51.100.{number}"
            self.say(f"192.0.2.7:{7000 + number} dead hello", host=host)
            self.network.silent_hosts.add(host)
        left = self.node.leave()

        self.network.advance(LONGEST_GOODBYE - 0.01)
        self.assertNoResult(left)
        self.network.advance(0.01)

        self.successResultOf(left)
        self.stop()
        self.assert_nothing_unhandled()

    def test_peers_that_never_close_are_left_in_time(self) -> None:
        """
        A peer that takes the exit and does not close is told all the same.
        """
        heard = self.network.listen_as(ANN, closes=False)
        self.say("192.0.2.7:7001 Ann hello")

        self.stop()

        self.assertEqual([b"192.0.2.1:7070 us exit"], heard)

    def test_text_under_way_goes_before_the_exit(self) -> None:
        """
        What was said before leaving arrives before it.
        """
        heard = self.network.listen_as(ANN, closes=False)
        self.say("192.0.2.7:7001 Ann hello")
        sending = self.node.send_text(ANN, "wait")

        self.stop()

        self.successResultOf(sending)
        self.assertEqual([b"192.0.2.1:7070 us wait", b"192.0.2.1:7070 us exit"], heard)

    def test_text_that_never_arrives_is_told_when_leaving(self) -> None:
        """
        Texts that are dialled, and those that wait behind them, fail with words at the end.
        """
        self.network.silent_hosts.add(ANN.host)
        sendings = [self.node.send_text(ANN, "hello") for _ in range(3)]

        self.stop()

        for sending in sendings:
            failure = self.failureResultOf(sending, NotSent)
            self.assertEqual("The chat ended before it could be sent.", failure.getErrorMessage())

    def test_text_sent_after_leaving_does_not_outlive_the_stop(self) -> None:
        """
        What somebody still sends after the exit was said ends with the node.
        """
        self.network.silent_hosts.add(ANN.host)
        self.successResultOf(self.node.leave())
        sending = self.node.send_text(ANN, "hello")

        self.stop()

        self.failureResultOf(sending, NotSent)

    def test_text_within_the_close_is_closed_by_the_stop(self) -> None:
        """
        A connection whose other side does not close is not left open by a node that stops.
        """
        heard = self.network.listen_as(ANN, closes=False)
        sending = self.node.send_text(ANN, "hello")
        self.network.settle_until(lambda: len(self.network.dialled) > 1, LONGEST_ANSWER)
        self.network.settle()
        sending.cancel()
        self.failureResultOf(sending, NotSent)

        self.stop()

        self.assertEqual([b"LISTENING_PORT:7070|TEAM_NAME:us|hello"], heard)
        self.assertEqual([], self.network.connections)

    def test_one_who_waits_no_longer_changes_nothing_for_the_others(self) -> None:
        """
        Everybody who leaves has a result of their own.
        """
        self.network.silent_hosts.add(ANN.host)
        self.say("192.0.2.7:7001 Ann hello")
        first, second = self.node.leave(), self.node.leave()

        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.network.advance(LONGEST_GOODBYE)

        self.successResultOf(second)
        self.stop()

    def test_peers_that_are_gone_are_no_error(self) -> None:
        """
        Exit to a peer that refuses is not told to anybody.
        """
        self.say("192.0.2.7:7001 Ann hello")

        self.stop()

        self.assert_nothing_unhandled()
        self.assertEqual([ANN], self.network.dialled)


class Echo(Protocol):
    """
    Somebody who always has the last word.
    """

    @override
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class KitTests(SynchronousTestCase):
    """
    What `twistedchat.testing` does when a test goes wrong.
    """

    def test_node_that_leaves_something_behind_is_told(self) -> None:
        """
        Two nodes that stop have to leave the network quiet.
        """

        def forget_a_call() -> None:
            with two_nodes() as pair:
                pair.network.callLater(1000, lambda: None)

        error = self.assertRaises(AssertionError, forget_a_call)

        self.assertEqual("the nodes left something behind", str(error))

    def test_endless_talk_is_told(self) -> None:
        """
        What never becomes quiet is an error, and no endless test.
        """
        network = MemoryNetwork()
        network.listenTCP(7070, Factory.forProtocol(Echo))
        caller = ClientFactory()
        caller.protocol = Echo
        network.connectTCP("127.0.0.1", 7070, caller)
        network.settle()

        network.connections[0][0].write(b"hello")

        self.assertRaises(AssertionError, network.settle)

    def test_what_does_not_happen_in_time_is_told(self) -> None:
        """
        Waiting ends where nothing is left to wait for, and where it takes too long.
        """
        network = MemoryNetwork()
        self.assertRaises(AssertionError, network.settle_until, lambda: False)

        happened: list[float] = []
        network.callLater(5, lambda: happened.append(network.seconds()))
        self.assertRaises(AssertionError, network.settle_until, lambda: bool(happened), 4.9)
        network.settle_until(lambda: bool(happened), 5)
        self.assertEqual([5.0], happened)

    def test_ports_are_taken_once_and_given_back(self) -> None:
        """
        Nobody else can listen on a port until it is stopped; calling it before or after is refused.
        """
        network = MemoryNetwork()
        factory = Factory.forProtocol(Protocol)
        self.assertRaises(ConnectionRefusedError, network.call, 7070)

        port = network.listenTCP(7070, factory)
        self.assertRaises(CannotListenError, network.listenTCP, 7070, factory)
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", 7070), port.getHost())
        network.call(7070)
        port.stopListening()

        self.assertRaises(ConnectionRefusedError, network.call, 7070)
        network.listenTCP(7070, factory)

    def test_written_after_the_end_is_dropped(self) -> None:
        """
        As with a real transport, what is written after a close is neither sent nor an error.
        """
        network = MemoryNetwork()
        network.listenTCP(7070, Factory.forProtocol(Protocol))
        end = network.call(7070)

        end.writeSequence([b"one", b"two"])
        end.loseWriteConnection()
        end.write(b"three")

        self.assertEqual([b"onetwo"], end.written)
        self.assertTrue(verifyObject(ITCPTransport, end))

    def test_journal_takes_only_what_follows(self) -> None:
        """
        Entries that leave something out, or end without a signature, are a mistake of the caller's.
        """
        author = identity_of("ann")
        room = bytes(32)
        said = tuple(Said(number, "text", "hello") for number in range(1, 4))
        _, entries = sign_run(author, room, 1, NOTHING, said)
        journal = MemoryJournal()
        self.assertTrue(verifyObject(IJournal, journal))

        self.assertRaises(AssertionError, journal.append, entries[1:])
        self.assertRaises(AssertionError, MemoryJournal().append, entries[:2])
        journal.append(entries)

        self.assertEqual({author.key: (3, entries[-1].hash)}, journal.stored_heads(room))

    def test_slow_journal_fails_all_that_came_behind(self) -> None:
        """
        As with a real one, a failure takes all that was appended before it was known.
        """
        author = identity_of("ann")
        room = bytes(32)
        journal = MemoryJournal()
        journal.is_slow = True
        appended = []
        seq, prev = 0, NOTHING
        for number in range(3):
            said = (Said(number, "text", "hello"),)
            _, (entry,) = sign_run(author, room, seq + 1, prev, said)
            appended.append(journal.append([entry]))
            seq, prev = entry.seq, entry.hash
        journal.work(1)
        journal.error = StoreError("The disk is full.")
        journal.work(1)
        journal.error = None
        journal.work()

        self.successResultOf(appended[0])
        self.failureResultOf(appended[1], StoreError)
        self.failureResultOf(appended[2], StoreError)
        self.assertEqual(journal.stored_heads(room), journal.heads(room))
        self.assertEqual(1, len(journal.entries))
        after = MemoryJournal(journal)
        self.assertEqual(journal.heads(room), after.heads(room))

    def test_machine_that_is_switched_off_is_silent(self) -> None:
        """
        Nobody there is called any more, its ports are closed, and its connections end for others.
        """
        network = MemoryNetwork()
        on, off = MemoryHost(network, "192.0.2.1"), MemoryHost(network, "192.0.2.2")
        self.assertTrue(verifyObject(IReactorTCP, on))
        called: list[str] = []
        on.callLater(1, called.append, "on")
        off.callLater(1, called.append, "off")
        off.listenTCP(7070, Factory.forProtocol(Protocol))
        caller = SessionCaller()
        network.call(7070, to=off.host, caller=caller)
        network.silent_hosts.add("192.0.2.3")
        factory = ClientFactory()
        off.connectTCP("192.0.2.3", 7070, factory)

        off.switch_off()
        network.settle()
        network.advance(40)

        self.assertEqual(["on"], called)
        self.assertIsNotNone(caller.reason)
        self.assertEqual([], network.dials)
        self.assertTrue(network.is_quiet)
