"""
Texts that look like what people write to each other: made up, the same each time, without any I/O.

Their words are as unevenly used as those of any language (Zipf), and most texts are short.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from random import Random

__all__ = ["EVERY_LONG", "EVERY_SHORT", "make_texts", "make_words"]

# The words of a language that a group of people use. Zipf's law with Mandelbrot's correction: the
# rank of a word, moved a little, to some power.
WORDS = 60_000
SHIFT, POWER = 2.7, 1.05

# Words of a text: half of all texts have at most so many, few have many times that (a log-normal
# distribution, as was found for messages of all kinds), and none has more than the last.
MEDIAN_LENGTH, SPREAD, LONGEST = 7.0, 0.8, 120

# Two words that stand in every text: one that is short, and one longer than what an index of the
# beginnings of words covers.
EVERY_SHORT, EVERY_LONG = "so", "anyway"

# Texts that are made at a time, so that a million takes seconds and no memory.
LOT = 10_000

_ONSETS = [*"bcdfghjklmnprstvwz", "br", "cl", "dr", "fl", "gr", "pl", "sh", "st", "tr"]
_VOWELS = [*"aeiou", "ai", "ea", "ou"]


def make_words() -> list[str]:
    """
    Make the words of a language.

    Returns:
        All of them, the one used most first: those used often are short.
    """
    random = Random(4)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        # A syllable more for each factor of sixty: three letters at the top, eight at the end.
        syllables = 1 + sum(len(words) >= 60**power for power in (1, 2))
        syllables = max(1, syllables + random.choice((-1, 0, 0, 0, 1)))
        words[
            "".join(random.choice(_ONSETS) + random.choice(_VOWELS) for _ in range(syllables))
        ] = None
    for word in (EVERY_SHORT, EVERY_LONG):
        words.pop(word, None)
    return list(words)


def make_texts(count: int) -> Iterator[str]:
    """
    Make texts.

    Args:
        count: How many.

    Yields:
        Each of them; the same ones each time.
    """
    random = Random(5)
    words = make_words()
    weights = list(accumulate((rank + SHIFT) ** -POWER for rank in range(1, len(words) + 1)))
    while count > 0:
        lengths = [
            min(LONGEST, max(1, round(MEDIAN_LENGTH * random.lognormvariate(0.0, SPREAD))))
            for _ in range(min(LOT, count))
        ]
        drawn = iter(random.choices(words, cum_weights=weights, k=sum(lengths)))
        for length in lengths:
            text = [next(drawn) for _ in range(length)]
            text.insert(length // 2, EVERY_SHORT)
            text.insert(0, EVERY_LONG)
            yield " ".join(text)
        count -= len(lengths)
