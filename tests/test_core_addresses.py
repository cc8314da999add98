"""
Hosts and ports, as sockets tell them and as people write them.
"""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import addresses, any_texts, ip_hosts, ports
from twistedchat.core.addresses import (
    Address,
    canonical_host,
    is_host_name,
    parse_host,
    parse_host_port,
    parse_port,
)
from twistedchat.core.errors import AddressError


class AddressTests(SynchronousTestCase):
    """
    `Address`.
    """

    def test_text_is_what_a_person_writes(self) -> None:
        """
        An IPv6 address has brackets round it, so that the port can be told from it.
        """
        for host, text in [
            ("10.0.0.7", "10.0.0.7:6101"),
            ("lab-3.example", "lab-3.example:6101"),
            ("::1", "[::1]:6101"),
            ("fe80::1%eth0", "[fe80::1%eth0]:6101"),
        ]:
            self.assertEqual(text, str(Address(host, 6101)))

    @given(addresses())
    def test_text_is_read_as_the_same_address(self, address: Address) -> None:
        """
        What is shown can be typed.
        """
        self.assertEqual((address.host, address.port), parse_host_port(str(address)))


class CanonicalHostTests(SynchronousTestCase):
    """
    `canonical_host`.
    """

    def test_mapped_address_is_ipv4(self) -> None:
        """
        A peer has one address, whichever kind of socket it came through.
        """
        self.assertEqual("10.0.0.7", canonical_host("::ffff:10.0.0.7"))

    def test_other_addresses_are_unchanged(self) -> None:
        """
        Whatever only looks like a mapped address stays.
        """
        for host in ["10.0.0.7", "::1", "::ffff:a00:7:8", "2001:db8::10.0.0.7"]:
            self.assertEqual(host, canonical_host(host))

    @given(st.ip_addresses(v=4))
    def test_both_spellings_are_one(self, address: ipaddress.IPv4Address) -> None:
        """
        Mapped or not, an IPv4 address is the same host.
        """
        self.assertEqual(str(address), canonical_host(f"::ffff:{address}"))
        self.assertEqual(str(address), canonical_host(str(address)))


class ParsePortTests(SynchronousTestCase):
    """
    `parse_port`.
    """

    @given(ports())
    def test_every_port_is_read(self, port: int) -> None:
        """
        1 to 65535, with white space around and zeros in front.
        """
        self.assertEqual(port, parse_port(f" {port}\n"))
        self.assertEqual(port, parse_port(f"000{port}"))

    def test_what_is_no_port_is_refused(self) -> None:
        """
        The refusal says what a port is.
        """
        for text in ["", "x", "0", "000", "65536", "-1", "+1", "1.0", "6_1", "\u0663", "\u00b2"]:
            error = self.assertRaises(AddressError, parse_port, text)
            self.assertEqual(
                "a port is a number from 1 to 65535.", str(error).partition(": ")[2], text
            )

    def test_endless_number_is_refused_shortly(self) -> None:
        """
        A pasted number is neither converted nor repeated whole.
        """
        for text in ["9" * 100_000, "0" * 100_000, "x" * 100_000]:
            error = self.assertRaises(AddressError, parse_port, text)
            self.assertLess(len(str(error)), 150)


class ParseHostTests(SynchronousTestCase):
    """
    `parse_host` and `is_host_name`.
    """

    def test_addresses_become_canonical(self) -> None:
        """
        One host has one spelling.
        """
        for typed, host in [
            (" 10.0.0.7 ", "10.0.0.7"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("2001:DB8:0:0::0007", "2001:db8::7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ]:
            self.assertEqual(host, parse_host(typed))
            self.assertFalse(is_host_name(host))

    def test_names_become_lower_case(self) -> None:
        """
        A host name is read without case, and without the dot that may end it.
        """
        longest = ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 61])
        for typed, host in [
            ("Lab-3", "lab-3"),
            ("localhost", "localhost"),
            ("chat.Example.ORG.", "chat.example.org"),
            ("my_laptop.lan", "my_laptop.lan"),
            ("b\u00fccher.example", "b\u00fccher.example"),
            ("3com.com", "3com.com"),
            ("10.0.0.x", "10.0.0.x"),
            ("0xg", "0xg"),
            (longest, longest),
        ]:
            self.assertEqual(host, parse_host(typed))
            self.assertTrue(is_host_name(host))

    def test_what_looks_like_ipv4_and_is_none_is_refused(self) -> None:
        """
        A mistyped address is not looked up as a name.
        """
        for typed in [
            "999.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4.",
            "192.168.01.1",
            "7",
            "0x7f.1",
            "0x",
            "host.7",
        ]:
            error = self.assertRaises(AddressError, parse_host, typed)
            self.assertIn("four numbers from 0 to 255", str(error))

    def test_what_looks_like_ipv6_and_is_none_is_refused(self) -> None:
        """
        Nor is what has colons or brackets.
        """
        for typed in [
            ":",
            "1:2",
            "[]",
            "[10.0.0.7]",
            "[lab]",
            "::1::",
            "[[::1]]",
            "g::1",
            "1:" * 99,
        ]:
            error = self.assertRaises(AddressError, parse_host, typed)
            self.assertIn("no IPv6 address", str(error))

    def test_odd_interface_is_refused(self) -> None:
        """
        An interface is a short plain word; an escape sequence is none.
        """
        for scope in ["\x1b[2J", "eth 0", "", "e" * 16, "\u00e9th0", "eth0\n"]:
            error = self.assertRaises(AddressError, parse_host, f"[fe80::1%{scope}]")
            self.assertIn("no IPv6 address", str(error))

    def test_address_of_no_single_host_is_refused(self) -> None:
        """
        Nobody can be dialled at an address for all, for a group or for none.
        """
        for typed in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "::ffff:0.0.0.0"]:
            error = self.assertRaises(AddressError, parse_host, typed)
            self.assertIn("no single host has it", str(error))

    def test_what_is_nothing_is_refused(self) -> None:
        """
        What can be neither an address nor a name is said to be neither.
        """
        for typed in [
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a/b",
            "a\x1bb",
            "x" * 64,
            ".".join(["x" * 63] * 4),
        ]:
            error = self.assertRaises(AddressError, parse_host, typed)
            self.assertIn("neither", str(error))
            self.assertLess(len(str(error)), 250)

    def test_empty_is_said_to_be_nothing(self) -> None:
        """
        Where nothing was typed there is nothing to quote.
        """
        for typed in ["", " \t"]:
            error = self.assertRaises(AddressError, parse_host, typed)
            self.assertEqual("There is no address: nothing was typed.", str(error))

    @given(ip_hosts())
    def test_read_address_is_read_as_itself(self, host: str) -> None:
        """
        The canonical form of an address is its own.
        """
        self.assertEqual(host, parse_host(host))
        self.assertEqual(host, canonical_host(host))
        self.assertFalse(is_host_name(host))


class ParseHostPortTests(SynchronousTestCase):
    """
    `parse_host_port`.
    """

    def test_each_way_of_writing_is_read(self) -> None:
        """
        With and without a port, with and without brackets.
        """
        for typed, expected in [
            ("10.0.0.7", ("10.0.0.7", None)),
            ("10.0.0.7:6101", ("10.0.0.7", 6101)),
            (" Lab-3 : 6101 ", ("lab-3", 6101)),
            ("::1", ("::1", None)),
            ("::1:6101", ("::1:6101", None)),
            ("[::1]", ("::1", None)),
            ("[::1]:6101", ("::1", 6101)),
            ("[fe80::1%eth0]:6101", ("fe80::1%eth0", 6101)),
        ]:
            self.assertEqual(expected, parse_host_port(typed), typed)

    def test_wrong_part_is_refused(self) -> None:
        """
        Both parts have to be right.
        """
        for typed in [
            "10.0.0.7:",
            "10.0.0.7:0",
            "10.0.0.7:x",
            ":6101",
            "]:6101",
            "[lab]:6101",
            "999.1.1.1:6101",
            "[::1]:6101:6102",
        ]:
            self.assertRaises(AddressError, parse_host_port, typed)

    @given(any_texts() | st.text("0123456789abf.:[]%x- ", max_size=30))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """
        Whatever is typed is an address or an `AddressError`, and what is read can be shown.
        """
        try:
            host, port = parse_host_port(text)
        except AddressError as error:
            self.assertTrue(str(error).isprintable(), ascii(str(error)))
        else:
            self.assertTrue(host.isprintable(), ascii(host))
            self.assertTrue(port is None or 1 <= port <= 65535)
