"""A forecast: what is said of every cell, how sure it is, and what it cost; plain data and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import number
from crossfeed.display.notebook import Columns, page

__all__ = ["BASES", "LOSS", "METRICS", "Basis", "Best", "Cost", "Fit", "Forecast"]

METRICS: Final = ("loss", "completion_loss")
"""The metrics that are traced and forecast, as far as an experiment has them."""

LOSS: Final = METRICS[0]
"""The metric that best mixes, half-widths and notes are of."""

Basis = Literal["measured", "forecast", "extrapolated"]
"""The ground of a number: a measurement, the surrogate, or the surrogate where some task gets no real data."""

BASES: Final[tuple[Basis, ...]] = ("measured", "forecast", "extrapolated")


@dataclass(frozen=True)
class Fit:
    """The identification of the surrogate.

    Attributes:
        metric: The metric that it is of: ``loss`` or ``completion_loss``.
        parameters: The number of parameters.
        observations: The number of losses that they were found from.
        misfit: The root mean square of the logarithms' differences between surrogate and observed losses.
        seconds: The time that it took.
        measured_error: The median relative error on measured losses that were not fitted, None if there are none.
        geometric_error: The same of geometric extrapolation, on the same losses.
    """

    metric: str
    parameters: int
    observations: int
    misfit: float
    seconds: float
    measured_error: float | None = None
    geometric_error: float | None = None


@dataclass(frozen=True)
class Best:
    """The best mix that the surrogate finds: the mean of the last losses of all models on private tasks is made least.

    Attributes:
        alpha: Each entity's share of synthetic data, by name; all equal where they are chosen in common.
        beta: Each entity's private share of the real data, by name.
        value: The value there.
        lower: Lower end of its 80 % band.
        upper: Upper end of its 80 % band.
        described: The value of the first cell, as it is described.
    """

    alpha: Mapping[str, float]
    beta: Mapping[str, float]
    value: float
    lower: float
    upper: float
    described: float


@dataclass(frozen=True)
class Cost:
    """The cost of a forecast, beside that of the grid.

    Attributes:
        generations: The work of the probes, in generations t >= 1 of one cell, without generation 0.
        reused: The part of it that is of cells of the grid, so that a run goes on from there.
        grid: The work of all cells of the grid, in the same unit.
        seconds: The time that the probes took; 0 if all of them were there.
    """

    generations: float
    reused: float
    grid: float
    seconds: float


@dataclass(frozen=True, repr=False)
class Forecast:
    """A statement on every cell of an experiment, of one seed.

    Attributes:
        experiment: The experiment.
        seed: The seed whose probes were run; cells of other seeds are not forecast.
        table: One row for every cell, generation, model, task and metric (``loss``, and ``completion_loss`` where it is
            measured), with the columns of a run's records and: ``lower`` and ``upper`` (ends of the 80 % band; equal to
            the value where it is measured), ``basis`` (see `Basis`), ``remark`` (empty, ``extrapolated forgetting`` or
            ``not learned``: a loss beyond that of guessing), ``surrogate`` (the surrogate's value, also where a
            measured one is there) and ``geometric`` (geometric extrapolation of the cell's first two generations,
            null where they are not measured or the generation is one of them).
        fits: The identification for each metric.
        best_common: The best alpha and beta that all entities share.
        best_own: The best alpha and beta of each entity.
        cost: What it cost.
        notes: Sentences on what may be wrong with it.
    """

    experiment: Experiment
    seed: int
    table: pa.Table
    fits: tuple[Fit, ...]
    best_common: Best | None
    best_own: Best | None
    cost: Cost
    notes: tuple[str, ...]

    def half_widths(self) -> dict[str, float | None]:
        """Return how well each cell is known: the largest half-width of the bands of its last losses, relative to them.

        Returns:
            Half-widths by cell; None where it is measured, or where something is extrapolated.
        """
        names = ("cell", "generation", "metric", "value", "lower", "upper", "basis")
        columns = {name: self.table.column(name).to_pylist() for name in names}
        last = {cell.name: cell.experiment.generations for cell in self.experiment.cells()}
        widths: dict[str, float] = {}
        unknown: set[str] = set()
        for cell, t, metric, value, lower, upper, basis in zip(*columns.values(), strict=True):
            if metric == LOSS and t == last[cell]:
                if basis != "forecast":
                    unknown.add(cell)
                widths[cell] = max(widths.get(cell, 0.0), (upper - lower) / (2 * value))
        return {cell: None if cell in unknown else width for cell, width in widths.items()}

    def __repr__(self) -> str:
        return f"Forecast({self.experiment.name!r}, seed: {self.seed}, {self.table.num_rows} numbers)"

    def _repr_html_(self) -> str:
        facts = {
            "": "; ".join(self.notes),
            "models": len(self.experiment.ecosystem.names),
            "generations": f"0 to {self.experiment.generations}",
            "seed": self.seed,
            "probes": f"{self.cost.generations:.3g} of the grid's {self.cost.grid:.3g} generations",
        }
        tables: dict[str, Columns] = {"Last losses": self._last_losses()}
        found = {"in common": self.best_common, "for each": self.best_own}
        best = {who: each for who, each in found.items() if each is not None}
        if best:
            tables["Best alpha and beta: the mean last loss on private tasks"] = {
                "chosen": list(best),
                "alpha": [_weights(each.alpha) for each in best.values()],
                "beta": [_weights(each.beta) for each in best.values()],
                **{name: [getattr(each, name) for each in best.values()] for name in ("value", "lower", "upper")},
                "as described": [each.described for each in best.values()],
            }
        return page(f"Forecast of {self.experiment.name} ({self.experiment.id})", facts, tables)

    def _last_losses(self) -> Columns:
        """Return each cell's losses at its last generation, with band and basis."""
        names = ["cell", "generation", "model", "task", "metric", "value", "lower", "upper", "basis", "remark"]
        rows = self.table.select(names).to_pylist()
        last: dict[str, int] = {}
        for row in rows:
            last[row["cell"]] = max(row["generation"], last.get(row["cell"], 0))
        kept = [row for row in rows if row["metric"] == LOSS and row["generation"] == last[row["cell"]]]
        return {name: [row[name] for row in kept] for name in names if name not in ("generation", "metric")}


def _weights(weights: Mapping[str, float]) -> str:
    """Return a weight that all entities share, or each entity's own."""
    if len(set(weights.values())) == 1:
        return number(next(iter(weights.values())))
    return ", ".join(f"{name}: {number(weight)}" for name, weight in weights.items())
