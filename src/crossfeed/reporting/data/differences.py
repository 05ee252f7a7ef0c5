"""Paired differences of grid points over seeds, as tables: pure functions of records, no I/O.

A row is a metric of a model on a task at one generation, in two points whose seeds are paired by number. Statistics are
those of `crossfeed.reporting.data.paired`; a table's p-values are corrected together, after Holm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from crossfeed.reporting.data.numbers import mark
from crossfeed.reporting.data.paired import CONFIDENCE, Paired, holm, paired
from crossfeed.settings import Measure

__all__ = ["judged", "paired_differences"]

_KEYS: Final = ["pair", "metric", "model", "task", "generation"]
_NUMBERS: Final = {
    "against_mean": "first",
    "of_mean": "second",
    "difference": "difference",
    "difference_se": "se",
    "lower": "lower",
    "upper": "upper",
    "p": "p",
    "d_z": "d_z",
    "g_z": "g_z",
}
_COLUMNS: Final = [*list(_NUMBERS)[:6], "error", *list(_NUMBERS)[6:]]


def paired_differences(
    against: pd.DataFrame,
    of: pd.DataFrame,
    pairs: Sequence[tuple[int, int]],
    metrics: Sequence[str],
    generation: int | None = None,
) -> pd.DataFrame:
    """Return the differences of pairs of grid points, each seed's own, and their statistics over seeds.

    Args:
        against: Records with ``point``: what is subtracted.
        of: Records with ``point``: what it is subtracted from; the same table for points of one run.
        pairs: Positions of the two points of each pair: in `against`, in `of`.
        metrics: The metrics.
        generation: The generation t; default: for each metric of each model, the last one that some seed has in both
            points. Seeds that lack it in one of them do not count.

    Returns:
        ``pair`` (position in `pairs`), ``metric, model, task, generation, seeds``, means over seeds ``against_mean``
        and ``of_mean``, ``difference`` (of minus against), ``difference_se``, its 95 % interval ``lower`` to ``upper``,
        ``error`` (``seeds``, or ``none`` with one seed or without spread), ``p, d_z, g_z``, and ``seed``, the only one
        where there is one (else -1). Pair by pair, in the order of the records.
    """
    places = pd.DataFrame(list(pairs), columns=["against", "of"], dtype=np.int64).rename_axis("pair").reset_index()
    first, second = (_of_pairs(records, places, side, metrics) for records, side in ((against, "against"), (of, "of")))
    there = [each[["pair", "metric", "model", "seed", "generation"]].drop_duplicates() for each in (first, second)]
    both = there[0].merge(there[1])
    if generation is None:
        chosen = both.groupby(["pair", "metric", "model"], sort=False)["generation"].max().reset_index()
    else:
        chosen = both.loc[both["generation"] == generation, ["pair", "metric", "model", "generation"]].drop_duplicates()
    first, second = (each.merge(chosen) for each in (first, second))
    joined = first.merge(second, on=[*_KEYS, "seed"], suffixes=("_against", "_of"))
    joined = joined.dropna(subset=["value_against", "value_of"]).sort_values("pair", kind="stable")
    rows, seeds = joined.groupby(_KEYS, sort=False).ngroup().to_numpy(), pd.factorize(joined["seed"])[0]
    shape = (int(rows.max(initial=-1)) + 1, int(seeds.max(initial=-1)) + 1)
    values = {side: np.full(shape, np.nan) for side in ("against", "of")}
    for side, table in values.items():
        table[rows, seeds] = joined[f"value_{side}"]
    keys = joined.drop_duplicates(_KEYS)[[*_KEYS, "seed"]].reset_index(drop=True)
    return _with_statistics(keys, paired(values["against"], values["of"]))


def judged(table: pd.DataFrame, measures: Mapping[str, Measure], detect: float | None = None) -> pd.DataFrame:
    """Add what is said of a table of differences as a whole.

    Args:
        table: From `paired_differences`; the errors of some rows may be those of items.
        measures: The declarations of its metrics.
        detect: A difference, in the metric's unit, that one wants to be able to find.

    Returns:
        The table with ``p_holm`` (corrected for the number of its rows), ``seeds_needed`` (how many seeds
        find a difference as large as the observed one, four times in five: `crossfeed.reporting.data.power`), the same
        for `detect` as ``seeds_to_detect``, and ``verdict``: the metric's word for a fall or a rise if the corrected p
        is below 0.05 (or the interval over items leaves out zero), else as in `crossfeed.reporting.data.numbers.mark`.
    """
    from crossfeed.reporting.data.power import seeds_for  # scipy's distributions take a second to load

    told = table.assign(p_holm=holm(table["p"]), seeds_needed=seeds_for(table["d_z"]))
    if detect is not None:
        deviation = table["difference_se"] * np.sqrt(table["seeds"])
        known = (table["error"] == "seeds") & (deviation > 0)
        told["seeds_to_detect"] = seeds_for(detect / deviation.where(known))
    told["verdict"] = [_verdict(row, measures[str(row["metric"])]) for row in told.to_dict("records")]
    return told


def _of_pairs(records: pd.DataFrame, pairs: pd.DataFrame, side: str, metrics: Sequence[str]) -> pd.DataFrame:
    chosen = records[records["metric"].isin(list(metrics)) & records["point"].isin(pairs[side])]
    columns = ["point", "metric", "model", "task", "generation", "seed", "value"]
    return chosen[columns].merge(pairs[["pair", side]], left_on="point", right_on=side).drop(columns=["point", side])


def _with_statistics(keys: pd.DataFrame, statistics: Paired) -> pd.DataFrame:
    numbers = {name: getattr(statistics, field) for name, field in _NUMBERS.items()}
    numbers["error"] = np.where(np.isnan(statistics.lower), "none", "seeds")
    numbers["seed"] = np.where(statistics.seeds == 1, keys["seed"], -1)
    table = keys.drop(columns="seed").assign(seeds=statistics.seeds, **numbers)
    return table[[*_KEYS, "seeds", *_COLUMNS, "seed"]]


def _verdict(row: Mapping[Any, Any], measure: Measure) -> str:
    difference, lower, upper = (float(row[name]) for name in ("difference", "lower", "upper"))
    if row["error"] == "seeds" and row["p_holm"] > 1 - CONFIDENCE:
        return mark(difference, -np.inf, np.inf, measure)  # by itself it may leave out zero; among so many it does not
    return mark(difference, lower, upper, measure)
