"""Rules that settings classes declare for the JSON Schema of descriptions, where types alone do not say them.

They go under ``json_schema_extra`` of a class's configuration; the validators that raise stand beside them.
"""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

__all__ = ["CHOSEN", "GIVEN", "all_or_none", "exactly_one"]

CHOSEN: Final = "x-chosen"
"""Marks, in the JSON Schema of a field, what is chosen by name: `crossfeed.description.json_schema` fills it in."""

GIVEN: Final[JsonValue] = {"not": {"type": "null"}}
"""The schema of a value that is not null."""

_ABSENT: Final[JsonValue] = {"type": "null"}


def exactly_one(*names: str) -> dict[str, JsonValue]:
    """Return the rule, for a JSON Schema, that exactly one of some fields is given and not null.

    Args:
        names: The fields.
    """
    ways: list[JsonValue] = [
        {"type": "object", "required": [given], "properties": {n: GIVEN if n == given else _ABSENT for n in names}}
        for given in names
    ]
    return {"oneOf": ways}


def all_or_none(*names: str) -> dict[str, JsonValue]:
    """Return the rule, for a JSON Schema, that some fields are all given and not null, or none of them is.

    Args:
        names: The fields.
    """
    given: JsonValue = {"required": [*names], "properties": dict.fromkeys(names, GIVEN)}
    return {"anyOf": [given, {"properties": dict.fromkeys(names, _ABSENT)}]}
