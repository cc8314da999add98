"""
Invites: links that are read as they were written, and their QR codes.
"""

import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import any_texts, invites
from twistedchat.core.addresses import Address
from twistedchat.core.errors import InvalidInvite
from twistedchat.core.identity import parse_key
from twistedchat.core.invites import (
    LONGEST_LINK,
    Invite,
    is_invite,
    parse_invite,
    qr_lines,
)
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import MOST_ADDRESSES

DIGITS = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
QUOKKA = parse_key(DIGITS)
LINK = f"p2pchat:{DIGITS}?name=Quokka"
HOME = Address("192.168.1.20", 7070)


class LinkTests(SynchronousTestCase):
    """
    `Invite.link`.
    """

    def test_link_is_as_specified(self) -> None:
        """
        The key, the name, and the addresses in their order.
        """
        invite = Invite(
            QUOKKA,
            "Red Pandas & 50% \u4f60+",
            (HOME, Address("2001:db8::7", 1), Address("b\u00fccher.example", 65535)),
        )

        self.assertEqual(
            f"p2pchat:{DIGITS}?name=Red%20Pandas%20%26%2050%25%20%E4%BD%A0%2B"
            "&at=192.168.1.20:7070&at=%5B2001:db8::7%5D:1&at=b%C3%BCcher.example:65535",
            invite.link,
        )

    @given(invite=invites())
    def test_link_leads_back(self, invite: Invite) -> None:
        """
        What is read is what was given.
        """
        self.assertEqual(invite, parse_invite(invite.link))

    @given(invite=invites())
    def test_link_is_plain_text(self, invite: Invite) -> None:
        """
        It goes through any messenger and onto any paper (RFC 3986).
        """
        self.assertRegex(invite.link, r"^p2pchat:[0-9a-f]{64}\?[A-Za-z0-9._~%:&=-]+$")
        self.assertLessEqual(len(invite.link), LONGEST_LINK)

    def test_link_takes_no_more_than_it_holds(self) -> None:
        """
        Of too many addresses, or too long ones, as many go in as there is room for.
        """
        many = tuple(Address("10.0.0.1", port) for port in range(1, 12))
        label = "\u4f60" * 63
        long = tuple(Address(f"{label}.{label}.h{number}", 1) for number in range(3))

        self.assertEqual(
            many[:MOST_ADDRESSES], parse_invite(Invite(QUOKKA, "Q", many).link).addresses
        )
        self.assertEqual(
            (long[0], HOME), parse_invite(Invite(QUOKKA, "Q", (*long, HOME)).link).addresses
        )

    def test_link_is_filled_to_the_last_character(self) -> None:
        """
        An address goes in that just fits, and is read again; with one character more it does not.
        """

        def host(length: int) -> str:
            return "".join("." if place % 61 == 60 else "x" for place in range(length))

        others = [Address(host(240), 1)] * 7

        full = Invite(QUOKKA, "Q", (*others, Address(host(193), 1)))
        beyond = Invite(QUOKKA, "Q", (*others, Address(host(194), 1)))

        self.assertEqual(LONGEST_LINK, len(full.link))
        self.assertEqual(full, parse_invite(full.link))
        self.assertEqual(tuple(others), parse_invite(beyond.link).addresses)


class ParseTests(SynchronousTestCase):
    """
    `is_invite` and `parse_invite`.
    """

    def refuse(self, link: str, reason: str) -> None:
        """
        See that a link is refused, in words that can be shown.
        """
        with self.assertRaisesRegex(InvalidInvite, reason) as caught:
            parse_invite(link)
        message = str(caught.exception)
        self.assertEqual(safe_text(message), message)
        self.assertLess(len(message), 1_200)

    def test_scheme_tells_an_invite(self) -> None:
        """
        Whatever comes behind it.
        """
        for text in (LINK, "p2pchat:", "P2PChat:x", "  p2pchat:7070\n"):
            self.assertTrue(is_invite(text))
        for text in ("", "p2pchat", "p2pchat :", "hello p2pchat:", "p2p:", "http://x", DIGITS):
            self.assertFalse(is_invite(text))
            self.refuse(text, "That is no invite")

    def test_other_writers_are_understood(self) -> None:
        """
        Case of the scheme, outer white space, and what need not be escaped.
        """
        expected = Invite(QUOKKA, "Red+Pandas/\u4f60", (Address("2001:db8::7", 7070),))

        for link in (
            f"p2pchat:{DIGITS}?name=Red+Pandas/\u4f60&at=[2001:db8::7]:7070",
            f"P2PCHAT:{DIGITS}?at=%5B2001:DB8:0::7%5D%3A07070&name=%52ed%2BPandas%2f%e4%BD%a0",
            f" \tp2pChat:{DIGITS}?name=Red+Pandas/\u4f60&at=[2001:db8::7]:7070\r\n",
        ):
            self.assertEqual(expected, parse_invite(link))

    def test_unknown_parameters_are_passed_over(self) -> None:
        """
        Later nodes can say more.
        """
        for more in (
            "&color=red",
            "&",
            "&&",
            "&=",
            "&Name=Panda",
            "&AT=x",
            "&x=%ff",
            "&at2=x",
            "&n",
        ):
            self.assertEqual(Invite(QUOKKA, "Quokka"), parse_invite(LINK + more))
        self.assertEqual(Invite(QUOKKA, "Quokka"), parse_invite(LINK.replace("?", "?x=1&y&")))

    def test_key_has_to_be_one(self) -> None:
        """
        An invite without a good key leads to nobody.
        """
        for digits in (
            "",
            DIGITS[:-1],
            DIGITS + "0",
            DIGITS.upper(),
            "//" + DIGITS,
            DIGITS + "/",
            DIGITS + "#x",
            " " + DIGITS,
            "%30" + DIGITS[1:],
            "00" * 32,
            "\u202e" + DIGITS,
        ):
            self.refuse(f"p2pchat:{digits}?name=Quokka", "after p2pchat: comes a device key")
        self.refuse("p2pchat:7070", "Copy it whole")

    def test_name_has_to_be_one(self) -> None:
        """
        There is exactly one.
        """
        for query in ("", "?", "?Name=Quokka", "?at=10.0.0.1:1", "?name=Q&name=Q", "&name=Q"):
            self.assertRaises(InvalidInvite, parse_invite, f"p2pchat:{DIGITS}{query}")
        self.refuse(f"p2pchat:{DIGITS}?at=10.0.0.1:1", "the one name")
        self.refuse(f"p2pchat:{DIGITS}?name=Q&name=Q", "the one name")

    def test_name_can_be_shown(self) -> None:
        """
        Nothing in it hides, reorders or escapes.
        """
        for name in (
            "%1b[2J",
            "a%0Ab",
            "%00",
            "a%09b",
            "\u202eb",
            "%E2%80%8Bb",
            "%20Bob",
            "Bob%20",
            "%20",
        ):
            self.refuse(f"p2pchat:{DIGITS}?name={name}", "cannot be shown")
        for name, length in (("", 0), ("x" * 65, 65), ("%F0%9F%91%8B" * 65, 65)):
            self.refuse(f"p2pchat:{DIGITS}?name={name}", f"has {length} characters")
        for name in ("x" * 64, "\U0001f44b" * 64, "a b"):
            self.assertEqual(name, parse_invite(f"p2pchat:{DIGITS}?name={name}").name)

    def test_what_is_no_utf_8_is_refused(self) -> None:
        """
        In a name as in an address.
        """
        for query in ("name=%ff", "name=%ed%a0%80", "name=Q&at=%c0%80"):
            self.refuse(f"p2pchat:{DIGITS}?{query}", "not UTF-8")

    def test_addresses_can_be_dialled(self) -> None:
        """
        Each with its port.
        """
        for place in (
            "",
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.256:1",
            "0.0.0.0:1",
            "2001:db8::7",
            "[2001:db8::7]",
            "[2001:db8::g]:1",
            "a..b:1",
            "%1b[2J:1",
            "\u202e10.0.0.1:1",
            "x" * 1_500 + ":1",
            "%E2%80%AE" * 100 + ":1",
        ):
            self.refuse(f"{LINK}&at={place}", "Invalid invite: its address .*is no IP address")
        self.refuse(f"{LINK}&at=10.0.0.1:1&at=nowhere", "its address nowhere is")

    def test_many_addresses_are_refused(self) -> None:
        """
        As many as are kept of a contact.
        """
        places = "".join(f"&at=10.0.0.1:{port}" for port in range(1, MOST_ADDRESSES + 1))

        self.assertEqual(MOST_ADDRESSES, len(parse_invite(LINK + places).addresses))
        self.refuse(LINK + places + "&at=10.0.0.1:9", "has 9 addresses")

    def test_long_links_are_refused(self) -> None:
        """
        White space around it does not count.
        """
        longest = (LINK + "&x=").ljust(LONGEST_LINK, "x")

        self.assertEqual("Quokka", parse_invite(f"{' ' * 500}{longest}\n").name)
        self.refuse(longest + "x", "has 2001 characters")
        self.refuse(longest * 1_000, "has 2000000 characters")

    @given(
        text=any_texts()
        | any_texts().map(f"{LINK}&at=".__add__)
        | any_texts().map(f"p2pchat:{DIGITS}?name=".__add__)
        | st.text("p2chat:?&=nme%0f1.[]").map("p2pchat:".__add__)
    )
    def test_any_text_is_an_invite_or_refused(self, text: str) -> None:
        """
        What is taken can be given on; what is not is refused in words that can be shown.
        """
        try:
            invite = parse_invite(text)
        except InvalidInvite as error:
            self.assertEqual(safe_text(str(error)), str(error))
            return
        self.assertEqual(invite, parse_invite(invite.link))


class QrTests(SynchronousTestCase):
    """
    `qr_lines`.
    """

    def modules(self, lines: list[str]) -> list[list[int]]:
        """
        Read the modules off a drawing, dark ones as 1.
        """
        upper = {" ": 1, "\u2584": 1, "\u2580": 0, "\u2588": 0}
        lower = {" ": 1, "\u2580": 1, "\u2584": 0, "\u2588": 0}
        rows = []
        for line in lines:
            rows += [[upper[block] for block in line], [lower[block] for block in line]]
        return rows

    @settings(max_examples=30)
    @given(invite=invites())
    def test_drawing_holds_the_code(self, invite: Invite) -> None:
        """
        The modules are those of the code, with four light ones around.
        """
        rows = self.modules(qr_lines(invite.link))

        code = segno.make_qr(invite.link, error="l")
        width = len(code.matrix)
        self.assertEqual(width + 8 + 1, len(rows))
        self.assertEqual({width + 8}, {len(row) for row in rows})
        inner = [row[4:-4] for row in rows[4 : 4 + width]]
        self.assertEqual([list(row) for row in code.matrix], inner)
        quiet = [*rows[:4], *rows[4 + width : -1]]
        for row in rows[4 : 4 + width]:
            quiet += [row[:4], row[-4:]]
        self.assertEqual({0}, {module for row in quiet for module in row})
        # Below the code is nothing, as beside it.
        self.assertEqual({1}, set(rows[-1]))

    def test_usual_invite_fits_on_a_terminal(self) -> None:
        """
        On 80 by 24 characters, with a line left for the prompt.
        """
        lines = qr_lines(Invite(QUOKKA, "Quokka", (HOME,)).link)

        self.assertEqual(23, len(lines))
        self.assertEqual({45}, {len(line) for line in lines})

    def test_longest_link_has_a_code(self) -> None:
        """
        Anything that may be an invite can be drawn.
        """
        self.assertEqual(79, len(qr_lines("x" * LONGEST_LINK)))

    def test_too_long_text_has_none(self) -> None:
        """
        There is a largest code.
        """
        with self.assertRaisesRegex(InvalidInvite, "too long"):
            qr_lines("x" * 3_000)
