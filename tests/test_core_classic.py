"""
The classic dialects: recorded examples, properties, and hostile bytes.
"""

import json
import random
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import iter_graphemes

from tests.strategies import (
    CONNECT_TEXTS,
    EXIT_TEXTS,
    any_texts,
    cut_prone_texts,
    dialects,
    ip_hosts,
    moments,
    peer_names,
    ports,
    saying_texts,
    socket_bytes,
    team_names,
    writings,
)
from twistedchat.core.addresses import Address
from twistedchat.core.classic import (
    LARGEST_PIECE,
    ClassicMessage,
    Dialect,
    Kind,
    UnknownText,
    connect_message,
    decode,
    encode,
    exit_message,
    fit_name,
    kind_of,
    split_text,
    text_message,
)

NOON = datetime(2026, 3, 4, 12, 0, 0)
# From a range for documentation (RFC 5737), so that no example's head is ever written.
OUR_HOST = "203.0.113.9"
RECIPIENT = Address("203.0.113.200", 6202)

MANY_LINES = (Dialect.ANGLE_END, Dialect.ANGLE_TIME)


@dataclass(frozen=True)
class Example:
    """
    Bytes that a program of the family was seen to send, and how they are to be understood.
    """

    head: bytes
    address: str
    data: bytes
    message: ClassicMessage


def read_examples() -> list[Example]:
    """
    The examples, one message each.
    """
    path = Path(__file__).parent / "data" / "classic-examples.json"
    examples = []
    for example in json.loads(path.read_text()):
        form = {"header-pipe": "header"}.get(example["form"], example["form"])
        message = ClassicMessage(
            Dialect(form),
            Kind(example["kind"]),
            example["port"],
            example["name"],
            example["text"],
        )
        data: str = example["bytes"]
        head = "" if form == "json" else data[: data.rindex(message.text)]
        address = data.partition(" ")[0]
        examples.append(Example(head.encode(), address, data.encode(), message))
    return examples


EXAMPLES = read_examples()


def written(message: ClassicMessage, recipient_name: str | None = None) -> bytes:
    """
    A message as we would send it.
    """
    return encode(
        message,
        our_host=OUR_HOST,
        recipient=RECIPIENT,
        recipient_name=recipient_name,
        when=NOON,
    )


def after_a_trip(message: ClassicMessage) -> ClassicMessage:
    """
    What must be left of a message that was written and read.
    """
    if message.dialect in MANY_LINES and message.kind is Kind.EXIT:
        return replace(message, name=None, text="DISCONNECT")
    return replace(message, name=fit_name(message.dialect, message.name or "unknown"))


def pieces_of(
    text: str, dialect: Dialect, name: str = "Quokka", recipient_name: str | None = None
) -> list[ClassicMessage]:
    """
    The messages in which a typed text goes out.
    """
    return split_text(
        text_message(dialect, 6101, name, text),
        recipient=RECIPIENT,
        recipient_name=recipient_name,
        when=NOON,
    )


class ExamplesTests(SynchronousTestCase):
    """
    What programs of the family were seen to send.
    """

    def test_each_example_decodes_whole(self) -> None:
        """
        Dialect, kind, port, name and text of every example are understood as recorded.
        """
        for example in EXAMPLES:
            self.assertEqual([example.message], decode(example.data), example.data)

    def test_examples_show_every_dialect_and_kind(self) -> None:
        """
        The examples hold every kind of message in every form.
        """
        expected = set(product(Dialect, Kind))

        self.assertEqual(
            expected, {(example.message.dialect, example.message.kind) for example in EXAMPLES}
        )

    def test_two_in_one_piece_decode_to_both(self) -> None:
        """
        Two messages with one head that arrive as one piece are two messages.
        """
        pairs = 0
        for first, second in product(EXAMPLES, repeat=2):
            is_leaving = None in (first.message.name, second.message.name)
            if (
                first.message.dialect is second.message.dialect
                and (first.head == second.head or is_leaving)
                and (first.address == second.address)
            ):
                pairs += 1
                expected = [first.message, second.message]
                self.assertEqual(expected, decode(first.data + second.data))
        self.assertGreater(pairs, len(EXAMPLES))

    def test_surrounded_by_white_space_decodes_the_same(self) -> None:
        """
        Line ends and blanks around a message do not change it.
        """
        for example in EXAMPLES:
            self.assertEqual([example.message], decode(b"\r\n " + example.data + b" \r\n\r\n"))

    def test_each_example_survives_being_written(self) -> None:
        """
        Every example, once understood, is written in a way that is understood the same.
        """
        for example in EXAMPLES:
            self.assertEqual(
                [after_a_trip(example.message)], decode(written(example.message)), example.data
            )


class DecodeTests(SynchronousTestCase):
    """
    `decode`, on what the examples do not show.
    """

    def test_nothing_but_white_space_is_nothing(self) -> None:
        """
        A connection without a word says nothing.
        """
        self.assertEqual([], decode(b""))
        self.assertEqual([], decode(b" \r\n\t "))

    def test_unfit_text_is_unknown(self) -> None:
        """
        What fits no dialect is shown, and is from nobody.
        """
        for text in [
            "hello",
            "cafe:80 with Bob",
            "[note]:80 with Bob",
            "192.168.7.21:6101",
            "192.168.7.21:6101 Quokka",
            "192.168.7.21:6101  hi",
            "1.2.3:6101 Quokka hi",
            "<192.168.7.21> Quokka hi",
            "<192.168.7.21:6101> Quokka",
            "<192.168.7.21:6101> @ Quokka",
            "<192.168.7.21:6101> [today] @ <Quokka>\nhi",
            "LISTENING_PORT:6101|Quokka|hi",
            "LISTENING_PORT:six|TEAM_NAME:Quokka|hi",
            "{",
            "{}",
            "[]",
        ]:
            self.assertEqual([UnknownText(text)], decode(f" {text}\n".encode()))

    def test_impossible_port_is_unknown(self) -> None:
        """
        A port that cannot be dialled makes no peer, in any dialect.
        """
        for port in ["0", "00000", "65536", "99999", "123456"]:
            for text in [
                f"LISTENING_PORT:{port}|TEAM_NAME:Quokka|hi",
                f"192.168.7.21:{port} Quokka hi",
                f"<192.168.7.21:{port}> Quokka hi",
                f"<192.168.7.21:{port}> @ <Quokka>\nhi\n<end>",
                f"<192.168.7.21:{port}> DISCONNECT",
                '{"type": "message", "content": "hi", "sender_name": "Quokka", '
                f'"sender_port": {int(port)}}}',
            ]:
                self.assertEqual([UnknownText(text)], decode(text.encode()))

    def test_every_possible_port_counts(self) -> None:
        """
        The first and the last port are ports, with leading zeros too.
        """
        for digits, port in [("1", 1), ("65535", 65535), ("00080", 80)]:
            [message] = decode(f"LISTENING_PORT:{digits}|TEAM_NAME:Quokka|hi".encode())
            self.assertEqual(
                ClassicMessage(Dialect.HEADER, Kind.MESSAGE, port, "Quokka", "hi"), message
            )

    def test_broken_utf8_is_replaced(self) -> None:
        """
        What is no UTF-8 becomes replacement characters, and the rest is understood.
        """
        [message] = decode(b"192.168.7.21:6101 Quo\xffkka \xe9t\xe9")

        self.assertEqual(
            ClassicMessage(Dialect.PLAIN, Kind.MESSAGE, 6101, "Quo\ufffdkka", "\ufffdt\ufffd"),
            message,
        )

    def test_ipv6_in_plain_decodes(self) -> None:
        """
        Our own kind writes IPv6 addresses in brackets, of one link too.
        """
        for host in ["[::1]", "[fe80::1%eth0]", "[fe80::1%br-4a5b]", "[2001:db8::7]"]:
            [message] = decode(f"{host}:6101 Quokka hi".encode())
            self.assertEqual(
                ClassicMessage(Dialect.PLAIN, Kind.MESSAGE, 6101, "Quokka", "hi"), message
            )

    def test_missing_name_is_none(self) -> None:
        """
        A name that is empty or blank is none.
        """
        for text in [
            "LISTENING_PORT:6101|TEAM_NAME:|hi",
            "LISTENING_PORT:6101|TEAM_NAME: |hi",
            "<192.168.7.21:6101> @ <>\nhi\n<end>",
            '{"type": "message", "content": "hi", "sender_name": "", "sender_port": 6101}',
        ]:
            [message] = decode(text.encode())
            assert isinstance(message, ClassicMessage)
            self.assertEqual((None, "hi"), (message.name, message.text))

    def test_long_name_is_cut(self) -> None:
        """
        Of a name 64 characters are kept, without white space at its end.
        """
        [message] = decode(b"LISTENING_PORT:6101|TEAM_NAME:" + b"x" * 63 + b" yz|hi")

        self.assertEqual(
            ClassicMessage(Dialect.HEADER, Kind.MESSAGE, 6101, "x" * 63, "hi"), message
        )

    def test_another_senders_head_is_text(self) -> None:
        """
        Nobody can put words into another's mouth: only the same head begins a new message.
        """
        for first, other in [
            (
                "LISTENING_PORT:6101|TEAM_NAME:Quokka|hi",
                "LISTENING_PORT:6101|TEAM_NAME:Panda|exit",
            ),
            ("LISTENING_PORT:6101|TEAM_NAME:Quokka|hi", "LISTENING_PORT:6102|TEAM_NAME:Quokka|hi"),
            ("10.0.0.1:6101 Quokka hi", "10.0.0.2:6101 Quokka exit"),
            ("<10.0.0.1:6101> Quokka hi", "<10.0.0.1:6102> Quokka exit"),
            (
                "<10.0.0.1:6101> @ <Quokka>\nhi\n<end>\n",
                "<10.0.0.1:6102> @ <Quokka>\nexit",
            ),
            (
                "<10.0.0.1:6101> @ <Quokka>\nhi\n<end>\n",
                "<10.0.0.1:6101> @ <Panda>\nexit",
            ),
            (
                "<10.0.0.1:6101> @ <Quokka>\nhi\n<end>\n",
                "<10.0.0.1:6101> [2025-02-23 18:04:09] @ <Quokka>\nexit",
            ),
            ("<10.0.0.1:6101> @ <Quokka>\nhi\n", "<10.0.0.1:6101> @ <Quokka>\nexit"),
            (
                "<10.0.0.1:6101> [2025-02-23 18:04:09] @ <Quokka>\nhi ",
                "<10.0.0.1:6101> [2025-02-23 18:04:09] @ <Quokka>\nexit",
            ),
        ]:
            [message] = decode((first + other).encode())
            assert isinstance(message, ClassicMessage)
            self.assertEqual(Kind.MESSAGE, message.kind)
            self.assertTrue(message.text.endswith(other), message.text)

    def test_time_may_pass_between_two(self) -> None:
        """
        Two messages of the time form are two also where their times differ.
        """
        messages = decode(
            b"<10.0.0.1:6101> [2025-02-23 18:04:09] @ <Quokka>\nhi\n"
            b"<10.0.0.1:6101> [2025-02-23 18:04:10] @ <Quokka>\nthere\n"
        )

        self.assertEqual(
            [
                ClassicMessage(Dialect.ANGLE_TIME, Kind.MESSAGE, 6101, "Quokka", text)
                for text in ("hi", "there")
            ],
            messages,
        )

    def test_after_leaving_the_rest_is_unknown(self) -> None:
        """
        What stands behind a leave and is no message is shown, and not lost.
        """
        self.assertEqual(
            [
                ClassicMessage(Dialect.ANGLE_END, Kind.EXIT, 6101, None, "DISCONNECT"),
                UnknownText("<10.0.0.1:6101> and so on"),
            ],
            decode(b"<10.0.0.1:6101> DISCONNECT <10.0.0.1:6101> and so on"),
        )

    def test_back_after_leaving_with_another_name_is_one_person(self) -> None:
        """
        A leave has no name; the first name behind it is the sender's, and no other one.
        """
        said = b"<10.0.0.1:6101> @ <Quokka>\nhi\n<end>\n"
        other = b"<10.0.0.1:6101> @ <Panda>\nhi\n<end>"
        leave = b"<10.0.0.1:6101> DISCONNECT"

        kinds = [
            message.kind
            for message in decode(leave + said + other)
            if isinstance(message, ClassicMessage)
        ]

        self.assertEqual([Kind.EXIT, Kind.MESSAGE], kinds)

    def test_empty_texts_between_heads_are_left_out(self) -> None:
        """
        In `plain` and `angle` a head without a text is no message.
        """
        for head, dialect in [
            ("10.0.0.1:6101 Quokka ", Dialect.PLAIN),
            ("<10.0.0.1:6101> Quokka ", Dialect.ANGLE),
        ]:
            self.assertEqual(
                [ClassicMessage(dialect, Kind.MESSAGE, 6101, "Quokka", "hi")],
                decode(f"{head}{head} {head}hi".encode()),
            )

    def test_empty_text_is_a_text(self) -> None:
        """
        In the other dialects the form is whole without a text.
        """
        for text, dialect in [
            ("LISTENING_PORT:6101|TEAM_NAME:Quokka|", Dialect.HEADER),
            ("<10.0.0.1:6101> @ <Quokka>\n\n<end>", Dialect.ANGLE_END),
            ("<10.0.0.1:6101> @ <Quokka>\n", Dialect.ANGLE_END),
            ("<10.0.0.1:6101> [2025-02-23 18:04:09] @ <Quokka>\n", Dialect.ANGLE_TIME),
            (
                '{"type": "message", "content": "<10.0.0.2:6202> <Panda> ", '
                '"sender_name": "Quokka", "sender_port": 6101}',
                Dialect.JSON,
            ),
        ]:
            expected = ClassicMessage(dialect, Kind.MESSAGE, 6101, "Quokka", "")
            self.assertEqual([expected], decode(text.encode()))
            self.assertEqual([expected], decode(written(expected)))

    def test_end_mark_inside_a_text_stays(self) -> None:
        """
        Only the last end mark ends a message; a person may have typed the others.
        """
        [message] = decode(b"<10.0.0.1:6101> @ <Quokka>\nsay <end>\nor <end>\n<end>\n")

        self.assertEqual(
            ClassicMessage(Dialect.ANGLE_END, Kind.MESSAGE, 6101, "Quokka", "say <end>\nor <end>"),
            message,
        )


class DecodeJsonTests(SynchronousTestCase):
    """
    The `json` dialect.
    """

    def decode_json(self, **changes: object) -> list[ClassicMessage | UnknownText]:
        """
        Decode an ordinary message with some of its members replaced.
        """
        said: dict[str, object] = {
            "type": "message",
            "content": "<10.0.0.2:6202> <Panda> hi",
            "sender_name": "Quokka",
            "sender_port": 6101,
        }
        return decode(json.dumps(said | changes).encode())

    def text_of(self, **changes: object) -> str:
        """
        The text of an ordinary message with some of its members replaced.
        """
        [message] = self.decode_json(**changes)
        assert isinstance(message, ClassicMessage)
        return message.text

    def test_wrong_member_is_unknown(self) -> None:
        """
        A member of another type or value makes the object a text.
        """
        wrong: list[dict[str, object]] = [
            {"type": "shout"},
            {"type": None},
            {"content": 7},
            {"sender_name": ["Quokka"]},
            {"sender_port": True},
            {"sender_port": 6101.0},
            {"sender_port": "6101"},
            {"sender_port": -1},
            {"sender_port": 10**20},
        ]
        for changes in wrong:
            [said] = self.decode_json(**changes)
            self.assertIsInstance(said, UnknownText, changes)

    def test_control_text_acts(self) -> None:
        """
        A control text inside an ordinary message is one.
        """
        self.assertEqual(
            [ClassicMessage(Dialect.JSON, Kind.EXIT, 6101, "Quokka", "exit")],
            self.decode_json(content="<10.0.0.2:6202> <Panda> exit"),
        )

    def test_address_inside_a_text_stays(self) -> None:
        """
        Only the address at the beginning is the recipient's.
        """
        self.assertEqual("see <a> <b> there", self.text_of(content="see <a> <b> there"))
        self.assertEqual("<a> <b> hi", self.text_of(content="<10.0.0.2:6202> <Panda> <a> <b> hi"))
        self.assertEqual(
            "see <a> <b> there", self.text_of(type="connect", content="see <a> <b> there")
        )

    def test_repeated_address_goes(self) -> None:
        """
        Connect and exit texts come with the recipient's address several times.
        """
        content = "<10.0.0.2:6202> <Panda> " * 2 + "<10.0.0.2:6202> Panda "

        self.assertEqual("Exiting", self.text_of(type="exit", content=content + "Exiting"))

    def test_lone_surrogates_become_question_marks(self) -> None:
        """
        JSON can hold what UTF-8 cannot; nothing of it is handed on.
        """
        self.assertEqual(
            [ClassicMessage(Dialect.JSON, Kind.MESSAGE, 6101, "?", "a?b")],
            self.decode_json(sender_name="\ud800", content="a\udfffb"),
        )

    def test_broken_rest_is_unknown(self) -> None:
        """
        What stands behind an object and is none is shown.
        """
        whole = json.dumps(
            {"type": "message", "content": "hi", "sender_name": "Quokka", "sender_port": 6101}
        )
        hi = ClassicMessage(Dialect.JSON, Kind.MESSAGE, 6101, "Quokka", "hi")
        for rest in ["{", "x", "{}", '{"type": "message"', "[" * 5000, "1" * 5000]:
            expected = [hi, hi, UnknownText(rest)]
            self.assertEqual(expected, decode(f"{whole}\n{whole} {rest}\n".encode()))


class AnyBytesTests(SynchronousTestCase):
    """
    `decode` of whatever a connection brings.
    """

    def check(self, data: bytes) -> None:
        """
        What is decoded is well-formed, and is understood the same after being written.
        """
        for said in decode(data):
            said.text.encode()
            if isinstance(said, UnknownText):
                self.assertTrue(said.text.strip())
                continue
            self.assertTrue(1 <= said.port <= 65535)
            self.assertEqual(said.text.strip(), said.text)
            if said.name is not None:
                said.name.encode()
                self.assertTrue(1 <= len(said.name) <= 64)
                self.assertEqual(said.name.strip(), said.name)
            if said.dialect is not Dialect.JSON:
                self.assertEqual(kind_of(said.text), said.kind)
            if f"LISTENING_PORT:{said.port}|TEAM_NAME:{said.name}|" in said.text:
                continue  # its own head in another spelling: as we spell it, a message begins here
            data_again = written(said)
            data_again.decode()
            self.assertFalse(data_again.endswith(b"\n"))
            self.assertEqual([after_a_trip(said)], decode(data_again))

    @given(socket_bytes([example.data for example in EXAMPLES]))
    def test_any_bytes_decode_and_survive(self, data: bytes) -> None:
        """
        Any bytes are messages or unknown texts, and what is read can be written.
        """
        self.check(data)

    def test_fuzzed_bytes_decode_and_survive(self) -> None:
        """
        The same for 200,000 inputs, from bent examples to noise.
        """
        seed = 20260304
        draw = random.Random(seed)
        fragments = [example.data for example in EXAMPLES]
        fragments += [example.head for example in EXAMPLES]
        fragments += [
            *(
                b"<end>",
                b"<",
                b">",
                b"|",
                b"@ <",
                b"[",
                b"{",
                b"}",
                b'"',
                b"\\ud800",
                b":",
                b"\x1b",
            ),
            *(
                b" ",
                b"\n",
                b"\r\n",
                b"0",
                b"65535",
                b"65536",
                b"\xff",
                b"\xe2\x80\xa8",
                b"DISCONNECT",
            ),
            *(text.encode() for text in CONNECT_TEXTS + EXIT_TEXTS),
        ]
        for attempt in range(200_000):
            data = bytearray(draw.choice(fragments))
            for _ in range(draw.randrange(5)):
                where = draw.randrange(len(data) + 1)
                match draw.randrange(4):
                    case 0:
                        data[where:where] = draw.choice(fragments)
                    case 1:
                        del data[where : where + draw.randrange(1, 9)]
                    case 2:
                        data[where:where] = draw.randbytes(draw.randrange(1, 5))
                    case _:
                        data += data[where:]
            try:
                self.check(bytes(data))
            except Exception as error:
                raise self.failureException(
                    f"seed {seed}, attempt {attempt}: {bytes(data)!r}"
                ) from error

    def test_large_hostile_bytes_are_read(self) -> None:
        """
        64 KiB made to be read slowly are read; this test just ends.
        """
        size = 64 * 1024
        json_head = '{"sender_name": "Q", "sender_port": 1, "type": "exit", "content": "'
        for head, again, tail in [
            ("", "[", ""),
            ("", '{"a":', ""),
            ('{"sender_port": ', "1", "}"),
            ("", '{"type":"message","content":"x","sender_name":"Q","sender_port":1}', ""),
            (json_head, " ", '"}'),
            (json_head, "<", '"}'),
            (json_head, "<a> ", '"}'),
            (json_head, "<a> <b> ", '"}'),
            (json_head, "\\ud800", '"}'),
            ("", "LISTENING_PORT:1|TEAM_NAME:a|", ""),
            ("LISTENING_PORT:1|TEAM_NAME:", "a", "|x"),
            ("LISTENING_PORT:1|TEAM_NAME:" + "a" * 20000 + "|", "LISTENING_PORT:1|TEAM_NAME:a", ""),
            ("LISTENING_PORT:", "1", "|TEAM_NAME:a|x"),
            ("", "1.1.1.1:1 a ", "x"),
            ("1.1.1.1:1 a", " ", "x"),
            ("", "<a:1> a ", "x"),
            ("", "<", ""),
            ("<", ":", ""),
            ("<", ":1", ""),
            ("", "<a:1>", ""),
            ("[", ":", ""),
            ("<a:1> @ <a>\n", "<end>", ""),
            ("<a:1> @ <a>\n", "\n", "x"),
            ("", "<a:1> @ <a>\n<end>", ""),
            ("", "<a:1> DISCONNECT", ""),
            ("", "<a:1> DISCONNECT ", "x"),
            ("<a:1> DISCONNECT", " ", "x"),
            ("", "<a:1> [2025-02-23 18:04:09] @ <a>\n", "x"),
            ("", "\ufffd", ""),
        ]:
            text = head + again * ((size - len(head) - len(tail)) // len(again)) + tail
            self.assertTrue(decode(text.encode()), text[:80])


class EncodeTests(SynchronousTestCase):
    """
    `encode`: what we say is understood.
    """

    def test_each_form_is_written_as_it_is_spoken(self) -> None:
        """
        The bytes are those that the programs of the family write and read.
        """
        for dialect, said, left in [
            (
                Dialect.HEADER,
                b"LISTENING_PORT:6101|TEAM_NAME:Red Pandas|hi",
                b"LISTENING_PORT:6101|TEAM_NAME:Red Pandas|exit",
            ),
            (
                Dialect.PLAIN,
                b"203.0.113.9:6101 Red_Pandas hi",
                b"203.0.113.9:6101 Red_Pandas exit",
            ),
            (
                Dialect.ANGLE,
                b"<203.0.113.9:6101> Red_Pandas hi",
                b"<203.0.113.9:6101> Red_Pandas exit",
            ),
            (
                Dialect.ANGLE_END,
                b"<203.0.113.9:6101> @ <Red Pandas>\nhi\n<end>",
                b"<203.0.113.9:6101> DISCONNECT",
            ),
            (
                Dialect.ANGLE_TIME,
                b"<203.0.113.9:6101> [2026-03-04 12:00:00] @ <Red Pandas>\nhi",
                b"<203.0.113.9:6101> [2026-03-04 12:00:00] DISCONNECT",
            ),
            (
                Dialect.JSON,
                b'{"type": "message", "content": "<203.0.113.200:6202> <unknown> hi", '
                b'"sender_name": "Red Pandas", "sender_port": 6101}',
                b'{"type": "exit", "content": "<203.0.113.200:6202> <unknown> exit", '
                b'"sender_name": "Red Pandas", "sender_port": 6101}',
            ),
        ]:
            self.assertEqual(said, written(text_message(dialect, 6101, "Red Pandas", " hi\n")))
            self.assertEqual(left, written(exit_message(dialect, 6101, "Red Pandas")))

    def test_known_recipient_is_named_in_json(self) -> None:
        """
        The `json` form holds the recipient's name, without what would end it.
        """
        data = written(text_message(Dialect.JSON, 6101, "Quokka", "hi"), "Pan>da")

        self.assertIn("<203.0.113.200:6202> <Pan_da> hi", json.loads(data)["content"])

    def test_connect_texts_are_those_of_the_dialect(self) -> None:
        """
        The reference program is told how its menu was used; the others get their word.
        """
        for dialect in Dialect:
            for manual in (False, True):
                message = connect_message(dialect, 6101, "Quokka", manual=manual)
                expected = {
                    Dialect.HEADER: ("manual " if manual else "") + "connection message",
                    Dialect.PLAIN: "connect",
                    Dialect.JSON: "connect",
                }.get(dialect, "CONNECT")
                self.assertEqual(expected, message.text)
                self.assertEqual(Kind.CONNECT, kind_of(message.text))
                self.assertEqual([message], decode(written(message)))

    @given(dialects(), ports(), team_names(), saying_texts(), ip_hosts(), moments(), peer_names())
    def test_written_is_read_as_it_was_meant(
        self,
        dialect: Dialect,
        port: int,
        name: str,
        text: str,
        host: str,
        when: datetime,
        recipient_name: str,
    ) -> None:
        """
        A message of ours is valid UTF-8 without a newline at its end, and is read as itself.
        """
        message = text_message(dialect, port, name, text)

        data = encode(
            message,
            our_host=host,
            recipient=RECIPIENT,
            recipient_name=recipient_name,
            when=when,
        )

        self.assertFalse(data.endswith(b"\n"))
        self.assertEqual(data.decode().strip(), data.decode())
        self.assertEqual([after_a_trip(message)], decode(data))

    @given(dialects(), any_texts(), any_texts(), any_texts())
    def test_anything_typed_can_be_written(
        self, dialect: Dialect, name: str, text: str, recipient_name: str
    ) -> None:
        """
        Lone surrogates and control characters of ours never keep a message from being written.
        """
        data = written(text_message(dialect, 6101, name, text), recipient_name)

        self.assertFalse(data.endswith(b"\n"))
        self.assertTrue(data.decode())


class FitNameTests(SynchronousTestCase):
    """
    `fit_name`: our name, where not every character may stand.
    """

    def test_meaning_characters_become_underscores(self) -> None:
        """
        What would end a name in a dialect is replaced, one for one.
        """
        name = "a |b<c>@[d]\n\u3000e"
        for dialect, fitted in [
            (Dialect.HEADER, "a _b<c>@[d]_\u3000e"),
            (Dialect.PLAIN, "a_|b<c>@[d]__e"),
            (Dialect.ANGLE, "a_|b_c___d___e"),
            (Dialect.ANGLE_END, "a |b_c_@[d]_\u3000e"),
            (Dialect.ANGLE_TIME, "a |b_c_@[d]_\u3000e"),
            (Dialect.JSON, "a |b_c_@[d]_\u3000e"),
        ]:
            self.assertEqual(fitted, fit_name(dialect, name))

    @given(dialects(), any_texts())
    def test_fitted_name_fits(self, dialect: Dialect, name: str) -> None:
        """
        A fitted name is as long as before, and stays as it is when fitted again.
        """
        fitted = fit_name(dialect, name)

        self.assertEqual(len(name), len(fitted))
        self.assertEqual(fitted, fit_name(dialect, fitted))


class KindOfTests(SynchronousTestCase):
    """
    `kind_of`: which texts act.
    """

    def test_control_texts_act_in_any_case_and_space(self) -> None:
        """
        Case and outer white space do not count, however much there is of it.
        """
        for texts, kind in [(CONNECT_TEXTS, Kind.CONNECT), (EXIT_TEXTS, Kind.EXIT)]:
            for text in texts:
                for said in [text, text.upper(), text.title(), f"\t{text}\r\n"]:
                    self.assertEqual(kind, kind_of(said), said)
                self.assertEqual(kind, kind_of(" " * 500 + text + "\n" * 500))

    def test_other_texts_are_messages(self) -> None:
        """
        A control text with anything beside it is a text.
        """
        for text in CONNECT_TEXTS + EXIT_TEXTS:
            for said in [f"{text}!", f"x {text}", f"{text} {text}", text[:-1], text[-1]]:
                self.assertEqual(Kind.MESSAGE, kind_of(said), said)
        for said in ["", " ", "connect ion", "connection  message", "x" * 100_000]:
            self.assertEqual(Kind.MESSAGE, kind_of(said), said[:80])


class SplitTextTests(SynchronousTestCase):
    """
    `split_text`: long texts go in pieces.
    """

    def check(self, text: str, pieces: list[ClassicMessage], recipient_name: str | None) -> None:
        """
        Each piece fits, acts not, is read as it was meant, and together they are the text.
        """
        position = 0
        for piece in pieces:
            data = written(piece, recipient_name)
            self.assertLessEqual(len(data), LARGEST_PIECE)
            self.assertEqual(Kind.MESSAGE, kind_of(piece.text))
            [said] = decode(data)
            self.assertEqual(Kind.MESSAGE, getattr(said, "kind", None))
            self.assertEqual(piece.text.encode("utf-8", "replace").decode().strip(), said.text)
            while not text.startswith(piece.text, position):
                self.assertTrue(text[position].isspace())
                position += 1
            position += len(piece.text)
        self.assertEqual("", text[position:].strip())

    def test_short_text_is_one_piece(self) -> None:
        """
        What fits is not touched.
        """
        for dialect in Dialect:
            self.assertEqual(
                [ClassicMessage(dialect, Kind.MESSAGE, 6101, "Quokka", "two  words")],
                pieces_of("two  words", dialect),
            )

    def test_control_text_stays_whole(self) -> None:
        """
        A text that is meant to act goes as it is.
        """
        for dialect in Dialect:
            for text in CONNECT_TEXTS + EXIT_TEXTS:
                [message] = pieces_of(text, dialect)
                self.assertEqual((kind_of(text), text), (message.kind, message.text))

    def test_largest_piece_is_full(self) -> None:
        """
        As much goes into one piece as the longest address of ours leaves room for.
        """
        for dialect in Dialect:
            whole = 1
            while len(pieces_of("x" * whole, dialect)) == 1:
                whole += 1
            longest = encode(
                text_message(dialect, 6101, "Quokka", "x" * (whole - 1)),
                our_host="[" + "f" * 61 + "]",
                recipient=RECIPIENT,
                recipient_name=None,
                when=NOON,
            )
            self.assertEqual(LARGEST_PIECE, len(longest))

    def test_cuts_are_between_words(self) -> None:
        """
        Words that fit are never cut.
        """
        words = [f"word{number}" for number in range(800)]
        for dialect in Dialect:
            pieces = pieces_of(" ".join(words), dialect)
            self.assertGreater(len(pieces), 3)
            self.assertEqual(words, [word for piece in pieces for word in piece.text.split()])

    def test_control_text_at_a_cut_is_cut(self) -> None:
        """
        A control text that would stand alone in a piece goes in two, whatever is around it.
        """
        for control in CONNECT_TEXTS + EXIT_TEXTS:
            for text in [
                f"{'x' * 2000} {control}",
                f"{control} {'x' * 2000}",
                f"{control}{' ' * 50}{'x' * 2000}",
                f"{control}{' ' * 5000}hello",
                f"hello{' ' * 5000}{control}",
                f"{control}{' ' * 960}{'x' * 990}{' ' * 2000}{control}",
                f"{control}x{' ' * 970}{control}",
            ]:
                for dialect in Dialect:
                    self.check(text, pieces_of(text, dialect), None)

    def test_blank_pieces_are_left_out(self) -> None:
        """
        White space as long as a piece is not worth a message.
        """
        pieces = pieces_of("a" + " " * 5000 + "b", Dialect.HEADER)

        self.assertEqual(["a", "b"], [piece.text.strip() for piece in pieces])

    def test_outer_white_space_takes_no_room(self) -> None:
        """
        What is not sent needs no piece, and a text of nothing else is one message still.
        """
        for text in [" " * 5000, " " * 5000 + "hi", "hi" + "\n" * 5000]:
            [piece] = pieces_of(text, Dialect.HEADER)
            self.assertEqual(written(piece), written(pieces_of(text.strip(), Dialect.HEADER)[0]))

    def test_endless_character_is_cut_anyway(self) -> None:
        """
        A letter with a thousand marks, which nobody reads, cannot keep a text from being sent.
        """
        text = "e" + "\u0301" * 2000

        for dialect in Dialect:
            self.check(text, pieces_of(text, dialect), None)

    def test_large_texts_are_cut(self) -> None:
        """
        64 KiB of any one thing are cut.
        """
        size = 64 * 1024
        for part in [
            "x",
            "exit ",
            "\u00e9",
            "\U0001f1e9",
            "\u0915\u094d",
            "\u1100",
            "\x01",
            "x \n",
        ]:
            text = (part * (size // len(part.encode()))).strip()
            for dialect in (Dialect.HEADER, Dialect.JSON):
                self.check(text, pieces_of(text, dialect), None)

    @given(writings(), dialects(), team_names(), st.none() | peer_names())
    def test_characters_are_never_cut(
        self, text: str, dialect: Dialect, name: str, recipient_name: str | None
    ) -> None:
        """
        Put together the pieces are the text, and each cut is between characters as people see them.
        """
        assume(kind_of(text) is Kind.MESSAGE)
        pieces = pieces_of(text, dialect, name, recipient_name)

        self.check(text, pieces, recipient_name)
        self.assertEqual(text, "".join(piece.text for piece in pieces))
        self.assertEqual(
            list(iter_graphemes(text)),
            [character for piece in pieces for character in iter_graphemes(piece.text)],
        )

    @given(cut_prone_texts(), dialects(), team_names(), st.none() | peer_names())
    def test_awkward_texts_arrive(
        self, text: str, dialect: Dialect, name: str, recipient_name: str | None
    ) -> None:
        """
        Control texts, blanks and long words around the cuts lose nothing and act as nothing.
        """
        self.check(text, pieces_of(text, dialect, name, recipient_name), recipient_name)
