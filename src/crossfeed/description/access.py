"""Ranked access to the pool: a search engine or a feed stands between what is published and who reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crossfeed.settings import Frozen

__all__ = ["Access"]


class Access(Frozen):
    """The ranking through which entities read the pool (`crossfeed.generation.access`).

    Attributes:
        rank: ``bm25``: items by the words that they share with the query (Robertson and Zaragoza, 2009).
            ``embedding``: by cosine similarity to the query, in the features in which the learner's outputs are
            compared. ``popularity``: whatever the query, in an order drawn at random, in which items of an author that
            was much read at the generation before tend to come first.
        top: Number of items that are seen: every draw from the pool is one of the first.
    """

    rank: Literal["popularity", "bm25", "embedding"]
    top: Annotated[int, Field(ge=1, le=100_000_000)] = 10
