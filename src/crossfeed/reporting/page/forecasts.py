"""The section of a report that lays a run's forecast beside what was measured since."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import pandas as pd

from crossfeed.display.formatting import clip, number
from crossfeed.reporting.data.forecasted import beside_measured
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import Columns, columns_of
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.forecasts.figures import draw_curves, panels_of
from crossfeed.reporting.forecasts.frames import common_basis, kinds_of
from crossfeed.reporting.page.blocks import ALT_LIMIT, Block, Picture, Sheet, Words, file_name, left_out

__all__ = ["forecast_beside"]

_GROUPS: Final = 4
_LINES: Final = 4  # grid points in a figure


def forecast_beside(run: Run) -> list[Block]:
    """Return curves of the forecast with what was measured, its errors by grid point, and cells that were not run.

    Args:
        run: The run; nothing is shown without a stored forecast.
    """
    whole = beside_measured(run)
    frame = whole[whole["metric"] == LOSS]
    if frame.empty:
        return []
    frame = frame.assign(kind=kinds_of(run.experiment, frame))
    columns = columns_of(run.points.loc[sorted(set(frame["point"]))], greek=True)
    note = (
        "Lines are the surrogate's forecast of one seed, made from probes; markers are what the run measured. What was "
        "measured before the forecast was last made has no band, and may have been fitted."
    )
    return [Words([note]), *_curves(run, frame, columns), *_errors(frame, columns), *_not_run(frame, columns)]


def _curves(run: Run, frame: pd.DataFrame, whole: Columns) -> list[Block]:
    table = frame.assign(value=frame["surrogate"])
    parts, across = panels_of(frame)
    columns = whole.some(_GROUPS, _LINES)
    axis = declared(LOSS, [run.experiment]).axis
    some = left_out(len(columns.points), len(whole.points), "forecast.csv")
    some += (
        " The models' own tasks; all are in forecast.csv."
        if len(parts) < len(frame[["model", "task"]].drop_duplicates())
        else ""
    )
    blocks: list[Block] = []
    for group in columns.groups:
        labels = {point: columns.heads[point] for point in group.points}
        about = f" ({group.label})" if group.label else ""
        caption = f"Forecast and measured loss over generations{about}. Shaded: 80 % bands.{some}"
        alt = clip(f"Forecast and measured loss over generations{about}. {_told(frame, labels)}", ALT_LIMIT)
        draw = partial(draw_curves, table, parts, labels, axis, across)
        blocks.append(Picture(file_name("forecast", columns.groups, group), alt, caption, draw))
    return blocks


def _told(frame: pd.DataFrame, labels: Mapping[int, str]) -> str:
    """Return forecast and measured own losses of the last generation that was measured, for a text alternative."""
    own = frame[(frame["kind"] == "own") & frame["measured"].notna() & frame["point"].isin(list(labels))]
    last = own[own["generation"] == own.groupby("point")["generation"].transform("max")]
    return " ".join(
        f"{row['model']} on {row['task']} at {labels[row['point']]}, t = {row['generation']}: forecast "
        f"{number(row['surrogate'])}, measured {number(row['measured'])}."
        for row in last.to_dict("records")
    )


def _errors(frame: pd.DataFrame, columns: Columns) -> list[Block]:
    """Return the surrogate's and geometric extrapolation's errors at each grid point, over all that was measured."""
    later = frame[(frame["generation"] > 0) & frame["measured"].notna()]
    if later.empty:
        return []
    errors = later.assign(
        error=(later["surrogate"] / later["measured"] - 1).abs(),
        other=(later["geometric"] / later["measured"] - 1).abs(),
        known=later["basis"] == "measured",
    )
    rows = [
        [columns.labels[int(str(point))] or "the run", *_error_row(part)] for point, part in errors.groupby("point")
    ]
    if len(rows) > 1:
        rows.append(["all", "", "", "", *_spread(errors)])
    head = [
        *("grid point", "until t", "own tasks, forecast", "measured", "error, median", "90 % are below"),
        *("geometric, median (forecast there)", "measured before"),
    ]
    return [
        Sheet("Errors of the forecast where it was measured, all models and tasks, t ≥ 1", head, rows, numeric=True)
    ]


def _error_row(part: pd.DataFrame) -> list[str]:
    last = int(part["generation"].max())
    own = part[(part["kind"] == "own") & (part["generation"] == last)]
    means = [number(float(own[name].mean())) for name in ("surrogate", "measured")]
    return [str(last), *means, *_spread(part)]


def _spread(errors: pd.DataFrame) -> list[str]:
    """Return quantiles of the errors, those of geometric extrapolation, and how many of the numbers were there before.

    Geometric extrapolation is not known everywhere: the forecast's error beside its own is over the same numbers.
    """
    both, known = errors[errors["other"].notna()], errors["known"]
    geometric = f"{_quantile(both['other'], 0.5)} ({_quantile(both['error'], 0.5)})" if len(both) else "–"
    own = [_quantile(errors["error"], share) for share in (0.5, 0.9)]
    return [*own, geometric, f"{int(known.sum())} of {len(known)}"]


def _not_run(frame: pd.DataFrame, columns: Columns) -> list[Block]:
    """Return grid points whose last generation was not measured, with the forecast that stands in its place."""
    last = frame[frame["generation"] == frame.groupby("point")["generation"].transform("max")]
    open_ = last[last["measured"].isna()]
    rows = []
    for point, part in open_.groupby("point"):
        own, label = part[part["kind"] == "own"], columns.labels[int(str(point))] or "the run"
        mean = own[["surrogate", "lower", "upper"]].mean()
        ends = f"{number(float(mean['lower']))} to {number(float(mean['upper']))}"
        rows.append([label, number(float(mean["surrogate"])), ends, common_basis(part["basis"])])
    head = ["grid point", "own tasks, forecast", "80 % band", "basis"]
    title = "Grid points that were not measured to the end: the forecast of their last generation"
    return [Sheet(title, head, rows, numeric=True)] if rows else []


def _quantile(errors: pd.Series[float], share: float) -> str:
    return f"{100 * float(errors.quantile(share)):.1f} %"
