r"""Linear regression as a generative model: the learner that exact theory describes.

An update is the minimum-norm minimiser of the weighted squared loss (paper, Section 5),

.. math:: \theta = \Big(\sum_i c_i X_i'X_i\Big)^{+} \sum_i c_i X_i'y_i ,

over the sources i of its training set with their mixture weights c_i, and a generated response is
:math:`x'\theta + \sigma_g\varepsilon`. With ``reads: everything`` a run's estimates follow Theorems 1 and 2 exactly.

With ``reads: draws`` the update is ordinary least squares on the drawn items, c_i = 1 each (accumulate-and-subsample of
Kazdan et al., 2025). What is drawn is shared by all replicates of a cell: given the draws, replicates are independent,
and their mean estimates an expectation *given the draws*. An expectation over the draws too takes several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.learners.replicates import (
    Reading,
    Shape,
    WeightedPart,
    angles,
    finite_estimates,
    keyed_normals,
    load_estimates,
    mean_scores,
    predictors,
    save_estimates,
    shape_of,
    weighted_parts,
)
from crossfeed.protocols import Array, Learner, LearnerContext, Scores, TrainingSet
from crossfeed.settings import LearnerSettings, Number
from crossfeed.tasks.regression import features_of, regression_items, responses_of
from crossfeed.theory.graded import grade
from crossfeed.theory.kernels import definite_inverse

__all__ = ["LinearLearner", "LinearSettings", "least_squares"]


class LinearSettings(LearnerSettings):
    """Linear regression on tasks of ``source: regression`` with gaussian responses.

    Attributes:
        noise: Standard deviation sigma_g of generated responses; 0 answers with the prediction itself.
        reads: ``everything``: all items of every source, weighed (exact theory). ``draws``: n drawn items.
    """

    kind: Literal["linear"] = "linear"
    noise: Annotated[Number, Field(ge=0.0)] = 1.0
    reads: Reading = "everything"

    def reading(self) -> Reading:
        """As described."""
        return self.reads

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner.

        Raises:
            InvalidInput: A task is no regression task with gaussian responses, or shapes differ.
        """
        return LinearLearner(self, shape_of(context, self.kind, "gaussian"))


def least_squares(parts: Sequence[WeightedPart]) -> Array:
    """The minimum-norm minimiser of a weighted squared loss, in every replicate.

    Args:
        parts: One or more sources.

    Returns:
        Estimates, shape (R, d). Where the features do not determine an estimate, or a weight is very small, what
        decides is as in `crossfeed.theory.graded`.
    """
    grams = [(np.array([part.weight]), (part.features.T @ part.features)[None]) for part in parts]
    inverse, suspects = definite_inverse(grams)
    if suspects[0]:
        graded = grade(grams)
        estimates: Array = sum((graded.gain(i)[0] @ part.moment for i, part in enumerate(parts)), np.zeros(1))
    else:
        estimates = inverse[0] @ sum((part.weight * part.moment for part in parts), np.zeros(1))
    return np.ascontiguousarray(estimates.T)


@dataclass(frozen=True)
class LinearLearner:
    """See the module; a state is the estimates (R, d).

    Attributes:
        settings: How it generates and what it reads.
        shape: R and d.
    """

    settings: LinearSettings
    shape: Shape

    @property
    def reads(self) -> Reading:
        """What its training sets hold."""
        return self.settings.reads

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """All of them."""
        return n

    def start(self, entities: Sequence[int]) -> list[Array]:
        """Zeros."""
        return [self.shape.zeros()] * len(entities)

    def update(
        self, states: Sequence[Array], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Array]:
        """Minimise each set's loss; what was learnt before does not matter.

        Raises:
            Diverged: An estimate is no longer a finite number.
        """
        return finite_estimates([least_squares(weighted_parts(each, self.reads)) for each in sets], generation)

    def generate(
        self, states: Sequence[Array], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Respond to features; replicate r of an item takes number r of its key's stream as noise."""
        return [self._answer(*each) for each in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[Array], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Squared errors of predictions, the mean over replicates."""
        return [
            [mean_scores((predictors(features_of(items), theta) - responses_of(items)) ** 2) for items in tables]
            for theta in states
        ]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Responses as angles, see `crossfeed.learners.replicates`."""
        return [angles(responses_of(items)) for items in tables]

    def save(self, state: Array, folder: Path) -> None:
        """Write the estimates."""
        save_estimates(state, folder)

    def load(self, folder: Path) -> Array:
        """Read them back."""
        return load_estimates(folder)

    def describe(self) -> dict[str, str]:
        """Arrays of NumPy."""
        return {"device": "cpu", "precision": "float64", "replicates": str(self.shape.replicates)}

    def _answer(self, theta: Array, prompts: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        features = features_of(prompts)
        if self.settings.noise == 0:
            return regression_items(features, predictors(features, theta))
        responses = keyed_normals(keys, len(theta))
        responses *= self.settings.noise
        responses += predictors(features, theta)
        return regression_items(features, responses)
