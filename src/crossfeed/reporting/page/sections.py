"""The sections of a run's report, each a function from the run to blocks; one that has nothing to show gives none.

To add a section, write its function and add it to `sections`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import clip, number, plain
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.reporting.data.exact import Theory
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of, evenly
from crossfeed.reporting.data.measures import LOSS, of_section
from crossfeed.reporting.data.numbers import OTHERS, OWN, by_others, mixture, timing
from crossfeed.reporting.data.terms import definitions
from crossfeed.reporting.drawing import figures
from crossfeed.reporting.drawing.figures import Panel
from crossfeed.reporting.page.blocks import (
    Block,
    Code,
    Facts,
    Picture,
    Samples,
    Section,
    Sheet,
    Statements,
    Words,
    file_name,
    left_out,
)
from crossfeed.reporting.page.collapse import which_collapse
from crossfeed.reporting.page.discrete import discrete_beside
from crossfeed.reporting.page.findings import findings, opening
from crossfeed.reporting.page.forecasts import forecast_beside
from crossfeed.reporting.page.image_samples import image_samples
from crossfeed.reporting.page.landscapes import landscapes
from crossfeed.reporting.page.matrices import gains, loss_matrices
from crossfeed.reporting.page.measured import measured
from crossfeed.reporting.page.paired import paired_section
from crossfeed.reporting.page.projections import clouds
from crossfeed.reporting.page.samples import points_left_out, samples
from crossfeed.running.left_out import percent

__all__ = ["environment_items", "failures", "not_run", "sections"]

_GROUPS: Final = 4
_POINTS: Final = 4  # of each group, in figures of mixtures
_MODELS: Final = 4  # whose outputs stand side by side
_TASKS: Final = 6  # whose prompts are shown
_AUTHORS: Final = 8  # of more models a training set's parts are not told apart by author, nor all shown


def sections(run: Run, theory: Theory) -> list[Section]:
    """Return all sections that have something to show.

    Args:
        run: The run.
        theory: What exact theory says of it.
    """
    losses = of_section(run.measures, "loss")
    main, rest = ([each for each in losses if (each.metric == LOSS) is is_main] for is_main in (True, False))
    made = (
        Section("summary", "Summary", _summary(run)),
        Section("loss", "Loss", [*measured(run, main, theory), *loss_matrices(run), *measured(run, rest)]),
        Section("differences", "Differences", paired_section(run)),
        Section("gains", "Who learnt from whom", gains(run, theory)),
        Section("landscape", "Synthetic and private shares", landscapes(run, theory)),
        Section("forecast", "Forecast beside measurement", forecast_beside(run)),
        Section("collapse", "Which collapse?", which_collapse(run, theory)),
        Section(
            "similarity",
            "Similarity of outputs",
            [*measured(run, of_section(run.measures, "similarity"), theory), *discrete_beside(run, theory)],
        ),
        Section("outputs", "Outputs", [*clouds(run), *image_samples(run), *_samples(run)]),
        Section("quality", "Accuracy and diversity", measured(run, of_section(run.measures, "quality"))),
        Section("metrics", "Other metrics", measured(run, of_section(run.measures, "metrics"))),
        Section("mixture", "Realised mixture", _mixture(run)),
        Section("notes", "Data and models", _notes(run)),
        Section("timing", "Time", _timing(run)),
        Section("left-out", "Cells not run", not_run(run)),
        Section("failures", "Failures", failures(run)),
        Section("definitions", "Definitions", [Statements(definitions([run.experiment], run.measures))]),
        Section("environment", "Environment", _environment(run)),
        Section("reproduce", "How to reproduce", _reproduce(run)),
    )
    return [section for section in made if section.blocks]


def _summary(run: Run) -> list[Block]:
    statements = findings(run)
    if not statements:
        return [Words(opening(run))]
    means = (
        "A model gains on a data set when its loss there falls: by so many per cent of what it was at the start. α, β "
        "and all other words are explained under Definitions."
    )
    return [Words([*opening(run), means]), Statements(statements)]


def _samples(run: Run) -> list[Block]:
    shown = samples(run)
    if not shown:
        return []
    note = (
        "What models wrote, for the first test prompts of each data set, at the first seed. The same prompt gets the "
        "same random numbers at every generation, so what changes is the model. Long texts are cut; control characters "
        f"are shown as ⟨U+…⟩.{points_left_out(run)}"
    )
    models, tasks = run.experiment.ecosystem.names, list(dict.fromkeys(sample.task for sample in shown))
    told = evenly(tasks, _TASKS)
    if len(models) > _MODELS or len(told) < len(tasks):
        note += (
            f" Of {len(models)} models and {len(tasks)} data sets some are shown, evenly chosen, and each data set's "
            "own model; all are in samples.csv."
        )
    owners = {task: name for name, tasks in run.experiment.ecosystem.owned.items() for task in tasks}
    chosen = [sample.by(_writers(models, owners.get(sample.task))) for sample in shown if sample.task in told]
    return [Words([note]), Samples(chosen)]


def _writers(models: Sequence[str], owner: str | None) -> list[str]:
    """Return models whose outputs are shown side by side, the data set's own among them."""
    chosen = evenly(models, _MODELS)
    return chosen if owner is None or owner in chosen else [owner, *chosen[1:]]


def _mixture(run: Run) -> list[Block]:
    names = run.experiment.ecosystem.names
    many = len(names) > _AUTHORS
    frame = by_others(mixture(run.records)) if many else mixture(run.records)
    if frame.empty:
        return []
    whole = columns_of(run.points, greek=True)
    columns = whole.some(_GROUPS, _POINTS)
    known = {PRIVATE: "private data", PUBLIC: "public data", FRESH: "fresh human data"}
    known |= (
        {OWN: "its own outputs", OTHERS: "other models' outputs"} if many else {n: f"written by {n}" for n in names}
    )
    present = set(frame.loc[frame["drawn"] > 0, "source"])
    sources = {source: text for source, text in known.items() if source in present}
    some = f" {_AUTHORS} of {len(names)} models, evenly chosen; all are in mixture.csv." if many else ""
    some += left_out(len(columns.points), len(whole.points), "mixture.csv")
    blocks: list[Block] = []
    for group in columns.groups:
        panels = [
            Panel(f"{name}, {columns.heads[point]}", {"model": name, "point": point})
            for name in evenly(names, _AUTHORS)
            for point in group.points
        ]
        title = "What training sets were made of" + (f" ({group.label})" if group.label else "")
        draw: Callable[[float], Figure] = partial(_draw_shares, frame, panels, sources, len(group.points))
        alt = f"{title}, over generations, for every model: shares of {', '.join(sources.values())}. See mixture.csv."
        caption = f"{title}: share of each source in the drawn training set.{some}"
        blocks.append(Picture(file_name("mixture", columns.groups, group), alt, caption, draw))
    return blocks


def _draw_shares(
    frame: pd.DataFrame, panels: list[Panel], sources: dict[str, str], columns: int, width: float
) -> Figure:
    return figures.shares(frame, panels, sources, width=width, columns=max(columns, 2))


def _notes(run: Run) -> list[Block]:
    """Return what is to be known of data and models; each sentence begins with what it is about."""
    told = [plain(sentence).partition(": ") for sentence in run.notes]
    return [Statements([(about, what) for about, _, what in told])] if told else []


def _timing(run: Run) -> list[Block]:
    spent = timing(run.records, run.cells)
    if spent.empty:
        return []
    told = ", ".join(f"{stage} {number(total)} s" for stage, total in zip(spent["stage"], spent["total"], strict=True))
    caption = "Seconds in every stage, over all cells; a generation 0 that cells share is counted once."
    rows = [
        [str(row["stage"]), *(_seconds(float(row[name])) for name in ("first", "later", "total", "each"))]
        for row in spent.to_dict("records")
    ]
    rows.append(["all", *(_seconds(float(spent[name].sum())) for name in ("first", "later", "total", "each"))])
    head = ["stage", "generation 0", "later ones", "total", "each later one"]
    return [
        Picture("timing", f"Seconds by stage: {told}.", caption, lambda width: figures.times(spent, width=width)),
        Sheet("Seconds by stage", head, rows, numeric=True),
    ]


def _seconds(value: float) -> str:
    """Return seconds of a stage; of what never happens there are none."""
    digits = 0 if value >= 100 or value == 0 else 2 if value >= 0.1 else 4
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def not_run(run: Run) -> list[Block]:
    """Return cells that were not run because their losses are forecast well enough.

    Args:
        run: The run.
    """
    if run.left_out.empty:
        return []
    rows = [
        [plain(row["cell"]), percent(row["half_width"]), percent(row["threshold"])]
        for row in run.left_out.to_dict("records")
    ]
    note = (
        "These cells were left out: the 80 % bands of their last losses, as they are forecast, are narrow enough. "
        "None of these losses is measured."
    )
    head = ["cell", "largest half-width", "at most"]
    return [Words([note]), Sheet("Cells that were forecast and not run", head, rows, numeric=True)]


def failures(run: Run) -> list[Block]:
    """Return cells that stopped, and why.

    Args:
        run: The run.
    """
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
    items = environment_items(run)
    return [Facts(items)] if items else []


def environment_items(run: Run) -> list[tuple[str, str]]:
    """Return names and values of the environment in which a run was executed.

    Args:
        run: The run.
    """
    return _flat(run.environment)


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as one list of names and values."""
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
