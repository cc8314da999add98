r"""
The menu: a state machine from typed lines to what is to be done.

It holds no connection to anything: a face feeds it lines, draws what it says and carries out what
it asks for. 1, 2, 3, A/M and 0 are the reference program's, and so is the way back to the choice
after whatever could not be. Without any I/O: the time comes in as an argument. ::

    Choosing --1--> AskingWhom --host--> AskingPort --port--> AskingText --text--> Choosing
       |  ^          ^ |  |  \--host name--> Waiting --found--^   ^
       |  |          | |  |\--invite-------> Waiting --kept-------|
       |  |          \-/  \--whole address, number, key, name-----/
       |  |    name of several
       |  |
       |  \-- 2, i, a, h, 0; c, or what cannot be, from anywhere
       |--b, r--> AskingText
       |--invite--> Waiting --kept--> Choosing
       |--3--> AskingMode --A--> Choosing
       |                  \--M--> AskingWhom --...--> Choosing
       |--v--> AskingWhom --contact--> Waiting --words--> AskingSame --n--> Choosing
       |                 |                                          \--y--> Waiting --> Choosing
       |                 \--caller, invite--> Waiting --words, kept--> Choosing
       \--t--> AskingNumber --number--> AskingDecision --decision--> Waiting --> Choosing
                           \--nothing--> Choosing     \--v--> Waiting --words--> AskingSame

Where it is Waiting, the face has been asked for something and hands over no line before it has
given the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias, TypeVar, assert_never

from twistedchat.core.addresses import (
    Address,
    is_host_name,
    parse_host_port,
    parse_port,
)
from twistedchat.core.errors import AddressError, ChatError
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite, is_invite, parse_invite
from twistedchat.core.nearby import Nearby
from twistedchat.core.roster import PeerList, Recipient
from twistedchat.core.trust import Caller, Contact, ContactList, Decision
from twistedchat.core.wording import (
    MIDDLE_DOT,
    Line,
    Lists,
    Row,
    caller_row,
    contact_row,
    decided_line,
    decision_lines,
    invite_lines,
    label_of,
    lists_lines,
    name_of,
    namesakes_lines,
    nearby_row,
    notice,
    peer_row,
    refusal,
    shown_name,
    trust_lines,
    verified_line,
    words_differ_lines,
    words_lines,
)

__all__ = [
    "LARGEST_TEXT",
    "Connect",
    "Decide",
    "Effect",
    "LookUp",
    "Menu",
    "Quit",
    "SendText",
    "Show",
    "ShowWords",
    "UseInvite",
    "Verify",
    "World",
]

# Bytes of a text, typed or received: the largest message a peer of our own kind takes, and ten
# times the longest letter. A book is a file, not a line.
LARGEST_TEXT = 64 * 1024

# Texts kept for `a`: more than anyone retypes, and at most 16 MiB of the longest.
MOST_UNSENT = 256

MENU = (
    "***** Menu *****",
    "1. Send message",
    "2. Query peers",
    "3. Connect to peers (Auto or Manual)",
    "b. Broadcast to connected peers",
    "r. Reply to whoever spoke last",
    "a. Send again what was not sent",
    "i. Invite: our name, key and link",
    "t. Trust: let in, block, forget",
    "v. Verify a contact",
    "h. Help",
    "0. Quit",
)

HELP = (
    "1  Send a message. The recipient is an IP address (the port is asked next), ip:port,",
    "   [IPv6]:port, a host name, a number from the list that 2 shows, a name, the eight",
    "   digits behind a name, or an invite that somebody gave you.",
    "   The message exit takes you off that peer's lists, and it off yours.",
    "2  Show who is there. Nothing proves who a plain peer is, and others can read along; a",
    "   secure one has the key that it had when you met; of a verified one you compared it.",
    "3  Connect: A to all active peers at once, M to one, given as with 1.",
    "b  Send one message to every connected peer.",
    "r  Reply to the peer that spoke last.",
    "a  Send again what could not be sent.",
    "i  Show your name, your key and your invite, which you give to those who are to find you;",
    "   in a window that is wide enough also as a QR code.",
    "t  Decide about those at the door; verify, block or forget those you know.",
    "v  Verify a contact: six words that you both see tell whether anybody is between you.",
    "c  At any question: cancel, back to the menu.",
    "0  Say exit to everyone and quit.",
)

# The forms in which a key is typed: the short one, and all of it with or without its gaps.
_SHORT_KEY = re.compile(r"[0-9a-f]{8}")
_WHOLE_KEY = re.compile(r"(?:[0-9a-f]{4} ?){16}")

# What is typed to decide; `None` is to verify.
_LETTERS: dict[Decision | None, str] = {
    Decision.ACCEPT: "a",
    Decision.IGNORE: "i",
    Decision.NEW_KEY: "n",
    Decision.SOMEBODY_ELSE: "s",
    Decision.KEEP_OLD: "k",
    None: "v",
    Decision.BLOCK: "b",
    Decision.FORGET: "f",
}


class World(Protocol):
    """
    What a menu looks at; a node has all of it.
    """

    @property
    def team(self) -> str:
        """
        Our team name.
        """

    @property
    def peers(self) -> PeerList:
        """
        Who is there.
        """

    @property
    def contacts(self) -> ContactList:
        """
        Whom we know.
        """

    def callers(self) -> list[Caller]:
        """
        Those at the door.
        """

    def nearby(self) -> list[Nearby]:
        """
        The nodes that were found on the network.
        """

    def invite(self) -> Invite:
        """
        How to meet us.
        """


@dataclass(frozen=True, slots=True)
class Show:
    """
    Draw these lines.
    """

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class SendText:
    """
    Send a text to each of these.
    """

    recipients: tuple[Recipient, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Connect:
    """
    Connect to each of these; `manual` tells whether a person chose it.
    """

    recipients: tuple[Recipient, ...]
    manual: bool


@dataclass(frozen=True, slots=True)
class LookUp:
    """
    Find out whether a host name leads anywhere, then call `Menu.looked_up`.
    """

    host: str


@dataclass(frozen=True, slots=True)
class UseInvite:
    """
    Know whoever made an invite, then call `Menu.invite_used` or `Menu.refused`.
    """

    invite: Invite


@dataclass(frozen=True, slots=True)
class ShowWords:
    """
    Work out the six words for a key, then call `Menu.words_known`.
    """

    key: DeviceKey


@dataclass(frozen=True, slots=True)
class Verify:
    """
    Keep that the words were the same, then call `Menu.done` or `Menu.refused`.
    """

    key: DeviceKey


@dataclass(frozen=True, slots=True)
class Decide:
    """
    Do what was decided about a caller or a contact, then call `Menu.done` or `Menu.refused`.
    """

    key: DeviceKey
    decision: Decision
    caller: Caller | None


@dataclass(frozen=True, slots=True)
class Quit:
    """
    Take leave of everyone and end.
    """


Effect: TypeAlias = (
    Show | SendText | Connect | LookUp | UseInvite | ShowWords | Verify | Decide | Quit
)


class _Purpose(Enum):
    SEND = "send"
    CONNECT = "connect"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class _Choosing:
    pass


@dataclass(frozen=True, slots=True)
class _AskingWhom:
    purpose: _Purpose


@dataclass(frozen=True, slots=True)
class _AskingPort:
    purpose: _Purpose
    host: str


@dataclass(frozen=True, slots=True)
class _AskingText:
    recipients: tuple[Recipient, ...]
    prompt: str


@dataclass(frozen=True, slots=True)
class _AskingMode:
    pass


@dataclass(frozen=True, slots=True)
class _AskingNumber:
    subjects: tuple[Caller | Contact, ...]


@dataclass(frozen=True, slots=True)
class _AskingDecision:
    subject: Caller | Contact
    choices: tuple[tuple[str, Decision | None], ...]


@dataclass(frozen=True, slots=True)
class _AskingSame:
    key: DeviceKey


@dataclass(frozen=True, slots=True)
class _Waiting:
    awaited: LookUp | UseInvite | ShowWords | Verify | Decide
    prompt: str
    # For a look-up and an invite: what for, and the port where there is one.
    purpose: _Purpose = _Purpose.SEND
    port: int | None = None
    # For what has no other answer than that it is done: what to say then.
    told: Line = ()


_State: TypeAlias = (
    _Choosing
    | _AskingWhom
    | _AskingPort
    | _AskingText
    | _AskingMode
    | _AskingNumber
    | _AskingDecision
    | _AskingSame
    | _Waiting
)

_WHOM_PROMPTS = {
    _Purpose.SEND: "Enter the recipient's IP address: ",
    _Purpose.CONNECT: "Enter the IP address to connect to: ",
    _Purpose.VERIFY: "Enter the contact to verify: ",
}
_PORT_PROMPTS = {
    _Purpose.SEND: "Enter the recipient's port number: ",
    _Purpose.CONNECT: "Enter the port number to connect to: ",
}
_KEEPING = "Keeping that ... "

_T = TypeVar("_T")


class Menu:
    """
    Where a person is in the menu.

    Args:
        world: Who is there, who is known and who we are; read whenever a line needs it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._state: _State = _Choosing()
        self._last_list: tuple[Recipient, ...] = ()
        self._last_speaker: Recipient | None = None
        self._unsent: list[tuple[Recipient, str]] = []

    @property
    def prompt(self) -> str:
        """
        The question that the next line answers.
        """
        match self._state:
            case _Choosing():
                return "Enter your choice: "
            case _AskingWhom(purpose=purpose):
                return _WHOM_PROMPTS[purpose]
            case _AskingPort(purpose=purpose):
                return _PORT_PROMPTS[purpose]
            case _AskingText(prompt=prompt):
                return prompt
            case _AskingMode():
                return "Enter your choice (A/M): "
            case _AskingNumber():
                return "Enter a number: "
            case _AskingDecision(choices=choices):
                return f"Enter your choice ({'/'.join(letter for letter, _ in choices)}): "
            case _AskingSame():
                return "Are they the same? (y/n): "
            case _Waiting(prompt=prompt):
                return prompt
            case _:
                assert_never(self._state)

    @property
    def is_waiting(self) -> bool:
        """
        Whether the next lines have to wait for the answer to an effect.
        """
        return isinstance(self._state, _Waiting)

    def greeting(self) -> list[Effect]:
        """
        What to show first.
        """
        return [Show(tuple(map(notice, MENU)))]

    def words(self) -> list[str]:
        """
        What may be completed: names, names with keys, and addresses. Each can be typed as it is.
        """
        peers = self._world.peers.active()
        contacts = [contact for contact in self._world.contacts.all() if not contact.is_blocked]
        names = [*(peer.name for peer in peers), *(contact.name for contact in contacts)]
        labels = [
            label_of(contact.name, contact.key) for contact in contacts if _is_plain(contact.name)
        ]
        addresses = [
            *(peer.address for peer in peers),
            *(nearby.addresses[0] for nearby in self._world.nearby()),
        ]
        words = [*(name for name in names if name and _is_plain(name)), *labels]
        return list(dict.fromkeys([*words, *map(str, addresses)]))

    def name(self, recipient: Recipient) -> str | None:
        """
        Tell what somebody calls themselves.

        Args:
            recipient: Who.

        Returns:
            The name, as it came; ``None`` where it is not known.
        """
        match recipient:
            case Address():
                peer = self._world.peers.find(recipient)
                return None if peer is None else peer.name
            case DeviceKey():
                contact = self._world.contacts.find(recipient)
                if contact is not None:
                    return contact.name
                caller = self._caller(recipient)
                return None if caller is None else caller.name
            case _:
                assert_never(recipient)

    def spoke(self, speaker: Recipient) -> None:
        """
        Somebody said something that can be replied to.

        Args:
            speaker: Who.
        """
        self._last_speaker = speaker

    def not_sent(self, recipient: Recipient, text: str) -> None:
        """
        A text did not arrive: keep it for ``a``.

        Args:
            recipient: Whom it was for.
            text: What is still to be sent.
        """
        self._unsent.append((recipient, text))
        del self._unsent[:-MOST_UNSENT]

    # A person typed.

    def receive_line(self, line: str, now: float) -> list[Effect]:
        """
        A person typed a line.

        Args:
            line: The line; outer white space does not count.
            now: The time, in seconds since the epoch.

        Returns:
            What to do, in order.
        """
        typed = line.strip()
        size = len(typed.encode("utf-8", "replace"))
        if size > LARGEST_TEXT:
            return self.too_long(size)
        if typed.casefold() == "c":
            was_asking = not isinstance(self._state, _Choosing)
            self._state = _Choosing()
            return [Show((notice("Cancelled." if was_asking else "There is nothing to cancel."),))]
        try:
            return self._answer(typed, now)
        except ChatError as error:
            return self._refuse(str(error))

    def too_long(self, size: int) -> list[Effect]:
        """
        A person typed or pasted more than a message holds.

        Args:
            size: How many bytes it has, as far as they were counted.

        Returns:
            What to do, in order.
        """
        return self._refuse(
            f"That is too long: a message holds {LARGEST_TEXT:,} bytes, and this has {size:,}. "
            "Nothing was sent; send it in parts."
        )

    # The answers to effects: each gives what to do, in order, and nothing if nobody waits for it
    # any more.

    def looked_up(self, *, found: bool) -> list[Effect]:
        """
        The answer to `LookUp`.

        Args:
            found: Whether the name leads to an address.
        """
        match self._state:
            case _Waiting(awaited=LookUp(host=host), purpose=purpose, port=port):
                if found:
                    return self._with_host(purpose, host, port)
                return self._refuse(
                    f"Unknown: no host named {host!r} can be found, and no peer here has that "
                    "name. Give an IP address, or a number from the list that 2 shows."
                )
            case _:
                return []

    def invite_used(self, key: DeviceKey, name: str) -> list[Effect]:
        """
        The answer to `UseInvite`.

        Args:
            key: Whose it was.
            name: What they call themselves in it.
        """
        match self._state:
            case _Waiting(awaited=UseInvite(), purpose=_Purpose.VERIFY):
                return self._back(verified_line(label_of(name, key)))
            case _Waiting(awaited=UseInvite(), purpose=purpose):
                return self._to(purpose, key, f"Enter your message to {label_of(name, key)}: ")
            case _:
                return []

    def words_known(self, key: DeviceKey, words: Sequence[str]) -> list[Effect]:
        """
        The answer to `ShowWords`.

        Args:
            key: The key they are for.
            words: The six words.
        """
        match self._state:
            case _Waiting(awaited=ShowWords(key=asked)) if asked == key:
                is_contact = self._world.contacts.find(key) is not None
                self._state = _AskingSame(key) if is_contact else _Choosing()
                label = label_of(self.name(key), key)
                return [Show(tuple(words_lines(label, words, is_contact=is_contact)))]
            case _:
                return []

    def done(self) -> list[Effect]:
        """
        The answer to `Verify` and `Decide`: it has been kept.
        """
        match self._state:
            case _Waiting(awaited=Verify() | Decide(), told=told):
                return self._back(told)
            case _:
                return []

    def refused(self, reason: str) -> list[Effect]:
        """
        The answer to any effect that could not be carried out.

        Args:
            reason: Why, for the person.
        """
        return self._refuse(reason) if self.is_waiting else []

    def _refuse(self, reason: str) -> list[Effect]:
        return self._back(refusal(reason))

    def _back(self, *lines: Line) -> list[Effect]:
        self._state = _Choosing()
        return [Show(lines)]

    def _answer(self, typed: str, now: float) -> list[Effect]:
        match self._state:
            case _Choosing():
                return self._choose(typed, now)
            case _AskingWhom(purpose=purpose):
                return self._with_whom(purpose, typed, now)
            case _AskingPort(purpose=purpose, host=host):
                return self._with_host(purpose, host, parse_port(typed))
            case _AskingText(recipients=recipients):
                if not typed:
                    return self._refuse("There is nothing to send: the message is empty.")
                self._state = _Choosing()
                return [SendText(recipients, typed)]
            case _AskingMode():
                return self._with_mode(typed.casefold())
            case _AskingNumber(subjects=subjects):
                return self._with_subject(subjects, typed)
            case _AskingDecision(subject=subject, choices=choices):
                return self._with_decision(subject, dict(choices), typed.casefold())
            case _AskingSame(key=key):
                return self._with_same(key, typed.casefold())
            case _Waiting():
                return []
            case _:
                assert_never(self._state)

    def _choose(self, typed: str, now: float) -> list[Effect]:
        match typed.casefold():
            case "":
                return []
            case "0":
                return [Show((notice("Exiting..."),)), Quit()]
            case "1":
                self._state = _AskingWhom(_Purpose.SEND)
                return []
            case "2":
                lists = self._lists(now)
                self._last_list = lists.numbered
                return [Show(tuple(lists_lines(lists)))]
            case "3":
                self._state = _AskingMode()
                return [
                    Show(
                        (
                            notice("Choose connection mode:"),
                            notice("A - Automatically connect to all active peers"),
                            notice("M - Manually enter IP and port to connect"),
                        )
                    )
                ]
            case "b":
                return self._broadcast()
            case "r":
                return self._reply()
            case "a":
                return self._send_again()
            case "i":
                return [Show(tuple(invite_lines(self._world.team, self._world.invite())))]
            case "t":
                return self._trust(now)
            case "v":
                self._state = _AskingWhom(_Purpose.VERIFY)
                return []
            case "h":
                return [Show(tuple(map(notice, HELP)))]
            case _:
                if is_invite(typed):
                    return self._with_invite(_Purpose.CONNECT, typed)
                return self._refuse("Invalid choice. Please try again, or type h for help.")

    def _lists(self, now: float) -> Lists:
        peers = self._world.peers.active()
        rows = {peer.id: peer_row(peer, now) for peer in peers}
        connected = {peer.id: rows[peer.id] for peer in peers if peer.is_connected}
        contacts = {contact.key: contact for contact in self._world.contacts.all()}
        return Lists(
            active=tuple(rows.values()),
            connected=tuple(connected.values()),
            away=[
                contact_row(contact, now)
                for contact in contacts.values()
                if contact.key not in rows and not contact.is_blocked
            ],
            nearby=[
                nearby_row(nearby, contact)
                for nearby in self._world.nearby()
                for contact in [contacts.get(nearby.key) if nearby.key else None]
                # Where there is a session already, or whom we keep out, there is nothing to find.
                if nearby.key not in connected and not (contact and contact.is_blocked)
            ],
            callers=[caller_row(caller, now) for caller in self._world.callers()],
        )

    def _broadcast(self) -> list[Effect]:
        recipients = tuple(peer.id for peer in self._world.peers.connected())
        if not recipients:
            return self._refuse("No connected peers to broadcast to: connect with 3 first.")
        noun = "peer" if len(recipients) == 1 else "peers"
        self._state = _AskingText(
            recipients, f"Enter your message to {len(recipients)} connected {noun}: "
        )
        return []

    def _reply(self) -> list[Effect]:
        if self._last_speaker is None:
            return self._refuse("Nobody has spoken yet: there is nobody to reply to.")
        speaker = self._last_speaker
        called = name_of(speaker, self.name(speaker))
        self._state = _AskingText((speaker,), f"Enter your reply to {called}: ")
        return []

    def _send_again(self) -> list[Effect]:
        if not self._unsent:
            return self._refuse("There is nothing to send again.")
        unsent, self._unsent = self._unsent, []
        return [SendText((recipient,), text) for recipient, text in unsent]

    def _with_mode(self, mode: str) -> list[Effect]:
        match mode:
            case "a":
                recipients = tuple(peer.id for peer in self._world.peers.active())
                if not recipients:
                    return self._refuse("No active peers to connect to.")
                self._state = _Choosing()
                return [Connect(recipients, manual=False)]
            case "m":
                self._state = _AskingWhom(_Purpose.CONNECT)
                return []
            case _:
                return self._refuse("Invalid choice. Please try again: it is A or M.")

    # Whom a person means.

    def _with_whom(self, purpose: _Purpose, typed: str, now: float) -> list[Effect]:
        if is_invite(typed):
            return self._with_invite(purpose, typed)
        keyed = self._keyed(typed)
        if keyed:
            return self._with_one_of(purpose, keyed, now)
        if keyed is not None:
            return self._refuse(
                "Unknown: nobody with that key is known here. Paste an invite, or give an address."
            )
        if typed.isascii() and typed.isdecimal():
            return self._with_number(purpose, typed)
        named = self._named(purpose, typed)
        if purpose is _Purpose.VERIFY:
            if named:
                return self._with_one_of(purpose, named, now)
            return self._refuse(
                "Unknown: no contact has that name. Give its number from the list that t shows."
            )
        try:
            host, port = parse_host_port(typed)
        except AddressError:
            if not named:
                raise
        else:
            # A peer gives itself its name: it must not be able to catch what is meant for an
            # address. Of a bare word the person sees in the next question whose it was taken for.
            if port is not None or not is_host_name(host):
                named = []
        if named:
            return self._with_one_of(purpose, named, now)
        if is_host_name(host):
            self._state = _Waiting(LookUp(host), f"Looking up {host} ... ", purpose, port)
            return [LookUp(host)]
        return self._with_host(purpose, host, port)

    def _with_invite(self, purpose: _Purpose, typed: str) -> list[Effect]:
        effect = UseInvite(parse_invite(typed))
        self._state = _Waiting(effect, "Keeping the invite ... ", purpose)
        return [effect]

    def _keyed(self, typed: str) -> list[Recipient] | None:
        # Those whose key is meant; `None` where no key is, so that it can be something else.
        name, dot, digits = typed.rpartition(MIDDLE_DOT)
        digits = digits.strip().casefold()
        is_short = _SHORT_KEY.fullmatch(digits)
        if not is_short and not _WHOLE_KEY.fullmatch(digits):
            return None
        names = {caller.key: caller.name for caller in self._world.callers()}
        names |= {contact.key: contact.name for contact in self._world.contacts.all()}
        keys: list[Recipient] = [
            key
            for key, called in names.items()
            if str(key).startswith(digits.replace(" ", ""))
            and (not name.strip() or _is_same(called, name))
        ]
        # A bare word may be a name or a host all the same.
        return keys if keys or dot or not is_short else None

    def _named(self, purpose: _Purpose, typed: str) -> list[Recipient]:
        named = [peer.id for peer in self._world.peers.named(typed)]
        named += [contact.key for contact in self._world.contacts.named(typed)]
        if purpose is _Purpose.VERIFY:
            # Before somebody is let in is a good moment; and without a key there is nothing to do.
            callers = self._world.callers()
            named += [caller.key for caller in callers if _is_same(caller.name, typed)]
            named = [recipient for recipient in named if isinstance(recipient, DeviceKey)]
        return list(dict.fromkeys(named))

    def _with_one_of(
        self, purpose: _Purpose, recipients: Sequence[Recipient], now: float
    ) -> list[Effect]:
        if len(recipients) == 1:
            return self._with_known(purpose, recipients[0])
        self._last_list = tuple(recipients)
        rows: dict[Recipient, Row] = {}
        rows |= {caller.key: caller_row(caller, now) for caller in self._world.callers()}
        rows |= {contact.key: contact_row(contact, now) for contact in self._world.contacts.all()}
        rows |= {peer.id: peer_row(peer, now) for peer in self._world.peers.active()}
        return [Show(tuple(namesakes_lines([rows[recipient] for recipient in recipients])))]

    def _with_number(self, purpose: _Purpose, digits: str) -> list[Effect]:
        if not self._last_list:
            return self._refuse("A number is one from the list: show it with 2 first.")
        recipient = _numbered(digits, self._last_list)
        if recipient is None:
            return self._refuse(f"No number {digits[:20]} in the last list: show it again with 2.")
        return self._with_known(purpose, recipient)

    def _with_known(self, purpose: _Purpose, recipient: Recipient) -> list[Effect]:
        called = name_of(recipient, self.name(recipient))
        if isinstance(recipient, DeviceKey):
            contact = self._world.contacts.find(recipient)
            is_caller = self._caller(recipient) is not None
            if contact is not None and contact.is_blocked:
                return self._refuse(f"Blocked: {called}. Forget it with t first.")
            if contact is None and is_caller and purpose is not _Purpose.VERIFY:
                return self._refuse(f"At the door: {called}. Let it in with t first.")
            if contact is None and not is_caller:
                return self._refuse(f"No longer known: {called}. Show the lists again with 2.")
        return self._to(purpose, recipient, f"Enter your message to {called}: ")

    def _caller(self, key: DeviceKey) -> Caller | None:
        return next((caller for caller in self._world.callers() if caller.key == key), None)

    def _with_host(self, purpose: _Purpose, host: str, port: int | None) -> list[Effect]:
        if port is None:
            self._state = _AskingPort(purpose, host)
            return []
        return self._to(purpose, Address(host, port), "Enter your message: ")

    def _to(self, purpose: _Purpose, recipient: Recipient, prompt: str) -> list[Effect]:
        match purpose:
            case _Purpose.SEND:
                self._state = _AskingText((recipient,), prompt)
                return []
            case _Purpose.CONNECT:
                self._state = _Choosing()
                return [Connect((recipient,), manual=True)]
            case _Purpose.VERIFY:
                if not isinstance(recipient, DeviceKey):
                    return self._refuse(f"There is no key to compare: {recipient} is no contact.")
                return self._show_words(recipient)
            case _:
                assert_never(purpose)

    # Whom a person trusts.

    def _show_words(self, key: DeviceKey) -> list[Effect]:
        effect = ShowWords(key)
        self._state = _Waiting(effect, "Working out the words ... ")
        return [effect]

    def _with_same(self, key: DeviceKey, answer: str) -> list[Effect]:
        label = label_of(self.name(key), key)
        match answer:
            case "y" | "yes":
                effect = Verify(key)
                self._state = _Waiting(effect, _KEEPING, told=verified_line(label))
                return [effect]
            case "n" | "no":
                return self._back(*words_differ_lines(label))
            case _:
                return self._refuse("Invalid choice. Please try again with v: it is y or n.")

    def _trust(self, now: float) -> list[Effect]:
        callers = self._world.callers()
        contacts = self._world.contacts.all()
        subjects: tuple[Caller | Contact, ...] = (*callers, *contacts)
        if not subjects:
            return self._refuse("Nobody is at the door, and nobody is known: nothing to decide.")
        self._last_list = tuple(subject.key for subject in subjects)
        self._state = _AskingNumber(subjects)
        return [Show(tuple(trust_lines(callers, contacts, now)))]

    def _with_subject(self, subjects: Sequence[Caller | Contact], digits: str) -> list[Effect]:
        if not digits:
            # Whoever only wanted to look.
            self._state = _Choosing()
            return []
        subject = _numbered(digits, subjects)
        if subject is None:
            return self._refuse(f"No number {digits[:20]} in the list: show it again with t.")
        decisions: Sequence[Decision | None]
        if isinstance(subject, Caller):
            decisions = subject.decisions
        elif subject.is_blocked:
            decisions = (Decision.FORGET,)
        else:
            decisions = (None, Decision.BLOCK, Decision.FORGET)
        choices = tuple((_LETTERS[decision], decision) for decision in decisions)
        self._state = _AskingDecision(subject, choices)
        return [Show(tuple(decision_lines(subject, choices)))]

    def _with_decision(
        self, subject: Caller | Contact, choices: Mapping[str, Decision | None], letter: str
    ) -> list[Effect]:
        if letter not in choices:
            return self._refuse(
                f"Invalid choice. Please try again with t: it is one of {', '.join(choices)}."
            )
        decision = choices[letter]
        if decision is None:
            return self._show_words(subject.key)
        caller = subject if isinstance(subject, Caller) else None
        effect = Decide(subject.key, decision, caller)
        self._state = _Waiting(effect, _KEEPING, told=decided_line(subject, decision))
        return [effect]


def _numbered(digits: str, things: Sequence[_T]) -> _T | None:
    # Compared as text: int() of a very long number is slow, and refused by Python itself.
    return next((thing for n, thing in enumerate(things, start=1) if str(n) == digits), None)


def _is_same(name: str, typed: str) -> bool:
    return name.strip().casefold() == typed.strip().casefold()


def _is_plain(name: str) -> bool:
    # Whether it is shown as it is: what cannot be typed as it is shown is no use as a completion.
    return shown_name(name) == name
