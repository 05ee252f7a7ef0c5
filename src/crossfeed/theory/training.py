r"""Updates that stop early or shrink: n gradient steps, and a ridge.

Entity k's loss has the Hessian G and the moment y (`crossfeed.theory.specification`); with a ridge lambda it is
theta'(G + lambda I) theta / 2 - y'theta. An update is n steps of size rate from where it starts,

    theta <- theta - rate ((G + lambda I) theta - y),      n times:      theta_t = E theta_start + F y,
    E = (I - rate (G + lambda I))^n,                       F = (I - E)(G + lambda I)^{-1},

and theta_start is the model of the generation before ("previous": training goes on), zero ("base": the base model is
trained anew at every generation) or the entity's own model of generation 0 ("own"). Generation 0 is minimised in full,
and so is every update without a number of steps: F = (G + lambda I)^+, E = 0.

E and F are functions of G, computed on its eigenvalues x: e = (1 - rate x)^n and f = (1 - e) / x, which is n rate at 0.

Reference: Ali, Kolter and Tibshirani, A continuous-time view of early stopping for least squares, AISTATS 2019, for
gradient descent as a spectral filter; steps among models that read each other are not in the paper.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import noise_level, number_array
from crossfeed.theory.kernels import Array, Mask, rank_tolerance, transposed

Start = Literal["previous", "base", "own"]


class Filter(NamedTuple):
    """E and F of a stack of matrices G, by the eigenvalues of G + lambda I.

    Attributes:
        keeps: e, shape (b, d): the share of the start that is left in each direction.
        learns: f, shape (b, d): the gain on the moment.
        missing: 1 - e, shape (b, d), with all its digits.
        directions: the eigenvectors, in columns, shape (b, d, d).
        unseen: True where G + lambda I is zero but for rounding, shape (b, d).
    """

    keeps: Array
    learns: Array
    missing: Array
    directions: Array
    unseen: Mask

    @property
    def start_gain(self) -> Array:
        """E, shape (b, d, d)."""
        return self.read(self.keeps)

    @property
    def moment_gain(self) -> Array:
        """F, shape (b, d, d)."""
        return self.read(self.learns)

    def read(self, values: Array) -> Array:
        """Return the matrices with the same directions and other eigenvalues.

        Args:
            values: shape (b, d).

        Returns:
            Shape (b, d, d).
        """
        product: Array = (self.directions * values[:, None, :]) @ transposed(self.directions)
        return product


@dataclass(frozen=True)
class Training:
    """The rule by which updates are computed from generation 1 on.

    Attributes:
        steps: n, the number of gradient steps; None: the minimum itself.
        rate: size of a step, in units of one over the Gram matrices' eigenvalues; 0 without steps.
        ridge: lambda >= 0, in units of the Gram matrices' eigenvalues; at generation 0, too.
        start: where an update begins: "previous", "base" or "own".
    """

    steps: int | None = None
    rate: float = 0.0
    ridge: float = 0.0
    start: Start = "previous"

    @classmethod
    def read(cls, steps: object, rate: object, ridge: object, start: Start) -> Training:
        """Validate the rule by which updates are computed.

        Args:
            steps: a whole number >= 1, or None.
            rate: a number > 0, needed with steps.
            ridge: a number >= 0.
            start: "previous", "base" or "own".

        Returns:
            The training.

        Raises:
            InvalidInput: naming the argument, what was received and what to give.
        """
        if start not in get_args(Start):
            raise InvalidInput(f'start must be "previous", "base" or "own"; received {start!r}')
        if (steps is None) != (rate is None):
            raise InvalidInput(
                f"steps and rate belong together; received steps={steps!r} and rate={rate!r}; give both, or neither "
                "for updates that are minimised in full"
            )
        penalty = noise_level(ridge, "ridge")
        return cls(_count(steps), 0.0 if rate is None else _step_size(rate), penalty, start)

    @property
    def is_full(self) -> bool:
        """True if every update is the minimum-norm minimiser of the loss without a ridge."""
        return self.steps is None and self.ridge == 0.0

    @property
    def remembers(self) -> bool:
        """True if an update begins at the model of the generation before and stops early."""
        return self.steps is not None and self.start == "previous"

    def filtered(self, grams: Array, rounding: float = 0.0) -> Filter:
        """Return E and F.

        Args:
            grams: G, shape (b, d, d), without the ridge.
            rounding: eigenvalues of G, relative to its trace, that may be rounding errors.

        Returns:
            The filters.

        Raises:
            InvalidInput: if steps of this size diverge.
        """
        assert self.steps is not None  # noqa: S101 - for the type checker; called only where there are steps
        values, directions = np.linalg.eigh(grams)
        seen = np.maximum(values, 0.0)
        unseen = (seen <= rank_tolerance(rounding) * seen.sum(axis=1, keepdims=True)) & (self.ridge == 0.0)
        seen = seen + self.ridge
        self._check(float(seen.max(initial=0.0)))
        missing = _missing(self.rate * seen, self.steps)
        whole = np.where(seen > 0, seen, 1.0)
        learns = np.where(seen > 0, missing / whole, self.steps * self.rate)
        return Filter(1.0 - missing, learns, missing, directions, unseen)

    def _check(self, largest: float) -> None:
        if self.rate * largest >= 2.0:
            raise InvalidInput(
                f"rate {self.rate:g} is too large: an entity's weighted Gram matrix has the largest eigenvalue "
                f"lambda_max = {largest:.6g}, and gradient steps diverge from 2/lambda_max = {2 / largest:.6g} on; "
                "give a smaller rate (1/lambda_max takes the steepest direction in one step)"
            )


def _missing(products: Array, steps: int) -> Array:
    """Return 1 - (1 - rate x)^n; small products keep their digits."""
    small = products < 0.5
    with np.errstate(under="ignore"):
        near = -np.expm1(steps * np.log1p(-np.where(small, products, 0.0)))
        far = 1.0 - (1.0 - np.where(small, 1.0, products)) ** steps
    return np.where(small, near, far)


def _count(steps: object) -> int | None:
    if steps is None:
        return None
    wanted = f"steps must be a whole number >= 1, or None; received {steps!r}"
    try:
        count = operator.index(steps)  # type: ignore[arg-type]
    except TypeError as error:
        raise InvalidInput(wanted) from error
    if count < 1 or isinstance(steps, bool):
        raise InvalidInput(wanted)
    return count


def _step_size(rate: object) -> float:
    array = number_array(rate, "rate", "a number > 0")
    if array.shape != () or not 0 < float(array) < np.inf:
        raise InvalidInput(f"rate must be a number > 0; received {rate!r}")
    return float(array)
