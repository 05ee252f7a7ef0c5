r"""Families of responses: how estimates are fitted, how responses are drawn, and their losses.

*Gaussian* (linear regression, the model that exact theory describes): an update is the minimum-norm minimiser of the
weighted squared loss (paper, Section 5),

.. math:: \theta = \Big(\sum_i c_i X_i'X_i\Big)^{+} \sum_i c_i X_i'y_i ,

and a generated response is :math:`x'\theta + \sigma_g\varepsilon`. With a ridge it is
:math:`(G + \lambda I)^{-1} m`, G and m the two sums, and with a number of steps each update from generation 1 on is
that many gradient steps from the state before (`crossfeed.theory.training`).

*Logistic and Poisson*: an update is weighted maximum likelihood (the same with the log-likelihood in place of the
squared loss),

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
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrik, xlogy

from crossfeed.errors import InvalidInput
from crossfeed.learners.numeric import keyed_normals, keyed_uniforms
from crossfeed.learners.regression.newton import Discrete, maximum_likelihood
from crossfeed.learners.regression.replicates import WeightedSource
from crossfeed.learners.regression.settings import LinearSettings, RegressionSettings
from crossfeed.protocols import Array
from crossfeed.tasks.regression import Family, mean_response
from crossfeed.theory.graded import grade
from crossfeed.theory.kernels import definite_inverse
from crossfeed.theory.training import Training

__all__ = [
    "NoEstimate",
    "ResponseFamily",
    "gradient_steps",
    "half_deviance",
    "least_squares",
    "poisson_quantiles",
    "response_family",
]

# Counting up from zero is faster below this mean; counts of such means never come near the other number.
_LARGE_MEAN: Final = 20.0
_MOST: Final = 200


class NoEstimate(Exception):
    """A training set for which an estimate does not exist; the message says why and what to do."""


class ResponseFamily(Protocol):
    """A distribution of responses given linear predictors."""

    @property
    def name(self) -> Family:
        """The family of the tasks' responses."""
        ...

    def fit(self, sources: Sequence[WeightedSource], start: Array, generation: int) -> Array:
        """Fit the estimates of every replicate.

        Args:
            sources: One or more sources.
            start: ``(R, d)`` estimates where training begins; they change the answer only where it stops early.
            generation: The generation t; generation 0 never stops early.

        Returns:
            ``(R, d)`` estimates.

        Raises:
            NoEstimate: Estimates of some replicate do not exist.
        """
        ...

    def respond(self, predictor: Array, keys: NDArray[np.uint64]) -> Array:
        """Draw ``(n, R)`` responses.

        Args:
            predictor: ``(n, R)`` linear predictors.
            keys: ``(n,)`` keys; replicate r of an item uses number r of its key's stream.
        """
        ...

    def losses(self, responses: Array, predictor: Array) -> Array:
        """Return ``(n, R)`` losses.

        Args:
            responses: ``(n, R)`` responses.
            predictor: ``(n, R)`` linear predictors.
        """
        ...


def response_family(settings: RegressionSettings) -> ResponseFamily:
    """Return the family that a description names, with its own settings applied.

    Args:
        settings: The description.
    """
    if isinstance(settings, LinearSettings):
        return _Gaussian(settings.noise, Training.read(settings.steps, settings.rate, settings.ridge, "previous"))
    return _ExponentialFamily(settings.family, settings.ridge)


@dataclass(frozen=True)
class _Gaussian:
    """Gaussian responses around the predictor; losses are squared errors.

    Attributes:
        noise: Standard deviation of generated responses.
        training: Steps and ridge of an update.
    """

    noise: float
    training: Training
    name: Family = "gaussian"

    def fit(self, sources: Sequence[WeightedSource], start: Array, generation: int) -> Array:
        if self.training.steps is None or generation == 0:
            return least_squares(sources, self.training.ridge)
        return gradient_steps(sources, start, self.training)

    def respond(self, predictor: Array, keys: NDArray[np.uint64]) -> Array:
        if self.noise == 0:
            return predictor
        responses = keyed_normals(keys, predictor.shape[1])
        responses *= self.noise
        responses += predictor
        return responses

    def losses(self, responses: Array, predictor: Array) -> Array:
        return np.asarray((predictor - responses) ** 2)


@dataclass(frozen=True)
class _ExponentialFamily:
    """Logistic or Poisson responses; losses are half the unit deviance, in nats.

    Attributes:
        name: The family.
        ridge: rho, taken off the log-likelihood times half the squared norm of the estimate.
    """

    name: Discrete
    ridge: float

    def fit(self, sources: Sequence[WeightedSource], start: Array, generation: int) -> Array:
        fit = maximum_likelihood(self.name, sources, start, self.ridge)
        if not fit.exists.all():
            lost = np.flatnonzero(~fit.exists)
            raise NoEstimate(
                f"the likelihood of {len(lost)} of {len(start)} replicates (the first: {lost[0]}) has no maximum, "
                "their data are separated; give more rows, or learner.ridge above 0"
            )
        return fit.estimates

    def respond(self, predictor: Array, keys: NDArray[np.uint64]) -> Array:
        mean = mean_response(self.name, predictor)
        uniform = keyed_uniforms(keys, predictor.shape[1])
        if self.name == "logistic":
            return (uniform < mean).astype(np.float64)
        return poisson_quantiles(uniform, mean)

    def losses(self, responses: Array, predictor: Array) -> Array:
        return half_deviance(self.name, responses, predictor)


def least_squares(sources: Sequence[WeightedSource], ridge: float = 0.0) -> Array:
    """Return the minimum-norm minimiser of a weighted squared loss, in every replicate.

    Args:
        sources: One or more sources.
        ridge: lambda, by which the loss grows with |theta|^2.

    Returns:
        ``(R, d)`` estimates. Where the features do not determine an estimate, or a weight is very small, what decides
        is as in `crossfeed.theory.graded`.
    """
    grams = [(np.array([source.weight]), source.gram[None]) for source in sources]
    if ridge:
        grams.append((np.array([ridge]), np.eye(grams[0][1].shape[1])))
    inverse, suspects, _ = definite_inverse(grams)
    if suspects[0]:
        graded = grade(grams)
        estimates: Array = sum((graded.gain(i)[0] @ source.moment for i, source in enumerate(sources)), np.zeros(1))
    else:
        estimates = inverse[0] @ sum((source.weight * source.moment for source in sources), np.zeros(1))
    return np.ascontiguousarray(estimates.T)


def gradient_steps(sources: Sequence[WeightedSource], start: Array, training: Training) -> Array:
    """Take the gradient steps of an update, in every replicate, all at once by the eigenvalues of the Gram matrix.

    Args:
        sources: One or more sources.
        start: ``(R, d)`` estimates where they begin.
        training: Their number and size, and the ridge.

    Returns:
        ``(R, d)`` estimates.

    Raises:
        NoEstimate: Steps of this size diverge.
    """
    gram = sum((source.weight * source.gram for source in sources), np.zeros(1))
    moment = sum((source.weight * source.moment for source in sources), np.zeros(1))
    try:
        update = training.filtered(gram[None])
    except InvalidInput as error:
        raise NoEstimate(str(error)) from error
    return np.ascontiguousarray((update.start_gain[0] @ start.T + update.moment_gain[0] @ moment).T)


def poisson_quantiles(uniform: Array, mean: Array) -> Array:
    """Return the smallest count whose Poisson distribution function is at least u, element by element.

    Args:
        uniform: u in [0, 1).
        mean: Means of the same shape.

    Returns:
        Counts of the same shape.
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


def half_deviance(family: Discrete, responses: Array, predictor: Array) -> Array:
    r"""Return half the unit deviance: the nats by which responses are less likely than under the best mean.

    .. math:: y \log\frac{y}{\mu} + (1 - y) \log\frac{1 - y}{1 - \mu} \ (\text{logistic}), \qquad
        y \log\frac{y}{\mu} - (y - \mu) \ (\text{Poisson}).

    For a mean in place of a response it is the Kullback-Leibler divergence of the model from the truth.

    Args:
        family: ``logistic`` or ``poisson``.
        responses: Responses y.
        predictor: Linear predictors of the same shape.

    Returns:
        Non-negative numbers of the same shape.
    """
    if family == "poisson":
        surprise = np.exp(predictor) - responses * predictor
        best = responses - _entropy(responses)
    else:
        surprise = np.logaddexp(0.0, predictor) - responses * predictor
        best = -_entropy(responses) - _entropy(1.0 - responses)
    return np.asarray(np.maximum(surprise - best, 0.0), dtype=np.float64)


def _entropy(values: Array) -> Array:
    """Return the products y log y, 0 where y is 0."""
    return np.asarray(xlogy(values, values), dtype=np.float64)
