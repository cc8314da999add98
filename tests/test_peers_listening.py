"""
The port that we listen on: these tests are about real sockets.
"""

import resource
import socket
from contextlib import closing
from errno import EACCES, EADDRNOTAVAIL, EAFNOSUPPORT

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.processes import free_port, has_ipv6
from twistedchat.core.errors import ConfigError
from twistedchat.peers.doorman import MOST_CONNECTIONS
from twistedchat.peers.listening import BACKLOG, OTHER_FILES, open_ports, raise_file_limit

HAS_IPV6 = has_ipv6()


class OpenPortsTests(SynchronousTestCase):
    """
    `open_ports`.
    """

    def open(self, interface: str | None, port: int) -> list[socket.socket]:
        """
        Open sockets that are closed at the end of the test.
        """
        opened = open_ports(interface, port)
        for one in opened:
            self.addCleanup(one.close)
        return opened

    def assert_ipv4_alone(self) -> None:
        """
        Check that a port on all interfaces is one socket, for IPv4.
        """
        port = free_port()

        (opened,) = self.open(None, port)

        self.assertEqual(socket.AF_INET, opened.family)
        self.assertEqual(("0.0.0.0", port), opened.getsockname())

    def refusal(self, interface: str | None, port: int) -> str:
        """
        What is said about a port that cannot be had.
        """
        return str(self.assertRaises(ConfigError, open_ports, interface, port))

    def test_all_interfaces_takes_both_kinds_of_address(self) -> None:
        """
        Without an interface a port is reached over IPv4 and IPv6, each told in its own form.
        """
        if not HAS_IPV6:
            self.skipTest("this system has no IPv6")
        port = free_port()

        opened = self.open(None, port)

        self.assertEqual([socket.AF_INET, socket.AF_INET6], [one.family for one in opened])
        self.assertEqual([port, port], [one.getsockname()[1] for one in opened])
        for one, host in zip(opened, ("127.0.0.1", "::1"), strict=True):
            one.settimeout(5)
            with socket.create_connection((host, port), timeout=5):
                connection, address = one.accept()
                connection.close()
            self.assertEqual(host, address[0])

    def test_ipv6_socket_takes_no_ipv4(self) -> None:
        """
        The socket for IPv6 is for that alone: on one for both, IPv4 would come in its IPv6 form.
        """
        if not HAS_IPV6:
            self.skipTest("this system has no IPv6")

        _, opened = self.open(None, free_port())

        self.assertTrue(opened.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))

    def test_no_ipv6_takes_ipv4(self) -> None:
        """
        A system that does not know IPv6 listens over IPv4.
        """
        real = socket.socket

        def without_ipv6(family: int = socket.AF_INET, *arguments: int) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(EAFNOSUPPORT, "Address family not supported by protocol")
            return real(family, *arguments)

        self.patch(socket, "socket", without_ipv6)

        self.assert_ipv4_alone()

    def test_ipv6_switched_off_takes_ipv4(self) -> None:
        """
        So does one that knows it, but has no address of that kind.
        """

        class WithoutAddresses(socket.socket):
            """
            A socket of a system without IPv6 addresses.
            """

            @override
            def bind(self, address: object, /) -> None:
                if self.family == socket.AF_INET6:
                    raise OSError(EADDRNOTAVAIL, "Cannot assign requested address")
                super().bind(address)  # type: ignore[arg-type]

        self.patch(socket, "socket", WithoutAddresses)

        self.assert_ipv4_alone()

    def test_one_interface_takes_only_that(self) -> None:
        """
        With an interface there is one socket, which is bound to it.
        """
        for host in ("127.0.0.1", "::1") if HAS_IPV6 else ("127.0.0.1",):
            (opened,) = self.open(host, free_port())

            self.assertEqual(host, opened.getsockname()[0])

    def test_every_socket_has_a_long_queue(self) -> None:
        """
        Each socket keeps as many connections waiting as a burst brings.
        """
        backlogs: list[int] = []
        real = socket.create_server

        def create_server(address: tuple[str, int], *, family: int, backlog: int) -> socket.socket:
            backlogs.append(backlog)
            return real(address, family=family, backlog=backlog)

        self.patch(socket, "create_server", create_server)

        opened = self.open(None, free_port())

        self.assertEqual([BACKLOG] * len(opened), backlogs)

    def test_port_in_use_is_told(self) -> None:
        """
        A taken port is told in one line, with what to do.
        """
        port = free_port()
        self.open("127.0.0.1", port)

        self.assertEqual(
            f"Cannot listen on port {port} of 127.0.0.1: address already in use. "
            "End the program that has it, or choose another with --port.",
            self.refusal("127.0.0.1", port),
        )

    def test_port_in_use_on_all_interfaces_is_told(self) -> None:
        """
        The same without an interface, which is not mentioned then.
        """
        port = free_port()
        self.open(None, port)

        self.assertStartsWith(
            f"Cannot listen on port {port}: address already in use. ", self.refusal(None, port)
        )

    def test_port_in_use_over_ipv6_is_told(self) -> None:
        """
        A port that somebody has over IPv6 alone is not taken by half.
        """
        if not HAS_IPV6:
            self.skipTest("this system has no IPv6")
        port = free_port()
        with closing(open_ports("::", port)[0]):
            self.assertStartsWith(
                f"Cannot listen on port {port}: address already in use. ", self.refusal(None, port)
            )

        self.open("0.0.0.0", port)

    def test_address_of_another_machine_is_told(self) -> None:
        """
        An address that this machine does not have is told as that, and not as a taken port.
        """
        self.assertEqual(
            "Cannot listen on port 7070 of 192.0.2.1: cannot assign requested address. "
            "Give --interface an address that this machine has, or leave it out.",
            self.refusal("192.0.2.1", 7070),
        )

    def test_unknown_scope_is_told(self) -> None:
        """
        A link that this machine does not have is told in words, not as an unknown error.
        """
        self.assertEqual(
            "Cannot listen on port 7070 of fe80::1%nolink: no such address. "
            "Give --interface an address that this machine has, or leave it out.",
            self.refusal("fe80::1%nolink", 7070),
        )

    def test_privileged_port_is_told(self) -> None:
        """
        A port that is not ours to take is told with the ones that are.
        """

        def deny(*arguments: object, **options: object) -> socket.socket:
            raise PermissionError(EACCES, "denied")

        self.patch(socket, "create_server", deny)

        self.assertEqual(
            "Cannot listen on port 80: permission denied. Choose a port above 1023 with --port.",
            self.refusal(None, 80),
        )

    def assertStartsWith(self, start: str, text: str) -> None:  # noqa: N802 (as its kind)
        """
        Check how a text begins.
        """
        self.assertEqual(start, text[: len(start)])


class RaiseFileLimitTests(SynchronousTestCase):
    """
    `raise_file_limit`.
    """

    @override
    def setUp(self) -> None:
        """
        Put the limits back at the end.
        """
        self.soft, self.hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (self.soft, self.hard))

    def test_low_limit_is_raised(self) -> None:
        """
        As many files are asked for as connections and all else need, if the system grants them.
        """
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, self.hard))

        raise_file_limit()

        wanted = MOST_CONNECTIONS + OTHER_FILES
        if self.hard != resource.RLIM_INFINITY:
            wanted = min(wanted, self.hard)
        self.assertEqual((wanted, self.hard), resource.getrlimit(resource.RLIMIT_NOFILE))

    def limits_set(self, soft: int, hard: int) -> list[tuple[int, int]]:
        """
        What is asked of a system that has these limits.
        """
        asked: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda _: (soft, hard))
        self.patch(resource, "setrlimit", lambda _, limits: asked.append(limits))
        raise_file_limit()
        return asked

    def test_low_hard_limit_is_used_up(self) -> None:
        """
        Where the hard limit is low, all of it is taken.
        """
        self.assertEqual([(1000, 1000)], self.limits_set(256, 1000))

    def test_no_hard_limit_takes_what_is_needed(self) -> None:
        """
        Where there is no hard limit, no more is taken than is needed.
        """
        self.assertEqual(
            [(4352, resource.RLIM_INFINITY)], self.limits_set(256, resource.RLIM_INFINITY)
        )

    def test_high_limits_are_left_alone(self) -> None:
        """
        What is enough already, or without a limit, is not lowered.
        """
        self.assertEqual([], self.limits_set(100_000, 200_000))
        self.assertEqual([], self.limits_set(resource.RLIM_INFINITY, resource.RLIM_INFINITY))
