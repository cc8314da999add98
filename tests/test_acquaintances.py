"""
Acquaintances: who is let in, who waits at the door, and what the person decides about them.
"""

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
from twistedchat import acquaintances
from twistedchat.core.addresses import Address
from twistedchat.core.errors import ChatError, NotSent, NotTrusted, StoreError
from twistedchat.core.events import (
    CallerCame,
    LetIn,
    PeerRemoved,
    PlainTextReceived,
    Progress,
    SessionOpened,
    TextReceived,
    TextsDelivered,
    TextsStranded,
)
from twistedchat.core.frames import Bye, Knock
from twistedchat.core.history import RoomRecord
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.invites import Invite
from twistedchat.core.roster import RoomId
from twistedchat.core.trust import Caller, Contact, Contacts, Decision, Reason
from twistedchat.testing import OUTSIDE, identity_of

ELSEWHERE = Address(OUTSIDE, PORT)


class AcquaintancesTestCase(PeopleTestCase):
    """
    Ann, and whoever comes to her or is visited by her.
    """

    @override
    def setUp(self) -> None:
        """
        Start Ann's node.
        """
        super().setUp()
        self.ann = self.make("ann")
        self.start(self.ann)

    def visit(self, name: str = "bob") -> Person:
        """
        Start the node of somebody who does not know Ann.
        """
        person = self.make(name)
        self.start(person)
        return person

    def knock(
        self, text: str = "let me in", identity: Identity = MALLORY, name: str = "Mallory"
    ) -> SessionCaller:
        """
        Come to Ann's door by hand.
        """
        caller = self.greet(self.ann, identity, hello(name))
        caller.say(Knock(text=text))
        self.network.settle()
        return caller

    def decide(
        self, decision: Decision, caller: Caller | None = None, key: DeviceKey | None = None
    ) -> None:
        """
        Let Ann decide, and see that it was kept.
        """
        whom = caller.key if caller else key
        assert whom is not None
        self.successResultOf(self.ann.node.decide(whom, decision, caller))
        self.network.settle()
        self.assertEqual(self.ann.contacts.all(), self.ann.kept)

    @property
    def caller(self) -> Caller:
        """
        The only one at Ann's door.
        """
        (caller,) = self.ann.node.callers()
        return caller

    def contact(self, key: DeviceKey) -> Contact:
        """
        A contact of Ann's.
        """
        contact = self.ann.contacts.find(key)
        assert contact is not None
        return contact


class FirstUseTests(AcquaintancesTestCase):
    """
    Trust on first use, and letting in.
    """

    def test_chosen_address_is_trusted_on_first_use(self) -> None:
        """
        Whoever answers where the person chose to call is known from then on, and by that address.
        """
        bob = self.visit()

        sent = self.sent(self.ann, bob.address, "hello")

        self.assertEqual((bob.key, Progress.AT_THE_DOOR), (sent.recipient, sent.progress))
        contact = self.contact(bob.key)
        self.assertEqual(
            ("bob", (bob.address,), False), (contact.name, contact.addresses, contact.is_verified)
        )
        self.assertEqual([contact], self.ann.kept)
        self.assertEqual([SessionOpened(contact, True, 1000.0)], self.ann.told(SessionOpened))
        self.assertEqual([bob.key], [peer.key for peer in self.ann.node.peers.connected()])

    def test_stranger_knocks_and_is_let_in(self) -> None:
        """
        What was said at the door comes once they are let in, and the other side is told.
        """
        bob = self.visit()
        self.sent(self.ann, bob.address, "hello")
        (caller,) = bob.node.callers()
        self.assertEqual(
            (Reason.KNOCK, self.ann.key, "ann", self.ann.address, "hello"),
            (caller.reason, caller.key, caller.name, caller.address, caller.text),
        )
        self.assertEqual([], bob.told(TextReceived))
        self.assertEqual([], bob.node.peers.active())

        self.successResultOf(bob.node.decide(caller.key, Decision.ACCEPT, caller))
        self.network.settle()

        self.assertEqual(["hello"], bob.heard)
        self.assertEqual([LetIn(self.contact(bob.key))], self.ann.told(LetIn))
        self.assertEqual(1, self.ann.told(TextsDelivered)[0].texts)
        self.assertEqual([], bob.node.callers())
        self.assertEqual([self.ann.key], [peer.key for peer in bob.node.peers.connected()])
        self.assert_talk(self.ann, bob)

    def test_long_text_knocks_with_its_beginning(self) -> None:
        """
        At the door 280 characters are heard; the rest comes when they are let in.
        """
        bob = self.visit()
        text = "word " * 200

        self.sent(self.ann, bob.address, text)

        (caller,) = bob.node.callers()
        self.assertEqual(text[:280], caller.text)
        bob.node.decide(caller.key, Decision.ACCEPT, caller)
        self.network.settle()
        self.assertEqual([text], bob.heard)

    def test_connecting_knocks_without_a_word(self) -> None:
        """
        Who only connects is at the door too; a text that follows is heard when they are let in.
        """
        bob = self.visit()

        self.ann.node.connect(bob.address, manual=True)
        self.network.settle()

        (caller,) = bob.node.callers()
        self.assertEqual("", caller.text)

    def test_no_room_for_another_contact_is_told(self) -> None:
        """
        Where there are too many contacts, nobody is trusted on first use, or at the door.
        """
        bob = self.visit()
        for door_first in (False, True):
            if door_first:
                self.say(bob, self.ann.address, "hello")
                self.assertIn(bob.key, self.ann.node._sessions.live)
            self.ann.contacts._most = 0

            failure = self.failureResultOf(self.say(self.ann, bob.address, "hello"), NotTrusted)

            self.assertEqual(
                "There are 0 contacts already: forget one with t first.", failure.getErrorMessage()
            )
            self.assertIsNone(self.ann.contacts.find(bob.key))

    def test_address_of_who_waits_at_the_door_lets_them_in(self) -> None:
        """
        Whoever goes to somebody who has come to them knows them by that.
        """
        bob = self.visit()
        self.say(bob, self.ann.address, "hello from bob")
        self.assertEqual("hello from bob", self.caller.text)

        self.sent(self.ann, bob.address, "hello from ann")

        self.assertEqual([], self.ann.node.callers())
        self.assertEqual(["hello from bob"], self.ann.heard)
        self.assertEqual(["hello from ann"], bob.heard)

    def test_dialled_after_the_knock_lets_them_in(self) -> None:
        """
        So it is when their session is over by then.
        """
        bob = self.visit()
        self.say(bob, self.ann.address, "hello from bob")
        self.network.cut(self.wires_between(self.ann, bob)[0])

        self.sent(self.ann, bob.address, "hello from ann")
        self.network.settle()

        self.assertEqual([], self.ann.node.callers())
        self.assertIsNotNone(self.ann.contacts.find(bob.key))

    def test_knock_of_somebody_known_is_nothing(self) -> None:
        """
        Who is let in already need not knock.
        """
        self.ann.contacts.accept(MALLORY.key, "Mallory", 0.0)

        self.knock()

        self.assertEqual([], self.ann.node.callers())

    def test_same_knock_again_is_no_news(self) -> None:
        """
        Who comes again and says the same is told once.
        """
        self.knock("one").end.abortConnection()
        self.network.settle()
        self.knock("one").end.abortConnection()
        self.network.settle()
        self.knock("two")

        self.assertEqual(["one", "two"], [event.caller.text for event in self.ann.told(CallerCame)])
        self.assertEqual("two", self.caller.text)


class StrangeKeyTests(AcquaintancesTestCase):
    """
    Another key where a contact was, and strangers with a contact's name.
    """

    def know(self, name: str = "bob") -> Person:
        """
        Let Ann know somebody from before, by their address; their node is not there.
        """
        person = self.make(name)
        self.acquaint(self.ann, person)
        return person

    def pretend(self, name: str, address: Address) -> Impostor:
        """
        Let Mallory listen somewhere, and call herself something.
        """
        impostor = Impostor()
        self.network.listenTCP(address.port, impostor, interface=address.host)
        return impostor

    def send_to(self, impostor: Impostor, address: Address, name: str) -> NotTrusted:
        """
        Send something to where Mallory listens, which must not reach her.
        """
        sending = self.ann.node.send_text(address, "a secret")
        self.network.settle()
        impostor.calls[-1].say(hello(name))
        self.network.settle()
        error = self.failureResultOf(sending, NotTrusted).value
        self.assertNotIn(b"secret", b"".join(call.heard for call in impostor.calls))
        self.assertEqual(Bye(code="stranger"), impostor.calls[-1].frames[-1])
        assert isinstance(error, NotTrusted)
        return error

    def test_new_key_at_a_known_address_is_refused_loudly(self) -> None:
        """
        Nothing is sent, both keys are told, and the person has to decide.
        """
        bob = self.know()
        impostor = self.pretend("bob", bob.address)

        error = self.send_to(impostor, bob.address, "bob")

        self.assertEqual(
            f"Not trusted: {bob.address} has the key {MALLORY.key.short} and calls itself bob, but "
            f"the bob that you know has the key {bob.key.short}. Type t and decide who it is.",
            str(error),
        )
        self.assertEqual(
            (Reason.NEW_KEY, MALLORY.key, "bob", bob.address, self.contact(bob.key)),
            (
                self.caller.reason,
                self.caller.key,
                self.caller.name,
                self.caller.address,
                self.caller.contact,
            ),
        )
        self.assertEqual([CallerCame(self.caller)], self.ann.told(CallerCame))
        self.assertIsNone(self.ann.contacts.find(MALLORY.key))

    def test_name_of_a_contact_elsewhere_is_refused_loudly(self) -> None:
        """
        A stranger with a contact's name is not let in by being called.
        """
        bob = self.know()
        impostor = self.pretend("BOB", ELSEWHERE)

        error = self.send_to(impostor, ELSEWHERE, "BOB")

        self.assertIn(f"has the key {MALLORY.key.short} and calls itself BOB", str(error))
        self.assertEqual((Reason.NAMESAKE, bob.key), (self.caller.reason, self.named(self.caller)))

    def named(self, caller: Caller) -> DeviceKey | None:
        """
        The key of the contact that somebody could be taken for.
        """
        return caller.contact.key if caller.contact else None

    def test_name_of_a_contact_at_the_door_is_told_as_that(self) -> None:
        """
        A stranger that calls with a contact's name is told as a namesake, whatever it says.
        """
        bob = self.know()

        self.knock("It is me, Bob", name="Bob")

        self.assertEqual((Reason.NAMESAKE, bob.key), (self.caller.reason, self.named(self.caller)))
        self.assertEqual("It is me, Bob", self.caller.text)

    def test_namesake_at_the_door_is_refused_when_visited(self) -> None:
        """
        Going to the address of such a one does not let it in either.
        """
        self.know()
        caller = self.greet(self.ann, MALLORY, hello("bob", PORT))
        impostor = self.pretend("bob", ELSEWHERE)

        failure = self.failureResultOf(self.say(self.ann, ELSEWHERE, "a secret"), NotTrusted)

        self.assertIn("and calls itself bob", failure.getErrorMessage())
        self.assertEqual(Reason.NAMESAKE, self.caller.reason)
        self.assertEqual([], impostor.sessions)
        self.assertNotIn(b"secret", caller.heard)

    def test_new_key_is_the_contact_with_a_new_key(self) -> None:
        """
        NEW_KEY: the old key is forgotten, the new one is not verified, and what waited is told.
        """
        bob = self.know()
        self.ann.contacts.verify(bob.key)
        self.sent(self.ann, bob, "one")
        self.sent(self.ann, bob, "two")
        impostor = self.pretend("bob", bob.address)
        self.send_to(impostor, bob.address, "bob")

        self.decide(Decision.NEW_KEY, self.caller)

        self.assertIsNone(self.ann.contacts.find(bob.key))
        contact = self.contact(MALLORY.key)
        self.assertEqual(
            ("bob", False, (bob.address,)), (contact.name, contact.is_verified, contact.addresses)
        )
        self.assertEqual([TextsStranded(contact, ("one", "two"))], self.ann.told(TextsStranded))
        self.assertEqual([], self.ann.node.callers())
        # It is dialled at once where it is.
        self.pass_time(0.1)
        self.assertGreater(len(impostor.sessions), 1)

    def test_new_key_of_a_namesake_at_the_door_lets_it_in(self) -> None:
        """
        The contact came back with a new key: its session goes on as a friend's.
        """
        bob = self.know()
        caller = self.knock("It is me", name="bob")

        self.decide(Decision.NEW_KEY, self.caller)

        self.assertIsNone(self.ann.contacts.find(bob.key))
        self.assertIsNone(caller.reason)
        link = self.ann.node._sessions.find(MALLORY.key)
        assert link is not None
        assert link.session is not None
        self.assertTrue(link.session.lets_them_in)
        self.assertEqual([], self.ann.told(TextsStranded))

    def test_new_key_without_a_contact_changes_nothing(self) -> None:
        """
        Where there is nobody whose key it could be, there is nothing to decide like that.
        """
        self.decide(Decision.NEW_KEY, key=MALLORY.key)

        self.assertEqual([], self.ann.contacts.all())

    def test_somebody_else_at_a_known_address_is_let_in_beside_the_contact(self) -> None:
        """
        SOMEBODY_ELSE: both are known, and the address is the new one's.
        """
        bob = self.know()
        self.send_to(self.pretend("carol", bob.address), bob.address, "carol")

        self.decide(Decision.SOMEBODY_ELSE, self.caller)

        self.assertEqual((), self.contact(bob.key).addresses)
        self.assertEqual("carol", self.contact(MALLORY.key).name)
        self.assertEqual([], self.ann.node.callers())

    def test_somebody_else_with_the_same_name_keeps_the_addresses(self) -> None:
        """
        Two people with one name are two contacts, each with what it had.
        """
        bob = self.know()
        self.knock("I am another Bob", name="bob")

        self.decide(Decision.SOMEBODY_ELSE, self.caller)

        self.assertEqual((bob.address,), self.contact(bob.key).addresses)
        self.assertEqual("bob", self.contact(MALLORY.key).name)

    def test_old_key_kept_sends_the_stranger_away_for_good(self) -> None:
        """
        KEEP_OLD: the caller goes, and is no news when it comes again.
        """
        self.know()
        caller = self.knock(name="bob")

        self.decide(Decision.KEEP_OLD, self.caller)

        self.assertEqual(Bye(code="stranger"), caller.frames[-1])
        self.assertEqual([], self.ann.node.callers())
        self.assertIsNone(self.ann.contacts.find(MALLORY.key))
        self.knock(name="bob")
        self.assertEqual([], self.ann.node.callers())

    def test_ignored_stays_at_the_door(self) -> None:
        """
        IGNORE: it is neither let in nor sent away, and can be let in later.
        """
        caller = self.knock()

        self.decide(Decision.IGNORE, self.caller)
        self.assertIsNone(caller.reason)
        self.assertIsNone(self.ann.contacts.find(MALLORY.key))

        self.decide(Decision.ACCEPT, self.caller)
        self.assertEqual([], self.ann.node.callers())
        self.assertIsNone(caller.reason)

    def test_every_caller_can_be_kept_out(self) -> None:
        """
        Whatever somebody is at the door for, BLOCK and KEEP_OLD leave the contact as it was.
        """
        for reason in (Reason.KNOCK, Reason.NAMESAKE, Reason.NEW_KEY):
            for decision in (Decision.BLOCK, Decision.KEEP_OLD):
                self.tearDown()
                self.setUp()
                bob = self.know()
                if reason is Reason.NEW_KEY:
                    self.send_to(self.pretend("carol", bob.address), bob.address, "carol")
                else:
                    self.knock(name="bob" if reason is Reason.NAMESAKE else "carol")
                caller = self.caller
                self.assertEqual(reason, caller.reason)
                if decision not in caller.decisions:
                    continue
                before = self.contact(bob.key)

                self.decide(decision, caller)

                self.assertEqual(before, self.contact(bob.key))
                self.assertEqual([], self.ann.node.callers())
                self.assertNotIn(MALLORY.key, self.ann.node._sessions.live)
                self.assertEqual(
                    decision is Decision.BLOCK, self.ann.contacts.is_blocked(MALLORY.key)
                )

    def test_blocked_is_sent_away_and_kept_out(self) -> None:
        """
        BLOCK: the session ends, the key is on no list, and it does not come in again.
        """
        for is_known in (False, True):
            if is_known:
                self.decide(Decision.FORGET, key=MALLORY.key)
                self.ann.contacts.accept(MALLORY.key, "Mallory", 0.0)
            caller = self.knock()
            self.assertIsNone(caller.reason)

            self.decide(Decision.BLOCK, key=MALLORY.key)

            self.assertIsNotNone(caller.reason)
            self.assertTrue(self.contact(MALLORY.key).is_blocked)
            self.assertEqual([], self.ann.node.peers.active())
            again = self.knock()
            self.assertIsNotNone(again.reason)
            self.assertEqual(b"", again.heard)
            self.pass_time(700)
            self.assertEqual([], self.network.connections)

    def test_blocked_address_is_not_sent_to(self) -> None:
        """
        Nothing goes to a blocked key, by key or by address.
        """
        self.ann.contacts.block(MALLORY.key, "Mallory", 0.0)
        impostor = self.pretend("Mallory", ELSEWHERE)

        by_address = self.failureResultOf(self.say(self.ann, ELSEWHERE, "hello"), NotTrusted)
        by_key = self.failureResultOf(self.ann.node.send_text(MALLORY.key, "hello"), NotTrusted)

        short = MALLORY.key.short
        self.assertEqual(
            f"Not sent: {ELSEWHERE} is blocked ({short}).", by_address.getErrorMessage()
        )
        self.assertEqual(
            f"Not sent: {short} is not a contact. Let it in with t first.",
            by_key.getErrorMessage(),
        )
        self.assertEqual([], impostor.sessions)

    def test_unblocked_is_let_in_again(self) -> None:
        """
        ACCEPT of a blocked key opens the door again, and we go and look for it.
        """
        bob = self.know()
        self.ann.contacts.met(bob.key, "bob", bob.address, 0.0)
        self.decide(Decision.BLOCK, key=bob.key)
        self.start(bob)
        self.pass_time(400)
        self.assertEqual([], self.wires_between(self.ann, bob))

        self.decide(Decision.ACCEPT, key=bob.key)
        self.pass_time(1)

        self.assert_talk(self.ann, bob)

    def test_forgotten_is_a_stranger_again(self) -> None:
        """
        FORGET: the session ends, and when it calls again it has to knock.
        """
        bob = self.know()
        self.start(bob)
        self.network.settle_until(lambda: bool(self.ann.node._sessions.live))
        self.network.settle()
        self.ann.events.clear()

        self.decide(Decision.FORGET, key=bob.key)

        self.assertEqual([], self.ann.contacts.all())
        self.assertEqual([PeerRemoved], [type(event) for event in self.ann.events])
        self.pass_time(500)
        self.assertEqual([], self.ann.node.callers())
        self.sent(bob, self.ann, "hello?")
        self.assertEqual(("hello?", Reason.KNOCK), (self.caller.text, self.caller.reason))
        self.assertEqual([], self.ann.heard)


class DowngradeTests(AcquaintancesTestCase):
    """
    A contact's address that no longer proves whose it is.
    """

    @override
    def setUp(self) -> None:
        """
        Let Ann know Bob, at whose address a classic program listens now.
        """
        super().setUp()
        self.bob = self.make("bob")
        self.acquaint(self.ann, self.bob)
        self.plain = self.network.listen_as(self.bob.address)

    def assert_refused(self, recipient: Address) -> None:
        """
        Nothing goes to that address.
        """
        failure = self.failureResultOf(self.say(self.ann, recipient, "a secret"), NotTrusted)
        self.assertEqual(
            f"Not sent: {self.bob.address} was 'bob' ({self.bob.key.short}), and now does not "
            "prove to be. It is never spoken to in plain. Decide with t who it is.",
            failure.getErrorMessage(),
        )
        self.assertEqual([], self.plain)

    def test_nothing_is_ever_said_in_plain(self) -> None:
        """
        A text to the address is refused, one to the key waits, and the person is told once.
        """
        self.assert_refused(self.bob.address)
        self.assert_refused(self.bob.address)
        self.assertEqual(Progress.WAITING, self.sent(self.ann, self.bob, "for you").progress)
        self.pass_time(1000)

        self.assertEqual([], self.plain)
        self.assertEqual(
            (Reason.DOWNGRADE, self.bob.key, self.bob.address),
            (self.caller.reason, self.caller.key, self.caller.address),
        )
        self.assertEqual(1, len(self.ann.told(CallerCame)))

    def test_name_that_leads_there_makes_no_difference(self) -> None:
        """
        By whatever name that address is reached, it is the same one.
        """
        self.ann.node._dialler._ask = lambda _: answered([self.bob.address.host])

        self.assert_refused(Address("bob.example", PORT))

        self.assertEqual(self.bob.address, self.caller.address)

    def test_new_key_behind_a_name_is_refused_too(self) -> None:
        """
        Another key at that address is a new key at a known address, by whatever name.
        """
        self.ann.node._dialler._ask = lambda _: answered([self.bob.address.host])
        self.network.unlisten(self.bob.address)
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=self.bob.address.host)

        sending = self.say(self.ann, Address("bob.example", PORT), "a secret")
        impostor.calls[-1].say(hello("carol"))
        self.network.settle()

        self.failureResultOf(sending, NotTrusted)
        self.assertEqual(
            (Reason.NEW_KEY, self.bob.address), (self.caller.reason, self.caller.address)
        )

    def test_plain_text_from_there_is_answered_in_plain_by_nobody(self) -> None:
        """
        Whoever speaks plain from a contact's address is heard, and told nothing, not even exit.
        """
        said = f"LISTENING_PORT:{PORT}|TEAM_NAME:bob|it is me".encode()
        end = self.network.call(PORT, self.bob.address.host, to=self.ann.machine.host)
        end.write(said)
        end.loseConnection()
        self.network.settle()
        self.assertEqual(["it is me"], [event.text for event in self.ann.told(PlainTextReceived)])

        self.assert_refused(self.bob.address)
        self.stop(self.ann)

        self.assertEqual([], self.plain)

    def test_somebody_else_there_may_be_spoken_to_in_plain(self) -> None:
        """
        SOMEBODY_ELSE: the address is the contact's no longer.
        """
        self.assert_refused(self.bob.address)

        self.decide(Decision.SOMEBODY_ELSE, self.caller)

        self.assertEqual((), self.contact(self.bob.key).addresses)
        self.sent(self.ann, self.bob.address, "hello")
        self.assertEqual(1, len(self.plain))

    def test_old_key_kept_is_not_asked_again(self) -> None:
        """
        KEEP_OLD: only the contact's key counts there, and that is no question any more.
        """
        self.assert_refused(self.bob.address)

        self.decide(Decision.KEEP_OLD, self.caller)
        self.assert_refused(self.bob.address)

        self.assertEqual([], self.ann.node.callers())
        self.network.unlisten(self.bob.address)
        self.start(self.bob)
        self.pass_time(1000)
        self.assert_talk(self.ann, self.bob)

    def test_contact_who_is_back_is_at_the_door_no_longer(self) -> None:
        """
        When the contact proves itself again, there is nothing left to decide.
        """
        self.assert_refused(self.bob.address)
        self.knock("I have nothing to do with that")
        self.network.unlisten(self.bob.address)
        self.start(self.bob)

        self.pass_time(500)

        self.assertEqual(Reason.KNOCK, self.caller.reason)
        self.assert_talk(self.ann, self.bob)

    def test_forgotten_contact_is_at_the_door_no_longer(self) -> None:
        """
        Where somebody is forgotten or blocked, there is nothing left to decide either.
        """
        self.knock("I have nothing to do with that")
        for decision in (Decision.BLOCK, Decision.FORGET):
            self.ann.contacts.accept(self.bob.key, "bob", 0.0)
            self.ann.contacts.met(self.bob.key, "bob", self.bob.address, 0.0)
            self.assert_refused(self.bob.address)
            self.assertEqual(
                [Reason.KNOCK, Reason.DOWNGRADE],
                [caller.reason for caller in self.ann.node.callers()],
            )

            self.decide(decision, key=self.bob.key)

            self.assertEqual(Reason.KNOCK, self.caller.reason)

    def test_where_a_contact_says_it_listens_nobody_is_spoken_to_in_plain(self) -> None:
        """
        Also an address that we never reached counts, once its owner has told it.
        """
        caller = self.greet(self.ann, self.bob.identity, hello("bob", 4444))
        caller.end.abortConnection()
        self.network.settle()
        claimed = Address(OUTSIDE, 4444)
        plain = self.network.listen_as(claimed)

        self.failureResultOf(self.say(self.ann, claimed, "a secret"), NotTrusted)

        self.assertEqual([], plain)
        self.decide(Decision.SOMEBODY_ELSE, self.caller)
        self.sent(self.ann, claimed, "hello")
        self.assertEqual(1, len(plain))

    def test_claimed_addresses_have_a_bound(self) -> None:
        """
        A contact that claims another address each time pushes off its own.
        """
        self.patch(acquaintances, "MOST_CLAIMED", 2)
        for port in (1, 2, 3):
            caller = self.greet(self.ann, self.bob.identity, hello("bob", port, dial=port))
            caller.end.abortConnection()
            self.network.settle()

        belongs = self.ann.node._acquaintances.who_belongs_at
        self.assertIsNone(belongs(Address(OUTSIDE, 1)))
        self.assertIsNotNone(belongs(Address(OUTSIDE, 2)))
        self.assertIsNotNone(belongs(Address(OUTSIDE, 3)))
        self.ann.contacts.block(self.bob.key, "bob", 0.0)
        self.assertIsNone(belongs(Address(OUTSIDE, 3)))


def answered(hosts: list[str]) -> Deferred[list[str]]:
    """
    What a resolver says.
    """
    found: Deferred[list[str]] = Deferred()
    found.callback(hosts)
    return found


class InviteTests(AcquaintancesTestCase):
    """
    Invites, and comparing words.
    """

    def test_invite_before_meeting_makes_a_verified_contact_that_is_dialled(self) -> None:
        """
        Whoever was invited knows the key, and meets exactly it.
        """
        bob = self.visit()
        invite = bob.node.invite()
        self.assertEqual(Invite(bob.key, "bob", (bob.address,)), invite)

        key = self.successResultOf(self.ann.node.use_invite(invite))
        self.pass_time(0.1)

        self.assertEqual(bob.key, key)
        self.assertTrue(self.contact(bob.key).is_verified)
        self.assertEqual((bob.address,), self.contact(bob.key).addresses)
        self.assertEqual(self.ann.contacts.all(), self.ann.kept)
        self.assertEqual(Progress.AT_THE_DOOR, self.sent(self.ann, bob, "hello").progress)

    def test_invite_after_meeting_verifies(self) -> None:
        """
        Who is known already becomes verified by it, and who waits at the door is let in.
        """
        bob = self.visit()
        self.say(bob, self.ann.address, "hello")

        self.successResultOf(self.ann.node.use_invite(bob.node.invite()))
        self.network.settle()

        self.assertEqual(["hello"], self.ann.heard)
        self.assertEqual([], self.ann.node.callers())
        self.assertTrue(self.contact(bob.key).is_verified)
        self.assertTrue(self.ann.node.peers.connected()[0].is_verified)

    def test_invite_of_ours_or_of_a_blocked_one_is_refused(self) -> None:
        """
        Our own invite is for others, and a blocked key stays blocked.
        """
        own = self.failureResultOf(self.ann.node.use_invite(self.ann.node.invite()), ChatError)
        self.assertEqual(
            "That is your own invite: give it to somebody else.", own.getErrorMessage()
        )
        self.ann.contacts.block(MALLORY.key, "Mallory", 0.0)

        blocked = self.failureResultOf(
            self.ann.node.use_invite(Invite(MALLORY.key, "Mallory")), ChatError
        )

        self.assertEqual(
            f"The key of that invite, {MALLORY.key.short}, is blocked: forget it with t first.",
            blocked.getErrorMessage(),
        )
        self.assertTrue(self.contact(MALLORY.key).is_blocked)

    def test_invite_leads_to_its_key_or_to_nobody(self) -> None:
        """
        Where somebody else answers at the invite's address, nothing is said to them.
        """
        impostor = Impostor()
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        bob = identity_of("bob").key

        self.successResultOf(self.ann.node.use_invite(Invite(bob, "bob", (ELSEWHERE,))))
        self.pass_time(5)

        self.assertEqual([], impostor.sessions)
        waiting = self.ann.node.send_text(bob, "a secret")
        self.network.settle()
        self.assertEqual(Progress.WAITING, self.successResultOf(waiting).progress)
        self.assertEqual([], impostor.sessions)

    def test_words_are_the_same_at_both_ends(self) -> None:
        """
        Both see the same six words, and comparing them verifies.
        """
        bob = self.visit()
        self.sent(self.ann, bob.address, "hello")
        ours = self.successResultOf(self.ann.node.words(bob.key))
        theirs = self.successResultOf(bob.node.words(self.ann.key))
        self.assertEqual(6, len(ours))
        self.assertEqual(ours, theirs)

        self.successResultOf(self.ann.node.verify(bob.key))

        self.assertTrue(self.contact(bob.key).is_verified)
        self.assertTrue(self.ann.node.peers.connected()[0].is_verified)
        self.assertEqual(self.ann.contacts.all(), self.ann.kept)


class KeepingTests(AcquaintancesTestCase):
    """
    What is written down.
    """

    def test_failure_is_told_to_who_decided(self) -> None:
        """
        A decision that cannot be kept says so, counts all the same, and is kept with the next.
        """
        self.ann.keep_error = StoreError("The disk is full.")

        failure = self.failureResultOf(
            self.ann.node.decide(MALLORY.key, Decision.BLOCK), StoreError
        )

        self.assertEqual("The disk is full.", failure.getErrorMessage())
        self.assertTrue(self.contact(MALLORY.key).is_blocked)
        self.ann.keep_error = None
        self.successResultOf(self.ann.node.decide(identity_of("x").key, Decision.FORGET))
        self.assertEqual(self.ann.contacts.all(), self.ann.kept)

    def test_failure_in_passing_is_logged(self) -> None:
        """
        Where nobody decided anything, it is a line in the log.
        """
        bob = self.visit()
        self.ann.keep_error = StoreError("The disk is full.")

        with capturedLogs() as events:
            self.sent(self.ann, bob.address, "hello")

        lines = [event for event in events if "kept" in (event.get("log_format") or "")]
        self.assertEqual(["The disk is full."], sorted({str(event["error"]) for event in lines}))
        self.ann.keep_error = None

    def test_stop_keeps_what_is_still_to_be_kept(self) -> None:
        """
        What could not be kept before is tried once more in the end.
        """
        self.ann.keep_error = StoreError("The disk is full.")
        self.failureResultOf(self.ann.node.decide(MALLORY.key, Decision.BLOCK), StoreError)
        self.ann.keep_error = None

        self.stop(self.ann)

        self.assertEqual(self.ann.contacts.all(), self.ann.kept)

    def test_nothing_new_is_not_written(self) -> None:
        """
        Where nothing has changed, nothing is written.
        """
        bob = self.visit()
        self.sent(self.ann, bob.address, "hello")
        self.ann.kept = []

        self.successResultOf(self.ann.node.decide(MALLORY.key, Decision.FORGET))

        self.assertEqual([], self.ann.kept)

    def test_unreadable_journal_leaves_the_decision_open(self) -> None:
        """
        Texts that wait for the old key are read first: where they cannot be, nothing is decided.
        """
        bob = self.make("bob")
        self.acquaint(self.ann, bob)
        self.sent(self.ann, bob, "one")
        self.knock(name="bob")
        self.ann.journal.error = StoreError("The disk is gone.")

        failure = self.failureResultOf(
            self.ann.node.decide(MALLORY.key, Decision.NEW_KEY, self.caller), StoreError
        )

        self.assertEqual("The disk is gone.", failure.getErrorMessage())
        self.assertIsNotNone(self.ann.contacts.find(bob.key))
        self.assertEqual(1, len(self.ann.node.callers()))
        self.ann.journal.error = None


class RoommatesTests(PeopleTestCase):
    """
    Where roommates are who are no contacts: written down, now and then, and forgotten.
    """

    @override
    def setUp(self) -> None:
        """
        Ann has brought Bob and Cy into a room, and Bob's disk counts what is written.
        """
        super().setUp()
        self.ann, self.bob, self.cy = (self.make(name) for name in ("ann", "bob", "cy"))
        self.acquaint(self.ann, self.bob)
        self.acquaint(self.ann, self.cy)
        self.start(self.ann, self.bob, self.cy)
        self.pass_time(5)
        made: Deferred[RoomRecord] = self.ann.node.make_room("garden")
        self.network.settle()
        self.room = RoomId(self.successResultOf(made).room)
        for person in (self.bob, self.cy):
            self.ann.node.add_to(self.room, person.key)
            self.pass_time(1)
            person.node.join(self.room)
            self.pass_time(2)
        self.bob.link_to(self.cy)

    def roommates(self, kept: list[Contact]) -> list[tuple[DeviceKey, tuple[Address, ...]]]:
        """
        Those who are none but that in what was written.
        """
        return [(one.key, one.addresses) for one in kept if one.is_roommate]

    def test_where_a_roommate_is_is_written_after_a_while(self) -> None:
        """
        Not with the session, but soon after, for all who came meanwhile.
        """
        self.assertEqual([], self.roommates(self.bob.kept))

        self.pass_time(acquaintances.KEEP_AFTER)

        self.assertEqual([(self.cy.key, (self.cy.address,))], self.roommates(self.bob.kept))
        self.assertEqual(self.bob.contacts.to_keep(), self.bob.kept)

    def test_same_roommate_again_is_not_written_again(self) -> None:
        """
        Sessions that come and go at one place are no news for the disk.
        """
        self.pass_time(acquaintances.KEEP_AFTER)
        self.bob.kept = []

        for _ in range(3):
            self.network.cut(wire_of(self.bob.link_to(self.cy), self.network))
            self.pass_time(2 * acquaintances.KEEP_AFTER)
            self.bob.link_to(self.cy)

        self.assertEqual([], self.bob.kept)

    def test_stop_writes_what_waits(self) -> None:
        """
        Whoever stops before that has lost nothing.
        """
        self.stop(self.bob)

        self.assertEqual([(self.cy.key, (self.cy.address,))], self.roommates(self.bob.kept))

    def test_disk_that_does_not_take_it_is_tried_again(self) -> None:
        """
        It is logged, and written with whatever is written next.
        """
        self.bob.keep_error = StoreError("The disk is full.")
        with capturedLogs() as events:
            self.pass_time(acquaintances.KEEP_AFTER)
        lines = [event for event in events if "kept" in (event.get("log_format") or "")]
        self.assertEqual(["The disk is full."], [str(event["error"]) for event in lines])
        self.bob.keep_error = None

        self.successResultOf(self.bob.node.verify(self.ann.key))

        self.assertEqual([(self.cy.key, (self.cy.address,))], self.roommates(self.bob.kept))

    def test_whoever_leaves_the_room_is_forgotten(self) -> None:
        """
        Where they are is no business of ours any more, on the disk neither.
        """
        self.pass_time(acquaintances.KEEP_AFTER)

        self.cy.node.leave_room(self.room)
        self.pass_time(acquaintances.KEEP_AFTER + 2)

        self.assertEqual((), self.bob.contacts.where(self.cy.key))
        self.assertEqual([], self.roommates(self.bob.kept))
        self.assertEqual([self.ann.key], [one.key for one in self.bob.kept])

    def test_whoever_is_none_at_the_start_is_forgotten(self) -> None:
        """
        As when the node was killed between the leaving and the writing.
        """
        dave = self.make("dave")
        dave.contacts.met_roommate(self.cy.key, self.cy.address)
        dave.kept = dave.contacts.to_keep()
        self.network.dialled.clear()

        self.start(dave)
        self.pass_time(acquaintances.KEEP_AFTER)

        self.assertEqual((), dave.contacts.where(self.cy.key))
        self.assertEqual([], self.network.dialled)
        self.assertEqual([], dave.kept)

    def test_stranger_at_the_door_who_comes_into_the_room_is_remembered(self) -> None:
        """
        The session was there before.
        """
        dave = self.make("dave")
        self.acquaint(self.ann, dave)
        self.start(dave)
        dave.contacts.accept(self.bob.key, "bob", 0.0)
        dave.contacts.met(self.bob.key, "bob", self.bob.address, 0.0)
        dave.node.connect(self.bob.key, manual=True)
        self.pass_time(2)
        self.bob.link_to(dave)
        self.assertEqual((), self.bob.contacts.where(dave.key))

        self.ann.node.add_to(self.room, dave.key)
        self.pass_time(2)

        self.assertEqual((dave.address,), self.bob.contacts.where(dave.key))

    def test_roommate_who_becomes_a_contact_is_kept_as_one(self) -> None:
        """
        From then on what counts is where they were reached.
        """
        self.successResultOf(
            self.bob.node.use_invite(Invite(self.cy.key, "cy", (self.cy.address,)))
        )

        self.assertEqual([], self.roommates(self.bob.kept))
        self.assertIsNotNone(self.bob.contacts.find(self.cy.key))


class ContactsTests(PeopleTestCase):
    """
    What a node shows of whom it knows.
    """

    def test_contacts_may_be_read(self) -> None:
        """
        The list of contacts is the one that it was given.
        """
        ann = self.make("ann")

        self.assertIsInstance(ann.node.contacts, Contacts)
        self.assertEqual([], ann.node.contacts.all())
        self.assertEqual([], ann.node.callers())
        self.failureResultOf(ann.node.send_text(MALLORY.key, "hello"), NotSent)
