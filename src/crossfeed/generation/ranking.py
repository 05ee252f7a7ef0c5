r"""Rankings of a pool for queries: scores of all items for one query, and the first m of them.

``bm25`` scores an item's words, prompt and completion, against those of the query q (Robertson and Zaragoza, 2009),
with the inverse document frequency of Lucene, as the package `bm25s` has it; f counts a word in the item, l is the
item's length and N the number of items, n(w) of them with the word:

.. math:: \sum_{w \in q} \log\Bigl(1 + \tfrac{N - n(w) + 1/2}{n(w) + 1/2}\Bigr)
    \frac{f(w)}{f(w) + k_1 (1 - b + b\, l / \bar l)}, \qquad k_1 = 1.5,\ b = 0.75 .

``embedding`` scores by the cosine of the learner's features (`crossfeed.protocols.Learner.embed`). ``popularity`` ranks
without a query, by a draw in which each next place goes to an item with a chance proportional to its popularity
(Plackett and Luce's model): the score is the popularity's logarithm plus Gumbel noise.

Scores are rounded to `DECIMALS`, so that the last bits of a machine decide nothing; ties are broken by keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import MissingDependency
from crossfeed.keys import uniforms
from crossfeed.tasks.prose import words_of

__all__ = [
    "DECIMALS",
    "Bm25",
    "Scores",
    "ScoresOf",
    "first_of",
    "popularity_scores",
    "ranked_draws",
    "require_bm25s",
    "text_of",
]

DECIMALS: Final = 6
_GUMBEL: Final = 1 << 32  # a salt that is no query's number
_TIE: Final = _GUMBEL + 1

Scores = NDArray[np.float64]


ScoresOf = Callable[[int], Scores]
"""Returns the ``(N,)`` scores of a pool's items for a query, by the query's number; the highest is first."""


class Bm25:
    """An index of a pool's texts.

    Args:
        texts: ``(N,)`` texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        words = [words_of(text.casefold()) for text in texts]
        self._items = len(words)
        self._known = {word for own in words for word in own}
        self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, dtype="float64") if self._known else None
        if self._index is not None:
            self._index.index(words, show_progress=False)

    def scores(self, query: str) -> Scores:
        """Return the items' scores for a query.

        Args:
            query: Its text.

        Returns:
            ``(N,)`` scores; 0 for an item that has none of its words.
        """
        words = [word for word in words_of(query.casefold()) if word in self._known]
        if self._index is None or not words:
            return np.zeros(self._items)
        return np.asarray(self._index.get_scores(words), dtype=np.float64)


def popularity_scores(popularity: Scores, keys: NDArray[np.uint64]) -> Scores:
    """Return scores of items by popularity, which are the same for all queries.

    Args:
        popularity: ``(N,)`` popularity, non-negative; items of none come last.
        keys: ``(N,)`` 64-bit keys.

    Returns:
        ``(N,)`` scores: the logarithm of the popularity plus Gumbel noise.
    """
    with np.errstate(divide="ignore"):
        logarithms = np.log(popularity)
    scores: Scores = logarithms - np.log(-np.log(uniforms(keys, _GUMBEL) + 2.0**-54))
    return scores


def first_of(scores: Scores, keys: NDArray[np.uint64], top: int, salt: int) -> NDArray[np.int64]:
    """Return the first items of a ranking.

    Args:
        scores: ``(N,)`` scores; the highest is first.
        keys: ``(N,)`` 64-bit keys; ties are broken by them.
        top: The number m of items.
        salt: Another salt breaks ties in another way.

    Returns:
        ``(min(m, N),)`` indices of the first items, ascending.
    """
    if top >= len(scores):
        return np.arange(len(scores))
    rounded = np.round(scores, DECIMALS)
    least = np.partition(rounded, len(rounded) - top)[len(rounded) - top]
    above, tied = np.flatnonzero(rounded > least), np.flatnonzero(rounded == least)
    order = np.argsort(uniforms(keys[tied], salt), kind="stable")
    return np.sort(np.concatenate([above, tied[order[: top - len(above)]]]))


def ranked_draws(
    scores_of: ScoresOf,
    queries: NDArray[np.int64],
    weights: Scores,
    keys: NDArray[np.uint64],
    top: int,
    numbers: Scores,
) -> NDArray[np.int64]:
    """Draw one of the first items for each query.

    Args:
        scores_of: Returns the ``(N,)`` scores of a pool's items for a query, by the query's number.
        queries: ``(n,)`` the query's number, of each draw.
        weights: ``(N,)`` reading weights: an item of weight 0 may not be read, and of those that are seen one is drawn
            in proportion to its weight; not all are 0.
        keys: ``(N,)`` 64-bit keys of the items, which break ties.
        top: The number of items that are seen.
        numbers: ``(n,)`` uniform numbers in [0, 1), of each draw.

    Returns:
        ``(n,)`` indices of items; each depends on its own query and number alone.
    """
    readable = np.flatnonzero(weights > 0)
    drawn = np.empty(len(queries), dtype=np.int64)
    distinct, inverse = np.unique(queries, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(len(distinct) + 1))
    for place, query in enumerate(distinct.tolist()):
        seen = readable[first_of(scores_of(query)[readable], keys[readable], top, _TIE + query)]
        edges = np.cumsum(weights[seen])
        here = order[bounds[place] : bounds[place + 1]]
        drawn[here] = seen[np.searchsorted(edges[:-1], numbers[here] * edges[-1], side="right")]
    return drawn


def text_of(items: pa.Table) -> list[str]:
    """Return the texts of items, as they are ranked: prompt and completion."""
    prompts, completions = (items.column(name).to_pylist() for name in ("prompt", "completion"))
    return [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]


def require_bm25s() -> None:
    """Raise MissingDependency if `bm25s` is not installed."""
    try:
        import bm25s  # noqa: F401 - whether it is there
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "ecosystem.access.rank: bm25 needs the package bm25s: pip install 'crossfeed[pool]'"
        ) from error
