"""The best mix of a measured grid in the terminal, and as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
from rich.console import Console

from crossfeed.display.formatting import number, value_text
from crossfeed.reporting.data.measured_mix import MeasuredPlan
from crossfeed.reporting.files import rows_of
from crossfeed.reporting.terminal.run_data import named
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import say

__all__ = ["measured_plan_data", "render_measured_plan"]

_SHOWN: Final = 6  # mixes of a combination that are listed
_WORDS: Final = frozenset({"model", "among"})  # columns of words, not numbers
_WHO: Final = {"mean": "the mean over models and private tasks", "worst": "the worst model's mean over private tasks"}


def measured_plan_data(plan: MeasuredPlan) -> dict[str, Any]:
    """Return a plan as plain data: lists of rows.

    Args:
        plan: The plan.
    """
    tables = {"best": plan.best, "mixes": plan.mixes, "neighbours": plan.neighbours, "edges": plan.edges}
    rows = {name: rows_of(table) for name, table in (tables | {"entities": plan.entities}).items()}
    facts = {"objective": plan.objective, "metric": plan.measure.metric, "left_out": plan.left_out}
    return named(plan.run) | facts | rows


def render_measured_plan(plan: MeasuredPlan, console: Console) -> None:
    """Print the best mix, how flat it is there, where the grid ends, and each entity for itself.

    Args:
        plan: What to print.
        console: Where to.
    """
    experiment, seeds = plan.run.experiment, len(plan.run.experiment.seeds)
    say(console, f"{experiment.name} ({plan.run.id})", "bold")
    who = _WHO.get(plan.objective, f"{plan.objective}'s mean over private tasks")
    say(console, f"Made best: {plan.measure.title}, {who}, last generation; measured, {_seeds(seeds)}.")
    if plan.left_out:
        say(console, f"Left out: {plan.left_out} of {len(plan.run.points)} points, which are not finished.")
    units = experiment.learner.other_units
    if plan.objective in _WHO and units and any(own != experiment.learner for own in experiment.learners):
        say(console, f"The entities' learners differ: {units}. Ask for one entity with --objective.")
    fields = [name for name in plan.run.points.columns if name in plan.mixes]
    for among in dict.fromkeys(map(str, plan.mixes["among"])):
        mixes = plan.mixes[plan.mixes["among"] == among]
        console.print()
        say(console, f"Best{f' ({among})' if among else ''}: {_best(mixes, fields)}", "bold")
        listed = [[*_mix(row, fields), _of(row, "value"), _excess(row)] for _, row in mixes.head(_SHOWN).iterrows()]
        print_sheet(console, [*fields, plan.measure.title, "above the best"], listed, _WORDS)
        for line in _told(plan, among, mixes, seeds):
            say(console, line)
    console.print()
    say(console, "Each for itself", "bold")
    several = bool(plan.entities["among"].any())
    own = [
        [*[row["among"]] * several, row["model"], *_mix(row, fields), _of(row, "value"), _excess(row)]
        for _, row in plan.entities.iterrows()
    ]
    print_sheet(console, [*["among"] * several, "model", *fields, "there", "the common mix costs"], own, _WORDS)


def _told(plan: MeasuredPlan, among: str, mixes: pd.DataFrame, seeds: int) -> list[str]:
    """Return sentences: how many mixes are as good, the next ones, and the grid's edge."""
    lines = []
    if seeds > 1:
        tied = int(mixes["tied"].sum()) - 1
        lines.append(f"{tied} of {len(mixes) - 1} other mixes cannot be told from it by two standard errors.")
    else:
        lines.append("One seed: nothing says how much of a difference is chance.")
    near = plan.neighbours[plan.neighbours["among"] == among]
    if len(near):
        parts = [f"{row['field']} = {value_text(row['value'])}: {_excess(row)}" for _, row in near.iterrows()]
        lines.append(f"Next to it: {'; '.join(parts)}.")
    for _, row in plan.edges[plan.edges["among"] == among].iterrows():
        way = "smaller" if row["side"] == "lowest" else "larger"
        lines.append(
            f"At the grid's edge: {row['field']} = {value_text(row['value'])} is its {row['side']}; {way} ones may be "
            "better, and were not measured."
        )
    return lines


def _seeds(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"mean ± standard error over {seeds} seeds"


def _best(mixes: pd.DataFrame, fields: Sequence[str]) -> str:
    row = mixes.iloc[0]
    return ", ".join(f"{name} = {value_text(row[name])}" for name in fields) + f", with {_of(row, 'value')}."


def _mix(row: pd.Series[Any], fields: Sequence[str]) -> list[str]:
    return [value_text(row[name]) for name in fields]


def _of(row: pd.Series[Any], name: str) -> str:
    error = row[f"{name}_se"]
    return number(row[name]) + ("" if math.isnan(error) else f" ± {number(error)}")


def _excess(row: pd.Series[Any]) -> str:
    if row["excess"] == 0:
        return "0"
    error = row["excess_se"]
    return (
        f"{row['excess']:+.3g}" + ("" if math.isnan(error) else f" ± {error:.2g}") + f" ({100 * row['price']:+.1f} %)"
    )
