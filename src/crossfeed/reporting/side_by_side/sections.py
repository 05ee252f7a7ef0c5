"""The sections of a page that lays runs beside each other: the blocks of a run's report, over several runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from crossfeed.display.formatting import clip, number, plain, signed
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.differences import paired_differences
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import ChangeTable, evenly
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.data.numbers import change, timing
from crossfeed.reporting.data.terms import definitions, last_generation, length
from crossfeed.reporting.page.blocks import Block, Code, Section, Sheet, Statements, Words
from crossfeed.reporting.page.findings import count, gained, state
from crossfeed.reporting.page.measured import changes, curves
from crossfeed.reporting.page.sections import environment_items, failures, not_run
from crossfeed.reporting.side_by_side.runs import SideBySide

__all__ = ["side_by_side_sections"]

_FIGURES: Final = 4  # grid points that runs share and that have curves of their own
_MODELS: Final = 6
_POINTS: Final = 6
_ROWS: Final = 80
_LISTED: Final = 12
_VALUE: Final = 160  # letters of a field's value


def side_by_side_sections(beside: SideBySide) -> list[Section]:
    """Return all sections that have something to show.

    Args:
        beside: The runs side by side.
    """
    tables = [table for measure in beside.measures if (table := beside.table(measure)) is not None]
    losses = [table for table in tables if table.measure.section == "loss"]
    others = [table for table in tables if table.measure.section != "loss"]
    made = (
        Section("summary", "Summary", _summary(beside)),
        Section("differences", "How the runs differ", _differences(beside)),
        Section("loss", "Loss", [*_measured(beside, losses), *_last_losses(beside)]),
        Section("metrics", "Other metrics", _measured(beside, others)),
        Section("timing", "Time", _timing(beside)),
        Section("left-out", "Cells not run", _of_each(beside, not_run)),
        Section("failures", "Failures", _of_each(beside, failures)),
        Section("definitions", "Definitions", _definitions(beside)),
        Section("environment", "Environment", _environment(beside)),
        Section("reproduce", "How to reproduce", _reproduce(beside)),
    )
    return [section for section in made if section.blocks]


def _summary(beside: SideBySide) -> list[Block]:
    note = (
        "What has the same name in these runs is set side by side; the next section says whether it is the same. A "
        "model gains on a data set when its loss there falls: by so many per cent of what it was at the start. "
        "α, β and all other words are explained under Definitions."
    )
    return [Words([note]), Statements([*_opened(beside), *_found(beside)])]


def _opened(beside: SideBySide) -> list[tuple[str, str]]:
    """Return a description of each run and its state."""
    said = []
    for name, run in zip(beside.names, beside.runs, strict=True):
        models, points = len(run.experiment.ecosystem.entities), len(run.points)
        about = (
            f"Run {run.id}: {count(models, 'model')} of kind {run.experiment.learner.kind}, "
            f"{length(run.experiment)}, {count(points, 'grid point')}, "
            f"{count(len(run.experiment.seeds), 'seed')} each. {state(run)}"
        )
        said.append((plain(name), about))
    return said


def _found(beside: SideBySide) -> list[tuple[str, str]]:
    """Return statements about the models and tasks that all runs measured."""
    numbers = change(beside.records, LOSS)
    numbers = numbers[numbers["generation"] == numbers["point"].map(beside.targets)]
    numbers["run"] = numbers["point"].map(beside.run_of)
    pairs = numbers.groupby(["model", "task"])["run"].nunique()
    pairs = pairs[pairs == len(beside.runs)]
    if pairs.empty or numbers.empty:
        return [("Loss", "No model on any data set was measured to the end in all runs under the same names.")]
    shared = numbers.set_index(["model", "task"]).loc[pairs.index].reset_index()
    private = shared[shared["task"] != PUBLIC]
    statements = [("Loss", text)] if (text := _best(beside, private)) else []
    statements += [
        (plain(name), text) for name in beside.shared().models[:_MODELS] if (text := _model(beside, shared, name))
    ]
    return [(about, text.replace(" %", "\u00a0%")) for about, text in statements]


def _best(beside: SideBySide, private: pd.DataFrame) -> str:
    """Return each run's grid point of the lowest final loss, over the same models and private tasks."""
    private = private.dropna(subset="final")
    if private["run"].nunique() < len(beside.runs):
        return ""
    means = private.groupby(["run", "point"], sort=False)["final"].mean()
    told = []
    for run, letter in enumerate(beside.letters):
        own = means.loc[run]
        start = private.loc[private["run"] == run, "initial"].mean()
        at = beside.columns.labels[int(str(own.idxmin()))]
        told.append(
            (float(own.min()), f"{letter} ended lowest at {at} ({number(own.min())}; it began at {number(start)})")
        )
    pairs = private[["model", "task"]].drop_duplicates()
    lowest = beside.letters[min(range(len(told)), key=lambda place: told[place][0])]
    return (
        f"Averaged over the {count(len(pairs), 'pair')} of model and private task that all runs measured: "
        f"{'; '.join(text for _, text in told)}. Lowest of all: {lowest}."
    )


def _model(beside: SideBySide, shared: pd.DataFrame, name: str) -> str:
    """Return an entity's gains and losses in each run, by data set, at the grid points that runs have in common."""
    own = shared[shared["model"] == name]
    sentences = []
    for label, points in list(beside.alike().items())[:_POINTS]:
        here = own[own["point"].isin(points)].dropna(subset="percent")
        parts = []
        for task in dict.fromkeys(here["task"]):
            rows = here[here["task"] == task].to_dict("records")
            if len(rows) > 1:
                each = ", ".join(f"{gained(row)} in {beside.letters[row['run']]}" for row in rows)
                parts.append(f"on {'public data' if task == PUBLIC else plain(task)} it {each}")
        if parts:
            sentences.append(f"At {label}: {'; '.join(parts)}.")
    return " ".join(sentences)


def _differences(beside: SideBySide) -> list[Block]:
    shared = beside.shared()
    said = [f"Models in all runs: {_listed(shared.models)}. Data sets in all runs: {_listed(shared.tasks)}."]
    for name, run in zip(beside.names, beside.runs, strict=True):
        models = [each for each in run.experiment.ecosystem.names if each not in shared.models]
        tasks = [each for each in run.experiment.tasks if each not in shared.tasks]
        if models or tasks:
            said.append(f"Not in all runs, but in {name}: models {_listed(models)}; data sets {_listed(tasks)}.")
    if shared.other_data:
        said.append(f"Not comparable: the runs have different data under the same name: {_listed(shared.other_data)}.")
    if len(shared.kinds) > 1:
        said.append(
            f"Not comparable: losses of learners of different kinds ({_listed(shared.kinds)}) have different units."
        )
    elif shared.learners_differ and shared.other_units:
        said.append(f"The learners differ: {shared.other_units}.")
    if shared.some_metrics:
        said.append(f"Measured in some runs only: {_listed(shared.some_metrics)}.")
    differences = beside.differences()
    if differences.empty:
        return [Words([*map(plain, said), "The descriptions are the same in every field."])]
    rows = [[plain(row[0]), *(clip(value, _VALUE) for value in row[1:])] for row in differences.to_numpy().tolist()]
    return [
        Words([plain(text) for text in said]),
        Sheet("Fields that differ", ["field", *map(plain, beside.names)], rows),
    ]


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _measured(beside: SideBySide, tables: Sequence[ChangeTable]) -> list[Block]:
    blocks: list[Block] = []
    last = [last_generation(run.experiment) for run in beside.runs]
    each = (f"{letter}: {generation}" for letter, generation in zip(beside.letters, last, strict=True))
    final = last[0] if len(set(last)) == 1 else ", ".join(each)
    for table in tables:
        blocks.append(changes(table, final, len(beside.runs)))
        if "curves" in table.measure.shown:
            blocks += _curves(beside, table)
    return blocks


def _curves(beside: SideBySide, table: ChangeTable) -> list[Block]:
    """Return curves of what several runs measured, in the same axes: a figure for each grid point that they share."""
    rows = [row for row in table.rows if len({beside.run_of(point) for point in row.entries}) > 1]
    metric = table.measure.metric
    if not rows or beside.records.loc[beside.records["metric"] == metric, "generation"].max() == 0:
        return []
    alike = beside.alike()
    if not alike:
        labels = {point: _called(beside, point) for point in beside.columns.points}
        return [curves(table, beside.records, rows, labels, "", metric)]
    chosen = evenly(list(alike), _FIGURES)
    return [
        curves(
            table,
            beside.records,
            rows,
            {point: beside.names[beside.run_of(point)] for point in alike[label]},
            label,
            metric if len(chosen) == 1 else f"{metric}-{place + 1}",
        )
        for place, label in enumerate(chosen)
    ]


def _called(beside: SideBySide, point: int) -> str:
    return f"{beside.letters[beside.run_of(point)]}, {beside.columns.labels[point]}"


def _last_losses(beside: SideBySide) -> list[Block]:
    """Return final losses at the runs' common grid points, with differences from the first run that has the point."""
    numbers = change(beside.records, LOSS)
    numbers["run"] = numbers["point"].map(beside.run_of)
    paired = _paired_with_first(beside)
    rows = []
    for label, points in beside.alike().items():
        here = numbers[numbers["point"].isin(points)]
        for (model, task), part in here.groupby(["model", "task"], sort=False):
            by_run = {row["run"]: row for row in part.to_dict("records")}
            if len(by_run) > 1:
                cells = _beside_first([by_run.get(place) for place in range(len(beside.runs))], paired)
                rows.append([plain(f"{model} on {task}, {label}"), *cells])
    if not rows or len(rows) > _ROWS:
        return []
    unit = declared(LOSS, [run.experiment for run in beside.runs]).unit
    caption = "Last losses" + (f" ({unit})" if unit else "")
    caption += (
        " at the same grid point; in brackets the difference from the first run, ± its standard error: seed by seed "
        "over the seeds that both runs have, or, with fewer than two of these, of the means"
    )
    return [Sheet(caption, ["", *map(plain, beside.names)], rows, numeric=True)]


Differences = Mapping[tuple[int, int, str, str], Mapping[Any, Any]]
"""Paired differences by the points that are compared, model and task."""


def _paired_with_first(beside: SideBySide) -> Differences:
    """Return paired differences of last losses, over the seeds that both points have, where there are two or more."""
    records = beside.records[beside.records["metric"] == LOSS]
    last = records[records["generation"] == records.groupby(["point", "model", "task"])["generation"].transform("max")]
    last = last.assign(generation=0)  # runs need not have as many generations as each other
    pairs = [
        (one, other)
        for points in beside.alike().values()
        for place, one in enumerate(points)
        for other in points[place + 1 :]
    ]
    table = paired_differences(last, last, pairs, [LOSS])
    return {
        (*pairs[row["pair"]], row["model"], row["task"]): row for row in table.to_dict("records") if row["seeds"] > 1
    }


def _beside_first(losses: Sequence[Mapping[Any, Any] | None], paired: Differences) -> list[str]:
    """Return ``2.09``, then ``1.87 (-0.22 ± 0.03)``; seeds that runs do not share are independent."""
    first = next(row for row in losses if row is not None)
    cells = []
    for row in losses:
        if row is None:
            cells.append("–")
            continue
        own = paired.get((first["point"], row["point"], row["model"], row["task"]))
        if own is None:
            gap, error = float(row["final"] - first["final"]), math.hypot(row["final_se"], first["final_se"])
        else:
            gap, error = float(own["difference"]), float(own["difference_se"])
        amount = signed(gap) + ("" if math.isnan(error) else f" ± {error:.2f}")
        cells.append(number(float(row["final"])) + ("" if row is first else f" ({amount})"))
    return cells


def _timing(beside: SideBySide) -> list[Block]:
    spent = [timing(run.records, run.cells).set_index("stage")["total"] for run in beside.runs]
    stages = dict.fromkeys(stage for each in spent for stage in each.index)
    if not stages:
        return []
    rows = [[str(stage), *(number(float(each.get(stage, 0.0))) for each in spent)] for stage in stages]
    rows.append(["all", *(number(float(each.sum())) for each in spent)])
    return [Sheet("Seconds by stage, over all cells", ["stage", *map(plain, beside.names)], rows, numeric=True)]


def _of_each(beside: SideBySide, blocks_of: Callable[[Run], list[Block]]) -> list[Block]:
    """Return blocks of each run that has some, under its name."""
    blocks: list[Block] = []
    for name, run in zip(beside.names, beside.runs, strict=True):
        own = blocks_of(run)
        blocks += [Words([plain(name)]), *own] if own else []
    return blocks


def _definitions(beside: SideBySide) -> list[Block]:
    return [Statements(definitions([run.experiment for run in beside.runs], beside.measures))]


def _environment(beside: SideBySide) -> list[Block]:
    """Return a table of the values in which the runs' environments differ."""
    told = [dict(environment_items(run)) for run in beside.runs]
    names = dict.fromkeys(name for each in told for name in each)
    rows = [[name, *(each.get(name, "–") for each in told)] for name in names]
    different = [row for row in rows if len(set(row[1:])) > 1]
    if not names:
        return []
    if not different:
        return [Words(["All runs were made in the same environment, as far as it is written down."])]
    return [Sheet("Environments, where they differ", ["", *map(plain, beside.names)], different)]


def _reproduce(beside: SideBySide) -> list[Block]:
    blocks: list[Block] = [Words(["Each description is experiment.yaml in its run's folder; it is run by itself."])]
    for name, letter, run in zip(beside.names, beside.letters, beside.runs, strict=True):
        blocks.append(Code(f"{plain(name)}, run {run.id}", f"crossfeed run {letter}.yaml"))
        blocks.append(Code(f"{letter}.yaml", plain(run.experiment.to_yaml())))
    return blocks
