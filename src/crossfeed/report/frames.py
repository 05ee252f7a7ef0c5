"""A run folder, opened: what was described, and what came of it as tables.

::

    run = Run.load(Path("runs/quickstart-1234"))
    change(run.records, "loss").merge(run.points, on="point")
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.ecosystem import Ecosystem
from crossfeed.errors import StoreError, StoreMismatch
from crossfeed.experiment import Cell, Experiment
from crossfeed.records import collect, scope_of
from crossfeed.store.disk import DiskStore
from crossfeed.store.schema import check_document

__all__ = ["Run"]

_FAILURE_COLUMNS = ("cell", "stage", "generation", "type", "message")
_PROJECTION_COLUMNS = ("cell", "seed", "generation", "model", "task", "item", "x", "y", "point")


@dataclass(frozen=True)
class Run:
    """A run as it is on disk right now: finished, under way, stopped, or partly failed.

    Attributes:
        folder: Where it lives.
        experiment: The description.
        environment: Where it was made; empty before the first cell has begun.
        records: One row a number, as in ``records.parquet``, and ``point``: the position in `points`.
        points: The grid's points, indexed by ``point``: ``alpha``, ``beta``, then other grid fields by path. A schedule
            is shown as text here; in `records`, ``alpha`` and ``beta`` are those in force at the generation.
        cells: ``cell, seed, point, zero, reached`` (the last measured generation, -1 for none) and ``state``:
            ``finished``, ``failed`` or ``unfinished``.
        failures: ``cell, stage, generation, type, message`` of every failed cell.
    """

    folder: Path
    experiment: Experiment
    environment: dict[str, Any]
    records: pd.DataFrame
    points: pd.DataFrame
    cells: pd.DataFrame
    failures: pd.DataFrame

    @classmethod
    def load(cls, path: Path) -> Run:
        """Open a run folder.

        Args:
            path: The folder; the run may still be going on.

        Raises:
            StoreError: It is not a run's folder, or it is damaged.
            NewerSchema: It was written by a newer crossfeed.
        """
        path = Path(path)
        store = DiskStore(path)
        experiment = _described(path, store)
        cells = experiment.cells()
        records = collect(store, experiment, cells).to_pandas()
        position = {cell.name: number // len(experiment.seeds) for number, cell in enumerate(cells)}
        records["point"] = records["cell"].map(position).astype("int64")
        failures = _failures(store, cells)
        return cls(
            folder=path,
            experiment=experiment,
            environment=store.read_document("environment") or {},
            records=records,
            points=_points(cells, len(experiment.seeds)),
            cells=_cells(cells, position, records, failures),
            failures=failures,
        )

    @cached_property
    def projection(self) -> pd.DataFrame:
        """2-D coordinates of outputs, with ``point``; empty if not measured, or not yet (they come at the end)."""
        path = self.folder / "projection.parquet"
        if not path.is_file():
            return pd.DataFrame({name: [] for name in _PROJECTION_COLUMNS})
        return _read(path).merge(self.cells[["cell", "point"]], on="cell")

    def outputs(self, cell: str, generation: int) -> pd.DataFrame:
        """Completions of test prompts, ``model, task, item, prompt, completion, ...``; empty if there are none.

        Args:
            cell: A cell's name.
            generation: The generation.
        """
        frame = self._table("outputs", self._scope(cell, generation), generation)
        return frame.drop(columns="embedding", errors="ignore")

    def pool(self, cell: str, generation: int) -> pd.DataFrame:
        """What was published, with provenance (columns: `crossfeed.pool`); empty if there is nothing.

        Args:
            cell: A cell's name.
            generation: The generation t >= 1.
        """
        return self._table("pool", cell, generation)

    def _scope(self, cell: str, generation: int) -> str:
        known = self._by_name.get(cell)
        if known is None:
            raise StoreError(f"{self.folder}: no cell is named {cell!r}; cells: {', '.join(self._by_name)}")
        return scope_of(known, generation)

    @cached_property
    def _by_name(self) -> dict[str, Cell]:
        return {cell.name: cell for cell in self.experiment.cells()}

    def _table(self, step: str, scope: str, generation: int) -> pd.DataFrame:
        path = self.folder / step / scope / f"generation-{generation:03d}.parquet"
        return _read(path) if path.is_file() else pd.DataFrame()


def _described(path: Path, store: DiskStore) -> Experiment:
    document = store.read_document("run")
    if document is None:
        raise StoreError(f"{path}: not a crossfeed run (no run.json in it); give the folder that `crossfeed run` made")
    check_document(str(path), document)
    try:
        text = (path / "experiment.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / 'experiment.yaml'}: cannot be read ({error})") from error
    experiment = Experiment.from_yaml(text)
    if experiment.id != document.get("id"):
        raise StoreMismatch(
            f"{path}: experiment.yaml describes {experiment.id}, but the run is {document.get('id')}; it was changed "
            "after the run was begun, or this version of crossfeed reads it differently"
        )
    return experiment


def _read(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.ParquetFile(path).read().to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot be read ({error})") from error
    return frame


def _points(cells: tuple[Cell, ...], seeds: int) -> pd.DataFrame:
    rows = []
    for cell in cells[::seeds]:
        ecosystem = cell.experiment.ecosystem
        row = {"alpha": _alpha(ecosystem), "beta": _schedule(ecosystem.beta)}
        for path, value in cell.point.items():
            if path not in ("ecosystem.alpha", "ecosystem.beta"):
                row[path] = value if isinstance(value, int | float | str) else str(value)
        rows.append(row)
    return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="point"), dtype=object)


def _alpha(ecosystem: Ecosystem) -> float | str:
    if ecosystem.update == "replace":
        return 1.0
    return "proportional" if ecosystem.alpha is None else _schedule(ecosystem.alpha)


def _schedule(value: float | str | tuple[float, ...]) -> float | str:
    return ", ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else value


def _failures(store: DiskStore, cells: tuple[Cell, ...]) -> pd.DataFrame:
    found = [document for cell in cells if (document := store.read_document(f"failures/{cell.name}"))]
    return pd.DataFrame(
        [[document.get(name) for name in _FAILURE_COLUMNS] for document in found],
        columns=pd.Index(_FAILURE_COLUMNS),
        dtype=object,
    )


def _cells(
    cells: tuple[Cell, ...], position: dict[str, int], records: pd.DataFrame, failures: pd.DataFrame
) -> pd.DataFrame:
    reached = records.groupby("cell")["generation"].max().to_dict()
    failed = set(failures["cell"])
    rows = []
    for cell in cells:
        last = int(reached.get(cell.name, -1))
        finished = "finished" if last == cell.experiment.generations else "unfinished"
        state = "failed" if cell.name in failed else finished
        rows.append((cell.name, cell.seed, position[cell.name], cell.zero, last, state))
    return pd.DataFrame(rows, columns=pd.Index(["cell", "seed", "point", "zero", "reached", "state"]))
