"""The union of experiments that differ in seeds, grid values or single fields: one with all of their cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.reading import leaves
from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput

__all__ = ["places", "union"]

_NOT_VARIED: Final = ("name", "description", "checkpoints", "seeds", "grid", "metrics", "generations")
_KEEPING: Final = ("none", "last", "all")
_ABSENT: Final = object()


def union(experiments: Mapping[str, Experiment]) -> Experiment:
    """Return the experiment whose cells are those of all, and the rest of their grid.

    Fields in which the experiments differ, or which one of them varies, are varied.

    Args:
        experiments: Experiments by the names of their runs, for messages; the first one gives name and description.

    Raises:
        InvalidInput: They differ in something that no grid varies; the message names it.
    """
    (first_name, first), *others = experiments.items()
    _refuse_extents(first_name, first, others)
    plain = {name: each.model_dump(mode="json") for name, each in experiments.items()}
    varied = list(dict.fromkeys(path for each in experiments.values() for path in each.grid))
    flat = {name: dict(leaves({k: v for k, v in each.items() if k not in _NOT_VARIED})) for name, each in plain.items()}
    for path in flat[first_name]:
        values = [each.get(path, _ABSENT) for each in flat.values()]
        if _within(path, varied) or all(value == values[0] for value in values):
            continue
        if _ABSENT in values:
            raise InvalidInput(f"{_absent(path, flat)}; a grid cannot vary that, so that these runs stay apart")
        varied.append(path)
    for name, each in flat.items():
        more = [path for path in each if path not in flat[first_name] and not _within(path, varied)]
        if more:
            raise InvalidInput(
                f"{name}: {more[0]} is {shown(each[more[0]])}, and {first_name} has none; a grid cannot vary that, so "
                "that these runs stay apart"
            )
    grid = {
        path: _ordered(
            value
            for name, each in experiments.items()
            for value in each.grid.get(path, (_at(plain[name], path, name),))
        )
        for path in varied
    }
    seeds = _ordered(seed for each in experiments.values() for seed in each.seeds)
    kept = max((each.checkpoints for each in experiments.values()), key=_KEEPING.index)
    try:
        return Experiment.model_validate(plain[first_name] | {"grid": grid, "seeds": seeds, "checkpoints": kept})
    except ValueError as error:
        raise InvalidInput(f"the cells of these runs are in no one grid over {', '.join(varied)}: {error}") from error


def places(experiment: Experiment, union_of: Experiment) -> dict[str, Cell]:
    """Return the cell of a union that each cell of an experiment is, by its name.

    Args:
        experiment: One of the experiments.
        union_of: The union.

    Raises:
        InvalidInput: A cell is not in the union.
    """
    by_id = {cell.id: cell for cell in union_of.cells()}
    found = {cell.name: by_id.get(cell.id) for cell in experiment.cells()}
    lost = [name for name, cell in found.items() if cell is None]
    if lost:
        raise InvalidInput(
            f"the cell {lost[0]} of {experiment.name} is in no grid over {', '.join(union_of.grid) or 'seeds'}; merge "
            "runs that differ in seeds, in values of their grid or in single fields"
        )
    return {name: cell for name, cell in found.items() if cell is not None}


def _refuse_extents(first_name: str, first: Experiment, others: Sequence[tuple[str, Experiment]]) -> None:
    """Refuse other metrics, and other numbers of generations."""
    for name, other in others:
        if "generations" not in {*first.grid, *other.grid} and first.generations != other.generations:
            shorter = min((first_name, first), (name, other), key=lambda each: each[1].generations)[0]
            raise InvalidInput(
                f"generations: {first.generations} in {first_name}, and {other.generations} in {name}; extend the "
                f"shorter one first: crossfeed extend {shorter} --generations "
                f"{max(first.generations, other.generations)}"
            )
        if dict(first.metrics) != dict(other.metrics):
            differing = sorted(
                metric
                for metric in {*first.metrics, *other.metrics}
                if first.metrics.get(metric) != other.metrics.get(metric)
            )
            raise InvalidInput(
                f"metrics: {', '.join(differing)} not measured alike in {first_name} and {name}; where models were "
                "kept, crossfeed extend RUN --set metrics.NAME=true measures what is missing"
            )


def _within(path: str, varied: Sequence[str]) -> bool:
    return any(path == each or path.startswith(f"{each}.") for each in varied)


def _at(plain: Any, path: str, name: str) -> Any:
    for part in path.split("."):
        if isinstance(plain, list):
            named = [each.get("name") if isinstance(each, dict) else None for each in plain]
            place = named.index(part) if part in named else int(part) if part.isdecimal() else len(plain)
            plain = plain[place] if place < len(plain) else _ABSENT
        else:
            plain = plain.get(part, _ABSENT) if isinstance(plain, dict) else _ABSENT
    if plain is _ABSENT:
        raise InvalidInput(f"{name}: there is no {path}, which another run varies; merge runs that have it")
    return plain


def _absent(path: str, flat: Mapping[str, Mapping[str, Any]]) -> str:
    has = next(name for name, each in flat.items() if path in each)
    lacks = next(name for name, each in flat.items() if path not in each)
    return f"{has}: {path} is {shown(flat[has][path])}, and {lacks} has none"


def _ordered(values: Iterator[Any]) -> list[Any]:
    """Return different values: numbers in ascending order, others as they come."""
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    return sorted(distinct) if numbers else distinct
