"""An index of the words of many texts: the longest run of words, from any place of other texts, that is found in them.

It is a suffix array (Manber and Myers, 1993) over the words of all texts, made by doubling: suffixes that are sorted by
their first h words are sorted by their first 2h by pairs of ranks. Suffixes end with their text, so that nothing that
is found crosses from one text to the next. Runs are compared word by word: nothing rests on a hash.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["WordIndex"]

_END: Final = 0  # of a text; words are numbered from 1

Integers = NDArray[np.int64]


class WordIndex:
    """The words of some texts, in the order of all their suffixes.

    Args:
        texts: The texts as words.
    """

    def __init__(self, texts: Iterable[Sequence[Hashable]]) -> None:
        self._numbers: dict[Hashable, int] = {}
        numbers, found = self._numbers, [_END]  # an end at first: there is always one
        for text in texts:
            found += [numbers.setdefault(word, len(numbers) + 1) for word in text]
            found.append(_END)
        self._words = np.array(found, np.int64)
        self._order = _sorted_suffixes(self._words)
        counts = np.bincount(self._words, minlength=len(numbers) + 1)
        self._begins = np.concatenate([[0], np.cumsum(counts)])

    @property
    def size(self) -> int:
        """The number of words and texts."""
        return len(self._words)

    def longest(self, texts: Iterable[Sequence[Hashable]]) -> Integers:
        """Return the length of the longest run of words that begins at each word and is found in the index.

        Args:
            texts: Other texts as words.

        Returns:
            ``(words,)`` lengths for the words of all texts in order; 0 where a word is unknown. A run ends with its
            text.
        """
        get = self._numbers.get
        coded = [[*(get(word, -1) for word in text), -1] for text in texts]
        words = np.array([number for text in coded for number in text], np.int64)
        lengths = np.zeros(len(words), np.int64)
        places = np.flatnonzero(words > 0)
        low, high = self._begins[words[places]], self._begins[words[places] + 1]
        depth = 1
        while len(places):
            lengths[places] = depth
            word = words[places + depth]
            first = self._first(low, high, depth, word)
            after = self._first(first, high, depth, word + 1)
            on = (word > 0) & (first < after)
            places, low, high = places[on], first[on], after[on]
            depth += 1
        ends = np.cumsum([len(text) for text in coded], dtype=np.int64) - 1
        return np.delete(lengths, ends)

    def _first(self, low: Integers, high: Integers, depth: int, word: Integers) -> Integers:
        """Return where, of suffixes that agree in their first words, those begin whose next word is not before another.

        Args:
            low: ``(m,)`` first places in the order of suffixes that agree in `depth` words.
            high: ``(m,)`` places behind the last ones.
            depth: The number of words in which they agree.
            word: ``(m,)`` the other words.
        """
        low, high = low.copy(), high.copy()
        still = np.flatnonzero(low < high)
        while len(still):
            middle = (low[still] + high[still]) // 2
            before = self._words[self._order[middle] + depth] < word[still]
            low[still[before]] = middle[before] + 1
            high[still[~before]] = middle[~before]
            still = still[low[still] < high[still]]
        return low


def _sorted_suffixes(words: Integers) -> Integers:
    """Return the places of all suffixes in their order, each taken to the end of its text.

    Args:
        words: ``(n,)`` numbers of words, with 0 at the end of each text.
    """
    ends = np.flatnonzero(words == _END)
    left = ends[np.searchsorted(ends, np.arange(len(words)))] - np.arange(len(words))
    rank, classes, known = words, len(np.unique(words)), 1
    while known <= left.max():  # suffixes are told apart by their first `known` words
        behind = np.zeros_like(rank)
        further = np.flatnonzero(left > known)
        behind[further] = rank[further + known]
        _, rank = np.unique(rank * (rank.max() + 1) + behind, return_inverse=True)
        known *= 2
        if rank.max() + 1 == classes:
            break
        classes = int(rank.max()) + 1
    return np.argsort(rank, kind="stable")
