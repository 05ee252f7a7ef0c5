"""Training weights alpha_tk (synthetic) and beta_tk (private share of the real data).

Entity k's loss at generation t weighs its three sources by

    private  p = (1 - alpha) beta,     public  q = (1 - alpha)(1 - beta),     synthetic  a = alpha,

with alpha = 0 at generation 0, when nothing has been published yet (paper, Section 5). beta is the *private* share,
as in the paper's losses and tables (its Section 4 text says the opposite once).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import number_array
from crossfeed.theory.kernels import Array

#: A weight: one number, one per entity (K,), or a function of the generation returning either.
Weight = npt.ArrayLike | Callable[[int], npt.ArrayLike]


def rows_of(values: Array, rows: slice) -> Array:
    """Take one block's part of a per-entity array; an array of one value serves every entity."""
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


@dataclass(frozen=True)
class SourceWeights:
    """The weights of the three sources at one generation, each of shape (1,) or (K,).

    Attributes:
        private: p_k = (1 - alpha_k) beta_k.
        public: q_k = (1 - alpha_k)(1 - beta_k).
        synthetic: a_k = alpha_k.
    """

    private: Array
    public: Array
    synthetic: Array

    @classmethod
    def mixed(cls, alpha: Array, beta: Array) -> SourceWeights:
        """Weights from alpha and beta, each of shape (1,) or (K,)."""
        real = 1.0 - alpha
        return cls(real * beta, real * (1.0 - beta), alpha)

    def block(self, rows: slice) -> SourceWeights:
        """Weights of one block of entities."""
        return SourceWeights(rows_of(self.private, rows), rows_of(self.public, rows), rows_of(self.synthetic, rows))


class WeightSchedule:
    """One weight over the generations.

    Attributes:
        constant: True when the same numbers hold at every generation.
    """

    def __init__(self, weight: Weight, name: str, entities: int) -> None:
        self._name = name
        self._entities = entities
        self.constant = not callable(weight)
        self._weight = weight if callable(weight) else fractions(weight, name, entities)

    def at(self, generation: int) -> Array:
        """Return the weight at a generation, shape (1,) or (K,).

        Raises:
            InvalidInput: if the schedule's function returns anything but fractions.
        """
        if isinstance(self._weight, np.ndarray):
            return self._weight
        assert callable(self._weight)  # noqa: S101  (narrowing for the type checker, not a check of input)
        return fractions(self._weight(generation), f"{self._name}({generation})", self._entities)
