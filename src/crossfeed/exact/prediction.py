"""The exact prediction of an experiment: the description that `crossfeed run` takes, with nothing simulated.

It consists of two tables: `Prediction.records`, the moments of generations 0 to T with the columns that a run's records
have, and `Prediction.limit`, the long run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.notebook import page
from crossfeed.exact.linear_ecosystem import RegressionData, linear_ecosystem, settled_from, settled_weights
from crossfeed.protocols import Array
from crossfeed.records import with_coordinates
from crossfeed.tasks.regression import RegressionTask
from crossfeed.theory import Limit, LinearEcosystem
from crossfeed.theory.grams import Grams
from crossfeed.theory.sources import feature_source

__all__ = ["Prediction", "long_run", "predict"]

Numbers = Iterator[tuple[str, Any]]

#: A limit whose spectral radius is nearer to one than this may depend on the first generations.
_BOUNDARY: Final = 1e-7
#: Columns of a limit in a notebook: title, metric, and the summary over the models.
_SHOWN: Final = (
    ("spectral radius", "spectral_radius", "max"),
    ("MSE, mean", "mse", "mean"),
    ("MSE, worst model", "mse", "max"),
    ("efficiency, mean", "relative_efficiency", "mean"),
)


@dataclass(frozen=True, repr=False)
class Prediction:
    """The theory's moments and limits of every cell of an experiment.

    Attributes:
        experiment: The experiment.
        records: One row per number: ``cell, seed, alpha, beta, generation, model, task, metric, value``, the point's
            ``ecosystem.alpha, ecosystem.beta`` and the grid's other fields. Metrics: ``mse``,
            ``bias_squared``, ``variance`` (each entity, its own truth; task: its own), ``mspe`` (each entity on each
            task: E |X (theta - theta*)|^2), ``loss`` (mspe over the rows of X: a run's metric of that name),
            ``dispersion`` (all entities).
        limit: One row per number, with ``law`` in place of the generation. A cell whose law is ``limit`` has the same
            metrics as above and ``relative_efficiency``; another law is that of the errors' growth, with ``rate`` (see
            `crossfeed.theory.Growth`), efficiencies of 0 and, under linear growth, each entity's ``variance_growth``
            per generation. ``schedule``: the weights never settle, or
            settle where the limit depends on their past, and none is computed. ``spectral_radius`` is given wherever
            weights settle.
    """

    experiment: Experiment
    records: pd.DataFrame
    limit: pd.DataFrame

    def __repr__(self) -> str:
        cells = len(self.experiment.cells())
        return f"Prediction({self.experiment.name!r}, cells: {cells}, generations: {self.experiment.generations})"

    def _repr_html_(self) -> str:
        limit = self.limit[self.limit["seed"] == self.experiment.seeds[0]]
        cells = limit.drop_duplicates("cell").set_index("cell")
        table = cells[[*self.experiment.grid, "law"]].copy()
        for title, metric, how in _SHOWN:
            table[title] = limit[limit["metric"] == metric].groupby("cell")["value"].agg(how)
        facts = {
            "models": len(self.experiment.ecosystem.names),
            "generations": f"0 to {self.experiment.generations}",
            "cells": len(cells),
        }
        title = f"Prediction of {self.experiment.name} ({self.experiment.id}), exact"
        return page(title, facts, {"In the limit": table.to_dict("list")})


def predict(experiment: Experiment) -> Prediction:
    """Predict every generation and the limit of every cell; the numbers are exact, and nothing is simulated.

    Cells that differ in their seed only have the same numbers, which are expectations over seeds.

    Args:
        experiment: An experiment with the linear learner and regression tasks.

    Returns:
        The moments of generations 0 to T and the limits.

    Raises:
        InvalidDescription: The description has no linear theory; the message states what to give instead.
        DataUnavailable: Features cannot be read.
    """
    data = RegressionData()
    known: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    records, limits = [], []
    for cell in experiment.cells():
        key = str(list(cell.point.values()))
        if key not in known:
            known[key] = _cell_tables(cell, data)
        moments, limit = known[key]
        records.append(_placed(moments, cell, experiment))
        limits.append(_placed_limit(limit, cell, experiment))
    return Prediction(experiment, pd.concat(records, ignore_index=True), pd.concat(limits, ignore_index=True))


def _cell_tables(cell: Cell, data: RegressionData) -> tuple[pd.DataFrame, pd.DataFrame]:
    experiment = cell.experiment
    eco, named = linear_ecosystem(experiment, data), data.of(experiment)
    labels = _Labels(experiment.ecosystem.names, tuple(e.private for e in experiment.ecosystem.entities), tuple(named))
    tasks = _Tasks.of(named)
    generations = range(experiment.generations + 1)
    moments = eco.moments(list(generations))
    numbers = {name: getattr(moments, name) for name in ("mse", "bias_squared", "variance", "dispersion")}
    numbers["mspe"] = moments.mspe(tasks.grams, tasks.truths)
    numbers["loss"] = numbers["mspe"] / tasks.rows
    tables = [
        labels.table(metric, values[t]).assign(generation=np.int64(t))
        for t in generations
        for metric, values in numbers.items()
    ]
    return pd.concat(tables, ignore_index=True), _limit_table(experiment.ecosystem, eco, labels, tasks)


@dataclass(frozen=True)
class _Tasks:
    """Tasks of prediction errors: M Grams with their features, truths (M, d), numbers of rows (M,)."""

    grams: Grams
    truths: Array
    rows: Array

    @classmethod
    def of(cls, data: Mapping[str, RegressionTask]) -> _Tasks:
        """Stack tasks, in order."""
        features = [each.features for each in data.values()]
        grams = feature_source(features, "tasks", None, features[0].shape[1])
        truths = np.array([each.truth for each in data.values()])
        return cls(grams, truths, np.array([float(len(X)) for X in features]))


@dataclass(frozen=True)
class _Labels:
    """Names of the axes of theory's arrays: (K,), (K, M) and ()."""

    models: Sequence[str]
    own: Sequence[str]
    tasks: Sequence[str]

    def table(self, metric: str, values: Array | float, generation: int = 0) -> pd.DataFrame:
        """Return the numbers of one metric, a row each; columns without a model or task of their own are empty."""
        array = np.asarray(values, dtype=np.float64)
        if array.ndim == 0:
            models, tasks = [""], [""]
        elif array.ndim == 1:
            models, tasks = list(self.models), list(self.own)
        else:
            models = [model for model in self.models for _ in self.tasks]
            tasks = list(self.tasks) * len(self.models)
        columns = {"model": models, "task": tasks, "metric": metric, "value": array.ravel()}
        return pd.DataFrame({"generation": np.full(array.size, generation), **columns})


def long_run(ecosystem: Ecosystem, eco: LinearEcosystem) -> tuple[str, LinearEcosystem, Limit] | None:
    """Return the long run of an ecosystem.

    Args:
        ecosystem: The description.
        eco: The theory's description of it (`linear_ecosystem`).

    Returns:
        The law (`Prediction.limit`), the ecosystem with its lasting weights, and its limit; None if the weights never
        settle.
    """
    settled = settled_weights(ecosystem)
    if settled is None:
        return None
    last = eco if eco.constant else eco.with_weights(*settled)
    limit = last.limit()
    law: str = "limit" if limit.growth is None else limit.growth.law
    if law == "limit" and not eco.constant and limit.spectral_radius > 1 - _BOUNDARY:
        law = "schedule"
    return law, last, limit


def _limit_table(ecosystem: Ecosystem, eco: LinearEcosystem, labels: _Labels, tasks: _Tasks) -> pd.DataFrame:
    settled = long_run(ecosystem, eco)
    if settled is None:
        return labels.table("spectral_radius", np.nan).assign(law="schedule").iloc[:0]
    law, last, limit = settled
    numbers = {"limit": _limit_numbers, "schedule": _no_numbers}.get(law, _growth_numbers)
    rows = [("spectral_radius", limit.spectral_radius), *numbers(last, limit, tasks)]
    return pd.concat([labels.table(*row) for row in rows], ignore_index=True).assign(law=law)


def _limit_numbers(eco: LinearEcosystem, limit: Limit, tasks: _Tasks) -> Numbers:
    for name in ("mse", "bias_squared", "variance", "dispersion"):
        yield name, getattr(limit, name)
    mspe = limit.mspe(tasks.grams, tasks.truths)
    yield "mspe", mspe
    yield "loss", mspe / tasks.rows
    yield "relative_efficiency", eco.relative_efficiency()


def _growth_numbers(eco: LinearEcosystem, limit: Limit, tasks: _Tasks) -> Numbers:
    assert limit.growth is not None  # noqa: S101 - for the type checker; called only where there is no limit
    yield "rate", limit.growth.rate
    yield "relative_efficiency", np.zeros(eco.entities)
    if limit.growth.drift is not None:
        yield "variance_growth", limit.variance_growth


def _no_numbers(eco: LinearEcosystem, limit: Limit, tasks: _Tasks) -> Numbers:
    yield from ()


def _placed(table: pd.DataFrame, cell: Cell, experiment: Experiment) -> pd.DataFrame:
    """Return a table with the columns of a run's records."""
    numbers = pa.Table.from_pandas(table, preserve_index=False)
    placed: pd.DataFrame = with_coordinates(numbers, cell, experiment).to_pandas()
    return placed


def _placed_limit(table: pd.DataFrame, cell: Cell, experiment: Experiment) -> pd.DataFrame:
    """Return a table with the law in place of the generation; alpha and beta are the lasting ones."""
    settled = settled_from(cell.experiment.ecosystem)
    late = cell.experiment.generations if settled is None else settled
    placed = _placed(table.assign(generation=late), cell, experiment)
    law = placed.pop("law")
    return placed.assign(generation=law).rename(columns={"generation": "law"})
