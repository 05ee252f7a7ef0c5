"""One turn of a cell: publish, compose, update, measure. Models are used through the protocol of learners alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import Diverged
from crossfeed.generation.access import popularity_columns
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.curation import PASSED, GeneratedItems, mask_column
from crossfeed.generation.mixture import Source
from crossfeed.generation.pool import POPULARITY, PROVENANCE, ItemRequests, PublishedItems, join_pool
from crossfeed.generation.prompts import asks_the_pool
from crossfeed.generation.snapshot import LiveSnapshot, Rater, Stored, nothing_stored
from crossfeed.generation.tastes import REWARD, reward_column
from crossfeed.keys import address
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC, Measurement, Part, State, Task, TrainingSet
from crossfeed.settings import MetricSettings

__all__ = ["Measured", "complete", "compose", "measure", "publish", "rater_of", "update"]

_HUMAN: Final = frozenset({PRIVATE, PUBLIC, FRESH})


def publish(
    context: CellContext, generation: int, states: Sequence[State], authors: Sequence[int] | None = None
) -> pa.Table:
    """Generate the published items: every pool item that some training set, now or later, will hold.

    If a filter reads items or a ranking orders them, every item is generated, and what passes is stored with them.

    Args:
        context: The cell.
        generation: A generation t >= 1 that publishes (`PoolSelection.publishes`).
        states: The entities' states after generation t - 1.
        authors: The authors whose items are generated; default all. Some of them alone are not judged.

    Returns:
        The pool (columns: `crossfeed.generation.pool`).
    """
    selection, everyone = context.selection, range(len(context.entities))
    popularity = selection.popularity(generation)  # of what was read before, which what follows forgets
    wanted = {j: selection.requested(generation, j) for j in (everyone if authors is None else authors)}
    if selection.choice is not None:
        return _with_candidates(context, generation, states, _generated(context, generation, states, wanted)[0])
    pool, prompts, answers = _generated(context, generation, states, wanted)
    busy = [j for j, items in wanted.items() if len(items)]
    if popularity is not None:
        pool = popularity_columns(pool, popularity)
    if not selection.judges_items:
        return pool
    of_all = partial(_of_every_author, context, busy)
    read = of_all(prompts), of_all(answers)
    generated = GeneratedItems(*read, context.learner, states, _real(context), context.tastes.context)
    mask = selection.judge(generation, generated)
    return pool.add_column(PROVENANCE.index(PASSED), PASSED, mask_column(mask.synthetic))


def complete(
    context: CellContext, generation: int, states: Callable[[bool], Sequence[State]], pool: pa.Table
) -> pa.Table | None:
    """Generate the items that a longer run draws from an older pool, and that nobody had drawn before.

    Args:
        context: The cell.
        generation: The generation at which the pool was published.
        states: Returns the states that wrote it, of all authors or, if False is given, at least of those whose items
            are still read; called if an item is missing.
        pool: The pool as it is stored.

    Returns:
        The whole pool, as it would have been published; None if nothing is missing.
    """
    stored = dict(zip(context.entities, (np.empty(0, np.int64) for _ in context.entities), strict=True))
    authors, items = pool.column("author").to_numpy(), pool.column("item").to_numpy()
    stored |= {str(name): items[authors == name] for name in dict.fromkeys(authors.tolist())}
    wanted = {
        j: np.setdiff1d(context.selection.requested(generation, j), stored[name])
        for j, name in enumerate(context.entities)
    }
    if not any(len(each) for each in wanted.values()):
        return None
    if {PASSED, *POPULARITY} & {*pool.column_names}:  # these columns are of all items together
        return publish(context, generation, states(True))
    before = states(context.selection.choice is not None)  # rewards may ask any model
    added, _, _ = _generated(context, generation, before, wanted)
    whole = _joined(context, pool, added)
    return whole if context.selection.choice is None else _with_candidates(context, generation, before, whole)


def _joined(context: CellContext, pool: pa.Table, added: pa.Table) -> pa.Table:
    """Return two parts of a pool as one, authors in order, items ascending."""
    whole = pa.concat_tables([pool, added], promote_options="permissive")
    place = {name: j for j, name in enumerate(context.entities)}
    by_author = np.array([place[name] for name in whole.column("author").to_pylist()])
    return whole.take(pa.array(np.lexsort((whole.column("item").to_numpy(), by_author))))


def _with_candidates(context: CellContext, generation: int, states: Sequence[State], pool: pa.Table) -> pa.Table:
    """Return a pool with the candidates that are still missing where they are accepted one after the other."""
    selection = context.selection
    if selection.choice is None or not selection.choice.open_ended:
        return pool
    selection.recall({generation: pool})
    while wanted := selection.missing_candidates(generation):
        pool = _joined(context, pool, _generated(context, generation, states, wanted)[0])
        selection.recall({generation: pool})
    return pool


def _generated(
    context: CellContext, generation: int, states: Sequence[State], wanted: Mapping[int, NDArray[np.int64]]
) -> tuple[pa.Table, Sequence[pa.Table], Sequence[pa.Table]]:
    """Return the pool of some authors' items, and the prompts and answers of each that has any, in order."""
    busy = [j for j, items in wanted.items() if len(items)]  # items of the others are never read
    requests, prompts = zip(*(_requests(context, generation, j, wanted[j]) for j in busy), strict=True)
    answers = context.learner.generate([states[j] for j in busy], prompts, [request.keys for request in requests])
    names = [context.entities[j] for j in busy]
    pool = join_pool(context.cell.name, generation, names, requests, answers)
    if context.selection.choice is not None:
        tastes, own = context.selection.choice.tastes, zip(names, answers, prompts, strict=True)
        rewards = [tastes.rewards(name, items, asked, context.learner, states) for name, items, asked in own]
        pool = pool.append_column(REWARD, reward_column(np.concatenate(rewards)))
    return pool, prompts, answers


def _requests(
    context: CellContext, generation: int, author: int, items: NDArray[np.int64]
) -> tuple[ItemRequests, pa.Table]:
    """Return what an author has to generate, and the prompts."""
    first = items if context.selection.choice is None else items % context.sizes.published(generation)[author]
    owners, rows = context.prompts.places(generation, author, first)
    keys = context.prompts.keys(generation, author, items)
    if not asks_the_pool(context.calendar):
        return ItemRequests(items, rows, keys), context.prompts_of(author, generation).take(pa.array(rows))
    shelves = np.unique(owners)
    tables = [context.prompts_of(k) for k in shelves.tolist()]
    begins = np.cumsum([0, *(table.num_rows for table in tables)])[np.searchsorted(shelves, owners)]
    prompts = pa.concat_tables(tables, promote_options="permissive").take(pa.array(begins + rows))
    return ItemRequests(items, rows, keys, [context.entities[k] for k in owners.tolist()]), prompts


def _real(context: CellContext) -> dict[str, list[pa.Table]]:
    private = [context.private(k) for k in range(len(context.entities))]
    return {PRIVATE: private, PUBLIC: [context.tasks[PUBLIC].train]}


def _of_every_author(context: CellContext, busy: Sequence[int], tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the tables of some authors among empty ones of the others."""
    given = dict(zip(busy, tables, strict=True))
    return [given.get(j, context.private(j).slice(0, 0)) for j in range(len(context.entities))]


def compose(
    context: CellContext, generation: int, pools: Mapping[int, pa.Table], entities: Sequence[int] | None = None
) -> list[TrainingSet]:
    """Compose the training sets of entities.

    Args:
        context: The cell.
        generation: The generation t.
        pools: The pools that may be read, by the generation at which their texts were born.
        entities: The entities' indices; default all that train at this generation.

    Returns:
        One training set for each of them, in order.
    """
    context.selection.recall(pools)
    if entities is None and list(context.selection.unseen(generation + 1)) == [generation]:
        context.selection.see(generation)
    published = {born: PublishedItems(pool, context.entities) for born, pool in pools.items()}
    compose_one = _compose_draws if context.learner.reads == "draws" else _compose_everything
    readers = context.calendar.training(generation) if entities is None else entities
    return [compose_one(context, generation, k, published) for k in readers]


def update(
    context: CellContext,
    generation: int,
    states: Sequence[State],
    sets: Sequence[TrainingSet],
    entities: Sequence[int] | None = None,
) -> list[State]:
    """Train entities on their training sets.

    Args:
        context: The cell.
        generation: The generation t.
        states: The state that each of them begins from.
        sets: Their training sets.
        entities: Their indices; default all that train at this generation.

    Returns:
        The states after generation t, in step with `states`.

    Raises:
        Diverged: A loss is no longer finite; the entity is given by its index k.
    """
    who = context.calendar.training(generation) if entities is None else list(entities)
    stages = [context.calendar.stage(generation, k) for k in who]
    trained: list[State] = list(states)
    for stage in sorted(set(stages)):  # first models, of those who arrive, are trained as at generation 0
        here = [place for place, own in enumerate(stages) if own == stage]
        keys = [address(context.cell.seed, "update", generation, context.entities[who[place]]) for place in here]
        try:
            after = context.learner.update([states[i] for i in here], [sets[i] for i in here], keys, stage)
        except Diverged as error:  # learners number the states that they are given
            if isinstance(error.entity, int):
                raise Diverged(error.message, who[here[error.entity]]) from error
            raise
        for place, state in zip(here, after, strict=True):
            trained[place] = state
    return trained


@dataclass(frozen=True)
class Measured:
    """The measurements of a generation, and the outputs and losses behind them.

    Attributes:
        numbers: The measurements.
        outputs: The completions that they were measured on; None if there are none.
        losses: Losses of single test items (`LiveSnapshot.item_losses`); None if none are kept.
    """

    numbers: list[Measurement]
    outputs: pa.Table | None
    losses: pa.Table | None


def measure(
    context: CellContext,
    generation: int,
    states: Sequence[State],
    stored: Stored = nothing_stored,
    metrics: Mapping[str, MetricSettings] | None = None,
) -> Measured:
    """Measure everything that is due at a generation.

    Args:
        context: The cell.
        generation: The generation t.
        states: The entities' states after it.
        stored: Reads outputs and losses of earlier generations of the cell.
        metrics: The metrics; default all of the experiment.
    """
    experiment = context.cell.experiment
    asked = experiment.metrics if metrics is None else metrics
    snapshots = _snapshots(context, generation, states, stored)
    due = [settings for settings in asked.values() if settings.is_due(generation, experiment.generations)]
    numbers: list[Measurement] = []
    for settings in due:
        metric = settings.build()
        for snapshot in snapshots:
            numbers += metric.measure(snapshot)
    outputs = [table for snapshot in snapshots if (table := snapshot.outputs()) is not None]
    kept = any(settings.keeps_losses(generation) for settings in due)
    losses = [snapshot.item_losses() for snapshot in snapshots] if kept else []
    return Measured(
        numbers,
        pa.concat_tables(outputs, promote_options="permissive") if outputs else None,
        pa.concat_tables(losses) if losses else None,
    )


def _snapshots(context: CellContext, generation: int, states: Sequence[State], stored: Stored) -> list[LiveSnapshot]:
    """Return every entity with all tasks, or with its own task and the tasks that no entity owns."""
    ecosystem, rater = context.cell.experiment.ecosystem, rater_of(context, states)

    def snapshot(entities: Sequence[int], tasks: Mapping[str, Task]) -> LiveSnapshot:
        names, own = zip(*((context.entities[k], states[k]) for k in entities), strict=True)
        return LiveSnapshot(
            generation,
            names,
            own,
            tasks,
            context.learner,
            context.cell.seed,
            owned=ecosystem.owned,
            stored=stored,
            references=context.reference_features,
            corpora=context.tasks,
            rater=rater,
        )

    everyone = np.flatnonzero(context.calendar.present(generation)).tolist()
    if not everyone:
        return []
    if context.cell.experiment.measured == "all":
        return [snapshot(everyone, context.tasks)]
    owners: dict[str, list[int]] = {}
    for k in everyone:
        for task in ecosystem.entities[k].owned:
            owners.setdefault(task, []).append(k)
    common = {name: task for name, task in context.tasks.items() if name not in ecosystem.owned_tasks}
    return [*(snapshot(own, {name: context.tasks[name]}) for name, own in owners.items()), snapshot(everyone, common)]


Published = Mapping[int, PublishedItems]
"""The items of each generation's pool."""


def rater_of(context: CellContext, states: Sequence[State]) -> Rater | None:
    """Return what rates outputs by all tastes; None if nobody has one.

    Args:
        context: The cell.
        states: All entities' states.
    """
    if context.selection.choice is None:
        return None
    tastes = context.tastes

    def rate(author: str, items: pa.Table, prompts: pa.Table) -> dict[str, NDArray[np.float64]]:
        rewards = tastes.rewards(author, items, prompts, context.learner, states)
        return {context.entities[k]: rewards[:, place] for k, place in enumerate(tastes.of) if place is not None}

    return Rater({name: task.name for name, task in tastes.context.asked.items()}, rate)


def _compose_draws(context: CellContext, generation: int, entity: int, published: Published) -> TrainingSet:
    weights = context.selection.weights(generation, entity)
    drawn = list(context.selection.kept(generation, entity).by_source())
    human = [each for each in drawn if each[0].name in _HUMAN]
    parts = {
        source: Part(*source, weights[source], _human(context, entity, source).take(pa.array(index)), positions)
        for source, positions, index in human
    }
    authors = {name: j for j, name in enumerate(context.entities)}
    for born, pool in published.items():
        own = [each for each in drawn if each[0].born == born and each[0].name not in _HUMAN]
        if own:
            author = np.repeat([authors[source.name] for source, _, _ in own], [len(index) for _, _, index in own])
            items, begin = pool.take(author, np.concatenate([index for _, _, index in own])), 0
            for source, positions, _ in own:
                part = items.slice(begin, len(positions))
                parts[source] = Part(*source, weights[source], part, positions)
                begin += len(positions)
    return TrainingSet(tuple(parts[source] for source, _, _ in drawn))


def _compose_everything(context: CellContext, generation: int, entity: int, published: Published) -> TrainingSet:
    parts: list[Part] = []
    begin, passing = 0, context.selection.passing(generation, entity)
    authors = {name: j for j, name in enumerate(context.entities)}
    for source, weight in context.selection.weights(generation, entity).items():
        if weight > 0:
            kept = passing.get(source)
            if source.name in _HUMAN:
                items = _human(context, entity, source)
                items = items if kept is None else items.take(pa.array(kept.items))
            elif kept is None:
                items = published[source.born].all_of(source.name)
            else:
                author = np.full_like(kept.items, authors[source.name])
                items = published[source.born].take(author, kept.items)
            positions = np.arange(begin, begin + items.num_rows)
            begin += items.num_rows
            relative = None if kept is None or kept.weights is None else kept.relative
            parts.append(Part(source.name, source.born, weight, items, positions, relative))
    return TrainingSet(tuple(parts))


def _human(context: CellContext, entity: int, source: Source) -> pa.Table:
    """Return all items of a source of real data."""
    if source.name == PRIVATE:
        return context.private(entity)
    return context.tasks[PUBLIC].train if source.name == PUBLIC else context.fresh[source.born - 1]
