"""
The sessions of a node: one with each peer, found again when it is lost; and strangers at the door.
"""

import gc

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from typing_extensions import override

from tests.people import (
    MALLORY,
    PORT,
    Impostor,
    PeopleTestCase,
    Person,
    SessionCaller,
    hello,
    wire_of,
)
from tests.strategies import wire_steps
from twistedchat import exchange, rooms
from twistedchat.core.addresses import Address
from twistedchat.core.entries import NOTHING, Said, sign_run
from twistedchat.core.errors import NotSent, NotTrusted
from twistedchat.core.events import (
    ExitReceived,
    PeerChanged,
    Progress,
    RoomTextReceived,
    SessionOpened,
    TextReceived,
)
from twistedchat.core.frames import (
    LARGEST_FRAME,
    Bye,
    Frame,
    Have,
    Hello,
    Knock,
    Met,
    Ping,
    Pong,
    Seek,
    encode_frame,
)
from twistedchat.core.hints import hint_of
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.nearby import Record
from twistedchat.core.rooms import adding, founding, room_of
from twistedchat.core.roster import RoomId
from twistedchat.core.trust import Contact, Contacts, Decision
from twistedchat.node import LONGEST_GOODBYE
from twistedchat.peers import doorman, sessions
from twistedchat.peers.dialling import DIAL_TIMEOUT
from twistedchat.peers.doorman import (
    DEAD_AFTER,
    LONGEST_CLOSE,
    LONGEST_HANDSHAKE,
    MOST_HANDSHAKES,
    MOST_HANDSHAKES_PER_HOST,
    PING_AFTER,
    STRANGERS_AT_ONCE,
)
from twistedchat.peers.protocol import Dial, PeerProtocol
from twistedchat.peers.sessions import (
    LONGEST_PROBE,
    LONGEST_REDIAL,
    LONGEST_STRANGER,
    MOST_HINTS,
    MOST_STRANGERS,
    MOST_STRANGERS_PER_HOST,
)
from twistedchat.testing import (
    OUTSIDE,
    MemoryDial,
    MemoryHost,
    MemoryJournal,
    MemoryTransport,
    identity_of,
    make_node,
)

ELSEWHERE = Address(OUTSIDE, PORT)


class SessionsTestCase(PeopleTestCase):
    """
    People, of whom some know each other.
    """

    def by_key(self, one: Person, other: Person) -> tuple[Person, Person]:
        """
        Two people, the one with the lower key first.
        """
        lower, higher = sorted((one, other), key=lambda person: person.key)
        return lower, higher

    def strangers(self, *names: str) -> list[Person]:
        """
        Start the nodes of some who have never met.
        """
        people = [self.make(name) for name in names]
        self.start(*people)
        return people

    def dial(self, one: Person, other: Person) -> tuple[MemoryTransport, MemoryTransport]:
        """
        Let one begin to open a session with another whom they know, up to the connection.
        """
        before = self.network.connections
        one.node._sessions.hint(other.key, (other.address,))
        self.network.advance(0)
        for _ in range(20):
            self.network._move()
            new = [wire for wire in self.network.connections if wire not in before]
            for wire in new:
                if isinstance(self.call_of(wire[0]), Dial):
                    self.network.hold(wire)
                    return wire
        raise AssertionError("nobody was dialled")

    def call_of(self, end: MemoryTransport) -> object:
        """
        What a connection was opened for.
        """
        protocol: object = end.protocol
        # TLS wraps what an endpoint has wrapped.
        for wrapped in ("wrappedProtocol", "_wrappedProtocol"):
            protocol = getattr(protocol, wrapped, protocol)
        return getattr(protocol, "call", None)

    def assert_one_session(self, one: Person, other: Person) -> None:
        """
        Both have one and the same session, over the only connection between them.
        """
        ours, theirs = one.link_to(other), other.link_to(one)
        self.assertEqual({ours.transport, theirs.transport}, set(wire_of(ours, self.network)))
        self.assert_talk(one, other)
        self.assertEqual({}, one.node._sessions._contenders)
        self.assertEqual({}, other.node._sessions._contenders)


class BothDialTests(SessionsTestCase):
    """
    Two who dial each other at once.
    """

    def assert_nothing_lost(self, ann: Person, bob: Person) -> None:
        """
        All that was said arrived, once and in order.
        """
        self.assertEqual(["to bob 0", "to bob 1"], bob.heard[:2])
        self.assertEqual(["to ann 0", "to ann 1"], ann.heard[:2])
        self.assert_one_session(ann, bob)
        for person in (ann, bob):
            self.assertEqual([], person.node.callers())
            self.assertEqual(1, len(person.told(SessionOpened)))

    def talk(self, *, is_known: bool) -> tuple[Person, Person, list[Deferred[object]]]:
        """
        Let both send two texts to each other's address at one time, and go on by hand.
        """
        ann, bob = self.make("ann"), self.make("bob")
        if is_known:
            self.acquaint(ann, bob)
        self.start(ann, bob)
        sendings = [
            us.node.send_text(them.address, f"to {them.name} {number}")
            for us, them in ((ann, bob), (bob, ann))
            for number in range(2)
        ]
        return ann, bob, sendings  # type: ignore[return-value]

    @given(st.booleans(), wire_steps())
    def test_any_order_of_bytes_leaves_one_session(
        self, is_known: bool, steps: list[tuple[int, bool, int]]
    ) -> None:
        """
        Whatever arrives first on which connection: one session stays, and no text is lost.
        """
        self.setUp()
        ann, bob, sendings = self.talk(is_known=is_known)
        for index, is_back, most in steps:
            wires = self.network.connections
            if wires:
                ours, theirs = wires[index % len(wires)][:: -1 if is_back else 1]
                if not theirs.is_paused:
                    ours.carry_some_to(theirs, most)
            for dial in self.network.dials[:1]:
                self.network._answer(dial)
            self.network.advance(0)
        self.network.settle()
        self.pass_time(3)

        for sending in sendings:
            self.successResultOf(sending)
        self.assertEqual(["to bob 0", "to bob 1"], bob.heard[:2])
        self.assertEqual(["to ann 0", "to ann 1"], ann.heard[:2])
        self.assert_one_session(ann, bob)
        for person in list(self.people):
            self.stop(person)

    def test_either_greeting_first_leaves_the_session_of_the_higher_key(self) -> None:
        """
        In whichever order the greetings come, the connection stays that the higher key made.
        """
        for lower_first in (True, False):
            self.setUp()
            ann, bob = self.make("ann"), self.make("bob")
            lower, higher = self.by_key(ann, bob)
            self.acquaint(ann, bob)
            self.start(ann, bob)
            by_lower = self.dial(lower, higher)
            by_higher = self.dial(higher, lower)
            for wire in (by_lower, by_higher) if lower_first else (by_higher, by_lower):
                self.network.hold(wire, is_held=False)
                self.network.settle()

            self.assertTrue(higher.link_to(lower).dialled)
            self.assertFalse(lower.link_to(higher).dialled)
            self.assert_one_session(ann, bob)
            self.assertEqual(1, len(ann.told(SessionOpened)))
            self.assertEqual(1, len(bob.told(SessionOpened)))
            for person in list(self.people):
                self.stop(person)

    def test_replaced_session_leaves_nothing_behind(self) -> None:
        """
        However often a session takes the place of another, no trace of the others stays.
        """
        (ann,) = self.strangers("ann")
        for number in range(5):
            self.greet(ann, greeting=hello(dial=number + 1))

        self.assertEqual(1, len(ann.node._sessions.live))
        self.assertEqual(1, len(ann.node._exchange._partners))
        self.assertEqual(1, len(ann.node._sessions._strangers))

    def test_texts_on_their_way_in_the_session_that_gives_way_arrive(self) -> None:
        """
        What was sent over the loser and never arrived there comes over the winner.
        """
        ann, bob = self.make("ann"), self.make("bob")
        lower, higher = self.by_key(ann, bob)
        self.acquaint(ann, bob)
        self.start(ann, bob)
        by_lower = self.dial(lower, higher)
        by_higher = self.dial(higher, lower)
        self.network.hold(by_lower, is_held=False)
        self.network.settle()
        self.network.hold(by_lower)
        sending = lower.node.send_text(higher.key, "hello")
        self.network.settle()
        self.assertEqual([], higher.heard)

        self.network.hold(by_higher, is_held=False)
        self.network.settle()

        self.assertEqual(["hello"], higher.heard)
        self.successResultOf(sending)
        self.network.hold(by_lower, is_held=False)
        self.pass_time(1)
        self.assertEqual(["hello"], higher.heard)
        self.assert_one_session(ann, bob)


class ContenderTests(SessionsTestCase):
    """
    A newer session of lower rank: the older one is asked whether it is alive.
    """

    @override
    def setUp(self) -> None:
        """
        Start a node with a key higher than some strangers'.
        """
        super().setUp()
        (self.ann,) = self.strangers("ann")
        self.lower = next(
            identity
            for identity in (identity_of(f"lower {number}") for number in range(99))
            if identity.key < self.ann.key
        )

    def call_again(self, dial: int) -> SessionCaller:
        """
        Open a session by hand, with a number that says how new it is.
        """
        return self.greet(self.ann, self.lower, hello(dial=dial))

    @property
    def live(self) -> PeerProtocol:
        """
        The session that the node has.
        """
        link = self.ann.node._sessions.find(self.lower.key)
        assert link is not None
        return link

    def test_living_session_stays(self) -> None:
        """
        It answers, and the newer one is turned down at once.
        """
        older = self.call_again(2)
        before = self.live
        newer = self.call_again(1)
        self.assertEqual(Ping(), older.frames[-1])
        self.assertIsNone(newer.reason)

        older.say(Pong())
        self.network.settle()

        self.assertIs(before, self.live)
        self.assertEqual(
            Bye(code="duplicate", text="There is a session already."), newer.frames[-1]
        )
        self.assertIsNotNone(newer.reason)
        self.assertIsNone(older.reason)

    def test_dead_session_gives_way_in_time(self) -> None:
        """
        It does not answer: after two seconds the newer one takes its place.
        """
        older = self.call_again(2)
        before = self.live
        newer = self.call_again(1)
        newer.say(Knock(text="hello"))
        self.pass_time(LONGEST_PROBE - 0.1)
        self.assertIs(before, self.live)
        self.assertEqual([], self.ann.node.callers())

        self.pass_time(0.2)

        self.assertIsNot(before, self.live)
        self.assertIsNotNone(older.reason)
        self.assertIsNone(newer.reason)
        self.assertEqual(1, len(self.ann.node._exchange._partners))
        # What it had said meanwhile was kept.
        self.assertEqual(["hello"], [caller.text for caller in self.ann.node.callers()])

    def test_session_that_is_lost_gives_way_at_once(self) -> None:
        """
        Nobody waits for one that is gone.
        """
        older = self.call_again(2)
        newer = self.call_again(1)

        older.end.loseConnection()
        self.network.settle()

        self.assertIsNone(newer.reason)
        self.assertIn(self.lower.key, self.ann.node._sessions.live)

    def test_newest_contender_is_the_one(self) -> None:
        """
        Of several that wait the last one is kept, and the older has no more time for that.
        """
        self.call_again(9)
        first = self.call_again(1)
        self.pass_time(LONGEST_PROBE / 2)
        second = self.call_again(1)
        self.assertEqual(
            Bye(code="duplicate", text="There is a session already."), first.frames[-1]
        )

        self.pass_time(LONGEST_PROBE / 2 + 0.1)

        self.assertIsNone(second.reason)
        self.assertEqual({}, self.ann.node._sessions._contenders)
        self.assertIn(self.lower.key, self.ann.node._sessions.live)

    def test_contender_that_is_lost_leaves_the_older_alone(self) -> None:
        """
        Where nobody contends any more, nothing has to be proven.
        """
        self.call_again(2)
        before = self.live
        newer = self.call_again(1)

        newer.end.abortConnection()
        self.network.settle()
        self.pass_time(LONGEST_PROBE + 1)

        self.assertIs(before, self.live)
        self.assertEqual({}, self.ann.node._sessions._contenders)

    def test_newer_of_higher_rank_ends_the_contest(self) -> None:
        """
        While one waits another comes that is above both: it is the one.
        """
        older = self.call_again(5)
        contender = self.call_again(1)

        newest = self.call_again(7)

        for loser in (older, contender):
            self.assertEqual("duplicate", self.last_bye(loser))
            self.assertIsNotNone(loser.reason)
        self.pass_time(LONGEST_PROBE + 1)
        self.assertIsNone(newest.reason)
        self.assertEqual({}, self.ann.node._sessions._contenders)

    def last_bye(self, caller: SessionCaller) -> str:
        """
        The code of the goodbye that somebody got.
        """
        bye = caller.frames[-1]
        assert isinstance(bye, Bye)
        return bye.code

    def test_what_comes_late_in_a_session_being_closed_is_no_sign_of_life(self) -> None:
        """
        A session that we are leaving does not turn down the one that comes after it.
        """
        older = self.call_again(9)
        wire = wire_of(self.live, self.network)
        self.network.hold(wire)
        self.ann.node._sessions.end(self.lower.key, "exit")
        newer = self.call_again(1)
        older.say(Ping())
        self.network.settle()
        self.assertTrue(wire[0].carry_some_to(wire[1]))
        self.network.settle()
        self.assertIsNone(newer.reason)

        self.pass_time(LONGEST_CLOSE + 0.1)

        self.assertIsNone(newer.reason)
        self.assertIn(self.lower.key, self.ann.node._sessions.live)

    def test_dial_from_the_lower_key_after_a_crash_is_accepted(self) -> None:
        """
        The higher key thinks that it has a session; the lower one came back from a crash.
        """
        ann, bob = self.make("bob"), self.make("carol")
        lower, higher = self.by_key(ann, bob)
        self.acquaint(lower, higher)
        self.start(lower, higher)
        self.network.settle_until(lambda: bool(self.wires_between(lower, higher)))
        self.network.settle()
        (wire,) = self.wires_between(lower, higher)
        self.network.hold(wire)
        self.kill(lower)
        back = self.make(lower.name)
        self.acquaint(back, higher)
        self.start(back)

        sending = self.say(back, higher.address, "here again")
        self.assertEqual([], higher.heard)
        self.pass_time(LONGEST_PROBE + 0.1)

        self.assertEqual(["here again"], higher.heard)
        self.successResultOf(sending)
        self.assert_one_session(back, higher)


class LivenessTests(SessionsTestCase):
    """
    Whether the other side is still there.
    """

    def test_dead_link_is_noticed_within_fifteen_seconds(self) -> None:
        """
        When the cable is pulled, both know it in time, and find each other when it is back.
        """
        ann, bob = self.meet("ann", "bob")
        self.assert_talk(ann, bob)
        (wire,) = self.wires_between(ann, bob)
        self.network.hold(wire)
        self.network.silent_hosts |= {ann.machine.host, bob.machine.host}

        self.pass_time(PING_AFTER + 1)
        self.assertTrue(ann.node._sessions.live)
        self.pass_time(15 - PING_AFTER - 1)

        for person in (ann, bob):
            self.assertEqual({}, person.node._sessions.live)
            self.assertEqual([], person.node.peers.connected())
            self.assertFalse(person.told(PeerChanged)[-1].peer.is_connected)
        self.network.silent_hosts.clear()
        self.pass_time(60)
        self.network.hold(wire, is_held=False)
        self.network.settle()
        self.assert_one_session(ann, bob)

    def test_quiet_session_is_asked_and_stays(self) -> None:
        """
        Every five seconds without a line a ping goes, is answered, and that is all.
        """
        ann, bob = self.meet("ann", "bob")
        lines = self.lines_of(ann.link_to(bob))

        self.pass_time(60)

        self.assertTrue({Ping, Pong} >= {type(frame) for frame in lines})
        # Both may ask at one time.
        self.assertTrue(12 <= len(lines) <= 24, lines)
        self.assert_one_session(ann, bob)

    def lines_of(self, link: PeerProtocol) -> list[Frame | None]:
        """
        What comes over a session from now on.
        """
        heard: list[Frame | None] = []
        session = link.session
        assert session is not None
        receive_line = session.receive_line

        def listen(line: bytes) -> Frame | None:
            frame = receive_line(line)
            heard.append(frame)
            return frame

        session.receive_line = listen  # type: ignore[method-assign]
        return heard

    def test_lively_session_is_not_asked(self) -> None:
        """
        Whoever says something, whatever it is, need not be asked.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)

        for _ in range(5):
            self.pass_time(PING_AFTER - 0.1)
            caller.end.write(b'{"t":"later"}\n')
            self.network.settle()
        self.assertNotIn(Ping(), caller.frames)

        self.pass_time(PING_AFTER)
        self.assertEqual(Ping(), caller.frames[-1])
        self.pass_time(DEAD_AFTER - PING_AFTER)
        self.assertIsNotNone(caller.reason)
        self.assertEqual(1, caller.frames.count(Ping()))

    def test_ping_is_answered(self) -> None:
        """
        Everybody at the door may ask.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)

        caller.say(Ping(), Ping())
        self.network.settle()

        self.assertEqual([Pong(), Pong()], caller.frames[-2:])

    def test_who_does_not_read_is_not_answered(self) -> None:
        """
        Pings of somebody who reads nothing do not pile up answers.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)
        link = ann.node._sessions.find(MALLORY.key)
        assert link is not None
        link.is_choked = True
        before = len(link.transport.written)  # type: ignore[attr-defined]

        caller.say(*[Ping()] * 50)
        self.network.settle()
        self.assertEqual(before, len(link.transport.written))  # type: ignore[attr-defined]
        link.went_on()
        caller.say(Ping())
        self.network.settle()

        self.assertEqual(Pong(), caller.frames[-1])


class RedialTests(SessionsTestCase):
    """
    Finding those again who are away.
    """

    @override
    def setUp(self) -> None:
        """
        Start Ann, who knows Bob; he is not there.
        """
        super().setUp()
        self.ann, self.bob = self.make("ann"), self.make("bob")
        self.acquaint(self.ann, self.bob)
        self.jitter = 0.5
        self.ann.node._sessions._jitter = lambda: self.jitter
        self.times: list[float] = []
        dial = self.network.dial

        def note(one: MemoryDial, timeout: float) -> MemoryDial:
            self.times.append(self.network.seconds())
            return dial(one, timeout)

        self.patch(self.network, "dial", note)

    def dials(self, seconds: float) -> list[float]:
        """
        When Bob is dialled within that time, in seconds from now.
        """
        start = self.network.seconds()
        self.times.clear()
        self.pass_time(seconds)
        return [round(time - start, 3) for time in self.times]

    def test_backoff_doubles_to_its_bound(self) -> None:
        """
        The pauses double from one second to five minutes, and stay there.
        """
        self.start(self.ann)

        times = self.dials(2000)

        pauses = [round(after - before) for before, after in zip([0, *times], times, strict=False)]
        self.assertEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300], pauses[:13])

    def test_pauses_are_jittered(self) -> None:
        """
        Chance makes each pause half as long up to one and a half times: no crowd comes at once.
        """
        self.jitter = 0.0
        self.start(self.ann)
        self.assertEqual([0.5], self.dials(1))
        self.jitter = 0.999
        self.assertEqual([], self.dials(0.4))
        self.stop(self.ann)

        self.ann = self.make("ann")
        self.acquaint(self.ann, self.bob)
        self.ann.node._sessions._jitter = lambda: 0.999
        self.start(self.ann)
        self.assertEqual([1.499], self.dials(2))

    def test_session_resets_the_backoff(self) -> None:
        """
        Who was found, and is lost again, is dialled again soon.
        """
        self.start(self.ann)
        self.dials(100)
        self.start(self.bob)
        self.network.settle_until(lambda: bool(self.wires_between(self.ann, self.bob)))
        self.network.settle()

        self.kill(self.bob)

        self.assertEqual([1.0, 3.0, 7.0], self.dials(8))

    def test_exit_is_not_dialled_until_somebody_calls(self) -> None:
        """
        Whom we took leave of is left alone, until they call, or we want them again.
        """
        self.start(self.ann, self.bob)
        self.network.settle_until(lambda: bool(self.ann.node._sessions.live))
        self.network.settle()
        self.bob.node._sessions._jitter = lambda: 1e9

        sent = self.sent(self.ann, self.bob, "exit")

        self.assertEqual("bob", sent.name)
        self.assertTrue(self.ann.node._sessions.has_left(self.bob.key))
        self.assertEqual([], self.dials(2 * LONGEST_REDIAL))
        self.assertEqual([], self.ann.node.peers.active())
        self.assertEqual([self.ann.key], [exit.sender for exit in self.bob.told(ExitReceived)])
        self.sent(self.bob, self.ann, "come back")
        self.assertEqual(["come back"], self.ann.heard)
        self.assertFalse(self.ann.node._sessions.has_left(self.bob.key))
        self.assert_one_session(self.ann, self.bob)

    def test_text_after_an_exit_is_delivered_when_they_are_back(self) -> None:
        """
        Who writes to somebody they left wants them again, also where they are not there right now.
        """
        self.start(self.ann, self.bob)
        self.network.settle_until(lambda: bool(self.ann.node._sessions.live))
        self.sent(self.ann, self.bob, "exit")
        self.kill(self.bob)
        self.sent(self.ann, self.bob, "I forgot something")
        bob = self.make("bob")
        bob.contacts.accept(self.ann.key, "ann", 0.0)
        self.start(bob)

        self.pass_time(10)

        self.assertEqual(["I forgot something"], bob.heard)

    def test_text_in_one_breath_with_the_exit_is_delivered(self) -> None:
        """
        Who takes leave and remembers something is not held up by the session that is just closing.
        """
        self.start(self.ann, self.bob)
        self.sent(self.ann, self.bob, "hello")
        for recipient in (self.bob.key, self.bob.address):
            text = f"by the way, {recipient}"

            self.ann.node.send_text(self.bob.key, "exit")
            sending = self.ann.node.send_text(recipient, text)
            self.network.settle()
            self.pass_time(1)

            self.assertEqual(text, self.bob.heard[-1])
            self.assertEqual(Progress.DELIVERED, self.successResultOf(sending).progress)
            self.assert_one_session(self.ann, self.bob)

    def test_whoever_took_leave_is_dialled_after_a_while(self) -> None:
        """
        Those who said exit come back by themselves, or are found soon after.
        """
        self.start(self.ann)
        self.dials(0.5)
        caller = self.greet(self.ann, self.bob.identity, hello("bob", knows=True))

        caller.say(Bye(code="exit"))
        self.network.settle()

        self.assertIsNotNone(caller.reason)
        self.assertEqual([ExitReceived(self.bob.key, "bob", 1000.5)], self.ann.told(ExitReceived))
        self.assertEqual([], self.dials(19))
        self.assertTrue(self.dials(2))

    def test_whoever_rests_is_dialled_after_half_a_minute(self) -> None:
        """
        Who cannot keep what we say for now is given time.
        """
        self.start(self.ann)
        self.dials(0.5)
        caller = self.greet(self.ann, self.bob.identity, hello("bob", knows=True))

        caller.say(Bye(code="rest", text="Nothing can be stored here for now."))
        self.network.settle()

        self.assertEqual([], self.dials(29))
        self.assertTrue(self.dials(2))
        self.assertEqual([], self.ann.told(ExitReceived))

    def test_slow_address_holds_up_nobody_who_is_elsewhere(self) -> None:
        """
        All addresses are tried at once, and the first that answers is enough.
        """
        silent = Address("203.0.113.9", PORT)
        self.network.silent_hosts.add(silent.host)
        self.ann.contacts.met(self.bob.key, "bob", silent, 0.0)
        self.start(self.ann, self.bob)
        self.jitter = 1e9

        sent = self.sent(self.ann, self.bob, "hello")

        self.assertIn(silent, self.network.dialled)
        self.assertEqual(Progress.DELIVERED, sent.progress)
        self.assertEqual(["hello"], self.bob.heard)
        self.assertEqual([], self.network.dials)

    def test_texts_to_who_does_not_answer_dial_once(self) -> None:
        """
        Those who want the same contact wait for the same dial, and one who gives up for nothing.
        """
        self.network.silent_hosts.add(self.bob.address.host)
        self.start(self.ann)
        self.times.clear()

        sendings = [self.say(self.ann, self.bob, f"text {number}") for number in range(300)]
        sendings[1].cancel()

        self.assertEqual(1, len(self.times))
        self.failureResultOf(sendings.pop(1), NotSent)
        self.pass_time(DIAL_TIMEOUT)
        self.assertEqual(
            {Progress.WAITING}, {self.successResultOf(sending).progress for sending in sendings}
        )
        # And once more by itself, since somebody wants them.
        self.assertEqual(2, len(self.times))

    def test_several_addresses_of_one_node_lead_to_one_session(self) -> None:
        """
        Where all of them answer, one is dialled, and the others are let be.
        """
        self.start(self.ann, self.bob)
        also = Address(self.bob.machine.host, PORT + 1)
        factory = self.network._ports[self.bob.address]
        self.network.listenTCP(also.port, factory, interface=also.host)
        self.ann.contacts.met(self.bob.key, "bob", also, 0.0)

        self.sent(self.ann, self.bob, "hello")

        self.assertEqual(["hello"], self.bob.heard)
        self.assertEqual(1, len(self.wires_between(self.ann, self.bob)))
        # Each was asked, and one of them called.
        self.assertEqual(
            3, len([there for there in self.network.dialled if there.host == also.host])
        )
        self.network.unlisten(also)

    def test_who_is_there_need_not_be_reached(self) -> None:
        """
        Whom we have a session with is got hold of at once.
        """
        self.start(self.ann, self.bob)
        self.sent(self.ann, self.bob, "hello")

        reached = self.successResultOf(self.ann.node._sessions.reach(self.bob.key))

        self.assertIs(self.ann.link_to(self.bob), reached)

    def test_address_of_somebody_else_is_passed_over(self) -> None:
        """
        At an old address answers another node: nothing is said to it, and nobody is bothered.
        """
        other = Impostor(identity_of("other"))
        self.network.listenTCP(PORT, other, interface=OUTSIDE)
        self.ann.contacts.met(self.bob.key, "bob", ELSEWHERE, 0.0)
        self.start(self.ann, self.bob)

        self.sent(self.ann, self.bob, "hello")

        self.assertEqual([], other.sessions)
        self.assertEqual([], self.ann.node.callers())

    def test_hints_are_tried_at_once_and_bounded(self) -> None:
        """
        A new hint is dialled without waiting; the same one again is no news; old ones are dropped.
        """
        self.start(self.ann)
        self.dials(0.1)
        hints = [Address("203.0.113.1", port) for port in range(1, MOST_HINTS + 3)]

        self.ann.node._sessions.hint(self.bob.key, (hints[0],))
        self.assertEqual(2, len(self.dials(0.1)))
        self.ann.node._sessions.hint(self.bob.key, (hints[0],))
        self.assertEqual([], self.dials(0.1))
        for there in hints[1:]:
            self.ann.node._sessions.hint(self.bob.key, (there,))
        self.dials(0.1)

        self.assertEqual(
            tuple(hints[::-1][:MOST_HINTS]), self.ann.node._sessions._hints[self.bob.key]
        )

    def test_hint_of_a_stranger_is_not_dialled(self) -> None:
        """
        Only those whom we know are looked for.
        """
        self.start(self.ann)
        self.network.dialled.clear()

        self.ann.node._sessions.hint(MALLORY.key, (ELSEWHERE,))
        self.dials(5)

        self.assertNotIn(ELSEWHERE, self.network.dialled)

    def test_contact_without_an_address_is_not_dialled(self) -> None:
        """
        Nobody can be looked for nowhere.
        """
        carol = self.make("carol")
        carol.contacts.accept(self.bob.key, "bob", 0.0)
        self.start(carol)

        failure = self.failureResultOf(carol.node.connect(self.bob.key, manual=True), NotSent)

        self.assertEqual(
            f"Not reached: {self.bob.key.short} answers at none of its addresses. "
            "It is connected as soon as it is back.",
            failure.getErrorMessage(),
        )
        self.assertEqual([], self.network.dials)

    def test_new_address_is_found(self) -> None:
        """
        When somebody comes back from another address, both know it from then on.
        """
        self.start(self.ann, self.bob)
        self.network.settle_until(lambda: bool(self.ann.node._sessions.live))
        self.network.settle()
        self.kill(self.bob)
        caller = self.greet(self.ann, self.bob.identity, hello("bob", PORT, dial=2, knows=True))

        self.assertEqual(ELSEWHERE, self.ann.node.peers.connected()[0].address)
        self.network.listenTCP(PORT, Impostor(self.bob.identity), interface=OUTSIDE)
        caller.end.abortConnection()
        self.network.dialled.clear()
        self.dials(3)

        self.assertIn(ELSEWHERE, self.network.dialled)


class RoommatesTests(SessionsTestCase):
    """
    Those who are in a room and no contacts, and have to find each other without whom both know.
    """

    @override
    def setUp(self) -> None:
        """
        Ann has brought Bob and Cy into a room, who have met there, and is gone.
        """
        super().setUp()
        ann, self.bob, self.cy = (self.make(name) for name in ("ann", "bob", "cy"))
        self.acquaint(ann, self.bob)
        self.acquaint(ann, self.cy)
        self.start(ann, self.bob, self.cy)
        self.pass_time(5)
        made: Deferred[RoomRecord] = ann.node.make_room("garden")
        self.network.settle()
        self.room = RoomId(self.successResultOf(made).room)
        for person in (self.bob, self.cy):
            ann.node.add_to(self.room, person.key)
            self.pass_time(1)
            person.node.join(self.room)
            self.pass_time(2)
        self.link = self.bob.link_to(self.cy)
        self.stop(ann)

    def restart(self, person: Person, *, kept: list[Contact] | None = None) -> Person:
        """
        Let somebody begin anew, with what is on their disk.
        """
        again = self.make(person.name, journal=MemoryJournal(person.journal))
        again.contacts = Contacts(person.kept if kept is None else kept)
        again.node = make_node(
            again.machine,
            PORT,
            person.name,
            contacts=again.contacts,
            journal=again.journal,
            keep_contacts=again.keep,
        )
        again.node.subscribe(again.events.append)
        self.start(again)
        return again

    def assert_reached(self, one: Person, other: Person) -> None:
        """
        What one says in the room reaches the other within a minute.
        """
        sending = one.node.send_text(self.room, "are you there?")
        self.pass_time(60)
        self.successResultOf(sending)
        self.assertEqual(["are you there?"], [event.text for event in other.told(RoomTextReceived)])
        self.assertIsNone(one.contacts.find(other.key))

    def test_both_restarted_find_each_other(self) -> None:
        """
        Where each was is on the disk.
        """
        for person in (self.bob, self.cy):
            self.stop(person)

        bob, cy = self.restart(self.bob), self.restart(self.cy)

        self.assert_reached(bob, cy)

    def test_either_one_who_remembers_is_enough(self) -> None:
        """
        Both the one that had dialled and the one that was dialled know where the other was.
        """
        for forgetful, mindful in ((self.bob, self.cy), (self.cy, self.bob)):
            self.setUp()
            bob, cy = self.bob, self.cy
            for person in (bob, cy):
                self.stop(person)
            kept = {bob.name: bob.kept, cy.name: cy.kept}
            kept[forgetful.name] = [one for one in kept[forgetful.name] if not one.is_roommate]

            bob, cy = (self.restart(one, kept=kept[one.name]) for one in (bob, cy))

            self.assertEqual((), (bob if mindful.name == "cy" else cy).contacts.where(mindful.key))
            self.assert_reached(bob, cy)
            for person in list(self.people):
                self.stop(person)

    def test_nobody_remembered_is_found_on_the_network(self) -> None:
        """
        Roommates are recognised by what they announce, as contacts are.
        """
        for person in (self.bob, self.cy):
            self.stop(person)
        bob, cy = self.restart(self.bob, kept=[]), self.restart(self.cy, kept=[])
        self.pass_time(30)
        self.assertEqual({}, bob.node._sessions.live)

        salt = bytes(16)
        bob.node.records_changed([Record("cy", salt, hint_of(cy.key, salt), (cy.address,))])

        self.assert_reached(bob, cy)

    def test_somebody_else_at_that_address_is_told_nothing(self) -> None:
        """
        It is a hint where to dial and proves nothing: who answers has to prove the key.
        """
        for person in (self.bob, self.cy):
            self.stop(person)
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=self.cy.machine.host)

        bob = self.restart(self.bob)
        self.pass_time(30)

        self.assertTrue(impostor.calls)
        self.assertEqual([], impostor.sessions)
        self.assertEqual([], bob.node.callers())
        self.assertIsNone(bob.node._acquaintances.who_belongs_at(self.cy.address))


class LargeRoomTests(PeopleTestCase):
    """
    Rooms in which not everybody has a session with everybody.
    """

    @override
    def setUp(self) -> None:
        """
        Take twenty for hundreds.
        """
        super().setUp()
        self.patch(rooms, "FULL_MESH", 8)
        self.patch(rooms, "NEIGHBOURS", 3)
        self.crowd(20)

    def crowd(self, size: int) -> None:
        """
        Make some who are in a room, of whom all know the founder, and nobody else anybody.
        """
        identities = [identity_of(f"member {number}") for number in range(size)]
        founder, *others = identities
        nonce = bytes(16)
        self.room = RoomId(room_of(founder.key, nonce))
        said = [Said(1000, *founding("big", nonce, "member 0"))]
        said += [Said(1000, *adding(one.key, f"member {n}")) for n, one in enumerate(others, 1)]
        _, entries = sign_run(founder, self.room.raw, 1, NOTHING, tuple(said))
        self.members: list[Person] = []
        for number in range(size):
            journal = MemoryJournal()
            journal.append(entries)
            journal.keep_room(
                RoomRecord(self.room.raw, Stay.JOINED, "big", founder.key, founder.key)
            )
            machine = MemoryHost(self.network, f"198.51.100.{number + 1}")
            person = Person(f"member {number}", machine, Contacts(), journal)
            self.members.append(person)
        for person in self.members[1:]:
            self.acquaint(self.members[0], person)
        for person in self.members:
            person.node = make_node(
                person.machine,
                PORT,
                person.name,
                contacts=person.contacts,
                journal=person.journal,
                keep_contacts=person.keep,
            )
            person.node.subscribe(person.events.append)

    def sessions_of(self, people: list[Person]) -> list[int]:
        """
        How many sessions each has.
        """
        return [len(person.node._sessions.live) for person in people]

    def assert_all_hear(self, people: list[Person], text: str) -> None:
        """
        What one of them says in the room is shown to all the others within minutes.
        """
        people[0].node.send_text(self.room, text)
        self.pass_time(2 * exchange.REPEAT_AFTER)
        for person in people[1:]:
            self.assertEqual(1, [one.text for one in person.told(RoomTextReceived)].count(text))

    def test_each_has_sessions_with_its_neighbours_alone(self) -> None:
        """
        Everybody hears everything, at the price of a few sessions each.
        """
        self.start(*self.members)
        self.pass_time(120)

        # Beside the three that it dials and those that dial it, the founder, who knows everybody.
        numbers = self.sessions_of(self.members[1:])
        self.assertGreaterEqual(min(numbers), rooms.NEIGHBOURS)
        self.assertLessEqual(sum(numbers) / len(numbers), 2 * rooms.NEIGHBOURS + 2)
        self.assertLessEqual(max(numbers), 3 * rooms.NEIGHBOURS + 1)
        for speaker in (0, 7):
            people = [*self.members[speaker:], *self.members[:speaker]]
            self.assert_all_hear(people, f"by {speaker}")

    def test_those_who_are_left_find_each_other(self) -> None:
        """
        Where most are gone, the founder among them, each one's next ones on the ring are farther.
        """
        self.start(*self.members)
        self.pass_time(120)
        left = self.members[3::4]

        for person in self.members:
            if person not in left:
                self.kill(person)
                self.network.silent_hosts.add(person.machine.host)
        self.pass_time(600)

        self.assertGreaterEqual(min(self.sessions_of(left)), rooms.NEIGHBOURS)
        self.assert_all_hear(left, "who is left?")

    def test_those_who_come_first_find_each_other(self) -> None:
        """
        Where only some come, and the founder is one of them, they are told where the others are.
        """
        some = self.members[0:5]
        self.network.silent_hosts.update(one.machine.host for one in self.members[5:])

        self.start(*some)
        self.pass_time(600)

        self.assertEqual([4] * 5, self.sessions_of(some))
        self.assert_all_hear(some, "who is there?")

    def test_hints_of_others_are_remembered_and_not_dialled(self) -> None:
        """
        Of all about whom we are told in one breath the neighbours are dialled; the rest may be one.
        """
        one = self.members[0]
        for person in self.members[1:]:
            one.contacts.forget(person.key)
        self.network.silent_hosts.update(person.machine.host for person in self.members[1:])
        self.start(one)
        self.pass_time(60)
        self.network.dialled.clear()
        ring = sorted(person.key for person in self.members)
        place = ring.index(one.key)
        after = ring[place + 1 :] + ring[:place]
        addresses = {person.key: person.address for person in self.members}

        for key in reversed(after):
            one.node._sessions.hint(key, (addresses[key],))
        self.pass_time(0.1)

        first = {addresses[key] for key in after[: rooms.NEIGHBOURS]}
        self.assertEqual(first, set(self.network.dialled))
        self.assertEqual(set(after), set(one.node._sessions._hints))
        # They are not there, and so the others come next.
        self.pass_time(len(after) * DIAL_TIMEOUT)
        self.assertEqual({addresses[key] for key in after}, set(self.network.dialled))

    def test_hints_have_a_bound(self) -> None:
        """
        Of too many those go that are no contacts, the one that was told of first first.
        """
        self.patch(sessions, "MOST_HINTED", 5)
        one, friend, *others = self.members
        others = others[:6]
        for person in others:
            one.contacts.forget(person.key)

        for person in (friend, *others):
            one.node._sessions.hint(person.key, (person.address,))

        kept = [friend.key, *(person.key for person in others[2:])]
        self.assertEqual(kept, list(one.node._sessions._hints))


class DoorTests(SessionsTestCase):
    """
    Strangers, and how many of them.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann and Bob meet.
        """
        super().setUp()
        self.ann, self.bob = self.meet("ann", "bob")

    def come(self, number: int, host: str = OUTSIDE) -> SessionCaller:
        """
        Let one more stranger come.
        """
        return self.greet(self.ann, identity_of(f"stranger {number}"), host=host)

    def assert_full(self, caller: SessionCaller) -> None:
        """
        A stranger was told that there is no room.
        """
        self.assertEqual(
            Bye(code="full", text="Too many strangers are at the door."), caller.frames[-1]
        )
        self.assertIsNotNone(caller.reason)

    def test_strangers_of_one_address_have_a_bound(self) -> None:
        """
        One address fills no more than its share, others still find room, and friends need none.
        """
        inside = [self.come(number) for number in range(MOST_STRANGERS_PER_HOST)]
        self.pass_time(2)

        self.assert_full(self.come(100))
        self.assertIsNone(self.come(101, "192.0.2.8").reason)

        self.pass_time(2)
        inside[0].end.loseConnection()
        self.network.settle()
        self.assertIsNone(self.come(102).reason)
        self.assert_talk(self.ann, self.bob)

    def test_strangers_in_all_have_a_bound(self) -> None:
        """
        Together they fill no more than the door.
        """
        self.patch(sessions, "MOST_STRANGERS", 3)
        self.assertEqual(128, MOST_STRANGERS)
        for number in range(3):
            self.assertIsNone(self.come(number, f"192.0.2.{number}").reason)

        self.assert_full(self.come(9, "192.0.2.9"))

        self.assert_talk(self.ann, self.bob)
        self.stop(self.bob)
        bob = self.make("bob")
        self.acquaint(self.ann, bob)
        self.start(bob)
        self.network.settle_until(lambda: bool(self.wires_between(self.ann, bob)))
        self.network.settle()
        self.assert_talk(self.ann, bob)

    def test_stranger_waits_ten_minutes_at_most(self) -> None:
        """
        Then it is sent away, and its knock stays.
        """
        caller = self.come(1)
        caller.say(Knock(text="It is me"))

        while self.network.seconds() < 1000 + LONGEST_STRANGER - 5:
            self.pass_time(4)
            caller.say(Pong())
        self.network.settle()
        self.assertIsNone(caller.reason)
        self.pass_time(6)

        self.assertEqual(Bye(code="later", text="Nobody has let you in."), caller.frames[-1])
        self.assertIsNotNone(caller.reason)
        self.assertEqual(["It is me"], [waiting.text for waiting in self.ann.node.callers()])
        self.assert_talk(self.ann, self.bob)

    def test_stranger_that_is_let_in_waits_no_longer(self) -> None:
        """
        Who is let in may stay, and makes room at the door.
        """
        caller = self.come(1)
        caller.say(Knock(text="It is me"))
        self.network.settle()
        (waiting,) = self.ann.node.callers()

        self.ann.node.decide(waiting.key, Decision.ACCEPT, waiting)
        self.network.settle()

        self.assertIsInstance(caller.frames[-1], Have)
        self.assertEqual({}, self.ann.node._sessions._strangers)
        self.assertEqual([], self.ann.node.callers())
        while self.network.seconds() < 1000 + LONGEST_STRANGER + 10:
            self.pass_time(4)
            caller.say(Pong())
        self.assertIsNone(caller.reason)

    def test_too_many_strangers_in_a_short_time_are_dropped(self) -> None:
        """
        Handshakes that lead to nobody we know are counted for their address, and for no other.
        """
        self.patch(doorman, "STRANGERS_AT_ONCE", 3)
        self.assertEqual(64, STRANGERS_AT_ONCE)
        carol, dave = self.make("carol"), self.make("dave")
        self.acquaint(carol, dave)
        self.start(carol, dave)
        self.network.settle_until(lambda: bool(self.wires_between(carol, dave)))
        for number in range(3):
            self.greet(carol, identity_of(f"stranger {number}"))

        with capturedLogs() as events:
            refused = self.greet(carol, identity_of("stranger 4"))
        reasons = [event.get("reason") for event in events]
        self.assertIn("it led to too many sessions with nobody we know", reasons)
        self.assertIsNotNone(refused.reason)
        self.assertEqual(b"", refused.heard)
        self.assertIsNone(self.greet(carol, identity_of("stranger 5"), host="192.0.2.8").reason)
        self.pass_time(1.1)

        self.assertIsNone(self.greet(carol, identity_of("stranger 6")).reason)
        self.assert_talk(carol, dave)

    def test_known_ones_are_not_counted_as_strangers(self) -> None:
        """
        Whoever is known may come as often as they like.
        """
        self.ann.contacts.accept(MALLORY.key, "Mallory", 0.0)

        for number in range(STRANGERS_AT_ONCE + 5):
            caller = self.greet(self.ann, greeting=hello(dial=number + 1))

        self.assertIsNone(caller.reason)


class HandshakeBoundsTests(SessionsTestCase):
    """
    Handshakes that are never finished.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann and Bob meet.
        """
        super().setUp()
        self.ann, self.bob = self.meet("ann", "bob")

    def begin(self, host: str) -> SessionCaller:
        """
        Begin a handshake, and say no more.
        """
        caller = self.call(self.ann, host)
        caller.end.write(b"\x16\x03\x01\x02\x00\x01")
        self.network.settle()
        return caller

    def test_half_finished_by_the_hundred_disturb_nobody(self) -> None:
        """
        They have a bound for each address and in all; honest ones go on, and soon all are gone.
        """
        with capturedLogs() as events:
            begun = [
                self.begin(f"192.0.2.{number // (MOST_HANDSHAKES_PER_HOST + 10)}")
                for number in range(400)
            ]
        inside = [caller for caller in begun if caller.reason is None]
        self.assertEqual(MOST_HANDSHAKES, len(inside))
        reasons = [event["reason"] for event in events if "reason" in event]
        self.assertIn("it has 64 unfinished handshakes already", reasons)
        self.assertIn("there are 256 unfinished handshakes already", reasons)
        self.assert_talk(self.ann, self.bob)

        self.pass_time(LONGEST_HANDSHAKE)

        self.assertTrue(all(caller.reason is not None for caller in begun))
        self.assertIsNone(self.greet(self.ann, host="203.0.113.1").reason)
        self.assert_talk(self.ann, self.bob)

    def test_dripping_handshake_has_five_seconds(self) -> None:
        """
        Bytes that come slowly give it no more time, nor does a finished handshake without a hello.
        """
        dripping, silent = self.begin(OUTSIDE), self.call(self.ann)
        silent.shake_hands()
        for _ in range(4):
            self.pass_time(1)
            dripping.end.write(b"\x00")
        self.network.settle()
        self.assertEqual([None, None], [dripping.reason, silent.reason])

        self.pass_time(1.1)

        self.assertIsNotNone(dripping.reason)
        self.assertIsNotNone(silent.reason)
        self.assert_talk(self.ann, self.bob)


class BreachTests(SessionsTestCase):
    """
    Frames that break the rules.
    """

    def assert_ends(self, line: bytes) -> None:
        """
        That line ends the session, and what comes behind it in one piece is not heard either.
        """
        self.setUp()
        ann, bob = self.meet("ann", "bob")
        caller = self.greet(ann)
        with capturedLogs() as events:
            caller.end.write(line + b"\n" + encode_frame(Knock(text="hello")) + b"\n")
            self.network.settle()

        self.assertIsNotNone(caller.reason)
        self.assertNotIn(MALLORY.key, ann.node._sessions.live)
        self.assertEqual([], ann.node.callers())
        self.assertEqual([], ann.told(TextReceived))
        self.assertTrue(any(event.get("host") == OUTSIDE for event in events))
        self.assert_talk(ann, bob)
        for person in list(self.people):
            self.stop(person)

    def test_every_breach_ends_the_session_alone(self) -> None:
        """
        A line too long, no frame, a frame out of turn: the session is over, and no other one.
        """
        for line in (
            b"x" * (LARGEST_FRAME + 1),
            b'{"t":"ping",',
            b"\xff\xfe",
            encode_frame(hello()),
            encode_frame(Seek(salt="0" * 32, hints=())),
            encode_frame(Met(salt="0" * 32, peers={})),
        ):
            self.assert_ends(line)

    def test_second_knock_ends_the_session(self) -> None:
        """
        The first knock is heard, the second is one too many.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)

        caller.say(Knock(text="one"), Knock(text="two"))
        self.network.settle()

        self.assertIsNotNone(caller.reason)
        self.assertEqual(["one"], [waiting.text for waiting in ann.node.callers()])

    def test_something_before_the_hello_ends_the_handshake(self) -> None:
        """
        The first line has to be hello.
        """
        (ann,) = self.strangers("ann")
        for line in (b'{"t":"ping"}\n', b'{"t":"later"}\n', b"GET / HTTP/1.1\r\n"):
            caller = self.call(ann)
            caller.shake_hands()
            caller.end.write(line)
            self.network.settle()

            self.assertIsNotNone(caller.reason)
            self.assertEqual({}, ann.node._sessions.live)

    def test_unknown_frames_are_passed_over(self) -> None:
        """
        What a later version says does no harm.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)

        caller.end.write(b'{"t":"later"}\n{"t":"knock","text":"hello","more":1}\n')
        self.network.settle()

        self.assertIsNone(caller.reason)
        self.assertEqual(["hello"], [waiting.text for waiting in ann.node.callers()])

    def test_largest_line_is_read(self) -> None:
        """
        A line of exactly 64 KiB is a frame like any other.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)
        line = b'{"t":"ping"}'

        caller.end.write(line + b" " * (LARGEST_FRAME - len(line)) + b"\n")
        self.network.settle()

        self.assertEqual(Pong(), caller.frames[-1])


class EndTests(SessionsTestCase):
    """
    Sessions that end, and nodes that stop.
    """

    def test_stop_says_goodbye(self) -> None:
        """
        A node that leaves says exit in its sessions.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)

        self.stop(ann)

        self.assertEqual(Bye(code="exit", text="Goodbye."), caller.frames[-1])
        self.assertIsNotNone(caller.reason)

    def test_session_opened_after_the_exit_is_ended_by_the_stop(self) -> None:
        """
        Who comes between the exit and the stop is told that the node stops.
        """
        (ann,) = self.strangers("ann")
        self.successResultOf(ann.node.leave())
        caller = self.greet(ann)

        self.stop(ann)

        self.assertEqual(Bye(code="stop", text="The node is stopping."), caller.frames[-1])

    def test_greeting_while_the_node_stops_holds_nobody_up(self) -> None:
        """
        A handshake that is finished while others are sent away ends at once.
        """
        (ann,) = self.strangers("ann")
        self.successResultOf(ann.node.leave())
        slow, late = self.greet(ann), self.call(ann)
        late.shake_hands()
        self.network.settle()
        slow.end.is_paused = True
        late.say(hello())

        self.people.remove(ann)
        stopped = ann.node.stopService()
        self.network.settle()
        self.assertNoResult(stopped)
        self.assertIsNotNone(late.reason)
        self.pass_time(LONGEST_CLOSE)

        self.successResultOf(stopped)
        slow.end.is_paused = False
        self.network.settle()
        self.assertEqual([], self.network.connections)

    def test_stop_within_our_own_handshake_leaves_nothing_open(self) -> None:
        """
        Whom we are just dialling is let go of.
        """
        impostor = Impostor()
        impostor.is_deaf = True
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        (ann,) = self.strangers("ann")
        sending = self.say(ann, ELSEWHERE, "hello")
        self.assertNoResult(sending)

        self.stop(ann)

        self.failureResultOf(sending, NotSent)
        self.assertEqual([], self.network.connections)

    def test_stop_while_a_contact_is_looked_for_leaves_nothing_open(self) -> None:
        """
        Nor do those go on who are dialled again and again.
        """
        for is_deaf in (True, False):
            impostor = Impostor(identity_of("bob"))
            impostor.is_deaf = is_deaf
            impostor.closes = is_deaf
            self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
            ann = self.make("ann")
            ann.contacts.accept(impostor.identity.key, "bob", 0.0)
            ann.contacts.met(impostor.identity.key, "bob", ELSEWHERE, 0.0)
            self.start(ann)
            self.network.settle_until(lambda: bool(self.network.connections))

            self.stop(ann)

            self.assertEqual([], [wire for wire in self.network.connections if wire[0].producer])
            for wire in self.network.connections:
                self.network.cut(wire)
            self.network.unlisten(ELSEWHERE)

    def test_contender_is_ended_by_the_exit_and_by_the_stop(self) -> None:
        """
        One that waits for the place of another gets none where there is none.
        """
        for leaves_first in (False, True):
            ann = self.make("ann")
            self.start(ann)
            lower = next(
                identity
                for identity in (identity_of(f"lower {number}") for number in range(99))
                if identity.key < ann.key
            )
            if leaves_first:
                self.successResultOf(ann.node.leave())
            older = self.greet(ann, lower, hello(dial=2))
            newer = self.greet(ann, lower, hello(dial=1))
            now = self.network.seconds()

            self.stop(ann)

            self.assertEqual(now, self.network.seconds())
            self.assertIsNotNone(older.reason)
            self.assertIsNotNone(newer.reason)

    def test_exit_waits_no_longer_for_those_who_come_again(self) -> None:
        """
        Who opens one session after the other keeps nobody from leaving in two seconds.
        """
        (ann,) = self.strangers("ann")
        caller = self.greet(ann)
        caller.end.is_paused = True
        left = ann.node.leave()
        self.network.settle()
        self.assertNoResult(left)
        self.greet(ann, identity_of("somebody"))
        self.pass_time(LONGEST_GOODBYE - 0.1)
        self.assertNoResult(left)

        self.pass_time(0.1)

        self.successResultOf(left)
        caller.end.is_paused = False
        self.network.settle()
        gc.collect()
        self.assertEqual([], self.flushLoggedErrors())

    def test_greeting_with_a_goodbye_is_no_session(self) -> None:
        """
        Whoever greets and has no room for us is one who is away: the text waits.
        """
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        (ann,) = self.strangers("ann")
        sending = self.say(ann, ELSEWHERE, "hello")

        impostor.calls[-1].say(hello(), Bye(code="full"))
        self.network.settle()

        self.assertEqual(Progress.AT_THE_DOOR, self.successResultOf(sending).progress)
        self.assertEqual({}, ann.node._sessions.live)
        self.assertEqual([], ann.node.peers.connected())

    def test_goodbye_in_place_of_a_greeting_is_not_trusted(self) -> None:
        """
        Whoever says goodbye at once does not talk with us.
        """
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        (ann,) = self.strangers("ann")
        sending = self.say(ann, ELSEWHERE, "hello")

        impostor.calls[-1].say(Bye(code="full"))
        self.network.settle()

        self.failureResultOf(sending, NotTrusted)
        self.assertIsNone(ann.contacts.find(MALLORY.key))

    def test_greeting_tells_who_and_where_we_are(self) -> None:
        """
        What stands in the greeting is what we are called, where we listen, and which dial it is.
        """
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        (ann,) = self.strangers("ann")
        numbers = []
        for _ in range(2):
            self.say(ann, ELSEWHERE, "hello").addErrback(lambda _: None)
            (greeting,) = impostor.calls[-1].frames
            assert isinstance(greeting, Hello)
            numbers.append(greeting.dial)
            self.assertEqual(("ann", PORT, False), (greeting.name, greeting.port, greeting.knows))
            self.pass_time(LONGEST_HANDSHAKE)

        self.assertEqual(sorted(set(numbers)), numbers)
