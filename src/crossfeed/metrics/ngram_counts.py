"""Counts of the n-grams of many texts, of all orders in one pass over numbers in place of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NgramCounts", "ngram_counts"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NgramCounts:
    """Counts of the n-grams of one order in each text, sorted by n-gram and then by text.

    Attributes:
        gram: ``(m,)`` numbers of n-grams, from 0.
        text: ``(m,)`` numbers of texts that have them.
        count: ``(m,)`` how often, once or more.
    """

    gram: Integers
    text: Integers
    count: Integers

    @property
    def different(self) -> int:
        """The number of different n-grams in all texts."""
        return int(self.gram[-1]) + 1 if len(self.gram) else 0

    @property
    def holders(self) -> Integers:
        """``(different,)`` the number of texts that have each n-gram."""
        return np.bincount(self.gram)

    def most_elsewhere(self) -> Integers:
        """Return ``(m,)``: the greatest count of the same n-gram in any other text, 0 if no other has it."""
        rising = np.lexsort((self.count, self.gram))
        last = np.cumsum(self.holders) - 1  # of each n-gram in that order, the text that has it most often
        most = self.count[rising[last]][self.gram]
        several = last[self.holders > 1]
        most[rising[last]] = 0
        most[rising[several]] = self.count[rising[several - 1]]
        return most


def ngram_counts(texts: Sequence[Sequence[str]], most: int) -> list[NgramCounts]:
    """Return the counts of n-grams of each order from 1; no n-gram crosses from one text to the next.

    Args:
        texts: One text or more, as words.
        most: The greatest order.
    """
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(word, len(numbers)) for text in texts for word in text], np.int64)
    sizes = np.array([len(text) for text in texts])
    owner = np.repeat(np.arange(len(texts)), sizes)
    left = np.cumsum(sizes)[owner] - np.arange(len(words))
    places, names, found = np.arange(len(words)), words, []
    for n in range(1, most + 1):
        if n > 1:
            whole = left[places] >= n
            places = places[whole]
            _, names = np.unique(names[whole] * len(numbers) + words[places + n - 1], return_inverse=True)
        pairs, count = np.unique(names * len(texts) + owner[places], return_counts=True)
        found.append(NgramCounts(pairs // len(texts), pairs % len(texts), count))
    return found
