r"""Logistic and Poisson regression as generative models.

An update is weighted maximum likelihood over the sources i of a training set with their mixture weights c_i (paper,
Section 5, with the log-likelihood in place of the squared loss),

.. math:: \theta = \arg\max_\theta \sum_i c_i \sum_{(x, y) \in i} \big(y\,x'\theta - b(x'\theta)\big),

and a generated response is drawn from the fitted model. As the data grow, a run follows the linear theory with the
information matrices X' diag(b''(X theta*)) X in place of the Gram matrices and sigma = 1; see docs/universality.md.

**Separated data.** The likelihood of logistic data that a hyperplane separates, or of counts that are all zero where
some feature is not, has no maximum. An update then raises `Diverged`, which ends the cell and is kept as a record; a
model whose outputs have collapsed ends that way too. Give more rows, or a ridge, which makes every estimate exist
(and pulls it towards zero).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import pdtr, pdtrik, xlogy

from crossfeed.errors import Diverged
from crossfeed.learners.newton import Discrete, maximum_likelihood
from crossfeed.learners.replicates import (
    Reading,
    Shape,
    angles,
    finite_estimates,
    keyed_uniforms,
    load_estimates,
    mean_scores,
    predictors,
    save_estimates,
    shape_of,
    weighted_parts,
)
from crossfeed.protocols import Array, Learner, LearnerContext, Scores, TrainingSet
from crossfeed.settings import LearnerSettings, Number
from crossfeed.tasks.regression import features_of, mean_response, regression_items, responses_of

# Counting up from zero is faster below this mean; counts of such means never come near the other number.
_LARGE_MEAN: Final = 20.0
_MOST: Final = 200

__all__ = ["GlmLearner", "GlmSettings", "divergence", "poisson_quantiles"]


class GlmSettings(LearnerSettings):
    """Logistic or Poisson regression on tasks of ``source: regression`` of the same family.

    Attributes:
        family: ``logistic`` (responses 0 and 1) or ``poisson`` (counts).
        ridge: rho >= 0: rho |theta|^2 / 2 is taken off the weighted log-likelihood.
        reads: ``everything``: all items of every source, weighed. ``draws``: n drawn items, see
            `crossfeed.learners.linear`.
    """

    kind: Literal["glm"] = "glm"
    family: Discrete
    ridge: Annotated[Number, Field(ge=0.0)] = 0.0
    reads: Reading = "everything"

    def reading(self) -> Reading:
        """As described."""
        return self.reads

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner.

        Raises:
            InvalidInput: A task is no regression task of the family, or shapes differ.
        """
        return GlmLearner(self, shape_of(context, self.kind, self.family))


@dataclass(frozen=True)
class GlmLearner:
    """See the module; a state is the estimates (R, d).

    Attributes:
        settings: The family, the ridge and what it reads.
        shape: R and d.
    """

    settings: GlmSettings
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
        """Maximise each set's likelihood, beginning at the state.

        Raises:
            Diverged: The data of some replicate are separated, or an estimate is no longer a finite number.
        """
        estimates = [self._fit(k, state, each) for k, (state, each) in enumerate(zip(states, sets, strict=True))]
        return finite_estimates(estimates, generation)

    def generate(
        self, states: Sequence[Array], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Draw responses; replicate r of an item inverts its distribution at number r of its key's stream."""
        return [self._answer(*each) for each in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[Array], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Half the unit deviance, in nats, the mean over replicates; see `divergence`."""
        family = self.settings.family
        return [
            [
                mean_scores(divergence(family, responses_of(items), predictors(features_of(items), theta)))
                for items in tables
            ]
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

    def _fit(self, entity: int, state: Array, training: TrainingSet) -> Array:
        parts = weighted_parts(training, self.reads)
        fit = maximum_likelihood(self.settings.family, parts, state, self.settings.ridge)
        if not fit.exists.all():
            lost = np.flatnonzero(~fit.exists)
            raise Diverged(
                f"the likelihood of {len(lost)} of {len(state)} replicates (the first: {lost[0]}) has no maximum, "
                "their data are separated; give more rows, or learner.ridge above 0",
                entity,
            )
        return fit.estimates

    def _answer(self, theta: Array, prompts: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        features = features_of(prompts)
        mean = mean_response(self.settings.family, predictors(features, theta))
        uniform = keyed_uniforms(keys, len(theta))
        if self.settings.family == "logistic":
            return regression_items(features, (uniform < mean).astype(np.float64))
        return regression_items(features, poisson_quantiles(uniform, mean))


def poisson_quantiles(uniform: Array, mean: Array) -> Array:
    """The smallest count whose distribution function is at least u, element by element.

    Args:
        uniform: u in [0, 1).
        mean: Means of the same shape.
    """
    counts, large = np.empty_like(mean), mean > _LARGE_MEAN
    for chosen, count in ((large, _inverted), (~large, _searched)):
        counts[chosen] = count(uniform[chosen], mean[chosen])
    return counts


def _inverted(uniform: Array, mean: Array) -> Array:
    # The inverse of the continuous extension of the distribution function may round to the neighbour.
    count = np.ceil(pdtrik(uniform, mean))
    below = np.maximum(count - 1.0, 0.0)
    return np.asarray(np.where(pdtr(below, mean) >= uniform, below, count), dtype=np.float64)


def _searched(uniform: Array, mean: Array) -> Array:
    """Count up from zero, all elements at once; those that have arrived are left out."""
    counts = np.zeros_like(mean)
    going = np.flatnonzero(uniform > np.exp(-mean))
    left, mean = uniform[going] - np.exp(-mean[going]), mean[going]
    probability = np.exp(-mean)
    for count in range(1, _MOST):
        if not len(going):
            break
        counts[going] = count
        probability = probability * mean / count
        on = left > probability
        going, left, mean, probability = going[on], (left - probability)[on], mean[on], probability[on]
    return counts


def divergence(family: Discrete, responses: Array, predictor: Array) -> Array:
    r"""Half the unit deviance: how many nats the responses are less likely than at their best.

    .. math:: y \log\frac{y}{\mu} + (1 - y) \log\frac{1 - y}{1 - \mu} \ (\text{logistic}), \qquad
        y \log\frac{y}{\mu} - (y - \mu) \ (\text{Poisson}).

    For a mean in place of a response it is the Kullback-Leibler divergence of the model from the truth.
    """
    if family == "poisson":
        surprise = np.exp(predictor) - responses * predictor
        best = responses - _entropy(responses)
    else:
        surprise = np.logaddexp(0.0, predictor) - responses * predictor
        best = -_entropy(responses) - _entropy(1.0 - responses)
    return np.asarray(np.maximum(surprise - best, 0.0), dtype=np.float64)


def _entropy(values: Array) -> Array:
    """The products y log y, 0 where y is 0."""
    return np.asarray(xlogy(values, values), dtype=np.float64)
