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

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from crossfeed.metrics.ngram_counts import ngram_counts

__all__ = ["ORDERS", "mean_bleu"]

ORDERS: Final = 4
_SMOOTHED: Final = 0.1


def mean_bleu(texts: Sequence[Sequence[str]]) -> float:
    """Return the mean BLEU of each text against all others.

    The greatest counts of each n-gram are taken once for all texts, with the greatest but one for the text that holds
    the greatest itself: the cost grows with the number of words, not with its square.

    Args:
        texts: Two texts or more, each of four words or more. Shorter ones have no 4-grams: nltk 3.10 smooths what is
            not there, so that two copies of one word have 0.18.

    Returns:
        Between 0 and 1 (copies).

    Source:
        Zhu et al. (2018); nltk's ``sentence_bleu`` with its smoothing ``method1``.
    """
    sizes = np.array([len(text) for text in texts])
    counts = ngram_counts(texts, ORDERS)
    matched = np.array(
        [np.bincount(each.text, np.minimum(each.count, each.most_elsewhere()), minlength=len(texts)) for each in counts]
    )
    shares = np.where(matched > 0, matched, _SMOOTHED) / (sizes - np.arange(ORDERS)[:, None])
    nearest = _nearest([len(text) for text in texts])
    brevity = np.minimum(0, 1 - np.array([nearest[len(text)] for text in texts]) / sizes)
    return float(np.where(matched[0] > 0, np.exp(brevity + np.log(shares).mean(axis=0)), 0).mean())


def _nearest(lengths: Sequence[int]) -> dict[int, int]:
    """Return for each length the one that is nearest to it among the other texts, the shorter one of two."""
    times = Counter(lengths)
    return {
        length: length
        if times[length] > 1
        else min((abs(other - length), other) for other in times if other != length)[1]
        for length in times
    }
