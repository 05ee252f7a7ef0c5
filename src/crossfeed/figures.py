"""Panels for figures of your own: each function draws one panel into axes and returns them.

::

    from matplotlib import pyplot as plt
    from crossfeed import Run, figures

    run = Run.load("runs/quickstart-0123456789ab")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    figures.loss_curve(run, model="math", task="facts", ax=left)
    figures.loss_matrix(run, where={"alpha": 0.5}, ax=right)

Without ``ax`` the current axes of pyplot are drawn into, as seaborn and xarray do. The panels are those of
`crossfeed report`, with its colours, dashes and markers; everything of them can be changed on the axes afterwards.

``where`` chooses points of the grid by field, as they are named in `Run.points`: ``{"alpha": 0.5}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from crossfeed.display.formatting import number, value_text
from crossfeed.errors import InvalidInput
from crossfeed.exact.planning import Plan
from crossfeed.exact.prediction import Prediction
from crossfeed.forecasting.planning import ForecastPlan
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.choosing import points_where
from crossfeed.reporting.data.frames import Run, points_of
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.measures import LOSS, SIMILARITY, declared
from crossfeed.reporting.data.numbers import by_generation, mixture
from crossfeed.reporting.drawing.charts import draw_chart, draw_landscape
from crossfeed.reporting.drawing.clouds import draw_cloud
from crossfeed.reporting.drawing.figures import draw_lines, draw_shares
from crossfeed.reporting.drawing.heat import Matrix, Scale, draw_matrix
from crossfeed.reporting.drawing.style import PAPER, styled
from crossfeed.reporting.forecasts.plan_figures import forecast_marks, ground_of
from crossfeed.reporting.theory.figures import efficiency_charts, marks_of

__all__ = [
    "efficiency_curve",
    "landscape",
    "loss_curve",
    "loss_matrix",
    "mixture_shares",
    "outputs_cloud",
    "similarity_curve",
]

Where = Mapping[str, Any] | None


@styled
def loss_curve(
    source: Run | Prediction,
    *,
    model: str,
    task: str,
    where: Where = None,
    band: float = 0.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a model's loss on a task over generations: a line per grid point, shaded one standard error over seeds.

    Args:
        source: A run; or a prediction, whose losses are the exact expectations of a run's.
        model: Whose.
        task: On what; ``public`` is the public data.
        where: Which points of the grid; default all.
        band: Shade what is nearer to the first loss than this: the paper counts 0.1 as the same.
        ax: Where to draw; default pyplot's current axes.

    Raises:
        InvalidInput: There is no such model, task or point; the message lists those that there are.
    """
    return _curve(source, LOSS, model, task, where, ax, band)


@styled
def similarity_curve(
    run: Run, *, task: str, pair: str | None = None, where: Where = None, ax: Axes | None = None
) -> Axes:
    """Draw the similarity of two models' outputs over generations: mean cosine of the same prompts' completions.

    Args:
        run: The run.
        task: Whose prompts.
        pair: Which two models, as ``a+b``; may be left out where there are two.
        where: Which points of the grid; default all.
        ax: Where to draw; default pyplot's current axes.

    Raises:
        InvalidInput: There is no such pair, task or point; the message lists those that there are.
    """
    pairs = run.records.loc[run.records["metric"] == SIMILARITY, "model"].unique().tolist()
    if pair is None and len(pairs) > 1:
        raise InvalidInput(f"pair: there are several pairs of models; give one of {', '.join(pairs)}")
    return _curve(run, SIMILARITY, pair or "".join(pairs), task, where, ax)


@styled
def outputs_cloud(
    run: Run, *, generation: int, where: Where = None, seed: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw outputs in two dimensions (PCA of their embeddings): marker is the model, colour and fill the data set.

    Small markers are completions, large ones their means. Axes are the same at all generations of a seed.

    Args:
        run: A run that measured ``projection``.
        generation: The generation.
        where: Which point of the grid; may be left out where there is one.
        seed: The seed; default the first.
        ax: Where to draw; default pyplot's current axes.

    Raises:
        InvalidInput: Nothing was projected there.
    """
    point = _one_point(run.points, where)
    chosen = run.experiment.seeds[0] if seed is None else seed
    frame = run.projection
    table = frame[(frame["point"] == point) & (frame["generation"] == generation) & (frame["seed"] == chosen)]
    if table.empty:
        known = ", ".join(map(str, sorted(frame.loc[frame["point"] == point, "generation"].unique())))
        raise InvalidInput(
            f"nothing is projected at generation {generation}, seed {chosen}; generations: {known or 'none'}"
        )
    models = run.experiment.ecosystem.names
    tasks = [task for task in (*run.experiment.tasks, PUBLIC) if task in set(table["task"])]
    axes = _axes(ax)
    before = len(axes.lines)
    draw_cloud(axes, table, models, tasks)
    names = [f"{model} on {task}" for task in tasks for model in models]
    for line, name in zip(axes.lines[before:], names, strict=False):
        line.set_label(name)
    axes.set_title(f"t = {generation}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes


@styled
def mixture_shares(run: Run, *, model: str, where: Where = None, ax: Axes | None = None) -> Axes:
    """Draw the realised composition of a model's training sets over generations, as stacked shares.

    Args:
        run: The run.
        model: Whose training sets.
        where: Which point of the grid; may be left out where there is one.
        ax: Where to draw; default pyplot's current axes.

    Raises:
        InvalidInput: There is no such model or point, or its learner draws nothing.
    """
    point, table = _one_point(run.points, where), mixture(run.records)
    _known("model", model, table["model"])
    table = table[(table["point"] == point) & (table["model"] == model)]
    drawn = set(table.loc[table["drawn"] > 0, "source"])
    axes = _axes(ax)
    draw_shares(axes, table, [source for source in dict.fromkeys(table["source"]) if source in drawn])
    axes.set(xlabel="generation", ylabel="share of the training set", title=model)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes


@styled
def loss_matrix(
    source: Run | Prediction, *, generation: int | None = None, where: Where = None, ax: Axes | None = None
) -> Axes:
    """Draw the loss of every model on every task at one generation, as a heat map with its numbers.

    Args:
        source: A run or a prediction.
        generation: The generation; default the last one measured.
        where: Which point of the grid; may be left out where there is one.
        ax: Where to draw; default pyplot's current axes.

    Raises:
        InvalidInput: There is no such point, or no loss at this generation.
    """
    records, points = _numbers(source)
    table, point = by_generation(records, LOSS), _one_point(points, where)
    table = table[table["point"] == point]
    last = int(table["generation"].max()) if generation is None and len(table) else generation
    _known("generation", last, table["generation"])
    wide = table[table["generation"] == last].pivot_table(index="model", columns="task", values="mean", sort=False)
    values = wide.to_numpy(dtype=float)
    scale = Scale(
        declared(LOSS, [source.experiment]).axis, float(np.nanmin(values)), float(np.nanmax(values)), "levels", number
    )
    axes = draw_matrix(_axes(ax), Matrix("", values, list(wide.index), list(wide.columns)), scale)
    which = f", {columns_of(points, greek=True).labels[point]}" if len(points) > 1 else ""
    axes.set(xlabel="on", ylabel="model", title=f"loss, t = {last}{which}")
    return axes


@styled
def efficiency_curve(prediction: Prediction, *, where: Where = None, ax: Axes | None = None) -> Axes:
    """Draw relative efficiency against the numeric field that the grid sweeps (paper, Figure 2), a line per model.

    Args:
        prediction: Of an experiment whose grid has five values or more of a number.
        where: Values of the grid's other fields; may be left out where there are none.
        ax: Where to draw; default pyplot's current axes.

    Raises:
        InvalidInput: No field is swept, or `where` does not choose one panel.
    """
    wanted = {name: value_text(value) for name, value in (where or {}).items()}
    panels = []
    for point, chart in efficiency_charts(prediction):
        shown = {path.rpartition(".")[2]: value_text(value) for path, value in point.items()}
        shown |= {path: value_text(value) for path, value in point.items()}
        if all(shown.get(name) == value for name, value in wanted.items()):
            panels.append((point, chart))
    if len(panels) != 1:
        there = "; ".join(str(point) for point, _ in efficiency_charts(prediction)) or "none"
        raise InvalidInput(f"where: {where} chooses {len(panels)} panels, not one; panels: {there}")
    axes = draw_chart(_axes(ax), panels[0][1])
    axes.legend(frameon=True, facecolor=PAPER, edgecolor="none")
    return axes


@styled
def landscape(plan: Plan | ForecastPlan, *, ax: Axes | None = None) -> Axes:
    """Draw the excess over the best common weights for all alpha and beta, with the points that a plan names.

    Args:
        plan: The plan, by exact theory or by a forecast.
        ax: Where to draw; default pyplot's current axes.
    """
    axes = _axes(ax)
    before = len(axes.lines)
    if isinstance(plan, Plan):
        marks = marks_of(plan)
        draw_landscape(axes, plan.landscape, plan.optimum.value, marks)
    else:
        marks, (ground, unsure) = forecast_marks(plan), ground_of(plan)
        draw_landscape(axes, ground, plan.common.value, marks, unsure)
    for line, mark in zip(axes.lines[before:], marks, strict=True):
        line.set_label(mark.label)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return axes


def _curve(
    source: Run | Prediction, metric: str, model: str, task: str, where: Where, ax: Axes | None, band: float = 0.0
) -> Axes:
    records, points = _numbers(source)
    table = by_generation(records, metric)
    if table.empty:
        raise InvalidInput(f"{metric} was not measured; metrics: {', '.join(records['metric'].unique())}")
    _known("model", model, table["model"])
    table = table[table["model"] == model]
    _known("task", task, table["task"])
    chosen, columns = points_where(points, where or {}), columns_of(points, greek=True)
    axes = _axes(ax)
    before = len(axes.lines)
    draw_lines(axes, table[(table["task"] == task) & table["point"].isin(chosen)], chosen, band)
    for line, point in zip(axes.lines[before:], chosen, strict=True):
        line.set_label(columns.labels[point] or metric)
    axes.set(xlabel="generation", ylabel=declared(metric, [source.experiment]).axis, title=f"{model} on {task}")
    if len(chosen) > 1:
        axes.legend(frameon=True, facecolor=PAPER, edgecolor="none")
    return axes


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def _numbers(source: Run | Prediction) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return records with ``point``, and the points."""
    if isinstance(source, Run):
        return source.records, source.points
    cells, seeds = source.experiment.cells(), len(source.experiment.seeds)
    position = {cell.name: place // seeds for place, cell in enumerate(cells)}
    return source.records.assign(point=source.records["cell"].map(position)), points_of(cells, seeds)


def _one_point(points: pd.DataFrame, where: Where) -> int:
    chosen = points_where(points, where or {})
    if len(chosen) > 1:
        labels = columns_of(points).labels
        there = "; ".join(labels[point] for point in chosen)
        raise InvalidInput(f"where: give values that choose one grid point, such as {{'alpha': 0.5}}; points: {there}")
    return chosen[0]


def _known(what: str, name: object, column: pd.Series[Any]) -> None:
    there = column.unique().tolist()
    if name not in there:
        raise InvalidInput(f"{what}: {name!r} is not there; there are {', '.join(map(str, there)) or 'none'}")
