"""
The console: what is typed, what the node does, and what is shown.
"""

import gc
import os
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface.verify import verifyObject

from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind
from twistedchat.core.errors import NoAnswer, NotSent, NotTrusted, PeerRefused, StoreError
from twistedchat.core.events import (
    CallerCame,
    CaughtUp,
    ConnectReceived,
    Event,
    ExitReceived,
    ForkSeen,
    LetIn,
    NearbyChanged,
    OutOfStep,
    PeerAdded,
    PeerChanged,
    PeerRemoved,
    PlainNotKept,
    PlainTextReceived,
    Progress,
    RoomChange,
    RoomChanged,
    RoomTextReceived,
    Sent,
    SessionOpened,
    Speaker,
    StoreFailed,
    TextReceived,
    TextsDelivered,
    TextsRead,
    TextsStranded,
    UnknownTextReceived,
)
from twistedchat.core.history import LineOfHistory, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite
from twistedchat.core.menu import HELP, LARGEST_TEXT, MENU, PAGE
from twistedchat.core.nearby import Nearby
from twistedchat.core.reading import BATCH
from twistedchat.core.roster import Peer, RoomId
from twistedchat.core.trust import Caller, Contact, Decision, Reason
from twistedchat.core.wording import event_lines, not_sent_lines
from twistedchat.faces.console import (
    DELIVERED_DELAY,
    MOST_PENDING,
    PATIENCE,
    WORDS_DELAY,
    Console,
    Stdin,
    kind_of_stdin,
)
from twistedchat.faces.looks import LOOK_DELAY
from twistedchat.faces.retries import RETRY_INTERVAL
from twistedchat.faces.screens import IOperator, IScreen
from twistedchat.interfaces import INode
from twistedchat.testing import FakeNode, RecordingOperator, RecordingScreen

ANN = Address("192.0.2.1", 7001)
BOB = Address("192.0.2.2", 7002)
WHALE = DeviceKey(b"\x1a" * 32)
EVE = DeviceKey(b"\xee" * 32)
CLASS = RoomRecord(b"\xc1" * 32, Stay.JOINED, "class", WHALE, WHALE)
BLUE = Contact(WHALE, "Blue Whales")
LABEL = "Blue Whales\u00b71a1a1a1a"
CHOICE = "Enter your choice: "


class ConsoleTestCase(SynchronousTestCase):
    """
    A console on a fake node and a recording screen.
    """

    ends_with_input = True
    is_interactive = True

    @override
    def setUp(self) -> None:
        """
        Start it.
        """
        self.clock = Clock()
        self.node = FakeNode()
        self.screen = RecordingScreen(is_interactive=self.is_interactive)
        self.operators: list[IOperator] = []
        self.stops = 0
        self.seen = 0
        self.console = Console(
            self.node,
            self.clock,
            self.make_screen,
            self.count_stop,
            ends_with_input=self.ends_with_input,
        )
        self.console.startService()

    def make_screen(self, operator: IOperator) -> IScreen:
        """
        Give the screen that is recorded.
        """
        self.operators.append(operator)
        screen: IScreen = self.screen
        return screen

    def count_stop(self) -> None:
        """
        End the process.
        """
        self.stops += 1

    def type(self, *lines: str) -> list[str]:
        """
        Type lines, and give what is shown for them.
        """
        self.news()
        for line in lines:
            self.console.line_typed(line)
        return self.news()

    def news(self) -> list[str]:
        """
        What was shown since the last time.
        """
        lines = self.screen.lines[self.seen :]
        self.seen += len(lines)
        return lines

    def happen(self, *events: Event) -> list[str]:
        """
        Let the node tell something, and give what is shown for it.
        """
        self.news()
        for event in events:
            self.node.happen(event)
        return self.news()

    def ann_and_bob(self) -> None:
        """
        Have two peers, the second one connected.
        """
        self.node.roster.heard(ANN, "Ann", Dialect.PLAIN, 0.0, connects=False)
        self.node.roster.heard(BOB, "Bob", Dialect.HEADER, 0.0, connects=True)

    def stop(self) -> None:
        """
        Stop the service, which has to leave no timer behind.
        """
        self.successResultOf(self.console.stopService())
        self.assertEqual([], self.clock.getDelayedCalls())


def texts(*events: Event) -> list[str]:
    """
    The lines for events, as bare text.
    """
    return ["".join(text for _, text in line) for event in events for line in event_lines(event)]


class FakesTests(ConsoleTestCase):
    """
    The fakes stand for the real ones.
    """

    def test_fakes_give_all_that_is_promised(self) -> None:
        """
        What tests are made with has the interfaces of what it stands for.
        """
        self.assertTrue(verifyObject(INode, self.node))
        self.assertTrue(verifyObject(IScreen, self.screen))
        self.assertTrue(verifyObject(IOperator, self.console))
        self.assertTrue(verifyObject(IOperator, RecordingOperator()))


class MenuTests(ConsoleTestCase):
    """
    A person at the menu.
    """

    def test_started_greets_and_asks(self) -> None:
        """
        The first lines tell who we are, and the menu; the console is the screen's operator.
        """
        self.assertEqual(["Listening on port 7070 as ours", *MENU], self.news())
        self.assertEqual([CHOICE], self.screen.prompts)
        self.assertEqual([self.console], self.operators)

    def test_message_to_an_address_is_sent(self) -> None:
        """
        1, an address, a port and a text send it; the answer comes when it has been taken.
        """
        shown = self.type("1", "192.0.2.1", "7001", "hello there")

        self.assertEqual([], shown)
        self.assertEqual(
            [
                CHOICE,
                "Enter the recipient's IP address: ",
                "Enter the recipient's port number: ",
                "Enter your message: ",
                CHOICE,
            ],
            self.screen.prompts,
        )
        (sending,) = self.node.sendings
        self.assertEqual((ANN, "hello there"), (sending.recipient, sending.text))
        sending.take()
        self.assertEqual(["Message sent to 192.0.2.1:7001"], self.news())
        self.stop()

    def test_long_message_tells_its_parts(self) -> None:
        """
        A text that went in several messages is told with their number.
        """
        self.type("1", "192.0.2.1:7001", "a long one")

        self.node.sendings[0].take(pieces=3)

        self.assertEqual(["Message sent to 192.0.2.1:7001 in 3 parts"], self.news())

    def test_exit_text_tells_that_the_peer_is_off(self) -> None:
        """
        A control text is told as what it did.
        """
        self.type("1", "192.0.2.1:7001", "exit")

        self.node.sendings[0].take()

        self.assertEqual(["Said exit to 192.0.2.1:7001: off the lists"], self.news())

    def test_query_shows_the_lists_and_numbers_can_be_used(self) -> None:
        """
        2 lists the peers; their numbers are recipients.
        """
        self.ann_and_bob()

        shown = self.type("2")

        self.assertEqual(
            [
                "--- Active peers (a message went either way) ---",
                "1. 192.0.2.1:7001  Ann  plain     heard 0 s ago",
                "2. 192.0.2.2:7002  Bob  plain     heard 0 s ago",
                "--- Connected peers (one of you connected to the other) ---",
                "2. 192.0.2.2:7002  Bob  plain     heard 0 s ago",
            ],
            shown,
        )
        self.type("1", "2", "hello")
        self.assertEqual([BOB], [sending.recipient for sending in self.node.sendings])

    def test_automatic_mode_connects_to_every_active_peer(self) -> None:
        """
        3 and A connect to all; each answer is shown when it comes.
        """
        self.ann_and_bob()

        shown = self.type("3", "A")

        self.assertEqual(
            [
                "Choose connection mode:",
                "A - Automatically connect to all active peers",
                "M - Manually enter IP and port to connect",
            ],
            shown,
        )
        self.assertEqual(
            [(ANN, None, False), (BOB, None, False)],
            [(to.recipient, to.text, to.is_manual) for to in self.node.sendings],
        )
        ann, bob = self.node.sendings
        bob.take()
        ann.refuse(PeerRefused("Refused: nobody listens there."))
        self.assertEqual(
            [
                "Connected to 192.0.2.2:7002",
                "Failed to connect to 192.0.2.1:7001. Refused: nobody listens there.",
            ],
            self.news(),
        )

    def test_manual_mode_connects_to_an_address(self) -> None:
        """
        3 and M ask for an address, and tell the node that a person gave it.
        """
        self.type("3", "m", "192.0.2.1", "7001")

        self.assertEqual(
            [(ANN, None, True)],
            [(to.recipient, to.text, to.is_manual) for to in self.node.sendings],
        )
        self.assertEqual(
            [
                "Enter your choice (A/M): ",
                "Enter the IP address to connect to: ",
                "Enter the port number to connect to: ",
                CHOICE,
            ],
            self.screen.prompts[1:],
        )

    def test_failed_connection_is_not_kept_for_again(self) -> None:
        """
        A connect text that did not arrive is no text of a person's to be sent again.
        """
        self.type("3", "m", "192.0.2.1:7001")
        self.node.sendings[0].refuse(PeerRefused("Refused."))

        self.assertEqual(["There is nothing to send again."], self.type("a"))

    def test_broadcast_goes_to_every_connected_peer(self) -> None:
        """
        B sends one text to all connected peers, and to no other.
        """
        self.ann_and_bob()
        self.node.roster.sent(Address("192.0.2.3", 7003), messages=1, connects=True)

        self.type("b", "hello all")

        self.assertEqual(
            [(BOB, "hello all"), (Address("192.0.2.3", 7003), "hello all")],
            [(to.recipient, to.text) for to in self.node.sendings],
        )

    def test_reply_goes_to_who_spoke_last(self) -> None:
        """
        R answers the last text, not the last connection, exit or unknown text.
        """
        self.happen(
            PlainTextReceived(BOB, "Bob", Dialect.PLAIN, "first", 0.0),
            PlainTextReceived(ANN, "Ann", Dialect.PLAIN, "last", 0.0),
            ConnectReceived(BOB, "Bob", "connect", 0.0),
            UnknownTextReceived("192.0.2.9", "?", 0.0),
            ExitReceived(BOB, "Bob", 0.0),
        )

        self.type("r", "hello yourself")

        (sending,) = self.node.sendings
        self.assertEqual((ANN, "hello yourself"), (sending.recipient, sending.text))

    def test_failed_text_is_shown_and_sent_again(self) -> None:
        """
        A text that did not arrive is shown with the reason, and goes again with a.
        """
        self.type("1", "192.0.2.1:7001", "hello")

        self.node.sendings[0].refuse(NoAnswer("Timed out: no answer."))

        expected = not_sent_lines(ANN, "Timed out: no answer.", "hello", is_away=True)
        self.assertEqual(["".join(text for _, text in line) for line in expected], self.news())
        self.type("a")
        again = self.node.sendings[1]
        self.assertEqual((ANN, "hello"), (again.recipient, again.text))
        again.take()
        self.assertEqual(["Message sent to 192.0.2.1:7001"], self.news())
        self.assertEqual(["There is nothing to send again."], self.type("a"))

    def test_text_that_waiting_would_not_help_is_not_offered_to_wait(self) -> None:
        """
        Where the reason is here, nobody has to come back.
        """
        self.type("1", "192.0.2.1:7001", "hello")

        self.node.sendings[0].refuse(NotSent("Not kept, and so not sent: The disk is full."))

        expected = not_sent_lines(ANN, "Not kept, and so not sent: The disk is full.", "hello")
        self.assertEqual(["".join(text for _, text in line) for line in expected], self.news())
        self.assertEqual(2, len(expected))

    def test_half_sent_text_keeps_only_its_rest(self) -> None:
        """
        Of a text that went in part only the rest is sent again.
        """
        self.type("1", "192.0.2.1:7001", "one two")
        error = PeerRefused("Refused.")
        error.unsent = "two"

        self.node.sendings[0].refuse(error)
        self.type("a")

        self.assertEqual("two", self.node.sendings[1].text)

    def test_help_and_unknown_choices_are_answered(self) -> None:
        """
        H helps; what is no choice is refused, and the choice asked for again.
        """
        self.assertEqual(list(HELP), self.type("h"))
        self.assertEqual(["Invalid choice. Please try again, or type h for help."], self.type("x"))
        self.assertEqual([CHOICE] * 3, self.screen.prompts)

    def test_line_that_is_too_long_is_refused(self) -> None:
        """
        More than a message holds is told, and not sent.
        """
        self.type("1", "192.0.2.1:7001")

        self.console.line_too_long(LARGEST_TEXT + 1)

        self.assertIn("That is too long", self.news()[0])
        self.assertEqual(CHOICE, self.screen.prompts[-1])
        self.assertEqual([], self.node.sendings)

    def test_host_name_holds_the_screen_until_it_is_found(self) -> None:
        """
        While a name is looked up no line is handed over; then the next question is asked.
        """
        self.type("1", "peer.example")
        ((host, found),) = self.node.look_ups
        self.assertEqual("peer.example", host)
        self.assertTrue(self.screen.is_paused)
        self.assertEqual("Looking up peer.example ... ", self.screen.prompts[-1])

        found.callback(True)

        self.assertFalse(self.screen.is_paused)
        self.assertEqual("Enter the recipient's port number: ", self.screen.prompts[-1])
        self.type("7001", "hello")
        self.assertEqual(Address("peer.example", 7001), self.node.sendings[0].recipient)

    def test_host_name_that_is_not_found_is_told(self) -> None:
        """
        A name that leads nowhere brings the choice back.
        """
        self.type("1", "peer.example")

        self.node.look_ups[0][1].callback(False)

        self.assertIn("no host named 'peer.example' can be found", self.news()[0])
        self.assertFalse(self.screen.is_paused)
        self.assertEqual(CHOICE, self.screen.prompts[-1])

    def test_much_that_is_pending_holds_the_screen(self) -> None:
        """
        With `MOST_PENDING` texts on their way the next line waits until one has gone.
        """
        for _ in range(MOST_PENDING - 1):
            self.type("1", "192.0.2.1:7001", "hello")
        self.assertFalse(self.screen.is_paused)
        self.type("1", "192.0.2.1:7001", "hello")
        self.assertTrue(self.screen.is_paused)

        self.node.sendings[0].take()
        self.assertFalse(self.screen.is_paused)

        self.type("1", "192.0.2.1:7001", "hello")
        self.assertTrue(self.screen.is_paused)
        self.node.sendings[1].refuse(NotSent("Not sent."))
        self.assertFalse(self.screen.is_paused)

    def test_mistake_of_ours_is_logged_and_does_not_block(self) -> None:
        """
        An error that is none of a person's is logged as what it is, and counts as done.
        """
        self.type("1", "192.0.2.1:7001", "hello")
        self.type("3", "m", "192.0.2.1:7001")
        while self.node.sendings:
            self.node.sendings.pop().result.errback(ValueError("broken"))

        self.console.input_ended()

        self.assertEqual(1, len(self.node.leavings))
        self.node.leavings[0].callback(None)
        self.assertEqual(1, self.stops)
        self.stop()
        # Such a failure is logged when the Deferred that holds it goes.
        gc.collect()
        self.assertEqual(2, len(self.flushLoggedErrors(ValueError)))


class SecureTests(ConsoleTestCase):
    """
    A person at the menu, and peers with keys.
    """

    def blue_whales(self) -> Contact:
        """
        Have a contact.
        """
        return self.node.contacts.accept(WHALE, "Blue Whales", 0.0)

    def check_held(self, prompt: str) -> None:
        """
        The screen hands over no line, and says why.
        """
        self.assertTrue(self.screen.is_paused)
        self.assertEqual(prompt, self.screen.prompts[-1])

    def test_message_to_a_contact_tells_how_far_it_came(self) -> None:
        """
        What is kept, and what arrived, is told with the name and the key.
        """
        self.blue_whales()
        for progress, told in [
            (Progress.DELIVERED, f"Message delivered to {LABEL}"),
            (Progress.WAITING, f"Message kept: {LABEL} is away. It goes out when you meet."),
        ]:
            self.type("1", "Blue Whales", "hello")
            sending = self.node.sendings[-1]
            self.assertEqual((WHALE, "hello"), (sending.recipient, sending.text))
            sending.take(progress=progress, name="Blue Whales")
            self.assertEqual([told], self.news())

    def test_failures_call_a_contact_by_name_and_key(self) -> None:
        """
        What was not sent to a key, and a connection that failed, tell whose key it is.
        """
        self.blue_whales()
        self.type("1", "1a1a1a1a", "hello")
        self.node.sendings[0].refuse(NotTrusted("Who answers has another key."))
        self.assertEqual(f"Not sent to {LABEL}. Who answers has another key.", self.news()[0])
        self.type("a")
        self.assertEqual(WHALE, self.node.sendings[1].recipient)

        self.type("3", "m", "1a1a1a1a")
        self.node.sendings[2].refuse(NoAnswer("Not reached."))
        self.assertEqual([f"Failed to connect to {LABEL}. Not reached."], self.news())

    def test_invite_is_used_and_then_written_to(self) -> None:
        """
        While the node takes an invite no line is handed over; then its owner is the recipient.
        """
        invite = Invite(WHALE, "Blue Whales", (ANN,))
        self.type("1", invite.link)
        ((used, known),) = self.node.invites
        self.assertEqual(invite, used)
        self.check_held("Keeping the invite ... ")

        known.callback(WHALE)

        self.assertFalse(self.screen.is_paused)
        self.assertEqual(f"Enter your message to {LABEL}: ", self.screen.prompts[-1])
        self.type("hello")
        self.assertEqual(WHALE, self.node.sendings[0].recipient)
        self.stop()

    def test_invite_that_is_refused_is_told(self) -> None:
        """
        What speaks against an invite is shown, and the choice is back.
        """
        self.type("1", Invite(WHALE, "Blue Whales").link)

        self.node.invites[0][1].errback(StoreError("The disk is full."))

        self.assertEqual(["The disk is full."], self.news())
        self.assertFalse(self.screen.is_paused)
        self.assertEqual(CHOICE, self.screen.prompts[-1])

    def test_contact_is_verified(self) -> None:
        """
        V has the words worked out, and what a person says of them kept.
        """
        self.blue_whales()
        self.type("v", "Blue Whales")
        ((key, words),) = self.node.word_searches
        self.assertEqual(WHALE, key)
        self.check_held("Working out the words ... ")

        words.callback(("one", "two", "three", "four", "five", "six"))
        self.assertEqual("      one two three four five six", self.news()[1])
        self.assertEqual("Are they the same? (y/n): ", self.screen.prompts[-1])
        self.type("y")
        ((verified, kept),) = self.node.verifications
        self.assertEqual(WHALE, verified)
        self.check_held("Keeping that ... ")
        kept.callback(None)

        self.assertEqual([f"Verified: {LABEL}."], self.news())
        self.assertFalse(self.screen.is_paused)

    def test_decision_is_carried_out(self) -> None:
        """
        T has the node do what was decided about whoever was shown; new words are offered then.
        """
        caller = Caller(Reason.KNOCK, EVE, "Eve", ANN, 0.0, "hello")
        self.node.at_the_door.append(caller)
        self.blue_whales()
        self.type("t", "1", "a")
        (decided,) = self.node.decisions
        self.assertEqual((EVE, Decision.ACCEPT, caller), decided[:3])
        self.check_held("Keeping that ... ")

        self.node.at_the_door.clear()
        self.node.contacts.accept(EVE, "Eve", 0.0)
        decided[3].callback(None)
        self.clock.advance(WORDS_DELAY)

        self.assertEqual(["Let in: Eve\u00b7eeeeeeee."], self.news())
        self.assertIn("Eve\u00b7eeeeeeee", self.screen.words)
        self.assertFalse(self.screen.is_paused)
        self.type("t", "1", "b")
        self.assertEqual((WHALE, Decision.BLOCK, None), self.node.decisions[1][:3])

    def test_decision_that_fails_is_told(self) -> None:
        """
        The reason is shown, and nothing waits any longer.
        """
        self.blue_whales()
        self.type("t", "1", "f")

        self.node.decisions[0][3].errback(StoreError("The disk is full."))

        self.assertEqual(["The disk is full."], self.news())
        self.assertFalse(self.screen.is_paused)

    def test_mistake_of_ours_is_logged_and_told(self) -> None:
        """
        An error that is none of a person's is logged as what it is; the menu goes on.
        """
        self.blue_whales()
        self.type("t", "1", "f")

        self.node.decisions[0][3].errback(ValueError("broken"))

        self.assertEqual(["That failed by a mistake of ours, which is in the log."], self.news())
        self.assertFalse(self.screen.is_paused)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_answer_at_once_is_asked_for_once(self) -> None:
        """
        Where the node answers without delay there is one question, and nothing is held.
        """
        self.blue_whales()
        self.type("t", "1")
        self.node.decide = lambda *_: succeed(None)  # type: ignore[method-assign]
        asked = len(self.screen.prompts)

        self.assertEqual([f"Blocked: {LABEL}."], self.type("b"))

        self.assertEqual([CHOICE], self.screen.prompts[asked:])
        self.assertFalse(self.screen.is_paused)

    def test_answer_after_the_quit_does_nothing(self) -> None:
        """
        What is kept while leaving is told to nobody, and leaves no timer.
        """
        self.blue_whales()
        self.type("t", "1", "f")
        self.console.had_enough()
        asked = len(self.screen.prompts)

        self.node.decisions[0][3].callback(None)

        self.assertEqual([], self.news())
        self.assertEqual(asked, len(self.screen.prompts))
        self.stop()


class EventsTests(ConsoleTestCase):
    """
    What the node tells.
    """

    def test_news_for_a_person_is_shown(self) -> None:
        """
        Texts, connections and exits are shown in order.
        """
        events: list[Event] = [
            PlainTextReceived(ANN, "Ann", Dialect.PLAIN, "hello", 0.0),
            UnknownTextReceived("192.0.2.9", "?", 0.0),
            ConnectReceived(ANN, "Ann", "connect", 0.0),
            ExitReceived(ANN, "Ann", 0.0),
            TextReceived(BLUE, "hello", 0.0),
            CallerCame(Caller(Reason.KNOCK, EVE, "Eve", ANN, 0.0)),
            SessionOpened(BLUE, False, 0.0),
            ExitReceived(WHALE, "Blue Whales", 0.0),
            LetIn(BLUE),
            ForkSeen(BLUE, 1),
            OutOfStep(BLUE),
            StoreFailed("The disk is full."),
            PlainNotKept("The disk is full."),
            RoomTextReceived(CLASS, Speaker(EVE, "Eve"), "hello", 0.0),
            RoomChanged(CLASS, RoomChange.CAME, Speaker(EVE, "Eve")),
            CaughtUp(CLASS, 213),
        ]

        shown = self.happen(*events)

        self.assertEqual(texts(*events), shown)
        self.assertEqual(16, len(shown))
        self.assertEqual([CHOICE], self.screen.prompts)

    def test_deliveries_are_told_as_their_sum(self) -> None:
        """
        Of thousands of texts that waited one line tells, when no more of them are delivered.
        """
        eve = Contact(EVE, "Eve")
        self.assertEqual([], self.happen(TextsDelivered(BLUE, 500), TextsDelivered(eve, 1)))
        self.clock.advance(DELIVERED_DELAY / 2)
        self.assertEqual([], self.happen(TextsDelivered(BLUE, 1000)))
        self.clock.advance(DELIVERED_DELAY / 2)
        self.assertEqual([], self.news())

        self.clock.advance(DELIVERED_DELAY / 2)

        expected = texts(TextsDelivered(BLUE, 1500), TextsDelivered(eve, 1))
        self.assertEqual(expected, self.news())
        self.stop()
        self.assertEqual([], self.news())

    def test_deliveries_are_told_before_the_end(self) -> None:
        """
        Whoever leaves is told what was delivered until then.
        """
        self.happen(TextsDelivered(BLUE, 2))

        self.stop()

        self.assertEqual(texts(TextsDelivered(BLUE, 2)), self.news())

    def test_deliveries_are_told_before_they_are_read(self) -> None:
        """
        That something was read is never told before that it was delivered.
        """
        self.node.contacts.accept(WHALE, "Blue Whales", 0.0)
        self.type("1", "1a1a1a1a", "hello")
        self.node.sendings[0].take(progress=Progress.WAITING)
        events: list[Event] = [TextsDelivered(BLUE, 1), TextsRead(BLUE)]

        self.assertEqual(texts(*events), self.happen(*events))
        self.stop()

    def test_reply_goes_to_the_key_that_spoke_last(self) -> None:
        """
        R answers a secure text by the key, also after others came to the door.
        """
        self.node.contacts.accept(WHALE, "Blue Whales", 0.0)
        self.happen(
            PlainTextReceived(BOB, "Bob", Dialect.PLAIN, "first", 0.0),
            TextReceived(BLUE, "last", 0.0),
            CallerCame(Caller(Reason.KNOCK, EVE, "Eve", ANN, 0.0, "let me in")),
        )

        self.type("r")
        self.assertEqual(f"Enter your reply to {LABEL}: ", self.screen.prompts[-1])
        self.type("hello yourself")

        self.assertEqual(WHALE, self.node.sendings[0].recipient)

    def test_stranded_texts_are_sent_to_the_new_key(self) -> None:
        """
        What waited for a key that was replaced is told, and goes to the new one with a.
        """
        event = TextsStranded(BLUE, ("one", "two"))

        self.assertEqual(texts(event), self.happen(event))
        self.type("a")

        self.assertEqual(
            [(WHALE, "one"), (WHALE, "two")],
            [(to.recipient, to.text) for to in self.node.sendings],
        )

    def test_words_are_offered_from_the_start(self) -> None:
        """
        Contacts can be completed before anybody has come.
        """
        node = FakeNode()
        node.contacts.accept(WHALE, "Blue Whales", 0.0)
        screen = RecordingScreen()
        console = Console(node, self.clock, lambda _: screen, self.count_stop, ends_with_input=True)
        console.startService()

        self.assertEqual(["Blue Whales", LABEL], screen.words)

    def test_found_nodes_are_offered(self) -> None:
        """
        Where somebody was found on the network can be completed.
        """
        self.node.found.append(Nearby("one", (ANN,)))

        self.assertEqual([], self.happen(NearbyChanged()))
        self.clock.advance(WORDS_DELAY)

        self.assertEqual(["192.0.2.1:7001"], self.screen.words)

    def test_changed_lists_offer_words_after_a_moment(self) -> None:
        """
        Many changes in a moment are one offer: names without repetition, then addresses.
        """
        self.ann_and_bob()
        self.node.roster.heard(Address("192.0.2.3", 7003), "Ann", Dialect.PLAIN, 0, connects=False)
        self.node.roster.sent(Address("192.0.2.4", 7004), messages=1, connects=False)
        peer = Peer(ANN)

        shown = self.happen(PeerAdded(peer), PeerChanged(peer), PeerRemoved(peer))
        self.assertEqual([], shown)
        self.assertEqual([], self.screen.words)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.clock.advance(WORDS_DELAY)

        self.assertEqual(
            [
                "Ann",
                "Bob",
                "192.0.2.1:7001",
                "192.0.2.2:7002",
                "192.0.2.3:7003",
                "192.0.2.4:7004",
            ],
            self.screen.words,
        )
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_offered_names_are_safe(self) -> None:
        """
        A name that could steer the terminal is not offered, but its address is.
        """
        self.node.roster.heard(ANN, "A\x1b[2J", Dialect.PLAIN, 0.0, connects=False)

        self.happen(PeerAdded(Peer(ANN)))
        self.clock.advance(WORDS_DELAY)

        self.assertEqual(["192.0.2.1:7001"], self.screen.words)

    def test_stopped_hears_nothing_more(self) -> None:
        """
        After the stop events are not shown, no words are offered, and no timer is left.
        """
        self.happen(PeerAdded(Peer(ANN)))

        self.stop()

        self.assertEqual(0, self.node.observers)
        self.assertEqual([], self.screen.words)


class RoomsTests(ConsoleTestCase):
    """
    A person at the menu, and rooms.
    """

    @override
    def setUp(self) -> None:
        """
        Have a room of our own, and a contact.
        """
        super().setUp()
        self.node.contacts.accept(WHALE, "Blue Whales", 0.0)
        self.node.records.append(RoomRecord(CLASS.room, Stay.JOINED, "class", self.node.key, WHALE))
        self.node.people[RoomId(CLASS.room)] = [Speaker(WHALE, "Blue Whales")]

    def test_text_goes_into_a_room_and_tells_how_far(self) -> None:
        """
        What is carried, delivered or kept is told with the room.
        """
        for progress, told in [
            (
                Progress.CARRIED,
                "Message is with somebody in #class; it reaches all of them also without you.",
            ),
            (Progress.DELIVERED, "Message delivered to everybody in #class"),
        ]:
            self.type("#class hello")
            sending = self.node.sendings[-1]
            self.assertEqual((RoomId(CLASS.room), "hello"), (sending.recipient, sending.text))
            sending.take(progress=progress, name="class")
            self.assertEqual([told], self.news())

    def test_text_that_failed_is_for_the_room_again(self) -> None:
        """
        What a room did not get is told, and goes there again.
        """
        self.type("#class hello")
        self.node.sendings[0].refuse(NotSent("You are not in class."))
        self.assertEqual(
            [
                "Not sent to #class. You are not in class.",
                "Type a to send it again. It was: hello",
            ],
            self.news(),
        )
        self.type("a")
        self.assertEqual(RoomId(CLASS.room), self.node.sendings[1].recipient)

    def test_reply_goes_into_the_room(self) -> None:
        """
        R answers in the room where somebody spoke last, whether we know them or not.
        """
        self.happen(
            TextReceived(BLUE, "first", 0.0),
            RoomTextReceived(CLASS, Speaker(EVE, "Eve"), "last", 0.0),
        )
        self.type("r", "hello yourself")
        self.assertEqual(RoomId(CLASS.room), self.node.sendings[0].recipient)

    def test_namesake_is_told_by_more_than_its_name(self) -> None:
        """
        Two rooms of one name are told apart in everything that is shown.
        """
        self.node.records.append(RoomRecord(b"\0" * 32, Stay.JOINED, "Class", WHALE, WHALE))
        self.assertIn(
            "[#class\u00b7c1c1c1c1]",
            self.happen(RoomTextReceived(CLASS, Speaker(EVE, "Eve"), "hello", 0.0))[0],
        )
        self.type("#class\u00b7c1c1c1c1 hello", "#class\u00b7c1c1c1c1 hello")
        self.node.sendings[0].take(progress=Progress.DELIVERED, name="class")
        self.node.sendings[1].refuse(NotSent("No."))
        self.assertEqual(
            [
                "Message delivered to everybody in #class\u00b7c1c1c1c1",
                "Not sent to #class\u00b7c1c1c1c1. No.",
            ],
            self.news()[:2],
        )

    def test_room_is_made(self) -> None:
        """
        While the node makes a room no line is handed over; then it is there to be used.
        """
        self.type("m", "new lab")
        ((name, made),) = self.node.new_rooms
        self.assertEqual("lab", name)
        self.assertTrue(self.screen.is_paused)

        made.callback(RoomRecord(b"\0" * 32, Stay.JOINED, "lab", self.node.key, self.node.key))

        self.assertEqual("Choose what to do in #lab:", self.news()[0])
        self.assertEqual("Enter your choice (w/h/p/a/x/l): ", self.screen.prompts[-1])
        self.assertFalse(self.screen.is_paused)

    def test_changes_are_carried_out(self) -> None:
        """
        The node is asked to add, remove, join and leave, and what it refuses is told.
        """
        invited = RoomRecord(b"\0" * 32, Stay.INVITED, "lab", WHALE, WHALE)
        self.node.records.append(invited)
        room, lab = RoomId(CLASS.room), RoomId(invited.room)
        for lines, change in [
            (("m", "1", "a", "Blue Whales"), ("add", room, WHALE)),
            (("m", "1", "x", "1", "y"), ("remove", room, WHALE)),
            (("m", "1", "l", "y"), ("leave", room, None)),
            (("m", "2", "j"), ("join", lab, None)),
            (("m", "2", "d"), ("leave", lab, None)),
        ]:
            for error in [None, StoreError("The disk is full.")]:
                self.type(*lines)
                *changed, kept = self.node.changes[-1]
                self.assertEqual(change, tuple(changed))
                self.assertTrue(self.screen.is_paused)
                kept.callback(None) if error is None else kept.errback(error)
                self.assertEqual(error is not None, "The disk is full." in self.news())
                self.assertFalse(self.screen.is_paused)
                self.assertEqual(CHOICE, self.screen.prompts[-1])

    def test_invitation_offers_its_name(self) -> None:
        """
        A room that is new can be completed a moment later.
        """
        self.happen(RoomChanged(CLASS, RoomChange.INVITED, Speaker(WHALE, "Blue Whales")))
        self.clock.advance(WORDS_DELAY)

        self.assertIn("#class", self.screen.words)

    def test_readers_are_told_once_for_what_we_wrote(self) -> None:
        """
        However often somebody reads, it is a single line until we write to them again.
        """
        self.assertEqual([], self.happen(TextsRead(BLUE)))
        for _ in range(2):
            for _ in range(3):
                self.type("1", "1a1a1a1a", "hello")
                self.node.sendings[-1].take(progress=Progress.DELIVERED, name="Blue Whales")
            self.assertEqual([f"Read by {LABEL}."], self.happen(TextsRead(BLUE), TextsRead(BLUE)))

    def test_text_is_taken_back_to_be_edited(self) -> None:
        """
        While the node takes a text back no line is handed over; then it stands in the answer.
        """
        self.type("1", "1a1a1a1a", "hello")
        self.type("u", "")
        ((recipient, recalled),) = self.node.recalls
        self.assertEqual(WHALE, recipient)
        self.assertTrue(self.screen.is_paused)

        recalled.callback("hello")

        self.assertEqual([f"Taken back: it does not go to {LABEL}. It was: hello"], self.news())
        self.assertEqual(f"Enter your message to {LABEL}: ", self.screen.prompts[-1])
        self.assertEqual("hello", self.screen.drafts[-1])
        self.assertFalse(self.screen.is_paused)
        self.type("hello there")
        self.assertEqual(("", CHOICE), (self.screen.drafts[-1], self.screen.prompts[-1]))

    def test_default_of_recalling_is_who_was_reached(self) -> None:
        """
        An address that turns out to be a contact's stands for the contact.
        """
        self.type("1", "192.0.2.1:7001", "hello")
        sending = self.node.sendings[0]
        sending.result.callback(Sent(WHALE, Kind.MESSAGE, 1, Progress.WAITING, "Blue Whales"))

        self.type("recall")

        self.assertEqual(WHALE, self.node.recalls[0][0])


def said(number: int, *, is_ours: bool = False) -> LineOfHistory:
    """
    A line of history of the Blue Whales.
    """
    return LineOfHistory(number, WHALE.raw, WHALE, None, is_ours, number, 0.0, f"text {number}")


def numbers_of(lines: list[str]) -> list[int]:
    """
    The numbers of the lines of history that were shown.
    """
    return [int(line.rpartition(" ")[2]) for line in lines if ": text " in line]


class HistoryTests(ConsoleTestCase):
    """
    A person who reads what was said.
    """

    def test_page_is_read_and_then_the_next(self) -> None:
        """
        While the node reads no line is handed over; Return reads on from where the page began.
        """
        self.type("history 2d")
        (reading,) = self.node.readings
        self.assertEqual(
            (None, -2 * 86400.0, None, PAGE + 1),
            (reading.place, reading.since, reading.before, reading.most),
        )
        self.assertTrue(self.screen.is_paused)
        self.assertEqual("Reading ... ", self.screen.prompts[-1])

        reading.result.callback([said(number) for number in range(PAGE + 1, 0, -1)])

        self.assertEqual(list(range(2, PAGE + 2)), numbers_of(self.news()))
        self.assertFalse(self.screen.is_paused)
        self.type("")
        self.assertEqual(2, self.node.readings[1].before and self.node.readings[1].before.number)
        self.node.readings[1].result.callback([said(1)])
        self.assertEqual([1], numbers_of(self.news()))
        self.assertEqual(CHOICE, self.screen.prompts[-1])

    def test_failed_reading_is_told(self) -> None:
        """
        What cannot be read is told, and nothing waits any longer.
        """
        self.type("history")
        self.node.readings[0].result.errback(StoreError("The disk is broken."))

        self.assertEqual(["The disk is broken."], self.news())
        self.assertFalse(self.screen.is_paused)

    def test_found_text_is_shown_with_what_stands_around(self) -> None:
        """
        The node searches, and reads around each text that it found.
        """
        self.type("search text")
        (search,) = self.node.searches
        self.assertEqual(("text", None, None), (search.words, search.place, search.before))
        search.result.callback([said(5), said(2)])
        for line in [said(5), said(2)]:
            around, most, lines = self.node.surroundings.pop()
            self.assertEqual((line, 1), (around, most))
            lines.callback([said(line.number - 1), line, said(line.number + 1)])

        self.assertEqual([4, 5, 6, 1, 2, 3], numbers_of(self.news()))
        self.assertFalse(self.screen.is_paused)

    def test_what_was_shown_is_seen_when_something_is_typed(self) -> None:
        """
        A sign of life makes what was shown read, and whoever leaves has seen it as well.
        """
        for leave in [lambda: self.console.line_typed(""), self.console.had_enough]:
            self.node.counts = {WHALE.raw: 1, CLASS.room: 1, ANN: 1}
            self.node.looks.clear()
            self.happen(
                TextReceived(BLUE, "hello", 0.0),
                RoomTextReceived(CLASS, Speaker(EVE, "Eve"), "hello", 0.0),
                PlainTextReceived(ANN, "Ann", Dialect.PLAIN, "hello", 0.0),
            )
            self.assertEqual([], self.node.looks)

            leave()

            self.assertEqual([[WHALE.raw, CLASS.room, ANN]], self.node.looks)

    def test_history_that_was_shown_is_seen(self) -> None:
        """
        What came while nobody was there is read when it has been shown, and not before.
        """
        self.node.counts = {WHALE.raw: 2}
        self.happen(CaughtUp(BLUE, 2))
        self.type("history")
        self.assertEqual([], self.node.looks)

        self.node.readings[0].result.callback([said(3), said(2, is_ours=True), said(1)])
        self.assertEqual([], self.node.looks)
        self.type("")

        self.assertEqual([[WHALE.raw]], self.node.looks)


class ProgramTests(ConsoleTestCase):
    """
    A program that types lines.
    """

    is_interactive = False

    def test_everything_is_read_as_it_is_taken(self) -> None:
        """
        Each batch is read when the one before has been taken, and it is asked but once.
        """
        self.screen.takes_at_once = False
        lines = [said(number) for number in range(1, 2 * BATCH + 2)]
        self.type("history")
        asked = len(self.screen.prompts)
        for end, most in [
            (len(lines), BATCH),
            (BATCH + 1, BATCH),
            (1, BATCH),
            (BATCH + 1, 2 * BATCH),
        ]:
            self.assertTrue(self.screen.is_paused)
            taking = self.screen.takings.pop()
            count = len(self.node.readings)
            taking.callback(None)
            self.assertEqual(count + 1, len(self.node.readings))
            reading = self.node.readings[-1]
            self.assertEqual(most, reading.most)
            reading.result.callback(lines[:end][-most:][::-1])

        self.assertEqual(list(range(1, len(lines) + 1)), numbers_of(self.news()))
        self.assertFalse(self.screen.is_paused)
        self.assertEqual([CHOICE], self.screen.prompts[asked:])
        self.stop()

    def test_input_that_ends_gets_all_the_history(self) -> None:
        """
        A program whose last line asks for history gets it before the end.
        """
        self.type("history")
        self.console.input_ended()
        self.assertEqual([], self.node.leavings)

        self.node.readings[0].result.callback([said(1)])

        self.assertEqual([1], numbers_of(self.news()))
        self.assertEqual(1, len(self.node.leavings))

    def test_nothing_is_read_after_the_quit(self) -> None:
        """
        A reader that is lost while history comes gets no more of it.
        """
        self.screen.takes_at_once = False
        self.type("history")
        self.console.output_lost()

        self.screen.takings[0].callback(None)

        self.assertEqual([], self.node.readings)
        self.assertEqual(1, len(self.node.leavings))

    def test_what_is_shown_is_seen(self) -> None:
        """
        What a program gets is read a moment later, unless it did not get all.
        """
        self.node.counts = {WHALE.raw: 1, CLASS.room: 3}
        self.happen(
            TextReceived(BLUE, "hello", 0.0),
            RoomTextReceived(CLASS, Speaker(EVE, "Eve"), "hello", 0.0),
        )
        self.assertEqual([], self.node.looks)

        self.clock.advance(LOOK_DELAY)

        self.assertEqual([[WHALE.raw]], self.node.looks)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_what_was_shown_before_the_end_is_seen(self) -> None:
        """
        The last texts of a chat are read as well, and no timer is left.
        """
        for end in [self.console.input_ended, self.stop]:
            self.node.counts = {WHALE.raw: 1}
            self.happen(TextReceived(BLUE, "hello", 0.0))
            end()
            self.assertEqual([[WHALE.raw]], self.node.looks)
            self.assertEqual([], self.clock.getDelayedCalls())
            self.node.looks.clear()
            self.setUp()


class LaterTests(ConsoleTestCase):
    """
    Texts for plain peers that are away.
    """

    def keep(self, *texts: str) -> None:
        """
        Have texts refused, and kept for the return of who refused them.
        """
        for text in texts:
            self.type("1", "192.0.2.1:7001", text)
            self.node.sendings.pop().refuse(PeerRefused("Refused."))
        self.type("w")

    def test_kept_texts_go_when_their_peer_is_heard(self) -> None:
        """
        A text, a connection or a sign of it, and all go in order, each with a word.
        """
        events: list[Event] = [
            PlainTextReceived(ANN, "Ann", Dialect.PLAIN, "hello", 0.0),
            ConnectReceived(ANN, "Ann", "connect", 0.0),
            PeerAdded(Peer(ANN)),
        ]
        for event in events:
            self.keep("one", "two")
            self.happen(event, event)
            for text in ["one", "two"]:
                (sending,) = self.node.sendings
                self.assertEqual((ANN, text), (sending.recipient, sending.text))
                self.node.sendings.clear()
                sending.take()
                self.assertEqual(
                    ["Message sent to 192.0.2.1:7001", f"      It waited. It was: {text}"],
                    self.news(),
                )
            self.assertEqual([], self.node.sendings)
            self.assertEqual(["There is nothing to send later."], self.type("w"))

    def test_others_that_are_heard_change_nothing(self) -> None:
        """
        Nobody else gets what is kept.
        """
        self.keep("one")
        self.happen(PlainTextReceived(BOB, "Bob", Dialect.PLAIN, "hello", 0.0))

        self.assertEqual([], self.node.sendings)

    def test_kept_texts_are_tried_every_minute(self) -> None:
        """
        Failed tries are quiet, and keep what is left; when nothing is kept nothing is tried.
        """
        self.keep("one two")
        self.news()
        for number, rest in enumerate(["", "two"]):
            self.clock.advance(RETRY_INTERVAL - 0.01)
            self.assertEqual([], self.node.sendings)
            self.clock.advance(0.01)
            (sending,) = self.node.sendings
            self.assertEqual("one two", sending.text)
            error = NoAnswer("No answer.")
            error.unsent = rest
            self.node.sendings.clear()
            sending.refuse(error)
            self.assertEqual([], self.news(), number)
        self.clock.advance(RETRY_INTERVAL)
        (sending,) = self.node.sendings
        self.assertEqual("two", sending.text)
        # Slower than a minute: it is not sent twice.
        self.clock.advance(RETRY_INTERVAL)
        self.assertEqual(1, len(self.node.sendings))
        sending.take()
        self.clock.advance(RETRY_INTERVAL)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_text_that_is_taken_back_is_tried_no_more(self) -> None:
        """
        W again ends it; a second text goes on with the same minute.
        """
        self.keep("one")
        self.keep("two")
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.type("w")

        self.clock.advance(RETRY_INTERVAL)

        self.assertEqual([], self.node.sendings)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_mistake_of_ours_is_logged_and_loses_nothing(self) -> None:
        """
        An error that is none of a person's is logged as what it is, and the text stays.
        """
        self.keep("one")
        self.clock.advance(RETRY_INTERVAL)
        self.node.sendings[0].result.errback(ValueError("broken"))

        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertIn("one", self.type("w")[0])

    def test_whoever_leaves_is_told_what_is_left(self) -> None:
        """
        What never went is shown at the end, and nothing more is tried.
        """
        self.keep("one")
        self.assertEqual(
            [
                "Exiting...",
                "Not sent: 1 text for peers that did not come back.",
                "      To 192.0.2.1:7001: one",
            ],
            self.type("0"),
        )
        self.happen(PlainTextReceived(ANN, "Ann", Dialect.PLAIN, "hello", 0.0))
        self.assertEqual([], self.node.sendings)
        self.stop()

    def test_stopped_leaves_no_timer(self) -> None:
        """
        A chat that is stopped from outside tries nothing any more.
        """
        self.keep("one")

        self.stop()


class QuittingTests(ConsoleTestCase):
    """
    How it ends.
    """

    def quit_and_stop(self) -> None:
        """
        Leaving has come to its end: the process is stopped, once.
        """
        self.assertEqual(1, len(self.node.leavings))
        self.assertEqual(0, self.stops)
        self.node.leavings[0].callback(None)
        self.assertEqual(1, self.stops)
        self.stop()

    def test_zero_leaves_then_stops(self) -> None:
        """
        0 says exit to everybody, and ends the process when that has been done.
        """
        shown = self.type("0")

        self.assertEqual(["Exiting..."], shown)
        self.assertTrue(self.screen.is_paused)
        self.quit_and_stop()

    def test_quit_waits_for_what_is_pending(self) -> None:
        """
        Texts on their way arrive first, and what comes of them is still shown.
        """
        self.type("1", "192.0.2.1:7001", "one", "1", "192.0.2.2:7002", "two", "0")
        first, second = self.node.sendings

        first.take()
        self.assertEqual([], self.node.leavings)
        second.refuse(PeerRefused("Refused."))

        self.assertEqual("Message sent to 192.0.2.1:7001", self.news()[0])
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertTrue(self.screen.is_paused)
        self.quit_and_stop()

    def test_lines_after_the_quit_are_ignored(self) -> None:
        """
        Nothing that is typed after 0 does anything, nor is any question asked.
        """
        self.type("0")
        asked = len(self.screen.prompts)

        shown = self.type("1", "192.0.2.1:7001", "hello", "0")
        self.console.line_too_long(100)
        self.console.input_ended()
        self.console.had_enough()
        self.console.output_lost()

        self.assertEqual([], shown + self.news())
        self.assertEqual([], self.node.sendings)
        self.assertEqual(asked, len(self.screen.prompts))
        self.quit_and_stop()

    def test_end_of_input_quits(self) -> None:
        """
        When nothing more can be typed, what was typed is finished, however long that takes.
        """
        self.type("1", "192.0.2.1:7001", "one")

        self.console.input_ended()

        self.assertEqual([], self.news())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.node.leavings)
        self.node.sendings[0].take()
        self.assertEqual(["Message sent to 192.0.2.1:7001"], self.news())
        self.quit_and_stop()

    def test_whoever_had_enough_quits(self) -> None:
        """
        Control-C with nothing on its way leaves at once, and without a word.
        """
        self.news()

        self.console.had_enough()

        self.assertEqual([], self.news())
        self.assertTrue(self.screen.is_paused)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.quit_and_stop()

    def check_patience(self, leave: Callable[[], object]) -> None:
        """
        Leave in some way, which waits for a time and no longer: what is left is told, as not sent.
        """
        self.type("1", "192.0.2.1:7001", "one", "1", "192.0.2.2:7002", "two")
        self.type("3", "m", "192.0.2.3:7003")

        leave()

        self.assertEqual("Waiting for 3 on the way, 5 seconds at most ...", self.news()[-1])
        self.node.sendings[1].take()
        self.assertEqual(["Message sent to 192.0.2.2:7002"], self.news())
        self.clock.advance(PATIENCE - 0.01)
        self.assertEqual([], self.news())
        self.assertEqual([], self.node.leavings)
        self.clock.advance(0.01)

        ended = "The chat ended before it could be sent."
        not_sent = not_sent_lines(ANN, ended, "one")
        self.assertEqual(
            [
                *("".join(text for _, text in line) for line in not_sent),
                f"Failed to connect to 192.0.2.3:7003. {ended}",
            ],
            self.news(),
        )
        self.quit_and_stop()

    def test_whoever_had_enough_waits_for_a_time_only(self) -> None:
        """
        Control-C waits for what is on its way, says so, and gives it up when the time is over.
        """
        self.check_patience(self.console.had_enough)

    def test_zero_waits_for_a_time_only(self) -> None:
        """
        So does 0.
        """
        self.check_patience(lambda: self.console.line_typed("0"))

    def test_lost_output_waits_for_a_time_only(self) -> None:
        """
        So does a chat that nobody can read any more.
        """
        self.check_patience(self.console.output_lost)

    def test_lost_output_quits(self) -> None:
        """
        When nothing more can be shown, the chat ends.
        """
        self.console.output_lost()

        self.quit_and_stop()

    def test_input_that_ends_finishes_what_was_typed(self) -> None:
        """
        What the last line asked for is waited for, and what comes of it is done.
        """
        self.type("3", "m", "peer.example:7001")
        self.console.input_ended()
        self.assertEqual([], self.node.leavings)

        self.node.look_ups[0][1].callback(True)

        self.assertEqual([], self.node.leavings)
        self.node.sendings[0].take()
        self.assertEqual(["Connected to peer.example:7001"], self.news())
        self.quit_and_stop()

    def test_name_found_after_the_quit_does_nothing(self) -> None:
        """
        A look-up that ends while leaving neither connects to anybody nor asks anything.
        """
        self.type("3", "m", "peer.example:7001")
        self.console.had_enough()
        asked = len(self.screen.prompts)

        self.node.look_ups[0][1].callback(True)

        self.assertEqual([], self.node.sendings)
        self.assertEqual(asked, len(self.screen.prompts))
        self.quit_and_stop()

    def test_signal_while_leaving_stops_only_once(self) -> None:
        """
        A service that is stopped from outside while it leaves does not stop the process again.
        """
        self.type("0")

        self.stop()
        self.node.leavings[0].callback(None)

        self.assertEqual(0, self.stops)

    def test_stopped_closes_the_screen_and_waits_for_it(self) -> None:
        """
        The stop ends when the terminal has been given back.
        """
        self.screen.closes_at_once = False

        stopped = self.console.stopService()

        self.assertNoResult(stopped)
        closed = self.screen.closed
        assert isinstance(closed, Deferred)
        closed.callback(None)
        self.successResultOf(stopped)

    def test_result_after_the_stop_does_no_harm(self) -> None:
        """
        A text whose fate is known only after the stop is shown to nobody that minds.
        """
        self.type("1", "192.0.2.1:7001", "hello")
        self.stop()

        self.node.sendings[0].refuse(NotSent("The chat ended."))

        self.assertEqual(0, self.stops)
        gc.collect()
        self.assertEqual([], self.flushLoggedErrors())


class ServiceTests(ConsoleTestCase):
    """
    A console where nobody can type: a service.
    """

    ends_with_input = False

    def test_end_of_input_goes_on(self) -> None:
        """
        Without input or output the node goes on.
        """
        self.console.input_ended()
        self.console.output_lost()

        self.assertEqual([], self.node.leavings)
        self.assertEqual(
            texts(UnknownTextReceived("192.0.2.9", "?", 0.0)),
            self.happen(UnknownTextReceived("192.0.2.9", "?", 0.0)),
        )
        # Nobody is there to see it.
        self.node.counts = {WHALE.raw: 1}
        self.happen(TextReceived(BLUE, "hello", 0.0))
        self.assertEqual([], self.node.looks)
        self.stop()
        self.assertEqual(0, self.stops)


class KindOfStdinTests(SynchronousTestCase):
    """
    `kind_of_stdin`, with other files in the place of standard input and output.
    """

    def put(self, descriptor: int, number: int) -> None:
        """
        Put a file in the place of a standard one, until the end of the test.
        """
        kept = os.dup(number)
        self.addCleanup(os.close, kept)
        self.addCleanup(os.dup2, kept, number)
        os.dup2(descriptor, number)
        os.close(descriptor)

    def terminal(self) -> int:
        """
        One end of a new terminal, which nobody is in control of.
        """
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        return slave

    def test_terminal_is_one(self) -> None:
        """
        A terminal for input and output is one, also where it does not control this process.
        """
        self.put(self.terminal(), 0)
        self.put(self.terminal(), 1)

        self.assertIs(Stdin.TERMINAL, kind_of_stdin("xterm"))

    def test_terminal_that_can_do_nothing_types_lines(self) -> None:
        """
        A dumb or unknown terminal gets lines.
        """
        self.put(self.terminal(), 0)
        self.put(self.terminal(), 1)

        self.assertIs(Stdin.LINES, kind_of_stdin("dumb"))
        self.assertIs(Stdin.LINES, kind_of_stdin(""))

    def test_output_that_is_no_terminal_gets_lines(self) -> None:
        """
        Where the output goes into a file or a pipe it is lines, whatever types them.
        """
        self.put(self.terminal(), 0)
        self.put(os.open(os.devnull, os.O_WRONLY), 1)

        self.assertIs(Stdin.LINES, kind_of_stdin("xterm"))

    def test_terminal_of_another_job_is_nobody(self) -> None:
        """
        A terminal that is in the hands of another job must not be read from; ours may.
        """
        self.put(self.terminal(), 0)
        self.put(self.terminal(), 1)

        self.patch(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
        self.assertIs(Stdin.NOBODY, kind_of_stdin("xterm"))
        self.patch(os, "tcgetpgrp", lambda _: os.getpgrp())
        self.assertIs(Stdin.TERMINAL, kind_of_stdin("xterm"))

    def test_pipe_types_lines(self) -> None:
        """
        A pipe is a script.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        self.put(reading, 0)

        self.assertIs(Stdin.LINES, kind_of_stdin("xterm"))

    def test_file_types_lines(self) -> None:
        """
        A file is a script as well.
        """
        self.put(os.open(__file__, os.O_RDONLY), 0)

        self.assertIs(Stdin.LINES, kind_of_stdin("xterm"))

    def test_null_device_is_nobody(self) -> None:
        """
        /dev/null is what a service has.
        """
        self.put(os.open(os.devnull, os.O_RDONLY), 0)

        self.assertIs(Stdin.NOBODY, kind_of_stdin("xterm"))

    def test_closed_is_nobody(self) -> None:
        """
        A standard input that is closed cannot be read from.
        """
        self.put(os.open(os.devnull, os.O_RDONLY), 0)
        os.close(0)

        self.assertIs(Stdin.NOBODY, kind_of_stdin("xterm"))
