r"""Regression as a generative model: one learner that holds a family of responses.

An update fits the estimates to the sources i of a training set with their mixture weights c_i (paper, Section 5), and a
generated response is drawn from the fitted model; `crossfeed.learners.regression.families` has both for each family.
With ``reads: everything`` a run of the linear family follows Theorems 1 and 2 exactly.

With ``reads: draws`` an update fits the drawn items, c_i = 1 each (accumulate-and-subsample of Kazdan et al., 2025).
The draws are shared by all replicates of a cell: given the draws, replicates are independent, and their mean estimates
an expectation *given the draws*. An expectation over the draws too takes several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import Diverged
from crossfeed.learners.numeric import angles, mean_scores, predictors
from crossfeed.learners.regression.families import NoEstimate, ResponseFamily, response_family
from crossfeed.learners.regression.replicates import (
    StateShape,
    finite_estimates,
    load_estimates,
    save_estimates,
    state_shape,
    weighted_sources,
)
from crossfeed.learners.regression.settings import RegressionSettings
from crossfeed.protocols import Array, LearnerContext, Reading, Scores, TrainingSet
from crossfeed.tasks.regression import features_of, regression_items, responses_of

__all__ = ["RegressionLearner", "build"]


def build(settings: RegressionSettings, context: LearnerContext) -> RegressionLearner:
    """Build the learner for the tasks of an experiment.

    Args:
        settings: The description.
        context: The cell's tasks.

    Raises:
        InvalidInput: A task is no regression task of the family, or dimensions or replicates differ.
    """
    family = response_family(settings)
    return RegressionLearner(family, settings.reads, state_shape(context, settings.kind, family.name))


@dataclass(frozen=True)
class RegressionLearner:
    """Estimates of R replicates side by side; a state is an array ``(R, d)``.

    Attributes:
        family: How responses are distributed, and how estimates are fitted.
        reads: What training sets hold.
        shape: R and d.
    """

    family: ResponseFamily
    reads: Reading
    shape: StateShape

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return n: every drawn item is read.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return n

    def start(self, entities: Sequence[int]) -> list[Array]:
        """Return zeros for every entity.

        Args:
            entities: Indices of the entities.

        Returns:
            One ``(R, d)`` array for each entity.
        """
        return [self.shape.zeros()] * len(entities)

    def update(
        self, states: Sequence[Array], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Array]:
        """Fit each training set anew, or train on from the state given where the description names a number of steps.

        Args:
            states: ``(R, d)`` estimates of each entity.
            sets: One training set for each state.
            keys: One key for each state; nothing is random in fitting.
            generation: The generation t.

        Returns:
            New ``(R, d)`` estimates in the order of `states`.

        Raises:
            Diverged: Estimates of some replicate do not exist, or are no longer finite numbers; it names the entity.
        """
        pairs = zip(states, sets, strict=True)
        estimates = [self._fit(k, state, each, generation) for k, (state, each) in enumerate(pairs)]
        return finite_estimates(estimates, generation)

    def generate(
        self, states: Sequence[Array], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Draw a response to the features of each item; replicate r of an item uses number r of its key's stream.

        Args:
            states: ``(R, d)`` estimates, one for each table of prompts.
            prompts: Items whose features are answered.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of regression items with the prompts' features and the drawn responses.
        """
        return [self._answer(*each) for each in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[Array], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return the family's losses of responses, averaged over replicates.

        Args:
            states: ``(R, d)`` estimates.
            tables: Tables of regression items.

        Returns:
            Scores for every state (outer list) on every table (inner list), one term for each item.
        """
        return [[mean_scores(self._losses(theta, items)) for items in tables] for theta in states]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return responses as angles, see `crossfeed.learners.numeric`.

        Args:
            tables: Tables of regression items.

        Returns:
            ``(rows, 2R)`` unit-norm features for each table.
        """
        return [angles(responses_of(items)) for items in tables]

    def save(self, state: Array, folder: Path) -> None:
        """Write the estimates as ``estimates.npy``.

        Args:
            state: ``(R, d)`` estimates.
            folder: An existing empty folder.
        """
        save_estimates(state, folder)

    def load(self, folder: Path) -> Array:
        """Read the ``(R, d)`` estimates that `save` wrote.

        Args:
            folder: The folder written by `save`.
        """
        return load_estimates(folder)

    def describe(self) -> dict[str, str]:
        """Return device, precision and number of replicates, for the run's environment file."""
        return {"device": "cpu", "precision": "float64", "replicates": str(self.shape.replicates)}

    def _fit(self, entity: int, state: Array, training: TrainingSet, generation: int) -> Array:
        try:
            return self.family.fit(weighted_sources(training, self.reads), state, generation)
        except NoEstimate as error:
            raise Diverged(str(error), entity) from error

    def _answer(self, theta: Array, prompts: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        features = features_of(prompts)
        return regression_items(features, self.family.respond(predictors(features, theta), keys))

    def _losses(self, theta: Array, items: pa.Table) -> Array:
        return self.family.losses(responses_of(items), predictors(features_of(items), theta))
