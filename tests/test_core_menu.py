"""
The menu, as transcripts: what is asked, what is typed, and what comes of it.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.strategies import typed_lines
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite
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
        self.assertEqual("\n".join(expected), "\n".join(actual))


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
    )

    def ask(self, way: tuple[str, ...]) -> None:
        """
        Go to a question, with everything there that it may need.
        """
        self.setUp()
        self.know(QUOKKA, "Quokka", connected=True)
        self.menu.spoke(QUOKKA)
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

    @given(
        st.lists(
            typed_lines() | st.sampled_from([True, False]) | st.sampled_from([QUOKKA, PANDA]),
            max_size=20,
        )
    )
    def test_any_lines_have_well_formed_effects(self, steps: list[str | bool | Address]) -> None:
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
                case Address():
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
            case SendText(addresses, text):
                self.assertTrue(addresses)
                self.assertTrue(text)
                self.assertEqual(text.strip(), text)
            case Connect(addresses):
                self.assertTrue(addresses)
                self.assertTrue(all(1 <= address.port <= 65535 for address in addresses))
            case LookUp(host):
                self.assertTrue(host)
                self.assertTrue(self.menu.is_waiting)
            case Quit():
                pass
