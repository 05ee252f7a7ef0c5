"""Word problems with worked answers in the manner of GSM8K (Cobbe et al., 2021).

A problem is a little story; its answer has a line for each step, and the result after ``####``. The stories are told in
several languages (`crossfeed.tasks.languages`); the same seed gives the same numbers in each. All numbers are whole, so
that no language's decimal mark is needed.

A problem is a story and its numbers; names of people and things do not make another problem of it.
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
        number: Which of the stories that a language tells.
        numbers: The least and greatest value of each number.
        steps: The solution, ``result = left operator right`` each: names of numbers or earlier results, and one of
            ``+ - * /``. The last result is the answer.
    """

    number: int
    numbers: dict[str, tuple[int, int]]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Telling:
    """How problems are told in one language.

    Attributes:
        prompt: Template of a prompt, which holds the ``question``.
        names: Of people.
        things: In the plural.
        parts: What a half, a third and so on are called, up to a sixth.
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
    """The same story with small and with large values of its first number: no problem is in both."""
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
    """Problems for each split.

    No problem is in two splits or twice in one: two items always differ in their story or its numbers. The test items
    do not depend on how many training items are asked for.

    Args:
        seed: Fixes everything.
        sizes: How many for each split; `MOST_PROBLEMS` together at most.
        stories: The kinds of problems; fewer kinds have fewer problems.
        what: A word for these stories, so that other ones get other random numbers.
        language: In which language they are told.
    """
    seen: set[str] = set()
    made = {}
    for split in reversed(SPLITS):
        stream = _stream(generator(seed, "tasks", what, split), seen, stories, _telling(language))
        made[split] = [next(stream) for _ in range(sizes[split])]
    return made


@cache
def _telling(language: Language) -> Telling:
    read = templates(language, "stories")
    stories = tuple((each["text"], tuple(each["lines"])) for each in read["stories"])
    return Telling(read["prompt"], tuple(read["names"]), tuple(read["things"]), tuple(read["parts"]), stories)


def _stream(random: np.random.Generator, seen: set[str], stories: Sequence[Story], telling: Telling) -> Iterator[Row]:
    while True:
        number = int(random.integers(len(stories)))
        story = stories[number]
        values, worked = _solved(story, random)
        key = f"story {number}: " + ", ".join(f"{name} = {values[name]}" for name in story.numbers)
        words = _words(random, values, telling)
        if key not in seen:
            seen.add(key)
            yield _row(telling, story, key, values, worked, words)


def _solved(story: Story, random: np.random.Generator) -> tuple[dict[str, int], list[str]]:
    """Draw numbers until every step comes out as a positive whole number; gives all values and the equations."""
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
    """The result if it is a positive whole number."""
    if operator == "/":
        return left // right if left % right == 0 else None
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return result if result > 0 else None


def _words(random: np.random.Generator, values: dict[str, int], telling: Telling) -> dict[str, str]:
    who, friend = (telling.names[place] for place in random.choice(len(telling.names), size=2, replace=False))
    things = telling.things[random.integers(len(telling.things))]
    part = telling.parts[values["b"] - 2] if 0 <= values["b"] - 2 < len(telling.parts) else ""
    return {"who": who, "friend": friend, "things": things, "part": part}


def _row(
    telling: Telling, story: Story, key: str, values: dict[str, int], worked: list[str], words: dict[str, str]
) -> Row:
    text, sentences = telling.stories[story.number]
    lines = [
        sentence.replace("{=}", equation).format(**values, **words)
        for sentence, equation in zip(sentences, worked, strict=True)
    ]
    answer = worked[-1].rpartition(" ")[2]
    completion = " " + "\n".join([*lines, f"#### {answer}"])
    prompt = telling.prompt.format(question=text.format(**values, **words))
    return Row(prompt, completion, answer=answer, key=key)
