"""PCA panels of a report: outputs in two dimensions at some generations of every grid point, on the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import clip
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import Columns, Group, columns_of, evenly
from crossfeed.reporting.drawing import clouds as cloud_figures
from crossfeed.reporting.drawing.figures import Panel
from crossfeed.reporting.page.blocks import ALT_LIMIT, Block, Picture, file_name
from crossfeed.reporting.page.samples import at

__all__ = ["clouds"]

_GROUPS: Final = 4
_POINTS: Final = 4
_TIMES: Final = 4


def clouds(run: Run) -> list[Block]:
    """Return PCA panels of the first seed: seeds are projected each on axes of its own.

    Args:
        run: The run.
    """
    frame = run.projection
    if frame.empty:
        return []
    seed = run.experiment.seeds[0]
    frame = frame[frame["seed"] == seed]
    columns = columns_of(run.points, greek=True)
    groups = [group for group in columns.groups if frame["point"].isin(group.points).any()]
    return [_picture(run, frame, columns, group) for group in evenly(groups, _GROUPS)]


def _picture(run: Run, frame: pd.DataFrame, columns: Columns, group: Group) -> Picture:
    own = frame[frame["point"].isin(group.points)]
    points = [point for point in group.points if (own["point"] == point).any()]
    shown = evenly(points, _POINTS)
    rows = [_panels(own, point, columns.heads[point]) for point in shown]
    panels = [panel for row in rows for panel in row]
    title = "Outputs in two dimensions, by generation" + (f" ({group.label})" if group.label else "")
    told = ", ".join(panel.title for panel in panels)
    alt = f"{title}: one panel each for {told}. The coordinates are in projection.parquet."
    many = f" Seed {run.experiment.seeds[0]}." if len(run.experiment.seeds) > 1 else ""
    some = f" {len(shown)} of {len(points)} grid points, evenly chosen." if len(shown) < len(points) else ""
    caption = (
        f"{title}: first two principal components of the embeddings of completions of test prompts, the same axes in "
        f"all panels. Small markers are completions, large ones their means.{many}{some}"
    )
    draw = partial(_draw, run, own, panels, max(map(len, rows)))
    return Picture(file_name("pca", columns.groups, group), clip(alt, ALT_LIMIT), caption, draw)


def _panels(frame: pd.DataFrame, point: int, head: str) -> list[Panel]:
    """Return a grid point's first generation, its last, and some in between."""
    known = sorted(frame.loc[frame["point"] == point, "generation"].unique())
    return [Panel(f"{at(t)}, {head}", {"point": point, "generation": int(t)}) for t in evenly(known, _TIMES)]


def _draw(run: Run, frame: pd.DataFrame, panels: Sequence[Panel], columns: int, width: float) -> Figure:
    tasks = [task for task in (*run.experiment.tasks, PUBLIC) if task in set(frame["task"])]
    return cloud_figures.clouds(frame, panels, run.experiment.ecosystem.names, tasks, width=width, columns=columns)
