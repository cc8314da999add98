"""
The menu, as transcripts: what is asked, what is typed, and what comes of it.
"""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.strategies import typed_lines
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite, qr_lines
from twistedchat.core.menu import (
    HELP,
    LARGEST_TEXT,
    MENU,
    MOST_UNSENT,
    Connect,
    Decide,
    Effect,
    LookUp,
    Menu,
    Quit,
    SendText,
    Show,
    ShowWords,
    UseInvite,
    Verify,
)
from twistedchat.core.nearby import Nearby
from twistedchat.core.roster import Recipient
from twistedchat.core.trust import Caller, Contact, Decision, Reason
from twistedchat.testing import FakeNode

QUOKKA = Address("10.0.0.1", 6101)
PANDA = Address("10.0.0.2", 6202)
NUMBAT = Address("10.0.0.3", 6303)
WHALE = DeviceKey(b"\x1a" * 32)
ORCA = DeviceKey(b"\x0c" * 32)
EVE = DeviceKey(b"\xee" * 32)
WORDS = ("apple", "pear", "fig", "plum", "kiwi", "lime")
NOW = 1e9

# Stand in a transcript for an empty line, and for the answers to what the menu waits for.
EMPTY = "\u23ce"
FOUND = "(found)"
NOT_FOUND = "(not found)"
DONE = "(done)"
REFUSED = "(refused)"


def told(effects: list[Effect]) -> list[str]:
    """
    Effects as a transcript has them: what is shown, and in angles what is to be done.
    """
    lines = []
    for effect in effects:
        match effect:
            case Show(shown):
                lines += ["".join(text for _, text in line).rstrip() for line in shown]
            case SendText(recipients, text):
                lines.append(f"<send {text!r} to {', '.join(map(short, recipients))}>")
            case Connect(recipients, manual):
                how = "manual" if manual else "auto"
                lines.append(f"<connect {how} to {', '.join(map(short, recipients))}>")
            case LookUp(host):
                lines.append(f"<look up {host}>")
            case UseInvite(invite):
                lines.append(f"<use the invite of {invite.name}>")
            case ShowWords(key):
                lines.append(f"<show the words for {key.short}>")
            case Verify(key):
                lines.append(f"<verify {key.short}>")
            case Decide(key, decision, caller):
                what = "a contact" if caller is None else caller.reason.name
                lines.append(f"<decide {decision.name} about {key.short}, {what}>")
            case Quit():
                lines.append("<quit>")
    return lines


def short(recipient: Recipient) -> str:
    """
    A recipient as a transcript has it.
    """
    return recipient.short if isinstance(recipient, DeviceKey) else str(recipient)


class MenuCase(SynchronousTestCase):
    """
    A menu, and those it knows.
    """

    @override
    def setUp(self) -> None:
        """
        Begin with a menu that knows nobody.
        """
        self.node = FakeNode("Red Pandas")
        self.roster = self.node.roster
        self.menu = Menu(self.node)

    def know(self, address: Address, name: str | None, *, connected: bool = False) -> None:
        """
        Let a peer speak.
        """
        self.roster.heard(address, name, Dialect.PLAIN, NOW, connects=connected)

    def trust(
        self, key: DeviceKey, name: str, *, verified: bool = False, at: Address | None = None
    ) -> Contact:
        """
        Have a contact, which is away.
        """
        contact = self.node.contacts.accept(key, name, NOW, is_verified=verified)
        return self.node.contacts.met(key, name, at, NOW) or contact

    def meet(self, key: DeviceKey, name: str, *, connected: bool = True) -> Contact:
        """
        Have a contact which is there.
        """
        contact = self.trust(key, name, at=QUOKKA)
        self.roster.met(key, name, QUOKKA, is_connected=connected, is_verified=False, now=NOW)
        return contact

    def call(
        self, reason: Reason, key: DeviceKey, name: str, contact: Contact | None = None
    ) -> Caller:
        """
        Have somebody at the door.
        """
        caller = Caller(reason, key, name, NUMBAT, NOW, contact=contact)
        self.node.at_the_door.append(caller)
        return caller

    def answer(self, line: str) -> list[Effect]:
        """
        Give an answer that the menu waits for.
        """
        match line:
            case "(found)" | "(not found)":
                return self.menu.looked_up(found=line == FOUND)
            case "(done)":
                return self.menu.done()
            case _:
                return self.menu.refused("The disk is full.")

    def play(self, transcript: str) -> None:
        """
        Type what stands behind the questions of a transcript, and compare all the rest.
        """
        expected = [line.strip() for line in transcript.strip().splitlines()]
        actual = []
        for line in expected:
            prompt = self.menu.prompt
            typed = line.removeprefix(prompt)
            if line in (FOUND, NOT_FOUND, DONE, REFUSED):
                actual += [line, *told(self.answer(line))]
            elif typed and typed != line:
                effects = self.menu.receive_line("" if typed == EMPTY else typed, NOW)
                actual += [line, *told(effects)]
        actual.append(self.menu.prompt.strip())
        self.assertEqual("\n".join(expected), "\n".join(line.strip() for line in actual))


class SendingTests(MenuCase):
    """
    1: send a message.
    """

    def test_address_in_steps_sends(self) -> None:
        """
        Host, port and text are asked for one after the other.
        """
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 10.0.0.7
            Enter the recipient's port number: 6101
            Enter your message: see you  at nine
            <send 'see you  at nine' to 10.0.0.7:6101>
            Enter your choice:
        """)

    def test_whole_address_skips_the_port(self) -> None:
        """
        Who writes the port along is not asked for it.
        """
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: [fd00::7]:6101
            Enter your message: hi
            <send 'hi' to [fd00::7]:6101>
            Enter your choice: 1
            Enter the recipient's IP address: fd00::7
            Enter the recipient's port number: 6102
            Enter your message: hi
            <send 'hi' to [fd00::7]:6102>
            Enter your choice:
        """)

    def test_host_name_is_looked_up_first(self) -> None:
        """
        A name that leads nowhere is known before a message is written.
        """
        self.play(f"""
            Enter your choice: 1
            Enter the recipient's IP address: Lab-3
            <look up lab-3>
            {FOUND}
            Enter the recipient's port number: 6101
            Enter your message: hi
            <send 'hi' to lab-3:6101>
            Enter your choice: 1
            Enter the recipient's IP address: lab-3:6102
            <look up lab-3>
            {FOUND}
            Enter your message: hi
            <send 'hi' to lab-3:6102>
            Enter your choice:
        """)

    def test_unknown_host_name_is_refused(self) -> None:
        """
        The refusal says what else can be given.
        """
        self.play(f"""
            Enter your choice: 1
            Enter the recipient's IP address: lab-3
            <look up lab-3>
            {NOT_FOUND}
            Unknown: no host named 'lab-3' can be found, and no peer here has that name. \
Give an IP address, or a number from the list that 2 shows.
            Enter your choice:
        """)

    def test_lines_during_a_look_up_do_nothing(self) -> None:
        """
        While a name is looked up, a line is no answer to anything.
        """
        self.play(f"""
            Enter your choice: 1
            Enter the recipient's IP address: lab-3
            <look up lab-3>
            Looking up lab-3 ... 6101
            {FOUND}
            Enter the recipient's port number:
        """)

    def test_late_answer_does_nothing(self) -> None:
        """
        Who cancelled the question is not interrupted by the answer.
        """
        self.play(f"""
            Enter your choice: 1
            Enter the recipient's IP address: lab-3
            <look up lab-3>
            Looking up lab-3 ... c
            Cancelled.
            {FOUND}
            {NOT_FOUND}
            Enter your choice:
        """)

    def test_waiting_is_told(self) -> None:
        """
        A face can see that it has to wait.
        """
        self.assertFalse(self.menu.is_waiting)
        self.menu.receive_line("1", NOW)
        self.assertFalse(self.menu.is_waiting)
        self.menu.receive_line("lab-3", NOW)
        self.assertTrue(self.menu.is_waiting)
        self.menu.looked_up(found=True)
        self.assertFalse(self.menu.is_waiting)

    def test_number_of_the_last_list_sends(self) -> None:
        """
        A number means who had it when the list was shown, whoever came or went since.
        """
        self.know(QUOKKA, "Quokka")
        self.know(PANDA, None)
        self.play("""
            Enter your choice: 2
            --- Active peers (a message went either way) ---
            1. 10.0.0.1:6101  Quokka     plain     heard 0 s ago
            2. 10.0.0.2:6202  (no name)  plain     heard 0 s ago
            --- Connected peers (one of you connected to the other) ---
            No connected peers.
            Enter your choice:
        """)
        self.roster.remove(QUOKKA)
        self.know(NUMBAT, "Numbat")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 2
            Enter your message to 10.0.0.2:6202: hi
            <send 'hi' to 10.0.0.2:6202>
            Enter your choice: 1
            Enter the recipient's IP address: 1
            Enter your message to 10.0.0.1:6101: hi
            <send 'hi' to 10.0.0.1:6101>
            Enter your choice:
        """)

    def test_wrong_number_is_refused(self) -> None:
        """
        A number is one of the list, and not an address in disguise.
        """
        self.know(QUOKKA, "Quokka")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 1
            A number is one from the list: show it with 2 first.
            Enter your choice:
        """)
        self.menu.receive_line("2", NOW)
        for number in ["0", "2", "01", "2130706433"]:
            self.play(f"""
                Enter your choice: 1
                Enter the recipient's IP address: {number}
                No number {number} in the last list: show it again with 2.
                Enter your choice:
            """)
        self.menu.receive_line("1", NOW)
        [line] = told(self.menu.receive_line("9" * 5000, NOW))
        self.assertEqual(f"No number {'9' * 20} in the last list: show it again with 2.", line)

    def test_peers_name_sends(self) -> None:
        """
        A name is enough, in any case; the question tells whose it is.
        """
        self.know(QUOKKA, "Red Quokka")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: red quokka
            Enter your message to Red Quokka (10.0.0.1:6101): hi
            <send 'hi' to 10.0.0.1:6101>
            Enter your choice:
        """)

    def test_name_of_several_peers_asks_for_the_one(self) -> None:
        """
        Nobody gets what may be meant for another of the same name; a number tells them apart.
        """
        self.know(QUOKKA, "Bob")
        self.know(PANDA, "bob")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: Bob
            1. 10.0.0.1:6101  Bob  plain     heard 0 s ago
            2. 10.0.0.2:6202  bob  plain     heard 0 s ago
            2 could be meant: give the number or the address of the one.
            Enter the recipient's IP address: 2
            Enter your message to bob (10.0.0.2:6202): hi
            <send 'hi' to 10.0.0.2:6202>
            Enter your choice:
        """)

    def test_name_cannot_catch_an_address(self) -> None:
        """
        A peer that calls itself an address does not get what is meant for it.
        """
        for name in ["10.0.0.7", "10.0.0.7:6101", "fd00::7", "lab-3:6101", "7"]:
            self.know(QUOKKA, name)
            self.menu.receive_line("1", NOW)
            self.menu.receive_line(name, NOW)
            self.assertNotIn("10.0.0.1", self.menu.prompt, name)
            self.menu.receive_line("c", NOW)

    def test_hostile_name_is_disarmed_in_the_question(self) -> None:
        """
        A name cannot reach the terminal through the question.
        """
        self.know(QUOKKA, "Q\x1b[2J\u202e")
        self.menu.receive_line("2", NOW)
        self.menu.receive_line("1", NOW)
        self.menu.receive_line("1", NOW)

        self.assertEqual(
            "Enter your message to Q\u241b[2J<U+202E> (10.0.0.1:6101): ", self.menu.prompt
        )

    def test_invalid_answers_return_to_the_choice(self) -> None:
        """
        Each refusal says what is wrong, and the menu is back.
        """
        self.play(f"""
            Enter your choice: 1
            Enter the recipient's IP address: 999.1.1.1
            Invalid IP address '999.1.1.1': an IPv4 address is four numbers from 0 to 255 \
with dots between them, such as 192.168.1.20.
            Enter your choice: 1
            Enter the recipient's IP address: 0.0.0.0
            Invalid IP address 0.0.0.0: no single host has it.
            Enter your choice: 1
            Enter the recipient's IP address: who is it
            'who is it' is neither a peer that is known here nor an address: \
give an IP address or a host name.
            Enter your choice: 1
            Enter the recipient's IP address: 10.0.0.7
            Enter the recipient's port number: six
            Invalid port number 'six': a port is a number from 1 to 65535.
            Enter your choice: 1
            Enter the recipient's IP address: 10.0.0.7:65536
            Invalid port number 65536: a port is a number from 1 to 65535.
            Enter your choice: 1
            Enter the recipient's IP address: 10.0.0.7:6101
            Enter your message: {EMPTY}
            There is nothing to send: the message is empty.
            Enter your choice:
        """)


class ConnectingTests(MenuCase):
    """
    3: connect to peers.
    """

    def test_automatic_connects_to_every_active_peer(self) -> None:
        """
        A takes everyone on the list, connected or not.
        """
        self.know(QUOKKA, "Quokka")
        self.know(PANDA, "Panda", connected=True)
        self.play("""
            Enter your choice: 3
            Choose connection mode:
            A - Automatically connect to all active peers
            M - Manually enter IP and port to connect
            Enter your choice (A/M): a
            <connect auto to 10.0.0.1:6101, 10.0.0.2:6202>
            Enter your choice:
        """)

    def test_automatic_without_peers_is_refused(self) -> None:
        """
        Nobody there is told, and not taken for done.
        """
        self.menu.receive_line("3", NOW)
        self.play("""
            Enter your choice (A/M): A
            No active peers to connect to.
            Enter your choice:
        """)

    def test_manual_connects_to_an_address(self) -> None:
        """
        M asks for host and port, and takes all that 1 takes.
        """
        self.know(QUOKKA, "Quokka")
        self.menu.receive_line("2", NOW)
        for answers in [
            """
            Enter the IP address to connect to: 10.0.0.1
            Enter the port number to connect to: 6101
            """,
            """
            Enter the IP address to connect to: 10.0.0.1:6101
            """,
            """
            Enter the IP address to connect to: 1
            """,
            """
            Enter the IP address to connect to: quokka
            """,
        ]:
            self.menu.receive_line("3", NOW)
            self.play(f"""
                Enter your choice (A/M): m
                {answers.strip()}
                <connect manual to 10.0.0.1:6101>
                Enter your choice:
            """)

    def test_manual_host_name_is_looked_up(self) -> None:
        """
        A host name is looked up for a connection too.
        """
        self.menu.receive_line("3", NOW)
        self.play(f"""
            Enter your choice (A/M): M
            Enter the IP address to connect to: lab-3:6101
            <look up lab-3>
            {FOUND}
            <connect manual to lab-3:6101>
            Enter your choice:
        """)

    def test_other_mode_is_refused(self) -> None:
        """
        There is A, and there is M.
        """
        for mode in ["x", "am", EMPTY]:
            self.menu.receive_line("3", NOW)
            self.play(f"""
                Enter your choice (A/M): {mode}
                Invalid choice. Please try again: it is A or M.
                Enter your choice:
            """)


class ChoosingTests(MenuCase):
    """
    The other choices.
    """

    def test_greeting_shows_the_menu(self) -> None:
        """
        The choices are shown first.
        """
        self.assertEqual(list(MENU), told(self.menu.greeting()))
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_help_and_quit_do_as_they_say(self) -> None:
        """
        The help explains, in either case; 0 says that it ends, and ends.
        """
        self.assertEqual([line.rstrip() for line in HELP], told(self.menu.receive_line("H", NOW)))
        self.play("""
            Enter your choice: 0
            Exiting...
            <quit>
            Enter your choice:
        """)

    def test_help_explains_every_choice(self) -> None:
        """
        Each choice of the menu has its line in the help.
        """
        for choice in MENU[1:]:
            if choice != "h. Help":
                self.assertTrue(any(line.startswith(f"{choice[0]}  ") for line in HELP), choice)

    def test_empty_choice_does_nothing(self) -> None:
        """
        Enter alone just asks again.
        """
        self.play(f"""
            Enter your choice: {EMPTY}
            Enter your choice:
        """)

    def test_other_choice_is_refused(self) -> None:
        """
        What is no choice is told so.
        """
        for choice in ["4", "11", "x", "\u00b9", "hello"]:
            self.play(f"""
                Enter your choice: {choice}
                Invalid choice. Please try again, or type h for help.
                Enter your choice:
            """)

    def test_query_without_peers_says_so(self) -> None:
        """
        Both lists are shown when they are empty, too.
        """
        self.play("""
            Enter your choice: 2
            --- Active peers (a message went either way) ---
            No active peers.
            --- Connected peers (one of you connected to the other) ---
            No connected peers.
            Enter your choice:
        """)

    def test_broadcast_goes_to_the_connected(self) -> None:
        """
        A broadcast is one text for every connected peer, and for no other.
        """
        self.know(QUOKKA, "Quokka", connected=True)
        self.know(PANDA, "Panda")
        self.play("""
            Enter your choice: b
            Enter your message to 1 connected peer: hi
            <send 'hi' to 10.0.0.1:6101>
            Enter your choice:
        """)
        self.know(PANDA, "Panda", connected=True)
        self.play("""
            Enter your choice: B
            Enter your message to 2 connected peers: hi
            <send 'hi' to 10.0.0.1:6101, 10.0.0.2:6202>
            Enter your choice:
        """)

    def test_broadcast_to_nobody_is_refused(self) -> None:
        """
        Active alone is not connected.
        """
        self.know(QUOKKA, "Quokka")
        self.play("""
            Enter your choice: b
            No connected peers to broadcast to: connect with 3 first.
            Enter your choice:
        """)

    def test_reply_goes_to_the_last_speaker(self) -> None:
        """
        A reply goes to whoever spoke last, listed or not.
        """
        self.know(QUOKKA, "Quokka")
        self.menu.spoke(PANDA)
        self.menu.spoke(QUOKKA)
        self.play("""
            Enter your choice: r
            Enter your reply to Quokka (10.0.0.1:6101): hi
            <send 'hi' to 10.0.0.1:6101>
            Enter your choice:
        """)
        self.menu.spoke(PANDA)
        self.play("""
            Enter your choice: r
            Enter your reply to 10.0.0.2:6202: hi
            <send 'hi' to 10.0.0.2:6202>
            Enter your choice:
        """)

    def test_reply_goes_to_whom_it_was_begun_for(self) -> None:
        """
        Who speaks while a reply is written does not get it.
        """
        self.menu.spoke(QUOKKA)
        self.menu.receive_line("r", NOW)
        self.menu.spoke(PANDA)
        self.play("""
            Enter your reply to 10.0.0.1:6101: hi
            <send 'hi' to 10.0.0.1:6101>
            Enter your choice:
        """)

    def test_reply_to_nobody_is_refused(self) -> None:
        """
        Before anybody spoke there is nobody to reply to.
        """
        self.play("""
            Enter your choice: r
            Nobody has spoken yet: there is nobody to reply to.
            Enter your choice:
        """)

    def test_unsent_texts_are_sent_again_once(self) -> None:
        """
        All that was not sent is sent, in order, and then there is nothing left.
        """
        self.menu.not_sent(QUOKKA, "one")
        self.menu.not_sent(PANDA, "two")
        self.play("""
            Enter your choice: a
            <send 'one' to 10.0.0.1:6101>
            <send 'two' to 10.0.0.2:6202>
            Enter your choice: a
            There is nothing to send again.
            Enter your choice:
        """)

    def test_oldest_unsent_texts_go(self) -> None:
        """
        What is kept to be sent again has a bound.
        """
        for number in range(MOST_UNSENT + 2):
            self.menu.not_sent(QUOKKA, str(number))

        effects = self.menu.receive_line("a", NOW)

        self.assertEqual(MOST_UNSENT, len(effects))
        self.assertEqual(SendText((QUOKKA,), "2"), effects[0])


class SecureRecipientTests(MenuCase):
    """
    1 and 3, when those who are meant have keys.
    """

    def test_contact_is_meant_by_all_forms_of_its_key_and_name(self) -> None:
        """
        A name, both together, the short key, the whole one in groups or not: all lead to the key.
        """
        self.trust(WHALE, "Blue Whales")
        for typed in [
            "blue whales",
            "Blue Whales\u00b71a1a1a1a",
            "blue whales\u00b7 1A1A1A1A",
            "\u00b71a1a1a1a",
            "1a1a1a1a",
            "1A1A1A1A",
            str(WHALE),
            WHALE.fingerprint,
            f"Blue Whales\u00b7{WHALE}",
        ]:
            self.play(f"""
                Enter your choice: 1
                Enter the recipient's IP address: {typed}
                Enter your message to Blue Whales\u00b71a1a1a1a: hi
                <send 'hi' to 1a1a1a1a>
                Enter your choice: 3
                Choose connection mode:
                A - Automatically connect to all active peers
                M - Manually enter IP and port to connect
                Enter your choice (A/M): m
                Enter the IP address to connect to: {typed}
                <connect manual to 1a1a1a1a>
                Enter your choice:
            """)

    def test_key_behind_a_name_is_demanded(self) -> None:
        """
        Nobody is meant by a name with another one's key, whatever they call themselves.
        """
        self.trust(ORCA, "Blue Whales\u00b71a1a1a1a")
        self.trust(EVE, "Blue Whales")
        self.know(QUOKKA, "Blue Whales\u00b71a1a1a1a")
        for typed in ["Blue Whales\u00b71a1a1a1a", "1a" * 32, "99999999" * 8]:
            self.play(f"""
                Enter your choice: 1
                Enter the recipient's IP address: {typed}
                Unknown: nobody with that key is known here. Paste an invite, or give an address.
                Enter your choice:
            """)
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: Blue Whales\u00b71a1a1a1a\u00b70c0c0c0c
            Enter your message to Blue Whales<U+00B7>1a1a1a1a\u00b70c0c0c0c:
        """)

    def test_key_goes_before_names_and_hosts(self) -> None:
        """
        Eight digits are the contact that has them; only without one are they a word like others.
        """
        self.know(QUOKKA, "1a1a1a1a")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 1a1a1a1a
            Enter your message to 1a1a1a1a (10.0.0.1:6101): hi
            <send 'hi' to 10.0.0.1:6101>
            Enter your choice: 1
            Enter the recipient's IP address: cafebabe
            <look up cafebabe>
            Looking up cafebabe ... c
            Cancelled.
            Enter your choice:
        """)
        self.trust(WHALE, "Blue Whales")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 1a1a1a1a
            Enter your message to Blue Whales\u00b71a1a1a1a:
        """)

    def test_short_key_of_digits_is_no_number(self) -> None:
        """
        A key of decimal digits is a key, and a number of the list a number.
        """
        self.trust(DeviceKey(b"\x12\x34\x56\x78" * 8), "Dee")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 12345678
            Enter your message to Dee\u00b712345678: c
            Cancelled.
            Enter your choice: 1
            Enter the recipient's IP address: 12345679
            A number is one from the list: show it with 2 first.
            Enter your choice:
        """)

    def test_namesakes_are_told_apart_by_numbers_and_keys(self) -> None:
        """
        A name that a contact, a peer there and a plain one have asks for the one.
        """
        self.know(PANDA, "Bob")
        self.meet(WHALE, "bob")
        self.trust(ORCA, "BOB", verified=True)
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: Bob
            1. 10.0.0.2:6202  Bob           plain     heard 0 s ago
            2. 10.0.0.1:6101  bob\u00b71a1a1a1a  secure    heard 0 s ago
            3. -              BOB\u00b70c0c0c0c  verified  met 0 s ago
            3 could be meant: give the number or the address of the one.
            Enter the recipient's IP address: 3
            Enter your message to BOB\u00b70c0c0c0c: hi
            <send 'hi' to 0c0c0c0c>
            Enter your choice:
        """)

    def test_same_short_key_asks_for_the_one(self) -> None:
        """
        A key that somebody searched for until it began alike catches nothing.
        """
        self.trust(WHALE, "Blue Whales")
        twin = DeviceKey(b"\x1a" * 31 + b"\x00")
        self.call(Reason.NAMESAKE, twin, "Blue Whales")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: Blue Whales\u00b71a1a1a1a
            1. 10.0.0.3:6303  Blue Whales\u00b71a1a1a1a  door      has a contact's name, 0 s ago
            2. -              Blue Whales\u00b71a1a1a1a  secure    met 0 s ago
            2 could be meant: give the number or the address of the one.
            Enter the recipient's IP address: 2
            Enter your message to Blue Whales\u00b71a1a1a1a: hi
            <send 'hi' to 1a1a1a1a>
            Enter your choice:
        """)
        self.assertEqual([SendText((WHALE,), "x")], self.send("1", str(WHALE), "x"))

    def send(self, *lines: str) -> list[Effect]:
        """
        Type lines, and give what comes of the last one.
        """
        return [self.menu.receive_line(line, NOW) for line in lines][-1]

    def test_those_who_cannot_be_sent_to_are_refused(self) -> None:
        """
        Who is at the door, blocked or forgotten is said so, however they were chosen.
        """
        self.call(Reason.KNOCK, EVE, "Eve")
        self.trust(WHALE, "Blue Whales")
        self.trust(ORCA, "Orca")
        self.node.contacts.block(ORCA, "Orca", NOW)
        self.send("t", "c")
        self.node.contacts.forget(WHALE)
        for typed, reason in [
            ("1", "At the door: Eve\u00b7eeeeeeee. Let it in with t first."),
            ("eeeeeeee", "At the door: Eve\u00b7eeeeeeee. Let it in with t first."),
            ("2", "Blocked: Orca\u00b70c0c0c0c. Forget it with t first."),
            ("Orca\u00b70c0c0c0c", "Blocked: Orca\u00b70c0c0c0c. Forget it with t first."),
            (
                "3",
                "No longer known: (no name)\u00b71a1a1a1a. Show the lists again with 2.",
            ),
        ]:
            self.play(f"""
                Enter your choice: 1
                Enter the recipient's IP address: {typed}
                {reason}
                Enter your choice:
            """)
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: orca
            <look up orca>
            Looking up orca ...
        """)

    def test_broadcast_automatic_and_reply_use_keys(self) -> None:
        """
        What goes to those who are there goes to secure ones by their key.
        """
        self.meet(WHALE, "Blue Whales")
        self.know(PANDA, "Panda", connected=True)
        self.menu.spoke(WHALE)
        self.play("""
            Enter your choice: b
            Enter your message to 2 connected peers: hi
            <send 'hi' to 1a1a1a1a, 10.0.0.2:6202>
            Enter your choice: 3
            Choose connection mode:
            A - Automatically connect to all active peers
            M - Manually enter IP and port to connect
            Enter your choice (A/M): a
            <connect auto to 1a1a1a1a, 10.0.0.2:6202>
            Enter your choice: r
            Enter your reply to Blue Whales\u00b71a1a1a1a: hi
            <send 'hi' to 1a1a1a1a>
            Enter your choice:
        """)

    def test_names_are_known_of_all(self) -> None:
        """
        Whoever has told a name is called by it.
        """
        self.know(QUOKKA, "Quokka")
        self.trust(WHALE, "Blue Whales")
        self.call(Reason.KNOCK, EVE, "Eve")
        names: list[tuple[Recipient, str | None]] = [
            (QUOKKA, "Quokka"),
            (PANDA, None),
            (WHALE, "Blue Whales"),
            (EVE, "Eve"),
            (ORCA, None),
        ]
        for recipient, name in names:
            self.assertEqual(name, self.menu.name(recipient))


class ListsTests(MenuCase):
    """
    2: who is there; and what can be completed.
    """

    def test_every_section_is_numbered_through(self) -> None:
        """
        Whoever can be sent to has one number, in however many sections.
        """
        self.know(PANDA, "Panda", connected=True)
        self.meet(WHALE, "Blue Whales", connected=False)
        self.trust(ORCA, "Orca", verified=True, at=NUMBAT)
        self.call(Reason.KNOCK, EVE, "Eve")
        self.node.found = [
            Nearby("one", (Address("10.0.0.7", 7), Address("fd00::7", 7))),
            Nearby("two", (Address("10.0.0.8", 7),), ORCA),
            Nearby("three", (QUOKKA,), WHALE),
        ]
        self.play("""
            Enter your choice: 2
            --- Active peers (a message went either way) ---
            1. 10.0.0.2:6202  Panda                 plain     heard 0 s ago
            2. 10.0.0.1:6101  Blue Whales\u00b71a1a1a1a  secure    heard 0 s ago
            --- Connected peers (one of you connected to the other) ---
            1. 10.0.0.2:6202  Panda                 plain     heard 0 s ago
            --- Known, but away ---
            3. 10.0.0.3:6303  Orca\u00b70c0c0c0c         verified  met 0 s ago
            --- Nearby (found on this network) ---
            4. 10.0.0.7:7     unknown               -         never met
            3. 10.0.0.8:7     Orca\u00b70c0c0c0c         verified  seems to be here
            2. 10.0.0.1:6101  Blue Whales\u00b71a1a1a1a  secure    seems to be here
            --- At the door (decide with t) ---
            10.0.0.3:6303  Eve\u00b7eeeeeeee          door      asks to be let in, 0 s ago
            Enter your choice: 1
            Enter the recipient's IP address: 3
            Enter your message to Orca\u00b70c0c0c0c: hi
            <send 'hi' to 0c0c0c0c>
            Enter your choice: 1
            Enter the recipient's IP address: 4
            Enter your message to 10.0.0.7:7: hi
            <send 'hi' to 10.0.0.7:7>
            Enter your choice: 1
            Enter the recipient's IP address: 5
            No number 5 in the last list: show it again with 2.
            Enter your choice:
        """)

    def test_connected_and_blocked_are_not_nearby(self) -> None:
        """
        What is nearby are those with whom something could be begun.
        """
        self.meet(WHALE, "Blue Whales")
        self.node.contacts.block(ORCA, "Orca", NOW)
        self.node.found = [Nearby("one", (QUOKKA,), WHALE), Nearby("two", (PANDA,), ORCA)]
        self.play("""
            Enter your choice: 2
            --- Active peers (a message went either way) ---
            1. 10.0.0.1:6101  Blue Whales\u00b71a1a1a1a  secure    heard 0 s ago
            --- Connected peers (one of you connected to the other) ---
            1. 10.0.0.1:6101  Blue Whales\u00b71a1a1a1a  secure    heard 0 s ago
            Enter your choice:
        """)

    def test_words_are_what_can_be_typed(self) -> None:
        """
        Names without repetition, names with keys, addresses; and none that is shown otherwise.
        """
        self.know(PANDA, "Panda")
        self.know(NUMBAT, "A\x1b[2J")
        self.meet(WHALE, "Blue Whales")
        self.trust(ORCA, "Panda")
        self.trust(DeviceKey(b"\x01" * 32), "x\u00b71a1a1a1a")
        self.node.contacts.block(EVE, "Eve", NOW)
        self.node.found = [Nearby("one", (Address("10.0.0.7", 7), Address("fd00::7", 7)))]

        self.assertEqual(
            [
                "Panda",
                "Blue Whales",
                "Panda\u00b70c0c0c0c",
                "Blue Whales\u00b71a1a1a1a",
                "10.0.0.2:6202",
                "10.0.0.3:6303",
                "10.0.0.1:6101",
                "10.0.0.7:7",
            ],
            self.menu.words(),
        )


class InviteTests(MenuCase):
    """
    Invites: ours, and those that are pasted.
    """

    LINK = Invite(WHALE, "Blue Whales", (QUOKKA,)).link

    def test_ours_is_shown(self) -> None:
        """
        I shows who we are in words, and at last the code.
        """
        shown = told(self.menu.receive_line("i", NOW))

        self.assertEqual(
            [
                "Your name: Red Pandas",
                "Your key:",
                self.node.key.fingerprint,
                "Your invite: whoever pastes it as the recipient meets you, and nobody else.",
                self.node.invite().link,
            ],
            shown[:5],
        )
        self.assertEqual(qr_lines(self.node.invite().link), shown[5:])

    def use(self, *lines: str) -> str:
        """
        Paste an invite after some lines, have it used, and give what comes of it and is asked.
        """
        for line in lines:
            self.menu.receive_line(line, NOW)
        self.assertEqual(
            ["<use the invite of Blue Whales>"], told(self.menu.receive_line(self.LINK, NOW))
        )
        self.assertTrue(self.menu.is_waiting)
        self.assertEqual("Keeping the invite ... ", self.menu.prompt)
        self.assertEqual([], self.menu.receive_line("1", NOW))
        answer = told(self.menu.invite_used(WHALE, "Blue Whales"))
        return " ".join([*answer, self.menu.prompt])

    def test_pasted_one_is_a_recipient(self) -> None:
        """
        It is kept, and then it is the recipient, by its key.
        """
        self.assertEqual("Enter your message to Blue Whales\u00b71a1a1a1a: ", self.use("1"))
        self.assertEqual([SendText((WHALE,), "hi")], self.menu.receive_line("hi", NOW))

    def test_pasted_one_connects(self) -> None:
        """
        It can be pasted where 3 asks, and without having chosen anything.
        """
        for lines in [("3", "m"), ()]:
            self.assertEqual("<connect manual to 1a1a1a1a> Enter your choice: ", self.use(*lines))

    def test_pasted_one_is_verified_already(self) -> None:
        """
        Where a contact is to be verified an invite says it all.
        """
        self.assertEqual("Verified: Blue Whales\u00b71a1a1a1a. Enter your choice: ", self.use("v"))

    def test_broken_one_is_refused(self) -> None:
        """
        It is told what is wrong with it.
        """
        self.menu.receive_line("1", NOW)
        [line] = told(self.menu.receive_line(self.LINK[:40], NOW))
        self.assertIn("Invalid invite", line)
        self.assertFalse(self.menu.is_waiting)

    def test_refused_one_is_told(self) -> None:
        """
        What the node says against it is shown, and the choice is back.
        """
        self.menu.receive_line(self.LINK, NOW)
        self.assertEqual(["That is your own."], told(self.menu.refused("That is your own.")))
        self.assertEqual("Enter your choice: ", self.menu.prompt)


class VerifyingTests(MenuCase):
    """
    V: verify a contact.
    """

    def words(self) -> list[str]:
        """
        Give the words for the key of `WHALE`.
        """
        return told(self.menu.words_known(WHALE, WORDS))

    def test_same_words_verify(self) -> None:
        """
        The contact is chosen, the words are shown, and y keeps that they are the same.
        """
        self.trust(WHALE, "Blue Whales")
        self.menu.receive_line("t", NOW)
        self.menu.receive_line("c", NOW)
        for typed in ["1", "blue whales", "1a1a1a1a"]:
            self.play(f"""
                Enter your choice: v
                Enter the contact to verify: {typed}
                <show the words for 1a1a1a1a>
                Working out the words ...
            """)
            self.assertTrue(self.menu.is_waiting)
            self.assertEqual(
                [
                    "The six words for you and Blue Whales\u00b71a1a1a1a:",
                    "      apple pear fig plum kiwi lime",
                    "Compare them with Blue Whales\u00b71a1a1a1a by another way: face to face, "
                    "or on the telephone.",
                ],
                self.words(),
            )
            self.play(f"""
                Are they the same? (y/n): Y
                <verify 1a1a1a1a>
                {DONE}
                Verified: Blue Whales\u00b71a1a1a1a.
                Enter your choice:
            """)

    def test_other_words_warn(self) -> None:
        """
        N says what it means, loudly, and keeps nothing.
        """
        self.trust(WHALE, "Blue Whales")
        for typed in ["n", "no"]:
            self.menu.receive_line("v", NOW)
            self.menu.receive_line("Blue Whales", NOW)
            self.words()
            [effect] = self.menu.receive_line(typed, NOW)
            assert isinstance(effect, Show)
            self.assertEqual({"bad"}, {style for line in effect.lines for style, _ in line})
            self.assertIn("between you and Blue Whales\u00b71a1a1a1a", told([effect])[0])
            self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_other_answer_is_refused(self) -> None:
        """
        Only a clear answer counts.
        """
        self.trust(WHALE, "Blue Whales")
        self.menu.receive_line("v", NOW)
        self.menu.receive_line("Blue Whales", NOW)
        self.words()
        self.play("""
            Are they the same? (y/n): maybe
            Invalid choice. Please try again with v: it is y or n.
            Enter your choice:
        """)

    def test_words_that_could_not_be_kept_are_told(self) -> None:
        """
        A full disk is no verification.
        """
        self.trust(WHALE, "Blue Whales")
        self.menu.receive_line("v", NOW)
        self.menu.receive_line("Blue Whales", NOW)
        self.words()
        self.play(f"""
            Are they the same? (y/n): y
            <verify 1a1a1a1a>
            {REFUSED}
            The disk is full.
            Enter your choice:
        """)

    def test_caller_can_be_compared_before_it_is_let_in(self) -> None:
        """
        Of somebody at the door the words are shown, and nothing is asked.
        """
        self.call(Reason.KNOCK, WHALE, "Blue Whales")
        self.play("""
            Enter your choice: v
            Enter the contact to verify: Blue Whales
            <show the words for 1a1a1a1a>
            Working out the words ...
        """)
        self.assertEqual(
            "If they are the same, let it in with t, and verify it with v.", self.words()[-1]
        )
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_namesake_is_asked_for(self) -> None:
        """
        A contact and a caller of one name are told apart before any words are shown.
        """
        self.trust(WHALE, "Blue Whales")
        self.call(Reason.NAMESAKE, EVE, "Blue Whales")
        self.play("""
            Enter your choice: v
            Enter the contact to verify: Blue Whales
            1. -              Blue Whales\u00b71a1a1a1a  secure    met 0 s ago
            2. 10.0.0.3:6303  Blue Whales\u00b7eeeeeeee  door      has a contact's name, 0 s ago
            2 could be meant: give the number or the address of the one.
            Enter the contact to verify: 2
            <show the words for eeeeeeee>
            Working out the words ...
        """)

    def test_who_has_no_key_is_refused(self) -> None:
        """
        A plain peer, an address and nobody at all cannot be verified.
        """
        self.know(QUOKKA, "Quokka")
        self.menu.receive_line("2", NOW)
        unknown = "Unknown: no contact has that name. Give its number from the list that t shows."
        for typed, reason in [
            ("1", "There is no key to compare: 10.0.0.1:6101 is no contact."),
            ("Quokka", unknown),
            ("10.0.0.1:6101", unknown),
            ("lab-3", unknown),
            (EMPTY, unknown),
        ]:
            self.play(f"""
                Enter your choice: v
                Enter the contact to verify: {typed}
                {reason}
                Enter your choice:
            """)

    def test_words_of_another_key_do_nothing(self) -> None:
        """
        Late words, and those for another key, are not shown.
        """
        self.trust(ORCA, "Orca")
        self.assertEqual([], self.words())
        self.menu.receive_line("v", NOW)
        self.menu.receive_line("orca", NOW)
        self.assertEqual([], self.words())
        self.assertTrue(self.menu.is_waiting)


class TrustingTests(MenuCase):
    """
    T: decide.
    """

    def test_nobody_to_decide_about_is_told(self) -> None:
        """
        Without callers and contacts there is nothing to ask.
        """
        self.play("""
            Enter your choice: t
            Nobody is at the door, and nobody is known: nothing to decide.
            Enter your choice:
        """)

    def decide(self, number: int, letter: str) -> list[str]:
        """
        Choose by number and letter, have it kept, and give what was offered, done and told.
        """
        self.menu.receive_line("t", NOW)
        offered = told(self.menu.receive_line(str(number), NOW))[1:]
        prompt = self.menu.prompt
        done = told(self.menu.receive_line(letter, NOW))
        self.assertTrue(self.menu.is_waiting)
        self.assertEqual("Keeping that ... ", self.menu.prompt)
        kept = told(self.menu.done())
        self.assertEqual("Enter your choice: ", self.menu.prompt)
        return [*offered, prompt, *done, *kept]

    def test_knock_is_accepted_ignored_or_blocked(self) -> None:
        """
        About a stranger three things can be said.
        """
        self.call(Reason.KNOCK, EVE, "Eve")
        for letter, decision, kept in [
            ("a", "ACCEPT", "Let in: Eve\u00b7eeeeeeee."),
            ("I", "IGNORE", "Left outside: Eve\u00b7eeeeeeee. It may come again."),
            ("b", "BLOCK", "Blocked: Eve\u00b7eeeeeeee."),
        ]:
            self.assertEqual(
                [
                    "a - Let it in: it becomes a contact",
                    "i - Leave it outside for now",
                    "b - Block it: keep it out for good",
                    "Enter your choice (a/i/b): ",
                    f"<decide {decision} about eeeeeeee, KNOCK>",
                    kept,
                ],
                self.decide(1, letter),
            )

    def test_other_key_is_new_or_somebody_elses_or_refused(self) -> None:
        """
        About a key that a contact could have four things can be said.
        """
        contact = self.trust(WHALE, "Blue Whales")
        for reason in [Reason.NAMESAKE, Reason.NEW_KEY]:
            self.node.at_the_door.clear()
            self.call(reason, EVE, "Blue Whales", contact)
            label = "Blue Whales\u00b7eeeeeeee"
            for letter, decision, kept in [
                ("n", "NEW_KEY", f"Known by its new key from now on, and not verified: {label}."),
                ("s", "SOMEBODY_ELSE", f"Let in as somebody else: {label}."),
                ("k", "KEEP_OLD", f"Kept the old key only. Left outside: {label}."),
                ("b", "BLOCK", f"Blocked: {label}."),
            ]:
                self.assertEqual(
                    [
                        "n - It is the contact with a new key: the old one counts no longer",
                        "s - It is somebody else: let it in beside the contact",
                        "k - Keep the contact's old key only: this one stays outside",
                        "b - Block it: keep it out for good",
                        "Enter your choice (n/s/k/b): ",
                        f"<decide {decision} about eeeeeeee, {reason.name}>",
                        kept,
                    ],
                    self.decide(1, letter),
                )

    def test_missing_key_is_waited_for_or_released(self) -> None:
        """
        About an address that proves nothing two things can be said.
        """
        self.call(Reason.DOWNGRADE, WHALE, "Blue Whales", self.trust(WHALE, "Blue Whales"))
        label = "Blue Whales\u00b71a1a1a1a"
        for letter, decision, kept in [
            ("k", "KEEP_OLD", f"Nothing goes to 10.0.0.3:6303 without the key of {label}."),
            (
                "s",
                "SOMEBODY_ELSE",
                f"The address 10.0.0.3:6303 is somebody else's now, and no longer that of {label}.",
            ),
        ]:
            self.assertEqual(
                [
                    "k - Keep to the contact's key: nothing goes there in the clear",
                    "s - Somebody else has that address now: speak with it in the clear",
                    "Enter your choice (k/s): ",
                    f"<decide {decision} about 1a1a1a1a, DOWNGRADE>",
                    kept,
                ],
                self.decide(1, letter),
            )

    def test_contact_is_blocked_or_forgotten(self) -> None:
        """
        Contacts come after the callers; one that is blocked can only be forgotten.
        """
        self.call(Reason.KNOCK, EVE, "Eve")
        self.trust(WHALE, "Blue Whales")
        for letter, decision, kept in [
            ("b", "BLOCK", "Blocked: Blue Whales\u00b71a1a1a1a."),
            ("f", "FORGET", "Forgotten: Blue Whales\u00b71a1a1a1a."),
        ]:
            self.assertEqual(
                [
                    "v - Verify it: compare six words with it",
                    "b - Block it: keep it out for good",
                    "f - Forget it: it is a stranger again, and may knock",
                    "Enter your choice (v/b/f): ",
                    f"<decide {decision} about 1a1a1a1a, a contact>",
                    kept,
                ],
                self.decide(2, letter),
            )
        self.node.contacts.block(WHALE, "Blue Whales", NOW)
        self.assertEqual(
            [
                "f - Forget it: it is a stranger again, and may knock",
                "Enter your choice (f): ",
                "<decide FORGET about 1a1a1a1a, a contact>",
                "Forgotten: Blue Whales\u00b71a1a1a1a.",
            ],
            self.decide(2, "f"),
        )

    def test_contact_is_verified_from_here_too(self) -> None:
        """
        V leads to the six words.
        """
        self.trust(WHALE, "Blue Whales")
        self.menu.receive_line("t", NOW)
        self.play("""
            Enter a number: 1
            Choose what to do about Blue Whales\u00b71a1a1a1a:
            v - Verify it: compare six words with it
            b - Block it: keep it out for good
            f - Forget it: it is a stranger again, and may knock
            Enter your choice (v/b/f): v
            <show the words for 1a1a1a1a>
            Working out the words ...
        """)

    def test_list_has_numbers_of_its_own(self) -> None:
        """
        A contact and what came in its name are two; the numbers serve as recipients as well.
        """
        contact = self.trust(WHALE, "Blue Whales", verified=True, at=QUOKKA)
        self.call(Reason.DOWNGRADE, WHALE, "Blue Whales", contact)
        day = datetime.fromtimestamp(NOW).strftime("%Y-%m-%d")
        self.play(f"""
            Enter your choice: t
            --- At the door ---
            1. 10.0.0.3:6303  Blue Whales\u00b71a1a1a1a  door      shows no key any more, 0 s ago
            --- Contacts ---
            2. 10.0.0.1:6101  Blue Whales\u00b71a1a1a1a  verified  met 0 s ago, known since {day}
            Enter a number: {EMPTY}
            Enter your choice: 1
            Enter the recipient's IP address: 2
            Enter your message to Blue Whales\u00b71a1a1a1a: hi
            <send 'hi' to 1a1a1a1a>
            Enter your choice:
        """)

    def test_decision_is_about_who_was_shown(self) -> None:
        """
        Whoever comes or goes while the question stands, the numbers mean what the list said.
        """
        caller = self.call(Reason.KNOCK, EVE, "Eve")
        self.menu.receive_line("t", NOW)
        self.node.at_the_door.clear()
        self.call(Reason.KNOCK, ORCA, "Orca")
        self.menu.receive_line("1", NOW)

        self.assertEqual([Decide(EVE, Decision.ACCEPT, caller)], self.menu.receive_line("a", NOW))

    def test_what_could_not_be_done_is_told(self) -> None:
        """
        The reason is shown in the place of the good news.
        """
        self.call(Reason.KNOCK, EVE, "Eve")
        for line in ["t", "1", "a"]:
            self.menu.receive_line(line, NOW)
        self.play(f"""
            {REFUSED}
            The disk is full.
            Enter your choice:
        """)

    def test_invalid_answers_return_to_the_choice(self) -> None:
        """
        A number that is none, and a letter that is not offered, decide nothing.
        """
        self.call(Reason.KNOCK, EVE, "Eve")
        for number in ["0", "2", "Eve", "9" * 20]:
            self.menu.receive_line("t", NOW)
            self.play(f"""
                Enter a number: {number}
                No number {number} in the list: show it again with t.
                Enter your choice:
            """)
        for letter in ["v", "f", "ab", EMPTY]:
            self.menu.receive_line("t", NOW)
            self.menu.receive_line("1", NOW)
            self.play(f"""
                Enter your choice (a/i/b): {letter}
                Invalid choice. Please try again with t: it is one of a, i, b.
                Enter your choice:
            """)

    def test_answers_that_nobody_waits_for_do_nothing(self) -> None:
        """
        Whoever cancelled is not interrupted, by whatever answer.
        """
        for prompt in ["Enter your choice: ", "Enter the recipient's IP address: "]:
            self.assertEqual(prompt, self.menu.prompt)
            self.assertEqual([], self.menu.done())
            self.assertEqual([], self.menu.refused("The disk is full."))
            self.assertEqual([], self.menu.invite_used(WHALE, "Blue Whales"))
            self.assertEqual(prompt, self.menu.prompt)
            self.menu.receive_line("1", NOW)


class AnyQuestionTests(MenuCase):
    """
    What holds at every question.
    """

    # What leads to each question.
    WAYS = (
        (),
        ("1",),
        ("1", "lab-3"),
        ("1", "10.0.0.7"),
        ("1", "10.0.0.7:6101"),
        ("1", "Quokka"),
        ("3",),
        ("3", "m"),
        ("3", "m", "lab-3"),
        ("3", "m", "10.0.0.7"),
        ("b",),
        ("r",),
        ("v",),
        ("v", "Blue Whales"),
        ("1", InviteTests.LINK),
        ("t",),
        ("t", "1"),
        ("t", "2"),
        ("t", "1", "a"),
    )

    def ask(self, way: tuple[str, ...]) -> None:
        """
        Go to a question, with everything there that it may need.
        """
        self.setUp()
        self.know(QUOKKA, "Quokka", connected=True)
        self.menu.spoke(QUOKKA)
        self.call(Reason.KNOCK, EVE, "Eve")
        self.trust(WHALE, "Blue Whales")
        for line in way:
            self.menu.receive_line(line, NOW)

    def test_ways_lead_to_every_question(self) -> None:
        """
        The ways of these tests lead to questions that all differ.
        """
        prompts = set()
        for way in self.WAYS:
            self.ask(way)
            prompts.add(self.menu.prompt)
        # Both purposes look up the same name.
        self.assertEqual(len(self.WAYS) - 1, len(prompts))

    def test_c_cancels(self) -> None:
        """
        The letter c, in either case, leads back to the choice from everywhere.
        """
        for way in self.WAYS:
            for letter in ["c", " C "]:
                self.ask(way)
                expected = "Cancelled." if way else "There is nothing to cancel."
                self.assertEqual([expected], told(self.menu.receive_line(letter, NOW)))
                self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_too_long_a_line_is_refused(self) -> None:
        """
        What no message holds is refused at every question, and nothing of it is done.
        """
        for way in self.WAYS:
            self.ask(way)
            self.assertEqual(
                [
                    "That is too long: a message holds 65,536 bytes, and this has 65,538. "
                    "Nothing was sent; send it in parts."
                ],
                told(self.menu.receive_line("\u00e9" * (LARGEST_TEXT // 2 + 1), NOW)),
            )
            self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_longest_text_is_sent(self) -> None:
        """
        A message of exactly the largest size goes; outer white space does not count.
        """
        text = "x" * LARGEST_TEXT
        self.ask(("r",))

        self.assertEqual([SendText((QUOKKA,), text)], self.menu.receive_line(f" {text}\r\n", NOW))

    LINES = ("t", "v", "y", "i", "3", "Eve", "Blue Whales", "1a1a1a1a", InviteTests.LINK)

    @given(
        st.lists(
            typed_lines()
            | st.sampled_from(LINES)
            | st.sampled_from(Decision)
            | st.sampled_from([True, False])
            | st.sampled_from([QUOKKA, PANDA, WHALE, EVE, ORCA]),
            max_size=20,
        )
    )
    def test_any_lines_have_well_formed_effects(
        self, steps: list[str | bool | Decision | Recipient]
    ) -> None:
        """
        Whatever is typed, answered and said in any order, each effect can be carried out.
        """
        self.ask(())
        for step in steps:
            match step:
                case str():
                    effects = self.menu.receive_line(step, NOW)
                case bool():
                    effects = self.menu.looked_up(found=step)
                case Decision.ACCEPT:
                    effects = self.menu.invite_used(WHALE, "Blue Whales")
                case Decision.FORGET:
                    effects = self.menu.words_known(EVE, WORDS)
                case Decision.IGNORE:
                    effects = self.menu.refused("It could not be kept.")
                case Decision():
                    effects = self.menu.words_known(WHALE, WORDS) or self.menu.done()
                case Address() | DeviceKey():
                    self.menu.spoke(step)
                    self.menu.not_sent(step, "unsent")
                    effects = []
            for effect in effects:
                self.check(effect)
            self.assertTrue(self.menu.prompt.endswith(" "))
            self.assertTrue(self.menu.prompt.isprintable(), ascii(self.menu.prompt))

    def check(self, effect: Effect) -> None:
        """
        An effect has all that is needed to carry it out, and is safe to show.
        """
        match effect:
            case Show(lines):
                self.assertTrue(lines)
                for line in lines:
                    for _, text in line:
                        self.assertLessEqual(len(text.splitlines()), 1)
                        text.encode()
            case SendText(recipients, text):
                self.assertTrue(recipients)
                self.assertTrue(text)
                self.assertEqual(text.strip(), text)
            case Connect(recipients):
                self.assertTrue(recipients)
                for recipient in recipients:
                    if isinstance(recipient, Address):
                        self.assertTrue(1 <= recipient.port <= 65535)
            case LookUp(host):
                self.assertTrue(host)
                self.assertTrue(self.menu.is_waiting)
            case UseInvite() | ShowWords() | Verify() | Decide():
                self.assertTrue(self.menu.is_waiting)
            case Quit():
                pass
