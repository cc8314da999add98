"""
Frames: what is read is what was written, and nothing that can be sent breaks the reader.
"""

import json

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import frames, said_things, socket_bytes
from twistedchat.core.entries import (
    LARGEST_BODY,
    LARGEST_NUMBER,
    NOTHING,
    TEXT,
    Run,
    Said,
    sign_run,
)
from twistedchat.core.errors import LocalProtocolError, RemoteProtocolError
from twistedchat.core.frames import (
    LARGEST_FRAME,
    LONGEST_KNOCK,
    LONGEST_REASON,
    MOST_AUTHORS,
    MOST_ROOMS,
    MOST_SOUGHT,
    MOST_TOLD,
    ROOM_IN_RUN,
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
    decode_frame,
    encode_frame,
    frame_of_run,
    run_of_frame,
    size_of,
)
from twistedchat.core.identity import Identity

QUOKKA = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
HASH = "0f" * 32
HINT = "1e0f" * 8
SIGNATURE = "2d0f" * 32
FULL_HEAD = (LARGEST_NUMBER, HASH)

# One of each, as it stands on the wire.
WRITTEN: dict[str, Frame] = {
    '{"t":"hello","v":2,"name":"Quokka","port":6101,"dial":17,"knows":true,"features":["a-b"]}': (
        Hello(v=2, name="Quokka", port=6101, dial=17, knows=True, features=("a-b",))
    ),
    '{"t":"hello","v":3,"name":"Quokka","port":6101}': Hello(v=3, name="Quokka", port=6101),
    '{"t":"knock","text":"It is me"}': Knock(text="It is me"),
    f'{{"t":"have","rooms":{{"{HASH}":{{"{HASH}":[7,"{HASH}"]}}}}}}': (
        Have(rooms={HASH: {HASH: (7, HASH)}})
    ),
    (
        f'{{"t":"run","room":"{HASH}","author":"{HASH}","seq":1,"prev":"{HASH}",'
        f'"said":[[5,"text","hi"]],"sig":"{SIGNATURE}"}}'
    ): RunFrame(
        room=HASH, author=HASH, seq=1, prev=HASH, said=(Said(5, "text", "hi"),), sig=SIGNATURE
    ),
    f'{{"t":"seek","salt":"{HINT}","hints":["{HINT}"]}}': Seek(salt=HINT, hints=(HINT,)),
    f'{{"t":"met","salt":"{HINT}","peers":{{"{HINT}":["10.0.0.1:6101"]}}}}': (
        Met(salt=HINT, peers={HINT: ("10.0.0.1:6101",)})
    ),
    '{"t":"ping"}': Ping(),
    '{"t":"pong"}': Pong(),
    '{"t":"bye","code":"exit"}': Bye(code="exit"),
    '{"t":"bye","code":"no-hello","text":"So long"}': Bye(code="no-hello", text="So long"),
}


def run_line(said: str = '[5,"text","hi"]', seq: str = "1") -> bytes:
    """
    A run that says something written by hand.
    """
    return (
        f'{{"t":"run","room":"{HASH}","author":"{HASH}","seq":{seq},"prev":"{HASH}",'
        f'"said":[{said}],"sig":"{SIGNATURE}"}}'
    ).encode()


class FrameTests(SynchronousTestCase):
    """
    `encode_frame` and `decode_frame`.
    """

    def refuse(self, line: bytes, code: str = "broken-frame") -> str:
        """
        See that a line is refused.

        Returns:
            What is said about it.
        """
        with self.assertRaises(RemoteProtocolError) as caught:
            decode_frame(line)
        self.assertEqual(code, caught.exception.code)
        return str(caught.exception)

    def test_each_frame_is_written_and_read_as_specified(self) -> None:
        """
        What stands on the wire does not change.
        """
        for line, frame in WRITTEN.items():
            self.assertEqual(line.encode(), encode_frame(frame))
            self.assertEqual(frame, decode_frame(line.encode()))

    @given(frame=frames())
    def test_written_frame_is_read_back(self, frame: Frame) -> None:
        """
        What was said is what is heard, in one line.
        """
        line = encode_frame(frame)

        self.assertEqual(frame, decode_frame(line))
        self.assertNotIn(b"\n", line)
        self.assertNotIn(b"\r", line)
        self.assertLessEqual(len(line), LARGEST_FRAME)

    @given(frame=frames())
    def test_other_writers_are_understood(self, frame: Frame) -> None:
        """
        Escapes, white space and the order of members are the writer's choice.
        """
        members = json.loads(encode_frame(frame))
        shuffled = dict(reversed(members.items()))

        for line in (
            json.dumps(members),
            json.dumps(members, ensure_ascii=False, indent=1).replace("\n", " \r"),
            json.dumps(shuffled, separators=(" ,\t", " : ")),
        ):
            self.assertEqual(frame, decode_frame(line.encode()))

    @given(
        line=socket_bytes([line.encode() for line in WRITTEN])
        | st.sampled_from([line.encode() for line in WRITTEN]).flatmap(
            lambda line: st.builds(
                lambda place, octet: line[:place] + octet + line[place + 1 :],
                st.integers(0, len(line)),
                st.binary(max_size=2),
            )
        )
    )
    def test_any_bytes_are_read_or_refused(self, line: bytes) -> None:
        """
        Nothing else happens; and what is read can be said again, in no more bytes.
        """
        try:
            frame = decode_frame(line)
        except RemoteProtocolError as error:
            self.assertEqual("broken-frame", error.code)
            return
        if frame is not None:
            again = encode_frame(frame)
            self.assertLessEqual(len(again), len(line))
            self.assertEqual(frame, decode_frame(again))

    def test_unknown_frames_are_passed_over(self) -> None:
        """
        A later version can say more, in frames and in members.
        """
        for line in (
            b'{"t":"novel"}',
            b'{"t":""}',
            b'{"t":"Hello"}',
            b'{"t":"novel","v":"x","rooms":[[{}]],"n":1e3,"u":null}',
            b'{"rooms":[],"t":"novel"}',
        ):
            self.assertIsNone(decode_frame(line))
        self.assertEqual(Ping(), decode_frame(b'{"t":"ping","when":[1,{"a":null}],"v":1e999}'))
        self.assertEqual(Knock(text="b"), decode_frame(b'{"x":1,"text":"b","t":"knock","y":2}'))

    def test_what_is_no_frame_is_refused(self) -> None:
        """
        A frame is an object with a tag, and nothing behind it.
        """
        for line in (
            b"",
            b" ",
            b"{}",
            b"[]",
            b"null",
            b"7",
            b'"ping"',
            b'["ping"]',
            b'{"t":7}',
            b'{"t":null}',
            b'{"t":["ping"]}',
            b'{"T":"ping"}',
            b'{"t":"ping"}{"t":"ping"}',
            b'{"t":"ping"},',
            b'{"t":"ping"',
            b'{"t":"novel"',
            b'{"t":"novel",}',
            b"{'t':'ping'}",
            b'\xef\xbb\xbf{"t":"ping"}',
            '{"t":"ping"}'.encode("utf-16"),
            b"hello there",
        ):
            self.refuse(line)

    def test_missing_and_wrong_members_are_refused(self) -> None:
        """
        What a frame needs has to be there, and of its kind.
        """
        optional = {"dial", "knows", "features"}
        for line, frame in WRITTEN.items():
            members = json.loads(line)
            del members["t"]
            for name, value in members.items():
                wrongs: tuple[object, ...] = (None, 7.5, -1, 7, "\u00e9", [[]], {"": 0}, True)
                for wrong in wrongs:
                    if type(wrong) is not type(value):
                        self.refuse(json.dumps(json.loads(line) | {name: wrong}).encode())
                if name not in optional and not isinstance(frame, Bye):
                    rest = json.loads(line)
                    del rest[name]
                    self.refuse(json.dumps(rest).encode())
        self.refuse(b'{"t":"bye"}')

    def test_bounds_of_hello(self) -> None:
        """
        Versions before this one, names and ports out of bounds.
        """
        good = {"t": "hello", "v": 2, "name": "Quokka", "port": 6101}
        bounds: tuple[tuple[str, tuple[object, ...], tuple[object, ...]], ...] = (
            ("v", (2, LARGEST_NUMBER), (1, 0, -2, LARGEST_NUMBER + 1, "2", 2.0)),
            ("name", ("x", "x" * 64, "\U0001f44b" * 64), ("", "x" * 65)),
            ("port", (1, 65535), (0, 65536, -1, "6101")),
            ("dial", (0, LARGEST_NUMBER), (-1, LARGEST_NUMBER + 1, 2**64, 10**30)),
            ("features", ([], ["a"] * 32), (["a"] * 33, [""], ["A"], ["a\n"], ["a b"], "a")),
        )
        for name, taken, refused in bounds:
            for value in taken:
                self.assertIsInstance(
                    decode_frame(json.dumps(good | {name: value}).encode()), Hello
                )
            for value in refused:
                self.refuse(json.dumps(good | {name: value}).encode())

    def test_bounds_of_texts(self) -> None:
        """
        A stranger may say two sentences, and why a session ends is said in a few.
        """
        for character in ("x", "\U0001f44b", "\u0000"):
            knock = Knock(text=character * LONGEST_KNOCK)
            self.assertEqual(knock, decode_frame(encode_frame(knock)))
            self.refuse(encode_frame(Knock(text=character * (LONGEST_KNOCK + 1))))
        self.refuse(encode_frame(Bye(code="exit", text="x" * 301)))
        self.refuse(encode_frame(Bye(code="")))
        self.refuse(encode_frame(Bye(code="x" * 33)))

    def test_other_digits_are_refused(self) -> None:
        """
        There is one way to write a hash, a hint and a signature; a line break is not part of it.
        """
        for digits in (HASH, SIGNATURE, HINT):
            for wrong in (
                digits[:-1],
                digits + "0",
                digits.upper(),
                digits + "\\n",
                digits[:-1] + "\\n",
                digits[:-1] + " ",
                digits.replace("0", "\uff10"),
                "",
            ):
                self.assertNotEqual(digits, wrong)
                for line in WRITTEN:
                    parts = line.split(f'"{digits}"')
                    for place in range(1, len(parts)):
                        before, after = (
                            f'"{digits}"'.join(p) for p in (parts[:place], parts[place:])
                        )
                        self.refuse(f'{before}"{wrong}"{after}'.encode())

    def test_line_break_ends_no_word(self) -> None:
        """
        A word has no line break at its end.
        """
        self.refuse(b'{"t":"bye","code":"exit\\n"}')
        self.refuse(b'{"t":"hello","v":2,"name":"Q","port":1,"features":["a\\n"]}')

    def test_numbers_are_integers_within_bounds(self) -> None:
        """
        Nothing that JSON readers read in different ways.
        """
        for number in (
            "0",
            "-1",
            str(LARGEST_NUMBER + 1),
            str(2**63),
            str(2**64),
            "1" + "0" * 400,
            "1" + "0" * 5000,
            "1.0",
            "1e3",
            "1e400",
            "1e99999999999",
            "1." + "0" * 5000,
            "-0.0",
            "01",
            "+1",
            "0x1",
            "NaN",
            "Infinity",
            "true",
            "null",
            '"1"',
            "[1]",
        ):
            self.refuse(run_line(seq=number))
        self.assertIsInstance(decode_frame(run_line(seq=str(LARGEST_NUMBER))), RunFrame)

    def test_doubled_members_count_as_the_last(self) -> None:
        """
        Of two members with one name the last counts; of two tags neither, if they differ.
        """
        self.assertEqual(Knock(text="b"), decode_frame(b'{"t":"knock","text":"a","text":"b"}'))
        self.refuse(b'{"t":"knock","text":"a","text":7}')
        self.refuse(b'{"t":"ping","t":"pong"}')

    def test_deep_nesting_is_refused(self) -> None:
        """
        However deep it goes, it is no more than a broken frame.
        """
        for opening, closing in (("[", "]"), ('{"a":', "}"), ('{"t":', "}"), ('[{"t":', "}]")):
            for depth in (1_000, 5_000, 12_000):
                if len(opening) * depth < LARGEST_FRAME - 100:
                    nest = opening * depth
                    self.refuse(nest.encode())
                    whole = nest + "0" + closing * depth
                    if len(whole) < LARGEST_FRAME - 100:
                        self.refuse(whole.encode())
                        self.refuse(b'{"t":"knock","text":%s}' % whole.encode())
        for tag in ("ping", "novel"):
            self.refuse(b'{"t":"%s","x":%s0%s}' % (tag.encode(), b"[" * 30_000, b"]" * 30_000))

    def test_half_characters_are_refused(self) -> None:
        """
        Lone surrogates have no UTF-8, as escapes or as bytes.
        """
        for said in (
            '[5,"text","\\ud800"]',
            '[5,"text","\\udfff"]',
            '[5,"text","\\ud800\\u0041"]',
            '[5,"text","\\udc4b\\ud83d"]',
            '[5,"text","\\ud83d\\ud83d\\udc4b"]',
        ):
            self.refuse(run_line(said))
        self.refuse(run_line('[5,"text","*"]').replace(b"*", b"\xed\xa0\x80"))
        self.refuse(run_line('[5,"text","*"]').replace(b"*", b"\xc0\x80"))
        self.refuse(run_line('[5,"text","*"]').replace(b"*", b"\xff"))
        frame = decode_frame(run_line('[5,"text","\\ud83d\\udc4b\\u0000"]'))
        assert isinstance(frame, RunFrame)
        self.assertEqual("\U0001f44b\0", frame.said[0].body)

    def test_raw_control_characters_are_refused(self) -> None:
        """
        They stand in a string as escapes, or not at all.
        """
        for code in range(0x20):
            self.refuse(run_line('[5,"text","*"]').replace(b"*", bytes([code])))
            self.assertIsInstance(decode_frame(run_line(f'[5,"text","\\u{code:04x}"]')), RunFrame)

    def test_more_said_than_is_signed_is_refused(self) -> None:
        """
        An entry has three parts: a fourth would not be in its written form.
        """
        for said in ("", "[]", '[5,"text"]', '[5,"text","hi",0]', '{"time":5}', '["text",5,"hi"]'):
            self.refuse(run_line(said))

    def test_large_frames_are_refused(self) -> None:
        """
        What is longer than it may be is not even read.
        """
        full = b'{"t":"ping"}'.ljust(LARGEST_FRAME)

        self.assertEqual(Ping(), decode_frame(full))
        self.refuse(full + b" ", "large-frame")
        self.refuse(bytes(LARGEST_FRAME + 1), "large-frame")

    def test_large_frames_are_not_written(self) -> None:
        """
        What is too long is a mistake of ours, and never goes out.
        """
        empty = len(encode_frame(Bye(code="exit", text="x"))) - 1
        fitting = Bye(code="exit", text="x" * (LARGEST_FRAME - empty))

        self.assertEqual(LARGEST_FRAME, len(encode_frame(fitting)))
        with self.assertRaisesRegex(LocalProtocolError, "65537 bytes: 65536 is the most"):
            encode_frame(Bye(code="exit", text=fitting.text + "x"))

    def test_half_characters_are_not_written(self) -> None:
        """
        What no UTF-8 can hold is a mistake of ours too.
        """
        with self.assertRaisesRegex(LocalProtocolError, "half a character"):
            encode_frame(Knock(text="\ud800"))

    def test_report_of_a_broken_frame_is_safe(self) -> None:
        """
        It can hold what the other side wrote: little of it, and disarmed.
        """
        said = self.refuse(b'{"t":"\\u001b[2J\\u202e","x"}')
        self.assertIn("\u241b[2J<U+202E>", said)

        for tag in ("x" * 60_000, "\\u202e" * 9_000):
            said = self.refuse(f'{{"t":"{tag}","x"}}'.encode())
            self.assertLessEqual(len(said), len("A broken frame: .") + LONGEST_REASON)


class BoundTests(SynchronousTestCase):
    """
    What may be said fits into one frame.
    """

    def fits(self, frame: Frame) -> int:
        """
        See that a frame can be said.

        Returns:
            Its size.
        """
        line = encode_frame(frame)
        self.assertEqual(frame, decode_frame(line))
        return len(line)

    def test_largest_body_fits(self) -> None:
        """
        Any body of the largest size fits, alone: control characters take six times their size.
        """
        for character in (
            "\x01",
            "\x00",
            "\x1f",
            '"',
            "\\",
            "\x7f",
            "\u0080",
            "\u2028",
            "\U0001f44b",
        ):
            body = character * (LARGEST_BODY // len(character.encode()))
            said = Said(LARGEST_NUMBER, "t" * 32, body)
            run, _ = sign_run(QUOKKA, bytes([255] * 32), LARGEST_NUMBER, bytes([255] * 32), (said,))
            self.assertLessEqual(size_of(said), ROOM_IN_RUN)
            self.fits(frame_of_run(run))
            # Even where somebody writes all of it as escapes.
            escaped = json.dumps(body).replace("\x7f", "\\u007f")
            line = encode_frame(frame_of_run(run)).replace(
                msgspec.json.encode(body), escaped.encode()
            )
            self.assertEqual(frame_of_run(run), decode_frame(line))

    def test_escaped_letters_fit(self) -> None:
        """
        A writer that escapes even letters takes six bytes for each.
        """
        escaped = r"\u0061" * LARGEST_BODY

        frame = decode_frame(run_line(f'[{LARGEST_NUMBER},"{"t" * 32}","{escaped}"]'))

        assert isinstance(frame, RunFrame)
        self.assertEqual("a" * LARGEST_BODY, frame.said[0].body)

    @given(said=st.lists(said_things(), min_size=1, max_size=6).map(tuple))
    def test_size_of_tells_what_a_run_takes(self, said: tuple[Said, ...]) -> None:
        """
        With the room that is kept for the rest, what is counted fits.
        """
        frame = RunFrame(
            room=HASH, author=HASH, seq=LARGEST_NUMBER, prev=HASH, said=said, sig=SIGNATURE
        )

        size = len(encode_frame(frame))

        self.assertLessEqual(size, sum(map(size_of, said)) + LARGEST_FRAME - ROOM_IN_RUN)

    def test_many_conversations_fit(self) -> None:
        """
        Conversations of two, as many as there may be rooms.
        """
        rooms = {
            f"{room:064x}": {f"{n:064x}": FULL_HEAD for n in (1, 2)} for room in range(MOST_ROOMS)
        }

        size = self.fits(Have(rooms=rooms))

        # So that what the comment beside the bound says is true.
        self.assertLessEqual(size, 25 + MOST_ROOMS * (70 + 2 * 153))

    def test_one_large_room_fits(self) -> None:
        """
        One room with as many authors as there may be.
        """
        authors = {f"{author:064x}": FULL_HEAD for author in range(MOST_AUTHORS)}

        self.fits(Have(rooms={HASH: authors}))

    def test_more_rooms_and_authors_are_refused(self) -> None:
        """
        Both have a bound, even where what is said of each is short.
        """
        for have in (
            Have(rooms={f"{room:064x}": {} for room in range(MOST_ROOMS + 1)}),
            Have(rooms={HASH: {f"{who:064x}": (0, HASH) for who in range(MOST_AUTHORS + 1)}}),
        ):
            with self.assertRaises(RemoteProtocolError) as caught:
                decode_frame(encode_frame(have))
            self.assertEqual("broken-frame", caught.exception.code)

    def test_all_that_are_sought_fit(self) -> None:
        """
        As many hints as there may be, and the longest IP addresses for each.
        """
        hints = tuple(f"{hint:032x}" for hint in range(MOST_SOUGHT))
        longest = "[fe80:1111:2222:3333:4444:5555:6666:7777%enp0s20f0u1u2u3]:65535"

        self.fits(Seek(salt=HINT, hints=hints))
        self.fits(Met(salt=HINT, peers=dict.fromkeys(hints, (longest,) * MOST_TOLD)))
        for frame in (
            Seek(salt=HINT, hints=(*hints, HINT)),
            Met(salt=HINT, peers=dict.fromkeys((*hints, HINT), ())),
            Met(salt=HINT, peers={HINT: (longest,) * (MOST_TOLD + 1)}),
            Met(salt=HINT, peers={HINT: ("x" * 301,)}),
        ):
            with self.assertRaises(RemoteProtocolError):
                decode_frame(encode_frame(frame))


class RunFrameTests(SynchronousTestCase):
    """
    `frame_of_run` and `run_of_frame`.
    """

    def test_run_is_read_back(self) -> None:
        """
        A run becomes a frame and a run again.
        """
        run, _ = sign_run(QUOKKA, bytes(range(32)), 1, NOTHING, (Said(1, TEXT, "hi"),))

        frame = frame_of_run(run)

        self.assertEqual(str(QUOKKA.key), frame.author)
        self.assertEqual(run, run_of_frame(frame))

    def test_author_that_is_no_key_is_refused(self) -> None:
        """
        Sixty-four digits can be a key that proves nothing.
        """
        run = Run(bytes(32), QUOKKA.key, 1, NOTHING, (Said(1, TEXT, "hi"),), bytes(64))
        frame = msgspec.structs.replace(frame_of_run(run), author="00" * 32)

        with self.assertRaises(RemoteProtocolError) as caught:
            run_of_frame(frame)

        self.assertEqual("bad-key", caught.exception.code)
