"""Prose as items: the first words of a passage are the prompt, the rest is the completion.

Scripts that are written without spaces between words (Chinese, Japanese, Thai, ...) are counted by characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from crossfeed.tasks.splits import Row

__all__ = ["PROMPT_WORDS", "SHORTEST_PASSAGE", "passages", "prose_row", "units", "words_of"]

PROMPT_WORDS: Final = 24
SHORTEST_PASSAGE: Final = PROMPT_WORDS + 10
_WORD: Final = re.compile(r"\S+")
# Thai, Lao, Myanmar, Khmer; kana, bopomofo and ideographs with their punctuation; full-width forms; rarer ideographs.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3100-\u312f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003ffff"
)
_UNSPACED_CHARACTER: Final = re.compile(f"[{_UNSPACED}]")
_CHARACTER_OR_WORD: Final = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")


def passages(texts: Iterable[str]) -> Iterator[str]:
    """Join consecutive texts until each passage is long enough to be cut; white space becomes single spaces.

    Some sets have a sentence a row (BookCorpus), some a paragraph: this gives passages either way. A rest at the end
    that is too short is dropped.

    Args:
        texts: The texts, in order.
    """
    joined: list[str] = []
    for text in texts:
        joined += text.split()
        passage = " ".join(joined)
        if units(passage) >= SHORTEST_PASSAGE:
            yield passage
            joined = []


def prose_row(passage: str) -> Row:
    """Cut a passage of at least `SHORTEST_PASSAGE` words into an item.

    Args:
        passage: A passage, with single spaces.
    """
    *_, last = (place for place, _ in zip(_form(passage).finditer(passage), range(PROMPT_WORDS), strict=False))
    return Row(prompt=passage[: last.end()], completion=" " + passage[last.end() :].lstrip())


def units(text: str) -> int:
    """Return how long a text is: its words, or its characters where it is written without spaces.

    Args:
        text: A text.
    """
    return sum(1 for _ in _form(text).finditer(text))


def words_of(text: str) -> list[str]:
    """Return the words of a text, or its characters where it is written without spaces.

    Args:
        text: A text.
    """
    return _form(text).findall(text)


def _form(text: str) -> re.Pattern[str]:
    """Characters are counted where they make up most of a text."""
    unspaced = sum(1 for _ in _UNSPACED_CHARACTER.finditer(text))
    return _CHARACTER_OR_WORD if 2 * unspaced > len(text) - text.count(" ") else _WORD
