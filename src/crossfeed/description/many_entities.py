"""Many entities given by their number: ``ecosystem.entities: 50`` instead of fifty entities and fifty tasks.

K stands for the entities ``e1`` to ``eK``, each of which owns a task of its own name, built from ``tasks.each``: there
every value ``{k}`` becomes the entity's index, as in ``each: {source: topic, number: "{k}"}``, and in a part ``{K}``
their number: ``each: {source: sciq, part: "{k}/{K}"}`` deals one corpus out to all of them.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["MOST", "spell_out"]

_EACH: Final = "each"
_NUMBER: Final = "{k}"
_PART: Final = re.compile(r"\{k\}/(\{K\}|[0-9]+)")
MOST: Final = 1000


def spell_out(data: Any) -> Any:
    """Write many entities, and the tasks they own, out in full; a description that lists them is left as it is.

    Args:
        data: Plain data as read from YAML.

    Returns:
        Plain data in which entities are a list.

    Raises:
        ValueError: The number is impossible, or there is no ``tasks.each``.
    """
    ecosystem = data.get("ecosystem") if isinstance(data, dict) else None
    if not isinstance(ecosystem, dict):
        return data
    number = ecosystem.get("entities")
    if isinstance(number, bool) or not isinstance(number, int):
        return data
    if not 1 <= number <= MOST:
        raise ValueError(
            f"ecosystem.entities: give a list of entities, or a number from 1 to {MOST}; received {number}"
        )
    tasks = data.get("tasks")
    if not isinstance(tasks, dict) or _EACH not in tasks:
        raise ValueError(
            f"ecosystem.entities: {number} entities need a task each: give tasks.each, such as {{source: topic, "
            f'number: "{_NUMBER}"}}; a number of entities cannot be varied on a grid'
        )
    names = {k: f"e{k}" for k in range(1, number + 1)}
    own = {name: _with_number(tasks[_EACH], k, number) for k, name in names.items()}
    common = {name: task for name, task in tasks.items() if name != _EACH}
    taken = sorted(set(own) & set(common))
    if taken:
        raise ValueError(f"tasks.{taken[0]}: the name of the task of one of many entities; choose another")
    entities = [{"name": name, "private": name} for name in names.values()]
    return {**data, "ecosystem": {**ecosystem, "entities": entities}, "tasks": {**own, **common}}


def _with_number(value: Any, k: int, number: int) -> Any:
    if isinstance(value, dict):
        return {name: _with_number(item, k, number) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_number(item, k, number) for item in value]
    if isinstance(value, str) and (part := _PART.fullmatch(value)):
        return f"{k}/{number if part[1] == '{K}' else part[1]}"
    return k if value == _NUMBER else value
