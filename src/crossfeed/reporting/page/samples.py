"""Sample completions side by side: what the same test prompt got, by generation, grid point and model."""

from __future__ import annotations

from typing import Final

import pandas as pd

from crossfeed.display.formatting import clip
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import Columns, columns_of
from crossfeed.reporting.page.blocks import Sample, left_out

__all__ = ["at", "pages", "points_left_out", "samples"]

PROMPTS: Final = 2
"""Test prompts of each data set."""
_TEXT_LIMIT: Final = 420
_MOST_POINTS: Final = 24
_GROUPS: Final = 4  # of more points
_FEW_POINTS: Final = 4  # more of them, and the generation in the middle is left out


def samples(run: Run) -> list[Sample]:
    """Return completions of the first test prompts of every data set, at the first seed; empty if none were kept.

    Args:
        run: The run.
    """
    outputs = [(label, frame[frame["item"] < PROMPTS]) for label, frame in pages(run) if _is_text(frame)]
    if not outputs:
        return []
    known = {task for _, frame in outputs for task in frame["task"]}
    return [
        _sample(run, outputs, task, item)
        for task in (*run.experiment.tasks, PUBLIC)
        if task in known
        for item in range(PROMPTS)
        if any(((frame["task"] == task) & (frame["item"] == item)).any() for _, frame in outputs)
    ]


def at(generation: object) -> str:
    """Return a generation as ``t = 3``, with spaces that do not break.

    Args:
        generation: The generation t.
    """
    return f"t\u00a0=\u00a0{generation}"


def pages(run: Run) -> list[tuple[str, pd.DataFrame]]:
    """Return outputs at the first seed, by time and grid point: the shared start, then every point's middle and end.

    Args:
        run: The run; of a large grid some points are read (`points_left_out`).
    """
    shown = _columns(run)
    heads = shown.labels
    cells = run.cells[(run.cells["seed"] == run.experiment.seeds[0]) & (run.cells["reached"] >= 0)]
    cells = cells[cells["point"].isin(shown.points)]
    shared = cells.drop_duplicates("zero")
    wanted = [
        (at(0) if len(shared) == 1 else f"{at(0)}, {heads[int(row['point'])]}", str(row["cell"]), 0)
        for row in shared.to_dict("records")
    ]
    for row in cells.to_dict("records"):
        last, label = int(row["reached"]), heads[int(row["point"])]
        middle = [last // 2] if len(cells) <= _FEW_POINTS else []
        steps = [t for t in dict.fromkeys([*middle, last]) if t > 0]
        wanted += [(", ".join(part for part in (label, at(t)) if part), str(row["cell"]), t) for t in steps]
    return [(label, run.outputs(cell, generation)) for label, cell, generation in wanted]


def points_left_out(run: Run) -> str:
    """Return a note that outputs of some grid points are left out: a sentence after a space, or nothing.

    Args:
        run: The run.
    """
    return left_out(len(_columns(run).points), len(run.points), "the folder outputs of the run")


def _columns(run: Run) -> Columns:
    """Return the grid points whose outputs are shown: a reader cannot compare those of hundreds."""
    columns = columns_of(run.points, greek=True)
    groups = min(len(columns.groups), _GROUPS)
    return columns if len(columns.points) <= _MOST_POINTS else columns.some(groups, _MOST_POINTS // groups)


def _is_text(frame: pd.DataFrame) -> bool:
    """Return True if outputs are texts: learners of other items keep outputs with other columns."""
    if not {"model", "task", "item", "prompt", "completion", "reference"} <= set(frame.columns):
        return False
    return not any(isinstance(said, bytes) for said in frame["completion"])


def _sample(run: Run, pages: list[tuple[str, pd.DataFrame]], task: str, item: int) -> Sample:
    models = run.experiment.ecosystem.names
    rows, prompt, reference = [], "", ""
    for label, frame in pages:
        own = frame[(frame["task"] == task) & (frame["item"] == item)].drop_duplicates("model").set_index("model")
        if len(own):
            prompt = prompt or str(own["prompt"].iloc[0])
            reference = reference or str(own["reference"].fillna("").iloc[0])
            said = own["completion"].to_dict()
            rows.append((label, [clip(said.get(model, ""), _TEXT_LIMIT) for model in models]))
    return Sample(task, item, clip(prompt, _TEXT_LIMIT), clip(reference, _TEXT_LIMIT), models, rows)
