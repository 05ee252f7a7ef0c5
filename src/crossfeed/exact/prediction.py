"""The exact prediction of an experiment: the description that `crossfeed run` takes, with nothing simulated.

It consists of two tables: `Prediction.records`, the moments of generations 0 to T with the columns that a run's records
have, and `Prediction.limit`, the long run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.notebook import page
from crossfeed.errors import InvalidInput
from crossfeed.exact.curated import REWARD, curated_limit, curated_numbers
from crossfeed.exact.discrete import HETEROZYGOSITY, SURVIVORS, discrete_limit, discrete_numbers
from crossfeed.exact.discrete_ecosystem import is_discrete
from crossfeed.exact.linear_ecosystem import RegressionData, linear_ecosystem, settled_from, settled_weights
from crossfeed.protocols import PUBLIC, Array
from crossfeed.records import coordinates, is_numeric, values_of
from crossfeed.tasks.regression import RegressionTask
from crossfeed.theory import Limit, LinearEcosystem
from crossfeed.theory.error_quantiles import BANDS, ErrorLaw, replicates
from crossfeed.theory.grams import Grams
from crossfeed.theory.memory_limit import PastDecides
from crossfeed.theory.sources import feature_source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prediction", "long_run", "predict"]

Numbers = Iterator[tuple[str, Any]]
#: A table as plain columns: programs read it without the time that loading pandas takes.
Columns = dict[str, list[Any]]

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
        tables: The columns of `records` and of `limit`.
    """

    experiment: Experiment
    tables: Mapping[str, Columns]

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per number: ``cell, seed, alpha, beta, generation, model, task, metric, value``, the grid's fields.

        Metrics: ``mse``, ``bias_squared``, ``variance`` (each entity, its own truth; task: its own), ``mspe`` (each
        entity on each task: E |X (theta - theta*)|^2), ``loss`` (mspe over the rows of X: a run's metric of that
        name), ``dispersion`` (all entities); and of the last generation ``error_q05``, ``error_q50``, ``error_q95`` and
        ``error_deviation``: quantiles and standard deviation of |theta - theta*|^2 in one replicate, whose mean is the
        MSE (`crossfeed.theory.error_quantiles`); features and truths are given. Of discrete models, those of
        `crossfeed.exact.discrete`.
        """
        return self._frame("records")

    @property
    def final(self) -> pd.DataFrame:
        """The `records` of each cell's own last generation, which a grid may vary."""
        ends = self.records.groupby("cell")["generation"].transform("max")
        return self.records[self.records["generation"] == ends]

    @cached_property
    def limit(self) -> pd.DataFrame:
        """One row per number, with ``law`` in place of the generation.

        A cell whose law is ``limit`` has the same metrics as `records` and ``relative_efficiency``; another law is that
        of the errors' growth, with ``rate`` (see `crossfeed.theory.Growth`), efficiencies of 0 and, under linear
        growth, each entity's ``variance_growth`` per generation. ``schedule``: the weights never settle, or settle
        where the limit depends on their past, and none is computed. ``spectral_radius`` is given wherever weights
        settle. Of discrete models: where they come to rest (`crossfeed.exact.discrete`, `curated`), if they do.
        """
        return self._frame("limit")

    def _frame(self, name: str) -> pd.DataFrame:
        import pandas as pd

        first = self.experiment.cells()[0]
        fields = ["ecosystem.alpha", "ecosystem.beta", *self.experiment.grid]
        numbers = {path: "float64" for path in fields if is_numeric(values_of(path, first, self.experiment))}
        kinds = {"seed": "int64", "generation": "int64", "alpha": "float64", "beta": "float64", "value": "float64"}
        frame = pd.DataFrame(self.tables[name])
        return frame.astype({column: kind for column, kind in (numbers | kinds).items() if column in frame})

    def replicates(self) -> pd.DataFrame:
        """Return how many replicates of a run tell two cells apart by a model's error at the last generation.

        Returns:
            ``cell, other, model, replicates`` for all pairs of cells of the first seed: the number in each cell at
            which the difference of mean errors is 2.8 of its standard errors, so that it is found significant at 5 % in
            four of five runs; infinite where the expected errors are equal.
        """
        import pandas as pd

        last = self.final[self.final["seed"] == self.experiment.seeds[0]]
        laws = last[last["metric"].isin(["mse", "error_deviation"])]
        rows = []
        for model, own in laws.groupby("model", sort=False):
            known = {metric: part.set_index("cell")["value"] for metric, part in own.groupby("metric")}
            mean, deviation = (known[metric] for metric in ("mse", "error_deviation"))
            for one, other in itertools.combinations(mean.index, 2):
                first, second = ((float(mean[cell]), float(deviation[cell]) ** 2) for cell in (one, other))
                rows.append((one, other, model, replicates(first, second)))
        return pd.DataFrame(rows, columns=["cell", "other", "model", "replicates"])

    def __repr__(self) -> str:
        cells, ends = len(self.experiment.cells()), " or ".join(map(str, self.experiment.ends))
        return f"Prediction({self.experiment.name!r}, cells: {cells}, generations: {ends})"

    def _repr_html_(self) -> str:
        if is_discrete(self.experiment):
            return self._discrete_html()
        limit = self.limit[self.limit["seed"] == self.experiment.seeds[0]]
        cells = limit.drop_duplicates("cell").set_index("cell")
        table = cells[[*self.experiment.grid, "law"]].copy()
        for title, metric, how in _SHOWN:
            table[title] = limit[limit["metric"] == metric].groupby("cell")["value"].agg(how)
        return self._page(len(cells), {"In the limit": _columns(table)})

    def _discrete_html(self) -> str:
        last = self.final[self.final["seed"] == self.experiment.seeds[0]]
        shown = last[last["metric"].isin([HETEROZYGOSITY, SURVIVORS, f"{SURVIVORS}_lower", REWARD])]
        keys = ["cell", *self.experiment.grid, "metric"]
        means = shown.groupby(keys, sort=False, dropna=False)[["value"]].mean().reset_index()
        return self._page(means["cell"].nunique(), {"At the last generation, mean of the models": _columns(means)})

    def _page(self, cells: int, tables: Mapping[str, Columns]) -> str:
        facts = {
            "models": len(self.experiment.ecosystem.names),
            "generations": f"0 to {self.experiment.generations}",
            "cells": cells,
        }
        return page(f"Prediction of {self.experiment.name} ({self.experiment.id}), exact", facts, dict(tables))


def _columns(table: pd.DataFrame) -> Columns:
    return {str(name): column.tolist() for name, column in table.items()}


def predict(experiment: Experiment) -> Prediction:
    """Predict every generation and the limit of every cell; the numbers are exact, and nothing is simulated.

    Cells that differ in their seed only have the same numbers, which are expectations over seeds.

    Args:
        experiment: An experiment with the linear learner and regression tasks, or with the categorical learner and
            tasks.

    Returns:
        The moments of generations 0 to T; of linear models the limits, too.

    Raises:
        InvalidDescription: The description has no exact theory; the message states what to give instead.
        DataUnavailable: Features cannot be read.
    """
    data = RegressionData()
    known: dict[str, tuple[Columns, Columns]] = {}
    records, limits = [], []
    for cell in experiment.cells():
        key = str(list(cell.point.values()))
        if key not in known:
            known[key] = _cell_tables(cell, data)
        moments, limit = known[key]
        records.append(_placed(moments, cell, experiment))
        limits.append(_placed(limit, cell, experiment, of_limit=True))
    return Prediction(experiment, {"records": _joined(records), "limit": _joined(limits)})


def _joined(tables: Sequence[Columns]) -> Columns:
    return {name: list(itertools.chain.from_iterable(table[name] for table in tables)) for name in tables[0]}


def _cell_tables(cell: Cell, data: RegressionData) -> tuple[Columns, Columns]:
    experiment = cell.experiment
    if is_discrete(experiment):
        labels = _Labels.of(experiment)
        chosen = experiment.ecosystem.preferences is not None
        found = curated_limit(experiment) if chosen else discrete_limit(experiment)
        limit = labels.table([(name, values, 0) for name, values in found or ()])
        path = curated_numbers(experiment) if chosen else discrete_numbers(experiment)
        return labels.table(path), _with_law(limit, "limit")
    eco, named = linear_ecosystem(experiment, data), data.of(experiment)
    labels = _Labels.of(experiment)
    tasks = _Tasks.of(named)
    generations = range(experiment.generations + 1)
    moments = eco.moments(list(generations))
    numbers = {name: getattr(moments, name) for name in ("mse", "bias_squared", "variance", "dispersion")}
    numbers["mspe"] = moments.mspe(tasks.grams, tasks.truths)
    numbers["loss"] = numbers["mspe"] / tasks.rows
    rows = [(metric, values[t], t) for t in generations for metric, values in numbers.items()]
    last = eco.moments([experiment.generations])
    rows += [
        (name, values, experiment.generations) for name, values in _error_law(eco, last.mean[0], last.covariance[0])
    ]
    return labels.table(rows), _limit_table(experiment.ecosystem, eco, labels, tasks)


def _error_law(eco: LinearEcosystem, mean: Array, covariance: Array) -> Numbers:
    """Yield quantiles and standard deviation of every entity's squared error in one replicate."""
    there: NDArray[np.bool_] = np.isfinite(covariance[:, 0, 0])  # numbers of an entity that is absent are nan
    law = ErrorLaw.of((mean - eco.truths)[there], covariance[there])
    for probability, values in zip(BANDS, law.quantiles(BANDS), strict=True):
        yield f"error_q{100 * probability:02.0f}", _of_all(values, there)
    yield "error_deviation", _of_all(np.sqrt(law.variance), there)


def _of_all(values: Array, there: NDArray[np.bool_]) -> Array:
    """Return one number for each entity, nan for those that are absent."""
    of_all = np.full(len(there), np.nan)
    of_all[there] = values
    return of_all


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

    @classmethod
    def of(cls, experiment: Experiment) -> _Labels:
        """Return the names of an experiment."""
        own = tuple(next(iter(entity.owned)) for entity in experiment.ecosystem.entities)
        return cls(experiment.ecosystem.names, own, (*experiment.tasks, PUBLIC))

    def table(self, rows: Sequence[tuple[str, Array | float, int]]) -> Columns:
        """Return numbers as columns, a row each; columns without a model or task of their own are empty.

        Args:
            rows: A metric, its numbers and their generation; those of an entity that is absent are nan.
        """
        columns: Columns = {"generation": [], "model": [], "task": [], "metric": [], "value": []}
        for metric, values, generation in rows:
            array = np.asarray(values, dtype=np.float64)
            models, tasks = self._places[array.ndim]
            columns["generation"] += [generation] * array.size
            columns["model"] += models
            columns["task"] += tasks
            columns["metric"] += [metric] * array.size
            columns["value"] += array.ravel().tolist()
        return columns

    @cached_property
    def _places(self) -> tuple[tuple[list[str], list[str]], ...]:
        """Models and tasks of arrays of no, one and two axes."""
        crossed = [model for model in self.models for _ in self.tasks], list(self.tasks) * len(self.models)
        return ([""], [""]), (list(self.models), list(self.own)), crossed


def long_run(ecosystem: Ecosystem, eco: LinearEcosystem) -> tuple[str, LinearEcosystem, Limit] | None:
    """Return the long run of an ecosystem.

    Args:
        ecosystem: The description.
        eco: The theory's description of it (`linear_ecosystem`).

    Returns:
        The law (`Prediction.limit`), the ecosystem with its lasting weights, and its limit; None if the weights never
        settle, models that go on from generation to generation keep what the first ones said for ever, or a network
        has no limit in closed form.
    """
    settled = settled_weights(ecosystem)
    if settled is None:
        return None
    last = eco if eco.constant else eco.with_weights(*settled)
    try:
        limit = last.limit()
    except PastDecides:
        return None
    except InvalidInput:
        if eco.specification.network is None:
            raise
        return None
    law: str = "limit" if limit.growth is None else limit.growth.law
    if law == "limit" and not eco.constant and limit.spectral_radius > 1 - _BOUNDARY:
        law = "schedule"
    return law, last, limit


def _limit_table(ecosystem: Ecosystem, eco: LinearEcosystem, labels: _Labels, tasks: _Tasks) -> Columns:
    settled = long_run(ecosystem, eco)
    if settled is None:
        return _with_law(labels.table([]), "schedule")
    law, last, limit = settled
    numbers = {"limit": _limit_numbers, "schedule": _no_numbers}.get(law, _growth_numbers)
    late = settled_from(ecosystem) or 0
    named = [("spectral_radius", limit.spectral_radius), *numbers(last, limit, tasks)]
    return _with_law(labels.table([(metric, values, late) for metric, values in named]), law)


def _with_law(table: Columns, law: str) -> Columns:
    return table | {"law": [law] * len(table["value"])}


def _limit_numbers(eco: LinearEcosystem, limit: Limit, tasks: _Tasks) -> Numbers:
    for name in ("mse", "bias_squared", "variance", "dispersion"):
        yield name, getattr(limit, name)
    mspe = limit.mspe(tasks.grams, tasks.truths)
    yield "mspe", mspe
    yield "loss", mspe / tasks.rows
    yield "relative_efficiency", eco.relative_efficiency()
    yield from _error_law(eco, limit.mean, limit.covariance)


def _growth_numbers(eco: LinearEcosystem, limit: Limit, tasks: _Tasks) -> Numbers:
    assert limit.growth is not None  # noqa: S101 - for the type checker; called only where there is no limit
    yield "rate", limit.growth.rate
    yield "relative_efficiency", np.zeros(eco.entities)
    if limit.growth.drift is not None:
        yield "variance_growth", limit.variance_growth


def _no_numbers(eco: LinearEcosystem, limit: Limit, tasks: _Tasks) -> Numbers:
    yield from ()


def _placed(table: Columns, cell: Cell, experiment: Experiment, *, of_limit: bool = False) -> Columns:
    """Return a table with the columns of a run's records; of a limit, with the law in place of the generation."""
    placed = coordinates(table["generation"], table["model"], cell, experiment)
    fields = {name: placed.pop(name) for name in ("cell", "seed", "alpha", "beta")}
    own = {"law": table["law"]} | table if of_limit else table
    return fields | {name: values for name, values in own.items() if not (of_limit and name == "generation")} | placed
