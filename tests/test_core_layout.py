"""
How lines are broken into rows.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import wcswidth

from tests.strategies import any_texts
from twistedchat.core.layout import INDENT, LONGEST_WORD, laid_out, rows_of
from twistedchat.core.safetext import safe_text
from twistedchat.core.wording import Line


class WrappedTests(SynchronousTestCase):
    """
    Texts that need several rows.
    """

    def rows(self, text: str, columns: int) -> list[str]:
        """
        The rows of a text.
        """
        *wrapped, end = laid_out((("time", "12:00 "), ("text", text)), columns)
        self.assertEqual(("", "\n"), end)
        self.assertLessEqual({style for style, _ in wrapped}, {"time", "text"})
        return "".join(text for _, text in wrapped).split("\n")

    def test_short_line_stays_as_it_is(self) -> None:
        """
        What fits a row is not touched, up to its last column.
        """
        lines: list[Line] = [(("text", "a" * 80),), (("time", "12:00 "), ("text", "hello")), ()]
        for line in lines:
            self.assertEqual((*line, ("", "\n")), laid_out(line, 80))
        self.assertEqual(["12:00 你好"], self.rows("你好", 10))

    def test_line_breaks_are_indented(self) -> None:
        """
        No line of a text can be taken for a line of ours.
        """
        self.assertEqual(
            ["12:00 one", "      12:00 two", "      "], self.rows("one\n12:00 two\n", 80)
        )

    def test_long_line_is_indented_where_the_row_ends(self) -> None:
        """
        A text that is as long as a row cannot put words at the beginning of the next one.
        """
        rows = self.rows("a" * 74 + "12:00 [plain]" + "b" * 80, 80)

        self.assertEqual("12:00 " + "a" * 74, rows[0])
        self.assertEqual(("      12:00 [plain]" + "b" * 80)[:80], rows[1])
        self.assertEqual(["      " + "b" * 19], rows[2:])

    def test_words_are_not_broken(self) -> None:
        """
        A word that does not fit into a row goes whole into the next.
        """
        self.assertEqual(
            ["12:00 the quick brown ", "      fox jumps over the", "      lazy dog"],
            self.rows("the quick brown fox jumps over the lazy dog", 24),
        )

    def test_space_where_a_row_ends_is_its_end(self) -> None:
        """
        The next row does not begin with it; of several spaces the others are there.
        """
        self.assertEqual(["12:00 abcd", "  efgh"], self.rows("abcd efgh", 10))
        self.assertEqual(["12:00 abcd", "   efgh"], self.rows("abcd  efgh", 10))

    def test_long_word_fills_the_row(self) -> None:
        """
        A link or a key takes the rest of the row, and goes on in the next.
        """
        word = "x" * LONGEST_WORD
        self.assertEqual(["12:00 " + "ab " * 7, "      " + word], self.rows("ab " * 7 + word, 46))
        self.assertEqual(
            ["12:00 " + "ab " * 7 + word, "      yx"], self.rows("ab " * 7 + word + "yx", 47)
        )

    def test_wide_characters_are_not_cut(self) -> None:
        """
        A character of two columns goes whole into the next row; so does one of many code points.
        """
        family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"

        self.assertEqual(["12:00 ", "  a你好"], self.rows("a你好", 10))
        self.assertEqual(["12:00 ", "  a" + family], self.rows("a" + family, 10))

    def test_narrow_terminal_has_a_narrow_indent(self) -> None:
        """
        On a few columns there is still room for the text.
        """
        self.assertEqual(["12:00 ", "  abcdef", "  ghi"], self.rows("abcdefghi", 8))

    @given(any_texts(), st.integers(1, 100))
    def test_nothing_is_lost_and_no_row_is_too_long(self, text: str, columns: int) -> None:
        """
        Without what was put between the rows all is there, but for spaces where a row ends.
        """
        text = safe_text(text, keep_newlines=True)
        rows = self.rows(text, columns)
        indent = " " * min(INDENT, columns // 4)

        bare = [rows[0], *(row.removeprefix(indent) for row in rows[1:])]
        self.assertTrue(all(row.startswith(indent) for row in rows[1:]))
        self.assertEqual(
            ("12:00 " + text).replace("\n", "").replace(" ", ""), "".join(bare).replace(" ", "")
        )
        # One that holds a single character may be wider than the window.
        wide = [row for row in rows if wcswidth(row) > columns]
        self.assertTrue(columns < 20 or not wide, wide)


class LaidOutTests(SynchronousTestCase):
    """
    Lines that are more than text, and how much room they take.
    """

    def test_link_is_left_to_the_terminal(self) -> None:
        """
        A link has no line break of ours in it, however long, so that it can be copied.
        """
        link = "p2pchat:" + "a" * 200

        self.assertEqual((("link", link), ("", "\n")), laid_out((("link", link),), 80))

    def test_picture_is_whole_or_not_there(self) -> None:
        """
        A row of a picture that does not fit is left out: cut in two it would show nothing.
        """
        row = "\N{FULL BLOCK}" * 40

        self.assertEqual((("picture", row), ("", "\n")), laid_out((("picture", row),), 40))
        self.assertEqual((), laid_out((("picture", row),), 39))

    def test_rows_are_counted_up_to_what_matters(self) -> None:
        """
        A line takes as many rows as are drawn; of one that fills the window it is not counted.
        """
        line = (("time", "12:00 "), ("text", "word " * 30))
        self.assertEqual(1, rows_of(line, 200, 10))
        self.assertEqual(3, rows_of(line, 80, 10))
        self.assertEqual(2, rows_of(line, 80, 2))
        self.assertEqual(10, rows_of((("text", "a" * 10**6),), 80, 10))
