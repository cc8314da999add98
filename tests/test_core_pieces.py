"""
Cutting long texts.
"""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import iter_graphemes

from tests.strategies import writings
from twistedchat.core.pieces import cut_text


def size_of(text: str) -> int:
    """
    Bytes as UTF-8.
    """
    return len(text.encode("utf-8", "surrogatepass"))


class CutTextTests(SynchronousTestCase):
    """
    `cut_text`.
    """

    def test_text_that_fits_is_whole(self) -> None:
        """
        Nothing is done to what fits, nor to nothing.
        """
        for text in ("", "x" * 20, "  a  "):
            self.assertEqual([text], cut_text(text, 20, size_of))

    def test_cut_between_words(self) -> None:
        """
        The white space stays with the word before it.
        """
        self.assertEqual(["one two ", "three ", "four"], cut_text("one two three four", 8, size_of))

    def test_leading_space_is_a_part_too(self) -> None:
        """
        White space that begins a text goes into a piece like a word.
        """
        self.assertEqual(["    ", "word ", "word"], cut_text("    word word", 5, size_of))

    def test_long_word_of_ascii_is_cut_in_steps(self) -> None:
        """
        A word longer than a piece fills it up to the last step.
        """
        self.assertEqual(["x" * 96, "x" * 4], cut_text("x" * 100, 100 - 1, size_of))

    def test_long_word_is_cut_between_characters(self) -> None:
        """
        What people see as one character is not torn apart.
        """
        family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
        pieces = cut_text(family * 5, 40, size_of)

        self.assertEqual([family * 2, family * 2, family], pieces)

    def test_endless_character_is_cut_all_the_same(self) -> None:
        """
        A heap of marks that nobody can read does not get in the way.
        """
        heap = "a" + "\u0301" * 200
        pieces = cut_text(heap, 50, size_of)

        self.assertEqual(heap, "".join(pieces))
        self.assertTrue(all(size_of(piece) <= 50 for piece in pieces))

    @given(writings() | st.text(max_size=300), st.integers(120, 400))
    def test_pieces_fit_and_are_the_text(self, text: str, room: int) -> None:
        """
        Whatever is cut, the pieces fit, none is empty, and put together they are the text.
        """
        pieces = cut_text(text, room, size_of)

        self.assertEqual(text, "".join(pieces))
        self.assertTrue(all(size_of(piece) <= room for piece in pieces))
        self.assertTrue(all(pieces) or pieces == [""])

    @given(writings(), st.integers(120, 400))
    def test_words_that_fit_stay_whole(self, text: str, room: int) -> None:
        """
        A word that fits into a piece is in one of them, and characters are whole in any case.
        """
        pieces = cut_text(text, room, size_of)

        starts = {sum(map(len, pieces[:count])) for count in range(1, len(pieces))}
        characters = set(accumulate(map(len, iter_graphemes(text))))
        words = text.split()
        if all(size_of(word) + 10 <= room for word in words):
            self.assertTrue(all(text[start - 1].isspace() for start in starts))
        if not text.isascii():
            self.assertLessEqual(
                {start for start in starts if not text[start - 1].isspace()}, characters
            )
