"""
What is safe to show: nothing moves, hides, reorders or overdraws, and writing stays writing.
"""

import unicodedata

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import wcswidth

from tests.strategies import any_texts
from twistedchat.core.safetext import safe_text

JOINERS = "\u200c\u200d"
# Of Unicode's Default_Ignorable_Code_Point those that are neither controls nor formats.
IGNORABLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u3164\uffa0\ufff0\ufff8"
    "\U000e0000\U000e0100\U000e01ef\U000e0fff"
)


class SafeTextTests(SynchronousTestCase):
    """
    `safe_text`.
    """

    def check(self, shown: str, *, newlines: str = "") -> None:
        """
        A shown text holds nothing that a terminal obeys or an eye misses.
        """
        shown.encode()
        marks = 0
        for index, character in enumerate(shown):
            category = unicodedata.category(character)
            if character in JOINERS:
                around = shown[index - 1 : index] + shown[index + 1 : index + 2]
                self.assertEqual(2, len(around))
                self.assertTrue(min(around) >= "\u0300")
                continue
            if character not in newlines:
                self.assertNotIn(category, ("Cc", "Cf", "Cs", "Zl", "Zp"))
            self.assertNotIn(character, IGNORABLE)
            marks = marks + 1 if category in ("Mn", "Me") else 0
            self.assertLessEqual(marks, 6)

    @given(any_texts())
    def test_any_text_is_disarmed(self, text: str) -> None:
        """
        Whatever comes in, nothing that a terminal obeys or an eye misses comes out.
        """
        self.check(safe_text(text))
        self.check(safe_text(text, keep_newlines=True), newlines="\n")

    @given(any_texts())
    def test_safe_text_passes_unchanged(self, text: str) -> None:
        """
        To show a text twice is to show it once.
        """
        for keep_newlines in (False, True):
            shown = safe_text(text, keep_newlines=keep_newlines)
            self.assertEqual(shown, safe_text(shown, keep_newlines=keep_newlines))

    @given(any_texts())
    def test_any_text_has_a_width(self, text: str) -> None:
        """
        A table can be drawn around any shown text.
        """
        self.assertGreaterEqual(wcswidth(safe_text(text)), 0)

    def test_every_code_point_is_disarmed(self) -> None:
        """
        No single code point between two letters gets through that should not.
        """
        shown = safe_text("A".join(map(chr, range(0x110000))))

        self.assertFalse(set(shown) & set(JOINERS + IGNORABLE))
        categories = set(map(unicodedata.category, set(shown)))
        self.assertFalse(categories & {"Cc", "Cf", "Cs", "Zl", "Zp"})
        self.assertTrue(categories >= {"Lu", "Lo", "Mn", "Mc", "Nd", "Po", "So", "Zs"})
        self.assertGreaterEqual(wcswidth(shown), 0x110000)

    def test_printable_ascii_is_unchanged(self) -> None:
        """
        What is on every keyboard stays as it was typed.
        """
        text = "".join(map(chr, range(0x20, 0x7F)))

        self.assertEqual(text, safe_text(text))
        self.assertEqual(f"{text}\u00e9", safe_text(f"{text}\u00e9"))

    def test_control_characters_become_pictures(self) -> None:
        """
        An escape sequence is seen instead of obeyed.
        """
        self.assertEqual("\u241b[2J\u2400\u2407\u2421", safe_text("\x1b[2J\0\a\x7f"))
        self.assertEqual("<U+009B>2J", safe_text("\x9b2J"))

    def test_hidden_characters_become_their_code_points(self) -> None:
        """
        What draws nothing, or turns the rest around, is named.
        """
        for character in f"\u202e\u2066\u200b\u2060\ufeff\u00ad\u061c\ud800\uffff\u2800{IGNORABLE}":
            self.assertEqual(
                f"a<U+{ord(character):04X}>b", safe_text(f"a{character}b"), ascii(character)
            )

    def test_ends_of_lines_are_drawn(self) -> None:
        """
        No text can begin a line of its own, by any of the characters that end one.
        """
        self.assertEqual(
            "a\u240ab\u240ac\u240dd\u240be\u240cf<U+0085>g<U+2028>h<U+2029>",
            safe_text("a\nb\r\nc\rd\x0be\x0cf\x85g\u2028h\u2029"),
        )

    def test_kept_newlines_are_all_that_is_kept(self) -> None:
        """
        A caller that draws each line itself gets line feeds, and no other end of a line.
        """
        self.assertEqual(
            "a\nb\nc\u240dd\u240be<U+0085>f<U+2028>",
            safe_text("a\nb\r\nc\rd\x0be\x85f\u2028", keep_newlines=True),
        )

    def test_tab_becomes_spaces(self) -> None:
        """
        A tab moves the cursor; spaces do not.
        """
        self.assertEqual("a    b", safe_text("a\tb"))

    def test_writing_of_all_scripts_is_unchanged(self) -> None:
        """
        Joiners, marks and variations stay where a script or an emoji needs them.
        """
        for text in [
            "na\u00efve \u00e9t\u00e9, cafe\u0301",
            "Vi\u1ec7t, e\u0323\u0302",
            "\u05e9\u05c1\u05c7\u05dc\u05d5\u05dd",  # Hebrew, two marks on a letter
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
            "\u0915\u094d\u200d\u0937",  # Devanagari, half a letter
            "\u09b0\u200d\u09cd\u09af\u09be\u09ac",  # Bengali, a joiner before a mark
            "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala
            "\u0f56\u0f66\u0f90\u0fb2\u0f74\u0f56\u0f66",  # Tibetan, stacked
            "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",  # a family
            "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f468",  # a couple, with a heart
            "\U0001f3f3\ufe0f\u200d\U0001f308",  # a flag, joined to a rainbow
            "\U0001f44b\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f \u2764\ufe0e",
            "1\ufe0f\u20e3 #\ufe0f\u20e3",  # keycaps
            "\u4f60\u597d\u3000\ud55c\uad6d\uc5b4",
        ]:
            self.assertEqual(text, safe_text(text), ascii(text))

    def test_joiners_without_a_script_are_named(self) -> None:
        """
        Beside Latin letters, spaces, other joiners and the ends a joiner only hides.
        """
        for text, shown in [
            ("Bo\u200db", "Bo<U+200D>b"),
            ("Bo\u200cb", "Bo<U+200C>b"),
            ("\u200d\u4f60", "<U+200D>\u4f60"),
            ("\u4f60\u200d", "\u4f60<U+200D>"),
            ("\u4f60\u200d ", "\u4f60<U+200D> "),
            ("\u4f60\u200d\u3000", "\u4f60<U+200D>\u3000"),
            ("\u4f60\u200d\u200d\u597d", "\u4f60<U+200D><U+200D>\u597d"),
            ("\u4f60\u200d\u202e", "\u4f60<U+200D><U+202E>"),
        ]:
            self.assertEqual(shown, safe_text(text))

    def test_variations_without_an_emoji_are_named(self) -> None:
        """
        A variation of what has none would only make two equal names different.
        """
        for text, shown in [
            ("Bob\ufe0f", "Bob<U+FE0F>"),
            ("Bob1\ufe0f", "Bob1<U+FE0F>"),
            ("\ufe0f\u20e3", "<U+FE0F>\u20e3"),
            ("b\ufe0f\u20e3", "b<U+FE0F>\u20e3"),
            ("\u2764\ufe0f\ufe0f", "\u2764\ufe0f<U+FE0F>"),
            ("\u2764\ufe00", "\u2764<U+FE00>"),
        ]:
            self.assertEqual(shown, safe_text(text))

    def test_stacks_of_marks_end(self) -> None:
        """
        Six marks stand upon a letter; more would paint over the lines around.
        """
        self.assertEqual("e" + "\u0301" * 6, safe_text("e" + "\u0301" * 6))
        self.assertEqual(
            "e" + "\u0301" * 6 + "<U+0301>" * 2 + "e", safe_text("e" + "\u0301" * 8 + "e")
        )

    def test_joiners_do_not_hide_a_stack(self) -> None:
        """
        Marks with joiners between them are one stack.
        """
        shown = safe_text("\u0915" + "\u094d\u200d" * 8 + "\u0937")

        self.assertEqual(
            "\u0915" + "\u094d\u200d" * 5 + "\u094d" + "<U+200D><U+094D>" * 2 + "<U+200D>\u0937",
            shown,
        )
