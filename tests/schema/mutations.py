"""Descriptions that differ from a good one in one place, and what the reading code and the schema say of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from crossfeed import Experiment
from crossfeed.description.json_schema import description_schema
from crossfeed.description.reading import validate
from crossfeed.errors import InvalidDescription

GONE = object()
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, 1.5, 10**9, [], [0], [0.5, 1], [1, 1], [[1]], {}),
    *("", "x", "a b", "CON", "facts", "fake", "linear", "language", "bm25", "ring", "base", "2/4", "{k}", "inf"),
    *("public", "proportional", ["a"], [[0.5, 0.5], [0.5, 0.5]], {"x": 1}, {"first": 10, "add": 5}, {"first": 10}),
    *({"graph": "ring"}, {"source": "facts"}, {"kind": "fake"}, {"regex": "a"}, {"facts": 1}, {"facts": 0}),
)
KEYS = (
    *("alpha", "beta", "n", "every", "source", "kind", "x", "reads", "self", "steps", "rate", "train", "test", "base"),
    *("scratch", "model", "part", "non_iid", "order", "first", "factor", "quantile", "access", "top", "rank"),
    *("prompts", "learner", "measured", "from", "until", "share"),
)


@cache
def validator() -> Draft7Validator:
    """Of the schema that the command prints."""
    document = description_schema()
    Draft7Validator.check_schema(document)
    return Draft7Validator(document)


def complaint(data: Any) -> str:
    """What the schema says against a description; empty if nothing."""
    error = best_match(validator().iter_errors(data))
    return "" if error is None else f"{error.json_path}: {error.message}"


def refusal(data: Any) -> str:
    """What the reading code says against a description; empty if nothing."""
    try:
        validate(Experiment, data).cells()
    except InvalidDescription as error:
        return str(error)
    return ""


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value within a description, with its path; of long lists the first ones."""
    if path:
        yield path, data
    inner = data.items() if isinstance(data, dict) else enumerate(data[:3]) if isinstance(data, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value in one place."""
    data = copy.deepcopy(data)
    within = data
    for key in path[:-1]:
        within = within[key]
    if value is GONE:
        del within[path[-1]]
    else:
        within[path[-1]] = value
    return data


def mutated(data: Any, rng: random.Random) -> tuple[tuple[Any, ...], Any]:
    """A path and a description that differs there: a value less, one more, one of another place or another value."""
    known = list(places(data))
    path, value = rng.choice(known)
    how = rng.choice(("less", "more", "copied", "other", "other"))
    if how == "less":
        return path, changed(data, path, GONE)
    if how == "more" and isinstance(value, dict):
        path = (*path, rng.choice(KEYS))
    new = rng.choice(known)[1] if how == "copied" else rng.choice(VALUES)
    return path, changed(data, path, copy.deepcopy(new))
