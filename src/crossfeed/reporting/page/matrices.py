"""Heat maps of a report: losses of every model on every task by generation, and what each gained beside theory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import clip, number, signed
from crossfeed.protocols import PUBLIC, Array
from crossfeed.reporting.data.exact import Exact, Theory
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import Columns, columns_of, evenly
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.data.numbers import by_generation, change
from crossfeed.reporting.drawing.figures import abreast
from crossfeed.reporting.drawing.heat import Matrix, Scale, ends, heat_maps
from crossfeed.reporting.page.blocks import ALT_LIMIT, Block, Picture, Sheet, Words, left_out
from crossfeed.reporting.page.samples import at
from crossfeed.settings import Measure

__all__ = ["gains", "loss_matrices"]


_POINTS: Final = 9
_TIMES: Final = 4
_TOLD: Final = 12  # numbers of a matrix that its text alternative holds
_ROWS: Final = 40  # a table of more is in the files alone
_MOST_COLOUR: Final = 100.0  # per cent; what changed by more looks like this


def loss_matrices(run: Run) -> list[Block]:
    """Return the loss of every model on every task, over generations: a row of heat maps for each grid point.

    Args:
        run: The run.
    """
    frame = by_generation(run.records, LOSS)
    if frame.empty or frame["generation"].max() == 0 or frame["model"].nunique() < 2:
        return []
    columns = columns_of(run.points, greek=True)
    points = [point for point in columns.points if (frame["point"] == point).any()]
    rows = []
    for point in evenly(points, _POINTS):
        own, label = frame[frame["point"] == point], columns.labels[point]
        times = evenly(sorted(own["generation"].unique()), _TIMES)
        rows.append([_matrix(run, own[own["generation"] == t], "mean", f"{at(t)}, {label}") for t in times])
    parts = [part for row in rows for part in row]
    scale = Scale(
        f"{declared(LOSS, [run.experiment]).axis}, from light to dark", *ends(_values(parts)), "levels", number
    )
    title = "The loss of every model on every task, by generation"
    some = left_out(len(rows), len(points), "by_generation.csv")
    caption = f"{title}: a row for each model, a column for each data set.{some}"
    draw = partial(_draw, parts, scale, max(map(len, rows)), ("model", "on"))
    alt = f"{title}. {_told([row[-1] for row in rows], number)}"
    return [Picture("loss-matrix", clip(alt, ALT_LIMIT), caption, draw)]


def gains(run: Run, theory: Theory) -> list[Block]:
    """Return each model's change of loss on each task; for linear models beside exact theory.

    Args:
        run: The run.
        theory: Exact theory of the run.
    """
    exact, measured = theory.exact, change(run.records, LOSS)
    both = measured if exact is None else exact.beside
    both = both[both["generation"] > 0]
    if both.empty:
        return []
    columns = columns_of(run.points, greek=True)
    known = set(both["point"])
    points = evenly([point for point in columns.points if point in known], _POINTS)
    if exact is None:
        picture = _gain_picture(run, columns, points, both, {"": "percent"})
        return [picture, *([Words([theory.reason])] if theory.reason else [])]
    return [
        _gain_picture(run, columns, points, both, {"measured": "percent", "exact": "exact_percent"}),
        *_agreement(both, columns, declared(LOSS, [run.experiment])),
        _influence(run, exact, columns, points),
    ]


def _gain_picture(
    run: Run, columns: Columns, points: Sequence[int], table: pd.DataFrame, shown: Mapping[str, str]
) -> Picture:
    parts = [
        _matrix(run, table[table["point"] == point], column, columns.labels[point] + (f", {name}" if name else ""))
        for point in points
        for name, column in shown.items()
    ]
    end = min(ends(np.abs(_values(parts)))[1], _MOST_COLOUR) or 1.0
    label = "% of the loss at the start: blue fell (gained), brown rose (lost)"
    scale = Scale(label, -end, end, "changes", _whole)
    title = "How the loss of every model on every task changed from the first to the last generation, in per cent"
    theory = " Each grid point as measured, then as exact theory expects it." if len(shown) > 1 else ""
    caption = (
        f"{title}: a row for each model, a column for each data set; below zero the model gained.{theory} Where cells "
        "are too small for numbers, a dot marks a loss that rose."
    )
    columns_shown = min(len(parts), 4)  # an even number keeps what was measured beside what was expected
    draw = partial(_draw, parts, scale, columns_shown, ("model", "on"))
    return Picture("gain", clip(f"{title}. {_told(parts, _whole)}", ALT_LIMIT), caption, draw)


def _agreement(both: pd.DataFrame, columns: Columns, loss: Measure) -> list[Block]:
    """Return the distance of the run from its expectation, in standard errors."""
    errors = both["errors"].dropna()
    if errors.empty:
        return []
    far = both.iloc[int(both["errors"].abs().argmax())]
    within = int((errors.abs() <= 2).sum())
    where = f"{far['model']} on {far['task']} at {columns.labels[int(far['point'])]}"
    words = (
        f"Of {len(errors)} last losses {within} lie within two standard errors of exact theory; the farthest, {where}, "
        f"by {abs(float(far['errors'])):.1f}. Theory gives these standard errors too: those of a mean over the run's "
        "replicates."
    )
    if len(both) > _ROWS:
        return [Words([words, "All of them are in exact.csv."])]
    rows = [
        [
            f"{row['model']} on {row['task']}, {columns.labels[int(row['point'])]}",
            *(number(float(row[name])) for name in ("final", "exact_final", "exact_se")),
            signed(float(row["errors"]), 1) if np.isfinite(row["errors"]) else "–",
        ]
        for row in both.to_dict("records")
    ]
    head = [loss.axis, "measured", "exact", "standard error", "difference in standard errors"]
    return [Words([words]), Sheet("Last losses beside exact theory", head, rows, numeric=True)]


def _influence(run: Run, exact: Exact, columns: Columns, points: Sequence[int]) -> Picture:
    """Return a heat map of each data source's influence on the models' expected predictions, by exact theory."""
    reached = {point: int(run.cells.loc[run.cells["point"] == point, "reached"].max()) for point in points}
    parts = []
    for point in points:
        ecosystem = exact.experiments[point].ecosystem  # a grid may vary the entities
        sources = [*("+".join(entity.owned) for entity in ecosystem.entities), PUBLIC]
        title = f"{at(reached[point])}, {columns.labels[point]}"
        parts.append(Matrix(title, 100 * exact.influence(point, reached[point]), ecosystem.names, sources))
    title = "Whose data every model's expected prediction comes from, by exact theory"
    caption = (
        f"{title}: a row for each model, a column for each source of real data; rows sum to 100. A share is that of "
        "the source's own least-squares estimate in the model's mean (norms of Theorem 1's coefficients)."
    )
    scale = Scale("% of the prediction, from light to dark", 0.0, 100.0, "levels", _share)
    draw = partial(_draw, parts, scale, len(points), ("model", "data of"))
    return Picture("influence", clip(f"{title}. {_told(parts, _share)}", ALT_LIMIT), caption, draw)


def _matrix(run: Run, table: pd.DataFrame, column: str, title: str) -> Matrix:
    """Return a model's row and a task's column for each number; models and tasks as they are described."""
    models = [name for name in run.experiment.ecosystem.names if (table["model"] == name).any()]
    known = set(table["task"])
    named = dict.fromkeys([*run.experiment.tasks, *sorted(known - {PUBLIC}), PUBLIC])
    tasks = [task for task in named if task in known]
    wide = table.pivot_table(index="model", columns="task", values=column, dropna=False)
    return Matrix(title, wide.reindex(index=models, columns=tasks).to_numpy(dtype=float), models, tasks)


def _values(parts: Sequence[Matrix]) -> Array:
    return np.concatenate([part.values.ravel() for part in parts])


def _draw(parts: Sequence[Matrix], scale: Scale, columns: int, names: tuple[str, str], width: float) -> Figure:
    return heat_maps(parts, scale, width=width, columns=abreast(columns, width), names=names)


def _told(parts: Sequence[Matrix], show: Callable[[float], str]) -> str:
    """Return the text alternative of heat maps."""
    return " ".join(f"{part.title}: {_matrix_told(part, show)}." for part in parts)


def _matrix_told(part: Matrix, show: Callable[[float], str]) -> str:
    """Return all numbers of a small heat map, the ends of a large one."""
    full = [(float(part.values[place]), place) for place in np.ndindex(part.values.shape)]
    full = sorted((value, place) for value, place in full if np.isfinite(value))
    told = [f"{part.rows[row]} on {part.columns[column]} {show(value)}" for value, (row, column) in full]
    return ", ".join(told) if len(told) <= _TOLD else f"from {told[0]} to {told[-1]}"


def _whole(value: float) -> str:
    return signed(value, 0)


def _share(value: float) -> str:
    return f"{value:.0f}"
