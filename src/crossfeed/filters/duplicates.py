r"""A filter that keeps one of every group of near-duplicates, as deduplication of web text does (Lee et al., 2022).

A text is the set S of its runs of n words (shingles), and two texts are near-duplicates if the Jaccard similarity of
their sets reaches a threshold,

.. math:: J(S, S') = \frac{|S \cap S'|}{|S \cup S'|} .

Pairs are found by MinHash and locality-sensitive hashing (Broder, 1997; `datasketch`), and each that is found is held
against the threshold exactly: no pair below it counts, and of pairs just at it a few in a hundred are missed. Groups
are the connected components of what is published at one generation, whoever wrote it. The one that stays is drawn by
its key, so that no author is preferred. Items that are near-duplicates of real data can be removed as well. Fresh
human items are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.errors import InvalidInput, MissingDependency
from crossfeed.keys import uniforms
from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings, Number, Sequence_
from crossfeed.tasks.prose import words_of
from crossfeed.tasks.text import holds_text

__all__ = ["DuplicatesSettings"]

_PERMUTATIONS: Final = 128
# Errors are cheap on one side: a candidate below the threshold costs a comparison, a pair that is missed stays.
_WEIGHTS: Final = (0.02, 0.98)
_HIGHEST: Final = 0.95  # the threshold above which a sketch would be one band
_SALT: Final = 2  # the salt of an item's random number; a detector has the salt 0, a verifier 1

Shingles = frozenset[bytes]


class DuplicatesSettings(FilterSettings):
    """Settings of the filter that keeps one of every group of near-duplicates.

    Attributes:
        threshold: Jaccard similarity from which on two texts are near-duplicates.
        ngram: Number of words in a shingle; a shorter text is one shingle. Characters count as words in scripts that
            have no spaces.
        compare: The compared text: the whole ``item``, prompt and completion, or its ``completion`` alone.
        against: Real data whose near-duplicates go, too: training items of all entities' ``private`` tasks, of the
            ``public`` one, or both; default: none.
    """

    threshold: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.8
    ngram: Annotated[int, Field(ge=1, le=100)] = 5
    compare: Literal["item", "completion"] = "item"
    against: Sequence_[Literal["private", "public"]] = ()

    def build(self, owned: Mapping[str, Task]) -> _Duplicates:
        """Build the filter.

        Args:
            owned: The task that each entity owns, by the entity's name.

        Returns:
            The filter.

        Raises:
            InvalidInput: The items of a task are no texts.
            MissingDependency: `datasketch` is not installed.
        """
        try:
            import datasketch  # noqa: F401 - whether it is there
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "ecosystem.curation.duplicates needs the package datasketch: pip install 'crossfeed[pool]'"
            ) from error
        for entity, task in owned.items():
            if not holds_text(task.train):
                raise InvalidInput(
                    f"ecosystem.curation.duplicates: the items of the task {task.name!r}, which {entity} owns, are no "
                    "texts; give tasks of text, or another filter, such as loss: {quantile: 0.5}"
                )
        return _Duplicates(self)

    def shingles(self, items: pa.Table) -> list[Shingles]:
        """Return each item's set of shingles.

        Args:
            items: Items of text.
        """
        texts = items.column("completion").to_pylist()
        if self.compare == "item":
            texts = [a + b for a, b in zip(items.column("prompt").to_pylist(), texts, strict=True)]
        return [_shingles(text, self.ngram) for text in texts]


@dataclass(frozen=True)
class _Duplicates:
    settings: DuplicatesSettings
    reads: bool = True

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        authors = range(len(pool.authors))
        published = [self.settings.shingles(pool.items(author)) for author in authors]
        numbers = np.concatenate([uniforms(pool.keys(author), _SALT) for author in authors])
        items = [shingles for own in published for shingles in own]
        real = [table for source in self.settings.against for table in pool.real(source)]
        kept = ~self._repeats(items, real)
        kept[kept] = self._firsts([items[place] for place in np.flatnonzero(kept)], numbers[kept])
        ends = np.cumsum([len(own) for own in published])
        return [mask[None] for mask in np.split(kept, ends[:-1])]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.ones(len(keys), dtype=np.bool_)

    def _repeats(self, items: Sequence[Shingles], real: Sequence[pa.Table]) -> NDArray[np.bool_]:
        """Return ``(items,)`` True where an item is a near-duplicate of real data."""
        known = dict.fromkeys(text for table in real for text in self.settings.shingles(table))
        index = _Index(self.settings.threshold, list(known))
        return np.array([bool(index.near(item)) for item in items] if known else [False] * len(items), dtype=np.bool_)

    def _firsts(self, items: Sequence[Shingles], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``(items,)`` True for the item of the least number of each group."""
        first = np.zeros(len(items), dtype=np.bool_)
        if items:
            group = _groups(self.settings.threshold, items)
            order = np.lexsort((numbers, group))
            first[order[np.unique(group[order], return_index=True)[1]]] = True
        return first


def _groups(threshold: float, items: Sequence[Shingles]) -> NDArray[np.int64]:
    """Return ``(items,)`` numbers of the connected components that items belong to."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = {text: number for number, text in enumerate(dict.fromkeys(items))}  # a pool may repeat a text very often
    index = _Index(threshold, list(place))
    pairs = np.array([(number, other) for text, number in place.items() for other in index.near(text)])
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(place), len(place)))
    _, component = connected_components(graph, directed=False)
    return component[[place[text] for text in items]].astype(np.int64)


class _Index:
    """Different texts by their shingles, in which near-duplicates of a text are looked up.

    Args:
        threshold: The Jaccard similarity from which on two texts are near-duplicates.
        texts: Their shingles.
    """

    def __init__(self, threshold: float, texts: Sequence[Shingles]) -> None:
        from datasketch import MinHashLSH

        self._threshold, self._texts = threshold, texts
        self._sketches = {text: _minhash(text) for text in texts}
        self._lsh = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(threshold))
        for number, text in enumerate(texts):
            self._lsh.insert(number, self._sketches[text])

    def near(self, text: Shingles) -> list[int]:
        """Return the numbers of the near-duplicates that are found, ascending; an equal text is always among them."""
        found = sorted(self._lsh.query(self._sketches.get(text) or _minhash(text)))
        return [n for n in found if len(text & self._texts[n]) >= self._threshold * len(text | self._texts[n])]


@cache
def _bands(threshold: float) -> tuple[int, int]:
    """Return the number of bands of a sketch, and of rows in each, at which few pairs are missed."""
    from datasketch import MinHashLSH

    chosen = MinHashLSH(threshold=min(threshold, _HIGHEST), num_perm=_PERMUTATIONS, weights=_WEIGHTS)
    return chosen.b, chosen.r


def _minhash(text: Shingles) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=_PERMUTATIONS, scheme="affine32")
    sketch.update_batch(sorted(text))
    return sketch


def _shingles(text: str, ngram: int) -> Shingles:
    words = words_of(text.casefold())
    runs = (words[begin : begin + ngram] for begin in range(max(len(words) - ngram + 1, 1)))
    return frozenset(" ".join(run).encode() for run in runs)
