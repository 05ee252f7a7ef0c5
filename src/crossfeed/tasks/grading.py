r"""Grading of final answers, by exact match after normalisation.

Numbers: the last number of the completion, or the first one on the line after ``####`` if that mark is there (the
convention of GSM8K; Cobbe et al., 2021). Thousands separators and trailing zeros do not matter: ``1,200.0`` is
``1200``, and so is ``1.2e3``. Words: the first line of the completion, or what stands before the end of one of its
first sentences, against the answer, without regard to case, the articles a, an, the, and punctuation (the normalisation
of SQuAD; Rajpurkar et al., 2016), but a point between digits and a minus before a number count.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Final

__all__ = ["Grader", "grader_of", "letter_in", "number_in", "same_letter", "same_number", "same_text"]

Grader = Callable[[str, str], bool]
"""Of an answer and a completion: True if the completion gives the answer."""

# A minus is a sign unless it follows something that it could be subtracted from or joined to: "5-3", "x-2", ")-1".
_NUMBER: Final = re.compile(
    r"(?:(?<![0-9A-Za-z)%.])(?P<sign>[-\u2212]))?[$£€]?"
    r"(?P<digits>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z]))?)"
)
_LETTERS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i:\banswer(?:\s+is)?)\s*:?\s*\(?([A-Za-z])(?![A-Za-z'])",
        r"\A\W*([A-Za-z])(?=\W*\Z|[.):,\n])",
        r"(?<![A-Za-z])([A-Z])(?=[.)])",
    )
)
_MARK: Final = "####"
REGEX: Final = "regex:"
_ARTICLES: Final = frozenset({"a", "an", "the"})
_SENTENCE_END: Final = re.compile(r"[.!?;](?=\s|$)")
_LONGEST_ANSWER_SENTENCES: Final = 6


def number_in(text: str) -> Decimal | None:
    """Return a text's final number: after ``####`` if there is one, else the last number; None without one."""
    _, mark, after = text.partition(_MARK)
    if mark:
        line = after.lstrip(" ").split("\n", 1)[0]
        return next(_numbers(line), None)
    last = deque(_numbers(text), maxlen=1)
    return last[0] if last else None


def same_number(answer: str, completion: str) -> bool:
    """Return True if the completion's final number equals the answer's."""
    right = number_in(answer)
    return right is not None and number_in(completion) == right


def same_text(answer: str, completion: str) -> bool:
    """Return True if the completion starts with the answer as a line or sentence of its own."""
    right = _normal(answer)
    return bool(right) and any(_normal(opening) == right for opening in _openings(completion))


def same_exactly(answer: str, completion: str) -> bool:
    """Return True if the completion is the answer, white space around it aside.

    Args:
        answer: The right answer.
        completion: What a model wrote.
    """
    return completion.strip() == answer.strip()


def letter_in(text: str) -> str | None:
    """Return the letter of an option that a text names; None if it names none.

    That is the one after "answer", "answer is" or "answer:"; else one that the text begins with; else the last one in
    parentheses or before a point or bracket.

    Args:
        text: What a model wrote.
    """
    for pattern in _LETTERS:
        found = pattern.findall(text)
        if found:
            letter: str = found[-1]
            return letter.upper()
    return None


def same_letter(answer: str, completion: str) -> bool:
    """Return True if the completion names the answer's letter.

    Args:
        answer: A letter.
        completion: What a model wrote.
    """
    return letter_in(completion) == answer.strip().upper()


def grader_of(answers: str) -> Grader:
    """Return how answers of a kind are compared.

    Args:
        answers: ``number``, ``text``, ``exact``, ``letter``, or ``regex:`` and a regular expression whose first group
            (or whole match) in a completion is held against the answer, white space around both aside.

    Raises:
        KeyError: There is no such kind.
    """
    if answers.startswith(REGEX):
        pattern = re.compile(answers.removeprefix(REGEX))
        return lambda answer, completion: _matched(pattern, completion) == answer.strip()
    return _GRADERS[answers]


def _matched(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    if match is None:
        return None
    group: str | None = match[1] if pattern.groups else match[0]
    return None if group is None else group.strip()


def _numbers(text: str) -> Iterator[Decimal]:
    for match in _NUMBER.finditer(text):
        value = Decimal(match["digits"].replace(",", ""))
        yield -value if match["sign"] else value


def _openings(completion: str) -> Iterator[str]:
    """Yield the first line up to each of its first sentence ends, since an answer may contain points (St. John's)."""
    line = completion.strip().split("\n", 1)[0]
    yield line
    for end in islice(_SENTENCE_END.finditer(line), _LONGEST_ANSWER_SENTENCES):
        yield line[: end.start()]


def _normal(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    kept = "".join(_plain(text, place) for place in range(len(text)))
    words = kept.split()
    # An answer that is an article ("A", a blood group) keeps it.
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _plain(text: str, place: int) -> str:
    """Return the normalised form of a character: itself, a space, or nothing."""
    char = text[place]
    if not unicodedata.category(char).startswith("P"):
        return char
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if after.isdecimal() and ((char == "." and before.isdecimal()) or (char == "-" and not before.isalnum())):
        return char
    return "" if char in ".'\u2019" else " "


_GRADERS: Final[dict[str, Grader]] = {
    "number": same_number,
    "text": same_text,
    "exact": same_exactly,
    "letter": same_letter,
}
