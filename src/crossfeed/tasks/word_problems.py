"""Word problems with worked answers in the manner of GSM8K (Cobbe et al., 2021).

A problem is a short story; its answer has a line for each step, and the result after ``####``. The stories exist in
several languages (`crossfeed.tasks.languages`); the same seed gives the same numbers in each. All numbers are whole, so
that no language's decimal mark is needed.

A problem is identified by its story and its numbers, not by the names of people and things.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from crossfeed.keys import generator
from crossfeed.tasks.languages import Language, templates
from crossfeed.tasks.splits import SPLITS, Row

__all__ = ["MOST_PROBLEMS", "STORIES", "Story", "halves", "problems"]

MOST_PROBLEMS: Final = 20_000


@dataclass(frozen=True)
class Story:
    """A kind of problem.

    Attributes:
        number: Its index among the stories of a language.
        numbers: The least and greatest value of each number.
        steps: The solution, ``result = left operator right`` each: names of numbers or earlier results, and one of
            ``+ - * /``. The last result is the answer.
    """

    number: int
    numbers: dict[str, tuple[int, int]]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class StoryWording:
    """The wording of problems in one language.

    Attributes:
        prompt: Template of a prompt, which holds the ``question``.
        names: Names of people.
        things: Names of things, in the plural.
        parts: Names of a half, a third and so on, up to a sixth.
        stories: The question, and a sentence for each step, in which ``{=}`` stands for the equation with its value.
    """

    prompt: str
    names: tuple[str, ...]
    things: tuple[str, ...]
    parts: tuple[str, ...]
    stories: tuple[tuple[str, tuple[str, ...]], ...]


STORIES: Final = (
    Story(0, {"a": (3, 30), "b": (2, 12), "c": (4, 40)}, ("d = a * b", "e = d - c")),
    Story(1, {"a": (5, 60), "b": (5, 60), "c": (2, 6)}, ("d = a + b", "e = d / c")),
    Story(2, {"a": (2, 15), "b": (2, 20), "c": (2, 9), "d": (2, 20)}, ("e = a * b", "f = c * d", "g = e + f")),
    Story(3, {"a": (8, 40), "b": (2, 9), "c": (10, 99)}, ("d = a * b", "e = d - c")),
    Story(4, {"a": (4, 50), "b": (2, 6), "c": (3, 50)}, ("d = a * b", "e = a + d", "f = e + c")),
    Story(5, {"a": (20, 90), "b": (2, 9), "c": (2, 9)}, ("d = b * c", "e = a - d")),
    Story(6, {"a": (10, 80), "b": (2, 9), "c": (2, 30), "d": (2, 5)}, ("e = b * c", "f = a + e", "g = f * d")),
    Story(7, {"a": (3, 25), "b": (2, 12), "c": (3, 25), "d": (2, 12)}, ("e = a * b", "f = c * d", "g = e - f")),
    Story(8, {"a": (30, 90), "b": (2, 8), "c": (30, 90), "d": (2, 8)}, ("e = a * b", "f = c * d", "g = e + f")),
    Story(9, {"a": (12, 99), "b": (2, 6), "c": (1, 30)}, ("d = a / b", "e = d + c")),
    Story(10, {"a": (3, 12), "b": (4, 30), "c": (2, 20), "d": (2, 8)}, ("e = a * b", "f = e - c", "g = f / d")),
    Story(11, {"a": (2, 12), "b": (2, 15), "c": (50, 200)}, ("d = a * b", "e = c - d")),
    Story(12, {"a": (12, 30), "b": (3, 40), "c": (2, 3)}, ("d = a + b", "e = a * c", "f = a + d", "g = f + e")),
    Story(13, {"a": (100, 400), "b": (2, 9), "c": (5, 30)}, ("d = b * c", "e = a - d")),
    Story(14, {"a": (6, 40), "b": (2, 20), "c": (2, 9)}, ("d = a - b", "e = d * c")),
    Story(15, {"a": (4, 30), "b": (2, 9), "c": (2, 9), "d": (2, 4)}, ("e = a + b", "f = e * d", "g = f - c")),
)


def halves(story: Story) -> tuple[Story, Story]:
    """Return a story with small and with large values of its first number; no problem is in both."""
    first, (low, high) = next(iter(story.numbers.items()))
    middle = (low + high) // 2
    parts = (replace(story, numbers={**story.numbers, first: part}) for part in ((low, middle), (middle + 1, high)))
    small, large = parts
    return small, large


def problems(
    seed: int,
    sizes: dict[str, int],
    stories: Sequence[Story] = STORIES,
    what: str = "math",
    language: Language = "en",
) -> dict[str, list[Row]]:
    """Generate the problems of each split.

    No problem is in two splits or twice in one: two items always differ in their story or its numbers. The test items
    do not depend on the number of training items.

    Args:
        seed: Seed of all random choices.
        sizes: Number of problems for each split; `MOST_PROBLEMS` together at most.
        stories: The stories; fewer stories have fewer problems.
        what: A name for the choice of stories, so that another choice has other random numbers.
        language: The language.

    Returns:
        The rows of each split.
    """
    seen: set[str] = set()
    rows = {}
    for split in reversed(SPLITS):
        stream = _stream(generator(seed, "tasks", what, split), seen, stories, _wording(language))
        rows[split] = [next(stream) for _ in range(sizes[split])]
    return rows


@cache
def _wording(language: Language) -> StoryWording:
    read = templates(language, "stories")
    stories = tuple((each["text"], tuple(each["lines"])) for each in read["stories"])
    return StoryWording(read["prompt"], tuple(read["names"]), tuple(read["things"]), tuple(read["parts"]), stories)


def _stream(
    random: np.random.Generator, seen: set[str], stories: Sequence[Story], wording: StoryWording
) -> Iterator[Row]:
    while True:
        number = int(random.integers(len(stories)))
        story = stories[number]
        values, worked = _solved(story, random)
        key = f"story {number}: " + ", ".join(f"{name} = {values[name]}" for name in story.numbers)
        words = _words(random, values, wording)
        if key not in seen:
            seen.add(key)
            yield _row(wording, story, key, values, worked, words)


def _solved(story: Story, random: np.random.Generator) -> tuple[dict[str, int], list[str]]:
    """Draw numbers until every step gives a positive whole number; return all values and the equations."""
    while True:
        values = {name: int(random.integers(low, high + 1)) for name, (low, high) in story.numbers.items()}
        worked = []
        for step in story.steps:
            name, _, left, operator, right = step.split()
            result = _computed(values[left], operator, values[right])
            if result is None:
                break
            values[name] = result
            worked.append(f"{values[left]} {operator} {values[right]} = {result}")
        else:
            return values, worked


def _computed(left: int, operator: str, right: int) -> int | None:
    """Return the result if it is a positive whole number, else None."""
    if operator == "/":
        return left // right if left % right == 0 else None
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return result if result > 0 else None


def _words(random: np.random.Generator, values: dict[str, int], wording: StoryWording) -> dict[str, str]:
    who, friend = (wording.names[place] for place in random.choice(len(wording.names), size=2, replace=False))
    things = wording.things[random.integers(len(wording.things))]
    part = wording.parts[values["b"] - 2] if 0 <= values["b"] - 2 < len(wording.parts) else ""
    return {"who": who, "friend": friend, "things": things, "part": part}


def _row(
    wording: StoryWording, story: Story, key: str, values: dict[str, int], worked: list[str], words: dict[str, str]
) -> Row:
    text, sentences = wording.stories[story.number]
    lines = [
        sentence.replace("{=}", equation).format(**values, **words)
        for sentence, equation in zip(sentences, worked, strict=True)
    ]
    answer = worked[-1].rpartition(" ")[2]
    completion = " " + "\n".join([*lines, f"#### {answer}"])
    prompt = wording.prompt.format(question=text.format(**values, **words))
    return Row(prompt, completion, answer=answer, key=key)
