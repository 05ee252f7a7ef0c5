"""Small data sets for many entities: parts of the built-in ones that have no item in common.

A topic is one relation of the facts (the capital of a country), one kind of word problem with small or with large
numbers, or one kind of multiple choice question. They are numbered from 1; the first ones are as different as possible:
facts, word problems and multiple choice in turn. Every topic has at least 140 items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final

from crossfeed.tasks.choice_problems import FAMILIES, choice_problems
from crossfeed.tasks.facts import facts
from crossfeed.tasks.splits import SPLITS, Row, shuffled
from crossfeed.tasks.text import Answers
from crossfeed.tasks.word_problems import STORIES, Story, halves, problems

__all__ = ["TOPICS", "Topic"]

#: Relations with at least 140 questions, by table and place; those of one table are not adjacent.
_RELATIONS: Final = (
    *(("countries", 0), ("elements", 0), ("states", 0), ("countries", 3), ("elements", 2), ("countries", 2)),
    *(("elements", 7), ("countries", 1), ("elements", 4), ("elements", 1), ("elements", 6), ("elements", 3)),
    ("elements", 5),
)
Make = Callable[[int, Mapping[str, int]], dict[str, list[Row]]]
"""A function of a seed and the sizes of the splits that returns their rows."""


@dataclass(frozen=True)
class Topic:
    """One small data set.

    Attributes:
        answers: The grading of answers.
        make: Returns the rows of each split.
    """

    answers: Answers
    make: Make


def _relation(table: str, place: int) -> Topic:
    def make(seed: int, sizes: Mapping[str, int]) -> dict[str, list[Row]]:
        rows = iter(shuffled(facts(seed, (table, place)), seed, f"topic {table} {place}"))
        # Test comes first, so that it does not depend on the number of training items.
        return {split: [row for row, _ in zip(rows, range(sizes[split]), strict=False)] for split in reversed(SPLITS)}

    return Topic("text", make)


def _story(number: int, story: Story, size: str) -> Topic:
    return Topic("number", lambda seed, sizes: problems(seed, dict(sizes), (story,), f"topic {number} {size}"))


def _family(number: int) -> Topic:
    family = (FAMILIES[number],)
    return Topic("choice", lambda seed, sizes: choice_problems(seed, dict(sizes), family, f"topic {number}"))


def _in_turn(*kinds: list[Topic]) -> Iterator[Topic]:
    return (topic for each in zip_longest(*kinds) for topic in each if topic is not None)


def _all() -> tuple[Topic, ...]:
    split = [halves(story) for story in STORIES]
    small = [_story(number, low, "small") for number, (low, _) in enumerate(split)]
    large = [_story(number, high, "large") for number, (_, high) in enumerate(split)]
    relations = [_relation(*each) for each in _RELATIONS]
    families = [_family(number) for number in range(len(FAMILIES))]
    return tuple(chain(_in_turn(relations, small, families), large))


TOPICS: Final = _all()
