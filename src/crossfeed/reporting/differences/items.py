"""Errors over test items, for differences that only one seed has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.item_bootstrap import item_errors
from crossfeed.reporting.differences.pairs import Pairs

__all__ = ["with_item_errors"]

_SUMS: Final = {"loss": ("loss", "size"), "completion_loss": ("completion_loss", "completion_size")}
"""Metrics that are ratios of sums over items, and the columns of the sums in the tables of losses."""


def with_item_errors(table: pd.DataFrame, first: Run, second: Run, pairs: Pairs) -> pd.DataFrame:
    """Return a table of differences with errors over items where one seed has none over seeds, if losses were kept.

    Args:
        table: From `crossfeed.reporting.data.differences.paired_differences`.
        first: The run of the points that are subtracted.
        second: The run of the others.
        pairs: The pairs of points.
    """
    alone = table[(table["seeds"] == 1) & table["metric"].isin(list(_SUMS))]
    filled = table.copy()
    for _, rows in alone.groupby(["pair", "generation", "seed"], sort=False):
        pair, generation, seed = (int(rows[name].iloc[0]) for name in ("pair", "generation", "seed"))
        losses = [
            _losses(run, point, seed, generation) for run, point in zip((first, second), pairs[pair], strict=True)
        ]
        if any(each.empty for each in losses):
            continue
        for (metric, task), some in rows.groupby(["metric", "task"], sort=False):
            _fill(filled, some, losses, str(metric), str(task), seed)
    return filled


def _losses(run: Run, point: int, seed: int, generation: int) -> pd.DataFrame:
    cells = run.cells.loc[(run.cells["point"] == point) & (run.cells["seed"] == seed), "cell"]
    return run.item_losses(str(cells.iloc[0]), generation)


def _fill(
    table: pd.DataFrame, rows: pd.DataFrame, losses: list[pd.DataFrame], metric: str, task: str, seed: int
) -> None:
    """Write errors of one task's differences into the table; models of which items are missing keep none."""
    wide = [_by_item(each, metric, task) for each in losses]
    models = dict(zip(rows.index, rows["model"], strict=True))
    items = {p: [each[model] for each in wide] for p, model in models.items() if all(model in each for each in wide)}
    usual = next(iter(items.values()))[0].index if items else None
    places = [place for place, parts in items.items() if all(part.index.equals(usual) for part in parts)]
    if not places:
        return
    sums = [[part[name].to_numpy(dtype=float) for part in items[p] for name in ("total", "terms")] for p in places]
    errors = item_errors(*np.moveaxis(np.array(sums), 1, 0), seed, metric, task)
    # What was measured on other items than were kept, as with another number of them, has no error from these.
    whole = np.isclose(errors.difference, rows.loc[places, "difference"], rtol=1e-4, atol=1e-6)
    numbers = {"difference_se": errors.se, "lower": errors.lower, "upper": errors.upper}
    for name, values in numbers.items():
        table.loc[np.array(places)[whole], name] = values[whole]
    table.loc[np.array(places)[whole], "error"] = "items"


def _by_item(losses: pd.DataFrame, metric: str, task: str) -> Mapping[Any, pd.DataFrame]:
    """Return each model's summed losses and numbers of terms by item."""
    total, terms = _SUMS[metric]
    own = losses[losses["task"] == task].rename(columns={total: "total", terms: "terms"})
    return {model: part.set_index("item")[["total", "terms"]].sort_index() for model, part in own.groupby("model")}
