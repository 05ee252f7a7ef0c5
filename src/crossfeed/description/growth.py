"""The growth of an experiment: one that goes on from an earlier one with more generations, cells or metrics.

What an experiment is and how far it is run are two things. Two descriptions are of one experiment if their cells agree
in everything but the number of generations and the metrics; then everything that was computed for the smaller one is a
part of the larger one, number for number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.reading import leaves
from crossfeed.display.formatting import shown
from crossfeed.settings import identity

__all__ = ["Growth", "growth", "obstacles"]

_EXTENT: Final = ("generations", "metrics")
"""Fields of a cell that say how far it is run, and how it is looked at."""

_DEFAULT: Final = object()


@dataclass(frozen=True)
class Growth:
    """The additions of a description to an earlier one.

    Attributes:
        cells: Names of the cells that are new.
        ends: The last generations of the cells that run longer: the earlier one, by cell.
        metrics: Names of the metrics that are new.
    """

    cells: tuple[str, ...]
    ends: Mapping[str, int]
    metrics: tuple[str, ...]


def growth(before: Experiment, after: Experiment) -> Growth:
    """Return what a description adds to an earlier one that it goes on from (`obstacles` has found none).

    Args:
        before: The earlier experiment.
        after: The later one.
    """
    there = {cell.name: cell for cell in before.cells()}
    longer = {
        cell.name: there[cell.name].experiment.generations
        for cell in after.cells()
        if cell.name in there and cell.experiment.generations > there[cell.name].experiment.generations
    }
    new = tuple(cell.name for cell in after.cells() if cell.name not in there)
    return Growth(new, longer, tuple(name for name in after.metrics if name not in before.metrics))


def obstacles(before: Experiment, after: Experiment) -> list[str]:
    """Return why a description does not go on from an earlier one.

    Args:
        before: The earlier experiment.
        after: The later one.

    Returns:
        Reasons, each of which names a field with both values; empty if it goes on.
    """
    reasons = [*_left_out(before, after), *_other_metrics(before, after)]
    later = {cell.name: cell for cell in after.cells()}
    for cell in before.cells():
        if cell.name not in later:
            continue
        then, now = cell.experiment.generations, later[cell.name].experiment.generations
        if now < then:
            reasons.append(f"generations: {now}, and there {then}")
        elif now > then and cell.experiment.ecosystem.fresh_fraction > 0:
            reasons.append(
                f"generations: {now}, and there {then}; with a fresh_fraction public data are set aside for all "
                "generations before the first, so that a longer run draws from others"
            )
        reasons += _other_fields(cell, later[cell.name])
        if reasons:
            break  # those of other cells would be the same
    return reasons


def _left_out(before: Experiment, after: Experiment) -> Iterator[str]:
    """Yield the parts of the grid, and the seeds, that are there and not in the later description."""
    if list(before.grid) != list(after.grid):
        now, then = (", ".join(each.grid) or "nothing" for each in (after, before))
        yield f"grid: it varies {now}, and there {then}"
        return
    seeds = [str(seed) for seed in before.seeds if seed not in after.seeds]
    if seeds:
        yield f"seeds: without {', '.join(seeds)}, which {'is' if len(seeds) == 1 else 'are'} there"
    for path, values in before.grid.items():
        missing = [shown(value) for value in values if value not in after.grid[path]]
        if missing:
            yield f"grid: {path} without {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} there"


def _other_metrics(before: Experiment, after: Experiment) -> Iterator[str]:
    for name, settings in before.metrics.items():
        if name not in after.metrics:
            yield f"metrics: without {name}, which is measured there"
        elif identity(after.metrics[name]) != identity(settings):
            yield f"metrics.{name}: other settings than there"


def _other_fields(before: Cell, after: Cell) -> Iterator[str]:
    then, now = ({k: v for k, v in cell.content.items() if k not in _EXTENT} for cell in (before, after))
    if then == now:
        return
    earlier, later = dict(leaves(then)), dict(leaves(now))
    for path in dict.fromkeys([*later, *earlier]):
        old, new = (each.get(path, _DEFAULT) for each in (earlier, later))
        if old != new:
            yield f"{path}: {_word(new)}, and there {_word(old)}"


def _word(value: Any) -> str:
    return "its default" if value is _DEFAULT else shown(value)
