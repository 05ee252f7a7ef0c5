"""One turn: publish, compose, update, measure. The loop knows no model; whatever learns is behind the protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.generation.cell_context import World, kept_generations, publishes, wanted
from crossfeed.generation.curation import PASSED, Written, column_of, flags_of, synthetic_kept
from crossfeed.generation.mixture import Source, pass_rates
from crossfeed.generation.pool import PROVENANCE, by_author, items_of, join_pool, requests
from crossfeed.generation.snapshot import LiveSnapshot
from crossfeed.keys import address
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC, Measurement, Part, State, Task, TrainingSet

__all__ = ["compose", "measure", "publish", "realised", "update"]


def publish(world: World, generation: int, states: Sequence[State]) -> pa.Table:
    """Generate what the entities publish: every pool item that some training set, now or later, will hold.

    If a filter reads items, that is every item, and what passes is written down with them.

    Args:
        world: The cell.
        generation: A generation t >= 1 that `publishes`.
        states: The entities' states after generation t - 1.

    Returns:
        The pool (columns: `crossfeed.generation.pool`).
    """
    seed, sampled = world.cell.seed, world.learner.reads == "draws"
    asked = [
        requests(seed, generation, name, wanted(world, generation, j), world.sizes.private[j], sampled=sampled)
        for j, name in enumerate(world.entities)
    ]
    busy = [j for j, request in enumerate(asked) if len(request.items)]  # nobody reads the others
    prompts = [world.private(j).take(pa.array(asked[j].prompt_rows)) for j in busy]
    answers = world.learner.generate([states[j] for j in busy], prompts, [asked[j].keys for j in busy])
    names = [world.entities[j] for j in busy]
    pool = join_pool(world.cell.name, generation, names, [asked[j] for j in busy], answers)
    if not world.judges_items:
        return pool
    asked_of, written_by = ([world.private(j).slice(0, 0) for j in range(len(world.entities))] for _ in range(2))
    for j, prompt, answer in zip(busy, prompts, answers, strict=True):
        asked_of[j], written_by[j] = prompt, answer
    written = Written(asked_of, written_by, world.learner, states)
    world.judge(generation, synthetic_kept(world.filters, world.scrape(generation, written)))
    return pool.add_column(PROVENANCE.index(PASSED), PASSED, column_of(world.judged[generation].synthetic))


def compose(world: World, generation: int, pools: Mapping[int, pa.Table]) -> list[TrainingSet]:
    """Each entity's training set.

    Args:
        world: The cell.
        generation: The generation t.
        pools: The pools that history keeps, by generation.
    """
    _recall(world, pools)
    published = {born: by_author(pool) for born, pool in pools.items()}
    compose_one = _compose_draws if world.learner.reads == "draws" else _compose_everything
    return [compose_one(world, generation, k, published) for k in range(len(world.entities))]


def update(world: World, generation: int, states: Sequence[State], sets: Sequence[TrainingSet]) -> list[State]:
    """Train every entity on its set."""
    keys = [address(world.cell.seed, "update", generation, name) for name in world.entities]
    return world.learner.update(states, sets, keys, generation)


def measure(world: World, generation: int, states: Sequence[State]) -> tuple[list[Measurement], pa.Table | None]:
    """All numbers of a generation, and the completions that they were measured on."""
    experiment = world.cell.experiment
    snapshots = _snapshots(world, generation, states)
    numbers: list[Measurement] = []
    for settings in experiment.metrics.values():
        if settings.is_due(generation, experiment.generations):
            metric = settings.build()
            for snapshot in snapshots:
                numbers += metric.measure(snapshot)
    outputs = [table for snapshot in snapshots if (table := snapshot.outputs()) is not None]
    return numbers, pa.concat_tables(outputs, promote_options="permissive") if outputs else None


def _snapshots(world: World, generation: int, states: Sequence[State]) -> list[LiveSnapshot]:
    """Who is measured on what: everyone on everything, or on its own task and on those that nobody owns."""

    def snapshot(entities: Sequence[int], tasks: Mapping[str, Task]) -> LiveSnapshot:
        names, own = zip(*((world.entities[k], states[k]) for k in entities), strict=True)
        return LiveSnapshot(generation, names, own, tasks, world.learner, world.cell.seed)

    everyone = range(len(world.entities))
    if world.cell.experiment.measured == "all":
        return [snapshot(everyone, world.tasks)]
    owners: dict[str, list[int]] = {}
    for k, entity in enumerate(world.cell.experiment.ecosystem.entities):
        owners.setdefault(entity.private, []).append(k)
    common = {name: task for name, task in world.tasks.items() if name not in owners}
    return [*(snapshot(own, {name: world.tasks[name]}) for name, own in owners.items()), snapshot(everyone, common)]


def realised(world: World, generation: int, pools: Callable[[], Mapping[int, pa.Table]]) -> list[Measurement]:
    """What training sets were made of (task = the source).

    ``drawn``: how many items of each source every training set holds. ``passed``: the share of what each source of a
    curated pool published at this generation that the entity keeps.

    Args:
        world: The cell.
        generation: The generation t.
        pools: Reads the pools that history keeps; called only where draws hang on items that are not known here.
    """
    if world.judges_items and any(
        born not in world.judged and publishes(world, born) for born in kept_generations(world, generation)
    ):
        _recall(world, pools())
    return _drawn(world, generation) + _passed(world, generation)


def _drawn(world: World, generation: int) -> list[Measurement]:
    if world.learner.reads == "everything":
        return []
    numbers = []
    for k, name in enumerate(world.entities):
        draws = world.draws(generation, k)
        counts: dict[str, int] = {}
        for source, count in zip(draws.sources, np.bincount(draws.source, minlength=len(draws.sources)), strict=True):
            counts[source.name] = counts.get(source.name, 0) + int(count)
        numbers += [Measurement(name, source, "drawn", float(count)) for source, count in counts.items()]
    return numbers


def _passed(world: World, generation: int) -> list[Measurement]:
    return [
        Measurement(name, source.name, "passed", rate)
        for k, name in enumerate(world.entities)
        for source, rate in pass_rates(world.sizes, world.entities, world.passing(generation, k)).items()
        if source.born == generation
    ]


def _recall(world: World, pools: Mapping[int, pa.Table]) -> None:
    """Learn from stored pools what of them passes."""
    if world.judges_items:
        for born in pools:
            if born not in world.judged:
                world.judge(born, flags_of(pools[born], world.entities))


Published = Mapping[int, Mapping[str, pa.Table]]
"""Each author's items of each generation."""


def _compose_draws(world: World, generation: int, entity: int, published: Published) -> TrainingSet:
    draws = world.draws(generation, entity)
    weights = world.weights(generation, entity)
    parts = []
    for source in draws.sources:
        positions, index = draws.of(source)
        if len(index):
            items = _lookup(world, entity, source, published)(index)
            parts.append(Part(source.name, source.born, weights[source], items, positions))
    return TrainingSet(tuple(parts))


def _compose_everything(world: World, generation: int, entity: int, published: Published) -> TrainingSet:
    parts: list[Part] = []
    begin, passing = 0, world.passing(generation, entity)
    for source, weight in world.weights(generation, entity).items():
        if weight > 0:
            items = _lookup(world, entity, source, published)(passing.get(source))
            positions = np.arange(begin, begin + items.num_rows)
            begin += items.num_rows
            parts.append(Part(source.name, source.born, weight, items, positions))
    return TrainingSet(tuple(parts))


def _lookup(
    world: World, entity: int, source: Source, published: Published
) -> Callable[[NDArray[np.int64] | None], pa.Table]:
    """How to get items (all of them for None) of one source."""
    if source.name not in (PRIVATE, PUBLIC, FRESH):
        own = published[source.born][source.name]
        return lambda index: items_of(own, index)
    if source.name == PRIVATE:
        table = world.private(entity)
    else:
        table = world.tasks[PUBLIC].train if source.name == PUBLIC else world.fresh[source.born - 1]
    return lambda index: table if index is None else table.take(pa.array(index))
