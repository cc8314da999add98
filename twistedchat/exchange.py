"""
The exchange: it carries what people say between the journals of two nodes.

What we say is on our disk before it is sent, and what others say is on it before anybody is told;
so killing the process at any moment loses nothing that was acknowledged, and shows nothing twice.
The rules are `twistedchat.core.sync`'s.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedchat.core.entries import (
    LARGEST_BODY,
    NOTHING,
    TEXT,
    Entry,
    Said,
    check_run,
    direct_room,
    next_time,
    sign_run,
)
from twistedchat.core.errors import NotSent, RemoteProtocolError, StoreError
from twistedchat.core.events import (
    Event,
    ForkSeen,
    OutOfStep,
    StoreFailed,
    TextReceived,
    TextsDelivered,
)
from twistedchat.core.frames import (
    LONGEST_KNOCK,
    Have,
    Knock,
    RunFrame,
    frame_of_run,
    run_of_frame,
    size_of,
)
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.pieces import cut_text
from twistedchat.core.session import Session
from twistedchat.core.sync import Chain, Forked, Outbox, how_many_fit, run_from, take_run
from twistedchat.core.trust import ContactList
from twistedchat.interfaces import IJournal
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.peers.sessions import Sessions
from twistedchat.peers.timeouts import TimeoutQueue

__all__ = ["LONGEST_RECEIPT", "MOST_READ", "Exchange", "Posted"]

# Seconds for a receipt before the person is told that a text is still on its way: a stored text is
# acknowledged in milliseconds, and after this they have gone on already.
LONGEST_RECEIPT = 5.0

# Bytes of what is said that are read from the journal at one time: a full frame's worth.
MOST_READ = 48 * 1024


@dataclass(slots=True, eq=False)
class Posted:
    """
    A text of ours that is on its way into somebody's journal.

    Attributes:
        room: Where.
        key: For whom.
        texts: Its pieces.
        seq: The number of the last piece, once it is in our journal.
        stored: Fires then, or fails with `NotSent`.
        received: Fires with whether the other side has it: ``False`` when the time is up.
    """

    room: bytes
    key: DeviceKey
    texts: list[str]
    seq: int = 0
    stored: Deferred[None] = field(default_factory=Deferred)
    received: Deferred[bool] = field(default_factory=Deferred)


class Exchange:
    """
    Keeps our journal and those of the peers that have let us in in step.

    Args:
        clock: Tells the time and calls back.
        identity: Who we are.
        journal: Where entries are kept.
        sessions: Who is there.
        contacts: Whom we know.
        publish: Tells an event.
        moved: Told of a contact, and how many texts came from it and to it.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        identity: Identity,
        journal: IJournal,
        sessions: Sessions,
        contacts: ContactList,
        publish: Callable[[Event], None],
        moved: Callable[[DeviceKey, int, int], None],
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._journal = journal
        self._sessions = sessions
        self._contacts = contacts
        self._publish = publish
        self._moved = moved
        self._outboxes: dict[PeerProtocol, Outbox] = {}
        # Chains of which something is being read, to be sent.
        self._reading: set[tuple[PeerProtocol, Chain]] = set()
        # And those that are being compared, with what was told of them last.
        self._comparing: dict[tuple[PeerProtocol, Chain], tuple[int, str]] = {}
        # Of how many runs that came we do not know yet whether they are on the disk.
        self._storing: Counter[Chain] = Counter()
        self._told_out_of_step: set[DeviceKey] = set()
        self._is_behind: set[PeerProtocol] = set()
        # What is to be said in each room, while something else is being written there.
        self._unsaid: dict[bytes, deque[Posted]] = {}
        self._writing: set[bytes] = set()
        # Ours that somebody waits to have acknowledged, by room, in order.
        self._unreceived: dict[bytes, deque[Posted]] = {}
        self._receipts: TimeoutQueue[Posted] = TimeoutQueue(
            clock, LONGEST_RECEIPT, lambda posted: self._answer(posted, False)
        )

    def close(self) -> None:
        """
        Wait for nothing any more.
        """
        for posted in self._receipts.stop():
            self._answer(posted, False)

    # Saying.

    def post(self, key: DeviceKey, text: str) -> Posted:
        """
        Say something to a contact: write it into our journal, and send it where there is a session.

        What is said while something else is being written goes with the next run: one signature and
        one commit for all of it.

        Args:
            key: To whom.
            text: What.

        Returns:
            The text on its way.
        """
        room = direct_room(self._identity.key, key)
        # What no UTF-8 can hold has no written form either.
        sayable = text.encode("utf-8", "replace").decode()
        posted = Posted(room, key, cut_text(sayable, LARGEST_BODY, _size))
        self._unsaid.setdefault(room, deque()).append(posted)
        if room not in self._writing:
            self._write(room)
        return posted

    def receipt_of(self, posted: Posted) -> Deferred[bool]:
        """
        Wait until the other side has a text.

        Args:
            posted: One that has been stored.

        Returns:
            Fires with whether it does, within a few seconds. Never fails.
        """
        if not posted.received.called:
            self._receipts.restart(posted)
        return posted.received

    def wait_no_longer(self, posted: Posted) -> None:
        """
        Nobody waits for a text to be received: when it is, that is told as an event.

        Args:
            posted: One that has been stored.
        """
        if not posted.received.called:
            self._answer(posted, False)

    async def texts_that_wait(self, key: DeviceKey) -> list[str]:
        """
        Read what a contact has not received yet.

        Args:
            key: Whose.

        Returns:
            The texts, in order.

        Raises:
            StoreError: They cannot be read.
        """
        room = direct_room(self._identity.key, key)
        after = self._journal.receipt(room, key)
        texts: list[str] = []
        while more := await self._journal.read(room, self._identity.key, after, MOST_READ):
            texts += [entry.said.body for entry in more if entry.said.kind == TEXT]
            after = more[-1].seq
        return texts

    def _write(self, room: bytes) -> None:
        waiting = self._unsaid.get(room)
        if not waiting:
            self._unsaid.pop(room, None)
            return
        last = self._journal.last_time(room)
        said: list[Said] = []
        going: list[Posted] = []
        budget = MOST_READ
        while waiting and budget > 0:
            posted = waiting.popleft()
            going.append(posted)
            for text in posted.texts:
                last = next_time(self._clock.seconds(), last)
                said.append(Said(last, TEXT, text))
                budget -= size_of(said[-1])
        self._writing.add(room)
        key = self._identity.key
        seq, prev = self._journal.heads(room).get(key, (0, NOTHING))
        entries: list[Entry] = []
        rest = said
        while rest:
            count = how_many_fit(rest)
            _, more = sign_run(self._identity, room, seq + 1, prev, tuple(rest[:count]))
            entries += more
            seq, prev = more[-1].seq, more[-1].hash
            rest = rest[count:]
        number = entries[0].seq
        for posted in going:
            number += len(posted.texts)
            posted.seq = number - 1

        def stored(_: None) -> None:
            self._writing.discard(room)
            unreceived = self._unreceived.setdefault(room, deque())
            unreceived.extend(going)
            link = self._sessions.find(going[0].key)
            if link is not None:
                self._push(link, entries)
            self._write(room)
            for posted in going:
                posted.stored.callback(None)

        def failed(failure: Failure) -> None:
            self._writing.discard(room)
            for posted in going:
                error = NotSent(f"Not kept, and so not sent: {failure.getErrorMessage()}")
                posted.stored.errback(error)
            failure.trap(StoreError)
            self._write(room)

        self._journal.append(entries).addCallbacks(stored, failed).addErrback(self._log_failure)

    def _push(self, link: PeerProtocol, entries: list[Entry]) -> None:
        # Fresh from the pen: no need to read it back from the disk.
        outbox = self._outboxes.get(link)
        if outbox is None or link.session is None:
            return
        if not link.session.lets_us_in:
            self.knock(link, entries[0].said.body)
            return
        chain = (entries[0].room, entries[0].author)
        after = outbox.next_after(chain, entries[-1].seq)
        if after != entries[0].seq - 1 or link.is_choked or self._is_reading(link, chain):
            self._pump(link)
            return
        while entries:
            entries = self._send(link, outbox, chain, entries)

    def _send(
        self, link: PeerProtocol, outbox: Outbox, chain: Chain, entries: list[Entry]
    ) -> list[Entry]:
        run = run_from(entries)
        frame = frame_of_run(run)
        link.say(frame)
        size = sum(map(size_of, run.said))
        outbox.went(chain, run.seq + len(run.said) - 1, size)
        return entries[len(run.said) :]

    def knock(self, link: PeerProtocol, text: str) -> None:
        """
        Tell a peer that does not know us what we want to say, once.

        Args:
            link: The connection.
            text: The text; of a long one the beginning goes.
        """
        if link.session is not None and not link.session.have_knocked:
            link.say(Knock(text=text[:LONGEST_KNOCK]))

    def knock_if_stranger(self, link: PeerProtocol) -> None:
        """
        Ask a peer to be let in, if it does not know us.

        Args:
            link: The connection.
        """
        session = link.session
        # Where something waits for it here, that is what it is asked with: see `let_in`.
        if session is not None and not session.lets_us_in and not self._has_waiting(session):
            self.knock(link, "")

    def _has_waiting(self, session: Session) -> bool:
        room = direct_room(session.our_key, session.their_key)
        head, _ = self._journal.stored_heads(room).get(session.our_key, (0, NOTHING))
        return head > self._journal.receipt(room, session.their_key)

    def _is_reading(self, link: PeerProtocol, chain: Chain) -> bool:
        return (link, chain) in self._reading or (link, chain) in self._comparing

    def _pump(self, link: PeerProtocol) -> None:
        session = link.session
        outbox = self._outboxes.get(link)
        if session is None or outbox is None or link.is_choked:
            return
        if not (session.lets_us_in and session.lets_them_in):
            return
        room = direct_room(session.our_key, session.their_key)
        for author, (head, _) in self._journal.stored_heads(room).items():
            chain = (room, author)
            if self._is_reading(link, chain):
                continue
            after = outbox.next_after(chain, head)
            if after is None:
                continue
            self._reading.add((link, chain))
            self._journal.read(room, author, after, MOST_READ).addCallbacks(
                self._has_read,
                self._cannot_read,
                callbackArgs=(link, outbox, chain),
                errbackArgs=(link, chain),
            ).addErrback(self._log_failure)

    def _has_read(
        self, entries: list[Entry], link: PeerProtocol, outbox: Outbox, chain: Chain
    ) -> None:
        self._reading.discard((link, chain))
        if self._outboxes.get(link) is not outbox or not entries:
            return
        self._send(link, outbox, chain, entries)
        self._pump(link)

    def _cannot_read(self, failure: Failure, link: PeerProtocol, chain: Chain) -> None:
        self._reading.discard((link, chain))
        self._comparing.pop((link, chain), None)
        failure.trap(StoreError)
        self._store_failed(link, failure.getErrorMessage())

    # Hearing.

    def session_opened(self, link: PeerProtocol) -> None:
        """
        A session with somebody began.

        Args:
            link: The connection.
        """
        self._outboxes[link] = Outbox()

    def let_in(self, link: PeerProtocol) -> None:
        """
        Tell a peer that is let in what we hold, and ask to be let in for what waits here.

        Args:
            link: The connection.
        """
        session = link.session
        if session is None or not session.lets_them_in:
            return
        room = direct_room(session.our_key, session.their_key)
        self._acknowledge(link, room)
        if session.lets_us_in:
            return
        if self._has_waiting(session):
            after = self._journal.receipt(room, session.their_key)
            self._journal.read(room, session.our_key, after, 1).addCallbacks(
                lambda entries: self.knock(link, entries[0].said.body if entries else ""),
                lambda failure: self._store_failed(link, failure.getErrorMessage()),
            ).addErrback(self._log_failure)

    def session_lost(self, link: PeerProtocol) -> None:
        """
        A session is over.

        Args:
            link: The connection.
        """
        self._outboxes.pop(link, None)
        self._is_behind.discard(link)

    def went_on(self, link: PeerProtocol) -> None:
        """
        A peer that did not read what we said reads again.

        Args:
            link: The connection.
        """
        if link in self._is_behind and link.session is not None:
            self._is_behind.discard(link)
            self._acknowledge(link, direct_room(link.session.our_key, link.session.their_key))
        self._pump(link)

    def have_received(self, link: PeerProtocol, frame: Have) -> None:
        """
        A peer told what it holds.

        Args:
            link: The connection.
            frame: What it said.
        """
        session = link.session
        outbox = self._outboxes.get(link)
        if session is None or outbox is None:
            return
        room = direct_room(session.our_key, session.their_key)
        # Of rooms that we do not share it can say what it likes.
        told = frame.rooms.get(room.hex(), {})
        for author in self._journal.stored_heads(room):
            self._told(link, outbox, (room, author), *told.get(str(author), (0, "")))
        self._pump(link)

    def _told(
        self, link: PeerProtocol, outbox: Outbox, chain: Chain, seq: int, their_hash: str
    ) -> None:
        room, author = chain
        head, head_hash = self._journal.stored_heads(room)[author]
        if outbox.has_given_up(chain) or link.session is None:
            return
        if (link, chain) in self._comparing:
            # The last of what it tells meanwhile is all that counts.
            self._comparing[link, chain] = seq, their_hash
        elif seq == head and their_hash != head_hash.hex():
            self._out_of_step(link, outbox, chain)
        elif 0 < seq < head and not outbox.has(chain):
            # What it holds may be another one's with the same numbers, where a journal was lost or
            # a key is used twice. What it tells later, it has got from us.
            self._comparing[link, chain] = seq, their_hash
            self._journal.read(room, author, seq - 1, 1).addCallbacks(
                self._compare,
                self._cannot_read,
                callbackArgs=(link, outbox, chain, seq, their_hash),
                errbackArgs=(link, chain),
            ).addErrback(self._log_failure)
        else:
            self._agreed(link.session.their_key, outbox, chain, seq, head)

    def _compare(
        self,
        entries: list[Entry],
        link: PeerProtocol,
        outbox: Outbox,
        chain: Chain,
        seq: int,
        their_hash: str,
    ) -> None:
        told = self._comparing.pop((link, chain))
        if self._outboxes.get(link) is not outbox or link.session is None:
            return
        if not entries or entries[0].hash.hex() != their_hash:
            self._out_of_step(link, outbox, chain)
            return
        self._agreed(link.session.their_key, outbox, chain, seq, seq)
        self._told(link, outbox, chain, *told)
        self._pump(link)

    def _agreed(
        self, their_key: DeviceKey, outbox: Outbox, chain: Chain, seq: int, head: int
    ) -> None:
        room, author = chain
        outbox.told(chain, min(seq, head))
        # Where it holds more than we ever said, we have lost ours: that it has what we hold is
        # shown when all of it has come back.
        if author == self._identity.key and seq <= head:
            self._acknowledged(room, their_key, seq)

    def _out_of_step(self, link: PeerProtocol, outbox: Outbox, chain: Chain) -> None:
        outbox.give_up(chain)
        contact = self._contacts.find(link.session.their_key) if link.session else None
        if contact is not None and contact.key not in self._told_out_of_step:
            self._told_out_of_step.add(contact.key)
            self._publish(OutOfStep(contact))

    def _acknowledged(self, room: bytes, key: DeviceKey, seq: int) -> None:
        before = self._journal.receipt(room, key)
        if seq <= before:
            return
        self._journal.keep_receipt(room, key, seq)
        self._moved(key, 0, seq - before)
        waited = seq - before
        unreceived = self._unreceived.get(room, deque())
        while unreceived and unreceived[0].seq <= seq:
            posted = unreceived.popleft()
            if not posted.received.called:
                waited -= len(posted.texts)
                self._answer(posted, True)
        contact = self._contacts.find(key)
        if waited > 0 and contact is not None:
            self._publish(TextsDelivered(contact, waited))

    def _answer(self, posted: Posted, is_received: bool) -> None:
        self._receipts.cancel(posted)
        posted.received.callback(is_received)

    def run_received(self, link: PeerProtocol, frame: RunFrame) -> None:
        """
        A peer sent entries.

        Args:
            link: The connection.
            frame: What it sent.

        Raises:
            RemoteProtocolError: It may not send these, or they are not what their author signed.
        """
        session = link.session
        outbox = self._outboxes.get(link)
        if session is None or outbox is None:
            return
        run = run_of_frame(frame)
        room = direct_room(session.our_key, session.their_key)
        if run.room != room or run.author not in (session.our_key, session.their_key):
            raise RemoteProtocolError("not-shared", "It sent entries of a room that is not shared.")
        chain = (room, run.author)
        entries = check_run(run)
        if outbox.has_given_up(chain):
            # It goes on where we part.
            return
        try:
            taken = take_run(entries, self._journal.heads(room))
        except RemoteProtocolError:
            if self._storing[chain]:
                # What came before it is just being lost here, and when that is told it will rest.
                return
            raise
        if isinstance(taken, Forked):
            self._forked(link, outbox, taken.entry)
        elif not taken:
            self._acknowledge(link, room)
        else:
            self._storing[chain] += 1

            def done(result: Failure | None) -> Failure | None:
                self._storing[chain] -= 1
                return result

            self._journal.append(taken).addBoth(done).addCallbacks(
                self._has_stored,
                lambda failure: self._store_failed(link, failure.getErrorMessage()),
                callbackArgs=(link, taken),
            ).addErrback(self._log_failure)

    def _has_stored(self, _: None, link: PeerProtocol, entries: tuple[Entry, ...]) -> None:
        author = entries[0].author
        contact = self._contacts.find(author)
        if contact is not None:
            texts = [entry.said.body for entry in entries if entry.said.kind == TEXT]
            self._moved(author, len(texts), 0)
            now = self._clock.seconds()
            for text in texts:
                self._publish(TextReceived(contact, text, now))
        assert link.session is not None  # noqa: S101 (they came in one)
        # Another session may have taken the place of that one by now.
        present = self._sessions.find(link.session.their_key)
        if present is not None:
            self._acknowledge(present, entries[0].room)

    def _acknowledge(self, link: PeerProtocol, room: bytes) -> None:
        if link.session is None or not link.session.lets_them_in:
            return
        if link.is_choked:
            # Said once it reads again; what is said then is the latest.
            self._is_behind.add(link)
            return
        heads = self._journal.stored_heads(room)
        held = {str(author): (seq, last.hex()) for author, (seq, last) in heads.items()}
        link.say(Have(rooms={room.hex(): held}))

    def _forked(self, link: PeerProtocol, outbox: Outbox, entry: Entry) -> None:
        chain = (entry.room, entry.author)
        if entry.author == self._identity.key:
            self._out_of_step(link, outbox, chain)
        outbox.give_up(chain)

        def kept(is_news: bool) -> None:
            contact = self._contacts.find(entry.author)
            if is_news and contact is not None:
                self._publish(ForkSeen(contact, entry.seq))

        self._journal.keep_fork(entry).addCallbacks(
            kept, lambda failure: self._store_failed(link, failure.getErrorMessage())
        ).addErrback(self._log_failure)

    def _store_failed(self, link: PeerProtocol, reason: str) -> None:
        # What cannot be kept is not acknowledged: the other side keeps it and tries again later.
        assert link.session is not None  # noqa: S101 (it came in one)
        present = self._sessions.find(link.session.their_key)
        if present is not None and present.is_closed:
            # All that came behind it cannot be kept either, and that was told.
            return
        self._publish(StoreFailed(reason))
        self._sessions.rest(link.session.their_key)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("The exchange failed", failure)


def _size(text: str) -> int:
    return len(text.encode())
