"""
The links that this machine is on: what the system lists, and what of it is of use.
"""

import ifaddr
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.processes import has_ipv6
from twistedchat.core.nearby import MOST_ADDRESSES
from twistedchat.discovery import links
from twistedchat.discovery.links import MOST_LINKS, Link, find_links, hosts_for_others

# An address that no machine has (RFC 3849).
NOBODYS = "2001:db8::1"


def adapter(index: int | None, *hosts: str) -> ifaddr.Adapter:
    """
    What the system lists: IPv6 addresses come with their link.
    """
    ips = [
        ifaddr.IP((host, 0, index or 0) if ":" in host else host, 24, f"eth{index}")
        for host in hosts
    ]
    return ifaddr.Adapter(f"eth{index}", f"eth{index}", ips, index=index)


class FindLinksTests(SynchronousTestCase):
    """
    `find_links`.
    """

    @override
    def setUp(self) -> None:
        """
        Have a system that lists what a test says, and whose addresses can all be used.
        """
        self.adapters: list[ifaddr.Adapter] = []
        self.probed: list[tuple[str, int]] = []
        self.patch(ifaddr, "get_adapters", lambda: self.adapters)
        self.patch(links, "_is_usable", self.is_usable)

    def is_usable(self, host: str, scope: int) -> bool:
        """
        Find every address usable.
        """
        self.probed.append((host, scope))
        return True

    def test_every_link_is_found(self) -> None:
        """
        In the order of their numbers, each with all its addresses.
        """
        self.adapters = [adapter(7, "10.0.0.7", "fd00::7", "fe80::7"), adapter(3, "192.168.1.3")]

        self.assertEqual(
            (Link(3, ("192.168.1.3",)), Link(7, ("10.0.0.7", "fd00::7", "fe80::7"))),
            find_links(None),
        )
        self.assertIn(("fe80::7", 7), self.probed)

    def test_order_of_addresses_does_not_count(self) -> None:
        """
        The same addresses are the same links, or we would announce ourselves for nothing.
        """
        self.adapters = [adapter(3, "10.0.0.8", "10.0.0.7")]
        before = find_links(None)

        self.adapters = [adapter(3, "10.0.0.7", "10.0.0.8")]

        self.assertEqual(before, find_links(None))

    def test_loopback_is_no_link(self) -> None:
        """
        Nor is one without any address that others can reach.
        """
        self.adapters = [adapter(1, "127.0.0.1", "::1"), adapter(2), adapter(3, "0.0.0.0", "::")]

        self.assertEqual((), find_links(None))

    def test_allowed_addresses_are_the_only_ones(self) -> None:
        """
        Where we listen on one address, only that one is found; loopback too.
        """
        self.adapters = [adapter(1, "127.0.0.1", "::1"), adapter(2, "10.0.0.7", "fe80::7")]

        self.assertEqual((Link(1, ("127.0.0.1",)),), find_links(["127.0.0.1"]))
        self.assertEqual((Link(2, ("fe80::7",)),), find_links(["fe80::7%eth2"]))
        self.assertEqual((), find_links(["192.168.1.3"]))

    def test_link_that_went_is_left_out(self) -> None:
        """
        A link that went while the list was made has no number.
        """
        self.adapters = [adapter(None, "10.0.0.7"), adapter(3, "10.0.0.8")]

        self.assertEqual((Link(3, ("10.0.0.8",)),), find_links(None))

    def test_links_and_addresses_are_bounded(self) -> None:
        """
        A machine with hundreds of containers does not open hundreds of sockets.
        """
        hosts = [f"10.0.{link}.{host}" for link in range(1, 40) for host in range(1, 40)]
        self.adapters = [adapter(link, *hosts[39 * link - 39 : 39 * link]) for link in range(1, 40)]

        found = find_links(None)

        self.assertEqual(list(range(1, MOST_LINKS + 1)), [link.index for link in found])
        self.assertEqual({MOST_ADDRESSES}, {len(link.hosts) for link in found})


class UsableTests(SynchronousTestCase):
    """
    `find_links`, with the addresses of this machine.
    """

    def test_address_that_cannot_be_used_yet_is_left_out(self) -> None:
        """
        An IPv6 address that is listed, but that nothing can be bound to.
        """
        self.patch(ifaddr, "get_adapters", lambda: [adapter(3, "10.0.0.7", NOBODYS)])

        self.assertEqual((Link(3, ("10.0.0.7",)),), find_links(None))

    def test_address_that_can_be_used_is_found(self) -> None:
        """
        One that can.
        """
        if not has_ipv6():
            self.skipTest("this system has no IPv6")

        (link,) = find_links(["::1"])

        self.assertEqual(("::1",), link.hosts)

    def test_loopback_of_this_machine_is_found(self) -> None:
        """
        What the system really lists is understood.
        """
        (link,) = find_links(["127.0.0.1"])

        self.assertEqual(("127.0.0.1",), link.hosts)


class HostsForOthersTests(SynchronousTestCase):
    """
    Which of our addresses mean something to somebody else.
    """

    def test_link_local_addresses_are_left_out(self) -> None:
        """
        An address of one link alone is nothing to put into an invite.
        """
        links = (Link(2, ("192.0.2.1", "fe80::1")), Link(3, ("2001:db8::1", "169.254.1.1")))

        self.assertEqual(["192.0.2.1", "2001:db8::1"], hosts_for_others(links))
