"""
The exchange: it carries what people say between the journals of nodes.

What we say is on our disk before it is sent, and what others say is on it before anybody is told;
so killing the process at any moment loses nothing that was acknowledged, and shows nothing twice.
Whoever holds an entry hands it on to members that ask for it: see `twistedchat.asking`. The rules
are `twistedchat.core.sync`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedchat.arrivals import MOST_SHOWN, Arrivals
from twistedchat.asking import Asking
from twistedchat.claims import Claims
from twistedchat.core.entries import (
    NOTHING,
    TEXT,
    Entry,
    Run,
    check_run,
)
from twistedchat.core.errors import RemoteProtocolError, StoreError
from twistedchat.core.events import (
    Event,
    ForkSeen,
    LetIn,
    OutOfStep,
    RoomChange,
    StoreFailed,
    TextsDelivered,
    TextsRead,
)
from twistedchat.core.frames import (
    LONGEST_KNOCK,
    MOST_ROOMS,
    Card,
    Have,
    Knock,
    RunFrame,
    frame_of_run,
    run_of_frame,
    size_of,
)
from twistedchat.core.history import RoomRecord, Stay
from twistedchat.core.identity import DeviceKey, Identity, find_key
from twistedchat.core.sync import (
    MOST_IN_FLIGHT,
    Chain,
    Forked,
    Outbox,
    chain_of,
    run_from,
    take_run,
)
from twistedchat.core.trust import ContactList
from twistedchat.interfaces import IJournal
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.peers.sessions import Sessions
from twistedchat.posting import MOST_READ, Posting
from twistedchat.rooms import Rooms

__all__ = [
    "ALL_EVERY",
    "QUICK_SESSIONS",
    "REPEAT_AFTER",
    "TELL_AFTER",
    "Exchange",
]

# Seconds after which others in a room are told that we hold something new: most of them have it
# from its author within milliseconds, and all that came meanwhile is told together.
TELL_AFTER = 0.25

# Sessions in which that is told at one time. Where there are more, fewer are told, in turn, so that
# all nodes together tell no more than those of so many people would: somebody who lacks something
# hears of it from one or another of them all the same.
QUICK_SESSIONS = 8

# Turns of which, where many talk, one tells all that is new, and the others what its receiver said.
# All that so many people have said takes longer to compare than to hear it. Whoever lacks something
# hears of that from each of the others in another turn.
ALL_EVERY = 4

# Seconds after which, in a large room, somebody else is told all that we hold there, and asked the
# same: what went past both sides, for whatever reason, comes all the same. Where all of 300 members
# have said something, that is 45 kB.
REPEAT_AFTER = 60.0

# Bytes after which a receipt does not wait for its turn: a quarter of what may be on its way, so
# that nobody ever waits for receipts before going on.
MOST_UNANSWERED = MOST_IN_FLIGHT // 4

# Authors of whom one `Have` tells: each takes 150 bytes, and a frame holds 64 KiB.
MOST_TOLD = 300

# What somebody holds of an author who is not told.
NONE = (0, NOTHING.hex())

# Chains of one session of which something was dropped: more than there can be without its lying. If
# it does, it is taken to leave out what it had sent before.
MOST_DROPPED = 1000


@dataclass(slots=True, eq=False)
class _Partner:
    """
    What is known of the other side of a session.

    Attributes:
        key: Who it is.
        outbox: What it holds, and what is on its way there.
        rooms: The rooms of which it has told us.
        told: How far we have told it that we hold each chain, by room.
        invited: The rooms to which we have invited it.
        dropped: Chains of which something came that we could not take yet.
        missed: Those of which something was dropped at any time, so that the next seems to be left
            out.
        removed: The rooms of which we have told it that it was removed.
        cards: The last invitation of it to each room that we know.
        anew: The rooms of which it is to be told anew, and asked the same.
        promises: What it has told last of each chain, by room: the number and the hash.
        sends: Chains of others of which it has sent us something: it waits for our word on these.
        ended: Chains with an end for which it was compared what both hold.
        asked: How far it is to be sent what others said, since it asked for that.
        refused: Chains of which we have told it that we can take no more yet.
        reading: How many runs are being read, to be sent to it.
        is_full: Whether something was not read since enough is on its way.
        unanswered: Bytes that came in rooms since it was last told of all that came there.
        is_pumped: Whether it is being looked through what can be sent.
        turns: How often it was its turn to be told what is new in rooms.
        is_behind: Whether it is to be told more as soon as it reads again.
        owed: The rooms of which it is to be told then that we hold what it said.
    """

    key: DeviceKey
    outbox: Outbox = field(default_factory=Outbox)
    rooms: set[bytes] = field(default_factory=set)
    told: dict[bytes, dict[DeviceKey, int]] = field(default_factory=dict)
    invited: set[bytes] = field(default_factory=set)
    dropped: dict[Chain, None] = field(default_factory=dict)
    missed: set[Chain] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)
    cards: dict[bytes, Card] = field(default_factory=dict)
    anew: set[bytes] = field(default_factory=set)
    promises: dict[bytes, dict[DeviceKey, tuple[int, str]]] = field(default_factory=dict)
    sends: set[Chain] = field(default_factory=set)
    ended: set[Chain] = field(default_factory=set)
    asked: dict[bytes, dict[DeviceKey, int]] = field(default_factory=dict)
    refused: set[Chain] = field(default_factory=set)
    reading: int = 0
    unanswered: int = 0
    turns: int = 0
    is_full: bool = False
    is_pumped: bool = False
    is_behind: bool = False
    owed: dict[bytes, None] = field(default_factory=dict)

    def forget(self, room: bytes) -> None:
        """
        It does not share a room with us any more.
        """
        self.outbox.forget(room)
        self.rooms.discard(room)
        self.invited.discard(room)
        self.promises.pop(room, None)
        self.asked.pop(room, None)
        self.tell_anew(room)

    def tell_anew(self, room: bytes) -> None:
        """
        It may not know what we have told it of a room.
        """
        self.told.pop(room, None)

    def drop(self, chain: Chain) -> None:
        """
        Something of a chain came that we cannot take yet.
        """
        if len(self.missed) < MOST_DROPPED:
            self.dropped[chain] = None
            self.missed.add(chain)


class Exchange:
    """
    Keeps our journal and those of the peers with whom we share rooms in step.

    Args:
        clock: Tells the time and calls back.
        identity: Who we are.
        journal: Where entries are kept.
        sessions: Who is there.
        contacts: Whom we know.
        rooms: Who shares which room.
        publish: Tells an event.
        moved: Told of a contact, and how many texts came from it and to it.
        tells_reading: Whether contacts are told what the person has read.

    Attributes:
        posting: Where what we say goes in.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        identity: Identity,
        journal: IJournal,
        sessions: Sessions,
        contacts: ContactList,
        rooms: Rooms,
        publish: Callable[[Event], None],
        moved: Callable[[DeviceKey, int, int], None],
        *,
        tells_reading: bool,
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._our_key = identity.key
        self._journal = journal
        self._sessions = sessions
        self._contacts = contacts
        self._rooms = rooms
        self._publish = publish
        self._moved = moved
        self._tells_reading = tells_reading
        self.posting = Posting(
            clock, identity, journal, self._who_is_there, self._wrote, self._rewrote
        )
        self._partners: dict[PeerProtocol, _Partner] = {}
        # Chains of which something is being read, to be sent; and to be compared before that, with
        # what the other side has told last.
        self._reading: set[tuple[PeerProtocol, Chain]] = set()
        self._comparing: dict[tuple[PeerProtocol, Chain], tuple[int, str]] = {}
        # Who has told more of a chain than we hold, and how far.
        self._ahead: dict[Chain, dict[PeerProtocol, int]] = {}
        self._told_out_of_step: set[DeviceKey] = set()
        # Of how many runs that came we do not know yet whether they are on the disk.
        self._storing: Counter[Chain] = Counter()
        # How far others have read what we said, by room.
        self._read_by: dict[tuple[bytes, DeviceKey], int] = {}
        # Rooms in which something is new, and how many others are still to be told of it.
        self._to_tell: dict[bytes, int] = {}
        self._telling: IDelayedCall | None = None
        # How many were told since then that we have got what they said.
        self._receipts = 0
        self._repeating: IDelayedCall | None = None
        self._repeated = 0
        self._arrivals = Arrivals(clock, rooms, contacts, publish)
        self._asking = Asking(
            clock,
            self._head,
            self._holders_of_more,
            lambda key: sessions.find(key) is not None,
            self._ask,
        )
        self._claims = Claims(
            clock, self.posting.await_back, self.posting.no_longer_awaited, self._not_returned
        )

    def close(self) -> None:
        """
        Wait for nothing any more.
        """
        self.posting.close()
        self._arrivals.close()
        self._asking.close()
        self._claims.close()
        for timer in (self._telling, self._repeating):
            if timer is not None:
                timer.cancel()
        self._telling = self._repeating = None

    # What we say.

    def holders(self, room: bytes, seq: int) -> tuple[int, int]:
        """
        How many have something of ours.

        Args:
            room: Where we said it.
            seq: Its number.

        Returns:
            How many of the others in the room hold it, and how many there are. Where nobody is left
            there, it is those who did hold it.
        """
        others = self._rooms.others(room)
        held = sum(1 for key in others or self._authors(room) if self._holds(room, key, seq))
        return held, len(others) or held

    def _authors(self, room: bytes) -> list[DeviceKey]:
        return [key for key, _ in self._rooms.authors(room)]

    def _holds(self, room: bytes, key: DeviceKey, seq: int) -> bool:
        return key != self._our_key and self._journal.receipt(room, key) >= seq

    def is_read(self, room: bytes, seq: int) -> bool:
        """
        Whether all others in a room have let us know that they read something of ours.

        Args:
            room: Where we said it.
            seq: Its number.
        """
        others = self._rooms.others(room)
        return bool(others) and all(self._read_by.get((room, key), 0) >= seq for key in others)

    def _who_is_there(self, room: bytes) -> set[DeviceKey]:
        return {partner.key for _, partner in self._sharing(room)}

    def _wrote(self, entries: list[Entry]) -> None:
        room = entries[0].room
        # Whoever is removed by it is told so, too.
        sharing = self._sharing(room)
        changed = self._rooms.stored(room, entries)
        for link, _ in sharing:
            self._push(link, entries)
        if changed:
            self.rooms_changed()

    def _rewrote(self, room: bytes) -> None:
        for link, _ in self._sharing(room):
            self.pump(link, [room])

    def _sharing(self, room: bytes) -> list[tuple[PeerProtocol, _Partner]]:
        return [
            (link, partner)
            for link, partner in self._partners.items()
            if room in partner.rooms
            and room in self._rooms.shared_with(partner.key)
            and link.session is not None
            and link.session.lets_them_in
        ]

    def _push(self, link: PeerProtocol, entries: list[Entry]) -> None:
        # Fresh from the pen: no need to read it back from the disk.
        partner = self._partners[link]
        chain = chain_of(entries[0].room, entries[0].author)
        after = partner.outbox.next_after(chain, entries[-1].seq)
        is_next = after == entries[0].seq - 1 and not self._is_reading(link, chain)
        is_offered = self._journal.offered(entries[0].room) >= entries[-1].seq
        if not (is_next and is_offered) or link.is_choked:
            self.pump(link, chain[:1])
            return
        while entries:
            entries = self._send(link, partner, run_from(entries), entries)

    def _send(
        self, link: PeerProtocol, partner: _Partner, run: Run, entries: list[Entry]
    ) -> list[Entry]:
        link.say(frame_of_run(run))
        size = sum(map(size_of, run.said))
        partner.outbox.went((run.room, run.author), run.seq + len(run.said) - 1, size)
        return entries[len(run.said) :]

    # Being let in.

    def lets_us_in(self, link: PeerProtocol) -> bool:
        """
        Whether a peer has let us in for a conversation of two.

        Args:
            link: The connection.
        """
        partner = self._partners.get(link)
        hello = link.session.their_hello if link.session else None
        if partner is None or hello is None:
            return False
        return hello.knows or self._rooms.direct(partner.key) in partner.rooms

    def knock(self, link: PeerProtocol, text: str) -> None:
        """
        Tell a peer that does not know us what we want to say, once.

        Args:
            link: The connection.
            text: The text; of a long one the beginning goes.
        """
        partner = self._partners.get(link)
        if partner is None or not self._may_knock(link):
            return
        room = self._rooms.direct(partner.key)
        if not text or not self.posting.may_offer(room):
            link.say(Knock(text=""))
            return
        # Whoever is at that door sees the beginning of it: it cannot be taken back any more.
        self.posting.offer_all(room).addCallbacks(
            lambda _: self._knock_with(link, text),
            lambda failure: self._store_failed(link, failure),
        ).addErrback(self._log_failure)

    def _may_knock(self, link: PeerProtocol) -> bool:
        session = link.session
        is_there = link in self._partners and session is not None and not session.have_knocked
        return is_there and not self.lets_us_in(link)

    def _knock_with(self, link: PeerProtocol, text: str) -> None:
        if self._may_knock(link):
            link.say(Knock(text=text[:LONGEST_KNOCK]))

    def knock_if_stranger(self, link: PeerProtocol) -> None:
        """
        Ask a peer to be let in, if it does not know us.

        Args:
            link: The connection.
        """
        partner = self._partners.get(link)
        # Where something waits for it here, that is what it is asked with: see `let_in`.
        if partner is not None and not self._has_waiting(partner.key):
            self.knock(link, "")

    def _has_waiting(self, key: DeviceKey) -> bool:
        room = self._rooms.direct(key)
        head, _ = self._journal.stored_heads(room).get(self._our_key, (0, NOTHING))
        return head > self._journal.receipt(room, key)

    # What goes on in the sessions.

    def session_opened(self, link: PeerProtocol) -> None:
        """
        A session with somebody began.

        Args:
            link: The connection.
        """
        if link.session is not None:
            partner = _Partner(link.session.their_key, turns=len(self._partners))
            self._partners[link] = partner
            self._repeat_later()

    def let_in(self, link: PeerProtocol) -> None:
        """
        Tell a peer that is let in what we hold, and ask to be let in for what waits here.

        Args:
            link: The connection.
        """
        partner = self._partners.get(link)
        if partner is None:
            return
        self._tell(link, self._rooms.shared_with(partner.key))
        if self.lets_us_in(link) or self._contacts.find(partner.key) is None:
            return
        room = self._rooms.direct(partner.key)
        after = self._journal.receipt(room, partner.key)
        if self._journal.stored_heads(room).get(self._our_key, (0, NOTHING))[0] > after:
            self._journal.read(room, self._our_key, after, 1).addCallbacks(
                lambda entries: self.knock(link, entries[0].said.body if entries else ""),
                lambda failure: self._store_failed(link, failure),
            ).addErrback(self._log_failure)

    def rooms_changed(self) -> None:
        """
        Somebody shares a room with us who did not, or no longer does.

        Those with whom we should have a session are looked for, and everybody is told of what they
        were not told.
        """
        self._sessions.rooms_changed()
        self._repeat_later()
        ended = [
            (record.room, author)
            for record in self._rooms.all()
            for author, last in self._rooms.authors(record.room)
            if last is not None
        ]
        for link, partner in list(self._partners.items()):
            shared = self._rooms.shared_with(partner.key)
            for room in (partner.told.keys() | partner.rooms).difference(shared):
                self._forget(link, partner, room)
                # It may not know that we have parted, and what it tells meanwhile goes past us.
                partner.anew.add(room)
            for chain in ended:
                # What was sent beyond the end is not going to be answered.
                partner.outbox.rewind(chain)
                self._compare_ended(link, partner, chain)
            fresh = [room for room in shared if room not in partner.told]
            if fresh:
                self._tell(link, fresh)
            self._ask_again(link, partner)
            self.pump(link)
        self._asking.lacking([chain for chain in self._ahead if self._lacks(chain)])

    def _forget(self, link: PeerProtocol, partner: _Partner, room: bytes) -> None:
        partner.forget(room)
        for chain in [chain for chain in self._ahead if chain[0] == room]:
            self._no_longer_ahead(link, chain)

    def _no_longer_ahead(self, link: PeerProtocol, chain: Chain) -> None:
        links = self._ahead.get(chain)
        if links is not None and links.pop(link, None) is not None and not links:
            del self._ahead[chain]

    def _compare_ended(self, link: PeerProtocol, partner: _Partner, chain: Chain) -> None:
        # Nobody is going to ask the other one for more of it.
        room, author = chain
        told = partner.promises.get(room, {}).get(author)
        is_third = author not in (self._our_key, partner.key)
        if told is not None and is_third and chain not in partner.ended:
            partner.ended.add(chain)
            self._told(link, partner, chain, told, self._shown_head(chain), is_doubtful=True)

    def _ask_again(self, link: PeerProtocol, partner: _Partner) -> None:
        # For what came before it could be taken, once the other side reads.
        if link.is_choked:
            return
        shared = self._rooms.shared_with(partner.key)
        lacking = filter(self._lacks, partner.dropped)
        again = [chain for chain in lacking if chain[0] in shared]
        for chain in again:
            del partner.dropped[chain]
            partner.refused.discard(chain)
        # Of those who hold what a third one said one is asked.
        thirds = {chain for chain in again if chain[1] != partner.key}
        held = {chain for chain in thirds if self._holders_of_more(chain)}
        self._asking.begin_anew(held)
        self._ask(link, [chain for chain in again if chain not in held])

    def _lacks(self, chain: Chain) -> bool:
        room, author = chain
        record = self._rooms.find(room)
        is_open = record is None or record.stay is Stay.JOINED
        return is_open and self._rooms.counts(room, author, self._head(chain) + 1)

    def _head(self, chain: Chain) -> int:
        room, author = chain
        return self._journal.heads(room).get(author, (0, NOTHING))[0]

    def session_lost(self, link: PeerProtocol) -> None:
        """
        A session is over.

        Args:
            link: The connection.
        """
        partner = self._partners.pop(link, None)
        if partner is None:
            return
        for chain in list(self._ahead):
            self._no_longer_ahead(link, chain)
        self.posting.went(partner.key)
        self._claims.gone(partner.key)
        self._arrivals.gone(partner.key)
        self._asking.gone(link)

    def went_on(self, link: PeerProtocol) -> None:
        """
        A peer that did not read what we said reads again.

        Args:
            link: The connection.
        """
        partner = self._partners.get(link)
        if partner is None:
            return
        if partner.is_behind:
            shared = self._rooms.shared_with(partner.key)
            owed = [room for room in partner.owed if room not in shared]
            partner.is_behind = False
            partner.owed.clear()
            self._tell(link, shared)
            self._tell(link, owed, [partner.key])
        self.pump(link)
        # It could not be asked.
        self._ask_again(link, partner)
        self._asking.lacking([chain for chain, links in self._ahead.items() if link in links])

    # Telling what we hold.

    def _tell(
        self,
        link: PeerProtocol,
        rooms: Iterable[bytes],
        authors: Iterable[DeviceKey] | None = None,
    ) -> None:
        partner = self._partners.get(link)
        if partner is None or link.session is None or not link.session.lets_them_in:
            return
        if link.is_choked:
            # Said once it reads again; what is said then is the latest.
            partner.is_behind = True
            if partner.key in (authors or ()):
                # It may not share these any more by then.
                partner.owed.update(dict.fromkeys(rooms))
            return
        held: dict[str, dict[str, tuple[int, str]]] = {}
        count = 0
        shared = self._rooms.shared_with(partner.key)
        for room in rooms:
            is_first = room not in partner.told
            news = self._news(partner, room, None if is_first else authors)
            if room not in shared:
                # Whoever has left is told that we know it, and nothing else.
                news = {author: one for author, one in news.items() if author == str(partner.key)}
                is_first = False
                partner.tell_anew(room)
            if not (news or is_first):
                continue
            self._invite(link, partner, room)
            if held and (count + len(news) >= MOST_TOLD or len(held) >= MOST_ROOMS):
                link.say(Have(rooms=held))
                held, count = {}, 0
            if room in partner.anew:
                partner.anew.discard(room)
                link.say(Have(rooms={room.hex(): news}, again=True))
                continue
            held[room.hex()] = news
            count += len(news) + 1
        if held:
            link.say(Have(rooms=held, read=self._read_marks(partner)))

    def _invite(self, link: PeerProtocol, partner: _Partner, room: bytes) -> None:
        session = link.session
        if session is None or room in partner.invited:
            return
        card = self._rooms.card(room, partner.key) if session.lets_them_in else None
        if card is not None and session.lets_us_in:
            partner.invited.add(room)
            link.say(card)
        elif card is not None and self._contacts.find(partner.key) is not None:
            # It cannot be said yet.
            self.knock_if_stranger(link)

    def _news(
        self, partner: _Partner, room: bytes, authors: Iterable[DeviceKey] | None
    ) -> dict[str, tuple[int, str]]:
        news: dict[str, tuple[int, str]] = {}
        is_first = room not in partner.told
        told, promises = partner.told.setdefault(room, {}), partner.promises.get(room, {})
        heads = self._journal.stored_heads(room)
        heads[self._our_key] = self._journal.offered_head(room)
        # Not of those who were members once and were pushed out by earlier ones: there can be more
        # of them than a frame holds.
        for author, _ in self._rooms.authors(room, authors):
            seq, last = heads.get(author, (0, NOTHING))
            if seq > told.get(author, 0):
                told[author] = seq
                # Whoever has told us the same knows; but to whoever sent it, it is the receipt.
                one = (seq, last.hex())
                is_owed = author == partner.key or (room, author) in partner.sends
                if is_first or is_owed or promises.get(author) != one:
                    news[str(author)] = one
        return news

    def _shown_head(self, chain: Chain) -> tuple[int, bytes]:
        # How far others may know that we hold a chain: what we say may be written anew until then.
        room, author = chain
        if author == self._our_key:
            return self._journal.offered_head(room)
        return self._journal.stored_heads(room).get(author, (0, NOTHING))

    def looked_at(self, rooms: Iterable[bytes]) -> None:
        """
        The person has read all there is in some rooms: tell those who are there.

        Args:
            rooms: Conversations of two; of others nobody is told.
        """
        if not self._tells_reading:
            return
        for room in rooms:
            mate = self._rooms.mate_of(room) if self._rooms.find(room) is None else None
            link = self._sessions.find(mate) if mate is not None else None
            partner = self._partners.get(link) if link is not None else None
            if link is None or partner is None or room not in partner.rooms or link.is_choked:
                continue
            marks = self._read_marks(partner)
            if marks:
                link.say(Have(rooms={}, read=marks))

    def _read_marks(self, partner: _Partner) -> dict[str, dict[str, int]]:
        room = self._rooms.direct(partner.key)
        seq = self._journal.read_to(room, partner.key) if self._tells_reading else 0
        return {room.hex(): {str(partner.key): seq}} if seq else {}

    def _soon(self, first: Entry) -> None:
        if self._rooms.find(first.room) is None:
            # There is nobody else to tell.
            return
        self._to_tell[first.room] = len(self._partners)
        if self._telling is None:
            self._telling = self._clock.callLater(TELL_AFTER, self._tell_others)

    def _told_at_once(self) -> int:
        return max(1, min(QUICK_SESSIONS, QUICK_SESSIONS**2 // max(1, len(self._partners))))

    def _is_busy(self) -> bool:
        # More came since the last turn than can be answered in this one.
        return self._receipts > self._told_at_once() < len(self._partners)

    def _tell_others(self) -> None:
        self._telling = None
        count, is_busy = self._told_at_once(), self._is_busy()
        self._receipts = 0
        for link, partner in list(self._partners.items())[:count]:
            # The next time it is the turn of others.
            self._partners[link] = self._partners.pop(link)
            partner.unanswered = 0
            partner.turns += 1
            is_all = not is_busy or partner.turns % ALL_EVERY == 0
            shared = self._rooms.shared_with(partner.key)
            rooms = [room for room in shared if room in self._to_tell]
            self._tell(link, rooms, None if is_all else [partner.key])
        # What is told to some alone is told to everybody when fewer talk.
        told = 0 if is_busy else count
        self._to_tell = {room: left - told for room, left in self._to_tell.items() if left > told}
        if self._to_tell:
            self._telling = self._clock.callLater(TELL_AFTER, self._tell_others)

    def _repeat_later(self) -> None:
        is_due = any(self._rooms.is_large(record.room) for record in self._rooms.all())
        if is_due and self._partners and self._repeating is None:
            self._repeating = self._clock.callLater(REPEAT_AFTER, self._repeat)

    def _repeat(self) -> None:
        self._repeating = None
        self._repeated += 1
        for record in self._rooms.all():
            sharing = self._sharing(record.room)
            if sharing and self._rooms.is_large(record.room):
                link, partner = sharing[self._repeated % len(sharing)]
                partner.tell_anew(record.room)
                partner.anew.add(record.room)
                self._tell(link, [record.room])
        self._repeat_later()

    # Sending what the other side lacks.

    def pump(self, link: PeerProtocol, rooms: Iterable[bytes] | None = None) -> None:
        """
        Send what a peer is known to lack: of what it or we said, and of what it has asked for.

        Args:
            link: The connection.
            rooms: In which rooms something may be new; ``None`` for anywhere.
        """
        partner = self._partners.get(link)
        if partner is None or not self._may_send(link):
            return
        if partner.is_pumped:
            # What is read at once wants to go on at once; it is done below, one after the other.
            partner.is_full = True
            return
        shared = self._rooms.shared_with(partner.key)
        if rooms is not None and not partner.is_full:
            shared = [room for room in rooms if room in shared]
        partner.is_pumped = True
        try:
            while True:
                partner.is_full = False
                for room in shared:
                    if room in partner.rooms:
                        self._pump_room(link, partner, room)
                if not (partner.is_full and self._has_window(partner)):
                    break
                shared = self._rooms.shared_with(partner.key)
        finally:
            partner.is_pumped = False

    def _may_send(self, link: PeerProtocol) -> bool:
        session = link.session
        is_open = session is not None and session.lets_us_in and session.lets_them_in
        return is_open and not link.is_choked

    def _has_window(self, partner: _Partner) -> bool:
        return partner.outbox.has_room(partner.reading * MOST_READ)

    def _pump_room(self, link: PeerProtocol, partner: _Partner, room: bytes) -> None:
        heads = self._journal.stored_heads(room)
        asked = partner.asked.get(room, {})
        for author, last in self._rooms.authors(room, [self._our_key, partner.key, *asked]):
            head, _ = heads.get(author, (0, NOTHING))
            if last is not None:
                head = min(head, last)
            chain = chain_of(room, author)
            if author not in (self._our_key, partner.key):
                head = min(head, asked[author])
                if partner.outbox.has(chain) >= head:
                    del asked[author]
                    continue
            if self._is_reading(link, chain):
                continue
            if author == self._our_key and not self.posting.may_offer(room):
                continue
            if not self._has_window(partner):
                partner.is_full = True
                return
            after = partner.outbox.next_after(chain, head)
            if after is None:
                continue
            self._reading.add((link, chain))
            partner.reading += 1
            Deferred.fromCoroutine(self._read_to_send(chain, after, head)).addCallbacks(
                self._has_read,
                self._cannot_read,
                callbackArgs=(link, partner, chain),
                errbackArgs=(link, partner, chain),
            ).addErrback(self._log_failure)

    def _is_reading(self, link: PeerProtocol, chain: Chain) -> bool:
        return (link, chain) in self._reading or (link, chain) in self._comparing

    async def _read_to_send(self, chain: Chain, after: int, head: int) -> list[Entry]:
        room, author = chain
        if author == self._our_key:
            stored = self._journal.stored_heads(room).get(self._our_key, (0, NOTHING))
            await self.posting.offer(room, *stored)
        entries = await self._journal.read(room, author, after, MOST_READ)
        # What is behind that can still be recalled, or was not asked for; but where the end of what
        # counts is not signed, what vouches for it goes with it.
        end = next((entry.seq for entry in entries if entry.seq >= head and entry.signature), head)
        return [entry for entry in entries if entry.seq <= end]

    def _has_read(
        self,
        entries: list[Entry],
        link: PeerProtocol,
        partner: _Partner,
        chain: Chain,
    ) -> None:
        self._reading.discard((link, chain))
        partner.reading -= 1
        room, author = chain
        is_shared = room in self._rooms.shared_with(partner.key)
        if self._partners.get(link) is not partner or not entries or not is_shared:
            return
        if author != self._our_key and not self._rooms.counts(room, author, entries[0].seq):
            # They have come to their end since it was begun to be read.
            self.pump(link, [room])
            return
        run = run_from(entries)
        if author == self._our_key:
            head, _ = self._journal.offered_head(room)
            if head - run.seq >= MOST_SHOWN and not partner.outbox.has_sent(chain):
                # So that it knows how much is to come: see `Arrivals`.
                self._tell(link, [room])
        self._send(link, partner, run, entries)
        self.pump(link, [room])

    def _cannot_read(
        self, failure: Failure, link: PeerProtocol, partner: _Partner, chain: Chain
    ) -> None:
        self._reading.discard((link, chain))
        partner.reading -= 1
        self._store_failed(link, failure)

    def _cannot_compare(self, failure: Failure, link: PeerProtocol, chain: Chain) -> None:
        self._comparing.pop((link, chain), None)
        self._store_failed(link, failure)

    # Hearing what the other side holds.

    def have_received(self, link: PeerProtocol, frame: Have) -> None:
        """
        A peer told what it holds.

        Args:
            link: The connection.
            frame: What it said.
        """
        partner = self._partners.get(link)
        if partner is None or link.session is None or not link.session.lets_them_in:
            # A stranger shares nothing with us.
            return
        direct = self._rooms.direct(partner.key)
        contact = self._contacts.find(partner.key)
        shared = self._rooms.shared_with(partner.key)
        named = {bytes.fromhex(name): told for name, told in frame.rooms.items()}
        # Of rooms that we do not share it can say what it likes.
        for room in [room for room in shared if room in named]:
            is_let_in = room == direct and room not in partner.rooms and link.session.have_knocked
            if is_let_in and contact is not None:
                self._publish(LetIn(contact))
            if room not in partner.rooms:
                # What we told before it shared the room went past it.
                self._forget(link, partner, room)
                partner.rooms.add(room)
                self._tell(link, [room])
            elif frame.again:
                partner.tell_anew(room)
                self._tell(link, [room])
            self._compare(link, partner, room, named[room], frame)
            self.pump(link, [room])
        for room in shared:
            self._invite(link, partner, room)
        for room in named.keys() - set(shared):
            self._tell_removal(link, partner, room, named[room])
        self._note_reading(partner, frame)

    def _compare(
        self,
        link: PeerProtocol,
        partner: _Partner,
        room: bytes,
        told: dict[str, tuple[int, str]],
        frame: Have,
    ) -> None:
        heads = self._journal.stored_heads(room)
        promises = partner.promises.setdefault(room, {})
        to_come: dict[DeviceKey, int] = {}
        told_of = {key: one for name, one in told.items() if (key := find_key(name)) is not None}
        known = dict(self._rooms.authors(room, told_of))
        for author, theirs in told_of.items():
            seq, chain = theirs[0], chain_of(room, author)
            ours = heads.get(author, (0, NOTHING))
            head, is_third = ours[0], author not in (self._our_key, partner.key)
            if author in known or author in promises or len(promises) < MOST_TOLD:
                promises[author] = theirs
                if seq > head and author != self._our_key:
                    # It may be that we can take it later.
                    self._ahead.setdefault(chain, {})[link] = seq
                else:
                    self._no_longer_ahead(link, chain)
            if author not in known:
                continue
            if frame.again or frame.asks:
                partner.outbox.rewind(chain)
            if frame.asks and is_third:
                partner.asked.setdefault(room, {})[author] = head
            if frame.dropped:
                partner.outbox.pause(chain)
            # Of what a third one said nothing is sent before it is asked for; and where they have
            # come to their end, nobody may ask.
            last = known[author]
            is_first = not partner.outbox.has(chain)
            is_to_be_sent = frame.asks or last is not None if is_third else True
            is_doubtful = frame.dropped or frame.asks or (is_first and is_to_be_sent)
            if author == self._our_key:
                ours = self._journal.offered_head(room)
            self._told(link, partner, chain, theirs, ours, is_doubtful=is_doubtful)
            if last is not None:
                seq = min(seq, last)
            if seq > head and author != self._our_key:
                to_come[author] = seq
        # Whoever sends it: each author their own, or whoever is asked.
        much = sum(end - heads.get(author, (0, NOTHING))[0] for author, end in to_come.items())
        self._arrivals.expect(room, partner.key, to_come, much)
        self._asking.lacking([(room, author) for author in to_come if author != partner.key])
        record = self._rooms.find(room)
        if record is not None:
            self._check_invitation(partner, record)

    def _holders_of_more(self, chain: Chain) -> dict[PeerProtocol, int]:
        room, author = chain
        if not self._lacks(chain):
            return {}
        head = self._head(chain)
        return {
            link: seq
            for link, seq in self._ahead.get(chain, {}).items()
            for partner in [self._partners[link]]
            if seq > head
            and partner.key != author
            and not partner.outbox.has_given_up(chain)
            and self._may_send(link)
            and room in self._rooms.shared_with(partner.key)
        }

    def _ask(self, link: PeerProtocol, chains: Sequence[Chain]) -> None:
        for start in range(0, len(chains), MOST_ROOMS):
            held: dict[str, dict[str, tuple[int, str]]] = {}
            for room, author in chains[start : start + MOST_ROOMS]:
                seq, last = self._shown_head((room, author))
                held.setdefault(room.hex(), {})[str(author)] = (seq, last.hex())
            link.say(Have(rooms=held, asks=True))

    def _told(
        self,
        link: PeerProtocol,
        partner: _Partner,
        chain: Chain,
        theirs: tuple[int, str],
        ours: tuple[int, bytes],
        *,
        is_doubtful: bool = False,
    ) -> None:
        room, author = chain
        (seq, their_hash), (head, our_hash) = theirs, ours
        if partner.outbox.has_given_up(chain):
            return
        if (link, chain) in self._comparing:
            # The last of what it tells meanwhile is all that counts.
            self._comparing[link, chain] = theirs
        elif seq and seq == head and their_hash != our_hash.hex():
            self._part(link, partner, chain, seq)
        elif 0 < seq < head and is_doubtful:
            # What it holds may be another one's with the same numbers, where a journal was lost, a
            # key is used twice, or somebody says different things to different people. What it
            # tells later, it has got from us, unless it cannot take that.
            self._comparing[link, chain] = theirs
            self._journal.read(room, author, seq - 1, 1).addCallbacks(
                self._has_compared,
                self._cannot_compare,
                callbackArgs=(link, partner, chain, seq, their_hash),
                errbackArgs=(link, chain),
            ).addErrback(self._log_failure)
        else:
            self._agreed(partner, chain, seq, head)

    def _has_compared(
        self,
        entries: list[Entry],
        link: PeerProtocol,
        partner: _Partner,
        chain: Chain,
        seq: int,
        their_hash: str,
    ) -> None:
        # There is none any more where something else could not be read for it.
        told = self._comparing.pop((link, chain), None)
        if told is None or self._partners.get(link) is not partner:
            return
        if not entries or entries[0].hash.hex() != their_hash:
            self._part(link, partner, chain, seq)
            return
        self._agreed(partner, chain, seq, seq)
        self._told(link, partner, chain, told, self._shown_head(chain))
        self.pump(link, chain[:1])

    def _agreed(self, partner: _Partner, chain: Chain, seq: int, head: int) -> None:
        room, author = chain
        partner.outbox.told(chain, min(seq, head))
        if author != self._our_key:
            return
        if seq <= head:
            self._acknowledged(room, partner.key, seq)
        else:
            # Where it holds more than anybody can have seen, we have lost ours.
            self._claims.claim(room, partner.key, seq)

    def _part(self, link: PeerProtocol, partner: _Partner, chain: Chain, seq: int) -> None:
        # The entry with that number is another one there than here.
        if partner.outbox.has_given_up(chain):
            return
        room, author = chain
        self._out_of_step(partner, chain)
        self._refuse(link, chain)
        if self._rooms.find(room) is not None:
            # Whoever says different things to different people is known to both by that.
            self._journal.read(room, author, seq - 1, 1).addCallbacks(
                lambda entries: self._show_other(link, partner, entries),
                lambda failure: self._store_failed(link, failure),
            ).addErrback(self._log_failure)

    def _show_other(self, link: PeerProtocol, partner: _Partner, entries: list[Entry]) -> None:
        is_there = self._partners.get(link) is partner and self._may_send(link)
        if is_there and entries and entries[0].room in self._rooms.shared_with(partner.key):
            link.say(frame_of_run(run_from(entries)))

    def _refuse(self, link: PeerProtocol, chain: Chain) -> None:
        # What comes of it is dropped: so no more of it should, and what has is out of the way.
        if link.session is None or not link.session.lets_them_in:
            return
        room, author = chain
        seq, last = self._shown_head(chain)
        held = {room.hex(): {str(author): (seq, last.hex())}}
        link.say(Have(rooms=held, dropped=True))

    def _out_of_step(self, partner: _Partner, chain: Chain) -> None:
        partner.outbox.give_up(chain)
        room, _ = chain
        contact = self._contacts.find(partner.key)
        # In other rooms it can be the fault of somebody else.
        if contact is None or room != self._rooms.direct(partner.key):
            return
        if contact.key not in self._told_out_of_step:
            self._told_out_of_step.add(contact.key)
            self._publish(OutOfStep(contact))

    def _not_returned(self, room: bytes, key: DeviceKey) -> None:
        for partner in self._partners.values():
            if partner.key == key:
                self._out_of_step(partner, (room, self._our_key))

    def _check_invitation(self, partner: _Partner, record: RoomRecord) -> None:
        # Whoever invited us holds nothing more that we lack, and nobody there has added us.
        room = record.room
        promises = partner.promises.get(room, {})
        card = partner.cards.get(room)
        if partner.key != record.inviter or not self._rooms.is_awaited(room):
            return
        if card is None or record.founder not in promises:
            return
        if self._rooms.membership(room).left_with(partner.key):
            # It tells no more of what others said there, who may have added us.
            return
        # What it has said itself, and nobody has seen yet, it tells nobody until it sends it.
        for key, seq in ((record.founder, card.word), (partner.key, card.mine)):
            promises[key] = max((seq, ""), promises.get(key, NONE))
        heads = self._journal.stored_heads(room)
        authors = [author for author, _ in self._rooms.authors(room)]
        lacking = [
            author
            for author in authors
            if heads.get(author, (0, NOTHING))[0] < promises.get(author, NONE)[0]
        ]
        if lacking or not authors:
            return
        del partner.promises[room]
        self._rooms.keep(self._rooms.with_stay(room, Stay.LEFT), RoomChange.NOT_LET_IN).addErrback(
            self._tell_store_failed
        )
        self.rooms_changed()

    def _tell_removal(
        self,
        link: PeerProtocol,
        partner: _Partner,
        room: bytes,
        told: dict[str, tuple[int, str]],
    ) -> None:
        # It was away when it was removed: nobody else would tell it that it waits in vain.
        record = self._rooms.find(room)
        removal = self._rooms.removed_by(room, partner.key)
        if record is None or record.stay is not Stay.JOINED or room in partner.removed:
            return
        seq, _ = told.get(str(record.founder), (0, ""))
        session = link.session
        if seq < removal and session is not None and session.lets_them_in:
            partner.removed.add(room)
            Deferred.fromCoroutine(
                self._send_until(link, partner, (room, record.founder), seq, removal)
            ).addErrback(lambda failure: self._store_failed(link, failure)).addErrback(
                self._log_failure
            )

    async def _send_until(
        self, link: PeerProtocol, partner: _Partner, chain: Chain, after: int, end: int
    ) -> None:
        room, author = chain
        while after < end:
            # To the end of what is signed, which what is to be told may stand before.
            head, _ = self._journal.stored_heads(room).get(author, (0, NOTHING))
            entries = await self._read_to_send(chain, after, head)
            if not entries or self._partners.get(link) is not partner or link.is_choked:
                return
            signed = (number for number, entry in enumerate(entries, 1) if entry.signature)
            enough = next((number for number in signed if entries[number - 1].seq >= end), None)
            run = run_from(entries[:enough])
            link.say(frame_of_run(run))
            after = run.seq + len(run.said) - 1

    def _note_reading(self, partner: _Partner, frame: Have) -> None:
        room = self._rooms.direct(partner.key)
        seq = frame.read.get(room.hex(), {}).get(str(self._our_key), 0)
        head, _ = self._journal.stored_heads(room).get(self._our_key, (0, NOTHING))
        if room in partner.rooms and seq > self._read_by.get((room, partner.key), 0):
            self._read_by[room, partner.key] = min(seq, head)
            contact = self._contacts.find(partner.key)
            if contact is not None and seq >= head:
                self._publish(TextsRead(contact))

    def _acknowledged(self, room: bytes, key: DeviceKey, seq: int) -> None:
        before = self._journal.receipt(room, key)
        waited = self.posting.acknowledged(room, key, seq)
        if self._rooms.acknowledged(room):
            self.rooms_changed()
        if self._rooms.find(room) is not None or seq <= before:
            return
        self._moved(key, 0, seq - before)
        contact = self._contacts.find(key)
        if waited > 0 and contact is not None:
            self._publish(TextsDelivered(contact, waited))

    # Hearing what others say.

    def card_received(self, link: PeerProtocol, card: Card) -> None:
        """
        A peer says that we are a member of a room.

        Args:
            link: The connection.
            card: The room.
        """
        partner = self._partners.get(link)
        # Those whom the person knows may invite; others wait until somebody does.
        if partner is None or self._contacts.find(partner.key) is None:
            return

        if self._rooms.invited(card, partner.key, self._clock.seconds()):
            self.rooms_changed()
        record = self._rooms.find(bytes.fromhex(card.room))
        if record is not None:
            partner.cards[record.room] = card
            # Of invitations the oldest are forgotten.
            for room in [room for room in partner.cards if self._rooms.find(room) is None]:
                del partner.cards[room]
            self._check_invitation(partner, record)

    def run_received(self, link: PeerProtocol, frame: RunFrame) -> None:
        """
        A peer sent entries.

        Args:
            link: The connection.
            frame: What it sent.

        Raises:
            RemoteProtocolError: It may not send these, or they are not what their author signed.
        """
        partner = self._partners.get(link)
        if partner is None:
            return
        run = run_of_frame(frame)
        record = self._rooms.find(run.room)
        is_shared = run.room in self._rooms.shared_with(partner.key)
        chain = chain_of(run.room, run.author)
        if record is not None and not (is_shared and record.stay is Stay.JOINED):
            # Sent before it knew that one of us is no longer there, or not there yet.
            partner.drop(chain)
            return
        # In a conversation of two nobody else can ever come to have a say.
        is_of_neither = record is None and not self._rooms.counts(*chain, run.seq)
        if not is_shared or is_of_neither:
            raise RemoteProtocolError("not-shared", "It sent entries of a room that is not shared.")
        entries = check_run(run)
        if partner.outbox.has_given_up(chain):
            # It goes on where we part.
            self._look_for_fork(link, entries)
            return
        if run.author == self._our_key:
            self._take_back(link, partner, entries)
            return
        try:
            taken = take_run(entries, self._journal.heads(run.room))
        except RemoteProtocolError:
            if self._storing[chain]:
                # What came before it is just being lost here, and when that is told it will rest.
                return
            if chain not in partner.missed and self._rooms.counts(*chain, run.seq):
                raise
            # It is not left out: it came and was dropped.
            taken = entries
        first = taken[0] if isinstance(taken, tuple) and taken else None
        if first is not None and not self._can_take(first):
            # By somebody of whom we do not know (yet) that they may, or beyond their end.
            partner.drop(chain)
            is_news = chain in partner.dropped and chain not in partner.refused
            if is_news and not self._rooms.counts(*chain, first.seq):
                partner.refused.add(chain)
                self._refuse(link, chain)
        elif isinstance(taken, Forked):
            self._forked(link, taken.entry)
            if record is None:
                partner.outbox.give_up(chain)
                self._refuse(link, chain)
            else:
                self._part(link, partner, chain, self._journal.heads(run.room)[run.author][0])
        elif not taken:
            self._has_sent(partner, chain)
            partner.told.get(run.room, {}).pop(run.author, None)
            self._tell(link, [run.room], [run.author])
            if (link, chain) in self._comparing:
                # It may be sent to show that it is another one.
                self._look_for_fork(link, entries)
        else:
            self._storing[chain] += 1

            def done(result: Failure | None) -> Failure | None:
                self._storing[chain] -= 1
                return result

            # In a busy room nobody sees whether it was a moment earlier.
            is_urgent = record is None or not self._is_busy()
            self._journal.append(taken, is_urgent=is_urgent).addBoth(done).addCallbacks(
                self._has_stored,
                lambda failure: self._not_kept(link, run.room, failure),
                callbackArgs=(partner, taken),
            ).addErrback(self._log_failure)

    def _take_back(self, link: PeerProtocol, partner: _Partner, entries: tuple[Entry, ...]) -> None:
        room, author = entries[0].room, entries[0].author

        def kept(taken: tuple[Entry, ...] | Forked) -> None:
            if isinstance(taken, Forked):
                self._part(link, partner, (room, author), max(1, self._journal.offered(room)))
                self._forked(link, taken.entry)
                self._claims.drop(room, partner.key)
            elif taken:
                self._journal.keep_receipt(room, partner.key, taken[-1].seq)
                self._has_stored(None, partner, taken)
                self._claims.came(room, partner.key, taken[-1].seq)
            else:
                partner.told.get(room, {}).pop(author, None)
                self._tell(link, [room], [author])

        def not_kept(failure: Failure) -> None:
            self._claims.drop(room, partner.key)
            self._not_kept(link, room, failure)

        self.posting.take_back(room, entries).addCallbacks(kept, not_kept).addErrback(
            self._log_failure
        )

    def _can_take(self, entry: Entry) -> bool:
        # Behind entries that count others may come in the same run, by the signature of which those
        # are proven; but nothing that begins behind the end.
        head, _ = self._journal.heads(entry.room).get(entry.author, (0, NOTHING))
        return entry.seq == head + 1 and self._rooms.counts(entry.room, entry.author, entry.seq)

    def _has_stored(self, _: None, partner: _Partner, entries: tuple[Entry, ...]) -> None:
        room, author = entries[0].room, entries[0].author
        partner.outbox.told((room, author), entries[-1].seq)
        self._has_sent(partner, (room, author))
        changed = self._rooms.stored(room, entries)
        self._show(room, entries)
        # Another session may have taken the place of that one by now.
        present = self._sessions.find(partner.key)
        if present is not None and not self._may_wait(partner, entries):
            self._tell(present, [room], [author])
        self._asking.came((room, author), present)
        self._soon(entries[0])
        if changed:
            if author != partner.key and (leaver := self._sessions.find(author)) is not None:
                # Somebody else brought that they leave, and what they send of it is dropped now.
                self._tell(leaver, [room], [author])
            self.rooms_changed()
        record = self._rooms.find(room)
        if record is not None and self._rooms.is_awaited(room):
            for one in list(self._partners.values()):
                self._check_invitation(one, record)

    def _has_sent(self, partner: _Partner, chain: Chain) -> None:
        if chain[1] != partner.key:
            partner.sends.add(chain)

    def _may_wait(self, partner: _Partner, entries: tuple[Entry, ...]) -> bool:
        # Where many talk, most receipts go with what is told in turn.
        first = entries[0]
        is_shared = first.room in self._rooms.shared_with(partner.key)
        if first.author != partner.key or self._rooms.find(first.room) is None or not is_shared:
            # Whoever has left that room has no turn any more.
            return False
        self._receipts += 1
        partner.unanswered += sum(size_of(entry.said) for entry in entries)
        if self._is_busy() and partner.unanswered < MOST_UNANSWERED:
            return True
        partner.unanswered = 0
        return False

    def _show(self, room: bytes, entries: tuple[Entry, ...]) -> None:
        author = entries[0].author
        if author == self._our_key:
            return
        texts = [
            entry.said.body
            for entry in entries
            if entry.said.kind == TEXT and self._rooms.counts(room, author, entry.seq)
        ]
        if self._rooms.find(room) is None:
            self._moved(author, len(texts), 0)
        self._arrivals.came(room, author, entries[-1].seq, texts)

    def _look_for_fork(self, link: PeerProtocol, entries: tuple[Entry, ...]) -> None:
        # Where one of these is another one than ours, its author has signed two.
        first, last = entries[0], entries[-1]
        head, _ = self._journal.stored_heads(first.room).get(first.author, (0, NOTHING))
        seq = min(last.seq, head)
        if seq < first.seq:
            return

        def read(ours: list[Entry]) -> None:
            if ours and ours[0].hash != entries[seq - first.seq].hash:
                self._forked(link, last)

        self._journal.read(first.room, first.author, seq - 1, 1).addCallbacks(
            read, lambda failure: self._store_failed(link, failure)
        ).addErrback(self._log_failure)

    def _forked(self, link: PeerProtocol, entry: Entry) -> None:
        def kept(is_news: bool) -> None:
            speaker = self._rooms.speaker(entry.room, entry.author)
            # That we seem to have forked in a conversation of two is told as `OutOfStep`.
            is_ours = entry.author == self._our_key
            if is_news and not (is_ours and self._rooms.find(entry.room) is None):
                self._publish(ForkSeen(speaker, entry.seq))

        self._journal.keep_fork(entry).addCallbacks(
            kept, lambda failure: self._store_failed(link, failure)
        ).addErrback(self._log_failure)

    def _tell_store_failed(self, failure: Failure) -> None:
        failure.trap(StoreError)
        self._publish(StoreFailed(failure.getErrorMessage()))

    def _store_failed(self, link: PeerProtocol, failure: Failure) -> None:
        # What cannot be kept is not acknowledged: the other side keeps it and tries again later.
        assert link.session is not None  # noqa: S101 (it came in one)
        key = link.session.their_key
        present = self._sessions.find(key)
        if present is not None and present.is_closed:
            # All that came behind it cannot be kept either, and that was told.
            failure.trap(StoreError)
            return
        self._tell_store_failed(failure)
        self._sessions.rest(key)

    def _not_kept(self, link: PeerProtocol, room: bytes, failure: Failure) -> None:
        self._store_failed(link, failure)
        # Others may have sent the same: it seemed to be there already, and they wait for an answer.
        for other, partner in list(self._partners.items()):
            if room in partner.rooms and not other.is_closed:
                self._sessions.rest(partner.key)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("The exchange failed", failure)
