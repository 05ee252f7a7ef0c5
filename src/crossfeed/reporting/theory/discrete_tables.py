"""A prediction of discrete models in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console

from crossfeed.display.formatting import number, value_text
from crossfeed.exact.curated import ENTROPY, REWARD
from crossfeed.exact.discrete import HETEROZYGOSITY, SURVIVORS
from crossfeed.exact.prediction import Prediction
from crossfeed.reporting.data.layout import evenly
from crossfeed.reporting.data.terms import CHOICE, DISCRETE, WEIGHTS, last_generation
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import say
from crossfeed.reporting.theory.figures import field_label

__all__ = ["render_discrete"]

_CELLS: Final = 24  # more are not listed one by one
_MODELS: Final = 6  # more are summed up by their mean
_REST: Final = -1  # in the place of a generation


def render_discrete(prediction: Prediction, console: Console) -> None:
    """Print the first and last numbers of every cell and model, and those where models come to rest.

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
    chosen = experiment.ecosystem.preferences is not None
    exact = "without sampling noise (training sets without end)" if chosen else "exact: nothing is simulated"
    say(console, f"{models} discrete model{'s' * (models > 1)}; {until}, {exact}.{note}")
    console.print()
    what = ", and where the models come to rest" if chosen else f"; surviving symbols {_kind(records)}"
    say(console, f"Expected at t=0 and t={T}{what}", "bold")
    heads = [field_label(path) for path in experiment.grid]
    at = (
        [f"{what} {when}" for what in (REWARD, ENTROPY) for when in ("t=0", f"t={T}", "at rest")]
        if chosen
        else ["H t=0", f"t={T}", "at rest", "symbols t=0", f"symbols t={T}", "distance"]
    )
    make = _choice_rows if chosen else _rows
    rows = [row for cell in shown for row in make(prediction, records[records["cell"] == cell])]
    print_sheet(console, [*heads, "model", *at], rows, {"model"})
    console.print()
    say(console, f"{WEIGHTS} {CHOICE if chosen else DISCRETE}", "dim")


def _kind(records: pd.DataFrame) -> str:
    cells = records["cell"].nunique()
    exact = records.loc[records["metric"] == SURVIVORS, "cell"].nunique()
    if exact == cells:
        return "exactly"
    return "at least and at most" if exact == 0 else "exactly, or at least and at most"


def _rows(prediction: Prediction, own: pd.DataFrame) -> list[list[str]]:
    """Return the rows of one cell: one for each model, or one for the mean of many."""
    last = int(own["generation"].max())
    return [
        [
            *place,
            *(_told(row, HETEROZYGOSITY, t) for t in (0, last, _REST)),
            *(_survivors(row, t) for t in (0, last)),
            _distance(row, last),
        ]
        for place, row in _models(prediction, own)
    ]


def _choice_rows(prediction: Prediction, own: pd.DataFrame) -> list[list[str]]:
    """Return the same where items are chosen among candidates."""
    times = [0, int(own["generation"].max()), _REST]
    return [
        [*place, *(_told(row, metric, t) for metric in (REWARD, ENTROPY) for t in times)]
        for place, row in _models(prediction, own)
    ]


def _models(prediction: Prediction, own: pd.DataFrame) -> Iterator[tuple[list[str], pd.Series]]:
    """Yield a cell's models: place in the grid and name, and numbers on their own tasks by metric and generation."""
    ecosystem = prediction.experiment.ecosystem
    place = [value_text(own.iloc[0][path]) for path in prediction.experiment.grid]
    task = {entity.name: next(iter(entity.owned)) for entity in ecosystem.entities}
    limit = prediction.limit[prediction.limit["cell"] == own["cell"].iloc[0]].assign(generation=_REST)
    both = own if limit.empty else pd.concat([own, limit])
    both = both[both["task"] == both["model"].map(task)]
    wide = both.pivot_table(index="model", columns=["metric", "generation"], values="value", dropna=False)
    wide = wide.loc[list(ecosystem.names)]
    shown = wide.mean().to_frame(f"mean of {len(wide)}").T if len(wide) > _MODELS else wide
    for name, row in shown.iterrows():
        yield [*place, str(name)], row


def _told(row: pd.Series, metric: str, t: int) -> str:
    value = row.get((metric, t), np.nan)
    return "–" if np.isnan(value) else f"{value:.4f}"


def _survivors(row: pd.Series, t: int) -> str:
    if (SURVIVORS, t) in row.index:
        return number(float(row[SURVIVORS, t]))
    return "–".join(number(float(row[f"{SURVIVORS}_{end}", t])) for end in ("lower", "upper"))


def _distance(row: pd.Series, t: int) -> str:
    return f"{row['total_variation_of_mean', t]:.3f}"
