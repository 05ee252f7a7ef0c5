"""Numbers that the loop itself records: what training sets were composed of, what was curated, shown and chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from crossfeed.generation.cell_context import CellContext
from crossfeed.protocols import Measurement

__all__ = ["realised", "remember"]


def remember(context: CellContext, generation: int, pools: Callable[[int], Mapping[int, pa.Table]]) -> None:
    """Let tastes drift by what was read before a generation, as far as that was not seen here.

    Args:
        context: The cell.
        generation: The generation t.
        pools: Reads the pools that the training sets of a generation may read.
    """
    for earlier in context.selection.unseen(generation):
        context.selection.recall(pools(earlier))
        context.selection.see(earlier)


def realised(
    context: CellContext, generation: int, pools: Callable[[int], Mapping[int, pa.Table]]
) -> list[Measurement]:
    """Count what training sets were composed of (task = the source).

    Args:
        context: The cell.
        generation: The generation t.
        pools: Reads the pools that the training sets of a generation may read; called only where draws depend on items
            that are not known here.

    Returns:
        ``drawn``: the number of items of each source in every training set. ``passed``: the share of what each source
        of a curated pool published at this generation that the entity keeps (the mean weight, where a filter weighs;
        then ``effective`` is the effective number of its items). ``exposed`` and ``offered``: of what an entity reads
        of a ranked pool, the share of each source, and its share of the pool. Where items are chosen among candidates,
        ``reward_offered`` and ``reward_kept``: the mean reward, by the entity's own taste as it was at
        first, of what it drew of each author and of what it kept instead; and ``candidates``: among how many items that
        was chosen.
    """
    remember(context, generation, pools)
    if context.selection.needs_pools(generation):
        context.selection.recall(pools(generation))
    numbers = _drawn(context, generation) + _passed(context, generation) + _exposed(context, generation)
    return numbers + _chosen(context, generation)


def _drawn(context: CellContext, generation: int) -> list[Measurement]:
    if context.learner.reads == "everything":
        return []
    numbers = []
    for k in context.calendar.training(generation):
        name, draws = context.entities[k], context.selection.draws(generation, k)
        counts: dict[str, int] = {}
        for source, count in zip(draws.sources, np.bincount(draws.source, minlength=len(draws.sources)), strict=True):
            counts[source.name] = counts.get(source.name, 0) + int(count)
        numbers += [Measurement(name, source, "drawn", float(count)) for source, count in counts.items()]
    return numbers


def _passed(context: CellContext, generation: int) -> list[Measurement]:
    return [
        Measurement(name, source.name, "passed", rate)
        for k, name in enumerate(context.entities)
        if context.calendar.trains(generation)[k]
        for source, rate in context.selection.pass_rates(generation, k).items()
        if source.born == generation
    ] + [
        Measurement(name, source.name, "effective", kept.effective)
        for k, name in enumerate(context.entities)
        if context.calendar.trains(generation)[k]
        for source, kept in context.selection.passing(generation, k).items()
        if source.born == generation and kept.weights is not None
    ]


def _exposed(context: CellContext, generation: int) -> list[Measurement]:
    numbers = []
    for k in context.calendar.training(generation):
        name, sources = context.entities[k], context.selection.exposure(generation, k)
        total = sum(one.read for one in sources.values())
        for source, one in sources.items():
            numbers.append(Measurement(name, source, "exposed", one.read / total))
            numbers.append(Measurement(name, source, "offered", one.expected / total))
    return numbers


def _chosen(context: CellContext, generation: int) -> list[Measurement]:
    selection = context.selection
    if selection.choice is None:
        return []
    numbers = []
    for k in context.calendar.training(generation):
        name, draws = context.entities[k], selection.draws(generation, k)
        summary = selection.choice.summary(draws, selection.kept(generation, k), generation, k)
        for author, chosen in summary.items():
            numbers.append(Measurement(name, author, "candidates", float(chosen.candidates)))
            numbers.append(Measurement(name, author, "reward_offered", chosen.offered))
            numbers.append(Measurement(name, author, "reward_kept", chosen.kept))
    return numbers
