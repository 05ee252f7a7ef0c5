r"""Longest common subsequences of many texts, and ROUGE-L (Lin, 2004), all pairs at once.

With :math:`\ell` the length of the longest common subsequence of two texts of m and n words, ROUGE-L is the harmonic
mean of :math:`\ell / m` and :math:`\ell / n`, that is :math:`2 \ell / (m + n)`.

The length is found by bits (Hyyrö, 2004; Crochemore et al., 2001): with a bit for each word of a text, all set in V,
and M the bits of the words that equal w, each word w of the other text gives

.. math:: V \leftarrow (V + (V \wedge M)) \vee (V \wedge \neg M) ,

and the length is the number of bits that are no longer set. Here all texts lie in one integer, with a bit between one
text and the next that takes up the carry of the sum, so that one step treats a word against all texts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["rouge_l"]

Words = Sequence[Hashable]


def rouge_l(texts: Sequence[Words]) -> NDArray[np.float64]:
    """Return the ROUGE-L of every pair of texts, as their F-measure.

    Args:
        texts: m texts, each of one word or more.

    Returns:
        ``(m, m)`` symmetric, between 0 (no word in common) and 1 (the same words in the same order); 1 on the diagonal.

    Source:
        Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries"; as rouge-score 0.1.2 computes it.
    """
    sizes = np.array([len(text) for text in texts])
    alike: NDArray[np.float64] = 2 * _common(texts) / (sizes[:, None] + sizes)
    return alike


def _common(texts: Sequence[Words]) -> NDArray[np.int64]:
    """Return ``(m, m)`` lengths of the longest common subsequences."""
    ends = np.cumsum([len(text) + 1 for text in texts])  # one bit more: it takes up the carry
    begins = np.concatenate([[0], ends[:-1]])
    places = _places(texts)
    everywhere = sum(((1 << len(text)) - 1) << int(begin) for text, begin in zip(texts, begins, strict=True))
    size = int(ends[-1] + 7) // 8
    lengths = np.empty((len(texts), len(texts)), np.int64)
    for row, text in enumerate(texts):
        left = everywhere
        for word in text:
            found = left & places[word]
            left = ((left + found) | (left ^ found)) & everywhere
        bits = np.unpackbits(np.frombuffer((everywhere ^ left).to_bytes(size, "little"), np.uint8), bitorder="little")
        lengths[row] = np.add.reduceat(bits, begins, dtype=np.int64)
    return lengths


def _places(texts: Sequence[Words]) -> dict[Hashable, int]:
    """Return the bits of each word's places."""
    places: dict[Hashable, int] = {}
    begin = 0
    for text in texts:
        for place, word in enumerate(text, begin):
            places[word] = places.get(word, 0) | 1 << place
        begin += len(text) + 1
    return places
