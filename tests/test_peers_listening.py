"""
The port that we listen on: these tests are about real sockets.
"""

import resource
import socket
from errno import EACCES

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from twistedchat.core.errors import ConfigError
from twistedchat.peers.doorman import MOST_CONNECTIONS
from twistedchat.peers.listening import OTHER_FILES, open_port, raise_file_limit


class OpenPortTests(SynchronousTestCase):
    """
    `open_port`.
    """

    def open(self, interface: str | None, port: int = 0) -> socket.socket:
        """
        Open a port that is closed at the end of the test; 0 takes any that is free.
        """
        opened = open_port(interface, port)
        self.addCleanup(opened.close)
        return opened

    def refusal(self, interface: str | None, port: int) -> str:
        """
        What is said about a port that cannot be had.
        """
        return str(self.assertRaises(ConfigError, open_port, interface, port))

    def test_all_interfaces_takes_both_kinds_of_address(self) -> None:
        """
        Without an interface one socket is reached over IPv4 and IPv6.
        """
        if not socket.has_dualstack_ipv6():
            self.skipTest("this system has no IPv6")
        port = self.open(None).getsockname()[1]

        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()

    def test_no_ipv6_takes_ipv4(self) -> None:
        """
        A system without IPv6 listens over IPv4.
        """
        self.patch(socket, "has_dualstack_ipv6", lambda: False)

        opened = self.open(None)

        self.assertEqual(socket.AF_INET, opened.family)
        self.assertEqual("0.0.0.0", opened.getsockname()[0])

    def test_one_interface_takes_only_that(self) -> None:
        """
        With an interface the socket is bound to it.
        """
        self.assertEqual("127.0.0.1", self.open("127.0.0.1").getsockname()[0])
        if socket.has_dualstack_ipv6():
            self.assertEqual("::1", self.open("::1").getsockname()[0])

    def test_port_in_use_is_told(self) -> None:
        """
        A taken port is told in one line, with what to do.
        """
        port = self.open("127.0.0.1").getsockname()[1]

        self.assertEqual(
            f"Cannot listen on port {port} of 127.0.0.1: address already in use. "
            "End the program that has it, or choose another with --port.",
            self.refusal("127.0.0.1", port),
        )

    def test_port_in_use_on_all_interfaces_is_told(self) -> None:
        """
        The same without an interface, which is not mentioned then.
        """
        port = self.open(None).getsockname()[1]

        self.assertStartsWith(
            f"Cannot listen on port {port}: address already in use. ", self.refusal(None, port)
        )

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
            [(2304, resource.RLIM_INFINITY)], self.limits_set(256, resource.RLIM_INFINITY)
        )

    def test_high_limits_are_left_alone(self) -> None:
        """
        What is enough already, or without a limit, is not lowered.
        """
        self.assertEqual([], self.limits_set(100_000, 200_000))
        self.assertEqual([], self.limits_set(resource.RLIM_INFINITY, resource.RLIM_INFINITY))
