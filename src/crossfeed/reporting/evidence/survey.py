r"""Training data that makers of language models state: the paper's survey (Tables 1, 5 and 6), counted.

For families of models a and b that name the kinds of sources A and B, their overlap is Jaccard's
:math:`J = |A \cap B| / |A \cup B|`. A family names what any of its versions names, in either table.

The survey is about statements. A kind counts the same whether it gave one book or most of the text, what nobody states
is missing, and makers that disclose nothing are not in it. So `PublicOverlap` is where a default for the public share
1 - beta could come from, and no measurement of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Final

import pandas as pd

from crossfeed import paper

__all__ = ["SOURCES", "Evidence", "PublicOverlap", "evidence"]

SOURCES: Final = (
    "CommonCrawl",
    "WebText",
    "GitHub",
    "Wikipedia",
    "Books",
    "ArXiv",
    "StackExchange",
    "News",
    "Web",
    "Synthetic",
)
"""Kinds of sources: the columns of Table 6, then web pages and model-written text of which no more is said."""

_COLUMNS: Final = 8  # of Table 6: it cannot name what comes after them


@dataclass(frozen=True)
class PublicOverlap:
    """Readings of the survey as a public share of the real data, 1 - beta.

    Attributes:
        mean: Mean overlap J of two families.
        low: The least overlap of two families.
        high: The largest.
        stated: Mean overlap if expected overlaps are not counted, only what is stated.
        anyone: Mean over families of the share of a family's kinds that at least one other family names too.
    """

    mean: float
    low: float
    high: float
    stated: float
    anyone: float


@dataclass(frozen=True)
class Evidence:
    """The survey.

    Attributes:
        mentions: Which model names which kind of source: ``family, model, version, source, named`` (the data sets),
            ``how`` (``stated`` or ``overlap``: expected, not stated), ``tables`` that say so, ``reference``.
        overlap: Every pair of families: ``a, b, both`` and ``either`` (numbers of kinds), ``jaccard``,
            ``jaccard_stated``.
        reuse: Every version after another one that names its sources (Table 1): ``family, before, after, named`` (kinds
            of the one before), ``kept`` of them, and ``new`` ones.
        undisclosed: Models whose makers name no data set: ``model, reference, pretraining, fine_tuning``.
        differences: Kinds that one table names for a model and the other, which has the model too, does not:
            ``model, source, named_in, missing_in``.
        public: What the overlaps amount to.
    """

    mentions: pd.DataFrame
    overlap: pd.DataFrame
    reuse: pd.DataFrame
    undisclosed: pd.DataFrame
    differences: pd.DataFrame
    public: PublicOverlap


def evidence() -> Evidence:
    """Count the survey."""
    rows = pd.concat([paper.table("1"), paper.table("6")], ignore_index=True)
    named = rows[rows["how"] != "undisclosed"]
    mentions = _mentions(named)
    overlap = _overlap(_kinds(mentions, "family"), _kinds(mentions[mentions["how"] == "stated"], "family"))
    return Evidence(
        mentions=mentions,
        overlap=overlap,
        reuse=_reuse(named[named["table"] == "1"]),
        undisclosed=_undisclosed(rows),
        differences=_differences(named),
        public=_public(mentions, overlap),
    )


def _mentions(named: pd.DataFrame) -> pd.DataFrame:
    grouped = named.groupby(["family", "model", "version", "source"], sort=False)
    table = grouped.agg(
        named=("named", lambda names: ", ".join(dict.fromkeys(names))),
        how=("how", lambda how: "stated" if "stated" in set(how) else "overlap"),
        tables=("table", lambda tables: ", ".join(dict.fromkeys(tables))),
        reference=("reference", "first"),
    ).reset_index()
    table["order"] = table["source"].map(SOURCES.index)
    return table.sort_values(["family", "version", "order"]).drop(columns="order").reset_index(drop=True)


def _kinds(rows: pd.DataFrame, by: str) -> dict[str, set[str]]:
    return {str(name): set(part["source"]) for name, part in rows.groupby(by, sort=False)}


def _overlap(kinds: Mapping[str, set[str]], stated: Mapping[str, set[str]]) -> pd.DataFrame:
    rows = []
    for a, b in combinations(kinds, 2):
        both, either = kinds[a] & kinds[b], kinds[a] | kinds[b]
        said = _jaccard(stated[a], stated[b])
        rows.append((a, b, len(both), len(either), _jaccard(kinds[a], kinds[b]), said))
    return pd.DataFrame(rows, columns=pd.Index(["a", "b", "both", "either", "jaccard", "jaccard_stated"]))


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def _reuse(named: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for family, part in named.groupby("family", sort=False):
        versions = list(_kinds(part, "version").items())
        for (before, old), (after, new) in pairwise(versions):
            row = {"family": family, "before": before, "after": after}
            rows.append(row | {"named": len(old), "kept": len(old & new), "new": len(new - old)})
    return pd.DataFrame(rows)


def _undisclosed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return Table 5, and the versions of Table 1 that name nothing and are not in it."""
    told = paper.table("5").drop(columns="table")
    silent = rows[rows["how"] == "undisclosed"]
    silent = silent[~silent["reference"].isin(set(told["reference"]))]
    more = silent[["model", "reference", "named"]].rename(columns={"named": "pretraining"}).assign(fine_tuning="")
    return pd.concat([told, more], ignore_index=True)


def _differences(named: pd.DataFrame) -> pd.DataFrame:
    by_table = {str(table): _kinds(part, "model") for table, part in named.groupby("table", sort=False)}
    rows = []
    for here, there in (("1", "6"), ("6", "1")):
        for model, kinds in by_table[here].items():
            missing = kinds - by_table[there].get(model, kinds)
            rows += [(model, source, here, there) for source in SOURCES[:_COLUMNS] if source in missing]
    return pd.DataFrame(rows, columns=pd.Index(["model", "source", "named_in", "missing_in"]))


def _public(mentions: pd.DataFrame, overlap: pd.DataFrame) -> PublicOverlap:
    kinds = _kinds(mentions, "family")
    anyone = [
        len({kind for kind in own if any(kind in kinds[other] for other in kinds if other != family)}) / len(own)
        for family, own in kinds.items()
    ]
    return PublicOverlap(
        mean=float(overlap["jaccard"].mean()),
        low=float(overlap["jaccard"].min()),
        high=float(overlap["jaccard"].max()),
        stated=float(overlap["jaccard_stated"].mean()),
        anyone=sum(anyone) / len(anyone),
    )
