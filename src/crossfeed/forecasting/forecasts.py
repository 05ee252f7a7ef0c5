"""Forecasts of all cells of a seed, from everything that a run's store knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.forecasting.answer import LOSS, METRICS, Basis, Best, Cost, Fit, Forecast
from crossfeed.forecasting.bands import NORMAL_80, band_deviation
from crossfeed.forecasting.geometric import extrapolated
from crossfeed.forecasting.identification import Identified, identify
from crossfeed.forecasting.mixes import best_common, best_own
from crossfeed.forecasting.observations import Observations, Path
from crossfeed.forecasting.stored import Known
from crossfeed.protocols import Array, Store
from crossfeed.records import with_coordinates

__all__ = ["ProbedCells", "forecast_of", "notes_on"]

ProbedCells = Sequence[tuple[Cell, int]]
"""Cells that were probed, each with the number of its generations."""

_POOR: Final = 0.045
"""A misfit above which bands are too narrow: of the held-out runs of docs/forecast.md the two above it had half of the
true values and less in their bands, those below it three quarters and more."""


def forecast_of(
    experiment: Experiment, known: Known, store: Store, probed: ProbedCells, cost: Cost, *, best: bool = True
) -> Forecast:
    """Forecast all cells of a seed.

    Args:
        experiment: The experiment.
        known: What is known of the cells of the seed.
        store: The store of the run.
        probed: The cells that were probed.
        cost: What that cost.
        best: Search the best mixes as well.

    Returns:
        The forecast.

    Raises:
        InvalidInput: Generation 0 is not measured yet.
    """
    grid = {cell.name for cell in known.cells}
    more = [cell for cell, _ in probed if cell.name not in grid]
    tables, fits, notes, mixes = [], [], [], None
    for metric in METRICS:
        if metric not in experiment.metrics:
            continue
        observations = known.observations(store, metric, more)
        if not observations.paths:
            continue
        identified = identify(observations)
        errors = _held_out(known, store, metric, probed) if metric == LOSS else None
        fits.append(
            Fit(
                metric=metric,
                parameters=len(identified.parameters),
                observations=observations.count,
                misfit=identified.misfit,
                seconds=identified.seconds,
                measured_error=None if errors is None else errors[0],
                geometric_error=None if errors is None else errors[1],
            )
        )
        tables += _tables(experiment, known, store, metric, identified)
        if metric == LOSS:
            notes += notes_on(identified)
            if best:
                mixes = _mixes(identified, known)
    return Forecast(
        experiment=experiment,
        seed=known.cells[0].seed,
        table=pa.concat_tables(tables),
        fits=tuple(fits),
        best_common=None if mixes is None else mixes[0],
        best_own=None if mixes is None else mixes[1],
        cost=cost,
        notes=tuple(notes),
    )


def _mixes(identified: Identified, known: Known) -> tuple[Best, Best]:
    first = known.cells[0]
    like = known.conditions(first)
    common = best_common(identified, like, first.experiment, known.own)
    return common, best_own(identified, like, first.experiment, known.own, common)


def notes_on(identified: Identified) -> list[str]:
    """Return sentences on what may be wrong with all that a surrogate says.

    Args:
        identified: The surrogate.
    """
    notes = []
    if identified.misfit > _POOR:
        notes.append(
            f"the surrogate misses the losses that it was identified from by {100 * identified.misfit:.1f} % (root "
            "mean square); where that was so much, bands of 80 % held half of the true values and less"
        )
    if len(identified.observations.initial.marks) == 1:
        notes.append(
            "generation 0 was trained without being looked at on the way; what its learning curve would tell is missing"
        )
    return notes


def _tables(experiment: Experiment, known: Known, store: Store, metric: str, identified: Identified) -> list[pa.Table]:
    """Return one table for each cell."""
    conditions = [known.conditions(cell) for cell in known.cells]
    ecology = identified.observations.ecology
    forecasts, deviations = identified.forecast(conditions), identified.deviations(conditions)
    measured = known.observations(store, metric)
    paths = _by_cell(known, store, measured)
    tables = []
    for cell, own, losses, fitted in zip(known.cells, conditions, forecasts, deviations, strict=True):
        path = paths.get(cell.name)
        there = np.full(losses.shape, np.nan)
        there[0] = measured.first
        for t, curve in enumerate(() if path is None else path.curves, start=1):
            there[t] = curve.losses[-1]
        reached = 0 if path is None else len(path.curves)
        neglects = own.neglects(ecology.own, ecology.public)
        anchored = losses * np.where(np.isfinite(there[reached]), there[reached] / losses[reached], 1.0)
        moved = np.abs(np.log(anchored / np.where(np.isfinite(there[reached]), there[reached], anchored)))
        # What the parameters leave open is known up to the last measured generation.
        open_variance = np.maximum(fitted**2 - fitted[reached] ** 2, 0)
        deviation = band_deviation(np.sqrt(open_variance), moved, neglects=neglects)
        values = np.where(np.isfinite(there), there, anchored)
        geometric = _geometric(there, cell.experiment.generations)
        rows = _rows(known, metric, values, deviation, there, losses, geometric, neglects, ecology.guess)
        tables.append(with_coordinates(rows, cell, experiment))
    return tables


def _by_cell(known: Known, store: Store, observations: Observations) -> dict[str, Path]:
    """Return the paths of the grid's cells by name; those without a measured generation are missing."""
    names = [cell.name for cell in known.cells if known.reached(store, cell) > 0]
    return dict(zip(names, observations.paths, strict=True))


def _geometric(measured: Array, generations: int) -> Array:
    """Return geometric extrapolation of what is measured; nan where there is none, and up to generation 2."""
    geometric = np.full(measured.shape, np.nan)
    if generations > 2:
        geometric[3:] = extrapolated(measured[:3], generations)[3:]
    return geometric


def _rows(
    known: Known,
    metric: str,
    values: Array,
    deviation: Array,
    measured: Array,
    surrogate: Array,
    geometric: Array,
    neglects: bool,
    guess: float | None,
) -> pa.Table:
    """Return a cell's numbers as a table without the cell's own columns."""
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS.names}
    basis: Basis = "extrapolated" if neglects else "forecast"
    forgetting = "extrapolated forgetting" if neglects else ""
    for t in range(len(values)):
        for k, model in enumerate(known.entities):
            for s, task in enumerate(known.tasks):
                value, spread = float(values[t, k, s]), float(np.exp(NORMAL_80 * deviation[t, k, s]))
                if not np.isfinite(value):
                    continue  # this entity is not measured on this task
                is_measured = bool(np.isfinite(measured[t, k, s]))
                remark = "" if is_measured else forgetting
                remark = "not learned" if guess is not None and value > guess else remark
                row = {
                    "generation": t,
                    "model": model,
                    "task": task,
                    "metric": metric,
                    "value": value,
                    "lower": value if is_measured else value / spread,
                    "upper": value if is_measured else value * spread,
                    "basis": "measured" if is_measured else basis,
                    "remark": remark,
                    "surrogate": float(surrogate[t, k, s]),
                    "geometric": float(geometric[t, k, s]) if np.isfinite(geometric[t, k, s]) else None,
                }
                for name, each in row.items():
                    columns[name].append(each)
    return pa.table(columns, schema=_COLUMNS)


_COLUMNS: Final = pa.schema(
    [
        ("generation", pa.int64()),
        ("model", pa.string()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("basis", pa.string()),
        ("remark", pa.string()),
        ("surrogate", pa.float64()),
        ("geometric", pa.float64()),
    ]
)


def _held_out(known: Known, store: Store, metric: str, probed: ProbedCells) -> tuple[float, float] | None:
    """Return median relative errors on the last losses of finished cells, identified from the probes alone.

    Returns:
        Those of the surrogate and of geometric extrapolation of each cell's first two generations; None if no cell is
        finished that is no probe, or if there are too few generations to extrapolate.
    """
    probes = {cell.name: generations for cell, generations in probed}
    last = known.cells[0].experiment.generations
    finished = [
        cell
        for cell in known.cells
        if known.reached(store, cell) == cell.experiment.generations > 2 and cell.name not in probes
    ]
    if not probes or not finished or last <= 2:
        return None
    everything = known.observations(store, metric)
    paths = _by_cell(known, store, everything)
    identified = identify(known.observations(store, metric, [cell for cell, _ in probed], only=probes))
    errors, geometric = [], []
    for cell, losses in zip(finished, identified.forecast([known.conditions(cell) for cell in finished]), strict=True):
        measured = np.stack([everything.first, *(curve.losses[-1] for curve in paths[cell.name].curves)])
        kept = np.isfinite(measured[-1])
        errors.append(np.abs(losses[-1] / measured[-1] - 1)[kept])
        baseline = extrapolated(measured[:3], cell.experiment.generations)
        geometric.append(np.abs(baseline[-1] / measured[-1] - 1)[kept])
    return float(np.median(np.concatenate(errors))), float(np.median(np.concatenate(geometric)))
