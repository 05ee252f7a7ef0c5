"""The sections of a run's report, each a function from the run to blocks; one that has nothing to show gives none.

To add a section, write its function and add it to `sections`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from crossfeed.mixture import FRESH, PRIVATE, PUBLIC
from crossfeed.report import figures
from crossfeed.report.blocks import (
    Block,
    Changes,
    Code,
    Facts,
    Picture,
    Samples,
    Section,
    Sheet,
    Statements,
    Words,
)
from crossfeed.report.figures import Panel
from crossfeed.report.frames import Run
from crossfeed.report.image_samples import image_samples
from crossfeed.report.layout import ChangeTable, Group, Row, change_table, columns_of, other_metrics
from crossfeed.report.numbers import DEAD_BAND, by_generation, mixture, timing
from crossfeed.report.samples import at as _at
from crossfeed.report.samples import samples
from crossfeed.report.text import clip, number, plain
from crossfeed.report.words import findings, opening

__all__ = ["sections"]

_ALT_LIMIT: Final = 900


def sections(run: Run) -> list[Section]:
    """All sections that have something to show."""
    made = (
        Section("summary", "Summary", _summary(run)),
        Section("loss", "Loss", _measured(run, ("loss", "completion_loss"), curves_of=("loss",))),
        Section("similarity", "Similarity of outputs", _measured(run, ("similarity",), curves_of=("similarity",))),
        Section("outputs", "Outputs", [*_clouds(run), *image_samples(run), *_samples(run)]),
        Section("quality", "Accuracy and diversity", _measured(run, ("accuracy", "distinct_1", "distinct_2"))),
        Section("metrics", "Other metrics", _measured(run, other_metrics(run))),
        Section("mixture", "Realised mixture", _mixture(run)),
        Section("timing", "Time", _timing(run)),
        Section("failures", "Failures", _failures(run)),
        Section("environment", "Environment", _environment(run)),
        Section("reproduce", "How to reproduce", _reproduce(run)),
    )
    return [section for section in made if section.blocks]


def _summary(run: Run) -> list[Block]:
    found = findings(run)
    return [Words(opening(run)), *([Statements(found)] if found else [])]


def _measured(run: Run, metrics: tuple[str, ...], curves_of: tuple[str, ...] = ()) -> list[Block]:
    blocks: list[Block] = []
    for metric in metrics:
        table = change_table(run, metric, greek=True)
        if table is not None:
            blocks.append(Changes(table, _legend(run, table)))
            if metric in curves_of and run.records["generation"].max() > 0:
                blocks += [_curves(run, table, group) for group in table.columns.groups]
    return blocks


def _legend(run: Run, table: ChangeTable) -> str:
    measure = table.measure
    fall, rise = measure.words
    means = f"Mean ± standard error over {table.seeds} seeds" if table.seeds > 1 else "One seed"
    unit = "the change is in per cent of the initial value" if measure.relative else "below it the change"
    ends = {entry.until for row in table.rows for entry in row.entries.values()} - {None}
    early = f" t = {min(e for e in ends if e is not None)}: measured up to that generation only." if ends else ""
    return (
        f"Initial (t = 0) → final (t = {run.experiment.generations}). ▼ {fall}, ▲ {rise}: the mean changed by more "
        f"than {measure.band:g}; = same: by that or less. {means}; {unit}.{early}"
    )


def _curves(run: Run, table: ChangeTable, group: Group) -> Picture:
    metric, columns = table.measure.metric, table.columns
    frame = by_generation(run.records, metric)
    frame = frame[frame["point"].isin(group.points)]
    panels = [Panel(row.label, {"model": row.model, "task": row.task}) for row in _by_model(run, table)]
    labels = {point: columns.heads[point] for point in group.points}
    across = len({row.task for row in table.rows})
    band = DEAD_BAND if metric == "loss" else 0.0

    def draw(width: float) -> Figure:
        return figures.curves(
            frame, panels, labels, ylabel=metric.replace("_", " "), band=band, width=width, columns=max(across, 3)
        )

    told = "; ".join(
        f"{row.label} at {columns.heads[point]}: {entry.initial} to {entry.final}"
        for row in table.rows
        for point, entry in row.entries.items()
        if point in group.points and entry.final is not None
    )
    title = f"{table.measure.title} over generations" + (f" ({group.label})" if group.label else "")
    shade = " The shaded band is what counts as the same." if band else ""
    errors = " Light bands: one standard error." if table.seeds > 1 else ""
    caption = f"{title}.{shade}{errors}"
    return Picture(_file(metric, columns.groups, group), clip(f"{title}. {told}.", _ALT_LIMIT), caption, draw)


def _by_model(run: Run, table: ChangeTable) -> list[Row]:
    """Rows model by model, tasks in one order: side by side they make a matrix."""
    models = list(dict.fromkeys(row.model for row in table.rows))
    tasks = {name: place for place, name in enumerate([*run.experiment.tasks, PUBLIC])}  # a grid may bring others
    return sorted(table.rows, key=lambda row: (models.index(row.model), tasks.get(row.task, len(tasks))))


def _clouds(run: Run) -> list[Block]:
    """PCA panels of the first seed: seeds are projected each on axes of its own."""
    frame = run.projection
    if frame.empty:
        return []
    seed = run.experiment.seeds[0]
    frame = frame[frame["seed"] == seed]
    columns = columns_of(run.points, greek=True)
    blocks: list[Block] = []
    for group in columns.groups:
        panels = _cloud_panels(run, group, columns.heads, seed)
        if panels:
            draw = partial(_draw_clouds, run, group, panels, seed)
            common = f" ({group.label})" if group.label else ""
            title = f"Outputs in two dimensions{common}"
            told = ", ".join(panel.title for panel in panels)
            alt = f"{title}: one panel each for {told}. The coordinates are in projection.parquet."
            many = f" Seed {seed}." if len(run.experiment.seeds) > 1 else ""
            caption = (
                f"{title}: first two principal components of the embeddings of completions of test prompts, the same "
                f"axes in all panels. Small markers are completions, large ones their means.{many}"
            )
            blocks.append(Picture(_file("pca", columns.groups, group), clip(alt, _ALT_LIMIT), caption, draw))
    return blocks


def _cloud_panels(run: Run, group: Group, heads: Mapping[int, str], seed: int) -> list[Panel]:
    """The first generation, once if the points share it, and each point's last one."""
    cells = run.cells[(run.cells["seed"] == seed) & run.cells["point"].isin(group.points) & (run.cells["reached"] >= 0)]
    shared = cells.drop_duplicates("zero")
    start = [
        Panel(_at(0) if len(shared) == 1 else f"{_at(0)}, {heads[int(cell['point'])]}", _rows(cell["point"], 0))
        for cell in shared.to_dict("records")
    ]
    end = [
        Panel(f"{_at(cell['reached'])}, {heads[int(cell['point'])]}", _rows(cell["point"], cell["reached"]))
        for cell in cells.to_dict("records")
        if cell["reached"] > 0
    ]
    known = set(zip(run.projection["point"], run.projection["generation"], strict=True))
    return [panel for panel in [*start, *end] if (panel.rows["point"], panel.rows["generation"]) in known]


def _rows(point: object, generation: object) -> dict[str, int]:
    return {"point": int(str(point)), "generation": int(str(generation))}


def _draw_clouds(run: Run, group: Group, panels: list[Panel], seed: int, width: float) -> Figure:
    frame = run.projection
    frame = frame[(frame["seed"] == seed) & frame["point"].isin(group.points)]
    tasks = [task for task in (*run.experiment.tasks, PUBLIC) if task in set(frame["task"])]
    return figures.clouds(frame, panels, run.experiment.ecosystem.names, tasks, width=width)


def _samples(run: Run) -> list[Block]:
    found = samples(run)
    if not found:
        return []
    note = (
        "What models wrote, for the first test prompts of each data set, at the first seed. The same prompt gets the "
        "same random numbers at every generation, so what changes is the model. Long texts are cut; control characters "
        "are shown as ⟨U+…⟩."
    )
    return [Words([note]), Samples(found)]


def _mixture(run: Run) -> list[Block]:
    frame = mixture(run.records)
    if frame.empty:
        return []
    columns = columns_of(run.points, greek=True)
    names = run.experiment.ecosystem.names
    known = {PRIVATE: "private data", PUBLIC: "public data", FRESH: "fresh human data"}
    known |= {name: f"written by {name}" for name in names}
    present = set(frame.loc[frame["drawn"] > 0, "source"])
    sources = {source: text for source, text in known.items() if source in present}
    blocks: list[Block] = []
    for group in columns.groups:
        panels = [
            Panel(f"{name}, {columns.heads[point]}", {"model": name, "point": point})
            for name in names
            for point in group.points
        ]
        title = "What training sets were made of" + (f" ({group.label})" if group.label else "")
        draw: Callable[[float], Figure] = partial(_draw_shares, frame, panels, sources, len(group.points))
        alt = f"{title}, over generations, for every model: shares of {', '.join(sources.values())}. See mixture.csv."
        caption = f"{title}: share of each source in the drawn training set."
        blocks.append(Picture(_file("mixture", columns.groups, group), alt, caption, draw))
    return blocks


def _draw_shares(
    frame: pd.DataFrame, panels: list[Panel], sources: dict[str, str], columns: int, width: float
) -> Figure:
    return figures.shares(frame, panels, sources, width=width, columns=max(columns, 2))


def _timing(run: Run) -> list[Block]:
    spent = timing(run.records, run.cells)
    if spent.empty:
        return []
    told = ", ".join(f"{stage} {number(total)} s" for stage, total in zip(spent["stage"], spent["total"], strict=True))
    caption = "Seconds in every stage, over all cells; a generation 0 that cells share is counted once."
    rows = [
        [str(row["stage"]), *(number(float(row[name])) for name in ("first", "later", "total", "each"))]
        for row in spent.to_dict("records")
    ]
    rows.append(["all", *(number(float(spent[name].sum())) for name in ("first", "later", "total", "each"))])
    head = ["stage", "generation 0", "later ones", "total", "each later one"]
    return [
        Picture("timing", f"Seconds by stage: {told}.", caption, lambda width: figures.times(spent, width=width)),
        Sheet("Seconds by stage", head, rows, numeric=True),
    ]


def _failures(run: Run) -> list[Block]:
    if run.failures.empty:
        return []
    rows = [
        [plain(row["cell"]), plain(row["stage"]), _generation(row["generation"]), _message(row["type"], row["message"])]
        for row in run.failures.to_dict("records")
    ]
    note = "These cells stopped; their tracebacks are in the run's folder under failures/. All other numbers stand."
    return [Words([note]), Sheet("Failed cells", ["cell", "stage", "generation", "what happened"], rows)]


def _generation(value: object) -> str:
    return "–" if value is None else plain(value)


def _message(kind: object, message: object) -> str:
    return f"{plain(kind)}: {clip(message, 800)}"


def _environment(run: Run) -> list[Block]:
    return [Facts(_flat(run.environment))] if run.environment else []


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as one list of names and values."""
    items: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{plain(key)}".replace("_", " ")
        if isinstance(value, Mapping):
            items += _flat(value, "" if key == "packages" else f"{name} ")
        elif value is not None:
            items.append((name, clip(value, 400)))
    return items


def _reproduce(run: Run) -> list[Block]:
    words = (
        "The description below is all that determines the results; it is experiment.yaml in the run's folder. Running "
        "it again with the same versions gives the same records."
    )
    return [
        Words([words]),
        Code("Command", "crossfeed run experiment.yaml"),
        Code("experiment.yaml", plain(run.experiment.to_yaml())),
    ]


def _file(name: str, groups: tuple[Group, ...], group: Group) -> str:
    """A file's name; groups of columns are numbered where there are several."""
    return name if len(groups) == 1 else f"{name}-{groups.index(group) + 1}"
