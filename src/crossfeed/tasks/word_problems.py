"""Word problems with worked answers in the manner of GSM8K (Cobbe et al., 2021).

A problem is a little story; its answer has a line for each step, and the result after ``####``.

A problem is a story and its numbers; names of people and things do not make another problem of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from crossfeed.keys import generator
from crossfeed.tasks.splits import SPLITS, Row

__all__ = ["MOST_PROBLEMS", "STORIES", "Story", "halves", "problems"]

MOST_PROBLEMS: Final = 20_000

_NAMES: Final = (
    *("Ava", "Ben", "Carla", "Dev", "Elena", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Kira", "Leo"),
    *("Maya", "Nico", "Olga", "Pablo", "Quinn", "Rosa", "Sami", "Tara", "Umar", "Vera", "Will", "Zoe"),
)
_THINGS: Final = (
    *("apples", "marbles", "stickers", "cookies", "pencils", "shells", "cards", "buttons", "beads", "stamps"),
    *("candles", "oranges", "muffins", "ribbons", "books", "coins"),
)


@dataclass(frozen=True)
class Step:
    """One line of a solution.

    Attributes:
        result: The name of what is computed.
        equation: ``left operator right``: names of numbers or earlier results, and one of ``+ - * /``.
        line: The sentence; ``{=}`` stands for the equation with its value.
    """

    result: str
    equation: str
    line: str


@dataclass(frozen=True)
class Story:
    """A kind of problem.

    Attributes:
        numbers: The least and greatest value of each number.
        text: The question.
        steps: The solution; the last result is the answer.
    """

    numbers: dict[str, tuple[int, int]]
    text: str
    steps: tuple[Step, ...]


STORIES: Final = (
    Story(
        {"a": (3, 30), "b": (2, 12), "c": (4, 40)},
        "{who} has {a} boxes with {b} {things} in each box. {who} gives {c} {things} to {friend}. "
        "How many {things} does {who} have left?",
        (
            Step("d", "a * b", "{who} starts with {=} {things}."),
            Step("e", "d - c", "After the gift {who} has {=} {things} left."),
        ),
    ),
    Story(
        {"a": (5, 60), "b": (5, 60), "c": (2, 6)},
        "{who} picks {a} {things} and {friend} picks {b} {things}. They share all of them equally among {c} "
        "friends. How many {things} does each friend get?",
        (
            Step("d", "a + b", "Together they pick {=} {things}."),
            Step("e", "d / c", "Each friend gets {=} {things}."),
        ),
    ),
    Story(
        {"a": (2, 15), "b": (2, 20), "c": (2, 9), "d": (2, 20)},
        "A ticket for a child costs {b} dollars and a ticket for an adult costs {d} dollars. How much do {a} "
        "child tickets and {c} adult tickets cost together?",
        (
            Step("e", "a * b", "The child tickets cost {=} dollars."),
            Step("f", "c * d", "The adult tickets cost {=} dollars."),
            Step("g", "e + f", "Together they cost {=} dollars."),
        ),
    ),
    Story(
        {"a": (8, 40), "b": (2, 9), "c": (10, 99)},
        "{who} earns {a} dollars an hour and works {b} hours on Monday. Then {who} spends {c} dollars on a gift. "
        "How many dollars are left?",
        (
            Step("d", "a * b", "On Monday {who} earns {=} dollars."),
            Step("e", "d - c", "After the gift {=} dollars are left."),
        ),
    ),
    Story(
        {"a": (4, 50), "b": (2, 6), "c": (3, 50)},
        "{who} reads {a} pages on Monday and {b} times as many on Tuesday. On Wednesday {who} reads {c} pages. "
        "How many pages does {who} read in total?",
        (
            Step("d", "a * b", "On Tuesday {who} reads {=} pages."),
            Step("e", "a + d", "In two days {who} reads {=} pages."),
            Step("f", "e + c", "In total {who} reads {=} pages."),
        ),
    ),
    Story(
        {"a": (20, 90), "b": (2, 9), "c": (2, 9)},
        "A bus starts with {a} people. At each of {b} stops {c} people get off. How many people are on the bus then?",
        (
            Step("d", "b * c", "In all {=} people get off."),
            Step("e", "a - d", "There are {=} people on the bus."),
        ),
    ),
    Story(
        {"a": (10, 80), "b": (2, 9), "c": (2, 30), "d": (2, 5)},
        "{who} saves {a} dollars, and then {b} dollars a week for {c} weeks. A bicycle costs {d} times what {who} "
        "has saved. How much does it cost?",
        (
            Step("e", "b * c", "In the weeks {who} saves {=} dollars."),
            Step("f", "a + e", "The savings are {=} dollars."),
            Step("g", "f * d", "The bicycle costs {=} dollars."),
        ),
    ),
    Story(
        {"a": (3, 25), "b": (2, 12), "c": (3, 25), "d": (2, 12)},
        "A farmer plants {a} rows of {b} carrots and {c} rows of {d} cabbages. How many more carrots than cabbages "
        "are there?",
        (
            Step("e", "a * b", "There are {=} carrots."),
            Step("f", "c * d", "There are {=} cabbages."),
            Step("g", "e - f", "There are {=} more carrots."),
        ),
    ),
    Story(
        {"a": (30, 90), "b": (2, 8), "c": (30, 90), "d": (2, 8)},
        "{who} drives {b} hours at {a} miles an hour, and then {d} hours at {c} miles an hour. How many miles does "
        "{who} drive?",
        (
            Step("e", "a * b", "First {who} drives {=} miles."),
            Step("f", "c * d", "Then {who} drives {=} miles."),
            Step("g", "e + f", "That makes {=} miles."),
        ),
    ),
    Story(
        {"a": (12, 99), "b": (2, 6), "c": (1, 30)},
        "{who} has {a} {things}. {friend} has {c} more than a {part} of that. How many {things} does {friend} have?",
        (
            Step("d", "a / b", "A {part} of them is {=} {things}."),
            Step("e", "d + c", "So {friend} has {=} {things}."),
        ),
    ),
    Story(
        {"a": (3, 12), "b": (4, 30), "c": (2, 20), "d": (2, 8)},
        "A baker fills {a} trays with {b} rolls each, but {c} rolls burn. The good rolls go into bags of {d}. How "
        "many bags are filled?",
        (
            Step("e", "a * b", "The trays hold {=} rolls."),
            Step("f", "e - c", "Of these {=} rolls are good."),
            Step("g", "f / d", "They fill {=} bags."),
        ),
    ),
    Story(
        {"a": (2, 12), "b": (2, 15), "c": (50, 200)},
        "{who} buys {a} shirts for {b} dollars each and pays with {c} dollars. How much change does {who} get?",
        (
            Step("d", "a * b", "The shirts cost {=} dollars."),
            Step("e", "c - d", "The change is {=} dollars."),
        ),
    ),
    Story(
        {"a": (12, 30), "b": (3, 40), "c": (2, 3)},
        "{who} is {a} years old. {friend} is {b} years older, and their teacher is {c} times as old as {who}. How "
        "old are the three of them together?",
        (
            Step("d", "a + b", "{friend} is {=} years old."),
            Step("e", "a * c", "The teacher is {=} years old."),
            Step("f", "a + d", "{who} and {friend} together are {=} years old."),
            Step("g", "f + e", "All three together are {=} years old."),
        ),
    ),
    Story(
        {"a": (100, 400), "b": (2, 9), "c": (5, 30)},
        "A tank holds {a} liters of water. It loses {b} liters an hour for {c} hours. How many liters are left in "
        "the tank?",
        (
            Step("d", "b * c", "The tank loses {=} liters."),
            Step("e", "a - d", "There are {=} liters left."),
        ),
    ),
    Story(
        {"a": (6, 40), "b": (2, 20), "c": (2, 9)},
        "{who} makes {a} bracelets and keeps {b} of them. The others are sold for {c} dollars each. How much money "
        "does {who} make?",
        (
            Step("d", "a - b", "{who} sells {=} bracelets."),
            Step("e", "d * c", "That makes {=} dollars."),
        ),
    ),
    Story(
        {"a": (4, 30), "b": (2, 9), "c": (2, 9), "d": (2, 4)},
        "{who} runs {a} laps in week one and {b} laps more in week two. In week three {who} runs {d} times as many "
        "as in week two, less {c}. How many laps are that in week three?",
        (
            Step("e", "a + b", "In week two {who} runs {=} laps."),
            Step("f", "e * d", "Times {d} that is {=} laps."),
            Step("g", "f - c", "In week three {who} runs {=} laps."),
        ),
    ),
)
_PARTS: Final = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth"}


def halves(story: Story) -> tuple[Story, Story]:
    """The same story with small and with large values of its first number: no problem is in both."""
    first, (low, high) = next(iter(story.numbers.items()))
    middle = (low + high) // 2
    parts = (replace(story, numbers={**story.numbers, first: part}) for part in ((low, middle), (middle + 1, high)))
    small, large = parts
    return small, large


def problems(
    seed: int, sizes: dict[str, int], stories: Sequence[Story] = STORIES, what: str = "math"
) -> dict[str, list[Row]]:
    """Problems for each split.

    No problem is in two splits or twice in one: two items always differ in their story or its numbers. The test items
    do not depend on how many training items are asked for.

    Args:
        seed: Fixes everything.
        sizes: How many for each split; `MOST_PROBLEMS` together at most.
        stories: The kinds of problems; fewer kinds have fewer problems.
        what: A word for these stories, so that other ones get other random numbers.
    """
    seen: set[str] = set()
    made = {}
    for split in reversed(SPLITS):
        stream = _stream(generator(seed, "tasks", what, split), seen, stories)
        made[split] = [next(stream) for _ in range(sizes[split])]
    return made


def _stream(random: np.random.Generator, seen: set[str], stories: Sequence[Story]) -> Iterator[Row]:
    while True:
        number = int(random.integers(len(stories)))
        story = stories[number]
        values, worked = _solved(story, random)
        key = f"story {number}: " + ", ".join(f"{name} = {values[name]}" for name in story.numbers)
        words = _words(random, values)
        if key not in seen:
            seen.add(key)
            yield _row(story, key, values, worked, words)


def _solved(story: Story, random: np.random.Generator) -> tuple[dict[str, int], list[str]]:
    """Draw numbers until every step comes out as a positive whole number; gives all values and the equations."""
    while True:
        values = {name: int(random.integers(low, high + 1)) for name, (low, high) in story.numbers.items()}
        worked = []
        for step in story.steps:
            left, operator, right = step.equation.split()
            result = _computed(values[left], operator, values[right])
            if result is None:
                break
            values[step.result] = result
            worked.append(f"{values[left]} {operator} {values[right]} = {result}")
        else:
            return values, worked


def _computed(left: int, operator: str, right: int) -> int | None:
    """The result if it is a positive whole number."""
    if operator == "/":
        return left // right if left % right == 0 else None
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return result if result > 0 else None


def _words(random: np.random.Generator, values: dict[str, int]) -> dict[str, str]:
    who, friend = (_NAMES[place] for place in random.choice(len(_NAMES), size=2, replace=False))
    things = _THINGS[random.integers(len(_THINGS))]
    return {"who": who, "friend": friend, "things": things, "part": _PARTS.get(values["b"], "")}


def _row(story: Story, key: str, values: dict[str, int], worked: list[str], words: dict[str, str]) -> Row:
    question = story.text.format(**values, **words)
    lines = [
        step.line.replace("{=}", equation).format(**values, **words)
        for step, equation in zip(story.steps, worked, strict=True)
    ]
    answer = str(values[story.steps[-1].result])
    completion = " " + "\n".join([*lines, f"#### {answer}"])
    return Row(f"Question: {question}\nAnswer:", completion, answer=answer, key=key)
