"""
People for tests: real nodes on a network in memory, each on a machine of its own.

And strangers who speak TLS by themselves.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface import implementer

from twistedchat.core.addresses import Address
from twistedchat.core.events import Event, Sent, TextReceived
from twistedchat.core.frames import Frame, Hello, decode_frame, encode_frame
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.trust import Contact, Contacts
from twistedchat.node import LONGEST_GOODBYE, Node
from twistedchat.peers.protocol import PeerProtocol
from twistedchat.peers.tls import Tls
from twistedchat.testing import (
    OUTSIDE,
    MemoryHost,
    MemoryJournal,
    MemoryNetwork,
    MemoryTransport,
    identity_of,
    make_node,
)

__all__ = [
    "MALLORY",
    "PORT",
    "Impostor",
    "PeopleTestCase",
    "Person",
    "SessionCaller",
    "hello",
    "wire_of",
]

E = TypeVar("E")

# Where the people are (RFC 5737), by the first letter of their name.
_HOSTS = {"a": "198.51.100.1", "b": "198.51.100.2", "c": "198.51.100.3", "d": "198.51.100.4"}

PORT = 7070

# Somebody whom nobody knows.
MALLORY = identity_of("Mallory")


def hello(name: str = "Mallory", port: int = 6666, *, dial: int = 1, knows: bool = False) -> Hello:
    """
    A greeting.
    """
    return Hello(v=2, name=name, port=port, dial=dial, knows=knows)


class SessionCaller(Protocol):
    """
    Somebody who calls a node and holds a session by hand, frame by frame.

    Attributes:
        heard: What came, decrypted where there is TLS.
        reason: Why the connection ended; ``None`` while it is there.
    """

    def __init__(self) -> None:
        self.heard = b""
        self.reason: Failure | None = None

    @override
    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason

    @property
    def end(self) -> MemoryTransport:
        """
        Our end of the connection.
        """
        assert isinstance(self.transport, MemoryTransport)
        return self.transport

    @property
    def frames(self) -> list[Frame | None]:
        """
        The frames that came.
        """
        return [decode_frame(line) for line in self.heard.splitlines()]

    def shake_hands(
        self,
        identity: Identity | None = None,
        *,
        context: SSL.Context | None = None,
        session: SSL.Session | None = None,
    ) -> None:
        """
        Begin the TLS handshake.

        Args:
            identity: Who to be; ``None`` for a key that nobody knows.
            context: What to shake hands with, where it is not a node's.
            session: What to go on with, of an earlier one.
        """
        if context is not None:
            self.end.startTLS(_Foreign(context, session))
        else:
            self.end.startTLS(Tls(identity or MALLORY).creator(lambda _: True))

    def say(self, *frames: Frame) -> None:
        """
        Say something, whether it is allowed or not.
        """
        self.end.write(b"".join(encode_frame(frame) + b"\n" for frame in frames))


@implementer(IHalfCloseableProtocol)
class _Answering(SessionCaller):
    """
    A connection to an `Impostor`.
    """

    def __init__(self, impostor: "Impostor") -> None:
        super().__init__()
        self._impostor = impostor
        self._has_begun = False

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._has_begun or data[0] != 0x16 or self._impostor.is_deaf:
            super().dataReceived(data)
        else:
            self._has_begun = True
            self.shake_hands(self._impostor.identity, context=self._impostor.context)
            self.end.protocol.dataReceived(data)

    def readConnectionLost(self) -> None:  # noqa: N802 (Twisted calls it)
        """
        Answer the empty question.
        """
        if not self.heard and not self._has_begun:
            self.end.write(self._impostor.answer)
        if self._impostor.closes:
            self.end.loseConnection()

    def writeConnectionLost(self) -> None:  # noqa: N802
        """
        Do nothing.
        """


class Impostor(Factory):
    """
    A program that listens and answers as a node would, or nearly so.

    Attributes:
        answer: What it answers the empty question with.
        identity: Who it is.
        context: What it shakes hands with, where it is not a node's.
        is_deaf: Whether it does not answer a handshake at all.
        closes: Whether it closes a connection when the other side has.
        calls: The connections that it has had.
    """

    noisy = False

    def __init__(self, identity: Identity = MALLORY, *, claims: DeviceKey | None = None) -> None:
        self.identity = identity
        self.answer = f"TWISTEDCHAT/2 {claims or identity.key}\n".encode()
        self.context: SSL.Context | None = None
        self.is_deaf = False
        self.closes = True
        self.calls: list[SessionCaller] = []

    @property
    def sessions(self) -> list[SessionCaller]:
        """
        The connections on which there was a handshake.
        """
        return [call for call in self.calls if call.end.protocol is not call]

    @override
    def buildProtocol(self, addr: IAddress | None) -> SessionCaller:
        call = _Answering(self)
        self.calls.append(call)
        return call


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
@dataclass
class _Foreign:
    """
    Makes TLS connections that no node would make.
    """

    context: SSL.Context
    session: SSL.Session | None

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        """
        Make the side that opens the handshake.
        """
        connection = SSL.Connection(self.context, None)
        if self.session is not None:
            connection.set_session(self.session)
        return connection

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        """
        Make the side that answers it.
        """
        return SSL.Connection(self.context, None)


@dataclass(eq=False)
class Person:
    """
    Somebody with a node.

    Attributes:
        name: What they are called.
        machine: What the node runs on.
        contacts: Whom it knows.
        journal: Where it keeps entries.
        kept: The contacts as they were last written down.
        keep_error: What writing them down fails with; ``None`` for nothing.
        events: What the node told, in order.
        node: The node.
    """

    name: str
    machine: MemoryHost
    contacts: Contacts
    journal: MemoryJournal
    kept: list[Contact] = field(default_factory=list)
    keep_error: Exception | None = None
    events: list[Event] = field(default_factory=list)
    node: Node = field(init=False)

    @property
    def identity(self) -> Identity:
        """
        Who they are.
        """
        return identity_of(self.name)

    @property
    def key(self) -> DeviceKey:
        """
        Their key.
        """
        return self.identity.key

    @property
    def address(self) -> Address:
        """
        Where their node listens.
        """
        return Address(self.machine.host, PORT)

    @property
    def heard(self) -> list[str]:
        """
        The texts that were shown to them, in order.
        """
        return [event.text for event in self.told(TextReceived)]

    def told(self, kind: type[E]) -> list[E]:
        """
        The events of a kind that they were told, in order.
        """
        return [event for event in self.events if isinstance(event, kind)]

    def link_to(self, other: "Person") -> PeerProtocol:
        """
        The open session with somebody, which there has to be.
        """
        link = self.node._sessions.find(other.key)
        assert link is not None, f"{self.name} has no session with {other.name}"
        return link

    def keep(self, contacts: list[Contact]) -> Deferred[None]:
        """
        Write the contacts down.
        """
        kept: Deferred[None] = Deferred()
        if self.keep_error is None:
            self.kept = contacts
            kept.callback(None)
        else:
            kept.errback(self.keep_error)
        return kept


class PeopleTestCase(SynchronousTestCase):
    """
    Some nodes, at 1000 seconds since the epoch; each has to leave nothing behind in the end.
    """

    @override
    def setUp(self) -> None:
        """
        Make a network without anybody.
        """
        self.network = MemoryNetwork()
        self.network.advance(1000)
        self.people: list[Person] = []

    @override
    def tearDown(self) -> None:
        """
        Stop everybody, and see that nothing is left.
        """
        for person in list(self.people):
            self.stop(person)
        for wire in self.network.connections:
            self.network.cut(wire)
        self.network.settle()
        self.assertEqual([], self.network.getDelayedCalls())
        self.assertEqual([], self.network.dials)

    def make(
        self, name: str, *, journal: MemoryJournal | None = None, secure_only: bool = False
    ) -> Person:
        """
        Make somebody whose node is not started yet.
        """
        person = Person(
            name,
            MemoryHost(self.network, _HOSTS[name[0]]),
            Contacts(),
            MemoryJournal() if journal is None else journal,
        )
        person.node = make_node(
            person.machine,
            PORT,
            name,
            contacts=person.contacts,
            journal=person.journal,
            secure_only=secure_only,
            keep_contacts=person.keep,
        )
        person.node.subscribe(person.events.append)
        return person

    def start(self, *people: Person) -> None:
        """
        Start their nodes.
        """
        for person in people:
            person.node.startService()
            self.people.append(person)

    def stop(self, person: Person) -> None:
        """
        Stop a node, which has to be quick about it.
        """
        self.people.remove(person)
        stopped = person.node.stopService()
        self.network.settle_until(lambda: stopped.called, LONGEST_GOODBYE)
        self.successResultOf(stopped)
        self.network.settle()
        self.assertEqual([], person.machine.getDelayedCalls())

    def kill(self, person: Person) -> None:
        """
        Kill a node.
        """
        self.people.remove(person)
        person.machine.switch_off()
        # So that nothing of the dead process wakes up when Python clears it away.
        for sending in list(person.node._under_way):
            sending.cancel()
        for dialling in list(person.node._sessions._dialling):
            dialling.cancel()
        self.network.settle()

    def acquaint(self, one: Person, other: Person) -> None:
        """
        Let two know each other already, as after a session that each of them opened.
        """
        for us, them in ((one, other), (other, one)):
            us.contacts.accept(them.key, them.name, 0.0)
            us.contacts.met(them.key, them.name, them.address, 0.0)

    def meet(self, *names: str) -> list[Person]:
        """
        Start the nodes of some who know each other, and let them find each other.
        """
        people = [self.make(name) for name in names]
        for index, one in enumerate(people):
            for other in people[:index]:
                self.acquaint(one, other)
        self.start(*people)
        self.network.settle_until(
            lambda: all(len(person.node._sessions.live) == len(people) - 1 for person in people)
        )
        for person in people:
            person.events.clear()
        return people

    def say(self, person: Person, recipient: Person | Address, text: str) -> Deferred[Sent]:
        """
        Say something, and let everything happen that needs no time.
        """
        to = recipient.key if isinstance(recipient, Person) else recipient
        sending = person.node.send_text(to, text)
        self.network.settle()
        return sending

    def sent(self, person: Person, recipient: Person | Address, text: str) -> Sent:
        """
        Say something, which has to have its result at once.
        """
        return self.successResultOf(self.say(person, recipient, text))

    def pass_time(self, seconds: float) -> None:
        """
        Let time go by, and everything happen that it brings.
        """
        end = self.network.seconds() + seconds
        self.network.settle()
        while self.network.seconds() < end:
            calls = self.network.getDelayedCalls()
            then = min([end, *(call.getTime() for call in calls)])
            self.network.advance(max(0.0, then - self.network.seconds()))
            self.network.settle()

    def call(self, person: Person, host: str = OUTSIDE) -> SessionCaller:
        """
        Connect to somebody's node by hand.
        """
        caller = SessionCaller()
        self.network.call(PORT, host, to=person.machine.host, caller=caller)
        return caller

    def greet(
        self,
        person: Person,
        identity: Identity = MALLORY,
        greeting: Hello | None = None,
        host: str = OUTSIDE,
    ) -> SessionCaller:
        """
        Open a session with somebody's node by hand.
        """
        caller = self.call(person, host)
        caller.shake_hands(identity)
        caller.say(greeting or hello())
        self.network.settle()
        return caller

    def assert_talk(self, one: Person, other: Person) -> None:
        """
        Two can still say something to each other, which arrives at once, and has one session.
        """
        for us, them in ((one, other), (other, one)):
            text = f"from {us.name} at {len(them.heard)}"
            us.node.send_text(them.key, text)
            self.network.settle()
            self.assertEqual(text, them.heard[-1])
        self.assertEqual(1, len(self.wires_between(one, other)))

    def wires_between(
        self, one: Person, other: Person
    ) -> list[tuple[MemoryTransport, MemoryTransport]]:
        """
        The connections between two.
        """
        hosts = {one.machine.host, other.machine.host}
        return [
            wire
            for wire in self.network.connections
            if {end.getHost().host for end in wire} == hosts
        ]


def wire_of(link: PeerProtocol, network: MemoryNetwork) -> tuple[MemoryTransport, MemoryTransport]:
    """
    The connection that a session is held over.
    """
    (wire,) = (wire for wire in network.connections if link.transport in wire)
    return wire
