"""
The vectors of the secure protocol: another program that finds the same values talks with ours.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from twistedchat.core.entries import (
    NOTHING,
    TEXT,
    Entry,
    Said,
    check_run,
    direct_room,
    sign_run,
    written_form,
)
from twistedchat.core.errors import RemoteProtocolError
from twistedchat.core.frames import (
    RunFrame,
    decode_frame,
    encode_frame,
    frame_of_run,
    run_of_frame,
)
from twistedchat.core.hints import hint_of, who_is_meant
from twistedchat.core.identity import Identity, key_of_certificate, parse_key
from twistedchat.core.invites import parse_invite
from twistedchat.core.rooms import (
    Membership,
    adding,
    founding,
    leaving,
    order_of,
    removing,
    room_of,
)
from twistedchat.core.words import verification_words

PAGE = Path(__file__).resolve().parent / "data" / "secure-vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(PAGE.read_text(encoding="utf-8"))


def vectors(what: str) -> Iterator[dict[str, Any]]:
    """
    Those of one kind.

    Yields:
        At least one vector.
    """
    found = [vector for vector in VECTORS if vector["what"] == what]
    assert found
    yield from found


def identity_of(vector: dict[str, Any]) -> Identity:
    """
    Whose secret a vector tells.
    """
    return Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["secret"])))


def entry_of(room: str, author: str, seq: int, time: int, kind: str, body: str) -> Entry:
    """
    What a vector tells of an entry; the rest makes no difference to who is in a room.
    """
    said = Said(time, kind, body)
    return Entry(bytes.fromhex(room), parse_key(author), seq, NOTHING, said, NOTHING)


def entries_of(vector: dict[str, Any]) -> list[Entry]:
    """
    What was said in a room of which a vector tells the members.
    """
    return [
        entry_of(vector["room"], vector["people"][who], seq, time, kind, body)
        for who, seq, time, kind, body in vector["entries"]
    ]


def members_of(vector: dict[str, Any], room: Membership) -> list[list[object]]:
    """
    Who is in a room, as a vector tells it.
    """
    people = vector["people"]
    return [
        [people.index(str(member.key)), member.name, member.is_in, member.last]
        for member in room.members()
    ]


class VectorTests(SynchronousTestCase):
    """
    ``tests/data/secure-vectors.json``.
    """

    def test_kinds_are_those_that_are_checked(self) -> None:
        """
        No vector is left out by all the tests below.
        """
        self.assertEqual(
            {
                *("key", "certificate", "words", "room", "hint", "entry", "run", "frame"),
                *("unknown", "broken", "found", "add", "remove", "leave", "members", "order"),
                "invite",
            },
            {vector["what"] for vector in VECTORS},
        )

    def test_keys(self) -> None:
        """
        From the secret key comes the device key.
        """
        for vector in vectors("key"):
            self.assertEqual(vector["key"], str(identity_of(vector).key))
            self.assertEqual(identity_of(vector).key, parse_key(vector["key"]))

    def test_certificates(self) -> None:
        """
        From the secret key comes the certificate, to the last bit.
        """
        for vector in vectors("certificate"):
            identity = identity_of(vector)
            der = identity.certificate().public_bytes(Encoding.DER)
            self.assertEqual(vector["der"], der.hex())
            self.assertEqual(vector["sha256"], sha256(der).hexdigest())
            self.assertEqual(identity.key, key_of_certificate(x509.load_der_x509_certificate(der)))

    def test_words(self) -> None:
        """
        Two keys have six words.
        """
        for vector in vectors("words"):
            one, other = map(parse_key, vector["keys"])
            self.assertEqual(vector["words"], list(verification_words(one, other)))

    def test_rooms(self) -> None:
        """
        Two keys have one room.
        """
        for vector in vectors("room"):
            one, other = map(parse_key, vector["keys"])
            self.assertEqual(vector["room"], direct_room(one, other).hex())
            self.assertEqual(vector["room"], direct_room(other, one).hex())

    def test_hints(self) -> None:
        """
        A key and a salt have one hint.
        """
        for vector in vectors("hint"):
            key, salt = parse_key(vector["key"]), bytes.fromhex(vector["salt"])
            self.assertEqual(vector["hint"], hint_of(key, salt))
            self.assertEqual({vector["hint"]: key}, who_is_meant([vector["hint"]], salt, [key]))

    def test_entries(self) -> None:
        """
        An entry has one written form, one hash, and one signature.
        """
        for vector in vectors("entry"):
            identity = identity_of(vector)
            room, prev = bytes.fromhex(vector["room"]), bytes.fromhex(vector["prev"])
            said = Said(vector["time"], vector["kind"], vector["body"])
            form = written_form(room, identity.key, vector["seq"], prev, said)
            run, (entry,) = sign_run(identity, room, vector["seq"], prev, (said,))

            self.assertEqual(vector["author"], str(identity.key))
            self.assertEqual(vector["form"], form.hex())
            self.assertEqual(vector["hash"], entry.hash.hex())
            self.assertEqual(vector.get("signature", run.signature.hex()), run.signature.hex())

    def test_runs(self) -> None:
        """
        What is signed stands in these lines, and what stands in these lines is signed.
        """
        secrets = {vector["key"]: identity_of(vector) for vector in vectors("key")}
        for vector in vectors("run"):
            frame = decode_frame(vector["bytes"].encode())
            assert isinstance(frame, RunFrame)
            run = run_of_frame(frame)
            entries = check_run(run)

            self.assertEqual(vector["hashes"], [entry.hash.hex() for entry in entries])
            again, _ = sign_run(secrets[frame.author], run.room, run.seq, run.prev, run.said)
            self.assertEqual(vector["bytes"].encode(), encode_frame(frame_of_run(again)))

    def test_frames(self) -> None:
        """
        Each is understood, and written the same way.
        """
        for vector in vectors("frame"):
            frame = decode_frame(vector["bytes"].encode())
            assert frame is not None
            self.assertEqual(vector["bytes"].encode(), encode_frame(frame))

    def test_unknown_frames(self) -> None:
        """
        These are passed over.
        """
        for vector in vectors("unknown"):
            self.assertIsNone(decode_frame(vector["bytes"].encode()))

    def test_broken_frames(self) -> None:
        """
        These end the session.
        """
        for vector in vectors("broken"):
            with self.assertRaises(RemoteProtocolError) as caught:
                frame = decode_frame(vector["bytes"].encode())
                assert isinstance(frame, RunFrame)
                check_run(run_of_frame(frame))
            self.assertEqual(vector["code"], caught.exception.code)

    def test_foundings(self) -> None:
        """
        A key and a nonce have one room, and its first entry tells both and what they are called.
        """
        for vector in vectors("found"):
            founder, nonce = parse_key(vector["founder"]), bytes.fromhex(vector["nonce"])
            self.assertEqual(vector["room"], room_of(founder, nonce).hex())
            self.assertEqual(
                ("found", vector["body"]), founding(vector["name"], nonce, vector["by"])
            )

            room = Membership(bytes.fromhex(vector["room"]))
            room.take([entry_of(vector["room"], vector["founder"], 1, 0, "found", vector["body"])])
            (member,) = room.members()
            self.assertEqual(
                (founder, vector["name"], nonce), (room.founder, room.name, room.nonce)
            )
            self.assertEqual((founder, vector["by"]), (member.key, member.name))

    def test_words_about_members(self) -> None:
        """
        What adds, removes and leaves is written in one way.
        """
        for vector in vectors("add"):
            said = adding(parse_key(vector["key"]), vector["name"], vector["left"])
            self.assertEqual(("add", vector["body"]), said)
        for vector in vectors("remove"):
            said = removing(parse_key(vector["key"]), vector["seq"])
            self.assertEqual(("remove", vector["body"]), said)
        for vector in vectors("leave"):
            nonce = bytes.fromhex(vector["nonce"])
            self.assertEqual(("leave", vector["body"]), leaving(nonce))

    def test_words_about_members_are_understood(self) -> None:
        """
        What adds and removes has its effect, and its number or nonce counts.
        """
        (found,) = vectors("found")
        room, founder = found["room"], found["founder"]
        for vector in (*vectors("add"), *vectors("remove")):
            key = parse_key(vector["key"])
            bodies = [("found", found["body"])]
            if vector["what"] == "remove":
                bodies.append(adding(key, "name"))
            bodies.append((vector["what"], vector["body"]))
            is_in = Membership(bytes.fromhex(room))
            is_in.take(
                entry_of(room, founder, seq, seq, *said) for seq, said in enumerate(bodies, 1)
            )

            member = is_in.find(key)
            assert member is not None
            if vector["what"] == "remove":
                self.assertEqual((False, vector["seq"]), (member.is_in, member.last))
                continue
            self.assertEqual((True, vector["name"]), (member.is_in, member.name))
            (leave,) = vectors("leave")
            is_in.take([entry_of(room, vector["key"], 1, 99, "leave", leave["body"])])
            # Whoever adds somebody by what their leave says has seen it, and lets them in again.
            self.assertEqual(vector["left"] == leave["body"], is_in.is_member(key))

    def test_members(self) -> None:
        """
        The same entries make the same members, in whatever order their chains come.
        """
        for vector in vectors("members"):
            entries = entries_of(vector)
            authors = list(dict.fromkeys(entry.author for entry in entries))
            for order in permutations(authors):
                room = Membership(bytes.fromhex(vector["room"]))
                for author in order:
                    room.take([entry for entry in entries if entry.author == author])

                self.assertEqual(vector["members"], members_of(vector, room), vector["shows"])
                counts = [room.counts(entry.author, entry.seq) for entry in entries]
                self.assertEqual(vector["counts"], counts, vector["shows"])

    def test_members_from_what_counts_alone(self) -> None:
        """
        Who does not keep what does not count finds the same.
        """
        for vector in vectors("members"):
            room = Membership(bytes.fromhex(vector["room"]))
            entries = zip(entries_of(vector), vector["counts"], strict=True)

            room.take(entry for entry, counts in entries if counts)

            self.assertEqual(vector["members"], members_of(vector, room), vector["shows"])

    def test_order(self) -> None:
        """
        Entries stand in one order.
        """
        for vector in vectors("order"):
            room = "00" * 32
            entries = [
                entry_of(room, author, seq, time, TEXT, "")
                for time, author, seq in vector["entries"]
            ]
            places = range(len(entries))
            order = sorted(places, key=lambda place: order_of(entries[place]))
            self.assertEqual(vector["order"], order)
            self.assertNotEqual(vector["order"], list(places))

    def test_invites(self) -> None:
        """
        A link says who, and where.
        """
        for vector in vectors("invite"):
            invite = parse_invite(vector["link"])
            self.assertEqual(
                (vector["key"], vector["name"], vector["addresses"]),
                (str(invite.key), invite.name, [str(address) for address in invite.addresses]),
            )
            self.assertEqual(vector["link"], invite.link)
