"""Multiple choice questions that need a step of reasoning, in the manner of ARC (Clark et al., 2018).

The families are kinds of things, odd ones out, analogies, scales, orders of people, days, turns, rules, and sequences.

A problem is a question with its set of options, in any order.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np

from crossfeed.keys import generator
from crossfeed.tasks.splits import SPLITS, Row

__all__ = ["FAMILIES", "MOST_CHOICES", "choice_problems", "listed"]

MOST_CHOICES: Final = 20_000
T = TypeVar("T")

_PEOPLE: Final = (
    *("Adam", "Bella", "Cyril", "Dora", "Emil", "Flora", "Gus", "Hanna", "Igor", "Julia", "Karl", "Lina"),
    *("Max", "Nora", "Otto", "Paula", "Rolf", "Sonja", "Tom", "Ursula"),
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_COMPASS: Final = ("north", "east", "south", "west")
_COMPARED: Final = (
    ("taller", "tallest", "shortest"),
    ("older", "oldest", "youngest"),
    ("faster", "fastest", "slowest"),
    ("stronger", "strongest", "weakest"),
    ("richer", "richest", "poorest"),
)
_INVENTED: Final = (
    *("blips", "dorns", "felds", "gurns", "hoons", "jalks", "kerls", "lomps", "moks", "narbs", "pluts", "quogs"),
    *("rofs", "snels", "tovs", "vorks", "wumps", "yarvs", "zebs", "crids"),
)


@dataclass(frozen=True)
class Problem:
    """A question, its right option, wrong ones, and the reason."""

    question: str
    right: str
    wrong: tuple[str, ...]
    reason: str


def listed(question: str, labels: Sequence[str], options: Sequence[str]) -> str:
    """Return the prompt of a multiple choice question, with a line for each option."""
    lines = [f"{label}. {option}" for label, option in zip(labels, options, strict=True)]
    return "\n".join([f"Question: {question}", *lines, "Answer:"])


Family = Callable[[np.random.Generator], Problem]


def choice_problems(
    seed: int, sizes: dict[str, int], families: Sequence[Family] | None = None, what: str = "reason"
) -> dict[str, list[Row]]:
    """Generate the problems of each split.

    No problem is in two splits or twice in one: two items differ in their question or in some option. The test items
    do not depend on the number of training items.

    Args:
        seed: Seed of all random choices.
        sizes: Number of problems for each split; `MOST_CHOICES` together at most.
        families: Families of questions; default: `FAMILIES`, all of them. Fewer families have fewer questions.
        what: A name for the choice of families, so that another choice has other random numbers.

    Returns:
        The rows of each split.
    """
    seen: set[str] = set()
    rows = {}
    for split in reversed(SPLITS):
        stream = _stream(generator(seed, "tasks", what, split), seen, families or FAMILIES)
        rows[split] = [next(stream) for _ in range(sizes[split])]
    return rows


def _stream(random: np.random.Generator, seen: set[str], families: Sequence[Family]) -> Iterator[Row]:
    while True:
        problem = _one(random, families)(random)
        options = [problem.right, *problem.wrong]
        options = [options[place] for place in random.permutation(len(options))]
        key = " | ".join([problem.question, *sorted(options)])
        if key not in seen:
            seen.add(key)
            yield Row(
                listed(problem.question, "ABCD"[: len(options)], options),
                f" {problem.right}. {problem.reason}",
                answer=problem.right,
                choices=tuple(options),
                key=key,
            )


def _member(random: np.random.Generator) -> Problem:
    kinds = _some(random, _kinds(), 2)
    wanted, other = kinds[0], kinds[1]
    right, wrong = _one(random, wanted.members), _some(random, other.members, _wrong_options(random))
    return Problem(
        f"Which of these is {wanted.phrase}?",
        right,
        wrong,
        f"Among the options only {right} is {wanted.phrase}; each of the others is {other.phrase}.",
    )


def _odd_one_out(random: np.random.Generator) -> Problem:
    wanted, other = _some(random, _kinds(), 2)
    right, wrong = _one(random, other.members), _some(random, wanted.members, _wrong_options(random))
    return Problem(
        "Which one does not belong with the others?",
        right,
        wrong,
        f"Here {right} is {other.phrase}, while each of the others is {wanted.phrase}.",
    )


def _analogy(random: np.random.Generator) -> Problem:
    relation, pairs = _one(random, _analogies())
    (part, whole), (asked, right), *others = _some(random, pairs, 2 + _wrong_options(random))
    return Problem(
        f"The word {part} is to {whole} as {asked} is to which word?",
        right,
        tuple(other for _, other in others),
        f"{_thing(relation, part).capitalize()} is {relation} {_a(whole)}, just as {_thing(relation, asked)} is "
        f"{relation} {_a(right)}.",
    )


def _scale(random: np.random.Generator) -> Problem:
    question, reason, items = _one(random, _scales())
    size = 1 + _wrong_options(random)
    places = sorted(random.choice(len(items), size=size, replace=False).tolist())
    chosen = [items[place] for place in places]
    return Problem(question, chosen[-1], tuple(chosen[:-1]), f"In this list the {chosen[-1]} {reason}.")


def _people(random: np.random.Generator) -> Problem:
    more, most, least = _one(random, _COMPARED)
    names = _some(random, _PEOPLE, 1 + _wrong_options(random))
    clues = [f"{first} is {more} than {second}." for first, second in pairwise(names)]
    high = bool(random.integers(2))
    right = names[0] if high else names[-1]
    order = [clues[place] for place in random.permutation(len(clues))]
    return Problem(
        f"{' '.join(order)} Who is the {most if high else least}?",
        right,
        tuple(name for name in names if name != right),
        f"From the {most} to the {least} the order is {', '.join(names)}.",
    )


def _day(random: np.random.Generator) -> Problem:
    today, ahead = int(random.integers(7)), int(random.integers(2, 60))
    right = _DAYS[(today + ahead) % 7]
    weeks, rest = divmod(ahead, 7)
    wrong = _some(random, tuple(day for day in _DAYS if day != right), _wrong_options(random))
    return Problem(
        f"If today is {_DAYS[today]}, which day of the week will it be {ahead} days from now?",
        right,
        wrong,
        f"Whole weeks change nothing: {_plural(weeks, 'week')} and {_plural(rest, 'day')} after {_DAYS[today]} "
        f"comes {right}.",
    )


def _turns(random: np.random.Generator) -> Problem:
    who, facing = _one(random, _PEOPLE), int(random.integers(4))
    turns = [int(turn) for turn in random.choice((-1, 1, 2), size=int(random.integers(2, 5)))]
    words = {-1: "left", 1: "right", 2: "around"}
    path = [(facing + sum(turns[:count])) % 4 for count in range(len(turns) + 1)]
    right = _COMPASS[path[-1]]
    return Problem(
        f"{who} faces {_COMPASS[facing]} and turns {', then '.join(words[turn] for turn in turns)}. "
        f"Which way does {who} face now?",
        right,
        tuple(way for way in _COMPASS if way != right),
        f"Turn by turn {who} faces {', '.join(_COMPASS[way] for way in path)}.",
    )


def _rule(random: np.random.Generator) -> Problem:
    first, second, third = _some(random, _INVENTED, 3)
    wrong = (
        f"all {third} are {first}",
        f"no {first} are {third}",
        f"all {second} are {first}",
    )
    return Problem(
        f"All {first} are {second}, and all {second} are {third}. Some {third} are not {second}. What must be true?",
        f"all {first} are {third}",
        _some(random, wrong, _wrong_options(random)),
        f"Whatever is among the {first} is among the {second}, and so among the {third} too.",
    )


def _sequence(random: np.random.Generator) -> Problem:
    start, step = int(random.integers(1, 40)), int(random.integers(2, 12))
    doubled = bool(random.integers(2)) and start < 12
    terms = [start * 2**place if doubled else start + step * place for place in range(5)]
    right, rule = terms[4], "is twice the one before" if doubled else f"is {step} more than the one before"
    near = tuple(dict.fromkeys([right + 1, right + 2, right - 1, terms[3] + step + 3, right - 2]))
    wrong = _some(random, tuple(value for value in near if value not in (*terms, right)), _wrong_options(random))
    return Problem(
        f"Which number continues the row {', '.join(str(term) for term in terms[:4])}?",
        str(right),
        tuple(str(value) for value in wrong),
        f"In this row every number {rule}.",
    )


FAMILIES: Final[tuple[Family, ...]] = (
    *(_member, _odd_one_out, _analogy, _scale, _people, _day, _turns, _rule, _sequence),
)


@dataclass(frozen=True)
class _Kind:
    phrase: str
    members: tuple[str, ...]


@lru_cache(maxsize=1)
def _kinds() -> tuple[_Kind, ...]:
    return tuple(_Kind(row["phrase"], tuple(row["members"].split(";"))) for row in _table("kinds"))


@lru_cache(maxsize=1)
def _analogies() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    rows = _table("analogies")
    return tuple((row["relation"], tuple(_pair(pair) for pair in row["pairs"].split(";"))) for row in rows)


@lru_cache(maxsize=1)
def _scales() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    return tuple((row["question"], row["reason"], tuple(row["items"].split(";"))) for row in _table("scales"))


def _pair(text: str) -> tuple[str, str]:
    first, _, second = text.partition(":")
    return first, second


def _table(name: str) -> list[dict[str, str]]:
    text = files("crossfeed.tasks").joinpath("tables", f"{name}.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _one(random: np.random.Generator, things: Sequence[T]) -> T:
    return things[int(random.integers(len(things)))]


def _some(random: np.random.Generator, things: Sequence[T], size: int) -> tuple[T, ...]:
    return tuple(things[place] for place in random.choice(len(things), size=size, replace=False))


def _wrong_options(random: np.random.Generator) -> int:
    """Draw the number of wrong options: most questions have three, some two."""
    return 3 if random.random() < 0.75 else 2


def _thing(relation: str, word: str) -> str:
    """Return a word with its article; materials have none (wool, but a kitten)."""
    return word if relation.startswith("the material") else _a(word)


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
