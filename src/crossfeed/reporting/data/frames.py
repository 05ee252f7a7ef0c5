"""A run folder, opened: what was described, and what came of it as tables.

::

    run = Run.load("runs/quickstart-1234")
    change(run.records, "loss").merge(run.points, on="point")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.formatting import in_words
from crossfeed.display.notebook import Columns, page
from crossfeed.errors import StoreError, StoreMismatch
from crossfeed.records import collect
from crossfeed.reporting.data.layout import ChangeTable, columns_of, lay_out, texts_of
from crossfeed.reporting.data.measures import LOSS, measured_in
from crossfeed.running.described import document_of, stored_experiment
from crossfeed.running.failures import failure_of, read_failure
from crossfeed.running.journal import read_notes
from crossfeed.running.left_out import left_out_of, read_left_out
from crossfeed.settings import Measure
from crossfeed.store import open_store
from crossfeed.store.folder import FolderStore

__all__ = ["Run", "points_of", "shares"]

_FAILURE_COLUMNS = ("cell", "stage", "generation", "entity", "type", "message")
_PROJECTION_COLUMNS = ("cell", "seed", "generation", "model", "task", "item", "x", "y", "point")


@dataclass(frozen=True, repr=False)
class Run:
    """A run as it is right now: finished, under way, stopped, or partly failed.

    Attributes:
        store: Where it lives.
        id: Its content id, as it was when the run was begun; rules for ids may have changed since.
        experiment: The description.
        environment: Where it was made; empty before the first cell has begun.
        records: One row a number, as in ``records.parquet``, and ``point``: the position in `points`.
        points: The grid's points, indexed by ``point``: ``alpha``, ``beta``, then other grid fields by path. A schedule
            is text here; in `records`, ``alpha`` and ``beta`` are those that the entity had at the generation.
        cells: ``cell, seed, point, zero, reached`` (the last measured generation, -1 for none) and ``state``:
            ``finished``, ``failed``, ``forecast`` (left out, because its losses are forecast well enough) or
            ``unfinished``.
        failures: ``cell, stage, generation, entity, type, message`` of every failed cell.
        left_out: ``cell, half_width, threshold`` of every cell whose state is ``forecast``: half-width of the 80 %
            bands of its last losses, relative to them, and what it was held to.
    """

    store: FolderStore
    id: str
    experiment: Experiment
    environment: dict[str, Any]
    records: pd.DataFrame
    points: pd.DataFrame
    cells: pd.DataFrame
    failures: pd.DataFrame
    left_out: pd.DataFrame

    @classmethod
    def load(cls, location: str | Path) -> Run:
        """Open a run.

        Args:
            location: Its folder, or a URL (`crossfeed.store.open_store`); the run may still be going on.

        Returns:
            The run as it is now.

        Raises:
            StoreError: There is no run, or something of it is damaged.
            NewerSchema: It was written by a newer crossfeed.
        """
        store = open_store(location)
        document = document_of(store)
        experiment = stored_experiment(store, document)
        cells = _as_written(store, document, experiment.cells())
        # Column by column, each dropped once it is converted: millions of records are in memory once.
        records = collect(store, experiment, cells).to_pandas(split_blocks=True, self_destruct=True)
        position = {cell.name: number // len(experiment.seeds) for number, cell in enumerate(cells)}
        codes, names = pd.factorize(records["cell"])
        records["point"] = np.array([position[name] for name in names], dtype=np.int64)[codes]
        failures = _failures(store, cells)
        states = _cells(cells, position, records, failures, set(store.documents("known")))
        return cls(
            store=store,
            id=str(document.get("id")),
            experiment=experiment,
            environment=store.read_document("environment") or {},
            records=records,
            points=points_of(cells, len(experiment.seeds)),
            cells=states,
            failures=failures,
            left_out=_left_out(store, states),
        )

    def __repr__(self) -> str:
        states = self.cells["state"].value_counts().to_dict()
        cells = ", ".join(f"{count} {state}" for state, count in states.items())
        return f"Run({str(self.store)!r}, {self.experiment.name!r}, cells: {cells}, {len(self.records)} records)"

    def _repr_html_(self) -> str:
        states = self.cells["state"].value_counts()
        facts = {
            "": str(self.store),
            "cells": ", ".join(f"{count} {state}" for state, count in states.items()),
            "generations": ", ".join(map(str, self.experiment.ends)),
            "records": len(self.records),
        }
        losses = self.change_table(LOSS)
        tables: dict[str, Columns] = {}
        if losses is not None:
            tables[f"{losses.measure.heading}, initial → final"] = texts_of(losses)
        if len(self.failures):
            tables["Failed"] = self.failures.to_dict("list")
        return page(f"Run {self.experiment.name} ({self.id})", facts, tables)

    def change_table(self, metric: str, *, greek: bool = False) -> ChangeTable | None:
        """Return the initial -> final table of a metric; None if it was not measured.

        Args:
            metric: Its name in the records.
            greek: See `crossfeed.reporting.data.layout.columns_of`.

        Returns:
            The table, or None.
        """
        measure = next((each for each in self.measures if each.metric == metric), None)
        if measure is None:
            return None
        return lay_out(self.records, measure, columns_of(self.points, greek=greek), self.ends, [self.experiment])

    @property
    def ends(self) -> dict[int, int]:
        """The last generation of each grid point, by its position."""
        cells = self.experiment.cells()[:: len(self.experiment.seeds)]
        return {point: cell.experiment.generations for point, cell in enumerate(cells)}

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The declarations of all metrics that were measured, in the order of tables."""
        return measured_in(self.records, [self.experiment])

    @property
    def folder(self) -> Path:
        """The run's folder on this machine.

        Raises:
            StoreError: It is elsewhere.
        """
        if self.store.folder is None:
            raise StoreError(f"{self.store}: not a folder on this machine; name one that this can be written to")
        return self.store.folder

    @cached_property
    def notes(self) -> list[str]:
        """Sentences on the run's data and models: items that were left out, or that a model reads cut."""
        return read_notes(self.store)

    @cached_property
    def projection(self) -> pd.DataFrame:
        """2-D coordinates of outputs, with ``point``; empty if not measured, or not yet (they come at the end)."""
        table = self.store.read_result("projection")
        if table is None:
            return pd.DataFrame({name: [] for name in _PROJECTION_COLUMNS})
        frame: pd.DataFrame = table.to_pandas()
        return frame.merge(self.cells[["cell", "point"]], on="cell")

    def outputs(self, cell: str, generation: int) -> pd.DataFrame:
        """Return completions of test prompts, ``model, task, item, prompt, completion, ...``; empty if there are none.

        Args:
            cell: A cell's name.
            generation: The generation.

        Returns:
            One row a completion.
        """
        frame = self._table("outputs", self._scope(cell, generation), generation)
        return frame.drop(columns="embedding", errors="ignore")

    def features(self, cell: str, generation: int) -> dict[tuple[str, str], NDArray[np.floating]]:
        """Return features of what models completed: embeddings, or the points of a density's samples.

        Args:
            cell: A cell's name.
            generation: The generation.

        Returns:
            ``(items, dimension)`` by model and task, in the order of the test prompts; without those that have none.
        """
        scope = self._scope(cell, generation)
        if not self.store.has_table("outputs", scope, generation):
            return {}
        outputs = self.store.read_table("outputs", scope, generation)
        column = "embedding" if outputs.column("embedding").null_count < outputs.num_rows else "point"
        if column not in outputs.column_names:
            return {}
        table = outputs.select(["model", "task", "item", column])
        table = table.filter(table.column(column).is_valid()).sort_by("item")
        places = table.select(["model", "task"]).to_pandas()
        flat = table.column(column).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        rows = flat.reshape(table.num_rows, -1)
        found = places.groupby(["model", "task"], sort=False).indices
        return {(str(m), str(t)): rows[found[m, t]] for m, t in places.drop_duplicates().itertuples(index=False)}

    def item_losses(self, cell: str, generation: int) -> pd.DataFrame:
        """Return the losses of single test items; empty if they were not kept (``metrics.loss.keep_items``).

        Args:
            cell: A cell's name.
            generation: The generation.

        Returns:
            ``model, task, item, loss, size, completion_loss, completion_size``: summed losses and numbers of terms.
        """
        return self._table("losses", self._scope(cell, generation), generation)

    def pool(self, cell: str, generation: int) -> pd.DataFrame:
        """Return the published items with provenance (columns: `crossfeed.generation.pool`); empty if there are none.

        Args:
            cell: A cell's name.
            generation: The generation t >= 1.

        Returns:
            One row an item.
        """
        return self._table("pool", cell, generation)

    def _scope(self, cell: str, generation: int) -> str:
        if cell not in self._zeros:
            raise StoreError(f"{self.store}: no cell is named {cell!r}; cells: {', '.join(self._zeros)}")
        return cell if generation > 0 else f"shared/{self._zeros[cell]}"

    @cached_property
    def _zeros(self) -> dict[str, str]:
        return dict(zip(self.cells["cell"], self.cells["zero"], strict=True))

    def _table(self, step: str, scope: str, generation: int) -> pd.DataFrame:
        if not self.store.has_table(step, scope, generation):
            return pd.DataFrame()
        frame: pd.DataFrame = self.store.read_table(step, scope, generation).to_pandas()
        return frame


def _as_written(store: FolderStore, document: Mapping[str, Any], cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return the cells with the addresses that the run was written with; rules for ids may have changed since."""
    if "cells" not in document:
        raise StoreError(f"{store}/run.json: damaged: it lists no cells; restore the file from a copy")
    zeros = {entry["cell"]: entry["zero"] for entry in document["cells"]}
    if zeros.keys() != {cell.name for cell in cells}:
        raise StoreMismatch(
            f"{store}: experiment.yaml describes other cells than run.json lists; it was changed after the run was "
            "begun, or this version of crossfeed reads it differently"
        )
    return tuple(replace(cell, written_zero=zeros[cell.name]) for cell in cells)


def points_of(cells: tuple[Cell, ...], seeds: int) -> pd.DataFrame:
    """Return the grid points of an experiment's cells, one cell per seed at each point; see `Run.points`.

    Args:
        cells: All cells, seeds varying fastest.
        seeds: Number of seeds.
    """
    rows = []
    for cell in cells[::seeds]:
        ecosystem = cell.experiment.ecosystem
        row = {"alpha": _alpha(ecosystem), "beta": _schedule(ecosystem.beta)}
        for path, value in cell.point.items():
            if path not in ("ecosystem.alpha", "ecosystem.beta"):
                row[path] = value if isinstance(value, int | float | str) else in_words(value)
        rows.append(row)
    return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="point"), dtype=object)


def _alpha(ecosystem: Ecosystem) -> float | str:
    if ecosystem.update == "replace":
        return 1.0
    if ecosystem.alpha is None:
        return "proportional" if ecosystem.update == "accumulate" else "own"
    return _schedule(ecosystem.alpha)


def _schedule(value: float | str | tuple[float, ...]) -> float | str:
    return ", ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else value


def _failures(store: FolderStore, cells: tuple[Cell, ...]) -> pd.DataFrame:
    failed = set(store.documents("failures"))
    named = (cell.name for cell in cells if failure_of(cell) in failed)
    documents = [document for name in named if (document := read_failure(store, name))]
    return pd.DataFrame(
        [[document.get(name) for name in _FAILURE_COLUMNS] for document in documents],
        columns=pd.Index(_FAILURE_COLUMNS),
        dtype=object,
    )


def _left_out(store: FolderStore, cells: pd.DataFrame) -> pd.DataFrame:
    named = cells.loc[cells["state"] == "forecast", "cell"]
    documents = [(name, document) for name in named if (document := read_left_out(store, name))]
    rows = [(name, document["half_width"], document["threshold"]) for name, document in documents]
    return pd.DataFrame(rows, columns=pd.Index(["cell", "half_width", "threshold"]))


def _cells(
    cells: tuple[Cell, ...],
    position: dict[str, int],
    records: pd.DataFrame,
    failures: pd.DataFrame,
    known: set[str],
) -> pd.DataFrame:
    reached = records.groupby("cell")["generation"].max().to_dict()
    failed = set(failures["cell"])
    rows = []
    for cell in cells:
        last = int(reached.get(cell.name, -1))
        if cell.name in failed:
            state = "failed"
        elif last == cell.experiment.generations:
            state = "finished"
        else:
            state = "forecast" if left_out_of(cell.name) in known else "unfinished"
        rows.append((cell.name, cell.seed, position[cell.name], cell.zero, last, state))
    return pd.DataFrame(rows, columns=pd.Index(["cell", "seed", "point", "zero", "reached", "state"]))


def shares(run: Run) -> pd.DataFrame:
    """Return the grid points whose ``alpha`` and ``beta`` are numbers: schedules are in no table of the paper.

    Args:
        run: The run.
    """
    numbers: pd.DataFrame = run.points[["alpha", "beta"]].apply(pd.to_numeric, errors="coerce")
    return numbers.dropna().astype(float)
