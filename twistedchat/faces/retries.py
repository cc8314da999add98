"""
Texts for plain peers that were away.

They are tried again from time to time: nothing tells that such a peer is back, unless it speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedchat.core.addresses import Address
from twistedchat.core.errors import NotSent
from twistedchat.core.events import Sent
from twistedchat.core.menu import Menu
from twistedchat.core.wording import Line, late_lines
from twistedchat.interfaces import INode

__all__ = ["RETRY_INTERVAL", "Retries"]

# Seconds between two tries: soon enough for somebody who starts their program again, and seldom
# enough that nobody minds being dialled.
RETRY_INTERVAL = 60.0


class Retries:
    """
    Sends what `Menu.late` gives when its recipients are back.

    Args:
        node: Sends.
        clock: Calls back.
        menu: Has the texts.
        show: Shows what could be sent after all; what still cannot is told only when it is given
            up.
    """

    _log = Logger()

    def __init__(
        self,
        node: INode,
        clock: IReactorTime,
        menu: Menu,
        show: Callable[[Sequence[Line]], None],
    ) -> None:
        self._node = node
        self._clock = clock
        self._menu = menu
        self._show = show
        self._trying: set[Address] = set()
        self._next: IDelayedCall | None = None
        self._is_closed = False

    def begin(self) -> None:
        """
        There is something to be tried from time to time.
        """
        if self._next is None:
            self._next = self._clock.callLater(RETRY_INTERVAL, self._try_all)

    def heard(self, address: Address) -> None:
        """
        A plain peer is there: send what waits for it, one after the other.

        Args:
            address: Where.
        """
        text = next((text for to, text in self._menu.late if to == address), None)
        if text is None or address in self._trying or self._is_closed:
            return

        def sent(sent: Sent) -> None:
            self._trying.discard(address)
            self._menu.late_sent(address, text)
            self._show(late_lines(sent, text))
            self.heard(address)

        def not_sent(failure: Failure) -> None:
            self._trying.discard(address)
            if isinstance(failure.value, NotSent):
                self._menu.late_not_sent(address, text, failure.value.unsent or text)
            else:
                self._log.failure("A text that waited failed", failure)

        self._trying.add(address)
        self._node.send_text(address, text).addCallbacks(sent, not_sent)

    def close(self) -> None:
        """
        Try nothing more; of what is being tried it is still told when it was sent.
        """
        self._is_closed = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _try_all(self) -> None:
        self._next = None
        for address in dict.fromkeys(address for address, _ in self._menu.late):
            self.heard(address)
        if self._menu.late:
            self.begin()
