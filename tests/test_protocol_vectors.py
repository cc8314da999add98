"""
The vectors in `docs/protocol.md` and `docs/protocol-secure.md`.

What the pages promise is what the code does. Those of the secure page are also a file, which
`tests.test_secure_vectors` holds to the code.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase

from twistedchat.core.addresses import Address, parse_host_port
from twistedchat.core.classic import (
    ClassicMessage,
    Dialect,
    Kind,
    UnknownText,
    connect_message,
    decode,
    encode,
    exit_message,
)
from twistedchat.core.frames import Frame

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "protocol.md"
SECURE_PAGE = HERE.parent / "docs" / "protocol-secure.md"
SECURE_FILE = HERE / "data" / "secure-vectors.json"

OPENING, CLOSING = "```json\n", "\n```"


def block_of(page: Path) -> str:
    """
    The one block of vectors on a page.

    Args:
        page: Which.

    Returns:
        The block as it is written.
    """
    _, block = page.read_text(encoding="utf-8").split(OPENING)
    return block.partition(CLOSING)[0]


def read_vectors() -> list[dict[str, Any]]:
    """
    Read the classic vectors.

    Returns:
        The vectors, in order.
    """
    vectors: list[dict[str, Any]] = json.loads(block_of(PAGE))
    return vectors


def octets_of(vector: dict[str, Any]) -> bytes:
    """
    What stands on the wire.

    Args:
        vector: A vector.

    Returns:
        Its bytes, whichever way they are written.
    """
    return bytes.fromhex(vector["hex"]) if "hex" in vector else vector["bytes"].encode()


def message_of(written: dict[str, Any]) -> ClassicMessage | UnknownText:
    """
    What a vector means, or what was said.

    Args:
        written: A message or an unknown text, as it stands on the page.

    Returns:
        The same as a value of the core.
    """
    if "unknown" in written:
        return UnknownText(written["unknown"])
    return ClassicMessage(
        Dialect(written["dialect"]),
        Kind(written["kind"]),
        written["port"],
        written["name"],
        written["text"],
    )


def address_of(written: str) -> Address:
    """
    The address that stands on the page.

    Args:
        written: An address with a port.

    Returns:
        The same as a value of the core.
    """
    host, port = parse_host_port(written)
    assert port is not None, written
    return Address(host, port)


class VectorTests(SynchronousTestCase):
    """
    The list of vectors, as another program would use it.
    """

    def test_reading_octets_gives_meaning(self) -> None:
        """
        The octets of every vector are read as the page says.
        """
        for vector in read_vectors():
            meant = [message_of(meaning) for meaning in vector["means"]]

            self.assertEqual(meant, decode(octets_of(vector)), vector)

    def test_saying_gives_octets(self) -> None:
        """
        Whatever a vector has a node say is written exactly as the page says.
        """
        for vector in read_vectors():
            if "said" not in vector:
                continue
            said = vector["said"]
            message = message_of(said)
            assert isinstance(message, ClassicMessage), said

            written = encode(
                message,
                our_host=said["from"],
                recipient=address_of(said["to"]),
                recipient_name=said["to_name"],
                when=datetime.fromisoformat(said["at"]),
            )

            self.assertEqual(octets_of(vector), written, vector)

    def test_every_dialect_and_kind_is_said(self) -> None:
        """
        The page shows how each kind of message is written in each dialect.
        """
        said = {
            (vector["said"]["dialect"], vector["said"]["kind"])
            for vector in read_vectors()
            if "said" in vector
        }

        self.assertEqual(
            {(dialect.value, kind.value) for dialect in Dialect for kind in Kind}, said
        )

    def test_control_texts_said_are_those_sent(self) -> None:
        """
        The connect and exit texts on the page are the ones that a node sends.
        """
        on_page = {
            (said["dialect"], said["kind"], said["text"])
            for vector in read_vectors()
            if (said := vector.get("said")) and said["kind"] != Kind.MESSAGE.value
        }
        sent = [
            message
            for dialect in Dialect
            for message in (
                connect_message(dialect, 6101, "Quokka", manual=False),
                connect_message(dialect, 6101, "Quokka", manual=True),
                exit_message(dialect, 6101, "Quokka"),
            )
        ]

        self.assertEqual(
            {(message.dialect.value, message.kind.value, message.text) for message in sent}, on_page
        )

    def test_unknown_and_empty_are_shown(self) -> None:
        """
        The page also shows what is no message, and what is nothing at all.
        """
        meanings = [vector["means"] for vector in read_vectors()]

        self.assertIn([], meanings)
        self.assertTrue(any("unknown" in meaning for means in meanings for meaning in means))


class SecureVectorTests(SynchronousTestCase):
    """
    The secure page: its vectors, and what stands around them.
    """

    def test_page_has_the_vectors_that_are_checked(self) -> None:
        """
        The block on the page is the file of vectors, to the last character.
        """
        self.assertEqual(SECURE_FILE.read_text(encoding="utf-8").rstrip(), block_of(SECURE_PAGE))

    def test_page_explains_every_kind_of_vector(self) -> None:
        """
        The page tells what each kind of vector shows.
        """
        page = SECURE_PAGE.read_text(encoding="utf-8")
        _, section = page.partition(OPENING)[0].split("\n## Test vectors\n")
        explained = set(
            re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", section, re.M)))
        )

        self.assertEqual(
            {vector["what"] for vector in json.loads(block_of(SECURE_PAGE))}, explained - {"what"}
        )

    def test_page_has_every_frame(self) -> None:
        """
        The page has a chapter for each frame that a node knows.
        """
        page = SECURE_PAGE.read_text(encoding="utf-8")
        headings = "".join(re.findall(r"^### `.*$", page, re.M))

        self.assertEqual(
            {frame.__struct_config__.tag for frame in get_args(Frame)},
            set(re.findall(r"`(\w+)`", headings)),
        )
