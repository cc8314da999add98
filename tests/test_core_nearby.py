"""
Nodes that were found on the network: what counts as one, and who it may be.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.strategies import announced_hosts, announced_properties, device_keys, ip_hosts, ports
from twistedchat.core.addresses import Address, is_host_name, parse_host
from twistedchat.core.hints import SALT_LENGTH, hint_of
from twistedchat.core.identity import DeviceKey
from twistedchat.core.nearby import (
    LONGEST_SERVICE,
    MOST_ADDRESSES,
    Nearby,
    Record,
    read_record,
    recognise,
    write_properties,
)

SALT = bytes(range(SALT_LENGTH))
QUOKKA, PANDA, NUMBAT = (DeviceKey(bytes([number]) * 32) for number in (11, 22, 33))
PROPERTIES = write_properties(QUOKKA, SALT)


# RFC 4291 section 2.4.
LINK_LOCAL = IPv6Network("fe80::/10")


def has_its_link(host: str) -> bool:
    """
    Whether an address leads somewhere by itself.
    """
    return "%" in host or ":" not in host or IPv6Address(host) not in LINK_LOCAL


class WritePropertiesTests(SynchronousTestCase):
    """
    `write_properties`.
    """

    def test_properties_are_as_specified(self) -> None:
        """
        The version of the protocol, the salt and the hint: no name.
        """
        expected = {
            b"v": b"2",
            b"salt": b"000102030405060708090a0b0c0d0e0f",
            b"hint": hint_of(QUOKKA, SALT).encode(),
        }

        self.assertEqual(expected, write_properties(QUOKKA, SALT))


class ReadRecordTests(SynchronousTestCase):
    """
    `read_record`.
    """

    def read(
        self,
        properties: Mapping[bytes, bytes | None] = PROPERTIES,
        hosts: tuple[str, ...] = ("10.0.0.7",),
        port: int | None = 7070,
        service: str = "5d2f",
    ) -> Record | None:
        """
        Read an announcement that is good but for what is given.
        """
        return read_record(service, properties, hosts, port)

    def addresses(self, *hosts: str, loopback: bool = False) -> list[str]:
        """
        What is left of some IP addresses.
        """
        record = read_record("5d2f", PROPERTIES, hosts, 7070, loopback=loopback)
        return [address.host for address in record.addresses] if record else []

    def test_announcement_is_read(self) -> None:
        """
        What a node announces is what others read.
        """
        expected = Record("5d2f", SALT, hint_of(QUOKKA, SALT), (Address("10.0.0.7", 7070),))

        self.assertEqual(expected, self.read())

    @given(
        key=device_keys(),
        salt=st.binary(min_size=SALT_LENGTH, max_size=SALT_LENGTH),
        hosts=st.lists(
            ip_hosts().filter(has_its_link), min_size=1, max_size=MOST_ADDRESSES, unique=True
        ),
        port=ports(),
    )
    def test_whatever_is_announced_is_read(
        self, key: DeviceKey, salt: bytes, hosts: list[str], port: int
    ) -> None:
        """
        Every key, salt, address and port, in any order the same.
        """
        properties = write_properties(key, salt)

        record = read_record("5d2f", properties, hosts, port, loopback=True)
        again = read_record("5d2f", properties, reversed(hosts), port, loopback=True)

        assert record is not None
        self.assertEqual((salt, hint_of(key, salt)), (record.salt, record.hint))
        self.assertEqual({(host, port) for host in hosts}, set(record.addresses))
        self.assertEqual(record, again)

    @given(
        service=st.text(max_size=80),
        properties=announced_properties(),
        hosts=st.lists(announced_hosts(), max_size=30),
        port=st.none() | st.integers(-1, 70000),
        loopback=st.booleans(),
    )
    def test_anything_is_a_record_or_none(
        self,
        service: str,
        properties: dict[bytes, bytes | None],
        hosts: list[str],
        port: int | None,
        loopback: bool,
    ) -> None:
        """
        Whatever somebody announces, what comes of it has the right form, or it is dropped.
        """
        record = read_record(service, properties, hosts, port, loopback=loopback)

        if record is None:
            return
        self.assertLessEqual(len(service.encode()), LONGEST_SERVICE)
        self.assertEqual(SALT_LENGTH, len(record.salt))
        self.assertEqual(32, len(record.hint))
        self.assertTrue(1 <= len(record.addresses) <= MOST_ADDRESSES)
        self.assertEqual(len(set(record.addresses)), len(record.addresses))
        for host, announced_port in record.addresses:
            self.assertEqual(host, parse_host(host))
            self.assertFalse(is_host_name(host))
            self.assertEqual(port, announced_port)

    def test_unknown_properties_do_not_count(self) -> None:
        """
        A later version may say more than we know of.
        """
        self.assertEqual(self.read(), self.read({**PROPERTIES, b"colour": b"red", b"x": None}))

    def test_case_of_names_does_not_count(self) -> None:
        """
        Names are told apart by their letters alone, and the first of two counts.
        """
        shouted = {name.upper(): value for name, value in PROPERTIES.items()}

        self.assertEqual(self.read(), self.read(shouted))
        self.assertEqual(self.read(), self.read({**PROPERTIES, b"V": b"3", b"SALT": b""}))
        self.assertIsNone(self.read({b"V": b"3", **PROPERTIES}))

    def test_broken_properties_are_dropped(self) -> None:
        """
        Another version, and a salt or a hint that is missing or has another form.
        """
        digits = b"0123456789abcdef" * 2
        for name, values in {
            b"v": [None, b"", b"1", b"3", b"2.0", b"22"],
            b"salt": [None, b"", digits[1:], digits + b"0", digits.upper(), digits[1:] + b"g"],
            b"hint": [None, b"", digits[1:], digits + b"0", digits.upper(), digits + b"\n"],
        }.items():
            without = {other: value for other, value in PROPERTIES.items() if other != name}
            self.assertIsNone(self.read(without), name)
            for value in values:
                self.assertIsNone(self.read({**PROPERTIES, name: value}), (name, value))

    def test_impossible_port_is_dropped(self) -> None:
        """
        Nobody can be dialled there.
        """
        for port in (None, -1, 0, 65536):
            self.assertIsNone(self.read(port=port), port)

    def test_impossible_service_is_dropped(self) -> None:
        """
        A name that is no DNS label.
        """
        self.assertIsNotNone(self.read(service="\u00e4" * 31 + "x"))
        for service in ("", "\u00e4" * 32, "x" * 64):
            self.assertIsNone(self.read(service=service), service)

    def test_no_address_is_dropped(self) -> None:
        """
        A node that can be dialled nowhere is of no use.
        """
        self.assertIsNone(self.read(hosts=()))

    def test_useless_addresses_do_not_count(self) -> None:
        """
        Those that no single host has, that have no form, and names, which others would look up.
        """
        useless = ("0.0.0.0", "255.255.255.255", "224.0.0.251", "::", "ff02::fb", "x y", "lab-3")

        self.assertEqual([], self.addresses(*useless))
        self.assertEqual(["10.0.0.7"], self.addresses(*useless, "10.0.0.7"))

    def test_link_local_address_needs_its_link(self) -> None:
        """
        The same address is on every link, so it leads somewhere only together with one.
        """
        self.assertEqual(["fe80::1%eth0"], self.addresses("fe80::1", "fe80::1%eth0", "fe80::2"))
        self.assertEqual(["169.254.7.7"], self.addresses("169.254.7.7"))

    def test_loopback_address_counts_only_where_it_may(self) -> None:
        """
        A stranger does not get anything dialled that only this machine reaches.
        """
        loopback = ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1")

        self.assertEqual([], self.addresses(*loopback))
        self.assertEqual(
            ["127.0.0.1", "127.8.8.8", "::1"], self.addresses(*loopback, loopback=True)
        )

    def test_addresses_come_in_the_order_to_try(self) -> None:
        """
        Each once: IPv4, then IPv6, and last what is on one link alone.
        """
        told = ("fe80::1%eth0", "fd00::2", "10.0.0.8", "fd00:0::2", "10.0.0.7", "10.0.0.8")

        self.assertEqual(["10.0.0.7", "10.0.0.8", "fd00::2", "fe80::1%eth0"], self.addresses(*told))

    def test_addresses_beyond_the_bound_do_not_count(self) -> None:
        """
        Nobody gets hundreds of others dialled.
        """
        hosts = [f"10.0.0.{number}" for number in range(1, 200)]

        self.assertEqual(sorted(hosts[:MOST_ADDRESSES]), self.addresses(*hosts))


class RecogniseTests(SynchronousTestCase):
    """
    `recognise`.
    """

    @override
    def setUp(self) -> None:
        """
        Have an announcement of somebody's.
        """
        self.addresses = (Address("10.0.0.7", 7070),)
        self.record = Record("5d2f", SALT, hint_of(QUOKKA, SALT), self.addresses)

    def test_known_key_is_recognised(self) -> None:
        """
        Whoever knows the key knows whose hint it is.
        """
        expected = Nearby("5d2f", self.addresses, QUOKKA)

        self.assertEqual(expected, recognise(self.record, [PANDA, QUOKKA, NUMBAT]))

    def test_unknown_key_is_nobody(self) -> None:
        """
        To all others it is a node and no more.
        """
        for known in ([], [PANDA, NUMBAT]):
            self.assertEqual(Nearby("5d2f", self.addresses), recognise(self.record, known))
