"""
The six words that two people compare.
"""

from hashlib import sha256

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from twisted.trial.unittest import SynchronousTestCase

from twistedchat.core import words
from twistedchat.core.identity import DeviceKey
from twistedchat.core.words import BLOCK_SIZE, COST, MOST_MEMORY, WORDS, verification_words

QUOKKA, PANDA, NUMBAT = (DeviceKey(bytes([number]) * 32) for number in (11, 22, 33))


class ListTests(SynchronousTestCase):
    """
    `WORDS`.
    """

    def test_list_is_that_of_bip_39(self) -> None:
        """
        Word for word the published file.
        """
        published = "".join(f"{word}\n" for word in WORDS).encode()

        self.assertEqual(
            "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda",
            sha256(published).hexdigest(),
        )

    def test_words_are_told_apart(self) -> None:
        """
        There is one for each eleven bits, in order, and four letters say which.
        """
        self.assertEqual(2**11, len(WORDS))
        self.assertEqual(sorted(WORDS), list(WORDS))
        self.assertEqual(len(WORDS), len({word[:4] for word in WORDS}))
        for word in WORDS:
            self.assertRegex(word, r"^[a-z]{3,8}$")


class VerificationWordsTests(SynchronousTestCase):
    """
    `verification_words`.
    """

    def test_both_ends_see_the_same_words(self) -> None:
        """
        Whichever side computes them.
        """
        seen = verification_words(QUOKKA, PANDA)

        self.assertEqual(seen, verification_words(PANDA, QUOKKA))
        self.assertEqual(6, len(seen))
        self.assertLessEqual(set(seen), set(WORDS))

    def test_each_key_matters(self) -> None:
        """
        With another key on either side they are others: one bit of it is enough.
        """
        bent = DeviceKey(bytes([PANDA.raw[0] ^ 1]) + PANDA.raw[1:])
        pairs = [(QUOKKA, PANDA), (QUOKKA, bent), (QUOKKA, NUMBAT), (NUMBAT, PANDA)]

        seen = [verification_words(*pair) for pair in pairs]

        self.assertEqual(len(pairs), len(set(seen)))

    def test_words_are_as_specified(self) -> None:
        """
        Sixty-six bits of a scrypt that costs 32 MB, the first eleven of them first.
        """
        scrypt = Scrypt(salt=b"twistedchat words 1\n", length=9, n=32768, r=8, p=1)
        bits = "".join(f"{octet:08b}" for octet in scrypt.derive(QUOKKA.raw + PANDA.raw))

        expected = [WORDS[int(bits[start : start + 11], 2)] for start in range(0, 66, 11)]

        self.assertEqual(expected, list(verification_words(PANDA, QUOKKA)))

    def test_memory_is_enough_and_not_much_more(self) -> None:
        """
        With half of what is allowed there are no words.
        """
        self.patch(words, "MOST_MEMORY", MOST_MEMORY // 2)
        self.assertLessEqual(128 * COST * BLOCK_SIZE, MOST_MEMORY // 2)

        with self.assertRaises(ValueError):
            verification_words(QUOKKA, PANDA)
