r"""Repetition within the outputs of one model: five numbers of the same texts, by words or by bytes.

They are of the completions of a data set's test prompts that hold a word, in the order of the prompts, with words as in
`crossfeed.metrics.completions.words_of`; outputs without a word are left out, and a model that has none, or whose items
are no text, has no number.

``compression_ratio``
    (Shaib et al., 2024) The bytes of all texts, joined by spaces, over their bytes after gzip. It grows with the amount
    of text (one sentence .6, 100 copies of it far above 10), and gzip does not see repeats that are more than 32 KB
    apart: compare equal numbers of texts of similar length.

``ngram_diversity``
    (Meister et al., 2023) :math:`\sum_{n=1}^{4} \text{distinct-}n`, from near 0 to 4. N-grams do not cross from one
    text to the next. Needs a text of four words.

``self_repetition``
    (Salkar et al., 2022) :math:`\frac1m \sum_i \log(1 + \sum_{g \in G_i} (d_g - 1))`, with :math:`G_i` the different
    4-grams of text i, and :math:`d_g` the number of texts with the 4-gram g: 0 if no text repeats another.

``self_bleu``
    (Zhu et al., 2018) See `crossfeed.metrics.self_bleu`; of texts of four words or more, and needs two of them.

``mtld``
    (McCarthy and Jarvis, 2010) The mean number of words in which the share of different words falls to .72. Needs
    a word that occurs twice; see `mtld`.

A model that collapses to few phrases raises the first, third and fourth, and lowers the two others. The package
diversity 0.3.1 differs: it compresses twice (what gzip has made, again), its n-grams cross from text to text, it tells
`A` from `a,`, and it rounds to three digits.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from crossfeed.metrics.completions import completion_texts, words_of
from crossfeed.metrics.ngram_counts import ngram_counts
from crossfeed.metrics.self_bleu import ORDERS, mean_bleu
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["RepetitionSettings", "compression_ratio", "mtld", "ngram_diversity", "self_repetition"]

_N: Final = 4
_REACHED: Final = 72, 100


class RepetitionSettings(MetricSettings):
    """Repetition within a model's outputs: compression ratio, n-gram diversity, self-repetition, self-BLEU and MTLD.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    measures = (
        Measure(
            "compression_ratio",
            "Compression ratio of outputs",
            TWO_DECIMALS,
            section="quality",
            shown=frozenset({"page"}),
        ),
        Measure(
            "ngram_diversity",
            "N-gram diversity (distinct-1 to distinct-4, summed)",
            TWO_DECIMALS,
            section="quality",
            shown=frozenset({"page"}),
        ),
        Measure(
            "self_repetition",
            "Self-repetition of 4-grams",
            TWO_DECIMALS,
            section="quality",
            shown=frozenset({"page"}),
        ),
        Measure(
            "self_bleu",
            "Self-BLEU",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset({"terminal", "page"}),
        ),
        Measure(
            "mtld",
            "Lexical diversity (MTLD)",
            TWO_DECIMALS,
            section="quality",
            shown=frozenset({"page"}),
            unit="words",
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Repetition:
        """Build the metric."""
        return _Repetition(self.items)


@dataclass(frozen=True)
class _Repetition:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        return [
            Measurement(entity, task, metric, value)
            for task in snapshot.tasks
            for entity, table in zip(snapshot.entities, snapshot.completions(task, self.items), strict=True)
            for metric, value in _numbers(completion_texts(table) or []).items()
        ]


def _numbers(outputs: Sequence[str]) -> dict[str, float]:
    """Return those numbers that are defined."""
    written = [(text, words) for text in outputs if (words := words_of(text))]
    if not written:
        return {}
    texts = [words for _, words in written]
    numbers = {
        "compression_ratio": compression_ratio([text for text, _ in written]),
        "self_repetition": self_repetition(texts),
    }
    long = [words for words in texts if len(words) >= ORDERS]
    if long:
        numbers["ngram_diversity"] = ngram_diversity(texts)
    if len(long) > 1:
        numbers["self_bleu"] = mean_bleu(long)
    length = mtld([word for words in texts for word in words])
    return numbers if length is None else numbers | {"mtld": length}


def compression_ratio(texts: Sequence[str]) -> float:
    """Return the bytes of texts, in UTF-8 and joined by spaces, over their bytes after gzip.

    The last digits depend on the order of the texts, and on the version of the library zlib.

    Args:
        texts: One text or more, not all empty.

    Source:
        Shaib et al. (2024), "Standardizing the Measurement of Text Diversity".
    """
    written = " ".join(texts).encode()
    return len(written) / len(gzip.compress(written, mtime=0))


def ngram_diversity(texts: Sequence[Sequence[str]]) -> float:
    """Return the sum of distinct-1 to distinct-4.

    Args:
        texts: Texts as words, one of them of four words or more; n-grams do not cross from one to the next.

    Source:
        Meister et al. (2023), "Locally Typical Sampling"; Shaib et al. (2024).
    """
    return sum(each.different / float(each.count.sum()) for each in ngram_counts(texts, ORDERS))


def self_repetition(texts: Sequence[Sequence[str]]) -> float:
    """Return the mean of log(1 + other texts that repeat a text's 4-grams, summed over its different 4-grams).

    Args:
        texts: One text or more, as words; one of fewer than four adds 0.

    Source:
        Salkar et al. (2022), "Self-Repetition in Abstractive Neural Summarizers"; as in diversity 0.3.1.
    """
    grams = ngram_counts(texts, _N)[-1]
    repeated = np.bincount(grams.text, grams.holders[grams.gram] - 1, minlength=len(texts))
    return float(np.log1p(repeated).mean())


def mtld(words: Sequence[str]) -> float | None:
    r"""Return the measure of textual lexical diversity.

    The words are read until the share of different ones has fallen to .72; that is a factor, and the next one begins
    with the next word. What is left at the end counts :math:`(1 - \mathrm{share}) / (1 - .72)` of a factor. The number
    of words over the number of factors is taken forwards and backwards, and the mean of both returned.

    There is no minimum of ten words for a factor, as lexical-diversity 0.1.1 has it: 60 times the same word have 2.

    Args:
        words: The words of all texts in their order; factors go on from one text to the next, since single outputs are
            shorter than most factors.

    Returns:
        2 or more; None if no word occurs twice: no factor is begun, and the number is above any bound
        (lexical-diversity 0.1.1 then gives 0, lexicalrichness 0.5.1 the number of words).

    Source:
        McCarthy and Jarvis (2010), "MTLD, vocd-D, and HD-D".
    """
    factors = [_factors(words), _factors(words[::-1])]
    return sum(len(words) / each for each in factors) / 2 if all(factors) else None


def _factors(words: Sequence[str]) -> float:
    whole, size = 0, 0
    seen: set[str] = set()
    share, of = _REACHED
    for word in words:
        seen.add(word)
        size += 1
        if of * len(seen) <= share * size:
            whole, size = whole + 1, 0
            seen.clear()
    return whole + (of * (size - len(seen)) / ((of - share) * size) if size else 0.0)
