"""
The way in: what ``twistd p2pchat`` runs.

`Options` reads the command line and asks for what is missing; `makeService` puts the node and its
console together. Everything that can be wrong with the settings is told here, in one line and with
exit status 1, before anything has been started.
"""

from __future__ import annotations

import contextlib
import gc
import getpass
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from platformdirs import user_data_path
from twisted.application.service import IServiceCollection, MultiService
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IReactorFromThreads, IReactorSocket
from twisted.internet.stdio import StandardIO
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, Logger, textFileLogObserver
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from typing_extensions import override

from twistedchat.core.addresses import is_host_name, parse_host, parse_port
from twistedchat.core.classic import LONGEST_NAME, Dialect
from twistedchat.core.errors import AddressError, ChatError, ConfigError
from twistedchat.core.hints import SALT_LENGTH
from twistedchat.core.safetext import safe_text
from twistedchat.core.trust import Contacts
from twistedchat.discovery.lan import Lan
from twistedchat.discovery.links import find_links, hosts_for_others
from twistedchat.faces.console import Console, Stdin, kind_of_stdin
from twistedchat.faces.lines import LineScreen
from twistedchat.faces.screens import IOperator, IScreen
from twistedchat.node import Node, Store, Surroundings
from twistedchat.peers.dialling import addresses_of
from twistedchat.peers.listening import open_ports, raise_file_limit
from twistedchat.store.contacts import ContactsFile
from twistedchat.store.identity import open_identity
from twistedchat.store.journal import Journal
from twistedchat.store.lock import FolderLock, lock_folder
from twistedchat.store.state import Settings, StateDirectory

__all__ = ["Chat", "Options", "makeService"]

DEFAULT_PORT = 7070
TWISTD_PIDFILE = "twistd.pid"

# Seconds in which nobody begins to wonder. A journal of a hundred thousand texts that an earlier
# version wrote takes twice as long to be brought up to date, one of a million ten times as long.
SILENCE = 1.0

# The log of a node: a file of a megabyte and five older ones, which is weeks.
LOG_FILES = 5
LOG_FILE_SIZE = 1_000_000


class Options(usage.Options):
    """
    The command line of ``twistd p2pchat``.
    """

    synopsis = "[options]"
    longdesc = (
        "Chat with no server and no account: everyone runs one of these. With twistd's own -n you "
        "get a menu; without, it runs in the background. What is not given is asked."
    )
    optParameters = [  # noqa: RUF012 (Twisted reads it from the class)
        ["port", "p", None, "The port to listen on, 1 to 65535.  [asked, 7070]"],
        ["team", "t", None, "Your team name, which the others see.  [asked]"],
        ["interface", "i", None, "The IP address to listen on.  [all of them]"],
        [
            "dialect",
            "d",
            "header",
            "How to speak with programs that were never heard: header, plain, angle or json.",
        ],
        ["state", "s", None, "The folder to keep things in.  [your user data folder]"],
    ]
    optFlags = [  # noqa: RUF012
        ["no-lan", None, "Do not announce this node on the local network, nor look for others."],
        ["no-read-marks", None, "Do not tell contacts what you have read."],
        ["secure-only", None, "Neither speak nor hear plain: only encrypted and proven."],
    ]
    compData = usage.Completions(
        optActions={
            "dialect": usage.CompleteList(["header", "plain", "angle", "json"]),
            "state": usage.CompleteDirs(),
        }
    )

    @override
    def postOptions(self) -> None:
        """
        Check what was given and ask for the rest.

        Afterwards ``team``, ``port``, ``interface``, ``dialect``, ``state`` (a `StateDirectory`),
        ``no-lan``, ``no-read-marks``, ``secure-only``, ``stdin`` (a `Stdin`), ``in_foreground`` and
        ``has_own_log`` hold values that are ready to use.

        Raises:
            SystemExit: Something is wrong; its message is one line, its status 1.
        """
        try:
            self._complete()
        except ChatError as error:
            raise SystemExit(f"p2pchat: {error}") from None

    def _complete(self) -> None:
        # Under `twist` there are other parent options, and always a foreground.
        twistd = self.parent if self.parent is not None else {}
        in_foreground = bool(twistd.get("nodaemon", True))
        stdin = kind_of_stdin(os.environ.get("TERM", "")) if in_foreground else Stdin.NOBODY
        path = Path(self["state"]) if self["state"] else user_data_path("twistedchat", False)
        state = StateDirectory(path.absolute())
        remembered = state.read_settings()
        self["dialect"] = _dialect(self["dialect"])
        self["interface"] = None if self["interface"] is None else _interface(self["interface"])
        if self["port"] is not None:
            self["port"] = parse_port(self["port"])
        if self["team"] is not None:
            self["team"] = _team(self["team"])
        default_team = remembered.team or _login_name()
        default_port = remembered.port or DEFAULT_PORT
        if self["team"] is None:
            question = f"Enter your team name [{default_team}]: "
            self["team"] = _team(_answer(question, stdin) or default_team)
        if self["port"] is None:
            question = f"Enter your port number [{default_port}]: "
            self["port"] = parse_port(_answer(question, stdin) or str(default_port))
        logs_elsewhere = any(twistd.get(option) for option in ("logfile", "syslog", "logger"))
        self.update(
            state=state,
            stdin=stdin,
            in_foreground=in_foreground,
            has_own_log=not logs_elsewhere,
        )
        if in_foreground and twistd.get("pidfile") == TWISTD_PIDFILE:
            # Two nodes in one folder would take each other for the same program.
            twistd["pidfile"] = ""


def _answer(question: str, stdin: Stdin) -> str:
    # Byte by byte from the file descriptor: what was typed ahead, or stands behind it in a pipe,
    # belongs to the menu.
    if stdin is Stdin.NOBODY:
        return ""
    typed = bytearray()
    try:
        # Where nobody presses Return, the next line must not begin behind the question.
        os.write(1, (question if os.isatty(0) else question.rstrip() + "\n").encode())
        while (byte := os.read(0, 1)) not in (b"", b"\n"):
            typed += byte
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        raise ConfigError(f"The answer cannot be read ({error.strerror}).") from error
    if not byte and stdin is Stdin.TERMINAL:
        # Control-D, where somebody is: they have changed their mind.
        raise SystemExit(0)
    return typed.decode("utf-8", "replace").strip()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user ID without an entry, as in a container.
        return "anonymous"


def _team(name: str) -> str:
    name = name.strip()
    if not name:
        raise ConfigError("The team name is empty: give one with --team.")
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f"The team name has {len(name)} characters: at most {LONGEST_NAME} are allowed."
        )
    if safe_text(name) != name:
        raise ConfigError(f"The team name {safe_text(name)} holds characters that cannot be shown.")
    return name


def _interface(text: str) -> str:
    if text.strip() in ("0.0.0.0", "::"):  # noqa: S104 (only where it was asked for)
        return text.strip()
    host = parse_host(text)
    if is_host_name(host):
        raise AddressError(f"{host!r} is a name: --interface takes an IP address of this machine.")
    return host


def _dialect(text: str) -> Dialect:
    names = ("header", "plain", "angle", "json")
    if text not in names:
        raise ConfigError(f"There is no dialect {safe_text(text)!r}: it is {', '.join(names)}.")
    return Dialect(text)


def _fill_standard_files() -> None:
    # Started with one of them closed, the next file that is opened (the reactor's own, say) would
    # become standard input or output.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


_fill_standard_files()


def _own(descriptor: int, mode: int) -> int:
    # The reactor makes its files non-blocking. On a terminal that is shared with the shell and with
    # every program that it runs meanwhile; they would read errors. So it gets a file of its own.
    if not os.isatty(descriptor):
        return descriptor
    try:
        return os.open(os.ttyname(descriptor), mode | os.O_NOCTTY)
    except OSError:
        # It has no name here, as in some containers.
        return descriptor


class Chat(MultiService):
    """
    Everything that one process runs.

    Args:
        log_folder: Where to write a log of our own; ``None`` leaves it to twistd.
        lock: The right to use the node's folder.
    """

    _log = Logger()

    def __init__(self, log_folder: Path | None, lock: FolderLock) -> None:
        super().__init__()
        self._log_folder = log_folder
        self._lock = lock

    @override
    def setServiceParent(self, parent: IServiceCollection) -> None:
        """
        Join the application, and bring the log.

        twistd would write it to the screen, between the lines of the menu, or into files without
        end; an observer of the application's comes before either.
        """
        if self._log_folder is not None and isinstance(parent, Componentized):
            log = LogFile(
                "p2pchat.log",
                str(self._log_folder),
                rotateLength=LOG_FILE_SIZE,
                defaultMode=0o600,
                maxRotatedFiles=LOG_FILES,
            )
            parent.setComponent(ILogObserver, textFileLogObserver(cast(IO[str], log)))
        super().setServiceParent(parent)

    @override
    def startService(self) -> None:
        """
        Start everything, and take a closed terminal for what it is: a wish to quit.
        """
        # As a daemon, this is another process than the one that took it.
        self._lock.sign()
        super().startService()
        # All that stays for good is there now, most of it code. The collector need not go through
        # it again and again: each time nobody was served for 25 ms.
        gc.freeze()
        # Not where somebody asked for the opposite, as nohup does.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, lambda *_: self._hung_up())

    def _hung_up(self) -> None:
        from twisted.internet import reactor

        cast(IReactorFromThreads, reactor).callFromThread(reactor.stop)


@contextlib.contextmanager
def _told_if_slow() -> Iterator[None]:
    # Whoever started it looks at an empty screen, and must not take it for one that hangs.
    told = threading.Event()

    def tell() -> None:
        told.set()
        _say("Opening the journal takes a while: it is large, or being brought up to date ...")

    timer = threading.Timer(SILENCE, tell)
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        # A thread would not outlive the fork by which twistd becomes a daemon.
        timer.cancel()
        timer.join()
    if told.is_set():
        _say("The journal is open.")


def _say(line: str) -> None:
    # Nobody has to read it.
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def _adopted(reactor: IReactorSocket, port: socket.socket) -> AdoptedStreamServerEndpoint:
    port.setblocking(False)
    return AdoptedStreamServerEndpoint(reactor, port.detach(), port.family)


def makeService(options: Options) -> Chat:
    """
    Put a node together, and a console where somebody could use one.

    Args:
        options: The command line, after `Options.postOptions`.

    Returns:
        The service that twistd starts.

    Raises:
        SystemExit: The port cannot be had; its message is one line, its status 1.
    """
    # Only here: importing it installs it, and a plugin's module must not choose for everybody.
    from twisted.internet import reactor

    port, interface = options["port"], options["interface"]
    try:
        ports = open_ports(interface, port)
        # Not before: what could not be used is nothing to remember.
        state: StateDirectory = options["state"]
        settings = Settings(options["team"], port)
        if settings != state.read_settings():
            state.write_settings(settings)
        folder = state.node_folder(port)
        lock = lock_folder(folder)
        identity, _ = open_identity(folder)
        contacts_file = ContactsFile(folder)
        contacts = Contacts(contacts_file.read())
        with _told_if_slow():
            journal = Journal(cast(IReactorFromThreads, reactor), folder, identity.key)
    except ConfigError as error:
        raise SystemExit(f"p2pchat: {error}") from None
    raise_file_limit()
    chat = Chat(folder if options["has_own_log"] else None, lock)
    everywhere = interface in (None, "0.0.0.0", "::")  # noqa: S104 (compared, not listened on)
    our_interfaces = None if everywhere else [interface]
    node = Node(
        Surroundings(
            reactor,
            reactor,
            lambda host: deferToThread(addresses_of, host),
            os.urandom,
            deferToThread,
            lambda: hosts_for_others(find_links(our_interfaces)),
        ),
        Store(identity, contacts, lambda known: deferToThread(contacts_file.write, known), journal),
        [_adopted(cast(IReactorSocket, reactor), opened) for opened in ports],
        team=options["team"],
        port=port,
        dialect=options["dialect"],
        secure_only=bool(options["secure-only"]),
        tells_reading=not options["no-read-marks"],
    )
    if not options["no-lan"]:
        Lan(
            reactor,
            identity.key,
            port,
            node.records_changed,
            salt=os.urandom(SALT_LENGTH),
            interfaces=our_interfaces,
        ).setServiceParent(chat)
    node.setServiceParent(chat)
    if options["in_foreground"]:
        stdin = options["stdin"]

        def make_screen(operator: IOperator) -> IScreen:
            if stdin is Stdin.TERMINAL:
                # A third of a second of imports that a pipe or a daemon need not pay.
                from twistedchat.faces.terminal import TerminalScreen

                terminal = TerminalScreen(operator, reactor, cast(IReactorFromThreads, reactor))
                terminal.start()
                return terminal
            is_interactive = stdin is Stdin.LINES and os.isatty(0) and os.isatty(1)
            screen = LineScreen(operator, reactor, is_interactive=is_interactive)
            # What is typed at a terminal that belongs to another job is not for us.
            nobody = stdin is Stdin.NOBODY
            keyboard = os.open(os.devnull, os.O_RDONLY) if nobody else _own(0, os.O_RDONLY)
            paper = _own(1, os.O_WRONLY)
            # Its types are those of its other half, which is for Windows.
            StandardIO(screen, stdin=keyboard, stdout=paper, reactor=reactor)  # type: ignore[call-arg]
            return screen

        Console(
            node, reactor, make_screen, reactor.stop, ends_with_input=stdin is not Stdin.NOBODY
        ).setServiceParent(chat)
    return chat
