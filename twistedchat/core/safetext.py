"""
The one function through which everything from outside is shown.

A terminal obeys what it is sent: escape sequences move the cursor, retitle the window or answer as
if the person had typed; bidirectional overrides and invisible characters make a line read as
something else (CVE-2021-42574, "Trojan Source"; Unicode TR 36 and TR 39). What is stored stays as
it came; what is shown has passed through here. Without any I/O.
"""

from __future__ import annotations

import unicodedata

__all__ = ["safe_text"]

_ZERO_WIDTH_NON_JOINER = "\u200c"
_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = _ZERO_WIDTH_NON_JOINER + _ZERO_WIDTH_JOINER
_EMOJI_VARIATION = "\ufe0f"
_VARIATIONS = "\ufe0e" + _EMOJI_VARIATION
_KEYCAP = "\u20e3"
_KEYCAP_BASES = frozenset("0123456789#*")
_FIRST_BEYOND_LATIN = 0x300

# Drawn as nothing although their category (letter, mark, symbol or unassigned) says otherwise: the
# code points of Default_Ignorable_Code_Point (Unicode DerivedCoreProperties) that are not Cf, and
# the blank Braille pattern.
_INVISIBLE = (
    frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800\u3164\uffa0")
    | frozenset(chr(code) for code in range(0xFE00, 0xFE10))
    | frozenset(chr(code) for code in range(0xFFF0, 0xFFF9))
)
_IGNORABLE_PLANE = range(0xE0000, 0xE1000)

# Marks upon one letter. Vietnamese and Hebrew need three, Tibetan a few more; a stack beyond that
# paints over the lines above and below it.
_MOST_MARKS = 6

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}


def safe_text(text: str, *, keep_newlines: bool = False) -> str:
    r"""
    Disarm a text for showing.

    Control characters become their pictures (``␛``), everything else that could hide, reorder or
    overdraw becomes its code point (``<U+202E>``); a tab becomes spaces. Joiners stay where a
    script or an emoji needs them. A safe text passes unchanged.

    Args:
        text: Anything, lone surrogates included.
        keep_newlines: Leave ``\n`` in place, for a caller that draws each line itself so that none
            can be taken for a line of ours.

    Returns:
        A text that is safe to print, and to encode as UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    shown: list[str] = []
    before = ""
    marks = 0
    for index, character in enumerate(text):
        category = unicodedata.category(character)
        after = text[index + 1 : index + 2]
        # A joiner does not end a stack of marks: some scripts have it inside one.
        if character not in _JOINERS:
            marks = marks + 1 if category in ("Mn", "Me") else 0
        if character == "\n" and keep_newlines:
            shown.append(character)
        elif character == "\t":
            shown.append("    ")
        elif marks <= _MOST_MARKS and (
            not _is_hidden(character, category)
            or (character in _JOINERS and marks < _MOST_MARKS and _joins(before, after))
            or (character in _VARIATIONS and _varies(before, after))
        ):
            shown.append(character)
        else:
            shown.append(_PICTURES.get(ord(character)) or f"<U+{ord(character):04X}>")
        before = shown[-1][-1]
    return "".join(shown)


def _is_hidden(character: str, category: str) -> bool:
    return (
        category in ("Cc", "Cf", "Cs", "Zl", "Zp")
        or character in _INVISIBLE
        or ord(character) in _IGNORABLE_PLANE
        or ord(character) & 0xFFFE == 0xFFFE
    )


def _joins(before: str, after: str) -> bool:
    # Between two visible characters of a script beyond Latin a joiner has a meaning (Persian,
    # Devanagari, emoji families); elsewhere it only makes two equal words different.
    return (before == _EMOJI_VARIATION or _takes_joiner(before)) and _takes_joiner(after)


def _takes_joiner(character: str) -> bool:
    if not character or ord(character) < _FIRST_BEYOND_LATIN:
        return False
    category = unicodedata.category(character)
    return category != "Zs" and not _is_hidden(character, category)


def _varies(before: str, after: str) -> bool:
    # The bases of Unicode's emoji-variation-sequences.txt are symbols, a few punctuation marks, and
    # for keycaps digits: without a keycap a digit looks the same with and without a variation.
    if before.isascii():
        return before in _KEYCAP_BASES and after == _KEYCAP
    return unicodedata.category(before) in ("So", "Sm", "Po", "Pd", "Nd", "Sk")
