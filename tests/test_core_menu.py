"""
The menu, as transcripts: what is asked, what is typed, and what comes of it.
"""

from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.strategies import typed_lines
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect, Kind
from twistedchat.core.events import Progress, Sent, Speaker
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite, qr_lines
from twistedchat.core.menu import (
    HELP,
    HITS,
    LARGEST_TEXT,
    MENU,
    MOST_UNSENT,
    PAGE,
    WINDOW,
    AddTo,
    Connect,
    Decide,
    Effect,
    Join,
    KeepTrying,
    LeaveRoom,
    LookUp,
    MakeRoom,
    Menu,
    Quit,
    ReadHistory,
    Recall,
    RemoveFrom,
    Search,
    Seen,
    SendText,
    Show,
    ShowWords,
    UseInvite,
    Verify,
)
from twistedchat.core.nearby import Nearby
from twistedchat.core.reading import BATCH
from twistedchat.core.roster import Recipient, RoomId
from twistedchat.core.trust import Caller, Contact, Decision, Reason
from twistedchat.testing import FakeNode

QUOKKA = Address("10.0.0.1", 6101)
PANDA = Address("10.0.0.2", 6202)
NUMBAT = Address("10.0.0.3", 6303)
WHALE = DeviceKey(b"\x1a" * 32)
ORCA = DeviceKey(b"\x0c" * 32)
EVE = DeviceKey(b"\xee" * 32)
CLASS = RoomId(b"\xc1" * 32)
LAB = RoomId(b"\x1b" * 32)
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
            case MakeRoom(name):
                lines.append(f"<make the room {name!r}>")
            case AddTo(room, key):
                lines.append(f"<add {key.short} to {short(room)}>")
            case RemoveFrom(room, key):
                lines.append(f"<remove {key.short} from {short(room)}>")
            case Join(room):
                lines.append(f"<join {short(room)}>")
            case LeaveRoom(room):
                lines.append(f"<leave {short(room)}>")
            case Recall(recipient):
                lines.append(f"<recall the last one to {short(recipient)}>")
            case ReadHistory(place, since, before):
                where = "everywhere" if place is None else named(place)
                ago = f" since {NOW - since:.0f} s" if since else ""
                lines.append(f"<read {where}{ago}{before_what(before)}>")
            case Search(words, before):
                lines.append(f"<search {words!r}{before_what(before)}>")
            case Seen(place, seen, is_first):
                where = "" if place is None else f" in {named(place)}"
                first = ", the first" if is_first else ""
                numbers = ", ".join(str(line.number) for line in seen)
                lines.append(f"<seen {numbers}{where}{first}>")
            case KeepTrying():
                lines.append("<keep trying>")
            case Quit():
                lines.append("<quit>")
    return lines


def short(recipient: Recipient) -> str:
    """
    A recipient as a transcript has it.
    """
    return str(recipient) if isinstance(recipient, Address) else recipient.raw.hex()[:8]


def named(place: Place) -> str:
    """
    A place as a transcript has it.
    """
    return str(place) if isinstance(place, Address) else place.hex()[:8]


def before_what(line: LineOfHistory | None) -> str:
    """
    Before which line something is to be read, as a transcript has it.
    """
    return "" if line is None else f" before {line.number}"


class MenuCase(SynchronousTestCase):
    """
    A menu, and those it knows.
    """

    is_interactive = True

    @override
    def setUp(self) -> None:
        """
        Begin with a menu that knows nobody.
        """
        self.node = FakeNode("Red Pandas")
        self.roster = self.node.roster
        self.window = WINDOW
        self.menu = Menu(self.node, is_interactive=self.is_interactive, window=lambda: self.window)

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

    def join(
        self, room: RoomId, name: str, stay: Stay = Stay.JOINED, founder: DeviceKey = WHALE
    ) -> RoomRecord:
        """
        Have something to do with a room.
        """
        record = RoomRecord(room.raw, stay, name, founder, founder)
        self.node.records.append(record)
        return record

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
                "No contact: (no name)\u00b71a1a1a1a. Show the lists again with 2.",
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
            ("I", "IGNORE", "Left at the door: Eve\u00b7eeeeeeee. You can still decide with t."),
            ("b", "BLOCK", "Blocked: Eve\u00b7eeeeeeee."),
        ]:
            self.assertEqual(
                [
                    "a - Let it in: it becomes a contact",
                    "i - Leave it at the door: decide later",
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


class RoomsTests(MenuCase):
    """
    M: rooms, and rooms as recipients.
    """

    @override
    def setUp(self) -> None:
        """
        Have a room of our own, one of somebody else, and an invitation.
        """
        super().setUp()
        self.trust(WHALE, "Blue Whales")
        self.ours = self.join(CLASS, "class", founder=self.node.key)
        self.theirs = self.join(LAB, "lab")
        self.node.people[CLASS] = [
            Speaker(self.node.key, "(unknown)"),
            Speaker(WHALE, "Blue Whales", True),
            Speaker(EVE, "Eve"),
        ]
        self.node.people[LAB] = [Speaker(WHALE, "Blue Whales", True)]
        self.node.counts = {CLASS.raw: 3}

    def be_invited(self, room: RoomId, name: str) -> RoomRecord:
        """
        Have an invitation.
        """
        return self.join(room, name, Stay.INVITED)

    def test_rooms_are_listed_with_what_is_unread(self) -> None:
        """
        M shows every room with a number, how many are in it, and who invited us.
        """
        self.be_invited(RoomId(b"\x0a" * 32), "attic")
        self.join(RoomId(b"\x0b" * 32), "new")
        self.play(f"""
            Enter your choice: m
            --- Rooms (make, join, leave and more with m) ---
            1. #class  room      3 people, 3 unread
            2. #lab    room      only you
            3. #attic  invited   by Blue Whales\u00b71a1a1a1a
            4. #new    room      nobody met yet
            Enter a number, or new and a name: {EMPTY}
            Enter your choice:
        """)

    def test_lists_of_2_have_the_rooms(self) -> None:
        """
        What can be sent to is in the lists of 2, with a number and what is unread.
        """
        self.node.counts[WHALE.raw] = 1
        self.play("""
            Enter your choice: 2
            --- Active peers (a message went either way) ---
            No active peers.
            --- Connected peers (one of you connected to the other) ---
            No connected peers.
            --- Known, but away ---
            1. -  Blue Whales\u00b71a1a1a1a  secure    met 0 s ago, 1 unread
            --- Rooms (make, join, leave and more with m) ---
            2.    #class                room      3 people, 3 unread
            3.    #lab                  room      only you
            Enter your choice: 1
            Enter the recipient's IP address: 2
            Enter your message to #class: hi
            <send 'hi' to c1c1c1c1>
            Enter your choice:
        """)

    def test_room_is_a_recipient_by_its_name(self) -> None:
        """
        Its name is enough, and with a number sign it is never anybody else's.
        """
        for typed in ["class", "#Class", "#class\u00b7C1C1C1C1"]:
            self.play(f"""
                Enter your choice: 1
                Enter the recipient's IP address: {typed}
                Enter your message to #class: hi
                <send 'hi' to c1c1c1c1>
                Enter your choice:
            """)
        self.know(QUOKKA, "Class")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: class
            1. 10.0.0.1:6101  Class   plain     heard 0 s ago
            2.                #class  room      3 people, 3 unread
            2 could be meant: give the number or the address of the one.
            Enter the recipient's IP address: #class
            Enter your message to #class:
        """)

    def test_unknown_rooms_are_refused(self) -> None:
        """
        A number sign in front of something else is no recipient, and no host either.
        """
        for typed in ["#", "#clas", "#class room", "#c1c1c1c1"]:
            self.play(f"""
                Enter your choice: 1
                Enter the recipient's IP address: {typed}
                Unknown: you are in no room {typed}. Show them with m.
                Enter your choice:
            """)

    def test_rooms_of_one_name_are_told_apart(self) -> None:
        """
        Where two rooms share a name, nothing goes to one that may be meant for the other.
        """
        self.join(RoomId(b"\x0a" * 32), "Class")
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: #class
            1. #class\u00b7c1c1c1c1  room      3 people, 3 unread
            2. #Class\u00b70a0a0a0a  room      nobody met yet
            2 could be meant: give the number or the address of the one.
            Enter the recipient's IP address: #class\u00b70a0a0a0a
            Enter your message to #Class\u00b70a0a0a0a: c
            Cancelled.
            Enter your choice: #class hi
            That could be for several of your rooms: choose one with m.
            Enter your choice: room class
            --- Rooms (make, join, leave and more with m) ---
            1. #class\u00b7c1c1c1c1  room      3 people, 3 unread
            2. #Class\u00b70a0a0a0a  room      nobody met yet
            Enter a number, or new and a name: c
            Cancelled.
            Enter your choice: #class\u00b7c1c1c1c1 hi
            <send 'hi' to c1c1c1c1>
            Enter your choice:
        """)
        self.assertEqual({CLASS.raw, b"\x0a" * 32}, self.menu.namesakes())

    def test_invitation_catches_nothing(self) -> None:
        """
        A room that we are only invited to cannot be written to, and its name is nobody's yet.
        """
        self.be_invited(RoomId(b"\x0a" * 32), "attic")
        self.be_invited(RoomId(b"\x0b" * 32), "class")
        self.be_invited(RoomId(b"\x0c" * 32), "class dinner")
        self.play("""
            Enter your choice: #class\u00b7c1c1c1c1 dinner at nine
            <send 'dinner at nine' to c1c1c1c1>
            Enter your choice: #class dinner at nine
            <send 'dinner at nine' to c1c1c1c1>
            Enter your choice: #class dinner
            <send 'dinner' to c1c1c1c1>
            Enter your choice: 1
            Enter the recipient's IP address: attic
            <look up attic>
            Looking up attic ... c
            Cancelled.
            Enter your choice: 1
            Enter the recipient's IP address: #attic
            You are only invited to #attic: join it with m.
            Enter your choice: #attic hi
            You are only invited to #attic: join it with m.
            Enter your choice:
        """)

    def test_left_room_is_history(self) -> None:
        """
        A room that was left is on no list and is not written to, and can be read.
        """
        self.node.records[1] = replace(self.theirs, stay=Stay.LEFT)
        self.menu.spoke(LAB)
        self.play(
            """
            Enter your choice: #lab hi
            You are not in that room any more.
            Enter your choice: r
            You are not in that room any more.
            Enter your choice: room lab
            Unknown: you are in no room lab. Show them again with m.
            Enter your choice: history #lab
            <read 1b1b1b1b>
            Reading ... c
            Cancelled.
            Enter your choice: m
            --- Rooms (make, join, leave and more with m) ---
            1. #class  room  3 people, 3 unread
            Enter a number, or new and a name:
        """.replace("room  3", "room      3")
        )
        # Another one has its name now.
        self.menu.receive_line("c", NOW)
        self.join(RoomId(b"\x0a" * 32), "lab")
        self.play("""
            Enter your choice: #lab hi
            <send 'hi' to 0a0a0a0a>
            Enter your choice:
        """)

    def test_vanished_room_is_refused(self) -> None:
        """
        A number of the last list that was a room's is refused when the room is gone.
        """
        self.menu.receive_line("m", NOW)
        self.menu.receive_line("c", NOW)
        self.node.records.clear()
        self.play("""
            Enter your choice: 1
            Enter the recipient's IP address: 1
            You are not in that room any more.
            Enter your choice:
        """)

    def test_line_goes_to_a_room_at_once(self) -> None:
        """
        The name with a text behind it writes, and alone it asks for the text.
        """
        self.join(RoomId(b"\x0a" * 32), "class room")
        self.play("""
            Enter your choice: #class  see you
            <send 'see you' to c1c1c1c1>
            Enter your choice: #class room hi
            That could be for several of your rooms: choose one with m.
            Enter your choice: #class room\u00b70a0a0a0a hi
            <send 'hi' to 0a0a0a0a>
            Enter your choice: #class c
            <send 'c' to c1c1c1c1>
            Enter your choice: #class
            Enter your message to #class: hi
            <send 'hi' to c1c1c1c1>
            Enter your choice: #classes hi
            Unknown: you are in no room #classes hi. Show them with m.
            Enter your choice: #
            Unknown: you are in no room #. Show them with m.
            Enter your choice:
        """)

    def test_reply_goes_into_the_room(self) -> None:
        """
        Who spoke in a room last is answered there.
        """
        self.menu.spoke(CLASS)
        self.play("""
            Enter your choice: r
            Enter your reply to #class: hi
            <send 'hi' to c1c1c1c1>
            Enter your choice:
        """)

    def test_room_cannot_be_connected_to_or_verified(self) -> None:
        """
        What needs a single somebody says so.
        """
        self.menu.receive_line("m", NOW)
        self.menu.receive_line("c", NOW)
        self.menu.receive_line("3", NOW)
        self.play("""
            Enter your choice (A/M): m
            Enter the IP address to connect to: #class
            A room is not connected to: connect to those who are in it.
            Enter your choice: v
            Enter the contact to verify: 1
            There is no key to compare: #(no name)\u00b7c1c1c1c1 is no contact.
            Enter your choice:
        """)

    def test_room_is_chosen_by_number_or_name(self) -> None:
        """
        After m, and after room, a number of the list, the name, and with a number sign.
        """
        for typed in ["1", "class", "#class", " CLASS "]:
            self.menu.receive_line("m", NOW)
            self.menu.receive_line(typed, NOW)
            self.assertEqual("Enter your choice (w/h/p/a/x/l): ", self.menu.prompt)
            self.menu.receive_line("c", NOW)
            self.menu.receive_line(f"room {typed}", NOW)
            self.assertEqual("Enter your choice (w/h/p/a/x/l): ", self.menu.prompt)
            self.menu.receive_line("c", NOW)
        for typed in ["0", "3", "9" * 70, "clas", "class room", "#x"]:
            self.play(f"""
                Enter your choice: room {typed}
                Unknown: you are in no room {typed[:60]}. Show them again with m.
                Enter your choice:
            """)

    def test_rooms_and_room_list_them(self) -> None:
        """
        Both words are the same as m; whoever is used to it types a slash first.
        """
        for typed in ["rooms", "room", "/rooms", "ROOM"]:
            shown = told(self.menu.receive_line(typed, NOW))
            self.assertEqual("1. #class  room      3 people, 3 unread", shown[1])
            self.menu.receive_line("c", NOW)

    def test_no_rooms_say_so(self) -> None:
        """
        Without any there is still the question, for a new one.
        """
        self.node.records.clear()
        self.play("""
            Enter your choice: m
            --- Rooms (make, join, leave and more with m) ---
            No rooms.
            Enter a number, or new and a name:
        """)

    def test_room_is_made(self) -> None:
        """
        New and a name make one, after m and at the choice; what can be done there comes next.
        """
        for way in ["m", "c"]:
            self.menu.receive_line(way, NOW)
            prompt = self.menu.prompt
            self.play(f"""
                {prompt}new #book club
                <make the room 'book club'>
                Keeping that ...
            """)
            self.assertTrue(self.menu.is_waiting)
            self.assertEqual(
                [
                    "Choose what to do in #class:",
                    "w - Write to everybody in it",
                    "h - Show what was said",
                    "p - Show who is in it",
                    "a - Add a contact: it gets all that was said there",
                    "x - Remove somebody: what they write from then on is no part of it",
                    "l - Leave it: what you got of it stays in your history",
                ],
                told(self.menu.room_made(self.ours)),
            )
            self.menu.receive_line("c", NOW)
        self.assertEqual([], self.menu.room_made(self.ours))

    def test_room_without_a_name_is_refused(self) -> None:
        """
        New alone makes nothing; a name that the node refuses is told.
        """
        for typed in ["new", "new  #", "/new"]:
            self.play(f"""
                Enter your choice: {typed}
                A room needs a name: new, and then what it is to be called.
                Enter your choice:
            """)
        self.play(f"""
            Enter your choice: new {"x" * 65}
            <make the room {"x" * 65!r}>
            {REFUSED}
            The disk is full.
            Enter your choice:
        """)

    def choose(self, number: int) -> None:
        """
        Choose a room.
        """
        self.menu.receive_line("m", NOW)
        self.menu.receive_line(str(number), NOW)

    def test_room_is_written_to_and_read(self) -> None:
        """
        W asks for the text, and h shows what was said there.
        """
        self.choose(1)
        self.play("""
            Enter your choice (w/h/p/a/x/l): W
            Enter your message to #class: hi
            <send 'hi' to c1c1c1c1>
            Enter your choice:
        """)
        self.choose(1)
        self.play("""
            Enter your choice (w/h/p/a/x/l): h
            <read c1c1c1c1>
            Reading ...
        """)

    def test_people_are_shown(self) -> None:
        """
        P lists those who are in it, us by our name; contacts among them can be sent to.
        """
        self.choose(1)
        self.play(f"""
            Enter your choice (w/h/p/a/x/l): p
            --- People in #class ---
            1. Red Pandas\u00b7{self.node.key.short}   you       founded it
            2. Blue Whales\u00b71a1a1a1a  verified
            3. Eve\u00b7eeeeeeee          secure
            Enter your choice: 1
            Enter the recipient's IP address: 3
            No contact: (no name)\u00b7eeeeeeee. Show the lists again with 2.
            Enter your choice: 1
            Enter the recipient's IP address: 2
            Enter your message to Blue Whales\u00b71a1a1a1a:
        """)

    def test_people_who_are_not_known_yet_are_told(self) -> None:
        """
        Before anybody in it was met nobody can be shown.
        """
        self.node.people.clear()
        self.choose(1)
        self.play("""
            Enter your choice (w/h/p/a/x/l): p
            Who is in it is not known before somebody who is has been met.
            Enter your choice:
        """)

    def test_contact_is_added(self) -> None:
        """
        A asks for a contact by name, key or number; an event tells the rest.
        """
        for typed in ["blue whales", "1a1a1a1a", "Blue Whales\u00b71a1a1a1a"]:
            self.choose(2)
            self.play(f"""
                Enter your choice (w/h/p/a/l): a
                Enter the contact to add to #lab: {typed}
                <add 1a1a1a1a to 1b1b1b1b>
                Keeping that ...
            """)
            self.assertEqual([], self.menu.done())
            self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_pasted_invite_is_added(self) -> None:
        """
        Whoever made an invite is known first, and then added.
        """
        self.choose(1)
        self.menu.receive_line("a", NOW)
        self.menu.receive_line(InviteTests.LINK, NOW)

        self.assertEqual([AddTo(CLASS, WHALE)], self.menu.invite_used(WHALE, "Blue Whales"))

    def test_who_is_no_contact_cannot_be_added(self) -> None:
        """
        Neither a room nor somebody without a key, nor somebody at the door or unknown.
        """
        self.know(QUOKKA, "Quokka")
        self.call(Reason.KNOCK, EVE, "Eve")
        unknown = "Unknown: no contact has that name. Give its number from the list that t shows."
        self.menu.receive_line("2", NOW)
        for typed, reason in [
            ("1", "Only a contact can be added: 10.0.0.1:6101 is none."),
            ("#lab", "Only a contact can be added: #(no name)\u00b71b1b1b1b is none."),
            ("eeeeeeee", "At the door: Eve\u00b7eeeeeeee. Let it in with t first."),
            ("Quokka", unknown),
            ("10.0.0.1:6101", unknown),
            (EMPTY, unknown),
        ]:
            last = self.menu._last_list
            self.choose(1)
            self.menu._last_list = last
            self.play(f"""
                Enter your choice (w/h/p/a/x/l): a
                Enter the contact to add to #class: {typed}
                {reason}
                Enter your choice:
            """)

    def test_member_is_removed_by_the_founder(self) -> None:
        """
        X lists the others, and asks once more before anything is done.
        """
        self.choose(1)
        self.play("""
            Enter your choice (w/h/p/a/x/l): x
            --- People in #class ---
            1. Blue Whales\u00b71a1a1a1a  verified
            2. Eve\u00b7eeeeeeee          secure
            Enter the number to remove: 2
            Remove Eve\u00b7eeeeeeee from #class? (y/n): y
            <remove eeeeeeee from c1c1c1c1>
            Keeping that ...
        """)
        self.assertEqual([], self.menu.done())

    def test_removal_is_thought_over(self) -> None:
        """
        N, a number that is none and an answer that is none remove nobody.
        """
        self.choose(1)
        self.menu.receive_line("x", NOW)
        self.play("""
            Enter the number to remove: 3
            No number 3 in the list: show it again with m.
            Enter your choice:
        """)
        for answer, said in [
            ("n", "Nothing was done."),
            ("no", "Nothing was done."),
            ("maybe", "Invalid choice. Please try again with m: it is y or n."),
        ]:
            self.choose(1)
            self.menu.receive_line("x", NOW)
            self.menu.receive_line("1", NOW)
            self.play(f"""
                Remove Blue Whales\u00b71a1a1a1a from #class? (y/n): {answer}
                {said}
                Enter your choice:
            """)

    def test_nobody_to_remove_is_told(self) -> None:
        """
        Alone in a room there is nobody to choose.
        """
        self.node.people[CLASS] = [Speaker(self.node.key, "us")]
        self.choose(1)
        self.play("""
            Enter your choice (w/h/p/a/x/l): x
            Nobody but you is in #class.
            Enter your choice:
        """)

    def test_room_is_left(self) -> None:
        """
        L asks once more; an event tells the rest.
        """
        self.choose(2)
        self.play("""
            Enter your choice (w/h/p/a/l): l
            Leave #lab? (y/n): yes
            <leave 1b1b1b1b>
            Keeping that ...
        """)
        self.assertEqual([], self.menu.done())

    def test_invitation_is_accepted_or_declined(self) -> None:
        """
        J joins, and tells what to wait for; d declines.
        """
        self.be_invited(RoomId(b"\x0a" * 32), "attic")
        self.choose(3)
        self.play(f"""
            Enter your choice (j/d): j
            <join 0a0a0a0a>
            {DONE}
            Joining #attic: it opens when somebody who is in it is here.
            Enter your choice: room attic
            Choose what to do in #attic:
            j - Join it
            d - Decline to come
            Enter your choice (j/d): d
            <leave 0a0a0a0a>
            {REFUSED}
            The disk is full.
            Enter your choice:
        """)

    def test_other_letters_are_refused(self) -> None:
        """
        What is not offered is not done: nobody but the founder removes, only the invited join.
        """
        for letter in ["x", "j", "d", "wh", "write", EMPTY]:
            self.choose(2)
            self.play(f"""
                Enter your choice (w/h/p/a/l): {letter}
                Invalid choice. Please try again with m: it is one of w, h, p, a, l.
                Enter your choice:
            """)

    def test_room_names_can_be_completed(self) -> None:
        """
        Rooms are among the words, but for those that are shown otherwise than they are typed.
        """
        self.be_invited(RoomId(b"\x0a" * 32), "x]")
        self.join(RoomId(b"\x0b" * 32), "lab")

        self.assertEqual(
            [
                "Blue Whales",
                "Blue Whales\u00b71a1a1a1a",
                "#class",
                "#lab\u00b71b1b1b1b",
                "#lab\u00b70b0b0b0b",
            ],
            self.menu.words(),
        )

    def test_hostile_name_is_disarmed(self) -> None:
        """
        A room's name cannot reach the terminal, nor end the brackets it stands in.
        """
        self.node.records = [replace(self.ours, name="a]\x1b[2J\u202e")]
        self.menu.spoke(CLASS)
        self.menu.receive_line("r", NOW)

        self.assertEqual(
            "Enter your reply to #a<U+005D>\u241b<U+005B>2J<U+202E>: ", self.menu.prompt
        )


def said(
    number: int,
    text: str = "hi",
    place: Place = WHALE.raw,
    author: DeviceKey | None = WHALE,
    *,
    is_ours: bool = False,
    ago: float = 0.0,
) -> LineOfHistory:
    """
    A line of history.
    """
    time = datetime(2026, 3, 4, 18, 6).timestamp() - ago
    return LineOfHistory(number, place, author, None, is_ours, number, time, text)


class HistoryCase(MenuCase):
    """
    A menu, and those who have said something.
    """

    @override
    def setUp(self) -> None:
        """
        Know a contact, a plain peer and a room.
        """
        super().setUp()
        self.trust(WHALE, "Blue Whales", verified=True)
        self.know(QUOKKA, "Quokka")
        self.join(CLASS, "class")
        self.node.names = {WHALE: "Blue Whales", EVE: "Eve", self.node.key: "Red Pandas"}


class HistoryTests(HistoryCase):
    """
    Y and history, for a person.
    """

    def test_place_is_chosen_in_all_ways(self) -> None:
        """
        A name, a key, a number, a room, an address, or nobody; with a moment or without.
        """
        self.menu.receive_line("2", NOW)
        for typed, read in [
            ("Blue Whales", "1a1a1a1a"),
            ("1a1a1a1a", "1a1a1a1a"),
            ("1", "10.0.0.1:6101"),
            ("quokka", "10.0.0.1:6101"),
            ("10.0.0.9:7", "10.0.0.9:7"),
            ("#class", "c1c1c1c1"),
            ("class", "c1c1c1c1"),
            ("3 2h", "c1c1c1c1 since 7200 s"),
            ("Blue Whales since 20min", "1a1a1a1a since 1200 s"),
            ("3d", "everywhere since 259200 s"),
            ("since 3d", "everywhere since 259200 s"),
        ]:
            self.play(f"""
                Enter your choice: y
                Enter whose history to show (Return for everybody's): {typed}
                <read {read}>
                Reading ... c
                Cancelled.
                Enter your choice: history {typed}
                <read {read}>
                Reading ... c
                Cancelled.
                Enter your choice:
            """)

    def test_everybodys_is_read_by_return_and_by_the_word_alone(self) -> None:
        """
        Without anybody it is everybody's.
        """
        self.play(f"""
            Enter your choice: y
            Enter whose history to show (Return for everybody's): {EMPTY}
            <read everywhere>
            Reading ... c
            Cancelled.
            Enter your choice: /history
            <read everywhere>
            Reading ...
        """)

    def test_namesakes_keep_the_moment(self) -> None:
        """
        Since when was typed with the name counts also when the name has to be told apart.
        """
        self.know(PANDA, "Blue Whales")
        for since, read in [("", " since 7200 s"), (" 1h", " since 3600 s")]:
            self.play(f"""
                Enter your choice: history blue whales 2h
                1. 10.0.0.2:6202  Blue Whales           plain     heard 0 s ago
                2. -              Blue Whales\u00b71a1a1a1a  verified  met 0 s ago
                2 could be meant: give the number or the address of the one.
                Enter whose history to show (Return for everybody's): 2{since}
                <read 1a1a1a1a{read}>
                Reading ... c
                Cancelled.
                Enter your choice:
            """)

    def test_wrong_answers_are_refused(self) -> None:
        """
        Nobody is looked up in the network for what was said here.
        """
        unknown = "Unknown: nobody here has that name. Give a number that 2 shows, or ip:port."
        for typed, reason in [
            ("lab-3", unknown),
            ("10.0.0.9", unknown),
            ("lab-3:6101", unknown),
            ("#x", "Unknown: you are in no room #x. Show them with m."),
            ("1", "A number is one from the list: show it with 2 first."),
            (
                "bob 2026-02-30",
                "Invalid time '2026-02-30': it is 2026-11-24, 14:30, 20min, 2h, 3d, today or "
                "yesterday.",
            ),
        ]:
            self.play(f"""
                Enter your choice: history {typed}
                {reason}
                Enter your choice:
            """)

    def test_blocked_contacts_history_is_read(self) -> None:
        """
        What somebody said stays readable when they are kept out.
        """
        self.node.contacts.block(WHALE, "Blue Whales", NOW)
        self.play("""
            Enter your choice: history 1a1a1a1a
            <read 1a1a1a1a>
            Reading ...
        """)

    def read(self, typed: str, lines: list[LineOfHistory]) -> list[str]:
        """
        Type something that reads, give the lines, and tell what comes of it.
        """
        effect = self.menu.receive_line(typed, NOW)[-1]
        self.assertTrue(self.menu.is_waiting)
        self.assertEqual("Reading ... ", self.menu.prompt)
        self.assertEqual([], self.menu.receive_line("1", NOW))
        assert isinstance(effect, ReadHistory)
        self.assertEqual(PAGE + 1, effect.most)
        return told(self.menu.history_read(lines))

    def test_lines_tell_everything(self) -> None:
        """
        Of each line: the day where it changes, when, how proven, who, what, and how far ours came.
        """
        ours = self.node.key
        plain = replace(said(5, place=QUOKKA, author=None), name="Quokka")
        progress = {2: Progress.READ, 3: Progress.WAITING, 6: Progress.TAKEN, 8: Progress.CARRIED}
        self.node.progress = progress
        self.assertEqual(
            [
                "--- 2026-03-03 ---",
                "18:06 [verified] Blue Whales\u00b71a1a1a1a: hi",
                "--- 2026-03-04 ---",
                "18:06 [verified] you to Blue Whales\u00b71a1a1a1a: hi (read)",
                "18:06 [verified] you to Blue Whales\u00b71a1a1a1a: hi (kept)",
                "18:06 [secure] Eve\u00b7eeeeeeee: hi",
                "18:06 [plain] 10.0.0.1:6101 Quokka: hi",
                "18:06 [plain] you to 10.0.0.1:6101: hi (sent)",
                "18:06 [verified #class] Blue Whales\u00b71a1a1a1a: hi",
                "18:06 [#class] you: hi (carried)",
                "18:06 [#class] Eve\u00b7eeeeeeee: hi",
                "<seen 1, 2, 3, 4, 5, 6, 7, 8, 9, the first>",
            ],
            self.read(
                "history",
                [
                    said(9, place=CLASS.raw, author=EVE),
                    said(8, place=CLASS.raw, author=ours, is_ours=True),
                    said(7, place=CLASS.raw),
                    replace(plain, number=6, is_ours=True),
                    plain,
                    said(4, place=EVE.raw, author=EVE),
                    said(3, author=ours, is_ours=True),
                    said(2, author=ours, is_ours=True),
                    said(1, ago=86400),
                ],
            ),
        )
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_nothing_is_told(self) -> None:
        """
        Where nothing was said it is said.
        """
        self.assertEqual(["There is nothing to show, or nothing more."], self.read("history", []))
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_pages_go_back_by_return(self) -> None:
        """
        A page has `PAGE` lines, its oldest first; Return shows those before it, until all were.
        """
        lines = [said(number) for number in range(2 * PAGE, 0, -1)]

        shown = self.read("history", lines[: PAGE + 1])

        self.assertEqual(PAGE + 2, len(shown))
        numbers = ", ".join(str(number) for number in range(PAGE + 1, 2 * PAGE + 1))
        self.assertEqual(f"<seen {numbers}, the first>", shown[-1])
        self.play(f"""
            Enter your choice (Return shows more, c ends): {EMPTY}
            <read everywhere before {PAGE + 1}>
            Reading ...
        """)
        shown = told(self.menu.history_read(lines[PAGE:]))
        self.assertEqual("--- 2026-03-04 ---", shown[0])
        self.assertEqual(
            f"<seen {', '.join(str(number) for number in range(1, PAGE + 1))}>", shown[-1]
        )
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_page_holds_no_more_than_the_window(self) -> None:
        """
        Of a small window or long texts a page is as many lines as can be seen with the question.
        """
        lines = [said(number) for number in range(PAGE + 1, 0, -1)]
        # In ten rows the question takes two and the day one; a line takes two of 30 columns.
        for window, shown in [
            ((10, 80), 7),
            ((10, 30), 3),
            ((4, 80), 1),
            ((1, 1), 1),
            ((50, 200), PAGE),
        ]:
            self.window = window
            self.read("history", lines)
            effect = self.menu.receive_line("", NOW)[-1]
            assert isinstance(effect, ReadHistory)
            self.assertEqual(lines[shown - 1], effect.before)
            self.assertEqual(PAGE + 1, effect.most)
            self.menu.history_read([])
        # One that fills a window is a page.
        self.window = WINDOW
        long = replace(lines[0], text="word " * 1000)
        self.assertIn("<seen 21, the first>", self.read("history", [long, *lines[1:]]))
        # A row is for the day of the older one.
        self.window = (6, 80)
        self.assertIn(
            "<seen 1, 2, the first>",
            self.read("history", [said(2), said(1), said(0, ago=86400)]),
        )

    def test_page_of_a_place_tells_which(self) -> None:
        """
        Where somebody looks is known with what they see.
        """
        self.assertEqual(
            "<seen 1 in 1a1a1a1a, the first>", self.read("history blue whales", [said(1)])[-1]
        )

    def test_page_is_left_by_any_choice(self) -> None:
        """
        Whoever has seen enough goes on with whatever they like, or cancels.
        """
        lines = [said(number) for number in range(PAGE + 1, 0, -1)]
        self.read("history", lines)
        self.play("""
            Enter your choice (Return shows more, c ends): #class hi
            <send 'hi' to c1c1c1c1>
            Enter your choice:
        """)
        self.read("history", lines)
        self.play("""
            Enter your choice (Return shows more, c ends): c
            Cancelled.
            Enter your choice:
        """)

    def test_page_that_is_gone_is_told(self) -> None:
        """
        What was there a moment ago can have been taken back.
        """
        self.read("history", [said(number) for number in range(PAGE + 1, 0, -1)])
        self.menu.receive_line("", NOW)

        self.assertEqual(
            ["There is nothing to show, or nothing more."], told(self.menu.history_read([]))
        )

    def test_failure_is_told(self) -> None:
        """
        What cannot be read is told, and the choice is back.
        """
        self.play(f"""
            Enter your choice: history
            <read everywhere>
            {REFUSED}
            The disk is full.
            Enter your choice:
        """)

    def test_late_answers_do_nothing(self) -> None:
        """
        Nobody is shown what they do not wait for any more.
        """
        self.assertEqual([], self.menu.history_read([said(1)]))
        self.assertEqual([], self.menu.found([(said(1), [said(1)])]))
        self.menu.receive_line("history", NOW)
        self.assertEqual([], self.menu.found([(said(1), [said(1)])]))
        self.menu.receive_line("c", NOW)
        self.menu.receive_line("search hi", NOW)
        self.assertEqual([], self.menu.history_read([said(1)]))

    def test_unread_conversations_are_offered(self) -> None:
        """
        Y lists where something is unread, and its numbers are answers.
        """
        self.node.counts = {WHALE.raw: 213, CLASS.raw: 3, QUOKKA: 1}
        self.play("""
            Enter your choice: y
            --- Unread ---
            1. -              Blue Whales\u00b71a1a1a1a  verified  met 0 s ago, 213 unread
            2.                #class                room      nobody met yet, 3 unread
            3. 10.0.0.1:6101  Quokka                plain     heard 0 s ago, 1 unread
            Enter whose history to show (Return for everybody's): 1
            <read 1a1a1a1a>
            Reading ...
        """)

    def test_unread_texts_are_greeted(self) -> None:
        """
        Below the menu it is told how much is unread, but not of whom we keep out.
        """
        self.node.counts = {WHALE.raw: 1}
        self.assertEqual(
            [*MENU, "1 unread in 1 conversation: type y to read it."], told(self.menu.greeting())
        )
        self.node.counts = {WHALE.raw: 2, CLASS.raw: 1}
        self.assertEqual(
            [*MENU, "3 unread in 2 conversations: type y to read them."],
            told(self.menu.greeting()),
        )
        self.node.contacts.block(WHALE, "Blue Whales", NOW)
        self.node.records.clear()
        self.assertEqual(list(MENU), told(self.menu.greeting()))

    def test_unread_texts_of_plain_peers_that_went_are_offered(self) -> None:
        """
        Whoever wrote before this chat was started is on no list, and is not forgotten.
        """
        self.node.counts = {QUOKKA: 1, NUMBAT: 2}
        self.assertEqual(
            [*MENU, "3 unread in 2 conversations: type y to read them."],
            told(self.menu.greeting()),
        )
        self.play("""
            Enter your choice: y
            --- Unread ---
            1. 10.0.0.1:6101  Quokka     plain     heard 0 s ago, 1 unread
            2. 10.0.0.3:6303  (no name)  plain     not on the lists, 2 unread
            Enter whose history to show (Return for everybody's): 2
            <read 10.0.0.3:6303>
            Reading ...
        """)


class HistoryOfProgramTests(HistoryCase):
    """
    History and search, for a program.
    """

    is_interactive = False

    def test_everything_comes_from_the_oldest_line_on(self) -> None:
        """
        Whatever there is, it is shown whole, in order, and in batches, each once.
        """
        for count in [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 5 * BATCH + 7]:
            self.setUp()
            lines = [said(number, str(number)) for number in range(1, count + 1)]
            effects = self.menu.receive_line("history", NOW)
            shown: list[Effect] = []
            while effects and isinstance(wanted := effects[-1], ReadHistory):
                self.assertTrue(self.menu.is_waiting)
                self.assertEqual("Reading ... ", self.menu.prompt)
                self.assertLessEqual(wanted.most, 2 * BATCH)
                end = count if wanted.before is None else wanted.before.number - 1
                effects = self.menu.history_read(lines[:end][-wanted.most :][::-1])
                shown += [effect for effect in effects if not isinstance(effect, ReadHistory)]
            self.assertFalse(self.menu.is_waiting)
            seen = [effect for effect in shown if isinstance(effect, Seen)]
            self.assertEqual(lines, [line for effect in seen for line in effect.lines])
            self.assertEqual(
                [True] + [False] * (len(seen) - 1), [effect.is_first for effect in seen]
            )
            texts = [line for line in told(shown) if not line.startswith("<seen")]
            self.assertEqual("--- 2026-03-04 ---", texts[0])
            self.assertEqual(
                [f"18:06 [verified] Blue Whales\u00b71a1a1a1a: {n}" for n in range(1, count + 1)],
                texts[1:],
            )

    def test_nothing_is_told(self) -> None:
        """
        A program is told as well that there is nothing.
        """
        self.menu.receive_line("history", NOW)

        self.assertEqual(
            ["There is nothing to show, or nothing more."], told(self.menu.history_read([]))
        )

    def test_everything_that_is_found_comes(self) -> None:
        """
        One batch after the other, the newest first, without a question between.
        """
        lines = [said(number) for number in range(3 * (BATCH + 1), 0, -3)]
        [wanted] = self.menu.receive_line("search hi", NOW)
        assert isinstance(wanted, Search)
        self.assertEqual(BATCH + 1, wanted.most)

        first = self.menu.found([(line, [line]) for line in lines])
        self.assertTrue(self.menu.is_waiting)
        second = self.menu.found([(lines[-1], [lines[-1]])])

        self.assertFalse(self.menu.is_waiting)
        self.assertEqual(2 * BATCH + 1, len(told(first)))
        self.assertEqual("<search 'hi' before 6>", told(first)[-1])
        self.assertEqual(2, len(told(second)))

    def test_recalled_text_is_not_edited(self) -> None:
        """
        The next line of a program is no answer to a question that it did not expect.
        """
        self.menu.receive_line("recall blue whales", NOW)

        self.assertEqual(
            ["Taken back: it does not go to Blue Whales\u00b71a1a1a1a. It was: hi"],
            told(self.menu.recalled("hi")),
        )
        self.assertEqual("Enter your choice: ", self.menu.prompt)


class SearchTests(HistoryCase):
    """
    S and search.
    """

    def test_words_are_asked_for(self) -> None:
        """
        S and the word alone ask for the words; behind the word they are taken at once.
        """
        for typed in ["s", "search", "/Search "]:
            self.play(f"""
                Enter your choice: {typed}
                Enter the words to look for: gone fishing
                <search 'gone fishing'>
                Reading ... c
                Cancelled.
                Enter your choice: s
                Enter the words to look for: {EMPTY}
                There is nothing to look for: no word was typed.
                Enter your choice:
            """)
        self.play("""
            Enter your choice: search  gone  fishing
            <search 'gone  fishing'>
            Reading ...
        """)

    def test_nothing_found_is_told(self) -> None:
        """
        What was looked for is named.
        """
        self.menu.receive_line("search \x1bfish", NOW)

        self.assertEqual(
            ["Nothing that was said holds all of: \u241bfish"], told(self.menu.found([]))
        )
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_hits_are_marked_among_the_lines_around(self) -> None:
        """
        The newest hit comes first, each with what stands around it; where they touch they are one.
        """
        one, two, three, four = (said(number, f"text {number}") for number in (1, 2, 3, 4))
        there = said(9, "text 9", place=CLASS.raw, author=EVE)
        self.menu.receive_line("search text", NOW)

        self.assertEqual(
            [
                "--- 2026-03-04, #class ---",
                "> 18:06 [#class] Eve\u00b7eeeeeeee: text 9",
                "--- 2026-03-04, Blue Whales\u00b71a1a1a1a ---",
                "  18:06 [verified] Blue Whales\u00b71a1a1a1a: text 1",
                "> 18:06 [verified] Blue Whales\u00b71a1a1a1a: text 2",
                "> 18:06 [verified] Blue Whales\u00b71a1a1a1a: text 3",
                "  18:06 [verified] Blue Whales\u00b71a1a1a1a: text 4",
            ],
            told(
                self.menu.found(
                    [(there, [there]), (three, [two, three, four]), (two, [one, two, three])]
                )
            ),
        )
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_more_is_shown_by_return(self) -> None:
        """
        A page has `HITS` hits; Return shows the next.
        """
        lines = [said(number) for number in range(3 * (HITS + 1), 0, -3)]
        [wanted] = self.menu.receive_line("search hi", NOW)
        assert isinstance(wanted, Search)
        self.assertEqual(HITS + 1, wanted.most)

        shown = told(self.menu.found([(line, [line]) for line in lines]))

        self.assertEqual(2 * HITS, len(shown))
        self.play(f"""
            Enter your choice (Return shows more, c ends): {EMPTY}
            <search 'hi' before 6>
            Reading ...
        """)
        self.assertEqual(2, len(told(self.menu.found([(lines[-1], [lines[-1]])]))))
        self.assertEqual("Enter your choice: ", self.menu.prompt)

    def test_hits_are_no_more_than_the_window_holds(self) -> None:
        """
        The newest must not be above the window.
        """
        lines = [said(number) for number in range(3 * (HITS + 1), 0, -3)]
        self.window = (6, 80)
        self.menu.receive_line("search hi", NOW)

        shown = told(self.menu.found([(line, [line]) for line in lines]))

        self.assertEqual(4, len(shown))
        self.play(f"""
            Enter your choice (Return shows more, c ends): {EMPTY}
            <search 'hi' before 15>
            Reading ...
        """)


class RecallTests(MenuCase):
    """
    U and recall.
    """

    def test_last_text_is_taken_back_to_be_edited(self) -> None:
        """
        Return means whoever was sent to last; the text stands in the next answer.
        """
        self.trust(WHALE, "Blue Whales")
        self.menu.receive_line("1", NOW)
        self.menu.receive_line("1a1a1a1a", NOW)
        self.menu.receive_line("hi", NOW)
        self.play(f"""
            Enter your choice: u
            Enter whose last text to take back (Return for Blue Whales\u00b71a1a1a1a): {EMPTY}
            <recall the last one to 1a1a1a1a>
            Taking it back ...
        """)
        self.assertEqual("", self.menu.draft)

        self.assertEqual(
            ["Taken back: it does not go to Blue Whales\u00b71a1a1a1a. It was: h\u241bi"],
            told(self.menu.recalled("h\x1bi")),
        )

        self.assertEqual("h\x1bi", self.menu.draft)
        self.play("""
            Enter your message to Blue Whales\u00b71a1a1a1a: hi there
            <send 'hi there' to 1a1a1a1a>
            Enter your choice: recall
            <recall the last one to 1a1a1a1a>
            Taking it back ...
        """)

    def test_anybody_can_be_named(self) -> None:
        """
        A contact by name or key, or a room.
        """
        self.trust(WHALE, "Blue Whales")
        self.join(CLASS, "class")
        for typed, recipient in [
            ("Blue Whales", "1a1a1a1a"),
            ("1a1a1a1a", "1a1a1a1a"),
            ("#class", "c1c1c1c1"),
            ("class", "c1c1c1c1"),
        ]:
            self.play(f"""
                Enter your choice: u
                Enter whose last text to take back: {typed}
                <recall the last one to {recipient}>
                Taking it back ... c
                Cancelled.
                Enter your choice: recall {typed}
                <recall the last one to {recipient}>
                Taking it back ... c
                Cancelled.
                Enter your choice:
            """)
        self.assertEqual([], self.menu.recalled("hi"))

    def test_what_cannot_be_taken_back_is_refused(self) -> None:
        """
        Nothing at all, what went in plain, and what the node knows better.
        """
        self.know(QUOKKA, "Quokka")
        self.trust(WHALE, "Blue Whales")
        self.menu.receive_line("2", NOW)
        self.play(f"""
            Enter your choice: recall
            Nothing was sent that could be taken back: say to whom it was.
            Enter your choice: recall 1
            What went out in plain cannot be taken back.
            Enter your choice: recall Quokka
            Unknown: no contact has that name. Give its number from the list that t shows.
            Enter your choice: recall Blue Whales
            <recall the last one to 1a1a1a1a>
            {REFUSED}
            The disk is full.
            Enter your choice:
        """)

    def test_default_is_who_was_reached(self) -> None:
        """
        An address that turns out to be a contact's is that contact; one in plain is no default.
        """
        self.trust(WHALE, "Blue Whales")
        for line in ["1", "10.0.0.1:6101", "hi", "u"]:
            self.menu.receive_line(line, NOW)
        self.assertEqual("Enter whose last text to take back: ", self.menu.prompt)
        self.menu.receive_line("c", NOW)

        self.menu.sent(PANDA, Sent(EVE, Kind.MESSAGE, 1))
        self.menu.sent(QUOKKA, Sent(WHALE, Kind.MESSAGE, 1))

        self.menu.receive_line("u", NOW)
        self.assertEqual(
            "Enter whose last text to take back (Return for Blue Whales\u00b71a1a1a1a): ",
            self.menu.prompt,
        )


class LaterTests(MenuCase):
    """
    W: texts for plain peers that are away.
    """

    def test_unsent_text_is_kept_for_its_peers_return(self) -> None:
        """
        W keeps what was for plain peers, and leaves the rest for a; w again gives it back.
        """
        self.menu.not_sent(QUOKKA, "one")
        self.menu.not_sent(WHALE, "two")
        self.play("""
            Enter your choice: w
            Kept for 10.0.0.1:6101: tried every minute, and whenever that peer speaks, until this \
chat ends or you type w again.
            It is: one
            <keep trying>
            Enter your choice:
        """)
        self.assertEqual(((QUOKKA, "one"),), self.menu.late)
        self.play("""
            Enter your choice: w
            No longer kept for 10.0.0.1:6101. Type a to send it again. It is: one
            Enter your choice: a
            <send 'two' to 1a1a1a1a>
            <send 'one' to 10.0.0.1:6101>
            Enter your choice: w
            There is nothing to send later.
            Enter your choice:
        """)
        self.assertEqual((), self.menu.late)

    def test_what_was_sent_waits_no_longer(self) -> None:
        """
        A text that arrived is gone, of one that did so in part the rest is left, in its place.
        """
        for text in ["one two", "three"]:
            self.menu.not_sent(QUOKKA, text)
        self.menu.receive_line("w", NOW)

        self.menu.late_not_sent(QUOKKA, "one two", "two")
        self.assertEqual(((QUOKKA, "two"), (QUOKKA, "three")), self.menu.late)
        self.menu.late_sent(QUOKKA, "two")
        self.assertEqual(((QUOKKA, "three"),), self.menu.late)

    def test_what_was_taken_back_meanwhile_is_not_sent_twice(self) -> None:
        """
        A text that was on its way when it was taken back is gone from there, too.
        """
        for text in ["one two", "three", "four"]:
            self.menu.not_sent(QUOKKA, text)
        self.menu.receive_line("w", NOW)
        self.menu.receive_line("w", NOW)

        self.menu.late_not_sent(QUOKKA, "one two", "two")
        self.menu.late_sent(QUOKKA, "three")
        self.menu.late_sent(QUOKKA, "five")

        self.assertEqual(
            [SendText((QUOKKA,), "two"), SendText((QUOKKA,), "four")],
            self.menu.receive_line("a", NOW),
        )

    def test_too_many_are_not_kept(self) -> None:
        """
        What is kept has a bound, and nothing is lost there: it stays for a.
        """
        for number in range(MOST_UNSENT):
            self.menu.not_sent(QUOKKA, str(number))
        self.menu.receive_line("w", NOW)
        self.menu.not_sent(QUOKKA, "one more")

        self.play(f"""
            Enter your choice: w
            {MOST_UNSENT} texts are kept already: take them back with w when the others have been \
sent with a.
            Enter your choice: a
            <send 'one more' to 10.0.0.1:6101>
            Enter your choice:
        """)


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
        ("u",),
        ("u", "Blue Whales"),
        ("m",),
        ("m", "1"),
        ("m", "2"),
        ("m", "1", "w"),
        ("m", "1", "a"),
        ("m", "1", "x"),
        ("m", "1", "x", "1"),
        ("m", "1", "l"),
        ("m", "new lab"),
        ("y",),
        ("s",),
        ("history",),
        ("search fish",),
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
        self.join(CLASS, "class", founder=self.node.key)
        self.join(LAB, "lab", Stay.INVITED)
        self.node.people[CLASS] = [Speaker(self.node.key, "us"), Speaker(EVE, "Eve")]
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
        # Some look up the same name, keep something, or read.
        self.assertEqual(len(self.WAYS) - 3, len(prompts))

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

    LINES = (
        *("t", "v", "y", "i", "3", "Eve", "Blue Whales", "1a1a1a1a", InviteTests.LINK),
        *("m", "w", "u", "s", "x", "p", "j", "d", "l", "n", "new lab", "#class", "#class hi"),
        *("history", "history 2h", "history #class", "search fish", "recall", "room lab"),
    )
    LINE = LineOfHistory(1, CLASS.raw, EVE, None, False, 1, NOW, "fish")

    @given(
        st.lists(
            typed_lines()
            | st.sampled_from(LINES)
            | st.sampled_from(Decision)
            | st.sampled_from([True, False])
            | st.sampled_from([QUOKKA, PANDA, WHALE, EVE, ORCA, CLASS])
            | st.integers(0, 2 * PAGE),
            max_size=20,
        ),
        st.booleans(),
    )
    def test_any_lines_have_well_formed_effects(
        self, steps: list[str | bool | int | Decision | Recipient], is_interactive: bool
    ) -> None:
        """
        Whatever is typed, answered and said in any order, each effect can be carried out.
        """
        self.is_interactive = is_interactive
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
                case Decision.BLOCK:
                    effects = self.menu.room_made(self.node.records[0])
                case Decision.KEEP_OLD:
                    effects = self.menu.recalled("hi")
                case int():
                    lines = [replace(self.LINE, number=number) for number in range(step, 0, -1)]
                    effects = self.menu.history_read(lines)
                    effects += self.menu.found([(line, [line]) for line in lines])
                case Decision():
                    effects = self.menu.words_known(WHALE, WORDS) or self.menu.done()
                case Address() | DeviceKey() | RoomId():
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
            case (
                UseInvite()
                | ShowWords()
                | Verify()
                | Decide()
                | MakeRoom()
                | AddTo()
                | RemoveFrom()
                | Join()
                | LeaveRoom()
                | Recall()
                | ReadHistory()
                | Search()
            ):
                self.assertTrue(self.menu.is_waiting)
            case Seen(_, lines_seen):
                self.assertTrue(lines_seen)
            case KeepTrying():
                self.assertTrue(self.menu.late)
            case Quit():
                pass
