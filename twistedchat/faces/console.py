"""
The console: it joins the menu, the node and a screen.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import TypeVar, assert_never

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.errors import (
    ChatError,
    ConnectionReset,
    HostNotFound,
    HostUnreachable,
    NoAnswer,
    NotSent,
    PeerRefused,
)
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
    RoomChanged,
    RoomTextReceived,
    Sent,
    SessionOpened,
    StoreFailed,
    TextReceived,
    TextsDelivered,
    TextsRead,
    TextsStranded,
    UnknownTextReceived,
)
from twistedchat.core.history import LineOfHistory
from twistedchat.core.identity import DeviceKey
from twistedchat.core.menu import (
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
from twistedchat.core.reading import Hit
from twistedchat.core.roster import Recipient, RoomId
from twistedchat.core.wording import (
    event_lines,
    failed_connection_line,
    not_sent_lines,
    notice,
    sent_line,
    still_late_lines,
)
from twistedchat.faces.looks import Looks
from twistedchat.faces.retries import Retries
from twistedchat.faces.screens import IOperator, IScreen
from twistedchat.interfaces import INode

__all__ = ["Console", "Stdin", "kind_of_stdin"]

# Texts that may be on their way before the next typed line has to wait: a script of a million lines
# is read as fast as it can be sent, and none of it is refused.
MOST_PENDING = 256

# Seconds that somebody who leaves waits for what is still on its way: as long as a dial may take.
PATIENCE = 5.0

# Seconds to wait for more changes of the lists before the words to complete are put together.
WORDS_DELAY = 0.25

# Seconds in which no more of what waited is delivered, before it is told how much was: thousands of
# texts are acknowledged a commit at a time, and a person wants to know the sum.
DELIVERED_DELAY = 0.5

# Why a text did not arrive that may do so later, with nothing changed here.
_AWAY = (ConnectionReset, HostNotFound, HostUnreachable, NoAnswer, PeerRefused)

_T = TypeVar("_T")


class Stdin(Enum):
    """
    What standard input is, for a chat.
    """

    TERMINAL = "a terminal that can do more than lines"
    LINES = "somebody or something that types lines"
    NOBODY = "nothing that could ever type a line"


def kind_of_stdin(terminal: str) -> Stdin:
    """
    Find out who is at the other end of standard input.

    Args:
        terminal: The value of ``TERM``.

    Returns:
        `Stdin.NOBODY` also for a terminal that belongs to another job: reading from it would stop
        this one (SIGTTIN).
    """
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return Stdin.NOBODY
    if os.isatty(0):
        if _is_another_jobs():
            return Stdin.NOBODY
        return Stdin.TERMINAL if os.isatty(1) and terminal not in ("", "dumb") else Stdin.LINES
    # What is left of character devices is /dev/null and its like.
    return Stdin.NOBODY if stat.S_ISCHR(mode) else Stdin.LINES


def _is_another_jobs() -> bool:
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        # It does not control this process (as after setsid), and so stops nobody.
        return False


@implementer(IOperator)
class Console(Service):
    """
    A person, or a script, using a node.

    Args:
        node: The node.
        clock: Tells the time and calls back.
        make_screen: Makes the screen when the service starts.
        stop: Ends the process.
        ends_with_input: Whether to quit when nothing more can be typed.
    """

    name = "console"
    _log = Logger()

    def __init__(
        self,
        node: INode,
        clock: IReactorTime,
        make_screen: Callable[[IOperator], IScreen],
        stop: Callable[[], None],
        *,
        ends_with_input: bool,
    ) -> None:
        self._node = node
        self._clock = clock
        self._make_screen = make_screen
        self._stop = stop
        self._ends_with_input = ends_with_input
        # What is still to be done for what was typed, in order.
        self._effects: deque[Effect] = deque()
        self._is_performing = False
        # In the order in which they were begun, which is that in which they are given up.
        self._pending: dict[Deferred[None], None] = {}
        self._is_holding = False
        self._has_input_ended = False
        self._is_quitting = False
        self._asked = ""
        # Those we wrote to, and who have not been told to have read it yet.
        self._unread_by: set[DeviceKey] = set()
        self._new_words: IDelayedCall | None = None
        # What was delivered and has not been told yet.
        self._delivered: dict[DeviceKey, TextsDelivered] = {}
        self._next_delivered: IDelayedCall | None = None

    @override
    def startService(self) -> None:
        super().startService()
        self._screen = self._make_screen(self)
        is_interactive = self._screen.is_interactive
        self._menu = Menu(self._node, is_interactive=is_interactive, window=self._screen.window)
        # Where nobody types nobody looks either.
        is_program = self._ends_with_input and not is_interactive
        self._looks = Looks(self._node, self._clock, is_program=is_program)
        self._retries = Retries(self._node, self._clock, self._menu, self._screen.show)
        self._unsubscribe = self._node.subscribe(self._happened)
        listening = f"Listening on port {self._node.port} as {self._node.team}"
        self._screen.show([notice(listening)])
        self._screen.offer(self._menu.words())
        self._perform(self._menu.greeting())

    @override
    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._is_quitting = True
        self._unsubscribe()
        self._looks.close()
        self._retries.close()
        self._tell_delivered()
        if self._new_words is not None:
            self._new_words.cancel()
            self._new_words = None
        return self._screen.close()

    # The screen calls these: see `IOperator`.

    def line_typed(self, line: str) -> None:
        """
        A line was typed.
        """
        if not self._is_quitting:
            self._looks.look()
            self._perform(self._menu.receive_line(line, self._clock.seconds()))

    def line_too_long(self, size: int) -> None:
        """
        A line was typed that is too long to keep.
        """
        if not self._is_quitting:
            self._perform(self._menu.too_long(size))

    def input_ended(self) -> None:
        """
        Nothing more will be typed: finish what was, and quit, unless this is a service.
        """
        if self._ends_with_input:
            self._has_input_ended = True
            self._quit_if_done()

    def had_enough(self) -> None:
        """
        The person wants to leave.
        """
        self._looks.look()
        self._quit()

    def output_lost(self) -> None:
        """
        Nothing more can be shown: quit, unless this is a service.
        """
        if self._ends_with_input:
            self._quit()

    def _perform(self, effects: Iterable[Effect]) -> None:
        self._effects.extend(effects)
        if self._is_performing:
            # An answer that came at once: its effects have their turn before the next question.
            return
        self._is_performing = True
        try:
            while self._effects:
                self._carry_out(self._effects.popleft())
        finally:
            self._is_performing = False
        if not self._is_quitting:
            self._ask()
            self._hold_or_release()
            self._quit_if_done()

    def _ask(self) -> None:
        # Whoever waits for more of the same is not told so again.
        if self._menu.prompt != self._asked or not self._menu.is_waiting:
            self._asked = self._menu.prompt
            self._screen.ask(self._asked, self._menu.draft)

    def _quit_if_done(self) -> None:
        if self._has_input_ended and not self._menu.is_waiting:
            self._quit(patience=None)

    def _carry_out(self, effect: Effect) -> None:
        node, menu = self._node, self._menu
        match effect:
            case Show(lines):
                self._screen.show(lines)
            case SendText(recipients, text):
                for recipient in recipients:
                    self._send_text(recipient, text)
            case Connect(recipients, manual):
                for recipient in recipients:
                    self._connect(recipient, manual)
            case LookUp(host):
                self._await(node.look_up(host), lambda found: menu.looked_up(found=found))
            case UseInvite(invite):
                self._await(node.use_invite(invite), lambda key: menu.invite_used(key, invite.name))
            case ShowWords(key):
                self._await(node.words(key), lambda words: menu.words_known(key, words))
            case Verify(key):
                self._await(node.verify(key), lambda _: menu.done())
            case Decide(key, decision, caller):
                self._await(node.decide(key, decision, caller), lambda _: menu.done())
            case MakeRoom(name):
                self._await(node.make_room(name), menu.room_made)
            case AddTo(room, key):
                self._await(node.add_to(room, key), lambda _: menu.done())
            case RemoveFrom(room, key):
                self._await(node.remove_from(room, key), lambda _: menu.done())
            case Join(room):
                self._await(node.join(room), lambda _: menu.done())
            case LeaveRoom(room):
                self._await(node.leave_room(room), lambda _: menu.done())
            case Recall(recipient):
                self._await(node.recall(recipient), menu.recalled)
            case ReadHistory(place, since, before, most):
                self._read(lambda: node.history(place, since, before, most), menu.history_read)
            case Search(words, before, most):
                self._read(lambda: self._find(words, before, most), menu.found)
            case Seen(place, lines, is_first):
                self._looks.read(place, lines, is_first=is_first)
            case KeepTrying():
                self._retries.begin()
            case Quit():
                self._quit()
            case _:
                assert_never(effect)

    def _read(
        self, read: Callable[[], Awaitable[_T]], answer: Callable[[_T], list[Effect]]
    ) -> None:
        async def read_when_taken() -> list[Effect]:
            await self._screen.taken()
            # Whoever leaves meanwhile gets no more of it.
            return [] if self._is_quitting else answer(await read())

        self._await(Deferred.fromCoroutine(read_when_taken()), lambda effects: effects)

    async def _find(self, words: str, before: LineOfHistory | None, most: int) -> list[Hit]:
        found = await self._node.search(words, None, before, most)
        return [(line, await self._node.around(line, 1)) for line in found]

    def _await(self, result: Deferred[_T], answer: Callable[[_T], list[Effect]]) -> None:
        def refused(failure: Failure) -> list[Effect]:
            if failure.check(ChatError):
                return self._menu.refused(failure.getErrorMessage())
            self._log.failure("Something that was typed failed", failure)
            return self._menu.refused("That failed by a mistake of ours, which is in the log.")

        def answered(effects: list[Effect]) -> None:
            if not self._is_quitting:
                self._perform(effects)
                self._offer_words_soon()

        result.addCallbacks(answer, refused).addCallback(answered)

    def _hold_or_release(self) -> None:
        must_hold = self._menu.is_waiting or len(self._pending) >= MOST_PENDING
        if must_hold and not self._is_holding:
            self._is_holding = True
            self._screen.pause()
        elif self._is_holding and not must_hold:
            self._is_holding = False
            self._screen.resume()

    def _send_text(self, recipient: Recipient, text: str) -> None:
        def not_sent(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, NotSent):
                failure.raiseException()
            else:
                unsent = error.unsent or text
                name, namesakes = self._menu.name(recipient), self._menu.namesakes()
                self._menu.not_sent(recipient, unsent)
                is_away = isinstance(error, _AWAY)
                lines = not_sent_lines(
                    recipient, str(error), unsent, name, namesakes, is_away=is_away
                )
                self._screen.show(lines)

        def sent(sent: Sent) -> Sent:
            self._menu.sent(recipient, sent)
            if isinstance(sent.recipient, DeviceKey):
                self._unread_by.add(sent.recipient)
            return sent

        self._follow(self._node.send_text(recipient, text).addCallback(sent), not_sent)

    def _connect(self, recipient: Recipient, manual: bool) -> None:
        def not_connected(failure: Failure) -> None:
            failure.trap(NotSent)
            reason, name = failure.getErrorMessage(), self._menu.name(recipient)
            self._screen.show([failed_connection_line(recipient, reason, name)])

        self._follow(self._node.connect(recipient, manual=manual), not_connected)

    def _follow(self, sending: Deferred[Sent], failed: Callable[[Failure], None]) -> None:
        def show(sent: Sent) -> None:
            namesakes = self._menu.namesakes() if isinstance(sent.recipient, RoomId) else ()
            self._screen.show([sent_line(sent, namesakes)])

        shown = sending.addCallbacks(show, failed)
        self._pending[shown] = None

        def done(result: None) -> None:
            del self._pending[shown]
            if not self._is_quitting:
                self._hold_or_release()
            return result

        shown.addBoth(done)

    def _quit(self, patience: float | None = PATIENCE) -> None:
        if self._is_quitting:
            return
        self._is_quitting = True
        # No further question either: what is still to come are answers.
        self._screen.pause()
        self._looks.close()
        self._retries.close()
        self._screen.show(still_late_lines(self._menu.late))
        finished = DeferredList(list(self._pending))
        if self._pending and patience is not None:
            count = len(self._pending)
            self._screen.show(
                [notice(f"Waiting for {count} on the way, {patience:.0f} seconds at most ...")]
            )
            # When the time is up, the list cancels what is still in it.
            finished.addTimeout(patience, self._clock)
        finished.addCallback(lambda _: self._node.leave())
        finished.addCallback(lambda _: self._end())

    def _end(self) -> None:
        # Unless a signal was faster, and everything is being stopped already.
        if self.running:
            self._stop()

    def _happened(self, event: Event) -> None:
        match event:
            case PlainTextReceived():
                self._spoke(event.sender, event)
                self._retries.heard(event.sender)
            case TextReceived():
                self._spoke(event.contact.key, event)
            case RoomTextReceived():
                self._spoke(RoomId(event.room.room), event)
            case ConnectReceived():
                self._show_event(event)
                self._retries.heard(event.sender)
            case TextsDelivered():
                self._tell_delivered_soon(event)
            case TextsRead():
                # Once for all that we wrote until now.
                if event.contact.key in self._unread_by:
                    self._unread_by.discard(event.contact.key)
                    self._tell_delivered()
                    self._show_event(event)
            case TextsStranded():
                for text in event.texts:
                    self._menu.not_sent(event.contact.key, text)
                self._show_event(event)
            case RoomChanged():
                self._show_event(event)
                self._offer_words_soon()
            case (
                UnknownTextReceived()
                | CaughtUp()
                | ExitReceived()
                | CallerCame()
                | SessionOpened()
                | LetIn()
                | ForkSeen()
                | OutOfStep()
                | StoreFailed()
                | PlainNotKept()
            ):
                self._show_event(event)
            case PeerAdded(peer=peer):
                self._offer_words_soon()
                self._retries.heard(peer.address)
            case PeerChanged() | PeerRemoved() | NearbyChanged():
                self._offer_words_soon()
            case _:
                assert_never(event)

    def _spoke(self, speaker: Recipient, event: Event) -> None:
        self._menu.spoke(speaker)
        self._show_event(event)
        self._looks.came(speaker)

    def _show_event(self, event: Event) -> None:
        is_in_room = isinstance(event, RoomTextReceived | CaughtUp | RoomChanged)
        namesakes = self._menu.namesakes() if is_in_room else ()
        self._screen.show(event_lines(event, namesakes))

    def _tell_delivered_soon(self, event: TextsDelivered) -> None:
        before = self._delivered.get(event.contact.key)
        texts = event.texts + (0 if before is None else before.texts)
        self._delivered[event.contact.key] = TextsDelivered(event.contact, texts)
        if self._next_delivered is None:
            self._next_delivered = self._clock.callLater(DELIVERED_DELAY, self._tell_delivered)
        else:
            self._next_delivered.reset(DELIVERED_DELAY)

    def _tell_delivered(self) -> None:
        if self._next_delivered is not None and self._next_delivered.active():
            self._next_delivered.cancel()
        self._next_delivered = None
        delivered, self._delivered = self._delivered, {}
        for event in delivered.values():
            self._show_event(event)

    def _offer_words_soon(self) -> None:
        if self._new_words is None:
            self._new_words = self._clock.callLater(WORDS_DELAY, self._offer_words)

    def _offer_words(self) -> None:
        self._new_words = None
        self._screen.offer(self._menu.words())
