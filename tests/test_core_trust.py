"""
Trust: what is made of a key, who is known, and who waits at the door.
"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import any_texts
from twistedchat.core.addresses import Address
from twistedchat.core.identity import DeviceKey
from twistedchat.core.trust import (
    MOST_ADDRESSES,
    MOST_CALLERS,
    MOST_CONTACTS,
    MOST_ROOMMATES,
    ROOMMATE_ADDRESSES,
    Caller,
    Contact,
    Contacts,
    Decision,
    Door,
    Reason,
    Standing,
    TooManyContacts,
    Verdict,
)

QUOKKA, PANDA, NUMBAT, MALLORY = (DeviceKey(bytes([number]) * 32) for number in (11, 22, 33, 44))
HOME = Address("10.0.0.1", 6101)
WORK = Address("10.0.0.2", 6101)
PHONE = Address("2001:db8::7", 6101)


def key_number(number: int) -> DeviceKey:
    """
    One of many keys.
    """
    return DeviceKey(number.to_bytes(32, "big"))


def known(**reached: Address | None) -> Contacts:
    """
    Contacts of whom we have reached some somewhere.
    """
    contacts = Contacts()
    for now, (name, address) in enumerate(reached.items()):
        key = {"quokka": QUOKKA, "panda": PANDA, "numbat": NUMBAT}[name]
        contacts.accept(key, name.title(), float(now))
        contacts.met(key, name.title(), address, float(now))
    return contacts


class JudgeTests(SynchronousTestCase):
    """
    `Contacts.judge`.
    """

    def test_contact_is_known_wherever_it_is(self) -> None:
        """
        The key decides: not where it answers, nor what it calls itself.
        """
        contacts = known(quokka=HOME, panda=WORK)
        quokka = contacts.find(QUOKKA)

        for name in ("Quokka", "Panda", "Mallory"):
            for dialled in (None, HOME, WORK, PHONE):
                self.assertEqual(
                    Verdict(Standing.KNOWN, quokka), contacts.judge(QUOKKA, name, dialled)
                )

    def test_blocked_is_blocked_wherever_it_is(self) -> None:
        """
        Who is kept out stays out.
        """
        contacts = known(quokka=HOME, panda=WORK)
        blocked = contacts.block(QUOKKA, "Quokka", 9.0)

        for dialled in (None, HOME, WORK, PHONE):
            self.assertEqual(
                Verdict(Standing.BLOCKED, blocked), contacts.judge(QUOKKA, "Panda", dialled)
            )

    def test_stranger_is_a_stranger(self) -> None:
        """
        Neither its key nor its name nor the address is a contact's.
        """
        contacts = known(quokka=HOME)

        for dialled in (None, WORK):
            self.assertEqual(
                Verdict(Standing.STRANGER), contacts.judge(MALLORY, "Mallory", dialled)
            )

    def test_other_key_at_a_contacts_address_is_a_new_key(self) -> None:
        """
        Whom we dialled there was the contact, whatever name answers.
        """
        contacts = known(quokka=HOME, panda=WORK)

        for name in ("Quokka", "Panda", "Mallory"):
            self.assertEqual(
                Verdict(Standing.NEW_KEY, contacts.find(QUOKKA)),
                contacts.judge(MALLORY, name, HOME),
            )

    def test_other_key_with_a_contacts_name_is_a_namesake(self) -> None:
        """
        A name is nobody's own, so the person decides who that is.
        """
        contacts = known(quokka=HOME, panda=WORK)

        for dialled in (None, PHONE):
            self.assertEqual(
                Verdict(Standing.NAMESAKE, contacts.find(PANDA)),
                contacts.judge(MALLORY, "Panda", dialled),
            )

    def test_first_met_of_several_namesakes_is_named(self) -> None:
        """
        Where two contacts have the name, the one that was met first stands for both.
        """
        contacts = known(quokka=HOME, panda=WORK)
        contacts.met(PANDA, "Quokka", None, 9.0)

        verdict = contacts.judge(MALLORY, "Quokka", None)

        self.assertEqual(Verdict(Standing.NAMESAKE, contacts.find(QUOKKA)), verdict)

    def test_names_alike_are_namesakes(self) -> None:
        """
        Case, width, white space and what nobody sees make no other name.
        """
        contacts = Contacts()
        contacts.accept(QUOKKA, "Red Stra\u00dfe 1", 0.0)
        contacts.accept(PANDA, "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", 1.0)
        contacts.accept(NUMBAT, "I \u2764\ufe0f chat", 2.0)
        alike = {
            QUOKKA: (
                "red strasse 1",
                "RED STRASSE 1",
                "RED STRA\u1e9eE 1",
                "RedStra\u00dfe1",
                " Red  Stra\u00dfe\t1 ",
                "Red\u00a0Stra\u00dfe\u30001",
                "\uff32\uff45\uff44 Stra\u00dfe \uff11",
                "Red\u200b Stra\u00ad\u00dfe\u2060 1\u200d",
                "Red Stra\u00dfe \u2460",
            ),
            PANDA: (
                "\u0639\u0644\u06cc\u0631\u0636\u0627",
                "\u0639\u0644\u06cc \u0631\u0636\u0627",
            ),
            NUMBAT: ("i \u2764 CHAT", "I \u2764\ufe0e chat"),
        }

        for key, names in alike.items():
            for name in names:
                with self.subTest(name):
                    self.assertEqual(
                        Verdict(Standing.NAMESAKE, contacts.find(key)),
                        contacts.judge(MALLORY, name, None),
                    )
        for name in (
            "Red Strase 1",
            "Red Stra\u00dfe",
            "R\u0435d Stra\u00dfe 1",
            "\u0639\u0644",
            "",
        ):
            with self.subTest(name):
                self.assertEqual(Verdict(Standing.STRANGER), contacts.judge(MALLORY, name, None))

    @given(name=any_texts(64))
    def test_any_name_is_its_own_namesake(self, name: str) -> None:
        """
        Whatever somebody calls itself, as it is or with blanks.
        """
        contacts = Contacts()
        contacts.accept(QUOKKA, name, 0.0)

        for alike in (name, f" {name}\t", "\u200b".join(name)):
            self.assertEqual(Standing.NAMESAKE, contacts.judge(MALLORY, alike, None).standing)

    def test_blocked_contact_has_neither_name_nor_address(self) -> None:
        """
        Whom we keep out nobody can be taken for.
        """
        contacts = known(quokka=HOME)
        contacts.block(QUOKKA, "Quokka", 9.0)

        self.assertEqual(Verdict(Standing.STRANGER), contacts.judge(MALLORY, "Quokka", HOME))
        self.assertIsNone(contacts.at(HOME))
        self.assertEqual([], contacts.named("Quokka"))


class ContactsTests(SynchronousTestCase):
    """
    `Contacts`.
    """

    def test_nobody_is_known_at_first(self) -> None:
        """
        There is nobody to be found.
        """
        contacts = Contacts()

        self.assertEqual([], contacts.all())
        self.assertEqual([], contacts.named("Quokka"))
        self.assertIsNone(contacts.find(QUOKKA))
        self.assertIsNone(contacts.at(HOME))
        self.assertFalse(contacts.is_known(QUOKKA))
        self.assertFalse(contacts.is_blocked(QUOKKA))
        self.assertEqual(0, contacts.changes)

    def test_accepted_is_known(self) -> None:
        """
        Whom the person lets in is a contact from then on.
        """
        contacts = Contacts()

        contact = contacts.accept(QUOKKA, "Quokka", 5.0)

        self.assertEqual(Contact(QUOKKA, "Quokka", since=5.0), contact)
        self.assertEqual([contact], contacts.all())
        self.assertEqual(contact, contacts.find(QUOKKA))
        self.assertTrue(contacts.is_known(QUOKKA))
        self.assertFalse(contacts.is_blocked(QUOKKA))
        self.assertEqual(1, contacts.changes)

    def test_accepted_again_stays_as_it_was(self) -> None:
        """
        It keeps its name and since when it is known; verified it is once it ever was.
        """
        contacts = Contacts()
        contacts.accept(QUOKKA, "Quokka", 5.0, is_verified=True)

        again = contacts.accept(QUOKKA, "Wombat", 9.0)

        self.assertEqual(Contact(QUOKKA, "Quokka", is_verified=True, since=5.0), again)
        self.assertFalse(contacts.accept(PANDA, "Panda", 6.0).is_verified)
        self.assertTrue(contacts.accept(PANDA, "Panda", 7.0, is_verified=True).is_verified)

    def test_blocked_is_kept_out_and_can_be_let_in(self) -> None:
        """
        A contact, or a stranger; and what was known of it stays.
        """
        contacts = known(quokka=HOME)

        blocked = contacts.block(QUOKKA, "Wombat", 9.0)
        stranger = contacts.block(MALLORY, "Mallory", 9.0)

        self.assertEqual("Quokka", blocked.name)
        self.assertEqual(Contact(MALLORY, "Mallory", is_blocked=True, since=9.0), stranger)
        for key in (QUOKKA, MALLORY):
            self.assertTrue(contacts.is_blocked(key))
            self.assertFalse(contacts.is_known(key))
        contacts.accept(QUOKKA, "Wombat", 10.0)
        self.assertEqual(contacts.find(QUOKKA), contacts.at(HOME))
        self.assertTrue(contacts.is_known(QUOKKA))

    def test_forgotten_is_a_stranger(self) -> None:
        """
        Nothing of it stays.
        """
        contacts = known(quokka=HOME, panda=WORK)

        gone = contacts.forget(QUOKKA)

        assert gone is not None
        self.assertEqual((QUOKKA, (HOME,)), (gone.key, gone.addresses))
        self.assertEqual(Verdict(Standing.STRANGER), contacts.judge(QUOKKA, "Quokka", HOME))
        self.assertEqual([PANDA], [contact.key for contact in contacts.all()])
        changes = contacts.changes
        self.assertIsNone(contacts.forget(QUOKKA))
        self.assertEqual(changes, contacts.changes)

    def test_verified_stays_verified(self) -> None:
        """
        Who has compared the words need not do so again.
        """
        contacts = known(quokka=HOME)

        contact = contacts.verify(QUOKKA)

        assert contact is not None
        self.assertTrue(contact.is_verified)
        met = contacts.met(QUOKKA, "Wombat", WORK, 9.0)
        assert met is not None
        self.assertTrue(met.is_verified)
        self.assertIsNone(contacts.verify(MALLORY))
        self.assertIsNone(contacts.find(MALLORY))

    def test_met_contact_is_kept_up_to_date(self) -> None:
        """
        Its name, when it was met, and where we reached it; who dialled us tells no address.
        """
        contacts = known(quokka=HOME)

        contacts.met(QUOKKA, "Wombat", WORK, 7.0)
        contact = contacts.met(QUOKKA, "Wombat", None, 9.0)

        expected = Contact(QUOKKA, "Wombat", addresses=(WORK, HOME), since=0.0, last_met=9.0)
        self.assertEqual(expected, contact)
        contacts.met(QUOKKA, "Wombat", WORK, 10.0)
        self.assertEqual([(WORK, HOME)], [contact.addresses for contact in contacts.all()])
        contacts.met(QUOKKA, "Wombat", HOME, 11.0)
        self.assertEqual([(HOME, WORK)], [contact.addresses for contact in contacts.all()])

    def test_met_stranger_is_not_known(self) -> None:
        """
        A session alone makes nobody a contact.
        """
        contacts = Contacts()

        self.assertIsNone(contacts.met(MALLORY, "Mallory", HOME, 1.0))
        self.assertEqual([], contacts.all())
        self.assertIsNone(contacts.at(HOME))
        self.assertEqual(0, contacts.changes)

    def test_address_moves_to_who_is_there_now(self) -> None:
        """
        An address is that of the contact who was last reached there, and of no other.
        """
        contacts = known(quokka=HOME, panda=WORK)

        contacts.met(PANDA, "Panda", HOME, 9.0)

        self.assertEqual([(), (HOME, WORK)], [contact.addresses for contact in contacts.all()])
        self.assertEqual(contacts.find(PANDA), contacts.at(HOME))

    def test_ninth_address_drops_the_first(self) -> None:
        """
        Of many addresses those stay where it was reached last.
        """
        contacts = known(quokka=None)
        places = [Address("10.0.0.1", port) for port in range(1, MOST_ADDRESSES + 2)]

        for now, place in enumerate(places):
            contacts.met(QUOKKA, "Quokka", place, float(now))

        contact = contacts.find(QUOKKA)
        assert contact is not None
        self.assertEqual(tuple(reversed(places[1:])), contact.addresses)
        self.assertIsNone(contacts.at(places[0]))
        self.assertEqual(contact, contacts.at(places[1]))

    def test_released_address_is_nobodys(self) -> None:
        """
        Somebody else is there now, who is no contact.
        """
        contacts = known(quokka=HOME, panda=WORK)

        contacts.release(HOME)
        contacts.release(PHONE)

        self.assertIsNone(contacts.at(HOME))
        self.assertEqual([(), (WORK,)], [contact.addresses for contact in contacts.all()])

    def test_full_book_takes_nobody_new(self) -> None:
        """
        Then somebody has to be forgotten first; those that are known can still be changed.
        """
        contacts = Contacts(most=2)
        contacts.accept(QUOKKA, "Quokka", 0.0)
        contacts.block(MALLORY, "Mallory", 1.0)
        before = contacts.all()

        with self.assertRaisesRegex(TooManyContacts, "There are 2 contacts already"):
            contacts.accept(PANDA, "Panda", 2.0)
        with self.assertRaises(TooManyContacts):
            contacts.block(PANDA, "Panda", 2.0)
        with self.assertRaises(TooManyContacts):
            contacts.supersede(NUMBAT, PANDA, "Panda", 2.0)

        self.assertEqual(before, contacts.all())
        contacts.accept(MALLORY, "Mallory", 3.0)
        contacts.block(QUOKKA, "Quokka", 3.0)
        contacts.supersede(QUOKKA, PANDA, "Panda", 4.0)
        contacts.forget(MALLORY)
        contacts.accept(NUMBAT, "Numbat", 5.0)
        self.assertEqual({PANDA, NUMBAT}, {contact.key for contact in contacts.all()})

    def test_full_by_default_at_its_bound(self) -> None:
        """
        The book holds as many as it says.
        """
        contacts = Contacts(
            Contact(key_number(number), "Quokka", since=1.0) for number in range(MOST_CONTACTS - 1)
        )
        contacts.accept(QUOKKA, "Quokka", 0.0)

        with self.assertRaises(TooManyContacts):
            contacts.accept(PANDA, "Panda", 0.0)

    def test_new_key_takes_the_place_of_the_old(self) -> None:
        """
        It has the addresses, and has to be verified anew.
        """
        contacts = known(quokka=HOME, panda=WORK)
        contacts.verify(QUOKKA)

        contact = contacts.supersede(QUOKKA, NUMBAT, "Quokka", 9.0)

        self.assertEqual(Contact(NUMBAT, "Quokka", addresses=(HOME,), since=9.0), contact)
        self.assertEqual(contact, contacts.at(HOME))
        self.assertEqual(Standing.NEW_KEY, contacts.judge(QUOKKA, "Quokka", HOME).standing)
        self.assertEqual({PANDA, NUMBAT}, {contact.key for contact in contacts.all()})

    def test_new_key_that_is_known_already_stays_known(self) -> None:
        """
        It came by an invite, say, before the person decided: what was known of it stays.
        """
        contacts = known(quokka=HOME, panda=WORK)
        contacts.verify(PANDA)
        contacts.block(PANDA, "Panda", 5.0)

        contact = contacts.supersede(QUOKKA, PANDA, "Quokka", 9.0)

        self.assertEqual(
            Contact(
                PANDA,
                "Quokka",
                is_verified=True,
                addresses=(WORK, HOME),
                since=1.0,
                last_met=1.0,
            ),
            contact,
        )
        self.assertEqual([contact], contacts.all())
        self.assertEqual([contact, contact], [contacts.at(HOME), contacts.at(WORK)])

    def test_new_key_of_nobody_is_let_in(self) -> None:
        """
        The old one may have been forgotten in the meantime.
        """
        contacts = Contacts()

        contact = contacts.supersede(QUOKKA, PANDA, "Quokka", 9.0)
        again = contacts.supersede(QUOKKA, PANDA, "Quokka", 10.0)

        self.assertEqual(Contact(PANDA, "Quokka", since=9.0), contact)
        self.assertEqual(contact, again)

    def test_key_that_supersedes_itself_stays(self) -> None:
        """
        Then there is nothing new.
        """
        contacts = known(quokka=HOME)
        contacts.verify(QUOKKA)
        before = contacts.find(QUOKKA)

        self.assertEqual(before, contacts.supersede(QUOKKA, QUOKKA, "Quokka", 9.0))

    def test_kept_contacts_are_known_again(self) -> None:
        """
        What was written to the disk comes back, and is not a change.
        """
        before = known(quokka=HOME, panda=WORK)
        before.block(PANDA, "Panda", 5.0)

        after = Contacts(before.all())

        self.assertEqual(before.all(), after.all())
        self.assertEqual(after.find(QUOKKA), after.at(HOME))
        self.assertIsNone(after.at(WORK))
        self.assertEqual(0, after.changes)

    def test_damaged_contacts_are_put_right(self) -> None:
        """
        However the file was changed: one holder for each address, one contact for each key.
        """
        many = tuple(Address("10.0.0.9", port) for port in range(1, 20))

        contacts = Contacts(
            [
                Contact(QUOKKA, "Quokka", addresses=(HOME, WORK, HOME)),
                Contact(PANDA, "Panda", addresses=(WORK, PHONE)),
                Contact(NUMBAT, "Numbat", addresses=many),
                Contact(QUOKKA, "Wombat", addresses=(WORK,)),
            ]
        )

        self.assertEqual(
            {"Wombat": (WORK,), "Panda": (PHONE,), "Numbat": many[:MOST_ADDRESSES]},
            {contact.name: contact.addresses for contact in contacts.all()},
        )
        self.assertIsNone(contacts.at(HOME))
        self.assertIsNone(contacts.at(many[-1]))

    def test_order_is_that_of_meeting(self) -> None:
        """
        First who was met first; at one time in the order of the keys.
        """
        contacts = Contacts()
        for key, since in ((NUMBAT, 5.0), (PANDA, 5.0), (QUOKKA, 9.0), (MALLORY, 1.0)):
            contacts.accept(key, "x", since)

        self.assertEqual(
            [MALLORY, PANDA, NUMBAT, QUOKKA], [contact.key for contact in contacts.all()]
        )

    def test_any_history_keeps_the_book_in_order(self) -> None:
        """
        Whatever is decided: every address has one holder, and there are never too many of anything.
        """
        run_state_machine_as_test(ContactsMachine, settings=settings(stateful_step_count=40))


SOME_KEYS = st.sampled_from([key_number(number) for number in range(6)])
SOME_NAMES = st.sampled_from(["Quokka", "QUOKKA", "Panda"])
SOME_ADDRESSES = st.builds(Address, st.just("10.0.0.1"), st.integers(1, 12))


class ContactsMachine(RuleBasedStateMachine):
    """
    A small book of contacts, beside a plain record of where somebody was reached.
    """

    MOST = 4

    def __init__(self) -> None:
        super().__init__()
        self.contacts = Contacts(most=self.MOST)
        self.now = 0.0
        self.holders: dict[Address, DeviceKey] = {}
        self.seen: tuple[int, list[Contact]] = (0, [])

    @rule(key=SOME_KEYS, name=SOME_NAMES, blocks=st.booleans())
    def decide(self, key: DeviceKey, name: str, blocks: bool) -> None:
        """
        Somebody is let in, or kept out.
        """
        is_full = len(self.contacts.all()) == self.MOST and self.contacts.find(key) is None
        self.now += 1
        try:
            contact = (self.contacts.block if blocks else self.contacts.accept)(key, name, self.now)
        except TooManyContacts:
            assert is_full
        else:
            assert not is_full
            assert contact.is_blocked == blocks

    @rule(key=SOME_KEYS, name=SOME_NAMES, reached=st.none() | SOME_ADDRESSES)
    def meet(self, key: DeviceKey, name: str, reached: Address | None) -> None:
        """
        A session begins.
        """
        self.now += 1
        contact = self.contacts.met(key, name, reached, self.now)

        assert (contact is None) == (key not in {one.key for one in self.contacts.all()})
        if contact and reached:
            assert contact.addresses[0] == reached
            self.holders.pop(reached, None)
            self.holders[reached] = key
            mine = [there for there, holder in self.holders.items() if holder == key]
            for there in mine[:-MOST_ADDRESSES]:
                del self.holders[there]

    @rule(key=SOME_KEYS)
    def forget(self, key: DeviceKey) -> None:
        """
        Somebody is known no longer.
        """
        self.contacts.forget(key)
        self.holders = {there: who for there, who in self.holders.items() if who != key}

    @rule(address=SOME_ADDRESSES)
    def release(self, address: Address) -> None:
        """
        Somebody else is at an address.
        """
        self.contacts.release(address)
        self.holders.pop(address, None)

    @rule(old=SOME_KEYS, new=SOME_KEYS, name=SOME_NAMES)
    def supersede(self, old: DeviceKey, new: DeviceKey, name: str) -> None:
        """
        Somebody has a new key.
        """
        try:
            contact = self.contacts.supersede(old, new, name, self.now)
        except TooManyContacts:
            assert self.contacts.find(old) is None
            return
        assert old == new or self.contacts.find(old) is None
        self.holders = {
            there: new if who == old else who
            for there, who in self.holders.items()
            if who not in (old, new) or there in contact.addresses
        }
        # The model has them in the order in which they were reached, the last one last.
        for there in reversed(contact.addresses):
            self.holders[there] = self.holders.pop(there)

    @rule()
    def restart(self) -> None:
        """
        All is written to the disk and read again.
        """
        self.contacts = Contacts(self.contacts.all(), self.MOST)
        self.seen = (0, self.contacts.all())

    @invariant()
    def is_as_the_model(self) -> None:
        """
        Every address has the holder that the record says, and nobody holds another.
        """
        everybody = self.contacts.all()
        assert self.holders == {
            address: contact.key for contact in everybody for address in contact.addresses
        }
        for address, key in self.holders.items():
            expected = None if self.contacts.is_blocked(key) else self.contacts.find(key)
            assert self.contacts.at(address) == expected

    @invariant()
    def is_within_bounds(self) -> None:
        """
        Nothing grows beyond what it may.
        """
        everybody = self.contacts.all()
        assert len(everybody) <= self.MOST
        assert all(len(contact.addresses) <= MOST_ADDRESSES for contact in everybody)

    @invariant()
    def changes_are_counted(self) -> None:
        """
        Nothing changes without being kept.
        """
        changes, everybody = self.seen
        self.seen = (self.contacts.changes, self.contacts.all())
        assert self.seen[1] == everybody or self.contacts.changes > changes


def stranger(number: int, reason: Reason = Reason.KNOCK, text: str = "") -> Caller:
    """
    Somebody who comes to the door.
    """
    return Caller(reason, key_number(number), "Mallory", HOME, 1.0, text)


class RoommatesTests(SynchronousTestCase):
    """
    Where those were who are in a room with us and no contacts.
    """

    def test_where_they_were_is_remembered_and_concludes_nothing(self) -> None:
        """
        It is where to dial, and neither makes a contact nor claims the address.
        """
        contacts = known(quokka=HOME)
        changes = contacts.changes

        self.assertTrue(contacts.met_roommate(PANDA, HOME))

        self.assertEqual((HOME,), contacts.where(PANDA))
        self.assertEqual((HOME,), contacts.where(QUOKKA))
        self.assertEqual((), contacts.where(NUMBAT))
        self.assertIsNone(contacts.find(PANDA))
        self.assertEqual([QUOKKA], [contact.key for contact in contacts.all()])
        self.assertEqual(QUOKKA, contacts.at(HOME).key)  # type: ignore[union-attr]
        self.assertEqual(Standing.STRANGER, contacts.judge(PANDA, "Panda", None).standing)
        self.assertEqual(changes + 1, contacts.changes)

    def test_same_place_again_is_no_news(self) -> None:
        """
        Who is now here and now there, at two places, changes nothing that would be written.
        """
        contacts = Contacts()
        news = [contacts.met_roommate(PANDA, there) for there in (HOME, WORK, HOME, WORK)]

        self.assertEqual([True, True, False, False], news)
        self.assertEqual(2, contacts.changes)

    def test_addresses_of_each_have_a_bound(self) -> None:
        """
        The newest ones stay.
        """
        contacts = Contacts()
        places = [Address("10.0.0.1", port) for port in range(1, ROOMMATE_ADDRESSES + 3)]
        for there in places:
            contacts.met_roommate(PANDA, there)

        self.assertEqual(tuple(places[::-1][:ROOMMATE_ADDRESSES]), contacts.where(PANDA))

    def test_roommates_have_a_bound(self) -> None:
        """
        Of too many the one that was met longest ago goes.
        """
        contacts = Contacts()
        for number in range(1, MOST_ROOMMATES + 1):
            contacts.met_roommate(key_number(number), HOME)
        contacts.met_roommate(key_number(1), HOME)

        contacts.met_roommate(key_number(MOST_ROOMMATES + 1), HOME)

        self.assertEqual(MOST_ROOMMATES, len(contacts.to_keep()))
        self.assertEqual((), contacts.where(key_number(2)))
        self.assertEqual((HOME,), contacts.where(key_number(1)))

    def test_those_who_are_none_any_more_are_forgotten(self) -> None:
        """
        And only they.
        """
        contacts = Contacts()
        for key in (PANDA, NUMBAT):
            contacts.met_roommate(key, HOME)
        changes = contacts.changes

        self.assertFalse(contacts.forget_roommates(lambda _: True))
        self.assertEqual(changes, contacts.changes)
        self.assertTrue(contacts.forget_roommates(lambda key: key == PANDA))

        self.assertEqual(changes + 1, contacts.changes)
        self.assertEqual((HOME,), contacts.where(PANDA))
        self.assertEqual((), contacts.where(NUMBAT))

    def test_who_becomes_a_contact_or_is_blocked_is_no_roommate(self) -> None:
        """
        What was remembered of them goes: nobody stands in the file twice.
        """
        contacts = Contacts()
        for key in (PANDA, NUMBAT):
            contacts.met_roommate(key, HOME)

        contacts.accept(PANDA, "Panda", 1.0)
        contacts.block(NUMBAT, "Numbat", 2.0)

        self.assertEqual(contacts.all(), contacts.to_keep())
        self.assertEqual((), contacts.where(PANDA))

    def test_what_is_kept_is_found_again(self) -> None:
        """
        By the next start all are known that were, as what they were.
        """
        contacts = known(quokka=HOME)
        contacts.met_roommate(PANDA, WORK)

        again = Contacts(contacts.to_keep())

        self.assertEqual(contacts.to_keep(), again.to_keep())
        self.assertEqual(contacts.all(), again.all())
        self.assertEqual((WORK,), again.where(PANDA))
        self.assertEqual(0, again.changes)


class DoorTests(SynchronousTestCase):
    """
    `Door`.
    """

    def test_who_came_waits(self) -> None:
        """
        In the order of coming, until it is decided about.
        """
        door = Door()
        one, other = stranger(1), stranger(2)

        self.assertEqual([True, True], [door.add(one), door.add(other)])

        self.assertEqual([one, other], door.all())
        self.assertEqual(other, door.find(other.key))
        door.remove(one)
        door.remove(one)
        self.assertEqual([other], door.all())
        self.assertIsNone(door.find(one.key))
        self.assertTrue(door.add(one))
        self.assertEqual([other, one], door.all())

    def test_who_comes_again_is_no_news(self) -> None:
        """
        It waits where it waited, and is told once; when it came last is kept.
        """
        door = Door()
        door.add(stranger(1, text="hello"))
        door.add(stranger(2))
        again = replace(stranger(1, text="hello"), time=9.0)

        self.assertFalse(door.add(again))

        self.assertEqual([again, stranger(2)], door.all())

    def test_new_key_stays_a_warning(self) -> None:
        """
        Whoever answered at a contact's address cannot make the person forget that by knocking.
        """
        door = Door()
        warning = replace(stranger(1, Reason.NEW_KEY), contact=Contact(QUOKKA, "Quokka"))
        door.add(warning)

        for reason in (Reason.KNOCK, Reason.NAMESAKE):
            self.assertFalse(door.add(replace(stranger(1, reason), address=WORK)))
            self.assertEqual([warning], door.all())
        self.assertTrue(door.add(stranger(1, text="It is me")))
        self.assertEqual([replace(warning, text="It is me")], door.all())
        elsewhere = replace(warning, address=PHONE, contact=Contact(PANDA, "Panda"))
        self.assertTrue(door.add(elsewhere))
        self.assertEqual([replace(elsewhere, text="It is me")], door.all())

    def test_contact_that_changes_is_no_news(self) -> None:
        """
        Whom a caller could be taken for may be met in the meantime; what is kept is the latest.
        """
        door = Door()
        contact = Contact(QUOKKA, "Quokka")
        namesake = replace(stranger(1, Reason.NAMESAKE), contact=contact)
        door.add(namesake)
        later = replace(namesake, contact=replace(contact, last_met=9.0))

        self.assertFalse(door.add(later))

        self.assertEqual([later], door.all())

    def test_anything_else_is_news(self) -> None:
        """
        Another text, name, address or reason.
        """
        door = Door()
        caller = stranger(1, text="hello")
        door.add(caller)

        for changed in (
            replace(caller, text="It is me"),
            replace(caller, name="Quokka"),
            replace(caller, address=WORK),
            replace(caller, reason=Reason.NAMESAKE),
            replace(caller, reason=Reason.NEW_KEY),
        ):
            self.assertTrue(door.add(changed))
            self.assertFalse(door.add(changed))
            self.assertEqual([changed], door.all())

    def test_what_was_said_stays_said(self) -> None:
        """
        Coming again without a word takes nothing back, from another place neither.
        """
        door = Door()
        door.add(stranger(1, text="It is me"))

        self.assertFalse(door.add(stranger(1)))
        self.assertTrue(door.add(replace(stranger(1), address=WORK)))

        self.assertEqual([replace(stranger(1, text="It is me"), address=WORK)], door.all())

    def test_each_kind_has_one_place_for_a_key(self) -> None:
        """
        What speaks for itself is one caller, and a downgrade of a contact's another.
        """
        door = Door()
        own = [stranger(1, reason) for reason in (Reason.KNOCK, Reason.NAMESAKE, Reason.NEW_KEY)]
        downgrade = stranger(1, Reason.DOWNGRADE)

        self.assertTrue(all(door.add(caller) for caller in (*own, downgrade)))

        self.assertEqual([own[-1], downgrade], door.all())
        self.assertEqual(own[-1], door.find(own[-1].key))
        door.remove(own[0])
        self.assertEqual([downgrade], door.all())
        self.assertIsNone(door.find(downgrade.key))
        door.remove(downgrade)
        self.assertEqual([], door.all())

    def test_of_a_flood_the_oldest_go(self) -> None:
        """
        The door has room for as many as it says.
        """
        door = Door()

        for number in range(MOST_CALLERS + 10):
            door.add(stranger(number))

        self.assertEqual(
            [key_number(number) for number in range(10, MOST_CALLERS + 10)],
            [caller.key for caller in door.all()],
        )

    def test_flood_pushes_no_warning_off(self) -> None:
        """
        Whom anybody can send goes before what only a contact's address can bring about.
        """
        door = Door(3)
        warnings = [stranger(1, Reason.DOWNGRADE), stranger(2, Reason.NEW_KEY)]
        for caller in (*warnings, stranger(3), stranger(4, Reason.NAMESAKE), stranger(5)):
            door.add(caller)

        self.assertEqual([*warnings, stranger(5)], door.all())

        last = [stranger(6, Reason.NEW_KEY), stranger(7, Reason.DOWNGRADE)]
        for caller in last:
            door.add(caller)
        self.assertEqual([warnings[1], *last], door.all())


class CallerTests(SynchronousTestCase):
    """
    `Caller.decisions`.
    """

    def test_decisions_fit_the_reason(self) -> None:
        """
        A stranger can be let in; who could be taken for a contact is the contact or is not.
        """
        whether_it_is = (
            Decision.NEW_KEY,
            Decision.SOMEBODY_ELSE,
            Decision.KEEP_OLD,
            Decision.BLOCK,
        )
        expected = {
            Reason.KNOCK: (Decision.ACCEPT, Decision.IGNORE, Decision.BLOCK),
            Reason.NAMESAKE: whether_it_is,
            Reason.NEW_KEY: whether_it_is,
            Reason.DOWNGRADE: (Decision.KEEP_OLD, Decision.SOMEBODY_ELSE),
        }

        self.assertEqual(expected, {reason: stranger(1, reason).decisions for reason in Reason})
