"""
How a line is broken into the rows of a window. Without any I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from wcwidth import iter_graphemes, wcwidth

from twistedchat.core.wording import Fragment, Line

__all__ = ["INDENT", "LONGEST_WORD", "laid_out", "rows_of"]

# Columns before what continues a line.
INDENT = 6

# Columns of a word that is not broken where a row ends. Longer ones are links, keys and paths, and
# what is written without spaces: of those each row holds as much as it can.
LONGEST_WORD = 20

# Asks for the wide form of the character before it.
EMOJI_VARIATION = "\ufe0f"

# What stands in one place, how it is drawn, and how many columns it may take.
_Cell: TypeAlias = tuple[str, str, int]


def laid_out(line: Line, columns: int) -> Line:
    """
    Lay out a line for a window.

    Args:
        line: The line.
        columns: How wide the window is.

    Returns:
        The line in rows, each with its end; nothing where it is a picture that is too wide.
    """
    end: Fragment = ("", "\n")
    match line:
        case (("link", _),):
            # The terminal itself breaks it, and so gives it back in one piece when it is copied.
            return (*line, end)
        case (("picture", row),) if len(row) > columns:
            return ()
        case _:
            return (*_wrapped(line, columns), end)


def rows_of(line: Line, columns: int, most: int) -> int:
    """
    Tell how many rows a line takes.

    Args:
        line: The line.
        columns: How wide the window is.
        most: How many rows are so many that it does not matter how many there are.
    """
    if sum(len(text) for _, text in line) > most * columns:
        return most
    return min(most, sum(text.count("\n") for _, text in laid_out(line, columns)))


def _wrapped(line: Line, columns: int) -> Line:
    # What follows a line break, or what a terminal would put at the beginning of its next row, must
    # not look like the beginning of a line of ours: a text can be made as long as a row is wide.
    if sum(len(text) for _, text in line) <= columns and _is_simple(line):
        return line
    indent = min(INDENT, columns // 4)
    end = "\n" + " " * indent
    longest_word = min(LONGEST_WORD, columns - indent)
    cells: list[_Cell] = []
    column = 0
    # Where the word begins that the row ends with: its index and its column.
    word, word_column = 0, 0
    for style, character, width in _cells(line):
        is_over = column + width > columns
        if character == "\n" or is_over:
            at, moved = len(cells), 0
            length = column - word_column
            is_in_word = is_over and character != " " and length + width <= longest_word
            # Not where that would leave the row with nothing but its indent.
            if is_in_word and word_column > indent:
                at, moved = word, length
            cells.insert(at, (cells[at][0] if moved else style, end, 0))
            column = indent + moved
            word, word_column = at + 1, indent
            if character in "\n ":
                # The end of the row stands for it.
                continue
        cells.append((style, character, width))
        column += width
        if character == " ":
            word, word_column = len(cells), column
    return tuple(
        (style, "".join(character for _, character, _ in run))
        for style, run in groupby(cells, key=itemgetter(0))
    )


def _cells(line: Line) -> Iterable[_Cell]:
    for style, text in line:
        if text.isascii():
            yield from ((style, character, 1) for character in text)
        else:
            for character in iter_graphemes(text):
                yield style, character, _most_columns(character)


def _is_simple(line: Line) -> bool:
    return all(text.isascii() and "\n" not in text for _, text in line)


def _most_columns(character: str) -> int:
    # Terminals differ in what they join; none draws more than all parts one after the other.
    return sum(2 if code == EMOJI_VARIATION else max(0, wcwidth(code)) for code in character)
