r"""Records -> tables of numbers: pure functions, no I/O.

Records have one row a number (`crossfeed.store.schema.RECORD_COLUMNS`) and the column ``point``: the position of their
grid point. Cells of one point differ in the seed alone and are averaged; a standard error over S seeds is
:math:`s / \sqrt{S}` with the sample standard deviation s, and not a number for one seed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.reporting.data.paired import interval
from crossfeed.settings import Measure

__all__ = [
    "OTHERS",
    "OWN",
    "by_generation",
    "by_others",
    "change",
    "mark",
    "mixture",
    "timing",
    "verdict",
]

OWN: Final = "its own"
OTHERS: Final = "the others'"
"""Sources of a training set, neither of which can be an entity's name."""

_STAGES: Final = ("start", "publish", "compose", "update", "store", "measure")
_KEYS: Final = ["point", "model", "task"]
_ROUNDING: Final = 1e-9  # 3.1 - 3.0 is a little more than 0.1 in binary


def by_generation(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric over generations.

    Args:
        records: Records with ``point``.
        metric: The metric's name.

    Returns:
        ``point, model, task, generation, mean, se, seeds``, in the order of the records.
    """
    chosen = records[records["metric"] == metric]
    values = chosen.groupby([*_KEYS, "generation"], sort=False)["value"]
    return pd.DataFrame({"mean": values.mean(), "se": values.sem(), "seeds": values.count()}).reset_index()


def change(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric from generation 0, or from a model's arrival, to the last generation that was measured.

    Seeds are compared with themselves: only those that reached the last generation of their point count, at both ends,
    and the standard error of a change is that of the seeds' own changes.

    Args:
        records: Records with ``point``.
        metric: The metric's name.

    Returns:
        ``point, model, task, generation`` (the last one), ``seeds``, then mean and standard error (``_se``) of
        ``initial``, ``final``, ``change`` and ``percent`` (of each seed's own initial value), and the 95 % interval of
        the change, ``change_lower`` to ``change_upper`` (`crossfeed.reporting.data.paired.interval`; nan for one seed).
    """
    chosen = records.loc[records["metric"] == metric, [*_KEYS, "seed", "generation", "value"]]
    last = chosen[chosen["generation"] == chosen.groupby(_KEYS)["generation"].transform("max")]
    begin = chosen["generation"] == chosen.groupby(_KEYS)["generation"].transform("min")
    first = chosen.loc[begin, [*_KEYS, "seed", "value"]].rename(columns={"value": "initial"})
    both = first.merge(last.rename(columns={"value": "final"}), on=[*_KEYS, "seed"])
    both["change"] = both["final"] - both["initial"]
    both["percent"] = 100 * both["change"] / both["initial"].where(both["initial"] != 0)
    grouped = both.groupby(_KEYS, sort=False)
    columns = {"generation": grouped["generation"].max(), "seeds": grouped["seed"].count()}
    for name in ("initial", "final", "change", "percent"):
        columns |= {name: grouped[name].mean(), f"{name}_se": grouped[name].sem()}
    table = pd.DataFrame(columns).reset_index()
    scale = table[["initial", "final"]].abs().max(axis="columns")
    lower, upper = interval(table["change"], table["change_se"], table["seeds"], scale)
    return table.assign(change_lower=lower, change_upper=upper)


def verdict(change: float, band: float, words: tuple[str, str]) -> str:
    """Return the mark of a change by its size alone.

    Args:
        change: Final minus initial.
        band: A change of at most this, either way, is none.
        words: What a fall and a rise are called: ``("better", "worse")`` for losses.

    Returns:
        One of `words`, ``same``, or ``unknown`` for a change that is not a number.
    """
    if change != change:  # noqa: PLR0124 - the test for a value that is not a number
        return "unknown"
    if abs(change) <= band + _ROUNDING:
        return "same"
    return words[0] if change < 0 else words[1]


def mark(change: float, lower: float, upper: float, measure: Measure) -> str:
    """Return the mark of a change that may have an interval.

    A change counts as one if its interval leaves out zero, however small it is. If the interval holds zero, the change
    is ``same`` where it is within the metric's dead band, and ``unclear`` where it is larger than that: more seeds
    would tell. Without an interval, as with one seed, the dead band alone decides.

    Args:
        change: Final minus initial.
        lower: Lower end of its 95 % interval; nan if there is none.
        upper: Upper end of its 95 % interval; nan if there is none.
        measure: The metric's declaration: its dead band, and what a fall and a rise are called.

    Returns:
        One of `Measure.words`, ``same``, ``unclear``, or ``unknown`` for a change that is not a number.
    """
    if np.isnan(lower) or np.isnan(upper):
        return verdict(change, measure.band, measure.words)
    if lower > 0 or upper < 0:
        return measure.words[int(lower > 0)]
    return "same" if verdict(change, measure.band, measure.words) == "same" else "unclear"


def mixture(records: pd.DataFrame) -> pd.DataFrame:
    """Return the realised composition of training sets.

    Args:
        records: Records with ``point``.

    Returns:
        ``point, model, source, generation, drawn`` (mean count over seeds) and ``share`` of the training set.
    """
    table = by_generation(records, "drawn").rename(columns={"task": "source", "mean": "drawn"})
    total = table.groupby(["point", "model", "generation"])["drawn"].transform("sum")
    table["share"] = table["drawn"] / total.where(total > 0)
    return table[["point", "model", "source", "generation", "drawn", "share"]]


def by_others(mixed: pd.DataFrame) -> pd.DataFrame:
    """Return a mixture with authors' names replaced by `OWN` (the model itself) and `OTHERS` (all other models).

    Args:
        mixed: From `mixture`.
    """
    human = mixed["source"].isin([PRIVATE, PUBLIC, FRESH])
    written = np.where(mixed["source"] == mixed["model"], OWN, OTHERS)
    keys = ["point", "model", "source", "generation"]
    told = mixed.assign(source=mixed["source"].where(human, written))
    return told.groupby(keys, sort=False)[["drawn", "share"]].sum().reset_index()


def timing(records: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the time spent in each stage.

    Args:
        records: Records with ``point``.
        cells: ``cell`` and ``zero``; a generation 0 that cells share is listed under each of them but was made once.

    Returns:
        By ``stage``: seconds at generation 0 (``first``), in all later ones (``later``), ``total``, the mean of one
        later generation of one cell (``each``) and the ``share`` of the whole.
    """
    spent = records[records["metric"] == "seconds"].merge(cells[["cell", "zero"]], on="cell")
    start = spent[spent["generation"] == 0].drop_duplicates(["zero", "task"]).groupby("task", sort=False)["value"].sum()
    rest = spent[spent["generation"] > 0].groupby("task", sort=False)["value"]
    measured = dict.fromkeys(spent["task"])
    stages = [stage for stage in _STAGES if stage in measured] + [stage for stage in measured if stage not in _STAGES]
    table = pd.DataFrame({"first": start, "later": rest.sum(), "each": rest.mean()}, index=pd.Index(stages))
    table[["first", "later"]] = table[["first", "later"]].fillna(0.0)
    table["total"] = table["first"] + table["later"]
    table["share"] = table["total"] / table["total"].sum() if len(table) else table["total"]
    table.index.name = "stage"
    return table[["first", "later", "total", "each", "share"]].reset_index()
