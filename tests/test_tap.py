"""
The way in: the command line, and the services that it starts.
"""

import gc
import getpass
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE
from tempfile import TemporaryDirectory
from types import FrameType, SimpleNamespace
from unittest import mock

import twisted.internet
from twisted.application.service import Application, IServiceCollection, MultiService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from twisted.python.usage import UsageError
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from tests.journals import Here
from twistedchat import tap
from twistedchat.core.addresses import Address
from twistedchat.core.classic import Dialect
from twistedchat.core.errors import ConfigError
from twistedchat.core.hints import SALT_LENGTH
from twistedchat.core.identity import DeviceKey
from twistedchat.core.trust import Contact
from twistedchat.discovery.links import Link
from twistedchat.faces import terminal
from twistedchat.faces.console import Console, Stdin
from twistedchat.faces.lines import WRITE_INTERVAL, LineScreen
from twistedchat.faces.screens import IOperator
from twistedchat.node import Node
from twistedchat.peers.dialling import addresses_of
from twistedchat.peers.registry import PeerRegistry
from twistedchat.store.contacts import ContactsFile
from twistedchat.store.identity import open_identity
from twistedchat.store.journal import Journal
from twistedchat.store.lock import FolderLock, lock_folder
from twistedchat.store.state import Settings, StateDirectory
from twistedchat.tap import DEFAULT_PORT, Chat, Options, makeService
from twistedchat.testing import RecordingScreen, identity_of


class TapTestCase(SynchronousTestCase):
    """
    A state folder of its own, and nobody at standard input unless a test says so.
    """

    @override
    def setUp(self) -> None:
        """
        Make them.
        """
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name) / "state"
        self.stdin = Stdin.NOBODY
        self.terminals: list[str] = []
        self.patch(tap, "kind_of_stdin", self.kind_of_stdin)
        self.patch(getpass, "getuser", lambda: "login")

    def kind_of_stdin(self, terminal: str) -> Stdin:
        """
        Tell who is there, as the test says.
        """
        self.terminals.append(terminal)
        return self.stdin

    def parse(self, *words: str, parent: ServerOptions | None = None) -> Options:
        """
        Read a command line.
        """
        options = Options()
        options.parent = parent
        options.parseOptions([f"--state={self.place}", *words])
        return options

    def refuse(self, *words: str) -> str:
        """
        Read a command line that is wrong, and give what is said about it: one line, and status 1.
        """
        error = self.assertRaises(SystemExit, self.parse, *words)
        assert isinstance(error.code, str)
        self.assertEqual(1, len(error.code.splitlines()))
        prefix, _, words_said = error.code.partition(": ")
        self.assertEqual("p2pchat", prefix)
        return words_said

    def twistd(self, **values: object) -> ServerOptions:
        """
        The options of twistd, with some of them set.
        """
        options = ServerOptions()
        options.update(values)
        return options


class GivenOptionsTests(TapTestCase):
    """
    What stands on the command line.
    """

    def test_given_values_are_ready_to_use(self) -> None:
        """
        Everything is checked and converted.
        """
        options = self.parse(
            "--port= 7071 ", "--team= us all ", "--interface=::1", "--dialect=plain"
        )

        self.assertEqual(7071, options["port"])
        self.assertEqual("us all", options["team"])
        self.assertEqual("::1", options["interface"])
        self.assertIs(Dialect.PLAIN, options["dialect"])
        self.assertEqual(self.place, options["state"].path)
        self.assertIs(Stdin.NOBODY, options["stdin"])
        self.assertTrue(options["in_foreground"])
        self.assertTrue(options["has_own_log"])

    def test_flags_are_off_unless_given(self) -> None:
        """
        Others on the network are looked for, and plain programs are spoken with.
        """
        for flag in ("no-lan", "secure-only"):
            self.assertFalse(self.parse()[flag])
            self.assertTrue(self.parse(f"--{flag}")[flag])

    def test_short_forms_are_the_same(self) -> None:
        """
        Every option with a value has a letter.
        """
        options = Options()
        options.parseOptions(
            ["-p", "1", "-t", "us", "-i", "127.0.0.1", "-d", "json", "-s", str(self.place)]
        )

        self.assertEqual(
            (1, "us", "127.0.0.1", Dialect.JSON, self.place),
            (
                options["port"],
                options["team"],
                options["interface"],
                options["dialect"],
                options["state"].path,
            ),
        )

    def test_nothing_given_takes_defaults(self) -> None:
        """
        With nobody to ask, the login name and the usual port are taken, on all interfaces.
        """
        options = self.parse()

        self.assertEqual(
            ("login", DEFAULT_PORT, None, Dialect.HEADER),
            (options["team"], options["port"], options["interface"], options["dialect"]),
        )

    def test_user_without_a_name_is_anonymous(self) -> None:
        """
        A user ID without an entry, as in a container, is no reason not to start.
        """
        for error in (KeyError("uid not found"), OSError("no username")):
            self.patch(getpass, "getuser", mock.Mock(side_effect=error))
            self.assertEqual("anonymous", self.parse("--state", self.fresh())["team"])

    def fresh(self) -> str:
        """
        A state folder in which nothing is remembered.
        """
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_state_is_in_the_user_folder_by_default(self) -> None:
        """
        Without --state the platform's folder for user data is taken.
        """
        self.patch(tap, "user_data_path", lambda name, author: self.place / name)
        options = Options()
        options.parseOptions([])

        self.assertEqual(self.place / "twistedchat", options["state"].path)

    def test_relative_state_is_made_absolute(self) -> None:
        """
        A daemon changes its working directory: its folder must not move with it.
        """
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.place.parent)

        options = Options()
        options.parseOptions(["--state=state"])

        self.assertEqual(Path.cwd() / "state", options["state"].path)

    def test_every_interface_of_one_kind_can_be_given(self) -> None:
        """
        The two addresses that no single host has mean all interfaces.
        """
        for host in ("0.0.0.0", "::"):
            self.assertEqual(host, self.parse(f"--interface={host}")["interface"])

    def test_bad_port_is_told(self) -> None:
        """
        What is no port is refused.
        """
        for port in ("0", "65536", "x", "", "9" * 5000):
            self.assertIn("a port is a number from 1 to 65535.", self.refuse(f"--port={port}"))

    def test_bad_team_is_told(self) -> None:
        """
        A name is there, fits a line, and can be shown.
        """
        self.assertEqual("The team name is empty: give one with --team.", self.refuse("--team=  "))
        self.assertEqual(
            "The team name has 65 characters: at most 64 are allowed.",
            self.refuse("--team=" + "a" * 65),
        )
        self.assertEqual(
            "The team name a␛b holds characters that cannot be shown.", self.refuse("--team=a\x1bb")
        )
        self.assertEqual("a" * 64, self.parse("--team=" + "a" * 64)["team"])

    def test_bad_interface_is_told(self) -> None:
        """
        An interface is given by an IP address.
        """
        self.assertEqual(
            "'localhost' is a name: --interface takes an IP address of this machine.",
            self.refuse("--interface=localhost"),
        )
        self.assertIn("Invalid IP address '1.2.3'", self.refuse("--interface=1.2.3"))

    def test_bad_dialect_is_told(self) -> None:
        """
        There are four dialects to choose from; the other forms of one are not for strangers.
        """
        for dialect in ("HEADER", "angle-end", "\x1b"):
            self.assertIn("it is header, plain, angle, json.", self.refuse(f"--dialect={dialect}"))

    def test_state_that_cannot_be_had_is_told(self) -> None:
        """
        A file in the place of the folder is told, whatever else is right.
        """
        self.place.touch()

        self.assertIn("cannot be made (File exists)", self.refuse("--port=7070", "--team=us"))

    def test_damaged_settings_are_told(self) -> None:
        """
        Settings that cannot be read are neither guessed nor overwritten.
        """
        self.place.mkdir()
        (self.place / "settings.json").write_text("{")

        said = self.refuse("--port=7070", "--team=us")

        self.assertIn("Mend that file or delete it.", said)
        self.assertEqual("{", (self.place / "settings.json").read_text())

    def test_unknown_option_is_a_usage_error(self) -> None:
        """
        What twistd tells about unknown options is left to it.
        """
        self.assertRaises(UsageError, self.parse, "--colour=blue")


class AskedTests(TapTestCase):
    """
    What is asked, on real standard files.
    """

    stdin = Stdin.LINES

    @override
    def setUp(self) -> None:
        """
        Put pipes in the place of standard input and output.
        """
        super().setUp()
        self.stdin = Stdin.LINES
        self.keyboard, self.paper = self.pipe(0), self.pipe(1)

    def pipe(self, number: int) -> int:
        """
        Put a pipe in the place of a standard file; its other end is given.
        """
        ends = os.pipe()
        mine, theirs = (ends[1], ends[0]) if number == 0 else ends
        kept = os.dup(number)
        self.addCleanup(os.close, kept)
        self.addCleanup(os.dup2, kept, number)
        os.dup2(theirs, number)
        os.close(theirs)
        os.set_blocking(mine, False)
        self.addCleanup(self.close, mine)
        return mine

    def close(self, descriptor: int) -> None:
        """
        Close our end of a pipe, if it is open.
        """
        if descriptor in (self.keyboard, self.paper):
            os.close(descriptor)

    def type(self, text: str) -> None:
        """
        Type something, and no more.
        """
        os.write(self.keyboard, text.encode())
        os.close(self.keyboard)
        self.keyboard = -1

    def asked(self) -> str:
        """
        What was asked.
        """
        return os.read(self.paper, 10_000).decode()

    def test_missing_values_are_asked(self) -> None:
        """
        Name and port are asked for, a line each, with what would be taken; the rest is not read.
        """
        self.type(" us \n7071\n1\n")

        options = self.parse()

        self.assertEqual(("us", 7071), (options["team"], options["port"]))
        self.assertEqual(
            "Enter your team name [login]:\nEnter your port number [7070]:\n", self.asked()
        )
        self.assertEqual(b"1\n", os.read(0, 100))

    def test_empty_answers_take_what_is_offered(self) -> None:
        """
        Return takes what was answered last time.
        """
        StateDirectory(self.place).write_settings(Settings("us", 7071))
        self.type("\n\n")

        options = self.parse()

        self.assertEqual(("us", 7071), (options["team"], options["port"]))
        self.assertEqual(
            "Enter your team name [us]:\nEnter your port number [7071]:\n", self.asked()
        )

    def test_given_values_are_not_asked(self) -> None:
        """
        Only what is missing is asked for.
        """
        self.type("7071\n")

        self.assertEqual(7071, self.parse("--team=us")["port"])
        self.assertEqual("Enter your port number [7070]:\n", self.asked())

    def test_answers_stand_behind_their_questions_on_a_terminal(self) -> None:
        """
        Where somebody presses Return, the question does not end its line.
        """
        self.patch(os, "isatty", lambda descriptor: True)
        self.type("us\n7071\n")

        self.parse()

        self.assertEqual(
            "Enter your team name [login]: Enter your port number [7070]: ", self.asked()
        )

    def test_end_of_a_pipe_takes_what_is_offered(self) -> None:
        """
        A script that says nothing gets the defaults, also in the middle of an answer.
        """
        self.type("us")

        options = self.parse()

        self.assertEqual(("us", 7070), (options["team"], options["port"]))

    def test_wrong_answer_is_told(self) -> None:
        """
        An answer is checked like an option.
        """
        self.type("us\nx\n")

        self.assertIn("Invalid port number 'x'", self.refuse())

    def test_end_at_a_terminal_is_a_change_of_mind(self) -> None:
        """
        Control-D at a question ends without a word, and with success.
        """
        self.stdin = Stdin.TERMINAL
        self.type("")

        self.assertEqual(0, self.assertRaises(SystemExit, self.parse).code)

    def test_control_c_ends_as_a_signal_does(self) -> None:
        """
        Control-C at a question ends without a word, and with the shell's status for it.
        """
        self.patch(os, "read", mock.Mock(side_effect=KeyboardInterrupt))

        self.assertEqual(130, self.assertRaises(SystemExit, self.parse).code)

    def test_answer_that_cannot_be_read_is_told(self) -> None:
        """
        A terminal that is gone is an error in words.
        """
        os.close(self.paper)
        self.paper = -1

        self.assertEqual("The answer cannot be read (Broken pipe).", self.refuse())

    def test_nobody_is_not_asked(self) -> None:
        """
        Where nobody could answer no question is put.
        """
        self.stdin = Stdin.NOBODY
        self.type("us\n7071\n")

        options = self.parse()

        self.assertEqual(("login", 7070), (options["team"], options["port"]))
        self.assertRaises(BlockingIOError, self.asked)


class ParentTests(TapTestCase):
    """
    What twistd was told.
    """

    def test_foreground_takes_no_pidfile(self) -> None:
        """
        Two nodes in one folder do not take each other for the same program.
        """
        twistd = self.twistd(nodaemon=True)
        self.stdin = Stdin.LINES
        self.patch(os, "environ", {"TERM": "xterm"})

        options = self.parse("--port=7070", "--team=us", parent=twistd)

        self.assertEqual("", twistd["pidfile"])
        self.assertTrue(options["in_foreground"])
        self.assertIs(Stdin.LINES, options["stdin"])
        self.assertEqual(["xterm"], self.terminals)

    def test_pidfile_that_was_asked_for_is_kept(self) -> None:
        """
        Whoever names a pidfile gets it.
        """
        twistd = self.twistd(nodaemon=True, pidfile="my.pid")

        self.parse(parent=twistd)

        self.assertEqual("my.pid", twistd["pidfile"])

    def test_daemon_keeps_its_pidfile_and_has_nobody(self) -> None:
        """
        In the background nobody can be asked, and the pidfile is how it is ended.
        """
        twistd = self.twistd(nodaemon=False)
        self.stdin = Stdin.TERMINAL

        options = self.parse(parent=twistd)

        self.assertEqual("twistd.pid", twistd["pidfile"])
        self.assertFalse(options["in_foreground"])
        self.assertIs(Stdin.NOBODY, options["stdin"])
        self.assertEqual([], self.terminals)
        self.assertTrue(options["has_own_log"])

    def test_log_that_was_asked_for_replaces_ours(self) -> None:
        """
        Whoever says where the log goes gets it there.
        """
        for option in ("logfile", "syslog", "logger"):
            twistd = self.twistd(nodaemon=True, **{option: "somewhere"})

            self.assertFalse(self.parse(parent=twistd)["has_own_log"])

    def test_twist_is_a_foreground(self) -> None:
        """
        Under twist, whose options are others, the node runs in the foreground.
        """
        options = Options()
        options.parent = {"reactor": "default"}  # type: ignore[assignment]
        options.parseOptions([f"--state={self.place}"])

        self.assertTrue(options["in_foreground"])


class FakeLan(Service):
    """
    A local network on which nobody is, and nothing is ever sent.
    """

    def __init__(
        self,
        reactor: object,
        key: DeviceKey,
        port: int,
        changed: object,
        *,
        salt: bytes,
        interfaces: list[str] | None,
    ) -> None:
        self.where = (reactor, port, interfaces)
        self.key = key
        self.salt = salt
        self.changed = changed


class ServiceTestCase(TapTestCase):
    """
    A reactor in memory, a port that is no real one, and a journal that does everything at once.
    """

    @override
    def setUp(self) -> None:
        """
        Put them in the place of the real ones.
        """
        super().setUp()
        self.reactor = MemoryReactorClock()
        replaced = mock.patch.object(twisted.internet, "reactor", self.reactor, create=True)
        replaced.start()
        self.addCleanup(replaced.stop)
        self.families = [socket.AF_INET]
        self.opened: list[tuple[str | None, int]] = []
        self.limits_raised = 0
        self.locks: list[FolderLock] = []
        self.addCleanup(self.release_locks)
        self.patch(tap, "open_ports", self.open_ports)
        self.patch(tap, "raise_file_limit", self.raise_file_limit)
        self.patch(tap, "lock_folder", self.lock)
        self.patch(
            tap, "Journal", lambda _, folder, key: Journal(Here(), folder, key, lambda _: Here())
        )
        self.patch(tap, "Lan", FakeLan)
        self.signals: dict[int, Callable[[int, FrameType | None], None]] = {}
        self.patch(signal, "getsignal", lambda number: signal.SIG_DFL)
        self.patch(signal, "signal", self.signals.__setitem__)

    def open_ports(self, interface: str | None, port: int) -> list[socket.socket]:
        """
        Give sockets that listen nowhere.
        """
        self.opened.append((interface, port))
        opened = [socket.socket(family) for family in self.families]
        for one in opened:
            self.addCleanup(one.close)
        return opened

    def raise_file_limit(self) -> None:
        """
        Remember it.
        """
        self.limits_raised += 1

    def lock(self, folder: Path) -> FolderLock:
        """
        Lock a folder until the end of the test.
        """
        self.locks.append(lock_folder(folder))
        return self.locks[-1]

    def release_locks(self) -> None:
        """
        Let others use the folders, as when the process has ended.
        """
        while self.locks:
            self.locks.pop().release()

    @property
    def folder(self) -> Path:
        """
        That of the node.
        """
        return self.place / "7071"

    def make(
        self, *words: str, stdin: Stdin = Stdin.LINES, parent: ServerOptions | None = None
    ) -> Chat:
        """
        Make the service for a command line.
        """
        self.stdin = stdin
        return makeService(self.parse("--port=7071", "--team=us", *words, parent=parent))

    def start(self, chat: Chat) -> None:
        """
        Start it as twistd does.
        """
        # Of what other tests leave nothing is to stay.
        self.addCleanup(gc.unfreeze)
        chat.privilegedStartService()
        chat.startService()

    def stop(self, chat: Chat) -> None:
        """
        Stop it; it has to leave no timer behind.
        """
        self.successResultOf(chat.stopService())
        self.assertEqual([], self.reactor.getDelayedCalls())


class MakeServiceTests(ServiceTestCase):
    """
    `makeService`.
    """

    def test_foreground_has_a_node_and_a_console(self) -> None:
        """
        With -n there is a node, with its registry, and the network and a console beside it.
        """
        chat = self.make("--interface=127.0.0.1")
        lan, node, console = chat

        self.assertIsInstance(lan, FakeLan)
        assert isinstance(node, Node)
        self.assertIsInstance(console, Console)
        self.assertIs(console, chat.getServiceNamed("console"))
        self.assertIsInstance(node.getServiceNamed("peers"), PeerRegistry)
        self.assertEqual(("us", 7071), (node.team, node.port))
        self.assertEqual([("127.0.0.1", 7071)], self.opened)
        self.assertEqual(1, self.limits_raised)
        self.start_and_stop_without_a_screen(chat)

    def test_what_stays_for_good_is_not_collected_again(self) -> None:
        """
        Once everything has started, the garbage collector passes over what is there.
        """
        gc.unfreeze()
        chat = self.make("--no-lan", parent=self.twistd(nodaemon=False))

        self.start(chat)

        self.assertGreater(gc.get_freeze_count(), len(gc.get_objects()))
        self.stop(chat)

    def start_and_stop_without_a_screen(self, chat: Chat) -> None:
        """
        Take the console away, start what is left, and stop it.
        """
        chat.removeService(chat.getServiceNamed("console"))
        self.start(chat)
        self.stop(chat)

    def test_background_has_no_console(self) -> None:
        """
        A daemon is a node alone; it listens when it is started, on every socket.
        """
        self.families = [socket.AF_INET, socket.AF_INET6]
        chat = self.make("--no-lan", parent=self.twistd(nodaemon=False))

        self.assertEqual([Node], [type(service) for service in chat])
        self.start(chat)
        self.assertEqual(self.families, [family for _, family, _ in self.reactor.adoptedPorts])
        self.stop(chat)

    def test_log_elsewhere_is_not_in_the_folder(self) -> None:
        """
        A node whose log goes somewhere else writes none into its folder.
        """
        chat = self.make(parent=self.twistd(nodaemon=True, logfile="somewhere"))
        chat.setServiceParent(Application("test"))

        self.assertEqual(
            {"identity.key", "journal.sqlite", "lock"},
            {file.name for file in self.folder.iterdir()},
        )

    def test_node_is_announced_on_the_network(self) -> None:
        """
        The announcement is salted anew, and goes where the node listens: everywhere, or there.
        """
        salts = set()
        for interface, wanted in [
            (None, None),
            ("0.0.0.0", None),
            ("::", None),
            ("127.0.0.1", ["127.0.0.1"]),
        ]:
            options = [] if interface is None else [f"--interface={interface}"]
            lan, node, _ = self.make(*options)
            self.release_locks()

            assert isinstance(lan, FakeLan)
            assert isinstance(node, Node)
            self.assertEqual((self.reactor, 7071, wanted), lan.where)
            self.assertEqual(node.key, lan.key)
            self.assertEqual(node.records_changed, lan.changed)
            self.assertEqual(SALT_LENGTH, len(lan.salt))
            salts.add(lan.salt)
        self.assertEqual(4, len(salts))

    def test_without_lan_nobody_is_told(self) -> None:
        """
        With --no-lan there is a node and a console, and nothing that announces them.
        """
        self.assertEqual([Node, Console], [type(service) for service in self.make("--no-lan")])

    def test_invite_tells_where_the_node_listens(self) -> None:
        """
        The addresses in it are those of this machine that the node listens on.
        """
        asked: list[list[str] | None] = []

        def find_links(allowed: list[str] | None) -> tuple[Link, ...]:
            asked.append(allowed)
            return Link(1, ("192.0.2.1", "2001:db8::1")), Link(2, ("198.51.100.1",))

        self.patch(tap, "find_links", find_links)
        _, node, _ = self.make()
        self.release_locks()
        _, other, _ = self.make("--interface=192.0.2.1")
        assert isinstance(node, Node)
        assert isinstance(other, Node)

        self.assertEqual(
            (
                Address("192.0.2.1", 7071),
                Address("2001:db8::1", 7071),
                Address("198.51.100.1", 7071),
            ),
            node.invite().addresses,
        )
        other.invite()
        self.assertEqual([None, ["192.0.2.1"]], asked)

    def test_secure_only_is_told_to_the_node(self) -> None:
        """
        Whether plain is spoken is the node's affair.
        """
        for flags in ([], ["--secure-only"]):
            with mock.patch.object(tap, "Node", wraps=Node) as made:
                self.make(*flags)
            self.release_locks()

            self.assertIs(bool(flags), made.call_args.kwargs["secure_only"])

    def test_node_is_the_same_each_time(self) -> None:
        """
        The key is made at the first start, and so are the contacts read that were written.
        """
        ann = identity_of("ann").key
        _, first, _ = self.make()
        self.release_locks()
        ContactsFile(self.folder).write([Contact(ann, "Ann")])
        _, second, _ = self.make()

        assert isinstance(first, Node)
        assert isinstance(second, Node)
        self.assertEqual(first.key, second.key)
        self.assertEqual(open_identity(self.folder)[0].key, second.key)
        self.assertEqual([], first.contacts.all())
        self.assertEqual([Contact(ann, "Ann")], second.contacts.all())

    def test_damaged_files_are_told(self) -> None:
        """
        A key, contacts or a journal that cannot be used is one line and status 1.
        """
        self.make()
        self.release_locks()
        for name, data, said in [
            ("journal.sqlite", b"no journal" * 100, "it is damaged. Put back a copy of it."),
            ("contacts.json", b'{"version": 1, "contacts"', "Mend that file or put back a copy"),
            ("identity.key", b"twistedchat-ed25519 00\n", "is damaged. Put back a copy"),
        ]:
            (self.folder / name).write_bytes(data)

            error = self.assertRaises(SystemExit, self.make)
            self.release_locks()

            line = str(error.code)
            self.assertIn(said, line)
            self.assertIn(str(self.folder / name), line)
            self.assertEqual(1, len(line.splitlines()))
            self.assertEqual(data, (self.folder / name).read_bytes())
        self.assertEqual(1, self.limits_raised)

    def test_key_that_others_can_read_is_told(self) -> None:
        """
        A key with the wrong mode may be anybody's by now.
        """
        self.make()
        self.release_locks()
        file = self.folder / "identity.key"
        file.chmod(0o640)

        error = self.assertRaises(SystemExit, self.make)

        self.assertIn(f"chmod 600 {file}", str(error.code))

    def test_folder_in_use_is_told(self) -> None:
        """
        A second process on one folder is one line, which tells the first one's number.
        """
        self.make()

        error = self.assertRaises(SystemExit, self.make)

        self.assertEqual(
            f"p2pchat: The folder {self.folder} is used by another node (process {os.getpid()}). "
            "Quit that one first, or choose another port or another place with --state.",
            error.code,
        )

    def test_port_that_cannot_be_had_is_told(self) -> None:
        """
        A taken port is one line and status 1, before anything was started.
        """

        def refuse(interface: str | None, port: int) -> list[socket.socket]:
            raise ConfigError("Cannot listen on port 7071: it is taken.")

        self.patch(tap, "open_ports", refuse)

        error = self.assertRaises(SystemExit, self.make)

        self.assertEqual("p2pchat: Cannot listen on port 7071: it is taken.", error.code)
        self.assertEqual(0, self.limits_raised)

    def test_names_are_looked_up_in_a_thread(self) -> None:
        """
        The resolver blocks, so it is asked where that holds up nobody.
        """
        asked: list[tuple[object, str]] = []

        def defer(function: object, host: str) -> Deferred[list[str]]:
            asked.append((function, host))
            return succeed(["192.0.2.1"])

        self.patch(tap, "deferToThread", defer)
        chat = self.make("--no-lan", parent=self.twistd(nodaemon=False))
        (node,) = chat
        assert isinstance(node, Node)
        self.start(chat)

        self.assertTrue(self.successResultOf(node.look_up("peer.example")))

        self.assertEqual([(addresses_of, "peer.example")], asked)
        self.stop(chat)


class RememberedTests(ServiceTestCase):
    """
    What was answered last.
    """

    def remembered(self) -> Settings:
        """
        What would be offered the next time.
        """
        return StateDirectory(self.place).read_settings()

    def test_answers_are_remembered(self) -> None:
        """
        Name and port are taken again at the next start.
        """
        self.make()

        options = self.parse()

        self.assertEqual(("us", 7071), (options["team"], options["port"]))

    def test_refused_answers_are_not_remembered(self) -> None:
        """
        What is wrong does not replace what was right.
        """
        self.make()
        self.refuse("--port=7072", "--team=")

        self.assertEqual(Settings("us", 7071), self.remembered())

    def test_port_that_cannot_be_had_is_not_remembered(self) -> None:
        """
        A port in use does not replace one that could be had, and leaves no folder behind.
        """
        self.make()

        def refuse(interface: str | None, port: int) -> list[socket.socket]:
            raise ConfigError("Cannot listen on port 7072: it is taken.")

        self.patch(tap, "open_ports", refuse)
        self.assertRaises(SystemExit, self.make, "--port=7072", "--team=them")

        self.assertEqual(Settings("us", 7071), self.remembered())
        self.assertFalse((self.place / "7072").exists())

    def test_same_answers_are_not_written_again(self) -> None:
        """
        A start that changes nothing writes nothing.
        """
        self.make()
        self.release_locks()
        before = (self.place / "settings.json").stat().st_ino

        self.make()

        self.assertEqual(before, (self.place / "settings.json").stat().st_ino)

    def test_settings_that_cannot_be_written_are_told(self) -> None:
        """
        A disk that is full is one line and status 1.
        """

        def fail(state: StateDirectory, settings: Settings) -> None:
            raise ConfigError("The settings cannot be written.")

        self.patch(StateDirectory, "write_settings", fail)

        error = self.assertRaises(SystemExit, self.make)

        self.assertEqual("p2pchat: The settings cannot be written.", error.code)
        self.assertEqual(0, self.limits_raised)

    def test_file_in_the_place_of_a_nodes_folder_is_told(self) -> None:
        """
        The folder of this node must be one.
        """
        StateDirectory(self.place)
        (self.place / "7071").touch()

        error = self.assertRaises(SystemExit, self.make)

        self.assertIn("cannot be made (File exists)", str(error.code))


class FakeTimer:
    """
    A timer that goes off at once, or never.

    Attributes:
        goes_off: Which.
        cancelled: How many were cancelled and waited for.
    """

    goes_off = False
    cancelled = 0

    def __init__(self, delay: float, tell: Callable[[], None]) -> None:
        self.delay, self.tell = delay, tell

    def start(self) -> None:
        """
        Go off, if it does.
        """
        if self.goes_off:
            self.tell()

    def cancel(self) -> None:
        """
        It is not wanted any more.
        """

    def join(self) -> None:
        """
        Wait for its thread.
        """
        type(self).cancelled += 1


class SlowJournalTests(ServiceTestCase):
    """
    A journal that takes a while to be opened.
    """

    @override
    def setUp(self) -> None:
        """
        Write what is said into a list.
        """
        super().setUp()
        self.said: list[bytes] = []
        self.patch(FakeTimer, "cancelled", 0)
        self.patch(tap, "threading", SimpleNamespace(Event=threading.Event, Timer=FakeTimer))

    def write(self, descriptor: int, data: bytes) -> int:
        """
        Remember what is written to standard output.
        """
        self.assertEqual(1, descriptor)
        self.said.append(data)
        return len(data)

    def test_soon_open_journal_is_not_worth_a_word(self) -> None:
        """
        Nothing is said, and no thread is left for the daemon's fork to lose.
        """
        self.patch(os, "write", self.write)

        self.make()

        self.assertEqual([], self.said)
        self.assertEqual(1, FakeTimer.cancelled)

    def test_slow_journal_is_told_before_and_after(self) -> None:
        """
        Whoever started it knows what they wait for, and when it is over.
        """
        self.patch(FakeTimer, "goes_off", True)
        self.patch(os, "write", self.write)

        self.make()

        begun, done = self.said
        self.assertTrue(begun.startswith(b"Opening the journal takes a while: "))
        self.assertEqual(b"The journal is open.\n", done)

    def test_nobody_has_to_read_it(self) -> None:
        """
        Where standard output is closed it is made all the same.
        """

        def fail(descriptor: int, data: bytes) -> int:
            raise BrokenPipeError

        self.patch(FakeTimer, "goes_off", True)
        self.patch(os, "write", fail)

        self.assertIsInstance(self.make(), Chat)

    def test_interrupt_is_no_traceback(self) -> None:
        """
        Control-C ends it with the status that shells give, and without the second line.
        """

        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        self.patch(FakeTimer, "goes_off", True)
        self.patch(os, "write", self.write)
        self.patch(tap, "Journal", interrupt)

        self.assertEqual(130, self.assertRaises(SystemExit, self.make).code)
        self.assertEqual(1, len(self.said))
        self.assertEqual(1, FakeTimer.cancelled)


class ScreensTests(ServiceTestCase):
    """
    What a console is given to draw on.
    """

    @override
    def setUp(self) -> None:
        """
        Put a recording transport in the place of standard input and output.
        """
        super().setUp()
        self.transports: list[StringTransportWithDisconnection] = []
        self.files: list[tuple[int, int]] = []
        self.patch(tap, "StandardIO", self.standard_io)

    def standard_io(
        self, screen: LineScreen, stdin: int, stdout: int, reactor: object
    ) -> StringTransportWithDisconnection:
        """
        Connect a screen to a transport in memory.
        """
        self.assertIs(self.reactor, reactor)
        self.files.append((stdin, stdout))
        transport = StringTransportWithDisconnection(lenient=True)
        transport.protocol = screen
        self.transports.append(transport)
        screen.makeConnection(transport)
        return transport

    def test_lines_are_read_from_standard_input(self) -> None:
        """
        A script is greeted, and 0 leaves, stops the reactor, and gives the files back.
        """
        chat = self.make(stdin=Stdin.LINES)
        self.start(chat)
        (transport,) = self.transports
        self.reactor.advance(WRITE_INTERVAL)

        self.assertEqual([(0, 1)], self.files)
        self.assertIn(b"Listening on port 7071 as us\n", transport.value())
        transport.protocol.dataReceived(b"0\n")

        self.assertTrue(self.reactor.hasStopped)
        self.stop(chat)
        self.assertFalse(transport.connected)

    def test_terminal_gets_a_terminal_screen(self) -> None:
        """
        A person at a terminal gets the screen that was made for it, and it is started.
        """
        screens: list[tuple[IOperator, object, object]] = []
        starts: list[RecordingScreen] = []

        class FakeTerminal(RecordingScreen):
            """
            A terminal screen without a terminal.
            """

            def __init__(self, operator: IOperator, clock: object, threads: object) -> None:
                super().__init__()
                screens.append((operator, clock, threads))

            def start(self) -> None:
                """
                Take the terminal.
                """
                starts.append(self)

        self.patch(terminal, "TerminalScreen", FakeTerminal)
        chat = self.make(stdin=Stdin.TERMINAL)
        self.start(chat)

        self.assertEqual([(chat.getServiceNamed("console"), self.reactor, self.reactor)], screens)
        self.assertIn("Listening on port 7071 as us", starts[0].lines)
        self.assertEqual([], self.transports)
        self.stop(chat)

    def test_nobody_gets_the_end_of_the_input_and_goes_on(self) -> None:
        """
        A service in the foreground shows what happens, reads nothing, and does not end by itself.
        """
        chat = self.make(stdin=Stdin.NOBODY)
        self.start(chat)
        (screen,) = [transport.protocol for transport in self.transports]
        assert isinstance(screen, LineScreen)
        ((keyboard, _),) = self.files
        self.addCleanup(os.close, keyboard)
        self.assertEqual(b"", os.read(keyboard, 1))

        screen.readConnectionLost()

        self.assertFalse(self.reactor.hasStopped)
        self.stop(chat)

    def test_terminal_with_lines_gets_files_of_its_own(self) -> None:
        """
        Files that are shared with a shell are not made non-blocking: the same are opened again.
        """
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)

        own = tap._own(slave, os.O_RDONLY)
        self.addCleanup(os.close, own)

        self.assertNotEqual(slave, own)
        self.assertEqual(os.ttyname(slave), os.ttyname(own))
        os.set_blocking(own, False)
        self.assertTrue(os.get_blocking(slave))

    def test_terminal_without_a_name_is_used_as_it_is(self) -> None:
        """
        A terminal that cannot be opened again is better than none.
        """
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.patch(os, "ttyname", mock.Mock(side_effect=OSError("no name")))

        self.assertEqual(slave, tap._own(slave, os.O_RDONLY))


class ChatTests(ServiceTestCase):
    """
    `Chat`: the log and the closed terminal.
    """

    @override
    def setUp(self) -> None:
        """
        Close the logs at the end of the test.
        """
        super().setUp()
        self.logs: list[LogFile] = []
        self.patch(tap, "LogFile", self.open_log)

    def open_log(self, name: str, folder: str, **options: int) -> LogFile:
        """
        Open a log, and remember it.
        """
        log = LogFile(name, folder, **options)
        self.logs.append(log)
        self.addCleanup(log.close)
        return log

    def test_joining_an_application_brings_the_log(self) -> None:
        """
        The log goes into a private file in the node's folder, of bounded size and number.
        """
        folder = StateDirectory(self.place).node_folder(7071)
        application = Application("test")
        chat = Chat(folder, self.lock(folder))

        chat.setServiceParent(application)

        assert isinstance(application, Componentized)
        observer = application.getComponent(ILogObserver)
        Logger(observer=LogPublisher(observer)).info("hello {who}", who="log")
        file = folder / "p2pchat.log"
        self.assertIn("hello log", file.read_text())
        self.assertEqual(0o600, S_IMODE(file.stat().st_mode))
        self.assertEqual((1_000_000, 5), (self.logs[0].rotateLength, self.logs[0].maxRotatedFiles))
        self.assertEqual([chat], list(IServiceCollection(application)))

    def test_log_elsewhere_is_left_alone(self) -> None:
        """
        Without a folder no log is opened, and none in a service that is no application.
        """
        lock = self.lock(StateDirectory(self.place).node_folder(7071))
        application = Application("test")
        Chat(None, lock).setServiceParent(application)
        parent = MultiService()
        Chat(self.place, lock).setServiceParent(parent)

        assert isinstance(application, Componentized)
        self.assertIsNone(application.getComponent(ILogObserver))
        self.assertEqual([], self.logs)
        self.assertEqual(1, len(list(parent)))

    def test_lock_is_signed_by_the_process_that_runs(self) -> None:
        """
        A daemon is another process than the one that took the folder, and says so in it.
        """
        folder = StateDirectory(self.place).node_folder(7071)
        chat = Chat(None, self.lock(folder))
        self.patch(os, "getpid", lambda: 4321)

        self.start(chat)

        self.assertEqual("4321\n", (folder / "lock").read_text())
        self.stop(chat)

    def test_closed_terminal_stops_the_reactor(self) -> None:
        """
        SIGHUP ends the chat in order, through the reactor and not from within the signal.
        """
        calls: list[Callable[[], None]] = []
        self.reactor.callFromThread = calls.append  # type: ignore[attr-defined]
        chat = Chat(None, self.lock(StateDirectory(self.place).node_folder(7071)))
        self.start(chat)

        self.signals[signal.SIGHUP](signal.SIGHUP, None)

        self.assertFalse(self.reactor.hasStopped)
        (stop,) = calls
        stop()
        self.assertTrue(self.reactor.hasStopped)
        self.stop(chat)

    def test_ignored_signal_stays_ignored(self) -> None:
        """
        Whoever started it with nohup wants it to go on.
        """
        self.patch(signal, "getsignal", lambda number: signal.SIG_IGN)

        self.start(Chat(None, self.lock(StateDirectory(self.place).node_folder(7071))))

        self.assertEqual({}, self.signals)


class StandardFilesTests(SynchronousTestCase):
    """
    What happens before anything is opened.
    """

    def test_closed_standard_files_are_filled(self) -> None:
        """
        A closed standard file is replaced by the null device, and the others are left alone.
        """
        opened: list[str] = []

        def fstat(descriptor: int) -> object:
            if descriptor == 1:
                raise OSError("Bad file descriptor")
            return SimpleNamespace()

        with (
            mock.patch.object(os, "fstat", fstat),
            mock.patch.object(os, "open", lambda path, flags: opened.append(path)),
        ):
            tap._fill_standard_files()

        self.assertEqual([os.devnull], opened)
