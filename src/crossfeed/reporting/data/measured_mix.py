"""The best mix of a measured grid: what `plan` says of a run, from its records alone.

A mix is a point of the grid's fields under ``ecosystem`` (alpha, beta, shares, ...). Other fields that vary, such as
the learner's, are not part of it: the best mix is searched for each of their combinations. Seeds are compared with
themselves: they share their random numbers over the mixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from crossfeed.display.formatting import value_text
from crossfeed.display.notebook import page
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.measures import LOSS
from crossfeed.settings import Measure

__all__ = ["MeasuredPlan", "best_measured"]

_NOISE: Final = 2.0  # standard errors within which a mix is as good as the best
_BOUNDS: Final = (0.0, 1.0)  # of shares: there is nothing beyond them


@dataclass(frozen=True, repr=False)
class MeasuredPlan:
    """The best of the mixes that a run measured.

    All tables have ``among``: the values of the fields that are no part of a mix, empty if none vary. Excesses are over
    the best mix, positive where worse, with the standard error over seeds (nan for one seed); ``price`` is the excess
    as a share of the best value.

    Attributes:
        run: The run.
        objective: ``mean``, ``worst`` or an entity's name: whose value is made best.
        measure: The metric whose last values are compared: the loss, or the run's first one that has a better and a
            worse.
        mixes: Every mix that is finished with all seeds, the best first: ``among``, its fields, ``value, value_se,
            excess, excess_se, price`` and ``tied``: not to be told from the best by two standard errors.
        neighbours: How flat the optimum is: ``among, field, value, excess, excess_se, price`` of the next values of
            each field on either side of the best, all else equal.
        edges: ``among, field, value, side``: fields whose best value is the ``lowest`` or ``highest`` of the grid, and
            could go on from there.
        entities: Each entity for itself: ``among, model``, the fields of its own best mix, ``value, value_se`` there,
            ``common`` (its value at the best mix of all), and the ``excess``, ``excess_se`` and ``price`` of that.
        left_out: Mixes that are not finished with all seeds.
    """

    run: Run
    objective: str
    measure: Measure
    mixes: pd.DataFrame
    neighbours: pd.DataFrame
    edges: pd.DataFrame
    entities: pd.DataFrame
    left_out: int

    @property
    def best(self) -> pd.DataFrame:
        """The best mix for each combination of the other fields."""
        return self.mixes.drop_duplicates("among")

    def __repr__(self) -> str:
        fields = [name for name in self.run.points.columns if name in self.best]
        best = ", ".join(f"{name}: {value_text(self.best[name].iloc[0])}" for name in fields)
        return f"MeasuredPlan({self.run.experiment.name!r}, {self.objective}, {best})"

    def _repr_html_(self) -> str:
        facts = {"made best": f"{self.measure.title}, {self.objective}", "left out": self.left_out}
        tables = {"Best": self.best, "The next mixes": self.neighbours, "Each for itself": self.entities}
        columns = {caption: table.to_dict("list") for caption, table in tables.items() if len(table)}
        return page(f"Best measured mix of {self.run.experiment.name} ({self.run.id})", facts, columns)


def best_measured(run: Run, objective: str = "mean") -> MeasuredPlan:
    """Find the best mix of a run's grid, by the mean over models and private tasks of the last values of a metric.

    Args:
        run: The run; unfinished mixes are left out.
        objective: ``mean`` over the models, the ``worst`` model, or an entity's name.

    Returns:
        The best mix, its neighbours, and every entity's own best mix.

    Raises:
        InvalidInput: The objective is unknown, no metric says what is better, or fewer than two mixes are finished.
    """
    measure = _measure(run)
    finals = _finals(run, measure)
    names = [name for name in run.experiment.ecosystem.names if name in finals.columns]
    points = run.points.loc[sorted(set(finals.index.get_level_values("point")))]
    mix, among = _fields(run.points)
    label = pd.Series(columns_of(points[among]).labels if among else "", index=points.index)
    groups = [part for _, part in points.groupby(label, sort=False) if len(part) > 1]
    if not groups:
        raise InvalidInput(
            f"{run.store}: {len(points)} finished {'mix' if len(points) == 1 else 'mixes'} of {len(run.points)}, and "
            "two are needed to choose from; vary ecosystem.alpha or ecosystem.beta on the grid, or go on with the run"
        )
    scores = _scores(finals[names], objective, measure)
    searched = [_Searched(str(label[part.index[0]]), part[mix], scores, measure) for part in groups]
    own = [each.for_itself(name, finals[name]) for each in searched for name in names]
    edges = [edge for each in searched for edge in each.edges()]
    return MeasuredPlan(
        run=run,
        objective=objective,
        measure=measure,
        mixes=pd.concat([each.mixes for each in searched], ignore_index=True),
        neighbours=pd.concat([each.neighbours() for each in searched], ignore_index=True),
        edges=pd.DataFrame(edges, columns=["among", "field", "value", "side"]),
        entities=pd.DataFrame(own),
        left_out=len(run.points) - len(points),
    )


def _measure(run: Run) -> Measure:
    """Return the loss; or the first metric, in the order of tables, that says what is better."""
    directed = [each for each in run.measures if "better" in each.words]
    losses = [each for each in directed if each.metric == LOSS]
    if not directed:
        known = ", ".join(each.metric for each in run.measures) or "nothing"
        raise InvalidInput(f"{run.store}: no metric says what is better (measured: {known}); measure the loss")
    return (losses or directed)[0]


def _finals(run: Run, measure: Measure) -> pd.DataFrame:
    """Return each model's mean over private tasks at the last generation, by point and seed; whole points alone."""
    states = run.cells["state"].eq("finished").groupby(run.cells["point"]).all()
    private = run.experiment.ecosystem.owned_tasks
    records = run.records[run.records["metric"] == measure.metric].merge(run.cells[["cell", "reached"]], on="cell")
    kept = records["task"].isin(private) & records["point"].isin(states.index[states])
    last = records[kept & (records["generation"] == records["reached"])]
    return last.pivot_table(index=["point", "seed"], columns="model", values="value", aggfunc="mean")


def _fields(points: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the fields of a mix, and the others that vary."""
    mix = [name for name in points.columns if name in ("alpha", "beta") or str(name).startswith("ecosystem.")]
    varied = [name for name in points.columns if len(set(points[name].map(value_text))) > 1]
    return mix, [name for name in varied if name not in mix]


def _scores(finals: pd.DataFrame, objective: str, measure: Measure) -> pd.Series[float]:
    """Return the objective's value by point and seed; an entity may be called mean."""
    if objective in finals.columns:
        return finals[objective]
    if objective == "mean":
        return finals.mean(axis="columns")
    if objective == "worst":
        return finals.max(axis="columns") if _falls(measure) else finals.min(axis="columns")
    raise InvalidInput(f"--objective {objective}: give mean, worst or an entity: {', '.join(finals.columns)}")


def _falls(measure: Measure) -> bool:
    """Return True if lower values are better."""
    return measure.words[0] == "better"


class _Searched:
    """The mixes of one combination of the other fields.

    Args:
        among: The combination.
        points: The mixes' fields by point.
        scores: The objective by point and seed.
        measure: The metric.
    """

    def __init__(self, among: str, points: pd.DataFrame, scores: pd.Series[float], measure: Measure) -> None:
        self._among, self._points, self._measure = among, points, measure
        table = self._compared(scores)
        noise = _NOISE * table["excess_se"]
        table["tied"] = (table["excess"] <= noise) & noise.notna() | (table["excess"] == 0)
        self.mixes = points.join(table).sort_values("excess", kind="stable")
        self._best = int(self.mixes.index[0])
        self.mixes.insert(0, "among", among)

    def _compared(self, scores: pd.Series[float]) -> pd.DataFrame:
        """Return ``value, value_se, excess, excess_se, price`` by point; seeds are compared with themselves."""
        chosen = scores.rename("score").reset_index()
        wide = chosen[chosen["point"].isin(self._points.index)].pivot_table("score", "point", "seed")
        towards = 1.0 if _falls(self._measure) else -1.0
        best = int(np.argmin(towards * wide.mean(axis="columns")))
        excess = towards * (wide - wide.iloc[best])
        columns = {"value": wide.mean(axis="columns"), "value_se": wide.sem(axis="columns")}
        columns |= {"excess": excess.mean(axis="columns"), "excess_se": excess.sem(axis="columns")}
        return pd.DataFrame(columns).assign(price=excess.mean(axis="columns") / abs(columns["value"].iloc[best]))

    def for_itself(self, model: str, values: pd.Series[float]) -> dict[str, Any]:
        """Return an entity's own best mix, and what the common one costs it."""
        table = self._compared(values)
        own = int(np.argmin(table["excess"]))
        best, common = table.iloc[own], table.loc[self._best]
        numbers = {"value": best["value"], "value_se": best["value_se"], "common": common["value"]}
        costs = {name: common[name] for name in ("excess", "excess_se", "price")}
        fields = self._points.loc[table.index[own]].to_dict()
        return {"among": self._among, "model": model, **fields, **numbers, **costs}

    def neighbours(self) -> pd.DataFrame:
        """Return the next mixes on either side of the best, field by field."""
        rows = []
        for field, value, sides in self._along():
            below, above = [v for v in sides if v < value], [v for v in sides if v > value]
            for side in (*below[-1:], *above[:1]):
                there = self.mixes.loc[sides[side]]
                numbers = {name: there[name] for name in ("excess", "excess_se", "price")}
                rows.append({"among": self._among, "field": field, "value": side} | numbers)
        return pd.DataFrame(rows, columns=["among", "field", "value", "excess", "excess_se", "price"])

    def edges(self) -> Iterator[tuple[str, str, float, str]]:
        """Yield the fields whose best value is at the grid's edge, and not at that of the possible."""
        for field, value, sides in self._along():
            share = field in ("alpha", "beta", "ecosystem.fresh_fraction", "ecosystem.initial_beta")
            if share and value in _BOUNDS:
                continue
            if value == min(sides) or value == max(sides):
                yield self._among, field, value, "lowest" if value == min(sides) else "highest"

    def _along(self) -> Iterator[tuple[str, float, dict[float, int]]]:
        """Yield each field that varies in numbers: its best value, and the points by value, all else as in the best."""
        for field in self._points.columns:
            other = self._points.drop(columns=field)
            alike = self._points[(other == other.loc[self._best]).all(axis="columns")][field]
            values = pd.to_numeric(alike, errors="coerce").dropna().sort_values()
            if len(values) > 1 and self._best in values.index:
                places = dict(zip(values.astype(float), map(int, values.index), strict=True))
                yield str(field), float(values[self._best]), places
