"""A forecast's table with the grid's points, and what is read off it: final losses, directions, regrets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from crossfeed.description.experiment import Experiment
from crossfeed.forecasting.answer import Forecast
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import points_of
from crossfeed.reporting.data.layout import ChangeTable, columns_of, lay_out
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.data.numbers import change, verdict

__all__ = ["KIND_NAMES", "NOT_LEARNED", "Framed", "common_basis", "kinds_of", "point_numbers"]

KIND_NAMES: Final = {"own": "own tasks", "other": "other models' tasks", "public": "public data"}
NOT_LEARNED: Final = "not learned"
"""The remark on a loss beyond that of guessing."""


def point_numbers(experiment: Experiment) -> dict[str, int]:
    """Return the number of each cell's grid point, by the cell's name; see `crossfeed.reporting.data.frames.Run`.

    Args:
        experiment: The experiment.
    """
    return {cell.name: place // len(experiment.seeds) for place, cell in enumerate(experiment.cells())}


def kinds_of(experiment: Experiment, frame: pd.DataFrame) -> pd.Series[str]:
    """Return whose task each row is of: ``own``, ``other`` or ``public``.

    Args:
        experiment: The experiment.
        frame: Rows with ``model`` and ``task``.
    """
    owned = {entity.name: next(iter(entity.owned)) for entity in experiment.ecosystem.entities}
    kinds = pd.Series("other", index=frame.index)
    kinds[frame["task"] == PUBLIC] = "public"
    kinds[frame["task"] == frame["model"].map(owned)] = "own"
    return kinds


def common_basis(bases: Iterable[str]) -> str:
    """Return what a mean rests on: ``measured`` if all of its parts are, ``extrapolated`` if any part is.

    Args:
        bases: The basis of each part.
    """
    known = set(bases)
    if "extrapolated" in known:
        return "extrapolated"
    return "measured" if known == {"measured"} else "forecast"


@dataclass(frozen=True, eq=False)
class Framed:
    """A forecast with its numbers as pandas tables.

    Attributes:
        forecast: The forecast.
    """

    forecast: Forecast

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The forecast's table with ``point`` (the position in `points`) and ``kind`` (see `kinds_of`)."""
        frame: pd.DataFrame = self.forecast.table.to_pandas()
        places = frame["cell"].map(point_numbers(self.forecast.experiment))
        return frame.assign(point=places, kind=kinds_of(self.forecast.experiment, frame))

    @cached_property
    def points(self) -> pd.DataFrame:
        """The grid's points, as those of a run."""
        experiment = self.forecast.experiment
        return points_of(experiment.cells(), len(experiment.seeds))

    @cached_property
    def finals(self) -> pd.DataFrame:
        """The rows of each cell's last generation."""
        last = self.frame.groupby("cell")["generation"].transform("max")
        return self.frame[self.frame["generation"] == last]

    @property
    def metrics(self) -> list[str]:
        """The metrics that are forecast, in the order of the table."""
        return list(dict.fromkeys(self.frame["metric"]))

    @cached_property
    def directions(self) -> pd.DataFrame:
        """One row for each grid point, metric, model and task, from generation 0 to the last one.

        Columns: the grid's fields, ``metric, model, task, generation, initial, final, lower, upper, change, verdict,
        basis, remark``.
        """
        keys = ["point", "metric", "model", "task"]
        parts = []
        for metric in self.metrics:
            measure = declared(metric, [self.forecast.experiment])
            changed = change(self.frame, metric).assign(metric=metric)
            changed["verdict"] = [verdict(each, measure.band, measure.words) for each in changed["change"]]
            parts.append(changed[[*keys, "generation", "initial", "final", "change", "verdict"]])
        ends = self.finals[[*keys, "lower", "upper", "basis", "remark"]]
        joined = self.points.reset_index().merge(pd.concat(parts), on="point").merge(ends, on=keys)
        leading = [*self.points.columns, "metric", "model", "task", "generation", "initial", "final"]
        return joined[[*leading, "lower", "upper", "change", "verdict", "basis", "remark"]]

    @cached_property
    def objective(self) -> pd.DataFrame:
        """The mean of the last losses of all models on private tasks: ``value, lower, upper, basis`` by point.

        It is what `crossfeed.forecasting.answer.Best` makes least. The band is the mean of their bands: as wide as if
        all of them were wrong in the same direction.
        """
        owned = self.forecast.experiment.ecosystem.owned_tasks
        private = self.finals[(self.finals["metric"] == LOSS) & self.finals["task"].isin(owned)]
        return _means(private, ["point"]).set_index("point")

    @cached_property
    def regret(self) -> pd.DataFrame:
        """The excess of each grid point over the best one, as a share of the best value, the best first.

        The columns are those of `objective`. The band is that of the point's own value; a lower end below zero says
        that the point may be as good as the best one.
        """
        found = self.objective.sort_values("value", kind="stable")
        numbers = ["value", "lower", "upper"]
        return found.assign(**{name: found[name] / found["value"].iloc[0] - 1.0 for name in numbers})

    def by_kind(self) -> pd.DataFrame:
        """Return means over models and tasks of a kind: the columns of `frame`, with the kind's name as the task."""
        counts = self.frame.groupby("kind").apply(lambda rows: len(rows[["model", "task"]].drop_duplicates()))
        means = _means(self.frame, ["point", "metric", "generation", "kind"])
        order = {kind: place for place, kind in enumerate(KIND_NAMES)}
        means = means.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")
        task = [f"{KIND_NAMES[kind]}, mean of {counts[kind]}" for kind in means["kind"]]
        return means.assign(task=task, model="mean", seed=self.forecast.seed)

    def change_table(self, metric: str, frame: pd.DataFrame | None = None, *, greek: bool = False) -> ChangeTable:
        """Return the initial -> final table of a metric.

        Args:
            metric: Its name.
            frame: Rows to lay out; default: all of `frame`.
            greek: See `crossfeed.reporting.data.layout.columns_of`.
        """
        experiment = self.forecast.experiment
        rows = self.frame if frame is None else frame
        last = rows.groupby("point")["generation"].max()
        targets = dict(zip(map(int, last.index), map(int, last), strict=True))
        columns = columns_of(self.points.loc[sorted(targets)], greek=greek)
        table = lay_out(rows, declared(metric, [experiment]), columns, targets, [experiment])
        assert table is not None  # noqa: S101 - for the type checker: a metric of the forecast has rows
        return table


def _means(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return means of ``value, lower, upper`` by some columns, and the basis of each; the keys are columns."""
    grouped = frame.groupby(keys, sort=False)
    means = grouped[["value", "lower", "upper"]].mean()
    remarks = grouped["remark"].agg(lambda each: NOT_LEARNED if (each == NOT_LEARNED).all() else "")
    return means.assign(basis=grouped["basis"].agg(common_basis), remark=remarks).reset_index()
