"""Forecasts made by hand: numbers that look like those of a small grid, and no model behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.reading import read_preset
from crossfeed.forecasting.answer import Best, Cost, Fit, Forecast
from crossfeed.protocols import PUBLIC
from crossfeed.records import with_coordinates

GRID = ("grid={ecosystem.alpha: [0, 0.5, 1], ecosystem.beta: [0.2, 0.5, 1]}", "generations=6")
GUESSING = math.log(1024)

Row = dict[str, Any]


def made(
    *overrides: str,
    preset: str = "quickstart",
    measured: Sequence[int] = (1, 4),
    metrics: Sequence[str] = ("loss", "completion_loss"),
    errors: tuple[float | None, float | None] = (0.034, 0.043),
    notes: tuple[str, ...] = ("The public data are trained on by nobody at beta = 1.",),
) -> Forecast:
    """A forecast of a preset; cells at some positions are measured, and those without data of a task extrapolated."""
    experiment = Experiment.from_yaml(read_preset(preset), overrides or GRID)
    seed = experiment.seeds[0]
    cells = [cell for cell in experiment.cells() if cell.seed == seed]
    parts = [_of_cell(cell, experiment, metrics, number in measured) for number, cell in enumerate(cells)]
    names = experiment.ecosystem.names
    own = {name: 0.4 + 0.3 * place / len(names) for place, name in enumerate(names)}
    return Forecast(
        experiment=experiment,
        seed=seed,
        table=pa.concat_tables(parts),
        fits=tuple(Fit(name, 36, 412, 0.021, 1.7, *errors) for name in metrics),
        best_common=Best(dict.fromkeys(names, 0.62), dict.fromkeys(names, 0.55), 2.05, 1.93, 2.18, 2.43),
        best_own=Best(own, dict.fromkeys(names, 0.6), 2.01, 1.88, 2.15, 2.43),
        cost=Cost(4.4, 2.0, 48.0, 22.4),
        notes=notes,
    )


def _of_cell(cell: Cell, experiment: Experiment, metrics: Sequence[str], measured: bool) -> pa.Table:
    rows = [row for metric in metrics for row in _rows(cell, metric, measured)]
    keys = ("generation", "model", "task", "metric", "value")
    table = with_coordinates(pa.table({name: [row[name] for row in rows] for name in keys}), cell, experiment)
    for name, kind in (
        *((name, pa.float64()) for name in ("lower", "upper")),
        *((name, pa.string()) for name in ("basis", "remark")),
        *((name, pa.float64()) for name in ("surrogate", "geometric")),
    ):
        table = table.append_column(name, pa.array([row[name] for row in rows], kind))
    return table


def _rows(cell: Cell, metric: str, measured: bool) -> list[Row]:
    ecosystem = cell.experiment.ecosystem
    owned = {entity.name: entity.private for entity in ecosystem.entities}
    unowned = [task for task in cell.experiment.tasks if task not in owned.values()]
    everybody = cell.experiment.measured == "all"
    rows = []
    for place, name in enumerate(ecosystem.names):
        tasks = [*cell.experiment.tasks] if everybody else [owned[name], *unowned]
        for number, task in enumerate([*tasks, PUBLIC]):
            kind = "own" if task == owned[name] else "public" if task == PUBLIC else "other"
            alphas = [float(ecosystem.alphas(max(t, 1))[place]) for t in range(cell.experiment.generations + 1)]
            beta = float(ecosystem.betas(1)[place])
            smooth = _smooth(kind, alphas, beta, 0.07 * place + 0.11 * number + (0.4 if metric == "loss" else 0.0))
            rows += _curve(name, task, metric, smooth, measured, _extrapolated(kind, alphas[-1], beta))
    return rows


def _extrapolated(kind: str, alpha: float, beta: float) -> bool:
    return alpha == 1.0 or beta in (0.0, 1.0)


def _smooth(kind: str, alphas: Sequence[float], beta: float, shift: float) -> list[float]:
    t = np.arange(len(alphas))
    settle = 1 - 0.55**t
    mean = np.cumsum([0.0, *alphas[1:]]) / np.maximum(t, 1)
    if kind == "own":
        values = 1.6 + shift + settle * (1.3 * (mean - 0.6) ** 2 + 0.4 * (beta - 0.6) ** 2 + 0.1)
    elif kind == "other":
        values = 8.0 + shift - settle * mean * 5.5
    else:
        values = 3.2 + shift + settle * (1.2 * beta - 0.5 + 0.8 * mean)
    return [float(value) for value in values]


def _curve(
    model: str, task: str, metric: str, smooth: Sequence[float], measured: bool, extrapolated: bool
) -> list[Row]:
    rows = []
    for t, surrogate in enumerate(smooth):
        known = measured or t == 0
        value = surrogate * (1 + 0.02 * math.sin(3 * t + len(task))) if known else surrogate
        half = 0.0 if known else value * (0.24 if extrapolated else 0.1) * math.sqrt(t / len(smooth))
        remark = "extrapolated forgetting" if extrapolated and not known else ""
        geometric = None
        if measured and t > 1:
            ratio = 0.6
            geometric = smooth[0] + (smooth[1] - smooth[0]) * (1 - ratio**t) / (1 - ratio)
        rows.append(
            {
                "generation": t,
                "model": model,
                "task": task,
                "metric": metric,
                "value": value,
                "lower": value - half,
                "upper": value + half,
                "basis": "measured" if known else "extrapolated" if extrapolated else "forecast",
                "remark": "not learned" if value > GUESSING and not known else remark,
                "surrogate": surrogate,
                "geometric": geometric,
            }
        )
    return rows
