r"""
The menu: a state machine from typed lines to what is to be done.

It holds no connection to anything: a face feeds it lines, draws what it says and carries out what
it asks for. 1, 2, 3, A/M and 0 are the reference program's, and so is the way back to the choice
after whatever could not be. Without any I/O: the time comes in as an argument. ::

    Choosing --1--> AskingHost --host--> AskingPort --port--> AskingText --text--> Choosing
       |  ^             |   \--host name--> LookingUp --found--^    ^
       |  |             \--whole address, number, peer's name------/
       |  \-- 2, a, h, 0; c, or what cannot be, from anywhere      |
       |--b, r-----------------------------------------------------/
       \--3--> AskingMode --A--> Choosing
                         \--M--> AskingHost --...--> Choosing
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from twistedchat.core.addresses import (
    Address,
    is_host_name,
    parse_host_port,
    parse_port,
)
from twistedchat.core.errors import AddressError
from twistedchat.core.roster import PeerList
from twistedchat.core.wording import Line, lists_lines, name_of, notice, refusal

__all__ = ["LARGEST_TEXT", "Connect", "Effect", "LookUp", "Menu", "Quit", "SendText", "Show"]

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
    "h. Help",
    "0. Quit",
)

HELP = (
    "1  Send a message. The recipient is an IP address (the port is asked next), ip:port,",
    "   [IPv6]:port, a host name, a number from the list that 2 shows, or a peer's name.",
    "   The message exit takes you off that peer's lists, and it off yours.",
    "2  Show the active peers (a message went either way) and the connected ones.",
    "3  Connect: A to all active peers at once, M to an address.",
    "b  Send one message to every connected peer.",
    "r  Reply to the peer that spoke last.",
    "a  Send again what could not be sent.",
    "c  At any question: cancel, back to the menu.",
    "0  Say exit to everyone and quit.",
)


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

    recipients: tuple[Address, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Connect:
    """
    Send a connect text to each of these; `manual` tells whether a person gave the address.
    """

    addresses: tuple[Address, ...]
    manual: bool


@dataclass(frozen=True, slots=True)
class LookUp:
    """
    Find out whether a host name leads anywhere, then call `Menu.looked_up`.
    """

    host: str


@dataclass(frozen=True, slots=True)
class Quit:
    """
    Take leave of everyone and end.
    """


Effect: TypeAlias = Show | SendText | Connect | LookUp | Quit


class _Purpose(Enum):
    SEND = "send"
    CONNECT = "connect"


@dataclass(frozen=True, slots=True)
class _Choosing:
    pass


@dataclass(frozen=True, slots=True)
class _AskingHost:
    purpose: _Purpose


@dataclass(frozen=True, slots=True)
class _LookingUp:
    purpose: _Purpose
    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class _AskingPort:
    purpose: _Purpose
    host: str


@dataclass(frozen=True, slots=True)
class _AskingText:
    recipients: tuple[Address, ...]
    prompt: str


@dataclass(frozen=True, slots=True)
class _AskingMode:
    pass


_State: TypeAlias = _Choosing | _AskingHost | _LookingUp | _AskingPort | _AskingText | _AskingMode

_HOST_PROMPTS = {
    _Purpose.SEND: "Enter the recipient's IP address: ",
    _Purpose.CONNECT: "Enter the IP address to connect to: ",
}
_PORT_PROMPTS = {
    _Purpose.SEND: "Enter the recipient's port number: ",
    _Purpose.CONNECT: "Enter the port number to connect to: ",
}


class Menu:
    """
    Where a person is in the menu.

    Args:
        peers: Who is there; read whenever a line needs it.
    """

    def __init__(self, peers: PeerList) -> None:
        self._peers = peers
        self._state: _State = _Choosing()
        self._last_list: tuple[Address, ...] = ()
        self._last_speaker: Address | None = None
        self._unsent: list[tuple[Address, str]] = []

    @property
    def prompt(self) -> str:
        """
        The question that the next line answers.
        """
        match self._state:
            case _Choosing():
                return "Enter your choice: "
            case _AskingHost(purpose=purpose):
                return _HOST_PROMPTS[purpose]
            case _LookingUp(host=host):
                return f"Looking up {host} ... "
            case _AskingPort(purpose=purpose):
                return _PORT_PROMPTS[purpose]
            case _AskingText(prompt=prompt):
                return prompt
            case _AskingMode():
                return "Enter your choice (A/M): "
            case _:
                assert_never(self._state)

    @property
    def is_looking_up(self) -> bool:
        """
        Whether the next lines have to wait for `looked_up`.
        """
        return isinstance(self._state, _LookingUp)

    def greeting(self) -> list[Effect]:
        """
        What to show first.
        """
        return [Show(tuple(map(notice, MENU)))]

    def spoke(self, speaker: Address) -> None:
        """
        Somebody said something that can be replied to.

        Args:
            speaker: Who.
        """
        self._last_speaker = speaker

    def not_sent(self, recipient: Address, text: str) -> None:
        """
        A text did not arrive: keep it for ``a``.

        Args:
            recipient: Whom it was for.
            text: What is still to be sent.
        """
        self._unsent.append((recipient, text))
        del self._unsent[:-MOST_UNSENT]

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
        except AddressError as error:
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

    def looked_up(self, *, found: bool) -> list[Effect]:
        """
        The answer to `LookUp`.

        Args:
            found: Whether the name leads to an address.

        Returns:
            What to do, in order; nothing if nobody waits for it any more.
        """
        match self._state:
            case _LookingUp(purpose=purpose, host=host, port=port) if found:
                return self._with_host(purpose, host, port)
            case _LookingUp(host=host):
                return self._refuse(
                    f"Unknown: no host named {host!r} can be found, and no peer here has that "
                    "name. Give an IP address, or a number from the list that 2 shows."
                )
            case _:
                return []

    def _refuse(self, reason: str) -> list[Effect]:
        self._state = _Choosing()
        return [Show((refusal(reason),))]

    def _answer(self, typed: str, now: float) -> list[Effect]:
        match self._state:
            case _Choosing():
                return self._choose(typed.casefold(), now)
            case _AskingHost(purpose=purpose):
                return self._with_recipient(purpose, typed)
            case _AskingPort(purpose=purpose, host=host):
                return self._with_host(purpose, host, parse_port(typed))
            case _AskingText(recipients=recipients):
                if not typed:
                    return self._refuse("There is nothing to send: the message is empty.")
                self._state = _Choosing()
                return [SendText(recipients, typed)]
            case _AskingMode():
                return self._with_mode(typed.casefold())
            case _LookingUp():
                return []
            case _:
                assert_never(self._state)

    def _choose(self, choice: str, now: float) -> list[Effect]:
        match choice:
            case "":
                return []
            case "0":
                return [Show((notice("Exiting..."),)), Quit()]
            case "1":
                self._state = _AskingHost(_Purpose.SEND)
                return []
            case "2":
                self._last_list = tuple(peer.address for peer in self._peers.active())
                return [Show(tuple(lists_lines(self._peers, now)))]
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
            case "h":
                return [Show(tuple(map(notice, HELP)))]
            case _:
                return self._refuse("Invalid choice. Please try again, or type h for help.")

    def _broadcast(self) -> list[Effect]:
        addresses = tuple(peer.address for peer in self._peers.connected())
        if not addresses:
            return self._refuse("No connected peers to broadcast to: connect with 3 first.")
        noun = "peer" if len(addresses) == 1 else "peers"
        self._state = _AskingText(
            addresses, f"Enter your message to {len(addresses)} connected {noun}: "
        )
        return []

    def _reply(self) -> list[Effect]:
        if self._last_speaker is None:
            return self._refuse("Nobody has spoken yet: there is nobody to reply to.")
        speaker = self._last_speaker
        called = name_of(self._peers.find(speaker), speaker)
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
                addresses = tuple(peer.address for peer in self._peers.active())
                if not addresses:
                    return self._refuse("No active peers to connect to.")
                self._state = _Choosing()
                return [Connect(addresses, manual=False)]
            case "m":
                self._state = _AskingHost(_Purpose.CONNECT)
                return []
            case _:
                return self._refuse("Invalid choice. Please try again: it is A or M.")

    def _with_recipient(self, purpose: _Purpose, typed: str) -> list[Effect]:
        if typed.isascii() and typed.isdecimal():
            return self._with_number(purpose, typed)
        named = self._peers.named(typed)
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
        if len(named) == 1:
            return self._with_listed(purpose, named[0].address)
        if named:
            addresses = ", ".join(str(peer.address) for peer in named)
            return self._refuse(
                f"{len(named)} peers have that name: {addresses}. Give the address of the one."
            )
        if is_host_name(host):
            self._state = _LookingUp(purpose, host, port)
            return [LookUp(host)]
        return self._with_host(purpose, host, port)

    def _with_listed(self, purpose: _Purpose, address: Address) -> list[Effect]:
        effects = self._with_host(purpose, address.host, address.port)
        if purpose is _Purpose.SEND:
            called = name_of(self._peers.find(address), address)
            self._state = _AskingText((address,), f"Enter your message to {called}: ")
        return effects

    def _with_number(self, purpose: _Purpose, digits: str) -> list[Effect]:
        if not self._last_list:
            return self._refuse("A number is one from the list: show it with 2 first.")
        # Compared as text: int() of a very long number is slow, and refused by Python itself.
        for number, address in enumerate(self._last_list, start=1):
            if str(number) == digits:
                return self._with_listed(purpose, address)
        return self._refuse(f"No number {digits[:20]} in the last list: show it again with 2.")

    def _with_host(self, purpose: _Purpose, host: str, port: int | None) -> list[Effect]:
        if port is None:
            self._state = _AskingPort(purpose, host)
            return []
        address = Address(host, port)
        match purpose:
            case _Purpose.SEND:
                self._state = _AskingText((address,), "Enter your message: ")
                return []
            case _Purpose.CONNECT:
                self._state = _Choosing()
                return [Connect((address,), manual=True)]
            case _:
                assert_never(purpose)
