"""
Hints: understood by those who know the key, and by nobody else.
"""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.strategies import any_texts, device_keys
from twistedchat.core.hints import SALT_LENGTH, hint_of, who_is_meant
from twistedchat.core.identity import DeviceKey

SALT = bytes(range(SALT_LENGTH))
QUOKKA, PANDA, NUMBAT = (DeviceKey(bytes([number]) * 32) for number in (11, 22, 33))


class HintTests(SynchronousTestCase):
    """
    `hint_of` and `who_is_meant`.
    """

    def test_hint_is_as_specified(self) -> None:
        """
        Half a SHA-256 of the salt and the key.
        """
        expected = sha256(b"twistedchat hint 1\n" + SALT + QUOKKA.raw).hexdigest()[:32]

        self.assertEqual(expected, hint_of(QUOKKA, SALT))

    @given(
        known=st.lists(device_keys(), unique=True, max_size=6),
        others=st.lists(device_keys(), max_size=3),
        salt=st.binary(min_size=SALT_LENGTH, max_size=SALT_LENGTH),
    )
    def test_known_keys_are_understood(
        self, known: list[DeviceKey], others: list[DeviceKey], salt: bytes
    ) -> None:
        """
        Those that both know, and no others.
        """
        meant = [*known[::2], *others]
        hints = [hint_of(key, salt) for key in meant]

        understood = who_is_meant(hints, salt, known)

        self.assertEqual({hint_of(key, salt): key for key in known if key in meant}, understood)

    def test_hint_changes_with_the_salt(self) -> None:
        """
        Nobody can follow somebody by their hints, or say one again with a salt of their own.
        """
        other_salt = bytes(SALT_LENGTH)
        hint = hint_of(QUOKKA, SALT)

        self.assertNotEqual(hint, hint_of(QUOKKA, other_salt))
        self.assertEqual({}, who_is_meant([hint], other_salt, [QUOKKA, PANDA]))

    @given(hints=st.lists(any_texts(40) | st.text("0123456789abcdef", min_size=32, max_size=32)))
    def test_any_other_hints_mean_nobody(self, hints: list[str]) -> None:
        """
        Whatever is said, it is nobody's hint by chance.
        """
        self.assertEqual({}, who_is_meant(hints, SALT, [QUOKKA, PANDA, NUMBAT]))

    def test_hint_is_written_in_one_way(self) -> None:
        """
        In capitals it is no hint.
        """
        hints = [hint_of(QUOKKA, SALT).upper(), hint_of(PANDA, SALT)]

        self.assertEqual({hints[1]: PANDA}, who_is_meant(hints, SALT, [QUOKKA, PANDA]))
