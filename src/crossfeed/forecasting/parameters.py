"""The surrogate's parameters: which there are, how many tasks share one, and what is expected of them beforehand.

The expectations were chosen on the development runs of docs/forecast.md alone. Rates of forgetting and noise are per
generation, so that they mean the same whatever a generation's training steps are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.forecasting.ecology import Ecology
from crossfeed.protocols import Array

__all__ = ["Layout", "layout_of"]

MODES: Final = 6
"""Modes of learning of each task."""

_FEW: Final = 4
"""Up to so many entities, every task and every pair of tasks has parameters of its own."""

_SLOWEST, _FASTEST = 2.1, 0.2
"""The slowest mode is learned once in 2.1 times the steps of generation 0, the fastest in a fifth of generation 1."""


@dataclass(frozen=True)
class _Expected:
    """A parameter's expected value (positive ones: its median) and width (of its logarithm)."""

    value: float
    width: float


_EXPECTED: Final[Mapping[str, _Expected]] = {
    "floor": _Expected(0.8, 0.31),  # of an own task, in terms of its loss after generation 0
    "floor, public": _Expected(1.1, 0.14),
    "b": _Expected(0.9, 1.0),  # in terms of what makes the base's loss
    "kappa": _Expected(0.1, 0.5),
    "g": _Expected(1.9, 0.72),
    "rate": _Expected(6.0, 0.7),
    "q": _Expected(0.011, 0.1),
    "l": _Expected(150.0, 0.5),
    "slow": _Expected(0.13, 0.36),
    "slowness": _Expected(0.05, 0.5),
    "zeta": _Expected(0.016, 0.39),
    "psi": _Expected(0.54, 0.25),
    "d": _Expected(0.36, 0.6),
    "d, public": _Expected(0.26, 0.8),
    "rho": _Expected(0.053, 0.48),
    "rho, public": _Expected(0.47, 0.5),
}
_SIGNED: Final = frozenset({"kappa", "zeta", "psi"})


@dataclass(frozen=True, eq=False)
class _Block:
    """Some consecutive entries of the vector of parameters, and the named array that they spread over.

    Attributes:
        name: The array's name.
        shape: Its shape.
        entry: For each of its numbers the entry that it is, counted from the block's first; -1 for a number that is 0.
        first: Position of the block's first entry.
    """

    name: str
    shape: tuple[int, ...]
    entry: NDArray[np.int64]
    first: int


class Layout:
    """The vector of parameters: its entries, what is expected of each, and the arrays that it spreads over.

    Attributes:
        rates: ``(D,)`` rates of the modes, per step, before they are scaled by ``rate``.
        ceiling: ``(Q,)`` losses at which forgetting ends.
        expected: ``(N,)`` expected parameters (logarithms of positive ones).
        width: ``(N,)`` how far they may be from that.
    """

    def __init__(self, rates: Array, ceiling: Array) -> None:
        self.rates, self.ceiling = rates, ceiling
        self.expected = np.zeros(0)
        self.width = np.zeros(0)
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return len(self.expected)

    def add(self, name: str, entry: NDArray[np.int64], expected: Any, width: Any) -> None:
        """Add a named array.

        Args:
            name: Its name; those in `_SIGNED` may be negative, all others are positive.
            entry: Which entry each of its numbers is, from 0; -1 for a number that is always 0.
            expected: What is expected of each entry, or of all.
            width: How far it may be from that, of a positive one in terms of its logarithm.
        """
        entries = int(entry.max(initial=-1)) + 1
        values = np.broadcast_to(np.asarray(expected, dtype=np.float64), (entries,))
        self._blocks.append(_Block(name, entry.shape, entry.ravel(), len(self.expected)))
        self.expected = np.concatenate([self.expected, values if name in _SIGNED else np.log(values)])
        self.width = np.concatenate([self.width, np.broadcast_to(np.asarray(width, dtype=np.float64), (entries,))])

    def named(self, parameters: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Spread parameters over their arrays.

        Args:
            parameters: ``(P, N)`` parameter sets.

        Returns:
            ``(P, ...)`` arrays by name.
        """
        arrays = {}
        for block in self._blocks:
            own = parameters[:, block.first + np.maximum(block.entry, 0)]
            own = own if block.name in _SIGNED else np.exp(own)
            own = np.where(block.entry >= 0, own, 0)
            arrays[block.name] = own.reshape(len(parameters), *block.shape)
        return arrays


def layout_of(ecology: Ecology, first: Array) -> Layout:
    """Return the parameters of an ecosystem's surrogate.

    With few entities every task has parameters of its own. With many, tasks of a kind (private, public, without an
    owner) share rates of forgetting, noise and the profile of their modes, and interference is one number for each task
    that suffers from it: there are too few losses to tell pairs apart.

    Args:
        ecology: The ecosystem.
        first: ``(K, Q)`` losses after generation 0; nan where they are not measured.

    Returns:
        The layout.
    """
    K, Q = ecology.entities, ecology.tasks
    few, one = K <= _FEW, np.zeros((), np.int64)
    owned = np.isin(np.arange(Q), ecology.own)
    base = np.nanmean(ecology.base, axis=0)
    best = np.fmin(base, np.nanmin(first, axis=0))
    is_public = np.arange(Q) == ecology.public
    floor = best * np.where(is_public, _EXPECTED["floor, public"].value, _EXPECTED["floor"].value)
    lacking = np.sqrt(np.maximum(base - floor, 0.05 * base) / MODES)
    guess = np.full(Q, np.nanmax(base) if ecology.guess is None else ecology.guess)
    slowest = 1 / (_SLOWEST * float(ecology.initial_steps.max()))
    layout = Layout(
        np.geomspace(slowest, 1 / (_FASTEST * ecology.steps), MODES), np.maximum(guess, 1.05 * np.maximum(best, floor))
    )
    each = np.arange(Q)
    layout.add("floor", each, floor, _EXPECTED["floor"].width)
    if few:
        layout.add("b", np.arange(Q * MODES).reshape(Q, MODES), np.repeat(lacking, MODES), _EXPECTED["b"].width)
    else:
        _add_shared_profile(layout, lacking)
    layout.add("kappa", _interference(ecology, few), _EXPECTED["kappa"].value, _EXPECTED["kappa"].width)
    for name in ("g", "rate", "l", "slow", "slowness", "zeta", "psi"):
        layout.add(name, one, _EXPECTED[name].value, _EXPECTED[name].width)
    layout.add("q", np.arange(K) if few else np.zeros(K, np.int64), _EXPECTED["q"].value, _EXPECTED["q"].width)
    # A task without an owner has no data to forget by their absence: it is known by what is known of the others.
    has_data = is_public | owned
    kinds = np.cumsum(has_data) - 1 if few else is_public.astype(np.int64)
    entry = np.where(has_data, kinds, -1)
    of_public = np.array([is_public[entry == e].all() for e in range(entry.max() + 1)])
    for name in ("d", "rho"):
        private, common = _EXPECTED[name], _EXPECTED[f"{name}, public"]
        expected = np.where(of_public, common.value, private.value)
        layout.add(name, entry, expected, np.where(of_public, common.width, private.width))
    return layout


def _add_shared_profile(layout: Layout, lacking: Array) -> None:
    """Add b as an amplitude for each task times one profile over the modes."""
    Q = len(lacking)
    layout.add("amplitude", np.arange(Q), lacking, _EXPECTED["b"].width)
    layout.add("modes", np.arange(MODES), 1.0, _EXPECTED["b"].width)


def _interference(ecology: Ecology, few: bool) -> NDArray[np.int64]:
    """Return which parameter each of the ``(Q, Q)`` numbers kappa is; -1 where there is none.

    A task without an owner has no data, so that nothing learned of it can disturb the others.
    """
    Q = ecology.tasks
    owned = np.isin(np.arange(Q), ecology.own)
    has_data = owned | (np.arange(Q) == ecology.public)
    entry = np.full((Q, Q), -1, np.int64)
    known: dict[tuple[int, int], int] = {}
    for s in range(Q):
        for m in np.flatnonzero(has_data):
            if s != m:
                by = int(m) if few or m == ecology.public else -1
                entry[s, m] = known.setdefault((s, by), len(known))
    return entry
