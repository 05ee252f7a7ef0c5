"""Training weights alpha_tk (synthetic) and beta_tk (private share of the real data).

Entity k's loss at generation t weights its three sources by

    private  p = (1 - alpha) beta,     public  q = (1 - alpha)(1 - beta),     synthetic  a = alpha,

with alpha = 0 at generation 0, when nothing has been published yet. beta is the *private* share, as in the paper's
losses and tables (the text of its Section 4 states the opposite once).

Reference: paper, Section 5 (training workflow). Weights per entity and per generation go beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import number_array
from crossfeed.theory.kernels import Array

#: A weight: one number, a numpy array (K,) of one per entity, or a function of the generation returning either.
Weight = float | npt.NDArray[np.generic] | Callable[[int], npt.ArrayLike]


def rows_of(values: Array, rows: slice) -> Array:
    """Take one block's part of a per-entity array; an array of one value serves every entity.

    Args:
        values: shape (1,) or (K,).
        rows: slice(start, stop) of entity numbers.

    Returns:
        Shape (1,) or (stop - start,).
    """
    return values if len(values) == 1 else values[rows]


def fractions(value: object, name: str, entities: int) -> Array:
    """Validate numbers in [0, 1], one for all entities or one each.

    Args:
        value: a number or an array of shape (K,).
        name: the argument's name, for the message.
        entities: K.

    Returns:
        Array of shape (1,) or (K,).

    Raises:
        InvalidInput: if the shape is another, or a number is outside [0, 1].
    """
    wanted = f"a number in [0, 1] or {entities} of them, one per entity"
    array = np.asarray(number_array(value, name, wanted), dtype=np.float64)
    if array.shape not in ((), (entities,)):
        raise InvalidInput(f"{name} must be {wanted}; received shape {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():
        outside = array[~((array >= 0) & (array <= 1))].flat[0]
        raise InvalidInput(f"{name} must be {wanted}; received {outside}")
    return array.reshape(-1)


def fresh_share(value: object | None, *, given: bool) -> float:
    """Validate the weight phi of fresh human rows in the pool.

    Args:
        value: a number in [0, 1]; None: zero, where there are no fresh rows.
        given: True if there are fresh rows.

    Returns:
        phi.

    Raises:
        InvalidInput: if it is no such number, positive without fresh rows, or left out with them.
    """
    if value is None and given:
        raise InvalidInput(
            "fresh was given without fresh_fraction, and would not be heard; give fresh_fraction, the weight of fresh "
            "rows in the pool, in [0, 1]"
        )
    fraction = float(fractions(0.0 if value is None else value, "fresh_fraction", 1)[0])
    if fraction > 0 and not given:
        raise InvalidInput(
            f"fresh_fraction is {fraction} but there is no fresh data; give fresh=, its Gram or features"
        )
    return fraction


@dataclass(frozen=True)
class SourceWeights:
    """Weights of the three sources at one generation, each of shape (1,) or (K,).

    Attributes:
        private: p_k = (1 - alpha_k) beta_k.
        public: q_k = (1 - alpha_k)(1 - beta_k).
        synthetic: a_k = alpha_k.
        initial: True for those of generation 0, whose update is minimised in full.
    """

    private: Array
    public: Array
    synthetic: Array
    initial: bool = False

    @classmethod
    def mixed(cls, alpha: Array, beta: Array, *, initial: bool = False) -> SourceWeights:
        """Compute the three weights from alpha and beta.

        Args:
            alpha: synthetic weights, shape (1,) or (K,).
            beta: private shares of the real data, shape (1,) or (K,).
            initial: True for generation 0.

        Returns:
            p, q and a.

        Source: paper, Section 5.
        """
        real = 1.0 - alpha
        return cls(real * beta, real * (1.0 - beta), alpha, initial)

    def block(self, rows: slice) -> SourceWeights:
        """Return the weights of one block of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            The weights, each of shape (1,) or (stop - start,).
        """
        private, public, synthetic = (rows_of(each, rows) for each in (self.private, self.public, self.synthetic))
        return SourceWeights(private, public, synthetic, self.initial)


class WeightSchedule:
    """One weight over the generations.

    Args:
        weight: a number, an array (K,), or a function of the generation returning either; numbers in [0, 1].
        name: the argument's name, for messages.
        entities: K.

    Attributes:
        constant: True if the same numbers hold at every generation.

    Raises:
        InvalidInput: if the weight is neither a function nor made of fractions, or a list: descriptions in YAML list
            one number for each generation, arrays here hold one for each entity.
    """

    def __init__(self, weight: Weight, name: str, entities: int) -> None:
        if isinstance(weight, list | tuple):
            raise InvalidInput(
                f"{name} is a {type(weight).__name__}, which could mean the entities or the generations; give "
                f"numpy.array([...]) of {entities} numbers, one per entity, or a function of the generation"
            )
        self._name = name
        self._entities = entities
        self.constant = not callable(weight)
        self._weight = weight if callable(weight) else fractions(weight, name, entities)

    def at(self, generation: int) -> Array:
        """Return the weight at a generation.

        Args:
            generation: t >= 0.

        Returns:
            Shape (1,) or (K,).

        Raises:
            InvalidInput: if the schedule's function fails, or returns anything but fractions.
        """
        if isinstance(self._weight, np.ndarray):
            return self._weight
        assert callable(self._weight)  # noqa: S101  (narrowing for the type checker, not a check of input)
        called = f"{self._name}({generation})"
        try:
            value = self._weight(generation)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            start = "; give initial_beta, and it is asked from generation 1 on" if generation == 0 else ""
            raise InvalidInput(f"{called} failed with {type(error).__name__}: {error}{start}") from error
        return fractions(value, called, self._entities)


@dataclass(frozen=True)
class TrainingWeights:
    """Training weights of all entities over the generations.

    Attributes:
        alpha: synthetic weight at t >= 1.
        beta: private share of the real data.
        initial_beta: beta at generation 0, shape (1,) or (K,).
        initial_given: True if `initial_beta` was given; False if it is the schedule's beta at t = 0.
    """

    alpha: WeightSchedule
    beta: WeightSchedule
    initial_beta: Array
    initial_given: bool

    @classmethod
    def read(cls, alpha: Weight, beta: Weight, initial_beta: npt.ArrayLike | None, entities: int) -> TrainingWeights:
        """Validate the weights of an ecosystem.

        Args:
            alpha: a number, an array (K,), or a function of the generation t >= 1 returning either.
            beta: likewise; also evaluated at t = 0 unless `initial_beta` is given.
            initial_beta: beta at generation 0, a number or (K,), or None.
            entities: K.

        Returns:
            The weights.

        Raises:
            InvalidInput: if a shape is another, or a number is outside [0, 1].
        """
        synthetic, private = WeightSchedule(alpha, "alpha", entities), WeightSchedule(beta, "beta", entities)
        start = private.at(0) if initial_beta is None else fractions(initial_beta, "initial_beta", entities)
        return cls(synthetic, private, start, initial_given=initial_beta is not None)

    def changed(self, alpha: Weight, beta: Weight, entities: int) -> TrainingWeights:
        """Return other weights with the same start, if one was given.

        Args:
            alpha: as in `read`.
            beta: as in `read`.
            entities: K.

        Returns:
            The new weights; without a given `initial_beta`, generation 0 follows the new beta.

        Raises:
            InvalidInput: if a shape is another, or a number is outside [0, 1].
        """
        synthetic, private = WeightSchedule(alpha, "alpha", entities), WeightSchedule(beta, "beta", entities)
        start = self.initial_beta if self.initial_given else private.at(0)
        return TrainingWeights(synthetic, private, start, self.initial_given)

    @property
    def constant(self) -> bool:
        """True if alpha and beta are the same at every generation t >= 1."""
        return self.alpha.constant and self.beta.constant

    def at(self, generation: int) -> SourceWeights:
        """Return the weights of the three sources at a generation; the synthetic one is zero at generation 0.

        Args:
            generation: t >= 0.

        Returns:
            p, q and a, each of shape (1,) or (K,).

        Raises:
            InvalidInput: if a schedule's function returns anything but fractions.
        """
        if generation == 0:
            return SourceWeights.mixed(np.zeros(1), self.initial_beta, initial=True)
        return SourceWeights.mixed(self.alpha.at(generation), self.beta.at(generation))
