r"""Self-BLEU (Zhu et al., 2018, "Texygen"): how much of each text the other texts already say.

Each text is held against all others as references: with :math:`c_g` the number of times that it has the n-gram g, and
:math:`r_g` the greatest number that any other text has,

.. math:: p_n = \frac{\sum_g \min(c_g, r_g)}{\sum_g c_g}, \qquad
          \mathrm{BLEU} = e^{\min(0, 1 - r / c)} \Big(\prod_{n=1}^{4} p_n\Big)^{1/4} ,

c being the text's length and r the length nearest to it among the others (the shorter one of two). A numerator of 0 is
taken as 0.1 (the first smoothing of Chen and Cherry, 2014, as in Texygen), and a text without a common word has 0.
Self-BLEU is the mean.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from crossfeed.metrics.completions import ngrams

__all__ = ["ORDERS", "mean_bleu"]

ORDERS: Final = (1, 2, 3, 4)
_SMOOTHED: Final = 0.1

Gram = tuple[str, ...]


def mean_bleu(texts: Sequence[Sequence[str]]) -> float:
    """Return the mean BLEU of each text against all others.

    The greatest counts of each n-gram are taken once for all texts, with the greatest but one for the text that holds
    the greatest itself: the cost grows with the number of words, not with its square.

    Args:
        texts: Two texts or more, as words. One of fewer than four words has no 4-grams: nltk 3.10 smooths what is not
            there, so that two copies of one word have 0.18; leave such texts out.

    Returns:
        Between 0 and 1 (copies).

    Source:
        Zhu et al. (2018); nltk's ``sentence_bleu`` with its smoothing ``method1``.
    """
    counts = [{n: Counter(ngrams(text, n)) for n in ORDERS} for text in texts]
    greatest = {n: _Greatest([own[n] for own in counts]) for n in ORDERS}
    nearest = _nearest([len(text) for text in texts])
    total = 0.0
    for place, text in enumerate(texts):
        matched = [greatest[n].matched(counts[place][n], place) for n in ORDERS]
        if matched[0]:
            sizes = [len(text) - n + 1 for n in ORDERS]
            logs = [math.log((found or _SMOOTHED) / size) for found, size in zip(matched, sizes, strict=True)]
            total += math.exp(min(0.0, 1 - nearest[len(text)] / len(text)) + math.fsum(logs) / len(ORDERS))
    return total / len(texts)


class _Greatest:
    """The greatest count of each n-gram in a text, that text, and the greatest count in any other.

    Args:
        counts: Counts of the n-grams of each text.
    """

    def __init__(self, counts: Sequence[Counter[Gram]]) -> None:
        self._known: dict[Gram, tuple[int, int, int]] = {}
        for place, own in enumerate(counts):
            for gram, count in own.items():
                most, where, second = self._known.get(gram, (0, -1, 0))
                if count > most:
                    self._known[gram] = count, place, most
                elif count > second:
                    self._known[gram] = most, where, count

    def matched(self, own: Counter[Gram], place: int) -> int:
        """Return the number of a text's n-grams that some other text has, each as often as it has it."""
        return sum(min(count, self._elsewhere(gram, place)) for gram, count in own.items())

    def _elsewhere(self, gram: Gram, place: int) -> int:
        most, where, second = self._known[gram]
        return second if where == place else most


def _nearest(lengths: Sequence[int]) -> dict[int, int]:
    """Return for each length the one that is nearest to it among the other texts, the shorter one of two."""
    times = Counter(lengths)
    return {
        length: length
        if times[length] > 1
        else min((abs(other - length), other) for other in times if other != length)[1]
        for length in times
    }
