"""
Cutting a long text where it hurts least. Without any I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wcwidth import iter_graphemes

__all__ = ["cut_text"]

_WORD = re.compile(r"\S+\s*|\s+")

# No character that anybody reads is longer: the longest emoji families have 35 bytes.
_LONGEST_CHARACTER = 100

# A long word of ASCII is data, not writing: cut in steps, since thousands of single characters
# would hold up everything else for many milliseconds.
_STEP = 8


def cut_text(text: str, room: int, size_of: Callable[[str], int]) -> list[str]:
    """
    Cut a text into pieces that fit.

    The cuts are between words; inside a word only where it is longer than a piece, and then between
    characters as people see them (Unicode UAX 29), unless one is longer than any that can be read.

    Args:
        text: What to cut.
        room: How large a piece may be, at least as large as a single character's parts.
        size_of: Tells how large a part of the text is; parts put together are as large as the sum.

    Returns:
        At least one piece; put together they are the text.
    """
    if size_of(text) <= room:
        return [text]
    pieces = [""]
    used = 0
    for word in _WORD.findall(text):
        needed = size_of(word)
        for part in _parts(word, size_of) if needed > room else [word]:
            needed = size_of(part)
            if used + needed > room:
                pieces.append("")
                used = 0
            pieces[-1] += part
            used += needed
    return pieces


def _parts(word: str, size_of: Callable[[str], int]) -> list[str]:
    if word.isascii():
        return [word[start : start + _STEP] for start in range(0, len(word), _STEP)]
    return [
        part
        for character in iter_graphemes(word)
        for part in ([character] if size_of(character) <= _LONGEST_CHARACTER else list(character))
    ]
