"""
Device keys: which are taken for good, what they sign, and the certificates around them.
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import any_texts, device_keys, identities
from twistedchat.core.errors import InvalidKey
from twistedchat.core.identity import DeviceKey, Identity, find_key, key_of_certificate, parse_key

QUOKKA = Identity(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
PANDA = Identity(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))

# The curve of Ed25519 (RFC 8032 section 5.1): -x**2 + y**2 = 1 + d * x**2 * y**2.
PRIME = 2**255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME
BASE_ORDER = 2**252 + 27742317777372353535851937790883648493

Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def point_at(y: int) -> Point | None:
    """
    Find a point of the curve.

    Args:
        y: Its second coordinate.

    Returns:
        One of the two points there, or ``None`` if there is none.
    """
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    for root in (x, x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
        if root * root % PRIME == square:
            return root, y
    return None


def add(one: Point, other: Point) -> Point:
    """
    Add two points.
    """
    (x1, y1), (x2, y2) = one, other
    shared = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + y1 * x2) * pow(1 + shared, -1, PRIME) % PRIME,
        (y1 * y2 + x1 * x2) * pow(1 - shared, -1, PRIME) % PRIME,
    )


def multiply(times: int, point: Point) -> Point:
    """
    Add a point to itself.
    """
    result = NEUTRAL
    for bit in f"{times:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def small_order_points() -> set[Point]:
    """
    The eight points of which eight are nothing.

    Any point times the order of the base is one of them, and some of those are of order eight.
    """
    for y in range(2, 100):
        if point := point_at(y):
            generator = multiply(BASE_ORDER, point)
            points = {multiply(times, generator) for times in range(8)}
            if len(points) == 8:
                return points
    raise AssertionError("no point of order eight was found")


def written(y: int, sign: int) -> bytes:
    """
    Write a coordinate and a sign as the octets of a key.
    """
    return (y | sign << 255).to_bytes(32, "little")


def certificate_around(key: CertificatePublicKeyTypes) -> x509.Certificate:
    """
    A certificate that somebody else signed.
    """
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
        .sign(PANDA.secret, None)
    )


def bent(certificate: x509.Certificate, old: bytes, new: bytes) -> x509.Certificate:
    """
    The same certificate with other octets in it, so that its signature is wrong.
    """
    der = certificate.public_bytes(Encoding.DER)
    assert der.count(old) == 1
    return x509.load_der_x509_certificate(der.replace(old, new))


class ParseKeyTests(SynchronousTestCase):
    """
    `parse_key`.
    """

    @given(key=device_keys())
    def test_written_key_is_read_back(self, key: DeviceKey) -> None:
        """
        What a key looks like on the wire is the same key again.
        """
        self.assertEqual(key, parse_key(str(key)))

    def test_other_forms_are_refused(self) -> None:
        """
        There is one way to write a key.
        """
        digits = str(QUOKKA.key)
        others = {
            "nothing": "",
            "63 digits": digits[:-1],
            "65 digits": digits + "0",
            "upper case": digits.upper(),
            "one capital": digits.replace("a", "A", 1),
            "no hex": "g" + digits[1:],
            "space before": " " + digits,
            "space behind": digits + " ",
            "space within": digits[:32] + " " + digits[33:],
            "line break": digits + "\n",
            "line break as a digit": digits[:-1] + "\n",
            "prefix": "0x" + digits[2:],
            "groups": QUOKKA.key.fingerprint,
            "full-width digits": digits.replace("0", "\uff10"),
            "arabic digits": digits.replace("0", "\u0660"),
        }

        for name, text in others.items():
            with self.subTest(name):
                self.assertNotEqual(digits, text)
                with self.assertRaisesRegex(InvalidKey, "it has 64 digits"):
                    parse_key(text)
                self.assertIsNone(find_key(text))

    @given(text=any_texts(70) | st.text("0123456789abcdefABCDEF", min_size=60, max_size=68))
    def test_any_text_is_a_key_or_refused(self, text: str) -> None:
        """
        What is taken is written the same way again.
        """
        try:
            key = parse_key(text)
        except InvalidKey:
            return
        self.assertEqual(text, str(key))

    def test_small_order_keys_are_refused(self) -> None:
        """
        None of the eight points of small order is a key, however it is written.
        """
        points = small_order_points()

        written_forms = {
            written(same_y, sign)
            for _, y in points
            for same_y in (y, y + PRIME)
            for sign in (0, 1)
            if same_y < 2**255
        }

        self.assertEqual(5, len({y for _, y in points}))
        self.assertEqual(14, len(written_forms))
        for raw in written_forms:
            with self.assertRaisesRegex(InvalidKey, "proves nothing"):
                parse_key(raw.hex())

    def test_non_canonical_keys_are_refused(self) -> None:
        """
        A coordinate of the prime or more would be a second way to write a key.
        """
        for y in range(PRIME, 2**255):
            for sign in (0, 1):
                with self.assertRaises(InvalidKey):
                    parse_key(written(y, sign).hex())

    def test_last_coordinates_below_are_taken(self) -> None:
        """
        Next to what is refused there are keys like any other.
        """
        for y in (2, 3, PRIME - 2, PRIME - 3):
            for sign in (0, 1):
                self.assertEqual(written(y, sign), parse_key(written(y, sign).hex()).raw)

    def test_anybody_signs_for_a_small_order_key(self) -> None:
        """
        This is why they are refused: one signature fits to everything.
        """
        nobody = DeviceKey(written(1, 0))
        signature = written(1, 0) + bytes(32)

        self.assertTrue(nobody.has_signed(signature, b"I owe you a fish"))
        self.assertTrue(nobody.has_signed(signature, b"I owe you two"))


class DeviceKeyTests(SynchronousTestCase):
    """
    `DeviceKey`.
    """

    def test_people_see_groups(self) -> None:
        """
        The fingerprint is the whole key, and the short form its beginning.
        """
        key = QUOKKA.key

        self.assertEqual(str(key), key.fingerprint.replace(" ", ""))
        self.assertEqual([4] * 16, [len(group) for group in key.fingerprint.split(" ")])
        self.assertEqual(str(key)[:8], key.short)

    @given(identity=identities(), data=st.binary(max_size=100))
    def test_own_signature_holds(self, identity: Identity, data: bytes) -> None:
        """
        What a key has signed it has signed, each time alike.
        """
        signature = identity.sign(data)

        self.assertTrue(identity.key.has_signed(signature, data))
        self.assertEqual(signature, identity.sign(data))

    @given(data=st.binary(max_size=40), bit=st.integers(0, 64 * 8 - 1))
    def test_bent_signature_does_not_hold(self, data: bytes, bit: int) -> None:
        """
        No bit of a signature can be another.
        """
        signature = bytearray(QUOKKA.sign(data))
        signature[bit // 8] ^= 1 << bit % 8

        self.assertFalse(QUOKKA.key.has_signed(bytes(signature), data))

    def test_other_signatures_do_not_hold(self) -> None:
        """
        Nor does another's, one of something else, or one of another length.
        """
        signature = QUOKKA.sign(b"hello")
        scalar = int.from_bytes(signature[32:], "little")
        doubled = signature[:32] + (scalar + BASE_ORDER).to_bytes(32, "little")

        self.assertFalse(PANDA.key.has_signed(signature, b"hello"))
        self.assertFalse(QUOKKA.key.has_signed(signature, b"hello."))
        self.assertFalse(QUOKKA.key.has_signed(doubled, b"hello"))
        for length in (0, 1, 63):
            self.assertFalse(QUOKKA.key.has_signed(signature[:length], b"hello"))
        self.assertFalse(QUOKKA.key.has_signed(signature + b"\0", b"hello"))

    def test_key_off_the_curve_has_signed_nothing(self) -> None:
        """
        Half of all octets are no point; nobody can have such a key.
        """
        y = next(y for y in range(2, 100) if point_at(y) is None)

        self.assertFalse(parse_key(written(y, 0).hex()).has_signed(QUOKKA.sign(b""), b""))

    def test_rfc_8032_vector_holds(self) -> None:
        """
        Test 1 of RFC 8032 section 7.1.
        """
        secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        signature = (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
            "39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        )

        identity = Identity(ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))

        self.assertEqual(public, str(identity.key))
        self.assertEqual(signature, identity.sign(b"").hex())


class CertificateTests(SynchronousTestCase):
    """
    `Identity.certificate` and `key_of_certificate`.
    """

    @given(identity=identities())
    def test_certificate_leads_to_its_key(self, identity: Identity) -> None:
        """
        What TLS carries is the key, and nothing that changes.
        """
        certificate = identity.certificate()

        self.assertEqual(identity.key, key_of_certificate(certificate))
        self.assertEqual(certificate, identity.certificate())
        self.assertEqual(
            certificate.public_bytes(Encoding.DER),
            identity.certificate().public_bytes(Encoding.DER),
        )

    def test_certificate_is_self_signed_and_for_good(self) -> None:
        """
        Its owner signs it, and it has no end.
        """
        certificate = QUOKKA.certificate()

        certificate.verify_directly_issued_by(certificate)
        self.assertEqual(f"CN={QUOKKA.key}", certificate.subject.rfc4514_string())
        self.assertEqual(datetime(2020, 1, 1, tzinfo=UTC), certificate.not_valid_before_utc)
        self.assertEqual(
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), certificate.not_valid_after_utc
        )
        self.assertEqual(0, len(certificate.extensions))

    def test_only_the_key_counts(self) -> None:
        """
        Who signed it, when and for whom makes no difference: TLS proves the key itself.
        """
        certificate = certificate_around(QUOKKA.secret.public_key())

        self.assertEqual(QUOKKA.key, key_of_certificate(certificate))

    def test_other_kinds_of_keys_are_refused(self) -> None:
        """
        There is one kind of device key.
        """
        others: dict[str, CertificatePublicKeyTypes] = {
            "RSA": rsa.generate_private_key(65537, 1024).public_key(),
            "P-256": ec.generate_private_key(ec.SECP256R1()).public_key(),
            "P-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
            "Ed448": ed448.Ed448PrivateKey.generate().public_key(),
            "X25519": x25519.X25519PrivateKey.generate().public_key(),
        }

        for name, key in others.items():
            with self.subTest(name):
                certificate = certificate_around(key)
                with self.assertRaisesRegex(InvalidKey, "another kind"):
                    key_of_certificate(certificate)

    def test_certificate_signed_by_another_kind_still_counts_by_its_key(self) -> None:
        """
        A signature of P-256 over an Ed25519 key is as good as none, and none is needed.
        """
        name = x509.Name([])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(QUOKKA.secret.public_key())
            .serial_number(1)
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
            .sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
        )

        self.assertEqual(QUOKKA.key, key_of_certificate(certificate))

    def test_unknown_kind_of_key_is_refused(self) -> None:
        """
        A kind that the library has never heard of is one of another kind too.
        """
        certificate = certificate_around(QUOKKA.secret.public_key())
        # The algorithm of a key, 1.3.101.112, and its octets; made 1.3.101.120.
        key = QUOKKA.key.raw
        before = b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" + key

        unknown = bent(certificate, before, before.replace(b"\x65\x70", b"\x65\x78"))

        with self.assertRaisesRegex(InvalidKey, "another kind"):
            key_of_certificate(unknown)

    def test_broken_key_is_refused(self) -> None:
        """
        Ed448 has longer keys; one of 32 octets is none.
        """
        certificate = certificate_around(QUOKKA.secret.public_key())
        key = QUOKKA.key.raw
        before = b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" + key

        broken = bent(certificate, before, before.replace(b"\x65\x70", b"\x65\x71"))

        with self.assertRaisesRegex(InvalidKey, "another kind"):
            key_of_certificate(broken)

    def test_worthless_key_is_refused(self) -> None:
        """
        What `parse_key` refuses is no better in a certificate.
        """
        certificate = certificate_around(QUOKKA.secret.public_key())

        for raw in (written(1, 0), written(0, 1), written(PRIME - 1, 0), written(PRIME + 5, 0)):
            with self.assertRaisesRegex(InvalidKey, "proves nothing"):
                key_of_certificate(bent(certificate, QUOKKA.key.raw, raw))

    def test_any_bent_key_is_another_or_refused(self) -> None:
        """
        Whatever bit of the key's part is another: it is never the same key, and nothing breaks.
        """
        certificate = certificate_around(QUOKKA.secret.public_key())
        part = QUOKKA.secret.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        outcomes: list[DeviceKey | None] = []

        for bit in range(len(part) * 8):
            changed = bytearray(part)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                outcomes.append(key_of_certificate(bent(certificate, part, bytes(changed))))
            except InvalidKey:
                outcomes.append(None)
            except ValueError:
                # It cannot be read at all, and so never comes to us.
                continue

        self.assertNotIn(QUOKKA.key, outcomes)
        self.assertIn(None, outcomes)
