"""
The rules of a session: every state, and every frame in it.
"""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import frames
from twistedchat.core.entries import Said
from twistedchat.core.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from twistedchat.core.frames import (
    LARGEST_FRAME,
    Bye,
    Frame,
    Have,
    Hello,
    Knock,
    Met,
    Ping,
    Pong,
    RunFrame,
    Seek,
    encode_frame,
)
from twistedchat.core.session import Session, SessionState, rank_of
from twistedchat.testing import identity_of

ANN, BOB = (identity_of(name).key for name in ("ann", "bob"))
LOWER, HIGHER = sorted((ANN, BOB))

HELLO = Hello(v=2, name="Bob", port=7070)
KNOWING = Hello(v=2, name="Bob", port=7070, knows=True)
HAVE = Have(rooms={})
RUN = RunFrame(
    room="0" * 64,
    author="0" * 64,
    seq=1,
    prev="0" * 64,
    said=(Said(1, "text", "hi"),),
    sig="0" * 128,
)
SEEK = Seek(salt="0" * 32, hints=())
MET = Met(salt="0" * 32, peers={})
KNOCK = Knock(text="It is me")
FOR_FRIENDS: tuple[Frame, ...] = (RUN, SEEK, MET)
FOR_ALL: tuple[Frame, ...] = (KNOCK, HAVE, Ping(), Pong())


@dataclass
class Ends:
    """
    Both ends of a session, with a wire of lines between them.
    """

    ours: Session = field(default_factory=lambda: Session(ANN, BOB, is_ours=True))
    theirs: Session = field(default_factory=lambda: Session(BOB, ANN, is_ours=False))

    def tell(self, *frames: Frame) -> list[Frame | None]:
        """
        Let the other side say something to us.
        """
        return [self.ours.receive_line(self.theirs.send(frame)[:-1]) for frame in frames]


def session(*heard: Frame, lets_them_in: bool = False) -> Session:
    """
    Our end, after something came from the other side.
    """
    made = Session(ANN, BOB, is_ours=True)
    made.lets_them_in = lets_them_in
    for frame in heard:
        made.receive_line(encode_frame(frame))
    return made


class ReceivingTests(SynchronousTestCase):
    """
    `Session.receive_line`.
    """

    def assert_refused(self, code: str, one: Session, line: bytes | Frame) -> None:
        """
        That line breaks a rule, and the session is over with it.
        """
        data = line if isinstance(line, bytes) else encode_frame(line)
        refused = self.assertRaises(RemoteProtocolError, one.receive_line, data)
        self.assertEqual(code, refused.code)
        self.assertEqual(SessionState.CLOSED, one.state)
        # One way only: what comes behind it is not even looked at.
        self.assertIsNone(one.receive_line(b"{"))
        self.assertRaises(LocalProtocolError, one.send, Ping())

    def test_hello_opens(self) -> None:
        """
        The first frame is hello; with it the session is open and says who let whom in.
        """
        for greeting in (HELLO, KNOWING):
            one = session()
            self.assertEqual(SessionState.GREETING, one.state)
            self.assertIsNone(one.their_hello)

            self.assertEqual(greeting, one.receive_line(encode_frame(greeting)))

            self.assertEqual(SessionState.OPEN, one.state)
            self.assertEqual(greeting, one.their_hello)
            self.assertEqual(greeting.knows, one.lets_us_in)
            self.assertFalse(one.lets_them_in)

    def test_anything_before_hello_is_refused(self) -> None:
        """
        Whatever else comes first ends it, also what a later version may know.
        """
        for frame in FOR_ALL + FOR_FRIENDS:
            self.assert_refused("no-hello", session(lets_them_in=True), frame)
        self.assert_refused("no-hello", session(), b'{"t":"later"}')

    def test_bye_before_hello_closes(self) -> None:
        """
        Goodbye may be said at once, and is no breach.
        """
        one = session()

        self.assertEqual(Bye(code="full"), one.receive_line(b'{"t":"bye","code":"full"}'))

        self.assertEqual(SessionState.CLOSED, one.state)

    def test_second_hello_is_refused(self) -> None:
        """
        Hello is said once.
        """
        self.assert_refused("second-hello", session(HELLO), HELLO)

    def test_second_knock_is_refused(self) -> None:
        """
        A stranger knocks once in a session.
        """
        one = session(HELLO)

        self.assertEqual(KNOCK, one.receive_line(encode_frame(KNOCK)))

        self.assert_refused("second-knock", one, KNOCK)

    def test_stranger_may_greet_knock_and_tell(self) -> None:
        """
        What everybody may say is taken from a stranger.
        """
        one = session(HELLO)

        for frame in FOR_ALL:
            self.assertEqual(frame, one.receive_line(encode_frame(frame)))

        self.assertEqual(SessionState.OPEN, one.state)

    def test_stranger_may_say_no_more(self) -> None:
        """
        Entries and whereabouts come only from those who are let in, even if they let us in.
        """
        for frame in FOR_FRIENDS:
            self.assert_refused("not-let-in", session(KNOWING), frame)

    def test_friend_may_say_everything(self) -> None:
        """
        Who is let in may say all there is, before it has let us in too.
        """
        one = session(HELLO, lets_them_in=True)

        for frame in FOR_ALL + FOR_FRIENDS:
            self.assertEqual(frame, one.receive_line(encode_frame(frame)))

    def test_have_lets_us_in(self) -> None:
        """
        Whoever tells what it holds has let us in; the first time is told apart.
        """
        one = session(HELLO)
        told = []

        for _ in range(2):
            one.receive_line(encode_frame(HAVE))
            told.append((one.lets_us_in, one.is_first_have))
        one.receive_line(encode_frame(Ping()))

        self.assertEqual([(True, True), (True, False)], told)

    def test_unknown_frame_is_passed_over(self) -> None:
        """
        What a later version may know is nothing to us.
        """
        one = session(HELLO)

        self.assertIsNone(one.receive_line(b'{"t":"later","more":[1,2]}'))

        self.assertEqual(SessionState.OPEN, one.state)

    def test_broken_frame_is_refused(self) -> None:
        """
        What is no frame, or too large for one, ends the session.
        """
        self.assert_refused("broken-frame", session(HELLO), b"hello")
        self.assert_refused("broken-frame", session(), b"")
        self.assert_refused("large-frame", session(HELLO), b" " * (LARGEST_FRAME + 1))

    def test_bye_closes(self) -> None:
        """
        After goodbye nothing is heard or said, and nothing of it is an error of the other side's.
        """
        one = session(HELLO)

        self.assertEqual(Bye(code="exit"), one.receive_line(encode_frame(Bye(code="exit"))))

        self.assertEqual(SessionState.CLOSED, one.state)
        self.assertIsNone(one.receive_line(encode_frame(HELLO)))
        self.assertRaises(LocalProtocolError, one.send, Pong())


class SendingTests(SynchronousTestCase):
    """
    `Session.send`.
    """

    def test_line_is_the_frame_with_its_end(self) -> None:
        """
        What is said is one line.
        """
        self.assertEqual(encode_frame(Ping()) + b"\n", session().send(Ping()))

    def test_said_once_is_refused_twice(self) -> None:
        """
        Hello and knock are said once.
        """
        for frame in (HELLO, KNOCK):
            one = session(HELLO)
            one.send(frame)

            self.assertRaises(LocalProtocolError, one.send, frame)

            self.assertEqual(SessionState.OPEN, one.state)
        self.assertTrue(one.have_knocked)

    def test_stranger_is_told_nothing(self) -> None:
        """
        What we hold is told to those alone whom we let in.
        """
        self.assertRaises(LocalProtocolError, session(KNOWING).send, HAVE)
        self.assertEqual(encode_frame(HAVE) + b"\n", session(KNOWING, lets_them_in=True).send(HAVE))

    def test_entries_take_two_who_let_each_other_in(self) -> None:
        """
        Entries and whereabouts are for two who have both let the other one in.
        """
        for frame in FOR_FRIENDS:
            for one in (session(HELLO), session(KNOWING), session(HELLO, lets_them_in=True)):
                self.assertRaises(LocalProtocolError, one.send, frame)
            one = session(KNOWING, lets_them_in=True)
            self.assertEqual(encode_frame(frame) + b"\n", one.send(frame))

    def test_bye_is_the_last_word(self) -> None:
        """
        After our goodbye we neither say nor hear anything.
        """
        one = session(HELLO)

        one.send(Bye(code="stop"))

        self.assertEqual(SessionState.CLOSED, one.state)
        self.assertRaises(LocalProtocolError, one.send, Bye(code="stop"))
        self.assertIsNone(one.receive_line(encode_frame(HELLO)))

    def test_too_large_a_frame_is_refused(self) -> None:
        """
        What does not fit is a mistake of ours, and closes nothing.
        """
        one = session(HELLO)

        self.assertRaises(LocalProtocolError, one.send, Bye(code="stop", text="x" * LARGEST_FRAME))


class PairTests(SynchronousTestCase):
    """
    Both ends together.
    """

    def test_both_find_the_same_rank(self) -> None:
        """
        The dialler's key and number decide, and both sides know them.
        """
        ends = Ends()
        self.assertEqual(ends.ours.rank, (ANN > BOB, 0))
        self.assertEqual(ends.theirs.rank, (ANN > BOB, 0))

        ends.theirs.receive_line(ends.ours.send(Hello(v=2, name="Ann", port=1, dial=77))[:-1])
        ends.tell(HELLO)

        self.assertEqual((ANN > BOB, 77), ends.ours.rank)
        self.assertEqual(ends.ours.rank, ends.theirs.rank)

    def test_higher_key_wins_then_the_later_dial(self) -> None:
        """
        Among sessions of two nodes the order is total, whoever looks.
        """
        ranks = [
            rank_of(LOWER, HIGHER, 5),
            rank_of(LOWER, HIGHER, 6),
            rank_of(HIGHER, LOWER, 1),
            rank_of(HIGHER, LOWER, 2),
        ]

        self.assertEqual(ranks, sorted(ranks))
        self.assertEqual(4, len(set(ranks)))

    @given(st.lists(st.tuples(st.booleans(), frames() | st.binary(max_size=30)), max_size=12))
    def test_any_talk_ends_well(self, talk: list[tuple[bool, Frame | bytes]]) -> None:
        """
        Whatever comes, and whatever we want to say, a session raises only what it promises.

        A state is never left backwards, and what one end may say the other one takes.
        """
        ends = Ends()
        ends.ours.lets_them_in = ends.theirs.lets_them_in = True
        seen = [ends.ours.state]
        for is_said, what in talk:
            try:
                if isinstance(what, bytes):
                    ends.ours.receive_line(what)
                elif is_said:
                    ends.ours.send(what)
                else:
                    line = ends.theirs.send(what)
                    ends.ours.receive_line(line[:-1])
            except ProtocolError:
                pass
            seen.append(ends.ours.state)

        order = list(SessionState)
        self.assertEqual(seen, sorted(seen, key=order.index))
