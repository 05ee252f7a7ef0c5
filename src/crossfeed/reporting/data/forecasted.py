"""A run's stored forecast beside what the run measured."""

from __future__ import annotations

from typing import Final

import pandas as pd

from crossfeed.reporting.data.frames import Run

__all__ = ["beside_measured"]

_KEYS: Final = ["cell", "generation", "model", "task", "metric"]
_NUMBERS: Final = ["surrogate", "lower", "upper", "geometric", "measured"]
_COLUMNS: Final = ["point", *_KEYS, *_NUMBERS, "basis", "remark"]


def beside_measured(run: Run) -> pd.DataFrame:
    """Return the forecast that is stored with a run, and the run's own numbers; empty if it is not whole.

    Args:
        run: The run.

    Returns:
        ``point, cell, generation, model, task, metric, surrogate, lower, upper, geometric, measured, basis, remark``:
        the surrogate's value with its 80 % band (nan for what was measured when the forecast was made), and nan in
        ``measured`` where the run has no number. Rows of generation 0 are among them.
    """
    table = run.store.read_result("forecast")
    if table is None or not {"value", *_COLUMNS} - {"point", "measured"} <= set(table.column_names):
        return pd.DataFrame({name: [] for name in _COLUMNS})
    frame: pd.DataFrame = table.to_pandas()
    records = run.records[[*_KEYS, "value"]].rename(columns={"value": "measured"})
    joined = frame.merge(records, on=_KEYS, how="left").merge(run.cells[["cell", "point"]], on="cell")
    known = joined["basis"] == "measured"
    joined["measured"] = joined["measured"].where(joined["measured"].notna(), joined["value"].where(known))
    for end in ("lower", "upper"):
        joined[end] = joined[end].mask(known)
    return joined[_COLUMNS]
