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
       |  \-- 2, i, a, w, h, 0; c, or what cannot be, from anywhere
       |--b, r--> AskingText
       |--invite--> Waiting --kept--> Choosing
       |--3--> AskingMode --A--> Choosing
       |                  \--M--> AskingWhom --...--> Choosing
       |--m--> AskingWhichRoom --number--> AskingInRoom --w, a--> AskingText, AskingWhom
       |                     |                      |\--x--> AskingMember --number--> AskingSure
       |                     |                      |\--l--> AskingSure --y--> Waiting --> Choosing
       |                     |                       \--h, p, j, d--> Reading, Waiting, Choosing
       |                      \--new NAME--> Waiting --made--> AskingInRoom
       |--y--> AskingWhom --somebody--> Reading --a page--> AskingMore --Return--> Reading
       |--s--> AskingWords --words----> Reading                       \--anything--> Choosing
       |--u--> AskingWhom --somebody--> Waiting --text--> AskingText
       |--v--> AskingWhom --contact--> Waiting --words--> AskingSame --n--> Choosing
       |                 |                                          \--y--> Waiting --> Choosing
       |                 \--caller, invite--> Waiting --words, kept--> Choosing
       \--t--> AskingNumber --number--> AskingDecision --decision--> Waiting --> Choosing
                           \--nothing--> Choosing     \--v--> Waiting --words--> AskingSame

Where it is Waiting or Reading, the face has been asked for something and hands over no line before
it has given the answer. A program that types lines is shown no pages: it stays Reading until it has
got everything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol, TypeAlias, TypeVar, assert_never

from twistedchat.core.addresses import (
    Address,
    is_host_name,
    parse_host_port,
    parse_port,
)
from twistedchat.core.errors import AddressError, ChatError
from twistedchat.core.events import Progress, Sent, Speaker
from twistedchat.core.history import LineOfHistory, Place, RoomRecord, Stay
from twistedchat.core.identity import DeviceKey
from twistedchat.core.invites import Invite, is_invite, parse_invite
from twistedchat.core.layout import rows_of
from twistedchat.core.nearby import Nearby
from twistedchat.core.reading import BATCH, Hit, Stream, cut_since, passages_of
from twistedchat.core.roster import PeerList, Recipient, RoomId
from twistedchat.core.trust import Caller, Contact, ContactList, Decision
from twistedchat.core.wording import (
    MIDDLE_DOT,
    Line,
    Lists,
    Quote,
    Row,
    caller_row,
    contact_row,
    decided_line,
    decision_lines,
    given_back_lines,
    history_lines,
    invite_lines,
    label_of,
    lists_lines,
    member_row,
    name_of,
    namesakes_lines,
    nearby_row,
    notice,
    passage_lines,
    peer_row,
    people_lines,
    recalled_line,
    refusal,
    room_choice_lines,
    room_label,
    room_row,
    rooms_lines,
    shown_name,
    trust_lines,
    unlisted_row,
    unread_line,
    unread_lines,
    verified_line,
    waits_lines,
    with_unread,
    words_differ_lines,
    words_lines,
)

__all__ = [
    "HITS",
    "LARGEST_TEXT",
    "PAGE",
    "AddTo",
    "Connect",
    "Decide",
    "Effect",
    "Join",
    "KeepTrying",
    "LeaveRoom",
    "LookUp",
    "MakeRoom",
    "Menu",
    "Quit",
    "ReadHistory",
    "Recall",
    "RemoveFrom",
    "Search",
    "Seen",
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

# Texts kept for `a`, and as many for `w`: more than anyone retypes, and at most 16 MiB of the
# longest.
MOST_UNSENT = 256

# Lines of a page: with its question and the day they fit into the smallest usual window. Where they
# are long, or the window is smaller, there are fewer.
PAGE = 20

# Texts that are found on a page, each with the lines around it; likewise.
HITS = 5

# Rows and columns of the smallest usual window, and rows of it that are for the question.
WINDOW = (24, 80)
ROWS_OF_QUESTION = 2

MENU = (
    "***** Menu *****",
    "1. Send message",
    "2. Query peers",
    "3. Connect to peers (Auto or Manual)",
    "b. Broadcast to connected peers",
    "r. Reply to whoever spoke last",
    "a. Send again what was not sent",
    "w. Send it when the peer is back",
    "u. Undo: take back a text that is still kept here",
    "m. Rooms",
    "y. History",
    "s. Search",
    "i. Invite: our name, key and link",
    "t. Trust: let in, block, forget",
    "v. Verify a contact",
    "h. Help",
    "0. Quit",
)

HELP = (
    "1  Send a message. The recipient is an IP address (the port is asked next), ip:port,",
    "   [IPv6]:port, a host name, a number from the list that 2 shows, a name, the eight",
    "   digits behind a name, a room (#name), or an invite that somebody gave you.",
    "   The message exit takes you off that peer's lists, and it off yours.",
    "2  Show who is there. Nothing proves who a plain peer is, and others can read along; a",
    "   secure one has the key that it had when you met; of a verified one you compared it.",
    "3  Connect: A to all active peers at once, M to one, given as with 1.",
    "b  Send one message to every connected peer.",
    "r  Reply to the peer that spoke last.",
    "a  Send again what could not be sent.",
    "w  Have it tried every minute, and whenever the plain peer speaks; w again takes it back.",
    "   What is for a secure peer or a room waits by itself, also while this chat is off.",
    "u  Take back the last text to somebody, as long as nobody can have got it.",
    "   Or in one line: recall NAME",
    "m  Rooms: choose one to write, read, see who is in it, add, remove, join or leave; or make",
    "   one. In one line: room NAME, new NAME, and #NAME TEXT to write there.",
    "y  Read what was said. In one line: history [NAME, #NAME, NUMBER or ADDRESS] [SINCE],",
    "   where SINCE is 2026-11-24, 14:30, 20min, 2h, 3d, today or yesterday.",
    "s  Find texts that hold all of some words. In one line: search WORDS",
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

    @property
    def key(self) -> DeviceKey:
        """
        Who we are.
        """

    def rooms(self) -> list[RoomRecord]:
        """
        The rooms that we are in or are invited to.
        """

    def members(self, room: RoomId) -> list[Speaker]:
        """
        Who is in a room.
        """

    def unread(self, place: Place) -> int:
        """
        How many texts came to a place that have not been read yet.
        """

    def addresses_unread(self) -> list[Address]:
        """
        Those of classic peers of whom there is something unread, on the lists or not.
        """

    def place_of(self, recipient: Recipient) -> Place:
        """
        Where what is said between somebody and us is kept.
        """

    def speaker_of(self, line: LineOfHistory) -> str:
        """
        What to call the author of a line.
        """

    def recipient_of(self, line: LineOfHistory) -> Recipient:
        """
        To whom one would answer a line.
        """

    def progress_of(self, line: LineOfHistory) -> Progress | None:
        """
        How far a line of ours has come.
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
class MakeRoom:
    """
    Found a room, then call `Menu.room_made` or `Menu.refused`.
    """

    name: str


@dataclass(frozen=True, slots=True)
class AddTo:
    """
    Add a contact to a room, then call `Menu.done` or `Menu.refused`.
    """

    room: RoomId
    key: DeviceKey


@dataclass(frozen=True, slots=True)
class RemoveFrom:
    """
    Remove somebody from a room, then call `Menu.done` or `Menu.refused`.
    """

    room: RoomId
    key: DeviceKey


@dataclass(frozen=True, slots=True)
class Join:
    """
    Come into a room, then call `Menu.done` or `Menu.refused`.
    """

    room: RoomId


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """
    Leave a room, then call `Menu.done` or `Menu.refused`.
    """

    room: RoomId


@dataclass(frozen=True, slots=True)
class Recall:
    """
    Take back the last text to somebody, then call `Menu.recalled` or `Menu.refused`.
    """

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """
    Read what was said, then call `Menu.history_read` or `Menu.refused`.

    Attributes:
        place: Where; ``None`` for everywhere.
        since: Only what was said then or later, in seconds since the epoch.
        before: Only what stands before this line; ``None`` to begin with the newest.
        most: How many lines.
    """

    place: Place | None
    since: float
    before: LineOfHistory | None
    most: int


@dataclass(frozen=True, slots=True)
class Search:
    """
    Find texts and what stands around each, then call `Menu.found` or `Menu.refused`.

    Attributes:
        words: What they hold, as it was typed.
        before: Only what came before this line; ``None`` to begin with the newest.
        most: How many texts.
    """

    words: str
    before: LineOfHistory | None
    most: int


@dataclass(frozen=True, slots=True)
class Seen:
    """
    These lines of history have just been shown.

    Attributes:
        place: Where they were said; ``None`` for everywhere.
        lines: Which.
        is_first: Whether they are the first of what is being read.
    """

    place: Place | None
    lines: tuple[LineOfHistory, ...]
    is_first: bool


@dataclass(frozen=True, slots=True)
class KeepTrying:
    """
    Send the texts that `Menu.late` gives when their recipients are back.
    """


@dataclass(frozen=True, slots=True)
class Quit:
    """
    Take leave of everyone and end.
    """


# What `Menu.done` answers.
_Deed: TypeAlias = Verify | Decide | AddTo | RemoveFrom | Join | LeaveRoom

Effect: TypeAlias = (
    Show
    | SendText
    | Connect
    | LookUp
    | UseInvite
    | ShowWords
    | MakeRoom
    | _Deed
    | Recall
    | ReadHistory
    | Search
    | Seen
    | KeepTrying
    | Quit
)


# What somebody is asked for.


@dataclass(frozen=True, slots=True)
class _ToSend:
    pass


@dataclass(frozen=True, slots=True)
class _ToConnect:
    pass


@dataclass(frozen=True, slots=True)
class _ToVerify:
    pass


@dataclass(frozen=True, slots=True)
class _ToAdd:
    room: RoomRecord


@dataclass(frozen=True, slots=True)
class _ToRead:
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class _ToRecall:
    # Who is meant where nobody is named.
    last: Recipient | None


_Purpose: TypeAlias = _ToSend | _ToConnect | _ToVerify | _ToAdd | _ToRead | _ToRecall


# What is asked.


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
    draft: str = ""


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
class _AskingWhichRoom:
    rooms: tuple[RoomRecord, ...]


@dataclass(frozen=True, slots=True)
class _AskingInRoom:
    room: RoomRecord
    letters: str


@dataclass(frozen=True, slots=True)
class _AskingMember:
    room: RoomRecord
    members: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class _AskingSure:
    question: str
    deed: RemoveFrom | LeaveRoom


@dataclass(frozen=True, slots=True)
class _AskingWords:
    pass


@dataclass(frozen=True, slots=True)
class _AskingMore:
    next_page: ReadHistory | Search


@dataclass(frozen=True, slots=True)
class _Waiting:
    awaited: LookUp | UseInvite | ShowWords | MakeRoom | _Deed | Recall
    prompt: str
    # For a look-up and an invite: what for, and the port where there is one.
    purpose: _Purpose = _ToSend()
    port: int | None = None
    # For what has no other answer than that it is done: what to say then, where no event tells it.
    told: Line = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    awaited: ReadHistory | Search
    # For a program, which gets everything: how far that has come, and what it got last.
    stream: Stream
    last: LineOfHistory | None = None


_State: TypeAlias = (
    _Choosing
    | _AskingWhom
    | _AskingPort
    | _AskingText
    | _AskingMode
    | _AskingNumber
    | _AskingDecision
    | _AskingSame
    | _AskingWhichRoom
    | _AskingInRoom
    | _AskingMember
    | _AskingSure
    | _AskingWords
    | _AskingMore
    | _Waiting
    | _Reading
)

_KEEPING = "Keeping that ... "

_T = TypeVar("_T")


class Menu:
    """
    Where a person is in the menu.

    Args:
        world: Who is there, who is known and who we are; read whenever a line needs it.
        is_interactive: Whether a person types, who reads pages and can edit; otherwise a program.
        window: Tells how many rows and columns a person sees at once.
    """

    def __init__(
        self,
        world: World,
        *,
        is_interactive: bool,
        window: Callable[[], tuple[int, int]] = lambda: WINDOW,
    ) -> None:
        self._world = world
        self._is_interactive = is_interactive
        self._window = window
        self._state: _State = _Choosing()
        self._last_list: tuple[Recipient, ...] = ()
        self._last_speaker: Recipient | None = None
        self._last_recipient: Recipient | None = None
        self._unsent: list[tuple[Recipient, str]] = []
        self._late: list[tuple[Address, str]] = []

    @property
    def prompt(self) -> str:
        """
        The question that the next line answers.
        """
        match self._state:
            case _Choosing():
                return "Enter your choice: "
            case _AskingWhom(purpose=purpose):
                return self._whom_prompt(purpose)
            case _AskingPort(purpose=_ToConnect()):
                return "Enter the port number to connect to: "
            case _AskingPort():
                return "Enter the recipient's port number: "
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
            case _AskingWhichRoom():
                return "Enter a number, or new and a name: "
            case _AskingInRoom(letters=letters):
                return f"Enter your choice ({'/'.join(letters)}): "
            case _AskingMember():
                return "Enter the number to remove: "
            case _AskingSure(question=question):
                return f"{question} (y/n): "
            case _AskingWords():
                return "Enter the words to look for: "
            case _AskingMore():
                return "Enter your choice (Return shows more, c ends): "
            case _Waiting(prompt=prompt):
                return prompt
            case _Reading():
                return "Reading ... "
            case _:
                assert_never(self._state)

    def _whom_prompt(self, purpose: _Purpose) -> str:
        match purpose:
            case _ToSend():
                return "Enter the recipient's IP address: "
            case _ToConnect():
                return "Enter the IP address to connect to: "
            case _ToVerify():
                return "Enter the contact to verify: "
            case _ToAdd(room=room):
                return f"Enter the contact to add to {self._room_label(room)}: "
            case _ToRead():
                return "Enter whose history to show (Return for everybody's): "
            case _ToRecall(last=last):
                default = "" if last is None else f" (Return for {self._called(last)})"
                return f"Enter whose last text to take back{default}: "
            case _:
                assert_never(purpose)

    @property
    def draft(self) -> str:
        """
        What to begin the answer to the question with.
        """
        return self._state.draft if isinstance(self._state, _AskingText) else ""

    @property
    def is_waiting(self) -> bool:
        """
        Whether the next lines have to wait for the answer to an effect.
        """
        return isinstance(self._state, _Waiting | _Reading)

    def greeting(self) -> list[Effect]:
        """
        What to show first.
        """
        unread = [count for _, count in self._unread()]
        lines = list(map(notice, MENU))
        if unread:
            lines.append(unread_line(sum(unread), len(unread)))
        return [Show(tuple(lines))]

    def words(self) -> list[str]:
        """
        What may be completed, as it is typed: names, names with keys, rooms, and addresses.
        """
        peers = self._world.peers.active()
        contacts = [contact for contact in self._world.contacts.all() if not contact.is_blocked]
        names = [*(peer.name for peer in peers), *(contact.name for contact in contacts)]
        labels = [
            label_of(contact.name, contact.key) for contact in contacts if _is_plain(contact.name)
        ]
        namesakes = self.namesakes()
        rooms = [
            room_label(room.room, room.name, namesakes)
            for room in self._rooms()
            if room_label(room.room, room.name) == f"#{room.name}"
        ]
        addresses = [
            *(peer.address for peer in peers),
            *(nearby.addresses[0] for nearby in self._world.nearby()),
        ]
        words = [*(name for name in names if name and _is_plain(name)), *labels, *rooms]
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
            case RoomId():
                room = self._room(recipient)
                return None if room is None else room.name
            case _:
                assert_never(recipient)

    def namesakes(self) -> frozenset[bytes]:
        """
        The rooms that share their name with another one of ours.
        """
        rooms = self._world.rooms()
        names = Counter(room.name.strip().casefold() for room in rooms)
        return frozenset(room.room for room in rooms if names[room.name.strip().casefold()] > 1)

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

    def sent(self, recipient: Recipient, sent: Sent) -> None:
        """
        A text went out, or is kept by the node.

        Args:
            recipient: Whom it was for.
            sent: What became of it: whoever answers at an address may have a key.
        """
        if self._last_recipient == recipient:
            self._last_recipient = sent.recipient

    # Texts for plain peers that are away.

    @property
    def late(self) -> tuple[tuple[Address, str], ...]:
        """
        What is to be sent when its recipient is back, and to whom.
        """
        return tuple(self._late)

    def late_sent(self, address: Address, text: str) -> None:
        """
        One of them has been sent.

        Args:
            address: To whom.
            text: What.
        """
        self._replace(address, text, [])

    def late_not_sent(self, address: Address, text: str, unsent: str) -> None:
        """
        One of them could not be sent, or not all of it.

        Args:
            address: To whom it was to go.
            text: What.
            unsent: What is still to be sent.
        """
        self._replace(address, text, [unsent])

    def _replace(self, address: Address, text: str, rest: list[str]) -> None:
        # Somebody may have taken it back meanwhile.
        one = (address, text)
        if one in self._late:
            index = self._late.index(one)
            self._late[index : index + 1] = [(address, part) for part in rest]
        elif one in self._unsent:
            index = self._unsent.index(one)
            self._unsent[index : index + 1] = [(address, part) for part in rest]

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
            case _Waiting(awaited=UseInvite(), purpose=_ToVerify()):
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
        The answer to what has only to be kept: it has been.
        """
        match self._state:
            case _Waiting(
                awaited=Verify() | Decide() | AddTo() | RemoveFrom() | Join() | LeaveRoom(),
                told=told,
            ):
                self._state = _Choosing()
                return [Show((told,))] if told else []
            case _:
                return []

    def room_made(self, room: RoomRecord) -> list[Effect]:
        """
        The answer to `MakeRoom`.

        Args:
            room: The new room.
        """
        match self._state:
            case _Waiting(awaited=MakeRoom()):
                return self._in_room(room)
            case _:
                return []

    def recalled(self, text: str) -> list[Effect]:
        """
        The answer to `Recall`.

        Args:
            text: What was taken back.
        """
        match self._state:
            case _Waiting(awaited=Recall(recipient)):
                called = self._called(recipient)
                self._state = _Choosing()
                if self._is_interactive:
                    prompt = f"Enter your message to {called}: "
                    self._state = _AskingText((recipient,), prompt, text)
                return [Show((recalled_line(called, text),))]
            case _:
                return []

    def history_read(self, lines: Sequence[LineOfHistory]) -> list[Effect]:
        """
        The answer to `ReadHistory`.

        Args:
            lines: What was read, the newest first.
        """
        match self._state:
            case _Reading(awaited=ReadHistory() as asked) as reading:
                if not lines and (self._is_interactive or asked.before is None):
                    return self._refuse("There is nothing to show, or nothing more.")
                if self._is_interactive:
                    return self._show_page(asked, lines)
                return self._show_batch(reading, asked, lines)
            case _:
                return []

    def found(self, hits: Sequence[Hit]) -> list[Effect]:
        """
        The answer to `Search`.

        Args:
            hits: What was found, the newest first, each with what stands around it.
        """
        match self._state:
            case _Reading(awaited=Search() as asked):
                if not hits:
                    return self._refuse(f"Nothing that was said holds all of: {asked.words[:60]}")
                page = hits[: asked.most - 1]
                if self._is_interactive:
                    page = page[: self._how_many_fit(len(page), lambda n: self._passages(page[:n]))]
                shown = Show(tuple(self._passages(page)))
                self._state = _Choosing()
                if len(page) == len(hits):
                    return [shown]
                effect = replace(asked, before=page[-1][0])
                if self._is_interactive:
                    self._state = _AskingMore(effect)
                    return [shown]
                return [shown, *self._read(effect)]
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
            case _AskingWhom(purpose=_ToRead() as purpose):
                return self._with_whose_history(purpose, typed, now)
            case _AskingWhom(purpose=purpose):
                return self._with_whom(purpose, typed, now)
            case _AskingPort(purpose=purpose, host=host):
                return self._with_host(purpose, host, parse_port(typed))
            case _AskingText(recipients=recipients):
                if not typed:
                    return self._refuse("There is nothing to send: the message is empty.")
                return self._send(recipients, typed)
            case _AskingMode():
                return self._with_mode(typed.casefold())
            case _AskingNumber(subjects=subjects):
                return self._with_subject(subjects, typed)
            case _AskingDecision(subject=subject, choices=choices):
                return self._with_decision(subject, dict(choices), typed.casefold())
            case _AskingSame(key=key):
                return self._with_same(key, typed.casefold())
            case _AskingWhichRoom(rooms=rooms):
                return self._with_which_room(rooms, typed)
            case _AskingInRoom(room=room, letters=letters):
                return self._with_choice_in_room(room, letters, typed.casefold())
            case _AskingMember(room=room, members=members):
                return self._with_member(room, members, typed)
            case _AskingSure(deed=deed):
                return self._with_sure(deed, typed.casefold())
            case _AskingWords():
                return self._search(typed)
            case _AskingMore(next_page=next_page):
                if not typed:
                    return self._read(next_page)
                # Nobody has to leave a page before they go on.
                self._state = _Choosing()
                return self._choose(typed, now)
            case _Waiting() | _Reading():
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
                self._state = _AskingWhom(_ToSend())
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
            case "w":
                return self._send_later()
            case "u":
                self._state = _AskingWhom(_ToRecall(self._recallable()))
                return []
            case "m":
                return self._choose_room(self._rooms())
            case "y":
                return self._ask_whose_history(now)
            case "s":
                self._state = _AskingWords()
                return []
            case "i":
                return [Show(tuple(invite_lines(self._world.team, self._world.invite())))]
            case "t":
                return self._trust(now)
            case "v":
                self._state = _AskingWhom(_ToVerify())
                return []
            case "h":
                return [Show(tuple(map(notice, HELP)))]
            case _:
                return self._with_words(typed, now)

    def _with_words(self, typed: str, now: float) -> list[Effect]:
        if is_invite(typed):
            return self._with_invite(_ToConnect(), typed)
        if typed.startswith("#"):
            return self._write_to_room(typed)
        # Whoever is used to it may put a slash before a command.
        command, _, rest = typed.removeprefix("/").partition(" ")
        rest = rest.strip()
        match command.casefold():
            case "history":
                return self._with_whose_history(_ToRead(), rest, now)
            case "search":
                if rest:
                    return self._search(rest)
                self._state = _AskingWords()
                return []
            case "recall":
                return self._with_whom(_ToRecall(self._recallable()), rest, now)
            case "room" | "rooms" if not rest:
                return self._choose_room(self._rooms())
            case "room":
                return self._with_which_room(self._rooms(), rest)
            case "new":
                return self._make_room(rest)
            case _:
                return self._refuse("Invalid choice. Please try again, or type h for help.")

    def _lists(self, now: float) -> Lists:
        peers = self._world.peers.active()
        rows = {peer.id: self._with_unread(peer_row(peer, now)) for peer in peers}
        connected = {peer.id: rows[peer.id] for peer in peers if peer.is_connected}
        contacts = {contact.key: contact for contact in self._world.contacts.all()}
        return Lists(
            active=tuple(rows.values()),
            connected=tuple(connected.values()),
            away=[
                self._with_unread(contact_row(contact, now))
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
            rooms=self._room_rows(self._rooms()),
            callers=[caller_row(caller, now) for caller in self._world.callers()],
        )

    def _with_unread(self, row: Row) -> Row:
        return with_unread(row, self._world.unread(self._world.place_of(row.recipient)))

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
        called = self._called(speaker)
        self._check_room(speaker)
        self._state = _AskingText((speaker,), f"Enter your reply to {called}: ")
        return []

    def _send(self, recipients: tuple[Recipient, ...], text: str) -> list[Effect]:
        self._state = _Choosing()
        self._last_recipient = recipients[-1]
        return [SendText(recipients, text)]

    def _send_again(self) -> list[Effect]:
        if not self._unsent:
            return self._refuse("There is nothing to send again.")
        unsent, self._unsent = self._unsent, []
        return [SendText((recipient,), text) for recipient, text in unsent]

    def _send_later(self) -> list[Effect]:
        late = [(to, text) for to, text in self._unsent if isinstance(to, Address)]
        if late:
            if len(self._late) + len(late) > MOST_UNSENT:
                return self._refuse(
                    f"{len(self._late)} texts are kept already: take them back with w when the "
                    "others have been sent with a."
                )
            self._unsent = [one for one in self._unsent if not isinstance(one[0], Address)]
            self._late += late
            lines = [line for address, text in late for line in waits_lines(address, text)]
            return [Show(tuple(lines)), KeepTrying()]
        if not self._late:
            return self._refuse("There is nothing to send later.")
        late, self._late = self._late, []
        for address, text in late:
            self.not_sent(address, text)
        return self._back(*(line for one in late for line in given_back_lines(*one)))

    def _with_mode(self, mode: str) -> list[Effect]:
        match mode:
            case "a":
                recipients = tuple(peer.id for peer in self._world.peers.active())
                if not recipients:
                    return self._refuse("No active peers to connect to.")
                self._state = _Choosing()
                return [Connect(recipients, manual=False)]
            case "m":
                self._state = _AskingWhom(_ToConnect())
                return []
            case _:
                return self._refuse("Invalid choice. Please try again: it is A or M.")

    # Whom a person means.

    def _with_whom(self, purpose: _Purpose, typed: str, now: float) -> list[Effect]:
        if isinstance(purpose, _ToRecall) and not typed:
            return self._with_nobody(purpose)
        if is_invite(typed):
            return self._with_invite(purpose, typed)
        if typed.startswith("#"):
            rooms = [RoomId(room.room) for room, _ in self._rooms_called(typed, is_whole=True)]
            if not rooms:
                return self._refuse(f"Unknown: you are in no room {typed[:60]}. Show them with m.")
            return self._with_one_of(purpose, rooms, now)
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
        if isinstance(purpose, _ToVerify | _ToAdd | _ToRecall):
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
        if isinstance(purpose, _ToRead) and (port is None or is_host_name(host)):
            return self._refuse(
                "Unknown: nobody here has that name. Give a number that 2 shows, or ip:port."
            )
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
        if isinstance(purpose, _ToVerify):
            # Before somebody is let in is a good moment.
            callers = self._world.callers()
            named += [caller.key for caller in callers if _is_same(caller.name, typed)]
        if isinstance(purpose, _ToVerify | _ToAdd | _ToRecall):
            # Without a key there is nothing to do.
            named = [recipient for recipient in named if isinstance(recipient, DeviceKey)]
        if isinstance(purpose, _ToSend | _ToRead | _ToRecall):
            named += [
                RoomId(room.room)
                for room in self._world.rooms()
                # Nobody's invitation may catch what is meant for somebody else.
                if room.stay is not Stay.INVITED and _is_same(room.name, typed)
            ]
        return list(dict.fromkeys(named))

    def _with_one_of(
        self, purpose: _Purpose, recipients: Sequence[Recipient], now: float
    ) -> list[Effect]:
        if len(recipients) == 1:
            return self._with_known(purpose, recipients[0])
        self._state = _AskingWhom(purpose)
        self._last_list = tuple(recipients)
        return [Show(tuple(namesakes_lines(self._rows_of(recipients, now))))]

    def _rows_of(self, recipients: Sequence[Recipient], now: float) -> list[Row]:
        rows: dict[Recipient, Row] = {}
        rows |= {caller.key: caller_row(caller, now) for caller in self._world.callers()}
        rows |= {contact.key: contact_row(contact, now) for contact in self._world.contacts.all()}
        rows |= {peer.id: peer_row(peer, now) for peer in self._world.peers.active()}
        unlisted = [at for at in self._world.addresses_unread() if at not in rows]
        rows |= {address: unlisted_row(address) for address in unlisted}
        rows = {recipient: self._with_unread(rows[recipient]) for recipient in rows}
        rows |= {row.recipient: row for row in self._room_rows(self._world.rooms())}
        return [rows[recipient] for recipient in recipients]

    def _with_number(self, purpose: _Purpose, digits: str) -> list[Effect]:
        if not self._last_list:
            return self._refuse("A number is one from the list: show it with 2 first.")
        recipient = _numbered(digits, self._last_list)
        if recipient is None:
            return self._refuse(f"No number {digits[:20]} in the last list: show it again with 2.")
        return self._with_known(purpose, recipient)

    def _with_nobody(self, purpose: _ToRecall) -> list[Effect]:
        if purpose.last is None:
            return self._refuse("Nothing was sent that could be taken back: say to whom it was.")
        return self._with_known(purpose, purpose.last)

    def _with_known(self, purpose: _Purpose, recipient: Recipient) -> list[Effect]:
        called = self._called(recipient)
        if isinstance(recipient, DeviceKey):
            contact = self._world.contacts.find(recipient)
            is_caller = self._caller(recipient) is not None
            if contact is not None and contact.is_blocked and not isinstance(purpose, _ToRead):
                return self._refuse(f"Blocked: {called}. Forget it with t first.")
            if contact is None and is_caller and not isinstance(purpose, _ToVerify):
                return self._refuse(f"At the door: {called}. Let it in with t first.")
            if contact is None and not is_caller:
                return self._refuse(f"No contact: {called}. Show the lists again with 2.")
        if isinstance(purpose, _ToSend):
            self._check_room(recipient)
        return self._to(purpose, recipient, f"Enter your message to {called}: ")

    def _check_room(self, recipient: Recipient) -> None:
        if not isinstance(recipient, RoomId):
            return
        room = self._room(recipient)
        if room is None or room.stay is Stay.LEFT:
            raise ChatError("You are not in that room any more.")
        if room.stay is Stay.INVITED:
            raise ChatError(f"You are only invited to {self._room_label(room)}: join it with m.")

    def _called(self, recipient: Recipient) -> str:
        return name_of(recipient, self.name(recipient), self.namesakes())

    def _caller(self, key: DeviceKey) -> Caller | None:
        return next((caller for caller in self._world.callers() if caller.key == key), None)

    def _with_host(self, purpose: _Purpose, host: str, port: int | None) -> list[Effect]:
        if port is None:
            self._state = _AskingPort(purpose, host)
            return []
        return self._to(purpose, Address(host, port), "Enter your message: ")

    def _to(self, purpose: _Purpose, recipient: Recipient, prompt: str) -> list[Effect]:
        match purpose, recipient:
            case _ToSend(), _:
                self._state = _AskingText((recipient,), prompt)
                return []
            case _ToConnect(), RoomId():
                return self._refuse("A room is not connected to: connect to those who are in it.")
            case _ToConnect(), _:
                self._state = _Choosing()
                return [Connect((recipient,), manual=True)]
            case _ToVerify(), DeviceKey():
                return self._show_words(recipient)
            case _ToVerify(), _:
                called = name_of(recipient, None)
                return self._refuse(f"There is no key to compare: {called} is no contact.")
            case _ToAdd(room=room), DeviceKey():
                return self._wait_for(AddTo(RoomId(room.room), recipient))
            case _ToAdd(), _:
                called = name_of(recipient, None)
                return self._refuse(f"Only a contact can be added: {called} is none.")
            case _ToRead(since=since), _:
                return self._read_history(self._world.place_of(recipient), since)
            case _ToRecall(), Address():
                return self._refuse("What went out in plain cannot be taken back.")
            case _ToRecall(), _:
                effect = Recall(recipient)
                self._state = _Waiting(effect, "Taking it back ... ")
                return [effect]
            case _:
                assert_never(purpose)

    # What was said.

    def _ask_whose_history(self, now: float) -> list[Effect]:
        self._state = _AskingWhom(_ToRead())
        unread = [recipient for recipient, _ in self._unread()]
        if not unread:
            return []
        self._last_list = tuple(unread)
        return [Show(tuple(unread_lines(self._rows_of(unread, now))))]

    def _unread(self) -> list[tuple[Recipient, int]]:
        recipients: list[Recipient] = [
            *(contact.key for contact in self._world.contacts.all() if not contact.is_blocked),
            *(RoomId(room.room) for room in self._rooms()),
            *self._world.addresses_unread(),
        ]
        unread = [
            (recipient, self._world.unread(self._world.place_of(recipient)))
            for recipient in recipients
        ]
        return [(recipient, count) for recipient, count in unread if count]

    def _with_whose_history(self, purpose: _ToRead, typed: str, now: float) -> list[Effect]:
        whose, since = cut_since(typed, now)
        if since is not None:
            purpose = _ToRead(since)
        if not whose:
            return self._read_history(None, purpose.since)
        return self._with_whom(purpose, whose, now)

    def _read_history(self, place: Place | None, since: float) -> list[Effect]:
        # On a page one more, so as to know whether there are any.
        return self._read(
            ReadHistory(place, since, None, PAGE + 1 if self._is_interactive else BATCH)
        )

    def _search(self, words: str) -> list[Effect]:
        if not words:
            return self._refuse("There is nothing to look for: no word was typed.")
        return self._read(Search(words, None, (HITS if self._is_interactive else BATCH) + 1))

    def _read(self, effect: ReadHistory | Search) -> list[Effect]:
        self._state = _Reading(effect, Stream())
        return [effect]

    def _show_page(self, asked: ReadHistory, lines: Sequence[LineOfHistory]) -> list[Effect]:
        page = lines[:PAGE]
        page = page[: self._how_many_fit(len(page), lambda n: self._drawn(page[:n][::-1]))]
        self._state = _Choosing()
        if len(lines) > len(page):
            self._state = _AskingMore(replace(asked, before=page[-1]))
        return self._shown(asked, page[::-1], None, is_first=asked.before is None)

    def _show_batch(
        self, reading: _Reading, asked: ReadHistory, lines: Sequence[LineOfHistory]
    ) -> list[Effect]:
        shown, following = reading.stream.take(lines)
        effects, last = list[Effect](), reading.last
        if shown:
            effects, last = self._shown(asked, shown, last, is_first=last is None), shown[-1]
        if following is None:
            self._state = _Choosing()
            return effects
        before, most = following
        effect = replace(asked, before=before, most=most)
        self._state = _Reading(effect, reading.stream, last)
        return [*effects, effect]

    def _shown(
        self,
        asked: ReadHistory,
        lines: Sequence[LineOfHistory],
        after: LineOfHistory | None,
        *,
        is_first: bool,
    ) -> list[Effect]:
        drawn = self._drawn(lines, after)
        return [Show(tuple(drawn)), Seen(asked.place, tuple(lines), is_first)]

    def _drawn(
        self, lines: Sequence[LineOfHistory], after: LineOfHistory | None = None
    ) -> list[Line]:
        return history_lines(map(self._quote, lines), after, self.namesakes())

    def _passages(self, hits: Sequence[Hit]) -> list[Line]:
        namesakes = self.namesakes()
        return [
            line
            for passage in passages_of(hits)
            for line in passage_lines(
                [self._quote(line) for line in passage.lines], passage.found, namesakes
            )
        ]

    def _how_many_fit(self, count: int, draw: Callable[[int], list[Line]]) -> int:
        # At least one, however long it is: else nobody would get beyond it.
        rows, columns = self._window()
        rows -= ROWS_OF_QUESTION
        fits = (
            sum(rows_of(line, columns, rows + 1) for line in draw(number)) <= rows
            for number in range(2, count + 1)
        )
        return 1 + sum(takewhile(bool, fits))

    def _quote(self, line: LineOfHistory) -> Quote:
        recipient = self._world.recipient_of(line)
        # In a room somebody else may have said it; between two the key of the other is what counts.
        key = recipient if isinstance(recipient, DeviceKey) else line.author
        contact = None if key is None else self._world.contacts.find(key)
        return Quote(
            line,
            recipient,
            self.name(recipient),
            self._world.speaker_of(line),
            contact is not None and contact.is_verified,
            self._world.progress_of(line),
        )

    def _recallable(self) -> Recipient | None:
        # What went out in plain is gone.
        return None if isinstance(self._last_recipient, Address) else self._last_recipient

    # Rooms.

    def _rooms(self) -> list[RoomRecord]:
        return [room for room in self._world.rooms() if room.stay is not Stay.LEFT]

    def _room(self, recipient: RoomId) -> RoomRecord | None:
        return next((room for room in self._world.rooms() if room.room == recipient.raw), None)

    def _room_label(self, room: RoomRecord) -> str:
        return room_label(room.room, room.name, self.namesakes())

    def _room_rows(self, rooms: Sequence[RoomRecord]) -> list[Row]:
        namesakes = self.namesakes()
        return [
            self._with_unread(
                room_row(
                    room,
                    len(self._world.members(RoomId(room.room))),
                    self.name(room.inviter),
                    namesakes,
                )
            )
            for room in rooms
        ]

    def _rooms_called(self, typed: str, *, is_whole: bool) -> list[tuple[RoomRecord, str]]:
        # Those whose name a line begins with, or is; and what stands behind it.
        named: list[tuple[RoomRecord, str]] = []
        marked: list[tuple[RoomRecord, str]] = []
        for room in self._world.rooms():
            short = room_label(room.room, None).rpartition(MIDDLE_DOT)[2]
            for found, name in ((named, room.name), (marked, f"{room.name}{MIDDLE_DOT}{short}")):
                rest = typed[1 + len(name) :]
                is_end = not rest[:1].strip()
                if is_end and not (is_whole and rest) and _is_same(name, typed[1 : 1 + len(name)]):
                    found.append((room, rest.strip()))
        # Neither an invitation nor a room that was left stands in the way of one that we are in.
        for stay in (Stay.JOINED, Stay.INVITED, Stay.LEFT):
            if alike := [one for one in marked or named if one[0].stay is stay]:
                return alike
        return []

    def _write_to_room(self, typed: str) -> list[Effect]:
        rooms = self._rooms_called(typed, is_whole=False)
        if not rooms:
            return self._refuse(f"Unknown: you are in no room {typed[:60]}. Show them with m.")
        if len(rooms) > 1:
            return self._refuse("That could be for several of your rooms: choose one with m.")
        [(room, text)] = rooms
        recipient = RoomId(room.room)
        if not text:
            return self._with_known(_ToSend(), recipient)
        self._check_room(recipient)
        return self._send((recipient,), text)

    def _choose_room(self, rooms: Sequence[RoomRecord]) -> list[Effect]:
        self._state = _AskingWhichRoom(tuple(rooms))
        self._last_list = tuple(RoomId(room.room) for room in rooms)
        return [Show(tuple(rooms_lines(self._room_rows(rooms))))]

    def _with_which_room(self, rooms: Sequence[RoomRecord], typed: str) -> list[Effect]:
        if not typed:
            # Whoever only wanted to look.
            self._state = _Choosing()
            return []
        command, _, name = typed.partition(" ")
        if command.casefold() == "new":
            return self._make_room(name)
        room = _numbered(typed, rooms)
        if room is not None:
            return self._in_room(room)
        called = typed if typed.startswith("#") else f"#{typed}"
        named = [room for room, _ in self._rooms_called(called, is_whole=True)]
        if not named or named[0].stay is Stay.LEFT:
            return self._refuse(
                f"Unknown: you are in no room {typed[:60]}. Show them again with m."
            )
        return self._in_room(named[0]) if len(named) == 1 else self._choose_room(named)

    def _make_room(self, name: str) -> list[Effect]:
        effect = MakeRoom(name.strip().removeprefix("#"))
        if not effect.name:
            return self._refuse("A room needs a name: new, and then what it is to be called.")
        self._state = _Waiting(effect, _KEEPING)
        return [effect]

    def _in_room(self, room: RoomRecord) -> list[Effect]:
        letters = "jd"
        if room.stay is Stay.JOINED:
            letters = "whpaxl" if room.founder == self._world.key else "whpal"
        self._state = _AskingInRoom(room, letters)
        return [Show(tuple(room_choice_lines(self._room_label(room), letters)))]

    def _with_choice_in_room(self, room: RoomRecord, letters: str, letter: str) -> list[Effect]:
        recipient, label = RoomId(room.room), self._room_label(room)
        members = self._world.members(recipient)
        match letter if letter in letters else "":
            case "w":
                return self._with_known(_ToSend(), recipient)
            case "h":
                return self._read_history(self._world.place_of(recipient), 0.0)
            case "p":
                self._state = _Choosing()
                return self._show_people(room, members)
            case "a":
                self._state = _AskingWhom(_ToAdd(room))
                return []
            case "x":
                others = tuple(member for member in members if member.key != self._world.key)
                if not others:
                    return self._refuse(f"Nobody but you is in {label}.")
                self._state = _AskingMember(room, others)
                return self._show_people(room, others)
            case "j":
                told = notice(f"Joining {label}: it opens when somebody who is in it is here.")
                return self._wait_for(Join(recipient), told)
            case "l":
                self._state = _AskingSure(f"Leave {label}?", LeaveRoom(recipient))
                return []
            case "d":
                return self._wait_for(LeaveRoom(recipient))
            case _:
                return self._refuse(
                    f"Invalid choice. Please try again with m: it is one of {', '.join(letters)}."
                )

    def _show_people(self, room: RoomRecord, people: Sequence[Speaker]) -> list[Effect]:
        if not people:
            return self._refuse("Who is in it is not known before somebody who is has been met.")
        self._last_list = tuple(one.key for one in people)
        rows = [
            member_row(
                # What others call us there is nothing to us.
                replace(one, name=self._world.team) if one.key == self._world.key else one,
                is_us=one.key == self._world.key,
                is_founder=one.key == room.founder,
            )
            for one in people
        ]
        return [Show(tuple(people_lines(self._room_label(room), rows)))]

    def _with_member(
        self, room: RoomRecord, members: Sequence[Speaker], digits: str
    ) -> list[Effect]:
        member = _numbered(digits, members)
        if member is None:
            return self._refuse(f"No number {digits[:20]} in the list: show it again with m.")
        who = label_of(member.name, member.key)
        self._state = _AskingSure(
            f"Remove {who} from {self._room_label(room)}?",
            RemoveFrom(RoomId(room.room), member.key),
        )
        return []

    def _with_sure(self, deed: RemoveFrom | LeaveRoom, answer: str) -> list[Effect]:
        match answer:
            case "y" | "yes":
                return self._wait_for(deed)
            case "n" | "no":
                return self._back(notice("Nothing was done."))
            case _:
                return self._refuse("Invalid choice. Please try again with m: it is y or n.")

    def _wait_for(self, deed: _Deed, told: Line = ()) -> list[Effect]:
        self._state = _Waiting(deed, _KEEPING, told=told)
        return [deed]

    # Whom a person trusts.

    def _show_words(self, key: DeviceKey) -> list[Effect]:
        effect = ShowWords(key)
        self._state = _Waiting(effect, "Working out the words ... ")
        return [effect]

    def _with_same(self, key: DeviceKey, answer: str) -> list[Effect]:
        label = label_of(self.name(key), key)
        match answer:
            case "y" | "yes":
                return self._wait_for(Verify(key), verified_line(label))
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
        return self._wait_for(
            Decide(subject.key, decision, caller), decided_line(subject, decision)
        )


def _numbered(digits: str, things: Sequence[_T]) -> _T | None:
    # Compared as text: int() of a very long number is slow, and refused by Python itself.
    return next((thing for n, thing in enumerate(things, start=1) if str(n) == digits), None)


def _is_same(name: str, typed: str) -> bool:
    return name.strip().casefold() == typed.strip().casefold()


def _is_plain(name: str) -> bool:
    # Whether it is shown as it is: what cannot be typed as it is shown is no use as a completion.
    return shown_name(name) == name
