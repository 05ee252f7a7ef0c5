"""Exact theory of a run of linear models, grid point by grid point, for comparison with the measured numbers.

The theory's numbers are expectations; a run of R replicates measures a mean of R losses. With the loss of one replicate
L = (theta - theta*)' G (theta - theta*), G = X'X / n, and theta normal with mean mu and covariance Sigma (Theorem 2),

    Var L = 2 tr(G Sigma G Sigma) + 4 (mu - theta*)' G Sigma G (mu - theta*),

the mean over replicates has the standard error sqrt(Var L / R). Seeds share the real data of a replicate, so more of
them make the true error smaller than this one, by an amount that is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossfeed.errors import DataUnavailable, InvalidDescription
from crossfeed.exact.discrete_ecosystem import is_discrete
from crossfeed.exact.linear_ecosystem import RegressionData, linear_ecosystem
from crossfeed.protocols import Array
from crossfeed.reporting.data.exact_discrete import DiscreteExact
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.measures import LOSS
from crossfeed.reporting.data.numbers import change
from crossfeed.theory import LinearEcosystem
from crossfeed.theory.influence import influence_shares

__all__ = ["Exact", "Expected", "Theory", "theory_of"]

Expected = Callable[[int, Sequence[int]], pd.DataFrame]
"""Takes a grid point's position and generations, gives ``model, task, generation, exact``."""

_LOSSES: Final = ("point", "model", "task", "generation", "exact", "exact_se")


@dataclass(frozen=True)
class Theory:
    """Exact theory of a run, or the reason why there is none.

    Attributes:
        exact: That of linear models; None where there is none.
        reason: Why, for models that theory is of; empty for others.
        discrete: That of discrete models; None where there is none.
    """

    exact: Exact | None = None
    reason: str = ""
    discrete: DiscreteExact | None = None

    def expected(self, metric: str) -> Expected | None:
        """Return the expectations of a metric that a run measures; None where they are not known.

        Args:
            metric: The metric's name in the records.
        """
        if self.exact is not None and metric == LOSS:
            return self.exact.expected
        if self.discrete is not None and metric in self.discrete.metrics:
            return partial(self.discrete.expected, metric)
        return None


def theory_of(run: Run) -> Theory:
    """Return the exact theory of a run of linear or of discrete models; nothing for other models.

    Args:
        run: The run.
    """
    try:
        if is_discrete(run.experiment):
            return Theory(discrete=DiscreteExact(run))  # refused where somebody chooses, since it is no expectation
        if run.experiment.learner.kind != "linear":
            return Theory()
        return Theory(Exact(run))
    except (InvalidDescription, DataUnavailable) as error:
        return Theory(reason=f"Exact theory is not laid beside these numbers: {error}")


class Exact:
    """The theory of a run's grid points.

    Args:
        run: A run of linear models.

    Attributes:
        experiments: Each grid point's own.

    Raises:
        InvalidDescription: The description has no linear theory; the message says why.
        DataUnavailable: Features cannot be read.
    """

    def __init__(self, run: Run) -> None:
        self._run, seeds = run, len(run.experiment.seeds)
        self._source = RegressionData()
        self.experiments = [cell.experiment for cell in run.experiment.cells()[::seeds]]
        self._known: dict[int, LinearEcosystem] = {}
        for point, experiment in enumerate(self.experiments):
            self.ecosystem(point)  # what has no theory is refused here
            eco = experiment.ecosystem
            if any(eco.probability_of(entity) < 1 for entity in eco.entities):
                raise InvalidDescription(
                    "ecosystem.probability: theory's expectations are over the coins that decide who trains, and all "
                    "replicates of a seed share one draw of them"
                )

    def ecosystem(self, point: int) -> LinearEcosystem:
        """Return the theory's description of a grid point.

        Args:
            point: The grid point's position.
        """
        if point not in self._known:
            self._known[point] = linear_ecosystem(self.experiments[point], self._source)
        return self._known[point]

    def losses(self, times: Mapping[int, Sequence[int]]) -> pd.DataFrame:
        """Return expected losses, and the standard errors of a run's means.

        Args:
            times: Generations by grid point.

        Returns:
            ``point, model, task, generation, exact, exact_se``.
        """
        pieces = [piece for point, generations in times.items() for piece in self._losses(point, list(generations))]
        if not pieces:
            kinds = {"point": np.int64, "model": object, "task": object, "generation": np.int64}
            return pd.DataFrame({name: np.empty(0, kinds.get(name, np.float64)) for name in _LOSSES})
        return pd.DataFrame({name: np.concatenate([piece[name] for piece in pieces]) for name in _LOSSES})

    def _losses(self, point: int, generations: list[int]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the columns of one grid point's losses, task by task."""
        moments = self.ecosystem(point).moments(generations)
        models = np.array(self.experiments[point].ecosystem.names, dtype=object)
        rows = len(generations) * len(models)
        for name, task in self._source.of(self.experiments[point]).items():
            gram, off = task.features.T @ task.features / len(task.features), moments.mean - task.truth
            reach, tilted = moments.covariance @ gram, off @ gram
            exact = (tilted * off).sum(axis=-1) + reach.trace(axis1=-2, axis2=-1)
            tilt = np.einsum("tki,tkij,tkj->tk", tilted, moments.covariance, tilted)
            variance = 2 * (reach @ reach).trace(axis1=-2, axis2=-1) + 4 * tilt
            yield {
                "point": np.full(rows, point),
                "model": np.tile(models, len(generations)),
                "task": np.full(rows, name, dtype=object),
                "generation": np.repeat(generations, len(models)),
                "exact": exact.ravel(),
                "exact_se": np.sqrt(variance / task.replicates).ravel(),
            }

    def expected(self, point: int, generations: Sequence[int]) -> pd.DataFrame:
        """Return expected losses alone, which need no covariance of every model: ``model, task, generation, exact``.

        Args:
            point: The grid point's position.
            generations: The generations t.
        """
        tasks = self._source.of(self.experiments[point])
        grams = np.array([task.features.T @ task.features / len(task.features) for task in tasks.values()])
        truths = np.array([task.truth for task in tasks.values()])
        losses = self.ecosystem(point).moments(list(generations)).mspe(grams, truths)
        names = [list(generations), self.experiments[point].ecosystem.names, list(tasks)]
        index = pd.MultiIndex.from_product(names, names=["generation", "model", "task"])
        return pd.DataFrame({"exact": losses.ravel()}, index=index).reset_index()

    def influence(self, point: int, generation: int) -> Array:
        """Return every source's share in every model's expected prediction, shape (K, K + 1); public data last.

        Args:
            point: The grid point's position.
            generation: The generation t.
        """
        return influence_shares(self.ecosystem(point), generation)

    @cached_property
    def beside(self) -> pd.DataFrame:
        """Losses that were measured, first and last, beside the expected ones; empty if none was.

        The columns of `crossfeed.reporting.data.numbers.change`, then ``exact_initial, exact_final, exact_percent``,
        ``exact_se`` (of the final loss) and ``errors``: measured minus exact final loss in these standard errors.
        """
        measured = change(self._run.records, LOSS)
        reached = measured.groupby("point", sort=False)["generation"].unique()
        arrivals = {
            point: {entity.name: entity.from_ for entity in each.ecosystem.entities}
            for point, each in enumerate(self.experiments)
        }
        ends = {int(str(point)): last for point, last in reached.items()}
        losses = self.losses({point: sorted({*arrivals[point].values(), *last}) for point, last in ends.items()})
        places = zip(losses["point"], losses["model"], losses["generation"], strict=True)
        begins = [arrivals[int(point)][model] == generation for point, model, generation in places]
        first = losses[np.array(begins, dtype=np.bool_)].drop(columns=["generation", "exact_se"])
        first = first.rename(columns={"exact": "exact_initial"})
        last = losses.rename(columns={"exact": "exact_final"})
        table = measured.merge(first, on=["point", "model", "task"])
        table = table.merge(last, on=["point", "model", "task", "generation"])
        start = table["exact_initial"].where(table["exact_initial"] > 0)
        table["exact_percent"] = 100 * (table["exact_final"] - start) / start
        table["errors"] = (table["final"] - table["exact_final"]) / table["exact_se"].where(table["exact_se"] > 0)
        return table
