"""The pool: the items that the entities publish at one generation, each with its provenance.

Item i of author j at generation t is the answer of j's model to a prompt (`crossfeed.generation.prompts`), by default
sampled from j's private training data; the prompt and the randomness of the answer depend on the key of (seed, t, j, i)
alone. Columns of a stored pool: ``cell``, ``generation``, ``author``, ``item``, ``prompt_row`` (the prompt's row among
the author's own prompts: in its private training data) and ``key``, followed by the columns of the items themselves;
where prompts come from the pool, ``prompt_of`` names the entity among whose prompts the row is; a pool whose items were
judged has ``passed`` too (`crossfeed.generation.curation`), one whose items are chosen among candidates ``reward``
(`crossfeed.generation.tastes`), and one that is ranked by popularity has the columns `POPULARITY`. A generation of
which nothing is read has no pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.generation.curation import PASSED
from crossfeed.generation.tastes import REWARD

__all__ = ["POPULARITY", "PROVENANCE", "ItemRequests", "PublishedItems", "join_pool"]

POPULARITY = ("popularity", "popularity_fresh")
"""Columns of a stored pool that is ranked by popularity: that of an item's author, and that of fresh human items."""

PROVENANCE = ("cell", "generation", "author", "item", "prompt_row", "key", "prompt_of", PASSED, REWARD, *POPULARITY)
"""Columns of a stored pool that are not the items' own."""


@dataclass(frozen=True)
class ItemRequests:
    """The items that one author has to generate.

    Attributes:
        items: ``(m,)`` item indices, ascending.
        prompt_rows: ``(m,)`` rows of the prompts.
        keys: ``(m,)`` the items' keys.
        prompt_of: The names of the entities among whose prompts the rows are, where that may be another one.
    """

    items: NDArray[np.int64]
    prompt_rows: NDArray[np.int64]
    keys: NDArray[np.uint64]
    prompt_of: Sequence[str] | None = None


def join_pool(
    cell: str, generation: int, authors: Sequence[str], requests: Sequence[ItemRequests], answers: Sequence[pa.Table]
) -> pa.Table:
    """Join the items that are published at a generation into one table.

    Args:
        cell: The cell's name.
        generation: The generation of publication.
        authors: The authors' names.
        requests: The requests to each author.
        answers: The generated items of each author, in step with its requests.

    Returns:
        The pool, authors in order, items ascending.
    """
    tables = []
    for author, request, table in zip(authors, requests, answers, strict=True):
        columns = {
            "cell": pa.array([cell] * table.num_rows, pa.string()),
            "generation": pa.array(np.full(table.num_rows, generation)),
            "author": pa.array([author] * table.num_rows, pa.string()),
            "item": pa.array(request.items),
            "prompt_row": pa.array(request.prompt_rows),
            "key": pa.array(request.keys),
        }
        if request.prompt_of is not None:
            columns["prompt_of"] = pa.array(request.prompt_of, pa.string())
        columns.update({name: table.column(name) for name in table.column_names if name not in PROVENANCE})
        tables.append(pa.table(columns))
    return pa.concat_tables(tables, promote_options="permissive")


class PublishedItems:
    """A stored pool, of which the items of all authors are read at once: with many authors each has a handful.

    Args:
        pool: The pool, authors in order, items ascending.
        authors: All entities' names, in order.

    Attributes:
        authors: Names of those who have items in it.
    """

    def __init__(self, pool: pa.Table, authors: Sequence[str]) -> None:
        place = {name: j for j, name in enumerate(authors)}
        runs = pc.run_end_encode(pool.column("author").combine_chunks())
        present = np.array([place[name] for name in runs.values.to_pylist()], dtype=np.int64)
        ends = runs.run_ends.to_numpy()
        begins = np.concatenate([[0], ends[:-1]])
        item = pool.column("item").to_numpy()
        self._items = pool.drop_columns([name for name in PROVENANCE if name in pool.column_names])
        self._rows = {authors[j]: (int(b), int(e)) for j, b, e in zip(present, begins, ends, strict=True)}
        self.authors = frozenset(self._rows)
        self._most = int(item.max()) + 1
        self._places = np.repeat(present, ends - begins) * self._most + item

    def all_of(self, author: str) -> pa.Table:
        """Return all items of an author, without their provenance.

        Args:
            author: Its name.
        """
        begin, end = self._rows[author]
        return self._items.slice(begin, end - begin)

    def take(self, author: NDArray[np.int64], item: NDArray[np.int64]) -> pa.Table:
        """Return some items, without their provenance.

        Args:
            author: ``(m,)`` authors' indices j.
            item: ``(m,)`` item indices, in any order and with repeats.

        Returns:
            The items in that order.
        """
        return self._items.take(pa.array(np.searchsorted(self._places, author * self._most + item)))
