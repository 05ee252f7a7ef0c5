"""The paper's tables as data.

They are the numbers of Tables 2, 3, 4, 7 and 8, the survey of Tables 1, 5 and 6, and Table 9.

Source: Vu, Reeves and Wenger, "What happens when generative AI models train recursively on each other's outputs?",
ICLR 2026. Facts alone are kept, in columns of our own; statements are paraphrased.

* Tables 2a to 2c, 3, 4a, 4b, 7 and 8: ``table, base, K, T, metric, beta, alpha, entity, task, initial, final``. An
  entity has the name of the task that it owns (``sciq``, ``gsm8k``, ``arc_challenge``); for ``similarity`` it is the
  pair, as in a run's records. ``beta`` is the private share of the real data. Losses are cross-entropies a token.
* Tables 1 and 6: ``table, model, family, version, reference, source, named, how``. ``named`` is the data set,
  ``source`` the kind that Table 6 counts it as (and two kinds more: ``Web``, ``Synthetic``); ``how`` is ``stated``,
  ``overlap`` (expected to overlap) or ``undisclosed``.
* Table 5: ``table, model, reference, pretraining, fine_tuning``; empty where the makers state nothing.
* Table 9: ``table, parameter, value``, as text.

Numbers are kept as printed; contradictions within the paper are listed by `slips`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd

from crossfeed.errors import InvalidInput

__all__ = ["references", "slips", "table", "tables"]


def tables() -> dict[str, str]:
    """Return the tables that can be read, by number in the paper's order, each with its subject."""
    index = _read("tables.csv")
    return dict(zip(index["table"], index["about"], strict=True))


def table(name: str) -> pd.DataFrame:
    """Return one table.

    Args:
        name: Its number, such as ``7`` or ``2a``.

    Returns:
        Its rows; the columns are listed in the module's docstring.

    Raises:
        InvalidInput: There is no such table; the message lists all.
    """
    index = _read("tables.csv").set_index("table")["file"]
    if name not in index.index:
        raise InvalidInput(
            f"{name!r} is not a table of the paper that is kept here; there are {', '.join(index.index)}"
        )
    rows = _read(str(index[name]))
    return rows[rows["table"] == name].reset_index(drop=True)


def slips() -> pd.DataFrame:
    """Return the paper's contradictions: ``place, printed, against``, and ``here``, the reading that is used here."""
    return _read("slips.csv")


def references() -> dict[str, str]:
    """Return title and place of the survey's sources, by the paper's reference."""
    rows = _read("references.csv")
    return {row["reference"]: f"{row['title']}. {row['where']}" for row in rows.to_dict("records")}


def _read(name: str) -> pd.DataFrame:
    return _parsed(name).copy()


@cache
def _parsed(name: str) -> pd.DataFrame:
    words = {"table": str, "version": str, "value": str}
    with files(__package__).joinpath("data", name).open(encoding="utf-8") as stream:
        frame: pd.DataFrame = pd.read_csv(stream, dtype=words, keep_default_na=False)
    return frame
