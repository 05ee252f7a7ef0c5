"""Final losses over all alpha and beta of a grid, and the points where they are lowest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import clip, number
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.exact import Theory
from crossfeed.reporting.data.frames import Run, shares
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.drawing.heat import Matrix, Scale, heat_maps
from crossfeed.reporting.page.blocks import ALT_LIMIT, Block, Picture, Statements

__all__ = ["landscape", "landscapes"]

_KINDS: Final = {
    "private": "all private tasks",
    "own": "every model's own task",
    "other": "the other models' tasks",
}
_FIGURES: Final = 4  # combinations of a grid's other fields that have a figure
_ABREAST: Final = 5.0  # inches from which on heat maps stand side by side
_LEAST: Final = 2  # values of alpha and of beta that make a landscape


def landscape(run: Run, losses: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return mean final losses over models and tasks, at every finished grid point.

    Args:
        run: The run.
        losses: From `crossfeed.reporting.data.numbers.change` or `Exact.beside`.
        column: Which of its columns.

    Returns:
        ``point, private, own, other``: means over all private tasks, over the models' own, over the others'.
    """
    done = losses[(losses["generation"] == losses["point"].map(run.ends)) & (losses["task"] != PUBLIC)]
    owned = run.experiment.ecosystem.owned
    pairs = zip(done["model"], done["task"], strict=True)
    own = pd.Series([task in owned.get(model, ()) for model, task in pairs], index=done.index, dtype=bool)
    parts = {"private": done, "own": done[own], "other": done[~own]}
    means = {name: part.groupby("point")[column].mean() for name, part in parts.items()}
    return pd.DataFrame(means).rename_axis("point").reset_index()


def landscapes(run: Run, theory: Theory) -> list[Block]:
    """Return heat maps over alpha and beta if a grid has two of each; for linear models beside exact theory.

    Args:
        run: The run.
        theory: Exact theory of the run.
    """
    losses = change(run.records, LOSS)
    known = {"measured": landscape(run, losses, "final")}
    if known["measured"].empty or run.experiment.ends == (0,):
        return []
    grids = _grids(run, set(known["measured"]["point"]))
    if not grids:
        return []
    if theory.exact is not None:
        known["exact theory"] = landscape(run, theory.exact.beside, "exact_final")
    blocks: list[Block] = []
    statements: list[tuple[str, str]] = []
    for place, (label, points) in enumerate(grids[:_FIGURES]):
        maps = [_Map(kind, source, points, table) for kind in _KINDS for source, table in known.items()]
        maps = [each for each in maps if len(each.values)]
        name = "landscape" if len(grids) == 1 else f"landscape-{place + 1}"
        blocks.append(_picture(name, label, maps, len(known), declared(LOSS, [run.experiment]).axis))
        statements += [
            (", ".join(t for t in (_KINDS[each.kind], each.source, label) if t), each.told()) for each in maps
        ]
    return [Statements(statements), *blocks]


def _grids(run: Run, known: set[int]) -> list[tuple[str, pd.DataFrame]]:
    """Return grids of numbers ``alpha, beta`` by ``point``, one for each combination of the other fields."""
    points = run.points
    numbers = shares(run).assign(label="")
    numbers = numbers[numbers.index.isin(known)]
    other = [name for name in points.columns if name not in ("alpha", "beta") and len(set(points[name])) > 1]
    if other:
        numbers["label"] = pd.Series(columns_of(points[other]).labels)
    grids = [(str(label), table[["alpha", "beta"]]) for label, table in numbers.groupby("label", sort=False)]
    return [each for each in grids if min(each[1]["alpha"].nunique(), each[1]["beta"].nunique()) >= _LEAST]


@dataclass(frozen=True, eq=False)
class _Map:
    """One kind of mean over alpha and beta.

    Attributes:
        kind: One of `_KINDS`.
        source: Measured, or exact theory.
        points: ``alpha, beta`` by point.
        table: From `landscape`.
    """

    kind: str
    source: str
    points: pd.DataFrame
    table: pd.DataFrame

    @property
    def values(self) -> pd.DataFrame:
        """``alpha, beta, value``, the lowest first."""
        joined = self.points.join(self.table.set_index("point")[self.kind].rename("value"))
        return joined.dropna().sort_values("value", kind="stable")

    @property
    def best(self) -> pd.Series[float]:
        """The row of the lowest value."""
        return self.values.iloc[0]

    def matrix(self, several: bool) -> Matrix:
        """Return as a heat map, alpha to the right and beta up."""
        wide = self.values.pivot_table(index="beta", columns="alpha", values="value").sort_index(ascending=False)
        at = wide.index.get_loc(self.best["beta"]), wide.columns.get_loc(self.best["alpha"])
        title = f"{_KINDS[self.kind]}, {self.source}" if several else _KINDS[self.kind]
        rows, columns = [f"{beta:g}" for beta in wide.index], [f"{alpha:g}" for alpha in wide.columns]
        return Matrix(title, wide.to_numpy(dtype=float), rows, columns, (int(str(at[0])), int(str(at[1]))))

    def told(self) -> str:
        """Return the points of the lowest and the highest value as a phrase."""
        return f"lowest at {_where(self.best)}, highest at {_where(self.values.iloc[-1])}"


def _where(row: pd.Series[float]) -> str:
    return f"α\u00a0=\u00a0{row['alpha']:g}, β\u00a0=\u00a0{row['beta']:g} ({number(row['value'])})"


def _picture(name: str, label: str, maps: Sequence[_Map], sources: int, loss: str) -> Picture:
    title = "Mean loss of the last generation over α and β" + (f" ({label})" if label else "")
    beside_it = " Each as measured, then as exact theory expects it." if sources > 1 else ""
    caption = f"{title}; the frame is around the lowest.{beside_it}"
    told = " ".join(f"{each.matrix(several=True).title}: {each.told()}." for each in maps)
    draw = partial(_draw, [each.matrix(sources > 1) for each in maps], 2 if sources > 1 else 3, loss)
    return Picture(name, clip(f"{title}. {told}", ALT_LIMIT), caption, draw)


def _draw(parts: Sequence[Matrix], columns: int, loss: str, width: float) -> Figure:
    label = f"{loss}: from light, the lowest of a panel, to dark, its highest"
    scale = Scale(label, 0.0, 0.0, "levels", number, each=True)
    across = 1 if width < _ABREAST else min(columns, len(parts))
    return heat_maps(parts, scale, width=width, columns=across, names=("β", "α"))
