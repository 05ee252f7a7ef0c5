"""Choices of an ecosystem's weights: common to all or each entity's own, shares, and the fresh fraction.

A choice is a point of a unit cube, one coordinate for each free number; what is not free stays as the ecosystem has it.
Shares are the coordinates over their sum, so that they always sum to one.

Source: the weights are those of the paper, Section 5; shares and fresh data are not in the paper.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.gradients import Slope
from crossfeed.theory.kernels import Array
from crossfeed.theory.specification import Specification

#: What can be left free.
Freedom = Literal["alpha", "beta", "fresh_fraction", "shares"]


@dataclass(frozen=True, eq=False)
class Weights:
    """The numbers of an ecosystem that can be chosen.

    Attributes:
        alpha: synthetic weights, shape (K,).
        beta: private shares, shape (K,).
        shares: w, shape (K,), summing to one.
        fresh_fraction: phi.
    """

    alpha: Array
    beta: Array
    shares: Array
    fresh_fraction: float

    @classmethod
    def of(cls, spec: Specification) -> Weights:
        """Return an ecosystem's own.

        Args:
            spec: its specification, with constant weights.

        Returns:
            The weights that it has from generation 1 on.
        """
        shape = (spec.entities,)
        alpha, beta = spec.weights.alpha.at(1), spec.weights.beta.at(1)
        alpha, beta, shares = (np.broadcast_to(each, shape).copy() for each in (alpha, beta, spec.shares))
        return cls(alpha, beta, shares, spec.fresh_fraction)

    def set_in(self, spec: Specification) -> Specification:
        """Return the ecosystem under these weights.

        Args:
            spec: the specification of the ecosystem under other weights.

        Returns:
            A specification with the same data.
        """
        weighed = spec
        if self.fresh_fraction != spec.fresh_fraction or not np.array_equal(self.shares, Weights.of(spec).shares):
            weighed = replace(spec, shares=self.shares, fresh_fraction=self.fresh_fraction)
        return weighed.with_weights(_narrow(self.alpha), _narrow(self.beta))


def _narrow(values: Array) -> Array | float:
    """Return one number where all are equal, which is faster."""
    return float(values[0]) if (values == values[0]).all() else values


@dataclass(frozen=True, eq=False)
class Choices:
    """The unit cube of what is free.

    Attributes:
        base: the numbers of what is not free.
        free: names of what is.
        per_entity: True if each entity has an alpha and a beta of its own.
        held: numbers of the entities that keep their own alpha and beta.
    """

    base: Weights
    free: tuple[Freedom, ...]
    per_entity: bool = False
    held: tuple[int, ...] = ()

    @classmethod
    def read(
        cls, base: Weights, free: Collection[str], *, per_entity: bool = False, held: Collection[int] = ()
    ) -> Choices:
        """Validate a freedom.

        Args:
            base: the numbers of what is not free.
            free: names of `Freedom`, one at least.
            per_entity: True if each entity has an alpha and a beta of its own.
            held: numbers of the entities that keep their own alpha and beta.

        Returns:
            The choices.

        Raises:
            InvalidInput: if a name or a number is unknown, or nothing is free.
        """
        known = get_args(Freedom)
        unknown = [name for name in free if name not in known]
        if unknown or not free:
            raise InvalidInput(f"free must be some of {', '.join(known)}; received {', '.join(unknown) or 'nothing'}")
        entities = len(base.alpha)
        if any(not 0 <= k < entities for k in held):
            raise InvalidInput(f"held must be entity numbers from 0 to {entities - 1}; received {sorted(held)}")
        names: list[Freedom] = [name for name in known if name in free]
        return cls(base, tuple(names), per_entity, tuple(sorted(set(held))))

    @cached_property
    def moving(self) -> Array:
        """Numbers of the entities whose alpha and beta are free."""
        return np.setdiff1d(np.arange(len(self.base.alpha)), self.held)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.point(self.base))

    def point(self, weights: Weights) -> Array:
        """Return the coordinates of weights; of the moving entities' mean where those have one number for all.

        Args:
            weights: the weights.

        Returns:
            Shape (size,).
        """
        return np.concatenate([np.zeros(0), *(self._coordinates(name, weights) for name in self.free)])

    def weights(self, point: Array) -> Weights:
        """Return the weights at a point of the cube.

        Args:
            point: shape (size,).

        Returns:
            The weights.
        """
        found, at = self.base, 0
        for name in self.free:
            width = len(self._coordinates(name, self.base))
            found, at = self._placed(found, name, point[at : at + width]), at + width
        return found

    def pull(self, slope: Slope, point: Array) -> Array:
        """Return derivatives with respect to the coordinates.

        Args:
            slope: derivatives with respect to the weights, at P = 1 or more settings that are all at this point.
            point: shape (size,).

        Returns:
            Shape (P, size).
        """
        parts, weights = [np.zeros((len(slope.alpha), 0))], self.weights(point)
        for name in self.free:
            given: Array = getattr(slope, name)
            if name == "fresh_fraction":
                parts.append(given[:, None])
            elif name == "shares":
                total = point[-len(weights.shares) :].sum()
                parts.append((given - (given @ weights.shares)[:, None]) / total)
            else:
                own = given[:, self.moving]
                parts.append(own if self.per_entity else own.sum(axis=1, keepdims=True))
        return np.concatenate(parts, axis=1)

    def names(self) -> Sequence[str]:
        """Return what each coordinate is of.

        Returns:
            One name of `Freedom` for each coordinate.
        """
        return [name for name in self.free for _ in self._coordinates(name, self.base)]

    def _coordinates(self, name: Freedom, weights: Weights) -> Array:
        if name == "fresh_fraction":
            return np.array([weights.fresh_fraction])
        if name == "shares":
            return np.asarray(weights.shares / weights.shares.max())
        own: Array = getattr(weights, name)[self.moving]
        return own if self.per_entity else own.mean(keepdims=True)

    def _placed(self, weights: Weights, name: Freedom, values: Array) -> Weights:
        if name == "fresh_fraction":
            return replace(weights, fresh_fraction=float(values[0]))
        if name == "shares":
            total = values.sum()
            equal = np.full(len(values), 1.0 / len(values))
            return replace(weights, shares=values / total if total > 0 else equal)
        own = getattr(weights, name).copy()
        own[self.moving] = values
        return replace(weights, alpha=own) if name == "alpha" else replace(weights, beta=own)
