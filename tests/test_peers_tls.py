"""
TLS between nodes: who is let through the handshake, and what can be done around it.

Each time somebody tries something, two honest nodes have a session, and keep it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as make_p256
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from typing_extensions import override

from tests.people import MALLORY, PORT, Impostor, PeopleTestCase, SessionCaller, hello
from twistedchat.core.addresses import Address
from twistedchat.core.errors import NotSent, NotTrusted
from twistedchat.core.frames import Bye, Hello
from twistedchat.core.identity import DeviceKey, Identity
from twistedchat.core.trust import Decision, Standing
from twistedchat.peers.doorman import LONGEST_HANDSHAKE
from twistedchat.peers.tls import ALPN, Tls
from twistedchat.testing import OUTSIDE, identity_of

ELSEWHERE = Address(OUTSIDE, PORT)


def context(
    key: Ed25519PrivateKey | None = None,
    certificate: x509.Certificate | None = None,
    *,
    alpn: bytes = ALPN,
) -> SSL.Context:
    """
    TLS as anybody may set it up.
    """
    made = SSL.Context(SSL.TLS_METHOD)
    if key is not None:
        made.use_privatekey(key)
        made.use_certificate(certificate or Identity(key).certificate())
    if alpn:
        made.set_alpn_protos([alpn])
        made.set_alpn_select_callback(lambda connection, offered: alpn)
    return made


def certificate_for(key: object, name: str, issuer: str, signed_by: object) -> x509.Certificate:
    """
    A certificate that says less, or more, than ours do.
    """
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 2, tzinfo=UTC))
        .sign(
            signed_by,  # type: ignore[arg-type]
            None if isinstance(signed_by, Ed25519PrivateKey) else SHA256(),
        )
    )


class TlsTestCase(PeopleTestCase):
    """
    Ann and Bob have a session, and Mallory comes.
    """

    @override
    def setUp(self) -> None:
        """
        Let them meet.
        """
        super().setUp()
        self.ann, self.bob = self.meet("ann", "bob")
        self.before = set(self.ann.node._sessions.live)

    def assert_undisturbed(self) -> None:
        """
        Ann has no session but the one with Bob, which works, and was told nothing else.
        """
        self.assertEqual(self.before, set(self.ann.node._sessions.live))
        self.assertEqual([], self.ann.events)
        self.assertEqual([], self.ann.node.callers())
        self.assert_talk(self.ann, self.bob)
        self.ann.events.clear()

    def reason(self, caller: SessionCaller) -> Failure:
        """
        Why a connection ended, which it has to have.
        """
        assert caller.reason is not None
        return caller.reason


class IncomingTests(TlsTestCase):
    """
    Who calls.
    """

    def test_any_key_is_greeted(self) -> None:
        """
        A stranger gets a greeting that says it is none of ours, and may stay at the door.
        """
        caller = self.greet(self.ann)

        (greeting,) = caller.frames
        self.assertEqual(Hello(v=2, name="ann", port=PORT), greeting)
        self.assertIn(MALLORY.key, self.ann.node._sessions.live)
        self.assertIsNone(caller.reason)
        self.assert_talk(self.ann, self.bob)

    def assert_turned_away(
        self, identity: Identity = MALLORY, made: SSL.Context | None = None
    ) -> None:
        """
        Whoever calls like that gets nowhere, and is told nothing.
        """
        caller = self.call(self.ann)

        caller.shake_hands(identity, context=made)
        caller.say(hello())
        self.network.settle()

        self.reason(caller)
        self.assertEqual(b"", caller.heard)
        self.assert_undisturbed()

    def test_foreign_protocol_is_turned_away(self) -> None:
        """
        Whoever speaks TLS for something else is no node, and the log says so.
        """
        for alpn in (b"h2", b""):
            with capturedLogs() as events:
                self.assert_turned_away(made=context(MALLORY.secret, alpn=alpn))
            reasons = [event.get("reason") for event in events]
            self.assertIn("it speaks TLS, but no protocol of ours", reasons)

    def test_no_certificate_is_turned_away(self) -> None:
        """
        Whoever shows no key is nobody.
        """
        self.assert_turned_away(made=context())

    def test_key_of_another_kind_is_turned_away(self) -> None:
        """
        A P-256 key, as most of the world has, is no device key.
        """
        key = make_p256(SECP256R1())
        made = context()
        made.use_privatekey(key)
        made.use_certificate(certificate_for(key, "mallory", "mallory", key))

        self.assert_turned_away(made=made)

    def test_chain_is_turned_away(self) -> None:
        """
        A certificate that somebody else vouches for, and shows, is none of ours.
        """
        issuer = identity_of("issuer").secret
        made = context(MALLORY.secret, certificate_for(MALLORY.secret, "mallory", "issuer", issuer))
        made.add_extra_chain_cert(certificate_for(issuer, "issuer", "issuer", issuer))

        self.assert_turned_away(made=made)

    def test_older_tls_is_turned_away(self) -> None:
        """
        TLS 1.2 is not spoken.
        """
        made = context(MALLORY.secret)
        made.set_max_proto_version(SSL.TLS1_2_VERSION)

        self.assert_turned_away(made=made)

    def test_own_key_is_turned_away(self) -> None:
        """
        Nobody calls with our own key but ourselves, or a thief.
        """
        self.assert_turned_away(self.ann.identity)

    def test_blocked_key_finds_a_closed_door(self) -> None:
        """
        A blocked key does not get through the handshake.
        """
        self.ann.contacts.block(MALLORY.key, "Mallory", 0.0)

        self.assert_turned_away()

    def test_blocked_between_handshake_and_hello_is_turned_away(self) -> None:
        """
        Whoever is blocked while it greets is sent away too.
        """
        caller = self.call(self.ann)
        caller.shake_hands()
        self.network.settle()
        self.ann.contacts.block(MALLORY.key, "Mallory", 0.0)
        self.assertEqual(
            Standing.BLOCKED, self.ann.contacts.judge(MALLORY.key, "Mallory", None).standing
        )

        caller.say(hello())
        self.network.settle()

        self.assertEqual(Bye(code="stranger"), caller.frames[-1])
        self.assert_undisturbed()

    def test_dates_and_names_in_a_certificate_say_nothing(self) -> None:
        """
        The key alone counts: any names, expired or not, with any number.
        """
        odd = certificate_for(MALLORY.secret, "a", "b", MALLORY.secret)
        caller = self.call(self.ann)

        caller.shake_hands(context=context(MALLORY.secret, odd))
        caller.say(hello())
        self.network.settle()

        self.assertIn(MALLORY.key, self.ann.node._sessions.live)

    def test_every_session_is_a_full_handshake(self) -> None:
        """
        Nobody is given a ticket with which they come back without showing their key again.
        """
        made = context(MALLORY.secret)
        caller = self.call(self.ann)
        caller.shake_hands(context=made)
        caller.say(hello())
        self.network.settle()
        connection = caller.end.protocol.getHandle()  # type: ignore[attr-defined]
        self.assertEqual("TLSv1.3", connection.get_protocol_version_name())
        self.ann.node.decide(MALLORY.key, Decision.BLOCK)
        self.network.settle()
        self.reason(caller)

        again = self.call(self.ann)
        again.shake_hands(context=made, session=connection.get_session())
        again.say(hello())
        self.network.settle()

        self.reason(again)
        self.assertEqual(b"", again.heard)


class UnreadableTests(PeopleTestCase):
    """
    A certificate that OpenSSL takes and nothing else can read.
    """

    def test_unreadable_certificate_is_turned_away(self) -> None:
        """
        What cannot be read proves no key.
        """

        @dataclass
        class Unreadable:
            """
            Such a certificate.
            """

            error: Exception

            def to_cryptography(self) -> x509.Certificate:
                """
                Fail, as the library does.
                """
                raise self.error

        asked: list[DeviceKey] = []

        def accepts(key: DeviceKey) -> bool:
            asked.append(key)
            return True

        tls = Tls(MALLORY)
        connection = tls.make_connection(accepts)

        for error in (ValueError("error parsing asn1 value"), x509.InvalidVersion("4", 4)):
            unreadable = Unreadable(error)
            self.assertFalse(tls._verify(connection, unreadable, 0, 0, 1))  # type: ignore[arg-type]
        self.assertEqual([], asked)


class InjectionTests(TlsTestCase):
    """
    Plain text around the handshake: it is never taken for something that was said in a session.
    """

    def test_plain_before_the_handshake_is_plain(self) -> None:
        """
        What begins in plain stays plain: the handshake behind it is a part of an odd text.
        """
        caller = self.call(self.ann)
        caller.end.write(b"LISTENING_PORT:6666|TEAM_NAME:bob|hi ")
        caller.shake_hands(self.bob.identity)
        self.network.settle()
        self.pass_time(1)

        self.assertEqual(b"", caller.heard)
        self.assertEqual(self.before, set(self.ann.node._sessions.live))
        self.assertEqual([], self.ann.heard)
        caller.end.abortConnection()
        self.network.settle()
        self.ann.events.clear()
        self.assert_undisturbed()

    def test_plain_with_the_first_bytes_of_the_handshake_ends_it(self) -> None:
        """
        What is glued to the ClientHello is no part of anything.
        """
        caller = self.call(self.ann)
        caller.shake_hands()
        caller.end.write_raw(b'{"t":"hello","v":2,"name":"bob","port":7070}\n')
        self.network.settle()

        self.reason(caller)
        self.assertEqual(b"", caller.heard)
        self.assert_undisturbed()

    def test_plain_behind_the_handshake_ends_it(self) -> None:
        """
        What is injected into an open session ends that, and nothing of it is heard.
        """
        caller = self.greet(self.ann)

        caller.end.write_raw(b'{"t":"knock","text":"let me in"}\n')
        self.network.settle()

        self.reason(caller)
        self.assert_undisturbed()

    def test_plain_into_the_session_of_others_ends_that_alone(self) -> None:
        """
        Whoever can write into the stream of two can end their session, and no more.
        """
        (wire,) = self.wires_between(self.ann, self.bob)

        wire[0].write_raw(b'{"t":"ping"}\n')
        self.network.settle()

        self.assertEqual([], self.wires_between(self.ann, self.bob))
        self.pass_time(5)
        self.assertEqual([], self.ann.node.callers())
        self.assert_talk(self.ann, self.bob)

    def test_plain_answer_to_our_handshake_ends_it(self) -> None:
        """
        Whom we dial cannot put words in front of the session either.
        """
        impostor = Impostor()
        impostor.is_deaf = True
        self.network.listenTCP(PORT, impostor, interface=OUTSIDE)
        sending = self.ann.node.send_text(ELSEWHERE, "a secret")
        self.network.settle()

        impostor.calls[-1].end.write(b'{"t":"hello","v":2,"name":"Mallory","port":7070}\n')
        self.network.settle()

        self.failureResultOf(sending, NotSent)
        self.assertNotIn(b"secret", b"".join(call.heard for call in impostor.calls))
        self.assert_undisturbed()


class OutgoingTests(TlsTestCase):
    """
    Whom we dial.
    """

    def listen(self, factory: Factory) -> None:
        """
        Let somebody listen elsewhere.
        """
        self.network.listenTCP(PORT, factory, interface=OUTSIDE)

    def assert_not_sent(self, impostor: Impostor, words: str) -> None:
        """
        A text to whoever answers like that is not sent, and no part of it leaves.
        """
        self.listen(impostor)

        sending = self.say(self.ann, ELSEWHERE, "a secret")
        if not sending.called:
            self.pass_time(LONGEST_HANDSHAKE)

        failure = self.failureResultOf(sending, NotTrusted)
        self.assertEqual(words, failure.getErrorMessage())
        self.assertEqual("a secret", failure.value.unsent)
        for call in impostor.calls:
            self.assertNotIn(b"secret", call.heard)
            self.assertIsNotNone(call.reason)
        self.assertIsNone(self.ann.contacts.find(impostor.identity.key))
        self.assert_undisturbed()

    def test_other_key_than_was_told_is_not_trusted(self) -> None:
        """
        Whoever says one key and proves another is nobody we talk with.
        """
        self.assert_not_sent(
            Impostor(claims=identity_of("somebody").key),
            f"Not trusted: {ELSEWHERE} proved another key than it should have.",
        )

    def test_foreign_protocol_is_not_trusted(self) -> None:
        """
        A server for something else is left alone.
        """
        for alpn in (b"h2", b""):
            impostor = Impostor()
            impostor.context = context(MALLORY.secret, alpn=alpn)
            if alpn:
                impostor.context.set_alpn_select_callback(
                    lambda connection, offered: SSL.NO_OVERLAPPING_PROTOCOLS
                )
            self.assert_not_sent(impostor, f"Turned away: {ELSEWHERE} does not talk with us.")
            self.network.unlisten(ELSEWHERE)

    def test_key_of_another_kind_is_not_trusted(self) -> None:
        """
        Nor is a web server's key any good here.
        """
        key = make_p256(SECP256R1())
        impostor = Impostor()
        impostor.context = context()
        impostor.context.use_privatekey(key)
        impostor.context.use_certificate(certificate_for(key, "mallory", "mallory", key))

        self.assert_not_sent(impostor, f"Turned away: {ELSEWHERE} does not talk with us.")

    def test_older_tls_is_not_trusted(self) -> None:
        """
        TLS 1.2 is not spoken to anybody.
        """
        impostor = Impostor()
        impostor.context = context(MALLORY.secret)
        impostor.context.set_max_proto_version(SSL.TLS1_2_VERSION)

        self.assert_not_sent(impostor, f"Turned away: {ELSEWHERE} does not talk with us.")

    def test_handshake_that_is_never_answered_ends_in_time(self) -> None:
        """
        Who reads and says nothing is waited for for five seconds.
        """
        impostor = Impostor()
        impostor.is_deaf = True

        self.assert_not_sent(impostor, f"Turned away: {ELSEWHERE} does not talk with us.")

    def test_handshake_without_a_hello_ends_in_time(self) -> None:
        """
        TLS alone makes no session: the hello has to come too, and in time.
        """
        self.assert_not_sent(Impostor(), f"Turned away: {ELSEWHERE} does not talk with us.")

    def test_own_key_elsewhere_is_not_trusted(self) -> None:
        """
        Whoever has our own key is taken for ourselves, and nothing is said.
        """
        impostor = Impostor(self.ann.identity)
        self.listen(impostor)

        failure = self.failureResultOf(self.say(self.ann, ELSEWHERE, "a secret"), NotSent)

        self.assertEqual(f"Not sent: {ELSEWHERE} is this node itself.", failure.getErrorMessage())
        self.assertEqual([], impostor.sessions)
        self.assert_undisturbed()

    def test_own_key_behind_another_is_not_trusted(self) -> None:
        """
        Nor does it help to claim another one first.
        """
        self.assert_not_sent(
            Impostor(self.ann.identity, claims=MALLORY.key),
            f"Turned away: {ELSEWHERE} does not talk with us.",
        )

    def test_who_turns_us_away_is_told_as_that(self) -> None:
        """
        Where we are blocked, our handshake seems to be over before it is refused.
        """
        self.bob.contacts.block(self.ann.key, "ann", 0.0)
        self.ann.node._sessions.end(self.bob.key, "exit")
        self.network.settle()
        self.ann.contacts.forget(self.bob.key)

        failure = self.failureResultOf(self.say(self.ann, self.bob.address, "a secret"), NotTrusted)

        self.assertEqual(
            f"Turned away: {self.bob.address} does not talk with us.", failure.getErrorMessage()
        )
        self.assertEqual([], self.bob.heard)
