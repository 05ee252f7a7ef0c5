"""Prose as items: the first words of a passage are the prompt, the rest is the completion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from crossfeed.tasks.splits import Row

__all__ = ["PROMPT_WORDS", "SHORTEST_PASSAGE", "passages", "prose_row"]

PROMPT_WORDS: Final = 24
SHORTEST_PASSAGE: Final = PROMPT_WORDS + 10


def passages(texts: Iterable[str]) -> Iterator[str]:
    """Join consecutive texts until each passage is long enough to be cut; white space becomes single spaces.

    Some data sets have a sentence a row (BookCorpus), some a paragraph. A rest at the end that is too short is dropped.

    Args:
        texts: Consecutive texts.

    Yields:
        Passages of at least `SHORTEST_PASSAGE` words.
    """
    words: list[str] = []
    for text in texts:
        words += text.split()
        if len(words) >= SHORTEST_PASSAGE:
            yield " ".join(words)
            words = []


def prose_row(passage: str) -> Row:
    """Return the item of a passage of at least `SHORTEST_PASSAGE` words."""
    words = passage.split()
    return Row(prompt=" ".join(words[:PROMPT_WORDS]), completion=" " + " ".join(words[PROMPT_WORDS:]))
