"""
Entries: what is signed, how they hang together, and that nothing in them can be another.
"""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import device_keys, identities, said_things
from twistedchat.core.entries import (
    LARGEST_BODY,
    LARGEST_NUMBER,
    MOST_AHEAD,
    NOTHING,
    TEXT,
    Entry,
    Run,
    Said,
    check_run,
    direct_room,
    next_time,
    sign_run,
    written_form,
)
from twistedchat.core.errors import InvalidKey, LocalProtocolError, RemoteProtocolError
from twistedchat.core.frames import RunFrame, decode_frame, encode_frame, frame_of_run, run_of_frame
from twistedchat.core.identity import DeviceKey, Identity

QUOKKA = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
PANDA = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))
ROOM = direct_room(QUOKKA.key, PANDA.key)
BEFORE = sha256(b"what was said before").digest()
SAID = (
    Said(1_700_000_000_000_000, TEXT, "see you at nine"),
    Said(1_700_000_000_000_001, "mark-read", ""),
    Said(1_700_000_000_000_002, TEXT, "ok \u4f60\u597d \x00 \U0001f44b"),
)
RUN, ENTRIES = sign_run(QUOKKA, ROOM, 5, BEFORE, SAID)


def bits(octets: bytes) -> Iterator[bytes]:
    """
    The same octets, each time with another bit changed.
    """
    for bit in range(len(octets) * 8):
        changed = bytearray(octets)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def with_said(run: Run, index: int, said: Said) -> Run:
    """
    The same run, with something else said in one place.
    """
    return replace(run, said=(*run.said[:index], said, *run.said[index + 1 :]))


class DirectRoomTests(SynchronousTestCase):
    """
    `direct_room`.
    """

    @given(one=device_keys(), other=device_keys(), third=device_keys())
    def test_room_is_that_of_both(self, one: DeviceKey, other: DeviceKey, third: DeviceKey) -> None:
        """
        Both ends find the same room, and no two others do.
        """
        room = direct_room(one, other)

        self.assertEqual(room, direct_room(other, one))
        self.assertEqual(32, len(room))
        self.assertEqual({one, other} == {one, third}, room == direct_room(one, third))


class NextTimeTests(SynchronousTestCase):
    """
    `next_time`.
    """

    def test_clock_ahead_counts(self) -> None:
        """
        Where our clock is right, it is the time.
        """
        self.assertEqual(1_700_000_000_500_000, next_time(1_700_000_000.5, 0))

    def test_clock_behind_follows_what_was_seen(self) -> None:
        """
        An answer never stands before its question, not even in the same microsecond.
        """
        self.assertEqual(8_000_001, next_time(7.0, 8_000_000))
        self.assertEqual(8_000_001, next_time(8.0, 8_000_000))

    @given(
        now=st.floats(-1e12, 1e12),
        last=st.integers(0, LARGEST_NUMBER - 1) | st.just(LARGEST_NUMBER),
    )
    def test_any_clock_gives_a_time_that_may_be_said(self, now: float, last: int) -> None:
        """
        However wrong a clock is: later than the last that counts, until there are no more numbers.
        """
        time = next_time(now, last)

        self.assertTrue(0 <= time <= LARGEST_NUMBER)
        counts = last <= int(now * 1_000_000) + MOST_AHEAD
        self.assertTrue(time > last or time == last == LARGEST_NUMBER or not counts)

    def test_time_up_to_a_year_ahead_is_followed(self) -> None:
        """
        Somebody whose clock is wrong by a year is still answered after they have asked.
        """
        self.assertEqual(MOST_AHEAD + 7_000_001, next_time(7.0, MOST_AHEAD + 7_000_000))

    def test_time_more_than_a_year_ahead_does_not_count(self) -> None:
        """
        Nobody can take the clock of a room away: ours goes on as it is.
        """
        self.assertEqual(7_000_000, next_time(7.0, MOST_AHEAD + 7_000_001))
        self.assertEqual(7_000_000, next_time(7.0, LARGEST_NUMBER))

    def test_clock_before_the_epoch_says_no_negative_time(self) -> None:
        """
        Where the last time does not count and our clock is before 1970, it is the first there is.
        """
        self.assertEqual(0, next_time(-1e9, LARGEST_NUMBER))


# Few values for each field, and such as could run into each other.
ROOMS = st.sampled_from([bytes(32), bytes(31) + b"t", b"t" + bytes(31)])
KEYS = st.sampled_from([DeviceKey(bytes(32)), DeviceKey(bytes(31) + b"t"), QUOKKA.key])
NUMBERS = st.sampled_from([0, 1, 4, 0x74, 0x100, 0x74 << 56])
PREVS = st.sampled_from([NOTHING, bytes(31) + b"t", b"t" + bytes(31)])
SAIDS = st.builds(
    Said, NUMBERS, st.text("at", min_size=1, max_size=3), st.text("at\x00\x01\x04", max_size=4)
)
PLACES = st.tuples(ROOMS, KEYS, NUMBERS, PREVS, SAIDS)


class WrittenFormTests(SynchronousTestCase):
    """
    `written_form`.
    """

    def test_written_form_is_as_specified(self) -> None:
        """
        A fixed head, the kind with its length before it, and the body at the end.
        """
        said = Said(0x0102030405060708, "text", "h\u00e9")
        expected = (
            b"twistedchat entry 1\n"
            + ROOM
            + QUOKKA.key.raw
            + bytes.fromhex("0000000000000105")
            + BEFORE
            + bytes.fromhex("0102030405060708 04")
            + b"texth\xc3\xa9"
        )

        self.assertEqual(expected, written_form(ROOM, QUOKKA.key, 0x105, BEFORE, said))

    @given(one=PLACES, other=PLACES)
    def test_different_entries_have_different_forms(
        self,
        one: tuple[bytes, DeviceKey, int, bytes, Said],
        other: tuple[bytes, DeviceKey, int, bytes, Said],
    ) -> None:
        """
        Nothing can move over from one field to the next.
        """
        self.assertEqual(one == other, written_form(*one) == written_form(*other))

    def test_kind_and_body_do_not_run_together(self) -> None:
        """
        Where a kind ends is written down.
        """
        forms = {
            written_form(ROOM, QUOKKA.key, 1, NOTHING, Said(1, "textual"[:cut], "textual"[cut:]))
            for cut in range(1, 8)
        }

        self.assertEqual(7, len(forms))


class RunTests(SynchronousTestCase):
    """
    `sign_run` and `check_run`.
    """

    def test_entries_hang_together(self) -> None:
        """
        Each has its number and the hash of the one before; the last one is signed.
        """
        self.assertEqual([5, 6, 7], [entry.seq for entry in ENTRIES])
        self.assertEqual(
            [BEFORE, *(entry.hash for entry in ENTRIES[:-1])], [e.prev for e in ENTRIES]
        )
        self.assertEqual(SAID, tuple(entry.said for entry in ENTRIES))
        self.assertEqual([b"", b"", RUN.signature], [entry.signature for entry in ENTRIES])
        for entry in ENTRIES:
            form = written_form(entry.room, entry.author, entry.seq, entry.prev, entry.said)
            self.assertEqual((ROOM, QUOKKA.key), (entry.room, entry.author))
            self.assertEqual(sha256(form).digest(), entry.hash)
        self.assertTrue(QUOKKA.key.has_signed(RUN.signature, form))

    @given(
        identity=identities(),
        room=st.binary(min_size=32, max_size=32),
        seq=st.integers(1, 3) | st.integers(1, LARGEST_NUMBER - 9),
        prev=st.binary(min_size=32, max_size=32).filter(lambda prev: prev != NOTHING),
        said=st.lists(said_things(), min_size=1, max_size=5).map(tuple),
    )
    def test_any_run_arrives_as_it_went(
        self, identity: Identity, room: bytes, seq: int, prev: bytes, said: tuple[Said, ...]
    ) -> None:
        """
        Signed, written as a frame, read and checked, the entries are the same.
        """
        before = NOTHING if seq == 1 else prev

        run, entries = sign_run(identity, room, seq, before, said)
        frame = decode_frame(encode_frame(frame_of_run(run)))

        assert isinstance(frame, RunFrame)
        self.assertEqual(run, run_of_frame(frame))
        self.assertEqual(entries, check_run(run_of_frame(frame)))

    @given(said=st.lists(said_things(), min_size=2, max_size=6), cut=st.integers(1, 5))
    def test_run_in_two_parts_is_the_same_chain(self, said: list[Said], cut: int) -> None:
        """
        It makes no difference in how many runs something is said.
        """
        first, second = tuple(said[:cut]), tuple(said[cut:])

        whole = sign_run(QUOKKA, ROOM, 1, NOTHING, (*first, *second))[1]
        begun = sign_run(QUOKKA, ROOM, 1, NOTHING, first)[1]
        rest: tuple[Entry, ...] = ()
        if second:
            rest = sign_run(QUOKKA, ROOM, 1 + len(first), begun[-1].hash, second)[1]

        self.assertEqual([e.hash for e in whole], [e.hash for e in (*begun, *rest)])
        self.assertEqual(whole[-1], (*begun, *rest)[-1])

    def test_prefix_under_another_signature_is_the_same(self) -> None:
        """
        Who hands on a part that ends with a signature hands on what its author signed.
        """
        begun, first = sign_run(QUOKKA, ROOM, 1, NOTHING, SAID[:2])
        _, second = sign_run(QUOKKA, ROOM, 3, first[-1].hash, SAID[2:])

        together = Run(ROOM, QUOKKA.key, 1, NOTHING, SAID, second[-1].signature)

        self.assertEqual(first, check_run(begun))
        self.assertEqual([e.hash for e in (*first, *second)], [e.hash for e in check_run(together)])

    def refused(self, run: Run, code: str) -> None:
        """
        See that a run is refused.
        """
        with self.assertRaises(RemoteProtocolError) as caught:
            check_run(run)
        self.assertEqual(code, caught.exception.code)

    def test_unchanged_run_is_taken(self) -> None:
        """
        So that what the next tests find is the change.
        """
        self.assertEqual(ENTRIES, check_run(RUN))

    def test_any_other_room_or_place_is_refused(self) -> None:
        """
        No bit of the room and of the hash before can be another: nothing can be replayed elsewhere.
        """
        for room in bits(ROOM):
            self.refused(replace(RUN, room=room), "bad-signature")
        for prev in bits(BEFORE):
            self.refused(replace(RUN, prev=prev), "bad-signature")

    def test_any_other_author_is_refused(self) -> None:
        """
        No bit of the author's key can be another.
        """
        for raw in bits(QUOKKA.key.raw):
            self.refused(replace(RUN, author=DeviceKey(raw)), "bad-signature")
        self.refused(replace(RUN, author=PANDA.key), "bad-signature")

    def test_any_other_signature_is_refused(self) -> None:
        """
        No bit of the signature can be another, and there is none of another length.
        """
        for signature in bits(RUN.signature):
            self.refused(replace(RUN, signature=signature), "bad-signature")
        for signature in (b"", RUN.signature[:-1], RUN.signature + b"\0", PANDA.sign(b"")):
            self.refused(replace(RUN, signature=signature), "bad-signature")

    def test_any_other_number_is_refused(self) -> None:
        """
        No bit of the number can be another.
        """
        for bit in range(53):
            seq = RUN.seq ^ 1 << bit
            code = "bad-prev" if seq == 1 else "bad-signature"
            self.refused(replace(RUN, seq=seq), code)

    def test_anything_else_said_is_refused(self) -> None:
        """
        No bit of a time, and no character of a kind or a body, can be another in any of them.
        """
        for index, said in enumerate(SAID):
            for bit in range(53):
                other = msgspec.structs.replace(said, time=said.time ^ 1 << bit)
                self.refused(with_said(RUN, index, other), "bad-signature")
            for kind in ("tex", "textt", "text-", "tezt", said.kind[:-1] + "q"):
                other = msgspec.structs.replace(said, kind=kind)
                self.refused(with_said(RUN, index, other), "bad-signature")
            for place in range(len(said.body)):
                character = chr(ord(said.body[place]) ^ 1)
                body = said.body[:place] + character + said.body[place + 1 :]
                other = msgspec.structs.replace(said, body=body)
                self.refused(with_said(RUN, index, other), "bad-signature")
            for body in (said.body + "\0", said.body + " ", "\0" + said.body):
                other = msgspec.structs.replace(said, body=body)
                self.refused(with_said(RUN, index, other), "bad-signature")

    def test_any_other_order_is_refused(self) -> None:
        """
        Nothing can be left out, said twice, or said in another order.
        """
        one, two, three = SAID
        for said in (
            (one, two),
            (one, three),
            (two, three),
            (three,),
            (one, three, two),
            (two, one, three),
            (three, two, one),
            (one, two, two, three),
            (one, two, three, three),
            (one, one, two, three),
        ):
            self.refused(replace(RUN, said=said), "bad-signature")
            self.refused(replace(RUN, said=said, seq=8 - len(said)), "bad-signature")

    def test_piece_of_a_run_is_refused(self) -> None:
        """
        What stands between two signatures is whole or nothing.
        """
        self.refused(replace(RUN, said=SAID[:2]), "bad-signature")
        # Its end is signed: without its beginning it is a run of its own.
        rest = replace(RUN, said=SAID[1:], seq=6, prev=ENTRIES[0].hash)
        self.assertEqual(ENTRIES[1:], check_run(rest))

    def test_any_bent_octet_on_the_wire_is_refused(self) -> None:
        """
        Whatever bit of the frame is another: it is refused, not understood, or the same run.
        """
        line = encode_frame(frame_of_run(RUN))
        outcomes: list[object] = []

        for bent in bits(line):
            try:
                frame = decode_frame(bent)
                outcomes.append(
                    check_run(run_of_frame(frame)) if isinstance(frame, RunFrame) else None
                )
            except RemoteProtocolError:
                outcomes.append("refused")

        self.assertEqual({"refused", None}, set(outcomes))
        # The three bytes of the tag, in all their bits that leave it a string.
        self.assertLessEqual(outcomes.count(None), 3 * 8)


class BoundsTests(SynchronousTestCase):
    """
    What may not be said is neither signed nor taken.
    """

    def refuse(
        self,
        code: str,
        said: tuple[Said, ...] = SAID,
        seq: int = 5,
        prev: bytes = BEFORE,
    ) -> None:
        """
        See that a run is refused on both sides.
        """
        with self.assertRaises(RemoteProtocolError) as caught:
            check_run(Run(ROOM, QUOKKA.key, seq, prev, said, bytes(64)))
        self.assertEqual(code, caught.exception.code)
        with self.assertRaisesRegex(LocalProtocolError, f"^{caught.exception}$"):
            sign_run(QUOKKA, ROOM, seq, prev, said)

    def take(self, said: tuple[Said, ...] = SAID, seq: int = 5, prev: bytes = BEFORE) -> None:
        """
        See that a run is taken on both sides.
        """
        run, entries = sign_run(QUOKKA, ROOM, seq, prev, said)
        self.assertEqual(entries, check_run(run))

    def test_nothing_is_no_run(self) -> None:
        """
        A run says something.
        """
        self.refuse("empty-run", ())

    def test_numbers_have_bounds(self) -> None:
        """
        They begin with 1, and end where JSON readers begin to err.
        """
        for seq in (0, -1, LARGEST_NUMBER - 1, LARGEST_NUMBER, LARGEST_NUMBER + 1, 2**64):
            self.refuse("bad-seq", seq=seq)
        self.take(seq=LARGEST_NUMBER - 2)
        self.take(SAID[:1], seq=LARGEST_NUMBER)
        self.take(seq=1, prev=NOTHING)

    def test_first_entry_alone_has_nothing_before_it(self) -> None:
        """
        What nobody's journal could hold is refused, and so never looks like a fork.
        """
        self.refuse("bad-prev", seq=1)
        self.refuse("bad-prev", prev=NOTHING)

    def test_times_have_bounds(self) -> None:
        """
        None before the epoch, and none that a JSON reader gets wrong.
        """
        for time in (-1, LARGEST_NUMBER + 1, 2**63, 2**64, 10**400):
            self.refuse("bad-time", (SAID[0], Said(time, TEXT, "")))
        for time in (0, LARGEST_NUMBER):
            self.take((SAID[0], Said(time, TEXT, "")))

    def test_kinds_are_words(self) -> None:
        """
        Lower-case letters and hyphens, up to 32.
        """
        for kind in (
            "",
            "Text",
            "-text",
            "a b",
            "text\n",
            "t\u00e9xt",
            "text1",
            "t" * 33,
            "\ud800",
            "\uff54",
        ):
            self.refuse("bad-kind", (SAID[0], Said(1, kind, "")))
        for kind in ("t", "t" * 32, "a-b--c-"):
            self.take((SAID[0], Said(1, kind, "")))

    def test_half_a_character_is_refused(self) -> None:
        """
        What has no UTF-8 has no written form.
        """
        for body in ("\ud800", "a" * 3000 + "\udfff", "\U0001f44b\udc4b"):
            self.refuse("bad-text", (Said(1, TEXT, body),))

    def test_bodies_are_counted_in_bytes(self) -> None:
        """
        What counts is their size as UTF-8.
        """
        for character in ("a", "\x00", "\u00e9", "\u4f60", "\U0001f44b"):
            size = len(character.encode())
            fitting = character * (LARGEST_BODY // size) + "a" * (LARGEST_BODY % size)
            self.assertEqual(LARGEST_BODY, len(fitting.encode()))
            self.take((Said(1, TEXT, fitting),))
            self.refuse("large-body", (Said(1, TEXT, fitting + "a"),))

    def test_key_that_anybody_can_sign_for_is_no_author(self) -> None:
        """
        A run in such a name is refused before its signature is looked at.
        """
        nobody = DeviceKey(b"\x01" + bytes(31))
        frame = frame_of_run(Run(ROOM, nobody, 5, BEFORE, SAID, nobody.raw + bytes(32)))

        with self.assertRaises(RemoteProtocolError) as caught:
            run_of_frame(frame)

        self.assertEqual("bad-key", caught.exception.code)
        self.assertIsInstance(caught.exception.__cause__, InvalidKey)
