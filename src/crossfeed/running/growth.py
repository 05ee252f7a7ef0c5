"""A run that grows: its folder goes on with more generations, cells or metrics, and keeps what is there.

What is there stays, number for number. A run that was longer from the start would not have measured, at what was the
last generation, metrics that are due at the last one alone, so that generation is measured again. Metrics that are new
are measured at the generations whose models were kept: what is still to be measured of a cell is in the document
``added/<cell>`` until it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.growth import Growth, growth, obstacles
from crossfeed.errors import StoreMismatch
from crossfeed.generation.curation import PASSED
from crossfeed.protocols import Store
from crossfeed.records import scope_of, state_scope_of
from crossfeed.running.left_out import left_out_of
from crossfeed.store.schema import GROWS

__all__ = ["ADDED", "GrowthPlan", "added_of", "addressed", "begin_growth", "plan_growth", "refuse_mismatch"]

ADDED: Final = "added"
"""The folder of documents with metrics that are still to be measured of earlier generations."""


def added_of(cell: Cell) -> str:
    """Return the name of the document with the metrics that are still to be measured of a cell's earlier generations.

    Args:
        cell: The cell.
    """
    return f"{ADDED}/{cell.name}"


def addressed(experiment: Experiment, store: Store) -> Experiment:
    """Return an experiment with the addresses of shared generations that the run in a store was written with.

    New cells that begin as one that is there have the address of that one.

    Args:
        experiment: The experiment that is about to be run, or to go on.
        store: The store of the run.

    Raises:
        StoreError: The run's document cannot be read.
    """
    document = store.read_document("run") or {}
    written = {entry["cell"]: entry["zero"] for entry in document.get("cells", []) if "zero" in entry}
    alike = {cell.zero: written[cell.name] for cell in experiment.cells() if cell.name in written}
    if all(zero == other for zero, other in alike.items()):
        return experiment
    return experiment.with_zeros({cell.name: alike.get(cell.zero, cell.zero) for cell in experiment.cells()})


def refuse_mismatch(store: Store, document: Mapping[str, Any], before: Experiment, after: Experiment) -> None:
    """Refuse a description that does not go on from the run in a store.

    Args:
        store: The store.
        document: Its ``run.json``.
        before: The experiment that it holds.
        after: The described one.

    Raises:
        StoreMismatch: It is another experiment, it is a part of the one there, or what it needs was not kept.
    """
    where = f"{store}: holds the run {document.get('id')}"
    reasons = obstacles(before, after)
    if reasons and not obstacles(after, before):
        raise StoreMismatch(
            f"{where}, which has all of this one ({after.id}) and more ({'; '.join(reasons)}): `crossfeed show` and "
            "`crossfeed report` read it, `crossfeed run` with the folder goes on with it; for a run of its own choose "
            "another folder with --out"
        )
    if reasons:
        raise StoreMismatch(
            f"{where}, but this description is {after.id}, which does not go on from it ({'; '.join(reasons)}); runs "
            "are never mixed: choose another folder with --out"
        )
    grown = growth(before, after)
    _refuse_lost_authors(store, before, grown)
    _refuse_lost_outputs(store, before, after, grown)


def _refuse_lost_authors(store: Store, before: Experiment, grown: Growth) -> None:
    """Refuse a longer run that draws items of old pools which were not generated, by models that were not kept."""
    for cell in before.cells():
        experiment = cell.experiment
        if cell.name not in grown.ends or not experiment.ecosystem.accumulates or experiment.ecosystem.access:
            continue
        if experiment.learner.reading() == "everything":
            continue
        for generation in range(1, experiment.generations + 1):
            if not store.has_table("pool", cell.name, generation):
                continue
            if PASSED in store.read_table("pool", cell.name, generation).column_names:
                continue  # a filter judged every item, so that all of them are there
            if not store.has_states(state_scope_of(cell, generation - 1), generation - 1):
                raise StoreMismatch(
                    f"{store}: history accumulates, so that a longer run draws from the pool of generation "
                    f"{generation} items that nobody had drawn before, and the models of generation {generation - 1}, "
                    f"which generate them, were not kept (checkpoints: {before.checkpoints}); begin a run of its own "
                    "with --out, and one that can grow with checkpoints: all"
                )


def _refuse_lost_outputs(store: Store, before: Experiment, after: Experiment, grown: Growth) -> None:
    """Refuse metrics that read what test prompts were answered with at generations of which neither is kept."""
    for name in grown.metrics:
        settings = after.metrics[name]
        for cell in addressed(after, store).cells():
            end = cell.experiment.generations
            for t in range(end + 1):
                reads = [*(["outputs"] if settings.projected or settings.looks_back else [])]
                reads += ["losses"] if settings.keeps_losses(t) else []
                lost = [step for step in reads if not store.has_table(step, scope_of(cell, t), t)]
                if settings.is_due(t, end) and lost and _is_there(store, cell, t) and not _has_states(store, cell, t):
                    raise StoreMismatch(
                        f"{store}: metrics.{name} reads the {lost[0]} of every generation, and of generation {t} "
                        f"neither they nor the models were kept (checkpoints: {before.checkpoints}); leave it out, or "
                        "begin a run of its own with --out"
                    )


def begin_growth(store: Store, experiment: Experiment) -> list[str]:
    """Note what a growth asks for, once the run's document tells of it; done again after a kill, with the same effect.

    Args:
        store: The store, open for writing.
        experiment: The experiment, with the addresses of the run.

    Returns:
        Sentences on what cannot be measured any more.
    """
    document = store.read_document("run") or {}
    asked = document.get(GROWS)
    if asked is None:
        return []
    lost = dict.fromkeys(asked["metrics"], 0)
    for cell in experiment.cells():
        end = asked["ends"].get(cell.name)
        if end is not None:
            store.drop_document(left_out_of(cell.name))  # the forecast was of a shorter run
            _drop_last(store, cell, end)
        if asked["metrics"]:
            _note_added(store, cell, asked["metrics"])
            for name in asked["metrics"]:
                lost[name] += _measurable(store, cell, name)[1]
    store.write_document("run", {key: value for key, value in document.items() if key != GROWS})
    return [
        f"{name}: added later, and not measured at {many} generations of cells, whose models were not kept"
        for name, many in lost.items()
        if many
    ]


def _measurable(store: Store, cell: Cell, metric: str) -> tuple[int, int]:
    """Return at how many of a cell's generations an added metric can be measured, and at how many it cannot."""
    settings, last = cell.experiment.metrics[metric], cell.experiment.generations
    due = [t for t in range(last + 1) if settings.is_due(t, last) and _is_there(store, cell, t)]
    can = sum(_has_states(store, cell, t) for t in due)
    return can, len(due) - can


def _drop_last(store: Store, cell: Cell, end: int) -> None:
    """Drop what was measured at a generation only because it was the last one."""
    metrics, last = cell.experiment.metrics.values(), cell.experiment.generations
    if any(each.is_due(end, end) and not each.is_due(end, last) for each in metrics):
        for step in ("records", "outputs", "losses"):
            store.drop_table(step, cell.name, end)


def _note_added(store: Store, cell: Cell, metrics: Iterable[str]) -> None:
    there = [t for t in range(cell.experiment.generations + 1) if store.has_table("records", scope_of(cell, t), t)]
    if not there:
        return
    known = store.read_document(added_of(cell)) or {"metrics": []}
    names = list(dict.fromkeys([*known["metrics"], *metrics]))
    store.write_document(added_of(cell), {"metrics": names, "until": max(there)}, durable=False)
    for generation in there:  # what was packed becomes a table of its own again, which a worker may change
        for step in ("records", "outputs", "losses"):
            if store.has_table(step, scope_of(cell, generation), generation):
                table = store.read_table(step, scope_of(cell, generation), generation)
                store.write_table(step, scope_of(cell, generation), generation, table)


@dataclass(frozen=True)
class GrowthPlan:
    """The work of a growth, said beforehand.

    Attributes:
        growth: The additions.
        cells: Number of cells.
        generations: Number of measured generations, that of generation 0 counted for each cell.
        reused: Those of them that are there.
        begin_kept: Names of cells that go on from kept models.
        begin_anew: Names of cells that are there whose last models were not kept: they are trained again up to there,
            to the same numbers.
        start_kept: Names of new cells whose generation 0 is there.
        added: By new metric: generations of cells at which it can be measured, and those whose models were not kept.
    """

    growth: Growth
    cells: int
    generations: int
    reused: int
    begin_kept: tuple[str, ...]
    begin_anew: tuple[str, ...]
    start_kept: tuple[str, ...]
    added: Mapping[str, tuple[int, int]]

    @property
    def computed(self) -> int:
        """Number of generations that are computed and measured."""
        return self.generations - self.reused


def plan_growth(store: Store, before: Experiment, after: Experiment) -> GrowthPlan:
    """Return what a growth computes and what it reuses.

    Args:
        store: The store of the run; it is only read.
        before: The experiment that it holds.
        after: The experiment that it is to hold.
    """
    grown, cells = growth(before, after), addressed(after, store).cells()
    kept: list[str] = []
    anew: list[str] = []
    starts: list[str] = []
    added = dict.fromkeys(grown.metrics, (0, 0))
    reused = 0
    for cell in cells:
        there = [t for t in range(cell.experiment.generations + 1) if _is_there(store, cell, t)]
        reused += len(there)
        for name in grown.metrics:
            can, cannot = _measurable(store, cell, name)
            added[name] = (added[name][0] + can, added[name][1] + cannot)
        if cell.name in grown.cells:
            starts += [cell.name] if _has_states(store, cell, 0) else []
        elif 0 < len(there) <= cell.experiment.generations:
            (kept if _has_states(store, cell, max(there)) else anew).append(cell.name)
    total = sum(cell.experiment.generations + 1 for cell in cells)
    return GrowthPlan(grown, len(cells), total, reused, tuple(kept), tuple(anew), tuple(starts), added)


def _is_there(store: Store, cell: Cell, generation: int) -> bool:
    return store.has_table("records", scope_of(cell, generation), generation)


def _has_states(store: Store, cell: Cell, generation: int) -> bool:
    return store.has_states(state_scope_of(cell, generation), generation)
