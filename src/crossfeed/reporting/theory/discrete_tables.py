"""A prediction of discrete models in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pandas as pd
from rich.console import Console

from crossfeed.display.formatting import number, value_text
from crossfeed.exact.discrete import HETEROZYGOSITY, SURVIVORS
from crossfeed.exact.prediction import Prediction
from crossfeed.reporting.data.layout import evenly
from crossfeed.reporting.data.terms import CHOSEN, DISCRETE, WEIGHTS, last_generation
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import say
from crossfeed.reporting.theory.figures import field_label

__all__ = ["render_discrete"]

_CELLS: Final = 24  # more are not listed one by one
_MODELS: Final = 6  # more are summed up by their mean


def render_discrete(prediction: Prediction, console: Console) -> None:
    """Print heterozygosity, surviving symbols and distance from the truth, first and last, of every cell and model.

    Args:
        prediction: What to print.
        console: Where to.
    """
    experiment = prediction.experiment
    seed = experiment.seeds[0]
    records = prediction.records[prediction.records["seed"] == seed]
    cells = records["cell"].unique().tolist()
    shown, T = evenly(cells, _CELLS), last_generation(experiment)
    note = "" if len(shown) == len(cells) else f" {len(shown)} of {len(cells)} cells, evenly chosen; all are in files."
    say(console, f"{experiment.name} ({experiment.id})", "bold")
    models = len(experiment.ecosystem.entities)
    until = "generation 0" if experiment.ends == (0,) else f"generations 0 to {T}"
    say(console, f"{models} discrete model{'s' * (models > 1)}; {until}, exact: nothing is simulated.{note}")
    console.print()
    chosen = experiment.ecosystem.preferences is not None
    what = f"without sampling noise, at t=0 and t={T}" if chosen else f"at t=0 and t={T}"
    rest = "" if chosen else f"; surviving symbols {_kind(records)}"
    say(console, f"Expected {what}{rest}", "bold")
    heads = [field_label(path) for path in experiment.grid]
    columns = _CHOSEN if chosen else _SAMPLED
    at = [f"{title} t={t}" for title in columns for t in (0, T)]
    rows = [row for cell in shown for row in _rows(prediction, records[records["cell"] == cell], columns)]
    print_sheet(console, [*heads, "model", *at], rows, {"model"})
    console.print()
    say(console, f"{WEIGHTS} {CHOSEN if chosen else DISCRETE}", "dim")


def _kind(records: pd.DataFrame) -> str:
    cells = records["cell"].nunique()
    exact = records.loc[records["metric"] == SURVIVORS, "cell"].nunique()
    if exact == cells:
        return "exactly"
    return "at least and at most" if exact == 0 else "exactly, or at least and at most"


def _rows(prediction: Prediction, own: pd.DataFrame, columns: Mapping[str, Show]) -> list[list[str]]:
    """Return the rows of one cell: one for each model, or one for the mean of many."""
    ecosystem = prediction.experiment.ecosystem
    place = [value_text(own.iloc[0][path]) for path in prediction.experiment.grid]
    task = {entity.name: next(iter(entity.owned)) for entity in ecosystem.entities}
    own = own[own["task"] == own["model"].map(task)]
    wide = own.pivot_table(index="model", columns=["metric", "generation"], values="value")
    wide = wide.loc[list(ecosystem.names)]
    if len(wide) > _MODELS:
        wide = wide.mean().to_frame(f"mean of {len(wide)}").T
    ends = [0, int(own["generation"].max())]
    return [
        [*place, str(name), *(show(row, t) for show in columns.values() for t in ends)] for name, row in wide.iterrows()
    ]


def _diversity(row: pd.Series, t: int) -> str:
    return f"{row[HETEROZYGOSITY, t]:.4f}"


def _survivors(row: pd.Series, t: int) -> str:
    if (SURVIVORS, t) in row.index:
        return number(float(row[SURVIVORS, t]))
    return "–".join(number(float(row[f"{SURVIVORS}_{end}", t])) for end in ("lower", "upper"))


def _distance(row: pd.Series, t: int) -> str:
    return f"{row['total_variation_of_mean', t]:.3f}"


Show = Callable[[pd.Series, int], str]

_SAMPLED: Final[Mapping[str, Show]] = {"H": _diversity, "symbols": _survivors, "distance": _distance}
_CHOSEN: Final[Mapping[str, Show]] = {
    "reward": lambda row, t: f"{row['reward', t]:.4f}",
    "entropy": lambda row, t: f"{row['entropy', t]:.3f}",
    "distance": lambda row, t: f"{row['total_variation', t]:.3f}",
}
